/* The vm against the reference executor: every op of the registry, random graphs, threads, states in
 * place, failing runs, memory. */
#include "check/checking.h"
#include "fault.h"

#include "running.h"
#include "random_model.h"

/* ---- comparing ------------------------------------------------------------------------------------ */

static wg_session *session_on(wg_tape *tape, const wg_var *outs, size_t nouts, const char *executor,
                              uint64_t seed)
{
    wg_compile_options options = WG_COMPILE_DEFAULTS;
    options.executor = executor;
    options.verify = true;
    wg_program *p = wg_compile(tape, outs, nouts, &options);
    ck_assert_msg(p != NULL, "%s: %s", executor, wg_tape_error(tape));
    wg_state *state = wg_state_new(wg_tape_ctx(tape), seed);
    wg_session *s = wg_session_new(p, state);
    ck_assert_msg(s != NULL, "%s", wg_state_error(state));
    wg_state_free(state);
    wg_program_free(p);
    return s;
}

static double element(wg_dtype dtype, const void *data, int64_t i)
{
    switch (dtype) {
    case WG_BOOL:
        return ((const uint8_t *)data)[i];
    case WG_I32:
        return ((const int32_t *)data)[i];
    case WG_I64:
        return (double)((const int64_t *)data)[i];
    case WG_F32:
        return (double)((const float *)data)[i];
    default:
        return ((const double *)data)[i];
    }
}

/* Equal but for rounding, relative to the greatest element; infinities and NaN in the same places. */
static void ck_close(wg_type type, const void *want, const void *have, double tolerance,
                     const char *what, uint64_t seed)
{
    int64_t n = wg_shape_count(type.shape);
    double scale = 1;
    for (int64_t i = 0; i < n; i++) {
        double a = fabs(element(type.dtype, want, i));
        if (isfinite(a) && a > scale)
            scale = a;
    }
    bool exact = !wg_dtype_is_float(type.dtype);
    for (int64_t i = 0; i < n; i++) {
        double a = element(type.dtype, want, i), b = element(type.dtype, have, i);
        bool same = isfinite(a) ? isfinite(b) && fabs(a - b) <= (exact ? 0 : tolerance * scale)
                                : (isnan(a) ? isnan(b) : a == b);
        ck_assert_msg(same, "%s, seed %llu, element %lld of %lld: reference %.17g, vm %.17g", what,
                      (unsigned long long)seed, (long long)i, (long long)n, a, b);
    }
}

static void compare_states(wg_session *a, wg_session *b, double tolerance, uint64_t seed)
{
    wg_state *x = wg_session_state(a), *y = wg_session_state(b);
    for (size_t i = 0; i < wg_state_count(x); i++) {
        const char *name = wg_state_name(x, i);
        const wg_tensor *want = wg_state_get(x, name), *have = wg_state_get(y, name);
        ck_assert_msg(have != NULL, "%s", name);
        ck_close(wg_tensor_type(want), wg_tensor_data(want), wg_tensor_data(have), tolerance, name,
                 seed);
    }
}

static double tolerance_of(wg_type type, double f64, double f32)
{
    return type.dtype == WG_F32 ? f32 : f64;
}

/* ---- random graphs ------------------------------------------------------------------------------------ */

enum { GRAPHS = 1000, PART = 100 };

/* Graphs whose values sit on a kink round differently: a maximum of equals, say. Their seeds would be
 * skipped here; there are none. */
START_TEST(random_graphs_agree)
{
    for (uint64_t seed = (uint64_t)_i * PART; seed < ((uint64_t)_i + 1) * PART; seed++) {
        random_model g;
        wg_tape *tape = wg_tape_new(ctx);
        ck_assert_msg(random_model_make(&g, tape, seed, 6 + (int)(seed % 30)), "seed %llu: %s",
                      (unsigned long long)seed, wg_tape_error(tape));
        wg_session *a = session_on(tape, g.outs, g.nouts, "reference", seed);
        wg_session *b = session_on(tape, g.outs, g.nouts, "vm", seed);
        for (int run = 0; run < 2; run++) {
            run_ok(a);
            run_ok(b);
            for (size_t i = 0; i < g.nouts; i++) {
                wg_type type;
                const void *want = wg_output(a, g.outs[i], &type, NULL);
                const void *have = wg_output(b, g.outs[i], NULL, NULL);
                ck_close(type, want, have, tolerance_of(type, 1e-9, 2e-4), "output", seed);
            }
            compare_states(a, b, g.dtype == WG_F32 ? 2e-4 : 1e-9, seed);
        }
        wg_session_free(a);
        wg_session_free(b);
        wg_tape_free(tape);
    }
}
END_TEST

