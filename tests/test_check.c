/* The gradient checker itself: wrong derivatives are noticed, right ones on difficult ground pass,
 * kinks and noise are told, never passed in silence; and over the whole registry every mutant is
 * noticed but those of tests/equivalents.txt. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wengert.h>
#include "fault.h"

enum { SEEDS = 5 };

static wg_gradcheck_options seeded(int seed)
{
    wg_gradcheck_options o = WG_GRADCHECK_DEFAULTS;
    o.seed = (uint64_t)seed + 1;
    return o;
}

/* ---- ops with mistakes ----------------------------------------------------------------------- */

/* Elementwise f64 loops of the test's own ops. */
#define UNARY(NAME, EXPR)                                                                          \
    static void NAME(size_t n, char *const *data, const ptrdiff_t *stride, const double *attrs,    \
                     void *user)                                                                   \
    {                                                                                              \
        for (size_t i = 0; i < n; i++) {                                                           \
            double a = *(double *)(void *)(data[0] + (ptrdiff_t)i * stride[0]);                    \
            *(double *)(void *)(data[1] + (ptrdiff_t)i * stride[1]) = (EXPR);                      \
        }                                                                                          \
        (void)attrs, (void)user;                                                                   \
    }
UNARY(loop_sin, sin(a))
UNARY(loop_x_sin, a *sin(a))

static void loop_density(size_t n, char *const *data, const ptrdiff_t *stride, const double *attrs,
                         void *user)
{
    for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++) {
        double x = *(double *)(void *)(data[0] + i * stride[0]);
        double mean = *(double *)(void *)(data[1] + i * stride[1]);
        double sigma = *(double *)(void *)(data[2] + i * stride[2]);
        double z = (x - mean) / sigma;
        *(double *)(void *)(data[3] + i * stride[3]) =
            exp(-z * z / 2) / (sigma * sqrt(2 * 3.14159265358979323846));
    }
    (void)attrs, (void)user;
}

static const wg_kernel sin_rows[] = {{WG_KERNEL, .types = "d->d", .loop = loop_sin}};
static const wg_kernel x_sin_rows[] = {{WG_KERNEL, .types = "d->d", .loop = loop_x_sin}};
static const wg_kernel density_rows[] = {{WG_KERNEL, .types = "ddd->d", .loop = loop_density}};
#define ROWS(rows) .kernels = rows, .nkernels = 1

static wg_var right_sin(wg_rule *r, size_t k) { return wg_cos(r->in[k]); }
static wg_var wrong_sign(wg_rule *r, size_t k) { return wg_neg(wg_cos(r->in[k])); }
static wg_var wrong_factor(wg_rule *r, size_t k) { return wg_mul(wg_f(2), wg_cos(r->in[k])); }
static wg_var tiny_error(wg_rule *r, size_t k) { return wg_mul(wg_f(1.0001), wg_cos(r->in[k])); }
static wg_var zero(wg_rule *r, size_t k) { return (void)r, (void)k, wg_none(); }
static wg_var stopped(wg_rule *r, size_t k) { return wg_stop_gradient(wg_cos(r->in[k])); }
static wg_var missing_term(wg_rule *r, size_t k) { return wg_sin(r->in[k]); }
static wg_var both_terms(wg_rule *r, size_t k)
{
    return wg_add(wg_sin(r->in[k]), wg_mul(r->in[k], wg_cos(r->in[k])));
}
static wg_var nan_above_one(wg_rule *r, size_t k)
{
    wg_var x = r->in[k];
    return wg_where(wg_greater(x, wg_f(1)), wg_f(NAN), wg_cos(x));
}

/* Of the normal density: p z / sigma by the mean, its opposite by x, p (z^2 - 1) / sigma by sigma.
 * The slip of some course notes has 1 / (sigma^2 sqrt(2 pi)) for the 1 / sigma of that term. */
static wg_var density_partial(wg_rule *r, size_t k, bool slip)
{
    wg_var x = r->in[0], mean = r->in[1], sigma = r->in[2], p = r->out[0];
    wg_var inverse = wg_reciprocal(sigma), z = wg_mul(wg_sub(x, mean), inverse);
    if (k < 2)
        return wg_mul(wg_f(k ? 1 : -1), wg_mul(p, wg_mul(z, inverse)));
    wg_var term = slip ? wg_mul(wg_f(0.39894228040143267794), wg_square(inverse)) : inverse;
    return wg_mul(p, wg_sub(wg_mul(wg_square(z), inverse), term));
}
static wg_var density_right(wg_rule *r, size_t k) { return density_partial(r, k, false); }
static wg_var density_slip(wg_rule *r, size_t k) { return density_partial(r, k, true); }
static const wg_op_check density_check = {WG_OP_CHECK, {-2, -1, 0.5}, {2, 1, 2}, NULL, NULL, 0, 0};

/* y = x s, x [n, 2] times s [2], as an op of its own. */
static wg_status scale_infer(wg_infer *q)
{
    q->out[0] = q->in[0];
    return WG_OK;
}
static wg_status scale_run(const wg_kernel_call *c)
{
    const double *x = c->in[0].data, *s = c->in[1].data;
    double *y = c->out[0].data;
    for (int64_t i = 0; i < wg_shape_count(c->in[0].type->shape); i++)
        y[i] = x[i] * s[i % 2];
    return WG_OK;
}
static const wg_kernel scale_rows[] = {{WG_KERNEL, .types = "dd->d", .run = scale_run}};

typedef wg_var (*answer_fn)(wg_rule *r, wg_var right);
static wg_var times(wg_var v, double x) { return wg_mul(v, wg_f(x)); }
static wg_var same(wg_rule *r, wg_var v) { return (void)r, v; }

