/* Loops of the fused executor: random ones against whole arrays, and what they promise: every value
 * of softmax, faults, results in place, tiles, no access outside arrays. */
#include <check.h>
#include <float.h>
#include <stdlib.h>

#include "suite.h"
#include "fault.h"
#include "loop_oracle.h"

/* ---- random loops --------------------------------------------------------------------------------- */

static const int64_t sizes[] = {0,  1,   2,   3,   7,   15,  16,  17,   33,  48,
                                64, 100, 255, 256, 257, 300, 512, 1000, 5000};
enum { NSIZES = sizeof sizes / sizeof *sizes };

/* The space: few rows of any length, or many of a short one. */
static void random_space(oracle *o)
{
    int64_t room = 20000;
    o->nouter = (int)rng_int(&o->r, 0, 3);
    o->cols = sizes[rng_int(&o->r, 0, NSIZES - 1)];
    o->rows = 1;
    room /= o->cols ? o->cols : 1;
    for (int d = 0; d < o->nouter; d++) {
        int64_t most = room < 1 ? 1 : room > 1000 ? 1000 : room, n;
        do
            n = rng_int(&o->r, 0, 1) ? sizes[rng_int(&o->r, 0, NSIZES - 1)] : rng_int(&o->r, 1, 6);
        while (n > most || (n == 0 && rng_int(&o->r, 0, 5)));
        o->outer[d] = n;
        o->rows *= n;
        room /= n ? n : 1;
    }
}

static void random_body(oracle *o)
{
    static const wg_dtype dtypes[] = {WG_F32, WG_F32, WG_F64, WG_I32, WG_I64, WG_BOOL};
    wg_dtype main = dtypes[rng_int(&o->r, 0, 4)];
    bool reduces = rng_int(&o->r, 0, 1), gathers = rng_int(&o->r, 0, 4) == 0;
    for (int64_t n = rng_int(&o->r, 1, 4); n > 0; n--) {
        unsigned all = (2u << o->nouter) - 1;
        unsigned keep = rng_int(&o->r, 0, 1) ? all : (unsigned)rng_int(&o->r, 0, (int64_t)all);
        oracle_load(o, rng_int(&o->r, 0, 3) ? main : dtypes[rng_int(&o->r, 0, 5)], keep, -4, 4);
    }
    for (int64_t n = rng_int(&o->r, 0, 7); n > 0; n--) {
        int64_t kind = rng_int(&o->r, 0, 11);
        if (kind == 0)
            oracle_iota(o);
        else if (kind == 1 && gathers)
            oracle_gather(o);
        else if (kind == 2 && reduces)
            oracle_pick(o);
        else if (kind <= 4 && reduces)
            oracle_reduce(o);
        else
            oracle_apply(o);
    }
    for (int64_t n = rng_int(&o->r, 1, 4); n > 0; n--)
        oracle_result(o);
}

static void random_loop(wg_ctx *ctx, uint64_t seed)
{
    oracle o = {.r = rng_make(seed), .ctx = ctx};
    wg__loop_fault why;
    random_space(&o);
    int isa = (int)rng_int(&o.r, 0, best_isa());
    o.b = wg__loop_begin(ctx, o.outer, o.nouter, o.cols, isa);
    random_body(&o);
    int64_t high = rng_int(&o.r, 1, 40), wide = rng_int(&o.r, 1, 600);
    bool cut = rng_int(&o.r, 0, 2) == 0, ok;
    wide = o.whole_rows || wide > o.cols ? (o.cols ? o.cols : 1) : wide;
    size_t bands = (size_t)((o.rows + high - 1) / high),
           across = (size_t)((o.cols + wide - 1) / wide);
    if (cut)
        wg__loop_cut(o.b, bands, bands * (across ? across : 1));
    wg__loop *loop = wg__loop_end(o.b, NULL);
    ck_assert_msg(loop != NULL, "seed %llu: not built", (unsigned long long)seed);
    if (cut)
        ok = run_rects(loop, o.slots, o.rows, o.cols, high, wide, &why);
    else
        ok = run_tiles(loop, o.slots, rng_int(&o.r, 0, 1), &why);
    ck_assert_msg(ok, "seed %llu: a fault", (unsigned long long)seed);
    oracle_check(&o, seed);
    wg__loop_free(ctx, loop);
    oracle_free(&o);
}

