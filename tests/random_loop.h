/* For tests: random loops over [B, H] and [B, I] values that mix products of all kinds, elementwise ops,
 * reductions, gathers, views and nested loops, with sums of all kinds. Values stay moderate. */
#ifndef WG_TESTS_RANDOM_LOOP_H
#define WG_TESTS_RANDOM_LOOP_H

#include <wengert.h>
#include "rng.h"

enum { LOOP_B = 3, LOOP_H = 4, LOOP_I = 5, LOOP_V = 10, LOOP_MOST = 48, LOOP_INPUTS = 8 };

/* A loop in the making: its inputs on the outer tape, and the body's values by shape. */
typedef struct random_loop {
    rng r;
    wg_tape *t, *body;
    int64_t steps;
    bool map, nests;
    wg_var in[LOOP_INPUTS]; /* x [T, B, I], ids [T, B], w [I, H], u [H, H], b [H], e [V, I], h, c */
    wg_var narrow[LOOP_MOST], wide[LOOP_MOST]; /* [B, H], [B, I] */
    size_t nnarrow, nwide;
    wg_var x, ids, w, u, b, e;
    wg_var outs[16];
    size_t nouts, nsums; /* the sums are last */
} random_loop;

static inline int loop_pick(random_loop *l, int n) { return (int)rng_int(&l->r, 0, n - 1); }

static inline wg_var loop_narrow(random_loop *l)
{
    return l->narrow[loop_pick(l, (int)l->nnarrow)];
}

static inline wg_var loop_wide(random_loop *l) { return l->wide[loop_pick(l, (int)l->nwide)]; }

static inline void loop_keep(random_loop *l, wg_var v)
{
    const bool wide = wg_typeof(v).shape.dim[1] == LOOP_I;
    wg_var *to = wide ? l->wide : l->narrow;
    size_t *n = wide ? &l->nwide : &l->nnarrow;
    ck_assert_msg(wg_ok(v), "%s", wg_tape_error(l->t));
    if (*n < LOOP_MOST)
        to[(*n)++] = v;
}

/* Columns turned round as slices and a concat. */
static inline wg_var loop_rolled(wg_var p)
{
    const int64_t start[] = {0, 2}, stop[] = {LOOP_B, LOOP_H}, zero[] = {0, 0}, two[] = {LOOP_B, 2};
    const wg_var parts[] = {wg_slice(p, start, 2, stop, 2), wg_slice(p, zero, 2, two, 2)};
    return wg_concat(parts, 2, 1);
}

/* U p' by rows, through axes of size 1: [B, H, 1]. */
static inline wg_var loop_columns(wg_var u, wg_var p)
{
    wg_var column = wg_reshape(p, WG_SHAPE(LOOP_B, LOOP_H, 1));
    return wg_reshape(wg_matmul(u, column), WG_SHAPE(LOOP_B, LOOP_H));
}

/* A loop over the rows of p. */
static inline wg_var loop_nested(random_loop *l, wg_var p, bool scan)
{
    wg_tape *body = wg_fn_begin(l->body, "row");
    wg_var s = scan ? wg_fn_input(body, "s", WG_F64, WG_SHAPE(1, LOOP_H)) : wg_none(), outs[2];
    wg_var row = wg_fn_input(body, "row", WG_F64, WG_SHAPE(LOOP_H));
    wg_var y = wg_tanh(wg_matmul(wg_reshape(row, WG_SHAPE(1, LOOP_H)), l->u));
    y = scan ? wg_add(y, wg_mul(wg_f(0.3), s)) : y;
    outs[0] = y;
    outs[scan] = wg_reshape(y, WG_SHAPE(LOOP_H));
    wg_fn fn = wg_fn_end(body, outs, scan ? 2 : 1);
    wg_var zero = wg_full(l->body, (wg_type){WG_F64, WG_SHAPE(1, LOOP_H)}, 0);
    if (scan)
        wg_scan(fn, &zero, 1, &p, 1, NULL, outs, 2);
    else
        wg_map(fn, &p, 1, NULL, outs, 1);
    return outs[scan];
}

