/* cse: values that are computed alike are computed once. The nodes of each tape are numbered in
 * order: a node is the same as an earlier one when op, attributes, type and the numbers of its
 * operands are (exchanged where the op commutes). Random ops are functions of their keys and merge
 * like any other; impure ones never do, nor what runs a body that has one, nor literals that are
 * slots, whatever their values. */
#include <string.h>

#include "pass/pass.h"

/* Larger constants are not compared. */
enum { LARGEST_CONST = 1 << 16 };

/* Tables from LARGE entries on are looked into AHEAD values before. */
enum { LARGE = 1 << 16, AHEAD = 12 };

typedef struct search {
    wg__facts facts; /* of each value: the one it is the same as, at first itself */
    bool *impure;    /* by index in facts.tapes: something in it is impure */
    uint32_t *table; /* of the tape at hand: heads by hash; WG__NONE: free */
    size_t size;     /* of the table, a power of two */
    uint32_t *same;  /* the facts of the tape at hand */
    size_t merged;
} search;

/* ---- bodies -------------------------------------------------------------------------------------- */

static bool has_impure(const search *s, const wg_tape *t)
{
    for (uint32_t id = 0; id < t->nodes.len; id++)
        if (!wg__is_pure(wg__op_of(t, id)) && wg__node_at(t, id)->op != WG__OP_ASSIGN)
            return true;
    for (size_t i = 0; i < t->fns.len; i++) {
        const wg_tape *body = t->fns.data[i].fn->body;
        if (s->impure[wg__pool_find(&s->facts.tapes, &body, sizeof body) - 1])
            return true;
    }
    return false;
}

/* Until nothing changes: bodies stand in no particular order. */
static void find_impure(search *s)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = s->facts.of.len; i-- > 0;)
            if (!s->impure[i] && has_impure(s, wg__bodies_at(&s->facts.tapes, i)))
                changed = s->impure[i] = true;
    }
}

/* Equal bodies of one tape, with all that they run. */
static bool same_body(const wg__fn *a, const wg__fn *b)
{
    return a == b || (a->nouts == b->nouts && a->body->nodes.len == b->body->nodes.len &&
                      !memcmp(a->outs, b->outs, a->nouts * sizeof *a->outs) &&
                      wg_tape_equal(a->body, b->body));
}

/* Equal attributes; sub-tapes may be others with equal bodies. */
static bool same_slot(const wg_attrs *x, const wg_attrs *y, size_t i)
{
    const wg__slot *s = &x->slots[i], *t = &y->slots[i];
    const size_t n = wg__slot_nfns(s), bytes = wg__slot_bytes(s);
    if (s->count != t->count)
        return false;
    for (size_t k = 0; k < n; k++)
        if (!same_body(wg__slot_fn(x, s, k), wg__slot_fn(y, t, k)))
            return false;
    if (bytes)
        return !memcmp(wg__slot_list(x, s), wg__slot_list(y, t), bytes);
    return n || s->v.i == t->v.i;
}

static bool same_attrs(const wg_tape *t, uint32_t a, uint32_t b)
{
    wg_attrs x = wg__attrs_of(t, a), y = wg__attrs_of(t, b);
    if (wg__node_at(t, a)->attrs == wg__node_at(t, b)->attrs)
        return true;
    if (!x.slots || !y.slots || !wg__runs_fns(x.op))
        return false;
    for (size_t i = 0; i < x.op->sig.nattrs; i++)
        if (!same_slot(&x, &y, i))
            return false;
    return true;
}

/* ---- equality of nodes ------------------------------------------------------------------------------ */

static uint32_t operand(const search *s, const wg__node *n, const uint32_t *in, bool swap,
                        uint16_t k)
{
    return s->same[in[swap ? n->nin - 1 - k : k]];
}

/* Whether the two operands of a commutative op are to be read in the other order. */
static bool swapped(const search *s, const wg__op *op, const wg__node *n, const uint32_t *in)
{
    return (op->def.flags & WG_OP_COMMUTATIVE) && n->nin == 2 && s->same[in[0]] > s->same[in[1]];
}

/* The bytes of a constant, or NULL when they are not looked at. */
static const wg_tensor *const_of(const wg_tape *t, const wg__node *n)
{
    const wg_tensor *x = t->consts.data[n->u.bits];
    return x->bytes <= LARGEST_CONST ? x : NULL;
}

static uint64_t hash_source(const wg_tape *t, const wg__node *n, uint64_t h)
{
    if (n->op != WG__OP_CONST)
        return wg__hash_u64(h, n->u.bits);
    const wg_tensor *x = const_of(t, n);
    return x ? wg__hash(x->data, x->bytes, h) : wg__hash_u64(h, n->u.bits);
}

static bool same_source(const wg_tape *t, const wg__node *a, const wg__node *b)
{
    if (a->op != WG__OP_CONST || a->u.bits == b->u.bits)
        return a->u.bits == b->u.bits;
    const wg_tensor *x = const_of(t, a), *y = const_of(t, b);
    return x && y && x->bytes == y->bytes && !memcmp(x->data, y->data, x->bytes);
}

static uint64_t hash_node(const search *s, const wg_tape *t, uint32_t id)
{
    const wg__node *n = wg__node_at(t, id);
    const wg__op *op = wg__op_of(t, id);
    uint64_t h = wg__hash_u64((uint64_t)n->op << 32 | n->type, wg__runs_fns(op) ? 0 : n->attrs);
    if (op->def.flags & WG_OP_SOURCE)
        return hash_source(t, n, h);
    const uint32_t *in = wg__operands(t, n);
    const bool swap = swapped(s, op, n, in);
    for (uint16_t k = 0; k < n->nin; k++)
        h = wg__hash_u64(h, operand(s, n, in, swap, k));
    return h;
}

