/* Recording: from operands and attributes to a node. Everything that makes nodes ends in push();
 * wg__unary and wg__binary are the short way for elementwise ops whose operands agree in type. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "tape/infer.h"

uint32_t wg__intern_type(wg_tape *t, const wg_type *type)
{
    wg_type canonical;
    wg__type_canonical(type, &canonical);
    uint32_t id = wg__pool_intern(&t->types, &canonical, sizeof canonical);
    if (!id)
        wg__tape_no_memory(t);
    return id;
}

uint32_t wg__intern_string(wg_tape *t, const char *text)
{
    if (!text || !*text)
        return 0;
    uint32_t id = wg__pool_intern(&t->strings, text, strlen(text));
    if (!id)
        wg__tape_no_memory(t);
    return id;
}

/* ---- pushing ------------------------------------------------------------------------------------ */

static bool writable(wg_tape *t)
{
    if (!t->closed)
        return true;
    wg__tape_fail(t, WG_INVALID, "the sub-tape \"%s\" is closed: nothing can be added",
                  t->name ? t->name : "");
    return false;
}

/* Appends entries for one node; types[i] are interned ids. */
static uint32_t push(wg_tape *t, wg__node n, const uint32_t *in, const uint32_t *types)
{
    if (!writable(t))
        return WG__NONE;
    if (t->nodes.len + n.nout >= WG__NONE || t->operands.len + n.nin >= WG__NONE) {
        wg__tape_fail(t, WG_INVALID, "the tape is full: at most 2^32 - 1 values");
        return WG__NONE;
    }
    if (!wg__vec_reserve(t->ctx, &t->nodes, n.nout) ||
        (n.nin > 2 && !wg__vec_reserve(t->ctx, &t->operands, n.nin))) {
        wg__tape_no_memory(t);
        return WG__NONE;
    }
    if (n.nin > 2) {
        n.u.offset = (uint32_t)t->operands.len;
        memcpy(t->operands.data + t->operands.len, in, n.nin * sizeof *in);
        t->operands.len += n.nin;
    } else {
        for (uint16_t i = 0; i < n.nin; i++)
            n.u.in[i] = in[i];
    }
    n.scope = t->scope;
    n.origin = t->origin;
    n.gen = t->gen;
    uint32_t id = (uint32_t)t->nodes.len;
    for (n.out = 0; n.out < n.nout; n.out++) {
        n.type = types[n.out];
        t->nodes.data[t->nodes.len++] = n;
    }
    return id;
}

uint32_t wg__push(wg_tape *t, uint16_t op, const uint32_t *in, size_t nin, uint32_t attrs,
                  const wg_type *types, size_t nout)
{
    uint32_t few[WG__INLINE_TYPES], *ids = few, id = WG__NONE;
    if (nin > UINT16_MAX || nout > UINT16_MAX || nout == 0) {
        wg__tape_fail(t, WG_INVALID, "%s: %zu operands and %zu outputs; at most 65535 of each",
                      wg__op_at(t->ctx, op)->name, nin, nout);
        return WG__NONE;
    }
    if (nout > WG__INLINE_TYPES && !(ids = wg__calloc(t->ctx, nout, sizeof *ids))) {
        wg__tape_no_memory(t);
        return WG__NONE;
    }
    wg__node n;
    memset(&n, 0, sizeof n);
    n.op = op;
    n.nin = (uint16_t)nin;
    n.nout = (uint16_t)nout;
    n.attrs = attrs;
    for (size_t i = 0; i < nout; i++)
        if (!(ids[i] = wg__intern_type(t, &types[i])))
            goto done;
    id = push(t, n, in, ids);
done:
    if (ids != few)
        wg__free(t->ctx, ids);
    return id;
}

uint32_t wg__push_source(wg_tape *t, uint16_t op, uint64_t bits, uint32_t attrs,
                         const wg_type *type)
{
    uint32_t type_id = wg__intern_type(t, type);
    wg__node n;
    memset(&n, 0, sizeof n);
    n.op = op;
    n.nout = 1;
    n.attrs = attrs;
    n.u.bits = bits;
    return type_id ? push(t, n, NULL, &type_id) : WG__NONE;
}

/* ---- literals ----------------------------------------------------------------------------------- */

