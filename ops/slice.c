/* Ops that cut and join: slice, section, pad, concat, and the adjoints unslice and place. Kernels
 * copy by element size, whatever the dtype. The bounds of slice and unslice are integers, read
 * against the size at hand; those of section and place are of kind shape and follow the symbols of
 * dimensions: the derivative rules of concat and pad record them. */
#include "batch.h"
#include "kernel.h"
#include "rules.h"

/* ---- slice and unslice ------------------------------------------------------------------------------ */

typedef struct bounds {
    int64_t start[WG_MAX_RANK], stop[WG_MAX_RANK], step[WG_MAX_RANK];
} bounds;

/* A bound as NumPy reads it on an axis of n elements: negative from the end, clipped. */
static int64_t clip(int64_t bound, int64_t n)
{
    bound += bound < 0 ? n : 0;
    return bound < 0 ? 0 : bound > n ? n : bound;
}

static int64_t steps(int64_t start, int64_t stop, int64_t step)
{
    return stop > start ? (stop - start - 1) / step + 1 : 0;
}

static int64_t step_at(const int64_t *step, size_t n, int axis) { return n ? step[axis] : 1; }

/* The clipped bound as an expression in the axis' symbol. It holds for the sizes that clip the bound
 * as x's own size does. */
static wg_shape position(wg_ctx *ctx, const wg_shape *x, int axis, int64_t bound)
{
    int64_t n = x->dim[axis];
    wg_shape at = wg__no_dims();
    wg_shape_push_size(&at, bound < 0 ? 0 : bound);
    if (bound > n || (bound < 0 && bound >= -n))
        wg_dim_op_size(ctx, &at, 0, x, axis, '+', bound < 0 ? bound : 0);
    return at;
}

/* Appends the size of slice `b` of axis `axis` to `out`. */
static void push_length(wg_ctx *ctx, wg_shape *out, const wg_shape *x, int axis, const bounds *b)
{
    int64_t n = x->dim[axis], step = b->step[axis];
    int64_t length = steps(clip(b->start[axis], n), clip(b->stop[axis], n), step);
    wg_shape from = position(ctx, x, axis, b->start[axis]);
    wg_shape size = position(ctx, x, axis, b->stop[axis]);
    if (from.symbol[0] || from.dim[0] != 0)
        wg_dim_op(ctx, &size, 0, &size, 0, '-', &from, 0);
    if (step > 1) {
        wg_dim_op_size(ctx, &size, 0, &size, 0, '+', step - 1);
        wg_dim_op_size(ctx, &size, 0, &size, 0, '/', step);
    }
    if (size.dim[0] == length)
        wg_shape_push(out, &size, 0);
    else /* it stops before it starts */
        wg_shape_push_size(out, length);
}

static wg_status read_bounds(wg_infer *q, const wg_shape *x, bounds *b)
{
    size_t rank = (size_t)x->rank, nstart, nstop, nstep;
    const int64_t *start = wg_attrs_ints(q->attrs, "start", &nstart);
    const int64_t *stop = wg_attrs_ints(q->attrs, "stop", &nstop);
    const int64_t *step = wg_attrs_ints(q->attrs, "step", &nstep);
    wg_type type = {q->in[0].dtype, *x};
    if (nstart != rank || nstop != rank || (nstep && nstep != rank))
        return wg_infer_fail(q, WG_SHAPE,
                             "start, stop and step have %zu, %zu and %zu entries for %s; give one "
                             "per axis (step may be left out)",
                             nstart, nstop, nstep, wg_infer_text(q, type));
    for (int i = 0; i < (int)rank; i++) {
        b->start[i] = start[i];
        b->stop[i] = stop[i];
        b->step[i] = step_at(step, nstep, i);
        if (b->step[i] < 1)
            return wg_infer_fail(q, WG_INVALID, "step %lld of axis %d must be 1 or more",
                                 (long long)b->step[i], i);
    }
    return WG_OK;
}

