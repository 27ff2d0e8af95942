/* Compiling from the inside: what compile.c (loops), compile_product.c and compile_scalars.c share. */
#ifndef WG_VM_COMPILING_H
#define WG_VM_COMPILING_H

#include "vm/compile.h"

/* The kernel row of an elementwise node. */
const wg_kernel *wg__compile_row(const wg_tape *t, uint32_t id);

/* A loop in the making: of a LOOP cluster, or the epilogue of a PRODUCT. */
typedef struct wg__emitter {
    const wg__clusters *c;
    const wg__cluster *at;
    uint32_t cluster;
    wg__slots slots;
    wg__loop_builder *b;
    wg__reg *reg;  /* by member; wg__free */
    int nouter;    /* axes of the space that are not columns */
    bool failed;   /* no slot */
    size_t nloads; /* operands loaded so far */
    wg__loop_mem load[64];
    wg__reg loaded[64];
} wg__emitter;

/* A builder for the space of the cluster; `columns` of its axes are columns. False: out of memory. */
bool wg__emit_begin(wg__emitter *e, const wg__clusters *c, uint32_t cluster, int columns, int isa,
                    wg__slots slots);
/* The instructions and stores of all members. The register of a product is given (WG__NO_REG: there
 * is none). */
void wg__emit_members(wg__emitter *e, wg__reg product);
/* NULL: *why tells, as of wg__loop_end. Frees what the emitter holds. */
wg__loop *wg__emit_end(wg__emitter *e, wg_status *why);

#endif
