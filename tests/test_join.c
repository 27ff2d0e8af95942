/* Joining and cutting by the vm: random graphs of concats, slices, values among zeros and views, and
 * what computes and reads them, against the reference executor. Graphs that only move elements or do
 * one operation on each give equal values; all give equal bits for any number of threads. */
#include <math.h>

#include "fault.h"
#include "pass/cluster.h"
#include "rng.h"
#include "running.h"

enum { MOST = 64, NOUTS = 5, NINPUTS = 4 };

typedef struct graph {
    wg_tape *t;
    rng r;
    bool rounds; /* also sums, products, functions */
    int64_t most;
    wg_var v[MOST], in[NINPUTS], outs[NOUTS + NINPUTS];
    size_t n, nouts;
} graph;

static int64_t below(graph *g, int64_t n) { return rng_int(&g->r, 0, n - 1); }
static wg_shape shape_of(wg_var v) { return wg_typeof(v).shape; }

static wg_var keep(graph *g, wg_var v)
{
    ck_assert_msg(wg_ok(v), "%s", wg_tape_error(g->t));
    if (g->n < MOST && wg_shape_count(shape_of(v)) <= g->most)
        g->v[g->n++] = v;
    return v;
}

static wg_var any(graph *g)
{
    const int64_t n = (int64_t)g->n;
    return g->v[n > 6 && below(g, 2) ? n - 1 - below(g, 6) : below(g, n)];
}

static wg_var unary(graph *g, wg_var x)
{
    switch (below(g, g->rounds ? 5 : 2)) {
    case 0:
        return wg_neg(x);
    case 1:
        return wg_abs(x);
    case 2:
        return wg_sin(x);
    case 3:
        return wg_sigmoid(x);
    default:
        return wg_tanh(x);
    }
}

/* Sizes stay where they are: a sum of few numbers of magnitude 1. */
static wg_var binary(graph *g, wg_var x)
{
    for (int i = 0; i < 8; i++) {
        wg_var y = any(g);
        if (!wg_shape_equal(shape_of(x), shape_of(y)))
            continue;
        if (g->rounds)
            return below(g, 2) ? wg_mul(wg_sin(x), y) : wg_sin(wg_add(x, y));
        return below(g, 2) ? wg_minimum(x, y) : wg_maximum(x, y);
    }
    return wg_neg(x);
}

static bool fits(wg_shape a, wg_shape b, int axis)
{
    if (a.rank != b.rank)
        return false;
    a.dim[axis] = b.dim[axis];
    return wg_shape_equal(a, b);
}

static wg_var concat(graph *g, wg_var x)
{
    wg_var parts[5] = {x};
    size_t n = 1;
    const int axis = (int)below(g, shape_of(x).rank);
    for (int i = 0; i < 10 && n < 5; i++) {
        wg_var y = i < 8 ? any(g) : unary(g, x);
        if (fits(shape_of(x), shape_of(y), axis))
            parts[n++] = y;
    }
    const size_t first = (size_t)below(g, (int64_t)n);
    parts[0] = parts[first];
    parts[first] = x;
    return wg_concat(parts, n, axis);
}

typedef struct cut {
    int64_t start[WG_MAX_RANK], stop[WG_MAX_RANK], step[WG_MAX_RANK];
} cut;

/* Of one axis, or of all. */
static cut random_cut(graph *g, wg_shape s)
{
    cut c;
    const int axis = below(g, 4) ? (int)below(g, s.rank) : -1;
    for (int i = 0; i < s.rank; i++) {
        const bool cuts = axis < 0 || i == axis;
        c.start[i] = cuts ? below(g, s.dim[i] + 1) : 0;
        c.stop[i] = cuts ? rng_int(&g->r, c.start[i], s.dim[i]) : s.dim[i];
        c.step[i] = cuts && below(g, 4) == 0 ? 2 : 1;
    }
    return c;
}

static wg_var slice(graph *g, wg_var x)
{
    const wg_shape s = shape_of(x);
    const size_t n = (size_t)s.rank;
    cut c = random_cut(g, s);
    return wg_slice_with(x, c.start, n, c.stop, n, c.step, n);
}

