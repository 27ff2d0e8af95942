/* The bodies of the loops of a tape, numbered together: values that are equal in every step get one
 * number. A carry is numbered by its history, a sequence by what it holds, an invariant by the value
 * outside; a node by op, attributes, types and the numbers of its operands. */
#include <string.h>

#include "pass/save.h"

/* What a key begins with. */
enum { SEQUENCE, CARRY, INVARIANT, LITERAL, CONSTANT, NODE, OUTPUT, ALONE };

/* Constants of more bytes are compared by themselves. */
enum { LARGEST_CONST = 4096 };

/* ---- keys ------------------------------------------------------------------------------------------- */

static bool put(wg__numbering *nb, uint64_t word) { return wg__vec_push(nb->ctx, &nb->key, word); }

static bool put_bytes(wg__numbering *nb, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
        uint64_t word = 0;
        memcpy(&word, (const char *)bytes + i, size - i < sizeof word ? size - i : sizeof word);
        if (!put(nb, word))
            return false;
    }
    return true;
}

static bool put_type(wg__numbering *nb, const wg_type *type)
{
    return put(nb, (uint64_t)type->dtype << 32 | (uint32_t)type->shape.rank) &&
           put_bytes(nb, type->shape.dim, (size_t)type->shape.rank * sizeof *type->shape.dim);
}

/* The number of the key in nb->key, which is emptied; 0: out of memory. */
static uint32_t number_of_key(wg__numbering *nb)
{
    uint32_t id = wg__pool_intern(&nb->keys, nb->key.data, nb->key.len * sizeof *nb->key.data);
    nb->key.len = 0;
    while (id && nb->numbers.len < id)
        if (!wg__vec_push(nb->ctx, &nb->numbers,
                          ((wg__number){WG__NONE, WG__NONE, WG__NONE, false, false})))
            return 0;
    return id;
}

static uint32_t number3(wg__numbering *nb, uint64_t tag, uint64_t a, uint64_t b)
{
    nb->key.len = 0;
    return put(nb, tag) && put(nb, a) && put(nb, b) ? number_of_key(nb) : 0;
}

/* ---- bodies ----------------------------------------------------------------------------------------- */

static bool has_impure(wg__numbering *nb, const wg_tape *t, bool *good)
{
    wg__pool bodies;
    bool impure = false;
    wg__pool_init(&bodies, nb->ctx);
    *good = wg__bodies_find(&bodies, t);
    for (size_t i = 0; *good && i < bodies.entries.len && !impure; i++) {
        const wg_tape *at = wg__bodies_at(&bodies, i);
        for (uint32_t id = 0; id < at->nodes.len && !impure; id++)
            impure = !wg__is_pure(wg__op_of(at, id));
    }
    wg__pool_free(&bodies);
    return impure;
}

/* Those that run bodies themselves are taken as they are. */
static bool same_body(const wg__fn_kind *k, const wg__fn *fn, uint64_t hash)
{
    return k->hash == hash && k->fn->body->fns.len == 0 && fn->body->fns.len == 0 &&
           k->fn->nouts == fn->nouts &&
           !memcmp(k->fn->outs, fn->outs, fn->nouts * sizeof *fn->outs) &&
           wg_tape_equal(k->fn->body, fn->body);
}

/* Index + 1 of fn's kind; 0: out of memory. */
static uint32_t kind_of(wg__numbering *nb, wg__fn *fn)
{
    uint32_t id = wg__pool_find(&nb->fns, &fn, sizeof(wg__fn *));
    if (id)
        return nb->fn_kind.data[id - 1] + 1;
    uint64_t hash = fn->body->fns.len ? 0 : wg_tape_hash(fn->body);
    uint32_t kind = 0;
    bool good = true;
    while (kind < nb->kinds.len && !same_body(&nb->kinds.data[kind], fn, hash))
        kind++;
    if (kind == nb->kinds.len) {
        wg__fn_kind k = {fn, hash, has_impure(nb, fn->body, &good)};
        good = good && wg__vec_push(nb->ctx, &nb->kinds, k);
    }
    good = good && wg__vec_push(nb->ctx, &nb->fn_kind, kind) &&
           wg__pool_intern(&nb->fns, &fn, sizeof(wg__fn *));
    return good ? kind + 1 : 0;
}

/* Attributes, sub-tapes by their kinds. *impure: one of them has something impure in it. */
static bool put_attrs(wg__numbering *nb, const wg_tape *t, uint32_t id, bool *impure)
{
    wg_attrs a = wg__attrs_of(t, id);
    for (size_t i = 0; a.slots && i < a.op->sig.nattrs; i++) {
        const wg__slot *s = &a.slots[i];
        const size_t nfns = wg__slot_nfns(s), bytes = wg__slot_bytes(s);
        bool good = put(nb, (uint64_t)s->kind << 32 | (uint32_t)s->count);
        for (size_t k = 0; k < nfns && good; k++) {
            uint32_t kind = kind_of(nb, wg__slot_fn(&a, s, k));
            *impure |= kind && nb->kinds.data[kind - 1].impure;
            good = kind && put(nb, kind);
        }
        if (bytes)
            good = good && put_bytes(nb, wg__slot_list(&a, s), bytes);
        else if (!nfns && s->kind != WG_ATTR_AXES && s->kind != WG_ATTR_INTS &&
                 s->kind != WG_ATTR_SHAPE && s->kind != WG_ATTR_STRING)
            good = good && put(nb, (uint64_t)s->v.i);
        if (!good)
            return false;
    }
    return true;
}

