/* What ops/ may include of src: the op contract and the shape of a family. */
#ifndef WG_TAPE_OP_H
#define WG_TAPE_OP_H

#include <wengert/op.h>

/* A family is one file in ops/: a static table of ops, exported under this type. */
typedef struct wg__family {
    const wg_op *ops;
    size_t count;
} wg__family;

/* Defined in ops/builtin.c, which is generated from ops/local.mk: all families in order. */
extern const wg__family *const wg__builtin[];
extern const size_t wg__builtin_count;

#endif
