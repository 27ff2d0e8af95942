/* Block kernels and functions of one element against the loop of their row: every row of the
 * registry, every instruction set of this machine, operands dense and splat, special values. */
#include <check.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/isa.h"
#include "rng.h"
#include "suite.h"
#include "tape/tape.h"

enum { MOST = 512, GUARD = 64, ROUNDS = 24 };
#define MOST_BYTES ((MOST + 1) * 8 + GUARD) /* elements start one past an aligned address */

/* ---- rows -------------------------------------------------------------------------------------- */

static wg_dtype dtype_of(char letter)
{
    static const char letters[] = {
#define LETTER(code, name, ctype, letter) [WG_##code] = letter,
        WG_DTYPE_LIST(LETTER)
#undef LETTER
    };
    for (int d = 0; d < WG_DTYPE_COUNT; d++)
        if (letters[d] == letter)
            return (wg_dtype)d;
    ck_abort_msg("no dtype %c", letter);
    return WG_F64;
}

typedef struct row {
    const wg__op *op;
    const wg_kernel *kernel;
    size_t nin;
    wg_dtype in[3], out;
    double attrs[WG__MAX_ATTRS];
} row;

static row row_make(const wg__op *op, const wg_kernel *k)
{
    row r = {.op = op, .kernel = k, .nin = op->sig.nin};
    for (size_t i = 0; i < r.nin && i < 3; i++)
        r.in[i] = dtype_of(k->types[i]);
    r.out = dtype_of(k->types[strlen(k->types) - 1]);
    for (size_t i = 0; i < WG__MAX_ATTRS; i++)
        r.attrs[i] = (double)i - 0.5;
    return r;
}

/* The expression has nothing but arithmetic and functions that IEEE 754 rounds: equal bits then. */
static bool is_exact(const char *expr)
{
    static const char *const exact[] = {"SELECT", "fabs", "sqrt", "floor", "ceil", "rint"};
    for (const char *p = expr; *p; p++) {
        size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyzSELECT0123456789_"), i = 0;
        if (n == 0 || p[n] != '(') {
            p += n ? n - 1 : 0;
            continue;
        }
        while (i < sizeof exact / sizeof *exact &&
               (strlen(exact[i]) != n || memcmp(p, exact[i], n) != 0))
            i++;
        if (i == sizeof exact / sizeof *exact)
            return false;
        p += n;
    }
    return true;
}

/* ---- operands ---------------------------------------------------------------------------------- */

static const double specials[] = {
    0,         -0.0,      1,          -1,          INFINITY,     -INFINITY, NAN,           0x1p-149,
    -0x1p-149, 0x1p-1074, -0x1p-1074, 1e-39,       -1e-310,      FLT_MIN,   DBL_MIN,       -DBL_MIN,
    FLT_MAX,   -FLT_MAX,  DBL_MAX,    -DBL_MAX,    0.5,          -0.5,      1.5,           2.5,
    -2.5,      2,         -2,         3,           88.722839,    88.72284,  -87.3,         -88,
    89.4,      -89.4,     -104,       709.78271,   709.78271289, -708.4,    -745.2,        710.4,
    -710.4,    1e10,      -1e10,      1e-10,       0x1p23,       0x1p52,    0x1.fffffep23, 0x1p31,
    -0x1p63,   1e15,      0.99999994, -0.99999994, 1 + 1e-15,    1e38,      3e38,          1e308,
};

static double number(rng *r, int round)
{
    static const double scales[] = {1, 4, 30, 100, 750, 1e-3, 1e5, 1e300};
    if (rng_int(r, 0, 7) == 0)
        return specials[rng_int(r, 0, sizeof specials / sizeof *specials - 1)];
    return (2 * rng_unit(r) - 1) * scales[(size_t)round % (sizeof scales / sizeof *scales)];
}

/* Any bits at all in every third round; numbers of one size in others. */
static void fill(rng *r, int round, wg_dtype dtype, char *data, size_t n)
{
    size_t size = wg_dtype_size(dtype);
    for (size_t i = 0; i < n; i++) {
        uint64_t bits = rng_next(r);
        double x = number(r, round);
        float f = (float)x;
        if (dtype == WG_BOOL)
            bits &= 1;
        else if (round % 3 && dtype == WG_F64)
            memcpy(&bits, &x, sizeof x);
        else if (round % 3 && dtype == WG_F32)
            memcpy(&bits, &f, sizeof f);
        else if (round % 3)
            bits = (uint64_t)rng_int(r, -3, 3);
        memcpy(data + i * size, &bits, size);
    }
}

