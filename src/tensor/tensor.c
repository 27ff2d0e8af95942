/* Owned dense tensors. */
#include <math.h>
#include <string.h>

#include "tensor/tensor.h"

void wg__copy_elements(const wg_type *type, void *to, const void *from)
{
    size_t bytes = wg__type_bytes(type);
    if (type->dtype == WG_BOOL)
        for (size_t i = 0; i < bytes; i++)
            ((uint8_t *)to)[i] = ((const uint8_t *)from)[i] != 0;
    else if (bytes)
        memcpy(to, from, bytes);
}

wg_tensor *wg_tensor_new(wg_ctx *ctx, wg_dtype dtype, wg_shape shape, const void *data)
{
    size_t bytes;
    if (!ctx || !wg__shape_ok(&shape, dtype, NULL, &bytes))
        return NULL;
    wg_tensor *t = wg__calloc(ctx, 1, sizeof *t);
    if (!t || !(t->data = wg__alloc_aligned(ctx, bytes))) {
        wg__free(ctx, t);
        return NULL;
    }
    t->ctx = ctx;
    wg__ctx_ref(ctx);
    t->bytes = bytes;
    wg__type_canonical(&(wg_type){dtype, shape}, &t->type);
    if (data)
        wg__copy_elements(&t->type, t->data, data);
    else
        memset(t->data, 0, bytes);
    return t;
}

void wg_tensor_free(wg_tensor *tensor)
{
    if (!tensor)
        return;
    wg_ctx *ctx = tensor->ctx;
    wg__free_aligned(ctx, tensor->data);
    wg__free(ctx, tensor);
    wg__ctx_unref(ctx);
}

wg_type wg_tensor_type(const wg_tensor *tensor)
{
    return tensor ? tensor->type : (wg_type){.shape = {.rank = -1}};
}

const void *wg_tensor_data(const wg_tensor *tensor) { return tensor ? tensor->data : NULL; }

void *wg_tensor_data_mut(wg_tensor *tensor) { return tensor ? tensor->data : NULL; }

size_t wg_tensor_bytes(const wg_tensor *tensor) { return tensor ? tensor->bytes : 0; }

double wg_tensor_get(const wg_tensor *tensor, int64_t index)
{
    if (!tensor || index < 0 || index >= wg_shape_count(tensor->type.shape))
        return NAN;
    return wg__load(tensor->type.dtype, tensor->data, index);
}
