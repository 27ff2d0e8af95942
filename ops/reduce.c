/* Reductions over axes: sum, mean, prod, max, min, logsumexp, any, all. Sums and products of f32
 * accumulate in f64, integers wrap, NaN goes through max and min. Each kernel folds x, read once in
 * memory order, into one accumulator per output. */
#include <wengert/control.h>

#include "kernel.h"
#include "rules.h"

/* ---- inference ----------------------------------------------------------------------------------- */

static wg_status infer_reduce(wg_infer *q)
{
    wg_axes axes = wg_attrs_axes(q->attrs, "axes");
    q->out[0].dtype = q->in[0].dtype;
    q->out[0].shape = wg__reduced(&q->in[0].shape, axes, wg_attrs_bool(q->attrs, "keepdims"));
    return WG_OK;
}

static wg_status infer_extreme(wg_infer *q)
{
    wg_axes axes = wg_attrs_axes(q->attrs, "axes");
    wg_status status = WG_OK;
    for (int32_t i = 0; i < axes.count && !status; i++)
        status = wg__check_extreme(q, axes.axis[i]);
    return status ? status : infer_reduce(q);
}

/* ---- derivatives --------------------------------------------------------------------------------- */

/* What the rules of reductions share: the operand's type and the axes. */
typedef struct reduced {
    wg_type x;
    wg_axes axes;
} reduced;

static reduced reduced_of(const wg_rule *r)
{
    return (reduced){wg_typeof(r->in[0]), wg_attrs_axes(r->attrs, "axes")};
}

static void sum_vjp(wg_rule *r)
{
    reduced p = reduced_of(r);
    r->din[0] = wg_broadcast(wg__keep(r->dout[0], &p.x.shape, p.axes), p.x.shape);
}

/* 1 / number of elements along the axes: a literal unless their sizes may change. */
static wg_var inverse_count(const wg_rule *r, const reduced *p)
{
    wg_shape n = wg__extent(wg_tape_ctx(r->tape), &p->x.shape, p->axes);
    if (!n.symbol[0])
        return wg_f(1.0 / (double)n.dim[0]);
    return wg_reciprocal(wg_element_count_with(r->tape, n, p->x.dtype));
}

static void mean_vjp(wg_rule *r)
{
    reduced p = reduced_of(r);
    wg_var g = wg_mul(r->dout[0], inverse_count(r, &p));
    r->din[0] = wg_broadcast(wg__keep(g, &p.x.shape, p.axes), p.x.shape);
}

/* The elements equal to the extreme one share the cotangent. */
static void extreme_vjp(wg_rule *r)
{
    reduced p = reduced_of(r);
    wg_var y = wg__keep(r->out[0], &p.x.shape, p.axes);
    wg_var ties = wg_cast(wg_equal(r->in[0], y), p.x.dtype);
    wg_var share = wg_mul(ties, wg_reciprocal(wg_sum_with(ties, p.axes, true)));
    r->din[0] = wg_mul0(wg__keep(r->dout[0], &p.x.shape, p.axes), share);
}

/* g exp(x - y): a softmax. Where y = -inf all x are -inf, and exp(-inf - 0) = 0 is taken. */
static void logsumexp_vjp(wg_rule *r)
{
    reduced p = reduced_of(r);
    wg_var y = wg__keep(r->out[0], &p.x.shape, p.axes);
    wg_var top = wg_where(wg_equal(y, wg_f(-INFINITY)), wg_f(0), y);
    wg_var share = wg_exp(wg_sub(r->in[0], top));
    r->din[0] = wg_mul0(wg__keep(r->dout[0], &p.x.shape, p.axes), share);
}

/* out[t] = product of rows before t (after t with `reverse`) of x [n, m], as a scan, which
 * differentiates to any order and divides by nothing. */
