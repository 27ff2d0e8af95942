/* Loops in passes: what the loop of a derivative computes again is saved, what does not count is trimmed,
 * and values stay as they are to the bit. Golden files of both passes are in tests/pass. */
#include "fault.h"
#include "passing.h"
#include "pass/save.h"
#include "random_graph.h"

enum { STEPS = 6, ROWS = 2, WIDTH = 3 };

/* ---- models ------------------------------------------------------------------------------------------ */

typedef struct model {
    wg_tape *t;
    wg_var h, c, xs, w, u, b, count; /* count: {NULL, 0} or the number of steps that run */
    bool reverse;
} model;

static model model_make(wg_tape *tape, int64_t gates)
{
    model m = {.t = tape};
    m.h = wg_input(tape, "h", WG_F64, WG_SHAPE(ROWS, WIDTH));
    m.c = wg_input(tape, "c", WG_F64, WG_SHAPE(ROWS, WIDTH));
    m.xs = wg_input(tape, "xs", WG_F64, WG_SHAPE(STEPS, ROWS, WIDTH));
    m.w = wg_input(tape, "w", WG_F64, WG_SHAPE(WIDTH, gates * WIDTH));
    m.u = wg_input(tape, "u", WG_F64, WG_SHAPE(WIDTH, gates * WIDTH));
    m.b = wg_input(tape, "b", WG_F64, WG_SHAPE(gates * WIDTH));
    m.count.tape = NULL;
    m.count.bits = 0;
    return m;
}

static wg_var state_input(wg_tape *body, const char *name)
{
    return wg_fn_input(body, name, WG_F64, WG_SHAPE(ROWS, WIDTH));
}

static wg_var gates_of(const model *m, wg_var x, wg_var h)
{
    return wg_add(wg_add(wg_matmul(x, m->w), wg_matmul(h, m->u)), m->b);
}

static wg_scan_options options_of(const model *m)
{
    wg_scan_options options = WG_SCAN_DEFAULTS;
    options.reverse = m->reverse;
    options.count = m->count;
    return options;
}

/* The sum of squares of all states of a recurrence h = tanh(x W + h U + b). */
static wg_var rnn_loss(const model *m)
{
    wg_tape *body = wg_fn_begin(m->t, "rnn");
    wg_var h = state_input(body, "h"), x = state_input(body, "x"), outs[2];
    wg_var n = wg_tanh(gates_of(m, x, h));
    wg_fn fn = wg_fn_end(body, (wg_var[]){n, n}, 2);
    wg_scan_options options = options_of(m);
    ck_assert_int_eq(wg_scan(fn, &m->h, 1, &m->xs, 1, &options, outs, 2), WG_OK);
    return wg_add(wg_sum(wg_square(outs[1])), wg_sum(outs[0]));
}

static wg_var gate(wg_var gates, int64_t k)
{
    return wg_slice(gates, (int64_t[]){0, k * WIDTH}, 2, (int64_t[]){ROWS, (k + 1) * WIDTH}, 2);
}

static wg_var lstm_loss(const model *m)
{
    wg_tape *body = wg_fn_begin(m->t, "lstm");
    wg_var h = state_input(body, "h"), c = state_input(body, "c"), x = state_input(body, "x");
    wg_var gates = gates_of(m, x, h), outs[3];
    wg_var i = wg_sigmoid(gate(gates, 0)), f = wg_sigmoid(gate(gates, 1));
    wg_var g = wg_tanh(gate(gates, 2)), o = wg_sigmoid(gate(gates, 3));
    wg_var next = wg_add(wg_mul(f, c), wg_mul(i, g)), out = wg_mul(o, wg_tanh(next));
    wg_fn fn = wg_fn_end(body, (wg_var[]){out, next, out}, 3);
    wg_scan_options options = options_of(m);
    ck_assert_int_eq(wg_scan(fn, (wg_var[]){m->h, m->c}, 2, &m->xs, 1, &options, outs, 3), WG_OK);
    return wg_sum(wg_square(outs[2]));
}

/* ---- counting ------------------------------------------------------------------------------------------ */

/* What each loop is left with: every body below the tape once. */
static size_t count_in(const wg_tape *tape, const char *op)
{
    wg__pool bodies;
    size_t n = 0;
    wg__pool_init(&bodies, ctx);
    ck_assert(wg__bodies_find(&bodies, tape));
    for (size_t i = 0; i < bodies.entries.len; i++) {
        const wg_tape *at = wg__bodies_at(&bodies, i);
        for (uint32_t id = 0; id < at->nodes.len; id++)
            n += !wg__node_at(at, id)->out && !strcmp(wg__op_of(at, id)->name, op);
    }
    wg__pool_free(&bodies);
    return n;
}

