/* The part of ops/simd.h for x86-64: bools to and from lanes, instructions for roots and rounding,
 * and SLEEF's functions: 1.0 ulp (u10), but tanh 3.5 (u35), which is four times as fast.
 *
 * Why not <sleef.h>: it declares what the flags of the whole compilation allow, so that without
 * -mavx512f there are no 512-bit functions, whereas our kernels choose their instruction set one by
 * one. The names with an instruction set at their end, unlike those without, call the code itself
 * and not a dispatcher that has a choice of its own. They leave errno alone. */
#ifndef WG_OPS_SIMD_X86_H
#define WG_OPS_SIMD_X86_H

#include <immintrin.h>

/* ---- bools ------------------------------------------------------------------------------------ */

INLINE __m128i few_bytes(const void *from, size_t n)
{
    int64_t bytes = 0;
    memcpy(&bytes, from, n);
    return _mm_cvtsi64_si128(bytes);
}

INLINE void keep_bytes(void *to, __m128i m, size_t n)
{
    int64_t bytes = _mm_cvtsi128_si64(_mm_and_si128(m, _mm_set1_epi8(1)));
    memcpy(to, &bytes, n);
}

TARGET_avx512 INLINE i32x16 take_i32x16(const void *from)
{
    return (i32x16)_mm512_cvtepu8_epi32(_mm_loadu_si128(from));
}
TARGET_avx512 INLINE i64x8 take_i64x8(const void *from)
{
    return (i64x8)_mm512_cvtepu8_epi64(few_bytes(from, 8));
}
TARGET_avx512 INLINE void keep_i32x16(void *to, i32x16 m)
{
    keep_i8x16(to, (i8x16)_mm512_cvtepi32_epi8((__m512i)m));
}
TARGET_avx512 INLINE void keep_i64x8(void *to, i64x8 m)
{
    keep_bytes(to, _mm512_cvtepi64_epi8((__m512i)m), 8);
}

TARGET_avx2 INLINE i32x8 take_i32x8(const void *from)
{
    return (i32x8)_mm256_cvtepu8_epi32(few_bytes(from, 8));
}
TARGET_avx2 INLINE i64x4 take_i64x4(const void *from)
{
    return (i64x4)_mm256_cvtepu8_epi64(few_bytes(from, 4));
}
TARGET_avx2 INLINE void keep_i32x8(void *to, i32x8 m)
{
    __m128i low = _mm256_castsi256_si128((__m256i)m);
    __m128i words = _mm_packs_epi32(low, _mm256_extracti128_si256((__m256i)m, 1));
    keep_bytes(to, _mm_packs_epi16(words, words), 8);
}
TARGET_avx2 INLINE void keep_i64x4(void *to, i64x4 m)
{
    __m128i low = _mm256_castsi256_si128((__m256i)m);
    __m128i words = _mm_packs_epi32(low, _mm256_extracti128_si256((__m256i)m, 1));
    words = _mm_packs_epi32(words, words); /* each lane was two equal halves */
    keep_bytes(to, _mm_packs_epi16(words, words), 4);
}

INLINE i32x4 take_i32x4(const void *from)
{
    const __m128i zero = _mm_setzero_si128();
    return (i32x4)_mm_unpacklo_epi16(_mm_unpacklo_epi8(few_bytes(from, 4), zero), zero);
}
INLINE i64x2 take_i64x2(const void *from)
{
    const __m128i zero = _mm_setzero_si128();
    __m128i words = _mm_unpacklo_epi8(few_bytes(from, 2), zero);
    return (i64x2)_mm_unpacklo_epi32(_mm_unpacklo_epi16(words, zero), zero);
}
INLINE void keep_i32x4(void *to, i32x4 m)
{
    __m128i words = _mm_packs_epi32((__m128i)m, (__m128i)m);
    keep_bytes(to, _mm_packs_epi16(words, words), 4);
}
INLINE void keep_i64x2(void *to, i64x2 m)
{
    __m128i words = _mm_packs_epi32((__m128i)m, (__m128i)m);
    words = _mm_packs_epi32(words, words);
    keep_bytes(to, _mm_packs_epi16(words, words), 2);
}

/* ---- instructions ----------------------------------------------------------------------------- */

