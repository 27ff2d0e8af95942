/* mixture: the waiting times of Old Faithful as a mixture of two Gaussians.
 *
 *     p(t) = pi N(t; mu0, sigma0) + (1 - pi) N(t; mu1, sigma1)
 *
 * fitted by maximum likelihood and by maximum a posteriori, in f64, with pi = sigmoid(logit) and
 * sigma = exp(log_sigma) so that all five parameters are free. The gradient of the graph must be
 * that of the closed form to 1e-12, and the fit that of the EM algorithm, which another program
 * has computed. Before that, a slip of the pen that has been seen in course notes is caught: a
 * wrong d/dsigma of the normal density. Data: examples/data/README.md. */
#include "common.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NPARAMS = 3, NTHETA = 5 };

/* The five numbers behind the params, in their order: logit, mu[2], log_sigma[2]. */
typedef struct theta {
    double logit, mu[2], log_sigma[2];
} theta;

static const char *const names[NPARAMS] = {"logit", "mu", "log_sigma"};
static const theta start = {0, {50, 80}, {1.6, 1.6}};

/* Priors of the MAP fit, normal all of them: mean and deviation. */
static const double prior[NPARAMS][2] = {{0, 1}, {70, 10}, {1.6094379124341003, 0.1}};

/* ---- the model --------------------------------------------------------------------------------- */

typedef struct model {
    wg_tape *tape;
    wg_var x, params[NPARAMS];
    wg_var log_likelihood, loss, grads[NPARAMS];
} model;

/* sum_n log sum_k exp(log pi_k + log N(x_n; mu_k, sigma_k)); log pi_k is -softplus(-+logit). */
static wg_var log_likelihood(model *m)
{
    const double sign[2] = {-1, 1};
    wg_scope_push(m->tape, "likelihood");
    wg_var signs = wg_const(m->tape, WG_F64, WG_SHAPE(2), sign);
    wg_var log_pi = wg_neg(wg_softplus(wg_mul(signs, m->params[0])));
    wg_var sigma = wg_name(wg_exp(m->params[2]), "sigma");
    wg_var column = wg_reshape(m->x, WG_SHAPE(-1, 1));
    wg_var joint = wg_add(log_pi, wg_normal_logpdf(column, m->params[1], sigma));
    wg_var sum = wg_sum(wg_logsumexp_with(joint, WG_AXES(1), false));
    wg_scope_pop(m->tape);
    return wg_name(sum, "log_likelihood");
}

static wg_var log_prior(model *m)
{
    wg_var sum = wg_f(0);
    wg_scope_push(m->tape, "prior");
    for (int i = 0; i < NPARAMS; i++) {
        wg_var p = wg_normal_logpdf(m->params[i], wg_f(prior[i][0]), wg_f(prior[i][1]));
        sum = i ? wg_add(sum, wg_sum(p)) : wg_sum(p);
    }
    wg_scope_pop(m->tape);
    return wg_name(sum, "log_prior");
}

static model record(const example *e, wg_ctx *ctx, size_t n, bool map)
{
    const wg_shape shapes[NPARAMS] = {WG_SCALAR, WG_SHAPE(2), WG_SHAPE(2)};
    model m = {.tape = wg_tape_new(ctx)};
    m.x = wg_input(m.tape, "x", WG_F64, wg_shape_symbol(ctx, WG_SHAPE((int64_t)n), 0, "N"));
    for (int i = 0; i < NPARAMS; i++)
        m.params[i] = wg_param(m.tape, names[i], WG_F64, shapes[i], wg_init_zeros());
    m.log_likelihood = log_likelihood(&m);
    wg_var total = map ? wg_add(m.log_likelihood, log_prior(&m)) : m.log_likelihood;
    m.loss = wg_name(wg_neg(total), "loss");
    if (map)
        example_write_wg(e, m.tape, "mixture", &m.loss, 1);
    wg_grad(&m.loss, 1, NULL, m.params, NPARAMS, m.grads);
    if (map)
        example_write_dot(e, m.tape, "mixture: the loss and its gradient", m.loss, m.params,
                          m.grads, NPARAMS);
    need_tape(m.tape);
    return m;
}

static void set_theta(wg_state *state, const theta *t)
{
    wg_state_set(state, names[0], WG_F64, WG_SCALAR, &t->logit);
    wg_state_set(state, names[1], WG_F64, WG_SHAPE(2), t->mu);
    wg_state_set(state, names[2], WG_F64, WG_SHAPE(2), t->log_sigma);
    need(wg_state_status(state) == WG_OK, "%s", wg_state_error(state));
}

