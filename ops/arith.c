/* Arithmetic: sums, products and powers, signs, and the ops that choose between values.
 *
 * Partials are graph; the engine multiplies them by the cotangent with mul0, so that a zero
 * cotangent gives zero whatever the partial is (also inf and NaN). */
#include "elementwise.h"

/* ---- kernels ---------------------------------------------------------------------------------- */

/* clang-format off */
NUM_BINARY(add, a + b, a + b);
NUM_BINARY(sub, a - b, a - b);
NUM_BINARY(mul, a * b, a * b);
FLOAT_BINARY(mul0, SELECT((a != 0) & (b != 0), a * b, 0));
FLOAT_BINARY(div, a / b);
FLOAT_BINARY(pow, pow(a, b));
NUM_UNARY(neg, -a, -a);
NUM_UNARY(square, a * a, a * a);
FLOAT_UNARY(reciprocal, 1 / a);
NUM_UNARY(abs, SELECT(a < 0, -a, a), fabs(a));
NUM_UNARY(sign, SELECT(a > 0, 1, SELECT(a < 0, -1, 0)), SELECT(a > 0, 1, SELECT(a < 0, -1, a)));
NUM_BINARY(maximum, SELECT(a > b, a, b), SELECT((a > b) | (a != a), a, b));
NUM_BINARY(minimum, SELECT(a < b, a, b), SELECT((a < b) | (a != a), a, b));
/* p is lo, q is hi; NaN passes. */
FLOAT_UNARY_WITH(clamp, 2, SELECT(a < p, p, SELECT(a > q, q, a)));
/* clang-format on */

#define WHERE(NAME, T) KERNEL(where_##NAME, 3, uint8_t, T, T, T, T, 0, SELECT(a != 0, b, c))
#define WHERE_ROW(TYPES, NAME) BLOCK_ROW(TYPES, where_##NAME, "SELECT(a != 0, b, c)")
WHERE(bool, uint8_t)
WHERE(i32, int32_t)
WHERE(i64, int64_t)
WHERE(f32, float)
WHERE(f64, double)
static const wg_kernel where_kernels[] = {
    WHERE_ROW("bff->f", f32), WHERE_ROW("bdd->d", f64),  WHERE_ROW("bii->i", i32),
    WHERE_ROW("bll->l", i64), WHERE_ROW("bbb->b", bool),
};

static wg_status clamp_infer(wg_infer *q)
{
    double lo = wg_attrs_float(q->attrs, "lo"), hi = wg_attrs_float(q->attrs, "hi");
    if (!(lo <= hi))
        return wg_infer_fail(q, WG_INVALID, "lo must not be above hi: lo is %g, hi is %g", lo, hi);
    q->out[0] = q->in[0];
    return WG_OK;
}

/* ---- partials --------------------------------------------------------------------------------- */

static wg_var add_partial(wg_rule *r, size_t operand)
{
    (void)r;
    (void)operand;
    return wg_f(1);
}

static wg_var sub_partial(wg_rule *r, size_t operand)
{
    (void)r;
    return wg_f(operand == 0 ? 1 : -1);
}

static wg_var neg_partial(wg_rule *r, size_t operand)
{
    (void)r;
    (void)operand;
    return wg_f(-1);
}

static wg_var mul_partial(wg_rule *r, size_t operand) { return r->in[1 - operand]; }

/* 1 / b;  -y / b. */
static wg_var div_partial(wg_rule *r, size_t operand)
{
    wg_var inverse = wg_reciprocal(r->in[1]);
    return operand == 0 ? inverse : wg_neg(wg_mul0(r->out[0], inverse));
}

/* b a^(b-1), which is 0 for b = 0;  log(a) a^b, which is 0 for a <= 0. A NaN is not hidden. */
static wg_var pow_partial(wg_rule *r, size_t operand)
{
    wg_var a = r->in[0], b = r->in[1];
    if (operand == 0)
        return wg_mul0(b, wg_pow(a, wg_sub(b, wg_f(1))));
    wg_var log_a = wg_where(wg_less_equal(a, wg_f(0)), wg_f(0), wg_log(a));
    return wg_mul0(log_a, r->out[0]);
}

static wg_var square_partial(wg_rule *r, size_t operand)
{
    (void)operand;
    return wg_mul(wg_f(2), r->in[0]);
}

static wg_var reciprocal_partial(wg_rule *r, size_t operand)
{
    (void)operand;
    return wg_neg(wg_square(r->out[0]));
}

