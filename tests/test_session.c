/* Sessions: whose memory an input is read from; what runs under a changing state; profiles; and what
 * explanations say. */
#include "exec/exec.h"
#include "fault.h"
#include "running.h"

static const char *const executors[] = {NULL, "reference"};
enum { NEXECUTORS = sizeof executors / sizeof *executors };

static wg_session *open_with(const char *executor, wg_var out, bool explain)
{
    wg_compile_options o = WG_COMPILE_DEFAULTS;
    o.executor = executor;
    o.explain = explain;
    wg_program *p = wg_compile(t, &out, 1, &o);
    ck_assert_msg(p != NULL, "%s", wg_tape_error(t));
    wg_session *s = wg_session_new(p, NULL);
    ck_assert_ptr_nonnull(s);
    wg_program_free(p);
    return s;
}

/* ---- binding --------------------------------------------------------------------------------------- */

START_TEST(binding_borrows)
{
    wg_var x = wg_input(t, "x", WG_F64, WG_SHAPE(3)), y = wg_sum(x);
    for (int e = 0; e < NEXECUTORS; e++) {
        wg_session *s = open_with(executors[e], y, false);
        double data[] = {1, 2, 3}, other[] = {10, 20, 30};
        ck_assert_int_eq(wg_bind(s, x, data, sizeof data), WG_OK);
        run_ok(s);
        ck_assert_double_eq(wg_scalar(s, y), 6);
        data[0] = 5;
        run_ok(s);
        ck_assert_double_eq(wg_scalar(s, y), 10);
        ck_assert_int_eq(wg_bind_name(s, "x", other, sizeof other), WG_OK);
        data[0] = 7;
        run_ok(s);
        ck_assert_double_eq(wg_scalar(s, y), 60);
        wg_session_free(s);
    }
}
END_TEST

START_TEST(binding_copies_when_asked)
{
    wg_var x = wg_input(t, "x", WG_F64, WG_SHAPE(3)), y = wg_sum(x);
    for (int e = 0; e < NEXECUTORS; e++) {
        wg_session *s = open_with(executors[e], y, false);
        double data[] = {1, 2, 3};
        ck_assert_int_eq(wg_bind_copy(s, x, data, sizeof data), WG_OK);
        data[0] = 5;
        run_ok(s);
        ck_assert_double_eq(wg_scalar(s, y), 6);
        ck_assert_int_eq(wg_bind_copy_name(s, "x", data, sizeof data), WG_OK);
        data[0] = 50;
        run_ok(s);
        ck_assert_double_eq(wg_scalar(s, y), 10);
        ck_assert_int_eq(wg_bind(s, x, data, sizeof data), WG_OK);
        run_ok(s);
        ck_assert_double_eq(wg_scalar(s, y), 55);
        ck_assert_int_eq(wg_bind_copy(s, x, data, 8), WG_SHAPE);
        ck_assert_int_eq(wg_bind_copy_name(s, "z", data, 8), WG_NOT_FOUND);
        wg_session_free(s);
    }
}
END_TEST

/* What kernels could not read where it is. */
START_TEST(misaligned_and_bools_are_copied)
{
    wg_var x = wg_input(t, "x", WG_F64, WG_SHAPE(2)), b = wg_input(t, "b", WG_BOOL, WG_SHAPE(2));
    wg_var y = wg_sum(wg_where(b, x, wg_neg(x)));
    for (int e = 0; e < NEXECUTORS; e++) {
        wg_session *s = open_with(executors[e], y, false);
        const double values[] = {3, 4};
        _Alignas(16) char bytes[1 + sizeof values];
        uint8_t flags[] = {7, 0};
        memcpy(bytes + 1, values, sizeof values);
        ck_assert_int_eq(wg_bind(s, x, bytes + 1, sizeof values), WG_OK);
        ck_assert_int_eq(wg_bind(s, b, flags, sizeof flags), WG_OK);
        memset(bytes, 0, sizeof bytes);
        flags[1] = 1;
        run_ok(s);
        ck_assert_double_eq(wg_scalar(s, y), -1);
        wg_session_free(s);
    }
}
END_TEST

