/* An op that is wrong in one way. The rules of the mutant ask the right op: they record a twin, a
 * node of the right op on the same operands, have the engine derive that, and spoil the answer. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <wengert/ops.h>
#include "check/mutant.h"
#include "grad/sweep.h"

/* ---- ways to spoil an answer, as graph ------------------------------------------------------- */

/* v: a value or none (zero); type: of the answer. The same var for "does not apply". */
typedef wg_var (*spoil_fn)(wg_tape *t, wg_var v, wg_type type);

static int64_t size_of(const wg_type *type) { return wg_shape_count(type->shape); }

static wg_var times(wg_var v, double factor) { return wg_is_none(v) ? v : wg_mul(v, wg_f(factor)); }
static wg_var negate(wg_tape *t, wg_var v, wg_type type) { return times(v, -1); }
static wg_var twice(wg_tape *t, wg_var v, wg_type type) { return times(v, 2); }
static wg_var half(wg_tape *t, wg_var v, wg_type type) { return times(v, 0.5); }
static wg_var bit_more(wg_tape *t, wg_var v, wg_type type) { return times(v, 1.001); }

static wg_var plus(wg_tape *t, wg_var v, wg_type type, double x)
{
    return wg_is_none(v) ? wg_full(t, type, x) : wg_add(v, wg_f(x));
}
static wg_var shift(wg_tape *t, wg_var v, wg_type type) { return plus(t, v, type, 0.1); }
static wg_var nudge(wg_tape *t, wg_var v, wg_type type) { return plus(t, v, type, 1e-3); }
static wg_var nans(wg_tape *t, wg_var v, wg_type type) { return plus(t, v, type, NAN); }
static wg_var zero(wg_tape *t, wg_var v, wg_type type) { return wg_none(); }

/* The elements in another order, given by index. */
static wg_var reorder(wg_tape *t, wg_var v, const wg_type *type, bool reversed)
{
    int64_t n = size_of(type), *index;
    if (wg_is_none(v) || n < 2 || !(index = wg__calloc(t->ctx, (size_t)n, sizeof *index)))
        return v;
    for (int64_t i = 0; i < n; i++)
        index[i] = reversed ? n - 1 - i : (i + 1) % n;
    wg_var order = wg_const(t, WG_I64, WG_SHAPE(n), index);
    wg__free(t->ctx, index);
    return wg_reshape(wg_gather_with(wg_reshape(v, WG_SHAPE(n)), order, 0), type->shape);
}
static wg_var reverse(wg_tape *t, wg_var v, wg_type type) { return reorder(t, v, &type, true); }
static wg_var roll(wg_tape *t, wg_var v, wg_type type) { return reorder(t, v, &type, false); }

static wg_var transpose(wg_tape *t, wg_var v, wg_type type)
{
    return wg_is_none(v) || type.shape.rank < 2 ? v : wg_reshape(wg_transpose(v), type.shape);
}

/* All but the last element times `keep`, that one times `last`. */
static wg_var mask(wg_tape *t, wg_var v, const wg_type *type, double last)
{
    int64_t n = size_of(type);
    double *factor;
    if (wg_is_none(v) || n < 1 || !(factor = wg__calloc(t->ctx, (size_t)n, sizeof *factor)))
        return v;
    for (int64_t i = 0; i < n; i++)
        factor[i] = i == n - 1 ? last : 1;
    wg_var by = wg_const(t, WG_F64, WG_SHAPE(n), factor);
    wg__free(t->ctx, factor);
    return wg_mul(v, wg_reshape(by, type->shape));
}
static wg_var drop_last(wg_tape *t, wg_var v, wg_type type) { return mask(t, v, &type, 0); }
static wg_var one_nan(wg_tape *t, wg_var v, wg_type type) { return mask(t, v, &type, NAN); }
static wg_var tiny(wg_tape *t, wg_var v, wg_type type) { return mask(t, v, &type, 1.0001); }