static wg_var abs_partial(wg_rule *r, size_t operand)
{
    (void)operand;
    return wg_sign(r->in[0]);
}

/* 1 where this operand is the result, 0 where the other is, 1/2 at ties (and beside NaN). */
static wg_var chosen(wg_rule *r, wg_var win, wg_var lose)
{
    wg_var margin = wg_sub(as_number(r, win), as_number(r, lose));
    return wg_add(wg_f(0.5), wg_mul(wg_f(0.5), margin));
}

static wg_var maximum_partial(wg_rule *r, size_t operand)
{
    wg_var self = r->in[operand], other = r->in[1 - operand];
    return chosen(r, wg_greater(self, other), wg_less(self, other));
}

static wg_var minimum_partial(wg_rule *r, size_t operand)
{
    wg_var self = r->in[operand], other = r->in[1 - operand];
    return chosen(r, wg_less(self, other), wg_greater(self, other));
}

static wg_var where_partial(wg_rule *r, size_t operand)
{
    if (operand == 0)
        return wg_disconnected();
    return as_number(r, operand == 1 ? r->in[0] : wg_logical_not(r->in[0]));
}

static wg_var clamp_partial(wg_rule *r, size_t operand)
{
    (void)operand;
    wg_var above = wg_greater_equal(r->in[0], wg_f(wg_attrs_float(r->attrs, "lo")));
    wg_var below = wg_less_equal(r->in[0], wg_f(wg_attrs_float(r->attrs, "hi")));
    return as_number(r, wg_logical_and(above, below));
}

/* ---- checks ----------------------------------------------------------------------------------- */

static double at_zero(const double *x) { return fabs(x[0]); }

static double at_tie(const double *x) { return fabs(x[0] - x[1]); }

/* Of clamp_cases. */
static double at_bounds(const double *x) { return fmin(fabs(x[0] + 0.5), fabs(x[0] - 1)); }

static const char *const where_cases[] = {
    "graph case(a: f64[2, 3], b: f64[2, 3]) -> (y) {\n"
    "    const c: bool[2, 3] = [true, false, true, true, false, false]\n"
    "    y = where(c, a, b)\n"
    "}\n",
    "graph case(a: f64[3], b: f64[2, 1]) -> (y) {\n"
    "    const c: bool[3] = [true, false, true]\n"
    "    y = where(c, a, b)\n"
    "}\n",
    NULL,
};
static const char *const clamp_cases[] = {
    "graph case(x: f64[3, 4]) -> (y) {\n"
    "    y = clamp(x, lo=-0.5, hi=1)\n"
    "}\n",
    NULL,
};

static const wg_op_check div_check = {WG_OP_CHECK, .low = {-2, 0.4}, .high = {2, 2.5}};
static const wg_op_check pow_check = {WG_OP_CHECK, .low = {0.3, -2}, .high = {2.5, 2}};
static const wg_op_check reciprocal_check = {WG_OP_CHECK, .low = {-2.5}, .high = {-0.4}};
static const wg_op_check kink_at_zero = {WG_OP_CHECK, .kink = at_zero};
static const wg_op_check kink_at_tie = {WG_OP_CHECK, .kink = at_tie};
static const wg_op_check where_check = {WG_OP_CHECK, .cases = where_cases};
static const wg_op_check clamp_check = {WG_OP_CHECK, .kink = at_bounds, .cases = clamp_cases};

/* ---- the table -------------------------------------------------------------------------------- */