/* ---- comparison -------------------------------------------------------------------------------- */

/* The bits of floats in the order of the floats, and how far apart two are. */
static int64_t in_order(int64_t bits, int64_t least) { return bits < 0 ? least - bits : bits; }

static double apart(int64_t i, int64_t j)
{
    return (i < 0) == (j < 0) ? fabs((double)(i - j)) : fabs((double)i) + fabs((double)j);
}

/* Distance in units of last place; 0 for equal special values; huge where one is special. */
static double distance(wg_dtype dtype, const char *a, const char *b)
{
    const double huge = 1e30;
    size_t size = wg_dtype_size(dtype);
    if (memcmp(a, b, size) == 0)
        return 0;
    if (dtype == WG_F32) {
        float x, y;
        int32_t i, j;
        memcpy(&x, a, size), memcpy(&y, b, size), memcpy(&i, a, size), memcpy(&j, b, size);
        if (isnan(x) || isnan(y))
            return isnan(x) && isnan(y) ? 0 : huge;
        if (x == 0 && y == 0)
            return huge; /* signs differ */
        return apart(in_order(i, INT32_MIN), in_order(j, INT32_MIN));
    }
    if (dtype == WG_F64) {
        double x, y;
        int64_t i, j;
        memcpy(&x, a, size), memcpy(&y, b, size), memcpy(&i, a, size), memcpy(&j, b, size);
        if (isnan(x) || isnan(y))
            return isnan(x) && isnan(y) ? 0 : huge;
        if (x == 0 && y == 0)
            return huge;
        return apart(in_order(i, INT64_MIN), in_order(j, INT64_MIN));
    }
    return huge;
}

static double as_double(wg_dtype dtype, const char *data)
{
    float f;
    double d;
    int32_t i;
    int64_t l;
    switch (dtype) {
    case WG_F32:
        memcpy(&f, data, sizeof f);
        return f;
    case WG_F64:
        memcpy(&d, data, sizeof d);
        return d;
    case WG_I32:
        memcpy(&i, data, sizeof i);
        return i;
    case WG_I64:
        memcpy(&l, data, sizeof l);
        return (double)l;
    default:
        return data[0];
    }
}

typedef struct arrays {
    _Alignas(64) char in[3][MOST_BYTES];
    _Alignas(64) char right[MOST_BYTES];
    _Alignas(64) char got[MOST_BYTES];
} arrays;

static void agree(const row *r, arrays *m, size_t n, unsigned one, const char *what, double ulps)
{
    size_t size = wg_dtype_size(r->out);
    for (size_t i = 0; i < n; i++) {
        const char *y = m->got + (i + 1) * size, *right = m->right + (i + 1) * size;
        double d = distance(r->out, right, y), x[3] = {0};
        if (d <= ulps)
            continue;
        for (size_t k = 0; k < r->nin; k++)
            x[k] = as_double(r->in[k],
                             m->in[k] + ((one >> k & 1 ? 0 : i) + 1) * wg_dtype_size(r->in[k]));
        ck_abort_msg("%s %s (%s, variant %u, n %zu): of %.17g %.17g %.17g it is %.17g, not %.17g: "
                     "%g ulp off",
                     r->op->name, r->kernel->types, what, one, n, x[0], x[1], x[2],
                     as_double(r->out, y), as_double(r->out, right), d);
    }
    for (size_t i = (n + 1) * size; i < (n + 1) * size + GUARD; i++)
        ck_assert_msg(m->got[i] == 0x55, "%s %s (%s): it writes past the end", r->op->name,
                      r->kernel->types, what);
}

/* The loop's answer, in m->right. */
static void run_loop(const row *r, arrays *m, size_t n, unsigned one)
{
    char *data[4];
    ptrdiff_t stride[4];
    for (size_t k = 0; k < r->nin; k++) {
        ptrdiff_t size = (ptrdiff_t)wg_dtype_size(r->in[k]);
        data[k] = m->in[k] + size;
        stride[k] = one >> k & 1 ? 0 : size;
    }
    stride[r->nin] = (ptrdiff_t)wg_dtype_size(r->out);
    data[r->nin] = m->right + stride[r->nin];
    r->kernel->loop(n, data, stride, r->attrs, r->op->def.data);
}

