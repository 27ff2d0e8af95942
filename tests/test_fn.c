/* Sub-tapes: fn, captures, call, inline, scan, and their derivatives. */
#include <math.h>

#include "on_tape.h"
#include "rng.h"

static void same(wg_var a, wg_var b, double tol, const char *what)
{
    wg_type type = wg_typeof(a), other = wg_typeof(b);
    ck_assert_msg(wg_ok(a) && wg_ok(b), "%s: %s", what, wg_tape_error(t));
    ck_assert_msg(wg_shape_equal(type.shape, other.shape), "%s", what);
    for (int64_t i = 0; i < wg_shape_count(type.shape); i++)
        ck_assert_msg(fabs(at(a, i) - at(b, i)) <= tol * (1 + fabs(at(b, i))),
                      "%s [%lld]: %.17g, %.17g", what, (long long)i, at(a, i), at(b, i));
}

static wg_var random_const(wg_dtype dtype, wg_shape shape, uint64_t seed)
{
    rng r = rng_make(seed);
    double data[64];
    ck_assert_int_le(wg_shape_count(shape), 64);
    for (int i = 0; i < 64; i++)
        data[i] = 2 * rng_unit(&r) - 1;
    return wg_const(t, dtype, shape, data);
}

/* ---- call and inline -------------------------------------------------------------------------------- */

START_TEST(a_call_is_its_body)
{
    wg_var x = random_const(WG_F64, WG_SHAPE(3), 1), w = random_const(WG_F64, WG_SHAPE(3), 2);
    wg_tape *b = wg_fn_begin(t, "f");
    wg_var a = wg_fn_input(b, "a", WG_F64, WG_SHAPE(3));
    wg_var s = wg_sin(wg_mul(a, w)); /* w is captured */
    wg_fn f = wg_fn_end(b, (wg_var[]){s, wg_sum(s)}, 2);
    ck_assert(wg_fn_ok(f));
    ck_assert_uint_eq(wg_fn_ninputs(f), 1);
    ck_assert_uint_eq(wg_fn_noperands(f), 2);
    wg_var caught[1], called[2], inlined[2], direct = wg_sin(wg_mul(x, w));
    ck_assert_uint_eq(wg_fn_captures(f, 1, caught), 1);
    ck_assert(caught[0].bits == w.bits);
    ck_assert_int_eq(wg_call(f, &x, 1, called, 2), WG_OK);
    ck_assert_int_eq(wg_inline(t, f, &x, 1, inlined, 2), WG_OK);
    same(called[0], direct, 0, "call");
    same(inlined[0], direct, 0, "inline");
    same(called[1], inlined[1], 0, "sum");
    wg_var xs[] = {x, w}, d[2], want[2], ty, wy, v = random_const(WG_F64, WG_SHAPE(3), 3);
    wg_var y = wg_add(called[1], wg_sum(wg_exp(called[0])));
    wg_var z = wg_add(wg_sum(direct), wg_sum(wg_exp(direct)));
    ck_assert_int_eq(wg_grad(&y, 1, NULL, xs, 2, d), WG_OK);
    ck_assert_int_eq(wg_grad(&z, 1, NULL, xs, 2, want), WG_OK);
    same(d[0], want[0], 1e-14, "dx");
    same(d[1], want[1], 1e-14, "dw");
    ck_assert_int_eq(wg_jvp(&y, 1, &w, 1, &v, &ty), WG_OK);
    ck_assert_int_eq(wg_jvp(&z, 1, &w, 1, &v, &wy), WG_OK);
    same(ty, wy, 1e-14, "jvp");
    same(wg_grad1(wg_sum(wg_square(d[0])), w), wg_grad1(wg_sum(wg_square(want[0])), w), 1e-13,
         "second order");
}
END_TEST

