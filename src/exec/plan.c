/* The reference plan: every node of a tape in order, and where each value lies. Buffers of a frame
 * are reused once their last reader has run. Linear in the size of the tape; recursive only over
 * the nesting of sub-tapes. */
#include <string.h>

#include "exec/reference.h"

/* ---- planning ------------------------------------------------------------------------------------ */

/* The making of all plans of a program. */
typedef struct maker {
    wg__plans *plans;
    wg__pool bodies; /* pointers to the fns planned so far: id - 1 is the index in *plans */
    wg__error *error;
} maker;

/* The making of one. */
typedef struct planner {
    wg_ctx *ctx;
    maker *maker;
    wg__plan *plan;
    const wg_tape *tape;
    uint32_t *readers; /* by id: how many operands and roots still read it */
    wg_view *views;    /* of the node at hand, for scratch queries */
    size_t nviews;     /* most that a node needs */
    size_t body_bytes; /* of the largest frame of a body */
    wg__arena arena;
    wg__error *error;
} planner;

static wg_status no_memory(planner *p) { return wg__fail(p->error, WG_NO_MEMORY, "out of memory"); }

static bool is_read(const planner *p, uint32_t head)
{
    const wg__node *n = wg__node_at(p->tape, head);
    for (uint32_t i = 0; i < n->nout; i++)
        if (p->readers[head + i])
            return true;
    return false;
}

static bool runs(const planner *p, uint32_t id)
{
    const wg__node *n = wg__node_at(p->tape, id);
    uint32_t flags = wg__op_of(p->tape, id)->def.flags;
    return n->out == 0 && !(flags & (WG_OP_SOURCE | WG_OP_EFFECT)) && is_read(p, id);
}

/* Counts the readers of what the roots need, from the last node to the first. */
static void count_readers(planner *p)
{
    const wg__plan *plan = p->plan;
    for (size_t i = 0; i < plan->nroots; i++)
        p->readers[plan->roots[i]]++;
    for (size_t i = p->tape->nodes.len; i-- > 0;) {
        const wg__node *n = wg__node_at(p->tape, (uint32_t)i);
        if (!runs(p, (uint32_t)i))
            continue;
        const uint32_t *in = wg__operands(p->tape, n);
        for (uint16_t k = 0; k < n->nin; k++)
            p->readers[in[k]]++;
        if ((size_t)n->nin + n->nout > p->nviews)
            p->nviews = (size_t)n->nin + n->nout;
    }
}

/* A value that the step before it was the last to read. */
static bool release(planner *p, uint32_t id)
{
    const wg__place *at = &p->plan->place[id];
    if (--p->readers[id] || at->where != WG__FRAME)
        return true;
    return wg__arena_give(&p->arena, at->at, wg__type_bytes(wg__type_at(p->tape, id)));
}

static void place_outputs(planner *p, uint32_t id)
{
    const wg__node *n = wg__node_at(p->tape, id);
    for (uint32_t i = id; i < id + n->nout; i++)
        if (p->readers[i]) {
            size_t at = wg__arena_take(&p->arena, wg__type_bytes(wg__type_at(p->tape, i)));
            p->plan->place[i] = (wg__place){WG__FRAME, at};
        }
}

static bool release_operands(planner *p, uint32_t id)
{
    const wg__node *n = wg__node_at(p->tape, id);
    const uint32_t *in = wg__operands(p->tape, n);
    for (uint16_t k = 0; k < n->nin; k++)
        if (!release(p, in[k]))
            return false;
    return true;
}

static wg_status no_kernel(planner *p, uint32_t id)
{
    const wg__op *op = wg__op_of(p->tape, id);
    const wg__node *n = wg__node_at(p->tape, id);
    wg__str given = wg__str_make(p->ctx), known = wg__str_make(p->ctx);
    for (uint16_t k = 0; k < n->nin; k++)
        wg__str_addf(&given, "%s%s", k ? ", " : "", wg_dtype_name(p->views[k].type->dtype));
    wg__op_add_dtypes(op, &known);
    wg__fail(p->error, WG_UNSUPPORTED, "%s \"%s\" has no kernel for (%s); it has: %s", op->name,
             wg__text(p->tape, n->name), wg__str_text(&given), wg__str_text(&known));
    wg__str_free(&given);
    wg__str_free(&known);
    return WG_UNSUPPORTED;
}

