/* The order of clusters: depth-first from the roots, so that values are read soon after they are
 * computed; and readers of a param before the cluster of its new value, so that the update can be
 * done in place.
 *
 * What a cluster reads is of smaller depth. An edge from a reader of a param to the update is
 * accepted when it does not lead from a greater to a smaller depth (updates that nobody reads count
 * as deepest); then edges can form a circle at equal depth only, of such edges only, and the search
 * drops the edge that would close it. */
#include "pass/fuse.h"

enum { LATE = 16384 };

typedef struct soft {
    uint32_t reader, next; /* next: 1 + index of another one of the same update */
} soft;

typedef struct frame {
    uint32_t cluster, member, edge, soft;
} frame;

typedef struct sorter {
    wg__fuser *f;
    wg__clusters *c;
    const wg__effects *e;
    uint32_t *number; /* by bud: its cluster, before sorting */
    uint32_t count;
    uint32_t *first; /* by cluster: in members; one more at the end */
    uint32_t *key;   /* by cluster: depth */
    bool *read;      /* by cluster: another one reads it */
    uint32_t *soft;  /* by cluster: 1 + index in softs */
    uint8_t *state;  /* by cluster: 0 new, 1 on the stack, 2 done */
    uint32_t *at;    /* by cluster: position in the order */
    wg__bud **bud;   /* by cluster */
    uint32_t *members;
    WG__VEC(soft) softs;
    WG__VEC(frame) stack;
    uint32_t next;
} sorter;

/* ---- numbers ---------------------------------------------------------------------------------------- */

static bool is_member(const wg__clusters *c, uint32_t id) { return c->role[id] >= WG__RUN; }

/* Clusters by first member; c->of becomes their numbers. */
static bool number_clusters(sorter *s)
{
    wg__clusters *c = s->c;
    wg_ctx *ctx = c->ctx;
    size_t len = c->tape->nodes.len, nbuds = s->f->buds.len;
    if (!(s->number = wg__calloc(ctx, nbuds, sizeof *s->number)))
        return false;
    for (size_t i = 0; i < nbuds; i++)
        s->number[i] = WG__NO_CLUSTER;
    for (uint32_t id = 0; id < len; id++) {
        if (c->of[id] == WG__NO_CLUSTER)
            continue;
        uint32_t bud = wg__bud_find(s->f, c->of[id]);
        if (s->number[bud] == WG__NO_CLUSTER)
            s->number[bud] = s->count++;
        c->of[id] = s->number[bud];
    }
    size_t n = s->count;
    s->first = wg__calloc(ctx, n + 1, sizeof *s->first);
    s->key = wg__calloc(ctx, n, sizeof *s->key);
    s->read = wg__calloc(ctx, n, sizeof *s->read);
    s->soft = wg__calloc(ctx, n, sizeof *s->soft);
    s->state = wg__calloc(ctx, n, sizeof *s->state);
    s->at = wg__calloc(ctx, n, sizeof *s->at);
    s->bud = wg__calloc(ctx, n, sizeof *s->bud);
    s->members = wg__calloc(ctx, len, sizeof *s->members);
    return s->first && s->key && s->read && s->soft && s->state && s->at && s->bud && s->members;
}

static void list_members(sorter *s)
{
    wg__clusters *c = s->c;
    size_t len = c->tape->nodes.len;
    for (uint32_t i = 0; i < s->f->buds.len; i++)
        if (s->number[i] != WG__NO_CLUSTER)
            s->bud[s->number[i]] = &s->f->buds.data[i];
    for (uint32_t id = 0; id < len; id++)
        if (is_member(c, id))
            s->first[c->of[id] + 1]++;
    for (uint32_t i = 0; i < s->count; i++)
        s->first[i + 1] += s->first[i];
    for (uint32_t id = 0; id < len; id++) /* at: how many so far */
        if (is_member(c, id))
            s->members[s->first[c->of[id]] + s->at[c->of[id]]++] = id;
}

/* ---- updates ------------------------------------------------------------------------------------------ */

static uint32_t update_of(const sorter *s, size_t e) { return s->c->of[s->e->values[e]]; }

/* Calls `visit` for each read of a value outside the reader's cluster (of params: any read). */
typedef bool (*visit_fn)(sorter *s, uint32_t reader, size_t k, uint32_t base);
static bool each_read(sorter *s, visit_fn visit)
{
    for (uint32_t id = 0; id < s->c->tape->nodes.len; id++)
        for (size_t k = 0; is_member(s->c, id) && k < wg__reads(s->c, id); k++)
            if (!visit(s, id, k, wg__read_base(s->c, id, k)))
                return false;
    return true;
}

static bool note_read(sorter *s, uint32_t reader, size_t k, uint32_t base)
{
    wg__clusters *c = s->c;
    (void)k;
    if (c->of[base] != WG__NO_CLUSTER && c->of[base] != c->of[reader])
        s->read[c->of[base]] = c->stored[base] = true;
    return true;
}

