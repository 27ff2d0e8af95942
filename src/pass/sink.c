/* sink: what only a later cluster reads is computed there, when all it needs is in memory anyway. The
 * sweep joins a node to what it reads; where its readers belong to another cluster (the derivative of
 * an activation, recorded in the backward pass from values of the forward one) that would cost a
 * store and memory until then. Nothing is computed twice. Linear time, from the last node on. */
#include "pass/fuse.h"

enum { MAX_CHAIN = 8, MAX_MORE = 2 };

#define MANY (UINT32_MAX - 1)

/* Of each value: who reads it. */
typedef struct seen {
    uint32_t bud;   /* the cluster of all readers; WG__NO_CLUSTER: none yet; MANY */
    uint32_t edges; /* of all readers */
    bool outside;   /* another cluster than its own reads it, or it is a root: it is stored */
    bool apart;     /* a reader cannot take it from a register */
} seen;

typedef struct sinker {
    wg__fuser *f;
    wg__clusters *c;
    seen *seen;
    uint32_t chain[MAX_CHAIN]; /* what moves, by falling id */
    uint8_t uses[MAX_CHAIN];   /* edges to it from those before it */
    size_t len;
} sinker;

static bool is_computed(const wg__clusters *c, uint32_t base)
{
    return c->of[base] != WG__NO_CLUSTER;
}

static void look_outside(sinker *s)
{
    const wg__clusters *c = s->c;
    for (size_t i = 0; i < s->f->nroots; i++)
        s->seen[wg__base_of(c, s->f->roots[i])].outside = true;
    for (uint32_t id = 0; id < c->tape->nodes.len; id++) {
        s->seen[id].bud = WG__NO_CLUSTER;
        if (c->role[id] < WG__RUN)
            continue;
        for (size_t k = 0; k < wg__reads(c, id); k++) {
            uint32_t base = wg__read_base(c, id, k);
            s->seen[base].edges++;
            if (is_computed(c, base) &&
                wg__bud_find(s->f, c->of[base]) != wg__bud_find(s->f, c->of[id]))
                s->seen[base].outside = true;
        }
    }
}

/* Tells what `id` reads that its cluster does. */
static void tell_operands(sinker *s, uint32_t id)
{
    const wg__clusters *c = s->c;
    uint32_t bud = wg__bud_find(s->f, c->of[id]);
    bool scalars = s->f->buds.data[bud].kind == WG__SCALARS; /* nothing moves there */
    for (size_t k = 0; k < wg__reads(c, id); k++) {
        uint32_t base = wg__read_base(c, id, k);
        seen *v = &s->seen[base];
        v->bud = v->bud == WG__NO_CLUSTER || v->bud == bud ? bud : MANY;
        if (!is_computed(c, base) || v->apart || scalars)
            continue;
        wg__layout room;
        const wg__layout *l = wg__read_layout(c, id, k, &room);
        wg__role role = c->role[id];
        if (role == WG__RUN || role == WG__TIMES || role == WG__TAKE || role == WG__JOIN) {
            v->apart = true;
            continue;
        }
        uint32_t in = wg__operands(c->tape, wg__node_at(c->tape, id))[k];
        const wg_shape *over = wg__operand_shape(c, id, k);
        wg_shape space = wg__squeeze(over, NULL);
        wg_shape value = wg__squeeze(&wg__type_at(c->tape, base)->shape, NULL);
        wg_strides st =
            wg__strides_over(&l->s, &wg__type_at(c->tape, role == WG__COPY ? id : in)->shape, over);
        wg__relation relation = wg__relation_of(&value, &space, &st);
        v->apart = relation == WG__APART || wg_shape_count(*over) == 0 ||
                   (relation == WG__SPREAD && role != WG__MAP && role != WG__COPY);
    }
}

/* The place of `id` in the chain, made if need be; MAX_CHAIN: there is no room. */
static size_t chain_at(sinker *s, uint32_t id)
{
    size_t i = 0;
    while (i < s->len && s->chain[i] > id)
        i++;
    if (i < s->len && s->chain[i] == id)
        return i;
    if (s->len == MAX_CHAIN)
        return MAX_CHAIN;
    for (size_t k = s->len++; k > i; k--) {
        s->chain[k] = s->chain[k - 1];
        s->uses[k] = s->uses[k - 1];
    }
    s->chain[i] = id;
    s->uses[i] = 0;
    return i;
}

