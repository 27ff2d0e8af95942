/* Attributes: from wg_attr values to interned canonical bytes and back. A node's blob is one slot
 * per attribute of the signature, in its order, followed by the lists that slots point to; equal
 * meaning gives equal bytes. */
#include <stdio.h>
#include <string.h>

#include "tape/tape.h"

/* ---- making wg_attr values --------------------------------------------------------------- */

static wg_attr make(const char *name, wg_attr_kind kind)
{
    wg_attr a;
    memset(&a, 0, sizeof a);
    a.name = name;
    a.kind = kind;
    return a;
}

static wg_attr make_i(const char *name, wg_attr_kind kind, int64_t value)
{
    wg_attr a = make(name, kind);
    a.v.i = value;
    return a;
}

wg_attr wg_attr_int(const char *name, int64_t value) { return make_i(name, WG_ATTR_INT, value); }

wg_attr wg_attr_bool(const char *name, bool value) { return make_i(name, WG_ATTR_BOOL, value); }

wg_attr wg_attr_dtype(const char *name, wg_dtype value)
{
    return make_i(name, WG_ATTR_DTYPE, value);
}

wg_attr wg_attr_axis(const char *name, int axis) { return make_i(name, WG_ATTR_AXIS, axis); }

wg_attr wg_attr_float(const char *name, double value)
{
    wg_attr a = make(name, WG_ATTR_FLOAT);
    a.v.f = value;
    return a;
}

wg_attr wg_attr_axes(const char *name, wg_axes axes)
{
    wg_attr a = make(name, WG_ATTR_AXES);
    a.v.axes = axes;
    return a;
}

wg_attr wg_attr_ints(const char *name, const int64_t *ints, size_t count)
{
    wg_attr a = make(name, WG_ATTR_INTS);
    a.v.ints = ints;
    a.count = count;
    return a;
}

wg_attr wg_attr_shape(const char *name, wg_shape shape)
{
    wg_attr a = make(name, WG_ATTR_SHAPE);
    a.v.shape = shape;
    return a;
}

wg_attr wg_attr_string(const char *name, const char *string)
{
    wg_attr a = make(name, WG_ATTR_STRING);
    a.v.string = string;
    return a;
}

wg_attr wg_attr_fn(const char *name, wg_fn fn)
{
    wg_attr a = make(name, WG_ATTR_FN);
    a.v.fn = fn;
    return a;
}

wg_attr wg_attr_fns(const char *name, const wg_fn *fns, size_t n)
{
    wg_attr a = make(name, WG_ATTR_FNS);
    a.v.fns = fns;
    a.count = n;
    return a;
}

/* ---- building the blob --------------------------------------------------------------------- */

typedef struct builder {
    wg_tape *t;
    const wg__op *op;
    int rank0;
    unsigned char *bytes;
    size_t size, cap;
} builder;

static bool append(builder *b, const void *data, size_t size)
{
    size_t padded = (size + 7) & ~(size_t)7;
    if (!wg__vec_grow(b->t->ctx, &b->bytes, &b->cap, b->size, padded, 1)) {
        wg__tape_no_memory(b->t);
        return false;
    }
    memset(b->bytes + b->size, 0, padded);
    if (size)
        memcpy(b->bytes + b->size, data, size);
    b->size += padded;
    return true;
}

static bool put_list(builder *b, size_t index, const void *data, size_t count, size_t elem)
{
    wg__slot slot = {b->op->sig.attrs[index].kind, (int32_t)count, {0}};
    slot.v.offset = b->size;
    size_t bytes;
    if (count > INT32_MAX || !wg__mul_size(count, elem, &bytes)) {
        wg__tape_fail(b->t, WG_INVALID, "%s: attribute %s is too long", b->op->name,
                      b->op->sig.attrs[index].name);
        return false;
    }
    if (!append(b, data, bytes))
        return false;
    memcpy(b->bytes + index * sizeof slot, &slot, sizeof slot);
    return true;
}

static void put_int(builder *b, size_t index, int64_t value)
{
    wg__slot slot = {b->op->sig.attrs[index].kind, 0, {0}};
    slot.v.i = value;
    memcpy(b->bytes + index * sizeof slot, &slot, sizeof slot);
}

static bool axis_ok(builder *b, const char *name, int64_t *axis)
{
    if (b->rank0 < 0)
        return true;
    if (*axis < -b->rank0 || *axis >= b->rank0) {
        wg__tape_fail(b->t, WG_SHAPE, "%s: %s %lld is out of range for an operand of rank %d",
                      b->op->name, name, (long long)*axis, b->rank0);
        return false;
    }
    if (*axis < 0)
        *axis += b->rank0;
    return true;
}

