/* Memory of the vm's plan: buffers of the frame are used again once their last reader has run; values
 * assigned to params are written in place where nothing can tell the difference. */
#include "vm/planner.h"

/* ---- states in place ----------------------------------------------------------------------------------- */

/* Whether running the step may fail. Loops fail by an index out of range alone. */
static bool may_fail(const wg__planner *p, const wg__vm_step *step)
{
    const wg_tape *t = p->task->tape;
    for (uint32_t i = 0; i < step->nmembers; i++) {
        const wg__op *op = wg__op_of(t, p->clusters.members.data[step->member + i]);
        if (!(op->def.flags & (WG_OP_TOTAL | WG_OP_ELEMENTWISE)))
            return true;
        if (step->kind == WG__KERNEL && !(op->def.flags & WG_OP_TOTAL))
            return true;
    }
    return false;
}

/* What effects ask of the plan. */
typedef struct uses {
    uint8_t *roots;    /* by id: how many roots lie in its memory, up to 2 */
    uint32_t *readers; /* by bound value: the last two steps that use it, counted from 1; 0: none */
    uint32_t *group;   /* by step: the first of those that it runs beside */
    void *memory;
} uses;

static bool uses_make(wg__planner *p, uses *u)
{
    const wg__task *t = p->task;
    const wg__vm_plan *plan = p->plan;
    const size_t words = 2 * t->nbound + plan->steps.len;
    u->memory = wg__calloc(p->ctx, words + t->tape->nodes.len / 4 + 1, sizeof(uint32_t));
    if (!u->memory)
        return false;
    u->readers = u->memory;
    u->group = u->readers + 2 * t->nbound;
    u->roots = (uint8_t *)(u->readers + words);
    for (size_t i = 0; i < t->nroots; i++) {
        uint8_t *n = &u->roots[wg__base_of(&p->clusters, t->roots[i])];
        *n = (uint8_t)(*n < 2 ? *n + 1 : 2);
    }
    for (uint32_t i = 0, first = 0; i < plan->steps.len; i++) {
        const wg__vm_step *step = &plan->steps.data[i];
        first = i && step[-1].together > 1 ? first : i;
        u->group[i] = first;
        for (uint32_t s = step->slot; s < step->slot + step->nslots; s++) {
            const uint32_t id = plan->slots.data[s].id;
            if (id == WG__NONE || p->place[id].where != WG__BOUND)
                continue;
            uint32_t *last = &u->readers[2 * p->place[id].at];
            if (last[0] != i + 1)
                last[1] = last[0];
            last[0] = i + 1;
        }
    }
    return true;
}

/* Whether a step beside or after `step` reads bound value number `bound`. */
static bool read_beside(const uses *u, uint32_t bound, uint32_t step)
{
    const uint32_t *last = &u->readers[2 * (size_t)bound];
    return (last[0] == step + 1 ? last[1] : last[0]) > u->group[step];
}

/* After the first step that writes a param nothing may fail. Effects whose order allows it (the
 * fusing passes have said so) are placed in their param's memory. */
bool wg__planner_effects(wg__planner *p)
{
    uses u;
    if (!p->task->neffects)
        return true;
    if (!uses_make(p, &u))
        return false;
    const wg__task *t = p->task;
    wg__vm_plan *plan = p->plan;
    size_t safe = plan->steps.len;
    while (safe > 0 && !may_fail(p, &plan->steps.data[safe - 1]))
        safe--;
    for (size_t e = 0; e < t->neffects; e++) {
        uint32_t value = t->values[e], param = t->params[e];
        uint32_t step = p->clusters.of[wg__head(t->tape, value)];
        bool good = t->in_place[e] && step != WG__NO_CLUSTER && step >= safe &&
                    wg__base_of(&p->clusters, value) == value && p->clusters.stored[value] &&
                    plan->steps.data[step].kind != WG__KERNEL &&
                    plan->steps.data[step].kind != WG__SCALARS && u.roots[value] == 1 &&
                    u.roots[param] == 0 && !read_beside(&u, t->param_bound[e], step);
        t->in_place[e] = good;
        if (!good)
            continue;
        p->place[value] = (wg__place){WG__BOUND, t->param_bound[e]};
        plan->steps.data[step].commits = true;
    }
    for (size_t i = plan->steps.len; i-- > 0;) /* the first of those side by side tells for all */
        for (uint32_t k = 1; k < plan->steps.data[i].together; k++)
            plan->steps.data[i].commits |= plan->steps.data[i + k].commits;
    wg__free(p->ctx, u.memory);
    return true;
}

