/* logistic: benign or malignant, by logistic regression with two priors on the weights.
 *
 * A Gaussian prior (L2, ridge) keeps all weights small; a Laplace prior (L1, lasso) drives most
 * of them to nothing. Every fifth row is held out, the columns are standardised by the others, and
 * all rows take part in each step. The optimum under the Gaussian prior must be the one that
 * Newton's method finds in another program. Data: examples/data/README.md. */
#include "common.h"

#include <math.h>
#include <stdlib.h>

enum { FEATURES = 30, NPARAMS = 2, FIFTH = 5 };

/* ---- the data ---------------------------------------------------------------------------------- */

typedef struct rows {
    size_t n;
    double *x, *y; /* [n][FEATURES], [n] */
} rows;

/* The rows that are held out, or the others. */
static rows take(const table *t, bool held_out)
{
    rows r = {0, calloc(t->rows, FEATURES * sizeof(double)), calloc(t->rows, sizeof(double))};
    need(r.x && r.y, "out of memory");
    for (size_t i = 0; i < t->rows; i++) {
        if ((i % FIFTH == FIFTH - 1) != held_out)
            continue;
        for (size_t j = 0; j < FEATURES; j++)
            r.x[r.n * FEATURES + j] = t->at[i * t->cols + j];
        r.y[r.n++] = t->at[i * t->cols + FEATURES];
    }
    return r;
}

/* Columns of both to mean 0 and deviation 1 by the numbers of `train`. */
static void standardise(rows *train, rows *test)
{
    for (size_t j = 0; j < FEATURES; j++) {
        double mean = 0, variance = 0;
        for (size_t i = 0; i < train->n; i++)
            mean += train->x[i * FEATURES + j] / (double)train->n;
        for (size_t i = 0; i < train->n; i++)
            variance += pow(train->x[i * FEATURES + j] - mean, 2) / (double)train->n;
        for (size_t i = 0; i < train->n + test->n; i++) {
            double *x =
                i < train->n ? &train->x[i * FEATURES] : &test->x[(i - train->n) * FEATURES];
            x[j] = (x[j] - mean) / sqrt(variance);
        }
    }
}

/* ---- the model --------------------------------------------------------------------------------- */

/* wg_normal_logpdf or wg_laplace_logpdf: (weights, location, scale) -> log densities. */
typedef wg_var (*prior_fn)(wg_var w, wg_var location, wg_var scale);

typedef struct model {
    wg_tape *tape;
    wg_var x, y, params[NPARAMS];
    wg_var loss, accuracy;
} model;

/* With z = x w + b the log likelihood of y in {0, 1} is y z - softplus(z). */
static model record(wg_ctx *ctx, size_t n, size_t ntrain, prior_fn prior, double scale)
{
    const int64_t N = (int64_t)n;
    model m = {.tape = wg_tape_new(ctx)};
    m.x = wg_input(m.tape, "x", WG_F64, wg_shape_symbol(ctx, WG_SHAPE(N, FEATURES), 0, "N"));
    m.y = wg_input(m.tape, "y", WG_F64, wg_shape_symbol(ctx, WG_SHAPE(N), 0, "N"));
    wg_var w = wg_param(m.tape, "w", WG_F64, WG_SHAPE(FEATURES), wg_init_zeros());
    wg_var b = wg_param(m.tape, "b", WG_F64, WG_SCALAR, wg_init_zeros());
    wg_var xw = wg_matmul(m.x, wg_reshape(w, WG_SHAPE(FEATURES, 1)));
    wg_var z = wg_name(wg_add(wg_reshape(xw, WG_SHAPE(-1)), b), "z");

    wg_var yz = wg_mul(m.y, z);
    wg_var log_likelihood = wg_mean(wg_sub(yz, wg_softplus(z)));
    wg_var log_prior = wg_sum(prior(w, wg_f(0), wg_f(scale)));
    wg_var log_density = wg_add(log_likelihood, wg_mul(wg_f(1.0 / (double)ntrain), log_prior));
    m.loss = wg_name(wg_neg(log_density), "loss");
    wg_var benign = wg_greater(m.y, wg_f(0.5));
    wg_var right = wg_equal(wg_greater(z, wg_f(0)), benign);
    m.accuracy = wg_name(wg_mean(wg_cast(right, WG_F64)), "accuracy");
    m.params[0] = w;
    m.params[1] = b;
    need_tape(m.tape);
    return m;
}

