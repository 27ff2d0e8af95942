/* Comparisons: recorded derivatives with differences, with each other, and with what must hold of
 * any derivative. Each is a claim; the report tells of the worst. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "check/check_subject.h"

/* ---- one comparison -------------------------------------------------------------------------- */

/* What a claim rests on, the more telling last. */
enum { IDENTITY = 1, OF_JVP, OF_VJP, OF_ELEMENT };

typedef struct claim {
    int rank;
    const char *what;
    size_t leaf;     /* SIZE_MAX: all */
    int64_t element; /* -1: a direction */
    double expected, actual, tolerance, step;
} claim;

static void tell_worst(wg__check *c, const claim *q, double error)
{
    wg_check_report *r = c->report;
    const wg__leaf *l = q->leaf == SIZE_MAX ? NULL : &c->leaves.data[q->leaf];
    snprintf(r->what, sizeof r->what, "%s", q->what);
    snprintf(r->operand, sizeof r->operand, "%s", l ? l->name : "(all)");
    r->element = q->element;
    r->expected = q->expected;
    r->actual = q->actual;
    r->error = error;
    r->step = q->step;
    if (c->rank)
        snprintf(r->message, sizeof r->message, "%s of %s%s", q->what, r->operand,
                 isfinite(q->actual) ? "" : ": not finite");
}

/* Of wrong claims the worst of the most telling rank is told, else the worst of all. */
static void judge(wg__check *c, const claim *q)
{
    wg_check_report *r = c->report;
    double off = fabs(q->expected - q->actual), error = off == 0 ? 0 : off / q->tolerance;
    error = isnan(error) ? INFINITY : error;
    int rank = error <= 1 ? 0 : q->rank;
    if (rank && r->verdict != WG_CHECK_ERROR)
        r->verdict = WG_CHECK_FAILED;
    c->failed |= rank > 0;
    bool first = r->compared++ == 0;
    if (!first && (rank < c->rank || (rank == c->rank && error <= r->error)))
        return;
    c->rank = rank;
    tell_worst(c, q, error);
}

static double dot(const double *a, const double *b, size_t n, double *size)
{
    double sum = 0;
    *size = 0;
    for (size_t i = 0; i < n; i++) {
        sum += a[i] * b[i];
        *size += fabs(a[i] * b[i]);
    }
    return sum;
}

#define ROUNDING 1e-12 /* of a derivative, of what it is elsewhere: 1 - tanh(x)^2 has it of 1 */

/* What is too small to tell from zero, for a direction whose relative size is `size`. */
static double floor_of(const wg__subject *s, double size)
{
    double atol = s->c->job->o.atol;
    return atol > 0
               ? atol
               : (1e-9 * s->most + 1e-13 * s->value + ROUNDING * s->steepest + 100 * s->noise) /
                     size;
}

/* ---- comparing along a direction ------------------------------------------------------------- */

static double size_of(const wg__look *t) { return t->to.element < 0 ? 1 : t->to.step * 32; }

/* Whether differences with this error cannot tell a slope of this size, among others of `scale`,
 * from a wrong one. */
static bool poor(const wg__subject *s, const wg__look *t, double error, double size, double scale)
{
    double known = fmax(1e-4 * size + 1e-5 * scale, 1e-10 * s->value / size_of(t));
    return 2 * error > fmax(known, s->c->job->o.atol);
}

/* VJP against JVP, cotangent q. */
static void compare_both(wg__subject *s, const wg__look *t, int q, double least)
{
    double terms, rounding;
    size_t leaf = t->to.leaf == SIZE_MAX ? SIZE_MAX : s->xs[t->to.leaf];
    claim k = {IDENTITY, s->labels->both, leaf, t->to.element, 0, 0, 0, 0};
    k.expected = dot(s->cot + (size_t)q * s->m, s->jvp, s->m, &terms);
    k.actual = dot(s->vjp + (size_t)q * s->n, s->d.along, s->n, &rounding);
    k.tolerance = 1e-9 * (terms + rounding) + least;
    judge(s->c, &k);
}