static wg_status find_kernel(planner *p, uint32_t id, wg__step *step)
{
    const wg__op *op = wg__op_of(p->tape, id);
    const wg__node *n = wg__node_at(p->tape, id);
    const uint32_t *in = wg__operands(p->tape, n);
    const wg_type *types[WG__MAX_OPERANDS], **of = types, *outs[WG__MAX_OUTS];
    if (n->nin > WG__MAX_OPERANDS && !(of = wg__calloc(p->ctx, n->nin, sizeof *of)))
        return no_memory(p);
    for (uint16_t k = 0; k < n->nin; k++)
        p->views[k] = (wg_view){NULL, of[k] = wg__type_at(p->tape, in[k])};
    for (uint16_t k = 0; k < n->nout; k++) {
        p->views[n->nin + k] = (wg_view){NULL, wg__type_at(p->tape, id + k)};
        if (k < WG__MAX_OUTS)
            outs[k] = p->views[n->nin + k].type;
    }
    step->kernel = wg__op_kernel(op, of, n->nin, outs);
    if (of != types)
        wg__free(p->ctx, of);
    if (!step->kernel)
        return no_kernel(p, id);
    if (step->kernel->loop && n->nin > WG__MAX_OPERANDS)
        return wg__fail(p->error, WG_UNSUPPORTED, "%s: elementwise ops take at most %d operands",
                        op->name, WG__MAX_OPERANDS);
    return WG_OK;
}

static size_t scratch_bytes(planner *p, const wg__step *step)
{
    const wg__node *n = wg__node_at(p->tape, step->id);
    wg_attrs attrs = wg__attrs_of(p->tape, step->id);
    wg_kernel_call c = {n->nin,
                        n->nout,
                        p->views,
                        p->views + n->nin,
                        &attrs,
                        NULL,
                        wg__op_of(p->tape, step->id)->def.data,
                        NULL};
    return step->kernel->scratch ? step->kernel->scratch(&c) : 0;
}

/* ---- bodies ------------------------------------------------------------------------------------- */

static const wg__plan *find_plan(const maker *m, const wg__fn *fn)
{
    uint32_t id = wg__pool_find(&m->bodies, &fn, sizeof fn);
    return id ? m->plans->data[id - 1] : NULL;
}

static wg_status make(maker *m, const wg_tape *tape, const uint32_t *bound, size_t nbound,
                      const uint32_t *roots, size_t nroots);

/* The plan of a body, made once however many nodes run it. Its bound values are the formal inputs,
 * then the captures. */
static wg_status plan_body(planner *p, const wg__fn *fn)
{
    const wg_tape *body = fn->body;
    if (find_plan(p->maker, fn))
        return WG_OK;
    wg_status status =
        make(p->maker, body, body->inputs.data, body->inputs.len, fn->outs, fn->nouts);
    if (status == WG_OK && !wg__pool_intern(&p->maker->bodies, &fn, sizeof fn))
        status = no_memory(p);
    return status;
}

/* The bodies that the node runs. */
static wg_status find_bodies(planner *p, wg__step *step)
{
    wg__plan *plan = p->plan;
    const wg__fn *fn;
    step->sub = (uint32_t)plan->subs.len;
    for (uint32_t i = 0; (fn = wg__node_fn_at(p->tape, step->id, i)); i++) {
        wg_status status = plan_body(p, fn);
        if (status)
            return status;
        wg__sub sub = {find_plan(p->maker, fn), step->id, i};
        if (!wg__vec_push(p->ctx, &plan->subs, sub))
            return no_memory(p);
        if (sub.plan->bytes > p->body_bytes)
            p->body_bytes = sub.plan->bytes;
    }
    return WG_OK;
}

/* ---- all together -------------------------------------------------------------------------------- */

static wg_status plan_step(planner *p, uint32_t id)
{
    wg__step step = {id, 0, 0, NULL};
    wg_status status = find_kernel(p, id, &step);
    if (status)
        return status;
    size_t scratch = scratch_bytes(p, &step);
    place_outputs(p, id);
    step.scratch = wg__arena_take(&p->arena, scratch);
    if ((status = find_bodies(p, &step)))
        return status;
    if (!wg__arena_give(&p->arena, step.scratch, scratch) || !release_operands(p, id) ||
        !wg__vec_push(p->ctx, &p->plan->steps, step))
        return no_memory(p);
    return WG_OK;
}

/* Roots that no step computes are copied into the frame at the end, so that binding anew and
 * commits leave them alone, and a body may hand out its own inputs. */
static void place_roots(planner *p)
{
    wg__plan *plan = p->plan;
    for (size_t i = 0; i < plan->nroots; i++) {
        const wg__place *at = &plan->place[plan->roots[i]];
        plan->root_at[i] =
            at->where == WG__FRAME
                ? at->at
                : wg__arena_take(&p->arena, wg__type_bytes(wg__type_at(p->tape, plan->roots[i])));
    }
}

