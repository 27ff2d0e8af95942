/* scan: a recurrence as one node; map: the same body on each step by itself. The forward pass keeps
 * every step's carries (the histories) where somebody reads them. A step's new carries go straight to
 * where the next step reads them: into the history, or into one of two buffers in turn. Derivatives:
 * scan_rules.c. */
#include "loop_run.h"

/* ---- types ------------------------------------------------------------------------------------- */

wg__loop wg__loop_of(const wg_attrs *attrs)
{
    wg__loop s;
    s.fn = wg_attrs_fn(attrs, "fn");
    s.ncarry = (size_t)wg_attrs_int(attrs, "carries");
    s.nxs = (size_t)wg_attrs_int(attrs, "xs");
    s.nw = wg_fn_noperands(s.fn) - s.ncarry - s.nxs;
    s.nsums = (size_t)wg_attrs_int(attrs, "sums");
    s.nys = wg_fn_noutputs(s.fn) - s.ncarry - s.nsums;
    s.length = wg_attrs_shape(attrs, "length");
    s.reverse = wg_attrs_bool(attrs, "reverse");
    s.counted = wg_attrs_bool(attrs, "counted");
    return s;
}

wg_type wg__loop_stacked(wg_shape length, wg_type step)
{
    wg_type type = {step.dtype, length};
    for (int i = 0; i < step.shape.rank && type.shape.rank < WG_MAX_RANK; i++)
        wg_shape_push(&type.shape, &step.shape, i);
    if (step.shape.rank == WG_MAX_RANK)
        type.shape.rank = -1;
    return type;
}

wg_type wg__loop_history_step(wg_ctx *ctx, wg_type carry)
{
    if (carry.shape.rank < WG_MAX_RANK)
        return carry;
    wg_type merged = {carry.dtype, wg_shape_make(NULL, 0)};
    wg_shape_push_size(&merged.shape, 0);
    wg_dim_op(ctx, &merged.shape, 0, &carry.shape, 0, '*', &carry.shape, 1);
    for (int i = 2; i < WG_MAX_RANK; i++)
        wg_shape_push(&merged.shape, &carry.shape, i);
    return merged;
}

/* Do the numbers of carries, sequences and sums fit the sub-tape? */
static wg_status infer_counts(wg_infer *q)
{
    wg_fn fn = wg_attrs_fn(q->attrs, "fn");
    int64_t ncarry = wg_attrs_int(q->attrs, "carries"), nxs = wg_attrs_int(q->attrs, "xs");
    int64_t nsums = wg_attrs_int(q->attrs, "sums");
    int64_t nin = (int64_t)wg_fn_noperands(fn), nout = (int64_t)wg_fn_noutputs(fn);
    bool counted = wg_attrs_bool(q->attrs, "counted");
    if ((int64_t)q->nin != nin + counted)
        return wg_infer_fail(q, WG_INVALID, "the sub-tape takes %lld operands%s, not %zu",
                             (long long)nin, counted ? " and the count comes after them" : "",
                             q->nin);
    if (ncarry < 0 || nxs < 0 || ncarry > nin || nxs > nin - ncarry || ncarry > nout || nout == 0)
        return wg_infer_fail(q, WG_INVALID,
                             "%lld carries and %lld sequences do not fit a sub-tape with %lld "
                             "operands and %lld outputs",
                             (long long)ncarry, (long long)nxs, (long long)nin, (long long)nout);
    if (nsums < 0 || nsums > nout - ncarry)
        return wg_infer_fail(q, WG_INVALID,
                             "%lld sums do not fit a sub-tape with %lld outputs beside its carries",
                             (long long)nsums, (long long)(nout - ncarry));
    return WG_OK;
}

