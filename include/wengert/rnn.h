/* Recurrent layers over sequences, truncated back-propagation through time, and a look at how
 * gradients fare on their way back.
 *
 * A layer is a scan over a cell (ops.h, "cells"): one node per layer and direction, however long the
 * sequence. Everything here is recorded on the caller's tape; nothing keeps state of its own.
 * Errors stay in the tape. */
#ifndef WENGERT_RNN_H
#define WENGERT_RNN_H

#include <wengert/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- layers ------------------------------------------------------------------------------------ */

typedef enum wg_rnn_kind {
    WG_RNN_TANH, /* rnn_cell */
    WG_RNN_RELU, /* rnn_cell with activation "relu" */
    WG_RNN_LSTM, /* lstm_cell, lstm_peephole_cell, lstm_norm_cell */
    WG_RNN_GRU   /* gru_cell */
} wg_rnn_kind;

/* T: steps, B: sequences side by side, H: hidden size, D: directions (1 or 2), L: layers. A var that
 * is {NULL, 0} is absent. States lie as PyTorch has them: layer by layer, in each the forward and then
 * the reverse direction. */
typedef struct wg_rnn_options {
    size_t struct_size;
    const char *name; /* scope of the parameters */
    wg_rnn_kind kind;
    int64_t hidden; /* H */
    size_t layers;  /* L, stacked: each reads the outputs of the one below */
    bool bidirectional;
    bool residual; /* from the second layer on, the layer's input is added to its output */

    /* LSTM only; at most one of the first two. */
    bool peephole;
    bool layer_norm;
    double forget_bias;

    /* While training: the share of what a layer hands to the next one that is dropped, drawn anew for
     * each step; and that of the state that a cell reads, one mask per sequence for all steps (Gal
     * and Ghahramani 2016). */
    bool training;
    double dropout;
    double recurrent_dropout;
    wg_var key; /* int of rank 0: needed to drop anything; another one for each run */

    /* i32 [B]: sequence b has the first lengths[b] steps, the rest of x is padding. Its outputs are 0
     * there, its state stays as it is; the reverse direction starts at the sequence's own end. */
    wg_var lengths;
    wg_var h0, c0; /* [L * D, B, H]: the states to start from; absent: zeros. c0: LSTM only */

    /* The states to start from are parameters "state_h" and "state_c", zero at first, and take the
     * values of the last states at the end of the run: what is learnt in one minibatch goes on where
     * the one before it ended. Gradients do not pass from one run to the next. With
     * 0 < advance < T the states after the first `advance` steps are kept instead, so that windows
     * overlap (truncated BPTT with k1 = advance, k2 = T); not bidirectional. */
    bool stateful;
    int64_t advance;

    /* [T], of x's dtype: the gradient that flows from step t into the step run before it is
     * multiplied by element t. 1 leaves it, 0 cuts it. Values do not change. */
    wg_var carry_gradient;
    /* [L * D, T, B, H], of zeros: is added to the hidden states, so that the gradient by it is that
     * by them (wg_gradient_norms). */
    wg_var probe;
} wg_rnn_options;
#define WG_RNN_DEFAULTS                                                                            \
    {                                                                                              \
        sizeof(wg_rnn_options), "rnn", WG_RNN_LSTM, 0, 1, false, false, false, false, 1, false, 0, \
            0, {NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}, false, 0, {NULL, 0},                    \
        {                                                                                          \
            NULL, 0                                                                                \
        }                                                                                          \
    }

/* What comes out. */
typedef struct wg_rnn_result {
    wg_var y;    /* [T, B, D * H]: the hidden states of the last layer, directions side by side */
    wg_var last; /* [B, D * H]: its last hidden states, directions side by side */
    wg_var h;    /* [L * D, B, H]: the last hidden states of all */
    wg_var c;    /* the same of the cells; wg_none() but for LSTM */
} wg_rnn_result;

/* Number of parameters that wg_rnn makes with these options; 0 for options NULL. */
WG_API size_t wg_rnn_nparams(const wg_rnn_options *options);

/* Runs x [T, B, I] (float) through a stack of recurrent layers. `params` receives the parameters, at
 * most max_params, layer by layer, forward before reverse, in the order of the cell's operands: w, u,
 * b and what the kind has beside them. They stand under "<name>/layer1", "<name>/layer1_reverse",
 * ...: w is drawn by wg_init_xavier, u uniform on +- 1 / sqrt(H), the rest is 0 (gains: 1). Recorded
 * again under the same name on another tape, say for one step, it reads the same parameters of a
 * state. T may be 0. On failure all vars are invalid. */
WG_API wg_status wg_rnn(wg_tape *tape, wg_var x, const wg_rnn_options *options, wg_var *params,
                        size_t max_params, wg_rnn_result *result);

/* ---- truncated back-propagation through time ------------------------------------------------- */

/* x, whose gradient is multiplied by `scale` (float, broadcast to x; gets no gradient itself): for
 * the body of a scan, on the carries. The value is x exactly where x is finite. */
WG_API wg_var wg_scale_gradient(wg_var x, wg_var scale);
/* h where `cut` (bool, broadcast to h) is false; where it is true h without a gradient. */
WG_API wg_var wg_truncate(wg_var h, wg_var cut);

/* Factors for wg_rnn_options.carry_gradient, [steps] of `dtype`, that cut between any two steps with
 * probability `rate`, in [0, 1): 0 where it is cut; elsewhere 1, or with `unbiased` 1 / (1 - rate):
 * then the expectation of the gradient is the gradient without any cut (Tallec and Ollivier 2017).
 * key: int of rank 0. */
WG_API wg_var wg_random_truncation(wg_tape *tape, wg_var key, wg_shape steps, double rate,
                                   bool unbiased, wg_dtype dtype);

/* ---- gradients on their way back ----------------------------------------------------------------- */

/* The norm of the gradient of `loss` (rank 0) by the hidden state of each layer and direction at each
 * step: [L * D, T], from the `probe` that wg_rnn was given. Falling towards the first steps: the
 * gradient vanishes; rising: it explodes (Bengio, Simard and Frasconi 1994). */
WG_API wg_var wg_gradient_norms(wg_var loss, wg_var probe);

#ifdef __cplusplus
}
#endif
#endif