static bool put_axes(builder *b, size_t index, const wg_axes *axes)
{
    const char *name = b->op->sig.attrs[index].name;
    bool used[WG_MAX_RANK] = {false};
    int64_t list[WG_MAX_RANK];
    size_t n = 0;
    if (axes->count < 0 && b->rank0 < 0) {
        wg__tape_fail(b->t, WG_INVALID, "%s: %s must be listed", b->op->name, name);
        return false;
    }
    if (axes->count > WG_MAX_RANK || axes->count < -1) {
        wg__tape_fail(b->t, WG_INVALID, "%s: %s lists too many axes, at most %d are possible",
                      b->op->name, name, WG_MAX_RANK);
        return false;
    }
    for (int32_t i = 0; i < axes->count; i++) {
        int64_t axis = axes->axis[i];
        if (!axis_ok(b, name, &axis))
            return false;
        if (axis < 0 || axis >= WG_MAX_RANK || used[axis]) {
            wg__tape_fail(b->t, WG_INVALID, "%s: axis %d stands twice in %s", b->op->name,
                          (int)axis, name);
            return false;
        }
        used[axis] = true;
    }
    for (int axis = 0; axis < WG_MAX_RANK; axis++)
        if (axes->count < 0 ? axis < b->rank0 : used[axis])
            list[n++] = axis;
    return put_list(b, index, list, n, sizeof *list);
}

static bool put_shape(builder *b, size_t index, const wg_shape *shape)
{
    int64_t list[2 * WG_MAX_RANK];
    if (shape->rank < 0 || shape->rank > WG_MAX_RANK || !wg__symbols_known(b->t->ctx, shape)) {
        wg__tape_fail(b->t, WG_SHAPE, "%s: %s is not a shape of rank 0 to %d", b->op->name,
                      b->op->sig.attrs[index].name, WG_MAX_RANK);
        return false;
    }
    for (int i = 0; i < shape->rank; i++) {
        list[2 * i] = shape->dim[i];
        list[2 * i + 1] = shape->symbol[i];
    }
    return put_list(b, index, list, (size_t)shape->rank, 2 * sizeof *list);
}

/* The sub-tape's number + 1 in the tape's own table; 0 after an error. */
static uint32_t own_fn(builder *b, size_t index, wg_fn handle)
{
    wg__fn *fn = wg__fn_get(handle);
    if (!fn) {
        wg__tape_fail(b->t, WG_STALE, "%s: %s is not a valid sub-tape", b->op->name,
                      b->op->sig.attrs[index].name);
        return 0;
    }
    uint32_t id = (uint32_t)handle.bits;
    if (handle.tape->ctx != b->t->ctx) {
        wg__tape_fail(b->t, WG_INVALID, "%s: the sub-tape belongs to another context", b->op->name);
        return 0;
    }
    if (handle.tape->root != b->t->root) { /* bodies report errors to their root: no sharing */
        const wg__copy plain = {.all = true};
        wg__fn *copy = wg__fn_copy(b->t, fn, &plain);
        id = copy ? wg__fn_add(b->t, copy) : 0;
        wg__fn_unref(copy);
    } else if (handle.tape != b->t) {
        id = wg__fn_add(b->t, fn);
    }
    return id;
}

static bool put_fn(builder *b, size_t index, wg_fn handle)
{
    uint32_t id = own_fn(b, index, handle);
    if (id)
        put_int(b, index, id);
    return id != 0;
}

/* A list of handles of the tape's own. */
static bool put_fns(builder *b, size_t index, const wg_fn *fns, size_t n)
{
    if (n == 0 || !fns) {
        wg__tape_fail(b->t, WG_INVALID, "%s: %s lists no sub-tape, at least one is needed",
                      b->op->name, b->op->sig.attrs[index].name);
        return false;
    }
    wg_fn *own = wg__calloc(b->t->ctx, n, sizeof *own);
    bool done = own != NULL;
    if (!own)
        wg__tape_no_memory(b->t);
    for (size_t i = 0; i < n && done; i++) {
        uint32_t id = own_fn(b, index, fns[i]);
        done = id != 0;
        own[i] = wg__fn_handle(b->t, id);
    }
    done = done && put_list(b, index, own, n, sizeof *own);
    wg__free(b->t->ctx, own);
    return done;
}