/* Equal meaning, equal bytes: plain axes get bounds in 0..n. Where the size may change, other bounds
 * have another meaning. */
static void canonical(const wg_shape *x, int axis, bounds *b)
{
    int64_t n = x->dim[axis], start = clip(b->start[axis], n), stop = clip(b->stop[axis], n);
    if (x->symbol[axis])
        return;
    b->start[axis] = start;
    b->stop[axis] = stop < start ? start : stop;
}

/* Reads the bounds as those of a slice of `x`, whose shape goes to *y, and sets their canonical
 * form. */
static wg_status infer_bounds(wg_infer *q, const wg_shape *x, wg_shape *y)
{
    bounds b;
    wg_status status = read_bounds(q, x, &b);
    if (status)
        return status;
    size_t rank = (size_t)x->rank, nstep = 0;
    *y = wg__no_dims();
    for (int i = 0; i < x->rank; i++) {
        canonical(x, i, &b);
        push_length(q->ctx, y, x, i, &b);
        nstep = b.step[i] > 1 ? rank : nstep;
    }
    status = wg_infer_set(q, wg_attr_ints("start", b.start, rank));
    if (!status)
        status = wg_infer_set(q, wg_attr_ints("stop", b.stop, rank));
    return status ? status : wg_infer_set(q, wg_attr_ints("step", b.step, nstep));
}

static wg_status infer_slice(wg_infer *q)
{
    q->out[0].dtype = q->in[0].dtype;
    return infer_bounds(q, &q->in[0].shape, &q->out[0].shape);
}

static wg_status infer_unslice(wg_infer *q)
{
    wg_shape y = wg_attrs_shape(q->attrs, "shape"), part;
    wg_status status = wg__check_sizes(q, "shape", &y);
    if (!status)
        status = infer_bounds(q, &y, &part);
    q->out[0] = (wg_type){q->in[0].dtype, y};
    if (status || wg_shape_equal(part, q->in[0].shape))
        return status;
    wg_type want = {q->in[0].dtype, part};
    return wg_infer_fail(q, WG_SHAPE, "x is %s; this slice of %s is %s", wg_infer_text(q, q->in[0]),
                         wg_infer_text(q, q->out[0]), wg_infer_text(q, want));
}

/* The bounds of a slice or unslice as its attributes have them. */
typedef struct range {
    const int64_t *start, *stop, *step;
    size_t n, nstep;
} range;

static range range_of(const wg_attrs *attrs)
{
    range r;
    r.start = wg_attrs_ints(attrs, "start", &r.n);
    r.stop = wg_attrs_ints(attrs, "stop", &r.n);
    r.step = wg_attrs_ints(attrs, "step", &r.nstep);
    return r;
}

static void slice_vjp(wg_rule *r)
{
    const range b = range_of(r->attrs);
    r->din[0] = wg_unslice_with(r->dout[0], wg_typeof(r->in[0]).shape, b.start, b.n, b.stop, b.n,
                                b.step, b.nstep);
}

static void unslice_vjp(wg_rule *r)
{
    const range b = range_of(r->attrs);
    r->din[0] = wg_slice_with(r->dout[0], b.start, b.n, b.stop, b.n, b.step, b.nstep);
}

/* Offset of `start` in an array with strides `stride`, which are then widened by `step`. */
static int64_t window(int rank, const int64_t *start, const int64_t *step, size_t nstep,
                      int64_t *stride)
{
    int64_t base = 0;
    for (int i = 0; i < rank; i++) {
        base += start[i] * stride[i];
        stride[i] *= step_at(step, nstep, i);
    }
    return base;
}

/* Where a slice of `x` begins, axis by axis. */
static void first_of(const wg_shape *x, const range *b, int64_t *at)
{
    for (int i = 0; i < x->rank; i++)
        at[i] = clip(b->start[i], x->dim[i]);
}

