/* For tests: an allocator that counts live blocks and fails on demand, and the promise that goes
 * with it: whichever allocation fails, the code under test reports it and leaks nothing.
 *
 *     static bool scenario(wg_ctx *ctx, void *user) { ... return all went well; }
 *     ck_assert_int_eq(fault_each(wg_ctx_new, scenario, NULL), 0);
 */
#ifndef WG_TESTS_FAULT_H
#define WG_TESTS_FAULT_H

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <wengert/ctx.h>

typedef struct fault {
    atomic_long live;  /* blocks allocated and not yet freed */
    atomic_long calls; /* allocations and reallocations so far */
    long fail_at;      /* the number of the call that fails, from 1; 0: none */
    bool lasting;      /* all calls after it fail too */
} fault;

static inline void *fault_alloc(void *user, void *ptr, size_t size)
{
    fault *f = user;
    if (!size) {
        f->live -= ptr != NULL;
        free(ptr);
        return NULL;
    }
    long call = ++f->calls;
    if (f->fail_at && (call == f->fail_at || (f->lasting && call > f->fail_at)))
        return NULL;
    void *block = realloc(ptr, size);
    f->live += block && !ptr;
    return block;
}

static inline wg_ctx_options fault_options(fault *f)
{
    wg_ctx_options options = WG_CTX_DEFAULTS;
    options.alloc = fault_alloc;
    options.alloc_user = f;
    return options;
}

/* Runs `scenario` on fresh contexts: once undisturbed, which must succeed, then with each of its
 * allocations failing, alone and together with all that follow. It must come back without leaks; it
 * must return false when all allocations fail from one on (a single one may be done without). 0
 * when all that holds, else the number of the first call where it does not, or -1 for the
 * undisturbed run. */
static inline long fault_each(wg_ctx *(*make)(const wg_ctx_options *options),
                              bool (*scenario)(wg_ctx *ctx, void *user), void *user)
{
    long calls = 0;
    for (long n = 0; n <= calls; n++)
        for (int lasting = 0; lasting <= (n > 0); lasting++) {
            fault f = {0, 0, n, lasting};
            wg_ctx_options options = fault_options(&f);
            wg_ctx *ctx = make(&options);
            bool ok = ctx && scenario(ctx, user);
            wg_ctx_free(ctx);
            if (n == 0)
                calls = f.calls;
            if (f.live || (n == 0 && !ok) || (lasting && ok)) {
                fprintf(stderr, "allocation %ld of %ld%s: %s, %ld blocks leaked\n", n, calls,
                        lasting ? " and all after" : "", ok ? "success" : "failure", (long)f.live);
                return n ? n : -1;
            }
        }
    return 0;
}

#endif
