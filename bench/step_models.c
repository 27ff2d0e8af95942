/* The models of bench/steps.c as graphs; see step_models.h. */
#include "step_models.h"
#include "hand_mlp.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- data and weights -------------------------------------------------------------------------- */

static void fill(void *to, wg_dtype dtype, size_t n, uint64_t stream, double scale, double shift)
{
    for (size_t i = 0; i < n; i++) {
        const double u = scale * bench_uniform(stream, i) + shift;
        if (dtype == WG_F64)
            ((double *)to)[i] = u;
        else if (dtype == WG_F32)
            ((float *)to)[i] = (float)u;
        else
            ((int32_t *)to)[i] = (int32_t)u;
    }
}

static wg_var input(step *s, const char *name, wg_type type, uint64_t stream, double scale,
                    double shift)
{
    const size_t i = s->ninputs++, n = (size_t)wg_shape_count(type.shape);
    s->bytes[i] = n * wg_dtype_size(type.dtype);
    s->data[i] = bench_alloc(s->bytes[i]);
    fill(s->data[i], type.dtype, n, stream, scale, shift);
    return s->inputs[i] = wg_input(s->tape, name, type.dtype, type.shape);
}

/* A parameter whose first value is scale * uniform(stream). */
static wg_var weight(step *s, const char *name, wg_type type, uint64_t stream, double scale)
{
    const size_t n = (size_t)wg_shape_count(type.shape);
    void *values = bench_alloc(n * wg_dtype_size(type.dtype));
    fill(values, type.dtype, n, stream, scale, 0);
    need(wg_state_set(s->state, name, type.dtype, type.shape, values) == WG_OK, "%s",
         wg_state_error(s->state));
    free(values);
    return wg_param(s->tape, name, type.dtype, type.shape, wg_init_zeros());
}

/* ---- gradients --------------------------------------------------------------------------------- */

static void finish_gradient(step *s, wg_var loss, const wg_var *params, size_t n)
{
    need(n < STEP_MAX_OUTS, "too many gradients");
    s->outs[0] = loss;
    s->nouts = 1 + n;
    wg_grad(&loss, 1, NULL, params, n, s->outs + 1);
}

/* ---- training steps ---------------------------------------------------------------------------- */

/* No op of ours: recorded as what it is. */
static void rmsprop(step *s, wg_var loss, const wg_var *params, size_t n)
{
    wg_var grads[2 * STEP_MAX_LAYERS];
    char name[32];
    wg_grad(&loss, 1, NULL, params, n, grads);
    for (size_t i = 0; i < n; i++) {
        wg_type type = wg_typeof(params[i]);
        snprintf(name, sizeof name, "rmsprop%d", (int)i);
        wg_var r = wg_param(s->tape, name, type.dtype, type.shape, wg_init_zeros());
        r = wg_assign(r, wg_add(wg_mul(wg_f(1 - HAND_MLP_DECAY), wg_square(grads[i])),
                                wg_mul(wg_f(HAND_MLP_DECAY), r)));
        wg_var scale = wg_rsqrt(wg_add(r, wg_f(HAND_MLP_EPSILON)));
        wg_var change = wg_mul(wg_f(s->model->rate), wg_mul(scale, grads[i]));
        wg_assign(params[i], wg_sub(params[i], change));
    }
}

static void optimise(step *s, wg_var loss, const wg_var *params, size_t n)
{
    const step_model *m = s->model;
    wg_adam_options adam = WG_ADAM_DEFAULTS;
    wg_sgd_options sgd = WG_SGD_DEFAULTS;
    adam.common.lr = sgd.common.lr = m->rate;
    if (strcmp(m->optimiser, "adam") == 0)
        wg_adam(s->tape, loss, params, n, &adam);
    else if (strcmp(m->optimiser, "sgd") == 0)
        wg_sgd(s->tape, loss, params, n, &sgd);
    else
        rmsprop(s, loss, params, n);
}

static size_t layers_of(const step_model *m)
{
    size_t n = 0;
    while (n + 1 < STEP_MAX_LAYERS && m->sizes[n + 1])
        n++;
    return n;
}

/* Layers with relu between them; returns what the last one gives. */
static wg_var network(step *s, wg_var x, wg_var *params)
{
    const step_model *m = s->model;
    const size_t n = layers_of(m);
    char name[16];
    for (size_t k = 0; k < n; k++) {
        const int64_t in = m->sizes[k], out = m->sizes[k + 1];
        snprintf(name, sizeof name, "W%d", (int)k);
        wg_var W = weight(s, name, (wg_type){WG_F32, WG_SHAPE(in, out)}, 10 + k,
                          sqrt(6.0 / (double)(in + out)));
        snprintf(name, sizeof name, "b%d", (int)k);
        wg_var b = weight(s, name, (wg_type){WG_F32, WG_SHAPE(out)}, 0, 0);
        x = wg_add(wg_matmul(x, W), b);
        x = k + 1 < n ? wg_relu(x) : x;
        params[2 * k] = W;
        params[2 * k + 1] = b;
    }
    return x;
}