static wg_status slice(const wg_kernel_call *c)
{
    const wg_shape *x = &c->in[0].type->shape;
    const range b = range_of(c->attrs);
    int64_t from[WG_MAX_RANK] = {0}, at[WG_MAX_RANK] = {0};
    first_of(x, &b, at);
    wg__strides(x, from);
    int64_t base = window(x->rank, at, b.step, b.nstep, from);
    return wg__gather_strided(c, base, from);
}

/* The window that begins at `start` of an array that lies by `from`. */
static void window_of(const wg_strides *from, int rank, const int64_t *start, const int64_t *step,
                      size_t nstep, wg_strides *to)
{
    *to = *from;
    to->offset += window(rank, start, step, nstep, to->step);
}

static bool view_slice(const wg_attrs *attrs, const wg_type *in, const wg_strides *from,
                       const wg_type *out, wg_strides *to)
{
    const range b = range_of(attrs);
    int64_t at[WG_MAX_RANK] = {0};
    (void)out;
    first_of(&in->shape, &b, at);
    window_of(from, in->shape.rank, at, b.step, b.nstep, to);
    return true;
}

static const int64_t zero = 0; /* as an element of any dtype */

/* Fills the output with the element at `fill`, then writes x into it from `start` on. */
static wg_status write_into(const wg_kernel_call *c, const void *fill, const int64_t *start,
                            const int64_t *step, size_t nstep)
{
    size_t size = wg__elem(&c->in[0]);
    const wg_shape *x = &c->in[0].type->shape;
    int64_t stride[2][WG_MAX_RANK];
    const size_t n = (size_t)wg__count(&c->out[0]);
    if (memcmp(fill, &zero, size) == 0)
        memset(c->out[0].data, 0, n * size);
    else
        wg__copy_run((int64_t)n, size, c->out[0].data, (int64_t)size, fill, 0);
    wg__strides(&c->out[0].type->shape, stride[0]);
    wg__strides(x, stride[1]);
    int64_t base = window(x->rank, start, step, nstep, stride[0]);
    wg__copy_strided(x, size, (char *)c->out[0].data + base * (int64_t)size, c->in[0].data, stride);
    return WG_OK;
}

static wg_status unslice(const wg_kernel_call *c)
{
    const range b = range_of(c->attrs);
    int64_t at[WG_MAX_RANK] = {0};
    first_of(&c->out[0].type->shape, &b, at);
    return write_into(c, &zero, at, b.step, b.nstep);
}

/* ---- section and place ----------------------------------------------------------------------------- */

/* Checks that `part` elements from `start` on by `step` lie within `whole`, axis by axis. */
static wg_status check_window(wg_infer *q, const wg_shape *whole, const wg_shape *part)
{
    wg_shape start = wg_attrs_shape(q->attrs, "start");
    size_t n;
    const int64_t *step = wg_attrs_ints(q->attrs, "step", &n);
    if (start.rank != whole->rank || part->rank != whole->rank || (n && n != (size_t)whole->rank))
        return wg_infer_fail(q, WG_SHAPE, "give start, size and step for each of the %d axes",
                             whole->rank);
    for (int i = 0; i < whole->rank; i++) {
        int64_t by = step_at(step, n, i);
        if (start.dim[i] < 0 || part->dim[i] < 0 || by < 1 || start.dim[i] > whole->dim[i] ||
            part->dim[i] > steps(start.dim[i], whole->dim[i], by))
            return wg_infer_fail(q, WG_SHAPE,
                                 "%lld elements from %lld on by %lld do not lie within axis %d of "
                                 "%lld elements",
                                 (long long)part->dim[i], (long long)start.dim[i], (long long)by, i,
                                 (long long)whole->dim[i]);
    }
    return WG_OK;
}

static wg_status infer_section(wg_infer *q)
{
    q->out[0] = (wg_type){q->in[0].dtype, wg_attrs_shape(q->attrs, "size")};
    return check_window(q, &q->in[0].shape, &q->out[0].shape);
}

