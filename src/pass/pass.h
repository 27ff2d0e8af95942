/* Passes: each takes a graph and leaves a better one. One pass, one file, one row in the table of
 * pipeline.c. */
#ifndef WG_PASS_PASS_H
#define WG_PASS_PASS_H

#include "tape/tape.h"

/* What a pass did, in words. */
typedef struct wg__note {
    const char *pass;
    char *text; /* owned */
} wg__note;

/* A tape with the values that matter on it. A pass replaces the tape and brings the ids up to
 * date: the first `nroots` are computed, the others are only followed (WG__NONE once gone). */
typedef struct wg__graph {
    wg_ctx *ctx;
    wg_tape *report; /* where failures are told */
    const wg_tape *tape;
    wg_tape *owned; /* `tape`, once a pass has made it; else NULL */
    uint32_t *ids;
    size_t nroots, nids;
    size_t rewrites;     /* how often the tape was replaced */
    bool explain;        /* passes leave notes */
    size_t memory_limit; /* wg_compile_options */
    WG__VEC(wg__note) notes;
} wg__graph;

void wg__graph_free(wg__graph *g);
/* Tells the graph's user what went wrong on a tape made from it; returns the tape's status. */
wg_status wg__graph_tell(wg__graph *g, const wg_tape *failed);
/* Says what a pass did (not NULL, static); without g->explain nothing happens. A note that finds no
 * memory is lost. */
void wg__graph_note(wg__graph *g, const char *pass, const char *format, ...) WG_PRINTF(3, 4);

/* `t` and all sub-tapes below it, those that are open too, each once however many share it: `bodies`
 * (initialised, to be freed) gets pointers to them. False: out of memory. */
bool wg__bodies_find(wg__pool *bodies, const wg_tape *t);
/* Body number `i` of bodies->entries.len. */
wg_tape *wg__bodies_at(const wg__pool *bodies, size_t i);

typedef wg_status (*wg__pass_fn)(wg__graph *g);
typedef struct wg__pass {
    const char *name;
    wg__pass_fn run;
    int level;   /* the least level of an executor that it runs for */
    bool repeat; /* neighbours with `repeat` run in turn while one of them finds something */
    bool once;   /* what it leaves behind has nothing more for it */
    const char *help;
} wg__pass;
extern const wg__pass wg__passes[];
extern const size_t wg__pass_count;

/* Levels: what an executor asks of the passes. */
enum {
    WG__LEVEL_RECORDED = 0, /* the graph as recorded, composites expanded: for the oracle */
    WG__LEVEL_FUSING = 1    /* simplified, and made of ops that can be fused */
};

/* Runs the passes of the table up to `level`, in its order; verify: checks the tape after each. */
wg_status wg__pipeline(wg__graph *g, int level, bool verify);

wg_status wg__pass_expand(wg__graph *g);
wg_status wg__pass_lower(wg__graph *g);
wg_status wg__pass_dce(wg__graph *g);
wg_status wg__pass_fold(wg__graph *g);
wg_status wg__pass_cse(wg__graph *g);
wg_status wg__pass_algebra(wg__graph *g);
wg_status wg__pass_hoist(wg__graph *g);
wg_status wg__pass_save(wg__graph *g);
wg_status wg__pass_trim(wg__graph *g);
wg_status wg__pass_turn(wg__graph *g);
wg_status wg__pass_split(wg__graph *g);
wg_status wg__pass_canon(wg__graph *g);

/* The rules of algebra in the order in which they are tried; NULL past the end. */
const char *wg__algebra_rule_name(size_t index);

/* ---- rewriting --------------------------------------------------------------------------------- */

/* How a pass rewrites: called per node of the main tape and of bodies (see wg__copy.rewrite). */
typedef bool (*wg__rewrite_fn)(wg__copy *c, uint32_t id);
/* Replaces g's tape by a copy of what the roots need, through `rewrite` (may be NULL), which finds
 * `user` in the copy. Bodies of sub-tapes are rewritten too. */
wg_status wg__graph_rewrite(wg__graph *g, wg__rewrite_fn rewrite, void *user, bool depth_first);

/* A rewrite: as a value, an assign is what it assigns. */
bool wg__drop_assign(wg__copy *c, uint32_t id);

/* Which ops are replaced by their expansions. */
typedef bool (*wg__expands_fn)(const wg__op *op);
/* Replaces ops by their expansions, in bodies too, until none is left. */
wg_status wg__expand_all(wg__graph *g, const char *pass, wg__expands_fn expands);

/* What a pass finds out before it rewrites: one number per value of each tape of a graph. */
typedef struct wg__facts {
    wg__pool tapes;
    WG__VEC(uint32_t *) of; /* by index in tapes: one per id, at first WG__NONE */
    const wg_tape *last;    /* whom wg__facts_of was asked about last, and what it said */
    uint32_t *last_of;
} wg__facts;
/* False: out of memory; to be freed in any case. */
bool wg__facts_make(wg__facts *f, const wg__graph *g);
void wg__facts_free(wg__facts *f);
/* Those of a tape of the graph. */
uint32_t *wg__facts_of(wg__facts *f, const wg_tape *t);

/* ---- what passes may take for granted ----------------------------------------------------------- */

/* A float literal is a slot: a compiled program is found again for a graph that differs in its
 * value, so that no pass may look at it, and none may take two slots for the same value. It is known
 * to be finite and neither 0 nor 1/2, 1 or 2 of either sign: those, infinities and NaN are part of
 * the graph, as integer and bool literals are. */
bool wg__is_slot_value(double f);
bool wg__literal_is_slot(const wg_tape *t, uint32_t id);
/* The value of a float or integer literal that is no slot; false for everything else. */
bool wg__literal_known(const wg_tape *t, uint32_t id, double *value);

/* What is certain of every element of a value (finite.c). */
enum {
    WG__FINITE = 1,  /* neither infinite nor NaN */
    WG__NONZERO = 2, /* never 0 (a NaN is not 0) */
};
unsigned wg__certain(const wg_tape *t, uint32_t id);

/* True when nothing is lost if a node is computed once instead of often, or elsewhere, or not. */
bool wg__is_pure(const wg__op *op);

/* Whether the expression of an elementwise kernel (NULL: none) calls what takes long, such as exp. */
bool wg__calls_function(const char *expr);

#endif
