/* What can be told of a value's elements without running: that none is infinite or NaN, that none is
 * 0. A short look back from the value, a few nodes deep; where nothing is known the answer is no.
 *
 * Sums and products are not in the table: they overflow. Functions of inputs are not: an input may
 * be NaN. */
#include <math.h>
#include <string.h>

#include "pass/pass.h"

bool wg__is_slot_value(double f)
{
    f = fabs(f);
    return isfinite(f) && f != 0 && f != 0.5 && f != 1 && f != 2;
}

bool wg__literal_is_slot(const wg_tape *t, uint32_t id)
{
    const wg__node *n = wg__node_at(t, id);
    return n->op == WG__OP_LITERAL && wg_dtype_is_float(wg__type_at(t, id)->dtype) &&
           wg__is_slot_value(n->u.f);
}

bool wg__literal_known(const wg_tape *t, uint32_t id, double *value)
{
    const wg__node *n = wg__node_at(t, id);
    wg_dtype dtype = wg__type_at(t, id)->dtype;
    if (n->op != WG__OP_LITERAL || dtype == WG_BOOL || wg__literal_is_slot(t, id))
        return false;
    *value = wg_dtype_is_float(dtype) ? n->u.f : (double)n->u.i;
    return wg_dtype_is_float(dtype) || n->u.i == (int64_t)*value;
}

/* How far back a question goes, and how large a constant is looked at. */
enum { DEPTH = 6, LARGEST_CONST = 4096 };

/* What an op makes of what is certain of its operands. */
typedef enum answer {
    NOTHING,
    KEEPS,        /* what holds for the first operand holds for the result */
    KEEPS_FINITE, /* only that it is finite */
    CASTS,        /* by the operand's dtype */
    CHOOSES,      /* what holds for the second and the third operand */
    IS_FINITE
} answer;

static const struct row {
    const char *op;
    answer answer;
} rows[] = {
    /* sorted by name */
    {"abs", KEEPS},
    {"broadcast", KEEPS},
    {"cast", CASTS},
    {"element_count", IS_FINITE},
    {"iota", IS_FINITE},
    {"neg", KEEPS},
    {"one_hot", IS_FINITE},
    {"place", KEEPS_FINITE},
    {"relu", KEEPS_FINITE},
    {"reshape", KEEPS},
    {"reverse", KEEPS},
    {"section", KEEPS},
    {"sign", KEEPS},
    {"slice", KEEPS},
    {"stop_gradient", KEEPS},
    {"transpose", KEEPS},
    {"unslice", KEEPS_FINITE},
    {"where", CHOOSES},
};

static answer answer_of(const wg__op *op)
{
    size_t low = 0, high = sizeof rows / sizeof *rows;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        const int order = strcmp(rows[middle].op, op->name);
        if (order == 0)
            return rows[middle].answer;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NOTHING;
}

static unsigned of_const(const wg_tape *t, const wg__node *n)
{
    const wg_tensor *x = t->consts.data[n->u.bits];
    int64_t count = wg_shape_count(x->type.shape);
    unsigned certain = count <= LARGEST_CONST ? WG__FINITE | WG__NONZERO : 0;
    for (int64_t i = 0; i < count && certain; i++) {
        double e = wg_tensor_get(x, i);
        certain &= isfinite(e) ? ~0u : (unsigned)~WG__FINITE;
        certain &= e != 0 ? ~0u : (unsigned)~WG__NONZERO;
    }
    return certain;
}

static unsigned of_source(const wg_tape *t, uint32_t id)
{
    const wg__node *n = wg__node_at(t, id);
    double f;
    if (n->op == WG__OP_CONST)
        return of_const(t, n);
    if (wg__literal_is_slot(t, id))
        return WG__FINITE | WG__NONZERO;
    if (!wg__literal_known(t, id, &f))
        return 0;
    return (isfinite(f) ? WG__FINITE : 0) | (f != 0 ? WG__NONZERO : 0);
}

static unsigned certain(const wg_tape *t, uint32_t id, int depth)
{
    const wg__node *n = wg__node_at(t, id);
    const wg__op *op = wg__op_of(t, id);
    if (op->def.flags & WG_OP_SOURCE)
        return of_source(t, id);
    answer a = depth ? answer_of(op) : NOTHING;
    const uint32_t *in = wg__operands(t, n);
    switch (a) {
    case KEEPS:
        return certain(t, in[0], depth - 1);
    case KEEPS_FINITE:
        return certain(t, in[0], depth - 1) & WG__FINITE;
    case CASTS: { /* an i64 is far below FLT_MAX; f64 to f32 may overflow or become 0 */
        wg_dtype from = wg__type_at(t, in[0])->dtype, to = wg__type_at(t, id)->dtype;
        if (wg_dtype_is_float(from) && (from != to && to != WG_F64))
            return 0;
        return wg_dtype_is_float(from) ? certain(t, in[0], depth - 1) : WG__FINITE;
    }
    case CHOOSES:
        return certain(t, in[1], depth - 1) & certain(t, in[2], depth - 1);
    case IS_FINITE:
        return WG__FINITE;
    case NOTHING:
        break;
    }
    return 0;
}

unsigned wg__certain(const wg_tape *t, uint32_t id) { return certain(t, id, DEPTH); }
