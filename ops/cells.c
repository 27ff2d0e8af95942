/* Recurrent cells: one step of a recurrence, as composites, for the bodies of scans (wengert/rnn.h).
 *
 * States and inputs have shape [..., features] with equal leading axes, at least one; weights are
 * w [inputs, gates * H] and u [H, gates * H], the gates side by side along the last axis, in
 * PyTorch's order. The gates' own arithmetic is an op of its own: there the derivative is written by
 * hand, since that of the expansion would add up one array of all gates for each gate. */
#include <string.h>

#include "rules.h"

/* ---- inference ------------------------------------------------------------------------------------- */

/* One operand and the shape that it must have. */
typedef struct want {
    size_t operand;
    const char *name;
    wg_shape shape;
} want;

static wg_status expect(wg_infer *q, const want *wants, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        wg_type type = {q->in[0].dtype, wants[i].shape}, have = q->in[wants[i].operand];
        if (have.dtype != type.dtype)
            return wg_infer_fail(q, WG_DTYPE,
                                 "operands have one dtype: x is %s, %s is %s; use cast",
                                 wg_infer_text(q, q->in[0]), wants[i].name, wg_infer_text(q, have));
        if (!wg_shape_equal(have.shape, type.shape))
            return wg_infer_fail(q, WG_SHAPE, "%s is %s; it must be %s", wants[i].name,
                                 wg_infer_text(q, have), wg_infer_text(q, type));
    }
    return WG_OK;
}

/* The shape of `like` with its last axis replaced by `times` * axis 'last' of `size`. */
static wg_shape widened(wg_infer *q, const wg_shape *like, const wg_shape *size, int64_t times)
{
    wg_shape y = *like;
    wg_dim_op_size(q->ctx, &y, y.rank - 1, size, size->rank - 1, '*', times);
    return y;
}

/* [rows of the last axis of `from`, times * H]; without `from`: [times * H]. */
static wg_shape weights(wg_infer *q, const wg_shape *from, const wg_shape *h, int64_t times)
{
    wg_shape y = wg__no_dims();
    if (from)
        wg_shape_push(&y, from, from->rank - 1);
    wg_shape_push(&y, h, h->rank - 1);
    return widened(q, &y, h, times);
}

/* Operand 0 is x [..., I], `h` the operand that is a state [..., H]. */
static wg_status leads(wg_infer *q, size_t h)
{
    wg_shape x = q->in[0].shape, s = q->in[h].shape;
    if (x.rank < 2)
        return wg_infer_fail(q, WG_SHAPE, "x needs rank 2 or more, [..., features]; it is %s",
                             wg_infer_text(q, q->in[0]));
    if (s.rank == x.rank) {
        x.dim[x.rank - 1] = s.dim[s.rank - 1];
        x.symbol[x.rank - 1] = s.symbol[s.rank - 1];
    }
    const want wants[] = {{h, "the state", x}};
    return s.rank == x.rank
               ? expect(q, wants, 1)
               : wg_infer_fail(q, WG_SHAPE, "the state is %s; it must have the rank of x, %s",
                               wg_infer_text(q, q->in[h]), wg_infer_text(q, q->in[0]));
}

static wg_status infer_rnn(wg_infer *q)
{
    const wg_shape *x = &q->in[0].shape, *h = &q->in[1].shape;
    const char *activation = wg_attrs_string(q->attrs, "activation");
    if (strcmp(activation, "tanh") != 0 && strcmp(activation, "relu") != 0)
        return wg_infer_fail(q, WG_INVALID, "activation is \"%s\"; it must be \"tanh\" or \"relu\"",
                             activation);
    wg_status status = leads(q, 1);
    if (status)
        return status;
    const want wants[] = {{2, "w", weights(q, x, h, 1)},
                          {3, "u", weights(q, h, h, 1)},
                          {4, "b", weights(q, NULL, h, 1)}};
    q->out[0] = q->in[1];
    return expect(q, wants, 3);
}

static wg_status infer_lstm_gates(wg_infer *q)
{
    const wg_shape *c = &q->in[1].shape;
    wg_status status = leads(q, 1);
    if (status)
        return status;
    const want wants[] = {{0, "a", widened(q, c, c, 4)}};
    q->out[0] = q->out[1] = q->in[1];
    return expect(q, wants, 1);
}

