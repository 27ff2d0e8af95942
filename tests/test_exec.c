/* Running: binding, effects, plans, sub-tapes, threads, failing memory. */
#include <pthread.h>
#include <stdlib.h>

#include "fault.h"
#include "rng.h"
#include "running.h"

/* ---- binding and running ------------------------------------------------------------------- */

START_TEST(runs_and_binds)
{
    wg_var x = wg_input(t, "x", WG_F32, WG_SHAPE(2, 3)), b = wg_input(t, "b", WG_F32, WG_SHAPE(3));
    wg_var unused = wg_input(t, "unused", WG_I32, WG_SHAPE(2));
    wg_var y = wg_add(wg_mul(x, wg_f(2)), b), total = wg_sum(y);
    wg_session *s = session((wg_var[]){y, total, x, y}, 4, NULL);
    const float xs[] = {1, 2, 3, 4, 5, 6}, bs[] = {10, 20, 30};
    ck_assert_int_eq(wg_bind(s, x, xs, sizeof xs), WG_OK);
    ck_assert_int_eq(wg_bind_name(s, "b", bs, sizeof bs), WG_OK);
    ck_assert_int_eq(wg_bind(s, unused, xs, 8), WG_OK);
    ck_assert_ptr_null(wg_output(s, y, NULL, NULL));
    run_ok(s);
    wg_type type;
    size_t bytes;
    const float *ys = wg_output(s, y, &type, &bytes);
    ck_assert_uint_eq(bytes, sizeof xs);
    ck_assert(wg_shape_equal(type.shape, WG_SHAPE(2, 3)));
    for (int i = 0; i < 6; i++)
        ck_assert_float_eq(ys[i], 2 * xs[i] + bs[i % 3]);
    ck_assert_double_eq(wg_scalar(s, total), 42 + 120);
    ck_assert_int_eq(memcmp(wg_output_at(s, 2, NULL, NULL), xs, sizeof xs), 0);
    ck_assert_int_eq(memcmp(wg_output_at(s, 3, NULL, NULL), ys, bytes), 0);
    ck_assert_ptr_null(wg_output_at(s, 4, NULL, NULL));
    ck_assert_ptr_null(wg_output(s, b, NULL, NULL));
    ck_assert(isnan(wg_scalar(s, y)));
    wg_session_free(s);
}
END_TEST

/* Any non-zero byte is true, however it is bound, and stays one value. */
START_TEST(binds_bools)
{
    wg_var a = wg_input(t, "a", WG_BOOL, WG_SHAPE(2)), b = wg_input(t, "b", WG_BOOL, WG_SHAPE(2));
    wg_var outs[] = {wg_equal(a, b), wg_logical_xor(a, b), wg_logical_not(a), a,
                     wg_cast(wg_logical_and(a, b), WG_I32)};
    wg_session *s = session(outs, 5, NULL);
    ck_assert_int_eq(wg_bind(s, a, (uint8_t[]){2, 4}, 2), WG_OK);
    ck_assert_int_eq(wg_bind_name(s, "b", (uint8_t[]){255, 0}, 2), WG_OK);
    run_ok(s);
    static const uint8_t want[4][2] = {{1, 0}, {0, 1}, {0, 0}, {1, 1}};
    for (int i = 0; i < 4; i++)
        ck_assert_mem_eq(wg_output_at(s, (size_t)i, NULL, NULL), want[i], 2);
    ck_assert_mem_eq(wg_output_at(s, 4, NULL, NULL), ((int32_t[]){1, 0}), 8);
    wg_session_free(s);
}
END_TEST

