/* Memory from the context's allocator hook. The hook is realloc-like and frees on size 0, so sizes
 * are raised to 1 here. Aligned blocks keep the hook's own pointer right before their start. */
#include <string.h>

#include "base/ctx.h"

enum { ALIGNMENT = 64 };

static void *call(wg_ctx *ctx, void *ptr, size_t size)
{
    return ctx->hooks.alloc(ctx->hooks.alloc_user, ptr, size ? size : 1);
}

void *wg__alloc(wg_ctx *ctx, size_t size) { return call(ctx, NULL, size); }

void *wg__calloc(wg_ctx *ctx, size_t count, size_t size)
{
    size_t bytes;
    if (!wg__mul_size(count, size, &bytes))
        return NULL;
    void *ptr = call(ctx, NULL, bytes);
    return ptr ? memset(ptr, 0, bytes) : NULL;
}

void *wg__realloc(wg_ctx *ctx, void *ptr, size_t size) { return call(ctx, ptr, size); }

void wg__free(wg_ctx *ctx, void *ptr)
{
    if (ptr)
        ctx->hooks.alloc(ctx->hooks.alloc_user, ptr, 0);
}

char *wg__strdup(wg_ctx *ctx, const char *text) { return wg__memdup(ctx, text, strlen(text) + 1); }

void *wg__memdup(wg_ctx *ctx, const void *data, size_t size)
{
    void *copy = call(ctx, NULL, size);
    if (copy && size)
        memcpy(copy, data, size);
    return copy;
}

void *wg__alloc_aligned(wg_ctx *ctx, size_t size)
{
    const size_t extra = ALIGNMENT + sizeof(void *);
    char *raw = size <= PTRDIFF_MAX - extra ? call(ctx, NULL, size + extra) : NULL;
    if (!raw)
        return NULL;
    char *start = raw + sizeof(void *);
    start += (ALIGNMENT - (uintptr_t)start % ALIGNMENT) % ALIGNMENT;
    memcpy(start - sizeof raw, &raw, sizeof raw);
    return start;
}

void wg__free_aligned(wg_ctx *ctx, void *ptr)
{
    if (!ptr)
        return;
    void *raw;
    memcpy(&raw, (char *)ptr - sizeof raw, sizeof raw);
    wg__free(ctx, raw);
}

bool wg__mul_size(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }

/* `data_ptr` points to the vector's pointer, whatever its element type: hence the memcpy. */
bool wg__vec_grow(wg_ctx *ctx, void *data_ptr, size_t *cap, size_t len, size_t extra, size_t elem)
{
    size_t need, bytes, more = *cap < 8 ? 8 : *cap + *cap / 2;
    if (__builtin_add_overflow(len, extra, &need))
        return false;
    if (more < need)
        more = need;
    void *data;
    memcpy(&data, data_ptr, sizeof data);
    if (!wg__mul_size(more, elem, &bytes) || !(data = wg__realloc(ctx, data, bytes)))
        return false;
    memcpy(data_ptr, &data, sizeof data);
    *cap = more;
    return true;
}
