/* Programs: compiling a tape. The graph of what outputs and effects need is looked up in the context's
 * cache; if it is not there it is made into code (code.c). A program adds to code what belongs to the
 * tape it was compiled from: the ports that lead from its vars to the code's, and the values of its
 * literals. */
#include <string.h>

#include "exec/exec.h"

/* All ways to run; the first is the default. */
static const wg__executor *const executors[] = {&wg__vm, &wg__reference};
enum { NEXECUTORS = sizeof executors / sizeof *executors };

static const wg__executor *find_executor(wg_tape *report, const char *name)
{
    for (size_t i = 0; i < NEXECUTORS; i++)
        if (!name || strcmp(executors[i]->name, name) == 0)
            return executors[i];
    wg__str names = wg__str_make(report->ctx);
    for (size_t i = 0; i < NEXECUTORS; i++)
        wg__str_addf(&names, "%s%s", i ? ", " : "", executors[i]->name);
    wg__tape_fail(report, WG_NOT_FOUND, "compile: there is no executor \"%s\"; there are: %s", name,
                  wg__str_text(&names));
    wg__str_free(&names);
    return NULL;
}

/* ---- freeing --------------------------------------------------------------------------------------- */

void wg__program_ref(wg_program *program) { atomic_fetch_add(&program->refs, 1); }

void wg_program_free(wg_program *program)
{
    if (!program || atomic_fetch_sub(&program->refs, 1) != 1)
        return;
    wg_ctx *ctx = program->ctx;
    wg__ports_free(ctx, &program->inputs);
    wg__ports_free(ctx, &program->params);
    wg__ports_free(ctx, &program->outs);
    wg__free(ctx, program->own_literals);
    wg__tape_destroy(program->own_tape);
    wg__code_unref(program->code);
    wg__free(ctx, program);
    wg__ctx_unref(ctx);
}

/* ---- from a graph to a program ----------------------------------------------------------------------- */

/* One compilation. */
typedef struct compiler {
    wg_program *p;
    wg__graph *g;
    const wg__ids *n;
    const wg_tape *source;
    const wg__executor *executor;
    wg__identity id;
    bool known;       /* it has an identity */
    uint32_t *before; /* the graph's ids, slots behind them, on the compiled tape */
    uint32_t *after;  /* what they are on the code's tape; WG__NONE: not needed */
} compiler;

static bool port_name(const compiler *c, uint32_t id, wg__port *port)
{
    wg__str name = wg__str_make(c->p->ctx);
    wg__full_name(c->source, id, &name);
    wg__str_add(&name, "");
    port->name = wg__str_take(&name);
    wg__str_free(&name);
    return port->name != NULL;
}

/* The port of graph id `k`. */
static bool add_port(const compiler *c, wg__ports *ports, size_t k, bool named)
{
    wg__port *port = &ports->data[ports->len++];
    port->bits = wg__var(c->source, c->before[k]).bits;
    port->id = c->after[k];
    wg__type_canonical(wg__type_at(c->source, c->before[k]), &port->type);
    return !named || port_name(c, c->before[k], port);
}

/* Ports for the `count` graph ids from `first` on that are still there (or gone). */
static bool add_ports(const compiler *c, wg__ports *ports, size_t first, size_t count, bool named,
                      bool gone)
{
    for (size_t k = first; k < first + count; k++)
        if ((c->after[k] == WG__NONE) == gone && !add_port(c, ports, k, named))
            return false;
    return true;
}

static bool take_ports(compiler *c)
{
    wg_program *p = c->p;
    const wg__ids *n = c->n;
    size_t inputs = n->nouts + 2 * n->neffects, params = inputs + n->ninputs;
    if (!wg__ports_make(p->ctx, &p->outs, n->nouts) ||
        !wg__ports_make(p->ctx, &p->inputs, n->ninputs) ||
        !wg__ports_make(p->ctx, &p->params, n->nparams) ||
        !add_ports(c, &p->outs, 0, n->nouts, false, false) ||
        !add_ports(c, &p->inputs, inputs, n->ninputs, true, false))
        return false;
    p->ninputs = p->inputs.len;
    if (!add_ports(c, &p->inputs, inputs, n->ninputs, true, true) ||
        !add_ports(c, &p->params, params, n->nparams, true, false))
        return false;
    wg__ports_sort(&p->outs, false);
    wg__ports_sort(&p->inputs, true);
    wg__ports_sort(&p->params, true);
    return true;
}

/* ---- code, known or new ---------------------------------------------------------------------------------- */

/* Code's `reached` holds what became of that part of the graph's ids that identity counts: inputs and
 * params that are needed, then slots. Copies between `after` and `reached`, one way or the other. */
