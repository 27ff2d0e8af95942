/* Matrices of loops stored the way their products are fast (pass turn): values of the vm against the
 * reference executor, which multiplies as recorded; the same bits whatever the number of threads; and
 * that the pass finds nothing after itself, runs for the vm alone, and reports want of memory. What it
 * turns and what it leaves is in tests/pass/turn*.pass. */
#include <string.h>

#include "fault.h"
#include "passing.h"

/* An LSTM of hidden size 24 over sequences of 20, and a loop around a loop with the same matrix. */
static const char text[] =
    "graph g(x: f32[T=20, 16, 8], h: f32[16, 24], c: f32[16, 24], W: f32[8, 96], U: f32[24, 96])"
    " -> (loss) {\n"
    "  fn cell(h: f32[16, 24], c: f32[16, 24], x: f32[16, 8], W: f32[8, 96], U: f32[24, 96])"
    " -> (n, d, n) {\n"
    "    z = add(matmul(x, W), matmul(h, U))\n"
    "    i = sigmoid(slice(z, start=[0, 0], stop=[16, 24]))\n"
    "    f = sigmoid(slice(z, start=[0, 24], stop=[16, 48]))\n"
    "    g = tanh(slice(z, start=[0, 48], stop=[16, 72]))\n"
    "    o = sigmoid(slice(z, start=[0, 72], stop=[16, 96]))\n"
    "    d = add(mul(f, c), mul(i, g))\n"
    "    n = mul(o, tanh(d))\n"
    "  }\n"
    "  (a, b, ys, hs, cs) = scan(h, c, x, W, U, fn=cell, carries=2, xs=1, length=[T])\n"
    "  fn around(s: f32[16, 24], U: f32[24, 96]) -> (r) {\n"
    "    fn step(s: f32[16, 24], U: f32[24, 96]) -> (v) {\n"
    "      v = tanh(matmul(tanh(matmul(s, U)), U, transpose_b=true))\n"
    "    }\n"
    "    (r, rs) = scan(s, U, fn=step, carries=1, xs=0, length=[9])\n"
    "  }\n"
    "  (e, es) = scan(a, U, fn=around, carries=1, xs=0, length=[3])\n"
    "  loss = add(mean(square(ys)), mean(mul(e, b)))\n"
    "}\n";

enum { OUTS = 3 };

/* The loss with its derivatives by W and U; owned, or NULL when memory is out. */
static wg_graph *parse(wg_ctx *own, wg_var outs[OUTS])
{
    char *error = NULL;
    wg_graph *g = wg_parse(own, text, sizeof text - 1, "text", &error);
    wg_text_free(own, error);
    if (!g)
        return NULL;
    wg_tape *tape = wg_graph_tape(g);
    wg_var targets[2];
    for (uint32_t k = 0; k < 2; k++)
        targets[k] = wg__var(tape, tape->inputs.data[3 + k]);
    outs[0] = wg_graph_outputs(g)[0];
    if (wg_grad(outs, 1, NULL, targets, 2, outs + 1) == WG_OK)
        return g;
    wg_graph_free(g);
    return NULL;
}

static wg_session *run_vm(wg_tape *tape, const wg_var *outs)
{
    wg_compile_options options = WG_COMPILE_DEFAULTS;
    options.verify = true;
    options.no_cache = true;
    wg_program *p = wg_compile(tape, outs, OUTS, &options);
    ck_assert_msg(p != NULL, "%s", wg_tape_error(tape));
    wg_session *s = wg_session_new(p, NULL);
    bind_inputs(s, p);
    run_ok(s);
    wg_program_free(p);
    return s;
}

static size_t notes_of(const wg__graph *g, const char *pass)
{
    size_t n = 0;
    for (size_t i = 0; i < g->notes.len; i++)
        n += strcmp(g->notes.data[i].pass, pass) == 0;
    return n;
}

START_TEST(values_are_those_of_the_reference)
{
    wg_var outs[OUTS];
    wg_graph *parsed = parse(ctx, outs);
    ck_assert_ptr_nonnull(parsed);
    wg__graph g = graph_of(wg_graph_tape(parsed), outs, OUTS);
    run_passes(&g, "all");
    ck_assert_uint_ge(notes_of(&g, "turn"), 2); /* the loop around a loop takes two rounds */
    wg__graph_free(&g);
    wg_session *want = run_reference(wg_graph_tape(parsed), outs, OUTS);
    wg_session *got = run_vm(wg_graph_tape(parsed), outs);
    check_same_values(want, got, OUTS, 2e-5, "vm");
    wg_session_free(want);
    wg_session_free(got);
    wg_graph_free(parsed);
}
END_TEST