INLINE f32x4 sqrt_f32x4(f32x4 x) { return (f32x4)_mm_sqrt_ps((__m128)x); }
INLINE f64x2 sqrt_f64x2(f64x2 x) { return (f64x2)_mm_sqrt_pd((__m128d)x); }
TARGET_avx2 INLINE f32x8 sqrt_f32x8(f32x8 x) { return (f32x8)_mm256_sqrt_ps((__m256)x); }
TARGET_avx2 INLINE f64x4 sqrt_f64x4(f64x4 x) { return (f64x4)_mm256_sqrt_pd((__m256d)x); }
TARGET_avx512 INLINE f32x16 sqrt_f32x16(f32x16 x) { return (f32x16)_mm512_sqrt_ps((__m512)x); }
TARGET_avx512 INLINE f64x8 sqrt_f64x8(f64x8 x) { return (f64x8)_mm512_sqrt_pd((__m512d)x); }

#define ROUNDING(NAME, HOW)                                                                        \
    f32x4 Sleef_##NAME##f4_sse2(f32x4) __attribute__((const));                                     \
    f64x2 Sleef_##NAME##d2_sse2(f64x2) __attribute__((const));                                     \
    INLINE f32x4 NAME##_f32x4(f32x4 x) { return Sleef_##NAME##f4_sse2(x); }                        \
    INLINE f64x2 NAME##_f64x2(f64x2 x) { return Sleef_##NAME##d2_sse2(x); }                        \
    TARGET_avx2 INLINE f32x8 NAME##_f32x8(f32x8 x)                                                 \
    {                                                                                              \
        return (f32x8)_mm256_round_ps((__m256)x, HOW | _MM_FROUND_NO_EXC);                         \
    }                                                                                              \
    TARGET_avx2 INLINE f64x4 NAME##_f64x4(f64x4 x)                                                 \
    {                                                                                              \
        return (f64x4)_mm256_round_pd((__m256d)x, HOW | _MM_FROUND_NO_EXC);                        \
    }                                                                                              \
    TARGET_avx512 INLINE f32x16 NAME##_f32x16(f32x16 x)                                            \
    {                                                                                              \
        return (f32x16)_mm512_roundscale_ps((__m512)x, HOW | _MM_FROUND_NO_EXC);                   \
    }                                                                                              \
    TARGET_avx512 INLINE f64x8 NAME##_f64x8(f64x8 x)                                               \
    {                                                                                              \
        return (f64x8)_mm512_roundscale_pd((__m512d)x, HOW | _MM_FROUND_NO_EXC);                   \
    }
ROUNDING(floor, _MM_FROUND_TO_NEG_INF)
ROUNDING(ceil, _MM_FROUND_TO_POS_INF)
ROUNDING(rint, _MM_FROUND_TO_NEAREST_INT)

/* Whether a comparison holds in any lane. */
INLINE bool any_f32x4(i32x4 m) { return _mm_movemask_ps((__m128)m) != 0; }
INLINE bool any_f64x2(i64x2 m) { return _mm_movemask_pd((__m128d)m) != 0; }
TARGET_avx2 INLINE bool any_f32x8(i32x8 m) { return _mm256_movemask_ps((__m256)m) != 0; }
TARGET_avx2 INLINE bool any_f64x4(i64x4 m) { return _mm256_movemask_pd((__m256d)m) != 0; }
TARGET_avx512 INLINE bool any_f32x16(i32x16 m) { return _mm512_movepi32_mask((__m512i)m) != 0; }
TARGET_avx512 INLINE bool any_f64x8(i64x8 m) { return _mm512_movepi64_mask((__m512i)m) != 0; }

/* ---- SLEEF ------------------------------------------------------------------------------------ */

