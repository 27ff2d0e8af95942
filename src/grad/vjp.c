/* Reverse mode. One backward sweep over the region between targets and outputs; for each node that
 * depends on a target and has a cotangent its rule is asked, in this order: partials (elementwise),
 * its own VJP rule, its expansion (composite). Everything is recorded on the same tape. */
#include <stdio.h>
#include <string.h>

#include <wengert/ops.h>
#include "grad/sweep.h"

/* ---- one node ------------------------------------------------------------------------------------ */

/* Sums `g` (of the output's shape) down to the type of an operand that was broadcast. A plain 1
 * beside a dimension with a symbol counts as broadcast even where its size happens to be 1. */
static wg_var sum_to(wg_var g, const wg_type *type)
{
    wg_shape from = wg_typeof(g).shape, to = type->shape;
    wg_axes axes = {0, {0}};
    int lead = from.rank - to.rank;
    for (int i = 0; i < from.rank; i++)
        if (i < lead || (to.dim[i - lead] == 1 &&
                         (from.dim[i] != 1 || (from.symbol[i] && !to.symbol[i - lead]))))
            axes.axis[axes.count++] = i;
    if (axes.count)
        g = wg_sum_with(g, axes, false);
    return axes.count > lead ? wg_reshape(g, to) : g;
}

static void elementwise_vjp(wg_rule *r, const wg__op *op)
{
    for (size_t k = 0; k < r->nin; k++) {
        if (!r->need[k])
            continue;
        wg_var p = op->def.partial(r, k);
        const wg_type *type = wg__type_at(r->tape, (uint32_t)r->in[k].bits);
        if (wg_tape_of(p) || wg__is_literal(p))
            p = wg__times_partial(r->dout[0], p);
        if (wg_tape_of(p) && wg__type_at(r->tape, (uint32_t)p.bits) != type)
            p = sum_to(p, type);
        r->din[k] = p;
    }
}

static wg_status composite_vjp(wg__rule_frame *f, uint32_t *din, uint8_t *kind)
{
    wg_rule *r = &f->rule;
    wg_tape *t = r->tape;
    uint32_t base = (uint32_t)t->nodes.len;
    wg_status status = wg__rule_expand(f);
    size_t *at = status ? NULL : wg__calloc(t->ctx, 3 * r->nin + 2 * r->nout + 1, sizeof *at);
    if (!at)
        return status ? status : wg__tape_no_memory(t);
    uint32_t *xs = (uint32_t *)(at + r->nin), *ds = xs + r->nin, *ys = ds + r->nin;
    uint32_t *dys = ys + r->nout;
    uint8_t *kinds = (uint8_t *)(dys + r->nout);
    size_t nys = 0, nxs = 0;
    for (size_t k = 0; k < r->nin; k++) { /* a value that stands twice is asked for once */
        bool asked = r->need[k];
        for (size_t j = 0; j < nxs && asked; j++)
            asked = xs[j] != (uint32_t)r->in[k].bits;
        if (asked) {
            at[nxs] = k;
            xs[nxs++] = (uint32_t)r->in[k].bits;
        }
    }
    for (size_t k = 0; k < r->nout; k++)
        if (!wg_is_none(r->dout[k])) {
            ys[nys] = wg__resolve(t, r->result[k], "expand");
            dys[nys++] = (uint32_t)r->dout[k].bits;
        }
    t->expanding++;
    status = wg__vjp_sweep(t, base, ys, dys, nys, xs, nxs, ds, kinds);
    t->expanding--;
    for (size_t j = 0; j < nxs; j++) {
        din[at[j]] = ds[j];
        kind[at[j]] = kinds[j];
    }
    wg__free(t->ctx, at);
    return status;
}

/* Answer `k`, as wg__answer takes it; the message's end is made only for what is not plainly right. */
static wg_status take_answer(wg__rule_frame *f, size_t k, uint32_t *din, uint8_t *kind)
{
    const wg_rule *r = &f->rule;
    const wg_tape *t = r->tape;
    const uint32_t in = (uint32_t)r->in[k].bits, id = wg__find(t, r->din[k]);
    if (id != WG__NONE && wg__node_at(t, id)->type == wg__node_at(t, in)->type) {
        *din = id;
        *kind = WG__VALUE;
        return WG_OK;
    }
    const wg__sig *sig = &wg__op_of(t, f->id)->sig;
    char what[96];
    size_t named = k < sig->nin ? k : sig->nin - 1;
    snprintf(what, sizeof what, " with respect to operand %zu (%.40s)", k, sig->in[named]);
    return wg__answer(r->tape, f->id, r->din[k], wg__type_at(t, in), what, din, kind);
}

