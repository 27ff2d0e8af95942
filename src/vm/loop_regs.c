/* Where the values of a loop live: liveness, results computed right into memory, registers, the layout
 * of scratch. */
#include <string.h>
#include "vm/loop_emit.h"

#define NONE WG__NO_PLACE
typedef wg__place place;
typedef wg__draft draft;
typedef wg__emitter emitter;

bool wg__loop_is_dense(const wg__loop *loop, const wg__mem *m)
{
    if (m->col != m->size || !loop->cols || loop->streams)
        return false;
    if (loop->patch_rows == 1)
        return true;
    return m->level == WG__FULL && m->uniform && loop->patch_cols == (size_t)loop->cols &&
           m->row == (ptrdiff_t)loop->cols * m->size;
}

/* ---- order and liveness ----------------------------------------------------------------------------------- */

static void put_in_order(emitter *e)
{
    for (int g = 0; g < WG__GROUPS && !e->failed; g++) {
        e->loop->begin[g] = e->order.len;
        if (!wg__vec_reserve(e->b->ctx, &e->order, e->list[g].len)) {
            e->failed = true;
            return;
        }
        if (e->list[g].len)
            memcpy(e->order.data + e->order.len, e->list[g].data,
                   e->list[g].len * sizeof *e->list[g].data);
        e->order.len += e->list[g].len;
    }
    e->loop->begin[WG__GROUPS] = e->order.len;
}

static void find_uses(emitter *e)
{
    for (uint32_t i = 0; i < e->order.len; i++) {
        const draft *d = &e->order.data[i];
        for (uint32_t k = 0; k < d->in.nargs; k++) {
            place *p = &e->places.data[e->args.data[d->first + k]];
            bool result = d->result && k + 1 == d->in.nargs;
            if (result)
                p->def = p->last = i;
            else if (p->group != d->group || (p->last == NONE && !p->memory))
                p->last = NONE; /* kept to the end */
            else
                p->last = i;
        }
    }
}

/* ---- storing directly ---------------------------------------------------------------------------------------- */

/* Does an instruction after `i` read memory that a result of this element size may share? */
static bool read_later(const emitter *e, uint32_t i, uint8_t size)
{
    for (uint32_t k = i + 1; k < e->order.len; k++) {
        const draft *d = &e->order.data[k];
        if (d->in.step == wg__step_load && e->loop->mem[d->x.mem].size == size &&
            e->loop->mem[d->x.mem].level == WG__FULL)
            return true;
        for (uint32_t j = 0; j < d->in.nargs; j++) {
            const place *p = &e->places.data[e->args.data[d->first + j]];
            if (p->memory && p->def == NONE && p->size == size && p->level == WG__FULL)
                return true;
        }
    }
    return false;
}

/* A result that is computed in a patch and stored dense is computed right into memory. */
static void store_directly(emitter *e)
{
    for (uint32_t i = 0; i < e->order.len; i++) {
        draft *d = &e->order.data[i];
        if (d->in.step != wg__step_store)
            continue;
        wg__mem *m = &e->loop->mem[d->x.mem];
        place *p = &e->places.data[d->in.a];
        if (m->level != WG__FULL || !wg__loop_is_dense(e->loop, m) || p->memory || p->def == NONE ||
            p->group != WG__G_PATCH || p->level != WG__FULL || read_later(e, p->def, m->size))
            continue;
        p->memory = m->direct = true;
        m->place = d->in.a;
        d->dropped = true;
    }
}

/* ---- registers --------------------------------------------------------------------------------------------- */

typedef struct hole {
    size_t at, bytes;
} hole;

static size_t bytes_of(const emitter *e, const place *p)
{
    const wg__loop *loop = e->loop;
    size_t rows = loop->streams ? wg__lanes_up(loop->patch_rows) : loop->patch_rows;
    size_t n = (p->level & WG__ROW ? rows : 1) * (p->level & WG__COL ? loop->patch_cols : 1);
    return (wg__lanes_up(n ? n : 1) * p->size + 63) & ~(size_t)63;
}

/* Registers whose last use is instruction `i` become free. `first`: only those that its result may
 * overwrite, that is operands of a block kernel of the result's dtype and level. */