/* clang-format off */
static const wg_op ops[] = {
    {WG_OP, .sig = "add(a: num, b: num) -> y",
     .doc = "a + b, for all dtypes but bool; integers wrap.",
     .flags = WG_OP_ELEMENTWISE | WG_OP_LINEAR | WG_OP_COMMUTATIVE,
     .partial = add_partial, KERNELS(add)},
    {WG_OP, .sig = "sub(a: num, b: num) -> y",
     .doc = "a - b, for all dtypes but bool; integers wrap.",
     .flags = WG_OP_ELEMENTWISE | WG_OP_LINEAR,
     .partial = sub_partial, KERNELS(sub)},
    {WG_OP, .sig = "mul(a: num, b: num) -> y",
     .doc = "a * b by IEEE 754 (0 * inf is NaN), for all dtypes but bool; integers wrap.",
     .flags = WG_OP_ELEMENTWISE | WG_OP_MULTILINEAR | WG_OP_COMMUTATIVE,
     .partial = mul_partial, KERNELS(mul)},
    {WG_OP, .sig = "mul0(a: float, b: float) -> y",
     .doc = "The safe product of derivative rules: 0 where a or b is 0, whatever the other is (also "
            "inf and NaN), else a * b.",
     .flags = WG_OP_ELEMENTWISE | WG_OP_MULTILINEAR | WG_OP_COMMUTATIVE,
     .partial = mul_partial, KERNELS(mul0)},
    {WG_OP, .sig = "div(a: float, b: float) -> y",
     .doc = "a / b by IEEE 754: x / 0 is inf of x's sign, 0 / 0 is NaN.",
     .flags = WG_OP_ELEMENTWISE,
     .partial = div_partial, KERNELS(div), .check = &div_check},
    {WG_OP, .sig = "neg(x: num) -> y",
     .doc = "-x, for all dtypes but bool; integers wrap.",
     .flags = WG_OP_ELEMENTWISE | WG_OP_LINEAR,
     .partial = neg_partial, KERNELS(neg)},
    {WG_OP, .sig = "pow(a: float, b: float) -> y",
     .doc = "a to the power b as C's pow: pow(x, 0) is 1, a negative a with an exponent that is not "
            "an integer is NaN. The derivative by a is b a^(b-1), and 0 for b = 0; that by b is "
            "log(a) a^b, and 0 for a <= 0.",
     .flags = WG_OP_ELEMENTWISE,
     .partial = pow_partial, KERNELS(pow), .check = &pow_check},
    {WG_OP, .sig = "square(x: num) -> y",
     .doc = "x * x, for all dtypes but bool; integers wrap.",
     .flags = WG_OP_ELEMENTWISE,
     .partial = square_partial, KERNELS(square)},
    {WG_OP, .sig = "reciprocal(x: float) -> y",
     .doc = "1 / x by IEEE 754: inf of x's sign at 0.",
     .flags = WG_OP_ELEMENTWISE,
     .partial = reciprocal_partial, KERNELS(reciprocal), .check = &reciprocal_check},
    {WG_OP, .sig = "abs(x: num) -> y",
     .doc = "|x|, for all dtypes but bool; the most negative integer stays as it is. The derivative "
            "is sign(x), 0 at 0.",
     .flags = WG_OP_ELEMENTWISE,
     .partial = abs_partial, KERNELS(abs), .check = &kink_at_zero},
    {WG_OP, .sig = "sign(x: num) -> y",
     .doc = "-1, 0 or 1 as x is below, at or above 0; NaN of NaN; for all dtypes but bool. The "
            "derivative is zero.",
     .flags = WG_OP_ELEMENTWISE,
     .partial = zero_partial, KERNELS(sign), .check = &kink_at_zero},
    {WG_OP, .sig = "maximum(a: num, b: num) -> y",
     .doc = "The larger of a and b, NaN if one is NaN; for all dtypes but bool. The derivative goes "
            "to the larger operand, in equal halves at ties (and where one is NaN).",
     .flags = WG_OP_ELEMENTWISE | WG_OP_COMMUTATIVE,
     .partial = maximum_partial, KERNELS(maximum), .check = &kink_at_tie},
    {WG_OP, .sig = "minimum(a: num, b: num) -> y",
     .doc = "The smaller of a and b, NaN if one is NaN; for all dtypes but bool. The derivative goes "
            "to the smaller operand, in equal halves at ties (and where one is NaN).",
     .flags = WG_OP_ELEMENTWISE | WG_OP_COMMUTATIVE,
     .partial = minimum_partial, KERNELS(minimum), .check = &kink_at_tie},
    {WG_OP, .sig = "where(cond: bool, a, b) -> y",
     .doc = "a where cond is true, else b; a and b have one dtype, any. The operand that is not "
            "chosen gets derivative 0, even where it is inf or NaN.",
     .flags = WG_OP_ELEMENTWISE | WG_OP_LINEAR,
     .partial = where_partial, KERNELS(where), .check = &where_check, .style = "shape=diamond"},
    {WG_OP, .sig = "clamp(x: float; lo: float, hi: float) -> y",
     .doc = "x held within [lo, hi] (lo <= hi, both rounded to x's dtype); NaN stays. The derivative "
            "is 1 from lo to hi with both bounds, 0 outside and at NaN.",
     .flags = WG_OP_ELEMENTWISE, .infer = clamp_infer,
     .partial = clamp_partial, KERNELS(clamp), .check = &clamp_check},
};
/* clang-format on */

const wg__family wg__ops_arith = {ops, sizeof ops / sizeof *ops};