START_TEST(captures_reach_through_levels)
{
    wg_var w = random_const(WG_F64, WG_SHAPE(2), 1), x = random_const(WG_F64, WG_SHAPE(2), 2);
    wg_tape *outer = wg_fn_begin(t, "outer");
    wg_var a = wg_fn_input(outer, "a", WG_F64, WG_SHAPE(2));
    wg_tape *inner = wg_fn_begin(outer, "inner");
    wg_var b = wg_fn_input(inner, "b", WG_F64, WG_SHAPE(2));
    wg_var prod = wg_mul(wg_mul(b, w), a); /* from two levels up and from one */
    wg_fn g = wg_fn_end(inner, &prod, 1);
    wg_var y, out;
    ck_assert_int_eq(wg_call(g, &a, 1, &y, 1), WG_OK);
    wg_fn f = wg_fn_end(outer, &y, 1);
    ck_assert_int_eq(wg_call(f, &x, 1, &out, 1), WG_OK);
    same(out, wg_mul(wg_square(x), w), 1e-15, "x w x");
    same(wg_grad1(wg_sum(out), x), wg_mul(wg_f(2), wg_mul(x, w)), 1e-15, "2 x w");
}
END_TEST

START_TEST(an_op_on_outer_values_stays_outside)
{
    wg_var w = random_const(WG_F64, WG_SHAPE(2), 1);
    wg_tape *b = wg_fn_begin(t, "f");
    wg_var a = wg_fn_input(b, "a", WG_F64, WG_SHAPE(2));
    wg_var hoisted = wg_exp(w), y = wg_add(a, hoisted);
    ck_assert_ptr_eq(hoisted.tape, t);
    ck_assert_ptr_eq(y.tape, b);
    wg_fn f = wg_fn_end(b, &y, 1);
    wg_var out;
    ck_assert_int_eq(wg_call(f, &w, 1, &out, 1), WG_OK);
    same(out, wg_add(w, wg_exp(w)), 0, "w + exp w");
}
END_TEST

START_TEST(misuse_of_sub_tapes)
{
    wg_var x = random_const(WG_F64, WG_SHAPE(2), 1), out[4];
    wg_tape *b = wg_fn_begin(t, "f");
    wg_var a = wg_fn_input(b, "a", WG_F64, WG_SHAPE(2));
    wg_assign(wg_param(b, "p", WG_F64, WG_SHAPE(2), wg_init_zeros()), a);
    expect_error(WG_INVALID, "no effects");
    wg_input(b, "i", WG_F64, WG_SHAPE(2));
    expect_error(WG_INVALID, "formal");
    wg_var y = wg_mul(a, x);
    wg_fn_input(b, "late", WG_F64, WG_SHAPE(2));
    expect_error(WG_INVALID, "before outer values");
    wg_add(x, y); /* an inner value can be used inside only: the op lands inside */
    ck_assert_int_eq(wg_tape_status(t), WG_OK);
    wg_fn f = wg_fn_end(b, &y, 1);
    wg_exp(y);
    expect_error(WG_INVALID, "closed");
    ck_assert(!wg_fn_ok(wg_fn_end(b, &y, 1)));
    expect_error(WG_INVALID, "closed");
    wg_call(f, NULL, 0, out, sizeof out / sizeof *out);
    expect_error(WG_INVALID, "operands");
    wg_var wrong = random_const(WG_F64, WG_SHAPE(3), 1);
    wg_call(f, &wrong, 1, out, sizeof out / sizeof *out);
    expect_error(WG_SHAPE, "f64[3]");
    wg_fn none = {NULL, 0};
    ck_assert_int_ne(wg_call(none, &x, 1, out, sizeof out / sizeof *out), WG_OK);
    expect_error(WG_STALE, "call: the sub-tape");
    ck_assert_uint_eq(wg_fn_noutputs(none), 0);
    ck_assert(!wg_fn_ok(wg_fn_end(t, &x, 1)));
    expect_error(WG_INVALID, "no sub-tape");
    wg_mark mark = wg_tape_mark(t);
    wg_tape *c = wg_fn_begin(t, "g");
    wg_var d = wg_fn_input(c, "d", WG_F64, WG_SCALAR);
    wg_fn g = wg_fn_end(c, &d, 1);
    ck_assert(wg_fn_ok(g));
    wg_tape_rewind(t, mark);
    ck_assert(!wg_fn_ok(g));
    wg_call(g, &x, 1, out, sizeof out / sizeof *out);
    expect_error(WG_STALE, "stale");
    wg_fn_begin(t, "never ended"); /* is freed with its tape */
}
END_TEST

/* ---- scan ----------------------------------------------------------------------------------------------- */