/* HOW(NAME, function, target, vector, limit) for each; the limit is of those that are mended. */
#define SLEEF32(HOW, NAME, ULP, LIMIT)                                                             \
    HOW(NAME, Sleef_##NAME##f4_##ULP##sse2, TARGET_portable, f32x4, LIMIT)                         \
    HOW(NAME, WIDE(NAME, f8, ULP, avx2), TARGET_avx2, f32x8, LIMIT)                                \
    HOW(NAME, WIDE(NAME, f16, ULP, avx512f), TARGET_avx512, f32x16, LIMIT)
#define SLEEF64(HOW, NAME, ULP, LIMIT)                                                             \
    HOW(NAME, Sleef_##NAME##d2_##ULP##sse2, TARGET_portable, f64x2, LIMIT)                         \
    HOW(NAME, WIDE(NAME, d4, ULP, avx2), TARGET_avx2, f64x4, LIMIT)                                \
    HOW(NAME, WIDE(NAME, d8, ULP, avx512f), TARGET_avx512, f64x8, LIMIT)
#define SLEEF(HOW, NAME, ULP, LIMIT32, LIMIT64)                                                    \
    SLEEF32(HOW, NAME, ULP, LIMIT32)                                                               \
    SLEEF64(HOW, NAME, ULP, LIMIT64)

#define DECLARE(NAME, FUNCTION, TARGET, V, LIMIT) TARGET V FUNCTION(V) __attribute__((const));
#define DECLARE2(NAME, FUNCTION, TARGET, V, LIMIT) TARGET V FUNCTION(V, V) __attribute__((const));

#ifndef __clang__
#define WIDE(NAME, LANES, ULP, ISA) Sleef_##NAME##LANES##_##ULP##ISA
#define DECLARE_ALL(NAME, ULP) SLEEF(DECLARE, NAME, ULP, , )
#define DECLARE_ALL2(NAME, ULP) SLEEF(DECLARE2, NAME, ULP, , )
#else
/* Where the compilation as a whole is not for AVX, clang hands vectors of more than 16 bytes to
 * functions in memory, not in registers as SLEEF expects them. So it calls those for 16 bytes that
 * use AVX2, for each part. */
#define WIDE(NAME, LANES, ULP, ISA) NAME##_in_parts_##LANES
#define IN_PARTS(TARGET, NAME, LANES, FUNCTION, V, PART)                                           \
    TARGET INLINE V WIDE(NAME, LANES, , )(V x)                                                     \
    {                                                                                              \
        PART part[sizeof x / sizeof(PART)];                                                        \
        memcpy(part, &x, sizeof x);                                                                \
        for (size_t i = 0; i < sizeof x / sizeof(PART); i++)                                       \
            part[i] = FUNCTION(part[i]);                                                           \
        memcpy(&x, part, sizeof x);                                                                \
        return x;                                                                                  \
    }
#define IN_PARTS2(TARGET, NAME, LANES, FUNCTION, V, PART)                                          \
    TARGET INLINE V WIDE(NAME, LANES, , )(V x, V y)                                                \
    {                                                                                              \
        PART a[sizeof x / sizeof(PART)], b[sizeof x / sizeof(PART)];                               \
        memcpy(a, &x, sizeof x);                                                                   \
        memcpy(b, &y, sizeof y);                                                                   \
        for (size_t i = 0; i < sizeof x / sizeof(PART); i++)                                       \
            a[i] = FUNCTION(a[i], b[i]);                                                           \
        memcpy(&x, a, sizeof x);                                                                   \
        return x;                                                                                  \
    }
#define EACH_WIDE(HOW, NAME, ULP)                                                                  \
    HOW(TARGET_avx2, NAME, f8, Sleef_##NAME##f4_##ULP##avx2128, f32x8, f32x4)                      \
    HOW(TARGET_avx2, NAME, d4, Sleef_##NAME##d2_##ULP##avx2128, f64x4, f64x2)                      \
    HOW(TARGET_avx512, NAME, f16, Sleef_##NAME##f4_##ULP##avx2128, f32x16, f32x4)                  \
    HOW(TARGET_avx512, NAME, d8, Sleef_##NAME##d2_##ULP##avx2128, f64x8, f64x2)
#define DECLARE_NARROW(DECLARE, NAME, ULP)                                                         \
    DECLARE(NAME, Sleef_##NAME##f4_##ULP##sse2, , f32x4, )                                         \
    DECLARE(NAME, Sleef_##NAME##d2_##ULP##sse2, , f64x2, )                                         \
    DECLARE(NAME, Sleef_##NAME##f4_##ULP##avx2128, , f32x4, )                                      \
    DECLARE(NAME, Sleef_##NAME##d2_##ULP##avx2128, , f64x2, )
#define DECLARE_ALL(NAME, ULP) DECLARE_NARROW(DECLARE, NAME, ULP) EACH_WIDE(IN_PARTS, NAME, ULP)
#define DECLARE_ALL2(NAME, ULP) DECLARE_NARROW(DECLARE2, NAME, ULP) EACH_WIDE(IN_PARTS2, NAME, ULP)
#endif
DECLARE_ALL(exp, u10)
DECLARE_ALL(expm1, u10)
DECLARE_ALL(log, u10)
DECLARE_ALL(log1p, u10)
DECLARE_ALL(sin, u10)
DECLARE_ALL(cos, u10)
DECLARE_ALL(tan, u10)
DECLARE_ALL(asin, u10)
DECLARE_ALL(acos, u10)
DECLARE_ALL(atan, u10)
DECLARE_ALL(sinh, u10)
DECLARE_ALL(cosh, u10)
DECLARE_ALL(tanh, u35)
DECLARE_ALL(erf, u10)
DECLARE_ALL2(pow, u10)

#define RIGHT(NAME, FUNCTION, TARGET, V, LIMIT)                                                    \
    TARGET INLINE V NAME##_##V(V x) { return FUNCTION(x); }
SLEEF(RIGHT, expm1, u10, , )
SLEEF(RIGHT, log, u10, , )
SLEEF(RIGHT, sin, u10, , )
SLEEF(RIGHT, cos, u10, , )
SLEEF(RIGHT, tan, u10, , )
SLEEF(RIGHT, asin, u10, , )
SLEEF(RIGHT, acos, u10, , )
SLEEF(RIGHT, atan, u10, , )
SLEEF(RIGHT, tanh, u35, , )
SLEEF(RIGHT, erf, u10, , )

#define RIGHT2(NAME, FUNCTION, TARGET, V, LIMIT)                                                   \
    TARGET INLINE V NAME##_##V(V x, V y) { return FUNCTION(x, y); }
SLEEF(RIGHT2, pow, u10, , )

/* A number of V's dtype. */
#define OF(V, NUMBER) ((__typeof__(((V){0})[0]))(NUMBER))

/* Functions that SLEEF has wrong where x, or |x|, is above a limit: near the end of the range, so a
 * branch that is hardly ever taken chooses between FUNCTION and MENDED, an expression in x. */
#define MEND(NAME, FUNCTION, TARGET, V, LIMIT, SIZE, MENDED)                                       \
    TARGET INLINE V NAME##_##V(V x)                                                                \
    {                                                                                              \
        const V y = FUNCTION(x);                                                                   \
        if (__builtin_expect(!any_##V(SIZE > OF(V, LIMIT)), 1))                                    \
            return y;                                                                              \
        return select_##V(SIZE > OF(V, LIMIT), MENDED, y);                                         \
    }

/* Of f64, inf a little before the greatest number: exp(x - 1) e. */
#define EXP(NAME, FUNCTION, TARGET, V, LIMIT)                                                      \
    MEND(NAME, FUNCTION, TARGET, V, LIMIT, x,                                                      \
         FUNCTION(x - OF(V, 1)) * OF(V, 2.71828182845904523536))
SLEEF32(RIGHT, exp, u10, )
SLEEF64(EXP, exp, u10, 709)

/* Inf of the greatest numbers: log1p(x / 2^64) + log(2^64). */
#define LOG1P(NAME, FUNCTION, TARGET, V, LIMIT)                                                    \
    MEND(NAME, FUNCTION, TARGET, V, LIMIT, x,                                                      \
         FUNCTION(OF(V, 0x1p-64) * x) + OF(V, 44.361419555836499802702855773323))
SLEEF(LOG1P, log1p, u10, 0x1p126, 0x1p1000)

/* Inf from where exp is, but they are half of that: exp(x / 2)^2 / 2. */
#define COSH(NAME, FUNCTION, TARGET, V, LIMIT)                                                     \
    MEND(NAME, FUNCTION, TARGET, V, LIMIT, fabs_##V(x), half_square_##V(fabs_##V(x)))
#define SINH(NAME, FUNCTION, TARGET, V, LIMIT)                                                     \
    MEND(NAME, FUNCTION, TARGET, V, LIMIT, fabs_##V(x),                                            \
         select_##V(x < OF(V, 0), -half_square_##V(-x), half_square_##V(x)))
#define HALF_SQUARE(NAME, FUNCTION, TARGET, V, LIMIT)                                              \
    TARGET INLINE V half_square_##V(V x)                                                           \
    {                                                                                              \
        const V root = exp_##V(x * OF(V, 0.5));                                                    \
        return root * OF(V, 0.5) * root;                                                           \
    }
SLEEF(HALF_SQUARE, exp, u10, , )
SLEEF(COSH, cosh, u10, 88, 709)
SLEEF(SINH, sinh, u10, 88, 709)

#endif