/* x, h, c, w, u, b and what the variants have beside them. */
static wg_status infer_lstm(wg_infer *q)
{
    const wg_shape *x = &q->in[0].shape, *h = &q->in[1].shape;
    wg_status status = leads(q, 1);
    if (status)
        return status;
    const want wants[] = {{2, "c", *h},
                          {3, "w", weights(q, x, h, 4)},
                          {4, "u", weights(q, h, h, 4)},
                          {5, "b", weights(q, NULL, h, 4)}};
    q->out[0] = q->out[1] = q->in[1];
    return expect(q, wants, 4);
}

static wg_status infer_lstm_peephole(wg_infer *q)
{
    wg_status status = infer_lstm(q);
    if (status)
        return status;
    wg_shape p = wg__no_dims();
    wg_shape_push_size(&p, 3);
    wg_shape_push(&p, &q->in[1].shape, q->in[1].shape.rank - 1);
    const want wants[] = {{6, "p", p}};
    return expect(q, wants, 1);
}

static wg_status infer_lstm_norm(wg_infer *q)
{
    const wg_shape *h = &q->in[1].shape;
    wg_status status = infer_lstm(q);
    if (status)
        return status;
    const want wants[] = {{6, "gain", weights(q, NULL, h, 9)}, {7, "bias", weights(q, NULL, h, 1)}};
    return expect(q, wants, 2);
}

static wg_status infer_gru_gates(wg_infer *q)
{
    const wg_shape *h = &q->in[2].shape;
    wg_status status = leads(q, 2);
    if (status)
        return status;
    const want wants[] = {{0, "a", widened(q, h, h, 3)}, {1, "s", widened(q, h, h, 3)}};
    q->out[0] = q->in[2];
    return expect(q, wants, 2);
}

static wg_status infer_gru(wg_infer *q)
{
    const wg_shape *x = &q->in[0].shape, *h = &q->in[1].shape;
    wg_status status = leads(q, 1);
    if (status)
        return status;
    const want wants[] = {{2, "w", weights(q, x, h, 3)},
                          {3, "u", weights(q, h, h, 3)},
                          {4, "b", weights(q, NULL, h, 3)},
                          {5, "v", weights(q, NULL, h, 3)}};
    q->out[0] = q->in[1];
    return expect(q, wants, 4);
}

/* ---- pieces of graph ------------------------------------------------------------------------------- */

/* Gate number k of `gates` [..., n * H], with the shape of a state. */
static wg_var gate(const wg_rule *r, wg_var gates, int64_t k, wg_var state)
{
    wg_shape size = wg_typeof(state).shape, start = size;
    for (int i = 0; i < start.rank; i++) {
        start.dim[i] = 0;
        start.symbol[i] = 0;
    }
    wg_dim_op_size(wg_tape_ctx(r->tape), &start, start.rank - 1, &size, size.rank - 1, '*', k);
    return wg_section(gates, start, size);
}

/* Row k of m [n, H], as [H]. */
static wg_var row(wg_var m, int64_t k)
{
    wg_shape size = wg_typeof(m).shape, flat = wg__no_dims();
    const int64_t start[] = {k, 0};
    wg_shape_push(&flat, &size, 1);
    size.dim[0] = 1;
    size.symbol[0] = 0;
    return wg_reshape(wg_section(m, wg_shape_make(start, 2), size), flat);
}

/* Elements from * H to (from + count) * H - 1 of v, for states [..., H]. */
static wg_var part(const wg_rule *r, wg_var v, int64_t from, int64_t count, wg_var state)
{
    wg_ctx *ctx = wg_tape_ctx(r->tape);
    wg_shape h = wg_typeof(state).shape, start = wg__no_dims(), size = wg__no_dims();
    wg_shape_push(&start, &h, h.rank - 1);
    wg_shape_push(&size, &h, h.rank - 1);
    wg_dim_op_size(ctx, &start, 0, &h, h.rank - 1, '*', from);
    wg_dim_op_size(ctx, &size, 0, &h, h.rank - 1, '*', count);
    return wg_section(v, start, size);
}