enum { STEPS = 4 };

typedef struct problem {
    wg_var h0, c0, xs, w; /* h: f64[2], c: f64[], xs: [STEPS, 2], w: [2] (captured) */
    wg_var outs[3];       /* final h, final c, y: [STEPS, 2] */
} problem;

/* One step: h' = tanh(h w + x) + c, c' = c cos(c) + sum(h), y = h' x. */
static void step(wg_var h, wg_var c, wg_var x, wg_var w, wg_var out[3])
{
    out[0] = wg_add(wg_tanh(wg_add(wg_mul(h, w), x)), c);
    out[1] = wg_add(wg_mul(c, wg_cos(c)), wg_sum(h));
    out[2] = wg_mul(out[0], x);
}

static problem make_problem(void)
{
    problem p = {random_const(WG_F64, WG_SHAPE(2), 1),
                 random_const(WG_F64, WG_SCALAR, 2),
                 random_const(WG_F64, WG_SHAPE(STEPS, 2), 3),
                 random_const(WG_F64, WG_SHAPE(2), 4),
                 {{NULL, 0}}};
    return p;
}

static void by_scan(problem *p, bool reverse)
{
    wg_tape *b = wg_fn_begin(t, "step");
    wg_var h = wg_fn_input(b, "h", WG_F64, WG_SHAPE(2)), c = wg_fn_input(b, "c", WG_F64, WG_SCALAR);
    wg_var x = wg_fn_input(b, "x", WG_F64, WG_SHAPE(2)), out[3];
    step(h, c, x, p->w, out);
    wg_fn f = wg_fn_end(b, out, 3);
    wg_scan_options options = WG_SCAN_DEFAULTS;
    options.reverse = reverse;
    wg_var carries[] = {p->h0, p->c0};
    ck_assert_int_eq(wg_scan(f, carries, 2, &p->xs, 1, &options, p->outs, 3), WG_OK);
}

static void unrolled(problem *p, bool reverse)
{
    wg_var h = p->h0, c = p->c0, out[3], ys[STEPS];
    for (int k = 0; k < STEPS; k++) {
        int i = reverse ? STEPS - 1 - k : k;
        wg_var x = wg_slice(p->xs, (int64_t[]){i, 0}, 2, (int64_t[]){i + 1, 2}, 2);
        step(h, c, wg_reshape(x, WG_SHAPE(2)), p->w, out);
        h = out[0];
        c = out[1];
        ys[i] = wg_reshape(out[2], WG_SHAPE(1, 2));
    }
    p->outs[0] = h;
    p->outs[1] = c;
    p->outs[2] = wg_concat(ys, STEPS, 0);
}

static wg_var loss_of(const problem *p)
{
    return wg_add(wg_add(wg_sum(wg_square(p->outs[0])), wg_exp(p->outs[1])),
                  wg_sum(wg_sin(p->outs[2])));
}

START_TEST(a_scan_equals_its_unrolled_graph)
{
    bool reverse = _i;
    problem p = make_problem(), q = p;
    by_scan(&p, reverse);
    unrolled(&q, reverse);
    for (int k = 0; k < 3; k++)
        same(p.outs[k], q.outs[k], 1e-15, "value");
    wg_var lp = loss_of(&p), lq = loss_of(&q), xs[] = {p.h0, p.c0, p.xs, p.w}, dp[4], dq[4];
    ck_assert_int_eq(wg_grad(&lp, 1, NULL, xs, 4, dp), WG_OK);
    ck_assert_int_eq(wg_grad(&lq, 1, NULL, xs, 4, dq), WG_OK);
    for (int k = 0; k < 4; k++)
        same(dp[k], dq[k], 1e-13, "gradient");
    wg_var v[4], tp, tq;
    for (int k = 0; k < 4; k++)
        v[k] = random_const(WG_F64, wg_typeof(xs[k]).shape, 10 + (uint64_t)k);
    ck_assert_int_eq(wg_jvp(&lp, 1, xs, 4, v, &tp), WG_OK);
    ck_assert_int_eq(wg_jvp(&lq, 1, xs, 4, v, &tq), WG_OK);
    same(tp, tq, 1e-13, "jvp");
    /* Second order, all four ways. */
    wg_var sp = wg_none(), sq = wg_none();
    for (int k = 0; k < 4; k++) {
        wg_var a = wg_sum(wg_mul(dp[k], v[k])), b = wg_sum(wg_mul(dq[k], v[k]));
        sp = k ? wg_add(sp, a) : a;
        sq = k ? wg_add(sq, b) : b;
    }
    ck_assert_int_eq(wg_grad(&sp, 1, NULL, xs, 4, dp), WG_OK);
    ck_assert_int_eq(wg_grad(&sq, 1, NULL, xs, 4, dq), WG_OK);
    for (int k = 0; k < 4; k++)
        same(dp[k], dq[k], 1e-12, "reverse over reverse");
    wg_var h;
    ck_assert_int_eq(wg_jvp(&sp, 1, xs, 4, v, &h), WG_OK);
    ck_assert_int_eq(wg_jvp(&sq, 1, xs, 4, v, &tq), WG_OK);
    same(h, tq, 1e-12, "forward over reverse");
    ck_assert_int_eq(wg_grad(&tp, 1, NULL, xs, 4, dp), WG_OK);
    for (int k = 0; k < 4; k++)
        same(dp[k], dq[k], 1e-12, "reverse over forward");
}
END_TEST

