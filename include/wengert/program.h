/* Running: programs (compiled tapes), states (parameter values) and sessions (one running).
 *
 * Reads see a parameter's value at the start of the run; assigned values are committed together
 * after the last op has succeeded, so a failed run changes nothing. */
#ifndef WENGERT_PROGRAM_H
#define WENGERT_PROGRAM_H

#include <stdio.h>
#include <wengert/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- programs ------------------------------------------------------------------------------ */

typedef struct wg_compile_options {
    size_t struct_size;
    bool no_effects;      /* leave the tape's assigns out (evaluation) */
    const char *executor; /* NULL: the default, "vm"; "reference" is the oracle */
    bool verify;          /* check the graph after each pass (slow; for tests); implies no_cache */
    bool no_cache;        /* neither look in the context's cache nor leave anything there */
    bool explain;         /* keep what the passes say for wg_program_explain */
    size_t
        memory_limit; /* bytes that a session may take (wg_program_bytes); 0: any. Values are then
                             computed again where they do not fit, which changes no bit of any
                             result. What does not fit is an error that tells the least that was found (the search is a heuristic) */
} wg_compile_options;
#define WG_COMPILE_DEFAULTS                                                                        \
    {                                                                                              \
        sizeof(wg_compile_options), false, NULL, false, false, false, 0                            \
    }

/* Compiles what `outs` and the tape's assigns need. Immutable afterwards; any thread may run
 * sessions of it. Owned; NULL on failure, with the reason in `tape`. options NULL: defaults.
 *
 * The context remembers what it compiled lately, until it is freed: at most 64 graphs, none that needs
 * more than half a million values, and no more than wg_ctx_options.cache_bytes in all. A graph that is
 * recorded again, on the same tape or another, is then not compiled again. Float literals may differ between the two, but for 0, 1, -1, 2, 0.5, infinities and NaN, and
 * those in sub-tapes: these are part of the graph, as attributes, names and constants are. */
WG_API WG_MUST_CHECK wg_program *wg_compile(wg_tape *tape, const wg_var *outs, size_t nouts,
                                            const wg_compile_options *options);
WG_API void wg_program_free(wg_program *program);
WG_API wg_ctx *wg_program_ctx(const wg_program *program);
/* The compiled graph as a tape (canonical order), for printing and drawing; borrowed. NULL when memory
 * is out. */
WG_API const wg_tape *wg_program_tape(const wg_program *program);
WG_API size_t wg_program_ninputs(const wg_program *program);
/* Name (borrowed) and type of input `index`; *type may be NULL. NULL past the end. */
WG_API const char *wg_program_input(const wg_program *program, size_t index, wg_type *type);
WG_API size_t wg_program_nparams(const wg_program *program);
WG_API const char *wg_program_param(const wg_program *program, size_t index, wg_type *type);
WG_API size_t wg_program_noutputs(const wg_program *program);
/* Bytes that making a session of it allocates: its tables, the memory of its runs, copies of bool
 * inputs. Neither the state's, nor copies of other inputs (wg_bind_copy). SIZE_MAX: too many. */
WG_API size_t wg_program_bytes(const wg_program *program);
/* Writes what the program is made of: what each pass did (if compiled with `explain`), memory, and the
 * steps of a run in order, those of sub-tapes below the step that runs them. Values without a name go by
 * their number on wg_program_tape. For reading; the form may change. WG_INVALID, WG_NO_MEMORY, or WG_IO on a
 * write error. */
WG_API wg_status wg_program_explain(const wg_program *program, FILE *out);

/* ---- states ---------------------------------------------------------------------------------- */

/* An empty set of named tensors. `seed` feeds the initialisers: each parameter draws from its own
 * stream (seed, name), so order does not matter. Owned. One user at a time, but for the runs of
 * sessions that share it, and for making and freeing such sessions: those take turns by
 * themselves. */
WG_API WG_MUST_CHECK wg_state *wg_state_new(wg_ctx *ctx, uint64_t seed);
WG_API void wg_state_free(wg_state *state);
WG_API wg_status wg_state_status(const wg_state *state); /* of its last failed call */
WG_API const char *wg_state_error(const wg_state *state);
/* Adds every parameter of the program that is missing, with its initialiser's value. An existing
 * one of another type is an error. wg_session_new does this by itself. */
WG_API wg_status wg_state_init(wg_state *state, const wg_program *program);
WG_API size_t wg_state_count(const wg_state *state);
/* Name of parameter `index`, in order of addition; borrowed until wg_state_load; NULL past the
 * end. */