/* a + b where a may be absent. */
static wg_var plus(wg_var a, wg_var b) { return wg_is_none(a) ? b : wg_add(a, b); }

/* y (1 - y), the slope of sigmoid where its value is y; 1 - y^2, that of tanh. */
static wg_var sigmoid_slope(wg_var y) { return wg_mul(y, wg_sub(wg_f(1), y)); }
static wg_var tanh_slope(wg_var y) { return wg_sub(wg_f(1), wg_square(y)); }

static wg_var forget_gate(const wg_rule *r, wg_var a)
{
    double bias = wg_attrs_float(r->attrs, "forget_bias");
    return wg_sigmoid(bias != 0 ? wg_add(a, wg_f(bias)) : a);
}

/* Along the last axis, (x - mean) / sqrt(variance + epsilon). */
static wg_var normalised(const wg_rule *r, wg_var x)
{
    wg_axes last = {1, {wg_typeof(x).shape.rank - 1}};
    wg_var d = wg_sub(x, wg_mean_with(x, last, true));
    wg_var variance = wg_mean_with(wg_square(d), last, true);
    return wg_mul(d, wg_rsqrt(wg_add(variance, wg_f(wg_attrs_float(r->attrs, "epsilon")))));
}

/* ---- vanilla -------------------------------------------------------------------------------------- */

static void expand_rnn(wg_rule *r)
{
    const wg_var *in = r->in;
    wg_var a = wg_add(wg_add(wg_matmul(in[0], in[2]), wg_matmul(in[1], in[3])), in[4]);
    bool relu = strcmp(wg_attrs_string(r->attrs, "activation"), "relu") == 0;
    r->result[0] = relu ? wg_relu(a) : wg_tanh(a);
}

/* ---- LSTM ------------------------------------------------------------------------------------------ */

typedef struct lstm {
    wg_var i, f, g, o;
} lstm;

static lstm lstm_of(const wg_rule *r, wg_var a, wg_var c)
{
    return (lstm){wg_sigmoid(gate(r, a, 0, c)), forget_gate(r, gate(r, a, 1, c)),
                  wg_tanh(gate(r, a, 2, c)), wg_sigmoid(gate(r, a, 3, c))};
}

static void expand_lstm_gates(wg_rule *r)
{
    lstm s = lstm_of(r, r->in[0], r->in[1]);
    r->result[1] = wg_add(wg_mul(s.f, r->in[1]), wg_mul(s.i, s.g));
    r->result[0] = wg_mul(s.o, wg_tanh(r->result[1]));
}

/* With dh, dc the cotangents of h' = o t, t = tanh(c'), and of c' = f c + i g:
 *
 *     e = dc + dh o (1 - t^2)         da = (e g i', e c f', e i g', dh t o')        dc_in = e f */
static void lstm_gates_vjp(wg_rule *r)
{
    lstm s = lstm_of(r, r->in[0], r->in[1]);
    wg_var c = r->in[1], e = r->dout[1], d_o = wg_none();
    if (!wg_is_none(r->dout[0])) {
        wg_var t = wg_tanh(r->out[1]);
        e = plus(e, wg_mul0(r->dout[0], wg_mul(s.o, tanh_slope(t))));
        d_o = wg_mul0(r->dout[0], wg_mul(t, sigmoid_slope(s.o)));
    } else {
        d_o = wg__filled(r->tape, wg_typeof(c).dtype, wg_typeof(c).shape, 0);
    }
    const wg_var parts[] = {wg_mul0(e, wg_mul(s.g, sigmoid_slope(s.i))),
                            wg_mul0(e, wg_mul(c, sigmoid_slope(s.f))),
                            wg_mul0(e, wg_mul(s.i, tanh_slope(s.g))), d_o};
    if (r->need[0])
        r->din[0] = wg_concat(parts, 4, wg_typeof(c).shape.rank - 1);
    if (r->need[1])
        r->din[1] = wg_mul0(e, s.f);
}

/* x w + h u + b */
static wg_var projected(const wg_rule *r)
{
    const wg_var *in = r->in;
    return wg_add(wg_add(wg_matmul(in[0], in[3]), wg_matmul(in[1], in[4])), in[5]);
}