static wg_status infer_place(wg_infer *q)
{
    q->out[0] = (wg_type){q->in[0].dtype, wg_attrs_shape(q->attrs, "shape")};
    return check_window(q, &q->out[0].shape, &q->in[0].shape);
}

static void section_vjp(wg_rule *r)
{
    size_t n;
    const int64_t *step = wg_attrs_ints(r->attrs, "step", &n);
    r->din[0] = wg_place_with(r->dout[0], wg_attrs_shape(r->attrs, "start"),
                              wg_typeof(r->in[0]).shape, step, n);
}

static void place_vjp(wg_rule *r)
{
    size_t n;
    const int64_t *step = wg_attrs_ints(r->attrs, "step", &n);
    r->din[0] = wg_section_with(r->dout[0], wg_attrs_shape(r->attrs, "start"),
                                wg_typeof(r->in[0]).shape, step, n);
}

static wg_status section(const wg_kernel_call *c)
{
    const wg_shape *x = &c->in[0].type->shape;
    wg_shape start = wg_attrs_shape(c->attrs, "start");
    size_t n;
    const int64_t *step = wg_attrs_ints(c->attrs, "step", &n);
    int64_t from[WG_MAX_RANK] = {0};
    wg__strides(x, from);
    int64_t base = window(x->rank, start.dim, step, n, from);
    return wg__gather_strided(c, base, from);
}

static bool view_section(const wg_attrs *attrs, const wg_type *in, const wg_strides *from,
                         const wg_type *out, wg_strides *to)
{
    wg_shape start = wg_attrs_shape(attrs, "start");
    size_t n;
    const int64_t *step = wg_attrs_ints(attrs, "step", &n);
    (void)out;
    window_of(from, in->shape.rank, start.dim, step, n, to);
    return true;
}

static wg_status place(const wg_kernel_call *c)
{
    wg_shape start = wg_attrs_shape(c->attrs, "start");
    size_t n;
    const int64_t *step = wg_attrs_ints(c->attrs, "step", &n);
    return write_into(c, &zero, start.dim, step, n);
}

/* ---- pad -------------------------------------------------------------------------------------------- */

static wg_status check_pad_value(wg_infer *q)
{
    double value = wg_attrs_float(q->attrs, "value");
    wg_dtype dtype = q->in[0].dtype;
    double limit = dtype == WG_I32 ? 0x1p31 : 0x1p63;
    if (wg_dtype_is_float(dtype) || (value == floor(value) && value >= -limit && value < limit))
        return WG_OK;
    return wg_infer_fail(q, WG_DTYPE, "value %g is no %s", value, wg_dtype_name(dtype));
}

static wg_status infer_pad(wg_infer *q)
{
    const wg_shape *x = &q->in[0].shape;
    wg_shape *y = &q->out[0].shape;
    size_t nlow, nhigh;
    const int64_t *low = wg_attrs_ints(q->attrs, "low", &nlow);
    const int64_t *high = wg_attrs_ints(q->attrs, "high", &nhigh);
    if (nlow != (size_t)x->rank || nhigh != (size_t)x->rank)
        return wg_infer_fail(q, WG_SHAPE,
                             "low and high have %zu and %zu entries, x is %s; give one per axis",
                             nlow, nhigh, wg_infer_text(q, q->in[0]));
    q->out[0] = (wg_type){q->in[0].dtype, *x};
    for (int i = 0; i < x->rank; i++) {
        if (low[i] < 0 || high[i] < 0 || low[i] > INT64_MAX - high[i] ||
            low[i] + high[i] > INT64_MAX - x->dim[i])
            return wg_infer_fail(q, WG_SHAPE,
                                 "%lld before and %lld after axis %d of %s: both must "
                                 "be 0 or more, and their sum a size",
                                 (long long)low[i], (long long)high[i], i,
                                 wg_infer_text(q, q->in[0]));
        if (low[i] + high[i] > 0)
            wg_dim_op_size(q->ctx, y, i, x, i, '+', low[i] + high[i]);
    }
    return check_pad_value(q);
}