START_TEST(binds_many_by_name)
{
    enum { N = 300 };
    wg_var sum = wg_const(t, WG_F64, WG_SCALAR, &(double){0});
    char name[16];
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "x%d", i * 7 % N); /* not in the order of names */
        wg_var x = wg_input(t, name, WG_F64, WG_SCALAR);
        sum = wg_add(sum, wg_mul(x, wg_f(i * 7 % N)));
    }
    wg_input(t, "spare", WG_F64, WG_SCALAR);
    wg_session *s = session(&sum, 1, NULL);
    for (int i = 0; i < N; i++) {
        double value = i;
        snprintf(name, sizeof name, "x%d", i);
        ck_assert_int_eq(wg_bind_copy_name(s, name, &value, sizeof value), WG_OK);
    }
    ck_assert_int_eq(wg_bind_name(s, "spare", &(double){1}, 8), WG_OK);
    ck_assert_int_eq(wg_bind_name(s, "x", &(double){1}, 8), WG_NOT_FOUND);
    ck_assert_int_eq(wg_bind_name(s, NULL, &(double){1}, 8), WG_NOT_FOUND);
    run_ok(s);
    double want = 0;
    for (int i = 0; i < N; i++)
        want += (double)i * i;
    ck_assert_double_eq(wg_scalar(s, sum), want);
    wg_session_free(s);
}
END_TEST

START_TEST(refuses_wrong_bindings)
{
    wg_scope_push(t, "net");
    wg_var x = wg_input(t, "x", WG_F32, WG_SHAPE(2, 3));
    wg_scope_pop(t);
    wg_var unused = wg_input(t, "unused", WG_F32, WG_SHAPE(2)), y = wg_sum(x);
    wg_session *s = session(&y, 1, NULL);
    ck_assert_int_eq(wg_run(s), WG_UNBOUND);
    ck_has(wg_session_error(s), "net/x");
    ck_has(wg_session_error(s), "f32[2, 3]");
    ck_assert_int_eq(wg_bind(s, x, "1234567", 8), WG_SHAPE);
    ck_has(wg_session_error(s), "8 bytes");
    ck_has(wg_session_error(s), "24");
    ck_assert_int_eq(wg_bind(s, unused, "1234567", 7), WG_SHAPE);
    ck_assert_int_eq(wg_bind(s, x, NULL, 24), WG_INVALID);
    ck_assert_int_eq(wg_bind(s, y, "1234567", 4), WG_NOT_FOUND);
    ck_assert_int_eq(wg_bind_name(s, "z", "1234567", 4), WG_NOT_FOUND);
    ck_has(wg_session_error(s), "\"net/x\"");
    ck_assert_int_eq(wg_session_status(s), WG_NOT_FOUND);
    wg_session_free(s);
}
END_TEST

START_TEST(empty_and_scalar_shapes)
{
    wg_var e = wg_input(t, "e", WG_F64, WG_SHAPE(3, 0)), c = wg_input(t, "c", WG_F64, WG_SCALAR);
    wg_var outs[] = {wg_add(e, c), wg_sum(e), wg_add(c, c)};
    wg_session *s = session(outs, 3, NULL);
    const double five = 5;
    wg_bind(s, e, NULL, 0);
    wg_bind(s, c, &five, sizeof five);
    run_ok(s);
    size_t bytes;
    ck_assert_ptr_nonnull(wg_output(s, outs[0], NULL, &bytes));
    ck_assert_uint_eq(bytes, 0);
    ck_assert_double_eq(wg_scalar(s, outs[1]), 0);
    ck_assert_double_eq(wg_scalar(s, outs[2]), 10);
    wg_session_free(s);
}
END_TEST

/* All five dtypes as literals and constants, through a broadcast that needs an odometer. */
START_TEST(broadcasts_and_literals)
{
    const int64_t big[] = {INT64_C(9007199254740993), -1};
    wg_var a = wg_const(t, WG_I64, WG_SHAPE(2, 1, 1), big);
    const int64_t threes[] = {1, 2, 3};
    wg_var b = wg_const(t, WG_I64, WG_SHAPE(1, 3, 1), threes);
    wg_var sum = wg_add(wg_add(a, b), wg_i(INT64_C(9007199254740993)));
    wg_var wide = wg_add(sum, wg_const(t, WG_I64, WG_SHAPE(2, 1, 2), (int64_t[]){0, 1, 2, 3}));
    wg_session *s = session(&wide, 1, NULL);
    run_ok(s);
    const int64_t *y = wg_output_at(s, 0, NULL, NULL);
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 3; j++)
            for (int k = 0; k < 2; k++)
                ck_assert_int_eq(y[(i * 3 + j) * 2 + k],
                                 big[i] + threes[j] + INT64_C(9007199254740993) + 2 * i + k);
    wg_session_free(s);
}
END_TEST

