/* Branches, checkpoints and rules of one's own: values and derivatives of both orders in both modes, in
 * both executors, against the same graph written straight; nesting with captures; errors. */
#include <math.h>

#include "fault.h"
#include "on_tape.h"
#include "rng.h"

/* ---- comparing ---------------------------------------------------------------------------------- */

enum { MOST = 64, MOST_INPUTS = 16, MOST_ELEMENTS = 64 };

static struct {
    wg_var var;
    double data[MOST_ELEMENTS];
    int64_t integer; /* of an i32 or i64 of rank 0 */
    size_t bytes;
} inputs[MOST_INPUTS];
static size_t ninputs;

static void begin(void)
{
    setup();
    ninputs = 0;
}

/* An input with values from -1 to 1. */
static wg_var number_input(const char *name, wg_shape shape, uint64_t seed)
{
    rng r = rng_make(seed);
    wg_var v = wg_input(t, name, WG_F64, shape);
    size_t n = (size_t)wg_shape_count(shape);
    ck_assert(ninputs < MOST_INPUTS && n <= MOST_ELEMENTS);
    inputs[ninputs].var = v;
    inputs[ninputs].bytes = n * sizeof(double);
    for (size_t i = 0; i < n; i++)
        inputs[ninputs].data[i] = 2 * rng_unit(&r) - 1;
    ninputs++;
    return v;
}

static wg_var value_input(const char *name, double value)
{
    wg_var v = number_input(name, WG_SCALAR, 1);
    inputs[ninputs - 1].data[0] = value;
    return v;
}

static wg_var index_input(const char *name, wg_dtype dtype, int64_t value)
{
    wg_var v = wg_input(t, name, dtype, WG_SCALAR);
    inputs[ninputs].var = v;
    inputs[ninputs].integer = value;
    inputs[ninputs].bytes = wg_dtype_size(dtype);
    ninputs++;
    return v;
}

static wg_session *session_of(const wg_var *outs, size_t n, const char *executor)
{
    wg_compile_options options = WG_COMPILE_DEFAULTS;
    options.executor = executor;
    options.verify = true;
    wg_program *p = wg_compile(t, outs, n, &options);
    ck_assert_msg(p != NULL, "%s: %s", executor, wg_tape_error(t));
    wg_session *s = wg_session_new(p, NULL);
    ck_assert_ptr_nonnull(s);
    for (size_t i = 0; i < ninputs; i++) {
        const bool number = wg_typeof(inputs[i].var).dtype == WG_F64;
        const int32_t narrow = (int32_t)inputs[i].integer;
        const void *data = number                                     ? (void *)inputs[i].data
                           : wg_typeof(inputs[i].var).dtype == WG_I32 ? (const void *)&narrow
                                                                      : &inputs[i].integer;
        ck_assert_int_eq(wg_bind_copy(s, inputs[i].var, data, inputs[i].bytes), WG_OK);
    }
    wg_program_free(p);
    return s;
}

static wg_session *run_of(const wg_var *outs, size_t n, const char *executor)
{
    wg_session *s = session_of(outs, n, executor);
    ck_assert_msg(wg_run(s) == WG_OK, "%s: %s", executor, wg_session_error(s));
    return s;
}

static const char *const executors[] = {"reference", "vm"};

/* tolerance 0: the same bits. */
static void ck_same(const wg_var *have, const wg_var *want, size_t n, double tolerance,
                    const char *what)
{
    for (int e = 0; e < 2; e++) {
        wg_session *a = run_of(have, n, executors[e]), *b = run_of(want, n, executors[e]);
        for (size_t i = 0; i < n; i++) {
            wg_type type, other;
            const double *x = wg_output(a, have[i], &type, NULL);
            const double *y = wg_output(b, want[i], &other, NULL);
            ck_assert_msg(type.dtype == WG_F64 && other.dtype == WG_F64 &&
                              wg_shape_equal(type.shape, other.shape),
                          "%s, output %zu: types differ", what, i);
            for (int64_t k = 0; k < wg_shape_count(type.shape); k++)
                ck_assert_msg(tolerance == 0 ? x[k] == y[k]
                                             : fabs(x[k] - y[k]) <= tolerance * (1 + fabs(y[k])),
                              "%s, %s, output %zu [%lld]: %.17g, want %.17g", what, executors[e], i,
                              (long long)k, x[k], y[k]);
        }
        wg_session_free(a);
        wg_session_free(b);
    }
}

/* Fixed numbers of the type of `v`: 1/2, 3/4, 1, 5/4, 1/2, ... */
static wg_var weights(wg_var v, int kind)
{
    double data[MOST_ELEMENTS];
    wg_type type = wg_typeof(v);
    for (int i = 0; i < MOST_ELEMENTS; i++)
        data[i] = 0.5 + 0.25 * ((i + kind) % 4);
    return wg_const(t, WG_F64, type.shape, data);
}

static wg_var weighted(const wg_var *vs, size_t n, int kind)
{
    wg_var sum = wg_sum(wg_mul(vs[0], weights(vs[0], kind)));
    for (size_t i = 1; i < n; i++)
        sum = wg_add(sum, wg_sum(wg_mul(vs[i], weights(vs[i], kind + (int)i))));
    return sum;
}

/* Values, gradient, tangent; gradients of both; tangent of the gradient. */
static size_t derivatives(const wg_var *ys, size_t nys, const wg_var *xs, size_t nxs, wg_var *all)
{
    size_t n = 0;
    wg_var tangents[MOST_INPUTS], tangent;
    for (size_t i = 0; i < nys; i++)
        all[n++] = ys[i];
    wg_var loss = weighted(ys, nys, 0), *grads = all + n;
    ck_assert_msg(wg_grad(&loss, 1, NULL, xs, nxs, grads) == WG_OK, "%s", wg_tape_error(t));
    n += nxs;
    for (size_t j = 0; j < nxs; j++)
        tangents[j] = weights(xs[j], 1);
    ck_assert_msg(wg_jvp(&loss, 1, xs, nxs, tangents, &tangent) == WG_OK, "%s", wg_tape_error(t));
    all[n++] = tangent;
    wg_var slope = weighted(grads, nxs, 2);
    ck_assert_msg(wg_grad(&slope, 1, NULL, xs, nxs, all + n) == WG_OK, "%s", wg_tape_error(t));
    n += nxs;
    ck_assert_msg(wg_grad(&tangent, 1, NULL, xs, nxs, all + n) == WG_OK, "%s", wg_tape_error(t));
    n += nxs;
    ck_assert_msg(wg_jvp(&slope, 1, xs, nxs, tangents, all + n) == WG_OK, "%s", wg_tape_error(t));
    return n + 1;
}

