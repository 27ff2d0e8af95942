/* Optimisers: ten steps of each variant against plain C loops written from the papers' formulas. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wengert.h>
#include "suite.h"
#include "fault.h"

enum { N = 4, M = 3, STEPS = 10 };

/* loss = sum(a (u - c)^2 / 2) + sum((v - 1)^4): its gradients are a (u - c) and 4 (v - 1)^3. */
static const double A[N] = {1, 10, 0.1, 3}, C[N] = {1, -2, 3, 0};
static const double U0[N] = {0, 1, -1, 2}, V0[M] = {0.5, 2, 1};

static wg_ctx *ctx;
static wg_tape *t;
static wg_var u, v, loss;

static void record(wg_dtype dtype)
{
    u = wg_param(t, "u", dtype, WG_SHAPE(N), wg_init_zeros());
    wg_scope_push(t, "head");
    v = wg_param(t, "v", dtype, WG_SHAPE(M), wg_init_zeros());
    wg_scope_pop(t);
    wg_var a = wg_cast(wg_const(t, WG_F64, WG_SHAPE(N), A), dtype);
    wg_var c = wg_cast(wg_const(t, WG_F64, WG_SHAPE(N), C), dtype);
    wg_var du = wg_square(wg_sub(u, c)), dv = wg_square(wg_sub(v, wg_f(1)));
    loss = wg_add(wg_mul(wg_f(0.5), wg_sum(wg_mul(a, du))), wg_sum(wg_square(dv)));
}

static void setup(void)
{
    ctx = wg_ctx_new(NULL);
    t = wg_tape_new(ctx);
}

static void teardown(void)
{
    wg_tape_free(t);
    wg_ctx_free(ctx);
}

static void set_param(wg_state *state, const char *name, wg_dtype dtype, const double *x, int n)
{
    float f[N];
    for (int i = 0; i < n; i++)
        f[i] = (float)x[i];
    wg_state_set(state, name, dtype, WG_SHAPE(n), dtype == WG_F64 ? (const void *)x : f);
}

static wg_session *start(wg_dtype dtype)
{
    wg_state *state = wg_state_new(ctx, 0);
    set_param(state, "u", dtype, U0, N);
    set_param(state, "head/v", dtype, V0, M);
    wg_compile_options options = WG_COMPILE_DEFAULTS;
    options.verify = true;
    wg_program *p = wg_compile(t, &loss, 1, &options);
    ck_assert_msg(p != NULL, "%s", wg_tape_error(t));
    wg_session *s = wg_session_new(p, state);
    ck_assert_msg(s != NULL, "%s", wg_state_error(state));
    wg_state_free(state);
    wg_program_free(p);
    return s;
}

static double param_at(wg_session *s, const char *name, int i)
{
    const wg_tensor *x = wg_state_get(wg_session_state(s), name);
    ck_assert_msg(x != NULL, "no param %s", name);
    return wg_tensor_get(x, i);
}

/* ---- the loops ------------------------------------------------------------------------------- */

enum rule { SGD, HEAVY_BALL, NESTEROV, ADAM };

typedef struct variant {
    const char *name;
    enum rule rule;
    double lr, decay, clip_norm, clip_value;
    double momentum, beta1, beta2, epsilon, decoupled;
} variant;

static const variant variants[] = {
    {"sgd", SGD, 0.05, 0, 0, 0, 0, 0, 0, 0, 0},
    {"sgd, decay", SGD, 0.05, 0.3, 0, 0, 0, 0, 0, 0, 0},
    {"sgd, clip norm", SGD, 0.05, 0, 2, 0, 0, 0, 0, 0, 0},
    {"sgd, norm below the limit", SGD, 0.05, 0, 1e6, 0, 0, 0, 0, 0, 0},
    {"sgd, clip value", SGD, 0.05, 0, 0, 0.5, 0, 0, 0, 0, 0},
    {"sgd, all", SGD, 0.05, 0.2, 5, 1.5, 0, 0, 0, 0, 0},
    {"heavy ball", HEAVY_BALL, 0.02, 0, 0, 0, 0.9, 0, 0, 0, 0},
    {"nesterov", NESTEROV, 0.02, 0, 0, 0, 0.9, 0, 0, 0, 0},
    {"nesterov, all", NESTEROV, 0.02, 0.1, 4, 2, 0.5, 0, 0, 0, 0},
    {"adam", ADAM, 0.1, 0, 0, 0, 0, 0.9, 0.999, 1e-8, 0},
    {"adam, large epsilon", ADAM, 0.1, 0, 0, 0, 0, 0.8, 0.9, 0.5, 0},
    {"adam, no memory", ADAM, 0.1, 0, 0, 0, 0, 0, 0.9, 1e-3, 0},
    {"adam, all", ADAM, 0.1, 0.1, 4, 2, 0, 0.9, 0.999, 1e-8, 0},
    {"adamw", ADAM, 0.1, 0, 0, 0, 0, 0.9, 0.999, 1e-8, 0.05},
};
enum { NVARIANTS = sizeof variants / sizeof *variants };