/* Right but for what `data`, a pair of answer_fn, makes of the answers. */
static void scale_vjp(wg_rule *r)
{
    const answer_fn *answer = r->data;
    wg_var g = r->dout[0];
    if (r->need[0])
        r->din[0] = answer[0](r, wg_mul0(g, r->in[1]));
    if (r->need[1])
        r->din[1] = answer[1](r, wg_sum_with(wg_mul0(g, r->in[0]), WG_AXES(0), false));
}
static void scale_jvp_twice(wg_rule *r)
{
    wg_var a = wg_is_none(r->tin[0]) ? wg_none() : wg_mul(r->tin[0], r->in[1]);
    wg_var b = wg_is_none(r->tin[1]) ? wg_none() : wg_mul(r->in[0], r->tin[1]);
    r->tout[0] = times(wg_is_none(a) ? b : wg_is_none(b) ? a : wg_add(a, b), 2);
}

static wg_var mean_for_sum(wg_rule *r, wg_var v) { return (void)r, times(v, 1.0 / 3); }
static wg_var reversed(wg_rule *r, wg_var v) { return (void)r, wg_reverse_with(v, WG_AXES(0)); }
static wg_var first_row(wg_rule *r, wg_var v)
{
    wg_var m = wg_mul0(r->dout[0], r->in[0]);
    const int64_t start[] = {0, 0}, stop[] = {1, 2};
    (void)v;
    return wg_reshape(wg_slice_with(m, start, 2, stop, 2, NULL, 0), WG_SHAPE(2));
}
static wg_var other_axis(wg_rule *r, wg_var v)
{
    const int64_t start[] = {0}, stop[] = {2};
    wg_var sums = wg_sum_with(wg_mul0(r->dout[0], r->in[0]), WG_AXES(1), false);
    (void)v;
    return wg_slice_with(sums, start, 1, stop, 1, NULL, 0);
}
static wg_var when_alone(wg_rule *r, wg_var v)
{
    return r->need[0] && r->need[1] ? v : times(v, -1);
}
static wg_var nonlinear(wg_rule *r, wg_var v)
{
    return (void)r, wg_add(v, times(wg_square(v), 1e-5));
}
static wg_var zero_over_zero(wg_rule *r, wg_var v) { return (void)r, wg_mul(v, wg_div(v, v)); }
static wg_var with_offset(wg_rule *r, wg_var v) { return (void)r, wg_add(v, wg_f(1e-3)); }
static wg_var dropped(wg_rule *r, wg_var v) { return (void)r, (void)v, wg_none(); }
/* One element of many, times 0. */
static wg_var one_element(wg_rule *r, wg_var v)
{
    wg_var at = wg_iota_with(r->tape, wg_typeof(v).shape, 0, WG_I32);
    return wg_where(wg_equal(at, wg_i(77)), wg_f(0), v);
}

/* clang-format off */
#define ANSWERS(name, a, b) static const answer_fn name[2] = {a, b};
ANSWERS(right, same, same)             ANSWERS(by_mean, same, mean_for_sum)
ANSWERS(by_row, same, first_row)       ANSWERS(by_axis, same, other_axis)
ANSWERS(turned, reversed, same)        ANSWERS(alone, when_alone, same)
ANSWERS(bent, nonlinear, nonlinear)    ANSWERS(nan_at_zero, same, zero_over_zero)
ANSWERS(offset, same, with_offset)     ANSWERS(no_s, same, dropped)
ANSWERS(element, one_element, same)

static const char *const scale_cases[] = {
    "graph case(x: f64[3, 2], s: f64[2]) -> (y) { y = scale_op(x, s) }", NULL};
static const wg_op_check scale_check = {WG_OP_CHECK, {0}, {0}, NULL, scale_cases, 0, 0};
static const char *const large_cases[] = {
    "graph case(x: f64[500, 2], s: f64[2]) -> (y) { y = scale_op(x, s) }", NULL};
static const wg_op_check large_check = {WG_OP_CHECK, {0}, {0}, NULL, large_cases, 0, 0};

#define SIN .sig = "sin_op(x: float) -> y", .flags = WG_OP_ELEMENTWISE, ROWS(sin_rows)
#define X_SIN .sig = "x_sin_op(x: float) -> y", .flags = WG_OP_ELEMENTWISE, ROWS(x_sin_rows)
#define DENSITY                                                                                    \
    .sig = "density_op(x: float, mean: float, sigma: float) -> y", .flags = WG_OP_ELEMENTWISE,     \
    ROWS(density_rows), .check = &density_check
#define SCALE(answers)                                                                             \
    .sig = "scale_op(x: float, s: float) -> y", .infer = scale_infer, .vjp = scale_vjp,            \
    ROWS(scale_rows), .check = &scale_check, .data = (void *)answers