static void ck_agree(const wg_var *have, const wg_var *want, size_t nys, const wg_var *xs,
                     size_t nxs, double tolerance, const char *what)
{
    wg_var a[MOST], b[MOST];
    size_t n = derivatives(have, nys, xs, nxs, a);
    ck_assert(n <= MOST && derivatives(want, nys, xs, nxs, b) == n);
    ck_same(a, b, n, tolerance, what);
}

static wg_fn end_fn(wg_tape *b, const wg_var *outs, size_t n)
{
    wg_fn fn = wg_fn_end(b, outs, n);
    ck_assert_msg(wg_fn_ok(fn), "%s", wg_tape_error(t));
    return fn;
}

/* A body with `n` formal inputs of a shape. */
static wg_tape *body_of(wg_tape *outer, const char *name, wg_shape shape, size_t n, wg_var *in)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
    wg_tape *b = wg_fn_begin(outer, name);
    for (size_t i = 0; i < n; i++)
        in[i] = wg_fn_input(b, names[i], WG_F64, shape);
    return b;
}

/* ---- branches ----------------------------------------------------------------------------------- */

/* Three functions of (a, b) and a captured w; the last uses neither b nor w. */
static void one_of(int which, wg_var a, wg_var b, wg_var w, wg_var out[2])
{
    if (which == 0) {
        out[0] = wg_mul(wg_sin(wg_mul(a, w)), b);
        out[1] = wg_sum(wg_mul(out[0], a));
    } else if (which == 1) {
        out[0] = wg_exp(wg_mul(b, wg_tanh(w)));
        out[1] = wg_sum(wg_mul(wg_square(a), b));
    } else {
        out[0] = wg_cos(a);
        out[1] = wg_sum(wg_mul(a, a));
    }
}

static wg_fn branch(int which, wg_var w)
{
    wg_var in[2], out[2];
    wg_tape *b = body_of(t, "branch", WG_SHAPE(3), 2, in);
    one_of(which, in[0], in[1], w, out);
    return end_fn(b, out, 2);
}

START_TEST(cond_is_the_branch_taken)
{
    wg_var x = number_input("x", WG_SHAPE(3), 1), y = number_input("y", WG_SHAPE(3), 2);
    wg_var w = number_input("w", WG_SHAPE(3), 3), v = number_input("v", WG_SHAPE(3), 4);
    wg_var s = value_input("s", _i ? -1 : 1), have[2], want[2];
    wg_fn yes = branch(0, w), no = branch(1, v);
    wg_var pred = wg_greater(s, wg_f(0));
    ck_assert_int_eq(wg_cond(pred, yes, no, (wg_var[]){x, y}, 2, have, 2), WG_OK);
    one_of(_i, x, y, _i ? v : w, want);
    ck_agree(have, want, 2, (wg_var[]){x, y, w, v}, 4, 1e-13, "cond");
}
END_TEST

START_TEST(switch_is_the_branch_taken)
{
    wg_var x = number_input("x", WG_SHAPE(3), 1), y = number_input("y", WG_SHAPE(3), 2);
    wg_var w = number_input("w", WG_SHAPE(3), 3), v = number_input("v", WG_SHAPE(3), 4);
    wg_var k = index_input("k", _i % 2 ? WG_I32 : WG_I64, _i % 3), have[2], want[2];
    const wg_fn fns[] = {branch(0, w), branch(1, v), branch(2, w)};
    ck_assert_int_eq(wg_switch(k, fns, 3, (wg_var[]){x, y}, 2, have, 2), WG_OK);
    one_of(_i % 3, x, y, _i % 3 == 1 ? v : w, want);
    ck_agree(have, want, 2, (wg_var[]){x, y, w, v}, 4, 1e-13, "switch");
}
END_TEST

START_TEST(a_switch_of_one_branch_and_literals)
{
    wg_var x = number_input("x", WG_SHAPE(3), 1), w = number_input("w", WG_SHAPE(3), 3);
    wg_var have[2], want[2], ins[] = {x, x};
    const wg_fn only = branch(0, w), other = branch(2, w);
    ck_assert_int_eq(wg_switch(wg_i(0), &only, 1, ins, 2, have, 2), WG_OK);
    one_of(0, x, x, w, want);
    ck_agree(have, want, 2, (wg_var[]){x, w}, 2, 1e-13, "one branch");
    ck_assert_int_eq(wg_cond(wg_b(false), only, other, ins, 2, have, 2), WG_OK);
    one_of(2, x, x, w, want);
    ck_agree(have, want, 2, (wg_var[]){x, w}, 2, 1e-13, "literal pred");
}
END_TEST

/* What would be NaN or infinite in the branch that is not taken does not come through, as 0 times it
 * would; nor does what would fail there. */
