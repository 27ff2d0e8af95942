/* The compile cache: graphs that are recorded again find their code; graphs that differ in anything but
 * the values of literal slots do not; and what is found computes the same as what is compiled anew. */
#include <pthread.h>

#include "exec/exec.h"
#include "fault.h"
#include "rng.h"
#include "running.h"

static const char *const executors[] = {NULL, "reference"};
enum { NEXECUTORS = sizeof executors / sizeof *executors };

static wg_program *compile_with(wg_tape *tape, const wg_var *outs, size_t nouts,
                                const char *executor, bool no_cache)
{
    wg_compile_options o = WG_COMPILE_DEFAULTS;
    o.executor = executor;
    o.no_cache = no_cache;
    wg_program *p = wg_compile(tape, outs, nouts, &o);
    ck_assert_msg(p != NULL, "%s", wg_tape_error(tape));
    return p;
}

static wg_program *cached(wg_tape *tape, wg_var out)
{
    return compile_with(tape, &out, 1, NULL, false);
}

static double run_at(wg_program *p, double x)
{
    wg_session *s = wg_session_new(p, NULL);
    ck_assert_ptr_nonnull(s);
    if (wg_program_ninputs(p))
        ck_assert_int_eq(wg_bind_name(s, "x", &x, sizeof x), WG_OK);
    run_ok(s);
    double y = *(const double *)wg_output_at(s, 0, NULL, NULL);
    wg_session_free(s);
    return y;
}

/* ---- what is found ---------------------------------------------------------------------------------- */

static wg_var polynomial(wg_tape *tape, const double *c)
{
    wg_var x = wg_input(tape, "x", WG_F64, WG_SCALAR);
    return wg_add(wg_mul(wg_add(wg_mul(x, wg_f(c[0])), wg_f(c[1])), x), wg_f(c[2]));
}

START_TEST(other_literals)
{
    wg_program *first = NULL;
    rng r = rng_make(7);
    for (int i = 0; i < 20; i++) {
        const double c[] = {3 + rng_unit(&r), -3 - rng_unit(&r), 4 + rng_unit(&r)};
        wg_tape *tape = wg_tape_new(ctx);
        wg_program *p = cached(tape, polynomial(tape, c));
        ck_assert_double_eq(run_at(p, 1.5), (1.5 * c[0] + c[1]) * 1.5 + c[2]);
        if (first)
            ck_assert_ptr_eq(p->code, first->code);
        if (first)
            wg_program_free(p);
        else
            first = p;
        wg_tape_free(tape);
    }
    wg_program_free(first);
}
END_TEST

/* The first program's literals are its own, too, though its code serves others. */
START_TEST(both_stay_right)
{
    const double a[] = {3, 4, 5}, b[] = {6, 7, 8};
    wg_tape *other = wg_tape_new(ctx);
    wg_program *p = cached(t, polynomial(t, a)), *q = cached(other, polynomial(other, b));
    ck_assert_ptr_eq(p->code, q->code);
    ck_assert_double_eq(run_at(q, 10), 60 * 10 + 70 + 8);
    ck_assert_double_eq(run_at(p, 10), 30 * 10 + 40 + 5);
    wg_tape_free(other);
    wg_program_free(p);
    ck_assert_double_eq(run_at(q, 10), 60 * 10 + 70 + 8);
    wg_program_free(q);
}
END_TEST

START_TEST(f32_literals)
{
    for (int i = 0; i < 2; i++) {
        wg_tape *tape = wg_tape_new(ctx);
        wg_var x = wg_input(tape, "x", WG_F32, WG_SHAPE(2));
        wg_var y = wg_mul(x, wg_f(i ? 0.3 : 0.1));
        wg_program *p = cached(tape, y);
        wg_session *s = wg_session_new(p, NULL);
        const float xs[] = {1, 3};
        wg_bind(s, x, xs, sizeof xs);
        run_ok(s);
        const float *ys = wg_output(s, y, NULL, NULL);
        ck_assert_float_eq(ys[0], i ? 0.3f : 0.1f);
        ck_assert_float_eq(ys[1], 3 * (i ? 0.3f : 0.1f));
        wg_session_free(s);
        wg_program_free(p);
        wg_tape_free(tape);
    }
}
END_TEST

