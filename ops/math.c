/* Functions of one operand: roots, exponentials, trigonometry, activations, rounding, cast.
 *
 * Each is stable for any finite operand: no intermediate result overflows where the answer does
 * not. Rules write y for the op's own output, so that nothing is computed twice. */
#include "elementwise.h"

/* ---- kernels ---------------------------------------------------------------------------------- */

/* clang-format off */
FLOAT_UNARY(sqrt, sqrt(a));
FLOAT_UNARY(rsqrt, 1 / sqrt(a));
FLOAT_UNARY(exp, exp(a));
FLOAT_UNARY(expm1, expm1(a));
FLOAT_UNARY(log, log(a));
FLOAT_UNARY(log1p, log1p(a));
FLOAT_UNARY(sin, sin(a));
FLOAT_UNARY(cos, cos(a));
FLOAT_UNARY(tan, tan(a));
FLOAT_UNARY(asin, asin(a));
FLOAT_UNARY(acos, acos(a));
FLOAT_UNARY(atan, atan(a));
FLOAT_UNARY(sinh, sinh(a));
FLOAT_UNARY(cosh, cosh(a));
FLOAT_UNARY(tanh, tanh(a));
FLOAT_UNARY(erf, erf(a));
FLOAT_UNARY(sigmoid, SELECT(a >= 0, 1, exp(-fabs(a))) / (1 + exp(-fabs(a))));
FLOAT_UNARY(softplus, SELECT(a < 0, 0, a) + log1p(exp(-fabs(a))));
FLOAT_UNARY(relu, SELECT(a < 0, 0, a));
FLOAT_UNARY(floor, floor(a));
FLOAT_UNARY(ceil, ceil(a));
FLOAT_UNARY(round, rint(a));
FLOAT_UNARY_WITH(leaky_relu, 1, SELECT(a > 0, a, p * a));
/* clang-format on */

/* ---- cast ------------------------------------------------------------------------------------- */

/* Towards zero, held within the integers there are; NaN is 0. The bounds are powers of two, which
 * both floats hold exactly. */
static inline int32_t to_i32(double x)
{
    return x >= 0x1p31 ? INT32_MAX : x < -0x1p31 ? INT32_MIN : x != x ? 0 : (int32_t)x;
}

static inline int64_t to_i64(double x)
{
    return x >= 0x1p63 ? INT64_MAX : x < -0x1p63 ? INT64_MIN : x != x ? 0 : (int64_t)x;
}

#define CAST(MAKE, FROM, TO, A, R, T, EXPR) MAKE(cast_##FROM##_##TO, 1, A, A, A, R, T, 0, EXPR)
#define CASTS_OF_INT(FROM, A)                                                                      \
    CAST(KERNEL, FROM, bool, A, uint8_t, A, a != 0)                                                \
    CAST(KERNEL, FROM, i32, A, int32_t, A, a)                                                      \
    CAST(KERNEL, FROM, i64, A, int64_t, A, a)                                                      \
    CAST(KERNEL, FROM, f32, A, float, A, a)                                                        \
    CAST(KERNEL, FROM, f64, A, double, A, a)