static void pad_vjp(wg_rule *r)
{
    size_t n;
    const int64_t *low = wg_attrs_ints(r->attrs, "low", &n);
    r->din[0] = wg_section(r->dout[0], wg_shape_make(low, n), wg_typeof(r->in[0]).shape);
}

/* pad is affine: a tangent is padded with 0. */
static void pad_jvp(wg_rule *r)
{
    size_t nlow, nhigh;
    const int64_t *low = wg_attrs_ints(r->attrs, "low", &nlow);
    const int64_t *high = wg_attrs_ints(r->attrs, "high", &nhigh);
    if (!wg_is_none(r->tin[0]))
        r->tout[0] = wg_pad_with(r->tin[0], low, nlow, high, nhigh, 0);
}

static wg_status pad(const wg_kernel_call *c, const void *value)
{
    size_t n;
    return write_into(c, value, wg_attrs_ints(c->attrs, "low", &n), NULL, 0);
}

#define PAD(name, T)                                                                               \
    static wg_status name(const wg_kernel_call *c)                                                 \
    {                                                                                              \
        const T value = (T)wg_attrs_float(c->attrs, "value");                                      \
        return pad(c, &value);                                                                     \
    }
PAD(pad_f, float)
PAD(pad_d, double)
PAD(pad_i, int32_t)
PAD(pad_l, int64_t)

/* ---- concat ------------------------------------------------------------------------------------------ */

static bool concat_fits(const wg_type *a, const wg_type *b, int axis)
{
    bool fits = a->dtype == b->dtype && a->shape.rank == b->shape.rank;
    for (int i = 0; i < a->shape.rank && fits; i++)
        fits = i == axis || a->shape.dim[i] == b->shape.dim[i];
    return fits;
}

static wg_status infer_concat(wg_infer *q)
{
    int axis = (int)wg_attrs_int(q->attrs, "axis");
    if (q->nin == 0)
        return wg_infer_fail(q, WG_INVALID, "there is nothing to join; give one operand or more");
    wg_type *y = &q->out[0];
    *y = q->in[0];
    for (size_t k = 1; k < q->nin; k++) {
        const wg_type *x = &q->in[k];
        if (!concat_fits(&q->in[0], x, axis))
            return wg_infer_fail(q, x->dtype == y->dtype ? WG_SHAPE : WG_DTYPE,
                                 "operand %zu is %s, operand 0 is %s; all but axis %d must agree",
                                 k, wg_infer_text(q, *x), wg_infer_text(q, q->in[0]), axis);
        for (int i = 0; i < x->shape.rank; i++)
            if (i != axis && !y->shape.symbol[i])
                y->shape.symbol[i] = x->shape.symbol[i];
        wg_dim_op(q->ctx, &y->shape, axis, &y->shape, axis, '+', &x->shape, axis);
    }
    return WG_OK;
}

static void concat_vjp(wg_rule *r)
{
    int axis = (int)wg_attrs_int(r->attrs, "axis");
    wg_ctx *ctx = wg_tape_ctx(r->tape);
    wg_shape start = wg__no_dims();
    for (int i = 0; i < wg_typeof(r->dout[0]).shape.rank; i++)
        wg_shape_push_size(&start, 0);
    for (size_t k = 0; k < r->nin; k++) {
        wg_shape x = wg_typeof(r->in[k]).shape;
        if (r->need[k])
            r->din[k] = wg_section(r->dout[0], start, x);
        wg_dim_op(ctx, &start, axis, &start, axis, '+', &x, axis);
    }
}