/* ---- values ------------------------------------------------------------------------------------------ */

static uint32_t number_const(wg__numbering *nb, const wg_tape *t, const wg__node *n)
{
    const wg_tensor *x = t->consts.data[n->u.bits];
    size_t at = 0;
    nb->key.len = 0;
    if (x->bytes <= LARGEST_CONST)
        return put(nb, CONSTANT) && put_type(nb, &x->type) && put_bytes(nb, x->data, x->bytes)
                   ? number_of_key(nb)
                   : 0;
    while (at < nb->consts.len) {
        const wg_tensor *y = nb->consts.data[at];
        if (wg__type_equal(&x->type, &y->type) && !memcmp(x->data, y->data, x->bytes))
            break;
        at++;
    }
    if (at == nb->consts.len && !wg__vec_push(nb->ctx, &nb->consts, x))
        return 0;
    return number3(nb, CONSTANT, UINT64_MAX, at);
}

static uint32_t number_source(wg__numbering *nb, uint32_t loop, uint32_t id)
{
    const wg__numbered *l = &nb->loops.data[loop];
    const wg_tape *t = l->s.fn->body;
    const wg__node *n = wg__node_at(t, id);
    uint32_t number = 0;
    if (n->op == WG__OP_LITERAL)
        number = number3(nb, LITERAL, wg__type_at(t, id)->dtype, n->u.bits);
    else if (n->op == WG__OP_CONST)
        number = number_const(nb, t, n);
    else
        return number3(nb, ALONE, l->s.id, id);
    if (number)
        wg__number_at(nb, number)->fixed = true;
    return number;
}

static bool is_fixed(const wg__numbering *nb, const wg__numbered *l, const wg__node *n)
{
    const uint32_t *in = wg__operands(l->s.fn->body, n);
    for (uint16_t k = 0; k < n->nin; k++)
        if (!wg__number_at(nb, l->number[in[k]])->fixed)
            return false;
    return true;
}

static uint32_t node_key(wg__numbering *nb, const wg__numbered *l, uint32_t id, bool *impure)
{
    const wg_tape *t = l->s.fn->body;
    const wg__node *n = wg__node_at(t, id);
    const wg__op *op = wg__op_of(t, id);
    const uint32_t *in = wg__operands(t, n);
    nb->key.len = 0;
    bool good = put(nb, NODE) && put(nb, (uint64_t)n->op << 32 | n->nout) && put(nb, n->nin);
    for (uint32_t k = 0; k < n->nout && good; k++)
        good = put_type(nb, wg__type_at(t, id + k));
    const bool swap =
        (op->def.flags & WG_OP_COMMUTATIVE) && n->nin == 2 && l->number[in[0]] > l->number[in[1]];
    for (uint16_t k = 0; k < n->nin && good; k++)
        good = put(nb, l->number[in[swap ? 1 - k : k]]);
    return good && put_attrs(nb, t, id, impure) ? number_of_key(nb) : 0;
}

/* Numbers a node of a body; false: out of memory. */
static bool number_node(wg__numbering *nb, uint32_t loop, uint32_t id, bool live)
{
    wg__numbered *l = &nb->loops.data[loop];
    const wg_tape *t = l->s.fn->body;
    const wg__node *n = wg__node_at(t, id);
    bool impure = !wg__is_pure(wg__op_of(t, id));
    uint32_t base = node_key(nb, l, id, &impure);
    if (base && impure)
        base = number3(nb, ALONE, l->s.id, id);
    const bool fixed = !impure && is_fixed(nb, l, n);
    bool provides = live && !impure;
    for (uint32_t k = 0; k < n->nout; k++) /* all outputs of a node or none */
        provides = provides && wg__type_at(t, id + k)->shape.rank < WG_MAX_RANK;
    for (uint32_t k = 0; k < n->nout && base; k++) {
        uint32_t number = n->nout == 1 ? base : number3(nb, OUTPUT, base, k);
        if (!number)
            return false;
        wg__number *v = wg__number_at(nb, number);
        v->fixed = fixed;
        if (v->loop == WG__NONE && provides) {
            v->loop = loop;
            v->id = id + k;
        }
        l->number[id + k] = number;
    }
    return base != 0;
}

/* ---- loops ------------------------------------------------------------------------------------------- */

