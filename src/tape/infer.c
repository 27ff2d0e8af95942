/* Type inference of one node: the default rule of elementwise ops (broadcasting, dtypes from the
 * kernel table) and the stage on which an op's own infer function plays. */
#include <stdio.h>
#include <string.h>

#include "tape/infer.h"

enum { TEXTS = 8 };

typedef struct stage {
    wg_infer q; /* first: q.priv points here */
    wg_tape *t;
    const wg__op *op;
    const uint32_t *ids;
    wg_attrs view;
    wg__inferred *result;
    wg__str texts[TEXTS]; /* ring for wg_infer_text */
    unsigned next;
} stage;

static wg_attrs view_of(const wg_tape *t, const wg__op *op, uint32_t attrs)
{
    wg_attrs view = {t, op, NULL, 0};
    if (attrs)
        view.slots = wg__pool_get(&t->attrs, attrs, &view.size);
    return view;
}

/* ---- messages ---------------------------------------------------------------------------------- */

/* " (a is "x", b is "W")" for the operands that have names. */
static void add_names(const stage *s, wg__str *text)
{
    const wg__sig *sig = &s->op->sig;
    bool any = false;
    for (size_t i = 0; s->ids && i < s->q.nin && i < sig->nin; i++) {
        uint32_t name = wg__node_at(s->t, s->ids[i])->name;
        if (!name || (sig->star && i + 1 == sig->nin))
            continue;
        wg__str_addf(text, "%s%s is \"%s\"", any ? ", " : " (", sig->in[i], wg__text(s->t, name));
        any = true;
    }
    wg__str_add(text, any ? ")" : "");
}

static wg_status failv(stage *s, wg_status status, const char *format, va_list args)
    WG_PRINTF(3, 0);
static wg_status failv(stage *s, wg_status status, const char *format, va_list args)
{
    wg__str text = wg__str_make(s->t->ctx);
    wg__str_addv(&text, format, args);
    add_names(s, &text);
    status = wg__tape_fail(s->t, status ? status : WG_INVALID, "%s: %s", s->op->name,
                           wg__str_text(&text));
    wg__str_free(&text);
    return status;
}

wg_status wg_infer_fail(wg_infer *q, wg_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    status = failv(q->priv, status, format, args);
    va_end(args);
    return status;
}

const char *wg_infer_text(wg_infer *q, wg_type type)
{
    stage *s = q->priv;
    wg__str *text = &s->texts[s->next++ % TEXTS];
    text->ctx = s->t->ctx;
    wg__str_clear(text);
    wg__add_type(text, s->t->ctx, &type);
    return wg__str_text(text);
}

/* ---- what an infer function may do ------------------------------------------------------------ */

wg_status wg_infer_set(wg_infer *q, wg_attr attr)
{
    stage *s = q->priv;
    wg_attr all[WG__MAX_ATTRS];
    wg_tape *t = s->t;
    const wg__sig *sig = &s->op->sig;
    size_t n = s->view.slots ? sig->nattrs : 0, k = 0;
    while (k < n && strcmp(sig->attrs[k].name, attr.name))
        k++;
    if (k == n)
        return wg_infer_fail(q, WG_INTERNAL, "infer sets an unknown attribute %s", attr.name);
    wg__attrs_export(&s->view, all);
    all[k] = attr;
    if (!wg__attrs_build(t, s->op, all, n, q->nin ? q->in[0].shape.rank : -1, &s->result->attrs))
        return wg_tape_status(t);
    s->view = view_of(t, s->op, s->result->attrs);
    return WG_OK;
}

/* So that an output which infer leaves out is told. */
static void blank(wg_type *types, size_t n)
{
    memset(types, 0, n * sizeof *types);
    for (size_t i = 0; i < n; i++)
        types[i].shape.rank = -1;
}

wg_status wg_infer_outputs(wg_infer *q, size_t n)
{
    stage *s = q->priv;
    if (n > UINT16_MAX)
        return wg_infer_fail(q, WG_INVALID, "%zu outputs are too many, at most 65535", n);
    wg_type *types = s->result->room;
    if (n > WG__INLINE_TYPES) {
        types = wg__calloc(s->t->ctx, n, sizeof *types);
        if (!types)
            return wg__tape_no_memory(s->t);
    }
    wg__inferred_free(s->t, s->result);
    blank(types, n);
    q->out = s->result->types = types;
    q->nout = s->result->nout = n;
    return WG_OK;
}

void wg__inferred_free(wg_tape *t, wg__inferred *inferred)
{
    if (inferred->types != inferred->room)
        wg__free(t->ctx, inferred->types);
    inferred->types = inferred->room;
}

/* ---- elementwise ---------------------------------------------------------------------------------- */

