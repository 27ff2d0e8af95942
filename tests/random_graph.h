/* For tests: random small graphs over many ops, of moderate values, with scans. Every value carries a
 * bound on its magnitude; what grows is brought back by sin. Divisors and arguments of log and sqrt
 * are kept away from 0, so that the sign of a zero shows nowhere. */
#ifndef WG_TESTS_RANDOM_GRAPH_H
#define WG_TESTS_RANDOM_GRAPH_H

#include <wengert.h>
#include "rng.h"

enum { MOST_VALUES = 96 };

typedef struct random_graph {
    wg_tape *t;
    rng *r;
    bool rounding; /* also ops that passes compute in another way: softmax, mean, pow, ... */
    wg_var v[MOST_VALUES];
    double bound[MOST_VALUES];
    size_t n;
} random_graph;

static inline void random_keep(random_graph *g, wg_var v, double bound)
{
    ck_assert_msg(wg_ok(v), "%s", wg_tape_error(g->t));
    if (bound > 1e3) {
        v = wg_sin(v);
        bound = 1;
    }
    if (g->n == MOST_VALUES)
        return;
    g->v[g->n] = v;
    g->bound[g->n++] = bound;
}

static inline size_t random_index(random_graph *g)
{
    return (size_t)rng_int(g->r, rng_int(g->r, 0, 1) && g->n > 8 ? (int64_t)g->n - 8 : 0,
                           (int64_t)g->n - 1);
}

static inline int random_of(random_graph *g, int n) { return (int)rng_int(g->r, 0, n - 1); }

/* Numbers that passes look at, and others. */
static inline wg_var random_literal(random_graph *g)
{
    static const double numbers[] = {0, 1, -1, 2, 0.5, -0.5, 0.3, 1.7, -2.25};
    return wg_f(numbers[random_of(g, 9)]);
}

/* clang-format off */
static inline wg_var random_unary(random_graph *g, wg_var x, double *bound)
{
    switch (random_of(g, 16)) {
    case 0: *bound = 1; return wg_tanh(x);
    case 1: *bound = 1; return wg_cos(x);
    case 2: *bound = 1; return wg_sigmoid(x);
    case 3: *bound *= *bound; return wg_square(x);
    case 4: *bound = 3; return wg_exp(wg_sin(x));
    case 5: *bound = 8; return wg_log(wg_add(wg_square(x), wg_f(0.5)));
    case 6: *bound = 2; return wg_reciprocal(wg_add(wg_square(x), wg_f(0.5)));
    case 7: *bound += 1; return wg_sqrt(wg_add(wg_square(x), wg_f(1)));
    case 8: return wg_abs(x);
    case 9: return wg_relu(x);
    case 10: return wg_stop_gradient(x);
    case 11: *bound = 1; return wg_sign(x);
    case 12: *bound = 1; return wg_cast(wg_greater(x, random_literal(g)), WG_F64);
    case 13: return wg_cast(wg_cast(x, WG_F64), WG_F64);
    default: return wg_neg(x);
    }
}

static inline wg_var random_rounding(random_graph *g, wg_var x, double *bound)
{
    int rank = wg_typeof(x).shape.rank;
    int axis = rank ? random_of(g, rank) : 0;
    switch (rank ? random_of(g, 6) : 5) {
    case 0: *bound = 1; return wg_softmax_with(x, axis);
    case 1: *bound += 10; return wg_log_softmax_with(x, axis);
    case 2: *bound += 3; return wg_logsumexp_with(x, WG_AXES(axis), random_of(g, 2));
    case 3: return wg_mean_with(x, WG_AXES(axis), random_of(g, 2));
    case 4: {
        wg_shape labels = wg_typeof(x).shape;
        labels.rank--;
        *bound += 10;
        wg_type type = {WG_I32, labels};
        return wg_softmax_xent(x, wg_full(g->t, type, 0));
    }
    default: *bound = 1e3; return wg_pow(wg_add(wg_square(wg_sin(x)), wg_f(0.5)), random_literal(g));
    }
}
/* clang-format on */

static inline bool random_fits(wg_var a, wg_var b)
{
    wg_shape y;
    return wg_shape_broadcast(wg_typeof(a).shape, wg_typeof(b).shape, &y);
}

/* A value, or a literal, whose shape broadcasts with x's. */
static inline wg_var random_mate(random_graph *g, wg_var x, double *bound)
{
    *bound = 3;
    for (int tries = 0; tries < 6; tries++) {
        size_t i = random_index(g);
        if (random_fits(x, g->v[i])) {
            *bound = g->bound[i];
            return g->v[i];
        }
    }
    return random_literal(g);
}

/* clang-format off */
static inline wg_var random_binary(random_graph *g, wg_var x, double *bound)
{
    double other;
    wg_var y = random_mate(g, x, &other), a = x, b = y;
    if (random_of(g, 2)) {
        a = y;
        b = x;
    }
    double sum = *bound + other, product = *bound * other;
    *bound = sum;
    switch (random_of(g, 9)) {
    case 0: return wg_add(a, b);
    case 1: return wg_sub(a, b);
    case 2: return wg_maximum(a, b);
    case 3: return wg_minimum(a, b);
    case 4: return wg_where(wg_less(x, wg_f(0.25)), a, b);
    case 5: return wg_where(wg_logical_not(wg_equal(a, b)), x, wg_f(1));
    case 6: *bound *= 4; return g->rounding ? wg_div(y, wg_add(wg_cos(x), wg_f(2))) : wg_neg(x);
    case 7: *bound = product; return wg_mul0(a, b);
    default: *bound = product; return wg_mul(a, b);
    }
}

