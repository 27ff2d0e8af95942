/* Ops along one axis: argmax, argmin, cumsum. Sums of f32 accumulate in f64, integers wrap. */
#include "batch.h"
#include "kernel.h"
#include "rules.h"

static wg_status infer_arg(wg_infer *q)
{
    wg_axes axes = {1, {(int32_t)wg_attrs_int(q->attrs, "axis")}};
    const wg_shape *x = &q->in[0].shape;
    wg_status status = wg__check_extreme(q, axes.axis[0]);
    if (status)
        return status;
    if (x->dim[axes.axis[0]] > INT32_MAX)
        return wg_infer_fail(q, WG_SHAPE, "axis %d of %s is too long for an i32 index",
                             axes.axis[0], wg_infer_text(q, q->in[0]));
    q->out[0].dtype = WG_I32;
    q->out[0].shape = wg__reduced(x, axes, wg_attrs_bool(q->attrs, "keepdims"));
    return WG_OK;
}

static wg_status infer_same(wg_infer *q)
{
    q->out[0] = q->in[0];
    return WG_OK;
}

/* The adjoint runs the other way. */
static void cumsum_vjp(wg_rule *r)
{
    r->din[0] =
        wg_cumsum_with(r->dout[0], (int)wg_attrs_int(r->attrs, "axis"),
                       !wg_attrs_bool(r->attrs, "reverse"), wg_attrs_bool(r->attrs, "exclusive"));
}

/* ---- kernels ------------------------------------------------------------------------------------------ */

#define IS_NAN(e) isnan((double)(e))

/* Index of the first element that no other beats: a beats b when `a OP b`, and NaN beats any
 * number. x [outer, n, inner], y [outer, inner]. */
#define ARG(name, T, OP)                                                                           \
    static wg_status name(const wg_kernel_call *c)                                                 \
    {                                                                                              \
        int32_t *y = c->out[0].data;                                                               \
        const T *x = c->in[0].data;                                                                \
        wg__span p = wg__span_of(&c->in[0].type->shape, wg_attrs_int(c->attrs, "axis"));           \
        for (int64_t o = 0; o < p.outer; o++, x += p.n * p.inner)                                  \
            for (int64_t i = 0; i < p.inner; i++) {                                                \
                int64_t best = 0;                                                                  \
                for (int64_t k = 1; k < p.n; k++) {                                                \
                    const T a = x[k * p.inner + i], b = x[best * p.inner + i];                     \
                    best = a OP b || (IS_NAN(a) && !IS_NAN(b)) ? k : best;                         \
                }                                                                                  \
                *y++ = (int32_t)best;                                                              \
            }                                                                                      \
        return WG_OK;                                                                              \
    }

/* x, y [outer, n, inner]; A accumulates. */
#define CUMSUM(name, T, A)                                                                         \
    static wg_status name(const wg_kernel_call *c)                                                 \
    {                                                                                              \
        const bool reverse = wg_attrs_bool(c->attrs, "reverse");                                   \
        const bool exclusive = wg_attrs_bool(c->attrs, "exclusive");                               \
        wg__span p = wg__span_of(&c->in[0].type->shape, wg_attrs_int(c->attrs, "axis"));           \
        const int64_t step = reverse ? -p.inner : p.inner;                                         \
        for (int64_t o = 0; o < p.outer && p.n > 0; o++)                                           \
            for (int64_t i = 0; i < p.inner; i++) {                                                \
                int64_t at = (o * p.n + (reverse ? p.n - 1 : 0)) * p.inner + i;                    \
                A sum = 0;                                                                         \
                for (int64_t k = 0; k < p.n; k++, at += step) {                                    \
                    const A next = sum + ((const T *)c->in[0].data)[at];                           \
                    ((T *)c->out[0].data)[at] = (T)(exclusive ? sum : next);                       \
                    sum = next;                                                                    \
                }                                                                                  \
            }                                                                                      \
        return WG_OK;                                                                              \
    }

/* ---- batching ------------------------------------------------------------------------------------------ */

static void batch_argmax(wg_batch *b)
{
    bool keep = wg_attrs_bool(b->attrs, "keepdims");
    b->result[0] = wg_argmax_with(b->in[0], wg__shifted_axis(b), keep);
}

static void batch_argmin(wg_batch *b)
{
    bool keep = wg_attrs_bool(b->attrs, "keepdims");
    b->result[0] = wg_argmin_with(b->in[0], wg__shifted_axis(b), keep);
}