START_TEST(random_loops_compute_what_arrays_do)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    const char *from = getenv("WG_SEED");
    uint64_t first = from ? strtoull(from, NULL, 10) : 1;
    for (uint64_t seed = first; seed < (from ? first + 1 : 1500); seed++)
        random_loop(ctx, seed);
    wg_ctx_free(ctx);
}
END_TEST

/* ---- loops by hand -------------------------------------------------------------------------------- */

enum { MOST = 41000 };

/* Two arrays of f32 rows x cols, a third for results per row or column. */
typedef struct arrays {
    float x[MOST], y[MOST], z[MOST];
    char *slots[3];
} arrays;

static arrays *arrays_new(uint64_t seed)
{
    arrays *a = calloc(1, sizeof *a);
    rng r = rng_make(seed);
    for (size_t i = 0; i < MOST; i++) {
        a->x[i] = (float)(4 * rng_unit(&r) - 2);
        a->y[i] = a->z[i] = (float)rng_unit(&r);
    }
    a->slots[0] = (char *)a->x;
    a->slots[1] = (char *)a->y;
    a->slots[2] = (char *)a->z;
    return a;
}

static wg__loop_mem f32_at(uint32_t slot, ptrdiff_t row, ptrdiff_t col)
{
    return (wg__loop_mem){.slot = slot, .dtype = WG_F32, .col = 4 * col, .outer = {4 * row}};
}

static wg__reg f32_op(wg_ctx *ctx, wg__loop_builder *b, const char *op, wg__reg x, wg__reg y)
{
    wg__reg in[] = {x, y};
    return wg__loop_apply(b, kernel_of(ctx, op, "ff->f"), in, 2, WG_F32, NULL, 0, NULL);
}

static wg__reg f32_of(wg_ctx *ctx, wg__loop_builder *b, const char *op, wg__reg x)
{
    return wg__loop_apply(b, kernel_of(ctx, op, "f->f"), &x, 1, WG_F32, NULL, 0, NULL);
}

static const int64_t shapes[][2] = {{1, 1},    {256, 96}, {7, 10},    {300, 3},   {16, 100},
                                    {4, 5000}, {33, 257}, {40, 1000}, {1000, 16}, {5, 31}};
enum { NSHAPES = sizeof shapes / sizeof *shapes };

static void close_to(double got, double want, double scale)
{
    ck_assert_msg(fabs(got - want) <= 8 * (double)FLT_EPSILON * scale, "%.9g, not %.9g", got, want);
}

/* softmax of x to y; in place when the slots are the same. */
static wg__loop *softmax_loop(wg_ctx *ctx, int64_t rows, int64_t cols, int isa, wg_status *why)
{
    wg__loop_builder *b = wg__loop_begin(ctx, &rows, 1, cols, isa);
    wg__loop_mem from = f32_at(0, cols, 1), to = f32_at(1, cols, 1);
    if (!b)
        return NULL;
    wg__reg x = wg__loop_load(b, &from), top = wg__loop_reduce(b, WG_MONOID_MAX, x);
    wg__reg e = f32_of(ctx, b, "exp", f32_op(ctx, b, "sub", x, top));
    wg__reg y = f32_op(ctx, b, "div", e, wg__loop_reduce(b, WG_MONOID_SUM, e));
    wg__loop_store(b, y, &to);
    return wg__loop_end(b, why);
}

static void check_softmax(const float *x, const float *y, int64_t rows, int64_t cols)
{
    for (int64_t i = 0; i < rows; i++, x += cols, y += cols) {
        double top = -INFINITY, sum = 0;
        for (int64_t j = 0; j < cols; j++)
            top = fmax(top, (double)x[j]);
        for (int64_t j = 0; j < cols; j++)
            sum += exp((double)x[j] - top);
        for (int64_t j = 0; j < cols; j++)
            close_to((double)y[j], exp((double)x[j] - top) / sum,
                     2 * exp((double)x[j] - top) / sum);
    }
}