static void match_reached(const compiler *c, bool store)
{
    const wg__ids *n = c->n;
    uint32_t *reached = c->p->code->reached;
    size_t first = n->nouts + 2 * n->neffects, ports = first + n->ninputs + n->nparams, at = 0;
    for (size_t k = first; k < ports + c->id.slots.len; k++) {
        if (k < ports && !c->id.number[c->before[k]])
            continue;
        uint32_t *from = store ? &c->after[k] : &reached[at],
                 *to = store ? &reached[at] : &c->after[k];
        *to = *from;
        at++;
    }
}

static size_t nids(const compiler *c)
{
    const wg__ids *n = c->n;
    return n->nouts + 2 * n->neffects + n->ninputs + n->nparams + c->id.slots.len;
}

static bool found(compiler *c)
{
    const wg__code *code = c->p->code = wg__cache_find(c->p->ctx, &c->id);
    if (!code)
        return false;
    size_t nroots = code->nouts + code->neffects;
    memset(c->after, 0xff, nids(c) * sizeof *c->after);
    if (nroots)
        memcpy(c->after, code->roots, nroots * sizeof *c->after);
    match_reached(c, false);
    return true;
}

/* Lets the graph follow the slots, too. */
static bool follow_slots(compiler *c)
{
    wg__graph *g = c->g;
    uint32_t *ids = wg__realloc(g->ctx, g->ids, nids(c) * sizeof *ids);
    if (!ids)
        return false;
    g->ids = ids;
    if (c->id.slots.len)
        memcpy(ids + g->nids, c->id.slots.data, c->id.slots.len * sizeof *ids);
    g->nids = nids(c);
    c->before = wg__memdup(g->ctx, ids, g->nids * sizeof *ids);
    c->after = wg__calloc(g->ctx, g->nids, sizeof *c->after);
    return c->before && c->after;
}

static bool make_code(compiler *c, bool verify)
{
    wg_program *p = c->p;
    wg__code *code = p->code = wg__code_make(c->g, c->n, c->executor, verify);
    if (!code)
        return false;
    memcpy(c->after, c->g->ids, nids(c) * sizeof *c->after);
    if (!c->known)
        return true;
    if (!(code->reached = wg__calloc(p->ctx, nids(c), sizeof *code->reached)))
        return false;
    match_reached(c, true);
    p->code = wg__cache_put(p->ctx, &c->id, code);
    return true;
}

/* ---- literals ---------------------------------------------------------------------------------------------- */

/* Literals of the code's tape stand 8 bytes apart in the order of ids: at[id] is which. */
static uint32_t *number_literals(const wg_tape *t)
{
    uint32_t *at = wg__alloc(t->ctx, (t->nodes.len + 1) * sizeof *at), next = 0;
    for (size_t i = 0; at && i < t->nodes.len; i++) {
        at[i] = next;
        next += t->nodes.data[i].op == WG__OP_LITERAL;
    }
    return at;
}

/* The values that the slots have on the compiled tape. */
static bool fill_slots(const compiler *c)
{
    const wg_tape *t = c->p->code->tape;
    size_t first = nids(c) - c->id.slots.len;
    uint32_t *at = number_literals(t);
    for (size_t i = 0; at && i < c->id.slots.len; i++) {
        uint32_t id = c->after[first + i];
        if (id != WG__NONE && wg__node_at(t, id)->op == WG__OP_LITERAL)
            wg__store_literal(wg__type_at(t, id)->dtype,
                              wg__node_at(c->source, c->id.slots.data[i])->u.bits,
                              c->p->own_literals + at[id] * sizeof(int64_t));
    }
    wg__free(t->ctx, at);
    return at != NULL;
}

static bool take_literals(compiler *c)
{
    wg_program *p = c->p;
    size_t bytes = p->code->nliterals * sizeof(int64_t);
    p->literals = p->code->literals;
    if (!c->id.slots.len)
        return true;
    if (!(p->own_literals = wg__memdup(p->ctx, p->literals, bytes)) || !fill_slots(c))
        return false;
    if (bytes && memcmp(p->own_literals, p->literals, bytes) == 0) {
        wg__free(p->ctx, p->own_literals);
        p->own_literals = NULL;
    } else {
        p->literals = p->own_literals;
    }
    return true;
}

/* ---- all together ------------------------------------------------------------------------------------------- */

static wg_program *program_new(wg_ctx *ctx, const wg_tape *source)
{
    wg_program *p = wg__calloc(ctx, 1, sizeof *p);
    if (!p)
        return NULL;
    wg__ctx_ref(ctx);
    p->ctx = ctx;
    p->source = source;
    atomic_init(&p->refs, 1);
    return p;
}

