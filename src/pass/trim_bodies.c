/* trim: what calls, branches and while have in common: bodies with some of their formals and outputs, and
 * the node recorded anew with some of its operands. */
#include <string.h>

#include "pass/trim.h"

bool wg__trim_any_read(const wg_tape *t, uint32_t id, const bool *read)
{
    bool any = false;
    for (uint32_t k = 0; k < wg__node_at(t, id)->nout; k++)
        any |= read[id + k];
    return any;
}

static wg__fn *new_body(const wg__trim_bodies *b, wg__fn *fn, uint32_t key)
{
    wg__rescan l;
    wg__scan s = {.tape = b->c->src, .id = b->id, .fn = fn};
    wg__rescan_begin(&l, b->c, &s);
    for (size_t i = 0; i < fn->body->inputs.len; i++)
        if (b->keeps_formal(b->user, i))
            wg__rescan_keep(&l, WG__W, i, 0);
    wg__rescan_open(&l);
    for (uint32_t k = 0; k < fn->nouts; k++)
        if (b->keeps_output(b->user, k))
            wg__rescan_out(&l, WG__Y, wg__rescan_get(&l, fn->outs[k]));
    wg__rescan_close(&l);
    if (!l.failed)
        wg__remade_set(b->made, key, &l);
    wg__rescan_free(&l);
    return wg__remade_get(b->made, key);
}

uint32_t wg__trim_body(const wg__trim_bodies *b, wg__fn *fn)
{
    wg__remade_put(b->made, (uint64_t)(uintptr_t)fn);
    for (size_t i = 0; i < fn->body->inputs.len; i++)
        wg__remade_put(b->made, b->keeps_formal(b->user, i));
    for (uint32_t k = 0; k < fn->nouts; k++)
        wg__remade_put(b->made, b->keeps_output(b->user, k));
    uint32_t key = wg__remade_key(b->made);
    wg__fn *anew = key ? wg__remade_get(b->made, key) : NULL;
    if (key && !anew)
        anew = new_body(b, fn, key);
    return anew ? wg__fn_add(b->c->dst, anew) : 0;
}

uint32_t wg__trim_record(const wg__copy *c, uint32_t id, const bool *kept, wg_attr *attrs,
                         size_t nattrs, const char *name, size_t value)
{
    const wg__node *n = wg__node_at(c->src, id);
    const uint32_t *in = wg__operands(c->src, n);
    wg_tape *dst = c->dst;
    size_t nin = 0;
    wg_var *ins = wg__calloc(dst->ctx, n->nin + 1u, sizeof *ins), first;
    for (size_t i = 0; ins && i < n->nin; i++)
        if (kept[i])
            ins[nin++] = wg__var(dst, c->map[in[i]]);
    for (size_t i = 0; i < nattrs; i++)
        if (strcmp(attrs[i].name, name) == 0)
            attrs[i].v.i = (int64_t)value;
    bool good = ins && !wg__record(dst, n->op, ins, nin, attrs, nattrs, &first, 1);
    wg__free(dst->ctx, ins);
    return good ? (uint32_t)first.bits : WG__NONE;
}
