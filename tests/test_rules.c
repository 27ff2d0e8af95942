/* Rules: graphs of text before and after (tests/pass), what rules look at, and values before and after
 * passes. */
#include <dirent.h>

#include "passing.h"
#include "random_graph.h"

/* ---- text in, text out --------------------------------------------------------------------------------- */

static char *read_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    ck_assert_msg(f != NULL, "%s", path);
    char *text = calloc(1, 1 << 16);
    *size = fread(text, 1, (1 << 16) - 1, f);
    fclose(f);
    return text;
}

static bool used[128]; /* rules of algebra that a golden file has seen at work */

static void note_rules(const wg__graph *g)
{
    for (size_t i = 0; i < g->notes.len; i++)
        for (size_t k = 0; wg__algebra_rule_name(k); k++) {
            const char *text = g->notes.data[i].text, *name = wg__algebra_rule_name(k);
            used[k] |= !strncmp(text, name, strlen(name)) && text[strlen(name)] == ':';
        }
}

static void check_rules_used(void)
{
    for (size_t k = 0; wg__algebra_rule_name(k); k++)
        ck_assert_msg(used[k], "rule %s is in no file of tests/pass", wg__algebra_rule_name(k));
}

/* The first line names passes; then a graph, a line "---", and the graph that is to come out.
 * WG_REFRESH writes what came out instead. */
static void check_golden(const char *path)
{
    size_t size;
    char *text = read_file(path, &size), *error = NULL, names[128] = "";
    char *in = strchr(text, '\n') + 1, *mark = strstr(in, "---\n");
    snprintf(names, sizeof names, "%.*s", (int)(in - text - 1), text);
    ck_assert_msg(mark != NULL, "%s has no line ---", path);
    wg_graph *parsed = wg_parse(ctx, in, (size_t)(mark - in), path, &error);
    ck_assert_msg(parsed != NULL, "%s", error);
    wg__graph g =
        graph_of(wg_graph_tape(parsed), wg_graph_outputs(parsed), wg_graph_noutputs(parsed));
    run_passes(&g, names);
    note_rules(&g);
    wg_var outs[16];
    for (size_t i = 0; i < g.nroots; i++)
        outs[i] = wg__var(g.tape, g.ids[i]);
    char *got = wg_print(g.tape, wg_graph_name(parsed), outs, g.nroots);
    if (getenv("WG_REFRESH")) {
        FILE *f = fopen(path, "wb");
        fprintf(f, "%.*s---\n%s", (int)(mark - text), text, got);
        fclose(f);
    } else {
        ck_assert_msg(strcmp(got, mark + 4) == 0, "%s: got\n%s", path, got);
    }
    wg_text_free(ctx, got);
    wg__graph_free(&g);
    wg_graph_free(parsed);
    free(text);
}

START_TEST(golden_files)
{
    const char *top = getenv("WG_SRCDIR");
    char folder[512], path[1024];
    snprintf(folder, sizeof folder, "%s/tests/pass", top ? top : ".");
    DIR *dir = opendir(folder);
    int files = 0;
    ck_assert_msg(dir != NULL, "%s", folder);
    for (struct dirent *entry; (entry = readdir(dir)); files += strstr(path, ".pass") != NULL) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (strstr(path, ".pass"))
            check_golden(path);
    }
    closedir(dir);
    ck_assert_int_gt(files, 10);
    check_rules_used();
}
END_TEST

/* Passes alone and together; the tolerance of those that round. */
static const struct {
    const char *names;
    bool rounds;
} trials[] = {
    {"fold", false},        {"cse", false},
    {"algebra", false},     {"hoist", false},
    {"canon", false},       {"fold cse algebra hoist fold cse algebra hoist canon", false},
    {"expand lower", true}, {"all", true},
};

enum { GRAPHS = 60 };

