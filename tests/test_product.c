/* Matrix products: against the definition, for every kind of shape, layout and epilogue; the same
 * bits for any number of threads; and nothing read or written outside the arrays, which end at
 * guard pages. Elements are small multiples of 1/8, so that all sums are exact and every order of
 * adding gives the same number. */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/team.h"
#include "fault.h"
#include "rng.h"
#include "suite.h"
#include "vm/product.h"

enum { A, B, C, X, Y, R, SLOTS }; /* slots; X, Y, R: what epilogues read and write */

static wg_ctx *ctx;
static wg__team *team[2];

static void start(void) { (void)wg__blas_enter(); }

static void setup(void)
{
    ctx = wg__ctx_new_bare(NULL);
    team[0] = wg__team_new(ctx, 1, start);
    team[1] = wg__team_new(ctx, 2, start);
}

static void teardown(void)
{
    wg__team_free(team[0]);
    wg__team_free(team[1]);
    wg_ctx_free(ctx);
}

/* ---- memory that ends at a guard page ----------------------------------------------------------- */

typedef struct guarded {
    char *map, *data;
    size_t mapped, bytes;
} guarded;

static guarded guarded_new(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    guarded g = {.bytes = bytes, .mapped = (bytes + page - 1) / page * page + 2 * page};
    g.map = mmap(NULL, g.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(g.map, MAP_FAILED);
    ck_assert_int_eq(mprotect(g.map, page, PROT_NONE), 0);
    ck_assert_int_eq(mprotect(g.map + g.mapped - page, page, PROT_NONE), 0);
    g.data = g.map + g.mapped - page - bytes;
    return g;
}

static void guarded_free(guarded *g) { munmap(g->map, g->mapped); }

static double get(const guarded *g, wg_dtype dtype, ptrdiff_t at)
{
    return dtype == WG_F32 ? *(float *)(void *)(g->data + at) : *(double *)(void *)(g->data + at);
}

static void put(guarded *g, wg_dtype dtype, size_t i, double x)
{
    if (dtype == WG_F32)
        ((float *)(void *)g->data)[i] = (float)x;
    else
        ((double *)(void *)g->data)[i] = x;
}

/* ---- operands ----------------------------------------------------------------------------------- */

typedef enum layout { ROWS, COLS, PADDED, STEPPED, REVERSED, ONE_ROW, WINDOWS, LAYOUTS } layout;
static const char *const layout_names[] = {"rows",     "cols",    "padded", "stepped",
                                           "reversed", "one row", "windows"};

/* `shared`: all batches are one matrix. Fills m's strides; returns elements that the array needs. */
static size_t lay(wg__matrix *m, wg_dtype dtype, layout kind, int64_t rows, int64_t cols,
                  int nbatch, const int64_t *batch, bool shared)
{
    const ptrdiff_t size = (ptrdiff_t)wg_dtype_size(dtype);
    ptrdiff_t row = cols, col = 1, first = 0, count = rows * cols;
    switch (kind) {
    case COLS:
        row = 1, col = rows;
        break;
    case PADDED:
        row = cols + 3, count = rows ? (rows - 1) * row + cols : 0;
        break;
    case STEPPED:
        row = 3 * cols, col = 2, count = rows * row;
        break;
    case REVERSED:
        row = -cols, col = 1, first = rows ? (rows - 1) * cols : 0;
        break;
    case ONE_ROW:
        row = 0, count = cols;
        break;
    case WINDOWS:
        row = 1, col = 1, count = rows + cols - 1;
        break;
    default:
        break;
    }
    m->row = row * size;
    m->col = col * size;
    m->offset = first * size;
    count = rows && cols ? count : 0;
    size_t all = (size_t)count;
    for (int d = nbatch - 1; d >= 0; d--) {
        m->batch[d] = shared ? 0 : (ptrdiff_t)all * size;
        all *= shared ? 1 : (size_t)batch[d];
    }
    return all;
}

typedef struct problem {
    wg__product_spec spec;
    guarded data[SLOTS];
    char *slots[SLOTS];
    int64_t batches;
} problem;

static void fill(guarded *g, wg_dtype dtype, size_t count, rng *random, bool exact)
{
    for (size_t i = 0; i < count; i++) {
        double u = rng_unit(random);
        put(g, dtype, i, exact ? floor(u * 17) / 8 - 1 : u - 0.5);
    }
}

/* c's rows are `pad` elements longer than n. */
static problem problem_new(wg_dtype dtype, const int64_t *batch, int nbatch, int64_t m, int64_t k,
                           int64_t n, layout a, layout b, bool b_shared, int pad, bool exact)
{
    rng random = rng_make(5);
    problem p = {.spec = {.dtype = dtype, .nbatch = nbatch, .m = m, .n = n, .k = k, .store = true},
                 .batches = 1};
    const size_t size = wg_dtype_size(dtype);
    for (int d = 0; d < nbatch; d++)
        p.batches *= p.spec.batch[d] = batch[d];
    p.spec.a.slot = A;
    p.spec.b.slot = B;
    p.spec.c.slot = C;
    size_t na = lay(&p.spec.a, dtype, a, m, k, nbatch, batch, false);
    size_t nb = lay(&p.spec.b, dtype, b, k, n, nbatch, batch, b_shared);
    size_t nc = lay(&p.spec.c, dtype, ROWS, m, n + pad, nbatch, batch, false);
    size_t rows = (size_t)(p.batches * m);
    const size_t bytes[SLOTS] = {na * size,
                                 nb * size,
                                 nc * size,
                                 (size_t)n * size,
                                 rows * (size_t)n * size,
                                 (rows + (size_t)n + 1) * size};
    for (int i = 0; i < SLOTS; i++) {
        p.data[i] = guarded_new(bytes[i]);
        p.slots[i] = p.data[i].data;
    }
    fill(&p.data[A], dtype, na, &random, exact);
    fill(&p.data[B], dtype, nb, &random, exact);
    fill(&p.data[X], dtype, (size_t)n, &random, exact);
    return p;
}

static void problem_free(problem *p)
{
    for (int i = 0; i < SLOTS; i++)
        guarded_free(&p->data[i]);
}

static void *aligned_new(size_t bytes)
{
    void *p = NULL;
    ck_assert_int_eq(posix_memalign(&p, 64, bytes + 64), 0);
    return memset(p, 0xff, bytes + 64); /* NaN */
}

typedef struct running {
    const wg__product *product;
    wg__product_run run[2];
} running;

static void pack_item(void *arg, size_t item, size_t thread)
{
    const running *r = arg;
    wg__product_pack(r->product, &r->run[thread], item);
}

static void tile_item(void *arg, size_t item, size_t thread)
{
    const running *r = arg;
    ck_assert(wg__product_tile(r->product, &r->run[thread], item));
}

/* Runs with memory full of NaN. */
static void run(const wg__product *product, problem *p, wg__team *with)
{
    running r = {.product = product};
    wg__loop_fault wrong;
    char *shared = aligned_new(wg__product_shared(product));
    char *partials = aligned_new(wg__product_partials(product));
    for (int i = C; i < SLOTS; i++)
        if (i != X)
            memset(p->data[i].data, 0xff, p->data[i].bytes);
    for (int i = 0; i < 2; i++)
        r.run[i] = (wg__product_run){.slots = p->slots,
                                     .nslots = SLOTS,
                                     .scratch = aligned_new(wg__product_scratch(product)),
                                     .shared = shared,
                                     .partials = partials,
                                     .fault = &wrong};
    int before = wg__blas_enter();
    wg__team_run(with, wg__product_packs(product), pack_item, &r);
    wg__team_run(with, wg__product_tiles(product), tile_item, &r);
    wg__product_finish(product, &r.run[0]);
    wg__blas_leave(before);
    for (int i = 0; i < 2; i++)
        free(r.run[i].scratch);
    free(shared);
    free(partials);
}

/* ---- the definition ------------------------------------------------------------------------------ */

static ptrdiff_t batch_at(const problem *p, const wg__matrix *m, int64_t b)
{
    ptrdiff_t at = m->offset;
    for (int d = p->spec.nbatch - 1; d >= 0; d--) {
        at += (b % p->spec.batch[d]) * m->batch[d];
        b /= p->spec.batch[d];
    }
    return at;
}

/* All of c, dense. To be freed. */
static double *define(const problem *p)
{
    const wg__product_spec *s = &p->spec;
    double *c = calloc((size_t)(p->batches * s->m * s->n) + 1, sizeof *c), *row = c;
    for (int64_t t = 0; t < p->batches; t++)
        for (int64_t i = 0; i < s->m; i++, row += s->n)
            for (int64_t l = 0; l < s->k; l++) {
                ptrdiff_t at = batch_at(p, &s->b, t) + l * s->b.row;
                double x =
                    get(&p->data[A], s->dtype, batch_at(p, &s->a, t) + i * s->a.row + l * s->a.col);
                for (int64_t j = 0; j < s->n; j++)
                    row[j] += x * get(&p->data[B], s->dtype, at + j * s->b.col);
            }
    return c;
}

static const char *describe(const problem *p, layout a, layout b)
{
    static char text[200];
    const wg__product_spec *s = &p->spec;
    snprintf(text, sizeof text, "%s %d batches %lld x %lld x %lld, a %s, b %s",
             wg_dtype_name(s->dtype), (int)p->batches, (long long)s->m, (long long)s->k,
             (long long)s->n, layout_names[a], layout_names[b]);
    return text;
}

static void expect_product(const problem *p, const double *want, layout a, layout b)
{
    const wg__product_spec *s = &p->spec;
    for (int64_t t = 0; t < p->batches; t++)
        for (int64_t i = 0; i < s->m; i++)
            for (int64_t j = 0; j < s->n; j++, want++) {
                double got =
                    get(&p->data[C], s->dtype, batch_at(p, &s->c, t) + i * s->c.row + j * s->c.col);
                if (got != *want)
                    ck_abort_msg("%s: [%d, %d, %d] is %g, not %g", describe(p, a, b), (int)t,
                                 (int)i, (int)j, got, *want);
            }
}

static void expect_right(wg_dtype dtype, const int64_t *batch, int nbatch, int64_t m, int64_t k,
                         int64_t n, layout a, layout b, bool b_shared, int pad)
{
    problem p = problem_new(dtype, batch, nbatch, m, k, n, a, b, b_shared, pad, true);
    wg__product *product = wg__product_make(ctx, &p.spec);
    ck_assert_ptr_nonnull(product);
    double *want = define(&p);
    for (int t = 0; t < 2; t++) {
        run(product, &p, team[t]);
        expect_product(&p, want, a, b);
        /* the padding between rows is nobody's */
        for (int64_t i = 0; pad && i < m; i++)
            ck_assert_double_nan(get(&p.data[C], dtype, i * p.spec.c.row + n * p.spec.c.col));
    }
    free(want);
    wg__product_free(ctx, product);
    problem_free(&p);
}

/* ---- tests --------------------------------------------------------------------------------------- */

static const int64_t shapes[][3] = {
    {0, 0, 0},      {0, 3, 2},    {3, 0, 2},    {2, 3, 0},      {1, 1, 1},     {1, 7, 1},
    {2, 3, 5},      {1, 5, 9},    {9, 5, 1},    {1, 300, 200},  {200, 300, 1}, {7, 1, 11},
    {300, 1, 290},  {3, 1000, 3}, {17, 19, 23}, {33, 65, 31},   {40, 40, 40},  {1, 1500, 700},
    {700, 1500, 1}, {1030, 9, 5}, {5, 9, 1030}, {130, 70, 600}, {601, 64, 70}, {1, 83, 70},
    {1, 130, 37},   {1, 4, 16},   {1, 15, 15},  {1, 64, 64},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

START_TEST(test_shapes)
{
    wg_dtype dtype = _i % 2 ? WG_F64 : WG_F32;
    const int64_t *s = shapes[_i / 2];
    bool all = s[0] * s[1] * s[2] < 50000; /* pairs of layouts, or only some */
    for (layout a = 0; a < LAYOUTS; a++)
        for (layout b = 0; b < LAYOUTS; b++)
            if (all || b == (3 * a + (layout)_i) % LAYOUTS)
                expect_right(dtype, NULL, 0, s[0], s[1], s[2], a, b, false,
                             (a + b) % 3 == 0 ? 4 : 0);
}
END_TEST

/* Large enough to be cut along rows, columns and both, and for every copy that is worth it. */
START_TEST(test_large)
{
    static const int64_t large[][3] = {
        {32, 300, 256}, {256, 300, 256}, {1100, 10, 600}, {32, 512, 1024}, {20, 1024, 520}};
    const int64_t *s = large[_i / 2];
    for (layout a = 0; a <= COLS; a++)
        for (layout b = 0; b <= COLS; b++)
            expect_right(_i % 2 ? WG_F64 : WG_F32, NULL, 0, s[0], s[1], s[2], a, b, false, 0);
}
END_TEST

START_TEST(test_batches)
{
    static const int64_t batches[][3] = {{3, 1, 1}, {2, 5, 1}, {1, 3, 2}, {0, 2, 1}, {40, 2, 1}};
    static const int64_t each[][3] = {{2, 3, 4}, {1, 5, 3}, {16, 12, 20}, {64, 40, 48}, {3, 0, 2}};
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++)
        for (size_t j = 0; j < sizeof each / sizeof *each; j++)
            for (int k = 0; k < 8; k++) {
                static const layout kinds[] = {ROWS, COLS, PADDED, STEPPED};
                for (int shared = 0; shared < 2; shared++)
                    expect_right(_i ? WG_F64 : WG_F32, batches[i], 1 + k % 3, each[j][0],
                                 each[j][1], each[j][2], kinds[k % 4], kinds[(k / 2 + _i) % 4],
                                 shared, 0);
            }
}
END_TEST

/* Rows of batches that share b are the rows of one matrix: one tile, not a thousand. */
START_TEST(test_shared_b_is_one_product)
{
    const int64_t batch[2] = {50, 20};
    for (int shared = 0; shared < 2; shared++) {
        problem p = problem_new(WG_F32, batch, 2, 1, 8, 8, ROWS, ROWS, shared, 0, true);
        wg__product *product = wg__product_make(ctx, &p.spec);
        if (shared)
            ck_assert_uint_eq(wg__product_tiles(product), 1);
        ck_assert_double_eq(wg__product_flops(product), 2.0 * 1000 * 8 * 8);
        ck_assert_double_gt(wg__product_cost(product), 0);
        ck_assert_double_gt(wg__product_bytes(product), 0);
        run(product, &p, team[1]);
        double *want = define(&p);
        expect_product(&p, want, ROWS, ROWS);
        free(want);
        wg__product_free(ctx, product);
        problem_free(&p);
    }
}
END_TEST

/* Not exact ones: the order of adding shows. */
START_TEST(test_same_bits)
{
    static const int64_t bits[][3] = {{32, 784, 256},  {784, 32, 256},  {300, 700, 10},
                                      {65, 129, 33},   {1, 1000, 1000}, {1000, 1000, 1},
                                      {130, 513, 1100}};
    const int64_t *s = bits[_i / 2];
    for (int k = 0; k < 4; k++) {
        problem p = problem_new(_i % 2 ? WG_F64 : WG_F32, NULL, 0, s[0], s[1], s[2],
                                k % 2 ? COLS : ROWS, k / 2 ? COLS : ROWS, false, 0, false);
        wg__product *product = wg__product_make(ctx, &p.spec);
        run(product, &p, team[0]);
        char *first = malloc(p.data[C].bytes);
        memcpy(first, p.data[C].data, p.data[C].bytes);
        for (int again = 0; again < 4; again++) {
            run(product, &p, team[again > 0]);
            ck_assert_int_eq(memcmp(first, p.data[C].data, p.data[C].bytes), 0);
        }
        free(first);
        wg__product_free(ctx, product);
        problem_free(&p);
    }
}
END_TEST

/* 0 * NaN and 0 * inf are NaN, wherever the library might have skipped a zero. */
START_TEST(test_special_values)
{
    for (int i = 0; i < SHAPES; i++) {
        const int64_t *s = shapes[i];
        if (!s[0] || !s[1] || !s[2])
            continue;
        for (int side = A; side <= B; side++) {
            problem p = problem_new(_i ? WG_F64 : WG_F32, NULL, 0, s[0], s[1], s[2], ROWS, ROWS,
                                    false, 0, true);
            wg_dtype dtype = p.spec.dtype;
            for (int64_t j = 0; j < (side == A ? s[1] * s[2] : s[0] * s[1]); j++)
                put(&p.data[side == A ? B : A], dtype, (size_t)j, 0);
            put(&p.data[side], dtype, 0, side == A ? INFINITY : NAN);
            wg__product *product = wg__product_make(ctx, &p.spec);
            run(product, &p, team[1]);
            for (int64_t j = 0; j < s[0] * s[2]; j++) {
                bool hit = side == A ? j < s[2] : j % s[2] == 0;
                double got = get(&p.data[C], dtype, j * (ptrdiff_t)wg_dtype_size(dtype));
                ck_assert_msg(hit ? isnan(got) : got == 0, "%s: [%d] is %g", describe(&p, 0, 0),
                              (int)j, got);
            }
            wg__product_free(ctx, product);
            problem_free(&p);
        }
    }
}
END_TEST

/* ---- epilogues: y = relu(c + x), and its sums over rows, columns and all ------------------------- */

#define LOOPS(T)                                                                                   \
    static void add_##T(size_t n, char *const *data, const ptrdiff_t *step, const double *attrs,   \
                        void *user)                                                                \
    {                                                                                              \
        for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++)                                               \
            *(T *)(void *)(data[2] + i * step[2]) =                                                \
                *(T *)(void *)(data[0] + i * step[0]) + *(T *)(void *)(data[1] + i * step[1]);     \
    }                                                                                              \
    static void relu_##T(size_t n, char *const *data, const ptrdiff_t *step, const double *attrs,  \
                         void *user)                                                               \
    {                                                                                              \
        for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++) {                                             \
            T x = *(T *)(void *)(data[0] + i * step[0]);                                           \
            *(T *)(void *)(data[1] + i * step[1]) = x < 0 ? 0 : x;                                 \
        }                                                                                          \
    }