static wg_status infer_operands(wg_infer *q, const wg__loop *s)
{
    for (size_t i = 0; i < loop_operands(s); i++) {
        wg_type want = wg_fn_operand_type(s->fn, i);
        bool sequence = i >= s->ncarry && i < s->ncarry + s->nxs;
        const char *name = wg_fn_operand_name(s->fn, i);
        if (sequence)
            want = wg__loop_stacked(s->length, want);
        if (!same_type(q->in[i], want))
            return wg_infer_fail(
                q, WG_SHAPE, "%s %zu%s%s%s is %s, the sub-tape and %lld steps need %s",
                i < s->ncarry ? "carry"
                : sequence    ? "sequence"
                              : "invariant",
                i < s->ncarry ? i
                : sequence    ? i - s->ncarry
                              : i - s->ncarry - s->nxs,
                *name ? " (" : "", name, *name ? ")" : "", wg_infer_text(q, q->in[i]),
                (long long)s->length.dim[0], wg_infer_text(q, want));
    }
    if (!s->counted)
        return WG_OK;
    wg_type count = q->in[loop_operands(s)];
    if (count.shape.rank || (count.dtype != WG_I32 && count.dtype != WG_I64))
        return wg_infer_fail(q, WG_DTYPE, "the count is %s; the number of steps is i32[] or i64[]",
                             wg_infer_text(q, count));
    return WG_OK;
}

static wg_status infer_output(wg_infer *q, const wg__loop *s, size_t k)
{
    wg_type step = wg_fn_output_type(s->fn, k);
    bool carry = k < s->ncarry, term = k >= s->ncarry + s->nys;
    q->out[k] = carry || term ? step : wg__loop_stacked(s->length, step);
    if (term && step.dtype == WG_BOOL)
        return wg_infer_fail(q, WG_DTYPE, "sum %zu has terms of %s; only numbers can be added up",
                             k - s->ncarry - s->nys, wg_infer_text(q, step));
    if (!carry)
        return WG_OK;
    if (!same_type(step, wg_fn_operand_type(s->fn, k)))
        return wg_infer_fail(q, WG_SHAPE, "carry %zu goes in as %s and comes out as %s", k,
                             wg_infer_text(q, wg_fn_operand_type(s->fn, k)),
                             wg_infer_text(q, step));
    q->out[loop_outputs(s) + k] = wg__loop_stacked(s->length, wg__loop_history_step(q->ctx, step));
    return WG_OK;
}

static wg_status infer_loop(wg_infer *q)
{
    wg_status status = infer_counts(q);
    if (status)
        return status;
    wg__loop s = wg__loop_of(q->attrs);
    if (s.length.rank != 1 || s.length.dim[0] < 0)
        return wg_infer_fail(q, WG_SHAPE,
                             "the number of steps must be given (length) or come from "
                             "a sequence of rank 1 or more");
    status = infer_operands(q, &s);
    if (!status)
        status = wg_infer_outputs(q, loop_outputs(&s) + s.ncarry);
    for (size_t k = 0; !status && k < loop_outputs(&s); k++)
        status = infer_output(q, &s, k);
    return status;
}

/* ---- kernels ------------------------------------------------------------------------------------ */

static size_t loop_scratch(const wg_kernel_call *c)
{
    wg__work w;
    const wg__loop s = wg__loop_of(c->attrs);
    return work_layout(&w, &s, NULL);
}

static wg_status run_scan(const wg_kernel_call *c)
{
    wg__work w;
    const wg__loop s = wg__loop_of(c->attrs);
    work_make(&w, c, &s, 0, c->scratch);
    int64_t n = work_steps(&w);
    work_start_sums(&w, false);
    work_clear_unused(&w, n);
    for (size_t i = 0; n == 0 && i < s.ncarry; i++)
        work_copy(c->out[i].data, c->in[i].data, w.bytes[i]);
    for (int64_t k = 0; k < n; k++) {
        int64_t t = s.reverse ? n - 1 - k : k;
        work_place_carries(&w, k, n, t);
        work_place_slices(&w, t);
        wg_status status = work_run(&w);
        if (status)
            return status;
        work_add_terms(&w, false);
    }
    return WG_OK;
}

/* A map at work: its chunks run side by side, each on views of its own. */
typedef struct mapping {
    wg__loop s;
    int64_t steps, chunk; /* how many; of a chunk */
    size_t bytes;         /* of scratch for a chunk */
} mapping;

