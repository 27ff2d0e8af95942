/* Programs: compiling a tape. The graph of what outputs and effects need goes through the passes;
 * what comes out is a private tape that nobody changes any more, with the ports that lead from the
 * compiled tape's vars to it, and the executor's plan. */
#include <stdlib.h>
#include <string.h>

#include "exec/exec.h"

/* All ways to run; the first is the default. */
static const wg__executor *const executors[] = {&wg__reference};
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

/* ---- ports --------------------------------------------------------------------------------------- */

static int by_bits(const void *a, const void *b)
{
    uint64_t x = ((const wg__key *)a)->bits, y = ((const wg__key *)b)->bits;
    return x < y ? -1 : x > y;
}

static int by_name(const void *a, const void *b)
{
    const wg__port *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static bool ports_make(wg_ctx *ctx, wg__ports *ports, size_t len)
{
    ports->data = wg__calloc(ctx, len, sizeof *ports->data);
    ports->keys = wg__calloc(ctx, len, sizeof *ports->keys);
    ports->by_name = wg__calloc(ctx, len, sizeof *ports->by_name);
    return ports->data && ports->keys && ports->by_name;
}

static void ports_sort(wg__ports *ports, bool named)
{
    for (size_t i = 0; i < ports->len; i++) {
        ports->keys[i] = (wg__key){ports->data[i].bits, (uint32_t)i};
        ports->by_name[i] = &ports->data[i];
    }
    qsort(ports->keys, ports->len, sizeof *ports->keys, by_bits);
    if (named)
        qsort(ports->by_name, ports->len, sizeof *ports->by_name, by_name);
}

static void ports_free(wg_ctx *ctx, wg__ports *ports)
{
    for (size_t i = 0; i < ports->len; i++)
        wg__free(ctx, ports->data[i].name);
    wg__free(ctx, ports->data);
    wg__free(ctx, ports->keys);
    wg__free(ctx, ports->by_name);
}

size_t wg__port_find(const wg__ports *ports, const wg_tape *source, wg_var var)
{
    const wg__key key = {var.bits, 0}, *found = NULL;
    if (var.tape == source && ports->len)
        found = bsearch(&key, ports->keys, ports->len, sizeof key, by_bits);
    return found ? found->index : SIZE_MAX;
}

size_t wg__port_named(const wg__ports *ports, const char *name)
{
    wg__port port = {.name = (char *)name}, *key = &port, **found = NULL;
    if (name && ports->len)
        found = bsearch(&key, ports->by_name, ports->len, sizeof key, by_name);
    return found ? (size_t)(*found - ports->data) : SIZE_MAX;
}

/* ---- freeing --------------------------------------------------------------------------------------- */

void wg__program_ref(wg_program *program) { atomic_fetch_add(&program->refs, 1); }

void wg_program_free(wg_program *program)
{
    if (!program || atomic_fetch_sub(&program->refs, 1) != 1)
        return;
    wg_ctx *ctx = program->ctx;
    wg__plans_free(ctx, &program->plans);
    ports_free(ctx, &program->inputs);
    ports_free(ctx, &program->params);
    ports_free(ctx, &program->outs);
    wg__free(ctx, program->targets);
    wg__free(ctx, program->values);
    wg__tape_destroy(program->tape);
    wg__free(ctx, program);
    wg__ctx_unref(ctx);
}

/* ---- from a graph to a program ----------------------------------------------------------------------- */

/* One compilation. */
typedef struct compiler {
    wg_program *p;
    wg__graph *g;
    const wg__ids *n;
    const uint32_t *before; /* ids on the compiled tape */
    const wg_tape *source;
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
    port->id = c->g->ids[k];
    uint32_t type = wg__intern_type(c->p->tape, wg__type_at(c->source, c->before[k]));
    port->type = type ? wg__pool_get(&c->p->tape->types, type, NULL) : NULL;
    return type && (!named || port_name(c, c->before[k], port));
}

/* Ports for the `count` graph ids from `first` on that are still there (or gone). */
static bool add_ports(const compiler *c, wg__ports *ports, size_t first, size_t count, bool named,
                      bool gone)
{
    for (size_t k = first; k < first + count; k++)
        if ((c->g->ids[k] == WG__NONE) == gone && !add_port(c, ports, k, named))
            return false;
    return true;
}

static bool take_ports(compiler *c)
{
    wg_program *p = c->p;
    const wg__ids *n = c->n;
    size_t inputs = n->nouts + 2 * n->neffects, params = inputs + n->ninputs;
    if (!ports_make(p->ctx, &p->outs, n->nouts) || !ports_make(p->ctx, &p->inputs, n->ninputs) ||
        !ports_make(p->ctx, &p->params, n->nparams) ||
        !add_ports(c, &p->outs, 0, n->nouts, false, false) ||
        !add_ports(c, &p->inputs, inputs, n->ninputs, true, false))
        return false;
    p->ninputs = p->inputs.len;
    if (!add_ports(c, &p->inputs, inputs, n->ninputs, true, true) ||
        !add_ports(c, &p->params, params, n->nparams, true, false))
        return false;
    ports_sort(&p->outs, false);
    ports_sort(&p->inputs, true);
    ports_sort(&p->params, true);
    return true;
}

/* The passes keep effects apart from the tape; here they come back onto it, as nodes at its end. */
static bool take_effects(compiler *c)
{
    wg_program *p = c->p;
    const uint32_t *values = c->g->ids + c->n->nouts, *targets = values + c->n->neffects;
    const uint32_t *before = c->before + c->n->nouts + c->n->neffects;
    p->targets = wg__calloc(p->ctx, c->n->neffects, sizeof *p->targets);
    p->values = wg__calloc(p->ctx, c->n->neffects, sizeof *p->values);
    if (!p->targets || !p->values)
        return false;
    for (size_t e = 0; e < c->n->neffects; e++) {
        wg_var param = wg__var(p->tape, targets[e]);
        if (!wg_ok(wg_assign(param, wg__var(p->tape, values[e]))))
            return false;
        p->values[e] = values[e];
        p->targets[e] =
            (uint32_t)wg__port_find(&p->params, c->source, wg__var(c->source, before[e]));
    }
    p->neffects = c->n->neffects;
    return true;
}

/* An unknown initialiser is told here, where the graph is at hand, not at the first session. */
static bool check_inits(const compiler *c)
{
    wg_program *p = c->p;
    bool good = true;
    for (size_t i = 0; i < p->params.len && good; i++) {
        const wg__port *param = &p->params.data[i];
        wg_init init = wg__init_of(p->tape, param->id);
        wg__str why = wg__str_make(p->ctx);
        good = wg__init_fill(&init, param->type, 0, param->name, NULL, &why);
        if (!good)
            wg__tape_fail(c->g->report, WG_INVALID, "param \"%s\": %s", param->name,
                          wg__str_text(&why));
        wg__str_free(&why);
    }
    return good;
}

static bool plan(const compiler *c)
{
    wg__error error = {WG_OK, wg__str_make(c->p->ctx)};
    wg_status status = c->p->executor->plan(c->p, &error);
    if (status)
        wg__tape_fail(c->g->report, status, "compile: %s", wg__error_text(&error));
    wg__str_free(&error.text);
    return status == WG_OK;
}

static wg_program *program_new(wg_ctx *ctx, const wg_tape *source, const wg__executor *executor)
{
    wg_program *p = wg__calloc(ctx, 1, sizeof *p);
    if (!p)
        return NULL;
    wg__ctx_ref(ctx);
    p->ctx = ctx;
    p->source = source;
    p->executor = executor;
    atomic_init(&p->refs, 1);
    return p;
}

static bool build(compiler *c, bool verify)
{
    if (wg__pipeline(c->g, verify))
        return false;
    c->p->tape = c->g->owned;
    c->g->owned = NULL;
    return take_ports(c) && take_effects(c) && check_inits(c) && plan(c);
}

wg_program *wg__program_make(wg__graph *graph, const wg__ids *ids,
                             const wg_compile_options *options)
{
    const wg__executor *executor = find_executor(graph->report, options->executor);
    if (!executor)
        return NULL;
    wg_ctx *ctx = graph->ctx;
    compiler c = {program_new(ctx, graph->tape, executor), graph, ids, NULL, graph->tape};
    uint32_t *before = wg__memdup(ctx, graph->ids, graph->nids * sizeof *graph->ids);
    c.before = before;
    if (!c.p || !before || !build(&c, options->verify)) {
        if (c.p && c.p->tape)
            wg__graph_tell(graph, c.p->tape);
        if (!wg_tape_status(graph->report))
            wg__tape_no_memory(graph->report);
        wg_program_free(c.p);
        c.p = NULL;
    }
    wg__free(ctx, before);
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

/* ---- looking at programs ------------------------------------------------------------------------------- */

wg_ctx *wg_program_ctx(const wg_program *program) { return program ? program->ctx : NULL; }

const wg_tape *wg_program_tape(const wg_program *program) { return program ? program->tape : NULL; }

size_t wg_program_ninputs(const wg_program *program) { return program ? program->ninputs : 0; }

size_t wg_program_nparams(const wg_program *program) { return program ? program->params.len : 0; }

size_t wg_program_noutputs(const wg_program *program) { return program ? program->outs.len : 0; }

static const char *port_at(const wg__ports *ports, size_t len, size_t index, wg_type *type)
{
    if (index >= len)
        return NULL;
    if (type)
        *type = *ports->data[index].type;
    return ports->data[index].name;
}

const char *wg_program_input(const wg_program *program, size_t index, wg_type *type)
{
    return program ? port_at(&program->inputs, program->ninputs, index, type) : NULL;
}

const char *wg_program_param(const wg_program *program, size_t index, wg_type *type)
{
    return program ? port_at(&program->params, program->params.len, index, type) : NULL;
}

size_t wg_program_bytes(const wg_program *program)
{
    return program ? wg__session_bytes(program, true) : 0;
}