static size_t notes_with(const wg__graph *g, const char *pass, const char *part)
{
    size_t n = 0;
    for (size_t i = 0; i < g->notes.len; i++)
        n += !strcmp(g->notes.data[i].pass, pass) && strstr(g->notes.data[i].text, part);
    return n;
}

#define SAVING "expand dce save trim dce"

/* The graph as recorded, without the bodies that rules tried. */
static void clean(wg__graph *g)
{
    run_passes(g, "expand");
    ck_assert_int_eq(wg__graph_rewrite(g, NULL, NULL, false), WG_OK);
}

/* ---- back-propagation through time ------------------------------------------------------------------------ */

/* Forward 2 products and 1 tanh; backward 3 products (of h, W and U), nothing of the forward pass. */
START_TEST(rnn_computes_nothing_twice)
{
    model m = model_make(t, 1);
    m.reverse = _i == 1;
    wg_var loss = rnn_loss(&m), outs[4] = {loss};
    ck_assert_int_eq(wg_grad(&loss, 1, NULL, (wg_var[]){m.w, m.u, m.b}, 3, outs + 1), WG_OK);
    wg__graph g = graph_of(t, outs, 4);
    clean(&g);
    ck_assert_uint_eq(count_in(g.tape, "matmul"), 7);
    ck_assert_uint_eq(count_in(g.tape, "tanh"), 2);
    run_passes(&g, "save trim dce");
    ck_assert_uint_eq(count_in(g.tape, "matmul"), 5);
    ck_assert_uint_eq(count_in(g.tape, "tanh"), 1);
    ck_assert_uint_eq(notes_with(&g, "save", "keeps 1 value of 6 steps"), 1);
    wg__graph_free(&g);
    check_values(t, outs, 4, SAVING, 0, "rnn");
    check_values(t, outs, 4, "all", 1e-12, "rnn, all passes");
}
END_TEST

/* The activations of the gates and of the cell are saved: i, f, g, o and tanh c. */
START_TEST(lstm_saves_five_values)
{
    model m = model_make(t, 4);
    wg_var loss = lstm_loss(&m), outs[4] = {loss};
    ck_assert_int_eq(wg_grad(&loss, 1, NULL, (wg_var[]){m.w, m.u, m.b}, 3, outs + 1), WG_OK);
    wg__graph g = graph_of(t, outs, 4);
    run_passes(&g, SAVING);
    ck_assert_uint_eq(count_in(g.tape, "matmul"), 5);
    ck_assert_uint_eq(count_in(g.tape, "tanh"), 2);
    ck_assert_uint_eq(count_in(g.tape, "sigmoid"), 3);
    ck_assert_uint_eq(notes_with(&g, "save", "keeps 5 values of 6 steps"), 1);
    wg__graph_free(&g);
    check_values(t, outs, 4, SAVING, 0, "lstm");
    check_values(t, outs, 4, "all", 1e-12, "lstm, all passes");
}
END_TEST

/* Steps that do not run save zeros, and nobody reads them. */
START_TEST(counted_loops_save)
{
    model m = model_make(t, 1);
    m.count = wg_cast(wg_add(wg_input(t, "n", WG_F64, WG_SCALAR), wg_f(3.5)), WG_I64);
    m.reverse = _i == 1;
    wg_var loss = rnn_loss(&m), outs[4] = {loss};
    ck_assert_int_eq(wg_grad(&loss, 1, NULL, (wg_var[]){m.w, m.u, m.b}, 3, outs + 1), WG_OK);
    wg__graph g = graph_of(t, outs, 4);
    run_passes(&g, SAVING);
    ck_assert_uint_eq(count_in(g.tape, "tanh"), 1);
    wg__graph_free(&g);
    check_values(t, outs, 4, SAVING, 0, "counted rnn");
    check_values(t, outs, 4, "all", 1e-12, "counted rnn, all passes");
}
END_TEST

