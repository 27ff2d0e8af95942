/* What the op replay consists of: two scans, taken apart. Its kernel is in replay_run.c. Included by ops/
 * only. */
#ifndef WG_OPS_REPLAY_H
#define WG_OPS_REPLAY_H

#include "loop.h"

/* Operands: the backward scan's carries, its sequences but for those that come from the forward scan,
 * and its invariants; the forward scan's carries, sequences and invariants; the count; and values that
 * are only waited for. Outputs: the backward scan's. */
typedef struct wg__replay {
    wg__loop back, step;
    const int64_t *from; /* per sequence of `back`: an output of the forward scan, or -1 */
    size_t nreal;        /* how many are -1 */
    size_t nback;        /* operands of the backward scan */
    size_t count_at, needed;
    int64_t snapshots; /* beside the start */
    /* Backward step t belongs to the forward steps at places first + chunk t .. first + chunk (t + 1) - 1.
     * In their order of running, `lead` forward steps come before all of these. */
    int64_t first, chunk, lead;
} wg__replay;

/* Of a replay whose attributes have been inferred. */
wg__replay wg__replay_of(const wg_attrs *attrs);
size_t wg__replay_scratch(const wg_kernel_call *c);
wg_status wg__replay_run(const wg_kernel_call *c);

#endif
