/* Loops: scan, map and while with all their options, and their derivatives. What a loop gives is
 * compared with the same steps recorded one by one, with closed forms, and with central differences,
 * in both executors. */
#include <math.h>
#include <stdatomic.h>

#include "fault.h"
#include "on_tape.h"
#include "rng.h"

static const char *const executors[] = {"reference", "vm"};

/* ---- problems: inputs with values, and a loss of them ------------------------------------------- */

enum { MAX_XS = 6, ROOM = 128 };

typedef struct problem {
    size_t n;
    wg_var xs[MAX_XS];
    double data[MAX_XS][ROOM];
} problem;

static void add_input(problem *p, const char *name, wg_shape shape, double low, double high)
{
    rng r = rng_make(p->n + 11);
    size_t i = p->n++;
    ck_assert(p->n <= MAX_XS && wg_shape_count(shape) <= ROOM);
    p->xs[i] = wg_input(t, name, WG_F64, shape);
    for (int k = 0; k < ROOM; k++)
        p->data[i][k] = low + (high - low) * rng_unit(&r);
}

static int64_t count_of(const problem *p, size_t i)
{
    return wg_shape_count(wg_typeof(p->xs[i]).shape);
}

/* A tangent for input i: other numbers than its value's. */
static wg_var direction(const problem *p, size_t i)
{
    double v[ROOM];
    rng r = rng_make(i + 101);
    for (int k = 0; k < ROOM; k++)
        v[k] = 2 * rng_unit(&r) - 1;
    return wg_const(t, WG_F64, wg_typeof(p->xs[i]).shape, v);
}

static wg_session *start(const problem *p, const char *executor, const wg_var *outs, size_t n)
{
    wg_compile_options o = WG_COMPILE_DEFAULTS;
    o.executor = executor;
    o.verify = true;
    wg_program *program = wg_compile(t, outs, n, &o);
    ck_assert_msg(program != NULL, "%s: %s", executor, wg_tape_error(t));
    wg_session *s = wg_session_new(program, NULL);
    for (size_t i = 0; i < p->n; i++)
        ck_assert_msg(!wg_bind(s, p->xs[i], p->data[i], (size_t)count_of(p, i) * sizeof(double)),
                      "%s", wg_session_error(s));
    wg_program_free(program);
    return s;
}

static void run(wg_session *s)
{
    wg_status status = wg_run(s);
    ck_assert_msg(status == WG_OK, "%s", wg_session_error(s));
}

/* got[i] and want[i] have the same elements, to tol relative to 1 + the largest of them. */
static void same_values(const problem *p, const wg_var *got, const wg_var *want, size_t n,
                        double tol, const char *what)
{
    wg_var all[2 * 40];
    ck_assert_uint_le(n, 40);
    for (size_t i = 0; i < n; i++) {
        ck_assert_msg(wg_ok(got[i]) && wg_ok(want[i]), "%s: %s", what, wg_tape_error(t));
        all[2 * i] = got[i];
        all[2 * i + 1] = want[i];
    }
    for (int e = 0; e < 2; e++) {
        wg_session *s = start(p, executors[e], all, 2 * n);
        run(s);
        for (size_t i = 0; i < n; i++) {
            const double *a = wg_output(s, got[i], NULL, NULL),
                         *b = wg_output(s, want[i], NULL, NULL);
            int64_t m = wg_shape_count(wg_typeof(want[i]).shape);
            double size = 1;
            ck_assert_int_eq(wg_shape_count(wg_typeof(got[i]).shape), m);
            for (int64_t k = 0; k < m; k++)
                size = fmax(size, 1 + fabs(b[k]));
            for (int64_t k = 0; k < m; k++)
                ck_assert_msg(fabs(a[k] - b[k]) <= tol * size, "%s: %s %zu [%lld]: %.17g, %.17g",
                              executors[e], what, i, (long long)k, a[k], b[k]);
        }
        wg_session_free(s);
    }
}

static void grads(const problem *p, wg_var y, wg_var *d)
{
    ck_assert_msg(wg_grad(&y, 1, NULL, p->xs, p->n, d) == WG_OK, "%s", wg_tape_error(t));
}

static wg_var tangent(const problem *p, wg_var y)
{
    wg_var v[MAX_XS], ty;
    for (size_t i = 0; i < p->n; i++)
        v[i] = direction(p, i);
    ck_assert_msg(wg_jvp(&y, 1, p->xs, p->n, v, &ty) == WG_OK, "%s", wg_tape_error(t));
    return ty;
}

/* sum over i of d[i] . direction[i] */
static wg_var along(const problem *p, const wg_var *d)
{
    wg_var sum = wg_none();
    for (size_t i = 0; i < p->n; i++) {
        wg_var term = wg_sum(wg_mul(d[i], direction(p, i)));
        sum = i ? wg_add(sum, term) : term;
    }
    return sum;
}

/* The derivatives of a loss up to an order, in all orders of modes. */
static size_t derivatives(const problem *p, wg_var y, int order, wg_var *out)
{
    size_t n = 0;
    wg_var d[MAX_XS], ty = tangent(p, y), s;
    out[n++] = y;
    out[n++] = ty;
    grads(p, y, d);
    for (size_t i = 0; i < p->n; i++)
        out[n++] = d[i];
    if (order < 2)
        return n;
    s = along(p, d);
    out[n++] = tangent(p, s);  /* forward over reverse */
    out[n++] = tangent(p, ty); /* forward over forward */
    grads(p, ty, d);           /* reverse over forward */
    for (size_t i = 0; i < p->n; i++)
        out[n++] = d[i];
    grads(p, s, d); /* reverse over reverse */
    for (size_t i = 0; i < p->n; i++)
        out[n++] = d[i];
    if (order < 3)
        return n;
    s = along(p, d);
    out[n++] = tangent(p, s);
    grads(p, s, d);
    for (size_t i = 0; i < p->n; i++)
        out[n++] = d[i];
    return n;
}

static void same_derivatives(const problem *p, wg_var loop, wg_var plain, int order)
{
    wg_var got[40], want[40];
    size_t n = derivatives(p, loop, order, got);
    ck_assert_uint_eq(derivatives(p, plain, order, want), n);
    same_values(p, got, want, n, 1e-11, "derivative");
}

/* The gradient of `y` by central differences, where the data are numbers. */
static void check_differences(problem *p, wg_var y)
{
    wg_var d[MAX_XS + 1];
    const double h = 1e-5;
    d[0] = y;
    grads(p, y, d + 1);
    for (int e = 0; e < 2; e++) {
        wg_session *s = start(p, executors[e], d, p->n + 1);
        double got[MAX_XS][ROOM];
        run(s);
        for (size_t i = 0; i < p->n; i++)
            if (count_of(p, i))
                memcpy(got[i], wg_output_at(s, i + 1, NULL, NULL),
                       (size_t)count_of(p, i) * sizeof(double));
        for (size_t i = 0; i < p->n; i++)
            for (int64_t k = 0; k < count_of(p, i); k++) {
                double x = p->data[i][k], f[2];
                if (isnan(x)) {
                    ck_assert_double_eq(got[i][k], 0);
                    continue;
                }
                for (int side = 0; side < 2; side++) {
                    p->data[i][k] = side ? x + h : x - h;
                    run(s);
                    f[side] = *(const double *)wg_output_at(s, 0, NULL, NULL);
                }
                p->data[i][k] = x;
                ck_assert_msg(fabs((f[1] - f[0]) / (2 * h) - got[i][k]) <=
                                  1e-6 * (1 + fabs(got[i][k])),
                              "%s: input %zu [%lld]: %.12g, differences give %.12g", executors[e],
                              i, (long long)k, got[i][k], (f[1] - f[0]) / (2 * h));
            }
        wg_session_free(s);
    }
}