static void batch_cumsum(wg_batch *b)
{
    b->result[0] = wg_cumsum_with(b->in[0], wg__shifted_axis(b), wg_attrs_bool(b->attrs, "reverse"),
                                  wg_attrs_bool(b->attrs, "exclusive"));
}

/* clang-format off */
ARG(argmax_f, float, >)
ARG(argmax_d, double, >)
ARG(argmax_i, int32_t, >)
ARG(argmax_l, int64_t, >)
ARG(argmin_f, float, <)
ARG(argmin_d, double, <)
ARG(argmin_i, int32_t, <)
ARG(argmin_l, int64_t, <)
CUMSUM(cumsum_f, float, double)
CUMSUM(cumsum_d, double, double)
CUMSUM(cumsum_i, int32_t, int64_t)
CUMSUM(cumsum_l, int64_t, int64_t)

static const wg_kernel argmax_rows[] = {WG__ROW("f->i", argmax_f), WG__ROW("d->i", argmax_d),
                                        WG__ROW("i->i", argmax_i), WG__ROW("l->i", argmax_l)};
static const wg_kernel argmin_rows[] = {WG__ROW("f->i", argmin_f), WG__ROW("d->i", argmin_d),
                                        WG__ROW("i->i", argmin_i), WG__ROW("l->i", argmin_l)};
static const wg_kernel cumsum_rows[] = {WG__ROW("f->f", cumsum_f), WG__ROW("d->d", cumsum_d),
                                        WG__ROW("i->i", cumsum_i), WG__ROW("l->l", cumsum_l)};

#define ALONG_AXIS(op)                                                                             \
    "graph case(x: f64[5]) -> (y) { y = " op "(x, axis=0) }",                                      \
    "graph case(x: f64[3, 4]) -> (y) { y = " op "(x, axis=-1) }",                                  \
    "graph case(x: f64[2, 3, 2]) -> (y) { y = " op "(x, axis=1) }",                                \
    "graph case(x: f64[0, 3]) -> (y) { y = " op "(x, axis=1) }",                                   \
    "graph case(x: f64[1, 2, 1, 1, 1, 3, 1, 1]) -> (y) { y = " op "(x, axis=5) }"

WG__CASES(argmax, ALONG_AXIS("argmax"), "graph case(x: f64[2, 3]) -> (y) { y = argmax(x, axis=0, keepdims=true) }");
WG__CASES(argmin, ALONG_AXIS("argmin"), "graph case(x: f64[2, 3]) -> (y) { y = argmin(x, axis=0, keepdims=true) }");
WG__CASES(cumsum, ALONG_AXIS("cumsum"),
      "graph case(x: f64[2, 0]) -> (y) { y = cumsum(x, axis=1) }",
      "graph case(x: f64[3, 2]) -> (y) { y = cumsum(x, axis=0, reverse=true) }",
      "graph case(x: f64[2, 3]) -> (y) { y = cumsum(x, axis=1, exclusive=true) }",
      "graph case(x: f64[4]) -> (y) { y = cumsum(x, axis=0, reverse=true, exclusive=true) }");
/* clang-format on */

static const wg_op ops[] = {
    {.struct_size = WG_OP,
     .sig = "argmax(x: num; axis: axis, keepdims: bool = false) -> y",
     .doc = "Index of the greatest element along an axis, as i32: the first NaN, else the first of "
            "equals. An empty axis is an error.",
     .flags = WG_OP_TOTAL,
     .infer = infer_arg,
     WG__KERNELS(argmax_rows),
     .batch = batch_argmax,
     .check = &argmax_check},
    {.struct_size = WG_OP,
     .sig = "argmin(x: num; axis: axis, keepdims: bool = false) -> y",
     .doc = "Index of the least element along an axis, as i32: the first NaN, else the first of "
            "equals. An empty axis is an error.",
     .flags = WG_OP_TOTAL,
     .infer = infer_arg,
     WG__KERNELS(argmin_rows),
     .batch = batch_argmin,
     .check = &argmin_check},
    {.struct_size = WG_OP,
     .sig = "cumsum(x: num; axis: axis, reverse: bool = false, exclusive: bool = false) -> y",
     .doc = "Running sums along an axis, from the end with reverse, without the element itself "
            "with exclusive. f32 is accumulated in f64, integers wrap.",
     .flags = WG_OP_LINEAR | WG_OP_TOTAL,
     .infer = infer_same,
     .vjp = cumsum_vjp,
     WG__KERNELS(cumsum_rows),
     .batch = batch_cumsum,
     .check = &cumsum_check},
};
const wg__family wg__ops_along = {ops, sizeof ops / sizeof *ops};