static wg_session *open_session(model *m, wg_var out, wg_state *state, const rows *r)
{
    wg_program *program = wg_compile(m->tape, &out, 1, NULL);
    need(program != NULL, "%s", wg_tape_error(m->tape));
    wg_session *s = wg_session_new(program, state);
    need(s != NULL, "%s", wg_state_error(state));
    wg_bind(s, m->x, r->x, r->n * FEATURES * sizeof *r->x);
    wg_bind(s, m->y, r->y, r->n * sizeof *r->y);
    need(wg_session_status(s) == WG_OK, "%s", wg_session_error(s));
    wg_program_free(program); /* the session keeps it */
    return s;
}

/* ---- fitting ----------------------------------------------------------------------------------- */

/* Nesterov's accelerated gradient. The step size falls to 0, so that weights come to rest where
 * the Laplace prior has its kink. Returns the loss. */
static double fit(const example *e, model *m, wg_state *state, const rows *train)
{
    wg_sgd_options nesterov = WG_SGD_DEFAULTS;
    wg_var grads[NPARAMS], rate = wg_input(m->tape, "rate", WG_F64, WG_SCALAR);
    wg_grad(&m->loss, 1, NULL, m->params, NPARAMS, grads);
    example_write_dot(e, m->tape, "logistic: the loss and its gradient", m->loss, m->params, grads,
                      NPARAMS);
    nesterov.momentum = 0.95;
    nesterov.nesterov = true;
    nesterov.common.lr_var = rate;
    nesterov.common.grads = grads;
    wg_sgd(m->tape, m->loss, m->params, NPARAMS, &nesterov);
    need_tape(m->tape);
    wg_session *s = open_session(m, m->loss, state, train);
    for (int k = 0; k < e->epochs; k++) {
        double now = 0.25 * (e->epochs - k) / e->epochs;
        wg_bind(s, rate, &now, sizeof now);
        need(wg_run(s) == WG_OK, "%s", wg_session_error(s));
        if (k % 100 == 0)
            example_progress(e, "step %d of %d: loss %.6f", k, e->epochs, wg_scalar(s, m->loss));
    }
    example_progress(e, "%s", "");
    double loss = wg_scalar(s, m->loss);
    wg_session_free(s);
    return loss;
}

static double evaluate(model *m, wg_state *state, const rows *r)
{
    wg_session *s = open_session(m, m->accuracy, state, r);
    need(wg_run(s) == WG_OK, "%s", wg_session_error(s));
    double accuracy = wg_scalar(s, m->accuracy);
    wg_session_free(s);
    return accuracy;
}

typedef struct result {
    double loss, accuracy, w[FEATURES], b;
    int small; /* weights below 1e-2 */
} result;

static result run(example *e, wg_ctx *ctx, prior_fn prior, double scale, const rows *train,
                  const rows *test)
{
    result r = {0};
    model learning = record(ctx, train->n, train->n, prior, scale);
    model testing = record(ctx, test->n, train->n, prior, scale);
    wg_state *state = wg_state_new(ctx, 0);
    need(state != NULL, "out of memory");
    /* Of the two models the last one, with the Laplace prior, stays in the files. */
    example_write_wg(e, learning.tape, "logistic", (wg_var[]){learning.loss, learning.accuracy}, 2);
    r.loss = fit(e, &learning, state, train);
    r.accuracy = evaluate(&testing, state, test);
    for (int j = 0; j < FEATURES; j++) {
        r.w[j] = wg_tensor_get(wg_state_get(state, "w"), j);
        r.small += fabs(r.w[j]) < 1e-2;
    }
    r.b = wg_tensor_get(wg_state_get(state, "b"), 0);
    wg_state_free(state);
    wg_tape_free(testing.tape);
    wg_tape_free(learning.tape);
    example_say(e, "          loss %.6f, weights below 0.01: %d of %d", r.loss, r.small, FEATURES);
    example_claim(e, r.accuracy >= 0.95, "held-out rows told right: %.1f%% (95%% or more)",
                  100 * r.accuracy);
    return r;
}

