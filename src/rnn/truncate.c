/* Truncated back-propagation through time, and norms of gradients per step: graph on the tape. */
#include <wengert/grad.h>
#include <wengert/ops.h>
#include <wengert/rnn.h>
#include "tape/tape.h"

/* stop(x) + scale (x - stop(x)): the second term is 0 for finite x, and all of the gradient. */
wg_var wg_scale_gradient(wg_var x, wg_var scale)
{
    wg_var fixed = wg_stop_gradient(x);
    wg_var factor = wg_tape_of(scale) ? wg_stop_gradient(scale) : scale;
    return wg_add(fixed, wg_mul(wg_sub(x, fixed), factor));
}

wg_var wg_truncate(wg_var h, wg_var cut) { return wg_where(cut, wg_stop_gradient(h), h); }

wg_var wg_random_truncation(wg_tape *tape, wg_var key, wg_shape steps, double rate, bool unbiased,
                            wg_dtype dtype)
{
    const wg_type scalar = {dtype, WG_SCALAR};
    if (!tape)
        return wg__invalid();
    if (!(rate >= 0 && rate < 1) || steps.rank != 1 || !wg_dtype_is_float(dtype)) {
        wg__tape_fail(tape, WG_INVALID, "random_truncation: %s",
                      steps.rank != 1            ? "steps must have rank 1, the number of steps"
                      : wg_dtype_is_float(dtype) ? "rate must lie in [0, 1)"
                                                 : "dtype must be f32 or f64");
        return wg__invalid();
    }
    key = wg__materialise(tape, key, WG_I64);
    wg_var kept = wg_random_bernoulli(key, wg_full(tape, scalar, 1 - rate), steps);
    return wg_mul(wg_cast(kept, dtype), wg_f(unbiased ? 1 / (1 - rate) : 1));
}

wg_var wg_gradient_norms(wg_var loss, wg_var probe)
{
    wg_var g = wg_grad1(loss, probe);
    wg_shape shape = wg_typeof(probe).shape;
    wg_axes inner = {2, {2, 3}};
    if (wg_ok(g) && shape.rank != 4) {
        wg__tape_fail(wg_tape_of(probe), WG_SHAPE,
                      "gradient_norms: the probe has rank %d; it must be [layers, steps, batch, "
                      "hidden]",
                      shape.rank);
        return wg__invalid();
    }
    return wg_sqrt(wg_sum_with(wg_square(g), inner, false));
}