static void expand_lstm(wg_rule *r)
{
    wg_lstm_gates_with(projected(r), r->in[2], wg_attrs_float(r->attrs, "forget_bias"),
                       &r->result[0], &r->result[1]);
}

static void expand_lstm_peephole(wg_rule *r)
{
    wg_var a = projected(r), c = r->in[2], p = r->in[6];
    wg_var i = wg_sigmoid(wg_add(gate(r, a, 0, c), wg_mul(row(p, 0), c)));
    wg_var f = forget_gate(r, wg_add(gate(r, a, 1, c), wg_mul(row(p, 1), c)));
    wg_var next = wg_add(wg_mul(f, c), wg_mul(i, wg_tanh(gate(r, a, 2, c))));
    wg_var o = wg_sigmoid(wg_add(gate(r, a, 3, c), wg_mul(row(p, 2), next)));
    r->result[0] = wg_mul(o, wg_tanh(next));
    r->result[1] = next;
}

static void expand_lstm_norm(wg_rule *r)
{
    const wg_var *in = r->in;
    wg_var c = in[2], gain = in[6];
    wg_var ax = wg_mul(normalised(r, wg_matmul(in[0], in[3])), part(r, gain, 0, 4, c));
    wg_var ah = wg_mul(normalised(r, wg_matmul(in[1], in[4])), part(r, gain, 4, 4, c));
    lstm s = lstm_of(r, wg_add(wg_add(ax, ah), in[5]), c);
    wg_var next = wg_add(wg_mul(s.f, c), wg_mul(s.i, s.g));
    wg_var shown = wg_add(wg_mul(normalised(r, next), part(r, gain, 8, 1, c)), in[7]);
    r->result[0] = wg_mul(s.o, wg_tanh(shown));
    r->result[1] = next;
}

/* ---- GRU ------------------------------------------------------------------------------------------- */

typedef struct gru {
    wg_var r, z, n, s; /* s: the part of the state's projection that r scales */
} gru;

static gru gru_of(const wg_rule *q)
{
    wg_var a = q->in[0], s = q->in[1], h = q->in[2];
    gru y;
    y.r = wg_sigmoid(wg_add(gate(q, a, 0, h), gate(q, s, 0, h)));
    y.z = wg_sigmoid(wg_add(gate(q, a, 1, h), gate(q, s, 1, h)));
    y.s = gate(q, s, 2, h);
    y.n = wg_tanh(wg_add(gate(q, a, 2, h), wg_mul(y.r, y.s)));
    return y;
}

static void expand_gru_gates(wg_rule *r)
{
    gru y = gru_of(r);
    r->result[0] = wg_add(y.n, wg_mul(y.z, wg_sub(r->in[2], y.n)));
}

/* With d the cotangent of h' = n + z (h - n):  dn = d (1 - z) (1 - n^2), dz = d (h - n) z',
 * dr = dn s r';  da = (dr, dz, dn), ds = (dr, dz, dn r), dh = d z. */
static void gru_gates_vjp(wg_rule *r)
{
    gru y = gru_of(r);
    wg_var d = r->dout[0], h = r->in[2];
    int last = wg_typeof(h).shape.rank - 1;
    wg_var dn = wg_mul0(d, wg_mul(wg_sub(wg_f(1), y.z), tanh_slope(y.n)));
    wg_var dz = wg_mul0(d, wg_mul(wg_sub(h, y.n), sigmoid_slope(y.z)));
    wg_var dr = wg_mul0(dn, wg_mul(y.s, sigmoid_slope(y.r)));
    if (r->need[0])
        r->din[0] = wg_concat((const wg_var[]){dr, dz, dn}, 3, last);
    if (r->need[1])
        r->din[1] = wg_concat((const wg_var[]){dr, dz, wg_mul0(dn, y.r)}, 3, last);
    if (r->need[2])
        r->din[2] = wg_mul0(d, y.z);
}

static void expand_gru(wg_rule *r)
{
    const wg_var *in = r->in;
    wg_var a = wg_add(wg_matmul(in[0], in[2]), in[4]);
    wg_var s = wg_add(wg_matmul(in[1], in[3]), in[5]);
    r->result[0] = wg_gru_gates(a, s, in[1]);
}

