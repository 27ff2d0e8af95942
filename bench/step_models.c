/* The models of bench/steps.c as graphs; see step_models.h. */
#include "step_models.h"
#include "hand_mlp.h"

#include <math.h>
#include <string.h>

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
        wg_var W = step_weight(s, name, (wg_type){WG_F32, WG_SHAPE(in, out)}, 10 + k,
                               sqrt(6.0 / (double)(in + out)));
        snprintf(name, sizeof name, "b%d", (int)k);
        wg_var b = step_weight(s, name, (wg_type){WG_F32, WG_SHAPE(out)}, 0, 0);
        x = wg_add(wg_matmul(x, W), b);
        x = k + 1 < n ? wg_relu(x) : x;
        params[2 * k] = W;
        params[2 * k + 1] = b;
    }
    return x;
}

static void record_classifier(step *s)
{
    const step_model *m = s->model;
    const double classes = (double)m->sizes[layers_of(m)];
    wg_var params[2 * STEP_MAX_LAYERS];
    wg_var x = step_input(s, "x", (wg_type){WG_F32, WG_SHAPE(m->batch, m->sizes[0])}, 0, 0.5, 0.5);
    wg_var y =
        step_input(s, "y", (wg_type){WG_I32, WG_SHAPE(m->batch)}, 1, classes / 2, classes / 2);
    step_finish(s, wg_mean(wg_softmax_xent(network(s, x, params), y)), params, 2 * layers_of(m));
}

static void record_autoencoder(step *s)
{
    const step_model *m = s->model;
    wg_var params[2 * STEP_MAX_LAYERS];
    wg_var x = step_input(s, "x", (wg_type){WG_F32, WG_SHAPE(m->batch, m->sizes[0])}, 0, 0.5, 0.5);
    step_finish(s, wg_mean(wg_square(wg_sub(network(s, x, params), x))), params, 2 * layers_of(m));
}

/* ---- other models ------------------------------------------------------------------------------ */

static void record_logistic(step *s)
{
    const int64_t n = s->model->batch, d = s->model->sizes[0];
    wg_var X = step_input(s, "X", (wg_type){WG_F64, WG_SHAPE(n, d)}, 0, 1, 0);
    wg_var y = step_input(s, "y", (wg_type){WG_F64, WG_SHAPE(n)}, 1, 1, 0);
    double *bits = s->data[1];
    for (int64_t i = 0; i < n; i++)
        bits[i] = bits[i] > 0;
    wg_var w = step_weight(s, "w", (wg_type){WG_F64, WG_SHAPE(d)}, 10, 1);
    wg_var b = step_weight(s, "b", (wg_type){WG_F64, WG_SCALAR}, 11, 1);
    wg_var product = wg_matmul(X, wg_reshape(w, WG_SHAPE(-1, 1)));
    wg_var z = wg_add(wg_reshape(product, WG_SHAPE(-1)), b);
    wg_var nll = wg_sum(wg_sub(wg_softplus(z), wg_mul(y, z)));
    wg_var prior = wg_mul(wg_f(0.5), wg_sum(wg_square(w)));
    step_finish(s, wg_add(nll, prior), (wg_var[]){w, b}, 2);
}

static void record_mixture(step *s)
{
    const int64_t n = s->model->batch, k = s->model->sizes[0];
    const wg_type part = {WG_F64, WG_SHAPE(k)};
    wg_var x = step_input(s, "x", (wg_type){WG_F64, WG_SHAPE(n)}, 0, 3, 0);
    wg_var logits = step_weight(s, "logits", part, 10, 1), mu = step_weight(s, "mu", part, 11, 2);
    wg_var log_sigma = step_weight(s, "log_sigma", part, 12, 0.3);
    wg_var density = wg_normal_logpdf(wg_reshape(x, WG_SHAPE(-1, 1)), mu, wg_exp(log_sigma));
    wg_var joint = wg_add(wg_log_softmax(logits), density);
    wg_var loss = wg_neg(wg_sum(wg_logsumexp_with(joint, WG_AXES(1), false)));
    step_finish(s, loss, (wg_var[]){logits, mu, log_sigma}, 3);
}

/* A chain of elementwise ops on many elements, and their sum. */
static void record_elementwise(step *s)
{
    const wg_type type = {WG_F32, WG_SHAPE(s->model->sizes[0])};
    wg_var x = step_weight(s, "x", type, 10, 2), y = step_weight(s, "y", type, 11, 2);
    wg_var z = wg_mul(wg_tanh(wg_add(wg_mul(x, y), wg_f(0.5))), wg_sigmoid(wg_sub(x, y)));
    step_finish(s, wg_sum(z), (wg_var[]){x, y}, 2);
}

