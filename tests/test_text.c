/* The .wg text: what is printed parses back to an equal tape and prints again as the same bytes;
 * whatever is wrong in a text is told with its place; no bytes and no lack of memory harm. */
#include <check.h>
#include <dirent.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <wengert.h>
#include <wengert/ops.h>
#include "suite.h"
#include "fault.h"
#include "rng.h"
#include "text_tapes.h"

static wg_ctx *ctx;

static void setup(void)
{
    ctx = wg_ctx_new(NULL);
    ck_assert_ptr_nonnull(ctx);
}

static void teardown(void) { wg_ctx_free(ctx); }

static wg_graph *parse(const char *text, char **error)
{
    return wg_parse(ctx, text, strlen(text), "test.wg", error);
}

static wg_graph *must_parse(const char *text)
{
    char *error = NULL;
    wg_graph *g = parse(text, &error);
    ck_assert_msg(g != NULL, "%s\n---\n%.2000s", error, text);
    char message[300] = "";
    ck_assert_msg(wg__verify(wg_graph_tape(g), message, sizeof message) == WG_OK, "%s\n%.2000s",
                  message, text);
    return g;
}

static char *print(wg_graph *g)
{
    char *text =
        wg_print(wg_graph_tape(g), wg_graph_name(g), wg_graph_outputs(g), wg_graph_noutputs(g));
    ck_assert_ptr_nonnull(text);
    return text;
}

/* The promise of the room, for a tape and its outputs. */
static void check_round_trip(const wg_tape *t, const char *name, const wg_var *outs, size_t nouts)
{
    char *text = wg_print(t, name, outs, nouts);
    ck_assert_ptr_nonnull(text);
    wg_graph *g = must_parse(text);
    ck_assert_msg(wg_tape_equal(t, wg_graph_tape(g)), "another tape:\n%.2000s", text);
    ck_assert_uint_eq(wg_graph_noutputs(g), nouts);
    for (size_t i = 0; i < nouts; i++)
        ck_assert_uint_eq((uint32_t)wg_graph_outputs(g)[i].bits, (uint32_t)outs[i].bits);
    char *again = print(g);
    ck_assert_str_eq(text, again);
    wg_text_free(ctx, text);
    wg_text_free(ctx, again);
    wg_graph_free(g);
}

static void check_error(const char *text, const char *expected)
{
    char *error = NULL;
    wg_graph *g = parse(text, &error);
    ck_assert_msg(g == NULL, "parsed: %s", text);
    ck_assert_ptr_nonnull(error);
    ck_assert_str_eq(error, expected);
    wg_text_free(ctx, error);
}

/* ---- round trips --------------------------------------------------------------------------- */

/* A text as it is printed stays as it is. */
static void check_canonical(const char *text)
{
    wg_graph *g = must_parse(text);
    char *again = print(g);
    ck_assert_str_eq(text, again);
    check_round_trip(wg_graph_tape(g), wg_graph_name(g), wg_graph_outputs(g), wg_graph_noutputs(g));
    wg_text_free(ctx, again);
    wg_graph_free(g);
}

START_TEST(smallest_graphs)
{
    check_canonical("graph main() -> () {\n}\n");
    check_canonical("graph \"any name\\n\"(x: f32) -> (x, x) {\n}\n");
    check_canonical("graph e(x: f32[0, 3]) -> () {\n    const c: i64[0, 3] = []\n}\n");
    check_canonical("graph e(x: bool[1, 1, 1, 1, 1, 1, 1, 1]) -> (x) {\n}\n");
    wg_tape *t = wg_tape_new(ctx);
    check_round_trip(t, NULL, NULL, 0);
    wg_tape_free(t);
}
END_TEST