START_TEST(softmax_also_in_place)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg__loop_fault why;
    for (int isa = 0; isa <= best_isa(); isa++)
        for (size_t k = 0; k < NSHAPES; k++) {
            int64_t rows = shapes[k][0], cols = shapes[k][1];
            arrays *a = arrays_new(k), *before = arrays_new(k);
            wg__loop *loop = softmax_loop(ctx, rows, cols, isa, NULL);
            ck_assert(run_tiles(loop, a->slots, false, &why));
            check_softmax(a->x, a->y, rows, cols);
            ck_assert_float_eq(a->y[rows * cols], before->y[rows * cols]);
            a->slots[1] = a->slots[0];
            ck_assert(run_tiles(loop, a->slots, true, &why));
            ck_assert_mem_eq(a->x, a->y, (size_t)(rows * cols) * sizeof(float));
            check_softmax(before->x, a->x, rows, cols);
            wg__loop_free(ctx, loop);
            free(a);
            free(before);
        }
    wg_ctx_free(ctx);
}
END_TEST

/* (x - mean) / sqrt(variance + 1/8) * scale: two rounds of reductions, a COL operand, a ONE one. */
START_TEST(layer_norm)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg__loop_fault why;
    for (size_t k = 0; k < NSHAPES; k++) {
        int64_t rows = shapes[k][0], cols = shapes[k][1];
        arrays *a = arrays_new(k);
        float constants[] = {1 / (float)cols, 0.125f};
        char *slots[] = {(char *)a->x, (char *)a->y, (char *)a->z, (char *)constants};
        wg__loop_builder *b = wg__loop_begin(ctx, &rows, 1, cols, best_isa());
        wg__loop_mem mx = f32_at(0, cols, 1), my = f32_at(1, cols, 1), mz = f32_at(2, 0, 1);
        wg__loop_mem m0 = f32_at(3, 0, 0), m1 = m0;
        m1.offset = 4;
        wg__reg x = wg__loop_load(b, &mx), n = wg__loop_load(b, &m0), eps = wg__loop_load(b, &m1);
        wg__reg mean = f32_op(ctx, b, "mul", wg__loop_reduce(b, WG_MONOID_SUM, x), n);
        wg__reg d = f32_op(ctx, b, "sub", x, mean);
        wg__reg square = wg__loop_reduce(b, WG_MONOID_SUM, f32_op(ctx, b, "mul", d, d));
        wg__reg var = f32_op(ctx, b, "add", f32_op(ctx, b, "mul", square, n), eps);
        wg__reg y = f32_op(ctx, b, "div", d, f32_of(ctx, b, "sqrt", var));
        y = f32_op(ctx, b, "mul", y, wg__loop_load(b, &mz));
        wg__loop_store(b, y, &my);
        wg__loop *loop = wg__loop_end(b, NULL);
        ck_assert(run_tiles(loop, slots, false, &why));
        for (int64_t i = 0; i < rows; i++) {
            double s = 0, v = 0;
            for (int64_t j = 0; j < cols; j++)
                s += (double)a->x[i * cols + j] / (double)cols;
            for (int64_t j = 0; j < cols; j++)
                v += ((double)a->x[i * cols + j] - s) * ((double)a->x[i * cols + j] - s) /
                     (double)cols;
            for (int64_t j = 0; j < cols; j++)
                close_to((double)a->y[i * cols + j],
                         ((double)a->x[i * cols + j] - s) / sqrt(v + 0.125) * (double)a->z[j], 8);
        }
        wg__loop_free(ctx, loop);
        free(a);
    }
    wg_ctx_free(ctx);
}
END_TEST

