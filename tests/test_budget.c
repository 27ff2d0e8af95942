/* Memory limits: binomial checkpointing against its formula and a search over all schedules; programs
 * within limits from the least possible on give the same bits, take no more than they say, and run
 * forward steps as often as the formula says. */
#include <stdarg.h>

#include "base/revolve.h"
#include "exec/exec.h"

#include "fault.h"
#include "random_model.h"
#include "running.h"

/* ---- schedules --------------------------------------------------------------------------------- */

enum { SMALL = 64, FEW = 10 };

/* The least number of forward steps over all ways to place snapshots: the last one of l steps must be
 * reached from the nearest snapshot; the first further snapshot is taken after j steps. */
static int64_t search(int l, int s, int64_t memo[SMALL + 1][FEW + 1])
{
    if (l <= 1)
        return 0;
    if (s == 1)
        return (int64_t)l * (l - 1) / 2;
    if (memo[l][s])
        return memo[l][s];
    int64_t best = INT64_MAX;
    for (int j = 1; j < l; j++) {
        int64_t cost = j + search(l - j, s - 1, memo) + search(j, s, memo);
        best = cost < best ? cost : best;
    }
    return memo[l][s] = best;
}

START_TEST(the_formula_is_the_minimum)
{
    static int64_t memo[SMALL + 1][FEW + 1];
    for (int l = 0; l <= SMALL; l++)
        for (int s = 1; s <= FEW; s++)
            ck_assert_msg(wg__revolve_cost(l, s) == search(l, s, memo),
                          "%d steps, %d snapshots: %lld", l, s, (long long)wg__revolve_cost(l, s));
}
END_TEST

/* Runs a schedule on a chain that knows where it is; the number of forward steps, or -1 when an action
 * does not fit what went before. */
static int64_t play(int64_t steps, int64_t s)
{
    int64_t *stack = calloc((size_t)s, sizeof *stack), *kept = calloc((size_t)s, sizeof *kept);
    int64_t at = 0, forward = 0, next = steps - 1;
    bool good = true;
    wg__revolve r;
    wg__revolve_begin(&r, steps, s, stack);
    for (wg__revolve_action a; good && (a = wg__revolve_next(&r)).what != WG__REVOLVE_DONE;) {
        good = a.slot >= 0 && a.slot < s;
        if (good && a.what == WG__REVOLVE_RESTORE)
            at = kept[a.slot];
        good = good && a.at == at;
        if (a.what == WG__REVOLVE_ADVANCE) {
            good = good && a.to > at;
            forward += a.to - at;
            at = a.to;
        } else if (good && a.what == WG__REVOLVE_TAKE) {
            good = a.slot > 0;
            kept[a.slot] = at;
        } else if (a.what == WG__REVOLVE_TURN) {
            good = good && at == next--;
            at = -1; /* the turn uses it up */
        }
    }
    free(stack);
    free(kept);
    return good && next == -1 ? forward : -1;
}

START_TEST(schedules_turn_all_steps_at_the_least_cost)
{
    static const int64_t steps[] = {0, 1, 2, 3, 7, 64, 100, 1000, 100000};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        for (int64_t s = 1; s < 300; s += s < 12 ? 1 : 41)
            if (s > 1 || steps[i] <= 1000)
                ck_assert_int_eq(play(steps[i], s), wg__revolve_cost(steps[i], s));
}
END_TEST

START_TEST(the_fewest_snapshots_for_a_number_of_runs)
{
    for (int64_t steps = 1; steps <= 1000; steps++)
        for (int64_t most = 1; most <= 16; most += 5) {
            int64_t s = wg__revolve_least(steps, most);
            ck_assert_int_le(wg__revolve_cost(steps, s), most * steps);
            ck_assert(s == 1 || wg__revolve_cost(steps, s - 1) > most * steps);
        }
    ck_assert_int_eq(wg__revolve_reach(3, 2), 10);
    ck_assert(wg__revolve_reach(1000, 1000) == INT64_MAX);
    ck_assert(wg__revolve_reach(0, 5) == 1 && wg__revolve_reach(3, -1) == 0);
}
END_TEST

