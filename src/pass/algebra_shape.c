/* The rules of algebra that are about shapes: views of views, broadcasts that come too early,
 * reductions of nothing. */
#include <string.h>

#include "pass/algebra.h"

/* ---- views ------------------------------------------------------------------------------------------ */

static wg__ref reshaped(wg__seen *v, wg__ref x)
{
    return wg__plan_with(v, apply1(v, WG__AT_reshape, x), wg_attr_shape("shape", v->type->shape));
}

/* A reshape, broadcast, slice or section that changes nothing. */
static wg__ref same_shape(wg__seen *v)
{
    return has_type(v, v->in[0]) ? value(v->in[0]) : no_ref();
}

static wg__ref reshape_reshape(wg__seen *v)
{
    return is(v, v->in[0], WG__AT_reshape) ? reshaped(v, value(arg(v, v->in[0], 0))) : no_ref();
}

static bool same_order(const int64_t *perm, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (perm[i] != (int64_t)i)
            return false;
    return true;
}

static const int64_t *perm_of(const wg__seen *v, uint32_t id, size_t *n)
{
    wg_attrs a = wg__attrs_of(v->t, id);
    return wg_attrs_ints(&a, "perm", n);
}

/* Whether the axes of size other than 1 stay in order. */
static bool moves_nothing(const int64_t *perm, size_t n, const wg_shape *x)
{
    int64_t last = -1;
    for (size_t i = 0; i < n; i++) {
        if (x->dim[perm[i]] == 1)
            continue;
        if (perm[i] < last)
            return false;
        last = perm[i];
    }
    return true;
}

static wg__ref transpose_one(wg__seen *v)
{
    size_t n;
    const int64_t *perm = wg_attrs_ints(&v->attrs, "perm", &n);
    if (same_order(perm, n))
        return value(v->in[0]);
    return moves_nothing(perm, n, &type_of(v, v->in[0])->shape) ? reshaped(v, value(v->in[0]))
                                                                : no_ref();
}

static wg__ref transpose_transpose(wg__seen *v)
{
    size_t n;
    if (!is(v, v->in[0], WG__AT_transpose))
        return no_ref();
    const int64_t *outer = wg_attrs_ints(&v->attrs, "perm", &n), *inner = perm_of(v, v->in[0], &n);
    int64_t perm[WG_MAX_RANK];
    for (size_t i = 0; i < n; i++)
        perm[i] = inner[outer[i]];
    if (same_order(perm, n))
        return value(arg(v, v->in[0], 0));
    wg__ref r = apply1(v, WG__AT_transpose, value(arg(v, v->in[0], 0)));
    memcpy(v->steps[r.at].ints, perm, sizeof perm);
    return wg__plan_with(v, r, wg_attr_ints("perm", v->steps[r.at].ints, n));
}

/* What a broadcast of `id` may start from instead: below other broadcasts, and below reshapes that
 * only put axes of size 1 in front. */
static uint32_t origin_of(const wg__seen *v, uint32_t id)
{
    for (;;) {
        if (!is(v, id, WG__AT_broadcast) && !is(v, id, WG__AT_reshape))
            return id;
        const wg_shape *y = &type_of(v, id)->shape, *x = &type_of(v, arg(v, id, 0))->shape;
        int lead = y->rank - x->rank;
        if (!is(v, id, WG__AT_broadcast)) {
            for (int i = 0; i < lead; i++)
                if (y->dim[i] != 1)
                    return id;
            if (lead < 0 || memcmp(y->dim + lead, x->dim, (size_t)x->rank * sizeof *x->dim))
                return id;
        }
        id = arg(v, id, 0);
    }
}

static wg__ref broadcast_early(wg__seen *v)
{
    uint32_t x = origin_of(v, v->in[0]);
    return x == v->in[0] ? no_ref() : wg__plan_fit_value(v, x);
}

