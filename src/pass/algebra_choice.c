/* The rules of algebra that are about choices, conditions, casts, and exponentials that have been
 * computed already. */
#include <math.h>
#include <string.h>

#include "pass/algebra.h"

/* ---- rules: choices, conditions, casts ------------------------------------------------------------ */

static wg__ref where_same(wg__seen *v)
{
    return v->in[1] == v->in[2] ? wg__plan_fit_value(v, v->in[1]) : no_ref();
}

static wg__ref where_known(wg__seen *v)
{
    const wg__node *n = wg__node_at(v->t, v->in[0]);
    return n->op == WG__OP_LITERAL ? wg__plan_fit_value(v, v->in[n->u.i ? 1 : 2]) : no_ref();
}

static wg__ref where_not(wg__seen *v)
{
    if (!is(v, v->in[0], WG__AT_logical_not))
        return no_ref();
    return wg__plan_apply(v, WG__AT_where, value(arg(v, v->in[0], 0)), value(v->in[2]),
                          value(v->in[1]));
}

static bool spans(const wg__seen *v, const uint32_t in[3])
{
    wg_shape s = type_of(v, in[0])->shape;
    return wg_shape_broadcast(s, type_of(v, in[1])->shape, &s) &&
           wg_shape_broadcast(s, type_of(v, in[2])->shape, &s) && wg_shape_equal(s, v->type->shape);
}

/* where(c, where(c, a, b), d) = where(c, a, d), and in the other branch likewise. */
static wg__ref where_where(wg__seen *v)
{
    for (size_t k = 1; k < 3; k++) {
        uint32_t in[3] = {v->in[0], v->in[1], v->in[2]};
        if (!is(v, in[k], WG__AT_where) || arg(v, in[k], 0) != in[0])
            continue;
        in[k] = arg(v, in[k], k);
        if (spans(v, in))
            return wg__plan_apply(v, WG__AT_where, value(in[0]), value(in[1]), value(in[2]));
    }
    return no_ref();
}

static wg__ref not_not(wg__seen *v)
{
    uint32_t x = v->in[0];
    if (is(v, x, WG__AT_logical_not))
        return value(arg(v, x, 0));
    if (is(v, x, WG__AT_equal))
        return apply2(v, WG__AT_not_equal, value(arg(v, x, 0)), value(arg(v, x, 1)));
    if (is(v, x, WG__AT_not_equal))
        return apply2(v, WG__AT_equal, value(arg(v, x, 0)), value(arg(v, x, 1)));
    return no_ref();
}

/* Whether every value of `from` is one of `to`. */
static bool holds(wg_dtype from, wg_dtype to)
{
    return from == to || from == WG_BOOL || (from == WG_I32 && (to == WG_I64 || to == WG_F64)) ||
           (from == WG_F32 && to == WG_F64);
}

static wg__ref cast_cast(wg__seen *v)
{
    uint32_t x = v->in[0];
    if (type_of(v, x)->dtype == v->type->dtype)
        return value(x);
    if (!is(v, x, WG__AT_cast) || !holds(type_of(v, arg(v, x, 0))->dtype, type_of(v, x)->dtype))
        return no_ref();
    x = arg(v, x, 0);
    if (type_of(v, x)->dtype == v->type->dtype)
        return value(x);
    return wg__plan_with(v, apply1(v, WG__AT_cast, value(x)),
                         wg_attr_dtype("dtype", v->type->dtype));
}

static wg__ref identity(wg__seen *v) { return value(v->in[0]); }

static wg__ref with_itself(wg__seen *v)
{
    return v->in[0] == v->in[1] ? value(v->in[0]) : no_ref();
}

/* ---- rules: exponentials ---------------------------------------------------------------------------- */

/* Whether `m` is the greatest of x over the axes that `s` sums over. */
static bool is_top(const wg__seen *v, uint32_t m, uint32_t x, uint32_t s)
{
    if (!is(v, m, WG__AT_max) || arg(v, m, 0) != x)
        return false;
    const wg_attrs a = wg__attrs_of(v->t, m), b = wg__attrs_of(v->t, s);
    const wg_axes of = wg_attrs_axes(&a, "axes"), over = wg_attrs_axes(&b, "axes");
    return wg_attrs_bool(&a, "keepdims") && of.count == over.count &&
           !memcmp(of.axis, over.axis, (size_t)of.count * sizeof *of.axis);
}

/* Whether `t` is the greatest of x, or 0 where that is infinite or NaN: what `lower` subtracts. */
static bool is_safe_top(const wg__seen *v, uint32_t t, uint32_t x, uint32_t s)
{
    if (is(v, t, WG__AT_where) && is_number(v, arg(v, t, 2), 0) &&
        is(v, arg(v, t, 0), WG__AT_isfinite) && arg(v, arg(v, t, 0), 0) == arg(v, t, 1))
        t = arg(v, t, 1);
    return is_top(v, t, x, s);
}

