/* Reductions: kernels of the monoids.
 *
 * Sums, maxima and minima of floats are vectors, of the width of each instruction set. The order of
 * the operations is the same in all, so their results are too: four accumulators of 64 bytes take
 * turns along the elements, a last part is filled up with the neutral element, and the lanes are
 * folded in halves. NaN goes through max and min as in ops/reduce.c. Integers wrap
 * (they are added as unsigned). Sums of f32 are f32 for BLOCK elements at most, and f64 across
 * those: a lane sees a few additions only, so long rows lose nothing. */
#include <math.h>
#include <string.h>
#include "vm/loop_inst.h"

#if defined __x86_64__
#define TARGET_AVX2 __attribute__((target("avx2")))
#define TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#endif
#define TARGET_PORTABLE

#define VECTOR(NAME, T, BYTES)                                                                     \
    typedef T NAME __attribute__((vector_size(BYTES)));                                            \
    typedef T NAME##_any __attribute__((vector_size(BYTES), aligned(sizeof(T)), may_alias));
VECTOR(v4f, float, 16)
VECTOR(v8f, float, 32)
VECTOR(v16f, float, 64)
VECTOR(v4i, int32_t, 16)
VECTOR(v8i, int32_t, 32)
VECTOR(v16i, int32_t, 64)
VECTOR(v2d, double, 16)
VECTOR(v4d, double, 32)
VECTOR(v8d, double, 64)
VECTOR(v2l, int64_t, 16)
VECTOR(v4l, int64_t, 32)
VECTOR(v8l, int64_t, 64)

