/* Values of the ops against tests/oracle/data, numbers that NumPy, SciPy and PyTorch computed:
 * every op must have a file but those listed below with the reason. Then the test itself is
 * tested: of each op, kernels that are wrong on purpose are noticed. */
#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wengert.h>
#include "suite.h"
#include "check/mutant.h"
#include "tensor/tensor.h"

/* Ops without a file, and where their values are held instead. */
static const struct {
    const char *op, *reason;
} without[] = {
    {"input", "a source"},
    {"param", "a source: tests/test_state.c"},
    {"const", "a source"},
    {"literal", "a source"},
    {"assign", "an effect: tests/test_exec.c"},
    {"stop_gradient", "the identity: tests/test_grad.c"},
    {"call", "runs a sub-tape: tests/test_fn.c"},
    {"checkpoint", "runs a sub-tape: tests/test_control.c"},
    {"cond", "runs sub-tapes: tests/test_control.c"},
    {"switch", "runs sub-tapes: tests/test_control.c"},
    {"custom_vjp", "runs a sub-tape: tests/test_control.c"},
    {"custom_jvp", "runs a sub-tape: tests/test_control.c"},
    {"scan", "runs a sub-tape: tests/test_loops.c"},
    {"map", "runs a sub-tape: tests/test_loops.c"},
    {"while", "runs sub-tapes: tests/test_loops.c"},
    {"replay", "runs sub-tapes: tests/test_budget.c"},
    {"random_bits", "philox.json by tests/test_random.c"},
    {"random_uniform", "philox.json by tests/test_random.c"},
    {"random_normal", "philox.json by tests/test_random.c"},
    {"random_bernoulli", "philox.json by tests/test_random.c"},
    {"random_fold_in", "philox.json by tests/test_random.c"},
    {"dropout", "random: tests/test_random.c"},
};

static const char *why_without(const char *op)
{
    for (size_t i = 0; i < sizeof without / sizeof *without; i++)
        if (strcmp(without[i].op, op) == 0)
            return without[i].reason;
    return NULL;
}

/* ---- the files ------------------------------------------------------------------------------- */

static FILE *open_data(const char *op)
{
    const char *top = getenv("WG_SRCDIR");
    char path[4096];
    snprintf(path, sizeof path, "%s/tests/oracle/data/%s.json", top ? top : ".", op);
    return fopen(path, "r");
}

/* Owned; NULL when there is no file. */
static json_t *load(const char *op)
{
    json_error_t error;
    FILE *in = open_data(op);
    if (!in)
        return NULL;
    json_t *root = json_loadf(in, 0, &error);
    fclose(in);
    ck_assert_msg(root != NULL, "%s.json:%d: %s", op, error.line, error.text);
    ck_assert_str_eq(json_string_value(json_object_get(root, "op")), op);
    return root;
}

static wg_dtype dtype_of(const char *name)
{
    int d = 0;
    while (d < WG_DTYPE_COUNT && strcmp(wg_dtype_name((wg_dtype)d), name) != 0)
        d++;
    ck_assert_msg(d < WG_DTYPE_COUNT, "dtype %s", name);
    return (wg_dtype)d;
}

static double number_of(const json_t *v)
{
    const char *text = json_string_value(v);
    return !text                      ? json_number_value(v)
           : strcmp(text, "nan") == 0 ? NAN
           : *text == '-'             ? -INFINITY
                                      : INFINITY;
}

/* A tensor of a case; integers stay exact. Owned. */
static wg_tensor *tensor_of(wg_ctx *ctx, const json_t *t)
{
    wg_dtype dtype = dtype_of(json_string_value(json_object_get(t, "dtype")));
    const json_t *dims = json_object_get(t, "shape"), *data = json_object_get(t, "data");
    int64_t dim[WG_MAX_RANK];
    size_t rank = json_array_size(dims);
    ck_assert(rank <= WG_MAX_RANK);
    for (size_t i = 0; i < rank; i++)
        dim[i] = json_integer_value(json_array_get(dims, i));
    wg_tensor *tensor = wg_tensor_new(ctx, dtype, wg_shape_make(dim, rank), NULL);
    ck_assert_ptr_nonnull(tensor);
    ck_assert_int_eq((int64_t)json_array_size(data), wg_shape_count(wg_shape_make(dim, rank)));
    void *to = wg_tensor_data_mut(tensor);
    for (size_t i = 0; i < json_array_size(data); i++) {
        const json_t *v = json_array_get(data, i);
        if (dtype == WG_I64)
            ((int64_t *)to)[i] = json_integer_value(v);
        else
            wg__store(dtype, to, (int64_t)i, number_of(v));
    }
    return tensor;
}

