/* A small function with its gradient, twice: recorded as a graph, and written in C by hand. Each
 * bench/small_NAME.c holds both and is compiled several times: once with the flags of this build,
 * where the graph is, and, as part of bench/small_hand.c, with more optimisation each time. */
#ifndef BENCH_SMALL_H
#define BENCH_SMALL_H

#include <stddef.h>
#include <stdint.h>
#include <wengert.h>

#ifndef SMALL_VARIANT
#define SMALL_VARIANT plain
#endif
#define SMALL_PASTE(name, variant) name##_##variant
#define SMALL_EXPAND(name, variant) SMALL_PASTE(name, variant)
/* The name of a hand-written function in this variant. */
#define SMALL_HAND(name) SMALL_EXPAND(name, SMALL_VARIANT)

/* The value at `in`, the model's inputs in their order; the gradient by input i goes to grad[i]
 * unless that input is data. Elements are of the model's dtype. */
typedef double (*small_hand)(const void *const *in, void *const *grad);

#define SMALL_DECLARE(name)                                                                        \
    double name##_plain(const void *const *in, void *const *grad);                                 \
    double name##_native(const void *const *in, void *const *grad);                                \
    double name##_fast(const void *const *in, void *const *grad);
SMALL_DECLARE(mixture)
SMALL_DECLARE(logistic)
SMALL_DECLARE(scalar20)
SMALL_DECLARE(rosenbrock)
SMALL_DECLARE(lstm32)
SMALL_DECLARE(lstm128)

enum { SMALL_VARIANTS = 3, SMALL_INPUTS = 8 };
#define SMALL_ALL(name)                                                                            \
    {                                                                                              \
        name##_plain, name##_native, name##_fast                                                   \
    }

enum {
    SMALL_DATA = 1, /* no gradient is asked for */
    SMALL_ONCE = 2, /* bound before timing; the others are bound before each run, as new points */
    SMALL_BITS = 4  /* elements are 0 or 1 */
};

typedef struct small_input {
    const char *name;
    int flags;
    size_t rank;
    int64_t dim[2];
    double scale, shift; /* elements: scale * u + shift, u uniform on [-1, 1) */
} small_input;

typedef struct small_model {
    const char *name;
    wg_dtype dtype;
    double tolerance; /* of value and gradient against each other, relative */
    small_input inputs[SMALL_INPUTS];
    wg_var (*graph)(const wg_var *in); /* the value, rank 0 */
    small_hand hand[SMALL_VARIANTS];
} small_model;

extern const small_model small_mixture, small_logistic, small_scalar20, small_rosenbrock,
    small_lstm32, small_lstm128;

#endif