START_TEST(the_branch_not_taken_does_not_leak)
{
    wg_var x = value_input("x", -4), k = index_input("k", WG_I64, 7), table, y;
    wg_var in, back[4], tx = wg_f(1);
    table = number_input("table", WG_SHAPE(3), 1);
    wg_tape *b = body_of(t, "log", WG_SCALAR, 1, &in);
    wg_var picked = wg_sum(wg_gather(wg_add(table, in), wg_reshape(k, WG_SHAPE(1)))); /* fails */
    wg_fn yes = end_fn(b, (wg_var[]){wg_add(wg_log(in), picked)}, 1);
    b = body_of(t, "square", WG_SCALAR, 1, &in);
    wg_fn no = end_fn(b, (wg_var[]){wg_square(in)}, 1);
    ck_assert_int_eq(wg_cond(wg_greater(x, wg_f(0)), yes, no, &x, 1, &y, 1), WG_OK);
    ck_assert_int_eq(wg_grad(&y, 1, NULL, (wg_var[]){x, table}, 2, back), WG_OK);
    back[2] = wg_grad1(back[0], x);
    ck_assert_int_eq(wg_jvp(&y, 1, &x, 1, &tx, &back[3]), WG_OK);
    wg_var all[] = {y, back[0], back[1], back[2], back[3]};
    const double want[] = {16, -8, 0, 2, -8};
    for (int e = 0; e < 2; e++) {
        wg_session *s = run_of(all, 5, executors[e]);
        for (int i = 0; i < 5; i++)
            ck_assert_double_eq(((const double *)wg_output(s, all[i], NULL, NULL))[0], want[i]);
        wg_session_free(s);
    }
}
END_TEST

START_TEST(an_index_out_of_range_fails_the_run)
{
    static const int64_t bad[] = {3, -1, INT64_MAX, INT64_MIN};
    wg_var x = number_input("x", WG_SHAPE(3), 1), out[2];
    wg_var k = index_input("k", WG_I64, bad[_i]);
    const wg_fn fns[] = {branch(0, x), branch(1, x), branch(2, x)};
    ck_assert_int_eq(wg_switch(k, fns, 3, (wg_var[]){x, x}, 2, out, 2), WG_OK);
    wg_name(out[0], "chosen");
    for (int e = 0; e < 2; e++) {
        char want[64];
        wg_session *s = session_of(out, 2, executors[e]);
        ck_assert_int_eq(wg_run(s), WG_RANGE);
        snprintf(want, sizeof want, "index is %lld, there are branches 0 to 2", (long long)bad[_i]);
        ck_assert_msg(strstr(wg_session_error(s), want) && strstr(wg_session_error(s), "switch"),
                      "%s", wg_session_error(s));
        wg_session_free(s);
    }
}
END_TEST

START_TEST(what_no_branch_uses_is_disconnected)
{
    wg_var x = number_input("x", WG_SCALAR, 1), y = number_input("y", WG_SCALAR, 2), out[2], in[2];
    wg_tape *b = body_of(t, "f", WG_SCALAR, 2, in);
    wg_fn f = end_fn(b, (wg_var[]){wg_sin(in[0]), wg_cast(in[0], WG_I64)}, 2);
    b = body_of(t, "g", WG_SCALAR, 2, in);
    wg_fn g = end_fn(
        b, (wg_var[]){wg_full(b, wg_typeof(x), 2), wg_full(b, (wg_type){WG_I64, WG_SCALAR}, 1)}, 2);
    ck_assert_int_eq(wg_cond(wg_less(x, y), f, g, (wg_var[]){x, y}, 2, out, 2), WG_OK);
    bool connected[2];
    wg_var d[2];
    size_t before = wg_tape_size(t);
    ck_assert_int_eq(wg_vjp(out, 1, (wg_var[]){wg_f(1)}, (wg_var[]){x, y}, 2, d, connected), WG_OK);
    ck_assert(connected[0] && !connected[1] && wg_is_none(d[1]));
    ck_assert_uint_le(wg_tape_size(t) - before, 2); /* one cond and a literal, whatever it holds */
}
END_TEST

/* h <- scan over x of (h > 0 ? scan of two steps that use w, v and h : h v), all captured from the
 * levels above. */
static wg_var inner_loop(wg_tape *outer, wg_var h, wg_var w, wg_var v)
{
    wg_var k;
    wg_scan_options o = WG_SCAN_DEFAULTS;
    wg_tape *b = body_of(outer, "inner", WG_SHAPE(2), 1, &k);
    wg_fn f = end_fn(b, (wg_var[]){wg_sin(wg_add(wg_mul(k, w), wg_mul(h, v)))}, 1);
    wg_var out;
    o.length = 2;
    ck_assert_int_eq(wg_scan(f, &h, 1, NULL, 0, &o, &out, 1), WG_OK);
    return out;
}

static wg_var nested(wg_var h0, wg_var xs, wg_var w, wg_var v)
{
    wg_var out, next, in;
    wg_tape *step = wg_fn_begin(t, "outer");
    wg_var h = wg_fn_input(step, "h", WG_F64, WG_SHAPE(2));
    wg_var x = wg_fn_input(step, "x", WG_F64, WG_SHAPE(2));
    wg_tape *b = body_of(step, "loops", WG_SHAPE(2), 1, &in);
    wg_fn yes = end_fn(b, (wg_var[]){wg_add(inner_loop(b, in, w, v), x)}, 1);
    b = body_of(step, "scales", WG_SHAPE(2), 1, &in);
    wg_fn no = end_fn(b, (wg_var[]){wg_sub(wg_mul(in, v), wg_mul(x, h))}, 1);
    ck_assert_int_eq(wg_cond(wg_greater(wg_sum(h), wg_f(0)), yes, no, &h, 1, &next, 1), WG_OK);
    wg_fn f = end_fn(step, &next, 1);
    ck_assert_msg(wg_scan(f, &h0, 1, &xs, 1, NULL, &out, 1) == WG_OK, "%s", wg_tape_error(t));
    return out;
}

/* The same with the loops unrolled and both branches computed. */
static wg_var unrolled(wg_var h, wg_var xs, wg_var w, wg_var v, int steps)
{
    for (int i = 0; i < steps; i++) {
        int64_t first[] = {i, 0}, last[] = {i + 1, 2};
        wg_var x = wg_slice(xs, first, 2, last, 2);
        x = wg_reshape(x, WG_SHAPE(2));
        wg_var k = h;
        for (int j = 0; j < 2; j++)
            k = wg_sin(wg_add(wg_mul(k, w), wg_mul(h, v)));
        wg_var up = wg_broadcast(wg_greater(wg_sum(h), wg_f(0)), WG_SHAPE(2));
        h = wg_where(up, wg_add(k, x), wg_sub(wg_mul(h, v), wg_mul(x, h)));
    }
    return h;
}

