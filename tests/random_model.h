/* For tests: random models of many shapes with their gradients and updates, the same for the same
 * seed. Leaves are params, so that nothing needs binding. */
#ifndef WG_TESTS_RANDOM_MODEL_H
#define WG_TESTS_RANDOM_MODEL_H

#include <stdio.h>
#include <string.h>

#include <wengert.h>
#include "rng.h"

enum { MODEL_POOL = 48, MODEL_LEAVES = 4, MODEL_OUTS = 16, MODEL_MOST = 20000 };

typedef struct random_model {
    wg_tape *tape;
    rng r;
    wg_dtype dtype;
    wg_var pool[MODEL_POOL]; /* floats of `dtype` */
    size_t n, nleaves;
    wg_var leaves[MODEL_LEAVES];
    wg_var outs[MODEL_OUTS]; /* loss, gradients, some values */
    size_t nouts;
} random_model;

static inline int64_t model_pick(random_model *g, int64_t n) { return rng_int(&g->r, 0, n - 1); }

/* Recent values more often, so that graphs get deep. */
static inline wg_var model_any(random_model *g)
{
    size_t back = (size_t)model_pick(g, model_pick(g, 2) ? 4 : (int64_t)g->n);
    return g->pool[g->n - 1 - (back < g->n ? back : 0)];
}

static inline wg_shape model_shape(wg_var v) { return wg_ok(v) ? wg_typeof(v).shape : WG_SCALAR; }

/* The last axis, the first, all, any. */
static inline wg_axes model_axes(random_model *g, int rank)
{
    wg_axes axes = {0, {0}};
    int kind = (int)model_pick(g, 4);
    for (int i = 0; i < rank; i++)
        if (kind == 2 || (kind == 0 && i == rank - 1) || (kind == 1 && i == 0) ||
            (kind == 3 && model_pick(g, 2)))
            axes.axis[axes.count++] = i;
    return axes;
}

static inline wg_var model_unary(random_model *g, wg_var x)
{
    switch (model_pick(g, 16)) {
    case 0:
        return wg_tanh(x);
    case 1:
        return wg_sigmoid(x);
    case 2:
        return wg_relu(x);
    case 3:
        return wg_square(wg_tanh(x));
    case 4:
        return wg_neg(x);
    case 5:
        return wg_exp(wg_tanh(x));
    case 6:
        return wg_softplus(x);
    case 7:
        return wg_sin(x);
    case 8:
        return wg_sqrt(wg_add(wg_square(x), wg_f(0.3)));
    case 9:
        return wg_log(wg_add(wg_square(x), wg_f(1)));
    case 10:
        return wg_gelu(x);
    case 11:
        return wg_clamp(x, -0.7, 0.9);
    case 12:
        return wg_leaky_relu_with(x, 0.2);
    case 13:
        return wg_abs(x);
    case 14:
        return wg_cast(wg_cast(x, WG_F64), g->dtype);
    default:
        return wg_mul(x, wg_f(0.37));
    }
}

static inline wg_var model_binary(random_model *g, wg_var a, wg_var b)
{
    switch (model_pick(g, 8)) {
    case 0:
        return wg_add(a, b);
    case 1:
        return wg_sub(a, b);
    case 2:
        return wg_mul(wg_tanh(a), b);
    case 3:
        return wg_maximum(a, b);
    case 4:
        return wg_div(a, wg_add(wg_square(b), wg_f(1)));
    case 5:
        return wg_where(wg_greater(a, b), wg_mul(a, wg_f(0.5)), b);
    case 6:
        return wg_minimum(a, wg_sin(b));
    default:
        return wg_normal_logpdf(a, wg_tanh(b), wg_f(1.5));
    }
}

static inline wg_var model_reduce(random_model *g, wg_var x)
{
    wg_axes axes = model_axes(g, model_shape(x).rank);
    bool keep = model_pick(g, 2);
    wg_var y = wg_none();
    switch (model_pick(g, 6)) {
    case 0:
        y = wg_sum_with(wg_mul(x, wg_f(0.1)), axes, keep);
        break;
    case 1:
        y = wg_mean_with(x, axes, keep);
        break;
    case 2:
        y = wg_max_with(x, axes, keep);
        break;
    case 3:
        y = wg_logsumexp_with(x, axes, keep);
        break;
    case 4:
        y = wg_min_with(x, axes, keep);
        break;
    default:
        y = wg_sum_with(wg_tanh(x), axes, keep);
        break;
    }
    return keep && model_pick(g, 2) ? wg_sub(x, y) : y;
}

