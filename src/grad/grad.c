/* wg_grad, wg_vjp, wg_jvp: from vars to sweeps and back. */
#include <string.h>

#include <wengert/ops.h>
#include "grad/sweep.h"

/* The innermost tape of the vars, or NULL. */
static wg_tape *tape_of(wg_tape *t, const wg_var *vars, size_t n)
{
    for (size_t i = 0; i < n && vars; i++) {
        wg_tape *o = wg_tape_of(vars[i]);
        if (o && (!t || o->depth > t->depth))
            t = o;
    }
    return t;
}

static wg_status invalid(wg_var *out, size_t n, wg_status status)
{
    for (size_t i = 0; i < n; i++)
        out[i] = wg__invalid();
    return status ? status : WG_INVALID;
}

/* Ids of float values; `what` and the number name them in messages. */
static wg_status resolve_floats(wg_tape *t, const wg_var *vars, size_t n, const char *what,
                                uint32_t *ids)
{
    for (size_t i = 0; i < n; i++) {
        if (wg__is_invalid(vars[i]))
            return wg_tape_status(t) ? wg_tape_status(t)
                                     : wg__tape_fail(t, WG_INVALID, "%s %zu is invalid", what, i);
        ids[i] = wg__is_literal(vars[i]) ? WG__NONE : wg__resolve(t, vars[i], what);
        if (ids[i] == WG__NONE)
            return wg_tape_status(t) ? wg_tape_status(t)
                                     : wg__tape_fail(t, WG_INVALID, "%s %zu is a literal", what, i);
        wg_dtype d = wg__type_at(t, ids[i])->dtype;
        if (!wg_dtype_is_float(d))
            return wg__tape_fail(
                t, WG_DTYPE, "%s %zu%s%s is %s; only f32 and f64 carry derivatives", what, i,
                *wg_name_of(vars[i]) ? " " : "", wg_name_of(vars[i]), wg_dtype_name(d));
    }
    return WG_OK;
}

/* The id of a given cotangent or tangent, of the type of `of`. */
static wg_status resolve_like(wg_tape *t, wg_var v, uint32_t of, const char *what, size_t i,
                              uint32_t *id)
{
    const wg_type *want = wg__type_at(t, of);
    if (wg__is_literal(v))
        v = wg_full(t, *want, wg__literal_value(v));
    *id = wg__resolve(t, v, what);
    if (*id == WG__NONE)
        return wg_tape_status(t) ? wg_tape_status(t) : WG_INVALID;
    if (wg__type_equal(wg__type_at(t, *id), want))
        return WG_OK;
    wg__str a = wg__str_make(t->ctx), b = wg__str_make(t->ctx);
    wg__add_type(&a, t->ctx, wg__type_at(t, *id));
    wg__add_type(&b, t->ctx, want);
    wg_status status = wg__tape_fail(t, WG_SHAPE, "%s %zu is %s, its value is %s", what, i,
                                     wg__str_text(&a), wg__str_text(&b));
    wg__str_free(&a);
    wg__str_free(&b);
    return status;
}

/* ---- targets outside a sub-tape ------------------------------------------------------------------ */

/* Marks on `p` what depends on value `x`. */
static bool *mark_downstream(const wg_tape *p, uint32_t x)
{
    bool *on = wg__calloc(p->ctx, p->nodes.len + 1, sizeof *on);
    if (!on)
        return NULL;
    on[x] = true;
    for (uint32_t id = x + 1; id < p->nodes.len; id++) {
        const wg__node *n = wg__node_at(p, id);
        if ((wg__op_of(p, id)->def.flags & WG_OP_SOURCE) || n->op == WG__OP_STOP_GRADIENT ||
            !wg_dtype_is_float(wg__type_at(p, id)->dtype))
            continue;
        for (uint16_t k = 0; k < n->nin; k++)
            on[id] |= on[wg__operands(p, n)[k]];
    }
    return on;
}

/* x on `p` is a capture, or nothing, on `t` below it. Refuses the case where the sub-tape also
 * captures a value that depends on x: the path through that value runs outside, where nodes of the
 * sub-tape cannot be differentiated, and leaving it out would be a wrong answer. */
