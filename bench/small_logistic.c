/* Logistic regression, maximum a posteriori: sum_n softplus(z_n) - y_n z_n + |w|^2 / 2 with
 * z = X w + b, N = 1000, d = 20, f64. */
#include <math.h>

#include "small.h"

enum { LOG_N = 1000, LOG_D = 20 };

/* With p_n = sigmoid(z_n): d / d w = sum_n (p_n - y_n) X_n + w, d / d b = sum_n (p_n - y_n).
 * Passes over blocks of rows, so that each loop is one that compilers vectorise. */
double SMALL_HAND(logistic)(const void *const *in, void *const *grad)
{
    enum { BLOCK = 200 };
    const double *restrict X = in[0], *restrict y = in[1], *restrict w = in[2];
    const double b = *(const double *)in[3];
    double *restrict g_w = grad[2], *g_b = grad[3];
    double value = 0, g = 0, z[BLOCK], d[BLOCK];
    for (int j = 0; j < LOG_D; j++) {
        value += 0.5 * w[j] * w[j];
        g_w[j] = w[j];
    }
    for (int start = 0; start < LOG_N; start += BLOCK) {
        const double *restrict rows = X + (size_t)start * LOG_D;
        for (int n = 0; n < BLOCK; n++) {
            double lane[4] = {0};
            for (int j = 0; j < LOG_D; j += 4)
                for (int l = 0; l < 4; l++)
                    lane[l] += rows[n * LOG_D + j + l] * w[j + l];
            z[n] = b + ((lane[0] + lane[1]) + (lane[2] + lane[3]));
        }
        for (int n = 0; n < BLOCK; n++) {
            const double e = exp(-fabs(z[n])), p = (z[n] < 0 ? e : 1) / (1 + e);
            value += (z[n] > 0 ? z[n] : 0) + log1p(e) - y[start + n] * z[n];
            d[n] = p - y[start + n];
        }
        for (int n = 0; n < BLOCK; n++) {
            g += d[n];
            for (int j = 0; j < LOG_D; j++)
                g_w[j] += d[n] * rows[n * LOG_D + j];
        }
    }
    *g_b = g;
    return value;
}

#ifndef SMALL_HAND_ONLY
static wg_var logistic_graph(const wg_var *in)
{
    wg_var X = in[0], y = in[1], w = in[2], b = in[3];
    wg_var product = wg_matmul(X, wg_reshape(w, WG_SHAPE(-1, 1)));
    wg_var z = wg_add(wg_reshape(product, WG_SHAPE(-1)), b);
    wg_var nll = wg_sum(wg_sub(wg_softplus(z), wg_mul(y, z)));
    return wg_add(nll, wg_mul(wg_f(0.5), wg_sum(wg_square(w))));
}

const small_model small_logistic = {
    .name = "logistic MAP N=1000 d=20 f64",
    .dtype = WG_F64,
    .tolerance = 1e-10,
    .inputs = {{"X", SMALL_DATA | SMALL_ONCE, 2, {LOG_N, LOG_D}, 1, 0},
               {"y", SMALL_DATA | SMALL_ONCE | SMALL_BITS, 1, {LOG_N}, 1, 0},
               {"w", 0, 1, {LOG_D}, 1, 0},
               {"b", 0, 0, {0}, 1, 0}},
    .graph = logistic_graph,
    .hand = SMALL_ALL(logistic),
};
#endif