/* A view of one element repeated is the element repeated. */
static wg__ref view_of_fill(wg__seen *v)
{
    uint32_t x = v->in[0];
    if (!is(v, x, WG__AT_broadcast))
        return no_ref();
    x = origin_of(v, x);
    if (wg_shape_count(type_of(v, x)->shape) != 1)
        return no_ref();
    if (type_of(v, x)->shape.rank <= v->type->shape.rank)
        return wg__plan_fit_value(v, x);
    static const wg_shape scalar = {0};
    wg__ref one =
        wg__plan_with(v, apply1(v, WG__AT_reshape, value(x)), wg_attr_shape("shape", scalar));
    return wg__plan_fit(v, one, &scalar);
}

/* ---- broadcasts before elementwise ops --------------------------------------------------------------- */

/* Operands are spread by the op itself; what is the same for many elements is computed once and
 * spread afterwards. */
static wg__ref spread_late(wg__seen *v)
{
    uint32_t in[WG__MAX_ARGS];
    bool any = false;
    if (v->nin > WG__MAX_ARGS)
        return no_ref();
    for (size_t k = 0; k < v->nin; k++) {
        in[k] = is(v, v->in[k], WG__AT_broadcast) ? origin_of(v, v->in[k]) : v->in[k];
        any = any || in[k] != v->in[k];
    }
    if (!any)
        return no_ref();
    wg_shape shape = type_of(v, in[0])->shape;
    for (size_t k = 1; k < v->nin; k++)
        if (!wg_shape_broadcast(shape, type_of(v, in[k])->shape, &shape))
            return no_ref();
    wg__ref r =
        wg__plan_apply(v, WG__AT_ELEMENTWISE, value(in[0]), v->nin > 1 ? value(in[1]) : no_ref(),
                       v->nin > 2 ? value(in[2]) : no_ref());
    return wg__plan_fit(v, r, &shape);
}

/* How many trailing axes two shapes have in common. */
static int common_axes(const wg_shape *a, const wg_shape *b)
{
    int n = 0;
    while (n < a->rank && n < b->rank && a->dim[a->rank - 1 - n] == b->dim[b->rank - 1 - n])
        n++;
    return n;
}

/* Whether a value of shape `x` broadcasts to `y` along its last `n` axes alone. */
static bool is_trailing(const wg_shape *x, const wg_shape *y, int n)
{
    if (x->rank > y->rank)
        return false;
    for (int i = 0; i < x->rank - n; i++)
        if (x->dim[i] != 1)
            return false;
    return true;
}

/* A matrix product, or an elementwise op, which may have been one of its epilogue. */
static bool goes_on_with_product(const wg__seen *v, uint32_t id)
{
    return wg__op_of(v->t, id)->def.flags & (WG_OP_CONTRACT | WG_OP_ELEMENTWISE);
}

/* What is a reshape of the node's shape, and of a computed value; *from is that value. */
static bool is_reshaped(const wg__seen *v, uint32_t id, uint32_t *from)
{
    if (!is(v, id, WG__AT_reshape) || !wg_shape_equal(type_of(v, id)->shape, v->type->shape))
        return false;
    *from = arg(v, id, 0);
    return goes_on_with_product(v, *from);
}

/* The products of all steps of a sequence are one product, of rows that are reshaped to steps: what
 * is added to them is part of the product when the reshape comes afterwards. */
static wg__ref reshape_late(wg__seen *v)
{
    uint32_t in[WG__MAX_ARGS] = {0}, from;
    const wg_shape *s = NULL;
    if (v->nin > WG__MAX_ARGS)
        return no_ref();
    for (size_t k = 0; k < v->nin && !s; k++)
        s = is_reshaped(v, v->in[k], &from) ? &type_of(v, from)->shape : NULL;
    if (!s || wg_shape_equal(*s, v->type->shape))
        return no_ref();
    const int common = common_axes(s, &v->type->shape);
    for (size_t k = 0; k < v->nin; k++) {
        in[k] = v->in[k];
        if (is_reshaped(v, in[k], &from) && wg_shape_equal(type_of(v, from)->shape, *s))
            in[k] = from;
        else if (!is_trailing(&type_of(v, in[k])->shape, s, common))
            return no_ref();
    }
    return reshaped(v, wg__plan_apply(v, WG__AT_ELEMENTWISE, value(in[0]),
                                      v->nin > 1 ? value(in[1]) : no_ref(),
                                      v->nin > 2 ? value(in[2]) : no_ref()));
}