/* Row k of a sequence, without its leading axis. */
static wg_var row(wg_var xs, int64_t k)
{
    wg_shape shape = wg_typeof(xs).shape;
    int64_t from[WG_MAX_RANK] = {k}, to[WG_MAX_RANK] = {k + 1};
    for (int i = 1; i < shape.rank; i++)
        to[i] = shape.dim[i];
    return wg_reshape(wg_slice(xs, from, (size_t)shape.rank, to, (size_t)shape.rank),
                      wg_shape_make(shape.dim + 1, shape.rank - 1));
}

static wg_var i64(int64_t v) { return wg_const(t, WG_I64, WG_SCALAR, &v); }

static wg_fn end_fn(wg_tape *body, const wg_var *outs, size_t n)
{
    wg_fn fn = wg_fn_end(body, outs, n);
    ck_assert_msg(wg_fn_ok(fn), "%s", wg_tape_error(t));
    return fn;
}

static void ok(wg_status status) { ck_assert_msg(status == WG_OK, "%s", wg_tape_error(t)); }

/* ---- scan -------------------------------------------------------------------------------------- */

enum { ALL = INT32_MIN }; /* of a count: none is given */

static const struct scan_case {
    int64_t length;
    int count;
    bool reverse;
} scan_cases[] = {
    {4, ALL, false}, {4, ALL, true}, {1, ALL, false}, {0, ALL, false}, {4, -3, false},
    {4, 0, true},    {4, 1, false},  {4, 1, true},    {4, 3, false},   {4, 3, true},
    {4, 4, false},   {4, 9, true},   {0, 2, false},   {1, 1, true},
};

/* h' = tanh(h w + x) + c, c' = c cos(c) + z sum(h); y = h' x, u = c'; terms h' w and c z. */
static void scan_step(const wg_var *in, wg_var w, wg_var *out)
{
    wg_var h = in[0], c = in[1], x = in[2], z = in[3];
    out[0] = wg_add(wg_tanh(wg_add(wg_mul(h, w), x)), c);
    out[1] = wg_add(wg_mul(c, wg_cos(c)), wg_mul(z, wg_sum(h)));
    out[2] = wg_mul(out[0], x);
    out[3] = out[1];
    out[4] = wg_mul(out[0], w);
    out[5] = wg_mul(c, z);
}

static wg_var scan_loss(const wg_var *v)
{
    wg_var loss = wg_add(wg_sum(wg_square(v[0])), wg_exp(v[1]));
    loss = wg_add(loss, wg_sum(wg_sin(v[2])));
    loss = wg_add(loss, wg_sum(wg_square(v[3])));
    loss = wg_add(loss, wg_sum(wg_cos(v[4])));
    return wg_add(loss, wg_square(v[5]));
}

static problem scan_problem(const struct scan_case *k)
{
    problem p = {.n = 0};
    int64_t n = k->count == ALL ? k->length : k->count;
    add_input(&p, "h0", WG_SHAPE(2), -1, 1);
    add_input(&p, "c0", WG_SCALAR, -1, 1);
    add_input(&p, "xs", WG_SHAPE(k->length, 2), -1, 1);
    add_input(&p, "zs", WG_SHAPE(k->length), -1, 1);
    add_input(&p, "w", WG_SHAPE(2), -1, 1);
    for (int64_t i = n < 0 ? 0 : n; i < k->length; i++) /* what does not run may be anything */
        p.data[2][2 * i] = p.data[2][2 * i + 1] = p.data[3][i] = NAN;
    return p;
}

static wg_var by_scan(const problem *p, const struct scan_case *k)
{
    wg_tape *b = wg_fn_begin(t, "step");
    wg_var in[4], out[6];
    in[0] = wg_fn_input(b, "h", WG_F64, WG_SHAPE(2));
    in[1] = wg_fn_input(b, "c", WG_F64, WG_SCALAR);
    in[2] = wg_fn_input(b, "x", WG_F64, WG_SHAPE(2));
    in[3] = wg_fn_input(b, "z", WG_F64, WG_SCALAR);
    scan_step(in, p->xs[4], out);
    wg_fn f = end_fn(b, out, 6);
    wg_scan_options o = WG_SCAN_DEFAULTS;
    o.sums = 2;
    o.reverse = k->reverse;
    if (k->count != ALL)
        o.count =
            k->reverse ? wg_const(t, WG_I32, WG_SCALAR, (int32_t[]){k->count}) : i64(k->count);
    ok(wg_scan(f, p->xs, 2, p->xs + 2, 2, &o, out, 6));
    return scan_loss(out);
}

static wg_var zeros(wg_shape shape) { return wg_full(t, (wg_type){WG_F64, shape}, 0); }

static wg_var unrolled_scan(const problem *p, const struct scan_case *k)
{
    wg_var in[4] = {p->xs[0], p->xs[1]}, out[6], ys[8], us[8];
    wg_var s[2] = {zeros(WG_SHAPE(2)), zeros(WG_SCALAR)};
    int64_t n = k->count == ALL || k->count > k->length ? k->length : k->count;
    for (int64_t i = 0; i < k->length; i++) {
        ys[i] = zeros(WG_SHAPE(1, 2));
        us[i] = zeros(WG_SHAPE(1));
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t at = k->reverse ? n - 1 - i : i;
        in[2] = row(p->xs[2], at);
        in[3] = row(p->xs[3], at);
        scan_step(in, p->xs[4], out);
        in[0] = out[0];
        in[1] = out[1];
        ys[at] = wg_reshape(out[2], WG_SHAPE(1, 2));
        us[at] = wg_reshape(out[3], WG_SHAPE(1));
        s[0] = wg_add(s[0], out[4]);
        s[1] = wg_add(s[1], out[5]);
    }
    wg_var v[6] = {in[0], in[1], zeros(WG_SHAPE(0, 2)), zeros(WG_SHAPE(0)), s[0], s[1]};
    if (k->length) {
        v[2] = wg_concat(ys, (size_t)k->length, 0);
        v[3] = wg_concat(us, (size_t)k->length, 0);
    }
    return scan_loss(v);
}

START_TEST(a_scan_equals_its_unrolled_graph)
{
    const struct scan_case *k = &scan_cases[_i];
    problem p = scan_problem(k);
    same_derivatives(&p, by_scan(&p, k), unrolled_scan(&p, k), k->length == 4 ? 3 : 2);
}
END_TEST

START_TEST(a_scan_agrees_with_differences)
{
    const struct scan_case *k = &scan_cases[_i];
    problem p = scan_problem(k);
    check_differences(&p, by_scan(&p, k));
}
END_TEST

