/* Classes: softmax, log_softmax and the cross-entropy of logits with integer labels. All subtract
 * the greatest logit first, so that they are right for any finite input; sums are f64. */
#include "kernel.h"
#include "rules.h"

/* ---- inference ----------------------------------------------------------------------------------- */

static wg_status infer_same(wg_infer *q)
{
    q->out[0] = q->in[0];
    return WG_OK;
}

static wg_status infer_xent(wg_infer *q)
{
    const wg_shape *x = &q->in[0].shape;
    wg_type labels = {q->in[1].dtype, wg__no_dims()};
    if (x->rank < 1)
        return wg_infer_fail(q, WG_SHAPE, "logits need rank 1 or more, they are %s",
                             wg_infer_text(q, q->in[0]));
    for (int i = 0; i < x->rank - 1; i++)
        wg_shape_push(&labels.shape, x, i);
    if (!wg_shape_equal(labels.shape, q->in[1].shape))
        return wg_infer_fail(q, WG_SHAPE, "labels are %s; for logits %s they must be %s",
                             wg_infer_text(q, q->in[1]), wg_infer_text(q, q->in[0]),
                             wg_infer_text(q, labels));
    q->out[0] = (wg_type){q->in[0].dtype, labels.shape};
    return WG_OK;
}

/* ---- derivatives --------------------------------------------------------------------------------- */

static wg_var sum_along(const wg_rule *r, wg_var x)
{
    wg_axes axes = {1, {(int32_t)wg_attrs_int(r->attrs, "axis")}};
    return wg_sum_with(x, axes, true);
}

/* y g - y sum(y g). */
static void softmax_vjp(wg_rule *r)
{
    wg_var y = r->out[0], yg = wg_mul0(r->dout[0], y);
    r->din[0] = wg_sub(yg, wg_mul0(y, sum_along(r, yg)));
}

/* g - softmax(x) sum(g). */
static void log_softmax_vjp(wg_rule *r)
{
    wg_var g = r->dout[0], p = wg_exp(r->out[0]);
    r->din[0] = wg_sub(g, wg_mul0(p, sum_along(r, g)));
}

/* g (softmax(x) - onehot(label)). The one-hot is made by comparison with an iota, whose shape
 * carries the symbol of the class axis. */
static void xent_vjp(wg_rule *r)
{
    wg_type x = wg_typeof(r->in[0]), labels = wg_typeof(r->in[1]);
    wg_shape classes = wg__no_dims(), column = labels.shape;
    if (!r->need[0])
        return;
    wg_shape_push(&classes, &x.shape, x.shape.rank - 1);
    wg_shape_push_size(&column, 1);
    wg_var index = wg_iota_with(r->tape, classes, 0, labels.dtype);
    wg_var hit = wg_cast(wg_equal(wg_reshape(r->in[1], column), index), x.dtype);
    wg_var slope = wg_sub(wg_softmax(r->in[0]), hit);
    r->din[0] = wg_mul0(wg_reshape(r->dout[0], column), slope);
}

/* ---- expansions: for executors that fuse; they round as their ops do ----------------------------- */

static wg_axes axis_of(const wg_rule *r)
{
    return (wg_axes){1, {(int32_t)wg_attrs_int(r->attrs, "axis")}};
}

/* x less its greatest element along the axis. */
static wg_var centred(wg_var x, wg_axes axis) { return wg_sub(x, wg_max_with(x, axis, true)); }

/* An axis without elements has no greatest one; there x is its own softmax. */
static bool is_empty(const wg_rule *r, int axis)
{
    return wg_typeof(r->in[0]).shape.dim[axis] == 0;
}

static void expand_softmax(wg_rule *r)
{
    wg_axes axis = axis_of(r);
    r->result[0] = r->in[0];
    if (is_empty(r, axis.axis[0]))
        return;
    wg_var e = wg_exp(centred(r->in[0], axis));
    r->result[0] = wg_div(e, wg_sum_with(e, axis, true));
}

static void expand_log_softmax(wg_rule *r)
{
    wg_axes axis = axis_of(r);
    r->result[0] = r->in[0];
    if (is_empty(r, axis.axis[0]))
        return;
    wg_var d = centred(r->in[0], axis);
    r->result[0] = wg_sub(d, wg_log(wg_sum_with(wg_exp(d), axis, true)));
}

