/* The form in which scalars run: what scalars_build.c collects, scalars_pack.c writes and scalars_run.c
 * reads; they alone include it.
 *
 * Values lie in four regions by element size, 2^k bytes each in region k, numbered in the order of
 * computing after the outer values; an operand is an index into the region of its size. A result is
 * the next of its region: it is not named.
 *
 * The code is a stream of 32-bit words, cut into spans. The first word of a span holds its kind in
 * two bits, flags, and from WG__SPAN_SHIFT on a number of nodes. What follows it:
 *     F64, F32   per node its action and two indices (flag TERNARY: three). Operands that an op does
 *                not have repeat others. Flag SERIAL: most read the result before.
 *     ANY        per node its action, and as many indices as it has operands.
 *     CHUNK      at most WG__CHUNK nodes of one action: the action, then per operand all indices
 *                (GATHER) or the only or first one (SPLAT, DENSE). Which it is (wg__operand_mode)
 *                stands in the first word, operand k's in bits 2 + 2 k. */
#ifndef WG_VM_SCALARS_CODE_H
#define WG_VM_SCALARS_CODE_H

#include "vm/scalars.h"

enum { WG__REGIONS = 4 };    /* of 1, 2, 4 and 8 bytes an element */
enum { WG__CHUNK = 256 };    /* nodes; operands of a chunk stay in L1 */
enum { WG__BLOCK_PAD = 16 }; /* block kernels take multiples of it */
enum { WG__AHEAD = 25 };     /* words from a call to the operands of the eighth one after it */

typedef enum wg__span { WG__SPAN_F64, WG__SPAN_F32, WG__SPAN_ANY, WG__SPAN_CHUNK } wg__span;
enum {
    WG__SPAN_MASK = 3,
    WG__SPAN_TERNARY = 4,
    WG__SPAN_SERIAL = 8,
    WG__SPAN_SHIFT = 8,
    WG__SPAN_MOST = 4096 /* nodes of a span of calls, so that SERIAL tells of a neighbourhood */
};
typedef enum wg__operand_mode { WG__GATHER, WG__SPLAT, WG__DENSE } wg__operand_mode;

/* A kernel with dtypes and attributes: what nodes that differ only in operands share. 64 bytes. */
typedef struct wg__action {
    union {
        double (*f64)(double a, double b, double c, const double *attrs);
        float (*f32)(float a, float b, float c, const double *attrs);
    } call; /* by `span` */
    union {
        const double *p;
        size_t at; /* in the pool of attributes while it grows */
    } attrs;
    union {
        const uint8_t *size; /* regions of the operands */
        size_t at;           /* in the pool of operands' dtypes, while it grows */
    } in;
    const wg_kernel *kernel;
    const wg_block_fn *block; /* of the best instruction set that has all variants, or NULL */
    void *user;
    uint32_t hash, nin, nattrs;
    uint8_t dtype, region; /* of the result */
    uint8_t span;
} wg__action;

/* Outer values side by side there and here. */
typedef struct wg__outer_copy {
    ptrdiff_t offset; /* from the slot */
    size_t to, bytes; /* from the start of the values */
    uint32_t slot;
} wg__outer_copy;

struct wg__scalars {
    size_t nodes, bytes, scratch;
    size_t base[WG__REGIONS];  /* byte offset of each region */
    size_t first[WG__REGIONS]; /* of the first computed value, likewise */
    wg__action *actions;
    double *attrs;
    uint8_t *sizes;
    wg__outer_copy *copies;
    size_t ncopies;
    uint32_t *code;
    size_t words; /* of code; WG__AHEAD + 2 more may be read */
};

/* ---- building ----------------------------------------------------------------------------------- */

#define WG__OUTER 0x80000000u /* in a wg__scalar: an outer value */

typedef struct wg__scalar_node {
    uint32_t action, level, in; /* in: of the first operand in `ins` */
} wg__scalar_node;

typedef struct wg__scalar_outer {
    ptrdiff_t offset;
    uint32_t slot, index;
    wg_dtype dtype;
} wg__scalar_outer;

struct wg__scalars_builder {
    wg_ctx *ctx;
    int isa;
    bool failed;
    WG__VEC(wg__scalar_node) nodes;
    WG__VEC(wg__scalar) ins;
    WG__VEC(wg__scalar_outer) outers;
    WG__VEC(wg__action) actions;
    WG__VEC(double) attrs;
    WG__VEC(uint8_t) dtypes;                  /* of the actions' operands */
    uint32_t *table;                          /* hash table of actions: 1 + number; 0: free */
    size_t capacity;                          /* of the table, a power of two */
    uint32_t next[WG__REGIONS], levels, most; /* most: operands of one node */
};

void wg__scalars_drop(wg__scalars_builder *b);

/* The region of elements of this dtype: its size is 1 << region. */
static inline uint8_t wg__scalars_region(wg_dtype dtype)
{
    const size_t size = wg_dtype_size(dtype);
    return size == 8 ? 3 : size == 4 ? 2 : size == 2 ? 1 : 0;
}

#endif