START_TEST(outlives_tape_and_context)
{
    wg_ctx *c = wg_ctx_new(NULL);
    wg_tape *tape = wg_tape_new(c);
    wg_state *state = wg_state_new(c, 1);
    wg_var p = wg_param(tape, "p", WG_F64, WG_SHAPE(4), wg_init_ones()), y = wg_sum(p);
    wg_program *program = wg_compile(tape, &y, 1, NULL);
    wg_session *s = wg_session_new(program, state);
    wg_tape_free(tape);
    wg_program_free(program);
    wg_state_free(state);
    wg_ctx_free(c);
    run_ok(s);
    ck_assert_double_eq(*(const double *)wg_output_at(s, 0, NULL, NULL), 4);
    wg_session_free(s);
}
END_TEST

/* ---- effects ------------------------------------------------------------------------------------ */

START_TEST(failed_run_changes_nothing)
{
    wg_var p = scalar_param("p", 1), i = wg_input(t, "i", WG_I64, WG_SHAPE(1));
    wg_assign(p, wg_add(p, wg_f(1)));
    wg_scope_push(t, "lookup");
    wg_var table = wg_const(t, WG_F64, WG_SHAPE(3), (double[]){5, 6, 7});
    wg_var picked = wg_name(wg_gather(table, i), "picked");
    wg_scope_pop(t);
    wg_session *s = session(&picked, 1, NULL);
    const int64_t bad = 3, good = 2;
    wg_bind(s, i, &good, sizeof good);
    run_ok(s);
    ck_assert_double_eq(state_scalar(s, "p"), 2);
    wg_bind(s, i, &bad, sizeof bad);
    ck_assert_int_eq(wg_run(s), WG_RANGE);
    ck_has(wg_session_error(s), "gather");
    ck_has(wg_session_error(s), "\"picked\"");
    ck_has(wg_session_error(s), "lookup");
    ck_assert_double_eq(state_scalar(s, "p"), 2);
    ck_assert_ptr_null(wg_output(s, picked, NULL, NULL));
    wg_bind(s, i, &good, sizeof good);
    run_ok(s);
    ck_assert_double_eq(state_scalar(s, "p"), 3);
    ck_assert_double_eq(wg_scalar(s, picked), 7);
    wg_session_free(s);
}
END_TEST

START_TEST(params_swap)
{
    wg_var p = scalar_param("p", 1), q = scalar_param("q", 2);
    wg_assign(p, q);
    wg_assign(q, p);
    wg_session *s = session((wg_var[]){p, q}, 2, NULL);
    run_ok(s);
    ck_assert_double_eq(state_scalar(s, "p"), 2);
    ck_assert_double_eq(state_scalar(s, "q"), 1);
    ck_assert_double_eq(wg_scalar(s, p), 1); /* outputs are reads: the start of the run */
    ck_assert_double_eq(wg_scalar(s, q), 2);
    run_ok(s);
    ck_assert_double_eq(state_scalar(s, "p"), 1);
    wg_session_free(s);
}
END_TEST

START_TEST(later_assign_replaces)
{
    wg_var p = scalar_param("p", 10);
    wg_var first = wg_assign(p, wg_add(p, wg_f(1)));
    wg_var latest = wg_latest(p);
    wg_assign(p, wg_mul(latest, wg_f(3)));
    wg_var outs[] = {p, latest, wg_latest(p), first};
    wg_session *s = session(outs, 4, NULL);
    run_ok(s);
    ck_assert_double_eq(wg_scalar(s, outs[0]), 10);
    ck_assert_double_eq(wg_scalar(s, outs[1]), 11);
    ck_assert_double_eq(wg_scalar(s, outs[2]), 33);
    ck_assert_double_eq(wg_scalar(s, outs[3]), 11);
    ck_assert_double_eq(state_scalar(s, "p"), 33);
    wg_session_free(s);
    wg_compile_options options = WG_COMPILE_DEFAULTS;
    options.no_effects = true;
    wg_program *p2 = wg_compile(t, outs, 1, &options);
    wg_session *s2 = wg_session_new(p2, NULL);
    run_ok(s2);
    ck_assert_double_eq(state_scalar(s2, "p"), 10);
    wg_session_free(s2);
    wg_program_free(p2);
}
END_TEST

