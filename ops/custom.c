/* custom_vjp and custom_jvp: what a sub-tape computes, differentiated by another one. The rule is graph
 * like any other, recorded in place, so that derivatives of higher order differentiate the rule. The
 * direction that a rule is not written for comes from transposing it: it is linear in its cotangents
 * (tangents), and the VJP of a linear map is its transpose. */
#include <string.h>

#include "subtape.h"

/* ---- layout ------------------------------------------------------------------------------------- */

/* Operands: the inputs, what fn captures, what rule captures. The rule takes the inputs, for
 * custom_vjp the outputs, then `nlinear` values that it is linear in (cotangents of the float outputs,
 * or tangents of the float inputs), then its captures. */
typedef struct layout {
    wg_fn fn, rule;
    bool vjp;
    size_t nins, nfn; /* inputs; operands of fn, which are the inputs and its captures */
    size_t nouts, nlinear;
    size_t ncaptures; /* of the rule */
    bool good;        /* the counts fit */
} layout;

static bool is_float(wg_type type) { return type.dtype == WG_F32 || type.dtype == WG_F64; }

static size_t count_floats(wg_fn fn, bool outputs, size_t n)
{
    size_t floats = 0;
    for (size_t i = 0; i < n; i++)
        floats += is_float(outputs ? wg_fn_output_type(fn, i) : wg_fn_operand_type(fn, i));
    return floats;
}

/* How many inputs there are follows from how many operands node and sub-tapes have. */
static layout layout_of(const wg_attrs *attrs, bool vjp, size_t nin)
{
    layout l = {.fn = wg_attrs_fn(attrs, "fn"), .rule = wg_attrs_fn(attrs, "rule"), .vjp = vjp};
    size_t takes = wg_fn_noperands(l.rule);
    l.nfn = wg_fn_noperands(l.fn);
    l.nouts = wg_fn_noutputs(l.fn);
    if (nin < l.nfn || takes < nin - l.nfn)
        return l;
    l.ncaptures = nin - l.nfn;
    takes -= l.ncaptures;
    if (vjp) {
        l.nlinear = count_floats(l.fn, true, l.nouts);
        l.good = takes >= l.nouts + l.nlinear && takes - l.nouts - l.nlinear <= l.nfn;
        l.nins = l.good ? takes - l.nouts - l.nlinear : 0;
        return l;
    }
    while (l.nins < l.nfn && l.nins + count_floats(l.fn, false, l.nins) < takes)
        l.nins++;
    l.nlinear = count_floats(l.fn, false, l.nins);
    l.good = l.nins + l.nlinear == takes;
    return l;
}

/* Where the linear operands of the rule begin. */
static size_t linear_at(const layout *l) { return l->nins + (l->vjp ? l->nouts : 0); }

/* ---- types -------------------------------------------------------------------------------------- */

static wg_status infer_fn(wg_infer *q, const layout *l)
{
    for (size_t i = 0; i < l->nfn; i++)
        if (!same_type(q->in[i], wg_fn_operand_type(l->fn, i)))
            return wg_infer_fail(q, WG_SHAPE, "operand %zu is %s, the sub-tape takes %s", i,
                                 wg_infer_text(q, q->in[i]),
                                 wg_infer_text(q, wg_fn_operand_type(l->fn, i)));
    if (l->nouts == 0)
        return wg_infer_fail(q, WG_INVALID, "the sub-tape has no outputs");
    wg_status status = wg_infer_outputs(q, l->nouts);
    for (size_t i = 0; i < l->nouts && !status; i++)
        q->out[i] = wg_fn_output_type(l->fn, i);
    return status;
}

/* What operand i of the rule must be. */
static wg_type rule_operand(const wg_infer *q, const layout *l, size_t i, const char **what,
                            size_t *number)
{
    const size_t linear = linear_at(l), own = linear + l->nlinear;
    *number = i;
    *what = "input";
    if (i < l->nins)
        return q->in[i];
    *number = i - l->nins;
    *what = "output";
    if (i < linear)
        return wg_fn_output_type(l->fn, i - l->nins);
    *number = i - own;
    *what = "captured value";
    if (i >= own)
        return q->in[l->nfn + i - own];
    *what = l->vjp ? "cotangent of output" : "tangent of input";
    for (*number = 0, i -= linear;; ++*number) {
        wg_type type = l->vjp ? wg_fn_output_type(l->fn, *number) : q->in[*number];
        if (is_float(type) && i-- == 0)
            return type;
    }
}