START_TEST(a_scan_is_one_node_whatever_its_length)
{
    wg_var w = random_const(WG_F64, WG_SCALAR, 4), out[2], d;
    size_t sizes[2];
    for (int k = 0; k < 2; k++) {
        wg_mark mark = wg_tape_mark(t);
        wg_tape *b = wg_fn_begin(t, "step");
        wg_var h = wg_fn_input(b, "h", WG_F64, WG_SCALAR), next = wg_sin(wg_mul(h, w));
        wg_fn f = wg_fn_end(b, (wg_var[]){next, h}, 2);
        wg_scan_options o = WG_SCAN_DEFAULTS;
        o.length = k ? 100000 : 2;
        ck_assert_int_eq(wg_scan(f, &w, 1, NULL, 0, &o, out, sizeof out / sizeof *out), WG_OK);
        d = wg_grad1(wg_add(out[0], wg_sum(out[1])), w);
        ck_assert(isfinite(wg_value_scalar(d)));
        sizes[k] = wg_tape_size(t);
        wg_tape_rewind(t, mark);
    }
    ck_assert_uint_eq(sizes[0], sizes[1]);
}
END_TEST

START_TEST(lengths_zero_and_one)
{
    wg_var h0 = random_const(WG_F64, WG_SHAPE(2), 1), w = random_const(WG_F64, WG_SHAPE(2), 2);
    for (int64_t n = 0; n < 2; n++) {
        wg_var xs = wg_full(t, (wg_type){WG_F64, WG_SHAPE(n, 2)}, 0.5), out[2], d[3];
        wg_tape *b = wg_fn_begin(t, "step");
        wg_var h = wg_fn_input(b, "h", WG_F64, WG_SHAPE(2));
        wg_var x = wg_fn_input(b, "x", WG_F64, WG_SHAPE(2));
        wg_var y = wg_mul(wg_mul(h, x), w);
        wg_fn f = wg_fn_end(b, (wg_var[]){y, y}, 2);
        ck_assert_int_eq(wg_scan(f, &h0, 1, &xs, 1, NULL, out, sizeof out / sizeof *out), WG_OK);
        ck_assert_int_eq(wg_typeof(out[1]).shape.dim[0], n);
        wg_var l = wg_sum(out[0]), targets[] = {h0, xs, w};
        ck_assert_int_eq(wg_grad(&l, 1, NULL, targets, 3, d), WG_OK);
        for (int i = 0; i < 2; i++) {
            ck_assert_double_eq(at(d[0], i), n ? 0.5 * at(w, i) : 1);
            ck_assert_double_eq(at(d[2], i), n ? 0.5 * at(h0, i) : 0);
        }
    }
}
END_TEST