/* ---- comparing ------------------------------------------------------------------------------- */

typedef struct rule {
    double rtol, atol;
    bool signed_zero;
} rule;

static bool element_ok(const rule *r, double want, double got)
{
    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got);
    if (want == got)
        return !r->signed_zero || want != 0 || signbit(want) == signbit(got);
    return isfinite(want) && fabs(got - want) <= r->atol + r->rtol * fabs(want);
}

/* Compares an output; false with what differs in `why`. */
static bool output_ok(const rule *r, const wg_tensor *want, wg_type got, const void *data,
                      char *why, size_t size)
{
    wg_type type = wg_tensor_type(want);
    if (got.dtype != type.dtype || !wg_shape_equal(got.shape, type.shape)) {
        snprintf(why, size, "another type");
        return false;
    }
    const void *right = wg_tensor_data(want);
    for (int64_t i = 0; i < wg_shape_count(type.shape); i++) {
        double a = wg__load(type.dtype, right, i), b = wg__load(type.dtype, data, i);
        bool ok = type.dtype == WG_I64 ? ((const int64_t *)right)[i] == ((const int64_t *)data)[i]
                                       : element_ok(r, a, b);
        if (!ok) {
            snprintf(why, size, "element %lld is %.17g, not %.17g", (long long)i, b, a);
            return false;
        }
    }
    return true;
}

/* ---- running a case -------------------------------------------------------------------------- */

static void bind_inputs(wg_ctx *ctx, wg_session *s, const wg_tape *t, const json_t *inputs)
{
    ck_assert_int_eq((int64_t)json_array_size(inputs), (int64_t)t->inputs.len);
    for (size_t i = 0; i < t->inputs.len; i++) {
        wg_tensor *x = tensor_of(ctx, json_array_get(inputs, i));
        wg_var var = wg__var(t, t->inputs.data[i]);
        wg_status status = wg_bind_copy(s, var, wg_tensor_data(x), wg_tensor_bytes(x));
        ck_assert_msg(status == WG_OK, "%s", wg_session_error(s));
        wg_tensor_free(x);
    }
}

static bool outputs_ok(wg_ctx *ctx, const wg_session *s, const json_t *k, char *why, size_t size)
{
    const json_t *outputs = json_object_get(k, "outputs");
    rule r = {json_number_value(json_object_get(k, "rtol")),
              json_number_value(json_object_get(k, "atol")),
              json_is_true(json_object_get(k, "signed_zero"))};
    bool ok = true;
    for (size_t i = 0; i < json_array_size(outputs) && ok; i++) {
        wg_tensor *want = tensor_of(ctx, json_array_get(outputs, i));
        wg_type type;
        const void *data = wg_output_at(s, i, &type, NULL);
        ck_assert_ptr_nonnull(data);
        ok = output_ok(&r, want, type, data, why, size);
        wg_tensor_free(want);
    }
    return ok;
}

/* Runs `text`, the case's graph, and compares; false with the reason in `why`. */
static bool case_ok(wg_ctx *ctx, const json_t *k, const char *text, char *why, size_t size)
{
    char *error = NULL;
    wg_compile_options options = WG_COMPILE_DEFAULTS;
    options.executor = "reference";
    wg_graph *g = wg_parse(ctx, text, strlen(text), "case", &error);
    ck_assert_msg(g != NULL, "%s", error);
    wg_tape *t = wg_graph_tape(g);
    size_t nouts = wg_graph_noutputs(g);
    ck_assert_int_eq((int64_t)nouts, (int64_t)json_array_size(json_object_get(k, "outputs")));
    wg_program *p = wg_compile(t, wg_graph_outputs(g), nouts, &options);
    ck_assert_msg(p != NULL, "%s: %s", text, wg_tape_error(t));
    wg_session *s = wg_session_new(p, NULL);
    ck_assert_ptr_nonnull(s);
    bind_inputs(ctx, s, t, json_object_get(k, "inputs"));
    ck_assert_msg(wg_run(s) == WG_OK, "%s: %s", text, wg_session_error(s));
    bool ok = outputs_ok(ctx, s, k, why, size);
    wg_session_free(s);
    wg_program_free(p);
    wg_graph_free(g);
    return ok;
}

