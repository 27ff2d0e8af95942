/* Copying graphs: between tapes, into place (inlining), at other sizes, through rewriting rules.
 * Passes, wg_inline, wg_tape_resize, wg_value and derivative rules of sub-tapes all stand on it. */
#include <string.h>

#include "tape/infer.h"

uint32_t *wg__copy_map(wg_ctx *ctx, const wg_tape *src)
{
    uint32_t *map = wg__alloc(ctx, (src->nodes.len + 1) * sizeof *map);
    if (map)
        memset(map, 0xff, (src->nodes.len + 1) * sizeof *map);
    return map;
}

/* ---- the order ------------------------------------------------------------------------------------ */

/* Marks what the roots need, in one backward sweep. */
static void mark_needed(const wg__copy *c, bool *needed)
{
    for (size_t i = 0; i < c->nroots; i++)
        needed[wg__head(c->src, c->roots[i])] = true;
    for (size_t id = c->src->nodes.len; id-- > 0;) {
        const wg__node *n = wg__node_at(c->src, (uint32_t)id);
        if (n->out)
            continue;
        needed[id] |= c->all;
        if (!needed[id] || c->map[id] != WG__NONE)
            continue;
        const uint32_t *in = wg__operands(c->src, n);
        for (uint16_t k = 0; k < n->nin; k++)
            needed[wg__head(c->src, in[k])] = true;
    }
}

typedef struct frame {
    uint32_t id, next; /* the operand to visit next */
} frame;

/* Appends the nodes below `root` to `order`, operands first. done marks those already there. */
static void visit(const wg__copy *c, uint32_t root, bool *done, uint32_t *order, size_t *n,
                  frame *stack)
{
    size_t top = 0;
    root = wg__head(c->src, root);
    if (done[root] || c->map[root] != WG__NONE)
        return;
    done[root] = true;
    stack[top++] = (frame){root, 0};
    while (top) {
        frame *f = &stack[top - 1];
        const wg__node *node = wg__node_at(c->src, f->id);
        if (f->next == node->nin) {
            order[(*n)++] = f->id;
            top--;
            continue;
        }
        uint32_t in = wg__head(c->src, wg__operands(c->src, node)[f->next++]);
        if (!done[in] && c->map[in] == WG__NONE) {
            done[in] = true;
            stack[top++] = (frame){in, 0};
        }
    }
}

/* Fills `order` with the heads to copy; returns how many, or SIZE_MAX when memory is out. */
static size_t make_order(const wg__copy *c, uint32_t *order)
{
    wg_ctx *ctx = c->dst->ctx;
    size_t n = 0, len = c->src->nodes.len;
    bool *seen = wg__calloc(ctx, len + 1, sizeof *seen);
    frame *stack = c->depth_first ? wg__calloc(ctx, len + 1, sizeof *stack) : NULL;
    if (!seen || (c->depth_first && !stack)) {
        n = SIZE_MAX;
    } else if (c->depth_first) {
        for (size_t i = 0; i < c->nroots; i++)
            visit(c, c->roots[i], seen, order, &n, stack);
    } else {
        mark_needed(c, seen);
        for (size_t id = 0; id < len; id++)
            if (seen[id] && c->map[id] == WG__NONE)
                order[n++] = (uint32_t)id;
    }
    wg__free(ctx, seen);
    wg__free(ctx, stack);
    return n;
}

/* ---- one node ------------------------------------------------------------------------------------- */

static bool resize_shape(wg__copy *c, wg_shape *shape)
{
    for (int i = 0; c->resize && i < shape->rank; i++)
        if (shape->symbol[i] &&
            !wg__symbol_eval(c->dst->ctx, shape->symbol[i], c->resize, c->user, &shape->dim[i])) {
            wg__tape_fail(c->dst, WG_SHAPE, "a dimension cannot be evaluated");
            return false;
        }
    return true;
}

/* Bodies that were copied, with their copies: nodes that share a body, at any level, go on sharing. */
typedef struct wg__copied {
    wg__pool from; /* address of a wg__fn; id - 1 is the index in `to` */
    WG__VEC(wg__fn *) to;
} wg__copied;

