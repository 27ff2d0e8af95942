/* while: steps for as long as a condition on the carries holds. With a bound it keeps the carries of
 * every step where somebody reads them. Derivatives: while_rules.c. */
#include "loop_run.h"

/* ---- types ------------------------------------------------------------------------------------- */

wg__while wg__while_of(const wg_attrs *attrs)
{
    wg__while s;
    s.fn = wg_attrs_fn(attrs, "fn");
    s.cond = wg_attrs_fn(attrs, "cond");
    s.ncarry = (size_t)wg_attrs_int(attrs, "carries");
    s.nw = wg_fn_noperands(s.fn) - s.ncarry;
    s.ncw = wg_fn_noperands(s.cond) - s.ncarry;
    s.bound = wg_attrs_int(attrs, "bound");
    return s;
}

static wg_status infer_cond(wg_infer *q, const wg__while *s)
{
    wg_type gives = wg_fn_output_type(s->cond, 0);
    if (wg_fn_noutputs(s->cond) != 1 || gives.dtype != WG_BOOL || gives.shape.rank)
        return wg_infer_fail(
            q, WG_SHAPE, "the condition gives %zu outputs, the first %s; it must give one bool[]",
            wg_fn_noutputs(s->cond), wg_infer_text(q, gives));
    return WG_OK;
}

static wg_status infer_operand(wg_infer *q, const wg__while *s, size_t i)
{
    bool carry = i < s->ncarry, of_fn = i < s->ncarry + s->nw;
    wg_type want = of_fn ? wg_fn_operand_type(s->fn, i) : wg_fn_operand_type(s->cond, i - s->nw);
    if (!same_type(q->in[i], want))
        return wg_infer_fail(q, WG_SHAPE, "%s %zu is %s, the sub-tape needs %s",
                             carry   ? "carry"
                             : of_fn ? "invariant"
                                     : "invariant of the condition",
                             carry   ? i
                             : of_fn ? i - s->ncarry
                                     : i - s->ncarry - s->nw,
                             wg_infer_text(q, q->in[i]), wg_infer_text(q, want));
    if (carry && !same_type(wg_fn_operand_type(s->cond, i), want))
        return wg_infer_fail(q, WG_SHAPE, "carry %zu is %s, the condition takes %s", i,
                             wg_infer_text(q, want),
                             wg_infer_text(q, wg_fn_operand_type(s->cond, i)));
    if (carry && !same_type(wg_fn_output_type(s->fn, i), want))
        return wg_infer_fail(q, WG_SHAPE, "carry %zu goes in as %s and comes out as %s", i,
                             wg_infer_text(q, want), wg_infer_text(q, wg_fn_output_type(s->fn, i)));
    return WG_OK;
}

static wg_status infer_while(wg_infer *q)
{
    wg_fn fn = wg_attrs_fn(q->attrs, "fn"), cond = wg_attrs_fn(q->attrs, "cond");
    int64_t ncarry = wg_attrs_int(q->attrs, "carries"), nin = (int64_t)wg_fn_noperands(fn);
    int64_t ncin = (int64_t)wg_fn_noperands(cond), bound = wg_attrs_int(q->attrs, "bound");
    if (ncarry < 1 || ncarry > nin || ncarry > ncin || ncarry != (int64_t)wg_fn_noutputs(fn))
        return wg_infer_fail(
            q, WG_INVALID,
            "%lld carries do not fit a sub-tape with %lld operands and %zu outputs "
            "and a condition with %lld operands",
            (long long)ncarry, (long long)nin, wg_fn_noutputs(fn), (long long)ncin);
    if ((int64_t)q->nin != nin + ncin - ncarry)
        return wg_infer_fail(
            q, WG_INVALID,
            "sub-tape and condition take %lld carries and %lld invariants, not %zu "
            "operands",
            (long long)ncarry, (long long)(nin + ncin - 2 * ncarry), q->nin);
    if (bound < -1)
        return wg_infer_fail(q, WG_INVALID,
                             "bound %lld: it is a number of steps, or -1 for any number",
                             (long long)bound);
    wg__while s = wg__while_of(q->attrs);
    wg_status status = infer_cond(q, &s);
    for (size_t i = 0; !status && i < q->nin; i++)
        status = infer_operand(q, &s, i);
    if (!status)
        status = wg_infer_outputs(q, s.ncarry + 1 + (keeps_history(&s) ? s.ncarry : 0));
    if (status)
        return status;
    wg_shape length = wg_shape_make(&s.bound, 1);
    for (size_t i = 0; i < s.ncarry; i++) {
        q->out[i] = wg_fn_operand_type(fn, i);
        if (keeps_history(&s))
            q->out[s.ncarry + 1 + i] =
                wg__loop_stacked(length, wg__loop_history_step(q->ctx, q->out[i]));
    }
    q->out[s.ncarry] = (wg_type){WG_I64, WG_SCALAR};
    return WG_OK;
}

