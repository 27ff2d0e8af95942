/* Loop fission: batching rules of ops against loops over their steps; random loops and their gradients
 * before and after the pass, whole and in chunks, on both executors; what is left in the loops. */
#include "fault.h"
#include "passing.h"
#include "random_loop.h"

/* ---- batching rules ------------------------------------------------------------------------------------- */

enum { STEPS = 3, MOST_IN = 8 };

/* Ops without a rule, and those whose rule needs its indices, or all but them, to stay the same. */
static bool has_rule(const wg_op *op)
{
    const uint32_t flags = WG_OP_ELEMENTWISE | WG_OP_PICK | WG_OP_GATHER | WG_OP_CONTRACT;
    return op->batch || op->monoid != WG_MONOID_NONE || (op->flags & flags);
}

static bool has_loop(const wg_tape *tape)
{
    for (uint32_t id = 0; id < tape->nodes.len; id++)
        if (wg__runs_fns(wg__op_of(tape, id)))
            return true;
    return false;
}

/* The graph of a case, op and all, as a map over STEPS: inputs number k with bit k of `varies` are
 * sequences; its stacked output, or the sum over the steps. wg_none() without room for their axis. */
static wg_var map_of_case(wg_graph *g, unsigned varies, bool sum)
{
    const wg_tape *from = wg_graph_tape(g);
    wg_var xs[MOST_IN], out = wg_none();
    size_t nxs = 0, nins = from->inputs.len;
    ck_assert_uint_le(nins, MOST_IN);
    wg_tape *body = wg_fn_begin(t, "case");
    uint32_t *map = wg__copy_map(ctx, from), root = (uint32_t)wg_graph_outputs(g)[0].bits;
    bool room = true;
    for (size_t i = 0; i < 2 * nins; i++) { /* formals come before what is captured */
        const size_t k = i % nins;
        const uint32_t id = from->inputs.data[k];
        const wg_type *type = wg__type_at(from, id);
        const bool sequence = varies >> k & 1;
        const int64_t steps = STEPS;
        char name[] = {(char)('a' + k), 0};
        wg_shape all = sequence ? wg_shape_make(&steps, 1) : type->shape;
        room = room && (!sequence || type->shape.rank < WG_MAX_RANK);
        if (sequence != (i < nins) || !room)
            continue;
        for (int a = 0; a < type->shape.rank && sequence; a++)
            wg_shape_push_size(&all, type->shape.dim[a]);
        wg_var x = wg_input(t, name, type->dtype, all), in = x;
        if (sequence) {
            xs[nxs++] = x;
            in = wg_fn_input(body, name, type->dtype, type->shape);
        }
        map[id] = wg__resolve(body, in, "case");
    }
    wg__copy c = {.dst = body, .src = from, .map = map, .roots = &root, .nroots = 1};
    if (room) {
        ck_assert_msg(wg__copy_nodes(&c) == WG_OK, "%s", wg_tape_error(t));
        out = wg__var(body, map[root]);
    }
    wg__free(ctx, map);
    if (!room || wg_typeof(out).shape.rank == WG_MAX_RANK ||
        (sum && wg_typeof(out).dtype == WG_BOOL))
        return wg_none();
    wg_fn fn = wg_fn_end(body, &out, 1);
    wg_scan_options options = WG_SCAN_DEFAULTS;
    options.sums = sum;
    ck_assert_int_eq(wg_map(fn, xs, nxs, &options, &out, 1), WG_OK);
    return out;
}

/* Checks one case; returns whether the loop went. */
static bool check_case(const char *op, const char *text, unsigned varies, bool sum, size_t *nins)
{
    wg_graph *g = wg_parse(ctx, text, strlen(text), op, NULL);
    wg_tape_free(t);
    t = wg_tape_new(ctx);
    *nins = wg_graph_tape(g)->inputs.len;
    wg_var y = varies >> *nins ? wg_none() : map_of_case(g, varies, sum);
    wg_graph_free(g);
    if (wg_is_none(y))
        return false;
    wg__graph after = graph_of(t, &y, 1);
    run_passes(&after, "split");
    const bool gone = !has_loop(after.tape);
    wg__graph_free(&after);
    check_values(t, &y, 1, "split", 1e-13, text);
    return gone;
}

