/* Ops that read, write or make positions: gather, scatter_add, pick, one_hot, iota,
 * element_count.
 * An index out of range stops the run with a message; it never reads or writes elsewhere. */
#include "batch.h"
#include "kernel.h"
#include "rules.h"

/* ---- inference ----------------------------------------------------------------------------------- */

/* The type of gather(x, indices): x with the indices' axes in place of `axis`. */
static wg_status gathered(wg_infer *q, wg_type *out)
{
    const wg_shape *x = &q->in[0].shape, *indices = &q->in[1].shape;
    int axis = (int)wg_attrs_int(q->attrs, "axis");
    *out = (wg_type){q->in[0].dtype, wg__no_dims()};
    if (x->rank - 1 + indices->rank > WG_MAX_RANK)
        return wg_infer_fail(q, WG_SHAPE, "%s indexed by %s has rank %d, at most %d is possible",
                             wg_infer_text(q, q->in[0]), wg_infer_text(q, q->in[1]),
                             x->rank - 1 + indices->rank, WG_MAX_RANK);
    for (int i = 0; i < axis; i++)
        wg_shape_push(&out->shape, x, i);
    for (int i = 0; i < indices->rank; i++)
        wg_shape_push(&out->shape, indices, i);
    for (int i = axis + 1; i < x->rank; i++)
        wg_shape_push(&out->shape, x, i);
    return WG_OK;
}

static wg_status infer_gather(wg_infer *q) { return gathered(q, &q->out[0]); }

static wg_status infer_scatter_add(wg_infer *q)
{
    wg_type updates;
    wg_status status = gathered(q, &updates);
    if (status)
        return status;
    q->out[0] = q->in[0];
    if (q->in[2].dtype == updates.dtype && wg_shape_equal(q->in[2].shape, updates.shape))
        return WG_OK;
    return wg_infer_fail(q, q->in[2].dtype == updates.dtype ? WG_SHAPE : WG_DTYPE,
                         "updates is %s; to add into %s at indices %s it must be %s",
                         wg_infer_text(q, q->in[2]), wg_infer_text(q, q->in[0]),
                         wg_infer_text(q, q->in[1]), wg_infer_text(q, updates));
}

static wg_status infer_pick(wg_infer *q)
{
    const wg_shape *x = &q->in[0].shape;
    wg_type index = {q->in[1].dtype, wg__no_dims()};
    if (x->rank < 1)
        return wg_infer_fail(q, WG_SHAPE, "x needs rank 1 or more, it is %s",
                             wg_infer_text(q, q->in[0]));
    for (int i = 0; i < x->rank - 1; i++)
        wg_shape_push(&index.shape, x, i);
    q->out[0] = (wg_type){q->in[0].dtype, index.shape};
    if (wg_shape_equal(index.shape, q->in[1].shape))
        return WG_OK;
    return wg_infer_fail(q, WG_SHAPE, "index is %s; for x %s it must be %s",
                         wg_infer_text(q, q->in[1]), wg_infer_text(q, q->in[0]),
                         wg_infer_text(q, index));
}

static wg_status infer_one_hot(wg_infer *q)
{
    int64_t depth = wg_attrs_int(q->attrs, "depth");
    wg_shape y = q->in[0].shape;
    if (depth < 0)
        return wg_infer_fail(q, WG_INVALID, "depth %lld is negative", (long long)depth);
    if (y.rank == WG_MAX_RANK)
        return wg_infer_fail(q, WG_SHAPE, "indices are %s: there is no room for one more axis",
                             wg_infer_text(q, q->in[0]));
    wg_shape_push_size(&y, depth);
    q->out[0] = (wg_type){(wg_dtype)wg_attrs_int(q->attrs, "dtype"), y};
    return WG_OK;
}

static wg_status check_number(wg_infer *q)
{
    if (wg_attrs_int(q->attrs, "dtype") != WG_BOOL)
        return WG_OK;
    return wg_infer_fail(q, WG_DTYPE, "dtype must be a number's, it is bool");
}

static wg_status infer_iota(wg_infer *q)
{
    wg_shape y = wg_attrs_shape(q->attrs, "shape");
    int64_t axis = wg_attrs_int(q->attrs, "axis");
    wg_status status = wg__check_sizes(q, "shape", &y);
    if (!status)
        status = check_number(q);
    if (status)
        return status;
    q->out[0] = (wg_type){(wg_dtype)wg_attrs_int(q->attrs, "dtype"), y};
    if (axis < -y.rank || axis >= y.rank)
        return wg_infer_fail(q, WG_SHAPE, "axis %lld is out of range for %s", (long long)axis,
                             wg_infer_text(q, q->out[0]));
    return axis < 0 ? wg_infer_set(q, wg_attr_int("axis", axis + y.rank)) : WG_OK;
}