static bool same_node(const search *s, const wg_tape *t, uint32_t ia, uint32_t ib)
{
    const wg__node *a = wg__node_at(t, ia), *b = wg__node_at(t, ib);
    const wg__op *op = wg__op_of(t, ia);
    if (a->op != b->op || a->type != b->type || a->nin != b->nin || a->nout != b->nout ||
        !same_attrs(t, ia, ib))
        return false;
    if (op->def.flags & WG_OP_SOURCE)
        return same_source(t, a, b);
    const uint32_t *x = wg__operands(t, a), *y = wg__operands(t, b);
    const bool swap_x = swapped(s, op, a, x), swap_y = swapped(s, op, b, y);
    for (uint16_t k = 0; k < a->nin; k++)
        if (operand(s, a, x, swap_x, k) != operand(s, b, y, swap_y, k))
            return false;
    return true;
}

/* ---- numbering ---------------------------------------------------------------------------------------- */

static bool may_merge(const search *s, const wg_tape *t, uint32_t id)
{
    const wg__op *op = wg__op_of(t, id);
    if (op->index == WG__OP_INPUT || op->index == WG__OP_PARAM || !wg__is_pure(op))
        return false;
    if (op->index == WG__OP_LITERAL)
        return !wg__literal_is_slot(t, id);
    if (!wg__runs_fns(op))
        return true;
    const wg__fn *fn;
    for (size_t k = 0; (fn = wg__node_fn_at(t, id, k)); k++) {
        const wg_tape *body = fn->body;
        if (s->impure[wg__pool_find(&s->facts.tapes, &body, sizeof body) - 1])
            return false;
    }
    return true;
}

/* The first node that is the same as `id`, which is entered when there is none. */
static uint32_t find(search *s, const wg_tape *t, uint32_t id)
{
    size_t at = (size_t)hash_node(s, t, id) & (s->size - 1);
    for (; s->table[at] != WG__NONE; at = (at + 1) & (s->size - 1))
        if (same_node(s, t, s->table[at], id))
            return s->table[at];
    return s->table[at] = id;
}

/* Brings the place in the table where node `id` will be looked for into cache, as far as is known
 * so long before: in a large graph waiting for it would take most of the time. */
static void look_ahead(const search *s, const wg_tape *t, size_t id)
{
    if (id < t->nodes.len && !(wg__op_of(t, (uint32_t)id)->def.flags & WG_OP_SOURCE))
        __builtin_prefetch(&s->table[(size_t)hash_node(s, t, (uint32_t)id) & (s->size - 1)]);
}

static void number(search *s, const wg_tape *t, uint32_t *same)
{
    memset(s->table, 0xff, s->size * sizeof *s->table);
    s->same = same;
    for (uint32_t id = 0; id < t->nodes.len; id += wg__node_at(t, id)->nout) {
        if (s->size >= LARGE)
            look_ahead(s, t, (size_t)id + AHEAD);
        uint32_t first = may_merge(s, t, id) ? find(s, t, id) : id;
        s->merged += first != id;
        for (uint32_t k = 0; k < wg__node_at(t, id)->nout; k++)
            same[id + k] = first + k;
    }
}

/* ---- the pass ------------------------------------------------------------------------------------------ */

/* The first of several may be one that nothing needs: the next one then takes its place. */
static bool merge(wg__copy *c, uint32_t id)
{
    search *s = c->user;
    uint32_t *same = wg__facts_of(&s->facts, c->src), first = same[id];
    const wg__node *n = wg__node_at(c->src, id);
    if (first == id)
        return false;
    uint32_t at = c->map[first] == WG__NONE ? same[first] : first;
    if (c->map[at] == WG__NONE) {
        same[first] = id;
        return false;
    }
    for (uint32_t k = 0; k < n->nout; k++)
        c->map[id + k] = c->map[at + k];
    return true;
}

static bool search_make(search *s, const wg__graph *g)
{
    memset(s, 0, sizeof *s);
    if (!wg__facts_make(&s->facts, g))
        return false;
    size_t most = 0;
    for (size_t i = 0; i < s->facts.of.len; i++) {
        size_t len = wg__bodies_at(&s->facts.tapes, i)->nodes.len;
        most = len > most ? len : most;
    }
    for (s->size = 16; s->size < 2 * most;)
        s->size *= 2;
    s->table = wg__calloc(g->ctx, s->size, sizeof *s->table);
    s->impure = wg__calloc(g->ctx, s->facts.of.len, sizeof *s->impure);
    return s->table && s->impure;
}

wg_status wg__pass_cse(wg__graph *g)
{
    search s;
    wg_status status = search_make(&s, g) ? WG_OK : wg__tape_no_memory(g->report);
    if (!status) {
        find_impure(&s);
        for (size_t i = 0; i < s.facts.of.len; i++)
            number(&s, wg__bodies_at(&s.facts.tapes, i), s.facts.of.data[i]);
    }
    if (!status && s.merged) {
        status = wg__graph_rewrite(g, merge, &s, false);
        wg__graph_note(g, "cse", "merged %zu value%s", s.merged, s.merged == 1 ? "" : "s");
    }
    wg__free(g->ctx, s.table);
    wg__free(g->ctx, s.impure);
    wg__facts_free(&s.facts);
    return status;
}
