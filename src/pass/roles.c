/* Roles: what each node is to the vm: an alias, elementwise, a reduction, or something that only
 * the op's own kernel does. KERNEL operands and roots must be dense: the views among them are
 * marked and become copies, which changes what is made from them, so that rounds repeat until no mark
 * is new (there are two, rarely three). */
#include "pass/roles.h"

const wg__layout *wg__layout_of(const wg__clusters *c, uint32_t id, wg__layout *room)
{
    if (c->view[id])
        return &c->views.data[c->view[id] - 1];
    *room = (wg__layout){id, wg__dense_strides(wg__type_at(c->tape, id))};
    return room;
}

const wg__layout *wg__read_layout(const wg__clusters *c, uint32_t id, size_t k, wg__layout *room)
{
    wg__layout of;
    const uint32_t in = wg__operands(c->tape, wg__node_at(c->tape, id))[k];
    if (c->role[id] == WG__COPY && wg__layout_make(c->tape, id, wg__layout_of(c, in, &of), room))
        return room;
    return wg__layout_of(c, in, room);
}

wg__fold wg__fold_kind(const wg_tape *t, uint32_t id, int *k)
{
    const wg_shape *x = &wg__type_at(t, wg__operands(t, wg__node_at(t, id))[0])->shape;
    wg_attrs attrs = wg__attrs_of(t, id);
    wg_axes axes = wg_attrs_axes(&attrs, "axes");
    bool gone[WG_MAX_RANK] = {false};
    int at[WG_MAX_RANK], reduced = 0, turns = 0;
    for (int32_t i = 0; i < axes.count; i++)
        gone[axes.axis[i]] = true;
    wg_shape space = wg__squeeze(x, at);
    for (int i = 0; i < space.rank; i++) {
        reduced += gone[at[i]];
        turns += i > 0 && gone[at[i]] != gone[at[i - 1]];
    }
    *k = 0;
    if (reduced == 0)
        return WG__FOLD_NONE;
    if (reduced == space.rank)
        return WG__FOLD_ALL;
    if (turns > 1)
        return WG__FOLD_MIDDLE;
    bool trailing = gone[at[space.rank - 1]];
    *k = trailing ? reduced : space.rank - reduced;
    return trailing ? WG__FOLD_TRAILING : WG__FOLD_LEADING;
}

const wg_shape *wg__operand_shape(const wg__clusters *c, uint32_t id, size_t k)
{
    const uint32_t *in = wg__operands(c->tape, wg__node_at(c->tape, id));
    bool own = c->role[id] == WG__FOLD || c->role[id] == WG__PICK || c->role[id] == WG__TAKE ||
               c->role[id] == WG__TIMES || c->role[id] == WG__RUN;
    return &wg__type_at(c->tape, own ? in[k] : id)->shape;
}

const wg_shape *wg__read_shape(const wg__clusters *c, uint32_t id)
{
    bool first = c->role[id] == WG__FOLD || c->role[id] == WG__PICK;
    return first ? wg__operand_shape(c, id, 0) : &wg__type_at(c->tape, id)->shape;
}

/* ---- marks --------------------------------------------------------------------------------------- */

static void set_mark(wg__finder *r, uint32_t id)
{
    r->again |= !r->marked[id];
    r->marked[id] = true;
}

/* Value `id` must be dense in memory. */
static void need_dense(wg__finder *r, uint32_t id)
{
    const uint32_t base = wg__base_of(r->c, id);
    wg__layout room;
    if (base != id && !wg__layout_dense(wg__type_at(r->t, id), &wg__layout_of(r->c, id, &room)->s))
        set_mark(r, id);
    else if (r->c->role[base] == WG__INDEX)
        set_mark(r, base);
}

/* Value `id` may lie by any strides, but in memory. */
static void need_memory(wg__finder *r, uint32_t id)
{
    uint32_t base = wg__base_of(r->c, id);
    if (r->c->role[base] == WG__INDEX)
        set_mark(r, base);
}

/* An iota read over `over` must count along one axis of it; elsewise it is computed. */
static void check_index(wg__finder *r, const wg__layout *l, const wg_type *type,
                        const wg_shape *over)
{
    if (r->c->role[l->base] != WG__INDEX)
        return;
    wg_strides s = wg__strides_over(&l->s, &type->shape, over);
    wg_shape space = wg__squeeze(over, NULL);
    if (wg__iota_axis(r->t, l->base, &space, &s) < 0)
        set_mark(r, l->base);
}

/* ---- one node -------------------------------------------------------------------------------------- */