START_TEST(scan_in_cond_in_scan)
{
    wg_var h0 = number_input("h0", WG_SHAPE(2), 1), xs = number_input("xs", WG_SHAPE(5, 2), 2);
    wg_var w = number_input("w", WG_SHAPE(2), 3),
           v = number_input("v", WG_SHAPE(2), 4 + (uint64_t)_i);
    wg_var have = nested(h0, xs, w, v), want = unrolled(h0, xs, w, v, 5);
    ck_agree(&have, &want, 1, (wg_var[]){h0, xs, w, v}, 4, 1e-12, "nested");
}
END_TEST

/* Cached code is told apart by the order of branches, too. */
START_TEST(the_order_of_branches_counts)
{
    wg_var x = number_input("x", WG_SHAPE(3), 1), y = number_input("y", WG_SHAPE(3), 2);
    wg_var k = index_input("k", WG_I64, 0), ins[] = {x, y}, a[2], b[2], c[2];
    const wg_fn fns[] = {branch(0, x), branch(1, x)}, turned[] = {fns[1], fns[0]};
    wg_switch(k, fns, 2, ins, 2, a, 2);
    wg_switch(k, turned, 2, ins, 2, b, 2);
    wg_switch(k, fns, 2, ins, 2, c, 2);
    wg_var want[2];
    one_of(1, x, y, x, want);
    ck_same(b, want, 2, 1e-14, "turned");
    one_of(0, x, y, x, want);
    ck_same(a, want, 2, 1e-14, "first");
    ck_same(a, c, 2, 0, "again");
    wg_compile_options o = WG_COMPILE_DEFAULTS;
    wg_var two[] = {a[0], c[0]}, three[] = {a[0], b[0]};
    wg_program *p = wg_compile(t, two, 2, &o), *q = wg_compile(t, three, 2, &o);
    ck_assert(p && q && wg_tape_size(wg_program_tape(p)) < wg_tape_size(wg_program_tape(q)));
    wg_program_free(p);
    wg_program_free(q);
}
END_TEST

START_TEST(branches_take_other_sizes)
{
    wg_shape shape = wg_shape_symbol(ctx, WG_SHAPE(3), 0, "N");
    wg_var x = wg_input(t, "x", WG_F64, shape), in, y;
    wg_tape *b = wg_fn_begin(t, "f");
    in = wg_fn_input(b, "a", WG_F64, shape);
    wg_fn f = end_fn(b, (wg_var[]){wg_sin(in)}, 1);
    b = wg_fn_begin(t, "g");
    in = wg_fn_input(b, "a", WG_F64, shape);
    wg_fn g = end_fn(b, (wg_var[]){wg_mul(in, x)}, 1);
    const wg_fn fns[] = {f, g};
    ck_assert_int_eq(wg_switch(wg_i(1), fns, 2, &x, 1, &y, 1), WG_OK);
    wg_tape *other = wg_tape_resize(t, &(wg_size){"N", 5}, 1);
    ck_assert_msg(other != NULL, "%s", wg_tape_error(t));
    char message[256] = "";
    ck_assert_msg(wg__verify(other, message, sizeof message) == WG_OK, "%s", message);
    ck_assert_int_eq(wg__type_at(other, (uint32_t)y.bits)->shape.dim[0], 5);
    ck_assert(!wg_tape_equal(t, other));
    wg_tape_free(other);
}
END_TEST

START_TEST(branches_that_do_not_fit)
{
    wg_var x = number_input("x", WG_SHAPE(3), 1), p = wg_input(t, "p", WG_BOOL, WG_SCALAR);
    wg_var in[2], out[2], many = wg_input(t, "many", WG_BOOL, WG_SHAPE(2));
    wg_tape *b = body_of(t, "one", WG_SHAPE(3), 1, in);
    wg_fn one = end_fn(b, (wg_var[]){wg_sin(in[0])}, 1);
    b = body_of(t, "two", WG_SHAPE(3), 2, in);
    wg_fn two = end_fn(b, (wg_var[]){wg_mul(in[0], in[1])}, 1);
    b = body_of(t, "both", WG_SHAPE(3), 1, in);
    wg_fn both = end_fn(b, (wg_var[]){in[0], in[0]}, 2);
    b = body_of(t, "total", WG_SHAPE(3), 1, in);
    wg_fn total = end_fn(b, (wg_var[]){wg_sum(in[0])}, 1);
    b = body_of(t, "wide", WG_SHAPE(4), 1, in);
    wg_fn wide = end_fn(b, (wg_var[]){wg_sum(in[0])}, 1);
    b = body_of(t, "nothing", WG_SHAPE(3), 1, in);
    wg_fn nothing = end_fn(b, NULL, 0), none = {NULL, 0};
    ck_assert_int_ne(wg_cond(p, one, two, &x, 1, out, 2), WG_OK);
    expect_error(WG_INVALID, "cond: branch no takes 2 inputs, not 1");
    ck_assert(!wg_ok(out[0]) && !wg_ok(out[1]));
    wg_cond(p, one, both, &x, 1, out, 2);
    expect_error(WG_INVALID, "branch yes gives 1 output and branch no gives 2");
    wg_cond(p, one, total, &x, 1, out, 2);
    expect_error(WG_SHAPE, "output 0 is f64[3] in branch yes and f64 in branch no");
    wg_cond(p, total, wide, &x, 1, out, 2);
    expect_error(WG_SHAPE, "operand 0 of branch no is f64[3], the branch takes f64[4]");
    wg_cond(p, nothing, nothing, &x, 1, out, 2);
    expect_error(WG_INVALID, "branch yes has no outputs");
    wg_cond(many, one, one, &x, 1, out, 2);
    expect_error(WG_SHAPE, "pred is bool[2], it must have rank 0");
    wg_cond(x, one, one, &x, 1, out, 2);
    expect_error(WG_DTYPE, "pred");
    ck_assert_int_eq(wg_cond(p, one, none, &x, 1, out, 2), WG_STALE);
    expect_error(WG_STALE, "cond: the sub-tape");
    const wg_fn fns[] = {one, one, total};
    wg_switch(wg_i(0), fns, 3, &x, 1, out, 2);
    expect_error(WG_SHAPE, "output 0 is f64[3] in branch 0 and f64 in branch 2");
    wg_switch(wg_sum(x), fns, 2, &x, 1, out, 2);
    expect_error(WG_DTYPE, "index");
    ck_assert_int_ne(wg_switch(wg_cast(wg_sum(x), WG_I64), NULL, 0, &x, 1, out, 2), WG_OK);
    expect_error(WG_INVALID, "at least one");
    wg_var k = wg_input(t, "k", WG_I64, WG_SCALAR), ins[] = {k, x};
    const wg_attr shared[] = {wg_attr_fns("fns", fns, 2), wg_attr_int("shared", 2)};
    wg_apply(t, "switch", ins, 2, shared, 2, out, 2);
    expect_error(WG_INVALID, "branch 0 takes 1 operands, not 2 shared ones");
    const wg_attr apart[] = {wg_attr_fns("fns", fns, 2), wg_attr_int("shared", 0)};
    wg_apply(t, "switch", ins, 2, apart, 2, out, 2);
    expect_error(WG_INVALID, "take 2 operands after index, not 1");
    const wg_attr empty[] = {wg_attr_fns("fns", fns, 0), wg_attr_int("shared", 0)};
    wg_apply(t, "switch", ins, 2, empty, 2, out, 2);
    expect_error(WG_INVALID, "fns lists no sub-tape");
    const wg_attr kind[] = {wg_attr_fn("fns", one), wg_attr_int("shared", 1)};
    wg_apply(t, "switch", ins, 2, kind, 2, out, 2);
    expect_error(WG_INVALID, "another kind");
}
END_TEST

