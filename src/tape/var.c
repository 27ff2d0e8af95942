/* wg_var: values on tapes, literals that have not met a tape yet, and the marks that stand for
 * absent, disconnected and failed values. A literal or mark is told by the address in var.tape. */
#include <string.h>

#include "tape/tape.h"

enum kind {
    LIT_F,
    LIT_I,
    LIT_B,
    LIT_FAILED, /* an op between literals: bits is the op */
    NONE,
    DISCONNECTED,
    NOT_DIFFERENTIABLE,
    INVALID,
    KINDS
};

/* Only the addresses count. */
static const wg_tape sentinel[KINDS];

static wg_var make(enum kind kind, uint64_t bits)
{
    wg_var v = {(wg_tape *)&sentinel[kind], bits};
    return v;
}

static bool is(wg_var v, enum kind kind) { return v.tape == &sentinel[kind]; }

wg_var wg_f(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return make(LIT_F, bits);
}

wg_var wg_i(int64_t value) { return make(LIT_I, (uint64_t)value); }

wg_var wg_b(bool value) { return make(LIT_B, value); }

wg_var wg_none(void) { return make(NONE, 0); }

wg_var wg_disconnected(void) { return make(DISCONNECTED, 0); }

wg_var wg_not_differentiable(void) { return make(NOT_DIFFERENTIABLE, 0); }

wg_var wg__invalid(void) { return make(INVALID, 0); }

wg_var wg__failed_literal(uint16_t op) { return make(LIT_FAILED, op); }

bool wg_is_none(wg_var v) { return is(v, NONE); }

bool wg__is_disconnected(wg_var v) { return is(v, DISCONNECTED); }

bool wg__is_not_differentiable(wg_var v) { return is(v, NOT_DIFFERENTIABLE); }

bool wg__is_literal(wg_var v) { return is(v, LIT_F) || is(v, LIT_I) || is(v, LIT_B); }

bool wg__is_invalid(wg_var v) { return !v.tape || is(v, INVALID); }

wg_tape *wg_tape_of(wg_var v)
{
    return !v.tape || (v.tape >= sentinel && v.tape < sentinel + KINDS) ? NULL : v.tape;
}

double wg__literal_value(wg_var v)
{
    double f;
    memcpy(&f, &v.bits, sizeof f);
    return is(v, LIT_F) ? f : (double)(int64_t)v.bits;
}

wg_dtype wg__literal_dtype(wg_var v)
{
    return is(v, LIT_F) ? WG_F64 : is(v, LIT_I) ? WG_I64 : WG_BOOL;
}

uint32_t wg__find(const wg_tape *t, wg_var v)
{
    uint32_t id = (uint32_t)v.bits;
    if (v.tape != t || !t || id >= t->nodes.len || wg__node_at(t, id)->gen != v.bits >> 32)
        return WG__NONE;
    return id;
}

bool wg_ok(wg_var var)
{
    wg_tape *t = wg_tape_of(var);
    return t ? wg__find(t, var) != WG__NONE : wg__is_literal(var);
}

wg_type wg_typeof(wg_var var)
{
    wg_type type;
    memset(&type, 0, sizeof type);
    wg_tape *t = wg_tape_of(var);
    if (t && wg_ok(var))
        return *wg__type_at(t, (uint32_t)var.bits);
    if (wg__is_literal(var))
        type.dtype = wg__literal_dtype(var);
    else
        type.shape.rank = -1;
    return type;
}

wg_var wg_name(wg_var var, const char *name)
{
    wg_tape *t = wg_tape_of(var);
    if (!t || !name)
        return var;
    uint32_t id = wg__find(t, var);
    if (id == WG__NONE) {
        wg__tape_fail(t, WG_STALE, "name \"%s\": the value is stale", name);
        return wg__invalid();
    }
    const uint16_t op = wg__node_at(t, id)->op;
    if (op == WG__OP_INPUT || op == WG__OP_PARAM) {
        wg__tape_fail(t, WG_INVALID, "name \"%s\": inputs and params keep the name they have",
                      name);
        return var;
    }
    uint32_t string = wg__intern_string(t, name);
    if (!string && *name)
        return wg__invalid();
    t->nodes.data[id].name = string;
    return var;
}

const char *wg_name_of(wg_var var)
{
    wg_tape *t = wg_tape_of(var);
    uint32_t id = t ? wg__find(t, var) : WG__NONE;
    return id == WG__NONE ? "" : wg__text(t, wg__node_at(t, id)->name);
}

/* ---- vars to ids -------------------------------------------------------------------------------- */

/* The id on sub-tape `t` of what stands on its parent as `outer`: the capture, made when new. */
static uint32_t capture(wg_tape *t, uint32_t outer)
{
    for (size_t i = 0; i < t->captures.len; i++)
        if (t->captures.data[i].outer == outer)
            return t->captures.data[i].inner;
    const wg__node *o = wg__node_at(t->parent, outer);
    uint32_t scope = t->scope, origin = t->origin;
    t->scope = t->origin = 0;
    uint32_t inner = wg__push_source(t, WG__OP_INPUT, 0, 0, wg__type_at(t->parent, outer));
    t->scope = scope;
    t->origin = origin;
    if (inner == WG__NONE)
        return inner;
    t->nodes.data[inner].name = wg__intern_string(t, wg__text(t->parent, o->name));
    wg__capture c = {outer, inner};
    if (!wg__vec_reserve(t->ctx, &t->captures, 1) || !wg__vec_push(t->ctx, &t->inputs, inner)) {
        wg__tape_no_memory(t);
        return WG__NONE;
    }
    wg__vec_push(t->ctx, &t->captures, c);
    return inner;
}

static bool encloses(const wg_tape *outer, const wg_tape *t)
{
    while (t && t != outer)
        t = t->parent;
    return t != NULL;
}

/* Nesting is shallow: recursion over sub-tapes. */
static uint32_t resolve(wg_tape *t, wg_tape *owner, uint32_t id)
{
    if (t == owner)
        return id;
    uint32_t outer = resolve(t->parent, owner, id);
    return outer == WG__NONE ? outer : capture(t, outer);
}

uint32_t wg__resolve(wg_tape *t, wg_var v, const char *what)
{
    wg_tape *owner = wg_tape_of(v);
    if (wg__is_invalid(v))
        return WG__NONE;
    if (is(v, LIT_FAILED)) {
        wg__tape_fail(t, WG_INVALID,
                      "%s: an operand is the result of %s between literals alone, which belongs to "
                      "no tape; compute it in C or give one of them a dtype and tape",
                      what, wg__op_at(t->ctx, v.bits)->name);
        return WG__NONE;
    }
    if (!owner) {
        wg__tape_fail(t, WG_INVALID, "%s: an operand is %s", what,
                      wg_is_none(v) ? "absent (wg_none)" : "no value of a tape");
        return WG__NONE;
    }
    if (wg__find(owner, v) == WG__NONE) {
        wg__tape_fail(t, WG_STALE, "%s: an operand is stale: its tape was rewound past it", what);
        return WG__NONE;
    }
    if (!encloses(owner, t)) {
        wg__tape_fail(t, WG_INVALID,
                      "%s: an operand belongs to another tape, or to a sub-tape that does not "
                      "enclose this one",
                      what);
        return WG__NONE;
    }
    return resolve(t, owner, (uint32_t)v.bits);
}