static void copied_free(wg_ctx *ctx, wg__copied *copied)
{
    for (size_t i = 0; i < copied->to.len; i++)
        wg__fn_unref(copied->to.data[i]);
    wg__vec_free(ctx, &copied->to);
    wg__pool_free(&copied->from);
}

/* The copy of `fn`, held by c->copied; NULL after an error. */
static wg__fn *copy_fn(wg__copy *c, wg__fn *fn)
{
    wg__copied *m = c->copied;
    wg_ctx *ctx = c->dst->ctx;
    uint32_t id = wg__pool_find(&m->from, &fn, sizeof(wg__fn *));
    if (id)
        return m->to.data[id - 1];
    wg__fn *copy = wg__fn_copy(c->dst, fn, c);
    if (copy && wg__vec_reserve(ctx, &m->to, 1) &&
        wg__pool_intern(&m->from, &fn, sizeof(wg__fn *))) {
        wg__vec_push(ctx, &m->to, copy);
        return copy;
    }
    wg__fn_unref(copy);
    wg__tape_no_memory(c->dst);
    return NULL;
}

/* The fn of `fn_index` of src as an index of dst's table; 0 after an error. */
static uint32_t import_fn(wg__copy *c, uint32_t fn_index)
{
    wg__fn *fn = c->src->fns.data[fn_index - 1].fn;
    if (c->src->root != c->dst->root || c->rewrite || c->resize)
        fn = copy_fn(c, fn);
    return fn ? wg__fn_add(c->dst, fn) : 0;
}

/* The node's attributes on dst; false after an error. */
static bool import_attrs(wg__copy *c, uint32_t id, int rank0, uint32_t *out)
{
    wg_attrs view = wg__attrs_of(c->src, id);
    *out = 0;
    if (!view.slots)
        return true;
    wg_attr attrs[WG__MAX_ATTRS];
    size_t n = wg__attrs_export(&view, attrs);
    bool plain = !c->resize;
    for (size_t i = 0; i < n; i++)
        plain = plain && view.slots[i].kind != WG_ATTR_FN;
    if (plain) {
        *out = wg__pool_intern(&c->dst->attrs, view.slots, view.size);
        if (!*out)
            wg__tape_no_memory(c->dst);
        return *out != 0;
    }
    for (size_t i = 0; i < n; i++)
        if (attrs[i].kind == WG_ATTR_FN) {
            uint32_t fn = import_fn(c, (uint32_t)view.slots[i].v.i);
            if (!fn)
                return false;
            attrs[i].v.fn = wg__fn_handle(c->dst, fn);
        } else if (attrs[i].kind == WG_ATTR_SHAPE && !resize_shape(c, &attrs[i].v.shape)) {
            return false;
        }
    return wg__attrs_build(c->dst, view.op, attrs, n, rank0, out);
}

static bool enter_lists(wg_tape *t, uint16_t op, uint32_t id)
{
    if (op == WG__OP_INPUT)
        return wg__vec_push(t->ctx, &t->inputs, id);
    if (op == WG__OP_PARAM)
        return wg__vec_push(t->ctx, &t->params, id);
    return true;
}

static uint32_t copy_source(wg__copy *c, uint32_t id)
{
    const wg__node *n = wg__node_at(c->src, id);
    wg_type type = *wg__type_at(c->src, id);
    uint32_t attrs;
    if (!resize_shape(c, &type.shape))
        return WG__NONE;
    if (n->op == WG__OP_CONST) {
        const wg_tensor *from = c->src->consts.data[n->u.bits];
        wg_var v = wg__const_tensor(
            c->dst, wg_tensor_new(c->dst->ctx, type.dtype, from->type.shape, from->data));
        return wg_ok(v) ? (uint32_t)v.bits : WG__NONE;
    }
    if (!import_attrs(c, id, -1, &attrs))
        return WG__NONE;
    uint32_t copy = wg__push_source(c->dst, n->op, n->u.bits, attrs, &type);
    if (copy != WG__NONE && !enter_lists(c->dst, n->op, copy)) {
        wg__tape_no_memory(c->dst);
        return WG__NONE;
    }
    return copy;
}

