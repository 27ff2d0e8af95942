/* replay: the backward scan of a pair of scans, without what the forward one would have to store for
 * it. It runs the forward steps again from snapshots of their carries, in the order of binomial
 * checkpointing (base/revolve.h), and gives what the plain pair gives, to the last bit: the bodies are
 * the same. A backward step may stand for a chunk of forward ones, and the backward scan for a part of
 * the forward one. Put in by the executors' choice of a memory limit; its expansion is the plain pair.
 * Kernel: replay_run.c. */
#include <string.h>

#include "replay.h"

enum { NCOUNTS = 6 }; /* step_layout: carries, sequences, sums, length, first, chunk */

wg__replay wg__replay_of(const wg_attrs *attrs)
{
    wg__replay l = {.back = wg__loop_of(attrs)};
    size_t n;
    l.step = l.back;
    l.step.fn = wg_attrs_fn(attrs, "step");
    const int64_t *counts = wg_attrs_ints(attrs, "step_layout", &n);
    l.step.ncarry = (size_t)counts[0];
    l.step.nxs = (size_t)counts[1];
    l.step.nsums = (size_t)counts[2];
    l.step.length = wg_shape_make(&counts[3], 1);
    l.first = counts[4];
    l.chunk = counts[5];
    l.step.nw = wg_fn_noperands(l.step.fn) - l.step.ncarry - l.step.nxs;
    l.step.nys = wg_fn_noutputs(l.step.fn) - l.step.ncarry - l.step.nsums;
    l.step.reverse = !l.back.reverse;
    l.lead = l.step.reverse ? counts[3] - l.first - l.chunk * l.back.length.dim[0] : l.first;
    l.from = wg_attrs_ints(attrs, "from", &n);
    for (size_t i = 0; i < n; i++)
        l.nreal += l.from[i] < 0;
    l.nback = l.back.ncarry + l.nreal + l.back.nw;
    l.count_at = l.nback + loop_operands(&l.step);
    l.needed = l.count_at + l.back.counted;
    l.snapshots = wg_attrs_int(attrs, "snapshots");
    return l;
}

/* ---- types ------------------------------------------------------------------------------------- */

static bool fits(int64_t carries, int64_t xs, int64_t sums, wg_fn fn)
{
    int64_t nin = (int64_t)wg_fn_noperands(fn), nout = (int64_t)wg_fn_noutputs(fn);
    return carries >= 0 && xs >= 0 && sums >= 0 && carries <= nin && xs <= nin - carries &&
           carries <= nout && sums <= nout - carries;
}

/* One step's part of output `k` of a scan; its rank is -1 when that is not stacked. */
static wg_type step_type(wg_ctx *ctx, const wg__loop *s, int64_t k)
{
    wg_type none = {WG_F32, {.rank = -1}};
    size_t at = (size_t)k, nout = loop_outputs(s);
    if (at >= s->ncarry && at < s->ncarry + s->nys)
        return wg_fn_output_type(s->fn, at);
    if (at >= nout && at < nout + s->ncarry)
        return wg__loop_history_step(ctx, wg_fn_operand_type(s->fn, at - nout));
    return none;
}

static wg_status check_from(wg_infer *q, const wg__replay *l, size_t n)
{
    if (n != l->back.nxs)
        return wg_infer_fail(q, WG_INVALID, "`from` has %zu entries for %zu sequences", n,
                             l->back.nxs);
    for (size_t i = 0; i < n; i++) {
        wg_type want = wg_fn_operand_type(l->back.fn, l->back.ncarry + i);
        if (l->from[i] < 0)
            continue;
        wg_type have = step_type(q->ctx, &l->step, l->from[i]);
        if (have.shape.rank < 0 || have.dtype != want.dtype ||
            wg_shape_count(have.shape) * l->chunk != wg_shape_count(want.shape))
            return wg_infer_fail(q, WG_SHAPE,
                                 "sequence %zu, %s a step, cannot come from output %lld", i,
                                 wg_infer_text(q, want), (long long)l->from[i]);
    }
    return WG_OK;
}

