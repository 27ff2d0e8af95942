/* cond and switch: ops that run one of several sub-tapes, chosen when the graph runs. Their
 * derivatives choose by the same value among derived bodies, so that only the branch taken is ever
 * computed, forward and backward. */
#include <stdio.h>
#include <string.h>

#include "branch.h"

/* ---- layout ------------------------------------------------------------------------------------- */

/* Of a node whose counts are known to fit. A cond takes its shared operands and those of each branch:
 * what is counted twice is shared. */
static wg__branches layout_of(const wg_attrs *attrs, bool cond, size_t nin)
{
    wg__branches b = {cond ? "cond" : "switch", attrs, 1, wg_attrs_nfns(attrs), 0};
    b.shared = (size_t)wg_attrs_int(attrs, "shared");
    if (cond)
        b.shared = wg_fn_noperands(branch_fn(&b, 0)) + wg_fn_noperands(branch_fn(&b, 1)) + 1 - nin;
    return b;
}

/* "yes", "no", or a number. */
static const char *name_of(const wg__branches *b, size_t k, char room[24])
{
    if (strcmp(b->op, "cond") == 0)
        return k ? "no" : "yes";
    snprintf(room, 24, "%zu", k);
    return room;
}

/* ---- types -------------------------------------------------------------------------------------- */

static wg_status infer_operands(wg_infer *q, const wg__branches *b)
{
    char room[24];
    size_t own = b->first + b->shared;
    for (size_t k = 0; k < b->n; k++) {
        wg_fn fn = branch_fn(b, k);
        for (size_t i = 0; i < b->shared + branch_own(b, k); i++) {
            wg_type want = wg_fn_operand_type(fn, i);
            wg_type got = q->in[i < b->shared ? b->first + i : own + i - b->shared];
            if (!same_type(got, want))
                return wg_infer_fail(q, WG_SHAPE, "%s %zu of branch %s is %s, the branch takes %s",
                                     i < b->shared ? "operand" : "captured operand",
                                     i < b->shared ? i : i - b->shared, name_of(b, k, room),
                                     wg_infer_text(q, got), wg_infer_text(q, want));
        }
        own += branch_own(b, k);
    }
    return WG_OK;
}

static wg_status infer_outputs(wg_infer *q, const wg__branches *b)
{
    char zero[24], room[24];
    wg_fn fn = branch_fn(b, 0);
    size_t nout = wg_fn_noutputs(fn);
    const char *first = name_of(b, 0, zero);
    if (nout == 0)
        return wg_infer_fail(q, WG_INVALID, "branch %s has no outputs", first);
    for (size_t k = 1; k < b->n; k++) {
        size_t other = wg_fn_noutputs(branch_fn(b, k));
        if (other != nout)
            return wg_infer_fail(
                q, WG_INVALID,
                "branch %s gives %zu output%s and branch %s gives %zu: all must agree", first, nout,
                nout == 1 ? "" : "s", name_of(b, k, room), other);
        for (size_t i = 0; i < nout; i++) {
            wg_type a = wg_fn_output_type(fn, i), c = wg_fn_output_type(branch_fn(b, k), i);
            if (!same_type(a, c))
                return wg_infer_fail(q, WG_SHAPE,
                                     "output %zu is %s in branch %s and %s in branch %s: all must "
                                     "agree",
                                     i, wg_infer_text(q, a), first, wg_infer_text(q, c),
                                     name_of(b, k, room));
        }
    }
    wg_status status = wg_infer_outputs(q, nout);
    for (size_t i = 0; i < nout && !status; i++)
        q->out[i] = wg_fn_output_type(fn, i);
    return status;
}

static wg_status infer_branches(wg_infer *q, const wg__branches *b, const char *chooser)
{
    if (q->in[0].shape.rank)
        return wg_infer_fail(q, WG_SHAPE, "%s is %s, it must have rank 0", chooser,
                             wg_infer_text(q, q->in[0]));
    wg_status status = infer_operands(q, b);
    return status ? status : infer_outputs(q, b);
}

static wg_status infer_cond(wg_infer *q)
{
    size_t yes = wg_fn_noperands(wg_attrs_fn(q->attrs, "yes"));
    size_t no = wg_fn_noperands(wg_attrs_fn(q->attrs, "no"));
    if (q->nin - 1 > yes + no || q->nin - 1 < (yes > no ? yes : no))
        return wg_infer_fail(q, WG_INVALID,
                             "branch yes takes %zu operands and branch no %zu; %zu after pred do "
                             "not fit",
                             yes, no, q->nin - 1);
    wg__branches b = layout_of(q->attrs, true, q->nin);
    return infer_branches(q, &b, "pred");
}

