/* Loops: elementwise ops, broadcasts, gathers and reductions in one sweep over a space of rows x
 * cols. A loop is built with the calls below (fuse's clusters are, in vm/compile.c) and run patch by
 * patch: a patch is a few rows by a few columns whose values stay in L1, in registers of packed
 * elements; one instruction computes one register of one patch. Nothing here knows tapes.
 *
 * Levels. A value is FULL (one element per row and column), COL (one per column), ROW (one per row)
 * or ONE. The level of an instruction's result is the join of its operands'; ONE values are
 * computed once per rectangle, COL values once per rectangle or column block, ROW ones per row.
 *
 * In place: a dense FULL result may have the memory of a FULL operand of equal element size that is
 * read at the same addresses (the same offset and strides): a patch reads it before it writes it. Other
 * results share memory with no operand.
 *
 * Determinism: tiles and the order of every sum are functions of the loop alone, never of the number
 * of threads. */
#ifndef WG_VM_LOOP_H
#define WG_VM_LOOP_H

#include <wengert/op.h>
#include "base/ctx.h"

typedef enum wg__level { WG__ONE, WG__COL, WG__ROW, WG__FULL } wg__level;

/* An array in memory, seen from the space: the element at (i0, .., i[nouter-1], c) lies at
 * slots[slot] + offset + sum(outer[d] * i[d]) + col * c, all in bytes. */
typedef struct wg__loop_mem {
    uint32_t slot;
    wg_dtype dtype;
    ptrdiff_t offset, col, outer[WG_MAX_RANK];
} wg__loop_mem;

typedef uint32_t wg__reg; /* a value of the loop; WG__NO_REG after a failure (sticky) */
#define WG__NO_REG UINT32_MAX

typedef struct wg__loop wg__loop;
typedef struct wg__loop_builder wg__loop_builder;

/* What a failed pick tells: label `value` at flat element `at` (of the row space) is outside 0 to
 * limit - 1. */
typedef struct wg__loop_fault {
    uint32_t node;
    int64_t at, value, limit;
} wg__loop_fault;

/* The space: `nouter` outer dimensions (their product is the number of rows; 0 dimensions: one row)
 * by `cols`. isa: WG_ISA_*. NULL: out of memory. */
wg__loop_builder *wg__loop_begin(wg_ctx *ctx, const int64_t *outer, int nouter, int64_t cols,
                                 int isa);
/* A value from memory. Its level follows from the strides (all zero: ONE; col alone: COL; ...). */
wg__reg wg__loop_load(wg__loop_builder *b, const wg__loop_mem *mem);
/* A gathered row: as load, but the element's address is also moved by index * step bytes, where
 * index is a ROW (or ONE) integer value; outside 0 to limit - 1 is a fault. `mem` has stride 0
 * along what the index replaces. */
wg__reg wg__loop_gather(wg__loop_builder *b, const wg__loop_mem *mem, wg__reg index, ptrdiff_t step,
                        int64_t limit, uint32_t node);
/* An elementwise op by its kernel row: block kernels where it has them, else its loop. attrs (the
 * op's attributes as doubles, nattrs <= 12) are copied. out: dtype of the result. */
wg__reg wg__loop_apply(wg__loop_builder *b, const wg_kernel *kernel, const wg__reg *in, size_t nin,
                       wg_dtype out, const double *attrs, size_t nattrs, void *user);
/* The index along outer dimension `dim` (ROW), or along the columns (dim == nouter: COL), divided
 * (floor) by `div` (0 or 1: not), then modulo `mod` (0: not). dtype any but bool. */
wg__reg wg__loop_iota(wg__loop_builder *b, int dim, int64_t div, int64_t mod, wg_dtype dtype);
/* FULL -> ROW: over the columns. Needs whole rows: patches then span all columns. */
wg__reg wg__loop_reduce(wg__loop_builder *b, wg_monoid monoid, wg__reg x);
/* x[row, index[row]] -> ROW. Needs whole rows. Out of range is a fault. */
wg__reg wg__loop_pick(wg__loop_builder *b, wg__reg x, wg__reg index, uint32_t node);
/* Results. store: every element of x, spread to the levels of `mem`'s non-zero strides, which must
 * not be below x's own. dtype: that of x, here and below. */
void wg__loop_store(wg__loop_builder *b, wg__reg x, const wg__loop_mem *mem);
/* total: to the one element at mem, over all rows and columns (`over` FULL), or once per row of a
 * value that does not vary along the columns (`over` ROW: a value of the row space; its level alone
 * does not tell, since a broadcast operand may have made it ONE). */
void wg__loop_total(wg__loop_builder *b, wg_monoid monoid, wg__reg x, wg__level over,
                    const wg__loop_mem *mem);
/* columns: over all rows, to one element per column. */
void wg__loop_columns(wg__loop_builder *b, wg_monoid monoid, wg__reg x, const wg__loop_mem *mem);
/* For epilogues: the owner cuts the space into `row_tiles` bands of rows and `tiles` rectangles
 * itself. Not called: the loop cuts itself. */
void wg__loop_cut(wg__loop_builder *b, size_t row_tiles, size_t tiles);
/* Register allocation and tiles; frees the builder. NULL: *why (NULL is fine) is WG_NO_MEMORY, or
 * WG_INTERNAL where what was asked for cannot be, such as a store of more than fits. */
wg__loop *wg__loop_end(wg__loop_builder *b, wg_status *why);
void wg__loop_free(wg_ctx *ctx, wg__loop *loop); /* NULL is fine */

/* ---- running: nothing is allocated, any thread --------------------------------------------------- */

size_t wg__loop_tiles(const wg__loop *loop);    /* independent pieces; 0 rows or cols: 0 or more */
size_t wg__loop_scratch(const wg__loop *loop);  /* bytes per thread, 64-byte aligned */
size_t wg__loop_partials(const wg__loop *loop); /* bytes for all tiles together, 64-byte aligned */
double wg__loop_cost(const wg__loop *loop);     /* rough nanoseconds of all tiles on one thread */
double wg__loop_flops(const wg__loop *loop);    /* elements times instructions */
double wg__loop_bytes(const wg__loop *loop);    /* read and written */
size_t wg__loop_length(const wg__loop *loop);   /* instructions */
size_t wg__loop_slots(const wg__loop *loop);    /* one more than the greatest slot used */

typedef struct wg__loop_run {
    char *const *slots;
    char *scratch;         /* of this thread */
    char *partials;        /* shared */
    wg__loop_fault *fault; /* of this thread: filled when a tile returns false */
} wg__loop_run;
/* Runs one tile of a loop that cuts itself. False: a fault. */
bool wg__loop_tile(const wg__loop *loop, const wg__loop_run *run, size_t tile);
/* Runs rows [row, row + rows) by columns [col, col + cols) as tile number `tile` in band `band`: all
 * columns when something needs whole rows; the rectangles of a band have the same rows. */
bool wg__loop_rect(const wg__loop *loop, const wg__loop_run *run, size_t tile, size_t band,
                   int64_t row, int64_t rows, int64_t col, int64_t cols);
/* After all tiles: combines the partial results in order. One thread. */
void wg__loop_finish(const wg__loop *loop, const wg__loop_run *run);

#endif