/* Shapes change here. */
static inline wg_var random_shaped(random_graph *g, wg_var x, double *bound)
{
    wg_shape s = wg_typeof(x).shape;
    int axis = s.rank ? random_of(g, s.rank) : 0;
    int64_t start[WG_MAX_RANK] = {0}, stop[WG_MAX_RANK];
    switch (random_of(g, 8)) {
    case 0: return wg_transpose(x);
    case 1: return wg_reshape(x, WG_SHAPE(wg_shape_count(s)));
    case 2: return wg_broadcast(x, s);
    case 3: *bound *= 12; return wg_sum_with(x, s.rank ? WG_AXES(axis) : WG_ALL_AXES, random_of(g, 2));
    case 4: return s.rank ? wg_max_with(x, WG_AXES(axis), true) : x;
    case 5:
        for (int i = 0; i < s.rank; i++)
            stop[i] = i == axis && random_of(g, 2) ? (s.dim[i] + 1) / 2 : s.dim[i];
        return wg_slice(x, start, (size_t)s.rank, stop, (size_t)s.rank);
    case 6:
        return s.rank == 1 ? wg_broadcast(x, WG_SHAPE(2, s.dim[0])) : wg_transpose(wg_transpose(x));
    default: {
        wg_var two[2] = {x, wg_neg(x)};
        return s.rank ? wg_slice(wg_concat(two, 2, axis), start, (size_t)s.rank, s.dim, (size_t)s.rank)
                      : x;
    }
    }
}
/* clang-format on */

static inline wg_var random_product(random_graph *g, wg_var x, double *bound)
{
    wg_shape s = wg_typeof(x).shape;
    if (s.rank != 2)
        return wg_neg(x);
    *bound *= *bound * (double)s.dim[0];
    return random_of(g, 2) ? wg_matmul(wg_transpose(x), x) : wg_matmul_with(x, x, true, false);
}

static inline void random_grow(random_graph *g, int steps, int depth);

/* A scan whose body mixes carry, sequence and values from outside. */
static inline void random_scan(random_graph *g, int depth)
{
    random_graph body = {.r = g->r, .rounding = g->rounding};
    wg_var ins[2], outs[2] = {wg_none(), wg_none()};
    wg_type pair = {WG_F64, WG_SHAPE(2, 3)};
    ins[0] = wg_full(g->t, (wg_type){WG_F64, WG_SHAPE(3)}, 0.5);
    ins[1] = wg_add(wg_iota_with(g->t, WG_SHAPE(2, 3), 1, WG_F64), wg_full(g->t, pair, 1));
    body.t = wg_fn_begin(g->t, "step");
    random_keep(&body, wg_fn_input(body.t, "c", WG_F64, WG_SHAPE(3)), 1);
    random_keep(&body, wg_fn_input(body.t, "x", WG_F64, WG_SHAPE(3)), 4);
    for (int i = 0; i < 3; i++) {
        size_t k = random_index(g);
        random_keep(&body, wg_tanh(g->v[k]), 1);
    }
    /* what is the same in all steps: recorded on the body */
    wg_var w = wg_add(body.v[0], wg_f(0));
    random_grow(&body, 8, depth + 1);
    w = wg_add(w, wg_sum(body.v[body.n - 1]));
    wg_var next[2] = {wg_sin(w), body.v[body.n - 1]};
    wg_fn fn = wg_fn_end(body.t, next, 2);
    wg_scan(fn, &ins[0], 1, &ins[1], 1, NULL, outs, 2);
    random_keep(g, outs[0], 1);
    random_keep(g, wg_sin(outs[1]), 1);
}

static inline void random_grow(random_graph *g, int steps, int depth)
{
    for (int i = 0; i < steps && g->n < MOST_VALUES - 2; i++) {
        size_t k = random_index(g);
        wg_var x = g->v[k];
        double bound = g->bound[k];
        int kind = random_of(g, 20);
        if (kind == 0 && depth < 2) {
            random_scan(g, depth);
            continue;
        }
        x = kind < 6                   ? random_unary(g, x, &bound)
            : kind < 13                ? random_binary(g, x, &bound)
            : kind < 17                ? random_shaped(g, x, &bound)
            : kind < 18                ? random_product(g, x, &bound)
            : kind < 20 && g->rounding ? random_rounding(g, x, &bound)
                                       : random_unary(g, x, &bound);
        random_keep(g, x, bound);
    }
}

/* Inputs a [], b [3], c [2, 3], d [2, 1], a constant, and what grows from them. */
static inline void random_graph_make(random_graph *g, int steps)
{
    static const double numbers[3] = {0.25, -1.5, 2};
    random_keep(g, wg_input(g->t, "a", WG_F64, WG_SCALAR), 1);
    random_keep(g, wg_input(g->t, "b", WG_F64, WG_SHAPE(3)), 1);
    random_keep(g, wg_input(g->t, "c", WG_F64, WG_SHAPE(2, 3)), 1);
    random_keep(g, wg_input(g->t, "d", WG_F64, WG_SHAPE(2, 1)), 1);
    random_keep(g, wg_const(g->t, WG_F64, WG_SHAPE(3), numbers), 2);
    random_grow(g, steps, 0);
}

#endif
