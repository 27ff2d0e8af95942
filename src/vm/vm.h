/* The vm, the default executor: a plan of steps over clusters (pass/cluster.h), each a fused loop, a
 * matrix product with its epilogue, a graph of scalars or one op's kernel. */
#ifndef WG_VM_VM_H
#define WG_VM_VM_H

#include "base/team.h"
#include "exec/exec.h"
#include "pass/cluster.h"
#include "vm/loop.h"
#include "vm/product.h"
#include "vm/scalars.h"

typedef struct wg__vm_plan wg__vm_plan;

/* A body that a KERNEL step runs. */
typedef struct wg__vm_sub {
    const wg__vm_plan *plan;
    uint32_t node;
    uint32_t attr; /* which attribute of the node, by index */
} wg__vm_sub;

typedef struct wg__vm_step {
    wg__cluster_kind kind;
    uint32_t node;                 /* the first member: for messages */
    uint32_t member, nmembers;     /* in plan->members: heads of nodes */
    uint32_t slot, nslots;         /* in plan->slots */
    uint32_t together;             /* this and the next `together - 1` loops run side by side */
    bool commits;                  /* writes a param in place: nothing may fail from here on */
    size_t tiles, scratch;         /* scratch: bytes per thread */
    size_t values_at;              /* SCALARS: where the values lie in the frame */
    size_t shared_at, partials_at; /* in the frame */
    double cost;                   /* rough nanoseconds on one thread */
    union {
        wg__loop *loop;
        wg__product *product;
        wg__scalars *scalars;
        struct {
            const wg_kernel *row;
            uint32_t sub; /* its first wg__vm_sub */
        } kernel;
    } u;
} wg__vm_step;

/* A value that a step reads or writes: value `id`, at `place` once the plan is made. */
typedef struct wg__vm_slot {
    uint32_t id;
    size_t offset; /* in bytes from the start of the value */
    wg__place place;
} wg__vm_slot;

/* Of one tape: the main one or a body. */
struct wg__vm_plan {
    wg_ctx *ctx;
    const wg_tape *tape;
    WG__VEC(wg__vm_step) steps;
    WG__VEC(wg__vm_slot) slots;
    WG__VEC(wg__vm_sub) subs;
    WG__VEC(uint32_t) bound_slots; /* slots whose place is bound */
    uint32_t *members;
    size_t nbound, nroots;
    uint32_t *root_ids;
    wg__place *roots;  /* where each lies at the end: in the frame, or written in place */
    wg__place *settle; /* roots that no step computes are copied from here (NOWHERE: computed) */
    size_t *settle_offset, *settle_bytes;
    char *literals;
    bool products;  /* it, or a body, calls the libraries */
    wg__team *team; /* the context's */
    size_t threads;
    size_t slots_at, bound_at, views_at, scratch_at, faults_at, body_at; /* in the frame */
    size_t scratch; /* per thread: the most that a step needs */
    size_t bytes;   /* of the frame */
    double flops;   /* with those of bodies; what is not known counts as 0 */
};

/* All plans of a program: those of bodies stand before those that run them; the main one is last. */
typedef struct wg__vm_plans {
    wg__team *team; /* the context's */
    WG__VEC(wg__vm_plan *) plans;
    bool explain;
    wg__str notes; /* what the fusing passes did, if asked for */
} wg__vm_plans;
static inline const wg__vm_plan *wg__vm_main(const wg__vm_plans *vm)
{
    return vm->plans.data[vm->plans.len - 1];
}
/* Fills vm and code->in_place. On failure the error is set and vm is to be freed all the same. */
wg_status wg__vm_plan_make(wg__vm_plans *vm, wg__code *code, wg__error *error);
void wg__vm_plan_free(wg__vm_plan *plan);
/* What steps do, in numbers and words (explain.c; see wg__executor). */
size_t wg__vm_parts(const wg__code *code);
size_t wg__vm_steps(const wg__code *code, size_t part);
void wg__vm_step_info(const wg__code *code, size_t part, size_t index, wg__step_info *info);
size_t wg__vm_reached(const wg__code *code, size_t part, size_t index, uint32_t *ids, size_t max);
/* Of a plan whose bodies have theirs. */
double wg__vm_plan_flops(const wg__vm_plan *plan);
size_t wg__vm_size(const wg__code *code);
void wg__vm_explain(const wg__code *code, wg__str *out);

typedef struct wg__vm_fault {
    bool set;
    size_t item;
    wg__loop_fault fault;
} wg__vm_fault;

/* A plan at work, at the start of its memory: plan->bytes, 64-byte aligned. */
typedef struct wg__vm_frame {
    wg__running running;
    const wg__vm_plan *plan;
    const wg__vm_step *step; /* running */
    bool committing;         /* a param has been written */
    const void **bound;
    char **slots;
    wg_view *views;
    wg__vm_fault *faults; /* per thread */
    const char *literals;
} wg__vm_frame;
wg__vm_frame *wg__vm_frame_make(const wg__vm_plan *plan, wg_session *session, void *memory);
wg_status wg__vm_run(wg__vm_frame *frame);

#endif
