/* From the syntax tree to types, numbers and attributes. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "text/replay.h"

/* ---- numbers ------------------------------------------------------------------------------- */

/* nan(0x7fc00001): a NaN by its bits. */
static bool read_nan(const char *text, wg_dtype dtype, void *data, int64_t index)
{
    if (!wg_dtype_is_float(dtype) || strlen(text) > strlen("nan(0x)") + 2 * wg_dtype_size(dtype))
        return false;
    uint64_t bits = strtoull(text + strlen("nan("), NULL, 16);
    uint32_t half = (uint32_t)bits;
    if (dtype == WG_F64)
        memcpy((double *)data + index, &bits, sizeof bits);
    else
        memcpy((float *)data + index, &half, sizeof half);
    return isnan(wg__load(dtype, data, index));
}

static bool is_number(wg__text_frame *f, const wg__ast *a)
{
    if (a->kind != WG__AST_NUMBER)
        return wg__complain(f->p, a->at, "expected a number");
    return true;
}

bool wg__read_number(wg__text_frame *f, const wg__ast *a, wg_dtype dtype, void *data, int64_t index)
{
    char few[64], *text = few;
    size_t n = a->at.end - a->at.start;
    if (!is_number(f, a))
        return false;
    if (n + 2 > sizeof few && !(text = wg__arena_alloc(&f->p->arena, n + 2)))
        return wg__complain_memory(f->p);
    text[0] = '-';
    memcpy(text + a->negative, f->p->text + a->at.start, n);
    text[n + a->negative] = 0;
    bool read = strncmp(text, "nan(", 4) == 0 ? read_nan(text, dtype, data, index)
                                              : wg__parse_number(dtype, text, data, index);
    return read ||
           wg__complain(f->p, a->at, "%.60s does not fit in %s", text, wg_dtype_name(dtype));
}

/* The dtype that a number has by how it is written; only floats know -0. */
static wg_dtype written_dtype(const wg__text_frame *f, const wg__ast *a)
{
    const char *text = f->p->text + a->at.start;
    bool zero = true;
    if (*text == 't' || *text == 'f')
        return WG_BOOL;
    for (size_t i = 0; i < a->at.end - a->at.start; i++) {
        if (text[i] < '0' || text[i] > '9')
            return WG_F64;
        zero &= text[i] == '0';
    }
    return a->negative && zero ? WG_F64 : WG_I64;
}

bool wg__read_literal(wg__text_frame *f, const wg__ast *a, const wg_dtype *dtype, wg_var *out)
{
    double x;
    int64_t i;
    uint8_t b;
    if (!is_number(f, a))
        return false;
    wg_dtype d = dtype ? *dtype : written_dtype(f, a);
    if (wg_dtype_is_float(d) && wg__read_number(f, a, WG_F64, &x, 0))
        *out = wg_f(x);
    else if (d == WG_BOOL && wg__read_number(f, a, WG_BOOL, &b, 0))
        *out = wg_b(b);
    else if (!wg_dtype_is_float(d) && d != WG_BOOL && wg__read_number(f, a, WG_I64, &i, 0))
        *out = wg_i(i);
    return !f->p->status;
}

static bool read_int(wg__text_frame *f, const wg__ast *a, int64_t *out)
{
    if (a->kind != WG__AST_NUMBER || written_dtype(f, a) != WG_I64)
        return wg__complain(f->p, a->at, "expected an integer");
    return wg__read_number(f, a, WG_I64, out, 0);
}

/* ---- dimensions ---------------------------------------------------------------------------- */

static bool remember_size(wg__text_frame *f, const char *name, int64_t size)
{
    wg__sizes *sizes = f->sizes;
    if (wg__pool_find(&sizes->names, name, strlen(name)))
        return true;
    return (wg__vec_push(f->p->ctx, &sizes->values, size) &&
            wg__pool_intern(&sizes->names, name, strlen(name))) ||
           wg__complain_memory(f->p);
}

static bool lookup_size(void *user, const char *name, int64_t *size)
{
    const wg__sizes *sizes = user;
    uint32_t id = wg__pool_find(&sizes->names, name, strlen(name));
    if (id)
        *size = sizes->values.data[id - 1];
    return id != 0;
}

/* The symbol of an expression over names and integers; 0 when it cannot be made. Recursion as deep
 * as the grammar nests. */
static uint32_t symbol_of(wg__text_frame *f, const wg__ast *a)
{
    wg_ctx *ctx = f->p->ctx;
    int64_t value;
    if (a->kind == WG__AST_NUMBER)
        return read_int(f, a, &value) ? wg__symbol_const(ctx, value) : 0;
    if (a->kind == WG__AST_WORD) {
        const char *name = wg__loc_text(f->p, a->at);
        return name ? wg__symbol_name(ctx, name) : 0;
    }
    if (a->kind != WG__AST_BINARY)
        return 0;
    uint32_t left = symbol_of(f, a->args);
    if (a->args->next)
        return wg__symbol_op(ctx, a->op, left, symbol_of(f, a->args->next));
    return wg__symbol_op(ctx, '-', wg__symbol_const(ctx, 0), left);
}