/* Operand k [outer, n_k, inner] follows operand k - 1 within each of the `outer` parts of y. */
static wg_status concat(const wg_kernel_call *c)
{
    int64_t axis = wg_attrs_int(c->attrs, "axis"), size = (int64_t)wg__elem(&c->out[0]);
    wg__span y = wg__span_of(&c->out[0].type->shape, axis);
    char *to = c->out[0].data;
    for (size_t k = 0; k < c->nin; k++) {
        int64_t n = c->in[k].type->shape.dim[axis] * y.inner * size;
        const char *from = c->in[k].data;
        for (int64_t o = 0; o < y.outer && n > 0; o++)
            memcpy(to + o * y.n * y.inner * size, from + o * n, (size_t)n);
        to += n;
    }
    return WG_OK;
}

/* ---- batching ------------------------------------------------------------------------------------------ */

/* The axis of the steps is taken whole: from 0 to its end, by 1. */
static void batch_slice(wg_batch *b)
{
    int64_t start[WG_MAX_RANK], stop[WG_MAX_RANK], step[WG_MAX_RANK];
    size_t n = wg__shifted_ints(b, "start", 0, start);
    wg__shifted_ints(b, "stop", INT64_MAX, stop);
    size_t by = wg__shifted_ints(b, "step", 1, step);
    b->result[0] = n ? wg_slice_with(b->in[0], start, n, stop, n, step, by) : b->in[0];
}

static void batch_unslice(wg_batch *b)
{
    int64_t start[WG_MAX_RANK], stop[WG_MAX_RANK], step[WG_MAX_RANK];
    size_t n = wg__shifted_ints(b, "start", 0, start);
    wg__shifted_ints(b, "stop", INT64_MAX, stop);
    size_t by = wg__shifted_ints(b, "step", 1, step);
    wg_shape to = wg__stacked(b, wg_attrs_shape(b->attrs, "shape"));
    b->result[0] = n ? wg_unslice_with(b->in[0], to, start, n, stop, n, step, by) : b->in[0];
}

/* Positions `name` of a section or place, with 0 on the axis of the steps. */
static wg_shape from_zero(const wg_batch *b, const char *name)
{
    const wg_shape at = wg_attrs_shape(b->attrs, name);
    wg_shape all = wg__no_dims();
    wg_shape_push_size(&all, 0);
    for (int i = 0; i < at.rank && all.rank < WG_MAX_RANK; i++)
        wg_shape_push(&all, &at, i);
    return all;
}

static void batch_section(wg_batch *b)
{
    int64_t step[WG_MAX_RANK];
    size_t by = wg__shifted_ints(b, "step", 1, step);
    b->result[0] = wg_section_with(b->in[0], from_zero(b, "start"),
                                   wg__stacked(b, wg_attrs_shape(b->attrs, "size")), step, by);
}

static void batch_place(wg_batch *b)
{
    int64_t step[WG_MAX_RANK];
    size_t by = wg__shifted_ints(b, "step", 1, step);
    b->result[0] = wg_place_with(b->in[0], from_zero(b, "start"),
                                 wg__stacked(b, wg_attrs_shape(b->attrs, "shape")), step, by);
}

static void batch_pad(wg_batch *b)
{
    int64_t low[WG_MAX_RANK], high[WG_MAX_RANK];
    size_t n = wg__shifted_ints(b, "low", 0, low);
    wg__shifted_ints(b, "high", 0, high);
    b->result[0] =
        n ? wg_pad_with(b->in[0], low, n, high, n, wg_attrs_float(b->attrs, "value")) : b->in[0];
}

enum { MOST_PARTS = 64 };

static void batch_concat(wg_batch *b)
{
    wg_var parts[MOST_PARTS];
    for (size_t k = 0; k < b->nin && k < MOST_PARTS; k++)
        parts[k] = wg__stacked_operand(b, k);
    if (b->nin <= MOST_PARTS)
        b->result[0] = wg_concat(parts, b->nin, wg__shifted_axis(b));
}

/* ---- the tables -------------------------------------------------------------------------------------- */

