/* safetensors files (https://github.com/huggingface/safetensors, format of version 0.4): a header
 * length (u64, little-endian), a JSON header, the elements (little-endian, without holes). For the
 * rooms that keep named tensors. */
#ifndef WG_TENSOR_SAFETENSORS_H
#define WG_TENSOR_SAFETENSORS_H

#include "tensor/tensor.h"

typedef struct wg__named {
    char *name;        /* owned in a list */
    wg_tensor *tensor; /* owned in a list */
} wg__named;

typedef struct wg__named_list {
    WG__VEC(wg__named) items;
} wg__named_list;

void wg__named_free(wg_ctx *ctx, wg__named_list *list);

/* Writes the tensors to a new file beside `path`, then renames it to `path`: the file there is the
 * old one or the whole new one at any time. Names must differ. On failure the reason is appended to
 * `error`. */
wg_status wg__safetensors_write(wg_ctx *ctx, const char *path, const wg__named *items, size_t n,
                                wg__str *error);
/* Reads all tensors, in the order of their data. `list` starts zeroed; on failure it is empty and
 * the reason appended to `error`. Any file is safe to read; nothing is allocated that the file is
 * too small to fill. */
wg_status wg__safetensors_read(wg_ctx *ctx, const char *path, wg__named_list *list, wg__str *error);

#endif