START_TEST(numbers_keep_their_bits)
{
    const int64_t ints[] = {INT64_MIN, INT64_MAX, -1, 0};
    const int32_t small[] = {INT32_MIN, INT32_MAX};
    const uint8_t bools[] = {0, 1, 1};
    const uint32_t floats[] = {0x7fc00000, 0x7fc00001, 0xffc00000,
                               0x7f800001, 0x80000000, 0x00000001};
    const double doubles[] = {NAN, -NAN, INFINITY, -INFINITY, -0.0, 5e-324, 0.1, 1e308};
    wg_tape *t = wg_tape_new(ctx);
    wg_const(t, WG_I64, WG_SHAPE(4), ints);
    wg_const(t, WG_I32, WG_SHAPE(2, 1), small);
    wg_const(t, WG_BOOL, WG_SHAPE(3), bools);
    wg_const(t, WG_F32, WG_SHAPE(6), floats);
    wg_const(t, WG_F64, WG_SHAPE(2, 4), doubles);
    wg_const(t, WG_F64, WG_SCALAR, doubles);
    for (size_t i = 0; i < 8; i++) {
        wg__materialise(t, wg_f(doubles[i]), WG_F64);
        wg__materialise(t, wg_f(doubles[i]), WG_F32);
    }
    wg__materialise(t, wg_i(INT64_MIN), WG_I64);
    wg__materialise(t, wg_i(7), WG_I32);
    wg__materialise(t, wg_b(true), WG_BOOL);
    wg_param(t, "p", WG_F32, WG_SCALAR, wg_init_uniform(-1, 0));
    wg_param(t, "q", WG_F32, WG_SCALAR, wg_init_constant(-0.0));
    wg_param(t, "r", WG_F32, WG_SCALAR, wg_init_constant(NAN));
    check_round_trip(t, "numbers", NULL, 0);
    wg_tape_free(t);
}
END_TEST

/* A literal of f32 is the float; it prints as the shortest text that gives it back. */
START_TEST(f32_literals_are_floats)
{
    rng r = rng_make(11);
    wg_tape *t = wg_tape_new(ctx);
    for (int i = 0; i < 2000; i++) {
        uint32_t bits = (uint32_t)rng_next(&r);
        float f;
        memcpy(&f, &bits, sizeof f);
        f = isfinite(f) ? f : (float)i;
        const double near = (double)f * (1 + 1e-12);
        wg_var v = wg__materialise(t, wg_f(fabs(near) <= FLT_MAX ? near : f), WG_F32);
        ck_assert(wg__node_at(t, (uint32_t)v.bits)->u.f == (double)f);
    }
    check_round_trip(t, "floats", NULL, 0);
    wg_tape_free(t);
    check_canonical(
        "graph g(x: f32[2]) -> (y) {\n    %1: f32 = 0.3\n    y: f32[2] = mul(x, %1)\n}\n");
}
END_TEST

START_TEST(names_keep_their_bytes)
{
    wg_tape *t = wg_tape_new(ctx);
    char all[256];
    for (int i = 1; i < 256; i++)
        all[i - 1] = (char)i;
    all[255] = 0;
    wg_var x = wg_input(t, all, WG_F32, WG_SCALAR);
    for (size_t i = 0; i < COUNT_OF(odd_names); i++)
        wg_name(wg_sin(x), odd_names[i]);
    wg_scope_push(t, "a");
    wg_name(wg_sin(x), "x");
    wg_scope_push(t, all + 47); /* without '/' */
    wg_var y = wg_name(wg_sin(x), "x");
    check_round_trip(t, all, (wg_var[]){x, y}, 2);
    wg_tape_free(t);
}
END_TEST

START_TEST(scopes_open_and_close)
{
    check_canonical("graph g(x: f32) -> (a.b.y, y) {\n"
                    "    scope \"a\" {\n"
                    "        scope \"b\" {\n"
                    "            y: f32 = sin(x)\n"
                    "        }\n"
                    "        scope \"c\" {\n"
                    "            input z: f32\n"
                    "        }\n"
                    "        y: f32 = sin(a.b.y)\n"
                    "    }\n"
                    "    y: f32 = sin(a.y)\n"
                    "    scope \"no word\" {\n"
                    "        %5 \"y\": f32 = sin(a.c.z)\n"
                    "        scope \"a\" {\n"
                    "            param %6 \"y\": f32 = zeros()\n"
                    "        }\n"
                    "    }\n"
                    "}\n");
}
END_TEST

START_TEST(fns_are_written_before_their_use)
{
    check_canonical("graph g(x: f32, w: f32[2]) -> (%2, %5) {\n"
                    "    fn f(x: f32, %1: f32[2]) -> (z, x, %1) {\n"
                    "        fn inner(%0: f32) -> (%0) {\n"
                    "        }\n"
                    "        %2: f32 = call(x, fn=inner)\n"
                    "        input z: f32[2]\n"
                    "        scope \"s\" {\n"
                    "            input x: f32[2] ^x\n"
                    "        }\n"
                    "    }\n"
                    "    (%2: f32[2], a: f32, %4 \"in a\": f32[2]) = call(x, w, w, w, fn=f)\n"
                    "    scope \"s\" {\n"
                    "        fn @1 \"two words\"() -> (%0) {\n"
                    "            %0: f32 = 1 ^%0\n"
                    "        }\n"
                    "        %5: f32 = call(fn=@1) ^%7\n"
                    "    }\n"
                    "    fn @2(x: f32) -> (x) {\n"
                    "    }\n"
                    "    %6: f32 = call(%5, fn=@2)\n"
                    "    (%7: f32[2], %8: f32, %9: f32[2]) = call(x, w, w, w, fn=f)\n"
                    "}\n");
}
END_TEST

