/* The inside of a loop: what loop_build.c and loop_emit.c make and loop_run.c runs. Only the
 * loop_*.c files include it.
 *
 * A finished loop is four lists of instructions, run for ever smaller parts of the space: ONE once
 * per rectangle, COL once per column block, ROW once per row block, PATCH once per patch. An
 * instruction names its operands by *place*: a number in a table of pointers that each thread has in
 * its scratch. Most places point to registers and never move; those of memory that is used in place
 * are aimed anew for each patch. */
#ifndef WG_VM_LOOP_INST_H
#define WG_VM_LOOP_INST_H

#include "vm/loop.h"

enum { WG__LANES = 16 }; /* block kernels work on multiples of these */

typedef enum wg__group { WG__G_ONE, WG__G_COL, WG__G_ROW, WG__G_PATCH, WG__GROUPS } wg__group;

typedef struct wg__frame wg__frame;
typedef struct wg__inst wg__inst;
typedef void (*wg__step_fn)(const wg__inst *in, wg__frame *f);

/* Kernels of one monoid and dtype (loop_reduce.c). */
typedef struct wg__fold {
    /* y[i] = all of x[i c .. i c + c - 1]; the neutral element when c == 0. */
    void (*rows)(size_t r, size_t c, const void *x, void *y);
    /* y[i] = all of x[i], x[n + i], .. x[(c - 1) n + i]; n in whole lanes, c > 0. */
    void (*across)(size_t n, size_t c, const void *x, void *y);
    /* acc[j] = acc[j] op x[j] op x[n + j] .. op x[(r - 1) n + j]. */
    void (*down)(size_t r, size_t n, void *acc, const void *x);
    /* The same with an accumulator of type `wide`: f64 for sums and products of f32. */
    void (*widen)(size_t r, size_t n, void *acc, const void *x);
    void (*total)(size_t n, const void *x, void *acc); /* one accumulator of type `wide` */
    wg_dtype dtype, wide;
    wg_monoid monoid;
} wg__fold;
/* NULL fields when the monoid is not defined for the dtype. */
wg__fold wg__loop_fold_of(wg_monoid monoid, wg_dtype dtype, int isa);
void wg__fold_neutral(wg_monoid monoid, wg_dtype dtype, void *to, size_t n);

/* Memory in the merged space. `direct`: instructions may work on it in place in full patches, and on
 * the register at `shadow` in others. */
typedef struct wg__mem {
    uint32_t slot, place;
    wg_dtype dtype;
    uint8_t size, level;
    bool direct, out, gathered;
    bool uniform; /* rows lie `row` bytes apart, all of them */
    size_t shadow;
    ptrdiff_t offset, col, row, outer[WG_MAX_RANK];
} wg__mem;

/* A reduction over rows: its accumulators lie in the partials from `at` on, one per tile (total) or
 * one per column and band (columns). */
typedef struct wg__sink {
    wg__fold fold;
    uint32_t mem;
    bool columns, rows_only;
    bool buffered; /* columns: f32 sums go through `buffer` (scratch), flushed every few rows */
    size_t at, buffer;
    size_t half; /* scratch for folding short rows in halves; 0: not done */
} wg__sink;

struct wg__inst {
    wg_block_fn block;   /* NULL: `step` */
    const double *attrs; /* NULL: none */
    uint32_t a, b, c, y; /* places */
    uint32_t level;      /* of the result: how many elements */
    uint32_t nargs;
    wg__step_fn step;
    const struct wg__extra *extra; /* for `step` */
};

/* What steps need beside the places. */
typedef struct wg__extra {
    const uint32_t *args;     /* places of all operands, then the result */
    const ptrdiff_t *strides; /* of `loop`, as many */
    wg_loop_fn loop;
    wg_block_fn block; /* of step_rows, whose strides are from row to row, and of step_streams */
    void *user;
    wg__fold fold;
    uint32_t mem, sink, node;
    int dim;
    wg_dtype dtype, index;
    uint8_t size, from; /* bytes of an element; level of the operand of a spread */
    bool fixed_index;   /* gather: the index is ONE */
    uint8_t full;       /* step_streams: bit k: operand k is FULL */
    uint8_t ops;        /* how many it computes */
    bool function;      /* its kernel calls one, such as exp */
    int64_t div, mod, limit;
    ptrdiff_t move;
} wg__extra;

struct wg__loop {
    int64_t rows, cols, outer[WG_MAX_RANK];
    int nouter;
    size_t patch_rows, patch_cols;
    bool cols_outer;             /* column blocks outside, row blocks inside */
    bool streams;                /* few columns: see wg__stream */
    bool coords;                 /* coordinates of rows are needed */
    int64_t digits[WG_MAX_RANK]; /* patch_rows in coordinates */
    size_t flush;                /* row blocks between flushes of buffered sinks */
    wg__inst *inst;
    wg__extra *extra;
    size_t ninst, begin[WG__GROUPS + 1];
    uint32_t *args;
    ptrdiff_t *strides;
    double *attrs;
    wg__mem *mem;
    size_t nmem;
    uint32_t *aim; /* direct memory: FULL, then COL, then ONE */
    size_t aim_cols, aim_ones, naim;
    wg__sink *sink;
    size_t nsink;
    size_t *at; /* by place: offset of its register in scratch */
    size_t nplaces;
    size_t scratch, base_at, call_at; /* scratch: its size and what lies where */
    size_t partials;
    size_t tiles, bands, cuts; /* bands x cuts = tiles unless the owner cuts */
    int64_t band_rows, cut_cols;
    double cost, flops, bytes;
    bool cut_by_owner;
};

