/* The inside of pass budget: which values are parts of what scans give (budget_find.c), which pairs of
 * scans could be replayed (budget_pairs.c), and the tape with the replays (budget.c). */
#ifndef WG_PASS_BUDGET_FIND_H
#define WG_PASS_BUDGET_FIND_H

#include "pass/budget.h"
#include "pass/scans.h"

/* What is known of each value. */
typedef struct wg__origins {
    const wg__graph *g;
    const wg_tape *t;
    uint16_t reshape, section, concat; /* op numbers */
    uint32_t *reads;   /* by id: how often it is read, views looked through; roots count */
    uint32_t *by_step; /* by id: how often by backward scans that are paired with it */
    bool *piece;       /* by id: a section that is better computed again (wg__origins_piece) */
} wg__origins;

/* Elements [at, at + count) of value `id`, in the order of memory. */
typedef struct wg__range {
    uint32_t id;
    int64_t at, count;
} wg__range;

static inline int64_t count_of(const wg_tape *t, uint32_t id)
{
    return wg_shape_count(wg__type_at(t, id)->shape);
}

static inline size_t bytes_of(const wg_tape *t, uint32_t id)
{
    return wg__type_bytes(wg__type_at(t, id));
}

uint16_t wg__op_number(wg_ctx *ctx, const char *name);
/* False: out of memory. To be freed in any case. */
bool wg__origins_make(wg__origins *f, const wg__graph *g);
void wg__origins_free(wg__origins *f);
/* Where the elements of a value come from, views that keep their order looked through. */
wg__range wg__origins_chase(const wg__origins *f, uint32_t id);
/* The same of a value that may be a piece. */
wg__range wg__origins_chase_piece(const wg__origins *f, uint32_t id);
/* Whether output `id` of a scan is one value per step: a per-step output or a history. */
bool wg__scan_by_step(const wg__scan *s, uint32_t id);
/* Pieces: a few steps of a long sequence that a scan gives, the rest that does not make up a chunk say. For
 * them alone the whole sequence would be stored, so that a replay of nothing but copies makes them. *f is the
 * scan, steps *first to *first + *count - 1 are read. */
bool wg__origins_piece(const wg__origins *d, uint32_t id, wg__scan *f, int64_t *first,
                       int64_t *count);

/* The output of the pair's forward scan that sequence k of b, the backward one, is the pair's part of, if
 * it need not be read from there; WG__NONE: there is none. */
uint32_t wg__origins_replayed(const wg__origins *d, const wg__chain *p, const wg__scan *b,
                              size_t k);
/* Brings d->by_step up to date with which pairs are on. */
void wg__origins_count(wg__origins *d, const wg__chains *pairs);

#endif
