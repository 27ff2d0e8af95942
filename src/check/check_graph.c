/* The graph of a check: the original recorded anew in f64, its inputs and params as leaves. Dtype
 * attributes and constants of f32 become f64, in sub-tapes too; an assign is what it assigns. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "check/checking.h"
#include "tape/init_kinds.h"

static wg_type widened(const wg_type *type)
{
    wg_type wide = *type;
    if (wide.dtype == WG_F32)
        wide.dtype = WG_F64;
    return wide;
}

/* ---- leaves ---------------------------------------------------------------------------------- */

static bool leaf_room(wg__check *c, wg__leaf *l)
{
    l->type = wg_typeof(l->var);
    l->count = (size_t)wg_shape_count(l->type.shape);
    l->x = wg__check_take(c, l->count, sizeof *l->x);
    l->move = wg__check_take(c, l->count, sizeof *l->move);
    if (l->type.dtype != WG_F64)
        l->native = wg__check_take(c, l->count, wg_dtype_size(l->type.dtype));
    if (!l->x || !l->move || (l->type.dtype != WG_F64 && !l->native))
        return false;
    if (wg__vec_push(c->ctx, &c->leaves, *l))
        return true;
    c->status = WG_NO_MEMORY;
    return false;
}

size_t wg__check_leaf(wg__check *c, wg_var of, const char *name)
{
    char text[64];
    wg_type type = wg_typeof(of);
    wg__leaf l = {.origin = WG__NONE, .low = -1, .high = 1};
    l.name = name;
    snprintf(text, sizeof text, "%s %zu of the check", name, c->leaves.len);
    l.var = wg_input(c->tape, text, type.dtype, type.shape);
    if (!wg_ok(l.var)) {
        wg__check_tape_error(c, "input");
        return SIZE_MAX;
    }
    return leaf_room(c, &l) ? c->leaves.len - 1 : SIZE_MAX;
}

static const char *full_name(wg__check *c, const wg_tape *src, uint32_t id)
{
    wg__str s = wg__str_make(c->ctx);
    wg__full_name(src, id, &s);
    char *name = wg__check_take(c, s.len + 1, 1);
    if (name)
        memcpy(name, wg__str_text(&s), s.failed ? 0 : s.len);
    wg__str_free(&s);
    return name;
}

/* The leaf that this one is merged with, or NULL. */
static const wg__leaf *twin_of(wg__check *c, const wg_type *type)
{
    for (size_t i = 0; i < c->leaves.len && c->job->alias && type->dtype == WG_F64; i++)
        if (wg__type_equal(&c->leaves.data[i].type, type))
            return &c->leaves.data[i];
    return NULL;
}

/* Interval of the input number `k` of the original, within that of one it is merged with. */
static void narrow(wg__leaf *l, const wg_op_check *domain, size_t k)
{
    size_t at = k < 3 ? k : 3;
    if (!domain)
        return;
    for (; at > 0 && domain->low[at] == 0 && domain->high[at] == 0;)
        at--;
    double low = domain->low[at], high = domain->high[at];
    if (low == 0 && high == 0)
        return;
    l->low = low > l->low || !l->target ? low : l->low;
    l->high = high < l->high || !l->target ? high : l->high;
}

/* As wg_gradcheck_options.sample says. */
static void narrow_param(wg__leaf *l, const wg_tape *t, uint32_t id)
{
    if (wg__node_at(t, id)->op != WG__OP_PARAM)
        return;
    wg_attrs a = wg__attrs_of(t, id);
    const wg_shape *s = &wg__type_at(t, id)->shape;
    switch (wg__init_find(wg_attrs_string(&a, "init"))) {
    case WG__INIT_ZEROS:
    case WG__INIT_ONES:
    case WG__INIT_CONSTANT:
    case WG__INIT_COUNT:
        return;
    case WG__INIT_UNIFORM:
        l->low = wg_attrs_float(&a, "a");
        l->high = wg_attrs_float(&a, "b");
        return;
    default:
        break;
    }
    if (s->rank < 2 || wg_shape_count(*s) == 0)
        return;
    double ends =
        (double)(s->dim[s->rank - 1] + s->dim[s->rank - 2]); /* times the receptive field */
    for (int i = 0; i < s->rank - 2; i++)
        ends *= (double)s->dim[i];
    l->high = sqrt(6 / ends); /* Glorot and Bengio 2010 */
    l->low = -l->high;
}

static size_t input_number(const wg_tape *t, uint32_t id)
{
    for (size_t i = 0; i < t->inputs.len; i++)
        if (t->inputs.data[i] == id)
            return i;
    return t->inputs.len;
}

static bool is_target(const wg__check *c, const wg_tape *src, uint32_t id, size_t number)
{
    const wg__check_job *j = c->job;
    bool asked = !j->nxs;
    for (size_t i = 0; i < j->nxs && !asked; i++)
        asked = wg__find(src, j->xs[i]) == id;
    bool fixed = j->domain && number < 32 && (j->domain->fixed >> number & 1);
    return asked && !fixed && wg_dtype_is_float(wg__type_at(src, id)->dtype);
}

