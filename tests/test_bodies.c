/* Sub-tapes at work: bodies that hand out values of all kinds, to callers who want some of them; random
 * bodies on both executors; items on several threads, which change no bit of what comes out nor which
 * failure is told; memory. */
#include "tensor/tensor.h"
#include "fault.h"

#include "running.h"
#include "random_graph.h"

enum { MOST_OUTS = 24 };

static wg_program *program_on(wg_tape *tape, const wg_var *outs, size_t nouts, const char *executor)
{
    wg_compile_options options = WG_COMPILE_DEFAULTS;
    options.executor = executor;
    options.verify = true;
    wg_program *p = wg_compile(tape, outs, nouts, &options);
    ck_assert_msg(p != NULL, "%s: %s", executor, wg_tape_error(tape));
    return p;
}

/* A session whose inputs have numbers of (0.25, 0.75), the same for all executors. */
static wg_session *open_on(wg_tape *tape, const wg_var *outs, size_t nouts, const char *executor)
{
    wg_program *p = program_on(tape, outs, nouts, executor);
    wg_session *s = wg_session_new(p, NULL);
    ck_assert_ptr_nonnull(s);
    for (size_t i = 0; i < wg_program_ninputs(p); i++) {
        wg_type type;
        const char *name = wg_program_input(p, i, &type);
        wg_tensor *x = wg_tensor_new(wg_tape_ctx(tape), type.dtype, type.shape, NULL);
        rng r = rng_make((uint64_t)name[0]);
        for (int64_t k = 0; k < wg_shape_count(type.shape); k++)
            wg__store(type.dtype, wg_tensor_data_mut(x), k, 0.25 + 0.5 * rng_unit(&r));
        size_t bytes = (size_t)wg_shape_count(type.shape) * wg_dtype_size(type.dtype);
        ck_assert_int_eq(wg_bind_copy_name(s, name, wg_tensor_data(x), bytes), WG_OK);
        wg_tensor_free(x);
    }
    wg_program_free(p);
    return s;
}

static void ck_close(wg_session *want, size_t i, wg_session *have, size_t k, const char *what)
{
    wg_type type;
    const void *a = wg_output_at(want, i, &type, NULL), *b = wg_output_at(have, k, NULL, NULL);
    for (int64_t e = 0; e < wg_shape_count(type.shape); e++) {
        const double x = wg__load(type.dtype, a, e), y = wg__load(type.dtype, b, e);
        ck_assert_msg(fabs(x - y) <= 1e-9 * (1 + fabs(x)),
                      "%s, output %zu, element %lld: %.17g, %.17g", what, k, (long long)e, x, y);
    }
}

/* ---- roots --------------------------------------------------------------------------------------- */

/* Runs fn twice: what mask has a bit for is wanted the first time, the rest the second time. */
static wg_status run_some(const wg_kernel_call *c)
{
    const int64_t mask = wg_attrs_int(c->attrs, "mask");
    wg_view *outs = c->scratch;
    for (int64_t turn = 1; turn >= 0; turn--) {
        for (size_t i = 0; i < c->nout; i++) {
            outs[i] = c->out[i];
            if ((mask >> i & 1) != turn)
                outs[i].data = NULL;
        }
        wg_status status = wg_kernel_run_fn(c, 0, c->in, c->nin, outs, c->nout);
        if (status)
            return status;
    }
    return WG_OK;
}

static size_t views_scratch(const wg_kernel_call *c) { return c->nout * sizeof(wg_view); }

static wg_status infer_fn(wg_infer *q)
{
    wg_fn fn = wg_attrs_fn(q->attrs, "fn");
    wg_status status = wg_infer_outputs(q, wg_fn_noutputs(fn));
    for (size_t i = 0; !status && i < q->nout; i++)
        q->out[i] = wg_fn_output_type(fn, i);
    return status;
}

static void register_op(wg_ctx *c, const wg_op *op)
{
    const char *error = "";
    ck_assert_msg(wg_register(c, op, &error) == WG_OK, "%s", error);
}

