/* What the registry-wide tests do not reach in the ops that reduce, move, index and multiply: what
 * they say when operands do not fit, indices out of range, ties, zeros and infinities in
 * derivatives, and gradients that stay right when a tape is recorded anew at another size. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wengert.h>
#include "suite.h"
#include "tape/tape.h"

/* ---- helpers ------------------------------------------------------------------------------------- */

static wg_graph *parse(wg_ctx *ctx, const char *text)
{
    char *error = NULL;
    wg_graph *g = wg_parse(ctx, text, strlen(text), "test", &error);
    ck_assert_msg(g != NULL, "%s", error ? error : "no memory");
    return g;
}

/* The value of `v` must be these numbers, NaN equal to NaN. */
static void check_values(wg_var v, const double *want, int64_t n, double tol)
{
    const wg_tensor *tensor = wg_value(v);
    ck_assert_msg(tensor != NULL, "no value");
    ck_assert_int_eq(wg_shape_count(wg_typeof(v).shape), n);
    for (int64_t i = 0; i < n; i++) {
        double got = wg_tensor_get(tensor, i);
        ck_assert_msg(got == want[i] || fabs(got - want[i]) <= tol ||
                          (isnan(got) && isnan(want[i])),
                      "[%d] is %g, not %g", (int)i, got, want[i]);
    }
}

/* ---- messages ------------------------------------------------------------------------------------- */

/* The body of a graph of a: f32[2, 3], b: f32[4, 5], e: f32[0, 3], i: i32[2], c: bool[2], and what
 * recording says to it. */
static const struct {
    const char *body, *message;
} wrong[] = {
    {"matmul(a, b)", "matmul: inner sizes differ: a is f32[2, 3], b is f32[4, 5]"},
    {"matmul(a, b, transpose_a=true)", "a is f32[2, 3] (transposed), b is f32[4, 5]"},
    {"matmul(a, cast(a, dtype=f64), transpose_b=true)", "dtypes differ"},
    {"matmul(a, slice(a, start=[0, 0], stop=[0, 0]))", "inner sizes differ"},
    {"matmul(sum(a), b)", "both operands need rank 2 or more"},
    {"matmul(reshape(a, shape=[2, 1, 3]), broadcast(a, shape=[3, 2, 3]), transpose_b=true)",
     "leading axes do not broadcast"},
    {"max(e, axes=[0])", "axis 0 of f32[0, 3] is empty"},
    {"argmin(e, axis=0)", "axis 0 of f32[0, 3] is empty"},
    {"any(a)", "must be bool"},
    {"sum(c)", "must be a number"},
    {"reshape(a, shape=[4, 2])", "f32[2, 3] does not fit into f32[4, 2]"},
    {"transpose(a, perm=[0, 0])", "no permutation"},
    {"transpose(a, perm=[0])", "perm has 1 entries, x is f32[2, 3]"},
    {"broadcast(a, shape=[2, 4])", "f32[2, 3] does not broadcast to f32[2, 4]"},
    {"broadcast(a, shape=[3])", "f32[2, 3] does not broadcast to f32[3]"},
    {"slice(a, start=[0], stop=[1, 2])", "1, 2 and 0 entries"},
    {"slice(a, start=[0, 0], stop=[1, 2], step=[1, 0])", "step 0 of axis 1"},
    {"unslice(a, shape=[4, 5], start=[0, 0], stop=[3, 3])",
     "x is f32[2, 3]; this slice of f32[4, 5] is f32[3, 3]"},
    {"unslice(a, shape=[4, 5], start=[0], stop=[3])", "1, 1 and 0 entries for f32[4, 5]"},
    {"unslice(a, shape=[-1, 3], start=[0, 0], stop=[2, 3])", "size -1 of axis 0 in shape"},
    {"section(a, start=[1, 0], size=[2, 3])", "2 elements from 1 on by 1 do not lie within axis 0"},
    {"place(a, start=[0, 0], shape=[2, 4], step=[1, 2])", "axis 1 of 4 elements"},
    {"pad(a, low=[0, -1], high=[0, 0])", "-1 before and 0 after axis 1"},
    {"pad(i, low=[1], high=[0], value=0.5)", "value 0.5 is no i32"},
    {"concat(a, b, axis=0)", "operand 1 is f32[4, 5], operand 0 is f32[2, 3]"},
    {"concat(a, cast(a, dtype=f64), axis=0)", "operand 1 is f64[2, 3]"},
    {"gather(broadcast(a, shape=[1, 1, 1, 1, 1, 1, 2, 3]), reshape(i, shape=[1, 2]))", "rank 9"},
    {"gather(a, i, axis=2)", "axis 2 is out of range"},
    {"scatter_add(a, i, b)", "updates is f32[4, 5]; to add into f32[2, 3] at indices i32[2] it "
                             "must be f32[2, 3]"},
    {"one_hot(i, depth=-1)", "depth -1 is negative"},
    {"iota(shape=[2], axis=1)", "axis 1 is out of range for i32[2]"},
    {"iota(shape=[2], dtype=bool)", "dtype must be a number's"},
    {"softmax(sum(a))", "out of range for an operand of rank 0"},
    {"softmax_xent(b, i)", "labels are i32[2]; for logits f32[4, 5] they must be i32[4]"},
};

