/* For tests of loops: random loops, each built twice, through vm/loop.h and as whole arrays of
 * doubles evaluated element by element. Elements are small integers in every dtype, so that results
 * do not depend on the order of sums. Arrays end or begin at pages that may not be touched. */
#ifndef WG_TESTS_LOOP_ORACLE_H
#define WG_TESTS_LOOP_ORACLE_H

#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <wengert.h>
#include "rng.h"
#include "vm/loop.h"

/* An array between two forbidden pages: it ends at one (end) or begins at the other. */
typedef struct guarded {
    char *map, *data;
    size_t mapped, size;
} guarded;

static inline guarded guarded_new(size_t size, bool end)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (size + page - 1) / page * page;
    guarded g = {NULL, NULL, room + 2 * page, size};
    g.map = mmap(NULL, g.mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert(g.map != MAP_FAILED);
    ck_assert_int_eq(room ? mprotect(g.map + page, room, PROT_READ | PROT_WRITE) : 0, 0);
    g.data = g.map + page + (end ? room - size : 0);
    memset(g.data, 0x5a, size);
    return g;
}

static inline void guarded_free(guarded *g) { munmap(g->map, g->mapped); }

static inline double element_get(wg_dtype dtype, const char *p)
{
    switch (dtype) {
    case WG_F32:
        return (double)*(const float *)(const void *)p;
    case WG_F64:
        return *(const double *)(const void *)p;
    case WG_I32:
        return *(const int32_t *)(const void *)p;
    case WG_I64:
        return (double)*(const int64_t *)(const void *)p;
    default:
        return *(const uint8_t *)p;
    }
}

static inline void element_set(wg_dtype dtype, char *p, double v)
{
    switch (dtype) {
    case WG_F32:
        *(float *)(void *)p = (float)v;
        break;
    case WG_F64:
        *(double *)(void *)p = v;
        break;
    case WG_I32:
        *(int32_t *)(void *)p = (int32_t)v;
        break;
    case WG_I64:
        *(int64_t *)(void *)p = (int64_t)v;
        break;
    default:
        *(uint8_t *)p = v != 0;
    }
}

/* The row of `op` that takes and gives `types`. */
static inline const wg_kernel *kernel_of(const wg_ctx *ctx, const char *op, const char *types)
{
    const wg_op *o = wg_op_find(ctx, op);
    ck_assert_msg(o != NULL, "no op %s", op);
    for (size_t i = 0; i < o->nkernels; i++)
        if (!strcmp(o->kernels[i].types, types))
            return &o->kernels[i];
    ck_abort_msg("no %s %s", op, types);
    return NULL;
}

static inline int best_isa(void)
{
#if defined __x86_64__
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return WG_ISA_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return WG_ISA_AVX2;
#endif
    return WG_ISA_PORTABLE;
}

/* ---- running ------------------------------------------------------------------------------------- */

/* Scratch and partials with a forbidden page behind. */
static inline wg__loop_run run_of(const wg__loop *loop, char *const *slots, guarded *scratch,
                                  guarded *partials, wg__loop_fault *why)
{
    *scratch = guarded_new((wg__loop_scratch(loop) + 63) & ~(size_t)63, true);
    *partials = guarded_new((wg__loop_partials(loop) + 63) & ~(size_t)63, true);
    return (wg__loop_run){slots, scratch->data, partials->data, why};
}

/* All tiles, last first if `backwards`. */
static inline bool run_tiles(const wg__loop *loop, char *const *slots, bool backwards,
                             wg__loop_fault *why)
{
    guarded scratch, partials;
    wg__loop_run run = run_of(loop, slots, &scratch, &partials, why);
    bool ok = true;
    for (size_t i = 0, n = wg__loop_tiles(loop); i < n && ok; i++)
        ok = wg__loop_tile(loop, &run, backwards ? n - 1 - i : i);
    if (ok)
        wg__loop_finish(loop, &run);
    guarded_free(&scratch);
    guarded_free(&partials);
    return ok;
}

