/* adding: the adding problem (Hochreiter and Schmidhuber 1997), a test of long memory.
 *
 * A sequence holds random numbers in [0, 1), two of them marked, one in each half (Le, Jaitly and Hinton
 * 2015). At its end the network must tell the sum of the two; whoever always says 1 has a mean square
 * error of 1/6. A vanilla network fails: the gradient by its early states is too small to learn from,
 * which is shown first, for the states of the untrained networks. An LSTM does it; its forget gate
 * starts out nearly open. */
#include "common.h"

#include <math.h>
#include <stdlib.h>

enum { STEPS = 60, BATCH = 32, HIDDEN = 32, NPARAMS = 5, RUNS = 100, NTEST = 1000 };

/* ---- the data ---------------------------------------------------------------------------------- */

/* x [STEPS, n, 2]: numbers and marks; their sums [n, 1]. */
static void draw(uint64_t *seed, size_t n, float *x, float *sums)
{
    for (size_t b = 0; b < n; b++) {
        size_t first = random_bits(seed) % (STEPS / 2);
        size_t second = STEPS / 2 + random_bits(seed) % (STEPS / 2);
        for (size_t t = 0; t < STEPS; t++) {
            float *at = x + (t * n + b) * 2;
            at[0] = (float)random_uniform(seed);
            at[1] = t == first || t == second;
        }
        sums[b] = x[(first * n + b) * 2] + x[(second * n + b) * 2];
    }
}

/* ---- the model --------------------------------------------------------------------------------- */

typedef struct model {
    wg_tape *tape;
    wg_var x, sums, params[NPARAMS], loss;
    wg_var probe; /* zeros added to the states, to see their gradients */
} model;

static model record(wg_ctx *ctx, wg_rnn_kind kind, int64_t n, bool probed)
{
    const wg_type states = {WG_F32, WG_SHAPE(1, STEPS, n, HIDDEN)};
    model m = {.tape = wg_tape_new(ctx)};
    wg_rnn_options o = WG_RNN_DEFAULTS;
    wg_rnn_result r;
    m.x = wg_input(m.tape, "x", WG_F32, WG_SHAPE(STEPS, n, 2));
    m.sums = wg_input(m.tape, "sums", WG_F32, WG_SHAPE(n, 1));
    o.kind = kind;
    o.hidden = HIDDEN;
    o.forget_bias = 2;
    if (probed)
        o.probe = m.probe = wg_full(m.tape, states, 0);
    wg_rnn(m.tape, m.x, &o, m.params, 3, &r);
    wg_scope_push(m.tape, "readout");
    m.params[3] = wg_param(m.tape, "W", WG_F32, WG_SHAPE(HIDDEN, 1), wg_init_xavier());
    m.params[4] = wg_param(m.tape, "b", WG_F32, WG_SHAPE(1), wg_init_zeros());
    wg_var y = wg_add(wg_matmul(r.last, m.params[3]), m.params[4]);
    wg_scope_pop(m.tape);
    m.loss = wg_name(wg_mean(wg_square(wg_sub(y, m.sums))), "loss");
    need_tape(m.tape);
    return m;
}

/* ---- gradients through time -------------------------------------------------------------------- */

/* The norm of the gradient by the state at the first step, over that by the state at the last one. */
static double survives(const example *e, wg_ctx *ctx, wg_rnn_kind kind, const char *name)
{
    static float x[STEPS * BATCH * 2], sums[BATCH];
    uint64_t seed = 3;
    wg_state *state = wg_state_new(ctx, 1);
    model m = record(ctx, kind, BATCH, true);
    wg_var norms = wg_gradient_norms(m.loss, m.probe);
    need_tape(m.tape);
    wg_session *s = example_session(m.tape, &norms, 1, state, false);
    draw(&seed, BATCH, x, sums);
    wg_bind(s, m.x, x, sizeof x);
    wg_bind(s, m.sums, sums, sizeof sums);
    example_run(s);
    const float *norm = wg_output(s, norms, NULL, NULL);
    example_say(e,
                "          %-4s gradient by the state, steps from the end: 0: %.0e, 20: %.0e, 40: "
                "%.0e, %d: %.0e",
                name, (double)norm[STEPS - 1], (double)norm[STEPS - 21], (double)norm[STEPS - 41],
                STEPS - 1, (double)norm[0]);
    double ratio = (double)norm[0] / (double)norm[STEPS - 1];
    wg_session_free(s);
    wg_tape_free(m.tape);
    wg_state_free(state);
    return ratio;
}

