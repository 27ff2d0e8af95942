/* scan: a recurrence as one node. The forward pass keeps every step's carries (the histories) where
 * somebody reads them; the backward scan runs the steps in the other order, recomputes each body
 * from its carries and sums the cotangents of invariants in a carry. Forward mode is the same scan
 * with tangents beside the carries. */
#include <stdio.h>
#include <string.h>

#include "subtape.h"

/* ---- scan: types and kernel ------------------------------------------------------------------------ */

/* Operands: carries, sequences, then invariants. Outputs: final carries, stacked per-step outputs,
 * then the history of each carry: its value at the start of every step. */
typedef struct layout {
    wg_fn fn;
    size_t ncarry, nxs, nw, nys;
    wg_shape length;
    bool reverse;
} layout;

static layout layout_of(const wg_attrs *attrs)
{
    layout s;
    s.fn = wg_attrs_fn(attrs, "fn");
    s.ncarry = (size_t)wg_attrs_int(attrs, "carries");
    s.nxs = (size_t)wg_attrs_int(attrs, "xs");
    s.nw = wg_fn_noperands(s.fn) - s.ncarry - s.nxs;
    s.nys = wg_fn_noutputs(s.fn) - s.ncarry;
    s.length = wg_attrs_shape(attrs, "length");
    s.reverse = wg_attrs_bool(attrs, "reverse");
    return s;
}

static wg_type stacked(const layout *s, wg_type step)
{
    wg_type type = {step.dtype, s->length};
    for (int i = 0; i < step.shape.rank && type.shape.rank < WG_MAX_RANK; i++)
        wg_shape_push(&type.shape, &step.shape, i);
    if (step.shape.rank == WG_MAX_RANK)
        type.shape.rank = -1;
    return type;
}

/* One step of a carry's history. Rank 8 leaves no room for the axis of the steps: there the first two
 * axes are one in histories. */
static wg_type history_step(wg_ctx *ctx, wg_type carry)
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

static wg_status infer_operands(wg_infer *q, const layout *s)
{
    for (size_t i = 0; i < q->nin; i++) {
        wg_type want = wg_fn_operand_type(s->fn, i);
        bool sequence = i >= s->ncarry && i < s->ncarry + s->nxs;
        if (sequence)
            want = stacked(s, want);
        if (!same_type(q->in[i], want))
            return wg_infer_fail(q, WG_SHAPE, "%s %zu is %s, the sub-tape and %lld steps need %s",
                                 i < s->ncarry ? "carry"
                                 : sequence    ? "sequence"
                                               : "invariant",
                                 i < s->ncarry ? i
                                 : sequence    ? i - s->ncarry
                                               : i - s->ncarry - s->nxs,
                                 wg_infer_text(q, q->in[i]), (long long)s->length.dim[0],
                                 wg_infer_text(q, want));
    }
    return WG_OK;
}

static wg_status infer_scan(wg_infer *q)
{
    wg_fn fn = wg_attrs_fn(q->attrs, "fn");
    int64_t ncarry = wg_attrs_int(q->attrs, "carries"), nxs = wg_attrs_int(q->attrs, "xs");
    int64_t nin = (int64_t)wg_fn_noperands(fn), nout = (int64_t)wg_fn_noutputs(fn);
    if ((int64_t)q->nin != nin)
        return wg_infer_fail(q, WG_INVALID, "the sub-tape takes %lld operands, not %zu",
                             (long long)nin, q->nin);
    if (ncarry < 0 || nxs < 0 || ncarry > nin || nxs > nin - ncarry || ncarry > nout || nout == 0)
        return wg_infer_fail(q, WG_INVALID,
                             "%lld carries and %lld sequences do not fit a sub-tape with %lld "
                             "operands and %lld outputs",
                             (long long)ncarry, (long long)nxs, (long long)nin, (long long)nout);
    layout s = layout_of(q->attrs);
    if (s.length.rank != 1 || s.length.dim[0] < 0)
        return wg_infer_fail(q, WG_SHAPE,
                             "the number of steps must be given (length) or come from "
                             "a sequence of rank 1 or more");
    wg_status status = infer_operands(q, &s);
    if (!status)
        status = wg_infer_outputs(q, s.ncarry + s.nys + s.ncarry);
    for (size_t i = 0; !status && i < s.ncarry + s.nys; i++) {
        wg_type step = wg_fn_output_type(fn, i);
        q->out[i] = i < s.ncarry ? step : stacked(&s, step);
        if (i < s.ncarry && !same_type(step, wg_fn_operand_type(fn, i)))
            status =
                wg_infer_fail(q, WG_SHAPE, "carry %zu goes in as %s and comes out as %s", i,
                              wg_infer_text(q, wg_fn_operand_type(fn, i)), wg_infer_text(q, step));
        if (i < s.ncarry)
            q->out[s.ncarry + s.nys + i] = stacked(&s, history_step(q->ctx, step));
    }
    return status;
}