/* clang-format off */
static const wg_kernel slice_rows[] = {WG__ROW("*->*", slice)};
static const wg_kernel unslice_rows[] = {WG__ROW("*->*", unslice)};
static const wg_kernel section_rows[] = {WG__ROW("*->*", section)};
static const wg_kernel place_rows[] = {WG__ROW("*->*", place)};
static const wg_kernel concat_rows[] = {WG__ROW("*->*", concat)};
static const wg_kernel pad_rows[] = {WG__ROW("f->f", pad_f), WG__ROW("d->d", pad_d),
                                     WG__ROW("i->i", pad_i), WG__ROW("l->l", pad_l)};

WG__CASES(slice,
    "graph case(x: f64) -> (y) { y = slice(x, start=[], stop=[]) }",
    "graph case(x: f64[7]) -> (y) { y = slice(x, start=[2], stop=[5]) }",
    "graph case(x: f64[4, 5]) -> (y) { y = slice(x, start=[1, 0], stop=[4, 5], step=[2, 3]) }",
    "graph case(x: f64[7]) -> (y) { y = slice(x, start=[-4], stop=[-1]) }",
    "graph case(x: f64[4]) -> (y) { y = slice(x, start=[3], stop=[1]) }",
    "graph case(x: f64[0, 3]) -> (y) { y = slice(x, start=[0, 1], stop=[9, 9]) }",
    "graph case(x: f64[1, 2, 1, 2, 1, 1, 3, 1]) -> (y) { y = slice(x, "
        "start=[0, 1, 0, 0, 0, 0, 0, 0], stop=[1, 2, 1, 2, 1, 1, 3, 1], "
        "step=[1, 1, 1, 1, 1, 1, 2, 1]) }");
WG__CASES(unslice,
    "graph case(x: f64) -> (y) { y = unslice(x, shape=[], start=[], stop=[]) }",
    "graph case(x: f64[3]) -> (y) { y = unslice(x, shape=[7], start=[-5], stop=[-2]) }",
    "graph case(x: f64[2, 2]) -> (y) { y = unslice(x, shape=[4, 5], start=[1, 0], stop=[4, 5], "
        "step=[2, 3]) }",
    "graph case(x: f64[0, 2]) -> (y) { y = unslice(x, shape=[2, 2], start=[2, 0], stop=[9, 9]) }");
WG__CASES(section,
    "graph case(x: f64) -> (y) { y = section(x, start=[], size=[]) }",
    "graph case(x: f64[4, 5]) -> (y) { y = section(x, start=[1, 0], size=[2, 2], step=[2, 3]) }",
    "graph case(x: f64[3]) -> (y) { y = section(x, start=[3], size=[0]) }");
WG__CASES(place,
    "graph case(x: f64) -> (y) { y = place(x, start=[], shape=[]) }",
    "graph case(x: f64[2, 2]) -> (y) { y = place(x, start=[1, 0], shape=[4, 5], step=[2, 3]) }",
    "graph case(x: f64[0]) -> (y) { y = place(x, start=[1], shape=[3]) }");
WG__CASES(pad,
    "graph case(x: f64) -> (y) { y = pad(x, low=[], high=[]) }",
    "graph case(x: f64[2, 3]) -> (y) { y = pad(x, low=[1, 0], high=[0, 2], value=0.5) }",
    "graph case(x: f64[0, 2]) -> (y) { y = pad(x, low=[1, 1], high=[1, 0]) }",
    "graph case(x: f64[1, 2, 1, 1, 1, 1, 2, 1]) -> (y) { y = pad(x, "
        "low=[0, 1, 0, 0, 0, 0, 0, 1], high=[0, 0, 1, 0, 0, 0, 0, 0]) }");