static wg_status infer_element_count(wg_infer *q)
{
    wg_shape shape = wg_attrs_shape(q->attrs, "shape");
    wg_status status = wg__check_sizes(q, "shape", &shape);
    if (!status && wg_shape_count(shape) < 0)
        status = wg_infer_fail(q, WG_SHAPE, "the shape has too many elements to count");
    q->out[0] = (wg_type){(wg_dtype)wg_attrs_int(q->attrs, "dtype"), wg__no_dims()};
    return status ? status : check_number(q);
}

/* ---- derivatives --------------------------------------------------------------------------------- */

static void gather_vjp(wg_rule *r)
{
    wg_type x = wg_typeof(r->in[0]);
    r->din[0] = wg_scatter_add_with(wg__filled(r->tape, x.dtype, x.shape, 0), r->in[1], r->dout[0],
                                    (int)wg_attrs_int(r->attrs, "axis"));
}

/* g where the position is the index, else 0: by comparison with an iota, whose shape carries the
 * symbol of the last axis. */
static void pick_vjp(wg_rule *r)
{
    wg_type x = wg_typeof(r->in[0]), index = wg_typeof(r->in[1]);
    wg_shape classes = wg__no_dims(), column = index.shape;
    if (!r->need[0])
        return;
    wg_shape_push(&classes, &x.shape, x.shape.rank - 1);
    wg_shape_push_size(&column, 1);
    wg_var iota = wg_iota_with(r->tape, classes, 0, index.dtype);
    wg_var hit = wg_cast(wg_equal(wg_reshape(r->in[1], column), iota), x.dtype);
    r->din[0] = wg_mul0(wg_reshape(r->dout[0], column), hit);
}

static void scatter_add_vjp(wg_rule *r)
{
    if (r->need[0])
        r->din[0] = r->dout[0];
    if (r->need[2])
        r->din[2] = wg_gather_with(r->dout[0], r->in[1], (int)wg_attrs_int(r->attrs, "axis"));
}

/* ---- kernels --------------------------------------------------------------------------------------- */

static wg_status check_indices(const wg_kernel_call *c, int64_t axis, int64_t n)
{
    int64_t count = wg__count(&c->in[1]);
    for (int64_t i = 0; i < count; i++) {
        int64_t index = wg__int_at(&c->in[1], i);
        if (index < 0 || index >= n)
            return wg_kernel_fail(c, WG_RANGE,
                                  "index %lld (element %lld of indices) is out of range for axis "
                                  "%lld of size %lld",
                                  (long long)index, (long long)i, (long long)axis, (long long)n);
    }
    return WG_OK;
}

/* x [outer, n, inner], indices [m] -> y [outer, m, inner]: y[o, j] = x[o, indices[j]]. */
static wg_status gather(const wg_kernel_call *c)
{
    int64_t axis = wg_attrs_int(c->attrs, "axis"), m = wg__count(&c->in[1]);
    wg__span x = wg__span_of(&c->in[0].type->shape, axis);
    wg_status status = check_indices(c, axis, x.n);
    int64_t row = x.inner * (int64_t)wg__elem(&c->in[0]);
    char *to = c->out[0].data;
    if (status || row == 0)
        return status;
    for (int64_t o = 0; o < x.outer; o++)
        for (int64_t j = 0; j < m; j++, to += row)
            memcpy(to, (const char *)c->in[0].data + (o * x.n + wg__int_at(&c->in[1], j)) * row,
                   (size_t)row);
    return WG_OK;
}

/* x, y [outer, n, inner], indices [m], u [outer, m, inner]: y = x, then
 * y[o, indices[j]] += u[o, j] in the order of j. */