static inline wg_var model_permuted(random_model *g, wg_var x)
{
    int rank = model_shape(x).rank;
    int64_t perm[WG_MAX_RANK];
    for (int i = 0; i < rank; i++)
        perm[i] = i;
    for (int i = rank - 1; i > 0; i--) {
        int64_t k = model_pick(g, i + 1), swap = perm[i];
        perm[i] = perm[k];
        perm[k] = swap;
    }
    return wg_transpose_with(x, perm, (size_t)rank);
}

/* Flat, or with the first two axes merged. */
static inline wg_var model_reshaped(random_model *g, wg_var x)
{
    wg_shape s = model_shape(x), to = {0};
    if (s.rank < 2 || model_pick(g, 2))
        return wg_reshape(x, WG_SHAPE(wg_shape_count(s)));
    to.rank = s.rank - 1;
    to.dim[0] = s.dim[0] * s.dim[1];
    for (int i = 2; i < s.rank; i++)
        to.dim[i - 1] = s.dim[i];
    return wg_reshape(x, to);
}

static inline wg_var model_sliced(random_model *g, wg_var x)
{
    wg_shape s = model_shape(x);
    int64_t start[WG_MAX_RANK], stop[WG_MAX_RANK], step[WG_MAX_RANK];
    size_t n = (size_t)s.rank;
    for (int i = 0; i < s.rank; i++) {
        start[i] = s.dim[i] > 2 ? model_pick(g, 2) : 0;
        stop[i] = s.dim[i];
        step[i] = s.dim[i] > 3 ? 1 + model_pick(g, 2) : 1;
    }
    return n ? wg_slice_with(x, start, n, stop, n, step, n) : x;
}

static inline wg_var model_move(random_model *g, wg_var x)
{
    wg_shape s = model_shape(x);
    wg_var two[2] = {x, x};
    switch (model_pick(g, 6)) {
    case 0:
        return model_permuted(g, x);
    case 1:
        return model_reshaped(g, x);
    case 2:
        return model_sliced(g, x);
    case 3:
        return wg_reverse_with(x, model_axes(g, s.rank));
    case 4:
        return s.rank ? wg_cumsum(wg_mul(x, wg_f(0.2)), (int)model_pick(g, s.rank)) : x;
    default:
        two[1] = wg_tanh(x);
        return s.rank && wg_shape_count(s) <= 2000 ? wg_concat(two, 2, (int)model_pick(g, s.rank))
                                                   : x;
    }
}

static inline wg_var model_leaf(random_model *g, const char *prefix, wg_shape shape)
{
    char name[32];
    snprintf(name, sizeof name, "%s%zu", prefix, g->nleaves++);
    return wg_param(g->tape, name, g->dtype, shape, wg_init_normal(0, 0.5));
}

static inline wg_var model_dense(random_model *g, wg_var x)
{
    wg_shape s = model_shape(x);
    int64_t last = s.dim[s.rank - 1], n = model_pick(g, 2) ? 1 + model_pick(g, 5) : 16;
    bool transpose = model_pick(g, 2);
    wg_shape w = transpose ? WG_SHAPE(n, last) : WG_SHAPE(last, n);
    wg_var y = wg_matmul_with(x, model_leaf(g, "w", w), false, transpose);
    y = wg_mul(y, wg_f(0.3));
    return model_pick(g, 2) ? wg_relu(wg_add(y, model_leaf(g, "b", WG_SHAPE(n)))) : y;
}

static inline wg_var model_classes(random_model *g, wg_var x)
{
    int32_t label[4096];
    wg_shape rows = model_shape(x);
    int64_t last = rows.dim[--rows.rank], n = wg_shape_count(rows);
    if (n > 4096 || last < 1)
        return wg_tanh(x);
    for (int64_t i = 0; i < n; i++)
        label[i] = (int32_t)model_pick(g, last);
    return wg_softmax_xent(x, wg_const(g->tape, WG_I32, rows, label));
}

