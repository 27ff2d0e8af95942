/* Elementwise ops from one scalar C expression: the loops of each dtype, the kernel table, and the
 * expression's text, from which the C emitter and the fusing executor work.
 *
 *     FLOAT_UNARY(sqrt, sqrt(a));
 *
 * defines sqrt_f32, sqrt_f64 and sqrt_kernels. In the expression the operands are a, b, c and T is
 * the C type of the last of them; <tgmath.h> makes sqrt(a) a sqrtf for floats. Mind that an integer
 * constant beside a float stays exact and float (a * 2, a > 0 ? a : 0), but counts as double as an
 * argument of a function. Integers wrap (-fwrapv). Included by families in ops/ only. */
#ifndef WG_OPS_ELEMENTWISE_H
#define WG_OPS_ELEMENTWISE_H

#include <stdint.h>
#include <tgmath.h>
#include <wengert/ops.h>

#include "tape/op.h"

/* Loop NAME (a wg_loop_fn) of N operands of C types A, B, C with a result of type R; operands that
 * are not there repeat the one before. The body is written once and compiled twice: for dense
 * arrays, where compilers vectorise, and for any strides. */
#define LOOP(NAME, N, A, B, C, R, EXPR)                                                            \
    static inline __attribute__((always_inline)) void NAME##_with(                                 \
        size_t n, char *const *data, ptrdiff_t sa, ptrdiff_t sb, ptrdiff_t sc, ptrdiff_t sy)       \
    {                                                                                              \
        typedef C T __attribute__((unused));                                                       \
        const char *pa = data[0], *pb = data[N > 1], *pc = data[N - 1];                            \
        char *py = data[N];                                                                        \
        for (; n; n--, pa += sa, pb += sb, pc += sc, py += sy) {                                   \
            __attribute__((unused)) const A a = *(const A *)(const void *)pa;                      \
            __attribute__((unused)) const B b = *(const B *)(const void *)pb;                      \
            __attribute__((unused)) const C c = *(const C *)(const void *)pc;                      \
            *(R *)(void *)py = (R)(EXPR);                                                          \
        }                                                                                          \
    }                                                                                              \
    static void NAME(size_t n, char *const *data, const ptrdiff_t *stride, void *user)             \
    {                                                                                              \
        const ptrdiff_t a = sizeof(A), b = sizeof(B), c = sizeof(C), y = sizeof(R);                \
        const ptrdiff_t sa = stride[0], sb = stride[N > 1], sc = stride[N - 1], sy = stride[N];    \
        (void)user;                                                                                \
        if (sa == a && sb == b && sc == c && sy == y)                                              \
            NAME##_with(n, data, a, b, c, y);                                                      \
        else                                                                                       \
            NAME##_with(n, data, sa, sb, sc, sy);                                                  \
    }

#define LOOP1(NAME, A, R, EXPR) LOOP(NAME, 1, A, A, A, R, EXPR)
#define LOOP2(NAME, A, R, EXPR) LOOP(NAME, 2, A, A, A, R, EXPR)

/* A row of a kernel table. */
/* clang-format off */
#define LOOP_ROW(TYPES, NAME, TEXT) {WG_KERNEL, TYPES, NAME, NULL, NULL, TEXT}
#define RUN_ROW(TYPES, NAME)        {WG_KERNEL, TYPES, NULL, NAME, NULL, NULL}
/* clang-format on */

/* A table as the two fields of wg_op. */
#define KERNELS(NAME)                                                                              \
    .kernels = NAME##_kernels, .nkernels = sizeof NAME##_kernels / sizeof *NAME##_kernels

/* f32 and f64. */
#define FLOAT_UNARY(NAME, EXPR)                                                                    \
    LOOP1(NAME##_f32, float, float, EXPR)                                                          \
    LOOP1(NAME##_f64, double, double, EXPR)                                                        \
    static const wg_kernel NAME##_kernels[] = {                                                    \
        LOOP_ROW("f->f", NAME##_f32, #EXPR),                                                       \
        LOOP_ROW("d->d", NAME##_f64, #EXPR),                                                       \
    }

#define FLOAT_BINARY(NAME, EXPR)                                                                   \
    LOOP2(NAME##_f32, float, float, EXPR)                                                          \
    LOOP2(NAME##_f64, double, double, EXPR)                                                        \
    static const wg_kernel NAME##_kernels[] = {                                                    \
        LOOP_ROW("ff->f", NAME##_f32, #EXPR),                                                      \
        LOOP_ROW("dd->d", NAME##_f64, #EXPR),                                                      \
    }

/* All dtypes but bool: an expression for integers, one for floats. */
#define NUM_UNARY(NAME, INTEGER, FLOAT)                                                            \
    LOOP1(NAME##_i32, int32_t, int32_t, INTEGER)                                                   \
    LOOP1(NAME##_i64, int64_t, int64_t, INTEGER)                                                   \
    LOOP1(NAME##_f32, float, float, FLOAT)                                                         \
    LOOP1(NAME##_f64, double, double, FLOAT)                                                       \
    static const wg_kernel NAME##_kernels[] = {                                                    \
        LOOP_ROW("f->f", NAME##_f32, #FLOAT),                                                      \
        LOOP_ROW("d->d", NAME##_f64, #FLOAT),                                                      \
        LOOP_ROW("i->i", NAME##_i32, #INTEGER),                                                    \
        LOOP_ROW("l->l", NAME##_i64, #INTEGER),                                                    \
    }

#define NUM_BINARY(NAME, INTEGER, FLOAT)                                                           \
    LOOP2(NAME##_i32, int32_t, int32_t, INTEGER)                                                   \
    LOOP2(NAME##_i64, int64_t, int64_t, INTEGER)                                                   \
    LOOP2(NAME##_f32, float, float, FLOAT)                                                         \
    LOOP2(NAME##_f64, double, double, FLOAT)                                                       \
    static const wg_kernel NAME##_kernels[] = {                                                    \
        LOOP_ROW("ff->f", NAME##_f32, #FLOAT),                                                     \
        LOOP_ROW("dd->d", NAME##_f64, #FLOAT),                                                     \
        LOOP_ROW("ii->i", NAME##_i32, #INTEGER),                                                   \
        LOOP_ROW("ll->l", NAME##_i64, #INTEGER),                                                   \
    }

/* All elements of a call through a loop: for elementwise ops that carry attributes, whose operand
 * and output are dense arrays of one shape. */
static inline void run_dense(const wg_kernel_call *k, wg_loop_fn loop, void *user)
{
    char *data[] = {k->in[0].data, k->out[0].data};
    ptrdiff_t stride[] = {(ptrdiff_t)wg_dtype_size(k->in[0].type->dtype),
                          (ptrdiff_t)wg_dtype_size(k->out[0].type->dtype)};
    loop((size_t)wg_shape_count(k->out[0].type->shape), data, stride, user);
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