static wg_status check_outer(wg_tape *t, const wg_tape *p, uint32_t x)
{
    const wg_tape *child = t;
    if (t == p)
        return WG_OK;
    while (child->parent != p)
        child = child->parent;
    bool *on = mark_downstream(p, x);
    if (!on)
        return wg__tape_no_memory(t);
    uint32_t inner = WG__NONE, bad = WG__NONE;
    for (size_t i = 0; i < child->captures.len; i++) {
        const wg__capture *c = &child->captures.data[i];
        if (c->outer == x)
            inner = c->inner;
        else if (on[c->outer])
            bad = c->outer;
    }
    wg__free(p->ctx, on);
    if (bad != WG__NONE)
        return wg__tape_fail(
            t, WG_UNSUPPORTED,
            "grad: the target \"%s\" stands outside the sub-tape \"%s\", which "
            "also uses \"%s\" (value %u), a value that depends on it; differentiate "
            "outside, or pass the target to the sub-tape as an input",
            wg__text(p, wg__node_at(p, x)->name), child->name ? child->name : "",
            wg__text(p, wg__node_at(p, bad)->name), bad);
    return inner == WG__NONE ? WG_OK : check_outer(t, child, inner);
}

static wg_status check_targets(wg_tape *t, const wg_var *xs, size_t nxs)
{
    wg_status status = WG_OK;
    for (size_t j = 0; j < nxs && !status; j++)
        if (wg_tape_of(xs[j]) && wg_tape_of(xs[j]) != t)
            status = check_outer(t, wg_tape_of(xs[j]), (uint32_t)xs[j].bits);
    return status;
}

static uint32_t least(const uint32_t *ids, size_t n)
{
    uint32_t low = WG__NONE;
    for (size_t i = 0; i < n; i++)
        low = ids[i] < low ? ids[i] : low;
    return low;
}

/* Cotangents as ids; a missing one is 1 where `ones` allows it. */
static wg_status cotangents(wg_tape *t, const uint32_t *ys, const wg_var *dys, size_t nys,
                            bool ones, uint32_t *ids)
{
    for (size_t i = 0; i < nys; i++) {
        wg_var d = dys ? dys[i] : wg_none();
        if (wg_is_none(d)) {
            if (!ones)
                return wg__tape_fail(t, WG_INVALID, "vjp: cotangent %zu is missing", i);
            if (wg__type_at(t, ys[i])->shape.rank)
                return wg__tape_fail(t, WG_SHAPE,
                                     "grad: output %zu has rank %d; give its cotangent, or reduce "
                                     "it to rank 0 first (sum, mean)",
                                     i, wg__type_at(t, ys[i])->shape.rank);
            d = wg_f(1);
        }
        wg_status status = resolve_like(t, d, ys[i], "cotangent", i, &ids[i]);
        if (status)
            return status;
    }
    return WG_OK;
}

static wg_status reverse(const wg_var *ys, size_t nys, const wg_var *dys, const wg_var *xs,
                         size_t nxs, bool ones, wg_var *dxs, bool *connected)
{
    wg_tape *t = tape_of(tape_of(tape_of(NULL, ys, nys), xs, nxs), dys, nys);
    if (!t)
        return invalid(dxs, nxs, WG_INVALID);
    uint32_t *ids = wg__calloc(t->ctx, 2 * nys + 3 * nxs + 1, sizeof *ids);
    if (!ids)
        return invalid(dxs, nxs, wg__tape_no_memory(t));
    uint32_t *y = ids, *dy = y + nys, *x = dy + nys, *dx = x + nxs;
    uint8_t *kind = (uint8_t *)(dx + nxs);
    uint32_t origin = t->origin, scope = t->scope;
    wg_status status = resolve_floats(t, ys, nys, "output", y);
    if (!status)
        status = resolve_floats(t, xs, nxs, "target", x);
    if (!status) {
        t->origin = nys ? y[0] + 1 : origin;
        status = cotangents(t, y, dys, nys, ones, dy);
    }
    if (!status)
        status = check_targets(t, xs, nxs);
    if (!status)
        status = wg__vjp_sweep(t, least(x, nxs) == WG__NONE ? 0 : least(x, nxs), y, dy, nys, x, nxs,
                               dx, kind);
    for (size_t j = 0; j < nxs; j++) {
        if (connected)
            connected[j] = !status && kind[j] != WG__NO_PATH;
        if (status)
            dxs[j] = wg__invalid();
        else if (kind[j] == WG__VALUE)
            dxs[j] = wg__var(t, dx[j]);
        else
            dxs[j] = ones ? wg_full(t, *wg__type_at(t, x[j]), 0) : wg_none();
    }
    t->origin = origin;
    t->scope = scope;
    wg__free(t->ctx, ids);
    return status ? status : wg_tape_status(t);
}

