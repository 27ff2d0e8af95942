/* For test_scalars: kernels with every set of fast forms, whose results are exact, so that loop,
 * block kernels and scalar function agree to the bit. */
#ifndef WG_TESTS_SCALAR_OPS_H
#define WG_TESTS_SCALAR_OPS_H

#include <check.h>
#include <string.h>

#include "tape/registry.h"

/* One expression as loop, as block kernels (the same ones stand for every instruction set) and as a
 * function. Results are those of the expression in each of them, to the bit. */
#define AT(T, p, i) ((const T *)(p))[i]
#define TABLED(NAME, T, EXPR)                                                                      \
    static T NAME(T a, T b, T c, const double *attrs)                                              \
    {                                                                                              \
        (void)a, (void)b, (void)c, (void)attrs;                                                    \
        return (T)(EXPR);                                                                          \
    }                                                                                              \
    static void NAME##_block(size_t n, const void *a, const void *b, const void *c, void *y,       \
                             const double *attrs, unsigned one)                                    \
    {                                                                                              \
        ck_assert_uint_eq(n % 16, 0);                                                              \
        for (size_t i = 0; i < n; i++) {                                                           \
            const T x = AT(T, a, one & 1 ? 0 : i), z = b ? AT(T, b, one & 2 ? 0 : i) : x;          \
            ((T *)y)[i] = NAME(x, z, c ? AT(T, c, one & 4 ? 0 : i) : z, attrs);                    \
        }                                                                                          \
    }                                                                                              \
    VARIANT(NAME, 0)                                                                               \
    VARIANT(NAME, 1)                                                                               \
    VARIANT(NAME, 2) VARIANT(NAME, 3) VARIANT(NAME, 4) VARIANT(NAME, 5) VARIANT(NAME, 6)
#define VARIANT(NAME, V)                                                                           \
    __attribute__((unused)) static void NAME##_##V(size_t n, const void *a, const void *b,         \
                                                   const void *c, void *y, const double *attrs)    \
    {                                                                                              \
        NAME##_block(n, a, b, c, y, attrs, V);                                                     \
    }
#define BLOCKS1(NAME) NAME##_0, NULL
#define BLOCKS2(NAME) NAME##_0, NAME##_1, NAME##_2, NULL
#define BLOCKS3(NAME) NAME##_0, NAME##_1, NAME##_2, NAME##_3, NAME##_4, NAME##_5, NAME##_6, NULL
#define LOOPED(NAME, A, B, C, N, R, EXPR)                                                          \
    static void NAME(size_t n, char *const *data, const ptrdiff_t *stride, const double *attrs,    \
                     void *user)                                                                   \
    {                                                                                              \
        (void)attrs, (void)user;                                                                   \
        for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++) {                                             \
            const A a = AT(A, (void *)(data[0] + i * stride[0]), 0);                               \
            const B b = AT(B, (void *)(data[N > 1] + i * stride[N > 1]), 0);                       \
            const C c = AT(C, (void *)(data[N - 1] + i * stride[N - 1]), 0);                       \
            (void)a, (void)b, (void)c;                                                             \
            *(R *)(void *)(data[N] + i * stride[N]) = (R)(EXPR);                                   \
        }                                                                                          \
    }

TABLED(half, double, a / 2 + attrs[0])
TABLED(mean, double, a / 2 + b / 4)
TABLED(blend, double, a / 2 + b / 4 - c / 8)
TABLED(mean_f32, float, a / 2 - b / 4)
TABLED(xor_i64, int64_t, (a ^ b) + 3)
LOOPED(half_loop, double, double, double, 1, double, a / 2 + attrs[0])
LOOPED(mean_loop, double, double, double, 2, double, a / 2 + b / 4)
LOOPED(blend_loop, double, double, double, 3, double, a / 2 + b / 4 - c / 8)
LOOPED(mean_f32_loop, float, float, float, 2, float, a / 2 - b / 4)
LOOPED(xor_i64_loop, int64_t, int64_t, int64_t, 2, int64_t, (a ^ b) + 3)
LOOPED(less, double, double, double, 2, uint8_t, a < b)
LOOPED(where, uint8_t, double, double, 3, double, a ? b : c)
LOOPED(narrow, double, double, double, 1, float, a **(const double *)user)
LOOPED(widen, float, float, float, 1, double, a)
LOOPED(round_i64, double, double, double, 1, int64_t, a * 1000)
LOOPED(parity, int64_t, int64_t, int64_t, 1, uint8_t, a & 1)
LOOPED(count_i32, uint8_t, int32_t, int32_t, 2, int32_t, a + b / 2)
LOOPED(spread, int32_t, int32_t, int32_t, 1, double, a)