/* Values of random graphs, with the gradient of their sum, before and after every trial. */
START_TEST(random_graphs_keep_their_values)
{
    for (size_t k = 0; k < sizeof trials / sizeof *trials; k++) {
        rng r = rng_make((uint64_t)_i);
        wg_tape *tape = wg_tape_new(ctx);
        random_graph g = {.t = tape, .r = &r, .rounding = trials[k].rounds};
        random_graph_make(&g, 24);
        wg_var outs[8];
        size_t n = 0;
        for (; n < 4; n++)
            outs[n] = g.v[g.n - 1 - n];
        wg_var y = wg_sum(outs[0]);
        for (size_t i = 1; i < n; i++)
            y = wg_add(y, wg_sum(outs[i]));
        ck_assert_msg(wg_grad(&y, 1, NULL, g.v, 4, outs + n) == WG_OK, "%s", wg_tape_error(tape));
        char what[96];
        snprintf(what, sizeof what, "seed %d, passes %s", _i, trials[k].names);
        check_values(tape, outs, n + 4, trials[k].names, trials[k].rounds ? 1e-9 : 0, what);
        wg_tape_free(tape);
    }
}
END_TEST

static const char *const examples[] = {"digits", "logistic", "mixture", "rnn_bptt"};

/* The same of the examples, with the gradients of their first output. */
START_TEST(examples_keep_their_values)
{
    const char *top = getenv("WG_SRCDIR");
    char path[1024], *error = NULL;
    snprintf(path, sizeof path, "%s/examples/%s.wg", top ? top : ".", examples[_i]);
    for (size_t k = 0; k < sizeof trials / sizeof *trials; k++) {
        wg_graph *parsed = wg_parse_file(ctx, path, &error);
        ck_assert_msg(parsed != NULL, "%s", error);
        wg_tape *tape = wg_graph_tape(parsed);
        wg_var outs[32], params[16];
        size_t n = wg_graph_noutputs(parsed), np = tape->params.len;
        memcpy(outs, wg_graph_outputs(parsed), n * sizeof *outs);
        for (size_t i = 0; i < np; i++)
            params[i] = wg__var(tape, tape->params.data[i]);
        ck_assert_int_eq(wg_grad(outs, 1, NULL, params, np, outs + n), WG_OK);
        check_values(tape, outs, n + np, trials[k].names,
                     wg_typeof(outs[0]).dtype == WG_F32 ? 1e-5 : 1e-9, trials[k].names);
        wg_graph_free(parsed);
    }
}
END_TEST

/* ---- what rules look at ---------------------------------------------------------------------------------- */

/* A program is found again for other values of its slots: no pass looks at them. */
START_TEST(slots_are_not_looked_at)
{
    char *text[2];
    for (int k = 0; k < 2; k++) {
        wg_tape *tape = wg_tape_new(ctx);
        wg_var x = wg_input(tape, "x", WG_F64, WG_SHAPE(3));
        double s = k ? 0.3 : 7.5;
        wg_var a = wg_mul(x, wg_f(s)), b = wg_mul(x, wg_f(k ? 11.0 : 7.5));
        wg_var y = wg_add(wg_mul0(a, wg_f(s)),
                          wg_mul(b, wg_add(wg_full(tape, (wg_type){WG_F64, WG_SCALAR}, s),
                                           wg_full(tape, (wg_type){WG_F64, WG_SCALAR}, s))));
        wg__graph g = graph_of(tape, &y, 1);
        run_passes(&g, "all");
        for (uint32_t id = 0; id < g.tape->nodes.len; id++)
            if (wg__literal_is_slot(g.tape, id))
                g.owned->nodes.data[id].u.f = 42;
        wg_var out = wg__var(g.tape, g.ids[0]);
        text[k] = wg_print(g.tape, NULL, &out, 1);
        wg__graph_free(&g);
        wg_tape_free(tape);
    }
    ck_assert_str_eq(text[0], text[1]);
    wg_text_free(ctx, text[0]);
    wg_text_free(ctx, text[1]);
}
END_TEST

