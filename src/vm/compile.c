/* A LOOP cluster, or the epilogue of a product, as a loop: each member becomes an instruction of the
 * builder, each operand from memory a load. Strides over the space of the cluster come from layouts:
 * a member is FULL, or ROW and stays put along the columns. */
#include <string.h>

#include "vm/compiling.h"

const wg_kernel *wg__compile_row(const wg_tape *t, uint32_t id)
{
    const wg__node *n = wg__node_at(t, id);
    const uint32_t *in = wg__operands(t, n);
    const wg_type *types[WG__MAX_OPERANDS], *out = wg__type_at(t, id);
    for (uint16_t k = 0; k < n->nin; k++)
        types[k] = wg__type_at(t, in[k]);
    return wg__op_kernel(wg__op_of(t, id), types, n->nin, &out);
}

/* ---- memory ------------------------------------------------------------------------------------------- */

/* Strides `of` over the first `rank` axes of the space, as memory of elements of `dtype`. */
static wg__loop_mem memory(wg__emitter *e, uint32_t base, const wg_strides *of, int rank,
                           wg_dtype dtype)
{
    wg__loop_mem mem;
    wg_strides there = *of, *s = &there;
    wg_shape over = e->at->space;
    over.rank = rank < over.rank ? rank : over.rank;
    wg__in_memory(e->c, base, &over, s);
    ptrdiff_t size = (ptrdiff_t)wg_dtype_size(dtype);
    memset(&mem, 0, sizeof mem); /* padding too: they are compared */
    mem.slot = e->slots.of(e->slots.user, wg__holder_of(e->c, base));
    mem.dtype = dtype;
    mem.offset = (ptrdiff_t)s->offset * size;
    for (int d = 0; d < e->nouter && d < rank; d++)
        mem.outer[d] = (ptrdiff_t)s->step[d] * size;
    if (rank == e->at->space.rank && rank > e->nouter)
        mem.col = (ptrdiff_t)s->step[rank - 1] * size;
    e->failed |= mem.slot == UINT32_MAX;
    return mem;
}

/* The memory of a member's own value. */
static wg__loop_mem own_memory(wg__emitter *e, uint32_t id)
{
    const wg_type *type = wg__type_at(e->c->tape, id);
    wg_strides dense = wg__dense_strides(type);
    wg_strides s = wg__strides_over(&dense, &type->shape, &type->shape);
    return memory(e, id, &s, wg__squeeze(&type->shape, NULL).rank, type->dtype);
}

static wg__reg load(wg__emitter *e, const wg__loop_mem *mem)
{
    for (size_t i = 0; i < e->nloads; i++)
        if (memcmp(&e->load[i], mem, sizeof *mem) == 0)
            return e->loaded[i];
    wg__reg reg = wg__loop_load(e->b, mem);
    if (e->nloads < sizeof e->load / sizeof *e->load) {
        memcpy(&e->load[e->nloads], mem, sizeof *mem);
        e->loaded[e->nloads++] = reg;
    }
    return reg;
}

/* The index along axis `axis` of the space. */
static wg__reg count_along(wg__emitter *e, int axis, wg_dtype dtype)
{
    const wg_shape *space = &e->at->space;
    int64_t div = 1;
    if (axis < e->nouter)
        return wg__loop_iota(e->b, axis, 0, 0, dtype);
    for (int i = axis + 1; i < space->rank; i++)
        div *= space->dim[i];
    return wg__loop_iota(e->b, e->nouter, div, axis > e->nouter ? space->dim[axis] : 0, dtype);
}

/* Operand k of a member. An elementwise one sees it broadcast to its own shape. */
static wg__reg operand(wg__emitter *e, uint32_t id, size_t k)
{
    const wg__clusters *c = e->c;
    wg__layout room;
    const wg__layout *l = wg__read_layout(c, id, k, &room);
    uint32_t in = wg__operands(c->tape, wg__node_at(c->tape, id))[k];
    const wg_type *type = wg__type_at(c->tape, c->role[id] == WG__COPY ? id : in);
    const wg_shape *over = c->role[id] == WG__MAP ? &wg__type_at(c->tape, id)->shape : &type->shape;
    if (c->of[l->base] == e->cluster)
        return e->reg[c->place[l->base] - e->at->first];
    wg_shape space = wg__squeeze(over, NULL);
    wg_strides s = wg__strides_over(&l->s, &type->shape, over);
    if (c->role[l->base] == WG__INDEX)
        return count_along(e, wg__iota_axis(c->tape, l->base, &space, &s), type->dtype);
    wg__loop_mem mem = memory(e, l->base, &s, space.rank, type->dtype);
    return load(e, &mem);
}

/* ---- members --------------------------------------------------------------------------------------------- */

static wg__reg emit_map(wg__emitter *e, uint32_t id)
{
    const wg_tape *t = e->c->tape;
    wg__reg in[WG__MAX_OPERANDS];
    double values[WG__MAX_ATTRS];
    wg_attrs attrs = wg__attrs_of(t, id);
    size_t nin = wg__node_at(t, id)->nin, n = wg__attrs_doubles(&attrs, values);
    for (size_t k = 0; k < nin; k++)
        in[k] = operand(e, id, k);
    return wg__loop_apply(e->b, wg__compile_row(t, id), in, nin, wg__type_at(t, id)->dtype, values,
                          n, attrs.op->def.data);
}

static wg__reg emit_copy(wg__emitter *e, uint32_t id) { return operand(e, id, 0); }

