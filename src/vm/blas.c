/* The library calls: oneDNN's dnnl_sgemm for f32 products of some size, OpenBLAS for f64, for small
 * products, and for matrices times vectors. Limits between them are measured.
 *
 * Parallelism is ours: both libraries are told to use the calling thread alone. oneDNN asks its
 * OpenMP runtime (GCC's libgomp), whose setting belongs to each thread. OpenBLAS's belongs to the
 * process and stays at one after the first run. */
#include <cblas.h>
#include <dnnl.h>
#include <limits.h>
#include <string.h>

#include "vm/blas.h"
#include "vm/product.h"

/* From libgomp. Not from <omp.h>: clang's is that of another runtime. */
int omp_get_max_threads(void);
void omp_set_num_threads(int threads);

int wg__blas_enter(void)
{
    int before = omp_get_max_threads();
    if (before != 1)
        omp_set_num_threads(1);
    if (openblas_get_num_threads() != 1)
        openblas_set_num_threads(1);
    return before;
}

void wg__blas_leave(int before)
{
    if (before != 1)
        omp_set_num_threads(before);
}

static CBLAS_TRANSPOSE flag(bool trans) { return trans ? CblasTrans : CblasNoTrans; }

/* The distance of the elements of a vector: operand of one row, or of one column. */
static int row_step(const wg__dense *x) { return x->trans ? (int)x->ld : 1; }
static int col_step(const wg__dense *x) { return x->trans ? 1 : (int)x->ld; }

/* The calls of one dtype: T, and p, its letter in BLAS.
 *   plain    the definition: tiny products, and what the libraries' int cannot count
 *   dot      m == n == 1
 *   column   n == 1
 *   row      m == 1
 *   blas     the rest */
#define CALLS(T, p)                                                                                \
    static void plain_##p(int64_t m, int64_t n, int64_t k, const wg__dense *a, const wg__dense *b, \
                          void *c, int64_t ldc)                                                    \
    {                                                                                              \
        const T *x = a->data, *y = b->data;                                                        \
        const int64_t xi = a->trans ? 1 : a->ld, xl = a->trans ? a->ld : 1;                        \
        const int64_t yl = b->trans ? 1 : b->ld, yj = b->trans ? b->ld : 1;                        \
        for (int64_t i = 0; i < m; i++)                                                            \
            for (int64_t j = 0; j < n; j++) {                                                      \
                T sum = 0;                                                                         \
                for (int64_t l = 0; l < k; l++)                                                    \
                    sum += x[i * xi + l * xl] * y[l * yl + j * yj];                                \
                ((T *)c)[i * ldc + j] = sum;                                                       \
            }                                                                                      \
    }                                                                                              \
    static void dot_##p(int64_t m, int64_t n, int64_t k, const wg__dense *a, const wg__dense *b,   \
                        void *c, int64_t ldc)                                                      \
    {                                                                                              \
        *(T *)c = cblas_##p##dot((int)k, a->data, row_step(a), b->data, col_step(b));              \
    }                                                                                              \
    static void column_##p(int64_t m, int64_t n, int64_t k, const wg__dense *a,                    \
                           const wg__dense *b, void *c, int64_t ldc)                               \
    {                                                                                              \
        cblas_##p##gemv(CblasRowMajor, flag(a->trans), (int)(a->trans ? k : m),                    \
                        (int)(a->trans ? m : k), 1, a->data, (int)a->ld, b->data, col_step(b), 0,  \
                        c, (int)ldc);                                                              \
    }                                                                                              \
    static void row_##p(int64_t m, int64_t n, int64_t k, const wg__dense *a, const wg__dense *b,   \
                        void *c, int64_t ldc)                                                      \
    {                                                                                              \
        cblas_##p##gemv(CblasRowMajor, flag(!b->trans), (int)(b->trans ? n : k),                   \
                        (int)(b->trans ? k : n), 1, b->data, (int)b->ld, a->data, row_step(a), 0,  \
                        c, 1);                                                                     \
    }                                                                                              \
    static void blas_##p(int64_t m, int64_t n, int64_t k, const wg__dense *a, const wg__dense *b,  \
                         void *c, int64_t ldc)                                                     \
    {                                                                                              \
        cblas_##p##gemm(CblasRowMajor, flag(a->trans), flag(b->trans), (int)m, (int)n, (int)k, 1,  \
                        a->data, (int)a->ld, b->data, (int)b->ld, 0, c, (int)ldc);                 \
    }
CALLS(float, s)
CALLS(double, d)

/* All its arguments are right, and its own memory is small: should it fail nevertheless (out of
 * memory), the definition is left. */
static void dnnl_s(int64_t m, int64_t n, int64_t k, const wg__dense *a, const wg__dense *b, void *c,
                   int64_t ldc)
{
    if (dnnl_sgemm(a->trans ? 'T' : 'N', b->trans ? 'T' : 'N', m, n, k, 1, a->data, a->ld, b->data,
                   b->ld, 0, c, ldc) != dnnl_success)
        plain_s(m, n, k, a, b, c, ldc);
}

typedef struct calls {
    wg__gemm_fn plain, dot, column, row, small, large;
    double vector; /* elements of the matrix from which `large` beats column and row */
    double matrix; /* m n k from which `large` beats `small` */
} calls;

static const calls f32_calls = {plain_s, dot_s, column_s, row_s, blas_s, dnnl_s, 4e4, 2e4};
static const calls f64_calls = {plain_d, dot_d, column_d, row_d, blas_d, blas_d, 1e300, 0};

void wg__gemv_row(int64_t m, int64_t n, int64_t k, const wg__dense *a, const wg__dense *b, void *c,
                  int64_t ldc)
{
    row_s(m, n, k, a, b, c, ldc);
}

enum { ROW_BY_HAND = 20000 }; /* elements of the matrix up to which row.c is faster */

wg__gemm_fn wg__gemm(wg_dtype dtype, int64_t m, int64_t n, int64_t k, int64_t ld)
{
    const calls *f = dtype == WG_F64 ? &f64_calls : &f32_calls;
    const double volume = (double)m * (double)n * (double)k;
    if (volume <= 32 || m > INT_MAX || n > INT_MAX || k > INT_MAX || ld > INT_MAX)
        return f->plain;
    if (m == 1 && n == 1)
        return f->dot;
    if (m == 1 && dtype == WG_F32 && volume <= ROW_BY_HAND)
        return wg__row_f32();
    if (m == 1 || n == 1)
        return volume >= f->vector ? f->large : m == 1 ? f->row : f->column;
    return volume >= f->matrix ? f->large : f->small;
}
