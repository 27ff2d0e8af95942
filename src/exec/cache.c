/* The compile cache of a context: the code of graphs compiled lately, found again by identity. Code in
 * here does not keep the context alive; the context drops its cache when it goes. */
#include <string.h>

#include "exec/exec.h"

/* How much is kept: pieces of code, and bytes that they take with their identities. */
enum { MAX_ENTRIES = 64, DEFAULT_BYTES = 64 << 20 };

typedef struct entry {
    uint64_t hash;
    size_t len;
    uint32_t *words;
    wg__code *code;
    size_t bytes;
} entry;

struct wg__cache {
    pthread_mutex_t lock;
    entry entries[MAX_ENTRIES + 1]; /* the one used last is the first */
    size_t count, bytes, max_bytes;
};

static void entry_free(wg_ctx *ctx, entry *e)
{
    wg__free(ctx, e->words);
    wg__code_unref(e->code);
}

static void free_cache(wg_ctx *ctx)
{
    struct wg__cache *c = ctx->cache;
    for (size_t i = 0; i < c->count; i++)
        entry_free(ctx, &c->entries[i]);
    pthread_mutex_destroy(&c->lock);
    wg__free(ctx, c);
}

static struct wg__cache *cache_new(wg_ctx *ctx)
{
    struct wg__cache *c = wg__calloc(ctx, 1, sizeof *c);
    if (c && pthread_mutex_init(&c->lock, NULL)) {
        wg__free(ctx, c);
        c = NULL;
    }
    if (c)
        c->max_bytes = ctx->hooks.cache_bytes ? ctx->hooks.cache_bytes : DEFAULT_BYTES;
    return c;
}

/* NULL: out of memory. */
static struct wg__cache *cache_of(wg_ctx *ctx)
{
    pthread_mutex_lock(&ctx->lock);
    if (!ctx->cache) {
        ctx->free_cache = free_cache;
        ctx->cache = cache_new(ctx);
    }
    struct wg__cache *c = ctx->cache;
    pthread_mutex_unlock(&ctx->lock);
    return c;
}

static void to_front(struct wg__cache *c, size_t i)
{
    entry e = c->entries[i];
    memmove(&c->entries[1], &c->entries[0], i * sizeof e);
    c->entries[0] = e;
}

/* Under the lock. Referenced. */
static wg__code *find(struct wg__cache *c, const wg__identity *id)
{
    for (size_t i = 0; i < c->count; i++) {
        const entry *e = &c->entries[i];
        if (e->hash != id->hash || e->len != id->words.len ||
            memcmp(e->words, id->words.data, e->len * sizeof *e->words))
            continue;
        to_front(c, i);
        wg__code_ref(c->entries[0].code);
        return c->entries[0].code;
    }
    return NULL;
}

wg__code *wg__cache_find(wg_ctx *ctx, const wg__identity *id)
{
    struct wg__cache *c = cache_of(ctx);
    if (!c)
        return NULL;
    pthread_mutex_lock(&c->lock);
    wg__code *code = find(c, id);
    pthread_mutex_unlock(&c->lock);
    return code;
}

/* Unless it is too large to be kept at all. */
static void insert(struct wg__cache *c, wg__identity *id, wg__code *code)
{
    const size_t bytes = code->size + id->words.len * sizeof *id->words.data;
    if (bytes > c->max_bytes)
        return;
    c->entries[c->count++] = (entry){id->hash, id->words.len, id->words.data, code, bytes};
    c->bytes += bytes;
    memset(&id->words, 0, sizeof id->words);
    wg__code_ref(code);
    to_front(c, c->count - 1);
}

/* Takes out the least recently used entry when there are too many; false: there are not. */
static bool take_spare(struct wg__cache *c, entry *out)
{
    if (c->count <= MAX_ENTRIES && c->bytes <= c->max_bytes)
        return false;
    *out = c->entries[--c->count];
    c->bytes -= out->bytes;
    return true;
}

wg__code *wg__cache_put(wg_ctx *ctx, wg__identity *id, wg__code *code)
{
    struct wg__cache *c = cache_of(ctx);
    entry spare;
    if (!c)
        return code;
    pthread_mutex_lock(&c->lock);
    wg__code *known = find(c, id);
    if (!known)
        insert(c, id, code);
    while (take_spare(c, &spare)) { /* freeing takes time, and nobody else needs the lock for it */
        pthread_mutex_unlock(&c->lock);
        entry_free(ctx, &spare);
        pthread_mutex_lock(&c->lock);
    }
    pthread_mutex_unlock(&c->lock);
    if (!known)
        return code;
    wg__code_unref(code);
    return known;
}
