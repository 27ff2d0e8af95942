/* Optimisers as graph: gradients, updates and the optimiser's own state are recorded on the tape,
 * so that one compiled program is the whole training step.
 *
 * Each call records assigns for `params` (from wg_param, float) and for slot parameters named
 * "<optimiser>/<param>/<slot>", zero at first, under a scope of the optimiser's name ("adam"; a
 * second call on the same tape gets "adam_2"). They return the status that the tape also keeps; a
 * call that fails leaves nothing else behind: the tape is rewound to where it was.
 * In this order: gradients of `loss` (rank 0), clipping by norm, clipping by value, coupled weight
 * decay, the update. */
#ifndef WENGERT_OPTIM_H
#define WENGERT_OPTIM_H

#include <wengert/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What all optimisers share. */
typedef struct wg_optim_common {
    double lr;           /* learning rate */
    wg_var lr_var;       /* rank-0 float value used instead of lr (schedules); {NULL, 0}: none */
    double weight_decay; /* coupled (L2): adds weight_decay * param to the clipped gradient */
    double clip_norm;  /* > 0: gradients are scaled so that their global L2 norm is at most this */
    double clip_value; /* > 0: each element of each gradient is clamped to +- this */
    const wg_var *grads; /* gradients to use instead of wg_grad(loss), one per parameter (wg_none():
                            zero); or NULL */
} wg_optim_common;

typedef struct wg_sgd_options {
    size_t struct_size;
    wg_optim_common common;
    double momentum; /* 0: plain */
    bool nesterov;   /* false: heavy ball (Polyak 1964); true: Nesterov (Sutskever et al. 2013) */
} wg_sgd_options;
#define WG_SGD_DEFAULTS                                                                            \
    {                                                                                              \
        sizeof(wg_sgd_options), {1e-2, {NULL, 0}, 0, 0, 0, NULL}, 0, false                         \
    }

/* v = momentum v + g;  heavy ball: p -= lr v;  nesterov: p -= lr (g + momentum v). */
WG_API wg_status wg_sgd(wg_tape *tape, wg_var loss, const wg_var *params, size_t nparams,
                        const wg_sgd_options *options);

typedef struct wg_adam_options {
    size_t struct_size;
    wg_optim_common common;
    double beta1, beta2, epsilon;
    double decoupled_decay; /* AdamW (Loshchilov and Hutter 2019): p -= lr * decoupled_decay * p */
} wg_adam_options;
#define WG_ADAM_DEFAULTS                                                                           \
    {                                                                                              \
        sizeof(wg_adam_options), {1e-3, {NULL, 0}, 0, 0, 0, NULL}, 0.9, 0.999, 1e-8, 0             \
    }
#define WG_ADAMW_DEFAULTS                                                                          \
    {                                                                                              \
        sizeof(wg_adam_options), {1e-3, {NULL, 0}, 0, 0, 0, NULL}, 0.9, 0.999, 1e-8, 1e-2          \
    }

/* Kingma and Ba 2015, Algorithm 1, with bias correction; AdamW when decoupled_decay is not 0. */
WG_API wg_status wg_adam(wg_tape *tape, wg_var loss, const wg_var *params, size_t nparams,
                         const wg_adam_options *options);

/* In place on the array: scales all by min(1, max_norm / global L2 norm). Returns the norm before
 * clipping (rank 0; f64 when dtypes are mixed). A zero norm leaves zeros, absent gradients
 * (wg_none()) stay absent. */
WG_API wg_var wg_clip_by_global_norm(wg_var *grads, size_t ngrads, double max_norm);
/* In place on the array: clamps each element to [-limit, limit]. */
WG_API wg_status wg_clip_by_value(wg_var *grads, size_t ngrads, double limit);

#ifdef __cplusplus
}
#endif
#endif