/* As an owner that cuts rows x cols into pieces of `high` x `wide`. */
static inline bool run_rects(const wg__loop *loop, char *const *slots, int64_t rows, int64_t cols,
                             int64_t high, int64_t wide, wg__loop_fault *why)
{
    guarded scratch, partials;
    wg__loop_run run = run_of(loop, slots, &scratch, &partials, why);
    bool ok = true;
    size_t tile = 0, band = 0;
    for (int64_t r = 0; r < rows && ok; r += high, band++)
        for (int64_t c = 0; (c < cols || (!c && !cols)) && ok; c += wide, tile++) {
            int64_t h = rows - r < high ? rows - r : high, w = cols - c < wide ? cols - c : wide;
            ok = wg__loop_rect(loop, &run, tile, band, r, h, c, w);
            if (!cols)
                break;
        }
    if (ok)
        wg__loop_finish(loop, &run);
    guarded_free(&scratch);
    guarded_free(&partials);
    return ok;
}

/* ---- random loops ----------------------------------------------------------------------------------- */

enum { VALUES = 24, SLOTS = 24 };

typedef struct value {
    wg__reg reg;
    wg_dtype dtype;
    double *e;   /* rows x cols */
    int level;   /* of how it was made: what results may be stored as */
    double most; /* no element is larger: sums stay exact in f32 */
} value;

typedef struct oracle {
    rng r;
    wg_ctx *ctx;
    wg__loop_builder *b;
    int nouter;
    int64_t outer[WG_MAX_RANK], rows, cols;
    value v[VALUES];
    int nv;
    guarded array[SLOTS];
    char *slots[SLOTS];
    int nslots;
    /* What is expected at each result: its memory, and one element per row and column. */
    struct expected {
        wg__loop_mem mem;
        double *e;
        int64_t outer[WG_MAX_RANK], cols;
    } out[SLOTS];
    int nout;
    bool whole_rows;
} oracle;

static inline int64_t oracle_count(const oracle *o) { return o->rows * o->cols; }

/* Coordinates of a row. */
static inline void oracle_at(const oracle *o, int64_t row, int64_t *at)
{
    for (int d = o->nouter - 1; d >= 0; d--) {
        at[d] = row % o->outer[d];
        row /= o->outer[d];
    }
}

static inline char *oracle_address(const oracle *o, const wg__loop_mem *m, int64_t row, int64_t col)
{
    int64_t at[WG_MAX_RANK];
    oracle_at(o, row, at);
    char *p = o->slots[m->slot] + m->offset + col * m->col;
    for (int d = 0; d < o->nouter; d++)
        p += at[d] * m->outer[d];
    return p;
}

/* Memory for an array over the dimensions in `keep` (bit d: outer d; bit nouter: columns), in random
 * order with random gaps and directions, or dense. */
static inline wg__loop_mem oracle_memory(oracle *o, wg_dtype dtype, unsigned keep, bool dense)
{
    wg__loop_mem m = {.slot = (uint32_t)o->nslots, .dtype = dtype};
    int order[WG_MAX_RANK + 1], n = o->nouter + 1;
    int64_t low = 0, size = (int64_t)wg_dtype_size(dtype), step = size, high = size;
    for (int i = 0; i < n; i++)
        order[i] = n - 1 - i;
    for (int i = 0; i < n && !dense && rng_int(&o->r, 0, 2) == 0; i++) {
        int k = (int)rng_int(&o->r, 0, n - 1), t = order[i];
        order[i] = order[k];
        order[k] = t;
    }
    for (int i = 0; i < n; i++) {
        int64_t extent = order[i] == o->nouter ? o->cols : o->outer[order[i]];
        bool back = !dense && rng_int(&o->r, 0, 7) == 0;
        if (!(keep >> order[i] & 1))
            continue;
        if (!dense && rng_int(&o->r, 0, 5) == 0)
            step += size * rng_int(&o->r, 1, 3);
        *(order[i] == o->nouter ? &m.col : &m.outer[order[i]]) = (ptrdiff_t)(back ? -step : step);
        int64_t reach = (extent > 0 ? extent - 1 : 0) * step;
        low += back ? reach : 0;
        high += reach;
        step *= extent > 0 ? extent : 1;
    }
    bool end = rng_int(&o->r, 0, 1);
    size_t pad = end ? 0 : (size_t)rng_int(&o->r, 0, 1) * (size_t)size;
    o->array[o->nslots] = guarded_new((size_t)high + pad, end);
    o->slots[o->nslots] = o->array[o->nslots].data - 16 * size; /* with an offset to undo it */
    m.offset = (ptrdiff_t)(16 * size + low);
    o->nslots++;
    return m;
}

