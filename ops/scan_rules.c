/* VJPs of scan and map, and the backward loop that while shares with them. The VJP of a scan is
 * a scan in the other direction over the histories of the carries: it computes each step again and
 * differentiates it there. Cotangents of carries are its carries, those of sequences its per-step
 * outputs, those of invariants its sums; the cotangent of a sum is the same at all steps, an
 * invariant. A history is an output like any other, so higher orders follow. Forward mode:
 * scan_forward.c. */
#include <stdio.h>
#include <string.h>

#include "loop_made.h"

wg_var wg__loop_input(wg_tape *body, const wg__loop *s, const char *prefix, size_t i, wg_type type)
{
    char name[64];
    const char *own = wg_fn_operand_name(s->fn, i);
    snprintf(name, sizeof name, "%s%.48s", *own ? prefix : "", own);
    return input_like(body, name, type);
}

wg_status wg__loop_record(const wg_rule *r, const made *m, const wg__loop *s, wg_var count,
                          wg_var *outs, size_t nouts)
{
    list ins;
    if (!list_make(r, &ins, m->carries.n + m->xs.n + m->ws.n + 1))
        return WG_NO_MEMORY;
    list_append(&ins, &m->carries);
    list_append(&ins, &m->xs);
    list_append(&ins, &m->ws);
    if (s->counted)
        list_add(&ins, count);
    const wg_attr attrs[] = {wg_attr_fn("fn", m->fn),
                             wg_attr_int("xs", (int64_t)m->xs.n),
                             wg_attr_shape("length", s->length),
                             wg_attr_int("sums", (int64_t)m->nsums),
                             wg_attr_bool("counted", s->counted),
                             wg_attr_int("carries", (int64_t)m->carries.n),
                             wg_attr_bool("reverse", m->reverse)};
    bool map = !strcmp(m->op, "map"); /* has no carries and no direction */
    return wg_apply(r->tape, m->op, ins.at, ins.n, attrs, map ? 5 : 7, outs, nouts);
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

/* Drops the sequences and invariants that the body does not read: a history that nobody reads is never
 * stacked, so the second derivative does not keep a copy of the weights per step. */
static wg_status made_prune(const wg_rule *r, made *m, const char *name)
{
    size_t n = wg_fn_noperands(m->fn), nouts = wg_fn_noutputs(m->fn);
    bool *used = wg_rule_alloc(r, n + 1, sizeof *used);
    wg_var *formal = wg_rule_alloc(r, n + 1, sizeof *formal);
    wg_var *outs = wg_rule_alloc(r, nouts + 1, sizeof *outs);
    wg_tape *body = wg_fn_begin(r->tape, name);
    if (!used || !formal || !outs || !body)
        return WG_NO_MEMORY;
    wg_status status = wg_fn_uses(m->fn, used);
    if (status)
        return status;
    for (size_t i = 0; i < n; i++) {
        used[i] |= i < m->carries.n;
        formal[i] =
            used[i] ? input_like(body, wg_fn_operand_name(m->fn, i), wg_fn_operand_type(m->fn, i))
                    : wg_none();
    }
    keep_used(&m->ws, used, m->carries.n + m->xs.n);
    keep_used(&m->xs, used, m->carries.n);
    status = wg_inline(body, m->fn, formal, n, outs, nouts);
    m->fn = wg_fn_end(body, outs, nouts);
    return !status && wg_fn_ok(m->fn) ? WG_OK : WG_INVALID;
}

/* ---- what depends on what, over all steps ------------------------------------------------------- */

wg_status wg__loop_spread(const wg__loop *s, bool *active, bool *out)
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

static bool reaches(const wg__loop *s, const bool *depends, const bool *leads, const bool *asked)
{
    for (size_t k = 0; k < loop_outputs(s); k++)
        if (depends[k] && (k < s->ncarry ? leads[k] : asked[k]))
            return true;
    return false;
}

wg_status wg__loop_leads(const wg__loop_vjp *v, const bool *active, const bool *out, bool *leads)
{
    const wg__loop *s = &v->s;
    size_t nouts = loop_outputs(s);
    bool *on = wg_rule_alloc(v->r, loop_operands(s) + 1, sizeof *on);
    bool *asked = wg_rule_alloc(v->r, nouts + 1, sizeof *asked);
    bool *depends = wg_rule_alloc(v->r, s->ncarry * nouts + 1, sizeof *depends);
    if (!on || !asked || !depends)
        return WG_NO_MEMORY;
    for (size_t k = s->ncarry; k < nouts; k++)
        asked[k] = out[k] && !wg_is_none(v->dout[k]);
    for (size_t i = 0; i < s->ncarry; i++) {
        leads[i] = active[i] && (!wg_is_none(v->dout[i]) || !wg_is_none(v->dhistory[i]));
        on[i] = true;
        wg_status status = active[i] ? wg_fn_depends(s->fn, on, depends + i * nouts) : WG_OK;
        if (status)
            return status;
        on[i] = false;
    }
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < s->ncarry; i++)
            if (!leads[i] && reaches(s, depends + i * nouts, leads, asked))
                changed = leads[i] = true;
    }
    return WG_OK;
}

