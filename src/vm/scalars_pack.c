/* Packing scalars: nodes are sorted by (level, action) in linear time and written out as code. What is
 * equal in both is computed together: as chunks, where it is many, else one by one. Before that nodes
 * move to later levels as far as nobody has to wait for them, so that more of them meet. */
#include "vm/scalars_code.h"

#include <string.h>

enum { RUN_CALLS = 8 }; /* from here on a chunk beats calls of scalar functions */
enum { RUN_UNARY = 3 }; /* and of unary ones, most of which take long */
enum { RUN_LOOPS = 4 }; /* and calls of loops */
enum { BUNCH = 512 };   /* nodes that one may be moved past */

/* ---- order -------------------------------------------------------------------------------------- */

/* Turns counts into the first place of each key. */
static void starts(uint32_t *count, size_t keys)
{
    uint32_t at = 0;
    for (size_t i = 0; i < keys; i++) {
        const uint32_t n = count[i];
        count[i] = at;
        at += n;
    }
}

/* Actions by span, so that what is not to be a chunk makes long spans: rank[action]. */
static void rank_actions(const wg__scalars_builder *b, uint32_t *rank)
{
    uint32_t count[3] = {0, 0, 0};
    for (size_t i = 0; i < b->actions.len; i++)
        count[b->actions.data[i].span]++;
    starts(count, 3);
    for (size_t i = 0; i < b->actions.len; i++)
        rank[i] = count[b->actions.data[i].span]++;
}

/* Of from .. to the number with the most zero bits at its end. */
static uint32_t roundest(uint32_t from, uint32_t to)
{
    if (from == 0)
        return 0;
    uint32_t low = 1; /* above the bits that may be cleared */
    while ((to & ~(low + low - 1)) >= from)
        low += low;
    return to & ~(low - 1);
}

/* For each node the latest level from which the longest path still ends in time. */
static void find_latest(const wg__scalars_builder *b, uint32_t *latest)
{
    const wg__scalar_node *nodes = b->nodes.data;
    for (size_t i = 0; i < b->nodes.len; i++)
        latest[i] = b->levels - 1;
    for (size_t i = b->nodes.len; i-- > 0;) {
        const wg__scalar *in = b->ins.data + nodes[i].in;
        for (uint32_t k = 0; k < b->actions.data[nodes[i].action].nin; k++)
            if (!(in[k] & WG__OUTER) && latest[in[k]] >= latest[i])
                latest[in[k]] = latest[i] - 1;
    }
}

/* Narrow levels make short runs. A node that need not be computed at once, as most are that the
 * backward sweep uses, moves to the roundest level up to the one where it must be: there many of a
 * kind meet. It moves past so few nodes that what it reads and what reads it stay in cache. */
static void bunch(wg__scalars_builder *b, uint32_t *latest)
{
    const size_t n = b->nodes.len;
    wg__scalar_node *nodes = b->nodes.data;
    const size_t window = n ? (size_t)BUNCH * b->levels / n : 0;
    if (window < 2)
        return;
    find_latest(b, latest);
    for (size_t i = 0; i < n; i++) {
        const wg__scalar *in = b->ins.data + nodes[i].in;
        uint32_t from = 0;
        for (uint32_t k = 0; k < b->actions.data[nodes[i].action].nin; k++)
            if (!(in[k] & WG__OUTER) && nodes[in[k]].level >= from)
                from = nodes[in[k]].level + 1;
        const bool near = latest[i] - from < window;
        nodes[i].level = roundest(from, near ? latest[i] : from + (uint32_t)window - 1);
    }
}