static wg_var exclusive_product(wg_tape *tape, wg_var x, bool reverse)
{
    wg_type type = wg_typeof(x);
    wg_shape row = wg__no_dims();
    wg_shape_push(&row, &type.shape, 1);
    wg_tape *body = wg_fn_begin(tape, "product");
    wg_var p = wg_fn_input(body, "p", type.dtype, row);
    wg_var e = wg_fn_input(body, "x", type.dtype, row);
    wg_var outs[2] = {wg_mul(p, e), p};
    wg_fn fn = wg_fn_end(body, outs, 2);
    wg_var one = wg__filled(tape, type.dtype, row, 1);
    wg_scan_options options = WG_SCAN_DEFAULTS;
    options.reverse = reverse;
    outs[1] = wg_none();
    wg_scan(fn, &one, 1, &x, 1, &options, outs, 2);
    return outs[1];
}

/* g times the product of the other elements, exact when some are 0: the product of those before
 * times that of those after, with the reduced axes in front as [n, m]. */
static void prod_vjp(wg_rule *r)
{
    reduced p = reduced_of(r);
    const wg_shape *x = &p.x.shape;
    wg_ctx *ctx = wg_tape_ctx(r->tape);
    wg_axes kept = {0, {0}};
    int64_t perm[WG_MAX_RANK], back[WG_MAX_RANK];
    wg_shape moved = wg__no_dims();
    for (int i = 0; i < x->rank; i++)
        if (!wg__has_axis(&p.axes, i))
            kept.axis[kept.count++] = i;
    for (int i = 0; i < x->rank; i++) {
        perm[i] = i < p.axes.count ? p.axes.axis[i] : kept.axis[i - p.axes.count];
        back[perm[i]] = i;
        wg_shape_push(&moved, x, (int)perm[i]);
    }
    wg_shape rows = wg__extent(ctx, x, p.axes), m = wg__extent(ctx, x, kept);
    wg_shape_push(&rows, &m, 0);
    wg_var front = wg_reshape(wg_transpose_with(r->in[0], perm, (size_t)x->rank), rows);
    wg_var before = exclusive_product(r->tape, front, false);
    wg_var after = exclusive_product(r->tape, front, true);
    wg_var others = wg_reshape(wg_mul(before, after), moved);
    others = wg_transpose_with(others, back, (size_t)x->rank);
    r->din[0] = wg_mul0(wg__keep(r->dout[0], x, p.axes), others);
}

/* ---- expansions: for executors that fuse; they round as their ops do ----------------------------- */

static void expand_mean(wg_rule *r)
{
    reduced p = reduced_of(r);
    wg_shape n = wg__extent(wg_tape_ctx(r->tape), &p.x.shape, p.axes);
    wg_var sum = wg_sum_with(r->in[0], p.axes, wg_attrs_bool(r->attrs, "keepdims"));
    r->result[0] = wg_div(sum, wg_element_count_with(r->tape, n, p.x.dtype));
}

/* top + log(sum(exp(x - top))), where top is the greatest element, but 0 where that is infinite or
 * NaN: so inf and NaN go through exp, and nothing but -inf gives log(0) = -inf. */
static void expand_logsumexp(wg_rule *r)
{
    reduced p = reduced_of(r);
    wg_shape y = wg__reduced(&p.x.shape, p.axes, wg_attrs_bool(r->attrs, "keepdims"));
    for (int32_t i = 0; i < p.axes.count; i++)
        if (p.x.shape.dim[p.axes.axis[i]] == 0) { /* no elements, no greatest one */
            r->result[0] = wg__filled(r->tape, p.x.dtype, y, -INFINITY);
            return;
        }
    wg_var top = wg_max_with(r->in[0], p.axes, true);
    top = wg_where(wg_isfinite(top), top, wg_f(0));
    wg_var sum = wg_sum_with(wg_exp(wg_sub(r->in[0], top)), p.axes, true);
    wg_var kept = wg_add(top, wg_log(sum));
    r->result[0] = wg_typeof(kept).shape.rank == y.rank ? kept : wg_reshape(kept, y);
}

/* ---- kernels: reductions over axes --------------------------------------------------------------- */

/* log(sum(exp(x))) of what was seen, as top + log(sum) with sum scaled by exp(-top). */
typedef struct lse {
    double top, sum;
} lse;
static const lse lse_none = {-INFINITY, 0};

/* Equal elements come first, so that infinities do not meet as inf - inf; NaN ends in the sum. */
static lse lse_add(lse a, double e)
{
    if (e == a.top)
        a.sum += 1;
    else if (e < a.top)
        a.sum += exp(e - a.top);
    else
        a = (lse){e, a.sum * exp(a.top - e) + 1};
    return a;
}

