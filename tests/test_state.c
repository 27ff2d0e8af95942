/* States: initialisers, streams, types, files. */
#include <unistd.h>

#include "base/philox.h"
#include "fault.h"
#include "running.h"

/* ---- states ------------------------------------------------------------------------------------------------ */

START_TEST(philox_known_answers)
{
    static const uint32_t rows[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09,
         0x94fdcceb, 0x5001e420, 0x24126ea1}}; /* Random123, tests/kat_vectors */
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        wg__philox4x32_10(rows[i], rows[i] + 4, out);
        ck_assert_mem_eq(out, rows[i] + 6, sizeof out);
    }
}
END_TEST

typedef struct moments {
    double mean, var, low, high;
} moments;

static moments moments_of(const wg_tensor *x)
{
    moments m = {0, 0, INFINITY, -INFINITY};
    int64_t n = wg_shape_count(wg_tensor_type(x).shape);
    for (int64_t i = 0; i < n; i++) {
        double v = wg_tensor_get(x, i);
        m.mean += v / (double)n;
        m.var += v * v / (double)n;
        m.low = fmin(m.low, v);
        m.high = fmax(m.high, v);
    }
    m.var -= m.mean * m.mean;
    return m;
}

/* Mean, variance and bounds of each initialiser on [300, 100] against their formulas. */
START_TEST(initialisers)
{
    const struct {
        wg_init init;
        double mean, var, bound;
    } rows[] = {{wg_init_zeros(), 0, 0, 0},
                {wg_init_ones(), 1, 0, 1},
                {wg_init_constant(-2.5), -2.5, 0, 2.5},
                {wg_init_uniform(1, 3), 2, 4.0 / 12, 3},
                {wg_init_normal(1, 0.5), 1, 0.25, INFINITY},
                {wg_init_xavier(), 0, 2.0 / 400, sqrt(6.0 / 400)},
                {wg_init_xavier_normal(), 0, 2.0 / 400, INFINITY},
                {wg_init_he(), 0, 2.0 / 300, sqrt(6.0 / 300)},
                {wg_init_he_normal(), 0, 2.0 / 300, INFINITY}};
    wg_var p = wg_param(t, "p", WG_F64, WG_SHAPE(300, 100), rows[_i].init);
    wg_session *s = session(&p, 1, NULL);
    moments m = moments_of(wg_state_get(wg_session_state(s), "p"));
    double se = sqrt(rows[_i].var / 30000);
    ck_assert_double_le(fabs(m.mean - rows[_i].mean), 5 * se + 1e-9);
    ck_assert_double_le(fabs(m.var - rows[_i].var), 0.05 * rows[_i].var + 1e-9);
    ck_assert_double_le(fmax(-m.low, m.high), rows[_i].bound);
    wg_session_free(s);
}
END_TEST

/* A parameter's first value depends on seed and name, not on company or order. */
START_TEST(streams_are_independent)
{
    wg_var a = wg_param(t, "a", WG_F32, WG_SHAPE(8), wg_init_normal(0, 1));
    wg_var b = wg_param(t, "b", WG_F32, WG_SHAPE(8), wg_init_normal(0, 1));
    wg_program *both = compile((wg_var[]){a, b}, 2), *one = compile(&b, 1);
    wg_state *s[3];
    for (int i = 0; i < 3; i++) {
        s[i] = wg_state_new(ctx, i == 2 ? 8 : 7);
        ck_assert_int_eq(wg_state_init(s[i], i == 1 ? one : both), WG_OK);
    }
    const void *b0 = wg_tensor_data(wg_state_get(s[0], "b"));
    ck_assert_mem_eq(b0, wg_tensor_data(wg_state_get(s[1], "b")), 32);
    ck_assert_mem_ne(b0, wg_tensor_data(wg_state_get(s[2], "b")), 32);
    ck_assert_mem_ne(b0, wg_tensor_data(wg_state_get(s[0], "a")), 32);
    ck_assert_uint_eq(wg_state_count(s[0]), 2);
    ck_assert_str_eq(wg_state_name(s[0], 0), "a");
    ck_assert_ptr_null(wg_state_name(s[0], 2));
    for (int i = 0; i < 3; i++)
        wg_state_free(s[i]);
    wg_program_free(both);
    wg_program_free(one);
}
END_TEST

