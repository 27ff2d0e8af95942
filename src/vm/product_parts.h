/* The inside of a product: what product.c makes and runs, how cut.c cuts it, what pack.c packs. */
#ifndef WG_VM_PRODUCT_PARTS_H
#define WG_VM_PRODUCT_PARTS_H

#include "vm/blas.h"
#include "vm/product.h"

/* An operand, rows x cols. Batches are numbered row-major; `batch` are their distances in bytes, in
 * memory, or in `shared` when it is packed. */
typedef struct wg__operand {
    uint32_t slot;
    bool trans, packed;
    int64_t rows, cols, ld; /* ld in elements */
    ptrdiff_t offset, batch[WG_MAX_RANK];
    /* packed: where it comes from, how many batches are distinct, how it is cut into items */
    ptrdiff_t row, col, from[WG_MAX_RANK];
    size_t shared_at, matrices, parts;
    int64_t part_rows;
} wg__operand;

/* The tiles: groups of batches by ranges of rows by ranges of columns. */
typedef struct wg__cut {
    int64_t rows, cols, group; /* of a tile; the last ones may be smaller */
    size_t row_cuts, col_cuts, group_cuts;
} wg__cut;

struct wg__product {
    wg__product_spec spec; /* without the batch dimensions that became rows */
    size_t size;           /* bytes of an element */
    size_t matrices;       /* batches */
    wg__operand a, b;
    wg__cut cut;
    wg__gemm_fn gemm;
    wg__loop *epilogue;
    size_t tile_bytes, slots; /* of the tile in scratch; pointers after it */
    size_t shared;
    /* as the caller knows it: */
    int nbatch;
    int64_t batch[WG_MAX_RANK], m;
};

/* How to cut a product; spec.m and .n at least 1. */
wg__cut wg__product_cut(const wg__product_spec *spec, size_t matrices, bool a_trans, bool b_trans);

/* Finds how the library can read the operand in place, else where in `shared` it is packed, from
 * *shared on. `pack`: also when it could be read. False: too large. */
bool wg__operand_make(wg__operand *o, const wg__product_spec *spec, const wg__matrix *m,
                      int64_t rows, int64_t cols, bool pack, size_t *shared);
size_t wg__operand_items(const wg__operand *o);
void wg__operand_pack(const wg__operand *o, const wg__product_spec *spec, char *const *slots,
                      char *shared, size_t item);

/* The coordinates of batch number `at` times `steps`, in bytes. */
static inline ptrdiff_t wg__batch_at(const wg__product_spec *spec, const ptrdiff_t *steps,
                                     int64_t at)
{
    ptrdiff_t sum = 0;
    for (int d = spec->nbatch - 1; d >= 0 && at; d--) {
        sum += (ptrdiff_t)(at % spec->batch[d]) * steps[d];
        at /= spec->batch[d];
    }
    return sum;
}

#endif