static const struct {
    double f;
    bool slot;
} numbers[] = {{0, false},    {-0.0, false}, {1, false},    {-1, false},       {2, false},
               {0.5, false},  {-2, false},   {-0.5, false}, {3, true},         {0.1, true},
               {1e300, true}, {-7.5, true},  {NAN, false},  {INFINITY, false}, {-INFINITY, false}};

START_TEST(which_literals_are_slots)
{
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        wg_var v = wg__materialise(t, wg_f(numbers[i].f), WG_F64);
        ck_assert_int_eq(wg__literal_is_slot(t, (uint32_t)v.bits), numbers[i].slot);
    }
    wg_var tiny = wg__materialise(t, wg_f(1e-60), WG_F32);
    ck_assert(!wg__literal_is_slot(t, (uint32_t)tiny.bits));
    tiny = wg__materialise(t, wg_f(1 + 1e-12), WG_F32);
    ck_assert(!wg__literal_is_slot(t, (uint32_t)tiny.bits));
    wg_var i = wg__materialise(t, wg_i(3), WG_I32), x = wg_input(t, "x", WG_F64, WG_SCALAR);
    ck_assert(!wg__literal_is_slot(t, (uint32_t)i.bits));
    ck_assert(!wg__literal_is_slot(t, (uint32_t)x.bits));
}
END_TEST

