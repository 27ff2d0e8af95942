/* rnn_bptt: next year's sunspots, by a recurrent network that learns through time.
 *
 *     h_t = tanh(x_t Wx + h_(t-1) Wh + b)        y_t = h_t Wy + c
 *
 * runs over the whole series as one scan: one node of the graph, whatever its length, and so is
 * its gradient, back-propagation through time. The scan also adds up the squares of the errors. That gradient must be that of the same network
 * written out year by year, to 1e-12. The network learns from the first four fifths of the series
 * and must then predict the last fifth, a year ahead, better than "as this year" does. Data:
 * examples/data/README.md; --data takes any CSV file whose last column is a series. */
#include "common.h"

#include <math.h>
#include <stdlib.h>

enum { HIDDEN = 5, NPARAMS = 5 };
static const char *const names[NPARAMS] = {"Wx", "Wh", "b", "Wy", "c"};

/* ---- the data ---------------------------------------------------------------------------------- */

/* A series, standardised by the part that is learnt from: x[t + 1] is to be told from x[0..t]. */
typedef struct series {
    size_t n, ntrain; /* predictions in all; those to learn from */
    double mean, deviation;
    double *x; /* [n + 1] */
} series;

static series read_series(const char *path)
{
    table t = table_read(path);
    need(t.rows > 20, "%s: too short", path);
    series s = {t.rows - 1, (t.rows - 1) * 4 / 5, 0, 0, calloc(t.rows, sizeof(double))};
    need(s.x != NULL, "out of memory");
    for (size_t i = 0; i <= s.n; i++)
        s.x[i] = t.at[i * t.cols + t.cols - 1];
    for (size_t i = 0; i < s.ntrain; i++)
        s.mean += s.x[i] / (double)s.ntrain;
    for (size_t i = 0; i < s.ntrain; i++)
        s.deviation += pow(s.x[i] - s.mean, 2) / (double)s.ntrain;
    s.deviation = sqrt(s.deviation);
    for (size_t i = 0; i <= s.n; i++)
        s.x[i] = (s.x[i] - s.mean) / s.deviation;
    free(t.at);
    return s;
}

/* The root mean square of what y misses of x[first + 1 ..], in the unit of the data. */
static double rmse(const series *s, const double *y, size_t first, size_t last)
{
    double sum = 0;
    for (size_t t = first; t < last; t++)
        sum += pow(y[t] - s->x[t + 1], 2);
    return s->deviation * sqrt(sum / (double)(last - first));
}

/* ---- the model --------------------------------------------------------------------------------- */

typedef struct model {
    wg_tape *tape;
    wg_var x, target, params[NPARAMS];
    wg_fn cell; /* (h, x, target) -> (h, y, square of the error) */
    wg_var h0, y, loss;
} model;

/* One year. The parameters are captured from the tape around. */
static wg_fn record_cell(model *m)
{
    const wg_var *p = m->params;
    wg_tape *body = wg_fn_begin(m->tape, "cell");
    wg_var h = wg_fn_input(body, "h", WG_F64, WG_SHAPE(1, HIDDEN));
    wg_var x = wg_fn_input(body, "x", WG_F64, WG_SHAPE(1, 1));
    wg_var target = wg_fn_input(body, "target", WG_F64, WG_SHAPE(1, 1));
    wg_var from_x = wg_matmul(x, p[0]);
    wg_var from_h = wg_matmul(h, p[1]);
    wg_var next = wg_tanh(wg_add(wg_add(from_x, from_h), p[2]));
    wg_var y = wg_add(wg_matmul(next, p[3]), p[4]);
    wg_var error = wg_sum(wg_square(wg_sub(y, target)));
    return wg_fn_end(body, (wg_var[]){next, y, error}, 3);
}

