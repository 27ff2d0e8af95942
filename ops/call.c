/* call: an op that runs a sub-tape once. Its derivatives are calls of new sub-tapes made from the
 * body. */
#include "subtape.h"

static wg_status infer_call(wg_infer *q)
{
    wg_fn fn = wg_attrs_fn(q->attrs, "fn");
    if (q->nin != wg_fn_noperands(fn))
        return wg_infer_fail(q, WG_INVALID, "the sub-tape takes %zu operands, not %zu",
                             wg_fn_noperands(fn), q->nin);
    for (size_t i = 0; i < q->nin; i++)
        if (!same_type(q->in[i], wg_fn_operand_type(fn, i)))
            return wg_infer_fail(q, WG_SHAPE, "operand %zu is %s, the sub-tape takes %s", i,
                                 wg_infer_text(q, q->in[i]),
                                 wg_infer_text(q, wg_fn_operand_type(fn, i)));
    if (wg_fn_noutputs(fn) == 0)
        return wg_infer_fail(q, WG_INVALID, "the sub-tape has no outputs");
    wg_status status = wg_infer_outputs(q, wg_fn_noutputs(fn));
    for (size_t i = 0; !status && i < q->nout; i++)
        q->out[i] = wg_fn_output_type(fn, i);
    return status;
}

static wg_status run_call(const wg_kernel_call *c)
{
    return wg_kernel_run_fn(c, 0, c->in, c->nin, c->out, c->nout);
}

/* Ends `body` with the values of `outs` that are there and calls it on `ins`. to[i] receives the
 * result for outs[i]; absent ones are left alone. */
static void call_present(const wg_rule *r, wg_tape *body, wg_var *outs, size_t nouts,
                         const wg_var *ins, size_t nins, wg_var *to)
{
    size_t *at = wg_rule_alloc(r, nouts, sizeof *at), n = 0;
    wg_var *results = wg_rule_alloc(r, nouts, sizeof *results);
    if (!at || !results)
        return;
    for (size_t i = 0; i < nouts; i++)
        if (!wg_is_none(outs[i])) {
            at[n] = i;
            outs[n++] = outs[i];
        }
    wg_fn fn = wg_fn_end(body, outs, n);
    const wg_attr attr = wg_attr_fn("fn", fn);
    if (n && wg_fn_ok(fn))
        wg_apply(r->tape, "call", ins, nins, &attr, 1, results, n);
    for (size_t i = 0; i < n; i++)
        to[at[i]] = results[i];
}

static void call_vjp(wg_rule *r)
{
    wg_fn fn = wg_attrs_fn(r->attrs, "fn");
    size_t n = r->nin + r->nout, nys = 0, nxs = 0;
    wg_var *ins = wg_rule_alloc(r, n, sizeof *ins), *formal = wg_rule_alloc(r, n, sizeof *formal);
    wg_var *outs = wg_rule_alloc(r, r->nout, sizeof *outs);
    wg_var *ys = wg_rule_alloc(r, r->nout, sizeof *ys),
           *dys = wg_rule_alloc(r, r->nout, sizeof *dys);
    wg_var *xs = wg_rule_alloc(r, r->nin, sizeof *xs), *dxs = wg_rule_alloc(r, r->nin, sizeof *dxs);
    bool *on = wg_rule_alloc(r, r->nin, sizeof *on);
    size_t *at = wg_rule_alloc(r, r->nin, sizeof *at);
    wg_tape *body = wg_fn_begin(r->tape, "call_vjp");
    if (!ins || !formal || !outs || !ys || !dys || !xs || !dxs || !on || !at || !body)
        return;
    for (size_t i = 0; i < r->nin; i++) {
        ins[i] = r->in[i];
        formal[i] = input_like(body, wg_name_of(ins[i]), wg_typeof(ins[i]));
        if (r->need[i]) {
            at[nxs] = i;
            xs[nxs++] = formal[i];
        }
    }
    for (size_t k = 0; k < r->nout; k++)
        if (!wg_is_none(r->dout[k])) {
            ins[r->nin + nys] = r->dout[k];
            dys[nys++] = input_like(body, "cotangent", wg_typeof(r->dout[k]));
        }
    if (wg_inline(body, fn, formal, r->nin, outs, r->nout))
        return;
    for (size_t k = 0, j = 0; k < r->nout; k++)
        if (!wg_is_none(r->dout[k]))
            ys[j++] = outs[k];
    if (wg_vjp(ys, nys, dys, xs, nxs, dxs, on))
        return;
    wg_var *din = wg_rule_alloc(r, r->nin, sizeof *din);
    if (!din)
        return;
    for (size_t j = 0; j < nxs; j++)
        din[j] = on[j] ? wg_none() : wg_disconnected();
    call_present(r, body, dxs, nxs, ins, r->nin + nys, din);
    for (size_t j = 0; j < nxs; j++)
        r->din[at[j]] = din[j];
}