static size_t map_scratch(const wg_kernel_call *c)
{
    wg__work w;
    const wg__loop s = wg__loop_of(c->attrs);
    size_t bytes = work_layout(&w, &s, NULL);
    return bytes > SIZE_MAX / WG__MAP_CHUNKS ? SIZE_MAX : WG__MAP_CHUNKS * bytes;
}

static char *chunk_scratch(const wg_kernel_call *c, const mapping *m, size_t chunk)
{
    return (char *)c->scratch + chunk * m->bytes;
}

/* Leaves the sums of the chunk's terms in the room beside each term. */
static wg_status run_chunk(const wg_kernel_call *c, size_t chunk, void *arg)
{
    const mapping *m = arg;
    const int64_t from = (int64_t)chunk * m->chunk, left = m->steps - from;
    wg__work w;
    work_make(&w, c, &m->s, 0, chunk_scratch(c, m, chunk));
    work_start_sums(&w, true);
    for (int64_t t = from; t < from + (left < m->chunk ? left : m->chunk); t++) {
        work_place_slices(&w, t);
        wg_status status = work_run(&w);
        if (status)
            return status;
        work_add_terms(&w, true);
    }
    return WG_OK;
}

/* In the order of chunks, so that threads do not change a bit. */
static void add_chunks(const wg_kernel_call *c, const mapping *m, size_t chunks)
{
    for (size_t i = 0; m->s.nsums && i < chunks; i++) {
        wg__work w;
        work_make(&w, c, &m->s, 0, chunk_scratch(c, m, i));
        for (size_t k = m->s.nys; k < w.nout; k++)
            if (c->out[k].data)
                work_add(c->out[k].data, w.room[k] + round64(w.bytes[w.nin + k]), w.out[k].type);
    }
}

static wg_status run_map(const wg_kernel_call *c)
{
    wg__work w;
    mapping m = {.s = wg__loop_of(c->attrs)};
    m.bytes = work_make(&w, c, &m.s, 0, c->scratch);
    m.steps = work_steps(&w);
    m.chunk = (m.s.length.dim[0] + WG__MAP_CHUNKS - 1) / WG__MAP_CHUNKS;
    work_start_sums(&w, false);
    work_clear_unused(&w, m.steps);
    if (!m.steps)
        return WG_OK;
    const size_t chunks = (size_t)((m.steps + m.chunk - 1) / m.chunk);
    wg_status status = wg_kernel_spread(c, chunks, run_chunk, &m);
    if (!status)
        add_chunks(c, &m, chunks);
    return status;
}

/* ---- the table --------------------------------------------------------------------------------- */

static const wg_kernel scan_kernels[] = {
    {WG_KERNEL, .types = "?->?", .run = run_scan, .scratch = loop_scratch}};
static const wg_kernel map_kernels[] = {
    {WG_KERNEL, .types = "?->?", .run = run_map, .scratch = map_scratch}};

