/* Loops taken apart and made anew. See scans.h. */
#include <string.h>

#include "pass/scans.h"

/* ---- reading ----------------------------------------------------------------------------------- */

bool wg__scan_of(const wg_tape *t, uint32_t id, wg__scan *s)
{
    const wg__node *n = wg__node_at(t, id);
    if (n->out || (n->op != WG__OP_SCAN && n->op != WG__OP_MAP))
        return false;
    wg_attrs a = wg__attrs_of(t, id);
    memset(s, 0, sizeof *s);
    s->tape = t;
    s->id = id;
    s->fn = wg__node_fn(t, id, "fn");
    s->in = wg__operands(t, n);
    s->ncarry = (size_t)wg_attrs_int(&a, "carries");
    s->nxs = (size_t)wg_attrs_int(&a, "xs");
    s->nsums = (size_t)wg_attrs_int(&a, "sums");
    s->length = wg_attrs_shape(&a, "length");
    s->reverse = wg_attrs_bool(&a, "reverse");
    s->counted = wg_attrs_bool(&a, "counted");
    s->is_map = n->op == WG__OP_MAP;
    s->nws = s->fn->body->inputs.len - s->ncarry - s->nxs;
    s->nys = s->fn->nouts - s->ncarry - s->nsums;
    s->x0 = s->ncarry;
    s->w0 = s->x0 + s->nxs;
    s->count = s->w0 + s->nws;
    s->y0 = s->ncarry;
    s->sum0 = s->y0 + s->nys;
    s->hist0 = s->sum0 + s->nsums;
    return true;
}

bool wg__scan_runs(const wg__scan *s) { return s->length.dim[0] > 0 && !s->counted; }

void wg__mark_read(const wg_tape *t, const uint32_t *roots, size_t nroots, bool *read)
{
    for (size_t i = 0; i < nroots; i++)
        read[roots[i]] = true;
    for (uint32_t id = (uint32_t)t->nodes.len; id-- > 0;) {
        const wg__node *n = wg__node_at(t, id);
        bool needed = false;
        if (n->out || (wg__op_of(t, id)->def.flags & WG_OP_SOURCE))
            continue;
        for (uint32_t k = 0; k < n->nout; k++)
            needed |= read[id + k];
        const uint32_t *in = wg__operands(t, n);
        for (uint16_t k = 0; needed && k < n->nin; k++)
            read[in[k]] = true;
    }
}

bool wg__scan_needed(const wg__scan *s, const bool *read)
{
    for (size_t k = 0; k < s->hist0 + s->ncarry; k++)
        if (read[s->id + k])
            return true;
    return false;
}

/* ---- making ------------------------------------------------------------------------------------- */

static void no_memory(wg__rescan *l)
{
    wg__tape_no_memory(l->c->dst);
    l->failed = true;
}

void wg__rescan_begin(wg__rescan *l, wg__copy *c, const wg__scan *s)
{
    memset(l, 0, sizeof *l);
    l->c = c;
    l->s = *s;
    l->count = s->counted ? c->map[s->in[s->count]] : WG__NONE;
}

static size_t push_in(wg__rescan *l, int group, wg__rescan_in in)
{
    if (!l->failed && !wg__vec_push(l->c->dst->ctx, &l->in[group], in))
        no_memory(l);
    return l->failed ? 0 : l->in[group].len - 1;
}

size_t wg__rescan_keep(wg__rescan *l, int group, size_t old, uint32_t outer)
{
    return push_in(l, group, (wg__rescan_in){.outer = outer, .old = (uint32_t)old});
}

size_t wg__rescan_add(wg__rescan *l, int group, uint32_t outer, wg_type step, const char *name)
{
    wg__rescan_in in = {.outer = outer, .old = WG__NONE, .step = step};
    if (!l->failed && name && *name && !(in.name = wg__intern_string(l->c->dst, name)))
        no_memory(l);
    return push_in(l, group, in);
}

static bool open_formal(wg__rescan *l, wg__rescan_in *in)
{
    const wg_tape *old = l->s.fn->body;
    const char *name = wg__text(l->c->dst, in->name);
    wg_type type = in->step;
    if (in->old != WG__NONE) {
        uint32_t formal = old->inputs.data[in->old];
        name = wg__text(old, wg__node_at(old, formal)->name);
        type = *wg__type_at(old, formal);
    }
    wg_var v = wg_fn_input(l->body, *name ? name : NULL, type.dtype, type.shape);
    if (!wg_ok(v))
        return false;
    in->formal = (uint32_t)v.bits;
    if (in->old != WG__NONE)
        l->map[old->inputs.data[in->old]] = in->formal;
    return true;
}

void wg__rescan_open(wg__rescan *l)
{
    if (l->failed)
        return;
    l->body = wg_fn_begin(l->c->dst, l->s.fn->body->name);
    l->map = wg__copy_map(l->c->dst->ctx, l->s.fn->body);
    if (!l->body || !l->map) {
        no_memory(l);
        return;
    }
    for (int g = 0; g < 3; g++)
        for (size_t i = 0; i < l->in[g].len && !l->failed; i++)
            l->failed = !open_formal(l, &l->in[g].data[i]);
}

void wg__rescan_copy(wg__rescan *l, const uint32_t *ids, size_t n)
{
    if (l->failed)
        return;
    wg__copy c = *l->c;
    c.dst = l->body;
    c.src = l->s.fn->body;
    c.map = l->map;
    c.roots = ids;
    c.nroots = n;
    l->failed = wg__copy_nodes(&c) != WG_OK;
}