/* ---- backward ------------------------------------------------------------------------------------ */

/* A formal that stands for a value of the loop. */
typedef struct stand_in {
    size_t at; /* which operand or output */
    wg_var formal;
} stand_in;

typedef struct stand_ins {
    stand_in *data;
    size_t n;
} stand_ins;

static void stand_in_add(stand_ins *l, size_t at, wg_var formal)
{
    l->data[l->n++] = (stand_in){at, formal};
}

/* The backward loop in the making: formals of its body, and what its outputs are. */
typedef struct backward {
    const wg__loop_vjp *v;
    wg_tape *body;
    bool *active, *active_out, *leads; /* per operand, output, carry of the forward body */
    wg_var *primal;                    /* formals: operands of the forward body */
    stand_ins dcarry, dout, dhist;     /* formals: cotangents */
    stand_ins dxs, dws;                /* outputs: by operand */
    made to;
    list outs;
} backward;

static bool backward_make(backward *b, const wg__loop_vjp *v)
{
    const wg_rule *r = v->r;
    size_t nin = loop_operands(&v->s), nout = loop_outputs(&v->s), n = 2 * (nin + nout);
    stand_ins *const all[] = {&b->dcarry, &b->dout, &b->dhist, &b->dxs, &b->dws};
    b->v = v;
    b->active = wg_rule_alloc(r, nin + 1, sizeof *b->active);
    b->active_out = wg_rule_alloc(r, nout + 1, sizeof *b->active_out);
    b->leads = wg_rule_alloc(r, v->s.ncarry + 1, sizeof *b->leads);
    b->primal = wg_rule_alloc(r, nin + 1, sizeof *b->primal);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        all[i]->n = 0;
        if (!(all[i]->data = wg_rule_alloc(r, n + 1, sizeof *all[i]->data)))
            return false;
    }
    if (!b->active || !b->active_out || !b->leads || !b->primal ||
        !made_make(r, &b->to, v->op, n) || !list_make(r, &b->outs, n))
        return false;
    b->to.reverse = !v->s.reverse;
    memcpy(b->active, v->need, nin * sizeof *b->active);
    return !wg__loop_spread(&v->s, b->active, b->active_out) &&
           !wg__loop_leads(v, b->active, b->active_out, b->leads);
}

/* A carry, or its cotangent, read from a history. */
static wg_var from_history(backward *b, const char *prefix, size_t i)
{
    const wg__loop *s = &b->v->s;
    wg_type carry = wg_fn_operand_type(s->fn, i);
    wg_var step =
        wg__loop_input(b->body, s, prefix, i, wg__loop_history_step(wg_tape_ctx(b->body), carry));
    return carry.shape.rank < WG_MAX_RANK ? step : wg_reshape(step, carry.shape);
}

