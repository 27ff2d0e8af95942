/* Rosenbrock's valley: sum_i 100 (x_(i+1) - x_i^2)^2 + (1 - x_i)^2, n = 1000, f64. */
#include "small.h"

enum { ROS_N = 1000 };

/* With a_i = x_(i+1) - x_i^2: d / d x_i = -400 a_i x_i - 2 (1 - x_i) + 200 a_(i-1). The a_(i-1) is
 * computed again, so that no step of the loop waits for another. */
double SMALL_HAND(rosenbrock)(const void *const *in, void *const *grad)
{
    const double *restrict x = in[0];
    double *restrict g = grad[0];
    double value = 0;
    for (int i = 1; i < ROS_N - 1; i++) {
        const double a = x[i + 1] - x[i] * x[i], before = x[i] - x[i - 1] * x[i - 1];
        const double b = 1 - x[i];
        value += 100 * a * a + b * b;
        g[i] = -400 * a * x[i] - 2 * b + 200 * before;
    }
    const double first = x[1] - x[0] * x[0], last = x[ROS_N - 1] - x[ROS_N - 2] * x[ROS_N - 2];
    g[0] = -400 * first * x[0] - 2 * (1 - x[0]);
    g[ROS_N - 1] = 200 * last;
    return value + 100 * first * first + (1 - x[0]) * (1 - x[0]);
}

#ifndef SMALL_HAND_ONLY
static wg_var rosenbrock_graph(const wg_var *in)
{
    const int64_t zero = 0, one = 1, last = ROS_N - 1, end = ROS_N;
    wg_var head = wg_slice(in[0], &zero, 1, &last, 1), tail = wg_slice(in[0], &one, 1, &end, 1);
    wg_var valley = wg_square(wg_sub(tail, wg_square(head)));
    wg_var slope = wg_square(wg_sub(wg_f(1), head));
    return wg_sum(wg_add(wg_mul(wg_f(100), valley), slope));
}

const small_model small_rosenbrock = {
    .name = "Rosenbrock n=1000 f64",
    .dtype = WG_F64,
    .tolerance = 1e-10,
    .inputs = {{"x", 0, 1, {ROS_N}, 1, 0}},
    .graph = rosenbrock_graph,
    .hand = SMALL_ALL(rosenbrock),
};
#endif
