/* Identity: a graph as words, so that two graphs are the same exactly when their words are. The walk
 * is depth-first from the roots, as canon's, so that the order of recording leaves no trace; interned
 * things are numbered as they are met, and written out where they are met first. The values of literal
 * slots are left open. Linear in what the roots need; recursive only over the nesting of sub-tapes
 * and scopes. */
#include <string.h>

#include "exec/exec.h"

/* Of values that a tape's roots need, and of words: what is larger would be kept for long, and is
 * compiled once. */
enum { MAX_VALUES = 1 << 19, MAX_WORDS = 1 << 22 };

/* All tapes of a graph. */
typedef struct writer {
    wg_ctx *ctx;
    wg__identity *id;
    wg__pool fns; /* pointers to the sub-tapes met so far */
    bool failed;
} writer;

/* Interned things of one kind. */
typedef struct numbers {
    uint32_t *of, met;
} numbers;

/* One tape. */
typedef struct walk {
    writer *w;
    const wg_tape *t;
    uint32_t *number; /* by id: 1 + its place in the walk */
    uint32_t *order;  /* heads */
    size_t len, values;
    numbers types, attrs, strings, scopes;
    bool main;
} walk;

/* ---- words ------------------------------------------------------------------------------------------ */

static void put(writer *w, uint32_t word)
{
    if (w->id->words.len >= MAX_WORDS || !wg__vec_push(w->ctx, &w->id->words, word))
        w->failed = true;
}

static void put_bytes(writer *w, const void *data, size_t size)
{
    const size_t n = size / 4 + (size % 4 != 0);
    put(w, (uint32_t)size);
    if (w->failed || n > MAX_WORDS - w->id->words.len ||
        !wg__vec_reserve(w->ctx, &w->id->words, n)) {
        w->failed = true;
        return;
    }
    uint32_t *to = w->id->words.data + w->id->words.len;
    if (n)
        to[n - 1] = 0;
    if (size)
        memcpy(to, data, size);
    w->id->words.len += n;
}

static void put_bits(writer *w, uint64_t bits)
{
    put(w, (uint32_t)bits);
    put(w, (uint32_t)(bits >> 32));
}

/* The number of interned thing `id`; true when it is new: then its content is to follow. */
static bool put_number(writer *w, numbers *n, uint32_t id)
{
    bool is_new = id && !n->of[id];
    if (is_new)
        n->of[id] = ++n->met;
    put(w, id ? n->of[id] : 0);
    return is_new;
}

static void put_entry(walk *k, numbers *n, const wg__pool *pool, uint32_t id)
{
    size_t size;
    if (!put_number(k->w, n, id))
        return;
    const void *data = wg__pool_get(pool, id, &size);
    put_bytes(k->w, data, size);
}

static void put_scope(walk *k, uint32_t id)
{
    if (!put_number(k->w, &k->scopes, id))
        return;
    const wg__scope *s = wg__scope_at(k->t, id);
    put_entry(k, &k->strings, &k->t->strings, s->name);
    put_scope(k, s->parent);
}

/* ---- order --------------------------------------------------------------------------------------------- */

typedef struct step {
    uint32_t head, next; /* the operand to visit next */
} step;

static void enter(walk *k, uint32_t id, step *stack, size_t *top)
{
    uint32_t head = wg__head(k->t, id);
    if (k->number[head])
        return;
    k->number[head] = UINT32_MAX; /* on its way */
    stack[(*top)++] = (step){head, 0};
}

/* Numbers the values of what `root` needs, operands first. */
static void visit(walk *k, uint32_t root, step *stack)
{
    size_t top = 0;
    enter(k, root, stack, &top);
    while (top && k->values <= MAX_VALUES) {
        step *s = &stack[top - 1];
        const wg__node *n = wg__node_at(k->t, s->head);
        bool source = wg__op_of(k->t, s->head)->def.flags & WG_OP_SOURCE;
        if (!source && s->next < n->nin) {
            enter(k, wg__operands(k->t, n)[s->next++], stack, &top);
            continue;
        }
        k->order[k->len++] = s->head;
        for (uint32_t i = 0; i < n->nout; i++)
            k->number[s->head + i] = (uint32_t)++k->values;
        top--;
    }
}

/* ---- nodes ------------------------------------------------------------------------------------------------ */

static bool put_tape(writer *w, const wg_tape *t, const uint32_t *roots, size_t nroots,
                     uint32_t *number, bool main);

/* A sub-tape: its interface is never dead, so inputs are roots, too. */
static void put_fn(writer *w, const wg__fn *fn)
{
    const wg_tape *body = fn->body;
    uint32_t known = wg__pool_find(&w->fns, &fn, sizeof fn);
    put(w, known);
    if (known)
        return;
    size_t nin = body->inputs.len, n = nin + fn->nouts;
    uint32_t *number = wg__calloc(w->ctx, body->nodes.len, sizeof *number);
    uint32_t *roots = wg__calloc(w->ctx, n, sizeof *roots);
    if (!number || !roots || !wg__pool_intern(&w->fns, &fn, sizeof fn)) {
        w->failed = true;
    } else {
        for (size_t i = 0; i < n; i++)
            roots[i] = i < nin ? body->inputs.data[i] : fn->outs[i - nin];
        put(w, (uint32_t)nin);
        put_bytes(w, body->name, body->name ? strlen(body->name) : 0);
        put_tape(w, body, roots, n, number, false);
    }
    wg__free(w->ctx, number);
    wg__free(w->ctx, roots);
}

/* What stands in the attributes for a sub-tape means nothing on another tape: the others are written
 * one by one, with their lists. */
