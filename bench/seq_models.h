/* The models of bench/seq.c. */
#ifndef BENCH_SEQ_MODELS_H
#define BENCH_SEQ_MODELS_H

#include "step.h"

extern const step_model seq_models[];
extern const size_t seq_model_count;

/* The value of the integrator of `steps` steps in plain C with its gradient by (theta, omega, k, c),
 * by hand: the states of all steps are kept, the way back is the transposed step. */
double seq_hand_pendulum(size_t steps, const double start[4], double gradient[4]);
/* Step size of an integrator of so many steps. */
double seq_step_size(size_t steps);

#endif