/* A gradient of a gradient: the loops of both read what the first one computed. */
START_TEST(second_order_shares_what_is_saved)
{
    model m = model_make(t, 1);
    wg_var loss = rnn_loss(&m), outs[4] = {loss}, first[2];
    const wg_var xs[] = {m.u, m.h};
    ck_assert_int_eq(wg_grad(&loss, 1, NULL, xs, 2, first), WG_OK);
    wg_var norm = wg_add(wg_sum(wg_square(first[0])), wg_sum(wg_square(first[1])));
    outs[1] = norm;
    ck_assert_int_eq(wg_grad(&norm, 1, NULL, xs, 2, outs + 2), WG_OK);
    wg__graph g = graph_of(t, outs, 4);
    clean(&g);
    const size_t before = count_in(g.tape, "matmul");
    ck_assert_uint_ge(count_in(g.tape, "tanh"), 3);
    run_passes(&g, "save trim dce");
    ck_assert_uint_eq(count_in(g.tape, "tanh"), 1);
    ck_assert_uint_lt(count_in(g.tape, "matmul"), before);
    wg__graph_free(&g);
    check_values(t, outs, 4, SAVING, 0, "second order");
    check_values(t, outs, 4, "all", 1e-11, "second order, all passes");
}
END_TEST

/* A loop in a loop: what the inner one computed is saved by the outer one. */
START_TEST(inner_loops_save)
{
    wg_var h = wg_input(t, "h", WG_F64, WG_SHAPE(WIDTH)),
           w = wg_input(t, "w", WG_F64, WG_SHAPE(WIDTH));
    wg_var xs = wg_input(t, "xs", WG_F64, WG_SHAPE(4, WIDTH)), outs[3], out[2];
    wg_tape *outer = wg_fn_begin(t, "outer");
    wg_var a = wg_fn_input(outer, "a", WG_F64, WG_SHAPE(WIDTH));
    wg_var x = wg_fn_input(outer, "x", WG_F64, WG_SHAPE(WIDTH));
    wg_tape *inner = wg_fn_begin(outer, "inner");
    wg_var c = wg_fn_input(inner, "c", WG_F64, WG_SHAPE(WIDTH));
    wg_var next = wg_tanh(wg_add(wg_mul(c, w), wg_exp(wg_neg(wg_square(wg_add(c, x))))));
    wg_fn fn = wg_fn_end(inner, (wg_var[]){next}, 1);
    wg_scan_options options = WG_SCAN_DEFAULTS;
    options.length = 5;
    ck_assert_int_eq(wg_scan(fn, &a, 1, NULL, 0, &options, out, 1), WG_OK);
    wg_fn of = wg_fn_end(outer, (wg_var[]){out[0], wg_square(out[0])}, 2);
    ck_assert_int_eq(wg_scan(of, &h, 1, &xs, 1, NULL, out, 2), WG_OK);
    outs[0] = wg_sum(wg_add(out[0], wg_sum_with(out[1], WG_AXES(0), false)));
    ck_assert_int_eq(wg_grad(outs, 1, NULL, (wg_var[]){w, xs}, 2, outs + 1), WG_OK);
    wg__graph g = graph_of(t, outs, 3);
    clean(&g);
    ck_assert_uint_ge(count_in(g.tape, "tanh"), 2);
    ck_assert_uint_ge(count_in(g.tape, "exp"), 2);
    run_passes(&g, "save trim dce");
    ck_assert_uint_eq(count_in(g.tape, "tanh"), 1);
    ck_assert_uint_eq(count_in(g.tape, "exp"), 1);
    wg__graph_free(&g);
    check_values(t, outs, 3, SAVING, 0, "a loop in a loop");
    check_values(t, outs, 3, "all", 1e-12, "a loop in a loop, all passes");
}
END_TEST

/* The maps of derivatives read what the map computed. */
START_TEST(maps_save)
{
    model m = model_make(t, 1);
    wg_tape *body = wg_fn_begin(t, "f");
    wg_var x = state_input(body, "x"), y = wg_sigmoid(gates_of(&m, x, x)), out;
    wg_fn fn = wg_fn_end(body, &y, 1);
    ck_assert_int_eq(wg_map(fn, &m.xs, 1, NULL, &out, 1), WG_OK);
    wg_var outs[4] = {wg_sum(wg_square(out))};
    ck_assert_int_eq(wg_grad(outs, 1, NULL, (wg_var[]){m.w, m.xs, m.b}, 3, outs + 1), WG_OK);
    wg__graph g = graph_of(t, outs, 4);
    clean(&g);
    ck_assert_uint_eq(count_in(g.tape, "sigmoid"), 2);
    run_passes(&g, "save trim dce");
    ck_assert_uint_eq(count_in(g.tape, "sigmoid"), 1);
    ck_assert_uint_eq(count_in(g.tape, "scan"), 0);
    wg__graph_free(&g);
    check_values(t, outs, 4, SAVING, 0, "map");
    check_values(t, outs, 4, "all", 1e-12, "map, all passes");
}
END_TEST