static size_t bytes_of(wg_type type)
{
    return (size_t)wg_shape_count(type.shape) * wg_dtype_size(type.dtype);
}

/* Two copies of each carry (this step's and the next one's), and the views of one step. */
static size_t scan_scratch(const wg_kernel_call *c)
{
    layout s = layout_of(c->attrs);
    size_t bytes = (c->nin + s.ncarry + s.nys) * sizeof(wg_view);
    bytes += (c->nin + s.ncarry + s.nys) * sizeof(wg_type);
    for (size_t i = 0; i < s.ncarry; i++)
        bytes += 2 * (bytes_of(wg_fn_operand_type(s.fn, i)) + 64);
    return bytes + 64;
}

static char *align64(char *p) { return p + (64 - (uintptr_t)p % 64) % 64; }

static char *slice(const wg_view *v, size_t step_bytes, int64_t t)
{
    return v->data ? (char *)v->data + (size_t)t * step_bytes : NULL;
}

static wg_status run_scan(const wg_kernel_call *c)
{
    layout s = layout_of(c->attrs);
    size_t nouts = s.ncarry + s.nys;
    wg_type *types = c->scratch; /* of operands, then of outputs of one step */
    wg_view *in = (wg_view *)(void *)(types + c->nin + nouts), *out = in + c->nin;
    char *room = align64((char *)(out + nouts));
    int64_t steps = s.length.dim[0];
    for (size_t i = 0; i < c->nin; i++) {
        types[i] = wg_fn_operand_type(s.fn, i);
        in[i] = (wg_view){c->in[i].data, &types[i]};
    }
    for (size_t i = 0; i < nouts; i++) {
        types[c->nin + i] = wg_fn_output_type(s.fn, i);
        out[i] = (wg_view){NULL, &types[c->nin + i]};
    }
    for (size_t i = 0; i < s.ncarry; i++) {
        size_t bytes = bytes_of(types[i]);
        in[i].data = room;
        if (bytes)
            memcpy(room, c->in[i].data, bytes);
        out[i].data = room = align64(room + bytes);
        room = align64(room + bytes);
    }
    for (int64_t step = 0; step < steps; step++) {
        int64_t t = s.reverse ? steps - 1 - step : step;
        for (size_t i = s.ncarry; i < s.ncarry + s.nxs; i++)
            in[i].data = slice(&c->in[i], bytes_of(types[i]), t);
        for (size_t i = s.ncarry; i < nouts; i++)
            out[i].data = slice(&c->out[i], bytes_of(types[c->nin + i]), t);
        for (size_t i = 0; i < s.ncarry; i++) {
            size_t bytes = bytes_of(types[i]);
            char *history = slice(&c->out[nouts + i], bytes, t);
            if (history && bytes)
                memcpy(history, in[i].data, bytes);
        }
        wg_status status = wg_kernel_run_fn(c, 0, in, c->nin, out, nouts);
        if (status)
            return status;
        for (size_t i = 0; i < s.ncarry; i++) {
            void *next = out[i].data;
            out[i].data = in[i].data;
            in[i].data = next;
        }
    }
    for (size_t i = 0; i < s.ncarry; i++)
        if (c->out[i].data && bytes_of(types[i]))
            memcpy(c->out[i].data, in[i].data, bytes_of(types[i]));
    return WG_OK;
}

/* ---- scan: derivatives -------------------------------------------------------------------------------- */

/* A formal input that stands for operand i of the scan, named after it. */
static wg_var formal_input(wg_tape *body, const layout *s, const char *prefix, size_t i,
                           wg_type type)
{
    char name[64];
    const char *own = wg_fn_operand_name(s->fn, i);
    snprintf(name, sizeof name, "%s%.48s", *own ? prefix : "", own);
    return input_like(body, name, type);
}

