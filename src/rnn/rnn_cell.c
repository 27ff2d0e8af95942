/* What depends on the kind of a recurrent layer: its parameters and one step of its cell. */
#include <math.h>

#include <wengert/ops.h>
#include "rnn/rnn.h"
#include "tape/tape.h"

/* Gates side by side in w, u and b; states; whether there is a second bias; all by wg_rnn_kind. */
static const struct {
    int64_t gates;
    size_t states;
    bool second_bias;
} kinds[] = {
    [WG_RNN_TANH] = {1, 1, false},
    [WG_RNN_RELU] = {1, 1, false},
    [WG_RNN_LSTM] = {4, 2, false},
    [WG_RNN_GRU] = {3, 1, true},
};

size_t wg__rnn_nstates(const wg_rnn_options *o) { return kinds[o->kind].states; }

size_t wg__rnn_nparams(const wg_rnn_options *o)
{
    return 3 + kinds[o->kind].second_bias + o->peephole + (o->layer_norm ? 2 : 0);
}

/* A parameter [rows, columns], or [columns] without rows. */
static void add(wg_tape *tape, wg__rnn_layer *l, const char *name, int64_t rows, int64_t columns,
                wg_init init)
{
    wg_shape shape = rows ? WG_SHAPE(rows, columns) : WG_SHAPE(columns);
    l->params[l->nparams++] = wg_param(tape, name, l->dtype, shape, init);
}

void wg__rnn_params(wg_tape *tape, wg__rnn_layer *l)
{
    const wg_rnn_options *o = l->o;
    int64_t h = o->hidden, wide = kinds[o->kind].gates * h;
    double reach = 1 / sqrt((double)h);
    l->nparams = 0;
    add(tape, l, "w", l->inputs.dim[1], wide, wg_init_xavier());
    add(tape, l, "u", h, wide, wg_init_uniform(-reach, reach));
    add(tape, l, "b", 0, wide, wg_init_zeros());
    if (kinds[o->kind].second_bias)
        add(tape, l, "v", 0, wide, wg_init_zeros());
    if (o->peephole)
        add(tape, l, "p", 3, h, wg_init_zeros());
    if (!o->layer_norm)
        return;
    add(tape, l, "gain", 0, 9 * h, wg_init_ones());
    add(tape, l, "bias", 0, h, wg_init_zeros());
}

static void lstm_step(const wg__rnn_layer *l, wg_var x, wg_var h, wg_var c, wg_var *next)
{
    const wg_var *p = l->params;
    double bias = l->o->forget_bias;
    if (l->o->peephole)
        wg_lstm_peephole_cell_with(x, h, c, p[0], p[1], p[2], p[3], bias, &next[0], &next[1]);
    else if (l->o->layer_norm)
        wg_lstm_norm_cell_with(x, h, c, p[0], p[1], p[2], p[3], p[4], bias, 1e-5, &next[0],
                               &next[1]);
    else
        wg_lstm_cell_with(x, h, c, p[0], p[1], p[2], bias, &next[0], &next[1]);
}

/* The state that goes on is whole; the gates see it through the mask, as h. */
static wg_var masked_gru(const wg__rnn_layer *l, wg_var x, wg_var h, wg_var whole)
{
    const wg_var *p = l->params;
    wg_var a = wg_add(wg_matmul(x, p[0]), p[2]);
    wg_var s = wg_add(wg_matmul(h, p[1]), p[3]);
    return wg_gru_gates(a, s, whole);
}

void wg__rnn_step(const wg__rnn_layer *l, wg_var x, const wg_var *states, wg_var *next)
{
    const wg_var *p = l->params;
    bool masked = !wg_is_none(l->mask);
    wg_var h = masked ? wg_mul(states[0], l->mask) : states[0];
    if (l->o->kind == WG_RNN_LSTM)
        lstm_step(l, x, h, states[1], next);
    else if (l->o->kind != WG_RNN_GRU)
        next[0] =
            wg_rnn_cell_with(x, h, p[0], p[1], p[2], l->o->kind == WG_RNN_RELU ? "relu" : "tanh");
    else if (!masked)
        next[0] = wg_gru_cell(x, h, p[0], p[1], p[2], p[3]);
    else
        next[0] = masked_gru(l, x, h, states[0]);
}