static bool read_symbol(wg__text_frame *f, const wg__ast *a, uint32_t *out)
{
    *out = symbol_of(f, a);
    return *out || wg__complain(f->p, a->at,
                                "this is no expression over names and integers, or "
                                "its numbers are too large");
}

/* N=64, or 2*N + 1=129: a symbol with its size. */
static bool read_sized(wg__text_frame *f, const wg__ast *a, wg_shape *s)
{
    const wg__ast *symbol = a->args;
    if (!read_symbol(f, symbol, &s->symbol[s->rank]) ||
        !read_int(f, symbol->next, &s->dim[s->rank]))
        return false;
    if (symbol->kind != WG__AST_WORD)
        return true;
    const char *name = wg__loc_text(f->p, symbol->at);
    return name && remember_size(f, name, s->dim[s->rank]);
}

/* A symbol whose names have got their sizes before. */
static bool read_known(wg__text_frame *f, const wg__ast *a, wg_shape *s)
{
    if (!read_symbol(f, a, &s->symbol[s->rank]))
        return false;
    if (wg__symbol_eval(f->p->ctx, s->symbol[s->rank], lookup_size, f->sizes, &s->dim[s->rank]))
        return true;
    return wg__complain(f->p, a->at, "the size of %.*s is not known here: give it, as in %.*s=64",
                        WG__SHOW(f->p, a->at), WG__SHOW(f->p, a->at));
}

/* least: 0, or -1 where a dimension may be left to the op. */
static bool read_shape(wg__text_frame *f, const wg__ast *list, int64_t least, wg_shape *out)
{
    memset(out, 0, sizeof *out);
    for (const wg__ast *a = list->args; a; a = a->next, out->rank++) {
        if (out->rank == WG_MAX_RANK)
            return wg__complain(f->p, a->at, "a shape has at most %d dimensions", WG_MAX_RANK);
        bool read = a->kind == WG__AST_NUMBER ? read_int(f, a, &out->dim[out->rank])
                    : a->kind == WG__AST_DIM  ? read_sized(f, a, out)
                                              : read_known(f, a, out);
        if (!read)
            return false;
        if (out->dim[out->rank] < least)
            return wg__complain(f->p, a->at, "a dimension cannot be negative");
    }
    return true;
}

static bool read_dtype(wg__text_frame *f, wg__loc at, wg_dtype *out)
{
    for (int d = 0; d < WG_DTYPE_COUNT; d++)
        if (wg__loc_is(f->p, at, wg_dtype_name((wg_dtype)d))) {
            *out = (wg_dtype)d;
            return true;
        }
    return wg__complain(f->p, at, "there is no dtype %.*s; there are bool, i32, i64, f32, f64",
                        WG__SHOW(f->p, at));
}

bool wg__read_type(wg__text_frame *f, const wg__target *t, wg_type *out)
{
    memset(out, 0, sizeof *out);
    if (!read_dtype(f, t->dtype, &out->dtype) ||
        (t->dims && !read_shape(f, t->dims, 0, &out->shape)))
        return false;
    if (!wg__shape_ok(&out->shape, out->dtype, NULL, NULL))
        return wg__complain(f->p, t->dims ? t->dims->at : t->dtype, "this shape is too large");
    return true;
}

/* ---- attributes ---------------------------------------------------------------------------- */

static size_t count(const wg__ast *list)
{
    size_t n = 0;
    for (const wg__ast *a = list->args; a; a = a->next)
        n++;
    return n;
}

static bool is_list(wg__text_frame *f, const wg__ast *a)
{
    return a->kind == WG__AST_LIST || wg__complain(f->p, a->at, "expected a list: [...]");
}

static bool read_attr_int(wg__text_frame *f, const wg__ast *a, wg_attr *out)
{
    return read_int(f, a, &out->v.i);
}

static bool read_attr_float(wg__text_frame *f, const wg__ast *a, wg_attr *out)
{
    return wg__read_number(f, a, WG_F64, &out->v.f, 0);
}

static bool read_attr_bool(wg__text_frame *f, const wg__ast *a, wg_attr *out)
{
    out->v.i = a->kind == WG__AST_NUMBER && wg__loc_is(f->p, a->at, "true");
    if (out->v.i || (a->kind == WG__AST_NUMBER && wg__loc_is(f->p, a->at, "false")))
        return true;
    return wg__complain(f->p, a->at, "expected true or false");
}