/* ---- reductions and products ---------------------------------------------------------------------------- */

/* Over axes of size 1 alone, or none: nothing is added up. */
static wg__ref reduce_nothing(wg__seen *v)
{
    wg_axes axes = wg_attrs_axes(&v->attrs, "axes");
    const wg_shape *x = &type_of(v, v->in[0])->shape;
    for (int32_t i = 0; i < axes.count; i++)
        if (x->dim[axes.axis[i]] != 1)
            return no_ref();
    return has_type(v, v->in[0]) ? value(v->in[0]) : reshaped(v, value(v->in[0]));
}

/* sum(-x) = -sum(x): rounding is symmetric. */
static wg__ref sum_neg(wg__seen *v)
{
    if (!is(v, v->in[0], WG__AT_neg))
        return no_ref();
    wg__ref sum = apply1(v, WG__AT_sum, value(arg(v, v->in[0], 0)));
    sum = wg__plan_with(v, sum, wg_attr_axes("axes", wg_attrs_axes(&v->attrs, "axes")));
    sum = wg__plan_with(v, sum, wg_attr_bool("keepdims", wg_attrs_bool(&v->attrs, "keepdims")));
    return apply1(v, WG__AT_neg, sum);
}

/* The reduced axes of size other than 1 from `from` on; *to: the axis after the last of them. */
static wg_axes reduced_run(const wg_shape *x, const bool *reduced, int from, int *to)
{
    wg_axes run = {0};
    for (*to = from; *to < x->rank && (reduced[*to] || x->dim[*to] == 1); ++*to)
        if (reduced[*to])
            run.axis[run.count++] = *to;
    return run;
}

static bool any_longer(const wg_shape *x, const wg_axes *axes)
{
    for (int32_t i = 0; i < axes->count; i++)
        if (x->dim[axes->axis[i]] != 1)
            return true;
    return false;
}

static wg__ref reduced_over(wg__seen *v, wg__ref x, const wg_axes *axes)
{
    wg__ref y = wg__plan_apply(v, WG__AT_NODE, x, no_ref(), no_ref());
    y = wg__plan_with(v, y, wg_attr_axes("axes", *axes));
    return wg__plan_with(v, y, wg_attr_bool("keepdims", wg_attrs_bool(&v->attrs, "keepdims")));
}

/* Over leading and trailing axes with others between them, such as [0, 2, 3] of NCHW: first over the
 * trailing ones, then over the leading ones. Each is a sweep that fuses. */
static wg__ref reduce_in_two(wg__seen *v)
{
    const wg_axes axes = wg_attrs_axes(&v->attrs, "axes");
    const wg_shape *x = &type_of(v, v->in[0])->shape;
    bool reduced[WG_MAX_RANK] = {false};
    for (int32_t i = 0; i < axes.count; i++)
        reduced[axes.axis[i]] = true;
    int at;
    const wg_axes lead = reduced_run(x, reduced, 0, &at);
    while (at < x->rank && !reduced[at])
        at++;
    const wg_axes trail = reduced_run(x, reduced, at, &at);
    if (at < x->rank || !any_longer(x, &lead) || !any_longer(x, &trail))
        return no_ref();
    return reduced_over(v, reduced_over(v, value(v->in[0]), &trail), &lead);
}

/* Whether a value is a transpose of the last two axes alone. */
static bool swaps_last(const wg__seen *v, uint32_t id)
{
    size_t n;
    if (!is(v, id, WG__AT_transpose))
        return false;
    const int64_t *perm = perm_of(v, id, &n);
    return n >= 2 && same_order(perm, n - 2) && perm[n - 1] == (int64_t)n - 2;
}