/* Sums of all kinds: the same bits in every instruction set and any order of tiles. */
START_TEST(sums_have_one_order)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg__loop_fault why;
    for (size_t k = 0; k < NSHAPES; k++)
        for (int64_t monoid = WG_MONOID_SUM; monoid <= WG_MONOID_PROD; monoid++) {
            int64_t rows = shapes[k][0], cols = shapes[k][1];
            arrays *first = arrays_new(k);
            for (int run = 0; run <= 2 * best_isa() + 1; run++) {
                arrays *a = arrays_new(k);
                float total;
                char *slots[] = {(char *)a->x, (char *)a->y, (char *)a->z, (char *)&total};
                wg__loop_builder *b = wg__loop_begin(ctx, &rows, 1, cols, run / 2);
                wg__loop_mem mx = f32_at(0, cols, 1), my = f32_at(1, 1, 0), mz = f32_at(2, 0, 1);
                wg__loop_mem mt = f32_at(3, 0, 0);
                wg__reg x = wg__loop_load(b, &mx);
                wg__loop_store(b, wg__loop_reduce(b, (wg_monoid)monoid, x), &my);
                wg__loop_columns(b, (wg_monoid)monoid, x, &mz);
                wg__loop_total(b, (wg_monoid)monoid, x, WG__FULL, &mt);
                wg__loop *loop = wg__loop_end(b, NULL);
                ck_assert(run_tiles(loop, slots, run % 2, &why));
                a->x[0] = total;
                if (run)
                    ck_assert_mem_eq(a, first, offsetof(arrays, slots));
                else
                    *first = *a;
                wg__loop_free(ctx, loop);
                free(a);
            }
            free(first);
        }
    wg_ctx_free(ctx);
}
END_TEST

/* f32 sums of tenths, over many elements: no worse than a few roundings, as of f64. The lanes of
 * vectors would be off by a hundredfold of that; columns by their few hundred rows. */
START_TEST(long_sums_are_as_if_of_f64)
{
    static const int64_t spaces[][2] = {{2, 200000}, {1, 300001}, {300000, 1}, {100000, 2},
                                        {20000, 16}, {4000, 65},  {3000, 128}};
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg__loop_fault why;
    enum { N = 400000 };
    float *x = calloc(4 * N, sizeof *x), *y = x + N, *z = y + N, *q = z + N;
    for (size_t i = 0; i < N; i++)
        x[i] = 0.1F;
    for (size_t k = 0; k < sizeof spaces / sizeof *spaces; k++)
        for (int rows_too = 0; rows_too < 2; rows_too++) {
            const int64_t rows = spaces[k][0], cols = spaces[k][1];
            const double tenth = (double)0.1F;
            float total;
            char *slots[] = {(char *)x, (char *)y, (char *)z, (char *)&total, (char *)q};
            wg__loop_builder *b = wg__loop_begin(ctx, &rows, 1, cols, best_isa());
            wg__loop_mem mx = f32_at(0, cols, 1), my = f32_at(1, 1, 0), mz = f32_at(2, 0, 1);
            wg__loop_mem mt = f32_at(3, 0, 0), mq = f32_at(4, cols, 1);
            wg__reg v = wg__loop_load(b, &mx);
            if (rows_too) { /* few columns are streams then */
                wg__reg s = wg__loop_reduce(b, WG_MONOID_SUM, v);
                wg__loop_store(b, s, &my);
                wg__loop_store(b, f32_op(ctx, b, "div", v, s), &mq);
            }
            wg__loop_columns(b, WG_MONOID_SUM, v, &mz);
            wg__loop_total(b, WG_MONOID_SUM, v, WG__FULL, &mt);
            const bool cut = cols > 64; /* all rows in one band */
            if (cut)
                wg__loop_cut(b, 1, 1);
            wg__loop *loop = wg__loop_end(b, NULL);
            ck_assert(cut ? run_rects(loop, slots, rows, cols, rows, cols, &why)
                          : run_tiles(loop, slots, false, &why));
            for (int64_t i = 0; i < rows && rows_too; i++)
                close_to((double)y[i], tenth * (double)cols, tenth * (double)cols);
            for (int64_t j = 0; j < cols; j++)
                close_to((double)z[j], tenth * (double)rows, 2 * tenth * (double)rows);
            close_to((double)total, tenth * (double)(rows * cols), tenth * (double)(rows * cols));
            wg__loop_free(ctx, loop);
        }
    free(x);
    wg_ctx_free(ctx);
}
END_TEST