START_TEST(captures_become_operands)
{
    wg_tape *t = wg_tape_new(ctx);
    wg_var w = wg_param(t, "w", WG_F32, WG_SHAPE(2), wg_init_ones());
    wg_var h = wg_input(t, "h", WG_F32, WG_SHAPE(2)),
           xs = wg_input(t, "xs", WG_F32, WG_SHAPE(5, 2));
    wg_scope_push(t, "cell");
    wg_tape *body = wg_fn_begin(t, "step");
    wg_var a = wg_fn_input(body, "h", WG_F32, WG_SHAPE(2));
    wg_var x = wg_fn_input(body, "x", WG_F32, WG_SHAPE(2));
    wg_var n = wg_tanh(wg_add(wg_mul(a, w), wg_mul(x, wg_f(0.5))));
    wg_fn fn = wg_fn_end(body, (wg_var[]){n, n}, 2);
    wg_var outs[2];
    ck_assert_int_eq(wg_scan(fn, &h, 1, &xs, 1, NULL, outs, wg_fn_noutputs(fn)), WG_OK);
    wg_scope_pop(t);
    wg_assign(w, outs[0]);
    ck_assert_int_eq(wg_tape_status(t), WG_OK);
    check_round_trip(t, "rnn", outs, 2);
    char *text = wg_print(t, NULL, outs, 2);
    wg_graph *g = must_parse(text);
    ck_assert_uint_eq(wg_graph_tape(g)->effects.len, 1);
    wg_var old = wg_graph_find(g, "w");
    ck_assert(wg_ok(old) && wg_latest(old).bits != old.bits);
    wg_text_free(ctx, text);
    wg_graph_free(g);
    wg_tape_free(t);
}
END_TEST

/* What differentiation records: origins, scopes, and sub-tapes made from sub-tapes. */
START_TEST(gradients)
{
    wg_graph *g =
        must_parse("graph g(h0: f32[2], xs: f32[5, 2]) -> (rnn.l) {\n"
                   "    scope \"rnn\" {\n"
                   "        param W: f32[2, 2] = xavier()\n"
                   "        fn step(h: f32[2], x: f32[2], W: f32[2, 2]) -> (n, n) {\n"
                   "            m = matmul(reshape(h, shape=[1, 2]), W)\n"
                   "            n = tanh(add(reshape(m, shape=[2]), x))\n"
                   "        }\n"
                   "        (h, ys, hs) = scan(h0, xs, rnn.W, fn=step, carries=1, xs=1, "
                   "length=[5])\n"
                   "        l = add(sum(rnn.ys), sum(where(greater(rnn.h, 0), rnn.h, 1)))\n"
                   "    }\n"
                   "}\n");
    wg_tape *t = wg_graph_tape(g);
    wg_var W = wg_graph_find(g, "rnn/W"), d = wg_grad1(wg_graph_outputs(g)[0], W);
    wg_var dd = wg_grad1(wg_sum(wg_square(d)), W);
    wg_assign(W, wg_sub(W, dd));
    ck_assert_msg(wg_tape_status(t) == WG_OK, "%s", wg_tape_error(t));
    check_round_trip(t, "g", (wg_var[]){d, dd}, 2);
    wg_graph_free(g);
}
END_TEST

START_TEST(random_tapes)
{
    rng r = rng_make((uint64_t)_i);
    wg_tape *t = wg_tape_new(ctx);
    wg_var outs[3];
    grow(t, &r, 60, 0);
    ck_assert_msg(wg_tape_status(t) == WG_OK, "%s", wg_tape_error(t));
    for (size_t i = 0; i < 3; i++)
        outs[i] = wg__var(t, (uint32_t)rng_int(&r, 0, (int64_t)wg_tape_size(t) - 1));
    check_round_trip(t, pick_name(&r), outs, 3);
    wg_tape_free(t);
}
END_TEST