/* A mistake, and how the report tells it (NULL: in one way or another; "": it is right). */
static const struct {
    const char *about, *op, *what;
    wg_op def;
} made[] = {
    {"right",                 "sin_op", "",    {WG_OP, SIN, .partial = right_sin}},
    {"wrong sign",            "sin_op", "vjp", {WG_OP, SIN, .partial = wrong_sign}},
    {"wrong factor",          "sin_op", "vjp", {WG_OP, SIN, .partial = wrong_factor}},
    {"tiny error",            "sin_op", "vjp", {WG_OP, SIN, .partial = tiny_error}},
    {"no derivative",         "sin_op", "vjp", {WG_OP, SIN, .partial = zero}},
    {"second order",          "sin_op", "second", {WG_OP, SIN, .partial = stopped}},
    {"both terms",            "x_sin_op", "",    {WG_OP, X_SIN, .partial = both_terms}},
    {"missing term",          "x_sin_op", "vjp", {WG_OP, X_SIN, .partial = missing_term}},
    {"NaN above 1",           "sin_op", NULL, {WG_OP, SIN, .partial = nan_above_one}},
    {"density",               "density_op", "",    {WG_OP, DENSITY, .partial = density_right}},
    {"slip in the density",   "density_op", "vjp", {WG_OP, DENSITY, .partial = density_slip}},
    {"right rule",            "scale_op", "",    {WG_OP, SCALE(right)}},
    {"mean in place of sum",  "scale_op", "vjp", {WG_OP, SCALE(by_mean)}},
    {"no broadcast sum",      "scale_op", "vjp", {WG_OP, SCALE(by_row)}},
    {"sum over other axis",   "scale_op", "vjp", {WG_OP, SCALE(by_axis)}},
    {"reversed",              "scale_op", "vjp", {WG_OP, SCALE(turned)}},
    {"one operand alone",     "scale_op", "by operand", {WG_OP, SCALE(alone)}},
    {"nonlinear",             "scale_op", "vjp", {WG_OP, SCALE(bent)}},
    {"NaN at cotangent 0",    "scale_op", NULL, {WG_OP, SCALE(nan_at_zero)}},
    {"offset",                "scale_op", "vjp", {WG_OP, SCALE(offset)}},
    {"an operand left out",   "scale_op", "vjp", {WG_OP, SCALE(no_s)}},
    {"JVP alone",             "scale_op", "jvp", {WG_OP, SCALE(right), .jvp = scale_jvp_twice}},
    {"right at large",        "scale_op", "",    {WG_OP, SCALE(right)}},
    {"element of a large one", "scale_op", "vjp", {WG_OP, SCALE(element)}},
};
/* clang-format on */
enum { MADE = sizeof made / sizeof *made };

START_TEST(mistakes_are_noticed)
{
    int row = _i / SEEDS;
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg_gradcheck_options o = seeded(_i % SEEDS);
    wg_op op = made[row].def;
    wg_check_report r;
    const char *error = "";
    if (strstr(made[row].about, "large"))
        op.check = &large_check;
    ck_assert_msg(!wg_register(ctx, &op, &error), "%s", error);
    ck_assert_int_eq(wg_gradcheck_op(ctx, made[row].op, &o, &r), WG_OK);
    const char *what = made[row].what;
    bool right_op = what && !*what;
    ck_assert_msg(r.verdict == (right_op ? WG_CHECK_PASSED : WG_CHECK_FAILED),
                  "%s: verdict %d, %s, error %g: %s", made[row].about, (int)r.verdict, r.what,
                  r.error, r.message);
    ck_assert(right_op ? r.error <= 1 : r.error > 1);
    ck_assert_msg(right_op || !what || strstr(r.what, what), "%s: told as %s, not %s",
                  made[row].about, r.what, what);
    ck_assert_int_gt(r.compared, 0);
    wg_ctx_free(ctx);
}
END_TEST

/* ---- graphs ---------------------------------------------------------------------------------- */

typedef struct lab {
    wg_ctx *ctx;
    wg_tape *t;
} lab;

static lab lab_open(void)
{
    lab l = {wg_ctx_new(NULL), NULL};
    ck_assert_ptr_nonnull(l.ctx);
    l.t = wg_tape_new(l.ctx);
    ck_assert_ptr_nonnull(l.t);
    return l;
}

static void lab_close(lab *l)
{
    wg_tape_free(l->t);
    wg_ctx_free(l->ctx);
}

static wg_var input(lab *l, const char *name, wg_shape shape)
{
    return wg_input(l->t, name, WG_F64, shape);
}

static wg_var small_x(lab *l) { return input(l, "x", WG_SHAPE(3)); }

/* Values by the test, scaled by the size that `user` points to. */
static void sample_scaled(void *user, const char *name, size_t count, double *x)
{
    (void)name;
    for (size_t i = 0; i < count; i++)
        x[i] *= *(double *)user;
}

static void sample_zero(void *user, const char *name, size_t count, double *x)
{
    (void)user, (void)name;
    memset(x, 0, count * sizeof *x);
}

static wg_var build_large(lab *l) { return wg_sin(times(small_x(l), 1e-8)); }
static wg_var build_small(lab *l) { return wg_exp(times(small_x(l), 1e8)); }
static wg_var build_tiny_slope(lab *l) { return times(wg_sin(small_x(l)), 1e-12); }
static wg_var build_huge_slope(lab *l) { return times(wg_sin(small_x(l)), 1e12); }
static wg_var build_mixed(lab *l)
{
    const double s[3] = {1e-6, 1, 1e6};
    return wg_mul(wg_sin(small_x(l)), wg_const(l->t, WG_F64, WG_SHAPE(3), s));
}
static wg_var build_cancel(lab *l)
{
    return wg_square(wg_sub(wg_add(small_x(l), wg_f(1e5)), wg_f(1e5)));
}
static wg_var build_steep(lab *l) { return wg_exp(times(small_x(l), 20)); }
static wg_var build_guarded(lab *l)
{
    wg_var x = small_x(l);
    return wg_where(wg_greater(x, wg_f(0.5)), wg_log(x), wg_f(0));
}
static wg_var build_relu_net(lab *l)
{
    wg_var x = input(l, "x", WG_SHAPE(4, 6)), w = input(l, "w", WG_SHAPE(6, 20));
    wg_var v = wg_param(l->t, "v", WG_F64, WG_SHAPE(20, 2), wg_init_zeros());
    return wg_mean(wg_square(wg_matmul(wg_relu(wg_matmul(x, w)), v)));
}
static wg_var build_f32(lab *l)
{
    wg_var x = wg_input(l->t, "x", WG_F32, WG_SHAPE(4, 3));
    wg_var y = wg_input(l->t, "labels", WG_I32, WG_SHAPE(4));
    wg_var w = wg_param(l->t, "w", WG_F32, WG_SHAPE(3, 5), wg_init_xavier());
    return wg_mean(wg_softmax_xent(wg_matmul(x, w), y));
}
static wg_var build_cast(lab *l)
{
    wg_var x = wg_input(l->t, "x", WG_F32, WG_SHAPE(3));
    return wg_cast(wg_square(wg_cast(wg_sin(x), WG_F32)), WG_F64);
}
static wg_var build_stopped(lab *l)
{
    wg_var x = small_x(l);
    return wg_mul(wg_stop_gradient(wg_exp(wg_mul(x, wg_stop_gradient(x)))), wg_sin(x));
}
static wg_var build_constant(lab *l)
{
    wg_var x = small_x(l);
    return wg_sum(wg_softmax(x));
}
static wg_var build_shared(lab *l)
{
    wg_var x = small_x(l), y = wg_mul(x, wg_sin(x));
    return wg_add(wg_mul(y, y), wg_sub(y, x));
}
static wg_var build_large_operand(lab *l)
{
    return wg_tanh(wg_sum_with(wg_square(input(l, "x", WG_SHAPE(40, 50))), WG_AXES(1), false));
}
static wg_var build_scan(lab *l)
{
    wg_var h = input(l, "h", WG_SHAPE(2)), xs = input(l, "xs", WG_SHAPE(4, 2)), outs[4];
    wg_var w = input(l, "w", WG_SHAPE(2)); /* captured */
    wg_tape *body = wg_fn_begin(l->t, "step");
    wg_var a = wg_fn_input(body, "a", WG_F64, WG_SHAPE(2));
    wg_var x = wg_fn_input(body, "x", WG_F64, WG_SHAPE(2));
    wg_var n = wg_tanh(wg_add(wg_mul(a, w), x)), both[] = {n, wg_sin(n)};
    wg_fn fn = wg_fn_end(body, both, 2);
    ck_assert_int_eq(wg_scan(fn, &h, 1, &xs, 1, NULL, outs, 2), WG_OK);
    return wg_add(wg_sum(outs[0]), wg_sum(outs[1]));
}