/* A scan whose body scans, with captures of both levels; against plain arithmetic. */
START_TEST(scans_nest)
{
    wg_var x0 = wg_input(t, "x0", WG_F64, WG_SCALAR), w = wg_input(t, "w", WG_F64, WG_SCALAR), out;
    double vx = 0.3, vw = 0.9;
    wg_set(x0, &vx, sizeof vx);
    wg_set(w, &vw, sizeof vw);
    wg_scan_options o = WG_SCAN_DEFAULTS;
    wg_tape *outer = wg_fn_begin(t, "outer");
    wg_var x = wg_fn_input(outer, "x", WG_F64, WG_SCALAR);
    wg_tape *inner = wg_fn_begin(outer, "inner");
    wg_var z = wg_fn_input(inner, "z", WG_F64, WG_SCALAR);
    wg_var next = wg_add(wg_sin(wg_mul(z, w)), x);
    wg_fn g = wg_fn_end(inner, &next, 1);
    o.length = 3;
    wg_var y;
    ck_assert_int_eq(wg_scan(g, &x, 1, NULL, 0, &o, &y, 1), WG_OK);
    wg_fn f = wg_fn_end(outer, &y, 1);
    o.length = 2;
    ck_assert_int_eq(wg_scan(f, &x0, 1, NULL, 0, &o, &out, 1), WG_OK);
    double v = vx, d = 0; /* forward by hand, with d/dw */
    for (int i = 0; i < 2; i++) {
        double zi = v, dz = d;
        for (int k = 0; k < 3; k++) {
            dz = cos(zi * vw) * (dz * vw + zi) + d;
            zi = sin(zi * vw) + v;
        }
        v = zi;
        d = dz;
    }
    ck_assert_double_eq_tol(wg_value_scalar(out), v, 1e-15);
    ck_assert_double_eq_tol(wg_value_scalar(wg_grad1(out, w)), d, 1e-14);
    wg_var one = wg_full(t, wg_typeof(w), 1), ty;
    ck_assert_int_eq(wg_jvp(&out, 1, &w, 1, &one, &ty), WG_OK);
    ck_assert_double_eq_tol(wg_value_scalar(ty), d, 1e-14);
    wg_var g2 = wg_grad1(wg_grad1(out, w), w), t2;
    wg_var g1 = wg_grad1(out, w);
    ck_assert_int_eq(wg_jvp(&g1, 1, &w, 1, &one, &t2), WG_OK);
    ck_assert_double_eq_tol(wg_value_scalar(g2), wg_value_scalar(t2), 1e-12);
}
END_TEST

/* Integer carries and draws from a key inside the body; compiled programs see the same. */
START_TEST(integer_carries_and_draws)
{
    wg_var h0 = wg_full(t, (wg_type){WG_F64, WG_SHAPE(3)}, 1), out[3];
    wg_var k0 = wg_const(t, WG_I64, WG_SCALAR, (int64_t[]){7});
    wg_tape *b = wg_fn_begin(t, "step");
    wg_var h = wg_fn_input(b, "h", WG_F64, WG_SHAPE(3));
    wg_var k = wg_fn_input(b, "key", WG_I64, WG_SCALAR);
    wg_var u = wg_random_uniform_with(k, WG_SHAPE(3), WG_F64);
    wg_fn f = wg_fn_end(b, (wg_var[]){wg_mul(h, u), wg_random_fold_in(k, wg_i(1)), u}, 3);
    wg_scan_options o = WG_SCAN_DEFAULTS;
    o.length = 5;
    wg_var carries[] = {h0, k0};
    ck_assert_int_eq(wg_scan(f, carries, 2, NULL, 0, &o, out, sizeof out / sizeof *out), WG_OK);
    wg_var want = wg_prod_with(out[2], WG_AXES(0), false);
    same(out[0], want, 1e-14, "product of the draws");
    same(wg_grad1(wg_sum(out[0]), h0), want, 1e-14, "gradient");
    wg_var g = wg_grad1(wg_sum(out[0]), h0), both[] = {want, g};
    wg_program *p = wg_compile(
        t, both, 2,
        &(wg_compile_options){.struct_size = sizeof(wg_compile_options), .verify = true});
    ck_assert_msg(p != NULL, "%s", wg_tape_error(t));
    wg_session *s = wg_session_new(p, NULL);
    ck_assert_int_eq(wg_run(s), WG_OK);
    const double *x = wg_output(s, want, NULL, NULL), *y = wg_output(s, g, NULL, NULL);
    for (int i = 0; i < 3; i++) {
        ck_assert_double_eq(x[i], at(want, i));
        ck_assert_double_eq_tol(y[i], x[i], 1e-14);
    }
    wg_session_free(s);
    wg_program_free(p);
}
END_TEST