LOOPS(float)
LOOPS(double)

static const wg_kernel adds[2] = {{WG_KERNEL, .types = "ff->f", .loop = add_float},
                                  {WG_KERNEL, .types = "dd->d", .loop = add_double}};
static const wg_kernel relus[2] = {{WG_KERNEL, .types = "f->f", .loop = relu_float},
                                   {WG_KERNEL, .types = "d->d", .loop = relu_double}};

/* Where element (batches..., row, column) of a dense array lies; 0 for axes that it does not have. */
static wg__loop_mem dense(const problem *p, uint32_t slot, bool rows, bool cols, ptrdiff_t first)
{
    const ptrdiff_t size = (ptrdiff_t)wg_dtype_size(p->spec.dtype);
    wg__loop_mem mem = {.slot = slot, .dtype = p->spec.dtype, .offset = first * size};
    ptrdiff_t step = cols ? p->spec.n * size : size;
    mem.col = cols ? size : 0;
    for (int d = p->spec.nbatch; rows && d >= 0; d--) {
        mem.outer[d] = step;
        step *= d == p->spec.nbatch ? p->spec.m : p->spec.batch[d];
    }
    return mem;
}

static wg__product *with_epilogue(wg_ctx *c, const problem *p)
{
    const wg__product_spec *s = &p->spec;
    wg__product *product = wg__product_make(c, s);
    if (!product)
        return NULL;
    int64_t outer[WG_MAX_RANK];
    memcpy(outer, s->batch, sizeof outer);
    outer[s->nbatch] = s->m;
    wg__loop_mem mem, bias = dense(p, X, false, true, 0), y = dense(p, Y, true, true, 0);
    wg__loop_builder *b = wg__loop_begin(c, outer, s->nbatch + 1, s->n, WG_ISA_PORTABLE);
    if (b) {
        const int wide = s->dtype == WG_F64;
        const ptrdiff_t rows = p->batches * s->m;
        wg__product_c(product, &mem);
        wg__loop_cut(b, wg__product_bands(product), wg__product_rects(product));
        wg__reg r[2] = {wg__loop_load(b, &mem), wg__loop_load(b, &bias)};
        r[0] = wg__loop_apply(b, &adds[wide], r, 2, s->dtype, NULL, 0, NULL);
        r[0] = wg__loop_apply(b, &relus[wide], r, 1, s->dtype, NULL, 0, NULL);
        wg__loop_store(b, r[0], &y);
        if (s->whole_rows) {
            wg__loop_mem each = dense(p, R, true, false, 0);
            wg__loop_store(b, wg__loop_reduce(b, WG_MONOID_SUM, r[0]), &each);
        }
        wg__loop_mem columns = dense(p, R, false, true, rows);
        wg__loop_columns(b, WG_MONOID_SUM, r[0], &columns);
        wg__loop_mem total = dense(p, R, false, false, rows + s->n);
        wg__loop_total(b, WG_MONOID_SUM, r[0], WG__FULL, &total);
        wg__loop *epilogue = wg__loop_end(b, NULL);
        if (epilogue) {
            wg__product_set_epilogue(product, epilogue);
            ck_assert_ptr_eq(wg__product_epilogue(product), epilogue);
            return product;
        }
    }
    wg__product_free(c, product);
    return NULL;
}

