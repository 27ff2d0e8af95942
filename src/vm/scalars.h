/* Scalars: graphs of rank-0 values (10^5 to 10^7 of them) as compact instructions. Nodes are sorted
 * by (level, kernel); long runs of one kernel gather their operands and call block kernels, short
 * ones call the op's scalar function. Values lie side by side in the order of computing. Nothing here
 * knows tapes. */
#ifndef WG_VM_SCALARS_H
#define WG_VM_SCALARS_H

#include <wengert/op.h>
#include "base/ctx.h"

typedef struct wg__scalars wg__scalars;
typedef struct wg__scalars_builder wg__scalars_builder;
typedef uint32_t wg__scalar; /* a value: a node's or an outer one; UINT32_MAX after a failure */

wg__scalars_builder *wg__scalars_begin(wg_ctx *ctx, size_t expected, int isa);
/* A value from outside: element at slots[slot] + offset. Each distinct one is to be added once. */
wg__scalar wg__scalars_outer(wg__scalars_builder *b, uint32_t slot, ptrdiff_t offset,
                             wg_dtype dtype);
/* A node, in topological order. attrs are copied (NULL and 0: none). */
wg__scalar wg__scalars_node(wg__scalars_builder *b, const wg_kernel *kernel, const wg__scalar *in,
                            size_t nin, wg_dtype out, const double *attrs, size_t nattrs,
                            void *user);
/* Sorts and packs; frees the builder. at[i] (as many as nodes, in order of adding): where node i's
 * value lies, in bytes from the start of the values. NULL: out of memory. */
wg__scalars *wg__scalars_end(wg__scalars_builder *b, uint64_t *at);
void wg__scalars_free(wg_ctx *ctx, wg__scalars *s);
size_t wg__scalars_bytes(const wg__scalars *s);   /* of the values, 64-byte aligned */
size_t wg__scalars_scratch(const wg__scalars *s); /* bytes */
size_t wg__scalars_count(const wg__scalars *s);   /* nodes */
/* Computes all. values: the values' memory. One thread. */
void wg__scalars_run(const wg__scalars *s, char *const *slots, char *values, char *scratch);

#endif
