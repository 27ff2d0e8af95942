/* char_rnn: learns to write like a text, letter by letter, with a recurrent network and an LSTM.
 *
 *     x_t = E[letter t]        h_t = cell(x_t, h_(t-1))        logits_t = h_t W + b
 *
 * and the loss is the cross-entropy of the letter that comes next. The text is cut into streams that
 * are read side by side, a window of steps at a time; gradients go back to the start of the window
 * (truncated back-propagation through time, k1 = k2), the state goes on from window to window: the
 * layer keeps it in parameters of its own. What is stated is bits per letter on a tenth of the text in
 * its middle, which is not learnt from, and a sample. The text is the GNU General Public License v3, which
 * every Debian system carries; --data takes any file. */
#include "common.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STEPS = 32, STREAMS = 16, EMBEDDING = 24, HIDDEN = 96, NPARAMS = 3 + 3, SAMPLE = 240 };

/* ---- the data ---------------------------------------------------------------------------------- */

/* A text as letters 0 .. nletters - 1. The first ntrain are learnt from; the others, which stood in the
 * middle, are not. */
typedef struct text {
    size_t n, ntrain, nletters;
    int32_t *at;    /* [n] */
    char name[256]; /* of each letter */
} text;

static text read_text(const char *path)
{
    text x = {.n = 0};
    int32_t number[256];
    FILE *file = fopen(path, "rb");
    need(file != NULL, "%s: %s", path, strerror(errno));
    need(fseek(file, 0, SEEK_END) == 0 && ftell(file) > 0, "%s: empty", path);
    x.n = (size_t)ftell(file);
    rewind(file);
    unsigned char *bytes = malloc(x.n);
    x.at = calloc(x.n, sizeof *x.at);
    need(bytes && x.at, "out of memory");
    need(fread(bytes, 1, x.n, file) == x.n, "%s: %s", path, strerror(errno));
    fclose(file);
    memset(number, -1, sizeof number);
    x.ntrain = x.n * 9 / 10;
    for (size_t i = 0; i < x.n; i++) {
        size_t middle = x.ntrain / 2, length = x.n - x.ntrain;
        size_t to = i < middle ? i : i < middle + length ? i - middle + x.ntrain : i - length;
        if (number[bytes[i]] < 0) {
            x.name[x.nletters] = (char)bytes[i];
            number[bytes[i]] = (int32_t)x.nletters++;
        }
        x.at[to] = number[bytes[i]];
    }
    free(bytes);
    need(x.ntrain / STREAMS > STEPS + 1 && x.nletters > 1, "%s: too short", path);
    return x;
}

/* ---- the model --------------------------------------------------------------------------------- */

typedef struct model {
    wg_tape *tape;
    wg_var letters, next; /* i32 [steps, streams] */
    wg_var h0, c0;        /* where a model that is not trained starts */
    wg_var params[NPARAMS], logits, loss;
    wg_rnn_result rnn;
} model;

/* For training it keeps its state; else the states go in and come out. */
static model record(wg_ctx *ctx, const text *x, wg_rnn_kind kind, int64_t steps, int64_t streams,
                    bool train)
{
    const int64_t v = (int64_t)x->nletters;
    model m = {.tape = wg_tape_new(ctx)};
    wg_tape *t = m.tape;
    wg_rnn_options o = WG_RNN_DEFAULTS;
    wg_var *p = m.params;
    m.letters = wg_input(t, "letters", WG_I32, WG_SHAPE(steps, streams));
    m.next = wg_input(t, "next", WG_I32, WG_SHAPE(steps, streams));
    p[0] = wg_param(t, "E", WG_F32, WG_SHAPE(v, EMBEDDING), wg_init_normal(0, 1));
    o.kind = kind;
    o.hidden = HIDDEN;
    o.stateful = train;
    if (!train)
        o.h0 = m.h0 = wg_input(t, "h0", WG_F32, WG_SHAPE(1, streams, HIDDEN));
    if (!train && kind == WG_RNN_LSTM)
        o.c0 = m.c0 = wg_input(t, "c0", WG_F32, WG_SHAPE(1, streams, HIDDEN));
    wg_rnn(t, wg_gather(p[0], m.letters), &o, p + 1, 3, &m.rnn);
    wg_scope_push(t, "readout");
    p[4] = wg_param(t, "W", WG_F32, WG_SHAPE(HIDDEN, v), wg_init_xavier());
    p[5] = wg_param(t, "b", WG_F32, WG_SHAPE(v), wg_init_zeros());
    wg_var h = wg_reshape(m.rnn.y, WG_SHAPE(steps * streams, HIDDEN));
    m.logits = wg_name(wg_add(wg_matmul(h, p[4]), p[5]), "logits");
    wg_scope_pop(t);
    wg_var next = wg_reshape(m.next, WG_SHAPE(steps * streams));
    m.loss = wg_name(wg_mean(wg_softmax_xent(m.logits, next)), "loss");
    need_tape(t);
    return m;
}

