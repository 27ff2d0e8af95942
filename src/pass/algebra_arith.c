/* The rules of algebra that are about sums, products and powers. */
#include <float.h>
#include <math.h>

#include "pass/algebra.h"
#include "tensor/tensor.h"

/* ---- rules: sums and products ----------------------------------------------------------------------- */

/* The operand beside one that is the number `f`, of a commutative op; WG__NONE: there is none. */
static uint32_t beside(const wg__seen *v, double f)
{
    return is_number(v, v->in[1], f) ? v->in[0] : is_number(v, v->in[0], f) ? v->in[1] : WG__NONE;
}

static wg__ref fit_beside(wg__seen *v, double f)
{
    uint32_t x = beside(v, f);
    return x == WG__NONE ? no_ref() : wg__plan_fit_value(v, x);
}

/* The negative of a value, in the node's shape. */
static wg__ref negative(wg__seen *v, uint32_t x)
{
    return wg__plan_fit(v, apply1(v, WG__AT_neg, value(x)), &type_of(v, x)->shape);
}

static wg__ref add_zero(wg__seen *v) { return fit_beside(v, 0); }
static wg__ref times_one(wg__seen *v) { return fit_beside(v, 1); }

static wg__ref times_minus_one(wg__seen *v)
{
    uint32_t x = beside(v, -1);
    return x == WG__NONE ? no_ref() : negative(v, x);
}

static wg__ref add_neg(wg__seen *v)
{
    for (int k = 0; k < 2; k++)
        if (is(v, v->in[k], WG__AT_neg))
            return apply2(v, WG__AT_sub, value(v->in[1 - k]), value(arg(v, v->in[k], 0)));
    return no_ref();
}

static wg__ref sub_zero(wg__seen *v)
{
    if (is_number(v, v->in[1], 0))
        return wg__plan_fit_value(v, v->in[0]);
    return is_number(v, v->in[0], 0) ? negative(v, v->in[1]) : no_ref();
}

static wg__ref sub_neg(wg__seen *v)
{
    if (!is(v, v->in[1], WG__AT_neg))
        return no_ref();
    return apply2(v, WG__AT_add, value(v->in[0]), value(arg(v, v->in[1], 0)));
}

static wg__ref times_itself(wg__seen *v)
{
    return v->in[0] == v->in[1] ? apply1(v, WG__AT_square, value(v->in[0])) : no_ref();
}

/* (-a) (-b) = a b;  (-a) b = -(a b), where that negates no more elements. */
static wg__ref neg_out(wg__seen *v)
{
    const bool na = is(v, v->in[0], WG__AT_neg), nb = is(v, v->in[1], WG__AT_neg);
    wg__ref a = value(na ? arg(v, v->in[0], 0) : v->in[0]);
    wg__ref b = value(nb ? arg(v, v->in[1], 0) : v->in[1]);
    if (na && nb)
        return apply2(v, WG__AT_ELEMENTWISE, a, b);
    if ((na && has_type(v, v->in[0])) || (nb && has_type(v, v->in[1])))
        return apply1(v, WG__AT_neg, apply2(v, WG__AT_ELEMENTWISE, a, b));
    return no_ref();
}

static wg__ref mul0_zero(wg__seen *v)
{
    static const wg_shape scalar = {0};
    return beside(v, 0) == WG__NONE ? no_ref() : wg__plan_fit(v, wg__plan_number(v, 0), &scalar);
}

/* m is 0 or 1: mul0(a, m) = a where m, else 0. */
static wg__ref mul0_mask(wg__seen *v)
{
    for (int k = 1; k >= 0; k--) {
        uint32_t m = v->in[k];
        if (is(v, m, WG__AT_cast) && type_of(v, arg(v, m, 0))->dtype == WG_BOOL)
            return wg__plan_apply(v, WG__AT_where, value(arg(v, m, 0)), value(v->in[1 - k]),
                                  wg__plan_number(v, 0));
    }
    return no_ref();
}