static wg_status infer_rule_operands(wg_infer *q, const layout *l)
{
    for (size_t i = 0; i < wg_fn_noperands(l->rule); i++) {
        const char *what;
        size_t number;
        wg_type want = rule_operand(q, l, i, &what, &number);
        wg_type takes = wg_fn_operand_type(l->rule, i);
        if (!same_type(want, takes))
            return wg_infer_fail(q, WG_SHAPE,
                                 "operand %zu of the rule is the %s %zu, %s; it takes %s", i, what,
                                 number, wg_infer_text(q, want), wg_infer_text(q, takes));
    }
    return WG_OK;
}

static wg_status infer_rule_outputs(wg_infer *q, const layout *l)
{
    const char *what = l->vjp ? "cotangent" : "tangent", *of = l->vjp ? "input" : "output";
    size_t n = l->vjp ? l->nins : l->nouts, floats = count_floats(l->fn, !l->vjp, n), at = 0;
    if (wg_fn_noutputs(l->rule) != floats)
        return wg_infer_fail(
            q, WG_INVALID, "the rule gives %zu value%s, not %zu: a %s for each float %s",
            wg_fn_noutputs(l->rule), wg_fn_noutputs(l->rule) == 1 ? "" : "s", floats, what, of);
    for (size_t i = 0; i < n; i++) {
        wg_type want = l->vjp ? wg_fn_operand_type(l->fn, i) : wg_fn_output_type(l->fn, i);
        if (!is_float(want))
            continue;
        wg_type gives = wg_fn_output_type(l->rule, at++);
        if (!same_type(want, gives))
            return wg_infer_fail(q, WG_SHAPE, "the rule gives %s as %s of %s %zu, which is %s",
                                 wg_infer_text(q, gives), what, of, i, wg_infer_text(q, want));
    }
    return WG_OK;
}

static wg_status infer_custom(wg_infer *q, bool vjp)
{
    layout l = layout_of(q->attrs, vjp, q->nin);
    if (q->nin < l.nfn)
        return wg_infer_fail(q, WG_INVALID, "the sub-tape takes %zu operands, not %zu", l.nfn,
                             q->nin);
    if (!l.good)
        return wg_infer_fail(q, WG_INVALID,
                             "a rule with %zu operands does not fit: it takes the inputs, %s, then "
                             "what it captures",
                             wg_fn_noperands(l.rule),
                             vjp ? "the outputs, the cotangents of the float outputs"
                                 : "the tangents of the float inputs");
    wg_status status = infer_fn(q, &l);
    if (!status)
        status = infer_rule_operands(q, &l);
    return status ? status : infer_rule_outputs(q, &l);
}

static wg_status infer_vjp(wg_infer *q) { return infer_custom(q, true); }
static wg_status infer_jvp(wg_infer *q) { return infer_custom(q, false); }

/* ---- expansion and rules ------------------------------------------------------------------------ */

static void expand_custom(wg_rule *r)
{
    wg_fn fn = wg_attrs_fn(r->attrs, "fn");
    wg_inline(r->tape, fn, r->in, wg_fn_noperands(fn), r->result, r->nout);
}

/* The operands of the rule but for its linear ones, and room for `more`. */
static wg_var *rule_operands(const wg_rule *r, const layout *l, size_t more)
{
    wg_var *ins = wg_rule_alloc(r, wg_fn_noperands(l->rule) + more + 1, sizeof *ins);
    const size_t linear = linear_at(l);
    for (size_t i = 0; ins && i < l->nins; i++)
        ins[i] = r->in[i];
    for (size_t i = l->nins; ins && i < linear; i++)
        ins[i] = r->out[i - l->nins];
    for (size_t i = 0; ins && i < l->ncaptures; i++)
        ins[linear + l->nlinear + i] = r->in[l->nfn + i];
    return ins;
}

