/* A CONCAT cluster: those parts that are not stored in their windows anyway are copied there, from
 * where they lie and however. */
#include <string.h>

#include "vm/compiling.h"

/* The window of operand k, `at` elements along the axis behind the start, as a copy. */
static wg__join_copy copy_of(const wg__clusters *c, uint32_t id, size_t k, int axis, int64_t at,
                             wg__slots slots)
{
    const uint32_t in = wg__operands(c->tape, wg__node_at(c->tape, id))[k];
    const wg_type *type = wg__type_at(c->tape, in);
    const wg_strides to = wg__dense_strides(wg__type_at(c->tape, id));
    wg__layout room;
    const wg__layout *l = wg__layout_of(c, in, &room);
    wg_strides from = l->s;
    const ptrdiff_t size = (ptrdiff_t)wg_dtype_size(type->dtype);
    wg__in_memory(c, l->base, &type->shape, &from);
    wg__join_copy copy = {.size = (uint8_t)size,
                          .rank = type->shape.rank,
                          .from_at = (ptrdiff_t)from.offset * size,
                          .to_at = (ptrdiff_t)(at * to.step[axis]) * size};
    copy.from = slots.of(slots.user, wg__holder_of(c, l->base));
    copy.to = slots.of(slots.user, id);
    for (int i = 0; i < type->shape.rank; i++) {
        copy.dim[i] = type->shape.dim[i];
        copy.from_step[i] = (ptrdiff_t)from.step[i] * size;
        copy.to_step[i] = (ptrdiff_t)to.step[i] * size;
    }
    return copy;
}

/* Whether operand k is stored in its window by what computes it. A value has the window of its first
 * place alone: it may be there again. */
static bool is_there(const wg__clusters *c, uint32_t id, uint32_t in, int64_t start)
{
    const uint32_t at = c->window[wg__base_of(c, in)];
    const wg__window *w = at ? &c->windows.data[at - 1] : NULL;
    return w && w->join == id && w->start == start;
}

wg__join *wg__compile_join(const wg__clusters *c, uint32_t cluster, wg__slots slots)
{
    const uint32_t id = c->members.data[c->list.data[cluster].first];
    const wg__node *n = wg__node_at(c->tape, id);
    const uint32_t *in = wg__operands(c->tape, n);
    const wg_attrs attrs = wg__attrs_of(c->tape, id);
    const int axis = (int)wg_attrs_int(&attrs, "axis");
    const int64_t inner = wg__dense_strides(wg__type_at(c->tape, id)).step[axis];
    wg__join_copy *copies = wg__calloc(c->ctx, n->nin, sizeof *copies);
    bool good = copies && slots.of(slots.user, id) != UINT32_MAX;
    size_t len = 0;
    int64_t at = 0;
    for (uint16_t k = 0; k < n->nin && good; k++) {
        const wg_shape *shape = &wg__type_at(c->tape, in[k])->shape;
        if (wg_shape_count(*shape) && !is_there(c, id, in[k], at * inner)) {
            copies[len] = copy_of(c, id, k, axis, at, slots);
            good = copies[len].from != UINT32_MAX && copies[len].to != UINT32_MAX;
            len++;
        }
        at += shape->dim[axis];
    }
    wg__join *join = good ? wg__join_make(c->ctx, copies, len) : NULL;
    wg__free(c->ctx, copies);
    return join;
}