/* Whether `s` is a sum of e = exp(x - t), with the reduced axes kept. Only where t is the greatest x
 * does no exp overflow, nor all of them vanish: elsewhere the rules below would not hold. */
static bool is_sum_exp(const wg__seen *v, uint32_t s, uint32_t *e)
{
    wg_attrs a = wg__attrs_of(v->t, s);
    if (!is(v, s, WG__AT_sum) || !wg_attrs_bool(&a, "keepdims"))
        return false;
    *e = arg(v, s, 0);
    return is(v, *e, WG__AT_exp) && has_type(v, *e) && is(v, arg(v, *e, 0), WG__AT_sub);
}

/* exp(d - log(s)) with s = sum(exp(d)), d = x - max(x): softmax from what log_softmax has computed. */
static wg__ref exp_log_sum(wg__seen *v)
{
    uint32_t q = v->in[0], e;
    if (!is(v, q, WG__AT_sub) || !is(v, arg(v, q, 1), WG__AT_log))
        return no_ref();
    uint32_t s = arg(v, arg(v, q, 1), 0), d = arg(v, q, 0);
    if (!is_sum_exp(v, s, &e) || arg(v, e, 0) != d || !is_top(v, arg(v, d, 1), arg(v, d, 0), s))
        return no_ref();
    return apply2(v, WG__AT_div, value(e), value(s));
}

/* exp(x - y) with y = t + log(s), s = sum(exp(x - t)), where y = -inf stands for 0: the shares of
 * logsumexp from what it has computed. Where all x are -inf, s is 0 and so are the shares. */
static wg__ref exp_logsumexp(wg__seen *v)
{
    uint32_t q = v->in[0], e;
    if (!is(v, q, WG__AT_sub) || !is(v, arg(v, q, 1), WG__AT_where))
        return no_ref();
    uint32_t w = arg(v, q, 1), c = arg(v, w, 0), y = arg(v, w, 2), x = arg(v, q, 0);
    if (!is_number(v, arg(v, w, 1), 0) || !is(v, c, WG__AT_equal) || arg(v, c, 0) != y ||
        !is_number(v, arg(v, c, 1), -INFINITY) || !is(v, y, WG__AT_add) ||
        !is(v, arg(v, y, 1), WG__AT_log))
        return no_ref();
    uint32_t t = arg(v, y, 0), s = arg(v, arg(v, y, 1), 0);
    if (!is_sum_exp(v, s, &e) || arg(v, arg(v, e, 0), 0) != x || arg(v, arg(v, e, 0), 1) != t ||
        !is_safe_top(v, t, x, s))
        return no_ref();
    wg__ref none = apply2(v, WG__AT_equal, value(s), wg__plan_number(v, 0));
    wg__ref one = wg__plan_number(v, 1);
    return apply2(v, WG__AT_div, value(e), wg__plan_apply(v, WG__AT_where, none, one, value(s)));
}

/* ---- the table ----------------------------------------------------------------------------------------- */

/* clang-format off */
const wg__algebra_rule wg__choice_rules[] = {
    {"exp-log-sum",   WG__AT_exp,    exp_log_sum,     "exp(d - log(sum(exp(d)))) = exp(d) / sum(exp(d)) of d = x - max(x); rounds"},
    {"exp-logsumexp", WG__AT_exp,    exp_logsumexp,   "exp(x - logsumexp(x)) from the exp in logsumexp; rounds"},
    {"maximum-same",  WG__AT_maximum,with_itself,     "maximum(x, x) = x"},
    {"minimum-same",  WG__AT_minimum,with_itself,     "minimum(x, x) = x"},
    {"and-same",      WG__AT_logical_and, with_itself,"c and c = c"},
    {"or-same",       WG__AT_logical_or,  with_itself,"c or c = c"},
    {"not-not",       WG__AT_logical_not, not_not,    "not not c = c, not x = y is x != y"},
    {"where-same",    WG__AT_where,  where_same,      "where(c, x, x) = x"},
    {"where-known",   WG__AT_where,  where_known,     "where(true, x, y) = x"},
    {"where-not",     WG__AT_where,  where_not,       "where(not c, x, y) = where(c, y, x)"},
    {"where-where",   WG__AT_where,  where_where,     "where(c, where(c, x, y), z) = where(c, x, z)"},
    {"cast",          WG__AT_cast,   cast_cast,       "a cast to its own dtype, or after one that loses nothing"},
    {"stop",          WG__AT_stop_gradient, identity, "stop_gradient(x) = x once gradients are recorded"},
};
/* clang-format on */
const size_t wg__choice_rule_count = sizeof wg__choice_rules / sizeof *wg__choice_rules;