static size_t scratch(const wg_kernel_call *c)
{
    return (size_t)wg__count(&c->out[0]) * sizeof(lse);
}

/* Walks x beside the accumulators, which stand still along the reduced axes. */
static wg__walk walk_of(const wg_kernel_call *c, const wg_axes *axes)
{
    const wg_shape *x = &c->in[0].type->shape;
    int64_t stride[2][WG_MAX_RANK], step = 1;
    wg__strides(x, stride[0]);
    for (int i = x->rank - 1; i >= 0; i--) {
        bool gone = wg__has_axis(axes, i);
        stride[1][i] = gone ? 0 : step;
        step *= gone ? 1 : x->dim[i];
    }
    return wg__walk_begin(x, 2, stride);
}

static double extent_of(const wg_kernel_call *c, const wg_axes *axes)
{
    double n = 1;
    for (int32_t i = 0; i < axes->count; i++)
        n *= (double)c->in[0].type->shape.dim[axes->axis[i]];
    return n;
}

/* y = RESULT of the accumulator s of type A, which starts at START and becomes STEP with each
 * element e; n is the number of elements per output. */
#define REDUCE(name, T, A, START, STEP, RESULT)                                                    \
    static wg_status name(const wg_kernel_call *c)                                                 \
    {                                                                                              \
        T *y = c->out[0].data;                                                                     \
        A *acc = c->scratch;                                                                       \
        const int64_t count = wg__count(&c->out[0]);                                               \
        const wg_axes axes = wg_attrs_axes(c->attrs, "axes");                                      \
        const double n = extent_of(c, &axes);                                                      \
        for (int64_t i = 0; i < count; i++)                                                        \
            acc[i] = START;                                                                        \
        for (wg__walk w = walk_of(c, &axes); !w.done; wg__walk_next(&w)) {                         \
            const T *x = (const T *)c->in[0].data + w.at[0];                                       \
            A *to = acc + w.at[1];                                                                 \
            A s = *to;                                                                             \
            for (int64_t i = 0; i < w.n && !w.step[1]; i++) {                                      \
                const T e = x[i];                                                                  \
                s = STEP;                                                                          \
            }                                                                                      \
            *to = s;                                                                               \
            for (int64_t i = 0; i < w.n && w.step[1]; i++) {                                       \
                const T e = x[i];                                                                  \
                s = to[i];                                                                         \
                to[i] = STEP;                                                                      \
            }                                                                                      \
        }                                                                                          \
        for (int64_t i = 0; i < count; i++) {                                                      \
            const A s = acc[i];                                                                    \
            y[i] = (T)(RESULT);                                                                    \
        }                                                                                          \
        (void)n;                                                                                   \
        return WG_OK;                                                                              \
    }

#define IS_NAN(e) isnan((double)(e))
#define GREATER(e, s) ((e) > (s) || IS_NAN(e) ? (e) : (s))
#define LESS(e, s) ((e) < (s) || IS_NAN(e) ? (e) : (s))

/* clang-format off */
REDUCE(sum_f, float,   double,  0, s + e, s)
REDUCE(sum_d, double,  double,  0, s + e, s)
REDUCE(sum_i, int32_t, int64_t, 0, s + e, s)
REDUCE(sum_l, int64_t, int64_t, 0, s + e, s)
REDUCE(mean_f, float,  double,  0, s + e, s / n)
REDUCE(mean_d, double, double,  0, s + e, s / n)
REDUCE(prod_f, float,  double,  1, s * e, s)
REDUCE(prod_d, double, double,  1, s * e, s)
REDUCE(max_f, float,   float,   -INFINITY, GREATER(e, s), s)
REDUCE(max_d, double,  double,  -INFINITY, GREATER(e, s), s)
REDUCE(max_i, int32_t, int32_t, INT32_MIN, GREATER(e, s), s)
REDUCE(max_l, int64_t, int64_t, INT64_MIN, GREATER(e, s), s)
REDUCE(min_f, float,   float,   INFINITY,  LESS(e, s), s)
REDUCE(min_d, double,  double,  INFINITY,  LESS(e, s), s)
REDUCE(min_i, int32_t, int32_t, INT32_MAX, LESS(e, s), s)
REDUCE(min_l, int64_t, int64_t, INT64_MAX, LESS(e, s), s)
REDUCE(any_b, uint8_t, uint8_t, 0, s | (e != 0), s)
REDUCE(all_b, uint8_t, uint8_t, 1, s & (e != 0), s)
REDUCE(logsumexp_f, float,  lse, lse_none, lse_add(s, e), s.top + log(s.sum))
REDUCE(logsumexp_d, double, lse, lse_none, lse_add(s, e), s.top + log(s.sum))

