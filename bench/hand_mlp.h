/* A training step of a perceptron with one hidden layer, in plain C. */
#ifndef BENCH_HAND_MLP_H
#define BENCH_HAND_MLP_H

#include <stddef.h>
#include <stdint.h>

typedef struct hand_mlp hand_mlp;

/* Weights are those of the step models (bench/step_models.c). x [batch][in], labels [batch] are
 * borrowed. Exits when memory is out. */
hand_mlp *hand_mlp_new(int batch, int in, int hidden, int out, const float *x,
                       const int32_t *labels);
void hand_mlp_free(hand_mlp *m);
/* One step of RMSprop; the loss before it. */
double hand_mlp_step(hand_mlp *m);

enum { HAND_MLP_PARAMS = 4 };
/* Of RMSprop: r = decay r + (1 - decay) g^2;  p -= rate g / sqrt(epsilon + r). */
#define HAND_MLP_RATE 1e-3
#define HAND_MLP_DECAY 0.9
#define HAND_MLP_EPSILON 1e-6

#endif