/* The bits of literal `v` as `dtype`; false when its value does not fit. */
static bool literal_bits(wg_var v, wg_dtype dtype, uint64_t *bits)
{
    double f = wg__literal_value(v);
    int64_t i = (int64_t)v.bits;
    if (wg_dtype_is_float(dtype)) {
        const bool fits = dtype == WG_F64 || !isfinite(f) || fabs(f) <= FLT_MAX;
        if (dtype == WG_F32 && isfinite(f) && fits)
            f = (double)(float)f; /* the number that kernels will see */
        memcpy(bits, &f, sizeof *bits);
        return fits;
    }
    if (wg__literal_dtype(v) == WG_F64) {
        if (!(fabs(f) < 0x1p63) || f != floor(f))
            return false;
        i = (int64_t)f;
    }
    *bits = (uint64_t)i;
    return dtype == WG_I64 ||
           (dtype == WG_I32 ? i >= INT32_MIN && i <= INT32_MAX : i == 0 || i == 1);
}

wg_var wg__materialise(wg_tape *t, wg_var v, wg_dtype dtype)
{
    uint64_t bits;
    if (!wg__is_literal(v))
        return v;
    wg_type type;
    memset(&type, 0, sizeof type);
    type.dtype = dtype;
    if (!literal_bits(v, dtype, &bits)) {
        wg__tape_fail(t, WG_RANGE, "literal %.17g does not fit %s", wg__literal_value(v),
                      wg_dtype_name(dtype));
        return wg__invalid();
    }
    uint32_t id = wg__push_source(t, WG__OP_LITERAL, bits, 0, &type);
    return id == WG__NONE ? wg__invalid() : wg__var(t, id);
}

/* The dtype that a literal takes from the other operands: that of the first operand of a fitting
 * kind, else the literal's own (floats: f32). Never one that would lose the literal's meaning. */
static wg_dtype literal_dtype(const wg__op *op, const wg_var *ins, size_t nin, size_t at)
{
    wg_dtype own = wg__literal_dtype(ins[at]);
    size_t k = at < op->sig.nin ? at : op->sig.nin - 1;
    bool integer = op->sig.cls[k] == WG__INT;
    for (size_t i = 0; i < nin && own != WG_BOOL; i++) {
        if (!wg_tape_of(ins[i]))
            continue;
        wg_dtype d = wg_typeof(ins[i]).dtype;
        if (wg_dtype_is_float(d) ? !integer : d != WG_BOOL && own == WG_I64)
            return d;
    }
    return own == WG_F64 ? WG_F32 : own;
}

/* ---- recording ---------------------------------------------------------------------------------- */

/* The innermost tape among the operands' and `t`. */
static wg_tape *innermost(wg_tape *t, const wg_var *ins, size_t nin)
{
    for (size_t i = 0; i < nin; i++) {
        wg_tape *o = wg_tape_of(ins[i]);
        if (o && (!t || o->depth > t->depth))
            t = o;
    }
    return t;
}

static bool count_fits(wg_tape *t, const wg__op *op, size_t nin)
{
    const wg__sig *sig = &op->sig;
    if (sig->star ? nin + 1 >= sig->nin : nin == sig->nin)
        return true;
    wg__tape_fail(t, WG_INVALID, "%s takes %s%zu operand%s, not %zu: %s", op->name,
                  sig->star ? "at least " : "", sig->star ? sig->nin - 1 : sig->nin,
                  sig->nin == 1 ? "" : "s", nin, op->def.sig);
    return false;
}

/* The operands' ids; false after an error or when an operand is invalid (silently). */
static bool resolve_all(wg_tape *t, const wg__op *op, const wg_var *ins, size_t nin, uint32_t *ids)
{
    for (size_t i = 0; i < nin; i++)
        if (wg__is_invalid(ins[i]))
            return false;
    for (size_t i = 0; i < nin; i++) {
        wg_var v = ins[i];
        if (wg__is_literal(v))
            v = wg__materialise(t, v, literal_dtype(op, ins, nin, i));
        ids[i] = wg__resolve(t, v, op->name);
        if (ids[i] == WG__NONE)
            return false;
    }
    return true;
}

static uint32_t record(wg_tape *t, const wg__op *op, const uint32_t *ids, size_t nin,
                       const wg_attr *attrs, size_t nattrs, size_t *nout)
{
    const wg_type *few[WG__INLINE_TYPES], **in = few;
    uint32_t id = WG__NONE, attrs_id;
    if (nin > WG__INLINE_TYPES && !(in = wg__calloc(t->ctx, nin, sizeof *in))) {
        wg__tape_no_memory(t);
        return id;
    }
    for (size_t i = 0; i < nin; i++)
        in[i] = wg__type_at(t, ids[i]);
    wg__inferred inferred;
    if (wg__attrs_build(t, op, attrs, nattrs, nin ? in[0]->shape.rank : -1, &attrs_id) &&
        wg__infer(t, op, ids, in, nin, attrs_id, &inferred) == WG_OK) {
        id = wg__push(t, op->index, ids, nin, inferred.attrs, inferred.types, inferred.nout);
        *nout = inferred.nout;
        wg__inferred_free(t, &inferred);
    }
    if (in != few)
        wg__free(t->ctx, in);
    return id;
}