/* Nothing inside of a checkpoint is kept: it is computed again, by the user's own wish. */
START_TEST(checkpoints_are_computed_again)
{
    model m = model_make(t, 1);
    wg_tape *body = wg_fn_begin(t, "outer"), *inner = wg_fn_begin(body, "inner");
    wg_var h = state_input(body, "h"), x = state_input(body, "x");
    wg_var a = state_input(inner, "a"), b = state_input(inner, "b"),
           n = wg_tanh(gates_of(&m, b, a));
    wg_fn step = wg_fn_end(inner, &n, 1);
    wg_var next, out;
    ck_assert_int_eq(wg_checkpoint(step, (wg_var[]){h, x}, 2, &next, 1), WG_OK);
    wg_fn fn = wg_fn_end(body, &next, 1);
    ck_assert_int_eq(wg_scan(fn, &m.h, 1, &m.xs, 1, NULL, &out, 1), WG_OK);
    wg_var outs[4] = {wg_sum(wg_square(out))};
    ck_assert_int_eq(wg_grad(outs, 1, NULL, (wg_var[]){m.w, m.u, m.b}, 3, outs + 1), WG_OK);
    wg__graph g = graph_of(t, outs, 4);
    run_passes(&g, SAVING);
    ck_assert_uint_eq(count_in(g.tape, "tanh"), 2);
    ck_assert_uint_eq(notes_with(&g, "save", "keeps"), 0);
    wg__graph_free(&g);
    check_values(t, outs, 4, SAVING, 0, "checkpoint");
    check_values(t, outs, 4, "all", 1e-12, "checkpoint, all passes");
}
END_TEST

/* Loops of another length, or over another count, have nothing in common. */
START_TEST(other_steps_are_not_ours)
{
    wg_var x = wg_input(t, "x", WG_F64, WG_SHAPE(4)), outs[2];
    for (int k = 0; k < 2; k++) {
        wg_tape *body = wg_fn_begin(t, "f");
        wg_var c = wg_fn_input(body, "c", WG_F64, WG_SCALAR);
        wg_var e = wg_fn_input(body, "e", WG_F64, WG_SCALAR);
        wg_var n = wg_add(c, wg_exp(e));
        wg_fn fn = wg_fn_end(body, &n, 1);
        wg_scan_options options = WG_SCAN_DEFAULTS;
        if (k)
            options.count = wg_cast(wg_input(t, "n", WG_F64, WG_SCALAR), WG_I64);
        wg_var zero = wg_full(t, (wg_type){WG_F64, WG_SCALAR}, 0);
        ck_assert_int_eq(wg_scan(fn, &zero, 1, &x, 1, &options, &outs[k], 1), WG_OK);
    }
    wg__graph g = graph_of(t, outs, 2);
    run_passes(&g, "save");
    ck_assert_uint_eq(g.rewrites, 0);
    wg__graph_free(&g);
    check_values(t, outs, 2, "all", 1e-12, "two counts");
}
END_TEST

START_TEST(random_loops_keep_their_values)
{
    static const char *const trials[] = {"trim", "save", "save trim", "save trim cse trim hoist",
                                         "expand dce save trim dce cse trim"};
    rng r = rng_make((uint64_t)_i + 500);
    random_graph g = {.t = t, .r = &r};
    wg_var outs[12];
    size_t n = 0;
    random_graph_make(&g, 10);
    for (int k = 0; k < 3; k++) {
        random_scan(&g, 0);
        random_grow(&g, 3, 1);
    }
    for (; n < 4; n++)
        outs[n] = g.v[g.n - 1 - n];
    wg_var y = wg_sum(outs[0]);
    for (size_t i = 1; i < n; i++)
        y = wg_add(y, wg_sum(outs[i]));
    ck_assert_msg(wg_grad(&y, 1, NULL, g.v, 4, outs + n) == WG_OK, "%s", wg_tape_error(t));
    n += 4;
    if (_i % 4 == 0) {
        y = wg_f(0);
        for (size_t i = 4; i < 8; i++)
            y = wg_add(y, wg_sum(wg_square(outs[i])));
        ck_assert_msg(wg_grad(&y, 1, NULL, g.v, 4, outs + n) == WG_OK, "%s", wg_tape_error(t));
        n += 4;
    }
    for (size_t k = 0; k < sizeof trials / sizeof *trials; k++) {
        char what[96];
        snprintf(what, sizeof what, "seed %d, passes %s", _i, trials[k]);
        check_values(t, outs, n, trials[k], 0, what);
    }
}
END_TEST