static wg_status elementwise(stage *s, const wg_type *const *in)
{
    wg_infer *q = &s->q;
    wg_type *out = &q->out[0];
    out->shape = q->in[0].shape;
    for (size_t i = 1; i < q->nin; i++) {
        wg_shape sum;
        if (!wg_shape_broadcast(out->shape, q->in[i].shape, &sum)) {
            wg_type so_far = {q->in[i - 1].dtype, out->shape};
            return wg_infer_fail(q, WG_SHAPE, "shapes do not broadcast: %s with %s",
                                 wg_infer_text(q, so_far), wg_infer_text(q, q->in[i]));
        }
        out->shape = sum;
    }
    const wg_kernel *k = wg__op_kernel(s->op, in, q->nin, NULL);
    if (!k) {
        wg__str takes = wg__str_make(s->t->ctx), has = wg__str_make(s->t->ctx);
        wg__op_add_dtypes(s->op, &takes);
        for (size_t i = 0; i < q->nin; i++)
            wg__str_addf(&has, "%s%s", i ? " " : "", wg_dtype_name(q->in[i].dtype));
        wg_infer_fail(q, WG_DTYPE, "it has no kernel for %s; it takes: %s; use cast",
                      wg__str_text(&has), wg__str_text(&takes));
        wg__str_free(&takes);
        wg__str_free(&has);
        return WG_DTYPE;
    }
    out->dtype = wg__kernel_out(k, in, q->nin);
    return WG_OK;
}

/* ---- the checks that all ops share --------------------------------------------------------------- */

static bool class_fits(wg__class cls, wg_dtype dtype)
{
    switch (cls) {
    case WG__FLOAT:
        return wg_dtype_is_float(dtype);
    case WG__INT:
        return dtype == WG_I32 || dtype == WG_I64;
    case WG__BOOLEAN:
        return dtype == WG_BOOL;
    case WG__NUM:
        return dtype != WG_BOOL;
    case WG__ANY:
        break;
    }
    return true;
}

static wg_status check_classes(stage *s)
{
    static const char *const names[] = {"any", "f32 or f64", "i32 or i64", "bool",
                                        "a number (not bool)"};
    const wg__sig *sig = &s->op->sig;
    for (size_t i = 0; i < s->q.nin; i++) {
        size_t k = i < sig->nin ? i : sig->nin - 1;
        if (!class_fits(sig->cls[k], s->q.in[i].dtype))
            return wg_infer_fail(&s->q, WG_DTYPE, "%s must be %s, it is %s", sig->in[k],
                                 names[sig->cls[k]], wg_infer_text(&s->q, s->q.in[i]));
    }
    return WG_OK;
}

static wg_status check_outputs(stage *s)
{
    const wg__sig *sig = &s->op->sig;
    bool roomy = s->q.out != s->result->room || s->q.nout <= WG__INLINE_TYPES;
    if (s->q.nout == 0 || !roomy || (!sig->star_out && s->q.nout != sig->nout))
        return wg_infer_fail(&s->q, WG_INTERNAL, "its infer gives %zu outputs, which does not fit",
                             s->q.nout);
    for (size_t i = 0; i < s->q.nout; i++) {
        wg_type *type = &s->q.out[i];
        if (!wg__shape_ok(&type->shape, type->dtype, NULL, NULL))
            return wg_infer_fail(&s->q, WG_SHAPE, "output %zu would have an impossible shape: %s",
                                 i, wg_infer_text(&s->q, *type));
        wg_type canonical;
        wg__type_canonical(type, &canonical);
        *type = canonical;
    }
    return WG_OK;
}

wg_status wg__infer(wg_tape *t, const wg__op *op, const uint32_t *ids, const wg_type *const *in,
                    size_t nin, uint32_t attrs, wg__inferred *out)
{
    wg_type few[WG__INLINE_TYPES], *many = NULL;
    stage s;
    memset(&s, 0, sizeof s);
    blank(out->room, WG__INLINE_TYPES);
    out->types = out->room;
    out->nout = op->sig.nout;
    out->attrs = attrs;
    if (nin > WG__INLINE_TYPES && !(many = wg__calloc(t->ctx, nin, sizeof *many)))
        return wg__tape_no_memory(t);
    for (size_t i = 0; i < nin; i++)
        (many ? many : few)[i] = *in[i];
    s.t = t;
    s.op = op;
    s.ids = ids;
    s.view = view_of(t, op, attrs);
    s.result = out;
    s.q = (wg_infer){t->ctx,     nin,     many ? many : few, op->sig.nout,
                     out->types, &s.view, op->def.data,      &s};
    wg_status status = check_classes(&s);
    if (!status && op->def.infer) {
        status = op->def.infer(&s.q);
        out->nout = s.q.nout;
        if (status) /* does nothing when the function gave its own message */
            wg_infer_fail(&s.q, status, "%s", wg_status_text(status));
    } else if (!status) {
        status = elementwise(&s, in);
    }
    if (!status)
        status = check_outputs(&s);
    if (status)
        wg__inferred_free(t, out);
    for (int i = 0; i < TEXTS; i++)
        wg__str_free(&s.texts[i]);
    wg__free(t->ctx, many);
    return status;
}