static bool add_soft(sorter *s, uint32_t reader, size_t k, uint32_t base)
{
    (void)k;
    uint32_t e = s->c->scratch[base], cluster = s->c->of[reader];
    if (e == WG__NONE)
        return true;
    uint32_t update = update_of(s, e);
    if (update == WG__NO_CLUSTER || update == cluster || s->key[cluster] > s->key[update])
        return true;
    soft edge = {cluster, s->soft[update]};
    if (!wg__vec_push(s->c->ctx, &s->softs, edge))
        return false;
    s->soft[update] = (uint32_t)s->softs.len;
    return true;
}

static bool link_updates(sorter *s)
{
    uint32_t deepest = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        s->key[i] = s->bud[i]->depth;
        deepest = s->key[i] > deepest ? s->key[i] : deepest;
    }
    each_read(s, note_read);
    for (size_t i = 0; i < s->f->nroots; i++) {
        uint32_t base = wg__base_of(s->c, s->f->roots[i]);
        s->c->stored[base] |= s->c->of[base] != WG__NO_CLUSTER;
    }
    for (size_t e = 0; e < s->e->n; e++) {
        uint32_t update = update_of(s, e);
        if (update != WG__NO_CLUSTER && !s->read[update])
            s->key[update] = deepest + 1;
        s->c->scratch[s->e->params[e]] = (uint32_t)e;
    }
    return !s->e->n || each_read(s, add_soft);
}

/* ---- the search ---------------------------------------------------------------------------------------- */

static bool push(sorter *s, uint32_t cluster)
{
    frame top = {cluster, s->first[cluster], 0, s->soft[cluster]};
    s->state[cluster] = 1;
    return wg__vec_push(s->c->ctx, &s->stack, top);
}

/* The next cluster that the one on top waits for, or WG__NO_CLUSTER. */
static uint32_t next_of(sorter *s, frame *top)
{
    const wg__clusters *c = s->c;
    for (; top->member < s->first[top->cluster + 1]; top->member++, top->edge = 0) {
        uint32_t id = s->members[top->member];
        while (top->edge < wg__reads(c, id)) {
            uint32_t on = c->of[wg__read_base(c, id, top->edge++)];
            if (on != WG__NO_CLUSTER && s->state[on] == 0)
                return on;
        }
    }
    while (top->soft) {
        const soft *edge = &s->softs.data[top->soft - 1];
        top->soft = edge->next;
        if (s->state[edge->reader] == 0)
            return edge->reader;
    }
    return WG__NO_CLUSTER;
}

static bool search(sorter *s, uint32_t from)
{
    if (from == WG__NO_CLUSTER || s->state[from])
        return true;
    if (!push(s, from))
        return false;
    while (s->stack.len) {
        frame *top = &s->stack.data[s->stack.len - 1];
        uint32_t on = next_of(s, top);
        if (on != WG__NO_CLUSTER) {
            if (!push(s, on))
                return false;
            continue;
        }
        s->state[top->cluster] = 2;
        s->at[top->cluster] = s->next++;
        s->stack.len--;
    }
    return true;
}

/* ---- results --------------------------------------------------------------------------------------------- */

static bool fill(sorter *s)
{
    wg__clusters *c = s->c;
    uint32_t total = s->first[s->count];
    if (!wg__vec_reserve(c->ctx, &c->list, s->count) ||
        !wg__vec_reserve(c->ctx, &c->members, total))
        return false;
    uint32_t *by = s->soft; /* used up: by position, the cluster */
    for (uint32_t i = 0; i < s->count; i++)
        by[s->at[i]] = i;
    for (uint32_t p = 0; p < s->count; p++) {
        uint32_t i = by[p];
        const wg__bud *b = s->bud[i];
        wg__cluster made = {.kind = b->kind,
                            .first = (uint32_t)c->members.len,
                            .count = s->first[i + 1] - s->first[i],
                            .depth = b->depth,
                            .group = p,
                            .space = b->space,
                            .ncols = b->ncols};
        c->list.data[c->list.len++] = made;
        for (uint32_t m = s->first[i]; m < s->first[i + 1]; m++) {
            c->place[s->members[m]] = (uint32_t)c->members.len;
            c->members.data[c->members.len++] = s->members[m];
        }
    }
    for (size_t id = 0; id < c->tape->nodes.len; id++)
        if (c->of[id] != WG__NO_CLUSTER)
            c->of[id] = s->at[c->of[id]];
    return true;
}

/* Whether reading operand k there sees each element of the param before it is overwritten: by an
 * earlier cluster, or element by element on the way to the new value. */