/* clang-format off */
static const struct {
    const char *about;
    wg_var (*build)(lab *l);
    double scale; /* of the values; 0: all are 0 */
} difficult[] = {
    {"large values", build_large, 1e8},       {"small values", build_small, 1e-8},
    {"tiny slopes", build_tiny_slope, 1},     {"huge slopes", build_huge_slope, 1},
    {"slopes of all sizes", build_mixed, 1},  {"cancellation", build_cancel, 1},
    {"a steep function", build_steep, 1},     {"log at 0, guarded", build_guarded, 0},
    {"log below 0, guarded", build_guarded, 1}, {"many kinks", build_relu_net, 1},
    {"a model in f32", build_f32, 1},         {"casts", build_cast, 1},
    {"stop_gradient", build_stopped, 1},      {"a constant", build_constant, 1},
    {"values used twice", build_shared, 1},   {"a large operand", build_large_operand, 0.1},
    {"scan", build_scan, 1},
};
/* clang-format on */
enum { DIFFICULT = sizeof difficult / sizeof *difficult };

START_TEST(right_derivatives_pass)
{
    int row = _i / SEEDS;
    lab l = lab_open();
    wg_gradcheck_options o = seeded(_i % SEEDS);
    double scale = difficult[row].scale;
    wg_check_report r;
    o.sample = scale > 0 ? sample_scaled : sample_zero;
    o.user = &scale;
    wg_var y = difficult[row].build(&l);
    ck_assert_str_eq(wg_tape_error(l.t), "");
    uint64_t before = wg_tape_hash(l.t);
    ck_assert_int_eq(wg_gradcheck(l.t, &y, 1, NULL, 0, &o, &r), WG_OK);
    ck_assert_msg(r.verdict == WG_CHECK_PASSED,
                  "%s: verdict %d: %s of %s[%ld]: expected %.12g, actual %.12g, error %g: %s",
                  difficult[row].about, (int)r.verdict, r.what, r.operand, (long)r.element,
                  r.expected, r.actual, r.error, r.message);
    ck_assert_int_gt(r.compared, 10);
    ck_assert_msg(wg_tape_hash(l.t) == before, "the tape was changed");
    lab_close(&l);
}
END_TEST

/* The same graphs with a wrong loss beside: what the scale hides must not be hidden. */
START_TEST(errors_show_at_any_scale)
{
    static const double scales[] = {1e-8, 1e-3, 1, 1e3, 1e8};
    static const double slopes[] = {1e-12, 1, 1e12};
    double scale = scales[_i % 5], slope = slopes[_i / 5];
    lab l = lab_open();
    wg_gradcheck_options o = seeded(_i);
    wg_op op = {WG_OP, SIN, .partial = tiny_error};
    wg_check_report r;
    o.sample = sample_scaled;
    o.user = &scale;
    ck_assert_int_eq(wg_register(l.ctx, &op, NULL), WG_OK);
    wg_var x = times(small_x(&l), 1 / scale), y;
    ck_assert_int_eq(wg_apply(l.t, "sin_op", &x, 1, NULL, 0, &y, 1), WG_OK);
    y = times(y, slope);
    ck_assert_int_eq(wg_gradcheck(l.t, &y, 1, NULL, 0, &o, &r), WG_OK);
    ck_assert_msg(r.verdict == WG_CHECK_FAILED, "scale %g, slope %g: verdict %d", scale, slope,
                  (int)r.verdict);
    lab_close(&l);
}
END_TEST

/* ---- what cannot be decided ------------------------------------------------------------------ */

static wg_check_report check_at(lab *l, wg_var y,
                                void (*sample)(void *, const char *, size_t, double *))
{
    wg_gradcheck_options o = seeded(0);
    wg_check_report r;
    double scale = 1;
    o.sample = sample;
    o.user = &scale;
    ck_assert_int_eq(wg_gradcheck(l->t, &y, 1, NULL, 0, &o, &r), WG_OK);
    return r;
}

