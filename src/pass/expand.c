/* expand: each composite op (one with `expand` and without kernels) is replaced by its expansion,
 * until none is left, in bodies of sub-tapes too. */
#include "pass/pass.h"
#include "tape/rule.h"

/* An op whose expansion leads back to itself would never end. */
enum { MAX_ROUNDS = 64 };

static bool is_composite(const wg__op *op) { return op->def.expand && op->def.nkernels == 0; }

static const wg__op *composite_on(const wg_tape *t)
{
    for (size_t i = 0; i < t->nodes.len; i++) {
        const wg__op *op = wg__op_of(t, (uint32_t)i);
        if (is_composite(op))
            return op;
    }
    return NULL;
}

/* A composite op on the tape or in a body; *found NULL: none. */
static wg_status find_composite(const wg__graph *g, const wg__op **found)
{
    wg__pool bodies;
    wg__pool_init(&bodies, g->ctx);
    bool good = wg__bodies_find(&bodies, g->tape);
    *found = NULL;
    for (size_t i = 0; good && !*found && i < bodies.entries.len; i++)
        *found = composite_on(wg__bodies_at(&bodies, i));
    wg__pool_free(&bodies);
    return good ? WG_OK : wg__tape_no_memory(g->report);
}

static bool rewrite(wg__copy *c, uint32_t id)
{
    const wg__node *n = wg__node_at(c->src, id);
    wg__rule_frame f;
    if (!is_composite(wg__op_of(c->src, id)) || wg_tape_status(c->dst))
        return false;
    wg_status status = wg__rule_begin_copy(&f, c->dst, c->src, id, c->map);
    if (!status)
        status = wg__rule_expand(&f);
    for (uint16_t k = 0; k < n->nout && !status; k++) {
        c->map[id + k] = wg__resolve(c->dst, f.rule.result[k], "expand");
        status = wg_tape_status(c->dst);
    }
    wg__rule_end(&f);
    return !status; /* false after an error: the copy stops by itself */
}

wg_status wg__pass_expand(wg__graph *g)
{
    const wg__op *op;
    for (int round = 0;; round++) {
        wg_status status = find_composite(g, &op);
        if (status || !op)
            return status;
        if (round == MAX_ROUNDS)
            return wg__tape_fail(g->report, WG_INVALID, "%s: its expansion never ends", op->name);
        if ((status = wg__graph_rewrite(g, rewrite, false)))
            return status;
    }
}