/* ---- training ---------------------------------------------------------------------------------- */

static void train(const example *e, wg_ctx *ctx, wg_rnn_kind kind, wg_state *state)
{
    static float x[STEPS * BATCH * 2], sums[BATCH];
    uint64_t seed = 1;
    model m = record(ctx, kind, BATCH, false);
    wg_var grads[NPARAMS];
    wg_adam_options adam = WG_ADAM_DEFAULTS;
    if (kind == WG_RNN_LSTM)
        example_write_wg(e, m.tape, "adding", &m.loss, 1);
    wg_grad(&m.loss, 1, NULL, m.params, NPARAMS, grads);
    if (kind == WG_RNN_LSTM)
        example_write_dot(e, m.tape, "adding: the loss and its gradient", m.loss, m.params, grads,
                          NPARAMS);
    adam.common.lr = 0.01;
    adam.common.clip_norm = 1;
    adam.common.grads = grads;
    wg_adam(m.tape, m.loss, m.params, NPARAMS, &adam);
    need_tape(m.tape);
    wg_session *s = example_session(m.tape, &m.loss, 1, state, true);
    wg_bind(s, m.x, x, sizeof x);
    wg_bind(s, m.sums, sums, sizeof sums);
    for (int epoch = 0; epoch < e->epochs; epoch++) {
        for (int k = 0; k < RUNS; k++) {
            draw(&seed, BATCH, x, sums);
            example_run(s);
        }
        example_progress(e, "epoch %d of %d: loss %.4f", epoch + 1, e->epochs,
                         wg_scalar(s, m.loss));
    }
    example_progress(e, "%s", "");
    wg_session_free(s);
    wg_tape_free(m.tape);
}

/* The mean square error on sequences that were not learnt from. */
static double test(wg_ctx *ctx, wg_rnn_kind kind, wg_state *state)
{
    static float x[STEPS * NTEST * 2], sums[NTEST];
    uint64_t seed = 2;
    model m = record(ctx, kind, NTEST, false);
    wg_session *s = example_session(m.tape, &m.loss, 1, state, false);
    draw(&seed, NTEST, x, sums);
    wg_bind(s, m.x, x, sizeof x);
    wg_bind(s, m.sums, sums, sizeof sums);
    example_run(s);
    double error = wg_scalar(s, m.loss);
    wg_session_free(s);
    wg_tape_free(m.tape);
    return error;
}

static double learn(const example *e, wg_ctx *ctx, wg_rnn_kind kind)
{
    wg_state *state = wg_state_new(ctx, 1);
    need(state != NULL, "out of memory");
    train(e, ctx, kind, state);
    double error = test(ctx, kind, state);
    wg_state_free(state);
    return error;
}

int main(int argc, char **argv)
{
    example e = {.epochs = 15};
    example_parse(&e, argc, argv, "The adding problem: a test of long memory.");
    wg_ctx *ctx = wg_ctx_new(NULL);
    need(ctx != NULL, "out of memory");
    example_say(&e, "adding: sequences of %d steps, %d of them per epoch", STEPS, RUNS * BATCH);
    double rnn = survives(&e, ctx, WG_RNN_TANH, "RNN"),
           lstm = survives(&e, ctx, WG_RNN_LSTM, "LSTM");
    example_claim(&e, lstm > 1e3 * rnn,
                  "of the LSTM's %.0e is left at the first step, of the RNN's %.0e", lstm, rnn);
    double error = learn(&e, ctx, WG_RNN_LSTM);
    example_claim(&e, error < 0.01, "LSTM: mean square error %.4f (0.01); always 1: 0.1667", error);
    wg_ctx_free(ctx);
    return example_status(&e);
}