static void carry_inputs(backward *b)
{
    const wg__loop_vjp *v = b->v;
    for (size_t i = 0; i < v->s.ncarry; i++)
        if (b->leads[i]) {
            wg_type type = wg_typeof(v->in[i]);
            stand_in_add(&b->dcarry, i, wg__loop_input(b->body, &v->s, "d_", i, type));
            list_add(&b->to.carries,
                     wg_is_none(v->dout[i]) ? zeros_like(v->r->tape, v->in[i]) : v->dout[i]);
        }
}

static void sequence_inputs(backward *b)
{
    const wg__loop_vjp *v = b->v;
    const wg__loop *s = &v->s;
    for (size_t i = 0; i < s->ncarry; i++) {
        b->primal[i] = from_history(b, "", i);
        list_add(&b->to.xs, v->history[i]);
    }
    for (size_t i = s->ncarry; i < s->ncarry + s->nxs; i++) {
        b->primal[i] = wg__loop_input(b->body, s, "", i, wg_fn_operand_type(s->fn, i));
        list_add(&b->to.xs, v->in[i]);
    }
    for (size_t k = s->ncarry; k < s->ncarry + s->nys; k++)
        if (!wg_is_none(v->dout[k]) && b->active_out[k]) {
            stand_in_add(&b->dout, k, input_like(b->body, "dy", wg_fn_output_type(s->fn, k)));
            list_add(&b->to.xs, v->dout[k]);
        }
    for (size_t i = 0; i < s->ncarry; i++)
        if (!wg_is_none(v->dhistory[i]) && b->leads[i]) {
            stand_in_add(&b->dhist, i, from_history(b, "d_history_", i));
            list_add(&b->to.xs, v->dhistory[i]);
        }
}

static void invariant_inputs(backward *b)
{
    const wg__loop_vjp *v = b->v;
    const wg__loop *s = &v->s;
    for (size_t i = s->ncarry + s->nxs; i < loop_operands(s); i++) {
        b->primal[i] = wg__loop_input(b->body, s, "", i, wg_fn_operand_type(s->fn, i));
        list_add(&b->to.ws, v->in[i]);
    }
    for (size_t k = s->ncarry + s->nys; k < loop_outputs(s); k++)
        if (!wg_is_none(v->dout[k]) && b->active_out[k]) {
            stand_in_add(&b->dout, k, input_like(b->body, "d_sum", wg_fn_output_type(s->fn, k)));
            list_add(&b->to.ws, v->dout[k]);
        }
}

/* The cotangent of carry i at the start of the step: through the body, plus its history's. */
static wg_var with_history(const backward *b, size_t i, wg_var d)
{
    for (size_t k = 0; k < b->dhist.n; k++)
        if (b->dhist.data[k].at == i)
            return wg_is_none(d) ? b->dhist.data[k].formal : wg_add(d, b->dhist.data[k].formal);
    return d;
}

/* What the step's VJP is asked: outputs with their cotangents, and targets. */
typedef struct question {
    list ys, dys, xs;
    wg_var *dxs;
} question;

