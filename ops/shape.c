/* Ops that keep every element and change the shape: reshape, transpose, broadcast, reverse. Kernels
 * copy by element size, whatever the dtype. */
#include "batch.h"
#include "kernel.h"
#include "rules.h"

/* ---- reshape ------------------------------------------------------------------------------------ */

/* The size for the 1 that stands for -1 at `axis` of `to`: x's elements over those of the other
 * axes, as dimension expressions, so that N * 28 * 28 over 784 is N. */
static void infer_rest(wg_ctx *ctx, const wg_shape *x, wg_shape *to, int axis)
{
    wg_shape n = wg__extent(ctx, x, wg__all_axes(x->rank));
    wg_shape others = wg__extent(ctx, to, wg__all_axes(to->rank));
    wg_dim_op(ctx, to, axis, &n, 0, '/', &others, 0);
}

static wg_status fail_reshape(wg_infer *q, wg_shape to, const char *why)
{
    wg_type type = {q->in[0].dtype, to};
    return wg_infer_fail(q, WG_SHAPE, "%s does not fit into %s: %s", wg_infer_text(q, q->in[0]),
                         wg_infer_text(q, type), why);
}

static wg_status infer_reshape(wg_infer *q)
{
    const wg_shape *x = &q->in[0].shape;
    const wg_shape asked = wg_attrs_shape(q->attrs, "shape");
    wg_shape to = asked;
    int rest = -1;
    for (int i = 0; i < to.rank; i++) {
        if (to.dim[i] < -1 || (to.dim[i] == -1 && rest >= 0))
            return fail_reshape(q, asked, "one size may be -1, all others must be 0 or more");
        if (to.dim[i] == -1)
            to.dim[rest = i] = 1;
    }
    if (rest >= 0 && wg_shape_count(to) < 1)
        return fail_reshape(q, asked, "beside these sizes a -1 cannot be inferred");
    if (rest >= 0)
        infer_rest(q->ctx, x, &to, rest);
    if (wg_shape_count(to) != wg_shape_count(*x))
        return fail_reshape(q, asked, "the numbers of elements differ");
    q->out[0] = (wg_type){q->in[0].dtype, to};
    return rest < 0 ? WG_OK : wg_infer_set(q, wg_attr_shape("shape", to));
}

static void reshape_vjp(wg_rule *r)
{
    r->din[0] = wg_reshape(r->dout[0], wg_typeof(r->in[0]).shape);
}

static wg_status reshape(const wg_kernel_call *c)
{
    wg__copy_run(wg__count(&c->in[0]), wg__elem(&c->in[0]), c->out[0].data,
                 (int64_t)wg__elem(&c->in[0]), c->in[0].data, (int64_t)wg__elem(&c->in[0]));
    return WG_OK;
}

/* Splits or merges axes without a copy. Runs of axes of x and y with equal numbers of elements are
 * matched from the left; the axes of such a run of x must be one array of one step. */
static bool view_reshape(const wg_attrs *attrs, const wg_type *in, const wg_strides *from,
                         const wg_type *out, wg_strides *to)
{
    (void)attrs;
    int64_t n[WG_MAX_RANK] = {0}, step[WG_MAX_RANK] = {0};
    int rank = 0, i = 0, j = 0;
    for (int k = 0; k < in->shape.rank; k++)
        if (in->shape.dim[k] != 1) {
            n[rank] = in->shape.dim[k];
            step[rank++] = from->step[k];
        }
    *to = (wg_strides){.offset = from->offset};
    if (wg_shape_count(in->shape) == 0)
        return true;
    while (i < rank && j < out->shape.rank) {
        int i1 = i + 1, j1 = j + 1;
        int64_t x = n[i], y = out->shape.dim[j];
        while (x != y)
            if (x < y)
                x *= n[i1++];
            else
                y *= out->shape.dim[j1++];
        for (int k = i; k + 1 < i1; k++)
            if (step[k] != step[k + 1] * n[k + 1])
                return false;
        int64_t by = step[i1 - 1];
        for (int k = j1 - 1; k >= j; k--) {
            to->step[k] = by;
            by *= out->shape.dim[k];
        }
        i = i1;
        j = j1;
    }
    return true;
}