/* Sums of f32 terms of very different sizes tell the order in which they were added. */
START_TEST(sums_are_added_in_the_order_of_running)
{
    enum { T = 50 };
    float data[T], want[2] = {0, 0};
    rng r = rng_make(5);
    for (int i = 0; i < T; i++)
        data[i] = (float)((rng_unit(&r) - 0.5) * pow(10, (double)(i % 9)));
    for (int i = 0; i < T; i++) {
        want[0] += data[i];
        want[1] += data[T - 1 - i];
    }
    ck_assert(want[0] != want[1]);
    wg_var xs = wg_input(t, "xs", WG_F32, WG_SHAPE(T)), out[2];
    for (int reverse = 0; reverse < 2; reverse++) {
        wg_tape *b = wg_fn_begin(t, "step");
        wg_var x = wg_fn_input(b, "x", WG_F32, WG_SCALAR);
        wg_fn f = end_fn(b, &x, 1);
        wg_scan_options o = WG_SCAN_DEFAULTS;
        o.reverse = reverse;
        o.sums = 1;
        ok(wg_scan(f, NULL, 0, &xs, 1, &o, &out[reverse], 1));
    }
    problem none = {.n = 0};
    for (int e = 0; e < 2; e++) {
        wg_session *s = start(&none, executors[e], out, 2);
        ck_assert_int_eq(wg_bind(s, xs, data, sizeof data), WG_OK);
        run(s);
        for (int k = 0; k < 2; k++)
            ck_assert_float_eq(*(const float *)wg_output(s, out[k], NULL, NULL), want[k]);
        wg_session_free(s);
    }
}
END_TEST

/* A carry that counts, one that remembers a flag, a sum of flags; none of them stands in the way of the
 * derivative of the fourth. */
START_TEST(carries_and_sums_of_other_dtypes)
{
    enum { T = 5 };
    problem p = {.n = 0};
    add_input(&p, "h", WG_SHAPE(2), 0.5, 1);
    add_input(&p, "xs", WG_SHAPE(T), 0.5, 1);
    wg_tape *b = wg_fn_begin(t, "step");
    wg_var k = wg_fn_input(b, "k", WG_I32, WG_SCALAR),
           odd = wg_fn_input(b, "odd", WG_BOOL, WG_SCALAR);
    wg_var h = wg_fn_input(b, "h", WG_F64, WG_SHAPE(2)), x = wg_fn_input(b, "x", WG_F64, WG_SCALAR);
    wg_var next = wg_mul(h, wg_where(odd, wg_sin(x), wg_cos(x)));
    wg_var outs[] = {wg_add(k, wg_i(2)), wg_logical_not(odd), next, wg_cast(odd, WG_I64)};
    wg_fn f = end_fn(b, outs, 4);
    wg_var carries[] = {wg_i(3), wg_const(t, WG_BOOL, WG_SCALAR, (uint8_t[]){0}), p.xs[0]}, v[4];
    wg_scan_options o = WG_SCAN_DEFAULTS;
    o.sums = 1;
    ok(wg_scan(f, carries, 3, &p.xs[1], 1, &o, v, 4));
    wg_var plain = p.xs[0];
    for (int i = 0; i < T; i++)
        plain = wg_mul(plain, i % 2 ? wg_sin(row(p.xs[1], i)) : wg_cos(row(p.xs[1], i)));
    same_derivatives(&p, wg_sum(v[2]), wg_sum(plain), 3);
    wg_var whole[] = {v[0], v[1], v[3]};
    for (int e = 0; e < 2; e++) {
        wg_session *s = start(&p, executors[e], whole, 3);
        run(s);
        ck_assert_int_eq(*(const int32_t *)wg_output(s, v[0], NULL, NULL), 3 + 2 * T);
        ck_assert_int_eq(*(const uint8_t *)wg_output(s, v[1], NULL, NULL), 1);
        ck_assert_int_eq(*(const int64_t *)wg_output(s, v[3], NULL, NULL), 2);
        wg_session_free(s);
    }
}
END_TEST

/* Histories and per-step outputs of steps that do not run are 0 in memory that held something else. */
START_TEST(what_does_not_run_is_zero)
{
    enum { T = 6 };
    wg_var n = wg_input(t, "n", WG_I64, WG_SCALAR), out[4];
    wg_var xs = wg_const(t, WG_F64, WG_SHAPE(T), (double[]){1, 2, 3, 4, 5, 6});
    for (int reverse = 0; reverse < 2; reverse++) {
        wg_tape *b = wg_fn_begin(t, "step");
        wg_var h = wg_fn_input(b, "h", WG_F64, WG_SCALAR),
               x = wg_fn_input(b, "x", WG_F64, WG_SCALAR);
        wg_fn f = end_fn(b, (wg_var[]){wg_add(h, x), wg_mul(h, x), x}, 3);
        const wg_attr attrs[] = {wg_attr_fn("fn", f),          wg_attr_int("carries", 1),
                                 wg_attr_int("xs", 1),         wg_attr_shape("length", WG_SHAPE(T)),
                                 wg_attr_int("sums", 1),       wg_attr_bool("reverse", reverse),
                                 wg_attr_bool("counted", true)};
        wg_var h0 = wg_const(t, WG_F64, WG_SCALAR, (double[]){10});
        wg_var ins[] = {h0, xs, n};
        ok(wg_apply(t, "scan", ins, 3, attrs, 7, out, 4));
        problem none = {.n = 0};
        for (int e = 0; e < 2; e++) {
            wg_session *s = start(&none, executors[e], out, 4);
            for (int64_t count = 7; count >= -1; count--) {
                int64_t steps = count < 0 ? 0 : count > T ? T : count;
                double carry = 10, sum = 0, y[T] = {0}, hist[T] = {0};
                ck_assert_int_eq(wg_bind(s, n, &count, sizeof count), WG_OK);
                run(s);
                for (int64_t i = 0; i < steps; i++) {
                    int64_t at = reverse ? steps - 1 - i : i;
                    hist[at] = carry;
                    y[at] = carry * (double)(at + 1);
                    sum += (double)(at + 1);
                    carry += (double)(at + 1);
                }
                ck_assert_double_eq(*(const double *)wg_output_at(s, 0, NULL, NULL), carry);
                ck_assert_mem_eq(wg_output_at(s, 1, NULL, NULL), y, sizeof y);
                ck_assert_double_eq(*(const double *)wg_output_at(s, 2, NULL, NULL), sum);
                ck_assert_mem_eq(wg_output_at(s, 3, NULL, NULL), hist, sizeof hist);
            }
            wg_session_free(s);
        }
    }
}
END_TEST

