/* state_space: a series as an autoregression, and as one that is seen through noise.
 *
 *     x_t = a x_(t-1) + b x_(t-2) + N(0, s^2)        y_t = m + x_t + N(0, r^2)
 *
 * Without noise (r = 0) this is AR(2), and the likelihood of each y follows from the two before it. With
 * noise x is hidden, and the likelihood comes from the Kalman filter (Kalman 1960; Harvey 1989): a
 * recurrence over mean and covariance of the state (x_t, x_(t-1)) given what has been seen, here one
 * scan. Both are fitted by maximum likelihood to the logarithm of the yearly catch of lynx, by Newton's
 * method: gradient and second derivatives go through the scan, exactly. They are held against least
 * squares and against examples/state_space.py, where SciPy fits the same models without derivatives.
 * --data takes any CSV file whose last column is a series of positive numbers. Data:
 * examples/data/README.md. */
#include "common.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PARAMS = 5 };

/* ---- models ------------------------------------------------------------------------------------ */

typedef struct model {
    wg_tape *tape;
    wg_var y, params[MOST_PARAMS], loss;
    size_t nparams;
} model;

static wg_var scalar(model *m, const char *name, double first)
{
    wg_var p = wg_param(m->tape, name, WG_F64, WG_SCALAR, wg_init_constant(first));
    return m->params[m->nparams++] = p;
}

/* Rows row0 .. row1 - 1 and columns column0 .. column1 - 1. */
static wg_var part(wg_var x, int64_t row0, int64_t row1, int64_t column0, int64_t column1)
{
    return wg_slice(x, (int64_t[]){row0, column0}, 2, (int64_t[]){row1, column1}, 2);
}

/* What stands at [row, column], as rank 0. */
static wg_var element(wg_var x, int64_t row, int64_t column)
{
    return wg_reshape(part(x, row, row + 1, column, column + 1), WG_SCALAR);
}

static wg_var matrix(wg_var a, wg_var b, wg_var c, wg_var d)
{
    wg_var all[] = {a, b, c, d};
    for (int i = 0; i < 4; i++)
        all[i] = wg_reshape(all[i], WG_SHAPE(1));
    return wg_reshape(wg_concat(all, 4, 0), WG_SHAPE(2, 2));
}

/* One step of the filter. z [2, 1] and P [2, 2] are mean and covariance of the state before it moves;
 * F moves it, Q is the covariance of what pushes it. v is what y surprises with, f its variance. */
static wg_fn record_filter(model *m, wg_var F, wg_var Q, wg_var r2)
{
    wg_tape *body = wg_fn_begin(m->tape, "kalman");
    wg_var z = wg_fn_input(body, "z", WG_F64, WG_SHAPE(2, 1));
    wg_var P = wg_fn_input(body, "P", WG_F64, WG_SHAPE(2, 2));
    wg_var y = wg_fn_input(body, "y", WG_F64, WG_SCALAR);
    wg_var moved = wg_matmul(F, z);
    wg_var turned = wg_transpose(F), FP = wg_matmul(F, P);
    wg_var spread = wg_add(wg_matmul(FP, turned), Q);
    wg_var f = wg_name(wg_add(element(spread, 0, 0), r2), "f");
    wg_var v = wg_name(wg_sub(y, element(moved, 0, 0)), "v");
    wg_var gain = wg_name(wg_div(part(spread, 0, 2, 0, 1), f), "gain");
    wg_var next_z = wg_add(moved, wg_mul(gain, v));
    wg_var next_P = wg_sub(spread, wg_matmul(gain, part(spread, 0, 1, 0, 2)));
    wg_var density = wg_normal_logpdf(v, wg_f(0), wg_sqrt(f));
    return wg_fn_end(body, (wg_var[]){next_z, next_P, density}, 3);
}

/* The covariance that the state has before anything is seen (Box and Jenkins 1970):
 * g0 = s^2 (1 - b) / ((1 + b) ((1 - b)^2 - a^2)), g1 = g0 a / (1 - b). */