/* Spaces without columns, as reshapes and transposes make them: what varies along rows is stored to
 * what varies along columns, of which there are none. */
START_TEST(a_store_along_no_columns_is_nothing)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg__loop_fault why;
    int64_t rows = 5;
    float x[5] = {1, 2, 3, 4, 5}, y = 7;
    char *slots[] = {(char *)x, (char *)&y};
    wg__loop_builder *b = wg__loop_begin(ctx, &rows, 1, 0, best_isa());
    wg__loop_mem mx = f32_at(0, 1, 0), my = f32_at(1, 0, 1);
    wg__loop_store(b, f32_of(ctx, b, "exp", wg__loop_load(b, &mx)), &my);
    wg_status status = WG_INTERNAL;
    wg__loop *loop = wg__loop_end(b, &status);
    ck_assert_ptr_nonnull(loop);
    ck_assert_int_eq(status, WG_OK);
    ck_assert(run_tiles(loop, slots, false, &why));
    ck_assert_float_eq(y, 7);
    wg__loop_free(ctx, loop);
    wg_ctx_free(ctx);
}
END_TEST

/* One NaN or infinity at each place of a row, in each kind of reduction. */
START_TEST(nan_and_infinity_go_through)
{
    static const double special[] = {NAN, INFINITY, -INFINITY};
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg__loop_fault why;
    for (int isa = 0; isa <= best_isa(); isa++)
        for (int64_t cols = 1; cols < 100; cols += cols < 20 ? 1 : 13)
            for (int64_t at = 0; at < cols; at++)
                for (int k = 0; k < 9; k++) {
                    float x[100], y[3] = {0};
                    wg_monoid monoid = (wg_monoid)(WG_MONOID_SUM + k / 3);
                    int64_t one = 1;
                    for (int64_t j = 0; j < cols; j++)
                        x[j] = (float)(j % 5) - 2;
                    x[at] = (float)special[k % 3];
                    double s = monoid_start(monoid);
                    for (int64_t j = 0; j < cols; j++) {
                        double e = (double)x[j];
                        s = monoid != WG_MONOID_SUM && e != e ? e : monoid_step(monoid, s, e);
                    }
                    char *slots[] = {(char *)x, (char *)y, (char *)(y + 1)};
                    wg__loop_builder *b = wg__loop_begin(ctx, &one, 1, cols, isa);
                    wg__loop_mem mx = f32_at(0, 0, 1), m1 = f32_at(1, 0, 0), m2 = f32_at(2, 0, 0);
                    wg__reg r = wg__loop_load(b, &mx);
                    wg__loop_store(b, wg__loop_reduce(b, monoid, r), &m1);
                    wg__loop_total(b, monoid, r, WG__FULL, &m2);
                    wg__loop *loop = wg__loop_end(b, NULL);
                    ck_assert(run_tiles(loop, slots, false, &why));
                    for (int i = 0; i < 2; i++)
                        ck_assert_msg((isnan(s) && isnan((double)y[i])) || (double)y[i] == s,
                                      "%g, not %g", (double)y[i], s);
                    wg__loop_free(ctx, loop);
                }
    wg_ctx_free(ctx);
}
END_TEST

START_TEST(integers_wrap)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg__loop_fault why;
    int32_t x[100], y[100] = {0}, total = 0;
    int64_t rows = 10;
    uint32_t sum = 0;
    for (uint32_t i = 0; i < 100; i++) {
        sum += i * 0x3456789u;
        x[i] = (int32_t)(i * 0x3456789u);
    }
    char *slots[] = {(char *)x, (char *)y, (char *)&total};
    wg__loop_builder *b = wg__loop_begin(ctx, &rows, 1, 10, best_isa());
    wg__loop_mem mx = {.slot = 0, .dtype = WG_I32, .col = 4, .outer = {40}};
    wg__loop_mem my = {.slot = 1, .dtype = WG_I32, .outer = {4}}, mt = {.slot = 2, .dtype = WG_I32};
    wg__reg v = wg__loop_load(b, &mx), p = wg__loop_reduce(b, WG_MONOID_PROD, v);
    wg__loop_store(b, p, &my);
    wg__loop_total(b, WG_MONOID_SUM, v, WG__FULL, &mt);
    wg__loop *loop = wg__loop_end(b, NULL);
    ck_assert(run_tiles(loop, slots, false, &why));
    ck_assert_uint_eq((uint32_t)total, sum);
    for (int i = 0; i < 10; i++) {
        uint32_t q = 1;
        for (int j = 0; j < 10; j++)
            q *= (uint32_t)x[10 * i + j];
        ck_assert_uint_eq((uint32_t)y[i], q);
    }
    wg__loop_free(ctx, loop);
    wg_ctx_free(ctx);
}
END_TEST