/* Binding by pointer allocates nothing, nor does a run; a copy does the first time alone. */
START_TEST(allocations)
{
    fault f = {0, 0, 0, false};
    wg_ctx_options options = fault_options(&f);
    wg_ctx *own = wg_ctx_new(&options);
    wg_tape *tape = wg_tape_new(own);
    wg_var x = wg_input(tape, "x", WG_F32, WG_SHAPE(100)),
           b = wg_input(tape, "b", WG_BOOL, WG_SHAPE(1));
    wg_var y = wg_sum(wg_mul(wg_cast(b, WG_F32), wg_exp(x)));
    wg_program *p = wg_compile(tape, &y, 1, NULL);
    wg_session *s = wg_session_new(p, NULL);
    const float data[100] = {0};
    const uint8_t yes = 1;
    long before = f.calls;
    wg_bind(s, x, data, sizeof data);
    wg_bind(s, b, &yes, 1);
    run_ok(s);
    wg_bind_copy(s, b, &yes, 1);
    run_ok(s);
    ck_assert_int_eq(f.calls, before);
    wg_bind_copy(s, x, data, sizeof data);
    ck_assert_int_eq(f.calls, before + 1);
    wg_bind_copy(s, x, data, sizeof data);
    run_ok(s);
    ck_assert_int_eq(f.calls, before + 1);
    ck_assert_double_eq(wg_scalar(s, y), 100);
    wg_session_free(s);
    wg_program_free(p);
    wg_tape_free(tape);
    wg_ctx_free(own);
    ck_assert_int_eq(f.live, 0);
}
END_TEST

/* ---- states that change ------------------------------------------------------------------------------ */

START_TEST(state_changes_are_seen)
{
    wg_var p = wg_param(t, "p", WG_F64, WG_SCALAR, wg_init_constant(2)), y = wg_mul(p, wg_f(3));
    for (int e = 0; e < NEXECUTORS; e++) {
        wg_session *s = open_with(executors[e], y, false);
        wg_state *state = wg_session_state(s);
        const double four = 4, pair[] = {5, 6};
        run_ok(s);
        ck_assert_double_eq(wg_scalar(s, y), 6);
        ck_assert_int_eq(wg_state_set(state, "p", WG_F64, WG_SCALAR, &four), WG_OK);
        run_ok(s);
        ck_assert_double_eq(wg_scalar(s, y), 12);
        ck_assert_int_eq(wg_state_set(state, "p", WG_F64, WG_SHAPE(2), pair), WG_OK);
        ck_assert_int_eq(wg_run(s), WG_SHAPE);
        ck_assert_int_eq(wg_run(s), WG_SHAPE);
        ck_assert_int_eq(wg_state_set(state, "p", WG_F64, WG_SCALAR, &pair[0]), WG_OK);
        run_ok(s);
        ck_assert_double_eq(wg_scalar(s, y), 15);
        wg_session_free(s);
    }
}
END_TEST

/* ---- profiles ------------------------------------------------------------------------------------------ */

/* A large and a small piece of work that nothing can join: matmuls are steps of their own. */
static wg_var two_products(wg_var *x)
{
    *x = wg_input(t, "x", WG_F64, WG_SHAPE(192, 192));
    wg_var small = wg_slice(*x, (int64_t[]){0, 0}, 2, (int64_t[]){4, 4}, 2);
    return wg_add(wg_sum(wg_name(wg_matmul(*x, *x), "large")), wg_sum(wg_matmul(small, small)));
}

START_TEST(profiles)
{
    enum { RUNS = 5 };
    wg_var x, y = two_products(&x);
    double *data = calloc(192 * 192, sizeof *data);
    ck_assert_ptr_nonnull(data);
    for (int e = 0; e < NEXECUTORS; e++) {
        wg_session *s = open_with(executors[e], y, false);
        wg_profile_entry entry, largest = {0};
        wg_bind(s, x, data, 192 * 192 * sizeof *data);
        ck_assert_uint_eq(wg_session_profile_count(s), 0);
        ck_assert(!wg_session_profile_at(s, 0, &entry));
        ck_assert_int_eq(wg_session_profile(s, true), WG_OK);
        for (int i = 0; i < RUNS; i++)
            run_ok(s);
        size_t n = wg_session_profile_count(s), size = wg_tape_size(wg_program_tape(s->program));
        double sum = 0, shared = 0, *shares = calloc(size, sizeof *shares);
        ck_assert_uint_ge(n, 2);
        ck_assert_uint_eq(wg_session_profile_runs(s), RUNS);
        for (size_t i = 0; i < n; i++) {
            ck_assert(wg_session_profile_at(s, i, &entry));
            ck_assert_uint_ge(entry.nvalues, 1);
            ck_assert_double_ge(entry.seconds, 0);
            sum += entry.seconds;
            if (entry.seconds > largest.seconds)
                largest = entry;
        }
        ck_assert(!wg_session_profile_at(s, n, &entry));
        ck_assert_double_gt(largest.seconds, 0.5 * sum);
        ck_assert_double_ge(largest.bytes, 2 * 192 * 192 * sizeof *data);
        ck_assert(wg_session_profile_shares(s, shares, size));
        for (size_t i = 0; i < size; i++)
            shared += shares[i] >= 0 ? shares[i] : 0;
        ck_assert_double_eq_tol(shared, 1, 1e-9);
        ck_assert_int_eq(wg_session_profile(s, false), WG_OK);
        ck_assert_uint_eq(wg_session_profile_count(s), 0);
        run_ok(s);
        free(shares);
        wg_session_free(s);
    }
    free(data);
}
END_TEST

