/* Building scalars: nodes are collected with their levels (the longest path from the outer values)
 * and their actions, each of which is kept once. scalars_pack.c makes code of them. */
#include "vm/scalars_code.h"

#include <string.h>

#define FAILED UINT32_MAX

void wg__scalars_drop(wg__scalars_builder *b)
{
    wg_ctx *ctx = b->ctx;
    wg__vec_free(ctx, &b->nodes);
    wg__vec_free(ctx, &b->ins);
    wg__vec_free(ctx, &b->outers);
    wg__vec_free(ctx, &b->actions);
    wg__vec_free(ctx, &b->attrs);
    wg__vec_free(ctx, &b->dtypes);
    wg__free(ctx, b->table);
    wg__free(ctx, b);
}

wg__scalars_builder *wg__scalars_begin(wg_ctx *ctx, size_t expected, int isa)
{
    wg__scalars_builder *b = wg__calloc(ctx, 1, sizeof *b);
    if (!b)
        return NULL;
    b->ctx = ctx;
    b->isa = isa;
    b->capacity = 64;
    b->table = wg__calloc(ctx, b->capacity, sizeof *b->table);
    if (!b->table || !wg__vec_reserve(ctx, &b->nodes, expected) ||
        !wg__vec_reserve(ctx, &b->ins, expected + 1)) {
        wg__scalars_drop(b);
        return NULL;
    }
    return b;
}

static wg__scalar fail(wg__scalars_builder *b)
{
    b->failed = true;
    return FAILED;
}

wg__scalar wg__scalars_outer(wg__scalars_builder *b, uint32_t slot, ptrdiff_t offset,
                             wg_dtype dtype)
{
    const wg__scalar_outer o = {offset, slot, b->next[wg__scalars_region(dtype)], dtype};
    if (b->failed || b->outers.len >= WG__OUTER - 1 || !wg__vec_push(b->ctx, &b->outers, o))
        return fail(b);
    b->next[wg__scalars_region(dtype)]++;
    return WG__OUTER | (uint32_t)(b->outers.len - 1);
}

/* ---- actions ----------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 32;
}

static wg_dtype dtype_of(const wg__scalars_builder *b, wg__scalar x)
{
    return x & WG__OUTER ? b->outers.data[x & ~WG__OUTER].dtype
                         : (wg_dtype)b->actions.data[b->nodes.data[x].action].dtype;
}

/* `key` with its attributes and the dtypes of `in`, both outside the pools. */
static bool same(const wg__scalars_builder *b, const wg__action *a, const wg__action *key,
                 const wg__scalar *in, const double *attrs)
{
    if (a->hash != key->hash || a->kernel != key->kernel || a->user != key->user ||
        a->nin != key->nin || a->dtype != key->dtype || a->nattrs != key->nattrs)
        return false;
    for (uint32_t k = 0; k < a->nin; k++)
        if (b->dtypes.data[a->in.at + k] != (uint8_t)dtype_of(b, in[k]))
            return false;
    return !a->nattrs || !memcmp(b->attrs.data + a->attrs.at, attrs, a->nattrs * sizeof *attrs);
}

static bool grow_table(wg__scalars_builder *b)
{
    size_t capacity = 2 * b->capacity;
    uint32_t *table = wg__calloc(b->ctx, capacity, sizeof *table);
    if (!table)
        return false;
    for (size_t i = 0; i < b->actions.len; i++) {
        size_t at = b->actions.data[i].hash & (capacity - 1);
        while (table[at])
            at = (at + 1) & (capacity - 1);
        table[at] = (uint32_t)i + 1;
    }
    wg__free(b->ctx, b->table);
    b->table = table;
    b->capacity = capacity;
    return true;
}

/* How single nodes of an action run: by a scalar function where there is one. */
static uint8_t span_of(const wg__scalars_builder *b, const wg__action *a)
{
    const struct wg_scalar *s = a->kernel->scalar;
    if (!s || a->nin < 1 || a->nin > 3)
        return WG__SPAN_ANY;
    const wg_dtype dtype = s->f64 ? WG_F64 : WG_F32;
    bool uniform = a->dtype == dtype;
    for (uint32_t k = 0; k < a->nin; k++)
        uniform = uniform && b->dtypes.data[a->in.at + k] == dtype;
    if (!uniform || (!s->f64 && !s->f32))
        return WG__SPAN_ANY;
    return dtype == WG_F64 ? WG__SPAN_F64 : WG__SPAN_F32;
}