/* Cotangent q. False when the differences are too poor to decide. */
static bool compare_vjp(wg__subject *s, const wg__look *t, int q)
{
    const double *cot = s->cot + (size_t)q * s->m, *vjp = s->vjp + (size_t)q * s->n;
    double sum, terms, error, rounding, rtol = s->c->job->o.rtol;
    size_t leaf = t->to.leaf == SIZE_MAX ? SIZE_MAX : s->xs[t->to.leaf];
    sum = dot(cot, s->d.slope, s->m, &terms);
    dot(cot, s->d.error, s->m, &error);
    claim k = {t->to.element < 0 ? OF_VJP : OF_ELEMENT,
               s->labels->vjp,
               leaf,
               t->to.element,
               sum,
               0,
               0,
               s->d.step};
    k.actual = dot(vjp, s->d.along, s->n, &rounding);
    s->most = fmax(s->most, fabs(sum) * size_of(t));
    double size = fmax(fabs(sum), isfinite(k.actual) ? fabs(k.actual) : 0);
    double least = floor_of(s, size_of(t)) + 1e-12 * (terms + (isfinite(rounding) ? rounding : 0));
    k.tolerance = rtol * size + 4 * error + least;
    if (poor(s, t, error, size, s->most / size_of(t)) && isfinite(k.actual))
        return false;
    judge(s->c, &k);
    compare_both(s, t, q, least);
    return true;
}

/* The JVP along the direction, output by output. */
static bool compare_jvp(wg__subject *s, const wg__look *t)
{
    double scale = 0, rtol = s->c->job->o.rtol, atol = s->c->job->o.atol;
    double least =
        atol > 0 ? atol : (1e-13 * s->value + ROUNDING * s->steepest + 100 * s->noise) / size_of(t);
    bool decided = true;
    for (size_t k = 0; k < s->m; k++)
        scale = fmax(scale, fabs(s->d.slope[k]));
    least += atol > 0 ? 0 : 1e-9 * scale;
    for (size_t k = 0; k < s->m; k++) {
        claim q = {OF_JVP,
                   s->labels->jvp,
                   t->to.leaf == SIZE_MAX ? SIZE_MAX : s->xs[t->to.leaf],
                   t->to.element,
                   s->d.slope[k],
                   s->jvp[k],
                   0,
                   s->d.step};
        double size = fmax(fabs(q.expected), isfinite(q.actual) ? fabs(q.actual) : 0);
        q.tolerance = rtol * size + 4 * s->d.error[k] + least;
        if (poor(s, t, s->d.error[k], size, scale) && isfinite(q.actual))
            decided = false;
        else
            judge(s->c, &q);
    }
    return decided;
}

/* The JVP program along d->along. */
static bool run_jvp(wg__subject *s)
{
    const double *along = s->d.along;
    for (size_t j = 0; j < s->nxs; j++) {
        if (!wg__eval_bind(&s->j, s->ts[j], along))
            return false;
        along += s->xsizes[j];
    }
    if (!wg__eval_run(&s->j, s->jvp))
        return false;
    wg__check_trace(s->c, s->jvp, s->m);
    for (size_t k = 0; k < s->m && s->nj > s->nys; k++) { /* one operand at a time: they add up */
        double sum = 0, terms = 0;
        for (size_t j = 1; j <= s->nxs; j++) {
            sum += s->jvp[j * s->m + k];
            terms += fabs(s->jvp[j * s->m + k]);
        }
        claim q = {IDENTITY, "jvp by operand", SIZE_MAX, (int64_t)k, s->jvp[k], sum, 0, 0};
        q.tolerance = 1e-9 * terms + floor_of(s, 1);
        judge(s->c, &q);
    }
    return true;
}

