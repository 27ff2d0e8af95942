/* What the files of src/rnn share: one layer in one direction while it is recorded. Included by them
 * only. */
#ifndef WG_RNN_RNN_H
#define WG_RNN_RNN_H

#include <wengert/rnn.h>

enum { WG__RNN_PARAMS = 5, WG__RNN_STATES = 2 }; /* of one layer and direction, at most */

/* One layer in one direction. */
typedef struct wg__rnn_layer {
    const wg_rnn_options *o;
    char name[48]; /* of scope and body: "layer1_reverse" */
    wg_dtype dtype;
    wg_shape inputs, states; /* of a step: [B, I], [B, H] */
    size_t nstates, nparams; /* h, and c of an LSTM; parameters */
    wg_var params[WG__RNN_PARAMS];
    wg_var mask; /* [B, H] on the state that the cell reads; none: all of it */
} wg__rnn_layer;

/* How many states and parameters a kind has. */
size_t wg__rnn_nstates(const wg_rnn_options *o);
size_t wg__rnn_nparams(const wg_rnn_options *o);
/* Records the layer's parameters in the current scope. */
void wg__rnn_params(wg_tape *tape, wg__rnn_layer *l);
/* One step of the cell: the next states from x and the states. */
void wg__rnn_step(const wg__rnn_layer *l, wg_var x, const wg_var *states, wg_var *next);

#endif