static void call_jvp(wg_rule *r)
{
    wg_fn fn = wg_attrs_fn(r->attrs, "fn");
    size_t n = 2 * r->nin, nxs = 0, nys = 0;
    wg_var *ins = wg_rule_alloc(r, n, sizeof *ins), *formal = wg_rule_alloc(r, n, sizeof *formal);
    wg_var *xs = wg_rule_alloc(r, r->nin, sizeof *xs), *txs = wg_rule_alloc(r, r->nin, sizeof *txs);
    wg_var *outs = wg_rule_alloc(r, r->nout, sizeof *outs);
    wg_var *ys = wg_rule_alloc(r, r->nout, sizeof *ys),
           *tys = wg_rule_alloc(r, r->nout, sizeof *tys);
    bool *on = wg_rule_alloc(r, r->nin, sizeof *on), *dep = wg_rule_alloc(r, r->nout, sizeof *dep);
    size_t *at = wg_rule_alloc(r, r->nout, sizeof *at);
    wg_tape *body = wg_fn_begin(r->tape, "call_jvp");
    if (!ins || !formal || !xs || !txs || !outs || !ys || !tys || !on || !dep || !at || !body)
        return;
    for (size_t i = 0; i < r->nin; i++) {
        ins[i] = r->in[i];
        formal[i] = input_like(body, wg_name_of(ins[i]), wg_typeof(ins[i]));
        on[i] = !wg_is_none(r->tin[i]);
    }
    for (size_t i = 0; i < r->nin; i++)
        if (on[i]) {
            ins[r->nin + nxs] = r->tin[i];
            xs[nxs] = formal[i];
            txs[nxs++] = input_like(body, "tangent", wg_typeof(r->tin[i]));
        }
    if (wg_inline(body, fn, formal, r->nin, outs, r->nout) || wg_fn_depends(fn, on, dep))
        return;
    for (size_t k = 0; k < r->nout; k++)
        if (dep[k]) {
            at[nys] = k;
            ys[nys++] = outs[k];
        }
    wg_var *tout = wg_rule_alloc(r, r->nout, sizeof *tout);
    if (!tout || wg_jvp(ys, nys, xs, nxs, txs, tys))
        return;
    call_present(r, body, tys, nys, ins, r->nin + nxs, tout);
    for (size_t j = 0; j < nys; j++)
        r->tout[at[j]] = tout[j];
}

/* ---- the table ---------------------------------------------------------------------------------- */

static const wg_kernel call_kernels[] = {{WG_KERNEL, .types = "?->?", .run = run_call}};

static const char *const call_cases[] = {
    "graph case(x: f64[3], w: f64[3]) -> (y, %9)\n{\n"
    "  fn f(a: f64[3], b: f64[3]) -> (p, q) { p = mul(a, b); s = sin(a); q = mul(s, p) }\n"
    "  (y, %9) = call(x, w, fn=f)\n}",
    NULL};
static const wg_op_check call_check = {WG_OP_CHECK, .cases = call_cases};

static const wg_op ops[] = {
    {WG_OP, .sig = "call(operands*; fn: fn) -> outs*",
     .doc = "The outputs of a sub-tape on these operands (wg_call).", .infer = infer_call,
     .vjp = call_vjp, .jvp = call_jvp, .kernels = call_kernels, .nkernels = 1,
     .check = &call_check},
};

const wg__family wg__ops_call = {ops, sizeof ops / sizeof *ops};
