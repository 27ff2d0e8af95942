/* A while without what does not count: carries that neither the condition nor what is read needs, and
 * invariants that its bodies do not use then. See trim.c. */
#include "pass/trim.h"

/* Operands: carries, invariants of fn, of cond. Outputs: final carries, the number of steps, and with a
 * bound the histories. */
typedef struct whiles {
    const wg_tape *t;
    uint32_t id;
    const wg__fn *fn, *cond;
    size_t ncarry;
    const bool *read; /* by value of t */
    bool *kept;       /* by operand */
    bool changes;
} whiles;

static bool history_read(const whiles *w, size_t i)
{
    const size_t at = w->ncarry + 1 + i;
    return at < wg__node_at(w->t, w->id)->nout && w->read[w->id + at];
}

/* used[]: which values of the body the outputs k with carries[k] need. */
static void spread(const wg__fn *fn, const bool *kept, bool *used)
{
    for (uint32_t k = 0; k < fn->nouts; k++)
        used[fn->outs[k]] |= kept[k];
    wg__mark_read(fn->body, NULL, 0, used);
}

static void find_kept(whiles *w, bool *used, bool *by_cond)
{
    const wg_tape *b = w->fn->body, *c = w->cond->body;
    wg__mark_read(c, w->cond->outs, 1, by_cond);
    for (size_t i = 0; i < w->ncarry; i++)
        w->kept[i] = w->read[w->id + i] || history_read(w, i) || by_cond[c->inputs.data[i]];
    for (bool again = true; again;) {
        again = false;
        spread(w->fn, w->kept, used);
        for (size_t i = 0; i < w->ncarry; i++)
            if (used[b->inputs.data[i]] && !w->kept[i])
                again = w->kept[i] = true;
    }
    bool *own = w->kept + b->inputs.len;
    for (size_t i = w->ncarry; i < b->inputs.len; i++)
        w->kept[i] = used[b->inputs.data[i]];
    for (size_t i = w->ncarry; i < c->inputs.len; i++)
        own[i - w->ncarry] = by_cond[c->inputs.data[i]];
}

/* False: out of memory. w->kept is to be freed in any case. */
static bool whiles_make(whiles *w, wg_ctx *ctx, const wg_tape *t, uint32_t id, const bool *read)
{
    const wg__node *n = wg__node_at(t, id);
    wg_attrs a = wg__attrs_of(t, id);
    *w = (whiles){.t = t, .id = id, .read = read};
    w->fn = wg__node_fn(t, id, "fn");
    w->cond = wg__node_fn(t, id, "cond");
    w->ncarry = (size_t)wg_attrs_int(&a, "carries");
    w->kept = wg__calloc(ctx, n->nin + 1u, sizeof *w->kept);
    bool *used = wg__calloc(ctx, w->fn->body->nodes.len + 1, sizeof *used);
    bool *by_cond = wg__calloc(ctx, w->cond->body->nodes.len + 1, sizeof *by_cond);
    const bool good = w->kept && used && by_cond;
    if (good)
        find_kept(w, used, by_cond);
    size_t carries = 0;
    for (size_t i = 0; good && i < w->ncarry; i++)
        carries += w->kept[i];
    for (size_t i = 0; good && carries && i < n->nin; i++) /* there is one carry at least */
        w->changes |= !w->kept[i];
    wg__free(ctx, used);
    wg__free(ctx, by_cond);
    return good;
}

bool wg__trim_while_looks(wg_ctx *ctx, const wg_tape *t, uint32_t id, const bool *read, bool *good)
{
    whiles w;
    if (wg__node_at(t, id)->op != WG__OP_WHILE || wg__node_at(t, id)->out ||
        !wg__trim_any_read(t, id, read))
        return false;
    *good = whiles_make(&w, ctx, t, id, read);
    wg__free(ctx, w.kept);
    return *good && w.changes;
}

/* ---- making ---------------------------------------------------------------------------------------------- */

typedef struct maker {
    const whiles *w;
    wg__trim_bodies bodies;
    bool cond; /* the body that comes next is the condition */
} maker;

static bool keeps_formal(const void *user, size_t i)
{
    const maker *m = user;
    const whiles *w = m->w;
    const size_t own = m->cond ? w->fn->body->inputs.len - w->ncarry : 0;
    return w->kept[i < w->ncarry ? i : i + own];
}

static bool keeps_output(const void *user, size_t k)
{
    const maker *m = user;
    return m->cond || m->w->kept[k];
}

/* The step, then the condition (see wg__attrs_replace_fns). */
static uint32_t import(void *user, wg__fn *fn)
{
    maker *m = user;
    const uint32_t at = wg__trim_body(&m->bodies, fn);
    m->cond = true;
    return at;
}

bool wg__trim_while(wg__copy *c, uint32_t id, wg__remade *made, const bool *read)
{
    wg_ctx *ctx = c->dst->ctx;
    whiles w;
    bool good = whiles_make(&w, ctx, c->src, id, read);
    maker m = {.w = &w};
    m.bodies = (wg__trim_bodies){c, made, id, keeps_formal, keeps_output, &m};
    wg_attrs view = wg__attrs_of(c->src, id);
    wg_attr attrs[WG__MAX_ATTRS];
    size_t nattrs = wg__attrs_export(&view, attrs), ncarry = 0, at = 0;
    wg_fn *room = NULL;
    good = good && wg__attrs_replace_fns(c->dst, &view, attrs, nattrs, import, &m, &room);
    for (size_t i = 0; good && i < w.ncarry; i++)
        ncarry += w.kept[i];
    const uint32_t to =
        good ? wg__trim_record(c, id, w.kept, attrs, nattrs, "carries", ncarry) : WG__NONE;
    for (size_t i = 0; to != WG__NONE && i < w.ncarry; i++) {
        if (!w.kept[i])
            continue;
        c->map[id + i] = to + (uint32_t)at;
        if (history_read(&w, i))
            c->map[id + w.ncarry + 1 + i] = to + (uint32_t)(ncarry + 1 + at);
        at++;
    }
    if (to != WG__NONE)
        c->map[id + w.ncarry] = to + (uint32_t)ncarry;
    wg__free(ctx, room);
    wg__free(ctx, w.kept);
    return to != WG__NONE;
}
