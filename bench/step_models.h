/* The models of bench/steps.c as graphs, with their data and first weights, which are formulas so
 * that the peers have the same. */
#ifndef BENCH_STEP_MODELS_H
#define BENCH_STEP_MODELS_H

#include "bench.h"

enum { STEP_MAX_LAYERS = 8, STEP_MAX_OUTS = 8 };

typedef struct step_model step_model;

/* A model ready to run. */
typedef struct step {
    const step_model *model;
    wg_tape *tape;
    wg_state *state;
    wg_session *session;
    wg_var inputs[2];
    void *data[2];
    size_t bytes[2], ninputs;
    wg_var outs[STEP_MAX_OUTS]; /* the loss, then gradients */
    size_t nouts;
} step;

struct step_model {
    const char *name;
    void (*record)(step *s); /* inputs, outs and effects, first weights */
    const char *torch;       /* what bench/peer_torch.py is told; NULL: another peer */
    double tolerance;        /* of losses, relative */
    int64_t batch, sizes[STEP_MAX_LAYERS]; /* layers, ended by 0; or what the model needs */
    const char *optimiser;                 /* NULL: value and gradient, no update */
    double rate;
    double target; /* the ratio at which the row holds */
};

extern const step_model step_models[];
extern const size_t step_model_count;

void step_open(step *s, const bench *b, wg_ctx *ctx, const step_model *model);
void step_close(step *s);
/* Binds the data and runs. */
wg_status step_run(const step *s);
/* The flops that the mathematics of a training step needs: products alone, no gradient by data;
 * 0 where products are not what it is about. */
double step_flops(const step_model *m);
/* What bench/peer_torch.py answers to "check": losses of four steps, or the value and the sums of
 * the gradients' absolute values. Returns how many. */
size_t step_check(const step *s, double *numbers, size_t most);

#endif
