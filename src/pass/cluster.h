/* Clusters: which values are computed together, as one instruction of the vm. Made by the last
 * passes (fuse, epilogue, sink, horizontal) for the main tape and each body; the tape itself stays
 * as it is.
 *
 * A LOOP runs over a space: a shape without axes of size 1, whose last `ncols` axes are the columns.
 * A member is FULL (its shape, without axes of size 1, is the space), ROW (the space without the
 * columns), or a reduction whose result ends there: over the rows (one element per column) or over
 * everything. A PRODUCT is the same after a matrix product, whose result is FULL. */
#ifndef WG_PASS_CLUSTER_H
#define WG_PASS_CLUSTER_H

#include "base/str.h"
#include "pass/layout.h"

/* What a node is to the vm. */
typedef enum wg__role {
    WG__IDLE,   /* not needed; or no head of a node */
    WG__SOURCE, /* input, param, const, literal */
    WG__ALIAS,  /* a view: never computed */
    WG__INDEX,  /* an iota that no memory is needed for: its readers count by themselves */
    WG__RUN,    /* through the op's kernel */
    WG__MAP,    /* elementwise */
    WG__COPY,   /* a view that must be dense in memory */
    WG__FOLD,   /* a reduction */
    WG__PICK,   /* x[row, index[row]] */
    WG__TAKE,   /* gathered rows */
    WG__TIMES,  /* a matrix product */
    WG__JOIN    /* parts that are stored side by side: see wg__window */
} wg__role;

typedef enum wg__cluster_kind {
    WG__KERNEL,  /* one node through its op's kernel */
    WG__LOOP,    /* elementwise ops and reductions: vm/loop.h */
    WG__PRODUCT, /* a matmul and its epilogue: vm/product.h */
    WG__SCALARS, /* scalar nodes: vm/scalars.h */
    WG__CONCAT   /* one JOIN: copies those of its parts that have no window: vm/join.h */
} wg__cluster_kind;

typedef struct wg__cluster {
    wg__cluster_kind kind;
    uint32_t first, count; /* in clusters.members: heads of nodes, ascending */
    uint32_t depth;        /* what it reads is of smaller depth */
    uint32_t group; /* equal in neighbours that are independent: run side by side (horizontal) */
    wg_shape space; /* LOOP and PRODUCT: of FULL members, without axes of size 1 */
    int ncols;      /* how many trailing axes of `space` are columns; 0: nobody cares */
} wg__cluster;

#define WG__NO_CLUSTER UINT32_MAX

/* A computed value that is a part of a JOIN, of which it has the only memory that it has: its element
 * number i, row-major, is element start + i / block * pitch + i % block of the JOIN. Layouts of the
 * value and of its views stay as they are, as if it were dense: wg__in_memory turns them into those
 * of the JOIN's memory. pitch == block: it lies there densely. */
typedef struct wg__window {
    uint32_t join;
    int64_t start, block, pitch;
} wg__window;

typedef struct wg__clusters {
    wg_ctx *ctx;
    const wg_tape *tape;
    uint8_t *role;     /* by id: a wg__role */
    uint32_t *of;      /* by id (all outputs of a node): its cluster's index in `list`, or
                            WG__NO_CLUSTER: a source, an alias, an index, not needed */
    uint32_t *place;   /* by id of a head in a cluster: its index in `members` */
    uint32_t *scratch; /* by id: WG__NONE between uses */
    uint32_t *view;    /* by id: of an alias, 1 + where its layout is in `views`; 0: the value lies
                            densely at its own place. KERNEL operands and roots are dense, at base +
                            offset (which need not be 0) */
    WG__VEC(wg__layout) views;
    uint32_t *window; /* by id: 1 + index in `windows`, or 0 */
    WG__VEC(wg__window) windows;
    bool *stored; /* by id: a computed value that needs memory (read outside its cluster, or
                            a root). Outputs of KERNELs that nobody reads are not stored */
    WG__VEC(wg__cluster) list; /* in the order of running */
    WG__VEC(uint32_t) members;
} wg__clusters;

/* Clusters of one tape. roots: values that must be dense in memory at the end (sources and aliases
 * of sources among them stay what they are). notes: where fusions are explained (NULL: nobody asks).
 * Effects: params[i] takes values[i], and the values are the last roots; clusters that read a param
 * are put before the one that computes its new value where possible, and in_place[i] tells whether
 * it is so for all of them but that one, which then reads each element no later than it writes it.
 * Clusters that may fail come before updates where possible. *out is to be freed in any case. */
wg_status wg__clusters_make(const wg_tape *t, const uint32_t *roots, size_t nroots, wg__str *notes,
                            wg__clusters *out, const uint32_t *params, const uint32_t *values,
                            size_t neffects, bool *in_place);
void wg__clusters_free(wg__clusters *c);

/* ---- reading clusters ----------------------------------------------------------------------------- */

/* The value in whose memory value `id` lies: itself unless it is an alias. */
static inline uint32_t wg__base_of(const wg__clusters *c, uint32_t id)
{
    return c->view[id] ? c->views.data[c->view[id] - 1].base : id;
}
/* Its layout (made in *room where there is none yet). */
const wg__layout *wg__layout_of(const wg__clusters *c, uint32_t id, wg__layout *room);
/* The layout by which node `id` reads operand `k`: the operand's, or for a COPY what it is a window
 * of (made in *room). */
const wg__layout *wg__read_layout(const wg__clusters *c, uint32_t id, size_t k, wg__layout *room);
/* The value whose memory it reads then. */
static inline uint32_t wg__read_base(const wg__clusters *c, uint32_t id, size_t k)
{
    return wg__base_of(c, wg__operands(c->tape, wg__node_at(c->tape, id))[k]);
}
/* The value whose memory holds `base`, which is no alias: itself, or the JOIN that it is part of. */
static inline uint32_t wg__holder_of(const wg__clusters *c, uint32_t base)
{
    return c->window[base] ? c->windows.data[c->window[base] - 1].join : base;
}
/* Turns strides of `base` over axes of sizes `shape` into strides of the holder's memory. False: there
 * are none (which cannot be of operands in clusters). */
bool wg__in_memory(const wg__clusters *c, uint32_t base, const wg_shape *shape, wg_strides *s);
/* How many values it reads. */
static inline size_t wg__reads(const wg__clusters *c, uint32_t id)
{
    return wg__node_at(c->tape, id)->nin;
}

/* What a reduction does to the shape of its operand without axes of size 1. */
typedef enum wg__fold {
    WG__FOLD_NONE,     /* nothing: only axes of size 1 are reduced */
    WG__FOLD_ALL,      /* all axes */
    WG__FOLD_TRAILING, /* the last *k axes */
    WG__FOLD_LEADING,  /* all but the last *k axes */
    WG__FOLD_MIDDLE    /* others */
} wg__fold;
wg__fold wg__fold_kind(const wg_tape *t, uint32_t id, int *k);

/* Text of all clusters in order, a line each: "loop f32[32, 10] cols 1: max sub exp | stored %4". */
void wg__clusters_print(const wg__clusters *c, wg__str *s);

#endif