/* Operands first .. first + n - 1 of the node against those of a scan, some sequences left out. */
static wg_status check_operands(wg_infer *q, const wg__loop *s, const int64_t *from, size_t first,
                                size_t *next)
{
    size_t at = first;
    for (size_t i = 0; i < loop_operands(s); i++) {
        bool sequence = i >= s->ncarry && i < s->ncarry + s->nxs;
        wg_type want = wg_fn_operand_type(s->fn, i);
        if (sequence && from && from[i - s->ncarry] >= 0)
            continue;
        want = sequence ? wg__loop_stacked(s->length, want) : want;
        if (!same_type(q->in[at], want))
            return wg_infer_fail(q, WG_SHAPE, "operand %zu is %s, the steps need %s", at,
                                 wg_infer_text(q, q->in[at]), wg_infer_text(q, want));
        at++;
    }
    *next = at;
    return WG_OK;
}

static wg_status infer_outputs(wg_infer *q, const wg__loop *s)
{
    size_t nout = loop_outputs(s);
    wg_status status = wg_infer_outputs(q, nout + s->ncarry);
    for (size_t k = 0; !status && k < nout; k++) {
        wg_type step = wg_fn_output_type(s->fn, k);
        bool stacked = k >= s->ncarry && k < s->ncarry + s->nys;
        q->out[k] = stacked ? wg__loop_stacked(s->length, step) : step;
        if (q->out[k].shape.rank < 0)
            return wg_infer_fail(q, WG_SHAPE,
                                 "output %zu has rank %d: there is no room to stack it", k,
                                 WG_MAX_RANK);
        if (k >= s->ncarry)
            continue;
        if (!same_type(step, wg_fn_operand_type(s->fn, k)))
            return wg_infer_fail(q, WG_SHAPE, "carry %zu goes in as %s and comes out as %s", k,
                                 wg_infer_text(q, wg_fn_operand_type(s->fn, k)),
                                 wg_infer_text(q, step));
        q->out[nout + k] = wg__loop_stacked(s->length, wg__loop_history_step(q->ctx, step));
    }
    return status;
}

static wg_status infer_replay(wg_infer *q)
{
    const wg_attrs *a = q->attrs;
    size_t nfrom, ncounts, next;
    wg_attrs_ints(a, "from", &nfrom);
    const int64_t *counts = wg_attrs_ints(a, "step_layout", &ncounts);
    wg_shape length = wg_attrs_shape(a, "length");
    if (!fits(wg_attrs_int(a, "carries"), wg_attrs_int(a, "xs"), wg_attrs_int(a, "sums"),
              wg_attrs_fn(a, "fn")) ||
        ncounts != NCOUNTS || !fits(counts[0], counts[1], counts[2], wg_attrs_fn(a, "step")))
        return wg_infer_fail(q, WG_INVALID, "carries, sequences and sums do not fit the sub-tapes");
    if (length.rank != 1 || length.dim[0] < 0 || wg_attrs_int(a, "snapshots") < 0)
        return wg_infer_fail(q, WG_INVALID, "length is one size, snapshots are 0 or more");
    if (counts[4] < 0 || counts[5] < 1 || counts[3] < counts[4] ||
        length.dim[0] > (counts[3] - counts[4]) / counts[5])
        return wg_infer_fail(q, WG_SHAPE,
                             "%lld chunks of %lld steps from step %lld on are not in %lld steps",
                             (long long)length.dim[0], (long long)counts[5], (long long)counts[4],
                             (long long)counts[3]);
    if (wg_attrs_bool(a, "counted") && (counts[4] || counts[5] > 1 || counts[3] != length.dim[0]))
        return wg_infer_fail(q, WG_INVALID, "a counted replay has all steps, one by one");
    wg__replay l = wg__replay_of(a);
    wg_status status = check_from(q, &l, nfrom);
    if (!status && q->nin < l.needed)
        return wg_infer_fail(q, WG_INVALID, "the sub-tapes take %zu operands, not %zu", l.needed,
                             q->nin);
    if (!status)
        status = check_operands(q, &l.back, l.from, 0, &next);
    if (!status)
        status = check_operands(q, &l.step, NULL, next, &next);
    if (!status && l.back.counted &&
        (q->in[l.count_at].shape.rank ||
         (q->in[l.count_at].dtype != WG_I32 && q->in[l.count_at].dtype != WG_I64)))
        return wg_infer_fail(q, WG_DTYPE, "the count is %s; the number of steps is i32[] or i64[]",
                             wg_infer_text(q, q->in[l.count_at]));
    return status ? status : infer_outputs(q, &l.back);
}