static bool stop(void *user)
{
    int *left = user;
    return (*left)-- == 0;
}

/* A run is stopped wherever it asks, and has then changed nothing; it asks at least once. */
static void cancel_everywhere(const char *executor)
{
    int left = 1000;
    wg_ctx_options options = WG_CTX_DEFAULTS;
    options.cancel = stop;
    options.cancel_user = &left;
    wg_ctx *c = wg_ctx_new(&options);
    wg_tape *tape = wg_tape_new(c);
    wg_var p = wg_param(tape, "p", WG_F64, WG_SCALAR, wg_init_ones()), y = p;
    for (int i = 0; i < 10; i++)
        y = wg_add(y, wg_f(1));
    wg_assign(p, y);
    wg_compile_options compiling = WG_COMPILE_DEFAULTS;
    compiling.executor = executor;
    wg_program *program = wg_compile(tape, &y, 1, &compiling);
    wg_session *s = wg_session_new(program, NULL);
    int asked = 0;
    for (left = 0; wg_run(s) == WG_CANCELLED; left = ++asked) {
        ck_assert_int_eq(wg_session_status(s), WG_CANCELLED);
        ck_assert_double_eq(state_scalar(s, "p"), 1);
    }
    ck_assert_int_ge(asked, executor ? 10 : 1);
    ck_assert_double_eq(state_scalar(s, "p"), 11);
    wg_session_free(s);
    wg_program_free(program);
    wg_tape_free(tape);
    wg_ctx_free(c);
}

START_TEST(cancel_stops_and_keeps_state)
{
    cancel_everywhere("reference");
    cancel_everywhere(NULL);
}
END_TEST

/* ---- plans --------------------------------------------------------------------------------------- */

/* A random graph of broadcasting ops over few values, so that buffers are reused in every way. */
static void random_graph(rng *r, wg_var *vars, size_t n)
{
    double data[30 * 40];
    for (int i = 0; i < 30 * 40; i++)
        data[i] = rng_unit(r) - 0.5;
    vars[0] = wg_const(t, WG_F64, WG_SHAPE(30, 40), data);
    vars[1] = wg_param(t, "w", WG_F64, WG_SHAPE(40), wg_init_normal(0, 1));
    vars[2] = wg_param(t, "c", WG_F64, WG_SHAPE(30, 1), wg_init_uniform(-1, 1));
    for (size_t i = 3; i < n; i++) {
        wg_var a = vars[rng_int(r, i > 12 ? (int64_t)i - 12 : 0, (int64_t)i - 1)];
        wg_var b = vars[rng_int(r, 0, (int64_t)i - 1)];
        switch (rng_int(r, 0, 7)) {
        case 0:
            vars[i] = wg_add(a, b);
            break;
        case 1:
            vars[i] = wg_mul(wg_tanh(a), b);
            break;
        case 2:
            vars[i] = wg_sub(a, wg_sin(b));
            break;
        case 3:
            vars[i] = wg_maximum(a, wg_mul(b, wg_f(0.5)));
            break;
        case 4:
            vars[i] = wg_add(wg_mean(a), b);
            break;
        case 5:
            vars[i] = wg_sin(vars[rng_int(r, 1, 2)]);
            break;
        case 6:
            vars[i] = wg_mul(wg_sum(a), wg_f(0.001));
            break;
        default:
            vars[i] = wg_tanh(a);
            break;
        }
    }
}

static wg_session *session_of(const char *executor, const wg_var *outs, size_t nouts)
{
    wg_compile_options options = WG_COMPILE_DEFAULTS;
    options.executor = executor;
    options.verify = true;
    wg_program *p = wg_compile(t, outs, nouts, &options);
    ck_assert_msg(p != NULL, "%s", wg_tape_error(t));
    wg_session *s = wg_session_new(p, NULL);
    ck_assert_ptr_nonnull(s);
    wg_program_free(p);
    return s;
}

/* What is computed with a buffer per value, as all of them are outputs, is what is computed with
 * reused ones: to the last bit by the reference; another executor may sum in another order. */