/* Nodes by (level, rank of the action, number): two stable counting sorts. */
static bool sort(const wg__scalars_builder *b, uint32_t *order)
{
    const size_t n = b->nodes.len, actions = b->actions.len;
    const wg__scalar_node *nodes = b->nodes.data;
    uint32_t *rank = wg__calloc(b->ctx, actions, sizeof *rank);
    uint32_t *by_rank = wg__calloc(b->ctx, actions, sizeof *by_rank);
    uint32_t *by_level = wg__calloc(b->ctx, b->levels, sizeof *by_level);
    uint32_t *half = wg__calloc(b->ctx, n, sizeof *half);
    const bool ok = rank && by_rank && by_level && half;
    if (ok) {
        rank_actions(b, rank);
        for (size_t i = 0; i < n; i++) {
            by_rank[rank[nodes[i].action]]++;
            by_level[nodes[i].level]++;
        }
        starts(by_rank, actions);
        starts(by_level, b->levels);
        for (size_t i = 0; i < n; i++)
            half[by_rank[rank[nodes[i].action]]++] = (uint32_t)i;
        for (size_t i = 0; i < n; i++)
            order[by_level[nodes[half[i]].level]++] = half[i];
    }
    wg__free(b->ctx, rank);
    wg__free(b->ctx, by_rank);
    wg__free(b->ctx, by_level);
    wg__free(b->ctx, half);
    return ok;
}

/* ---- code --------------------------------------------------------------------------------------- */

typedef struct writer {
    const wg__scalars_builder *b;
    const uint32_t *order, *index; /* index[node] in its region */
    WG__VEC(uint32_t) code;
    /* The open span of calls: */
    size_t head;          /* its first word, */
    uint32_t len, serial; /* its nodes (0: none is open), those that read the result before, */
    uint32_t before;      /* the last of them, */
    size_t width;         /* the words of each (0: differing) */
    uint8_t span;
} writer;

static uint32_t index_of(const writer *w, wg__scalar x)
{
    return x & WG__OUTER ? w->b->outers.data[x & ~WG__OUTER].index : w->index[x];
}

static void put(writer *w, uint32_t word) { w->code.data[w->code.len++] = word; }

/* One node, in the open span of calls if it fits there. */
static bool write_call(writer *w, uint32_t id)
{
    const wg__scalar_node *n = &w->b->nodes.data[id];
    const wg__action *a = &w->b->actions.data[n->action];
    const wg__scalar *in = w->b->ins.data + n->in;
    const size_t width = a->span == WG__SPAN_ANY ? 0 : a->nin == 3 ? 4 : 3;
    if (!wg__vec_reserve(w->b->ctx, &w->code, (size_t)a->nin + 5))
        return false;
    if (!w->len || w->span != a->span || w->width < width || w->len == WG__SPAN_MOST) {
        w->head = w->code.len;
        w->len = w->serial = 0;
        w->span = a->span;
        w->width = width;
        put(w, 0);
    }
    put(w, n->action);
    uint32_t k = 0;
    for (; k < a->nin; k++)
        put(w, index_of(w, in[k]));
    for (; k + 1 < w->width; k++)
        put(w, index_of(w, in[0]));
    w->serial += w->len && a->nin && (in[0] == w->before || in[a->nin > 1] == w->before);
    w->before = id;
    w->len++;
    w->code.data[w->head] = w->span | (w->width == 4 ? WG__SPAN_TERNARY : 0) |
                            (w->serial > w->len / 4 * 3 ? WG__SPAN_SERIAL : 0) |
                            w->len << WG__SPAN_SHIFT;
    return true;
}

/* How operand k of nodes order[0 .. n-1] is found. */
static wg__operand_mode mode_of(const writer *w, const uint32_t *order, uint32_t n, uint32_t k)
{
    const wg__scalar_node *nodes = w->b->nodes.data;
    const wg__scalar *ins = w->b->ins.data + k;
    const uint32_t first = index_of(w, ins[nodes[order[0]].in]);
    bool dense = true, splat = true;
    for (uint32_t i = 1; i < n && (dense || splat); i++) {
        const uint32_t at = index_of(w, ins[nodes[order[i]].in]);
        dense = dense && at == first + i;
        splat = splat && at == first;
    }
    return dense ? WG__DENSE : splat ? WG__SPLAT : WG__GATHER;
}

