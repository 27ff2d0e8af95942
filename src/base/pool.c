/* The interning pool: a hash table with chains over entries whose bytes lie in chunks. Bytes never
 * move, so pointers into the pool hold until it is freed. */
#include <string.h>

#include "base/pool.h"

enum { ALIGNMENT = 16, FIRST_CHUNK = 512, LARGEST_CHUNK = 1 << 16 };

typedef struct wg__pool_chunk {
    struct wg__pool_chunk *older;
    size_t used, size; /* of the bytes behind this header */
} wg__pool_chunk;

/* Multiply and fold, as in MurmurHash3 and splitmix64: a bijection, so nothing is lost. */
static uint64_t mix(uint64_t x)
{
    x *= 0xff51afd7ed558ccdu;
    return x ^ (x >> 32);
}

/* Two words at a time, side by side: a multiplication's latency is most of the cost. */
uint64_t wg__hash(const void *data, size_t size, uint64_t seed)
{
    const unsigned char *bytes = data;
    uint64_t a = wg__hash_u64(seed, size), b = ~a, pair[2];
    for (; size >= sizeof pair; size -= sizeof pair, bytes += sizeof pair) {
        memcpy(pair, bytes, sizeof pair);
        a = mix(a ^ pair[0]);
        b = mix(b ^ pair[1]);
    }
    pair[0] = pair[1] = 0;
    if (size)
        memcpy(pair, bytes, size);
    return mix(wg__hash_u64(mix(a ^ pair[0]), mix(b ^ pair[1])));
}

void wg__pool_init(wg__pool *pool, wg_ctx *ctx) { *pool = (wg__pool){.ctx = ctx}; }

void wg__pool_free(wg__pool *pool)
{
    while (pool->chunk) {
        wg__pool_chunk *older = pool->chunk->older;
        wg__free(pool->ctx, pool->chunk);
        pool->chunk = older;
    }
    wg__vec_free(pool->ctx, &pool->entries);
    wg__free(pool->ctx, pool->buckets);
    wg__pool_init(pool, pool->ctx);
}

static uint32_t *bucket(const wg__pool *pool, uint64_t hash)
{
    return &pool->buckets[hash & (pool->nbuckets - 1)];
}

/* Doubles the buckets (a power of two) and hangs all entries into them anew. */
static bool rehash(wg__pool *pool)
{
    uint32_t n = pool->nbuckets ? pool->nbuckets * 2 : 16;
    uint32_t *buckets = n ? wg__calloc(pool->ctx, n, sizeof *buckets) : NULL;
    if (!buckets)
        return false;
    wg__free(pool->ctx, pool->buckets);
    pool->buckets = buckets;
    pool->nbuckets = n;
    for (uint32_t i = 0; i < pool->entries.len; i++) {
        wg__pool_entry *e = &pool->entries.data[i];
        e->next = *bucket(pool, e->hash);
        *bucket(pool, e->hash) = i + 1;
    }
    return true;
}

/* The first aligned byte behind `used`, as an offset from the end of the header. */
static size_t aligned(const wg__pool_chunk *chunk)
{
    uintptr_t at = (uintptr_t)(chunk + 1) + chunk->used;
    return chunk->used + (ALIGNMENT - at % ALIGNMENT) % ALIGNMENT;
}

static bool add_chunk(wg__pool *pool, size_t need)
{
    wg__pool_chunk *last = pool->chunk;
    size_t size = !last ? FIRST_CHUNK : last->size < LARGEST_CHUNK ? last->size * 2 : LARGEST_CHUNK;
    if (size < need)
        size = need;
    wg__pool_chunk *chunk = wg__alloc(pool->ctx, sizeof *chunk + size);
    if (!chunk)
        return false;
    *chunk = (wg__pool_chunk){last, 0, size};
    pool->chunk = chunk;
    return true;
}

/* `size` aligned bytes and a NUL. */
static void *place(wg__pool *pool, size_t size)
{
    wg__pool_chunk *c = pool->chunk;
    if (!c || aligned(c) > c->size || c->size - aligned(c) <= size) {
        if (!add_chunk(pool, size + 1 + ALIGNMENT))
            return NULL;
        c = pool->chunk;
    }
    size_t at = aligned(c);
    char *bytes = (char *)(c + 1) + at;
    bytes[size] = 0;
    c->used = at + size + 1;
    return bytes;
}

static uint32_t find(const wg__pool *pool, const void *data, size_t size, uint64_t hash)
{
    uint32_t id = pool->nbuckets ? *bucket(pool, hash) : 0;
    while (id) {
        const wg__pool_entry *e = &pool->entries.data[id - 1];
        if (e->hash == hash && e->size == size && !memcmp(e->data, data, size))
            break;
        id = e->next;
    }
    return id;
}

uint32_t wg__pool_find(const wg__pool *pool, const void *data, size_t size)
{
    return size ? find(pool, data, size, wg__hash(data, size, 0)) : 0;
}

uint32_t wg__pool_intern(wg__pool *pool, const void *data, size_t size)
{
    if (!size || size > UINT32_MAX - 1 - ALIGNMENT || pool->entries.len >= UINT32_MAX - 1)
        return 0;
    uint64_t hash = wg__hash(data, size, 0);
    uint32_t id = find(pool, data, size, hash);
    if (id)
        return id;
    if (pool->entries.len >= pool->nbuckets && !rehash(pool))
        return 0;
    void *bytes = wg__vec_reserve(pool->ctx, &pool->entries, 1) ? place(pool, size) : NULL;
    if (!bytes)
        return 0;
    memcpy(bytes, data, size);
    uint32_t *head = bucket(pool, hash);
    wg__pool_entry entry = {bytes, (uint32_t)size, *head, hash};
    pool->entries.data[pool->entries.len++] = entry;
    return *head = (uint32_t)pool->entries.len;
}

const void *wg__pool_get(const wg__pool *pool, uint32_t id, size_t *size)
{
    const wg__pool_entry *e = id ? &pool->entries.data[id - 1] : NULL;
    if (size)
        *size = e ? e->size : 0;
    return e ? e->data : "";
}
