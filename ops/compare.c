/* Comparisons, logic and tests: their results are bool, so derivatives end here.
 *
 * Comparisons are those of IEEE 754: with a NaN all are false but not_equal. */
#include "elementwise.h"

/* ---- kernels ---------------------------------------------------------------------------------- */

/* N operands of type A. */
#define TO_BOOL(NAME, N, A, EXPR) KERNEL(NAME, N, A, A, A, uint8_t, A, 0, EXPR)

#define COMPARE(NAME, EXPR)                                                                        \
    TO_BOOL(NAME##_bool, 2, uint8_t, EXPR)                                                         \
    TO_BOOL(NAME##_i32, 2, int32_t, EXPR)                                                          \
    TO_BOOL(NAME##_i64, 2, int64_t, EXPR)                                                          \
    TO_BOOL(NAME##_f32, 2, float, EXPR)                                                            \
    TO_BOOL(NAME##_f64, 2, double, EXPR)                                                           \
    static const wg_kernel NAME##_kernels[] = {                                                    \
        BLOCK_ROW("ff->b", NAME##_f32, #EXPR),  BLOCK_ROW("dd->b", NAME##_f64, #EXPR),             \
        BLOCK_ROW("ii->b", NAME##_i32, #EXPR),  BLOCK_ROW("ll->b", NAME##_i64, #EXPR),             \
        BLOCK_ROW("bb->b", NAME##_bool, #EXPR),                                                    \
    }

#define LOGIC(NAME, N, TYPES, EXPR)                                                                \
    TO_BOOL(NAME##_bool, N, uint8_t, EXPR)                                                         \
    static const wg_kernel NAME##_kernels[] = {BLOCK_ROW(TYPES, NAME##_bool, #EXPR)}

#define TEST(NAME, EXPR)                                                                           \
    TO_BOOL(NAME##_f32, 1, float, EXPR)                                                            \
    TO_BOOL(NAME##_f64, 1, double, EXPR)                                                           \
    static const wg_kernel NAME##_kernels[] = {                                                    \
        BLOCK_ROW("f->b", NAME##_f32, #EXPR),                                                      \
        BLOCK_ROW("d->b", NAME##_f64, #EXPR),                                                      \
    }

/* clang-format off */
COMPARE(equal, a == b);
COMPARE(not_equal, a != b);
COMPARE(less, a < b);
COMPARE(less_equal, a <= b);
COMPARE(greater, a > b);
COMPARE(greater_equal, a >= b);

LOGIC(logical_and, 2, "bb->b", (a != 0) & (b != 0));
LOGIC(logical_or, 2, "bb->b", (a != 0) | (b != 0));
LOGIC(logical_xor, 2, "bb->b", (a != 0) ^ (b != 0));
LOGIC(logical_not, 1, "b->b", a == 0);

TEST(is_nan, a != a);
TEST(is_finite, a - a == 0);
/* clang-format on */

/* ---- the table -------------------------------------------------------------------------------- */

/* clang-format off */
static const wg_op ops[] = {
    {WG_OP, .sig = "equal(a, b) -> y",
     .doc = "True where a == b, for any one dtype; a NaN equals nothing.",
     .flags = WG_OP_ELEMENTWISE | WG_OP_COMMUTATIVE, KERNELS(equal)},
    {WG_OP, .sig = "not_equal(a, b) -> y",
     .doc = "True where a != b, for any one dtype; a NaN differs from everything.",
     .flags = WG_OP_ELEMENTWISE | WG_OP_COMMUTATIVE, KERNELS(not_equal)},
    {WG_OP, .sig = "less(a, b) -> y",
     .doc = "True where a < b, for any one dtype; false with a NaN; false is less than true.",
     .flags = WG_OP_ELEMENTWISE, KERNELS(less)},
    {WG_OP, .sig = "less_equal(a, b) -> y",
     .doc = "True where a <= b, for any one dtype; false with a NaN.",
     .flags = WG_OP_ELEMENTWISE, KERNELS(less_equal)},
    {WG_OP, .sig = "greater(a, b) -> y",
     .doc = "True where a > b, for any one dtype; false with a NaN.",
     .flags = WG_OP_ELEMENTWISE, KERNELS(greater)},
    {WG_OP, .sig = "greater_equal(a, b) -> y",
     .doc = "True where a >= b, for any one dtype; false with a NaN.",
     .flags = WG_OP_ELEMENTWISE, KERNELS(greater_equal)},
    {WG_OP, .sig = "logical_and(a: bool, b: bool) -> y",
     .doc = "True where both are true.",
     .flags = WG_OP_ELEMENTWISE | WG_OP_COMMUTATIVE, KERNELS(logical_and)},
    {WG_OP, .sig = "logical_or(a: bool, b: bool) -> y",
     .doc = "True where one or both are true.",
     .flags = WG_OP_ELEMENTWISE | WG_OP_COMMUTATIVE, KERNELS(logical_or)},
    {WG_OP, .sig = "logical_xor(a: bool, b: bool) -> y",
     .doc = "True where just one is true.",
     .flags = WG_OP_ELEMENTWISE | WG_OP_COMMUTATIVE, KERNELS(logical_xor)},
    {WG_OP, .sig = "logical_not(x: bool) -> y",
     .doc = "True where x is false.",
     .flags = WG_OP_ELEMENTWISE, KERNELS(logical_not)},
    {WG_OP, .sig = "isnan(x: float) -> y",
     .doc = "True where x is NaN.",
     .flags = WG_OP_ELEMENTWISE, KERNELS(is_nan)},
    {WG_OP, .sig = "isfinite(x: float) -> y",
     .doc = "True where x is neither infinite nor NaN.",
     .flags = WG_OP_ELEMENTWISE, KERNELS(is_finite)},
};
/* clang-format on */

const wg__family wg__ops_compare = {ops, sizeof ops / sizeof *ops};
