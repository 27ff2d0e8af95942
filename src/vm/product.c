/* Matrix products: see product.h. cut.c decides the tiles, pack.c how operands are read, blas.c
 * which library computes a tile. Here they are put together and run. */
#include <stdint.h>
#include <string.h>

#include "vm/product_parts.h"

static size_t aligned(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

/* ---- making ------------------------------------------------------------------------------------ */

/* Batches that share b, and whose rows of a (and c) go on where the batch before ended, are rows. */
static void collapse(wg__product_spec *s)
{
    for (; s->nbatch; s->nbatch--) {
        const int d = s->nbatch - 1;
        const int64_t count = s->batch[d];
        if (count == 1)
            continue;
        const ptrdiff_t a_row = s->m == 1 ? s->a.batch[d] : s->a.row;
        const ptrdiff_t c_row = s->m == 1 ? s->c.batch[d] : s->c.row;
        int64_t m;
        if (s->b.batch[d] || s->a.batch[d] != a_row * s->m ||
            (s->store && s->c.batch[d] != c_row * s->m) || __builtin_mul_overflow(s->m, count, &m))
            return;
        s->a.row = a_row;
        s->c.row = c_row;
        s->m = m;
    }
}

/* Operands that oneDNN reads slowly as they lie, where a copy costs less: few rows of a transposed
 * a, and a large transposed b that few rows use. */
static bool is_slow_a(const wg__product_spec *s)
{
    return s->dtype == WG_F32 && s->m > 1 && s->m <= 64 && (double)s->k * (double)s->n >= 5e5;
}

static bool is_slow_b(const wg__product_spec *s)
{
    return s->dtype == WG_F32 && s->m >= 16 && s->m <= 48 && s->k >= 64 && s->n >= 64 &&
           (double)s->k * (double)s->n >= 5e5;
}

static bool make_operands(wg__product *p)
{
    const wg__product_spec *s = &p->spec;
    size_t *end = &p->shared;
    return wg__operand_make(&p->a, s, &s->a, s->m, s->k, false, end) &&
           (!p->a.trans || !is_slow_a(s) ||
            wg__operand_make(&p->a, s, &s->a, s->m, s->k, true, end)) &&
           wg__operand_make(&p->b, s, &s->b, s->k, s->n, false, end) &&
           (!p->b.trans || !is_slow_b(s) ||
            wg__operand_make(&p->b, s, &s->b, s->k, s->n, true, end));
}

static bool make_tiles(wg__product *p)
{
    wg__product_spec *s = &p->spec;
    p->cut = wg__product_cut(s, p->matrices, p->a.trans, p->b.trans);
    if (s->m == 1)
        s->c.row = (ptrdiff_t)p->size * s->n;
    const int64_t ldc = s->store ? s->c.row / (ptrdiff_t)p->size : p->cut.cols;
    int64_t ld = p->a.ld > p->b.ld ? p->a.ld : p->b.ld;
    p->gemm = wg__gemm(s->dtype, p->cut.rows, p->cut.cols, s->k, ld > ldc ? ld : ldc);
    size_t bytes = 0;
    if (!s->store && (!wg__mul_size((size_t)p->cut.rows, (size_t)p->cut.cols, &bytes) ||
                      !wg__mul_size(bytes, (size_t)p->cut.group * p->size, &bytes)))
        return false;
    p->tile_bytes = aligned(bytes);
    return p->tile_bytes >= bytes;
}

wg__product *wg__product_make(wg_ctx *ctx, const wg__product_spec *spec)
{
    wg__product *p = wg__calloc(ctx, 1, sizeof *p);
    if (!p)
        return NULL;
    p->spec = *spec;
    p->size = wg_dtype_size(spec->dtype);
    p->nbatch = spec->nbatch;
    p->m = spec->m;
    memcpy(p->batch, spec->batch, sizeof p->batch);
    collapse(&p->spec);
    p->matrices = 1;
    bool ok = true;
    for (int d = 0; d < p->spec.nbatch; d++)
        ok = wg__mul_size(p->matrices, (size_t)p->spec.batch[d], &p->matrices) && ok;
    if (p->matrices && p->spec.m && spec->n)
        ok = ok && (!spec->k || make_operands(p)) && make_tiles(p);
    if (ok)
        return p;
    wg__product_free(ctx, p);
    return NULL;
}

void wg__product_free(wg_ctx *ctx, wg__product *p)
{
    if (!p)
        return;
    wg__loop_free(ctx, p->epilogue);
    wg__free(ctx, p);
}

size_t wg__product_bands(const wg__product *p) { return p->cut.group_cuts * p->cut.row_cuts; }
size_t wg__product_rects(const wg__product *p) { return wg__product_bands(p) * p->cut.col_cuts; }

void wg__product_c(const wg__product *p, wg__loop_mem *mem)
{
    const wg__product_spec *s = &p->spec;
    *mem = (wg__loop_mem){.slot = s->c.slot, .dtype = s->dtype, .col = (ptrdiff_t)p->size};
    if (!s->store) {
        ptrdiff_t step = (ptrdiff_t)p->cut.cols * (ptrdiff_t)p->size;
        for (int d = p->nbatch; d >= 0; d--) {
            mem->outer[d] = step;
            step *= d == p->nbatch ? p->m : p->batch[d];
        }
        return;
    }
    /* the dimensions that became rows lie behind those that did not */
    ptrdiff_t step = s->c.row;
    mem->offset = s->c.offset;
    memcpy(mem->outer, s->c.batch, sizeof mem->outer);
    mem->outer[p->nbatch] = step;
    step *= p->m;
    for (int d = p->nbatch - 1; d >= s->nbatch; d--) {
        mem->outer[d] = step;
        step *= p->batch[d];
    }
}

void wg__product_set_epilogue(wg__product *p, wg__loop *epilogue)
{
    p->epilogue = epilogue;
    p->slots = wg__loop_slots(epilogue);
    if (p->slots <= p->spec.c.slot)
        p->slots = (size_t)p->spec.c.slot + 1;
}

/* ---- sizes ------------------------------------------------------------------------------------- */

static size_t slots_bytes(const wg__product *p)
{
    return p->spec.store ? 0 : aligned(p->slots * sizeof(char *));
}

size_t wg__product_packs(const wg__product *p)
{
    return wg__operand_items(&p->a) + wg__operand_items(&p->b);
}

size_t wg__product_tiles(const wg__product *p) { return wg__product_rects(p); }

size_t wg__product_scratch(const wg__product *p)
{
    return p->tile_bytes + slots_bytes(p) + (p->epilogue ? wg__loop_scratch(p->epilogue) : 0);
}

size_t wg__product_shared(const wg__product *p) { return p->shared; }

size_t wg__product_partials(const wg__product *p)
{
    return p->epilogue ? wg__loop_partials(p->epilogue) : 0;
}

const wg__loop *wg__product_epilogue(const wg__product *p) { return p->epilogue; }

static double elements(const wg__product *p, int64_t rows, int64_t cols)
{
    return (double)p->matrices * (double)rows * (double)cols;
}

double wg__product_flops(const wg__product *p)
{
    return 2 * elements(p, p->spec.m, p->spec.n) * (double)p->spec.k;
}

double wg__product_bytes(const wg__product *p)
{
    const wg__product_spec *s = &p->spec;
    double count = elements(p, s->m, s->k) + elements(p, s->k, s->n) +
                   (s->store ? elements(p, s->m, s->n) : 0);
    return count * (double)p->size + (p->epilogue ? wg__loop_bytes(p->epilogue) : 0);
}

/* Rough rates of a core: flops and bytes per ns. */
double wg__product_cost(const wg__product *p)
{
    const bool vector = p->spec.m == 1 || p->spec.n == 1;
    const double rate = vector ? 20 : 100, call = 50;
    double cost = wg__product_flops(p) * (double)p->size / (4 * rate) + (double)p->matrices * call;
    cost += (double)p->shared / 10;
    return cost + (p->epilogue ? wg__loop_cost(p->epilogue) : 0);
}

/* ---- running ----------------------------------------------------------------------------------- */

void wg__product_pack(const wg__product *p, const wg__product_run *run, size_t item)
{
    const size_t of_a = wg__operand_items(&p->a);
    if (item < of_a)
        wg__operand_pack(&p->a, &p->spec, run->slots, run->shared, item);
    else
        wg__operand_pack(&p->b, &p->spec, run->slots, run->shared, item - of_a);
}

/* A tile: batches [batch, batch + batches), rows [row, row + rows) of each, columns likewise. */
typedef struct tile {
    int64_t batch, batches, row, rows, col, cols;
    size_t number, band;
} tile;

static int64_t rest(int64_t size, int64_t all, int64_t from)
{
    return all - from < size ? all - from : size;
}

static tile tile_at(const wg__product *p, size_t number)
{
    const wg__cut *c = &p->cut;
    tile t = {.number = number, .band = number / c->col_cuts};
    t.col = (int64_t)(number % c->col_cuts) * c->cols;
    t.row = (int64_t)(t.band % c->row_cuts) * c->rows;
    t.batch = (int64_t)(t.band / c->row_cuts) * c->group;
    t.cols = rest(c->cols, p->spec.n, t.col);
    t.rows = rest(c->rows, p->spec.m, t.row);
    t.batches = rest(c->group, (int64_t)p->matrices, t.batch);
    return t;
}

/* The operand from element (row, col) of a batch on. */
static wg__dense part(const wg__product *p, const wg__operand *o, const wg__product_run *run,
                      int64_t batch, int64_t row, int64_t col)
{
    const char *base = o->packed ? run->shared + o->shared_at : run->slots[o->slot] + o->offset;
    const int64_t at = o->trans ? col * o->ld + row : row * o->ld + col;
    base += wg__batch_at(&p->spec, o->batch, batch) + at * (int64_t)p->size;
    return (wg__dense){base, o->ld, o->trans};
}

static void clear(const wg__product *p, const tile *t, char *c, size_t row_bytes)
{
    for (int64_t i = 0; i < t->rows; i++)
        memset(c + (size_t)i * row_bytes, 0, (size_t)t->cols * p->size);
}

/* One batch of the tile into c. */
static void multiply(const wg__product *p, const wg__product_run *run, const tile *t, int64_t batch,
                     char *c, ptrdiff_t row_bytes)
{
    if (!p->spec.k) {
        clear(p, t, c, (size_t)row_bytes);
        return;
    }
    const wg__dense a = part(p, &p->a, run, batch, t->row, 0);
    const wg__dense b = part(p, &p->b, run, batch, 0, t->col);
    p->gemm(t->rows, t->cols, p->spec.k, &a, &b, c, row_bytes / (ptrdiff_t)p->size);
}

/* The run's slots, with c's pointing where c would begin were all of it where the tile is. */
static char *const *slots_with_tile(const wg__product *p, const wg__product_run *run, const tile *t)
{
    char **slots = (char **)(void *)(run->scratch + p->tile_bytes);
    size_t known = run->nslots < p->slots ? run->nslots : p->slots;
    memcpy(slots, run->slots, known * sizeof *slots);
    const int64_t row = t->batch * p->spec.m + t->row;
    const uintptr_t before = (uintptr_t)(row * p->cut.cols + t->col) * p->size;
    slots[p->spec.c.slot] = (char *)((uintptr_t)run->scratch - before);
    return slots;
}

static bool finish_tile(const wg__product *p, const wg__product_run *run, const tile *t)
{
    if (!p->epilogue)
        return true;
    const wg__loop_run loop_run = {
        .slots = p->spec.store ? run->slots : slots_with_tile(p, run, t),
        .scratch = run->scratch + p->tile_bytes + slots_bytes(p),
        .partials = run->partials,
        .fault = run->fault,
    };
    /* several batches in a tile have all their rows there */
    const int64_t rows = t->batches > 1 ? t->batches * t->rows : t->rows;
    return wg__loop_rect(p->epilogue, &loop_run, t->number, t->band, t->batch * p->spec.m + t->row,
                         rows, t->col, t->cols);
}

bool wg__product_tile(const wg__product *p, const wg__product_run *run, size_t number)
{
    const tile t = tile_at(p, number);
    const wg__matrix *c = &p->spec.c;
    const ptrdiff_t size = (ptrdiff_t)p->size;
    for (int64_t i = 0; i < t.batches; i++) {
        char *to = run->scratch + i * t.rows * p->cut.cols * size;
        if (p->spec.store)
            to = run->slots[c->slot] + c->offset + wg__batch_at(&p->spec, c->batch, t.batch + i) +
                 t.row * c->row + t.col * size;
        multiply(p, run, &t, t.batch + i, to, p->spec.store ? c->row : p->cut.cols * size);
    }
    return finish_tile(p, run, &t);
}

void wg__product_finish(const wg__product *p, const wg__product_run *run)
{
    if (!p->epilogue)
        return;
    const wg__loop_run loop_run = {run->slots, run->scratch, run->partials, run->fault};
    wg__loop_finish(p->epilogue, &loop_run);
}
