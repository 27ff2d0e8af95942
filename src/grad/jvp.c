/* Forward mode. One forward sweep over the nodes between targets and outputs. A node's tangent
 * comes, in this order, from partials, its own JVP rule, re-application (linear and multilinear
 * ops), its expansion, or by transposing its VJP rule: the VJP is linear in the cotangent u, so the
 * JVP is the VJP of u -> vjp(u), applied to the tangents (u's value never matters). */
#include <string.h>

#include <wengert/ops.h>
#include "grad/sweep.h"

/* ---- one node ------------------------------------------------------------------------------------ */

static wg_var plus(wg_var sum, wg_var term) { return wg_is_none(sum) ? term : wg_add(sum, term); }

/* Brings an elementwise term to the output's shape. */
static wg_var spread(wg_var v, const wg_type *type)
{
    wg_type got = wg_typeof(v);
    return wg_tape_of(v) && !wg_shape_equal(got.shape, type->shape) ? wg_broadcast(v, type->shape)
                                                                    : v;
}

static wg_status elementwise_jvp(wg__rule_frame *f, const wg__op *op)
{
    wg_rule *r = &f->rule;
    const wg_type *type = wg__type_at(r->tape, f->id);
    wg_var sum = wg_none();
    for (size_t k = 0; k < r->nin; k++) {
        if (wg_is_none(r->tin[k]))
            continue;
        wg_var p = op->def.partial(r, k);
        if (wg__is_not_differentiable(p))
            return wg__not_differentiable(r->tape, f->id, "");
        if (wg_tape_of(p) || wg__is_literal(p))
            sum = plus(sum, wg__times_partial(r->tin[k], p));
        else if (wg__is_invalid(p))
            sum = p;
    }
    r->tout[0] = spread(sum, type);
    return wg_tape_status(r->tape);
}

/* The op on other operands, attributes as they are. */
static wg_status reapply(wg__rule_frame *f, const wg_var *ins, wg_var *outs)
{
    wg_rule *r = &f->rule;
    wg_attr attrs[WG__MAX_ATTRS];
    size_t n = wg__attrs_export(&f->attrs, attrs);
    return wg__record(r->tape, f->attrs.op->index, ins, r->nin, attrs, n, outs, r->nout);
}

static bool is_float_var(wg_var v) { return wg_dtype_is_float(wg_typeof(v).dtype); }

static wg_status linear_jvp(wg__rule_frame *f, wg_var *ins)
{
    wg_rule *r = &f->rule;
    for (size_t k = 0; k < r->nin; k++) {
        ins[k] = r->in[k];
        if (is_float_var(r->in[k]))
            ins[k] = wg_is_none(r->tin[k]) ? wg_full(r->tape, wg_typeof(r->in[k]), 0) : r->tin[k];
    }
    return reapply(f, ins, r->tout);
}

static wg_status multilinear_jvp(wg__rule_frame *f, wg_var *ins)
{
    wg_rule *r = &f->rule;
    wg_status status = WG_OK;
    for (size_t k = 0; k < r->nin && !status; k++) {
        if (wg_is_none(r->tin[k]))
            continue;
        memcpy(ins, r->in, r->nin * sizeof *ins);
        ins[k] = r->tin[k];
        wg_var term;
        status = reapply(f, ins, &term);
        r->tout[0] = plus(r->tout[0], term);
    }
    return status;
}

/* Ids of the operands that have tangents, of these tangents, and room for as many outputs. */
typedef struct lists {
    uint32_t *xs, *txs, *ys, *tys, *dout;
    bool *need;
    uint32_t *din;
    uint8_t *kind;
    size_t nxs;
    void *memory;
} lists;

static wg_status make_lists(lists *l, wg__rule_frame *f)
{
    const wg_rule *r = &f->rule;
    wg_tape *t = r->tape;
    uint32_t *m = l->memory = wg__calloc(t->ctx, 4 * r->nin + 3 * r->nout + r->nin + 1, sizeof *m);
    if (!m)
        return wg__tape_no_memory(t);
    l->xs = m;
    l->txs = l->xs + r->nin;
    l->din = l->txs + r->nin;
    l->ys = l->din + r->nin;
    l->tys = l->ys + r->nout;
    l->dout = l->tys + r->nout;
    l->need = (bool *)(l->dout + r->nout);
    l->kind = (uint8_t *)(l->need + r->nin);
    l->nxs = 0;
    for (size_t k = 0; k < r->nin; k++) {
        l->need[k] = !wg_is_none(r->tin[k]);
        if (l->need[k]) {
            l->xs[l->nxs] = (uint32_t)r->in[k].bits;
            l->txs[l->nxs++] = wg__resolve(t, r->tin[k], "tangent");
        }
    }
    return WG_OK;
}