/* What inference gives at the new sizes must be what the symbols say: shape attributes recorded in
 * other nodes were evaluated from them. (They part where a clipped bound changed its meaning.) */
static bool sizes_hold(wg__copy *c, uint16_t op, const wg__inferred *inferred)
{
    for (size_t i = 0; i < inferred->nout; i++) {
        wg_shape want = inferred->types[i].shape;
        if (!resize_shape(c, &want))
            return false;
        if (!wg_shape_equal(want, inferred->types[i].shape)) {
            wg__tape_fail(c->dst, WG_SHAPE,
                          "%s: a dimension does not follow its symbol at these sizes",
                          wg__op_at(c->dst->ctx, op)->name);
            return false;
        }
    }
    return true;
}

static uint32_t push_inferred(wg__copy *c, uint16_t op, const uint32_t *in, size_t nin,
                              uint32_t attrs)
{
    const wg_type *few[WG__INLINE_TYPES] = {NULL}, **types = few;
    uint32_t id = WG__NONE;
    if (nin > WG__INLINE_TYPES && !(types = wg__calloc(c->dst->ctx, nin, sizeof *types))) {
        wg__tape_no_memory(c->dst);
        return id;
    }
    for (size_t i = 0; i < nin; i++)
        types[i] = wg__type_at(c->dst, in[i]);
    wg__inferred inferred;
    if (!wg__infer(c->dst, wg__op_at(c->dst->ctx, op), in, types, nin, attrs, &inferred)) {
        if (sizes_hold(c, op, &inferred))
            id = wg__push(c->dst, op, in, nin, inferred.attrs, inferred.types, inferred.nout);
        wg__inferred_free(c->dst, &inferred);
    }
    if (types != few)
        wg__free(c->dst->ctx, types);
    return id;
}

static uint32_t push_known(wg__copy *c, uint32_t id, const uint32_t *in, uint32_t attrs)
{
    const wg__node *n = wg__node_at(c->src, id);
    if (n->nout == 1)
        return wg__push(c->dst, n->op, in, n->nin, attrs, wg__type_at(c->src, id), 1);
    wg_type *types = wg__calloc(c->dst->ctx, n->nout, sizeof *types);
    if (!types) {
        wg__tape_no_memory(c->dst);
        return WG__NONE;
    }
    for (uint32_t k = 0; k < n->nout; k++)
        types[k] = *wg__type_at(c->src, id + k);
    uint32_t copy = wg__push(c->dst, n->op, in, n->nin, attrs, types, n->nout);
    wg__free(c->dst->ctx, types);
    return copy;
}

static uint32_t copy_op(wg__copy *c, uint32_t id)
{
    const wg__node *n = wg__node_at(c->src, id);
    const uint32_t *from = wg__operands(c->src, n);
    uint32_t few[WG__INLINE_TYPES], *in = few, copy = WG__NONE, attrs;
    if (n->nin > WG__INLINE_TYPES && !(in = wg__calloc(c->dst->ctx, n->nin, sizeof *in))) {
        wg__tape_no_memory(c->dst);
        return copy;
    }
    for (uint16_t k = 0; k < n->nin; k++)
        in[k] = c->map[from[k]];
    int rank0 = n->nin ? wg__type_at(c->dst, in[0])->shape.rank : -1;
    if (import_attrs(c, id, rank0, &attrs))
        copy =
            c->resize ? push_inferred(c, n->op, in, n->nin, attrs) : push_known(c, id, in, attrs);
    if (in != few)
        wg__free(c->dst->ctx, in);
    return copy;
}

