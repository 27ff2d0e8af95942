/* Passes and compiling. */
#include "running.h"

/* ---- passes ------------------------------------------------------------------------------------------ */

static wg_status infer_same(wg_infer *q)
{
    q->out[0] = q->in[0];
    return WG_OK;
}

static void expand_double(wg_rule *r) { r->result[0] = wg_add(r->in[0], r->in[0]); }

static void expand_four(wg_rule *r)
{
    wg_var two;
    wg_apply(r->tape, "twice", r->in, 1, NULL, 0, &two, 1);
    wg_apply(r->tape, "twice", &two, 1, NULL, 0, &r->result[0], 1);
}

static void expand_forever(wg_rule *r)
{
    wg_apply(r->tape, "forever", r->in, 1, NULL, 0, &r->result[0], 1);
}

static void expand_wrong(wg_rule *r) { r->result[0] = wg_reshape(r->in[0], WG_SHAPE(1, 1, 1)); }

static void register_composites(void)
{
    const struct {
        const char *sig;
        wg_expand_fn expand;
    } ops[] = {{"twice(x: float) -> y", expand_double},
               {"four_times(x: float) -> y", expand_four},
               {"forever(x: float) -> y", expand_forever},
               {"wrong(x: float) -> y", expand_wrong}};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        const wg_op op = {WG_OP, .sig = ops[i].sig, .doc = "Test.", .infer = infer_same,
                          .expand = ops[i].expand};
        const char *error = "";
        ck_assert_msg(wg_register(ctx, &op, &error) == WG_OK, "%s", error);
    }
}

START_TEST(composites_expand)
{
    register_composites();
    wg_var x = scalar_param("x", 3);
    wg_tape *body = wg_fn_begin(t, "body");
    wg_var c = wg_fn_input(body, "c", WG_F64, WG_SCALAR);
    wg_var four = apply1("four_times", c);
    wg_fn fn = wg_fn_end(body, &four, 1);
    wg_var called;
    wg_call(fn, &x, 1, &called, 1);
    wg_var y = wg_add(apply1("four_times", x), called);
    wg_session *s = session(&y, 1, NULL);
    run_ok(s);
    ck_assert_double_eq(wg_scalar(s, y), 24);
    ck_assert_double_eq(wg_value_scalar(y), 24);
    wg_session_free(s);
}
END_TEST

/* Each body calls the two before it: more than 2^40 runs, but few bodies to compile. */
START_TEST(shared_bodies_compile_once)
{
    enum { FNS = 60 };
    register_composites();
    wg_var y, x = wg_input(t, "x", WG_F64, WG_SCALAR);
    wg_fn fn[FNS];
    for (int k = 0; k < FNS; k++) {
        wg_tape *body = wg_fn_begin(t, "f");
        wg_var a = apply1("twice", wg_fn_input(body, "u", WG_F64, WG_SCALAR));
        for (int i = 1; i <= 2 && k >= 2; i++)
            ck_assert_int_eq(wg_call(fn[k - i], &a, 1, &a, 1), WG_OK);
        fn[k] = wg_fn_end(body, &a, 1);
    }
    ck_assert_int_eq(wg_call(fn[FNS - 1], &x, 1, &y, 1), WG_OK);
    wg_program *p = wg_compile(t, &y, 1, NULL);
    ck_assert_msg(p != NULL, "%s", wg_tape_error(t));
    ck_assert_uint_lt(wg_program_bytes(p), 1 << 20);
    wg_program_free(p);
    ck_assert_int_eq(wg_set(x, &(double){1}, sizeof(double)), WG_OK);
}
END_TEST

START_TEST(bad_expansions_are_errors)
{
    register_composites();
    wg_var x = scalar_param("x", 3), y = apply1(_i ? "wrong" : "forever", x);
    ck_assert_ptr_null(wg_compile(t, &y, 1, NULL));
    ck_assert_int_eq(wg_tape_status(t), _i ? WG_INTERNAL : WG_INVALID);
    ck_has(wg_tape_error(t), _i ? "wrong" : "forever");
}
END_TEST

/* The order of recording leaves no trace, dead code neither. */
START_TEST(canonical_order)
{
    wg_program *p[2];
    for (int k = 0; k < 2; k++) {
        wg_tape *tape = wg_tape_new(ctx);
        wg_var x = wg_input(tape, "x", WG_F64, WG_SHAPE(3)), a, b;
        if (k) {
            b = wg_cos(x);
            wg_exp(b);
            a = wg_sin(x);
        } else {
            a = wg_sin(x);
            b = wg_cos(x);
        }
        wg_var y = wg_mul(a, b);
        p[k] = wg_compile(tape, &y, 1, NULL);
        wg_tape_free(tape);
    }
    ck_assert(wg_tape_equal(wg_program_tape(p[0]), wg_program_tape(p[1])));
    ck_assert_uint_eq(wg_tape_size(wg_program_tape(p[1])), 4);
    wg_program_free(p[0]);
    wg_program_free(p[1]);
}
END_TEST

START_TEST(compile_errors)
{
    wg_var x = wg_input(t, "x", WG_F64, WG_SCALAR);
    wg_compile_options options = WG_COMPILE_DEFAULTS;
    options.executor = "warp";
    ck_assert_ptr_null(wg_compile(t, &x, 1, &options));
    ck_has(wg_tape_error(t), "reference");
    wg_tape_clear_error(t);
    ck_assert_ptr_null(wg_compile(t, (wg_var[]){wg_none()}, 1, NULL));
    ck_assert_int_eq(wg_tape_status(t), WG_INVALID);
    wg_tape_clear_error(t);
    wg_var bad = wg_param(t, "bad", WG_F64, WG_SCALAR, (wg_init){"sideways", 0, 0});
    ck_assert_ptr_null(wg_compile(t, &bad, 1, NULL));
    ck_has(wg_tape_error(t), "sideways");
    ck_has(wg_tape_error(t), "xavier_normal");
    wg_tape_clear_error(t);
    wg_var nan = wg_param(t, "nan", WG_F64, WG_SCALAR, wg_init_constant(NAN));
    ck_assert_ptr_null(wg_compile(t, &nan, 1, NULL));
    ck_has(wg_tape_error(t), "NaN");
    ck_assert_ptr_null(wg_compile(t, &x, 1, NULL)); /* an error sticks */
    ck_assert_ptr_null(wg_compile(NULL, &x, 1, NULL));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pass");
    TCase *c = tcase_create("pass");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, composites_expand);
    tcase_add_test(c, shared_bodies_compile_once);
    tcase_add_loop_test(c, bad_expansions_are_errors, 0, 2);
    tcase_add_test(c, canonical_order);
    tcase_add_test(c, compile_errors);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