/* ---- programs ---------------------------------------------------------------------------------- */

enum { OUTS = 16 };

/* A graph and what is asked of it. */
typedef struct model {
    wg_var outs[OUTS];
    size_t nouts;
} model;

/* Counts bytes. */
typedef struct meter {
    long long live, peak;
    size_t calls;
} meter;

static void *metered(void *user, void *ptr, size_t size)
{
    meter *m = user;
    char *old = ptr ? (char *)ptr - 64 : NULL;
    size_t before = 0;
    if (old)
        memcpy(&before, old, sizeof before);
    if (!size) {
        m->live -= (long long)before;
        free(old);
        return NULL;
    }
    char *block = realloc(old, size + 64);
    if (!block)
        return NULL;
    memcpy(block, &size, sizeof size);
    m->calls++;
    m->live += (long long)size - (long long)before;
    m->peak = m->live > m->peak ? m->live : m->peak;
    return block + 64;
}

static meter gauge;
static size_t threads = 1;

static void setup_metered(void)
{
    wg_ctx_options options = WG_CTX_DEFAULTS;
    gauge = (meter){0};
    options.alloc = metered;
    options.alloc_user = &gauge;
    options.threads = threads;
    ctx = wg_ctx_new(&options);
    t = wg_tape_new(ctx);
}

static wg_program *within(const model *m, size_t limit)
{
    wg_compile_options options = WG_COMPILE_DEFAULTS;
    options.memory_limit = limit;
    options.verify = true;
    options.explain = true;
    return wg_compile(t, m->outs, m->nouts, &options);
}

/* Bytes of all params and outputs after two runs, one after the other; owned. */
static char *bits_of(wg_program *p, const model *m, size_t *size)
{
    wg_state *state = wg_state_new(ctx, 7);
    ck_assert_int_eq(wg_state_init(state, p), WG_OK);
    long long before = gauge.live;
    gauge.peak = before;
    wg_session *s = wg_session_new(p, state);
    ck_assert_msg(s != NULL, "%s", wg_state_error(state));
    size_t calls = gauge.calls;
    run_ok(s);
    run_ok(s);
    ck_assert_uint_eq(gauge.calls, calls); /* nothing is allocated while it runs */
    if (gauge.peak)
        ck_assert_int_le(gauge.peak - before, (long long)wg_program_bytes(p) + 512);
    *size = 0;
    for (size_t i = 0; i < m->nouts; i++) {
        size_t bytes;
        ck_assert_ptr_nonnull(wg_output(s, m->outs[i], NULL, &bytes));
        *size += bytes;
    }
    for (size_t i = 0; i < wg_state_count(state); i++)
        *size += wg_tensor_bytes(wg_state_get(state, wg_state_name(state, i)));
    char *to = malloc(*size + 1), *at = to;
    for (size_t i = 0; i < wg_state_count(state); i++) {
        const wg_tensor *x = wg_state_get(state, wg_state_name(state, i));
        memcpy(at, wg_tensor_data(x), wg_tensor_bytes(x));
        at += wg_tensor_bytes(x);
    }
    for (size_t i = 0; i < m->nouts; i++) {
        size_t bytes;
        const void *data = wg_output(s, m->outs[i], NULL, &bytes);
        memcpy(at, data, bytes);
        at += bytes;
    }
    wg_session_free(s);
    wg_state_free(state);
    return to;
}

/* The least that a program of the model can take, as the error tells it. */
static size_t least_of(const model *m)
{
    size_t least = 0;
    ck_assert_ptr_null(within(m, 1));
    const char *text = wg_tape_error(t), *at = strstr(text, "the least found is ");
    ck_assert_msg(at != NULL, "%s", text);
    for (at += strlen("the least found is "); (*at >= '0' && *at <= '9') || *at == ','; at++)
        if (*at != ',')
            least = 10 * least + (size_t)(*at - '0');
    return least;
}