static bool copy_names(wg__copy *c, uint32_t id)
{
    const wg__node *n = wg__node_at(c->src, id);
    for (uint32_t k = 0; k < n->nout; k++) {
        uint32_t name = wg__node_at(c->src, id + k)->name;
        uint32_t to = c->map[id + k];
        if (name && !wg__node_at(c->dst, to)->name) {
            uint32_t string = wg__intern_string(c->dst, wg__text(c->src, name));
            if (!string)
                return false;
            c->dst->nodes.data[to].name = string;
        }
    }
    return true;
}

/* Copies, or rewrites, one node under its own scope and origin. */
static bool copy_node(wg__copy *c, uint32_t id)
{
    wg_tape *dst = c->dst;
    const wg__node *n = wg__node_at(c->src, id);
    uint32_t scope = dst->scope, origin = dst->origin;
    uint32_t import = wg__scope_import(dst, c->src, n->scope);
    if (n->scope && !import)
        return false;
    dst->scope = import;
    uint32_t from = n->origin ? c->map[n->origin - 1] : WG__NONE;
    if (from != WG__NONE)
        dst->origin = from + 1;
    bool good = true;
    if (!c->rewrite || !c->rewrite(c, id)) {
        bool source = wg__op_of(c->src, id)->def.flags & WG_OP_SOURCE;
        uint32_t copy = wg_tape_status(dst) ? WG__NONE
                        : source            ? copy_source(c, id)
                                            : copy_op(c, id);
        good = copy != WG__NONE;
        for (uint32_t k = 0; good && k < n->nout; k++)
            c->map[id + k] = copy + k;
    }
    dst->scope = scope;
    dst->origin = origin;
    return good && copy_names(c, id);
}

static bool copy_in_order(wg__copy *c)
{
    wg_ctx *ctx = c->dst->ctx;
    uint32_t *order = wg__alloc(ctx, (c->src->nodes.len + 1) * sizeof *order);
    size_t n = order ? make_order(c, order) : SIZE_MAX;
    bool good = n != SIZE_MAX;
    if (!good)
        wg__tape_no_memory(c->dst);
    for (size_t i = 0; good && i < n; i++)
        good = copy_node(c, order[i]);
    wg__free(ctx, order);
    return good;
}

wg_status wg__copy_nodes(wg__copy *c)
{
    wg_ctx *ctx = c->dst->ctx;
    wg__copied own;
    bool outermost = !c->copied;
    if (outermost) {
        memset(&own, 0, sizeof own);
        wg__pool_init(&own.from, ctx);
        c->copied = &own;
    }
    bool good = copy_in_order(c);
    if (outermost) {
        copied_free(ctx, &own);
        c->copied = NULL;
    }
    return good ? WG_OK : wg_tape_status(c->dst) ? wg_tape_status(c->dst) : WG_INTERNAL;
}

/* ---- whole bodies --------------------------------------------------------------------------------- */

wg__fn *wg__fn_copy(wg_tape *parent, const wg__fn *fn, const wg__copy *rules)
{
    wg_ctx *ctx = parent->ctx;
    const wg_tape *src = fn->body;
    size_t nroots = src->inputs.len + fn->nouts;
    wg__copy c = *rules;
    wg__fn *copy = wg__calloc(ctx, 1, sizeof *copy);
    uint32_t *roots = wg__calloc(ctx, nroots + 1, sizeof *roots);
    uint32_t *outs = wg__calloc(ctx, fn->nouts + 1, sizeof *outs);
    c.dst = wg__tape_new_sub(parent, ctx, src->name);
    c.src = src;
    c.map = wg__copy_map(ctx, src);
    c.roots = roots;
    c.nroots = nroots;
    if (!copy || !roots || !outs || !c.dst || !c.map) {
        wg__tape_no_memory(parent);
        goto failed;
    }
    for (size_t i = 0; i < nroots; i++) /* inputs first: a body's interface is never dead */
        roots[i] = i < src->inputs.len ? src->inputs.data[i] : fn->outs[i - src->inputs.len];
    if (wg__copy_nodes(&c))
        goto failed;
    for (uint32_t i = 0; i < fn->nouts; i++)
        outs[i] = c.map[fn->outs[i]];
    wg__free(ctx, c.map);
    wg__free(ctx, roots);
    c.dst->closed = true;
    atomic_init(&copy->refs, 1);
    copy->body = c.dst;
    copy->outs = outs;
    copy->nouts = fn->nouts;
    return copy;
failed:
    wg__tape_destroy(c.dst);
    wg__free(ctx, c.map);
    wg__free(ctx, outs);
    wg__free(ctx, roots);
    wg__free(ctx, copy);
    return NULL;
}

