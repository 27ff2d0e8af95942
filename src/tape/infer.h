/* Type inference of one node: what recording, copying and verifying share. */
#ifndef WG_TAPE_INFER_H
#define WG_TAPE_INFER_H

#include "tape/tape.h"

enum { WG__INLINE_TYPES = WG_INFER_ROOM };

typedef struct wg__inferred {
    wg_type *types; /* nout of them; `room` unless there are more */
    size_t nout;
    uint32_t attrs; /* interned, canonical */
    wg_type room[WG__INLINE_TYPES];
} wg__inferred;

/* Types of the outputs of `op` on operands `in` with interned attributes `attrs`; canonicalises
 * the attributes. On failure the tape holds the message and nothing needs freeing. ids: the
 * operands' ids for names in messages, or NULL. */
wg_status wg__infer(wg_tape *t, const wg__op *op, const uint32_t *ids, const wg_type *const *in,
                    size_t nin, uint32_t attrs, wg__inferred *out);
void wg__inferred_free(wg_tape *t, wg__inferred *inferred);

#endif
