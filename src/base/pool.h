/* Interning pool: equal byte strings get equal ids. Ids count from 1; 0 means "none" and stands
 * for the empty string. Used for names, types, attributes and scopes. */
#ifndef WG_BASE_POOL_H
#define WG_BASE_POOL_H

#include <wengert/types.h>
#include "base/alloc.h"

typedef struct wg__pool_entry {
    void *data;
    uint32_t size;
    uint32_t next; /* chain of the same bucket */
    uint64_t hash;
} wg__pool_entry;

typedef struct wg__pool {
    wg_ctx *ctx;
    WG__VEC(wg__pool_entry) entries; /* id - 1 */
    uint32_t *buckets;
    uint32_t nbuckets;
    struct wg__pool_chunk *chunk; /* where the bytes lie; the newest first; they never move */
} wg__pool;

uint64_t wg__hash(const void *data, size_t size, uint64_t seed);
static inline uint64_t wg__hash_u64(uint64_t h, uint64_t x)
{
    h ^= x + 0x9e3779b97f4a7c15u + (h << 6) + (h >> 2);
    h *= 0xff51afd7ed558ccdu;
    return h ^ (h >> 33);
}

void wg__pool_init(wg__pool *pool, wg_ctx *ctx);
void wg__pool_free(wg__pool *pool);
/* The id of these bytes (copied; 16-byte aligned, followed by a NUL); 0 when memory is out. */
uint32_t wg__pool_intern(wg__pool *pool, const void *data, size_t size);
/* The id if it is there, else 0. */
uint32_t wg__pool_find(const wg__pool *pool, const void *data, size_t size);
const void *wg__pool_get(const wg__pool *pool, uint32_t id, size_t *size); /* id 0: "" */

#endif