/* What slice would cut out of something larger. */
static wg_var among_zeros(graph *g, wg_var x)
{
    wg_shape s = shape_of(x), whole = s, start = s;
    int64_t stop[WG_MAX_RANK];
    const int axis = below(g, 4) ? (int)below(g, s.rank) : -1;
    for (int i = 0; i < s.rank; i++) {
        const bool grows = axis < 0 || i == axis;
        start.dim[i] = grows ? below(g, 3) : 0;
        stop[i] = start.dim[i] + s.dim[i];
        whole.dim[i] = stop[i] + (grows ? below(g, 3) : 0);
    }
    if (below(g, 2))
        return wg_place(x, start, whole);
    return wg_unslice(x, whole, start.dim, (size_t)s.rank, stop, (size_t)s.rank);
}

/* Slices that cover x, each through something, placed again and added up in any order. */
static wg_var gates(graph *g, wg_var x)
{
    const wg_shape s = shape_of(x);
    const size_t n = (size_t)s.rank;
    const int axis = (int)below(g, s.rank);
    int64_t start[WG_MAX_RANK] = {0}, stop[WG_MAX_RANK];
    wg_var sum = wg_none();
    memcpy(stop, s.dim, sizeof stop);
    for (int64_t at = 0; at < s.dim[axis]; at = stop[axis]) {
        start[axis] = at;
        stop[axis] = rng_int(&g->r, at + 1, s.dim[axis]);
        wg_var y = unary(g, wg_slice(x, start, n, stop, n));
        if (below(g, 3) == 0)
            keep(g, y);
        if (below(g, 8) == 0)
            continue;
        y = wg_unslice(y, s, start, n, stop, n);
        sum = wg_is_none(sum) ? y : below(g, 2) ? wg_add(sum, y) : wg_add(y, sum);
    }
    return wg_is_none(sum) ? wg_neg(x) : sum;
}

static wg_var moved(graph *g, wg_var x)
{
    const wg_shape s = shape_of(x);
    wg_shape to = s;
    int64_t perm[WG_MAX_RANK];
    const int axis = (int)below(g, s.rank);
    switch (below(g, 5)) {
    case 0:
        for (int i = 0; i < s.rank; i++)
            perm[i] = (i + axis) % s.rank;
        return wg_transpose_with(x, perm, (size_t)s.rank);
    case 1:
        return wg_reverse_with(x, WG_AXES(axis));
    case 2: /* two axes become one */
        if (axis + 1 == s.rank)
            return wg_reshape(x, WG_SHAPE(wg_shape_count(s)));
        to.dim[axis] *= to.dim[axis + 1];
        for (int i = axis + 1; i + 1 < s.rank; i++)
            to.dim[i] = to.dim[i + 1];
        to.rank--;
        return wg_reshape(x, to);
    case 3:
        if (s.rank == WG_MAX_RANK)
            return wg_neg(x);
        for (int i = s.rank; i > axis; i--)
            to.dim[i] = to.dim[i - 1];
        to.dim[axis] = 1;
        to.rank++;
        return wg_reshape(x, to);
    default:
        if (s.rank == WG_MAX_RANK)
            return wg_neg(x);
        for (int i = s.rank; i > 0; i--)
            to.dim[i] = to.dim[i - 1];
        to.dim[0] = 2;
        to.rank++;
        return wg_broadcast(x, to);
    }
}

/* Ops that end loops, read memory, or run by kernels. */
static wg_var other(graph *g, wg_var x)
{
    const wg_shape s = shape_of(x);
    const int axis = (int)below(g, s.rank);
    static const int32_t rows[] = {0, 0};
    switch (below(g, g->rounds ? 6 : 3)) {
    case 0:
        return wg_shape_count(s) ? wg_max_with(x, WG_AXES(axis), below(g, 2) || s.rank == 1) : x;
    case 1:
        return s.dim[axis] ? wg_gather_with(x, wg_const(g->t, WG_I32, WG_SHAPE(2), rows), axis) : x;
    case 2:
        return wg_min_with(wg_concat(&x, 1, axis), WG_AXES(axis), true);
    case 3:
        return wg_sin(wg_sum_with(x, WG_AXES(axis), below(g, 2) || s.rank == 1));
    case 4:
        return wg_sin(wg_cumsum(x, axis));
    default:
        return s.rank == 2 ? wg_sin(wg_matmul_with(x, x, false, true)) : wg_sin(x);
    }
}

static void grow(graph *g)
{
    wg_var x = any(g);
    if (shape_of(x).rank == 0 || wg_shape_count(shape_of(x)) == 0) {
        keep(g, unary(g, x));
        return;
    }
    switch (below(g, 10)) {
    case 0:
        keep(g, unary(g, x));
        return;
    case 1:
        keep(g, binary(g, x));
        return;
    case 2:
        keep(g, slice(g, x));
        return;
    case 3:
        keep(g, among_zeros(g, x));
        return;
    case 4:
        keep(g, gates(g, x));
        return;
    case 5:
        keep(g, moved(g, x));
        return;
    case 6:
        keep(g, other(g, x));
        return;
    default:
        keep(g, concat(g, x));
    }
}