/* ---- the table ------------------------------------------------------------------------------------- */

#define CASES(name, ...)                                                                           \
    static const char *const name##_cases[] = {__VA_ARGS__, NULL};                                 \
    static const wg_op_check name##_check = {WG_OP_CHECK, .cases = name##_cases}

/* clang-format off */
CASES(rnn,
    "graph case(x: f64[2, 3], h: f64[2, 2], w: f64[3, 2], u: f64[2, 2], b: f64[2]) -> (y) {\n"
    "    y = rnn_cell(x, h, w, u, b)\n"
    "}\n",
    "graph case(x: f64[2, 1, 2], h: f64[2, 1, 3], w: f64[2, 3], u: f64[3, 3], b: f64[3]) -> (y) {\n"
    "    y = rnn_cell(x, h, w, u, b, activation=\"relu\")\n"
    "}\n");
CASES(lstm_gates,
    "graph case(a: f64[2, 8], c: f64[2, 2]) -> (h, d) { (h, d) = lstm_gates(a, c) }\n",
    "graph case(a: f64[1, 2, 4], c: f64[1, 2, 1]) -> (h) {\n"
    "    (h, d) = lstm_gates(a, c, forget_bias=-0.5)\n"
    "}\n",
    "graph case(a: f64[1, 4], c: f64[1, 1]) -> (d) { (h, d) = lstm_gates(a, c, forget_bias=1) }\n",
    "graph case(a: f64[0, 8], c: f64[0, 2]) -> (h, d) { (h, d) = lstm_gates(a, c) }\n");
CASES(lstm,
    "graph case(x: f64[2, 1], h: f64[2, 1], c: f64[2, 1], w: f64[1, 4], u: f64[1, 4], b: f64[4])"
    " -> (y, d) {\n"
    "    (y, d) = lstm_cell(x, h, c, w, u, b, forget_bias=1)\n"
    "}\n",
    "graph case(x: f64[1, 1], h: f64[1, 2], c: f64[1, 2], w: f64[1, 8], u: f64[2, 8], b: f64[8])"
    " -> (y) {\n"
    "    (y, d) = lstm_cell(x, h, c, w, u, b)\n"
    "}\n");
CASES(lstm_peephole,
    "graph case(x: f64[1, 1], h: f64[1, 2], c: f64[1, 2], w: f64[1, 8], u: f64[2, 8], b: f64[8],\n"
    "           p: f64[3, 2]) -> (y, d) {\n"
    "    (y, d) = lstm_peephole_cell(x, h, c, w, u, b, p, forget_bias=1)\n"
    "}\n");
CASES(lstm_norm,
    "graph case(x: f64[1, 1], h: f64[1, 2], c: f64[1, 2], w: f64[1, 8], u: f64[2, 8], b: f64[8],\n"
    "           gain: f64[18], bias: f64[2]) -> (y, d) {\n"
    "    (y, d) = lstm_norm_cell(x, h, c, w, u, b, gain, bias, forget_bias=1, epsilon=0.1)\n"
    "}\n");
CASES(gru_gates,
    "graph case(a: f64[2, 6], s: f64[2, 6], h: f64[2, 2]) -> (y) { y = gru_gates(a, s, h) }\n",
    "graph case(a: f64[1, 2, 3], s: f64[1, 2, 3], h: f64[1, 2, 1]) -> (y) { y = gru_gates(a, s, h) }\n");
CASES(gru,
    "graph case(x: f64[2, 3], h: f64[2, 2], w: f64[3, 6], u: f64[2, 6], b: f64[6], v: f64[6])"
    " -> (y) {\n"
    "    y = gru_cell(x, h, w, u, b, v)\n"
    "}\n");

