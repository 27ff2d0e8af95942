/* Products: matrix products (batched), in tiles whose cut depends on shape alone, each a
 * single-threaded call of a library (oneDNN for f32, OpenBLAS for f64), each followed by an epilogue
 * loop on the tile while it is in cache. Nothing here knows tapes. */
#ifndef WG_VM_PRODUCT_H
#define WG_VM_PRODUCT_H

#include "vm/loop.h"

/* A matrix operand: element (i, j) of batch (b0, ..) lies at slots[slot] + offset +
 * sum(batch[d] * b[d]) + row * i + col * j bytes. Any strides: what a library cannot take is packed
 * into scratch first. */
typedef struct wg__matrix {
    uint32_t slot;
    ptrdiff_t offset, row, col, batch[WG_MAX_RANK];
} wg__matrix;

/* c[b] = a[b] (m x k) * b[b] (k x n). */
typedef struct wg__product_spec {
    wg_dtype dtype; /* WG_F32 or WG_F64 */
    int nbatch;
    int64_t batch[WG_MAX_RANK], m, n, k;
    wg__matrix a, b;
    wg__matrix c;    /* dense rows (col == element size); without `store` its slot alone counts */
    bool store;      /* c itself is wanted (it may also feed the epilogue) */
    bool whole_rows; /* the epilogue reduces over columns: tiles span all n */
} wg__product_spec;

typedef struct wg__product wg__product;

/* Decides tiles and packing. NULL: out of memory. */
wg__product *wg__product_make(wg_ctx *ctx, const wg__product_spec *spec);
void wg__product_free(wg_ctx *ctx, wg__product *p); /* frees the epilogue too */

/* For building the epilogue, a loop over the space (batch..., m) x n: how the product cuts it (call
 * wg__loop_cut with these), and the strides of c as the epilogue must address it: through slot
 * `c.slot` of the run, which the product sets so that these strides hold. Without `store` that slot
 * is the epilogue's alone: any number that it does not use otherwise, also past the run's slots. */
size_t wg__product_bands(const wg__product *p);
size_t wg__product_rects(const wg__product *p);
void wg__product_c(const wg__product *p, wg__loop_mem *mem);
/* The epilogue; owned by p from here on. Its slots are the product's slots. */
void wg__product_set_epilogue(wg__product *p, wg__loop *epilogue);

/* ---- running ------------------------------------------------------------------------------------- */

/* First all items of `packs` (0: none), then all tiles, then finish; items are independent. */
size_t wg__product_packs(const wg__product *p);
size_t wg__product_tiles(const wg__product *p);
size_t wg__product_scratch(const wg__product *p); /* bytes per thread */
size_t wg__product_shared(const wg__product *p);  /* bytes for packed operands, shared by threads */
size_t wg__product_partials(const wg__product *p);
double wg__product_cost(const wg__product *p);  /* rough nanoseconds on one thread */
double wg__product_flops(const wg__product *p); /* 2 m n k batches */
double wg__product_bytes(const wg__product *p);
const wg__loop *wg__product_epilogue(const wg__product *p); /* or NULL */

typedef struct wg__product_run {
    char *const *slots;
    size_t nslots;
    char *scratch, *shared, *partials;
    wg__loop_fault *fault;
} wg__product_run;
void wg__product_pack(const wg__product *p, const wg__product_run *run, size_t item);
bool wg__product_tile(const wg__product *p, const wg__product_run *run, size_t tile);
void wg__product_finish(const wg__product *p, const wg__product_run *run);

/* Library calls of a run are single-threaded: brackets a run on the calling thread (cheap), and is
 * done once by each thread of a team. */
int wg__blas_enter(void); /* returns what leave wants */
void wg__blas_leave(int before);

#endif