static bool empty(const wg_tape *t, uint32_t id)
{
    return wg_shape_count(wg__type_at(t, id)->shape) == 0;
}

static bool has_loop(const wg_tape *t, uint32_t id)
{
    const wg__node *n = wg__node_at(t, id);
    const wg_op *op = &wg__op_of(t, id)->def;
    const wg_type *in[WG__MAX_OPERANDS], *out = wg__type_at(t, id);
    size_t loops = 0;
    if (n->nin > WG__MAX_OPERANDS)
        return false;
    for (size_t i = 0; i < op->nkernels; i++)
        loops += op->kernels[i].loop != NULL;
    if (loops == 0 || loops == op->nkernels)
        return loops > 0;
    for (uint16_t k = 0; k < n->nin; k++)
        in[k] = wg__type_at(t, wg__operands(t, n)[k]);
    const wg_kernel *row = wg__op_kernel(wg__op_of(t, id), in, n->nin, &out);
    return row && row->loop;
}

static bool is_int(wg_dtype dtype) { return dtype == WG_I32 || dtype == WG_I64; }

static bool is_product(const wg_tape *t, uint32_t id)
{
    return wg_dtype_is_float(wg__type_at(t, id)->dtype) && !empty(t, id) &&
           !empty(t, wg__operands(t, wg__node_at(t, id))[0]);
}

static bool is_pick(const wg_tape *t, uint32_t id)
{
    const uint32_t *in = wg__operands(t, wg__node_at(t, id));
    const wg_type *x = wg__type_at(t, in[0]);
    return x->shape.rank > 0 && x->shape.dim[x->shape.rank - 1] > 1 && !empty(t, in[0]) &&
           is_int(wg__type_at(t, in[1])->dtype);
}

/* Rows are gathered: there must be an axis behind that of the indices. */
static bool is_take(const wg_tape *t, uint32_t id)
{
    const uint32_t *in = wg__operands(t, wg__node_at(t, id));
    const wg_shape *x = &wg__type_at(t, in[0])->shape;
    wg_attrs attrs = wg__attrs_of(t, id);
    int64_t inner = 1;
    for (int i = (int)wg_attrs_int(&attrs, "axis") + 1; i < x->rank; i++)
        inner *= x->dim[i];
    return inner > 1 && !empty(t, id) && !empty(t, in[0]) && is_int(wg__type_at(t, in[1])->dtype);
}

static bool is_fold(const wg_tape *t, uint32_t id)
{
    int k;
    return !empty(t, wg__operands(t, wg__node_at(t, id))[0]) &&
           wg__fold_kind(t, id, &k) != WG__FOLD_MIDDLE;
}

static wg__role role_of(const wg_tape *t, uint32_t id)
{
    const wg__node *n = wg__node_at(t, id);
    const wg_op *op = &wg__op_of(t, id)->def;
    if (op->flags & WG_OP_SOURCE)
        return WG__SOURCE;
    if (n->nout != 1 || (op->flags & (WG_OP_IMPURE | WG_OP_EFFECT | WG_OP_RANDOM)))
        return WG__RUN;
    if (op->flags & WG_OP_ELEMENTWISE)
        return has_loop(t, id) ? WG__MAP : WG__RUN;
    if (op->monoid != WG_MONOID_NONE && n->nin == 1)
        return is_fold(t, id) ? WG__FOLD : WG__RUN;
    if ((op->flags & WG_OP_JOIN) && !empty(t, id))
        return WG__JOIN;
    if (op->flags & WG_OP_CONTRACT)
        return is_product(t, id) ? WG__TIMES : WG__RUN;
    if (op->flags & WG_OP_PICK)
        return is_pick(t, id) ? WG__PICK : WG__RUN;
    if (op->flags & WG_OP_GATHER)
        return is_take(t, id) ? WG__TAKE : WG__RUN;
    if ((op->flags & WG_OP_IOTA) && !empty(t, id))
        return WG__INDEX;
    return WG__RUN;
}

/* The columns of a reduction that starts a loop are one array of one step. */
static void check_fold(wg__finder *r, uint32_t id)
{
    uint32_t x = wg__operands(r->t, wg__node_at(r->t, id))[0];
    const wg_type *type = wg__type_at(r->t, x);
    wg_shape space = wg__squeeze(&type->shape, NULL);
    wg__layout room;
    wg_strides s = wg__strides_over(&wg__layout_of(r->c, x, &room)->s, &type->shape, &type->shape);
    int k;
    wg__fold_kind(r->t, id, &k);
    if (wg__merged_axes(&space, &s) < k)
        set_mark(r, x);
}

