/* Rematerialisation: what is known of the steps and values of a plan before it is gone through: sizes,
 * who reads what, and until when a step may run again.
 *
 * Never run again: what has effects, scalars (their values are few bytes), and what could fail, or reads
 * a param that is overwritten in place, once the first param is written. */
#include <string.h>

#include "vm/remat_parts.h"

static size_t rounded(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

size_t wg__sim_work(const wg__vm_step *step)
{
    if (step->kind == WG__LOOP)
        return rounded(wg__loop_partials(step->u.loop));
    if (step->kind == WG__PRODUCT)
        return rounded(wg__product_partials(step->u.product)) +
               rounded(wg__product_shared(step->u.product));
    return step->kind == WG__KERNEL ? rounded(step->scratch) : 0;
}

static bool may_repeat(const wg__sim *s, const wg__vm_step *step)
{
    const wg_tape *t = s->p->task->tape;
    if (step->kind == WG__SCALARS || step->commits)
        return false;
    for (uint32_t i = 0; i < step->nmembers; i++)
        if (!wg__is_pure(wg__op_of(t, s->plan->members[step->member + i])))
            return false;
    return true;
}

static bool may_fail(const wg__sim *s, const wg__vm_step *step)
{
    const wg_tape *t = s->p->task->tape;
    for (uint32_t i = 0; i < step->nmembers; i++) {
        uint32_t flags = wg__op_of(t, s->plan->members[step->member + i])->def.flags;
        if (!(flags & (WG_OP_TOTAL | WG_OP_ELEMENTWISE)))
            return true;
    }
    return false;
}

static void find_values(wg__sim *s)
{
    const wg__clusters *c = &s->p->clusters;
    const wg_tape *t = s->p->task->tape;
    for (uint32_t id = 0; id < sim_nodes(s); id++) {
        uint32_t step = c->of[wg__head(t, id)];
        if (step == WG__NO_CLUSTER || !c->stored[id] || s->p->place[id].where != WG__NOWHERE ||
            s->plan->steps.data[step].kind == WG__SCALARS)
            continue;
        const uint32_t holder = wg__holder_of(c, id);
        if (holder != id) { /* a part of what it is there with the first one of */
            if (!s->joined[holder] || step < s->def[holder])
                s->def[holder] = step;
            s->joined[holder] = true;
            continue;
        }
        size_t bytes = rounded(wg__type_bytes(wg__type_at(t, id)));
        s->bytes[id] = bytes ? bytes : 64;
        s->def[id] = s->joined[id] ? s->def[id] : step;
        s->kept[id] = s->p->last[id] == WG__FOREVER;
    }
}

/* Whether the step writes a part of `id`. */
static bool fills(const wg__sim *s, uint32_t step, uint32_t id)
{
    const wg__vm_step *at = &s->plan->steps.data[step];
    const wg_tape *t = s->p->task->tape;
    for (uint32_t m = 0; m < at->nmembers && s->joined[id]; m++) {
        const uint32_t head = s->plan->members[at->member + m];
        for (uint32_t k = 0; k < wg__node_at(t, head)->nout; k++)
            if (head + k != id && wg__holder_of(&s->p->clusters, head + k) == id)
                return true;
    }
    return false;
}

bool wg__sim_reads(const wg__sim *s, uint32_t step, uint32_t k)
{
    const wg__vm_step *at = &s->plan->steps.data[step];
    const wg__vm_slot *slots = &s->plan->slots.data[at->slot];
    uint32_t id = slots[k].id;
    if (!is_managed(s, id) || s->def[id] == step || fills(s, step, id))
        return false;
    for (uint32_t i = 0; i < k && at->kind == WG__KERNEL; i++)
        if (slots[i].id == id)
            return false;
    return true;
}

static bool find_uses(wg__sim *s)
{
    const size_t n = sim_nodes(s);
    uint32_t total = 0;
    for (uint32_t i = 0; i < s->steps; i++)
        for (uint32_t k = 0; k < s->plan->steps.data[i].nslots; k++)
            if (wg__sim_reads(s, i, k)) {
                s->first[slot_id(s, i, k) + 1]++;
                total++;
            }
    for (size_t id = 0; id < n; id++)
        s->first[id + 1] += s->first[id];
    if (!(s->use = wg__calloc(s->p->ctx, total + 1, sizeof *s->use)))
        return false;
    memcpy(s->next, s->first, n * sizeof *s->next);
    for (uint32_t i = 0; i < s->steps; i++)
        for (uint32_t k = 0; k < s->plan->steps.data[i].nslots; k++)
            if (wg__sim_reads(s, i, k))
                s->use[s->next[slot_id(s, i, k)]++] = i;
    return true;
}

/* The step that overwrites what a slot reads; UINT32_MAX: none. */
static uint32_t overwritten(const wg__sim *s, uint32_t id)
{
    const wg__task *t = s->p->task;
    for (size_t e = 0; e < t->neffects; e++)
        if (t->params[e] == id && t->in_place[e])
            return s->p->clusters.of[wg__head(t->tape, t->values[e])];
    return UINT32_MAX;
}

static uint32_t earlier(uint32_t a, uint32_t b) { return a < b ? a : b; }

static void find_limits(wg__sim *s)
{
    uint32_t commit = UINT32_MAX;
    for (uint32_t i = s->steps; i-- > 0;)
        commit = s->plan->steps.data[i].commits ? i : commit;
    for (uint32_t i = 0; i < s->steps; i++) {
        const wg__vm_step *step = &s->plan->steps.data[i];
        uint32_t until = may_fail(s, step) ? commit : UINT32_MAX;
        s->cost[i] = step->kind == WG__KERNEL ? wg__vm_kernel_cost(s->plan, step) : step->cost;
        s->cost[i] += 50;
        for (uint32_t k = 0; k < step->nslots; k++) {
            uint32_t id = slot_id(s, i, k);
            if (wg__sim_reads(s, i, k))
                until = earlier(until, s->until[s->def[id]]);
            else if (id != WG__NONE && commit != UINT32_MAX && s->p->place[id].where == WG__BOUND)
                until = earlier(until, overwritten(s, id));
            /* what is joined is there once: parts are not written when it is gone */
            if (is_managed(s, id) && fills(s, i, id) && !s->kept[id])
                until = earlier(until, s->use[s->first[id + 1] - 1]);
        }
        s->until[i] = may_repeat(s, step) ? until : 0;
    }
}

bool wg__sim_make(wg__sim *s, wg__planner *p)
{
    wg_ctx *ctx = p->ctx;
    const size_t n = p->task->tape->nodes.len;
    *s = (wg__sim){.p = p, .plan = p->plan, .steps = (uint32_t)p->plan->steps.len};
    s->bytes = wg__calloc(ctx, n + 1, sizeof *s->bytes);
    s->def = wg__calloc(ctx, n + 1, sizeof *s->def);
    s->first = wg__calloc(ctx, n + 2, sizeof *s->first);
    s->next = wg__calloc(ctx, n + 1, sizeof *s->next);
    s->there = wg__calloc(ctx, n + 1, sizeof *s->there);
    s->kept = wg__calloc(ctx, n + 1, sizeof *s->kept);
    s->joined = wg__calloc(ctx, n + 1, sizeof *s->joined);
    s->pins = wg__calloc(ctx, n + 1, sizeof *s->pins);
    s->place = wg__calloc(ctx, n + 1, sizeof *s->place);
    s->cell = wg__calloc(ctx, n + 1, sizeof *s->cell);
    s->until = wg__calloc(ctx, s->steps + 1, sizeof *s->until);
    s->cost = wg__calloc(ctx, s->steps + 1, sizeof *s->cost);
    if (!s->bytes || !s->def || !s->first || !s->next || !s->there || !s->kept || !s->joined ||
        !s->pins || !s->place || !s->cell || !s->until || !s->cost)
        return false;
    find_values(s);
    if (!find_uses(s))
        return false;
    find_limits(s);
    return true;
}

void wg__sim_free(wg__sim *s)
{
    wg_ctx *ctx = s->p->ctx;
    wg__free(ctx, s->bytes);
    wg__free(ctx, s->def);
    wg__free(ctx, s->use);
    wg__free(ctx, s->first);
    wg__free(ctx, s->next);
    wg__free(ctx, s->there);
    wg__free(ctx, s->kept);
    wg__free(ctx, s->joined);
    wg__free(ctx, s->pins);
    wg__free(ctx, s->place);
    wg__free(ctx, s->cell);
    wg__free(ctx, s->until);
    wg__free(ctx, s->cost);
    wg__vec_free(ctx, &s->alive);
    wg__vec_free(ctx, &s->gone);
    wg__vec_free(ctx, &s->waiting);
}
