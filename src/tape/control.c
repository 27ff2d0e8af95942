/* Recording nodes that run sub-tapes: what they share, calls, branches and rules of one's own. Loops:
 * loops.c. */
#include <stdio.h>

#include "tape/control.h"

wg_status wg__give_up(wg_status status, wg_var *outs, size_t max_outs)
{
    for (size_t i = 0; i < max_outs; i++)
        outs[i] = wg__invalid();
    return status;
}

wg_status wg__bad_fn(wg_fn fn, const char *what, const wg_var *ins, size_t nins, wg_var *outs,
                     size_t max_outs)
{
    wg_tape *t = fn.tape;
    for (size_t i = 0; i < nins && !t; i++)
        t = wg_tape_of(ins[i]);
    wg__tape_fail(t, WG_STALE, "%s: the sub-tape is invalid or stale", what);
    return wg__give_up(WG_STALE, outs, max_outs);
}

wg_status wg__run_fns(uint16_t op, const wg_fn *fns, size_t nfns, const wg_var *ins, size_t nins,
                      size_t first, const wg_attr *attrs, size_t nattrs, wg_var *outs,
                      size_t max_outs)
{
    wg_tape *t = fns[0].tape;
    size_t n = nins;
    for (size_t k = 0; k < nfns; k++)
        n += wg_fn_captures(fns[k], 0, NULL);
    wg_var *all = wg__calloc(t->ctx, n + 1, sizeof *all);
    if (!all)
        return wg__give_up(wg__tape_no_memory(t), outs, max_outs);
    for (size_t i = 0; i < nins; i++) {
        wg_type want = wg_fn_operand_type(fns[0], i < first ? SIZE_MAX : i - first);
        all[i] = want.shape.rank < 0 ? ins[i] : wg__materialise(t, ins[i], want.dtype);
    }
    for (size_t k = 0, at = nins; k < nfns; k++)
        at += wg_fn_captures(fns[k], n - at, all + at);
    wg_status status = wg__record(t, op, all, n, attrs, nattrs, outs, max_outs);
    wg__free(t->ctx, all);
    return status;
}

wg_status wg_call(wg_fn fn, const wg_var *ins, size_t nins, wg_var *outs, size_t max_outs)
{
    if (!wg_fn_ok(fn))
        return wg__bad_fn(fn, "call", ins, nins, outs, max_outs);
    const wg_attr attrs[] = {wg_attr_fn("fn", fn)};
    return wg__run_fns(WG__OP_CALL, &fn, 1, ins, nins, 0, attrs, 1, outs, max_outs);
}

wg_status wg_checkpoint(wg_fn fn, const wg_var *ins, size_t nins, wg_var *outs, size_t max_outs)
{
    if (!wg_fn_ok(fn))
        return wg__bad_fn(fn, "checkpoint", ins, nins, outs, max_outs);
    const wg_attr attrs[] = {wg_attr_fn("fn", fn)};
    return wg__run_fns(WG__OP_CHECKPOINT, &fn, 1, ins, nins, 0, attrs, 1, outs, max_outs);
}

/* ---- branches ----------------------------------------------------------------------------------- */

/* Branches by what chooses among them, and their names; NULL: numbers. */
static wg_status run_branches(uint16_t op, const char *name, wg_dtype chooser, wg_var which,
                              const wg_fn *fns, const char *const *names, size_t n,
                              const wg_var *ins, size_t nins, const wg_attr *attrs, size_t nattrs,
                              wg_var *outs, size_t max_outs)
{
    for (size_t k = 0; k < n; k++) {
        if (!wg_fn_ok(fns[k]))
            return wg__bad_fn(fns[k], name, ins, nins, outs, max_outs);
        if (wg_fn_ninputs(fns[k]) == nins)
            continue;
        char number[24];
        snprintf(number, sizeof number, "%zu", k);
        size_t takes = wg_fn_ninputs(fns[k]);
        return wg__give_up(
            wg__tape_fail(fns[k].tape, WG_INVALID, "%s: branch %s takes %zu input%s, not %zu", name,
                          names ? names[k] : number, takes, takes == 1 ? "" : "s", nins),
            outs, max_outs);
    }
    wg_tape *t = fns[0].tape;
    wg_var *all = wg__calloc(t->ctx, nins + 1, sizeof *all);
    if (!all)
        return wg__give_up(wg__tape_no_memory(t), outs, max_outs);
    all[0] = wg__materialise(t, which, chooser);
    for (size_t i = 0; i < nins; i++)
        all[i + 1] = ins[i];
    wg_status status = wg__run_fns(op, fns, n, all, nins + 1, 1, attrs, nattrs, outs, max_outs);
    wg__free(t->ctx, all);
    return status;
}

