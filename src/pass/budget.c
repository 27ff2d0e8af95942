/* budget: backward scans become replays. Run only for compile option memory_limit, after all other
 * passes.
 *
 * Why results keep their bits: bodies are taken over as they are and run by the same plans on the same
 * operands. A replay node reads what both scans read and waits for the forward one, so that its depth
 * among the clusters (fuse.c) is that of the scan it replaces; what is left of the tape keeps its order.
 * Hence all clusters are as they were. */
#include "pass/budget_find.h"

enum { MOST_OF_PIECE = 16 }; /* snapshots for one */

typedef struct rewriter {
    const wg__chains *pairs;
    wg__origins d;
} rewriter;

/* The smallest value that the forward scan gives in any case: what the replay waits for. */
static uint32_t ticket(const wg_tape *t, const wg__scan *f)
{
    uint32_t best = f->id;
    for (uint32_t i = 1; i < f->ncarry; i++)
        if (bytes_of(t, f->id + i) < bytes_of(t, best))
            best = f->id + i;
    return best;
}

/* Operands on dst in the order of ops/replay.c; *from: where sequences come from. Returns how many. */
static size_t gather(const rewriter *r, const wg__copy *c, const wg__chain *p, const wg__scan *b,
                     const wg__scan *f, uint32_t *ins, int64_t *from)
{
    size_t n = 0;
    for (size_t i = 0; i < wg__scan_noperands(b); i++) {
        uint32_t id = WG__NONE;
        if (i >= b->x0 && i < b->w0) {
            id = wg__origins_replayed(&r->d, p, b, i - b->x0);
            from[i - b->x0] = id == WG__NONE ? -1 : (int64_t)(id - f->id);
        }
        if (id == WG__NONE)
            ins[n++] = c->map[b->in[i]];
    }
    for (size_t i = 0; i < wg__scan_noperands(f); i++)
        ins[n++] = c->map[f->in[i]];
    if (b->counted)
        ins[n++] = c->map[b->in[b->count]];
    ins[n++] = c->map[ticket(r->d.t, f)];
    return n;
}

/* What the attributes of a replay say; takes over the reference to `back`. False after an error. The step
 * is the body that the forward scan on dst has. */
static bool describe(const wg__copy *c, wg__fn *back, const wg__scan *b, const wg__scan *f,
                     const wg__chain *p, const int64_t *from, uint32_t *blob)
{
    wg_tape *dst = c->dst;
    wg__fn *step = wg__node_fn(dst, c->map[f->id], "fn");
    uint32_t at_step = wg__fn_add(dst, step), at_back = back ? wg__fn_add(dst, back) : 0;
    wg__fn_unref(back);
    if (!at_step || !at_back)
        return false;
    const int64_t counts[] = {(int64_t)f->ncarry, (int64_t)f->nxs, (int64_t)f->nsums,
                              f->length.dim[0],   p->first,        p->chunk};
    const wg_attr attrs[] = {wg_attr_fn("fn", wg__fn_handle(dst, at_back)),
                             wg_attr_fn("step", wg__fn_handle(dst, at_step)),
                             wg_attr_int("carries", (int64_t)b->ncarry),
                             wg_attr_int("xs", (int64_t)b->nxs),
                             wg_attr_shape("length", b->length),
                             wg_attr_int("sums", (int64_t)b->nsums),
                             wg_attr_bool("reverse", b->reverse),
                             wg_attr_bool("counted", b->counted),
                             wg_attr_ints("from", from, b->nxs),
                             wg_attr_ints("step_layout", counts, sizeof counts / sizeof *counts),
                             wg_attr_int("snapshots", p->snapshots)};
    const wg__op *op = wg__op_find(dst->ctx, "replay");
    return op && wg__attrs_build(dst, op, attrs, sizeof attrs / sizeof *attrs, -1, blob);
}

static bool push_replay(rewriter *r, wg__copy *c, const wg__chain *p)
{
    wg_ctx *ctx = c->dst->ctx;
    const uint32_t id = p->backward;
    const uint16_t nout = wg__node_at(c->src, id)->nout;
    wg__scan b, f;
    wg__scan_of(c->src, id, &b);
    wg__scan_of(c->src, p->forward, &f);
    size_t most = wg__scan_noperands(&b) + wg__scan_noperands(&f) + 2;
    uint32_t *ins = wg__calloc(ctx, most, sizeof *ins), blob = 0, to = WG__NONE;
    int64_t *from = wg__calloc(ctx, b.nxs + 1, sizeof *from);
    wg_type *types = wg__calloc(ctx, nout, sizeof *types);
    for (uint32_t k = 0; types && k < nout; k++)
        types[k] = *wg__type_at(c->src, id + k);
    if (ins && from && types) {
        size_t n = gather(r, c, p, &b, &f, ins, from);
        if (describe(c, wg__fn_copy(c->dst, b.fn, c), &b, &f, p, from, &blob))
            to = wg__push(c->dst, wg__op_number(ctx, "replay"), ins, n, blob, types, nout);
    }
    wg__free(ctx, ins);
    wg__free(ctx, from);
    wg__free(ctx, types);
    for (uint32_t k = 0; to != WG__NONE && k < nout; k++)
        c->map[id + k] = to + k;
    return to != WG__NONE || (wg__tape_no_memory(c->dst), false);
}

/* The type of one step of a piece. */
static wg_type piece_step(const wg_tape *t, uint32_t id)
{
    const wg_type *all = wg__type_at(t, id);
    wg_type step = {all->dtype, wg_shape_make(NULL, 0)};
    for (int i = 1; i < all->shape.rank; i++)
        wg_shape_push(&step.shape, &all->shape, i);
    return step;
}