/* The graphs that ops are checked on are .wg text too. */
START_TEST(graphs_of_the_registry)
{
    for (size_t i = 0; i < wg_op_count(ctx); i++) {
        const wg_op *op = wg_op_at(ctx, i);
        const char *const *text = op->check ? op->check->cases : NULL;
        for (; text && *text; text++) {
            wg_graph *g = must_parse(*text);
            check_round_trip(wg_graph_tape(g), wg_graph_name(g), wg_graph_outputs(g),
                             wg_graph_noutputs(g));
            wg_graph_free(g);
        }
    }
}
END_TEST

/* An op of the program's own, with every kind of attribute. */
static wg_status infer_every(wg_infer *q)
{
    q->out[0] = q->in[0];
    return WG_OK;
}

static wg_status run_nothing(const wg_kernel_call *c)
{
    return wg_kernel_fail(c, WG_UNSUPPORTED, "it is never run");
}

static const wg_kernel every_kernels[] = {{WG_KERNEL, .types = "*->*", .run = run_nothing}};
static void every_vjp(wg_rule *r) { r->din[0] = wg_not_differentiable(); }
static const wg_op every_op = {
    WG_OP,
    .sig = "scope(x; fn: fn, shape: shape, i: int = -3, f: float = 0.5, b: bool = true, "
           "dtype: dtype = i64, axis: axis = -1, axes: axes = all, input: ints = [], "
           "s: string = \"some text\") -> y",
    .doc = "Takes every kind of attribute.",
    .infer = infer_every,
    .vjp = every_vjp,
    .kernels = every_kernels,
    .nkernels = 1};

START_TEST(attributes_of_every_kind)
{
    const char *error = "";
    ck_assert_msg(wg_register(ctx, &every_op, &error) == WG_OK, "%s", error);
    check_canonical("graph g(x: f32[2, 3]) -> (%1) {\n"
                    "    fn f() -> () {\n"
                    "    }\n"
                    "    %1: f32[2, 3] = scope(x, fn=f, shape=[])\n"
                    "    %2: f32[2, 3] = scope(x, fn=f, shape=[N=64, 2*N + 1=129, 0], "
                    "i=-9223372036854775808, f=-inf, b=false, dtype=bool, axis=0, axes=[0], "
                    "input=[-1, 9223372036854775807], s=\"\")\n"
                    "    fn @1 \"graph\"() -> () {\n"
                    "    }\n"
                    "    %3: f32[2, 3] = scope(x, fn=@1, shape=[0], f=nan(0xfff8000000000001), "
                    "axes=[], s=\"\\\"\\n\\x01\")\n"
                    "}\n");
    wg_graph *g = must_parse("graph g(x: f32[2, 3]) -> (y) {\n"
                             "    fn f() -> () {}\n"
                             "    y = scope(x, s=\"some text\", axes=all, axis=1, fn=f,\n"
                             "              shape=[], f=0.5e0, input=[], i=-3) }");
    char *text = print(g);
    ck_assert_str_eq(text, "graph g(x: f32[2, 3]) -> (y) {\n"
                           "    fn f() -> () {\n"
                           "    }\n"
                           "    y: f32[2, 3] = scope(x, fn=f, shape=[])\n"
                           "}\n");
    wg_text_free(ctx, text);
    wg_graph_free(g);
}
END_TEST

/* ---- golden files -------------------------------------------------------------------------- */

static char *read_text(const char *dir, const char *name, const char *ending, size_t *size)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s%s", dir, name, ending);
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    static char buffer[1 << 16];
    *size = fread(buffer, 1, sizeof buffer - 1, file);
    fclose(file);
    char *text = malloc(*size + 1);
    memcpy(text, buffer, *size);
    text[*size] = 0;
    return text;
}

/* NAME.bad.wg gives the message in NAME.bad.txt; another NAME.wg prints as NAME.print, or as itself
 * where there is no such file. */
static void check_file(const char *dir, const char *name)
{
    size_t size, n;
    char *error = NULL, *text = read_text(dir, name, ".wg", &size);
    char *expected = read_text(dir, name, strstr(name, ".bad") ? ".txt" : ".print", &n);
    char file[300];
    snprintf(file, sizeof file, "%s.wg", name);
    wg_graph *g = wg_parse(ctx, text, size, file, &error);
    if (strstr(name, ".bad")) {
        ck_assert_msg(!g && expected, "%s", name);
        ck_assert_uint_gt(n, 0);
        expected[n - 1] = 0; /* the end of the last line */
        ck_assert_str_eq(error, expected);
    } else {
        ck_assert_msg(g != NULL, "%s", error);
        char *printed = print(g);
        ck_assert_str_eq(printed, expected ? expected : text);
        check_round_trip(wg_graph_tape(g), wg_graph_name(g), wg_graph_outputs(g),
                         wg_graph_noutputs(g));
        wg_text_free(ctx, printed);
    }
    wg_text_free(ctx, error);
    wg_graph_free(g);
    free(expected);
    free(text);
}

