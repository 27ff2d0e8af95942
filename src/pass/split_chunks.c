/* split: loops in chunks. How many steps a chunk has, what a chunk takes of the sequences, the loop over
 * chunks, and the steps that are left over. */
#include <string.h>

#include <wengert/ops.h>

#include "pass/split.h"

enum { CHUNK_ROWS = 512, LEAST_CHUNK = 16, MOST_CHUNK = 64 };

/* One loop at work. */
typedef struct cutting {
    const wg__split *sp;
    wg__copy *c;
    const uint32_t *in; /* operands on the destination */
    size_t nin, nout;
    int64_t chunk, chunks, rest;
} cutting;

/* ---- how many steps at once ------------------------------------------------------------------------ */

static int64_t rows_of(const wg_shape *s)
{
    const int64_t width = s->rank >= 2 ? s->dim[s->rank - 1] : 0;
    return width > 0 ? wg_shape_count(*s) / width : 1;
}

/* Rows of a step: of the carries, which a loop and its backward loop have in common; of a loop without
 * carries, of its products. */
static int64_t step_rows(const wg__split *sp)
{
    int64_t rows = 1;
    for (uint32_t id = 0; id < sp->body->nodes.len; id++) {
        const bool product = wg__op_of(sp->body, id)->def.flags & WG_OP_CONTRACT;
        const wg_shape *s = &wg__type_at(sp->body, id)->shape;
        if (sp->s.ncarry == 0 && product && rows_of(s) > rows)
            rows = rows_of(s);
    }
    for (size_t k = 0; k < sp->s.ncarry; k++) {
        const uint32_t id = wg__scan_formal(&sp->s, k);
        const wg_shape *s = &wg__type_at(sp->body, id)->shape;
        if (wg__is_float_value(sp, id) && rows_of(s) > rows)
            rows = rows_of(s);
    }
    return rows;
}

/* Whether there is room for two axes more in all that is stacked. */
static bool fits(const wg__split *sp)
{
    const wg__scan *s = &sp->s;
    int most = 0;
    for (size_t k = 0; k < s->w0; k++) {
        const int rank = wg__type_at(sp->body, wg__scan_formal(s, k))->shape.rank;
        if ((k >= s->x0 || sp->history[k]) && rank > most)
            most = rank;
    }
    for (size_t k = s->y0; k < s->sum0; k++) {
        const int rank = wg__type_at(sp->body, s->fn->outs[k])->shape.rank;
        most = rank > most ? rank : most;
    }
    return most <= WG_MAX_RANK - 2;
}

static bool any_heavy(const wg__split *sp)
{
    for (uint32_t id = 0; id < sp->body->nodes.len; id++)
        if ((sp->role[id] & WG__READ) &&
            (wg__op_of(sp->body, id)->def.flags & (WG_OP_CONTRACT | WG_OP_GATHER)))
            return true;
    return false;
}

/* Steps of a chunk; 0: all at once. */
static int64_t chunk_of(const wg__split *sp)
{
    const int64_t rows = step_rows(sp), steps = sp->s.length.dim[0];
    int64_t chunk = (CHUNK_ROWS + rows - 1) / rows;
    chunk = chunk < LEAST_CHUNK ? LEAST_CHUNK : chunk > MOST_CHUNK ? MOST_CHUNK : chunk;
    return sp->s.counted || steps < 2 * chunk || !fits(sp) || !any_heavy(sp) ? 0 : chunk;
}

/* ---- pieces of sequences --------------------------------------------------------------------------------- */

/* Steps from `from` on, `size` of them. */
static wg_var section_of(wg_var x, int64_t from, int64_t size)
{
    const wg_shape shape = wg_typeof(x).shape;
    wg_shape start = wg_shape_make(NULL, 0), part = start;
    wg_shape_push_size(&start, from);
    wg_shape_push_size(&part, size);
    for (int i = 1; i < shape.rank; i++) {
        wg_shape_push_size(&start, 0);
        wg_shape_push(&part, &shape, i);
    }
    return shape.dim[0] == size ? x : wg_section(x, start, part);
}

/* [chunks, chunk, ...] of the steps that are in chunks. */
static wg_var in_chunks(const cutting *k, wg_var x)
{
    const wg_shape shape = wg_typeof(x).shape;
    wg_shape to = wg_shape_make(&k->chunks, 1);
    wg_shape_push_size(&to, k->chunk);
    for (int i = 1; i < shape.rank; i++)
        wg_shape_push(&to, &shape, i);
    return wg_reshape(section_of(x, 0, k->chunks * k->chunk), to);
}