/* Each body runs the two before it in loops whose outputs nobody reads all: far more than 2^20 ways down,
 * few bodies to change. */
START_TEST(shared_bodies_change_once)
{
    enum { LEVELS = 30 };
    wg_fn fn[LEVELS];
    wg_var y[2], x = wg_input(t, "x", WG_F64, WG_SCALAR);
    wg_scan_options options = WG_SCAN_DEFAULTS;
    options.length = 2;
    for (int k = 0; k < LEVELS; k++) {
        wg_tape *body = wg_fn_begin(t, "f");
        wg_var a = wg_fn_input(body, "a", WG_F64, WG_SCALAR), outs[2] = {a, wg_none()};
        for (int i = 1; i <= 2 && k >= 2; i++)
            ck_assert_int_eq(wg_scan(fn[k - i], outs, 1, NULL, 0, &options, outs, 2), WG_OK);
        fn[k] = wg_fn_end(body, (wg_var[]){wg_sin(outs[0]), wg_cos(a)}, 2);
    }
    ck_assert_int_eq(wg_scan(fn[LEVELS - 1], &x, 1, NULL, 0, &options, y, 2), WG_OK);
    wg__graph g = graph_of(t, y, 1);
    run_passes(&g, "save trim");
    wg__pool bodies;
    wg__pool_init(&bodies, ctx);
    ck_assert(wg__bodies_find(&bodies, g.tape));
    ck_assert_uint_le(bodies.entries.len, 3 * LEVELS);
    ck_assert_uint_eq(count_in(g.tape, "cos"), 0);
    wg__pool_free(&bodies);
    wg__graph_free(&g);
}
END_TEST

/* ---- cuts ------------------------------------------------------------------------------------------------------ */

enum { MOST = 9 };

typedef struct network {
    int n;
    int64_t price[MOST];
    bool edge[MOST][MOST], source[MOST], sink[MOST];
} network;

/* Whether the sink is reached without a vertex of `set`. */
static bool leaks(const network *w, unsigned set)
{
    bool seen[MOST];
    for (int v = 0; v < w->n; v++) { /* edges lead upwards */
        seen[v] = w->source[v];
        for (int u = 0; u < v; u++)
            seen[v] |= w->edge[u][v] && seen[u];
        seen[v] = seen[v] && !(set >> v & 1);
        if (seen[v] && w->sink[v])
            return true;
    }
    return false;
}

static int64_t total(const network *w, unsigned set)
{
    int64_t sum = 0;
    for (int v = 0; v < w->n; v++)
        sum += set >> v & 1 ? w->price[v] : 0;
    return sum;
}

/* Of all sets, none that holds is cheaper. */
START_TEST(cuts_are_smallest)
{
    rng r = rng_make((uint64_t)_i);
    network w = {.n = (int)rng_int(&r, 1, MOST)};
    bool chosen[MOST] = {false};
    wg__cut cut;
    ck_assert(wg__cut_make(&cut, ctx));
    for (int v = 0; v < w.n; v++) {
        w.price[v] = rng_int(&r, 0, 6);
        w.source[v] = rng_int(&r, 0, 2) == 0;
        w.sink[v] = rng_int(&r, 0, 2) == 0;
        ck_assert_uint_eq(wg__cut_vertex(&cut, w.price[v]), (uint32_t)v);
        for (int u = 0; u < v; u++)
            if ((w.edge[u][v] = rng_int(&r, 0, 2) == 0))
                wg__cut_edge(&cut, (uint32_t)u, (uint32_t)v);
        if (w.source[v])
            wg__cut_source(&cut, (uint32_t)v);
        if (w.sink[v])
            wg__cut_sink(&cut, (uint32_t)v);
    }
    ck_assert(wg__cut_solve(&cut, chosen));
    wg__cut_free(&cut);
    unsigned set = 0;
    for (int v = 0; v < w.n; v++)
        set |= chosen[v] ? 1u << v : 0;
    ck_assert(!leaks(&w, set));
    for (unsigned other = 0; other < 1u << w.n; other++)
        ck_assert(leaks(&w, other) || total(&w, other) >= total(&w, set));
}
END_TEST