/* h_t = tanh(x_t Wx + h_(t-1) Wh + b) over sizes[0] steps of width sizes[1]; the mean square of
 * the last h. */
static void record_recurrent(step *s)
{
    const int64_t T = s->model->sizes[0], H = s->model->sizes[1], B = s->model->batch;
    const wg_type square = {WG_F32, WG_SHAPE(H, H)}, state = {WG_F32, WG_SHAPE(B, H)};
    wg_var x = step_input(s, "x", (wg_type){WG_F32, WG_SHAPE(T, B, H)}, 0, 1, 0), last;
    wg_var Wx = step_weight(s, "Wx", square, 10, 0.1), Wh = step_weight(s, "Wh", square, 11, 0.1);
    wg_var b = step_weight(s, "b", (wg_type){WG_F32, WG_SHAPE(H)}, 12, 0.1);
    wg_tape *body = wg_fn_begin(s->tape, "cell");
    wg_var h = wg_fn_input(body, "h", WG_F32, state.shape);
    wg_var now = wg_fn_input(body, "x", WG_F32, state.shape);
    wg_var z = wg_add(wg_add(wg_matmul(now, Wx), wg_matmul(h, Wh)), b);
    wg_fn cell = wg_fn_end(body, (wg_var[]){wg_tanh(z)}, 1);
    wg_var zero = wg_full(s->tape, state, 0);
    wg_scan(cell, &zero, 1, &x, 1, NULL, &last, 1);
    step_finish(s, wg_mean(wg_square(last)), (wg_var[]){Wx, Wh, b}, 3);
}

/* Forward and by the weight: each 2 B in out; by the input from the second layer on. */
static double dense_flops(const step_model *m)
{
    double flops = 0;
    for (size_t k = 0; m->optimiser && k < layers_of(m); k++)
        flops += (k ? 6.0 : 4.0) * (double)(m->batch * m->sizes[k] * m->sizes[k + 1]);
    return flops;
}

/* ---- the table --------------------------------------------------------------------------------- */

/* clang-format off */
const step_model step_models[] = {
    {"MLP B32 SGD", record_classifier, "dense xent sgd 0.1 32 784 256 10", 1e-4,
     32, {784, 256, 10}, "sgd", 0.1, 2, dense_flops},
    {"MLP B256 SGD", record_classifier, "dense xent sgd 0.1 256 784 256 10", 1e-4,
     256, {784, 256, 10}, "sgd", 0.1, 2, dense_flops},
    {"MLP B32 Adam", record_classifier, "dense xent adam 0.001 32 784 256 10", 2e-3,
     32, {784, 256, 10}, "adam", 1e-3, 2, dense_flops},
    {"MLP B256 Adam", record_classifier, "dense xent adam 0.001 256 784 256 10", 2e-3,
     256, {784, 256, 10}, "adam", 1e-3, 2, dense_flops},
    {"5 layers of 1024 B128 SGD", record_classifier,
     "dense xent sgd 0.1 128 784 1024 1024 1024 1024 10", 1e-3,
     128, {784, 1024, 1024, 1024, 1024, 10}, "sgd", 0.1, 2, dense_flops},
    {"autoencoder B128 Adam", record_autoencoder, "dense mse adam 0.001 128 784 128 32 128 784",
     2e-3, 128, {784, 128, 32, 128, 784}, "adam", 1e-3, 2, dense_flops},
    {"logistic MAP N=1000 d=20 gradient", record_logistic, "logistic 1000 20", 1e-10,
     1000, {20}, NULL, 0, 2, NULL},
    {"mixture N=1000 K=3 gradient", record_mixture, "mixture 1000 3", 1e-10,
     1000, {3}, NULL, 0, 2, NULL},
    /* beside plain C */
    {"MLP B32 RMSprop", record_classifier, NULL, 2e-3,
     32, {784, 256, 10}, "rmsprop", HAND_MLP_RATE, 1, dense_flops},
    {"MLP B256 RMSprop", record_classifier, NULL, 2e-3,
     256, {784, 256, 10}, "rmsprop", HAND_MLP_RATE, 1, dense_flops},
    /* value and gradient beside the value alone: the budgets are 3.5 and 2.5 times as long */
    {"dense B256: gradient/value", record_classifier, NULL, 0,
     256, {784, 256, 10}, NULL, 0, 1 / 3.5, NULL},
    {"recurrent T=64 B32: gradient/value", record_recurrent, NULL, 0,
     32, {64, 128}, NULL, 0, 1 / 3.5, NULL},
    {"elementwise 64k: gradient/value", record_elementwise, NULL, 0,
     1, {65536}, NULL, 0, 1 / 2.5, NULL},
};
/* clang-format on */
const size_t step_model_count = sizeof step_models / sizeof *step_models;