/* The number of operand `i` inside. */
static uint32_t number_operand(wg__numbering *nb, const wg__numbered *l, size_t i)
{
    const wg__scan *s = &l->s;
    uint32_t number, outer = s->in[i];
    if (i < s->x0)
        return number3(nb, CARRY, s->id, i);
    if (i >= s->w0) {
        number = number3(nb, INVARIANT, outer, 0);
        if (number)
            wg__number_at(nb, number)->fixed = true;
        return number;
    }
    number = nb->steps[outer] == l->steps ? nb->sequence[outer] : 0;
    if (!number)
        number = number3(nb, SEQUENCE, l->steps, outer);
    if (number && wg__number_at(nb, number)->at == WG__NONE)
        wg__number_at(nb, number)->at = outer;
    return number;
}

/* What the outputs of the loop hold: per-step outputs and histories. */
static void number_outputs(wg__numbering *nb, const wg__numbered *l)
{
    const wg__scan *s = &l->s;
    for (size_t k = s->y0; k < s->hist0 + s->ncarry; k++) {
        const bool history = k >= s->hist0;
        if (k >= s->sum0 && !history)
            continue;
        uint32_t inner = history ? wg__scan_formal(s, k - s->hist0) : s->fn->outs[k];
        uint32_t outer = s->id + (uint32_t)k, number = l->number[inner];
        if (wg__type_at(s->fn->body, inner)->shape.rank == WG_MAX_RANK)
            continue;
        nb->sequence[outer] = number;
        nb->steps[outer] = l->steps;
        if (wg__number_at(nb, number)->at == WG__NONE)
            wg__number_at(nb, number)->at = outer;
    }
}

/* Loops that run the same steps have equal numbers of them. */
static uint32_t steps_of(const wg__numbering *nb, const wg__scan *s)
{
    for (size_t k = 0; k < nb->loops.len; k++) {
        const wg__scan *o = &nb->loops.data[k].s;
        if (o->length.dim[0] == s->length.dim[0] && o->counted == s->counted &&
            (!s->counted || o->in[o->count] == s->in[s->count]))
            return nb->loops.data[k].steps;
    }
    return (uint32_t)nb->loops.len + 1;
}

static bool number_loop(wg__numbering *nb, const wg__scan *s)
{
    const wg_tape *body = s->fn->body;
    wg__numbered l = {*s, steps_of(nb, s),
                      wg__calloc(nb->ctx, body->nodes.len + 1, sizeof(uint32_t))};
    bool *live = wg__calloc(nb->ctx, body->nodes.len + 1, sizeof *live);
    const uint32_t at = (uint32_t)nb->loops.len;
    if (!l.number || !live || !wg__vec_push(nb->ctx, &nb->loops, l)) {
        wg__free(nb->ctx, l.number);
        wg__free(nb->ctx, live);
        return false;
    }
    wg__mark_read(body, s->fn->outs, s->fn->nouts, live);
    bool good = true;
    for (size_t i = 0; i < s->count && good; i++)
        good = (l.number[wg__scan_formal(s, i)] = number_operand(nb, &l, i)) != 0;
    for (uint32_t id = 0; id < body->nodes.len && good; id += wg__node_at(body, id)->nout) {
        bool any = false;
        for (uint32_t k = 0; k < wg__node_at(body, id)->nout; k++)
            any |= live[id + k];
        if (l.number[id])
            continue;
        if (wg__op_of(body, id)->def.flags & WG_OP_SOURCE)
            good = (l.number[id] = number_source(nb, at, id)) != 0;
        else
            good = number_node(nb, at, id, any);
    }
    if (good)
        number_outputs(nb, &l);
    wg__free(nb->ctx, live);
    return good;
}

bool wg__number_loops(wg__numbering *nb, wg_ctx *ctx, const wg_tape *t, const bool *read)
{
    memset(nb, 0, sizeof *nb);
    nb->ctx = ctx;
    nb->t = t;
    nb->read = read;
    wg__pool_init(&nb->keys, ctx);
    wg__pool_init(&nb->fns, ctx);
    nb->sequence = wg__calloc(ctx, t->nodes.len + 1, sizeof *nb->sequence);
    nb->steps = wg__calloc(ctx, t->nodes.len + 1, sizeof *nb->steps);
    bool good = nb->sequence && nb->steps;
    for (uint32_t id = 0; id < t->nodes.len && good; id++) {
        wg__scan s;
        if (wg__scan_of(t, id, &s) && s.length.dim[0] > 1 && wg__scan_needed(&s, read))
            good = number_loop(nb, &s);
    }
    return good;
}

void wg__numbering_free(wg__numbering *nb)
{
    for (size_t i = 0; i < nb->loops.len; i++)
        wg__free(nb->ctx, nb->loops.data[i].number);
    wg__vec_free(nb->ctx, &nb->loops);
    wg__vec_free(nb->ctx, &nb->numbers);
    wg__vec_free(nb->ctx, &nb->fn_kind);
    wg__vec_free(nb->ctx, &nb->kinds);
    wg__vec_free(nb->ctx, &nb->consts);
    wg__vec_free(nb->ctx, &nb->key);
    wg__free(nb->ctx, nb->sequence);
    wg__free(nb->ctx, nb->steps);
    wg__pool_free(&nb->keys);
    wg__pool_free(&nb->fns);
}