static model record(wg_ctx *ctx, size_t n)
{
    const wg_shape shapes[NPARAMS] = {WG_SHAPE(1, HIDDEN), WG_SHAPE(HIDDEN, HIDDEN),
                                      WG_SHAPE(HIDDEN), WG_SHAPE(HIDDEN, 1), WG_SHAPE(1)};
    const wg_shape steps = wg_shape_symbol(ctx, WG_SHAPE((int64_t)n, 1, 1), 0, "T");
    const double zeros[HIDDEN] = {0};
    model m = {.tape = wg_tape_new(ctx)};
    wg_scan_options options = WG_SCAN_DEFAULTS;
    wg_var outs[3];
    m.x = wg_input(m.tape, "x", WG_F64, steps);
    m.target = wg_input(m.tape, "target", WG_F64, steps);
    for (int i = 0; i < NPARAMS; i++)
        m.params[i] = wg_param(m.tape, names[i], WG_F64, shapes[i],
                               shapes[i].rank == 2 ? wg_init_xavier() : wg_init_zeros());
    m.cell = record_cell(&m);
    m.h0 = wg_name(wg_const(m.tape, WG_F64, WG_SHAPE(1, HIDDEN), zeros), "h0");
    options.sums = 1; /* the cell's last output is added up over the years */
    wg_scan(m.cell, &m.h0, 1, (wg_var[]){m.x, m.target}, 2, &options, outs, 3);
    m.y = wg_name(outs[1], "y");
    wg_var years = wg_element_count_with(m.tape, steps, WG_F64);
    m.loss = wg_name(wg_div(wg_name(outs[2], "errors"), years), "loss");
    need_tape(m.tape);
    return m;
}

/* The same loss with a copy of the cell for every year. */
static wg_var unrolled(const model *m, int64_t n)
{
    wg_var h = m->h0, sum = wg_none(), outs[3];
    for (int64_t t = 0; t < n; t++) {
        const int64_t start[] = {t, 0, 0}, stop[] = {t + 1, 1, 1};
        wg_var x = wg_reshape(wg_slice(m->x, start, 3, stop, 3), WG_SHAPE(1, 1));
        wg_var target = wg_reshape(wg_slice(m->target, start, 3, stop, 3), WG_SHAPE(1, 1));
        wg_inline(m->tape, m->cell, (wg_var[]){h, x, target}, 3, outs, 3);
        h = outs[0];
        sum = t ? wg_add(sum, outs[2]) : outs[2];
    }
    need_tape(m->tape);
    return wg_mul(sum, wg_f(1.0 / (double)n));
}

static wg_session *open_session(const model *m, const wg_var *outs, size_t nouts, wg_state *state,
                                const series *s, size_t n)
{
    wg_program *program = wg_compile(m->tape, outs, nouts, NULL);
    need(program != NULL, "%s", wg_tape_error(m->tape));
    wg_session *session = wg_session_new(program, state);
    need(session != NULL, "%s", wg_state_error(state));
    wg_bind(session, m->x, s->x, n * sizeof *s->x);
    wg_bind(session, m->target, s->x + 1, n * sizeof *s->x);
    need(wg_session_status(session) == WG_OK, "%s", wg_session_error(session));
    wg_program_free(program); /* the session keeps it */
    return session;
}

/* ---- the check --------------------------------------------------------------------------------- */

/* The largest difference of two arrays, over the largest element. */
static double relative(const double *a, const double *b, size_t n)
{
    double worst = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs(a[i] - b[i]));
        size = fmax(size, fabs(b[i]));
    }
    return worst / size; /* NaN when there is nothing */
}

