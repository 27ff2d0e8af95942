/* From values to instructions: operands are loaded when first used and spread where a kernel wants
 * them dense. The second half, which decides where values live, is in loop_regs.c. */
#include <string.h>
#include "pass/pass.h"
#include "vm/loop_emit.h"

#define NONE WG__NO_PLACE
typedef wg__place place;
typedef wg__draft draft;
typedef wg__emitter emitter;

/* ---- places and instructions ----------------------------------------------------------------------- */

static uint32_t add_place(emitter *e, wg_dtype dtype, uint8_t level, uint8_t group)
{
    place p = {.level = level, .group = group, .dtype = dtype, .def = NONE, .last = NONE};
    p.size = (uint8_t)wg_dtype_size(dtype);
    if (!wg__vec_push(e->b->ctx, &e->places, p)) {
        e->failed = true;
        return 0;
    }
    return (uint32_t)e->places.len - 1;
}

/* What was asked for cannot be. */
static void refuse(emitter *e)
{
    e->b->misused = e->b->misused || !e->failed;
    e->failed = true;
}

/* Starts an instruction without operands. */
static draft begin(const emitter *e, wg__step_fn step, uint8_t level, uint8_t group)
{
    draft d = {.first = (uint32_t)e->args.len, .group = group};
    d.in.step = step;
    d.in.level = level;
    d.x.ops = 1;
    return d;
}

static void operand(emitter *e, draft *d, uint32_t at, bool splat)
{
    wg_ctx *ctx = e->b->ctx;
    if (e->failed)
        return;
    ptrdiff_t stride = splat ? 0 : e->places.data[at].size;
    if (!wg__vec_push(ctx, &e->args, at) || !wg__vec_push(ctx, &e->strides, stride))
        e->failed = true;
    d->in.nargs++;
}

/* The last operand; to which `result` decides whether it is one. Nothing is done along no columns. */
static void finish(emitter *e, draft *d, bool result)
{
    if (e->failed || ((d->in.level & WG__COL) && !e->loop->cols)) {
        e->args.len = e->strides.len = d->first;
        return;
    }
    const uint32_t *at = e->args.data + d->first, n = d->in.nargs;
    d->result = result;
    d->in.a = at[0];
    d->in.b = at[n > 2 || (n > 1 && !result)];
    d->in.c = at[n > 3 ? 2 : 0];
    d->in.y = at[n - 1];
    if (result)
        d->x.size = e->places.data[d->in.y].size;
    if (!wg__vec_push(e->b->ctx, &e->list[d->group], *d))
        e->failed = true;
}

/* ---- operands ------------------------------------------------------------------------------------------ */

static bool rows_uniform(const wg__loop *loop, const wg__loop_mem *m)
{
    for (int d = 0; d + 1 < loop->nouter; d++)
        if (m->outer[d] != m->outer[d + 1] * (ptrdiff_t)loop->outer[d + 1])
            return false;
    return true;
}

static void set_mem(emitter *e, size_t i)
{
    const wg__loop_mem *from = &e->b->mems.data[i];
    wg__loop *loop = e->loop;
    wg__mem *m = &loop->mem[i];
    *m = (wg__mem){.slot = from->slot, .dtype = from->dtype, .offset = from->offset};
    m->place = NONE;
    m->size = (uint8_t)wg_dtype_size(from->dtype);
    m->level = wg__loop_mem_level(e->b, from);
    m->col = from->col;
    memcpy(m->outer, from->outer, sizeof m->outer);
    m->uniform = rows_uniform(loop, from);
    m->row = m->uniform && loop->nouter ? from->outer[loop->nouter - 1] : 0;
    loop->coords = loop->coords || !m->uniform;
}

/* One element will do for all users of `value`: none is computed from ONE values alone. */
static bool is_single(const emitter *e, wg__reg value)
{
    for (size_t i = value; i < e->b->defs.len; i++) {
        const wg__def *d = &e->b->defs.data[i];
        for (uint32_t k = 0; k < d->nin && d->kind == WG__DEF_APPLY && d->level == WG__ONE; k++)
            if (e->b->operands.data[d->first + k] == value)
                return false;
    }
    return e->b->defs.data[value].level == WG__ONE;
}

static uint32_t place_of(emitter *e, wg__reg value)
{
    const wg__def *d = &e->b->defs.data[value];
    if (e->of[value] != NONE || e->failed)
        return e->of[value];
    uint32_t at = e->of[value] = add_place(e, d->dtype, d->level, d->group);
    if (d->kind != WG__DEF_LOAD || e->failed)
        return at;
    wg__mem *m = &e->loop->mem[d->mem];
    if (wg__loop_is_dense(e->loop, m) || is_single(e, value)) {
        e->places.data[at].memory = m->direct = true;
        m->place = at;
        return at;
    }
    draft load = begin(e, wg__step_load, d->level, d->group);
    load.x.mem = d->mem;
    operand(e, &load, at, false);
    finish(e, &load, true);
    return at;
}