static bool put(builder *b, size_t index, const wg_attr *a)
{
    const wg__attr_spec *spec = &b->op->sig.attrs[index];
    wg_attr v = *a;
    if (spec->kind == WG_ATTR_FLOAT && v.kind == WG_ATTR_INT) {
        v.v.f = (double)v.v.i;
        v.kind = WG_ATTR_FLOAT;
    }
    if (spec->kind == WG_ATTR_AXIS && v.kind == WG_ATTR_INT)
        v.kind = WG_ATTR_AXIS;
    if (v.kind != spec->kind) {
        wg__tape_fail(b->t, WG_INVALID, "%s: attribute %s has another kind", b->op->name,
                      spec->name);
        return false;
    }
    switch (spec->kind) {
    case WG_ATTR_AXIS:
        if (!axis_ok(b, spec->name, &v.v.i))
            return false;
        break;
    case WG_ATTR_BOOL:
        v.v.i = v.v.i != 0;
        break;
    case WG_ATTR_DTYPE:
        if (v.v.i < 0 || v.v.i >= WG_DTYPE_COUNT) {
            wg__tape_fail(b->t, WG_DTYPE, "%s: %s is no dtype", b->op->name, spec->name);
            return false;
        }
        break;
    case WG_ATTR_AXES:
        return put_axes(b, index, &v.v.axes);
    case WG_ATTR_INTS:
        return put_list(b, index, v.v.ints, v.count, sizeof(int64_t));
    case WG_ATTR_SHAPE:
        return put_shape(b, index, &v.v.shape);
    case WG_ATTR_STRING:
        return put_list(b, index, v.v.string ? v.v.string : "",
                        v.v.string ? strlen(v.v.string) + 1 : 1, 1);
    case WG_ATTR_FN:
        return put_fn(b, index, v.v.fn);
    case WG_ATTR_FNS:
        return put_fns(b, index, v.v.fns, v.count);
    default:
        break;
    }
    put_int(b, index, v.v.i); /* int and float share the slot's bits */
    return true;
}

static bool fail_unknown(builder *b, const char *name)
{
    wg__str s = wg__str_make(b->t->ctx);
    for (size_t i = 0; i < b->op->sig.nattrs; i++)
        wg__str_addf(&s, "%s%s", i ? ", " : "", b->op->sig.attrs[i].name);
    wg__tape_fail(b->t, WG_NOT_FOUND, "%s has no attribute \"%s\"; it has: %s", b->op->name,
                  name ? name : "", b->op->sig.nattrs ? wg__str_text(&s) : "none");
    wg__str_free(&s);
    return false;
}

static bool put_all(builder *b, const wg_attr *attrs, size_t nattrs)
{
    const wg__sig *sig = &b->op->sig;
    const wg_attr *given[WG__MAX_ATTRS] = {NULL};
    for (size_t i = 0; i < nattrs; i++) {
        size_t k = 0;
        while (k < sig->nattrs && (!attrs[i].name || strcmp(sig->attrs[k].name, attrs[i].name)))
            k++;
        if (k == sig->nattrs)
            return fail_unknown(b, attrs[i].name);
        if (given[k]) {
            wg__tape_fail(b->t, WG_INVALID, "%s: attribute %s is given twice", b->op->name,
                          attrs[i].name);
            return false;
        }
        given[k] = &attrs[i];
    }
    for (size_t k = 0; k < sig->nattrs; k++) {
        if (!given[k] && sig->attrs[k].required) {
            wg__tape_fail(b->t, WG_INVALID, "%s: attribute %s is missing", b->op->name,
                          sig->attrs[k].name);
            return false;
        }
        if (!put(b, k, given[k] ? given[k] : &sig->attrs[k].standard))
            return false;
    }
    return true;
}

bool wg__attrs_build(wg_tape *t, const wg__op *op, const wg_attr *attrs, size_t nattrs, int rank0,
                     uint32_t *id)
{
    builder b = {t, op, rank0, NULL, 0, 0};
    wg__slot none[WG__MAX_ATTRS];
    memset(none, 0, sizeof none);
    *id = 0;
    bool done = append(&b, none, op->sig.nattrs * sizeof *none) && put_all(&b, attrs, nattrs);
    if (done && b.size) {
        *id = wg__pool_intern(&t->attrs, b.bytes, b.size);
        done = *id != 0;
        if (!done)
            wg__tape_no_memory(t);
    }
    wg__free(t->ctx, b.bytes);
    return done;
}

/* ---- reading -------------------------------------------------------------------------------- */

const void *wg__slot_list(const wg_attrs *a, const wg__slot *slot)
{
    return (const char *)a->slots + slot->v.offset;
}