/* A list of vars that grows while a rule is put together. */
typedef struct list {
    wg_var *at;
    size_t n;
} list;

static bool list_make(const wg_rule *r, list *l, size_t room)
{
    l->n = 0;
    l->at = wg_rule_alloc(r, room + 1, sizeof *l->at);
    return l->at != NULL;
}

static wg_var list_add(list *l, wg_var v) { return l->at[l->n++] = v; }

/* Which carries depend on an active operand at some step: active[] has an entry per operand, its
 * carries grow until nothing changes; out[] gets the activity of the body's outputs. */
static wg_status spread_activity(const layout *s, bool *active, bool *out)
{
    for (bool changed = true; changed;) {
        changed = false;
        wg_status status = wg_fn_depends(s->fn, active, out);
        if (status)
            return status;
        for (size_t i = 0; i < s->ncarry; i++)
            if (out[i] && !active[i])
                changed = active[i] = true;
    }
    return WG_OK;
}

/* Records the scan of a derived body. */
static wg_status apply_scan(const wg_rule *r, const layout *s, wg_fn fn, const list *carries,
                            const list *xs, const list *ws, bool reverse, wg_var *outs,
                            size_t nouts)
{
    size_t n = carries->n + xs->n + ws->n;
    wg_var *ins = wg_rule_alloc(r, n + 1, sizeof *ins);
    if (!ins)
        return WG_NO_MEMORY;
    memcpy(ins, carries->at, carries->n * sizeof *ins);
    memcpy(ins + carries->n, xs->at, xs->n * sizeof *ins);
    memcpy(ins + carries->n + xs->n, ws->at, ws->n * sizeof *ins);
    const wg_attr attrs[] = {wg_attr_fn("fn", fn), wg_attr_int("carries", (int64_t)carries->n),
                             wg_attr_int("xs", (int64_t)xs->n), wg_attr_shape("length", s->length),
                             wg_attr_bool("reverse", reverse)};
    return wg_apply(r->tape, "scan", ins, n, attrs, 5, outs, nouts);
}

/* What the backward scan is made of. The body's operands are three groups, each with the values
 * outside (carries, xs, ws) and the formal inputs inside. */
typedef struct backward {
    layout s;
    bool *active, *active_out;      /* per operand and per output of the body */
    list carries, xs, ws;           /* operands of the backward scan */
    list dcarry, acc, primal;       /* formals: carry cotangents, sums for invariants, operands */
    list dys, dhist;                /* formals: cotangents of per-step outputs and histories */
    list outs;                      /* of the backward body */
    size_t *carry_at, *w_at, *x_at; /* which operand an entry stands for */
    size_t *y_at, *hist_at;
    size_t nx;
} backward;

static bool backward_make(const wg_rule *r, backward *b)
{
    size_t n = r->nin + r->nout;
    b->active = wg_rule_alloc(r, r->nin + 1, sizeof *b->active);
    b->active_out = wg_rule_alloc(r, r->nout + 1, sizeof *b->active_out);
    b->carry_at = wg_rule_alloc(r, 5 * n + 1, sizeof *b->carry_at);
    if (!b->active || !b->active_out || !b->carry_at)
        return false;
    b->w_at = b->carry_at + n;
    b->x_at = b->w_at + n;
    b->y_at = b->x_at + n;
    b->hist_at = b->y_at + n;
    list *all[] = {&b->carries, &b->xs,  &b->ws,    &b->dcarry, &b->acc,
                   &b->primal,  &b->dys, &b->dhist, &b->outs};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!list_make(r, all[i], n))
            return false;
    memcpy(b->active, r->need, r->nin * sizeof *b->active);
    return spread_activity(&b->s, b->active, b->active_out) == WG_OK;
}

/* A carry, or its cotangent, read from a history. */
static wg_var from_history(wg_tape *body, const layout *s, const char *prefix, size_t i)
{
    wg_type carry = wg_fn_operand_type(s->fn, i);
    wg_var step = formal_input(body, s, prefix, i, history_step(wg_tape_ctx(body), carry));
    return carry.shape.rank < WG_MAX_RANK ? step : wg_reshape(step, carry.shape);
}