static bool read_attr_dtype(wg__text_frame *f, const wg__ast *a, wg_attr *out)
{
    wg_dtype dtype;
    if (!read_dtype(f, a->at, &dtype))
        return false;
    out->v.i = dtype;
    return true;
}

static bool read_attr_axes(wg__text_frame *f, const wg__ast *a, wg_attr *out)
{
    int64_t axis;
    out->v.axes = WG_ALL_AXES;
    if (a->kind == WG__AST_WORD && wg__loc_is(f->p, a->at, "all"))
        return true;
    if (!is_list(f, a))
        return false;
    out->v.axes.count = 0;
    for (const wg__ast *e = a->args; e; e = e->next) {
        if (!read_int(f, e, &axis))
            return false;
        if (out->v.axes.count == WG_MAX_RANK || axis < -WG_MAX_RANK || axis >= WG_MAX_RANK)
            return wg__complain(f->p, e->at, "an axis lies between %d and %d, each stands once",
                                -WG_MAX_RANK, WG_MAX_RANK - 1);
        out->v.axes.axis[out->v.axes.count++] = (int32_t)axis;
    }
    return true;
}

static bool read_attr_ints(wg__text_frame *f, const wg__ast *a, wg_attr *out)
{
    if (!is_list(f, a))
        return false;
    int64_t *ints = wg__arena_alloc(&f->p->arena, (count(a) + 1) * sizeof *ints);
    if (!ints)
        return wg__complain_memory(f->p);
    for (const wg__ast *e = a->args; e; e = e->next)
        if (!read_int(f, e, &ints[out->count++]))
            return false;
    out->v.ints = ints;
    return true;
}

static bool read_attr_shape(wg__text_frame *f, const wg__ast *a, wg_attr *out)
{
    return is_list(f, a) && read_shape(f, a, -1, &out->v.shape);
}

static bool read_attr_string(wg__text_frame *f, const wg__ast *a, wg_attr *out)
{
    if (a->kind != WG__AST_STRING)
        return wg__complain(f->p, a->at, "expected a string: \"...\"");
    return (out->v.string = wg__loc_string(f->p, a->at)) != NULL;
}

static bool read_fn(wg__text_frame *f, const wg__ast *a, wg_fn *out)
{
    const wg__named *named = NULL;
    if (a->kind == WG__AST_WORD || a->kind == WG__AST_FN) {
        char *key = wg__arena_alloc(&f->p->arena, a->at.end - a->at.start + sizeof "fn ");
        if (!key)
            return wg__complain_memory(f->p);
        memcpy(key, "fn ", 3);
        memcpy(key + 3, f->p->text + a->at.start, a->at.end - a->at.start);
        named = wg__names_find(f->names, key);
    }
    if (!named)
        return wg__complain(f->p, a->at, "there is no fn %.*s here", WG__SHOW(f->p, a->at));
    *out = named->fn;
    return true;
}

static bool read_attr_fn(wg__text_frame *f, const wg__ast *a, wg_attr *out)
{
    return read_fn(f, a, &out->v.fn);
}

static bool read_attr_fns(wg__text_frame *f, const wg__ast *a, wg_attr *out)
{
    if (a->kind != WG__AST_LIST || !a->args)
        return wg__complain(f->p, a->at, "expected a list of fns: [a, b]");
    wg_fn *fns = wg__arena_alloc(&f->p->arena, count(a) * sizeof *fns);
    if (!fns)
        return wg__complain_memory(f->p);
    for (const wg__ast *e = a->args; e; e = e->next)
        if (!read_fn(f, e, &fns[out->count++]))
            return false;
    out->v.fns = fns;
    return true;
}

bool wg__read_attr(wg__text_frame *f, const wg__attr_spec *spec, const wg__ast *a, wg_attr *out)
{
    static bool (*const readers[])(wg__text_frame *, const wg__ast *, wg_attr *) = {
        [WG_ATTR_INT] = read_attr_int,       [WG_ATTR_FLOAT] = read_attr_float,
        [WG_ATTR_BOOL] = read_attr_bool,     [WG_ATTR_DTYPE] = read_attr_dtype,
        [WG_ATTR_AXIS] = read_attr_int,      [WG_ATTR_AXES] = read_attr_axes,
        [WG_ATTR_INTS] = read_attr_ints,     [WG_ATTR_SHAPE] = read_attr_shape,
        [WG_ATTR_STRING] = read_attr_string, [WG_ATTR_FN] = read_attr_fn,
        [WG_ATTR_FNS] = read_attr_fns,
    };
    memset(out, 0, sizeof *out);
    out->name = spec->name;
    out->kind = spec->kind;
    return readers[spec->kind](f, a, out);
}