/* Each op with a rule, in each of its check's cases, with each choice of operands that vary. */
START_TEST(rules_equal_loops)
{
    size_t ops = 0;
    for (size_t i = 0; i < wg_op_count(ctx); i++) {
        const wg_op *op = wg_op_at(ctx, i);
        const char *name = wg_op_name(ctx, op);
        size_t gone = 0, nins = 0;
        if (!has_rule(op) || !op->check || !op->check->cases)
            continue;
        for (size_t k = 0; op->check->cases[k]; k++)
            for (unsigned varies = 1; varies < 8; varies++)
                for (int sum = 0; sum < 2; sum++)
                    gone += check_case(name, op->check->cases[k], varies, sum, &nins);
        ck_assert_msg(gone > 0 || nins == 0, "%s: no case was done at once", name);
        ops += gone > 0;
    }
    ck_assert_uint_ge(ops, 24);
}
END_TEST

/* Indices that vary from step to step. */
START_TEST(indices_vary)
{
    static const char gather[] =
        "graph g(x: f64[2, 3, 2], i: i32[4]) -> (y) { y = gather(x, i, axis=1) }";
    static const char scatter[] = "graph g(x: f64[2, 3], i: i32[2], u: f64[2, 2]) -> (y) "
                                  "{ y = scatter_add(x, i, u, axis=1) }";
    static const char pick[] = "graph g(x: f64[2, 3], i: i64[2]) -> (y) { y = pick(x, i) }";
    static const struct {
        const char *text;
        unsigned varies;
        bool sum, gone;
    } cases[] = {{gather, 1, false, true},  {gather, 2, false, true},   {gather, 3, false, false},
                 {gather, 2, true, true},   {scatter, 5, false, true},  {scatter, 4, false, true},
                 {scatter, 1, true, true},  {scatter, 6, false, false}, {scatter, 6, true, true},
                 {scatter, 7, true, false}, {scatter, 2, true, false},  {pick, 1, false, true},
                 {pick, 2, false, true},    {pick, 3, true, true}};
    size_t nins;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_msg(check_case("index", cases[i].text, cases[i].varies, cases[i].sum, &nins) ==
                          cases[i].gone,
                      "case %zu", i);
}
END_TEST

/* Elementwise ops broadcast: operands of lower rank, that vary or not. */
START_TEST(elementwise_operands_align)
{
    for (unsigned varies = 1; varies < 4; varies++)
        for (int swap = 0; swap < 2; swap++) {
            size_t nins;
            const char *text =
                swap ? "graph g(a: f64[2, 1, 4], b: f64[3, 1]) -> (y) { y = sub(a, b) }"
                     : "graph g(a: f64[4], b: f64[3, 2, 1]) -> (y) { y = sub(a, b) }";
            ck_assert(check_case("sub", text, varies, false, &nins));
        }
}
END_TEST

/* ---- loops ----------------------------------------------------------------------------------------------------- */

static const int64_t lengths[] = {0, 1, 2, 17, 64, 129, 1000};
enum { NLENGTHS = sizeof lengths / sizeof *lengths };
static const wg_var all_steps = {NULL, 0};

/* All outputs, the loss, and its gradients. */
static size_t with_gradients(const random_loop *l, wg_var *outs)
{
    static const int at[] = {0, 2, 3, 4, 5, 6, 7};
    wg_var loss = random_loop_loss(l), xs[7];
    size_t n = 0;
    for (size_t k = 0; k < l->nouts; k++)
        outs[n++] = l->outs[k];
    outs[n++] = loss;
    for (size_t k = 0; k < 7; k++)
        xs[k] = l->in[at[k]];
    ck_assert_msg(wg_grad(&loss, 1, NULL, xs, 7, outs + n) == WG_OK, "%s", wg_tape_error(t));
    return n + 7;
}

/* The pass alone leaves values alone, to rounding. */
START_TEST(random_loops_split)
{
    random_loop l;
    for (uint64_t seed = 0; seed < 6; seed++) {
        char what[64];
        wg_var outs[32];
        wg_tape_free(t);
        t = wg_tape_new(ctx);
        const uint64_t number = (uint64_t)_i * 6 + seed;
        snprintf(what, sizeof what, "seed %d", (int)number);
        random_loop_make(&l, t, number, lengths[number % NLENGTHS], all_steps);
        check_values(t, l.outs, l.nouts, "expand lower split", 1e-12, what);
        size_t n = with_gradients(&l, outs);
        check_values(t, outs, n, "expand lower dce split", 1e-11, what);
    }
}
END_TEST

