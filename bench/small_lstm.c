/* One LSTM cell (Hochreiter and Schmidhuber 1997; with forget gates), batch 1, f32:
 *     i, f, g, o = x Wx + h Wh + b      c' = sigmoid(f) c + sigmoid(i) tanh(g)
 *     h' = sigmoid(o) tanh(c')          value = (|h'|^2 + |c'|^2) / 2
 * with the gradient by x, h, c, Wx, Wh, b. */
#include <math.h>

#include "small.h"

enum { LSTM_MOST = 128, LSTM_LANES = 16 };

/* z += v W, W [H][4H] */
static inline void rows_times(int H, const float *restrict v, const float *restrict W,
                              float *restrict z)
{
    for (int i = 0; i < H; i++)
        for (int j = 0; j < 4 * H; j++)
            z[j] += v[i] * W[(size_t)i * 4 * (size_t)H + j];
}

/* dv = W dz, dW = v dz^T: one pass over W. Sums in lanes, which compilers vectorise. */
static inline void rows_back(int H, const float *restrict v, const float *restrict W,
                             const float *restrict dz, float *restrict dv, float *restrict dW)
{
    for (int i = 0; i < H; i++) {
        const float *restrict row = W + (size_t)i * 4 * (size_t)H;
        float *restrict out = dW + (size_t)i * 4 * (size_t)H;
        float lane[LSTM_LANES] = {0};
        for (int j = 0; j < 4 * H; j += LSTM_LANES)
            for (int l = 0; l < LSTM_LANES; l++) {
                lane[l] += row[j + l] * dz[j + l];
                out[j + l] = v[i] * dz[j + l];
            }
        float sum = 0;
        for (int l = 0; l < LSTM_LANES; l++)
            sum += lane[l];
        dv[i] = sum;
    }
}

static inline double cell(int H, const void *const *in, void *const *grad)
{
    const float *restrict b = in[5], *restrict c = in[2];
    float *restrict dc = grad[2], *restrict db = grad[5];
    float z[4 * LSTM_MOST], value[LSTM_LANES] = {0};
    for (int j = 0; j < 4 * H; j++)
        z[j] = b[j];
    rows_times(H, in[0], in[3], z);
    rows_times(H, in[1], in[4], z);
    for (int k = 0; k < H; k++) {
        const float i = 1 / (1 + expf(-z[k])), f = 1 / (1 + expf(-z[H + k]));
        const float g = tanhf(z[2 * H + k]), o = 1 / (1 + expf(-z[3 * H + k]));
        const float next = f * c[k] + i * g, t = tanhf(next), h = o * t;
        const float d = next + h * o * (1 - t * t); /* by c' */
        value[k % LSTM_LANES] += h * h + next * next;
        dc[k] = d * f;
        db[k] = d * g * i * (1 - i);
        db[H + k] = d * c[k] * f * (1 - f);
        db[2 * H + k] = d * i * (1 - g * g);
        db[3 * H + k] = h * t * o * (1 - o);
    }
    rows_back(H, in[0], in[3], db, grad[0], grad[3]);
    rows_back(H, in[1], in[4], db, grad[1], grad[4]);
    double sum = 0;
    for (int l = 0; l < LSTM_LANES; l++)
        sum += (double)value[l];
    return sum / 2;
}

double SMALL_HAND(lstm32)(const void *const *in, void *const *grad) { return cell(32, in, grad); }

double SMALL_HAND(lstm128)(const void *const *in, void *const *grad) { return cell(128, in, grad); }

#ifndef SMALL_HAND_ONLY
static wg_var gate(wg_var z, int64_t H, int64_t k)
{
    const int64_t start[] = {0, k * H}, stop[] = {1, (k + 1) * H};
    return wg_slice(z, start, 2, stop, 2);
}

static wg_var lstm_graph(const wg_var *in)
{
    const int64_t H = wg_typeof(in[2]).shape.dim[1];
    wg_var z = wg_add(wg_add(wg_matmul(in[0], in[3]), wg_matmul(in[1], in[4])), in[5]);
    wg_var i = wg_sigmoid(gate(z, H, 0)), f = wg_sigmoid(gate(z, H, 1));
    wg_var g = wg_tanh(gate(z, H, 2)), o = wg_sigmoid(gate(z, H, 3));
    wg_var c = wg_add(wg_mul(f, in[2]), wg_mul(i, g)), h = wg_mul(o, wg_tanh(c));
    return wg_mul(wg_f(0.5), wg_sum(wg_add(wg_square(h), wg_square(c))));
}

#define LSTM_INPUTS(H, scale)                                                                      \
    {                                                                                              \
        {"x", 0, 2, {1, H}, 1, 0}, {"h", 0, 2, {1, H}, 1, 0}, {"c", 0, 2, {1, H}, 1, 0},           \
            {"Wx", SMALL_ONCE, 2, {H, 4 * H}, scale, 0},                                           \
            {"Wh", SMALL_ONCE, 2, {H, 4 * H}, scale, 0}, {"b", SMALL_ONCE, 1, {4 * H}, 0.1, 0},    \
    }

const small_model small_lstm32 = {
    .name = "LSTM cell H=32 f32",
    .dtype = WG_F32,
    .tolerance = 1e-4,
    .inputs = LSTM_INPUTS(32, 0.2),
    .graph = lstm_graph,
    .hand = SMALL_ALL(lstm32),
};

const small_model small_lstm128 = {
    .name = "LSTM cell H=128 f32",
    .dtype = WG_F32,
    .tolerance = 1e-4,
    .inputs = LSTM_INPUTS(128, 0.1),
    .graph = lstm_graph,
    .hand = SMALL_ALL(lstm128),
};
#endif