/* [chunks * chunk, ...] of what the outer loop stacked. */
static wg_var out_of_chunks(const cutting *k, wg_var x)
{
    const wg_shape shape = wg_typeof(x).shape;
    const int64_t steps = k->chunks * k->chunk;
    wg_shape to = wg_shape_make(&steps, 1);
    for (int i = 2; i < shape.rank; i++)
        wg_shape_push(&to, &shape, i);
    return wg_reshape(x, to);
}

static bool is_sequence(const wg__scan *s, size_t operand)
{
    return operand >= s->x0 && operand < s->w0;
}

static const char *name_of(const wg__split *sp, uint32_t id)
{
    return wg__text(sp->body, wg__node_at(sp->body, id)->name);
}

/* ---- the loop over chunks ---------------------------------------------------------------------------------- */

static void chunk_operands(const cutting *k, wg__rescan *l, const uint32_t *carries)
{
    const wg__scan *s = &k->sp->s;
    for (size_t i = 0; i < wg__scan_noperands(s); i++) {
        if (!is_sequence(s, i)) {
            wg__rescan_keep(l, i < s->x0 ? WG__CARRY : WG__W, i, i < s->x0 ? carries[i] : k->in[i]);
            continue;
        }
        const wg_type *step = wg__type_at(k->sp->body, wg__scan_formal(s, i));
        const wg_shape steps = wg_shape_make(&k->chunk, 1);
        wg_type type = {step->dtype, wg__stacked_shape(steps, step->shape)};
        wg_var x = in_chunks(k, wg__var(k->c->dst, k->in[i]));
        const uint32_t id = wg__resolve(k->c->dst, x, "split");
        l->failed |= id == WG__NONE;
        wg__rescan_add(l, WG__X, id, type, name_of(k->sp, wg__scan_formal(s, i)));
    }
}

/* The body: a chunk's steps. Its outputs: carries, per-step outputs, histories that are read, sums. */
static bool chunk_body(const cutting *k, wg__rescan *l, uint32_t *in, uint32_t *outs)
{
    const wg__scan *s = &k->sp->s;
    size_t at[3] = {0, 0, 0};
    wg__rescan_open(l);
    if (l->failed)
        return false;
    for (size_t i = 0; i < wg__scan_noperands(s); i++) {
        const int group = i < s->x0 ? WG__CARRY : i < s->w0 ? WG__X : WG__W;
        in[i] = l->in[group].data[at[group]++].formal;
    }
    wg__copy c = *k->c;
    c.dst = l->body;
    if (!wg__split_emit(k->sp, &c, wg_shape_make(&k->chunk, 1), in, outs))
        return false;
    for (size_t i = 0; i < k->nout; i++)
        if (outs[i] != WG__NONE)
            wg__rescan_out(l,
                           i < s->y0                      ? WG__FINAL
                           : i >= s->sum0 && i < s->hist0 ? WG__SUM
                                                          : WG__Y,
                           outs[i]);
    return !l->failed;
}

/* Where the loop over chunks has them: finals, stacks (histories among them), sums. */
static bool chunk_outputs(const cutting *k, uint32_t first, uint32_t *outs)
{
    const wg__scan *s = &k->sp->s;
    size_t stacks = s->nys, at = s->y0;
    for (size_t i = 0; i < s->ncarry; i++)
        stacks += k->sp->history[i];
    for (size_t i = 0; i < k->nout; i++) {
        const bool sum = i >= s->sum0 && i < s->hist0, final = i < s->y0;
        if (!final && !sum && outs[i] != WG__NONE) {
            wg_var x = out_of_chunks(k, wg__var(k->c->dst, first + (uint32_t)at++));
            outs[i] = wg__resolve(k->c->dst, x, "split");
            if (outs[i] == WG__NONE)
                return false;
        } else if (outs[i] != WG__NONE) {
            outs[i] = first + (uint32_t)(final ? i : i - s->sum0 + s->y0 + stacks);
        }
    }
    return true;
}

/* carries: ids on the destination, for the first chunk that runs. */
static bool run_chunks(const cutting *k, const uint32_t *carries, uint32_t *outs)
{
    wg__rescan l;
    uint32_t first = WG__NONE, *in = wg__calloc(k->sp->ctx, k->nin + 1, sizeof *in);
    wg__rescan_begin(&l, k->c, &k->sp->s);
    l.s.length = wg_shape_make(&k->chunks, 1);
    chunk_operands(k, &l, carries);
    if (in && !l.failed && chunk_body(k, &l, in, outs))
        first = wg__rescan_end(&l, NULL);
    wg__rescan_free(&l);
    wg__free(k->sp->ctx, in);
    return first != WG__NONE && chunk_outputs(k, first, outs);
}

