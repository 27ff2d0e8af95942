/* The part of ops/simd.h for machines other than x86-64: bools and functions of 16-byte vectors,
 * element by element. */
#ifndef WG_OPS_SIMD_OTHER_H
#define WG_OPS_SIMD_OTHER_H

#define BOOLS(M)                                                                                   \
    INLINE M take_##M(const void *from)                                                            \
    {                                                                                              \
        M m;                                                                                       \
        for (size_t i = 0; i < sizeof m / sizeof m[0]; i++)                                        \
            m[i] = ((const uint8_t *)from)[i];                                                     \
        return m;                                                                                  \
    }                                                                                              \
    INLINE void keep_##M(void *to, M m)                                                            \
    {                                                                                              \
        for (size_t i = 0; i < sizeof m / sizeof m[0]; i++)                                        \
            ((uint8_t *)to)[i] = m[i] & 1;                                                         \
    }
BOOLS(i32x4)
BOOLS(i64x2)

#define LANES1(NAME)                                                                               \
    INLINE f32x4 NAME##_f32x4(f32x4 x)                                                             \
    {                                                                                              \
        return (f32x4){NAME##f(x[0]), NAME##f(x[1]), NAME##f(x[2]), NAME##f(x[3])};                \
    }                                                                                              \
    INLINE f64x2 NAME##_f64x2(f64x2 x) { return (f64x2){NAME(x[0]), NAME(x[1])}; }
LANES1(sqrt)
LANES1(exp)
LANES1(expm1)
LANES1(log)
LANES1(log1p)
LANES1(sin)
LANES1(cos)
LANES1(tan)
LANES1(asin)
LANES1(acos)
LANES1(atan)
LANES1(sinh)
LANES1(cosh)
LANES1(tanh)
LANES1(erf)
LANES1(floor)
LANES1(ceil)
LANES1(rint)

INLINE f32x4 pow_f32x4(f32x4 x, f32x4 y)
{
    return (f32x4){powf(x[0], y[0]), powf(x[1], y[1]), powf(x[2], y[2]), powf(x[3], y[3])};
}
INLINE f64x2 pow_f64x2(f64x2 x, f64x2 y) { return (f64x2){pow(x[0], y[0]), pow(x[1], y[1])}; }

#endif