static const wg_op ops[] = {
    {WG_OP, .sig = "rnn_cell(x: float, h: float, w: float, u: float, b: float; "
                   "activation: string = \"tanh\") -> h_next",
     .doc = "One step of a simple recurrent network (Elman 1990): act(x w + h u + b), act tanh or "
            "relu. x [..., I], h [..., H], w [I, H], u [H, H], b [H].",
     .infer = infer_rnn, .expand = expand_rnn, .check = &rnn_check},
    {WG_OP, .sig = "lstm_gates(a: float, c: float; forget_bias: float = 0) -> h_next, c_next",
     .doc = "The elementwise part of lstm_cell. a [..., 4 H] holds the gates i, f, g, o before "
            "their nonlinearities, c is [..., H]: c_next = sigmoid(f + forget_bias) c + sigmoid(i) "
            "tanh(g), h_next = sigmoid(o) tanh(c_next).",
     .infer = infer_lstm_gates, .vjp = lstm_gates_vjp, .expand = expand_lstm_gates,
     .check = &lstm_gates_check},
    {WG_OP, .sig = "lstm_cell(x: float, h: float, c: float, w: float, u: float, b: float; "
                   "forget_bias: float = 0) -> h_next, c_next",
     .doc = "One step of long short-term memory (Hochreiter and Schmidhuber 1997; with the forget "
            "gate of Gers, Schmidhuber and Cummins 2000): lstm_gates of x w + h u + b, gates in the "
            "order i, f, g, o (PyTorch's). x [..., I], h and c [..., H], w [I, 4 H], u [H, 4 H], b "
            "[4 H]. forget_bias is added to f: 1 lets a new cell remember (Jozefowicz, Zaremba and "
            "Sutskever 2015).",
     .infer = infer_lstm, .expand = expand_lstm, .check = &lstm_check},
    {WG_OP, .sig = "lstm_peephole_cell(x: float, h: float, c: float, w: float, u: float, b: float, "
                   "p: float; forget_bias: float = 0) -> h_next, c_next",
     .doc = "lstm_cell whose gates see the cell (Gers and Schmidhuber 2000): p [3, H] has a row for "
            "each of i, f and o; p[0] c and p[1] c are added to i and f, p[2] c_next to o.",
     .infer = infer_lstm_peephole, .expand = expand_lstm_peephole, .check = &lstm_peephole_check},
    {WG_OP, .sig = "lstm_norm_cell(x: float, h: float, c: float, w: float, u: float, b: float, "
                   "gain: float, bias: float; forget_bias: float = 0, epsilon: float = 1e-5) -> "
                   "h_next, c_next",
     .doc = "lstm_cell with layer normalisation (Ba, Kiros and Hinton 2016, supplement, equations "
            "20 to 22): gates from gain_x LN(x w) + gain_h LN(h u) + b, h_next = sigmoid(o) "
            "tanh(gain_c LN(c_next) + bias), where LN(v) = (v - mean(v)) / sqrt(variance(v) + "
            "epsilon) along the last axis. gain [9 H] holds gain_x [4 H], gain_h [4 H] and gain_c "
            "[H] one after the other; bias [H].",
     .infer = infer_lstm_norm, .expand = expand_lstm_norm, .check = &lstm_norm_check},
    {WG_OP, .sig = "gru_gates(a: float, s: float, h: float) -> h_next",
     .doc = "The elementwise part of gru_cell. a and s [..., 3 H] hold what input and state add to "
            "r, z, n; h is [..., H]: r = sigmoid(a_r + s_r), z = sigmoid(a_z + s_z), n = tanh(a_n + "
            "r s_n), h_next = n + z (h - n).",
     .infer = infer_gru_gates, .vjp = gru_gates_vjp, .expand = expand_gru_gates,
     .check = &gru_gates_check},
    {WG_OP, .sig = "gru_cell(x: float, h: float, w: float, u: float, b: float, v: float) -> h_next",
     .doc = "One step of a gated recurrent unit (Cho et al. 2014) as PyTorch and cuDNN have it: the "
            "reset gate scales the state's projection after the product, n = tanh(x w_n + b_n + r (h "
            "u_n + v_n)), where the paper scales the state before it. gru_gates of x w + b and h u "
            "+ v, gates in the order r, z, n. x [..., I], h [..., H], w [I, 3 H], u [H, 3 H], b and "
            "v [3 H].",
     .infer = infer_gru, .expand = expand_gru, .check = &gru_check},
};
/* clang-format on */

const wg__family wg__ops_cells = {ops, sizeof ops / sizeof *ops};