/* ---- transpose ---------------------------------------------------------------------------------- */

static wg_status infer_transpose(wg_infer *q)
{
    const wg_shape *x = &q->in[0].shape;
    size_t n, rank = (size_t)x->rank;
    const int64_t *perm = wg_attrs_ints(q->attrs, "perm", &n);
    int64_t all[WG_MAX_RANK];
    bool used[WG_MAX_RANK] = {false};
    if (n != 0 && n != rank)
        return wg_infer_fail(q, WG_SHAPE, "perm has %zu entries, x is %s; give one per axis", n,
                             wg_infer_text(q, q->in[0]));
    q->out[0] = (wg_type){q->in[0].dtype, wg__no_dims()};
    for (size_t i = 0; i < rank; i++) {
        all[i] = n ? perm[i] : (int64_t)(rank - 1 - i);
        if (all[i] < 0 || all[i] >= (int64_t)rank || used[all[i]])
            return wg_infer_fail(q, WG_SHAPE, "perm is no permutation of the axes 0 to %zu",
                                 rank - 1);
        used[all[i]] = true;
        wg_shape_push(&q->out[0].shape, x, (int)all[i]);
    }
    return n == rank ? WG_OK : wg_infer_set(q, wg_attr_ints("perm", all, rank));
}

static void transpose_vjp(wg_rule *r)
{
    size_t n;
    const int64_t *perm = wg_attrs_ints(r->attrs, "perm", &n);
    int64_t back[WG_MAX_RANK];
    for (size_t i = 0; i < n; i++)
        back[perm[i]] = (int64_t)i;
    r->din[0] = wg_transpose_with(r->dout[0], back, n);
}

static wg_status transpose(const wg_kernel_call *c)
{
    size_t n;
    const int64_t *perm = wg_attrs_ints(c->attrs, "perm", &n);
    int64_t x[WG_MAX_RANK], from[WG_MAX_RANK] = {0};
    wg__strides(&c->in[0].type->shape, x);
    for (size_t i = 0; i < n; i++)
        from[i] = x[perm[i]];
    return wg__gather_strided(c, 0, from);
}

static bool view_transpose(const wg_attrs *attrs, const wg_type *in, const wg_strides *from,
                           const wg_type *out, wg_strides *to)
{
    size_t n;
    const int64_t *perm = wg_attrs_ints(attrs, "perm", &n);
    (void)in;
    *to = (wg_strides){.offset = from->offset};
    for (int i = 0; i < out->shape.rank; i++)
        to->step[i] = from->step[n ? perm[i] : out->shape.rank - 1 - i];
    return true;
}

/* ---- broadcast ------------------------------------------------------------------------------------ */

/* Sizes that x fills take its symbols. */
static wg_status infer_broadcast(wg_infer *q)
{
    const wg_shape *x = &q->in[0].shape;
    wg_shape to = wg_attrs_shape(q->attrs, "shape");
    wg_status status = wg__check_sizes(q, "shape", &to);
    if (status)
        return status;
    int lead = to.rank - x->rank;
    bool fits = lead >= 0;
    for (int i = 0; i < x->rank && fits; i++) {
        fits = x->dim[i] == 1 || x->dim[i] == to.dim[lead + i];
        if (x->dim[i] == to.dim[lead + i] && !to.symbol[lead + i])
            to.symbol[lead + i] = x->symbol[i];
    }
    q->out[0] = (wg_type){q->in[0].dtype, to};
    if (!fits)
        return wg_infer_fail(q, WG_SHAPE, "%s does not broadcast to %s", wg_infer_text(q, q->in[0]),
                             wg_infer_text(q, q->out[0]));
    return wg_infer_set(q, wg_attr_shape("shape", to));
}

static void broadcast_vjp(wg_rule *r)
{
    r->din[0] = wg__sum_to(r->dout[0], wg_typeof(r->in[0]).shape);
}

static wg_status broadcast(const wg_kernel_call *c)
{
    int64_t from[WG_MAX_RANK];
    wg__broadcast_strides(&c->in[0].type->shape, c->out[0].type->shape.rank, from);
    return wg__gather_strided(c, 0, from);
}

