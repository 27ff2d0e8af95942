/* algebra: a table of rules, tried on every node in the order of the table; the first that answers
 * replaces the node. Results stay the same to the bit, but for the sign of zero and where a row says
 * that it rounds.
 *
 * A rule sees operands that have been simplified already, so that a chain collapses in one sweep. A
 * sweep over the graph as it is comes first: where no rule answers, nothing is copied. */
#include <string.h>

#include "pass/algebra.h"

/* ---- plans ----------------------------------------------------------------------------------------- */

wg__ref wg__plan_apply(wg__seen *v, wg__name op, wg__ref a, wg__ref b, wg__ref c)
{
    if (v->nsteps == WG__MAX_STEPS)
        return no_ref();
    wg__plan_step *s = &v->steps[v->nsteps];
    memset(s, 0, sizeof *s);
    s->op = op >= WG__AT_NODE ? v->op : v->ops[op];
    s->same_attrs = op == WG__AT_ELEMENTWISE;
    const wg__ref in[WG__MAX_ARGS] = {a, b, c};
    for (; s->nin < WG__MAX_ARGS && in[s->nin].kind != WG__NO_REF; s->nin++)
        s->in[s->nin] = in[s->nin];
    return (wg__ref){WG__STEP, (uint32_t)v->nsteps++};
}

wg__ref wg__plan_join(wg__seen *v, int axis)
{
    wg__ref step = wg__plan_apply(v, WG__AT_concat, no_ref(), no_ref(), no_ref());
    if (step.kind == WG__STEP) {
        v->steps[step.at].joins = true;
        v->steps[step.at].nin = v->nparts;
    }
    return wg__plan_with(v, step, wg_attr_axis("axis", axis));
}

wg__ref wg__plan_with(wg__seen *v, wg__ref step, wg_attr attr)
{
    if (step.kind == WG__STEP) {
        wg__plan_step *s = &v->steps[step.at];
        s->attrs[s->nattrs++] = attr;
    }
    return step;
}

wg__ref wg__plan_number(wg__seen *v, double f)
{
    wg__ref step = wg__plan_apply(v, WG__AT_neg, no_ref(), no_ref(), no_ref());
    if (step.kind == WG__STEP) {
        wg__plan_step *s = &v->steps[step.at];
        s->op = NULL;
        s->literal = f;
        s->dtype = v->type->dtype;
    }
    return step;
}

wg__ref wg__plan_fit(wg__seen *v, wg__ref x, const wg_shape *shape)
{
    if (x.kind == WG__NO_REF || wg_shape_equal(*shape, v->type->shape))
        return x;
    return wg__plan_with(v, apply1(v, WG__AT_broadcast, x), wg_attr_shape("shape", v->type->shape));
}

wg__ref wg__plan_fit_value(wg__seen *v, uint32_t id)
{
    return wg__plan_fit(v, value(id), &type_of(v, id)->shape);
}

/* ---- the table, in four parts ------------------------------------------------------------------------- */

static size_t rule_count(void)
{
    return wg__arith_rule_count + wg__choice_rule_count + wg__shape_rule_count +
           wg__join_rule_count;
}

static const wg__algebra_rule *rule_at(size_t i)
{
    if (i < wg__arith_rule_count)
        return &wg__arith_rules[i];
    i -= wg__arith_rule_count;
    if (i < wg__choice_rule_count)
        return &wg__choice_rules[i];
    i -= wg__choice_rule_count;
    return i < wg__shape_rule_count ? &wg__shape_rules[i]
                                    : &wg__join_rules[i - wg__shape_rule_count];
}

const char *wg__algebra_rule_name(size_t index)
{
    return index < rule_count() ? rule_at(index)->name : NULL;
}

/* ---- trying ------------------------------------------------------------------------------------------ */

enum { MAX_RULES = 96 };

typedef struct algebra {
    const wg__op *ops[WG__AT_COUNT];
    size_t count[MAX_RULES]; /* how often each rule was used */
    size_t nrules;
    /* Rules by op, as lists: 1 + the first of op number i is first[i], the one after rule k next[k]. */
    uint16_t *first;
    size_t nops;
    uint16_t next[MAX_RULES], any; /* any: the first for all elementwise ops */
} algebra;

static bool algebra_make(algebra *a, wg_ctx *ctx)
{
    static const char *const names[] = {
#define NAME(op) #op,
        WG__ALGEBRA_OPS(NAME)
#undef NAME
    };
    memset(a, 0, sizeof *a);
    for (size_t i = 0; i < WG__AT_NODE; i++)
        a->ops[i] = wg__op_find(ctx, names[i]);
    a->nops = wg_op_count(ctx);
    a->nrules = rule_count();
    a->first = wg__calloc(ctx, a->nops, sizeof *a->first);
    for (size_t i = a->first ? a->nrules : 0; i-- > 0;) {
        wg__name op = rule_at(i)->op;
        uint16_t *head = op == WG__AT_ELEMENTWISE ? &a->any : &a->first[a->ops[op]->index];
        a->next[i] = *head;
        *head = (uint16_t)(i + 1);
    }
    return a->first != NULL;
}

static wg__ref try_list(const algebra *a, wg__seen *v, uint16_t head, size_t *rule)
{
    wg__ref r = no_ref();
    for (; head && r.kind == WG__NO_REF; head = a->next[head - 1]) {
        v->nsteps = 0;
        *rule = head - 1u;
        r = rule_at(*rule)->rule(v);
    }
    return r;
}

