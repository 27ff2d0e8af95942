/* The VJP of while. With a bound its VJP is that of a counted scan over the histories. Without one
 * there is no place to keep carries: the VJP goes through the steps from last to first in blocks of
 * SEGMENT * SEGMENT, computes a block's carries again from the start, keeps those at the starts of its
 * segments, and differentiates it as a scan (segments) of counted scans (steps), whose backward scan
 * computes one segment at a time again. Memory does not depend on the number of steps. Forward mode:
 * while_forward.c. */
#include <string.h>

#include "while.h"

enum { SEGMENT = 256 };

static void bounded_vjp(wg_rule *r, const wg__while *s)
{
    const wg_var *history = r->out + s->ncarry + 1, *dhistory = r->dout + s->ncarry + 1;
    const wg__loop_vjp v = {r,       "scan",  while_as_scan(s), r->in, r->need, r->out[s->ncarry],
                            history, r->dout, dhistory,         r->din};
    wg__loop_backward(&v);
}

/* The unbounded VJP in the making. */
typedef struct unbounded {
    wg_rule *r;
    wg__while s;
    bool *leads; /* carries that get a cotangent */
    bool *gets;  /* invariants of fn that get one */
    wg_fn block; /* (carries at the block's start, invariants, steps left in it, cotangents of the
                          carries at its end) -> cotangents of carries at its start, of invariants */
    size_t nlead, nget;
} unbounded;

static wg_status find_leads(unbounded *u)
{
    wg_rule *r = u->r;
    const wg__while *s = &u->s;
    bool *active = wg_rule_alloc(r, s->ncarry + s->nw + 1, sizeof *active);
    bool *out = wg_rule_alloc(r, s->ncarry + 1, sizeof *out);
    wg_var *none = wg_rule_alloc(r, s->ncarry + 1, sizeof *none);
    u->leads = wg_rule_alloc(r, s->ncarry + 1, sizeof *u->leads);
    u->gets = wg_rule_alloc(r, s->nw + 1, sizeof *u->gets);
    if (!active || !out || !none || !u->leads || !u->gets)
        return WG_NO_MEMORY;
    for (size_t i = 0; i < s->ncarry; i++)
        none[i] = wg_none();
    memcpy(active, r->need, (s->ncarry + s->nw) * sizeof *active);
    const wg__loop_vjp v = {.r = r, .s = while_as_scan(s), .dout = r->dout, .dhistory = none};
    wg_status status = wg__loop_spread(&v.s, active, out);
    if (!status)
        status = wg__loop_leads(&v, active, out, u->leads);
    for (size_t i = 0; i < s->ncarry; i++)
        u->nlead += u->leads[i];
    return status;
}

static wg_var i64_input(wg_tape *body, const char *name)
{
    return wg_fn_input(body, name, WG_I64, WG_SCALAR);
}

/* fn with its invariants captured: ws, of an enclosing tape. `v` has room. */
static wg_fn make_step(unbounded *u, wg_tape *outer, const wg_var *ws, wg_var *v)
{
    const wg__while *s = &u->s;
    wg_tape *body = wg_fn_begin(outer, "step");
    if (!body)
        return wg_fn_end(NULL, NULL, 0);
    while_formals(body, s, 0, s->ncarry, v);
    memcpy(v + s->ncarry, ws, s->nw * sizeof *v);
    wg_inline(body, s->fn, v, s->ncarry + s->nw, v, s->ncarry);
    return wg_fn_end(body, v, s->ncarry);
}

/* As many steps as are left, at most SEGMENT: (carries, left) -> carries. */
static wg_fn make_steps(unbounded *u, wg_tape *outer, const wg_var *ws, wg_var *v)
{
    const wg__while *s = &u->s;
    wg_tape *body = wg_fn_begin(outer, "steps");
    if (!body)
        return wg_fn_end(NULL, NULL, 0);
    while_formals(body, s, 0, s->ncarry, v);
    wg_scan_options o = WG_SCAN_DEFAULTS;
    o.length = SEGMENT;
    o.count = i64_input(body, "left");
    wg_fn step = make_step(u, body, ws, v + s->ncarry);
    wg_scan(step, v, s->ncarry, NULL, 0, &o, v, s->ncarry);
    return wg_fn_end(body, v, s->ncarry);
}

/* One segment as a step of the scan over segments, whose carries are followed by the number of steps left.
 * Behind the checkpoint passes keep nothing of it for the backward scan but its start. */
static wg_fn make_segment(unbounded *u, wg_tape *outer, const wg_var *ws, wg_var *v)
{
    const wg__while *s = &u->s;
    wg_tape *body = wg_fn_begin(outer, "segment");
    if (!body)
        return wg_fn_end(NULL, NULL, 0);
    while_formals(body, s, 0, s->ncarry, v);
    v[s->ncarry] = i64_input(body, "left");
    wg_fn steps = make_steps(u, body, ws, v + s->ncarry + 1);
    wg_checkpoint(steps, v, s->ncarry + 1, v, s->ncarry);
    v[s->ncarry] = wg_sub(v[s->ncarry], wg_i(SEGMENT));
    return wg_fn_end(body, v, s->ncarry + 1);
}