START_TEST(golden_files)
{
    char dir[500], name[256];
    const char *top = getenv("WG_SRCDIR");
    int seen = 0;
    snprintf(dir, sizeof dir, "%s/tests/text", top ? top : ".");
    DIR *list = opendir(dir);
    ck_assert_msg(list != NULL, "%s", dir);
    for (struct dirent *e; (e = readdir(list));) {
        size_t n = strlen(e->d_name);
        if (n < 4 || strcmp(e->d_name + n - 3, ".wg"))
            continue;
        snprintf(name, sizeof name, "%.*s", (int)n - 3, e->d_name);
        check_file(dir, name);
        seen++;
    }
    closedir(list);
    ck_assert_int_gt(seen, 10);
}
END_TEST

/* The examples of the language's page are graphs. */
START_TEST(examples_of_the_docs)
{
    char dir[500], *error = NULL;
    const char *top = getenv("WG_SRCDIR"), mark[] = "```\ngraph ";
    size_t size, seen = 0;
    snprintf(dir, sizeof dir, "%s/docs", top ? top : ".");
    char *page = read_text(dir, "language", ".md", &size);
    ck_assert_msg(page != NULL, "%s", dir);
    for (char *at = page; (at = strstr(at, mark)); at += sizeof mark) {
        char *graph = at + 4, *end = strstr(graph, "```");
        ck_assert_ptr_nonnull(end);
        if (!strncmp(graph, "graph NAME", 10))
            continue;
        wg_graph *g = wg_parse(ctx, graph, (size_t)(end - graph), "language.md", &error);
        ck_assert_msg(g != NULL, "%s", error);
        wg_graph_free(g);
        seen++;
    }
    ck_assert_uint_gt(seen, 3);
    free(page);
}
END_TEST

/* ---- errors -------------------------------------------------------------------------------- */

START_TEST(errors_are_cut_to_a_line)
{
    check_error("", "test.wg:1:1: unexpected end of file, expected end of line or 'graph'\n\n^");
    check_error("graph g(x: f32)\t->\t(\"größe\") {}",
                "test.wg:1:21: unexpected string \"größe\", expected name, dotted name, "
                "%number or ')'\ngraph g(x: f32)\t->\t(\"größe\") {}\n               \t  \t ^");
    check_error("graph g(x: f32) -> (\"\x01\") {}\r\n",
                "test.wg:1:21: unexpected string \" \", expected name, dotted name, "
                "%number or ')'\ngraph g(x: f32) -> (\"?\") {}\n                    ^");
    enum { LONG = 10 << 20 };
    char *text = malloc(LONG + 1);
    memset(text, ' ', LONG);
    memcpy(text, "graph g() -> () {", 17);
    memcpy(text + LONG - 300, "?", 1);
    text[LONG] = 0;
    char *error = NULL;
    ck_assert_ptr_null(parse(text, &error));
    ck_assert_uint_lt(strlen(error), 500);
    wg_text_free(ctx, error);
    memset(text + 17, '"', LONG - 17); /* one place after the other */
    ck_assert_ptr_null(parse(text, &error));
    wg_text_free(ctx, error);
    memset(text + 18, '9', LONG - 18);
    ck_assert_ptr_null(parse(text, &error));
    wg_text_free(ctx, error);
    memcpy(text, "graph g() -> () {x=", 19); /* a number of ten million digits */
    memset(text + 19, '9', LONG - 20);
    text[LONG - 1] = '}';
    ck_assert_ptr_null(parse(text, &error));
    ck_assert_ptr_nonnull(strstr(error, "does not fit in i64"));
    wg_text_free(ctx, error);
    free(text);
}
END_TEST

