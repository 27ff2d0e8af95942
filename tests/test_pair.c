/* Pairs of ops as one kernel (ops/pairs.c): each is what its two ops are one after the other, to the
 * last bit, in every instruction set and for operands of every level; and loops find them. */
#include <check.h>
#include <stdlib.h>

#include "suite.h"
#include "loop_oracle.h"
#include "rng.h"
#include "tape/op.h"

enum { MOST = 4096 };

/* The row of the op with this expression for operands of one dtype. */
static const wg_kernel *kernel_with(const wg_ctx *ctx, const char *expr, char letter)
{
    static const char *const ops[] = {"add", "sub", "mul", "div", "neg", "square", "relu"};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        const wg_op *op = wg_op_find(ctx, ops[i]);
        for (size_t k = 0; k < op->nkernels; k++)
            if (op->kernels[k].types[0] == letter && !strcmp(op->kernels[k].expr, expr))
                return &op->kernels[k];
    }
    ck_abort_msg("no op is %s", expr);
    return NULL;
}

/* How many operands an expression has. */
static size_t operands(const char *expr) { return strchr(expr, 'b') ? 2 : 1; }

typedef struct space {
    int64_t rows, cols;
    unsigned levels[3]; /* of operands: bit 0: along columns, bit 1: along rows */
} space;

static wg__loop_mem memory(const space *s, uint32_t slot, wg_dtype dtype, unsigned level)
{
    const ptrdiff_t size = (ptrdiff_t)wg_dtype_size(dtype);
    const ptrdiff_t along = level & 1 ? (ptrdiff_t)s->cols : 1;
    return (wg__loop_mem){.slot = slot,
                          .dtype = dtype,
                          .col = level & 1 ? size : 0,
                          .outer = {level & 2 ? size * along : 0}};
}

/* The pair from slots 0 to 2 to slot 3; `apart`: the first op's result is stored, too, to slot 4, which
 * keeps the two apart. */
static wg__loop *build(wg_ctx *ctx, const wg__pair *p, const space *s, wg_dtype dtype, int isa,
                       unsigned at, bool apart)
{
    const char letter = dtype == WG_F32 ? 'f' : 'd';
    const size_t n1 = operands(p->first), n2 = operands(p->second);
    const wg__loop_mem to = memory(s, 3, dtype, 3), also = memory(s, 4, dtype, 3);
    wg__loop_builder *b = wg__loop_begin(ctx, &s->rows, 1, s->cols, isa);
    wg__reg x[3], in[2];
    for (uint32_t i = 0; i < n1 + n2 - 1; i++) {
        const wg__loop_mem m = memory(s, i, dtype, s->levels[i]);
        x[i] = wg__loop_load(b, &m);
    }
    const wg_kernel *first = kernel_with(ctx, p->first, letter);
    in[at] = wg__loop_apply(b, first, x, n1, dtype, NULL, 0, NULL);
    const wg__reg between = in[at];
    if (n2 == 2)
        in[1 - at] = x[n1];
    const wg_kernel *second = kernel_with(ctx, p->second, letter);
    wg__loop_store(b, wg__loop_apply(b, second, in, n2, dtype, NULL, 0, NULL), &to);
    if (apart)
        wg__loop_store(b, between, &also);
    return wg__loop_end(b, NULL);
}

static void fill(char *to, wg_dtype dtype, rng *r)
{
    static const double special[] = {0, -0.0, 1, -1, INFINITY, -INFINITY, NAN, 1e-310, 3e38};
    for (size_t i = 0; i < MOST; i++) {
        double v = 4 * rng_unit(r) - 2;
        if (rng_int(r, 0, 15) == 0)
            v = special[rng_int(r, 0, sizeof special / sizeof *special - 1)];
        element_set(dtype, to + i * wg_dtype_size(dtype), v);
    }
}

static void compare(const wg__pair *p, wg_dtype dtype, const char *one, const char *two)
{
    const size_t size = wg_dtype_size(dtype);
    for (size_t i = 0; i < MOST; i++) {
        const char *a = one + i * size, *b = two + i * size;
        double x = element_get(dtype, a), y = element_get(dtype, b);
        ck_assert_msg(!memcmp(a, b, size) || (isnan(x) && isnan(y)),
                      "%s, then %s: element %zu is %.17g, not %.17g", p->first, p->second, i, x, y);
    }
}

/* Returns whether the pair took fewer instructions. */
static bool check_pair(wg_ctx *ctx, const wg__pair *p, const space *s, wg_dtype dtype, int isa,
                       unsigned at, rng *r)
{
    char *slots[6];
    for (int i = 0; i < 6; i++) {
        slots[i] = calloc(MOST, 8);
        if (i < 3)
            fill(slots[i], dtype, r);
    }
    wg__loop *one = build(ctx, p, s, dtype, isa, at, false);
    wg__loop *two = build(ctx, p, s, dtype, isa, at, true);
    char *apart[] = {slots[0], slots[1], slots[2], slots[5], slots[4]};
    wg__loop_fault why;
    ck_assert(one && two);
    ck_assert(run_tiles(one, slots, false, &why) && run_tiles(two, apart, false, &why));
    compare(p, dtype, slots[3], slots[5]);
    ck_assert_double_eq(wg__loop_flops(one), wg__loop_flops(two));
    const bool shorter = wg__loop_length(one) < wg__loop_length(two);
    wg__loop_free(ctx, one);
    wg__loop_free(ctx, two);
    for (int i = 0; i < 6; i++)
        free(slots[i]);
    return shorter;
}

START_TEST(a_pair_is_its_two_ops)
{
    static const int64_t shapes[][2] = {{1, 1000}, {40, 96}, {70, 3}, {129, 16}, {5, 7}};
    const wg__pair *p = &wg__pairs[_i];
    wg_ctx *ctx = wg_ctx_new(NULL);
    rng r = rng_make((uint64_t)_i + 1);
    for (int isa = 0; isa <= best_isa(); isa++)
        for (unsigned levels = 0; levels < 64; levels++) {
            const space s = {shapes[levels % 5][0],
                             shapes[levels % 5][1],
                             {levels & 3, levels >> 2 & 3, levels >> 4}};
            for (unsigned at = 0; at < operands(p->second); at++)
                if (p->at == WG__EITHER || p->at == at)
                    for (int wide = 0; wide < 2; wide++) {
                        bool shorter = check_pair(ctx, p, &s, wide ? WG_F64 : WG_F32, isa, at, &r);
                        ck_assert(shorter || levels != 63);
                    }
        }
    wg_ctx_free(ctx);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("pair");
    TCase *t = tcase_create("pair");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, a_pair_is_its_two_ops, 0, (int)wg__npairs);
    suite_add_tcase(s, t);
    return s;
}

int main(void) { return run_suite(suite()); }
