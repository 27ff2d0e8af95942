/* dce: dead code. What neither the outputs of the graph nor those of a body need is dropped; where
 * everything is needed nothing is copied. Every copy drops the dead, so this is for a graph as it was
 * recorded, before other passes look at it. */
#include "pass/pass.h"

enum { NEEDED = 0 };

static void mark_roots(wg__facts *f, const wg__graph *g)
{
    uint32_t *needed = wg__facts_of(f, g->tape);
    for (size_t i = 0; i < g->nroots; i++)
        needed[wg__head(g->tape, g->ids[i])] = NEEDED;
    for (size_t i = 0; i < f->of.len; i++) {
        const wg_tape *t = wg__bodies_at(&f->tapes, i);
        for (size_t k = 0; k < t->fns.len; k++) {
            const wg__fn *fn = t->fns.data[k].fn;
            needed = wg__facts_of(f, fn->body);
            for (uint32_t o = 0; o < fn->nouts; o++)
                needed[wg__head(fn->body, fn->outs[o])] = NEEDED;
        }
    }
}

/* How many nodes are not needed. Sources cost nothing and are not counted; assigns always are. */
static size_t count_dead(const wg_tape *t, uint32_t *needed)
{
    size_t dead = 0;
    for (uint32_t id = (uint32_t)t->nodes.len; id-- > 0;) {
        const wg__node *n = wg__node_at(t, id);
        if (n->out || (wg__op_of(t, id)->def.flags & WG_OP_SOURCE))
            continue;
        dead += needed[id] != NEEDED || n->op == WG__OP_ASSIGN;
        const uint32_t *in = wg__operands(t, n);
        for (uint16_t k = 0; k < n->nin && needed[id] == NEEDED; k++)
            needed[wg__head(t, in[k])] = NEEDED;
    }
    return dead;
}

wg_status wg__pass_dce(wg__graph *g)
{
    wg__facts f;
    size_t dead = 0;
    wg_status status = wg__facts_make(&f, g) ? WG_OK : WG_NO_MEMORY;
    if (!status)
        mark_roots(&f, g);
    for (size_t i = 0; !status && i < f.of.len; i++)
        dead += count_dead(wg__bodies_at(&f.tapes, i), f.of.data[i]);
    wg__facts_free(&f);
    if (status || !dead)
        return status;
    wg__graph_note(g, "dce", "dropped %zu node%s", dead, dead == 1 ? "" : "s");
    return wg__graph_rewrite(g, wg__drop_assign, NULL, false);
}
