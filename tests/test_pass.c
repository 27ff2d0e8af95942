/* Passes and compiling: composites and bodies, errors, what passes may not touch. Rules and golden files
 * are in test_rules.c. */
#include "fault.h"
#include "passing.h"

/* ---- passes ------------------------------------------------------------------------------------------ */

static wg_status infer_same(wg_infer *q)
{
    q->out[0] = q->in[0];
    return WG_OK;
}

static void expand_double(wg_rule *r) { r->result[0] = wg_add(r->in[0], r->in[0]); }

static void expand_four(wg_rule *r)
{
    wg_var two;
    wg_apply(r->tape, "twice", r->in, 1, NULL, 0, &two, 1);
    wg_apply(r->tape, "twice", &two, 1, NULL, 0, &r->result[0], 1);
}

static void expand_forever(wg_rule *r)
{
    wg_apply(r->tape, "forever", r->in, 1, NULL, 0, &r->result[0], 1);
}

static void expand_wrong(wg_rule *r) { r->result[0] = wg_reshape(r->in[0], WG_SHAPE(1, 1, 1)); }

static void register_composites(void)
{
    const struct {
        const char *sig;
        wg_expand_fn expand;
    } ops[] = {{"twice(x: float) -> y", expand_double},
               {"four_times(x: float) -> y", expand_four},
               {"forever(x: float) -> y", expand_forever},
               {"wrong(x: float) -> y", expand_wrong}};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        const wg_op op = {WG_OP, .sig = ops[i].sig, .doc = "Test.", .infer = infer_same,
                          .expand = ops[i].expand};
        const char *error = "";
        ck_assert_msg(wg_register(ctx, &op, &error) == WG_OK, "%s", error);
    }
}

START_TEST(composites_expand)
{
    register_composites();
    wg_var x = scalar_param("x", 3);
    wg_tape *body = wg_fn_begin(t, "body");
    wg_var c = wg_fn_input(body, "c", WG_F64, WG_SCALAR);
    wg_var four = apply1("four_times", c);
    wg_fn fn = wg_fn_end(body, &four, 1);
    wg_var called;
    wg_call(fn, &x, 1, &called, 1);
    wg_var y = wg_add(apply1("four_times", x), called);
    wg_session *s = session(&y, 1, NULL);
    run_ok(s);
    ck_assert_double_eq(wg_scalar(s, y), 24);
    ck_assert_double_eq(wg_value_scalar(y), 24);
    wg_session_free(s);
}
END_TEST

/* Each body calls the two before it: more than 2^40 runs, but few bodies to compile. Calls are replaced by
 * what they call up to a limit, checkpoints are not. */
START_TEST(shared_bodies_compile_once)
{
    enum { FNS = 60 };
    wg_status (*const run)(wg_fn, const wg_var *, size_t, wg_var *, size_t) =
        _i ? wg_checkpoint : wg_call;
    register_composites();
    wg_var y, x = wg_input(t, "x", WG_F64, WG_SCALAR);
    wg_fn fn[FNS];
    for (int k = 0; k < FNS; k++) {
        wg_tape *body = wg_fn_begin(t, "f");
        wg_var a = apply1("twice", wg_fn_input(body, "u", WG_F64, WG_SCALAR));
        for (int i = 1; i <= 2 && k >= 2; i++)
            ck_assert_int_eq(run(fn[k - i], &a, 1, &a, 1), WG_OK);
        fn[k] = wg_fn_end(body, &a, 1);
    }
    ck_assert_int_eq(run(fn[FNS - 1], &x, 1, &y, 1), WG_OK);
    wg_program *p = wg_compile(t, &y, 1, NULL);
    ck_assert_msg(p != NULL, "%s", wg_tape_error(t));
    ck_assert_uint_lt(wg_program_bytes(p), _i ? 1 << 20 : 1 << 22);
    wg_program_free(p);
    ck_assert_int_eq(wg_set(x, &(double){1}, sizeof(double)), WG_OK);
}
END_TEST

START_TEST(bad_expansions_are_errors)
{
    register_composites();
    wg_var x = scalar_param("x", 3), y = apply1(_i ? "wrong" : "forever", x);
    ck_assert_ptr_null(wg_compile(t, &y, 1, NULL));
    ck_assert_int_eq(wg_tape_status(t), _i ? WG_INTERNAL : WG_INVALID);
    ck_has(wg_tape_error(t), _i ? "wrong" : "forever");
}
END_TEST

