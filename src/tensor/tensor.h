/* Tensors, shapes, dimension symbols and numbers as text: what the rooms above use of them. */
#ifndef WG_TENSOR_TENSOR_H
#define WG_TENSOR_TENSOR_H

#include <wengert/tensor.h>
#include "base/ctx.h"
#include "base/str.h"

struct wg_tensor {
    wg_ctx *ctx; /* referenced */
    wg_type type;
    void *data; /* 64-byte aligned */
    size_t bytes;
};

/* Checks rank and sizes; *count the number of elements, *bytes with the dtype. False when
 * impossible (negative, overflow). */
bool wg__shape_ok(const wg_shape *s, wg_dtype dtype, int64_t *count, size_t *bytes);
/* The bytes of a value of this type; 0 when the type is not legal. */
size_t wg__type_bytes(const wg_type *type);
bool wg__type_equal(const wg_type *a, const wg_type *b); /* symbols are not compared */
/* Copies `type` with unused dims and padding zeroed, so that equal types are equal bytes. */
void wg__type_canonical(const wg_type *type, wg_type *out);
void wg__add_type(wg__str *s, wg_ctx *ctx, const wg_type *type);    /* f32[N=64, 784] */
void wg__add_shape(wg__str *s, wg_ctx *ctx, const wg_shape *shape); /* [N=64, 784] */

/* Copies all elements of a value of this type; any non-zero byte of a bool becomes 1. */
void wg__copy_elements(const wg_type *type, void *to, const void *from);
/* Element access by dtype; integers saturate as cast does. */
double wg__load(wg_dtype dtype, const void *data, int64_t index);
void wg__store(wg_dtype dtype, void *data, int64_t index, double value);
/* Shortest decimal that reads back to the same value: 0.1, 1e-08, inf, nan, -0. */
void wg__add_number(wg__str *s, wg_dtype dtype, const void *data, int64_t index);
/* Reads a number as wg__add_number writes it; false when it is not one or does not fit. */
bool wg__parse_number(wg_dtype dtype, const char *text, void *data, int64_t index);

/* ---- symbols ---------------------------------------------------------------------------------- */

/* Symbols are integer expressions over names, interned in the context: name, constant, a+b, a-b,
 * a*b, floor(a/b). 0 is "no symbol". Equal expressions after canonicalisation get equal ids. */
uint32_t wg__symbol_name(wg_ctx *ctx, const char *name); /* 0: not an identifier, or no memory */
uint32_t wg__symbol_const(wg_ctx *ctx, int64_t value);
/* False when the shape carries a symbol that is not one of the context's. */
bool wg__symbols_known(wg_ctx *ctx, const wg_shape *shape);
uint32_t wg__symbol_op(wg_ctx *ctx, char op, uint32_t a, uint32_t b);
/* A dimension: its size and its symbol (0: none, the constant `size`). */
typedef struct wg__dim {
    int64_t size;
    uint32_t symbol;
} wg__dim;
/* *out = the symbol of `a op b`; 0 when it is constant or too long to be kept. False when memory is
 * out. */
bool wg__symbol_dim(wg_ctx *ctx, wg__dim a, char op, wg__dim b, uint32_t *out);
/* The size it stands for under a binding of names; below 0 it is 0, as of a slice that leaves
 * nothing. False when a name is unbound or on overflow. */
typedef bool (*wg__symbol_lookup)(void *user, const char *name, int64_t *size);
bool wg__symbol_eval(wg_ctx *ctx, uint32_t symbol, wg__symbol_lookup lookup, void *user,
                     int64_t *out);
/* Its text, such as "N" or "2*N + 1"; and back (0 when malformed; *end after what was read). */
void wg__add_symbol(wg__str *s, wg_ctx *ctx, uint32_t symbol);
uint32_t wg__symbol_parse(wg_ctx *ctx, const char *text, const char **end);

#endif