/* Formal inputs of the backward body, in the order of a scan: carries, sequences, invariants. */
static void backward_inputs(const wg_rule *r, backward *b, wg_tape *body)
{
    const layout *s = &b->s;
    size_t hist = s->ncarry + s->nys;
    for (size_t i = 0; i < s->ncarry; i++)
        if (b->active[i]) {
            b->carry_at[b->dcarry.n] = i;
            list_add(&b->dcarry, formal_input(body, s, "d_", i, wg_typeof(r->in[i])));
            list_add(&b->carries,
                     wg_is_none(r->dout[i]) ? zeros_like(r->tape, r->in[i]) : r->dout[i]);
        }
    for (size_t i = s->ncarry + s->nxs; i < r->nin; i++)
        if (r->need[i]) {
            b->w_at[b->acc.n] = i;
            list_add(&b->acc, formal_input(body, s, "sum_d_", i, wg_typeof(r->in[i])));
            list_add(&b->carries, zeros_like(r->tape, r->in[i]));
        }
    for (size_t i = 0; i < s->ncarry; i++) {
        list_add(&b->primal, from_history(body, s, "", i));
        list_add(&b->xs, r->out[hist + i]);
    }
    for (size_t i = s->ncarry; i < s->ncarry + s->nxs; i++) {
        list_add(&b->primal, formal_input(body, s, "", i, wg_fn_operand_type(s->fn, i)));
        list_add(&b->xs, r->in[i]);
    }
    for (size_t k = s->ncarry; k < hist; k++)
        if (!wg_is_none(r->dout[k]) && b->active_out[k]) {
            b->y_at[b->dys.n] = k;
            list_add(&b->dys, input_like(body, "dy", wg_fn_output_type(s->fn, k)));
            list_add(&b->xs, r->dout[k]);
        }
    for (size_t i = 0; i < s->ncarry; i++)
        if (!wg_is_none(r->dout[hist + i]) && b->active[i]) {
            b->hist_at[b->dhist.n] = i;
            list_add(&b->dhist, from_history(body, s, "d_history_", i));
            list_add(&b->xs, r->dout[hist + i]);
        }
    for (size_t i = s->ncarry + s->nxs; i < r->nin; i++) {
        list_add(&b->primal, formal_input(body, s, "", i, wg_fn_operand_type(s->fn, i)));
        list_add(&b->ws, r->in[i]);
    }
}

/* The cotangent of carry i at the start of the step: through the body, plus its history's. */
static wg_var with_history(backward *b, size_t i, wg_var d)
{
    for (size_t k = 0; k < b->dhist.n; k++)
        if (b->hist_at[k] == i)
            return wg_is_none(d) ? b->dhist.at[k] : wg_add(d, b->dhist.at[k]);
    return d;
}

/* One backward step: the body again from its operands, then its VJP. Fills b->outs. */
static wg_status backward_body(const wg_rule *r, backward *b, wg_tape *body)
{
    const layout *s = &b->s;
    list ys, dys, xs;
    wg_var *outs = wg_rule_alloc(r, r->nout + 1, sizeof *outs);
    wg_var *dxs = wg_rule_alloc(r, r->nin + 1, sizeof *dxs);
    if (!outs || !dxs || !list_make(r, &ys, r->nout) || !list_make(r, &dys, r->nout) ||
        !list_make(r, &xs, r->nin))
        return WG_NO_MEMORY;
    wg_status status = wg_inline(body, s->fn, b->primal.at, b->primal.n, outs, r->nout);
    if (status)
        return status;
    for (size_t j = 0; j < b->dcarry.n; j++)
        if (b->active_out[b->carry_at[j]]) {
            list_add(&ys, outs[b->carry_at[j]]);
            list_add(&dys, b->dcarry.at[j]);
        }
    for (size_t j = 0; j < b->dys.n; j++) {
        list_add(&ys, outs[b->y_at[j]]);
        list_add(&dys, b->dys.at[j]);
    }
    for (size_t j = 0; j < b->dcarry.n; j++)
        list_add(&xs, b->primal.at[b->carry_at[j]]);
    for (size_t j = 0; j < b->acc.n; j++)
        list_add(&xs, b->primal.at[b->w_at[j]]);
    for (size_t i = s->ncarry; i < s->ncarry + s->nxs; i++)
        if (r->need[i])
            list_add(&xs, b->primal.at[i]);
    if ((status = wg_vjp(ys.at, ys.n, dys.at, xs.at, xs.n, dxs, NULL)))
        return status;
    size_t at = 0;
    for (size_t j = 0; j < b->dcarry.n; j++) {
        wg_var d = with_history(b, b->carry_at[j], dxs[at++]);
        list_add(&b->outs, wg_is_none(d) ? zeros_like(body, b->dcarry.at[j]) : d);
    }
    for (size_t j = 0; j < b->acc.n; j++, at++)
        list_add(&b->outs, wg_is_none(dxs[at]) ? b->acc.at[j] : wg_add(b->acc.at[j], dxs[at]));
    for (size_t i = s->ncarry; i < s->ncarry + s->nxs; i++) {
        if (!r->need[i] || wg_is_none(dxs[at++]))
            continue;
        b->x_at[b->nx++] = i;
        list_add(&b->outs, dxs[at - 1]);
    }
    return WG_OK;
}