static wg_session *run_on(const wg_var *outs, size_t n, const char *executor)
{
    wg_compile_options options = WG_COMPILE_DEFAULTS;
    options.executor = executor;
    options.verify = true;
    wg_program *p = wg_compile(t, outs, n, &options);
    ck_assert_msg(p != NULL, "%s", wg_tape_error(t));
    wg_session *s = wg_session_new(p, NULL);
    bind_inputs(s, p);
    run_ok(s);
    wg_program_free(p);
    return s;
}

/* The whole pipeline and the vm against the oracle, which runs what was recorded. */
START_TEST(random_loops_run)
{
    random_loop l;
    wg_var outs[32];
    char what[64];
    snprintf(what, sizeof what, "seed %d", 1000 + _i);
    random_loop_make(&l, t, (uint64_t)(1000 + _i), lengths[_i % NLENGTHS], all_steps);
    size_t n = with_gradients(&l, outs);
    wg_session *want = run_on(outs, n, "reference"), *got = run_on(outs, n, "vm");
    check_same_values(want, got, n, 1e-10, what);
    wg_session_free(want);
    wg_session_free(got);
}
END_TEST

/* Steps that do not run give zeros and add nothing, also where a value moved. */
START_TEST(counted_loops_split)
{
    random_loop l;
    wg_var outs[32];
    char what[64];
    snprintf(what, sizeof what, "seed %d", 2000 + _i);
    int64_t counts[] = {0, 5, 17, 40};
    wg_var count = wg_const(t, WG_I64, WG_SCALAR, &counts[_i % 4]);
    random_loop_make(&l, t, (uint64_t)(2000 + _i), 17, count);
    check_values(t, l.outs, l.nouts, "expand lower split", 1e-12, what);
    size_t n = with_gradients(&l, outs);
    check_values(t, outs, n, "expand lower dce split", 1e-11, what);
}
END_TEST

/* ---- chunks ------------------------------------------------------------------------------------------------ */

/* h' = tanh(x w + h u), loss = sum of sin(h v) over the steps: products in loops, after the passes. */
static size_t products_in_loops(const wg_tape *tape)
{
    wg__pool bodies;
    size_t n = 0;
    wg__pool_init(&bodies, ctx);
    ck_assert(wg__bodies_find(&bodies, tape));
    for (size_t i = 0; i < bodies.entries.len; i++) {
        const wg_tape *b = wg__bodies_at(&bodies, i);
        bool innermost = b->parent && b->fns.len == 0;
        for (uint32_t id = 0; id < b->nodes.len && innermost; id++)
            n += (wg__op_of(b, id)->def.flags & WG_OP_CONTRACT) != 0;
    }
    wg__pool_free(&bodies);
    return n;
}

static size_t rnn(int64_t steps, int64_t batch, wg_var *outs)
{
    wg_var x = wg_input(t, "x", WG_F64, WG_SHAPE(steps, batch, 4));
    wg_var w = wg_input(t, "w", WG_F64, WG_SHAPE(4, 5)),
           u = wg_input(t, "u", WG_F64, WG_SHAPE(5, 5));
    wg_var v = wg_input(t, "v", WG_F64, WG_SHAPE(5, 3)),
           h0 = wg_input(t, "h", WG_F64, WG_SHAPE(batch, 5));
    wg_tape *body = wg_fn_begin(t, "cell");
    wg_var h = wg_fn_input(body, "h", WG_F64, WG_SHAPE(batch, 5));
    wg_var e = wg_fn_input(body, "e", WG_F64, WG_SHAPE(batch, 4));
    wg_var next = wg_tanh(wg_add(wg_matmul(e, w), wg_matmul(h, u)));
    wg_var body_outs[] = {next, wg_sin(wg_matmul(next, v))}, scan[2];
    wg_fn fn = wg_fn_end(body, body_outs, 2);
    ck_assert_int_eq(wg_scan(fn, &h0, 1, &x, 1, NULL, scan, 2), WG_OK);
    outs[0] = wg_sum(scan[1]);
    const wg_var xs[] = {x, w, u, v, h0};
    ck_assert_int_eq(wg_grad(&outs[0], 1, NULL, xs, 5, outs + 1), WG_OK);
    return 6;
}