typedef void (*maker)(model *m, int64_t steps);

/* The same graph on a fresh tape: an error sticks to the old one. */
static void fresh(maker make, model *m, int64_t steps)
{
    wg_tape_free(t);
    t = wg_tape_new(ctx);
    *m = (model){.nouts = 0};
    make(m, steps);
    ck_assert_msg(!wg_tape_status(t), "%s", wg_tape_error(t));
}

static size_t least(maker make, int64_t steps)
{
    model m;
    fresh(make, &m, steps);
    size_t n = least_of(&m);
    fresh(make, &m, steps);
    return n;
}

/* All limits from the least to what the plain program takes give its bits; returns both. */
static void same_bits_within_limits(maker make, int64_t steps, size_t *low, size_t *high)
{
    model m;
    *low = least(make, steps);
    fresh(make, &m, steps);
    wg_program *plain = within(&m, 0);
    ck_assert_msg(plain != NULL, "%s", wg_tape_error(t));
    size_t size, other;
    char *want = bits_of(plain, &m, &size);
    *high = wg_program_bytes(plain);
    wg_program_free(plain);
    ck_assert_uint_le(*low, *high);
    for (int k = 0; k <= 6; k++) {
        size_t limit = *low + (*high - *low) * (size_t)(k * k) / 36;
        wg_program *p = within(&m, limit);
        ck_assert_msg(p != NULL, "%lld steps, limit %zu of %zu .. %zu: %s", (long long)steps, limit,
                      *low, *high, wg_tape_error(t));
        ck_assert_uint_le(wg_program_bytes(p), limit);
        char *have = bits_of(p, &m, &other);
        ck_assert_uint_eq(size, other);
        ck_assert_msg(memcmp(want, have, size) == 0, "%lld steps, limit %zu of %zu .. %zu",
                      (long long)steps, limit, *low, *high);
        free(have);
        wg_program_free(p);
    }
    free(want);
}

/* ---- recurrences ------------------------------------------------------------------------------- */

enum { HIDDEN = 12, INPUT = 5 };

static wg_var weight(const char *name, int64_t rows, int64_t columns)
{
    return wg_param(t, name, WG_F32, WG_SHAPE(rows, columns), wg_init_xavier());
}

static bool may_fail; /* recording may run out of memory */

static void ask(model *m, wg_var loss, const wg_var *xs, size_t nxs)
{
    m->outs[0] = loss;
    m->nouts = 1 + nxs;
    bool good = wg_grad(&loss, 1, NULL, xs, nxs, m->outs + 1) == WG_OK;
    ck_assert_msg(good || may_fail, "%s", wg_tape_error(t));
}

/* h' = tanh(x U + h W); the loss is a sum over the steps. */
static void rnn(model *m, int64_t steps)
{
    wg_var x = wg_param(t, "x", WG_F32, WG_SHAPE(steps, 3, INPUT), wg_init_normal(0, 1));
    wg_var h0 = weight("h0", 3, HIDDEN), U = weight("U", INPUT, HIDDEN),
           W = weight("W", HIDDEN, HIDDEN);
    wg_tape *b = wg_fn_begin(t, "step");
    wg_var h = wg_fn_input(b, "h", WG_F32, WG_SHAPE(3, HIDDEN));
    wg_var xt = wg_fn_input(b, "x", WG_F32, WG_SHAPE(3, INPUT));
    wg_var n = wg_tanh(wg_add(wg_matmul(xt, U), wg_matmul(h, W)));
    wg_fn fn = wg_fn_end(b, (wg_var[]){n, wg_sum(wg_square(n))}, 2);
    wg_scan_options o = WG_SCAN_DEFAULTS;
    wg_var outs[2];
    o.sums = 1;
    wg_scan(fn, &h0, 1, &x, 1, &o, outs, 2);
    ask(m, wg_add(outs[1], wg_sum(outs[0])), (wg_var[]){U, W, h0, x}, 4);
}

