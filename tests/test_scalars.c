/* Scalars: random graphs of every shape, over test kernels whose results are exact and over all
 * elementwise ops of the registry, hold what evaluating node by node gives; nothing outside their
 * memory is touched; whichever allocation fails, it is reported. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/isa.h"
#include "fault.h"
#include "rng.h"
#include "scalar_ops.h"
#include "suite.h"
#include "tape/registry.h"
#include "vm/scalars.h"

/* ---- graphs --------------------------------------------------------------------------------------- */

static wg_dtype dtype_of(char letter)
{
#define LETTER(code, name, ctype, c) c,
    static const char letters[] = {WG_DTYPE_LIST(LETTER) 0};
    return (wg_dtype)(strchr(letters, letter) - letters);
}

enum { OUTERS = 64 }; /* of each dtype, in two arrays: slots 2 d and 2 d + 1 */
enum { GUARD = 64 };

typedef struct graph {
    const drawn *ops;
    size_t nops, nodes;
    uint32_t *op, *ins; /* ins[8 i + k]: a node, or OUTERS' number with the top bit */
    char *slots[2 * WG_DTYPE_COUNT];
    wg__scalar outer[WG_DTYPE_COUNT * OUTERS], *id;
    uint64_t *at;
} graph;
#define IS_OUTER 0x80000000u

/* How operands are drawn: from the last `window` nodes; 0: all. Every `sparse`-th is an outer one. */
typedef struct shape {
    const char *name;
    size_t nodes, window, sparse;
    size_t nops; /* the first of the test's ops */
    bool layers; /* whole layers of one op, each on neighbours in the layer before */
} shape;

static void fill_outer(rng *r, graph *g)
{
    for (int d = 0; d < WG_DTYPE_COUNT; d++)
        for (int half = 0; half < 2; half++) {
            const size_t size = wg_dtype_size((wg_dtype)d);
            char *a = g->slots[2 * d + half] = malloc(OUTERS / 2 * size);
            for (int i = 0; i < OUTERS / 2; i++) {
                const double x = 2 * rng_unit(r) - 1;
                const union {
                    uint8_t b;
                    int32_t i;
                    int64_t l;
                    float f;
                    double d;
                } u[] = {{.b = x > 0},
                         {.i = (int32_t)(9 * x)},
                         {.l = (int64_t)(9 * x)},
                         {.f = (float)x},
                         {.d = x}};
                memcpy(a + (size_t)i * size, &u[d], size);
            }
        }
}

/* A value of this dtype: among a few drawn nodes, else an outer one. */
static uint32_t draw_operand(rng *r, const graph *g, const shape *s, size_t i, wg_dtype dtype)
{
    const size_t window = s->window && s->window < i ? s->window : i;
    for (int tries = 0; window && tries < 8 && rng_next(r) % s->sparse; tries++) {
        const size_t j = i - 1 - rng_next(r) % window;
        if (dtype_of(g->ops[g->op[j]].out) == dtype)
            return (uint32_t)j;
    }
    return IS_OUTER | (uint32_t)((size_t)dtype * OUTERS + rng_next(r) % OUTERS);
}

enum { LAYER = 600 };
static uint32_t layer_operand(const graph *g, size_t i, size_t k, wg_dtype dtype)
{
    if (k == 1 && i / LAYER % 3 == 0) /* the same for all: an outer one */
        return IS_OUTER | (uint32_t)((size_t)dtype * OUTERS + i / LAYER % OUTERS);
    const size_t j = i - LAYER + k;
    if (i >= LAYER && j < i / LAYER * LAYER && dtype_of(g->ops[g->op[j]].out) == dtype)
        return (uint32_t)j;
    return IS_OUTER | (uint32_t)((size_t)dtype * OUTERS + (i + k) % OUTERS);
}

static void graph_make(graph *g, rng *r, const drawn *ops, size_t nops, const shape *s)
{
    *g = (graph){.ops = ops, .nops = nops, .nodes = s->nodes};
    g->op = calloc(s->nodes + 1, sizeof *g->op);
    g->ins = calloc(s->nodes + 1, 8 * sizeof *g->ins);
    g->id = calloc(s->nodes + 1, sizeof *g->id);
    g->at = calloc(s->nodes + 1, sizeof *g->at);
    fill_outer(r, g);
    for (size_t i = 0; i < s->nodes; i++) {
        g->op[i] = (uint32_t)(s->layers ? i / LAYER % nops : rng_next(r) % nops);
        const char *in = ops[g->op[i]].in;
        for (size_t k = 0; in[k]; k++)
            g->ins[8 * i + k] = s->layers ? layer_operand(g, i, k, dtype_of(in[k]))
                                          : draw_operand(r, g, s, i, dtype_of(in[k]));
    }
}

