/* Sub-tapes and the nodes that run them: calls, loops, branches, rules of one's own.
 *
 * Each of them is one node, however often its body runs: graph, picture and compile time do not grow
 * with the number of steps. Each can be differentiated to any order in both modes, and stand in the
 * body of any other.
 *
 * The functions here record on the tape that the sub-tapes were begun on. They write as many vars to
 * `outs` as the node has outputs, at most max_outs (invalid ones on failure; the tape then holds the
 * reason), and take a literal for an operand of the dtype that the body wants. Values of enclosing
 * tapes that a body uses become operands by themselves (captures). An op whose operands all are values
 * of enclosing tapes is recorded there: it is computed once, before the node, even if no step or not
 * this branch runs. What must not run then takes its values through the node's inputs. */
#ifndef WENGERT_CONTROL_H
#define WENGERT_CONTROL_H

#include <wengert/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- sub-tapes ----------------------------------------------------------------------------- */

/* Opens a sub-tape. Ops whose operands belong to it are recorded on it; a var of an enclosing tape
 * used there becomes a capture (an extra operand of the node that runs it). Borrowed; NULL on failure. */
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
/* The same, but nothing inside is kept for the backward pass: its derivatives compute the body again
 * from `ins` (Chen et al. 2016). Saves memory, costs a second run of the body. */
WG_API wg_status wg_checkpoint(wg_fn fn, const wg_var *ins, size_t nins, wg_var *outs,
                               size_t max_outs);

/* ---- loops ------------------------------------------------------------------------------------- */

typedef struct wg_scan_options {
    size_t struct_size;
    int64_t length; /* number of steps T; needed only when there are no xs; -1: from xs */
    bool reverse;   /* from the last step to the first; xs and ys keep their places */
    size_t sums;    /* how many of fn's last outputs are added up over the steps */
    wg_var count;   /* i32 or i64 of rank 0, known only when it runs: steps 0 .. count - 1 are run
                       (clamped to 0 .. T), per-step outputs of the others are 0; {NULL, 0}: all */
} wg_scan_options;
#define WG_SCAN_DEFAULTS                                                                           \
    {                                                                                              \
        sizeof(wg_scan_options), -1, false, 0, { NULL, 0 }                                         \
    }

/* A recurrence: for t = 0 .. T-1,  (carry, y_t, s_t) = fn(carry, x_t).
 * fn takes ncarry carries, then one slice of each of the nxs sequences (leading axis T dropped); it
 * returns ncarry carries of the same types, then any number of per-step outputs, then options->sums
 * terms. Writes the ncarry final carries, the per-step outputs stacked on a new leading axis, and
 * the sums of terms over all steps, added in the order of running: wg_fn_noutputs(fn) vars. T may
 * be 0: sums are then 0. */
WG_API wg_status wg_scan(wg_fn fn, const wg_var *carries, size_t ncarry, const wg_var *xs,
                         size_t nxs, const wg_scan_options *options, wg_var *outs, size_t max_outs);

/* (y_t, s_t) = fn(x_t) for all t: a scan without carries, whose steps run in parallel. Sums are added
 * in an order that depends on T alone. options->reverse must be false. */
WG_API wg_status wg_map(wg_fn fn, const wg_var *xs, size_t nxs, const wg_scan_options *options,
                        wg_var *outs, size_t max_outs);

typedef struct wg_while_options {
    size_t struct_size;
    int64_t bound; /* most steps that it may take, else the run fails; -1: any number. Reverse mode
                      keeps the carries of `bound` steps; without a bound it runs parts of the loop
                      again, in fixed memory (docs/conventions.md) */
} wg_while_options;
#define WG_WHILE_DEFAULTS                                                                          \
    {                                                                                              \
        sizeof(wg_while_options), -1                                                               \
    }

/* while (cond(carry)) carry = fn(carry). cond gives one bool of rank 0. Writes the ncarry final
 * carries, then the number of steps taken (i64 of rank 0). */
WG_API wg_status wg_while(wg_fn cond, wg_fn fn, const wg_var *carries, size_t ncarry,
                          const wg_while_options *options, wg_var *outs, size_t max_outs);

/* ---- branches ---------------------------------------------------------------------------------- */

/* outs = pred ? yes(ins) : no(ins). pred: bool of rank 0. Both take the same inputs and give outputs
 * of the same types; only one of them runs. */
WG_API wg_status wg_cond(wg_var pred, wg_fn yes, wg_fn no, const wg_var *ins, size_t nins,
                         wg_var *outs, size_t max_outs);
/* outs = fns[index](ins). index: i32 or i64 of rank 0; outside 0 .. nfns - 1 the run fails
 * (WG_RANGE). */
WG_API wg_status wg_switch(wg_var index, const wg_fn *fns, size_t nfns, const wg_var *ins,
                           size_t nins, wg_var *outs, size_t max_outs);

/* ---- rules of one's own ------------------------------------------------------------------------ */

/* outs = fn(ins), differentiated by `rule` instead: rule(ins, outs, cotangents of the float outs)
 * gives one cotangent per float operand of `ins`, of its type. Forward mode transposes the rule. What
 * fn captures gets no derivative: asking for one is an error. */
WG_API wg_status wg_custom_vjp(wg_fn fn, wg_fn rule, const wg_var *ins, size_t nins, wg_var *outs,
                               size_t max_outs);
/* The same in forward mode: rule(ins, tangents of the float ins) gives one tangent per float output.
 * The rule must be linear in the tangents; reverse mode transposes it. */
WG_API wg_status wg_custom_jvp(wg_fn fn, wg_fn rule, const wg_var *ins, size_t nins, wg_var *outs,
                               size_t max_outs);

#ifdef __cplusplus
}
#endif
#endif