/* Of a vanilla RNN two products a step are left: h u forward, and that of its cotangent backward. */
START_TEST(two_products_stay)
{
    static const int64_t sizes[][2] = {{20, 2}, {64, 1}, {64, 32}, {150, 32}, {1000, 1}};
    wg_var outs[6];
    size_t n = rnn(sizes[_i][0], sizes[_i][1], outs);
    wg__graph g = graph_of(t, outs, n);
    run_passes(&g, "all");
    const size_t copies =
        sizes[_i][0] == 150 || sizes[_i][0] == 1000 ? 2 : 1; /* chunks, and a rest */
    ck_assert_uint_eq(products_in_loops(g.tape), 2 * copies);
    wg__graph_free(&g);
    check_values(t, outs, n, "all", 1e-11, "rnn");
}
END_TEST

/* Loops of the second derivative: over histories of loops over histories. */
START_TEST(second_derivatives_split)
{
    wg_var outs[12], squares = wg_f(0);
    size_t n = rnn(_i ? 37 : 5, _i ? 32 : 2, outs);
    for (size_t k = 1; k < n; k++) {
        wg_var part = wg_sum(wg_square(outs[k]));
        squares = k > 1 ? wg_add(squares, part) : part;
    }
    outs[n] = squares;
    wg_var xs[] = {wg_none(), wg_none()};
    size_t at = 0;
    for (size_t k = 0; k < t->inputs.len && at < 2; k++) /* w and u */
        if (wg__type_at(t, t->inputs.data[k])->shape.rank == 2)
            xs[at++] = wg__var(t, t->inputs.data[k]);
    ck_assert_int_eq(wg_grad(&squares, 1, NULL, xs, 2, outs + n + 1), WG_OK);
    check_values(t, outs, n + 3, "all", 1e-10, "second derivatives");
}
END_TEST

/* Bodies that share bodies, 40 deep: more than 2^40 loops if each were split for itself. */
START_TEST(shared_bodies_split_in_time)
{
    enum { DEEP = 40 };
    wg_var x = wg_input(t, "x", WG_F64, WG_SHAPE(1, 2, 2)),
           w = wg_input(t, "w", WG_F64, WG_SHAPE(2, 2));
    wg_fn fn = {NULL, 0};
    for (int k = 0; k < DEEP; k++) {
        wg_tape *body = wg_fn_begin(t, "level");
        wg_var h = wg_fn_input(body, "h", WG_F64, WG_SHAPE(2, 2));
        wg_var e = wg_fn_input(body, "e", WG_F64, WG_SHAPE(2, 2));
        wg_var v = wg_fn_input(body, "v", WG_F64, WG_SHAPE(1, 2, 2));
        wg_var m = wg_fn_input(body, "m", WG_F64, WG_SHAPE(2, 2));
        wg_var out = wg_tanh(wg_add(h, wg_matmul(e, m)));
        for (int i = 0; i < 2 && k > 0; i++) {
            const wg_attr attrs[] = {wg_attr_fn("fn", fn), wg_attr_int("carries", 1),
                                     wg_attr_int("xs", 1), wg_attr_shape("length", WG_SHAPE(1))};
            const wg_var in[] = {out, v, v, m};
            ck_assert_int_eq(wg_apply(body, "scan", in, 4, attrs, 4, &out, 1), WG_OK);
        }
        fn = wg_fn_end(body, &out, 1);
        ck_assert_msg(wg_fn_ok(fn), "%s", wg_tape_error(t));
    }
    const wg_attr attrs[] = {wg_attr_fn("fn", fn), wg_attr_int("carries", 1), wg_attr_int("xs", 1),
                             wg_attr_shape("length", WG_SHAPE(1))};
    const wg_var in[] = {w, x, x, w};
    wg_var y;
    ck_assert_int_eq(wg_apply(t, "scan", in, 4, attrs, 4, &y, 1), WG_OK);
    wg__graph g = graph_of(t, &y, 1);
    run_passes(&g, "split");
    wg__graph_free(&g);
}
END_TEST

/* ---- rules of programs ---------------------------------------------------------------------------------------- */

static wg_status infer_same(wg_infer *q)
{
    q->out[0] = q->in[0];
    return WG_OK;
}

static wg_status copy(const wg_kernel_call *c)
{
    memcpy(c->out[0].data, c->in[0].data,
           (size_t)wg_shape_count(c->in[0].type->shape) * sizeof(double));
    return WG_OK;
}

