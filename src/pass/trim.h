/* Inside of the pass trim: what becomes of a loop (trim_plan.c), which trim.c carries out; calls and
 * branches (trim_branch.c), while (trim_while.c). */
#ifndef WG_PASS_TRIM_H
#define WG_PASS_TRIM_H

#include "pass/scans.h"

/* What becomes of an operand, and of an output of the body. `of`: another one, in the same group. */
enum {
    WG__STAYS,
    WG__GOES,
    WG__LIKE,      /* the same as `of` */
    WG__INVARIANT, /* operand: becomes an invariant */
    WG__UNIFORM,   /* operand: every element is a literal, which enters the body */
    WG__SEQUENCE,  /* per-step output: operand `of`, a sequence */
    WG__CONSTANT,  /* per-step output: operand `of`, the same in every step */
    WG__HISTORY    /* per-step output: the history of carry `of` */
};
typedef struct wg__fate {
    uint32_t what, of;
} wg__fate;

typedef struct wg__trim_plan {
    wg__scan s;
    wg__fate *in, *out; /* by operand and by output of the body */
    bool *used;         /* by value of the body */
    const bool *read;   /* by value of the tape */
    bool changes;
} wg__trim_plan;

/* Finds out what becomes of a loop; read: which values of its tape are read. False: out of memory. To be
 * freed in any case. */
bool wg__trim_plan_make(wg__trim_plan *p, wg_ctx *ctx, const wg__scan *s, const bool *read);
void wg__trim_plan_free(wg__trim_plan *p, wg_ctx *ctx);

/* Whether output `output` of the loop is read. */
static inline bool wg__trim_reads(const wg__trim_plan *p, size_t output)
{
    return p->read[p->s.id + output];
}
/* Output number `k` of the body. */
static inline uint32_t wg__trim_out(const wg__trim_plan *p, size_t k) { return p->s.fn->outs[k]; }
/* The literal that all elements of a value are, when passes may look at it; else WG__NONE. */
uint32_t wg__trim_uniform(const wg_tape *t, uint32_t id);
/* Steps that know nothing of each other run in any order: a scan with so many carries and sums left is
 * a map. */
bool wg__trim_to_map(wg_ctx *ctx, const wg__scan *s, size_t ncarry, size_t nsums);

/* ---- calls, branches, while ---------------------------------------------------------------------- */

bool wg__trim_any_read(const wg_tape *t, uint32_t id, const bool *read);
/* The bodies of a node in the making, and which of their formals and outputs stay. */
typedef struct wg__trim_bodies {
    wg__copy *c;
    wg__remade *made;
    uint32_t id; /* the node, on c->src */
    bool (*keeps_formal)(const void *user, size_t i);
    bool (*keeps_output)(const void *user, size_t k);
    const void *user;
} wg__trim_bodies;
/* `fn` with what stays: its place in the destination's table, 0 after an error. */
uint32_t wg__trim_body(const wg__trim_bodies *b, wg__fn *fn);
/* Records node `id` anew with the operands that are kept, and attribute `name`, if there is one, set to
 * `value`; WG__NONE after an error. */
uint32_t wg__trim_record(const wg__copy *c, uint32_t id, const bool *kept, wg_attr *attrs,
                         size_t nattrs, const char *name, size_t value);

/* Whether node `id` is a call or a branch that has something to lose; *good false: out of memory. */
bool wg__trim_branch_looks(wg_ctx *ctx, const wg_tape *t, uint32_t id, const bool *read,
                           bool *good);
/* Records it anew; false after an error. */
bool wg__trim_branch(wg__copy *c, uint32_t id, wg__remade *made, const bool *read);
/* The same of a while. */
bool wg__trim_while_looks(wg_ctx *ctx, const wg_tape *t, uint32_t id, const bool *read, bool *good);
bool wg__trim_while(wg__copy *c, uint32_t id, wg__remade *made, const bool *read);

#endif
