/* lower: makes a graph of ops that an executor can fuse. Ops that have kernels and an expansion, such as
 * softmax, are replaced by the expansion: elementwise ops, broadcasts and reductions, which run in one
 * sweep (the expansion rounds as its ops do, so that results may differ in the last bits). Calls are
 * replaced by what they call; a checkpoint, which is there for what it is, stays. */
#include <string.h>

#include "pass/pass.h"

static bool is_divisible(const wg__op *op) { return op->def.expand != NULL; }

/* Calls that call twice grow as powers of two: beyond so many nodes in all, calls stay calls. */
enum { MOST_INLINED = 250000 };

typedef struct inlining {
    size_t calls, nodes; /* that were replaced; that came in their place */
} inlining;

/* The body of the call recorded in its place, with the calls in it. Recursive over nesting. */
static bool inline_call(wg__copy *c, uint32_t id)
{
    inlining *in = c->user;
    const wg__node *n = wg__node_at(c->src, id);
    if (n->op != WG__OP_CALL || wg_tape_status(c->dst))
        return false;
    const wg__fn *fn = wg__node_fn_at(c->src, id, 0);
    const wg_tape *body = fn->body;
    if (body->nodes.len > MOST_INLINED - in->nodes)
        return false;
    in->nodes += body->nodes.len;
    in->calls++;
    wg__copy below = *c;
    below.src = body;
    below.roots = fn->outs;
    below.nroots = fn->nouts;
    below.all = false;
    if (!(below.map = wg__copy_map(c->dst->ctx, body))) {
        wg__tape_no_memory(c->dst);
        return false;
    }
    const uint32_t *operands = wg__operands(c->src, n);
    for (uint16_t k = 0; k < n->nin; k++)
        below.map[body->inputs.data[k]] = c->map[operands[k]];
    bool good = wg__copy_nodes(&below) == WG_OK;
    for (uint16_t k = 0; good && k < n->nout; k++)
        c->map[id + k] = below.map[fn->outs[k]];
    wg__free(c->dst->ctx, below.map);
    return good;
}

static bool has_call(const wg_tape *t)
{
    for (size_t i = 0; i < t->nodes.len; i++)
        if (t->nodes.data[i].op == WG__OP_CALL)
            return true;
    return false;
}

static wg_status find_calls(const wg__graph *g, bool *any)
{
    wg__pool bodies;
    wg__pool_init(&bodies, g->ctx);
    bool good = wg__bodies_find(&bodies, g->tape);
    for (size_t i = 0; good && !*any && i < bodies.entries.len; i++)
        *any = has_call(wg__bodies_at(&bodies, i));
    wg__pool_free(&bodies);
    return good ? WG_OK : wg__tape_no_memory(g->report);
}

static wg_status inline_calls(wg__graph *g)
{
    inlining in = {0, 0};
    bool any = false;
    wg_status status = find_calls(g, &any);
    if (!status && any)
        status = wg__graph_rewrite(g, inline_call, &in, false);
    if (!status && in.calls)
        wg__graph_note(g, "lower", "replaced %zu call%s by what %s", in.calls,
                       in.calls == 1 ? "" : "s", in.calls == 1 ? "it calls" : "they call");
    return status;
}

wg_status wg__pass_lower(wg__graph *g)
{
    wg_status status = inline_calls(g);
    return status ? status : wg__expand_all(g, "lower", is_divisible);
}