/* ---- kernel ------------------------------------------------------------------------------------ */

/* Lies in the scratch: views of fn, of cond, and two buffers per carry. */
typedef struct work {
    const wg_kernel_call *c;
    wg__while s;
    size_t nin, ncin;
    wg_type *types; /* of fn's operands, then cond's invariants */
    wg_type flag_type;
    wg_view *in, *out, *cond_in, flag;
    char **room;
    uint8_t goes_on;
} work;

static size_t place(work *w, const wg_kernel_call *c, char *base)
{
    size_t at = 0;
    w->c = c;
    w->s = wg__while_of(c->attrs);
    w->nin = w->s.ncarry + w->s.nw;
    w->ncin = w->s.ncarry + w->s.ncw;
    w->types = work_take(base, &at, (w->nin + w->s.ncw) * sizeof *w->types);
    w->in = work_take(base, &at, w->nin * sizeof *w->in);
    w->out = work_take(base, &at, w->s.ncarry * sizeof *w->out);
    w->cond_in = work_take(base, &at, w->ncin * sizeof *w->cond_in);
    w->room = work_take(base, &at, w->s.ncarry * sizeof *w->room);
    for (size_t i = 0; i < w->s.ncarry; i++) {
        char *room = work_take(base, &at, 2 * round64(type_bytes(wg_fn_operand_type(w->s.fn, i))));
        if (base)
            w->room[i] = room;
    }
    return at;
}

static size_t while_scratch(const wg_kernel_call *c)
{
    work w;
    return place(&w, c, NULL);
}

static void prepare(work *w, const wg_kernel_call *c)
{
    place(w, c, c->scratch);
    for (size_t i = 0; i < c->nin; i++) {
        w->types[i] = i < w->nin ? wg_fn_operand_type(w->s.fn, i)
                                 : wg_fn_operand_type(w->s.cond, i - w->s.nw);
        wg_view v = {c->in[i].data, &w->types[i]};
        if (i < w->nin)
            w->in[i] = v;
        if (i < w->s.ncarry)
            w->out[i] = v;
        if (i >= w->nin)
            w->cond_in[i - w->s.nw] = v;
    }
    w->flag_type = (wg_type){WG_BOOL, WG_SCALAR};
    w->flag = (wg_view){&w->goes_on, &w->flag_type};
}

static wg_status ask_cond(work *w)
{
    memcpy(w->cond_in, w->in, w->s.ncarry * sizeof *w->in);
    return wg_kernel_run_fn(w->c, 1, w->cond_in, w->ncin, &w->flag, 1);
}

static void *history_at(const work *w, size_t i, int64_t step)
{
    const wg_view *v = w->c->out + w->s.ncarry + 1 + i;
    if (!keeps_history(&w->s) || !v->data || step >= w->s.bound)
        return NULL;
    return (char *)v->data + (size_t)step * type_bytes(w->types[i]);
}

