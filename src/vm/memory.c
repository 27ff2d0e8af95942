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

static size_t times_root(const wg__planner *p, uint32_t base)
{
    size_t n = 0;
    for (size_t i = 0; i < p->task->nroots; i++)
        n += wg__base_of(&p->clusters, p->task->roots[i]) == base;
    return n;
}

/* Whether a step beside or after `step` reads `param`. */
static bool read_beside(const wg__planner *p, uint32_t param, uint32_t step)
{
    const wg__vm_plan *plan = p->plan;
    size_t first = 0;
    while (first + plan->steps.data[first].together <= step)
        first += plan->steps.data[first].together;
    for (size_t i = first; i < plan->steps.len; i++)
        for (uint32_t s = 0; i != step && s < plan->steps.data[i].nslots; s++)
            if (plan->slots.data[plan->steps.data[i].slot + s].id == param)
                return true;
    return false;
}

/* After the first step that writes a param nothing may fail. Effects whose order allows it (the
 * fusing passes have said so) are placed in their param's memory. */
void wg__planner_effects(wg__planner *p)
{
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
                    plan->steps.data[step].kind != WG__SCALARS && times_root(p, value) == 1 &&
                    times_root(p, param) == 0 && !read_beside(p, param, step);
        t->in_place[e] = good;
        if (!good)
            continue;
        p->place[value] = (wg__place){WG__BOUND, t->param_bound[e]};
        plan->steps.data[step].commits = true;
    }
    for (size_t i = plan->steps.len; i-- > 0;) /* the first of those side by side tells for all */
        for (uint32_t k = 1; k < plan->steps.data[i].together; k++)
            plan->steps.data[i].commits |= plan->steps.data[i + k].commits;
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
        if (wg__read_base(c, id, k) != value)
            continue;
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
    const int64_t count = wg_shape_count(c->list.data[index].space);
    if (step->kind != WG__LOOP || c->role[id] != WG__MAP || count_of(p, id) != count)
        return WG__NONE;
    for (uint32_t s = step->slot; s < step->slot + step->nslots; s++) {
        uint32_t value = plan->slots.data[s].id;
        bool good = value != WG__NONE && p->last[value] == index &&
                    p->place[value].where == WG__FRAME && count_of(p, value) == count &&
                    c->of[value] != index && bytes_of(p, value) == bytes_of(p, id);
        for (uint32_t i = 0; i < step->nmembers && good; i++)
            good = reads_in_order(p, c->members.data[step->member + i], value, count);
        if (good)
            return value;
    }
    return WG__NONE;
}

/* alone: no other step runs beside it. */
static void place_value(wg__planner *p, const wg__vm_step *step, bool alone, uint32_t id)
{
    if (!p->clusters.stored[id] || p->place[id].where != WG__NOWHERE)
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
        if (id == WG__NONE || p->last[id] != when || p->place[id].where != WG__FRAME)
            continue;
        p->last[id] = WG__FOREVER;
        good = good && wg__arena_give(&p->arena, p->place[id].at, bytes_of(p, id));
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

static bool place_steps(wg__planner *p)
{
    wg__vm_plan *plan = p->plan;
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

static bool resolve_slots(wg__planner *p)
{
    wg__vm_plan *plan = p->plan;
    for (size_t i = 0; i < plan->slots.len; i++) {
        wg__vm_slot *slot = &plan->slots.data[i];
        if (slot->id == WG__NONE)
            continue;
        slot->place = p->place[slot->id];
        if (slot->place.where == WG__BOUND &&
            !wg__vec_push(p->ctx, &plan->bound_slots, (uint32_t)i))
            return false;
    }
    return true;
}

/* Roots lie densely in the frame, or in the param they were assigned to; what no step computes is
 * copied there at the end. */
static void place_roots(wg__planner *p)
{
    wg__vm_plan *plan = p->plan;
    const wg__task *t = p->task;
    for (size_t i = 0; i < plan->nroots; i++) {
        wg__layout room;
        const wg__layout *layout = wg__layout_of(&p->clusters, t->roots[i], &room);
        const wg_type *type = wg__type_at(t->tape, t->roots[i]);
        wg__place at = p->place[layout->base];
        at.at += at.where == WG__BOUND || at.where == WG__CONST
                     ? 0
                     : (size_t)layout->s.offset * wg_dtype_size(type->dtype);
        plan->roots[i] = at;
        bool computed = p->clusters.of[wg__head(t->tape, layout->base)] != WG__NO_CLUSTER;
        if (computed)
            continue;
        plan->settle[i] = at;
        plan->settle_offset[i] = at.where == WG__BOUND || at.where == WG__CONST
                                     ? (size_t)layout->s.offset * wg_dtype_size(type->dtype)
                                     : 0;
        plan->settle_bytes[i] = wg__type_bytes(type);
        plan->roots[i] = (wg__place){WG__FRAME, wg__arena_append(&p->arena, plan->settle_bytes[i])};
    }
}

static void lay_out_tables(wg__planner *p)
{
    wg__vm_plan *plan = p->plan;
    wg__arena_append(&p->arena, sizeof(wg__vm_frame));
    plan->bound_at = wg__arena_append(&p->arena, plan->nbound * sizeof(void *));
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
    lay_out_tables(p);
    extend_lives(p);
    if (!place_steps(p) || !resolve_slots(p))
        return false;
    place_roots(p);
    plan->body_at = wg__arena_append(&p->arena, p->body_bytes);
    plan->bytes = p->arena.top;
    return true;
}
