/* Recording: tapes, values, sources, scopes, literals, sub-tapes.
 *
 * A tape is an append-only list of nodes in topological order (a Wengert list). Recording is typed
 * at once: a shape error is reported where it was made. Errors stick: the failed call returns an
 * invalid wg_var, ops on an invalid var stay silent, and the tape keeps the first message.
 * Thread rule: a tape and its sub-tapes have one writer. */
#ifndef WENGERT_TAPE_H
#define WENGERT_TAPE_H

#include <wengert/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- tapes ------------------------------------------------------------------------------- */

/* An empty tape. Owned; NULL when memory is out. */
WG_API WG_MUST_CHECK wg_tape *wg_tape_new(wg_ctx *ctx);
/* Frees the tape and its sub-tapes; programs made from it live on. A sub-tape (wg_fn_begin) is
 * freed with its root; passing one here does nothing. */
WG_API void wg_tape_free(wg_tape *tape);
WG_API wg_ctx *wg_tape_ctx(const wg_tape *tape);

/* The first error since the tape was made or wg_tape_clear_error; WG_OK if none. NULL tape:
 * WG_NO_MEMORY. */
WG_API wg_status wg_tape_status(const wg_tape *tape);
/* Its message, "" if none; borrowed until the next call on the tape. */
WG_API const char *wg_tape_error(const wg_tape *tape);
WG_API void wg_tape_clear_error(wg_tape *tape);

/* Number of value ids on the tape. */
WG_API size_t wg_tape_size(const wg_tape *tape);

/* A point to come back to, by value. */
typedef struct wg_mark {
    const wg_tape *tape;
    uint64_t time; /* when it was made */
    uint32_t gen;  /* generation of the last value before it */
    uint32_t nodes, operands, inputs, params, captures, effects, fns, consts, scope;
} wg_mark;
WG_API wg_mark wg_tape_mark(const wg_tape *tape);
/* Forgets all recorded and all sub-tapes begun after `mark`; handles to them become stale, which is
 * detected (a wg_tape * from wg_fn_begin dangles), and so do marks made in between. */
WG_API wg_status wg_tape_rewind(wg_tape *tape, wg_mark mark);

/* A new size for a named dimension. */
typedef struct wg_size {
    const char *name;
    int64_t size;
} wg_size;
/* The same graph recorded anew with the named dimensions at other sizes. Names, scopes and
 * sub-tapes are kept. Owned; NULL on failure, with the reason in `tape`. */
WG_API WG_MUST_CHECK wg_tape *wg_tape_resize(wg_tape *tape, const wg_size *sizes, size_t nsizes);

/* Structural equality: same nodes, types, attributes, names, scopes, sub-tapes and effects in the
 * same order; literal values and constant contents included (bitwise). */
WG_API bool wg_tape_equal(const wg_tape *a, const wg_tape *b);
/* A hash of the same; equal tapes have equal hashes. */
WG_API uint64_t wg_tape_hash(const wg_tape *tape);

/* ---- values ------------------------------------------------------------------------------ */

/* True while `var` is a usable value or literal. */
WG_API bool wg_ok(wg_var var);
/* The tape it stands on; NULL for literals, wg_none and invalid vars. Borrowed. */
WG_API wg_tape *wg_tape_of(wg_var var);
/* Its type. A literal has rank 0 and f64, i64 or bool; an invalid var gives rank -1. */
WG_API wg_type wg_typeof(wg_var var);
/* Names the value (for messages, text, pictures); returns `var`. Any string is allowed. */
WG_API wg_var wg_name(wg_var var, const char *name);
/* Its name, or "" ; borrowed from the tape. */
WG_API const char *wg_name_of(wg_var var);

/* Literals take dtype and tape from the op's other operands; one that does not fit it is an error. */
WG_API wg_var wg_f(double value);
WG_API wg_var wg_i(int64_t value);
WG_API wg_var wg_b(bool value);

/* The absent value: as a cotangent a structural zero, as an operand an error. */
WG_API wg_var wg_none(void);
WG_API bool wg_is_none(wg_var var);

/* Computes `var` now, on the reference executor: just the nodes it needs, memoised on the tape;
 * effects are not run. Inputs take the tensors of wg_set, params those of wg_set or else their
 * initialiser's value with seed 0. Borrowed from the tape until it is rewound past `var`, or
 * wg_set, or freed; NULL on failure, with the reason in the tape when that holds none yet:
 * wg_tape_clear_error resets it. */
WG_API const wg_tensor *wg_value(wg_var var);
/* wg_value of a one-element var as a double; NaN on failure. */
WG_API double wg_value_scalar(wg_var var);
/* Gives an input or param of the tape a value for wg_value (copied; forgets all memoised values
 * on the tape). `bytes` must match the type. */
WG_API wg_status wg_set(wg_var var, const void *data, size_t bytes);

/* ---- sources and effects ------------------------------------------------------------------ */

/* Bound anew at each run. The name must be unique among inputs and params of the tape. */
WG_API wg_var wg_input(wg_tape *tape, const char *name, wg_dtype dtype, wg_shape shape);