static wg_shape random_shape(graph *g)
{
    wg_shape s = WG_SHAPE(1);
    s.rank = below(g, 4) ? (int)rng_int(&g->r, 1, 3) : (int)rng_int(&g->r, 4, WG_MAX_RANK);
    for (int i = 0; i < s.rank; i++)
        s.dim[i] = s.rank > 3 ? rng_int(&g->r, 1, 2) : rng_int(&g->r, 1, g->most > 10000 ? 90 : 12);
    return s;
}

static void make(graph *g, wg_tape *tape, uint64_t seed, bool rounds, wg_dtype dtype, bool large)
{
    static const char *const names[NINPUTS] = {"a", "b", "c", "d"};
    *g = (graph){.t = tape, .r = rng_make(seed), .rounds = rounds, .most = large ? 400000 : 3000};
    const wg_shape shape = random_shape(g);
    wg_var loss = wg_none();
    for (int i = 0; i < NINPUTS; i++) {
        wg_shape s = i == NINPUTS - 1 ? random_shape(g) : shape;
        if (i == 1)
            s.dim[below(g, s.rank)] = rng_int(&g->r, 0, 20);
        g->in[i] = keep(g, wg_input(tape, names[i], dtype, s));
    }
    for (int i = 0; i < 26; i++)
        grow(g);
    for (; g->nouts < NOUTS; g->nouts++) {
        g->outs[g->nouts] = g->v[g->n - 1 - (size_t)below(g, 8 < (int64_t)g->n ? 8 : 4)];
        wg_var sum = wg_sum(wg_square(g->outs[g->nouts]));
        loss = wg_is_none(loss) ? sum : wg_add(loss, sum);
    }
    if (rounds) {
        ck_assert_msg(wg_grad(&loss, 1, NULL, g->in, NINPUTS, g->outs + NOUTS) == WG_OK, "%s",
                      wg_tape_error(tape));
        g->nouts += NINPUTS;
    }
}

static void bind(graph *g, wg_session *s, uint64_t seed)
{
    for (int i = 0; i < NINPUTS; i++) {
        const wg_type type = wg_typeof(g->in[i]);
        const size_t n = (size_t)wg_shape_count(type.shape), size = wg_dtype_size(type.dtype);
        char *data = calloc(n + 1, size);
        rng r = rng_make(seed * NINPUTS + (uint64_t)i);
        for (size_t k = 0; k < n; k++) {
            const double x = 2 * rng_unit(&r) - 1;
            const float f = (float)x;
            const int32_t v = (int32_t)rng_int(&r, -1000, 1000);
            memcpy(data + k * size,
                   type.dtype == WG_F64   ? (const void *)&x
                   : type.dtype == WG_F32 ? (const void *)&f
                                          : (const void *)&v,
                   size);
        }
        ck_assert_int_eq(wg_bind_copy(s, g->in[i], data, n * size), WG_OK);
        free(data);
    }
}

static wg_session *run_on(graph *g, const char *executor, uint64_t seed)
{
    wg_compile_options options = WG_COMPILE_DEFAULTS;
    options.executor = executor;
    options.verify = true;
    wg_program *p = wg_compile(g->t, g->outs, g->nouts, &options);
    ck_assert_msg(p != NULL, "seed %llu: %s", (unsigned long long)seed, wg_tape_error(g->t));
    wg_session *s = wg_session_new(p, NULL);
    wg_program_free(p);
    bind(g, s, seed);
    for (int i = 0; i < 2; i++)
        run_ok(s);
    return s;
}

static double number(wg_dtype dtype, const void *data, int64_t i)
{
    return dtype == WG_F64   ? ((const double *)data)[i]
           : dtype == WG_F32 ? (double)((const float *)data)[i]
                             : ((const int32_t *)data)[i];
}

