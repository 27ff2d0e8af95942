/* Owned dense tensors. */
#include <math.h>
#include <string.h>

#include "tensor/tensor.h"

static void fill(wg_tensor *t, int64_t count, const void *data)
{
    if (!data)
        memset(t->data, 0, t->bytes);
    else if (t->type.dtype == WG_BOOL) /* any non-zero byte is true */
        for (int64_t i = 0; i < count; i++)
            ((uint8_t *)t->data)[i] = ((const uint8_t *)data)[i] != 0;
    else if (t->bytes)
        memcpy(t->data, data, t->bytes);
}

wg_tensor *wg_tensor_new(wg_ctx *ctx, wg_dtype dtype, wg_shape shape, const void *data)
{
    int64_t count;
    size_t bytes;
    if (!ctx || !wg__shape_ok(&shape, dtype, &count, &bytes))
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
    fill(t, count, data);
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
