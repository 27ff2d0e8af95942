/* Memory: the context's allocator, growable arrays, checked sizes. Nothing here aborts: every call
 * reports failure by NULL or false. Includable from everywhere in src. */
#ifndef WG_BASE_ALLOC_H
#define WG_BASE_ALLOC_H

#include <wengert/types.h>

/* From the context's allocator hook. Size 0 is allowed and counts as 1, so that NULL always means
 * that memory is out. wg__free takes NULL. */
void *wg__alloc(wg_ctx *ctx, size_t size);
void *wg__calloc(wg_ctx *ctx, size_t count, size_t size); /* zeroed, overflow-checked */
void *wg__realloc(wg_ctx *ctx, void *ptr, size_t size);
void wg__free(wg_ctx *ctx, void *ptr);
char *wg__strdup(wg_ctx *ctx, const char *text);
void *wg__memdup(wg_ctx *ctx, const void *data, size_t size);
/* 64-byte aligned; release with wg__free_aligned. */
void *wg__alloc_aligned(wg_ctx *ctx, size_t size);
void wg__free_aligned(wg_ctx *ctx, void *ptr);

/* *out = a * b; false on overflow. */
bool wg__mul_size(size_t a, size_t b, size_t *out);

/* Growable array: WG__VEC(uint32_t) ids;  zero-initialised, freed with wg__vec_free. */
#define WG__VEC(T)                                                                                 \
    struct {                                                                                       \
        T *data;                                                                                   \
        size_t len, cap;                                                                           \
    }
/* Makes room for `extra` more elements; false when memory is out (the array is unchanged). */
bool wg__vec_grow(wg_ctx *ctx, void *data_ptr, size_t *cap, size_t len, size_t extra, size_t elem);
#define wg__vec_reserve(ctx, v, extra)                                                             \
    ((v)->cap - (v)->len >= (size_t)(extra) ||                                                     \
     wg__vec_grow((ctx), &(v)->data, &(v)->cap, (v)->len, (extra), sizeof *(v)->data))
#define wg__vec_push(ctx, v, x) (wg__vec_reserve(ctx, v, 1) && ((v)->data[(v)->len++] = (x), true))
#define wg__vec_free(ctx, v) (wg__free((ctx), (v)->data), (v)->data = NULL, (v)->len = (v)->cap = 0)

#endif