static void compare(graph *g, uint64_t seed, double tolerance)
{
    wg_session *a = run_on(g, "reference", seed), *b = run_on(g, "vm", seed);
    for (size_t i = 0; i < g->nouts; i++) {
        wg_type type;
        const void *want = wg_output_at(a, i, &type, NULL), *have = wg_output_at(b, i, NULL, NULL);
        double scale = 1;
        const int64_t n = wg_shape_count(type.shape);
        for (int64_t k = 0; k < n; k++)
            scale = fmax(scale, fabs(number(type.dtype, want, k)));
        for (int64_t k = 0; k < n; k++) {
            const double x = number(type.dtype, want, k), y = number(type.dtype, have, k);
            ck_assert_msg(fabs(x - y) <= tolerance * scale,
                          "seed %llu, output %zu, element %lld: reference %.17g, vm %.17g",
                          (unsigned long long)seed, i, (long long)k, x, y);
        }
    }
    wg_session_free(a);
    wg_session_free(b);
}

/* Elements are moved, negated, compared: nothing rounds. */
START_TEST(moves_are_exact)
{
    static const wg_dtype dtypes[] = {WG_F64, WG_F32, WG_I32};
    for (uint64_t seed = (uint64_t)_i * 60; seed < (uint64_t)(_i + 1) * 60; seed++) {
        graph g;
        wg_tape *tape = wg_tape_new(ctx);
        make(&g, tape, seed, false, dtypes[seed % 3], seed % 20 == 0);
        compare(&g, seed, 0);
        wg_tape_free(tape);
    }
}
END_TEST

START_TEST(values_and_gradients_agree)
{
    for (uint64_t seed = (uint64_t)_i * 30; seed < (uint64_t)(_i + 1) * 30; seed++) {
        graph g;
        wg_tape *tape = wg_tape_new(ctx);
        make(&g, tape, 1000000 + seed, true, seed % 4 ? WG_F64 : WG_F32, seed % 15 == 0);
        compare(&g, seed, seed % 4 ? 1e-9 : 1e-3);
        wg_tape_free(tape);
    }
}
END_TEST

/* ---- threads ------------------------------------------------------------------------------------------ */

static size_t bits_of(uint64_t seed, size_t threads, unsigned char **to)
{
    wg_ctx_options options = WG_CTX_DEFAULTS;
    options.threads = threads;
    wg_ctx *c = wg_ctx_new(&options);
    wg_tape *tape = wg_tape_new(c);
    graph g;
    size_t all = 0, bytes;
    make(&g, tape, seed, true, seed % 2 ? WG_F32 : WG_F64, true);
    wg_session *s = run_on(&g, "vm", seed);
    for (size_t i = 0; i < g.nouts; i++) {
        wg_output_at(s, i, NULL, &bytes);
        all += bytes;
    }
    *to = malloc(all + 1);
    all = 0;
    for (size_t i = 0; i < g.nouts; i++) {
        const void *data = wg_output_at(s, i, NULL, &bytes);
        memcpy(*to + all, data, bytes);
        all += bytes;
    }
    wg_session_free(s);
    wg_tape_free(tape);
    wg_ctx_free(c);
    return all;
}

START_TEST(threads_change_no_bit)
{
    for (uint64_t seed = 0; seed < 12; seed++) {
        unsigned char *one, *more;
        const size_t n = bits_of(seed, 1, &one);
        for (size_t threads = 2; threads < 4; threads++) {
            ck_assert_uint_eq(bits_of(seed, threads, &more), n);
            ck_assert_msg(memcmp(one, more, n) == 0, "seed %llu, %zu threads",
                          (unsigned long long)seed, threads);
            free(more);
        }
        free(one);
    }
}
END_TEST

/* A deep chain in which what is joined is read late, by several, and a third of it is joined again;
 * its parts come from loops side by side, too. */
static wg_var joined_chain(wg_tape *tape, wg_var x)
{
    wg_var kept[12], sides[12], h = x, sum = wg_none();
    const int64_t start[] = {0, 0}, middle[] = {0, 100}, few[] = {200, 50}, stop[] = {200, 300};
    for (int i = 0; i < 12; i++) {
        sides[i] = wg_sin(h);
        wg_var other = wg_cos(wg_mul(wg_slice(x, start, 2, few, 2), wg_f(i)));
        wg_var parts[] = {wg_tanh(h), wg_exp(wg_neg(wg_square(sides[i]))), other};
        kept[i] = wg_concat(parts, 3, 1);
        h = wg_mul(wg_slice(wg_sin(kept[i]), middle, 2, stop, 2), sides[i]);
    }
    for (int i = 12; i-- > 0;) {
        wg_var parts[] = {h, h, wg_slice(h, start, 2, few, 2)};
        wg_var y = wg_sum_with(wg_mul(kept[i], wg_concat(parts, 3, 1)), WG_AXES(1), true);
        h = wg_sin(wg_add(h, y));
        sum = wg_is_none(sum) ? wg_sum(h) : wg_add(sum, wg_sum(h));
    }
    for (int i = 0; i < 12; i++)
        sum = wg_add(sum, wg_sum(wg_mul(sides[i], h)));
    ck_assert_msg(wg_tape_status(tape) == WG_OK, "%s", wg_tape_error(tape));
    return sum;
}