static void register_run_some(void)
{
    static const wg_kernel kernels[] = {
        {WG_KERNEL, .types = "?->?", .run = run_some, .scratch = views_scratch}};
    static const wg_op op = {WG_OP, .sig = "run_some(operands*; fn: fn, mask: int) -> outs*",
                             .infer = infer_fn, .kernels = kernels, .nkernels = 1};
    register_op(ctx, &op);
}

static void apply_some(wg_fn fn, const wg_var *ins, size_t nins, int64_t mask, wg_var *outs)
{
    wg_var all[MOST_OUTS];
    memcpy(all, ins, nins * sizeof *ins);
    nins += wg_fn_captures(fn, MOST_OUTS - nins, all + nins);
    const wg_attr attrs[] = {wg_attr_fn("fn", fn), wg_attr_int("mask", mask)};
    ck_assert_msg(wg_apply(t, "run_some", all, nins, attrs, 2, outs, wg_fn_noutputs(fn)) == WG_OK,
                  "%s", wg_tape_error(t));
}

/* One root of each kind: large values, read again and not; one value twice; views of it, its window; an
 * operand, a capture, a constant, a literal; scalars; a product; what an op's own kernel computes, all
 * of its outputs; bodies within bodies. */
static size_t all_roots(wg_tape *body, wg_var x, wg_var captured, wg_var *outs)
{
    static const double numbers[3] = {1, -2, 3};
    wg_var a = wg_sin(x), b = wg_mul(wg_cos(a), wg_f(2)), total = wg_sum(b);
    wg_var s = wg_mul(wg_exp(total), wg_sin(total));
    wg_var p = wg_matmul(x, wg_transpose(b)), q = wg_tanh(wg_add(wg_matmul(p, x), captured));
    wg_var h[2] = {wg_reshape(wg_slice(a, (const int64_t[]){0, 0}, 2, (const int64_t[]){1, 7}, 2),
                              WG_SHAPE(7))};
    wg_tape *inner = wg_fn_begin(body, "inner");
    wg_var u = wg_fn_input(inner, "u", WG_F64, WG_SHAPE(7));
    wg_var next = wg_add(wg_mul(u, total), wg_f(0.5));
    wg_fn fn = wg_fn_end(inner, (wg_var[]){next, u, next}, 3);
    wg_scan_options o = WG_SCAN_DEFAULTS;
    wg_var scanned[3];
    o.length = 3;
    ck_assert_int_eq(wg_scan(fn, h, 1, NULL, 0, &o, scanned, 3), WG_OK);
    const wg_var all[] = {b,
                          a,
                          b,
                          wg_reshape(a, WG_SHAPE(35)),
                          wg_transpose(b),
                          wg_slice(a, (const int64_t[]){2, 0}, 2, (const int64_t[]){4, 7}, 2),
                          x,
                          captured,
                          wg_const(body, WG_F64, WG_SHAPE(3), numbers),
                          wg_full(body, (wg_type){WG_F64, WG_SCALAR}, 4),
                          s,
                          total,
                          p,
                          q,
                          scanned[0],
                          scanned[1],
                          scanned[2],
                          wg_transpose(x),
                          wg_sum(q)};
    const size_t n = sizeof all / sizeof *all;
    memcpy(outs, all, sizeof all);
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(wg_ok(outs[i]), "%zu: %s", i, wg_tape_error(t));
    return n;
}