/* ---- memory -------------------------------------------------------------------------------------------- */

static size_t bytes_of(const wg__planner *p, uint32_t id)
{
    return wg__type_bytes(wg__type_at(p->task->tape, id));
}

static int64_t count_of(const wg__planner *p, uint32_t id)
{
    return wg_shape_count(wg__type_at(p->task->tape, id)->shape);
}

/* Whether member `id` of a loop over `count` elements reads the memory of `value`, if at all, element
 * by element in the loop's order. */
static bool reads_in_order(const wg__planner *p, uint32_t id, uint32_t value, int64_t count)
{
    const wg__clusters *c = &p->clusters;
    const uint32_t *in = wg__operands(c->tape, wg__node_at(c->tape, id));
    for (size_t k = 0; k < wg__reads(c, id); k++) {
        wg__layout room;
        if (wg__holder_of(c, wg__read_base(c, id, k)) != value)
            continue;
        if (wg__read_base(c, id, k) != value)
            return false;
        const wg__layout *at = wg__read_layout(c, id, k, &room);
        if ((c->role[id] != WG__MAP && c->role[id] != WG__FOLD) || at->s.offset != 0 ||
            count_of(p, in[k]) != count || !wg__layout_dense(wg__type_at(c->tape, in[k]), &at->s))
            return false;
    }
    return true;
}

/* A value that this loop is the last to read and whose memory its result `id` may take over: both
 * dense over the whole space, in elements of one size (see vm/loop.h). WG__NONE: there is none. */
static uint32_t taken_over(const wg__planner *p, const wg__vm_step *step, uint32_t id)
{
    const wg__vm_plan *plan = p->plan;
    const wg__clusters *c = &p->clusters;
    const size_t index = (size_t)(step - plan->steps.data);
    const uint32_t cluster = c->of[step->node];
    const int64_t count = wg_shape_count(c->list.data[cluster].space);
    if (step->kind != WG__LOOP || c->role[id] != WG__MAP || count_of(p, id) != count)
        return WG__NONE;
    for (uint32_t s = step->slot; s < step->slot + step->nslots; s++) {
        uint32_t value = plan->slots.data[s].id;
        bool good = value != WG__NONE && p->last[value] == index &&
                    p->place[value].where == WG__FRAME && count_of(p, value) == count &&
                    c->of[value] != cluster && bytes_of(p, value) == bytes_of(p, id);
        for (uint32_t i = 0; i < step->nmembers && good; i++)
            good = reads_in_order(p, c->members.data[step->member + i], value, count);
        if (good)
            return value;
    }
    return WG__NONE;
}

/* The root of a body that a step writes as this value; NULL: there is none. */
static wg__vm_root *written_root(const wg__planner *p, uint32_t id)
{
    const wg__place *at = &p->place[id];
    return at->where == WG__BOUND && at->at >= p->plan->nbound
               ? &p->plan->roots[at->at - p->plan->nbound]
               : NULL;
}

