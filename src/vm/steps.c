/* Steps of the vm's plan: each cluster compiled into what runs, with the slots through which it reaches
 * values. */
#include "vm/planner.h"

static uint32_t add_slot(wg__planner *p, uint32_t id, size_t offset)
{
    wg__vm_plan *plan = p->plan;
    wg__vm_slot slot = {id, offset, {WG__NOWHERE, 0}};
    if (!wg__vec_push(p->ctx, &plan->slots, slot))
        return UINT32_MAX;
    if (id != WG__NONE && p->last[id] != WG__FOREVER)
        p->last[id] = p->step;
    return (uint32_t)plan->slots.len - 1 - plan->steps.data[p->step].slot;
}

static uint32_t slot_of(void *user, uint32_t id)
{
    wg__planner *p = user;
    if (p->slot_step[id] == p->step + 1)
        return p->slot_of[id];
    uint32_t slot = add_slot(p, id, 0);
    if (slot != UINT32_MAX) {
        p->slot_step[id] = p->step + 1;
        p->slot_of[id] = slot;
    }
    return slot;
}

static const wg_kernel *find_kernel(const wg_tape *t, uint32_t id, wg__planner *p, bool *memory)
{
    const wg__node *n = wg__node_at(t, id);
    const uint32_t *in = wg__operands(t, n);
    const wg_type *room[2 * WG__MAX_OPERANDS], **types = room;
    size_t count = (size_t)n->nin + n->nout;
    if (count > 2 * WG__MAX_OPERANDS && !(types = wg__calloc(p->ctx, count, sizeof *types))) {
        *memory = false;
        return NULL;
    }
    for (uint16_t k = 0; k < n->nin; k++)
        types[k] = wg__type_at(t, in[k]);
    for (uint16_t k = 0; k < n->nout; k++)
        types[n->nin + k] = wg__type_at(t, id + k);
    const wg_kernel *kernel = wg__op_kernel(wg__op_of(t, id), types, n->nin, types + n->nin);
    if (types != room)
        wg__free(p->ctx, types);
    return kernel;
}

static wg_status no_kernel(wg__planner *p, uint32_t id)
{
    const wg__op *op = wg__op_of(p->task->tape, id);
    wg__str takes = wg__str_make(p->ctx);
    wg__op_add_dtypes(op, &takes);
    wg__fail(p->maker->error, WG_UNSUPPORTED,
             "%s: there is no kernel for its operands; it takes %s", op->name,
             wg__str_text(&takes));
    wg__str_free(&takes);
    return WG_UNSUPPORTED;
}

static wg_status scratch_of_kernel(wg__planner *p, wg__vm_step *step)
{
    const wg_tape *t = p->task->tape;
    const wg__node *n = wg__node_at(t, step->node);
    const uint32_t *in = wg__operands(t, n);
    wg_attrs attrs = wg__attrs_of(t, step->node);
    size_t count = (size_t)n->nin + n->nout;
    if (!step->u.kernel.row->scratch)
        return WG_OK;
    wg_view *views = wg__calloc(p->ctx, count, sizeof *views);
    if (!views)
        return wg__planner_no_memory(p);
    for (uint16_t k = 0; k < n->nin; k++)
        views[k].type = wg__type_at(t, in[k]);
    for (uint16_t k = 0; k < n->nout; k++)
        views[n->nin + k].type = wg__type_at(t, step->node + k);
    wg_kernel_call c = {n->nin, n->nout, views, views + n->nin, &attrs, NULL, attrs.op->def.data,
                        NULL};
    step->scratch = step->u.kernel.row->scratch(&c);
    wg__free(p->ctx, views);
    return WG_OK;
}

/* Where value `id`, dense by its layout, begins in memory, in bytes. */
static size_t offset_of(const wg__planner *p, uint32_t id, const wg__layout *l)
{
    const wg_type *type = wg__type_at(p->task->tape, id);
    wg_strides s = l->s;
    wg__in_memory(&p->clusters, l->base, &type->shape, &s);
    return (size_t)s.offset * wg_dtype_size(type->dtype);
}

/* Slots of a KERNEL step: all operands, then all outputs, one each. */
static wg_status compile_kernel(wg__planner *p, wg__vm_step *step)
{
    const wg_tape *t = p->task->tape;
    const wg__node *n = wg__node_at(t, step->node);
    const uint32_t *in = wg__operands(t, n);
    bool memory = true;
    step->u.kernel.row = find_kernel(t, step->node, p, &memory);
    if (!step->u.kernel.row)
        return memory ? no_kernel(p, step->node) : wg__planner_no_memory(p);
    for (uint16_t k = 0; k < n->nin; k++) {
        wg__layout room;
        const wg__layout *of = wg__layout_of(&p->clusters, in[k], &room);
        if (add_slot(p, wg__holder_of(&p->clusters, of->base), offset_of(p, in[k], of)) ==
            UINT32_MAX)
            return wg__planner_no_memory(p);
    }
    for (uint16_t k = 0; k < n->nout; k++) {
        uint32_t out = step->node + k;
        const wg__layout own = {out, {0, {0}}};
        bool stored = p->clusters.stored[out];
        uint32_t slot = stored
                            ? add_slot(p, wg__holder_of(&p->clusters, out), offset_of(p, out, &own))
                            : add_slot(p, WG__NONE, 0);
        if (slot == UINT32_MAX)
            return wg__planner_no_memory(p);
    }
    if ((size_t)n->nin + n->nout > p->nviews)
        p->nviews = (size_t)n->nin + n->nout;
    wg_status status = scratch_of_kernel(p, step);
    step->tiles = 1;
    return status ? status : wg__planner_bodies(p, step);
}

