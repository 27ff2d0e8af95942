/* Helpers for the naive kernels of ops/: walking arrays by strides, copying by element size, a
 * shape seen from one axis. All arrays are dense and row-major; strides count elements. Included by
 * the family files of ops/ only. */
#ifndef WG_OPS_KERNEL_H
#define WG_OPS_KERNEL_H

#include <math.h>
#include <string.h>

#include "tape/op.h"

/* ---- table rows ----------------------------------------------------------------------------- */

/* A kernel without and with scratch memory; the kernels of an op; and the check data of an op that
 * has test graphs only, as name_check. */
/* clang-format off */
#define WG__ROW(TYPES, RUN) {WG_KERNEL, .types = TYPES, .run = RUN}
#define WG__ROW_SCRATCH(TYPES, RUN, SCRATCH) {WG_KERNEL, .types = TYPES, .run = RUN, .scratch = SCRATCH}
/* clang-format on */
#define WG__KERNELS(rows) .kernels = rows, .nkernels = sizeof(rows) / sizeof *(rows)
#define WG__CASES(name, ...)                                                                       \
    static const char *const name##_cases[] = {__VA_ARGS__, NULL};                                 \
    static const wg_op_check name##_check = {WG_OP_CHECK, {0}, {0}, NULL, name##_cases, 0, 0}

/* ---- small things --------------------------------------------------------------------------- */

static inline int64_t wg__count(const wg_view *v) { return wg_shape_count(v->type->shape); }

static inline size_t wg__elem(const wg_view *v) { return wg_dtype_size(v->type->dtype); }

/* Element i of an i32 or i64 array. */
static inline int64_t wg__int_at(const wg_view *v, int64_t i)
{
    if (v->type->dtype == WG_I32)
        return ((const int32_t *)v->data)[i];
    return ((const int64_t *)v->data)[i];
}

/* Row-major strides of a shape. */
static inline void wg__strides(const wg_shape *s, int64_t stride[WG_MAX_RANK])
{
    int64_t step = 1;
    for (int i = s->rank - 1; i >= 0; i--) {
        stride[i] = step;
        step *= s->dim[i];
    }
}

/* Strides of a shape that is broadcast to `rank` axes: 0 where it is stretched. */
static inline void wg__broadcast_strides(const wg_shape *s, int rank, int64_t stride[WG_MAX_RANK])
{
    int64_t full[WG_MAX_RANK];
    wg__strides(s, full);
    memset(stride, 0, WG_MAX_RANK * sizeof *stride);
    for (int i = 0; i < s->rank; i++)
        stride[rank - s->rank + i] = s->dim[i] == 1 ? 0 : full[i];
}

/* A shape seen from one axis: element (o, k, i) stands at (o * n + k) * inner + i. */
typedef struct wg__span {
    int64_t outer, n, inner;
} wg__span;

static inline wg__span wg__span_of(const wg_shape *s, int64_t axis)
{
    wg__span p = {1, 1, 1};
    for (int i = 0; i < s->rank; i++)
        *(i < axis ? &p.outer : i == axis ? &p.n : &p.inner) *= s->dim[i];
    return p;
}

/* ---- walking by strides ------------------------------------------------------------------------ */

enum { WG__WALK = 3 }; /* arrays that walk together, at most */

/* All index tuples of a shape in row-major order, as runs along the innermost axis, with the
 * offset of each run in every array:
 *
 *     for (wg__walk w = wg__walk_begin(&shape, 2, strides); !w.done; wg__walk_next(&w))
 *         for (int64_t i = 0; i < w.n; i++)
 *             y[w.at[1] + i * w.step[1]] = x[w.at[0] + i * w.step[0]];
 *
 * Axes that are contiguous in all arrays are merged, so that runs are long. */
typedef struct wg__walk {
    bool done;
    int arrays, rank; /* rank: of the outer axes */
    int64_t n, step[WG__WALK], at[WG__WALK];
    int64_t dim[WG_MAX_RANK], index[WG_MAX_RANK], stride[WG__WALK][WG_MAX_RANK];
} wg__walk;