START_TEST(state_types_must_fit)
{
    wg_state *state = wg_state_new(ctx, 0);
    ck_assert_int_eq(wg_state_set(state, "p", WG_F64, WG_SHAPE(2), (double[]){1, 2}), WG_OK);
    ck_assert_int_eq(wg_state_set(state, "", WG_F64, WG_SCALAR, NULL), WG_INVALID);
    wg_var p = wg_param(t, "p", WG_F64, WG_SHAPE(3), wg_init_zeros());
    wg_program *program = compile(&p, 1);
    ck_assert_ptr_null(wg_session_new(program, state));
    ck_assert_int_eq(wg_state_status(state), WG_SHAPE);
    ck_has(wg_state_error(state), "f64[2]");
    ck_has(wg_state_error(state), "f64[3]");
    wg_state_set(state, "p", WG_F64, WG_SHAPE(3), (double[]){1, 2, 3});
    wg_session *s = wg_session_new(program, state);
    run_ok(s);
    wg_state_set(state, "p", WG_F64, WG_SHAPE(3), (double[]){4, 5, 6});
    run_ok(s);
    ck_assert_double_eq(((const double *)wg_output(s, p, NULL, NULL))[2], 6);
    wg_state_set(state, "p", WG_F32, WG_SHAPE(3), NULL);
    ck_assert_int_eq(wg_run(s), WG_SHAPE);
    wg_session_free(s);
    wg_program_free(program);
    wg_state_free(state);
}
END_TEST

START_TEST(state_saves_and_loads)
{
    char path[64];
    snprintf(path, sizeof path, "test_state.%ld.safetensors", (long)getpid());
    wg_state *a = wg_state_new(ctx, 0), *b = wg_state_new(ctx, 0);
    wg_state_set(a, "w", WG_F32, WG_SHAPE(2, 2), (float[]){1, 2, 3, NAN});
    wg_state_set(a, "adam/step", WG_I64, WG_SCALAR, (int64_t[]){INT64_C(1) << 60});
    wg_state_set(b, "w", WG_I32, WG_SHAPE(1), (int32_t[]){1});
    wg_state_set(b, "kept", WG_I32, WG_SHAPE(1), (int32_t[]){5});
    ck_assert_msg(wg_state_save(a, path) == WG_OK, "%s", wg_state_error(a));
    ck_assert_msg(wg_state_load(b, path) == WG_OK, "%s", wg_state_error(b));
    ck_assert_uint_eq(wg_state_count(b), 3);
    const wg_tensor *w = wg_state_get(b, "w");
    ck_assert(wg_tensor_type(w).dtype == WG_F32);
    ck_assert_mem_eq(wg_tensor_data(w), wg_tensor_data(wg_state_get(a, "w")), 16);
    ck_assert_int_eq(*(const int64_t *)wg_tensor_data(wg_state_get(b, "adam/step")), INT64_C(1)
                                                                                         << 60);
    ck_assert_double_eq(wg_tensor_get(wg_state_get(b, "kept"), 0), 5);
    ck_assert_int_eq(truncate(path, 20), 0);
    ck_assert_int_ne(wg_state_load(b, path), WG_OK);
    ck_assert_uint_eq(wg_state_count(b), 3);
    remove(path);
    ck_assert_int_eq(wg_state_load(b, path), WG_IO);
    wg_state_free(a);
    wg_state_free(b);
}
END_TEST

/* A load that fails leaves all as it was. */
static bool save_and_load(wg_ctx *c, void *user)
{
    const char *path = user;
    wg_state *s = wg_state_new(c, 0);
    bool good = s && !wg_state_set(s, "a", WG_F32, WG_SHAPE(2), (float[]){1, 2}) &&
                !wg_state_set(s, "b/c", WG_I64, WG_SCALAR, NULL) && !wg_state_save(s, path);
    wg_state *to = good ? wg_state_new(c, 0) : NULL;
    if (to && !wg_state_set(to, "z", WG_F32, WG_SHAPE(1), NULL)) {
        good = !wg_state_load(to, path);
        ck_assert_uint_eq(wg_state_count(to), good ? 3 : 1);
        ck_assert(!good == (wg_state_get(to, "b/c") == NULL));
    } else {
        good = false;
    }
    wg_state_free(s);
    wg_state_free(to);
    return good;
}

START_TEST(memory_failures_are_errors)
{
    char path[64];
    snprintf(path, sizeof path, "test_state.%ld.safetensors", (long)getpid());
    ck_assert_int_eq(fault_each(wg_ctx_new, save_and_load, path), 0);
    remove(path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("state");
    TCase *c = tcase_create("state");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, philox_known_answers);
    tcase_add_loop_test(c, initialisers, 0, 9);
    tcase_add_test(c, streams_are_independent);
    tcase_add_test(c, state_types_must_fit);
    tcase_add_test(c, state_saves_and_loads);
    tcase_add_test(c, memory_failures_are_errors);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