/* The pass alone: the reference executor adds up in f64 in one order, so that no bit changes. */
START_TEST(the_pass_alone_keeps_all_bits)
{
    wg_var outs[OUTS];
    wg_graph *parsed = parse(ctx, outs);
    ck_assert_ptr_nonnull(parsed);
    check_values(wg_graph_tape(parsed), outs, OUTS, "expand turn", 0, "turn");
    wg_graph_free(parsed);
}
END_TEST

START_TEST(threads_do_not_change_bits)
{
    void *bits[OUTS] = {NULL};
    for (size_t threads = 1; threads <= 3; threads++) {
        wg_ctx_options options = WG_CTX_DEFAULTS;
        options.threads = threads;
        wg_ctx *before = ctx;
        ctx = wg_ctx_new(&options);
        wg_var outs[OUTS];
        wg_graph *parsed = parse(ctx, outs);
        ck_assert_ptr_nonnull(parsed);
        wg_session *s = run_vm(wg_graph_tape(parsed), outs);
        for (size_t i = 0; i < OUTS; i++) {
            wg_type type;
            const void *data = wg_output_at(s, i, &type, NULL);
            const size_t size = (size_t)wg_shape_count(type.shape) * sizeof(float);
            if (threads == 1)
                memcpy(bits[i] = malloc(size), data, size);
            else
                ck_assert_mem_eq(data, bits[i], size);
        }
        wg_session_free(s);
        wg_graph_free(parsed);
        wg_ctx_free(ctx);
        ctx = before;
    }
    for (size_t i = 0; i < OUTS; i++)
        free(bits[i]);
}
END_TEST

START_TEST(nothing_is_left_to_turn)
{
    wg_var outs[OUTS];
    wg_graph *parsed = parse(ctx, outs);
    ck_assert_ptr_nonnull(parsed);
    wg__graph g = graph_of(wg_graph_tape(parsed), outs, OUTS);
    run_passes(&g, "all");
    const size_t rewrites = g.rewrites;
    run_passes(&g, "turn");
    ck_assert_uint_eq(g.rewrites, rewrites);
    wg__graph_free(&g);
    wg_graph_free(parsed);
}
END_TEST

START_TEST(the_reference_multiplies_as_recorded)
{
    wg_var outs[OUTS];
    wg_graph *parsed = parse(ctx, outs);
    ck_assert_ptr_nonnull(parsed);
    wg__graph g = graph_of(wg_graph_tape(parsed), outs, OUTS);
    ck_assert_int_eq(wg__pipeline(&g, WG__LEVEL_RECORDED, true), WG_OK);
    ck_assert_uint_eq(notes_of(&g, "turn"), 0);
    wg__graph_free(&g);
    wg_graph_free(parsed);
}
END_TEST

static bool turn_graph(wg_ctx *own, void *user)
{
    wg_var outs[OUTS];
    wg_graph *parsed = parse(own, outs);
    if (!parsed)
        return false;
    wg_tape *tape = wg_graph_tape(parsed);
    wg__graph g = {.ctx = own, .report = tape, .tape = tape, .nroots = 1, .nids = 1};
    bool good = (g.ids = wg__calloc(own, 1, sizeof *g.ids)) != NULL;
    if (good) {
        g.ids[0] = (uint32_t)outs[1].bits;
        good = wg__pass_turn(&g) == WG_OK;
        ck_assert(good || wg_tape_status(tape) == WG_NO_MEMORY);
        ck_assert(!good || g.rewrites > 0);
    }
    wg__graph_free(&g);
    wg_graph_free(parsed);
    return good;
}

START_TEST(memory_may_run_out) { ck_assert_int_eq(fault_each(wg_ctx_new, turn_graph, NULL), 0); }
END_TEST

int main(void)
{
    Suite *suite = suite_create("turn");
    TCase *c = tcase_create("turn");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, values_are_those_of_the_reference);
    tcase_add_test(c, the_pass_alone_keeps_all_bits);
    tcase_add_test(c, threads_do_not_change_bits);
    tcase_add_test(c, nothing_is_left_to_turn);
    tcase_add_test(c, the_reference_multiplies_as_recorded);
    tcase_add_test(c, memory_may_run_out);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