static void check_operands(wg__finder *r, uint32_t id)
{
    const wg__node *n = wg__node_at(r->t, id);
    const uint32_t *in = wg__operands(r->t, n);
    wg__role role = r->c->role[id];
    wg__layout room;
    for (uint16_t k = 0; k < n->nin; k++) {
        if (role == WG__RUN)
            need_dense(r, in[k]);
        else if (role == WG__TIMES || role == WG__TAKE || role == WG__PICK || role == WG__JOIN ||
                 wg_shape_count(wg__type_at(r->t, id)->shape) <= 1)
            need_memory(r, in[k]);
        else if (r->c->role[wg__base_of(r->c, in[k])] == WG__INDEX)
            check_index(r, wg__layout_of(r->c, in[k], &room), wg__type_at(r->t, in[k]),
                        wg__operand_shape(r->c, id, k));
    }
    if (role == WG__FOLD)
        check_fold(r, id);
}

/* A view is an alias, or, when marked and not dense, a copy of what it looks at. */
static void make_view(wg__finder *r, uint32_t id)
{
    wg__layout l, room;
    const wg_type *type = wg__type_at(r->t, id);
    const uint32_t from = wg__operands(r->t, wg__node_at(r->t, id))[0];
    const wg__layout *of = wg__layout_of(r->c, from, &room);
    if (!wg__layout_make(r->t, id, of, &l)) {
        /* the hook takes a dense operand at least: the operand is copied first */
        bool strided = !wg__layout_dense(wg__type_at(r->t, from), &of->s);
        if (strided)
            set_mark(r, from);
        r->c->role[id] = WG__RUN;
        if (!strided)
            need_dense(r, from);
    } else if (r->marked[id] && !wg__layout_dense(type, &l.s)) {
        r->c->role[id] = WG__COPY;
        check_index(r, &l, type, &type->shape);
    } else {
        r->c->role[id] = WG__ALIAS;
        r->failed |= !wg__vec_push(r->c->ctx, &r->c->views, l);
        r->c->view[id] = r->failed ? 0 : (uint32_t)r->c->views.len;
        if (r->marked[id])
            need_dense(r, id);
    }
}

static void make_role(wg__finder *r, uint32_t id)
{
    wg__clusters *c = r->c;
    c->view[id] = 0;
    c->window[id] = 0;
    if (wg__node_at(r->t, id)->out != 0)
        return;
    if (wg__is_view(r->t, id)) {
        make_view(r, id);
        return;
    }
    c->role[id] = (uint8_t)role_of(r->t, id);
    if (c->role[id] == WG__INDEX && r->marked[id])
        c->role[id] = WG__RUN;
    check_operands(r, id);
    if (c->role[id] == WG__JOIN)
        wg__offer_windows(r, id);
}

/* ---- all nodes --------------------------------------------------------------------------------------- */

static void find_needed(const wg__fuser *f, bool *needed)
{
    for (size_t i = 0; i < f->nroots; i++)
        needed[wg__head(f->t, f->roots[i])] = true;
    for (size_t i = f->t->nodes.len; i-- > 0;) {
        const wg__node *n = wg__node_at(f->t, (uint32_t)i);
        if (n->out != 0 || !needed[i])
            continue;
        bool source = wg__op_of(f->t, (uint32_t)i)->def.flags & WG_OP_SOURCE;
        for (uint16_t k = 0; !source && k < n->nin; k++)
            needed[wg__head(f->t, wg__operands(f->t, n)[k])] = true;
    }
}

bool wg__find_roles(wg__fuser *f)
{
    const wg_tape *t = f->t;
    size_t len = t->nodes.len;
    wg__finder r = {.f = f, .c = f->c, .t = t, .again = true};
    r.marked = wg__calloc(f->c->ctx, len, sizeof(bool));
    r.apart = wg__calloc(f->c->ctx, len, sizeof(bool));
    bool *needed = wg__calloc(f->c->ctx, len, sizeof(bool));
    bool good = r.marked && r.apart && needed;
    if (good)
        find_needed(f, needed);
    while (good && r.again) {
        r.again = false;
        r.c->views.len = 0;
        r.c->windows.len = 0;
        for (uint32_t i = 0; i < len; i++)
            if (needed[wg__head(t, i)])
                make_role(&r, i);
        for (size_t i = 0; i < f->nroots; i++)
            need_dense(&r, f->roots[i]);
        if (!r.failed)
            wg__check_windows(&r);
        good = !r.failed;
    }
    wg__free(f->c->ctx, r.marked);
    wg__free(f->c->ctx, r.apart);
    wg__free(f->c->ctx, needed);
    return good;
}