/* What no cotangent reaches stays a structural zero, and no carry of the backward scan. */
START_TEST(structural_zeros_stay_structural)
{
    wg_var a = wg_input(t, "a", WG_F64, WG_SCALAR), c = wg_input(t, "c", WG_F64, WG_SCALAR);
    wg_var w = wg_input(t, "w", WG_F64, WG_SCALAR), out[2], d[3];
    bool on[3];
    wg_tape *b = wg_fn_begin(t, "step");
    wg_var x = wg_fn_input(b, "x", WG_F64, WG_SCALAR), y = wg_fn_input(b, "y", WG_F64, WG_SCALAR);
    wg_fn f = end_fn(b, (wg_var[]){wg_sin(x), wg_mul(y, wg_mul(x, w))}, 2);
    wg_scan_options o = WG_SCAN_DEFAULTS;
    o.length = 3;
    ok(wg_scan(f, (wg_var[]){a, c}, 2, NULL, 0, &o, out, 2));
    wg_var xs[] = {a, c, w}, one = wg_full(t, wg_typeof(a), 1);
    ok(wg_vjp(out, 1, &one, xs, 3, d, on));
    ck_assert(wg_ok(d[0]) && wg_is_none(d[1]) && wg_is_none(d[2]));
    uint32_t id = (uint32_t)wg_tape_size(t);
    while (wg__node_at(t, --id)->op != WG__OP_SCAN)
        ;
    id = wg__head(t, id);
    wg_attrs attrs = wg__attrs_of(t, id);
    ck_assert_int_eq(wg_attrs_int(&attrs, "carries"), 1);
    ck_assert_uint_eq(wg__node_at(t, id)->nin, 2); /* the cotangent, and x's history */
    wg_var ty[2];
    ok(wg_jvp(out, 2, &c, 1, &one, ty));
    problem none = {.n = 0};
    for (int e = 0; e < 2; e++) {
        wg_session *s = start(&none, executors[e], ty, 2);
        double v[] = {0.3, 0.7, 0.9};
        for (int i = 0; i < 3; i++)
            wg_bind(s, xs[i], &v[i], sizeof v[i]); /* some are not needed */
        run(s);
        double x0 = 0.3, x1 = sin(x0), x2 = sin(x1);
        ck_assert_double_eq(*(const double *)wg_output_at(s, 0, NULL, NULL), 0);
        ck_assert_double_eq_tol(*(const double *)wg_output_at(s, 1, NULL, NULL),
                                x0 * x1 * x2 * 0.9 * 0.9 * 0.9, 1e-15);
        wg_session_free(s);
    }
}
END_TEST

/* ---- map --------------------------------------------------------------------------------------- */

static const struct map_case {
    int64_t length;
    int count;
} map_cases[] = {{5, ALL}, {1, ALL}, {0, ALL}, {5, -1}, {5, 0}, {5, 3}, {5, 8}, {20, 18}};

/* y = sin(x w) + z; terms y x and z^2 */
static void map_step(const wg_var *in, wg_var w, wg_var *out)
{
    out[0] = wg_add(wg_sin(wg_mul(in[0], w)), in[1]);
    out[1] = wg_mul(out[0], in[0]);
    out[2] = wg_mul(in[1], wg_square(in[1]));
}

static wg_var map_loss(const wg_var *v)
{
    return wg_add(wg_add(wg_sum(wg_square(v[0])), wg_sum(wg_cos(v[1]))), wg_square(v[2]));
}

static problem map_problem(const struct map_case *k)
{
    problem p = {.n = 0};
    int64_t n = k->count == ALL ? k->length : k->count;
    add_input(&p, "xs", WG_SHAPE(k->length, 2), -1, 1);
    add_input(&p, "zs", WG_SHAPE(k->length), -1, 1);
    add_input(&p, "w", WG_SHAPE(2), -1, 1);
    for (int64_t i = n < 0 ? 0 : n; i < k->length; i++)
        p.data[0][2 * i] = p.data[0][2 * i + 1] = p.data[1][i] = NAN;
    return p;
}

static wg_var by_map(const problem *p, const struct map_case *k)
{
    wg_tape *b = wg_fn_begin(t, "step");
    wg_var in[2], out[3];
    in[0] = wg_fn_input(b, "x", WG_F64, WG_SHAPE(2));
    in[1] = wg_fn_input(b, "z", WG_F64, WG_SCALAR);
    map_step(in, p->xs[2], out);
    wg_fn f = end_fn(b, out, 3);
    wg_scan_options o = WG_SCAN_DEFAULTS;
    o.sums = 2;
    if (k->count != ALL)
        o.count = wg_i(k->count);
    ok(wg_map(f, p->xs, 2, &o, out, 3));
    return map_loss(out);
}

static wg_var unrolled_map(const problem *p, const struct map_case *k)
{
    wg_var in[2], out[3], ys[20],
        v[3] = {zeros(WG_SHAPE(0, 2)), zeros(WG_SHAPE(2)), zeros(WG_SCALAR)};
    int64_t n = k->count == ALL || k->count > k->length ? k->length : k->count;
    for (int64_t i = 0; i < k->length; i++)
        ys[i] = zeros(WG_SHAPE(1, 2));
    for (int64_t i = 0; i < n; i++) {
        in[0] = row(p->xs[0], i);
        in[1] = row(p->xs[1], i);
        map_step(in, p->xs[2], out);
        ys[i] = wg_reshape(out[0], WG_SHAPE(1, 2));
        v[1] = wg_add(v[1], out[1]);
        v[2] = wg_add(v[2], out[2]);
    }
    if (k->length)
        v[0] = wg_concat(ys, (size_t)k->length, 0);
    return map_loss(v);
}

static size_t count_ops(const wg_tape *tape, const char *name)
{
    size_t n = 0;
    for (uint32_t id = 0; id < tape->nodes.len; id++)
        n += !wg__node_at(tape, id)->out && !strcmp(wg__op_of(tape, id)->name, name);
    return n;
}

START_TEST(a_map_equals_its_unrolled_graph)
{
    const struct map_case *k = &map_cases[_i];
    problem p = map_problem(k);
    same_derivatives(&p, by_map(&p, k), unrolled_map(&p, k), k->length == 5 ? 3 : 2);
    ck_assert_uint_eq(count_ops(t, "scan"), 0); /* derivatives of maps are maps */
    ck_assert_uint_gt(count_ops(t, "map"), 6);
}
END_TEST

START_TEST(a_map_agrees_with_differences)
{
    const struct map_case *k = &map_cases[_i];
    problem p = map_problem(k);
    check_differences(&p, by_map(&p, k));
}
END_TEST

/* Chunks of ceil(T / 16) steps, each added up from 0, then added in order; a count leaves the cut as it
 * is. */
START_TEST(sums_of_a_map_are_added_in_chunks)
{
    enum { T = 50, CHUNK = 4 };
    float data[T];
    rng r = rng_make(5);
    for (int i = 0; i < T; i++)
        data[i] = (float)((rng_unit(&r) - 0.5) * pow(10, (double)(i % 9)));
    wg_var xs = wg_input(t, "xs", WG_F32, WG_SHAPE(T)), n = wg_input(t, "n", WG_I32, WG_SCALAR),
           out;
    wg_tape *b = wg_fn_begin(t, "step");
    wg_var x = wg_fn_input(b, "x", WG_F32, WG_SCALAR);
    wg_fn f = end_fn(b, &x, 1);
    wg_scan_options o = WG_SCAN_DEFAULTS;
    o.sums = 1;
    o.count = n;
    ok(wg_map(f, &xs, 1, &o, &out, 1));
    problem none = {.n = 0};
    for (int e = 0; e < 2; e++) {
        wg_session *s = start(&none, executors[e], &out, 1);
        ck_assert_int_eq(wg_bind(s, xs, data, sizeof data), WG_OK);
        for (int32_t count = 0; count <= T; count += 10) {
            float want = 0;
            for (int from = 0; from < count; from += CHUNK) {
                float part = 0;
                for (int i = from; i < from + CHUNK && i < count; i++)
                    part += data[i];
                want += part;
            }
            ck_assert_int_eq(wg_bind(s, n, &count, sizeof count), WG_OK);
            run(s);
            ck_assert_float_eq(*(const float *)wg_output(s, out, NULL, NULL), want);
        }
        wg_session_free(s);
    }
}
END_TEST

/* ---- nesting ----------------------------------------------------------------------------------- */