/* Brackets, calls, blocks and fns within each other: an error, not a crash. */
START_TEST(depth_is_limited)
{
    static const char *const openings[] = {"x = sin(",      "const c: f32[(",
                                           "scope \"s\" {", "fn f(x: f32) -> (x) {",
                                           "x = sin(\n\n",  "const c: f32[-"};
    enum { DEPTH = 100000 };
    for (size_t i = 0; i < COUNT_OF(openings); i++) {
        size_t n = strlen(openings[i]);
        size_t again = openings[i][0] == 'x' ? 4 : openings[i][0] == 'c' ? n - 1 : 0;
        char *text = malloc(DEPTH * n + 100), *at = text, *error = NULL;
        at += sprintf(at, "graph g(x: f32) -> () {");
        for (int k = 0; k < DEPTH; k++)
            at += sprintf(at, "%s", openings[i] + (k ? again : 0));
        ck_assert_ptr_null(parse(text, &error));
        ck_assert_msg(strstr(error, "nested too deeply"), "%s: %s", openings[i], error);
        wg_text_free(ctx, error);
        free(text);
    }
}
END_TEST

/* Sums of many terms and brackets that close again. */
START_TEST(long_expressions)
{
    enum { TERMS = 100000 };
    char *text = malloc(TERMS * 2 + 100), *at = text, *error = NULL;
    at += sprintf(at, "graph g(x: f32[N=1, N");
    for (int k = 0; k < TERMS; k++)
        at += sprintf(at, "+N");
    sprintf(at, "]) -> () {}");
    ck_assert_ptr_null(parse(text, &error));
    ck_assert_ptr_nonnull(strstr(error, "nested too deeply"));
    wg_text_free(ctx, error);
    at = text + sprintf(text, "graph g(x: f32) -> (y) { y = ");
    for (int k = 0; k < 400; k++)
        at += sprintf(at, "sin(");
    at += sprintf(at, "x");
    for (int k = 0; k < 400; k++)
        at += sprintf(at, ")");
    sprintf(at, "}");
    wg_graph *g = must_parse(text);
    ck_assert_uint_eq(wg_tape_size(wg_graph_tape(g)), 401);
    wg_graph_free(g);
    free(text);
}
END_TEST

/* 900 fns within each other, and as many scopes, are fine. */
START_TEST(deep_fns)
{
    char *text = malloc(100000), *at = text;
    at += sprintf(at, "graph g(x: f32) -> () {");
    for (int i = 0; i < 900; i++)
        at += sprintf(at, "fn f(x: f32) -> (x) {");
    for (int i = 0; i < 900; i++)
        at += sprintf(at, "}; y = call(x, fn=f)\n");
    sprintf(at, "}");
    wg_graph *g = must_parse(text);
    check_round_trip(wg_graph_tape(g), "g", NULL, 0);
    wg_graph_free(g);
    free(text);
}
END_TEST

START_TEST(deep_scopes)
{
    wg_tape *t = wg_tape_new(ctx);
    wg_var x = wg_input(t, "x", WG_F32, WG_SCALAR);
    for (int i = 0; i < 900; i++)
        wg_scope_push(t, i % 3 ? "deep" : "s");
    wg_var y = wg_name(wg_sin(x), "y");
    check_round_trip(t, NULL, &y, 1);
    wg_tape_free(t);
}
END_TEST

static const char sample[] =
    "graph \"g\\x01\"(x: f32[N=2, 3], %1 \"w\": i32) -> (a.y, %12) {\n"
    "    param W: f32[3, 2] = uniform(-1, 1.5e-3)\n"
    "    const c: f64[2*N + 1=5] = [1, -inf, nan, nan(0x7ff8000000000001), .5]\n"
    "    scope \"a\" { y: f32[N, 2] = matmul(x, W) ^W # comment\n"
    "        input z: bool }\n"
    "    fn f(x: f32[N, 2]) -> (y, x) { y = add(x, 0.5); }\n"
    "    (%10, %12 \"q\\n\\\\\": f32[2, 2]) = call(a.y, fn=f)\n"
    "    s = sum(%12, axes=[0, -1], keepdims=true)\n"
    "    t: i64 = -9223372036854775808\n"
    "    assign(W, mul(W, 2))\n"
    "}\n";

/* Parses any bytes; what parses must hold the promise. */
static void survive(const char *text, size_t size)
{
    char *error = NULL, *copy = malloc(size + 1);
    memcpy(copy, text, size); /* so that reading past the end is noticed */
    copy = realloc(copy, size ? size : 1);
    wg_graph *g = wg_parse(ctx, copy, size, NULL, &error);
    ck_assert((g == NULL) == (error != NULL));
    if (g)
        check_round_trip(wg_graph_tape(g), wg_graph_name(g), wg_graph_outputs(g),
                         wg_graph_noutputs(g));
    wg_text_free(ctx, error);
    wg_graph_free(g);
    free(copy);
}