static wg_ctx *ctx_of(size_t threads)
{
    wg_ctx_options options = WG_CTX_DEFAULTS;
    options.threads = threads;
    return wg_ctx_new(&options);
}

/* One run of the graph of `seed`: the bytes of all outputs and params after it. */
static size_t bits_of(uint64_t seed, size_t threads, unsigned char *to, size_t room)
{
    wg_ctx *c = ctx_of(threads);
    wg_tape *tape = wg_tape_new(c);
    random_model g;
    size_t at = 0;
    ck_assert(random_model_make(&g, tape, seed, 6 + (int)(seed % 30)));
    wg_session *s = session_on(tape, g.outs, g.nouts, "vm", seed);
    run_ok(s);
    for (size_t i = 0; i < g.nouts; i++) {
        size_t bytes;
        const void *data = wg_output(s, g.outs[i], NULL, &bytes);
        ck_assert_uint_le(at + bytes, room);
        memcpy(to + at, data, bytes);
        at += bytes;
    }
    wg_state *state = wg_session_state(s);
    for (size_t i = 0; i < wg_state_count(state); i++) {
        const wg_tensor *x = wg_state_get(state, wg_state_name(state, i));
        size_t bytes = (size_t)wg_shape_count(wg_tensor_type(x).shape) *
                       wg_dtype_size(wg_tensor_type(x).dtype);
        ck_assert_uint_le(at + bytes, room);
        memcpy(to + at, wg_tensor_data(x), bytes);
        at += bytes;
    }
    wg_session_free(s);
    wg_tape_free(tape);
    wg_ctx_free(c);
    return at;
}

START_TEST(threads_do_not_change_a_bit)
{
    size_t room = 16u << 20;
    unsigned char *one = malloc(room), *two = malloc(room);
    ck_assert(one && two);
    for (uint64_t seed = (uint64_t)_i * PART; seed < ((uint64_t)_i + 1) * PART; seed++) {
        size_t n = bits_of(seed, 1, one, room);
        ck_assert_uint_eq(bits_of(seed, 2, two, room), n);
        ck_assert_msg(memcmp(one, two, n) == 0, "seed %llu", (unsigned long long)seed);
    }
    free(one);
    free(two);
}
END_TEST

/* ---- the registry ---------------------------------------------------------------------------------------- */

/* Numbers that every op's domain has; integers are 0, which indexes anything that is not empty. */
static void bind_all(wg_session *s, const wg_program *p, uint64_t seed)
{
    for (size_t i = 0; i < wg_program_ninputs(p); i++) {
        wg_type type;
        const char *name = wg_program_input(p, i, &type);
        size_t n = (size_t)wg_shape_count(type.shape), size = wg_dtype_size(type.dtype);
        char *data = calloc(n + 1, 8);
        rng r = rng_make(seed + (unsigned char)name[0]); /* passes may drop inputs */
        for (size_t k = 0; k < n && wg_dtype_is_float(type.dtype); k++) {
            double x = 0.25 + 0.5 * rng_unit(&r);
            float f = (float)x;
            memcpy(data + k * size, type.dtype == WG_F32 ? (void *)&f : (void *)&x, size);
        }
        ck_assert_int_eq(wg_bind_copy_name(s, name, data, n * size), WG_OK);
        free(data);
    }
}

static wg_program *program_on(wg_tape *tape, const wg_var *outs, size_t nouts, const char *executor)
{
    wg_compile_options options = WG_COMPILE_DEFAULTS;
    options.executor = executor;
    options.verify = true;
    wg_program *p = wg_compile(tape, outs, nouts, &options);
    ck_assert_msg(p != NULL, "%s: %s", executor, wg_tape_error(tape));
    return p;
}