static void release(emitter *e, uint32_t i, const place *result, hole *holes, size_t *nholes)
{
    const draft *d = &e->order.data[i];
    uint32_t operands = d->in.nargs - d->result;
    for (uint32_t k = 0; k < operands; k++) {
        place *p = &e->places.data[e->args.data[d->first + k]];
        if (p->last != i || p->memory || p->def == NONE || p->def == i)
            continue;
        if (result && (p->dtype != result->dtype || p->level != result->level))
            continue;
        holes[(*nholes)++] = (hole){p->at, bytes_of(e, p)};
        p->last = NONE; /* an operand may be named twice */
    }
}

static size_t take(emitter *e, size_t bytes, hole *holes, size_t *nholes)
{
    for (size_t k = *nholes; k-- > 0;)
        if (holes[k].bytes == bytes) {
            size_t at = holes[k].at;
            holes[k] = holes[--*nholes];
            return at;
        }
    size_t at = e->registers;
    e->registers += bytes;
    return at;
}

static void give_registers(emitter *e)
{
    size_t nholes = 0;
    hole *holes = wg__calloc(e->b->ctx, e->places.len + 1, sizeof *holes);
    e->failed = e->failed || !holes;
    uint8_t group = WG__G_ONE;
    for (uint32_t i = 0; i < e->order.len && !e->failed; i++) {
        const draft *d = &e->order.data[i];
        if (d->dropped)
            continue;
        if (d->group != group)
            nholes = 0; /* groups run at different times: they share nothing */
        group = d->group;
        place *y = d->result ? &e->places.data[d->in.y] : NULL;
        if (y && (d->in.block || d->x.block))
            release(e, i, y, holes, &nholes);
        if (y && !y->memory)
            y->at = take(e, bytes_of(e, y), holes, &nholes);
        release(e, i, NULL, holes, &nholes);
        if (y && !y->memory && y->last == i) /* nobody wants it */
            holes[nholes++] = (hole){y->at, bytes_of(e, y)};
    }
    for (size_t k = 0; k < e->places.len; k++)
        if (e->places.data[k].def == NONE || e->places.data[k].memory) {
            e->places.data[k].at = e->registers;
            e->registers += bytes_of(e, &e->places.data[k]);
        }
    wg__free(e->b->ctx, holes);
}

/* ---- the loop ------------------------------------------------------------------------------------------------ */

static size_t up64(size_t n) { return (n + 63) & ~(size_t)63; }

static bool pack_insts(emitter *e)
{
    wg_ctx *ctx = e->b->ctx;
    wg__loop *loop = e->loop;
    size_t n = 0;
    loop->inst = wg__calloc(ctx, e->order.len + 1, sizeof *loop->inst);
    loop->extra = wg__calloc(ctx, e->order.len + 1, sizeof *loop->extra);
    loop->at = wg__calloc(ctx, e->places.len + 1, sizeof *loop->at);
    if (!loop->inst || !loop->extra || !loop->at)
        return false;
    loop->args = e->args.data;
    loop->strides = e->strides.data;
    e->args.data = NULL;
    e->strides.data = NULL;
    for (int g = 0; g < WG__GROUPS; g++) {
        size_t first = loop->begin[g], end = loop->begin[g + 1];
        loop->begin[g] = n;
        for (size_t i = first; i < end; i++) {
            draft *d = &e->order.data[i];
            if (d->dropped)
                continue;
            d->x.args = loop->args + d->first;
            d->x.strides = loop->strides + d->first;
            loop->extra[n] = d->x;
            loop->inst[n] = d->in;
            loop->inst[n].extra = &loop->extra[n];
            n++;
        }
    }
    loop->begin[WG__GROUPS] = loop->ninst = n;
    return true;
}

static uint32_t most_args(const emitter *e)
{
    uint32_t n = 0;
    for (size_t i = 0; i < e->order.len; i++)
        n = e->order.data[i].in.nargs > n ? e->order.data[i].in.nargs : n;
    return n;
}

