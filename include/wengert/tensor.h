/* Tensors: owned, dense, row-major arrays of a type, and their safetensors files. */
#ifndef WENGERT_TENSOR_H
#define WENGERT_TENSOR_H

#include <wengert/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A new tensor; `data` holds wg_shape_count(shape) elements and is copied; NULL gives zeros.
 * Owned; NULL when the shape is impossible or memory is out. */
WG_API WG_MUST_CHECK wg_tensor *wg_tensor_new(wg_ctx *ctx, wg_dtype dtype, wg_shape shape,
                                              const void *data);
WG_API void wg_tensor_free(wg_tensor *tensor);
/* A NULL tensor has an impossible type (rank -1), no data and NaN elements. */
WG_API wg_type wg_tensor_type(const wg_tensor *tensor);
/* The elements; 64-byte aligned; borrowed. */
WG_API const void *wg_tensor_data(const wg_tensor *tensor);
WG_API void *wg_tensor_data_mut(wg_tensor *tensor);
WG_API size_t wg_tensor_bytes(const wg_tensor *tensor);
/* Element `index` in row-major order as a double; NaN when out of range. */
WG_API double wg_tensor_get(const wg_tensor *tensor, int64_t index);

/* ---- dimension symbols --------------------------------------------------------------------- */

/* `shape` with axis `axis` named `name` (an identifier): input shapes that share a name share a
 * size. An unusable axis or name gives rank -1. Locks the context. */
WG_API wg_shape wg_shape_symbol(wg_ctx *ctx, wg_shape shape, int axis, const char *name);

#ifdef __cplusplus
}
#endif
#endif