/* A target outside the body: right where the body sees only it, refused where the body also sees a
 * value that depends on it. */
START_TEST(targets_outside_the_body)
{
    wg_var x = random_const(WG_F64, WG_SHAPE(2), 1), z = wg_sin(x), out, d;
    wg_tape *b = wg_fn_begin(t, "inside");
    wg_var u = wg_fn_input(b, "u", WG_F64, WG_SHAPE(2));
    wg_var l = wg_sum(wg_mul(wg_mul(u, x), x)); /* square(x) would stand outside */
    d = wg_grad1(l, x);
    ck_assert_msg(wg_ok(d), "%s", wg_tape_error(t));
    wg_fn f = wg_fn_end(b, &d, 1);
    ck_assert_int_eq(wg_call(f, &z, 1, &out, 1), WG_OK);
    same(out, wg_mul(wg_mul(wg_f(2), x), z), 1e-15, "2 x u");
    b = wg_fn_begin(t, "inside");
    u = wg_fn_input(b, "u", WG_F64, WG_SHAPE(2));
    ck_assert(!wg_ok(wg_grad1(wg_sum(wg_mul(u, z)), x)));
    expect_error(WG_UNSUPPORTED, "outside the sub-tape");
    wg_var y = wg_sum(wg_square(x)), c = wg_sum(u);
    ck_assert_int_ne(wg_grad(&y, 1, &c, &x, 1, &d), WG_OK);
    expect_error(WG_UNSUPPORTED, "outside the sub-tape");
}
END_TEST

START_TEST(scans_without_carries)
{
    wg_var xs = random_const(WG_F64, WG_SHAPE(3, 2), 1), out[2], ty[2], dx;
    wg_var v = random_const(WG_F64, WG_SHAPE(3, 2), 2);
    wg_tape *b = wg_fn_begin(t, "step");
    wg_var x = wg_fn_input(b, "x", WG_F64, WG_SHAPE(2));
    wg_fn f = wg_fn_end(b, (wg_var[]){wg_exp(x), wg_stop_gradient(x)}, 2);
    ck_assert_int_eq(wg_scan(f, NULL, 0, &xs, 1, NULL, out, 2), WG_OK);
    same(wg_grad1(wg_sum(out[0]), xs), wg_exp(xs), 1e-15, "exp");
    ck_assert_int_eq(wg_jvp(out, 2, &xs, 1, &v, ty), WG_OK);
    same(ty[0], wg_mul(wg_exp(xs), v), 1e-15, "jvp");
    same(ty[1], wg_full(t, wg_typeof(xs), 0), 0, "stopped");
    ck_assert_int_eq(wg_jvp(&out[1], 1, &xs, 1, &v, ty), WG_OK);
    same(ty[0], wg_full(t, wg_typeof(xs), 0), 0, "stopped alone");
    dx = wg_grad1(wg_sum(out[1]), xs);
    same(dx, wg_full(t, wg_typeof(xs), 0), 0, "stopped, reverse");
}
END_TEST

START_TEST(rank_eight_carries_and_invariants)
{
    wg_shape shape = WG_SHAPE(2, 1, 1, 3, 1, 1, 1, 1);
    wg_var h0 = random_const(WG_F64, shape, 1), w = random_const(WG_F64, shape, 2), out, d[2];
    wg_tape *b = wg_fn_begin(t, "step");
    wg_var h = wg_fn_input(b, "h", WG_F64, shape), next = wg_mul(wg_sin(h), w);
    wg_fn f = wg_fn_end(b, &next, 1);
    wg_scan_options o = WG_SCAN_DEFAULTS;
    o.length = 2;
    ck_assert_int_eq(wg_scan(f, &h0, 1, NULL, 0, &o, &out, 1), WG_OK);
    wg_var want = wg_mul(wg_sin(wg_mul(wg_sin(h0), w)), w), xs[] = {h0, w}, e[2], l, k;
    same(out, want, 1e-15, "value");
    l = wg_sum(out);
    k = wg_sum(want);
    ck_assert_int_eq(wg_grad(&l, 1, NULL, xs, 2, d), WG_OK);
    ck_assert_int_eq(wg_grad(&k, 1, NULL, xs, 2, e), WG_OK);
    same(d[0], e[0], 1e-14, "dh");
    same(d[1], e[1], 1e-14, "dw");
    same(wg_grad1(wg_sum(wg_square(d[1])), w), wg_grad1(wg_sum(wg_square(e[1])), w), 1e-13, "2");
}
END_TEST