START_TEST(reused_buffers_hold)
{
    enum { N = 120, OUTS = 6 };
    rng r = rng_make((uint64_t)_i);
    wg_var vars[N], outs[OUTS];
    random_graph(&r, vars, N);
    for (int i = 0; i < OUTS; i++)
        outs[i] = vars[rng_int(&r, N / 2, N - 1)];
    wg_assign(vars[1], vars[1]);
    wg_session *all = session_of("reference", vars, N);
    run_ok(all);
    for (int e = 0; e < 2; e++) {
        wg_session *s = session_of(e ? NULL : "reference", outs, OUTS);
        run_ok(s);
        for (int i = 0; i < OUTS; i++) {
            size_t bytes, count;
            const double *want = wg_output(all, outs[i], NULL, &count);
            const double *have = wg_output_at(s, (size_t)i, NULL, &bytes);
            ck_assert_uint_eq(bytes, count);
            for (size_t k = 0; k < bytes / sizeof *have; k++)
                ck_assert_msg(fabs(have[k] - want[k]) <= e * 1e-9 * (1 + fabs(want[k])),
                              "seed %d, output %d, element %zu: %.17g, not %.17g", _i, i, k,
                              have[k], want[k]);
        }
        wg_session_free(s);
    }
    wg_session_free(all);
}
END_TEST

/* The reference gives one buffer to the next of a chain; the vm has some bytes per scalar. */
START_TEST(million_nodes)
{
    enum { N = 1000000 };
    wg_var x = wg_input(t, "x", WG_F64, WG_SCALAR), y = x;
    const double one = 1;
    double want = 1;
    for (int i = 0; i < N; i++) {
        y = i % 2 ? wg_neg(y) : wg_add(y, x);
        want = i % 2 ? -want : want + 1;
    }
    for (int e = 0; e < 2; e++) {
        wg_compile_options options = WG_COMPILE_DEFAULTS;
        options.executor = e ? NULL : "reference";
        wg_program *p = wg_compile(t, &y, 1, &options);
        ck_assert_ptr_nonnull(p);
        ck_assert_uint_lt(wg_program_bytes(p), e ? 16 * N : 2048);
        wg_session *s = wg_session_new(p, NULL);
        wg_bind(s, x, &one, sizeof one);
        run_ok(s);
        ck_assert_double_eq(wg_scalar(s, y), want);
        wg_session_free(s);
        wg_program_free(p);
    }
    wg_set(x, &one, sizeof one);
    ck_assert_double_eq(wg_value_scalar(y), want);
}
END_TEST

static wg_fn counting_body(wg_tape *outer, wg_var captured)
{
    wg_tape *body = wg_fn_begin(outer, "step");
    wg_var c = wg_fn_input(body, "c", WG_F64, WG_SCALAR);
    wg_var x = wg_fn_input(body, "x", WG_F64, WG_SCALAR);
    wg_var next = wg_add(wg_mul(c, captured), x);
    return wg_fn_end(body, (wg_var[]){next, wg_mul(next, next)}, 2);
}

START_TEST(nothing_allocated_in_a_run)
{
    fault f = {0, 0, 0, false};
    wg_ctx_options options = fault_options(&f);
    wg_ctx *c = wg_ctx_new(&options);
    wg_tape *tape = wg_tape_new(c);
    wg_var w = wg_param(tape, "w", WG_F64, WG_SCALAR, wg_init_constant(0.5)), outs[2];
    wg_var xs = wg_input(tape, "xs", WG_F64, WG_SHAPE(5)), zero = wg_sum(wg_mul(xs, wg_f(0)));
    wg_fn step = counting_body(tape, w);
    wg_scan(step, &zero, 1, &xs, 1, NULL, outs, wg_fn_noutputs(step));
    wg_assign(w, wg_mul(wg_sum(outs[1]), wg_f(0.1)));
    wg_program *p = wg_compile(tape, outs, 2, NULL);
    ck_assert_msg(p != NULL, "%s", wg_tape_error(tape));
    wg_session *s = wg_session_new(p, NULL);
    const double data[] = {1, 2, 3, 4, 5};
    wg_bind(s, xs, data, sizeof data);
    long before = f.calls;
    for (int i = 0; i < 3; i++)
        run_ok(s);
    ck_assert_int_eq(f.calls, before);
    wg_session_free(s);
    wg_program_free(p);
    wg_tape_free(tape);
    wg_ctx_free(c);
    ck_assert_int_eq(f.live, 0);
}
END_TEST

