/* wg_value and wg_set. */
#include "running.h"

/* ---- wg_value -------------------------------------------------------------------------------------------- */

static void count_loop(size_t n, char *const *data, const ptrdiff_t *stride, const double *attrs,
                       void *user)
{
    (void)attrs;
    *(int *)user += 1;
    for (size_t i = 0; i < n; i++)
        *(double *)(void *)(data[1] + (ptrdiff_t)i * stride[1]) =
            *(const double *)(const void *)(data[0] + (ptrdiff_t)i * stride[0]);
}

START_TEST(values_are_remembered)
{
    int runs = 0;
    const wg_kernel kernel = {WG_KERNEL, .types = "d->d", .loop = count_loop};
    const wg_op op = {WG_OP,
                      .sig = "counted(x: float) -> y",
                      .doc = "Test.",
                      .kernels = &kernel,
                      .flags = WG_OP_ELEMENTWISE,
                      .nkernels = 1,
                      .data = &runs};
    ck_assert_int_eq(wg_register(ctx, &op, NULL), WG_OK);
    wg_var x = wg_input(t, "x", WG_F64, WG_SCALAR), p = scalar_param("p", 4);
    wg_var y = apply1("counted", wg_mul(x, p)), z = wg_add(y, wg_f(1));
    wg_assign(p, z);
    ck_assert_ptr_null(wg_value(z));
    ck_assert_int_eq(wg_tape_status(t), WG_UNBOUND);
    ck_has(wg_tape_error(t), "\"x\"");
    wg_tape_clear_error(t);
    double two = 2, half = 0.5;
    ck_assert_int_eq(wg_set(x, &two, sizeof two), WG_OK);
    ck_assert_double_eq(wg_value_scalar(z), 9);
    const wg_tensor *kept = wg_value(y);
    ck_assert_double_eq(wg_tensor_get(kept, 0), 8);
    ck_assert_ptr_eq(wg_value(y), kept);
    ck_assert_double_eq(wg_value_scalar(wg_mul(y, z)), 72);
    ck_assert_int_eq(runs, 1);
    ck_assert_double_eq(wg_value_scalar(p), 4); /* no effects */
    ck_assert_int_eq(wg_set(p, &half, sizeof half), WG_OK);
    ck_assert_double_eq(wg_value_scalar(z), 2);
    ck_assert_int_eq(runs, 2);
    ck_assert_int_eq(wg_set(z, &half, sizeof half), WG_INVALID);
    wg_tape_clear_error(t);
    ck_assert_int_eq(wg_set(p, &half, 3), WG_SHAPE);
    ck_assert_double_eq(wg_value_scalar(wg_f(2.5)), 2.5);
    ck_assert_ptr_null(wg_value(wg_none()));
}
END_TEST

START_TEST(values_inside_bodies)
{
    wg_var w = scalar_param("w", 3);
    wg_tape *body = wg_fn_begin(t, "body");
    wg_var x = wg_fn_input(body, "x", WG_F64, WG_SCALAR), y = wg_mul(x, w);
    ck_assert(isnan(wg_value_scalar(y)));
    wg_tape_clear_error(t);
    double five = 5;
    wg_set(x, &five, sizeof five);
    ck_assert_double_eq(wg_value_scalar(y), 15);
    wg_set(w, &five, sizeof five);
    ck_assert_double_eq(wg_value_scalar(y), 25);
}
END_TEST

/* A define-by-run loop: values between recordings, and a rewind. */
START_TEST(define_by_run)
{
    wg_var x = scalar_param("x", 1);
    const int want[] = {10, 7, 5}; /* 2^10, 3^7, 4^5 */
    wg_mark mark = wg_tape_mark(t);
    for (int round = 0; round < 3; round++) {
        wg_var y = x;
        int steps = 0;
        while (wg_value_scalar(y) < 1000) {
            y = wg_mul(y, wg_f(round + 2));
            steps++;
        }
        ck_assert_int_eq(steps, want[round]);
        wg_tape_rewind(t, mark);
        ck_assert(isnan(wg_value_scalar(y)));
        wg_tape_clear_error(t);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("value");
    TCase *c = tcase_create("value");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, values_are_remembered);
    tcase_add_test(c, values_inside_bodies);
    tcase_add_test(c, define_by_run);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
