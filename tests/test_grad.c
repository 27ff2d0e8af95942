/* Differentiation as graph: reverse, forward, higher order, the three absent answers, origins. */
#include <math.h>

#include "on_tape.h"
#include "rng.h"

static wg_var scalar(const char *name, double value)
{
    wg_var x = wg_input(t, name, WG_F64, WG_SCALAR);
    wg_set(x, &value, sizeof value);
    return x;
}

static double value(wg_var v)
{
    double x = wg_value_scalar(v);
    ck_assert_msg(!isnan(x), "%s", wg_tape_error(t));
    return x;
}

/* ---- closed forms ------------------------------------------------------------------------------ */

START_TEST(derivatives_to_order_five)
{
    /* d^n/dx^n of x sin(x) at 0.7, by Leibniz. */
    wg_var x = scalar("x", 0.7), y = wg_mul(x, wg_sin(x));
    for (int n = 1; n <= 5; n++) {
        y = wg_grad1(y, x);
        double want = 0.7 * sin(0.7 + n * M_PI / 2) + n * sin(0.7 + (n - 1) * M_PI / 2);
        ck_assert_double_eq_tol(value(y), want, 1e-12);
    }
}
END_TEST

START_TEST(fan_out_adds_up)
{
    wg_var x = scalar("x", 3);
    ck_assert_double_eq(value(wg_grad1(wg_mul(wg_mul(x, x), x), x)), 27);
    ck_assert_double_eq(value(wg_grad1(wg_sub(x, x), x)), 0);
    ck_assert_double_eq(value(wg_grad1(x, x)), 1);
    ck_assert_double_eq(value(wg_grad1(wg_div(x, x), x)), 0);
}
END_TEST

START_TEST(broadcast_operands_get_sums)
{
    wg_var a = wg_const(t, WG_F64, WG_SHAPE(2, 1), (double[]){1, 2});
    wg_var b = wg_const(t, WG_F64, WG_SHAPE(3), (double[]){3, 4, 5});
    wg_var s = wg_const(t, WG_F64, WG_SCALAR, (double[]){10});
    wg_var y = wg_sum(wg_mul(wg_mul(a, b), s)), d[3], xs[] = {a, b, s};
    ck_assert_int_eq(wg_grad(&y, 1, NULL, xs, 3, d), WG_OK);
    for (int i = 0; i < 3; i++) {
        wg_type x = wg_typeof(xs[i]), dx = wg_typeof(d[i]);
        ck_assert(wg_shape_equal(x.shape, dx.shape));
    }
    ck_assert_double_eq(at(d[0], 1), 120);
    ck_assert_double_eq(at(d[1], 2), 30);
    ck_assert_double_eq(value(d[2]), 36);
}
END_TEST

START_TEST(given_cotangents_and_many_outputs)
{
    wg_var x = wg_const(t, WG_F64, WG_SHAPE(2), (double[]){2, 3});
    wg_var ys[] = {wg_square(x), wg_sum(x)};
    wg_var c = wg_const(t, WG_F64, WG_SHAPE(2), (double[]){10, 100});
    wg_var dys[] = {c, wg_none()}, dx;
    ck_assert_int_eq(wg_grad(ys, 2, dys, &x, 1, &dx), WG_OK);
    ck_assert_double_eq(at(dx, 0), 41);
    ck_assert_double_eq(at(dx, 1), 601);
    wg_var twos[] = {wg_f(2), wg_f(2)}; /* literals are spread over the output */
    ck_assert_int_eq(wg_vjp(ys, 2, twos, &x, 1, &dx, NULL), WG_OK);
    ck_assert_double_eq(at(dx, 1), 14);
}
END_TEST

START_TEST(intermediate_values_are_targets_too)
{
    wg_var x = scalar("x", 0.5), h = wg_exp(x), y = wg_mul(h, x), d[2], xs[] = {h, x};
    ck_assert_int_eq(wg_grad(&y, 1, NULL, xs, 2, d), WG_OK);
    ck_assert_double_eq(value(d[0]), 0.5);
    ck_assert_double_eq_tol(value(d[1]), exp(0.5) * 1.5, 1e-15);
}
END_TEST