/* From element k on: a mask of the last k lanes of 64 bytes. */
static const int32_t last_float[32] = {0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
                                       0,  0,  0,  0,  0,  -1, -1, -1, -1, -1, -1,
                                       -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
static const int64_t last_double[16] = {0, 0, 0, 0, 0, 0, 0, 0, -1, -1, -1, -1, -1, -1, -1, -1};

/* s op e, for vectors of floats with masks of type M, and for one element. */
#define SUM_V(M, s, e) ((s) + (e))
#define SUM_1(s, e) ((s) + (e))
#define PICK_V(M, take, s, e) ((__typeof__(s))(((take) & (M)(e)) | (~(take) & (M)(s))))
#define MAX_V(M, s, e) PICK_V(M, (((e) > (s)) | ((e) != (e))), s, e)
#define MAX_1(s, e) ((e) > (s) || (e) != (e) ? (e) : (s))
#define MIN_V(M, s, e) PICK_V(M, (((e) < (s)) | ((e) != (e))), s, e)
#define MIN_1(s, e) ((e) < (s) || (e) != (e) ? (e) : (s))
#define LARGER_1(s, e) ((e) > (s) ? (e) : (s)) /* of integers */
#define SMALLER_1(s, e) ((e) < (s) ? (e) : (s))
#define PROD_1(s, e) ((s) * (e))
#define ANY_1(s, e) ((s) | ((e) != 0))
#define ALL_1(s, e) ((s) & ((e) != 0))

/* A vector of L elements of T equal to e. */
#define ALL_LANES(V, e) ((V){0} + (e))

/* 64 bytes, as quads Q, folded in halves to one quad. */
#define QUADS_float(OP, N, q) OP##_V(N, OP##_V(N, q[0], q[2]), OP##_V(N, q[1], q[3]))
#define QUADS_double(OP, N, q) OP##_V(N, q[0], q[1])

/* The accumulators are four times 64 bytes, each of K vectors: DO(part, a, b, c, d) with the
 * variables of that part in each. */
#define PARTS_1(DO, ...) DO(0, a0, a1, a2, a3, __VA_ARGS__)
#define PARTS_2(DO, ...)                                                                           \
    DO(0, a0, a2, a4, a6, __VA_ARGS__)                                                             \
    DO(1, a1, a3, a5, a7, __VA_ARGS__)
#define PARTS_4(DO, ...)                                                                           \
    DO(0, a0, a4, a8, a12, __VA_ARGS__)                                                            \
    DO(1, a1, a5, a9, a13, __VA_ARGS__)                                                            \
    DO(2, a2, a6, a10, a14, __VA_ARGS__)                                                           \
    DO(3, a3, a7, a11, a15, __VA_ARGS__)
#define DECLARE(k, a, b, c, d, V, M, L, W, OP) V a = none, b = none, c = none, d = none;
#define ADD_AT(at, acc, V, M, OP)                                                                  \
    {                                                                                              \
        const V e = *(const V##_any *)(at);                                                        \
        acc = OP##_V(M, acc, e);                                                                   \
    }
#define STEP_FOUR(k, a, b, c, d, V, M, L, W, OP)                                                   \
    ADD_AT(p + i + k * W, a, V, M, OP)                                                             \
    ADD_AT(p + i + L + k * W, b, V, M, OP)                                                         \
    ADD_AT(p + i + 2 * L + k * W, c, V, M, OP)                                                     \
    ADD_AT(p + i + 3 * L + k * W, d, V, M, OP)
#define STEP_ONE(k, a, b, c, d, V, M, L, W, OP) ADD_AT(p + i + k * W, a, V, M, OP)
#define STEP_LAST(k, a, b, c, d, V, M, L, W, OP)                                                   \
    {                                                                                              \
        const V e = *(const V##_any *)(p + n - L + k * W);                                         \
        const M take = *(const M##_any *)(last + k * W);                                           \
        const V kept = PICK_V(M, take, none, e);                                                   \
        b = OP##_V(M, b, kept);                                                                    \
    }
#define JOIN(k, a, b, c, d, V, M, L, W, OP)                                                        \
    a = OP##_V(M, a, b);                                                                           \
    c = OP##_V(M, c, d);                                                                           \
    u.v[k] = OP##_V(M, a, c);

/* rows, across and down of OP over T, in K vectors V (mask M) for each L elements, which are 64 bytes; quads
 * Q have mask N. Short rows go four at a time, a row to a lane. The last part of a long row is read
 * together with elements before it, which a mask takes out. */
#define VECTOR_FOLD(NAME, TARGET, T, L, K, V, M, Q, N, NEUTRAL, OP)                                \
    TARGET static void NAME##_long(size_t r, size_t n, const T *p, T *to)                          \
    {                                                                                              \
        enum { W = L / K };                                                                        \
        const V none = ALL_LANES(V, (T)NEUTRAL);                                                   \
        for (; r; r--, p += n, to++) {                                                             \
            PARTS_##K(DECLARE, V, M, L, W, OP) size_t i = 0;                                       \
            for (; i + 4 * L <= n; i += 4 * L) {                                                   \
                PARTS_##K(STEP_FOUR, V, M, L, W, OP)                                               \
            }                                                                                      \
            for (; i + L <= n; i += L) {                                                           \
                PARTS_##K(STEP_ONE, V, M, L, W, OP)                                                \
            }                                                                                      \
            if (i < n) {                                                                           \
                __typeof__(&last_##T[0]) last = last_##T + n % L;                                  \
                PARTS_##K(STEP_LAST, V, M, L, W, OP)                                               \
            }                                                                                      \
            union {                                                                                \
                V v[K];                                                                            \
                Q q[64 / sizeof(Q)];                                                               \
            } u;                                                                                   \
            PARTS_##K(JOIN, V, M, L, W, OP) const Q q4 = QUADS_##T(OP, N, u.q),                    \
                                                    h4 = {q4[2], q4[3], q4[2], q4[3]};             \
            const Q q2 = OP##_V(N, q4, h4), h2 = {q2[1], q2[1], q2[1], q2[1]};                     \
            const Q q1 = OP##_V(N, q2, h2);                                                        \
            *to = q1[0];                                                                           \
        }                                                                                          \
    }                                                                                              \
    TARGET static void NAME##_rows(size_t r, size_t c, const void *x, void *y)                     \
    {                                                                                              \
        const T *p = x;                                                                            \
        T *to = y;                                                                                 \
        if (c >= L) {                                                                              \
            NAME##_long(r, c, p, to);                                                              \
            return;                                                                                \
        }                                                                                          \
        for (size_t i = 0; i < r; i += 4) {                                                        \
            const T *p0 = p + i * c, *p1 = i + 1 < r ? p0 + c : p0;                                \
            const T *p2 = i + 2 < r ? p1 + c : p0, *p3 = i + 3 < r ? p2 + c : p0;                  \
            Q s = ALL_LANES(Q, (T)NEUTRAL);                                                        \
            for (size_t j = 0; j < c; j++) {                                                       \
                const Q e = {p0[j], p1[j], p2[j], p3[j]};                                          \
                s = OP##_V(N, s, e);                                                               \
            }                                                                                      \
            for (size_t k = 0; k < 4 && i + k < r; k++)                                            \
                to[i + k] = s[k];                                                                  \
        }                                                                                          \
    }                                                                                              \
    TARGET static void NAME##_across(size_t n, size_t c, const void *x, void *y)                   \
    {                                                                                              \
        enum { W = L / K };                                                                        \
        for (size_t i = 0; i < n; i += W) {                                                        \
            const T *p = (const T *)x + i;                                                         \
            V s = *(const V##_any *)p;                                                             \
            for (size_t j = 1; j < c; j++) {                                                       \
                const V e = *(const V##_any *)(p += n);                                            \
                s = OP##_V(M, s, e);                                                               \
            }                                                                                      \
            *(V##_any *)((T *)y + i) = s;                                                          \
        }                                                                                          \
    }                                                                                              \
    TARGET static void NAME##_down(size_t r, size_t n, void *acc, const void *x)                   \
    {                                                                                              \
        enum { W = L / K };                                                                        \
        T *a = acc;                                                                                \
        const T *p = x;                                                                            \
        size_t i = 0;                                                                              \
        for (; i + 4 * W <= n; i += 4 * W) {                                                       \
            V s0 = *(const V##_any *)(a + i), s1 = *(const V##_any *)(a + i + W);                  \
            V s2 = *(const V##_any *)(a + i + 2 * W), s3 = *(const V##_any *)(a + i + 3 * W);      \
            const T *q = p + i;                                                                    \
            for (size_t k = 0; k < r; k++, q += n) {                                               \
                ADD_AT(q, s0, V, M, OP)                                                            \
                ADD_AT(q + W, s1, V, M, OP)                                                        \
                ADD_AT(q + 2 * W, s2, V, M, OP)                                                    \
                ADD_AT(q + 3 * W, s3, V, M, OP)                                                    \
            }                                                                                      \
            *(V##_any *)(a + i) = s0;                                                              \
            *(V##_any *)(a + i + W) = s1;                                                          \
            *(V##_any *)(a + i + 2 * W) = s2;                                                      \
            *(V##_any *)(a + i + 3 * W) = s3;                                                      \
        }                                                                                          \
        for (; i + W <= n; i += W) {                                                               \
            V s = *(const V##_any *)(a + i);                                                       \
            for (size_t k = 0; k < r; k++)                                                         \
                ADD_AT(p + k * n + i, s, V, M, OP)                                                 \
            *(V##_any *)(a + i) = s;                                                               \
        }                                                                                          \
        for (; i < n; i++)                                                                         \
            for (size_t k = 0; k < r; k++)                                                         \
                a[i] = OP##_1(a[i], p[k * n + i]);                                                 \
    }

/* The same in plain C, for all else; A is the type that rows accumulate in. */
#define PLAIN_FOLD(NAME, T, A, NEUTRAL, OP)                                                        \
    static void NAME##_rows(size_t r, size_t c, const void *x, void *y)                            \
    {                                                                                              \
        const T *p = x;                                                                            \
        for (T *to = y; r; r--, p += c, to++) {                                                    \
            A s = NEUTRAL;                                                                         \
            for (size_t i = 0; i < c; i++)                                                         \
                s = (A)OP##_1(s, p[i]);                                                            \
            *to = (T)s;                                                                            \
        }                                                                                          \
    }                                                                                              \
    static void NAME##_across(size_t n, size_t c, const void *x, void *y)                          \
    {                                                                                              \
        const T *p = x;                                                                            \
        for (size_t i = 0; i < n; i++) {                                                           \
            A s = p[i];                                                                            \
            for (size_t j = 1; j < c; j++)                                                         \
                s = (A)OP##_1(s, p[j * n + i]);                                                    \
            ((T *)y)[i] = (T)s;                                                                    \
        }                                                                                          \
    }                                                                                              \
    static void NAME##_down(size_t r, size_t n, void *acc, const void *x)                          \
    {                                                                                              \
        T *a = acc;                                                                                \
        const T *p = x;                                                                            \
        for (; r; r--, p += n)                                                                     \
            for (size_t i = 0; i < n; i++)                                                         \
                a[i] = (T)OP##_1(a[i], p[i]);                                                      \
    }

#define FLOAT_FOLDS(ISA, K, VF, MF, VD, MD)                                                        \
    VECTOR_FOLD(sum_f_##ISA, TARGET_##ISA, float, 16, K, VF, MF, v4f, v4i, 0, SUM)                 \
    VECTOR_FOLD(max_f_##ISA, TARGET_##ISA, float, 16, K, VF, MF, v4f, v4i, -INFINITY, MAX)         \
    VECTOR_FOLD(min_f_##ISA, TARGET_##ISA, float, 16, K, VF, MF, v4f, v4i, INFINITY, MIN)          \
    VECTOR_FOLD(sum_d_##ISA, TARGET_##ISA, double, 8, K, VD, MD, v4d, v4l, 0, SUM)                 \
    VECTOR_FOLD(max_d_##ISA, TARGET_##ISA, double, 8, K, VD, MD, v4d, v4l, -INFINITY, MAX)         \
    VECTOR_FOLD(min_d_##ISA, TARGET_##ISA, double, 8, K, VD, MD, v4d, v4l, INFINITY, MIN)

FLOAT_FOLDS(PORTABLE, 4, v4f, v4i, v2d, v2l)
#if defined __x86_64__
FLOAT_FOLDS(AVX2, 2, v8f, v8i, v4d, v4l)
FLOAT_FOLDS(AVX512, 1, v16f, v16i, v8d, v8l)
#endif

PLAIN_FOLD(sum_i, uint32_t, uint32_t, 0, SUM)
PLAIN_FOLD(sum_l, uint64_t, uint64_t, 0, SUM)
PLAIN_FOLD(prod_i, uint32_t, uint32_t, 1, PROD)
PLAIN_FOLD(prod_l, uint64_t, uint64_t, 1, PROD)
PLAIN_FOLD(prod_f, float, double, 1, PROD)
PLAIN_FOLD(prod_d, double, double, 1, PROD)
PLAIN_FOLD(max_i, int32_t, int32_t, INT32_MIN, LARGER)
PLAIN_FOLD(max_l, int64_t, int64_t, INT64_MIN, LARGER)
PLAIN_FOLD(min_i, int32_t, int32_t, INT32_MAX, SMALLER)
PLAIN_FOLD(min_l, int64_t, int64_t, INT64_MAX, SMALLER)
PLAIN_FOLD(any_b, uint8_t, uint8_t, 0, ANY)
PLAIN_FOLD(all_b, uint8_t, uint8_t, 1, ALL)

static void widen_sum(size_t r, size_t n, void *acc, const void *x)
{
    double *a = acc;
    const float *p = x;
    for (; r; r--, p += n)
        for (size_t i = 0; i < n; i++)
            a[i] += (double)p[i];
}

static void widen_prod(size_t r, size_t n, void *acc, const void *x)
{
    double *a = acc;
    const float *p = x;
    for (; r; r--, p += n)
        for (size_t i = 0; i < n; i++)
            a[i] *= (double)p[i];
}

static void total_prod(size_t n, const void *x, void *acc)
{
    for (size_t i = 0; i < n; i++)
        widen_prod(1, 1, acc, (const float *)x + i);
}

/* ---- long sums of f32 ------------------------------------------------------------------------------------ */

/* Each part of a row is a sum of its own, of the `rows` kernel of the instruction set. */
enum { BLOCK = 1024 };

typedef void (*rows_fn)(size_t r, size_t c, const void *x, void *y);

static double sum_blocks(rows_fn rows, size_t n, const float *x)
{
    double s = 0;
    for (size_t i = 0; i < n; i += BLOCK) {
        float part;
        rows(1, n - i < BLOCK ? n - i : BLOCK, x + i, &part);
        s += (double)part;
    }
    return s;
}

#define BLOCK_SUMS(ISA)                                                                            \
    static void long_sum_##ISA##_rows(size_t r, size_t c, const void *x, void *y)                  \
    {                                                                                              \
        if (c <= BLOCK) {                                                                          \
            sum_f_##ISA##_rows(r, c, x, y);                                                        \
            return;                                                                                \
        }                                                                                          \
        for (size_t i = 0; i < r; i++)                                                             \
            ((float *)y)[i] = (float)sum_blocks(sum_f_##ISA##_rows, c, (const float *)x + i * c);  \
    }                                                                                              \
    static void long_sum_##ISA##_total(size_t n, const void *x, void *acc)                         \
    {                                                                                              \
        *(double *)acc += sum_blocks(sum_f_##ISA##_rows, n, x);                                    \
    }

BLOCK_SUMS(PORTABLE)
#if defined __x86_64__
BLOCK_SUMS(AVX2)
BLOCK_SUMS(AVX512)
#endif

/* ---- the table --------------------------------------------------------------------------------------- */

typedef struct row {
    void (*rows)(size_t r, size_t c, const void *x, void *y);
    void (*across)(size_t n, size_t c, const void *x, void *y);
    void (*down)(size_t r, size_t n, void *acc, const void *x);
    void (*total)(size_t n, const void *x, void *acc); /* where the accumulator is wider */
} row;

/* clang-format off */
#define ROW(name) {name##_rows, name##_across, name##_down, NULL}
#define ISA_ROWS(ISA)                                                                              \
    {[WG_MONOID_SUM] = {[WG_F32] = {long_sum_##ISA##_rows, sum_f_##ISA##_across,                   \
                                    sum_f_##ISA##_down, long_sum_##ISA##_total},                   \
                        [WG_F64] = ROW(sum_d_##ISA),                                               \
                        [WG_I32] = ROW(sum_i), [WG_I64] = ROW(sum_l)},                             \
     [WG_MONOID_MAX] = {[WG_F32] = ROW(max_f_##ISA), [WG_F64] = ROW(max_d_##ISA),                  \
                        [WG_I32] = ROW(max_i), [WG_I64] = ROW(max_l)},                             \
     [WG_MONOID_MIN] = {[WG_F32] = ROW(min_f_##ISA), [WG_F64] = ROW(min_d_##ISA),                  \
                        [WG_I32] = ROW(min_i), [WG_I64] = ROW(min_l)},                             \
     [WG_MONOID_PROD] = {[WG_F32] = {prod_f_rows, prod_f_across, prod_f_down, total_prod},         \
                         [WG_F64] = ROW(prod_d),                                                   \
                         [WG_I32] = ROW(prod_i), [WG_I64] = ROW(prod_l)},                          \
     [WG_MONOID_ANY] = {[WG_BOOL] = ROW(any_b)},                                                   \
     [WG_MONOID_ALL] = {[WG_BOOL] = ROW(all_b)}}

static const row table[WG_ISA_COUNT][WG_MONOID_ALL + 1][WG_DTYPE_COUNT] = {
    [WG_ISA_PORTABLE] = ISA_ROWS(PORTABLE),
#if defined __x86_64__
    [WG_ISA_AVX2] = ISA_ROWS(AVX2),
    [WG_ISA_AVX512] = ISA_ROWS(AVX512),
#else
    [WG_ISA_AVX2] = ISA_ROWS(PORTABLE),
    [WG_ISA_AVX512] = ISA_ROWS(PORTABLE),
#endif
};
/* clang-format on */

wg__fold wg__loop_fold_of(wg_monoid monoid, wg_dtype dtype, int isa)
{
    const row *r = &table[isa][monoid][dtype];
    wg__fold f = {r->rows, r->across, r->down, r->down, r->total, dtype, dtype, monoid};
    if (dtype == WG_F32 && (monoid == WG_MONOID_SUM || monoid == WG_MONOID_PROD)) {
        f.wide = WG_F64;
        f.widen = monoid == WG_MONOID_SUM ? widen_sum : widen_prod;
    }
    return f;
}

void wg__fold_neutral(wg_monoid monoid, wg_dtype dtype, void *to, size_t n)
{
    /* Of no elements; portable: it is the same everywhere. */
    table[WG_ISA_PORTABLE][monoid][dtype].rows(n ? 1 : 0, 0, to, to);
    if (n > 1)
        wg__fill((uint8_t)wg_dtype_size(dtype), n, to, to);
}