static double tolerance(const row *r)
{
    const wg_op_check *check = r->op->def.check;
    return is_exact(r->kernel->expr) ? 0 : check && check->ulps > 0 ? check->ulps : 4;
}

/* ---- tests ------------------------------------------------------------------------------------- */

static void check_blocks(const row *r, arrays *m, size_t n, unsigned one, int isa)
{
    const wg_block_fn block = r->kernel->block[((size_t)isa << r->nin) + one];
    const void *in[3] = {NULL};
    char *y = m->got + wg_dtype_size(r->out);
    for (size_t k = 0; k < r->nin; k++)
        in[k] = m->in[k] + wg_dtype_size(r->in[k]);
    ck_assert_msg(block != NULL, "%s %s: no block kernel for %s, variant %u", r->op->name,
                  r->kernel->types, wg__isa_name(isa), one);
    memset(m->got, 0x55, sizeof m->got);
    block(n, in[0], in[1], in[2], y, r->attrs);
    agree(r, m, n, one, wg__isa_name(isa), tolerance(r));
    for (size_t k = 0; k < r->nin; k++) { /* in place */
        if (r->in[k] != r->out || one >> k & 1)
            continue;
        const void *here[3] = {in[0], in[1], in[2]};
        memcpy(y, in[k], n * wg_dtype_size(r->out));
        here[k] = y;
        block(n, here[0], here[1], here[2], y, r->attrs);
        agree(r, m, n, one, wg__isa_name(isa), tolerance(r));
    }
}

static wg_ctx *ctx;
static void open_ctx(void) { ctx = wg_ctx_new(NULL); }
static void close_ctx(void) { wg_ctx_free(ctx); }

START_TEST(blocks_are_the_loops)
{
    static arrays m;
    static const size_t sizes[] = {16, 32, 48, 256, MOST};
    const wg__op *op = wg__op_at(ctx, (size_t)_i);
    rng g = rng_make((uint64_t)_i);
    for (size_t k = 0; k < op->def.nkernels; k++) {
        if (!op->def.kernels[k].block)
            continue;
        const row r = row_make(op, &op->def.kernels[k]);
        ck_assert_msg(r.kernel->loop && r.nin <= 3 && r.kernel->expr, "%s", op->name);
        for (int round = 0; round < ROUNDS; round++)
            for (unsigned one = 0; one + 1 < 1u << r.nin; one++) {
                size_t n = sizes[round % 5];
                for (size_t i = 0; i < r.nin; i++)
                    fill(&g, round, r.in[i], m.in[i], n + 1);
                run_loop(&r, &m, n, one);
                for (int isa = 0; isa <= wg__isa_best(); isa++)
                    check_blocks(&r, &m, n, one, isa);
            }
    }
}
END_TEST

/* A row of one float dtype has a function of one element if it has blocks, and it is the loop. */
START_TEST(scalars_are_the_loops)
{
    static arrays m;
    const wg__op *op = wg__op_at(ctx, (size_t)_i);
    rng g = rng_make((uint64_t)_i);
    for (size_t k = 0; k < op->def.nkernels; k++) {
        if (!op->def.kernels[k].block)
            continue;
        const row r = row_make(op, &op->def.kernels[k]);
        bool same = wg_dtype_is_float(r.out);
        for (size_t i = 0; i < r.nin; i++)
            same = same && r.in[i] == r.out;
        const struct wg_scalar *s = r.kernel->scalar;
        ck_assert_msg(same == (s != NULL), "%s %s", op->name, r.kernel->types);
        if (!s)
            continue;
        ck_assert_msg(r.out == WG_F64 ? s->f64 && !s->f32 : s->f32 && !s->f64, "%s", op->name);
        for (int round = 0; round < ROUNDS; round++) {
            for (size_t i = 0; i < 3; i++)
                fill(&g, round, r.out, m.in[i], MOST + 1);
            run_loop(&r, &m, MOST, 0);
            memset(m.got, 0x55, sizeof m.got);
            for (size_t i = 1; i <= MOST; i++)
                if (s->f64)
                    ((double *)(void *)m.got)[i] =
                        s->f64(((double *)(void *)m.in[0])[i], ((double *)(void *)m.in[1])[i],
                               ((double *)(void *)m.in[2])[i], r.attrs);
                else
                    ((float *)(void *)m.got)[i] =
                        s->f32(((float *)(void *)m.in[0])[i], ((float *)(void *)m.in[1])[i],
                               ((float *)(void *)m.in[2])[i], r.attrs);
            agree(&r, &m, MOST, 0, "scalar", 0);
        }
    }
}
END_TEST