static uint32_t copy_leaf(wg__check *c, wg__copy *k, uint32_t id)
{
    wg_type type = widened(wg__type_at(k->src, id));
    size_t number = input_number(k->src, id);
    wg__leaf *twin = (wg__leaf *)twin_of(c, &type), l = {.origin = id};
    if (twin) {
        c->job->aliased = true;
        narrow(twin, c->job->domain, number);
        return (uint32_t)twin->var.bits;
    }
    l.name = full_name(c, k->src, id);
    l.low = -2;
    l.high = 2;
    narrow_param(&l, k->src, id);
    narrow(&l, c->job->domain, number);
    l.target = is_target(c, k->src, id, number);
    l.var = wg_input(k->dst, wg_name_of(wg__var(k->src, id)), type.dtype, type.shape);
    return l.name && wg_ok(l.var) && leaf_room(c, &l) ? (uint32_t)l.var.bits : WG__NONE;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static uint32_t copy_const(wg__copy *k, const wg_tensor *from)
{
    wg_type type = widened(&from->type);
    wg_tensor *to = wg_tensor_new(k->dst->ctx, type.dtype, type.shape,
                                  type.dtype == from->type.dtype ? from->data : NULL);
    int64_t n = wg_shape_count(type.shape);
    for (int64_t i = 0; to && type.dtype != from->type.dtype && i < n; i++)
        wg__store(type.dtype, to->data, i, wg__load(from->type.dtype, from->data, i));
    wg_var v = wg__const_tensor(k->dst, to);
    return wg_ok(v) ? (uint32_t)v.bits : WG__NONE;
}

static uint32_t copy_source(wg__check *c, wg__copy *k, uint32_t id)
{
    const wg__node *n = wg__node_at(k->src, id);
    wg_type type = widened(wg__type_at(k->src, id));
    if (n->op == WG__OP_CONST)
        return copy_const(k, k->src->consts.data[n->u.bits]);
    if (n->op == WG__OP_LITERAL)
        return wg__push_source(k->dst, n->op, n->u.bits, 0, &type);
    if (!k->dst->parent)
        return copy_leaf(c, k, id);
    uint32_t input = wg__push_source(k->dst, n->op, 0, 0, &type);
    if (input == WG__NONE || wg__vec_push(c->ctx, &k->dst->inputs, input))
        return input;
    wg__tape_no_memory(k->dst);
    return WG__NONE;
}

static uint32_t copy_fn(void *user, wg__fn *from)
{
    wg__copy *k = user;
    wg__fn *fn = wg__fn_copy(k->dst, from, k);
    uint32_t index = fn ? wg__fn_add(k->dst, fn) : 0;
    wg__fn_unref(fn);
    return index;
}

/* fns: see wg__attrs_replace_fns. */
static bool copy_attrs(wg__copy *k, uint32_t id, wg_attr *attrs, size_t *nattrs, wg_fn **fns)
{
    wg_attrs view = wg__attrs_of(k->src, id);
    *nattrs = wg__attrs_export(&view, attrs);
    for (size_t i = 0; i < *nattrs; i++)
        if (attrs[i].kind == WG_ATTR_DTYPE && attrs[i].v.i == WG_F32)
            attrs[i].v.i = WG_F64;
    return wg__attrs_replace_fns(k->dst, &view, attrs, *nattrs, copy_fn, k, fns);
}

static bool copy_op(wg__check *c, wg__copy *k, uint32_t id)
{
    const wg__node *n = wg__node_at(k->src, id);
    const uint32_t *operands = wg__operands(k->src, n);
    const wg__op *op = wg__op_of(k->src, id);
    wg_attr attrs[WG__MAX_ATTRS];
    size_t nattrs;
    wg_fn *fns = NULL;
    wg_var *vars = wg__calloc(c->ctx, (size_t)n->nin + n->nout + 1, sizeof *vars);
    if (!vars) {
        wg__tape_no_memory(k->dst);
        return false;
    }
    for (uint16_t i = 0; i < n->nin; i++)
        vars[i] = wg__var(k->dst, k->map[operands[i]]);
    if (c->job->from == op)
        op = c->job->to;
    bool good = copy_attrs(k, id, attrs, &nattrs, &fns) &&
                !wg__record(k->dst, op->index, vars, n->nin, attrs, nattrs, vars + n->nin, n->nout);
    for (uint32_t i = 0; i < n->nout && good; i++)
        k->map[id + i] = (uint32_t)vars[n->nin + i].bits;
    wg__free(c->ctx, fns);
    wg__free(c->ctx, vars);
    return good;
}

static bool copy_node(wg__copy *k, uint32_t id)
{
    wg__check *c = k->user;
    const wg__node *n = wg__node_at(k->src, id);
    if (n->op == WG__OP_ASSIGN) {
        k->map[id] = k->map[wg__operands(k->src, n)[1]];
        return true;
    }
    if (!(wg__op_of(k->src, id)->def.flags & WG_OP_SOURCE))
        return copy_op(c, k, id);
    k->map[id] = copy_source(c, k, id);
    return k->map[id] != WG__NONE;
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* Ids on the original of the float outputs, then of the targets asked for. */
static size_t find_roots(wg__check *c, uint32_t *roots)
{
    const wg__check_job *j = c->job;
    size_t n = 0;
    for (size_t i = 0; i < j->nouts + j->nxs; i++) {
        bool out = i < j->nouts;
        wg_var v = out ? j->outs[i] : j->xs[i - j->nouts];
        uint32_t id = wg__find(j->tape, v);
        if (id == WG__NONE || j->tape->parent) {
            wg__check_end(c, WG_CHECK_ERROR, "%s %zu is no value of the tape",
                          out ? "output" : "target", out ? i : i - j->nouts);
            return 0;
        }
        if (!out && wg__node_at(j->tape, id)->op != WG__OP_INPUT &&
            wg__node_at(j->tape, id)->op != WG__OP_PARAM) {
            wg__check_end(c, WG_CHECK_ERROR, "target %zu is neither input nor param", i - j->nouts);
            return 0;
        }
        if (wg_dtype_is_float(wg__type_at(j->tape, id)->dtype)) {
            roots[n++] = id;
            c->nys += out;
        }
    }
    return n;
}

static bool stops_inside(const wg_tape *t, bool body)
{
    for (size_t i = 0; i < t->nodes.len && body; i++)
        if (t->nodes.data[i].op == WG__OP_STOP_GRADIENT)
            return true;
    for (size_t i = 0; i < t->fns.len; i++)
        if (stops_inside(t->fns.data[i].fn->body, true))
            return true;
    return false;
}

/* Copies `roots`; map receives ids of the copy. */
static bool copy_roots(wg__check *c, const uint32_t *roots, size_t n, uint32_t *map, wg_var *ys)
{
    wg__copy k = {.dst = c->tape,
                  .src = c->job->tape,
                  .map = map,
                  .roots = roots,
                  .nroots = n,
                  .rewrite = copy_node,
                  .user = c};
    if (wg__copy_nodes(&k)) {
        wg__check_tape_error(c, "f64 copy");
        return false;
    }
    for (size_t i = 0; i < c->nys; i++)
        ys[i] = wg__var(c->tape, map[roots[i]]);
    return true;
}

/* False when merged operands have no value in common. */
static bool intervals_ok(const wg__check *c)
{
    for (size_t i = 0; i < c->leaves.len; i++)
        if (c->leaves.data[i].low > c->leaves.data[i].high)
            return false;
    return true;
}

/* For the second recording: the leaves stand there already. */
static void map_leaves(const wg__check *c, uint32_t *map)
{
    const wg_tape *src = c->job->tape;
    memset(map, 0xff, (src->nodes.len + 1) * sizeof *map);
    for (uint32_t id = 0; id < src->nodes.len; id++) {
        uint16_t op = wg__node_at(src, id)->op;
        const wg_type type = widened(wg__type_at(src, id));
        for (size_t i = 0; (op == WG__OP_INPUT || op == WG__OP_PARAM) && i < c->leaves.len; i++) {
            const wg__leaf *l = &c->leaves.data[i];
            bool merged = c->job->alias && type.dtype == WG_F64 && wg__type_equal(&l->type, &type);
            if (l->origin == id || merged)
                map[id] = (uint32_t)l->var.bits;
        }
    }
}

bool wg__check_copy(wg__check *c)
{
    size_t most = c->job->nouts + c->job->nxs;
    uint32_t *roots = wg__check_take(c, most, sizeof *roots);
    uint32_t *map = wg__copy_map(c->ctx, c->job->tape);
    bool good = false;
    c->tape = wg_tape_new(c->ctx);
    c->ys = wg__check_take(c, most, sizeof *c->ys);
    c->again = wg__check_take(c, most, sizeof *c->again);
    if (!roots || !map || !c->tape || !c->ys || !c->again) {
        c->status = WG_NO_MEMORY;
        goto done;
    }
    size_t n = find_roots(c, roots);
    if (!n || !c->nys || !copy_roots(c, roots, n, map, c->ys))
        goto done;
    map_leaves(c, map);
    good = copy_roots(c, roots, n, map, c->again) && intervals_ok(c);
    c->end = (uint32_t)c->tape->nodes.len;
    c->blind = good && stops_inside(c->tape, false);
    if (c->blind)
        wg__check_end(c, WG_CHECK_PASSED,
                      "stop_gradient in a sub-tape: VJP against JVP, no differences");
done:
    wg__free(c->ctx, map);
    return good;
}
