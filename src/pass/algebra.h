/* Algebraic rules: how a rule looks at a node and what it may answer.
 *
 * A rule never records. It looks at one node, whose operands are on `v->t`, and answers with an
 * expression over values of that tape: one of them as it is, or steps of a small plan. So the same
 * rule tells whether there is anything to do, before anything is copied, and what to record. Included
 * by algebra*.c only. */
#ifndef WG_PASS_ALGEBRA_H
#define WG_PASS_ALGEBRA_H

#include "pass/pass.h"

/* The ops that rules name. */
/* clang-format off */
#define WG__ALGEBRA_OPS(X)                                                                         \
    X(abs) X(add) X(all) X(any) X(broadcast) X(cast) X(concat) X(div) X(equal) X(exp) X(isfinite)  \
    X(log) X(logical_and) X(logical_not) X(logical_or) X(matmul) X(max) X(maximum) X(min)          \
    X(minimum) X(mul) X(mul0) X(neg) X(not_equal) X(place) X(pow) X(prod) X(reciprocal) X(reshape) \
    X(reverse) X(section) X(slice) X(square) X(stop_gradient) X(sub) X(sum) X(transpose)           \
    X(unslice) X(where)
typedef enum wg__name {
#define NAME(op) WG__AT_##op,
    WG__ALGEBRA_OPS(NAME)
#undef NAME
    WG__AT_NODE,        /* the op of the node itself */
    WG__AT_ELEMENTWISE, /* in the table: any elementwise op; in a plan: the node's, with its attributes */
    WG__AT_COUNT
} wg__name;
/* clang-format on */

/* MAX_PARTS: operands of a concat that rules look at, and of one in a plan. */
enum {
    WG__MAX_PARTS = 64,
    WG__MAX_STEPS = WG__MAX_PARTS + 2,
    WG__MAX_ARGS = 3,
    WG__MAX_STEP_ATTRS = 3
};

/* A value: an id, or the result of a step of the plan; or none. */
typedef struct wg__ref {
    enum { WG__NO_REF, WG__VALUE, WG__STEP } kind;
    uint32_t at;
} wg__ref;

typedef struct wg__plan_step {
    const wg__op *op; /* NULL: a literal */
    double literal;
    wg_dtype dtype;
    wg__ref in[WG__MAX_ARGS];
    bool joins; /* a concat: its operands are v->parts in place of `in` */
    size_t nin, nattrs;
    wg_attr attrs[WG__MAX_STEP_ATTRS];
    int64_t ints[WG_MAX_RANK]; /* what an attribute may point to */
    bool same_attrs;           /* those of the node in place of `attrs` */
} wg__plan_step;

/* One node, as a rule sees it. */
typedef struct wg__seen {
    const wg_tape *t;
    const wg__op *op;
    const uint32_t *in;
    size_t nin;
    wg_attrs attrs;
    const wg_type *type;
    const wg__op *const *ops; /* by wg__name */
    wg__plan_step steps[WG__MAX_STEPS];
    size_t nsteps;
    wg__ref parts[WG__MAX_PARTS];
    size_t nparts;
} wg__seen;

typedef wg__ref (*wg__rule_fn)(wg__seen *v);
typedef struct wg__algebra_rule {
    const char *name;
    wg__name op;
    wg__rule_fn rule;
    const char *help;
} wg__algebra_rule;
extern const wg__algebra_rule wg__arith_rules[], wg__choice_rules[], wg__shape_rules[],
    wg__join_rules[];
extern const size_t wg__arith_rule_count, wg__choice_rule_count, wg__shape_rule_count,
    wg__join_rule_count;

/* ---- looking --------------------------------------------------------------------------------- */

static inline const wg_type *type_of(const wg__seen *v, uint32_t id)
{
    return wg__type_at(v->t, id);
}

static inline bool is(const wg__seen *v, uint32_t id, wg__name op)
{
    return wg__node_at(v->t, id)->op == v->ops[op]->index;
}

static inline uint32_t arg(const wg__seen *v, uint32_t id, size_t k)
{
    return wg__operands(v->t, wg__node_at(v->t, id))[k];
}

/* Whether a value is the number `f`, in all its elements. */
static inline bool is_number(const wg__seen *v, uint32_t id, double f)
{
    double value;
    if (is(v, id, WG__AT_broadcast))
        id = arg(v, id, 0);
    return wg__literal_known(v->t, id, &value) && value == f;
}

static inline bool has_type(const wg__seen *v, uint32_t id)
{
    return wg__type_equal(type_of(v, id), v->type);
}

/* ---- answering ---------------------------------------------------------------------------------- */

static inline wg__ref no_ref(void) { return (wg__ref){WG__NO_REF, 0}; }
static inline wg__ref value(uint32_t id) { return (wg__ref){WG__VALUE, id}; }
/* The next step of the plan. */
wg__ref wg__plan_apply(wg__seen *v, wg__name op, wg__ref a, wg__ref b, wg__ref c);
static inline wg__ref apply1(wg__seen *v, wg__name op, wg__ref a)
{
    return wg__plan_apply(v, op, a, no_ref(), no_ref());
}
static inline wg__ref apply2(wg__seen *v, wg__name op, wg__ref a, wg__ref b)
{
    return wg__plan_apply(v, op, a, b, no_ref());
}
/* The concat of v->parts along an axis. */
wg__ref wg__plan_join(wg__seen *v, int axis);
/* The step with an attribute. */
wg__ref wg__plan_with(wg__seen *v, wg__ref step, wg_attr attr);
/* A literal of rank 0. */
wg__ref wg__plan_number(wg__seen *v, double f);
/* A value of shape `shape` and the node's dtype, brought to the node's shape. */
wg__ref wg__plan_fit(wg__seen *v, wg__ref x, const wg_shape *shape);
/* A value of the tape, brought to the node's shape. */
wg__ref wg__plan_fit_value(wg__seen *v, uint32_t id);

#endif