static wg_status composite_jvp(wg__rule_frame *f, lists *l)
{
    wg_rule *r = &f->rule;
    wg_tape *t = r->tape;
    uint32_t base = (uint32_t)t->nodes.len;
    wg_status status = wg__rule_expand(f);
    for (size_t k = 0; k < r->nout && !status; k++)
        l->ys[k] = wg__resolve(t, r->result[k], "expand");
    t->expanding++;
    if (!status)
        status = wg__jvp_sweep(t, base, l->ys, r->nout, l->xs, l->txs, l->nxs, l->tys);
    t->expanding--;
    for (size_t k = 0; k < r->nout && !status; k++)
        r->tout[k] = l->tys[k] == WG__NONE ? wg_none() : wg__var(t, l->tys[k]);
    return status;
}

/* A fresh node of the output's type to stand for its cotangent. */
static uint32_t dummy(wg_tape *t, uint32_t out)
{
    wg_type type = *wg__type_at(t, out);
    wg_var v = wg_full(t, type, 0);
    return wg_ok(v) ? (uint32_t)v.bits : WG__NONE;
}

static wg_status transposed_jvp(wg__rule_frame *f, lists *l)
{
    wg_rule *r = &f->rule;
    wg_tape *t = r->tape;
    uint32_t base = (uint32_t)t->nodes.len;
    size_t nys = 0;
    for (size_t k = 0; k < r->nout; k++) {
        bool floating = wg_dtype_is_float(wg__type_at(t, f->id + (uint32_t)k)->dtype);
        l->dout[k] = floating ? dummy(t, f->id + (uint32_t)k) : WG__NONE;
        if (floating && l->dout[k] == WG__NONE)
            return wg_tape_status(t);
    }
    wg_status status = wg__node_vjp(t, f->id, l->dout, l->need, l->din, l->kind);
    if (status)
        return status;
    uint32_t *ys = l->xs, *dys = l->txs; /* compacted in place: at most one per operand */
    size_t at = 0;
    for (size_t k = 0; k < r->nin; k++) {
        if (!l->need[k])
            continue;
        uint32_t tangent = l->txs[at++];
        if (l->din[k] == WG__NONE)
            continue;
        ys[nys] = l->din[k];
        dys[nys++] = tangent;
    }
    size_t nus = 0;
    for (size_t k = 0; k < r->nout; k++)
        if (l->dout[k] != WG__NONE)
            l->ys[nus++] = l->dout[k];
    uint8_t *kind = wg__calloc(t->ctx, nus + 1, sizeof *kind);
    if (!kind)
        return wg__tape_no_memory(t);
    status = wg__vjp_sweep(t, base, ys, dys, nys, l->ys, nus, l->tys, kind);
    wg__free(t->ctx, kind);
    for (size_t k = 0, u = 0; k < r->nout && !status; k++)
        if (l->dout[k] != WG__NONE) {
            r->tout[k] = l->tys[u] == WG__NONE ? wg_none() : wg__var(t, l->tys[u]);
            u++;
        }
    return status;
}

static wg_status ask(wg__rule_frame *f)
{
    const wg__op *op = f->attrs.op;
    wg_rule *r = &f->rule;
    wg_status status;
    if (op->def.partial)
        return elementwise_jvp(f, op);
    if (op->def.jvp) {
        op->def.jvp(r);
        return wg_tape_status(r->tape);
    }
    if (op->def.flags & (WG_OP_LINEAR | WG_OP_MULTILINEAR)) {
        wg_var *ins = wg__calloc(r->tape->ctx, r->nin + 1, sizeof *ins);
        if (!ins)
            return wg__tape_no_memory(r->tape);
        status = op->def.flags & WG_OP_LINEAR ? linear_jvp(f, ins) : multilinear_jvp(f, ins);
        wg__free(r->tape->ctx, ins);
        return status;
    }
    lists l = {0};
    if ((status = make_lists(&l, f)))
        return status;
    if (op->def.vjp)
        status = transposed_jvp(f, &l);
    else if (op->def.expand)
        status = composite_jvp(f, &l);
    else
        status = wg__not_differentiable(r->tape, f->id, ": it has no derivative rule");
    wg__free(r->tape->ctx, l.memory);
    return status;
}

/* ---- the sweep ----------------------------------------------------------------------------------- */

typedef struct sweep {
    wg__region region;
    bool *needed;      /* leads to an output */
    uint32_t *tangent; /* by region index */
} sweep;

/* The tangent of output k; that of a target in the middle adds to the one it was given. */
static wg_status add_answer(sweep *s, uint32_t id, uint32_t k, wg_var answer, uint32_t *tangent)
{
    wg_tape *t = s->region.t;
    uint32_t came;
    uint8_t kind;
    wg_status status =
        wg__answer(t, id, answer, wg__type_at(t, id + k), " (tangent)", &came, &kind);
    if (status || came == WG__NONE)
        return status;
    if (*tangent != WG__NONE) {
        wg_var sum = wg_add(wg__var(t, *tangent), wg__var(t, came));
        if (!wg_ok(sum))
            return wg_tape_status(t);
        came = (uint32_t)sum.bits;
    }
    *tangent = came;
    return WG_OK;
}