static wg_status take_answers(wg__rule_frame *f, uint32_t *din, uint8_t *kind)
{
    const wg_rule *r = &f->rule;
    wg_status status = wg_tape_status(r->tape);
    for (size_t k = 0; k < r->nin && !status; k++) {
        din[k] = WG__NONE;
        kind[k] = WG__NO_PATH;
        if (r->need[k])
            status = take_answer(f, k, &din[k], &kind[k]);
    }
    return status;
}

wg_status wg__node_vjp(wg_tape *t, uint32_t id, const uint32_t *dout, const bool *need,
                       uint32_t *din, uint8_t *kind)
{
    const wg__op *op = wg__op_of(t, id);
    wg__rule_frame f;
    wg_status status = wg__rule_begin(&f, t, id);
    if (status)
        return status;
    f.rule.need = need;
    for (size_t k = 0; k < f.rule.nout; k++)
        if (dout[k] != WG__NONE)
            ((wg_var *)f.rule.dout)[k] = wg__var(t, dout[k]);
    if (op->def.partial)
        elementwise_vjp(&f.rule, op);
    else if (op->def.vjp)
        op->def.vjp(&f.rule);
    else if (op->def.expand)
        status = composite_vjp(&f, din, kind);
    else
        status = wg__not_differentiable(t, id, ": it has no derivative rule");
    if (!status && (op->def.partial || op->def.vjp))
        status = take_answers(&f, din, kind);
    wg__rule_end(&f);
    return status;
}

/* ---- the sweep ----------------------------------------------------------------------------------- */

typedef struct sweep {
    wg__region region;
    bool *active;  /* depends on a target; by region index */
    uint8_t *kind; /* WG__NO_PATH, WG__ZERO, WG__VALUE */
    uint32_t *cotangent;
    uint32_t *din; /* scratch for one node */
    uint8_t *din_kind;
    bool *need;
} sweep;

static bool is_float(const wg_tape *t, uint32_t id)
{
    return wg_dtype_is_float(wg__type_at(t, id)->dtype);
}

static bool is_active(const sweep *s, uint32_t id)
{
    size_t i = wg__region_index(&s->region, id);
    return i != SIZE_MAX && s->active[i];
}

/* Forward over the region: which values depend on a target through float values. */
static void mark_active(sweep *s, const uint32_t *xs, size_t nxs)
{
    const wg_tape *t = s->region.t;
    for (size_t j = 0; j < nxs; j++)
        if (wg__region_index(&s->region, xs[j]) != SIZE_MAX)
            s->active[wg__region_index(&s->region, xs[j])] = true;
    for (uint32_t id = s->region.base; id < s->region.end; id++) {
        const wg__node *n = wg__node_at(t, id);
        if (wg__op_of(t, id)->def.flags & WG_OP_SOURCE)
            continue;
        const uint32_t *in = wg__operands(t, n);
        for (uint16_t k = 0; k < n->nin && is_float(t, id); k++)
            if (is_active(s, in[k])) {
                s->active[wg__region_index(&s->region, id)] = true;
                break;
            }
    }
}

/* Adds a cotangent to what the value has. */
static wg_status accumulate(sweep *s, uint32_t id, uint32_t d, uint8_t kind)
{
    size_t i = wg__region_index(&s->region, id);
    wg_tape *t = s->region.t;
    if (i == SIZE_MAX || kind == WG__NO_PATH)
        return WG_OK;
    if (kind == WG__ZERO) {
        if (s->kind[i] == WG__NO_PATH)
            s->kind[i] = WG__ZERO;
        return WG_OK;
    }
    if (s->kind[i] == WG__VALUE) {
        wg_var sum = wg_add(wg__var(t, s->cotangent[i]), wg__var(t, d));
        if (!wg_ok(sum))
            return wg_tape_status(t);
        d = (uint32_t)sum.bits;
    }
    s->kind[i] = WG__VALUE;
    s->cotangent[i] = d;
    return WG_OK;
}