#define ROW(types, name) WG__ROW_SCRATCH(types, name, scratch)
static const wg_kernel sum_rows[] = {ROW("f->f", sum_f), ROW("d->d", sum_d),
                                     ROW("i->i", sum_i), ROW("l->l", sum_l)};
static const wg_kernel mean_rows[] = {ROW("f->f", mean_f), ROW("d->d", mean_d)};
static const wg_kernel prod_rows[] = {ROW("f->f", prod_f), ROW("d->d", prod_d)};
static const wg_kernel max_rows[] = {ROW("f->f", max_f), ROW("d->d", max_d),
                                     ROW("i->i", max_i), ROW("l->l", max_l)};
static const wg_kernel min_rows[] = {ROW("f->f", min_f), ROW("d->d", min_d),
                                     ROW("i->i", min_i), ROW("l->l", min_l)};
static const wg_kernel any_rows[] = {ROW("b->b", any_b)};
static const wg_kernel all_rows[] = {ROW("b->b", all_b)};
static const wg_kernel logsumexp_rows[] = {ROW("f->f", logsumexp_f), ROW("d->d", logsumexp_d)};
/* clang-format on */

/* ---- test graphs -------------------------------------------------------------------------------- */

/* clang-format off */
#define OVER_AXES(op)                                                                              \
    "graph case(x: f64) -> (y) { y = " op "(x) }",                                                 \
    "graph case(x: f64[5]) -> (y) { y = " op "(x) }",                                              \
    "graph case(x: f64[3, 4]) -> (y) { y = " op "(x, axes=[0]) }",                                 \
    "graph case(x: f64[3, 4]) -> (y) { y = " op "(x, axes=[-1], keepdims=true) }",                 \
    "graph case(x: f64[2, 3, 2]) -> (y) { y = " op "(x, axes=[0, 2]) }",                           \
    "graph case(x: f64[2, 3, 2]) -> (y) { y = " op "(x, axes=[1], keepdims=true) }",               \
    "graph case(x: f64[3, 1]) -> (y) { y = " op "(x, axes=[1]) }",                                 \
    "graph case(x: f64[0, 3]) -> (y) { y = " op "(x, axes=[1]) }",                                 \
    "graph case(x: f64[1, 2, 1, 2, 1, 1, 2, 1]) -> (y) { y = " op "(x, axes=[1, 4, 6]) }"
#define OVER_NOTHING(op)                                                                           \
    "graph case(x: f64[2, 0]) -> (y) { y = " op "(x, axes=[1]) }",                                 \
    "graph case(x: f64[0]) -> (y) { y = " op "(x) }"
#define BOOLS(op)                                                                                  \
    "graph case(x: bool[2, 3]) -> (y) { y = " op "(x) }",                                          \
    "graph case(x: bool[2, 3]) -> (y) { y = " op "(x, axes=[0], keepdims=true) }",                 \
    "graph case(x: bool[0, 2]) -> (y) { y = " op "(x, axes=[0]) }"
WG__CASES(sum, OVER_AXES("sum"), OVER_NOTHING("sum"));
WG__CASES(mean, OVER_AXES("mean"));
WG__CASES(prod, OVER_AXES("prod"), OVER_NOTHING("prod"),
      "graph case(x: f64[3]) -> (y) { const c: f64[3] = [0, 1, 0]; z = mul(x, c); y = prod(z) }");
WG__CASES(max, OVER_AXES("max"));
WG__CASES(min, OVER_AXES("min"));
WG__CASES(logsumexp, OVER_AXES("logsumexp"));
WG__CASES(any, BOOLS("any"));
WG__CASES(all, BOOLS("all"));
/* clang-format on */