/* The value with all elements of a level above its own side by side. */
static uint32_t place_at(emitter *e, wg__reg value, uint8_t level)
{
    static const uint8_t group[4] = {WG__G_ONE, WG__G_COL, WG__G_ROW, WG__G_PATCH};
    const wg__def *d = &e->b->defs.data[value];
    uint32_t from = place_of(e, value), *to = &e->spread[4 * value + level];
    bool single = e->loop->patch_rows == 1; /* then COL values are as good as FULL ones */
    if (d->level == level || (single && d->level == WG__COL && level == WG__FULL))
        return from;
    if (*to != NONE || e->failed)
        return *to;
    uint8_t in = d->level == WG__COL && !e->loop->streams ? WG__G_COL : group[level];
    *to = add_place(e, d->dtype, level, in);
    draft s = begin(e, wg__step_spread, level, in);
    s.x.from = d->level;
    s.x.dtype = d->dtype;
    operand(e, &s, from, false);
    operand(e, &s, *to, false);
    finish(e, &s, true);
    return *to;
}

/* ---- values ---------------------------------------------------------------------------------------------- */

static wg_block_fn block_of(const emitter *e, const wg__def *d, unsigned splats)
{
    if (!d->kernel->block || d->nin > 3 || splats + 1 == 1u << d->nin)
        return NULL;
    return d->kernel->block[((unsigned)e->b->isa << d->nin) + splats];
}

/* Rows of whole lanes: a FULL op of ROW operands works row by row rather than on spread ones. */
static bool by_rows(const emitter *e, const wg__def *d)
{
    const wg__loop *loop = e->loop;
    unsigned splats = 0;
    if (!e->b->whole_rows || d->level != WG__FULL || loop->patch_rows == 1 || loop->cols < 32 ||
        loop->cols % WG__LANES || d->nin > 3)
        return false;
    for (uint32_t i = 0; i < d->nin; i++) {
        uint8_t level = e->b->defs.data[e->b->operands.data[d->first + i]].level;
        splats |= level == WG__ONE || level == WG__ROW ? 1u << i : 0;
    }
    return splats && block_of(e, d, splats);
}

/* The operands' strides become those from row to row. */
static void make_by_rows(emitter *e, draft *a)
{
    for (uint32_t i = 0; i < a->in.nargs && !e->failed; i++) {
        const place *p = &e->places.data[e->args.data[a->first + i]];
        ptrdiff_t *stride = &e->strides.data[a->first + i];
        *stride = p->size * (p->level == WG__FULL ? (ptrdiff_t)e->loop->cols : p->level == WG__ROW);
    }
    a->x.block = a->in.block;
    a->in.block = NULL;
    a->in.step = wg__step_rows;
}

/* Streams: a FULL op of ROW or COL operands works column by column, where these are dense or one
 * element. */
static bool by_streams(const emitter *e, const wg__def *d)
{
    unsigned splats = 0, mixed = 0;
    if (!e->loop->streams || d->level != WG__FULL || d->nin > 3)
        return false;
    for (uint32_t i = 0; i < d->nin; i++) {
        uint8_t level = e->b->defs.data[e->b->operands.data[d->first + i]].level;
        splats |= level == WG__ONE || level == WG__COL ? 1u << i : 0;
        mixed |= level == WG__ROW || level == WG__COL;
    }
    return mixed && block_of(e, d, splats);
}

/* The operands' strides become those from column to column; of FULL ones it is the stream's. */
static void make_by_streams(emitter *e, draft *a)
{
    for (uint32_t i = 0; i < a->in.nargs && !e->failed; i++) {
        const place *p = &e->places.data[e->args.data[a->first + i]];
        e->strides.data[a->first + i] = p->level & WG__COL ? p->size : 0;
        a->x.full |= p->level == WG__FULL ? (uint8_t)(1u << i) : 0;
    }
    a->x.block = a->in.block;
    a->in.block = NULL;
    a->in.step = wg__step_streams;
}