/* Scratch: places, bases, operands of a call, buffers, registers. */
static bool lay_out(emitter *e)
{
    wg__loop *loop = e->loop;
    loop->nplaces = e->places.len;
    loop->nmem = e->b->mems.len;
    loop->base_at = up64(loop->nplaces * sizeof(char *));
    loop->call_at = loop->base_at + up64(loop->nmem * sizeof(char *));
    loop->scratch = loop->call_at + up64(most_args(e) * sizeof(char *));
    size_t patch = loop->patch_rows * loop->patch_cols;
    for (size_t i = 0; i < loop->nsink; i++) {
        wg__sink *s = &loop->sink[i];
        size_t wide = wg_dtype_size(s->fold.wide), size = wg_dtype_size(s->fold.dtype), bytes;
        size_t parts = s->columns ? loop->bands : loop->tiles;
        if (!wg__mul_size(parts, s->columns ? (size_t)loop->cols * wide : sizeof(double), &bytes))
            return false;
        s->at = loop->partials;
        loop->partials += up64(bytes);
        s->buffer = loop->scratch;
        loop->scratch += s->buffered ? up64((size_t)loop->cut_cols * size) : 0;
        bool halves = s->columns && (s->buffered || s->fold.widen == s->fold.down);
        s->half = halves && loop->patch_cols < 64 ? loop->scratch : 0;
        loop->scratch += s->half ? up64(patch / 2 * size) : 0;
    }
    for (size_t k = 0; k < e->places.len; k++)
        loop->at[k] = loop->scratch + e->places.data[k].at;
    loop->scratch += e->registers;
    return true;
}

static bool aim_list(emitter *e)
{
    wg__loop *loop = e->loop;
    loop->aim = wg__calloc(e->b->ctx, loop->nmem + 1, sizeof *loop->aim);
    for (int level = WG__FULL; level >= 0 && loop->aim; level--) {
        if (level == WG__COL)
            loop->aim_cols = loop->naim;
        if (level == WG__ONE)
            loop->aim_ones = loop->naim;
        for (size_t i = 0; i < loop->nmem; i++)
            if (loop->mem[i].direct && loop->mem[i].level == level) {
                loop->mem[i].shadow = loop->at[loop->mem[i].place];
                loop->aim[loop->naim++] = (uint32_t)i;
            }
    }
    return loop->aim;
}

static double elements(const wg__loop *loop, uint32_t level)
{
    return (level & WG__ROW ? (double)loop->rows : 1) * (level & WG__COL ? (double)loop->cols : 1);
}

/* Rough nanoseconds of an element: vectors of cheap ops, of functions (SLEEF's), and none. */
static double element_cost(const wg__inst *in)
{
    const wg__extra *x = in->extra;
    const bool folds =
        in->step == wg__step_reduce || in->step == wg__step_total || in->step == wg__step_columns;
    const double wide = x->size == 8 ? 2 : 1;
    if (in->block || x->block || folds)
        return wide * (x->function ? 0.2 : 0.025);
    return in->step == wg__step_loop ? x->function ? 10 : 1 : 0.1;
}

/* Bytes that a nanosecond moves, from the second level, the third, and memory. */
static double bytes_per_ns(double bytes) { return bytes < 1e6 ? 200 : bytes < 1.6e7 ? 100 : 35; }

static void estimate(wg__loop *loop)
{
    for (size_t i = 0; i < loop->ninst; i++) {
        const wg__inst *in = &loop->inst[i];
        bool folds = in->step == wg__step_reduce || in->step == wg__step_total ||
                     in->step == wg__step_columns;
        double n = elements(loop, folds ? WG__FULL : in->level);
        bool computes = in->block || in->extra->block || folds || in->step == wg__step_loop;
        loop->flops += computes ? n * in->extra->ops : 0;
        loop->cost += 5 + n * element_cost(in);
    }
    for (size_t i = 0; i < loop->nmem; i++)
        loop->bytes += elements(loop, loop->mem[i].level) * loop->mem[i].size;
    loop->cost += 40 + loop->bytes / bytes_per_ns(loop->bytes);
}

bool wg__loop_place(emitter *e)
{
    put_in_order(e);
    if (e->failed)
        return false;
    find_uses(e);
    store_directly(e);
    give_registers(e);
    if (e->failed || !pack_insts(e) || !lay_out(e) || !aim_list(e))
        return false;
    estimate(e->loop);
    return true;
}
