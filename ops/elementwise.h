/* Elementwise ops from one scalar C expression: for each dtype the loop, the block kernels in the
 * vectors of each instruction set, the function of one element, the row of the kernel table, and in
 * it the expression's text, from which the C emitter and the fusing executor work.
 *
 *     FLOAT_UNARY(sqrt, sqrt(a));
 *
 * defines sqrt_f32_loop, sqrt_f64_loop and so on, and sqrt_kernels. In the expression the operands
 * are a, b, c, the attributes p, q, and T is the C type that it computes in: that of p, q and of the
 * last operand that is not bool, or else of the result. It is compiled with numbers and with vectors
 * of numbers, so mind:
 *   - choose by SELECT(m, x, y), join by | & ^: there is no ?: || && ! of vectors;
 *   - functions are those that ops/simd.h lists;
 *   - a constant beside a vector must be exact in T; an integer constant is.
 * Integers wrap (-fwrapv). Included by families in ops/ only. */
#ifndef WG_OPS_ELEMENTWISE_H
#define WG_OPS_ELEMENTWISE_H

#include <wengert/ops.h>

#include "simd.h"
#include "tape/op.h"

/* In all macros below: N operands of C types A, B, C with a result of type R; operands that are not
 * there repeat the one before. T as above; NATTRS attributes. */

#define UNUSED __attribute__((unused))
#define ATTRIBUTES(T, NATTRS)                                                                      \
    UNUSED const T p = NATTRS > 0 ? (T)attrs[0] : 0;                                               \
    UNUSED const T q = NATTRS > 1 ? (T)attrs[NATTRS > 1] : 0

/* ---- loops ------------------------------------------------------------------------------------ */

/* NAME_loop, a wg_loop_fn. The body is written once and compiled twice: for dense arrays, where
 * compilers vectorise, and for any strides. */
#define LOOP(NAME, N, A, B, C, R, T, NATTRS, EXPR)                                                 \
    INLINE void NAME##_with(size_t n, char *const *data, const double *attrs, ptrdiff_t sa,        \
                            ptrdiff_t sb, ptrdiff_t sc, ptrdiff_t sy)                              \
    {                                                                                              \
        UNUSED const T ZERO = 0;                                                                   \
        ATTRIBUTES(T, NATTRS);                                                                     \
        const char *pa = data[0], *pb = data[N > 1], *pc = data[N - 1];                            \
        char *py = data[N];                                                                        \
        for (; n; n--, pa += sa, pb += sb, pc += sc, py += sy) {                                   \
            UNUSED const A a = *(const A *)(const void *)pa;                                       \
            UNUSED const B b = *(const B *)(const void *)pb;                                       \
            UNUSED const C c = *(const C *)(const void *)pc;                                       \
            *(R *)(void *)py = (R)(EXPR);                                                          \
        }                                                                                          \
    }                                                                                              \
    static void NAME##_loop(size_t n, char *const *data, const ptrdiff_t *stride,                  \
                            const double *attrs, void *user)                                       \
    {                                                                                              \
        const ptrdiff_t a = sizeof(A), b = sizeof(B), c = sizeof(C), y = sizeof(R);                \
        const ptrdiff_t sa = stride[0], sb = stride[N > 1], sc = stride[N - 1], sy = stride[N];    \
        (void)user;                                                                                \
        if (sa == a && sb == b && sc == c && sy == y)                                              \
            NAME##_with(n, data, attrs, a, b, c, y);                                               \
        else                                                                                       \
            NAME##_with(n, data, attrs, sa, sb, sc, sy);                                           \
    }

/* ---- block kernels ---------------------------------------------------------------------------- */