/* Rows without columns still have results: the neutral element. */
START_TEST(nothing_is_reduced_to_the_neutral_element)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg__loop_fault why;
    for (int64_t rows = 0; rows < 40; rows += 13) {
        float y[40], total = 5;
        char *slots[] = {(char *)y, (char *)y, (char *)&total};
        wg__loop_builder *b = wg__loop_begin(ctx, &rows, 1, 0, best_isa());
        wg__loop_mem mx = f32_at(0, 0, 1), my = f32_at(1, 1, 0), mt = f32_at(2, 0, 0);
        wg__reg x = wg__loop_load(b, &mx), e = f32_of(ctx, b, "exp", x);
        wg__loop_store(b, wg__loop_reduce(b, WG_MONOID_PROD, e), &my);
        wg__loop_store(b, e, &mx);
        wg__loop_total(b, WG_MONOID_SUM, e, WG__FULL, &mt);
        wg__loop *loop = wg__loop_end(b, NULL);
        memset(y, 0, sizeof y);
        ck_assert(run_tiles(loop, slots, false, &why));
        for (int64_t i = 0; i < 40; i++)
            ck_assert_float_eq(y[i], i < rows ? 1 : 0);
        ck_assert_float_eq(total, 0);
        wg__loop_free(ctx, loop);
    }
    wg_ctx_free(ctx);
}
END_TEST

/* Several results, the first in the place of the operand that later ones read. */
START_TEST(in_place_before_the_last_use)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg__loop_fault why;
    for (size_t k = 0; k < NSHAPES; k++)
        for (int swap = 0; swap < 2; swap++) {
            int64_t rows = shapes[k][0], cols = shapes[k][1];
            arrays *a = arrays_new(k), *before = arrays_new(k);
            wg__loop_builder *b = wg__loop_begin(ctx, &rows, 1, cols, best_isa());
            wg__loop_mem mx = f32_at(0, cols, 1), my = f32_at(1, cols, 1), mz = f32_at(2, cols, 1);
            wg__reg x = wg__loop_load(b, &mx), y = f32_of(ctx, b, "neg", x);
            wg__loop_store(b, y, swap ? &my : &mx);
            wg__loop_store(b, f32_op(ctx, b, "sub", f32_op(ctx, b, "add", y, y), x),
                           swap ? &mx : &my);
            wg__loop_store(b, x, &mz);
            wg__loop *loop = wg__loop_end(b, NULL);
            ck_assert(run_tiles(loop, a->slots, false, &why));
            for (int64_t i = 0; i < rows * cols; i++) {
                ck_assert_float_eq((swap ? a->y : a->x)[i], -before->x[i]);
                ck_assert_float_eq((swap ? a->x : a->y)[i], -3 * before->x[i]);
                ck_assert_float_eq(a->z[i], before->x[i]);
            }
            wg__loop_free(ctx, loop);
            free(a);
            free(before);
        }
    wg_ctx_free(ctx);
}
END_TEST

/* ---- faults ------------------------------------------------------------------------------------------ */

