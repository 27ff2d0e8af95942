/* The vm, the default executor: a plan of steps over clusters (pass/cluster.h), each a fused loop, a
 * matrix product with its epilogue, a graph of scalars or one op's kernel. */
#ifndef WG_VM_VM_H
#define WG_VM_VM_H

#include "base/team.h"
#include "exec/exec.h"
#include "pass/cluster.h"
#include "vm/join.h"
#include "vm/loop.h"
#include "vm/product.h"
#include "vm/scalars.h"

/* Work that pays for waking other threads, in nanoseconds on one. */
#define WG__VM_GRAIN 6000.0

typedef struct wg__vm_plan wg__vm_plan;

/* A body that a KERNEL step runs. */
typedef struct wg__vm_sub {
    const wg__vm_plan *plan;
    size_t at; /* where its frame lies in a lane (below) */
} wg__vm_sub;

/* The bodies of a KERNEL step, as wg_attrs_fn_at counts them. Each has a frame of its own from one
 * run of the body to the next, in a lane. What one thread of a wg_kernel_spread runs, it runs in its
 * own lane; everything else runs in the first. */
typedef struct wg__vm_bodies {
    uint32_t first, count; /* in plan->subs */
    size_t lanes;
    size_t lane_bytes, head_at; /* of a lane; where its wg__vm_frame lies, when there are several */
} wg__vm_bodies;

typedef struct wg__vm_step {
    wg__cluster_kind kind;
    uint32_t node;                 /* the first member: for messages */
    uint32_t member, nmembers;     /* in plan->members: heads of nodes */
    uint32_t slot, nslots;         /* in plan->slots */
    uint32_t together;             /* this and the next `together - 1` loops run side by side */
    bool commits;                  /* writes a param in place: nothing may fail from here on */
    bool again;                    /* it has run before: what `u` points to is that step's */
    size_t tiles, scratch;         /* scratch: bytes per thread */
    size_t values_at;              /* SCALARS: where the values lie in the frame */
    size_t shared_at, partials_at; /* in the frame */
    double cost;                   /* rough nanoseconds on one thread */
    union {
        wg__loop *loop;
        wg__product *product;
        wg__scalars *scalars;
        wg__join *join;
        struct {
            const wg_kernel *row;
            wg__vm_bodies bodies;
        } kernel;
    } u;
} wg__vm_step;

/* A value that a step reads or writes: value `id`, at `place` once the plan is made. */
typedef struct wg__vm_slot {
    uint32_t id;
    size_t offset; /* in bytes from the start of the value */
    wg__place place;
} wg__vm_slot;

/* A slot whose place is bound. */
typedef struct wg__vm_pointed {
    uint32_t slot;
    size_t offset;
} wg__vm_pointed;

/* A value that is handed out. Of the main plan it is left where `at` says: in the frame, or in the
 * param that it was assigned to. Of a body, its caller says where to: entry nbound + index of the
 * bound values. The step that computes it writes there where it can; else it is copied at the end. */
typedef struct wg__vm_root {
    uint32_t id;
    wg__place at;   /* where it is handed out */
    wg__place from; /* where it is copied from at the end (NOWHERE: a step writes it) */
    size_t offset, bytes;
    size_t spare; /* of a body, written by a step: its place in the frame when the caller does not
                     want it; SIZE_MAX: none is needed */
} wg__vm_root;

/* Of one tape: the main one or a body. */
struct wg__vm_plan {
    wg_ctx *ctx;
    const wg_tape *tape;
    WG__VEC(wg__vm_step) steps;
    WG__VEC(wg__vm_slot) slots;
    WG__VEC(wg__vm_sub) subs;
    wg__vm_pointed *pointed; /* by what they are bound to ... */
    uint32_t *pointed_end;   /* ... which has those up to this index */
    uint32_t *members;
    size_t nbound, nroots;
    size_t nbinds; /* entries of the table of bound values: nbound, of a body nroots more */
    wg__vm_root *roots;
    size_t nsettled; /* roots that are copied at the end */
    char *literals;
    bool products;  /* it, or a body, calls the libraries */
    wg__team *team; /* the context's */
    size_t threads; /* that a step may use: those of the team, or 1 */
    size_t slots_at, bound_at, views_at, scratch_at, faults_at, body_at; /* in the frame */
    size_t scratch; /* per thread: the most that a step needs */
    size_t bytes;   /* of the frame */
    size_t live;    /* of it, values at most at a time, if there was a target (remat.c) */
    size_t reruns;  /* steps that run again */
    double again;   /* and what that costs, in nanoseconds */
    double flops;   /* with those of bodies; what is not known counts as 0 */
    double cost;    /* rough nanoseconds on one thread, likewise */
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
double wg__vm_plan_cost(const wg__vm_plan *plan);
/* Of one run of its bodies and of the kernel itself, as far as it is known. */
double wg__vm_kernel_cost(const wg__vm_plan *plan, const wg__vm_step *step);
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
    bool polls;              /* it asks whether the user wants to cancel */
    atomic_bool *stop;       /* of a spread: its threads are to give up; or NULL */
    char *lane;              /* of the running step: memory of its bodies' frames */
    const void **bound;
    char **slots;
    wg_view *views;
    wg__vm_fault *faults; /* per thread */
    atomic_bool faulty;   /* one of them is set */
    const char *literals;
} wg__vm_frame;
/* caller: whose step runs this body; NULL: the session's own frame. */
wg__vm_frame *wg__vm_frame_make(const wg__vm_plan *plan, wg_session *session, void *memory,
                                const wg__vm_frame *caller);
/* With the frame's table of bound values filled: steps reach what they are bound to. */
void wg__vm_point_all(wg__vm_frame *frame);
/* One entry of the table, which may have been bound before. */
void wg__vm_point(wg__vm_frame *frame, size_t bound, const void *data);
wg_status wg__vm_run(wg__vm_frame *frame);
/* The vm's wg_kernel_run_fn and wg_kernel_spread (bodies.c). */
wg_status wg__vm_run_fn(const wg_kernel_call *c, size_t which, const wg_view *ins, size_t nins,
                        const wg_view *outs, size_t nouts);
wg_status wg__vm_spread(const wg_kernel_call *c, size_t items, wg_item_fn fn, void *arg);
/* Before a KERNEL step runs: none of its bodies has a frame. */
void wg__vm_enter_bodies(wg__vm_frame *frame, const wg__vm_step *step);

#endif