/* The printed program is the one that was asked for. */
START_TEST(tapes_show_their_literals)
{
    const double a[] = {3, 4, 5}, b[] = {6, 7, 8};
    wg_tape *other = wg_tape_new(ctx);
    wg_program *p = cached(t, polynomial(t, a)), *q = cached(other, polynomial(other, b));
    const wg_tape *of[] = {wg_program_tape(p), wg_program_tape(q)};
    ck_assert_ptr_eq(wg_program_tape(q), of[1]);
    for (int k = 0; k < 2; k++) {
        double sum = 0;
        for (size_t i = 0; i < of[k]->nodes.len; i++)
            if (of[k]->nodes.data[i].op == WG__OP_LITERAL)
                sum += of[k]->nodes.data[i].u.f;
        ck_assert_double_eq(sum, k ? 21 : 12);
    }
    ck_assert_uint_eq(of[0]->nodes.len, of[1]->nodes.len);
    wg_program_free(p);
    wg_program_free(q);
    wg_tape_free(other);
}
END_TEST

/* What the cache gives prints as what is compiled anew, also where f32 rounds. */
START_TEST(f32_tapes_are_equal)
{
    for (int i = 0; i < 3; i++) {
        wg_tape *tape = wg_tape_new(ctx);
        wg_var x = wg_input(tape, "x", WG_F32, WG_SHAPE(2));
        wg_var y = wg_mul(x, wg_f(0.1 + i));
        wg_program *p = cached(tape, y), *q = compile_with(tape, &y, 1, NULL, true);
        ck_assert(wg_tape_equal(wg_program_tape(p), wg_program_tape(q)));
        char *text[] = {wg_print(wg_program_tape(p), "g", NULL, 0),
                        wg_print(wg_program_tape(q), "g", NULL, 0)};
        ck_assert_str_eq(text[0], text[1]);
        ck_assert_ptr_nonnull(strstr(text[0], i == 0 ? "= 0.1\n" : i == 1 ? "= 1.1\n" : "= 2.1\n"));
        wg_text_free(ctx, text[0]);
        wg_text_free(ctx, text[1]);
        wg_program_free(p);
        wg_program_free(q);
        wg_tape_free(tape);
    }
}
END_TEST

/* Training steps: params, effects, gradients, a scan and composites. */
static wg_var training(wg_tape *tape, double rate, double decay, wg_var *xs)
{
    wg_var w = wg_param(tape, "w", WG_F64, WG_SCALAR, wg_init_constant(0.75));
    *xs = wg_input(tape, "x", WG_F64, WG_SHAPE(3));
    wg_tape *b = wg_fn_begin(tape, "step");
    wg_var h = wg_fn_input(b, "h", WG_F64, WG_SCALAR), in = wg_fn_input(b, "in", WG_F64, WG_SCALAR);
    wg_var next = wg_tanh(wg_add(wg_mul(h, w), in));
    wg_fn f = wg_fn_end(b, &next, 1);
    wg_var zero = wg_cast(wg_full(tape, wg_typeof(w), 0.25), WG_F64), last;
    wg_scan(f, &zero, 1, xs, 1, NULL, &last, 1);
    wg_var loss = wg_add(wg_softplus(last), wg_mul(wg_square(w), wg_f(decay)));
    wg_assign(w, wg_sub(w, wg_mul(wg_f(rate), wg_grad1(loss, w))));
    return loss;
}