/* The rule has nothing to say of what fn captures. False: a derivative is asked for. */
static bool captures_rest(const wg_rule *r, const layout *l, const char *op)
{
    for (size_t i = l->nins; i < l->nfn; i++)
        if (r->need ? r->need[i] : !wg_is_none(r->tin[i])) {
            const char *name = wg_name_of(r->in[i]);
            wg_rule_fail(r, WG_NOT_DIFFERENTIABLE,
                         "%s: its sub-tape captures %s%s%s, which a derivative is asked for: the "
                         "rule gives derivatives of inputs only, so make it an input",
                         op, *name ? "\"" : "a value", name, *name ? "\"" : "");
            return false;
        }
    return true;
}

/* The rule's values for `linear`; where there is none, zeros of the type that it takes. */
static bool apply_rule(const wg_rule *r, const layout *l, const wg_var *linear, wg_var *outs)
{
    wg_var *ins = rule_operands(r, l, 0);
    size_t at = linear_at(l);
    for (size_t j = 0; ins && j < l->nlinear; j++)
        ins[at + j] = wg_is_none(linear[j])
                          ? wg_full(r->tape, wg_fn_operand_type(l->rule, at + j), 0)
                          : linear[j];
    return ins && !wg_inline(r->tape, l->rule, ins, wg_fn_noperands(l->rule), outs,
                             wg_fn_noutputs(l->rule));
}

/* Whether the derivative of `fn`, a transposed rule with n operands, with respect to operands
 * [at, at + nlinear) is a structural zero: then it has the same value wherever these are. */
static bool is_constant_in(const wg_rule *r, wg_fn fn, size_t n, size_t at, size_t nlinear)
{
    const size_t nouts = wg_fn_noutputs(fn);
    wg_var *formal = wg_rule_alloc(r, n + 1, sizeof *formal);
    wg_var *outs = wg_rule_alloc(r, nouts + 1, sizeof *outs);
    wg_var *ds = wg_rule_alloc(r, nlinear + 1, sizeof *ds);
    wg_tape *body = wg_fn_begin(r->tape, "linear"); /* never ended: goes with the rule's frame */
    if (!formal || !outs || !ds || !body)
        return false;
    for (size_t i = 0; i < n; i++)
        formal[i] = input_like(body, "", wg_fn_operand_type(fn, i));
    if (wg_inline(body, fn, formal, n, outs, nouts) ||
        wg_vjp(outs, nouts, outs, formal + at, nlinear, ds, NULL))
        return false;
    for (size_t j = 0; j < nlinear; j++)
        if (!wg_is_none(ds[j]))
            return false;
    return true;
}

/* Fills all[] at the linear operands of the transposed rule `fn`, which has n operands: none, or zeros
 * where the graph reads them although its values do not depend on them. False: they do. */
static bool leave_out(const wg_rule *r, const layout *l, wg_fn fn, wg_var *all, size_t n)
{
    const size_t at = linear_at(l);
    bool *used = wg_rule_alloc(r, n + 1, sizeof *used), any = false;
    if (!used || wg_fn_uses(fn, used))
        return false;
    for (size_t j = at; j < at + l->nlinear; j++) {
        any |= used[j];
        all[j] = used[j] ? wg_full(r->tape, wg_fn_operand_type(fn, j), 0) : wg_none();
    }
    /* Derivatives of loops carry zeros as values, so that a rule with a loop gets the benefit of the
     * doubt. */
    if (!any || wg_tape_mark(wg_fn_body(fn)).fns || is_constant_in(r, fn, n, at, l->nlinear))
        return true;
    wg_rule_fail(r, WG_NOT_DIFFERENTIABLE,
                 "custom_%s: the rule is not linear in its %s, so that it has no transpose",
                 l->vjp ? "vjp" : "jvp", l->vjp ? "cotangents" : "tangents");
    return false;
}

/* Moves the values that are there to the front; where[]: their places. */
static size_t keep_present(wg_var *values, size_t n, size_t *where)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (!wg_is_none(values[i])) {
            where[kept] = i;
            values[kept++] = values[i];
        }
    return kept;
}

