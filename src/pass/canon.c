/* canon: the canonical form of a graph. Only what the roots need is left, numbered depth-first
 * from them, so that the order in which C evaluates arguments leaves no trace. Bodies likewise,
 * but for their interface. Assigns are taken off the tape: the graph holds them. */
#include "pass/pass.h"

/* As a value, an assign is what it assigns. */
bool wg__drop_assign(wg__copy *c, uint32_t id)
{
    const wg__node *n = wg__node_at(c->src, id);
    if (n->op != WG__OP_ASSIGN)
        return false;
    c->map[id] = c->map[wg__operands(c->src, n)[1]];
    return true;
}

wg_status wg__pass_canon(wg__graph *g) { return wg__graph_rewrite(g, wg__drop_assign, NULL, true); }