static void expect_near(const problem *p, uint32_t slot, int64_t at, double want)
{
    const wg_dtype dtype = p->spec.dtype;
    double got = get(&p->data[slot], dtype, at * (ptrdiff_t)wg_dtype_size(dtype));
    if (got != (dtype == WG_F32 ? (double)(float)want : want))
        ck_abort_msg("%s: slot %d, element %d is %g, not %g", describe(p, 0, 0), (int)slot, (int)at,
                     got, want);
}

static void expect_epilogue(const problem *p, const double *c)
{
    const wg__product_spec *s = &p->spec;
    const int64_t rows = p->batches * s->m, size = (int64_t)wg_dtype_size(s->dtype);
    double *columns = calloc((size_t)s->n + 1, sizeof *columns), all = 0;
    for (int64_t i = 0; i < rows; i++) {
        double sum = 0;
        for (int64_t j = 0; j < s->n; j++) {
            double y = fmax(0, c[i * s->n + j] + get(&p->data[X], s->dtype, j * size));
            expect_near(p, Y, i * s->n + j, y);
            columns[j] += y;
            sum += y;
        }
        if (s->whole_rows)
            expect_near(p, R, i, sum);
        all += sum;
    }
    for (int64_t j = 0; j < s->n; j++)
        expect_near(p, R, rows + j, columns[j]);
    expect_near(p, R, rows + s->n, all);
    free(columns);
}