/* ---- sub-tapes ------------------------------------------------------------------------------------- */

START_TEST(scan_runs)
{
    wg_var w = scalar_param("w", 0.5), zero = wg_const(t, WG_F64, WG_SCALAR, (double[]){0});
    wg_var xs = wg_const(t, WG_F64, WG_SHAPE(3), (double[]){1, 2, 3}), outs[2];
    ck_assert_int_eq(
        wg_scan(counting_body(t, w), &zero, 1, &xs, 1, NULL, outs, sizeof outs / sizeof *outs),
        WG_OK);
    wg_session *s = session(outs, 2, NULL);
    run_ok(s);
    ck_assert_double_eq(wg_scalar(s, outs[0]), 4.25);
    const double *ys = wg_output(s, outs[1], NULL, NULL);
    ck_assert_double_eq(ys[0], 1);
    ck_assert_double_eq(ys[1], 6.25);
    ck_assert_double_eq(ys[2], 4.25 * 4.25);
    ck_assert_double_eq(wg_value_scalar(outs[0]), 4.25);
    wg_session_free(s);
    s = session(&outs[0], 1, NULL); /* the stacked output is not read */
    run_ok(s);
    ck_assert_double_eq(wg_scalar(s, outs[0]), 4.25);
    wg_session_free(s);
}
END_TEST

/* Outputs that are inputs, twice the same, a constant of the body, a capture. */
START_TEST(call_hands_inputs_through)
{
    wg_var w = scalar_param("w", 7), a = scalar_param("a", 1), b = scalar_param("b", 2);
    wg_tape *body = wg_fn_begin(t, "twist");
    wg_var x = wg_fn_input(body, "x", WG_F64, WG_SCALAR);
    wg_var y = wg_fn_input(body, "y", WG_F64, WG_SCALAR);
    wg_var c = wg_const(body, WG_F64, WG_SCALAR, (double[]){9}), s2 = wg_add(x, y);
    wg_fn fn = wg_fn_end(body, (wg_var[]){y, x, s2, s2, c, w}, 6);
    wg_var outs[6], again[6];
    ck_assert_int_eq(wg_call(fn, (wg_var[]){a, b}, 2, outs, wg_fn_noutputs(fn)), WG_OK);
    ck_assert_int_eq(wg_call(fn, outs, 2, again, wg_fn_noutputs(fn)), WG_OK);
    wg_var all[] = {outs[0], outs[1], outs[2], outs[3], outs[4], outs[5], again[0], again[2]};
    const double want[] = {2, 1, 3, 3, 9, 7, 1, 3};
    wg_session *s = session(all, 8, NULL);
    run_ok(s);
    for (int i = 0; i < 8; i++) {
        ck_assert_double_eq(wg_scalar(s, all[i]), want[i]);
        ck_assert_double_eq(wg_value_scalar(all[i]), want[i]);
    }
    wg_session_free(s);
}
END_TEST

/* A scan whose carries swap each step: what is handed out may be what is read. */
/* What a step that runs a body reads is no place for the body's frame, whatever their sizes. */
START_TEST(bodies_have_frames_of_their_own)
{
    for (int n = 1; n < 400; n++) {
        wg_mark mark = wg_tape_mark(t);
        wg_tape *body = wg_fn_begin(t, "sum");
        wg_var c = wg_fn_input(body, "c", WG_F64, WG_SCALAR);
        wg_var x = wg_fn_input(body, "x", WG_F64, WG_SCALAR);
        wg_var next = wg_neg(wg_sub(wg_neg(c), x));
        wg_fn fn = wg_fn_end(body, &next, 1);
        wg_type type = {WG_F64, WG_SHAPE(n)};
        wg_var zero = wg_const(t, WG_F64, WG_SCALAR, &(double){0}), out;
        wg_var ones = wg_neg(wg_full(t, type, -1));
        ck_assert_int_eq(wg_scan(fn, &zero, 1, &ones, 1, NULL, &out, 1), WG_OK);
        wg_session *s = session(&out, 1, NULL);
        run_ok(s);
        ck_assert_double_eq(wg_scalar(s, out), n);
        wg_session_free(s);
        wg_tape_rewind(t, mark);
    }
}
END_TEST