/* The steps that are in no chunk. */
static bool run_rest(const cutting *k, const uint32_t *carries, uint32_t *outs)
{
    const wg__scan *s = &k->sp->s;
    uint32_t *in = wg__calloc(k->sp->ctx, k->nin + 1, sizeof *in);
    bool good = in != NULL;
    for (size_t i = 0; good && i < k->nin; i++) {
        in[i] = i < s->ncarry ? carries[i] : k->in[i];
        if (!is_sequence(s, i))
            continue;
        wg_var x = section_of(wg__var(k->c->dst, in[i]), k->chunks * k->chunk, k->rest);
        in[i] = wg__resolve(k->c->dst, x, "split");
        good = in[i] != WG__NONE;
    }
    good = good && wg__split_emit(k->sp, k->c, wg_shape_make(&k->rest, 1), in, outs);
    wg__free(k->sp->ctx, in);
    return good;
}

/* Outputs of all steps from those of the chunks and those of the rest; finals are the later part's. */
static bool join(const cutting *k, const uint32_t *chunks, const uint32_t *rest, uint32_t *outs)
{
    const wg__scan *s = &k->sp->s;
    wg_tape *dst = k->c->dst;
    for (size_t i = s->y0; i < k->nout; i++) {
        if (chunks[i] == WG__NONE)
            continue;
        const wg_var parts[] = {wg__var(dst, chunks[i]), wg__var(dst, rest[i])};
        const bool sum = i >= s->sum0 && i < s->hist0;
        wg_var all = !sum         ? wg_concat(parts, 2, 0)
                     : s->reverse ? wg_add(parts[1], parts[0])
                                  : wg_add(parts[0], parts[1]);
        if ((outs[i] = wg__resolve(dst, all, "split")) == WG__NONE)
            return false;
    }
    return true;
}

static bool run_cut(const cutting *k, uint32_t *outs, uint32_t *other)
{
    const wg__scan *s = &k->sp->s;
    if (!k->rest)
        return run_chunks(k, k->in, outs);
    const bool good = s->reverse ? run_rest(k, k->in, other) && run_chunks(k, other, outs)
                                 : run_chunks(k, k->in, other) && run_rest(k, other, outs);
    return good && (s->reverse ? join(k, outs, other, outs) : join(k, other, outs, outs));
}

/* ---- one loop ---------------------------------------------------------------------------------- */

/* Types of outputs are as before, to the symbols. */
static bool finish(const cutting *k, const uint32_t *outs)
{
    const uint32_t id = k->sp->s.id;
    wg_tape *dst = k->c->dst;
    for (uint32_t i = 0; i < k->nout; i++) {
        if (outs[i] == WG__NONE)
            continue;
        const wg_shape *want = &wg__type_at(k->c->src, id + i)->shape,
                       *got = &wg__type_at(dst, outs[i])->shape;
        uint32_t to = outs[i];
        if (memcmp(want->symbol, got->symbol, (size_t)want->rank * sizeof *want->symbol) != 0)
            to = wg__resolve(dst, wg_reshape(wg__var(dst, to), *want), "split");
        if (to == WG__NONE)
            return false;
        k->c->map[id + i] = to;
    }
    return true;
}

bool wg__split_record(const wg__split *sp, wg__copy *c, bool *in_chunks)
{
    const wg__node *n = wg__node_at(c->src, sp->s.id);
    cutting k = {.sp = sp, .c = c, .nin = n->nin, .nout = n->nout, .chunk = chunk_of(sp)};
    const size_t room = (size_t)k.nin + 2 * k.nout + 1;
    uint32_t *ids = wg__alloc(sp->ctx, room * sizeof *ids);
    if (!ids) {
        wg__tape_no_memory(c->dst);
        return false;
    }
    memset(ids, 0xff, room * sizeof *ids);
    for (size_t i = 0; i < k.nin; i++)
        ids[i] = c->map[sp->s.in[i]];
    k.in = ids;
    k.chunks = k.chunk ? sp->s.length.dim[0] / k.chunk : 0;
    k.rest = k.chunk ? sp->s.length.dim[0] % k.chunk : 0;
    uint32_t *outs = ids + k.nin, *other = outs + k.nout;
    bool good = k.chunk ? run_cut(&k, outs, other) : wg__split_emit(sp, c, sp->s.length, ids, outs);
    good = good && finish(&k, outs);
    wg__free(sp->ctx, ids);
    *in_chunks = k.chunk > 0;
    return good;
}
