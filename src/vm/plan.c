/* The vm's plan of a tape: its clusters compiled, and where each value lies. Linear in the size of the
 * tape; recursive only over the nesting of sub-tapes. */
#include "base/isa.h"
#include "vm/planner.h"

wg_status wg__planner_no_memory(wg__planner *p)
{
    return wg__fail(p->maker->error, WG_NO_MEMORY, "out of memory");
}

/* ---- bodies ------------------------------------------------------------------------------------------ */

static const wg__vm_plan *find_plan(const wg__maker *m, const wg__fn *fn)
{
    uint32_t id = wg__pool_find(&m->bodies, &fn, sizeof fn);
    return id ? m->vm->plans.data[id - 1] : NULL;
}

static wg_status make(wg__maker *m, const wg__task *t);

/* The plan of a body, made once however many nodes run it. Its bound values are the formal inputs,
 * then the captures. */
static wg_status plan_body(wg__planner *p, const wg__fn *fn)
{
    const wg_tape *body = fn->body;
    if (find_plan(p->maker, fn))
        return WG_OK;
    wg__task t = {.tape = body,
                  .bound = body->inputs.data,
                  .nbound = body->inputs.len,
                  .roots = fn->outs,
                  .nroots = fn->nouts};
    wg_status status = make(p->maker, &t);
    if (status == WG_OK && !wg__pool_intern(&p->maker->bodies, &fn, sizeof fn))
        status = wg__planner_no_memory(p);
    return status;
}

wg_status wg__planner_bodies(wg__planner *p, wg__vm_step *step)
{
    wg__vm_plan *plan = p->plan;
    uint32_t node = step->node;
    wg_attrs a = wg__attrs_of(p->task->tape, node);
    step->u.kernel.sub = (uint32_t)plan->subs.len;
    for (uint32_t i = 0; a.slots && i < a.op->sig.nattrs; i++) {
        if (a.slots[i].kind != WG_ATTR_FN)
            continue;
        const wg__fn *fn = p->task->tape->fns.data[a.slots[i].v.i - 1].fn;
        wg_status status = plan_body(p, fn);
        if (status)
            return status;
        wg__vm_sub sub = {find_plan(p->maker, fn), node, i};
        if (!wg__vec_push(p->ctx, &plan->subs, sub))
            return wg__planner_no_memory(p);
        plan->products |= sub.plan->products;
        if (sub.plan->bytes > p->body_bytes)
            p->body_bytes = sub.plan->bytes;
    }
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
    for (size_t i = 0; i < t->nroots; i++)
        p->last[wg__base_of(&p->clusters, t->roots[i])] = WG__FOREVER;
    if ((status = wg__planner_steps(p)))
        return status;
    wg__planner_effects(p);
    if (!wg__planner_places(p))
        return wg__planner_no_memory(p);
    if (plan->bytes == SIZE_MAX)
        return wg__fail(p->maker->error, WG_NO_MEMORY, "the values exceed the address space");
    return WG_OK;
}

static void step_free(wg_ctx *ctx, wg__vm_step *step)
{
    if (step->kind == WG__LOOP)
        wg__loop_free(ctx, step->u.loop);
    if (step->kind == WG__PRODUCT)
        wg__product_free(ctx, step->u.product);
    if (step->kind == WG__SCALARS)
        wg__scalars_free(ctx, step->u.scalars);
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
    wg__vec_free(ctx, &plan->bound_slots);
    wg__free(ctx, plan->members);
    wg__free(ctx, plan->root_ids);
    wg__free(ctx, plan->roots);
    wg__free(ctx, plan->settle);
    wg__free(ctx, plan->settle_offset);
    wg__free(ctx, plan->settle_bytes);
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
                          .team = m->team,
                          .threads = wg__team_size(m->team)};
    plan->root_ids = wg__memdup(ctx, t->roots, t->nroots * sizeof *t->roots);
    plan->roots = wg__calloc(ctx, t->nroots, sizeof *plan->roots);
    plan->settle = wg__calloc(ctx, t->nroots, sizeof *plan->settle);
    plan->settle_offset = wg__calloc(ctx, t->nroots, sizeof *plan->settle_offset);
    plan->settle_bytes = wg__calloc(ctx, t->nroots, sizeof *plan->settle_bytes);
    if (plan->root_ids && plan->roots && plan->settle && plan->settle_offset && plan->settle_bytes)
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
    if (status == WG_OK)
        p->plan->flops = wg__vm_plan_flops(p->plan);
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
    wg__vec_free(ctx, &p->arena.blocks);
    wg__free(ctx, p);
    return status;
}

wg_status wg__vm_plan_make(wg__vm_plans *vm, wg__code *code, wg__error *error)
{
    wg_ctx *ctx = code->ctx;
    wg__maker m = {.vm = vm, .error = error, .isa = wg__isa_best(), .team = vm->team};
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
done:
    wg__pool_free(&m.bodies);
    wg__free(ctx, params);
    return status;
}