static void graph_free(graph *g)
{
    for (int k = 0; k < 2 * WG_DTYPE_COUNT; k++)
        free(g->slots[k]);
    free(g->op), free(g->ins), free(g->id), free(g->at);
}

/* The element of outer value number `o` (without the top bit). */
static ptrdiff_t outer_offset(uint32_t o)
{
    return (ptrdiff_t)(o % (OUTERS / 2) * wg_dtype_size((wg_dtype)(o / OUTERS)));
}

static wg__scalars *graph_build(wg_ctx *ctx, graph *g, size_t expected, int isa)
{
    wg__scalars_builder *b = wg__scalars_begin(ctx, expected, isa);
    if (!b)
        return NULL;
    for (uint32_t o = 0; o < WG_DTYPE_COUNT * OUTERS; o++)
        g->outer[o] =
            wg__scalars_outer(b, o / (OUTERS / 2), outer_offset(o), (wg_dtype)(o / OUTERS));
    for (size_t i = 0; i < g->nodes; i++) {
        const drawn *d = &g->ops[g->op[i]];
        wg__scalar in[8];
        const size_t nin = strlen(d->in);
        for (size_t k = 0; k < nin; k++) {
            const uint32_t from = g->ins[8 * i + k];
            in[k] = from & IS_OUTER ? g->outer[from & ~IS_OUTER] : g->id[from];
        }
        double attrs[WG__MAX_ATTRS]; /* copied by the builder */
        memcpy(attrs, d->attrs, sizeof attrs);
        g->id[i] = wg__scalars_node(b, &d->kernel, in, nin, dtype_of(d->out),
                                    d->nattrs ? attrs : NULL, d->nattrs, d->user);
    }
    return wg__scalars_end(b, g->at);
}

/* ---- running and comparing ------------------------------------------------------------------------ */

/* Memory between guards, which must come back as they were. */
static char *guarded(size_t size)
{
    char *p = aligned_alloc(64, 2 * GUARD + (size + 63) / 64 * 64);
    memset(p, 0xa5, 2 * GUARD + size);
    return p + GUARD;
}

static void check_guards(char *p, size_t size)
{
    for (int i = 0; i < GUARD; i++) {
        ck_assert_int_eq((unsigned char)p[i - GUARD], 0xa5);
        ck_assert_int_eq((unsigned char)p[(ptrdiff_t)size + i], 0xa5);
    }
    free(p - GUARD);
}

static double number(wg_dtype dtype, const char *p)
{
    union {
        uint8_t b;
        int32_t i;
        int64_t l;
        float f;
        double d;
    } u;
    memcpy(&u, p, wg_dtype_size(dtype));
    switch (dtype) {
    case WG_BOOL:
        return u.b;
    case WG_I32:
        return u.i;
    case WG_I64:
        return (double)u.l;
    case WG_F32:
        return (double)u.f;
    default:
        return u.d;
    }
}

static bool close_to(wg_dtype dtype, double got, double want, double ulps)
{
    if (got == want || (isnan(got) && isnan(want)))
        return true;
    const double unit = dtype == WG_F32 ? 0x1p-23 : 0x1p-52;
    const double tiny = dtype == WG_F32 ? 0x1p-126 : 0x1p-1022;
    return wg_dtype_is_float(dtype) && fabs(got - want) <= ulps * fmax(unit * fabs(want), tiny);
}

/* Every node is what its op's loop makes of the values of its operands: those that the run left, so
 * that errors do not add up; with ulps 0 this is evaluation from the outer values on. */
static void check_nodes(const graph *g, char *values, const char *what)
{
    static const ptrdiff_t zero[9] = {0};
    for (size_t i = 0; i < g->nodes; i++) {
        const drawn *d = &g->ops[g->op[i]];
        const size_t nin = strlen(d->in);
        char *data[9];
        for (size_t k = 0; k < nin; k++) {
            const uint32_t from = g->ins[8 * i + k], o = from & ~IS_OUTER;
            data[k] = from & IS_OUTER ? g->slots[o / (OUTERS / 2)] + outer_offset(o)
                                      : values + g->at[from];
        }
        double want = 0;
        data[nin] = (char *)&want;
        d->kernel.loop(1, data, zero, d->attrs, d->user);
        const wg_dtype dtype = dtype_of(d->out);
        const double x = number(dtype, values + g->at[i]), y = number(dtype, (char *)&want);
        ck_assert_msg(close_to(dtype, x, y, d->ulps), "%s: node %zu (%s%s): %.17g, not %.17g", what,
                      i, d->kernel.types, d->in, x, y);
    }
}

