/* The rules of algebra that are about joining and cutting: concat, its slices, and values placed among
 * zeros. A slice has a cotangent that is placed among zeros, and the cotangents of several slices are
 * added up: the gates of a recurrent cell are four slices of one matrix. Here the sum becomes a
 * concat, which the vm computes piece by piece where it lies (pass/window.c). */
#include <string.h>

#include "pass/algebra.h"

/* ---- windows: slice and section of a value, unslice and place into one --------------------------------- */

/* Elements from start[i] on by step[i] along each axis i. */
typedef struct cut {
    int64_t start[WG_MAX_RANK], step[WG_MAX_RANK];
    bool plain; /* all steps are 1 */
} cut;

/* A bound that may count from the end, clipped: as ops/slice.c reads it. */
static int64_t clip(int64_t bound, int64_t n)
{
    bound += bound < 0 ? n : 0;
    return bound < 0 ? 0 : bound > n ? n : bound;
}

/* The window of a node, which looks at (or writes into) `whole`; ints: slice and unslice. */
static void read_cut(bool ints, const wg_attrs *a, const wg_shape *whole, cut *to)
{
    size_t nstart = 0, nstep;
    const int64_t *start = ints ? wg_attrs_ints(a, "start", &nstart) : NULL;
    const int64_t *step = wg_attrs_ints(a, "step", &nstep);
    const wg_shape from = ints ? (wg_shape){0} : wg_attrs_shape(a, "start");
    to->plain = true;
    for (int i = 0; i < whole->rank; i++) {
        to->start[i] = ints ? clip(start[i], whole->dim[i]) : from.dim[i];
        to->step[i] = nstep ? step[i] : 1;
        to->plain = to->plain && to->step[i] == 1;
    }
}

/* That of a slice or section; false: `id` is neither. */
static bool cut_of(const wg__seen *v, uint32_t id, cut *to)
{
    const bool slice = is(v, id, WG__AT_slice);
    if (!slice && !is(v, id, WG__AT_section))
        return false;
    const wg_attrs a = wg__attrs_of(v->t, id);
    read_cut(slice, &a, &type_of(v, arg(v, id, 0))->shape, to);
    return true;
}

/* That of an unslice or place. */
static bool hole_of(const wg__seen *v, uint32_t id, cut *to)
{
    const bool unslice = is(v, id, WG__AT_unslice);
    if (!unslice && !is(v, id, WG__AT_place))
        return false;
    const wg_attrs a = wg__attrs_of(v->t, id);
    read_cut(unslice, &a, &type_of(v, id)->shape, to);
    return true;
}

/* The axis along which x is a plain part of y, and the only one; -1: there is none. */
static int slab_axis(const wg_shape *x, const wg_shape *y, const cut *c)
{
    int axis = -1;
    for (int i = 0; i < y->rank; i++) {
        if (x->dim[i] == y->dim[i])
            continue;
        if (axis >= 0 || c->step[i] != 1)
            return -1;
        axis = i;
    }
    return axis;
}

/* A section of x with the node's shape, but `size` elements along `axis` (axis -1: not). */
static wg__ref section_of(wg__seen *v, uint32_t x, const cut *c, int axis, int64_t size)
{
    wg_shape start = {0}, shape = v->type->shape;
    const wg_shape *whole = &type_of(v, x)->shape;
    start.rank = whole->rank;
    memcpy(start.dim, c->start, sizeof start.dim);
    if (axis >= 0) {
        shape.dim[axis] = size;
        shape.symbol[axis] = 0;
    }
    if (wg_shape_equal(shape, *whole))
        return value(x);
    wg__ref r = apply1(v, WG__AT_section, value(x));
    r = wg__plan_with(v, wg__plan_with(v, r, wg_attr_shape("start", start)),
                      wg_attr_shape("size", shape));
    if (c->plain || r.kind != WG__STEP)
        return r;
    memcpy(v->steps[r.at].ints, c->step, sizeof c->step);
    return wg__plan_with(v, r,
                         wg_attr_ints("step", v->steps[r.at].ints, (size_t)v->type->shape.rank));
}

/* ---- rows of pieces along an axis ------------------------------------------------------------------------ */

typedef enum kind {
    ZEROS,
    VALUE, /* id */
    FILL,  /* id, a rank-0 value, repeated */
    WINDOW /* of what id, a slice or section, looks at: from there on */
} kind;

typedef struct piece {
    kind kind;
    uint32_t id, also; /* also: to be added, or WG__NONE */
    int64_t size;
} piece;

