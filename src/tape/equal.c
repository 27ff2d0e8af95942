/* Structural equality and hash of tapes. Ids of nodes are compared as they are (same order);
 * interned things by content; sub-tapes by structure. Capture lists of handles do not count. */
#include <string.h>

#include "tape/tape.h"

static bool same_string(const wg_tape *a, uint32_t sa, const wg_tape *b, uint32_t sb)
{
    return strcmp(wg__text(a, sa), wg__text(b, sb)) == 0;
}

static bool same_scope(const wg_tape *a, uint32_t sa, const wg_tape *b, uint32_t sb)
{
    while (sa && sb) {
        const wg__scope *x = wg__scope_at(a, sa), *y = wg__scope_at(b, sb);
        if (!same_string(a, x->name, b, y->name))
            return false;
        sa = x->parent;
        sb = y->parent;
    }
    return sa == sb;
}

/* Symbols are interned per context, so between contexts only sizes are compared. */
static bool same_type(const wg_tape *a, const wg_type *x, const wg_tape *b, const wg_type *y)
{
    return wg__type_equal(x, y) &&
           (a->ctx != b->ctx || !memcmp(x->shape.symbol, y->shape.symbol, sizeof x->shape.symbol));
}

static bool same_fn(const wg__fn *a, const wg__fn *b)
{
    return a == b ||
           (a->nouts == b->nouts && !memcmp(a->outs, b->outs, a->nouts * sizeof *a->outs) &&
            wg_tape_equal(a->body, b->body));
}

static bool same_list(const wg_attrs *x, const wg_attrs *y, const wg__slot *s, const wg__slot *t)
{
    if (s->count != t->count)
        return false;
    const int64_t *p = wg__slot_list(x, s), *q = wg__slot_list(y, t);
    if (s->kind == WG_ATTR_SHAPE && x->tape->ctx != y->tape->ctx) {
        for (int32_t i = 0; i < s->count; i++)
            if (p[2 * i] != q[2 * i])
                return false;
        return true;
    }
    return !memcmp(p, q, wg__slot_bytes(s));
}

static bool same_fns(const wg_attrs *x, const wg_attrs *y, const wg__slot *s, const wg__slot *t)
{
    size_t n = wg__slot_nfns(s);
    bool same = n == wg__slot_nfns(t);
    for (size_t k = 0; k < n && same; k++)
        same = same_fn(wg__slot_fn(x, s, k), wg__slot_fn(y, t, k));
    return same;
}

static bool same_slot(const wg_attrs *x, const wg_attrs *y, size_t i)
{
    const wg__slot *s = &x->slots[i], *t = &y->slots[i];
    if (s->kind != t->kind)
        return false;
    switch (s->kind) {
    case WG_ATTR_FN:
    case WG_ATTR_FNS:
        return same_fns(x, y, s, t);
    case WG_ATTR_AXES:
    case WG_ATTR_INTS:
    case WG_ATTR_SHAPE:
    case WG_ATTR_STRING:
        return same_list(x, y, s, t);
    default:
        return s->v.i == t->v.i;
    }
}

static bool same_attrs(const wg_tape *a, const wg_tape *b, uint32_t id)
{
    wg_attrs x = wg__attrs_of(a, id), y = wg__attrs_of(b, id);
    if (!x.slots || !y.slots)
        return x.slots == y.slots;
    for (size_t i = 0; i < x.op->sig.nattrs; i++)
        if (!same_slot(&x, &y, i))
            return false;
    return true;
}

static bool same_source(const wg_tape *a, const wg_tape *b, const wg__node *x, const wg__node *y)
{
    if (x->op == WG__OP_LITERAL)
        return x->u.bits == y->u.bits;
    if (x->op != WG__OP_CONST)
        return true;
    const wg_tensor *p = a->consts.data[x->u.bits], *q = b->consts.data[y->u.bits];
    return p->bytes == q->bytes && !memcmp(p->data, q->data, p->bytes);
}

