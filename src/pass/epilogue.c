/* The rules of matmul epilogues. A product is computed tile by tile; elementwise ops over its result
 * run on each tile while it is in cache. Its columns are those of the matrix. An epilogue that
 * reduces rows makes tiles as wide as the matrix, so that only narrow matrices do. */
#include <string.h>

#include "pass/fuse.h"

enum { MAX_WIDTH = 1024 };

/* A matrix of one column has rows alone: the space of its epilogue has no columns to reduce. */
void wg__epilogue_begin(wg__bud *b, const wg_shape *out)
{
    b->kind = WG__PRODUCT;
    b->space = wg__squeeze(out, NULL);
    b->maxcols = out->dim[out->rank - 1] > 1;
}

const char *wg__epilogue_check(const wg__bud *b)
{
    if (b->whole && b->space.dim[b->space.rank - 1] > MAX_WIDTH)
        return "the rows of the matrix product are too wide";
    return NULL;
}