/* log(sum(exp(d))) - d[label] with d = x - max(x). */
static void expand_xent(wg_rule *r)
{
    wg_axes axis = {1, {wg_typeof(r->in[0]).shape.rank - 1}};
    if (is_empty(r, axis.axis[0])) { /* every label is out of range */
        r->result[0] = wg_pick(r->in[0], r->in[1]);
        return;
    }
    wg_var d =
        centred(r->in[0], axis); /* exp(d) and its sum are those of softmax in the gradient */
    wg_var total = wg_log(wg_sum_with(wg_exp(d), axis, true));
    total = wg_reshape(total, wg_typeof(r->in[1]).shape);
    r->result[0] = wg_sub(total, wg_pick(d, r->in[1]));
}

/* ---- kernels --------------------------------------------------------------------------------------- */

/* Greatest of n elements and sum of exp(x - top). A NaN ends in the sum. */
typedef struct scale {
    double top, sum;
} scale;

#define SCALE(name, T)                                                                             \
    static scale name(const T *x, int64_t n, int64_t step)                                         \
    {                                                                                              \
        scale s = {-INFINITY, 0};                                                                  \
        for (int64_t k = 0; k < n; k++)                                                            \
            s.top = (double)x[k * step] > s.top ? (double)x[k * step] : s.top;                     \
        for (int64_t k = 0; k < n; k++)                                                            \
            s.sum += exp((double)x[k * step] - s.top);                                             \
        return s;                                                                                  \
    }
SCALE(scale_f, float)
SCALE(scale_d, double)

/* x, y [outer, n, inner]: y = RESULT of d = x - top and s along the axis. */
#define SOFTMAX(name, T, SCALE_OF, RESULT)                                                         \
    static wg_status name(const wg_kernel_call *c)                                                 \
    {                                                                                              \
        wg__span p = wg__span_of(&c->in[0].type->shape, wg_attrs_int(c->attrs, "axis"));           \
        for (int64_t o = 0; o < p.outer; o++)                                                      \
            for (int64_t i = 0; i < p.inner; i++) {                                                \
                const T *x = (const T *)c->in[0].data + o * p.n * p.inner + i;                     \
                T *y = (T *)c->out[0].data + o * p.n * p.inner + i;                                \
                const scale s = SCALE_OF(x, p.n, p.inner);                                         \
                for (int64_t k = 0; k < p.n; k++) {                                                \
                    const double d = (double)x[k * p.inner] - s.top;                               \
                    y[k * p.inner] = (T)(RESULT);                                                  \
                }                                                                                  \
            }                                                                                      \
        return WG_OK;                                                                              \
    }
SOFTMAX(softmax_f, float, scale_f, exp(d) / s.sum)
SOFTMAX(softmax_d, double, scale_d, exp(d) / s.sum)
SOFTMAX(log_softmax_f, float, scale_f, d - log(s.sum))
SOFTMAX(log_softmax_d, double, scale_d, d - log(s.sum))

static wg_status check_label(const wg_kernel_call *c, int64_t row, int64_t label, int64_t n)
{
    if (label >= 0 && label < n)
        return WG_OK;
    return wg_kernel_fail(c, WG_RANGE,
                          "label %lld (element %lld of labels) is out of range for %lld classes",
                          (long long)label, (long long)row, (long long)n);
}

/* logits [m, n], labels [m] -> y [m]: y = log(sum(exp(x - top))) - (x[label] - top). */
#define XENT(name, T, SCALE_OF)                                                                    \
    static wg_status name(const wg_kernel_call *c)                                                 \
    {                                                                                              \
        const wg_shape *s = &c->in[0].type->shape;                                                 \
        const int64_t n = s->dim[s->rank - 1], m = wg__count(&c->in[1]);                           \
        const T *x = c->in[0].data;                                                                \
        wg_status status = WG_OK;                                                                  \
        for (int64_t i = 0; i < m && !status; i++, x += n) {                                       \
            const int64_t label = wg__int_at(&c->in[1], i);                                        \
            const scale row = SCALE_OF(x, n, 1);                                                   \
            status = check_label(c, i, label, n);                                                  \
            if (!status)                                                                           \
                ((T *)c->out[0].data)[i] = (T)(log(row.sum) - ((double)x[label] - row.top));       \
        }                                                                                          \
        return status;                                                                             \
    }