static void lstm(model *m, int64_t steps)
{
    wg_var x = wg_param(t, "x", WG_F32, WG_SHAPE(steps, 2, INPUT), wg_init_normal(0, 1));
    wg_var h0 = weight("h0", 2, HIDDEN), c0 = weight("c0", 2, HIDDEN);
    wg_var U = weight("U", INPUT, 4 * HIDDEN), W = weight("W", HIDDEN, 4 * HIDDEN);
    wg_tape *b = wg_fn_begin(t, "step");
    wg_var h = wg_fn_input(b, "h", WG_F32, WG_SHAPE(2, HIDDEN));
    wg_var c = wg_fn_input(b, "c", WG_F32, WG_SHAPE(2, HIDDEN));
    wg_var xt = wg_fn_input(b, "x", WG_F32, WG_SHAPE(2, INPUT));
    wg_var z = wg_add(wg_matmul(xt, U), wg_matmul(h, W));
    wg_var g[4];
    for (int k = 0; k < 4; k++)
        g[k] = wg_section(z, WG_SHAPE(0, k * HIDDEN), WG_SHAPE(2, HIDDEN));
    wg_var cn = wg_add(wg_mul(wg_sigmoid(g[0]), c), wg_mul(wg_sigmoid(g[1]), wg_tanh(g[2])));
    wg_var hn = wg_mul(wg_sigmoid(g[3]), wg_tanh(cn));
    wg_fn fn = wg_fn_end(b, (wg_var[]){hn, cn, wg_mean(hn)}, 3);
    wg_var outs[3];
    wg_scan(fn, (wg_var[]){h0, c0}, 2, &x, 1, NULL, outs, 3);
    ask(m, wg_sum(wg_square(outs[2])), (wg_var[]){U, W, h0, c0}, 4);
}

static const int64_t lengths[] = {1, 2, 10, 100, 1000};
enum { LENGTHS = sizeof lengths / sizeof *lengths };

START_TEST(recurrences_keep_their_bits)
{
    static const maker makers[] = {rnn, lstm};
    size_t low, high;
    for (size_t i = 0; i < sizeof makers / sizeof *makers; i++) {
        same_bits_within_limits(makers[i], lengths[_i], &low, &high);
        if (lengths[_i] >= 1000)
            ck_assert_uint_lt(low, high - high / 4);
    }
}
END_TEST

/* ---- other graphs ------------------------------------------------------------------------------ */

/* A network of many layers with an update of each weight. */
static void mlp(model *m, int64_t layers)
{
    wg_var h = wg_param(t, "x", WG_F32, WG_SHAPE(64, 48), wg_init_normal(0, 1)), w[64];
    for (int64_t i = 0; i < layers; i++) {
        char name[16];
        snprintf(name, sizeof name, "W%d", (int)i);
        w[i] = weight(name, 48, 48);
        h = wg_tanh(wg_matmul(h, w[i]));
    }
    ask(m, wg_mean(wg_square(h)), w, 1);
    wg_var loss = m->outs[0], g[64];
    ck_assert_int_eq(wg_grad(&loss, 1, NULL, w, (size_t)layers, g), WG_OK);
    for (int64_t i = 0; i < layers; i++)
        wg_assign(w[i], wg_sub(w[i], wg_mul(wg_f(0.01), g[i])));
}

/* Elementwise functions in a row, cut by reductions so that they do not become one loop. */
static void chain(model *m, int64_t links)
{
    wg_var x = wg_param(t, "x", WG_F64, WG_SHAPE(40, 50), wg_init_normal(0, 1)), h = x;
    for (int64_t i = 0; i < links; i++) {
        wg_var s = wg_sum_with(h, WG_AXES((int)(i % 2)), true);
        h = wg_sin(wg_add(h, wg_mul(wg_f(0.1), s)));
    }
    ask(m, wg_sum(wg_square(h)), &x, 1);
}

