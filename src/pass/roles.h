/* Finding roles: what roles.c and window.c share. */
#ifndef WG_PASS_ROLES_H
#define WG_PASS_ROLES_H

#include "pass/fuse.h"

typedef struct wg__finder {
    wg__fuser *f;
    wg__clusters *c;
    const wg_tape *t;
    bool *marked; /* by id: must be dense in memory */
    bool *apart;  /* by id: gets no window */
    bool again;   /* a new mark, or a window that is taken back */
    bool failed;  /* out of memory */
} wg__finder;

/* Gives parts of `id`, a JOIN, their windows. */
void wg__offer_windows(wg__finder *r, uint32_t id);
/* Takes back those that are not to be, once all nodes have roles. */
void wg__check_windows(wg__finder *r);

#endif