/* ---- checkpoints -------------------------------------------------------------------------------- */

START_TEST(a_checkpoint_is_a_call_bit_for_bit)
{
    wg_var x = number_input("x", WG_SHAPE(3), 1), y = number_input("y", WG_SHAPE(3), 2);
    wg_var w = number_input("w", WG_SHAPE(3), 3), a[2], b[2], c[2], ins[] = {x, y};
    wg_fn f = branch(0, w);
    ck_assert_int_eq(wg_checkpoint(f, ins, 2, a, 2), WG_OK);
    ck_assert_int_eq(wg_call(f, ins, 2, b, 2), WG_OK);
    one_of(0, x, y, w, c);
    wg_var xs[] = {x, y, w};
    ck_agree(a, b, 2, xs, 3, 0, "checkpoint and call");
    ck_agree(a, c, 2, xs, 3, 1e-14, "checkpoint and plain");
    wg_var grads[3], loss = weighted(a, 2, 0);
    uint32_t before = (uint32_t)wg_tape_size(t);
    wg_grad(&loss, 1, NULL, xs, 3, grads);
    size_t found = 0;
    for (uint32_t id = before; id < wg_tape_size(t); id++)
        found += wg__node_at(t, id)->out == 0 && wg__node_at(t, id)->op == WG__OP_CHECKPOINT;
    ck_assert_uint_eq(found, 1); /* the backward one, which computes the body again */
}
END_TEST

/* ---- rules of one's own ------------------------------------------------------------------------- */

/* log(1 + exp x), whose derivative by the book is infinite / infinite where exp x is infinite; the
 * rule's is 1 - 1 / (1 + exp x). */
static wg_fn softplus(void)
{
    wg_var x;
    wg_tape *b = body_of(t, "log1pexp", WG_SHAPE(3), 1, &x);
    return end_fn(b, (wg_var[]){wg_log1p(wg_exp(x))}, 1);
}

static wg_fn softplus_rule(bool vjp)
{
    wg_var in[3];
    wg_tape *b = body_of(t, "rule", WG_SHAPE(3), vjp ? 3 : 2, in);
    return end_fn(b, (wg_var[]){wg_mul(wg_sigmoid(in[0]), in[vjp ? 2 : 1])}, 1);
}

static wg_status custom(bool vjp, wg_fn f, wg_fn rule, const wg_var *ins, size_t n, wg_var *outs,
                        size_t nouts)
{
    return vjp ? wg_custom_vjp(f, rule, ins, n, outs, nouts)
               : wg_custom_jvp(f, rule, ins, n, outs, nouts);
}

START_TEST(a_stable_rule)
{
    bool vjp = _i == 0;
    wg_var x = number_input("x", WG_SHAPE(3), 1), have, want = wg_softplus(x);
    ck_assert_int_eq(custom(vjp, softplus(), softplus_rule(vjp), &x, 1, &have, 1), WG_OK);
    ck_agree(&have, &want, 1, &x, 1, 1e-13, "softplus");
    inputs[0].data[0] = 800; /* where exp overflows */
    inputs[0].data[1] = 0;
    inputs[0].data[2] = -800;
    wg_var tangent, ones = wg_full(t, wg_typeof(x), 1), plain = wg_log1p(wg_exp(x));
    wg_jvp(&have, 1, &x, 1, &ones, &tangent);
    wg_var all[] = {wg_grad1(wg_sum(have), x), tangent, wg_grad1(wg_sum(tangent), x),
                    wg_grad1(wg_sum(plain), x)};
    const double grad[] = {1, 0.5, 0}, second[] = {0, 0.25, 0};
    for (int e = 0; e < 2; e++) {
        wg_session *s = run_of(all, 4, executors[e]);
        for (int i = 0; i < 3; i++) {
            ck_assert_double_eq(((const double *)wg_output(s, all[0], NULL, NULL))[i], grad[i]);
            ck_assert_double_eq(((const double *)wg_output(s, all[1], NULL, NULL))[i], grad[i]);
            ck_assert_double_eq(((const double *)wg_output(s, all[2], NULL, NULL))[i], second[i]);
        }
        ck_assert(!(((const double *)wg_output(s, all[3], NULL, NULL))[0] == 1));
        wg_session_free(s);
    }
}
END_TEST