static bool write_chunk(writer *w, const uint32_t *order, uint32_t n)
{
    const wg__scalar_node *nodes = w->b->nodes.data;
    const uint32_t action = nodes[order[0]].action, nin = w->b->actions.data[action].nin;
    if (!wg__vec_reserve(w->b->ctx, &w->code, 2 + (size_t)nin * n))
        return false;
    const size_t head = w->code.len;
    w->len = 0;
    put(w, WG__SPAN_CHUNK | n << WG__SPAN_SHIFT);
    put(w, action);
    unsigned splats = 0;
    for (uint32_t k = 0; k < nin; k++) {
        wg__operand_mode mode = mode_of(w, order, n, k);
        splats += mode == WG__SPLAT;
        if (splats == nin) /* there is no kernel for nothing but single elements */
            mode = WG__GATHER;
        for (uint32_t i = 0; i < (mode == WG__GATHER ? n : 1); i++)
            put(w, index_of(w, w->b->ins.data[nodes[order[i]].in + k]));
        w->code.data[head] |= (uint32_t)mode << (2 + 2 * k);
    }
    return true;
}

/* Nodes order[0 .. n-1], which are of one level and action. */
static bool write_run(writer *w, const uint32_t *order, size_t n)
{
    const wg__action *a = &w->b->actions.data[w->b->nodes.data[order[0]].action];
    const size_t least = a->span == WG__SPAN_ANY ? RUN_LOOPS : a->nin == 1 ? RUN_UNARY : RUN_CALLS;
    const bool chunks = a->nin <= 3 && n >= least;
    for (size_t i = 0; i < n; i += chunks ? WG__CHUNK : 1) {
        const size_t rest = n - i;
        if (!(chunks ? write_chunk(w, order + i, rest < WG__CHUNK ? (uint32_t)rest : WG__CHUNK)
                     : write_call(w, order[i])))
            return false;
    }
    return true;
}

static bool write_code(writer *w)
{
    const wg__scalar_node *nodes = w->b->nodes.data;
    for (size_t i = 0, end; i < w->b->nodes.len; i = end) {
        const wg__scalar_node *first = &nodes[w->order[i]];
        for (end = i + 1; end < w->b->nodes.len; end++) {
            const wg__scalar_node *n = &nodes[w->order[end]];
            if (n->level != first->level || n->action != first->action)
                break;
        }
        if (!write_run(w, w->order + i, end - i))
            return false;
    }
    return true;
}

/* ---- packing ------------------------------------------------------------------------------------ */

static size_t round64(size_t n) { return (n + 63) & ~(size_t)63; }

/* Numbers the results in the order of computing and lays out the regions, the widest first. */
static void place(wg__scalars_builder *b, wg__scalars *s, const uint32_t *order, uint32_t *index,
                  uint64_t *at)
{
    uint32_t first[WG__REGIONS];
    memcpy(first, b->next, sizeof first);
    for (size_t i = 0; i < b->nodes.len; i++)
        index[order[i]] = b->next[b->actions.data[b->nodes.data[order[i]].action].region]++;
    for (int k = WG__REGIONS - 1; k >= 0; k--) {
        s->base[k] = s->bytes;
        s->first[k] = s->bytes + ((size_t)first[k] << k);
        if (b->next[k])
            s->bytes += round64(((size_t)b->next[k] + WG__BLOCK_PAD) << k);
    }
    for (size_t i = 0; i < b->nodes.len; i++) {
        const uint8_t k = b->actions.data[b->nodes.data[i].action].region;
        at[i] = s->base[k] + ((uint64_t)index[i] << k);
    }
}

