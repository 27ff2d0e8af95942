/* digits: handwritten digits, 8 x 8 pixels, read by a multilayer perceptron.
 *
 * Maximum a posteriori: the loss is the mean cross-entropy minus the log density of a Gaussian
 * prior on the weights, over the number of training images. One program is the training step
 * (forward, backward, Adam), another one evaluates; both work on one state. Before training, the
 * gradient is checked against finite differences; afterwards 97% of the last 360 images, which
 * take no part in training, must be read right. Data: examples/data/README.md. */
#include "common.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 8, PIXELS = SIDE * SIDE, CLASSES = 10, TEST = 360, BATCH = 32, NPARAMS = 6 };

/* ---- the model --------------------------------------------------------------------------------- */

typedef struct model {
    wg_tape *tape;
    wg_var x, labels;
    wg_var params[NPARAMS];
    wg_var loss, accuracy;
} model;

/* x W + b, rectified if asked, under a scope of its own. */
static wg_var dense(model *m, int index, const char *scope, wg_var x, int64_t out, bool relu)
{
    int64_t in = wg_typeof(x).shape.dim[1];
    wg_scope_push(m->tape, scope);
    wg_var W = wg_param(m->tape, "W", WG_F32, WG_SHAPE(in, out), wg_init_xavier());
    wg_var b = wg_param(m->tape, "b", WG_F32, WG_SHAPE(out), wg_init_zeros());
    wg_var y = wg_add(wg_matmul(x, W), b);
    wg_var h = relu ? wg_relu(y) : y;
    wg_scope_pop(m->tape);
    m->params[2 * index] = W;
    m->params[2 * index + 1] = b;
    return h;
}

/* log p(W): all weights, as one vector, are independent and standard normal; biases are free. */
static wg_var log_prior(model *m)
{
    wg_var weights[NPARAMS / 2];
    wg_scope_push(m->tape, "prior");
    for (int i = 0; i < NPARAMS / 2; i++)
        weights[i] = wg_reshape(m->params[2 * i], WG_SHAPE(-1));
    wg_var all = wg_concat(weights, NPARAMS / 2, 0);
    wg_var sum = wg_sum(wg_normal_logpdf(all, wg_f(0), wg_f(1)));
    wg_scope_pop(m->tape);
    return sum;
}

/* The graph for `rows` images at a time, of `ntrain` in all. */
static model record(wg_ctx *ctx, int64_t rows, size_t ntrain)
{
    model m = {.tape = wg_tape_new(ctx)};
    m.x = wg_input(m.tape, "x", WG_F32, wg_shape_symbol(ctx, WG_SHAPE(rows, PIXELS), 0, "N"));
    m.labels = wg_input(m.tape, "labels", WG_I32, wg_shape_symbol(ctx, WG_SHAPE(rows), 0, "N"));
    wg_var h1 = dense(&m, 0, "layer1", m.x, 256, true);
    wg_var h2 = dense(&m, 1, "layer2", h1, 32, true);
    wg_var logits = wg_name(dense(&m, 2, "layer3", h2, CLASSES, false), "logits");

    wg_var nll = wg_name(wg_mean(wg_softmax_xent(logits, m.labels)), "nll");
    wg_var prior = wg_mul(wg_f(1.0 / (double)ntrain), log_prior(&m));
    m.loss = wg_name(wg_sub(nll, prior), "loss");
    wg_var right = wg_equal(wg_argmax(logits, 1), m.labels);
    m.accuracy = wg_name(wg_mean(wg_cast(right, WG_F32)), "accuracy");
    need_tape(m.tape);
    return m;
}

/* ---- the data ---------------------------------------------------------------------------------- */

typedef struct images {
    size_t count, ntrain;
    float *pixels; /* [count][PIXELS], standardised */
    int32_t *labels;
    float blank; /* what a white pixel became */
} images;