#define SCATTER_ADD(name, T)                                                                       \
    static wg_status name(const wg_kernel_call *c)                                                 \
    {                                                                                              \
        int64_t axis = wg_attrs_int(c->attrs, "axis"), m = wg__count(&c->in[1]);                   \
        wg__span x = wg__span_of(&c->in[0].type->shape, axis);                                     \
        wg_status status = check_indices(c, axis, x.n);                                            \
        const T *u = c->in[2].data;                                                                \
        T *y = c->out[0].data;                                                                     \
        if (status)                                                                                \
            return status;                                                                         \
        wg__copy_run(wg__count(&c->in[0]), sizeof(T), c->out[0].data, sizeof(T), c->in[0].data,    \
                     sizeof(T));                                                                   \
        for (int64_t o = 0; o < x.outer; o++)                                                      \
            for (int64_t j = 0; j < m; j++, u += x.inner) {                                        \
                T *to = y + (o * x.n + wg__int_at(&c->in[1], j)) * x.inner;                        \
                for (int64_t i = 0; i < x.inner; i++)                                              \
                    to[i] += u[i];                                                                 \
            }                                                                                      \
        return WG_OK;                                                                              \
    }
SCATTER_ADD(scatter_add_f, float)
SCATTER_ADD(scatter_add_d, double)
SCATTER_ADD(scatter_add_i, int32_t)
SCATTER_ADD(scatter_add_l, int64_t)

/* x [m, n], index [m] -> y [m]: y[i] = x[i, index[i]]. */
static wg_status pick(const wg_kernel_call *c)
{
    const wg_shape *s = &c->in[0].type->shape;
    const int64_t n = s->dim[s->rank - 1], m = wg__count(&c->in[1]);
    const size_t size = wg__elem(&c->in[0]);
    const char *x = c->in[0].data;
    char *y = c->out[0].data;
    for (int64_t i = 0; i < m; i++) {
        const int64_t index = wg__int_at(&c->in[1], i);
        if (index < 0 || index >= n)
            return wg_kernel_fail(
                c, WG_RANGE, "index %lld (element %lld of index) is out of range for %lld classes",
                (long long)index, (long long)i, (long long)n);
        memcpy(y + (size_t)i * size, x + (size_t)(i * n + index) * size, size);
    }
    return WG_OK;
}

/* y[i] = value in y's dtype. */
static void put(const wg_view *y, int64_t i, int64_t value)
{
#define PUT(code, name, T, letter)                                                                 \
    case WG_##code:                                                                                \
        ((T *)y->data)[i] = (T)value;                                                              \
        break;
    switch (y->type->dtype) {
        WG_DTYPE_LIST(PUT)
    default:
        break;
    }
#undef PUT
}

/* indices [m] -> y [m, depth]: a row of zeros with 1 at the index, if it is in range. */
static wg_status one_hot(const wg_kernel_call *c)
{
    int64_t depth = wg_attrs_int(c->attrs, "depth"), m = wg__count(&c->in[0]);
    if (m > 0 && depth > 0)
        memset(c->out[0].data, 0, (size_t)(m * depth) * wg__elem(&c->out[0]));
    for (int64_t j = 0; j < m; j++) {
        int64_t index = wg__int_at(&c->in[0], j);
        if (index >= 0 && index < depth)
            put(&c->out[0], j * depth + index, 1);
    }
    return WG_OK;
}

/* y [outer, n, inner]: y[o, k, i] = k. */
static wg_status iota(const wg_kernel_call *c)
{
    wg__span y = wg__span_of(&c->out[0].type->shape, wg_attrs_int(c->attrs, "axis"));
    int64_t at = 0;
    for (int64_t o = 0; o < y.outer; o++)
        for (int64_t k = 0; k < y.n; k++)
            for (int64_t i = 0; i < y.inner; i++)
                put(&c->out[0], at++, k);
    return WG_OK;
}

static wg_status element_count(const wg_kernel_call *c)
{
    put(&c->out[0], 0, wg_shape_count(wg_attrs_shape(c->attrs, "shape")));
    return WG_OK;
}

/* ---- batching ------------------------------------------------------------------------------------------ */

/* The axis of the steps of `u` moved from the front to where the indices' axes begin. */
static wg_var steps_to_axis(wg_var u, int axis)
{
    const int rank = wg_typeof(u).shape.rank;
    int64_t perm[WG_MAX_RANK];
    for (int i = 0; i < rank; i++)
        perm[i] = i < axis ? i + 1 : i == axis ? 0 : i;
    return axis > 0 && rank > 0 ? wg_transpose_with(u, perm, (size_t)rank) : u;
}

/* Where the indices are the same in every step. */
static void batch_scatter_add(wg_batch *b)
{
    if (!b->batched[1])
        b->result[0] = wg_scatter_add_with(wg__stacked_operand(b, 0), b->in[1],
                                           wg__stacked_operand(b, 2), wg__shifted_axis(b));
}

