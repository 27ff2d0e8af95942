/* Code: what compiling makes of a graph, shared by all programs of its identity. The graph goes through
 * the passes; what comes out is a private tape that nobody changes any more, and the executor's plan.
 *
 * Code may lie in the context's cache and so must not hold the context. Its tapes and tensors each took
 * a reference; code gives these back at once and takes them again just before it frees them. */
#include <string.h>

#include "exec/exec.h"

/* ---- freeing ---------------------------------------------------------------------------------------- */

void wg__code_ref(wg__code *code) { atomic_fetch_add(&code->refs, 1); }

static void destroy(wg__code *code)
{
    wg_ctx *ctx = code->ctx;
    atomic_fetch_add(&ctx->refs, code->held);
    code->executor->free(ctx, code->plan);
    wg__tape_destroy(code->tape);
    wg__free(ctx, code->bound);
    wg__free(ctx, code->roots);
    wg__free(ctx, code->targets);
    wg__free(ctx, code->in_place);
    wg__free(ctx, code->reached);
    wg__free(ctx, code->literals);
    wg__str_free(&code->notes);
    wg__free(ctx, code);
}

void wg__code_unref(wg__code *code)
{
    if (code && atomic_fetch_sub(&code->refs, 1) == 1)
        destroy(code);
}

/* What every piece of code takes, but for what grows with its graph. */
enum { BASE_SIZE = 2048 };

/* Of a tape without its sub-tapes. Pools keep, beside an entry, an address and a bucket or two. */
static size_t tape_size(const wg_tape *t)
{
    const wg__pool *pools[] = {&t->types, &t->attrs, &t->strings, &t->scopes, &t->named};
    size_t size = sizeof *t + t->nodes.cap * sizeof *t->nodes.data +
                  t->operands.cap * sizeof *t->operands.data;
    for (size_t p = 0; p < sizeof pools / sizeof *pools; p++)
        for (size_t i = 0; i < pools[p]->entries.len; i++)
            size += pools[p]->entries.data[i].size + 2 * sizeof *pools[p]->entries.data;
    for (size_t i = 0; i < t->consts.len; i++)
        size += sizeof *t->consts.data[i] + t->consts.data[i]->bytes;
    return size;
}

/* Gives up the references to the context, and adds up what it all takes. The context outlives this call
 * by the reference of whoever compiles. False: out of memory. */
static bool let_go(wg__code *code)
{
    code->size = BASE_SIZE + code->notes.len + code->executor->size(code) +
                 code->nliterals * sizeof(int64_t);
    wg__pool tapes;
    int held = 0;
    wg__pool_init(&tapes, code->ctx);
    bool good = wg__bodies_find(&tapes, code->tape);
    for (size_t i = 0; good && i < tapes.entries.len; i++) {
        const wg_tape *t = wg__bodies_at(&tapes, i);
        held += 1 + (int)t->consts.len;
        code->size += tape_size(t);
    }
    wg__pool_free(&tapes);
    if (good) {
        code->held = held;
        atomic_fetch_sub(&code->ctx->refs, held);
    }
    return good;
}

/* ---- making ------------------------------------------------------------------------------------------- */

/* Appends what is still there of `count` ids. */
static uint32_t *add_present(uint32_t *to, const uint32_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ids[i] != WG__NONE)
            *to++ = ids[i];
    return to;
}

static bool take_ids(wg__code *c, const wg__graph *g, const wg__ids *n)
{
    const uint32_t *inputs = g->ids + g->nroots, *params = inputs + n->ninputs;
    c->nouts = n->nouts;
    c->neffects = n->neffects;
    c->roots = wg__memdup(c->ctx, g->ids, (n->nouts + n->neffects) * sizeof *c->roots);
    uint32_t *at = c->bound = wg__calloc(c->ctx, n->ninputs + n->nparams, sizeof *c->bound);
    if (!c->roots || !c->bound)
        return false;
    at = add_present(at, inputs, n->ninputs);
    c->ninputs = (size_t)(at - c->bound);
    at = add_present(at, params, n->nparams);
    c->nparams = (size_t)(at - c->bound) - c->ninputs;
    return true;
}