START_TEST(a_hessian_by_forward_over_reverse)
{
    /* Rosenbrock at (-1.2, 1): the Hessian is [[1330, 480], [480, 200]]. */
    wg_var x = scalar("x", -1.2), y = scalar("y", 1), xs[] = {x, y}, g[2], h[2];
    wg_var f = wg_add(wg_square(wg_sub(wg_f(1), x)),
                      wg_mul(wg_f(100), wg_square(wg_sub(y, wg_square(x)))));
    ck_assert_int_eq(wg_grad(&f, 1, NULL, xs, 2, g), WG_OK);
    ck_assert_double_eq_tol(value(g[0]), -215.6, 1e-11);
    const double want[2][2] = {{1330, 480}, {480, 200}};
    for (int i = 0; i < 2; i++) {
        wg_var e[2] = {wg_full(t, wg_typeof(x), i == 0), wg_full(t, wg_typeof(x), i == 1)};
        ck_assert_int_eq(wg_jvp(g, 2, xs, 2, e, h), WG_OK);
        for (int j = 0; j < 2; j++) {
            ck_assert_double_eq_tol(value(h[j]), want[i][j], 1e-11);
            ck_assert_double_eq_tol(value(wg_grad1(g[i], xs[j])), want[i][j], 1e-11);
        }
    }
}
END_TEST

START_TEST(forward_mode)
{
    wg_var x = wg_const(t, WG_F64, WG_SHAPE(2, 2), (double[]){1, 2, 3, 4});
    wg_var v = wg_const(t, WG_F64, WG_SHAPE(2, 2), (double[]){1, 0, 0, 1});
    wg_var y = wg_matmul(x, x), ty, xs[] = {x, x}, tx[] = {v, v};
    ck_assert_int_eq(wg_jvp(&y, 1, &x, 1, &v, &ty), WG_OK); /* d(XX) = VX + XV = 2X */
    for (int i = 0; i < 4; i++)
        ck_assert_double_eq(at(ty, i), 2 * at(x, i));
    ck_assert_int_eq(wg_jvp(&y, 1, xs, 2, tx, &ty), WG_OK); /* a target twice: tangents add */
    ck_assert_double_eq(at(ty, 3), 16);
    wg_var none = wg_none();
    ck_assert_int_eq(wg_jvp(&y, 1, &x, 1, &none, &ty), WG_OK);
    ck_assert_double_eq(at(ty, 0), 0);
}
END_TEST

/* VJP and JVP of composites of everything agree: <c, J v> = <J' c, v>. */
START_TEST(reverse_and_forward_agree)
{
    rng r = rng_make((uint64_t)_i);
    double data[12], dv[12];
    for (int i = 0; i < 12; i++) {
        data[i] = 2 * rng_unit(&r) - 1;
        dv[i] = 2 * rng_unit(&r) - 1;
    }
    wg_var x = wg_const(t, WG_F64, WG_SHAPE(3, 4), data);
    wg_var v = wg_const(t, WG_F64, WG_SHAPE(3, 4), dv);
    const wg_var one[] = {wg_logsumexp_with(x, WG_AXES(1), true),
                          wg_softmax(x),
                          wg_log_softmax(x),
                          wg_max_with(x, WG_AXES(0), false),
                          wg_prod_with(x, WG_AXES(1), false),
                          wg_gelu(x),
                          wg_softplus(wg_mul(wg_f(3), x)),
                          wg_cumsum_with(x, 1, true, true),
                          wg_clamp(x, -0.5, 0.5),
                          wg_normal_logpdf(x, wg_f(0.3), wg_f(2)),
                          wg_matmul_with(x, wg_tanh(x), false, true),
                          wg_gather(x, wg_const(t, WG_I32, WG_SHAPE(3), (int32_t[]){2, 0, 2})),
                          wg_pad(x, (int64_t[]){1, 0}, 2, (int64_t[]){0, 2}, 2)};
    for (size_t k = 0; k < sizeof one / sizeof *one; k++) {
        wg_var y = one[k], ty, dx, d2;
        wg_var c = wg_sin(y); /* any cotangent */
        wg_var fixed = wg_stop_gradient(c);
        ck_assert_int_eq(wg_jvp(&y, 1, &x, 1, &v, &ty), WG_OK);
        ck_assert_int_eq(wg_vjp(&y, 1, &fixed, &x, 1, &dx, NULL), WG_OK);
        double left = value(wg_sum(wg_mul(c, ty))), right = value(wg_sum(wg_mul(dx, v)));
        ck_assert_msg(fabs(left - right) <= 1e-12 * (1 + fabs(left)), "case %zu: %g, %g", k, left,
                      right);
        /* The same for the first derivative as a function. */
        wg_var s = wg_sum(wg_mul(dx, v));
        ck_assert_int_eq(wg_jvp(&s, 1, &x, 1, &v, &ty), WG_OK);
        d2 = wg_grad1(s, x);
        ck_assert_msg(wg_ok(d2), "case %zu: %s", k, wg_tape_error(t));
        left = value(ty);
        right = value(wg_sum(wg_mul(d2, v)));
        ck_assert_msg(fabs(left - right) <= 1e-11 * (1 + fabs(left)), "case %zu, 2: %g, %g", k,
                      left, right);
    }
}
END_TEST