START_TEST(training_steps)
{
    const double xs[] = {0.1, -0.2, 0.3};
    for (int e = 0; e < NEXECUTORS; e++) {
        wg__code *first = NULL;
        for (int i = 0; i < 4; i++) {
            double after[2];
            for (int fresh = 0; fresh < 2; fresh++) {
                wg_var x;
                wg_tape *tape = wg_tape_new(ctx);
                wg_var loss = training(tape, 0.1 + i, 0.3 + i, &x);
                wg_program *p = compile_with(tape, &loss, 1, executors[e], fresh);
                first = first ? first : p->code;
                if (!fresh)
                    ck_assert_ptr_eq(p->code, first);
                else
                    ck_assert_ptr_ne(p->code, first);
                wg_session *s = wg_session_new(p, NULL);
                wg_bind(s, x, xs, sizeof xs);
                run_ok(s);
                run_ok(s);
                after[fresh] = state_scalar(s, "w");
                wg_session_free(s);
                wg_program_free(p);
                wg_tape_free(tape);
            }
            ck_assert_double_eq(after[0], after[1]);
        }
    }
}
END_TEST

/* A define-by-run loop: each round records anew after a rewind. */
START_TEST(rewound_tapes)
{
    wg_var x = wg_input(t, "x", WG_F64, WG_SCALAR), unused = wg_input(t, "no", WG_F64, WG_SCALAR);
    wg_mark mark = wg_tape_mark(t);
    const wg__code *first = NULL;
    for (int i = 0; i < 5; i++) {
        wg_var y = wg_mul(wg_sin(x), wg_f(3 + i));
        wg_program *p = cached(t, wg_grad1(y, x));
        first = first ? first : p->code;
        ck_assert_ptr_eq(p->code, first);
        wg_session *s = wg_session_new(p, NULL);
        const double at = 0.5;
        ck_assert_int_eq(wg_bind(s, x, &at, 8), WG_OK);
        ck_assert_int_eq(wg_bind(s, unused, &at, 8), WG_OK);
        run_ok(s);
        ck_assert_double_eq_tol(*(const double *)wg_output_at(s, 0, NULL, NULL), (3 + i) * cos(0.5),
                                1e-14);
        wg_session_free(s);
        wg_program_free(p);
        ck_assert_int_eq(wg_tape_rewind(t, mark), WG_OK);
    }
}
END_TEST

/* ---- what is not the same ------------------------------------------------------------------------------ */

/* Variants of a graph; 0 is the one that all others differ from. */
enum { NVARIANTS = 14 };

static wg_var variant(wg_tape *tape, int v)
{
    wg_shape shape = v == 1 ? WG_SHAPE(2, 4) : v == 13 ? WG_SHAPE(3, 2) : WG_SHAPE(2, 2);
    wg_var a, b;
    if (v == 3)
        b = wg_input(tape, "b", WG_F64, shape);
    a = wg_input(tape, v == 4 ? "c" : "a", v == 2 ? WG_F32 : WG_F64, shape);
    if (v != 3)
        b = wg_input(tape, "b", WG_F64, shape);
    wg_var c = wg_cast(a, WG_F64), y = v == 5 ? wg_sub(b, c) : v == 6 ? wg_add(c, b) : wg_sub(c, b);
    int64_t rows = v == 13 ? 3 : 2;
    wg_var table = wg_const(tape, WG_F64, (wg_shape){.rank = 1, .dim = {rows}},
                            (double[]){3, v == 7 ? 4 : 5, 6});
    wg_var sums = wg_sum_with(y, WG_AXES(v == 8 ? 0 : 1), false);
    if (v == 9)
        wg_scope_push(tape, "scope");
    sums = wg_mul(sums, table);
    if (v == 9)
        wg_scope_pop(tape);
    if (v == 10)
        wg_name(sums, "sums");
    return wg_mul(sums, v == 11 ? wg_f(2) : v == 12 ? wg_f(-1) : wg_f(3));
}

START_TEST(differences)
{
    wg_program *p[NVARIANTS];
    for (int v = 0; v < NVARIANTS; v++) {
        wg_tape *tape = wg_tape_new(ctx), *again = wg_tape_new(ctx);
        p[v] = cached(tape, variant(tape, v));
        wg_program *same = cached(again, variant(again, v));
        ck_assert_msg(same->code == p[v]->code, "variant %d", v);
        wg_program_free(same);
        wg_tape_free(tape);
        wg_tape_free(again);
        for (int k = 0; k < v; k++)
            ck_assert_msg(p[k]->code != p[v]->code, "variants %d and %d", k, v);
    }
    for (int v = 0; v < NVARIANTS; v++)
        wg_program_free(p[v]);
}
END_TEST