typedef struct model {
    double p[N + M], first[N + M], second[N + M]; /* u, then v; slots */
    int t;
} model;

static model model_start(void)
{
    model m = {{0}, {0}, {0}, 0};
    memcpy(m.p, U0, sizeof U0);
    memcpy(m.p + N, V0, sizeof V0);
    return m;
}

static void model_gradient(const model *m, const variant *o, double *g)
{
    double sum = 0;
    for (int i = 0; i < N; i++)
        g[i] = A[i] * (m->p[i] - C[i]);
    for (int i = N; i < N + M; i++)
        g[i] = 4 * pow(m->p[i] - 1, 3);
    for (int i = 0; i < N + M; i++)
        sum += g[i] * g[i];
    double scale = o->clip_norm > 0 && sqrt(sum) > o->clip_norm ? o->clip_norm / sqrt(sum) : 1;
    for (int i = 0; i < N + M; i++) {
        g[i] *= scale;
        if (o->clip_value > 0)
            g[i] = fmax(-o->clip_value, fmin(o->clip_value, g[i]));
        g[i] += o->decay * m->p[i];
    }
}

static void model_step(model *m, const variant *o, double lr)
{
    double g[N + M];
    model_gradient(m, o, g);
    m->t++;
    for (int i = 0; i < N + M; i++) {
        double *first = &m->first[i], *second = &m->second[i], *p = &m->p[i];
        if (o->rule == ADAM) {
            *first = o->beta1 * *first + (1 - o->beta1) * g[i];
            *second = o->beta2 * *second + (1 - o->beta2) * g[i] * g[i];
            double mean = *first / (1 - pow(o->beta1, m->t));
            double square = *second / (1 - pow(o->beta2, m->t));
            *p -= lr * (mean / (sqrt(square) + o->epsilon) + o->decoupled * *p);
        } else {
            *first = o->momentum * *first + g[i];
            *p -= lr * (o->rule == NESTEROV ? g[i] + o->momentum * *first : *first);
        }
    }
}

static wg_status optimise(const variant *o, const wg_var *params, size_t n,
                          const wg_optim_common *extra)
{
    wg_optim_common common = extra ? *extra : (wg_optim_common){0, {NULL, 0}, 0, 0, 0, NULL};
    common.lr = o->lr;
    common.weight_decay = o->decay;
    common.clip_norm = o->clip_norm;
    common.clip_value = o->clip_value;
    if (o->rule == ADAM) {
        wg_adam_options adam = {sizeof adam, common, o->beta1, o->beta2, o->epsilon, o->decoupled};
        return wg_adam(t, loss, params, n, &adam);
    }
    wg_sgd_options sgd = {sizeof sgd, common, o->momentum, o->rule == NESTEROV};
    return wg_sgd(t, loss, params, n, &sgd);
}

static void ck_params(wg_session *s, const model *m, double tolerance, const char *what, int step)
{
    for (int i = 0; i < N + M; i++) {
        double have = i < N ? param_at(s, "u", i) : param_at(s, "head/v", i - N);
        ck_assert_msg(fabs(have - m->p[i]) <= tolerance * (1 + fabs(m->p[i])),
                      "%s, step %d, element %d: %.17g, not %.17g", what, step, i, have, m->p[i]);
    }
}

static void follow(const variant *o, wg_dtype dtype, double tolerance)
{
    wg_session *s = start(dtype);
    model m = model_start();
    for (int step = 0; step < STEPS; step++) {
        model_step(&m, o, o->lr);
        ck_assert_msg(wg_run(s) == WG_OK, "%s", wg_session_error(s));
        ck_params(s, &m, tolerance, o->name, step);
    }
    wg_session_free(s);
}

/* ---- tests ------------------------------------------------------------------------------------- */