size_t wg__slot_bytes(const wg__slot *slot)
{
    size_t n = slot->count > 0 ? (size_t)slot->count : 0;
    switch (slot->kind) {
    case WG_ATTR_SHAPE:
        return n * 2 * sizeof(int64_t);
    case WG_ATTR_STRING:
        return n;
    case WG_ATTR_AXES:
    case WG_ATTR_INTS:
        return n * sizeof(int64_t);
    default:
        return 0;
    }
}

static const wg__slot *find_slot(const wg_attrs *a, const char *name, wg_attr_kind kind)
{
    if (a && a->slots)
        for (size_t i = 0; i < a->op->sig.nattrs; i++)
            if (strcmp(a->op->sig.attrs[i].name, name) == 0 &&
                (kind == WG_ATTR_NONE || a->slots[i].kind == kind))
                return &a->slots[i];
    return NULL;
}

int64_t wg_attrs_int(const wg_attrs *attrs, const char *name)
{
    const wg__slot *s = find_slot(attrs, name, WG_ATTR_NONE);
    return s ? s->v.i : 0;
}

double wg_attrs_float(const wg_attrs *attrs, const char *name)
{
    const wg__slot *s = find_slot(attrs, name, WG_ATTR_FLOAT);
    return s ? s->v.f : 0;
}

bool wg_attrs_bool(const wg_attrs *attrs, const char *name)
{
    const wg__slot *s = find_slot(attrs, name, WG_ATTR_BOOL);
    return s && s->v.i;
}

wg_axes wg_attrs_axes(const wg_attrs *attrs, const char *name)
{
    wg_axes axes = {0, {0}};
    const wg__slot *s = find_slot(attrs, name, WG_ATTR_AXES);
    const int64_t *list = s ? wg__slot_list(attrs, s) : NULL;
    for (int32_t i = 0; s && i < s->count; i++)
        axes.axis[axes.count++] = (int32_t)list[i];
    return axes;
}

const int64_t *wg_attrs_ints(const wg_attrs *attrs, const char *name, size_t *count)
{
    const wg__slot *s = find_slot(attrs, name, WG_ATTR_INTS);
    *count = s ? (size_t)s->count : 0;
    return *count ? wg__slot_list(attrs, s) : NULL;
}

static wg_shape slot_shape(const wg_attrs *attrs, const wg__slot *s)
{
    wg_shape shape;
    memset(&shape, 0, sizeof shape);
    const int64_t *list = wg__slot_list(attrs, s);
    shape.rank = s->count;
    for (int32_t i = 0; i < s->count; i++) {
        shape.dim[i] = list[2 * i];
        shape.symbol[i] = (uint32_t)list[2 * i + 1];
    }
    return shape;
}

wg_shape wg_attrs_shape(const wg_attrs *attrs, const char *name)
{
    const wg__slot *s = find_slot(attrs, name, WG_ATTR_SHAPE);
    return s ? slot_shape(attrs, s) : wg_shape_make(NULL, 0);
}

const char *wg_attrs_string(const wg_attrs *attrs, const char *name)
{
    const wg__slot *s = find_slot(attrs, name, WG_ATTR_STRING);
    return s ? wg__slot_list(attrs, s) : NULL;
}

wg_fn wg_attrs_fn(const wg_attrs *attrs, const char *name)
{
    const wg__slot *s = find_slot(attrs, name, WG_ATTR_FN);
    return wg__fn_handle((wg_tape *)(attrs ? attrs->tape : NULL), s ? (uint32_t)s->v.i : 0);
}

bool wg__is_fn_kind(uint32_t kind) { return kind == WG_ATTR_FN || kind == WG_ATTR_FNS; }

bool wg__runs_fns(const wg__op *op)
{
    for (size_t i = 0; i < op->sig.nattrs; i++)
        if (wg__is_fn_kind(op->sig.attrs[i].kind))
            return true;
    return false;
}

size_t wg__slot_nfns(const wg__slot *slot)
{
    return slot->kind == WG_ATTR_FN ? 1 : slot->kind == WG_ATTR_FNS ? (size_t)slot->count : 0;
}

wg__fn *wg__slot_fn(const wg_attrs *a, const wg__slot *slot, size_t k)
{
    uint32_t index = (uint32_t)slot->v.i;
    if (slot->kind == WG_ATTR_FNS)
        index = (uint32_t)((const wg_fn *)wg__slot_list(a, slot))[k].bits;
    return a->tape->fns.data[index - 1].fn;
}