static wg_status ask(const wg_rule *r, backward *b, question *q)
{
    const wg__loop *s = &b->v->s;
    size_t n = loop_operands(s) + loop_outputs(s);
    wg_var *outs = wg_rule_alloc(r, n + 1, sizeof *outs);
    list *const all[] = {&q->ys, &q->dys, &q->xs};
    q->dxs = wg_rule_alloc(r, n + 1, sizeof *q->dxs);
    if (!outs || !q->dxs || !lists_make(r, all, 3, n))
        return WG_NO_MEMORY;
    wg_status status =
        wg_inline(b->body, s->fn, b->primal, loop_operands(s), outs, loop_outputs(s));
    if (status)
        return status;
    for (size_t j = 0; j < b->dcarry.n; j++)
        if (b->active_out[b->dcarry.data[j].at]) {
            list_add(&q->ys, outs[b->dcarry.data[j].at]);
            list_add(&q->dys, b->dcarry.data[j].formal);
        }
    for (size_t j = 0; j < b->dout.n; j++) {
        list_add(&q->ys, outs[b->dout.data[j].at]);
        list_add(&q->dys, b->dout.data[j].formal);
    }
    for (size_t j = 0; j < b->dcarry.n; j++)
        list_add(&q->xs, b->primal[b->dcarry.data[j].at]);
    for (size_t i = s->ncarry; i < loop_operands(s); i++)
        if (b->v->need[i])
            list_add(&q->xs, b->primal[i]);
    return wg_vjp(q->ys.at, q->ys.n, q->dys.at, q->xs.at, q->xs.n, q->dxs, NULL);
}

/* One backward step: the body again from its operands, then its VJP. Fills b->outs. */
static wg_status backward_body(const wg_rule *r, backward *b)
{
    const wg__loop *s = &b->v->s;
    question q;
    wg_status status = ask(r, b, &q);
    size_t at = 0;
    if (status)
        return status;
    for (size_t j = 0; j < b->dcarry.n; j++) {
        wg_var d = with_history(b, b->dcarry.data[j].at, q.dxs[at++]);
        list_add(&b->outs, wg_is_none(d) ? zeros_like(b->body, b->dcarry.data[j].formal) : d);
    }
    for (size_t i = s->ncarry; i < loop_operands(s); i++) {
        if (!b->v->need[i] || wg_is_none(q.dxs[at++]))
            continue;
        stand_in_add(i < s->ncarry + s->nxs ? &b->dxs : &b->dws, i, wg_none());
        list_add(&b->outs, q.dxs[at - 1]);
    }
    b->to.nsums = b->dws.n;
    return WG_OK;
}

void wg__loop_backward(const wg__loop_vjp *v)
{
    const wg_rule *r = v->r;
    char name[16];
    backward b;
    memset(&b, 0, sizeof b);
    snprintf(name, sizeof name, "%s_vjp", v->op);
    b.body = wg_fn_begin(r->tape, name);
    if (!b.body || !backward_make(&b, v))
        return;
    carry_inputs(&b);
    sequence_inputs(&b);
    invariant_inputs(&b);
    wg_var *outs = wg_rule_alloc(r, 2 * (loop_operands(&v->s) + 1), sizeof *outs);
    if (!outs || backward_body(r, &b) || b.outs.n == 0)
        return;
    b.to.fn = wg_fn_end(b.body, b.outs.at, b.outs.n);
    if (!wg_fn_ok(b.to.fn) || made_prune(r, &b.to, name) ||
        wg__loop_record(r, &b.to, &v->s, v->count, outs, b.outs.n))
        return;
    size_t at = 0;
    for (size_t j = 0; j < b.dcarry.n; j++, at++)
        if (v->need[b.dcarry.data[j].at])
            v->din[b.dcarry.data[j].at] = outs[at];
    for (size_t j = 0; j < b.dxs.n; j++)
        v->din[b.dxs.data[j].at] = outs[at++];
    for (size_t j = 0; j < b.dws.n; j++)
        v->din[b.dws.data[j].at] = outs[at++];
}

static void loop_vjp(wg_rule *r, const char *op)
{
    wg__loop s = wg__loop_of(r->attrs);
    size_t hist = loop_outputs(&s);
    wg_var count = s.counted ? r->in[loop_operands(&s)] : wg_none();
    const wg__loop_vjp v = {
        r, op, s, r->in, r->need, count, r->out + hist, r->dout, r->dout + hist, r->din};
    wg__loop_backward(&v);
}

void wg__scan_vjp(wg_rule *r) { loop_vjp(r, "scan"); }
void wg__map_vjp(wg_rule *r) { loop_vjp(r, "map"); }