CASTS_OF_INT(i32, int32_t)
CASTS_OF_INT(i64, int64_t)
#define CASTS_OF_FLOAT(FROM, A)                                                                    \
    CAST(KERNEL, FROM, bool, A, uint8_t, A, a != 0)                                                \
    CAST(LOOP, FROM, i32, A, int32_t, A, to_i32(a))                                                \
    CAST(LOOP, FROM, i64, A, int64_t, A, to_i64(a))                                                \
    FLOAT_KERNEL(cast_##FROM##_##FROM, 1, A, FROM, 0, a)
CASTS_OF_FLOAT(f32, float)
CASTS_OF_FLOAT(f64, double)
CAST(KERNEL, f32, f64, float, double, float, a)
CAST(KERNEL, f64, f32, double, float, double, a)
CAST(KERNEL, bool, bool, uint8_t, uint8_t, uint8_t, a)
CAST(KERNEL, bool, i32, uint8_t, int32_t, int32_t, a)
CAST(KERNEL, bool, i64, uint8_t, int64_t, int64_t, a)
CAST(KERNEL, bool, f32, uint8_t, float, float, SELECT(a != 0, 1, 0))
CAST(KERNEL, bool, f64, uint8_t, double, double, SELECT(a != 0, 1, 0))

/* clang-format off */
#define CAST_ROWS_OF_INT(LETTER, FROM)                                                             \
    BLOCK_ROW(LETTER "->f", cast_##FROM##_f32, "a"),                                               \
    BLOCK_ROW(LETTER "->d", cast_##FROM##_f64, "a"),                                               \
    BLOCK_ROW(LETTER "->i", cast_##FROM##_i32, "a"),                                               \
    BLOCK_ROW(LETTER "->l", cast_##FROM##_i64, "a"),                                               \
    BLOCK_ROW(LETTER "->b", cast_##FROM##_bool, "a != 0")
#define CAST_ROWS_OF_FLOAT(LETTER, FROM)                                                           \
    LOOP_ROW(LETTER "->i", cast_##FROM##_i32, "to_i32(a)"),                                        \
    LOOP_ROW(LETTER "->l", cast_##FROM##_i64, "to_i64(a)"),                                        \
    BLOCK_ROW(LETTER "->b", cast_##FROM##_bool, "a != 0")
static const wg_kernel cast_kernels[] = {
    FLOAT_ROW("f->f", cast_f32_f32, "a"), BLOCK_ROW("f->d", cast_f32_f64, "a"),
    CAST_ROWS_OF_FLOAT("f", f32),
    FLOAT_ROW("d->d", cast_f64_f64, "a"), BLOCK_ROW("d->f", cast_f64_f32, "a"),
    CAST_ROWS_OF_FLOAT("d", f64),
    CAST_ROWS_OF_INT("i", i32),
    CAST_ROWS_OF_INT("l", i64),
    BLOCK_ROW("b->f", cast_bool_f32, "SELECT(a != 0, 1, 0)"),
    BLOCK_ROW("b->d", cast_bool_f64, "SELECT(a != 0, 1, 0)"),
    BLOCK_ROW("b->i", cast_bool_i32, "a"), BLOCK_ROW("b->l", cast_bool_i64, "a"),
    BLOCK_ROW("b->b", cast_bool_bool, "a"),
};
/* clang-format on */

static wg_status cast_infer(wg_infer *q)
{
    q->out[0] = q->in[0];
    q->out[0].dtype = (wg_dtype)wg_attrs_int(q->attrs, "dtype");
    return WG_OK;
}

static void cast_vjp(wg_rule *r)
{
    wg_dtype from = wg_typeof(r->in[0]).dtype, to = wg_typeof(r->out[0]).dtype;
    bool through = wg_dtype_is_float(from) && wg_dtype_is_float(to);
    r->din[0] = through ? wg_cast(r->dout[0], from) : wg_disconnected();
}

/* ---- composites ------------------------------------------------------------------------------- */

static wg_status same_infer(wg_infer *q)
{
    q->out[0] = q->in[0];
    return WG_OK;
}

static void silu_expand(wg_rule *r) { r->result[0] = wg_mul(r->in[0], wg_sigmoid(r->in[0])); }

static void gelu_expand(wg_rule *r)
{
    wg_var phi = wg_add(wg_f(1), wg_erf(wg_mul(wg_f(0.70710678118654752440), r->in[0])));
    r->result[0] = wg_mul(wg_mul(wg_f(0.5), r->in[0]), phi);
}

/* ---- partials --------------------------------------------------------------------------------- */

/* A partial from x and y, the op's operand and output. */
#define PARTIAL(NAME, GRAPH)                                                                       \
    static wg_var NAME##_partial(wg_rule *r, size_t operand)                                       \
    {                                                                                              \
        const wg_var x = r->in[0], y = r->out[0];                                                  \
        (void)operand, (void)x, (void)y;                                                           \
        return GRAPH;                                                                              \
    }

static wg_var one_plus(wg_var x) { return wg_add(wg_f(1), x); }

static wg_var one_minus(wg_var x) { return wg_sub(wg_f(1), x); }

/* 1 / sqrt(1 - x^2), without cancellation near +-1. */
static wg_var arc(wg_var x) { return wg_rsqrt(wg_mul(one_minus(x), one_plus(x))); }

#define TWO_OVER_SQRT_PI 1.12837916709551257390

PARTIAL(sqrt, wg_mul(wg_f(0.5), wg_reciprocal(y)))
PARTIAL(rsqrt, wg_mul(wg_f(-0.5), wg_mul(y, wg_square(y))))
PARTIAL(exp, y)
PARTIAL(expm1, one_plus(y))
PARTIAL(log, wg_reciprocal(x))
PARTIAL(log1p, wg_reciprocal(one_plus(x)))
PARTIAL(sin, wg_cos(x))
PARTIAL(cos, wg_neg(wg_sin(x)))
PARTIAL(tan, one_plus(wg_square(y)))
PARTIAL(asin, arc(x))
PARTIAL(acos, wg_neg(arc(x)))
PARTIAL(atan, wg_reciprocal(one_plus(wg_square(x))))
PARTIAL(sinh, wg_cosh(x))
PARTIAL(cosh, wg_sinh(x))
PARTIAL(tanh, one_minus(wg_square(y)))
PARTIAL(erf, wg_mul(wg_f(TWO_OVER_SQRT_PI), wg_exp(wg_neg(wg_square(x)))))
PARTIAL(sigmoid, wg_mul(y, one_minus(y)))
PARTIAL(softplus, wg_sigmoid(x))
PARTIAL(relu, as_number(r, wg_greater(x, wg_f(0))))

/* 1 above 0, slope up to it. */
static wg_var leaky_relu_partial(wg_rule *r, size_t operand)
{
    (void)operand;
    wg_var above = as_number(r, wg_greater(r->in[0], wg_f(0)));
    wg_var below = as_number(r, wg_less_equal(r->in[0], wg_f(0)));
    return wg_add(above, wg_mul(wg_f(wg_attrs_float(r->attrs, "slope")), below));
}

/* ---- checks ----------------------------------------------------------------------------------- */

static double at_zero(const double *x) { return fabs(x[0]); }

static double at_integers(const double *x) { return fabs(x[0] - rint(x[0])); }

static double at_halves(const double *x) { return fabs(x[0] - floor(x[0]) - 0.5); }

static const char *const leaky_relu_cases[] = {
    "graph case(x: f64[3, 4]) -> (y) {\n"
    "    y = leaky_relu(x, slope=0.2)\n"
    "}\n",
    NULL,
};
static const char *const silu_cases[] = {
    "graph case(x: f64[3, 4]) -> (y) {\n"
    "    y = silu(x)\n"
    "}\n",
    NULL,
};
static const char *const gelu_cases[] = {
    "graph case(x: f64[3, 4]) -> (y) {\n"
    "    y = gelu(x)\n"
    "}\n",
    NULL,
};
static const char *const cast_cases[] = {
    "graph case(x: f64[3, 4]) -> (y) {\n"
    "    y = cast(x, dtype=f64)\n"
    "}\n",
    "graph case(x: f64[2, 2]) -> (y) {\n"
    "    const n: i32[2] = [3, -2]\n"
    "    w = cast(n, dtype=f64)\n"
    "    y = mul(x, w)\n"
    "}\n",
    NULL,
};

static const wg_op_check positive = {WG_OP_CHECK, .low = {0.2}, .high = {3}};
static const wg_op_check log1p_check = {WG_OP_CHECK, .low = {-0.8}, .high = {3}};
static const wg_op_check tan_check = {WG_OP_CHECK, .low = {-1.2}, .high = {1.2}};
static const wg_op_check arc_check = {WG_OP_CHECK, .low = {-0.9}, .high = {0.9}};
static const wg_op_check kink_at_zero = {WG_OP_CHECK, .kink = at_zero};
static const wg_op_check kink_at_integers = {WG_OP_CHECK, .kink = at_integers};
static const wg_op_check kink_at_halves = {WG_OP_CHECK, .kink = at_halves};
static const wg_op_check leaky_relu_check = {WG_OP_CHECK, .kink = at_zero,
                                             .cases = leaky_relu_cases};
static const wg_op_check silu_check = {WG_OP_CHECK, .cases = silu_cases};
static const wg_op_check gelu_check = {WG_OP_CHECK, .cases = gelu_cases};
static const wg_op_check cast_check = {WG_OP_CHECK, .cases = cast_cases};

/* ---- the table -------------------------------------------------------------------------------- */

/* clang-format off */
static const wg_op ops[] = {
    {WG_OP, .sig = "sqrt(x: float) -> y",
     .doc = "The square root; NaN below 0. The derivative is 1 / (2 y), inf at 0.",
     .flags = WG_OP_ELEMENTWISE,
     .partial = sqrt_partial, KERNELS(sqrt), .check = &positive},
    {WG_OP, .sig = "rsqrt(x: float) -> y",
     .doc = "1 / sqrt(x): inf at 0, NaN below. The derivative is -y^3 / 2.",
     .flags = WG_OP_ELEMENTWISE,
     .partial = rsqrt_partial, KERNELS(rsqrt), .check = &positive},
    {WG_OP, .sig = "exp(x: float) -> y",
     .doc = "e to the power x.",
     .flags = WG_OP_ELEMENTWISE,
     .partial = exp_partial, KERNELS(exp)},
    {WG_OP, .sig = "log(x: float) -> y",
     .doc = "The natural logarithm: -inf at 0, NaN below. The derivative is 1 / x.",
     .flags = WG_OP_ELEMENTWISE,
     .partial = log_partial, KERNELS(log), .check = &positive},
    {WG_OP, .sig = "log1p(x: float) -> y",
     .doc = "log(1 + x), exact for small x.",
     .flags = WG_OP_ELEMENTWISE,
     .partial = log1p_partial, KERNELS(log1p), .check = &log1p_check},
    {WG_OP, .sig = "expm1(x: float) -> y",
     .doc = "exp(x) - 1, exact for small x.",
     .flags = WG_OP_ELEMENTWISE,
     .partial = expm1_partial, KERNELS(expm1)},
    {WG_OP, .sig = "sin(x: float) -> y",
     .doc = "The sine of x in radians.",
     .flags = WG_OP_ELEMENTWISE,
     .partial = sin_partial, KERNELS(sin)},
    {WG_OP, .sig = "cos(x: float) -> y",
     .doc = "The cosine of x in radians.",
     .flags = WG_OP_ELEMENTWISE,
     .partial = cos_partial, KERNELS(cos)},
    {WG_OP, .sig = "tan(x: float) -> y",
     .doc = "The tangent of x in radians. The derivative is 1 + y^2.",
     .flags = WG_OP_ELEMENTWISE,
     .partial = tan_partial, KERNELS(tan), .check = &tan_check},
    {WG_OP, .sig = "tanh(x: float) -> y",
     .doc = "The hyperbolic tangent. The derivative is 1 - y^2.",
     .flags = WG_OP_ELEMENTWISE,
     .partial = tanh_partial, KERNELS(tanh)},
    {WG_OP, .sig = "sinh(x: float) -> y",
     .doc = "The hyperbolic sine.",
     .flags = WG_OP_ELEMENTWISE,
     .partial = sinh_partial, KERNELS(sinh)},
    {WG_OP, .sig = "cosh(x: float) -> y",
     .doc = "The hyperbolic cosine.",
     .flags = WG_OP_ELEMENTWISE,
     .partial = cosh_partial, KERNELS(cosh)},
    {WG_OP, .sig = "asin(x: float) -> y",
     .doc = "The angle in [-pi/2, pi/2] whose sine is x; NaN outside [-1, 1]. The derivative is "
            "1 / sqrt(1 - x^2), inf at both ends.",
     .flags = WG_OP_ELEMENTWISE,
     .partial = asin_partial, KERNELS(asin), .check = &arc_check},
    {WG_OP, .sig = "acos(x: float) -> y",
     .doc = "The angle in [0, pi] whose cosine is x; NaN outside [-1, 1]. The derivative is "
            "-1 / sqrt(1 - x^2), -inf at both ends.",
     .flags = WG_OP_ELEMENTWISE,
     .partial = acos_partial, KERNELS(acos), .check = &arc_check},
    {WG_OP, .sig = "atan(x: float) -> y",
     .doc = "The angle in [-pi/2, pi/2] whose tangent is x. The derivative is 1 / (1 + x^2).",
     .flags = WG_OP_ELEMENTWISE,
     .partial = atan_partial, KERNELS(atan)},
    {WG_OP, .sig = "sigmoid(x: float) -> y",
     .doc = "1 / (1 + exp(-x)), stable for any finite x. The derivative is y (1 - y).",
     .flags = WG_OP_ELEMENTWISE,
     .partial = sigmoid_partial, KERNELS(sigmoid)},
    {WG_OP, .sig = "softplus(x: float) -> y",
     .doc = "log(1 + exp(x)), computed as max(x, 0) + log1p(exp(-|x|)): stable for any finite x. "
            "The derivative is sigmoid(x).",
     .flags = WG_OP_ELEMENTWISE,
     .partial = softplus_partial, KERNELS(softplus)},
    {WG_OP, .sig = "relu(x: float) -> y",
     .doc = "The larger of x and 0; NaN stays. The derivative is 1 above 0, else 0, also at 0.",
     .flags = WG_OP_ELEMENTWISE,
     .partial = relu_partial, KERNELS(relu), .check = &kink_at_zero},
    {WG_OP, .sig = "erf(x: float) -> y",
     .doc = "The error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x.",
     .flags = WG_OP_ELEMENTWISE,
     .partial = erf_partial, KERNELS(erf)},
    {WG_OP, .sig = "floor(x: float) -> y",
     .doc = "The largest integer that is not above x, as a float. The derivative is zero.",
     .flags = WG_OP_ELEMENTWISE,
     .partial = zero_partial, KERNELS(floor), .check = &kink_at_integers},
    {WG_OP, .sig = "ceil(x: float) -> y",
     .doc = "The smallest integer that is not below x, as a float. The derivative is zero.",
     .flags = WG_OP_ELEMENTWISE,
     .partial = zero_partial, KERNELS(ceil), .check = &kink_at_integers},
    {WG_OP, .sig = "round(x: float) -> y",
     .doc = "The integer nearest to x as a float, the even one of two. The derivative is zero.",
     .flags = WG_OP_ELEMENTWISE,
     .partial = zero_partial, KERNELS(round), .check = &kink_at_halves},
    {WG_OP, .sig = "leaky_relu(x: float; slope: float = 0.01) -> y",
     .doc = "x above 0, else slope * x. The derivative is 1 above 0 and slope below and at 0.",
     .flags = WG_OP_ELEMENTWISE, .infer = same_infer,
     .partial = leaky_relu_partial, KERNELS(leaky_relu), .check = &leaky_relu_check},
    {WG_OP, .sig = "silu(x: float) -> y",
     .doc = "x sigmoid(x), also called swish (Elfwing, Uchibe and Doya 2018).",
     .infer = same_infer, .expand = silu_expand, .check = &silu_check},
    {WG_OP, .sig = "gelu(x: float) -> y",
     .doc = "x Phi(x) with the normal distribution function Phi(x) = (1 + erf(x / sqrt(2))) / 2, in "
            "the exact form (Hendrycks and Gimpel 2016).",
     .infer = same_infer, .expand = gelu_expand, .check = &gelu_check},
    {WG_OP, .sig = "cast(x; dtype: dtype) -> y",
     .doc = "x as another dtype, from any to any. Float to integer cuts towards zero and saturates, "
            "NaN gives 0; integers wrap; to bool is x != 0 (true for NaN). Between floats it rounds "
            "to nearest, and the cotangent is cast back; other casts have no derivative.",
     .flags = WG_OP_ELEMENTWISE | WG_OP_LINEAR, .infer = cast_infer,
     .vjp = cast_vjp, KERNELS(cast), .check = &cast_check},
};
/* clang-format on */

const wg__family wg__ops_math = {ops, sizeof ops / sizeof *ops};
