/* A model to be timed: a training step, or a value with its gradient, as one program. Data and first
 * weights are formulas, so that the peers have the same. */
#ifndef BENCH_STEP_H
#define BENCH_STEP_H

#include "bench.h"

enum { STEP_MAX_LAYERS = 8, STEP_MAX_OUTS = 8, STEP_MAX_INPUTS = 4 };

typedef struct step_model step_model;

/* A model ready to run. */
typedef struct step {
    const step_model *model;
    wg_tape *tape;
    wg_state *state;
    wg_session *session;
    wg_var inputs[STEP_MAX_INPUTS];
    void *data[STEP_MAX_INPUTS];
    size_t bytes[STEP_MAX_INPUTS], ninputs;
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
    /* The flops that the mathematics needs: products alone, each once, no gradient by data; NULL or 0
     * where products are not what it is about. */
    double (*flops)(const step_model *m);
};

void step_open(step *s, const bench *b, wg_ctx *ctx, const step_model *model);
void step_close(step *s);
/* Binds the data and runs. */
wg_status step_run(const step *s);
/* What bench/peer_torch.py answers to "check": losses of four steps, or the value and the sums of
 * the gradients' absolute values. Returns how many. */
size_t step_check(const step *s, double *numbers, size_t most);

/* ---- for `record` ------------------------------------------------------------------------------- */

/* An input whose elements are scale * uniform(stream) + shift, cut to whole numbers where it is one
 * of integers. */
wg_var step_input(step *s, const char *name, wg_type type, uint64_t stream, double scale,
                  double shift);
/* A parameter whose first value is scale * uniform(stream). */
wg_var step_weight(step *s, const char *name, wg_type type, uint64_t stream, double scale);
/* Outputs: the loss, and gradients where the model has no optimiser; else its updates. */
void step_finish(step *s, wg_var loss, const wg_var *params, size_t n);

#endif