/* out[i, j] = sin(x[i, j] w) + v[j], and the sum of all of them */
START_TEST(a_map_in_a_map)
{
    problem p = {.n = 0};
    add_input(&p, "x", WG_SHAPE(3, 4), -1, 1);
    add_input(&p, "v", WG_SHAPE(4), -1, 1);
    add_input(&p, "w", WG_SCALAR, -1, 1);
    wg_scan_options o = WG_SCAN_DEFAULTS;
    o.sums = 1;
    wg_tape *outer = wg_fn_begin(t, "row");
    wg_var xs[2] = {wg_fn_input(outer, "x", WG_F64, WG_SHAPE(4)), p.xs[1]}, in[2], out[2];
    wg_tape *inner = wg_fn_begin(outer, "element");
    in[0] = wg_fn_input(inner, "x", WG_F64, WG_SCALAR);
    in[1] = wg_fn_input(inner, "v", WG_F64, WG_SCALAR);
    wg_var y = wg_add(wg_sin(wg_mul(in[0], p.xs[2])), in[1]);
    wg_fn f = end_fn(inner, (wg_var[]){y, wg_square(y)}, 2);
    ok(wg_map(f, xs, 2, &o, out, 2));
    wg_fn g = end_fn(outer, out, 2);
    ok(wg_map(g, p.xs, 1, &o, out, 2));
    wg_var plain = wg_add(wg_sin(wg_mul(p.xs[0], p.xs[2])), p.xs[1]);
    wg_var loop = wg_add(wg_sum(wg_exp(out[0])), wg_sin(out[1]));
    plain = wg_add(wg_sum(wg_exp(plain)), wg_sin(wg_sum(wg_square(plain))));
    same_derivatives(&p, loop, plain, 3);
    check_differences(&p, loop);
}
END_TEST

/* for 2 steps: { while (k < 3): { for 2 steps: h = sin(h w) + x; h = h h } }; captures at all levels */
static wg_var nested_scan(wg_tape *outer, wg_var h, wg_var w, wg_var x)
{
    wg_tape *b = wg_fn_begin(outer, "inner");
    wg_var a = wg_fn_input(b, "a", WG_F64, WG_SCALAR);
    wg_var next = wg_add(wg_sin(wg_mul(a, w)), x), out;
    wg_fn f = end_fn(b, &next, 1);
    wg_scan_options o = WG_SCAN_DEFAULTS;
    o.length = 2;
    ok(wg_scan(f, &h, 1, NULL, 0, &o, &out, 1));
    return out;
}

static wg_var nested_while(wg_tape *outer, wg_var h, wg_var w, wg_var x, int64_t bound)
{
    wg_tape *b = wg_fn_begin(outer, "repeat"), *c = wg_fn_begin(outer, "again");
    wg_var k = wg_fn_input(b, "k", WG_I64, WG_SCALAR), a = wg_fn_input(b, "a", WG_F64, WG_SCALAR),
           out[2];
    a = nested_scan(b, a, w, x);
    wg_fn f = end_fn(b, (wg_var[]){wg_add(k, wg_i(1)), wg_mul(a, wg_cos(a))}, 2);
    k = wg_fn_input(c, "k", WG_I64, WG_SCALAR);
    wg_fn_input(c, "a", WG_F64, WG_SCALAR);
    wg_var more = wg_less(k, wg_i(3));
    wg_while_options o = WG_WHILE_DEFAULTS;
    o.bound = bound;
    ok(wg_while(end_fn(c, &more, 1), f, (wg_var[]){wg_i(0), h}, 2, &o, out, 2));
    return out[1];
}

START_TEST(a_scan_in_a_while_in_a_scan)
{
    problem p = {.n = 0};
    add_input(&p, "h0", WG_SCALAR, -1, 1);
    add_input(&p, "w", WG_SCALAR, 0.5, 1);
    add_input(&p, "xs", WG_SHAPE(2), -1, 1);
    wg_tape *b = wg_fn_begin(t, "outer");
    wg_var h = wg_fn_input(b, "h", WG_F64, WG_SCALAR), x = wg_fn_input(b, "x", WG_F64, WG_SCALAR),
           out;
    h = nested_while(b, h, p.xs[1], x, _i ? 4 : -1);
    wg_fn f = end_fn(b, &h, 1);
    ok(wg_scan(f, p.xs, 1, &p.xs[2], 1, NULL, &out, 1));
    h = p.xs[0];
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 3; k++) {
            for (int j = 0; j < 2; j++)
                h = wg_add(wg_sin(wg_mul(h, p.xs[1])), row(p.xs[2], i));
            h = wg_mul(h, wg_cos(h));
        }
    same_derivatives(&p, out, h, 3);
    check_differences(&p, out);
}
END_TEST

/* ---- while ------------------------------------------------------------------------------------- */

/* while (x > limit) x = a x: the number of steps depends on the data. */
static wg_var decay(wg_var x0, wg_var a, double limit, int64_t bound, wg_var *steps)
{
    wg_tape *b = wg_fn_begin(t, "shrink"), *c = wg_fn_begin(t, "large");
    wg_var x = wg_fn_input(b, "x", WG_F64, WG_SCALAR), next = wg_mul(x, a), out[2];
    wg_fn f = end_fn(b, &next, 1);
    wg_var more = wg_greater(wg_fn_input(c, "x", WG_F64, WG_SCALAR), wg_f(limit));
    wg_while_options o = WG_WHILE_DEFAULTS;
    o.bound = bound;
    ok(wg_while(end_fn(c, &more, 1), f, &x0, 1, &o, out, 2));
    *steps = out[1];
    return out[0];
}

START_TEST(geometric_decay)
{
    static const int64_t bounds[] = {-1, 21, 40};
    problem p = {.n = 0};
    add_input(&p, "x", WG_SCALAR, 2, 2);
    add_input(&p, "a", WG_SCALAR, 0.7, 0.7);
    wg_var steps, y = decay(p.xs[0], p.xs[1], 1.3e-3, bounds[_i], &steps);
    int n = 0;
    for (double x = 2; x > 1.3e-3; x *= 0.7)
        n++;
    ck_assert_int_eq(n, 21);
    wg_var plain = p.xs[0]; /* x a^n */
    for (int i = 0; i < n; i++)
        plain = wg_mul(plain, p.xs[1]);
    same_derivatives(&p, y, plain, 3);
    check_differences(&p, y);
    wg_session *s = start(&p, NULL, &steps, 1);
    run(s);
    ck_assert_int_eq(*(const int64_t *)wg_output(s, steps, NULL, NULL), n);
    p.data[0][0] = 1e-4; /* no step at all */
    run(s);
    ck_assert_int_eq(*(const int64_t *)wg_output(s, steps, NULL, NULL), 0);
    wg_session_free(s);
    check_differences(&p, y);
}
END_TEST

/* Newton's iteration x' = (x + s / x) / 2 while |x^2 - s| > 1e-13 s; s is captured by both. Derivatives of
 * the last iterate are those of sqrt(s) once one more step is made. */
