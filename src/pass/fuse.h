/* Fusing from the inside: what the files that make clusters share. fuse.c sweeps over the nodes and
 * joins them to clusters; roles.c says first what each node is, and window.c which values are
 * parts of a larger one; unify.c when two clusters may become
 * one, with the rules of matmul epilogues in epilogue.c; sink.c moves members to their readers;
 * order.c puts clusters in order; horizontal.c groups neighbours. */
#ifndef WG_PASS_FUSE_H
#define WG_PASS_FUSE_H

#include "pass/cluster.h"

enum {
    WG__MAX_INSTRS = 96, /* of a loop or epilogue */
    WG__MAX_MEM = 24,    /* operands of it that come from memory */
    WG__MAX_VECTOR = 512 /* elements of a vector that is one row of columns */
};

/* A cluster in the making. Merged ones point to the one that they are part of. */
typedef struct wg__bud {
    uint32_t parent, depth;
    wg__cluster_kind kind;
    bool read;  /* a node outside it reads a value of it: its depth is final */
    bool whole; /* a value needs whole rows: patches span all columns */
    int8_t ncols,
        maxcols; /* 0: undecided; maxcols: operands in memory have one step over so many */
    uint16_t instrs, nmem;
    wg_shape space;
    uint32_t mem[WG__MAX_MEM];
} wg__bud;

typedef struct wg__fuser {
    wg__clusters *c;
    const wg_tape *t;
    wg__str *notes; /* or NULL */
    const uint32_t *roots;
    size_t nroots;
    WG__VEC(wg__bud) buds;
    WG__VEC(uint32_t) scalars; /* by depth: the SCALARS bud, or WG__NO_CLUSTER */
    bool *open;                /* by id: its value can be used within its cluster */
} wg__fuser;

/* The bud that `bud` is part of. */
uint32_t wg__bud_find(wg__fuser *f, uint32_t bud);
/* *to becomes the union of itself and `from`, as far as space, columns and room go. NULL, or why it
 * cannot be (*to is spoilt then). */
const char *wg__bud_unify(wg__bud *to, const wg__bud *from);
/* One more operand that comes from memory, of `merged` axes of one step; full: of a FULL value. */
const char *wg__bud_load(wg__bud *b, uint32_t value, int merged, bool full);
/* The same for the epilogues of products: whether `b`, a PRODUCT, can be what it has become. */
const char *wg__epilogue_check(const wg__bud *b);
/* The bud of a product with shape `out`. */
void wg__epilogue_begin(wg__bud *b, const wg_shape *out);

/* How a value in a cluster is read through views and broadcasting. */
typedef enum wg__relation {
    WG__APART, /* its elements move: through memory only */
    WG__SAME,  /* element by element */
    WG__SPREAD /* each for a whole row of trailing axes */
} wg__relation;
/* Of a value of squeezed shape `value`, read by `s` over squeezed shape `over`. */
wg__relation wg__relation_of(const wg_shape *value, const wg_shape *over, const wg_strides *s);

/* The shape over which node `id` reads its operands: its own, or that of what it reduces. */
const wg_shape *wg__read_shape(const wg__clusters *c, uint32_t id);
/* The same for operand `k`: labels of a pick and indices have shapes of their own. */
const wg_shape *wg__operand_shape(const wg__clusters *c, uint32_t id, size_t k);

/* ---- the steps, in order ---------------------------------------------------------------------------- */

bool wg__find_roles(wg__fuser *f);
bool wg__fuse(wg__fuser *f);
/* Elementwise members that only other clusters read move to their reader. */
void wg__sink(wg__fuser *f);
/* Numbers the clusters in an order of running, and fills all fields of f->c. */
typedef struct wg__effects {
    const uint32_t *params, *values; /* params[i] takes values[i] */
    size_t n;
    bool *in_place;
} wg__effects;
bool wg__order(wg__fuser *f, const wg__effects *e);
/* Which clusters run side by side. False: out of memory. */
bool wg__group(wg__clusters *c, const wg__effects *e);

void wg__note(wg__fuser *f, uint32_t id, const char *format, ...) WG_PRINTF(3, 4);
/* That `id` reads `from` from memory. */
void wg__note_read(wg__fuser *f, uint32_t id, uint32_t from, const char *why);

#endif
