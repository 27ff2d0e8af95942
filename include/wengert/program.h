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
    const char *executor; /* NULL: the default, "reference" */
    bool verify;          /* check the graph after each pass (slow; for tests) */
} wg_compile_options;
#define WG_COMPILE_DEFAULTS                                                                        \
    {                                                                                              \
        sizeof(wg_compile_options), false, NULL, false                                             \
    }

/* Compiles what `outs` and the tape's assigns need. Immutable afterwards; any thread may run
 * sessions of it. Owned; NULL on failure, with the reason in `tape`. options NULL: defaults. */
WG_API WG_MUST_CHECK wg_program *wg_compile(wg_tape *tape, const wg_var *outs, size_t nouts,
                                            const wg_compile_options *options);
WG_API void wg_program_free(wg_program *program);
WG_API wg_ctx *wg_program_ctx(const wg_program *program);
/* The compiled graph as a tape (canonical order), for printing and drawing; borrowed. */
WG_API const wg_tape *wg_program_tape(const wg_program *program);
WG_API size_t wg_program_ninputs(const wg_program *program);
/* Name (borrowed) and type of input `index`; *type may be NULL. NULL past the end. */
WG_API const char *wg_program_input(const wg_program *program, size_t index, wg_type *type);
WG_API size_t wg_program_nparams(const wg_program *program);
WG_API const char *wg_program_param(const wg_program *program, size_t index, wg_type *type);
WG_API size_t wg_program_noutputs(const wg_program *program);
/* Bytes a session of it allocates. */
WG_API size_t wg_program_bytes(const wg_program *program);

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
 * with the reason in `state`; without one it is always that memory is out. One thread at a time. Of the sessions that share a state,
 * those without effects run side by side, one with effects runs alone. */
WG_API WG_MUST_CHECK wg_session *wg_session_new(wg_program *program, wg_state *state);
WG_API void wg_session_free(wg_session *session);
WG_API wg_state *wg_session_state(wg_session *session);        /* borrowed */
WG_API wg_status wg_session_status(const wg_session *session); /* of its last failed call */
WG_API const char *wg_session_error(const wg_session *session);

/* The elements of an input for the runs to come; `bytes` must be its type's. Copied, any non-zero
 * byte of a bool as 1. An input that
 * the program does not need is accepted and ignored when it belongs to the compiled tape. */
WG_API wg_status wg_bind(wg_session *session, wg_var input, const void *data, size_t bytes);
WG_API wg_status wg_bind_name(wg_session *session, const char *input, const void *data,
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

#ifdef __cplusplus
}
#endif
#endif
