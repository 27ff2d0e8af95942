/* budget: where values come from. Reshapes, rows of a section and parts of a concat are looked through, so
 * that what the pair of a scan and the scan of its VJP share is seen whatever lies between them. */
#include "pass/budget_find.h"

enum { FEWER = 4 }; /* a piece is at most this part of its sequence */

/* Whether a section takes whole rows of its operand; *at gets the first element. */
static bool is_rows(const wg_tape *t, uint32_t id, int64_t *at)
{
    const wg_shape *x = &wg__type_at(t, wg__operands(t, wg__node_at(t, id))[0])->shape;
    wg_attrs a = wg__attrs_of(t, id);
    wg_shape start = wg_attrs_shape(&a, "start"), size = wg_attrs_shape(&a, "size");
    size_t nsteps;
    const int64_t *steps = wg_attrs_ints(&a, "step", &nsteps);
    int64_t row = 1;
    for (size_t i = 0; i < nsteps; i++)
        if (steps[i] != 1)
            return false;
    for (int i = 1; i < x->rank; i++) {
        if (start.dim[i] != 0 || size.dim[i] != x->dim[i])
            return false;
        row *= x->dim[i];
    }
    *at = x->rank ? start.dim[0] * row : 0;
    return x->rank > 0;
}

/* One step back through views that keep the order of elements. False: there is none. */
static bool look_through(const wg__origins *f, wg__range *r)
{
    const wg__node *n = wg__node_at(f->t, r->id);
    const uint32_t *in = wg__operands(f->t, n);
    wg_attrs a = wg__attrs_of(f->t, r->id);
    int64_t at = 0;
    if (f->piece[r->id])
        return false;
    if (n->op == f->reshape || (n->op == f->section && is_rows(f->t, r->id, &at))) {
        *r = (wg__range){in[0], r->at + at, r->count};
        return true;
    }
    if (n->op != f->concat || wg_attrs_int(&a, "axis") != 0)
        return false;
    for (uint16_t k = 0; k < n->nin; k++) {
        const int64_t count = count_of(f->t, in[k]);
        if (r->at >= at && r->at + r->count <= at + count && r->count) {
            *r = (wg__range){in[k], r->at - at, r->count};
            return true;
        }
        at += count;
    }
    return false;
}

/* Where these elements come from. */
wg__range wg__origins_chase(const wg__origins *f, uint32_t id)
{
    wg__range r = {id, 0, count_of(f->t, id)};
    while (look_through(f, &r))
        continue;
    return r;
}

wg__range wg__origins_chase_piece(const wg__origins *f, uint32_t id)
{
    const bool own = f->piece[id];
    f->piece[id] = false;
    const wg__range r = wg__origins_chase(f, id);
    f->piece[id] = own;
    return r;
}

uint16_t wg__op_number(wg_ctx *ctx, const char *name)
{
    const wg__op *op = wg__op_find(ctx, name);
    return op ? op->index : UINT16_MAX;
}

bool wg__scan_by_step(const wg__scan *s, uint32_t id)
{
    size_t k = id - s->id;
    return (k >= s->y0 && k < s->sum0) || k >= s->hist0;
}

bool wg__origins_piece(const wg__origins *d, uint32_t id, wg__scan *f, int64_t *first,
                       int64_t *count)
{
    int64_t at;
    if (wg__node_at(d->t, id)->op != d->section || !is_rows(d->t, id, &at))
        return false;
    const wg__range r = wg__origins_chase_piece(d, id);
    if (!wg__scan_of(d->t, wg__head(d->t, r.id), f) || !wg__scan_by_step(f, r.id) || f->is_map ||
        f->counted || f->ncarry == 0)
        return false;
    const int64_t steps = f->length.dim[0], row = steps ? count_of(d->t, r.id) / steps : 0;
    *count = wg__type_at(d->t, id)->shape.dim[0];
    if (row == 0 || r.at % row || r.count != *count * row || *count * FEWER > steps || *count == 0)
        return false;
    *first = r.at / row;
    return true;
}

/* Readers look through views; a view counts as a reader where somebody reads it as it is. From the last
 * node on, so that this is known when a view's turn comes. */
bool wg__origins_make(wg__origins *f, const wg__graph *g)
{
    const wg_tape *t = g->tape;
    *f = (wg__origins){.g = g,
                       .t = t,
                       .reshape = wg__op_number(g->ctx, "reshape"),
                       .section = wg__op_number(g->ctx, "section"),
                       .concat = wg__op_number(g->ctx, "concat")};
    f->reads = wg__calloc(g->ctx, t->nodes.len + 1, sizeof *f->reads);
    f->by_step = wg__calloc(g->ctx, t->nodes.len + 1, sizeof *f->by_step);
    f->piece = wg__calloc(g->ctx, t->nodes.len + 1, sizeof *f->piece);
    bool *needed = wg__calloc(g->ctx, t->nodes.len + 1, sizeof *needed);
    bool good = f->reads && f->by_step && f->piece && needed;
    for (uint32_t id = 0; good && id < t->nodes.len; id++) {
        wg__scan scan;
        int64_t first, count;
        f->piece[id] = wg__origins_piece(f, id, &scan, &first, &count);
    }
    for (size_t i = 0; good && i < g->nroots; i++) {
        f->reads[wg__origins_chase(f, g->ids[i]).id]++;
        needed[wg__head(t, g->ids[i])] = true;
    }
    for (uint32_t id = (uint32_t)t->nodes.len; good && id-- > 0;) {
        const wg__node *n = wg__node_at(t, id);
        const uint32_t *in = wg__operands(t, n);
        const bool view = n->op == f->reshape || n->op == f->section || n->op == f->concat;
        for (uint16_t k = 0; needed[id] && !n->out && k < n->nin; k++) {
            needed[wg__head(t, in[k])] = true;
            if (!f->piece[id] && (!view || f->reads[id]))
                f->reads[wg__origins_chase(f, in[k]).id]++;
        }
    }
    wg__free(g->ctx, needed);
    return good;
}

void wg__origins_free(wg__origins *f)
{
    wg__free(f->g->ctx, f->reads);
    wg__free(f->g->ctx, f->by_step);
    wg__free(f->g->ctx, f->piece);
}
