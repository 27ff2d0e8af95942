/* Rematerialisation: values come and go, and room is made by evicting what costs least to have again,
 * per byte and per step until it is used (remat.c). Values that are gone and hang together are kept in
 * groups (union-find) with the cost of having them all again. */
#include "vm/remat_parts.h"

enum { FINE = 4096 }; /* values smaller than target / FINE stay */

bool wg__sim_come(wg__sim *s, uint32_t id)
{
    s->there[id] = true;
    s->live += s->bytes[id];
    s->out->live = s->live > s->out->live ? s->live : s->out->live;
    s->place[id] = (uint32_t)s->alive.len;
    return wg__vec_push(s->p->ctx, &s->alive, id) || (s->memory = true, false);
}

static uint32_t head_of(wg__sim *s, uint32_t cell)
{
    wg__gone *g = s->gone.data;
    while (g[cell].parent != cell) {
        g[cell].parent = g[g[cell].parent].parent;
        cell = g[cell].parent;
    }
    return cell;
}

static bool is_gone(const wg__sim *s, uint32_t id)
{
    return is_managed(s, id) && !s->there[id] && s->cell[id];
}

/* What is gone beside a value: operands of its step, and results of those that read it. Calls `visit` for
 * each. */
typedef void (*visit_fn)(wg__sim *s, uint32_t id, uint32_t other, double *sum);
static void each_neighbour(wg__sim *s, uint32_t id, visit_fn visit, double *sum)
{
    const uint32_t step = s->def[id];
    for (uint32_t k = 0; k < s->plan->steps.data[step].nslots; k++)
        if (wg__sim_reads(s, step, k) && is_gone(s, slot_id(s, step, k)))
            visit(s, id, slot_id(s, step, k), sum);
    for (uint32_t u = s->first[id]; u < s->next[id]; u++) {
        const wg__vm_step *reader = &s->plan->steps.data[s->use[u]];
        for (uint32_t k = 0; k < reader->nslots; k++) {
            uint32_t other = slot_id(s, s->use[u], k);
            if (is_gone(s, other) && s->def[other] == s->use[u] && is_awaited(s, other))
                visit(s, id, other, sum);
        }
    }
}

static void add_cost(wg__sim *s, uint32_t id, uint32_t other, double *sum)
{
    (void)id;
    *sum += s->gone.data[head_of(s, s->cell[other] - 1)].cost;
}

static void join(wg__sim *s, uint32_t id, uint32_t other, double *sum)
{
    uint32_t a = head_of(s, s->cell[id] - 1), b = head_of(s, s->cell[other] - 1);
    (void)sum;
    if (a == b)
        return;
    s->gone.data[b].parent = a;
    s->gone.data[a].cost += s->gone.data[b].cost;
}

/* Takes it out of memory. */
static void leave(wg__sim *s, uint32_t id)
{
    uint32_t last = s->alive.data[--s->alive.len];
    s->alive.data[s->place[id]] = last;
    s->place[last] = s->place[id];
    s->there[id] = false;
    s->live -= s->bytes[id];
    wg__gone one = {(uint32_t)s->gone.len, s->cost[s->def[id]]};
    if (!wg__vec_push(s->p->ctx, &s->gone, one)) {
        s->memory = true;
        return;
    }
    s->cell[id] = (uint32_t)s->gone.len;
    each_neighbour(s, id, join, NULL);
}

void wg__sim_uncount(wg__sim *s, uint32_t id)
{
    if (s->cell[id]) {
        wg__gone *g = &s->gone.data[head_of(s, s->cell[id] - 1)];
        g->cost -= s->cost[s->def[id]];
        g->cost = g->cost > 0 ? g->cost : 0;
    }
}

bool wg__sim_die(wg__sim *s, uint32_t id)
{
    leave(s, id);
    return wg__vec_push(s->p->ctx, &s->out->dead, id) || (s->memory = true, false);
}

/* Whether result `other` of a step is to come again, or may be: it is awaited. */
static bool is_result(const wg__sim *s, uint32_t step, uint32_t other)
{
    return is_managed(s, other) && s->def[other] == step && is_awaited(s, other) && !s->kept[other];
}

uint32_t wg__sim_next_need(const wg__sim *s, uint32_t id)
{
    uint32_t next = UINT32_MAX;
    if (s->next[id] < s->first[id + 1])
        return s->use[s->next[id]];
    for (uint32_t u = s->first[id]; u < s->next[id]; u++) {
        const wg__vm_step *reader = &s->plan->steps.data[s->use[u]];
        for (uint32_t k = 0; k < reader->nslots; k++) {
            uint32_t other = slot_id(s, s->use[u], k);
            if (is_result(s, s->use[u], other) && s->use[s->next[other]] < next)
                next = s->use[s->next[other]];
        }
    }
    return next;
}

/* Whether another result of the same step is gone and will be computed again anyway. */
static bool comes_anyway(const wg__sim *s, uint32_t id)
{
    const uint32_t step = s->def[id];
    for (uint32_t k = 0; k < s->plan->steps.data[step].nslots; k++) {
        uint32_t other = slot_id(s, step, k);
        if (other != id && is_gone(s, other) && is_result(s, step, other))
            return true;
    }
    return false;
}

/* ---- room ------------------------------------------------------------------------------------ */

static bool may_evict(const wg__sim *s, uint32_t id)
{
    const uint32_t end = s->first[id + 1];
    if (s->def[id] == s->busy)
        return false;
    if (!s->pins[id] && !s->kept[id] && s->next[id] == end)
        return true; /* it is here only because it may be wanted again */
    return !s->pins[id] && !s->kept[id] && !s->joined[id] && s->next[id] < end &&
           s->use[end - 1] <= s->until[s->def[id]] && s->bytes[id] >= s->target / FINE;
}

static double score(wg__sim *s, uint32_t id)
{
    double cost = s->cost[s->def[id]];
    const uint32_t next = wg__sim_next_need(s, id);
    if (next == UINT32_MAX)
        return 0;
    each_neighbour(s, id, add_cost, &cost);
    if (comes_anyway(s, id))
        cost /= 4;
    return cost / ((double)s->bytes[id] * (1 + (next > s->now ? next - s->now : 0)));
}

bool wg__sim_make_room(wg__sim *s, size_t bytes)
{
    while (s->live + bytes > s->target) {
        uint32_t best = WG__NONE;
        double least = 0;
        for (size_t i = 0; i < s->alive.len; i++) {
            uint32_t id = s->alive.data[i];
            double cost = may_evict(s, id) ? score(s, id) : 0;
            if (may_evict(s, id) && (best == WG__NONE || cost < least)) {
                best = id;
                least = cost;
            }
        }
        if (best == WG__NONE)
            return false;
        leave(s, best);
        if (s->memory || !wg__vec_push(s->p->ctx, &s->out->evicted, best))
            return s->memory = true, false;
    }
    return true;
}