START_TEST(newton_iteration)
{
    problem p = {.n = 0};
    add_input(&p, "s", WG_SCALAR, 5, 5);
    for (int bounded = 0; bounded < 2; bounded++) {
        wg_var s = p.xs[0], x0 = wg_const(t, WG_F64, WG_SCALAR, (double[]){1}), out;
        wg_tape *b = wg_fn_begin(t, "newton"), *c = wg_fn_begin(t, "far");
        wg_var x = wg_fn_input(b, "x", WG_F64, WG_SCALAR);
        wg_var next = wg_mul(wg_f(0.5), wg_add(x, wg_div(s, x)));
        wg_fn f = end_fn(b, &next, 1);
        x = wg_fn_input(c, "x", WG_F64, WG_SCALAR);
        wg_var gap = wg_abs(wg_sub(wg_mul(x, x), s)),
               more = wg_greater(gap, wg_mul(wg_f(1e-13), s));
        wg_while_options o = WG_WHILE_DEFAULTS;
        o.bound = bounded ? 50 : -1;
        ok(wg_while(end_fn(c, &more, 1), f, &x0, 1, &o, &out, 1));
        for (int i = 0; i < 2; i++)
            out = wg_mul(wg_f(0.5), wg_add(out, wg_div(s, out)));
        same_derivatives(&p, out, wg_sqrt(s), 3);
        check_differences(&p, out);
    }
}
END_TEST

/* n steps of c' = a c + b: c_n = a^n c_0 + b (a^n - 1) / (a - 1); n is an input. */
static wg_var affine(wg_var c0, wg_var a, wg_var b, wg_var n, int64_t bound, bool bent)
{
    wg_tape *body = wg_fn_begin(t, "step"), *test = wg_fn_begin(t, "more");
    wg_var k = wg_fn_input(body, "k", WG_I64, WG_SCALAR);
    wg_var c = wg_fn_input(body, "c", WG_F64, wg_typeof(c0).shape), out[2];
    wg_var next = wg_add(wg_mul(bent ? wg_sin(c) : c, a), b);
    wg_fn f = end_fn(body, (wg_var[]){wg_add(k, wg_i(1)), next}, 2);
    k = wg_fn_input(test, "k", WG_I64, WG_SCALAR);
    wg_fn_input(test, "c", WG_F64, wg_typeof(c0).shape);
    wg_var more = wg_less(k, n);
    wg_while_options o = WG_WHILE_DEFAULTS;
    o.bound = bound;
    ok(wg_while(end_fn(test, &more, 1), f, (wg_var[]){wg_i(0), c0}, 2, &o, out, 2));
    return out[1];
}

/* Around the sizes of segments and blocks: 256 and 256 * 256. */
static const int64_t many[] = {0, 1, 255, 256, 257, 1000, 65535, 65536, 65537, 70000};

START_TEST(unbounded_loops_of_any_length)
{
    enum { STATE = 64 };
    wg_var c0 = wg_input(t, "c0", WG_F64, WG_SHAPE(STATE)), a = wg_input(t, "a", WG_F64, WG_SCALAR);
    wg_var b = wg_input(t, "b", WG_F64, WG_SCALAR), n = wg_input(t, "n", WG_I64, WG_SCALAR);
    wg_var y = wg_sum(affine(c0, a, b, n, -1, false)), xs[] = {c0, a, b}, out[4] = {y};
    ok(wg_grad(&y, 1, NULL, xs, 3, out + 1));
    double start_at[STATE], va = 1 - 1e-5, vb = 2e-5;
    for (int i = 0; i < STATE; i++)
        start_at[i] = 0.1 * i;
    wg_compile_options o = WG_COMPILE_DEFAULTS;
    wg_program *program = wg_compile(t, out, 4, &o);
    ck_assert_msg(program != NULL, "%s", wg_tape_error(t));
    /* Two stacks of segments, and little more: not the carries of 70,000 steps. */
    ck_assert_uint_lt(wg_program_bytes(program), (size_t)70000 * STATE * sizeof(double) / 10);
    wg_session *s = wg_session_new(program, NULL);
    wg_bind(s, c0, start_at, sizeof start_at);
    wg_bind(s, a, &va, sizeof va);
    wg_bind(s, b, &vb, sizeof vb);
    int64_t steps = many[_i];
    wg_bind(s, n, &steps, sizeof steps);
    run(s);
    double N = (double)steps, power = exp(N * log1p(-1e-5)), sum = (1 - power) / 1e-5;
    double value = 0, da = 0;
    /* d(sum)/da, sum = (a^n - 1) / (a - 1) */
    double dsum = (N * power / va - sum) / (va - 1);
    for (int i = 0; i < STATE; i++) {
        value += power * start_at[i] + vb * sum;
        da += N * power / va * start_at[i] + vb * dsum;
    }
    ck_assert_double_eq_tol(*(const double *)wg_output_at(s, 0, NULL, NULL), value,
                            1e-8 * (1 + value));
    const double *dc = wg_output_at(s, 1, NULL, NULL);
    for (int i = 0; i < STATE; i++)
        ck_assert_double_eq_tol(dc[i], power, 1e-9);
    ck_assert_double_eq_tol(*(const double *)wg_output_at(s, 2, NULL, NULL), da,
                            1e-7 * (1 + fabs(da)));
    ck_assert_double_eq_tol(*(const double *)wg_output_at(s, 3, NULL, NULL), STATE * sum,
                            1e-8 * (1 + STATE * sum));
    wg_session_free(s);
    wg_program_free(program);
}
END_TEST

/* Nor does the second derivative keep what one block needs for every step of a loop over blocks. */
START_TEST(second_derivatives_of_unbounded_loops_stay_small)
{
    enum { STATE = 64 };
    wg_var c0 = wg_input(t, "c0", WG_F64, WG_SHAPE(STATE)), a = wg_input(t, "a", WG_F64, WG_SCALAR);
    wg_var b = wg_input(t, "b", WG_F64, WG_SCALAR), n = wg_input(t, "n", WG_I64, WG_SCALAR);
    wg_var y = wg_sum(affine(c0, a, b, n, -1, true)), d = wg_grad1(wg_grad1(y, a), a);
    wg_program *program = wg_compile(t, &d, 1, NULL);
    ck_assert_msg(program != NULL, "%s", wg_tape_error(t));
    ck_assert_uint_lt(wg_program_bytes(program), (size_t)70000 * STATE * sizeof(double) / 10);
    wg_program_free(program);
}
END_TEST

/* The same steps with a bound keep everything: both give the same gradient, and the same second
 * derivative. */
START_TEST(an_unbounded_loop_equals_its_bounded_twin)
{
    problem p = {.n = 0};
    add_input(&p, "c0", WG_SHAPE(2), 0.5, 1);
    add_input(&p, "a", WG_SCALAR, 0.99, 0.99);
    add_input(&p, "b", WG_SCALAR, 0.01, 0.01);
    wg_var n = i64(_i ? 66000 : 600);
    wg_var got[2], want[2], y = wg_sum(affine(p.xs[0], p.xs[1], p.xs[2], n, -1, true));
    wg_var z = wg_sum(affine(p.xs[0], p.xs[1], p.xs[2], n, 66000, true)), d[MAX_XS], e[MAX_XS];
    grads(&p, y, d);
    grads(&p, z, e);
    same_values(&p, d, e, p.n, 1e-10, "gradient");
    if (_i)
        return;
    got[0] = tangent(&p, along(&p, d));
    want[0] = tangent(&p, along(&p, e));
    got[1] = wg_grad1(along(&p, d), p.xs[1]);
    want[1] = wg_grad1(along(&p, e), p.xs[1]);
    same_values(&p, got, want, 2, 1e-10, "second derivative");
}
END_TEST