/* The transposed rule: from cotangents of its outputs (none: zero) to those of its linear operands.
 * It is made as a sub-tape, to see whether it depends on the linear operands. */
static bool transpose_rule(const wg_rule *r, const layout *l, wg_var *dys, wg_var *dxs)
{
    const size_t n = wg_fn_noperands(l->rule), nouts = wg_fn_noutputs(l->rule), at = linear_at(l);
    wg_var *all = rule_operands(r, l, nouts), *formal = wg_rule_alloc(r, n + 1, sizeof *formal);
    wg_var *ys = wg_rule_alloc(r, 2 * nouts + 1, sizeof *ys), *seeds = ys + nouts;
    size_t *where = wg_rule_alloc(r, nouts + l->nlinear + 1, sizeof *where);
    wg_tape *body = wg_fn_begin(r->tape, "transpose");
    if (!all || !formal || !ys || !where || !body)
        return false;
    for (size_t i = 0; i < n; i++)
        formal[i] =
            input_like(body, wg_fn_operand_name(l->rule, i), wg_fn_operand_type(l->rule, i));
    const size_t nys = keep_present(dys, nouts, where);
    if (wg_inline(body, l->rule, formal, n, ys, nouts))
        return false;
    for (size_t k = 0; k < nys; k++) {
        all[n + k] = dys[k];
        seeds[k] = input_like(body, "cotangent", wg_typeof(dys[k]));
        ys[k] = ys[where[k]];
    }
    if (wg_vjp(ys, nys, seeds, formal + at, l->nlinear, dxs, NULL))
        return false;
    wg_var *outs = wg_rule_alloc(r, l->nlinear + 1, sizeof *outs);
    if (!outs)
        return false;
    memcpy(outs, dxs, l->nlinear * sizeof *outs);
    const size_t nxs = keep_present(outs, l->nlinear, where);
    wg_fn fn = wg_fn_end(body, outs, nxs);
    if (!wg_fn_ok(fn) || (nxs && (!leave_out(r, l, fn, all, n + nys) ||
                                  wg_inline(r->tape, fn, all, n + nys, outs, nxs))))
        return false;
    for (size_t j = 0; j < nxs; j++)
        dxs[where[j]] = outs[j];
    return true;
}

/* What a rule is given (`from`, per value) for the float ones of `n` values, and back. */
static size_t gather(const wg_var *values, const wg_var *from, size_t n, wg_var *to)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++)
        if (is_float(wg_typeof(values[i])))
            to[at++] = from[i];
    return at;
}

static void scatter(const wg_var *values, const wg_var *from, size_t n, const bool *asked,
                    wg_var *to)
{
    for (size_t i = 0, at = 0; i < n; i++)
        if (is_float(wg_typeof(values[i]))) {
            if (!asked || asked[i])
                to[i] = from[at];
            at++;
        }
}

static bool any_there(const wg_var *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!wg_is_none(v[i]))
            return true;
    return false;
}

/* Both directions: `forward` from tangents of inputs to those of outputs, else from cotangents of
 * outputs to those of inputs. */
static void derive(wg_rule *r, bool vjp, bool forward)
{
    layout l = layout_of(r->attrs, vjp, r->nin);
    wg_var *from = wg_rule_alloc(r, r->nin + r->nout + 1, sizeof *from);
    wg_var *to = wg_rule_alloc(r, r->nin + r->nout + 1, sizeof *to);
    if (!from || !to || !captures_rest(r, &l, vjp ? "custom_vjp" : "custom_jvp"))
        return;
    for (size_t i = l.nfn; i < r->nin && !forward; i++)
        r->din[i] = wg_disconnected(); /* what the rule captures */
    size_t n =
        forward ? gather(r->in, r->tin, l.nins, from) : gather(r->out, r->dout, r->nout, from);
    if (!any_there(from, n) ||
        !(vjp == forward ? transpose_rule(r, &l, from, to) : apply_rule(r, &l, from, to)))
        return;
    if (forward)
        scatter(r->out, to, r->nout, r->need_out, r->tout);
    else
        scatter(r->in, to, l.nins, r->need, r->din);
}