static inline double *oracle_array(const oracle *o)
{
    return calloc((size_t)oracle_count(o) + 1, sizeof(double));
}

static inline value *oracle_add(oracle *o, wg__reg reg, wg_dtype dtype, int level)
{
    value *v = &o->v[o->nv++];
    *v = (value){reg, dtype, oracle_array(o), level, 32};
    return v;
}

static inline int keep_level(const oracle *o, unsigned keep)
{
    int level = keep >> o->nouter & 1 ? WG__COL : WG__ONE;
    return (keep & ((1u << o->nouter) - 1)) ? level | WG__ROW : level;
}

/* Integers from low to high at random. */
static inline void oracle_load(oracle *o, wg_dtype dtype, unsigned keep, int64_t low, int64_t high)
{
    wg__loop_mem m = oracle_memory(o, dtype, keep, rng_int(&o->r, 0, 1));
    value *v = oracle_add(o, wg__loop_load(o->b, &m), dtype, keep_level(o, keep));
    v->most = (double)(high > 4 ? high : 4);
    for (int64_t i = 0; i < o->rows; i++)
        for (int64_t j = 0; j < o->cols; j++)
            element_set(dtype, oracle_address(o, &m, i, j), (double)rng_int(&o->r, low, high));
    for (int64_t i = 0; i < o->rows; i++)
        for (int64_t j = 0; j < o->cols; j++)
            v->e[i * o->cols + j] = element_get(dtype, oracle_address(o, &m, i, j));
}

static inline const char *letters(char *text, const char *form, wg_dtype dtype)
{
    static const char letter[WG_DTYPE_COUNT] = {
        [WG_BOOL] = 'b', [WG_I32] = 'i', [WG_I64] = 'l', [WG_F32] = 'f', [WG_F64] = 'd'};
    strcpy(text, form);
    for (char *p = text; *p; p++)
        *p = *p == 'x' ? letter[dtype] : *p;
    return text;
}

static inline void oracle_apply(oracle *o)
{
    static const struct {
        const char *op, *types;
        int nin;
    } ops[] = {{"add", "xx->x", 2},     {"sub", "xx->x", 2},  {"maximum", "xx->x", 2},
               {"neg", "x->x", 1},      {"less", "xx->b", 2}, {"where", "bxx->x", 3},
               {"minimum", "xx->x", 2}, {"cast", "x->d", 1}};
    int k = (int)rng_int(&o->r, 0, 7), in[3], tries = 0;
    wg_dtype dtype = o->v[rng_int(&o->r, 0, o->nv - 1)].dtype, out = dtype;
    if (dtype == WG_BOOL)
        return;
    for (int i = 0; i < ops[k].nin; i++) {
        wg_dtype want = k == 5 && i == 0 ? WG_BOOL : dtype;
        do {
            in[i] = (int)rng_int(&o->r, 0, o->nv - 1);
            if (tries++ > 200)
                return;
        } while (o->v[in[i]].dtype != want);
    }
    char types[16];
    wg__reg regs[3];
    double most = 0;
    for (int i = 0; i < ops[k].nin; i++)
        most += o->v[in[i]].most;
    if (most > 0x1p23)
        return;
    int level = 0;
    out = k == 4 ? WG_BOOL : k == 7 ? WG_F64 : dtype;
    for (int i = 0; i < ops[k].nin; i++) {
        regs[i] = o->v[in[i]].reg;
        level |= o->v[in[i]].level;
    }
    double attr = WG_F64;
    const wg_kernel *kernel = kernel_of(o->ctx, ops[k].op, letters(types, ops[k].types, dtype));
    value *v = oracle_add(
        o, wg__loop_apply(o->b, kernel, regs, (size_t)ops[k].nin, out, &attr, k == 7, NULL), out,
        level);
    v->most = most;
    for (int64_t i = 0; i < oracle_count(o); i++) {
        double a = o->v[in[0]].e[i], b = ops[k].nin > 1 ? o->v[in[1]].e[i] : 0;
        double c = ops[k].nin > 2 ? o->v[in[2]].e[i] : 0;
        const double y[] = {a + b, a - b,          a > b ? a : b, -a,
                            a < b, a != 0 ? b : c, a < b ? a : b, a};
        v->e[i] = y[k];
    }
}