static wg_status infer_switch(wg_infer *q)
{
    wg__branches b = layout_of(q->attrs, false, q->nin);
    int64_t shared = wg_attrs_int(q->attrs, "shared");
    size_t want = 1 + b.shared;
    for (size_t k = 0; k < b.n; k++) {
        size_t n = wg_fn_noperands(branch_fn(&b, k));
        if (shared < 0 || (size_t)shared > n)
            return wg_infer_fail(q, WG_INVALID,
                                 "branch %zu takes %zu operands, not %lld shared ones", k, n,
                                 (long long)shared);
        want += n - b.shared;
    }
    if (want != q->nin)
        return wg_infer_fail(q, WG_INVALID, "the branches take %zu operands after index, not %zu",
                             want - 1, q->nin - 1);
    return infer_branches(q, &b, "index");
}

/* ---- kernels ------------------------------------------------------------------------------------ */

static size_t branch_scratch(const wg_kernel_call *c) { return c->nin * sizeof(wg_view); }

static wg_status run_branch(const wg_kernel_call *c, const wg__branches *b, size_t k)
{
    wg_view *in = c->scratch;
    size_t own = b->first + b->shared, n = branch_own(b, k);
    for (size_t j = 0; j < k; j++)
        own += branch_own(b, j);
    memcpy(in, c->in + b->first, b->shared * sizeof *in);
    memcpy(in + b->shared, c->in + own, n * sizeof *in);
    return wg_kernel_run_fn(c, k, in, b->shared + n, c->out, c->nout);
}

static wg_status run_cond(const wg_kernel_call *c)
{
    wg__branches b = layout_of(c->attrs, true, c->nin);
    return run_branch(c, &b, *(const uint8_t *)c->in[0].data ? 0 : 1);
}

static wg_status run_switch(const wg_kernel_call *c)
{
    wg__branches b = layout_of(c->attrs, false, c->nin);
    int64_t k = c->in[0].type->dtype == WG_I64 ? *(const int64_t *)c->in[0].data
                                               : *(const int32_t *)c->in[0].data;
    if (k < 0 || (uint64_t)k >= b.n)
        return wg_kernel_fail(c, WG_RANGE, "index is %lld, there are branches 0 to %zu",
                              (long long)k, b.n - 1);
    return run_branch(c, &b, (size_t)k);
}

/* ---- derivatives -------------------------------------------------------------------------------- */

/* Derived bodies in the making: one per branch, each with the formal inputs of the branch and more. */
typedef struct derived {
    const wg_rule *r;
    const wg__branches *b;
    wg_tape **body;
    wg_var **formal; /* per branch: its operands, in the order of its sub-tape */
    wg_var **result; /* per branch: by operand (VJP) or output (JVP); none: zero */
    wg_var *ins;     /* operands of the derived node */
    size_t nins, shared;
} derived;

/* The node's operand that is operand i of branch k. `own`: where those of its own begin. */
static size_t operand_at(const wg__branches *b, size_t own, size_t i)
{
    return i < b->shared ? b->first + i : own + i - b->shared;
}

static bool derived_make(derived *d, const wg_rule *r, const wg__branches *b, const char *suffix,
                         size_t nresults)
{
    char name[32];
    snprintf(name, sizeof name, "%s_%s", b->op, suffix);
    *d = (derived){.r = r, .b = b};
    d->body = wg_rule_alloc(r, b->n, sizeof(void *));
    d->formal = wg_rule_alloc(r, b->n, sizeof(void *));
    d->result = wg_rule_alloc(r, b->n, sizeof(void *));
    d->ins = wg_rule_alloc(r, 2 * r->nin + r->nout + 1, sizeof *d->ins);
    if (!d->body || !d->formal || !d->result || !d->ins)
        return false;
    if (b->first)
        d->ins[d->nins++] = r->in[0];
    for (size_t k = 0; k < b->n; k++) {
        d->body[k] = wg_fn_begin(r->tape, name);
        d->formal[k] = wg_rule_alloc(r, wg_fn_noperands(branch_fn(b, k)) + 1, sizeof(wg_var));
        d->result[k] = wg_rule_alloc(r, nresults + 1, sizeof(wg_var));
        if (!d->body[k] || !d->formal[k] || !d->result[k])
            return false;
        for (size_t i = 0; i < nresults; i++)
            d->result[k][i] = wg_none();
    }
    return true;
}

/* Formal inputs of branch k's body for operands [from, to) of the branch. */
static void add_formals(derived *d, size_t k, size_t from, size_t to)
{
    wg_fn fn = branch_fn(d->b, k);
    for (size_t i = from; i < to; i++)
        d->formal[k][i] =
            input_like(d->body[k], wg_fn_operand_name(fn, i), wg_fn_operand_type(fn, i));
}

