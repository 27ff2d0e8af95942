/* Layouts of views, and strides as an elementwise reader sees them. Includable parts of the tape
 * only; knows nothing of clusters. */
#include <string.h>

#include "pass/layout.h"

bool wg__is_view(const wg_tape *t, uint32_t id)
{
    const wg__node *n = wg__node_at(t, id);
    const wg_op *op = &wg__op_of(t, id)->def;
    return (op->flags & WG_OP_VIEW) && op->view && n->nin == 1 && n->nout == 1;
}

wg_strides wg__dense_strides(const wg_type *type)
{
    wg_strides s = {0, {0}};
    int64_t step = 1;
    for (int i = type->shape.rank - 1; i >= 0; i--) {
        s.step[i] = step;
        step *= type->shape.dim[i];
    }
    return s;
}

bool wg__layout_make(const wg_tape *t, uint32_t id, const wg__layout *of, wg__layout *out)
{
    const wg_type *type = wg__type_at(t, id);
    if (wg__is_view(t, id)) {
        uint32_t from = wg__operands(t, wg__node_at(t, id))[0];
        wg_attrs attrs = wg__attrs_of(t, id);
        wg__layout made = {of->base, {0, {0}}};
        if (wg__op_of(t, id)->def.view(&attrs, wg__type_at(t, from), &of->s, type, &made.s)) {
            *out = made;
            return true;
        }
    }
    *out = (wg__layout){id, wg__dense_strides(type)};
    return false;
}

bool wg__layout_dense(const wg_type *type, const wg_strides *s)
{
    if (wg_shape_count(type->shape) == 0)
        return true;
    int64_t step = 1;
    for (int i = type->shape.rank - 1; i >= 0; i--) {
        if (type->shape.dim[i] != 1 && s->step[i] != step)
            return false;
        step *= type->shape.dim[i];
    }
    return true;
}

wg_shape wg__squeeze(const wg_shape *s, int axis[WG_MAX_RANK])
{
    wg_shape to;
    memset(&to, 0, sizeof to);
    for (int i = 0; i < s->rank; i++)
        if (s->dim[i] != 1) {
            if (axis)
                axis[to.rank] = i;
            to.dim[to.rank++] = s->dim[i];
        }
    return to;
}

wg_strides wg__strides_over(const wg_strides *s, const wg_shape *value, const wg_shape *over)
{
    wg_strides to = {s->offset, {0}};
    int n = 0, lead = over->rank - value->rank;
    for (int i = 0; i < over->rank; i++) {
        if (over->dim[i] == 1)
            continue;
        to.step[n++] = i < lead || value->dim[i - lead] == 1 ? 0 : s->step[i - lead];
    }
    return to;
}

int wg__merged_axes(const wg_shape *space, const wg_strides *s)
{
    int k = space->rank > 0;
    for (int i = space->rank - 2; i >= 0; i--, k++)
        if (s->step[i] != s->step[i + 1] * space->dim[i + 1])
            break;
    return k;
}

/* Where the element at position p of an iota's memory is (p / inner) % n, axes whose steps are
 * multiples of inner * n and those that together stay below inner do not matter. */
int wg__iota_axis(const wg_tape *t, uint32_t id, const wg_shape *space, const wg_strides *s)
{
    const wg_type *type = wg__type_at(t, id);
    wg_attrs attrs = wg__attrs_of(t, id);
    int64_t axis = wg_attrs_int(&attrs, "axis"), below = 0;
    int along = -1;
    if (axis < 0)
        axis += type->shape.rank;
    if (axis < 0 || axis >= type->shape.rank || s->offset != 0 || type->dtype == WG_BOOL)
        return -1;
    int64_t inner = wg__dense_strides(type).step[axis], n = type->shape.dim[axis];
    if (inner == 0 || n == 0)
        return -1;
    for (int i = 0; i < space->rank; i++) {
        if (s->step[i] % (inner * n) == 0)
            continue;
        if (s->step[i] == inner && along < 0 && space->dim[i] <= n) {
            along = i;
        } else if (s->step[i] > 0 && s->step[i] < inner) {
            below += (space->dim[i] - 1) * s->step[i];
        } else {
            return -1;
        }
    }
    return below < inner ? along : -1;
}
