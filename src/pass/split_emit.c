/* split: a loop recorded anew. What comes before it, for all its steps at once; the loop itself with
 * what is left; what comes after it. */
#include <wengert/ops.h>

#include "pass/split.h"

/* Values of the body on the destination: by id there, WG__NONE where not made (yet). */
typedef struct emission {
    const wg__split *sp;
    wg__copy c; /* copies values that are the same in all steps: its map has those */
    wg_shape steps;
    const uint32_t *in;
    uint32_t *all; /* of all steps */
    uint32_t *sum; /* summed over the steps */
    wg_var *vars;  /* operands of the node in hand */
    bool *batched;
} emission;

static wg_tape *dst_of(const emission *e) { return e->c.dst; }

static wg_shape stacked(const emission *e, uint32_t id)
{
    return wg__stacked_shape(e->steps, wg__type_at(e->sp->body, id)->shape);
}

/* The id of a result; WG__NONE after an error, told. */
static uint32_t id_of(const emission *e, wg_var v) { return wg__resolve(dst_of(e), v, "split"); }

/* A value that is the same in all steps. */
static wg_var same(emission *e, uint32_t id)
{
    if (e->c.map[id] == WG__NONE) {
        e->c.roots = &id;
        e->c.nroots = 1;
        if (wg__copy_nodes(&e->c))
            return wg__invalid();
    }
    return wg__var(dst_of(e), e->c.map[id]);
}

static wg_var all_steps(const emission *e, uint32_t id)
{
    return e->all[id] == WG__NONE ? wg__invalid() : wg__var(dst_of(e), e->all[id]);
}

/* ---- nodes ------------------------------------------------------------------------------------- */

/* Under the node's own scope; the result gets its name. */
static uint32_t scope_of(const emission *e, uint32_t id)
{
    wg_tape *dst = dst_of(e);
    const uint32_t before = dst->scope;
    dst->scope = wg__scope_import(dst, e->sp->body, wg__node_at(e->sp->body, id)->scope);
    return before;
}

static void name_after(const emission *e, uint32_t id, uint32_t to)
{
    const uint32_t name = wg__node_at(e->sp->body, id)->name;
    wg_tape *dst = dst_of(e);
    if (name && to != WG__NONE && !dst->nodes.data[to].name)
        dst->nodes.data[to].name = wg__intern_string(dst, wg__text(e->sp->body, name));
}

/* One node for all steps, or its sum by the short way. */
static bool emit_node(emission *e, uint32_t id, bool sum)
{
    const uint32_t *in = wg__split_operands(e->sp, id);
    for (uint16_t k = 0; k < wg__split_nin(e->sp, id); k++) {
        e->batched[k] = wg__varies(e->sp, in[k]);
        e->vars[k] = e->batched[k] ? all_steps(e, in[k]) : same(e, in[k]);
        if (!wg_ok(e->vars[k]))
            return false;
    }
    const wg__batching b = {dst_of(e), e->sp->body, id, e->vars, e->batched, e->steps};
    const uint32_t scope = scope_of(e, id);
    uint32_t *to = sum ? &e->sum[id] : &e->all[id];
    *to = id_of(e, sum ? wg__batch_sum(&b) : wg__batch(&b));
    dst_of(e)->scope = scope;
    name_after(e, id, *to);
    return *to != WG__NONE;
}

static bool emit_nodes(emission *e, uint32_t role)
{
    for (uint32_t id = 0; id < e->sp->body->nodes.len; id++)
        if ((e->sp->role[id] & role) && !emit_node(e, id, false))
            return false;
    return true;
}

/* ---- sums ---------------------------------------------------------------------------------------- */

/* n x of a value that is the same in all n steps. */
static wg_var sum_of_same(emission *e, uint32_t id)
{
    const wg_dtype dtype = wg__type_at(e->sp->body, id)->dtype;
    return wg_mul(same(e, id), wg_element_count_with(dst_of(e), e->steps, dtype));
}

/* An op of its operands' sums. */
static wg_var sum_of_linear(emission *e, uint32_t id)
{
    const uint32_t *in = wg__split_operands(e->sp, id);
    const wg_attrs view = wg__attrs_of(e->sp->body, id);
    wg_attr attrs[WG__MAX_ATTRS];
    const size_t nattrs = view.slots ? wg__attrs_export(&view, attrs) : 0;
    const uint16_t nin = wg__split_nin(e->sp, id);
    wg_var out;
    for (uint16_t k = 0; k < nin; k++) {
        const bool factor = !wg__varies(e->sp, in[k]) && wg__is_factor(e->sp, id, in[k]);
        e->vars[k] = factor ? same(e, in[k]) : wg__var(dst_of(e), e->sum[in[k]]);
    }
    wg__record(dst_of(e), view.op->index, e->vars, nin, attrs, nattrs, &out, 1);
    return out;
}