/* ---- expansion --------------------------------------------------------------------------------- */

static wg_status apply_scan(wg_rule *r, const wg__loop *s, const wg_var *ins, size_t nin,
                            wg_var *outs, size_t nouts)
{
    const wg_attr attrs[] = {wg_attr_fn("fn", s->fn),
                             wg_attr_int("carries", (int64_t)s->ncarry),
                             wg_attr_int("xs", (int64_t)s->nxs),
                             wg_attr_shape("length", s->length),
                             wg_attr_int("sums", (int64_t)s->nsums),
                             wg_attr_bool("reverse", s->reverse),
                             wg_attr_bool("counted", s->counted)};
    return wg_apply(r->tape, "scan", ins, nin, attrs, sizeof attrs / sizeof *attrs, outs, nouts);
}

/* Of a stacked output of the forward scan: the steps that the backward one is about. */
static wg_var part_of(const wg__replay *l, wg_var x)
{
    wg_shape start = wg_shape_make(NULL, 0), size = start, shape = wg_typeof(x).shape;
    wg_shape_push_size(&start, l->first);
    wg_shape_push_size(&size, l->chunk * l->back.length.dim[0]);
    for (int i = 1; i < shape.rank; i++) {
        wg_shape_push_size(&start, 0);
        wg_shape_push(&size, &shape, i);
    }
    return shape.dim[0] == size.dim[0] ? x : wg_section(x, start, size);
}

/* The plain pair. */
static void expand_replay(wg_rule *r)
{
    const wg__replay l = wg__replay_of(r->attrs);
    const size_t nback = loop_operands(&l.back), nstep = loop_operands(&l.step);
    const size_t nouts = loop_outputs(&l.step) + l.step.ncarry;
    wg_var *ins = wg_rule_alloc(r, nback + nstep + 2, sizeof *ins);
    wg_var *outs = wg_rule_alloc(r, nouts + 1, sizeof *outs);
    if (!ins || !outs)
        return;
    memcpy(ins, r->in + l.nback, nstep * sizeof *ins);
    if (l.back.counted)
        ins[nstep] = r->in[l.count_at];
    if (apply_scan(r, &l.step, ins, nstep + l.back.counted, outs, nouts))
        return;
    for (size_t i = 0, at = 0; i < nback; i++) {
        bool sequence = i >= l.back.ncarry && i < l.back.ncarry + l.back.nxs;
        int64_t from = sequence ? l.from[i - l.back.ncarry] : -1;
        wg_type type = wg_fn_operand_type(l.back.fn, i);
        ins[i] = from < 0 ? r->in[at++]
                          : wg_reshape(part_of(&l, outs[from]),
                                       wg__loop_stacked(l.back.length, type).shape);
    }
    if (l.back.counted)
        ins[nback] = r->in[l.count_at];
    apply_scan(r, &l.back, ins, nback + l.back.counted, r->result, r->nout);
}

/* ---- the table --------------------------------------------------------------------------------- */