static theta get_theta(const wg_state *state)
{
    theta t;
    memcpy(&t.logit, wg_tensor_data(wg_state_get(state, names[0])), sizeof t.logit);
    memcpy(t.mu, wg_tensor_data(wg_state_get(state, names[1])), sizeof t.mu);
    memcpy(t.log_sigma, wg_tensor_data(wg_state_get(state, names[2])), sizeof t.log_sigma);
    return t;
}

static wg_session *open_session(model *m, const wg_var *outs, size_t nouts, wg_state *state,
                                const double *x, size_t n)
{
    wg_program *program = wg_compile(m->tape, outs, nouts, NULL);
    need(program != NULL, "%s", wg_tape_error(m->tape));
    wg_session *s = wg_session_new(program, state);
    need(s != NULL, "%s", wg_state_error(state));
    need(wg_bind(s, m->x, x, n * sizeof *x) == WG_OK, "%s", wg_session_error(s));
    wg_program_free(program); /* the session keeps it */
    return s;
}

/* ---- the closed form ---------------------------------------------------------------------------- */

static double log_normal(double x, double mean, double std)
{
    double z = (x - mean) / std;
    return -z * z / 2 - log(std) - 0.91893853320467274178;
}

/* The responsibility of component 0 for x: its share of the density there. */
static double responsibility(double x, const theta *t)
{
    double a = log_normal(x, t->mu[0], exp(t->log_sigma[0]));
    double b = log_normal(x, t->mu[1], exp(t->log_sigma[1]));
    return 1 / (1 + exp(b - a - t->logit));
}

/* d loss / d theta by hand. With r_k the responsibilities and z_k = (x - mu_k) / sigma_k:
 *     d log p / d logit       = r_0 - pi
 *     d log p / d mu_k        = r_k z_k / sigma_k
 *     d log p / d log sigma_k = r_k (z_k^2 - 1)
 * and d log N(v; m, s) / d v = (m - v) / s^2 for the priors. */
static theta closed_form(const double *x, size_t n, const theta *t, bool map)
{
    theta g = {0, {0, 0}, {0, 0}};
    const double pi = 1 / (1 + exp(-t->logit));
    for (size_t i = 0; i < n; i++) {
        const double r0 = responsibility(x[i], t), r[2] = {r0, 1 - r0};
        g.logit -= r0 - pi;
        for (int k = 0; k < 2; k++) {
            double sigma = exp(t->log_sigma[k]), z = (x[i] - t->mu[k]) / sigma;
            g.mu[k] -= r[k] * z / sigma;
            g.log_sigma[k] -= r[k] * (z * z - 1);
        }
    }
    g.logit += map ? (t->logit - prior[0][0]) / (prior[0][1] * prior[0][1]) : 0;
    for (int k = 0; map && k < 2; k++) {
        g.mu[k] += (t->mu[k] - prior[1][0]) / (prior[1][1] * prior[1][1]);
        g.log_sigma[k] += (t->log_sigma[k] - prior[2][0]) / (prior[2][1] * prior[2][1]);
    }
    return g;
}

/* |a - b| over the larger of the two gradients' elements. */
static double relative(const theta *a, const theta *b)
{
    double p[NTHETA], q[NTHETA], difference = 0, size = 0;
    memcpy(p, a, sizeof p);
    memcpy(q, b, sizeof q);
    for (int i = 0; i < NTHETA; i++) {
        difference = fmax(difference, fabs(p[i] - q[i]) / fmax(fabs(p[i]), fabs(q[i])));
        size = fmax(size, fabs(q[i]));
    }
    return size > 0 ? difference : NAN;
}

static void check_gradient(example *e, model *m, wg_state *state, const double *x, size_t n,
                           bool map)
{
    enum { POINTS = 10 };
    wg_session *s = open_session(m, m->grads, NPARAMS, state, x, n);
    uint64_t rng = 1;
    double worst = 0;
    for (int i = 0; i < POINTS; i++) {
        theta t = start, g;
        t.logit += random_normal(&rng);
        for (int k = 0; k < 2; k++) {
            t.mu[k] += 3 * random_normal(&rng);
            t.log_sigma[k] += 0.3 * random_normal(&rng);
        }
        set_theta(state, &t);
        need(wg_run(s) == WG_OK, "%s", wg_session_error(s));
        g.logit = wg_scalar(s, m->grads[0]);
        memcpy(g.mu, wg_output(s, m->grads[1], NULL, NULL), sizeof g.mu);
        memcpy(g.log_sigma, wg_output(s, m->grads[2], NULL, NULL), sizeof g.log_sigma);
        theta by_hand = closed_form(x, n, &t, map);
        double error = relative(&g, &by_hand);
        worst = error > worst || isnan(error) ? error : worst;
    }
    example_claim(e, worst <= 1e-12, "gradient against the closed form, %d points: %.1e (1e-12)",
                  POINTS, worst);
    wg_session_free(s);
}