WG_API const char *wg_state_name(const wg_state *state, size_t index);
/* Its tensor by name; borrowed until it gets another type; NULL when there is none. */
WG_API const wg_tensor *wg_state_get(const wg_state *state, const char *name);
/* Sets (adds or replaces) a parameter; data is copied. */
WG_API wg_status wg_state_set(wg_state *state, const char *name, wg_dtype dtype, wg_shape shape,
                              const void *data);
/* safetensors files (https://github.com/huggingface/safetensors, format of version 0.4):
 * saving is atomic (temporary file, then rename); loading checks every byte count and adds or
 * replaces all tensors, or on failure none. */
WG_API wg_status wg_state_save(wg_state *state, const char *path);
WG_API wg_status wg_state_load(wg_state *state, const char *path);

/* ---- sessions ---------------------------------------------------------------------------------- */

/* One running of `program` with the parameters of `state` (NULL: an own state of seed 0). All
 * memory that runs need is allocated here. Keeps program and state alive. Owned; NULL on failure,
 * with the reason in `state`; without one it is always that memory is out. One thread at a time. Of
 * the sessions that share a state, those without effects run side by side, one with effects runs
 * alone. */
WG_API WG_MUST_CHECK wg_session *wg_session_new(wg_program *program, wg_state *state);
WG_API void wg_session_free(wg_session *session);
WG_API wg_state *wg_session_state(wg_session *session);        /* borrowed */
WG_API wg_status wg_session_status(const wg_session *session); /* of its last failed call */
WG_API const char *wg_session_error(const wg_session *session);

/* The elements of an input for the runs to come; `bytes` must be its type's.
 *
 * wg_bind and wg_bind_name borrow: runs read `data` where it is. It must be valid and unchanged during
 * every run until the input is bound anew; between runs its elements may change, and the next run may
 * see that. It may not be an output of this session or a tensor of its state: runs write there. Bools
 * (any non-zero byte is 1) and data that is not aligned to its element size are copied at the call.
 *
 * wg_bind_copy and wg_bind_copy_name copy: for values that go away or change. The first copy of an
 * input may allocate.
 *
 * An input that the program does not need is accepted and ignored when it belongs to the compiled
 * tape. */
WG_API wg_status wg_bind(wg_session *session, wg_var input, const void *data, size_t bytes);
WG_API wg_status wg_bind_name(wg_session *session, const char *input, const void *data,
                              size_t bytes);
WG_API wg_status wg_bind_copy(wg_session *session, wg_var input, const void *data, size_t bytes);
WG_API wg_status wg_bind_copy_name(wg_session *session, const char *input, const void *data,
                                   size_t bytes);
/* Runs the program; on failure nothing is committed and outputs are those of no run. */
WG_API wg_status wg_run(wg_session *session);
/* An output of the last successful run; borrowed until the next run; NULL when `out` is not among
 * the compiled outputs or there was none. *type and *bytes may be NULL. */
WG_API const void *wg_output(const wg_session *session, wg_var out, wg_type *type, size_t *bytes);
WG_API const void *wg_output_at(const wg_session *session, size_t index, wg_type *type,
                                size_t *bytes);
/* A one-element output as a double; NaN when there is none. */
WG_API double wg_scalar(const wg_session *session, wg_var out);

/* ---- profiles ------------------------------------------------------------------------------------ */

/* One step of a run: what the executor computes as one instruction. Its layout stays as it is: it opens
 * with no struct_size (docs/conventions.md). */
typedef struct wg_profile_entry {
    const char *kind; /* "loop", "product", "scalars", or an op's name; borrowed from the program */
    const char *name; /* of the value it computes, or ""; borrowed from the program */
    size_t nvalues;   /* how many nodes of the compiled graph it computes */
    double seconds;   /* in all runs since the profile began */
    double flops, bytes; /* of one run, estimated, sub-tapes included: operations; read and written.
                            0: not known */
} wg_profile_entry;

/* Measures each step of the runs to come (on: from zero), or no longer. Costs a run some 50 ns a step.
 * WG_NO_MEMORY. */
WG_API wg_status wg_session_profile(wg_session *session, bool on);
/* How many steps a run has; 0 without a profile. */
WG_API size_t wg_session_profile_count(const wg_session *session);
/* Runs since the profile began. */
WG_API uint64_t wg_session_profile_runs(const wg_session *session);
/* Step `index` in the order of running; false past the end or without a profile. */
WG_API bool wg_session_profile_at(const wg_session *session, size_t index, wg_profile_entry *out);
/* The share of all measured time of each value of wg_program_tape, by its number there, for
 * pictures: a step's time is divided among its values by their numbers of elements. Fills `shares`,
 * which holds `count` of them: wg_tape_size of that tape; -1 where nothing is computed. False without a
 * profile. */
WG_API bool wg_session_profile_shares(const wg_session *session, double *shares, size_t count);

#ifdef __cplusplus
}
#endif
#endif
