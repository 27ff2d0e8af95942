/* Forward mode of scan and map: the same loop with tangents beside the carries, the sequences and the
 * invariants. */
#include <stdio.h>
#include <string.h>

#include "loop_made.h"

/* The loop with tangents in the making. */
typedef struct forward {
    wg__loop s;
    bool *active, *active_out;
    wg_var *primal;       /* formals */
    list formal, tangent; /* active formals and their tangents, formals too */
    made to;
    list outs;
} forward;

static bool forward_make(const wg_rule *r, forward *f, const char *op)
{
    size_t nin = loop_operands(&f->s), nout = loop_outputs(&f->s), n = 2 * (nin + nout);
    list *const all[] = {&f->formal, &f->tangent, &f->outs};
    f->active = wg_rule_alloc(r, nin + 1, sizeof *f->active);
    f->active_out = wg_rule_alloc(r, nout + 1, sizeof *f->active_out);
    f->primal = wg_rule_alloc(r, nin + 1, sizeof *f->primal);
    if (!f->active || !f->active_out || !f->primal || !made_make(r, &f->to, op, n) ||
        !lists_make(r, all, 3, n))
        return false;
    f->to.reverse = f->s.reverse;
    for (size_t i = 0; i < nin; i++)
        f->active[i] = !wg_is_none(r->tin[i]);
    return wg__loop_spread(&f->s, f->active, f->active_out) == WG_OK;
}

/* Formal inputs [from, to) of one group, then their tangents. */
static void forward_inputs(const wg_rule *r, forward *f, wg_tape *body, list *group, size_t from,
                           size_t to)
{
    for (size_t i = from; i < to; i++) {
        f->primal[i] = wg__loop_input(body, &f->s, "", i, wg_fn_operand_type(f->s.fn, i));
        list_add(group, r->in[i]);
    }
    for (size_t i = from; i < to; i++)
        if (f->active[i]) {
            wg_type type = wg_fn_operand_type(f->s.fn, i);
            list_add(&f->formal, f->primal[i]);
            list_add(&f->tangent, wg__loop_input(body, &f->s, "t_", i, type));
            list_add(group, wg_is_none(r->tin[i]) ? zeros_like(r->tape, r->in[i]) : r->tin[i]);
        }
}

static bool has_tangent(const forward *f, size_t k)
{
    return k < f->s.ncarry ? f->active[k] : f->active_out[k];
}

/* The step with its tangents: carries, their tangents, then the tangents of the other outputs. */
static wg_status forward_body(const wg_rule *r, forward *f, wg_tape *body)
{
    size_t nout = loop_outputs(&f->s);
    wg_var *outs = wg_rule_alloc(r, nout + 1, sizeof *outs);
    wg_var *tys = wg_rule_alloc(r, nout + 1, sizeof *tys);
    list ys;
    if (!outs || !tys || !list_make(r, &ys, nout))
        return WG_NO_MEMORY;
    wg_status status = wg_inline(body, f->s.fn, f->primal, loop_operands(&f->s), outs, nout);
    if (status)
        return status;
    for (size_t k = 0; k < nout; k++)
        if (has_tangent(f, k)) {
            list_add(&ys, outs[k]);
            f->to.nsums += k >= f->s.ncarry + f->s.nys;
        }
    status = wg_jvp(ys.at, ys.n, f->formal.at, f->formal.n, f->tangent.at, tys);
    for (size_t k = 0; k < f->s.ncarry; k++)
        list_add(&f->outs, outs[k]);
    for (size_t k = 0; k < ys.n; k++)
        list_add(&f->outs, tys[k]);
    return status;
}

static void loop_jvp(wg_rule *r, const char *op)
{
    forward f;
    memset(&f, 0, sizeof f);
    f.s = wg__loop_of(r->attrs);
    const wg__loop *s = &f.s;
    char name[16];
    snprintf(name, sizeof name, "%s_jvp", op);
    wg_tape *body = wg_fn_begin(r->tape, name);
    if (!body || !forward_make(r, &f, op))
        return;
    forward_inputs(r, &f, body, &f.to.carries, 0, s->ncarry);
    forward_inputs(r, &f, body, &f.to.xs, s->ncarry, s->ncarry + s->nxs);
    forward_inputs(r, &f, body, &f.to.ws, s->ncarry + s->nxs, loop_operands(s));
    if (forward_body(r, &f, body) ||
        f.outs.n == s->ncarry) /* nothing that comes out has a tangent */
        return;
    size_t n = f.outs.n + f.to.carries.n;
    wg_var *outs = wg_rule_alloc(r, n + 1, sizeof *outs);
    f.to.fn = wg_fn_end(body, f.outs.at, f.outs.n);
    wg_var count = s->counted ? r->in[loop_operands(s)] : wg_none();
    if (!outs || !wg_fn_ok(f.to.fn) || wg__loop_record(r, &f.to, s, count, outs, n))
        return;
    size_t at = s->ncarry, hist = f.outs.n + s->ncarry;
    for (size_t k = 0; k < loop_outputs(s); k++)
        if (has_tangent(&f, k))
            r->tout[k] = outs[at++];
    for (size_t i = 0; i < s->ncarry; i++)
        if (f.active[i])
            r->tout[loop_outputs(s) + i] = outs[hist++];
}

void wg__scan_jvp(wg_rule *r) { loop_jvp(r, "scan"); }
void wg__map_jvp(wg_rule *r) { loop_jvp(r, "map"); }
