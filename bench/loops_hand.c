/* The recurrences of bench/loops.c in plain C. */
#include "loops.h"

#include <math.h>
#include <string.h>

/* ---- the pendulum -------------------------------------------------------------------------------- */

enum { STAGES = 4, MOST_STEPS = 1 << 16 };
static const double into[STAGES] = {0, 0.5, 0.5, 1}, weight[STAGES] = {1, 2, 2, 1};

static void step(double dt, double k, const double *from, double *to)
{
    double da = 0, db = 0, a = 0, b = 0;
    for (int i = 0; i < STAGES; i++) {
        const double theta = from[0] + into[i] * dt * da, omega = from[1] + into[i] * dt * db;
        da = omega;
        db = -k * sin(theta);
        a += weight[i] * da;
        b += weight[i] * db;
    }
    to[0] = from[0] + dt / 6 * a;
    to[1] = from[1] + dt / 6 * b;
}

/* d: the cotangents of `to` on entry, of `from` on return. */
static void step_back(double dt, double k, const double *from, double *d, double *dk)
{
    double theta[STAGES], da = 0, db = 0;
    for (int i = 0; i < STAGES; i++) {
        theta[i] = from[0] + into[i] * dt * da;
        const double omega = from[1] + into[i] * dt * db;
        da = omega;
        db = -k * sin(theta[i]);
    }
    double d0 = d[0], d1 = d[1], next_a = 0, next_b = 0; /* of the stage behind, by its inputs */
    for (int i = STAGES - 1; i >= 0; i--) {
        const double ahead = i + 1 < STAGES ? into[i + 1] * dt : 0;
        const double of_a = weight[i] * dt / 6 * d[0] + ahead * next_a;
        const double of_b = weight[i] * dt / 6 * d[1] + ahead * next_b;
        *dk -= of_b * sin(theta[i]);
        next_a = -k * cos(theta[i]) * of_b;
        next_b = of_a;
        d0 += next_a;
        d1 += next_b;
    }
    d[0] = d0;
    d[1] = d1;
}

double loops_pendulum(size_t steps, double dt, const double *x, double *grad)
{
    static double path[MOST_STEPS + 1][2];
    path[0][0] = x[0];
    path[0][1] = x[1];
    for (size_t t = 0; t < steps; t++)
        step(dt, x[2], path[t], path[t + 1]);
    if (grad) {
        grad[0] = 1;
        grad[1] = grad[2] = 0;
        for (size_t t = steps; t-- > 0;)
            step_back(dt, x[2], path[t], grad, &grad[2]);
    }
    return path[steps][0];
}

/* ---- the network --------------------------------------------------------------------------------- */

/* Inlined for each width, which is a constant then. */
static inline double rnn(size_t steps, size_t width, const float *x, const float *restrict w,
                         float *room, float *grad)
{
    float *h = room, *d = room + (steps + 1) * width, value = 0;
    memset(h, 0, width * sizeof *h);
    for (size_t t = 0; t < steps; t++) {
        const float *restrict now = h + t * width;
        float *restrict next = h + (t + 1) * width;
        memcpy(next, x + t * width, width * sizeof *next);
        for (size_t i = 0; i < width; i++)
            for (size_t j = 0; j < width; j++)
                next[j] += now[i] * w[i * width + j];
        for (size_t j = 0; j < width; j++)
            next[j] = tanhf(next[j]);
    }
    const float *last = h + steps * width;
    for (size_t j = 0; j < width; j++)
        value += last[j] * last[j] / 2;
    if (!grad)
        return value;
    memcpy(d + steps * width, last, width * sizeof *d);
    memset(grad, 0, width * width * sizeof *grad);
    for (size_t t = steps; t-- > 0;) {
        const float *restrict now = h + t * width, *restrict next = h + (t + 1) * width;
        float *restrict dz = d + (t + 1) * width, *restrict dh = d + t * width;
        for (size_t j = 0; j < width; j++)
            dz[j] *= 1 - next[j] * next[j];
        for (size_t i = 0; i < width; i++) {
            float *restrict row = grad + i * width, sum = 0;
            for (size_t j = 0; j < width; j++) {
                sum += w[i * width + j] * dz[j];
                row[j] += now[i] * dz[j];
            }
            dh[i] = sum;
        }
    }
    return value;
}

double loops_rnn(size_t steps, size_t width, const float *x, const float *w, float *room,
                 float *grad)
{
    switch (width) {
    case 8:
        return rnn(steps, 8, x, w, room, grad);
    case 64:
        return rnn(steps, 64, x, w, room, grad);
    case 128:
        return rnn(steps, 128, x, w, room, grad);
    default:
        return rnn(steps, width, x, w, room, grad);
    }
}
