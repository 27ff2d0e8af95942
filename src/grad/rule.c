/* What a rule's answers mean, and the product that the engine records for partials. */
#include <math.h>
#include <string.h>

#include <wengert/ops.h>
#include "grad/sweep.h"

wg_status wg__not_differentiable(wg_tape *t, uint32_t id, const char *why)
{
    const wg__node *n = wg__node_at(t, id);
    const char *name = wg__text(t, n->name);
    uint32_t scope = t->scope;
    t->scope = n->scope;
    wg_status status =
        wg__tape_fail(t, WG_NOT_DIFFERENTIABLE, "%s%s%s%s (value %u) is not differentiable%s",
                      wg__op_of(t, id)->name, *name ? " \"" : "", name, *name ? "\"" : "", id, why);
    t->scope = scope;
    return status;
}

wg_var wg__times_partial(wg_var v, wg_var partial)
{
    if (!wg__is_literal(partial))
        return wg_mul0(v, partial);
    double p = wg__literal_value(partial);
    if (p == 1)
        return v;
    if (p == -1)
        return wg_neg(v);
    return isfinite(p) ? wg_mul(v, partial) : wg_mul0(v, partial);
}

wg_status wg__answer(wg_tape *t, uint32_t id, wg_var v, const wg_type *type, const char *what,
                     uint32_t *out, uint8_t *kind)
{
    *out = WG__NONE;
    *kind = WG__ZERO;
    if (wg_is_none(v))
        return WG_OK;
    if (wg__is_disconnected(v)) {
        *kind = WG__NO_PATH;
        return WG_OK;
    }
    if (wg__is_not_differentiable(v))
        return wg__not_differentiable(t, id, what);
    if (wg__is_literal(v))
        v = wg_full(t, *type, wg__literal_value(v));
    if (wg__is_invalid(v)) {
        wg__tape_fail(t, WG_INTERNAL, "%s: its derivative rule failed%s", wg__op_of(t, id)->name,
                      what);
        return wg_tape_status(t);
    }
    wg_type got = wg_typeof(v);
    if (!wg__type_equal(&got, type)) {
        wg__str a = wg__str_make(t->ctx), b = wg__str_make(t->ctx);
        wg__add_type(&a, t->ctx, &got);
        wg__add_type(&b, t->ctx, type);
        wg__tape_fail(t, WG_INTERNAL, "%s: its derivative rule answers %s where %s is due%s",
                      wg__op_of(t, id)->name, wg__str_text(&a), wg__str_text(&b), what);
        wg__str_free(&a);
        wg__str_free(&b);
        return wg_tape_status(t);
    }
    *out = wg__resolve(t, v, "derivative rule");
    *kind = WG__VALUE;
    return *out == WG__NONE ? wg_tape_status(t) : WG_OK;
}