/* Within any limit the same bits: what is joined is written part by part, once. */
START_TEST(limits_change_no_bit)
{
    wg_var x = wg_input(t, "x", WG_F32, WG_SHAPE(200, 200)), outs[2];
    size_t plain = 0, bytes, held = 0;
    float *data = malloc(200 * 200 * sizeof *data), want = 0, *grad = NULL;
    for (int i = 0; i < 200 * 200; i++)
        data[i] = (float)(i % 37) / 18 - 1;
    outs[0] = joined_chain(t, x);
    outs[1] = wg_grad1(outs[0], x);
    for (size_t k = 0; k < 12; k++) {
        wg_compile_options options = WG_COMPILE_DEFAULTS;
        options.memory_limit = plain - plain * k / 14;
        wg_program *p = wg_compile(t, outs, 2, &options);
        if (!p) {
            wg_tape_clear_error(t);
            continue;
        }
        wg_session *s = wg_session_new(p, NULL);
        ck_assert_int_eq(wg_bind(s, x, data, 200 * 200 * sizeof *data), WG_OK);
        run_ok(s);
        const float loss = (float)wg_scalar(s, outs[0]);
        const void *d = wg_output(s, outs[1], NULL, &bytes);
        if (k == 0) {
            plain = wg_program_bytes(p);
            want = loss;
            memcpy(grad = malloc(bytes), d, bytes);
        }
        held += k > 0;
        ck_assert_uint_le(wg_program_bytes(p), plain - plain * k / 14);
        ck_assert_msg(loss == want && memcmp(grad, d, bytes) == 0, "limit %zu of %zu",
                      options.memory_limit, plain);
        wg_session_free(s);
        wg_program_free(p);
    }
    ck_assert_uint_ge(held, 3);
    free(grad);
    free(data);
}
END_TEST

/* ---- single cases --------------------------------------------------------------------------------------- */

static wg_var input(const char *name, wg_shape s) { return wg_input(t, name, WG_F32, s); }

/* Compares the outputs of a graph on t, by number of input. */
static void check(const wg_var *in, size_t nin, const wg_var *outs, size_t nouts)
{
    graph g = {.t = t, .nouts = nouts};
    ck_assert_msg(wg_tape_status(t) == WG_OK, "%s", wg_tape_error(t));
    memcpy(g.outs, outs, nouts * sizeof *outs);
    for (size_t i = 0; i < NINPUTS; i++)
        g.in[i] = in[i < nin ? i : 0];
    compare(&g, 3, 1e-6);
}

/* Ways to read a part [6, 4, 12]. */
static wg_var read_in_some_way(wg_var p, int how)
{
    static const int64_t perm[] = {2, 0, 1}, start[] = {1, 0, 2}, stop[] = {6, 4, 11},
                         step[] = {2, 1, 3};
    static const int32_t index[] = {3, 0, 3};
    const wg_var rows = wg_const(p.tape, WG_I32, WG_SHAPE(3), index);
    switch (how) {
    case 0:
        return wg_sin(wg_reshape(p, WG_SHAPE(288)));
    case 1:
        return wg_sin(wg_reshape(p, WG_SHAPE(3, 2, 2, 2, 3, 4)));
    case 2:
        return wg_sin(wg_reshape(p, WG_SHAPE(8, 36)));
    case 3:
        return wg_sin(wg_reshape(p, WG_SHAPE(24, 12)));
    case 4:
        return wg_sin(wg_transpose_with(p, perm, 3));
    case 5:
        return wg_sin(wg_slice_with(p, start, 3, stop, 3, step, 3));
    case 6:
        return wg_sin(wg_reverse_with(p, WG_AXES(0, 1, 2)));
    case 7:
        return wg_sin(wg_broadcast(p, WG_SHAPE(2, 6, 4, 12)));
    case 8:
        return wg_sum_with(wg_reverse(p), WG_AXES(2), false);
    case 9:
        return wg_sum_with(p, WG_AXES(1, 2), false);
    case 10:
        return wg_sum_with(p, WG_AXES(0, 1), false);
    case 11:
        return wg_sum_with(p, WG_AXES(0, 1, 2), true);
    case 12:
        return wg_sum_with(p, WG_AXES(1), false);
    case 13:
        return wg_gather_with(p, rows, 1);
    case 14:
        return wg_gather_with(p, rows, 0);
    case 15:
        return wg_matmul_with(p, p, true, false);
    case 16:
        return wg_matmul_with(wg_reshape(p, WG_SHAPE(6, 48)), wg_reshape(p, WG_SHAPE(6, 48)), true,
                              false);
    case 17:
        return wg_cumsum(p, 1);
    case 18:
        return wg_concat((wg_var[]){p, wg_reverse(p)}, 2, 1);
    case 19:
        return wg_softmax_with(p, 2);
    case 20: {
        wg_var one = wg_slice(p, (const int64_t[]){4, 2, 7}, 3, (const int64_t[]){5, 3, 8}, 3);
        return wg_sin(wg_reshape(one, WG_SCALAR));
    }
    case 21:
        return wg_sum_with(wg_sin(p), WG_AXES(1, 2), false);
    default:
        return wg_softmax_xent(p, wg_full(p.tape, (wg_type){WG_I32, WG_SHAPE(6, 4)}, 5));
    }
}