static void batch_well(wg_batch *b) { wg_apply(b->tape, "same", b->in, 1, NULL, 0, b->result, 1); }

static void batch_to_another_type(wg_batch *b) { b->result[0] = wg_sum(b->in[0]); }

static void batch_to_failure(wg_batch *b) { b->result[0] = wg_reshape(b->in[0], WG_SHAPE(7)); }

/* A rule that fails or answers with another type counts as none, and is no error. */
START_TEST(registered_rules)
{
    static const wg_batch_fn rules[] = {batch_well, batch_to_another_type, batch_to_failure, NULL};
    const wg_kernel rows[] = {{WG_KERNEL, .types = "d->d", .run = copy}};
    const wg_op op = {WG_OP,
                      .sig = "same(x: float) -> y",
                      .doc = "Test.",
                      .infer = infer_same,
                      .kernels = rows,
                      .nkernels = 1,
                      .batch = rules[_i]};
    const char *error = "";
    ck_assert_msg(wg_register(ctx, &op, &error) == WG_OK, "%s", error);
    wg_var x = wg_input(t, "x", WG_F64, WG_SHAPE(3, 2)), y;
    wg_tape *body = wg_fn_begin(t, "body");
    wg_var e = apply1("same", wg_fn_input(body, "e", WG_F64, WG_SHAPE(2)));
    wg_map(wg_fn_end(body, &e, 1), &x, 1, NULL, &y, 1);
    wg__graph g = graph_of(t, &y, 1);
    run_passes(&g, "split");
    ck_assert(has_loop(g.tape) == (_i > 0));
    wg__graph_free(&g);
    check_values(t, &y, 1, "split", 0, "same");
}
END_TEST

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static const char busy[] =
    "graph g(h: f64[32, 2], x: f64[33, 32, 2], w: f64[2, 2], n: i32[33]) -> (y, s) {\n"
    "    fn step(h: f64[32, 2], x: f64[32, 2], n: i32, w: f64[2, 2]) -> (z, h, r) {\n"
    "        e = gather(w, n)\n"
    "        p = matmul(x, w)\n"
    "        q = add(p, e)\n"
    "        z = add(q, h)\n"
    "        r = matmul(z, x, transpose_a=true)\n"
    "    }\n"
    "    (y: f64[32, 2], ys: f64[33, 32, 2], s: f64[2, 2], hs: f64[33, 32, 2]) = scan(h, x, n, w, "
    "fn=step, carries=1, xs=2, length=[33], sums=1)\n"
    "}\n";

static bool split_busy(wg_ctx *context, void *user)
{
    wg_graph *parsed = wg_parse(context, busy, strlen(busy), "busy", NULL);
    if (!parsed)
        return false;
    wg_tape *tape = wg_graph_tape(parsed);
    wg__graph g = {.ctx = context, .report = tape, .tape = tape, .nroots = 2, .nids = 2};
    g.ids = wg__calloc(context, 2, sizeof *g.ids);
    for (size_t i = 0; g.ids && i < 2; i++)
        g.ids[i] = (uint32_t)wg_graph_outputs(parsed)[i].bits;
    const bool good = g.ids && wg__pass_split(&g) == WG_OK;
    wg__graph_free(&g);
    wg_graph_free(parsed);
    (void)user;
    return good;
}

START_TEST(memory_may_run_out) { ck_assert_int_eq(fault_each(wg_ctx_new, split_busy, NULL), 0); }
END_TEST

int main(void)
{
    Suite *suite = suite_create("split");
    TCase *c = tcase_create("split");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 300);
    tcase_add_test(c, rules_equal_loops);
    tcase_add_test(c, indices_vary);
    tcase_add_test(c, elementwise_operands_align);
    tcase_add_loop_test(c, registered_rules, 0, 4);
    tcase_add_test(c, memory_may_run_out);
    tcase_add_loop_test(c, random_loops_split, 0, 28);
    tcase_add_loop_test(c, random_loops_run, 0, 42);
    tcase_add_loop_test(c, counted_loops_split, 0, 24);
    tcase_add_loop_test(c, two_products_stay, 0, 5);
    tcase_add_loop_test(c, second_derivatives_split, 0, 2);
    tcase_add_test(c, shared_bodies_split_in_time);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
