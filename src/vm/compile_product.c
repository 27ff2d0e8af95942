/* A PRODUCT cluster: the matrix product from the layouts of its operands, whatever transposes they
 * went through, and its epilogue as a loop over the result. */
#include <string.h>

#include "vm/compiling.h"

/* The node that is the product, and whether a member needs whole rows of it. */
static uint32_t find_product(const wg__clusters *c, const wg__cluster *at, bool *whole)
{
    uint32_t product = WG__NONE;
    *whole = false;
    for (uint32_t i = at->first; i < at->first + at->count; i++) {
        uint32_t id = c->members.data[i];
        int k;
        if (c->role[id] == WG__TIMES)
            product = id;
        else if (c->role[id] == WG__PICK)
            *whole = true;
        else if (c->role[id] == WG__FOLD) {
            wg__fold fold = wg__fold_kind(c->tape, id, &k);
            *whole |=
                fold == WG__FOLD_TRAILING || (fold == WG__FOLD_ALL && at->ncols == at->space.rank);
        }
    }
    return product;
}

/* Operand k as matrices; transposed: rows are its last axis. */
static wg__matrix matrix(const wg__clusters *c, uint32_t id, size_t k, bool transposed, int nbatch,
                         wg__slots slots)
{
    uint32_t in = wg__operands(c->tape, wg__node_at(c->tape, id))[k];
    const wg_type *type = wg__type_at(c->tape, in);
    wg__layout room;
    const wg__layout *l = wg__layout_of(c, in, &room);
    wg_strides s = l->s;
    wg__in_memory(c, l->base, &type->shape, &s);
    int rank = type->shape.rank, lead = rank - 2 - nbatch;
    ptrdiff_t size = (ptrdiff_t)wg_dtype_size(type->dtype);
    wg__matrix m = {.slot = slots.of(slots.user, wg__holder_of(c, l->base)),
                    .offset = (ptrdiff_t)s.offset * size,
                    .row = (ptrdiff_t)s.step[rank - (transposed ? 1 : 2)] * size,
                    .col = (ptrdiff_t)s.step[rank - (transposed ? 2 : 1)] * size};
    for (int d = 0; d < nbatch; d++)
        if (lead + d >= 0 && type->shape.dim[lead + d] != 1)
            m.batch[d] = (ptrdiff_t)s.step[lead + d] * size;
    return m;
}

static bool fill_spec(wg__product_spec *s, const wg__clusters *c, uint32_t id, wg__slots slots)
{
    const wg_type *y = wg__type_at(c->tape, id);
    const uint32_t *in = wg__operands(c->tape, wg__node_at(c->tape, id));
    const wg_shape *a = &wg__type_at(c->tape, in[0])->shape;
    wg_attrs attrs = wg__attrs_of(c->tape, id);
    bool ta = wg_attrs_bool(&attrs, "transpose_a"), tb = wg_attrs_bool(&attrs, "transpose_b");
    wg_strides to = wg__dense_strides(y);
    int rank = y->shape.rank;
    ptrdiff_t size = (ptrdiff_t)wg_dtype_size(y->dtype);
    s->dtype = y->dtype;
    s->nbatch = rank - 2;
    memcpy(s->batch, y->shape.dim, (size_t)s->nbatch * sizeof *s->batch);
    s->m = y->shape.dim[rank - 2];
    s->n = y->shape.dim[rank - 1];
    s->k = a->dim[a->rank - (ta ? 2 : 1)];
    s->a = matrix(c, id, 0, ta, s->nbatch, slots);
    s->b = matrix(c, id, 1, tb, s->nbatch, slots);
    s->store = c->stored[id];
    wg__in_memory(c, id, &y->shape, &to);
    s->c = (wg__matrix){.offset = (ptrdiff_t)to.offset * size,
                        .row = (ptrdiff_t)to.step[rank - 2] * size,
                        .col = size};
    for (int d = 0; d < s->nbatch; d++)
        s->c.batch[d] = (ptrdiff_t)to.step[d] * size;
    /* the epilogue's alone when nothing is stored */
    s->c.slot = slots.of(slots.user, s->store ? wg__holder_of(c, id) : id);
    return s->a.slot != UINT32_MAX && s->b.slot != UINT32_MAX && s->c.slot != UINT32_MAX;
}

/* The result as the epilogue reads it: the product tells strides with axes of size 1. */
static wg__reg load_result(wg__emitter *e, const wg__product *p, const wg_shape *out)
{
    wg__loop_mem all, mem;
    int axis[WG_MAX_RANK];
    wg__squeeze(out, axis);
    wg__product_c(p, &all);
    mem = all;
    memset(mem.outer, 0, sizeof mem.outer);
    for (int d = 0; d < e->nouter; d++)
        mem.outer[d] = all.outer[axis[d]];
    return wg__loop_load(e->b, &mem);
}

wg__product *wg__compile_product(const wg__clusters *c, uint32_t cluster, int isa, wg__slots slots,
                                 wg_status *why)
{
    const wg__cluster *at = &c->list.data[cluster];
    wg__product_spec spec = {0};
    wg__emitter e;
    uint32_t id = find_product(c, at, &spec.whole_rows);
    *why = WG_NO_MEMORY;
    wg__product *p = fill_spec(&spec, c, id, slots) ? wg__product_make(c->ctx, &spec) : NULL;
    if (!p || at->count == 1)
        return p;
    if (!wg__emit_begin(&e, c, cluster, spec.n > 1, isa, slots)) {
        wg__product_free(c->ctx, p);
        return NULL;
    }
    wg__loop_cut(e.b, wg__product_bands(p), wg__product_rects(p));
    wg__emit_members(&e, load_result(&e, p, &wg__type_at(c->tape, id)->shape));
    wg__loop *epilogue = wg__emit_end(&e, why);
    if (!epilogue) {
        wg__product_free(c->ctx, p);
        return NULL;
    }
    wg__product_set_epilogue(p, epilogue);
    return p;
}
