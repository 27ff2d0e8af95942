/* For test_text: random tapes with odd names, scopes within scopes, sub-tapes, special numbers,
 * symbols and origins that point anywhere. All are legal; nothing about them is sensible. */
#ifndef WG_TESTS_TEXT_TAPES_H
#define WG_TESTS_TEXT_TAPES_H

#include <math.h>
#include <string.h>
#include <wengert.h>
#include "rng.h"
#include "tape/tape.h"

#define COUNT_OF(a) (sizeof(a) / sizeof *(a))

static const char *const odd_names[] = {
    "x",          "y",
    "W",          "h2",
    "_",          "graph",
    "fn",         "nan",
    "f32",        "all",
    "a.b",        "x/y",
    "weird name", "\"quoted\\\"",
    "%3",         "@0",
    "1x",         "größe",
    "\xff\xc3",   "line\nbreak\ttab\r\x01\x7f",
    "\xe2\x82",   "true",
    "W",          "x",
};
static const char *const odd_scopes[] = {"a", "b", "layer1", "fn", "two words", "a.b", "\n", "ü"};

static inline const char *pick_name(rng *r)
{
    return odd_names[rng_int(r, 0, COUNT_OF(odd_names) - 1)];
}

/* A double from all bit patterns, special ones often. */
static inline double odd_double(rng *r)
{
    static const double special[] = {
        0,   -0.0,  INFINITY, -INFINITY,     NAN, 5e-324, 1.7976931348623157e308,
        0.1, -1e-5, 1e22,     123456789.123, 1};
    uint64_t bits = rng_next(r);
    double x;
    memcpy(&x, &bits, sizeof x);
    return rng_int(r, 0, 2) ? special[rng_int(r, 0, COUNT_OF(special) - 1)] : x;
}

/* f32 or i64 of rank 0 to 3, sizes 0 to 3, some with symbols. */
static inline wg_shape odd_shape(wg_ctx *ctx, rng *r)
{
    static const char *const symbols[] = {"N", "T", "2*N + 1", "(N + 1)/2", "N*M - 3", "-N"};
    wg_shape s = wg_shape_make(NULL, 0);
    for (s.rank = 0; s.rank < 3 && rng_int(r, 0, 2); s.rank++) {
        s.dim[s.rank] = rng_int(r, 0, 3);
        if (rng_int(r, 0, 3) == 0)
            s.symbol[s.rank] =
                wg__symbol_parse(ctx, symbols[rng_int(r, 0, COUNT_OF(symbols) - 1)], NULL);
    }
    return s;
}

/* The last value of a type like v's, so that binary ops fit; often v itself. */
static inline wg_var mate(rng *r, wg_tape *t, wg_var v)
{
    wg_type type = wg_typeof(v);
    for (int tries = 0; tries < 5; tries++) {
        wg_var other = wg__var(t, (uint32_t)rng_int(r, 0, (int64_t)wg_tape_size(t) - 1));
        wg_type o = wg_typeof(other);
        if (o.dtype == type.dtype && wg_shape_equal(o.shape, type.shape))
            return other;
    }
    return v;
}

static inline wg_var odd_const(wg_tape *t, rng *r)
{
    union {
        float f[27];
        double d[27];
        int64_t i[27];
        uint8_t b[27];
        uint64_t bits[27];
    } data;
    wg_dtype dtype = (wg_dtype)rng_int(r, 0, WG_DTYPE_COUNT - 1);
    for (size_t i = 0; i < 27; i++)
        data.bits[i] = rng_next(r);
    for (size_t i = 0; i < 27 && dtype == WG_BOOL; i++)
        data.b[i] &= 1;
    for (size_t i = 0; i < 27 && dtype == WG_F64; i++)
        data.d[i] = odd_double(r);
    return wg_const(t, dtype, odd_shape(t->ctx, r), &data);
}

static inline wg_var odd_literal(wg_tape *t, rng *r)
{
    switch (rng_int(r, 0, 3)) {
    case 0:
        return wg__materialise(t, wg_b(rng_int(r, 0, 1)), WG_BOOL);
    case 1:
        return wg__materialise(t, wg_i((int64_t)rng_next(r)), WG_I64);
    case 2:
        return wg__materialise(t, wg_f(odd_double(r)), WG_F32);
    default:
        return wg__materialise(t, wg_f(odd_double(r)), WG_F64);
    }
}

static inline void grow(wg_tape *t, rng *r, int steps, int depth);

