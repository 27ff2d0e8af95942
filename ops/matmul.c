/* Matrix product over the last two axes, either side transposable, leading axes broadcast. The
 * kernel is the oracle: plain loops in the order i, k, j, accumulated in f64 for both dtypes. */
#include "kernel.h"
#include "rules.h"

/* ---- inference ----------------------------------------------------------------------------------- */

static wg_shape leading(const wg_shape *s)
{
    wg_shape lead = wg__no_dims();
    for (int i = 0; i < s->rank - 2; i++)
        wg_shape_push(&lead, s, i);
    return lead;
}

static wg_status fail(wg_infer *q, wg_status status, const char *what, const char *hint)
{
    return wg_infer_fail(q, status, "%s: a is %s%s, b is %s%s%s", what, wg_infer_text(q, q->in[0]),
                         wg_attrs_bool(q->attrs, "transpose_a") ? " (transposed)" : "",
                         wg_infer_text(q, q->in[1]),
                         wg_attrs_bool(q->attrs, "transpose_b") ? " (transposed)" : "", hint);
}

static wg_status infer(wg_infer *q)
{
    const wg_shape *a = &q->in[0].shape, *b = &q->in[1].shape;
    const bool ta = wg_attrs_bool(q->attrs, "transpose_a");
    const bool tb = wg_attrs_bool(q->attrs, "transpose_b");
    wg_shape y;
    if (q->in[0].dtype != q->in[1].dtype)
        return fail(q, WG_DTYPE, "dtypes differ", "; use cast");
    if (a->rank < 2 || b->rank < 2)
        return fail(q, WG_SHAPE, "both operands need rank 2 or more", "");
    if (a->dim[a->rank - (ta ? 2 : 1)] != b->dim[b->rank - (tb ? 1 : 2)])
        return fail(q, WG_SHAPE, "inner sizes differ", "");
    if (!wg_shape_broadcast(leading(a), leading(b), &y))
        return fail(q, WG_SHAPE, "leading axes do not broadcast", "");
    wg_shape_push(&y, a, a->rank - (ta ? 1 : 2));
    wg_shape_push(&y, b, b->rank - (tb ? 2 : 1));
    q->out[0] = (wg_type){q->in[0].dtype, y};
    return WG_OK;
}

/* ---- derivative ---------------------------------------------------------------------------------- */

/* y = A B with A = a or a', B = b or b':  dA = g B', dB = A' g. */
static void vjp(wg_rule *r)
{
    const bool ta = wg_attrs_bool(r->attrs, "transpose_a");
    const bool tb = wg_attrs_bool(r->attrs, "transpose_b");
    wg_var a = r->in[0], b = r->in[1], g = r->dout[0];
    if (r->need[0])
        r->din[0] =
            wg__sum_to(ta ? wg_matmul_with(b, g, tb, true) : wg_matmul_with(g, b, false, !tb),
                       wg_typeof(a).shape);
    if (r->need[1])
        r->din[1] =
            wg__sum_to(tb ? wg_matmul_with(g, a, true, ta) : wg_matmul_with(a, g, !ta, false),
                       wg_typeof(b).shape);
}

/* ---- kernel ---------------------------------------------------------------------------------------- */

/* Sizes and element strides: A [m, k], B [k, n], y [m, n]. */
typedef struct sizes {
    int64_t m, k, n;
    int64_t a_row, a_col, b_row, b_col;
} sizes;

static sizes sizes_of(const wg_kernel_call *c)
{
    const wg_shape *a = &c->in[0].type->shape, *b = &c->in[1].type->shape;
    const bool ta = wg_attrs_bool(c->attrs, "transpose_a");
    const bool tb = wg_attrs_bool(c->attrs, "transpose_b");
    int64_t a_width = a->dim[a->rank - 1], b_width = b->dim[b->rank - 1];
    sizes s = {.m = a->dim[a->rank - (ta ? 1 : 2)],
               .k = a->dim[a->rank - (ta ? 2 : 1)],
               .n = b->dim[b->rank - (tb ? 2 : 1)],
               .a_row = ta ? 1 : a_width,
               .a_col = ta ? a_width : 1,
               .b_row = tb ? 1 : b_width,
               .b_col = tb ? b_width : 1};
    return s;
}

/* B packed as rows of f64, and one row of y. */
static size_t scratch(const wg_kernel_call *c)
{
    sizes s = sizes_of(c);
    return (size_t)(s.k + 1) * (size_t)s.n * sizeof(double);
}

static wg__walk matrices(const wg_kernel_call *c)
{
    const wg_shape *y = &c->out[0].type->shape;
    wg_shape lead = leading(y);
    int64_t stride[3][WG_MAX_RANK];
    wg__broadcast_strides(&c->in[0].type->shape, y->rank, stride[0]);
    wg__broadcast_strides(&c->in[1].type->shape, y->rank, stride[1]);
    wg__broadcast_strides(y, y->rank, stride[2]);
    return wg__walk_begin(&lead, 3, stride);
}