/* Ends the bodies with the results that some branch has, zeros in those that do not have them, and
 * records the node. to[i] receives what stands for result i; others are left alone. */
static void finish(derived *d, size_t nresults, wg_var *to)
{
    const wg_rule *r = d->r;
    const wg__branches *b = d->b;
    size_t n = 0, *at = wg_rule_alloc(r, nresults + 1, sizeof *at);
    wg_fn *fns = wg_rule_alloc(r, b->n, sizeof *fns);
    wg_var *outs = wg_rule_alloc(r, nresults + 1, sizeof *outs);
    if (!at || !fns || !outs)
        return;
    for (size_t i = 0; i < nresults; i++)
        for (size_t k = 0; k < b->n; k++)
            if (!wg_is_none(d->result[k][i])) {
                at[n++] = i;
                break;
            }
    for (size_t k = 0; k < b->n; k++) {
        for (size_t j = 0; j < n; j++) {
            wg_var like = wg_none();
            for (size_t m = 0; m < b->n && wg_is_none(like); m++)
                like = d->result[m][at[j]];
            outs[j] = wg_is_none(d->result[k][at[j]]) ? zeros_like(d->body[k], like)
                                                      : d->result[k][at[j]];
        }
        fns[k] = wg_fn_end(d->body[k], outs, n);
        if (!wg_fn_ok(fns[k]))
            return;
    }
    const wg_attr one[] = {wg_attr_fn("fn", fns[0])};
    const wg_attr two[] = {wg_attr_fn("yes", fns[0]), wg_attr_fn("no", fns[b->n > 1])};
    const wg_attr many[] = {wg_attr_fns("fns", fns, b->n),
                            wg_attr_int("shared", (int64_t)d->shared)};
    const wg_attr *attrs = !b->first ? one : strcmp(b->op, "cond") == 0 ? two : many;
    if (n)
        wg_apply(r->tape, b->op, d->ins, d->nins, attrs, b->first + 1, outs, n);
    for (size_t j = 0; j < n; j++)
        to[at[j]] = outs[j];
}

/* The VJP of branch k: its results are cotangents by operand of the node; on[]: which of these it
 * connects to an output. */
static bool vjp_of_branch(derived *d, size_t k, size_t own, const wg_var *dys, bool *on)
{
    const wg_rule *r = d->r;
    wg_fn fn = branch_fn(d->b, k);
    size_t n = wg_fn_noperands(fn), nxs = 0, nys = 0;
    wg_var *outs = wg_rule_alloc(r, r->nout, sizeof *outs);
    wg_var *xs = wg_rule_alloc(r, n + 1, sizeof *xs), *dxs = wg_rule_alloc(r, n + 1, sizeof *dxs);
    size_t *at = wg_rule_alloc(r, n + 1, sizeof *at);
    bool *connected = wg_rule_alloc(r, n + 1, sizeof *connected);
    if (!outs || !xs || !dxs || !at || !connected ||
        wg_inline(d->body[k], fn, d->formal[k], n, outs, r->nout))
        return false;
    for (size_t i = 0; i < n; i++)
        if (r->need[operand_at(d->b, own, i)]) {
            at[nxs] = operand_at(d->b, own, i);
            xs[nxs++] = d->formal[k][i];
        }
    for (size_t i = 0; i < r->nout; i++)
        if (!wg_is_none(r->dout[i]))
            outs[nys++] = outs[i];
    if (nxs && wg_vjp(outs, nys, dys, xs, nxs, dxs, connected))
        return false;
    for (size_t j = 0; j < nxs; j++) {
        d->result[k][at[j]] = dxs[j];
        on[at[j]] |= connected[j];
    }
    return true;
}