START_TEST(carries_swap)
{
    wg_tape *body = wg_fn_begin(t, "swap");
    wg_var x = wg_fn_input(body, "x", WG_F64, WG_SHAPE(2));
    wg_var y = wg_fn_input(body, "y", WG_F64, WG_SHAPE(2));
    wg_fn fn = wg_fn_end(body, (wg_var[]){y, x}, 2);
    wg_var ab[2] = {wg_const(t, WG_F64, WG_SHAPE(2), (double[]){1, 2}),
                    wg_const(t, WG_F64, WG_SHAPE(2), (double[]){3, 4})};
    wg_var outs[2];
    wg_scan_options options = WG_SCAN_DEFAULTS;
    options.length = 5;
    ck_assert_int_eq(wg_scan(fn, ab, 2, NULL, 0, &options, outs, wg_fn_noutputs(fn)), WG_OK);
    wg_session *s = session(outs, 2, NULL);
    run_ok(s);
    const double *a = wg_output_at(s, 0, NULL, NULL), *b = wg_output_at(s, 1, NULL, NULL);
    ck_assert(a[0] == 3 && a[1] == 4 && b[0] == 1 && b[1] == 2);
    wg_session_free(s);
}
END_TEST

/* A scan in a scan; a failure inside is told with the inner node. */
START_TEST(bodies_nest_and_fail)
{
    wg_var table = wg_const(t, WG_F64, WG_SHAPE(2), (double[]){10, 20});
    wg_var i = wg_input(t, "i", WG_I64, WG_SHAPE(2, 2)), zero = scalar_param("zero", 0);
    wg_tape *outer = wg_fn_begin(t, "outer");
    wg_var oc = wg_fn_input(outer, "c", WG_F64, WG_SCALAR);
    wg_var row = wg_fn_input(outer, "row", WG_I64, WG_SHAPE(2));
    wg_tape *inner = wg_fn_begin(outer, "inner");
    wg_var ic = wg_fn_input(inner, "c", WG_F64, WG_SCALAR);
    wg_var at = wg_fn_input(inner, "at", WG_I64, WG_SCALAR);
    wg_var got = wg_name(wg_gather(table, at), "got");
    wg_fn in = wg_fn_end(inner, (wg_var[]){wg_add(ic, got)}, 1);
    wg_var sum, outs[1];
    wg_scan(in, &oc, 1, &row, 1, NULL, &sum, 1);
    wg_fn out = wg_fn_end(outer, &sum, 1);
    wg_scan(out, &zero, 1, &i, 1, NULL, outs, wg_fn_noutputs(out));
    wg_session *s = session(outs, 1, NULL);
    wg_bind(s, i, (int64_t[]){0, 1, 1, 1}, 32);
    run_ok(s);
    ck_assert_double_eq(wg_scalar(s, outs[0]), 70);
    wg_bind(s, i, (int64_t[]){0, 1, 5, 1}, 32);
    ck_assert_int_eq(wg_run(s), WG_RANGE);
    ck_has(wg_session_error(s), "gather \"got\"");
    wg_session_free(s);
}
END_TEST

/* ---- threads -------------------------------------------------------------------------------------------------- */

enum { THREADS = 4, RUNS = 100 };

typedef struct worker {
    wg_program *program;
    wg_state *state;
    bool good;
} worker;

static void *work(void *user)
{
    worker *w = user;
    wg_session *s = wg_session_new(w->program, w->state);
    w->good = s != NULL;
    for (int i = 0; i < RUNS && w->good; i++) {
        double x = i;
        w->good = !wg_bind_name(s, "x", &x, sizeof x) && !wg_run(s) &&
                  *(const double *)wg_output_at(s, 0, NULL, NULL) == 2 * x;
    }
    wg_session_free(s);
    return NULL;
}

