/* A recurrent network in plain C, unrolled the way small C libraries do it (kann is the model; Debian
 * has no package of it): at each step of time one cblas_sgemm of OpenBLAS for each product, forward,
 * by the state and by the weights, and a loop of its own for each activation, loss and update.
 *
 *     h_t = tanh(x_t W + h_(t-1) U + b)     y_t = h_t V + c     loss = mean cross-entropy of all y_t */
#include "hand_rnn.h"
#include "bench.h"
#include "hand_mlp.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cblas.h>

enum { W, U, BIAS, V, C, NPARAMS };

typedef struct tensor {
    int rows, cols;
    float *p, *g, *r; /* value, gradient, average of squares */
} tensor;

struct hand_rnn {
    int steps, batch, in, hidden, out;
    tensor params[NPARAMS];
    const float *x;
    const int32_t *labels;
    float *h;      /* [T + 1][B][H]; the first is 0 */
    float *y;      /* [T][B][V]: logits, then their cotangents */
    float *dh, *z; /* [B][H] */
};

static float *floats(int n) { return bench_alloc((size_t)n * sizeof(float)); }

static void tensor_make(tensor *t, int rows, int cols, uint64_t stream, double scale)
{
    const int n = rows * cols;
    *t = (tensor){rows, cols, floats(n), floats(n), floats(n)};
    for (int i = 0; i < n; i++)
        t->p[i] = (float)(scale * bench_uniform(stream, (uint64_t)i));
}

hand_rnn *hand_rnn_new(int steps, int batch, int in, int hidden, int out, const float *x,
                       const int32_t *labels)
{
    hand_rnn *m = calloc(1, sizeof *m);
    need(m != NULL, "out of memory");
    *m = (hand_rnn){.steps = steps, .batch = batch, .in = in, .hidden = hidden, .out = out};
    m->x = x;
    m->labels = labels;
    const double hid = 1 / sqrt(hidden);
    tensor_make(&m->params[W], in, hidden, 10, 1 / sqrt(in));
    tensor_make(&m->params[U], hidden, hidden, 11, hid);
    tensor_make(&m->params[BIAS], 1, hidden, 12, hid);
    tensor_make(&m->params[V], hidden, out, 13, hid);
    tensor_make(&m->params[C], 1, out, 14, hid);
    m->h = floats((steps + 1) * batch * hidden);
    m->y = floats(steps * batch * out);
    m->dh = floats(batch * hidden);
    m->z = floats(batch * hidden);
    return m;
}

void hand_rnn_free(hand_rnn *m)
{
    for (int i = 0; i < NPARAMS; i++) {
        free(m->params[i].p);
        free(m->params[i].g);
        free(m->params[i].r);
    }
    free(m->h);
    free(m->y);
    free(m->dh);
    free(m->z);
    free(m);
}

/* c [rows][t->cols] += a [rows][t->rows] t */
static void times(const float *a, const tensor *t, int rows, float *c)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, t->cols, t->rows, 1, a, t->rows,
                t->p, t->cols, 1, c, t->cols);
}

/* da [rows][t->rows] = dc [rows][t->cols] t^T, plus beta times what is there */
static void times_back(const float *dc, const tensor *t, int rows, float beta, float *da)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, t->rows, t->cols, 1, dc, t->cols,
                t->p, t->cols, beta, da, t->rows);
}

/* t's gradient += a^T dc */
static void gather_gradient(const float *a, const float *dc, int rows, tensor *t)
{
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, t->rows, t->cols, rows, 1, a, t->rows, dc,
                t->cols, 1, t->g, t->cols);
}

static void set_rows(const tensor *bias, int rows, float *c)
{
    for (int n = 0; n < rows; n++)
        memcpy(c + n * bias->cols, bias->p, (size_t)bias->cols * sizeof *c);
}

static void add_rows(const float *dc, int rows, tensor *bias)
{
    for (int n = 0; n < rows; n++)
        for (int i = 0; i < bias->cols; i++)
            bias->g[i] += dc[n * bias->cols + i];
}

/* The loss of one row; y becomes its cotangent. */
static double cross_entropy(float *y, int n, int label, float scale)
{
    float most = y[0], sum = 0;
    const float own = y[label];
    for (int o = 1; o < n; o++)
        most = y[o] > most ? y[o] : most;
    for (int o = 0; o < n; o++)
        sum += y[o] = expf(y[o] - most);
    for (int o = 0; o < n; o++)
        y[o] *= scale / sum;
    y[label] -= scale;
    return (double)(logf(sum) + most - own);
}

static double forward(hand_rnn *m)
{
    const int B = m->batch, n = B * m->hidden;
    double loss = 0;
    for (int t = 0; t < m->steps; t++) {
        float *h = m->h + (t + 1) * n, *y = m->y + t * B * m->out;
        set_rows(&m->params[BIAS], B, h);
        times(m->x + t * B * m->in, &m->params[W], B, h);
        times(h - n, &m->params[U], B, h);
        for (int i = 0; i < n; i++)
            h[i] = tanhf(h[i]);
        set_rows(&m->params[C], B, y);
        times(h, &m->params[V], B, y);
        for (int i = 0; i < B; i++)
            loss += cross_entropy(y + i * m->out, m->out, m->labels[t * B + i],
                                  1 / (float)(m->steps * B));
    }
    return loss / (m->steps * B);
}

static void backward(hand_rnn *m)
{
    const int B = m->batch, n = B * m->hidden;
    for (int i = 0; i < NPARAMS; i++)
        memset(m->params[i].g, 0, sizeof(float) * (size_t)(m->params[i].rows * m->params[i].cols));
    memset(m->dh, 0, sizeof(float) * (size_t)n);
    for (int t = m->steps; t-- > 0;) {
        const float *h = m->h + (t + 1) * n, *dy = m->y + t * B * m->out;
        gather_gradient(h, dy, B, &m->params[V]);
        add_rows(dy, B, &m->params[C]);
        times_back(dy, &m->params[V], B, 1, m->dh);
        for (int i = 0; i < n; i++)
            m->z[i] = m->dh[i] * (1 - h[i] * h[i]);
        gather_gradient(m->x + t * B * m->in, m->z, B, &m->params[W]);
        gather_gradient(h - n, m->z, B, &m->params[U]);
        add_rows(m->z, B, &m->params[BIAS]);
        times_back(m->z, &m->params[U], B, 0, m->dh);
    }
}

static void rmsprop(tensor *t)
{
    const float decay = (float)HAND_MLP_DECAY, rate = (float)HAND_MLP_RATE;
    const float epsilon = (float)HAND_MLP_EPSILON;
    for (int i = 0; i < t->rows * t->cols; i++) {
        t->r[i] = (1 - decay) * t->g[i] * t->g[i] + decay * t->r[i];
        t->p[i] -= rate / sqrtf(epsilon + t->r[i]) * t->g[i];
    }
}

double hand_rnn_step(hand_rnn *m)
{
    double loss = forward(m);
    backward(m);
    for (int i = 0; i < NPARAMS; i++)
        rmsprop(&m->params[i]);
    return loss;
}