/* ---- memory -------------------------------------------------------------------------------------------------------- */

/* A branch and a while with an output and a carry too many. */
static wg_var others(wg_tape *tape, wg_var w)
{
    wg_fn fn[2], step, small;
    wg_var outs[3] = {wg_none(), wg_none(), wg_none()}, two[2];
    for (int k = 0; k < 2; k++) {
        wg_tape *body = wg_fn_begin(tape, "branch");
        wg_var a = wg_fn_input(body, "a", WG_F64, WG_SCALAR);
        two[0] = wg_sin(a);
        two[1] = wg_cos(a);
        fn[k] = wg_fn_end(body, two, 2);
    }
    wg_var a = wg_sum(w);
    wg_cond(wg_less(a, wg_f(1)), fn[0], fn[1], &a, 1, outs, 2);
    wg_tape *body = wg_fn_begin(tape, "step");
    wg_var c = wg_fn_input(body, "c", WG_F64, WG_SCALAR);
    wg_var d = wg_fn_input(body, "d", WG_F64, WG_SCALAR);
    two[0] = wg_mul(c, wg_f(0.5));
    two[1] = wg_add(c, d);
    step = wg_fn_end(body, two, 2);
    body = wg_fn_begin(tape, "small");
    c = wg_fn_input(body, "c", WG_F64, WG_SCALAR);
    wg_fn_input(body, "d", WG_F64, WG_SCALAR);
    c = wg_greater(c, wg_f(0.25));
    small = wg_fn_end(body, &c, 1);
    two[0] = two[1] = outs[0];
    wg_while(small, step, two, 2, NULL, outs, 3);
    return outs[0];
}

static bool compile_rnn(wg_ctx *own, void *user)
{
    (void)user;
    wg_tape *tape = wg_tape_new(own);
    if (!tape)
        return false;
    wg_var x = wg_input(tape, "x", WG_F64, WG_SHAPE(4, 2)),
           w = wg_input(tape, "w", WG_F64, WG_SHAPE(2));
    wg_tape *body = wg_fn_begin(tape, "f");
    wg_var h = wg_fn_input(body, "h", WG_F64, WG_SHAPE(2)),
           e = wg_fn_input(body, "e", WG_F64, WG_SHAPE(2));
    wg_var n = wg_tanh(wg_add(wg_mul(h, w), e)), out = wg_none(), dw = wg_none();
    wg_fn fn = wg_fn_end(body, &n, 1);
    wg_scan(fn, &w, 1, &x, 1, NULL, &out, 1);
    wg_var y = wg_sum(out);
    wg_grad(&y, 1, NULL, &w, 1, &dw);
    dw = wg_add(dw, others(tape, w));
    wg__graph g = {
        .ctx = own, .report = tape, .tape = tape, .nroots = 1, .nids = 1, .explain = true};
    bool good = wg_ok(dw) && (g.ids = wg__calloc(own, 1, sizeof *g.ids));
    if (good) {
        g.ids[0] = (uint32_t)dw.bits;
        good = wg__pass_save(&g) == WG_OK && wg__pass_trim(&g) == WG_OK;
        ck_assert(good || wg_tape_status(tape) == WG_NO_MEMORY);
    }
    wg__graph_free(&g);
    wg_tape_free(tape);
    return good;
}

START_TEST(memory_may_run_out) { ck_assert_int_eq(fault_each(wg_ctx_new, compile_rnn, NULL), 0); }
END_TEST

int main(void)
{
    Suite *suite = suite_create("scans");
    TCase *c = tcase_create("scans");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, rnn_computes_nothing_twice, 0, 2);
    tcase_add_test(c, lstm_saves_five_values);
    tcase_add_loop_test(c, counted_loops_save, 0, 2);
    tcase_add_test(c, second_order_shares_what_is_saved);
    tcase_add_test(c, inner_loops_save);
    tcase_add_test(c, maps_save);
    tcase_add_test(c, checkpoints_are_computed_again);
    tcase_add_test(c, other_steps_are_not_ours);
    tcase_add_loop_test(c, random_loops_keep_their_values, 0, 32);
    tcase_add_test(c, shared_bodies_change_once);
    tcase_add_loop_test(c, cuts_are_smallest, 0, 200);
    tcase_add_test(c, memory_may_run_out);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
