/* Memory budgets, as far as the graph goes: pairs of scans of which the backward one can have the
 * forward steps run again instead of reading what they stored. src/exec/fit.c says how many snapshots
 * each pair gets. */
#ifndef WG_PASS_BUDGET_H
#define WG_PASS_BUDGET_H

#include "pass/pass.h"

/* A forward scan and a scan in the other direction that reads, step by step, what nobody else reads of
 * the first one's per-step outputs and histories. */
typedef struct wg__chain {
    uint32_t forward, backward; /* nodes */
    int64_t steps;              /* of the backward scan ... */
    int64_t first, chunk;       /* ... each for `chunk` forward steps, from place `first` on */
    int64_t length, lead;       /* of the forward scan; its steps that run before all of these */
    size_t state;               /* bytes of a snapshot: the forward carries */
    size_t saved;               /* bytes that are not stored when all pairs are replayed */
    bool turns;  /* per-step outputs are read: a turn runs all its forward steps, not all but one */
    bool pieces; /* other readers want a few steps, which takes one more sweep */
    bool on;     /* to be replayed */
    int64_t snapshots;
} wg__chain;

typedef struct wg__chains {
    wg_ctx *ctx;
    WG__VEC(wg__chain) list; /* in the order of the backward scans */
} wg__chains;

/* The pairs on the main tape that would save memory; all on, without snapshots. False: out of memory. To
 * be freed in any case. */
bool wg__chains_find(const wg__graph *g, wg__chains *out);
void wg__chains_free(wg__chains *pairs);
/* Replaces the backward scans of pairs that are on by `replay` nodes (ops/replay.c). All other nodes
 * stay in their order, and the new nodes depend on what the old ones did, so that everything else is
 * computed as it was. */
wg_status wg__budget(wg__graph *g, const wg__chains *pairs);

#endif