/* How many values have windows in the vm's clusters of the outputs. */
static size_t count_windows(const wg_var *outs, size_t nouts)
{
    uint32_t roots[8];
    wg__clusters c;
    for (size_t i = 0; i < nouts; i++)
        roots[i] = wg__find(t, outs[i]);
    ck_assert_int_eq(wg__clusters_make(t, roots, nouts, NULL, &c, NULL, NULL, 0, NULL), WG_OK);
    const size_t n = c.windows.len;
    wg__clusters_free(&c);
    return n;
}

/* ... and to compute one. */
static wg_var make_part(wg_var x, int how)
{
    static const float w[144] = {1, 2, 3, -1, 0.5F};
    wg_var e = wg_exp(x);
    switch (how) {
    case 0:
        return wg_tanh(x);
    case 1:
        return wg_matmul(x, wg_const(x.tape, WG_F32, WG_SHAPE(12, 12), w));
    case 2:
        return wg_max_with(wg_sin(wg_broadcast(x, WG_SHAPE(2, 6, 4, 12))), WG_AXES(0), false);
    default:
        return wg_div(e, wg_sum_with(e, WG_AXES(1, 2), true));
    }
}

enum { WAYS = 23, MAKES = 4 };

START_TEST(parts_are_read_in_any_way)
{
    wg_var x = input("x", WG_SHAPE(6, 4, 12)), p;
    const int axis = _i % 3, how = _i / 3 / MAKES;
    p = make_part(x, _i / 3 % MAKES);
    wg_var parts[] = {x, p}, outs[] = {wg_exp(wg_concat(parts, 2, axis)), read_in_some_way(p, how)};
    /* what moves rows about, or wants them together, has a copy of its own */
    static const bool apart[WAYS] = {[0] = true,  [2] = true,  [9] = true,  [11] = false,
                                     [13] = true, [14] = true, [16] = true, [17] = true};
    if (axis == 0)
        ck_assert_uint_ge(count_windows(outs, 2), 1);
    if (axis == 2 && apart[how])
        ck_assert_uint_eq(count_windows(outs, 2), 0);
    check(&x, 1, outs, 2);
}
END_TEST

/* A part that is a root, twice there, read by a reduction and by a kernel that wants it dense. */
START_TEST(parts_are_used_elsewhere)
{
    wg_var x = input("x", WG_SHAPE(30, 20)), y = input("y", WG_SHAPE(30, 9));
    wg_var a = wg_tanh(x), b = wg_sigmoid(x), c = wg_exp(y), parts[] = {a, b, a, c, y, b};
    wg_var all = wg_concat(parts, 6, 1);
    wg_var outs[] = {all, a, wg_cumsum(b, 1), wg_sum_with(c, WG_AXES(1), false),
                     wg_matmul_with(c, c, false, true)};
    check((wg_var[]){x, y}, 2, outs, 5);
}
END_TEST

/* A product is stored in a window, along the last axis and along the first, with an epilogue and
 * without; a batched one; a column. */