XENT(xent_f, float, scale_f)
XENT(xent_d, double, scale_d)

/* ---- the tables -------------------------------------------------------------------------------------- */

/* clang-format off */
static const wg_kernel softmax_rows[] = {WG__ROW("f->f", softmax_f), WG__ROW("d->d", softmax_d)};
static const wg_kernel log_softmax_rows[] = {WG__ROW("f->f", log_softmax_f),
                                             WG__ROW("d->d", log_softmax_d)};
static const wg_kernel xent_rows[] = {WG__ROW("fi->f", xent_f), WG__ROW("fl->f", xent_f),
                                      WG__ROW("di->d", xent_d), WG__ROW("dl->d", xent_d)};

#define ALONG_AXIS(op)                                                                             \
    "graph case(x: f64[4]) -> (y) { y = " op "(x) }",                                              \
    "graph case(x: f64[2, 3]) -> (y) { y = " op "(x) }",                                           \
    "graph case(x: f64[2, 3, 2]) -> (y) { y = " op "(x, axis=1) }",                                \
    "graph case(x: f64[3, 1]) -> (y) { y = " op "(x) }",                                           \
    "graph case(x: f64[0, 3]) -> (y) { y = " op "(x) }",                                           \
    "graph case(x: f64[2, 0]) -> (y) { y = " op "(x) }",                                           \
    "graph case(x: f64[1, 2, 1, 1, 1, 3, 1, 1]) -> (y) { y = " op "(x, axis=5) }"
WG__CASES(softmax, ALONG_AXIS("softmax"));
WG__CASES(log_softmax, ALONG_AXIS("log_softmax"));
WG__CASES(softmax_xent,
    "graph case(x: f64[4]) -> (y) { const l: i32 = 2; y = softmax_xent(x, l) }",
    "graph case(x: f64[3, 4]) -> (y) { const l: i32[3] = [0, 3, 3]; y = softmax_xent(x, l) }",
    "graph case(x: f64[2, 1]) -> (y) { const l: i64[2] = [0, 0]; y = softmax_xent(x, l) }",
    "graph case(x: f64[0, 3], l: i32[0]) -> (y) { y = softmax_xent(x, l) }",
    "graph case(x: f64[2, 2, 3]) -> (y) { const i: i32[4] = [2, 0, 1, 1]; "
        "l = reshape(i, shape=[2, 2]); y = softmax_xent(x, l) }",
    "graph case(x: f64[1, 2, 1, 1, 1, 1, 1, 3]) -> (y) { const i: i32[2] = [2, 0]; "
        "l = reshape(i, shape=[1, 2, 1, 1, 1, 1, 1]); y = softmax_xent(x, l) }");
/* clang-format on */

static const wg_op ops[] = {
    {.struct_size = WG_OP,
     .sig = "softmax(x: float; axis: axis = -1) -> y",
     .doc = "exp(x) / sum(exp(x)) along an axis, for any finite x.",
     .flags = WG_OP_TOTAL,
     .infer = infer_same,
     .vjp = softmax_vjp,
     .expand = expand_softmax,
     WG__KERNELS(softmax_rows),
     .check = &softmax_check},
    {.struct_size = WG_OP,
     .sig = "log_softmax(x: float; axis: axis = -1) -> y",
     .doc = "x - log(sum(exp(x))) along an axis, for any finite x.",
     .flags = WG_OP_TOTAL,
     .infer = infer_same,
     .vjp = log_softmax_vjp,
     .expand = expand_log_softmax,
     WG__KERNELS(log_softmax_rows),
     .check = &log_softmax_check},
    {.struct_size = WG_OP,
     .sig = "softmax_xent(logits: float, labels: int) -> y",
     .doc = "Cross-entropy of softmax(logits) with the classes in labels: logits [..., C], labels "
            "[...] -> [...], -log_softmax(logits)[label], for any finite logits. A label outside "
            "0 to C - 1 stops the run.",
     .infer = infer_xent,
     .vjp = xent_vjp,
     .expand = expand_xent,
     WG__KERNELS(xent_rows),
     .check = &softmax_xent_check},
};
const wg__family wg__ops_softmax = {ops, sizeof ops / sizeof *ops};
