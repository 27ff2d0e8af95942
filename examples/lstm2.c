/* lstm2: tells handwritten digits, read row by row, with two LSTMs on top of each other.
 *
 * An image is a sequence of 8 rows of 8 pixels. The lower LSTM reads the rows, the upper one reads the
 * lower one's states, and what the upper one holds after the last row decides. In the graph each
 * layer is one node, a scan, whatever the number of rows; so is its gradient. The network learns from
 * 1437 digits and is tested on the other 360. Data: examples/data/README.md. */
#include "common.h"

#include <math.h>
#include <stdlib.h>

enum { ROWS = 8, PIXELS = 8, HIDDEN = 48, CLASSES = 10, BATCH = 32, NTEST = 360 };
enum { LAYERS = 2, NRNN = 3 * LAYERS, NPARAMS = NRNN + 2 };

/* ---- the data ---------------------------------------------------------------------------------- */

/* Images `index`[0 .. n-1] of the table, row by row: x [ROWS, n, PIXELS] in 0 .. 1, and what they are. */
static void take(const table *t, const size_t *index, size_t n, float *x, int32_t *labels)
{
    for (size_t b = 0; b < n; b++) {
        const double *image = t->at + index[b] * t->cols;
        for (size_t r = 0; r < ROWS; r++)
            for (size_t k = 0; k < PIXELS; k++)
                x[(r * n + b) * PIXELS + k] = (float)image[r * PIXELS + k] / 16;
        labels[b] = (int32_t)image[ROWS * PIXELS];
    }
}

/* ---- the model --------------------------------------------------------------------------------- */

typedef struct model {
    wg_tape *tape;
    wg_var x, labels, params[NPARAMS], loss, accuracy;
} model;

static model record(wg_ctx *ctx, int64_t images)
{
    const wg_shape batch = wg_shape_symbol(ctx, WG_SHAPE(images), 0, "B");
    wg_shape rows = WG_SHAPE(ROWS, images, PIXELS);
    model m = {.tape = wg_tape_new(ctx)};
    wg_rnn_options o = WG_RNN_DEFAULTS;
    wg_rnn_result r;
    wg_var *p = m.params;
    rows = wg_shape_symbol(ctx, rows, 1, "B");
    m.x = wg_input(m.tape, "x", WG_F32, rows);
    m.labels = wg_input(m.tape, "labels", WG_I32, batch);
    o.name = "lstm";
    o.hidden = HIDDEN;
    o.layers = LAYERS;
    wg_rnn(m.tape, m.x, &o, p, NRNN, &r);
    wg_scope_push(m.tape, "readout");
    p[NRNN] = wg_param(m.tape, "W", WG_F32, WG_SHAPE(HIDDEN, CLASSES), wg_init_xavier());
    p[NRNN + 1] = wg_param(m.tape, "b", WG_F32, WG_SHAPE(CLASSES), wg_init_zeros());
    wg_var logits = wg_add(wg_matmul(r.last, p[NRNN]), p[NRNN + 1]);
    wg_name(logits, "logits");
    wg_scope_pop(m.tape);
    wg_var right = wg_equal(wg_argmax(logits, 1), m.labels);
    m.loss = wg_name(wg_mean(wg_softmax_xent(logits, m.labels)), "loss");
    m.accuracy = wg_name(wg_mean(wg_cast(right, WG_F32)), "accuracy");
    need_tape(m.tape);
    return m;
}

/* ---- training ---------------------------------------------------------------------------------- */

static void train(const example *e, wg_ctx *ctx, const table *t, wg_state *state)
{
    static float x[ROWS * BATCH * PIXELS];
    static int32_t labels[BATCH];
    size_t n = t->rows - NTEST, *order = calloc(n, sizeof *order);
    uint64_t seed = 1;
    model m = record(ctx, BATCH);
    wg_var grads[NPARAMS];
    wg_adam_options adam = WG_ADAM_DEFAULTS;
    need(order != NULL, "out of memory");
    example_write_wg(e, m.tape, "lstm2", (wg_var[]){m.loss, m.accuracy}, 2);
    wg_grad(&m.loss, 1, NULL, m.params, NPARAMS, grads);
    example_write_dot(e, m.tape, "lstm2: the loss and its gradient", m.loss, m.params, grads,
                      NPARAMS);
    adam.common.lr = 0.01;
    adam.common.clip_norm = 1;
    adam.common.grads = grads;
    wg_adam(m.tape, m.loss, m.params, NPARAMS, &adam);
    need_tape(m.tape);
    wg_session *s = example_session(m.tape, &m.loss, 1, state, true);
    wg_bind(s, m.x, x, sizeof x);
    wg_bind(s, m.labels, labels, sizeof labels);
    for (size_t i = 0; i < n; i++)
        order[i] = i;
    for (int epoch = 0; epoch < e->epochs; epoch++) {
        random_shuffle(&seed, order, n);
        for (size_t first = 0; first + BATCH <= n; first += BATCH) {
            take(t, order + first, BATCH, x, labels);
            example_run(s);
        }
        example_progress(e, "epoch %d of %d: loss %.4f", epoch + 1, e->epochs,
                         wg_scalar(s, m.loss));
    }
    example_progress(e, "%s", "");
    wg_session_free(s);
    wg_tape_free(m.tape);
    free(order);
}

static double test(wg_ctx *ctx, const table *t, wg_state *state)
{
    static float x[ROWS * NTEST * PIXELS];
    static int32_t labels[NTEST];
    size_t index[NTEST];
    for (size_t i = 0; i < NTEST; i++)
        index[i] = t->rows - NTEST + i;
    take(t, index, NTEST, x, labels);
    model m = record(ctx, NTEST);
    wg_session *s = example_session(m.tape, &m.accuracy, 1, state, false);
    wg_bind(s, m.x, x, sizeof x);
    wg_bind(s, m.labels, labels, sizeof labels);
    example_run(s);
    double accuracy = wg_scalar(s, m.accuracy);
    wg_session_free(s);
    wg_tape_free(m.tape);
    return accuracy;
}

int main(int argc, char **argv)
{
    example e = {.data = EXAMPLE_DATA "/digits.csv.gz", .epochs = 25};
    example_parse(&e, argc, argv, "Tells digits, read row by row, with a 2-layer LSTM.");
    table t = table_read(e.data);
    need(t.rows > NTEST + BATCH && t.cols == ROWS * PIXELS + 1, "%s: not the digits", e.data);
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg_state *state = wg_state_new(ctx, 1);
    need(state != NULL, "out of memory");
    example_say(&e, "lstm2: %zu digits to learn from, %d to tell", t.rows - NTEST, NTEST);
    train(&e, ctx, &t, state);
    double accuracy = test(ctx, &t, state);
    example_claim(&e, accuracy >= 0.92, "%.1f%% of the new ones are told (92%%)", 100 * accuracy);
    wg_state_free(state);
    wg_ctx_free(ctx);
    free(t.at);
    return example_status(&e);
}