static wg_var stop(wg_tape *t, wg_var v, wg_type type)
{
    return wg_is_none(v) ? v : wg_stop_gradient(v);
}

static const struct {
    const char *name;
    spoil_fn spoil;
    bool partial; /* makes sense for a partial, too */
    bool offset;  /* a constant: in a value no derivative tells it */
} ways[] = {
    {"negated", negate, true, false},
    {"times 2", twice, true, false},
    {"times 1/2", half, true, false},
    {"times 1.001", bit_more, true, false},
    {"shifted by 0.1", shift, true, true},
    {"shifted by 0.001", nudge, true, true},
    {"zeroed", zero, true, false},
    {"NaN", nans, true, false},
    {"stopped", stop, true, false},
    {"reversed", reverse, false, false},
    {"rolled", roll, false, false},
    {"transposed", transpose, false, false},
    {"last element zeroed", drop_last, false, false},
    {"last element times 1.0001", tiny, false, false},
    {"NaN at the last element", one_nan, false, false},
    {"of the next operand", NULL, false, false},
};
enum { WAYS = sizeof ways / sizeof *ways };

const char *wg__mutant_way(int way, wg__spoilt spoilt)
{
    if (way >= WAYS)
        return NULL;
    bool skip = (spoilt == WG__SPOIL_PARTIAL && !ways[way].partial) ||
                (spoilt == WG__SPOIL_FORWARD && ways[way].offset) ||
                (spoilt != WG__SPOIL_VJP && !ways[way].spoil);
    return skip ? "" : ways[way].name;
}

static wg_var spoil(wg__mutant *m, wg_tape *t, wg_var v, wg_type type)
{
    if (!wg_dtype_is_float(type.dtype) || !ways[m->way].spoil)
        return v;
    wg_var absent = wg_tape_of(v) ? v : wg_none(), bad = ways[m->way].spoil(t, absent, type);
    if (bad.bits == absent.bits && bad.tape == absent.tape)
        return v;
    m->applied = true;
    return bad;
}

/* ---- the twin -------------------------------------------------------------------------------- */

static wg_type type_of(wg_tape *t, wg_var v) { return *wg__type_at(t, (uint32_t)v.bits); }

/* A node of the right op on the rule's operands; WG__NONE after an error. */
static uint32_t record_twin(wg_rule *r, const wg__mutant *m)
{
    wg_attr attrs[WG__MAX_ATTRS];
    wg_var *outs = wg_rule_alloc(r, r->nout, sizeof *outs);
    size_t n = wg__attrs_export(r->attrs, attrs);
    if (!outs || wg__record(r->tape, m->op->index, r->in, r->nin, attrs, n, outs, r->nout))
        return WG__NONE;
    return (uint32_t)outs[0].bits;
}

/* Node number `at` of those from `base` on gives way to its operand number `way`, in the nodes
 * after it and in the answers. */
static void drop_node(wg__mutant *m, wg_tape *t, uint32_t base, uint32_t *answers, size_t n)
{
    uint32_t id = base + (uint32_t)m->at, end = (uint32_t)t->nodes.len;
    if (id >= end)
        return;
    const wg__node *node = wg__node_at(t, id);
    if (node->nout != 1 || (size_t)m->way >= node->nin)
        return;
    uint32_t instead = wg__operands(t, node)[m->way];
    if (node->type != wg__node_at(t, instead)->type)
        return;
    for (uint32_t i = id + 1; i < end; i++) {
        const wg__node *user = wg__node_at(t, i);
        uint32_t *in = (uint32_t *)wg__operands(t, user);
        for (uint16_t k = 0; k < user->nin && !user->out; k++)
            if (in[k] == id) {
                in[k] = instead;
                m->applied = true;
            }
    }
    for (size_t i = 0; i < n; i++)
        if (answers[i] == id) {
            answers[i] = instead;
            m->applied = true;
        }
}

/* ---- rules ----------------------------------------------------------------------------------- */

