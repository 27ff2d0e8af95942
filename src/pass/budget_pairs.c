/* budget: which scans are pairs: a backward one reads, step by step or chunk by chunk, what nobody else
 * reads of the per-step outputs and histories of a forward one; and what a replay of each would save. */
#include <string.h>

#include "pass/budget_find.h"

/* Which steps of a forward scan a backward one is about: first + chunk t .. first + chunk (t + 1) - 1 in
 * its step t. */
typedef struct part {
    int64_t first, chunk;
} part;

/* Whether `b` may have steps of `f` run again, in the order it needs them. */
static bool may_pair(const wg__scan *f, const wg__scan *b, part p)
{
    const int64_t steps = f->length.dim[0], n = b->length.dim[0];
    if (f->is_map || f->ncarry == 0 || f->reverse == b->reverse || f->counted != b->counted)
        return false;
    return !f->counted ||
           (p.first == 0 && p.chunk == 1 && steps == n && f->in[f->count] == b->in[b->count]);
}

/* The value that sequence `k` of b is a part of, if a scan that b may be paired with has it by step; *f is
 * then that scan. WG__NONE: it is another. */
static uint32_t by_step_of(const wg__origins *d, const wg__scan *b, size_t k, wg__scan *f, part *p)
{
    const wg__range r = wg__origins_chase(d, b->in[b->x0 + k]);
    const uint32_t head = wg__head(d->t, r.id);
    if (head >= b->id || !wg__scan_of(d->t, head, f) || !wg__scan_by_step(f, r.id))
        return WG__NONE;
    const int64_t steps = f->length.dim[0], n = b->length.dim[0];
    const int64_t row = steps ? count_of(d->t, r.id) / steps : 0;
    if (row == 0 || n == 0 || r.at % row || r.count % (row * n))
        return WG__NONE;
    *p = (part){r.at / row, r.count / (row * n)};
    return p->chunk > 0 && may_pair(f, b, *p) ? r.id : WG__NONE;
}

/* The scan, and which part of it, of which b reads most by step. False: there is none. */
static bool best_forward(const wg__origins *d, const wg__scan *b, wg__chain *best)
{
    int64_t most = 0;
    for (size_t k = 0; k < b->nxs; k++) {
        wg__scan f, other;
        part p, q;
        int64_t bytes = 0;
        if (by_step_of(d, b, k, &f, &p) == WG__NONE)
            continue;
        for (size_t i = 0; i < b->nxs; i++)
            if (by_step_of(d, b, i, &other, &q) != WG__NONE && other.id == f.id &&
                q.first == p.first && q.chunk == p.chunk)
                bytes += (int64_t)bytes_of(d->t, b->in[b->x0 + i]);
        if (bytes > most) {
            most = bytes;
            best->forward = f.id;
            best->first = p.first;
            best->chunk = p.chunk;
        }
    }
    return most > 0;
}

/* The output of the pair's forward scan that sequence k is the pair's part of; WG__NONE: it is not. */
static uint32_t paired(const wg__origins *d, const wg__chain *p, const wg__scan *b, size_t k)
{
    wg__scan f;
    part at;
    const uint32_t id = by_step_of(d, b, k, &f, &at);
    return id != WG__NONE && f.id == p->forward && at.first == p->first && at.chunk == p->chunk
               ? id
               : WG__NONE;
}

/* The same if it need not be read from there. */
uint32_t wg__origins_replayed(const wg__origins *d, const wg__chain *p, const wg__scan *b, size_t k)
{
    const uint32_t id = paired(d, p, b, k);
    return id != WG__NONE && d->reads[id] == d->by_step[id] ? id : WG__NONE;
}

void wg__origins_count(wg__origins *d, const wg__chains *pairs)
{
    memset(d->by_step, 0, d->t->nodes.len * sizeof *d->by_step);
    for (size_t i = 0; i < pairs->list.len; i++) {
        const wg__chain *p = &pairs->list.data[i];
        wg__scan b;
        wg__scan_of(d->t, p->backward, &b);
        for (size_t k = 0; p->on && k < b.nxs; k++) {
            const uint32_t id = paired(d, p, &b, k);
            if (id != WG__NONE)
                d->by_step[id]++;
        }
    }
}

/* What the pair saves and costs. */
static void weigh(const wg__origins *d, wg__chain *p)
{
    wg__scan b, f;
    wg__scan_of(d->t, p->backward, &b);
    wg__scan_of(d->t, p->forward, &f);
    p->steps = b.length.dim[0];
    p->length = f.length.dim[0];
    p->pieces = false;
    for (uint32_t id = 0; id < d->t->nodes.len && !p->pieces; id++) {
        int64_t first, count;
        wg__scan g;
        p->pieces = d->piece[id] && wg__origins_piece(d, id, &g, &first, &count) && g.id == f.id;
    }
    p->lead = f.reverse ? p->length - p->first - p->chunk * p->steps : p->first;
    for (size_t i = 0; i < f.ncarry; i++)
        p->state += (bytes_of(d->t, f.in[i]) + 63) & ~(size_t)63;
    for (size_t k = 0; k < b.nxs; k++) {
        uint32_t id = wg__origins_replayed(d, p, &b, k);
        if (id == WG__NONE)
            continue;
        p->turns |= id - f.id < f.hist0;
        p->saved += bytes_of(d->t, b.in[b.x0 + k]);
        p->on = true;
    }
}

static bool add_pairs(wg__origins *d, wg__chains *pairs)
{
    for (uint32_t id = 0; id < d->t->nodes.len; id++) {
        wg__scan b;
        if (wg__node_at(d->t, id)->out || !wg__scan_of(d->t, id, &b) || b.is_map ||
            b.length.dim[0] < 1)
            continue;
        wg__chain p = {.backward = id, .on = true};
        if (best_forward(d, &b, &p) && !wg__vec_push(d->g->ctx, &pairs->list, p))
            return false;
    }
    return true;
}

bool wg__chains_find(const wg__graph *g, wg__chains *out)
{
    wg__origins d;
    *out = (wg__chains){.ctx = g->ctx};
    bool good = wg__origins_make(&d, g) && add_pairs(&d, out);
    size_t kept = 0;
    if (good)
        wg__origins_count(&d, out);
    for (size_t i = 0; good && i < out->list.len; i++) {
        wg__chain p = out->list.data[i];
        p.on = false;
        weigh(&d, &p);
        if (p.on)
            out->list.data[kept++] = p;
    }
    out->list.len = kept;
    wg__origins_free(&d);
    return good;
}

void wg__chains_free(wg__chains *pairs) { wg__vec_free(pairs->ctx, &pairs->list); }
