/* The context's inside. base/ctx.c owns memory, hooks and references; registry, symbol table and
 * compile cache hang off it as opaque parts that their own rooms fill and know how to free. */
#ifndef WG_BASE_CTX_H
#define WG_BASE_CTX_H

#include <pthread.h>
#include <stdatomic.h>
#include <wengert/ctx.h>
#include "base/alloc.h"
#include "base/team.h"

struct wg_ctx {
    wg_ctx_options hooks; /* alloc is never NULL */
    atomic_int refs;
    atomic_uint_least64_t clock; /* numbers tapes, rewinds and marks: never the same twice */
    pthread_mutex_t lock;        /* guards registry, symbols, and the making of team and cache */
    wg__team *team;              /* NULL before it is first asked for */
    struct wg__registry *registry;
    void (*free_registry)(wg_ctx *ctx);
    struct wg__symbols *symbols;
    void (*free_symbols)(wg_ctx *ctx);
    struct wg__cache *cache; /* of compiled code; NULL before it is first asked for */
    void (*free_cache)(wg_ctx *ctx);
};

/* A context without registry: for wg_ctx_new, and for tests of the lower rooms. */
wg_ctx *wg__ctx_new_bare(const wg_ctx_options *options);
void wg__ctx_ref(wg_ctx *ctx);
void wg__ctx_unref(wg_ctx *ctx); /* frees with the last reference */
void wg__log(wg_ctx *ctx, const char *format, ...) WG_PRINTF(2, 3);
bool wg__cancelled(wg_ctx *ctx);
/* The context's threads, made when first asked for; `start` is what each of them calls once (the
 * first caller's counts). NULL: out of memory. Any thread. */
wg__team *wg__ctx_team(wg_ctx *ctx, void (*start)(void));
/* The next number of the context's clock, from 1. */
uint64_t wg__tick(wg_ctx *ctx);

#endif