START_TEST(products_are_stored_in_place)
{
    wg_var x = input("x", WG_SHAPE(3, 40, 24)), w = input("w", WG_SHAPE(24, 16));
    wg_var p = wg_matmul(x, w), q = wg_tanh(wg_matmul(wg_neg(x), w)), two[] = {p, q, p};
    const int64_t start[2] = {0, 0}, stop[2] = {24, 1};
    wg_var column = wg_matmul(x, wg_slice(w, start, 2, stop, 2)), mixed[] = {q, column};
    wg_var flat[] = {wg_reshape(wg_matmul_with(q, q, false, true), WG_SHAPE(4800, 1)),
                     wg_reshape(wg_matmul_with(x, x, false, true), WG_SHAPE(4800, 1))};
    wg_var outs[] = {wg_concat(two, 3, 0),  wg_concat(two, 2, 1),
                     wg_concat(two, 2, 2),  wg_exp(wg_concat(mixed, 2, 2)),
                     wg_concat(flat, 2, 1), wg_matmul_with(wg_concat(mixed, 2, 2), p, true, false)};
    check((wg_var[]){x, w}, 2, outs, 6);
}
END_TEST

/* Results of a kernel with several of them, along the first axis and along the last. */
START_TEST(kernels_store_in_place)
{
    wg_var x = input("x", WG_SHAPE(7, 12)), c = input("c", WG_SHAPE(12)), outs[5], made[2];
    wg_tape *body = wg_fn_begin(t, "step");
    wg_var state = wg_fn_input(body, "c", WG_F32, WG_SHAPE(12));
    wg_var next = wg_sin(wg_add(state, wg_fn_input(body, "x", WG_F32, WG_SHAPE(12))));
    wg_var results[] = {next, wg_cos(next)};
    wg_fn fn = wg_fn_end(body, results, 2);
    wg_scan(fn, &c, 1, &x, 1, NULL, made, 2);
    wg_var rows = wg_cumsum(x, 0), lasts[] = {c, made[0]}, all[] = {rows, made[1], rows};
    outs[0] = wg_concat(lasts, 2, 0);
    outs[1] = wg_concat(all, 3, 0);
    outs[2] = wg_concat(all, 3, 1);
    outs[3] = wg_sum(made[1]);
    outs[4] =
        wg_cumsum(wg_slice(outs[1], (const int64_t[]){0, 0}, 2, (const int64_t[]){5, 12}, 2), 1);
    check((wg_var[]){x, c}, 2, outs, 5);
}
END_TEST

/* The last reader of what is joined reads a part of it once more, spread out: what it computes cannot
 * take over the memory. */
START_TEST(parts_outlive_the_whole)
{
    wg_var x = input("x", WG_SHAPE(100)),
           a = wg_max_with(wg_sin(wg_broadcast(x, WG_SHAPE(2, 100))), WG_AXES(0), false);
    wg_var parts[] = {a, wg_tanh(x)}, rows = wg_reshape(wg_concat(parts, 2, 0), WG_SHAPE(2, 100));
    wg_var out = wg_exp(wg_add(rows, wg_mul(a, x)));
    check(&x, 1, &out, 1);
}
END_TEST

/* Scalars, literals and whole inputs joined. */
START_TEST(scalars_are_joined)
{
    wg_var x = input("x", WG_SCALAR), y = input("y", WG_SCALAR), v[40];
    for (int i = 0; i < 40; i++)
        v[i] = wg_reshape(i % 3 ? wg_mul(wg_f(i), wg_sin(x)) : y, WG_SHAPE(1));
    wg_var all = wg_concat(v, 40, 0),
           again[] = {all, wg_full(t, (wg_type){WG_F32, WG_SHAPE(5)}, 0), all};
    wg_var outs[] = {all, wg_sum(wg_concat(again, 3, 0))};
    check((wg_var[]){x, y}, 2, outs, 2);
}
END_TEST

/* The new value of a param is joined, from what the old one was. */
START_TEST(effects_take_what_is_joined)
{
    wg_var p = wg_param(t, "p", WG_F32, WG_SHAPE(4, 6), wg_init_constant(1));
    wg_var x = input("x", WG_SHAPE(4, 6));
    const int64_t start[] = {0, 0}, middle[] = {4, 2}, from[] = {0, 2}, stop[] = {4, 6};
    wg_var parts[] = {wg_add(wg_slice(p, from, 2, stop, 2), wg_slice(x, from, 2, stop, 2)),
                      wg_neg(wg_slice(p, start, 2, middle, 2))};
    wg_var next = wg_concat(parts, 2, 1), sum = wg_sum(next);
    ck_assert(wg_ok(wg_assign(p, next)));
    wg_program *program = compile(&sum, 1);
    wg_session *s = wg_session_new(program, NULL);
    float data[24];
    for (int i = 0; i < 24; i++)
        data[i] = (float)i;
    wg_bind(s, x, data, sizeof data);
    run_ok(s);
    run_ok(s);
    /* p[r] after two runs: 1 + x[2..5] and -1, then that by the same rule */
    const wg_tensor *now = wg_state_get(wg_session_state(s), "p");
    for (int64_t r = 0; r < 4; r++) {
        double old[6] = {1, 1, 1, 1, 1, 1}, new[6];
        for (int run = 0; run < 2; run++) {
            for (int64_t c = 0; c < 6; c++)
                new[c] = c < 4 ? old[c + 2] + (double)data[r * 6 + c + 2] : -old[c - 4];
            memcpy(old, new, sizeof old);
        }
        for (int64_t c = 0; c < 6; c++)
            ck_assert_double_eq(wg_tensor_get(now, r * 6 + c), old[c]);
    }
    wg_session_free(s);
    wg_program_free(program);
}
END_TEST