/* What lies side by side both there and here is one copy. */
static bool copies(const wg__scalars_builder *b, wg__scalars *s)
{
    WG__VEC(wg__outer_copy) all = {NULL, 0, 0};
    size_t last[WG__REGIONS] = {0, 0, 0, 0}; /* 1 + the number of the copy before, of each size */
    for (size_t i = 0; i < b->outers.len; i++) {
        const wg__scalar_outer *o = &b->outers.data[i];
        const uint8_t k = wg__scalars_region(o->dtype);
        wg__outer_copy *c = last[k] ? &all.data[last[k] - 1] : NULL;
        if (c && c->slot == o->slot && c->offset + (ptrdiff_t)c->bytes == o->offset) {
            c->bytes += (size_t)1 << k;
            continue;
        }
        const size_t to = s->base[k] + ((size_t)o->index << k);
        const wg__outer_copy one = {o->offset, to, (size_t)1 << k, o->slot};
        if (!wg__vec_push(b->ctx, &all, one)) {
            wg__vec_free(b->ctx, &all);
            return false;
        }
        last[k] = all.len;
    }
    s->copies = all.data;
    s->ncopies = all.len;
    return true;
}

/* Hands the actions and their pools over; offsets become pointers. */
static void adopt(wg__scalars_builder *b, wg__scalars *s)
{
    for (size_t i = 0; i < b->dtypes.len; i++)
        b->dtypes.data[i] = wg__scalars_region((wg_dtype)b->dtypes.data[i]);
    for (size_t i = 0; i < b->actions.len; i++) {
        wg__action *a = &b->actions.data[i];
        a->attrs.p = a->nattrs ? b->attrs.data + a->attrs.at : NULL;
        a->in.size = a->nin ? b->dtypes.data + a->in.at : NULL;
    }
    s->actions = b->actions.data;
    s->attrs = b->attrs.data;
    s->sizes = b->dtypes.data;
    b->actions.data = NULL;
    b->attrs.data = NULL;
    b->dtypes.data = NULL;
}

/* Sorts, places and writes; false when memory is out. */
static bool pack(wg__scalars_builder *b, wg__scalars *s, uint32_t *order, uint32_t *index,
                 uint64_t *at)
{
    writer w = {.b = b, .order = order, .index = index};
    bunch(b, index);
    if (!sort(b, order))
        return false;
    place(b, s, order, index, at);
    const bool ok = copies(b, s) && write_code(&w);
    s->code = w.code.data;
    s->words = w.code.len;
    const size_t room = (s->words + WG__AHEAD + 2) * sizeof *s->code;
    uint32_t *fit = ok ? wg__realloc(b->ctx, s->code, room) : NULL;
    if (fit) {
        memset(fit + s->words, 0, room - s->words * sizeof *fit);
        s->code = fit;
    }
    return fit != NULL;
}

wg__scalars *wg__scalars_end(wg__scalars_builder *b, uint64_t *at)
{
    wg_ctx *ctx = b->ctx;
    const size_t n = b->nodes.len;
    wg__scalars *s = b->failed ? NULL : wg__calloc(ctx, 1, sizeof *s);
    uint32_t *order = s ? wg__calloc(ctx, n, sizeof *order) : NULL;
    uint32_t *index = order ? wg__calloc(ctx, n, sizeof *index) : NULL;
    const bool ok = index && pack(b, s, order, index, at);
    if (ok) {
        s->nodes = n;
        s->scratch = 2 * round64(((size_t)b->most + 1) * sizeof(char *));
        adopt(b, s);
    } else {
        wg__scalars_free(ctx, s);
        s = NULL;
    }
    wg__free(ctx, order);
    wg__free(ctx, index);
    wg__scalars_drop(b);
    return s;
}

void wg__scalars_free(wg_ctx *ctx, wg__scalars *s)
{
    if (!s)
        return;
    wg__free(ctx, s->actions);
    wg__free(ctx, s->attrs);
    wg__free(ctx, s->sizes);
    wg__free(ctx, s->copies);
    wg__free(ctx, s->code);
    wg__free(ctx, s);
}