bool wg__compare_along(wg__subject *s, wg__look *t)
{
    wg__check *c = s->c;
    wg__diff_aim(&s->d, &t->to);
    if (c->blind) {
        t->seen = run_jvp(s);
        for (int q = 0; q < s->nc && t->seen; q++)
            compare_both(s, t, q, floor_of(s, size_of(t)));
        return t->seen;
    }
    wg__found found = wg__diff_run(&s->d, &t->to);
    c->report->kinks += found == WG__KINK;
    if (found != WG__FOUND)
        return found != WG__STOPPED;
    if (!run_jvp(s))
        return false;
    t->seen = compare_jvp(s, t);
    for (int q = 0; q < s->nc; q++)
        t->seen = compare_vjp(s, t, q) && t->seen;
    return true;
}

/* ---- identities at a point ------------------------------------------------------------------- */

bool wg__subject_vjp(wg__subject *s, const double *cot, double *out)
{
    for (size_t i = 0; i < s->nys; i++) {
        if (!wg__eval_bind(&s->v, s->cs[i], cot))
            return false;
        cot += s->ysizes[i];
    }
    return wg__eval_run(&s->v, out);
}

/* out[i] = expected[i] * factor, element by element; tolerance relative to the largest terms. */
static void same(wg__subject *s, const char *what, const double *expected, const double *out,
                 double factor, double rtol)
{
    size_t at = 0;
    for (size_t j = 0; j < s->nxs; j++) {
        const wg__leaf *l = &s->c->leaves.data[s->xs[j]];
        for (size_t i = 0; i < l->count; i++, at++) {
            claim q = {IDENTITY, what, s->xs[j], (int64_t)i, factor * expected[at], out[at], 0, 0};
            double reach = fmax(fabs(l->x[i]), 0.1 * l->size);
            q.tolerance = rtol ? rtol * fabs(q.expected) + floor_of(s, reach) : 0;
            judge(s->c, &q);
        }
    }
}

/* Zero gives zero, exactly; a c1 + b c2 gives a v1 + b v2. */
static bool check_linear(wg__subject *s)
{
    const double a = 0.75, b = -1.5;
    double *mix = s->cot + (size_t)s->nc * s->m, *sum = s->vjp + (size_t)s->nc * s->n;
    memset(mix, 0, s->m * sizeof *mix);
    memset(sum, 0, s->n * sizeof *sum);
    if (!wg__subject_vjp(s, mix, s->other))
        return false;
    same(s, "zero cotangent", sum, s->other, 1, 0);
    for (size_t k = 0; k < s->m && s->nc > 1; k++)
        mix[k] = a * s->cot[k] + b * s->cot[s->m + k];
    for (size_t i = 0; i < s->n && s->nc > 1; i++)
        sum[i] = a * s->vjp[i] + b * s->vjp[s->n + i];
    if (s->nc < 2)
        return true;
    if (!wg__subject_vjp(s, mix, s->other))
        return false;
    same(s, "linearity", sum, s->other, 1, 1e-9);
    return true;
}

static bool check_twins(wg__subject *s)
{
    if (s->nv == s->nxs)
        return true;
    if (!wg__subject_vjp(s, s->cot, s->other))
        return false;
    same(s, "vjp by operand", s->vjp, s->other + s->n, 1, 1e-9);
    same(s, "accumulation", s->vjp, s->other + 2 * s->n, 2, 1e-9);
    return true;
}

bool wg__compare_identities(wg__subject *s) { return check_linear(s) && check_twins(s); }

/* An infinite value decides nothing, one that is not a number fails. */
void wg__compare_values(wg__subject *s)
{
    for (size_t k = 0; k < s->m; k++)
        if (isnan(s->d.at[k])) {
            const char *what = s->ys == s->c->ys ? "value" : s->labels->vjp;
            claim q = {OF_VJP, what, SIZE_MAX, (int64_t)k, s->d.at[k], s->d.at[k], 0, 0};
            judge(s->c, &q);
            snprintf(s->c->report->message, sizeof s->c->report->message,
                     "%s: the value itself is NaN (element %zu)", s->labels->order, k);
            return;
        }
}
