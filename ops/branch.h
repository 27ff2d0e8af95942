/* What the ops share that run one of several sub-tapes once: call and checkpoint (of one), cond and
 * switch. Included by families in ops/ only. */
#ifndef WG_OPS_BRANCH_H
#define WG_OPS_BRANCH_H

#include "subtape.h"

/* Operands: what chooses the branch (if anything does), the `shared` first operands of every branch,
 * then the further operands of each branch in turn. */
typedef struct wg__branches {
    const char *op;
    const wg_attrs *attrs;
    size_t first; /* operands before the shared ones: 0 or 1 */
    size_t n;     /* branches */
    size_t shared;
} wg__branches;

/* Sub-tape number k, and how many operands of its own it has. */
static inline wg_fn branch_fn(const wg__branches *b, size_t k)
{
    return wg_attrs_fn_at(b->attrs, k);
}
static inline size_t branch_own(const wg__branches *b, size_t k)
{
    return wg_fn_noperands(branch_fn(b, k)) - b->shared;
}

/* Derivatives: the same op with a derived body per branch, which gives zeros for what the branch does
 * not use. What no branch uses gets none. */
void wg__branches_vjp(wg_rule *r, const wg__branches *b);
void wg__branches_jvp(wg_rule *r, const wg__branches *b);

#endif