/* ---- the table ------------------------------------------------------------------------------------ */

static const wg_op ops[] = {
    {.struct_size = WG_OP,
     .sig = "sum(x: num; axes: axes = all, keepdims: bool = false) -> y",
     .doc = "Sum over axes, which are dropped, or kept as size 1 with keepdims. f32 is accumulated "
            "in f64 by the reference, in f64 every 1024 elements at most by the vm; integers "
            "wrap. 0 over no elements.",
     .flags = WG_OP_LINEAR | WG_OP_TOTAL,
     .monoid = WG_MONOID_SUM,
     .infer = infer_reduce,
     .vjp = sum_vjp,
     WG__KERNELS(sum_rows),
     .check = &sum_check},
    {.struct_size = WG_OP,
     .sig = "mean(x: float; axes: axes = all, keepdims: bool = false) -> y",
     .doc = "Arithmetic mean over axes: the sum over the number of elements. NaN over no elements.",
     .flags = WG_OP_LINEAR | WG_OP_TOTAL,
     .infer = infer_reduce,
     .vjp = mean_vjp,
     .expand = expand_mean,
     WG__KERNELS(mean_rows),
     .check = &mean_check},
    {.struct_size = WG_OP,
     .sig = "max(x: num; axes: axes = all, keepdims: bool = false) -> y",
     .doc = "Greatest element over axes; NaN if there is one. The derivative of a tie is shared "
            "equally. An empty axis is an error.",
     .flags = WG_OP_TOTAL,
     .monoid = WG_MONOID_MAX,
     .infer = infer_extreme,
     .vjp = extreme_vjp,
     WG__KERNELS(max_rows),
     .check = &max_check},
    {.struct_size = WG_OP,
     .sig = "min(x: num; axes: axes = all, keepdims: bool = false) -> y",
     .doc = "Least element over axes; NaN if there is one. The derivative of a tie is shared "
            "equally. An empty axis is an error.",
     .flags = WG_OP_TOTAL,
     .monoid = WG_MONOID_MIN,
     .infer = infer_extreme,
     .vjp = extreme_vjp,
     WG__KERNELS(min_rows),
     .check = &min_check},
    {.struct_size = WG_OP,
     .sig = "prod(x: float; axes: axes = all, keepdims: bool = false) -> y",
     .doc = "Product over axes; 1 over no elements. The derivative is the product of the other "
            "elements, formed without division: exact where elements are 0.",
     .flags = WG_OP_TOTAL,
     .monoid = WG_MONOID_PROD,
     .infer = infer_reduce,
     .vjp = prod_vjp,
     WG__KERNELS(prod_rows),
     .check = &prod_check},
    {.struct_size = WG_OP,
     .sig = "logsumexp(x: float; axes: axes = all, keepdims: bool = false) -> y",
     .doc = "log(sum(exp(x))) over axes, computed as m + log(sum(exp(x - m))) with m = max(x): "
            "right for any finite x. -inf over no elements.",
     .flags = WG_OP_TOTAL,
     .infer = infer_reduce,
     .vjp = logsumexp_vjp,
     .expand = expand_logsumexp,
     WG__KERNELS(logsumexp_rows),
     .check = &logsumexp_check},
    {.struct_size = WG_OP,
     .sig = "any(x: bool; axes: axes = all, keepdims: bool = false) -> y",
     .doc = "True where any element over the axes is; false over no elements.",
     .flags = WG_OP_TOTAL,
     .monoid = WG_MONOID_ANY,
     .infer = infer_reduce,
     WG__KERNELS(any_rows),
     .check = &any_check},
    {.struct_size = WG_OP,
     .sig = "all(x: bool; axes: axes = all, keepdims: bool = false) -> y",
     .doc = "True where all elements over the axes are; true over no elements.",
     .flags = WG_OP_TOTAL,
     .monoid = WG_MONOID_ALL,
     .infer = infer_reduce,
     WG__KERNELS(all_rows),
     .check = &all_check},
};
const wg__family wg__ops_reduce = {ops, sizeof ops / sizeof *ops};
