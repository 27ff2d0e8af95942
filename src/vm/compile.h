/* From clusters (pass/cluster.h) to what runs: loops, products, scalars. */
#ifndef WG_VM_COMPILE_H
#define WG_VM_COMPILE_H

#include "pass/cluster.h"
#include "vm/join.h"
#include "vm/loop.h"
#include "vm/product.h"
#include "vm/scalars.h"

/* The slot through which the cluster reaches the memory of value `id` (a base value: no alias; or a
 * stored member): the same for the same id. UINT32_MAX: out of memory. */
typedef struct wg__slots {
    uint32_t (*of)(void *user, uint32_t id);
    void *user;
} wg__slots;

/* NULL: *why is WG_NO_MEMORY, or WG_INTERNAL where the cluster is none that a loop can compute. */
wg__loop *wg__compile_loop(const wg__clusters *c, uint32_t cluster, int isa, wg__slots slots,
                           wg_status *why);
wg__product *wg__compile_product(const wg__clusters *c, uint32_t cluster, int isa, wg__slots slots,
                                 wg_status *why);
/* NULL: out of memory. at[i]: where the value of member i lies among the values, in bytes. */
wg__scalars *wg__compile_scalars(const wg__clusters *c, uint32_t cluster, int isa, wg__slots slots,
                                 uint64_t *at);
/* NULL: out of memory. */
wg__join *wg__compile_join(const wg__clusters *c, uint32_t cluster, wg__slots slots);

#endif
