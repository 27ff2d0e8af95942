/* What the functions of wengert/control.h share: the recording of nodes that run sub-tapes. */
#ifndef WG_TAPE_CONTROL_H
#define WG_TAPE_CONTROL_H

#include "tape/tape.h"

/* What every failure before recording comes to: outs become invalid. Returns `status`. */
wg_status wg__give_up(wg_status status, wg_var *outs, size_t max_outs);
/* Of an invalid or stale sub-tape; `what`: the op's name. Told by the tape that it was on, or else by that
 * of an operand. */
wg_status wg__bad_fn(wg_fn fn, const char *what, const wg_var *ins, size_t nins, wg_var *outs,
                     size_t max_outs);
/* Records op number `op` on ins, then the captures of each of fns in turn; an fn used from a deeper
 * tape captures through. Literals take the dtype of fns[0]'s operand number i - first. */
wg_status wg__run_fns(uint16_t op, const wg_fn *fns, size_t nfns, const wg_var *ins, size_t nins,
                      size_t first, const wg_attr *attrs, size_t nattrs, wg_var *outs,
                      size_t max_outs);

#endif
