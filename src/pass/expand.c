/* expand: each composite op (one with `expand` and without kernels) is replaced by its expansion,
 * until none is left, in bodies of sub-tapes too. */
#include "pass/pass.h"
#include "tape/rule.h"

/* An op whose expansion leads back to itself would never end. */
enum { MAX_ROUNDS = 64 };

/* One expansion of everything that is there. */
typedef struct expansion {
    wg__expands_fn expands;
    size_t count;
} expansion;

static const wg__op *find_on(const wg_tape *t, wg__expands_fn expands)
{
    for (size_t i = 0; i < t->nodes.len; i++) {
        const wg__op *op = wg__op_of(t, (uint32_t)i);
        if (expands(op))
            return op;
    }
    return NULL;
}

/* An op to expand on the tape or in a body; *found NULL: none. */
static wg_status find(const wg__graph *g, wg__expands_fn expands, const wg__op **found)
{
    wg__pool bodies;
    wg__pool_init(&bodies, g->ctx);
    bool good = wg__bodies_find(&bodies, g->tape);
    *found = NULL;
    for (size_t i = 0; good && !*found && i < bodies.entries.len; i++)
        *found = find_on(wg__bodies_at(&bodies, i), expands);
    wg__pool_free(&bodies);
    return good ? WG_OK : wg__tape_no_memory(g->report);
}

static bool rewrite(wg__copy *c, uint32_t id)
{
    expansion *e = c->user;
    const wg__node *n = wg__node_at(c->src, id);
    wg__rule_frame f;
    if (!e->expands(wg__op_of(c->src, id)) || wg_tape_status(c->dst))
        return false;
    wg_status status = wg__rule_begin_copy(&f, c->dst, c->src, id, c->map);
    if (!status)
        status = wg__rule_expand(&f);
    for (uint16_t k = 0; k < n->nout && !status; k++) {
        c->map[id + k] = wg__resolve(c->dst, f.rule.result[k], "expand");
        status = wg_tape_status(c->dst);
    }
    wg__rule_end(&f);
    e->count++;
    return !status; /* false after an error: the copy stops by itself */
}

wg_status wg__expand_all(wg__graph *g, const char *pass, wg__expands_fn expands)
{
    const wg__op *op;
    expansion e = {expands, 0};
    for (int round = 0;; round++) {
        wg_status status = find(g, expands, &op);
        if (!status && !op && e.count)
            wg__graph_note(g, pass, "replaced %zu node%s", e.count,
                           e.count == 1 ? " by its expansion" : "s by their expansions");
        if (status || !op)
            return status;
        if (round == MAX_ROUNDS)
            return wg__tape_fail(g->report, WG_INVALID, "%s: its expansion never ends", op->name);
        if ((status = wg__graph_rewrite(g, rewrite, &e, false)))
            return status;
    }
}

static bool is_composite(const wg__op *op) { return op->def.expand && op->def.nkernels == 0; }

wg_status wg__pass_expand(wg__graph *g) { return wg__expand_all(g, "expand", is_composite); }
