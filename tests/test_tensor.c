/* The tensor room: dtypes, shapes, dimension symbols, numbers as text, tensors. Their files have
 * test_safetensors.c. */
#include <check.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wengert/op.h>

#include "suite.h"
#include "fault.h"
#include "rng.h"
#include "tensor/tensor.h"

static wg_ctx *ctx;

static void setup(void) { ctx = wg__ctx_new_bare(NULL); }
static void teardown(void) { wg_ctx_free(ctx); }

/* ---- dtypes ----------------------------------------------------------------------------------- */

START_TEST(dtypes_have_names_and_sizes)
{
    static const char *const names[] = {"bool", "i32", "i64", "f32", "f64"};
    static const size_t sizes[] = {1, 4, 8, 4, 8};
    for (int i = 0; i < WG_DTYPE_COUNT; i++) {
        ck_assert_str_eq(wg_dtype_name((wg_dtype)i), names[i]);
        ck_assert_uint_eq(wg_dtype_size((wg_dtype)i), sizes[i]);
        ck_assert_int_eq(wg_dtype_is_float((wg_dtype)i), names[i][0] == 'f');
    }
    ck_assert_str_eq(wg_dtype_name((wg_dtype)77), "?");
    ck_assert_uint_eq(wg_dtype_size((wg_dtype)-1), 0);
}
END_TEST

START_TEST(stores_saturate)
{
    static const double values[] = {0,     -0.5,        0.9,         -2.7,      1e10,     -1e10,
                                    1e300, 2147483647., 2147483648., -1e300,    INFINITY, -INFINITY,
                                    NAN,   0x1p63,      -0x1p63,     -0x1.8p63, 0x1p62};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        double v = values[i], t = isnan(v) ? 0 : trunc(v);
        int32_t small;
        int64_t large;
        uint8_t truth;
        wg__store(WG_I32, &small, 0, v);
        wg__store(WG_I64, &large, 0, v);
        wg__store(WG_BOOL, &truth, 0, v);
        ck_assert_int_eq(small, t > INT32_MAX ? INT32_MAX : t < INT32_MIN ? INT32_MIN : (int32_t)t);
        ck_assert_int_eq(large, t >= 0x1p63 ? INT64_MAX : t < -0x1p63 ? INT64_MIN : (int64_t)t);
        ck_assert_int_eq(truth, v != 0);
        ck_assert(wg__load(WG_I32, &small, 0) == (double)small);
        ck_assert(wg__load(WG_I64, &large, 0) == (double)large);
    }
}
END_TEST

/* ---- shapes ----------------------------------------------------------------------------------- */

static wg_shape random_shape(rng *r)
{
    int64_t dims[WG_MAX_RANK];
    size_t rank = (size_t)rng_int(r, 0, WG_MAX_RANK);
    for (size_t i = 0; i < rank; i++)
        dims[i] = rng_int(r, 0, 2) ? 1 : rng_int(r, 0, 3);
    return wg_shape_make(dims, rank);
}

/* NumPy's rule, by hand: ones are put in front of the shorter shape. */
static bool naive_broadcast(wg_shape a, wg_shape b, wg_shape *out)
{
    int64_t x[WG_MAX_RANK], y[WG_MAX_RANK], z[WG_MAX_RANK];
    int rank = a.rank > b.rank ? a.rank : b.rank;
    for (int i = 0; i < rank; i++) {
        x[i] = i < rank - a.rank ? 1 : a.dim[i - (rank - a.rank)];
        y[i] = i < rank - b.rank ? 1 : b.dim[i - (rank - b.rank)];
        if (x[i] != y[i] && x[i] != 1 && y[i] != 1)
            return false;
        z[i] = x[i] == 1 ? y[i] : x[i];
    }
    *out = wg_shape_make(z, (size_t)rank);
    return true;
}

START_TEST(broadcast_follows_numpy)
{
    rng r = rng_make((uint64_t)_i);
    for (int i = 0; i < 2000; i++) {
        wg_shape a = random_shape(&r), b = random_shape(&r), got, expected;
        bool ok = naive_broadcast(a, b, &expected);
        ck_assert_int_eq(wg_shape_broadcast(a, b, &got), ok);
        ck_assert(!ok || wg_shape_equal(got, expected));
        ck_assert(wg_shape_broadcast(a, WG_SCALAR, &got) && wg_shape_equal(got, a));
    }
}
END_TEST

START_TEST(broadcast_keeps_symbols)
{
    wg_shape n = wg_shape_symbol(ctx, WG_SHAPE(5, 1), 0, "N"), out;
    wg_shape m = wg_shape_symbol(ctx, WG_SHAPE(1, 5), -1, "M");
    ck_assert(wg_shape_broadcast(n, m, &out));
    ck_assert_uint_eq(out.symbol[0], wg__symbol_name(ctx, "N"));
    ck_assert_uint_eq(out.symbol[1], wg__symbol_name(ctx, "M"));
    ck_assert(wg_shape_broadcast(n, WG_SHAPE(5, 7), &out));
    ck_assert_uint_eq(out.symbol[0], n.symbol[0]);
    ck_assert(wg_shape_broadcast(WG_SHAPE(5, 7), n, &out));
    ck_assert_uint_eq(out.symbol[0], n.symbol[0]);
    ck_assert_uint_eq(out.symbol[1], 0);
}
END_TEST