START_TEST(faults_name_row_and_value)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    for (int gathers = 0; gathers < 2; gathers++)
        for (int64_t bad = 0; bad < 60; bad += 7)
            for (int side = 0; side < 2; side++) {
                arrays *a = arrays_new(1);
                wg__loop_fault why = {0};
                int64_t rows = 60, index[60];
                for (int64_t i = 0; i < rows; i++)
                    index[i] = i % 20;
                char *slots[] = {(char *)a->x, (char *)a->y, (char *)index};
                wg__loop_builder *b = wg__loop_begin(ctx, &rows, 1, 20, best_isa());
                wg__loop_mem mx = f32_at(0, gathers ? 0 : 20, 1),
                             my = f32_at(1, gathers ? 20 : 1, gathers);
                wg__loop_mem mi = {.slot = 2, .dtype = WG_I64, .outer = {8}};
                wg__reg i = wg__loop_load(b, &mi);
                wg__reg y = gathers ? wg__loop_gather(b, &mx, i, 80, 20, 9)
                                    : wg__loop_pick(b, wg__loop_load(b, &mx), i, 9);
                wg__loop_store(b, y, &my);
                wg__loop *loop = wg__loop_end(b, NULL);
                ck_assert(run_tiles(loop, slots, false, &why));
                ck_assert_float_eq(a->y[gathers ? 65 : 3], a->x[gathers ? 65 : 63]);
                index[bad] = side ? -1 : 20;
                ck_assert(!run_tiles(loop, slots, false, &why));
                ck_assert_uint_eq(why.node, 9);
                ck_assert_int_eq(why.at, bad);
                ck_assert_int_eq(why.value, index[bad]);
                ck_assert_int_eq(why.limit, 20);
                wg__loop_free(ctx, loop);
                free(a);
            }
    wg_ctx_free(ctx);
}
END_TEST

static bool build_one(wg_ctx *ctx, void *user)
{
    (void)user;
    wg_status why = WG_NO_MEMORY;
    wg__loop *loop = softmax_loop(ctx, 20, 30, WG_ISA_PORTABLE, &why);
    wg__loop_free(ctx, loop);
    ck_assert_int_eq(why, loop ? WG_OK : WG_NO_MEMORY);
    return loop != NULL;
}

START_TEST(out_of_memory_is_reported)
{
    ck_assert_int_eq(fault_each(wg_ctx_new, build_one, NULL), 0);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    int64_t rows = 4;
    for (int k = 0; k < 4; k++) {
        wg__loop_builder *b = wg__loop_begin(ctx, &rows, 1, 20, WG_ISA_PORTABLE);
        wg__loop_mem mx = f32_at(0, 20, 1), my = f32_at(1, 1, 0);
        wg__reg x = wg__loop_load(b, &mx);
        if (k == 0) /* FULL elements do not fit in a column */
            wg__loop_store(b, x, &my);
        else if (k == 1) /* an index is an integer */
            wg__loop_store(b, wg__loop_pick(b, x, wg__loop_load(b, &my), 0), &my);
        else if (k == 2) /* no such value */
            wg__loop_store(b, x + 7, &mx);
        else /* floats have no logic */
            wg__loop_store(b, wg__loop_reduce(b, WG_MONOID_ANY, x), &my);
        wg_status why = WG_OK;
        ck_assert_ptr_null(wg__loop_end(b, &why));
        ck_assert_int_eq(why, WG_INTERNAL); /* and not a lack of memory */
    }
    wg_ctx_free(ctx);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("loop");
    TCase *t = tcase_create("loop");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, random_loops_compute_what_arrays_do);
    tcase_add_test(t, softmax_also_in_place);
    tcase_add_test(t, layer_norm);
    tcase_add_test(t, sums_have_one_order);
    tcase_add_test(t, long_sums_are_as_if_of_f64);
    tcase_add_test(t, a_store_along_no_columns_is_nothing);
    tcase_add_test(t, nan_and_infinity_go_through);
    tcase_add_test(t, integers_wrap);
    tcase_add_test(t, nothing_is_reduced_to_the_neutral_element);
    tcase_add_test(t, in_place_before_the_last_use);
    tcase_add_test(t, faults_name_row_and_value);
    tcase_add_test(t, out_of_memory_is_reported);
    tcase_add_test(t, what_cannot_be_is_refused);
    suite_add_tcase(s, t);
    return s;
}

int main(void) { return run_suite(suite()); }