static inline bool wg__walk_merges(const wg__walk *w, int64_t stride[][WG_MAX_RANK], int axis,
                                   int64_t dim)
{
    for (int k = 0; k < w->arrays; k++)
        if (w->stride[k][w->rank - 1] != stride[k][axis] * dim)
            return false;
    return w->rank > 0;
}

static inline void wg__walk_push(wg__walk *w, int64_t stride[][WG_MAX_RANK], int axis, int64_t dim)
{
    if (w->rank > 0 && wg__walk_merges(w, stride, axis, dim))
        w->dim[w->rank - 1] *= dim;
    else
        w->dim[w->rank++] = dim;
    for (int k = 0; k < w->arrays; k++)
        w->stride[k][w->rank - 1] = stride[k][axis];
}

static inline wg__walk wg__walk_begin(const wg_shape *s, int arrays, int64_t stride[][WG_MAX_RANK])
{
    wg__walk w;
    memset(&w, 0, sizeof w);
    w.arrays = arrays;
    w.n = 1;
    for (int i = 0; i < s->rank; i++) {
        w.done = w.done || s->dim[i] == 0;
        if (s->dim[i] != 1)
            wg__walk_push(&w, stride, i, s->dim[i]);
    }
    if (w.rank > 0) { /* the last axis is the run */
        w.n = w.dim[--w.rank];
        for (int k = 0; k < arrays; k++)
            w.step[k] = w.stride[k][w.rank];
    }
    return w;
}

static inline void wg__walk_next(wg__walk *w)
{
    for (int i = w->rank - 1; i >= 0; i--) {
        for (int k = 0; k < w->arrays; k++)
            w->at[k] += w->stride[k][i];
        if (++w->index[i] < w->dim[i])
            return;
        for (int k = 0; k < w->arrays; k++)
            w->at[k] -= w->stride[k][i] * w->dim[i];
        w->index[i] = 0;
    }
    w->done = true;
}

/* ---- moving elements ----------------------------------------------------------------------------- */

/* n elements of `size` bytes; steps in bytes. The sizes are constants in each loop, so that a copy
 * is one load and one store. */
static inline void wg__copy_run(int64_t n, size_t size, char *to, int64_t to_step, const char *from,
                                int64_t from_step)
{
    if (to_step == (int64_t)size && from_step == (int64_t)size)
        memcpy(to, from, (size_t)n * size);
    else if (size == 8)
        for (; n > 0; n--, to += to_step, from += from_step)
            memcpy(to, from, 8);
    else if (size == 4)
        for (; n > 0; n--, to += to_step, from += from_step)
            memcpy(to, from, 4);
    else
        for (; n > 0; n--, to += to_step, from += from_step)
            memcpy(to, from, size);
}

/* For every index of `shape`: to[index . stride[0]] = from[index . stride[1]]. */
static inline void wg__copy_strided(const wg_shape *shape, size_t size, void *to, const void *from,
                                    int64_t stride[2][WG_MAX_RANK])
{
    int64_t e = (int64_t)size;
    for (wg__walk w = wg__walk_begin(shape, 2, stride); !w.done; wg__walk_next(&w))
        wg__copy_run(w.n, size, (char *)to + w.at[0] * e, w.step[0] * e,
                     (const char *)from + w.at[1] * e, w.step[1] * e);
}

/* The output, read from the first operand with strides `from`, beginning at element `base`. */
static inline wg_status wg__gather_strided(const wg_kernel_call *c, int64_t base,
                                           const int64_t from[WG_MAX_RANK])
{
    size_t size = wg__elem(&c->in[0]);
    int64_t stride[2][WG_MAX_RANK];
    wg__strides(&c->out[0].type->shape, stride[0]);
    memcpy(stride[1], from, sizeof stride[1]);
    wg__copy_strided(&c->out[0].type->shape, size, c->out[0].data,
                     (const char *)c->in[0].data + base * (int64_t)size, stride);
    return WG_OK;
}

#endif