wg_status wg_cond(wg_var pred, wg_fn yes, wg_fn no, const wg_var *ins, size_t nins, wg_var *outs,
                  size_t max_outs)
{
    static const char *const names[] = {"yes", "no"};
    const wg_fn fns[] = {yes, no};
    const wg_attr attrs[] = {wg_attr_fn("yes", yes), wg_attr_fn("no", no)};
    return run_branches(WG__OP_COND, "cond", WG_BOOL, pred, fns, names, 2, ins, nins, attrs, 2,
                        outs, max_outs);
}

wg_status wg_switch(wg_var index, const wg_fn *fns, size_t nfns, const wg_var *ins, size_t nins,
                    wg_var *outs, size_t max_outs)
{
    const wg_attr attrs[] = {wg_attr_fns("fns", fns, nfns), wg_attr_int("shared", (int64_t)nins)};
    if (nfns == 0)
        return wg__give_up(wg__tape_fail(wg_tape_of(index), WG_INVALID,
                                         "switch: there are no branches, at least one is needed"),
                           outs, max_outs);
    return run_branches(WG__OP_SWITCH, "switch", WG_I64, index, fns, NULL, nfns, ins, nins, attrs,
                        2, outs, max_outs);
}

/* ---- rules of one's own ------------------------------------------------------------------------- */

static size_t count_floats(wg_fn fn, bool outputs, size_t n)
{
    size_t floats = 0;
    for (size_t i = 0; i < n; i++)
        floats += wg_dtype_is_float(
            (outputs ? wg_fn_output_type(fn, i) : wg_fn_operand_type(fn, i)).dtype);
    return floats;
}

/* The counts are known here apart from captures, so that messages can tell which is wrong. */
static wg_status run_custom(bool vjp, wg_fn fn, wg_fn rule, const wg_var *ins, size_t nins,
                            wg_var *outs, size_t max_outs)
{
    const char *op = vjp ? "custom_vjp" : "custom_jvp";
    const wg_fn fns[] = {fn, rule};
    const wg_attr attrs[] = {wg_attr_fn("fn", fn), wg_attr_fn("rule", rule)};
    for (size_t k = 0; k < 2; k++)
        if (!wg_fn_ok(fns[k]))
            return wg__bad_fn(fns[k], op, ins, nins, outs, max_outs);
    wg_tape *t = fn.tape;
    size_t nouts = wg_fn_noutputs(fn), takes = wg_fn_ninputs(rule);
    size_t linear = vjp ? count_floats(fn, true, nouts) : count_floats(fn, false, nins);
    size_t want = nins + (vjp ? nouts : 0) + linear;
    if (wg_fn_ninputs(fn) != nins)
        return wg__give_up(wg__tape_fail(t, WG_INVALID,
                                         "%s: the sub-tape takes %zu inputs, not %zu", op,
                                         wg_fn_ninputs(fn), nins),
                           outs, max_outs);
    if (takes != want && vjp)
        wg__tape_fail(t, WG_INVALID,
                      "%s: the rule takes %zu inputs, not %zu: %zu inputs, %zu outputs and %zu "
                      "cotangents of float outputs",
                      op, takes, want, nins, nouts, linear);
    else if (takes != want)
        wg__tape_fail(
            t, WG_INVALID,
            "%s: the rule takes %zu inputs, not %zu: %zu inputs and %zu tangents of float "
            "inputs",
            op, takes, want, nins, linear);
    if (takes != want)
        return wg__give_up(wg_tape_status(t), outs, max_outs);
    return wg__run_fns(vjp ? WG__OP_CUSTOM_VJP : WG__OP_CUSTOM_JVP, fns, 2, ins, nins, 0, attrs, 2,
                       outs, max_outs);
}

wg_status wg_custom_vjp(wg_fn fn, wg_fn rule, const wg_var *ins, size_t nins, wg_var *outs,
                        size_t max_outs)
{
    return run_custom(true, fn, rule, ins, nins, outs, max_outs);
}

wg_status wg_custom_jvp(wg_fn fn, wg_fn rule, const wg_var *ins, size_t nins, wg_var *outs,
                        size_t max_outs)
{
    return run_custom(false, fn, rule, ins, nins, outs, max_outs);
}