/* Collects `id` and the operands that would be stored for it alone. False: it stays. */
static bool collect(sinker *s, uint32_t id, uint32_t own)
{
    const wg__clusters *c = s->c;
    s->len = 0;
    chain_at(s, id);
    for (size_t i = 0; i < s->len; i++) {
        uint32_t at = s->chain[i];
        if (c->role[at] != WG__MAP || (i > 0 && s->uses[i] != s->seen[at].edges))
            return false;
        for (size_t k = 0; k < wg__reads(c, at); k++) {
            uint32_t in = wg__operands(c->tape, wg__node_at(c->tape, at))[k];
            uint32_t base = wg__base_of(c, in);
            if (!is_computed(c, base) || wg__bud_find(s->f, c->of[base]) != own ||
                s->seen[base].outside)
                continue;
            bool plain = in == base && wg_shape_equal(wg__type_at(c->tape, in)->shape,
                                                      wg__type_at(c->tape, at)->shape);
            size_t n = plain ? chain_at(s, in) : MAX_CHAIN;
            if (n == MAX_CHAIN)
                return false;
            s->uses[n]++;
        }
    }
    return true;
}

/* The target with the chain in it, as it would be. */
static bool fits(sinker *s, wg__bud *b)
{
    const wg__clusters *c = s->c;
    uint16_t before = b->nmem;
    bool good = true;
    for (size_t i = 0; i < s->len && good; i++) {
        uint32_t at = s->chain[i];
        const wg_shape *shape = &wg__type_at(c->tape, at)->shape;
        wg__bud one = {.parent = b->parent,
                       .depth = b->depth,
                       .kind = WG__LOOP,
                       .read = b->read,
                       .instrs = 1,
                       .maxcols = WG_MAX_RANK};
        one.space = wg__squeeze(shape, NULL);
        for (size_t k = 0; k < wg__reads(c, at) && good; k++) {
            uint32_t in = wg__operands(c->tape, wg__node_at(c->tape, at))[k];
            wg__layout room;
            const wg__layout *l = wg__layout_of(c, in, &room);
            bool inside = false;
            for (size_t m = 0; m < s->len; m++)
                inside |= s->chain[m] == l->base;
            if (inside || c->role[l->base] == WG__INDEX)
                continue;
            wg_strides st = wg__strides_over(&l->s, &wg__type_at(c->tape, in)->shape, shape);
            wg__in_memory(c, l->base, &one.space, &st);
            good = !wg__bud_load(&one, in, wg__merged_axes(&one.space, &st), true);
        }
        good = good && !wg__bud_unify(&one, b);
        *b = good ? one : *b;
    }
    return good && b->nmem <= before + MAX_MORE;
}

static void try_to_move(sinker *s, uint32_t id)
{
    wg__fuser *f = s->f;
    const seen *v = &s->seen[id];
    uint32_t own = wg__bud_find(f, s->c->of[id]), to = v->bud;
    if (s->c->role[id] != WG__MAP || !v->outside || v->apart || to >= MANY || to == own)
        return;
    wg__bud b = f->buds.data[to];
    if (f->buds.data[own].kind == WG__SCALARS || (b.kind != WG__LOOP && b.kind != WG__PRODUCT) ||
        !collect(s, id, own) || !fits(s, &b))
        return;
    f->buds.data[to] = b;
    for (size_t i = 0; i < s->len; i++)
        s->c->of[s->chain[i]] = to;
    wg__note(f, id, "is computed with what reads it, not with what it reads");
}

void wg__sink(wg__fuser *f)
{
    sinker s = {.f = f, .c = f->c};
    size_t len = f->t->nodes.len;
    bool any = false; /* scalars alone stay where they are */
    for (size_t i = 0; i < f->buds.len && !any; i++)
        any = f->buds.data[i].kind == WG__LOOP || f->buds.data[i].kind == WG__PRODUCT;
    if (!any)
        return;
    s.seen = wg__calloc(f->c->ctx, len, sizeof *s.seen);
    if (!s.seen)
        return; /* all stays as it is */
    look_outside(&s);
    for (size_t i = 0; i < f->nroots; i++)
        s.seen[wg__base_of(f->c, f->roots[i])].bud = MANY;
    for (size_t i = len; i-- > 0;) {
        uint32_t id = (uint32_t)i;
        if (f->c->role[id] < WG__RUN)
            continue;
        try_to_move(&s, id);
        tell_operands(&s, id);
    }
    wg__free(f->c->ctx, s.seen);
}