/* The answer of the first rule that has one. */
static wg__ref try_rules(const algebra *a, wg__seen *v, size_t *rule)
{
    wg__ref r = no_ref();
    if (!wg__is_pure(v->op))
        return r;
    if (v->op->index < a->nops)
        r = try_list(a, v, a->first[v->op->index], rule);
    if (r.kind == WG__NO_REF && (v->op->def.flags & WG_OP_ELEMENTWISE))
        r = try_list(a, v, a->any, rule);
    return r;
}

static void see(const algebra *a, wg__seen *v, const wg_tape *t, const wg_tape *src, uint32_t id,
                const uint32_t *in)
{
    v->t = t;
    v->op = wg__op_of(src, id);
    v->in = in;
    v->nin = wg__node_at(src, id)->nin;
    v->attrs = wg__attrs_of(src, id);
    v->type = wg__type_at(src, id);
    v->ops = a->ops;
    v->nsteps = 0;
}

static bool any_answer(const algebra *a, const wg_tape *t)
{
    wg__seen v;
    size_t rule;
    for (uint32_t id = 0; id < t->nodes.len; id++) {
        const wg__node *n = wg__node_at(t, id);
        if (!(n->op < a->nops && a->first[n->op]) &&
            !(a->any && (wg__op_of(t, id)->def.flags & WG_OP_ELEMENTWISE)))
            continue;
        see(a, &v, t, t, id, wg__operands(t, n));
        if (try_rules(a, &v, &rule).kind != WG__NO_REF)
            return true;
    }
    return false;
}

/* ---- recording ------------------------------------------------------------------------------------------ */

static wg_var record_step(wg_tape *t, const wg__seen *v, const wg__plan_step *s, const wg_var *made)
{
    const wg__ref *from = s->joins ? v->parts : s->in;
    wg_var in[WG__MAX_PARTS], out;
    wg_attr all[WG__MAX_ATTRS];
    size_t nattrs = s->nattrs;
    if (!s->op)
        return wg__materialise(t, wg_f(s->literal), s->dtype);
    for (size_t k = 0; k < s->nin; k++)
        in[k] = from[k].kind == WG__STEP ? made[from[k].at] : wg__var(t, from[k].at);
    if (s->same_attrs)
        nattrs = v->attrs.slots ? wg__attrs_export(&v->attrs, all) : 0;
    wg__record(t, s->op->index, in, s->nin, s->same_attrs ? all : s->attrs, nattrs, &out, 1);
    return out;
}

/* The id of an answer on t; WG__NONE after an error. */
static uint32_t record(wg_tape *t, const wg__seen *v, wg__ref r)
{
    wg_var made[WG__MAX_STEPS];
    for (size_t i = 0; i < v->nsteps; i++) {
        made[i] = record_step(t, v, &v->steps[i], made);
        if (!wg_ok(made[i]))
            return WG__NONE;
    }
    return r.kind == WG__STEP ? (uint32_t)made[r.at].bits : r.at;
}

static bool simplify(wg__copy *c, uint32_t id)
{
    algebra *a = c->user;
    const wg__node *n = wg__node_at(c->src, id);
    uint32_t in[WG__MAX_PARTS];
    if (n->nout != 1 || n->nin == 0 || n->nin > sizeof in / sizeof *in || wg_tape_status(c->dst))
        return false;
    for (uint16_t k = 0; k < n->nin; k++)
        in[k] = c->map[wg__operands(c->src, n)[k]];
    wg__seen v;
    size_t rule = 0;
    see(a, &v, c->dst, c->src, id, in);
    wg__ref r = try_rules(a, &v, &rule);
    uint32_t to = r.kind == WG__NO_REF ? WG__NONE : record(c->dst, &v, r);
    if (to == WG__NONE)
        return false;
    if (!wg__type_equal(wg__type_at(c->dst, to), v.type)) {
        wg__tape_fail(c->dst, WG_INTERNAL, "algebra: rule %s changes the type",
                      rule_at(rule)->name);
        return false;
    }
    a->count[rule]++;
    c->map[id] = to;
    return true;
}

/* ---- the pass --------------------------------------------------------------------------------------------- */

static void tell(wg__graph *g, const algebra *a)
{
    for (size_t i = 0; i < a->nrules; i++)
        if (a->count[i])
            wg__graph_note(g, "algebra", "%s: %zu (%s)", rule_at(i)->name, a->count[i],
                           rule_at(i)->help);
}

wg_status wg__pass_algebra(wg__graph *g)
{
    algebra a;
    wg__pool bodies;
    wg__pool_init(&bodies, g->ctx);
    bool good = algebra_make(&a, g->ctx) && wg__bodies_find(&bodies, g->tape), found = false;
    for (size_t i = 0; good && !found && i < bodies.entries.len; i++)
        found = any_answer(&a, wg__bodies_at(&bodies, i));
    wg__pool_free(&bodies);
    wg_status status = good ? WG_OK : wg__tape_no_memory(g->report);
    if (!status && found)
        status = wg__graph_rewrite(g, simplify, &a, false);
    if (!status)
        tell(g, &a);
    wg__free(g->ctx, a.first);
    return status;
}