/* One more value. */
static inline void loop_grow(random_loop *l)
{
    wg_var p = loop_narrow(l), q = loop_wide(l);
    switch (loop_pick(l, l->nests ? 18 : 16)) {
    case 0:
        loop_keep(l, wg_tanh(p));
        break;
    case 1:
        loop_keep(l, wg_mul(wg_f(0.5), wg_add(p, loop_narrow(l))));
        break;
    case 2:
        loop_keep(l, wg_sin(wg_mul(p, loop_narrow(l))));
        break;
    case 3:
        loop_keep(l, wg_add(wg_tanh(wg_matmul(q, l->w)), l->b));
        break;
    case 4:
        loop_keep(l, wg_add(wg_matmul(q, l->w), l->b));
        break;
    case 5:
        loop_keep(l, wg_tanh(wg_matmul_with(p, l->u, false, loop_pick(l, 2))));
        break;
    case 6:
        loop_keep(l, wg_sin(wg_matmul_with(p, l->w, false, true)));
        break;
    case 7:
        loop_keep(l, wg_sub(p, wg_tanh(wg_sum_with(p, (wg_axes){1, {1}}, true))));
        break;
    case 8:
        loop_keep(l, loop_rolled(p));
        break;
    case 9:
        loop_keep(l, wg_sin(wg_transpose(wg_matmul(l->u, wg_transpose(p)))));
        break;
    case 10:
        loop_keep(l, wg_gather(l->e, l->ids));
        break;
    case 11:
        loop_keep(l, wg_sub(q, wg_gather(l->e, l->ids)));
        break;
    case 12:
        loop_keep(l, wg_reverse(wg_mul(p, wg_sigmoid(l->b))));
        break;
    case 13:
        loop_keep(l, wg_softmax(p));
        break;
    case 14:
        loop_keep(l, wg_tanh(loop_columns(l->u, p)));
        break;
    case 15:
        loop_keep(l, wg_where(wg_greater(p, wg_f(0)), p, wg_f(0.1)));
        break;
    default:
        loop_keep(l, loop_nested(l, p, loop_pick(l, 2)));
        break;
    }
}

/* Terms whose sums have short ways, and others. */
static inline wg_var loop_term(random_loop *l)
{
    wg_var p = loop_narrow(l), q = loop_wide(l), m;
    wg_var zeros = wg_full(l->body, (wg_type){WG_F64, WG_SHAPE(LOOP_V, LOOP_I)}, loop_pick(l, 2));
    const int64_t start[] = {1, 0}, stop[] = {1 + LOOP_H, LOOP_H};
    const int32_t rows[] = {4, 0, 4};
    const uint8_t mask[] = {1, 0, 0, 1};
    switch (loop_pick(l, 11)) {
    case 0:
        return wg_matmul_with(q, p, true, false);
    case 1:
        return wg_transpose(wg_matmul_with(p, q, true, false));
    case 2:
        return wg_sum_with(p, (wg_axes){1, {0}}, loop_pick(l, 2));
    case 3:
        return wg_scatter_add(zeros, l->ids, q);
    case 4:
        m = wg_matmul_with(wg_transpose(p), loop_narrow(l), false, false);
        return wg_unslice(m, WG_SHAPE(LOOP_H + 2, LOOP_H + 1), start, 2, stop, 2);
    case 5:
        m = wg_matmul_with(p, loop_narrow(l), true, false);
        return wg_add(wg_mul(wg_f(0.5), m), wg_mul(wg_sum(p), l->u));
    case 6:
        return wg_matmul(p, l->u);
    case 7:
        return wg_sub(wg_matmul_with(p, q, true, false), wg_transpose(l->w));
    case 8: /* indices and conditions that are the same in all steps */
        m = wg_matmul_with(q, p, true, false);
        return wg_gather(m, wg_const(l->t, WG_I32, WG_SHAPE(3), rows));
    case 9:
        m = wg_matmul_with(q, p, true, false);
        return wg_where(wg_const(l->t, WG_BOOL, WG_SHAPE(LOOP_H), mask), m, l->b);
    default:
        return p;
    }
}

