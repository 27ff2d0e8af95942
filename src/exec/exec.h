/* Running: programs, plans, frames, sessions and states from the inside.
 *
 * A program owns a private tape and, per tape it runs (the main one and each sub-tape's body), a
 * plan: which kernels run in which order and where each value lies. A frame is a plan at work: a
 * block of memory laid out by the plan. The frames of bodies lie inside their caller's frame, so
 * that all memory of a run is one block, known in size before running. */
#ifndef WG_EXEC_EXEC_H
#define WG_EXEC_EXEC_H

#include <pthread.h>
#include <stdatomic.h>
#include <wengert/program.h>
#include "base/ctx.h"
#include "pass/pass.h"
#include "tape/tape.h"

/* ---- errors: what failed last in a state or a session -------------------------------------- */

typedef struct wg__error {
    wg_status status;
    wg__str text;
} wg__error;
/* Replaces the error; returns `status`. */
wg_status wg__fail(wg__error *e, wg_status status, const char *format, ...) WG_PRINTF(3, 4);
wg_status wg__failv(wg__error *e, wg_status status, const char *format, va_list args)
    WG_PRINTF(3, 0);
const char *wg__error_text(const wg__error *e); /* never NULL */

/* ---- initialisers ---------------------------------------------------------------------------- */

/* Fills `data` (of `type`) from the stream (seed, name); false with a message appended to `why`
 * when the kind is unknown or its numbers make no sense. data NULL: only checks. */
bool wg__init_fill(const wg_init *init, const wg_type *type, uint64_t seed, const char *name,
                   void *data, wg__str *why);
/* The initialiser of a param node; its kind borrows from the tape. */
wg_init wg__init_of(const wg_tape *t, uint32_t param);

/* ---- offsets of a frame ------------------------------------------------------------------------ */

typedef struct wg__block {
    size_t at;
    uint32_t next; /* index + 1 in blocks */
} wg__block;

typedef struct wg__arena {
    wg_ctx *ctx;
    size_t top;             /* bytes so far; SIZE_MAX: they exceed the address space */
    uint32_t free[64 * 16]; /* per size class: index + 1 in blocks */
    uint32_t spare;         /* unused entries of blocks */
    WG__VEC(wg__block) blocks;
} wg__arena;
/* The 64-byte aligned offset of a block. */
size_t wg__arena_take(wg__arena *a, size_t bytes);
/* One that nothing had before. */
size_t wg__arena_append(wg__arena *a, size_t bytes);
/* `bytes` as when taken. False: out of memory. */
bool wg__arena_give(wg__arena *a, size_t at, size_t bytes);

/* ---- plans ------------------------------------------------------------------------------------- */

typedef enum wg__where {
    WG__NOWHERE, /* not computed */
    WG__FRAME,   /* at: offset in the frame */
    WG__BOUND,   /* at: index in frame->bound: inputs, captures, params */
    WG__CONST,   /* at: index in tape->consts */
    WG__LITERAL  /* at: offset in plan->literals */
} wg__where;

typedef struct wg__place {
    wg__where where;
    size_t at;
} wg__place;

typedef struct wg__plan wg__plan;

/* A body that a step runs. */
typedef struct wg__sub {
    const wg__plan *plan;
    uint32_t step;
    uint32_t attr; /* which attribute of the node, by index */
} wg__sub;

typedef struct wg__step {
    uint32_t id;    /* of the node */
    uint32_t sub;   /* its first wg__sub */
    size_t scratch; /* offset in the frame */
    const wg_kernel *kernel;
} wg__step;

struct wg__plan {
    wg_ctx *ctx;
    const wg_tape *tape; /* the main tape or a body */
    wg__place *place;    /* by id */
    WG__VEC(wg__step) steps;
    WG__VEC(wg__sub) subs;
    uint32_t *bound; /* ids of the values that are bound by pointer */
    size_t nbound;
    uint32_t *roots; /* ids of the values that are handed out ... */
    size_t *root_at; /* ... and where they lie in the frame at the end */
    size_t nroots;
    char *literals;
    size_t bound_at, views_at; /* offsets in the frame */
    size_t body_at;            /* where the frame of a body lies: one runs at a time */
    size_t bytes;              /* of the frame */
};

/* All plans of a program: those of bodies stand before those that run them; the main one is last. */
typedef WG__VEC(wg__plan *) wg__plans;
/* Plans `tape` and, before it, the bodies it runs. bound: ids of inputs and params in the order
 * of binding. On failure the error is set and *plans is to be freed all the same. */