wg_status wg_grad(const wg_var *ys, size_t nys, const wg_var *dys, const wg_var *xs, size_t nxs,
                  wg_var *dxs)
{
    return reverse(ys, nys, dys, xs, nxs, true, dxs, NULL);
}

wg_var wg_grad1(wg_var y, wg_var x)
{
    wg_var dx;
    wg_grad(&y, 1, NULL, &x, 1, &dx);
    return dx;
}

wg_status wg_vjp(const wg_var *ys, size_t nys, const wg_var *dys, const wg_var *xs, size_t nxs,
                 wg_var *dxs, bool *connected)
{
    return reverse(ys, nys, dys, xs, nxs, false, dxs, connected);
}

/* Tangents that are given, as ids; targets without one are left out. */
static wg_status tangents(wg_tape *t, uint32_t *x, const wg_var *txs, size_t *nxs, uint32_t *tx)
{
    size_t n = 0;
    for (size_t j = 0; j < *nxs; j++) {
        if (wg_is_none(txs[j]))
            continue;
        wg_status status = resolve_like(t, txs[j], x[j], "tangent", j, &tx[n]);
        if (status)
            return status;
        size_t k = 0;
        while (k < n && x[k] != x[j])
            k++;
        if (k < n) { /* a target that stands twice moves by the sum */
            wg_var sum = wg_add(wg__var(t, tx[k]), wg__var(t, tx[n]));
            if (!wg_ok(sum))
                return wg_tape_status(t);
            tx[k] = (uint32_t)sum.bits;
            continue;
        }
        x[n++] = x[j];
    }
    *nxs = n;
    return WG_OK;
}

wg_status wg_jvp(const wg_var *ys, size_t nys, const wg_var *xs, size_t nxs, const wg_var *txs,
                 wg_var *tys)
{
    wg_tape *t = tape_of(tape_of(tape_of(NULL, ys, nys), xs, nxs), txs, nxs);
    if (!t)
        return invalid(tys, nys, WG_INVALID);
    uint32_t *ids = wg__calloc(t->ctx, 2 * nys + 2 * nxs + 1, sizeof *ids);
    if (!ids)
        return invalid(tys, nys, wg__tape_no_memory(t));
    uint32_t *y = ids, *ty = y + nys, *x = ty + nys, *tx = x + nxs;
    uint32_t origin = t->origin, scope = t->scope;
    wg_status status = resolve_floats(t, ys, nys, "output", y);
    if (!status)
        status = resolve_floats(t, xs, nxs, "target", x);
    if (!status)
        status = check_targets(t, xs, nxs);
    if (!status)
        status = tangents(t, x, txs, &nxs, tx);
    if (!status)
        status =
            wg__jvp_sweep(t, least(x, nxs) == WG__NONE ? 0 : least(x, nxs), y, nys, x, tx, nxs, ty);
    for (size_t i = 0; i < nys; i++)
        tys[i] = status              ? wg__invalid()
                 : ty[i] == WG__NONE ? wg_full(t, *wg__type_at(t, y[i]), 0)
                                     : wg__var(t, ty[i]);
    t->origin = origin;
    t->scope = scope;
    wg__free(t->ctx, ids);
    return status ? status : wg_tape_status(t);
}