/* row += a b: a step of y[i, :] += A[i, k] B[k, :], in the order of k. */
static void add_row(const sizes *s, double a, const double *b, double *row)
{
    for (int64_t j = 0; j < s->n; j++)
        row[j] += a * b[j];
}

#define MATMUL(name, T)                                                                            \
    static void name##_pack(const sizes *s, const T *b, double *packed)                            \
    {                                                                                              \
        for (int64_t k = 0; k < s->k; k++)                                                         \
            for (int64_t j = 0; j < s->n; j++)                                                     \
                *packed++ = b[k * s->b_row + j * s->b_col];                                        \
    }                                                                                              \
    static void name##_one(const sizes *s, const T *a, const double *b, double *row, T *y)         \
    {                                                                                              \
        for (int64_t i = 0; i < s->m; i++, y += s->n) {                                            \
            for (int64_t j = 0; j < s->n; j++)                                                     \
                row[j] = 0;                                                                        \
            for (int64_t k = 0; k < s->k; k++)                                                     \
                add_row(s, a[i * s->a_row + k * s->a_col], b + k * s->n, row);                     \
            for (int64_t j = 0; j < s->n; j++)                                                     \
                y[j] = (T)row[j];                                                                  \
        }                                                                                          \
    }                                                                                              \
    static wg_status name(const wg_kernel_call *c)                                                 \
    {                                                                                              \
        const sizes s = sizes_of(c);                                                               \
        double *packed = c->scratch;                                                               \
        const T *a = c->in[0].data, *b = c->in[1].data, *last = NULL;                              \
        for (wg__walk w = matrices(c); !w.done; wg__walk_next(&w))                                 \
            for (int64_t i = 0; i < w.n; i++) {                                                    \
                const T *to_pack = b + w.at[1] + i * w.step[1];                                    \
                if (to_pack != last)                                                               \
                    name##_pack(&s, to_pack, packed);                                              \
                last = to_pack;                                                                    \
                name##_one(&s, a + w.at[0] + i * w.step[0], packed, packed + s.k * s.n,            \
                           (T *)c->out[0].data + w.at[2] + i * w.step[2]);                         \
            }                                                                                      \
        return WG_OK;                                                                              \
    }
MATMUL(matmul_f, float)
MATMUL(matmul_d, double)

/* ---- the table --------------------------------------------------------------------------------------- */

/* clang-format off */
static const wg_kernel rows[] = {WG__ROW_SCRATCH("ff->f", matmul_f, scratch),
                                 WG__ROW_SCRATCH("dd->d", matmul_d, scratch)};

WG__CASES(matmul,
    "graph case(a: f64[2, 3], b: f64[3, 4]) -> (y) { y = matmul(a, b) }",
    "graph case(a: f64[3, 2], b: f64[3, 4]) -> (y) { y = matmul(a, b, transpose_a=true) }",
    "graph case(a: f64[2, 3], b: f64[4, 3]) -> (y) { y = matmul(a, b, transpose_b=true) }",
    "graph case(a: f64[3, 2], b: f64[4, 3]) -> (y) "
        "{ y = matmul(a, b, transpose_a=true, transpose_b=true) }",
    "graph case(a: f64[1, 1], b: f64[1, 1]) -> (y) { y = matmul(a, b) }",
    "graph case(a: f64[2, 3], b: f64[2, 3, 2]) -> (y) { y = matmul(a, b) }",
    "graph case(a: f64[2, 1, 2, 3], b: f64[3, 2, 3]) -> (y) { y = matmul(a, b, transpose_b=true) }",
    "graph case(a: f64[2, 0], b: f64[0, 3]) -> (y) { y = matmul(a, b) }",
    "graph case(a: f64[0, 2, 3], b: f64[3, 2]) -> (y) { y = matmul(a, b) }",
    "graph case(a: f64[1, 1, 2, 1, 1, 1, 2, 2], b: f64[2, 1, 1, 1, 1, 1, 2, 1]) -> (y) "
        "{ y = matmul(a, b) }");
/* clang-format on */

static const wg_op ops[] = {
    {.struct_size = WG_OP,
     .sig = "matmul(a: float, b: float; transpose_a: bool = false, transpose_b: bool = false) -> y",
     .doc = "Product of the matrices in the last two axes of a and b, each transposed first if "
            "asked; leading axes broadcast. Both have rank 2 or more. The reference kernel "
            "accumulates in f64. Products are plain IEEE products, in derivatives too: 0 times inf "
            "or nan is nan, so guard the operands of a matmul, not its result.",
     .flags = WG_OP_MULTILINEAR | WG_OP_TOTAL | WG_OP_CONTRACT,
     .infer = infer,
     .vjp = vjp,
     WG__KERNELS(rows),
     .check = &matmul_check},
};
const wg__family wg__ops_matmul = {ops, sizeof ops / sizeof *ops};
