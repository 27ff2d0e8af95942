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

/* An fn of src as an index of dst's table; 0 after an error. */
static uint32_t import_fn(void *user, wg__fn *fn)
{
    wg__copy *c = user;
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
        plain = plain && !wg__is_fn_kind(view.slots[i].kind);
    if (plain) {
        *out = wg__pool_intern(&c->dst->attrs, view.slots, view.size);
        if (!*out)
            wg__tape_no_memory(c->dst);
        return *out != 0;
    }
    wg_fn *fns;
    bool good = wg__attrs_replace_fns(c->dst, &view, attrs, n, import_fn, c, &fns);
    for (size_t i = 0; i < n && good; i++)
        good = attrs[i].kind != WG_ATTR_SHAPE || resize_shape(c, &attrs[i].v.shape);
    good = good && wg__attrs_build(c->dst, view.op, attrs, n, rank0, out);
    wg__free(c->dst->ctx, fns);
    return good;
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
        if (name && to != WG__NONE && !wg__node_at(c->dst, to)->name) {
            uint32_t string = wg__intern_string(c->dst, wg__text(c->src, name));
            if (!string)
                return false;
            c->dst->nodes.data[to].name = string;
        }
    }
    return true;
}

/* ---- what nodes share ----------------------------------------------------------------------------- */

/* Interned things of src on dst, brought over once each: by id there (0: not yet). */
typedef struct imports {
    uint32_t *types, *attrs, *strings, *scopes, *memory;
} imports;

static bool imports_make(imports *m, const wg__copy *c)
{
    const wg_tape *src = c->src;
    size_t types = src->types.entries.len + 1, attrs = src->attrs.entries.len + 1,
           strings = src->strings.entries.len + 1, scopes = src->scopes.entries.len + 1;
    m->memory = wg__calloc(c->dst->ctx, types + attrs + strings + scopes, sizeof *m->memory);
    m->types = m->memory;
    m->attrs = m->types + types;
    m->strings = m->attrs + attrs;
    m->scopes = m->strings + strings;
    return m->memory != NULL;
}

static uint32_t scope_of(wg__copy *c, imports *m, uint32_t scope)
{
    if (!scope)
        return c->dst->scope;
    if (!m->scopes[scope])
        m->scopes[scope] = wg__scope_import(c->dst, c->src, scope);
    return m->scopes[scope];
}

static uint32_t type_of(wg__copy *c, imports *m, uint32_t id)
{
    uint32_t *to = &m->types[wg__node_at(c->src, id)->type];
    if (!*to)
        *to = wg__intern_type(c->dst, wg__type_at(c->src, id));
    return *to;
}

static uint32_t string_of(wg__copy *c, imports *m, uint32_t name)
{
    if (name && !m->strings[name])
        m->strings[name] = wg__intern_string(c->dst, wg__text(c->src, name));
    return m->strings[name];
}

/* Attributes `from` of node `id`, which mean the same on any tape; false: they hold a sub-tape, or
 * after an error. */
static bool attrs_of(wg__copy *c, imports *m, uint32_t id, uint32_t from, uint32_t *to)
{
    *to = m->attrs[from];
    if (*to || !from)
        return true;
    if (wg__runs_fns(wg__op_of(c->src, id)) || !import_attrs(c, id, -1, to))
        return false;
    m->attrs[from] = *to;
    return true;
}

/* The usual case, without a look at what the node is: entry by entry. False: it is another case. */
static bool copy_plain(wg__copy *c, imports *m, uint32_t id)
{
    wg_tape *dst = c->dst;
    wg__node n = *wg__node_at(c->src, id);
    const bool listed = n.op == WG__OP_INPUT || n.op == WG__OP_PARAM || n.op == WG__OP_CONST;
    if (c->resize || dst->closed || listed || dst->nodes.len + n.nout >= WG__NONE ||
        dst->operands.len + n.nin >= WG__NONE || !attrs_of(c, m, id, n.attrs, &n.attrs) ||
        !wg__vec_reserve(dst->ctx, &dst->nodes, n.nout) ||
        (n.nin > 2 && !wg__vec_reserve(dst->ctx, &dst->operands, n.nin)))
        return false;
    const uint32_t *from = wg__operands(c->src, wg__node_at(c->src, id));
    uint32_t *in = n.u.in;
    if (n.nin > 2) {
        n.u.offset = (uint32_t)dst->operands.len;
        in = dst->operands.data + dst->operands.len;
        dst->operands.len += n.nin;
    }
    for (uint16_t k = 0; k < n.nin; k++)
        in[k] = c->map[from[k]];
    n.scope = dst->scope;
    n.origin = dst->origin;
    n.gen = dst->gen;
    const uint32_t to = (uint32_t)dst->nodes.len;
    for (n.out = 0; n.out < n.nout; n.out++) {
        const uint32_t name = wg__node_at(c->src, id + n.out)->name;
        n.type = type_of(c, m, id + n.out);
        n.name = string_of(c, m, name);
        if (!n.type || (name && !n.name)) {
            dst->nodes.len = to;
            return false; /* the slow way tells */
        }
        dst->nodes.data[dst->nodes.len++] = n;
        c->map[id + n.out] = to + n.out;
    }
    return true;
}