static void vjp_of_vjp(wg_rule *r) { derive(r, true, false); }
static void jvp_of_vjp(wg_rule *r) { derive(r, true, true); }
static void vjp_of_jvp(wg_rule *r) { derive(r, false, false); }
static void jvp_of_jvp(wg_rule *r) { derive(r, false, true); }

/* ---- the table ---------------------------------------------------------------------------------- */

/* log(1 + exp(x)) by the stable derivative sigmoid(x); a product, for rules of several inputs. */
static const char *const vjp_cases[] = {
    "graph case(x: f64[3]) -> (y)\n{\n"
    "  fn f(a: f64[3]) -> (y) { e = exp(a); y = log1p(e) }\n"
    "  fn rule(a: f64[3], y: f64[3], dy: f64[3]) -> (da) { s = sigmoid(a); da = mul(s, dy) }\n"
    "  y = custom_vjp(x, fn=f, rule=rule)\n}",
    "graph case(x: f64[3], w: f64[3]) -> (p, q)\n{\n"
    "  fn f(a: f64[3], b: f64[3]) -> (p, q) { p = mul(a, b); q = square(a) }\n"
    "  fn rule(a: f64[3], b: f64[3], p: f64[3], q: f64[3], dp: f64[3], dq: f64[3]) -> (da, db)\n  {\n"
    "    u = mul(dp, b); v = mul(dq, a); v2 = add(v, v); da = add(u, v2); db = mul(dp, a)\n  }\n"
    "  (p, q) = custom_vjp(x, w, fn=f, rule=rule)\n}",
    NULL};
static const wg_op_check vjp_check = {WG_OP_CHECK, .cases = vjp_cases};

static const char *const jvp_cases[] = {
    "graph case(x: f64[3]) -> (y)\n{\n"
    "  fn f(a: f64[3]) -> (y) { e = exp(a); y = log1p(e) }\n"
    "  fn rule(a: f64[3], ta: f64[3]) -> (ty) { s = sigmoid(a); ty = mul(s, ta) }\n"
    "  y = custom_jvp(x, fn=f, rule=rule)\n}",
    "graph case(x: f64[3], w: f64[3]) -> (p, q)\n{\n"
    "  fn f(a: f64[3], b: f64[3]) -> (p, q) { p = mul(a, b); q = square(a) }\n"
    "  fn rule(a: f64[3], b: f64[3], ta: f64[3], tb: f64[3]) -> (tp, tq)\n  {\n"
    "    u = mul(ta, b); v = mul(a, tb); tp = add(u, v); w = mul(a, ta); tq = add(w, w)\n  }\n"
    "  (p, q) = custom_jvp(x, w, fn=f, rule=rule)\n}",
    NULL};
static const wg_op_check jvp_check = {WG_OP_CHECK, .cases = jvp_cases};

static const wg_op ops[] = {
    {WG_OP, .sig = "custom_vjp(operands*; fn: fn, rule: fn) -> outs*",
     .doc =
         "The outputs of sub-tape fn, differentiated by sub-tape rule (wg_custom_vjp): "
         "rule(inputs, outputs, cotangents of the float outputs) gives a cotangent for each float "
         "input. Operands: the inputs, what fn captures, which gets no derivative, what rule "
         "captures. Forward mode transposes the rule; higher orders differentiate it.",
     .infer = infer_vjp, .vjp = vjp_of_vjp, .jvp = jvp_of_vjp, .expand = expand_custom,
     .check = &vjp_check},
    {WG_OP, .sig = "custom_jvp(operands*; fn: fn, rule: fn) -> outs*",
     .doc =
         "The outputs of sub-tape fn, differentiated by sub-tape rule (wg_custom_jvp): "
         "rule(inputs, tangents of the float inputs) gives a tangent for each float output. "
         "Operands as for custom_vjp. Reverse mode transposes the rule, which must be linear in the "
         "tangents; higher orders differentiate it.",
     .infer = infer_jvp, .vjp = vjp_of_jvp, .jvp = jvp_of_jvp, .expand = expand_custom,
     .check = &jvp_check},
};

const wg__family wg__ops_custom = {ops, sizeof ops / sizeof *ops};
