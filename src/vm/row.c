/* One row times a matrix, f32: what a step of a recurrence of batch 1 mostly is. The matrix is in the
 * caches then, and the libraries, which are made for matrices in memory, spend up to half their time
 * on their own ways. Four vectors of sums at a time: of columns side by side, or of rows of the
 * transposed matrix, whose lanes are then folded in halves. */
#include <stddef.h>

#include "base/isa.h"
#include "vm/blas.h"

#if defined __x86_64__

#include <immintrin.h>
#include <wengert/op.h>

/* y[j] = sum of x[l * step] b[l * ld + j] for four vectors of L columns, and for one. */
#define COLUMNS(NAME, TARGET, R, L, P)                                                             \
    TARGET static inline void NAME##_columns4(int64_t k, const float *x, int64_t step,             \
                                              const float *b, int64_t ld, float *y)                \
    {                                                                                              \
        R s0 = P##_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;                                        \
        for (int64_t l = 0; l < k; l++, b += ld) {                                                 \
            const R one = P##_set1_ps(x[l * step]);                                                \
            s0 = P##_fmadd_ps(one, P##_loadu_ps(b), s0);                                           \
            s1 = P##_fmadd_ps(one, P##_loadu_ps(b + (L)), s1);                                     \
            s2 = P##_fmadd_ps(one, P##_loadu_ps(b + 2 * (L)), s2);                                 \
            s3 = P##_fmadd_ps(one, P##_loadu_ps(b + 3 * (L)), s3);                                 \
        }                                                                                          \
        P##_storeu_ps(y, s0);                                                                      \
        P##_storeu_ps(y + (L), s1);                                                                \
        P##_storeu_ps(y + 2 * (L), s2);                                                            \
        P##_storeu_ps(y + 3 * (L), s3);                                                            \
    }                                                                                              \
    TARGET static inline void NAME##_columns1(int64_t k, const float *x, int64_t step,             \
                                              const float *b, int64_t ld, float *y)                \
    {                                                                                              \
        R sum = P##_setzero_ps();                                                                  \
        for (int64_t l = 0; l < k; l++, b += ld)                                                   \
            sum = P##_fmadd_ps(P##_set1_ps(x[l * step]), P##_loadu_ps(b), sum);                    \
        P##_storeu_ps(y, sum);                                                                     \
    }

/* y[i] = sum of x[l] b[i * ld + l] for four rows of b, and for one. */
#define DOTS(NAME, TARGET, R, L, P, FOLD)                                                          \
    TARGET static inline void NAME##_dots4(int64_t k, const float *x, const float *b, int64_t ld,  \
                                           float *y)                                               \
    {                                                                                              \
        const float *b1 = b + ld, *b2 = b1 + ld, *b3 = b2 + ld;                                    \
        R s0 = P##_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;                                        \
        int64_t l = 0;                                                                             \
        for (; l + (L) <= k; l += (L)) {                                                           \
            const R part = P##_loadu_ps(x + l);                                                    \
            s0 = P##_fmadd_ps(part, P##_loadu_ps(b + l), s0);                                      \
            s1 = P##_fmadd_ps(part, P##_loadu_ps(b1 + l), s1);                                     \
            s2 = P##_fmadd_ps(part, P##_loadu_ps(b2 + l), s2);                                     \
            s3 = P##_fmadd_ps(part, P##_loadu_ps(b3 + l), s3);                                     \
        }                                                                                          \
        float y0 = FOLD(s0), y1 = FOLD(s1), y2 = FOLD(s2), y3 = FOLD(s3);                          \
        for (; l < k; l++) {                                                                       \
            y0 += x[l] * b[l];                                                                     \
            y1 += x[l] * b1[l];                                                                    \
            y2 += x[l] * b2[l];                                                                    \
            y3 += x[l] * b3[l];                                                                    \
        }                                                                                          \
        y[0] = y0;                                                                                 \
        y[1] = y1;                                                                                 \
        y[2] = y2;                                                                                 \
        y[3] = y3;                                                                                 \
    }                                                                                              \
    TARGET static inline float NAME##_dot(int64_t k, const float *x, const float *b)               \
    {                                                                                              \
        R sum = P##_setzero_ps();                                                                  \
        int64_t l = 0;                                                                             \
        for (; l + (L) <= k; l += (L))                                                             \
            sum = P##_fmadd_ps(P##_loadu_ps(x + l), P##_loadu_ps(b + l), sum);                     \
        float total = FOLD(sum);                                                                   \
        for (; l < k; l++)                                                                         \
            total += x[l] * b[l];                                                                  \
        return total;                                                                              \
    }