START_TEST(follows_the_formulas)
{
    record(WG_F64);
    ck_assert_msg(optimise(&variants[_i], (wg_var[]){u, v}, 2, NULL) == WG_OK, "%s",
                  wg_tape_error(t));
    follow(&variants[_i], WG_F64, 1e-12);
}
END_TEST

START_TEST(follows_in_single_precision)
{
    record(WG_F32);
    ck_assert_int_eq(optimise(&variants[_i], (wg_var[]){u, v}, 2, NULL), WG_OK);
    follow(&variants[_i], WG_F32, 5e-5);
}
END_TEST

/* Gradients given instead of a loss; one of them absent: zero. */
START_TEST(takes_given_gradients)
{
    const variant *o = &variants[_i];
    record(WG_F64);
    wg_var grads[] = {wg_grad1(loss, u), wg_none()};
    wg_optim_common extra = {0, {NULL, 0}, 0, 0, 0, grads};
    loss = wg_name(loss, "loss");
    ck_assert_int_eq(optimise(o, (wg_var[]){u, v}, 2, &extra), WG_OK);
    wg_session *s = start(WG_F64);
    ck_assert_int_eq(wg_run(s), WG_OK);
    if (o->clip_norm == 0 && o->decay == 0 && o->decoupled == 0)
        for (int i = 0; i < M; i++)
            ck_assert_double_eq(param_at(s, "head/v", i), V0[i]);
    ck_assert_double_ne(param_at(s, "u", 0), U0[0]);
    wg_session_free(s);
}
END_TEST

/* lr as graph: halved each step, from an f64 schedule even when parameters are f32. */
START_TEST(takes_a_schedule)
{
    const variant *o = &variants[_i];
    record(WG_F32);
    wg_var lr = wg_param(t, "lr", WG_F64, WG_SCALAR, wg_init_constant(0.05));
    wg_assign(lr, wg_mul(lr, wg_f(0.5)));
    wg_optim_common extra = {0, lr, 0, 0, 0, NULL};
    ck_assert_int_eq(optimise(o, (wg_var[]){u, v}, 2, &extra), WG_OK);
    wg_session *s = start(WG_F32);
    model m = model_start();
    for (int step = 0; step < STEPS; step++) {
        model_step(&m, o, 0.05 * pow(0.5, step));
        ck_assert_int_eq(wg_run(s), WG_OK);
        ck_params(s, &m, 5e-5, o->name, step);
    }
    wg_session_free(s);
}
END_TEST

/* Two optimisers on one tape: the slots of the second have names of their own. */
START_TEST(two_optimisers_coexist)
{
    const variant *o = &variants[_i];
    record(WG_F64);
    ck_assert_int_eq(optimise(o, &u, 1, NULL), WG_OK);
    ck_assert_int_eq(optimise(o, &v, 1, NULL), WG_OK);
    if (o->clip_norm > 0)
        return; /* the norms are each optimiser's own */
    follow(o, WG_F64, 1e-12);
}
END_TEST