WG__CASES(concat,
    "graph case(x: f64[2, 3]) -> (y) { y = concat(x, axis=0) }",
    "graph case(a: f64[2, 3], b: f64[1, 3], c: f64[2, 3]) -> (y) { y = concat(a, b, c, axis=0) }",
    "graph case(a: f64[2, 0], b: f64[2, 1]) -> (y) { y = concat(a, b, axis=-1) }",
    "graph case(a: f64[0], b: f64[0]) -> (y) { y = concat(a, b, axis=0) }",
    "graph case(a: f64[2, 2, 2], b: f64[2, 1, 2]) -> (y) { y = concat(a, b, a, axis=1) }",
    "graph case(a: f64[1, 2, 1, 1, 2, 1, 1, 1], b: f64[1, 2, 1, 1, 1, 1, 1, 1]) -> (y) "
        "{ y = concat(a, b, axis=4) }");
/* clang-format on */

static const wg_op ops[] = {
    {.struct_size = WG_OP,
     .sig = "slice(x; start: ints, stop: ints, step: ints = []) -> y",
     .doc =
         "x[start:stop:step] along every axis as in NumPy, with step >= 1: negative bounds count "
         "from the end, bounds past the ends are clipped, a stop of INT64_MAX is the end. When an "
         "axis with a symbol gets another size, the bounds stay and are read against it.",
     .flags = WG_OP_LINEAR | WG_OP_VIEW | WG_OP_TOTAL,
     .infer = infer_slice,
     .vjp = slice_vjp,
     WG__KERNELS(slice_rows),
     .view = view_slice,
     .batch = batch_slice,
     .check = &slice_check},
    {.struct_size = WG_OP,
     .sig = "unslice(x; shape: shape, start: ints, stop: ints, step: ints = []) -> y",
     .doc = "Zeros of a shape with x written into the part that slice cuts out of it. The adjoint "
            "of slice.",
     .flags = WG_OP_LINEAR | WG_OP_TOTAL,
     .infer = infer_unslice,
     .vjp = unslice_vjp,
     WG__KERNELS(unslice_rows),
     .batch = batch_unslice,
     .check = &unslice_check},
    {.struct_size = WG_OP,
     .sig = "section(x; start: shape, size: shape, step: ints = []) -> y",
     .doc = "size elements of x along every axis, from start on by step. A slice whose bounds may "
            "be dimension expressions; the adjoint of place.",
     .flags = WG_OP_LINEAR | WG_OP_VIEW | WG_OP_TOTAL,
     .infer = infer_section,
     .vjp = section_vjp,
     WG__KERNELS(section_rows),
     .view = view_section,
     .batch = batch_section,
     .check = &section_check},
    {.struct_size = WG_OP,
     .sig = "place(x; start: shape, shape: shape, step: ints = []) -> y",
     .doc = "Zeros of a shape with x written into them, along every axis from start on by step. "
            "The adjoint of section.",
     .flags = WG_OP_LINEAR | WG_OP_TOTAL,
     .infer = infer_place,
     .vjp = place_vjp,
     WG__KERNELS(place_rows),
     .batch = batch_place,
     .check = &place_check},
    {.struct_size = WG_OP,
     .sig = "pad(x: num; low: ints, high: ints, value: float = 0) -> y",
     .doc = "x with low elements of a value before and high after it along every axis.",
     .flags = WG_OP_TOTAL,
     .infer = infer_pad,
     .vjp = pad_vjp,
     .jvp = pad_jvp,
     WG__KERNELS(pad_rows),
     .batch = batch_pad,
     .check = &pad_check},
    {.struct_size = WG_OP,
     .sig = "concat(xs*; axis: axis) -> y",
     .doc = "The operands joined along an axis; their other sizes and dtypes agree.",
     .flags = WG_OP_LINEAR | WG_OP_VIEW | WG_OP_TOTAL | WG_OP_JOIN,
     .infer = infer_concat,
     .vjp = concat_vjp,
     WG__KERNELS(concat_rows),
     .batch = batch_concat,
     .check = &concat_check},
};
const wg__family wg__ops_slice = {ops, sizeof ops / sizeof *ops};