/* No two nodes share memory, and all of it lies within the values. */
static void check_places(const graph *g, size_t bytes)
{
    char *taken = calloc(bytes + 1, 1);
    for (size_t i = 0; i < g->nodes; i++) {
        const size_t size = wg_dtype_size(dtype_of(g->ops[g->op[i]].out));
        ck_assert_uint_le(g->at[i] + size, bytes);
        ck_assert_uint_eq(g->at[i] % size, 0);
        for (size_t k = 0; k < size; k++)
            ck_assert_int_eq(taken[g->at[i] + k]++, 0);
    }
    free(taken);
}

static void check_graph(wg_ctx *ctx, graph *g, int isa, const char *what)
{
    wg__scalars *s = graph_build(ctx, g, isa ? g->nodes : 0, isa);
    ck_assert_ptr_nonnull(s);
    const size_t bytes = wg__scalars_bytes(s), scratch = wg__scalars_scratch(s);
    ck_assert_uint_eq(bytes % 64, 0);
    ck_assert_uint_eq(wg__scalars_count(s), g->nodes);
    check_places(g, bytes);
    char *values = guarded(bytes), *room = guarded(scratch);
    for (int again = 0; again < 2; again++) { /* a run leaves nothing that the next one minds */
        wg__scalars_run(s, g->slots, values, room);
        check_nodes(g, values, what);
    }
    check_guards(values, bytes);
    check_guards(room, scratch);
    wg__scalars_free(ctx, s);
}

static void check_shape(const drawn *ops, size_t nops, const shape *s, uint64_t seed)
{
    wg_ctx *ctx = wg__ctx_new_bare(NULL);
    rng r = rng_make(seed);
    graph g;
    graph_make(&g, &r, ops, nops, s);
    for (int isa = 0; isa <= wg__isa_best(); isa++) {
        char what[80];
        snprintf(what, sizeof what, "%s, seed %d, isa %d", s->name, (int)seed, isa);
        check_graph(ctx, &g, isa, what);
    }
    graph_free(&g);
    wg_ctx_free(ctx);
}

static const shape shapes[] = {
    {"empty", 0, 0, 8, TEST_OPS, false},
    {"one", 1, 0, 8, TEST_OPS, false},
    {"ten", 10, 0, 8, TEST_OPS, false},
    {"small", 300, 0, 8, TEST_OPS, false},
    {"wide", 100000, 0, 8, TEST_OPS, false},
    {"wide f64", 100000, 0, 8, 3, false},
    {"independent", 20000, 1, 1, TEST_OPS, false},
    {"local", 100000, 1000, 8, TEST_OPS, false},
    {"narrow", 20000, 12, 20, TEST_OPS, false},
    {"narrow f64", 20000, 5, 20, 3, false},
    {"chain", 20000, 1, 200, 3, false},
    {"chain of one op", 20000, 1, 20000, 1, false},
    {"layers", 40000, 0, 1, TEST_OPS, true},
    {"layers of f64", 40000, 0, 1, 3, true},
};

START_TEST(equals_the_loops)
{
    const shape *s = &shapes[_i];
    for (uint64_t seed = 0; seed < (s->nodes < 1000 ? 20 : 1); seed++)
        check_shape(test_ops, s->nops, s, seed);
}
END_TEST

/* ---- the registry --------------------------------------------------------------------------------- */

/* Attributes as loops take them: defaults, 0.5 for what has none. */
static size_t draw_attrs(const wg__op *op, double *out)
{
    size_t n = 0;
    for (size_t i = 0; i < op->sig.nattrs; i++) {
        const wg__attr_spec *a = &op->sig.attrs[i];
        if (a->kind == WG_ATTR_FLOAT)
            out[n++] = a->required ? 0.5 : a->standard.v.f;
        else if (a->kind == WG_ATTR_INT || a->kind == WG_ATTR_BOOL || a->kind == WG_ATTR_DTYPE ||
                 a->kind == WG_ATTR_AXIS)
            out[n++] = a->required ? 1 : (double)a->standard.v.i;
    }
    return n;
}

