/* Loops as passes see them: a scan or a map (a scan without carries) taken apart, and made anew with
 * other operands and outputs. Used by the passes that change loops: trim, save, hoist, split, budget. */
#ifndef WG_PASS_SCANS_H
#define WG_PASS_SCANS_H

#include "pass/pass.h"

/* ---- reading ----------------------------------------------------------------------------------- */

/* Operands of the node: carries, sequences, invariants, count; of the body: the same without count.
 * Outputs of the node: final carries, stacked per-step outputs, sums, histories (one per carry); of the
 * body: next carries, per-step outputs, terms. */
typedef struct wg__scan {
    const wg_tape *tape;
    uint32_t id;
    const wg__fn *fn;
    const uint32_t *in; /* the node's operands: valid while its tape does not grow */
    size_t ncarry, nxs, nws, nys, nsums;
    size_t x0, w0,
        count; /* operands: the first sequence, the first invariant, count if `counted` */
    size_t y0, sum0, hist0; /* outputs: the first of each group */
    wg_shape length;        /* rank 1, with symbol */
    bool reverse, counted, is_map;
} wg__scan;

/* False: the node is neither a scan nor a map. `id` is a node (its first output). */
bool wg__scan_of(const wg_tape *t, uint32_t id, wg__scan *s);
/* The node's operands, and the body's: all but count. */
static inline size_t wg__scan_noperands(const wg__scan *s) { return s->ncarry + s->nxs + s->nws; }
/* The body's input that operand `k` is, and its output `k`. */
static inline uint32_t wg__scan_formal(const wg__scan *s, size_t k)
{
    return s->fn->body->inputs.data[k];
}
/* Whether it makes at least one step whenever it runs. */
bool wg__scan_runs(const wg__scan *s);

/* read[id]: whether a value is a root or an operand of a node that is needed by one. `read` has an
 * entry per value of t, all false. */
void wg__mark_read(const wg_tape *t, const uint32_t *roots, size_t nroots, bool *read);
/* Whether an output of the loop is read. */
bool wg__scan_needed(const wg__scan *s, const bool *read);

/* ---- making ------------------------------------------------------------------------------------- */

/* Groups of operands and of outputs. */
enum { WG__CARRY, WG__X, WG__W };
enum { WG__FINAL, WG__Y, WG__SUM };

typedef struct wg__rescan_in {
    uint32_t outer;  /* id on the destination */
    uint32_t old;    /* the operand of the old loop whose formal this is; WG__NONE: a new one */
    uint32_t formal; /* id in the new body, once it is open */
    uint32_t name;   /* of a new one: in strings of the destination; 0: none */
    wg_type step;    /* of a new one: the type of the formal */
} wg__rescan_in;

/* A loop in the making, inside a rewrite (pass.h) of node s.id: the calls are made in the order
 * begin, in..., open, (copy, out, and whatever is recorded on `body`)..., end, free. After a failure
 * all of them do nothing and wg__rescan_end gives WG__NONE; the destination has the error. Fields of `s`
 * that say how the new loop runs (length, reverse, is_map) may be changed before the end. */
typedef struct wg__rescan {
    wg__copy *c;    /* the copy under way: the loop is recorded on its destination */
    wg__scan s;     /* the old loop, on the source */
    uint32_t count; /* id on the destination, or WG__NONE; preset to the old loop's */
    WG__VEC(wg__rescan_in) in[3];
    WG__VEC(uint32_t) out[3];
    wg_tape *body; /* the new one, while it is open */
    uint32_t *map; /* ids of the old body to those of the new, WG__NONE where not there */
    wg_fn fn;      /* the new one, once the body is closed */
    bool failed;
} wg__rescan;

void wg__rescan_begin(wg__rescan *l, wg__copy *c, const wg__scan *s);
/* An operand; `old` is an operand of the old loop, `outer` the value it has now (an id on the
 * destination). Returns its place in the group. */
size_t wg__rescan_keep(wg__rescan *l, int group, size_t old, uint32_t outer);
/* One that the old loop did not have; step: the type inside (sequences: of a slice). */
size_t wg__rescan_add(wg__rescan *l, int group, uint32_t outer, wg_type step, const char *name);
/* Opens the body: formals are there, those of kept operands stand in `map`. */
void wg__rescan_open(wg__rescan *l);
/* Brings values of the old body over (with all they need that is not there yet); bodies within go
 * through the same rewrite. */
void wg__rescan_copy(wg__rescan *l, const uint32_t *ids, size_t n);
/* The value of the old body, brought over, on the new one; WG__NONE after a failure. */
uint32_t wg__rescan_get(wg__rescan *l, uint32_t old);
/* An output: a value of the new body. Returns its place in the group. */
size_t wg__rescan_out(wg__rescan *l, int group, uint32_t inner);
/* Closes the body: l->fn. For who records another node with it. */
void wg__rescan_close(wg__rescan *l);
/* Closes the body and records the loop: its first output's id on the destination. Outputs stand
 * in the order finals, ys, sums, histories. fn: another body to run instead of an own one, made for
 * the same operands and outputs; then open, copy and out are left out, and s.nsums is the caller's to
 * set. NULL: its own. */
uint32_t wg__rescan_end(wg__rescan *l, wg__fn *fn);
void wg__rescan_free(wg__rescan *l);

/* Bodies made in one rewrite, so that loops that share a body go on sharing it: by what the new one was
 * made from. */
typedef struct wg__remade {
    wg__pool keys; /* id - 1 is the index in fns */
    WG__VEC(wg__fn *) fns;
    WG__VEC(uint64_t) key; /* in the making: words are pushed, then wg__remade_key empties it */
    bool failed;           /* out of memory */
} wg__remade;
void wg__remade_init(wg__remade *r, wg_ctx *ctx);
void wg__remade_free(wg__remade *r);
void wg__remade_put(wg__remade *r, uint64_t word);
/* The number of the key, 0 when memory is out. */
uint32_t wg__remade_key(wg__remade *r);
/* wg__rescan_end with the body of that key, or NULL while there is none. */
wg__fn *wg__remade_get(const wg__remade *r, uint32_t key);
/* Enters the body that `l` was ended with. */
void wg__remade_set(wg__remade *r, uint32_t key, const wg__rescan *l);

#endif
