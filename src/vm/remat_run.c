/* Rematerialisation: the steps of a plan are gone through in order, within a target. Where a step needs a
 * value that is gone, the step that computed it is run before it, and those that this one needs in turn
 * (on a stack of its own, not by recursion). */
#include <string.h>

#include "vm/remat_parts.h"

enum { MOST_AGAIN = 16 }; /* runs per step, over all */

static bool emit(wg__sim *s, uint32_t step, bool again)
{
    wg__remat_entry e = {step, again, (uint32_t)s->out->evicted.len, 0};
    s->out->again += again ? s->cost[step] : 0;
    s->reruns += again;
    return wg__vec_push(s->p->ctx, &s->out->order, e) || (s->memory = true, false);
}

/* What a step brings that is not there. */
static size_t outputs_of(const wg__sim *s, uint32_t step)
{
    size_t bytes = 0;
    for (uint32_t k = 0; k < s->plan->steps.data[step].nslots; k++) {
        uint32_t id = slot_id(s, step, k);
        if (is_managed(s, id) && s->def[id] == step && !s->there[id])
            bytes += s->bytes[id];
    }
    return bytes;
}

static bool bring(wg__sim *s, uint32_t step, bool again)
{
    for (uint32_t k = 0; k < s->plan->steps.data[step].nslots; k++) {
        uint32_t id = slot_id(s, step, k);
        if (!is_managed(s, id) || s->def[id] != step || s->there[id])
            continue;
        if (again)
            wg__sim_uncount(s, id);
        if (!wg__sim_come(s, id))
            return false;
    }
    size_t most = s->live + wg__sim_work(&s->plan->steps.data[step]);
    s->out->live = most > s->out->live ? most : s->out->live;
    return true;
}

/* Lets go of operands and results that nothing more needs; `wanted` stays. */
static bool drop(wg__sim *s, uint32_t step, uint32_t wanted)
{
    bool good = true;
    for (uint32_t k = 0; good && k < s->plan->steps.data[step].nslots; k++) {
        uint32_t id = slot_id(s, step, k);
        if (is_managed(s, id) && s->there[id] && id != wanted && !s->pins[id] &&
            !is_awaited(s, id) && (!s->hoard || wg__sim_next_need(s, id) == UINT32_MAX))
            good = wg__sim_die(s, id);
    }
    return good;
}

static void unpin(wg__sim *s, uint32_t step)
{
    for (uint32_t k = 0; k < s->plan->steps.data[step].nslots; k++)
        if (wg__sim_reads(s, step, k))
            s->pins[slot_id(s, step, k)]--;
}

static bool finish(wg__sim *s, uint32_t step, uint32_t wanted)
{
    bool good = drop(s, step, wanted);
    if (good)
        s->out->order.data[s->out->order.len - 1].dead = (uint32_t)s->out->dead.len;
    return good;
}

static bool run_again(wg__sim *s, uint32_t step, uint32_t wanted)
{
    s->busy = step;
    if (s->reruns > (size_t)MOST_AGAIN * s->steps ||
        !wg__sim_make_room(s, outputs_of(s, step) + wg__sim_work(&s->plan->steps.data[step])) ||
        !emit(s, step, true) || !bring(s, step, true))
        return false;
    unpin(s, step);
    return finish(s, step, wanted);
}

/* Pins the operands of the step on top one by one; false: one is missing, whose step is on top now, or
 * memory is out. */
static bool collect(wg__sim *s, bool *good)
{
    wg__pending *top = &s->waiting.data[s->waiting.len - 1];
    for (; top->next < s->plan->steps.data[top->step].nslots; top->next++) {
        uint32_t id = slot_id(s, top->step, top->next);
        if (!wg__sim_reads(s, top->step, top->next))
            continue;
        if (!s->there[id]) {
            wg__pending more = {s->def[id], 0};
            *good = s->now <= s->until[s->def[id]] && wg__vec_push(s->p->ctx, &s->waiting, more);
            return false;
        }
        s->pins[id]++;
    }
    return true;
}

/* The operand that the step below the top of the stack waits for. */
static uint32_t wanted_below(const wg__sim *s, uint32_t last)
{
    if (s->waiting.len < 2)
        return last;
    const wg__pending *below = &s->waiting.data[s->waiting.len - 2];
    return slot_id(s, below->step, below->next);
}

/* Has the value computed again, and first what that needs. */
static bool again(wg__sim *s, uint32_t id)
{
    wg__pending first = {s->def[id], 0};
    bool good = s->now <= s->until[s->def[id]] && wg__vec_push(s->p->ctx, &s->waiting, first);
    while (good && s->waiting.len) {
        if (!collect(s, &good))
            continue;
        const uint32_t step = s->waiting.data[s->waiting.len - 1].step;
        good = run_again(s, step, wanted_below(s, id));
        s->waiting.len--;
    }
    return good;
}

/* Steps [i, end), which run side by side: nothing runs between them. */
static bool run_group(wg__sim *s, uint32_t i, uint32_t end)
{
    size_t bytes = 0;
    s->now = i;
    for (uint32_t step = i; step < end; step++) {
        for (uint32_t k = 0; k < s->plan->steps.data[step].nslots; k++) {
            uint32_t id = slot_id(s, step, k);
            if (!wg__sim_reads(s, step, k))
                continue;
            if (!s->there[id] && !again(s, id))
                return false;
            s->pins[id]++;
        }
        bytes += outputs_of(s, step) + wg__sim_work(&s->plan->steps.data[step]);
    }
    s->busy = WG__NO_CLUSTER;
    if (!wg__sim_make_room(s, bytes))
        return false;
    size_t work = 0;
    for (uint32_t step = i; step < end; step++) {
        if (!emit(s, step, false) || !bring(s, step, false))
            return false;
        work += wg__sim_work(&s->plan->steps.data[step]);
        s->out->order.data[s->out->order.len - 1].dead = (uint32_t)s->out->dead.len;
    }
    s->out->live = s->live + work > s->out->live ? s->live + work : s->out->live;
    for (uint32_t step = i; step < end; step++) {
        for (uint32_t k = 0; k < s->plan->steps.data[step].nslots; k++)
            if (wg__sim_reads(s, step, k))
                s->next[slot_id(s, step, k)]++;
        unpin(s, step);
    }
    for (uint32_t step = i; step < end; step++)
        if (!finish(s, step, WG__NONE))
            return false;
    return true;
}

bool wg__sim_run(wg__sim *s, size_t target, wg__remat *out)
{
    const size_t n = sim_nodes(s);
    wg_ctx *ctx = s->p->ctx;
    out->order.len = out->evicted.len = out->dead.len = 0;
    out->live = 0;
    out->again = 0;
    s->out = out;
    s->target = target;
    s->live = 0;
    s->reruns = 0;
    s->alive.len = s->gone.len = s->waiting.len = 0;
    memcpy(s->next, s->first, n * sizeof *s->next);
    memset(s->there, 0, n * sizeof *s->there);
    memset(s->pins, 0, n * sizeof *s->pins);
    memset(s->cell, 0, n * sizeof *s->cell);
    bool good = wg__vec_reserve(ctx, &out->order, s->steps);
    s->memory |= !good;
    for (uint32_t i = 0; good && i < s->steps; i += s->plan->steps.data[i].together)
        good = run_group(s, i, i + s->plan->steps.data[i].together);
    return good;
}