/* Pixels are of one kind, so one mean and one deviation serve all; the test images have no say. */
static images read_images(const char *path)
{
    table t = table_read(path);
    need(t.cols == PIXELS + 1 && t.rows > TEST + BATCH, "%s: not the digits", path);
    images d = {.count = t.rows, .ntrain = t.rows - TEST};
    double n = (double)(d.ntrain * PIXELS), sum = 0, squares = 0;
    for (size_t i = 0; i < d.ntrain * PIXELS; i++) {
        double x = t.at[i / PIXELS * t.cols + i % PIXELS];
        sum += x;
        squares += x * x;
    }
    double mean = sum / n, deviation = sqrt(squares / n - mean * mean);
    d.pixels = calloc(d.count, PIXELS * sizeof *d.pixels);
    d.labels = calloc(d.count, sizeof *d.labels);
    need(d.pixels && d.labels, "out of memory");
    for (size_t i = 0; i < d.count * PIXELS; i++)
        d.pixels[i] = (float)((t.at[i / PIXELS * t.cols + i % PIXELS] - mean) / deviation);
    for (size_t i = 0; i < d.count; i++)
        d.labels[i] = (int32_t)t.at[i * t.cols + PIXELS];
    d.blank = (float)(-mean / deviation);
    free(t.at);
    return d;
}

static float pixel(const float *image, int row, int col, float blank)
{
    bool inside = row >= 0 && row < SIDE && col >= 0 && col < SIDE;
    return inside ? image[row * SIDE + col] : blank;
}

/* Everybody writes differently: a random affine map of an image (turned, scaled, slanted, shifted;
 * bilinear) is one more hand. Without it 93.9% of the test images are read right. */
static void warp(const float *image, float blank, uint64_t *rng, float *out)
{
    const float middle = (SIDE - 1) / 2.0f;
    double angle = 0.2 * random_normal(rng), slant = 0.2 * random_normal(rng);
    double high = 1 + 0.15 * random_normal(rng), wide = 1 + 0.15 * random_normal(rng);
    double down = 0.6 * random_normal(rng), right = 0.6 * random_normal(rng);
    for (int i = 0; i < PIXELS; i++) {
        double v = i / SIDE - middle, u = i % SIDE - middle;
        double row = high * cos(angle) * v + (slant - high * sin(angle)) * u + middle + down;
        double col = wide * sin(angle) * v + wide * cos(angle) * u + middle + right;
        int r = (int)floor(row), c = (int)floor(col);
        float fr = (float)(row - r), fc = (float)(col - c);
        out[i] =
            (1 - fr) * ((1 - fc) * pixel(image, r, c, blank) + fc * pixel(image, r, c + 1, blank)) +
            fr *
                ((1 - fc) * pixel(image, r + 1, c, blank) + fc * pixel(image, r + 1, c + 1, blank));
    }
}

/* ---- the check of the gradient ------------------------------------------------------------------ */

typedef struct sample {
    const images *data;
    uint64_t rng;
} sample;

/* Gives the checker real images with their labels, and random parameters. */
static void fill(void *user, const char *name, size_t count, double *x)
{
    sample *s = user;
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, "x") == 0)
            x[i] = s->data->pixels[i];
        else if (strcmp(name, "labels") == 0)
            x[i] = s->data->labels[i];
        else
            x[i] = 0.2 * random_normal(&s->rng);
}

static void check_gradient(example *e, wg_ctx *ctx, const images *d)
{
    model m = record(ctx, 4, d->ntrain);
    sample s = {d, 1};
    wg_gradcheck_options options = WG_GRADCHECK_DEFAULTS;
    wg_check_report report;
    options.sample = fill;
    options.user = &s;
    wg_status status = wg_gradcheck(m.tape, &m.loss, 1, m.params, NPARAMS, &options, &report);
    need(status == WG_OK, "the check could not run: %s", report.message);
    bool passed = report.verdict == WG_CHECK_PASSED;
    example_claim(e, passed, "gradient of the loss against finite differences: %lld compared%s%s",
                  (long long)report.compared, passed ? "" : "; ", passed ? "" : report.message);
    wg_tape_free(m.tape);
}

/* ---- training ---------------------------------------------------------------------------------- */

typedef struct trainer {
    wg_program *program;
    wg_session *session;
    model m;
    wg_var rate; /* input: the learning rate of the step */
} trainer;

/* Records gradients and updates; the picture shows forward and backward without the updates. */
static trainer new_trainer(const example *e, wg_ctx *ctx, const images *d, wg_state *state)
{
    trainer t = {.m = record(ctx, BATCH, d->ntrain)};
    model *m = &t.m;
    wg_var grads[NPARAMS];
    example_write_wg(e, m->tape, "digits", (wg_var[]){m->loss, m->accuracy}, 2);
    wg_grad(&m->loss, 1, NULL, m->params, NPARAMS, grads);
    example_write_dot(e, m->tape, "digits: the loss and its gradient", m->loss, m->params, grads,
                      NPARAMS);

    wg_adam_options adam = WG_ADAM_DEFAULTS;
    t.rate = wg_input(m->tape, "rate", WG_F32, WG_SCALAR);
    adam.common.lr_var = t.rate;
    adam.common.grads = grads;
    wg_adam(m->tape, m->loss, m->params, NPARAMS, &adam);
    need_tape(m->tape);
    t.program = wg_compile(m->tape, &m->loss, 1, NULL);
    need(t.program != NULL, "%s", wg_tape_error(m->tape));
    t.session = wg_session_new(t.program, state);
    need(t.session != NULL, "%s", wg_state_error(state));
    return t;
}

