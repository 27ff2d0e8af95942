/* Core ops: the sources, assign and stop_gradient. They stand first in the registry, in the order
 * of the WG__OP_ constants of src/tape/registry.h. Executors give sources their values. */
#include <string.h>

#include "tape/op.h"

static wg_status same_type(wg_infer *q)
{
    q->out[0] = q->in[0];
    return WG_OK;
}

static wg_status infer_assign(wg_infer *q)
{
    if (q->in[0].dtype != q->in[1].dtype || !wg_shape_equal(q->in[0].shape, q->in[1].shape))
        return wg_infer_fail(q, WG_SHAPE, "the param is %s, the value is %s",
                             wg_infer_text(q, q->in[0]), wg_infer_text(q, q->in[1]));
    return same_type(q);
}

/* Copies the last operand: the value of assign, x of stop_gradient. */
static wg_status copy_last(const wg_kernel_call *c)
{
    const wg_view *from = &c->in[c->nin - 1];
    size_t bytes = (size_t)wg_shape_count(from->type->shape) * wg_dtype_size(from->type->dtype);
    if (bytes)
        memcpy(c->out[0].data, from->data, bytes);
    return WG_OK;
}

static void assign_vjp(wg_rule *r)
{
    r->din[0] = wg_disconnected();
    r->din[1] = r->dout[0];
}

static void assign_jvp(wg_rule *r) { r->tout[0] = r->tin[1]; }

static void stop_vjp(wg_rule *r) { r->din[0] = wg_disconnected(); }

static void batch_stop(wg_batch *b) { b->result[0] = wg_stop_gradient(b->in[0]); }

static bool view_same(const wg_attrs *attrs, const wg_type *in, const wg_strides *from,
                      const wg_type *out, wg_strides *to)
{
    (void)attrs, (void)in, (void)out;
    *to = *from;
    return true;
}

static const wg_kernel assign_kernels[] = {
    {WG_KERNEL, .types = "**->*", .run = copy_last},
};
static const wg_kernel stop_kernels[] = {
    {WG_KERNEL, .types = "*->*", .run = copy_last},
};

static const char *const stop_cases[] = {
    "graph case(x: f64[3]) -> (y) { %1 = stop_gradient(x); y = mul(%1, x) }", NULL};
static const wg_op_check stop_check = {WG_OP_CHECK, .cases = stop_cases};

static const wg_op ops[] = {
    {WG_OP, .sig = "input() -> x",
     .doc = "A value bound anew at each run (wg_input), or a formal "
            "input of a sub-tape.",
     .flags = WG_OP_SOURCE},
    {WG_OP, .sig = "param(; init: string, a: float = 0, b: float = 0) -> x",
     .doc = "A parameter: its value lives in a state under its full name (wg_param).",
     .flags = WG_OP_SOURCE},
    {WG_OP, .sig = "const() -> x", .doc = "A constant tensor (wg_const).", .flags = WG_OP_SOURCE},
    {WG_OP, .sig = "literal() -> x",
     .doc = "A rank-0 number that took its dtype from its neighbours (wg_f, wg_i, wg_b).",
     .flags = WG_OP_SOURCE},
    {WG_OP, .sig = "assign(param, value) -> y",
     .doc = "Effect: the param takes the value at the end of a successful run (wg_assign). Its own "
            "value is the assigned one.",
     .flags = WG_OP_EFFECT | WG_OP_IMPURE | WG_OP_TOTAL, .infer = infer_assign, .vjp = assign_vjp,
     .jvp = assign_jvp, .kernels = assign_kernels, .nkernels = 1},
    {WG_OP, .sig = "stop_gradient(x) -> y", .doc = "Identity; its derivative is disconnected.",
     .flags = WG_OP_VIEW | WG_OP_TOTAL, .infer = same_type, .vjp = stop_vjp,
     .kernels = stop_kernels, .nkernels = 1, .check = &stop_check, .view = view_same,
     .batch = batch_stop},
};

const wg__family wg__ops_core = {ops, sizeof ops / sizeof *ops};