void wg__branches_vjp(wg_rule *r, const wg__branches *b)
{
    derived d;
    wg_var *dys = wg_rule_alloc(r, r->nout + 1, sizeof *dys);
    bool *on = wg_rule_alloc(r, r->nin + 1, sizeof *on);
    if (!dys || !on || !derived_make(&d, r, b, "vjp", r->nin))
        return;
    memcpy(d.ins + d.nins, r->in + b->first, b->shared * sizeof *d.ins);
    d.nins += b->shared;
    d.shared = b->shared;
    for (size_t i = 0; i < r->nout; i++)
        if (!wg_is_none(r->dout[i])) {
            d.ins[d.nins++] = r->dout[i];
            d.shared++;
        }
    size_t own = b->first + b->shared;
    for (size_t k = 0; k < b->n; k++) {
        size_t n = branch_own(b, k), nys = 0;
        add_formals(&d, k, 0, b->shared);
        for (size_t i = 0; i < r->nout; i++)
            if (!wg_is_none(r->dout[i]))
                dys[nys++] = input_like(d.body[k], "cotangent", wg_typeof(r->dout[i]));
        add_formals(&d, k, b->shared, b->shared + n);
        if (!vjp_of_branch(&d, k, own, dys, on))
            return;
        memcpy(d.ins + d.nins, r->in + own, n * sizeof *d.ins);
        d.nins += n;
        own += n;
    }
    for (size_t i = 0; i < r->nin; i++)
        if (r->need[i] && !on[i])
            r->din[i] = wg_disconnected();
    finish(&d, r->nin, r->din);
}

/* Tangents of operands [from, to) of branch k, which is given the formal inputs for them; the values go
 * to the node's operands when `outside`. */
static void add_tangents(derived *d, size_t k, size_t own, size_t from, size_t to, bool outside,
                         wg_var *txs)
{
    for (size_t i = from; i < to; i++) {
        wg_var t = d->r->tin[operand_at(d->b, own, i)];
        txs[i] = wg_none();
        if (wg_is_none(t))
            continue;
        char name[64];
        const char *of = wg_fn_operand_name(branch_fn(d->b, k), i);
        snprintf(name, sizeof name, "%s%.48s", *of ? "t_" : "", of);
        txs[i] = input_like(d->body[k], name, wg_typeof(t));
        if (outside)
            d->ins[d->nins++] = t;
    }
}

/* The JVP of branch k for the outputs with active[], given tangents by operand of the branch. */
static bool jvp_of_branch(derived *d, size_t k, const bool *active, const wg_var *tangents)
{
    const wg_rule *r = d->r;
    wg_fn fn = branch_fn(d->b, k);
    size_t n = wg_fn_noperands(fn), nxs = 0, nys = 0;
    wg_var *outs = wg_rule_alloc(r, 2 * r->nout, sizeof *outs), *tys = outs + r->nout;
    wg_var *xs = wg_rule_alloc(r, 2 * n + 1, sizeof *xs), *txs = xs + n;
    if (!outs || !xs || wg_inline(d->body[k], fn, d->formal[k], n, outs, r->nout))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!wg_is_none(tangents[i])) {
            xs[nxs] = d->formal[k][i];
            txs[nxs++] = tangents[i];
        }
    for (size_t i = 0; i < r->nout; i++)
        if (active[i])
            outs[nys++] = outs[i];
    if (nxs && wg_jvp(outs, nys, xs, nxs, txs, tys))
        return false;
    for (size_t i = 0, j = 0; i < r->nout; i++)
        if (active[i])
            d->result[k][i] = nxs ? tys[j++] : wg_none();
    return true;
}

/* active[i]: output i depends on a tangent in some branch, and its own is asked for. */
static bool find_active(const wg_rule *r, const wg__branches *b, bool *active)
{
    size_t own = b->first + b->shared;
    bool *dep = wg_rule_alloc(r, r->nout, sizeof *dep),
         *in = wg_rule_alloc(r, r->nin + 1, sizeof *in);
    if (!dep || !in)
        return false;
    for (size_t k = 0; k < b->n; k++) {
        size_t n = b->shared + branch_own(b, k);
        for (size_t i = 0; i < n; i++)
            in[i] = !wg_is_none(r->tin[operand_at(b, own, i)]);
        if (wg_fn_depends(branch_fn(b, k), in, dep))
            return false;
        for (size_t i = 0; i < r->nout; i++)
            active[i] |= dep[i] && r->need_out[i];
        own += branch_own(b, k);
    }
    return true;
}

void wg__branches_jvp(wg_rule *r, const wg__branches *b)
{
    derived d;
    bool *active = wg_rule_alloc(r, r->nout + 1, sizeof *active), any = false;
    wg_var *txs = wg_rule_alloc(r, r->nin + 1, sizeof *txs);
    if (!active || !txs || !find_active(r, b, active))
        return;
    for (size_t i = 0; i < r->nout; i++)
        any |= active[i];
    if (!any || !derived_make(&d, r, b, "jvp", r->nout))
        return;
    memcpy(d.ins + d.nins, r->in + b->first, b->shared * sizeof *d.ins);
    d.nins += b->shared;
    size_t own = b->first + b->shared;
    for (size_t k = 0; k < b->n; k++) {
        size_t n = b->shared + branch_own(b, k);
        add_formals(&d, k, 0, b->shared);
        add_tangents(&d, k, own, 0, b->shared, k == 0, txs);
        if (k == 0)
            d.shared = d.nins - b->first;
        add_formals(&d, k, b->shared, n);
        memcpy(d.ins + d.nins, r->in + own, (n - b->shared) * sizeof *d.ins);
        d.nins += n - b->shared;
        add_tangents(&d, k, own, b->shared, n, true, txs);
        if (!jvp_of_branch(&d, k, active, txs))
            return;
        own += n - b->shared;
    }
    finish(&d, r->nout, r->tout);
}