static void compare_programs(wg_tape *tape, const wg_var *outs, size_t nouts, const char *op)
{
    wg_program *p[2] = {program_on(tape, outs, nouts, "reference"),
                        program_on(tape, outs, nouts, "vm")};
    wg_session *s[2];
    wg_status status[2];
    for (int k = 0; k < 2; k++) {
        s[k] = wg_session_new(p[k], NULL);
        ck_assert_ptr_nonnull(s[k]);
        bind_all(s[k], p[k], 7);
        status[k] = wg_run(s[k]);
    }
    ck_assert_msg(status[0] == status[1], "%s: reference %d %s, vm %d %s", op, status[0],
                  wg_session_error(s[0]), status[1], wg_session_error(s[1]));
    for (size_t i = 0; i < nouts && status[0] == WG_OK; i++) {
        wg_type type;
        const void *want = wg_output_at(s[0], i, &type, NULL);
        ck_close(type, want, wg_output_at(s[1], i, NULL, NULL), tolerance_of(type, 1e-11, 1e-5), op,
                 i);
    }
    for (int k = 0; k < 2; k++) {
        wg_session_free(s[k]);
        wg_program_free(p[k]);
    }
}

/* Appends the gradient of the sum of the float outputs with respect to the float inputs. */
static size_t add_gradient(wg_tape *tape, wg_var *outs, size_t n)
{
    wg_var xs[16], loss = wg_none();
    size_t nxs = 0;
    for (uint32_t id = 0; id < tape->nodes.len && nxs < 16; id++)
        if (wg__node_at(tape, id)->op == WG__OP_INPUT &&
            wg_dtype_is_float(wg__type_at(tape, id)->dtype))
            xs[nxs++] = wg__var(tape, id);
    for (size_t i = 0; i < n; i++)
        if (wg_dtype_is_float(wg_typeof(outs[i]).dtype)) {
            wg_var sum = wg_sum(wg_cast(wg_square(outs[i]), WG_F64));
            loss = wg_is_none(loss) ? sum : wg_add(loss, sum);
        }
    if (!nxs || wg_is_none(loss))
        return n;
    if (wg_grad(&loss, 1, NULL, xs, nxs, outs + n)) {
        wg_tape_clear_error(tape); /* not differentiable: a statement of its own test */
        return n;
    }
    return n + nxs;
}

START_TEST(registry_agrees)
{
    for (size_t i = 0; i < wg_op_count(ctx); i++) {
        const char *op = wg_op_name(ctx, wg_op_at(ctx, i));
        wg_check_report report;
        wg__check_cases cases;
        memset(&report, 0, sizeof report);
        ck_assert_msg(wg__check_cases_open(&cases, ctx, op, &report) == WG_OK, "%s", op);
        for (size_t k = 0; k < cases.items.len; k++) {
            wg__check_case *item = &cases.items.data[k];
            wg_tape *tape = item->graph ? wg_graph_tape(item->graph) : item->tape;
            wg_var outs[32];
            size_t n = item->graph ? wg_graph_noutputs(item->graph) : 1;
            ck_assert_uint_le(n, 16);
            memcpy(outs, item->graph ? wg_graph_outputs(item->graph) : &item->out,
                   n * sizeof *outs);
            compare_programs(tape, outs, n, op);
            n = add_gradient(tape, outs, n);
            compare_programs(tape, outs, n, op);
        }
        wg__check_cases_close(&cases);
    }
}
END_TEST

/* ---- states ------------------------------------------------------------------------------------------------ */

static wg_var matrix_param(const char *name, int64_t rows, int64_t cols)
{
    return wg_param(t, name, WG_F64, WG_SHAPE(rows, cols), wg_init_normal(0, 1));
}

static double state_at(wg_session *s, const char *name, int64_t i)
{
    return wg_tensor_get(wg_state_get(wg_session_state(s), name), i);
}

