/* What the ops that run a sub-tape many times share: scan, map and while. Their layout, their kernels'
 * memory, and their derivative rules (scan_rules.c, scan_forward.c, while_rules.c, while_forward.c).
 * Included by ops/ only. */
#ifndef WG_OPS_LOOP_H
#define WG_OPS_LOOP_H

#include "subtape.h"

/* A scan or a map. Operands: carries, sequences, invariants, then, when counted, the number of steps.
 * Outputs: final carries, stacked per-step outputs, sums of terms, then the history of each carry:
 * its value at the start of every step. A while with a bound is laid out as a counted scan without
 * sequences, outputs and sums. */
typedef struct wg__loop {
    wg_fn fn;
    size_t ncarry, nxs, nw; /* operands of fn */
    size_t nys, nsums;      /* with the carries: outputs of fn */
    wg_shape length;
    bool reverse, counted;
} wg__loop;

static inline size_t loop_operands(const wg__loop *s) { return s->ncarry + s->nxs + s->nw; }
static inline size_t loop_outputs(const wg__loop *s) { return s->ncarry + s->nys + s->nsums; }

/* Of a scan or map whose attributes have been inferred. */
wg__loop wg__loop_of(const wg_attrs *attrs);
/* `step`, once per step; its rank is -1 when there is no room for the new axis. */
wg_type wg__loop_stacked(wg_shape length, wg_type step);
/* One step of a carry's history. Rank 8 leaves no room for the axis of the steps: there the first two
 * axes are one in histories. */
wg_type wg__loop_history_step(wg_ctx *ctx, wg_type carry);

/* A while. Operands: carries, invariants of fn, invariants of cond. Outputs: final carries, the number of
 * steps, then, with a bound, histories as above. */
typedef struct wg__while {
    wg_fn fn, cond;
    size_t ncarry, nw, ncw; /* carries, invariants of fn, of cond */
    int64_t bound;          /* -1: none */
} wg__while;
wg__while wg__while_of(const wg_attrs *attrs);
static inline bool keeps_history(const wg__while *s) { return s->bound >= 0; }

/* ---- kernels ----------------------------------------------------------------------------------- */

/* The sums of a map are added up in chunks of steps, then the chunks' sums in order, so that steps may
 * run side by side: the number of steps in a chunk is a function of the length alone. */
enum { WG__MAP_CHUNKS = 16 };

static inline size_t type_bytes(wg_type type)
{
    return (size_t)wg_shape_count(type.shape) * wg_dtype_size(type.dtype);
}

static inline size_t round64(size_t n) { return (n + 63) & ~(size_t)63; }

/* ---- derivative rules -------------------------------------------------------------------------- */

/* What the VJP of a loop starts from; arrays are in the order of the layout above. */
typedef struct wg__loop_vjp {
    const wg_rule *r;
    const char *op; /* of the backward loop: "scan" or "map" */
    wg__loop s;
    const wg_var *in; /* carries, sequences, invariants */
    const bool *need; /* of these */
    wg_var count;     /* when counted */
    const wg_var *history;
    const wg_var *dout; /* of carries, per-step outputs, sums */
    const wg_var *dhistory;
    wg_var *din; /* answers */
} wg__loop_vjp;
/* The backward loop: the steps in the other order, each computed again from its history, then its
 * VJP. */
void wg__loop_backward(const wg__loop_vjp *v);

/* Grows active[], which has an entry per operand of fn, by the carries that depend on an active operand
 * at some step; out[] gets the activity of fn's outputs. */
wg_status wg__loop_spread(const wg__loop *s, bool *active, bool *out);
/* leads[i]: carry i is active and one of the outputs with a cotangent depends on its value at some step.
 * out[] as from wg__loop_spread. */
wg_status wg__loop_leads(const wg__loop_vjp *v, const bool *active, const bool *out, bool *leads);

/* A formal input that stands for operand i of fn, named after it. */
wg_var wg__loop_input(wg_tape *body, const wg__loop *s, const char *prefix, size_t i, wg_type type);

void wg__scan_vjp(wg_rule *r);
void wg__scan_jvp(wg_rule *r);
void wg__map_vjp(wg_rule *r);
void wg__map_jvp(wg_rule *r);
void wg__while_vjp(wg_rule *r);
void wg__while_jvp(wg_rule *r);

#endif