START_TEST(recording_says_what_is_wrong)
{
    char text[512], *error = NULL;
    snprintf(text, sizeof text,
             "graph case(a: f32[2, 3], b: f32[4, 5], e: f32[0, 3], i: i32[2], c: bool[2]) -> (y) "
             "{ y = %s }",
             wrong[_i].body);
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg_graph *g = wg_parse(ctx, text, strlen(text), "test", &error);
    ck_assert_msg(g == NULL, "%s is accepted", wrong[_i].body);
    ck_assert_ptr_nonnull(error);
    ck_assert_msg(strstr(error, wrong[_i].message), "%s", error);
    wg_text_free(ctx, error);
    wg_ctx_free(ctx);
}
END_TEST

static const struct {
    const char *text, *message;
} outside[] = {
    {"graph case() -> (y) { const x: f32[3] = [1, 2, 3]; const i: i32[2] = [0, 3]; "
     "y = gather(x, i) }",
     "index 3 (element 1 of indices) is out of range for axis 0 of size 3"},
    {"graph case() -> (y) { const x: f32[3] = [1, 2, 3]; const i: i64 = -1; y = gather(x, i) }",
     "index -1"},
    {"graph case() -> (y) { const x: f32[3] = [1, 2, 3]; const i: i64 = 4; const u: f32 = 1; "
     "y = scatter_add(x, i, u) }",
     "index 4"},
    {"graph case() -> (y) { const x: f64[3] = [1, 2, 3]; const l: i32 = 3; "
     "y = softmax_xent(x, l) }",
     "3 (element 0 of "},
};

START_TEST(indices_out_of_range_stop_the_run)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg_graph *g = parse(ctx, outside[_i].text);
    ck_assert_ptr_null(wg_value(wg_graph_outputs(g)[0]));
    const char *error = wg_tape_error(wg_graph_tape(g));
    ck_assert_msg(strstr(error, outside[_i].message), "%s", error);
    wg_graph_free(g);
    wg_ctx_free(ctx);
}
END_TEST

/* ---- derivatives where they are delicate ------------------------------------------------------------ */

#define INF INFINITY

