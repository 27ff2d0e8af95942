/* What the rules of ops that run a sub-tape share. Included by families in ops/ only. */
#ifndef WG_OPS_SUBTAPE_H
#define WG_OPS_SUBTAPE_H

#include "tape/op.h"
#include <wengert/control.h>
#include <wengert/grad.h>
#include <wengert/ops.h>

static inline bool same_type(wg_type a, wg_type b)
{
    return a.dtype == b.dtype && wg_shape_equal(a.shape, b.shape);
}

static inline wg_var zeros_like(wg_tape *t, wg_var v) { return wg_full(t, wg_typeof(v), 0); }

/* A formal input of the type of `v`. */
static inline wg_var input_like(wg_tape *body, const char *name, wg_type type)
{
    return wg_fn_input(body, name, type.dtype, type.shape);
}

#endif