START_TEST(kinks_are_told)
{
    lab l = lab_open();
    wg_var x = small_x(&l);
    wg_var kinks[] = {wg_relu(x), wg_abs(x), wg_sign(x), wg_maximum(x, wg_neg(x)),
                      wg_mul(x, wg_abs(x))};
    for (size_t i = 0; i < sizeof kinks / sizeof *kinks; i++) {
        wg_check_report r = check_at(&l, kinks[i], sample_zero);
        ck_assert_msg(r.verdict == WG_CHECK_UNRESOLVED, "%zu: verdict %d", i, (int)r.verdict);
        ck_assert_int_gt(r.kinks, 0);
        ck_assert_ptr_nonnull(strstr(r.message, "kinks"));
    }
    wg_check_report r = check_at(&l, kinks[0], sample_scaled);
    ck_assert_int_eq(r.verdict, WG_CHECK_PASSED);
    lab_close(&l);
}
END_TEST

START_TEST(noise_is_told)
{
    lab l = lab_open();
    wg_var x = small_x(&l), far = wg_f(3e10);
    wg_check_report r = check_at(&l, wg_sub(wg_add(x, far), far), sample_scaled);
    ck_assert_int_eq(r.verdict, WG_CHECK_UNRESOLVED);
    r = check_at(&l, wg_add(times(x, 0), wg_div(wg_f(1), times(x, 0))), sample_scaled);
    ck_assert_int_eq(r.verdict, WG_CHECK_UNRESOLVED); /* infinite */
    lab_close(&l);
}
END_TEST

START_TEST(nan_fails)
{
    lab l = lab_open();
    wg_var x = small_x(&l), minus = wg_neg(wg_add(wg_square(x), wg_f(1)));
    wg_check_report r = check_at(&l, wg_log(minus), sample_scaled);
    ck_assert_int_eq(r.verdict, WG_CHECK_FAILED);
    ck_assert_ptr_nonnull(strstr(r.message, "NaN"));
    /* sqrt has slope inf at 0: behind a product with 0 the derivative is 0, which is right */
    r = check_at(&l, wg_add(wg_sqrt(times(x, 0)), x), sample_scaled);
    ck_assert_int_eq(r.verdict, WG_CHECK_PASSED);
    lab_close(&l);
}
END_TEST

START_TEST(what_has_no_derivative_is_an_error)
{
    lab l = lab_open();
    const int64_t key = 7;
    wg_var p = input(&l, "p", WG_SCALAR), k = wg_const(l.t, WG_I64, WG_SCALAR, &key);
    wg_var draws = wg_where(wg_random_bernoulli(k, p, WG_SHAPE(3)), p, wg_f(1));
    wg_check_report r = check_at(&l, draws, sample_scaled);
    ck_assert_int_eq(r.verdict, WG_CHECK_PASSED); /* bools end the path */
    wg_var i = wg_argmax(p, 0);
    (void)i;
    wg_tape_clear_error(l.t);
    r = check_at(&l, wg_i(3), sample_scaled);
    ck_assert_int_eq(r.verdict, WG_CHECK_ERROR);
    wg_check_report none;
    ck_assert_int_eq(wg_gradcheck_op(l.ctx, "no_such_op", NULL, &none), WG_NOT_FOUND);
    ck_assert_int_eq(wg_gradcheck(NULL, &p, 1, NULL, 0, NULL, &none), WG_INVALID);
    lab_close(&l);
}
END_TEST

START_TEST(nothing_to_differentiate_passes)
{
    lab l = lab_open();
    wg_var x = small_x(&l), n = wg_argmax(x, 0);
    wg_check_report r = check_at(&l, n, sample_scaled);
    ck_assert_int_eq(r.verdict, WG_CHECK_PASSED);
    ck_assert_int_eq(r.compared, 0);
    ck_assert_str_eq(r.message, "nothing to differentiate");
    ck_assert_int_eq(wg_gradcheck_op(l.ctx, "less", NULL, &r), WG_OK);
    ck_assert_int_eq(r.verdict, WG_CHECK_PASSED);
    ck_assert_int_eq(r.compared, 0);
    lab_close(&l);
}
END_TEST

UNARY(loop_wide, 2 * a)
static void loop_single(size_t n, char *const *data, const ptrdiff_t *stride, const double *attrs,
                        void *user)
{
    for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++)
        *(float *)(void *)(data[1] + i * stride[1]) =
            2.0001f * *(float *)(void *)(data[0] + i * stride[0]);
    (void)attrs, (void)user;
}
static wg_var two(wg_rule *r, size_t k) { return (void)r, (void)k, wg_f(2); }

START_TEST(wrong_f32_loops_are_found)
{
    const wg_kernel rows[] = {{WG_KERNEL, .types = "f->f", .loop = loop_single},
                              {WG_KERNEL, .types = "d->d", .loop = loop_wide}};
    wg_op op = {WG_OP,
                .sig = "twice_op(x: float) -> y",
                .flags = WG_OP_ELEMENTWISE,
                .partial = two,
                .kernels = rows,
                .nkernels = 2};
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg_check_report r;
    ck_assert_int_eq(wg_register(ctx, &op, NULL), WG_OK);
    ck_assert_int_eq(wg_gradcheck_op(ctx, "twice_op", NULL, &r), WG_OK);
    ck_assert_int_eq(r.verdict, WG_CHECK_FAILED);
    ck_assert_str_eq(r.what, "f32");
    wg_ctx_free(ctx);
}
END_TEST

/* ---- models ---------------------------------------------------------------------------------- */

