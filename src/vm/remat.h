/* Rematerialisation: an order of steps in which some are run again, so that values take less memory
 * (remat.c), as memory.c lays it out. */
#ifndef WG_VM_REMAT_H
#define WG_VM_REMAT_H

#include "base/ctx.h"

/* One run of a step. */
typedef struct wg__remat_entry {
    uint32_t step;    /* of the plan as it was compiled */
    bool again;       /* it has run before */
    uint32_t evicted; /* ids up to here in `evicted` give their memory back before it ... */
    uint32_t dead;    /* ... up to here in `dead` after it */
} wg__remat_entry;

typedef struct wg__remat {
    WG__VEC(wg__remat_entry) order;
    WG__VEC(uint32_t) evicted, dead;
    size_t live;  /* bytes at most, but for what each plan takes anyway */
    double again; /* nanoseconds of what is run again */
} wg__remat;

#endif
