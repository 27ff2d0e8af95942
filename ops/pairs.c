/* Pairs of cheap elementwise ops as one block kernel: where the result of the first has no other use,
 * an executor may compute both at once and save a store and a load. Kernels are named by their
 * expressions, so the table serves any op with such a row.
 *
 * A pair computes what its two ops do, with the same rounding: nothing is contracted. */
#include "elementwise.h"

/* Of f32 and f64. The expression is in the first op's operands, then the second's other one. */
#define PAIR(NAME, N, EXPR)                                                                        \
    KERNEL(NAME##_f32, N, float, float, float, float, float, 0, EXPR)                              \
    KERNEL(NAME##_f64, N, double, double, double, double, double, 0, EXPR)

/* clang-format off */
PAIR(mul_add, 3, a * b + c)
PAIR(mul_sub, 3, a * b - c)
PAIR(sub_mul, 3, c - a * b)
PAIR(mul_mul, 3, a * b * c)
PAIR(add_add, 3, a + b + c)
PAIR(add_times, 3, (a + b) * c)
PAIR(sub_times, 3, (a - b) * c)
PAIR(sub_add, 3, a - b + c)
PAIR(sub_div, 3, (a - b) / c)
PAIR(square_add, 2, a * a + b)
PAIR(square_mul, 2, a * a * b)
PAIR(sub_square, 2, b - a * a)
PAIR(square_of_sub, 2, (a - b) * (a - b))
PAIR(relu_of_add, 2, SELECT(a + b < 0, 0, a + b))
PAIR(neg_of_mul, 2, -(a * b))

#define PAIR_ROW(FIRST, SECOND, AT, NAME)                                                          \
    {.first = FIRST, .second = SECOND, .at = AT,                                                   \
     .f32 = {WG_KERNEL, .loop = NAME##_f32_loop, .block = NAME##_f32_block},                       \
     .f64 = {WG_KERNEL, .loop = NAME##_f64_loop, .block = NAME##_f64_block}}

const wg__pair wg__pairs[] = {
    PAIR_ROW("a * b", "a + b", WG__EITHER, mul_add),
    PAIR_ROW("a * b", "a - b", 0, mul_sub),
    PAIR_ROW("a * b", "a - b", 1, sub_mul),
    PAIR_ROW("a * b", "a * b", WG__EITHER, mul_mul),
    PAIR_ROW("a + b", "a + b", WG__EITHER, add_add),
    PAIR_ROW("a + b", "a * b", WG__EITHER, add_times),
    PAIR_ROW("a - b", "a * b", WG__EITHER, sub_times),
    PAIR_ROW("a - b", "a + b", WG__EITHER, sub_add),
    PAIR_ROW("a - b", "a / b", 0, sub_div),
    PAIR_ROW("a * a", "a + b", WG__EITHER, square_add),
    PAIR_ROW("a * a", "a * b", WG__EITHER, square_mul),
    PAIR_ROW("a * a", "a - b", 1, sub_square),
    PAIR_ROW("a - b", "a * a", 0, square_of_sub),
    PAIR_ROW("a + b", "SELECT(a < 0, 0, a)", 0, relu_of_add),
    PAIR_ROW("a * b", "-a", 0, neg_of_mul),
};
/* clang-format on */

const size_t wg__npairs = sizeof wg__pairs / sizeof *wg__pairs;