/* The gates of an LSTM and their cotangents: one loop each, with nothing to copy. */
START_TEST(cells_need_no_copies)
{
    enum { B = 16, H = 48 };
    wg_var h = input("h", WG_SHAPE(B, H)), c = input("c", WG_SHAPE(B, H)),
           U = input("U", WG_SHAPE(H, 4 * H)), xw = input("w", WG_SHAPE(B, 4 * H)), gate[4];
    wg_var z = wg_add(wg_matmul(h, U), xw);
    for (int64_t k = 0; k < 4; k++) {
        const int64_t start[] = {0, k * H}, stop[] = {B, (k + 1) * H};
        gate[k] = wg_slice(z, start, 2, stop, 2);
        gate[k] = k == 2 ? wg_tanh(gate[k]) : wg_sigmoid(gate[k]);
    }
    wg_var next = wg_add(wg_mul(gate[1], c), wg_mul(gate[0], gate[2]));
    wg_var loss = wg_sum(wg_mul(gate[3], wg_tanh(next))), d[3];
    ck_assert_int_eq(wg_grad(&loss, 1, NULL, (wg_var[]){h, c, xw}, 3, d), WG_OK);
    check((wg_var[]){h, c, U, xw}, 4, d, 3);
    wg_program *p = compile(d, 3);
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    wg_program_explain(p, out);
    fclose(out);
    ck_has(text, "steps: 4");
    ck_has(text, "nothing to compute");
    free(text);
    wg_program_free(p);
}
END_TEST

/* ---- faults --------------------------------------------------------------------------------------------- */

static bool compile_and_run(wg_ctx *c, void *user)
{
    bool good = false;
    wg_program *p = NULL;
    wg_session *s = NULL;
    wg_tape *tape = wg_tape_new(c);
    (void)user;
    if (!tape)
        return false;
    wg_var x = wg_input(tape, "x", WG_F32, WG_SHAPE(6, 10)), y = wg_tanh(x);
    wg_var parts[] = {y, x, wg_matmul_with(y, x, false, true), y};
    wg_var all = wg_concat(parts, 4, 1), outs[] = {all, wg_sum(all)};
    float data[60] = {0};
    p = wg_compile(tape, outs, 2, NULL);
    s = p ? wg_session_new(p, NULL) : NULL;
    good = s && wg_bind(s, x, data, sizeof data) == WG_OK && wg_run(s) == WG_OK;
    wg_session_free(s);
    wg_program_free(p);
    wg_tape_free(tape);
    return good;
}

START_TEST(any_allocation_may_fail)
{
    ck_assert_int_eq(fault_each(wg_ctx_new, compile_and_run, NULL), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("join");
    TCase *c = tcase_create("join");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 240);
    tcase_add_loop_test(c, moves_are_exact, 0, 10);
    tcase_add_loop_test(c, values_and_gradients_agree, 0, 10);
    tcase_add_test(c, threads_change_no_bit);
    tcase_add_test(c, limits_change_no_bit);
    tcase_add_loop_test(c, parts_are_read_in_any_way, 0, 3 * MAKES * WAYS);
    tcase_add_test(c, parts_are_used_elsewhere);
    tcase_add_test(c, products_are_stored_in_place);
    tcase_add_test(c, kernels_store_in_place);
    tcase_add_test(c, parts_outlive_the_whole);
    tcase_add_test(c, scalars_are_joined);
    tcase_add_test(c, effects_take_what_is_joined);
    tcase_add_test(c, cells_need_no_copies);
    tcase_add_test(c, any_allocation_may_fail);
    suite_add_tcase(s, c);
    return run_suite(s);
}