static bool view_broadcast(const wg_attrs *attrs, const wg_type *in, const wg_strides *from,
                           const wg_type *out, wg_strides *to)
{
    int lead = out->shape.rank - in->shape.rank;
    (void)attrs;
    *to = (wg_strides){.offset = from->offset};
    for (int i = 0; i < in->shape.rank; i++)
        to->step[lead + i] = in->shape.dim[i] == 1 ? 0 : from->step[i];
    return true;
}

/* ---- reverse ------------------------------------------------------------------------------------------ */

static wg_status infer_same(wg_infer *q)
{
    q->out[0] = q->in[0];
    return WG_OK;
}

static void reverse_vjp(wg_rule *r)
{
    r->din[0] = wg_reverse_with(r->dout[0], wg_attrs_axes(r->attrs, "axes"));
}

static wg_status reverse(const wg_kernel_call *c)
{
    const wg_shape *x = &c->in[0].type->shape;
    wg_axes axes = wg_attrs_axes(c->attrs, "axes");
    int64_t from[WG_MAX_RANK] = {0}, base = 0;
    wg__strides(x, from);
    for (int32_t i = 0; i < axes.count; i++) {
        base += (x->dim[axes.axis[i]] - 1) * from[axes.axis[i]];
        from[axes.axis[i]] = -from[axes.axis[i]];
    }
    return wg__gather_strided(c, base, from);
}

static bool view_reverse(const wg_attrs *attrs, const wg_type *in, const wg_strides *from,
                         const wg_type *out, wg_strides *to)
{
    wg_axes axes = wg_attrs_axes(attrs, "axes");
    (void)out;
    *to = *from;
    if (wg_shape_count(in->shape) == 0)
        return true;
    for (int32_t i = 0; i < axes.count; i++) {
        int axis = axes.axis[i];
        to->offset += (in->shape.dim[axis] - 1) * from->step[axis];
        to->step[axis] = -from->step[axis];
    }
    return true;
}

/* ---- batching ------------------------------------------------------------------------------------------ */

static void batch_reshape(wg_batch *b)
{
    b->result[0] = wg_reshape(b->in[0], wg__stacked(b, wg_attrs_shape(b->attrs, "shape")));
}

static void batch_transpose(wg_batch *b)
{
    int64_t perm[WG_MAX_RANK];
    size_t n = wg__shifted_ints(b, "perm", 0, perm);
    for (size_t i = 1; i < n; i++)
        perm[i]++;
    b->result[0] = n ? wg_transpose_with(b->in[0], perm, n) : b->in[0];
}

/* Axes of size 1 between that of the steps and x's own bring x to y's rank. */
static void batch_broadcast(wg_batch *b)
{
    const wg_shape x = wg_typeof(b->in[0]).shape, y = wg_attrs_shape(b->attrs, "shape");
    wg_shape padded = wg__steps_axis(b);
    for (int i = y.rank - x.rank; i >= 0; i--)
        wg_shape_push_size(&padded, 1);
    for (int i = 1; i < x.rank; i++)
        wg_shape_push(&padded, &x, i);
    if (y.rank < WG_MAX_RANK)
        b->result[0] = wg_broadcast(wg_reshape(b->in[0], padded), wg__stacked(b, y));
}

static void batch_reverse(wg_batch *b)
{
    b->result[0] = wg_reverse_with(b->in[0], wg__shifted_axes(wg_attrs_axes(b->attrs, "axes")));
}

/* ---- the tables -------------------------------------------------------------------------------------- */

/* clang-format off */
static const wg_kernel reshape_rows[] = {WG__ROW("*->*", reshape)};
static const wg_kernel transpose_rows[] = {WG__ROW("*->*", transpose)};
static const wg_kernel broadcast_rows[] = {WG__ROW("*->*", broadcast)};
static const wg_kernel reverse_rows[] = {WG__ROW("*->*", reverse)};

WG__CASES(reshape,
    "graph case(x: f64) -> (y) { y = reshape(x, shape=[1, 1]) }",
    "graph case(x: f64[2, 6]) -> (y) { y = reshape(x, shape=[3, 4]) }",
    "graph case(x: f64[0, 3]) -> (y) { y = reshape(x, shape=[2, 0]) }",
    "graph case(x: f64[1, 2, 1, 2, 1, 1, 2, 1]) -> (y) { y = reshape(x, shape=[8]) }");