static inline double monoid_start(wg_monoid m)
{
    return m == WG_MONOID_MAX   ? -INFINITY
           : m == WG_MONOID_MIN ? INFINITY
                                : m >= WG_MONOID_PROD && m != WG_MONOID_ANY;
}

static inline double monoid_step(wg_monoid m, double s, double e)
{
    const double y[] = {
        0, s + e, e > s ? e : s, e < s ? e : s, s * e, s != 0 || e != 0, s != 0 && e != 0};
    return y[m];
}

/* One that fits; no products, whose size is hard to bound. */
static inline wg_monoid oracle_monoid(oracle *o, const value *v, int64_t n)
{
    if (v->dtype == WG_BOOL)
        return rng_int(&o->r, 0, 1) ? WG_MONOID_ANY : WG_MONOID_ALL;
    bool large = v->most * (double)n > 0x1p24;
    return n ? (wg_monoid)rng_int(&o->r, large ? WG_MONOID_MAX : WG_MONOID_SUM, WG_MONOID_MIN)
             : WG_MONOID_SUM;
}

static inline void oracle_reduce(oracle *o)
{
    int x = (int)rng_int(&o->r, 0, o->nv - 1);
    wg_monoid m = oracle_monoid(o, &o->v[x], o->cols);
    value *v = oracle_add(o, wg__loop_reduce(o->b, m, o->v[x].reg), o->v[x].dtype, WG__ROW);
    v->most = o->v[x].most * (m == WG_MONOID_SUM && o->cols ? (double)o->cols : 1);
    for (int64_t i = 0; i < o->rows; i++) {
        double s = monoid_start(m);
        for (int64_t j = 0; j < o->cols; j++)
            s = monoid_step(m, s, o->v[x].e[i * o->cols + j]);
        for (int64_t j = 0; j < o->cols; j++)
            v->e[i * o->cols + j] = s;
    }
    o->whole_rows = true;
}

static inline void oracle_pick(oracle *o)
{
    int x = (int)rng_int(&o->r, 0, o->nv - 1), index = o->nv;
    unsigned keep = (unsigned)rng_int(&o->r, 0, (1 << o->nouter) - 1);
    if (!o->cols)
        return;
    oracle_load(o, rng_int(&o->r, 0, 1) ? WG_I32 : WG_I64, keep, 0, o->cols - 1);
    wg__reg reg = wg__loop_pick(o->b, o->v[x].reg, o->v[index].reg, 7);
    value *v = oracle_add(o, reg, o->v[x].dtype, WG__ROW);
    v->most = o->v[x].most;
    for (int64_t i = 0; i < oracle_count(o); i++)
        v->e[i] = o->v[x].e[i / o->cols * o->cols + (int64_t)o->v[index].e[i]];
    o->whole_rows = true;
}

/* From a table of `limit` rows: another dimension in place of the rows. */
static inline void oracle_gather(oracle *o)
{
    int64_t limit = rng_int(&o->r, 1, 9);
    if (!o->cols)
        return;
    int index = o->nv;
    unsigned keep = (unsigned)rng_int(&o->r, 0, (1 << o->nouter) - 1);
    wg_dtype dtype = rng_int(&o->r, 0, 1) ? WG_F32 : WG_I64;
    oracle_load(o, rng_int(&o->r, 0, 1) ? WG_I32 : WG_I64, keep, 0, limit - 1);
    ptrdiff_t size = (ptrdiff_t)wg_dtype_size(dtype), step = (ptrdiff_t)o->cols * size;
    wg__loop_mem m = {.slot = (uint32_t)o->nslots, .dtype = dtype, .col = size};
    o->array[o->nslots] = guarded_new((size_t)(limit * step), true);
    o->slots[o->nslots] = o->array[o->nslots].data;
    for (int64_t i = 0; i < limit * o->cols; i++)
        element_set(dtype, o->slots[o->nslots] + i * size, (double)rng_int(&o->r, -4, 4));
    wg__reg reg = wg__loop_gather(o->b, &m, o->v[index].reg, step, limit, 3);
    value *v = oracle_add(o, reg, dtype, WG__FULL);
    for (int64_t i = 0; i < oracle_count(o); i++)
        v->e[i] = element_get(dtype, o->slots[o->nslots] + (int64_t)o->v[index].e[i] * step +
                                         i % o->cols * size);
    o->nslots++;
}

