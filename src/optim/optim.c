/* Optimisers, recorded as graph. What they share is written once: gradients, clipping, coupled
 * weight decay, names of slots, assigns. An optimiser is an update rule for one parameter. */
#include <math.h>
#include <string.h>

#include <wengert/grad.h>
#include <wengert/ops.h>
#include <wengert/optim.h>
#include "tape/tape.h"

/* One call of an optimiser. */
typedef struct run {
    wg_tape *t;
    const char *name; /* of the optimiser: "adam" */
    wg_optim_common common;
    const void *options; /* of the rule */
    const wg_var *params;
    size_t n;
    wg_var *grads;
    const wg_var *shared; /* of the rule: values that all parameters use */
} run;

/* The new value of parameter `i` with gradient `g`; assigns its slots. */
typedef wg_var (*rule_fn)(run *r, size_t i, wg_var p, wg_var g);
/* Records what all parameters share; NULL: nothing. */
typedef void (*begin_fn)(run *r, wg_var *shared);

/* ---- checks ------------------------------------------------------------------------------------- */

typedef struct number {
    const char *name;
    double value, low, high;
} number;

static bool numbers_ok(const run *r, const number *numbers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const number *x = &numbers[i];
        if (x->low <= x->value && x->value <= x->high)
            continue;
        wg__tape_fail(r->t, WG_INVALID, "%s: %s is %g; it must lie in [%g, %g]", r->name, x->name,
                      x->value, x->low, x->high);
        return false;
    }
    return true;
}

static bool on_tape(const run *r, wg_var v, const char *what)
{
    if (wg__find(r->t, v) != WG__NONE)
        return true;
    wg__tape_fail(r->t, WG_INVALID, "%s: %s is no value of the tape", r->name, what);
    return false;
}

/* A literal in lr_var is a plain lr. */
static bool take_lr_var(run *r)
{
    wg_optim_common *c = &r->common;
    static const wg_var absent;
    if (!c->lr_var.tape && !c->lr_var.bits)
        return true;
    wg_type type = wg_typeof(c->lr_var);
    bool literal = wg__is_literal(c->lr_var);
    if (!literal && !on_tape(r, c->lr_var, "lr_var"))
        return false;
    if (type.shape.rank || !wg_dtype_is_float(type.dtype)) {
        wg__tape_fail(r->t, WG_SHAPE, "%s: lr_var must be a rank-0 float", r->name);
        return false;
    }
    if (literal) {
        c->lr = wg__literal_value(c->lr_var);
        c->lr_var = absent;
    }
    return true;
}

static bool common_ok(const run *r)
{
    const wg_optim_common *c = &r->common;
    const number numbers[] = {{"lr", c->lr, -1e300, 1e300},
                              {"weight_decay", c->weight_decay, 0, 1e300},
                              {"clip_norm", c->clip_norm, 0, 1e300},
                              {"clip_value", c->clip_value, 0, 1e300}};
    return numbers_ok(r, numbers, sizeof numbers / sizeof *numbers);
}

static bool params_ok(const run *r)
{
    if (r->n == 0 || r->t->parent) {
        wg__tape_fail(r->t, WG_INVALID, "%s: %s", r->name,
                      r->n ? "a sub-tape has no effects" : "there are no params");
        return false;
    }
    for (size_t i = 0; i < r->n; i++) {
        uint32_t id = wg__find(r->t, r->params[i]);
        if (id == WG__NONE || wg__node_at(r->t, id)->op != WG__OP_PARAM ||
            !wg_dtype_is_float(wg__type_at(r->t, id)->dtype)) {
            wg__tape_fail(r->t, WG_INVALID, "%s: params[%zu] is not a float param of the tape",
                          r->name, i);
            return false;
        }
    }
    return true;
}

/* ---- names ------------------------------------------------------------------------------------------ */

/* True when an input or param of the tape stands below scope `name` of the current scope. */
static bool scope_taken(const wg_tape *t, const char *name)
{
    wg__str path = wg__str_make(t->ctx), full = wg__str_make(t->ctx);
    wg__scope_path(t, t->scope, &path);
    wg__str_addf(&path, "%s%s/", t->scope ? "/" : "", name);
    bool taken = false;
    for (size_t i = 0; i < t->params.len && !taken; i++) {
        wg__str_clear(&full);
        wg__full_name(t, t->params.data[i], &full);
        taken = !path.failed && !strncmp(wg__str_text(&full), wg__str_text(&path), path.len);
    }
    wg__str_free(&path);
    wg__str_free(&full);
    return taken;
}