/* One rectangle being run. */
struct wg__frame {
    const wg__loop *loop;
    const wg__loop_run *run;
    char **place, **base;    /* pointers by place; bases by memory */
    size_t count[4], n[4];   /* elements by level; rounded up to LANES */
    size_t r, c;             /* of the patch */
    int64_t row, col;        /* where the patch begins */
    int64_t at[WG_MAX_RANK]; /* coordinates of `row` */
    int64_t rect_row, rect_col, rect_rows, rect_cols;
    size_t tile, band;
    bool flush, failed;
};

static inline size_t wg__lanes_up(size_t n)
{
    return (n + WG__LANES - 1) & ~(size_t)(WG__LANES - 1);
}

/* Registers of FULL values are packed row-major: element (i, j) of a patch of r x c is at i c + j. Of
 * a loop of few columns, they are c streams instead, one per column: it is at i + j wg__stream(f). So
 * rows are folded and spread by whole vectors. Streams are in whole lanes each. */
static inline size_t wg__stream(const wg__frame *f) { return f->n[WG__ROW]; }

/* ---- steps (loop_move.c, loop_apply.c, loop_sink.c) -------------------------------------------------- */

void wg__step_loop(const wg__inst *in, wg__frame *f);
void wg__step_rows(const wg__inst *in, wg__frame *f);
void wg__step_streams(const wg__inst *in, wg__frame *f);
void wg__step_load(const wg__inst *in, wg__frame *f);
void wg__step_gather(const wg__inst *in, wg__frame *f);
void wg__step_store(const wg__inst *in, wg__frame *f);
void wg__step_spread(const wg__inst *in, wg__frame *f);
void wg__step_iota(const wg__inst *in, wg__frame *f);
void wg__step_reduce(const wg__inst *in, wg__frame *f);
void wg__step_pick(const wg__inst *in, wg__frame *f);
void wg__step_total(const wg__inst *in, wg__frame *f);
void wg__step_columns(const wg__inst *in, wg__frame *f);

/* loop_copy.c: n equal elements; n elements from stride to stride; r x c elements, strides (bytes) of
 * rows and columns. */
void wg__fill(uint8_t size, size_t n, char *to, const char *from);
void wg__copy_line(uint8_t size, size_t n, char *to, ptrdiff_t ts, const char *from, ptrdiff_t fs);
void wg__copy_block(uint8_t size, size_t r, size_t c, char *to, ptrdiff_t ts, ptrdiff_t tc,
                    const char *from, ptrdiff_t fs, ptrdiff_t fc);
/* The part of memory that the patch sees, packed to `to` and padded with ones; and back. */
void wg__pack(const wg__frame *f, const wg__mem *m, char *base, char *to);
void wg__unpack(const wg__frame *f, const wg__mem *m, char *base, const char *from);
/* Moves coordinates on by `digits` (another coordinate; below the sizes). */
void wg__advance(const wg__loop *loop, int64_t *at, const int64_t *digits);
/* Where row `f->row` of memory begins, at column 0. */
char *wg__row_start(const wg__frame *f, const wg__mem *m, char *base);
void wg__sinks_begin(wg__frame *f);

/* ---- building --------------------------------------------------------------------------------------- */

typedef enum wg__def_kind {
    WG__DEF_LOAD,
    WG__DEF_GATHER,
    WG__DEF_APPLY,
    WG__DEF_IOTA,
    WG__DEF_REDUCE,
    WG__DEF_PICK,
    WG__DEF_STORE,
    WG__DEF_TOTAL,
    WG__DEF_COLUMNS
} wg__def_kind;

/* A value or a result, as the builder was told. */
typedef struct wg__def {
    wg__def_kind kind;
    wg_dtype dtype;
    uint8_t level, group; /* known at the end */
    uint8_t ops;          /* 2 of a pair */
    bool used;
    uint32_t first, nin; /* operands */
    uint32_t mem, node;
    const wg_kernel *kernel;
    void *user;
    uint32_t attrs, nattrs;
    wg_monoid monoid;
    wg__level over;
    int dim;
    int64_t div, mod, limit;
    ptrdiff_t step;
} wg__def;

struct wg__loop_builder {
    wg_ctx *ctx;
    int64_t outer[WG_MAX_RANK], cols;
    int nouter, isa;
    bool failed, cut, whole_rows; /* whole_rows: something needs all columns of a row at once */
    bool misused;                 /* failed, and not for lack of memory */
    size_t bands, tiles;
    WG__VEC(wg__def) defs;
    WG__VEC(wg__reg) operands;
    WG__VEC(wg__loop_mem) mems;
    WG__VEC(double) attrs;
};

/* loop_space.c: merges dimensions of b, gives levels and groups to its values, and decides patches
 * and tiles. */
void wg__loop_merge(wg__loop_builder *b);
uint8_t wg__loop_mem_level(const wg__loop_builder *b, const wg__loop_mem *m);
void wg__loop_levels(wg__loop_builder *b);
/* loop_pair.c: pairs of ops as one; after levels are known. False: out of memory. */
bool wg__loop_pair(wg__loop_builder *b);
void wg__loop_patches(const wg__loop_builder *b, wg__loop *loop);
void wg__loop_tiling(const wg__loop_builder *b, wg__loop *loop);
/* loop_emit.c and loop_regs.c: instructions and registers. */
bool wg__loop_emit(wg__loop_builder *b, wg__loop *loop);

#endif