static const wg_kernel replay_kernels[] = {
    {WG_KERNEL, .types = "?->?", .run = wg__replay_run, .scratch = wg__replay_scratch}};

static const char *const replay_cases[] = {
    "graph case(d: f64[2], g: f64[2], h: f64[2], x: f64[5, 2], w: f64[2]) -> (%5, %6)\n{\n"
    "  fn back(d: f64[2], h: f64[2], a: f64[2], g: f64[2]) -> (n, p)\n  {\n"
    "    b = mul(d, a); n = add(b, g); p = mul(n, h)\n  }\n"
    "  fn step(h: f64[2], x: f64[2], w: f64[2]) -> (n, a)\n  {\n"
    "    b = mul(h, w); c = add(b, x); n = sin(c); a = cos(c)\n  }\n"
    "  (%5, %6, %7) = replay(d, g, h, x, w, fn=back, step=step, carries=1, xs=2, length=[5], "
    "reverse=true, from=[2, 1], step_layout=[1, 1, 0, 5, 0, 1], snapshots=1)\n}",
    "graph case(d: f64[2], g: f64[4, 2], h: f64[2], x: f64[4, 2]) -> (%4, %5)\n{\n"
    "  fn back(d: f64[2], g: f64[2], h: f64[2]) -> (n, p)\n  {\n"
    "    b = mul(d, h); n = add(b, g); p = mul(n, n)\n  }\n"
    "  fn step(h: f64[2], x: f64[2]) -> (n) { n = mul(h, x) }\n"
    "  (%4, %5, %6) = replay(d, g, h, x, fn=back, step=step, carries=1, xs=2, length=[4], sums=1, "
    "from=[-1, 1], step_layout=[1, 1, 0, 4, 0, 1], snapshots=0)\n}",
    "graph case(d: f64[2], h: f64[2], x: f64[7, 2]) -> (%3, %4)\n{\n"
    "  fn back(d: f64[2], h: f64[2, 2], a: f64[2, 2]) -> (n, p)\n  {\n"
    "    b = mul(h, a); c = sum(b, axes=[0]); n = mul(d, c); p = mul(n, h)\n  }\n"
    "  fn step(h: f64[2], x: f64[2]) -> (n, a) { n = mul(h, x); a = sin(n) }\n"
    "  (%3, %4, %5) = replay(d, h, x, fn=back, step=step, carries=1, xs=2, length=[2], "
    "reverse=true, from=[2, 1], step_layout=[1, 1, 0, 7, 2, 2], snapshots=1)\n}",
    NULL};
static const wg_op_check replay_check = {WG_OP_CHECK, .cases = replay_cases};

static const wg_op ops[] = {
    {WG_OP,
     .sig = "replay(operands*; fn: fn, step: fn, carries: int, xs: int, length: shape, "
            "sums: int = 0, reverse: bool = false, counted: bool = false, from: ints, "
            "step_layout: ints, snapshots: int) -> outs*",
     .doc =
         "A scan of `fn` some of whose sequences are per-step outputs or histories of a scan of "
         "`step` in the other direction, which is run for them once more, and again from at most "
         "`snapshots` of its carries: binomial checkpointing (Griewank and Walther 2000). "
         "Operands: carries, sequences with `from` -1 and invariants of the scan of fn; carries, "
         "sequences, invariants of the scan of step; the count; values that are only waited for. "
         "from[i]: the output of the scan of step that is sequence i. step_layout: how many "
         "carries, sequences, sums and steps the scan of step has, the first of its steps and how "
         "many make up one step of the scan of fn. Outputs: those of the scan of fn. Compiling with a memory limit makes it from a pair of scans.",
     .infer = infer_replay, .expand = expand_replay, .kernels = replay_kernels, .nkernels = 1,
     .check = &replay_check},
};

const wg__family wg__ops_replay = {ops, sizeof ops / sizeof *ops};