static void check_gradient(example *e, wg_ctx *ctx, const series *s, wg_state *state)
{
    model m = record(ctx, s->ntrain);
    wg_var grads[2 * NPARAMS], written_out = unrolled(&m, (int64_t)s->ntrain);
    size_t scanned = wg_tape_size(m.tape);
    wg_grad(&m.loss, 1, NULL, m.params, NPARAMS, grads);
    scanned = wg_tape_size(m.tape) - scanned;
    size_t unrolled_size = wg_tape_size(m.tape);
    wg_grad(&written_out, 1, NULL, m.params, NPARAMS, grads + NPARAMS);
    unrolled_size = wg_tape_size(m.tape) - unrolled_size;
    need_tape(m.tape);

    wg_session *session = open_session(&m, grads, 2 * NPARAMS, state, s, s->ntrain);
    need(wg_run(session) == WG_OK, "%s", wg_session_error(session));
    double worst = 0;
    for (int i = 0; i < NPARAMS; i++) {
        size_t bytes;
        const double *a = wg_output(session, grads[i], NULL, &bytes);
        const double *b = wg_output(session, grads[NPARAMS + i], NULL, NULL);
        double error = relative(a, b, bytes / sizeof *a);
        worst = error > worst || isnan(error) ? error : worst;
    }
    example_say(e, "          backward nodes: %zu with the scan, %zu written out", scanned,
                unrolled_size);
    example_claim(e, worst <= 1e-12, "gradient through the scan against it: %.1e (1e-12)", worst);
    wg_session_free(session);
    wg_tape_free(m.tape);
}

/* ---- training ---------------------------------------------------------------------------------- */

/* Adam, with weights pulled towards 0; gradients longer than 1 are cut to 1, since now and then
 * they explode. */
static void train(const example *e, wg_ctx *ctx, const series *s, wg_state *state)
{
    model m = record(ctx, s->ntrain);
    wg_adam_options adam = WG_ADAM_DEFAULTS;
    wg_var grads[NPARAMS];
    example_write_wg(e, m.tape, "rnn_bptt", (wg_var[]){m.loss, m.y}, 2);
    wg_grad(&m.loss, 1, NULL, m.params, NPARAMS, grads);
    example_write_dot(e, m.tape, "rnn_bptt: the loss and its gradient", m.loss, m.params, grads,
                      NPARAMS);
    adam.common.lr = 0.01;
    adam.common.clip_norm = 1;
    adam.common.weight_decay = 0.01;
    adam.common.grads = grads;
    wg_adam(m.tape, m.loss, m.params, NPARAMS, &adam);
    need_tape(m.tape);
    wg_session *session = open_session(&m, &m.loss, 1, state, s, s->ntrain);
    for (int k = 0; k < e->epochs; k++) {
        need(wg_run(session) == WG_OK, "%s", wg_session_error(session));
        if (k % 10 == 0)
            example_progress(e, "epoch %d of %d: loss %.4f", k, e->epochs,
                             wg_scalar(session, m.loss));
    }
    example_progress(e, "%s", "");
    wg_session_free(session);
    wg_tape_free(m.tape);
}

/* The trained network runs over the whole series, for the prediction is made from all that went
 * before; only the last fifth counts. */
static void predict(example *e, wg_ctx *ctx, const series *s, wg_state *state)
{
    model m = record(ctx, s->n);
    wg_session *session = open_session(&m, &m.y, 1, state, s, s->n);
    need(wg_run(session) == WG_OK, "%s", wg_session_error(session));
    const double *y = wg_output(session, m.y, NULL, NULL);
    example_say(e, "          years learnt from: root mean square error %.1f, as this year %.1f",
                rmse(s, y, 0, s->ntrain), rmse(s, s->x, 0, s->ntrain));
    double network = rmse(s, y, s->ntrain, s->n), persistence = rmse(s, s->x, s->ntrain, s->n);
    example_claim(e, network < persistence, "years to come: %.1f, better than as this year, %.1f",
                  network, persistence);
    wg_session_free(session);
    wg_tape_free(m.tape);
}

int main(int argc, char **argv)
{
    example e = {.data = EXAMPLE_DATA "/sunspots.csv", .epochs = 300};
    example_parse(&e, argc, argv, "Predicts next year's sunspots with a recurrent network.");
    series s = read_series(e.data);
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg_state *state = wg_state_new(ctx, 1);
    need(state != NULL, "out of memory");

    example_say(&e, "rnn_bptt: %zu years to learn from, %zu to predict", s.ntrain, s.n - s.ntrain);
    check_gradient(&e, ctx, &s, state);
    train(&e, ctx, &s, state);
    predict(&e, ctx, &s, state);
    wg_state_free(state);
    wg_ctx_free(ctx);
    free(s.x);
    return example_status(&e);
}