typedef struct row {
    int axis; /* -1: not known yet */
    size_t n;
    piece at[WG__MAX_PARTS];
} row;

/* False: there are too many. */
static bool push(row *r, kind k, uint32_t id, int64_t size)
{
    if (k == ZEROS && (size == 0 || (r->n && r->at[r->n - 1].kind == ZEROS))) {
        if (size)
            r->at[r->n - 1].size += size;
        return true;
    }
    if (r->n == WG__MAX_PARTS)
        return false;
    r->at[r->n++] = (piece){k, id, WG__NONE, size};
    return true;
}

static bool push_value(const wg__seen *v, row *r, uint32_t id)
{
    const int64_t size = type_of(v, id)->shape.dim[r->axis];
    return is_number(v, id, 0) ? push(r, ZEROS, id, size) : size == 0 || push(r, VALUE, id, size);
}

static int concat_axis(const wg__seen *v, uint32_t id)
{
    const wg_attrs a = wg__attrs_of(v->t, id);
    return (int)wg_attrs_int(&a, "axis");
}

/* A concat, or a value among zeros along one axis, as a row. */
static bool row_of(const wg__seen *v, uint32_t id, row *r)
{
    const wg_shape *y = &type_of(v, id)->shape;
    cut c;
    r->n = 0;
    if (is(v, id, WG__AT_concat)) {
        const size_t n = wg__node_at(v->t, id)->nin;
        bool good = n <= WG__MAX_PARTS;
        r->axis = concat_axis(v, id);
        for (size_t k = 0; k < n && good; k++)
            good = push_value(v, r, arg(v, id, k));
        return good;
    }
    if (!hole_of(v, id, &c))
        return false;
    const uint32_t x = arg(v, id, 0);
    r->axis = slab_axis(&type_of(v, x)->shape, y, &c);
    if (r->axis < 0)
        return false;
    const int64_t from = c.start[r->axis], size = type_of(v, x)->shape.dim[r->axis];
    return push(r, ZEROS, WG__NONE, from) && push_value(v, r, x) &&
           push(r, ZEROS, WG__NONE, y->dim[r->axis] - from - size);
}

/* A row as an answer. */
static wg__ref joined(wg__seen *v, const row *r)
{
    wg__ref zero = no_ref();
    for (v->nparts = 0; v->nparts < r->n; v->nparts++) {
        const piece *p = &r->at[v->nparts];
        wg_shape shape = v->type->shape;
        shape.dim[r->axis] = p->size;
        shape.symbol[r->axis] = 0;
        wg__ref x = value(p->id);
        cut c;
        if (p->kind == ZEROS && zero.kind == WG__NO_REF)
            zero = wg__plan_number(v, 0);
        if (p->kind == ZEROS || p->kind == FILL)
            x = wg__plan_with(v, apply1(v, WG__AT_broadcast, p->kind == FILL ? x : zero),
                              wg_attr_shape("shape", shape));
        else if (p->kind == WINDOW && cut_of(v, p->id, &c))
            x = section_of(v, arg(v, p->id, 0), &c, r->axis, p->size);
        else if (p->also != WG__NONE)
            x = apply2(v, WG__AT_add, x, value(p->also));
        if (x.kind == WG__NO_REF)
            return x;
        v->parts[v->nparts] = x;
    }
    return r->n == 1 ? v->parts[0] : wg__plan_join(v, r->axis);
}

/* ---- sums ------------------------------------------------------------------------------------------------- */

/* A row being read: the piece at hand and how much of it is left. */
typedef struct reader {
    const row *r;
    size_t i;
    int64_t left;
} reader;

static reader read_from(const row *r) { return (reader){r, 0, r->n ? r->at[0].size : 0}; }

static void pass_by(reader *e, int64_t size)
{
    e->left -= size;
    if (e->left == 0 && ++e->i < e->r->n)
        e->left = e->r->at[e->i].size;
}

/* One more piece of a + b; false: where both have values, they are cut in different ways. */
static bool add_piece(row *sum, reader *a, reader *b)
{
    const piece *p = &a->r->at[a->i], *q = &b->r->at[b->i];
    const int64_t size = a->left < b->left ? a->left : b->left;
    const bool both = p->kind == VALUE && q->kind == VALUE;
    const piece *x = p->kind == VALUE ? p : q;
    if (x->kind == VALUE && x->size != size)
        return false;
    if (both && (p->size != size || q->size != size))
        return false;
    if (!push(sum, x->kind, x->id, size))
        return false;
    if (both)
        sum->at[sum->n - 1].also = q->id;
    pass_by(a, size);
    pass_by(b, size);
    return true;
}