static inline void loop_inputs(random_loop *l, int64_t steps)
{
    const struct {
        const char *name;
        wg_dtype dtype;
        wg_shape shape;
    } in[] = {{"x", WG_F64, WG_SHAPE(steps, LOOP_B, LOOP_I)},
              {"ids", WG_I32, WG_SHAPE(steps, LOOP_B)},
              {"w", WG_F64, WG_SHAPE(LOOP_I, LOOP_H)},
              {"u", WG_F64, WG_SHAPE(LOOP_H, LOOP_H)},
              {"b", WG_F64, WG_SHAPE(LOOP_H)},
              {"e", WG_F64, WG_SHAPE(LOOP_V, LOOP_I)},
              {"h", WG_F64, WG_SHAPE(LOOP_B, LOOP_H)},
              {"c", WG_F64, WG_SHAPE(LOOP_B, LOOP_H)}};
    for (int i = 0; i < LOOP_INPUTS; i++)
        l->in[i] = wg_input(l->t, in[i].name, in[i].dtype, in[i].shape);
}

/* The loop, recorded on `t`; count: {NULL, 0} or the steps to run. Outputs in l->outs. */
static inline void random_loop_make(random_loop *l, wg_tape *tape, uint64_t seed, int64_t steps,
                                    wg_var count)
{
    *l = (random_loop){.r = rng_make(seed), .t = tape, .steps = steps};
    loop_inputs(l, steps);
    l->map = loop_pick(l, 4) == 0;
    l->nests = loop_pick(l, 3) == 0;
    const size_t ncarry = l->map ? 0 : (size_t)loop_pick(l, 2) + 1;
    l->body = wg_fn_begin(tape, "body");
    for (size_t k = 0; k < ncarry; k++)
        loop_keep(l, wg_fn_input(l->body, k ? "c" : "h", WG_F64, WG_SHAPE(LOOP_B, LOOP_H)));
    l->x = wg_fn_input(l->body, "x", WG_F64, WG_SHAPE(LOOP_B, LOOP_I));
    l->ids = wg_fn_input(l->body, "id", WG_I32, WG_SHAPE(LOOP_B));
    l->w = l->in[2], l->u = l->in[3], l->b = l->in[4], l->e = l->in[5]; /* captures */
    loop_keep(l, l->x);
    loop_keep(l, wg_tanh(wg_matmul(l->x, l->w)));
    const int size = 3 + loop_pick(l, 14);
    for (int i = 0; i < size; i++)
        loop_grow(l);
    wg_var outs[12];
    size_t n = 0;
    l->nsums = (size_t)loop_pick(l, 4);
    for (size_t k = 0; k < ncarry; k++)
        outs[n++] = wg_tanh(wg_mul(wg_f(0.3), wg_add(loop_narrow(l), loop_narrow(l))));
    outs[n++] = wg_matmul(loop_narrow(l), l->u);
    outs[n++] = loop_narrow(l);
    outs[n++] = loop_pick(l, 2) ? loop_wide(l) : wg_matmul(loop_wide(l), l->w);
    for (size_t k = 0; k < l->nsums; k++)
        outs[n++] = loop_term(l);
    wg_fn fn = wg_fn_end(l->body, outs, n);
    ck_assert_msg(wg_fn_ok(fn), "%s", wg_tape_error(tape));
    wg_scan_options options = WG_SCAN_DEFAULTS;
    options.sums = l->nsums;
    options.reverse = !l->map && loop_pick(l, 2);
    options.count = count;
    wg_status status = l->map ? wg_map(fn, l->in, 2, &options, l->outs, n)
                              : wg_scan(fn, l->in + 6, ncarry, l->in, 2, &options, l->outs, n);
    ck_assert_msg(status == WG_OK, "%s", wg_tape_error(tape));
    l->nouts = n;
}

/* A number that depends on all outputs, unevenly. */
static inline wg_var random_loop_loss(const random_loop *l)
{
    wg_var loss = wg_f(0);
    for (size_t k = 0; k < l->nouts; k++) {
        const bool sum = k + l->nsums >= l->nouts; /* brought to the size of one term */
        wg_var y = sum ? wg_mul(wg_f(1.0 / (double)(l->steps + 1)), l->outs[k]) : l->outs[k];
        wg_var part = wg_mul(wg_f(0.1 + 0.2 * (double)k), wg_sum(wg_sin(y)));
        loss = k ? wg_add(loss, part) : part;
    }
    return loss;
}

#endif