uint32_t wg__rescan_get(wg__rescan *l, uint32_t old)
{
    if (!l->failed && l->map[old] == WG__NONE)
        wg__rescan_copy(l, &old, 1);
    return l->failed ? WG__NONE : l->map[old];
}

size_t wg__rescan_out(wg__rescan *l, int group, uint32_t inner)
{
    if (!l->failed && !wg__vec_push(l->c->dst->ctx, &l->out[group], inner))
        no_memory(l);
    return l->failed ? 0 : l->out[group].len - 1;
}

/* ---- recording ------------------------------------------------------------------------------------ */

void wg__rescan_close(wg__rescan *l)
{
    if (l->failed)
        return;
    size_t n = 0, total = l->out[0].len + l->out[1].len + l->out[2].len;
    wg_var *outs = wg__calloc(l->c->dst->ctx, total + 1, sizeof *outs);
    for (int g = 0; outs && g < 3; g++)
        for (size_t i = 0; i < l->out[g].len; i++)
            outs[n++] = wg__var(l->body, l->out[g].data[i]);
    if (!outs)
        no_memory(l);
    else
        l->fn = wg_fn_end(l->body, outs, n);
    wg__free(l->c->dst->ctx, outs);
    l->failed |= !wg_fn_ok(l->fn);
}

static bool has_attr(const wg__op *op, const char *name)
{
    for (size_t i = 0; i < op->sig.nattrs; i++)
        if (strcmp(op->sig.attrs[i].name, name) == 0)
            return true;
    return false;
}

static uint32_t record(wg__rescan *l)
{
    wg_tape *dst = l->c->dst;
    const wg__op *op = wg__op_at(dst->ctx, l->s.is_map ? WG__OP_MAP : WG__OP_SCAN);
    const size_t nsums = l->s.nsums;
    const wg_attr all[] = {wg_attr_fn("fn", l->fn),
                           wg_attr_int("carries", (int64_t)l->in[WG__CARRY].len),
                           wg_attr_int("xs", (int64_t)l->in[WG__X].len),
                           wg_attr_shape("length", l->s.length),
                           wg_attr_int("sums", (int64_t)nsums),
                           wg_attr_bool("reverse", l->s.reverse),
                           wg_attr_bool("counted", l->count != WG__NONE)};
    wg_attr attrs[sizeof all / sizeof *all];
    size_t nattrs = 0, nin = 0, total = l->in[0].len + l->in[1].len + l->in[2].len + 1;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (has_attr(op, all[i].name))
            attrs[nattrs++] = all[i];
    wg_var *ins = wg__calloc(dst->ctx, total, sizeof *ins), first;
    if (!ins) {
        no_memory(l);
        return WG__NONE;
    }
    for (int g = 0; g < 3; g++)
        for (size_t i = 0; i < l->in[g].len; i++)
            ins[nin++] = wg__var(dst, l->in[g].data[i].outer);
    if (l->count != WG__NONE)
        ins[nin++] = wg__var(dst, l->count);
    l->failed = wg__record(dst, op->index, ins, nin, attrs, nattrs, &first, 1) != WG_OK;
    wg__free(dst->ctx, ins);
    return l->failed ? WG__NONE : (uint32_t)first.bits;
}

uint32_t wg__rescan_end(wg__rescan *l, wg__fn *fn)
{
    if (l->failed)
        return WG__NONE;
    if (fn) {
        uint32_t index = wg__fn_add(l->c->dst, fn);
        l->fn = wg__fn_handle(l->c->dst, index);
        l->failed = !index;
    } else {
        l->s.nsums = l->out[WG__SUM].len;
        wg__rescan_close(l);
    }
    return l->failed ? WG__NONE : record(l);
}

void wg__rescan_free(wg__rescan *l)
{
    wg_ctx *ctx = l->c->dst->ctx;
    for (int g = 0; g < 3; g++) {
        wg__vec_free(ctx, &l->in[g]);
        wg__vec_free(ctx, &l->out[g]);
    }
    wg__free(ctx, l->map);
}

/* ---- bodies that are shared -------------------------------------------------------------------------- */

void wg__remade_init(wg__remade *r, wg_ctx *ctx)
{
    memset(r, 0, sizeof *r);
    wg__pool_init(&r->keys, ctx);
}

void wg__remade_free(wg__remade *r)
{
    wg_ctx *ctx = r->keys.ctx;
    for (size_t i = 0; i < r->fns.len; i++)
        wg__fn_unref(r->fns.data[i]);
    wg__vec_free(ctx, &r->fns);
    wg__vec_free(ctx, &r->key);
    wg__pool_free(&r->keys);
}

void wg__remade_put(wg__remade *r, uint64_t word)
{
    r->failed |= !wg__vec_push(r->keys.ctx, &r->key, word);
}

uint32_t wg__remade_key(wg__remade *r)
{
    uint32_t id =
        r->failed ? 0 : wg__pool_intern(&r->keys, r->key.data, r->key.len * sizeof *r->key.data);
    r->key.len = 0;
    while (id && r->fns.len < id)
        if (!wg__vec_push(r->keys.ctx, &r->fns, NULL))
            return 0;
    return id;
}

wg__fn *wg__remade_get(const wg__remade *r, uint32_t key) { return r->fns.data[key - 1]; }

void wg__remade_set(wg__remade *r, uint32_t key, const wg__rescan *l)
{
    wg__fn *fn = wg__fn_get(l->fn);
    if (r->fns.data[key - 1] || !fn)
        return;
    atomic_fetch_add(&fn->refs, 1);
    r->fns.data[key - 1] = fn;
}