/* All updates go into one array, to which x is added as often as there are steps. */
static void sum_scatter_add(wg_batch *b)
{
    const int axis = (int)wg_attrs_int(b->attrs, "axis");
    wg_var x = b->in[0], u = b->in[2];
    if (b->batched[0] || !b->batched[1] || !b->batched[2])
        return;
    wg_var times = wg_element_count_with(b->tape, wg__steps_axis(b), wg_typeof(x).dtype);
    b->result[0] = wg_scatter_add_with(wg_mul(x, times), b->in[1], steps_to_axis(u, axis), axis);
}

static void batch_one_hot(wg_batch *b)
{
    b->result[0] = wg_one_hot_with(b->in[0], wg_attrs_int(b->attrs, "depth"),
                                   (wg_dtype)wg_attrs_int(b->attrs, "dtype"));
}

/* ---- the tables -------------------------------------------------------------------------------------- */

/* clang-format off */
static const wg_kernel gather_rows[] = {WG__ROW("*i->*", gather), WG__ROW("*l->*", gather)};
static const wg_kernel scatter_add_rows[] = {
    WG__ROW("fif->f", scatter_add_f), WG__ROW("flf->f", scatter_add_f),
    WG__ROW("did->d", scatter_add_d), WG__ROW("dld->d", scatter_add_d),
    WG__ROW("iii->i", scatter_add_i), WG__ROW("ili->i", scatter_add_i),
    WG__ROW("lil->l", scatter_add_l), WG__ROW("lll->l", scatter_add_l)};
static const wg_kernel pick_rows[] = {WG__ROW("*i->*", pick), WG__ROW("*l->*", pick)};
static const wg_kernel one_hot_rows[] = {WG__ROW("i->?", one_hot), WG__ROW("l->?", one_hot)};
static const wg_kernel iota_rows[] = {WG__ROW("->?", iota)};
static const wg_kernel element_count_rows[] = {WG__ROW("->?", element_count)};

WG__CASES(gather,
    "graph case(x: f64[5, 2]) -> (y) { const i: i32[3] = [0, 3, 3]; y = gather(x, i, axis=0) }",
    "graph case(x: f64[3, 4]) -> (y) { const i: i64[2] = [3, 1]; y = gather(x, i, axis=1) }",
    "graph case(x: f64[3, 4]) -> (y) { const i: i32 = 2; y = gather(x, i) }",
    "graph case(x: f64[2, 3, 2]) -> (y) { const i: i32[4] = [2, 0, 0, 1]; "
        "y = gather(x, i, axis=-2) }",
    "graph case(x: f64[0, 3]) -> (y) { const i: i32[2] = [2, 2]; y = gather(x, i, axis=1) }",
    "graph case(x: f64[1, 2, 1, 3, 1, 1, 2, 1]) -> (y) { const i: i32 = 1; "
        "y = gather(x, i, axis=3) }");
WG__CASES(scatter_add,
    "graph case(x: f64[3, 2], u: f64[4, 2]) -> (y) { const i: i32[4] = [2, 0, 2, 2]; "
        "y = scatter_add(x, i, u) }",
    "graph case(x: f64[2, 3], u: f64[2, 2]) -> (y) { const i: i64[2] = [1, 1]; "
        "y = scatter_add(x, i, u, axis=1) }",
    "graph case(x: f64[4], u: f64) -> (y) { const i: i32 = 3; y = scatter_add(x, i, u) }",
    "graph case(x: f64[1, 2, 1, 3, 1, 1, 2, 1], u: f64[1, 2, 1, 1, 1, 2, 1]) -> (y) "
        "{ const i: i32 = 1; y = scatter_add(x, i, u, axis=3) }");
WG__CASES(pick,
    "graph case(x: f64[4]) -> (y) { const i: i32 = 2; y = pick(x, i) }",
    "graph case(x: f64[3, 4]) -> (y) { const i: i32[3] = [0, 3, 3]; y = pick(x, i) }",
    "graph case(x: f64[2, 1]) -> (y) { const i: i64[2] = [0, 0]; y = pick(x, i) }",
    "graph case(x: f64[0, 3], i: i32[0]) -> (y) { y = pick(x, i) }",
    "graph case(x: f64[2, 2, 3]) -> (y) { const j: i32[4] = [2, 0, 1, 1]; "
        "i = reshape(j, shape=[2, 2]); y = pick(x, i) }",
    "graph case(x: f64[1, 2, 1, 1, 1, 1, 1, 3]) -> (y) { const j: i32[2] = [2, 0]; "
        "i = reshape(j, shape=[1, 2, 1, 1, 1, 1, 1]); y = pick(x, i) }");