/* ---- training ---------------------------------------------------------------------------------- */

/* One letter of each stream per row: window [first, first + STEPS) of them, `ahead` letters on. */
static void fill(const text *x, size_t first, size_t ahead, int32_t *to)
{
    size_t length = (x->ntrain - 1) / STREAMS;
    for (size_t t = 0; t < STEPS; t++)
        for (size_t b = 0; b < STREAMS; b++)
            to[t * STREAMS + b] = x->at[b * length + first + t + ahead];
}

/* Bits per letter of the last epoch. */
static double train(const example *e, wg_ctx *ctx, const text *x, wg_rnn_kind kind, wg_state *state)
{
    static int32_t letters[STEPS * STREAMS], next[STEPS * STREAMS];
    model m = record(ctx, x, kind, STEPS, STREAMS, true);
    wg_adam_options adam = WG_ADAM_DEFAULTS;
    wg_var grads[NPARAMS];
    if (kind == WG_RNN_LSTM)
        example_write_wg(e, m.tape, "char_rnn", &m.loss, 1);
    wg_grad(&m.loss, 1, NULL, m.params, NPARAMS, grads);
    if (kind == WG_RNN_LSTM)
        example_write_dot(e, m.tape, "char_rnn: the loss and its gradient", m.loss, m.params, grads,
                          NPARAMS);
    wg_var rate = wg_input(m.tape, "rate", WG_F32, WG_SCALAR);
    adam.common.lr_var = rate;
    adam.common.clip_norm = 1;
    adam.common.grads = grads;
    wg_adam(m.tape, m.loss, m.params, NPARAMS, &adam);
    need_tape(m.tape);
    wg_session *s = example_session(m.tape, &m.loss, 1, state, true);
    wg_bind(s, m.letters, letters, sizeof letters);
    wg_bind(s, m.next, next, sizeof next);
    size_t windows = ((x->ntrain - 1) / STREAMS) / STEPS;
    double bits = 0;
    for (int epoch = 0; epoch < e->epochs; epoch++) {
        float lr = 0.01f * (1 - (float)epoch / (float)e->epochs);
        wg_bind(s, rate, &lr, sizeof lr);
        bits = 0;
        for (size_t w = 0; w < windows; w++) {
            fill(x, w * STEPS, 0, letters);
            fill(x, w * STEPS, 1, next);
            example_run(s);
            bits += wg_scalar(s, m.loss) / log(2) / (double)windows;
        }
        example_progress(e, "epoch %d of %d: %.2f bits per letter", epoch + 1, e->epochs, bits);
    }
    example_progress(e, "%s", "");
    wg_session_free(s);
    wg_tape_free(m.tape);
    return bits;
}

/* ---- looking ----------------------------------------------------------------------------------- */

static void bind_states(wg_session *s, const model *m, const float *h, const float *c)
{
    wg_bind_copy(s, m->h0, h, HIDDEN * sizeof *h);
    if (m->c0.tape)
        wg_bind_copy(s, m->c0, c, HIDDEN * sizeof *c);
}

/* Bits per letter on what was not learnt from, in one run. */
static double evaluate(wg_ctx *ctx, const text *x, wg_rnn_kind kind, wg_state *state)
{
    static const float zeros[HIDDEN];
    size_t n = x->n - x->ntrain - 1;
    model m = record(ctx, x, kind, (int64_t)n, 1, false);
    wg_session *s = example_session(m.tape, &m.loss, 1, state, false);
    wg_bind(s, m.letters, x->at + x->ntrain, n * sizeof *x->at);
    wg_bind(s, m.next, x->at + x->ntrain + 1, n * sizeof *x->at);
    bind_states(s, &m, zeros, zeros);
    example_run(s);
    double bits = wg_scalar(s, m.loss) / log(2);
    wg_session_free(s);
    wg_tape_free(m.tape);
    return bits;
}