START_TEST(slots_have_names)
{
    record(WG_F64);
    wg_sgd_options sgd = WG_SGD_DEFAULTS;
    sgd.momentum = 0.9;
    ck_assert_int_eq(wg_adam(t, loss, (wg_var[]){u, v}, 2, NULL), WG_OK);
    ck_assert_int_eq(wg_adam(t, loss, &u, 1, NULL), WG_OK);
    wg_scope_push(t, "fine");
    ck_assert_int_eq(wg_sgd(t, loss, &v, 1, &sgd), WG_OK);
    wg_scope_pop(t);
    wg_session *s = start(WG_F64);
    ck_assert_int_eq(wg_run(s), WG_OK);
    ck_assert_int_eq(wg_run(s), WG_OK);
    static const char *const names[] = {
        "adam/u/m",   "adam/u/v",   "adam/head/v/m", "adam/step",
        "adam_2/u/m", "adam_2/u/v", "adam_2/step",   "fine/sgd/head/v/velocity"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        (void)param_at(s, names[i], 0);
    ck_assert_double_eq(param_at(s, "adam/step", 0), 2);
    wg_session_free(s);
}
END_TEST

/* Values of clipped gradients, and the norm that is returned. */
START_TEST(clips)
{
    wg_var a = wg_const(t, WG_F64, WG_SHAPE(2), (double[]){3, 0});
    wg_var b = wg_const(t, WG_F32, WG_SCALAR, (float[]){4});
    wg_var g[] = {a, wg_none(), b}, h[] = {a, b}, z[] = {wg_mul(a, wg_f(0))};
    ck_assert_double_eq(wg_value_scalar(wg_clip_by_global_norm(g, 3, 2.5)), 5);
    ck_assert(wg_is_none(g[1]));
    ck_assert_double_eq(wg_tensor_get(wg_value(g[0]), 0), 1.5);
    ck_assert_double_eq(wg_value_scalar(g[2]), 2);
    ck_assert(wg_typeof(g[2]).dtype == WG_F32);
    wg_clip_by_global_norm(h, 2, 5);
    ck_assert_double_eq(wg_tensor_get(wg_value(h[0]), 0), 3);
    ck_assert_double_eq(wg_value_scalar(wg_clip_by_global_norm(z, 1, 1)), 0);
    ck_assert_double_eq(wg_tensor_get(wg_value(z[0]), 0), 0);
    ck_assert_int_eq(wg_clip_by_value(h, 2, 3.5), WG_OK);
    ck_assert_double_eq(wg_tensor_get(wg_value(h[0]), 0), 3);
    ck_assert_double_eq(wg_value_scalar(h[1]), 3.5);
    ck_assert_int_eq(wg_clip_by_value(h, 2, NAN), WG_INVALID);
    ck_assert(!wg_ok(wg_clip_by_global_norm(NULL, 0, 1)));
}
END_TEST

START_TEST(refuses_nonsense)
{
    record(WG_F64);
    wg_adam_options adam = WG_ADAM_DEFAULTS;
    wg_sgd_options sgd = WG_SGD_DEFAULTS;
    wg_var grads[] = {v}, params[] = {u};
    switch (_i) {
    case 0:
        adam.beta1 = 1;
        break;
    case 1:
        adam.epsilon = NAN;
        break;
    case 2:
        adam.common.lr = INFINITY;
        break;
    case 3:
        adam.common.clip_norm = -1;
        break;
    case 4:
        adam.common.lr_var = u;
        break;
    case 5:
        adam.common.grads = grads;
        break;
    case 6:
        params[0] = loss;
        break;
    case 7:
        params[0] = wg_param(t, "i", WG_I64, WG_SCALAR, wg_init_zeros());
        break;
    default:
        break;
    }
    sgd.momentum = NAN;
    ck_assert_int_ne(_i == 8   ? wg_sgd(t, loss, params, 1, &sgd)
                     : _i == 9 ? wg_sgd(t, loss, params, 0, NULL)
                               : wg_adam(t, loss, params, 1, &adam),
                     WG_OK);
    ck_assert_int_ne(wg_tape_status(t), WG_OK);
    ck_assert_ptr_nonnull(strstr(wg_tape_error(t), _i >= 8 ? "sgd" : "adam"));
    ck_assert_int_eq(wg_sgd(NULL, loss, params, 1, NULL), WG_INVALID);
}
END_TEST

/* An lr_var that is there counts: a value that failed is an error, not lr. */
START_TEST(lr_var_counts)
{
    static const wg_var odd = {NULL, 1};
    record(WG_F64);
    wg_var fails = wg_matmul(u, u);
    wg_tape_clear_error(t);
    wg_var wrong[] = {fails, odd, wg_none(), wg_b(true), wg_i(1), wg_f(INFINITY)};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        wg_sgd_options o = WG_SGD_DEFAULTS;
        o.common.lr_var = wrong[i];
        ck_assert_int_ne(wg_sgd(t, loss, &u, 1, &o), WG_OK);
        ck_assert_ptr_nonnull(strstr(wg_tape_error(t), "sgd: lr"));
        wg_tape_clear_error(t);
    }
}
END_TEST

START_TEST(lr_var_may_be_a_literal)
{
    const variant *o = &variants[_i];
    record(WG_F32);
    wg_optim_common extra = {0, wg_f(0.05), 0, 0, 0, NULL};
    ck_assert_int_eq(optimise(o, (wg_var[]){u, v}, 2, &extra), WG_OK);
    wg_session *s = start(WG_F32);
    model m = model_start();
    for (int step = 0; step < STEPS; step++) {
        model_step(&m, o, 0.05);
        ck_assert_int_eq(wg_run(s), WG_OK);
        ck_params(s, &m, 5e-5, o->name, step);
    }
    wg_session_free(s);
}
END_TEST