/* One program and one state, a session per thread; with effects (_i == 1) they take turns. */
START_TEST(threads_share_program_and_state)
{
    wg_var x = wg_input(t, "x", WG_F64, WG_SCALAR), n = scalar_param("n", 0);
    wg_var y = wg_mul(x, wg_f(2));
    wg_var next = wg_add(n, wg_f(1));
    for (int i = 0; i < 2000; i++) /* time for others to come in between */
        next = wg_neg(next);
    if (_i)
        wg_assign(n, next);
    wg_program *p = compile((wg_var[]){y, n}, 2);
    wg_state *state = wg_state_new(ctx, 0);
    pthread_t threads[THREADS];
    worker workers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){p, state, false};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert(workers[i].good);
    }
    ck_assert_double_eq(wg_tensor_get(wg_state_get(state, "n"), 0), _i ? THREADS * RUNS : 0);
    wg_state_free(state);
    wg_program_free(p);
}
END_TEST

/* ---- memory failing ---------------------------------------------------------------------------------------------- */

static bool train_and_value(wg_ctx *c, void *user)
{
    (void)user;
    bool good = false;
    wg_tape *tape = wg_tape_new(c);
    wg_state *state = wg_state_new(c, 3);
    wg_program *p = NULL;
    wg_session *s = NULL;
    if (!tape || !state)
        goto done;
    wg_var w = wg_param(tape, "w", WG_F64, WG_SCALAR, wg_init_constant(0.5)), outs[2];
    wg_var xs = wg_input(tape, "xs", WG_F64, WG_SHAPE(3)), zero = wg_sum(wg_mul(xs, wg_f(0)));
    wg_fn step = counting_body(tape, w);
    if (!wg_fn_ok(step) || wg_scan(step, &zero, 1, &xs, 1, NULL, outs, wg_fn_noutputs(step)))
        goto done;
    wg_assign(w, outs[0]);
    const double data[] = {1, 2, 3};
    wg_set(xs, data, sizeof data);
    if (isnan(wg_value_scalar(outs[0])) || !(p = wg_compile(tape, outs, 2, NULL)))
        goto done;
    s = wg_session_new(p, state);
    good = s && !wg_bind(s, xs, data, sizeof data) && !wg_run(s) &&
           !wg_state_set(state, "extra", WG_F32, WG_SHAPE(2), NULL);
done:
    good = good && !wg_tape_status(tape);
    wg_session_free(s);
    wg_program_free(p);
    wg_state_free(state);
    wg_tape_free(tape);
    return good;
}

static void *fail_sessions(void *state)
{
    for (int i = 0; i < 2000; i++)
        if (wg_session_new(NULL, state))
            return state;
    return NULL;
}

/* Sessions of a state are made from any thread, also in vain. */
START_TEST(threads_fail_together)
{
    pthread_t threads[THREADS];
    void *made;
    wg_state *state = wg_state_new(ctx, 0);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, fail_sessions, state), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &made);
        ck_assert_ptr_null(made);
    }
    ck_assert_int_eq(wg_state_status(state), WG_INVALID);
    ck_has(wg_state_error(state), "program is NULL");
    wg_state_free(state);
}
END_TEST

START_TEST(memory_failures_are_errors)
{
    ck_assert_int_eq(fault_each(wg_ctx_new, train_and_value, NULL), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("exec");
    TCase *c = tcase_create("exec");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, runs_and_binds);
    tcase_add_test(c, binds_bools);
    tcase_add_test(c, binds_many_by_name);
    tcase_add_test(c, refuses_wrong_bindings);
    tcase_add_test(c, empty_and_scalar_shapes);
    tcase_add_test(c, broadcasts_and_literals);
    tcase_add_test(c, outlives_tape_and_context);
    tcase_add_test(c, failed_run_changes_nothing);
    tcase_add_test(c, params_swap);
    tcase_add_test(c, later_assign_replaces);
    tcase_add_test(c, cancel_stops_and_keeps_state);
    tcase_add_loop_test(c, reused_buffers_hold, 0, 40);
    tcase_add_test(c, million_nodes);
    tcase_add_test(c, nothing_allocated_in_a_run);
    tcase_add_test(c, scan_runs);
    tcase_add_test(c, call_hands_inputs_through);
    tcase_add_test(c, bodies_have_frames_of_their_own);
    tcase_add_test(c, carries_swap);
    tcase_add_test(c, bodies_nest_and_fail);
    tcase_add_loop_test(c, threads_share_program_and_state, 0, 2);
    tcase_add_test(c, threads_fail_together);
    tcase_add_test(c, memory_failures_are_errors);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