static const struct {
    const char *expression; /* of x: f64[3] */
    double x[3], gradient[3];
} delicate[] = {
    {"max(x)", {2, 5, 5}, {0, 0.5, 0.5}},
    {"min(x)", {1, 1, 1}, {1. / 3, 1. / 3, 1. / 3}},
    {"max(x)", {1, INF, 2}, {0, 1, 0}},
    {"prod(x)", {0, 2, 3}, {6, 0, 0}},
    {"prod(x)", {0, 2, 0}, {0, 0, 0}},
    {"prod(x)", {4, 2, 3}, {6, 12, 8}},
    {"logsumexp(x)", {-INF, -INF, -INF}, {0, 0, 0}},
    {"logsumexp(x)", {-INF, 0, 0}, {0, 0.5, 0.5}},
    {"logsumexp(x)", {1000, 1000, -1000}, {0.5, 0.5, 0}},
    {"logsumexp(x)", {-1e30, 1e30, 0}, {0, 1, 0}},
    {"max(log_softmax(x))", {1e30, 0, -1e30}, {0, 0, 0}},
    {"mul0(sum(softmax(x)), 0)", {NAN, 1, 1}, {0, 0, 0}},
};

START_TEST(delicate_derivatives)
{
    char text[200];
    snprintf(text, sizeof text, "graph case(x: f64[3]) -> (y) { y = %s }", delicate[_i].expression);
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg_graph *g = parse(ctx, text);
    wg_var x = wg_graph_find(g, "x");
    ck_assert_int_eq(wg_set(x, delicate[_i].x, sizeof delicate[_i].x), WG_OK);
    check_values(wg_grad1(wg_graph_outputs(g)[0], x), delicate[_i].gradient, 3, 1e-12);
    wg_graph_free(g);
    wg_ctx_free(ctx);
}
END_TEST

/* ---- sizes that change -------------------------------------------------------------------------------- */

/* Graphs of x: f64[N, 6] whose gradient must follow N. */
static const char *const sized[] = {
    "mean(x)",
    "mean(x, axes=[0])",
    "sum(x, axes=[0], keepdims=true)",
    "max(x, axes=[0])",
    "prod(x, axes=[0])",
    "prod(x, axes=[1])",
    "logsumexp(x)",
    "cumsum(x, axis=0, exclusive=true)",
    "softmax(x, axis=0)",
    "log_softmax(x, axis=0)",
    "softmax_xent(transpose(x), i)",
    "slice(x, start=[1, 0], stop=[1000, 6], step=[2, 3])",
    "slice(x, start=[-3, 0], stop=[-1, 6])",
    "slice(x, start=[1, 1], stop=[-1, 4])",
    "slice(x, start=[-1000, 0], stop=[2, 6])",
    "concat(x, slice(x, start=[1, 0], stop=[3, 6]), x, axis=0)",
    "pad(x, low=[1, 0], high=[2, 1], value=3)",
    "reverse(x)",
    "gather(x, i)",
    "gather(x, i, axis=1)",
    "scatter_add(x, i, gather(x, i))",
    "matmul(x, x, transpose_b=true)",
    "matmul(x, x, transpose_a=true)",
    "mul(x, mean(x, axes=[0]))",
    "add(x, max(x, axes=[1], keepdims=true))",
};

static double element(int64_t i) { return 0.25 + 0.5 * sin(1 + 0.7 * (double)i); }

/* Records the gradient of sum(y^2) for N = n and names it dx. */
static wg_graph *gradient_at(wg_ctx *ctx, const char *expression, int n)
{
    char text[512];
    snprintf(text, sizeof text,
             "graph case(x: f64[N=%d, 6]) -> (y) { const i: i32[6] = [0, 1, 1, 2, 0, 2]; y = %s }",
             n, expression);
    wg_graph *g = parse(ctx, text);
    wg_var y = wg_graph_outputs(g)[0];
    wg_var dx = wg_grad1(wg_sum(wg_square(y)), wg_graph_find(g, "x"));
    ck_assert_msg(wg_ok(dx), "%s", wg_tape_error(wg_graph_tape(g)));
    wg_name(dx, "dx");
    return g;
}

static wg_var find_name(wg_tape *t, const char *name)
{
    for (size_t i = t->nodes.len; i-- > 0;)
        if (strcmp(wg__text(t, t->nodes.data[i].name), name) == 0)
            return wg__var(t, (uint32_t)i);
    return wg_none();
}

