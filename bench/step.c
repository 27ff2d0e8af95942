/* Models to be timed: their data, weights, gradients and updates; see step.h. */
#include "step.h"
#include "hand_mlp.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- data and weights -------------------------------------------------------------------------- */

static void fill(void *to, wg_dtype dtype, size_t n, uint64_t stream, double scale, double shift)
{
    for (size_t i = 0; i < n; i++) {
        const double u = scale * bench_uniform(stream, i) + shift;
        if (dtype == WG_F64)
            ((double *)to)[i] = u;
        else if (dtype == WG_F32)
            ((float *)to)[i] = (float)u;
        else
            ((int32_t *)to)[i] = (int32_t)u;
    }
}

wg_var step_input(step *s, const char *name, wg_type type, uint64_t stream, double scale,
                  double shift)
{
    const size_t i = s->ninputs++, n = (size_t)wg_shape_count(type.shape);
    s->bytes[i] = n * wg_dtype_size(type.dtype);
    s->data[i] = bench_alloc(s->bytes[i]);
    fill(s->data[i], type.dtype, n, stream, scale, shift);
    return s->inputs[i] = wg_input(s->tape, name, type.dtype, type.shape);
}

wg_var step_weight(step *s, const char *name, wg_type type, uint64_t stream, double scale)
{
    const size_t n = (size_t)wg_shape_count(type.shape);
    void *values = bench_alloc(n * wg_dtype_size(type.dtype));
    fill(values, type.dtype, n, stream, scale, 0);
    need(wg_state_set(s->state, name, type.dtype, type.shape, values) == WG_OK, "%s",
         wg_state_error(s->state));
    free(values);
    return wg_param(s->tape, name, type.dtype, type.shape, wg_init_zeros());
}

/* ---- gradients --------------------------------------------------------------------------------- */

static void gradient(step *s, wg_var loss, const wg_var *params, size_t n)
{
    need(n < STEP_MAX_OUTS, "too many gradients");
    s->outs[0] = loss;
    s->nouts = 1 + n;
    wg_grad(&loss, 1, NULL, params, n, s->outs + 1);
}

/* ---- training steps ---------------------------------------------------------------------------- */

/* No op of ours: recorded as what it is. */
static void rmsprop(step *s, wg_var loss, const wg_var *params, size_t n)
{
    wg_var grads[2 * STEP_MAX_LAYERS];
    char name[32];
    wg_grad(&loss, 1, NULL, params, n, grads);
    for (size_t i = 0; i < n; i++) {
        wg_type type = wg_typeof(params[i]);
        snprintf(name, sizeof name, "rmsprop%d", (int)i);
        wg_var r = wg_param(s->tape, name, type.dtype, type.shape, wg_init_zeros());
        r = wg_assign(r, wg_add(wg_mul(wg_f(1 - HAND_MLP_DECAY), wg_square(grads[i])),
                                wg_mul(wg_f(HAND_MLP_DECAY), r)));
        wg_var scale = wg_rsqrt(wg_add(r, wg_f(HAND_MLP_EPSILON)));
        wg_var change = wg_mul(wg_f(s->model->rate), wg_mul(scale, grads[i]));
        wg_assign(params[i], wg_sub(params[i], change));
    }
}

static void optimise(step *s, wg_var loss, const wg_var *params, size_t n)
{
    const step_model *m = s->model;
    wg_adam_options adam = WG_ADAM_DEFAULTS;
    wg_sgd_options sgd = WG_SGD_DEFAULTS;
    adam.common.lr = sgd.common.lr = m->rate;
    if (strcmp(m->optimiser, "adam") == 0)
        wg_adam(s->tape, loss, params, n, &adam);
    else if (strcmp(m->optimiser, "sgd") == 0)
        wg_sgd(s->tape, loss, params, n, &sgd);
    else
        rmsprop(s, loss, params, n);
}

void step_finish(step *s, wg_var loss, const wg_var *params, size_t n)
{
    if (!s->model->optimiser) {
        gradient(s, loss, params, n);
        return;
    }
    optimise(s, loss, params, n);
    s->outs[0] = loss;
    s->nouts = 1;
}

/* ---- running ------------------------------------------------------------------------------------ */

void step_open(step *s, const bench *b, wg_ctx *ctx, const step_model *model)
{
    *s = (step){.model = model, .tape = wg_tape_new(ctx), .state = wg_state_new(ctx, 0)};
    need(s->tape && s->state, "out of memory");
    model->record(s);
    s->session = bench_open(b, s->tape, s->outs, s->nouts, s->state);
}

void step_close(step *s)
{
    wg_session_free(s->session);
    wg_state_free(s->state);
    wg_tape_free(s->tape);
    for (size_t i = 0; i < s->ninputs; i++)
        free(s->data[i]);
}

wg_status step_run(const step *s)
{
    wg_status status = WG_OK;
    for (size_t i = 0; i < s->ninputs && !status; i++)
        status = wg_bind(s->session, s->inputs[i], s->data[i], s->bytes[i]);
    return status ? status : wg_run(s->session);
}

static double absolute_sum(const step *s, size_t out)
{
    size_t bytes;
    const double *g = wg_output(s->session, s->outs[out], NULL, &bytes);
    double sum = 0;
    for (size_t i = 0; i < bytes / sizeof *g; i++)
        sum += fabs(g[i]);
    return sum;
}

size_t step_check(const step *s, double *numbers, size_t most)
{
    const size_t n = s->model->optimiser ? 4 : s->nouts;
    need(n <= most, "too many numbers");
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || s->model->optimiser)
            need(step_run(s) == WG_OK, "%s", wg_session_error(s->session));
        numbers[i] =
            i == 0 || s->model->optimiser ? wg_scalar(s->session, s->outs[0]) : absolute_sum(s, i);
    }
    return n;
}