/* A sum over axes, and over the steps. */
static wg_var sum_of_reduction(const emission *e, uint32_t id)
{
    const wg_attrs view = wg__attrs_of(e->sp->body, id);
    wg_axes axes = wg_attrs_axes(&view, "axes"), all = {axes.count + 1, {0}};
    for (int32_t i = 0; i < axes.count; i++)
        all.axis[i + 1] = axes.axis[i] + 1;
    wg_var y = wg_sum_with(all_steps(e, wg__split_operands(e->sp, id)[0]), all, false);
    const wg_shape shape = wg__type_at(e->sp->body, id)->shape;
    return wg_typeof(y).shape.rank == shape.rank ? y : wg_reshape(y, shape);
}

static wg_var sum_of(emission *e, uint32_t id)
{
    const uint32_t role = e->sp->role[id];
    if (!wg__varies(e->sp, id))
        return sum_of_same(e, id);
    if (role & WG__SPREADS)
        return sum_of_linear(e, id);
    if (role & WG__REDUCES)
        return sum_of_reduction(e, id);
    return wg_sum_with(all_steps(e, id), (wg_axes){1, {0}}, false);
}

/* Those that are no sums of the loop. */
static bool emit_sums(emission *e)
{
    const wg__split *sp = e->sp;
    for (uint32_t id = 0; id < sp->body->nodes.len; id++) {
        if (!(sp->role[id] & WG__IN_SUM) || e->sum[id] != WG__NONE)
            continue;
        if (sp->role[id] & WG__JOINS) {
            if (!emit_node(e, id, true))
                return false;
            continue;
        }
        const uint32_t scope = scope_of(e, id);
        e->sum[id] = id_of(e, sum_of(e, id));
        dst_of(e)->scope = scope;
        if (e->sum[id] == WG__NONE)
            return false;
    }
    return true;
}

/* ---- the loop that is left --------------------------------------------------------------------------- */

static void add_operands(emission *e, wg__rescan *l)
{
    const wg__split *sp = e->sp;
    const wg__scan *s = &sp->s;
    for (size_t k = 0; k < s->ncarry; k++)
        wg__rescan_keep(l, WG__CARRY, k, e->in[k]);
    for (size_t k = s->x0; k < s->x0 + s->nxs + s->nws; k++)
        if (sp->role[wg__scan_formal(s, k)] & WG__INSIDE)
            wg__rescan_keep(l, k < s->w0 ? WG__X : WG__W, k, e->in[k]);
}

static bool enters(const wg__split *sp, uint32_t id)
{
    return (sp->role[id] & WG__BEFORE) && (sp->role[id] & WG__INSIDE);
}

/* Values that moved before the loop and are needed in it, as further sequences. */
static void add_sequences(emission *e, wg__rescan *l)
{
    const wg_tape *body = e->sp->body;
    size_t first = l->in[WG__X].len;
    for (uint32_t id = 0; id < body->nodes.len; id++)
        if (enters(e->sp, id))
            wg__rescan_add(l, WG__X, e->all[id], *wg__type_at(body, id),
                           wg__text(body, wg__node_at(body, id)->name));
    wg__rescan_open(l);
    for (uint32_t id = 0; id < body->nodes.len && !l->failed; id++)
        if (enters(e->sp, id))
            l->map[id] = l->in[WG__X].data[first++].formal;
}

/* Outputs: next carries; per-step outputs that stay and values that are needed later, without
 * repeating one; sums that stay. */
static void add_outputs(emission *e, wg__rescan *l)
{
    const wg__split *sp = e->sp;
    const wg__fn *fn = sp->s.fn;
    const uint32_t n = (uint32_t)sp->body->nodes.len;
    for (size_t k = 0; k < sp->s.ncarry; k++)
        wg__rescan_out(l, WG__FINAL, wg__rescan_get(l, fn->outs[k]));
    for (uint32_t id = 0; id < n; id++) {
        bool out = sp->role[id] & WG__ACROSS;
        for (size_t k = sp->s.y0; k < sp->s.sum0 && !out; k++)
            out = fn->outs[k] == id && (sp->role[id] & WG__INSIDE);
        if (out)
            wg__rescan_out(l, WG__Y, wg__rescan_get(l, id));
    }
    for (uint32_t id = 0; id < n; id++)
        if (wg__sum_stays(sp, id))
            wg__rescan_out(l, WG__SUM, wg__rescan_get(l, id));
}