/* How a parameter gets its first value. `kind` names a row of the table in src/tape/init_kinds.c. */
typedef struct wg_init {
    const char *kind;
    double a, b;
} wg_init;
WG_API wg_init wg_init_zeros(void);
WG_API wg_init wg_init_ones(void);
WG_API wg_init wg_init_constant(double value);
WG_API wg_init wg_init_uniform(double low, double high);
WG_API wg_init wg_init_normal(double mean, double std);
/* Glorot and Bengio 2010: uniform on +-sqrt(6 / (fan_in + fan_out)); the normal form has
 * std sqrt(2 / (fan_in + fan_out)). Shape [fan_in, fan_out]; leading axes count as receptive
 * field. */
WG_API wg_init wg_init_xavier(void);
WG_API wg_init wg_init_xavier_normal(void);
/* He et al. 2015: uniform on +-sqrt(6 / fan_in); the normal form has std sqrt(2 / fan_in). */
WG_API wg_init wg_init_he(void);
WG_API wg_init wg_init_he_normal(void);

/* A parameter: its value lives in a wg_state under its full name ("scope/name"), which must be
 * unique among inputs and params of the tape. On a sub-tape it is recorded on the root. */
WG_API wg_var wg_param(wg_tape *tape, const char *name, wg_dtype dtype, wg_shape shape,
                       wg_init init);
/* A constant tensor; `data` is copied and must hold all elements. */
WG_API wg_var wg_const(wg_tape *tape, wg_dtype dtype, wg_shape shape, const void *data);

/* A value with all elements equal, of any type that holds `value`. */
WG_API wg_var wg_full(wg_tape *tape, wg_type type, double value);

/* Effect: `param` takes `value` at the end of a successful run. A later assign to the same param
 * replaces an earlier one. Not in sub-tapes. Returns `value` (as a var of the param's type). */
WG_API wg_var wg_assign(wg_var param, wg_var value);
/* The pending value of `param`: that of the last assign so far, else `param` itself. */
WG_API wg_var wg_latest(wg_var param);

/* Identity whose derivative is disconnected. */
WG_API wg_var wg_stop_gradient(wg_var x);

/* ---- scopes ------------------------------------------------------------------------------ */

/* Nodes recorded until the matching pop carry the scope: a cluster in pictures, a prefix of
 * parameter names. Any non-empty name without '/'. */
WG_API wg_status wg_scope_push(wg_tape *tape, const char *name);
WG_API wg_status wg_scope_pop(wg_tape *tape);

/* ---- any op by name ------------------------------------------------------------------------ */

typedef enum wg_attr_kind {
    WG_ATTR_NONE,
    WG_ATTR_INT,
    WG_ATTR_FLOAT,
    WG_ATTR_BOOL,
    WG_ATTR_DTYPE,
    WG_ATTR_AXIS,  /* one axis of operand 0; stored non-negative */
    WG_ATTR_AXES,  /* axes of operand 0; stored sorted, non-negative, never "all" */
    WG_ATTR_INTS,  /* list of integers */
    WG_ATTR_SHAPE, /* sizes with symbols */
    WG_ATTR_STRING,
    WG_ATTR_FN, /* a sub-tape */
    WG_ATTR_FNS /* list of sub-tapes, one or more */
} wg_attr_kind;

/* An attribute by name, for wg_apply. Make it with the functions below; contents are copied by
 * the call that takes it. */
typedef struct wg_attr {
    const char *name;
    wg_attr_kind kind;
    size_t count; /* of `ints` or `fns` */
    union {
        int64_t i; /* int, bool, dtype, axis */
        double f;
        wg_axes axes;
        const int64_t *ints;
        wg_shape shape;
        const char *string;
        wg_fn fn;
        const wg_fn *fns;
    } v;
} wg_attr;
WG_API wg_attr wg_attr_int(const char *name, int64_t value);
WG_API wg_attr wg_attr_float(const char *name, double value);
WG_API wg_attr wg_attr_bool(const char *name, bool value);
WG_API wg_attr wg_attr_dtype(const char *name, wg_dtype value);
WG_API wg_attr wg_attr_axis(const char *name, int axis);
WG_API wg_attr wg_attr_axes(const char *name, wg_axes axes);
WG_API wg_attr wg_attr_ints(const char *name, const int64_t *ints, size_t count);
WG_API wg_attr wg_attr_shape(const char *name, wg_shape shape);
WG_API wg_attr wg_attr_string(const char *name, const char *string);
WG_API wg_attr wg_attr_fn(const char *name, wg_fn fn);
WG_API wg_attr wg_attr_fns(const char *name, const wg_fn *fns, size_t n);

/* Records op `name` on `tape`. `outs` receives at most `max_outs` output vars (invalid ones on
 * failure). Unknown names, attributes and wrong counts are errors that list what is right. */
WG_API wg_status wg_apply(wg_tape *tape, const char *name, const wg_var *ins, size_t nins,
                          const wg_attr *attrs, size_t nattrs, wg_var *outs, size_t max_outs);

#ifdef __cplusplus
}
#endif
#endif