static void cond_vjp(wg_rule *r)
{
    wg__branches b = layout_of(r->attrs, true, r->nin);
    wg__branches_vjp(r, &b);
}

static void cond_jvp(wg_rule *r)
{
    wg__branches b = layout_of(r->attrs, true, r->nin);
    wg__branches_jvp(r, &b);
}

static void switch_vjp(wg_rule *r)
{
    wg__branches b = layout_of(r->attrs, false, r->nin);
    wg__branches_vjp(r, &b);
}

static void switch_jvp(wg_rule *r)
{
    wg__branches b = layout_of(r->attrs, false, r->nin);
    wg__branches_jvp(r, &b);
}

/* ---- the table ---------------------------------------------------------------------------------- */

static const wg_kernel cond_kernels[] = {
    {WG_KERNEL, .types = "b?->?", .run = run_cond, .scratch = branch_scratch}};
static const wg_kernel switch_kernels[] = {
    {WG_KERNEL, .types = "i?->?", .run = run_switch, .scratch = branch_scratch},
    {WG_KERNEL, .types = "l?->?", .run = run_switch, .scratch = branch_scratch}};

/* Both branches are taken: the sign of a sum of squares less a bound, and of its negative. */
static const char *const cond_cases[] = {
    "graph case(x: f64[3], w: f64[3], v: f64[3]) -> (%10, %11, %13, %14)\n{\n"
    "  fn f(a: f64[3], b: f64[3]) -> (p, q) { p = mul(a, b); s = sin(a); q = mul(s, p) }\n"
    "  fn g(a: f64[3], c: f64[3]) -> (p, a) { e = exp(a); p = mul(e, c) }\n"
    "  zero: f64 = 0\n"
    "  s = sum(x)\n"
    "  big = less(s, zero)\n"
    "  small = logical_not(big)\n"
    "  (%10, %11) = cond(big, x, w, v, yes=f, no=g)\n"
    "  (%13, %14) = cond(small, x, w, v, yes=f, no=g)\n}",
    NULL};
static const wg_op_check cond_check = {WG_OP_CHECK, .cases = cond_cases};

static const char *const switch_cases[] = {"graph case(x: f64[2], w: f64[2]) -> (y, z)\n{\n"
                                           "  fn f(a: f64[2]) -> (p) { p = sin(a) }\n"
                                           "  fn g(a: f64[2], w: f64[2]) -> (p) { p = mul(a, w) }\n"
                                           "  fn h(a: f64[2]) -> (p) { p = square(a) }\n"
                                           "  one: i64 = 1\n"
                                           "  two: i32 = 2\n"
                                           "  y = switch(one, x, w, fns=[f, g, h], shared=1)\n"
                                           "  z = switch(two, x, w, fns=[f, g, h], shared=1)\n}",
                                           NULL};
static const wg_op_check switch_check = {WG_OP_CHECK, .cases = switch_cases};

static const wg_op ops[] = {
    {WG_OP, .sig = "cond(pred: bool, operands*; yes: fn, no: fn) -> outs*",
     .doc =
         "The outputs of sub-tape yes where pred, of rank 0, is true, else of sub-tape no "
         "(wg_cond). Only that one runs. Operands: what both take, then the further operands of "
         "yes, then those of no. Derivatives choose by the same pred; what the branch taken does "
         "not use gets zeros.",
     .infer = infer_cond, .vjp = cond_vjp, .jvp = cond_jvp, .kernels = cond_kernels, .nkernels = 1,
     .check = &cond_check},
    {WG_OP, .sig = "switch(index: int, operands*; fns: fns, shared: int) -> outs*",
     .doc =
         "The outputs of sub-tape number index of the list fns (wg_switch); the run fails when "
         "there is none. Only that one runs. Operands: the shared ones, which all sub-tapes take, "
         "then the further operands of each in turn. Derivatives as for cond.",
     .infer = infer_switch, .vjp = switch_vjp, .jvp = switch_jvp, .kernels = switch_kernels,
     .nkernels = 2, .check = &switch_check},
};

const wg__family wg__ops_branch = {ops, sizeof ops / sizeof *ops};
