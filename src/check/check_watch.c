/* Kinks between the points of a difference. The graph tells where it bends: elementwise ops with a
 * kink function, and whatever turns floats into bools or integers, in the graph and in its
 * derivatives. A step between whose ends one of them may have changed side is too long. */
#include <math.h>
#include <string.h>

#include <wengert/ops.h>
#include "check/checking.h"

/* ---- finding --------------------------------------------------------------------------------- */

enum { MOVES = 1, NEEDED = 2 };

static bool is_moved(const wg__check *c, uint32_t id, const unsigned char *marks)
{
    const wg__node *n = wg__node_at(c->tape, id);
    const uint32_t *in = wg__operands(c->tape, n);
    for (uint16_t i = 0; i < n->nin; i++)
        if (marks[in[i]] & MOVES)
            return !wg__check_is_stop(c, id);
    return false;
}

static void need(const wg__check *c, uint32_t id, unsigned char *marks)
{
    const wg__node *n = wg__node_at(c->tape, wg__head(c->tape, id));
    const uint32_t *in = wg__operands(c->tape, n);
    for (uint16_t i = 0; i < n->nin && !wg__check_is_stop(c, wg__head(c->tape, id)); i++)
        marks[in[i]] |= NEEDED;
}

static void mark_roots(const wg_var *vars, size_t n, unsigned char *marks)
{
    for (size_t i = 0; i < n; i++)
        if (!wg_is_none(vars[i]))
            marks[(uint32_t)vars[i].bits] |= NEEDED;
}

/* What both depends on the targets and matters to the outputs or their derivatives. */
static void mark_all(const wg__check *c, size_t nodes, const size_t *xs, size_t nxs,
                     unsigned char *marks)
{
    for (size_t j = 0; j < nxs; j++)
        marks[(uint32_t)c->leaves.data[xs[j]].var.bits] |= MOVES;
    for (uint32_t id = 0; id < nodes; id++)
        if (is_moved(c, wg__head(c->tape, id), marks))
            marks[id] |= MOVES;
    for (uint32_t id = (uint32_t)nodes; id-- > 0;)
        if (marks[id] & NEEDED)
            need(c, id, marks);
}

/* The kink function of a node, when all its operands are floats. */
static const wg_op_check *bends(const wg__check *c, uint32_t id)
{
    const wg__node *n = wg__node_at(c->tape, id);
    const wg_op *op = &wg__op_of(c->tape, id)->def;
    bool floats = op->check && op->check->kink && (op->flags & WG_OP_ELEMENTWISE) &&
                  n->nin <= WG__MAX_OPERANDS;
    for (uint16_t i = 0; i < n->nin && floats; i++)
        floats = wg_dtype_is_float(wg__type_at(c->tape, wg__operands(c->tape, n)[i])->dtype);
    return floats ? op->check : NULL;
}

/* Whether a node makes something discrete of floats that move. */
static bool decides(const wg__check *c, uint32_t id, const unsigned char *marks)
{
    uint32_t head = wg__head(c->tape, id);
    const wg__node *n = wg__node_at(c->tape, head);
    bool floats = false;
    for (uint16_t i = 0; i < n->nin; i++) {
        uint32_t in = wg__operands(c->tape, n)[i];
        floats |= (marks[in] & MOVES) && wg_dtype_is_float(wg__type_at(c->tape, in)->dtype);
    }
    return floats && !wg_dtype_is_float(wg__type_at(c->tape, id)->dtype);
}

static bool add_var(wg__check *c, wg__watch *w, uint32_t id)
{
    wg_var v = wg__var(c->tape, id);
    size_t count = (size_t)wg_shape_count(wg_typeof(v).shape);
    if (!wg_dtype_is_float(wg_typeof(v).dtype))
        v = wg_cast(v, WG_F64);
    if (!wg_ok(v)) {
        wg__check_tape_error(c, "kinks");
        return false;
    }
    if (wg__vec_push(c->ctx, &w->vars, v) && wg__vec_push(c->ctx, &w->sizes, count))
        return true;
    c->status = WG_NO_MEMORY;
    return false;
}

