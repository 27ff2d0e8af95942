/* What of a loop counts: for each operand and output, what becomes of it. See trim.c. */
#include "pass/trim.h"

/* ---- what is known of values outside ------------------------------------------------------------- */

uint32_t wg__trim_uniform(const wg_tape *t, uint32_t id)
{
    for (;;) {
        const wg__node *n = wg__node_at(t, id);
        if (n->op == WG__OP_LITERAL)
            return wg__literal_is_slot(t, id) ? WG__NONE : id;
        if (!(wg__op_of(t, id)->def.flags & WG_OP_VIEW) || n->nin != 1)
            return WG__NONE;
        id = wg__operands(t, n)[0];
    }
}

/* Whether all slices along the leading axis are one. */
static bool repeats(const wg_tape *t, uint32_t id)
{
    const wg__node *n = wg__node_at(t, id);
    const wg__op *op = wg__op_of(t, id);
    if (!(op->def.flags & WG_OP_VIEW) || !op->def.view || n->nin != 1)
        return false;
    const wg_type *in = wg__type_at(t, wg__operands(t, n)[0]);
    wg_attrs attrs = wg__attrs_of(t, id);
    wg_strides from = {0, {0}}, to;
    int64_t step = 1;
    for (int i = in->shape.rank - 1; i >= 0; i--) {
        from.step[i] = step;
        step *= in->shape.dim[i];
    }
    return op->def.view(&attrs, in, &from, wg__type_at(t, id), &to) && to.step[0] == 0;
}

/* ---- the plan --------------------------------------------------------------------------------------- */

static bool is_top_rank(const wg__trim_plan *p, size_t operand)
{
    return wg__type_at(p->s.fn->body, wg__scan_formal(&p->s, operand))->shape.rank == WG_MAX_RANK;
}

static void set(wg__fate *f, uint32_t what, size_t of) { *f = (wg__fate){what, (uint32_t)of}; }

/* The operand that formal `id` of the body is; WG__NONE: it is none. Inputs are in order of ids. */
static uint32_t operand_of(const wg__trim_plan *p, uint32_t id)
{
    const wg_tape *b = p->s.fn->body;
    if (wg__node_at(b, id)->op != WG__OP_INPUT)
        return WG__NONE;
    size_t low = 0, high = b->inputs.len;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (b->inputs.data[mid] < id)
            low = mid + 1;
        else
            high = mid;
    }
    return (uint32_t)low;
}

static void look_at_carries(wg__trim_plan *p)
{
    const wg__scan *s = &p->s;
    for (size_t i = 0; i < s->ncarry; i++) {
        bool kept = wg__trim_reads(p, s->hist0 + i) && (s->counted || is_top_rank(p, i));
        if (wg__trim_out(p, i) == wg__scan_formal(s, i) && !kept)
            set(&p->in[i], WG__INVARIANT, 0);
        for (size_t k = 0; k < i && p->in[i].what == WG__STAYS; k++)
            if (p->in[k].what == WG__STAYS && s->in[k] == s->in[i] &&
                wg__trim_out(p, k) == wg__trim_out(p, i))
                set(&p->in[i], WG__LIKE, k);
    }
}

static void look_at_inputs(wg__trim_plan *p)
{
    const wg__scan *s = &p->s;
    for (size_t i = s->x0; i < s->count; i++) {
        size_t first = i < s->w0 ? s->x0 : s->w0;
        if (wg__trim_uniform(s->tape, s->in[i]) != WG__NONE)
            set(&p->in[i], WG__UNIFORM, 0);
        else if (i < s->w0 && repeats(s->tape, s->in[i]))
            set(&p->in[i], WG__INVARIANT, 0);
        for (size_t k = first; k < i && p->in[i].what != WG__UNIFORM; k++)
            if (s->in[k] == s->in[i] && p->in[k].what != WG__LIKE) {
                set(&p->in[i], WG__LIKE, k);
                break;
            }
    }
}

/* A per-step output that is read and can be had otherwise. */
static void look_at_y(wg__trim_plan *p, size_t k)
{
    const wg__scan *s = &p->s;
    uint32_t operand = operand_of(p, wg__trim_out(p, k));
    for (size_t j = s->y0; j < k; j++)
        if (p->out[j].what == WG__STAYS && wg__trim_out(p, j) == wg__trim_out(p, k)) {
            set(&p->out[k], WG__LIKE, j);
            return;
        }
    if (operand == WG__NONE || is_top_rank(p, operand))
        return;
    if (operand >= s->w0 || p->in[operand].what == WG__INVARIANT) {
        if (!s->counted)
            set(&p->out[k], operand < s->w0 && operand >= s->x0 ? WG__SEQUENCE : WG__CONSTANT,
                operand);
    } else if (operand >= s->x0) {
        if (!s->counted)
            set(&p->out[k], WG__SEQUENCE, operand);
    } else {
        uint32_t like = p->in[operand].what == WG__LIKE ? p->in[operand].of : operand;
        set(&p->out[k], WG__HISTORY, like);
    }
}