/* What is certain must hold whatever the inputs are, NaN and infinity among them. */
START_TEST(certainties_hold)
{
    const double odd[4] = {NAN, INFINITY, 0, -1}, finite[4] = {1, -2, 0, 3},
                 nonzero[4] = {1, NAN, -INFINITY, 2};
    const unsigned both = WG__FINITE | WG__NONZERO;
    wg_var x = wg_input(t, "x", WG_F64, WG_SHAPE(4)), s = wg__materialise(t, wg_f(0.3), WG_F64);
    wg_var zero = wg__materialise(t, wg_f(0), WG_F64);
    wg_var a = wg_const(t, WG_F64, WG_SHAPE(4), odd), b = wg_const(t, WG_F64, WG_SHAPE(4), finite);
    wg_var c = wg_const(t, WG_F64, WG_SHAPE(4), nonzero),
           mask = wg_cast(wg_greater(x, wg_f(0)), WG_F64);
    wg_var s1 = wg_reshape(s, WG_SHAPE(1));
    const struct {
        wg_var v;
        unsigned want;
    } cases[] = {
        {x, 0},
        {a, 0},
        {b, WG__FINITE},
        {c, WG__NONZERO},
        {s, both},
        {zero, WG__FINITE},
        {mask, WG__FINITE},
        {wg_neg(b), WG__FINITE},
        {wg_broadcast(s, WG_SHAPE(4)), both},
        {wg_tanh(x), 0},
        {wg_mul(b, b), 0},
        {wg_add(b, b), 0},
        {wg_where(wg_isnan(x), b, s), WG__FINITE},
        {wg_where(wg_isnan(x), x, s), 0},
        {wg_where(wg_isnan(x), s, x), 0},
        {wg_place(s1, WG_SHAPE(1), WG_SHAPE(3)), WG__FINITE},
        {wg__materialise(t, wg_f(1e-60), WG_F32), WG__FINITE}, /* 0 */
        {wg__materialise(t, wg_f(1e-60), WG_F64), both},
        {wg__materialise(t, wg_f(1e-44), WG_F32), both},
        {wg_cast(wg_cast(b, WG_F32), WG_F64), 0},
        {wg_relu(c), 0},
        {wg_reshape(wg_abs(wg_neg(s)), WG_SHAPE(1)), both},
        {wg_sign(x), 0},
        {wg_iota_with(t, WG_SHAPE(3), 0, WG_F64), WG__FINITE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_msg(wg__certain(t, (uint32_t)cases[i].v.bits) == cases[i].want, "case %zu", i);
}
END_TEST

/* ---- extremes --------------------------------------------------------------------------------------------- */

static const double extremes[] = {0,      -0.0,    1,    -1.5,   1.7e308, -1.2e308, 3e-308,
                                  5e-324, -3e-320, 700,  -700,   0.1,     INFINITY, -INFINITY,
                                  NAN,    1e-160,  4e38, 1e-40f, -744,    3};
enum { NEXTREMES = sizeof extremes / sizeof *extremes };

/* Inputs are [20] or a row of it, of numbers that may be anything. */
static const struct {
    const char *graph;
    double tolerance; /* relative */
} hard[] = {
    {"graph g(x: f64[20], y: f64[20]) -> (a, b, c, d, e, f) { two: f64 = 2\n half: f64 = -0.5\n"
     "h = mul(half, x)\n a = mul(h, y)\n t = mul(two, x)\n b = mul(half, t)\n c = mul(t, y)\n"
     "d = mul0(h, y)\n e = mul0(t, y)\n f = mul(h, two) }",
     0},
    {"graph g(x: f64[20], y: f64[20]) -> (a, b, c, d) { p = neg(x)\n q = neg(y)\n a = mul(p, q)\n"
     "b = mul0(p, y)\n c = sub(x, q)\n d = add(p, y) }",
     0},
    {"graph g(x: f64[20], z: f32[20]) -> (a, b, c, d) { s: f64 = 49\n t: f64 = 2\n a = div(x, s)\n"
     "b = div(x, t)\n u: f32 = 1e-39\n c = div(z, u)\n const k: f64 = 1e-309\n d = div(x, k) }",
     0},
    {"graph g(z: f32[20]) -> (a, b, c) { t: f32 = 1e-60\n a = mul0(z, t)\n u: f32 = 1e-44\n"
     "b = mul0(z, u)\n v: f32 = 1.00000000001\n c = mul0(z, v) }",
     0},
    {"graph g(x: f64[10, 2]) -> (p, q) { e = exp(x)\n s = sum(e, axes=[1], keepdims=true)\n"
     "l = log(s)\n d = sub(x, l)\n p = exp(d)\n top = max(x, axes=[0], keepdims=true)\n"
     "c = sub(x, top)\n f = exp(c)\n r = sum(f, axes=[1], keepdims=true)\n m = log(r)\n"
     "g = sub(c, m)\n q = exp(g) }",
     1e-10},
    {"graph g(x: f64[10, 2], t: f64[10, 1]) -> (p) { d = sub(x, t)\n e = exp(d)\n"
     "s = sum(e, axes=[1], keepdims=true)\n l = log(s)\n y = add(t, l)\n ninf: f64 = -inf\n"
     "zero: f64 = 0\n c = equal(y, ninf)\n w = where(c, zero, y)\n q = sub(x, w)\n p = exp(q) }",
     1e-10},
    {"graph g(x: f64[5, 4]) -> (a, b, c) { a = softmax(x, axis=1)\n b = log_softmax(x, axis=1)\n"
     "c = logsumexp(x, axes=[1]) }",
     1e-10},
    {"graph g(x: f64[2, 5, 2], z: f32[2, 5, 2]) -> (a, b, c, d) { a = max(x, axes=[0, 2])\n"
     "b = min(z, axes=[0, 2], keepdims=true)\n m = isfinite(x)\n c = all(m, axes=[0, 2])\n"
     "d = any(m, axes=[0, 2], keepdims=true) }",
     0},
};

static wg_session *run_extremes(wg_graph *g, const char *executor, int shift)
{
    wg_compile_options options = WG_COMPILE_DEFAULTS;
    options.executor = executor;
    options.verify = true;
    wg_tape *tape = wg_graph_tape(g);
    wg_program *p = wg_compile(tape, wg_graph_outputs(g), wg_graph_noutputs(g), &options);
    ck_assert_msg(p != NULL, "%s", wg_tape_error(tape));
    wg_session *s = wg_session_new(p, NULL);
    for (size_t i = 0; i < wg_program_ninputs(p); i++) {
        wg_type type;
        double room[NEXTREMES];
        const char *name = wg_program_input(p, i, &type);
        const size_t n = (size_t)wg_shape_count(type.shape);
        for (size_t k = 0; k < n; k++)
            wg__store(type.dtype, room, (int64_t)k,
                      extremes[(k + (size_t)shift * (name[0] != 'x')) % NEXTREMES]);
        ck_assert_int_eq(wg_bind_copy_name(s, name, room, n * wg_dtype_size(type.dtype)), WG_OK);
    }
    run_ok(s);
    wg_program_free(p);
    return s;
}

/* Rules hold for any numbers, as the default executor runs them. */
START_TEST(rules_hold_at_extremes)
{
    char *error = NULL;
    wg_graph *g = wg_parse(ctx, hard[_i].graph, strlen(hard[_i].graph), "hard", &error);
    ck_assert_msg(g != NULL, "%s", error);
    for (int shift = 0; shift < NEXTREMES; shift++) {
        wg_session *want = run_extremes(g, "reference", shift), *got = run_extremes(g, "vm", shift);
        for (size_t i = 0; i < wg_graph_noutputs(g); i++) {
            wg_type type;
            const void *x = wg_output_at(want, i, &type, NULL),
                       *y = wg_output_at(got, i, NULL, NULL);
            for (int64_t k = 0; k < wg_shape_count(type.shape); k++) {
                double u = wg__load(type.dtype, x, k), v = wg__load(type.dtype, y, k);
                ck_assert_msg(u == v || (isnan(u) && isnan(v)) ||
                                  fabs(u - v) <= hard[_i].tolerance * fabs(u) ||
                                  (hard[_i].tolerance > 0 && fabs(u - v) < 1e-300),
                              "graph %d, shift %d: output %zu[%d] is %.17g, not %.17g", _i, shift,
                              i, (int)k, v, u);
            }
        }
        wg_session_free(want);
        wg_session_free(got);
    }
    wg_graph_free(g);
}
END_TEST

START_TEST(lowered_edges)
{
    static const double rows[5][3] = {{-INFINITY, -INFINITY, -INFINITY},
                                      {1, INFINITY, 2},
                                      {NAN, 0, 1},
                                      {700, 710, 705},
                                      {-1e4, 1e4, 0}};
    wg_var x = wg_const(t, WG_F64, WG_SHAPE(5, 3), rows);
    wg_var none =
        wg_reshape(wg_slice(x, (int64_t[]){0, 0}, 2, (int64_t[]){0, 3}, 2), WG_SHAPE(3, 0));
    wg_var outs[] = {
        wg_logsumexp_with(x, WG_AXES(1), false),
        wg_logsumexp_with(x, WG_AXES(1), true),
        wg_logsumexp_with(x, WG_ALL_AXES, false),
        wg_softmax(x),
        wg_log_softmax(x),
        wg_mean_with(x, WG_AXES(0), true),
        wg_softmax_xent(x, wg_const(t, WG_I32, WG_SHAPE(5), (int32_t[]){0, 1, 2, 0, 1})),
        wg_logsumexp_with(none, WG_AXES(1), false),
        wg_mean_with(none, WG_AXES(1), false),
        wg_softmax(none),
        wg_log_softmax(none)};
    enum { N = sizeof outs / sizeof *outs };
    check_values(t, outs, N, "expand lower", 1e-12, "lower");
    check_values(t, outs, N, "all", 1e-12, "all");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rules");
    TCase *c = tcase_create("rules");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, golden_files);
    tcase_add_loop_test(c, random_graphs_keep_their_values, 0, GRAPHS);
    tcase_add_loop_test(c, examples_keep_their_values, 0, 4);
    tcase_add_test(c, slots_are_not_looked_at);
    tcase_add_test(c, which_literals_are_slots);
    tcase_add_test(c, certainties_hold);
    tcase_add_test(c, lowered_edges);
    tcase_add_loop_test(c, rules_hold_at_extremes, 0, (int)(sizeof hard / sizeof *hard));
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