static wg_var stationary(wg_var a, wg_var b, wg_var s2)
{
    wg_var rest = wg_sub(wg_f(1), b);
    wg_var rest2 = wg_square(rest), a2 = wg_square(a), sum = wg_add(wg_f(1), b);
    wg_var below = wg_mul(sum, wg_sub(rest2, a2));
    wg_var g0 = wg_div(wg_mul(s2, rest), below), g1 = wg_div(wg_mul(g0, a), rest);
    return matrix(g0, g1, g1, g0);
}

/* Parameters: the mean, the two coefficients, the logarithms of s and r. */
static model record_hidden(wg_ctx *ctx, int64_t n)
{
    const double one = 1, nought = 0; /* one call a line: the graph is then the same everywhere */
    model m = {.tape = wg_tape_new(ctx)};
    wg_var outs[3], start[2];
    m.y = wg_input(m.tape, "y", WG_F64, wg_shape_symbol(ctx, WG_SHAPE(n), 0, "T"));
    wg_var mean = scalar(&m, "mean", 6), a = scalar(&m, "a", 1), b = scalar(&m, "b", -0.5);
    wg_var s2 = wg_exp(wg_mul(wg_f(2), scalar(&m, "log_s", -1)));
    wg_var r2 = wg_exp(wg_mul(wg_f(2), scalar(&m, "log_r", -1)));
    wg_var yes = wg_const(m.tape, WG_F64, WG_SCALAR, &one);
    wg_var no = wg_const(m.tape, WG_F64, WG_SCALAR, &nought);
    wg_var F = wg_name(matrix(a, b, yes, no), "F"), Q = wg_name(matrix(s2, no, no, no), "Q");
    start[0] = wg_const(m.tape, WG_F64, WG_SHAPE(2, 1), (double[]){0, 0});
    start[1] = wg_name(stationary(a, b, s2), "P0");
    wg_fn filter = record_filter(&m, F, Q, r2);
    wg_var y = wg_sub(m.y, mean);
    wg_scan(filter, start, 2, &y, 1, NULL, outs, 3);
    m.loss = wg_name(wg_neg(wg_sum(outs[2])), "loss");
    need_tape(m.tape);
    return m;
}

static wg_fn record_ar_step(model *m)
{
    const wg_var *p = m->params;
    wg_tape *body = wg_fn_begin(m->tape, "ar2");
    wg_var before = wg_fn_input(body, "before", WG_F64, WG_SCALAR);
    wg_var last = wg_fn_input(body, "last", WG_F64, WG_SCALAR);
    wg_var y = wg_fn_input(body, "y", WG_F64, WG_SCALAR);
    wg_var from_last = wg_mul(p[1], wg_sub(last, p[0]));
    wg_var from_before = wg_mul(p[2], wg_sub(before, p[0]));
    wg_var mean = wg_add(p[0], wg_add(from_last, from_before));
    return wg_fn_end(body, (wg_var[]){last, y, wg_normal_logpdf(y, mean, wg_exp(p[3]))}, 3);
}

/* Parameters: the mean, the two coefficients, the logarithm of the deviation. The first two values are
 * taken as given. */
static model record_ar(wg_ctx *ctx, int64_t n)
{
    model m = {.tape = wg_tape_new(ctx)};
    wg_var outs[3], start[2];
    m.y = wg_input(m.tape, "y", WG_F64, wg_shape_symbol(ctx, WG_SHAPE(n), 0, "T"));
    scalar(&m, "mean", 5);
    scalar(&m, "a", 0.5);
    scalar(&m, "b", 0);
    scalar(&m, "log_s", 0);
    wg_fn step = record_ar_step(&m);
    for (int i = 0; i < 2; i++)
        start[i] = wg_reshape(wg_section(m.y, WG_SHAPE(i), WG_SHAPE(1)), WG_SCALAR);
    wg_var rest = wg_slice(m.y, (int64_t[]){2}, 1, (int64_t[]){n}, 1);
    wg_scan(step, start, 2, &rest, 1, NULL, outs, 3);
    m.loss = wg_name(wg_neg(wg_sum(outs[2])), "loss");
    need_tape(m.tape);
    return m;
}