/* A target in the middle moves by its own tangent and by what reaches it: J t is linear in t, and
 * the transpose of the VJP. */
START_TEST(targets_in_the_middle_add_up)
{
    wg_var x = scalar("x", 0.7), z = wg_sin(x), y = wg_mul(z, x), xs[] = {x, z}, d[2], ty;
    ck_assert_int_eq(wg_grad(&y, 1, NULL, xs, 2, d), WG_OK);
    wg_var t0[] = {wg_f(2), wg_f(-3)}, t1[] = {wg_f(2), wg_none()}, t2[] = {wg_f(2), wg_f(0)};
    ck_assert_int_eq(wg_jvp(&y, 1, xs, 2, t0, &ty), WG_OK);
    ck_assert_double_eq_tol(value(ty), 2 * value(d[0]) - 3 * value(d[1]), 1e-14);
    ck_assert_int_eq(wg_jvp(&y, 1, xs, 2, t1, &ty), WG_OK);
    ck_assert_double_eq_tol(value(ty), 2 * value(d[0]), 1e-14);
    ck_assert_int_eq(wg_jvp(&y, 1, xs, 2, t2, &ty), WG_OK);
    ck_assert_double_eq_tol(value(ty), 2 * value(d[0]), 1e-14);
}
END_TEST

START_TEST(a_named_dimension_of_one_broadcasts_like_any_other)
{
    wg_var x = wg_input(t, "x", WG_F64, wg_shape_symbol(ctx, WG_SHAPE(1), 0, "N"));
    double two = 2;
    wg_set(x, &two, sizeof two);
    wg_var k = wg_const(t, WG_F64, WG_SHAPE(2, 3), (double[]){1, 2, 3, 4, 5, 6});
    ck_assert_double_eq(at(wg_grad1(wg_sum(wg_mul(x, k)), x), 0), 21);
    ck_assert_double_eq(at(wg_grad1(wg_sum(wg_square(wg_sub(k, x))), x), 0), -18);
}
END_TEST

static void expand_itself(wg_rule *r)
{
    wg_apply(r->tape, "ouroboros", r->in, 1, NULL, 0, r->result, 1);
}

static wg_status infer_same(wg_infer *q)
{
    q->out[0] = q->in[0];
    return WG_OK;
}

START_TEST(an_expansion_without_end_is_an_error)
{
    const wg_op op = {WG_OP, .sig = "ouroboros(x) -> y", .infer = infer_same,
                      .expand = expand_itself};
    ck_assert_int_eq(wg_register(ctx, &op, NULL), WG_OK);
    wg_var x = scalar("x", 1), y, one = wg_f(1), ty;
    wg_apply(t, "ouroboros", &x, 1, NULL, 0, &y, 1);
    ck_assert(!wg_ok(wg_grad1(y, x)));
    expect_error(WG_INVALID, "never ends");
    ck_assert_int_ne(wg_jvp(&y, 1, &x, 1, &one, &ty), WG_OK);
    expect_error(WG_INVALID, "never ends");
    ck_assert_ptr_null(wg_compile(t, &y, 1, NULL));
    expect_error(WG_INVALID, "never ends");
}
END_TEST

/* ---- safe products and kinks ------------------------------------------------------------------------ */

START_TEST(a_guarded_log_has_a_finite_gradient)
{
    wg_var x = wg_const(t, WG_F64, WG_SHAPE(3), (double[]){0, -1, 2});
    wg_var y = wg_where(wg_greater(x, wg_f(0)), wg_log(x), wg_f(0));
    wg_var g = wg_grad1(wg_sum(y), x), gg = wg_grad1(wg_sum(g), x);
    const double want[] = {0, 0, 0.5}, second[] = {0, 0, -0.25};
    for (int i = 0; i < 3; i++) {
        ck_assert_double_eq(at(g, i), want[i]);
        ck_assert_double_eq(at(gg, i), second[i]);
    }
    wg_var z = wg_const(t, WG_F64, WG_SCALAR, (double[]){0});
    ck_assert_double_eq(value(wg_grad1(wg_mul(wg_f(0), wg_sqrt(z)), z)), 0);
    ck_assert_double_eq(value(wg_grad1(wg_pow(z, wg_f(2)), z)), 0);
}
END_TEST