/* The order of recording leaves no trace, dead code neither. */
START_TEST(canonical_order)
{
    wg_program *p[2];
    for (int k = 0; k < 2; k++) {
        wg_tape *tape = wg_tape_new(ctx);
        wg_var x = wg_input(tape, "x", WG_F64, WG_SHAPE(3)), a, b;
        if (k) {
            b = wg_cos(x);
            wg_exp(b);
            a = wg_sin(x);
        } else {
            a = wg_sin(x);
            b = wg_cos(x);
        }
        wg_var y = wg_mul(a, b);
        p[k] = wg_compile(tape, &y, 1, NULL);
        wg_tape_free(tape);
    }
    ck_assert(wg_tape_equal(wg_program_tape(p[0]), wg_program_tape(p[1])));
    ck_assert_uint_eq(wg_tape_size(wg_program_tape(p[1])), 4);
    wg_program_free(p[0]);
    wg_program_free(p[1]);
}
END_TEST

START_TEST(compile_errors)
{
    wg_var x = wg_input(t, "x", WG_F64, WG_SCALAR);
    wg_compile_options options = WG_COMPILE_DEFAULTS;
    options.executor = "warp";
    ck_assert_ptr_null(wg_compile(t, &x, 1, &options));
    ck_has(wg_tape_error(t), "reference");
    wg_tape_clear_error(t);
    ck_assert_ptr_null(wg_compile(t, (wg_var[]){wg_none()}, 1, NULL));
    ck_assert_int_eq(wg_tape_status(t), WG_INVALID);
    wg_tape_clear_error(t);
    wg_var bad = wg_param(t, "bad", WG_F64, WG_SCALAR, (wg_init){"sideways", 0, 0});
    ck_assert_ptr_null(wg_compile(t, &bad, 1, NULL));
    ck_has(wg_tape_error(t), "sideways");
    ck_has(wg_tape_error(t), "xavier_normal");
    wg_tape_clear_error(t);
    wg_var nan = wg_param(t, "nan", WG_F64, WG_SCALAR, wg_init_constant(NAN));
    ck_assert_ptr_null(wg_compile(t, &nan, 1, NULL));
    ck_has(wg_tape_error(t), "NaN");
    ck_assert_ptr_null(wg_compile(t, &x, 1, NULL)); /* an error sticks */
    ck_assert_ptr_null(wg_compile(NULL, &x, 1, NULL));
}
END_TEST

/* ---- what passes may not touch ------------------------------------------------------------------------------ */

static size_t count_ops(const wg__graph *g, const char *op)
{
    size_t n = 0;
    for (uint32_t id = 0; id < g->tape->nodes.len; id++)
        n += !wg__node_at(g->tape, id)->out && !strcmp(wg__op_of(g->tape, id)->name, op);
    return n;
}

static wg_status run_nothing(const wg_kernel_call *c)
{
    memcpy(c->out[0].data, c->in[0].data, sizeof(double));
    return WG_OK;
}

/* Impure nodes are not merged, not folded and not hoisted, nor is what runs a body that has one. */
START_TEST(impure_nodes_stay)
{
    static const wg_kernel rows[] = {
        {.struct_size = WG_KERNEL, .types = "d->d", .run = run_nothing}};
    const wg_op op = {WG_OP,
                      .sig = "tick(x: float) -> y",
                      .doc = "Test.",
                      .flags = WG_OP_IMPURE,
                      .infer = infer_same,
                      .kernels = rows,
                      .nkernels = 1};
    ck_assert_int_eq(wg_register(ctx, &op, NULL), WG_OK);
    wg_var one = wg__materialise(t, wg_f(1), WG_F64), w = wg_input(t, "w", WG_F64, WG_SCALAR);
    wg_var outs[6] = {apply1("tick", one), apply1("tick", one)};
    for (int k = 0; k < 2; k++) {
        wg_tape *body = wg_fn_begin(t, "body");
        wg_var c = wg_fn_input(body, "c", WG_F64, WG_SCALAR), v = wg_add(w, wg_f(0));
        (void)v;
        wg_var inner = wg_add(c, apply1("tick", wg_mul(c, wg_f(3))));
        wg_var tick = apply1("tick", wg_sub(c, c)), same;
        wg_apply(body, "tick", &w, 1, NULL, 0, &same, 1); /* the same operand at every step */
        wg_var next = wg_add(wg_add(inner, same), wg_add(tick, wg_exp(w)));
        wg_fn fn = wg_fn_end(body, &next, 1);
        wg_scan_options options = WG_SCAN_DEFAULTS;
        options.length = 2;
        wg_scan(fn, &one, 1, NULL, 0, &options, &outs[2 + k], 1);
    }
    outs[4] = wg_exp(w);
    wg__graph g = graph_of(t, outs, 5);
    run_passes(&g, "all");
    ck_assert_uint_eq(count_ops(&g, "tick"), 2);
    ck_assert_uint_eq(count_ops(&g, "scan"), 2);
    ck_assert_uint_eq(count_ops(&g, "exp"), 1); /* hoisted twice, merged */
    wg__graph_free(&g);
}
END_TEST