/* The value of dx at x = element(0), element(1), ...; n * 6 numbers to be freed. */
static double *gradient_values(wg_tape *t, int n)
{
    size_t count = (size_t)n * 6;
    double *x = calloc(count + 1, sizeof *x);
    for (size_t i = 0; i < count; i++)
        x[i] = element((int64_t)i);
    ck_assert_int_eq(wg_set(find_name(t, "x"), x, count * sizeof *x), WG_OK);
    const wg_tensor *value = wg_value(find_name(t, "dx"));
    ck_assert_msg(value != NULL, "%s", wg_tape_error(t));
    memcpy(x, wg_tensor_data(value), count * sizeof *x);
    return x;
}

START_TEST(gradients_follow_the_size)
{
    static const int sizes[] = {3, 5, 8};
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg_graph *from = gradient_at(ctx, sized[_i], 4);
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        wg_graph *direct = gradient_at(ctx, sized[_i], sizes[k]);
        wg_size size = {"N", sizes[k]};
        wg_tape *resized = wg_tape_resize(wg_graph_tape(from), &size, 1);
        ck_assert_msg(resized != NULL, "%s", wg_tape_error(wg_graph_tape(from)));
        double *a = gradient_values(resized, sizes[k]);
        double *b = gradient_values(wg_graph_tape(direct), sizes[k]);
        for (int i = 0; i < sizes[k] * 6; i++)
            ck_assert_msg(fabs(a[i] - b[i]) <= 1e-12 * (1 + fabs(b[i])),
                          "%s at N = %d: dx[%d] is %g, not %g", sized[_i], sizes[k], i, a[i], b[i]);
        free(a);
        free(b);
        wg_tape_free(resized);
        wg_graph_free(direct);
    }
    wg_graph_free(from);
    wg_ctx_free(ctx);
}
END_TEST

/* A slice of a symbolic axis recorded at one size and its gradient, recorded anew at all others: they
 * are what NumPy's bounds say there, whatever was clipped where they were recorded. */
static const struct {
    int64_t start, stop, step;
} cuts[] = {
    {0, 1, 1},   {2, 5, 1},    {-1, 100, 1}, {0, INT64_MAX, 1}, {2, INT64_MAX, 1},  {3, 1, 1},
    {-3, -1, 1}, {-100, 2, 1}, {1, -1, 1},   {1, INT64_MAX, 3}, {-1, INT64_MAX, 1},
};

enum { MOST = 7 };

/* Does Python's x[start:stop:step] of n elements have element i? */
static bool is_cut(int k, int64_t n, int64_t i)
{
    int64_t from = cuts[k].start, to = cuts[k].stop;
    from = from < 0 ? from + n : from;
    to = to < 0 ? to + n : to;
    from = from < 0 ? 0 : from;
    return i >= from && i < to && (i - from) % cuts[k].step == 0;
}

static wg_var cut(wg_ctx *ctx, wg_tape *t, int k, int n)
{
    wg_var x = wg_input(t, "x", WG_F64, wg_shape_symbol(ctx, WG_SHAPE(n), 0, "N"));
    return wg_name(wg_slice_with(x, &cuts[k].start, 1, &cuts[k].stop, 1, &cuts[k].step, 1), "y");
}

START_TEST(slices_keep_their_bounds)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    for (int n = 0; n <= MOST; n++) {
        wg_tape *t = wg_tape_new(ctx);
        cut(ctx, t, _i, n);
        for (int m = 0; m <= MOST; m++) {
            wg_size size = {"N", m};
            wg_tape *r = wg_tape_resize(t, &size, 1);
            ck_assert_msg(r != NULL, "%s", wg_tape_error(t));
            int64_t want = 0;
            for (int64_t i = 0; i < m; i++)
                want += is_cut(_i, m, i);
            ck_assert_int_eq(wg_typeof(find_name(r, "y")).shape.dim[0], want);
            wg_tape_free(r);
        }
        wg_tape_free(t);
    }
    wg_ctx_free(ctx);
}
END_TEST