START_TEST(instruction_sets_have_names)
{
    int best = wg__isa_best();
    ck_assert(best >= 0 && best < WG_ISA_COUNT);
    ck_assert_int_eq(wg__isa_best(), best);
    ck_assert_str_eq(wg__isa_name(WG_ISA_PORTABLE), "portable");
    ck_assert_str_eq(wg__isa_name(WG_ISA_AVX512), "avx512");
    ck_assert_str_eq(wg__isa_name(WG_ISA_COUNT), "");
}
END_TEST

/* Arithmetic is in blocks: what the fusing executor lives on. */
START_TEST(the_usual_ops_have_blocks)
{
    static const char *const usual[] = {"add", "mul", "mul0", "where", "exp", "less", "cast"};
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        const wg__op *op = wg__op_find(ctx, usual[i]);
        size_t n = 0;
        for (size_t k = 0; k < op->def.nkernels; k++)
            n += op->def.kernels[k].block != NULL;
        ck_assert_msg(n >= 2, "%s", usual[i]);
    }
}
END_TEST

static void twice(size_t n, char *const *data, const ptrdiff_t *stride, const double *attrs,
                  void *user)
{
    (void)attrs, (void)user;
    for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++)
        *(double *)(void *)(data[1] + i * stride[1]) =
            2 * *(const double *)(const void *)(data[0] + i * stride[0]);
}

/* Structs of a plugin that was built before the fields at their ends were there. */
START_TEST(older_structs_load)
{
    enum { OLD_ROW = offsetof(wg_kernel, block), OLD_OP = offsetof(wg_op, view) };
    struct {
        char bytes[2 * sizeof(wg_kernel)];
    } rows;
    wg_kernel old = {OLD_ROW, .types = "d->d", .loop = twice};
    memset(&rows, 0xff, sizeof rows);
    memcpy(rows.bytes, &old, OLD_ROW);
    old.types = "f->f"; /* a second one, close behind the first */
    memcpy(rows.bytes + OLD_ROW, &old, OLD_ROW);
    wg_op op;
    memset(&op, 0xff, sizeof op);
    const wg_op given = {OLD_OP,
                         .sig = "twice(x: float) -> y",
                         .doc = "2 x.",
                         .flags = WG_OP_ELEMENTWISE,
                         .kernels = (const wg_kernel *)(void *)&rows,
                         .nkernels = 2};
    memcpy(&op, &given, OLD_OP);
    const char *error = "";
    ck_assert_msg(wg_register(ctx, &op, &error) == WG_OK, "%s", error);
    const wg_op *have = wg_op_find(ctx, "twice");
    ck_assert(!have->view);
    ck_assert_int_eq(have->monoid, WG_MONOID_NONE);
    for (size_t i = 0; i < 2; i++) {
        ck_assert(have->kernels[i].loop == twice);
        ck_assert_ptr_null(have->kernels[i].block);
        ck_assert_ptr_null(have->kernels[i].scalar);
    }
    ck_assert_str_eq(have->kernels[1].types, "f->f");
}
END_TEST

int main(void)
{
    open_ctx();
    int n = (int)wg_op_count(ctx);
    close_ctx();
    Suite *s = suite_create("block");
    TCase *t = tcase_create("kernels");
    tcase_add_checked_fixture(t, open_ctx, close_ctx);
    tcase_add_loop_test(t, blocks_are_the_loops, 0, n);
    tcase_add_loop_test(t, scalars_are_the_loops, 0, n);
    tcase_add_test(t, instruction_sets_have_names);
    tcase_add_test(t, the_usual_ops_have_blocks);
    tcase_add_test(t, older_structs_load);
    suite_add_tcase(s, t);
    return run_suite(s);
}