/* Keeps the operands of `l` whose place (from `first` on) is used. */
static void keep_used(list *l, const bool *used, size_t first)
{
    size_t kept = 0;
    for (size_t i = 0; i < l->n; i++)
        if (used[first + i])
            l->at[kept++] = l->at[i];
    l->n = kept;
}

/* The body without the sequences and invariants that it does not read: a history that nobody reads
 * is never stacked, so the second derivative does not keep a copy of the weights per step. */
static wg_fn prune(const wg_rule *r, backward *b, wg_fn fn)
{
    size_t n = wg_fn_noperands(fn);
    bool *used = wg_rule_alloc(r, n + 1, sizeof *used);
    wg_var *formal = wg_rule_alloc(r, n + 1, sizeof *formal);
    wg_tape *body = wg_fn_begin(r->tape, "scan_vjp");
    if (!used || !formal || !body || wg_fn_uses(fn, used))
        return fn;
    for (size_t i = 0; i < n; i++) {
        used[i] |= i < b->carries.n;
        formal[i] = used[i] ? input_like(body, wg_fn_operand_name(fn, i), wg_fn_operand_type(fn, i))
                            : wg_none();
    }
    keep_used(&b->ws, used, b->carries.n + b->xs.n);
    keep_used(&b->xs, used, b->carries.n);
    wg_inline(body, fn, formal, n, b->outs.at, b->outs.n);
    return wg_fn_end(body, b->outs.at, b->outs.n);
}

static void scan_vjp(wg_rule *r)
{
    backward b;
    memset(&b, 0, sizeof b);
    b.s = layout_of(r->attrs);
    wg_tape *body = wg_fn_begin(r->tape, "scan_vjp");
    if (!body || !backward_make(r, &b))
        return;
    backward_inputs(r, &b, body);
    if (backward_body(r, &b, body))
        return;
    wg_fn fn = wg_fn_end(body, b.outs.at, b.outs.n);
    wg_var *outs = wg_rule_alloc(r, b.outs.n + 1, sizeof *outs);
    if (!outs || b.outs.n == 0 || !wg_fn_ok(fn))
        return;
    fn = prune(r, &b, fn);
    if (apply_scan(r, &b.s, fn, &b.carries, &b.xs, &b.ws, !b.s.reverse, outs, b.outs.n))
        return;
    size_t at = 0;
    for (size_t j = 0; j < b.dcarry.n; j++, at++)
        if (r->need[b.carry_at[j]])
            r->din[b.carry_at[j]] = outs[at];
    for (size_t j = 0; j < b.acc.n; j++)
        r->din[b.w_at[j]] = outs[at++];
    for (size_t j = 0; j < b.nx; j++)
        r->din[b.x_at[j]] = outs[at++];
}