START_TEST(impossible_shapes_are_refused)
{
    const int64_t nine[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    wg_shape out = WG_SHAPE(3), bad = wg_shape_make(nine, 9);
    int64_t count;
    size_t bytes;
    ck_assert_int_eq(bad.rank, -1);
    ck_assert_int_eq(wg_shape_count(bad), -1);
    ck_assert(!wg_shape_equal(bad, bad));
    ck_assert(!wg_shape_broadcast(bad, out, &out));
    ck_assert_int_eq(wg_shape_count(WG_SHAPE(-1, 0)), -1);
    ck_assert_int_eq(wg_shape_count(WG_SHAPE(INT64_MAX, 2)), -1);
    ck_assert_int_eq(wg_shape_count(WG_SHAPE(INT64_MAX, 0, INT64_MAX)), -1);
    ck_assert_int_eq(wg_shape_count(WG_SHAPE(INT64_MAX, 0)), 0);
    ck_assert_int_eq(wg_shape_count(WG_SCALAR), 1);
    wg_shape huge = WG_SHAPE(INT64_MAX / 2), good = WG_SHAPE(3, 5);
    ck_assert(!wg__shape_ok(&huge, WG_F32, &count, &bytes));
    ck_assert(!wg__shape_ok(&good, (wg_dtype)9, &count, &bytes));
    ck_assert(wg__shape_ok(&good, WG_F64, &count, &bytes) && count == 15 && bytes == 120);
    ck_assert_int_eq(wg_shape_symbol(ctx, WG_SHAPE(3), 1, "N").rank, -1);
    ck_assert_int_eq(wg_shape_symbol(ctx, WG_SHAPE(3), -2, "N").rank, -1);
    ck_assert_int_eq(wg_shape_symbol(ctx, WG_SHAPE(3), 0, "2N").rank, -1);
    ck_assert_int_eq(wg_shape_symbol(ctx, WG_SHAPE(3), 0, "").rank, -1);
    for (int i = 0; i < 20; i++)
        wg_shape_push_size(&out, 1);
    ck_assert_int_eq(out.rank, -1);
    out = WG_SHAPE(3);
    wg_shape_push(&out, &good, 2);
    ck_assert_int_eq(out.rank, -1);
}
END_TEST

START_TEST(axes_count)
{
    ck_assert_int_eq(WG_ALL_AXES.count, -1);
    ck_assert_int_eq(WG_AXES(0, -1).count, 2);
    ck_assert_int_eq(WG_AXES(0, -1).axis[1], -1);
    ck_assert_int_lt(WG_AXES(0, 1, 2, 3, 4, 5, 6, 7, 8).count, -1);
}
END_TEST

START_TEST(equal_types_are_equal_bytes)
{
    wg_type a, b, dirty;
    memset(&dirty, 0xa5, sizeof dirty);
    dirty.dtype = WG_F32;
    dirty.shape.rank = 2;
    dirty.shape.dim[0] = 3;
    dirty.shape.dim[1] = 4;
    dirty.shape.symbol[0] = dirty.shape.symbol[1] = 0;
    wg__type_canonical(&dirty, &a);
    wg__type_canonical(&(wg_type){WG_F32, WG_SHAPE(3, 4)}, &b);
    ck_assert_mem_eq(&a, &b, sizeof a);
    ck_assert(wg__type_equal(&dirty, &b));
    wg__type_canonical(&dirty, &dirty);
    ck_assert_mem_eq(&dirty, &b, sizeof b);
    ck_assert_uint_eq(wg__type_bytes(&a), 48);
    ck_assert(!wg__type_equal(&a, &(wg_type){WG_F32, WG_SHAPE(4, 3)}));
}
END_TEST

static const char *type_text(wg__str *s, wg_dtype dtype, wg_shape shape)
{
    wg__str_clear(s);
    wg__add_type(s, ctx, &(wg_type){dtype, shape});
    return wg__str_text(s);
}

START_TEST(types_as_text)
{
    wg__str s = wg__str_make(ctx);
    wg_shape n = wg_shape_symbol(ctx, WG_SHAPE(64, 784), 0, "N"), twice = n;
    ck_assert_str_eq(type_text(&s, WG_F32, WG_SCALAR), "f32");
    ck_assert_str_eq(type_text(&s, WG_I64, WG_SHAPE(0, 3)), "i64[0, 3]");
    ck_assert_str_eq(type_text(&s, WG_F32, n), "f32[N=64, 784]");
    wg_dim_op_size(ctx, &twice, 0, &n, 0, '*', 2);
    ck_assert_str_eq(type_text(&s, WG_BOOL, twice), "bool[2*N=128, 784]");
    n.rank = -1;
    ck_assert_str_eq(type_text(&s, WG_F64, n), "f64[?]");
    wg__str_free(&s);
}
END_TEST

/* ---- dimension arithmetic --------------------------------------------------------------------- */

START_TEST(dims_compute_sizes_and_symbols)
{
    wg_shape n = wg_shape_symbol(ctx, WG_SHAPE(7, 3), 0, "N"), out = WG_SHAPE(1, 1);
    uint32_t id = n.symbol[0];
    wg_dim_op_size(ctx, &out, 1, &n, 0, '/', 2);
    ck_assert_int_eq(out.dim[1], 3);
    ck_assert_uint_eq(out.symbol[1], wg__symbol_op(ctx, '/', id, wg__symbol_const(ctx, 2)));
    wg_dim_op(ctx, &out, 0, &n, 0, '+', &n, 1);
    ck_assert_int_eq(out.dim[0], 10);
    ck_assert_uint_eq(out.symbol[0], wg__symbol_op(ctx, '+', id, wg__symbol_const(ctx, 3)));
    wg_dim_op(ctx, &out, 0, &out, 0, '-', &n, 1); /* in place */
    ck_assert_int_eq(out.dim[0], 7);
    ck_assert_uint_eq(out.symbol[0], id);
    wg_dim_op(ctx, &out, 0, &n, 0, '-', &n, 0); /* constant: no symbol */
    ck_assert_int_eq(out.dim[0], 0);
    ck_assert_uint_eq(out.symbol[0], 0);
    wg_dim_op_size(ctx, &out, 0, &n, 1, '*', 5); /* no symbol to begin with */
    ck_assert_int_eq(out.dim[0], 15);
    ck_assert_uint_eq(out.symbol[0], 0);
}
END_TEST

START_TEST(impossible_dims_stay_impossible)
{
    wg_shape n = wg_shape_symbol(ctx, WG_SHAPE(7, INT64_MAX), 0, "N"), out = WG_SHAPE(1);
    wg_dim_op_size(ctx, &out, 0, &n, 0, '/', 0);
    ck_assert_int_lt(out.dim[0], 0);
    wg_dim_op_size(ctx, &out, 0, &n, 1, '+', 1);
    ck_assert_int_lt(out.dim[0], 0);
    for (int i = 0; i < 4; i++)
        wg_dim_op_size(ctx, &out, 0, &out, 0, "-+*/"[i], INT64_MIN / 2);
    ck_assert_int_eq(wg_shape_count(out), -1);
    wg_dim_op_size(ctx, &out, 0, &n, 2, '+', 0);
    ck_assert_int_lt(out.dim[0], 0);
    wg_dim_op_size(ctx, &out, 0, &n, 0, '%', 2);
    ck_assert_int_lt(out.dim[0], 0);
    wg_dim_op_size(ctx, &out, WG_MAX_RANK, &n, 0, '+', 0);
    ck_assert_int_eq(out.rank, -1);
}
END_TEST

/* A symbol that grows beyond all bounds is given up; the size goes on. */
START_TEST(endless_symbols_are_given_up)
{
    wg_shape n = wg_shape_symbol(ctx, WG_SHAPE(7), 0, "N"), m = WG_SHAPE(2), x = n;
    m = wg_shape_symbol(ctx, m, 0, "M");
    int64_t size = 7;
    for (int i = 0; i < 2000; i++) {
        wg_dim_op(ctx, &x, 0, &x, 0, '/', &m, 0);
        wg_dim_op(ctx, &x, 0, &x, 0, '+', &n, 0);
        size = size / 2 + 7;
        ck_assert_int_eq(x.dim[0], size);
    }
    wg__str s = wg__str_make(ctx);
    wg__add_shape(&s, ctx, &x);
    ck_assert_uint_lt(s.len, 10000);
    wg__str_free(&s);
    x = n;
    for (int i = 0; i < 100; i++)
        wg_dim_op_size(ctx, &x, 0, &x, 0, '/', 1000003);
    ck_assert_int_eq(x.dim[0], 0);
}
END_TEST

/* ---- symbols ---------------------------------------------------------------------------------- */

static const char *const names[] = {"N", "M", "batch", "x_1"};
enum { NAMES = 4 };

static bool look_up(void *user, const char *name, int64_t *size)
{
    for (int i = 0; i < NAMES; i++)
        if (!strcmp(name, names[i])) {
            *size = ((const int64_t *)user)[i];
            return true;
        }
    return false;
}

/* A random expression in postfix: an index of names, a constant or an op per step. */
typedef struct step {
    char kind; /* n, c, or an op */
    int64_t value;
} step;
typedef struct postfix {
    int n;
    step steps[64];
} postfix;

static postfix random_postfix(rng *r, int leaves)
{
    postfix p = {0};
    for (int have = 0; leaves || have > 1;) {
        if (leaves && (have < 2 || rng_int(r, 0, 1))) {
            step leaf = {rng_int(r, 0, 2) ? 'n' : 'c', 0};
            leaf.value = leaf.kind == 'n' ? rng_int(r, 0, NAMES - 1) : rng_int(r, -9, 12);
            p.steps[p.n++] = leaf;
            leaves--;
            have++;
        } else {
            p.steps[p.n++] = (step){"+-*/"[rng_int(r, 0, 3)], 0};
            have--;
        }
    }
    return p;
}

static uint32_t symbol_of(wg_ctx *c, const postfix *p)
{
    uint32_t stack[64] = {0};
    int top = 0;
    for (int i = 0; i < p->n; i++) {
        const step *s = &p->steps[i];
        if (s->kind == 'n') {
            stack[top++] = wg__symbol_name(c, names[s->value]);
        } else if (s->kind == 'c') {
            stack[top++] = wg__symbol_const(c, s->value);
        } else {
            top--;
            stack[top - 1] = wg__symbol_op(c, s->kind, stack[top - 1], stack[top]);
        }
    }
    return stack[0];
}

/* Exact in floating point: values stay far below 2^63, which is checked. */
static bool value_of(const postfix *p, const int64_t *binding, long double *out)
{
    long double stack[64] = {0};
    int top = 0;
    for (int i = 0; i < p->n; i++) {
        const step *s = &p->steps[i];
        if (s->kind == 'n' || s->kind == 'c') {
            stack[top++] = s->kind == 'n' ? (long double)binding[s->value] : (long double)s->value;
            continue;
        }
        long double b = stack[--top], *a = &stack[top - 1];
        if (s->kind == '/' && b == 0)
            return false;
        *a = s->kind == '+' ? *a + b : s->kind == '-' ? *a - b : s->kind == '*' ? *a * b : *a / b;
        if (s->kind == '/')
            *a = floorl(*a);
        if (fabsl(*a) > 1e15L)
            return false;
    }
    *out = stack[0];
    return true;
}

START_TEST(symbols_keep_values)
{
    rng r = rng_make((uint64_t)_i);
    int compared = 0, wanted = 0;
    for (int i = 0; i < 300; i++) {
        postfix p = random_postfix(&r, (int)rng_int(&r, 1, 9));
        uint32_t id = symbol_of(ctx, &p);
        for (int k = 0; k < 20; k++) {
            int64_t binding[NAMES], got;
            long double expected;
            for (int n = 0; n < NAMES; n++)
                binding[n] = rng_int(&r, 0, 3) ? rng_int(&r, 0, 50) : rng_int(&r, -5, 1);
            if (!value_of(&p, binding, &expected))
                continue;
            wanted++;
            if (!id)
                continue;
            compared++;
            ck_assert_msg(wg__symbol_eval(ctx, id, look_up, binding, &got), "seed %d case %d", _i,
                          i);
            if (got == 0 && expected < 0) { /* sizes end at 0: look at the negated expression */
                uint32_t negated = wg__symbol_op(ctx, '-', wg__symbol_const(ctx, 0), id);
                ck_assert(wg__symbol_eval(ctx, negated, look_up, binding, &got));
                expected = -expected;
            }
            ck_assert_msg((long double)got == expected, "seed %d case %d: %lld, expected %Lg", _i,
                          i, (long long)got, expected);
        }
    }
    ck_assert_int_gt(compared, wanted * 9 / 10);
}
END_TEST

START_TEST(symbols_read_back)
{
    rng r = rng_make((uint64_t)_i);
    wg__str s = wg__str_make(ctx), t = wg__str_make(ctx);
    wg_ctx *other = wg__ctx_new_bare(NULL); /* sees everything in another order */
    for (int n = NAMES; n--;)
        wg__symbol_name(other, names[n]);
    for (int i = 0; i < 300; i++) {
        postfix p = random_postfix(&r, (int)rng_int(&r, 1, 12));
        uint32_t id = symbol_of(ctx, &p);
        if (!id)
            continue;
        const char *end;
        wg__str_clear(&s);
        wg__add_symbol(&s, ctx, id);
        wg__str_add(&s, "=3");
        ck_assert_msg(wg__symbol_parse(ctx, s.data, &end) == id, "seed %d: %s", _i, s.data);
        ck_assert_str_eq(end, "=3");
        wg__str_clear(&t);
        wg__add_symbol(&t, other, symbol_of(other, &p));
        wg__str_add(&t, "=3");
        ck_assert_str_eq(wg__str_text(&s), wg__str_text(&t));
    }
    wg__str_free(&s);
    wg__str_free(&t);
    wg_ctx_free(other);
}
END_TEST

START_TEST(equal_expressions_are_equal_symbols)
{
    static const char *const pairs[][2] = {
        {"N*2", "2*N"},
        {"N + M", "M+N"},
        {"(N + 1) - 1", "N"},
        {"N*M*3 - M*N", "2*N*M"},
        {"(N + M)*(N - M)", "N*N - M*M"},
        {"N - N", "0"},
        {"4*N/2", "2*N"},
        {"(2*N + 1)/2", "N"},
        {"(N + 5)/2", "(N + 1)/2 + 2"},
        {"N/2/3", "N/6"},
        {"(N/2 + 1)/3", "(N + 2)/6"},
        {"2*N/(2*M)", "N/M"},
        {"N*M/N", "M"},
        {"N*M/(N*N*batch)", "M/(N*batch)"},
        {"(N*M + M)/(N + 1)", "M"},
        {"(N*N - 1)/(N + 1)", "N - 1"},
        {"N/-2", "-N/2"},
        {"-7/2", "-4"},
        {"7/-2", "-4"},
        {"-(N)", "0 - N"},
        {"--N", "N"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        uint32_t a = wg__symbol_parse(ctx, pairs[i][0], NULL);
        ck_assert_msg(a != 0, "%s", pairs[i][0]);
        ck_assert_msg(a == wg__symbol_parse(ctx, pairs[i][1], NULL), "%s, %s", pairs[i][0],
                      pairs[i][1]);
    }
}
END_TEST

START_TEST(different_expressions_are_different_symbols)
{
    static const char *const texts[] = {"N",
                                        "M",
                                        "2*N",
                                        "N + 1",
                                        "N - 1",
                                        "N*M",
                                        "N*N",
                                        "N/2",
                                        "N/3",
                                        "N/M",
                                        "2*(N/2)",
                                        "M/N",
                                        "(N + 1)/2",
                                        "(N + 1)/M",
                                        "0",
                                        "1",
                                        "-1",
                                        "-N",
                                        "n",
                                        "N/(M + 1)",
                                        "N*N*M",
                                        "N/M/2",
                                        "N/(M/2)",
                                        "_",
                                        "NM",
                                        "N*(N/2)*(N/2)",
                                        "(M/2 + N/2)/3",
                                        "(M + 2)/6"};
    size_t n = sizeof texts / sizeof *texts;
    uint32_t ids[sizeof texts / sizeof *texts];
    for (size_t i = 0; i < n; i++) {
        ids[i] = wg__symbol_parse(ctx, texts[i], NULL);
        ck_assert_uint_ne(ids[i], 0);
        for (size_t k = 0; k < i; k++)
            ck_assert_msg(ids[k] != ids[i], "%s, %s", texts[k], texts[i]);
    }
}
END_TEST

START_TEST(malformed_symbols_are_refused)
{
    static const char *const texts[] = {
        "",         " ",   "+",   "N +", "N*",   "(N",   ")", "()",
        "/N",       "N/0", "2 -", "-",   "N**2", "N//2", "é", "9223372036854775808",
        "N/(M - M)"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        ck_assert_msg(!wg__symbol_parse(ctx, texts[i], NULL), "%s", texts[i]);
    static char deep[100001];
    memset(deep, '(', sizeof deep - 1);
    ck_assert_uint_eq(wg__symbol_parse(ctx, deep, NULL), 0);
    memset(deep, '-', sizeof deep - 2);
    deep[sizeof deep - 2] = 'N';
    ck_assert_uint_ne(wg__symbol_parse(ctx, deep, NULL), 0);
    const char *end;
    ck_assert_uint_ne(wg__symbol_parse(ctx, "N M", &end), 0);
    ck_assert_str_eq(end, " M");
    int64_t value;
    ck_assert(!wg__symbol_eval(ctx, 0, look_up, NULL, &value));
    ck_assert(!wg__symbol_eval(ctx, 1u << 30, look_up, NULL, &value));
    ck_assert(!wg__symbol_eval(ctx, wg__symbol_name(ctx, "unbound"), look_up, NULL, &value));
    ck_assert_uint_eq(wg__symbol_op(ctx, '+', 0, wg__symbol_const(ctx, 1)), 0);
    ck_assert_uint_eq(wg__symbol_op(ctx, '%', 1, 1), 0);
}
END_TEST

/* A damaged text gives an answer or none, and never more than it can print. */
START_TEST(damaged_symbols_are_safe)
{
    static const char letters[] = "NMx019+-*/() ";
    rng r = rng_make((uint64_t)_i);
    wg__str s = wg__str_make(ctx);
    for (int i = 0; i < 2000; i++) {
        char text[40] = "";
        int n = (int)rng_int(&r, 0, 39);
        for (int k = 0; k < n; k++)
            text[k] = letters[rng_int(&r, 0, (int)sizeof letters - 2)];
        uint32_t id = wg__symbol_parse(ctx, text, NULL);
        wg__str_clear(&s);
        wg__add_symbol(&s, ctx, id);
        ck_assert_msg(wg__symbol_parse(ctx, wg__str_text(&s), NULL) == id, "%s", text);
    }
    wg__str_free(&s);
}
END_TEST

static void *intern_many(void *out)
{
    uint32_t *ids = out;
    rng r = rng_make(5);
    for (int i = 0; i < 200; i++) {
        postfix p = random_postfix(&r, 6);
        int64_t binding[NAMES] = {3, 4, 5, 6}, value;
        ids[i] = symbol_of(ctx, &p);
        wg__symbol_eval(ctx, ids[i], look_up, binding, &value);
    }
    return NULL;
}

START_TEST(threads_agree_on_symbols)
{
    enum { THREADS = 4 };
    static uint32_t ids[THREADS][200];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert(!pthread_create(&threads[i], NULL, intern_many, ids[i]));
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 1; i < THREADS; i++)
        ck_assert_mem_eq(ids[0], ids[i], sizeof ids[0]);
}
END_TEST

/* ---- numbers ---------------------------------------------------------------------------------- */

/* Written and read back: the same bits, for every dtype. */
static void check_round_trip(wg_dtype dtype, const void *bits)
{
    uint64_t back = 0x5555555555555555u;
    size_t size = wg_dtype_size(dtype);
    wg__str s = wg__str_make(ctx);
    wg__add_number(&s, dtype, bits, 0);
    ck_assert_msg(wg__parse_number(dtype, wg__str_text(&s), &back, 0), "%s", wg__str_text(&s));
    if (isnan(wg__load(dtype, bits, 0)))
        ck_assert(isnan(wg__load(dtype, &back, 0)));
    else
        ck_assert_msg(!memcmp(bits, &back, size), "%s", wg__str_text(&s));
    wg__str_free(&s);
}

static uint64_t random_bits(rng *r, int kind)
{
    uint64_t bits = rng_next(r);
    if (kind == 0) /* subnormal in f64 and, in the low half, in f32 */
        bits &= 0x800fffff807fffffu;
    if (kind == 1) /* few bits set */
        bits &= rng_next(r) & rng_next(r);
    if (kind == 2) { /* a short decimal */
        double x = (double)rng_int(r, -99999, 99999) * pow(10, (double)rng_int(r, -20, 20));
        memcpy(&bits, &x, sizeof bits);
    }
    return bits;
}

START_TEST(numbers_read_back)
{
    rng r = rng_make((uint64_t)_i);
    for (int i = 0; i < 4000; i++) {
        uint64_t bits = random_bits(&r, i % 4);
        for (int d = WG_I32; d < WG_DTYPE_COUNT; d++)
            check_round_trip((wg_dtype)d, &bits);
        double x;
        memcpy(&x, &bits, sizeof x);
        float y = (float)x;
        check_round_trip(WG_F32, &y);
    }
}
END_TEST

/* Digits of a number's text without leading and trailing zeros. */
static int count_digits(const char *text)
{
    int digits = 0, zeros = 0;
    for (; *text && *text != 'e'; text++)
        if (*text >= '1' && *text <= '9') {
            digits += zeros + 1;
            zeros = 0;
        } else if (*text == '0' && digits) {
            zeros++;
        }
    return digits;
}

/* No rounding to fewer digits reads back. */
START_TEST(numbers_are_short)
{
    rng r = rng_make((uint64_t)_i);
    wg__str s = wg__str_make(ctx);
    for (int i = 0; i < 2000; i++) {
        uint64_t bits = random_bits(&r, i % 4);
        double x;
        char naive[64] = "";
        memcpy(&x, &bits, sizeof x);
        if (!isfinite(x) || x == 0)
            continue;
        wg__str_clear(&s);
        wg__add_number(&s, WG_F64, &x, 0);
        for (int p = 0; p < 17 && strtod(naive, NULL) != x; p++)
            snprintf(naive, sizeof naive, "%.*e", p, x);
        ck_assert_msg(count_digits(s.data) == count_digits(naive), "seed %d: %s, %s", _i, s.data,
                      naive);
    }
    wg__str_free(&s);
}
END_TEST

static const struct {
    wg_dtype dtype;
    double value;
    const char *text;
} written[] = {
    {WG_F64, 0.1, "0.1"},
    {WG_F64, 1, "1"},
    {WG_F64, -0.0, "-0"},
    {WG_F64, 0, "0"},
    {WG_F64, 1e-8, "1e-08"},
    {WG_F64, 784, "784"},
    {WG_F64, 100000, "100000"},
    {WG_F64, 1e15, "1000000000000000"},
    {WG_F64, 1e16, "1e+16"},
    {WG_F64, 0.0001, "0.0001"},
    {WG_F64, 0.00001, "1e-05"},
    {WG_F64, -1.5e300, "-1.5e+300"},
    {WG_F64, 5e-324, "5e-324"},
    {WG_F64, 1.7976931348623157e308, "1.7976931348623157e+308"},
    {WG_F64, INFINITY, "inf"},
    {WG_F64, -INFINITY, "-inf"},
    {WG_F64, NAN, "nan"},
    {WG_F32, 0.1f, "0.1"},
    {WG_F32, 16777216, "16777216"},
    {WG_F32, 0x1p-149, "1e-45"},
    {WG_F32, 3.5, "3.5"},
    {WG_I32, -2147483648., "-2147483648"},
    {WG_I64, 7, "7"},
    {WG_BOOL, 1, "true"},
    {WG_BOOL, 0, "false"},
};

static void check_written(void)
{
    wg__str s = wg__str_make(ctx);
    for (size_t i = 0; i < sizeof written / sizeof *written; i++) {
        uint64_t slot = 0, back = 0;
        wg__store(written[i].dtype, &slot, 0, written[i].value);
        wg__str_clear(&s);
        wg__add_number(&s, written[i].dtype, &slot, 0);
        ck_assert_str_eq(wg__str_text(&s), written[i].text);
        ck_assert(wg__parse_number(written[i].dtype, written[i].text, &back, 0));
        ck_assert(isnan(written[i].value) || slot == back);
    }
    wg__str_free(&s);
}

START_TEST(numbers_as_text) { check_written(); }
END_TEST

static bool use_locale(const char *name)
{
    return setlocale(LC_NUMERIC, name) && *localeconv()->decimal_point == ',';
}

/* Makes a locale with a decimal comma where the system has none but could. */
static bool make_locale(const char *folder)
{
    char command[600];
    snprintf(command, sizeof command,
             "cd '%s' && printf 'LC_NUMERIC\ndecimal_point \",\"\nthousands_sep \"\"\n"
             "grouping -1\nEND LC_NUMERIC\n' >source && "
             "localedef -c -i source --no-archive ./xx_XX >log 2>&1; test -d xx_XX",
             folder);
    return !system(command) && !setenv("LOCPATH", folder, 1);
}

/* With a decimal comma in the C library's own functions. */
START_TEST(locales_do_not_matter)
{
    char folder[] = "scratch/comma-XXXXXX", command[64];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    if (!use_locale("de_DE.UTF-8") && !(make_locale(folder) && use_locale("xx_XX")))
        fprintf(stderr, "test_tensor: no locale with a decimal comma here\n");
    check_written();
    rng r = rng_make(3);
    for (int i = 0; i < 1000; i++) {
        uint64_t bits = random_bits(&r, i % 4);
        check_round_trip(WG_F64, &bits);
        check_round_trip(WG_F32, &bits);
    }
    setlocale(LC_NUMERIC, "C");
    unsetenv("LOCPATH");
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    ck_assert(!system(command));
}
END_TEST

START_TEST(numbers_are_rounded_as_the_library_does)
{
    rng r = rng_make((uint64_t)_i);
    for (int i = 0; i < 2000; i++) {
        char text[1200];
        int n = 0, digits = (int)rng_int(&r, 1, rng_int(&r, 0, 9) ? 30 : 1000);
        int point = rng_int(&r, 0, 1) ? (int)rng_int(&r, 0, digits) : -1;
        for (int k = 0; k < digits; k++) {
            if (k == point)
                text[n++] = '.';
            text[n++] = (char)('0' + (rng_int(&r, 0, 3) ? rng_int(&r, 0, 9) : 0));
        }
        sprintf(text + n, "e%d", (int)rng_int(&r, -400, 300));
        double x = 0, expected = strtod(text, NULL);
        float y = 0, expected_float = strtof(text, NULL);
        ck_assert_msg(wg__parse_number(WG_F64, text, &x, 0) == (bool)isfinite(expected), "%s",
                      text);
        ck_assert_msg(isinf(expected) || x == expected, "%s: %a", text, x);
        ck_assert_msg(wg__parse_number(WG_F32, text, &y, 0) == (bool)isfinite(expected_float), "%s",
                      text);
        ck_assert_msg(isinf(expected_float) || y == expected_float, "%s: %a", text, (double)y);
    }
}
END_TEST

/* A tie that only the 1000th digit decides. */
START_TEST(late_digits_decide_ties)
{
    char text[1200];
    double x;
    sprintf(text, "1.00000000000000011102230246251565404236316680908203125%0*d", 945, 0);
    ck_assert(wg__parse_number(WG_F64, text, &x, 0));
    ck_assert(x == 1);
    text[strlen(text) - 1] = '1';
    ck_assert(wg__parse_number(WG_F64, text, &x, 0));
    ck_assert(x == 1 + 0x1p-52);
}
END_TEST

START_TEST(what_is_no_number_is_refused)
{
    static const struct {
        wg_dtype dtype;
        const char *text;
    } bad[] = {
        {WG_F64, ""},
        {WG_F64, "-"},
        {WG_F64, "."},
        {WG_F64, "1,5"},
        {WG_F64, "1.5x"},
        {WG_F64, "0x10"},
        {WG_F64, "1e"},
        {WG_F64, "1e+"},
        {WG_F64, "e5"},
        {WG_F64, "1.2.3"},
        {WG_F64, " 1"},
        {WG_F64, "1 "},
        {WG_F64, "+1"},
        {WG_F64, "--1"},
        {WG_F64, "1e309"},
        {WG_F64, "infinity"},
        {WG_F64, "-nan"},
        {WG_F64, "1e99999999999999999999"},
        {WG_F32, "1e39"},
        {WG_I32, "1.0"},
        {WG_I32, "1e3"},
        {WG_I32, "2147483648"},
        {WG_I32, "-2147483649"},
        {WG_I32, ""},
        {WG_I32, "-"},
        {WG_I32, "99999999999999999999"},
        {WG_I64, "9223372036854775808"},
        {WG_I64, "-9223372036854775809"},
        {WG_I64, "nan"},
        {WG_BOOL, "1"},
        {WG_BOOL, "True"},
        {WG_BOOL, ""},
        {(wg_dtype)9, "1"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint64_t slot = 0x0123456789abcdefu;
        ck_assert_msg(!wg__parse_number(bad[i].dtype, bad[i].text, &slot, 0), "%s", bad[i].text);
        ck_assert_uint_eq(slot, 0x0123456789abcdefu);
    }
    double x = 1;
    ck_assert(wg__parse_number(WG_F64, "1e-400", &x, 0) && x == 0);
    ck_assert(wg__parse_number(WG_F64, "1e-99999999999999999999", &x, 0) && x == 0);
    ck_assert(wg__parse_number(WG_F64, "0e99999999999", &x, 0) && x == 0);
    ck_assert(wg__parse_number(WG_F64, "-.5", &x, 0) && x == -0.5);
    int64_t i = 0;
    ck_assert(wg__parse_number(WG_I64, "-9223372036854775808", &i, 0) && i == INT64_MIN);
    ck_assert(wg__parse_number(WG_I64, "9223372036854775807", &i, 0) && i == INT64_MAX);
}
END_TEST

/* ---- tensors ---------------------------------------------------------------------------------- */

START_TEST(tensors_hold_a_copy)
{
    float data[6] = {1, 2, 3, 4, 5, 6};
    wg_tensor *t = wg_tensor_new(ctx, WG_F32, WG_SHAPE(2, 3), data);
    data[5] = 0;
    ck_assert_uint_eq((uintptr_t)wg_tensor_data(t) % 64, 0);
    ck_assert_uint_eq(wg_tensor_bytes(t), 24);
    ck_assert(wg_tensor_get(t, 5) == 6);
    ck_assert(isnan(wg_tensor_get(t, 6)) && isnan(wg_tensor_get(t, -1)));
    ck_assert(wg_tensor_type(t).dtype == WG_F32);
    ck_assert(wg_shape_equal(wg_tensor_type(t).shape, WG_SHAPE(2, 3)));
    ((float *)wg_tensor_data_mut(t))[0] = 9;
    ck_assert(wg_tensor_get(t, 0) == 9);
    wg_tensor_free(t);
    const uint8_t truth[3] = {0, 1, 200};
    t = wg_tensor_new(ctx, WG_BOOL, WG_SHAPE(3), truth);
    ck_assert_int_eq(((const uint8_t *)wg_tensor_data(t))[2], 1);
    wg_tensor_free(t);
    t = wg_tensor_new(ctx, WG_F64, WG_SHAPE(4, 0), NULL);
    ck_assert_ptr_nonnull(wg_tensor_data(t));
    ck_assert_uint_eq(wg_tensor_bytes(t), 0);
    wg_tensor_free(t);
    wg_tensor_free(NULL);
    ck_assert_ptr_null(wg_tensor_new(ctx, WG_F64, WG_SHAPE(-1), NULL));
    ck_assert_ptr_null(wg_tensor_new(ctx, WG_F64, WG_SHAPE(INT64_MAX / 16, 4), NULL));
    ck_assert_ptr_null(wg_tensor_new(ctx, (wg_dtype)9, WG_SCALAR, NULL));
}
END_TEST

START_TEST(tensors_outlive_their_context)
{
    fault f = {0};
    wg_ctx_options options = fault_options(&f);
    wg_ctx *own = wg__ctx_new_bare(&options);
    wg_tensor *t = wg_tensor_new(own, WG_I64, WG_SCALAR, NULL);
    wg_ctx_free(own);
    ck_assert(wg_tensor_get(t, 0) == 0);
    wg_tensor_free(t);
    ck_assert_int_eq(f.live, 0);
}
END_TEST

/* ---- failing allocations ---------------------------------------------------------------------- */

static bool scenario(wg_ctx *c, void *user)
{
    (void)user;
    bool ok = true;
    wg_tensor *t = wg_tensor_new(c, WG_F32, WG_SHAPE(3, 4), NULL);
    wg_shape n = wg_shape_symbol(c, WG_SHAPE(6, 4), 0, "N"), out = WG_SHAPE(1);
    ok &= t && n.rank == 2;
    for (int i = 0; i < 30; i++) {
        wg_dim_op_size(c, &out, 0, &n, 0, '*', i + 2);
        ok &= out.dim[0] == 6 * (i + 2) && (out.symbol[0] || !n.symbol[0]);
    }
    wg__str s = wg__str_make(c);
    uint32_t id = wg__symbol_parse(c, "(N*M + 3)/(M + 1)", NULL);
    wg__add_symbol(&s, c, id);
    wg__add_number(&s, WG_F64, &(double){0.1}, 0);
    ok &= id && !s.failed;
    wg__str_free(&s);
    wg_tensor_free(t);
    return ok;
}

START_TEST(each_allocation_may_fail)
{
    ck_assert_int_eq(fault_each(wg__ctx_new_bare, scenario, NULL), 0);
}
END_TEST

static void add_shape_tests(TCase *t)
{
    tcase_add_test(t, dtypes_have_names_and_sizes);
    tcase_add_test(t, stores_saturate);
    tcase_add_loop_test(t, broadcast_follows_numpy, 0, 3);
    tcase_add_test(t, broadcast_keeps_symbols);
    tcase_add_test(t, impossible_shapes_are_refused);
    tcase_add_test(t, axes_count);
    tcase_add_test(t, equal_types_are_equal_bytes);
    tcase_add_test(t, types_as_text);
    tcase_add_test(t, dims_compute_sizes_and_symbols);
    tcase_add_test(t, impossible_dims_stay_impossible);
    tcase_add_test(t, endless_symbols_are_given_up);
}

static void add_symbol_tests(TCase *t)
{
    tcase_add_loop_test(t, symbols_keep_values, 0, 10);
    tcase_add_loop_test(t, symbols_read_back, 0, 10);
    tcase_add_test(t, equal_expressions_are_equal_symbols);
    tcase_add_test(t, different_expressions_are_different_symbols);
    tcase_add_test(t, malformed_symbols_are_refused);
    tcase_add_loop_test(t, damaged_symbols_are_safe, 0, 3);
    tcase_add_test(t, threads_agree_on_symbols);
}

static void add_number_tests(TCase *t)
{
    tcase_add_loop_test(t, numbers_read_back, 0, 5);
    tcase_add_loop_test(t, numbers_are_short, 0, 3);
    tcase_add_test(t, numbers_as_text);
    tcase_add_test(t, locales_do_not_matter);
    tcase_add_loop_test(t, numbers_are_rounded_as_the_library_does, 0, 3);
    tcase_add_test(t, late_digits_decide_ties);
    tcase_add_test(t, what_is_no_number_is_refused);
}

static void add_tensor_tests(TCase *t)
{
    tcase_add_test(t, tensors_hold_a_copy);
    tcase_add_test(t, tensors_outlive_their_context);
    tcase_add_test(t, each_allocation_may_fail);
}

int main(void)
{
    static void (*const groups[])(TCase *) = {add_shape_tests, add_symbol_tests, add_number_tests,
                                              add_tensor_tests};
    static const char *const titles[] = {"shapes", "symbols", "numbers", "tensors"};
    Suite *suite = suite_create("tensor");
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        TCase *t = tcase_create(titles[i]);
        tcase_set_timeout(t, 300);
        tcase_add_checked_fixture(t, setup, teardown);
        groups[i](t);
        suite_add_tcase(suite, t);
    }
    return run_suite(suite);
}