static void put_attrs(walk *k, uint32_t id)
{
    wg_attrs a = wg__attrs_of(k->t, id);
    uint32_t interned = wg__node_at(k->t, id)->attrs;
    if (!interned || !wg__runs_fns(a.op)) {
        put_entry(k, &k->attrs, &k->t->attrs, interned);
        return;
    }
    for (size_t i = 0; i < a.op->sig.nattrs; i++) {
        wg__slot s = a.slots[i];
        const size_t n = wg__slot_nfns(&s), bytes = wg__slot_bytes(&s);
        if (n || bytes)
            s.v.offset = 0; /* depends on the tape */
        put_bytes(k->w, &s, sizeof s);
        for (size_t f = 0; f < n; f++)
            put_fn(k->w, wg__slot_fn(&a, &a.slots[i], f));
        if (bytes)
            put_bytes(k->w, wg__slot_list(&a, &a.slots[i]), bytes);
    }
}

static void put_source(walk *k, uint32_t id)
{
    const wg__node *n = wg__node_at(k->t, id);
    if (n->op == WG__OP_CONST) {
        const wg_tensor *c = k->t->consts.data[n->u.bits];
        put_bytes(k->w, c->data, c->bytes);
        return;
    }
    bool slot = n->op == WG__OP_LITERAL && k->main && wg__literal_is_slot(k->t, id);
    put(k->w, slot);
    if (!slot)
        put_bits(k->w, n->u.bits);
    else if (!wg__vec_push(k->w->ctx, &k->w->id->slots, id))
        k->w->failed = true;
}

static void put_node(walk *k, uint32_t id)
{
    const wg_tape *t = k->t;
    const wg__node *n = wg__node_at(t, id);
    writer *w = k->w;
    put(w, n->op | (uint32_t)n->nin << 16);
    put(w, n->nout);
    for (uint32_t i = 0; i < n->nout; i++) {
        const wg__node *out = wg__node_at(t, id + i);
        put_entry(k, &k->types, &t->types, out->type);
        put_entry(k, &k->strings, &t->strings, out->name);
    }
    put_scope(k, n->scope);
    put(w, n->origin ? k->number[n->origin - 1] : 0);
    put_attrs(k, id);
    if (wg__op_of(t, id)->def.flags & WG_OP_SOURCE) {
        put_source(k, id);
        return;
    }
    const uint32_t *in = wg__operands(t, n);
    for (uint16_t i = 0; i < n->nin; i++)
        put(w, k->number[in[i]]);
}

static bool numbers_make(wg_ctx *ctx, numbers *n, const wg__pool *pool)
{
    return (n->of = wg__calloc(ctx, pool->entries.len + 1, sizeof *n->of)) != NULL;
}

static bool put_tape(writer *w, const wg_tape *t, const uint32_t *roots, size_t nroots,
                     uint32_t *number, bool main)
{
    wg_ctx *ctx = w->ctx;
    walk k = {.w = w, .t = t, .number = number, .main = main};
    step *stack = wg__alloc(ctx, (t->nodes.len + 1) * sizeof *stack);
    k.order = wg__alloc(ctx, (t->nodes.len + 1) * sizeof *k.order);
    bool good = stack && k.order && numbers_make(ctx, &k.types, &t->types) &&
                numbers_make(ctx, &k.attrs, &t->attrs) &&
                numbers_make(ctx, &k.strings, &t->strings) &&
                numbers_make(ctx, &k.scopes, &t->scopes);
    w->failed |= !good;
    for (size_t i = 0; good && i < nroots; i++)
        visit(&k, roots[i], stack);
    w->failed |= k.values > MAX_VALUES;
    put(w, (uint32_t)nroots);
    for (size_t i = 0; !w->failed && i < nroots; i++)
        put(w, number[roots[i]]);
    put(w, (uint32_t)k.len);
    for (size_t i = 0; i < k.len && !w->failed; i++)
        put_node(&k, k.order[i]);
    wg__free(ctx, stack);
    wg__free(ctx, k.order);
    wg__free(ctx, k.types.of);
    wg__free(ctx, k.attrs.of);
    wg__free(ctx, k.strings.of);
    wg__free(ctx, k.scopes.of);
    return !w->failed;
}

/* ---- graphs --------------------------------------------------------------------------------------------------- */

/* The order of binding is that of recording. */
static void put_ports(writer *w, const uint32_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (w->id->number[ids[i]])
            put(w, w->id->number[ids[i]]);
    put(w, 0);
}

bool wg__identity_make(wg__identity *id, const wg__graph *g, const wg__ids *n,
                       const wg__executor *executor)
{
    memset(id, 0, sizeof *id);
    writer w = {.ctx = g->ctx, .id = id};
    id->number = wg__calloc(g->ctx, g->tape->nodes.len, sizeof *id->number);
    if (!id->number)
        return false;
    wg__pool_init(&w.fns, g->ctx);
    put_bits(&w, (uint64_t)(uintptr_t)executor);
    put(&w, g->explain);
    put_bits(&w, g->memory_limit);
    put(&w, (uint32_t)n->nouts);
    if (put_tape(&w, g->tape, g->ids, g->nroots, id->number, true)) {
        put_ports(&w, g->ids + g->nroots, n->ninputs);
        put_ports(&w, g->ids + g->nroots + n->ninputs, n->nparams);
        id->hash = wg__hash(id->words.data, id->words.len * sizeof *id->words.data, 0);
    }
    wg__pool_free(&w.fns);
    return !w.failed;
}

void wg__identity_free(wg_ctx *ctx, wg__identity *id)
{
    wg__vec_free(ctx, &id->words);
    wg__vec_free(ctx, &id->slots);
    wg__free(ctx, id->number);
    id->number = NULL;
}
