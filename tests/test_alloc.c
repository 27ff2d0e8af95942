/* Memory: whichever allocation of a whole life (record, differentiate, compile, run, print, parse,
 * draw, save, load, check) fails, the failure is reported and nothing leaks or crashes. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <wengert.h>
#include "suite.h"
#include "fault.h"

/* A small model with everything: scopes, consts, broadcasting, a scan, composites, effects. */
static wg_tape *record(wg_ctx *ctx, wg_var *x, wg_var *loss)
{
    wg_tape *t = wg_tape_new(ctx);
    wg_shape shape = wg_shape_symbol(ctx, WG_SHAPE(3, 2), 0, "T");
    *x = wg_input(t, "x", WG_F32, shape);
    wg_scope_push(t, "net");
    wg_var w = wg_param(t, "w", WG_F32, WG_SHAPE(2), wg_init_normal(0, 1));
    wg_scope_pop(t);
    wg_tape *b = wg_fn_begin(t, "step");
    wg_var h = wg_fn_input(b, "h", WG_F32, WG_SHAPE(2));
    wg_var s = wg_fn_input(b, "s", WG_F32, WG_SHAPE(2));
    wg_var next = wg_tanh(wg_add(wg_mul(h, w), s));
    wg_fn f = wg_fn_end(b, &next, 1);
    wg_var last, h0 = wg_full(t, wg_typeof(w), 0.5);
    wg_scan(f, &h0, 1, x, 1, NULL, &last, 1);
    wg_var c = wg_const(t, WG_F32, WG_SHAPE(2), (float[]){1, 2});
    wg_var parts[3] = {last, c, wg_dropout(last, wg_i(3), 0.5)};
    wg_var all = wg_name(wg_concat(parts, 3, 0), "all");
    wg_var prior = wg_sum(wg_normal_logpdf(w, wg_f(0), wg_f(1)));
    *loss = wg_sub(wg_logsumexp(all), wg_mul(wg_f(0.1), prior));
    wg_adam_options o = WG_ADAM_DEFAULTS;
    o.common.clip_norm = 1;
    wg_adam(t, *loss, &w, 1, &o);
    return t;
}

static bool live(wg_ctx *ctx, void *user)
{
    (void)user;
    wg_var x, loss;
    wg_tape *t = record(ctx, &x, &loss);
    wg_program *p = wg_compile(t, &loss, 1, NULL);
    wg_state *state = wg_state_new(ctx, 1);
    wg_session *s = p && state ? wg_session_new(p, state) : NULL;
    const float data[6] = {1, 2, 3, 4, 5, 6};
    bool ok = s && !wg_bind(s, x, data, sizeof data) && !wg_run(s) && isfinite(wg_scalar(s, loss));
    wg_session_free(s);
    wg_state_free(state);
    wg_program_free(p);
    ok = !wg_tape_status(t) && ok;
    wg_tape_free(t);
    return ok;
}

static bool values(wg_ctx *ctx, void *user)
{
    (void)user;
    wg_var x, loss;
    wg_tape *t = record(ctx, &x, &loss);
    const float data[6] = {1, 2, 3, 4, 5, 6};
    bool ok = !wg_set(x, data, sizeof data) && isfinite(wg_value_scalar(loss));
    wg_var g = wg_grad1(loss, x), tx = wg_full(t, wg_typeof(x), 1), ty = wg_none();
    wg_jvp(&loss, 1, &x, 1, &tx, &ty);
    ok = ok && wg_value(g) && isfinite(wg_value_scalar(ty)) && !wg_tape_status(t);
    wg_mark mark = wg_tape_mark(t);
    wg_input(t, "more", WG_F64, WG_SCALAR);
    ok = !wg_tape_rewind(t, mark) && ok;
    wg_tape *other = wg_tape_resize(t, &(wg_size){"T", 5}, 1);
    ok = ok && other && !wg_tape_status(other);
    wg_tape_free(other);
    wg_tape_free(t);
    return ok;
}

