/* Operands of products. A library reads a matrix whose rows, or whose columns, lie dense and at
 * regular distances; any other (steps, negative and zero strides, overlapping windows) is copied to
 * row-major order first, each distinct batch once, in items that threads share. */
#include <cblas.h>
#include <limits.h>
#include <string.h>

#include "vm/product_parts.h"

enum { PART = 1 << 16 /* elements that an item copies, about */, BLOCK = 16 };

/* Rows `row` bytes apart of elements `col` bytes apart, as a library sees them: the distance of rows
 * in elements, or 0. */
static int64_t leading(int64_t rows, int64_t cols, ptrdiff_t row, ptrdiff_t col, ptrdiff_t size)
{
    if (cols > 1 && col != size)
        return 0;
    if (rows <= 1)
        return cols;
    return row % size == 0 && row / size >= cols ? row / size : 0;
}

static bool place_packed(wg__operand *o, const wg__product_spec *spec, const wg__matrix *m,
                         size_t size, size_t *shared)
{
    size_t matrix, bytes;
    o->packed = true;
    o->trans = false;
    o->ld = o->cols;
    o->row = m->row;
    o->col = m->col;
    o->offset = m->offset;
    o->matrices = 1;
    if (!wg__mul_size((size_t)o->rows, (size_t)o->cols, &matrix) ||
        !wg__mul_size(matrix, size, &matrix) || matrix > PTRDIFF_MAX - 63)
        return false;
    matrix = (matrix + 63) & ~(size_t)63;
    for (int d = spec->nbatch - 1; d >= 0; d--) {
        o->from[d] = m->batch[d];
        o->batch[d] = 0;
        if (!m->batch[d])
            continue;
        if (!wg__mul_size(o->matrices, matrix, &bytes) || bytes > PTRDIFF_MAX ||
            !wg__mul_size(o->matrices, (size_t)spec->batch[d], &o->matrices))
            return false;
        o->batch[d] = (ptrdiff_t)bytes;
    }
    if (!wg__mul_size(o->matrices, matrix, &bytes) || bytes > PTRDIFF_MAX - *shared)
        return false;
    o->shared_at = *shared;
    *shared += bytes;
    o->part_rows = o->cols >= PART ? 1 : PART / o->cols;
    o->parts = (size_t)((o->rows + o->part_rows - 1) / o->part_rows);
    return true;
}

bool wg__operand_make(wg__operand *o, const wg__product_spec *spec, const wg__matrix *m,
                      int64_t rows, int64_t cols, bool pack, size_t *shared)
{
    const size_t size = wg_dtype_size(spec->dtype);
    *o = (wg__operand){.slot = m->slot, .rows = rows, .cols = cols, .offset = m->offset};
    if (!pack && (o->ld = leading(rows, cols, m->row, m->col, (ptrdiff_t)size)))
        o->trans = false;
    else if (!pack && (o->ld = leading(cols, rows, m->col, m->row, (ptrdiff_t)size)))
        o->trans = true;
    else
        return place_packed(o, spec, m, size, shared);
    memcpy(o->batch, m->batch, sizeof o->batch);
    return true;
}

/* y (rows x cols, dense) = x, in blocks, so that both sides use whole cache lines. */
#define COPY(T)                                                                                    \
    static void copy_##T(int64_t rows, int64_t cols, const char *x, ptrdiff_t row, ptrdiff_t col,  \
                         void *to)                                                                 \
    {                                                                                              \
        T *y = to;                                                                                 \
        for (int64_t i0 = 0; i0 < rows; i0 += BLOCK)                                               \
            for (int64_t j0 = 0; j0 < cols; j0 += BLOCK)                                           \
                for (int64_t i = i0; i < rows && i < i0 + BLOCK; i++)                              \
                    for (int64_t j = j0; j < cols && j < j0 + BLOCK; j++)                          \
                        y[i * cols + j] = *(const T *)(const void *)(x + i * row + j * col);       \
    }
COPY(float)
COPY(double)

/* A true transpose, which OpenBLAS has fast code for. */
static bool transpose(wg_dtype dtype, int64_t rows, int64_t cols, const char *x, ptrdiff_t row,
                      ptrdiff_t col, char *y)
{
    const ptrdiff_t size = (ptrdiff_t)wg_dtype_size(dtype), ld = col / size;
    if (row != size || col % size || ld < rows || ld > INT_MAX || cols > INT_MAX)
        return false;
    if (dtype == WG_F64)
        cblas_domatcopy(CblasRowMajor, CblasTrans, (int)cols, (int)rows, 1, (const void *)x,
                        (int)ld, (void *)y, (int)cols);
    else
        cblas_somatcopy(CblasRowMajor, CblasTrans, (int)cols, (int)rows, 1, (const void *)x,
                        (int)ld, (void *)y, (int)cols);
    return true;
}

static void copy(wg_dtype dtype, int64_t rows, int64_t cols, const char *x, ptrdiff_t row,
                 ptrdiff_t col, char *y)
{
    const size_t size = wg_dtype_size(dtype), line = (size_t)cols * size;
    if (col == (ptrdiff_t)size)
        for (int64_t i = 0; i < rows; i++)
            memcpy(y + (size_t)i * line, x + i * row, line);
    else if (transpose(dtype, rows, cols, x, row, col, y))
        return;
    else if (dtype == WG_F64)
        copy_double(rows, cols, x, row, col, y);
    else
        copy_float(rows, cols, x, row, col, y);
}

size_t wg__operand_items(const wg__operand *o) { return o->packed ? o->matrices * o->parts : 0; }

void wg__operand_pack(const wg__operand *o, const wg__product_spec *spec, char *const *slots,
                      char *shared, size_t item)
{
    const char *x = slots[o->slot] + o->offset;
    char *y = shared + o->shared_at;
    size_t matrix = item / o->parts;
    for (int d = spec->nbatch - 1; d >= 0; d--)
        if (o->from[d]) {
            size_t at = matrix % (size_t)spec->batch[d];
            x += (ptrdiff_t)at * o->from[d];
            y += (ptrdiff_t)at * o->batch[d];
            matrix /= (size_t)spec->batch[d];
        }
    int64_t row = (int64_t)(item % o->parts) * o->part_rows;
    int64_t rows = o->rows - row < o->part_rows ? o->rows - row : o->part_rows;
    y += (size_t)(row * o->cols) * wg_dtype_size(spec->dtype);
    copy(spec->dtype, rows, o->cols, x + row * o->row, o->row, o->col, y);
}