/* A second optimiser of the name gets "adam_2", so that their slots do not clash. */
static wg_status push_scope(run *r)
{
    wg__str name = wg__str_make(r->t->ctx);
    wg__str_add(&name, r->name);
    for (int k = 2; scope_taken(r->t, wg__str_text(&name)) && !name.failed; k++) {
        wg__str_clear(&name);
        wg__str_addf(&name, "%s_%d", r->name, k);
    }
    wg_status status =
        name.failed ? wg__tape_no_memory(r->t) : wg_scope_push(r->t, wg__str_text(&name));
    wg__str_free(&name);
    return status;
}

/* The slot "<optimiser>/<param>/<slot>" of parameter `i`, zero at first. */
static wg_var slot(run *r, size_t i, const char *slot_name)
{
    wg_type type = wg_typeof(r->params[i]);
    wg__str name = wg__str_make(r->t->ctx);
    wg__full_name(r->t, (uint32_t)r->params[i].bits, &name);
    wg__str_addf(&name, "/%s", slot_name);
    wg_var v = wg__invalid();
    if (name.failed)
        wg__tape_no_memory(r->t);
    else
        v = wg_param(r->t, wg__str_text(&name), type.dtype, type.shape, wg_init_zeros());
    wg__str_free(&name);
    return v;
}

/* ---- gradients -------------------------------------------------------------------------------------- */

static void given_gradient(run *r, size_t i)
{
    wg_var given = r->common.grads[i];
    wg_type want = wg_typeof(r->params[i]), have = wg_typeof(given);
    r->grads[i] = wg_is_none(given) ? wg_full(r->t, want, 0) : given;
    if (on_tape(r, r->grads[i], "a gradient") && !wg_is_none(given) &&
        !wg__type_equal(&want, &have))
        wg__tape_fail(r->t, WG_SHAPE, "%s: grads[%zu] has another type than its param \"%s\"",
                      r->name, i, wg_name_of(r->params[i]));
}

static wg_status gradients(run *r, wg_var loss)
{
    if (!r->common.grads)
        return on_tape(r, loss, "loss") ? wg_grad(&loss, 1, NULL, r->params, r->n, r->grads)
                                        : wg_tape_status(r->t);
    for (size_t i = 0; i < r->n; i++)
        given_gradient(r, i);
    return wg_tape_status(r->t);
}

static void clip_and_decay(run *r)
{
    const wg_optim_common *c = &r->common;
    if (c->clip_norm > 0)
        wg_clip_by_global_norm(r->grads, r->n, c->clip_norm);
    if (c->clip_value > 0)
        wg_clip_by_value(r->grads, r->n, c->clip_value);
    for (size_t i = 0; i < r->n && c->weight_decay > 0; i++)
        r->grads[i] = wg_add(r->grads[i], wg_mul(wg_f(c->weight_decay), r->params[i]));
}

/* x in the dtype of parameter p. */
static wg_var as_param(wg_var x, wg_var p)
{
    wg_dtype dtype = wg_typeof(p).dtype;
    return wg_typeof(x).dtype == dtype ? x : wg_cast(x, dtype);
}

/* lr * x */
static wg_var scaled(const run *r, wg_var p, wg_var x)
{
    if (!r->common.lr_var.tape)
        return wg_mul(wg_f(r->common.lr), x);
    return wg_mul(as_param(r->common.lr_var, p), x);
}

/* ---- the common path ---------------------------------------------------------------------------------- */

enum { MAX_SHARED = 2 };

static wg_status record(run *r, wg_var loss, begin_fn begin, rule_fn rule)
{
    wg_var shared[MAX_SHARED];
    wg_status status = gradients(r, loss);
    if (status || (status = push_scope(r)))
        return status;
    clip_and_decay(r);
    r->shared = shared;
    if (begin)
        begin(r, shared);
    for (size_t i = 0; i < r->n && !wg_tape_status(r->t); i++)
        wg_assign(r->params[i], rule(r, i, r->params[i], r->grads[i]));
    wg_scope_pop(r->t);
    return wg_tape_status(r->t);
}

static wg_status optimise(run *r, wg_var loss, begin_fn begin, rule_fn rule)
{
    if (!r->t || wg_tape_status(r->t))
        return r->t ? wg_tape_status(r->t) : WG_INVALID;
    if (!params_ok(r) || !take_lr_var(r) || !common_ok(r))
        return wg_tape_status(r->t);
    r->grads = wg__calloc(r->t->ctx, r->n, sizeof *r->grads);
    if (!r->grads)
        return wg__tape_no_memory(r->t);
    wg_mark mark = wg_tape_mark(r->t);
    wg_status status = record(r, loss, begin, rule);
    if (status)
        wg_tape_rewind(r->t, mark); /* no half of a step; the tape keeps its first error */
    wg__free(r->t->ctx, r->grads);
    return status;
}

