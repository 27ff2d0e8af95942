/* What reverse mode, forward mode and derived rules share: differentiation over a region of a tape.
 *
 * A region is all values with ids >= base, and a few values before it (the targets). Regions let a
 * rule be derived from a handful of fresh nodes at the end of a long tape without a walk over all
 * of it. */
#ifndef WG_GRAD_SWEEP_H
#define WG_GRAD_SWEEP_H

#include <wengert/grad.h>
#include "tape/rule.h"

typedef struct wg__region {
    wg_tape *t;
    uint32_t base, end;      /* ids [base, end) */
    const uint32_t *targets; /* looked through for ids before base */
    size_t ntargets;         /* 0 when all targets stand at or after base */
} wg__region;

/* One past the last node that ys need: what was recorded after them does not matter. */
static inline uint32_t wg__region_end(const wg_tape *t, uint32_t base, const uint32_t *ys,
                                      size_t nys)
{
    uint32_t end = base;
    for (size_t i = 0; i < nys; i++)
        if (ys[i] >= end)
            end = wg__head(t, ys[i]) + wg__node_at(t, ys[i])->nout;
    return end;
}

static inline size_t wg__region_outside(uint32_t base, const uint32_t *targets, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (targets[i] < base)
            return n;
    return 0;
}

static inline size_t wg__region_size(const wg__region *r)
{
    return r->ntargets + (r->end - r->base);
}
/* Index of a value in per-region arrays; SIZE_MAX outside. */
static inline size_t wg__region_index(const wg__region *r, uint32_t id)
{
    if (id >= r->base)
        return id < r->end ? r->ntargets + (id - r->base) : SIZE_MAX;
    for (size_t i = 0; i < r->ntargets; i++)
        if (r->targets[i] == id)
            return i;
    return SIZE_MAX;
}

enum { WG__NO_PATH, WG__ZERO, WG__VALUE };

/* Reverse mode. dys[i]: id of ys[i]'s cotangent. dxs[j]: id, or WG__NONE with kind[j] saying
 * whether a path led there (WG__ZERO) or not (WG__NO_PATH). */
wg_status wg__vjp_sweep(wg_tape *t, uint32_t base, const uint32_t *ys, const uint32_t *dys,
                        size_t nys, const uint32_t *xs, size_t nxs, uint32_t *dxs, uint8_t *kind);
/* Forward mode. txs[j], tys[i]: ids, WG__NONE: structural zero. */
wg_status wg__jvp_sweep(wg_tape *t, uint32_t base, const uint32_t *ys, size_t nys,
                        const uint32_t *xs, const uint32_t *txs, size_t nxs, uint32_t *tys);

/* VJP of the node `id`, for cotangents `dout` (WG__NONE: zero) of its outputs: din[k] is an id, or
 * WG__NONE with kind[k]. need[k]: operands asked for. */
wg_status wg__node_vjp(wg_tape *t, uint32_t id, const uint32_t *dout, const bool *need,
                       uint32_t *din, uint8_t *kind);

/* "op "name" (in scope ...) is not differentiable ..." as the tape's error. */
wg_status wg__not_differentiable(wg_tape *t, uint32_t id, const char *why);
/* The id of a rule's answer, type-checked against `type` (literals and broadcasts are brought to
 * it); WG__NONE with *kind for an absent answer, or after an error. */
wg_status wg__answer(wg_tape *t, uint32_t id, wg_var v, const wg_type *type, const char *what,
                     uint32_t *out, uint8_t *kind);
/* v * partial with the engine's short cuts; v as it is for a partial of 1. */
wg_var wg__times_partial(wg_var v, wg_var partial);

#endif