START_TEST(literals_take_the_dtype_that_the_body_wants)
{
    wg_var one = wg_f(1), out;
    wg_tape *b = wg_fn_begin(t, "f");
    wg_var a = wg_fn_input(b, "a", WG_F64, WG_SCALAR), y = wg_exp(a);
    wg_fn f = wg_fn_end(b, &y, 1);
    ck_assert_int_eq(wg_call(f, &one, 1, &out, 1), WG_OK);
    ck_assert_double_eq(at(out, 0), exp(1));
    wg_scan_options o = WG_SCAN_DEFAULTS;
    o.length = 2;
    ck_assert_int_eq(wg_scan(f, &one, 1, NULL, 0, &o, &out, 1), WG_OK);
    ck_assert_double_eq(at(out, 0), exp(exp(1)));
}
END_TEST

/* The second derivative of a long scan keeps histories of the carries, not of the sums over weights:
 * its memory must not hold a copy of the weights per step. */
START_TEST(second_derivatives_do_not_stack_weights)
{
    enum { T = 200, N = 50 };
    wg_var w = wg_param(t, "w", WG_F64, WG_SHAPE(N, N), wg_init_normal(0, 0.1)), out;
    wg_var h0 = wg_full(t, (wg_type){WG_F64, WG_SHAPE(1, N)}, 0.5);
    wg_tape *b = wg_fn_begin(t, "step");
    wg_var h = wg_fn_input(b, "h", WG_F64, WG_SHAPE(1, N)), next = wg_tanh(wg_matmul(h, w));
    wg_fn f = wg_fn_end(b, &next, 1);
    wg_scan_options o = WG_SCAN_DEFAULTS;
    o.length = T;
    ck_assert_int_eq(wg_scan(f, &h0, 1, NULL, 0, &o, &out, 1), WG_OK);
    wg_var g = wg_grad1(wg_sum(out), w), gg = wg_grad1(wg_sum(wg_square(g)), w);
    wg_program *p = wg_compile(t, &gg, 1, NULL);
    ck_assert_msg(p != NULL, "%s", wg_tape_error(t));
    size_t weights = N * N * sizeof(double);
    ck_assert_uint_lt(wg_program_bytes(p), T * weights / 4);
    wg_program_free(p);
}
END_TEST

/* Bodies that call each other twice stay shared: 2^30 copies would not fit anywhere. */
START_TEST(shared_bodies_stay_shared)
{
    wg_var x = random_const(WG_F64, WG_SCALAR, 1), out;
    wg_fn f = {NULL, 0};
    for (int level = 0; level < 30; level++) {
        wg_tape *b = wg_fn_begin(t, "level");
        wg_var a = wg_fn_input(b, "a", WG_F64, WG_SCALAR), y = wg_sin(a);
        if (level) {
            wg_call(f, &y, 1, &y, 1);
            wg_call(f, &y, 1, &y, 1);
        }
        f = wg_fn_end(b, &y, 1);
        ck_assert_msg(wg_fn_ok(f), "%s", wg_tape_error(t));
    }
    ck_assert_int_eq(wg_call(f, &x, 1, &out, 1), WG_OK);
    wg_program *p = wg_compile(t, &out, 1, NULL);
    ck_assert_msg(p != NULL, "%s", wg_tape_error(t));
    wg_program_free(p);
}
END_TEST