static const int64_t blocks[][3] = {{3, 4, 5},       {0, 3, 4},    {3, 0, 4},     {1, 9, 40},
                                    {40, 9, 1},      {33, 17, 50}, {32, 60, 256}, {300, 50, 300},
                                    {1100, 10, 600}, {700, 20, 10}};
enum { BLOCKS = sizeof blocks / sizeof *blocks };

/* Stored or not, of whole rows or not, one thread and two, each kind of batch. */
START_TEST(test_epilogues)
{
    static const int64_t batch[][2] = {{1, 1}, {3, 2}, {30, 1}};
    const int64_t *s = blocks[_i / 2];
    for (int k = 0; k < 24; k++) {
        const int64_t *extent = batch[k / 8];
        if (k >= 8 && s[0] * s[2] > 20000)
            break;
        problem p = problem_new(_i % 2 ? WG_F64 : WG_F32, extent, k < 8 ? 0 : 2, s[0], s[1], s[2],
                                k % 3 ? ROWS : COLS, k % 2 ? ROWS : COLS, k & 4, k % 2 * 3, true);
        p.spec.store = k & 1;
        p.spec.whole_rows = k & 2;
        wg__product *product = with_epilogue(ctx, &p);
        ck_assert_ptr_nonnull(product);
        double *want = define(&p);
        for (int t = 0; t < 3; t++) {
            run(product, &p, team[t > 0]);
            if (p.spec.store)
                expect_product(&p, want, 0, 0);
            expect_epilogue(&p, want);
        }
        free(want);
        wg__product_free(ctx, product);
        problem_free(&p);
    }
}
END_TEST