WG__CASES(transpose,
    "graph case(x: f64) -> (y) { y = transpose(x) }",
    "graph case(x: f64[2, 3]) -> (y) { y = transpose(x) }",
    "graph case(x: f64[2, 3, 4]) -> (y) { y = transpose(x, perm=[1, 2, 0]) }",
    "graph case(x: f64[0, 3]) -> (y) { y = transpose(x) }",
    "graph case(x: f64[1, 2, 1, 3, 1, 2, 1, 2]) -> (y) "
        "{ y = transpose(x, perm=[7, 3, 0, 5, 1, 2, 4, 6]) }");
WG__CASES(broadcast,
    "graph case(x: f64) -> (y) { y = broadcast(x, shape=[2, 3]) }",
    "graph case(x: f64[3, 1]) -> (y) { y = broadcast(x, shape=[2, 3, 4]) }",
    "graph case(x: f64[1, 4]) -> (y) { y = broadcast(x, shape=[3, 4]) }",
    "graph case(x: f64[1]) -> (y) { y = broadcast(x, shape=[0]) }",
    "graph case(x: f64[1]) -> (y) { y = broadcast(x, shape=[1]) }",
    "graph case(x: f64[2, 1]) -> (y) { y = broadcast(x, shape=[1, 2, 1, 1, 2, 1, 2, 3]) }");
WG__CASES(reverse,
    "graph case(x: f64) -> (y) { y = reverse(x) }",
    "graph case(x: f64[5]) -> (y) { y = reverse(x, axes=[0]) }",
    "graph case(x: f64[2, 3, 2]) -> (y) { y = reverse(x, axes=[0, -1]) }",
    "graph case(x: f64[2, 0]) -> (y) { y = reverse(x) }",
    "graph case(x: f64[1, 2, 1, 2, 1, 1, 3, 1]) -> (y) { y = reverse(x, axes=[6, 1]) }");
/* clang-format on */

static const wg_op ops[] = {
    {.struct_size = WG_OP,
     .sig = "reshape(x; shape: shape) -> y",
     .doc = "The same elements in row-major order in another shape. One size may be -1: it takes "
            "what the others leave.",
     .flags = WG_OP_LINEAR | WG_OP_VIEW | WG_OP_TOTAL,
     .infer = infer_reshape,
     .vjp = reshape_vjp,
     WG__KERNELS(reshape_rows),
     .view = view_reshape,
     .batch = batch_reshape,
     .check = &reshape_check},
    {.struct_size = WG_OP,
     .sig = "transpose(x; perm: ints = []) -> y",
     .doc = "Axes in another order: axis i of y is axis perm[i] of x. Without perm the order is "
            "reversed.",
     .flags = WG_OP_LINEAR | WG_OP_VIEW | WG_OP_TOTAL,
     .infer = infer_transpose,
     .vjp = transpose_vjp,
     WG__KERNELS(transpose_rows),
     .view = view_transpose,
     .batch = batch_transpose,
     .check = &transpose_check},
    {.struct_size = WG_OP,
     .sig = "broadcast(x; shape: shape) -> y",
     .doc = "x repeated to a shape by NumPy's rule: leading axes are added, axes of size 1 are "
            "stretched.",
     .flags = WG_OP_LINEAR | WG_OP_VIEW | WG_OP_TOTAL,
     .infer = infer_broadcast,
     .vjp = broadcast_vjp,
     WG__KERNELS(broadcast_rows),
     .view = view_broadcast,
     .batch = batch_broadcast,
     .check = &broadcast_check},
    {.struct_size = WG_OP,
     .sig = "reverse(x; axes: axes = all) -> y",
     .doc = "The order of elements turned round along axes.",
     .flags = WG_OP_LINEAR | WG_OP_VIEW | WG_OP_TOTAL,
     .infer = infer_same,
     .vjp = reverse_vjp,
     WG__KERNELS(reverse_rows),
     .view = view_reverse,
     .batch = batch_reverse,
     .check = &reverse_check},
};
const wg__family wg__ops_shape = {ops, sizeof ops / sizeof *ops};