/* ceil(left / SEGMENT) */
static wg_var count_segments(wg_var left)
{
    wg_var part = wg_mul(wg_cast(left, WG_F64), wg_f(1.0 / SEGMENT));
    return wg_cast(wg_ceil(part), WG_I64);
}

/* The VJP of a block: a scan over segments. Closed: captures nothing. */
static wg_status make_block(unbounded *u)
{
    wg_rule *r = u->r;
    const wg__while *s = &u->s;
    size_t n = s->ncarry + s->nw, m = 0;
    wg_var *v = wg_rule_alloc(r, 5 * n + 4, sizeof *v), *x = wg_rule_alloc(r, n + 1, sizeof *x);
    wg_var *y = wg_rule_alloc(r, s->ncarry + 1, sizeof *y),
           *dx = wg_rule_alloc(r, n + 1, sizeof *dx);
    wg_var *ends = wg_rule_alloc(r, s->ncarry + 1, sizeof *ends);
    wg_tape *body = wg_fn_begin(r->tape, "while_vjp_block");
    if (!v || !x || !y || !dx || !ends || !body)
        return WG_NO_MEMORY;
    while_formals(body, s, 0, n, v);
    v[n] = i64_input(body, "left");
    for (size_t i = 0; i < s->ncarry; i++)
        if (u->leads[i])
            y[m++] = input_like(body, "d_end", wg_fn_operand_type(s->fn, i));
    wg_fn segment = make_segment(u, body, v + s->ncarry, v + n + 1);
    wg_scan_options o = WG_SCAN_DEFAULTS;
    o.length = SEGMENT;
    o.count = count_segments(v[n]);
    wg_var *carries = v + n + 1;
    memcpy(carries, v, s->ncarry * sizeof *v);
    carries[s->ncarry] = v[n];
    wg_status status = wg_scan(segment, carries, s->ncarry + 1, NULL, 0, &o, ends, s->ncarry);
    m = 0;
    for (size_t i = 0; i < n; i++)
        if (i < s->ncarry ? u->leads[i] : r->need[i])
            x[m++] = v[i];
    for (size_t i = 0, k = 0; i < s->ncarry; i++)
        if (u->leads[i])
            ends[k++] = ends[i];
    if (status || (status = wg_vjp(ends, u->nlead, y, x, m, dx, NULL)))
        return status;
    m = 0;
    for (size_t i = 0; i < s->ncarry; i++)
        if (u->leads[i]) {
            dx[m] = wg_is_none(dx[m]) ? zeros_like(body, v[i]) : dx[m];
            m++;
        }
    for (size_t i = 0, k = m; i < s->nw; i++)
        if (r->need[s->ncarry + i] && !wg_is_none(dx[k++])) {
            u->gets[i] = true;
            dx[m++] = dx[k - 1];
        }
    u->nget = m - u->nlead;
    u->block = wg_fn_end(body, dx, m);
    return wg_fn_ok(u->block) ? WG_OK : WG_INVALID;
}

/* The carries after `start` steps; `outer` is the tape that start belongs to. */
static wg_status run_to(unbounded *u, wg_tape *outer, wg_var start, wg_var *carries)
{
    const wg__while *s = &u->s;
    size_t n = s->ncarry + s->nw;
    wg_var *in = wg_rule_alloc(u->r, n + 2, sizeof *in),
           *from = wg_rule_alloc(u->r, n + 2, sizeof *in);
    wg_tape *body = wg_fn_begin(outer, "step"), *test = wg_fn_begin(outer, "before_block");
    if (!in || !from || !body || !test)
        return WG_NO_MEMORY;
    wg_var k = i64_input(body, "k"), more;
    while_formals(body, s, 0, s->ncarry, in + 1);
    memcpy(in + 1 + s->ncarry, u->r->in + s->ncarry, s->nw * sizeof *in);
    wg_inline(body, s->fn, in + 1, n, in + 1, s->ncarry);
    in[0] = wg_add(k, wg_i(1));
    wg_fn step = wg_fn_end(body, in, s->ncarry + 1);
    more = i64_input(test, "k");
    while_formals(test, s, 0, s->ncarry, in);
    more = wg_less(more, start);
    wg_fn cond = wg_fn_end(test, &more, 1);
    from[0] = wg_i(0);
    memcpy(from + 1, u->r->in, s->ncarry * sizeof *from);
    wg_status status = wg_while(cond, step, from, s->ncarry + 1, NULL, in, s->ncarry + 1);
    memcpy(carries, in + 1, s->ncarry * sizeof *carries);
    return status;
}