/* Rounds, with the derivative of the identity (Bengio, Leonard and Courville 2013). */
START_TEST(a_straight_through_estimator)
{
    bool vjp = _i == 0;
    wg_var x = number_input("x", WG_SHAPE(3), 1), in[3], y, grad, tangent, zero;
    wg_tape *b = body_of(t, "round", WG_SHAPE(3), 1, in);
    wg_fn f = end_fn(b, (wg_var[]){wg_floor(wg_mul(in[0], wg_f(4)))}, 1);
    b = body_of(t, "rule", WG_SHAPE(3), vjp ? 3 : 2, in);
    wg_fn rule = end_fn(b, (wg_var[]){in[vjp ? 2 : 1]}, 1);
    ck_assert_int_eq(custom(vjp, f, rule, &x, 1, &y, 1), WG_OK);
    wg_var loss = wg_sum(wg_mul(y, weights(x, 0))), v = weights(x, 1);
    grad = wg_grad1(loss, x);
    wg_jvp(&y, 1, &x, 1, &v, &tangent);
    zero = wg_grad1(wg_sum(wg_square(grad)), x);
    wg_var have[] = {y, grad, tangent, zero};
    wg_var want[] = {wg_floor(wg_mul(x, wg_f(4))), weights(x, 0), v, wg_full(t, wg_typeof(x), 0)};
    ck_same(have, want, 4, 0, "straight through");
}
END_TEST

enum { ITERATIONS = 200 };

/* z = tanh(w z + x) / 2 until it stands. */
static wg_var fixed_point_step(wg_var z, wg_var x, wg_var w)
{
    return wg_mul(
        wg_f(0.5),
        wg_tanh(wg_add(wg_reshape(wg_matmul(w, wg_reshape(z, WG_SHAPE(3, 1))), WG_SHAPE(3)), x)));
}

static wg_var fixed_point(wg_tape *tape, wg_var x, wg_var w)
{
    wg_var z, out, z0 = wg_full(tape, wg_typeof(x), 0);
    wg_scan_options o = WG_SCAN_DEFAULTS;
    wg_tape *b = body_of(tape, "iterate", WG_SHAPE(3), 1, &z);
    wg_fn f = end_fn(b, (wg_var[]){fixed_point_step(z, x, w)}, 1);
    o.length = ITERATIONS;
    ck_assert_int_eq(wg_scan(f, &z0, 1, NULL, 0, &o, &out, 1), WG_OK);
    return out;
}

/* The implicit function theorem: with J the derivative of a step at the fixed point, l = dz + J' l, and
 * the cotangents of x and w are those of one step that gets l. */
static wg_fn implicit_rule(void)
{
    wg_tape *b = wg_fn_begin(t, "implicit");
    wg_var x = wg_fn_input(b, "x", WG_F64, WG_SHAPE(3));
    wg_var w = wg_fn_input(b, "w", WG_F64, WG_SHAPE(3, 3));
    wg_var z = wg_fn_input(b, "z", WG_F64, WG_SHAPE(3));
    wg_var dz = wg_fn_input(b, "dz", WG_F64, WG_SHAPE(3)), in[2], lambda, ds[2];
    wg_scan_options o = WG_SCAN_DEFAULTS;
    wg_tape *solve = body_of(b, "solve", WG_SHAPE(3), 2, in); /* z goes along to be of the body */
    wg_var next = fixed_point_step(in[1], x, w), pulled;
    wg_grad(&next, 1, &in[0], &in[1], 1, &pulled);
    wg_fn f = end_fn(solve, (wg_var[]){wg_add(dz, pulled), in[1]}, 2);
    o.length = ITERATIONS;
    ck_assert_int_eq(wg_scan(f, (wg_var[]){dz, z}, 2, NULL, 0, &o, &lambda, 1), WG_OK);
    wg_var once = fixed_point_step(z, x, w);
    wg_grad(&once, 1, &lambda, (wg_var[]){x, w}, 2, ds);
    return end_fn(b, ds, 2);
}

START_TEST(implicit_differentiation_of_a_fixed_point)
{
    wg_var x = number_input("x", WG_SHAPE(3), 1), w = number_input("w", WG_SHAPE(3, 3), 2), have;
    wg_tape *b = wg_fn_begin(t, "solve");
    wg_var bx = wg_fn_input(b, "x", WG_F64, WG_SHAPE(3));
    wg_var bw = wg_fn_input(b, "w", WG_F64, WG_SHAPE(3, 3));
    wg_fn f = end_fn(b, (wg_var[]){fixed_point(b, bx, bw)}, 1);
    wg_fn rule = implicit_rule();
    wg_var ins[] = {x, w}, want = fixed_point(t, x, w);
    ck_assert_msg(wg_custom_vjp(f, rule, ins, 2, &have, 1) == WG_OK, "%s", wg_tape_error(t));
    ck_agree(&have, &want, 1, ins, 2, 1e-10, "fixed point");
}
END_TEST

/* Several inputs and outputs, integers among both, and a rule that captures; the rule's gradients are
 * thrice the true ones, so that nothing else can have been used. */