START_TEST(kinks_are_as_promised)
{
    wg_var zero = scalar("zero", 0), one = scalar("one", 1);
    ck_assert_double_eq(value(wg_grad1(wg_abs(zero), zero)), 0);
    ck_assert_double_eq(value(wg_grad1(wg_relu(zero), zero)), 0);
    ck_assert_double_eq(value(wg_grad1(wg_maximum(zero, wg_f(0)), zero)), 0.5);
    ck_assert_double_eq(value(wg_grad1(wg_clamp(one, 0, 1), one)), 1);
    wg_var x = wg_const(t, WG_F64, WG_SHAPE(4), (double[]){3, 1, 3, 3});
    wg_var g = wg_grad1(wg_max(x), x);
    ck_assert_double_eq_tol(at(g, 0), 1.0 / 3, 1e-16);
    ck_assert_double_eq(at(g, 1), 0);
}
END_TEST

/* ---- the three absent answers ------------------------------------------------------------------------ */

START_TEST(zero_disconnected_and_not_differentiable_differ)
{
    wg_var x = scalar("x", 2), far = scalar("far", 1), dx[3];
    wg_var y = wg_add(wg_sign(x), wg_mul(wg_stop_gradient(far), wg_f(2)));
    wg_var xs[] = {x, far}, c = wg_f(1);
    bool connected[2];
    ck_assert_int_eq(wg_vjp(&y, 1, &c, xs, 2, dx, connected), WG_OK);
    ck_assert(wg_is_none(dx[0]) && connected[0]);
    ck_assert(wg_is_none(dx[1]) && !connected[1]);
    ck_assert_int_eq(wg_grad(&y, 1, NULL, xs, 2, dx), WG_OK); /* here both are zeros */
    ck_assert_double_eq(value(dx[0]), 0);
    ck_assert_double_eq(value(dx[1]), 0);
    wg_var p = wg_name(wg_sigmoid(x), "rate");
    wg_var draw = wg_random_bernoulli(wg_i(1), p, WG_SHAPE(3));
    wg_var z = wg_sum(wg_where(draw, wg_f(1), x));
    ck_assert_msg(wg_ok(wg_grad1(z, x)), "%s", wg_tape_error(t)); /* through x alone */
}
END_TEST

static wg_status run_copy(const wg_kernel_call *c)
{
    memcpy(c->out[0].data, c->in[0].data,
           (size_t)wg_shape_count(c->in[0].type->shape) * sizeof(double));
    return WG_OK;
}

static void refuse(wg_rule *r) { r->din[0] = wg_not_differentiable(); }

static void wrong_type(wg_rule *r) { r->din[0] = wg_sum(r->dout[0]); }

START_TEST(bad_rules_are_named)
{
    static const wg_kernel k[] = {{WG_KERNEL, .types = "d->d", .run = run_copy}};
    const wg_op ops[] = {
        {WG_OP, .sig = "no_rule(x) -> y", .infer = infer_same, .kernels = k, .nkernels = 1},
        {WG_OP, .sig = "refuses(x) -> y", .infer = infer_same, .vjp = refuse, .kernels = k,
         .nkernels = 1},
        {WG_OP, .sig = "wrong_type(x) -> y", .infer = infer_same, .vjp = wrong_type, .kernels = k,
         .nkernels = 1}};
    wg_var x = wg_input(t, "x", WG_F64, WG_SHAPE(3)), y, dx;
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(wg_register(ctx, &ops[i], NULL), WG_OK);
        char name[16] = "";
        strncpy(name, ops[i].sig, strcspn(ops[i].sig, "("));
        wg_scope_push(t, "layer7");
        wg_apply(t, name, &x, 1, NULL, 0, &y, 1);
        wg_name(y, "culprit");
        wg_scope_pop(t);
        wg_var s = wg_sum(y);
        ck_assert_int_ne(wg_grad(&s, 1, NULL, &x, 1, &dx), WG_OK);
        ck_assert(!wg_ok(dx));
        expect_error(i == 2 ? WG_INTERNAL : WG_NOT_DIFFERENTIABLE, name);
        /* Where nobody asks for the derivative, nothing is wrong. */
        ck_assert(wg_ok(wg_grad1(wg_sum(wg_mul(wg_stop_gradient(y), x)), x)));
    }
}
END_TEST

