/* The vm's plan of a tape: its clusters compiled, and where each value lies. Linear in the size of the
 * tape; recursive only over the nesting of sub-tapes. */
#include "base/isa.h"
#include "vm/planner.h"

wg_status wg__planner_no_memory(wg__planner *p)
{
    return wg__fail(p->maker->error, WG_NO_MEMORY, "out of memory");
}

/* ---- bodies ------------------------------------------------------------------------------------------ */

static const wg__vm_plan *find_plan(const wg__maker *m, const wg__planned *body)
{
    uint32_t id = wg__pool_find(&m->bodies, body, sizeof *body);
    return id ? m->vm->plans.data[id - 1] : NULL;
}

static wg_status make(wg__maker *m, const wg__task *t);

/* The plan of a body, made once however many nodes run it. Its bound values are the formal inputs,
 * then the captures. */
static wg_status plan_body(wg__planner *p, const wg__planned *what)
{
    const wg__fn *fn = what->fn;
    const wg_tape *body = fn->body;
    if (find_plan(p->maker, what))
        return WG_OK;
    wg__task t = {.tape = body,
                  .bound = body->inputs.data,
                  .nbound = body->inputs.len,
                  .roots = fn->outs,
                  .nroots = fn->nouts,
                  .body = true,
                  .alone = what->alone};
    wg_status status = make(p->maker, &t);
    if (status == WG_OK && !wg__pool_intern(&p->maker->bodies, what, sizeof *what))
        status = wg__planner_no_memory(p);
    return status;
}

/* Sums of sizes; SIZE_MAX: too large. */
static size_t plus(size_t a, size_t b)
{
    size_t aligned = b > SIZE_MAX - 63 ? SIZE_MAX : (b + 63) & ~(size_t)63;
    return a > SIZE_MAX - aligned ? SIZE_MAX : a + aligned;
}

/* A lane: a flag per body, their frames, and the frame that the lane's thread shows its kernel. */
static void lay_out_lanes(wg__planner *p, wg__vm_bodies *b, size_t lanes)
{
    size_t bytes = plus(0, b->count);
    for (uint32_t i = 0; i < b->count; i++) {
        wg__vm_sub *sub = &p->plan->subs.data[b->first + i];
        sub->at = bytes;
        bytes = plus(bytes, sub->plan->bytes);
    }
    b->lanes = lanes;
    b->head_at = bytes;
    b->lane_bytes = lanes > 1 ? plus(bytes, sizeof(wg__vm_frame)) : bytes;
    if (!wg__mul_size(b->lane_bytes, lanes, &bytes))
        bytes = SIZE_MAX;
    if (bytes > p->body_bytes)
        p->body_bytes = bytes;
}

wg_status wg__planner_bodies(wg__planner *p, wg__vm_step *step)
{
    wg__vm_plan *plan = p->plan;
    const wg_tape *t = p->task->tape;
    const wg_attrs a = wg__attrs_of(t, step->node);
    /* One item alone had better use the threads within. Lanes are memory: none where it is short. */
    const bool roomy = !p->maker->target || p->maker->target == SIZE_MAX;
    const bool spreads = (a.op->def.flags & WG_OP_SPREAD) && roomy && plan->threads > 1 &&
                         wg__node_runs(t, step->node) != 1;
    wg__vm_bodies *b = &step->u.kernel.bodies;
    const wg__fn *fn;
    *b = (wg__vm_bodies){.first = (uint32_t)plan->subs.len};
    for (; (fn = wg__node_fn_at(t, step->node, b->count)); b->count++) {
        const wg__planned what = {fn, p->task->alone || spreads};
        wg_status status = plan_body(p, &what);
        if (status)
            return status;
        wg__vm_sub sub = {find_plan(p->maker, &what), 0};
        if (!wg__vec_push(p->ctx, &plan->subs, sub))
            return wg__planner_no_memory(p);
        plan->products |= sub.plan->products;
    }
    const bool pays = spreads && wg__vm_kernel_cost(plan, step) >= WG__VM_GRAIN;
    lay_out_lanes(p, b, pays ? plan->threads : 1);
    return WG_OK;
}

/* ---- all together ---------------------------------------------------------------------------------------- */

static wg_status plan_all(wg__planner *p)
{
    const wg__task *t = p->task;
    wg__vm_plan *plan = p->plan;
    wg_ctx *ctx = p->ctx;
    size_t n = t->tape->nodes.len;
    wg__str *notes = p->maker->vm->explain ? &p->maker->vm->notes : NULL;
    wg_status status = wg__clusters_make(t->tape, t->roots, t->nroots, notes, &p->clusters,
                                         t->params, t->values, t->neffects, t->in_place);
    if (status)
        return wg__fail(p->maker->error, status, "%s", wg_status_text(status));
    p->place = wg__calloc(ctx, n, sizeof *p->place);
    p->last = wg__calloc(ctx, n, sizeof *p->last);
    p->slot_of = wg__calloc(ctx, n, sizeof *p->slot_of);
    p->slot_step = wg__calloc(ctx, n, sizeof *p->slot_step);
    p->member_at = wg__calloc(ctx, p->clusters.members.len, sizeof *p->member_at);
    plan->members =
        wg__memdup(ctx, p->clusters.members.data, p->clusters.members.len * sizeof(uint32_t));
    if (!p->place || !p->last || !p->slot_of || !p->slot_step || !p->member_at || !plan->members ||
        !wg__place_sources(t->tape, t->bound, t->nbound, p->place, &plan->literals))
        return wg__planner_no_memory(p);
    wg__planner_roots(p);
    if ((status = wg__planner_steps(p)))
        return status;
    if (!wg__planner_effects(p) || !wg__planner_places(p))
        return wg__planner_no_memory(p);
    if (plan->bytes == SIZE_MAX)
        return wg__fail(p->maker->error, WG_NO_MEMORY, "the values exceed the address space");
    return WG_OK;
}

