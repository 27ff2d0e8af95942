/* The models of bench/seq.c as graphs: recurrent networks over sequences x [T, B, I] with a linear
 * layer of V classes on each state, a loss of mean cross-entropy and plain SGD; and an integrator. */
#include "seq_models.h"

#include <math.h>

enum { STEPS, INPUTS, HIDDEN, CLASSES }; /* of step_model.sizes */

/* ---- cells ------------------------------------------------------------------------------------- */

/* What a cell is made of: the body it is recorded in, its carries and the parameters outside. */
typedef struct cell {
    wg_tape *body;
    wg_var x, h, c; /* of one step: [B, I], [B, H], [B, H] (LSTM alone) */
    wg_var W, U, b; /* [I, G H], [H, G H], [G H] */
    int64_t batch, hidden;
} cell;

/* Columns [k H, (k + 1) H) of a [B, G H]. */
static wg_var gate(const cell *m, wg_var a, int64_t k)
{
    return wg_slice(a, (int64_t[]){0, k * m->hidden}, 2, (int64_t[]){m->batch, (k + 1) * m->hidden},
                    2);
}

static wg_var projected(const cell *m) { return wg_add(wg_matmul(m->x, m->W), m->b); }

/* h' = tanh(x W + h U + b) */
static size_t rnn_cell(const cell *m, wg_var *out)
{
    out[0] = wg_tanh(wg_add(projected(m), wg_matmul(m->h, m->U)));
    return 1;
}

/* Hochreiter and Schmidhuber 1997 with forget gates (Gers et al. 2000); gates i, f, g, o. */
static size_t lstm_cell(const cell *m, wg_var *out)
{
    wg_var z = wg_add(projected(m), wg_matmul(m->h, m->U));
    wg_var i = wg_sigmoid(gate(m, z, 0)), f = wg_sigmoid(gate(m, z, 1));
    wg_var g = wg_tanh(gate(m, z, 2)), o = wg_sigmoid(gate(m, z, 3));
    out[1] = wg_add(wg_mul(f, m->c), wg_mul(i, g));
    out[0] = wg_mul(o, wg_tanh(out[1]));
    return 2;
}

/* Cho et al. 2014, with the reset gate after the product as in PyTorch; gates r, z, n. */
static size_t gru_cell(const cell *m, wg_var *out)
{
    wg_var a = projected(m), u = wg_matmul(m->h, m->U);
    wg_var r = wg_sigmoid(wg_add(gate(m, a, 0), gate(m, u, 0)));
    wg_var z = wg_sigmoid(wg_add(gate(m, a, 1), gate(m, u, 1)));
    wg_var n = wg_tanh(wg_add(gate(m, a, 2), wg_mul(r, gate(m, u, 2))));
    out[0] = wg_add(n, wg_mul(z, wg_sub(m->h, n)));
    return 1;
}

/* ---- networks ---------------------------------------------------------------------------------- */

static void record_network(step *s, size_t (*record)(const cell *, wg_var *), int64_t gates)
{
    const int64_t *n = s->model->sizes, B = s->model->batch, G = gates * n[HIDDEN];
    const double in = 1 / sqrt((double)n[INPUTS]), hid = 1 / sqrt((double)n[HIDDEN]);
    const wg_type state = {WG_F32, WG_SHAPE(B, n[HIDDEN])};
    const double classes = (double)n[CLASSES];
    wg_var x = step_input(s, "x", (wg_type){WG_F32, WG_SHAPE(n[STEPS], B, n[INPUTS])}, 0, 1, 0);
    wg_var y =
        step_input(s, "y", (wg_type){WG_I32, WG_SHAPE(n[STEPS], B)}, 1, classes / 2, classes / 2);
    cell m = {.batch = B, .hidden = n[HIDDEN]};
    m.W = step_weight(s, "W", (wg_type){WG_F32, WG_SHAPE(n[INPUTS], G)}, 10, in);
    m.U = step_weight(s, "U", (wg_type){WG_F32, WG_SHAPE(n[HIDDEN], G)}, 11, hid);
    m.b = step_weight(s, "b", (wg_type){WG_F32, WG_SHAPE(G)}, 12, hid);
    wg_var V = step_weight(s, "V", (wg_type){WG_F32, WG_SHAPE(n[HIDDEN], n[CLASSES])}, 13, hid);
    wg_var c = step_weight(s, "c", (wg_type){WG_F32, WG_SHAPE(n[CLASSES])}, 14, hid);
    m.body = wg_fn_begin(s->tape, "cell");
    m.h = wg_fn_input(m.body, "h", WG_F32, state.shape);
    if (gates == 4)
        m.c = wg_fn_input(m.body, "c", WG_F32, state.shape);
    m.x = wg_fn_input(m.body, "x", WG_F32, WG_SHAPE(B, n[INPUTS]));
    wg_var out[3], last[3];
    const size_t ncarry = record(&m, out);
    out[ncarry] = out[0];
    wg_fn fn = wg_fn_end(m.body, out, ncarry + 1);
    wg_var zero = wg_full(s->tape, state, 0), start[2] = {zero, zero};
    wg_scan(fn, start, ncarry, &x, 1, NULL, last, ncarry + 1);
    wg_var h = wg_reshape(last[ncarry], WG_SHAPE(n[STEPS] * B, n[HIDDEN]));
    wg_var logits = wg_add(wg_matmul(h, V), c);
    wg_var loss = wg_mean(wg_softmax_xent(logits, wg_reshape(y, WG_SHAPE(-1))));
    step_finish(s, loss, (wg_var[]){m.W, m.U, m.b, V, c}, 5);
}

