/* save: the loops made anew: what is handed on becomes one more output of the loop that computed it and
 * one more sequence of the loop that would compute it again. */
#include <string.h>

#include "pass/save.h"

static const wg__gain *gains_of(const wg__saver *sv, const wg__fn *fn)
{
    uint32_t at = wg__pool_find(&sv->fns, &fn, sizeof(wg__fn *));
    return at ? &sv->gains.data[at - 1] : NULL;
}

static uint32_t key_of(wg__saver *sv, const wg__scan *s, const wg__edit *e)
{
    wg__remade_put(&sv->made, (uint64_t)(uintptr_t)s->fn);
    wg__remade_put(&sv->made, (uint64_t)s->ncarry << 32 | s->nxs);
    wg__remade_put(&sv->made, s->nsums);
    for (size_t i = 0; e && i < e->wishes.len; i++)
        wg__remade_put(&sv->made, e->wishes.data[i].id);
    return wg__remade_key(&sv->made);
}

static void add_operands(wg__saver *sv, wg__rescan *l, const wg__edit *e)
{
    const wg__scan *s = &l->s;
    wg__copy *c = l->c;
    for (size_t i = 0; i < s->count; i++)
        wg__rescan_keep(l, i < s->x0 ? WG__CARRY : i < s->w0 ? WG__X : WG__W, i, c->map[s->in[i]]);
    const uint32_t *facts = wg__facts_of(&sv->facts, c->src);
    for (size_t i = 0; e && i < e->wishes.len; i++) {
        const wg__wish *w = &e->wishes.data[i];
        const wg__node *n = wg__node_at(s->fn->body, w->id);
        uint32_t outer =
            w->at != WG__NONE ? c->map[w->at] : sv->edits.data[facts[w->from]].extra0 + w->extra;
        wg__rescan_add(l, WG__X, outer, *wg__type_at(s->fn->body, w->id),
                       wg__text(s->fn->body, n->name));
    }
}

/* Values that are read instead of computed stand in the map before anything is copied; other outputs
 * of their nodes, which nobody reads then, stand for the same. */
static void enter_wishes(wg__rescan *l, const wg__edit *e)
{
    const wg_tape *b = l->s.fn->body;
    const size_t first = l->s.nxs;
    for (size_t i = 0; i < e->wishes.len; i++) {
        const uint32_t formal = l->in[WG__X].data[first + i].formal;
        for (uint32_t id = 0; id < b->nodes.len; id++) {
            const uint32_t head = wg__head(b, id);
            if (e->number[id] != e->wishes.data[i].number || wg__node_at(b, id)->op == WG__OP_INPUT)
                continue;
            for (uint32_t k = 0; k < wg__node_at(b, id)->nout; k++)
                if (l->map[head + k] == WG__NONE || head + k == id)
                    l->map[head + k] = formal;
        }
    }
}

static void fill_body(wg__rescan *l, const wg__edit *e, const wg__gain *more)
{
    const wg__scan *s = &l->s;
    wg__rescan_open(l);
    if (!l->failed && e)
        enter_wishes(l, e);
    for (size_t k = 0; k < s->sum0; k++)
        wg__rescan_out(l, k < s->y0 ? WG__FINAL : WG__Y, wg__rescan_get(l, s->fn->outs[k]));
    for (size_t k = 0; more && k < more->ids.len; k++)
        wg__rescan_out(l, WG__Y, wg__rescan_get(l, more->ids.data[k]));
    for (size_t k = s->sum0; k < s->hist0; k++)
        wg__rescan_out(l, WG__SUM, wg__rescan_get(l, s->fn->outs[k]));
}

static bool remake(wg__saver *sv, wg__copy *c, const wg__scan *s, wg__edit *e, const wg__gain *more)
{
    wg__rescan l;
    const uint32_t key = key_of(sv, s, e);
    wg__rescan_begin(&l, c, s);
    add_operands(sv, &l, e);
    wg__fn *known = key ? wg__remade_get(&sv->made, key) : NULL;
    if (!known)
        fill_body(&l, e, more);
    uint32_t first = key ? wg__rescan_end(&l, known) : WG__NONE;
    if (first != WG__NONE) {
        const size_t extra = more ? more->ids.len : 0;
        wg__remade_set(&sv->made, key, &l);
        for (size_t k = 0; k < s->hist0 + s->ncarry; k++)
            c->map[s->id + k] = first + (uint32_t)(k < s->sum0 ? k : k + extra);
        if (e)
            e->extra0 = first + (uint32_t)s->sum0;
    }
    wg__rescan_free(&l);
    return first != WG__NONE;
}

bool wg__save_rewrite(wg__copy *c, uint32_t id)
{
    wg__saver *sv = c->user;
    wg__scan s;
    if (!wg__scan_of(c->src, id, &s) || wg_tape_status(c->dst))
        return false;
    const uint32_t fact = wg__facts_of(&sv->facts, c->src)[id];
    const wg__gain *more = gains_of(sv, s.fn);
    wg__edit *e = fact != WG__NONE ? &sv->edits.data[fact] : NULL;
    if (!e && !more)
        return false;
    if (remake(sv, c, &s, e, more))
        return true;
    wg__tape_no_memory(c->dst);
    return false;
}
