/* A scalar function of three variables in 20 ops, f64:
 *     f = ((sin(xy) exp(-z^2 / 2) + tanh(x + z)) sigmoid(yz - x) / (1 + z^2) + log(1 + z^2)) cos(y)
 *         + xy */
#include <math.h>

#include "small.h"

/* Reverse mode by hand, with what is used twice computed once. */
double SMALL_HAND(scalar20)(const void *const *in, void *const *grad)
{
    const double x = *(const double *)in[0], y = *(const double *)in[1];
    const double z = *(const double *)in[2];
    const double u = x * y, s = sin(u), l = 1 + z * z, e = exp(-0.5 * z * z), t = tanh(x + z);
    const double r = s * e + t, sg = 1 / (1 + exp(-(y * z - x))), k = r * sg / l + log(l);
    const double c = cos(y);
    const double dk = c, dr = dk * sg / l, dv = dk * r / l * sg * (1 - sg);
    const double dl = dk * (1 / l - r * sg / (l * l)), du = dr * e * cos(u) + 1;
    const double dq = dr * (1 - t * t);
    *(double *)grad[0] = du * y + dq - dv;
    *(double *)grad[1] = du * x + dv * z - k * sin(y);
    *(double *)grad[2] = dq + dv * y + 2 * z * dl - dr * s * e * z;
    return k * c + u;
}

#ifndef SMALL_HAND_ONLY
static wg_var scalar20_graph(const wg_var *in)
{
    wg_var x = in[0], y = in[1], z = in[2];
    wg_var u = wg_mul(x, y), z2 = wg_square(z), l = wg_add(z2, wg_f(1));
    wg_var p = wg_mul(wg_sin(u), wg_exp(wg_mul(wg_f(-0.5), z2)));
    wg_var r = wg_add(p, wg_tanh(wg_add(x, z)));
    wg_var m = wg_mul(r, wg_sigmoid(wg_sub(wg_mul(y, z), x)));
    wg_var k = wg_add(wg_div(m, l), wg_log(l));
    return wg_add(wg_mul(k, wg_cos(y)), u);
}

const small_model small_scalar20 = {
    .name = "scalar function, 20 ops, f64",
    .dtype = WG_F64,
    .tolerance = 1e-10,
    .inputs = {{"x", 0, 0, {0}, 1, 0}, {"y", 0, 0, {0}, 1, 0}, {"z", 0, 0, {0}, 1, 0}},
    .graph = scalar20_graph,
    .hand = SMALL_ALL(scalar20),
};
#endif
