/* split (loop fission; Allen and Kennedy 1987, Appleyard et al. 2016): products and gathers that depend
 * on no carry are computed for all steps before a loop, those that no carry depends on after it, and sums
 * of products over the steps become products over the rows of all steps. The input projections of a
 * recurrent net are one product then, and so are its weight gradients.
 *
 * A long loop is first cut into chunks of C steps: an outer loop over chunks, whose body does C steps'
 * work before, runs an inner loop of C steps, and does C steps' work after. So what is stacked between
 * them stays small, whatever the number of steps. C depends on shapes alone, and a loop and its backward
 * loop have the same chunks: both count from step 0, and what is left over, T mod C steps, comes last in
 * place (first for a loop that runs in reverse). */
#include "pass/split.h"

/* A body that many loops share is split for each of them, and those within it again: no more of them than
 * this in a graph; the others stay as they are. */
enum { MOST_LOOPS = 4096 };

typedef struct splitting {
    wg__facts read; /* by value: 1 if somebody reads it */
    wg_ctx *ctx;
    size_t loops, moved, chunked, gone;
} splitting;

/* ---- one loop ------------------------------------------------------------------------------------ */

static bool record(splitting *p, wg__copy *c, const wg__split *sp)
{
    bool in_chunks = false;
    p->loops++;
    const bool good = wg__split_record(sp, c, &in_chunks);
    p->moved += sp->moved;
    p->chunked += in_chunks;
    p->gone += sp->whole;
    return good;
}

/* Which histories somebody reads, or gave a name. */
static bool *histories_of(splitting *p, const wg__copy *c, const wg__scan *s)
{
    bool *history = wg__calloc(p->ctx, s->ncarry + 1, sizeof *history);
    for (size_t k = 0; history && k < s->ncarry; k++) {
        const uint32_t id = s->id + (uint32_t)(s->hist0 + k);
        history[k] = wg__facts_of(&p->read, c->src)[id] == 1 || wg__node_at(c->src, id)->name;
    }
    return history;
}

static bool rewrite(wg__copy *c, uint32_t id)
{
    splitting *p = c->user;
    wg__scan s;
    wg__split sp;
    if (wg_tape_status(c->dst) || p->loops >= MOST_LOOPS || !wg__scan_of(c->src, id, &s))
        return false;
    bool *history = histories_of(p, c, &s), done = false;
    if (history) {
        wg__split_find(&sp, p->ctx, &s, history);
        done = sp.good && sp.moved && record(p, c, &sp);
        wg__split_free(&sp);
    }
    if (!history || !sp.good)
        wg__tape_no_memory(c->dst);
    wg__free(p->ctx, history);
    return done;
}

/* ---- the pass --------------------------------------------------------------------------------------------------- */

/* Marks what is read on each tape: by nodes, by roots, as an output of a body. False: out of memory. */
static bool find_reads(splitting *p, const wg__graph *g)
{
    if (!wg__facts_make(&p->read, g))
        return false;
    for (size_t i = 0; i < g->nids; i++)
        if (g->ids[i] != WG__NONE)
            wg__facts_of(&p->read, g->tape)[g->ids[i]] = 1;
    for (size_t i = 0; i < p->read.tapes.entries.len; i++) {
        const wg_tape *t = wg__bodies_at(&p->read.tapes, i);
        uint32_t *read = wg__facts_of(&p->read, t);
        for (uint32_t id = 0; id < t->nodes.len; id++) {
            const wg__node *n = wg__node_at(t, id);
            const bool source = wg__op_of(t, id)->def.flags & WG_OP_SOURCE;
            for (uint16_t k = 0; k < n->nin && !n->out && !source; k++)
                read[wg__operands(t, n)[k]] = 1;
        }
        for (size_t f = 0; f < t->fns.len; f++) {
            const wg__fn *fn = t->fns.data[f].fn;
            uint32_t *inner = wg__facts_of(&p->read, fn->body);
            for (uint32_t k = 0; k < fn->nouts; k++)
                inner[fn->outs[k]] = 1;
        }
    }
    return true;
}

/* Whether a loop has something to move; *good false: out of memory. */
static bool any_moves(const splitting *p, bool *good)
{
    bool any = false;
    for (size_t i = 0; i < p->read.tapes.entries.len && !any; i++) {
        const wg_tape *t = wg__bodies_at(&p->read.tapes, i);
        wg__scan s;
        wg__split sp;
        for (uint32_t id = 0; id < t->nodes.len && !any && *good; id++) {
            if (!wg__scan_of(t, id, &s))
                continue;
            wg__split_find(&sp, p->ctx, &s, NULL);
            any = sp.moved > 0;
            *good = sp.good;
            wg__split_free(&sp);
        }
    }
    return any;
}

wg_status wg__pass_split(wg__graph *g)
{
    splitting p = {.ctx = g->ctx};
    bool good = find_reads(&p, g);
    const bool any = good && any_moves(&p, &good);
    wg_status status = good ? WG_OK : wg__tape_no_memory(g->report);
    if (any && !status) {
        status = wg__graph_rewrite(g, rewrite, &p, false);
        if (p.loops)
            wg__graph_note(
                g, "split", "%zu value%s moved out of %zu loop%s; %zu in chunks, %zu gone", p.moved,
                p.moved == 1 ? "" : "s", p.loops, p.loops == 1 ? "" : "s", p.chunked, p.gone);
    }
    wg__facts_free(&p.read);
    return status;
}