/* Forward mode: the same scan with the tangents of its active carries beside them. */
static void scan_jvp(wg_rule *r)
{
    layout s = layout_of(r->attrs);
    size_t nbody = s.ncarry + s.nys, n = 2 * (r->nin + r->nout);
    list carries, xs, ws, formal, tangent_of, tangents, ys, outs;
    bool *active = wg_rule_alloc(r, r->nin + 1, sizeof *active);
    bool *active_out = wg_rule_alloc(r, nbody + 1, sizeof *active_out);
    wg_var *body_outs = wg_rule_alloc(r, nbody + 1, sizeof *body_outs);
    wg_var *tys = wg_rule_alloc(r, nbody + 1, sizeof *tys);
    wg_var *results = wg_rule_alloc(r, n + 1, sizeof *results);
    wg_tape *body = wg_fn_begin(r->tape, "scan_jvp");
    list *all[] = {&carries, &xs, &ws, &formal, &tangent_of, &tangents, &ys, &outs};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!list_make(r, all[i], n))
            return;
    if (!active || !active_out || !body_outs || !tys || !results || !body)
        return;
    for (size_t i = 0; i < r->nin; i++)
        active[i] = !wg_is_none(r->tin[i]);
    if (spread_activity(&s, active, active_out))
        return;
    /* Formal inputs in a scan's order; each group is the primal operands, then the tangents. */
    const size_t first[] = {0, s.ncarry, s.ncarry + s.nxs, r->nin};
    list *groups[] = {&carries, &xs, &ws};
    wg_var *primal = wg_rule_alloc(r, r->nin + 1, sizeof *primal);
    if (!primal)
        return;
    for (int g = 0; g < 3; g++) {
        for (size_t i = first[g]; i < first[g + 1]; i++) {
            primal[i] = formal_input(body, &s, "", i, wg_fn_operand_type(s.fn, i));
            list_add(groups[g], r->in[i]);
        }
        for (size_t i = first[g]; i < first[g + 1]; i++)
            if (active[i]) {
                list_add(&tangent_of, primal[i]);
                list_add(&tangents, formal_input(body, &s, "t_", i, wg_fn_operand_type(s.fn, i)));
                list_add(groups[g],
                         wg_is_none(r->tin[i]) ? zeros_like(r->tape, r->in[i]) : r->tin[i]);
            }
    }
    if (wg_inline(body, s.fn, primal, r->nin, body_outs, nbody))
        return;
    for (size_t k = 0; k < nbody; k++)
        if (k < s.ncarry ? active[k] : active_out[k])
            list_add(&ys, body_outs[k]);
    if (wg_jvp(ys.at, ys.n, tangent_of.at, tangent_of.n, tangents.at, tys))
        return;
    for (size_t k = 0; k < s.ncarry; k++)
        list_add(&outs, body_outs[k]);
    for (size_t k = 0; k < ys.n; k++)
        list_add(&outs, tys[k]);
    if (outs.n == 0) /* nothing that comes out depends on a tangent */
        return;
    wg_fn fn = wg_fn_end(body, outs.at, outs.n);
    if (!wg_fn_ok(fn) || apply_scan(r, &s, fn, &carries, &xs, &ws, s.reverse, results, n))
        return;
    size_t at = s.ncarry, hist = outs.n + s.ncarry;
    for (size_t k = 0; k < nbody; k++)
        if (k < s.ncarry ? active[k] : active_out[k])
            r->tout[k] = results[at++];
    for (size_t i = 0; i < s.ncarry; i++)
        if (active[i])
            r->tout[nbody + i] = results[hist++];
}

/* ---- the table ---------------------------------------------------------------------------------- */

static const wg_kernel scan_kernels[] = {
    {WG_KERNEL, .types = "?->?", .run = run_scan, .scratch = scan_scratch}};

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
    NULL};
static const wg_op_check scan_check = {WG_OP_CHECK, .cases = scan_cases};

static const wg_op ops[] = {
    {WG_OP,
     .sig = "scan(operands*; fn: fn, carries: int, xs: int, length: shape, reverse: bool = false) "
            "-> outs*",
     .doc = "A recurrence (wg_scan): for each of length steps, (carries, y) = fn(carries, x, "
            "invariants). Operands: carries, sequences, invariants. Outputs: final carries, "
            "stacked per-step outputs, and the history of each carry (its value at the start of "
            "each step), computed only where somebody reads it.",
     .infer = infer_scan, .vjp = scan_vjp, .jvp = scan_jvp, .kernels = scan_kernels, .nkernels = 1,
     .check = &scan_check},
};

const wg__family wg__ops_scan = {ops, sizeof ops / sizeof *ops};