/* ---- fitting ----------------------------------------------------------------------------------- */

/* Adam on all data at once; the step size falls from 0.1 to 0 in a straight line. */
static void fit(const example *e, model *m, wg_state *state, const double *x, size_t n)
{
    wg_adam_options adam = WG_ADAM_DEFAULTS;
    wg_var rate = wg_input(m->tape, "rate", WG_F64, WG_SCALAR);
    adam.common.lr_var = rate;
    adam.common.grads = m->grads;
    wg_adam(m->tape, m->loss, m->params, NPARAMS, &adam);
    need_tape(m->tape);
    wg_session *s = open_session(m, &m->loss, 1, state, x, n);
    for (int k = 0; k < e->epochs; k++) {
        double now = 0.1 * (e->epochs - k) / e->epochs;
        wg_bind(s, rate, &now, sizeof now);
        need(wg_run(s) == WG_OK, "%s", wg_session_error(s));
        if (k % 100 == 0)
            example_progress(e, "step %d of %d: loss %.6f", k, e->epochs, wg_scalar(s, m->loss));
    }
    example_progress(e, "%s", "");
    example_say(e, "          after %d steps: -log density %.4f", e->epochs, wg_scalar(s, m->loss));
    wg_session_free(s);
}

/* What EM finds (maximum likelihood) and Nelder and Mead's simplex (MAP):
 *
 *     import numpy as np
 *     x = np.loadtxt("examples/data/faithful.csv", delimiter=",", skiprows=1)[:, 1]
 *     p, m, s = .5, np.array([50., 80.]), np.array([5., 5.])
 *     for _ in range(2000):
 *         q = np.array([p, 1 - p]) * np.exp(-((x[:, None] - m) / s)**2 / 2) / s
 *         r = q / q.sum(1, keepdims=True); k = r.sum(0)
 *         p = k[0] / len(x); m = r.T @ x / k; s = np.sqrt((r * (x[:, None] - m)**2).sum(0) / k)
 *
 *     from scipy.optimize import minimize; from scipy.stats import norm
 *     def f(t):
 *         a, m, s = t[0], t[1:3], np.exp(t[3:])
 *         l = np.logaddexp(-np.logaddexp(0, -a) + norm.logpdf(x, m[0], s[0]),
 *                          -np.logaddexp(0, a) + norm.logpdf(x, m[1], s[1])).sum()
 *         return -l - (norm.logpdf(m, 70, 10).sum() + norm.logpdf(a)
 *                      + norm.logpdf(t[3:], np.log(5), .1).sum())
 *     minimize(f, [0, 50, 80, 1.6, 1.6], method="Nelder-Mead",
 *              options=dict(xatol=1e-10, fatol=1e-12, maxiter=20000, maxfev=20000))
 */
static const double expected[2][NTHETA] = {
    {0.360886, 54.614856, 80.091069, 5.871219, 5.867734},
    {0.363035, 54.646841, 80.084922, 5.547434, 5.647803},
};

static void check_fit(example *e, const wg_state *state, bool map)
{
    const theta t = get_theta(state);
    const double found[NTHETA] = {1 / (1 + exp(-t.logit)), t.mu[0], t.mu[1], exp(t.log_sigma[0]),
                                  exp(t.log_sigma[1])};
    double worst = 0;
    for (int i = 0; i < NTHETA; i++)
        worst = fmax(worst, fabs(found[i] / expected[map][i] - 1));
    example_say(e, "          pi %.4f   mu %.3f %.3f   sigma %.3f %.3f", found[0], found[1],
                found[2], found[3], found[4]);
    example_claim(e, worst < 1e-4, "agrees with %s to 4 digits", map ? "a simplex search" : "EM");
}

static void run(example *e, wg_ctx *ctx, const double *x, size_t n, bool map)
{
    example_say(e, map ? "maximum a posteriori" : "maximum likelihood");
    model m = record(e, ctx, n, map);
    wg_state *state = wg_state_new(ctx, 0);
    need(state != NULL, "out of memory");
    check_gradient(e, &m, state, x, n, map);
    set_theta(state, &start);
    fit(e, &m, state, x, n);
    check_fit(e, state, map);
    wg_state_free(state);
    wg_tape_free(m.tape);
}

/* ---- the slip ---------------------------------------------------------------------------------- */

/* N(x; mu, sigma) as an op of this program. data: x, mu, sigma, the density. */
static void density(size_t n, char *const *data, const ptrdiff_t *stride, const double *attrs,
                    void *user)
{
    (void)attrs, (void)user;
    for (size_t i = 0; i < n; i++) {
        double a[3], y;
        for (int k = 0; k < 3; k++)
            memcpy(&a[k], data[k] + (ptrdiff_t)i * stride[k], sizeof a[k]);
        y = exp(log_normal(a[0], a[1], a[2]));
        memcpy(data[3] + (ptrdiff_t)i * stride[3], &y, sizeof y);
    }
}

