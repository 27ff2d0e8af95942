/* A SCALARS cluster: each member a node of the scalar code, each value from elsewhere added once. */
#include "vm/compiling.h"

typedef struct maker {
    const wg__clusters *c;
    const wg__cluster *at;
    uint32_t cluster;
    wg__slots slots;
    wg__scalars_builder *b;
    wg__scalar *value;      /* by member */
    WG__VEC(uint32_t) seen; /* operands from elsewhere: c->scratch has their values */
    bool failed;
} maker;

static wg__scalar outer(maker *m, uint32_t in)
{
    const wg__clusters *c = m->c;
    wg__layout room;
    wg_dtype dtype = wg__type_at(c->tape, in)->dtype;
    if (c->scratch[in] != WG__NONE)
        return c->scratch[in];
    const wg__layout *l = wg__layout_of(c, in, &room);
    wg_strides s = l->s;
    wg__in_memory(c, l->base, &wg__type_at(c->tape, in)->shape, &s);
    uint32_t slot = m->slots.of(m->slots.user, wg__holder_of(c, l->base));
    if (slot == UINT32_MAX || !wg__vec_push(c->ctx, &m->seen, in)) {
        m->failed = true;
        return UINT32_MAX;
    }
    ptrdiff_t offset = (ptrdiff_t)s.offset * (ptrdiff_t)wg_dtype_size(dtype);
    return c->scratch[in] = wg__scalars_outer(m->b, slot, offset, dtype);
}

static wg__scalar node(maker *m, uint32_t id)
{
    const wg__clusters *c = m->c;
    const wg__node *n = wg__node_at(c->tape, id);
    const uint32_t *in = wg__operands(c->tape, n);
    wg__scalar values[WG__MAX_OPERANDS];
    double attr[WG__MAX_ATTRS];
    wg_attrs attrs = wg__attrs_of(c->tape, id);
    size_t nattrs = wg__attrs_doubles(&attrs, attr);
    for (uint16_t k = 0; k < n->nin; k++) {
        uint32_t base = wg__base_of(c, in[k]);
        values[k] =
            c->of[base] == m->cluster ? m->value[c->place[base] - m->at->first] : outer(m, in[k]);
    }
    return wg__scalars_node(m->b, wg__compile_row(c->tape, id), values, n->nin,
                            wg__type_at(c->tape, id)->dtype, nattrs ? attr : NULL, nattrs,
                            wg__op_of(c->tape, id)->def.data);
}

wg__scalars *wg__compile_scalars(const wg__clusters *c, uint32_t cluster, int isa, wg__slots slots,
                                 uint64_t *at)
{
    maker m = {.c = c, .at = &c->list.data[cluster], .cluster = cluster, .slots = slots};
    wg__scalars *made = NULL;
    m.value = wg__calloc(c->ctx, m.at->count, sizeof *m.value);
    m.b = m.value ? wg__scalars_begin(c->ctx, m.at->count, isa) : NULL;
    for (uint32_t i = 0; m.b && i < m.at->count; i++)
        m.value[i] = node(&m, c->members.data[m.at->first + i]);
    for (size_t i = 0; i < m.seen.len; i++)
        c->scratch[m.seen.data[i]] = WG__NONE;
    if (m.b)
        made = wg__scalars_end(m.b, at);
    if (m.failed) {
        wg__scalars_free(c->ctx, made);
        made = NULL;
    }
    wg__vec_free(c->ctx, &m.seen);
    wg__free(c->ctx, m.value);
    return made;
}