static void look_at_outputs(wg__trim_plan *p)
{
    const wg__scan *s = &p->s;
    for (size_t k = s->y0; k < s->hist0; k++) {
        if (!wg__trim_reads(p, k))
            set(&p->out[k], WG__GOES, 0);
        else if (k < s->sum0)
            look_at_y(p, k);
        for (size_t j = s->sum0; j < k && k >= s->sum0 && p->out[k].what == WG__STAYS; j++)
            if (p->out[j].what == WG__STAYS && wg__trim_out(p, j) == wg__trim_out(p, k))
                set(&p->out[k], WG__LIKE, j);
    }
}

static void use(wg__trim_plan *p, uint32_t id) { p->used[wg__head(p->s.fn->body, id)] = true; }

/* Spreads `used` from values to what they need. */
static void sweep(wg__trim_plan *p)
{
    const wg_tape *b = p->s.fn->body;
    for (uint32_t id = (uint32_t)b->nodes.len; id-- > 0;) {
        const wg__node *n = wg__node_at(b, id);
        if (n->out || !p->used[id])
            continue;
        for (uint16_t k = 0; k < n->nin; k++)
            use(p, wg__operands(b, n)[k]);
    }
}

static bool wanted(const wg__trim_plan *p, size_t i)
{
    return p->used[wg__scan_formal(&p->s, i)] || wg__trim_reads(p, i) ||
           wg__trim_reads(p, p->s.hist0 + i);
}

/* Which operands what is read needs; a carry that it needs needs what the step makes of it. */
static void find_used(wg__trim_plan *p)
{
    const wg__scan *s = &p->s;
    for (size_t k = s->y0; k < s->hist0; k++) {
        if (p->out[k].what == WG__STAYS)
            use(p, wg__trim_out(p, k));
        if (p->out[k].what == WG__HISTORY)
            use(p, wg__scan_formal(s, p->out[k].of));
    }
    for (bool again = true; again;) {
        again = false;
        sweep(p);
        for (size_t i = 0; i < s->ncarry; i++) {
            size_t at = p->in[i].what == WG__LIKE ? p->in[i].of : i;
            uint32_t next = wg__head(s->fn->body, wg__trim_out(p, at));
            if (p->in[i].what == WG__INVARIANT || !wanted(p, i))
                continue;
            again |= !p->used[next] || !p->used[wg__scan_formal(s, at)];
            p->used[next] = p->used[wg__scan_formal(s, at)] = true;
        }
    }
    for (size_t i = 0; i < s->count; i++)
        if (p->in[i].what == WG__LIKE && p->used[wg__scan_formal(s, i)])
            p->used[wg__scan_formal(s, p->in[i].of)] = true;
    for (size_t i = 0; i < s->count; i++)
        if (!p->used[wg__scan_formal(s, i)] && (i >= s->ncarry || !wanted(p, i)))
            set(&p->in[i], WG__GOES, 0);
}

bool wg__trim_to_map(wg_ctx *ctx, const wg__scan *s, size_t ncarry, size_t nsums)
{
    wg__pool bodies;
    bool pure = !ncarry && !nsums;
    wg__pool_init(&bodies, ctx);
    pure = pure && wg__bodies_find(&bodies, s->fn->body);
    for (size_t i = 0; pure && i < bodies.entries.len; i++) {
        const wg_tape *t = wg__bodies_at(&bodies, i);
        for (uint32_t id = 0; id < t->nodes.len && pure; id++)
            pure = wg__is_pure(wg__op_of(t, id));
    }
    wg__pool_free(&bodies);
    return pure;
}

bool wg__trim_plan_make(wg__trim_plan *p, wg_ctx *ctx, const wg__scan *s, const bool *read)
{
    *p = (wg__trim_plan){.s = *s, .read = read};
    p->in = wg__calloc(ctx, s->count + 1, sizeof *p->in);
    p->out = wg__calloc(ctx, s->fn->nouts + 1u, sizeof *p->out);
    p->used = wg__calloc(ctx, s->fn->body->nodes.len + 1, sizeof *p->used);
    if (!p->in || !p->out || !p->used)
        return false;
    look_at_carries(p);
    look_at_inputs(p);
    look_at_outputs(p);
    find_used(p);
    for (size_t i = 0; i < s->count; i++)
        p->changes |= p->in[i].what != WG__STAYS;
    for (size_t k = s->y0; k < s->hist0; k++)
        p->changes |= p->out[k].what != WG__STAYS;
    p->changes = p->changes || (!s->is_map && wg__trim_to_map(ctx, s, s->ncarry, s->nsums));
    return true;
}

void wg__trim_plan_free(wg__trim_plan *p, wg_ctx *ctx)
{
    wg__free(ctx, p->in);
    wg__free(ctx, p->out);
    wg__free(ctx, p->used);
}