/* The block kernels of the best instruction set up to `isa` that has every variant. */
static const wg_block_fn *block_of(const wg_kernel *kernel, uint32_t nin, int isa)
{
    if (!kernel->block || nin < 1 || nin > 3)
        return NULL;
    const size_t variants = (size_t)1 << nin;
    for (; isa >= 0; isa--) {
        const wg_block_fn *block = kernel->block + (size_t)isa * variants;
        size_t v = 0;
        while (v < variants - 1 && block[v])
            v++;
        if (v == variants - 1)
            return block;
    }
    return NULL;
}

static bool add_action(wg__scalars_builder *b, wg__action *key, const wg__scalar *in,
                       const double *attrs)
{
    if ((b->actions.len + 1) * 2 > b->capacity && !grow_table(b))
        return false;
    if (!wg__vec_reserve(b->ctx, &b->attrs, key->nattrs) ||
        !wg__vec_reserve(b->ctx, &b->dtypes, key->nin) || !wg__vec_reserve(b->ctx, &b->actions, 1))
        return false;
    key->attrs.at = b->attrs.len;
    key->in.at = b->dtypes.len;
    for (uint32_t k = 0; k < key->nin; k++)
        b->dtypes.data[b->dtypes.len++] = (uint8_t)dtype_of(b, in[k]);
    for (uint32_t k = 0; k < key->nattrs; k++)
        b->attrs.data[b->attrs.len++] = attrs[k];
    key->region = wg__scalars_region((wg_dtype)key->dtype);
    key->span = span_of(b, key);
    if (key->span == WG__SPAN_F64)
        key->call.f64 = key->kernel->scalar->f64;
    else if (key->span == WG__SPAN_F32)
        key->call.f32 = key->kernel->scalar->f32;
    key->block = block_of(key->kernel, key->nin, b->isa);
    b->most = key->nin > b->most ? key->nin : b->most;
    b->actions.data[b->actions.len++] = *key;
    return true;
}

/* The number of the action, added if it is new; FAILED when memory is out. */
static uint32_t find_action(wg__scalars_builder *b, wg__action *key, const wg__scalar *in,
                            const double *attrs)
{
    uint64_t h = mix((uintptr_t)key->kernel, (uintptr_t)key->user);
    h = mix(h, (uint64_t)key->nin << 8 | key->dtype);
    for (uint32_t k = 0; k < key->nin; k++)
        h = mix(h, dtype_of(b, in[k]));
    for (uint32_t k = 0; k < key->nattrs; k++) {
        uint64_t bits;
        memcpy(&bits, &attrs[k], sizeof bits);
        h = mix(h, bits);
    }
    key->hash = (uint32_t)h;
    for (size_t at = h & (b->capacity - 1);; at = (at + 1) & (b->capacity - 1)) {
        if (!b->table[at])
            break;
        if (same(b, &b->actions.data[b->table[at] - 1], key, in, attrs))
            return b->table[at] - 1;
    }
    if (!add_action(b, key, in, attrs))
        return FAILED;
    size_t at = key->hash & (b->capacity - 1);
    while (b->table[at])
        at = (at + 1) & (b->capacity - 1);
    b->table[at] = (uint32_t)b->actions.len;
    return (uint32_t)b->actions.len - 1;
}

wg__scalar wg__scalars_node(wg__scalars_builder *b, const wg_kernel *kernel, const wg__scalar *in,
                            size_t nin, wg_dtype out, const double *attrs, size_t nattrs,
                            void *user)
{
    if (b->failed || b->nodes.len >= WG__OUTER || nin > UINT32_MAX - b->ins.len)
        return fail(b);
    uint32_t level = 0;
    for (size_t k = 0; k < nin; k++) {
        if (in[k] == FAILED)
            return fail(b);
        const uint32_t below = in[k] & WG__OUTER ? 0 : b->nodes.data[in[k]].level + 1;
        level = below > level ? below : level;
    }
    wg__action key = {.kernel = kernel,
                      .user = user,
                      .nin = (uint32_t)nin,
                      .nattrs = (uint32_t)nattrs,
                      .dtype = (uint8_t)out};
    const wg__scalar_node n = {find_action(b, &key, in, attrs), level, (uint32_t)b->ins.len};
    if (n.action == FAILED || !wg__vec_reserve(b->ctx, &b->ins, nin) ||
        !wg__vec_push(b->ctx, &b->nodes, n))
        return fail(b);
    for (size_t k = 0; k < nin; k++)
        b->ins.data[b->ins.len++] = in[k];
    b->levels = level + 1 > b->levels ? level + 1 : b->levels;
    return (wg__scalar)(b->nodes.len - 1);
}