START_TEST(misuse_of_scan)
{
    wg_var h = random_const(WG_F64, WG_SHAPE(2), 1), xs = random_const(WG_F64, WG_SHAPE(3, 4), 1);
    wg_var out[4];
    wg_tape *b = wg_fn_begin(t, "step");
    wg_var a = wg_fn_input(b, "a", WG_F64, WG_SHAPE(2)),
           x = wg_fn_input(b, "x", WG_F64, WG_SHAPE(2));
    wg_fn f = wg_fn_end(b, (wg_var[]){wg_sum(wg_add(a, x))}, 1);
    wg_scan(f, &h, 1, &xs, 1, NULL, out, sizeof out / sizeof *out);
    expect_error(WG_SHAPE, "f64[3, 2]");
    wg_var good = random_const(WG_F64, WG_SHAPE(3, 2), 1);
    wg_scan(f, &h, 1, &good, 1, NULL, out, sizeof out / sizeof *out);
    expect_error(WG_SHAPE, "comes out as f64");
    wg_scan(f, &h, 1, NULL, 0, NULL, out, sizeof out / sizeof *out);
    expect_error(WG_INVALID, "operands");
    wg_var two[] = {h, h};
    wg_scan(f, two, 2, NULL, 0, NULL, out, sizeof out / sizeof *out);
    ck_assert_int_ne(wg_tape_status(t), WG_OK);
    wg_tape_clear_error(t);
    wg_var flat = wg_f(1);
    wg_scan(f, &h, 1, &flat, 1, NULL, out, sizeof out / sizeof *out);
    ck_assert_int_ne(wg_tape_status(t), WG_OK);
    wg_tape_clear_error(t);
}
END_TEST

START_TEST(resizing_reaches_into_sub_tapes)
{
    wg_tape *made[2], *resized;
    for (int k = 0; k < 2; k++) {
        int64_t T = k ? 6 : 3, n = k ? 5 : 2;
        wg_tape *m = made[k] = wg_tape_new(ctx);
        wg_shape shape = wg_shape_symbol(ctx, WG_SHAPE(T, n), 0, "T");
        wg_var xs = wg_input(m, "x", WG_F64, wg_shape_symbol(ctx, shape, 1, "N"));
        wg_shape row = wg_shape_symbol(ctx, WG_SHAPE(n), 0, "N");
        wg_var h0 = wg_input(m, "h", WG_F64, row), out[2];
        wg_tape *b = wg_fn_begin(m, "step");
        wg_var h = wg_fn_input(b, "h", WG_F64, row), x = wg_fn_input(b, "x", WG_F64, row);
        wg_var next = wg_tanh(wg_add(h, x));
        wg_fn f = wg_fn_end(b, (wg_var[]){next, wg_mean(next)}, 2);
        ck_assert_int_eq(wg_scan(f, &h0, 1, &xs, 1, NULL, out, sizeof out / sizeof *out), WG_OK);
        ck_assert(wg_ok(wg_grad1(wg_mean(out[1]), h0)));
    }
    const wg_size sizes[] = {{"T", 6}, {"N", 5}};
    resized = wg_tape_resize(made[0], sizes, 2);
    ck_assert_msg(resized != NULL, "%s", wg_tape_error(made[0]));
    ck_assert(wg_tape_equal(resized, made[1]));
    wg_tape_free(resized);
    wg_tape_free(made[0]);
    wg_tape_free(made[1]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("fn");
    TCase *c = case_on_tape(s, 60);
    tcase_add_test(c, a_call_is_its_body);
    tcase_add_test(c, captures_reach_through_levels);
    tcase_add_test(c, an_op_on_outer_values_stays_outside);
    tcase_add_test(c, misuse_of_sub_tapes);
    tcase_add_loop_test(c, a_scan_equals_its_unrolled_graph, 0, 2);
    tcase_add_test(c, a_scan_is_one_node_whatever_its_length);
    tcase_add_test(c, lengths_zero_and_one);
    tcase_add_test(c, scans_nest);
    tcase_add_test(c, integer_carries_and_draws);
    tcase_add_test(c, targets_outside_the_body);
    tcase_add_test(c, scans_without_carries);
    tcase_add_test(c, rank_eight_carries_and_invariants);
    tcase_add_test(c, literals_take_the_dtype_that_the_body_wants);
    tcase_add_test(c, second_derivatives_do_not_stack_weights);
    tcase_add_test(c, shared_bodies_stay_shared);
    tcase_add_test(c, misuse_of_scan);
    tcase_add_test(c, resizing_reaches_into_sub_tapes);
    return run_suite(s);
}