static void finish_network(step *s, wg_var loss, const wg_var *params)
{
    const size_t n = 2 * layers_of(s->model);
    if (!s->model->optimiser) {
        finish_gradient(s, loss, params, n);
        return;
    }
    optimise(s, loss, params, n);
    s->outs[0] = loss;
    s->nouts = 1;
}

static void record_classifier(step *s)
{
    const step_model *m = s->model;
    const double classes = (double)m->sizes[layers_of(m)];
    wg_var params[2 * STEP_MAX_LAYERS];
    wg_var x = input(s, "x", (wg_type){WG_F32, WG_SHAPE(m->batch, m->sizes[0])}, 0, 0.5, 0.5);
    wg_var y = input(s, "y", (wg_type){WG_I32, WG_SHAPE(m->batch)}, 1, classes / 2, classes / 2);
    finish_network(s, wg_mean(wg_softmax_xent(network(s, x, params), y)), params);
}

static void record_autoencoder(step *s)
{
    const step_model *m = s->model;
    wg_var params[2 * STEP_MAX_LAYERS];
    wg_var x = input(s, "x", (wg_type){WG_F32, WG_SHAPE(m->batch, m->sizes[0])}, 0, 0.5, 0.5);
    finish_network(s, wg_mean(wg_square(wg_sub(network(s, x, params), x))), params);
}

/* ---- other models ------------------------------------------------------------------------------ */

static void record_logistic(step *s)
{
    const int64_t n = s->model->batch, d = s->model->sizes[0];
    wg_var X = input(s, "X", (wg_type){WG_F64, WG_SHAPE(n, d)}, 0, 1, 0);
    wg_var y = input(s, "y", (wg_type){WG_F64, WG_SHAPE(n)}, 1, 1, 0);
    double *bits = s->data[1];
    for (int64_t i = 0; i < n; i++)
        bits[i] = bits[i] > 0;
    wg_var w = weight(s, "w", (wg_type){WG_F64, WG_SHAPE(d)}, 10, 1);
    wg_var b = weight(s, "b", (wg_type){WG_F64, WG_SCALAR}, 11, 1);
    wg_var product = wg_matmul(X, wg_reshape(w, WG_SHAPE(-1, 1)));
    wg_var z = wg_add(wg_reshape(product, WG_SHAPE(-1)), b);
    wg_var nll = wg_sum(wg_sub(wg_softplus(z), wg_mul(y, z)));
    wg_var prior = wg_mul(wg_f(0.5), wg_sum(wg_square(w)));
    finish_gradient(s, wg_add(nll, prior), (wg_var[]){w, b}, 2);
}

static void record_mixture(step *s)
{
    const int64_t n = s->model->batch, k = s->model->sizes[0];
    const wg_type part = {WG_F64, WG_SHAPE(k)};
    wg_var x = input(s, "x", (wg_type){WG_F64, WG_SHAPE(n)}, 0, 3, 0);
    wg_var logits = weight(s, "logits", part, 10, 1), mu = weight(s, "mu", part, 11, 2);
    wg_var log_sigma = weight(s, "log_sigma", part, 12, 0.3);
    wg_var density = wg_normal_logpdf(wg_reshape(x, WG_SHAPE(-1, 1)), mu, wg_exp(log_sigma));
    wg_var joint = wg_add(wg_log_softmax(logits), density);
    wg_var loss = wg_neg(wg_sum(wg_logsumexp_with(joint, WG_AXES(1), false)));
    finish_gradient(s, loss, (wg_var[]){logits, mu, log_sigma}, 3);
}

/* A chain of elementwise ops on many elements, and their sum. */
static void record_elementwise(step *s)
{
    const wg_type type = {WG_F32, WG_SHAPE(s->model->sizes[0])};
    wg_var x = weight(s, "x", type, 10, 2), y = weight(s, "y", type, 11, 2);
    wg_var z = wg_mul(wg_tanh(wg_add(wg_mul(x, y), wg_f(0.5))), wg_sigmoid(wg_sub(x, y)));
    finish_gradient(s, wg_sum(z), (wg_var[]){x, y}, 2);
}

/* h_t = tanh(x_t Wx + h_(t-1) Wh + b) over sizes[0] steps of width sizes[1]; the mean square of
 * the last h. */
static void record_recurrent(step *s)
{
    const int64_t T = s->model->sizes[0], H = s->model->sizes[1], B = s->model->batch;
    const wg_type square = {WG_F32, WG_SHAPE(H, H)}, state = {WG_F32, WG_SHAPE(B, H)};
    wg_var x = input(s, "x", (wg_type){WG_F32, WG_SHAPE(T, B, H)}, 0, 1, 0), last;
    wg_var Wx = weight(s, "Wx", square, 10, 0.1), Wh = weight(s, "Wh", square, 11, 0.1);
    wg_var b = weight(s, "b", (wg_type){WG_F32, WG_SHAPE(H)}, 12, 0.1);
    wg_tape *body = wg_fn_begin(s->tape, "cell");
    wg_var h = wg_fn_input(body, "h", WG_F32, state.shape);
    wg_var now = wg_fn_input(body, "x", WG_F32, state.shape);
    wg_var z = wg_add(wg_add(wg_matmul(now, Wx), wg_matmul(h, Wh)), b);
    wg_fn cell = wg_fn_end(body, (wg_var[]){wg_tanh(z)}, 1);
    wg_var zero = wg_full(s->tape, state, 0);
    wg_scan(cell, &zero, 1, &x, 1, NULL, &last, 1);
    finish_gradient(s, wg_mean(wg_square(last)), (wg_var[]){Wx, Wh, b}, 3);
}