static wg_status infer_both(wg_infer *q)
{
    q->out[0] = q->out[1] = q->in[0];
    return WG_OK;
}

static wg_status run_both(const wg_kernel_call *c)
{
    const double x = *(const double *)c->in[0].data;
    *(double *)c->out[0].data = x + 1;
    *(double *)c->out[1].data = 2 * x;
    return WG_OK;
}

/* What has several outputs stays in its loop, though it is the same at every step. */
START_TEST(several_outputs_stay)
{
    static const wg_kernel rows[] = {{.struct_size = WG_KERNEL, .types = "d->dd", .run = run_both}};
    const wg_op op = {WG_OP,           .sig = "both(x: float) -> y, z",
                      .doc = "Test.",  .infer = infer_both,
                      .kernels = rows, .nkernels = 1};
    ck_assert_int_eq(wg_register(ctx, &op, NULL), WG_OK);
    wg_var h = scalar_param("h", 1), w = scalar_param("w", 3), both[2], out;
    wg_tape *body = wg_fn_begin(t, "body");
    wg_var c = wg_fn_input(body, "c", WG_F64, WG_SCALAR), in = wg_add(c, w);
    (void)in;
    ck_assert_int_eq(wg_apply(body, "both", &w, 1, NULL, 0, both, 2), WG_OK);
    wg_var next = wg_add(c, wg_mul(both[0], both[1]));
    wg_fn fn = wg_fn_end(body, &next, 1);
    wg_scan_options options = WG_SCAN_DEFAULTS;
    options.length = 2;
    wg_scan(fn, &h, 1, NULL, 0, &options, &out, 1);
    wg__graph g = graph_of(t, &out, 1);
    run_passes(&g, "all");
    ck_assert_uint_eq(count_ops(&g, "both"), 0);
    wg__graph_free(&g);
    wg_session *s = session(&out, 1, NULL);
    run_ok(s);
    ck_assert_double_eq(wg_scalar(s, out), 49);
    wg_session_free(s);
}
END_TEST

/* Bodies of equal nodes differ where they give them in another order. */
START_TEST(order_of_outputs_counts)
{
    wg_var x = scalar_param("x", 0.5), outs[6];
    for (int k = 0; k < 3; k++) {
        wg_tape *body = wg_fn_begin(t, "f");
        wg_var u = wg_fn_input(body, "u", WG_F64, WG_SCALAR), e = wg_exp(u), s = wg_sin(u);
        wg_fn fn = wg_fn_end(body, k == 1 ? (wg_var[]){s, e} : (wg_var[]){e, s}, 2);
        ck_assert_int_eq(wg_call(fn, &x, 1, outs + 2 * k, 2), WG_OK);
    }
    wg__graph g = graph_of(t, outs, 6);
    run_passes(&g, "cse");
    ck_assert_uint_eq(count_ops(&g, "call"), 2);
    ck_assert_uint_eq(g.ids[0], g.ids[4]);
    ck_assert_uint_eq(g.ids[1], g.ids[5]);
    wg__graph_free(&g);
}
END_TEST

/* An assign gives the value that it writes; the passes know effects by other means. */
START_TEST(assigns_go)
{
    wg_var p = scalar_param("p", 2), y = wg_assign(p, wg_exp(p));
    wg__graph g = graph_of(t, &y, 1);
    run_passes(&g, "dce");
    ck_assert_uint_eq(count_ops(&g, "assign"), 0);
    ck_assert_uint_eq(count_ops(&g, "exp"), 1);
    wg__graph_free(&g);
}
END_TEST

/* Loops that do the same are one, were their bodies recorded twice. */
START_TEST(equal_bodies_merge)
{
    wg_var h = wg_input(t, "h", WG_F64, WG_SCALAR), outs[3];
    for (int k = 0; k < 3; k++) {
        wg_tape *body = wg_fn_begin(t, "step");
        wg_var c = wg_fn_input(body, "c", WG_F64, WG_SCALAR);
        wg_var next = k == 2 ? wg_cos(c) : wg_sin(c);
        wg_fn fn = wg_fn_end(body, &next, 1);
        wg_scan_options options = WG_SCAN_DEFAULTS;
        options.length = 2;
        wg_scan(fn, &h, 1, NULL, 0, &options, &outs[k], 1);
    }
    wg__graph g = graph_of(t, outs, 3);
    run_passes(&g, "all");
    ck_assert_uint_eq(count_ops(&g, "scan"), 2);
    ck_assert_uint_eq(g.ids[0], g.ids[1]);
    wg__graph_free(&g);
}
END_TEST