/* What the loop gave, by value of the body. */
static void take_outputs(emission *e, uint32_t first, uint32_t *outs)
{
    const wg__split *sp = e->sp;
    const wg__fn *fn = sp->s.fn;
    const uint32_t n = (uint32_t)sp->body->nodes.len;
    for (size_t k = 0; k < sp->s.ncarry; k++)
        outs[k] = first++;
    for (uint32_t id = 0; id < n; id++) {
        bool out = sp->role[id] & WG__ACROSS;
        for (size_t k = sp->s.y0; k < sp->s.sum0 && !out; k++)
            out = fn->outs[k] == id && (sp->role[id] & WG__INSIDE);
        if (out)
            e->all[id] = first++;
    }
    for (uint32_t id = 0; id < n; id++)
        if (wg__sum_stays(sp, id))
            e->sum[id] = first++;
    for (size_t k = 0; k < sp->s.ncarry; k++) {
        if (sp->history[k])
            outs[sp->s.hist0 + k] = first;
        e->all[wg__scan_formal(&sp->s, k)] = first++;
    }
}

static bool emit_loop(emission *e, uint32_t *outs)
{
    wg__rescan l;
    wg__copy c = e->c;
    wg__scan s = e->sp->s;
    s.counted = false; /* the count is among our own operands */
    wg__rescan_begin(&l, &c, &s);
    if (e->sp->s.counted)
        l.count = e->in[e->sp->s.count];
    l.s.length = e->steps;
    add_operands(e, &l);
    add_sequences(e, &l);
    add_outputs(e, &l);
    const uint32_t first = wg__rescan_end(&l, NULL);
    wg__rescan_free(&l);
    if (first != WG__NONE)
        take_outputs(e, first, outs);
    return first != WG__NONE;
}

static bool has_loop(const wg__split *sp)
{
    bool any = sp->s.ncarry > 0 || sp->s.counted;
    for (uint32_t id = 0; id < sp->body->nodes.len && !any; id++)
        any = (sp->role[id] & WG__INSIDE) && !wg__split_source(sp, id);
    return any;
}

/* ---- all of it ------------------------------------------------------------------------------------------ */

/* A stacked output that did not come out of the loop. */
static uint32_t output(emission *e, uint32_t id)
{
    if (e->all[id] != WG__NONE)
        return e->all[id];
    return id_of(e, wg_broadcast(same(e, id), stacked(e, id)));
}

static bool emit_all(emission *e, uint32_t *outs)
{
    const wg__scan *s = &e->sp->s;
    for (size_t k = 0; k < s->ncarry + s->nxs + s->nws; k++) {
        if (k >= s->x0 && k < s->w0)
            e->all[wg__scan_formal(s, k)] = e->in[k];
        else if (k >= s->w0)
            e->c.map[wg__scan_formal(s, k)] = e->in[k];
    }
    if (!emit_nodes(e, WG__BEFORE) || (has_loop(e->sp) && !emit_loop(e, outs)) ||
        !emit_nodes(e, WG__AFTER) || !emit_sums(e))
        return false;
    for (size_t k = s->y0; k < s->fn->nouts; k++) {
        const uint32_t id = s->fn->outs[k];
        outs[k] = k < s->sum0 ? output(e, id) : e->sum[id];
        if (outs[k] == WG__NONE)
            return false;
    }
    return true;
}

bool wg__split_emit(const wg__split *sp, const wg__copy *c, wg_shape steps, const uint32_t *in,
                    uint32_t *outs)
{
    wg_ctx *ctx = sp->ctx;
    size_t most = 1;
    for (uint32_t id = 0; id < sp->body->nodes.len; id++)
        most = wg__split_nin(sp, id) > most ? wg__split_nin(sp, id) : most;
    emission e = {.sp = sp, .c = *c, .steps = steps, .in = in};
    e.c.src = sp->body;
    e.c.map = wg__copy_map(ctx, sp->body);
    e.all = wg__copy_map(ctx, sp->body);
    e.sum = wg__copy_map(ctx, sp->body);
    e.vars = wg__calloc(ctx, most, sizeof *e.vars);
    e.batched = wg__calloc(ctx, most, sizeof *e.batched);
    const bool room = e.c.map && e.all && e.sum && e.vars && e.batched;
    const bool good = room && emit_all(&e, outs);
    if (!room)
        wg__tape_no_memory(c->dst);
    wg__free(ctx, e.c.map);
    wg__free(ctx, e.all);
    wg__free(ctx, e.sum);
    wg__free(ctx, e.vars);
    wg__free(ctx, e.batched);
    return good;
}