/* ---- the table --------------------------------------------------------------------------------- */

/* clang-format off */
const step_model step_models[] = {
    {"MLP B32 SGD", record_classifier, "dense xent sgd 0.1 32 784 256 10", 1e-4,
     32, {784, 256, 10}, "sgd", 0.1, 2},
    {"MLP B256 SGD", record_classifier, "dense xent sgd 0.1 256 784 256 10", 1e-4,
     256, {784, 256, 10}, "sgd", 0.1, 2},
    {"MLP B32 Adam", record_classifier, "dense xent adam 0.001 32 784 256 10", 2e-3,
     32, {784, 256, 10}, "adam", 1e-3, 2},
    {"MLP B256 Adam", record_classifier, "dense xent adam 0.001 256 784 256 10", 2e-3,
     256, {784, 256, 10}, "adam", 1e-3, 2},
    {"5 layers of 1024 B128 SGD", record_classifier,
     "dense xent sgd 0.1 128 784 1024 1024 1024 1024 10", 1e-3,
     128, {784, 1024, 1024, 1024, 1024, 10}, "sgd", 0.1, 2},
    {"autoencoder B128 Adam", record_autoencoder, "dense mse adam 0.001 128 784 128 32 128 784",
     2e-3, 128, {784, 128, 32, 128, 784}, "adam", 1e-3, 2},
    {"logistic MAP N=1000 d=20 gradient", record_logistic, "logistic 1000 20", 1e-10,
     1000, {20}, NULL, 0, 2},
    {"mixture N=1000 K=3 gradient", record_mixture, "mixture 1000 3", 1e-10,
     1000, {3}, NULL, 0, 2},
    /* beside plain C */
    {"MLP B32 RMSprop", record_classifier, NULL, 2e-3,
     32, {784, 256, 10}, "rmsprop", HAND_MLP_RATE, 1},
    {"MLP B256 RMSprop", record_classifier, NULL, 2e-3,
     256, {784, 256, 10}, "rmsprop", HAND_MLP_RATE, 1},
    /* value and gradient beside the value alone: the budgets are 3.5 and 2.5 times as long */
    {"dense B256: gradient/value", record_classifier, NULL, 0,
     256, {784, 256, 10}, NULL, 0, 1 / 3.5},
    {"recurrent T=64 B32: gradient/value", record_recurrent, NULL, 0,
     32, {64, 128}, NULL, 0, 1 / 3.5},
    {"elementwise 64k: gradient/value", record_elementwise, NULL, 0,
     1, {65536}, NULL, 0, 1 / 2.5},
};
/* clang-format on */
const size_t step_model_count = sizeof step_models / sizeof *step_models;

void step_open(step *s, const bench *b, wg_ctx *ctx, const step_model *model)
{
    *s = (step){.model = model, .tape = wg_tape_new(ctx), .state = wg_state_new(ctx, 0)};
    need(s->tape && s->state, "out of memory");
    model->record(s);
    s->session = bench_open(b, s->tape, s->outs, s->nouts, s->state);
}

void step_close(step *s)
{
    wg_session_free(s->session);
    wg_state_free(s->state);
    wg_tape_free(s->tape);
    for (size_t i = 0; i < s->ninputs; i++)
        free(s->data[i]);
}

wg_status step_run(const step *s)
{
    wg_status status = WG_OK;
    for (size_t i = 0; i < s->ninputs && !status; i++)
        status = wg_bind(s->session, s->inputs[i], s->data[i], s->bytes[i]);
    return status ? status : wg_run(s->session);
}

/* Forward and by the weight: each 2 B in out; by the input from the second layer on. */
double step_flops(const step_model *m)
{
    double flops = 0;
    for (size_t k = 0; m->optimiser && k < layers_of(m); k++)
        flops += (k ? 6.0 : 4.0) * (double)(m->batch * m->sizes[k] * m->sizes[k + 1]);
    return flops;
}

static double absolute_sum(const step *s, size_t out)
{
    size_t bytes;
    const double *g = wg_output(s->session, s->outs[out], NULL, &bytes);
    double sum = 0;
    for (size_t i = 0; i < bytes / sizeof *g; i++)
        sum += fabs(g[i]);
    return sum;
}

size_t step_check(const step *s, double *numbers, size_t most)
{
    const size_t n = s->model->optimiser ? 4 : s->nouts;
    need(n <= most, "too many numbers");
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || s->model->optimiser)
            need(step_run(s) == WG_OK, "%s", wg_session_error(s->session));
        numbers[i] =
            i == 0 || s->model->optimiser ? wg_scalar(s->session, s->outs[0]) : absolute_sum(s, i);
    }
    return n;
}
