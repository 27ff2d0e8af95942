/* Frames: what an op's rule sees of one node, for whoever calls rules (grad, passes). */
#ifndef WG_TAPE_RULE_H
#define WG_TAPE_RULE_H

#include "tape/tape.h"

typedef struct wg__rule_frame {
    wg_rule rule; /* priv points back to the frame */
    wg_attrs attrs;
    const wg_tape *src; /* where the node stands */
    uint32_t id;
    uint32_t scope, origin; /* of the tape before */
    size_t nopen;           /* sub-tapes open before; those begun since are the rule's own */
    void *memory;
    struct wg__block *blocks; /* of wg_rule_alloc */
} wg__rule_frame;

/* The node `id` of t, under its scope, with itself as origin of what the rule records. */
wg_status wg__rule_begin(wg__rule_frame *f, wg_tape *t, uint32_t id);
/* For a rule that records on `dst` in place of node `id` of `src`: operands are dst's values
 * map[operand]; scope and origin of dst stay as they are; out is NULL. */
wg_status wg__rule_begin_copy(wg__rule_frame *f, wg_tape *dst, const wg_tape *src, uint32_t id,
                              const uint32_t *map);
/* Releases the frame (also after a failed begin) and restores scope and origin. */
void wg__rule_end(wg__rule_frame *f);
/* Records the expansion of the composite under the rule into rule.result and checks its types. */
wg_status wg__rule_expand(wg__rule_frame *f);

#endif