static void step_free(wg_ctx *ctx, wg__vm_step *step)
{
    if (step->again)
        return;
    if (step->kind == WG__LOOP)
        wg__loop_free(ctx, step->u.loop);
    if (step->kind == WG__PRODUCT)
        wg__product_free(ctx, step->u.product);
    if (step->kind == WG__SCALARS)
        wg__scalars_free(ctx, step->u.scalars);
    if (step->kind == WG__CONCAT)
        wg__join_free(ctx, step->u.join);
}

void wg__vm_plan_free(wg__vm_plan *plan)
{
    if (!plan)
        return;
    wg_ctx *ctx = plan->ctx;
    for (size_t i = 0; i < plan->steps.len; i++)
        step_free(ctx, &plan->steps.data[i]);
    wg__vec_free(ctx, &plan->steps);
    wg__vec_free(ctx, &plan->slots);
    wg__vec_free(ctx, &plan->subs);
    wg__free(ctx, plan->pointed);
    wg__free(ctx, plan->pointed_end);
    wg__free(ctx, plan->members);
    wg__free(ctx, plan->roots);
    wg__free(ctx, plan->literals);
    wg__free(ctx, plan);
}

static wg__vm_plan *plan_new(const wg__maker *m, const wg__task *t)
{
    wg_ctx *ctx = t->tape->ctx;
    wg__vm_plan *plan = wg__calloc(ctx, 1, sizeof *plan);
    if (!plan)
        return NULL;
    *plan = (wg__vm_plan){.ctx = ctx,
                          .tape = t->tape,
                          .nbound = t->nbound,
                          .nroots = t->nroots,
                          .nbinds = t->nbound + (t->body ? t->nroots : 0),
                          .team = m->team,
                          .threads = t->alone ? 1 : wg__team_size(m->team)};
    plan->roots = wg__calloc(ctx, t->nroots, sizeof *plan->roots);
    plan->pointed_end = wg__calloc(ctx, plan->nbinds, sizeof *plan->pointed_end);
    if (plan->roots && plan->pointed_end)
        return plan;
    wg__vm_plan_free(plan);
    return NULL;
}

static wg_status make(wg__maker *m, const wg__task *t)
{
    wg_ctx *ctx = t->tape->ctx;
    wg__planner *p = wg__calloc(ctx, 1, sizeof *p);
    if (!p)
        return wg__fail(m->error, WG_NO_MEMORY, "out of memory");
    p->ctx = ctx;
    p->maker = m;
    p->task = t;
    p->plan = plan_new(m, t);
    wg_status status = p->plan ? plan_all(p) : wg__planner_no_memory(p);
    if (status == WG_OK) {
        p->plan->flops = wg__vm_plan_flops(p->plan);
        p->plan->cost = wg__vm_plan_cost(p->plan);
    }
    if (status == WG_OK && !wg__vec_push(ctx, &m->vm->plans, p->plan))
        status = wg__planner_no_memory(p);
    if (status)
        wg__vm_plan_free(p->plan);
    wg__clusters_free(&p->clusters);
    wg__free(ctx, p->place);
    wg__free(ctx, p->last);
    wg__free(ctx, p->slot_of);
    wg__free(ctx, p->slot_step);
    wg__free(ctx, p->member_at);
    p->arena.ctx = ctx;
    wg__arena_clear(&p->arena);
    wg__remat_free(ctx, &p->remat);
    wg__free(ctx, p);
    return status;
}

wg_status wg__vm_plan_make(wg__vm_plans *vm, wg__code *code, wg__error *error)
{
    wg_ctx *ctx = code->ctx;
    wg__maker m = {
        .vm = vm, .error = error, .isa = wg__isa_best(), .team = vm->team, .target = code->target};
    wg__task t = {.tape = code->tape, .neffects = code->neffects};
    uint32_t *params = wg__calloc(ctx, 2 * t.neffects, sizeof *params);
    code->in_place = wg__calloc(ctx, t.neffects, sizeof *code->in_place);
    wg_status status = WG_NO_MEMORY;
    wg__pool_init(&m.bodies, ctx);
    if (!params || !code->in_place) {
        wg__fail(error, WG_NO_MEMORY, "out of memory");
        goto done;
    }
    t.bound = code->bound;
    t.nbound = code->ninputs + code->nparams;
    t.roots = code->roots;
    t.nroots = code->nouts + code->neffects;
    t.values = code->roots + code->nouts;
    t.params = params;
    t.param_bound = params + t.neffects;
    t.in_place = code->in_place;
    for (size_t e = 0; e < t.neffects; e++) {
        params[t.neffects + e] = (uint32_t)code->ninputs + code->targets[e];
        params[e] = code->bound[params[t.neffects + e]];
    }
    status = make(&m, &t);
    if (!status) {
        code->live = wg__vm_main(vm)->live;
        code->again = wg__vm_main(vm)->again;
    }
done:
    wg__pool_free(&m.bodies);
    wg__free(ctx, params);
    return status;
}