/* One minibatch; its loss. */
static double step(trainer *t, const images *d, const size_t *index, float rate, uint64_t *rng)
{
    float x[BATCH * PIXELS];
    int32_t labels[BATCH];
    for (size_t i = 0; i < BATCH; i++) {
        warp(&d->pixels[index[i] * PIXELS], d->blank, rng, &x[i * PIXELS]);
        labels[i] = d->labels[index[i]];
    }
    wg_bind(t->session, t->m.x, x, sizeof x);
    wg_bind(t->session, t->m.labels, labels, sizeof labels);
    wg_bind(t->session, t->rate, &rate, sizeof rate);
    need(wg_run(t->session) == WG_OK, "%s", wg_session_error(t->session));
    return wg_scalar(t->session, t->m.loss);
}

/* Each epoch takes the images in a new order; the learning rate falls to 0 in a straight line. */
static void train(const example *e, trainer *t, const images *d)
{
    const size_t nbatches = d->ntrain / BATCH, nsteps = (size_t)e->epochs * nbatches;
    uint64_t rng = 4;
    size_t *order = calloc(d->ntrain, sizeof *order);
    need(order != NULL, "out of memory");
    for (size_t i = 0; i < d->ntrain; i++)
        order[i] = i;
    for (size_t k = 0; k < nsteps; k++) {
        if (k % nbatches == 0)
            random_shuffle(&rng, order, d->ntrain);
        float rate = 3e-3f * (float)(nsteps - k) / (float)nsteps;
        double loss = step(t, d, &order[k % nbatches * BATCH], rate, &rng);
        if (k % nbatches == 0)
            example_progress(e, "epoch %zu of %d: loss %.4f", k / nbatches + 1, e->epochs, loss);
    }
    example_progress(e, "%s", "");
    free(order);
}

/* The share of images from `first` on, `count` of them, that are read right. */
static double evaluate(wg_ctx *ctx, const images *d, size_t first, size_t count, wg_state *state)
{
    model m = record(ctx, (int64_t)count, d->ntrain);
    wg_program *program = wg_compile(m.tape, &m.accuracy, 1, NULL);
    need(program != NULL, "%s", wg_tape_error(m.tape));
    wg_session *s = wg_session_new(program, state);
    need(s != NULL, "%s", wg_state_error(state));
    wg_bind(s, m.x, &d->pixels[first * PIXELS], count * PIXELS * sizeof(float));
    wg_bind(s, m.labels, &d->labels[first], count * sizeof(int32_t));
    need(wg_run(s) == WG_OK, "%s", wg_session_error(s));
    double accuracy = wg_scalar(s, m.accuracy);
    wg_session_free(s);
    wg_program_free(program);
    wg_tape_free(m.tape);
    return accuracy;
}

int main(int argc, char **argv)
{
    example e = {.data = EXAMPLE_DATA "/digits.csv.gz", .epochs = 120};
    example_parse(&e, argc, argv, "Reads handwritten digits with a multilayer perceptron.");
    images d = read_images(e.data);
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg_state *state = wg_state_new(ctx, 1);
    need(state != NULL, "out of memory");

    example_say(&e, "digits: %zu images to learn from, %d to test with", d.ntrain, TEST);
    check_gradient(&e, ctx, &d);
    trainer t = new_trainer(&e, ctx, &d, state);
    train(&e, &t, &d);
    example_say(&e, "          training images read right: %.2f%%",
                100 * evaluate(ctx, &d, 0, d.ntrain, state));
    double accuracy = evaluate(ctx, &d, d.ntrain, TEST, state);
    example_claim(&e, accuracy >= 0.97, "test images read right: %.2f%% (97%% or more)",
                  100 * accuracy);

    wg_session_free(t.session);
    wg_program_free(t.program);
    wg_tape_free(t.m.tape);
    wg_state_free(state);
    wg_ctx_free(ctx);
    free(d.pixels);
    free(d.labels);
    return example_status(&e);
}