static bool same_node(const wg_tape *a, const wg_tape *b, uint32_t id)
{
    const wg__node *x = wg__node_at(a, id), *y = wg__node_at(b, id);
    const wg__op *p = wg__op_of(a, id), *q = wg__op_of(b, id);
    if ((p != q && strcmp(p->def.sig, q->def.sig)) || x->out != y->out || x->nin != y->nin ||
        x->nout != y->nout || x->origin != y->origin)
        return false;
    if (!same_type(a, wg__type_at(a, id), b, wg__type_at(b, id)) ||
        !same_string(a, x->name, b, y->name) || !same_scope(a, x->scope, b, y->scope))
        return false;
    if (x->out)
        return true;
    if (p->def.flags & WG_OP_SOURCE
            ? !same_source(a, b, x, y)
            : memcmp(wg__operands(a, x), wg__operands(b, y), x->nin * sizeof(uint32_t)))
        return false;
    return same_attrs(a, b, id);
}

static bool same_ids(const uint32_t *x, size_t nx, const uint32_t *y, size_t ny)
{
    return nx == ny && (nx == 0 || !memcmp(x, y, nx * sizeof *x));
}

bool wg_tape_equal(const wg_tape *a, const wg_tape *b)
{
    if (a == b || !a || !b)
        return a == b;
    if (a->nodes.len != b->nodes.len || a->effects.len != b->effects.len ||
        !same_ids(a->inputs.data, a->inputs.len, b->inputs.data, b->inputs.len) ||
        !same_ids(a->params.data, a->params.len, b->params.data, b->params.len) ||
        strcmp(a->name ? a->name : "", b->name ? b->name : ""))
        return false;
    for (size_t i = 0; i < a->effects.len; i++)
        if (memcmp(&a->effects.data[i], &b->effects.data[i], sizeof a->effects.data[i]))
            return false;
    for (uint32_t id = 0; id < a->nodes.len; id++)
        if (!same_node(a, b, id))
            return false;
    return true;
}

/* ---- hash: of what is cheap to fold and the same in every context ------------------------------ */

static uint64_t hash_attrs(const wg_tape *t, uint32_t id, uint64_t h)
{
    wg_attrs a = wg__attrs_of(t, id);
    for (size_t i = 0; a.slots && i < a.op->sig.nattrs; i++) {
        const wg__slot *s = &a.slots[i];
        h = wg__hash_u64(h, (uint64_t)s->count);
        for (size_t k = 0; k < wg__slot_nfns(s); k++)
            h = wg__hash_u64(h, wg_tape_hash(wg__slot_fn(&a, s, k)->body));
        if (s->kind == WG_ATTR_SHAPE)
            for (int32_t k = 0; k < s->count; k++)
                h = wg__hash_u64(h, ((const uint64_t *)wg__slot_list(&a, s))[2 * k]);
        else if (wg__slot_bytes(s))
            h = wg__hash(wg__slot_list(&a, s), wg__slot_bytes(s), h);
        else if (s->kind != WG_ATTR_AXES && s->kind != WG_ATTR_INTS && !wg__is_fn_kind(s->kind))
            h = wg__hash_u64(h, (uint64_t)s->v.i);
    }
    return h;
}

uint64_t wg_tape_hash(const wg_tape *t)
{
    uint64_t h = 1;
    for (uint32_t id = 0; t && id < t->nodes.len; id++) {
        const wg__node *n = wg__node_at(t, id);
        const wg_type *type = wg__type_at(t, id);
        const char *name = wg__op_of(t, id)->name;
        h = wg__hash(name, strlen(name), h);
        h = wg__hash(type->shape.dim, sizeof type->shape.dim, wg__hash_u64(h, type->dtype));
        if (n->op == WG__OP_LITERAL)
            h = wg__hash_u64(h, n->u.bits);
        if (n->nin)
            h = wg__hash(wg__operands(t, n), n->nin * sizeof(uint32_t), h);
        h = hash_attrs(t, id, h);
    }
    return h;
}