START_TEST(roots_of_all_kinds)
{
    register_run_some();
    wg_var x = wg_input(t, "x", WG_F64, WG_SHAPE(5, 7)), c = wg_input(t, "c", WG_F64, WG_SHAPE(7));
    wg_var outs[MOST_OUTS], plain[MOST_OUTS], got[MOST_OUTS];
    wg_tape *body = wg_fn_begin(t, "body");
    size_t n = all_roots(body, wg_fn_input(body, "x", WG_F64, WG_SHAPE(5, 7)), c, outs);
    wg_fn fn = wg_fn_end(body, outs, n);
    ck_assert_int_eq(wg_inline(t, fn, &x, 1, plain, n), WG_OK);
    wg_session *want = open_on(t, plain, n, "reference");
    run_ok(want);
    rng r = rng_make(5);
    for (int turn = 0; turn < 24; turn++) {
        int64_t mask = turn < (int)n ? INT64_C(1) << turn : rng_int(&r, 0, (1 << n) - 1);
        apply_some(fn, &x, 1, mask, got);
        for (int k = 0; k < 2; k++) {
            wg_session *have = open_on(t, got, n, k ? "vm" : "reference");
            run_ok(have);
            run_ok(have);
            for (size_t i = 0; i < n; i++)
                ck_close(want, i, have, i, k ? "vm" : "reference");
            wg_session_free(have);
        }
    }
    wg_session_free(want);
}
END_TEST

/* ---- random bodies ------------------------------------------------------------------------------- */

/* Grows a body on operands c and x, [3] each, and ends it with some of its values. */
static wg_fn random_body(random_graph *outer, size_t nouts)
{
    random_graph g = {.t = wg_fn_begin(outer->t, "body"), .r = outer->r};
    wg_var outs[MOST_OUTS];
    random_keep(&g, wg_fn_input(g.t, "c", WG_F64, WG_SHAPE(3)), 1);
    random_keep(&g, wg_fn_input(g.t, "x", WG_F64, WG_SHAPE(3)), 1);
    random_keep(&g, wg_tanh(outer->v[random_index(outer)]), 1);
    wg_var w = wg_sin(wg_add(g.v[0], g.v[1]));
    random_keep(&g, w, 1);
    random_grow(&g, 14, 1);
    outs[0] = wg_sin(wg_add(w, wg_sum(g.v[g.n - 1])));
    for (size_t i = 1; i < nouts; i++)
        outs[i] = g.v[i % 3 ? random_index(&g) : (size_t)random_of(&g, (int)g.n)];
    return wg_fn_end(g.t, outs, nouts);
}

enum { BODIES = 600, PART = 100 };

START_TEST(random_bodies_agree)
{
    register_run_some();
    for (uint64_t seed = (uint64_t)_i * PART; seed < ((uint64_t)_i + 1) * PART; seed++) {
        rng r = rng_make(seed);
        const size_t nouts = 1 + (size_t)rng_int(&r, 0, 6);
        wg_var outs[MOST_OUTS], ins[2];
        wg_tape_free(t);
        t = wg_tape_new(ctx);
        random_graph g = {.t = t, .r = &r};
        random_keep(&g, wg_input(t, "a", WG_F64, WG_SHAPE(3)), 1);
        random_keep(&g, wg_input(t, "b", WG_F64, WG_SHAPE(4, 3)), 1);
        random_keep(&g, wg_input(t, "c", WG_F64, WG_SHAPE(3)), 1);
        random_keep(&g, wg_input(t, "d", WG_F64, WG_SHAPE(4, 3)), 1);
        random_grow(&g, 5, 1);
        wg_fn fn = random_body(&g, nouts);
        ck_assert_msg(wg_fn_ok(fn), "seed %llu: %s", (unsigned long long)seed, wg_tape_error(t));
        switch (seed % 5) {
        case 0:
            ck_assert_int_eq(wg_scan(fn, &g.v[0], 1, &g.v[1], 1, NULL, outs, nouts), WG_OK);
            break;
        case 1:
            ins[0] = g.v[1];
            ins[1] = g.v[3];
            ck_assert_int_eq(wg_map(fn, ins, 2, NULL, outs, nouts), WG_OK);
            break;
        default:
            ins[0] = g.v[0];
            ins[1] = g.v[2];
            if (seed % 5 == 2)
                apply_some(fn, ins, 2, rng_int(&r, 0, (1 << nouts) - 1), outs);
            else
                ck_assert_int_eq((seed % 5 == 3 ? wg_call : wg_checkpoint)(fn, ins, 2, outs, nouts),
                                 WG_OK);
        }
        wg_session *a = open_on(t, outs, nouts, "reference"), *b = open_on(t, outs, nouts, "vm");
        run_ok(a);
        run_ok(b);
        for (size_t i = 0; i < nouts; i++) {
            char what[32];
            snprintf(what, sizeof what, "seed %llu", (unsigned long long)seed);
            ck_close(a, i, b, i, what);
        }
        wg_session_free(a);
        wg_session_free(b);
    }
}
END_TEST