/* Of two operands of the same type, the other's answer. */
static void exchange(wg__mutant *m, wg_rule *r)
{
    size_t a = m->at, b = m->at + 1;
    if (m->spoilt != WG__SPOIL_VJP || ways[m->way].spoil || b >= r->nin || !r->need[a] ||
        !r->need[b])
        return;
    wg_type x = type_of(r->tape, r->in[a]), y = type_of(r->tape, r->in[b]);
    if (!wg__type_equal(&x, &y))
        return;
    r->din[a] = r->din[b];
    m->applied = true;
}

/* Where only values are wrong, the op's own rules see the wrong output. */
static bool ask_rule(wg__mutant *m, wg_rule *r, void (*rule)(wg_rule *r))
{
    if (m->spoilt != WG__SPOIL_FORWARD || !rule)
        return false;
    r->data = m->op->def.data;
    rule(r);
    r->data = m;
    return true;
}

static void mutant_vjp(wg_rule *r)
{
    wg__mutant *m = r->data;
    wg_tape *t = r->tape;
    if (ask_rule(m, r, m->op->def.vjp))
        return;
    uint32_t *dout = wg_rule_alloc(r, r->nout, sizeof *dout);
    uint32_t *din = wg_rule_alloc(r, r->nin, sizeof *din);
    uint8_t *kind = wg_rule_alloc(r, r->nin, sizeof *kind);
    uint32_t twin = dout && din && kind ? record_twin(r, m) : WG__NONE;
    uint32_t base = (uint32_t)t->nodes.len;
    if (twin == WG__NONE)
        return;
    for (size_t k = 0; k < r->nin; k++)
        din[k] = WG__NONE;
    for (size_t k = 0; k < r->nout; k++)
        dout[k] = wg_is_none(r->dout[k]) ? WG__NONE : (uint32_t)r->dout[k].bits;
    if (wg__node_vjp(t, twin, dout, r->need, din, kind))
        return;
    if (t->nodes.len - base > m->vjp_nodes)
        m->vjp_nodes = t->nodes.len - base;
    if (m->spoilt == WG__SPOIL_VJP_NODE)
        drop_node(m, t, base, din, r->nin);
    for (size_t k = 0; k < r->nin; k++) {
        r->din[k] = din[k] != WG__NONE       ? wg__var(t, din[k])
                    : kind[k] == WG__NO_PATH ? wg_disconnected()
                                             : wg_none();
        if (m->spoilt == WG__SPOIL_VJP && m->at == k && r->need[k])
            r->din[k] = spoil(m, t, r->din[k], type_of(t, r->in[k]));
    }
    exchange(m, r);
}

static void mutant_jvp(wg_rule *r)
{
    wg__mutant *m = r->data;
    wg_tape *t = r->tape;
    if (ask_rule(m, r, m->op->def.jvp))
        return;
    uint32_t *ids = wg_rule_alloc(r, 2 * r->nin + 2 * r->nout, sizeof *ids);
    uint32_t twin = ids ? record_twin(r, m) : WG__NONE;
    if (twin == WG__NONE)
        return;
    uint32_t *xs = ids, *txs = xs + r->nin, *ys = txs + r->nin, *tys = ys + r->nout;
    uint32_t base = (uint32_t)t->nodes.len;
    size_t nxs = 0;
    for (size_t k = 0; k < r->nin; k++)
        if (!wg_is_none(r->tin[k])) {
            xs[nxs] = (uint32_t)r->in[k].bits;
            txs[nxs++] = (uint32_t)r->tin[k].bits;
        }
    for (size_t k = 0; k < r->nout; k++)
        ys[k] = twin + (uint32_t)k;
    if (wg__jvp_sweep(t, twin, ys, r->nout, xs, txs, nxs, tys))
        return;
    if (t->nodes.len - base > m->jvp_nodes)
        m->jvp_nodes = t->nodes.len - base;
    if (m->spoilt == WG__SPOIL_JVP_NODE)
        drop_node(m, t, base, tys, r->nout);
    for (size_t k = 0; k < r->nout; k++) {
        r->tout[k] = tys[k] == WG__NONE ? wg_none() : wg__var(t, tys[k]);
        if (m->spoilt == WG__SPOIL_JVP && m->at == k)
            r->tout[k] = spoil(m, t, r->tout[k], type_of(t, r->out[k]));
    }
}

