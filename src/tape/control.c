/* Recording nodes that run sub-tapes: what they share, and calls. Loops: loops.c. */
#include "tape/control.h"

wg_status wg__give_up(wg_status status, wg_var *outs, size_t max_outs)
{
    for (size_t i = 0; i < max_outs; i++)
        outs[i] = wg__invalid();
    return status;
}

wg_status wg__bad_fn(wg_fn fn, const char *what, wg_var *outs, size_t max_outs)
{
    wg__tape_fail(fn.tape, WG_STALE, "%s: the sub-tape is invalid or stale", what);
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
        return wg__bad_fn(fn, "call", outs, max_outs);
    const wg_attr attrs[] = {wg_attr_fn("fn", fn)};
    return wg__run_fns(WG__OP_CALL, &fn, 1, ins, nins, 0, attrs, 1, outs, max_outs);
}
