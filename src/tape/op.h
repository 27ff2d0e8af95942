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

/* Two elementwise kernels, known by their expressions, as one: operand `at` of the second is the
 * result of the first. Operands are the first's, then the second's other one. */
typedef struct wg__pair {
    const char *first, *second;
    unsigned at;        /* WG__EITHER: of two, either */
    wg_kernel f32, f64; /* loop and block alone */
} wg__pair;
#define WG__EITHER 2u

/* Defined in ops/pairs.c. */
extern const wg__pair wg__pairs[];
extern const size_t wg__npairs;

#endif