/* Each value is read by the next one and by one far behind. */
static void diamonds(model *m, int64_t n)
{
    wg_var x = wg_param(t, "x", WG_F32, WG_SHAPE(30, 64), wg_init_normal(0, 1)), v[64];
    wg_var W = weight("W", 64, 64);
    v[0] = x;
    for (int64_t i = 1; i < n; i++)
        v[i] = wg_tanh(wg_matmul(v[i - 1], W));
    wg_var sum = v[n - 1];
    for (int64_t i = n - 2; i >= 0; i--)
        sum = wg_add(wg_matmul(sum, W), wg_mul(v[i], v[i]));
    ask(m, wg_mean(sum), (wg_var[]){x, W}, 2);
}

START_TEST(layers_chains_and_diamonds_keep_their_bits)
{
    static const struct {
        maker make;
        int64_t n, share; /* the least memory is below 2 high / share */
    } cases[] = {{mlp, 50, 8}, {chain, 40, 8}, {diamonds, 40, 3}};
    size_t low, high;
    same_bits_within_limits(cases[_i].make, cases[_i].n, &low, &high);
    ck_assert_msg(low * (size_t)cases[_i].share < 2 * high, "case %d: %zu of %zu", _i, low, high);
}
END_TEST

enum { GRAPHS = 200, PART = 20 };

static void random_graph(model *m, int64_t seed)
{
    random_model g;
    ck_assert(random_model_make(&g, t, (uint64_t)seed, 6 + (int)(seed % 40)));
    m->nouts = g.nouts < OUTS ? g.nouts : OUTS;
    memcpy(m->outs, g.outs, m->nouts * sizeof *m->outs);
}

START_TEST(random_graphs_keep_their_bits)
{
    size_t low, high;
    for (int64_t seed = (int64_t)_i * PART; seed < (int64_t)(_i + 1) * PART; seed++)
        same_bits_within_limits(random_graph, seed, &low, &high);
}
END_TEST

/* ---- how often steps run ----------------------------------------------------------------------- */

static long ticks;

/* y = x, and says so. */
static wg_status run_tick(const wg_kernel_call *c)
{
    ticks++;
    memcpy(c->out->data, c->in->data, wg__type_bytes(c->in->type));
    return WG_OK;
}

static wg_status infer_tick(wg_infer *q)
{
    q->out[0] = q->in[0];
    return WG_OK;
}

static void tick_vjp(wg_rule *r) { r->din[0] = r->dout[0]; }

static void register_tick(void)
{
    static const wg_kernel row = {WG_KERNEL, .types = "d->d", .run = run_tick};
    const wg_op op = {WG_OP,
                      .sig = "tick(x: float) -> y",
                      .doc = "x",
                      .flags = WG_OP_LINEAR,
                      .infer = infer_tick,
                      .vjp = tick_vjp,
                      .kernels = &row,
                      .nkernels = 1};
    const char *error = "";
    ck_assert_msg(wg_register(ctx, &op, &error) == WG_OK, "%s", error);
}

/* h' = sin(w h), with a tick in each step if that is asked for. */
static void sines(model *m, int64_t steps, bool tick)
{
    wg_var h0 = wg_param(t, "h0", WG_F64, WG_SHAPE(200), wg_init_normal(0, 1));
    wg_var w = wg_param(t, "w", WG_F64, WG_SHAPE(200), wg_init_normal(0, 1));
    wg_tape *b = wg_fn_begin(t, "step");
    wg_var h = wg_fn_input(b, "h", WG_F64, WG_SHAPE(200));
    wg_var n = wg_sin(wg_mul(w, h));
    if (tick)
        n = apply1("tick", n);
    wg_fn fn = wg_fn_end(b, &n, 1);
    wg_scan_options o = WG_SCAN_DEFAULTS;
    wg_var out;
    o.length = steps;
    wg_scan(fn, &h0, 1, NULL, 0, &o, &out, 1);
    ask(m, wg_sum(wg_square(out)), (wg_var[]){h0, w}, 2);
}