static bool text(wg_ctx *ctx, void *user)
{
    (void)user;
    wg_var x, loss;
    wg_tape *t = record(ctx, &x, &loss);
    char *printed = wg_tape_status(t) ? NULL : wg_print(t, "model", &loss, 1), *error = NULL;
    wg_graph *g = printed ? wg_parse(ctx, printed, strlen(printed), "model.wg", &error) : NULL;
    bool ok = g && wg_tape_equal(t, wg_graph_tape(g));
    wg_dot_options o = WG_DOT_DEFAULTS;
    char *dot = wg_tape_status(t) ? NULL : wg_dot(t, &o);
    ok = ok && dot;
    wg_text_free(ctx, dot);
    wg_graph_free(g);
    wg_text_free(ctx, error);
    wg_text_free(ctx, printed);
    wg_tape_free(t);
    return ok;
}

static bool files(wg_ctx *ctx, void *user)
{
    const char *path = user;
    wg_state *a = wg_state_new(ctx, 1), *b = wg_state_new(ctx, 1);
    const double data[2] = {1, 2};
    bool ok = a && b && !wg_state_set(a, "net/w", WG_F64, WG_SHAPE(2), data) &&
              !wg_state_set(a, "n", WG_I64, WG_SCALAR, &(int64_t){7}) && !wg_state_save(a, path) &&
              !wg_state_load(b, path) && wg_state_count(b) == 2;
    wg_state_free(a);
    wg_state_free(b);
    return ok;
}

static bool checking(wg_ctx *ctx, void *user)
{
    (void)user;
    wg_tape *t = wg_tape_new(ctx);
    wg_var x = wg_input(t, "x", WG_F32, WG_SHAPE(2)), y = wg_sum(wg_mul(wg_exp(x), x));
    wg_check_report r;
    wg_gradcheck_options o = WG_GRADCHECK_DEFAULTS;
    o.directions = 1;
    wg_status status = wg_ok(y) ? wg_gradcheck(t, &y, 1, NULL, 0, &o, &r) : WG_NO_MEMORY;
    bool ok = !status && r.verdict == WG_CHECK_PASSED;
    wg_tape_free(t);
    return ok;
}

static wg_status infer_same(wg_infer *q)
{
    q->out[0] = q->in[0];
    return WG_OK;
}

static wg_status run_nothing(const wg_kernel_call *c)
{
    (void)c;
    return WG_OK;
}

static bool registering(wg_ctx *ctx, void *user)
{
    (void)user;
    static const wg_kernel kernels[] = {{WG_KERNEL, .types = "f->f", .run = run_nothing},
                                        {WG_KERNEL, .types = "d->d", .run = run_nothing}};
    static const char *const cases[] = {"graph case(x: f64) -> (y) { y = mine(x) }", NULL};
    static const wg_op_check check = {WG_OP_CHECK, .cases = cases};
    const wg_op op = {WG_OP,
                      .sig = "mine(x; a: int = 1) -> y",
                      .doc = "d",
                      .style = "shape=box",
                      .infer = infer_same,
                      .kernels = kernels,
                      .nkernels = 2,
                      .check = &check};
    return wg_register(ctx, &op, NULL) == WG_OK && wg_op_find(ctx, "mine");
}

/* fault_each walks every allocation of a fresh context too: contexts are cheap to make. */
#define EACH(name, user)                                                                           \
    START_TEST(test_##name) { ck_assert_int_eq(fault_each(wg_ctx_new, name, user), 0); }           \
    END_TEST

EACH(live, NULL)
EACH(values, NULL)
EACH(text, NULL)
EACH(files, (char[]){"scratch/test_alloc.safetensors"})
EACH(checking, NULL)
EACH(registering, NULL)

int main(void)
{
    Suite *s = suite_create("alloc");
    TCase *c = tcase_create("alloc");
    tcase_set_timeout(c, 300);
    tcase_add_test(c, test_live);
    tcase_add_test(c, test_values);
    tcase_add_test(c, test_text);
    tcase_add_test(c, test_files);
    tcase_add_test(c, test_checking);
    tcase_add_test(c, test_registering);
    suite_add_tcase(s, c);
    return run_suite(s);
}