/* ---- fitting ----------------------------------------------------------------------------------- */

/* Newton's method needs second derivatives, which are graph as well: hessian[i][j] from the gradient
 * of the gradient, through the scan of the scan. */
typedef struct fit {
    double params[MOST_PARAMS], loss, slope; /* slope: the largest element of the gradient */
} fit;

/* Solves a x = b by elimination with pivots; a and b are used up. False when a is singular. */
static bool solve(size_t n, double a[MOST_PARAMS][MOST_PARAMS], double *b)
{
    for (size_t k = 0; k < n; k++) {
        size_t best = k;
        for (size_t i = k + 1; i < n; i++)
            best = fabs(a[i][k]) > fabs(a[best][k]) ? i : best;
        if (a[best][k] == 0)
            return false;
        for (size_t j = 0; j < n; j++) {
            double keep = a[k][j];
            a[k][j] = a[best][j];
            a[best][j] = keep;
        }
        double keep = b[k];
        b[k] = b[best];
        b[best] = keep;
        for (size_t i = 0; i < n; i++) {
            double factor = i == k ? 0 : a[i][k] / a[k][k];
            for (size_t j = k; j < n; j++)
                a[i][j] -= factor * a[k][j];
            b[i] -= factor * b[k];
        }
    }
    for (size_t k = 0; k < n; k++)
        b[k] /= a[k][k];
    return true;
}

/* Levenberg's damping: (H + damping I) step = -gradient; a step that does not help is taken back and
 * damped more. */
static fit maximise(const example *e, model *m, const double *y, size_t n, wg_state *state)
{
    wg_var grads[MOST_PARAMS], hessian[MOST_PARAMS][MOST_PARAMS];
    wg_var outs[1 + MOST_PARAMS + MOST_PARAMS * MOST_PARAMS];
    size_t nouts = 0, np = m->nparams;
    fit best = {.loss = INFINITY};
    double damping = 1, at[MOST_PARAMS], step[MOST_PARAMS] = {0};
    bool hidden = np == 5;
    if (hidden)
        example_write_wg(e, m->tape, "state_space", &m->loss, 1);
    wg_grad(&m->loss, 1, NULL, m->params, np, grads);
    if (hidden)
        example_write_dot(e, m->tape, "state_space: the likelihood and its gradient", m->loss,
                          m->params, grads, np);
    outs[nouts++] = m->loss;
    for (size_t i = 0; i < np; i++) {
        outs[nouts++] = grads[i];
        wg_grad(&grads[i], 1, NULL, m->params, np, hessian[i]);
        for (size_t j = 0; j < np; j++)
            outs[nouts++] = hessian[i][j];
    }
    need_tape(m->tape);
    wg_session *s = example_session(m->tape, outs, nouts, state, false);
    wg_bind(s, m->y, y, n * sizeof *y);
    for (size_t i = 0; i < np; i++)
        at[i] = wg_tensor_get(wg_state_get(state, wg_name_of(m->params[i])), 0);
    for (int k = 0; k < e->epochs && damping < 1e12; k++) {
        double a[MOST_PARAMS][MOST_PARAMS];
        for (size_t i = 0; i < np; i++)
            wg_state_set(state, wg_name_of(m->params[i]), WG_F64, WG_SCALAR,
                         (double[]){at[i] + step[i]});
        example_run(s);
        if (wg_scalar(s, m->loss) <= best.loss) {
            best = (fit){.loss = wg_scalar(s, m->loss)};
            for (size_t i = 0; i < np; i++) {
                best.params[i] = at[i] += step[i];
                best.slope = fmax(best.slope, fabs(wg_scalar(s, grads[i])));
            }
            damping /= 4;
        } else {
            damping *= 8;
            for (size_t i = 0; i < np; i++)
                wg_state_set(state, wg_name_of(m->params[i]), WG_F64, WG_SCALAR, &at[i]);
            example_run(s); /* derivatives of where it is */
        }
        for (size_t i = 0; i < np; i++) {
            step[i] = -wg_scalar(s, grads[i]);
            for (size_t j = 0; j < np; j++)
                a[i][j] = wg_scalar(s, hessian[i][j]) + (i == j ? damping : 0);
        }
        if (!solve(np, a, step))
            memset(step, 0, sizeof step);
    }
    wg_session_free(s);
    return best;
}