/* With p the density and d = (x - mu) / sigma^2:
 *     dp/dx = -p d,  dp/dmu = p d,  dp/dsigma = p (sigma d^2 - 1 / sigma).
 * `last` stands for the 1 / sigma. */
static wg_var partial(const wg_rule *r, size_t operand, wg_var last)
{
    wg_var p = r->out[0], sigma = r->in[2];
    wg_var d = wg_mul(wg_sub(r->in[0], r->in[1]), wg_reciprocal(wg_square(sigma)));
    if (operand < 2)
        return wg_mul(operand == 0 ? wg_neg(p) : p, d);
    return wg_mul(p, wg_sub(wg_mul(sigma, wg_square(d)), last));
}

static wg_var right_partial(wg_rule *r, size_t operand)
{
    return partial(r, operand, wg_reciprocal(r->in[2]));
}

/* d/dsigma of the factor 1 / (sigma sqrt(2 pi)) is -1 / (sigma^2 sqrt(2 pi)); taking out p, which
 * holds that factor already, leaves 1 / sigma, not this. */
static wg_var slipped_partial(wg_rule *r, size_t operand)
{
    const double sqrt_2_pi = 2.50662827463100050242;
    return partial(r, operand, wg_reciprocal(wg_mul(wg_f(sqrt_2_pi), wg_square(r->in[2]))));
}

static const wg_kernel kernels[] = {{.struct_size = WG_KERNEL, .types = "ddd->d", .loop = density}};
static const wg_op_check domain = {
    .struct_size = WG_OP_CHECK, .low = {-2, -2, 0.5}, .high = {2, 2, 2}};
static const wg_op ops[] = {
    {.struct_size = WG_OP,
     .sig = "normal_density(x: float, mu: float, sigma: float) -> p",
     .doc = "The density of the normal distribution.",
     .flags = WG_OP_ELEMENTWISE,
     .partial = right_partial,
     .kernels = kernels,
     .nkernels = 1,
     .check = &domain},
    {.struct_size = WG_OP,
     .sig = "normal_density_slipped(x: float, mu: float, sigma: float) -> p",
     .doc = "The same with a wrong derivative.",
     .flags = WG_OP_ELEMENTWISE,
     .partial = slipped_partial,
     .kernels = kernels,
     .nkernels = 1,
     .check = &domain},
};

static wg_check_report check_op(wg_ctx *ctx, const wg_op *op)
{
    wg_check_report report;
    const char *error = "";
    need(wg_register(ctx, op, &error) == WG_OK, "%s", error);
    const char *name = wg_op_name(ctx, wg_op_at(ctx, wg_op_count(ctx) - 1));
    need(wg_gradcheck_op(ctx, name, NULL, &report) == WG_OK, "%s: %s", name, report.message);
    return report;
}

static void catch_the_slip(example *e, wg_ctx *ctx)
{
    example_say(e, "d/dsigma of the normal density");
    wg_check_report right = check_op(ctx, &ops[0]), slipped = check_op(ctx, &ops[1]);
    example_claim(e, right.verdict == WG_CHECK_PASSED,
                  "p ((x - mu)^2 / sigma^3 - 1 / sigma) passes");
    example_claim(e, slipped.verdict == WG_CHECK_FAILED,
                  "p ((x - mu)^2 / sigma^3 - 1 / (sigma^2 sqrt(2 pi))) is caught");
    example_say(e, "          worst: %s of %s is %.4f by differences, %.4f by the rule",
                slipped.what, slipped.operand, slipped.expected, slipped.actual);
}

int main(int argc, char **argv)
{
    example e = {.data = EXAMPLE_DATA "/faithful.csv", .epochs = 2000};
    example_parse(&e, argc, argv, "Fits a mixture of two Gaussians to Old Faithful.");
    table t = table_read(e.data);
    need(t.cols == 2, "%s: not the waiting times", e.data);
    double *x = calloc(t.rows, sizeof *x);
    wg_ctx *ctx = wg_ctx_new(NULL);
    need(x && ctx, "out of memory");
    for (size_t i = 0; i < t.rows; i++)
        x[i] = t.at[2 * i + 1];

    example_say(&e, "mixture: %zu waiting times", t.rows);
    catch_the_slip(&e, ctx);
    run(&e, ctx, x, t.rows, false);
    run(&e, ctx, x, t.rows, true);
    wg_ctx_free(ctx);
    free(x);
    free(t.at);
    return example_status(&e);
}