static bool add_place(wg__check *c, wg__watch *w, uint32_t id, const wg_op_check *kink, size_t *at)
{
    wg__place_watched place = {id, kink, *at};
    const wg__node *n = wg__node_at(c->tape, id);
    uint32_t in[WG__MAX_OPERANDS] = {id};
    size_t nin = kink ? n->nin : 1;
    if (kink)
        memcpy(in, wg__operands(c->tape, n), nin * sizeof *in);
    if (!wg__vec_push(c->ctx, &w->places, place)) {
        c->status = WG_NO_MEMORY;
        return false;
    }
    for (size_t i = 0; i < nin; i++) { /* recording moves the tape's arrays */
        *at += (size_t)wg_shape_count(wg__type_at(c->tape, in[i])->shape);
        if (!add_var(c, w, in[i]))
            return false;
    }
    return true;
}

static bool find_places(wg__check *c, wg__watch *w, size_t nodes, const unsigned char *marks)
{
    size_t at = 0;
    for (uint32_t id = 0; id < nodes; id++) {
        if (marks[id] != (MOVES | NEEDED))
            continue;
        const wg_op_check *kink = wg__head(c->tape, id) == id ? bends(c, id) : NULL;
        if ((kink || decides(c, id, marks)) && !add_place(c, w, id, kink, &at))
            return false;
    }
    return true;
}

bool wg__watch_open(wg__watch *w, wg__check *c, const wg_var *ys, size_t nys, const wg_var *dxs,
                    const size_t *xs, size_t nxs)
{
    size_t nodes = c->tape->nodes.len;
    unsigned char *marks = wg__calloc(c->ctx, nodes + 1, 1);
    bool good = marks != NULL;
    memset(w, 0, sizeof *w);
    w->ctx = c->ctx;
    if (!good)
        c->status = WG_NO_MEMORY;
    if (good) {
        mark_roots(ys, nys, marks);
        mark_roots(dxs, nxs, marks);
        mark_all(c, nodes, xs, nxs, marks);
        good = find_places(c, w, nodes, marks);
    }
    wg__free(c->ctx, marks);
    if (!good || !w->places.len)
        return good;
    good = wg__eval_open(&w->e, c, w->vars.data, w->sizes.data, w->vars.len, false);
    w->at = good ? wg__check_take(c, w->e.total, sizeof *w->at) : NULL;
    w->moved = good ? wg__check_take(c, w->e.total, sizeof *w->moved) : NULL;
    return w->at && w->moved;
}

void wg__watch_close(wg__watch *w)
{
    wg__eval_close(&w->e);
    wg__vec_free(w->ctx, &w->vars);
    wg__vec_free(w->ctx, &w->sizes);
    wg__vec_free(w->ctx, &w->places);
}

/* ---- looking --------------------------------------------------------------------------------- */

bool wg__watch_point(wg__watch *w)
{
    return !w->places.len || (wg__eval_point(&w->e) && wg__eval_run(&w->e, w->at));
}

/* A kink lies between two points only if their distances to it are no more than their distance
 * from each other. On the kink at both ends, it is one that the direction does not leave. */
static bool bends_between(const wg__watch *w, const wg__place_watched *p)
{
    const wg_tape *t = w->e.c->tape;
    const wg__node *n = wg__node_at(t, p->id);
    const wg_shape *to = &wg__type_at(t, p->id)->shape;
    for (int64_t i = 0; i < wg_shape_count(*to); i++) {
        double a[WG__MAX_OPERANDS], b[WG__MAX_OPERANDS], way = 0;
        size_t at = p->at;
        for (uint16_t k = 0; k < n->nin; k++) {
            const wg_shape *s = &wg__type_at(t, wg__operands(t, n)[k])->shape;
            size_t j = at + (size_t)wg__check_index(s, to, i);
            a[k] = w->at[j];
            b[k] = w->moved[j];
            way += fabs(a[k] - b[k]);
            at += (size_t)wg_shape_count(*s);
        }
        double near = way > 0 ? p->kink->kink(a) : NAN, then = way > 0 ? p->kink->kink(b) : NAN;
        if (near + then > 0 && near + then <= 1.0001 * way)
            return true;
    }
    return false;
}

static bool decides_otherwise(const wg__watch *w, const wg__place_watched *p)
{
    size_t count = (size_t)wg_shape_count(wg__type_at(w->e.c->tape, p->id)->shape);
    return count && memcmp(w->at + p->at, w->moved + p->at, count * sizeof *w->at) != 0;
}

bool wg__watch_run(wg__watch *w, bool *crossed)
{
    if (!w->places.len)
        return true;
    if (!wg__eval_run(&w->e, w->moved))
        return false;
    for (size_t i = 0; i < w->places.len && !*crossed; i++) {
        const wg__place_watched *p = &w->places.data[i];
        *crossed = p->kink ? bends_between(w, p) : decides_otherwise(w, p);
    }
    return true;
}
