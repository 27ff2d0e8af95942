/* Forward mode of while: the same loop with tangents among its carries. */
#include "while.h"

/* Tangents of the active carries stand behind the carries, those of fn's invariants behind these. */
typedef struct forward {
    wg__while s;
    bool *active; /* of fn's operands */
    bool *out;
    size_t ntangents; /* of carries */
    wg_fn fn, cond;
} forward;

static wg_var tangent_input(wg_tape *body, const forward *f, size_t i)
{
    return input_like(body, "tangent", wg_fn_operand_type(f->s.fn, i));
}

static wg_status forward_step(wg_rule *r, forward *f)
{
    const wg__while *s = &f->s;
    size_t n = s->ncarry + s->nw, m = 0, nt = 0;
    wg_var *in = wg_rule_alloc(r, n + 1, sizeof *in), *t = wg_rule_alloc(r, n + 1, sizeof *t);
    wg_var *x = wg_rule_alloc(r, n + 1, sizeof *x);
    wg_var *outs = wg_rule_alloc(r, 2 * s->ncarry + 1, sizeof *outs);
    wg_var *y = wg_rule_alloc(r, s->ncarry + 1, sizeof *y);
    wg_tape *body = wg_fn_begin(r->tape, "while_jvp");
    if (!in || !t || !x || !outs || !y || !body)
        return WG_NO_MEMORY;
    for (int group = 0; group < 2; group++) { /* carries, then invariants */
        size_t from = group ? s->ncarry : 0, to = group ? n : s->ncarry;
        while_formals(body, s, from, to, in);
        for (size_t i = from; i < to; i++)
            if (f->active[i]) {
                x[m] = in[i];
                t[m++] = tangent_input(body, f, i);
            }
    }
    wg_status status = wg_inline(body, s->fn, in, n, outs, s->ncarry);
    if (status)
        return status;
    for (size_t i = 0; i < s->ncarry; i++)
        if (f->active[i])
            y[nt++] = outs[i];
    if ((status = wg_jvp(y, nt, x, m, t, outs + s->ncarry)))
        return status;
    f->fn = wg_fn_end(body, outs, s->ncarry + nt);
    f->ntangents = nt;
    return wg_fn_ok(f->fn) ? WG_OK : WG_INVALID;
}

/* The condition, which does not look at tangents. */
static wg_status forward_cond(wg_rule *r, forward *f)
{
    const wg__while *s = &f->s;
    wg_var *in = wg_rule_alloc(r, s->ncarry + s->ncw + 1, sizeof *in), more;
    wg_tape *body = wg_fn_begin(r->tape, "while_jvp_cond");
    if (!in || !body)
        return WG_NO_MEMORY;
    while_formals(body, s, 0, s->ncarry, in);
    for (size_t i = 0; i < s->ncarry; i++)
        if (f->active[i])
            tangent_input(body, f, i);
    for (size_t i = s->ncarry; i < s->ncarry + s->ncw; i++)
        in[i] = input_like(body, wg_fn_operand_name(s->cond, i), wg_fn_operand_type(s->cond, i));
    wg_inline(body, s->cond, in, s->ncarry + s->ncw, &more, 1);
    f->cond = wg_fn_end(body, &more, 1);
    return wg_fn_ok(f->cond) ? WG_OK : WG_INVALID;
}

static wg_var tangent_of(const wg_rule *r, size_t i)
{
    return wg_is_none(r->tin[i]) ? zeros_like(r->tape, r->in[i]) : r->tin[i];
}

static void forward_apply(wg_rule *r, const forward *f)
{
    const wg__while *s = &f->s;
    size_t n = s->ncarry + s->nw, m = 0, nc = s->ncarry + f->ntangents;
    wg_var *ins = wg_rule_alloc(r, 2 * r->nin + 1, sizeof *ins);
    wg_var *outs = wg_rule_alloc(r, 2 * nc + 2, sizeof *outs);
    if (!ins || !outs)
        return;
    for (int group = 0; group < 2; group++) { /* carries, then invariants of fn */
        size_t from = group ? s->ncarry : 0, to = group ? n : s->ncarry;
        for (size_t i = from; i < to; i++)
            ins[m++] = r->in[i];
        for (size_t i = from; i < to; i++)
            if (f->active[i])
                ins[m++] = tangent_of(r, i);
    }
    for (size_t i = n; i < r->nin; i++)
        ins[m++] = r->in[i];
    const wg_attr attrs[] = {wg_attr_fn("fn", f->fn), wg_attr_fn("cond", f->cond),
                             wg_attr_int("carries", (int64_t)nc), wg_attr_int("bound", s->bound)};
    size_t nouts = nc + 1 + (keeps_history(s) ? nc : 0);
    if (wg_apply(r->tape, "while", ins, m, attrs, 4, outs, nouts))
        return;
    for (size_t i = 0, at = s->ncarry; i < s->ncarry; i++) {
        if (!f->active[i])
            continue;
        if (keeps_history(s))
            r->tout[s->ncarry + 1 + i] = outs[nc + 1 + at];
        r->tout[i] = outs[at++];
    }
}

void wg__while_jvp(wg_rule *r)
{
    forward f = {.s = wg__while_of(r->attrs)};
    const wg__while *s = &f.s;
    const wg__loop l = while_as_scan(s);
    f.active = wg_rule_alloc(r, s->ncarry + s->nw + 1, sizeof *f.active);
    f.out = wg_rule_alloc(r, s->ncarry + 1, sizeof *f.out);
    if (!f.active || !f.out)
        return;
    for (size_t i = 0; i < s->ncarry + s->nw; i++)
        f.active[i] = !wg_is_none(r->tin[i]);
    if (wg__loop_spread(&l, f.active, f.out))
        return;
    bool any = false;
    for (size_t i = 0; i < s->ncarry; i++)
        any |= f.active[i];
    if (!any || forward_step(r, &f) || forward_cond(r, &f))
        return;
    forward_apply(r, &f);
}