static wg_check_report check_text(wg_ctx *ctx, const char *text, int seed)
{
    wg_gradcheck_options o = seeded(seed);
    wg_check_report r;
    char *error = NULL;
    wg_graph *g = wg_parse(ctx, text, strlen(text), "test", &error);
    ck_assert_msg(g, "%s", error);
    ck_assert_int_eq(
        wg_gradcheck(wg_graph_tape(g), wg_graph_outputs(g), wg_graph_noutputs(g), NULL, 0, &o, &r),
        WG_OK);
    wg_graph_free(g);
    return r;
}

/* Kinks close to any point, flat parts, bounded domains: all right. */
static const struct {
    const char *message, *text;
} models[] = {
    {"", "graph g(x: f64[32, 64], w: f64[64, 128], b: f64[128], v: f64[128, 32], u: f64[32, 10], "
         "y: i64[32]) -> (l) { a = matmul(x, w)\n c = add(a, b)\n h = relu(c)\n"
         "d = matmul(h, v)\n k = relu(d)\n o = matmul(k, u)\n s = softmax_xent(o, y)\n"
         "l = mean(s) }"},
    {"", "graph g(x: f64[40, 20], w: f64[20, 5], t: f64[40, 5]) -> (l) { a = matmul(x, w)\n"
         "d = sub(a, t)\n e = abs(d)\n l = mean(e) }"},
    {"", "graph g(x: f64[20, 20], w: f64[20, 30]) -> (l) { a = matmul(x, w)\n"
         "h = max(a, axes=[1])\n l = sum(h) }"},
    {"", "graph g(x: f64[4]) -> (y) { a = mul(x, 50)\n y = sigmoid(a) }"},
    {"", "graph g(x: f64[4]) -> (y) { a = mul(x, 100)\n y = softmax(a) }"},
    {"", "graph g(x: f64[4]) -> (y) { a = mul(x, 100)\n y = tanh(a) }"},
    {"[0.1, 2]", "graph g(x: f64[4]) -> (y) { y = log(x) }"},
    {"[-0.5, 0.5]", "graph g(x: f64[9]) -> (y) { a = add(x, 0.6)\n b = log(a)\n c = neg(x)\n"
                    "d = add(c, 0.6)\n e = log(d)\n y = add(b, e) }"},
    {"sub-tape", "graph g(h: f64[4], xs: f64[3, 4]) -> (hn) { fn s(h: f64[4], x: f64[4]) -> (o) {"
                 "q = stop_gradient(x)\n a = mul(h, q)\n o = tanh(a) }\n"
                 "(hn, hist) = scan(h, xs, fn=s, carries=1, xs=1, length=[3]) }"},
    {"", "graph g(x: f64[1, 4], k: i64[3]) -> (y) { y = gather(x, k, axis=0) }"}, /* k: zeros */
};
enum { MODELS = sizeof models / sizeof *models };

START_TEST(right_models_pass)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg_check_report r = check_text(ctx, models[_i % MODELS].text, _i / MODELS);
    ck_assert_msg(r.verdict == WG_CHECK_PASSED, "%s: verdict %d: expected %.12g, actual %.12g: %s",
                  models[_i % MODELS].text, (int)r.verdict, r.expected, r.actual, r.message);
    ck_assert_msg(strstr(r.message, models[_i % MODELS].message), "message: %s", r.message);
    ck_assert_int_gt(r.compared, 10);
    wg_ctx_free(ctx);
}
END_TEST

/* Where a mistake hides: behind a large output, a bool, an integer, a flat part. */
static const char *const hidden[] = {
    "graph g(x: f64[4]) -> (y, z) { y = mul(x, 1e10)\n z = sin_op(x) }",
    "graph g(x: f64[4]) -> (y, z) { y = mul(x, 1e10)\n a = sin_op(x)\n z = mul(a, 1e-10) }",
    "graph g(x: f64[4], m: bool[4]) -> (y) { a = sin_op(x)\n b = sin(x)\n y = where(m, a, b) }",
    "graph g(x: f64[4], m: bool) -> (y) { a = sin_op(x)\n b = sin(x)\n y = where(m, b, a) }",
    "graph g(x: f64[4], k: i64) -> (y) { a = sin_op(x)\n b = sin(x)\n i = equal(k, 1)\n"
    "y = where(i, a, b) }",
    "graph g(x: f64[4], w: f64[4]) -> (y) { a = mul(x, 100)\n b = relu(a)\n c = sin_op(w)\n"
    "y = mul(b, c) }",
};
enum { HIDDEN = sizeof hidden / sizeof *hidden };

START_TEST(hidden_mistakes_are_found)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg_op op = {WG_OP, SIN, .partial = tiny_error};
    ck_assert_int_eq(wg_register(ctx, &op, NULL), WG_OK);
    wg_check_report r = check_text(ctx, hidden[_i % HIDDEN], _i / HIDDEN);
    ck_assert_msg(r.verdict == WG_CHECK_FAILED, "%s: verdict %d, %s", hidden[_i % HIDDEN],
                  (int)r.verdict, r.message);
    wg_ctx_free(ctx);
}
END_TEST

START_TEST(options_have_limits)
{
    lab l = lab_open();
    wg_var x = input(&l, "x", WG_SHAPE(100)), y = wg_sum(wg_square(x));
    const int64_t many[] = {100000, INT64_MAX / 2 + 3, INT64_MAX};
    wg_check_report r;
    for (size_t i = 0; i < 3; i++) {
        wg_gradcheck_options o = seeded(0);
        o.exhaustive = many[i];
        ck_assert_int_eq(wg_gradcheck(l.t, &y, 1, NULL, 0, &o, &r), WG_OK);
        ck_assert_int_eq(r.verdict, WG_CHECK_PASSED);
        ck_assert_int_gt(r.compared, 100);
    }
    wg_gradcheck_options o[] = {seeded(0), seeded(0), seeded(0), seeded(0)};
    o[0].directions = INT32_MAX;
    o[1].rtol = NAN;
    o[2].rtol = INFINITY;
    o[3].atol = NAN;
    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(wg_gradcheck(l.t, &y, 1, NULL, 0, &o[i], &r), WG_INVALID);
        ck_assert_int_eq(r.verdict, WG_CHECK_ERROR);
        ck_assert_str_ne(r.message, "");
        ck_assert_int_eq(wg_gradcheck_op(l.ctx, "sin", &o[i], &r), WG_INVALID);
    }
    lab_close(&l);
}
END_TEST