static wg_var mutant_partial(wg_rule *r, size_t operand)
{
    wg__mutant *m = r->data;
    r->data = m->op->def.data;
    wg_var p = m->op->def.partial(r, operand);
    r->data = m;
    bool constant = wg__is_literal(p) && ways[m->way].spoil == stop;
    if (m->spoilt != WG__SPOIL_PARTIAL || m->at != operand || constant || wg__is_disconnected(p) ||
        wg__is_not_differentiable(p))
        return p;
    p = wg__materialise(r->tape, p, WG_F64);
    wg_type type = type_of(r->tape, wg_tape_of(p) ? p : r->out[0]);
    return spoil(m, r->tape, p, type);
}

static wg_status mutant_infer(wg_infer *q)
{
    wg__mutant *m = q->data;
    q->data = m->op->def.data;
    wg_status status = m->op->def.infer(q);
    q->data = m;
    return status;
}

/* A composite's forward value: its expansion in a program. The derivative does not come here. */
static void mutant_expand(wg_rule *r)
{
    wg__mutant *m = r->data;
    r->data = m->op->def.data;
    m->op->def.expand(r);
    r->data = m;
    for (size_t k = 0; k < r->nout; k++)
        if (m->spoilt == WG__SPOIL_FORWARD && m->at == k && wg_tape_of(r->result[k])) {
            wg_type type = type_of(r->tape, r->result[k]);
            wg_var bad = spoil(m, r->tape, r->result[k], type);
            r->result[k] = wg_is_none(bad) ? wg_full(r->tape, type, 0) : bad;
        }
}

/* ---- registering ----------------------------------------------------------------------------- */

/* The mutant under `name`, with partials or with rules. */
static wg_status register_op(wg_ctx *ctx, wg__mutant *m, const char *name, bool partial,
                             size_t nkernels, const wg__op **out)
{
    const wg_op *d = &m->op->def;
    bool rules = !partial && (d->partial || d->vjp || d->expand);
    wg__str sig = wg__str_make(ctx);
    wg__str_add(&sig, name);
    wg__str_add(&sig, strchr(d->sig, '('));
    wg_op wrong = {WG_OP, .sig = wg__str_text(&sig), .doc = "a mutant", .data = m};
    wrong.flags = d->flags & ~(unsigned)(WG_OP_LINEAR | WG_OP_MULTILINEAR);
    wrong.infer = d->infer ? mutant_infer : NULL;
    wrong.partial = partial ? mutant_partial : NULL;
    wrong.vjp = rules ? mutant_vjp : NULL;
    wrong.jvp = rules ? mutant_jvp : NULL;
    wrong.expand = d->expand ? mutant_expand : NULL;
    wrong.kernels = m->kernels;
    wrong.nkernels = nkernels;
    wg_status status = sig.failed ? WG_NO_MEMORY : wg_register(ctx, &wrong, NULL);
    wg__str_free(&sig);
    if (!status)
        *out = wg__op_find(ctx, name);
    return status;
}

wg_status wg__mutant_register(wg_ctx *ctx, const char *op, wg__mutant *m)
{
    size_t count;
    memset(m, 0, sizeof *m);
    m->op = wg__op_find(ctx, op);
    if (!m->op)
        return WG_NOT_FOUND;
    if (!wg__mutant_kernels(ctx, m, &count))
        return WG_NO_MEMORY;
    wg_status status = register_op(ctx, m, "mutant_by_rule", false, count, &m->wrong);
    if (!status && m->op->def.partial)
        status = register_op(ctx, m, "mutant_by_partial", true, count, &m->partial);
    return status;
}

void wg__mutant_free(wg_ctx *ctx, wg__mutant *m)
{
    wg__free(ctx, m->kernels);
    m->kernels = NULL;
}