static wg_status check_operands(wg_tape *t, const wg__fn *f, const wg_var *ins, size_t nins,
                                const bool *used)
{
    const char *name = f->body->name ? f->body->name : "";
    if (nins != f->body->inputs.len)
        return wg__tape_fail(t, WG_INVALID, "inline: \"%s\" takes %zu operands, not %zu", name,
                             f->body->inputs.len, nins);
    for (size_t i = 0; i < nins; i++) {
        uint32_t input = f->body->inputs.data[i];
        wg_type type = wg_typeof(ins[i]);
        if ((used[i] || !wg_is_none(ins[i])) && !wg__type_equal(&type, wg__type_at(f->body, input)))
            return wg__tape_fail(t, WG_SHAPE,
                                 "inline: operand %zu has another type than input \"%s\" of \"%s\"",
                                 i, wg__text(f->body, wg__node_at(f->body, input)->name), name);
    }
    return WG_OK;
}

wg_status wg__inline_fn(wg_tape *t, const wg__fn *f, const wg_var *ins, size_t nins, wg_var *outs,
                        size_t max_outs)
{
    wg__copy c = {
        t,    f->body, wg__copy_map(t->ctx, f->body), f->outs, f->nouts, false, false, NULL, NULL,
        NULL, NULL};
    bool *used = wg__calloc(t->ctx, f->body->inputs.len + 1, sizeof *used);
    wg_status status = c.map && used && !wg__fn_uses(f, used) ? WG_OK : wg__tape_no_memory(t);
    if (!status)
        status = check_operands(t, f, ins, nins, used);
    for (size_t i = 0; !status && i < nins; i++) {
        if (wg_is_none(ins[i]))
            continue;
        uint32_t id = wg__resolve(t, ins[i], "inline");
        c.map[f->body->inputs.data[i]] = id;
        status = id == WG__NONE ? WG_INVALID : WG_OK;
    }
    if (!status)
        status = wg__copy_nodes(&c);
    for (size_t i = 0; i < max_outs; i++)
        outs[i] = status || i >= f->nouts ? wg__invalid() : wg__var(t, c.map[f->outs[i]]);
    wg__free(t->ctx, c.map);
    wg__free(t->ctx, used);
    return status;
}

wg_status wg_inline(wg_tape *t, wg_fn fn, const wg_var *ins, size_t nins, wg_var *outs,
                    size_t max_outs)
{
    wg__fn *f = wg__fn_get(fn);
    if (f && t && f->body->ctx != t->ctx)
        f = NULL;
    size_t n = f ? f->body->inputs.len : 0;
    wg_var *all = t && f ? wg__calloc(t->ctx, nins + n + 1, sizeof *all) : NULL;
    if (!all) {
        for (size_t i = 0; i < max_outs; i++)
            outs[i] = wg__invalid();
        return f && t
                   ? wg__tape_no_memory(t)
                   : wg__tape_fail(t, WG_STALE,
                                   "inline: the sub-tape is invalid, stale or of another context");
    }
    for (size_t i = 0; i < nins; i++)
        all[i] =
            wg__is_literal(ins[i]) && i < n
                ? wg__materialise(t, ins[i], wg__type_at(f->body, f->body->inputs.data[i])->dtype)
                : ins[i];
    size_t ncap = nins < n ? wg_fn_captures(fn, n, all + nins) : 0;
    wg_status status = wg__inline_fn(t, f, all, nins + ncap, outs, max_outs);
    wg__free(t->ctx, all);
    return status;
}