/* Reads see the value at the start of the run, whatever is written in place. */
START_TEST(reads_see_the_start)
{
    wg_var a = matrix_param("a", 40, 50), b = matrix_param("b", 40, 50);
    ck_assert(wg_ok(wg_assign(a, wg_add(wg_mul(a, wg_f(0.5)), b))));
    ck_assert(wg_ok(wg_assign(b, wg_sub(a, b)))); /* the two read each other */
    wg_var outs[3] = {wg_sum(a), wg_add(b, wg_f(0)), a};
    wg_session *s = session(outs, 3, NULL);
    double before[2] = {state_at(s, "a", 77), state_at(s, "b", 77)};
    for (int run = 0; run < 3; run++) {
        run_ok(s);
        wg_type type;
        const double *old = wg_output(s, outs[2], &type, NULL);
        const double *same = wg_output(s, outs[1], NULL, NULL);
        ck_assert_double_eq(old[77], before[0]);
        ck_assert_double_eq(same[77], before[1]);
        double a1 = before[0] * 0.5 + before[1], b1 = before[0] - before[1];
        ck_assert_double_eq_tol(state_at(s, "a", 77), a1, 1e-15 + 1e-15 * fabs(a1));
        ck_assert_double_eq_tol(state_at(s, "b", 77), b1, 1e-15 + 1e-15 * fabs(b1));
        before[0] = state_at(s, "a", 77);
        before[1] = state_at(s, "b", 77);
    }
    wg_session_free(s);
}
END_TEST

/* a' = a^T: every element moves, so nothing may be overwritten before it is read. */
START_TEST(transposed_update_is_no_in_place_one)
{
    wg_var a = matrix_param("a", 37, 37);
    ck_assert(wg_ok(wg_assign(a, wg_transpose(a))));
    wg_session *s = session(NULL, 0, NULL);
    double before[37 * 37];
    for (int i = 0; i < 37 * 37; i++)
        before[i] = state_at(s, "a", i);
    run_ok(s);
    for (int i = 0; i < 37 * 37; i++)
        ck_assert_double_eq(state_at(s, "a", i), before[i % 37 * 37 + i / 37]);
    wg_session_free(s);
}
END_TEST

/* W' = W - x^T (x W): the product reads what it updates. */
START_TEST(product_that_updates_its_operand)
{
    wg_var w = matrix_param("w", 33, 9), x = matrix_param("x", 12, 33);
    ck_assert(wg_ok(wg_assign(w, wg_sub(w, wg_matmul_with(x, wg_matmul(x, w), true, false)))));
    wg_session *a = session_on(t, NULL, 0, "reference", 3);
    wg_session *b = session_on(t, NULL, 0, "vm", 3);
    for (int run = 0; run < 2; run++) {
        run_ok(a);
        run_ok(b);
        compare_states(a, b, 1e-12, 3);
    }
    wg_session_free(a);
    wg_session_free(b);
}
END_TEST

/* An index out of range anywhere stops the run, and no param has changed. */
START_TEST(failed_run_changes_nothing)
{
    wg_var a = matrix_param("a", 64, 64);
    wg_var index = wg_input(t, "index", WG_I32, WG_SHAPE(3));
    wg_var picked = wg_sum(wg_gather(a, index));
    ck_assert(wg_ok(wg_assign(a, wg_mul(a, wg_f(2)))));
    wg_session *s = session(&picked, 1, NULL);
    double before = state_at(s, "a", 5);
    const int32_t bad[3] = {0, 64, 1}, good[3] = {0, 63, 1};
    ck_assert_int_eq(wg_bind_copy(s, index, bad, sizeof bad), WG_OK);
    ck_assert_int_eq(wg_run(s), WG_RANGE);
    ck_has(wg_session_error(s), "64");
    ck_assert_double_eq(state_at(s, "a", 5), before);
    ck_assert_int_eq(wg_bind_copy(s, index, good, sizeof good), WG_OK);
    run_ok(s);
    ck_assert_double_eq(state_at(s, "a", 5), 2 * before);
    wg_session_free(s);
}
END_TEST

START_TEST(labels_out_of_range_stop_the_run)
{
    wg_var x = matrix_param("x", 300, 10);
    wg_var y = wg_input(t, "y", WG_I32, WG_SHAPE(300));
    wg_var loss = wg_mean(wg_softmax_xent(x, y));
    wg_var out[2] = {loss, wg_grad1(loss, x)};
    wg_session *s = session(out, 2, NULL);
    int32_t labels[300] = {0};
    labels[298] = -1;
    labels[299] = 10;
    ck_assert_int_eq(wg_bind(s, y, labels, sizeof labels), WG_OK);
    ck_assert_int_eq(wg_run(s), WG_RANGE);
    ck_has(wg_session_error(s), "-1");
    ck_has(wg_session_error(s), "298");
    wg_session_free(s);
}
END_TEST