START_TEST(wrong_bounds_are_told)
{
    const wg_op_check bounds[] = {{WG_OP_CHECK, {2}, {1}, NULL, NULL, 0, 0},
                                  {WG_OP_CHECK, {0, NAN}, {0, 1}, NULL, NULL, 0, 0},
                                  {WG_OP_CHECK, {0}, {INFINITY}, NULL, NULL, 0, 0}};
    for (size_t i = 0; i < 3; i++) {
        wg_ctx *ctx = wg_ctx_new(NULL);
        wg_op op = {WG_OP, SIN, .partial = wrong_sign, .check = &bounds[i]};
        wg_check_report r;
        ck_assert_int_eq(wg_register(ctx, &op, NULL), WG_OK);
        ck_assert_int_eq(wg_gradcheck_op(ctx, "sin_op", NULL, &r), WG_OK);
        ck_assert_int_eq(r.verdict, WG_CHECK_ERROR);
        ck_assert_ptr_nonnull(strstr(r.message, "low"));
        wg_ctx_free(ctx);
    }
}
END_TEST

/* ---- the report ------------------------------------------------------------------------------ */

static wg_var wrong_at_two(wg_rule *r, wg_var v)
{
    wg_var at = wg_reshape(wg_iota_with(r->tape, WG_SHAPE(6), 0, WG_I32), WG_SHAPE(3, 2));
    return wg_where(wg_equal(at, wg_i(2)), wg_add(v, wg_f(5)), v);
}
ANSWERS(at_two, wrong_at_two, same)

START_TEST(the_worst_element_is_told)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg_op op = {WG_OP, SCALE(at_two)};
    wg_check_report r, again;
    ck_assert_int_eq(wg_register(ctx, &op, NULL), WG_OK);
    ck_assert_int_eq(wg_gradcheck_op(ctx, "scale_op", NULL, &r), WG_OK);
    ck_assert_int_eq(r.verdict, WG_CHECK_FAILED);
    ck_assert_str_eq(r.operand, "x");
    ck_assert_int_eq(r.element, 2);
    ck_assert_double_eq_tol(r.actual - r.expected, 5, 1e-6);
    ck_assert(r.step > 0);
    ck_assert_int_eq(wg_gradcheck_op(ctx, "scale_op", NULL, &again), WG_OK);
    ck_assert_mem_eq(&r, &again, offsetof(wg_check_report, message));
    wg_ctx_free(ctx);
}
END_TEST

START_TEST(chosen_targets_and_order)
{
    lab l = lab_open();
    wg_gradcheck_options o = seeded(0);
    wg_op op = {WG_OP, SIN, .partial = stopped};
    wg_check_report r;
    ck_assert_int_eq(wg_register(l.ctx, &op, NULL), WG_OK);
    wg_var x = small_x(&l), z = input(&l, "z", WG_SHAPE(3)), y;
    ck_assert_int_eq(wg_apply(l.t, "sin_op", &x, 1, NULL, 0, &y, 1), WG_OK);
    y = wg_mul(y, z);
    ck_assert_int_eq(wg_gradcheck(l.t, &y, 1, NULL, 0, &o, &r), WG_OK);
    ck_assert_int_eq(r.verdict, WG_CHECK_FAILED);
    o.order = 1;
    ck_assert_int_eq(wg_gradcheck(l.t, &y, 1, NULL, 0, &o, &r), WG_OK);
    ck_assert_int_eq(r.verdict, WG_CHECK_PASSED);
    o.order = 2;
    ck_assert_int_eq(wg_gradcheck(l.t, &y, 1, &z, 1, &o, &r), WG_OK);
    ck_assert_int_eq(r.verdict, WG_CHECK_PASSED);
    lab_close(&l);
}
END_TEST

/* ---- mutants --------------------------------------------------------------------------------- */

static char *equivalents; /* the text of the list */

/* Whether the list has the line "OP MUTANT". */
static bool is_listed(const char *op, const char *mutant)
{
    char line[256];
    snprintf(line, sizeof line, "\n%s %s\n", op, mutant);
    return equivalents && strstr(equivalents, line);
}

typedef struct tally {
    long caught, missed, listed;
    bool values_may; /* wrong values may stay unnoticed */
    char first[160];
} tally;

static void count_mutant(void *user, const char *op, const char *mutant, bool caught,
                         const wg_check_report *report)
{
    tally *t = user;
    bool listed =
        is_listed(op, mutant) || (!caught && t->values_may && !strncmp(mutant, "forward", 7));
    (void)report;
    if (caught == listed && t->missed++ == 0)
        snprintf(t->first, sizeof t->first, "%s %s: %s", op, mutant,
                 caught ? "listed as equivalent, but noticed" : "not noticed");
    t->caught += caught;
    t->listed += !caught;
}

START_TEST(mutants_are_noticed)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    const char *op = wg_op_name(ctx, wg_op_at(ctx, (size_t)_i));
    wg_check_report r;
    tally t = {0};
    ck_assert_ptr_nonnull(equivalents);
    ck_assert_int_eq(wg_mutate_op(ctx, op, NULL, count_mutant, &t), WG_OK);
    ck_assert_int_eq(wg_gradcheck_op(ctx, op, NULL, &r), WG_OK);
    ck_assert_msg(t.missed == 0, "%s (and %ld more)", t.first, t.missed - 1);
    ck_assert_msg(r.compared == 0 || t.caught > 8, "%s: just %ld mutants", op, t.caught);
    long lines = 0;
    char start[96];
    snprintf(start, sizeof start, "\n%s ", op);
    for (const char *p = equivalents; (p = strstr(p, start)); p++)
        lines++;
    ck_assert_msg(lines == t.listed, "%s: %ld lines in the list for %ld mutants", op, lines,
                  t.listed);
    wg_ctx_free(ctx);
}
END_TEST

