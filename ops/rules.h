/* Helpers for inference and derivative rules of ops/: shapes of reductions, constants and sums in
 * graphs. What depends on sizes goes through attributes of kind shape, never through integers, so
 * that a rule's graph stays right when the tape is recorded anew at another size. Included by the
 * family files of ops/ only. */
#ifndef WG_OPS_RULES_H
#define WG_OPS_RULES_H

#include <wengert/ops.h>

#include "tape/op.h"

static inline wg_shape wg__no_dims(void) { return wg_shape_make(NULL, 0); }

static inline bool wg__has_axis(const wg_axes *axes, int axis)
{
    for (int32_t i = 0; i < axes->count; i++)
        if (axes->axis[i] == axis)
            return true;
    return false;
}

/* The shape of a reduction of `x` over `axes`. */
static inline wg_shape wg__reduced(const wg_shape *x, wg_axes axes, bool keepdims)
{
    wg_shape y = wg__no_dims();
    for (int i = 0; i < x->rank; i++)
        if (!wg__has_axis(&axes, i))
            wg_shape_push(&y, x, i);
        else if (keepdims)
            wg_shape_push_size(&y, 1);
    return y;
}

/* `y`, reduced from a value of shape `x`, with the reduced axes back as size 1. */
static inline wg_var wg__keep(wg_var y, const wg_shape *x, wg_axes axes)
{
    wg_shape kept = wg__reduced(x, axes, true);
    return wg_typeof(y).shape.rank == kept.rank ? y : wg_reshape(y, kept);
}

/* An array of one value. */
static inline wg_var wg__filled(wg_tape *tape, wg_dtype dtype, wg_shape shape, double value)
{
    wg_type type = {dtype, shape};
    return wg_full(tape, type, value);
}

/* The adjoint of broadcasting a value of shape `to` to g's shape: g summed over the axes that were
 * stretched. An axis of size 1 without a symbol counts as stretched wherever g has a symbol or
 * another size. */
static inline wg_var wg__sum_to(wg_var g, wg_shape to)
{
    wg_shape from = wg_typeof(g).shape;
    wg_axes axes = {0, {0}};
    int lead = from.rank - to.rank;
    for (int i = 0; i < from.rank; i++) {
        int k = i - lead;
        bool grown =
            k < 0 || (to.dim[k] == 1 && (from.dim[i] != 1 || (!to.symbol[k] && from.symbol[i])));
        if (grown)
            axes.axis[axes.count++] = i;
    }
    if (axes.count == 0)
        return g;
    g = wg_sum_with(g, axes, lead == 0);
    return lead == 0 ? g : wg_reshape(g, to);
}

/* Number of elements of `x` along `axes`, as a shape of rank 1 whose size carries the symbols. */
static inline wg_shape wg__extent(wg_ctx *ctx, const wg_shape *x, wg_axes axes)
{
    wg_shape n = wg__no_dims();
    wg_shape_push_size(&n, 1);
    for (int32_t i = 0; i < axes.count; i++)
        wg_dim_op(ctx, &n, 0, &n, 0, '*', x, axes.axis[i]);
    return n;
}

static inline wg_axes wg__all_axes(int rank)
{
    wg_axes all = {rank, {0, 1, 2, 3, 4, 5, 6, 7}};
    return all;
}

/* Sizes of a shape attribute that are to be read as an output's shape. */
static inline wg_status wg__check_sizes(wg_infer *q, const char *name, const wg_shape *s)
{
    for (int i = 0; i < s->rank; i++)
        if (s->dim[i] < 0)
            return wg_infer_fail(q, WG_SHAPE, "size %lld of axis %d in %s is negative",
                                 (long long)s->dim[i], i, name);
    return WG_OK;
}

/* Of an axis without elements there is no greatest or least one. */
static inline wg_status wg__check_extreme(wg_infer *q, int axis)
{
    if (q->in[0].shape.dim[axis] > 0)
        return WG_OK;
    return wg_infer_fail(q, WG_SHAPE, "axis %d of %s is empty and has no extreme element", axis,
                         wg_infer_text(q, q->in[0]));
}

#endif