static void fill(wg_var *outs, size_t n, wg_var v)
{
    for (size_t i = 0; i < n; i++)
        outs[i] = v;
}

wg_status wg__record(wg_tape *t, uint16_t index, const wg_var *ins, size_t nin,
                     const wg_attr *attrs, size_t nattrs, wg_var *outs, size_t max_outs)
{
    uint32_t few[WG__INLINE_TYPES], *ids = few, id = WG__NONE;
    size_t nout = 0;
    t = innermost(t, ins, nin);
    if (!t) {
        bool literals = nin && !wg__is_invalid(ins[0]);
        fill(outs, max_outs, literals ? wg__failed_literal(index) : wg__invalid());
        return WG_INVALID;
    }
    const wg__op *op = wg__op_at(t->ctx, index);
    if (nin > WG__INLINE_TYPES && !(ids = wg__calloc(t->ctx, nin, sizeof *ids)))
        wg__tape_no_memory(t);
    else if (writable(t) && count_fits(t, op, nin) && resolve_all(t, op, ins, nin, ids))
        id = record(t, op, ids, nin, attrs, nattrs, &nout);
    if (ids != few)
        wg__free(t->ctx, ids);
    fill(outs, max_outs, wg__invalid()); /* only now: outs may be ins */
    for (size_t i = 0; i < nout && i < max_outs && id != WG__NONE; i++)
        outs[i] = wg__var(t, id + (uint32_t)i);
    if (id != WG__NONE)
        return WG_OK;
    return wg_tape_status(t) ? wg_tape_status(t) : WG_INVALID;
}

wg_var wg__record1(uint16_t op, const wg_var *ins, size_t nin, const wg_attr *attrs, size_t nattrs)
{
    wg_var out;
    wg__record(NULL, op, ins, nin, attrs, nattrs, &out, 1);
    return out;
}

/* ---- the short way -------------------------------------------------------------------------------- */

/* Output type id when all operands have type id `type`, or 0: take the long way. */
static uint32_t same_type(wg_tape *t, uint16_t index, uint32_t type)
{
    wg_dtype d = ((const wg_type *)t->types.entries.data[type - 1].data)->dtype;
    return wg__op_at(t->ctx, index)->same[d] == (int)d ? type : 0;
}

wg_var wg__unary(uint16_t op, wg_var a)
{
    wg_tape *t = wg_tape_of(a);
    uint32_t id = t ? wg__find(t, a) : WG__NONE;
    uint32_t type = id != WG__NONE ? same_type(t, op, wg__node_at(t, id)->type) : 0;
    if (!type)
        return wg__record1(op, &a, 1, NULL, 0);
    wg__node n = {op, 0, 1, 1, type, 0, 0, 0, 0, 0, {{0, 0}}};
    id = push(t, n, &id, &type);
    return id == WG__NONE ? wg__invalid() : wg__var(t, id);
}

wg_var wg__binary(uint16_t op, wg_var a, wg_var b)
{
    wg_tape *t = wg_tape_of(a);
    uint32_t in[2] = {t ? wg__find(t, a) : WG__NONE, t ? wg__find(t, b) : WG__NONE};
    if (in[0] != WG__NONE && in[1] != WG__NONE) {
        uint32_t type = wg__node_at(t, in[0])->type;
        if (type == wg__node_at(t, in[1])->type && (type = same_type(t, op, type))) {
            wg__node n = {op, 0, 2, 1, type, 0, 0, 0, 0, 0, {{0, 0}}};
            uint32_t id = push(t, n, in, &type);
            return id == WG__NONE ? wg__invalid() : wg__var(t, id);
        }
    }
    wg_var both[2] = {a, b};
    return wg__record1(op, both, 2, NULL, 0);
}

wg_status wg_apply(wg_tape *tape, const char *name, const wg_var *ins, size_t nins,
                   const wg_attr *attrs, size_t nattrs, wg_var *outs, size_t max_outs)
{
    const wg__op *op = tape && name ? wg__op_find(tape->ctx, name) : NULL;
    if (!op || (op->def.flags & (WG_OP_SOURCE | WG_OP_EFFECT))) {
        fill(outs, max_outs, wg__invalid());
        return !tape ? WG_INVALID
               : op  ? wg__tape_fail(tape, WG_INVALID, "%s has its own function: wg_%s", name, name)
                     : wg__tape_fail(tape, WG_NOT_FOUND, "there is no op \"%s\"", name ? name : "");
    }
    return wg__record(tape, op->index, ins, nins, attrs, nattrs, outs, max_outs);
}