/* A reduction of the columns is a value of the loop; others end in memory. */
static wg__reg emit_fold(wg__emitter *e, uint32_t id)
{
    const wg_tape *t = e->c->tape;
    uint32_t x = wg__operands(t, wg__node_at(t, id))[0];
    wg_monoid monoid = wg__op_of(t, id)->def.monoid;
    int k, rank = wg__squeeze(&wg__type_at(t, x)->shape, NULL).rank;
    wg__fold fold = wg__fold_kind(t, id, &k);
    wg__reg reg = operand(e, id, 0);
    bool full = rank == e->at->space.rank;
    if (fold == WG__FOLD_NONE)
        return reg;
    if (fold == WG__FOLD_TRAILING || (fold == WG__FOLD_ALL && full && e->at->ncols == rank))
        return wg__loop_reduce(e->b, monoid, reg);
    wg__loop_mem mem = own_memory(e, id);
    if (fold == WG__FOLD_ALL) {
        wg__loop_total(e->b, monoid, reg, full ? WG__FULL : WG__ROW, &mem);
        return WG__NO_REG;
    }
    memset(mem.outer, 0, sizeof mem.outer);
    mem.col = (ptrdiff_t)wg_dtype_size(mem.dtype);
    wg__loop_columns(e->b, monoid, reg, &mem);
    return WG__NO_REG;
}

static wg__reg emit_pick(wg__emitter *e, uint32_t id)
{
    wg__reg x = operand(e, id, 0);
    return wg__loop_pick(e->b, x, operand(e, id, 1), id);
}

/* x [lead.., n, inner..] at indices [idx..] is [lead.., idx.., inner..]: the axes of each, without
 * those of size 1, stand together in the space. */
static wg__reg emit_take(wg__emitter *e, uint32_t id)
{
    const wg__clusters *c = e->c;
    const wg_tape *t = c->tape;
    const uint32_t *in = wg__operands(t, wg__node_at(t, id));
    const wg_type *x = wg__type_at(t, in[0]), *index = wg__type_at(t, in[1]);
    wg__layout rx, ri, lx = *wg__layout_of(c, in[0], &rx), li = *wg__layout_of(c, in[1], &ri);
    wg_attrs attrs = wg__attrs_of(t, id);
    int axis = (int)wg_attrs_int(&attrs, "axis"), at = 0;
    wg_strides sx = {lx.s.offset, {0}}, si = {li.s.offset, {0}};
    for (int i = 0; i < x->shape.rank; i++) {
        for (int k = 0; i == axis && k < index->shape.rank; k++)
            if (index->shape.dim[k] != 1)
                si.step[at++] = li.s.step[k];
        if (i != axis && x->shape.dim[i] != 1)
            sx.step[at++] = lx.s.step[i];
    }
    wg__loop_mem rows = memory(e, lx.base, &sx, at, x->dtype);
    wg__loop_mem which = memory(e, li.base, &si, at, index->dtype);
    ptrdiff_t step = (ptrdiff_t)lx.s.step[axis] * (ptrdiff_t)wg_dtype_size(x->dtype);
    return wg__loop_gather(e->b, &rows, load(e, &which), step, x->shape.dim[axis], id);
}

static wg__reg (*const emit_role[])(wg__emitter *, uint32_t) = {
    [WG__MAP] = emit_map,   [WG__COPY] = emit_copy, [WG__FOLD] = emit_fold,
    [WG__PICK] = emit_pick, [WG__TAKE] = emit_take,
};

void wg__emit_members(wg__emitter *e, wg__reg product)
{
    const wg__clusters *c = e->c;
    for (uint32_t i = 0; i < e->at->count; i++) {
        uint32_t id = c->members.data[e->at->first + i];
        if (c->role[id] == WG__TIMES) { /* which stores itself */
            e->reg[i] = product;
            continue;
        }
        e->reg[i] = emit_role[c->role[id]](e, id);
        if (e->reg[i] == WG__NO_REG || !c->stored[id])
            continue;
        wg__loop_mem mem = own_memory(e, id);
        wg__loop_store(e->b, e->reg[i], &mem);
    }
}

/* ---- the whole ----------------------------------------------------------------------------------------- */

bool wg__emit_begin(wg__emitter *e, const wg__clusters *c, uint32_t cluster, int columns, int isa,
                    wg__slots slots)
{
    const wg__cluster *at = &c->list.data[cluster];
    const wg_shape *space = &at->space;
    int64_t cols = 1;
    *e = (wg__emitter){.c = c, .at = at, .cluster = cluster, .slots = slots};
    e->nouter = space->rank - columns;
    for (int i = e->nouter; i < space->rank; i++)
        cols *= space->dim[i];
    e->reg = wg__calloc(c->ctx, at->count, sizeof *e->reg);
    e->b = e->reg ? wg__loop_begin(c->ctx, space->dim, e->nouter, cols, isa) : NULL;
    if (e->b)
        return true;
    wg__free(c->ctx, e->reg);
    return false;
}

wg__loop *wg__emit_end(wg__emitter *e, wg_status *why)
{
    wg__loop *loop = wg__loop_end(e->b, why);
    wg__free(e->c->ctx, e->reg);
    if (!e->failed)
        return loop;
    wg__loop_free(e->c->ctx, loop);
    *why = WG_NO_MEMORY;
    return NULL;
}

wg__loop *wg__compile_loop(const wg__clusters *c, uint32_t cluster, int isa, wg__slots slots,
                           wg_status *why)
{
    wg__emitter e;
    const wg__cluster *at = &c->list.data[cluster];
    int columns = at->ncols ? at->ncols : at->space.rank > 0;
    *why = WG_NO_MEMORY;
    if (!wg__emit_begin(&e, c, cluster, columns, isa, slots))
        return NULL;
    wg__emit_members(&e, WG__NO_REG);
    return wg__emit_end(&e, why);
}