static wg_fn bool_fn(wg_tape *outer, bool value)
{
    wg_tape *c = wg_fn_begin(outer, "cond");
    wg_fn_input(c, "k", WG_I64, WG_SCALAR);
    wg_var v = wg_const(c, WG_BOOL, WG_SCALAR, (uint8_t[]){value});
    return end_fn(c, &v, 1);
}

static wg_fn counting_fn(wg_tape *outer)
{
    wg_tape *b = wg_fn_begin(outer, "count");
    wg_var next = wg_add(wg_fn_input(b, "k", WG_I64, WG_SCALAR), wg_i(1));
    return end_fn(b, &next, 1);
}

START_TEST(more_steps_than_the_bound_are_an_error)
{
    wg_while_options o = WG_WHILE_DEFAULTS;
    wg_var out[2], zero = wg_i(0);
    o.bound = 7;
    ok(wg_while(bool_fn(t, true), counting_fn(t), &zero, 1, &o, out, 2));
    problem none = {.n = 0};
    for (int e = 0; e < 2; e++) {
        wg_session *s = start(&none, executors[e], out, 2);
        ck_assert_int_eq(wg_run(s), WG_RANGE);
        ck_assert_ptr_nonnull(strstr(wg_session_error(s), "while: "));
        ck_assert_ptr_nonnull(strstr(wg_session_error(s), "7 steps"));
        wg_session_free(s);
    }
    o.bound = 0; /* no step is fine where none is asked for */
    ok(wg_while(bool_fn(t, false), counting_fn(t), &zero, 1, &o, out, 2));
    ck_assert_int_eq((int)at(out[0], 0), 0);
    ck_assert_int_eq((int)at(out[1], 0), 0);
}
END_TEST

static bool stop_now(void *user)
{
    atomic_int *calls = user;
    return atomic_fetch_add(calls, 1) > 1000;
}

START_TEST(an_endless_loop_can_be_cancelled)
{
    atomic_int calls = 0;
    wg_ctx_options co = WG_CTX_DEFAULTS;
    co.cancel = stop_now;
    co.cancel_user = &calls;
    wg_ctx *c = wg_ctx_new(&co);
    wg_tape *m = wg_tape_new(c);
    wg_var out, zero = wg_i(0);
    wg_tape *b = wg_fn_begin(m, "same");
    wg_var k = wg_fn_input(b, "k", WG_I64, WG_SCALAR);
    wg_fn same = wg_fn_end(b, &k, 1), fn = _i ? same : counting_fn(m);
    ok(wg_while(bool_fn(m, true), fn, &zero, 1, NULL, &out, 1));
    for (int e = 0; e < 2; e++) {
        wg_compile_options o = WG_COMPILE_DEFAULTS;
        o.executor = executors[e];
        atomic_store(&calls, 0);
        wg_program *program = wg_compile(m, &out, 1, &o);
        ck_assert_msg(program != NULL, "%s", wg_tape_error(m));
        wg_session *s = wg_session_new(program, NULL);
        ck_assert_int_eq(wg_run(s), WG_CANCELLED);
        wg_session_free(s);
        wg_program_free(program);
    }
    wg_tape_free(m);
    wg_ctx_free(c);
}
END_TEST

/* ---- out of memory ----------------------------------------------------------------------------- */

/* A loop of each kind with gradient and tangent; kind 3 is a while without a bound. */
static bool record_and_run(wg_ctx *c, void *user)
{
    const int kind = *(const int *)user;
    wg_tape *m = wg_tape_new(c);
    wg_var w = wg_input(m, "w", WG_F64, WG_SCALAR), xs = wg_input(m, "xs", WG_F64, WG_SHAPE(3));
    wg_tape *b = wg_fn_begin(m, "step"), *more = wg_fn_begin(m, "more");
    wg_var h = wg_fn_input(b, "h", WG_F64, WG_SCALAR), next = wg_sin(wg_mul(h, w)), out[3];
    wg_var go = wg_greater(wg_fn_input(more, "h", WG_F64, WG_SCALAR), wg_f(0.3));
    wg_fn f = wg_fn_end(b, (wg_var[]){next, next}, kind < 2 ? 2 : 1),
          cond = wg_fn_end(more, &go, 1);
    wg_scan_options o = WG_SCAN_DEFAULTS;
    wg_while_options bound = WG_WHILE_DEFAULTS;
    o.length = 3;
    o.sums = 1;
    o.count = wg_i(2);
    bound.bound = kind == 2 ? 9 : -1;
    if (kind == 0)
        wg_scan(f, &w, 1, NULL, 0, &o, out, 2);
    else if (kind == 1)
        wg_map(f, &xs, 1, &o, out, 2);
    else
        wg_while(cond, f, &w, 1, &bound, out, 2);
    wg_var y = wg_sum(out[0]), one = wg_f(1), d[2];
    d[0] = wg_grad1(y, w);
    bool good = wg_jvp(&y, 1, &w, 1, &one, &d[1]) == WG_OK && wg_ok(d[0]);
    wg_program *p = good ? wg_compile(m, d, 2, NULL) : NULL;
    wg_session *s = p ? wg_session_new(p, NULL) : NULL;
    const double v[3] = {0.8, 0.7, 0.6};
    good = s && !wg_bind(s, w, v, sizeof *v) && (kind != 1 || !wg_bind(s, xs, v, sizeof v)) &&
           !wg_run(s) && isfinite(*(const double *)wg_output_at(s, 0, NULL, NULL));
    wg_session_free(s);
    wg_program_free(p);
    wg_tape_free(m);
    return good;
}

START_TEST(memory_may_run_out_anywhere)
{
    ck_assert_int_eq(fault_each(wg_ctx_new, record_and_run, &_i), 0);
}
END_TEST

/* ---- sizes ------------------------------------------------------------------------------------- */

/* Second derivatives of a loop: as many nodes, on the tape and compiled, for 2 steps as for 100,000. */
static wg_var loop_of_length(int kind, int64_t length, wg_var w)
{
    wg_scan_options o = WG_SCAN_DEFAULTS;
    wg_tape *b = wg_fn_begin(t, "step");
    wg_var h = wg_fn_input(b, "h", WG_F64, WG_SCALAR), next = wg_sin(wg_mul(h, w)), out[2];
    wg_fn f = end_fn(b, (wg_var[]){next, wg_mul(h, w)}, 2);
    o.length = length;
    o.sums = 1;
    if (kind == 2) {
        wg_var c0 = wg_full(t, (wg_type){WG_F64, WG_SCALAR}, 0.5);
        return affine(c0, w, w, i64(length), length, true);
    }
    if (kind == 1) {
        wg_var xs = wg_full(t, (wg_type){WG_F64, WG_SHAPE(length)}, 0.5);
        ok(wg_map(f, &xs, 1, &o, out, 2));
        return wg_add(wg_sum(out[0]), out[1]);
    }
    ok(wg_scan(f, &w, 1, NULL, 0, &o, out, 2));
    return wg_add(out[0], out[1]);
}

START_TEST(graphs_do_not_grow_with_the_steps)
{
    size_t recorded[2], compiled[2];
    wg_var w = wg_const(t, WG_F64, WG_SCALAR, (double[]){0.7});
    for (int k = 0; k < 2; k++) {
        wg_mark mark = wg_tape_mark(t);
        wg_var y = loop_of_length(_i, k ? 100000 : 2, w), d = wg_grad1(wg_grad1(y, w), w);
        wg_program *p = wg_compile(t, &d, 1, NULL);
        ck_assert_msg(p != NULL, "%s", wg_tape_error(t));
        recorded[k] = wg_tape_size(t);
        compiled[k] = wg_tape_size(wg_program_tape(p));
        wg_program_free(p);
        wg_tape_rewind(t, mark);
    }
    ck_assert_uint_eq(recorded[0], recorded[1]);
    ck_assert_uint_eq(compiled[0], compiled[1]);
}
END_TEST

