/* Recording loops. */
#include <string.h>

#include "tape/control.h"

wg_status wg_scan(wg_fn fn, const wg_var *carries, size_t ncarry, const wg_var *xs, size_t nxs,
                  const wg_scan_options *options, wg_var *outs, size_t max_outs)
{
    wg_scan_options o = WG_SCAN_DEFAULTS;
    if (!wg_fn_ok(fn))
        return wg__bad_fn(fn, "scan", outs, max_outs);
    if (options)
        memcpy(&o, options, options->struct_size < sizeof o ? options->struct_size : sizeof o);
    if (o.length < -1)
        return wg__give_up(
            wg__tape_fail(fn.tape, WG_INVALID, "scan: length %lld", (long long)o.length), outs,
            max_outs);
    wg_shape length = wg_shape_make(&o.length, 1);
    if (nxs) {
        wg_type type = wg_typeof(xs[0]);
        if (type.shape.rank > 0) {
            if (o.length < 0 || o.length == type.shape.dim[0])
                length.symbol[0] = type.shape.symbol[0];
            length.dim[0] = o.length < 0 ? type.shape.dim[0] : o.length;
        }
    }
    const wg_attr attrs[] = {wg_attr_fn("fn", fn), wg_attr_int("carries", (int64_t)ncarry),
                             wg_attr_int("xs", (int64_t)nxs), wg_attr_shape("length", length),
                             wg_attr_bool("reverse", o.reverse)};
    wg_ctx *ctx = fn.tape->ctx;
    wg_var *ins = wg__calloc(ctx, ncarry + nxs + 1, sizeof *ins);
    if (!ins)
        return wg__give_up(wg__tape_no_memory(fn.tape), outs, max_outs);
    for (size_t i = 0; i < ncarry + nxs; i++)
        ins[i] = i < ncarry ? carries[i] : xs[i - ncarry];
    /* The histories that follow fn's outputs are for derivative rules alone. */
    size_t nouts = wg_fn_noutputs(fn) < max_outs ? wg_fn_noutputs(fn) : max_outs;
    wg__give_up(WG_OK, outs + nouts, max_outs - nouts);
    wg_status status =
        wg__run_fns(WG__OP_SCAN, &fn, 1, ins, ncarry + nxs, 0, attrs, 5, outs, nouts);
    wg__free(ctx, ins);
    return status;
}