static const char *const scan_cases[] = {
    "graph case(h: f64[2], x: f64[3, 2], w: f64[2, 2]) -> (%5, %6)\n{\n"
    "  fn step(h: f64[1, 2], x: f64[2], w: f64[2, 2]) -> (n, y)\n  {\n"
    "    a = matmul(h, w); b = add(a, x); n = tanh(b); y = reshape(n, shape=[2])\n  }\n"
    "  g = reshape(h, shape=[1, 2])\n"
    "  (%5, %6, %7) = scan(g, x, w, fn=step, carries=1, xs=1, length=[3])\n}",
    "graph case(h: f64[2], x: f64[3, 2]) -> (%5, %6)\n{\n"
    "  fn step(h: f64[2], x: f64[2]) -> (n, y) { n = mul(h, x); y = sin(n) }\n"
    "  (%5, %6, %7) = scan(h, x, fn=step, carries=1, xs=1, length=[3], reverse=true)\n}",
    "graph case(h: f64[2], x: f64[0, 2]) -> (%5)\n{\n"
    "  fn step(h: f64[2], x: f64[2]) -> (n) { n = mul(h, x) }\n"
    "  (%5, %6) = scan(h, x, fn=step, carries=1, xs=1, length=[0])\n}",
    "graph case(h: f64[2], x: f64[3, 2], w: f64[2]) -> (a, b)\n{\n"
    "  fn step(h: f64[2], x: f64[2], w: f64[2]) -> (n, s, q)\n  {\n"
    "    p = mul(h, w); n = add(p, x); s = sin(n); q = mul(w, n)\n  }\n"
    "  (a, y, b, hs) = scan(h, x, w, fn=step, carries=1, xs=1, length=[3], sums=1)\n}",
    "graph case(h: f64[2], x: f64[3, 2]) -> (a, y, b, hs)\n{\n"
    "  fn step(h: f64[2], x: f64[2]) -> (n, s, q)\n  {\n"
    "    n = mul(h, x); s = sin(n); q = cos(h)\n  }\n"
    "  n: i64 = 2\n"
    "  (a, y, b, hs) = scan(h, x, n, fn=step, carries=1, xs=1, length=[3], sums=1, reverse=true, "
    "counted=true)\n}",
    NULL};
static const wg_op_check scan_check = {WG_OP_CHECK, .cases = scan_cases};

static const char *const map_cases[] = {
    "graph case(x: f64[3, 2], w: f64[2]) -> (y, s)\n{\n"
    "  fn step(x: f64[2], w: f64[2]) -> (y, q) { y = mul(x, w); q = sin(y) }\n"
    "  (y, s) = map(x, w, fn=step, xs=1, length=[3], sums=1)\n}",
    "graph case(x: f64[20], z: f64[20]) -> (y, s)\n{\n"
    "  fn step(x: f64[], z: f64[]) -> (y, q) { y = mul(x, z); q = exp(y) }\n"
    "  n: i32 = 18\n"
    "  (y, s) = map(x, z, n, fn=step, xs=2, length=[20], sums=1, counted=true)\n}",
    NULL};
static const wg_op_check map_check = {WG_OP_CHECK, .cases = map_cases};

static const wg_op ops[] = {
    {WG_OP,
     .sig = "scan(operands*; fn: fn, carries: int, xs: int, length: shape, sums: int = 0, "
            "reverse: bool = false, counted: bool = false) -> outs*",
     .doc =
         "A recurrence (wg_scan): for each of length steps, (carries, y, terms) = fn(carries, x, "
         "invariants). Operands: carries, sequences, invariants and, when counted, the number of "
         "steps to run, clamped to 0 .. length. Outputs: final carries, stacked per-step outputs, "
         "the sums of the last `sums` outputs of fn in the order of running, and the history of "
         "each carry (its value at the start of each step), computed only where somebody reads it. "
         "Per-step outputs and histories are 0 at steps that do not run; reverse runs the last "
         "step first.",
     .infer = infer_loop, .vjp = wg__scan_vjp, .jvp = wg__scan_jvp, .kernels = scan_kernels,
     .nkernels = 1, .check = &scan_check},
    {WG_OP,
     .sig = "map(operands*; fn: fn, xs: int, length: shape, sums: int = 0, counted: bool = false) "
            "-> outs*",
     .doc =
         "The same body on each step by itself (wg_map): (y, terms) = fn(x, invariants). Operands: "
         "sequences, invariants and, when counted, the number of steps to run, clamped to 0 .. "
         "length. Outputs: stacked per-step outputs, 0 at steps that do not run, then the sums of "
         "the last `sums` outputs of fn, added up in chunks of ceil(length / 16) steps, the chunks' "
         "sums in order.",
     .flags = WG_OP_SPREAD, .infer = infer_loop, .vjp = wg__map_vjp, .jvp = wg__map_jvp,
     .kernels = map_kernels, .nkernels = 1, .check = &map_check},
};

const wg__family wg__ops_scan = {ops, sizeof ops / sizeof *ops};