/* Steps that run side by side are measured together; each has its part. */
START_TEST(profiles_of_updates)
{
    wg_var loss = wg_f(0);
    for (int i = 0; i < 6; i++) {
        char name[8];
        snprintf(name, sizeof name, "p%d", i);
        wg_var p = wg_param(t, name, WG_F64, WG_SHAPE(50 + i), wg_init_ones());
        loss = i ? wg_add(loss, wg_sum(wg_square(p))) : wg_sum(wg_square(p));
        wg_assign(p, wg_mul(p, wg_f(0.9)));
    }
    for (int e = 0; e < NEXECUTORS; e++) {
        wg_session *s = open_with(executors[e], loss, false);
        wg_profile_entry entry;
        double sum = 0, all = 0;
        ck_assert_int_eq(wg_session_profile(s, true), WG_OK);
        for (int i = 0; i < 20; i++)
            run_ok(s);
        size_t n = wg_session_profile_count(s);
        for (size_t i = 0; i < n; i++) {
            ck_assert(wg_session_profile_at(s, i, &entry));
            sum += entry.seconds;
            all += (double)s->profile[i] * 1e-9;
        }
        ck_assert_double_gt(all, 0);
        ck_assert_double_eq_tol(sum, all, 1e-9 * all);
        wg_session_free(s);
    }
}
END_TEST

/* ---- explanations ---------------------------------------------------------------------------------------- */

static char *explain(const wg_program *p)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    ck_assert_ptr_nonnull(out);
    ck_assert_int_eq(wg_program_explain(p, out), WG_OK);
    ck_assert_int_eq(fclose(out), 0);
    return text;
}

START_TEST(explanations)
{
    wg_var x = wg_input(t, "x", WG_F32, WG_SHAPE(8, 4));
    wg_var w = wg_param(t, "w", WG_F32, WG_SHAPE(4, 3), wg_init_ones());
    wg_var y = wg_sum(wg_normal_logpdf(wg_matmul(x, w), wg_f(0), wg_f(3)));
    wg_assign(w, wg_mul(w, wg_f(0.9)));
    for (int e = 0; e < NEXECUTORS; e++) {
        wg_session *s = open_with(executors[e], y, true);
        char *text = explain(s->program), steps[32];
        snprintf(steps, sizeof steps, "steps: %zu\n",
                 s->program->code->executor->steps(s->program->code, 0));
        ck_has(text, "1 input, 1 param; gives: 1 output, 1 update");
        ck_has(text, "matmul");
        ck_has(text, "passes:\n  expand ");
        ck_has(text, steps);
        ck_has(text, "reads x");
        free(text);
        wg_session_free(s);
    }
    FILE *full = fopen("/dev/full", "w");
    wg_program *p = wg_compile(t, &y, 1, NULL);
    if (full) {
        ck_assert_int_eq(wg_program_explain(p, full), WG_IO);
        fclose(full);
    }
    ck_assert_int_eq(wg_program_explain(NULL, stdout), WG_INVALID);
    ck_assert_int_eq(wg_program_explain(p, NULL), WG_INVALID);
    wg_program_free(p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("session");
    TCase *c = tcase_create("session");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, binding_borrows);
    tcase_add_test(c, binding_copies_when_asked);
    tcase_add_test(c, misaligned_and_bools_are_copied);
    tcase_add_test(c, allocations);
    tcase_add_test(c, state_changes_are_seen);
    tcase_add_test(c, profiles);
    tcase_add_test(c, profiles_of_updates);
    tcase_add_test(c, explanations);
    suite_add_tcase(s, c);
    return run_suite(s);
}