START_TEST(values_agree)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    const char *op = wg_op_name(ctx, wg_op_at(ctx, (size_t)_i)), *reason = why_without(op);
    json_t *root = load(op), *k;
    size_t i;
    ck_assert_msg(!root != !reason,
                  reason ? "%s has a file: strike it from the list"
                         : "%s has no file in tests/oracle/data",
                  op);
    if (root)
        ck_assert_msg(json_array_size(json_object_get(root, "cases")) > 0, "%s: no cases", op);
    json_array_foreach(json_object_get(root, "cases"), i, k)
    {
        char why[160];
        const char *text = json_string_value(json_object_get(k, "graph"));
        bool ok = case_ok(ctx, k, text, why, sizeof why);
        ck_assert_msg(ok, "%s: case %zu: %s: %s", op, i, text, why);
    }
    json_decref(root);
    wg_ctx_free(ctx);
}
END_TEST

/* The list of ops without a file has no op that is not there. */
START_TEST(exceptions_exist)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    for (size_t i = 0; i < sizeof without / sizeof *without; i++)
        ck_assert_msg(wg_op_find(ctx, without[i].op) != NULL, "%s", without[i].op);
    wg_ctx_free(ctx);
}
END_TEST

/* ---- wrong kernels --------------------------------------------------------------------------- */

/* The graph with the mutant in the op's place; false when it needs kernels for f32. */
static bool substitute(const char *text, const char *op, char *out, size_t size)
{
    char call[80];
    snprintf(call, sizeof call, "= %s(", op);
    const char *at = text ? strstr(text, call) : NULL;
    ck_assert_msg(at != NULL, "%s: no such call", call);
    if (!at)
        return false;
    snprintf(out, size, "%.*s= mutant_by_rule(%s", (int)(at - text), text, at + strlen(call));
    return strstr(text, "f32") == NULL;
}

/* Whether a case notices the mutant as it is set. */
static bool is_noticed(wg_ctx *ctx, const json_t *cases, const char *op)
{
    char text[1024], why[160];
    const json_t *k;
    size_t i;
    json_array_foreach(cases, i, k)
    {
        const char *graph = json_string_value(json_object_get(k, "graph"));
        if (substitute(graph, op, text, sizeof text) && !case_ok(ctx, k, text, why, sizeof why))
            return true;
    }
    return false;
}

/* Also a shift by a constant, which no derivative tells. What changes a value must be noticed. */
START_TEST(wrong_kernels_are_noticed)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg__mutant m;
    const char *op = wg_op_name(ctx, wg_op_at(ctx, (size_t)_i));
    json_t *root = load(op), *cases = json_object_get(root, "cases");
    bool mutable = root && wg_op_find(ctx, op)->nkernels;
    wg_status status = mutable ? wg__mutant_register(ctx, op, &m) : WG_UNSUPPORTED;
    if (mutable)
        ck_assert_msg(status == WG_OK, "%s: %s", op, wg_status_text(status));
    if (mutable) {
        ck_assert_msg(!is_noticed(ctx, cases, op), "%s: the unharmed copy", op);
        m.spoilt = WG__SPOIL_FORWARD;
    }
    for (m.way = 0; mutable && wg__mutant_kernel_way(m.way); m.way++) {
        m.at = 0;
        m.applied = false;
        bool noticed = is_noticed(ctx, cases, op);
        ck_assert_msg(noticed || !m.applied, "%s: %s is not noticed", op,
                      wg__mutant_kernel_way(m.way));
    }
    json_decref(root);
    if (mutable)
        wg__mutant_free(ctx, &m);
    wg_ctx_free(ctx);
}
END_TEST

int main(void)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    int ops = ctx ? (int)wg_op_count(ctx) : 0;
    wg_ctx_free(ctx);
    Suite *suite = suite_create("oracle");
    TCase *t = tcase_create("oracle");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, values_agree, 0, ops);
    tcase_add_test(t, exceptions_exist);
    tcase_add_loop_test(t, wrong_kernels_are_noticed, 0, ops);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
