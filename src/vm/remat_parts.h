/* The inside of rematerialisation: the count of live bytes while the steps of a plan are gone through.
 * What is known of its steps and values (remat_facts.c), how values come and go (remat_room.c), how the
 * steps are run (remat_run.c); which target is tried (remat.c). */
#ifndef WG_VM_REMAT_PARTS_H
#define WG_VM_REMAT_PARTS_H

#include "vm/planner.h"
#include "vm/remat.h"

/* A group of values that are gone and hang together: what having one of them again may cost. */
typedef struct wg__gone {
    uint32_t parent; /* index in wg__sim.gone; itself: the head */
    double cost;
} wg__gone;

/* A step that waits for its operands. */
typedef struct wg__pending {
    uint32_t step, next; /* next: of its slots to look at */
} wg__pending;

typedef struct wg__sim {
    wg__planner *p;
    const wg__vm_plan *plan;
    wg__remat *out;
    size_t target, live;
    uint32_t steps, now;
    uint32_t busy;         /* the step that is to run again: what it writes stays */
    size_t *bytes;         /* by id: 0: not managed here */
    uint32_t *def;         /* by id: its step */
    uint32_t *use, *first; /* steps that read id: use[first[id] .. first[id + 1] - 1], ascending */
    uint32_t *next;        /* by id: index in use of the first that is still to come */
    bool *there, *kept;    /* by id: in memory; to the end */
    bool *joined;          /* by id: several steps write it, part by part (wg__window) */
    uint32_t *pins;        /* by id */
    uint32_t *place;       /* by id: its index in alive */
    uint32_t *cell;        /* by id: 1 + its entry in gone; 0: it was never gone */
    uint32_t *until;       /* by step: it may run again before steps up to this one; 0: never */
    double *cost;          /* by step */
    WG__VEC(uint32_t) alive;
    WG__VEC(wg__gone) gone;
    WG__VEC(wg__pending) waiting;
    size_t reruns;
    bool hoard;  /* values that only runs to come again would read may stay */
    bool memory; /* it ran out of that of this program */
} wg__sim;

static inline size_t sim_nodes(const wg__sim *s) { return s->p->task->tape->nodes.len; }

static inline bool is_managed(const wg__sim *s, uint32_t id)
{
    return id != WG__NONE && s->bytes[id];
}

static inline uint32_t slot_id(const wg__sim *s, uint32_t step, uint32_t k)
{
    return s->plan->slots.data[s->plan->steps.data[step].slot + k].id;
}

/* Whether a step still to come reads it, of those in the compiled order. */
static inline bool is_awaited(const wg__sim *s, uint32_t id)
{
    return s->next[id] < s->first[id + 1] || s->kept[id];
}

/* ---- facts (remat_facts.c) --------------------------------------------------------------------- */

/* False: out of memory. To be freed in any case. */
bool wg__sim_make(wg__sim *s, wg__planner *p);
void wg__sim_free(wg__sim *s);
/* Bytes that a step works with beside its operands and results. */
size_t wg__sim_work(const wg__vm_step *step);
/* Slot k of a step reads a managed value, and is the first of its slots that does. */
bool wg__sim_reads(const wg__sim *s, uint32_t step, uint32_t k);

/* ---- coming and going (remat_room.c) ------------------------------------------------------------ */

/* A value is in memory; false: out of that of this program, as below. */
bool wg__sim_come(wg__sim *s, uint32_t id);
/* Nothing needs it any more. */
bool wg__sim_die(wg__sim *s, uint32_t id);
/* It was computed again: the others of its group cost less. */
void wg__sim_uncount(wg__sim *s, uint32_t id);
/* The step that would next need `id`: one that reads it, or else one that reads a result of those that
 * have read it, which would be computed from it again. UINT32_MAX: none. */
uint32_t wg__sim_next_need(const wg__sim *s, uint32_t id);
/* Evicts until there is room for `bytes`. False: there cannot be. */
bool wg__sim_make_room(wg__sim *s, size_t bytes);

/* ---- running (remat_run.c) ----------------------------------------------------------------------- */

/* An order within the target. False: there is none, or (s->memory) memory is out. */
bool wg__sim_run(wg__sim *s, size_t target, wg__remat *out);

#endif