/* ---- items on threads ---------------------------------------------------------------------------- */

static wg_ctx *ctx_of(size_t threads)
{
    wg_ctx_options options = WG_CTX_DEFAULTS;
    options.threads = threads;
    return wg_ctx_new(&options);
}

enum { ROWS = 37, WIDTH = 24 };

/* For each of ROWS matrices: a scan of products, a map over its rows with sums of its own, and sums
 * over all. Work enough for threads. */
static size_t nested_map(wg_tape *tape, wg_var *outs)
{
    wg_var xs = wg_input(tape, "xs", WG_F64, WG_SHAPE(ROWS, WIDTH, WIDTH));
    wg_var w = wg_input(tape, "w", WG_F64, WG_SHAPE(WIDTH, WIDTH));
    wg_tape *body = wg_fn_begin(tape, "one"), *step, *row;
    wg_var x = wg_fn_input(body, "x", WG_F64, WG_SHAPE(WIDTH, WIDTH)), h, y, rows[2];
    step = wg_fn_begin(body, "step");
    h = wg_fn_input(step, "h", WG_F64, WG_SHAPE(WIDTH, WIDTH));
    y = wg_tanh(wg_add(wg_matmul(h, w), x));
    wg_fn fn = wg_fn_end(step, &y, 1);
    wg_scan_options o = WG_SCAN_DEFAULTS;
    o.length = 5;
    wg_scan(fn, &x, 1, NULL, 0, &o, &h, 1);
    row = wg_fn_begin(body, "row");
    y = wg_fn_input(row, "y", WG_F64, WG_SHAPE(WIDTH));
    fn = wg_fn_end(row, (wg_var[]){wg_exp(y), wg_mul(y, wg_sum(h))}, 2);
    o = (wg_scan_options)WG_SCAN_DEFAULTS;
    o.sums = 1;
    wg_map(fn, &h, 1, &o, rows, 2);
    fn = wg_fn_end(body, (wg_var[]){h, rows[0], rows[1], wg_matmul_with(x, h, true, false)}, 4);
    o.sums = 2;
    ck_assert_msg(wg_map(fn, &xs, 1, &o, outs, 4) == WG_OK, "%s", wg_tape_error(tape));
    return 4;
}

START_TEST(threads_do_not_change_a_bit)
{
    wg_session *s[4];
    wg_tape *tape[4];
    wg_var outs[4];
    size_t n = 0;
    for (size_t k = 0; k < 4; k++) {
        wg_ctx *c = ctx_of(k);
        tape[k] = wg_tape_new(c);
        n = nested_map(tape[k], outs);
        s[k] = open_on(tape[k], outs, n, k ? "vm" : "reference");
        wg_ctx_free(c);
        run_ok(s[k]);
        run_ok(s[k]);
    }
    for (size_t i = 0; i < n; i++) {
        size_t bytes;
        const void *one = wg_output_at(s[1], i, NULL, &bytes);
        ck_close(s[0], i, s[1], i, "one thread");
        for (size_t k = 2; k < 4; k++)
            ck_assert_msg(memcmp(one, wg_output_at(s[k], i, NULL, NULL), bytes) == 0,
                          "output %zu with %zu threads", i, k);
    }
    for (size_t k = 0; k < 4; k++) {
        wg_session_free(s[k]);
        wg_tape_free(tape[k]);
    }
}
END_TEST