static bool build(compiler *c, const wg_compile_options *o)
{
    c->g->explain = o->explain;
    c->g->memory_limit = o->memory_limit;
    c->known = !o->no_cache && !o->verify && wg__identity_make(&c->id, c->g, c->n, c->executor);
    if (!c->known)
        c->id.slots.len = 0;
    return follow_slots(c) && ((c->known && found(c)) || make_code(c, o->verify)) &&
           take_ports(c) && take_literals(c);
}

wg_program *wg__program_make(wg__graph *graph, const wg__ids *ids,
                             const wg_compile_options *options)
{
    const wg__executor *executor = find_executor(graph->report, options->executor);
    if (!executor)
        return NULL;
    wg_ctx *ctx = graph->ctx;
    compiler c = {.p = program_new(ctx, graph->tape),
                  .g = graph,
                  .n = ids,
                  .source = graph->tape,
                  .executor = executor};
    if (!c.p || !build(&c, options)) {
        if (!wg_tape_status(graph->report))
            wg__tape_no_memory(graph->report);
        wg_program_free(c.p);
        c.p = NULL;
    }
    wg__identity_free(ctx, &c.id);
    wg__free(ctx, c.before);
    wg__free(ctx, c.after);
    return c.p;
}

/* ---- compiling --------------------------------------------------------------------------------------- */

/* The effects that count: of several on one param the last. Writes them (if `values`) and returns
 * how many there are. seen: one flag per id, zeroed. */
static size_t last_effects(const wg_tape *t, bool *seen, uint32_t *values, uint32_t *targets)
{
    size_t n = 0;
    for (size_t i = t->effects.len; i-- > 0;) {
        const wg__effect *e = &t->effects.data[i];
        if (seen[e->param])
            continue;
        seen[e->param] = true;
        if (values) {
            values[n] = e->value;
            targets[n] = e->param;
        }
        n++;
    }
    return n;
}

/* Fills g->ids in the order of wg__ids. */
static bool collect(wg_tape *t, const wg_var *outs, bool effects, wg__ids *n, wg__graph *g)
{
    size_t len = t->nodes.len;
    bool *seen = wg__calloc(t->ctx, len, sizeof *seen);
    if (seen && effects)
        n->neffects = last_effects(t, seen, NULL, NULL);
    g->nroots = n->nouts + 2 * n->neffects;
    g->nids = g->nroots + n->ninputs + n->nparams;
    uint32_t *ids = g->ids = wg__calloc(t->ctx, g->nids, sizeof *g->ids);
    bool good = seen && ids;
    if (!good)
        wg__tape_no_memory(t);
    for (size_t i = 0; good && i < n->nouts; i++)
        good = (ids[i] = wg__resolve(t, outs[i], "compile: output")) != WG__NONE;
    if (good) {
        memset(seen, 0, len * sizeof *seen);
        if (effects)
            last_effects(t, seen, ids + n->nouts, ids + n->nouts + n->neffects);
        if (n->ninputs)
            memcpy(ids + g->nroots, t->inputs.data, n->ninputs * sizeof *ids);
        if (n->nparams)
            memcpy(ids + g->nroots + n->ninputs, t->params.data, n->nparams * sizeof *ids);
    }
    wg__free(t->ctx, seen);
    return good;
}

static bool can_compile(wg_tape *tape, const wg_var *outs, size_t nouts)
{
    if (!tape || wg_tape_status(tape))
        return false; /* the tape holds the reason */
    if (tape->parent)
        wg__tape_fail(tape, WG_INVALID, "compile: a sub-tape runs in the tape that calls it");
    for (size_t i = 0; i < nouts; i++)
        if (!wg_ok(outs[i]))
            wg__tape_fail(tape, WG_INVALID, "compile: output %zu is no usable value", i);
    return !wg_tape_status(tape);
}

wg_program *wg_compile(wg_tape *tape, const wg_var *outs, size_t nouts,
                       const wg_compile_options *options)
{
    wg_compile_options o = WG_COMPILE_DEFAULTS;
    if (options)
        memcpy(&o, options, options->struct_size < sizeof o ? options->struct_size : sizeof o);
    if (!can_compile(tape, outs, nouts))
        return NULL;
    wg__ids n = {nouts, 0, tape->inputs.len, tape->params.len};
    wg__graph g = {.ctx = tape->ctx, .report = tape, .tape = tape};
    wg_program *p = NULL;
    if (collect(tape, outs, !o.no_effects, &n, &g))
        p = wg__program_make(&g, &n, &o);
    wg__graph_free(&g);
    return p;
}
