/* call and checkpoint: ops that run a sub-tape once. Their derivatives run new sub-tapes made from the
 * body once. Passes put the body of a call in its place; that of a checkpoint stays together, so that
 * its backward pass computes the body again rather than keep what is inside. */
#include "branch.h"

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

/* ---- derivatives -------------------------------------------------------------------------------- */

static wg__branches only(const char *op, const wg_rule *r)
{
    return (wg__branches){op, r->attrs, 0, 1, r->nin};
}

static void call_vjp(wg_rule *r)
{
    wg__branches b = only("call", r);
    wg__branches_vjp(r, &b);
}

static void call_jvp(wg_rule *r)
{
    wg__branches b = only("call", r);
    wg__branches_jvp(r, &b);
}

static void checkpoint_vjp(wg_rule *r)
{
    wg__branches b = only("checkpoint", r);
    wg__branches_vjp(r, &b);
}

static void checkpoint_jvp(wg_rule *r)
{
    wg__branches b = only("checkpoint", r);
    wg__branches_jvp(r, &b);
}

/* ---- the table ---------------------------------------------------------------------------------- */

static const wg_kernel call_kernels[] = {{WG_KERNEL, .types = "?->?", .run = run_call}};

static const char *const call_cases[] = {
    "graph case(x: f64[3], w: f64[3]) -> (y, %9)\n{\n"
    "  fn f(a: f64[3], b: f64[3]) -> (p, q) { p = mul(a, b); s = sin(a); q = mul(s, p) }\n"
    "  (y, %9) = call(x, w, fn=f)\n}",
    NULL};
static const wg_op_check call_check = {WG_OP_CHECK, .cases = call_cases};

static const char *const checkpoint_cases[] = {
    "graph case(x: f64[3], w: f64[3]) -> (y, %9)\n{\n"
    "  fn f(a: f64[3], b: f64[3]) -> (p, q) { p = mul(a, b); s = sin(a); q = mul(s, p) }\n"
    "  (y, %9) = checkpoint(x, w, fn=f)\n}",
    NULL};
static const wg_op_check checkpoint_check = {WG_OP_CHECK, .cases = checkpoint_cases};

static const wg_op ops[] = {
    {WG_OP, .sig = "call(operands*; fn: fn) -> outs*",
     .doc = "The outputs of a sub-tape on these operands (wg_call).", .infer = infer_call,
     .vjp = call_vjp, .jvp = call_jvp, .kernels = call_kernels, .nkernels = 1,
     .check = &call_check},
    {WG_OP, .sig = "checkpoint(operands*; fn: fn) -> outs*",
     .doc =
         "The outputs of a sub-tape on these operands (wg_checkpoint), of which nothing inside is "
         "kept for derivatives: they compute it again (Chen et al., Training deep nets with "
         "sublinear memory cost, 2016).",
     .infer = infer_call, .vjp = checkpoint_vjp, .jvp = checkpoint_jvp, .kernels = call_kernels,
     .nkernels = 1, .check = &checkpoint_check},
};

const wg__family wg__ops_call = {ops, sizeof ops / sizeof *ops};