/* The number of outputs, their order, effects, the executor and the wish not to be found. */
START_TEST(differences_of_programs)
{
    wg_var p = scalar_param("p", 3), x = wg_input(t, "x", WG_F64, WG_SCALAR);
    wg_var y = wg_mul(p, x), z = wg_add(p, x);
    wg_compile_options plain = WG_COMPILE_DEFAULTS, none = plain, other = plain, no = plain;
    none.no_effects = true;
    other.executor = "reference";
    other.no_effects = true;
    other.explain = true;
    no.no_cache = true;
    wg_program *of[] = {wg_compile(t, (wg_var[]){y, z}, 2, &plain),
                        wg_compile(t, (wg_var[]){z, y}, 2, &plain),
                        wg_compile(t, (wg_var[]){y}, 1, &plain),
                        wg_compile(t, (wg_var[]){y, y}, 2, &plain),
                        wg_compile(t, (wg_var[]){y, z}, 2, &no),
                        NULL,
                        NULL};
    wg_assign(p, z);
    of[5] = wg_compile(t, (wg_var[]){y, z}, 2, &plain);
    of[6] = wg_compile(t, (wg_var[]){y, z}, 2, &other);
    wg_program *same = wg_compile(t, (wg_var[]){y, z}, 2, &none);
    ck_assert_ptr_eq(same->code, of[0]->code);
    for (int i = 0; i < 7; i++)
        for (int k = 0; k < i; k++)
            ck_assert_msg(of[i]->code != of[k]->code, "programs %d and %d", k, i);
    for (int i = 0; i < 7; i++)
        wg_program_free(of[i]);
    wg_program_free(same);
}
END_TEST

/* What is kept for explanations; which values are roots, where walking from them gives the same nodes. */
START_TEST(differences_of_wishes)
{
    wg_var x = wg_input(t, "x", WG_F64, WG_SCALAR), y = wg_sin(x);
    wg_compile_options plain = WG_COMPILE_DEFAULTS, explained = plain;
    explained.explain = true;
    wg_program *of[] = {wg_compile(t, (wg_var[]){y, x}, 2, &plain),
                        wg_compile(t, (wg_var[]){y, y}, 2, &plain),
                        wg_compile(t, (wg_var[]){y, x}, 2, &explained)};
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < i; k++)
            ck_assert_msg(of[i]->code != of[k]->code, "programs %d and %d", k, i);
    for (int i = 0; i < 3; i++)
        wg_program_free(of[i]);
}
END_TEST

/* The node that a derivative belongs to, and the name of a body, show in pictures and text. */
START_TEST(differences_that_show)
{
    wg_program *p[4];
    for (int v = 0; v < 4; v++) {
        wg_tape *tape = wg_tape_new(ctx);
        wg_var x = wg_input(tape, "x", WG_F64, WG_SCALAR), y, z = wg_sin(x);
        wg_tape *b = wg_fn_begin(tape, v == 1 ? "another" : "f");
        wg_var out = wg_exp(wg_fn_input(b, "in", WG_F64, WG_SCALAR));
        wg_fn f = wg_fn_end(b, &out, 1);
        wg_call(f, &z, 1, &y, 1);
        y = wg_cos(y);
        if (v > 1)
            tape->nodes.data[(uint32_t)y.bits].origin = 1 + (uint32_t)(v == 2 ? x : z).bits;
        p[v] = cached(tape, y);
        for (int k = 0; k < v; k++)
            ck_assert_msg(p[v]->code != p[k]->code, "variants %d and %d", k, v);
        wg_tape_free(tape);
    }
    for (int v = 0; v < 4; v++)
        wg_program_free(p[v]);
}
END_TEST

