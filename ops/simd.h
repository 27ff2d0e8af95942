/* Vectors for block kernels: types of 16, 32 and 64 bytes (the portable instruction set, AVX2,
 * AVX-512), and what an expression of ops/elementwise.h may apply to a number as well as to a vector
 * of numbers: SELECT and the functions of <math.h> listed at the end.
 *
 * Arithmetic and comparisons are the compiler's own (GCC's vector extensions, which clang has too);
 * a comparison gives 0 or -1 in an integer vector of the same width. Functions come from SLEEF,
 * mended where it is wrong, or on machines other than x86-64 from libm, element by element.
 * Included by ops/elementwise.h only. */
#ifndef WG_OPS_SIMD_H
#define WG_OPS_SIMD_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

/* What functions for each instruction set are compiled for, see src/base/isa.c; bytes of a vector. */
#define TARGET_portable
#define TARGET_avx2 __attribute__((target("avx2,fma")))
#define TARGET_avx512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma")))
enum { BYTES_portable = 16, BYTES_avx2 = 32, BYTES_avx512 = 64 };

#define VECTOR(NAME, T, LANES) typedef T NAME __attribute__((vector_size(LANES * sizeof(T))))
VECTOR(u8x16, uint8_t, 16);
VECTOR(i8x16, int8_t, 16);
#define VECTORS(W32, W64)                                                                          \
    VECTOR(f32x##W32, float, W32);                                                                 \
    VECTOR(i32x##W32, int32_t, W32);                                                               \
    VECTOR(f64x##W64, double, W64);                                                                \
    VECTOR(i64x##W64, int64_t, W64)
VECTORS(4, 2);
VECTORS(8, 4);
VECTORS(16, 8);

/* clang-format off */
/* X for each instruction set, with its lanes of f32 and f64; for each vector of floats; for each
 * vector of integers, which comparisons give. */
#ifdef __x86_64__
#define EACH_ISA(X) X(portable, 4, 2) X(avx2, 8, 4) X(avx512, 16, 8)
#define EACH_VECTOR(X, NAME)                                                                       \
    X(NAME, f32x4), X(NAME, f64x2), X(NAME, f32x8), X(NAME, f64x4), X(NAME, f32x16), X(NAME, f64x8)
#define EACH_MASK(X, NAME)                                                                         \
    X(NAME, i32x4), X(NAME, i64x2), X(NAME, i32x8), X(NAME, i64x4), X(NAME, i32x16), X(NAME, i64x8)
#else
#define EACH_ISA(X) X(portable, 4, 2)
#define EACH_VECTOR(X, NAME) X(NAME, f32x4), X(NAME, f64x2)
#define EACH_MASK(X, NAME) X(NAME, i32x4), X(NAME, i64x2)
#endif
#define CHOICE(NAME, TYPE) TYPE: NAME##_##TYPE /* in _Generic */

/* ---- SELECT ----------------------------------------------------------------------------------- */

/* m ? x : y, lane by lane; both sides are computed. ZERO is what the kernel defines: 0 in the type
 * that it computes in. Subtracting it spreads a number over the lanes and changes nothing else. */
#define SELECT(m, x, y)                                                                            \
    _Generic((ZERO),                                                                               \
        EACH_VECTOR(CHOICE, select),                                                               \
        EACH_MASK(CHOICE, select),                                                                 \
        u8x16: select_u8x16,                                                                       \
        uint8_t: select_uint8_t,                                                                   \
        int32_t: select_int32_t,                                                                   \
        int64_t: select_int64_t,                                                                   \
        float: select_float,                                                                       \
        double: select_double)((m), (x) - ZERO, (y) - ZERO)

/* clang-format on */

#define SELECT_NUMBER(T)                                                                           \
    INLINE T select_##T(int m, T x, T y) { return m ? x : y; }
SELECT_NUMBER(uint8_t)
SELECT_NUMBER(int32_t)
SELECT_NUMBER(int64_t)
SELECT_NUMBER(float)
SELECT_NUMBER(double)

/* The sum is of disjoint bits. Written with +, gcc makes a blend of it; with | two operations. */
#define SELECT_VECTOR(TARGET, V, M)                                                                \
    TARGET INLINE V select_##V(M m, V x, V y) { return (V)((m & (M)x) + (~m & (M)y)); }
#define SELECT_VECTORS(ISA, W32, W64)                                                              \
    SELECT_VECTOR(TARGET_##ISA, f32x##W32, i32x##W32)                                              \
    SELECT_VECTOR(TARGET_##ISA, i32x##W32, i32x##W32)                                              \
    SELECT_VECTOR(TARGET_##ISA, f64x##W64, i64x##W64)                                              \
    SELECT_VECTOR(TARGET_##ISA, i64x##W64, i64x##W64)
SELECT_VECTOR(, u8x16, i8x16)
EACH_ISA(SELECT_VECTORS)

/* ---- bools ------------------------------------------------------------------------------------ */

/* Bools are bytes of 0 or 1 in memory. take_M reads as many as vector M has lanes, as integers;
 * keep_M writes a comparison's lanes. In kernels of bools only, they stay bytes. */
INLINE u8x16 take_i8x16(const void *from)
{
    u8x16 x;
    memcpy(&x, from, sizeof x);
    return x;
}
INLINE void keep_i8x16(void *to, i8x16 m)
{
    m &= 1;
    memcpy(to, &m, sizeof m);
}

/* clang-format off */
#define TAKE(M, FROM) _Generic((M){0}, i8x16: take_i8x16, EACH_MASK(CHOICE, take))(FROM)
#define KEEP(M, TO, X)                                                                             \
    _Generic((M){0}, i8x16: keep_i8x16, EACH_MASK(CHOICE, keep))(TO, (M)(X))
/* clang-format on */

/* ---- functions -------------------------------------------------------------------------------- */

#define FABS(ISA, W32, W64)                                                                        \
    TARGET_##ISA INLINE f32x##W32 fabs_f32x##W32(f32x##W32 x)                                      \
    {                                                                                              \
        return (f32x##W32)((i32x##W32)x & INT32_MAX);                                              \
    }                                                                                              \
    TARGET_##ISA INLINE f64x##W64 fabs_f64x##W64(f64x##W64 x)                                      \
    {                                                                                              \
        return (f64x##W64)((i64x##W64)x & INT64_MAX);                                              \
    }
EACH_ISA(FABS)

#ifdef __x86_64__
#include "simd_x86.h"
#else
#include "simd_other.h"
#endif

/* Of a float, a double, or a vector of them, in its own type. */
/* clang-format off */
#define FUNCTION(NAME, X) _Generic((X), EACH_VECTOR(CHOICE, NAME), float: NAME##f, double: NAME)
/* clang-format on */
#define FUNCTION1(NAME, X) FUNCTION(NAME, X)(X)
#define sqrt(x) FUNCTION1(sqrt, x)
#define exp(x) FUNCTION1(exp, x)
#define expm1(x) FUNCTION1(expm1, x)
#define log(x) FUNCTION1(log, x)
#define log1p(x) FUNCTION1(log1p, x)
#define sin(x) FUNCTION1(sin, x)
#define cos(x) FUNCTION1(cos, x)
#define tan(x) FUNCTION1(tan, x)
#define asin(x) FUNCTION1(asin, x)
#define acos(x) FUNCTION1(acos, x)
#define atan(x) FUNCTION1(atan, x)
#define sinh(x) FUNCTION1(sinh, x)
#define cosh(x) FUNCTION1(cosh, x)
#define tanh(x) FUNCTION1(tanh, x)
#define erf(x) FUNCTION1(erf, x)
#define fabs(x) FUNCTION1(fabs, x)
#define floor(x) FUNCTION1(floor, x)
#define ceil(x) FUNCTION1(ceil, x)
#define rint(x) FUNCTION1(rint, x)
#define pow(x, y) FUNCTION(pow, x)(x, y)

#endif
