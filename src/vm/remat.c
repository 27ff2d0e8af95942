/* Rematerialisation: values are given up and computed again, so that a plan stays within a target.
 *
 * The plan is compiled first, as it would be without a target. A step that runs again is the same
 * compiled step, on operands of the same bits, so that it gives the same bits; nothing is fused in
 * another way. The steps are gone through in order with a count of live bytes. Where a step needs more
 * than is left, values are evicted; where it needs a value that is gone, the step that computed it is
 * run before it, and those that this one needs in turn. What is evicted is what costs least to have
 * again, per byte and per step until it is used (after Kirisame et al., Dynamic Tensor
 * Rematerialization, 2021, who know the last use only; here the next one is known): costs include those
 * of what is gone already and would have to be computed with it. A chain of n steps so gets by with
 * O(sqrt n) values at about one more run of each.
 *
 * Here: which targets are tried, and the plan in its new order. */
#include "vm/remat_parts.h"

enum { HALVINGS = 8 }; /* of the gap between a target that cannot be met and one that can */

void wg__remat_free(wg_ctx *ctx, wg__remat *r)
{
    wg__vec_free(ctx, &r->order);
    wg__vec_free(ctx, &r->evicted);
    wg__vec_free(ctx, &r->dead);
}

/* The cheaper of two ways to meet the target: to let values go once nothing more reads them, or to keep
 * them as points from which others are computed again. */
static bool meet(wg__sim *s, size_t target, wg__remat *r)
{
    s->hoard = true;
    bool good = wg__sim_run(s, target, r);
    const double again = r->again;
    s->hoard = false;
    if (s->memory)
        return false;
    if (wg__sim_run(s, target, r) && (!good || r->again <= again))
        return true;
    s->hoard = true;
    return good && !s->memory && wg__sim_run(s, target, r);
}

/* The order for the target, or else for the least one that has an order. */
static bool find_order(wg__sim *s, size_t target, wg__remat *r)
{
    if (!wg__sim_run(s, SIZE_MAX, r))
        return false;
    const size_t plain = r->live;
    if (target >= plain || meet(s, target, r) || s->memory)
        return !s->memory;
    size_t low = 0, high = plain; /* the same least one, whatever the target */
    for (int i = 0; i < HALVINGS && !s->memory; i++) {
        size_t middle = low + (high - low) / 2;
        if (meet(s, middle, r))
            high = middle;
        else
            low = middle;
    }
    s->hoard = false;
    return !s->memory && (high < plain ? meet(s, high, r) : wg__sim_run(s, SIZE_MAX, r));
}

/* The steps as they are run, each of the later ones with slots of its own. */
static bool take_order(wg__planner *p, const wg__remat *r)
{
    wg__vm_plan *plan = p->plan;
    wg__vm_step *old = plan->steps.data;
    const size_t count = r->order.len;
    wg__vm_step *steps = wg__calloc(p->ctx, count + 1, sizeof *steps);
    if (!steps)
        return false;
    for (size_t i = 0; i < count; i++) {
        const wg__remat_entry *e = &r->order.data[i];
        steps[i] = old[e->step];
        if (!e->again)
            continue;
        steps[i].again = true;
        steps[i].together = 1;
        steps[i].slot = (uint32_t)plan->slots.len;
        if (plan->slots.len + steps[i].nslots > UINT32_MAX ||
            !wg__vec_reserve(p->ctx, &plan->slots, steps[i].nslots)) {
            wg__free(p->ctx, steps);
            return false;
        }
        for (uint32_t k = 0; k < steps[i].nslots; k++)
            plan->slots.data[plan->slots.len++] = plan->slots.data[old[e->step].slot + k];
    }
    wg__free(p->ctx, old);
    plan->steps.data = steps;
    plan->steps.len = plan->steps.cap = count;
    for (size_t id = 0; id < p->task->tape->nodes.len; id++)
        p->last[id] = WG__FOREVER;
    return true;
}

bool wg__planner_remat(wg__planner *p, size_t target, wg__remat *r)
{
    wg__sim s;
    bool good = wg__sim_make(&s, p) && find_order(&s, target, r);
    if (good) {
        p->plan->live = r->live;
        p->plan->again = r->again;
        p->plan->reruns = r->order.len - p->plan->steps.len;
        if (p->plan->reruns)
            good = take_order(p, r);
        else
            r->order.len = 0;
    }
    wg__sim_free(&s);
    return good;
}
