/* Sub-tapes and the nodes that run them: calls, loops, branches, rules of one's own.
 *
 * Each of them is one node, however often its body runs: graph, picture and compile time do not grow
 * with the number of steps. Each can be differentiated to any order in both modes, and stand in the
 * body of any other.
 *
 * The functions here record on the tape that the sub-tapes were begun on. They write as many vars to
 * `outs` as the node has outputs, at most max_outs (invalid ones on failure; the tape then holds the
 * reason), and take a literal for an operand of the dtype that the body wants. Values of enclosing
 * tapes that a body uses become operands by themselves (captures). */
#ifndef WENGERT_CONTROL_H
#define WENGERT_CONTROL_H

#include <wengert/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- sub-tapes ----------------------------------------------------------------------------- */

/* Opens a sub-tape. Ops whose operands belong to it are recorded on it; a var of an enclosing tape
 * used there becomes a capture (an extra operand of call and scan). Borrowed; NULL on failure. */
WG_API wg_tape *wg_fn_begin(wg_tape *outer, const char *name);
/* The next formal input of an open sub-tape. */
WG_API wg_var wg_fn_input(wg_tape *body, const char *name, wg_dtype dtype, wg_shape shape);
/* Closes it with its outputs (vars of the body or of enclosing tapes). */
WG_API wg_fn wg_fn_end(wg_tape *body, const wg_var *outs, size_t nouts);
WG_API bool wg_fn_ok(wg_fn fn);
/* Its body, for inspection; borrowed. */
WG_API const wg_tape *wg_fn_body(wg_fn fn);
WG_API size_t wg_fn_ninputs(wg_fn fn); /* formal inputs, without captures */
WG_API size_t wg_fn_noutputs(wg_fn fn);
/* The captured outer values, in the order of the operands that follow the formal inputs; at most
 * `max` are written; returns how many there are. */
WG_API size_t wg_fn_captures(wg_fn fn, size_t max, wg_var *out);

/* Inputs with captures: the operands that a node running it has. Their types and the outputs'. */
WG_API size_t wg_fn_noperands(wg_fn fn);
WG_API wg_type wg_fn_operand_type(wg_fn fn, size_t index);
WG_API wg_type wg_fn_output_type(wg_fn fn, size_t index);
/* Name of an operand, "" when it has none or is not there; borrowed from the tape. */
WG_API const char *wg_fn_operand_name(wg_fn fn, size_t index);
/* used[i]: whether any output needs operand i. */
WG_API wg_status wg_fn_uses(wg_fn fn, bool *used);
/* out[j]: whether output j depends, through float values, on an operand i with in[i]. */
WG_API wg_status wg_fn_depends(wg_fn fn, const bool *in, bool *out);

/* Records fn's body in place instead of a call node, on `tape` (the fn's own or one below it).
 * An operand that no output needs may be wg_none(). */
WG_API wg_status wg_inline(wg_tape *tape, wg_fn fn, const wg_var *ins, size_t nins, wg_var *outs,
                           size_t max_outs);

/* ---- calls ------------------------------------------------------------------------------------- */

/* outs = fn(ins). */
WG_API wg_status wg_call(wg_fn fn, const wg_var *ins, size_t nins, wg_var *outs, size_t max_outs);
/* ---- loops ------------------------------------------------------------------------------------- */

typedef struct wg_scan_options {
    size_t struct_size;
    int64_t length; /* number of steps T; needed only when there are no xs; -1: from xs */
    bool reverse;   /* from the last step to the first; xs and ys keep their places */
} wg_scan_options;
#define WG_SCAN_DEFAULTS                                                                           \
    {                                                                                              \
        sizeof(wg_scan_options), -1, false                                                         \
    }

/* A recurrence: for t = 0 .. T-1,  (carry, y_t) = fn(carry, x_t).
 * fn takes ncarry carries, then one slice of each of the nxs sequences (leading axis T dropped); it
 * returns ncarry carries of the same types, then any number of per-step outputs. Writes the ncarry
 * final carries, then the per-step outputs stacked on a new leading axis: wg_fn_noutputs(fn) vars. T
 * may be 0. */
WG_API wg_status wg_scan(wg_fn fn, const wg_var *carries, size_t ncarry, const wg_var *xs,
                         size_t nxs, const wg_scan_options *options, wg_var *outs, size_t max_outs);

#ifdef __cplusplus
}
#endif
#endif