static wg__ref matmul_transpose(wg__seen *v)
{
    const bool sa = swaps_last(v, v->in[0]), sb = swaps_last(v, v->in[1]);
    if (!sa && !sb)
        return no_ref();
    const bool ta = wg_attrs_bool(&v->attrs, "transpose_a");
    const bool tb = wg_attrs_bool(&v->attrs, "transpose_b");
    wg__ref y = apply2(v, WG__AT_matmul, value(sa ? arg(v, v->in[0], 0) : v->in[0]),
                       value(sb ? arg(v, v->in[1], 0) : v->in[1]));
    y = wg__plan_with(v, y, wg_attr_bool("transpose_a", ta != sa));
    return wg__plan_with(v, y, wg_attr_bool("transpose_b", tb != sb));
}

/* ---- the table --------------------------------------------------------------------------------------------- */

/* clang-format off */
const wg__algebra_rule wg__shape_rules[] = {
    {"reshape-same",    WG__AT_reshape,   same_shape,      "a reshape to the same shape"},
    {"reshape-reshape", WG__AT_reshape,   reshape_reshape, "reshape(reshape(x)) = reshape(x)"},
    {"reshape-fill",    WG__AT_reshape,   view_of_fill,    "a reshape of one element repeated"},
    {"broadcast-same",  WG__AT_broadcast, same_shape,      "a broadcast to the same shape"},
    {"broadcast-early", WG__AT_broadcast, broadcast_early, "broadcast(broadcast(x)) = broadcast(x)"},
    {"slice-same",      WG__AT_slice,     same_shape,      "a slice of everything"},
    {"slice-fill",      WG__AT_slice,     view_of_fill,    "a slice of one element repeated"},
    {"section-same",    WG__AT_section,   same_shape,      "a section of everything"},
    {"section-fill",    WG__AT_section,   view_of_fill,    "a section of one element repeated"},
    {"reverse-fill",    WG__AT_reverse,   view_of_fill,    "one element repeated, reversed"},
    {"transpose-same",  WG__AT_transpose, transpose_one,   "a transpose of axes of size 1"},
    {"transpose-twice", WG__AT_transpose, transpose_transpose, "transpose(transpose(x)) is one transpose"},
    {"transpose-fill",  WG__AT_transpose, view_of_fill,    "one element repeated, transposed"},
    {"spread-late",     WG__AT_ELEMENTWISE, spread_late,   "f(broadcast(x), y) = f(x, y), f(broadcast(x)) = broadcast(f(x))"},
    {"reshape-late",    WG__AT_ELEMENTWISE, reshape_late,  "f(reshape(x), y) = reshape(f(x, y)) behind a product, y along axes that stay"},
    {"sum-nothing",     WG__AT_sum,       reduce_nothing,  "a sum over axes of size 1"},
    {"max-nothing",     WG__AT_max,       reduce_nothing,  "a maximum over axes of size 1"},
    {"min-nothing",     WG__AT_min,       reduce_nothing,  "a minimum over axes of size 1"},
    {"prod-nothing",    WG__AT_prod,      reduce_nothing,  "a product over axes of size 1"},
    {"sum-two",        WG__AT_sum,       reduce_in_two,   "over leading axes and trailing ones: one after the other; rounds"},
    {"max-two",        WG__AT_max,       reduce_in_two,   "over leading axes and trailing ones: one after the other"},
    {"min-two",        WG__AT_min,       reduce_in_two,   "over leading axes and trailing ones: one after the other"},
    {"prod-two",       WG__AT_prod,      reduce_in_two,   "over leading axes and trailing ones: one after the other; rounds"},
    {"any-two",        WG__AT_any,       reduce_in_two,   "over leading axes and trailing ones: one after the other"},
    {"all-two",        WG__AT_all,       reduce_in_two,   "over leading axes and trailing ones: one after the other"},
    {"sum-neg",         WG__AT_sum,       sum_neg,         "sum(-x) = -sum(x)"},
    {"matmul-transpose",WG__AT_matmul,    matmul_transpose,"a transpose that becomes a flag of matmul"},
};
/* clang-format on */
const size_t wg__shape_rule_count = sizeof wg__shape_rules / sizeof *wg__shape_rules;