START_TEST(every_truncation)
{
    for (size_t n = 0; n < sizeof sample; n++)
        survive(sample, n);
}
END_TEST

START_TEST(every_byte_wrong)
{
    static const char wrong[] = {0,   '\n', '"', '\\', '(', ')', '[', ']',   '{',
                                 '}', ',',  '=', '%',  '@', '^', '-', '.',   '#',
                                 '0', '9',  'x', ' ',  ';', ':', '*', '\xff'};
    char text[sizeof sample];
    for (size_t i = 0; i + 1 < sizeof sample; i++)
        for (size_t k = 0; k < sizeof wrong; k++) {
            memcpy(text, sample, sizeof sample);
            text[i] = wrong[k];
            survive(text, sizeof sample - 1);
        }
}
END_TEST

/* Pieces of the sample in any order. */
START_TEST(shuffled_pieces)
{
    rng r = rng_make((uint64_t)_i);
    for (int n = 0; n < 200; n++) {
        char text[4 * sizeof sample];
        size_t size = 0;
        for (int k = 0; k < 8; k++) {
            size_t from = (size_t)rng_int(&r, 0, sizeof sample - 1);
            size_t take = (size_t)rng_int(&r, 0, (int64_t)(sizeof sample - 1 - from) / 2);
            if (k < 2)
                from = 0;
            memcpy(text + size, sample + from, take);
            size += take;
        }
        survive(text, size);
    }
}
END_TEST

/* ---- memory -------------------------------------------------------------------------------- */

/* What happens when allocation `n` of parsing and printing fails, alone or with all that follow;
 * returns whether there was one. */
static bool fail_once(long n, bool lasting)
{
    fault f = {0, 0, 0, lasting};
    wg_ctx_options options = fault_options(&f);
    wg_ctx *c = wg_ctx_new(&options);
    char *error = NULL, *text = NULL;
    f.fail_at = f.calls + n;
    long last = f.fail_at;
    wg_graph *g = wg_parse(c, sample, strlen(sample), "s", &error);
    if (g)
        text = wg_print(wg_graph_tape(g), "s", wg_graph_outputs(g), wg_graph_noutputs(g));
    bool failed = f.calls >= last;
    ck_assert_msg(failed || text, "%s", error);
    ck_assert(!lasting || !failed || !text);
    f.fail_at = 0;
    wg_text_free(c, error);
    wg_text_free(c, text);
    wg_graph_free(g);
    wg_ctx_free(c);
    ck_assert_msg(f.live == 0, "allocation %ld failed: %ld blocks leaked", n, (long)f.live);
    return failed;
}

START_TEST(every_allocation_may_fail)
{
    for (long n = 1; fail_once(n, false); n++)
        ck_assert(fail_once(n, true));
}
END_TEST

/* ---- the rest of the interface ------------------------------------------------------------- */

START_TEST(finding_values)
{
    wg_graph *g = must_parse(sample);
    ck_assert_str_eq(wg_name_of(wg_graph_find(g, "x")), "x");
    ck_assert_str_eq(wg_name_of(wg_graph_find(g, "a.y")), "y");
    ck_assert_str_eq(wg_name_of(wg_graph_find(g, "a/y")), "y");
    ck_assert_str_eq(wg_name_of(wg_graph_find(g, "w")), "w");
    ck_assert_str_eq(wg_name_of(wg_graph_find(g, "%12")), "q\n\\");
    ck_assert_str_eq(wg_name_of(wg_graph_find(g, "q\n\\")), "q\n\\");
    ck_assert(!wg_ok(wg_graph_find(g, "y")) && !wg_ok(wg_graph_find(g, "")));
    ck_assert(!wg_ok(wg_graph_find(g, NULL)) && !wg_ok(wg_graph_find(NULL, "x")));
    wg_graph_free(g);
}
END_TEST

