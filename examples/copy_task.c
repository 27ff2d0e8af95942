/* copy_task: what a network has seen is to be said again, much later.
 *
 * The input is WORD symbols, then blanks, then a signal; from there on the WORD symbols must come out,
 * in order (Hochreiter and Schmidhuber 1997; Arjovsky, Shah and Bengio 2016). A network without memory
 * can do no better than guess: one symbol in SYMBOLS. The one here is a GRU whose update gate starts out
 * open for the past. */
#include "common.h"

#include <math.h>
#include <stdlib.h>

enum { SYMBOLS = 4, WORD = 3, GAP = 20, STEPS = 2 * WORD + GAP, BATCH = 32 };
enum { BLANK = SYMBOLS, SIGNAL, KINDS, HIDDEN = 48, NPARAMS = 6, RUNS = 100, NTEST = 500 };

/* ---- the data ---------------------------------------------------------------------------------- */

/* Inputs in [STEPS, n] and the symbols that must come out at the last WORD steps, [WORD, n]. */
static void draw(uint64_t *seed, size_t n, int32_t *in, int32_t *out)
{
    for (size_t b = 0; b < n; b++)
        for (size_t t = 0; t < STEPS; t++) {
            int32_t symbol = (int32_t)(random_bits(seed) % SYMBOLS);
            if (t < WORD)
                out[t * n + b] = symbol;
            in[t * n + b] = t < WORD ? symbol : t == WORD + GAP ? SIGNAL : BLANK;
        }
}

/* ---- the model --------------------------------------------------------------------------------- */

typedef struct model {
    wg_tape *tape;
    wg_var in, out, params[NPARAMS], loss, accuracy;
} model;

static model record(wg_ctx *ctx, int64_t n)
{
    model m = {.tape = wg_tape_new(ctx)};
    wg_tape *t = m.tape;
    wg_var *p = m.params;
    wg_rnn_options o = WG_RNN_DEFAULTS;
    wg_rnn_result r;
    m.in = wg_input(t, "in", WG_I32, WG_SHAPE(STEPS, n));
    m.out = wg_input(t, "out", WG_I32, WG_SHAPE(WORD, n));
    o.kind = WG_RNN_GRU;
    o.hidden = HIDDEN;
    wg_rnn(t, wg_one_hot(m.in, KINDS), &o, p, 4, &r);
    wg_scope_push(t, "readout");
    p[4] = wg_param(t, "W", WG_F32, WG_SHAPE(HIDDEN, SYMBOLS), wg_init_xavier());
    p[5] = wg_param(t, "b", WG_F32, WG_SHAPE(SYMBOLS), wg_init_zeros());
    wg_var last = wg_section(r.y, WG_SHAPE(STEPS - WORD, 0, 0), WG_SHAPE(WORD, n, HIDDEN));
    wg_var logits = wg_name(wg_add(wg_matmul(last, p[4]), p[5]), "logits");
    wg_scope_pop(t);
    wg_var right = wg_equal(wg_argmax(logits, 2), m.out);
    m.loss = wg_name(wg_mean(wg_softmax_xent(logits, m.out)), "loss");
    m.accuracy = wg_name(wg_mean(wg_cast(right, WG_F32)), "accuracy");
    need_tape(t);
    return m;
}

/* ---- training ---------------------------------------------------------------------------------- */

/* z = sigmoid(2 + ...): a unit forgets an eighth of what it holds per step, rather than half. */
static void remember(wg_session *s)
{
    float b[3 * HIDDEN] = {0};
    for (int i = HIDDEN; i < 2 * HIDDEN; i++)
        b[i] = 2;
    need(wg_state_set(wg_session_state(s), "rnn/layer1/b", WG_F32, WG_SHAPE(3 * HIDDEN), b) ==
             WG_OK,
         "out of memory");
}

static void train(const example *e, wg_ctx *ctx, wg_state *state)
{
    static int32_t in[STEPS * BATCH], out[WORD * BATCH];
    uint64_t seed = 1;
    model m = record(ctx, BATCH);
    wg_var grads[NPARAMS];
    wg_adam_options adam = WG_ADAM_DEFAULTS;
    example_write_wg(e, m.tape, "copy_task", (wg_var[]){m.loss, m.accuracy}, 2);
    wg_grad(&m.loss, 1, NULL, m.params, NPARAMS, grads);
    example_write_dot(e, m.tape, "copy_task: the loss and its gradient", m.loss, m.params, grads,
                      NPARAMS);
    adam.common.lr = 0.005;
    adam.common.clip_norm = 1;
    adam.common.grads = grads;
    wg_adam(m.tape, m.loss, m.params, NPARAMS, &adam);
    need_tape(m.tape);
    wg_session *s = example_session(m.tape, &m.loss, 1, state, true);
    remember(s);
    wg_bind(s, m.in, in, sizeof in);
    wg_bind(s, m.out, out, sizeof out);
    for (int epoch = 0; epoch < e->epochs; epoch++) {
        for (int k = 0; k < RUNS; k++) {
            draw(&seed, BATCH, in, out);
            example_run(s);
        }
        example_progress(e, "epoch %d of %d: loss %.4f", epoch + 1, e->epochs,
                         wg_scalar(s, m.loss));
    }
    example_progress(e, "%s", "");
    wg_session_free(s);
    wg_tape_free(m.tape);
}

int main(int argc, char **argv)
{
    static int32_t in[STEPS * NTEST], out[WORD * NTEST];
    example e = {.epochs = 20};
    uint64_t seed = 2;
    example_parse(&e, argc, argv, "The copy task: a test of long memory.");
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg_state *state = wg_state_new(ctx, 1);
    need(state != NULL, "out of memory");
    example_say(&e, "copy_task: %d symbols of %d kinds, %d steps later", WORD, SYMBOLS, WORD + GAP);
    train(&e, ctx, state);
    model m = record(ctx, NTEST);
    wg_session *s = example_session(m.tape, (wg_var[]){m.loss, m.accuracy}, 2, state, false);
    draw(&seed, NTEST, in, out);
    wg_bind(s, m.in, in, sizeof in);
    wg_bind(s, m.out, out, sizeof out);
    example_run(s);
    double accuracy = wg_scalar(s, m.accuracy);
    example_claim(&e, accuracy > 0.99,
                  "%.1f%% of the symbols come back (99%%), by guessing %.0f%%; loss %.4f",
                  100 * accuracy, 100.0 / SYMBOLS, wg_scalar(s, m.loss));
    wg_session_free(s);
    wg_tape_free(m.tape);
    wg_state_free(state);
    wg_ctx_free(ctx);
    return example_status(&e);
}