/* (a - b) / 2 + (c - d) / 4, and a nullary one. */
static void four(size_t n, char *const *data, const ptrdiff_t *stride, const double *attrs,
                 void *user)
{
    (void)attrs, (void)user;
    for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++) {
        double x[4];
        for (int k = 0; k < 4; k++)
            memcpy(&x[k], data[k] + i * stride[k], sizeof x[k]);
        *(double *)(void *)(data[4] + i * stride[4]) = (x[0] - x[1]) / 2 + (x[2] - x[3]) / 4;
    }
}

static void nothing(size_t n, char *const *data, const ptrdiff_t *stride, const double *attrs,
                    void *user)
{
    (void)user;
    for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++)
        *(double *)(void *)(data[0] + i * stride[0]) = attrs[1];
}

static const wg_block_fn half_blocks[] = {BLOCKS1(half), BLOCKS1(half), BLOCKS1(half)};
static const wg_block_fn mean_blocks[] = {BLOCKS2(mean), BLOCKS2(mean), BLOCKS2(mean)};
static const wg_block_fn mean_f32_blocks[] = {BLOCKS2(mean_f32), NULL, NULL, NULL, NULL,
                                              BLOCKS2(mean_f32)};
static const wg_block_fn blend_blocks[] = {BLOCKS3(blend), BLOCKS3(blend), BLOCKS3(blend)};
static const wg_block_fn xor_blocks[] = {BLOCKS2(xor_i64), BLOCKS2(xor_i64), BLOCKS2(xor_i64)};
static const struct wg_scalar half_scalar = {half, NULL}, mean_scalar = {mean, NULL},
                              blend_scalar = {blend, NULL}, mean_f32_scalar = {NULL, mean_f32};
static double scale = 0.75;

/* An op as the tests draw it: a kernel, dtypes by letter, attributes. */
typedef struct drawn {
    wg_kernel kernel;
    char in[8], out;
    double attrs[WG__MAX_ATTRS];
    size_t nattrs;
    void *user;
    double ulps; /* by which fast kernels may differ from the loop */
} drawn;

#define TEST_KERNEL(IN, OUT, ...)                                                                  \
    {                                                                                              \
        {WG_KERNEL, "", __VA_ARGS__}, IN, OUT, {0.25, -1.5}, 2, &scale, 0                          \
    }
static const drawn test_ops[] = {
    TEST_KERNEL("d", 'd', .loop = half_loop, .block = half_blocks, .scalar = &half_scalar),
    TEST_KERNEL("dd", 'd', .loop = mean_loop, .block = mean_blocks, .scalar = &mean_scalar),
    TEST_KERNEL("ddd", 'd', .loop = blend_loop, .block = blend_blocks, .scalar = &blend_scalar),
    TEST_KERNEL("ff", 'f', .loop = mean_f32_loop, .block = mean_f32_blocks,
                .scalar = &mean_f32_scalar),
    TEST_KERNEL("ll", 'l', .loop = xor_i64_loop, .block = xor_blocks),
    TEST_KERNEL("dd", 'd', .loop = mean_loop, .scalar = &mean_scalar),
    TEST_KERNEL("dd", 'd', .loop = mean_loop, .block = mean_blocks),
    TEST_KERNEL("dd", 'b', .loop = less),
    TEST_KERNEL("bdd", 'd', .loop = where),
    TEST_KERNEL("d", 'f', .loop = narrow),
    TEST_KERNEL("f", 'd', .loop = widen),
    TEST_KERNEL("d", 'l', .loop = round_i64),
    TEST_KERNEL("l", 'b', .loop = parity),
    TEST_KERNEL("bi", 'i', .loop = count_i32),
    TEST_KERNEL("i", 'd', .loop = spread),
    TEST_KERNEL("dddd", 'd', .loop = four),
    TEST_KERNEL("", 'd', .loop = nothing),
};
enum { TEST_OPS = sizeof test_ops / sizeof *test_ops };

#endif