/* ---- sgd ------------------------------------------------------------------------------------------------ */

/* v = momentum v + g;  heavy ball: p - lr v;  nesterov: p - lr (g + momentum v) */
static wg_var sgd_rule(run *r, size_t i, wg_var p, wg_var g)
{
    const wg_sgd_options *o = r->options;
    if (o->momentum == 0)
        return wg_sub(p, scaled(r, p, g));
    wg_var old = slot(r, i, "velocity");
    wg_var v = wg_add(wg_mul(wg_f(o->momentum), old), g);
    wg_assign(old, v);
    wg_var step = o->nesterov ? wg_add(g, wg_mul(wg_f(o->momentum), v)) : v;
    return wg_sub(p, scaled(r, p, step));
}

wg_status wg_sgd(wg_tape *tape, wg_var loss, const wg_var *params, size_t nparams,
                 const wg_sgd_options *options)
{
    wg_sgd_options o = WG_SGD_DEFAULTS;
    if (options)
        memcpy(&o, options, options->struct_size < sizeof o ? options->struct_size : sizeof o);
    run r = {tape, "sgd", o.common, &o, params, nparams, NULL, NULL};
    const number numbers[] = {{"momentum", o.momentum, 0, 1e300}};
    if (tape && !numbers_ok(&r, numbers, 1))
        return wg_tape_status(tape);
    return optimise(&r, loss, NULL, sgd_rule);
}

/* ---- adam ----------------------------------------------------------------------------------------------- */

/* 1 - beta^t = -expm1(t log beta), in f64: exact enough when beta is close to 1. */
static wg_var correction(wg_var t, double beta)
{
    return wg_neg(wg_expm1(wg_mul(t, wg_f(log(beta)))));
}

/* The step counter and the two bias corrections are the same for all parameters. */
static void adam_begin(run *r, wg_var *shared)
{
    const wg_adam_options *o = r->options;
    wg_var step = wg_param(r->t, "step", WG_I64, WG_SCALAR, wg_init_zeros());
    wg_var next = wg_add(step, wg_i(1));
    wg_assign(step, next);
    wg_var t = wg_cast(next, WG_F64);
    shared[0] = correction(t, o->beta1);
    shared[1] = correction(t, o->beta2);
}

/* new = beta old + (1 - beta) x */
static wg_var average(wg_var old, double beta, wg_var x)
{
    wg_var new = wg_add(wg_mul(wg_f(beta), old), wg_mul(wg_f(1 - beta), x));
    wg_assign(old, new);
    return new;
}

/* p - lr (m^ / (sqrt(v^) + epsilon) + decoupled_decay p) */
static wg_var adam_rule(run *r, size_t i, wg_var p, wg_var g)
{
    const wg_adam_options *o = r->options;
    wg_var m = average(slot(r, i, "m"), o->beta1, g);
    wg_var v = average(slot(r, i, "v"), o->beta2, wg_square(g));
    wg_var m_hat = wg_div(m, as_param(r->shared[0], p));
    wg_var v_hat = wg_div(v, as_param(r->shared[1], p));
    wg_var step = wg_div(m_hat, wg_add(wg_sqrt(v_hat), wg_f(o->epsilon)));
    if (o->decoupled_decay != 0)
        step = wg_add(step, wg_mul(wg_f(o->decoupled_decay), p));
    return wg_sub(p, scaled(r, p, step));
}

wg_status wg_adam(wg_tape *tape, wg_var loss, const wg_var *params, size_t nparams,
                  const wg_adam_options *options)
{
    wg_adam_options o = WG_ADAM_DEFAULTS;
    if (options)
        memcpy(&o, options, options->struct_size < sizeof o ? options->struct_size : sizeof o);
    run r = {tape, "adam", o.common, &o, params, nparams, NULL, NULL};
    const double below_1 = nextafter(1, 0);
    const number numbers[] = {{"beta1", o.beta1, 0, below_1},
                              {"beta2", o.beta2, 0, below_1},
                              {"epsilon", o.epsilon, 0, 1e300},
                              {"decoupled_decay", o.decoupled_decay, 0, 1e300}};
    if (tape && !numbers_ok(&r, numbers, sizeof numbers / sizeof *numbers))
        return wg_tape_status(tape);
    return optimise(&r, loss, adam_begin, adam_rule);
}