/* An op of the program is mutated like a built-in one; a wrong one is refused. */
START_TEST(registered_ops_are_mutated)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg_op density = {WG_OP, DENSITY, .partial = density_right};
    wg_op wrong = {WG_OP, SIN, .partial = wrong_sign};
    tally t = {.values_may = true}; /* any multiple of a density has the same rule */
    ck_assert_int_eq(wg_register(ctx, &density, NULL), WG_OK);
    ck_assert_int_eq(wg_register(ctx, &wrong, NULL), WG_OK);
    ck_assert_int_eq(wg_mutate_op(ctx, "density_op", NULL, count_mutant, &t), WG_OK);
    ck_assert_msg(t.missed == 0, "%s (and %ld more)", t.first, t.missed - 1);
    ck_assert_int_gt(t.caught, 40);
    ck_assert_int_eq(wg_mutate_op(ctx, "sin_op", NULL, count_mutant, &t), WG_INVALID);
    ck_assert_int_eq(wg_mutate_op(ctx, "no_such_op", NULL, count_mutant, &t), WG_NOT_FOUND);
    wg_ctx_free(ctx);
}
END_TEST

/* ---- memory ---------------------------------------------------------------------------------- */

static wg_status mutate_neg(wg_ctx *ctx)
{
    tally t = {0};
    return wg_mutate_op(ctx, "neg", NULL, count_mutant, &t);
}

static wg_status check_mul(wg_ctx *ctx)
{
    wg_check_report r;
    wg_gradcheck_options o = WG_GRADCHECK_DEFAULTS;
    wg_status status = wg_gradcheck_op(ctx, "matmul", &o, &r);
    return status ? status : r.verdict == WG_CHECK_PASSED ? WG_OK : WG_INTERNAL;
}

static wg_status check_stop(wg_ctx *ctx)
{
    wg_check_report r;
    wg_status status = wg_gradcheck_op(ctx, "stop_gradient", NULL, &r);
    return status ? status : r.verdict == WG_CHECK_PASSED ? WG_OK : WG_INTERNAL;
}

/* Each of the first allocations and then some of them fail: WG_NO_MEMORY, no leak. */
START_TEST(memory_runs_out)
{
    wg_status (*const jobs[])(wg_ctx *) = {check_mul, check_stop, mutate_neg};
    fault f = {0, 0, 0, false};
    wg_ctx_options options = fault_options(&f);
    wg_ctx *ctx = wg_ctx_new(&options);
    long made_ctx = f.calls;
    ck_assert_int_eq(jobs[_i](ctx), WG_OK);
    long calls = f.calls;
    wg_ctx_free(ctx);
    ck_assert_int_eq(f.live, 0);
    long step = 1;
    for (long n = made_ctx + 1; n <= calls; n += step) {
        fault g = {0, 0, n, true};
        wg_ctx_options failing = fault_options(&g);
        ctx = wg_ctx_new(&failing);
        ck_assert_ptr_nonnull(ctx);
        wg_status status = jobs[_i](ctx);
        wg_ctx_free(ctx);
        ck_assert_msg(status == WG_NO_MEMORY, "allocation %ld: %s", n, wg_status_text(status));
        ck_assert_msg(g.live == 0, "allocation %ld: %ld blocks leaked", n, (long)g.live);
        step = 1 + (n - made_ctx) / 150;
    }
}
END_TEST

/* ---- main ------------------------------------------------------------------------------------ */

static void read_equivalents(void)
{
    const char *top = getenv("WG_SRCDIR");
    char path[4096];
    size_t size = 0;
    snprintf(path, sizeof path, "%s/tests/equivalents.txt", top ? top : ".");
    FILE *in = fopen(path, "r");
    if (in && getdelim(&equivalents, &size, '\0', in) < 0)
        fprintf(stderr, "%s cannot be read\n", path);
    if (in)
        fclose(in);
}

int main(void)
{
    read_equivalents();
    wg_ctx *ctx = wg_ctx_new(NULL);
    int ops = ctx ? (int)wg_op_count(ctx) : 0;
    wg_ctx_free(ctx);
    Suite *suite = suite_create("check");
    TCase *t = tcase_create("check");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, mistakes_are_noticed, 0, MADE * SEEDS);
    tcase_add_loop_test(t, right_derivatives_pass, 0, DIFFICULT * SEEDS);
    tcase_add_loop_test(t, errors_show_at_any_scale, 0, 15);
    tcase_add_test(t, kinks_are_told);
    tcase_add_test(t, noise_is_told);
    tcase_add_test(t, nan_fails);
    tcase_add_test(t, what_has_no_derivative_is_an_error);
    tcase_add_test(t, nothing_to_differentiate_passes);
    tcase_add_loop_test(t, right_models_pass, 0, MODELS * 8);
    tcase_add_loop_test(t, hidden_mistakes_are_found, 0, HIDDEN * SEEDS);
    tcase_add_test(t, wrong_f32_loops_are_found);
    tcase_add_test(t, options_have_limits);
    tcase_add_test(t, wrong_bounds_are_told);
    tcase_add_test(t, the_worst_element_is_told);
    tcase_add_test(t, chosen_targets_and_order);
    tcase_add_loop_test(t, mutants_are_noticed, 0, ops);
    tcase_add_test(t, registered_ops_are_mutated);
    tcase_add_loop_test(t, memory_runs_out, 0, 3);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    free(equivalents);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