/* Values that passes may look at are part of the graph. */
START_TEST(special_literals)
{
    const double special[] = {3, 0, -0.0, 1, -1, 2, 0.5, INFINITY, -INFINITY, NAN};
    enum { N = sizeof special / sizeof *special };
    wg_program *p[N];
    for (int i = 0; i < N; i++) {
        wg_tape *tape = wg_tape_new(ctx);
        wg_var x = wg_input(tape, "x", WG_F64, WG_SCALAR);
        p[i] = cached(tape, wg_mul(wg_add(x, wg_f(special[i])), wg_f(7)));
        for (int k = 0; k < i; k++)
            ck_assert_ptr_ne(p[k]->code, p[i]->code);
        wg_tape_free(tape);
    }
    for (int i = 0; i < N; i++) {
        double y = run_at(p[i], 2.5), want = (2.5 + special[i]) * 7;
        ck_assert_msg(y == want || (isnan(y) && isnan(want)), "%g: %g", special[i], y);
        wg_program_free(p[i]);
    }
}
END_TEST

static wg_var in_body(wg_tape *tape, double c)
{
    wg_var x = wg_input(tape, "x", WG_F64, WG_SCALAR), y;
    wg_tape *b = wg_fn_begin(tape, "f");
    wg_var in = wg_fn_input(b, "in", WG_F64, WG_SCALAR);
    wg_var out = wg_mul(in, wg_f(c));
    wg_fn f = wg_fn_end(b, &out, 1);
    wg_call(f, &x, 1, &y, 1);
    return y;
}

START_TEST(literals_in_bodies)
{
    const double c[] = {3, 4, 3};
    wg_program *p[3];
    for (int i = 0; i < 3; i++) {
        wg_tape *tape = wg_tape_new(ctx);
        p[i] = cached(tape, in_body(tape, c[i]));
        wg_tape_free(tape);
        ck_assert_double_eq(run_at(p[i], 10), 10 * c[i]);
    }
    ck_assert_ptr_ne(p[0]->code, p[1]->code);
    ck_assert_ptr_eq(p[0]->code, p[2]->code);
    for (int i = 0; i < 3; i++)
        wg_program_free(p[i]);
}
END_TEST

/* ---- random graphs --------------------------------------------------------------------------------------- */

/* The same graph for the same seed; literals from `values`. */
static wg_var random_graph(wg_tape *tape, uint64_t seed, rng *values)
{
    enum { N = 24 };
    static const double pool[] = {0, 1, -1, 2, 0.5};
    rng shape = rng_make(seed);
    wg_var v[N] = {wg_input(tape, "x", WG_F64, WG_SCALAR)};
    for (int i = 1; i < N; i++) {
        wg_var a = v[rng_int(&shape, 0, i - 1)], b = v[rng_int(&shape, 0, i - 1)];
        int64_t kind = rng_int(&shape, 0, 7), special = rng_int(&shape, 0, 4);
        wg_var c = wg_f(kind == 7 ? pool[special] : 3 + 5 * rng_unit(values));
        wg_var by[] = {wg_add(a, b),  wg_mul(a, c), wg_sub(c, a),     wg_tanh(wg_mul(a, b)),
                       wg_mul0(a, c), wg_add(a, c), wg_maximum(b, c), wg_mul(a, c)};
        v[i] = by[kind];
    }
    return wg_grad1(wg_add(v[N - 1], wg_sin(v[N - 2])), v[0]);
}

START_TEST(random_graphs)
{
    for (int e = 0; e < NEXECUTORS; e++)
        for (uint64_t seed = 1; seed <= 60; seed++) {
            rng values = rng_make(seed + 1000);
            const wg__code *first = NULL;
            for (int round = 0; round < 3; round++) {
                double y[2];
                rng before = values;
                for (int fresh = 0; fresh < 2; fresh++) {
                    wg_tape *tape = wg_tape_new(ctx);
                    values = before;
                    wg_var out = random_graph(tape, seed, &values);
                    wg_program *p = compile_with(tape, &out, 1, executors[e], fresh);
                    if (!fresh) {
                        first = first ? first : p->code;
                        ck_assert_ptr_eq(p->code, first);
                    }
                    y[fresh] = run_at(p, 0.3);
                    wg_program_free(p);
                    wg_tape_free(tape);
                }
                ck_assert_msg(memcmp(&y[0], &y[1], sizeof y[0]) == 0,
                              "seed %d, round %d: %.17g from the cache, %.17g anew", (int)seed,
                              round, y[0], y[1]);
            }
        }
}
END_TEST