/* alone: no other step runs beside it. What is part of a JOIN gets memory for all of it. */
static void place_value(wg__planner *p, const wg__vm_step *step, bool alone, uint32_t id)
{
    const bool stored = p->clusters.stored[id];
    id = wg__holder_of(&p->clusters, id);
    wg__vm_root *root = written_root(p, id);
    if (root && root->spare == SIZE_MAX)
        root->spare = wg__arena_take(&p->arena, bytes_of(p, id));
    if (!stored || p->place[id].where != WG__NOWHERE)
        return;
    uint32_t from = alone ? taken_over(p, step, id) : WG__NONE;
    if (from == WG__NONE) {
        p->place[id] = (wg__place){WG__FRAME, wg__arena_take(&p->arena, bytes_of(p, id))};
        return;
    }
    p->place[id] = p->place[from];
    p->last[from] = WG__FOREVER; /* its memory is given back as that of `id` */
}

/* All values of a SCALARS step lie in one block, as its code wants them. */
static void place_scalars(wg__planner *p, wg__vm_step *step)
{
    step->values_at = wg__arena_append(&p->arena, wg__scalars_bytes(step->u.scalars));
    for (uint32_t i = 0; i < step->nmembers; i++) {
        uint32_t id = p->clusters.members.data[step->member + i];
        p->place[id] = (wg__place){WG__FRAME, step->values_at + p->member_at[step->member + i]};
        p->last[id] = WG__FOREVER; /* never given back one by one */
    }
}

/* Working memory that all threads share: partial results, or a kernel's scratch. */
static size_t partial_bytes(const wg__vm_step *step)
{
    if (step->kind == WG__LOOP)
        return wg__loop_partials(step->u.loop);
    if (step->kind == WG__PRODUCT)
        return wg__product_partials(step->u.product);
    return step->scratch;
}

static void place_step(wg__planner *p, wg__vm_step *step, bool alone)
{
    step->partials_at = wg__arena_take(&p->arena, partial_bytes(step));
    if (step->kind == WG__SCALARS) {
        place_scalars(p, step);
        return;
    }
    for (uint32_t i = 0; i < step->nmembers; i++) {
        uint32_t head = p->clusters.members.data[step->member + i];
        for (uint32_t k = 0; k < wg__node_at(p->task->tape, head)->nout; k++)
            place_value(p, step, alone, head + k);
    }
    if (step->kind == WG__PRODUCT)
        step->shared_at = wg__arena_take(&p->arena, wg__product_shared(step->u.product));
}

/* Gives back the values of `step` that step number `when` is the last to use. */
static bool release(wg__planner *p, const wg__vm_step *step, size_t when)
{
    bool good = true;
    for (uint32_t s = step->slot; s < step->slot + step->nslots; s++) {
        uint32_t id = p->plan->slots.data[s].id;
        if (id == WG__NONE || p->last[id] != when)
            continue;
        const wg__vm_root *root = written_root(p, id);
        if (!root && p->place[id].where != WG__FRAME)
            continue;
        p->last[id] = WG__FOREVER;
        good = good &&
               wg__arena_give(&p->arena, root ? root->spare : p->place[id].at, bytes_of(p, id));
    }
    return good;
}

/* Steps side by side have their working memory at the same time. */
static bool release_work(wg__planner *p, const wg__vm_step *step)
{
    if (!wg__arena_give(&p->arena, step->partials_at, partial_bytes(step)))
        return false;
    return step->kind != WG__PRODUCT ||
           wg__arena_give(&p->arena, step->shared_at, wg__product_shared(step->u.product));
}

/* Values of steps that run side by side live until the last of them has run. */
static void extend_lives(wg__planner *p)
{
    const wg__vm_plan *plan = p->plan;
    for (size_t i = 0; i < plan->steps.len; i += plan->steps.data[i].together) {
        uint32_t end = (uint32_t)i + plan->steps.data[i].together - 1;
        for (size_t k = i; k < end; k++) {
            const wg__vm_step *step = &plan->steps.data[k];
            for (uint32_t s = step->slot; s < step->slot + step->nslots; s++) {
                uint32_t id = plan->slots.data[s].id;
                if (id != WG__NONE && p->last[id] < end)
                    p->last[id] = end;
            }
        }
    }
}