wg_status wg__plan_make(wg__plans *plans, const wg_tape *tape, const uint32_t *bound, size_t nbound,
                        const uint32_t *roots, size_t nroots, wg__error *error);
const wg__plan *wg__plan_main(const wg__plans *plans);
void wg__plans_free(wg_ctx *ctx, wg__plans *plans);

/* ---- executors ---------------------------------------------------------------------------------- */

/* One way to run programs. */
typedef struct wg__executor {
    const char *name;
    wg_status (*plan)(wg_program *program, wg__error *error);
    wg_status (*run)(wg_session *session); /* bound values are set; leaves the roots in the frame */
} wg__executor;
extern const wg__executor wg__reference;

/* ---- programs ------------------------------------------------------------------------------------ */

/* An input, param or output. */
typedef struct wg__port {
    uint64_t bits;       /* of its var on the compiled tape */
    uint32_t id;         /* on the program's tape; WG__NONE: an input that is not needed */
    char *name;          /* owned; NULL for outputs */
    const wg_type *type; /* interned on the program's tape */
} wg__port;

typedef struct wg__key {
    uint64_t bits;
    uint32_t index;
} wg__key;

typedef struct wg__ports {
    wg__port *data;
    size_t len;
    wg__key *keys;      /* sorted by bits */
    wg__port **by_name; /* sorted; not of outputs */
} wg__ports;

struct wg_program {
    wg_ctx *ctx; /* referenced */
    atomic_int refs;
    const wg__executor *executor;
    const wg_tape *source; /* the compiled tape: to be compared, never followed */
    wg_tape *tape;         /* private */
    wg__ports inputs;      /* those that are needed, then the others of the compiled tape */
    size_t ninputs;        /* needed ones */
    wg__ports params;
    wg__ports outs;
    uint32_t *targets; /* effect e: params[targets[e]] takes ... */
    uint32_t *values;  /* ... this value; it is root outs.len + e of the plan */
    size_t neffects;
    wg__plans plans;
};

/* How many ids of a graph (pass/pass.h) are what, in this order: outs, assigned values, the params
 * they go to; then, only followed: inputs, params. */
typedef struct wg__ids {
    size_t nouts, neffects, ninputs, nparams;
} wg__ids;
/* A program from a graph: passes, ports, plan. The graph loses its tape. NULL: the reason is in
 * graph->report. */
wg_program *wg__program_make(wg__graph *graph, const wg__ids *ids,
                             const wg_compile_options *options);
void wg__program_ref(wg_program *program);
/* Index of the port of `var` of the compiled tape `source`, or SIZE_MAX. */
size_t wg__port_find(const wg__ports *ports, const wg_tape *source, wg_var var);
/* The same by name. */
size_t wg__port_named(const wg__ports *ports, const char *name);

/* ---- states --------------------------------------------------------------------------------------- */

struct wg_state {
    wg_ctx *ctx; /* referenced */
    atomic_int refs;
    pthread_rwlock_t lock; /* runs with effects and changes: exclusive; other runs: shared */
    uint64_t seed;
    wg__pool names;             /* id - 1 is the index */
    WG__VEC(wg_tensor *) items; /* by index; entries are never removed */
    wg__error error;
};
void wg__state_ref(wg_state *state);
/* wg__fail on state->error under the lock: sessions in other threads may fail, too. */
void wg__state_fail(wg_state *state, wg_status status, const char *message);
size_t wg__state_find(const wg_state *state, const char *name); /* SIZE_MAX: not there */

/* ---- sessions ------------------------------------------------------------------------------------- */

typedef struct wg__frame {
    const wg__plan *plan;
    wg_session *session;
    const wg__step *step; /* running */
    const void **bound;
    wg_view *views;
} wg__frame; /* at the start of its memory: plan->bytes, 64-byte aligned */
wg__frame *wg__frame_make(const wg__plan *plan, wg_session *session, void *memory);

struct wg_session {
    wg_ctx *ctx; /* referenced */
    wg_program *program;
    wg_state *state;
    size_t *items; /* param -> index in state->items */
    bool *given;   /* input -> has a value */
    char *inputs;  /* copies of inputs; NULL when they are bound by pointer */
    size_t *input_at;
    wg__frame *frame;
    bool ran;  /* the outputs are those of a run */
    bool told; /* during a run: the error has its message */
    wg__error error;
};
/* own_inputs false: inputs are bound with wg__session_point, not copied. */
wg_session *wg__session_make(wg_program *program, wg_state *state, bool own_inputs);
void wg__session_point(wg_session *session, size_t input, const void *data);
size_t wg__session_bytes(const wg_program *program, bool own_inputs);

#endif