/* All rows of elementwise ops with a loop, by dtype letters. */
static size_t registry_ops(const wg_ctx *ctx, drawn *ops, size_t room)
{
    size_t n = 0;
    for (size_t i = 0; i < wg_op_count(ctx); i++) {
        const wg__op *op = wg__op_at(ctx, i);
        for (size_t k = 0; k < op->def.nkernels && op->def.flags & WG_OP_ELEMENTWISE; k++) {
            const wg_kernel *row = &op->def.kernels[k];
            const char *arrow = strstr(row->types, "->");
            if (!row->loop || strpbrk(row->types, "*?"))
                continue;
            ck_assert_uint_lt(n, room);
            drawn *d = &ops[n++];
            *d = (drawn){.kernel = *row, .out = arrow[2], .user = op->def.data};
            memcpy(d->in, row->types, (size_t)(arrow - row->types));
            d->nattrs = draw_attrs(op, d->attrs);
            d->ulps = op->def.check && op->def.check->ulps > 0 ? 2 * op->def.check->ulps : 8;
        }
    }
    return n;
}

START_TEST(every_op_of_the_registry)
{
    static const shape walks[] = {
        {"registry, small", 400, 0, 2, 0, false},      {"registry, wide", 50000, 0, 2, 0, false},
        {"registry, local", 50000, 1000, 3, 0, false}, {"registry, narrow", 20000, 6, 3, 0, false},
        {"registry, layers", 120000, 0, 1, 0, true},
    };
    wg_ctx *ctx = wg_ctx_new(NULL);
    static drawn ops[400];
    const size_t n = registry_ops(ctx, ops, sizeof ops / sizeof *ops);
    ck_assert_uint_gt(n, 60);
    check_shape(ops, n, &walks[_i], 5);
    wg_ctx_free(ctx);
}
END_TEST

/* ---- failures, sharing -------------------------------------------------------------------------- */

static bool builds(wg_ctx *ctx, void *user)
{
    wg__scalars *s = graph_build(ctx, user, 0, WG_ISA_PORTABLE);
    wg__scalars_free(ctx, s);
    return s != NULL;
}

static wg_ctx *bare(const wg_ctx_options *options) { return wg__ctx_new_bare(options); }

START_TEST(failing_allocations)
{
    const shape s = {"faults", 400, 0, 8, TEST_OPS, false};
    rng r = rng_make(3);
    graph g;
    graph_make(&g, &r, test_ops, TEST_OPS, &s);
    ck_assert_int_eq(fault_each(bare, builds, &g), 0);
    graph_free(&g);
    wg__scalars_free(NULL, NULL);
}
END_TEST

/* Many attributes: each set of them is an action of its own, and each node takes its own. */
START_TEST(attributes_of_each_node)
{
    enum { N = 5000 };
    wg_ctx *ctx = wg__ctx_new_bare(NULL);
    wg__scalars_builder *b = wg__scalars_begin(ctx, 0, wg__isa_best());
    double x = 4, *values;
    const wg__scalar in = wg__scalars_outer(b, 0, 0, WG_F64);
    static uint64_t at[N];
    for (int i = 0; i < N; i++) {
        const double attrs[] = {i % 1000 < 500 ? i : 0.5};
        wg__scalars_node(b, &test_ops[0].kernel, &in, 1, WG_F64, attrs, 1, NULL);
    }
    wg__scalars *s = wg__scalars_end(b, at);
    char *memory = guarded(wg__scalars_bytes(s)), *scratch = guarded(wg__scalars_scratch(s));
    char *slot = (char *)&x;
    wg__scalars_run(s, &slot, memory, scratch);
    for (int i = 0; i < N; i++) {
        values = (double *)(void *)(memory + at[i]);
        ck_assert_double_eq(*values, 2 + (i % 1000 < 500 ? i : 0.5));
    }
    check_guards(memory, wg__scalars_bytes(s));
    check_guards(scratch, wg__scalars_scratch(s));
    wg__scalars_free(ctx, s);
    wg_ctx_free(ctx);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("scalars");
    TCase *tc = tcase_create("scalars");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, equals_the_loops, 0, sizeof shapes / sizeof *shapes);
    tcase_add_loop_test(tc, every_op_of_the_registry, 0, 5);
    tcase_add_test(tc, failing_allocations);
    tcase_add_test(tc, attributes_of_each_node);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