/* A cluster that cannot be compiled: for lack of memory, or because fuse and the vm are at odds. */
static wg_status not_compiled(wg__planner *p, const wg__vm_step *step, wg_status why)
{
    if (why != WG_INTERNAL)
        return wg__planner_no_memory(p);
    return wg__fail(p->maker->error, WG_INTERNAL,
                    "%s: the vm has no loop for what it is fused with (%u nodes); executor "
                    "\"reference\" can run it",
                    wg__op_of(p->task->tape, step->node)->name, step->nmembers);
}

static wg_status compile_loop(wg__planner *p, wg__vm_step *step)
{
    wg__slots slots = {slot_of, p};
    wg_status why;
    step->u.loop = wg__compile_loop(&p->clusters, p->step, p->maker->isa, slots, &why);
    if (!step->u.loop)
        return not_compiled(p, step, why);
    step->tiles = wg__loop_tiles(step->u.loop);
    step->scratch = wg__loop_scratch(step->u.loop);
    step->cost = wg__loop_cost(step->u.loop);
    return WG_OK;
}

static wg_status compile_product(wg__planner *p, wg__vm_step *step)
{
    wg__slots slots = {slot_of, p};
    wg_status why;
    step->u.product = wg__compile_product(&p->clusters, p->step, p->maker->isa, slots, &why);
    if (!step->u.product)
        return not_compiled(p, step, why);
    p->plan->products = true;
    step->tiles = wg__product_tiles(step->u.product);
    step->scratch = wg__product_scratch(step->u.product);
    step->cost = wg__product_cost(step->u.product);
    return WG_OK;
}

static wg_status compile_scalars(wg__planner *p, wg__vm_step *step)
{
    wg__slots slots = {slot_of, p};
    step->u.scalars = wg__compile_scalars(&p->clusters, p->step, p->maker->isa, slots,
                                          p->member_at + step->member);
    if (!step->u.scalars)
        return wg__planner_no_memory(p);
    step->tiles = 1;
    step->scratch = wg__scalars_scratch(step->u.scalars);
    return WG_OK;
}

static wg_status compile_join(wg__planner *p, wg__vm_step *step)
{
    wg__slots slots = {slot_of, p};
    step->u.join = wg__compile_join(&p->clusters, p->step, slots);
    if (!step->u.join)
        return wg__planner_no_memory(p);
    step->tiles = wg__join_tiles(step->u.join);
    step->cost = wg__join_cost(step->u.join);
    return WG_OK;
}

static wg_status (*const compile_kind[])(wg__planner *, wg__vm_step *) = {
    [WG__KERNEL] = compile_kernel,   [WG__LOOP] = compile_loop,   [WG__PRODUCT] = compile_product,
    [WG__SCALARS] = compile_scalars, [WG__CONCAT] = compile_join,
};

/* The neighbours from `i` on that run side by side. */
static uint32_t run_together(const wg__clusters *c, size_t i)
{
    uint32_t n = 1;
    if (c->list.data[i].kind != WG__LOOP)
        return 1;
    while (i + n < c->list.len && c->list.data[i + n].kind == WG__LOOP &&
           c->list.data[i + n].group == c->list.data[i].group)
        n++;
    return n;
}

wg_status wg__planner_steps(wg__planner *p)
{
    wg__vm_plan *plan = p->plan;
    const wg__clusters *c = &p->clusters;
    for (size_t i = 0; i < c->list.len; i++) {
        const wg__cluster *k = &c->list.data[i];
        p->step = (uint32_t)i;
        wg__vm_step step = {.kind = k->kind,
                            .node = c->members.data[k->first],
                            .member = k->first,
                            .nmembers = k->count,
                            .slot = (uint32_t)plan->slots.len,
                            .together = run_together(c, i)};
        if (!wg__vec_push(p->ctx, &plan->steps, step))
            return wg__planner_no_memory(p);
        wg_status status = compile_kind[k->kind](p, &plan->steps.data[i]);
        wg__vm_step *done = &plan->steps.data[i];
        if (status)
            return status;
        done->nslots = (uint32_t)plan->slots.len - done->slot;
        if ((k->kind == WG__LOOP || k->kind == WG__PRODUCT) && done->scratch > plan->scratch)
            plan->scratch = done->scratch;
    }
    return WG_OK;
}