/* ---- lives --------------------------------------------------------------------------------------------------- */

/* The cache is bounded; programs outlive what it forgets, and the context's handle. */
START_TEST(lives)
{
    fault f = {0, 0, 0, false};
    wg_ctx_options options = fault_options(&f);
    wg_ctx *own = wg_ctx_new(&options);
    wg_program *first = NULL;
    for (int i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "x%d", i);
        wg_tape *tape = wg_tape_new(own);
        wg_program *p =
            cached(tape, wg_mul(wg_sin(wg_input(tape, name, WG_F64, WG_SCALAR)), wg_f(9)));
        wg_tape_free(tape);
        if (first)
            wg_program_free(p);
        else
            first = p;
    }
    wg_tape *tape = wg_tape_new(own);
    wg_program *again =
        cached(tape, wg_mul(wg_sin(wg_input(tape, "x0", WG_F64, WG_SCALAR)), wg_f(9)));
    ck_assert_ptr_ne(again->code, first->code);
    wg_tape_free(tape);
    wg_ctx_free(own);
    wg_program_free(first);
    wg_session *s = wg_session_new(again, NULL);
    const double x = 0.5;
    wg_bind_name(s, "x0", &x, 8);
    wg_program_free(again);
    run_ok(s);
    ck_assert_double_eq_tol(*(const double *)wg_output_at(s, 0, NULL, NULL), 9 * sin(0.5), 1e-14);
    ck_assert_int_gt(f.live, 0);
    wg_session_free(s);
    ck_assert_int_eq(f.live, 0);
}
END_TEST

/* Bytes that are in use, before each block. */
static void *counting(void *user, void *ptr, size_t size)
{
    size_t *live = user, *block = ptr ? (size_t *)ptr - 2 : NULL, old = block ? block[0] : 0;
    if (!size) {
        __atomic_fetch_sub(live, old, __ATOMIC_RELAXED);
        free(block);
        return NULL;
    }
    if (!(block = realloc(block, size + 2 * sizeof *block)))
        return NULL;
    __atomic_fetch_add(live, size - old, __ATOMIC_RELAXED);
    block[0] = size;
    return block + 2;
}

/* A graph with `n` constant elements or `n` nodes, unlike those of other `v`. */
static wg_var heavy(wg_tape *tape, int kind, int n, int v)
{
    wg_var x = wg_input(tape, "x", WG_F32, WG_SHAPE(n)), y = x;
    if (kind == 0) {
        float *data = calloc((size_t)n, sizeof *data);
        data[v] = 1;
        y = wg_mul(x, wg_const(tape, WG_F32, WG_SHAPE(n), data));
        free(data);
    }
    for (int i = 0; i < n && kind; i++)
        y = i == v ? wg_exp(y) : i % 5 == 0 && kind == 2 ? wg_cumsum(y, 0) : wg_mul(wg_sin(y), x);
    return wg_sum(y);
}

/* What is kept is bounded in bytes, whatever they are spent on. */
START_TEST(bytes_are_bounded)
{
    enum { MOST = 1 << 20 };
    size_t live = 0, before = 0;
    wg_ctx_options options = WG_CTX_DEFAULTS;
    options.alloc = counting;
    options.alloc_user = &live;
    options.cache_bytes = MOST;
    options.threads = 1;
    wg_ctx *own = wg_ctx_new(&options);
    const wg__code *last = NULL;
    const int n = _i ? 300 : 50000;
    for (int v = 0; v < 30; v++) {
        wg_tape *tape = wg_tape_new(own);
        wg_program *p = cached(tape, heavy(tape, _i, n, v));
        last = p->code;
        wg_program_free(p);
        wg_tape_free(tape);
        before = v == 0 ? live : before;
    }
    ck_assert_uint_lt(live - before, MOST + MOST / 2);
    ck_assert_uint_gt(live, MOST / 3);        /* but there is something */
    for (int round = 0; round < 3; round++) { /* in between one too large: the others stay */
        wg_tape *tape = wg_tape_new(own);
        wg_program *p =
            cached(tape, round == 1 ? heavy(tape, 0, MOST / 4, 0) : heavy(tape, _i, n, 29));
        ck_assert(round == 1 || p->code == last);
        wg_program_free(p);
        wg_tape_free(tape);
    }
    wg_ctx_free(own);
    ck_assert_uint_eq(live, 0);
}
END_TEST