static void emit_apply(emitter *e, wg__reg value)
{
    const wg__def *d = &e->b->defs.data[value];
    const wg__reg *in = e->b->operands.data + d->first;
    const bool rows = by_rows(e, d), streams = by_streams(e, d);
    const bool single = e->loop->patch_rows == 1 || rows;
    uint32_t at[4], *all = at;
    unsigned splats = 0;
    if (d->nin > 4 && !(all = wg__calloc(e->b->ctx, d->nin, sizeof *all))) {
        e->failed = true;
        return;
    }
    for (uint32_t i = 0; i < d->nin; i++) {
        uint8_t level = e->b->defs.data[in[i]].level;
        bool splat = level != d->level && (level == WG__ONE || (single && level == WG__ROW) ||
                                           (streams && level == WG__COL));
        splats |= i < 32 && splat ? 1u << i : 0;
        all[i] = splat || streams ? place_of(e, in[i]) : place_at(e, in[i], d->level);
    }
    draft a = begin(e, wg__step_loop, d->level, d->group);
    for (uint32_t i = 0; i < d->nin; i++)
        operand(e, &a, all[i], i < 32 && splats >> i & 1);
    operand(e, &a, place_of(e, value), false);
    a.in.block = block_of(e, d, splats);
    a.in.attrs = d->nattrs ? e->loop->attrs + d->attrs : NULL;
    a.x.loop = d->kernel->loop;
    a.x.user = d->user;
    a.x.ops = d->ops;
    a.x.function = wg__calls_function(d->kernel->expr);
    if (rows)
        make_by_rows(e, &a);
    if (streams)
        make_by_streams(e, &a);
    finish(e, &a, true);
    if (all != at)
        wg__free(e->b->ctx, all);
}

/* An index is one per row, or the same for all. */
static uint32_t index_place(emitter *e, draft *d, wg__reg index)
{
    const wg__def *i = &e->b->defs.data[index];
    bool integer = i->dtype == WG_I32 || i->dtype == WG_I64;
    if ((i->level & WG__COL) || !integer)
        refuse(e);
    d->x.index = i->dtype;
    d->x.fixed_index = i->level == WG__ONE;
    return place_of(e, index);
}

static void emit_value(emitter *e, wg__reg value)
{
    const wg__def *d = &e->b->defs.data[value];
    const wg__reg *in = e->b->operands.data + d->first;
    static const wg__step_fn step[] = {[WG__DEF_GATHER] = wg__step_gather,
                                       [WG__DEF_IOTA] = wg__step_iota,
                                       [WG__DEF_REDUCE] = wg__step_reduce,
                                       [WG__DEF_PICK] = wg__step_pick};
    uint32_t x = 0, index = 0;
    draft t = {0};
    if (d->kind == WG__DEF_REDUCE || d->kind == WG__DEF_PICK)
        x = place_at(e, in[0], WG__FULL);
    if (d->kind == WG__DEF_PICK)
        index = index_place(e, &t, in[1]);
    if (d->kind == WG__DEF_GATHER)
        index = index_place(e, &t, in[0]);
    wg__extra extra = t.x;
    t = begin(e, step[d->kind], d->level, d->group);
    t.x = extra;
    t.x.mem = d->mem;
    t.x.node = d->node;
    t.x.dim = d->dim;
    t.x.div = d->div;
    t.x.mod = d->mod;
    t.x.limit = d->limit;
    t.x.move = d->step;
    t.x.dtype = d->dtype;
    if (d->kind == WG__DEF_REDUCE || d->kind == WG__DEF_PICK)
        operand(e, &t, x, false);
    if (d->kind == WG__DEF_PICK || d->kind == WG__DEF_GATHER)
        operand(e, &t, index, false);
    if (d->kind == WG__DEF_REDUCE) {
        t.x.fold = wg__loop_fold_of(d->monoid, d->dtype, e->b->isa);
        if (!t.x.fold.rows)
            refuse(e);
    }
    if (d->kind == WG__DEF_IOTA && d->dim >= 0 && d->dim < e->loop->nouter)
        e->loop->coords = true;
    operand(e, &t, place_of(e, value), false);
    finish(e, &t, true);
}

/* ---- results --------------------------------------------------------------------------------------------- */

static void emit_store(emitter *e, const wg__def *d)
{
    wg__reg value = e->b->operands.data[d->first];
    wg__mem *m = &e->loop->mem[d->mem];
    uint8_t level = m->level |= e->loop->nouter ? WG__ONE : WG__ROW;
    const wg__def *v = &e->b->defs.data[value];
    if (!e->loop->rows || (!e->loop->cols && ((v->level | level) & WG__COL)))
        return; /* of no elements */
    if ((v->level & ~level) || v->dtype != m->dtype) {
        refuse(e);
        return;
    }
    m->out = true;
    uint32_t x = place_at(e, value, level);
    if (e->failed)
        return;
    uint8_t group = e->places.data[x].group;
    draft s = begin(e, wg__step_store, level, level == WG__FULL ? WG__G_PATCH : group);
    s.x.mem = d->mem;
    operand(e, &s, x, false);
    finish(e, &s, false);
}

