/* The gradient checker: derivatives against central differences in f64, VJP against JVP, second
 * order; and mutants, which check the checker. NaN never passes.
 *
 * What it does not see: wrong forward values that agree with their own derivative (compare those
 * with an independent source), orders above the second, values outside the ranges it draws from,
 * and an error in one element that drowns in the rounding of a large sum. */
#ifndef WENGERT_CHECK_H
#define WENGERT_CHECK_H

#include <wengert/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum wg_check_verdict {
    WG_CHECK_PASSED,
    WG_CHECK_FAILED,     /* a derivative is wrong, or NaN */
    WG_CHECK_UNRESOLVED, /* finite differences could not decide (noise, kinks everywhere) */
    WG_CHECK_ERROR       /* the graph could not be differentiated or run: see message */
} wg_check_verdict;

typedef struct wg_gradcheck_options {
    size_t struct_size;
    uint64_t seed;
    double rtol;        /* 0: 1e-6, on top of the estimated error of the differences */
    double atol;        /* 0: 1e-9 */
    int order;          /* highest order: 1 or 2; 0: 2 */
    int64_t exhaustive; /* operands up to this many elements are checked one by one; larger ones
                             along random directions; 0: 64 */
    int directions;     /* random directions and cotangents per operand, at most 4096; 0: 4 */
    /* Values of the inputs and params to be checked at: called per input and point with its name
     * and element count; fills `x` (integers are rounded). NULL: floats are drawn from [-2, 2], or
     * from the op's intervals; params with a random initialiser from its interval if that is uniform,
     * else, if they are matrices, from +-sqrt(6 / (rows + columns)), so that deep and recurrent models
     * neither saturate nor explode; where that gives NaN, all from [0.1, 2], [-0.5, 0.5], [0.1, 0.9], [1.1, 3];
     * integers and bools are 0 and 1, or 0 when the graph does not run with them. */
    void (*sample)(void *user, const char *name, size_t count, double *x);
    void *user;
    const char *executor; /* that computes all values; NULL: "reference" */
} wg_gradcheck_options;
#define WG_GRADCHECK_DEFAULTS                                                                      \
    {                                                                                              \
        sizeof(wg_gradcheck_options), 1, 0, 0, 0, 0, 0, NULL, NULL, NULL                           \
    }

/* What was found; the worst element over all that was compared. */
typedef struct wg_check_report {
    wg_check_verdict verdict;
    int64_t compared; /* derivatives compared */
    int64_t kinks;    /* points left out because a kink was within reach of the differences */
    char what[32];    /* of the worst: "vjp", "jvp", "vjp.jvp" (one against the other), "second",
                         "linearity", "zero cotangent", "accumulation", ... */
    char operand[64]; /* its input or param; "(all)" when all move together */
    int64_t element;  /* its element, or -1 for a random direction */
    double expected;  /* finite difference (or the identity's other side) */
    double actual;    /* the graph's derivative */
    double error;     /* |expected - actual| over the tolerance there; > 1 fails, and inf for NaN */
    double step;      /* step size of the difference */
    char message[256];
} wg_check_report;

/* Checks the derivatives of `outs` (those that are float) with respect to the float inputs and
 * params in `xs` (nxs 0: all that the outputs need), to first order and, as functions themselves,
 * to second. The tape is copied and brought to f64 first; it is not changed. Differences hold what
 * stop_gradient holds. Each derivative must agree at a point where the differences decide: a point
 * at a kink, or where rounding drowns them, is left for another; when none decides, the verdict is
 * WG_CHECK_UNRESOLVED. What holds a stop_gradient in a sub-tape is compared VJP against JVP only,
 * and the message says so. Several outputs are checked together, then each alone. Returns WG_OK when the check could be done, whatever the verdict. */
WG_API wg_status wg_gradcheck(const wg_tape *tape, const wg_var *outs, size_t nouts,
                              const wg_var *xs, size_t nxs, const wg_gradcheck_options *options,
                              wg_check_report *report);

/* Checks a registered op on its test graphs (wg_op_check.cases; elementwise ops on generated
 * ones); of an elementwise op also the f32 loop against the f64 one, within wg_op_check.ulps. */
WG_API wg_status wg_gradcheck_op(wg_ctx *ctx, const char *op, const wg_gradcheck_options *options,
                                 wg_check_report *report);

/* Breaks `op` on purpose, in each of the ways that apply, and checks it: calls `found` once per
 * mutant with its name and whether the checker noticed. Broken are the answers of its rules and
 * partials, the graph that they record, and the values of its kernels: negated, scaled, shifted,
 * transposed, reversed, rolled, exchanged, a term dropped, zeroed, NaN. Values shifted by a
 * constant are left to tests against other values: no derivative tells them. What computes the
 * same, bit for bit, is no mutant. WG_INVALID when the op itself does not pass. */
typedef void (*wg_mutant_fn)(void *user, const char *op, const char *mutant, bool caught,
                             const wg_check_report *report);
WG_API wg_status wg_mutate_op(wg_ctx *ctx, const char *op, const wg_gradcheck_options *options,
                              wg_mutant_fn found, void *user);

#ifdef __cplusplus
}
#endif
#endif