/* Two items have an index out of range: the first is told, in the same words, whoever runs it. */
START_TEST(the_first_failure_is_told)
{
    char told[200] = "";
    for (size_t k = 1; k < 5; k++) {
        wg_ctx *c = ctx_of(k < 4 ? k : 3);
        wg_tape *tape = wg_tape_new(c);
        wg_var x = wg_input(tape, "x", WG_F64, WG_SHAPE(200, 3));
        wg_var index = wg_input(tape, "index", WG_I64, WG_SHAPE(64, 5)), y;
        wg_tape *body = wg_fn_begin(tape, "body");
        wg_var i = wg_fn_input(body, "i", WG_I64, WG_SHAPE(5));
        y = wg_sum(wg_exp(wg_matmul_with(wg_sin(x), wg_tanh(x), false, true)));
        y = wg_mul(wg_gather(x, i), wg_add(y, wg_sum(wg_cast(i, WG_F64))));
        wg_fn fn = wg_fn_end(body, &y, 1);
        ck_assert_int_eq(wg_map(fn, &index, 1, NULL, &y, 1), WG_OK);
        wg_session *s = open_on(tape, &y, 1, k < 4 ? "vm" : "reference");
        int64_t data[64][5] = {{0}};
        data[11][3] = 201;
        data[12][0] = 202;
        data[60][0] = 203;
        wg_bind(s, index, data, sizeof data);
        for (int run = 0; run < 3; run++)
            ck_assert_int_eq(wg_run(s), WG_RANGE);
        ck_has(wg_session_error(s), "201");
        if (k == 1)
            snprintf(told, sizeof told, "%s", wg_session_error(s));
        if (k < 4)
            ck_assert_str_eq(wg_session_error(s), told);
        memset(data, 0, sizeof data);
        run_ok(s);
        wg_session_free(s);
        wg_tape_free(tape);
        wg_ctx_free(c);
    }
}
END_TEST

static bool cancel_at(void *user) { return --*(int *)user == 0; }

START_TEST(cancelled_on_all_threads)
{
    for (size_t k = 1; k < 4; k++) {
        int polls = 0;
        wg_ctx_options options = WG_CTX_DEFAULTS;
        options.threads = k;
        options.cancel = cancel_at;
        options.cancel_user = &polls;
        wg_ctx *c = wg_ctx_new(&options);
        wg_tape *tape = wg_tape_new(c);
        wg_var outs[4];
        wg_session *s = open_on(tape, outs, nested_map(tape, outs), "vm");
        run_ok(s);
        polls = 3;
        ck_assert_int_eq(wg_run(s), WG_CANCELLED);
        ck_has(wg_session_error(s), "cancelled");
        run_ok(s);
        wg_session_free(s);
        wg_tape_free(tape);
        wg_ctx_free(c);
    }
}
END_TEST

/* y = x + 1, an element per item; an item is spread once more. */
typedef struct grid {
    size_t at, cols;
} grid;

static wg_status add_one(const wg_kernel_call *c, size_t item, void *arg)
{
    const grid *g = arg;
    const size_t i = g->at + item;
    if (((const double *)c->in[0].data)[i] < 0)
        return wg_kernel_fail(c, WG_RANGE, "element %zu is negative", i);
    ((double *)c->out[0].data)[i] = ((const double *)c->in[0].data)[i] + 1;
    return WG_OK;
}

static wg_status add_row(const wg_kernel_call *c, size_t item, void *arg)
{
    grid g = *(const grid *)arg;
    g.at = item * g.cols;
    return wg_kernel_spread(c, g.cols, add_one, &g);
}

static wg_status run_grid(const wg_kernel_call *c)
{
    const wg_shape *s = &c->in[0].type->shape;
    grid g = {0, (size_t)s->dim[1]};
    return wg_kernel_spread(c, (size_t)s->dim[0], add_row, &g);
}

static wg_status infer_same(wg_infer *q)
{
    q->out[0] = q->in[0];
    return WG_OK;
}

