/* Passes and compiling: graphs of text before and after (tests/pass), values before and after, what
 * passes may not touch. */
#include <dirent.h>

#include "fault.h"
#include "pass/pass.h"
#include "running.h"
#include "random_graph.h"

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

/* Each body calls the two before it: more than 2^40 runs, but few bodies to compile. */
START_TEST(shared_bodies_compile_once)
{
    enum { FNS = 60 };
    register_composites();
    wg_var y, x = wg_input(t, "x", WG_F64, WG_SCALAR);
    wg_fn fn[FNS];
    for (int k = 0; k < FNS; k++) {
        wg_tape *body = wg_fn_begin(t, "f");
        wg_var a = apply1("twice", wg_fn_input(body, "u", WG_F64, WG_SCALAR));
        for (int i = 1; i <= 2 && k >= 2; i++)
            ck_assert_int_eq(wg_call(fn[k - i], &a, 1, &a, 1), WG_OK);
        fn[k] = wg_fn_end(body, &a, 1);
    }
    ck_assert_int_eq(wg_call(fn[FNS - 1], &x, 1, &y, 1), WG_OK);
    wg_program *p = wg_compile(t, &y, 1, NULL);
    ck_assert_msg(p != NULL, "%s", wg_tape_error(t));
    ck_assert_uint_lt(wg_program_bytes(p), 1 << 20);
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

/* ---- graphs ------------------------------------------------------------------------------------------ */

static wg__graph graph_of(wg_tape *tape, const wg_var *outs, size_t nouts)
{
    wg__graph g = {
        .ctx = ctx, .report = tape, .tape = tape, .nroots = nouts, .nids = nouts, .explain = true};
    g.ids = wg__calloc(ctx, nouts, sizeof *g.ids);
    for (size_t i = 0; i < nouts; i++)
        g.ids[i] = (uint32_t)outs[i].bits;
    return g;
}

static const wg__pass *pass_named(const char *name)
{
    for (size_t i = 0; i < wg__pass_count; i++)
        if (strcmp(wg__passes[i].name, name) == 0)
            return &wg__passes[i];
    ck_abort_msg("there is no pass \"%s\"", name);
    return NULL;
}

static void check_verified(const wg__graph *g, const char *what)
{
    char message[256] = "";
    ck_assert_msg(wg__verify(g->tape, message, sizeof message) == WG_OK, "%s: %s", what, message);
}

/* Runs passes by name, separated by spaces; "all" is the pipeline. */
static void run_passes(wg__graph *g, const char *names)
{
    char copy[128];
    snprintf(copy, sizeof copy, "%s", names);
    for (char *name = strtok(copy, " "); name; name = strtok(NULL, " ")) {
        wg_status status = strcmp(name, "all") == 0 ? wg__pipeline(g, WG__LEVEL_FUSING, true)
                                                    : pass_named(name)->run(g);
        ck_assert_msg(status == WG_OK, "%s: %s", name, wg_tape_error(g->report));
        check_verified(g, name);
    }
}

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

/* ---- values before and after ------------------------------------------------------------------------------ */

/* Inputs and params of the program get numbers that depend on their names alone. */
static void bind_inputs(wg_session *s, const wg_program *p)
{
    for (size_t i = 0; i < wg_program_ninputs(p); i++) {
        wg_type type;
        const char *name = wg_program_input(p, i, &type);
        wg_tensor *x = wg_tensor_new(ctx, type.dtype, type.shape, NULL);
        rng r = rng_make(name[0]);
        for (int64_t k = 0; k < wg_shape_count(type.shape); k++)
            wg__store(type.dtype, wg_tensor_data_mut(x), k,
                      wg_dtype_is_float(type.dtype) ? rng_unit(&r) * 2 - 1
                                                    : (double)rng_int(&r, 0, 1));
        ck_assert_int_eq(wg_bind_copy_name(s, name, wg_tensor_data(x), wg_tensor_bytes(x)), WG_OK);
        wg_tensor_free(x);
    }
}

static wg_session *run_reference(wg_tape *tape, const wg_var *outs, size_t nouts)
{
    wg_compile_options options = WG_COMPILE_DEFAULTS;
    options.executor = "reference";
    options.no_effects = true;
    options.no_cache = true;
    wg_program *p = wg_compile(tape, outs, nouts, &options);
    ck_assert_msg(p != NULL, "%s", wg_tape_error(tape));
    wg_session *s = wg_session_new(p, NULL);
    bind_inputs(s, p);
    run_ok(s);
    wg_program_free(p);
    return s;
}

static bool close_enough(double want, double got, double tolerance)
{
    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got);
    return want == got || fabs(want - got) <= tolerance * (1 + fabs(want));
}

static void check_same_values(const wg_session *want, const wg_session *got, size_t nouts,
                              double tolerance, const char *what)
{
    for (size_t i = 0; i < nouts; i++) {
        wg_type a, b;
        const void *x = wg_output_at(want, i, &a, NULL), *y = wg_output_at(got, i, &b, NULL);
        ck_assert_msg(wg__type_equal(&a, &b), "%s: output %zu has another type", what, i);
        for (int64_t k = 0; k < wg_shape_count(a.shape); k++) {
            double u = wg__load(a.dtype, x, k), v = wg__load(b.dtype, y, k);
            ck_assert_msg(close_enough(u, v, tolerance), "%s: output %zu[%lld] is %.17g, not %.17g",
                          what, i, (long long)k, v, u);
        }
    }
}

/* Passes leave values alone: to the bit (but for the sign of zero) unless they say that they round. */
static void check_values(wg_tape *tape, const wg_var *outs, size_t nouts, const char *passes,
                         double tolerance, const char *what)
{
    wg_session *want = run_reference(tape, outs, nouts);
    wg__graph g = graph_of(tape, outs, nouts);
    run_passes(&g, passes);
    wg_var after[64];
    ck_assert_uint_le(nouts, 64);
    for (size_t i = 0; i < nouts; i++)
        after[i] = wg__var(g.tape, g.ids[i]);
    wg_session *got = run_reference((wg_tape *)g.tape, after, nouts);
    check_same_values(want, got, nouts, tolerance, what);
    wg_session_free(want);
    wg_session_free(got);
    wg__graph_free(&g);
}

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
        wg_var tick = apply1("tick", wg_sub(c, c));
        wg_var next = wg_add(inner, wg_add(tick, wg_exp(w)));
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
    tcase_add_test(c, shared_bodies_compile_once);
    tcase_add_loop_test(c, bad_expansions_are_errors, 0, 2);
    tcase_add_test(c, canonical_order);
    tcase_add_test(c, compile_errors);
    tcase_add_test(c, golden_files);
    tcase_add_loop_test(c, random_graphs_keep_their_values, 0, GRAPHS);
    tcase_add_loop_test(c, examples_keep_their_values, 0, 4);
    tcase_add_test(c, impure_nodes_stay);
    tcase_add_test(c, equal_bodies_merge);
    tcase_add_test(c, slots_are_not_looked_at);
    tcase_add_test(c, which_literals_are_slots);
    tcase_add_test(c, certainties_hold);
    tcase_add_test(c, nothing_to_do_costs_no_copy);
    tcase_add_test(c, folding_leaves_failures_alone);
    tcase_add_test(c, lowered_edges);
    tcase_add_test(c, memory_may_run_out);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
