/* Single matrix products by the libraries, on the calling thread. Which call computes a product
 * depends on its shape alone, so that equal shapes give equal bits. For product.c only. */
#ifndef WG_VM_BLAS_H
#define WG_VM_BLAS_H

#include <wengert/types.h>

/* A dense matrix in row-major order, or its transpose: element (i, j) of the operand is element
 * (i, j) of data, or (j, i) when `trans`; rows of data are ld elements apart. */
typedef struct wg__dense {
    const void *data;
    int64_t ld;
    bool trans;
} wg__dense;

/* c (m x n, rows ldc elements apart) = a (m x k) * b (k x n), m and n at least 1. What c held before
 * is not read. */
typedef void (*wg__gemm_fn)(int64_t m, int64_t n, int64_t k, const wg__dense *a, const wg__dense *b,
                            void *c, int64_t ldc);

/* For a product of this shape, cut along m and n or not. `ld`: the greatest distance of rows. */
wg__gemm_fn wg__gemm(wg_dtype dtype, int64_t m, int64_t n, int64_t k, int64_t ld);

/* m == 1, f32: by hand for matrices that the caches hold (row.c), and by OpenBLAS. */
wg__gemm_fn wg__row_f32(void);
void wg__gemv_row(int64_t m, int64_t n, int64_t k, const wg__dense *a, const wg__dense *b, void *c,
                  int64_t ldc);

#endif
