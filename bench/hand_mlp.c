/* A training step of a perceptron in plain C, the way small C libraries do it (kann is the model;
 * Debian has no package of it): weights stored [out][in], one cblas_sgemm of OpenBLAS per product,
 * and a loop of its own for each bias, activation, loss and update. */
#include "hand_mlp.h"
#include "bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cblas.h>

typedef struct layer {
    int in, out;
    float *w, *b;   /* [out][in], [out] */
    float *dw, *db; /* gradients */
    float *rw, *rb; /* of RMSprop */
    const float *x; /* [batch][in] */
    float *y, *dy;  /* [batch][out] */
} layer;

struct hand_mlp {
    int batch;
    layer layers[2];
    const int32_t *labels;
};

static float *floats(int n) { return bench_alloc((size_t)n * sizeof(float)); }

static void layer_init(layer *l, int batch, int in, int out, const float *x, uint64_t stream)
{
    const double scale = sqrt(6.0 / (in + out));
    *l = (layer){.in = in, .out = out, .x = x};
    l->w = floats(in * out);
    l->dw = floats(in * out);
    l->rw = floats(in * out);
    l->b = floats(out);
    l->db = floats(out);
    l->rb = floats(out);
    l->y = floats(batch * out);
    l->dy = floats(batch * out);
    for (int o = 0; o < out; o++)
        for (int i = 0; i < in; i++)
            l->w[o * in + i] = (float)(scale * bench_uniform(stream, (uint64_t)(i * out + o)));
}

static void layer_free(layer *l)
{
    float *all[] = {l->w, l->dw, l->rw, l->b, l->db, l->rb, l->y, l->dy};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

hand_mlp *hand_mlp_new(int batch, int in, int hidden, int out, const float *x,
                       const int32_t *labels)
{
    hand_mlp *m = calloc(1, sizeof *m);
    need(m != NULL, "out of memory");
    m->batch = batch;
    m->labels = labels;
    layer_init(&m->layers[0], batch, in, hidden, x, 10);
    layer_init(&m->layers[1], batch, hidden, out, m->layers[0].y, 11);
    return m;
}

void hand_mlp_free(hand_mlp *m)
{
    layer_free(&m->layers[0]);
    layer_free(&m->layers[1]);
    free(m);
}

/* y = x w^T + b */
static void forward(const layer *l, int batch)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, batch, l->out, l->in, 1, l->x, l->in, l->w,
                l->in, 0, l->y, l->out);
    for (int n = 0; n < batch; n++)
        for (int o = 0; o < l->out; o++)
            l->y[n * l->out + o] += l->b[o];
}

static void relu(float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = y[i] > 0 ? y[i] : 0;
}

/* The loss; dy = (softmax(y) - one hot) / batch. */
static double cross_entropy(const layer *l, const int32_t *labels, int batch)
{
    double loss = 0;
    for (int n = 0; n < batch; n++) {
        const float *y = l->y + n * l->out;
        float *dy = l->dy + n * l->out;
        float most = y[0], sum = 0;
        for (int o = 1; o < l->out; o++)
            most = y[o] > most ? y[o] : most;
        for (int o = 0; o < l->out; o++)
            sum += dy[o] = expf(y[o] - most);
        for (int o = 0; o < l->out; o++)
            dy[o] /= sum * (float)batch;
        dy[labels[n]] -= 1 / (float)batch;
        loss += (double)(logf(sum) + most - y[labels[n]]);
    }
    return loss / batch;
}

/* dw = dy^T x, db = sums of dy */
static void backward(const layer *l, int batch)
{
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, l->out, l->in, batch, 1, l->dy, l->out,
                l->x, l->in, 0, l->dw, l->in);
    memset(l->db, 0, (size_t)l->out * sizeof *l->db);
    for (int n = 0; n < batch; n++)
        for (int o = 0; o < l->out; o++)
            l->db[o] += l->dy[n * l->out + o];
}

/* The gradient by the input of `l`, which is the relu output of `below`. */
static void backward_input(const layer *l, const layer *below, int batch)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, batch, l->in, l->out, 1, l->dy, l->out,
                l->w, l->in, 0, below->dy, l->in);
    for (int i = 0; i < batch * below->out; i++)
        below->dy[i] = below->y[i] > 0 ? below->dy[i] : 0;
}

static void rmsprop(float *restrict p, const float *restrict g, float *restrict r, int n)
{
    const float decay = (float)HAND_MLP_DECAY, rate = (float)HAND_MLP_RATE;
    const float epsilon = (float)HAND_MLP_EPSILON;
    for (int i = 0; i < n; i++) {
        r[i] = (1 - decay) * g[i] * g[i] + decay * r[i];
        p[i] -= rate / sqrtf(epsilon + r[i]) * g[i];
    }
}

double hand_mlp_step(hand_mlp *m)
{
    layer *first = &m->layers[0], *last = &m->layers[1];
    forward(first, m->batch);
    relu(first->y, m->batch * first->out);
    forward(last, m->batch);
    double loss = cross_entropy(last, m->labels, m->batch);
    backward(last, m->batch);
    backward_input(last, first, m->batch);
    backward(first, m->batch);
    for (int i = 0; i < 2; i++) {
        layer *l = &m->layers[i];
        rmsprop(l->w, l->dw, l->rw, l->in * l->out);
        rmsprop(l->b, l->db, l->rb, l->out);
    }
    return loss;
}
