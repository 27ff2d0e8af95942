/* The reference executor's plan: which kernels run in which order and where each value lies. Per tape
 * it runs (the main one and each sub-tape's body) there is one plan. The frames of bodies lie inside
 * their caller's frame, so that all memory of a run is one block, known in size before running. */
#ifndef WG_EXEC_REFERENCE_H
#define WG_EXEC_REFERENCE_H

#include "exec/exec.h"

typedef struct wg__plan wg__plan;

/* A body that a step runs. */
typedef struct wg__sub {
    const wg__plan *plan;
    uint32_t step;  /* its node */
    uint32_t which; /* of its sub-tapes */
} wg__sub;

typedef struct wg__step {
    uint32_t id;    /* of the node */
    uint32_t sub;   /* its first wg__sub */
    size_t scratch; /* offset in the frame */
    const wg_kernel *kernel;
} wg__step;

struct wg__plan {
    wg_ctx *ctx;
    const wg_tape *tape; /* the main tape or a body */
    wg__place *place;    /* by id */
    WG__VEC(wg__step) steps;
    WG__VEC(wg__sub) subs;
    uint32_t *bound; /* ids of the values that are bound by pointer */
    size_t nbound;
    uint32_t *roots; /* ids of the values that are handed out ... */
    size_t *root_at; /* ... and where they lie in the frame at the end */
    size_t nroots;
    char *literals;
    size_t bound_at, views_at; /* offsets in the frame */
    size_t body_at;            /* where the frame of a body lies: one runs at a time */
    size_t bytes;              /* of the frame */
};

/* All plans of a program: those of bodies stand before those that run them; the main one is last. */
typedef WG__VEC(wg__plan *) wg__plans;
/* Plans `tape` and, before it, the bodies it runs. bound: ids of inputs and params in the order
 * of binding. On failure the error is set and *plans is to be freed all the same. */
wg_status wg__plan_make(wg__plans *plans, const wg_tape *tape, const uint32_t *bound, size_t nbound,
                        const uint32_t *roots, size_t nroots, wg__error *error);
const wg__plan *wg__plan_main(const wg__plans *plans);
void wg__plans_free(wg_ctx *ctx, wg__plans *plans);

/* At the start of its memory: plan->bytes, 64-byte aligned. */
typedef struct wg__frame {
    wg__running running;
    const wg__plan *plan;
    const wg__step *step; /* running */
    const char *literals;
    const void **bound;
    wg_view *views;
} wg__frame;

#endif