START_TEST(rules_see_inputs_outputs_and_captures)
{
    bool vjp = _i == 0;
    wg_var x = number_input("x", WG_SHAPE(3), 1), y = number_input("y", WG_SHAPE(3), 2);
    wg_var k = index_input("k", WG_I64, 2), three = value_input("three", 3), outs[3];
    wg_shape shape = WG_SHAPE(3);
    wg_tape *b = wg_fn_begin(t, "f");
    wg_var bx = wg_fn_input(b, "x", WG_F64, shape), bk = wg_fn_input(b, "k", WG_I64, WG_SCALAR);
    wg_var by = wg_fn_input(b, "y", WG_F64, shape);
    wg_var prod = wg_mul(wg_mul(bx, by), wg_cast(bk, WG_F64));
    wg_fn f = end_fn(b, (wg_var[]){prod, wg_add(bk, bk), wg_sum(bx)}, 3), rule;
    b = wg_fn_begin(t, "rule");
    bx = wg_fn_input(b, "x", WG_F64, shape);
    bk = wg_fn_input(b, "k", WG_I64, WG_SCALAR);
    by = wg_fn_input(b, "y", WG_F64, shape);
    if (vjp) {
        wg_fn_input(b, "prod", WG_F64, shape);
        wg_var k2 = wg_fn_input(b, "k2", WG_I64, WG_SCALAR);
        wg_fn_input(b, "sum", WG_F64, WG_SCALAR);
        wg_var dp = wg_fn_input(b, "dp", WG_F64, shape);
        wg_var ds = wg_fn_input(b, "ds", WG_F64, WG_SCALAR);
        wg_var scale = wg_mul(wg_mul(three, wg_f(0.5)), wg_cast(k2, WG_F64)); /* three k */
        wg_var dx = wg_add(wg_mul(wg_mul(dp, by), scale), wg_mul(three, ds));
        rule = end_fn(b, (wg_var[]){dx, wg_mul(wg_mul(dp, bx), scale)}, 2);
    } else {
        wg_var tx = wg_fn_input(b, "tx", WG_F64, shape), ty = wg_fn_input(b, "ty", WG_F64, shape);
        wg_var scale = wg_mul(three, wg_cast(bk, WG_F64));
        wg_var tp = wg_mul(wg_add(wg_mul(tx, by), wg_mul(bx, ty)), scale);
        rule = end_fn(b, (wg_var[]){tp, wg_mul(three, wg_sum(tx))}, 2);
    }
    ck_assert_msg(custom(vjp, f, rule, (wg_var[]){x, k, y}, 3, outs, 3) == WG_OK, "%s",
                  wg_tape_error(t));
    ck_assert_int_eq(wg_typeof(outs[1]).dtype, WG_I64);
    wg_var have[] = {outs[0], outs[2]}, xs[] = {x, y}, d[2], e[2], td, te, v = weights(x, 1);
    wg_var want[] = {wg_mul(wg_mul(x, y), wg_f(2)), wg_sum(x)};
    wg_var a = weighted(have, 2, 0), c = wg_mul(weighted(want, 2, 0), wg_f(3));
    wg_grad(&a, 1, NULL, xs, 2, d);
    wg_grad(&c, 1, NULL, xs, 2, e);
    wg_jvp(&a, 1, &y, 1, &v, &td);
    wg_jvp(&c, 1, &y, 1, &v, &te);
    wg_var all[] = {have[0], have[1], d[0], d[1], td}, right[] = {want[0], want[1], e[0], e[1], te};
    ck_same(all, right, 5, 1e-14, "thrice");
    bool connected = true;
    wg_vjp(&a, 1, (wg_var[]){wg_f(1)}, &three, 1, d, &connected);
    ck_assert(!connected); /* what the rule captures has no part in the value */
}
END_TEST

START_TEST(rules_that_do_not_fit)
{
    wg_var x = number_input("x", WG_SHAPE(3), 1), w = wg_name(wg_mul(x, wg_f(2)), "w"), in[4], y;
    wg_fn f = softplus(), rule = softplus_rule(true), jvp = softplus_rule(false), none = {NULL, 0};
    wg_tape *b = body_of(t, "pair", WG_SHAPE(3), 3, in);
    wg_fn two = end_fn(b, (wg_var[]){in[2], in[2]}, 2);
    b = body_of(t, "sum", WG_SHAPE(3), 3, in);
    wg_fn sum = end_fn(b, (wg_var[]){wg_sum(in[2])}, 1);
    b = body_of(t, "wide", WG_SHAPE(4), 3, in);
    wg_fn wide = end_fn(b, (wg_var[]){in[2]}, 1);
    wg_custom_vjp(f, jvp, &x, 1, &y, 1);
    expect_error(WG_INVALID,
                 "custom_vjp: the rule takes 2 inputs, not 3: 1 inputs, 1 outputs and 1 "
                 "cotangents");
    ck_assert(!wg_ok(y));
    wg_custom_jvp(f, rule, &x, 1, &y, 1);
    expect_error(WG_INVALID, "custom_jvp: the rule takes 3 inputs, not 2: 1 inputs and 1 tangents");
    wg_custom_vjp(f, two, &x, 1, &y, 1);
    expect_error(WG_INVALID, "the rule gives 2 values, not 1: a cotangent for each float input");
    wg_custom_vjp(f, sum, &x, 1, &y, 1);
    expect_error(WG_SHAPE, "the rule gives f64 as cotangent of input 0, which is f64[3]");
    wg_custom_vjp(f, wide, &x, 1, &y, 1);
    expect_error(WG_SHAPE, "operand 0 of the rule is the input 0, f64[3]; it takes f64[4]");
    wg_custom_vjp(f, rule, (wg_var[]){x, x}, 2, &y, 1);
    expect_error(WG_INVALID, "the sub-tape takes 1 inputs, not 2");
    ck_assert_int_eq(wg_custom_vjp(f, none, &x, 1, &y, 1), WG_STALE);
    expect_error(WG_STALE, "custom_vjp: the sub-tape");
    ck_assert_int_eq(wg_custom_jvp(none, jvp, &x, 1, &y, 1), WG_STALE);
    expect_error(WG_STALE, "custom_jvp: the sub-tape");
    const wg_attr attrs[] = {wg_attr_fn("fn", f), wg_attr_fn("rule", f)};
    wg_apply(t, "custom_vjp", &x, 1, attrs, 2, &y, 1);
    expect_error(WG_INVALID, "a rule with 1 operands does not fit");
    wg_apply(t, "custom_jvp", &x, 1, attrs, 2, &y, 1);
    expect_error(WG_INVALID, "a rule with 1 operands does not fit");
    /* a captured value is not differentiated by a rule for inputs */
    b = body_of(t, "captures", WG_SHAPE(3), 1, in);
    wg_fn captures = end_fn(b, (wg_var[]){wg_mul(in[0], w)}, 1);
    ck_assert_int_eq(wg_custom_vjp(captures, rule, &x, 1, &y, 1), WG_OK);
    ck_assert(!wg_ok(wg_grad1(wg_sum(y), w)));
    expect_error(WG_NOT_DIFFERENTIABLE, "captures \"w\"");
    wg_var v = weights(x, 0), ty;
    ck_assert_int_eq(wg_custom_jvp(captures, jvp, &x, 1, &y, 1), WG_OK);
    ck_assert_int_ne(wg_jvp(&y, 1, &w, 1, &v, &ty), WG_OK);
    expect_error(WG_NOT_DIFFERENTIABLE, "captures \"w\"");
    ck_assert(wg_ok(wg_grad1(wg_sum(y), y)));
    /* a rule that is not linear has no transpose */
    b = body_of(t, "squares", WG_SHAPE(3), 2, in);
    wg_fn squares = end_fn(b, (wg_var[]){wg_square(in[1])}, 1);
    ck_assert_int_eq(wg_custom_jvp(f, squares, &x, 1, &y, 1), WG_OK);
    ck_assert_int_eq(wg_jvp(&y, 1, &x, 1, &v, &ty), WG_OK);
    ck_assert(!wg_ok(wg_grad1(wg_sum(y), x)));
    expect_error(WG_NOT_DIFFERENTIABLE, "custom_jvp: the rule is not linear in its tangents");
}
END_TEST