/* ---- memory ------------------------------------------------------------------------------------------------- */

/* Two layers and Adam, big enough for several threads. */
static wg_var training_step(wg_tape *tape, wg_var *x, wg_var *y)
{
    *x = wg_input(tape, "x", WG_F32, WG_SHAPE(64, 100));
    *y = wg_input(tape, "y", WG_I32, WG_SHAPE(64));
    wg_var w[4] = {wg_param(tape, "W1", WG_F32, WG_SHAPE(100, 128), wg_init_xavier()),
                   wg_param(tape, "b1", WG_F32, WG_SHAPE(128), wg_init_zeros()),
                   wg_param(tape, "W2", WG_F32, WG_SHAPE(128, 10), wg_init_xavier()),
                   wg_param(tape, "b2", WG_F32, WG_SHAPE(10), wg_init_zeros())};
    wg_var h = wg_relu(wg_add(wg_matmul(*x, w[0]), w[1]));
    wg_var loss = wg_mean(wg_softmax_xent(wg_add(wg_matmul(h, w[2]), w[3]), *y));
    wg_adam_options o = WG_ADAM_DEFAULTS;
    ck_assert_int_eq(wg_adam(tape, loss, w, 4, &o), WG_OK);
    return loss;
}

START_TEST(runs_allocate_nothing)
{
    fault f = {0, 0, 0, false};
    wg_ctx_options options = fault_options(&f);
    options.threads = 2;
    wg_ctx *c = wg_ctx_new(&options);
    wg_tape *tape = wg_tape_new(c);
    wg_var x, y, loss = training_step(tape, &x, &y);
    wg_session *s = session_on(tape, &loss, 1, "vm", 1);
    static float images[64 * 100];
    int32_t labels[64];
    for (int i = 0; i < 64 * 100; i++)
        images[i] = (float)((i * 37) % 101) / 101;
    for (int i = 0; i < 64; i++)
        labels[i] = i % 10;
    ck_assert_int_eq(wg_bind(s, x, images, sizeof images), WG_OK);
    ck_assert_int_eq(wg_bind(s, y, labels, sizeof labels), WG_OK);
    run_ok(s); /* threads start at the first run with work for them */
    long calls = f.calls;
    double first = wg_scalar(s, loss), last = 0;
    for (int i = 0; i < 50; i++) {
        ck_assert_int_eq(wg_bind(s, x, images, sizeof images), WG_OK);
        run_ok(s);
        last = wg_scalar(s, loss);
    }
    ck_assert_int_eq(f.calls, calls);
    ck_assert_double_lt(last, 0.6 * first);
    wg_session_free(s);
    wg_tape_free(tape);
    wg_ctx_free(c);
    ck_assert_int_eq(f.live, 0);
}
END_TEST

static bool compile_and_run(wg_ctx *c, void *user)
{
    (void)user;
    bool good = false;
    wg_state *state = NULL;
    wg_program *p = NULL;
    wg_session *s = NULL;
    wg_tape *tape = wg_tape_new(c);
    random_model g;
    if (!tape || !random_model_make(&g, tape, 9, 14))
        goto done;
    wg_compile_options options = WG_COMPILE_DEFAULTS;
    options.executor = "vm";
    p = wg_compile(tape, g.outs, g.nouts, &options);
    state = p ? wg_state_new(c, 1) : NULL;
    s = state ? wg_session_new(p, state) : NULL;
    good = s && wg_run(s) == WG_OK;
done:
    wg_session_free(s);
    wg_state_free(state);
    wg_program_free(p);
    wg_tape_free(tape);
    return good;
}

START_TEST(any_allocation_may_fail)
{
    ck_assert_int_eq(fault_each(wg_ctx_new, compile_and_run, NULL), 0);
}
END_TEST

/* ---- sums and empty spaces ---------------------------------------------------------------------------------- */

