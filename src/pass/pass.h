/* Passes: each takes a graph and leaves a better one. One pass, one file, one row in the table of
 * pipeline.c. */
#ifndef WG_PASS_PASS_H
#define WG_PASS_PASS_H

#include "tape/tape.h"

/* A tape with the values that matter on it. A pass replaces the tape and brings the ids up to
 * date: the first `nroots` are computed, the others are only followed (WG__NONE once gone). */
typedef struct wg__graph {
    wg_ctx *ctx;
    wg_tape *report; /* where failures are told */
    const wg_tape *tape;
    wg_tape *owned; /* `tape`, once a pass has made it; else NULL */
    uint32_t *ids;
    size_t nroots, nids;
} wg__graph;

void wg__graph_free(wg__graph *g);
/* Tells the graph's user what went wrong on a tape made from it; returns the tape's status. */
wg_status wg__graph_tell(wg__graph *g, const wg_tape *failed);

/* `t` and all sub-tapes below it, those that are open too, each once however many share it: `bodies`
 * (initialised, to be freed) gets pointers to them. False: out of memory. */
bool wg__bodies_find(wg__pool *bodies, const wg_tape *t);
/* Body number `i` of bodies->entries.len. */
wg_tape *wg__bodies_at(const wg__pool *bodies, size_t i);

typedef wg_status (*wg__pass_fn)(wg__graph *g);
typedef struct wg__pass {
    const char *name;
    wg__pass_fn run;
    int level; /* 0: always; the higher, the later it pays off */
    const char *help;
} wg__pass;
extern const wg__pass wg__passes[];
extern const size_t wg__pass_count;

/* Runs all passes in the order of the table; verify: checks the tape after each. */
wg_status wg__pipeline(wg__graph *g, bool verify);

wg_status wg__pass_expand(wg__graph *g);
wg_status wg__pass_canon(wg__graph *g);

/* How a pass rewrites: called per node of the main tape and of bodies (see wg__copy.rewrite). */
typedef bool (*wg__rewrite_fn)(wg__copy *c, uint32_t id);
/* Replaces g's tape by a copy of what the roots need, through `rewrite` (may be NULL). Bodies of
 * sub-tapes are rewritten too. */
wg_status wg__graph_rewrite(wg__graph *g, wg__rewrite_fn rewrite, bool depth_first);

#endif