/* Sums of inexact numbers: the same bits however many threads. */
START_TEST(test_epilogue_bits)
{
    problem p =
        problem_new(_i ? WG_F64 : WG_F32, NULL, 0, 500, 60, 700, ROWS, ROWS, false, 0, false);
    p.spec.store = false;
    wg__product *product = with_epilogue(ctx, &p);
    ck_assert_uint_gt(wg__product_tiles(product), 1);
    char *first = malloc(p.data[R].bytes);
    for (int again = 0; again < 5; again++) {
        run(product, &p, team[again > 1]);
        size_t from = 500 * wg_dtype_size(p.spec.dtype), bytes = p.data[R].bytes - from;
        if (!again)
            memcpy(first, p.data[R].data + from, bytes);
        ck_assert_int_eq(memcmp(first, p.data[R].data + from, bytes), 0);
    }
    free(first);
    wg__product_free(ctx, product);
    problem_free(&p);
}
END_TEST

static bool make_epilogue(wg_ctx *c, void *user)
{
    wg__product *product = with_epilogue(c, user);
    wg__product_free(c, product);
    return product != NULL;
}

static bool make(wg_ctx *c, void *user)
{
    const problem *p = user;
    wg__product *product = wg__product_make(c, &p->spec);
    bool ok = product != NULL;
    wg__product_free(c, product);
    wg__product_free(c, NULL);
    return ok;
}