/* ---- what must come out ------------------------------------------------------------------------ */

/* Of the second model on the lynx, by examples/state_space.py. */
static const double SCIPY = 88.0345604907;

/* Coefficients of AR(2) by least squares on the same terms: the conditional likelihood has its maximum
 * there, so both must agree. */
static void least_squares(const double *y, size_t n, double *a, double *b)
{
    double m[MOST_PARAMS][MOST_PARAMS] = {{0}}, v[MOST_PARAMS] = {0};
    for (size_t t = 2; t < n; t++) {
        const double row[] = {1, y[t - 1], y[t - 2]};
        for (int i = 0; i < 3; i++) {
            v[i] += row[i] * y[t];
            for (int j = 0; j < 3; j++)
                m[i][j] += row[i] * row[j];
        }
    }
    need(solve(3, m, v), "the series is too regular for AR(2)");
    *a = v[1];
    *b = v[2];
}

static double *read_series(const char *path, size_t *n)
{
    table t = table_read(path);
    double *y = calloc(t.rows, sizeof *y);
    need(y != NULL, "out of memory");
    need(t.rows > 20, "%s: too short", path);
    for (size_t i = 0; i < t.rows; i++) {
        double x = t.at[i * t.cols + t.cols - 1];
        need(x > 0, "%s: row %zu: %g is not positive", path, i + 1, x);
        y[i] = log(x);
    }
    *n = t.rows;
    free(t.at);
    return y;
}

static void say(const example *e, const char *name, const fit *f, int nparams)
{
    const double *p = f->params;
    example_say(e, "          %s: mean %.6f, coefficients %.6f and %.6f, deviation %.6f", name,
                p[0], p[1], p[2], exp(p[3]));
    if (nparams == 5)
        example_say(e, "              of the noise %.6f", exp(p[4]));
    example_say(e, "              log likelihood %.6f", -f->loss);
}

int main(int argc, char **argv)
{
    static const char lynx[] = EXAMPLE_DATA "/lynx.csv";
    example e = {.data = lynx, .epochs = 60};
    example_parse(&e, argc, argv,
                  "Fits AR(2), plain and seen through noise, by maximum likelihood.");
    size_t n;
    double *y = read_series(e.data, &n), a, b;
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg_state *state = wg_state_new(ctx, 1);
    example_say(&e, "state_space: %zu years", n);

    wg_state *other = wg_state_new(ctx, 1); /* the models' parameters have the same names */
    need(state && other, "out of memory");
    model ar = record_ar(ctx, (int64_t)n), hidden = record_hidden(ctx, (int64_t)n);
    fit plain = maximise(&e, &ar, y, n, state), noisy = maximise(&e, &hidden, y, n, other);
    say(&e, "AR(2)", &plain, 4);
    say(&e, "seen through noise", &noisy, 5);
    example_claim(&e, plain.slope < 1e-6 && noisy.slope < 1e-6,
                  "both are maxima: gradients %.0e and %.0e (1e-06)", plain.slope, noisy.slope);
    least_squares(y, n, &a, &b);
    double worst = fmax(fabs(plain.params[1] - a), fabs(plain.params[2] - b));
    example_claim(&e, worst < 1e-8, "AR(2) is that of least squares: %.0e apart (1e-08)", worst);
    if (strcmp(e.data, lynx) == 0)
        example_claim(&e, fabs(noisy.loss - SCIPY) < 1e-6,
                      "the other's log likelihood is SciPy's: %.0e apart (1e-06)",
                      fabs(noisy.loss - SCIPY));
    wg_tape_free(hidden.tape);
    wg_tape_free(ar.tape);
    wg_state_free(state);
    wg_state_free(other);
    wg_ctx_free(ctx);
    free(y);
    return example_status(&e);
}