static void ticking(model *m, int64_t steps) { sines(m, steps, true); }
static void silent(model *m, int64_t steps) { sines(m, steps, false); }

/* The replay node of a program, or WG__NONE. */
static uint32_t find_replay(const wg_program *p)
{
    const wg_tape *tape = wg_program_tape(p);
    for (uint32_t id = 0; id < tape->nodes.len; id++)
        if (strcmp(wg__op_of(tape, id)->name, "replay") == 0)
            return id;
    return WG__NONE;
}

/* What the formula says for the snapshots that the program has. */
static int64_t more_runs(const wg_program *p, int64_t steps)
{
    uint32_t id = find_replay(p);
    if (id == WG__NONE)
        return 0;
    wg_attrs a = wg__attrs_of(wg_program_tape(p), id);
    size_t n;
    const int64_t *from = wg_attrs_ints(&a, "from", &n);
    const wg__fn *step = wg__node_fn(wg_program_tape(p), id, "step");
    const int64_t *counts = wg_attrs_ints(&a, "step_layout", &n);
    ck_assert(n == 6 && counts[3] == steps && counts[4] == 0 && counts[5] == 1);
    wg_attrs_ints(&a, "from", &n);
    bool turns = false;
    for (size_t i = 0; i < n; i++)
        turns |= from[i] >= 0 && from[i] < (int64_t)step->nouts;
    return wg__revolve_cost(steps, wg_attrs_int(&a, "snapshots") + 1) + (turns ? steps : 0);
}

static long ticks_of(wg_program *p)
{
    wg_session *s = wg_session_new(p, NULL);
    ticks = 0;
    run_ok(s);
    wg_session_free(s);
    return ticks;
}

START_TEST(steps_run_as_often_as_the_formula_says)
{
    static const int64_t counts[] = {2, 3, 10, 100, 1000};
    const int64_t steps = counts[_i];
    register_tick();
    size_t low = least(ticking, steps), replays = 0;
    model m;
    fresh(ticking, &m, steps);
    wg_program *plain = within(&m, 0);
    const size_t high = wg_program_bytes(plain);
    const long before = ticks_of(plain);
    ck_assert_int_eq(before, steps);
    for (int k = 0; k < 12; k++) {
        wg_program *p = within(&m, low + (high - low) * (size_t)(k * k) / 144);
        ck_assert_msg(p != NULL, "%s", wg_tape_error(t));
        ck_assert_int_eq(ticks_of(p), before + more_runs(p, steps));
        replays += find_replay(p) != WG__NONE;
        wg_program_free(p);
    }
    ck_assert(steps < 1000 || (replays > 6 && 5 * low < high));
    wg_program_free(plain);
}
END_TEST

/* ---- long sequences ---------------------------------------------------------------------------- */

enum { WIDE = 128 };

static void long_rnn(model *m, int64_t steps)
{
    wg_var h0 = weight("h0", 1, WIDE), W = weight("W", WIDE, WIDE), b = weight("b", 1, WIDE);
    wg_var x = wg_input(t, "x", WG_F32, WG_SHAPE(steps, 1, 1));
    wg_tape *body = wg_fn_begin(t, "step");
    wg_var h = wg_fn_input(body, "h", WG_F32, WG_SHAPE(1, WIDE));
    wg_var xt = wg_fn_input(body, "x", WG_F32, WG_SHAPE(1, 1));
    wg_var n = wg_tanh(wg_add(wg_add(wg_matmul(h, W), b), xt));
    wg_fn fn = wg_fn_end(body, (wg_var[]){n, wg_mean(wg_square(n))}, 2);
    wg_scan_options o = WG_SCAN_DEFAULTS;
    wg_var outs[2];
    o.sums = 1;
    wg_scan(fn, &h0, 1, &x, 1, &o, outs, 2);
    ask(m, outs[1], (wg_var[]){W, b, h0}, 3);
}

