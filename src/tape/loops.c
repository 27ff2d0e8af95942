/* Recording loops. */
#include <string.h>

#include "tape/control.h"

/* The number of steps: the one given, else that of the first sequence; with the symbol of that where
 * they agree. Rank 1 with -1 where neither tells, which inference refuses. */
static wg_shape length_of(const wg_scan_options *o, const wg_var *xs, size_t nxs)
{
    wg_shape length = wg_shape_make(&o->length, 1);
    wg_type first = wg_typeof(nxs ? xs[0] : wg_none());
    if (first.shape.rank < 1 || (o->length >= 0 && o->length != first.shape.dim[0]))
        return length;
    length.dim[0] = first.shape.dim[0];
    length.symbol[0] = first.shape.symbol[0];
    return length;
}

static wg_status check_options(wg_tape *t, const char *what, const wg_scan_options *o)
{
    if (o->length < -1)
        return wg__tape_fail(t, WG_INVALID,
                             "%s: length %lld; it is a number of steps, or -1 to take it from the "
                             "sequences",
                             what, (long long)o->length);
    if (wg__is_literal(o->count) && wg__literal_dtype(o->count) != WG_I64)
        return wg__tape_fail(t, WG_DTYPE, "%s: the count is a literal of %s; it is i32 or i64",
                             what, wg_dtype_name(wg__literal_dtype(o->count)));
    return WG_OK;
}

/* carries, xs, what fn captures, and the count if there is one. */
static wg_status record(uint16_t op, wg_fn fn, const wg_var *carries, size_t ncarry,
                        const wg_var *xs, size_t nxs, wg_var count, const wg_attr *attrs,
                        size_t nattrs, wg_var *outs, size_t max_outs)
{
    wg_tape *t = fn.tape;
    size_t n = ncarry + nxs, ncap = wg_fn_captures(fn, 0, NULL);
    wg_var *ins = wg__calloc(t->ctx, n + ncap + 1, sizeof *ins);
    if (!ins)
        return wg__give_up(wg__tape_no_memory(t), outs, max_outs);
    for (size_t i = 0; i < n; i++) {
        wg_var v = i < ncarry ? carries[i] : xs[i - ncarry];
        wg_type want = wg_fn_operand_type(fn, i);
        ins[i] = want.shape.rank < 0 ? v : wg__materialise(t, v, want.dtype);
    }
    n += wg_fn_captures(fn, ncap, ins + n);
    if (count.tape)
        ins[n++] = wg__materialise(t, count, WG_I64);
    /* The histories that follow fn's outputs are for derivative rules alone. */
    size_t nouts = wg_fn_noutputs(fn) < max_outs ? wg_fn_noutputs(fn) : max_outs;
    wg__give_up(WG_OK, outs + nouts, max_outs - nouts);
    wg_status status = wg__record(t, op, ins, n, attrs, nattrs, outs, nouts);
    wg__free(t->ctx, ins);
    return status;
}

static wg_scan_options read_options(const wg_scan_options *options)
{
    wg_scan_options o = WG_SCAN_DEFAULTS;
    if (options)
        memcpy(&o, options, options->struct_size < sizeof o ? options->struct_size : sizeof o);
    return o;
}

wg_status wg_scan(wg_fn fn, const wg_var *carries, size_t ncarry, const wg_var *xs, size_t nxs,
                  const wg_scan_options *options, wg_var *outs, size_t max_outs)
{
    wg_scan_options o = read_options(options);
    if (!wg_fn_ok(fn))
        return wg__bad_fn(fn, "scan", ncarry ? carries : xs, ncarry ? ncarry : nxs, outs, max_outs);
    wg_status status = check_options(fn.tape, "scan", &o);
    if (status)
        return wg__give_up(status, outs, max_outs);
    const wg_attr attrs[] = {wg_attr_fn("fn", fn),
                             wg_attr_int("carries", (int64_t)ncarry),
                             wg_attr_int("xs", (int64_t)nxs),
                             wg_attr_shape("length", length_of(&o, xs, nxs)),
                             wg_attr_int("sums", (int64_t)o.sums),
                             wg_attr_bool("reverse", o.reverse),
                             wg_attr_bool("counted", o.count.tape != NULL)};
    return record(WG__OP_SCAN, fn, carries, ncarry, xs, nxs, o.count, attrs, 7, outs, max_outs);
}

wg_status wg_map(wg_fn fn, const wg_var *xs, size_t nxs, const wg_scan_options *options,
                 wg_var *outs, size_t max_outs)
{
    wg_scan_options o = read_options(options);
    if (!wg_fn_ok(fn))
        return wg__bad_fn(fn, "map", xs, nxs, outs, max_outs);
    wg_status status = check_options(fn.tape, "map", &o);
    if (!status && o.reverse)
        status = wg__tape_fail(fn.tape, WG_INVALID,
                               "map: its steps have no order to reverse; use scan, or leave "
                               "options->reverse false");
    if (status)
        return wg__give_up(status, outs, max_outs);
    const wg_attr attrs[] = {wg_attr_fn("fn", fn), wg_attr_int("xs", (int64_t)nxs),
                             wg_attr_shape("length", length_of(&o, xs, nxs)),
                             wg_attr_int("sums", (int64_t)o.sums),
                             wg_attr_bool("counted", o.count.tape != NULL)};
    return record(WG__OP_MAP, fn, NULL, 0, xs, nxs, o.count, attrs, 5, outs, max_outs);
}

wg_status wg_while(wg_fn cond, wg_fn fn, const wg_var *carries, size_t ncarry,
                   const wg_while_options *options, wg_var *outs, size_t max_outs)
{
    wg_while_options o = WG_WHILE_DEFAULTS;
    if (options)
        memcpy(&o, options, options->struct_size < sizeof o ? options->struct_size : sizeof o);
    if (!wg_fn_ok(fn) || !wg_fn_ok(cond))
        return wg__bad_fn(wg_fn_ok(fn) ? cond : fn, "while", carries, ncarry, outs, max_outs);
    if (cond.tape != fn.tape)
        return wg__give_up(wg__tape_fail(fn.tape, WG_INVALID,
                                         "while: condition and sub-tape were begun on different "
                                         "tapes; begin both on the tape that the loop is for"),
                           outs, max_outs);
    const wg_fn fns[] = {fn, cond};
    const wg_attr attrs[] = {wg_attr_fn("fn", fn), wg_attr_fn("cond", cond),
                             wg_attr_int("carries", (int64_t)ncarry),
                             wg_attr_int("bound", o.bound)};
    size_t nouts = ncarry < max_outs ? ncarry + 1 : max_outs; /* without histories, as above */
    wg__give_up(WG_OK, outs + nouts, max_outs - nouts);
    return wg__run_fns(WG__OP_WHILE, fns, 2, carries, ncarry, 0, attrs, 4, outs, nouts);
}
