/* The registry: ops with their parsed signatures, by index and by name. */
#ifndef WG_TAPE_REGISTRY_H
#define WG_TAPE_REGISTRY_H

#include "base/ctx.h"
#include "base/pool.h"
#include "base/str.h"
#include "tape/op.h"

enum { WG__MAX_OPERANDS = 8, WG__MAX_ATTRS = 12, WG__MAX_OUTS = 8 };

typedef enum wg__class { WG__ANY, WG__FLOAT, WG__INT, WG__BOOLEAN, WG__NUM } wg__class;

/* Attribute slot: the canonical form of one attribute. Lists live behind the slots. */
typedef struct wg__slot {
    uint32_t kind; /* wg_attr_kind */
    int32_t count; /* of list elements; -1: all axes (before canonicalisation) */
    union {
        int64_t i;
        double f;
        uint64_t offset; /* of the list, in bytes from the start of the blob */
    } v;
} wg__slot;

typedef struct wg__attr_spec {
    const char *name;
    wg_attr_kind kind;
    bool required;
    wg_attr standard; /* the default, unless required */
} wg__attr_spec;

typedef struct wg__sig {
    char *text; /* owned; the names below point into it */
    const char *name;
    size_t nin; /* declared operands; the last may be starred */
    bool star;
    const char *in[WG__MAX_OPERANDS];
    wg__class cls[WG__MAX_OPERANDS];
    size_t nattrs;
    wg__attr_spec attrs[WG__MAX_ATTRS];
    size_t nout;
    bool star_out; /* the last declared output is starred */
    const char *out[WG__MAX_OUTS];
} wg__sig;

/* Parses a signature; false with a message (static or in `message`) when malformed. */
bool wg__sig_parse(wg_ctx *ctx, const char *text, wg__sig *sig, char *message, size_t size);
void wg__sig_free(wg_ctx *ctx, wg__sig *sig);

typedef struct wg__op {
    wg_op def; /* deep copy */
    wg__sig sig;
    const char *name;
    uint16_t index;
    int8_t
        same[WG_DTYPE_COUNT]; /* elementwise: output dtype if all operands share this one, or -1 */
} wg__op;

/* Indices of the ops that the core itself records; ops/core.c lists them first, in this order. */
enum {
    WG__OP_INPUT,
    WG__OP_PARAM,
    WG__OP_CONST,
    WG__OP_LITERAL,
    WG__OP_ASSIGN,
    WG__OP_STOP_GRADIENT,
    WG__OP_CALL,
    WG__OP_CHECKPOINT,
    WG__OP_SCAN,
    WG__OP_MAP,
    WG__OP_WHILE,
    WG__OP_COND,
    WG__OP_SWITCH,
    WG__OP_CUSTOM_VJP,
    WG__OP_CUSTOM_JVP
};

/* Whether an op keeps its promises to those that read its flags (include/wengert/op.h); WG_INVALID with
 * a message. */
wg_status wg__op_check(const wg__op *op, char *message, size_t size);

enum { WG__OP_CHUNK = 256, WG__OP_CHUNKS = 256 };
struct wg__registry {
    wg__op **chunk[WG__OP_CHUNKS]; /* WG__OP_CHUNK pointers each */
    atomic_size_t count;
    wg__pool names;  /* id - 1 is the op's index */
    wg__pool errors; /* messages handed out */
    char error[320]; /* the last one, under the lock */
};

/* No lock: ops are never moved nor removed. */
static inline const wg__op *wg__op_at(const wg_ctx *ctx, size_t index)
{
    return ctx->registry->chunk[index / WG__OP_CHUNK][index % WG__OP_CHUNK];
}
const wg__op *wg__op_find(const wg_ctx *ctx, const char *name);
/* The kernel for these dtypes, or NULL: the first row that fits. `out`: the node's outputs, or NULL
 * when they are not known yet (inference); then letters of outputs are not looked at. */
const wg_kernel *wg__op_kernel(const wg__op *op, const wg_type *const *in, size_t nin,
                               const wg_type *const *out);
/* The output dtype that a kernel row gives (for elementwise inference). */
wg_dtype wg__kernel_out(const wg_kernel *kernel, const wg_type *const *in, size_t nin);
/* Appends what dtypes the kernels take: "f32, f64". */
void wg__op_add_dtypes(const wg__op *op, wg__str *s);

#endif