/* ---- misuse ------------------------------------------------------------------------------------ */

START_TEST(misuse_of_loops)
{
    wg_var out[4], x = wg_input(t, "x", WG_F64, WG_SHAPE(3)), f1 = wg_f(1.5), zero = wg_i(0);
    wg_scan_options o = WG_SCAN_DEFAULTS;
    wg_while_options w = WG_WHILE_DEFAULTS;
    wg_fn stale = {t, 99}, count = counting_fn(t), yes = bool_fn(t, true);
    wg_tape *b = wg_fn_begin(t, "step");
    wg_var v = wg_fn_input(b, "v", WG_F64, WG_SCALAR);
    wg_fn f = end_fn(b, (wg_var[]){wg_exp(v), wg_greater(v, wg_f(0))}, 2);
    ck_assert_int_eq(wg_map(stale, &x, 1, NULL, out, 2), WG_STALE);
    expect_error(WG_STALE, "map: the sub-tape");
    ck_assert_int_eq(wg_while(stale, count, &zero, 1, NULL, out, 2), WG_STALE);
    ck_assert(!wg_ok(out[0]) && !wg_ok(out[1]));
    expect_error(WG_STALE, "while: the sub-tape");
    o.reverse = true;
    wg_map(f, &x, 1, &o, out, 2);
    expect_error(WG_INVALID, "no order to reverse");
    o.reverse = false;
    o.length = -5;
    wg_map(f, &x, 1, &o, out, 2);
    expect_error(WG_INVALID, "map: length -5");
    wg_scan(f, NULL, 0, &x, 1, &o, out, 2);
    expect_error(WG_INVALID, "scan: length -5");
    o.length = 4;
    wg_map(f, &x, 1, &o, out, 2);
    expect_error(WG_SHAPE, "sequence 0 (v) is f64[3], the sub-tape and 4 steps need f64[4]");
    o.length = -1;
    wg_map(f, &f1, 1, &o, out, 2);
    expect_error(WG_SHAPE, "number of steps must be given");
    o.sums = 1;
    wg_map(f, &x, 1, &o, out, 2);
    expect_error(WG_DTYPE, "only numbers can be added up");
    o.sums = 3;
    wg_map(f, &x, 1, &o, out, 2);
    expect_error(WG_INVALID, "3 sums do not fit");
    o.sums = 0;
    o.count = wg_f(2);
    wg_map(f, &x, 1, &o, out, 2);
    expect_error(WG_DTYPE, "literal of f64");
    o.count = x;
    wg_map(f, &x, 1, &o, out, 2);
    expect_error(WG_DTYPE, "the count is f64[3]");
    wg_while(yes, count, &f1, 1, NULL, out, 2);
    ck_assert_int_ne(wg_tape_status(t), WG_OK);
    wg_tape_clear_error(t);
    wg_while(count, count, &zero, 1, NULL, out, 2);
    expect_error(WG_SHAPE, "one bool[]");
    wg_while(yes, f, &x, 1, NULL, out, 2);
    expect_error(WG_INVALID, "1 carries do not fit");
    wg_while(yes, count, &x, 1, NULL, out, 2);
    expect_error(WG_SHAPE, "carry 0 is f64[3], the sub-tape needs i64");
    w.bound = -2;
    wg_while(yes, count, &zero, 1, &w, out, 2);
    expect_error(WG_INVALID, "bound -2");
    wg_tape *inner = wg_fn_begin(t, "inner");
    wg_while(yes, counting_fn(inner), &zero, 1, NULL, out, 2);
    expect_error(WG_INVALID, "different tapes");
}
END_TEST

/* Options of a caller that was compiled when there were fewer. */
START_TEST(shorter_options_are_fine)
{
    wg_var xs = wg_const(t, WG_F64, WG_SHAPE(3), (double[]){1, 2, 3}), out[2];
    wg_tape *b = wg_fn_begin(t, "step");
    wg_var h = wg_fn_input(b, "h", WG_F64, WG_SCALAR), x = wg_fn_input(b, "x", WG_F64, WG_SCALAR);
    wg_fn f = end_fn(b, (wg_var[]){wg_sub(wg_mul(h, wg_f(2)), x), x}, 2);
    wg_scan_options o = WG_SCAN_DEFAULTS;
    memset(&o.sums, 0x5a, sizeof o - offsetof(wg_scan_options, sums)); /* not there */
    o.struct_size = offsetof(wg_scan_options, sums);
    o.reverse = true;
    wg_var one = wg_f(1);
    ok(wg_scan(f, &one, 1, &xs, 1, &o, out, 2));
    ck_assert_int_eq(wg_typeof(out[1]).shape.rank, 1);
    ck_assert_double_eq(at(out[0], 0), ((1 * 2 - 3) * 2 - 2) * 2 - 1);
    wg_while_options w = {offsetof(wg_while_options, bound), -77};
    wg_var zero = wg_i(0);
    ok(wg_while(bool_fn(t, false), counting_fn(t), &zero, 1, &w, out, 2));
    ck_assert_double_eq(at(out[1], 0), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("loops");
    TCase *c = case_on_tape(s, 120);
    const int nscan = sizeof scan_cases / sizeof *scan_cases;
    const int nmap = sizeof map_cases / sizeof *map_cases, nmany = sizeof many / sizeof *many;
    tcase_add_loop_test(c, a_scan_equals_its_unrolled_graph, 0, nscan);
    tcase_add_loop_test(c, a_scan_agrees_with_differences, 0, nscan);
    tcase_add_test(c, sums_are_added_in_the_order_of_running);
    tcase_add_test(c, carries_and_sums_of_other_dtypes);
    tcase_add_test(c, what_does_not_run_is_zero);
    tcase_add_test(c, structural_zeros_stay_structural);
    tcase_add_loop_test(c, a_map_equals_its_unrolled_graph, 0, nmap);
    tcase_add_loop_test(c, a_map_agrees_with_differences, 0, nmap);
    tcase_add_test(c, sums_of_a_map_are_added_in_chunks);
    tcase_add_test(c, a_map_in_a_map);
    tcase_add_loop_test(c, a_scan_in_a_while_in_a_scan, 0, 2);
    tcase_add_loop_test(c, geometric_decay, 0, 3);
    tcase_add_test(c, newton_iteration);
    tcase_add_loop_test(c, unbounded_loops_of_any_length, 0, nmany);
    tcase_add_test(c, second_derivatives_of_unbounded_loops_stay_small);
    tcase_add_loop_test(c, an_unbounded_loop_equals_its_bounded_twin, 0, 2);
    tcase_add_test(c, more_steps_than_the_bound_are_an_error);
    tcase_add_loop_test(c, an_endless_loop_can_be_cancelled, 0, 2);
    tcase_add_loop_test(c, memory_may_run_out_anywhere, 0, 4);
    tcase_add_loop_test(c, graphs_do_not_grow_with_the_steps, 0, 3);
    tcase_add_test(c, misuse_of_loops);
    tcase_add_test(c, shorter_options_are_fine);
    return run_suite(s);
}
