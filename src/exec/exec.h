/* Running: programs, plans, frames, sessions and states from the inside.
 *
 * What compiling makes is code (wg__code): a private tape and, per tape that is run (the main one and
 * each sub-tape's body), a plan: what runs in which order and where each value lies. Programs that
 * compile equal graphs share it. A frame is a plan at work: a block of memory laid out by the plan.
 * The frames of bodies lie inside their caller's frame, so that all memory of a run is one block,
 * known in size before running. */
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

/* A free range of a tight arena. */
typedef struct wg__gap {
    size_t at, bytes;
} wg__gap;

typedef struct wg__arena {
    wg_ctx *ctx;
    bool tight;             /* takes the least memory it can, not the least time */
    WG__VEC(wg__gap) gaps;  /* of a tight one: apart from each other, ascending */
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
void wg__arena_clear(wg__arena *a);

/* ---- places ------------------------------------------------------------------------------------- */

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
/* Places what no step computes: bound values, consts and literals. *literals gets the literals'
 * memory, owned (wg__free); for the main tape executors read program->literals instead, which is
 * laid out in the same way. False: out of memory. */
bool wg__place_sources(const wg_tape *t, const uint32_t *bound, size_t nbound, wg__place *place,
                       char **literals);
/* A literal's value, 8 bytes apart in the order of ids; owned. *count: how many. NULL: out of
 * memory. */
char *wg__literals_make(const wg_tape *t, size_t *count);
/* Writes `bits`, as a literal node of this dtype holds them, as an element. */
void wg__store_literal(wg_dtype dtype, uint64_t bits, void *out);

/* ---- executors ---------------------------------------------------------------------------------- */

typedef struct wg__code wg__code;

/* Parts of code: part 0 is the main tape's plan, the others are those of bodies. */
enum { WG__MAX_STEP_BODIES = 4 };

/* What a step does. */
typedef struct wg__step_info {
    const char *kind;      /* static, or an op's name */
    const wg_tape *tape;   /* of its part */
    const uint32_t *nodes; /* heads of the nodes that it computes */
    size_t nnodes, together;
    size_t ops, tiles;   /* instructions per element (0: not known); independent pieces */
    double cost;         /* estimated nanoseconds on one thread; 0: not known */
    double flops, bytes; /* with those of its bodies; 0: not known */
    size_t nbodies;
    struct {
        size_t part;
        double times; /* how often the step runs it; 0: not known */
    } body[WG__MAX_STEP_BODIES];
} wg__step_info;
/* Of a node run by its op's kernel: bytes of its operands and outputs; flops, where they can be told from
 * the op's flags (0: not known); how often it runs each of its bodies (0: not known). */
double wg__node_traffic(const wg_tape *t, uint32_t head);
double wg__node_flops(const wg_tape *t, uint32_t head);
double wg__node_runs(const wg_tape *t, uint32_t head);

/* One way to run programs. A plan is the executor's own; a frame is a plan at work: a block of memory
 * laid out by the plan, which belongs to one session. */
typedef struct wg__executor {
    const char *name;
    int level;    /* of the passes that run for it */
    bool thrifty; /* it heeds code->target */
    /* Sets code->plan (and code->in_place). */
    wg_status (*plan)(wg__code *code, wg__error *error);
    void (*free)(wg_ctx *ctx, void *plan); /* NULL is fine */
    size_t (*bytes)(const wg__code *code); /* of a frame; SIZE_MAX: too large */
    size_t (*size)(const wg__code *code);  /* about how many bytes the plan itself takes */
    void (*open)(wg_session *session);     /* sets up session->frame, and session->bound in it */
    wg_status (*run)(wg_session *session); /* bound values are set; leaves the roots in place */
    const void *(*root)(const wg_session *session, size_t index); /* valid after a run */
    /* Runs sub-tape number `which` of the node that is running (wg_kernel_run_fn). */
    wg_status (*run_fn)(const wg_kernel_call *c, size_t which, const wg_view *ins, size_t nins,
                        const wg_view *outs, size_t nouts);
    /* Runs items of the node that is running (wg_kernel_spread). NULL: one after the other. */
    wg_status (*spread)(const wg_kernel_call *c, size_t items, wg_item_fn fn, void *arg);
    /* The steps of a part, for profiles and explanations. A step of `together` > 1 runs side by side
     * with those after it: session->profile has the time of all of them at the first. */
    size_t (*parts)(const wg__code *code);
    size_t (*steps)(const wg__code *code, size_t part);
    void (*step)(const wg__code *code, size_t part, size_t index, wg__step_info *info);
    /* The first `max` values in memory that a step reads or writes; returns how many. */
    size_t (*reached)(const wg__code *code, size_t part, size_t index, uint32_t *ids, size_t max);
    /* Appends what it has to say of the plan as a whole. */
    void (*explain)(const wg__code *code, wg__str *out);
} wg__executor;
extern const wg__executor wg__reference, wg__vm;

/* Nanoseconds of a clock that only goes forward. */
uint64_t wg__now(void);

/* What wg_kernel_call.priv points to: who runs which node. Frames begin with it. */
typedef struct wg__running {
    const wg__executor *executor;
    wg_session *session;
    const wg_tape *tape;
    uint32_t node;
    bool quiet; /* failures are not told: one of several threads, whose caller tells */
} wg__running;
/* Sets the session's error, once a run, with op, name and scope of the node in front. */
wg_status wg__run_fail(const wg__running *r, wg_status status, const char *format, ...)
    WG_PRINTF(3, 4);
/* WG_CANCELLED with the session's error set, when the user wants the run to stop. */
wg_status wg__run_cancelled(wg_session *session);
/* The same when it is known. */
wg_status wg__tell_cancelled(wg_session *session);
/* WG_OK when a sub-tape that takes `nbound` values and gives `nroots` fits; else fails the call. */
wg_status wg__check_fn_call(const wg_kernel_call *c, size_t which, size_t nbound, size_t nroots,
                            size_t nins, size_t nouts);

/* ---- programs ------------------------------------------------------------------------------------ */

/* An input, param or output. */
typedef struct wg__port {
    uint64_t bits; /* of its var on the compiled tape */
    uint32_t id;   /* on the program's tape; WG__NONE: an input that is not needed */
    char *name;    /* owned; NULL for outputs */
    wg_type type;
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

/* Room for `len` of them; to be freed in any case. False: out of memory. */
bool wg__ports_make(wg_ctx *ctx, wg__ports *ports, size_t len);
/* Once they are all there. */
void wg__ports_sort(wg__ports *ports, bool named);
void wg__ports_free(wg_ctx *ctx, wg__ports *ports);

/* How many ids of a graph (pass/pass.h) are what, in this order: outs, assigned values, the params
 * they go to; then, only followed: inputs, params. */
typedef struct wg__ids {
    size_t nouts, neffects, ninputs, nparams;
} wg__ids;

/* What compiling makes of a graph: the part of programs that does not depend on the tape they were
 * compiled from, nor on the values of its literal slots (pass/pass.h). Shared by programs and the
 * cache. */
struct wg__code {
    /* Not referenced, as its tape neither: the programs that use it hold the context. */
    wg_ctx *ctx;
    int held; /* how many references to ctx its tapes and tensors were relieved of */
    atomic_int refs;
    const wg__executor *executor;
    wg_tape *tape;
    size_t ninputs, nparams; /* needed ones */
    size_t nouts, neffects;
    uint32_t *bound;   /* ids that are bound: inputs, then params */
    uint32_t *roots;   /* ids that are handed out: outs, then assigned values */
    uint32_t *targets; /* effect e: param targets[e] takes root nouts + e */
    /* Effect e: the run itself writes the param, commit has nothing to do; or NULL. */
    bool *in_place;
    void *plan;        /* the executor's */
    uint32_t *reached; /* what became of the inputs, params and slots of its identity, in order */
    char *literals;    /* 8 bytes each, in the order of ids on tape; those of the first program */
    size_t nliterals;
    size_t size; /* about how many bytes all of this takes */
    bool explain;
    wg__str notes; /* what the passes did, if asked for */
    size_t target; /* bytes that values should take at most while it runs, of each plan; 0: any */
    size_t live;   /* those that they do take in the main plan */
    double again;  /* work (wg__step_work) of steps that are run again for that */
};
/* A measure of what a step costs, in operations. */
static inline double wg__step_work(const wg__step_info *info)
{
    return info->flops + info->bytes / 4;
}
/* What wg_program_bytes says of programs of this code. */
size_t wg__code_bytes(const wg__code *code);
void wg__code_ref(wg__code *code);
void wg__code_unref(wg__code *code); /* NULL is fine */
/* Through the passes to a plan. Graph ids: those of `ids`, then slots. NULL: the reason is in
 * graph->report. */
wg__code *wg__code_make(wg__graph *graph, const wg__ids *ids, const wg__executor *executor,
                        bool verify);
/* From a graph that has been through the passes, whose tape it takes, to a plan. */
wg__code *wg__code_of(wg__graph *graph, const wg__ids *ids, const wg__executor *executor,
                      size_t target);
/* The plan anew, for another target. False: the reason is in `report`. */
bool wg__code_replan(wg__code *code, size_t target, wg_tape *report);
/* The same as wg__code_of within graph->memory_limit (fit.c). */
wg__code *wg__code_fit(wg__graph *graph, const wg__ids *ids, const wg__executor *executor,
                       bool verify);

/* ---- finding code again ---------------------------------------------------------------------------- */

/* A graph as words: equal graphs, whatever tape they are on, have equal words. */
typedef struct wg__identity {
    uint64_t hash;
    WG__VEC(uint32_t) words;
    WG__VEC(uint32_t) slots; /* ids of literals whose values are left open, in order of the walk */
    uint32_t *number;        /* by id: its place in the walk from 1; 0: not needed */
} wg__identity;
/* False: it cannot be had (too large, or out of memory). To be freed in any case. */
bool wg__identity_make(wg__identity *id, const wg__graph *graph, const wg__ids *ids,
                       const wg__executor *executor);
void wg__identity_free(wg_ctx *ctx, wg__identity *id);
/* The context's code of this identity, referenced; or NULL. Any thread. */
wg__code *wg__cache_find(wg_ctx *ctx, const wg__identity *id);
/* Remembers code (if there is memory): takes id->words over. Returns what is to be used, referenced,
 * instead of `code`, whose reference is taken: code of the same identity may be there meanwhile. */
wg__code *wg__cache_put(wg_ctx *ctx, wg__identity *id, wg__code *code);

/* ---- programs, as their users see them ---------------------------------------------------------------- */

struct wg_program {
    wg_ctx *ctx; /* referenced */
    atomic_int refs;
    wg__code *code;
    const wg_tape *source; /* the compiled tape: to be compared, never followed */
    wg__ports inputs;      /* those that are needed, then the others of the compiled tape */
    size_t ninputs;        /* needed ones */
    wg__ports params;
    wg__ports outs;
    const char *literals; /* of the main tape */
    char *own_literals;   /* NULL: literals are the code's */
    wg_tape *own_tape;    /* with own literals; made when asked for, under the context's lock */
};

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
    uint64_t version;           /* counts the changes of entries */
    wg__error error;
};
void wg__state_ref(wg_state *state);
/* wg__fail on state->error under the lock: sessions in other threads may fail, too. */
void wg__state_fail(wg_state *state, wg_status status, const char *message);
size_t wg__state_find(const wg_state *state, const char *name); /* SIZE_MAX: not there */

/* ---- sessions ------------------------------------------------------------------------------------- */

struct wg_session {
    wg_ctx *ctx; /* referenced */
    wg_program *program;
    wg_state *state;
    uint64_t version;   /* of the state when params were bound last; UINT64_MAX: never */
    size_t *items;      /* param -> index in state->items */
    bool *given;        /* input -> has a value */
    size_t missing;     /* inputs that have none */
    void **copies;      /* input -> room for a copy, 64-byte aligned, or NULL */
    void *frame;        /* the executor's, 64-byte aligned */
    const void **bound; /* what it reads: needed inputs, then params */
    uint64_t *profile;  /* nanoseconds so far per step of the main plan; NULL: not asked for */
    uint64_t runs;      /* since the profile began */
    bool ran;           /* the outputs are those of a run */
    bool told;          /* during a run: the error has its message */
    wg__error error;
};
/* own_inputs false: inputs are bound with wg__session_point, never copied. */
wg_session *wg__session_make(wg_program *program, wg_state *state, bool own_inputs);
void wg__session_point(wg_session *session, size_t input, const void *data);
size_t wg__session_bytes(const wg_program *program);

#endif
