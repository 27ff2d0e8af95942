/* What loop_emit.c and loop_regs.c share: a loop between values and instructions. */
#ifndef WG_VM_LOOP_EMIT_H
#define WG_VM_LOOP_EMIT_H

#include "vm/loop_inst.h"

#define WG__NO_PLACE UINT32_MAX

/* A place while building. */
typedef struct wg__place {
    uint8_t level, group, size;
    wg_dtype dtype;
    bool memory; /* direct: aimed, no register but the one that stands in */
    uint32_t def,
        last; /* instructions; WG__NO_PLACE: not defined by any; last WG__NO_PLACE: to the end */
    size_t at;
} wg__place;

/* An instruction while building. */
typedef struct wg__draft {
    wg__inst in;
    wg__extra x;
    uint32_t first; /* in args and strides: operands, then the result if `result` */
    uint8_t group;
    bool result, dropped;
} wg__draft;

typedef struct wg__emitter {
    wg__loop_builder *b;
    wg__loop *loop;
    bool failed;
    WG__VEC(wg__draft) list[WG__GROUPS];
    WG__VEC(wg__place) places;
    WG__VEC(uint32_t) args;
    WG__VEC(ptrdiff_t) strides;
    WG__VEC(wg__draft) order; /* all lists, one after the other */
    uint32_t *of;             /* by value: its place */
    uint32_t *spread;         /* by value and level: its place spread to that level */
    size_t registers;         /* bytes so far */
    size_t mems, sinks;
} wg__emitter;

/* loop_regs.c, after all instructions are there: puts them in order, decides which results are computed
 * right into memory, gives out registers and packs all into the loop. */
bool wg__loop_place(wg__emitter *e);
/* May instructions work on it in place? */
bool wg__loop_is_dense(const wg__loop *loop, const wg__mem *m);

#endif