static wg_session *long_run(wg_program *p, const float *x, size_t bytes)
{
    wg_session *s = wg_session_new(p, NULL);
    ck_assert_int_eq(wg_bind_name(s, "x", x, bytes), WG_OK);
    run_ok(s);
    return s;
}

/* 100,000 steps in the memory of 1,000 states of 512 bytes, of which W's gradient and the products that it
 * is the sum of are 256; without a limit it takes 100 MB. */
START_TEST(a_long_recurrence_in_little_memory)
{
    const int64_t steps = 100000;
    const size_t limit = 1000 * WIDE * sizeof(float), bytes = (size_t)steps * sizeof(float);
    float *x = calloc((size_t)steps, sizeof *x);
    model m;
    fresh(long_rnn, &m, steps);
    wg_program *p = within(&m, limit), *plain = within(&m, 0);
    ck_assert_msg(p != NULL && plain != NULL, "%s", wg_tape_error(t));
    ck_assert_uint_le(wg_program_bytes(p), limit);
    ck_assert_uint_gt(wg_program_bytes(plain), 100 * limit);
    for (int64_t i = 0; i < steps; i++)
        x[i] = (float)(i % 17) / 17;
    wg_session *a = long_run(p, x, bytes), *b = long_run(plain, x, bytes);
    for (size_t i = 0; i < m.nouts; i++) {
        size_t size;
        const void *have = wg_output(a, m.outs[i], NULL, &size);
        ck_assert(memcmp(have, wg_output(b, m.outs[i], NULL, NULL), size) == 0);
    }
    ck_assert(isfinite(wg_scalar(a, m.outs[0])) && wg_scalar(a, m.outs[0]) > 0);
    wg_session_free(a);
    wg_session_free(b);
    wg_program_free(p);
    wg_program_free(plain);
    free(x);
}
END_TEST

/* ---- choices ----------------------------------------------------------------------------------- */

START_TEST(any_number_of_threads_gives_the_same_bits)
{
    static const struct {
        maker make;
        int64_t n;
    } cases[] = {{rnn, 300}, {mlp, 20}, {chain, 12}};
    char *bits[2];
    size_t sizes[2];
    for (size_t k = 0; k < 2; k++) {
        teardown();
        threads = 1 + 2 * k;
        setup_metered();
        size_t low = least(cases[_i].make, cases[_i].n);
        model m;
        fresh(cases[_i].make, &m, cases[_i].n);
        wg_program *p = within(&m, low + low / 8);
        ck_assert_msg(p != NULL, "%s", wg_tape_error(t));
        gauge.peak = 0;
        bits[k] = bits_of(p, &m, &sizes[k]);
        wg_program_free(p);
    }
    threads = 1;
    ck_assert_uint_eq(sizes[0], sizes[1]);
    ck_assert(memcmp(bits[0], bits[1], sizes[0]) == 0);
    free(bits[0]);
    free(bits[1]);
}
END_TEST

START_TEST(limits_are_part_of_what_is_remembered)
{
    size_t low = least(mlp, 20);
    model m;
    fresh(mlp, &m, 20);
    wg_compile_options o = WG_COMPILE_DEFAULTS;
    wg_program *plain = wg_compile(t, m.outs, m.nouts, &o);
    o.memory_limit = low;
    wg_program *a = wg_compile(t, m.outs, m.nouts, &o), *b = wg_compile(t, m.outs, m.nouts, &o);
    o.memory_limit = wg_program_bytes(plain) - 1;
    wg_program *c = wg_compile(t, m.outs, m.nouts, &o);
    ck_assert(plain && a && b && c);
    ck_assert_ptr_eq(a->code, b->code);
    ck_assert_ptr_ne(a->code, plain->code);
    ck_assert_ptr_ne(a->code, c->code);
    ck_assert_uint_lt(wg_program_bytes(a), wg_program_bytes(c));
    ck_assert_uint_lt(wg_program_bytes(c), wg_program_bytes(plain));
    wg_program_free(plain);
    wg_program_free(a);
    wg_program_free(b);
    wg_program_free(c);
}
END_TEST