/* Step number k puts its carries where the next one's history is, or into one of two buffers. */
static wg_status run_step(work *w, int64_t k)
{
    for (size_t i = 0; i < w->s.ncarry; i++) {
        size_t bytes = type_bytes(w->types[i]);
        void *next = history_at(w, i, k + 1);
        if (k == 0)
            work_copy(history_at(w, i, 0), w->in[i].data, bytes);
        w->out[i].data = next ? next : w->room[i] + (k % 2 ? round64(bytes) : 0);
    }
    wg_status status = wg_kernel_run_fn(w->c, 0, w->in, w->nin, w->out, w->s.ncarry);
    for (size_t i = 0; i < w->s.ncarry; i++)
        w->in[i].data = w->out[i].data;
    return status;
}

/* The carries after n steps are the answer, not a step's start: their history is 0, as of all steps that
 * were not run. */
static void finish(const work *w, int64_t n)
{
    for (size_t i = 0; i < w->s.ncarry; i++) {
        size_t bytes = type_bytes(w->types[i]);
        work_copy(w->c->out[i].data, w->in[i].data, bytes);
        void *rest = history_at(w, i, n);
        if (rest && bytes)
            memset(rest, 0, (size_t)(w->s.bound - n) * bytes);
    }
    if (w->c->out[w->s.ncarry].data)
        *(int64_t *)w->c->out[w->s.ncarry].data = n;
}

static wg_status run_while(const wg_kernel_call *c)
{
    work w;
    prepare(&w, c);
    for (int64_t k = 0;; k++) {
        wg_status status = ask_cond(&w);
        if (status)
            return status;
        if (!w.goes_on) {
            finish(&w, k);
            return WG_OK;
        }
        if (keeps_history(&w.s) && k >= w.s.bound)
            return wg_kernel_fail(
                c, WG_RANGE,
                "the condition still holds after %lld steps, its bound; raise the "
                "bound, or leave it out (-1)",
                (long long)w.s.bound);
        if ((status = run_step(&w, k)))
            return status;
    }
}

/* ---- the table --------------------------------------------------------------------------------- */

static const wg_kernel while_kernels[] = {
    {WG_KERNEL, .types = "?->?", .run = run_while, .scratch = while_scratch}};

static const char *const while_cases[] = {
    "graph case(x: f64[2], w: f64[2]) -> (a)\n{\n"
    "  fn step(k: i64[], x: f64[2], w: f64[2]) -> (k2, n)\n  {\n"
    "    k2 = add(k, 1); p = mul(x, w); n = sin(p)\n  }\n"
    "  fn more(k: i64[], x: f64[2], n: i64[]) -> (c) { c = less(k, n) }\n"
    "  k: i64 = 0\n  n: i64 = 3\n"
    "  (i, a, steps, ih, h) = while(k, x, w, n, fn=step, cond=more, carries=2, bound=4)\n}",
    "graph case(x: f64[2], w: f64[2]) -> (a)\n{\n"
    "  fn step(k: i64[], x: f64[2], w: f64[2]) -> (k2, n)\n  {\n"
    "    k2 = add(k, 1); p = mul(x, w); n = cos(p)\n  }\n"
    "  fn more(k: i64[], x: f64[2]) -> (c) { c = less(k, 3) }\n"
    "  k: i64 = 0\n"
    "  (i, a, steps) = while(k, x, w, fn=step, cond=more, carries=2)\n}",
    NULL};
static const wg_op_check while_check = {WG_OP_CHECK, .cases = while_cases};

static const wg_op ops[] = {
    {WG_OP, .sig = "while(operands*; fn: fn, cond: fn, carries: int, bound: int = -1) -> outs*",
     .doc =
         "Steps while a condition holds (wg_while): while cond(carries, its invariants), carries = "
         "fn(carries, invariants). Operands: carries, invariants of fn, invariants of cond. Outputs: "
         "final carries, the number of steps, i64, and, with a bound, the history of each carry (its "
         "value at the start of each of `bound` steps, 0 where none was taken), computed only where "
         "somebody reads it. More than `bound` steps are an error when it runs. Without a bound the "
         "VJP computes the steps again in blocks of 256 * 256, in memory that does not depend on "
         "their number.",
     .infer = infer_while, .vjp = wg__while_vjp, .jvp = wg__while_jvp, .kernels = while_kernels,
     .nkernels = 1, .check = &while_check},
};

const wg__family wg__ops_while = {ops, sizeof ops / sizeof *ops};