/* ---- what other programs find -------------------------------------------------------------------- */

/* The Gaussian prior, by Newton's method: the first weights, the bias, the loss.
 *
 *     import numpy as np; from scipy.stats import norm
 *     d = np.loadtxt("examples/data/breast_cancer.csv", delimiter=",", skiprows=1)
 *     held = np.arange(len(d)) % 5 == 4
 *     x, y = d[~held, :30], d[~held, 30]
 *     X = np.c_[(x - x.mean(0)) / x.std(0), np.ones(len(x))]
 *     w, P = np.zeros(31), np.diag(np.r_[np.ones(30), 0])
 *     for _ in range(50):
 *         p = 1 / (1 + np.exp(-X @ w))
 *         w -= np.linalg.solve(X.T @ (X * (p * (1 - p))[:, None]) + P, X.T @ (p - y) + P @ w)
 *     z = X @ w
 *     print(w, (np.logaddexp(0, z) - y * z).mean() - norm.logpdf(w[:30]).sum() / len(x))
 *
 * The Laplace prior of scale 0.5, by proximal gradient descent (FISTA): the loss, and how many
 * weights are zero.
 *
 *     b, w, v, t = .5, np.zeros(31), np.zeros(31), 1
 *     r = 1 / np.linalg.eigvalsh(X.T @ X / 4 / len(x))[-1]
 *     for _ in range(20000):
 *         n = v - r * X.T @ (1 / (1 + np.exp(-X @ v)) - y) / len(x)
 *         n[:30] = np.sign(n[:30]) * np.maximum(abs(n[:30]) - r / b / len(x), 0)
 *         s = (1 + (1 + 4 * t * t)**.5) / 2; v = n + (t - 1) / s * (n - w); w, t = n, s
 *     z = X @ w
 *     print((np.logaddexp(0, z) - y * z).mean() + (abs(w[:30]) / b + np.log(2 * b)).sum() / len(x))
 *     print((w[:30] == 0).sum())
 */
static const double newton_w[] = {-0.27357305, -0.20640864, -0.26443812};
static const double newton_b = 0.10221861, newton_loss = 0.13530915;
static const double lasso_loss = 0.11791017;

static double difference(const result *r)
{
    double worst = fmax(fabs(r->loss - newton_loss), fabs(r->b - newton_b));
    for (size_t j = 0; j < sizeof newton_w / sizeof *newton_w; j++)
        worst = fmax(worst, fabs(r->w[j] - newton_w[j]));
    return worst;
}

int main(int argc, char **argv)
{
    example e = {.data = EXAMPLE_DATA "/breast_cancer.csv", .epochs = 3000};
    example_parse(&e, argc, argv, "Logistic regression on Wisconsin breast cancer.");
    table t = table_read(e.data);
    need(t.cols == FEATURES + 1, "%s: not the breast cancer data", e.data);
    rows train = take(&t, false), test = take(&t, true);
    standardise(&train, &test);
    wg_ctx *ctx = wg_ctx_new(NULL);
    need(ctx != NULL, "out of memory");

    example_say(&e, "logistic: %zu rows to learn from, %zu to test with", train.n, test.n);
    example_say(&e, "Gaussian prior of scale 1 (L2)");
    result l2 = run(&e, ctx, wg_normal_logpdf, 1, &train, &test);
    example_claim(&e, difference(&l2) < 1e-4, "the optimum is Newton's: %.1e off (1e-4)",
                  difference(&l2));
    example_say(&e, "Laplace prior of scale 0.5 (L1)");
    result l1 = run(&e, ctx, wg_laplace_logpdf, 0.5, &train, &test);
    example_claim(&e, fabs(l1.loss - lasso_loss) < 1e-3,
                  "the optimum is that of proximal descent: %.1e off (1e-3)",
                  fabs(l1.loss - lasso_loss));
    example_claim(&e, l1.small > l2.small + 5, "its weights are sparse: %d against %d", l1.small,
                  l2.small);

    wg_ctx_free(ctx);
    free(t.at);
    free(train.x);
    free(train.y);
    free(test.x);
    free(test.y);
    return example_status(&e);
}