/* Rows of a million tenths: sums, means and logsumexp as the reference has them. */
START_TEST(long_rows_are_summed_as_by_the_reference)
{
    enum { N = 1000000 };
    float *data = malloc(2 * N * sizeof *data);
    for (size_t i = 0; i < 2 * (size_t)N; i++)
        data[i] = 0.1F;
    wg_var x = wg_input(t, "x", WG_F32, WG_SHAPE(2, N));
    wg_var y[] = {wg_sum_with(x, WG_AXES(1), false), wg_mean_with(x, WG_AXES(1), false),
                  wg_logsumexp_with(x, WG_AXES(1), false), wg_sum(x)};
    const size_t n = sizeof y / sizeof *y;
    wg_session *s[2] = {session_on(t, y, n, "reference", 1), session_on(t, y, n, "vm", 1)};
    for (int k = 0; k < 2; k++) {
        wg_bind(s[k], x, data, 2 * N * sizeof *data);
        ck_assert_int_eq(wg_run(s[k]), WG_OK);
    }
    for (size_t i = 0; i < n; i++)
        ck_close(wg_typeof(y[i]), wg_output_at(s[0], i, NULL, NULL),
                 wg_output_at(s[1], i, NULL, NULL), 1e-6, "sum", i);
    wg_session_free(s[0]);
    wg_session_free(s[1]);
    free(data);
}
END_TEST

/* Nothing of nothing, through a reshape and a transpose that leave no columns. */
START_TEST(spaces_without_columns_compile)
{
    wg_var x = wg_param(t, "x", WG_F64, WG_SHAPE(0, 5), wg_init_normal(0, 1));
    wg_var z = wg_param(t, "z", WG_F64, WG_SHAPE(5, 1, 1, 1, 1, 1), wg_init_normal(0, 1));
    wg_var wide = wg_reshape(x, WG_SHAPE(0, 5, 5, 5, 5, 5));
    wg_var y = wg_mul(z, wg_transpose_with(wide, (const int64_t[]){5, 0, 1, 2, 3, 4}, 6));
    compare_programs(t, &y, 1, "no columns");
}
END_TEST

/* ---- sub-tapes ---------------------------------------------------------------------------------------------- */

/* A recurrence with products in its body, and its gradient. */
START_TEST(scan_bodies_run_on_the_vm)
{
    wg_var w = matrix_param("w", 16, 16), xs = matrix_param("xs", 40, 16),
           h0 = matrix_param("h", 1, 16);
    wg_tape *body = wg_fn_begin(t, "cell");
    wg_var h = wg_fn_input(body, "h", WG_F64, WG_SHAPE(1, 16));
    wg_var x = wg_fn_input(body, "x", WG_F64, WG_SHAPE(16));
    wg_var next = wg_tanh(wg_add(wg_matmul(h, wg_mul(w, wg_f(0.3))), x));
    wg_fn fn = wg_fn_end(body, (wg_var[]){next, wg_sum(next)}, 2);
    wg_var outs[2];
    wg_scan_options o = WG_SCAN_DEFAULTS;
    ck_assert_int_eq(wg_scan(fn, &h0, 1, &xs, 1, &o, outs, 2), WG_OK);
    wg_var loss = wg_sum(wg_square(outs[1])), grads[4] = {loss};
    ck_assert_int_eq(wg_grad(&loss, 1, NULL, (wg_var[]){w, xs, h0}, 3, grads + 1), WG_OK);
    compare_programs(t, grads, 4, "scan");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vm");
    TCase *c = tcase_create("vm");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 240);
    tcase_add_loop_test(c, random_graphs_agree, 0, GRAPHS / PART);
    tcase_add_loop_test(c, threads_do_not_change_a_bit, 0, GRAPHS / PART);
    tcase_add_test(c, registry_agrees);
    tcase_add_test(c, reads_see_the_start);
    tcase_add_test(c, transposed_update_is_no_in_place_one);
    tcase_add_test(c, product_that_updates_its_operand);
    tcase_add_test(c, failed_run_changes_nothing);
    tcase_add_test(c, labels_out_of_range_stop_the_run);
    tcase_add_test(c, runs_allocate_nothing);
    tcase_add_test(c, any_allocation_may_fail);
    tcase_add_test(c, long_rows_are_summed_as_by_the_reference);
    tcase_add_test(c, spaces_without_columns_compile);
    tcase_add_test(c, scan_bodies_run_on_the_vm);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