WG__CASES(one_hot,
    "graph case() -> (y) { const i: i32[3] = [0, 2, 1]; y = one_hot(i, depth=3) }",
    "graph case() -> (y) { const i: i64[2] = [-1, 5]; y = one_hot(i, depth=3, dtype=f64) }",
    "graph case() -> (y) { const i: i32 = 1; y = one_hot(i, depth=2, dtype=bool) }");
WG__CASES(iota,
    "graph case() -> (y) { y = iota(shape=[5]) }",
    "graph case() -> (y) { y = iota(shape=[2, 3, 2], axis=1, dtype=f64) }",
    "graph case() -> (y) { y = iota(shape=[0, 2], axis=-1) }");
WG__CASES(element_count,
    "graph case() -> (y) { y = element_count(shape=[]) }",
    "graph case() -> (y) { y = element_count(shape=[2, 3, 4], dtype=f64) }",
    "graph case() -> (y) { y = element_count(shape=[2, 0], dtype=i64) }");
/* clang-format on */

static const wg_op ops[] = {
    {.struct_size = WG_OP,
     .sig = "gather(x, indices: int; axis: axis = 0) -> y",
     .doc = "Elements of x at indices along an axis (numpy.take): the axis is replaced by those of "
            "indices. An index that is negative or past the end stops the run.",
     .flags = WG_OP_LINEAR | WG_OP_VIEW | WG_OP_GATHER,
     .infer = infer_gather,
     .vjp = gather_vjp,
     WG__KERNELS(gather_rows),
     .check = &gather_check},
    {.struct_size = WG_OP,
     .sig = "scatter_add(x: num, indices: int, updates: num; axis: axis = 0) -> y",
     .doc = "x with updates added where gather(x, indices, axis) would read; equal indices "
            "accumulate, integers wrap. The adjoint of gather. An index that is negative or past "
            "the end stops the run.",
     .flags = WG_OP_LINEAR,
     .infer = infer_scatter_add,
     .vjp = scatter_add_vjp,
     WG__KERNELS(scatter_add_rows),
     .batch = batch_scatter_add,
     .batch_sum = sum_scatter_add,
     .check = &scatter_add_check},
    {.struct_size = WG_OP,
     .sig = "pick(x, index: int) -> y",
     .doc = "One element of each row: x [..., C], index [...] -> [...], x[..., index[...]] "
            "(numpy.take_along_axis on the last axis). An index outside 0 to C - 1 stops the run.",
     .flags = WG_OP_LINEAR | WG_OP_PICK,
     .infer = infer_pick,
     .vjp = pick_vjp,
     WG__KERNELS(pick_rows),
     .check = &pick_check},
    {.struct_size = WG_OP,
     .sig = "one_hot(indices: int; depth: int, dtype: dtype = f32) -> y",
     .doc = "A new last axis of size depth with 1 at the index and 0 elsewhere; an index out of "
            "range gives zeros.",
     .flags = WG_OP_TOTAL,
     .infer = infer_one_hot,
     WG__KERNELS(one_hot_rows),
     .batch = batch_one_hot,
     .check = &one_hot_check},
    {.struct_size = WG_OP,
     .sig = "iota(; shape: shape, axis: int = 0, dtype: dtype = i32) -> y",
     .doc = "0, 1, 2, ... along an axis of a shape of rank 1 or more, repeated along the others.",
     .flags = WG_OP_TOTAL | WG_OP_IOTA,
     .infer = infer_iota,
     WG__KERNELS(iota_rows),
     .check = &iota_check},
    {.struct_size = WG_OP,
     .sig = "element_count(; shape: shape, dtype: dtype = f32) -> y",
     .doc =
         "The number of elements of a shape, as a value of rank 0. It follows the symbols of the "
         "shape where a literal would stay as it is.",
     .flags = WG_OP_TOTAL,
     .infer = infer_element_count,
     WG__KERNELS(element_count_rows),
     .check = &element_count_check},
};
const wg__family wg__ops_index = {ops, sizeof ops / sizeof *ops};