static inline void oracle_iota(oracle *o)
{
    static const wg_dtype dtypes[] = {WG_F32, WG_F64, WG_I32, WG_I64};
    int dim = (int)rng_int(&o->r, 0, o->nouter);
    int64_t div = rng_int(&o->r, 0, 3), mod = rng_int(&o->r, 0, 5);
    wg_dtype dtype = dtypes[rng_int(&o->r, 0, 3)];
    value *v = oracle_add(o, wg__loop_iota(o->b, dim, div, mod, dtype), dtype,
                          dim == o->nouter ? WG__COL : WG__ROW);
    v->most = 6000;
    for (int64_t i = 0; i < o->rows; i++)
        for (int64_t j = 0; j < o->cols; j++) {
            int64_t at[WG_MAX_RANK + 1];
            oracle_at(o, i, at);
            at[o->nouter] = j;
            int64_t e = div ? at[dim] / div : at[dim];
            v->e[i * o->cols + j] = (double)(mod ? e % mod : e);
        }
}

static inline struct expected *oracle_out(oracle *o, wg_dtype dtype, unsigned keep)
{
    struct expected *out = &o->out[o->nout++];
    out->mem = oracle_memory(o, dtype, keep, rng_int(&o->r, 0, 2) > 0);
    out->e = oracle_array(o);
    return out;
}

static inline void oracle_result(oracle *o)
{
    const value *v = &o->v[rng_int(&o->r, 0, o->nv - 1)];
    const unsigned rows = (1u << o->nouter) - 1, cols = 1u << o->nouter;
    int64_t kind = rng_int(&o->r, 0, 5), n = oracle_count(o);
    wg_monoid m = oracle_monoid(o, v, n);
    struct expected *out;
    if (kind < 4) {
        unsigned keep = kind == 0
                            ? rows | cols
                            : (v->level & WG__ROW ? rows : 0) | (v->level & WG__COL ? cols : 0);
        out = oracle_out(o, v->dtype, keep);
        wg__loop_store(o->b, v->reg, &out->mem);
        memcpy(out->e, v->e, (size_t)n * sizeof *v->e);
    } else if (kind == 4) {
        bool over_rows = !(v->level & WG__COL) && o->cols && rng_int(&o->r, 0, 1);
        double s = monoid_start(m);
        out = oracle_out(o, v->dtype, 0);
        wg__loop_total(o->b, m, v->reg, over_rows ? WG__ROW : WG__FULL, &out->mem);
        for (int64_t i = 0; i < n; i += over_rows ? o->cols : 1)
            s = monoid_step(m, s, v->e[i]);
        for (int64_t i = 0; i < n; i++)
            out->e[i] = s;
    } else {
        out = oracle_out(o, v->dtype, cols);
        wg__loop_columns(o->b, m, v->reg, &out->mem);
        for (int64_t j = 0; j < o->cols && o->rows; j++) {
            double s = monoid_start(m);
            for (int64_t i = 0; i < o->rows; i++)
                s = monoid_step(m, s, v->e[i * o->cols + j]);
            for (int64_t i = 0; i < o->rows; i++)
                out->e[i * o->cols + j] = s;
        }
    }
}

static inline void oracle_check(const oracle *o, uint64_t seed)
{
    for (int k = 0; k < o->nout; k++)
        for (int64_t i = 0; i < oracle_count(o); i++) {
            const wg__loop_mem *m = &o->out[k].mem;
            double want = o->out[k].e[i];
            double got = element_get(m->dtype, oracle_address(o, m, i / o->cols, i % o->cols));
            ck_assert_msg(
                got == want,
                "seed %llu: result %d at row %lld, column %lld of %lld x %lld: %g, not %g",
                (unsigned long long)seed, k, (long long)(i / o->cols), (long long)(i % o->cols),
                (long long)o->rows, (long long)o->cols, got, want);
        }
}

static inline void oracle_free(oracle *o)
{
    for (int i = 0; i < o->nv; i++)
        free(o->v[i].e);
    for (int i = 0; i < o->nout; i++)
        free(o->out[i].e);
    for (int i = 0; i < o->nslots; i++)
        guarded_free(&o->array[i]);
}

#endif