START_TEST(test_out_of_memory)
{
    problem p = problem_new(WG_F32, NULL, 0, 5, 5, 5, STEPPED, STEPPED, false, 0, true);
    ck_assert_int_eq(fault_each(wg__ctx_new_bare, make, &p), 0);
    ck_assert_int_eq(fault_each(wg__ctx_new_bare, make_epilogue, &p), 0);
    /* operands that no memory holds: broadcast, then to be packed */
    p.spec.m = p.spec.k = p.spec.n = INT64_MAX / 2;
    p.spec.a.row = p.spec.a.col = 0;
    ck_assert_ptr_null(wg__product_make(ctx, &p.spec));
    problem_free(&p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("product");
    TCase *c = tcase_create("product");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, test_shapes, 0, 2 * SHAPES);
    tcase_add_loop_test(c, test_large, 0, 10);
    tcase_add_loop_test(c, test_batches, 0, 2);
    tcase_add_test(c, test_shared_b_is_one_product);
    tcase_add_loop_test(c, test_same_bits, 0, 14);
    tcase_add_loop_test(c, test_special_values, 0, 2);
    tcase_add_loop_test(c, test_epilogues, 0, 2 * BLOCKS);
    tcase_add_loop_test(c, test_epilogue_bits, 0, 2);
    tcase_add_test(c, test_out_of_memory);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