/* Lanes of ISA's vectors for a row: of the widest type, at most 16 (a block is a multiple of that). */
#define WIDER(X, Y) (sizeof(X) > sizeof(Y) ? sizeof(X) : sizeof(Y))
#define WIDEST(A, B, C, R) (WIDER(A, B) > WIDER(C, R) ? WIDER(A, B) : WIDER(C, R))
#define LANES(ISA, A, B, C, R)                                                                     \
    (BYTES_##ISA / WIDEST(A, B, C, R) < 16 ? BYTES_##ISA / WIDEST(A, B, C, R) : 16)

/* Vectors of L elements of type T, and such in memory, at any address. */
#define LANES_OF(NAME, T, L)                                                                       \
    typedef T NAME UNUSED __attribute__((vector_size(L * sizeof(T))));                             \
    typedef NAME NAME##_there UNUSED __attribute__((aligned(1), may_alias))

/* Elements of what comparisons give; MASK below is the vector for the row's T. */
#define INTEGER_uint8_t int8_t
#define INTEGER_int32_t int32_t
#define INTEGER_int64_t int64_t
#define INTEGER_float int32_t
#define INTEGER_double int64_t

/* Reads V from memory, writes X there as V. */
#define LOAD(V, FROM) ((V)(*(const V##_there *)(const void *)(FROM)))
#define LOAD_float LOAD
#define LOAD_double LOAD
#define LOAD_int32_t LOAD
#define LOAD_int64_t LOAD
#define LOAD_uint8_t(V, FROM) TAKE(MASK, FROM)
#define STORE(V, TO, X) *(V##_there *)(void *)(TO) = __builtin_convertvector(X, V)
#define STORE_float STORE
#define STORE_double STORE
#define STORE_int32_t STORE
#define STORE_int64_t STORE
#define STORE_uint8_t(V, TO, X) KEEP(MASK, TO, X)

/* One element in all lanes. */
#define SPREAD(A, V, FROM) (*(const A *)(const void *)(FROM) - (__typeof__(LOAD_##A(V, FROM))){0})

/* NAME_ISA: the block kernel for constant `one`, which has bit k set when operand k is one element. */
#define BLOCK(ISA, NAME, N, A, B, C, R, T, NATTRS, EXPR)                                           \
    TARGET_##ISA INLINE void NAME##_##ISA(size_t n, const char *pa, const char *pb,                \
                                          const char *pc, char *py, const double *attrs,           \
                                          unsigned one)                                            \
    {                                                                                              \
        enum { L = LANES(ISA, A, B, C, R) };                                                       \
        LANES_OF(VA, A, L);                                                                        \
        LANES_OF(VB, B, L);                                                                        \
        LANES_OF(VC, C, L);                                                                        \
        LANES_OF(VR, R, L);                                                                        \
        LANES_OF(VT, T, L);                                                                        \
        typedef INTEGER_##T MASK UNUSED __attribute__((vector_size(L * sizeof(T))));               \
        UNUSED const VT ZERO = {0};                                                                \
        ATTRIBUTES(T, NATTRS);                                                                     \
        pb = N > 1 ? pb : pa;                                                                      \
        pc = N > 2 ? pc : pb;                                                                      \
        const __typeof__(LOAD_##A(VA, pa)) a1 = SPREAD(A, VA, pa);                                 \
        const __typeof__(LOAD_##B(VB, pb)) b1 = SPREAD(B, VB, pb);                                 \
        const __typeof__(LOAD_##C(VC, pc)) c1 = SPREAD(C, VC, pc);                                 \
        UNROLL for (size_t i = 0; i < n; i += L)                                                   \
        {                                                                                          \
            UNUSED const __typeof__(a1) a = one & 1 ? a1 : LOAD_##A(VA, pa + i * sizeof(A));       \
            UNUSED const __typeof__(b1) b = one & 2 ? b1 : LOAD_##B(VB, pb + i * sizeof(B));       \
            UNUSED const __typeof__(c1) c = one & 4 ? c1 : LOAD_##C(VC, pc + i * sizeof(C));       \
            STORE_##R(VR, py + i * sizeof(R), (EXPR));                                             \
        }                                                                                          \
    }                                                                                              \
    EACH_VARIANT_##N(VARIANT, ISA, NAME)
#define UNROLL _Pragma("GCC unroll 4")

#define VARIANT(ISA, NAME, ONE)                                                                    \
    TARGET_##ISA static void NAME##_##ISA##_##ONE(size_t n, const void *a, const void *b,          \
                                                  const void *c, void *y, const double *attrs)     \
    {                                                                                              \
        NAME##_##ISA(n, a, b, c, y, attrs, ONE);                                                   \
    }
#define ENTRY(ISA, NAME, ONE) NAME##_##ISA##_##ONE,

/* X for each variant but the last, where all operands are one element. */
#define EACH_VARIANT_1(X, ISA, NAME) X(ISA, NAME, 0)
#define EACH_VARIANT_2(X, ISA, NAME) X(ISA, NAME, 0) X(ISA, NAME, 1) X(ISA, NAME, 2)
#define EACH_VARIANT_3(X, ISA, NAME)                                                               \
    EACH_VARIANT_2(X, ISA, NAME) X(ISA, NAME, 3) X(ISA, NAME, 4) X(ISA, NAME, 5) X(ISA, NAME, 6)

/* NAME_block, for wg_kernel.block. */
#ifdef __x86_64__
#define BLOCKS(NAME, N, ...)                                                                       \
    BLOCK(portable, NAME, N, __VA_ARGS__)                                                          \
    BLOCK(avx2, NAME, N, __VA_ARGS__)                                                              \
    BLOCK(avx512, NAME, N, __VA_ARGS__)                                                            \
    static const wg_block_fn NAME##_block[] = {EACH_VARIANT_##N(ENTRY, portable, NAME) NULL,       \
                                               EACH_VARIANT_##N(ENTRY, avx2, NAME) NULL,           \
                                               EACH_VARIANT_##N(ENTRY, avx512, NAME) NULL};
#else
#define BLOCKS(NAME, N, ...)                                                                       \
    BLOCK(portable, NAME, N, __VA_ARGS__)                                                          \
    static const wg_block_fn NAME##_block[WG_ISA_COUNT << N] = {                                   \
        EACH_VARIANT_##N(ENTRY, portable, NAME) NULL};
#endif

/* ---- rows -------------------------------------------------------------------------------------- */

#define KERNEL(NAME, N, ...)                                                                       \
    LOOP(NAME, N, __VA_ARGS__)                                                                     \
    BLOCKS(NAME, N, __VA_ARGS__)

/* Of one float type T, which wg_scalar calls FIELD. */
#define FLOAT_KERNEL(NAME, N, T, FIELD, NATTRS, EXPR)                                              \
    KERNEL(NAME, N, T, T, T, T, T, NATTRS, EXPR)                                                   \
    static T NAME##_at(T a, T b, T c, const double *attrs)                                         \
    {                                                                                              \
        UNUSED const T ZERO = 0;                                                                   \
        ATTRIBUTES(T, NATTRS);                                                                     \
        (void)a, (void)b, (void)c, (void)attrs;                                                    \
        return (EXPR);                                                                             \
    }                                                                                              \
    static const struct wg_scalar NAME##_scalar = {.FIELD = NAME##_at};

/* clang-format off */
#define LOOP_ROW(TYPES, NAME, TEXT) {WG_KERNEL, .types = TYPES, .loop = NAME##_loop, .expr = TEXT}
#define BLOCK_ROW(TYPES, NAME, TEXT)                                                               \
    {WG_KERNEL, .types = TYPES, .loop = NAME##_loop, .expr = TEXT, .block = NAME##_block}
#define FLOAT_ROW(TYPES, NAME, TEXT)                                                               \
    {WG_KERNEL, .types = TYPES, .loop = NAME##_loop, .expr = TEXT, .block = NAME##_block,          \
     .scalar = &NAME##_scalar}
/* clang-format on */

/* A table as the two fields of wg_op. */
#define KERNELS(NAME)                                                                              \
    .kernels = NAME##_kernels, .nkernels = sizeof NAME##_kernels / sizeof *NAME##_kernels

/* f32 and f64. */
#define FLOATS(NAME, N, NATTRS, EXPR)                                                              \
    FLOAT_KERNEL(NAME##_f32, N, float, f32, NATTRS, EXPR)                                          \
    FLOAT_KERNEL(NAME##_f64, N, double, f64, NATTRS, EXPR)
#define FLOAT_UNARY_WITH(NAME, NATTRS, EXPR)                                                       \
    FLOATS(NAME, 1, NATTRS, EXPR)                                                                  \
    static const wg_kernel NAME##_kernels[] = {                                                    \
        FLOAT_ROW("f->f", NAME##_f32, #EXPR),                                                      \
        FLOAT_ROW("d->d", NAME##_f64, #EXPR),                                                      \
    }
#define FLOAT_UNARY(NAME, EXPR)                                                                    \
    FLOATS(NAME, 1, 0, EXPR)                                                                       \
    static const wg_kernel NAME##_kernels[] = {                                                    \
        FLOAT_ROW("f->f", NAME##_f32, #EXPR),                                                      \
        FLOAT_ROW("d->d", NAME##_f64, #EXPR),                                                      \
    }
#define FLOAT_BINARY(NAME, EXPR)                                                                   \
    FLOATS(NAME, 2, 0, EXPR)                                                                       \
    static const wg_kernel NAME##_kernels[] = {                                                    \
        FLOAT_ROW("ff->f", NAME##_f32, #EXPR),                                                     \
        FLOAT_ROW("dd->d", NAME##_f64, #EXPR),                                                     \
    }

/* All dtypes but bool: an expression for integers, one for floats. */
#define NUMBERS(NAME, N, INTEGER, FLOAT)                                                           \
    FLOATS(NAME, N, 0, FLOAT)                                                                      \
    KERNEL(NAME##_i32, N, int32_t, int32_t, int32_t, int32_t, int32_t, 0, INTEGER)                 \
    KERNEL(NAME##_i64, N, int64_t, int64_t, int64_t, int64_t, int64_t, 0, INTEGER)
#define NUM_UNARY(NAME, INTEGER, FLOAT)                                                            \
    NUMBERS(NAME, 1, INTEGER, FLOAT)                                                               \
    static const wg_kernel NAME##_kernels[] = {                                                    \
        FLOAT_ROW("f->f", NAME##_f32, #FLOAT),                                                     \
        FLOAT_ROW("d->d", NAME##_f64, #FLOAT),                                                     \
        BLOCK_ROW("i->i", NAME##_i32, #INTEGER),                                                   \
        BLOCK_ROW("l->l", NAME##_i64, #INTEGER),                                                   \
    }
#define NUM_BINARY(NAME, INTEGER, FLOAT)                                                           \
    NUMBERS(NAME, 2, INTEGER, FLOAT)                                                               \
    static const wg_kernel NAME##_kernels[] = {                                                    \
        FLOAT_ROW("ff->f", NAME##_f32, #FLOAT),                                                    \
        FLOAT_ROW("dd->d", NAME##_f64, #FLOAT),                                                    \
        BLOCK_ROW("ii->i", NAME##_i32, #INTEGER),                                                  \
        BLOCK_ROW("ll->l", NAME##_i64, #INTEGER),                                                  \
    }

/* ---- what partials share -------------------------------------------------------------------- */

/* A condition as 0 or 1 of the output's dtype. */
static inline wg_var as_number(const wg_rule *r, wg_var condition)
{
    return wg_cast(condition, wg_typeof(r->out[0]).dtype);
}

/* Of piecewise constant functions. */
static inline wg_var zero_partial(wg_rule *r, size_t operand)
{
    (void)r;
    (void)operand;
    return wg_none();
}

#endif