/* Copies, or rewrites, one node under its own scope and origin. */
static bool copy_node(wg__copy *c, imports *m, uint32_t id)
{
    wg_tape *dst = c->dst;
    const wg__node *n = wg__node_at(c->src, id);
    uint32_t scope = dst->scope, origin = dst->origin;
    uint32_t import = scope_of(c, m, n->scope);
    if (n->scope && !import)
        return false;
    dst->scope = import;
    uint32_t from = n->origin ? c->map[n->origin - 1] : WG__NONE;
    if (from != WG__NONE)
        dst->origin = from + 1;
    bool rewritten = c->rewrite && c->rewrite(c, id), good = true;
    bool plain = !rewritten && !wg_tape_status(dst) && copy_plain(c, m, id);
    if (!rewritten && !plain) {
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
    return good && (plain || copy_names(c, id));
}

/* ---- the order ------------------------------------------------------------------------------------ */

/* Marks what is to be copied, in one backward sweep. */
static void mark_needed(const wg__copy *c, bool *needed)
{
    for (size_t i = 0; i < c->nroots; i++)
        needed[wg__head(c->src, c->roots[i])] = true;
    for (size_t id = c->src->nodes.len; id-- > 0;) {
        const wg__node *n = wg__node_at(c->src, (uint32_t)id);
        if (n->out)
            continue;
        needed[id] = (needed[id] || c->all) && c->map[id] == WG__NONE;
        if (!needed[id])
            continue;
        const uint32_t *in = wg__operands(c->src, n);
        for (uint16_t k = 0; k < n->nin; k++)
            needed[wg__head(c->src, in[k])] = true;
    }
}

typedef struct frame {
    uint32_t id, next; /* the operand to visit next */
} frame;

typedef WG__VEC(frame) frames;

/* Copies what is below `root`, operands first. done marks what is copied or on the stack. */
static bool visit(wg__copy *c, imports *m, uint32_t root, bool *done, frames *stack)
{
    wg_ctx *ctx = c->dst->ctx;
    root = wg__head(c->src, root);
    if (done[root] || c->map[root] != WG__NONE)
        return true;
    done[root] = true;
    if (!wg__vec_push(ctx, stack, ((frame){root, 0})))
        return wg__tape_no_memory(c->dst), false;
    while (stack->len) {
        frame *f = &stack->data[stack->len - 1];
        const wg__node *node = wg__node_at(c->src, f->id);
        if (f->next == node->nin) {
            if (!copy_node(c, m, f->id))
                return false;
            stack->len--;
            continue;
        }
        uint32_t in = wg__head(c->src, wg__operands(c->src, node)[f->next++]);
        if (done[in] || c->map[in] != WG__NONE)
            continue;
        done[in] = true;
        if (!wg__vec_push(ctx, stack, ((frame){in, 0})))
            return wg__tape_no_memory(c->dst), false;
    }
    return true;
}

static bool copy_depth_first(wg__copy *c, imports *m, bool *done)
{
    frames stack = {NULL, 0, 0};
    bool good = true;
    for (size_t i = 0; good && i < c->nroots; i++)
        good = visit(c, m, c->roots[i], done, &stack);
    wg__vec_free(c->dst->ctx, &stack);
    return good;
}

static bool copy_ascending(wg__copy *c, imports *m, bool *needed)
{
    bool good = true;
    mark_needed(c, needed);
    for (size_t id = 0, len = c->src->nodes.len; good && id < len; id++)
        good = !needed[id] || copy_node(c, m, (uint32_t)id);
    return good;
}

static bool copy_in_order(wg__copy *c)
{
    wg_ctx *ctx = c->dst->ctx;
    imports m;
    bool *seen = wg__calloc(ctx, c->src->nodes.len + 1, sizeof *seen);
    bool good = imports_make(&m, c) && seen;
    if (!good)
        wg__tape_no_memory(c->dst);
    else
        good = c->depth_first ? copy_depth_first(c, &m, seen) : copy_ascending(c, &m, seen);
    wg__free(ctx, seen);
    wg__free(ctx, m.memory);
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
