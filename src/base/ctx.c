/* The context: hooks, reference count and lock. wg_ctx_new, which also fills the registry, is in
 * tape/registry.c, so that this room knows nothing of ops. */
#include <stdlib.h>
#include <string.h>

#include "base/ctx.h"
#include "base/str.h"

static void *default_alloc(void *user, void *ptr, size_t size)
{
    (void)user;
    if (size)
        return realloc(ptr, size);
    free(ptr);
    return NULL;
}

/* The caller may have been built against an older (shorter) or newer (longer) options struct. */
static wg_ctx_options read_options(const wg_ctx_options *options)
{
    wg_ctx_options o = WG_CTX_DEFAULTS;
    if (options) {
        size_t size = options->struct_size;
        memcpy(&o, options, size < sizeof o ? size : sizeof o);
    }
    o.struct_size = sizeof o;
    if (!o.alloc)
        o.alloc = default_alloc;
    return o;
}

wg_ctx *wg__ctx_new_bare(const wg_ctx_options *options)
{
    wg_ctx_options hooks = read_options(options);
    wg_ctx *ctx = hooks.alloc(hooks.alloc_user, NULL, sizeof *ctx);
    if (!ctx)
        return NULL;
    memset(ctx, 0, sizeof *ctx);
    ctx->hooks = hooks;
    atomic_init(&ctx->refs, 1);
    if (pthread_mutex_init(&ctx->lock, NULL)) {
        hooks.alloc(hooks.alloc_user, ctx, 0);
        return NULL;
    }
    return ctx;
}

/* What the cache holds takes references back before it frees them: those must not end here again. */
static void drop_cache(wg_ctx *ctx)
{
    atomic_fetch_add(&ctx->refs, 1);
    ctx->free_cache(ctx);
}

static void destroy(wg_ctx *ctx)
{
    if (ctx->cache)
        drop_cache(ctx);
    wg__team_free(ctx->team);
    if (ctx->free_symbols)
        ctx->free_symbols(ctx);
    if (ctx->free_registry)
        ctx->free_registry(ctx);
    pthread_mutex_destroy(&ctx->lock);
    wg_ctx_options hooks = ctx->hooks;
    hooks.alloc(hooks.alloc_user, ctx, 0);
}

void wg__ctx_ref(wg_ctx *ctx) { atomic_fetch_add_explicit(&ctx->refs, 1, memory_order_relaxed); }

void wg__ctx_unref(wg_ctx *ctx)
{
    if (ctx && atomic_fetch_sub_explicit(&ctx->refs, 1, memory_order_acq_rel) == 1)
        destroy(ctx);
}

wg__team *wg__ctx_team(wg_ctx *ctx, void (*start)(void))
{
    pthread_mutex_lock(&ctx->lock);
    if (!ctx->team)
        ctx->team = wg__team_new(ctx, ctx->hooks.threads ? ctx->hooks.threads : wg__cpus(), start);
    wg__team *team = ctx->team;
    pthread_mutex_unlock(&ctx->lock);
    return team;
}

void wg_ctx_free(wg_ctx *ctx) { wg__ctx_unref(ctx); }

#define QUOTE(x) #x
#define DOTTED(a, b, c) QUOTE(a) "." QUOTE(b) "." QUOTE(c)

const char *wg_version(void)
{
    return DOTTED(WG_VERSION_MAJOR, WG_VERSION_MINOR, WG_VERSION_PATCH);
}

void wg__log(wg_ctx *ctx, const char *format, ...)
{
    if (!ctx->hooks.log)
        return;
    wg__str line = wg__str_make(ctx);
    va_list args;
    va_start(args, format);
    wg__str_addv(&line, format, args);
    va_end(args);
    ctx->hooks.log(ctx->hooks.log_user, line.failed ? "(no memory for this line)" : line.data);
    wg__str_free(&line);
}

bool wg__cancelled(wg_ctx *ctx)
{
    return ctx->hooks.cancel && ctx->hooks.cancel(ctx->hooks.cancel_user);
}

uint64_t wg__tick(wg_ctx *ctx) { return atomic_fetch_add(&ctx->clock, 1) + 1; }