/* A pass that finds nothing to do leaves the tape where it is: no copy. */
START_TEST(nothing_to_do_costs_no_copy)
{
    wg_var x = wg_input(t, "x", WG_F64, WG_SHAPE(3)), y = wg_sin(wg_mul(x, wg_cos(x)));
    wg__graph g = graph_of(t, &y, 1);
    run_passes(&g, "expand lower dce fold cse algebra hoist");
    ck_assert_ptr_eq(g.tape, t);
    ck_assert_uint_eq(g.rewrites, 0);
    ck_assert_uint_eq(g.notes.len, 0);
    wg__graph_free(&g);
}
END_TEST

/* A kernel that fails is left to run time. */
START_TEST(folding_leaves_failures_alone)
{
    const int32_t far = 7;
    wg_var x = wg_const(t, WG_F64, WG_SHAPE(3), (double[]){1, 2, 3});
    wg_var y = wg_gather(x, wg_const(t, WG_I32, WG_SCALAR, &far));
    wg__graph g = graph_of(t, &y, 1);
    run_passes(&g, "all");
    ck_assert_uint_eq(count_ops(&g, "gather"), 1);
    wg__graph_free(&g);
}
END_TEST

/* Something for each pass to do. */
static wg_var busy_graph(wg_tape *tape)
{
    wg_var x = wg_input(tape, "x", WG_F64, WG_SHAPE(2, 3)),
           w = wg_input(tape, "w", WG_F64, WG_SHAPE(3));
    wg_var c = wg_const(tape, WG_F64, WG_SHAPE(3), (double[]){1, 2, 3});
    wg_var h = wg_mul(wg_softmax(x), wg_sqrt(c)), outs[2];
    wg_tape *body = wg_fn_begin(tape, "step");
    wg_var u = wg_fn_input(body, "u", WG_F64, WG_SHAPE(3));
    wg_var next = wg_add(wg_mul(u, wg_exp(w)), wg_mul(wg_exp(w), wg_f(1)));
    wg_fn fn = wg_fn_end(body, &next, 1);
    wg_scan_options options = WG_SCAN_DEFAULTS;
    options.length = 3;
    wg_scan(fn, &w, 1, NULL, 0, &options, outs, 1);
    wg_var y = wg_sum(wg_mul0(wg_add(h, wg_f(0)), outs[0]));
    wg_grad(&y, 1, NULL, &w, 1, outs);
    return outs[0];
}

static bool compile_busy(wg_ctx *own, void *user)
{
    (void)user;
    wg_tape *tape = wg_tape_new(own);
    wg_var y = tape ? busy_graph(tape) : wg_none();
    wg__graph g = {
        .ctx = own, .report = tape, .tape = tape, .nroots = 1, .nids = 1, .explain = true};
    bool good = wg_ok(y) && (g.ids = wg__calloc(own, 1, sizeof *g.ids));
    if (good) {
        g.ids[0] = (uint32_t)y.bits;
        good = wg__pipeline(&g, WG__LEVEL_FUSING, false) == WG_OK;
        ck_assert(good || wg_tape_status(tape) == WG_NO_MEMORY);
    }
    wg__graph_free(&g);
    wg_tape_free(tape);
    return good;
}

START_TEST(memory_may_run_out) { ck_assert_int_eq(fault_each(wg_ctx_new, compile_busy, NULL), 0); }
END_TEST

int main(void)
{
    Suite *suite = suite_create("pass");
    TCase *c = tcase_create("pass");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, composites_expand);
    tcase_add_loop_test(c, shared_bodies_compile_once, 0, 2);
    tcase_add_loop_test(c, bad_expansions_are_errors, 0, 2);
    tcase_add_test(c, canonical_order);
    tcase_add_test(c, compile_errors);
    tcase_add_test(c, impure_nodes_stay);
    tcase_add_test(c, several_outputs_stay);
    tcase_add_test(c, order_of_outputs_counts);
    tcase_add_test(c, assigns_go);
    tcase_add_test(c, equal_bodies_merge);
    tcase_add_test(c, nothing_to_do_costs_no_copy);
    tcase_add_test(c, folding_leaves_failures_alone);
    tcase_add_test(c, memory_may_run_out);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