static bool has_zeros(const row *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->at[i].kind == ZEROS)
            return true;
    return false;
}

/* Zeros on one side, or equal cuts: one value in place of two that are joined and then added. */
static wg__ref add_concat(wg__seen *v)
{
    row a, b, sum = {0};
    if (!has_type(v, v->in[0]) || !has_type(v, v->in[1]) || !row_of(v, v->in[0], &a) ||
        !row_of(v, v->in[1], &b) || a.axis != b.axis || !(has_zeros(&a) || has_zeros(&b)))
        return no_ref();
    reader ra = read_from(&a), rb = read_from(&b);
    sum.axis = a.axis;
    while (ra.i < a.n && rb.i < b.n)
        if (!add_piece(&sum, &ra, &rb))
            return no_ref();
    return sum.n ? joined(v, &sum) : no_ref();
}

/* ---- values among zeros ------------------------------------------------------------------------------------- */

static wg__ref among_zeros(wg__seen *v)
{
    row r = {0};
    const uint32_t x = v->in[0];
    const wg_shape *shape = &type_of(v, x)->shape;
    cut c;
    if (has_type(v, x))
        return value(x);
    read_cut(v->op == v->ops[WG__AT_unslice], &v->attrs, &v->type->shape, &c);
    r.axis = slab_axis(shape, &v->type->shape, &c);
    if (r.axis < 0 || wg_shape_count(*shape) == 0)
        return no_ref();
    const int64_t from = c.start[r.axis], size = shape->dim[r.axis];
    push(&r, ZEROS, WG__NONE, from);
    push(&r, VALUE, x, size);
    push(&r, ZEROS, WG__NONE, v->type->shape.dim[r.axis] - from - size);
    return joined(v, &r);
}

/* ---- slices ----------------------------------------------------------------------------------------------- */

static bool same_cut(const cut *a, const cut *b, const wg_shape *x)
{
    for (int i = 0; i < x->rank; i++)
        if (a->start[i] != b->start[i] || (x->dim[i] > 1 && a->step[i] != b->step[i]))
            return false;
    return true;
}

/* What was placed among zeros, cut out again. */
static wg__ref slice_back(wg__seen *v)
{
    cut out, in;
    if (!hole_of(v, v->in[0], &in) || !has_type(v, arg(v, v->in[0], 0)))
        return no_ref();
    read_cut(v->op == v->ops[WG__AT_slice], &v->attrs, &type_of(v, v->in[0])->shape, &out);
    return same_cut(&in, &out, &v->type->shape) ? value(arg(v, v->in[0], 0)) : no_ref();
}

/* A slice of a concatenation that lies in one of its parts. */
static wg__ref slice_concat(wg__seen *v)
{
    const uint32_t x = v->in[0];
    cut c;
    if (!is(v, x, WG__AT_concat))
        return no_ref();
    const int axis = concat_axis(v, x);
    const int64_t count = v->type->shape.dim[axis];
    read_cut(v->op == v->ops[WG__AT_slice], &v->attrs, &type_of(v, x)->shape, &c);
    const int64_t end = c.start[axis] + (count ? (count - 1) * c.step[axis] + 1 : 0);
    const wg__node *n = wg__node_at(v->t, x);
    int64_t at = 0;
    for (size_t k = 0; k < n->nin; k++) {
        const int64_t size = type_of(v, arg(v, x, k))->shape.dim[axis];
        if (c.start[axis] >= at && end <= at + size) {
            c.start[axis] -= at;
            return section_of(v, arg(v, x, k), &c, -1, 0);
        }
        at += size;
    }
    return no_ref();
}

/* ---- concat ------------------------------------------------------------------------------------------------- */

static wg__ref concat_one(wg__seen *v) { return v->nin == 1 ? value(v->in[0]) : no_ref(); }

/* The rank-0 value that `id` repeats, or WG__NONE. */
static uint32_t repeated(const wg__seen *v, uint32_t id)
{
    if (!is(v, id, WG__AT_broadcast) || type_of(v, arg(v, id, 0))->shape.rank != 0)
        return WG__NONE;
    return arg(v, id, 0);
}