wg_fn wg_attrs_fn_at(const wg_attrs *attrs, size_t which)
{
    wg_tape *t = attrs ? (wg_tape *)attrs->tape : NULL;
    for (size_t i = 0; attrs && attrs->slots && i < attrs->op->sig.nattrs; i++) {
        const wg__slot *s = &attrs->slots[i];
        size_t n = wg__slot_nfns(s);
        if (which < n)
            return s->kind == WG_ATTR_FN ? wg__fn_handle(t, (uint32_t)s->v.i)
                                         : ((const wg_fn *)wg__slot_list(attrs, s))[which];
        which -= n;
    }
    return wg__fn_handle(t, 0);
}

size_t wg_attrs_nfns(const wg_attrs *attrs)
{
    size_t n = 0;
    for (size_t i = 0; attrs && attrs->slots && i < attrs->op->sig.nattrs; i++)
        n += wg__slot_nfns(&attrs->slots[i]);
    return n;
}

wg__fn *wg__node_fn_at(const wg_tape *t, uint32_t id, size_t which)
{
    wg_attrs a = wg__attrs_of(t, id);
    return wg__fn_get(wg_attrs_fn_at(&a, which));
}

wg__fn *wg__node_fn(const wg_tape *t, uint32_t id, const char *name)
{
    wg_attrs a = wg__attrs_of(t, id);
    for (size_t i = 0; a.slots && i < a.op->sig.nattrs; i++)
        if (wg__slot_nfns(&a.slots[i]) && (!name || strcmp(a.op->sig.attrs[i].name, name) == 0))
            return wg__slot_fn(&a, &a.slots[i], 0);
    return NULL;
}

bool wg__attrs_replace_fns(wg_tape *dst, const wg_attrs *from, wg_attr *attrs, size_t nattrs,
                           wg__fn_import import, void *user, wg_fn **room)
{
    size_t n = wg_attrs_nfns(from), at = 0;
    *room = n ? wg__calloc(dst->ctx, n, sizeof **room) : NULL;
    if (n && !*room) {
        wg__tape_no_memory(dst);
        return false;
    }
    for (size_t i = 0; i < nattrs; i++) {
        wg_fn *first = *room + at;
        for (size_t k = 0; k < wg__slot_nfns(&from->slots[i]); k++) {
            uint32_t index = import(user, wg__slot_fn(from, &from->slots[i], k));
            if (!index)
                return false;
            (*room)[at++] = wg__fn_handle(dst, index);
        }
        if (attrs[i].kind == WG_ATTR_FN)
            attrs[i].v.fn = *first;
        else if (attrs[i].kind == WG_ATTR_FNS)
            attrs[i].v.fns = first;
    }
    return true;
}

size_t wg__attrs_doubles(const wg_attrs *a, double *out)
{
    size_t n = 0;
    for (size_t i = 0; a->slots && i < a->op->sig.nattrs; i++) {
        const wg__slot *s = &a->slots[i];
        if (s->kind == WG_ATTR_FLOAT)
            out[n++] = s->v.f;
        else if (s->kind == WG_ATTR_INT || s->kind == WG_ATTR_BOOL || s->kind == WG_ATTR_DTYPE ||
                 s->kind == WG_ATTR_AXIS)
            out[n++] = (double)s->v.i;
    }
    return n;
}

static void export_axes(const wg_attrs *a, const wg__slot *s, wg_axes *axes)
{
    const int64_t *list = wg__slot_list(a, s);
    memset(axes, 0, sizeof *axes);
    for (int32_t i = 0; i < s->count; i++)
        axes->axis[axes->count++] = (int32_t)list[i];
}

static wg_attr export_slot(const wg_attrs *a, size_t index)
{
    const wg__slot *s = &a->slots[index];
    wg_attr out = make_i(a->op->sig.attrs[index].name, (wg_attr_kind)s->kind, s->v.i);
    switch (s->kind) {
    case WG_ATTR_AXES:
        export_axes(a, s, &out.v.axes);
        break;
    case WG_ATTR_INTS:
        out.v.ints = wg__slot_list(a, s);
        out.count = (size_t)s->count;
        break;
    case WG_ATTR_SHAPE:
        out.v.shape = slot_shape(a, s);
        break;
    case WG_ATTR_STRING:
        out.v.string = wg__slot_list(a, s); /* with its NUL */
        break;
    case WG_ATTR_FN:
        out.v.fn = wg__fn_handle((wg_tape *)a->tape, (uint32_t)s->v.i);
        break;
    case WG_ATTR_FNS:
        out.v.fns = wg__slot_list(a, s);
        out.count = (size_t)s->count;
        break;
    default:
        break;
    }
    return out;
}

size_t wg__attrs_export(const wg_attrs *a, wg_attr *out)
{
    size_t n = a->slots ? a->op->sig.nattrs : 0;
    for (size_t i = 0; i < n; i++)
        out[i] = export_slot(a, i);
    return n;
}