/* ---- memory ------------------------------------------------------------------------------------- */

/* Records, differentiates twice, compiles and runs each op of this file, in one another. */
static bool scenario(wg_ctx *c, void *user)
{
    const char *executor = user;
    wg_tape *tape = wg_tape_new(c);
    wg_var x = wg_input(tape, "x", WG_F64, WG_SCALAR), w = wg_input(tape, "w", WG_F64, WG_SCALAR);
    wg_tape *b = wg_fn_begin(tape, "f");
    wg_var a = wg_fn_input(b, "a", WG_F64, WG_SCALAR), s = wg_sin(wg_mul(a, w));
    wg_fn f = wg_fn_end(b, &s, 1);
    b = wg_fn_begin(tape, "rule");
    a = wg_fn_input(b, "a", WG_F64, WG_SCALAR);
    wg_fn_input(b, "y", WG_F64, WG_SCALAR);
    s = wg_mul(wg_fn_input(b, "dy", WG_F64, WG_SCALAR), wg_cos(a));
    wg_fn rule = wg_fn_end(b, &s, 1);
    b = wg_fn_begin(tape, "g");
    a = wg_fn_input(b, "a", WG_F64, WG_SCALAR);
    wg_fn g = wg_fn_end(b, (wg_var[]){wg_mul(a, a)}, 1);
    wg_var parts[4], sum, grad, second, tangent, one = wg_full(tape, wg_typeof(x), 1);
    const wg_fn fns[] = {f, g, g};
    wg_cond(wg_less(x, w), f, g, &x, 1, &parts[0], 1);
    wg_switch(wg_i(1), fns, 3, &parts[0], 1, &parts[1], 1);
    wg_checkpoint(f, &parts[1], 1, &parts[2], 1);
    wg_custom_vjp(g, rule, &parts[2], 1, &parts[3], 1);
    sum = wg_add(wg_add(parts[0], parts[1]), wg_add(parts[2], parts[3]));
    grad = wg_grad1(sum, x);
    second = wg_grad1(grad, x);
    wg_jvp(&sum, 1, &x, 1, &one, &tangent);
    wg_compile_options o = WG_COMPILE_DEFAULTS;
    o.executor = executor;
    wg_var outs[] = {sum, grad, second, tangent};
    wg_program *p = wg_tape_status(tape) ? NULL : wg_compile(tape, outs, 4, &o);
    wg_session *session = p ? wg_session_new(p, NULL) : NULL;
    const double data[] = {0.5, 0.75};
    bool ok = session && !wg_bind(session, x, &data[0], sizeof *data) &&
              !wg_bind(session, w, &data[1], sizeof *data) && !wg_run(session) &&
              isfinite(wg_scalar(session, second));
    wg_session_free(session);
    wg_program_free(p);
    wg_tape_free(tape);
    return ok;
}

START_TEST(every_allocation_may_fail)
{
    ck_assert_int_eq(fault_each(wg_ctx_new, scenario, (void *)(uintptr_t)executors[_i]), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("control");
    TCase *c = tcase_create("on tape");
    tcase_add_checked_fixture(c, begin, teardown);
    tcase_set_timeout(c, 300);
    suite_add_tcase(suite, c);
    tcase_add_loop_test(c, cond_is_the_branch_taken, 0, 2);
    tcase_add_loop_test(c, switch_is_the_branch_taken, 0, 6);
    tcase_add_test(c, a_switch_of_one_branch_and_literals);
    tcase_add_test(c, the_branch_not_taken_does_not_leak);
    tcase_add_loop_test(c, an_index_out_of_range_fails_the_run, 0, 4);
    tcase_add_test(c, what_no_branch_uses_is_disconnected);
    tcase_add_loop_test(c, scan_in_cond_in_scan, 0, 4);
    tcase_add_test(c, the_order_of_branches_counts);
    tcase_add_test(c, branches_take_other_sizes);
    tcase_add_test(c, branches_that_do_not_fit);
    tcase_add_test(c, a_checkpoint_is_a_call_bit_for_bit);
    tcase_add_loop_test(c, a_stable_rule, 0, 2);
    tcase_add_loop_test(c, a_straight_through_estimator, 0, 2);
    tcase_add_test(c, implicit_differentiation_of_a_fixed_point);
    tcase_add_loop_test(c, rules_see_inputs_outputs_and_captures, 0, 2);
    tcase_add_test(c, rules_that_do_not_fit);
    tcase_add_loop_test(c, every_allocation_may_fail, 0, 2);
    return run_suite(suite);
}
