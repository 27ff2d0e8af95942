/* A mixture of three Gaussians: -sum_n log sum_k pi_k N(x_n; mu_k, sigma_k), N = 1000, f64, with
 * pi = softmax(logits) and sigma = exp(log_sigma). */
#include <math.h>

#include "small.h"

enum { MIX_N = 1000, MIX_K = 3 };

/* With r_nk the responsibilities and z_nk = (x_n - mu_k) / sigma_k:
 *     d / d logits_k    = -sum_n (r_nk - pi_k)
 *     d / d mu_k        = -sum_n r_nk z_nk / sigma_k
 *     d / d log sigma_k = -sum_n r_nk (z_nk^2 - 1) */
double SMALL_HAND(mixture)(const void *const *in, void *const *grad)
{
    const double *restrict x = in[0], *logits = in[1], *mu = in[2], *log_sigma = in[3];
    double *g_logits = grad[1], *g_mu = grad[2], *g_sigma = grad[3];
    double top = fmax(logits[0], fmax(logits[1], logits[2])), norm = 0;
    double base[MIX_K], scale[MIX_K], r_sum[MIX_K] = {0}, rz[MIX_K] = {0}, rzz[MIX_K] = {0};
    for (int k = 0; k < MIX_K; k++)
        norm += exp(logits[k] - top);
    for (int k = 0; k < MIX_K; k++) {
        scale[k] = exp(-log_sigma[k]);
        base[k] = logits[k] - top - log(norm) - log_sigma[k] - 0.91893853320467274178;
    }
    double value = 0;
    for (int n = 0; n < MIX_N; n++) {
        const double z0 = (x[n] - mu[0]) * scale[0], a0 = base[0] - 0.5 * z0 * z0;
        const double z1 = (x[n] - mu[1]) * scale[1], a1 = base[1] - 0.5 * z1 * z1;
        const double z2 = (x[n] - mu[2]) * scale[2], a2 = base[2] - 0.5 * z2 * z2;
        const double a01 = a0 > a1 ? a0 : a1, most = a01 > a2 ? a01 : a2;
        const double e0 = exp(a0 - most), e1 = exp(a1 - most), e2 = exp(a2 - most);
        const double sum = e0 + e1 + e2, r0 = e0 / sum, r1 = e1 / sum, r2 = e2 / sum;
        value -= most + log(sum);
        r_sum[0] += r0;
        r_sum[1] += r1;
        r_sum[2] += r2;
        rz[0] += r0 * z0;
        rz[1] += r1 * z1;
        rz[2] += r2 * z2;
        rzz[0] += r0 * z0 * z0;
        rzz[1] += r1 * z1 * z1;
        rzz[2] += r2 * z2 * z2;
    }
    for (int k = 0; k < MIX_K; k++) {
        g_logits[k] = MIX_N * exp(logits[k] - top) / norm - r_sum[k];
        g_mu[k] = -rz[k] * scale[k];
        g_sigma[k] = r_sum[k] - rzz[k];
    }
    return value;
}

#ifndef SMALL_HAND_ONLY
static wg_var mixture_graph(const wg_var *in)
{
    wg_var column = wg_reshape(in[0], WG_SHAPE(-1, 1));
    wg_var log_pi = wg_log_softmax(in[1]);
    wg_var joint = wg_add(log_pi, wg_normal_logpdf(column, in[2], wg_exp(in[3])));
    return wg_neg(wg_sum(wg_logsumexp_with(joint, WG_AXES(1), false)));
}

const small_model small_mixture = {
    .name = "mixture N=1000 K=3 f64",
    .dtype = WG_F64,
    .tolerance = 1e-10,
    .inputs = {{"x", SMALL_DATA | SMALL_ONCE, 1, {MIX_N}, 3, 0},
               {"logits", 0, 1, {MIX_K}, 1, 0},
               {"mu", 0, 1, {MIX_K}, 2, 0},
               {"log_sigma", 0, 1, {MIX_K}, 0.3, 0}},
    .graph = mixture_graph,
    .hand = SMALL_ALL(mixture),
};
#endif