/* What stands on another tape is refused, before anything is assigned. */
START_TEST(values_of_other_tapes)
{
    record(WG_F64);
    wg_tape *other = wg_tape_new(ctx);
    wg_var far = wg_const(other, WG_F64, WG_SCALAR, &(double){0.1});
    for (int i = 0; i < 3; i++) {
        wg_adam_options o = WG_ADAM_DEFAULTS;
        wg_var grads[] = {wg_grad1(loss, u), far};
        o.common.lr_var = i == 0 ? far : o.common.lr_var;
        o.common.grads = i == 1 ? grads : NULL;
        wg_mark before = wg_tape_mark(t);
        ck_assert_int_eq(wg_adam(t, i == 2 ? far : loss, (wg_var[]){u, v}, 2, &o), WG_INVALID);
        wg_mark after = wg_tape_mark(t);
        ck_assert_ptr_nonnull(strstr(wg_tape_error(t), "no value of the tape"));
        ck_assert_uint_eq(after.nodes, before.nodes);
        ck_assert_uint_eq(after.effects, before.effects);
        wg_tape_clear_error(t);
    }
    ck_assert(wg_ok(loss) && wg_latest(u).bits == u.bits);
    ck_assert_int_eq(wg_adam(t, loss, (wg_var[]){u, v}, 2, NULL), WG_OK);
    wg_session *s = start(WG_F64);
    ck_assert_int_eq(wg_run(s), WG_OK);
    ck_assert_double_eq(param_at(s, "adam/step", 0), 1);
    wg_session_free(s);
    wg_tape_free(other);
}
END_TEST

/* An optimiser that fails half-way leaves the tape as it was. */
static bool adam_or_nothing(wg_tape *tape, wg_var of, wg_var param, const wg_adam_options *o)
{
    wg_mark before = wg_tape_mark(tape);
    if (wg_tape_status(tape) || wg_adam(tape, of, &param, 1, o) == WG_OK)
        return !wg_tape_status(tape);
    wg_mark after = wg_tape_mark(tape);
    ck_assert_uint_eq(after.nodes, before.nodes);
    ck_assert_uint_eq(after.effects, before.effects);
    ck_assert_uint_eq(after.params, before.params);
    ck_assert_uint_eq(after.scope, before.scope);
    ck_assert_int_eq(wg_tape_status(tape), WG_NO_MEMORY);
    return false;
}

static bool one_step(wg_ctx *c, void *user)
{
    (void)user;
    wg_program *p = NULL;
    wg_session *s = NULL;
    bool good = false;
    wg_tape *tape = wg_tape_new(c);
    if (!tape)
        return false;
    wg_var w = wg_param(tape, "w", WG_F32, WG_SHAPE(2), wg_init_ones());
    wg_var square = wg_sum(wg_square(w));
    wg_adam_options options = WG_ADAMW_DEFAULTS;
    options.common.clip_norm = 1;
    options.common.clip_value = 1;
    options.common.weight_decay = 0.1;
    if (adam_or_nothing(tape, square, w, &options) && (p = wg_compile(tape, &square, 1, NULL)) &&
        (s = wg_session_new(p, NULL)))
        good = wg_run(s) == WG_OK && wg_scalar(s, square) == 2;
    wg_session_free(s);
    wg_program_free(p);
    wg_tape_free(tape);
    return good;
}

START_TEST(memory_failures_are_errors)
{
    ck_assert_int_eq(fault_each(wg_ctx_new, one_step, NULL), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("optim");
    TCase *c = tcase_create("optim");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, follows_the_formulas, 0, NVARIANTS);
    tcase_add_loop_test(c, follows_in_single_precision, 0, NVARIANTS);
    tcase_add_loop_test(c, takes_given_gradients, 0, NVARIANTS);
    tcase_add_loop_test(c, takes_a_schedule, 0, NVARIANTS);
    tcase_add_loop_test(c, two_optimisers_coexist, 0, NVARIANTS);
    tcase_add_test(c, slots_have_names);
    tcase_add_test(c, clips);
    tcase_add_loop_test(c, refuses_nonsense, 0, 10);
    tcase_add_test(c, lr_var_counts);
    tcase_add_loop_test(c, lr_var_may_be_a_literal, 0, NVARIANTS);
    tcase_add_test(c, values_of_other_tapes);
    tcase_add_test(c, memory_failures_are_errors);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
