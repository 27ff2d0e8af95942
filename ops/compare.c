/* Comparisons, logic and tests: their results are bool, so derivatives end here.
 *
 * Comparisons are those of IEEE 754: with a NaN all are false but not_equal. */
#include "elementwise.h"

/* ---- kernels ---------------------------------------------------------------------------------- */

#define COMPARE(NAME, EXPR)                                                                        \
    LOOP2(NAME##_bool, uint8_t, uint8_t, EXPR)                                                     \
    LOOP2(NAME##_i32, int32_t, uint8_t, EXPR)                                                      \
    LOOP2(NAME##_i64, int64_t, uint8_t, EXPR)                                                      \
    LOOP2(NAME##_f32, float, uint8_t, EXPR)                                                        \
    LOOP2(NAME##_f64, double, uint8_t, EXPR)                                                       \
    static const wg_kernel NAME##_kernels[] = {                                                    \
        LOOP_ROW("ff->b", NAME##_f32, #EXPR),  LOOP_ROW("dd->b", NAME##_f64, #EXPR),               \
        LOOP_ROW("ii->b", NAME##_i32, #EXPR),  LOOP_ROW("ll->b", NAME##_i64, #EXPR),               \
        LOOP_ROW("bb->b", NAME##_bool, #EXPR),                                                     \
    }

#define LOGIC(NAME, EXPR)                                                                          \
    LOOP2(NAME##_bool, uint8_t, uint8_t, EXPR)                                                     \
    static const wg_kernel NAME##_kernels[] = {LOOP_ROW("bb->b", NAME##_bool, #EXPR)}

#define TEST(NAME, EXPR)                                                                           \
    LOOP1(NAME##_f32, float, uint8_t, EXPR)                                                        \
    LOOP1(NAME##_f64, double, uint8_t, EXPR)                                                       \
    static const wg_kernel NAME##_kernels[] = {                                                    \
        LOOP_ROW("f->b", NAME##_f32, #EXPR),                                                       \
        LOOP_ROW("d->b", NAME##_f64, #EXPR),                                                       \
    }

/* clang-format off */
COMPARE(equal, a == b);
COMPARE(not_equal, a != b);
COMPARE(less, a < b);
COMPARE(less_equal, a <= b);
COMPARE(greater, a > b);
COMPARE(greater_equal, a >= b);

LOGIC(logical_and, a && b);
LOGIC(logical_or, a || b);
LOGIC(logical_xor, !a != !b);

LOOP1(logical_not_bool, uint8_t, uint8_t, !a)
static const wg_kernel logical_not_kernels[] = {LOOP_ROW("b->b", logical_not_bool, "!a")};

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
