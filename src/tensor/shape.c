/* Shapes by value: making, comparing, broadcasting, dimension arithmetic, text. Mistakes do not
 * abort: an impossible rank or axis gives rank -1 and an impossible size a negative one; both are
 * refused wherever a shape is taken (wg__shape_ok). */
#include <inttypes.h>
#include <string.h>

#include <wengert/op.h>
#include "tensor/symbol.h"

/* A size that arithmetic could not give (overflow, division by zero). It stays through further
 * arithmetic, so that the mistake cannot turn into a legal size again. */
#define IMPOSSIBLE INT64_MIN

static bool rank_ok(int32_t rank) { return rank >= 0 && rank <= WG_MAX_RANK; }

static wg_shape no_shape(void) { return (wg_shape){.rank = -1}; }

wg_shape wg_shape_make(const int64_t *dims, size_t rank)
{
    if (rank > WG_MAX_RANK || (rank && !dims))
        return no_shape();
    wg_shape s = {.rank = (int32_t)rank};
    for (size_t i = 0; i < rank; i++)
        s.dim[i] = dims[i];
    return s;
}

/* Too many axes give a count that is neither a number of axes nor -1. */
wg_axes wg_axes_make(const int32_t *axes, size_t count)
{
    wg_axes a = {.count = axes ? (int32_t)count : -1};
    if (axes && count > WG_MAX_RANK)
        a.count = -2;
    for (int i = 0; i < a.count; i++)
        a.axis[i] = axes[i];
    return a;
}

bool wg_shape_equal(wg_shape a, wg_shape b)
{
    if (a.rank != b.rank || !rank_ok(a.rank))
        return false;
    return !memcmp(a.dim, b.dim, (size_t)a.rank * sizeof *a.dim);
}

/* A shape with a zero still needs sizes whose product fits: strides are made from them. */
int64_t wg_shape_count(wg_shape shape)
{
    int64_t count = 1;
    bool empty = false;
    if (!rank_ok(shape.rank))
        return -1;
    for (int i = 0; i < shape.rank; i++) {
        int64_t d = shape.dim[i];
        empty |= d == 0;
        if (d < 0 || __builtin_mul_overflow(count, d ? d : 1, &count))
            return -1;
    }
    return empty ? 0 : count;
}

bool wg__shape_ok(const wg_shape *s, wg_dtype dtype, int64_t *count, size_t *bytes)
{
    int64_t n = wg_shape_count(*s);
    size_t size = wg_dtype_size(dtype);
    if (n < 0 || !size || (uint64_t)n > (PTRDIFF_MAX - 4096) / size)
        return false;
    if (count)
        *count = n;
    if (bytes)
        *bytes = (size_t)n * size;
    return true;
}

size_t wg__type_bytes(const wg_type *type)
{
    size_t bytes;
    return wg__shape_ok(&type->shape, type->dtype, NULL, &bytes) ? bytes : 0;
}

bool wg__type_equal(const wg_type *a, const wg_type *b)
{
    return a->dtype == b->dtype && wg_shape_equal(a->shape, b->shape);
}

void wg__type_canonical(const wg_type *type, wg_type *out)
{
    wg_type in = *type; /* `out` may be `type` */
    memset(out, 0, sizeof *out);
    out->dtype = in.dtype;
    out->shape.rank = in.shape.rank;
    for (int i = 0; rank_ok(in.shape.rank) && i < in.shape.rank; i++) {
        out->shape.dim[i] = in.shape.dim[i];
        out->shape.symbol[i] = in.shape.symbol[i];
    }
}

/* ---- building --------------------------------------------------------------------------------- */

/* Axis `axis` counted from the right, as broadcasting aligns; 1 where there is none. */
static int64_t dim_from_right(const wg_shape *s, int axis)
{
    return axis < s->rank ? s->dim[s->rank - 1 - axis] : 1;
}

static uint32_t symbol_from_right(const wg_shape *s, int axis)
{
    return axis < s->rank ? s->symbol[s->rank - 1 - axis] : 0;
}

bool wg_shape_broadcast(wg_shape a, wg_shape b, wg_shape *out)
{
    if (!rank_ok(a.rank) || !rank_ok(b.rank))
        return false;
    wg_shape r = {.rank = a.rank > b.rank ? a.rank : b.rank};
    for (int i = 0; i < r.rank; i++) {
        int64_t da = dim_from_right(&a, i), db = dim_from_right(&b, i);
        uint32_t sa = symbol_from_right(&a, i), sb = symbol_from_right(&b, i);
        if (da < 0 || db < 0 || (da != db && da != 1 && db != 1))
            return false;
        r.dim[r.rank - 1 - i] = da == 1 ? db : da;
        r.symbol[r.rank - 1 - i] = da == db ? (sa ? sa : sb) : da == 1 ? sb : sa;
    }
    *out = r;
    return true;
}