/* Dead values do not count against what is kept. */
START_TEST(only_needed_values_count)
{
    wg_var x = wg_input(t, "x", WG_F64, WG_SCALAR), y = x;
    for (int i = 0; i < (1 << 19) + 10; i++)
        y = wg_sin(y);
    wg_var z = wg_exp(x);
    wg_program *p = cached(t, z), *q = cached(t, z);
    ck_assert_ptr_eq(p->code, q->code);
    wg_program_free(p);
    wg_program_free(q);
    p = cached(t, y);
    q = cached(t, y);
    ck_assert_ptr_ne(p->code, q->code);
    wg_program_free(p);
    wg_program_free(q);
}
END_TEST

static bool twice(wg_ctx *own, void *user)
{
    (void)user;
    bool good = true;
    for (int i = 0; i < 2 && good; i++) {
        wg_tape *tape = wg_tape_new(own);
        wg_var x, loss = training(tape, 3 + i, 5 + i, &x);
        wg_program *p = wg_compile(tape, &loss, 1, NULL);
        wg_session *s = p ? wg_session_new(p, NULL) : NULL;
        const double xs[] = {1, 2, 3};
        good = s && wg_program_tape(p) && !wg_bind_copy(s, x, xs, sizeof xs) && !wg_run(s) &&
               !wg_session_profile(s, true) && !wg_run(s);
        wg_session_free(s);
        wg_program_free(p);
        wg_tape_free(tape);
    }
    return good;
}

START_TEST(survives_no_memory) { ck_assert_int_eq(fault_each(wg_ctx_new, twice, NULL), 0); }
END_TEST

/* ---- threads ---------------------------------------------------------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 40 };

typedef struct worker {
    int number;
    bool good;
} worker;

static void *compile_often(void *user)
{
    worker *w = user;
    w->good = true;
    for (int i = 0; i < ROUNDS && w->good; i++) {
        double c[] = {3 + w->number, 30 + i, 7};
        wg_tape *tape = wg_tape_new(ctx);
        wg_var y = polynomial(tape, c);
        if (i % 3 == 0)
            y = wg_sin(y);
        wg_program *p = wg_compile(tape, &y, 1, NULL);
        double want = (2 * c[0] + c[1]) * 2 + c[2];
        w->good = p && fabs(run_at(p, 2) - (i % 3 ? want : sin(want))) < 1e-12;
        wg_program_free(p);
        wg_tape_free(tape);
    }
    return NULL;
}

START_TEST(threads_compile_at_once)
{
    pthread_t threads[THREADS];
    worker workers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){i, false};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, compile_often, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++)
        ck_assert(workers[i].good);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cache");
    TCase *c = tcase_create("cache");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, other_literals);
    tcase_add_test(c, both_stay_right);
    tcase_add_test(c, f32_literals);
    tcase_add_test(c, tapes_show_their_literals);
    tcase_add_test(c, f32_tapes_are_equal);
    tcase_add_test(c, training_steps);
    tcase_add_test(c, rewound_tapes);
    tcase_add_test(c, differences);
    tcase_add_test(c, differences_of_programs);
    tcase_add_test(c, differences_of_wishes);
    tcase_add_test(c, differences_that_show);
    tcase_add_test(c, special_literals);
    tcase_add_test(c, literals_in_bodies);
    tcase_add_test(c, random_graphs);
    tcase_add_test(c, lives);
    tcase_add_loop_test(c, bytes_are_bounded, 0, 3);
    tcase_add_test(c, only_needed_values_count);
    tcase_add_test(c, survives_no_memory);
    tcase_add_test(c, threads_compile_at_once);
    suite_add_tcase(s, c);
    return run_suite(s);
}
