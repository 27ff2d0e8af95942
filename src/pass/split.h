/* Loop fission: what the pass split finds out about a loop, and how it is recorded anew. split_roles.c
 * looks, split_sums.c takes sums apart, split_emit.c records some steps, split_chunks.c a loop with its
 * chunks; split.c is the pass. */
#ifndef WG_PASS_SPLIT_H
#define WG_PASS_SPLIT_H

#include "pass/batch.h"
#include "pass/scans.h"

/* What is known of a value of the body. */
enum {
    WG__SEQ = 1 << 0,      /* depends on a sequence */
    WG__CAR = 1 << 1,      /* depends on a carry, or on something that must stay where it is */
    WG__READ = 1 << 2,     /* an output needs it */
    WG__CONE = 1 << 3,     /* a next carry needs it */
    WG__BATCHES = 1 << 4,  /* there is a rule for all steps at once */
    WG__EARLY = 1 << 5,    /* could be computed before the loop */
    WG__LATE = 1 << 6,     /* could be computed after it, with all that depends on it */
    WG__BEFORE = 1 << 7,   /* is computed before the loop */
    WG__AFTER = 1 << 8,    /* is computed after it */
    WG__ACROSS = 1 << 9,   /* computed in the loop, stacked for what comes after it */
    WG__INSIDE = 1 << 10,  /* computed in the loop, or an operand of the new loop */
    WG__IN_SUM = 1 << 11,  /* its sum over the steps is wanted */
    WG__JOINS = 1 << 12,   /* the sum has a short way (wg__batch_sum) */
    WG__SPREADS = 1 << 13, /* the sum is the op of its operands' sums */
    WG__REDUCES = 1 << 14, /* a sum over axes: summed over the steps as well */
    WG__GAINS = 1 << 15,   /* its sum is better taken apart */
    WG__PAST = 1 << 16,    /* of a carry: its history is needed after the loop */
    WG__ASKED = 1 << 17,   /* its values are wanted, and not their sum alone */
    WG__JOINED = 1 << 18,  /* a sum with a short way is below */
    WG__LEFT = 1 << 19,    /* its sum can be made of what is there after the loop */
    WG__SUMMED = 1 << 20   /* its sum is that of its values, which are there after the loop */
};

typedef struct wg__split {
    wg_ctx *ctx;
    wg__scan s;
    const wg_tape *body;
    uint32_t *role; /* by value of the body */
    uint32_t *users;
    const bool *history; /* by carry: somebody reads its history; NULL: not known */
    bool *batched;       /* operands of the node in hand; room for the most */
    wg_tape *scratch;
    size_t moved;
    bool whole; /* nothing is left: there is no loop any more */
    bool good;  /* false: out of memory */
} wg__split;

/* Looks at loop `s`; `history` has an entry per carry and stays the caller's. To be freed in any case.
 * sp->moved is 0 when there is nothing to do. */
void wg__split_find(wg__split *sp, wg_ctx *ctx, const wg__scan *s, const bool *history);
void wg__split_free(wg__split *sp);

static inline bool wg__varies(const wg__split *sp, uint32_t id)
{
    return (sp->role[id] & (WG__SEQ | WG__CAR)) != 0;
}
static inline const uint32_t *wg__split_operands(const wg__split *sp, uint32_t id)
{
    return wg__operands(sp->body, wg__node_at(sp->body, wg__head(sp->body, id)));
}
static inline uint16_t wg__split_nin(const wg__split *sp, uint32_t id)
{
    return wg__node_at(sp->body, wg__head(sp->body, id))->nin;
}
static inline bool wg__split_source(const wg__split *sp, uint32_t id)
{
    return (wg__op_of(sp->body, id)->def.flags & WG_OP_SOURCE) != 0;
}
/* Fills sp->batched for a node. */
void wg__split_batched(wg__split *sp, uint32_t id);
static inline bool wg__is_float_value(const wg__split *sp, uint32_t id)
{
    return wg_dtype_is_float(wg__type_at(sp->body, id)->dtype);
}
/* Whether an operand of the node has `role`. */
static inline bool wg__split_any(const wg__split *sp, uint32_t id, uint32_t role)
{
    const uint32_t *in = wg__split_operands(sp, id);
    for (uint16_t k = 0; k < wg__split_nin(sp, id); k++)
        if (sp->role[in[k]] & role)
            return true;
    return false;
}

/* The roles of sums: which can be taken apart with a gain (JOINS, SPREADS, GAINS); and what of the body
 * is wanted then: IN_SUM, ASKED. To be called again when more is known to move. */
void wg__split_sums(wg__split *sp);
/* Sums that stayed, but can be made of what is there after the loop, once that is known (REDUCES, SUMMED,
 * SPREADS). */
void wg__split_leftovers(wg__split *sp);
/* Whether a sum that is wanted stays one of the loop. */
static inline bool wg__sum_stays(const wg__split *sp, uint32_t id)
{
    const uint32_t apart =
        WG__JOINS | WG__SPREADS | WG__REDUCES | WG__SUMMED | WG__BEFORE | WG__AFTER;
    const bool whole = sp->s.counted || (!(sp->role[id] & apart) && wg__varies(sp, id));
    return (sp->role[id] & WG__IN_SUM) && whole;
}
/* Of an op that SPREADS: whether operand `in`, if it does not vary, is a factor, which stays as it is (so
 * are indices and conditions), and not an addend, which counts once a step. */
static inline bool wg__is_factor(const wg__split *sp, uint32_t id, uint32_t in)
{
    return !(wg__op_of(sp->body, id)->def.flags & WG_OP_LINEAR) || !wg__is_float_value(sp, in);
}

/* Records the loop's `steps` steps on c->dst. in: its operands there (carries, sequences of those steps,
 * invariants); outs: its outputs, WG__NONE for histories that nobody reads. False after an error. */
bool wg__split_emit(const wg__split *sp, const wg__copy *c, wg_shape steps, const uint32_t *in,
                    uint32_t *outs);
/* Records the loop on c->dst, in chunks if it is long, and enters its outputs in c->map. False after an
 * error. */
bool wg__split_record(const wg__split *sp, wg__copy *c, bool *in_chunks);

#endif