/* Whether the window of `id` goes on, along the axis, where that of `first` ends after `size`. */
static bool goes_on(const wg__seen *v, uint32_t first, int64_t size, uint32_t id, int axis)
{
    cut a, b;
    if (!cut_of(v, first, &a) || !cut_of(v, id, &b) || !a.plain || !b.plain ||
        arg(v, first, 0) != arg(v, id, 0))
        return false;
    for (int i = 0; i < v->type->shape.rank; i++)
        if (b.start[i] != a.start[i] + (i == axis ? size : 0))
            return false;
    return true;
}

/* Appends a part, to the last one where both are the same element repeated, or neighbours. */
static bool extend(const wg__seen *v, row *r, uint32_t id)
{
    const int64_t size = type_of(v, id)->shape.dim[r->axis];
    piece *last = r->n ? &r->at[r->n - 1] : NULL;
    const uint32_t fill = repeated(v, id);
    if (last && fill != WG__NONE && fill == (last->kind == FILL ? last->id : repeated(v, last->id)))
        *last = (piece){FILL, fill, WG__NONE, last->size + size};
    else if (last && last->kind != FILL && goes_on(v, last->id, last->size, id, r->axis))
        *last = (piece){WINDOW, last->id, WG__NONE, last->size + size};
    else
        return push(r, VALUE, id, size);
    return true;
}

static wg__ref shorter(wg__seen *v, const row *r)
{
    return r->n && r->n < v->nin ? joined(v, r) : no_ref();
}

static wg__ref concat_neighbours(wg__seen *v)
{
    row r = {.axis = (int)wg_attrs_int(&v->attrs, "axis")};
    for (size_t k = 0; k < v->nin; k++)
        if (v->nin > WG__MAX_PARTS || !extend(v, &r, v->in[k]))
            return no_ref();
    return shorter(v, &r);
}

static wg__ref concat_empty(wg__seen *v)
{
    row r = {.axis = (int)wg_attrs_int(&v->attrs, "axis")};
    for (size_t k = 0; k < v->nin; k++) {
        const int64_t size = type_of(v, v->in[k])->shape.dim[r.axis];
        if (v->nin > WG__MAX_PARTS || (size && !push(&r, VALUE, v->in[k], size)))
            return no_ref();
    }
    return shorter(v, &r);
}

static wg__ref concat_concat(wg__seen *v)
{
    row r = {.axis = (int)wg_attrs_int(&v->attrs, "axis")};
    bool any = false, good = v->nin <= WG__MAX_PARTS;
    for (size_t k = 0; k < v->nin && good; k++) {
        const uint32_t x = v->in[k];
        const bool nested = is(v, x, WG__AT_concat) && concat_axis(v, x) == r.axis;
        const size_t n = nested ? wg__node_at(v->t, x)->nin : 1;
        any |= nested;
        for (size_t i = 0; i < n && good; i++) {
            const uint32_t id = nested ? arg(v, x, i) : x;
            good = push(&r, VALUE, id, type_of(v, id)->shape.dim[r.axis]);
        }
    }
    return good && any ? joined(v, &r) : no_ref();
}

/* ---- the table --------------------------------------------------------------------------------------------- */

/* clang-format off */
const wg__algebra_rule wg__join_rules[] = {
    {"unslice-concat",  WG__AT_unslice, among_zeros,       "a value among zeros along one axis is a concat"},
    {"place-concat",    WG__AT_place,   among_zeros,       "a value among zeros along one axis is a concat"},
    {"add-concat",      WG__AT_add,     add_concat,        "concat(x, 0) + concat(0, y) = concat(x, y)"},
    {"slice-unslice",   WG__AT_slice,   slice_back,        "what was placed among zeros, cut out again"},
    {"section-place",   WG__AT_section, slice_back,        "what was placed among zeros, cut out again"},
    {"slice-concat",    WG__AT_slice,   slice_concat,      "a slice of one part of a concat"},
    {"section-concat",  WG__AT_section, slice_concat,      "a section of one part of a concat"},
    {"concat-one",      WG__AT_concat,  concat_one,        "concat(x) = x"},
    {"concat-empty",    WG__AT_concat,  concat_empty,      "parts without elements"},
    {"concat-concat",   WG__AT_concat,  concat_concat,     "concat(concat(x, y), z) = concat(x, y, z)"},
    {"concat-slices",   WG__AT_concat,  concat_neighbours, "neighbouring slices of one value, or the same element repeated"},
};
/* clang-format on */
const size_t wg__join_rule_count = sizeof wg__join_rules / sizeof *wg__join_rules;