static void emit_sink(emitter *e, const wg__def *d)
{
    wg__reg value = e->b->operands.data[d->first];
    const wg__def *v = &e->b->defs.data[value];
    wg__loop *loop = e->loop;
    wg__sink *s = &loop->sink[e->sinks];
    s->fold = wg__loop_fold_of(d->monoid, v->dtype, e->b->isa);
    s->mem = d->mem;
    s->columns = d->kind == WG__DEF_COLUMNS;
    s->rows_only = !s->columns && d->over != WG__FULL;
    s->buffered = s->columns && v->dtype == WG_F32 && d->monoid == WG_MONOID_SUM && !loop->streams;
    if (!s->fold.rows || (s->rows_only && (v->level & WG__COL)) || v->dtype != d->dtype) {
        refuse(e);
        return;
    }
    wg__step_fn step = s->columns ? wg__step_columns : wg__step_total;
    uint8_t level = s->rows_only ? WG__ROW : WG__FULL;
    uint32_t x = place_at(e, value, level);
    draft t = begin(e, step, level, WG__G_PATCH);
    t.x.sink = (uint32_t)e->sinks++;
    operand(e, &t, x, false);
    finish(e, &t, false);
}

static bool is_load(const emitter *e, wg__reg value)
{
    return e->b->defs.data[value].kind == WG__DEF_LOAD;
}

static void emit_all(emitter *e)
{
    for (size_t i = 0; i < e->b->mems.len; i++)
        set_mem(e, i);
    for (size_t i = 0; i < e->b->defs.len && !e->failed; i++) {
        const wg__def *d = &e->b->defs.data[i];
        if (!d->used || d->kind == WG__DEF_LOAD || d->kind == WG__DEF_STORE)
            continue;
        if (d->kind == WG__DEF_APPLY)
            emit_apply(e, (wg__reg)i);
        else if (d->kind < WG__DEF_STORE)
            emit_value(e, (wg__reg)i);
        else
            emit_sink(e, d);
    }
    /* Stores come last, since what they overwrite may be an operand; copies before others. */
    for (int copies = 1; copies >= 0; copies--)
        for (size_t i = 0; i < e->b->defs.len && !e->failed; i++) {
            const wg__def *d = &e->b->defs.data[i];
            if (d->kind == WG__DEF_STORE && copies == is_load(e, e->b->operands.data[d->first]))
                emit_store(e, d);
        }
}

static bool emit(emitter *e)
{
    wg_ctx *ctx = e->b->ctx;
    wg__loop *loop = e->loop;
    size_t n = e->b->defs.len, sinks = 0;
    for (size_t i = 0; i < n; i++)
        sinks +=
            e->b->defs.data[i].kind == WG__DEF_TOTAL || e->b->defs.data[i].kind == WG__DEF_COLUMNS;
    loop->nsink = sinks;
    loop->mem = wg__calloc(ctx, e->b->mems.len + 1, sizeof *loop->mem);
    loop->sink = wg__calloc(ctx, sinks + 1, sizeof *loop->sink);
    e->of = wg__calloc(ctx, n + 1, sizeof *e->of);
    e->spread = wg__calloc(ctx, n + 1, 4 * sizeof *e->spread);
    if (!loop->mem || !loop->sink || !e->of || !e->spread)
        return false;
    memset(e->of, 0xff, (n + 1) * sizeof *e->of);
    memset(e->spread, 0xff, (n + 1) * 4 * sizeof *e->spread);
    loop->attrs = e->b->attrs.data; /* taken over */
    e->b->attrs.data = NULL;
    e->b->attrs.len = e->b->attrs.cap = 0;
    emit_all(e);
    return !e->failed && wg__loop_place(e);
}

bool wg__loop_emit(wg__loop_builder *b, wg__loop *loop)
{
    emitter e = {.b = b, .loop = loop};
    bool ok = emit(&e);
    for (int g = 0; g < WG__GROUPS; g++)
        wg__vec_free(b->ctx, &e.list[g]);
    wg__vec_free(b->ctx, &e.places);
    wg__vec_free(b->ctx, &e.args);
    wg__vec_free(b->ctx, &e.strides);
    wg__vec_free(b->ctx, &e.order);
    wg__free(b->ctx, e.of);
    wg__free(b->ctx, e.spread);
    return ok;
}