static void push(wg_shape *to, int64_t size, uint32_t symbol)
{
    if (to->rank < 0 || to->rank >= WG_MAX_RANK) {
        to->rank = -1;
        return;
    }
    to->dim[to->rank] = size;
    to->symbol[to->rank++] = symbol;
}

void wg_shape_push(wg_shape *to, const wg_shape *from, int axis)
{
    if (axis < 0 || axis >= from->rank)
        to->rank = -1;
    else
        push(to, from->dim[axis], from->symbol[axis]);
}

void wg_shape_push_size(wg_shape *to, int64_t size) { push(to, size, 0); }

wg_shape wg_shape_symbol(wg_ctx *ctx, wg_shape shape, int axis, const char *name)
{
    int at = axis < 0 ? axis + shape.rank : axis;
    if (!rank_ok(shape.rank) || at < 0 || at >= shape.rank)
        return no_shape();
    shape.symbol[at] = wg__symbol_name(ctx, name);
    return shape.symbol[at] ? shape : no_shape();
}

/* ---- dimension arithmetic --------------------------------------------------------------------- */

static int64_t combine(int64_t a, char op, int64_t b)
{
    int64_t r = IMPOSSIBLE;
    bool bad = a == IMPOSSIBLE || b == IMPOSSIBLE;
    if (op == '+')
        bad |= __builtin_add_overflow(a, b, &r);
    else if (op == '-')
        bad |= __builtin_sub_overflow(a, b, &r);
    else if (op == '*')
        bad |= __builtin_mul_overflow(a, b, &r);
    else
        bad |= op != '/' || !wg__floor_div(a, b, &r);
    return bad ? IMPOSSIBLE : r;
}

/* An operand without symbol is the constant of its size. */
static void dim_op(wg_ctx *ctx, wg_shape *out, int axis, wg__dim a, char op, wg__dim b)
{
    if (axis < 0 || axis >= WG_MAX_RANK) {
        out->rank = -1;
        return;
    }
    wg__dim r = {combine(a.size, op, b.size), 0};
    if ((a.symbol || b.symbol) && !wg__symbol_dim(ctx, a, op, b, &r.symbol))
        r.size = IMPOSSIBLE;
    out->dim[axis] = r.size;
    out->symbol[axis] = r.symbol;
}

static wg__dim dim_at(const wg_shape *s, int axis)
{
    if (axis < 0 || axis >= s->rank)
        return (wg__dim){IMPOSSIBLE, 0};
    return (wg__dim){s->dim[axis], s->symbol[axis]};
}

void wg_dim_op(wg_ctx *ctx, wg_shape *out, int axis, const wg_shape *a, int axis_a, char op,
               const wg_shape *b, int axis_b)
{
    dim_op(ctx, out, axis, dim_at(a, axis_a), op, dim_at(b, axis_b));
}

void wg_dim_op_size(wg_ctx *ctx, wg_shape *out, int axis, const wg_shape *a, int axis_a, char op,
                    int64_t b)
{
    dim_op(ctx, out, axis, dim_at(a, axis_a), op, (wg__dim){b, 0});
}

/* ---- text ------------------------------------------------------------------------------------- */

void wg__add_shape(wg__str *s, wg_ctx *ctx, const wg_shape *shape)
{
    wg__str_add(s, "[");
    if (!rank_ok(shape->rank))
        wg__str_add(s, "?");
    for (int i = 0; i < shape->rank && rank_ok(shape->rank); i++) {
        wg__str_add(s, i ? ", " : "");
        if (shape->symbol[i]) {
            wg__add_symbol(s, ctx, shape->symbol[i]);
            wg__str_add(s, "=");
        }
        wg__str_addf(s, "%" PRId64, shape->dim[i]);
    }
    wg__str_add(s, "]");
}

void wg__add_type(wg__str *s, wg_ctx *ctx, const wg_type *type)
{
    wg__str_add(s, wg_dtype_name(type->dtype));
    if (type->shape.rank)
        wg__add_shape(s, ctx, &type->shape);
}