/* d sum(y^2) / dx at x = 1, 2, ...: 2 x where x is in y. */
static void check_cut_gradient(wg_tape *t, int k, int n)
{
    double x[MOST], want[MOST];
    for (int i = 0; i < n; i++) {
        x[i] = i + 1;
        want[i] = is_cut(k, n, i) ? 2 * x[i] : 0;
    }
    ck_assert_int_eq(wg_set(find_name(t, "x"), x, (size_t)n * sizeof *x), WG_OK);
    check_values(find_name(t, "dx"), want, n, 0);
}

START_TEST(gradients_of_slices)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    for (int n = 0; n <= MOST; n++) {
        wg_tape *t = wg_tape_new(ctx);
        wg_var y = cut(ctx, t, _i, n);
        wg_name(wg_grad1(wg_sum(wg_square(y)), find_name(t, "x")), "dx");
        ck_assert_str_eq(wg_tape_error(t), "");
        check_cut_gradient(t, _i, n);
        for (int m = 0; m <= MOST && n == MOST; m++) {
            wg_size size = {"N", m};
            wg_tape *r = wg_tape_resize(t, &size, 1);
            bool fixed = !wg_typeof(y).shape.symbol[0]; /* then rules had a number for its size */
            ck_assert_msg(r != NULL || fixed, "%s", wg_tape_error(t));
            wg_tape_clear_error(t);
            if (r)
                check_cut_gradient(r, _i, m);
            wg_tape_free(r);
        }
        wg_tape_free(t);
    }
    wg_ctx_free(ctx);
}
END_TEST

/* Reshape's -1 takes the symbols that the other sizes leave. */
START_TEST(reshape_infers_with_symbols)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg_tape *t = wg_tape_new(ctx);
    wg_shape shape = wg_shape_symbol(ctx, WG_SHAPE(6, 4, 5), 0, "N");
    wg_var x = wg_input(t, "x", WG_F32, shape);
    static const int64_t asked[][3] = {{-1, 20, 1}, {-1, 10, 2}, {2, -1, 5}, {-1, 40, 1}};
    static const int64_t given[] = {6, 6, 12, 3};
    for (int i = 0; i < 4; i++) {
        wg_shape y = wg_typeof(wg_reshape(x, wg_shape_make(asked[i], 3))).shape;
        int axis = asked[i][0] == -1 ? 0 : 1;
        ck_assert_int_eq(y.dim[axis], given[i]);
        ck_assert(y.symbol[axis] != 0);
        ck_assert_int_eq(y.symbol[axis] == shape.symbol[0], i < 2);
    }
    ck_assert_str_eq(wg_tape_error(t), "");
    static const int64_t bad[][3] = {{-1, -1, 5}, {-1, 7, 1}, {-2, 4, 5}, {-1, 0, 5}};
    for (int i = 0; i < 4; i++) {
        ck_assert(!wg_ok(wg_reshape(x, wg_shape_make(bad[i], 3))));
        ck_assert_int_eq(wg_tape_status(t), WG_SHAPE);
        wg_tape_clear_error(t);
    }
    wg_tape_free(t);
    wg_ctx_free(ctx);
}
END_TEST

#define COUNT(rows) ((int)(sizeof(rows) / sizeof *(rows)))

int main(void)
{
    Suite *suite = suite_create("ops");
    TCase *t = tcase_create("ops");
    tcase_add_loop_test(t, recording_says_what_is_wrong, 0, COUNT(wrong));
    tcase_add_loop_test(t, indices_out_of_range_stop_the_run, 0, COUNT(outside));
    tcase_add_loop_test(t, delicate_derivatives, 0, COUNT(delicate));
    tcase_add_loop_test(t, gradients_follow_the_size, 0, COUNT(sized));
    tcase_add_loop_test(t, slices_keep_their_bounds, 0, COUNT(cuts));
    tcase_add_loop_test(t, gradients_of_slices, 0, COUNT(cuts));
    tcase_add_test(t, reshape_infers_with_symbols);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