/* One node, all its outputs' cotangents complete. */
static wg_status step(sweep *s, uint32_t id)
{
    wg_tape *t = s->region.t;
    const wg__node n = *wg__node_at(t, id); /* the tape grows below */
    size_t first = wg__region_index(&s->region, id);
    uint8_t seen = WG__NO_PATH;
    bool any = false;
    for (uint32_t k = 0; k < n.nout; k++)
        seen = s->kind[first + k] > seen ? s->kind[first + k] : seen;
    if (seen == WG__NO_PATH || (wg__op_of(t, id)->def.flags & WG_OP_SOURCE))
        return WG_OK;
    for (uint16_t k = 0; k < n.nin; k++) {
        uint32_t in = wg__operands(t, &n)[k];
        s->need[k] = is_active(s, in) && is_float(t, in);
        any |= s->need[k];
        s->din[k] = WG__NONE;
        s->din_kind[k] = s->need[k] && n.op != WG__OP_STOP_GRADIENT ? WG__ZERO : WG__NO_PATH;
    }
    if (!any)
        return WG_OK;
    wg_status status = WG_OK;
    uint32_t origin = t->origin, scope = t->scope;
    if (seen == WG__VALUE)
        status = wg__node_vjp(t, id, s->cotangent + first, s->need, s->din, s->din_kind);
    t->origin = id + 1;
    t->scope = n.scope;
    for (uint16_t k = 0; k < n.nin && !status; k++)
        if (s->need[k])
            status = accumulate(s, wg__operands(t, &n)[k], s->din[k], s->din_kind[k]);
    t->origin = origin;
    t->scope = scope;
    return status;
}

static bool sweep_alloc(sweep *s)
{
    wg_ctx *ctx = s->region.t->ctx;
    size_t n = wg__region_size(&s->region) + 1, most = 1;
    for (uint32_t id = s->region.base; id < s->region.end; id++)
        if (wg__node_at(s->region.t, id)->nin > most)
            most = wg__node_at(s->region.t, id)->nin;
    s->active = wg__calloc(ctx, n, sizeof *s->active);
    s->kind = wg__calloc(ctx, n, sizeof *s->kind);
    s->cotangent = wg__alloc(ctx, n * sizeof *s->cotangent);
    s->din = wg__calloc(ctx, most, sizeof *s->din);
    s->din_kind = wg__calloc(ctx, most, sizeof *s->din_kind);
    s->need = wg__calloc(ctx, most, sizeof *s->need);
    if (s->cotangent)
        memset(s->cotangent, 0xff, n * sizeof *s->cotangent);
    return s->active && s->kind && s->cotangent && s->din && s->din_kind && s->need;
}

static void sweep_free(sweep *s)
{
    wg_ctx *ctx = s->region.t->ctx;
    wg__free(ctx, s->active);
    wg__free(ctx, s->kind);
    wg__free(ctx, s->cotangent);
    wg__free(ctx, s->din);
    wg__free(ctx, s->din_kind);
    wg__free(ctx, s->need);
}

wg_status wg__vjp_sweep(wg_tape *t, uint32_t base, const uint32_t *ys, const uint32_t *dys,
                        size_t nys, const uint32_t *xs, size_t nxs, uint32_t *dxs, uint8_t *kind)
{
    uint32_t high = wg__region_end(t, base, ys, nys);
    sweep s = {{t, base, high, xs, wg__region_outside(base, xs, nxs)}, 0, 0, 0, 0, 0, 0};
    wg_status status = WG_OK;
    if (!sweep_alloc(&s))
        status = wg__tape_no_memory(t);
    if (!status)
        mark_active(&s, xs, nxs);
    for (size_t i = 0; i < nys && !status; i++)
        if (wg__region_index(&s.region, ys[i]) != SIZE_MAX && is_active(&s, ys[i]))
            status = accumulate(&s, ys[i], dys[i], WG__VALUE);
    for (uint32_t id = high; id-- > base && !status;)
        if (!wg__node_at(t, id)->out)
            status = step(&s, id);
    for (size_t j = 0; j < nxs; j++) {
        size_t i = wg__region_index(&s.region, xs[j]);
        bool there = !status && i != SIZE_MAX;
        dxs[j] = there ? s.cotangent[i] : WG__NONE;
        kind[j] = there ? s.kind[i] : WG__NO_PATH;
    }
    sweep_free(&s);
    return status;
}