static bool reads_before(const sorter *s, uint32_t reader, size_t k, uint32_t value)
{
    const wg__clusters *c = s->c;
    if (c->of[reader] != c->of[value])
        return c->of[reader] < c->of[value];
    wg__role role = c->role[reader];
    if (reader > value || (role != WG__MAP && role != WG__FOLD && role != WG__COPY))
        return false;
    uint32_t in = wg__operands(c->tape, wg__node_at(c->tape, reader))[k];
    const wg_shape *over = wg__operand_shape(c, reader, k);
    wg_shape space = wg__squeeze(over, NULL);
    wg__layout room;
    wg_strides st =
        wg__strides_over(&wg__read_layout(c, reader, k, &room)->s,
                         &wg__type_at(c->tape, role == WG__COPY ? reader : in)->shape, over);
    return wg_shape_equal(space, c->list.data[c->of[value]].space) &&
           wg__relation_of(&space, &space, &st) == WG__SAME;
}

static bool check_read(sorter *s, uint32_t reader, size_t k, uint32_t base)
{
    uint32_t e = s->c->scratch[base];
    if (e != WG__NONE && s->e->in_place[e])
        s->e->in_place[e] = reads_before(s, reader, k, s->e->values[e]);
    return true;
}

/* The new value is the only one in its memory: computed by a loop over all its elements, assigned
 * once; and nobody wants the old one. */
static void check_updates(sorter *s)
{
    const wg__clusters *c = s->c;
    for (size_t e = 0; e < s->e->n; e++) {
        uint32_t value = s->e->values[e];
        bool good = c->of[value] != WG__NO_CLUSTER && wg__base_of(c, value) == value;
        if (good) {
            const wg__cluster *at = &c->list.data[c->of[value]];
            wg_shape own = wg__squeeze(&wg__type_at(c->tape, value)->shape, NULL);
            good = (at->kind == WG__LOOP || at->kind == WG__PRODUCT) &&
                   c->role[value] != WG__FOLD && wg_shape_equal(own, at->space);
        }
        s->e->in_place[e] = good;
    }
    for (size_t i = 0; i < s->f->nroots; i++) {
        uint32_t e = c->scratch[wg__base_of(c, s->f->roots[i])];
        if (e != WG__NONE)
            s->e->in_place[e] = false;
    }
    if (s->e->n)
        each_read(s, check_read);
    for (size_t e = 0; e < s->e->n; e++)
        c->scratch[s->e->params[e]] = WG__NONE;
    for (size_t e = 0; e < s->e->n; e++) { /* one value for two params goes to the first */
        uint32_t *seen = &c->scratch[s->e->values[e]];
        if (*seen != WG__NONE)
            s->e->in_place[e] = false;
        *seen = 0;
    }
    for (size_t e = 0; e < s->e->n; e++)
        c->scratch[s->e->values[e]] = WG__NONE;
}

/* Small loops that nobody reads, updates of biases say, come last, where they are neighbours and run
 * side by side. */
static bool is_late(const sorter *s, uint32_t cluster)
{
    return cluster != WG__NO_CLUSTER && !s->read[cluster] && s->bud[cluster]->kind == WG__LOOP &&
           wg_shape_count(s->bud[cluster]->space) <= LATE;
}

static bool may_fail(const sorter *s, uint32_t cluster)
{
    for (uint32_t m = s->first[cluster]; m < s->first[cluster + 1]; m++) {
        wg__role role = s->c->role[s->members[m]];
        if (role == WG__PICK || role == WG__TAKE)
            return true;
        if (role == WG__RUN && !(wg__op_of(s->c->tape, s->members[m])->def.flags & WG_OP_TOTAL))
            return true;
    }
    return false;
}

/* Results first; then all that may fail, since after an update in place nothing may; then updates. */
static bool search_roots(sorter *s)
{
    for (size_t i = 0; i < s->f->nroots - s->e->n; i++)
        if (!search(s, s->c->of[wg__base_of(s->c, s->f->roots[i])]))
            return false;
    for (uint32_t i = 0; i < s->count && s->e->n; i++)
        if (!s->state[i] && may_fail(s, i) && !search(s, i))
            return false;
    for (int late = 0; late < 2; late++)
        for (size_t e = 0; e < s->e->n; e++) {
            uint32_t cluster = s->c->of[wg__base_of(s->c, s->e->values[e])];
            if (is_late(s, cluster) == late && !search(s, cluster))
                return false;
        }
    for (uint32_t i = 0; i < s->count; i++)
        if (!search(s, i))
            return false;
    return true;
}

bool wg__order(wg__fuser *f, const wg__effects *e)
{
    sorter s = {.f = f, .c = f->c, .e = e};
    wg_ctx *ctx = f->c->ctx;
    bool good = number_clusters(&s);
    if (good) {
        list_members(&s);
        good = link_updates(&s);
    }
    good = good && search_roots(&s) && fill(&s);
    if (good)
        check_updates(&s);
    wg__free(ctx, s.number);
    wg__free(ctx, s.first);
    wg__free(ctx, s.key);
    wg__free(ctx, s.read);
    wg__free(ctx, s.soft);
    wg__free(ctx, s.state);
    wg__free(ctx, s.at);
    wg__free(ctx, s.bud);
    wg__free(ctx, s.members);
    wg__vec_free(ctx, &s.softs);
    wg__vec_free(ctx, &s.stack);
    return good;
}