/* A sub-tape of any content that is called on what it takes; captures by chance. */
static inline wg_var odd_call(wg_tape *t, rng *r, int depth)
{
    wg_var ins[3], outs[3];
    size_t nins = (size_t)rng_int(r, 0, 3), nouts = (size_t)rng_int(r, 1, 3);
    wg_tape *body = wg_fn_begin(t, pick_name(r));
    for (size_t i = 0; i < nins; i++) {
        ins[i] = wg__var(t, (uint32_t)rng_int(r, 0, (int64_t)wg_tape_size(t) - 1));
        wg_type type = wg_typeof(ins[i]);
        wg_fn_input(body, rng_int(r, 0, 1) ? pick_name(r) : NULL, type.dtype, type.shape);
    }
    grow(body, r, (int)rng_int(r, 1, 8), depth + 1);
    for (size_t i = 0; i < nouts; i++)
        outs[i] = rng_int(r, 0, 3)
                      ? wg__var(body, (uint32_t)rng_int(r, 0, (int64_t)wg_tape_size(body) - 1))
                      : wg__var(t, (uint32_t)rng_int(r, 0, (int64_t)wg_tape_size(t) - 1));
    wg_fn fn = wg_fn_end(body, outs, nouts);
    wg_call(fn, ins, nins, outs, wg_fn_noutputs(fn));
    if (rng_int(r, 0, 3) == 0) /* the same fn again */
        wg_call(fn, ins, nins, outs, wg_fn_noutputs(fn));
    return outs[nouts - 1];
}

static inline wg_var odd_op(wg_tape *t, rng *r)
{
    wg_var v = wg__var(t, (uint32_t)rng_int(r, 0, (int64_t)wg_tape_size(t) - 1));
    wg_type type = wg_typeof(v);
    wg_var two[2] = {v, mate(r, t, v)}, out = wg__invalid();
    const wg_attr shape = wg_attr_shape("shape", odd_shape(t->ctx, r));
    const wg_attr cast = wg_attr_dtype("dtype", (wg_dtype)rng_int(r, 0, WG_DTYPE_COUNT - 1));
    wg_attr reduce[2] = {wg_attr_bool("keepdims", rng_int(r, 0, 1)),
                         wg_attr_axes("axes", WG_ALL_AXES)};
    if (type.shape.rank)
        reduce[1].v.axes = WG_AXES((int32_t)rng_int(r, -type.shape.rank, type.shape.rank - 1));
    switch (rng_int(r, 0, 4)) {
    case 0:
        if (shape.v.shape.rank)
            wg_apply(t, "iota", NULL, 0, &shape, 1, &out, 1);
        break;
    case 1:
        wg_apply(t, "cast", two, 1, &cast, 1, &out, 1);
        break;
    case 2:
        if (type.dtype != WG_BOOL)
            wg_apply(t, "sum", two, 1, reduce, (size_t)rng_int(r, 0, 2), &out, 1);
        break;
    default:
        if (type.dtype != WG_BOOL)
            wg_apply(t, rng_int(r, 0, 1) ? "add" : "mul", two, 2, NULL, 0, &out, 1);
    }
    return wg_ok(out) ? out : wg_stop_gradient(v);
}

static inline wg_var step(wg_tape *t, rng *r, int depth)
{
    int kind = wg_tape_size(t) ? (int)rng_int(r, 0, 9) : 0;
    if (kind == 0)
        return odd_const(t, r);
    if (kind == 1)
        return odd_literal(t, r);
    if (kind == 2 && depth < 3)
        return odd_call(t, r, depth);
    return odd_op(t, r);
}

/* Inputs and params with free names, on a root. */
static inline void declare(wg_tape *t, rng *r)
{
    static const char *const kinds[] = {"xavier", "uniform", "constant", "normal", "odd kind"};
    wg_init init = {kinds[rng_int(r, 0, 4)], odd_double(r), rng_int(r, 0, 1) ? odd_double(r) : 0};
    wg_dtype dtype = (wg_dtype)rng_int(r, 0, WG_DTYPE_COUNT - 1);
    if (rng_int(r, 0, 1))
        wg_input(t, pick_name(r), dtype, odd_shape(t->ctx, r));
    else
        wg_param(t, pick_name(r), dtype, odd_shape(t->ctx, r), init);
    wg_tape_clear_error(t); /* the name may be taken */
}

static inline void update(wg_tape *t, rng *r)
{
    if (!t->params.len)
        return;
    wg_var p = wg__var(t, t->params.data[rng_int(r, 0, (int64_t)t->params.len - 1)]);
    wg_assign(p, mate(r, t, p));
}

static inline void grow(wg_tape *t, rng *r, int steps, int depth)
{
    for (int i = 0; i < steps; i++) {
        if (rng_int(r, 0, 3) == 0)
            wg_scope_push(t, odd_scopes[rng_int(r, 0, COUNT_OF(odd_scopes) - 1)]);
        else if (rng_int(r, 0, 3) == 0 && t->scope)
            wg_scope_pop(t);
        t->origin = rng_int(r, 0, 2) ? 0 : (uint32_t)rng_int(r, 0, (int64_t)wg_tape_size(t));
        if (!depth && rng_int(r, 0, 4) == 0)
            declare(t, r);
        else if (!depth && rng_int(r, 0, 9) == 0)
            update(t, r);
        wg_var v = step(t, r, depth);
        uint16_t op = wg__node_at(t, (uint32_t)v.bits)->op;
        if (rng_int(r, 0, 2) == 0 && op != WG__OP_INPUT && op != WG__OP_PARAM)
            wg_name(v, pick_name(r));
    }
    t->origin = 0;
}

#endif
