/* Windows: which parts of a JOIN are stored in its memory by what computes them. All parts are, at
 * first, whose computing can store them by such strides; then the windows of parts are taken back that
 * a reader cannot read there, and of roots, which lie densely by themselves. Memory alone changes:
 * layouts stay as if a part were dense (see wg__window). */
#include "pass/roles.h"

/* Rows of fewer elements are a window only where nobody else reads the part. */
enum { SHORT_ROW = 8 };

bool wg__in_memory(const wg__clusters *c, uint32_t base, const wg_shape *shape, wg_strides *s)
{
    if (!c->window[base])
        return true;
    const wg__window *w = &c->windows.data[c->window[base] - 1];
    if (w->pitch == w->block) {
        s->offset += w->start;
        return true;
    }
    int64_t low = s->offset % w->block, high = low;
    for (int i = 0; i < shape->rank; i++) {
        if (shape->dim[i] <= 1)
            continue;
        if (s->step[i] % w->block == 0)
            s->step[i] = s->step[i] / w->block * w->pitch;
        else
            *(s->step[i] < 0 ? &low : &high) += s->step[i] * (shape->dim[i] - 1);
    }
    s->offset = w->start + s->offset / w->block * w->pitch + s->offset % w->block;
    return low >= 0 && high < w->block;
}

/* Whether what computes `id` can store it in the window that it has. */
static bool stores_there(const wg__finder *r, uint32_t id)
{
    const wg_type *type = wg__type_at(r->t, id);
    const wg__role role = r->c->role[wg__head(r->t, id)];
    const int last = type->shape.rank - 1;
    wg_strides s = wg__dense_strides(type);
    int k;
    if (!wg__in_memory(r->c, id, &type->shape, &s))
        return false;
    if (role == WG__TIMES && (type->shape.dim[last] == 1 || s.step[last] != 1))
        return wg__layout_dense(type, &s);
    if (role == WG__RUN || (role == WG__FOLD && wg__fold_kind(r->t, id, &k) == WG__FOLD_LEADING))
        return wg__layout_dense(type, &s);
    return true;
}

/* Gives the part that a JOIN's operand is its window, unless the operand is a view of less than a
 * whole value, or a value that no loop, product or kernel computes. Nodes of one element are
 * computed as scalars, which have memory of their own. */
static void offer_window(wg__finder *r, uint32_t in, const wg__window *w)
{
    wg__clusters *c = r->c;
    wg__layout room;
    const wg__layout *l = wg__layout_of(c, in, &room);
    const wg_type *type = wg__type_at(r->t, in);
    const uint32_t base = l->base, head = wg__head(r->t, base);
    const wg__role role = c->role[head];
    const int64_t count = wg_shape_count(type->shape);
    if (role < WG__RUN || role == WG__JOIN || r->apart[base] || c->window[base] || count == 0 ||
        (role == WG__MAP && count == 1) || l->s.offset != 0 || !wg__layout_dense(type, &l->s) ||
        count != wg_shape_count(wg__type_at(r->t, base)->shape))
        return;
    r->failed |= !wg__vec_push(c->ctx, &c->windows, *w);
    if (r->failed)
        return;
    c->window[base] = (uint32_t)c->windows.len;
    if (!stores_there(r, base)) {
        c->window[base] = 0;
        c->windows.len--;
    }
}

void wg__offer_windows(wg__finder *r, uint32_t id)
{
    const wg__node *n = wg__node_at(r->t, id);
    const uint32_t *in = wg__operands(r->t, n);
    const wg_type *y = wg__type_at(r->t, id);
    const wg_attrs attrs = wg__attrs_of(r->t, id);
    const int axis = (int)wg_attrs_int(&attrs, "axis");
    const int64_t inner = wg__dense_strides(y).step[axis];
    wg__window w = {.join = id, .pitch = y->shape.dim[axis] * inner};
    for (uint16_t k = 0; k < n->nin; k++) {
        w.block = wg__type_at(r->t, in[k])->shape.dim[axis] * inner;
        wg__window dense = w;
        if (w.pitch == wg_shape_count(y->shape))
            dense.pitch = dense.block;
        offer_window(r, in[k], &dense);
        w.start += w.block;
    }
}

static void set_apart(wg__finder *r, uint32_t base)
{
    r->again |= !r->apart[base] && r->c->window[base];
    r->apart[base] = true;
}

/* Whether node `id` can read operand k, a value with a window or a view of one, where it lies. */
static bool reads_there(const wg__finder *r, uint32_t id, size_t k, uint32_t base)
{
    const wg__window *w = &r->c->windows.data[r->c->window[base] - 1];
    const wg__role role = r->c->role[id];
    wg__layout room;
    const wg_type *type = wg__type_at(r->t, wg__operands(r->t, wg__node_at(r->t, id))[k]);
    wg_strides s = wg__read_layout(r->c, id, k, &room)->s;
    if (role == WG__COPY)
        type = wg__type_at(r->t, id);
    if (w->pitch == w->block || (role == WG__JOIN && w->join == id))
        return true;
    if (role == WG__TAKE || w->block < SHORT_ROW || !wg__in_memory(r->c, base, &type->shape, &s))
        return false;
    if (role == WG__RUN)
        return wg__layout_dense(type, &s);
    if (role != WG__FOLD)
        return true;
    wg_shape space = wg__squeeze(&type->shape, NULL);
    wg_strides over = wg__strides_over(&s, &type->shape, &type->shape);
    int columns;
    wg__fold_kind(r->t, id, &columns);
    return wg__merged_axes(&space, &over) >= columns;
}

/* Windows that a reader cannot do with are taken back. */
void wg__check_windows(wg__finder *r)
{
    const wg__clusters *c = r->c;
    for (size_t i = 0; i < r->f->nroots; i++)
        set_apart(r, wg__base_of(c, r->f->roots[i]));
    for (uint32_t id = 0; c->windows.len && id < r->t->nodes.len; id++)
        for (size_t k = 0; c->role[id] >= WG__RUN && k < wg__reads(c, id); k++) {
            const uint32_t base = wg__read_base(c, id, k);
            if (c->window[base] && !reads_there(r, id, k, base))
                set_apart(r, base);
        }
}