/* mul0 differs from mul where one factor is 0 and the other infinite or NaN. */
static wg__ref mul0_plain(wg__seen *v)
{
    const unsigned both = WG__FINITE | WG__NONZERO;
    unsigned a = wg__certain(v->t, v->in[0]), b = wg__certain(v->t, v->in[1]);
    if (a != both && b != both && !(a & b & WG__FINITE))
        return no_ref();
    return apply2(v, WG__AT_mul, value(v->in[0]), value(v->in[1]));
}

static wg__ref div_one(wg__seen *v)
{
    if (is_number(v, v->in[1], 1))
        return wg__plan_fit_value(v, v->in[0]);
    return is_number(v, v->in[1], -1) ? negative(v, v->in[0]) : no_ref();
}

static wg__ref div_by_two(wg__seen *v)
{
    const bool two = is_number(v, v->in[1], 2);
    if (!two && !is_number(v, v->in[1], 0.5))
        return no_ref();
    const wg_shape *shape = &type_of(v, v->in[0])->shape;
    return wg__plan_fit(
        v, apply2(v, WG__AT_mul, value(v->in[0]), wg__plan_number(v, two ? 0.5 : 2)), shape);
}

enum { LARGEST_DIVISOR = 4096 };

/* Whether products with 1 / f are quotients by f to the bit. */
static bool inverts_exactly(wg_dtype dtype, double f)
{
    int exponent;
    const int least = dtype == WG_F32 ? FLT_MIN_EXP : DBL_MIN_EXP;
    /* The inverse of 2^(e - 1) is 2^(1 - e), to which frexp gives the exponent 2 - e. */
    return isfinite(f) && fabs(frexp(f, &exponent)) == 0.5 && 2 - exponent >= least &&
           exponent >= least;
}

/* Whether a divisor may be inverted first: what is known ahead only where that is exact; what is
 * computed always, for it is divided by at every step of training (see docs/conventions.md). */
static bool may_invert(const wg__seen *v, uint32_t id)
{
    while (is(v, id, WG__AT_broadcast) || is(v, id, WG__AT_reshape) || is(v, id, WG__AT_cast))
        id = arg(v, id, 0);
    const wg__node *n = wg__node_at(v->t, id);
    if (n->op == WG__OP_LITERAL)
        return false;
    if (n->op != WG__OP_CONST)
        return true;
    const wg_tensor *c = v->t->consts.data[n->u.bits];
    const int64_t count = wg_shape_count(c->type.shape);
    bool exact = count <= LARGEST_DIVISOR;
    for (int64_t i = 0; i < count && exact; i++)
        exact = inverts_exactly(v->type->dtype, wg_tensor_get(c, i));
    return exact;
}

/* A division costs many products: few divisors are inverted once. */
static wg__ref div_by_few(wg__seen *v)
{
    const int64_t few = wg_shape_count(type_of(v, v->in[1])->shape);
    if (few * 4 > wg_shape_count(v->type->shape) || !may_invert(v, v->in[1]))
        return no_ref();
    wg__ref inverse = apply1(v, WG__AT_reciprocal, value(v->in[1]));
    return apply2(v, WG__AT_mul, value(v->in[0]), inverse);
}

static wg__ref one_by(wg__seen *v)
{
    if (!is_number(v, v->in[0], 1))
        return no_ref();
    wg__ref x = apply1(v, WG__AT_reciprocal, value(v->in[1]));
    return wg__plan_fit(v, x, &type_of(v, v->in[1])->shape);
}

static wg__ref neg_neg(wg__seen *v)
{
    return is(v, v->in[0], WG__AT_neg) ? value(arg(v, v->in[0], 0)) : no_ref();
}

static wg__ref neg_sub(wg__seen *v)
{
    uint32_t x = v->in[0];
    return is(v, x, WG__AT_sub) ? apply2(v, WG__AT_sub, value(arg(v, x, 1)), value(arg(v, x, 0)))
                                : no_ref();
}