/* A value that is computed again lies elsewhere then. */
static void settle_slots(wg__planner *p, const wg__vm_step *step)
{
    for (uint32_t s = step->slot; s < step->slot + step->nslots; s++) {
        wg__vm_slot *slot = &p->plan->slots.data[s];
        if (slot->id != WG__NONE)
            slot->place = p->place[slot->id];
    }
}

/* Values leave memory: their place is free, unless last[id] says that it was taken over. */
static bool forget(wg__planner *p, const uint32_t *ids, size_t n, uint32_t unless)
{
    bool good = true;
    for (size_t i = 0; i < n && good; i++) {
        wg__place *at = &p->place[ids[i]];
        if (p->last[ids[i]] != unless)
            good = wg__arena_give(&p->arena, at->at, bytes_of(p, ids[i]));
        *at = (wg__place){WG__NOWHERE, 0};
        p->last[ids[i]] = WG__FOREVER;
    }
    return good;
}

/* The steps in an order of remat.c, which says what leaves memory when. */
static bool place_order(wg__planner *p)
{
    wg__vm_plan *plan = p->plan;
    const wg__remat *r = &p->remat;
    size_t evicted = 0, dead = 0;
    for (size_t i = 0; i < plan->steps.len; i += plan->steps.data[i].together) {
        const size_t end = i + plan->steps.data[i].together;
        const wg__remat_entry *e = &r->order.data[end - 1];
        if (!forget(p, r->evicted.data + evicted, e->evicted - evicted, 0))
            return false;
        for (size_t k = dead; k < e->dead; k++) /* may be taken over by the step */
            p->last[r->dead.data[k]] = (uint32_t)i;
        for (size_t k = i; k < end; k++)
            place_step(p, &plan->steps.data[k], end - i == 1);
        for (size_t k = i; k < end; k++) {
            settle_slots(p, &plan->steps.data[k]);
            if (!release_work(p, &plan->steps.data[k]))
                return false;
        }
        if (!forget(p, r->dead.data + dead, e->dead - dead, WG__FOREVER))
            return false;
        evicted = e->evicted;
        dead = e->dead;
    }
    return true;
}

static bool place_steps(wg__planner *p)
{
    wg__vm_plan *plan = p->plan;
    if (p->remat.order.len)
        return place_order(p);
    for (size_t i = 0; i < plan->steps.len; i += plan->steps.data[i].together) {
        size_t end = i + plan->steps.data[i].together;
        for (size_t k = i; k < end; k++)
            place_step(p, &plan->steps.data[k], end - i == 1);
        for (size_t k = i; k < end; k++)
            if (!release_work(p, &plan->steps.data[k]))
                return false;
        for (size_t k = i; k < end; k++)
            if (!release(p, &plan->steps.data[k], end - 1))
                return false;
    }
    return true;
}

/* Slots get their places; those that are bound are sorted by what they are bound to. */
static bool resolve_slots(wg__planner *p)
{
    wg__vm_plan *plan = p->plan;
    uint32_t *end = plan->pointed_end, sum = 0;
    for (size_t i = 0; i < plan->slots.len; i++) {
        wg__vm_slot *slot = &plan->slots.data[i];
        if (slot->id == WG__NONE)
            continue;
        if (!p->remat.order.len)
            slot->place = p->place[slot->id];
        if (slot->place.where == WG__BOUND)
            end[slot->place.at]++;
    }
    for (size_t i = 0; i < plan->nbinds; i++) {
        const uint32_t count = end[i];
        end[i] = sum; /* where they start, until they are there */
        sum += count;
    }
    if (!(plan->pointed = wg__calloc(p->ctx, sum, sizeof *plan->pointed)))
        return false;
    for (size_t i = 0; i < plan->slots.len; i++) {
        const wg__vm_slot *slot = &plan->slots.data[i];
        if (slot->place.where == WG__BOUND)
            plan->pointed[end[slot->place.at]++] = (wg__vm_pointed){(uint32_t)i, slot->offset};
    }
    return true;
}