static void record_rnn(step *s) { record_network(s, rnn_cell, 1); }
static void record_lstm(step *s) { record_network(s, lstm_cell, 4); }
static void record_gru(step *s) { record_network(s, gru_cell, 3); }

/* By W forward and by the weight; by U and V by the state as well. */
static double network_flops(const step_model *m, double gates)
{
    const double rows = (double)(m->sizes[STEPS] * m->batch), H = (double)m->sizes[HIDDEN];
    return rows * H *
           (gates * (4 * (double)m->sizes[INPUTS] + 6 * H) + 6 * (double)m->sizes[CLASSES]);
}

static double rnn_flops(const step_model *m) { return network_flops(m, 1); }
static double lstm_flops(const step_model *m) { return network_flops(m, 4); }
static double gru_flops(const step_model *m) { return network_flops(m, 3); }

/* ---- an integrator ------------------------------------------------------------------------------- */

/* The damped pendulum theta'' = -k sin(theta) - c theta' over ten units of time by the classical
 * method of Runge and Kutta; the loss is the last angle. */
double seq_step_size(size_t steps) { return 10 / (double)steps; }

typedef struct pendulum {
    wg_var theta, omega, k, c;
} pendulum;

static wg_var force(const pendulum *p, wg_var theta, wg_var omega)
{
    return wg_neg(wg_add(wg_mul(p->k, wg_sin(theta)), wg_mul(p->c, omega)));
}

static void rk4(const pendulum *p, double h, wg_var out[2])
{
    wg_var v[4], a[4];
    for (int i = 0; i < 4; i++) {
        const double at = i == 3 ? h : h / 2;
        wg_var theta = i ? wg_add(p->theta, wg_mul(wg_f(at), v[i - 1])) : p->theta;
        v[i] = i ? wg_add(p->omega, wg_mul(wg_f(at), a[i - 1])) : p->omega;
        a[i] = force(p, theta, v[i]);
    }
    wg_var *slope[2] = {v, a};
    const wg_var from[2] = {p->theta, p->omega};
    for (int i = 0; i < 2; i++) {
        wg_var *d = slope[i], mid = wg_mul(wg_f(2), wg_add(d[1], d[2]));
        wg_var sum = wg_add(wg_add(d[0], mid), d[3]);
        out[i] = wg_add(from[i], wg_mul(wg_f(h / 6), sum));
    }
}

static void record_pendulum(step *s)
{
    static const char *const names[4] = {"theta", "omega", "k", "c"};
    const int64_t steps = s->model->sizes[STEPS];
    wg_var at[4], out[2];
    for (uint64_t i = 0; i < 4; i++)
        at[i] = step_weight(s, names[i], (wg_type){WG_F64, WG_SCALAR}, 20 + i, 1);
    wg_tape *body = wg_fn_begin(s->tape, "rk4");
    pendulum p = {wg_fn_input(body, "theta", WG_F64, WG_SCALAR),
                  wg_fn_input(body, "omega", WG_F64, WG_SCALAR), at[2], at[3]};
    rk4(&p, seq_step_size((size_t)steps), out);
    wg_fn fn = wg_fn_end(body, out, 2);
    wg_scan_options options = WG_SCAN_DEFAULTS;
    options.length = steps;
    wg_scan(fn, at, 2, NULL, 0, &options, out, 2);
    step_finish(s, out[0], at, 4);
}