/* Which params the effects go to: `ids`, as numbers of params. */
static bool find_targets(wg__code *c, const uint32_t *ids)
{
    uint32_t *number = wg__copy_map(c->ctx, c->tape);
    c->targets = wg__calloc(c->ctx, c->neffects, sizeof *c->targets);
    bool good = number && c->targets;
    for (size_t i = 0; good && i < c->nparams; i++)
        number[c->bound[c->ninputs + i]] = (uint32_t)i;
    for (size_t e = 0; good && e < c->neffects; e++)
        c->targets[e] = number[ids[e]];
    wg__free(c->ctx, number);
    return good;
}

/* The passes keep effects apart from the tape; here they come back onto it, as nodes at its end. */
static bool take_effects(wg__code *c, const uint32_t *params)
{
    if (!find_targets(c, params))
        return false;
    for (size_t e = 0; e < c->neffects; e++) {
        wg_var value = wg__var(c->tape, c->roots[c->nouts + e]);
        if (!wg_ok(wg_assign(wg__var(c->tape, params[e]), value)))
            return false;
    }
    return true;
}

/* An unknown initialiser is told here, where the graph is at hand, not at the first session. */
static bool check_inits(const wg__code *c, wg_tape *report)
{
    bool good = true;
    for (size_t i = 0; i < c->nparams && good; i++) {
        uint32_t id = c->bound[c->ninputs + i];
        wg_init init = wg__init_of(c->tape, id);
        wg__str name = wg__str_make(c->ctx), why = wg__str_make(c->ctx);
        wg__full_name(c->tape, id, &name);
        good = wg__init_fill(&init, wg__type_at(c->tape, id), 0, wg__str_text(&name), NULL, &why);
        if (!good)
            wg__tape_fail(report, WG_INVALID, "param \"%s\": %s", wg__str_text(&name),
                          wg__str_text(&why));
        wg__str_free(&name);
        wg__str_free(&why);
    }
    return good;
}

static bool make_plan(wg__code *c, wg_tape *report)
{
    wg__error error = {WG_OK, wg__str_make(c->ctx)};
    wg_status status = c->executor->plan(c, &error);
    if (status)
        wg__tape_fail(report, status, "compile: %s", wg__error_text(&error));
    wg__str_free(&error.text);
    return status == WG_OK;
}

static void take_notes(wg__code *c, const wg__graph *g)
{
    for (size_t i = 0; i < g->notes.len; i++)
        wg__str_addf(&c->notes, "  %-8s %s\n", g->notes.data[i].pass, g->notes.data[i].text);
}

static bool build(wg__code *c, wg__graph *g, const wg__ids *n)
{
    c->tape = g->owned;
    g->owned = NULL;
    take_notes(c, g);
    return take_ids(c, g, n) && take_effects(c, g->ids + n->nouts + n->neffects) &&
           check_inits(c, g->report) &&
           (c->literals = wg__literals_make(c->tape, &c->nliterals)) != NULL &&
           make_plan(c, g->report);
}

bool wg__code_replan(wg__code *c, size_t target, wg_tape *report)
{
    c->executor->free(c->ctx, c->plan);
    wg__free(c->ctx, c->in_place);
    c->plan = NULL;
    c->in_place = NULL;
    c->target = target;
    return make_plan(c, report);
}

wg__code *wg__code_of(wg__graph *g, const wg__ids *n, const wg__executor *executor, size_t target)
{
    wg__code *c = wg__calloc(g->ctx, 1, sizeof *c);
    if (!c) {
        wg__tape_no_memory(g->report);
        return NULL;
    }
    c->ctx = g->ctx;
    c->executor = executor;
    c->explain = g->explain;
    c->notes = wg__str_make(g->ctx);
    atomic_init(&c->refs, 1);
    c->target = target;
    if (build(c, g, n))
        return c;
    if (c->tape)
        wg__graph_tell(g, c->tape);
    if (!wg_tape_status(g->report))
        wg__tape_no_memory(g->report);
    wg__code_unref(c);
    return NULL;
}

wg__code *wg__code_make(wg__graph *g, const wg__ids *n, const wg__executor *executor, bool verify)
{
    if (wg__pipeline(g, executor->level, verify))
        return NULL;
    wg__code *c =
        g->memory_limit ? wg__code_fit(g, n, executor, verify) : wg__code_of(g, n, executor, 0);
    if (!c || let_go(c))
        return c;
    wg__tape_no_memory(g->report);
    wg__code_unref(c);
    return NULL;
}