typedef struct scenario {
    maker make;
    int64_t n;
    size_t limit;
} scenario;

static bool compile_and_run(wg_ctx *c, void *user)
{
    const scenario *what = user;
    model m = {.nouts = 0};
    ctx = c;
    t = wg_tape_new(c);
    if (t)
        what->make(&m, what->n);
    wg_program *p = t && !wg_tape_status(t) ? within(&m, what->limit) : NULL;
    wg_session *s = p ? wg_session_new(p, NULL) : NULL;
    bool good = s && wg_run(s) == WG_OK;
    wg_session_free(s);
    wg_program_free(p);
    wg_tape_free(t);
    t = NULL;
    return good;
}

/* Scratch is per thread, and so are limits. */
static wg_ctx *one_thread(const wg_ctx_options *options)
{
    wg_ctx_options o = *options;
    o.threads = 1;
    return wg_ctx_new(&o);
}

START_TEST(no_memory_for_the_search)
{
    scenario cases[] = {{silent, 12, 0}, {chain, 6, 0}};
    scenario *what = &cases[_i];
    size_t low = least(what->make, what->n);
    what->limit = low + low / 50;
    teardown();
    ctx = NULL;
    t = NULL;
    may_fail = true;
    ck_assert_int_eq(fault_each(one_thread, compile_and_run, what), 0);
    may_fail = false;
    setup_metered();
}
END_TEST

START_TEST(the_reference_executor_keeps_everything)
{
    model m;
    fresh(chain, &m, 5);
    wg_compile_options o = WG_COMPILE_DEFAULTS;
    o.executor = "reference";
    wg_program *p = wg_compile(t, m.outs, m.nouts, &o);
    o.memory_limit = wg_program_bytes(p);
    wg_program *same = wg_compile(t, m.outs, m.nouts, &o);
    ck_assert(same && wg_program_bytes(same) == o.memory_limit);
    o.memory_limit--;
    ck_assert_ptr_null(wg_compile(t, m.outs, m.nouts, &o));
    ck_has(wg_tape_error(t), "the least found is ");
    ck_has(wg_tape_error(t), "this executor, which computes nothing again");
    wg_program_free(p);
    wg_program_free(same);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("budget");
    TCase *c = tcase_create("revolve");
    tcase_add_test(c, the_formula_is_the_minimum);
    tcase_add_test(c, schedules_turn_all_steps_at_the_least_cost);
    tcase_add_test(c, the_fewest_snapshots_for_a_number_of_runs);
    suite_add_tcase(s, c);
    c = tcase_create("recurrences");
    tcase_add_checked_fixture(c, setup_metered, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, recurrences_keep_their_bits, 0, LENGTHS);
    suite_add_tcase(s, c);
    c = tcase_create("graphs");
    tcase_add_checked_fixture(c, setup_metered, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, layers_chains_and_diamonds_keep_their_bits, 0, 3);
    tcase_add_loop_test(c, random_graphs_keep_their_bits, 0, GRAPHS / PART);
    suite_add_tcase(s, c);
    c = tcase_create("choices");
    tcase_add_checked_fixture(c, setup_metered, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, steps_run_as_often_as_the_formula_says, 0, 5);
    tcase_add_test(c, a_long_recurrence_in_little_memory);
    tcase_add_loop_test(c, any_number_of_threads_gives_the_same_bits, 0, 3);
    tcase_add_test(c, limits_are_part_of_what_is_remembered);
    tcase_add_loop_test(c, no_memory_for_the_search, 0, 2);
    tcase_add_test(c, the_reference_executor_keeps_everything);
    suite_add_tcase(s, c);
    return run_suite(s);
}