/* One step from (theta, omega); *slopes are kept for the way back: v and a of each stage, its angle. */
static void hand_step(const double at[4], double h, double y[2], double v[4], double th[4])
{
    double a[4];
    for (int i = 0; i < 4; i++) {
        const double by = i == 3 ? h : h / 2;
        th[i] = i ? y[0] + by * v[i - 1] : y[0];
        v[i] = i ? y[1] + by * a[i - 1] : y[1];
        a[i] = -(at[2] * sin(th[i]) + at[3] * v[i]);
    }
    y[0] += h / 6 * (v[0] + 2 * (v[1] + v[2]) + v[3]);
    y[1] += h / 6 * (a[0] + 2 * (a[1] + a[2]) + a[3]);
}

static void hand_back(const double at[4], double h, const double y[2], double dy[2], double dp[2])
{
    static const double weight[4] = {1, 2, 2, 1};
    double v[4], th[4], again[2] = {y[0], y[1]}, dv[4], da[4];
    hand_step(at, h, again, v, th);
    for (int i = 0; i < 4; i++) {
        dv[i] = h / 6 * weight[i] * dy[0];
        da[i] = h / 6 * weight[i] * dy[1];
    }
    for (int i = 4; i-- > 0;) {
        const double by = i == 3 ? h : h / 2;
        dp[0] -= da[i] * sin(th[i]);
        dp[1] -= da[i] * v[i];
        dv[i] -= da[i] * at[3];
        const double dth = -da[i] * at[2] * cos(th[i]);
        dy[0] += dth;
        dy[1] += dv[i];
        if (i) {
            dv[i - 1] += by * dth;
            da[i - 1] += by * dv[i];
        }
    }
}

double seq_hand_pendulum(size_t steps, const double start[4], double gradient[4])
{
    static double states[16384][2];
    const double h = seq_step_size(steps);
    double y[2] = {start[0], start[1]}, v[4], th[4], dy[2] = {1, 0}, dp[2] = {0, 0};
    need(steps <= sizeof states / sizeof *states, "too many steps");
    for (size_t t = 0; t < steps; t++) {
        states[t][0] = y[0];
        states[t][1] = y[1];
        hand_step(start, h, y, v, th);
    }
    for (size_t t = steps; t-- > 0;)
        hand_back(start, h, states[t], dy, dp);
    gradient[0] = dy[0];
    gradient[1] = dy[1];
    gradient[2] = dp[0];
    gradient[3] = dp[1];
    return y[0];
}

/* ---- the table --------------------------------------------------------------------------------- */

/* clang-format off */
const step_model seq_models[] = {
    {"RNN T64 B1 H128 V96 SGD", record_rnn, "sequence rnn 0.1 64 1 96 128 96", 1e-3,
     1, {64, 96, 128, 96}, "sgd", 0.1, 2, rnn_flops},
    {"RNN T64 B32 H128 V96 SGD", record_rnn, "sequence rnn 0.1 64 32 96 128 96", 1e-3,
     32, {64, 96, 128, 96}, "sgd", 0.1, 2, rnn_flops},
    {"LSTM T64 B32 H128 V96 SGD", record_lstm, "sequence lstm 0.1 64 32 96 128 96", 1e-3,
     32, {64, 96, 128, 96}, "sgd", 0.1, 2, lstm_flops},
    {"GRU T64 B32 H128 V96 SGD", record_gru, "sequence gru 0.1 64 32 96 128 96", 1e-3,
     32, {64, 96, 128, 96}, "sgd", 0.1, 2, gru_flops},
    {"pendulum RK4 10,000 gradient", record_pendulum, "pendulum 10000", 1e-9,
     1, {10000}, NULL, 0, 2, NULL},
    /* beside plain C */
    {"RNN T64 B1 RMSprop", record_rnn, NULL, 5e-3,
     1, {64, 96, 128, 96}, "rmsprop", 1e-3, 1, rnn_flops},
    {"RNN T64 B32 RMSprop", record_rnn, NULL, 5e-3,
     32, {64, 96, 128, 96}, "rmsprop", 1e-3, 1, rnn_flops},
    {"pendulum RK4 10,000 beside C", record_pendulum, NULL, 1e-9,
     1, {10000}, NULL, 0, 1, NULL},
    /* value and gradient beside the value alone: the budget is 3.5 times as long */
    {"LSTM T64 B32: gradient/value", record_lstm, NULL, 0,
     32, {64, 96, 128, 96}, NULL, 0, 1 / 3.5, lstm_flops},
};
/* clang-format on */
const size_t seq_model_count = sizeof seq_models / sizeof *seq_models;