START_TEST(misuse_is_an_error)
{
    wg_var x = wg_input(t, "x", WG_F64, WG_SHAPE(3)), k = wg_input(t, "k", WG_I32, WG_SHAPE(3));
    wg_var d, y = wg_exp(x), s = wg_sum(y), bad = wg_sum(x);
    ck_assert(!wg_ok(wg_grad1(y, x)));
    expect_error(WG_SHAPE, "rank 1");
    ck_assert(!wg_ok(wg_grad1(s, k)));
    expect_error(WG_DTYPE, "i32");
    wg_grad(&y, 1, &bad, &x, 1, &d);
    expect_error(WG_SHAPE, "cotangent 0");
    wg_vjp(&y, 1, NULL, &x, 1, &d, NULL);
    expect_error(WG_INVALID, "missing");
    wg_jvp(&y, 1, &x, 1, &s, &d);
    expect_error(WG_SHAPE, "tangent 0");
    ck_assert(!wg_ok(wg_grad1(wg_f(1), wg_f(2))));
    ck_assert(!wg_ok(wg_grad1(s, wg_f(2))));
    expect_error(WG_INVALID, "literal");
    ck_assert_int_eq(wg_grad(&s, 1, NULL, NULL, 0, NULL), WG_OK); /* nothing is asked for */
}
END_TEST

/* ---- what is recorded ---------------------------------------------------------------------------------- */

START_TEST(backward_nodes_know_where_they_come_from)
{
    wg_var x = wg_input(t, "x", WG_F64, WG_SHAPE(3));
    wg_scope_push(t, "net");
    wg_var h = wg_name(wg_tanh(x), "hidden");
    wg_scope_pop(t);
    wg_var y = wg_sum(wg_square(h));
    size_t forward = wg_tape_size(t);
    wg_grad1(y, x);
    bool from_hidden = false;
    for (uint32_t id = 0; id < wg_tape_size(t); id++) {
        const wg__node *n = wg__node_at(t, id);
        ck_assert_msg((n->origin != 0) == (id >= forward), "value %u", id);
        if (n->origin == (uint32_t)h.bits + 1) {
            from_hidden = true;
            ck_assert_uint_eq(n->scope, wg__node_at(t, (uint32_t)h.bits)->scope);
        }
    }
    ck_assert(from_hidden);
    ck_assert_uint_eq(t->origin, 0);
}
END_TEST

START_TEST(only_what_is_asked_for_is_recorded)
{
    wg_var x = wg_input(t, "x", WG_F64, WG_SHAPE(4, 4)),
           w = wg_input(t, "w", WG_F64, WG_SHAPE(4, 4));
    wg_var y = wg_sum(wg_matmul(x, w));
    size_t before = wg_tape_size(t);
    wg_grad1(y, w);
    size_t matmuls = 0;
    for (uint32_t id = (uint32_t)before; id < wg_tape_size(t); id++)
        matmuls += strcmp(wg__op_of(t, id)->name, "matmul") == 0;
    ck_assert_uint_eq(matmuls, 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("grad");
    TCase *c = case_on_tape(s, 60);
    tcase_add_test(c, derivatives_to_order_five);
    tcase_add_test(c, fan_out_adds_up);
    tcase_add_test(c, broadcast_operands_get_sums);
    tcase_add_test(c, given_cotangents_and_many_outputs);
    tcase_add_test(c, intermediate_values_are_targets_too);
    tcase_add_test(c, a_hessian_by_forward_over_reverse);
    tcase_add_test(c, forward_mode);
    tcase_add_loop_test(c, reverse_and_forward_agree, 1, 6);
    tcase_add_test(c, targets_in_the_middle_add_up);
    tcase_add_test(c, a_named_dimension_of_one_broadcasts_like_any_other);
    tcase_add_test(c, an_expansion_without_end_is_an_error);
    tcase_add_test(c, a_guarded_log_has_a_finite_gradient);
    tcase_add_test(c, kinks_are_as_promised);
    tcase_add_test(c, zero_disconnected_and_not_differentiable_differ);
    tcase_add_test(c, bad_rules_are_named);
    tcase_add_test(c, misuse_is_an_error);
    tcase_add_test(c, backward_nodes_know_where_they_come_from);
    tcase_add_test(c, only_what_is_asked_for_is_recorded);
    return run_suite(s);
}