static wg_status plan_all(planner *p)
{
    wg__plan *plan = p->plan;
    count_readers(p);
    if (!(p->views = wg__calloc(p->ctx, p->nviews, sizeof *p->views)) ||
        !wg__place_sources(p->tape, plan->bound, plan->nbound, plan->place, &plan->literals))
        return no_memory(p);
    p->arena.ctx = p->ctx;
    wg__arena_take(&p->arena, sizeof(wg__frame));
    plan->bound_at = wg__arena_take(&p->arena, plan->nbound * sizeof(void *));
    plan->views_at = wg__arena_take(&p->arena, p->nviews * sizeof(wg_view));
    for (size_t i = 0; i < p->tape->nodes.len; i++) {
        wg_status status = runs(p, (uint32_t)i) ? plan_step(p, (uint32_t)i) : WG_OK;
        if (status)
            return status;
    }
    place_roots(p);
    plan->body_at = wg__arena_append(&p->arena, p->body_bytes); /* for all steps: never shared */
    plan->bytes = p->arena.top;
    if (plan->bytes == SIZE_MAX)
        return wg__fail(p->error, WG_NO_MEMORY, "the values exceed the address space");
    return WG_OK;
}

static void plan_free(wg__plan *plan)
{
    wg__vec_free(plan->ctx, &plan->steps);
    wg__vec_free(plan->ctx, &plan->subs);
    wg__free(plan->ctx, plan->place);
    wg__free(plan->ctx, plan->bound);
    wg__free(plan->ctx, plan->roots);
    wg__free(plan->ctx, plan->root_at);
    wg__free(plan->ctx, plan->literals);
    wg__free(plan->ctx, plan);
}

static wg__plan *plan_new(const wg_tape *tape, const uint32_t *bound, size_t nbound,
                          const uint32_t *roots, size_t nroots)
{
    wg_ctx *ctx = tape->ctx;
    wg__plan *plan = wg__calloc(ctx, 1, sizeof *plan);
    if (!plan)
        return NULL;
    *plan = (wg__plan){.ctx = ctx, .tape = tape, .nbound = nbound, .nroots = nroots};
    plan->place = wg__calloc(ctx, tape->nodes.len, sizeof *plan->place);
    plan->bound = wg__memdup(ctx, bound, nbound * sizeof *bound);
    plan->roots = wg__memdup(ctx, roots, nroots * sizeof *roots);
    plan->root_at = wg__calloc(ctx, nroots, sizeof *plan->root_at);
    if (plan->place && plan->bound && plan->roots && plan->root_at)
        return plan;
    plan_free(plan);
    return NULL;
}

static wg_status make(maker *m, const wg_tape *tape, const uint32_t *bound, size_t nbound,
                      const uint32_t *roots, size_t nroots)
{
    planner *p = wg__calloc(tape->ctx, 1, sizeof *p);
    if (!p)
        return wg__fail(m->error, WG_NO_MEMORY, "out of memory");
    *p = (planner){.ctx = tape->ctx, .maker = m, .tape = tape, .error = m->error};
    p->readers = wg__calloc(p->ctx, tape->nodes.len, sizeof *p->readers);
    p->plan = plan_new(tape, bound, nbound, roots, nroots);
    wg_status status = p->readers && p->plan ? plan_all(p) : no_memory(p);
    if (status == WG_OK && !wg__vec_push(p->ctx, m->plans, p->plan))
        status = no_memory(p);
    if (status && p->plan)
        plan_free(p->plan);
    wg__free(p->ctx, p->readers);
    wg__free(p->ctx, p->views);
    wg__vec_free(p->ctx, &p->arena.blocks);
    wg__free(p->ctx, p);
    return status;
}

wg_status wg__plan_make(wg__plans *plans, const wg_tape *tape, const uint32_t *bound, size_t nbound,
                        const uint32_t *roots, size_t nroots, wg__error *error)
{
    maker m = {.plans = plans, .error = error};
    wg__pool_init(&m.bodies, tape->ctx);
    wg_status status = make(&m, tape, bound, nbound, roots, nroots);
    wg__pool_free(&m.bodies);
    return status;
}

const wg__plan *wg__plan_main(const wg__plans *plans)
{
    return plans->len ? plans->data[plans->len - 1] : NULL;
}

void wg__plans_free(wg_ctx *ctx, wg__plans *plans)
{
    for (size_t i = 0; i < plans->len; i++)
        plan_free(plans->data[i]);
    wg__vec_free(ctx, plans);
}
