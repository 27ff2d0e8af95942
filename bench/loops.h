/* Recurrences by hand: the peers of bench/loops.c, compiled apart with all that a user in a hurry would
 * ask of the compiler. Gradients are derived by hand; NULL: the value alone. */
#ifndef BENCH_LOOPS_H
#define BENCH_LOOPS_H

#include <stddef.h>

/* A pendulum, theta'' = -k sin(theta), by `steps` steps of the classical method of Runge and Kutta of
 * size `dt`. x: theta, its derivative, k. The value is theta at the end. */
double loops_pendulum(size_t steps, double dt, const double *x, double *grad);
/* h = tanh(x_t + h W) over `steps` rows x_t of `width`, from h = 0; the value is |h|^2 / 2 at the end.
 * room: 2 * (steps + 1) rows. grad: by W. */
double loops_rnn(size_t steps, size_t width, const float *x, const float *w, float *room,
                 float *grad);

#endif