START_TEST(null_arguments)
{
    char *error = (char *)"";
    wg_tape *t = wg_tape_new(ctx), *other = wg_tape_new(ctx);
    ck_assert_ptr_null(wg_print(NULL, "g", NULL, 0));
    ck_assert_ptr_null(wg_print(t, "g", NULL, 1));
    wg_var foreign = wg_input(other, "x", WG_F32, WG_SCALAR), literal = wg_f(1);
    ck_assert_ptr_null(wg_print(t, "g", &foreign, 1));
    ck_assert_ptr_null(wg_print(t, "g", &literal, 1));
    ck_assert_int_eq(wg_tape_status(t), WG_INVALID);
    ck_assert_int_eq(wg_print_file(NULL, "g", NULL, 0, stdout), WG_INVALID);
    ck_assert_int_eq(wg_print_file(t, "g", NULL, 0, NULL), WG_INVALID);
    ck_assert_ptr_null(wg_parse(NULL, "", 0, NULL, &error));
    ck_assert_ptr_null(error);
    ck_assert_ptr_null(wg_parse(ctx, NULL, 1, NULL, NULL));
    ck_assert_ptr_null(wg_parse(ctx, NULL, 0, NULL, NULL));
    ck_assert_ptr_null(wg_parse_file(ctx, "no/such/file.wg", &error));
    ck_assert_str_eq(error, "no/such/file.wg: cannot be opened: No such file or directory");
    wg_text_free(ctx, error);
    ck_assert_ptr_null(wg_parse_file(ctx, NULL, NULL));
    ck_assert_str_eq(wg_graph_name(NULL), "");
    ck_assert(!wg_graph_tape(NULL) && !wg_graph_noutputs(NULL) && !wg_graph_outputs(NULL));
    wg_graph_free(NULL);
    wg_text_free(ctx, NULL);
    wg_text_free(NULL, NULL);
    wg_tape_free(t);
    wg_tape_free(other);
}
END_TEST

START_TEST(files)
{
    wg_graph *g = must_parse(sample), *back;
    char name[] = "test_text_XXXXXX", *error = NULL;
    int fd = mkstemp(name);
    FILE *file = fdopen(fd, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(
        wg_print_file(wg_graph_tape(g), "g", wg_graph_outputs(g), wg_graph_noutputs(g), file),
        WG_OK);
    fclose(file);
    back = wg_parse_file(ctx, name, &error);
    ck_assert_msg(back && wg_tape_equal(wg_graph_tape(back), wg_graph_tape(g)), "%s", error);
    file = fopen(name, "r"); /* cannot be written to */
    ck_assert_int_eq(wg_print_file(wg_graph_tape(g), "g", NULL, 0, file), WG_IO);
    fclose(file);
    remove(name);
    wg_graph_free(back);
    wg_graph_free(g);
}
END_TEST

/* Seconds for the round trip of a tape of 2 * steps nodes with names and scopes. */
static double time_round_trip(int steps)
{
    char name[32];
    wg_tape *t = wg_tape_new(ctx);
    wg_var x = wg_input(t, "x", WG_F32, WG_SCALAR);
    for (int i = 0; i < steps; i++) {
        snprintf(name, sizeof name, "v%d", i);
        wg_scope_push(t, i % 2 ? "odd" : "even");
        x = wg_name(wg_add(x, wg_f(i)), i % 3 ? name : "same");
        wg_scope_pop(t);
    }
    clock_t start = clock();
    check_round_trip(t, "large", &x, 1);
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    wg_tape_free(t);
    return seconds;
}

/* Time grows with the nodes: eight times as many would take 64 times as long by their square. */
START_TEST(large_tapes)
{
    double small = time_round_trip(12500), large = time_round_trip(100000);
    ck_assert_msg(large < 25 * small + 0.1, "%g s, then %g s", small, large);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("text");
    TCase *t = tcase_create("text");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, smallest_graphs);
    tcase_add_test(t, numbers_keep_their_bits);
    tcase_add_test(t, f32_literals_are_floats);
    tcase_add_test(t, names_keep_their_bytes);
    tcase_add_test(t, scopes_open_and_close);
    tcase_add_test(t, fns_are_written_before_their_use);
    tcase_add_test(t, captures_become_operands);
    tcase_add_test(t, gradients);
    tcase_add_loop_test(t, random_tapes, 0, 100);
    tcase_add_test(t, graphs_of_the_registry);
    tcase_add_test(t, attributes_of_every_kind);
    tcase_add_test(t, golden_files);
    tcase_add_test(t, examples_of_the_docs);
    tcase_add_test(t, errors_are_cut_to_a_line);
    tcase_add_test(t, depth_is_limited);
    tcase_add_test(t, long_expressions);
    tcase_add_test(t, deep_fns);
    tcase_add_test(t, deep_scopes);
    tcase_add_test(t, every_truncation);
    tcase_add_test(t, every_byte_wrong);
    tcase_add_loop_test(t, shuffled_pieces, 0, 8);
    tcase_add_test(t, every_allocation_may_fail);
    tcase_add_test(t, finding_values);
    tcase_add_test(t, null_arguments);
    tcase_add_test(t, files);
    tcase_add_test(t, large_tapes);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