/* Formals of what the outer loop runs: the steps left, cotangents of carries there, sums of cotangents of
 * invariants. */
static void outer_formals(unbounded *u, wg_tape *body, wg_var *v)
{
    const wg__while *s = &u->s;
    *v++ = i64_input(body, "end");
    for (size_t i = 0; i < s->ncarry; i++)
        if (u->leads[i])
            *v++ = input_like(body, "d_end", wg_fn_operand_type(s->fn, i));
    for (size_t i = 0; i < s->nw; i++)
        if (u->gets[i])
            *v++ = input_like(body, "sum", wg_fn_operand_type(s->fn, s->ncarry + i));
}

/* One block, the last that is left: its end and the cotangents there become those of its start. */
static wg_fn make_last_block(unbounded *u, wg_tape *outer)
{
    wg_rule *r = u->r;
    const wg__while *s = &u->s;
    size_t n = s->ncarry + s->nw, nd = u->nlead + u->nget;
    wg_var *in = wg_rule_alloc(r, 2 * n + 2, sizeof *in), *v = wg_rule_alloc(r, nd + 2, sizeof *v);
    wg_var *outs = wg_rule_alloc(r, nd + 2, sizeof *outs);
    wg_tape *body = wg_fn_begin(outer, "last_block");
    if (!in || !v || !outs || !body)
        return wg_fn_end(NULL, NULL, 0);
    outer_formals(u, body, v);
    wg_var start = wg_maximum(wg_sub(v[0], wg_i(SEGMENT * SEGMENT)), wg_i(0));
    if (run_to(u, body, start, in))
        return wg_fn_end(NULL, NULL, 0);
    memcpy(in + s->ncarry, r->in + s->ncarry, s->nw * sizeof *in);
    in[n] = wg_sub(v[0], start);
    memcpy(in + n + 1, v + 1, u->nlead * sizeof *in);
    wg_inline(body, u->block, in, n + 1 + u->nlead, outs + 1, nd);
    outs[0] = start;
    for (size_t k = 1 + u->nlead; k <= nd; k++)
        outs[k] = wg_add(v[k], outs[k]);
    return wg_fn_end(body, outs, nd + 1);
}

/* The step of the outer loop, a block behind a checkpoint: a derivative of it keeps nothing from inside. */
static wg_fn make_outer(unbounded *u)
{
    size_t n = 1 + u->nlead + u->nget;
    wg_var *v = wg_rule_alloc(u->r, n + 1, sizeof *v);
    wg_tape *body = wg_fn_begin(u->r->tape, "while_vjp");
    if (!v || !body)
        return wg_fn_end(NULL, NULL, 0);
    outer_formals(u, body, v);
    wg_checkpoint(make_last_block(u, body), v, n, v, n);
    return wg_fn_end(body, v, n);
}

static wg_fn make_outer_cond(unbounded *u)
{
    wg_var *v = wg_rule_alloc(u->r, 2 + u->nlead + u->nget, sizeof *v);
    wg_tape *test = wg_fn_begin(u->r->tape, "steps_left");
    if (!v || !test)
        return wg_fn_end(NULL, NULL, 0);
    outer_formals(u, test, v);
    wg_var more = wg_greater(v[0], wg_i(0));
    return wg_fn_end(test, &more, 1);
}

static void unbounded_vjp(wg_rule *r, const wg__while *s)
{
    unbounded u = {.r = r, .s = *s};
    if (find_leads(&u) || u.nlead == 0 || make_block(&u))
        return;
    size_t nd = u.nlead + u.nget, m = 0;
    wg_var *d = wg_rule_alloc(r, nd + 2, sizeof *d);
    wg_fn body = make_outer(&u), cond = make_outer_cond(&u);
    if (!d || !wg_fn_ok(body) || !wg_fn_ok(cond))
        return;
    d[m++] = r->out[s->ncarry];
    for (size_t i = 0; i < s->ncarry; i++)
        if (u.leads[i])
            d[m++] = wg_is_none(r->dout[i]) ? zeros_like(r->tape, r->in[i]) : r->dout[i];
    for (size_t i = 0; i < s->nw; i++)
        if (u.gets[i])
            d[m++] = zeros_like(r->tape, r->in[s->ncarry + i]);
    if (wg_while(cond, body, d, nd + 1, NULL, d, nd + 1))
        return;
    m = 1;
    for (size_t i = 0; i < s->ncarry; i++)
        if (u.leads[i]) {
            if (r->need[i])
                r->din[i] = d[m];
            m++;
        }
    for (size_t i = 0; i < s->nw; i++)
        if (u.gets[i])
            r->din[s->ncarry + i] = d[m++];
}

void wg__while_vjp(wg_rule *r)
{
    wg__while s = wg__while_of(r->attrs);
    if (keeps_history(&s))
        bounded_vjp(r, &s);
    else
        unbounded_vjp(r, &s);
}