static wg_status step(sweep *s, uint32_t id)
{
    wg_tape *t = s->region.t;
    const wg__node n = *wg__node_at(t, id);
    size_t first = wg__region_index(&s->region, id);
    bool any = false;
    wg__rule_frame f;
    if ((wg__op_of(t, id)->def.flags & WG_OP_SOURCE) || n.op == WG__OP_STOP_GRADIENT)
        return WG_OK;
    for (uint16_t k = 0; k < n.nin && !any; k++) {
        size_t i = wg__region_index(&s->region, wg__operands(t, &n)[k]);
        any = i != SIZE_MAX && s->tangent[i] != WG__NONE;
    }
    if (!any)
        return WG_OK;
    wg_status status = wg__rule_begin(&f, t, id);
    if (status)
        return status;
    for (uint16_t k = 0; k < n.nin; k++) {
        size_t i = wg__region_index(&s->region, wg__operands(t, &n)[k]);
        if (i != SIZE_MAX && s->tangent[i] != WG__NONE)
            ((wg_var *)f.rule.tin)[k] = wg__var(t, s->tangent[i]);
    }
    f.rule.need_out = s->needed + first;
    bool floats = false;
    for (uint32_t k = 0; k < n.nout; k++)
        floats |= wg_dtype_is_float(wg__type_at(t, id + k)->dtype);
    if (floats)
        status = ask(&f);
    for (uint32_t k = 0; k < n.nout && !status && floats; k++) {
        if (wg_dtype_is_float(wg__type_at(t, id + k)->dtype))
            status = add_answer(s, id, k, f.rule.tout[k], &s->tangent[first + k]);
    }
    wg__rule_end(&f);
    return status;
}

/* Backward over the region: which nodes lead to an output. */
static void mark_needed(sweep *s, const uint32_t *ys, size_t nys)
{
    const wg_tape *t = s->region.t;
    for (size_t i = 0; i < nys; i++)
        if (wg__region_index(&s->region, ys[i]) != SIZE_MAX)
            s->needed[wg__region_index(&s->region, ys[i])] = true;
    for (uint32_t id = s->region.end; id-- > s->region.base;) {
        const wg__node *n = wg__node_at(t, id);
        uint32_t head = wg__head(t, id);
        if (!s->needed[wg__region_index(&s->region, id)] ||
            (wg__op_of(t, id)->def.flags & WG_OP_SOURCE))
            continue;
        const uint32_t *in = wg__operands(t, wg__node_at(t, head));
        for (uint16_t k = 0; k < n->nin; k++) {
            size_t i = wg__region_index(&s->region, in[k]);
            if (i != SIZE_MAX)
                s->needed[i] = true;
        }
    }
}

static bool node_needed(const sweep *s, uint32_t id)
{
    size_t first = wg__region_index(&s->region, id);
    for (uint32_t k = 0; k < wg__node_at(s->region.t, id)->nout; k++)
        if (s->needed[first + k])
            return true;
    return false;
}

wg_status wg__jvp_sweep(wg_tape *t, uint32_t base, const uint32_t *ys, size_t nys,
                        const uint32_t *xs, const uint32_t *txs, size_t nxs, uint32_t *tys)
{
    uint32_t end = wg__region_end(t, base, ys, nys);
    sweep s = {{t, base, end, xs, wg__region_outside(base, xs, nxs)}, 0, 0};
    size_t n = wg__region_size(&s.region) + 1;
    s.needed = wg__calloc(t->ctx, n, sizeof *s.needed);
    s.tangent = wg__alloc(t->ctx, n * sizeof *s.tangent);
    wg_status status = s.needed && s.tangent ? WG_OK : wg__tape_no_memory(t);
    if (!status) {
        memset(s.tangent, 0xff, n * sizeof *s.tangent);
        mark_needed(&s, ys, nys);
        for (size_t j = 0; j < nxs; j++)
            if (wg__region_index(&s.region, xs[j]) != SIZE_MAX)
                s.tangent[wg__region_index(&s.region, xs[j])] = txs[j];
    }
    for (uint32_t id = base; id < end && !status; id++)
        if (!wg__node_at(t, id)->out && node_needed(&s, id))
            status = step(&s, id);
    for (size_t i = 0; i < nys; i++) {
        size_t at = wg__region_index(&s.region, ys[i]);
        tys[i] = status || at == SIZE_MAX ? WG__NONE : s.tangent[at];
    }
    wg__free(t->ctx, s.needed);
    wg__free(t->ctx, s.tangent);
    return status;
}
