/* Helpers for batching rules of ops/ (wg_batch in wengert/op.h): shapes and attributes with the axis of
 * the steps in front. Included by the family files of ops/ only. */
#ifndef WG_OPS_BATCH_H
#define WG_OPS_BATCH_H

#include "rules.h"

/* The axis of the steps, as a shape of rank 1. */
static inline wg_shape wg__steps_axis(const wg_batch *b)
{
    wg_shape n = wg__no_dims();
    for (size_t k = 0; k < b->nin && n.rank == 0; k++)
        if (b->batched[k]) {
            const wg_shape x = wg_typeof(b->in[k]).shape;
            wg_shape_push(&n, &x, 0);
        }
    return n;
}

/* Shape `step` of all steps. Rank 8 has no room: the result then is no legal shape, and what takes it
 * fails. */
static inline wg_shape wg__stacked(const wg_batch *b, wg_shape step)
{
    wg_shape all = wg__steps_axis(b);
    for (int i = 0; i < step.rank && all.rank < WG_MAX_RANK; i++)
        wg_shape_push(&all, &step, i);
    if (step.rank == WG_MAX_RANK)
        all.dim[0] = -1;
    return all;
}

/* The operand with the axis of the steps, repeated along it where it had none. */
static inline wg_var wg__stacked_operand(const wg_batch *b, size_t k)
{
    return b->batched[k] ? b->in[k]
                         : wg_broadcast(b->in[k], wg__stacked(b, wg_typeof(b->in[k]).shape));
}

/* `axes` of a step among the axes of all steps. */
static inline wg_axes wg__shifted_axes(wg_axes axes)
{
    for (int32_t i = 0; i < axes.count; i++)
        axes.axis[i]++;
    return axes;
}

static inline int wg__shifted_axis(const wg_batch *b)
{
    return (int)wg_attrs_int(b->attrs, "axis") + 1;
}

/* The list of attribute `name`, one entry per axis, with `first` for the axis of the steps; an empty
 * list stays empty. Returns its length. */
static inline size_t wg__shifted_ints(const wg_batch *b, const char *name, int64_t first,
                                      int64_t to[WG_MAX_RANK])
{
    size_t n;
    const int64_t *ints = wg_attrs_ints(b->attrs, name, &n);
    if (n == 0 || n == WG_MAX_RANK)
        return 0;
    to[0] = first;
    for (size_t i = 0; i < n; i++)
        to[i + 1] = ints[i];
    return n + 1;
}

#endif