START_TEST(items_of_ops_without_bodies)
{
    static const wg_kernel kernels[] = {{WG_KERNEL, .types = "d->d", .run = run_grid}};
    static const wg_op op = {WG_OP,
                             .sig = "grid(x) -> y",
                             .flags = WG_OP_SPREAD,
                             .infer = infer_same,
                             .kernels = kernels,
                             .nkernels = 1};
    enum { N = 300, M = 40 };
    static double data[N * M];
    for (size_t k = 0; k < 4; k++) {
        wg_ctx *c = ctx_of(k ? k : 1);
        register_op(c, &op);
        wg_tape *tape = wg_tape_new(c);
        wg_var x = wg_input(tape, "x", WG_F64, WG_SHAPE(N, M)), y;
        ck_assert_int_eq(wg_apply(tape, "grid", &x, 1, NULL, 0, &y, 1), WG_OK);
        wg_session *s = open_on(tape, &y, 1, k ? "vm" : "reference");
        for (size_t i = 0; i < N * M; i++)
            data[i] = (double)i;
        wg_bind(s, x, data, sizeof data);
        run_ok(s);
        const double *have = wg_output(s, y, NULL, NULL);
        for (size_t i = 0; i < N * M; i++)
            ck_assert_double_eq(have[i], (double)i + 1);
        data[777] = data[11000] = -1;
        ck_assert_int_eq(wg_run(s), WG_RANGE);
        ck_has(wg_session_error(s), "element 777 is");
        wg_session_free(s);
        wg_tape_free(tape);
        wg_ctx_free(c);
    }
}
END_TEST

START_TEST(the_flag_is_checked)
{
    static const wg_kernel kernels[] = {{WG_KERNEL, .types = "d->d", .run = run_grid}};
    const char *error = "";
    wg_op op = {WG_OP, .sig = "flagged(x) -> y", .flags = WG_OP_SPREAD | WG_OP_ELEMENTWISE,
                .kernels = kernels, .nkernels = 1};
    ck_assert_int_eq(wg_register(ctx, &op, &error), WG_INVALID);
    ck_has(error, "WG_OP_SPREAD");
}
END_TEST

/* ---- memory -------------------------------------------------------------------------------------- */

START_TEST(runs_allocate_nothing)
{
    for (size_t threads = 1; threads < 4; threads++) {
        fault f = {0, 0, 0, false};
        wg_ctx_options options = fault_options(&f);
        options.threads = threads;
        wg_ctx *c = wg_ctx_new(&options);
        wg_tape *tape = wg_tape_new(c);
        wg_var outs[4];
        wg_session *s = open_on(tape, outs, nested_map(tape, outs), "vm");
        run_ok(s); /* threads start at the first run with work for them */
        long calls = f.calls;
        for (int i = 0; i < 5; i++)
            run_ok(s);
        ck_assert_int_eq(f.calls, calls);
        wg_session_free(s);
        wg_tape_free(tape);
        wg_ctx_free(c);
        ck_assert_int_eq(f.live, 0);
    }
}
END_TEST

/* A body that only hands values through takes no memory of their size. */
START_TEST(outputs_need_no_second_place)
{
    enum { N = 1 << 18 };
    wg_var x = wg_input(t, "x", WG_F64, WG_SHAPE(4, N)), y;
    wg_tape *body = wg_fn_begin(t, "body");
    wg_var u = wg_fn_input(body, "u", WG_F64, WG_SHAPE(N));
    wg_fn fn = wg_fn_end(body, &u, 1);
    ck_assert_int_eq(wg_map(fn, &x, 1, NULL, &y, 1), WG_OK);
    wg_program *p = program_on(t, &y, 1, "vm");
    ck_assert_uint_lt(wg_program_bytes(p), 4 * N * sizeof(double) + (1 << 18));
    wg_program_free(p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bodies");
    TCase *c = tcase_create("bodies");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, roots_of_all_kinds);
    tcase_add_loop_test(c, random_bodies_agree, 0, BODIES / PART);
    tcase_add_test(c, threads_do_not_change_a_bit);
    tcase_add_test(c, the_first_failure_is_told);
    tcase_add_test(c, cancelled_on_all_threads);
    tcase_add_test(c, items_of_ops_without_bodies);
    tcase_add_test(c, the_flag_is_checked);
    tcase_add_test(c, runs_allocate_nothing);
    tcase_add_test(c, outputs_need_no_second_place);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
