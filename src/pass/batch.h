/* Batching: one node of a loop's body recorded for all steps at once, by the rule of its op
 * (wg_op.batch) or, for the ops that flags describe, by a rule of ours. */
#ifndef WG_PASS_BATCH_H
#define WG_PASS_BATCH_H

#include "tape/tape.h"

/* Node `id` of a body, with its operands on `dst`: of all steps, with a leading axis of steps.dim[0],
 * where batched[k] says so, else the same in all steps. One operand or more is batched. */
typedef struct wg__batching {
    wg_tape *dst;
    const wg_tape *src;
    uint32_t id;
    const wg_var *in;
    const bool *batched;
    wg_shape steps; /* rank 1 */
} wg__batching;

/* The node's one output of all steps, [steps, ...]; wg_none() when there is no rule for it. Invalid after
 * an error. */
wg_var wg__batch(const wg__batching *b);
/* The sum of its output over all steps, for ops that have a short way to it; else wg_none(). */
wg_var wg__batch_sum(const wg__batching *b);

/* Whether wg__batch, or wg__batch_sum, has an answer for a node of these operands: tried on `scratch`,
 * an empty tape or one used for this before. *good false: out of memory. */
bool wg__batches(wg_tape *scratch, const wg_tape *src, uint32_t id, const bool *batched,
                 wg_shape steps, bool sum, bool *good);

/* [steps, ...] of a step's shape; rank -1 when there is no room. */
wg_shape wg__stacked_shape(wg_shape steps, wg_shape step);

#endif
