/* Inside of the pass save: joint numbers of the bodies of loops (save_numbers.c), smallest cuts
 * (save_cut.c), the choice of what is saved (save.c), and the loops made anew (save_remake.c). */
#ifndef WG_PASS_SAVE_H
#define WG_PASS_SAVE_H

#include "pass/scans.h"

/* ---- numbers ------------------------------------------------------------------------------------ */

/* A value of the step, in whichever loops of a tape it occurs. */
typedef struct wg__number {
    uint32_t loop, id; /* the first loop whose body computes it, and the value there; or WG__NONE */
    uint32_t at;       /* a sequence of the tape that holds it, or WG__NONE */
    bool fixed;  /* the same in every step: invariants, literals, and what depends on them alone */
    bool handed; /* `loop` hands it out by now, beside what it did */
} wg__number;

typedef struct wg__numbered { /* one loop */
    wg__scan s;
    uint32_t steps;   /* loops with an equal one run the same steps; from 1 on */
    uint32_t *number; /* by value of the body */
} wg__numbered;

typedef struct wg__fn_kind { /* bodies that are equal */
    wg__fn *fn;
    uint64_t hash;
    bool impure;
} wg__fn_kind;

/* The loops of one tape. Numbers count from 1: they are ids of `keys`. */
typedef struct wg__numbering {
    wg_ctx *ctx;
    const wg_tape *t;
    const bool *read; /* by value of t */
    WG__VEC(wg__numbered) loops;
    WG__VEC(wg__number) numbers;
    wg__pool keys, fns; /* of values; addresses of bodies: id - 1 is the index in fn_kind */
    WG__VEC(uint32_t) fn_kind;
    WG__VEC(wg__fn_kind) kinds;
    WG__VEC(const wg_tensor *) consts; /* large ones */
    WG__VEC(uint64_t) key;             /* in the making */
    uint32_t *sequence, *steps; /* by value of t: the number that an output of a loop holds, and
                                          the steps of the loop; 0: it is none */
} wg__numbering;

/* Numbers the bodies of all loops of t of two steps or more; false: out of memory. To be freed in any
 * case. */
bool wg__number_loops(wg__numbering *nb, wg_ctx *ctx, const wg_tape *t, const bool *read);
void wg__numbering_free(wg__numbering *nb);
static inline wg__number *wg__number_at(const wg__numbering *nb, uint32_t number)
{
    return &nb->numbers.data[number - 1];
}

/* ---- cuts ------------------------------------------------------------------------------------------ */

typedef struct wg__cut_arc {
    uint32_t to, next; /* the next arc from the same node */
    int64_t room;      /* arcs stand in pairs: one and its reverse */
} wg__cut_arc;

/* A network of vertices with a price each. */
typedef struct wg__cut {
    wg_ctx *ctx;
    WG__VEC(uint32_t)
    first; /* by node: its first arc. Node 0 is the source, 1 the sink, then two
                                 per vertex: where it is entered and left */
    WG__VEC(wg__cut_arc) arcs;
    bool failed; /* out of memory */
} wg__cut;

bool wg__cut_make(wg__cut *cut, wg_ctx *ctx);
void wg__cut_free(wg__cut *cut);
/* A new vertex, numbered from 0. */
uint32_t wg__cut_vertex(wg__cut *cut, int64_t price);
void wg__cut_edge(wg__cut *cut, uint32_t from, uint32_t to);
void wg__cut_source(wg__cut *cut, uint32_t v);
void wg__cut_sink(wg__cut *cut, uint32_t v);
/* chosen[v]: v is one of the vertices of least total price without which nothing leads from the
 * source to the sink, the nearest to the sink of such sets. False: out of memory. */
bool wg__cut_solve(wg__cut *cut, bool *chosen);

/* ---- what changes ------------------------------------------------------------------------------------ */

/* One more sequence of a loop: a value that is no longer computed. */
typedef struct wg__wish {
    uint32_t number;
    uint32_t at;          /* the sequence outside, or WG__NONE: */
    uint32_t from, extra; /* output number `extra` of those that node `from` gains */
    uint32_t id;          /* one of the values in the body */
} wg__wish;

/* What changes about one loop. */
typedef struct wg__edit {
    uint32_t *number; /* by value of its body */
    WG__VEC(wg__wish) wishes;
    int64_t steps;
    uint32_t extra0; /* the first output that it gained, on the destination of the copy under way */
} wg__edit;

/* What a body hands out beside its outputs, wherever it runs. */
typedef struct wg__gain {
    WG__VEC(uint32_t) ids;
} wg__gain;

typedef struct wg__saver {
    wg_ctx *ctx;
    wg__facts facts; /* by value of each tape: the index of a loop's edit */
    WG__VEC(wg__edit) edits;
    wg__pool fns; /* addresses of bodies that gain; id - 1 is the index in gains */
    WG__VEC(wg__gain) gains;
    wg__remade made;
    bool failed; /* out of memory */
} wg__saver;

/* The rewrite of a tape (pass.h); user: the saver. */
bool wg__save_rewrite(wg__copy *c, uint32_t id);

#endif