#define ROW(NAME, TARGET, R, L, P, FOLD)                                                           \
    COLUMNS(NAME, TARGET, R, L, P)                                                                 \
    DOTS(NAME, TARGET, R, L, P, FOLD)                                                              \
    TARGET static void NAME(int64_t n, int64_t k, const float *x, int64_t step,                    \
                            const wg__dense *b, float *y)                                          \
    {                                                                                              \
        const float *w = b->data;                                                                  \
        int64_t j = 0;                                                                             \
        if (b->trans) {                                                                            \
            for (; j + 4 <= n; j += 4)                                                             \
                NAME##_dots4(k, x, w + j * b->ld, b->ld, y + j);                                   \
            for (; j < n; j++)                                                                     \
                y[j] = NAME##_dot(k, x, w + j * b->ld);                                            \
            return;                                                                                \
        }                                                                                          \
        for (; j + 4 * (L) <= n; j += 4 * (L))                                                     \
            NAME##_columns4(k, x, step, w + j, b->ld, y + j);                                      \
        for (; j + (L) <= n; j += (L))                                                             \
            NAME##_columns1(k, x, step, w + j, b->ld, y + j);                                      \
        for (; j < n; j++) {                                                                       \
            float total = 0;                                                                       \
            for (int64_t l = 0; l < k; l++)                                                        \
                total += x[l * step] * w[l * b->ld + j];                                           \
            y[j] = total;                                                                          \
        }                                                                                          \
    }

#define TARGET_AVX2 __attribute__((target("avx2,fma")))
#define TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma")))

TARGET_AVX2 static inline float fold8(__m256 v)
{
    __m128 h = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    h = _mm_add_ps(h, _mm_movehl_ps(h, h));
    return _mm_cvtss_f32(_mm_add_ss(h, _mm_shuffle_ps(h, h, 1)));
}

TARGET_AVX512 static inline float fold16(__m512 v)
{
    const __m256 high = _mm512_extractf32x8_ps(v, 1);
    return fold8(_mm256_add_ps(_mm512_castps512_ps256(v), high));
}

ROW(row_avx2, TARGET_AVX2, __m256, 8, _mm256, fold8)
ROW(row_avx512, TARGET_AVX512, __m512, 16, _mm512, fold16)

/* x lies in steps of its own where it is a column; dot products want it dense. */
#define CALL(NAME)                                                                                 \
    static void NAME##_call(int64_t m, int64_t n, int64_t k, const wg__dense *a,                   \
                            const wg__dense *b, void *c, int64_t ldc)                              \
    {                                                                                              \
        const int64_t step = a->trans ? a->ld : 1;                                                 \
        if (b->trans && step != 1)                                                                 \
            wg__gemv_row(m, n, k, a, b, c, ldc);                                                   \
        else                                                                                       \
            NAME(n, k, a->data, step, b, c);                                                       \
    }
CALL(row_avx2)
CALL(row_avx512)

wg__gemm_fn wg__row_f32(void)
{
    const int isa = wg__isa_best();
    return isa == WG_ISA_AVX512 ? row_avx512_call
           : isa == WG_ISA_AVX2 ? row_avx2_call
                                : wg__gemv_row;
}

#else

wg__gemm_fn wg__row_f32(void) { return wg__gemv_row; }

#endif