/* The body that gives what it takes: one step of each of the pieces. Owned; NULL: out of memory. */
static wg__fn *copying(wg_tape *dst, const wg_tape *t, const uint32_t *pieces, size_t n)
{
    wg_ctx *ctx = dst->ctx;
    wg_tape *body = wg__tape_new_sub(dst, ctx, "piece");
    wg__fn *fn = wg__calloc(ctx, 1, sizeof *fn);
    uint32_t *outs = wg__calloc(ctx, n, sizeof *outs);
    bool good = body && fn && outs;
    for (size_t i = 0; good && i < n; i++) {
        const wg_type step = piece_step(t, pieces[i]);
        outs[i] = wg__push_source(body, WG__OP_INPUT, 0, 0, &step);
        good = outs[i] != WG__NONE && wg__vec_push(ctx, &body->inputs, outs[i]);
    }
    if (!good) {
        wg__tape_destroy(body);
        wg__free(ctx, fn);
        wg__free(ctx, outs);
        return NULL;
    }
    wg__fn_init(fn, body, outs, n);
    return fn;
}

/* All pieces of one part of a scan, as one node. It waits for nothing: its depth is the scan's own. */
static bool push_pieces(const rewriter *r, wg__copy *c, const wg__scan *f, const uint32_t *pieces,
                        size_t n, int64_t first, int64_t count)
{
    wg_ctx *ctx = c->dst->ctx;
    const wg_tape *t = r->d.t;
    const size_t nin = wg__scan_noperands(f);
    const wg__scan b = {.nxs = n, .length = wg_shape_make(&count, 1), .reverse = !f->reverse};
    const wg__chain p = {.first = first,
                         .chunk = 1,
                         .snapshots = count - 1 < MOST_OF_PIECE ? count - 1 : MOST_OF_PIECE};
    uint32_t *ins = wg__calloc(ctx, nin + 1, sizeof *ins), blob = 0, to = WG__NONE;
    int64_t *from = wg__calloc(ctx, n, sizeof *from);
    wg_type *types = wg__calloc(ctx, n, sizeof *types);
    if (ins && from && types) {
        for (size_t i = 0; i < nin; i++)
            ins[i] = c->map[f->in[i]];
        for (size_t i = 0; i < n; i++) {
            from[i] = (int64_t)(wg__origins_chase_piece(&r->d, pieces[i]).id - f->id);
            types[i] = *wg__type_at(t, pieces[i]);
        }
        if (describe(c, copying(c->dst, t, pieces, n), &b, f, &p, from, &blob))
            to = wg__push(c->dst, wg__op_number(ctx, "replay"), ins, nin, blob, types, n);
    }
    wg__free(ctx, ins);
    wg__free(ctx, from);
    wg__free(ctx, types);
    for (size_t i = 0; to != WG__NONE && i < n; i++)
        c->map[pieces[i]] = to + (uint32_t)i;
    return to != WG__NONE || (wg__tape_no_memory(c->dst), false);
}

/* Whether a pair that is on has this forward scan, so that its sequences are not stored. */
static bool is_replayed(const rewriter *r, uint32_t forward)
{
    for (size_t i = 0; i < r->pairs->list.len; i++)
        if (r->pairs->list.data[i].on && r->pairs->list.data[i].forward == forward)
            return true;
    return false;
}

/* With piece `id` all others of its part, which come later. */
static bool rewrite_piece(const rewriter *r, wg__copy *c, uint32_t id)
{
    wg__scan f, g;
    int64_t first, count, at, size;
    size_t n = 0;
    if (c->map[id] != WG__NONE)
        return true; /* with one before */
    if (!wg__origins_piece(&r->d, id, &f, &first, &count) || !is_replayed(r, f.id))
        return false;
    uint32_t *pieces = wg__calloc(r->d.g->ctx, r->d.t->nodes.len, sizeof *pieces);
    for (uint32_t k = id; pieces && k < r->d.t->nodes.len; k++)
        if (r->d.piece[k] && wg__origins_piece(&r->d, k, &g, &at, &size) && g.id == f.id &&
            at == first && size == count)
            pieces[n++] = k;
    bool good = pieces && push_pieces(r, c, &f, pieces, n, first, count);
    wg__free(r->d.g->ctx, pieces);
    return good || (wg__tape_no_memory(c->dst), false);
}

static bool rewrite(wg__copy *c, uint32_t id)
{
    rewriter *r = c->user;
    if (c->src != r->d.t || wg_tape_status(c->dst))
        return false;
    if (r->d.piece[id])
        return rewrite_piece(r, c, id);
    for (size_t i = 0; i < r->pairs->list.len; i++)
        if (r->pairs->list.data[i].on && r->pairs->list.data[i].backward == id)
            return push_replay(r, c, &r->pairs->list.data[i]);
    return false;
}

wg_status wg__budget(wg__graph *g, const wg__chains *pairs)
{
    rewriter r = {.pairs = pairs};
    wg_status status = wg__origins_make(&r.d, g) ? WG_OK : wg__tape_no_memory(g->report);
    if (!status) {
        wg__origins_count(&r.d, pairs);
        status = wg__graph_rewrite(g, rewrite, &r, false);
    }
    wg__origins_free(&r.d);
    /* Views of what is not stored any more. */
    return status ? status : wg__graph_rewrite(g, NULL, NULL, false);
}
