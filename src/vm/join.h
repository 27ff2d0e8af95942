/* Joins: arrays of any strides copied side by side into one. Nothing here knows tapes. */
#ifndef WG_VM_JOIN_H
#define WG_VM_JOIN_H

#include <wengert/op.h>
#include "base/ctx.h"

typedef struct wg__join wg__join;

/* One copy. Element (i, j, ...) is at slots[from] + from_at + sum(from_step[d] * i_d) bytes, and goes
 * to slots[to] + to_at + sum(to_step[d] * i_d). A from_step may be 0. */
typedef struct wg__join_copy {
    uint32_t from, to;
    uint8_t size; /* of an element: 1, 4 or 8 */
    int rank;
    int64_t dim[WG_MAX_RANK];
    ptrdiff_t from_at, to_at, from_step[WG_MAX_RANK], to_step[WG_MAX_RANK];
} wg__join_copy;

/* Of n copies. Pieces of equal work, cut by shape alone. NULL: out of memory. */
wg__join *wg__join_make(wg_ctx *ctx, const wg__join_copy *copies, size_t n);
void wg__join_free(wg_ctx *ctx, wg__join *j); /* NULL is fine */

size_t wg__join_tiles(const wg__join *j); /* independent; 0: nothing is to be copied */
double wg__join_cost(const wg__join *j);  /* rough nanoseconds of all tiles on one thread */
double wg__join_bytes(const wg__join *j); /* read and written */
void wg__join_tile(const wg__join *j, char *const *slots, size_t tile);

#endif