/* A letter drawn from softmax(logits / temperature). */
static int32_t draw(const float *logits, size_t n, double temperature, uint64_t *seed)
{
    double top = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++)
        top = fmax(top, (double)logits[i]);
    for (size_t i = 0; i < n; i++)
        sum += exp(((double)logits[i] - top) / temperature);
    double u = random_uniform(seed) * sum;
    for (size_t i = 0; i < n; i++)
        if ((u -= exp(((double)logits[i] - top) / temperature)) < 0)
            return (int32_t)i;
    return (int32_t)n - 1;
}

/* The network goes on after "The ": each letter it writes is the next that it reads. */
static void sample(const example *e, wg_ctx *ctx, const text *x, wg_rnn_kind kind, wg_state *state,
                   double temperature)
{
    static const char start[] = "The ";
    char written[SAMPLE + 1] = "";
    float h[HIDDEN] = {0}, c[HIDDEN] = {0};
    uint64_t seed = 1;
    model m = record(ctx, x, kind, 1, 1, false);
    const wg_var outs[] = {m.logits, m.rnn.h, m.rnn.c};
    wg_session *s = example_session(m.tape, outs, kind == WG_RNN_LSTM ? 3 : 2, state, false);
    int32_t letter = 0;
    wg_bind(s, m.letters, &letter, sizeof letter);
    for (size_t i = 0; i < SAMPLE; i++) {
        if (i < strlen(start)) {
            const char *found = memchr(x->name, start[i], x->nletters);
            letter = found ? (int32_t)(found - x->name) : 0;
        } else {
            letter = draw(wg_output(s, m.logits, NULL, NULL), x->nletters, temperature, &seed);
        }
        written[i] = x->name[letter];
        bind_states(s, &m, h, c);
        example_run(s);
        memcpy(h, wg_output(s, m.rnn.h, NULL, NULL), sizeof h);
        if (kind == WG_RNN_LSTM)
            memcpy(c, wg_output(s, m.rnn.c, NULL, NULL), sizeof c);
    }
    example_say(e, "---- a sample at temperature %.1f\n%s\n----", temperature, written);
    wg_session_free(s);
    wg_tape_free(m.tape);
}

/* Trains one kind of network and states what it reaches. `most`: bits per letter. */
static void learn(example *e, wg_ctx *ctx, const text *x, wg_rnn_kind kind, double most)
{
    wg_state *state = wg_state_new(ctx, 1);
    need(state != NULL, "out of memory");
    double learnt = train(e, ctx, x, kind, state), bits = evaluate(ctx, x, kind, state);
    example_claim(e, bits < most,
                  "%s: %.2f bits per letter on new text, %.2f on what it learnt (%.2f)",
                  kind == WG_RNN_LSTM ? "LSTM" : "RNN", bits, learnt, most);
    if (kind == WG_RNN_LSTM)
        sample(e, ctx, x, kind, state, 0.5);
    wg_state_free(state);
}

/* Bits per letter of a text whose letters are drawn one by one, as often as they occur. */
static double entropy(const text *x)
{
    double count[256] = {0}, bits = 0;
    for (size_t i = 0; i < x->n; i++)
        count[x->at[i]]++;
    for (size_t i = 0; i < x->nletters; i++)
        bits -= count[i] / (double)x->n * log2(count[i] / (double)x->n);
    return bits;
}

int main(int argc, char **argv)
{
    static const char gpl[] = "/usr/share/common-licenses/GPL-3";
    example e = {.data = gpl, .epochs = 12};
    example_parse(&e, argc, argv, "Learns to write like a text, letter by letter.");
    if (strcmp(e.data, gpl) == 0 && access(gpl, R_OK))
        example_skip("char_rnn: %s is not here; give a text with --data", gpl);
    text x = read_text(e.data);
    wg_ctx *ctx = wg_ctx_new(NULL);
    need(ctx != NULL, "out of memory");
    example_say(&e, "char_rnn: %zu letters of %zu kinds; drawn singly they have %.2f bits", x.n,
                x.nletters, entropy(&x));
    bool known = strcmp(e.data, gpl) == 0; /* of another text: less than its letters drawn singly */
    learn(&e, ctx, &x, WG_RNN_TANH, known ? 2.3 : entropy(&x));
    learn(&e, ctx, &x, WG_RNN_LSTM, known ? 2.15 : entropy(&x));
    wg_ctx_free(ctx);
    free(x.at);
    return example_status(&e);
}
