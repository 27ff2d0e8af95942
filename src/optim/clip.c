/* Clipping of gradients, recorded as graph. */
#include <math.h>

#include <wengert/ops.h>
#include <wengert/optim.h>
#include "tape/tape.h"

/* The tape of the first gradient that is there, or NULL. */
static wg_tape *tape_of(const wg_var *grads, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (wg_tape_of(grads[i]))
            return wg_tape_of(grads[i]);
    return NULL;
}

static bool limit_ok(wg_tape *t, const char *what, double limit)
{
    if (limit > 0 && isfinite(limit))
        return true;
    wg__tape_fail(t, WG_INVALID, "%s: the limit is %g; it must be positive and finite", what,
                  limit);
    return false;
}

/* The dtype in which all are summed: their own when they agree, else f64. */
static wg_dtype common_dtype(const wg_var *grads, size_t n)
{
    int dtype = -1;
    for (size_t i = 0; i < n; i++) {
        if (wg_is_none(grads[i]))
            continue;
        int own = (int)wg_typeof(grads[i]).dtype;
        dtype = dtype < 0 || dtype == own ? own : WG_F64;
    }
    return (wg_dtype)dtype;
}

static wg_var as(wg_var x, wg_dtype dtype)
{
    return wg_typeof(x).dtype == dtype ? x : wg_cast(x, dtype);
}

/* sqrt(sum of the squares of all elements) */
static wg_var global_norm(const wg_var *grads, size_t n, wg_dtype dtype)
{
    wg_var total = wg_none();
    for (size_t i = 0; i < n; i++) {
        if (wg_is_none(grads[i]))
            continue;
        wg_var square = as(wg_sum(wg_square(grads[i])), dtype);
        total = wg_is_none(total) ? square : wg_add(total, square);
    }
    return wg_sqrt(total);
}

wg_var wg_clip_by_global_norm(wg_var *grads, size_t ngrads, double max_norm)
{
    wg_tape *t = tape_of(grads, ngrads);
    if (!t || !limit_ok(t, "clip_by_global_norm", max_norm))
        return wg__invalid();
    wg_var norm = global_norm(grads, ngrads, common_dtype(grads, ngrads));
    /* min(1, max_norm / norm) without a division by zero; exactly 1 up to max_norm */
    wg_var scale = wg_div(wg_f(max_norm), wg_maximum(norm, wg_f(max_norm)));
    for (size_t i = 0; i < ngrads; i++)
        if (!wg_is_none(grads[i]))
            grads[i] = wg_mul(grads[i], as(scale, wg_typeof(grads[i]).dtype));
    return norm;
}

wg_status wg_clip_by_value(wg_var *grads, size_t ngrads, double limit)
{
    wg_tape *t = tape_of(grads, ngrads);
    if (!t)
        return WG_INVALID;
    if (!limit_ok(t, "clip_by_value", limit))
        return WG_INVALID;
    for (size_t i = 0; i < ngrads; i++)
        if (!wg_is_none(grads[i]))
            grads[i] = wg_clamp(grads[i], -limit, limit);
    return wg_tape_status(t);
}
