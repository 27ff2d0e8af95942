/* The making of plans: what the parts of the planner share. Included by plan.c, steps.c and memory.c. */
#ifndef WG_VM_PLANNER_H
#define WG_VM_PLANNER_H

#include "vm/compile.h"
#include "vm/remat.h"
#include "vm/vm.h"

#define WG__FOREVER UINT32_MAX

/* A body that has a plan. */
typedef struct wg__planned {
    const wg__fn *fn;
    uintptr_t alone;
} wg__planned;

/* The making of all plans of a program. */
typedef struct wg__maker {
    wg__vm_plans *vm;
    wg__pool bodies; /* wg__planned so far: id - 1 is the index in vm->plans */
    wg__error *error;
    int isa;
    wg__team *team;
    size_t target; /* wg__code.target */
} wg__maker;

/* What a tape is planned for. */
typedef struct wg__task {
    const wg_tape *tape;
    const uint32_t *bound, *roots;
    size_t nbound, nroots;
    /* Effects: params and the values they take, which are among the roots; of bodies none. */
    const uint32_t *params, *values;
    const uint32_t *param_bound; /* index of each in `bound` */
    size_t neffects;
    bool *in_place;
    bool body;  /* its caller says where its roots go */
    bool alone; /* it runs beside others of its kind: on one thread */
} wg__task;

typedef struct wg__planner {
    wg_ctx *ctx;
    wg__maker *maker;
    const wg__task *task;
    wg__vm_plan *plan;
    wg__clusters clusters;
    wg__place *place;  /* by id */
    uint32_t *last;    /* by id: the last step that uses it; FOREVER: it stays to the end */
    uint32_t *slot_of; /* by id: 1 + its slot in the step at hand, if `slot_step` says so */
    uint32_t *slot_step;
    uint64_t *member_at; /* of a SCALARS step */
    uint32_t step;       /* at hand */
    size_t nviews;       /* most that a KERNEL step needs */
    size_t body_bytes;
    wg__arena arena;
    wg__remat remat; /* its order is empty: each step runs once */
} wg__planner;

wg_status wg__planner_no_memory(wg__planner *p);
/* One step per cluster (steps.c). */
wg_status wg__planner_steps(wg__planner *p);
/* The bodies that a KERNEL step runs, planned first (plan.c). */
wg_status wg__planner_bodies(wg__planner *p, wg__vm_step *step);
/* Memory (memory.c). Before the steps: which roots a step writes where they are handed out. After
 * them: which effects are written in place, then where everything lies. False: out of memory. */
void wg__planner_roots(wg__planner *p);
bool wg__planner_effects(wg__planner *p);
bool wg__planner_places(wg__planner *p);
/* Puts the steps into an order in which values take at most `target` bytes, or as few as can be had, by
 * running some again (remat.c). False: out of memory. */
bool wg__planner_remat(wg__planner *p, size_t target, wg__remat *r);
void wg__remat_free(wg_ctx *ctx, wg__remat *r);

#endif
