/* A training step of a recurrent network with a linear layer on each state, in plain C. */
#ifndef BENCH_HAND_RNN_H
#define BENCH_HAND_RNN_H

#include <stddef.h>
#include <stdint.h>

typedef struct hand_rnn hand_rnn;

/* Weights are those of the models of bench/seq_models.c. x [T][B][I], labels [T][B] are borrowed.
 * Exits when memory is out. */
hand_rnn *hand_rnn_new(int steps, int batch, int in, int hidden, int out, const float *x,
                       const int32_t *labels);
void hand_rnn_free(hand_rnn *m);
/* One step of RMSprop (bench/hand_mlp.h); the loss before it. */
double hand_rnn_step(hand_rnn *m);

#endif