/* ---- roots --------------------------------------------------------------------------------------- */

static size_t offset_of(const wg__planner *p, const wg__layout *layout, uint32_t id)
{
    return (size_t)layout->s.offset * wg_dtype_size(wg__type_at(p->task->tape, id)->dtype);
}

/* Whether a step writes all of root `id` of a body, and nothing else, as the value `base`. */
static bool is_written(const wg__planner *p, uint32_t id, uint32_t base, size_t offset)
{
    const uint32_t step = p->clusters.of[wg__head(p->task->tape, base)];
    return p->task->body && step != WG__NO_CLUSTER && !offset && p->clusters.stored[base] &&
           p->clusters.list.data[step].kind != WG__SCALARS && bytes_of(p, id) == bytes_of(p, base);
}

void wg__planner_roots(wg__planner *p)
{
    wg__vm_plan *plan = p->plan;
    for (size_t i = 0; i < plan->nroots; i++) {
        const uint32_t id = p->task->roots[i];
        wg__layout room;
        const wg__layout *layout = wg__layout_of(&p->clusters, id, &room);
        const size_t offset = offset_of(p, layout, id);
        plan->roots[i] =
            (wg__vm_root){.id = id, .offset = offset, .bytes = bytes_of(p, id), .spare = SIZE_MAX};
        if (is_written(p, id, layout->base, offset) && p->place[layout->base].where == WG__NOWHERE)
            p->place[layout->base] = (wg__place){WG__BOUND, plan->nbound + i};
        else
            p->last[layout->base] = WG__FOREVER;
    }
}

/* Of the main plan, roots lie densely in the frame, or in the param they were assigned to; what no
 * step computes is copied there at the end. Of a body, what no step writes where it is wanted is. */
static void place_roots(wg__planner *p)
{
    wg__vm_plan *plan = p->plan;
    for (size_t i = 0; i < plan->nroots; i++) {
        wg__vm_root *root = &plan->roots[i];
        const uint32_t base = wg__base_of(&p->clusters, root->id);
        const wg__place at = p->place[base];
        const bool computed = p->clusters.of[wg__head(p->task->tape, base)] != WG__NO_CLUSTER;
        if (p->task->body)
            root->at = (wg__place){WG__BOUND, plan->nbound + i};
        else if (computed)
            root->at = (wg__place){at.where, at.at + root->offset};
        else
            root->at = (wg__place){WG__FRAME, wg__arena_append(&p->arena, root->bytes)};
        if (p->task->body ? root->spare != SIZE_MAX : computed)
            continue;
        root->from = at;
        plan->nsettled++;
    }
}

static void lay_out_tables(wg__planner *p)
{
    wg__vm_plan *plan = p->plan;
    wg__arena_append(&p->arena, sizeof(wg__vm_frame));
    plan->bound_at = wg__arena_append(&p->arena, plan->nbinds * sizeof(void *));
    plan->slots_at = wg__arena_append(&p->arena, plan->slots.len * sizeof(char *));
    plan->views_at = wg__arena_append(&p->arena, p->nviews * sizeof(wg_view));
    plan->faults_at = wg__arena_append(&p->arena, plan->threads * sizeof(wg__vm_fault));
    plan->scratch = (plan->scratch + 63) & ~(size_t)63;
    plan->scratch_at = wg__arena_append(&p->arena, plan->threads * plan->scratch);
}

bool wg__planner_places(wg__planner *p)
{
    wg__vm_plan *plan = p->plan;
    p->arena.ctx = p->ctx;
    p->arena.tight = p->maker->target > 0;
    if (p->maker->target && !p->task->body && !wg__planner_remat(p, p->maker->target, &p->remat))
        return false;
    lay_out_tables(p);
    extend_lives(p);
    if (!place_steps(p) || !resolve_slots(p))
        return false;
    place_roots(p);
    plan->body_at = wg__arena_append(&p->arena, p->body_bytes);
    plan->bytes = p->arena.top;
    return true;
}