/* Even functions. */
static wg__ref even(wg__seen *v)
{
    if (!is(v, v->in[0], WG__AT_neg) && !is(v, v->in[0], WG__AT_abs))
        return no_ref();
    return apply1(v, WG__AT_ELEMENTWISE, value(arg(v, v->in[0], 0)));
}

static wg__ref pow_known(wg__seen *v)
{
    const wg_shape *shape = &type_of(v, v->in[0])->shape;
    static const wg_shape scalar = {0};
    if (is_number(v, v->in[1], 2))
        return wg__plan_fit(v, apply1(v, WG__AT_square, value(v->in[0])), shape);
    if (is_number(v, v->in[1], 1))
        return wg__plan_fit_value(v, v->in[0]);
    if (is_number(v, v->in[1], -1))
        return wg__plan_fit(v, apply1(v, WG__AT_reciprocal, value(v->in[0])), shape);
    return is_number(v, v->in[1], 0) ? wg__plan_fit(v, wg__plan_number(v, 1), &scalar) : no_ref();
}

/* ---- the table ----------------------------------------------------------------------------------------- */

/* clang-format off */
const wg__algebra_rule wg__arith_rules[] = {
    {"add-zero",      WG__AT_add,    add_zero,        "x + 0 = x"},
    {"add-neg",       WG__AT_add,    add_neg,         "x + -y = x - y"},
    {"sub-zero",      WG__AT_sub,    sub_zero,        "x - 0 = x, 0 - x = -x"},
    {"sub-neg",       WG__AT_sub,    sub_neg,         "x - -y = x + y"},
    {"mul-one",       WG__AT_mul,    times_one,       "x 1 = x"},
    {"mul-minus-one", WG__AT_mul,    times_minus_one, "x (-1) = -x"},
    {"mul-neg",       WG__AT_mul,    neg_out,         "(-x) y = -(x y), (-x) (-y) = x y"},
    {"mul-itself",    WG__AT_mul,    times_itself,    "x x = square(x)"},
    {"mul0-zero",     WG__AT_mul0,   mul0_zero,       "mul0(x, 0) = 0"},
    {"mul0-one",      WG__AT_mul0,   times_one,       "mul0(x, 1) = x"},
    {"mul0-minus-one",WG__AT_mul0,   times_minus_one, "mul0(x, -1) = -x"},
    {"mul0-mask",     WG__AT_mul0,   mul0_mask,       "mul0(x, cast(c)) = where(c, x, 0)"},
    {"mul0-neg",      WG__AT_mul0,   neg_out,         "mul0(-x, y) = -mul0(x, y)"},
    {"mul0-itself",   WG__AT_mul0,   times_itself,    "mul0(x, x) = square(x)"},
    {"mul0-plain",    WG__AT_mul0,   mul0_plain,      "mul0(x, y) = x y: both are finite, or one is finite and not 0"},
    {"div-one",       WG__AT_div,    div_one,         "x / 1 = x, x / -1 = -x"},
    {"div-two",       WG__AT_div,    div_by_two,      "x / 2 = x 0.5, x / 0.5 = x 2"},
    {"one-div",       WG__AT_div,    one_by,          "1 / x = reciprocal(x)"},
    {"div-few",       WG__AT_div,    div_by_few,      "x / s = x (1 / s) where s is spread over x; s computed, or constant powers of 2; rounds"},
    {"neg-neg",       WG__AT_neg,    neg_neg,         "-(-x) = x"},
    {"neg-sub",       WG__AT_neg,    neg_sub,         "-(x - y) = y - x"},
    {"square-neg",    WG__AT_square, even,            "square(-x) = square(|x|) = square(x)"},
    {"abs-neg",       WG__AT_abs,    even,            "|-x| = ||x|| = |x|"},
    {"pow-known",     WG__AT_pow,    pow_known,       "x^2 = square(x), x^1 = x, x^0 = 1, x^-1 = reciprocal(x); rounds"},
};
/* clang-format on */
const size_t wg__arith_rule_count = sizeof wg__arith_rules / sizeof *wg__arith_rules;