static inline wg_var model_gathered(random_model *g, wg_var x)
{
    wg_shape s = model_shape(x);
    int axis = (int)model_pick(g, s.rank);
    int32_t index[5];
    for (int i = 0; i < 5; i++)
        index[i] = (int32_t)model_pick(g, s.dim[axis]);
    return wg_gather_with(x, wg_const(g->tape, WG_I32, WG_SHAPE(5), index), axis);
}

static inline wg_var model_special(random_model *g, wg_var x)
{
    wg_shape s = model_shape(x);
    if (s.rank < 1)
        return wg_tanh(x);
    switch (model_pick(g, 5)) {
    case 0:
        return wg_softmax(x);
    case 1:
        return wg_log_softmax(x);
    case 2:
        return model_classes(g, x);
    case 3:
        return s.rank >= 2 && s.dim[s.rank - 1] <= 300 ? model_dense(g, x) : wg_softmax(x);
    default:
        return model_gathered(g, x);
    }
}

static inline wg_var model_step(random_model *g)
{
    wg_var x = model_any(g), y = model_any(g);
    wg_shape both;
    switch (model_pick(g, 8)) {
    case 0:
    case 1:
        return model_unary(g, x);
    case 2:
    case 3:
    case 4:
        if (!wg_shape_broadcast(model_shape(x), model_shape(y), &both) ||
            wg_shape_count(both) > MODEL_MOST)
            y = wg_mean(y);
        return model_binary(g, x, y);
    case 5:
        return model_reduce(g, x);
    case 6:
        return model_move(g, x);
    default:
        return model_special(g, x);
    }
}

static inline void model_leaves(random_model *g)
{
    static const int64_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 16, 17, 31, 64, 100, 257};
    for (size_t i = 0; i < MODEL_LEAVES; i++) {
        wg_shape s = {.rank = (int)model_pick(g, i ? 4 : 3)};
        for (int d = 0; d < s.rank; d++)
            s.dim[d] = sizes[model_pick(g, s.rank > 2 ? 7 : 13)];
        if (i == 1 && model_shape(g->leaves[0]).rank) { /* one that broadcasts with the first */
            s = model_shape(g->leaves[0]);
            s.dim[model_pick(g, s.rank)] = 1;
        }
        g->leaves[i] = g->pool[g->n++] = model_leaf(g, "x", s);
    }
}

/* Records a model of about `steps` ops, its gradient, and for most seeds an optimiser's step. False:
 * the tape has the reason. */
static inline bool random_model_make(random_model *g, wg_tape *tape, uint64_t seed, int steps)
{
    *g = (random_model){.tape = tape, .r = rng_make(seed)};
    g->dtype = seed % 2 ? WG_F64 : WG_F32;
    model_leaves(g);
    if (wg_tape_status(tape))
        return false;
    for (int i = 0; i < steps && g->n < MODEL_POOL; i++) {
        wg_var v = model_step(g);
        if (!wg_ok(v))
            return false;
        if (wg_shape_count(model_shape(v)) <= MODEL_MOST)
            g->pool[g->n++] = v;
    }
    wg_var loss = wg_mean(wg_tanh(g->pool[g->n - 1]));
    for (size_t i = 2; i <= 4; i++)
        loss = wg_add(loss, wg_mean(wg_tanh(g->pool[g->n - i])));
    g->outs[g->nouts++] = loss;
    if (wg_grad(&loss, 1, NULL, g->leaves, MODEL_LEAVES, g->outs + 1))
        return false;
    g->nouts += MODEL_LEAVES;
    for (int i = 0; i < 3; i++)
        g->outs[g->nouts++] = model_any(g);
    wg_sgd_options sgd = WG_SGD_DEFAULTS;
    wg_adam_options adam = WG_ADAM_DEFAULTS;
    adam.epsilon = 1e-2; /* with a small one, an update by a gradient near 0 is all rounding */
    if (seed % 3 == 0)
        return wg_sgd(tape, loss, g->leaves, MODEL_LEAVES, &sgd) == WG_OK;
    if (seed % 3 == 1)
        return wg_adam(tape, loss, g->leaves, MODEL_LEAVES, &adam) == WG_OK;
    return true;
}

#endif
