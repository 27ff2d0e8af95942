/* Numeric derivatives of vector functions along a direction: central differences, extrapolated over
 * steps that halve (Richardson; the tableau and its error estimate are Ridders', "Accurate
 * computation of F'(x) and F'(x) F''(x)", 1982). The rounding noise of the function is measured by
 * a difference table (Hamming; Moré and Wild, "Estimating computational noise", 2011). One-sided
 * slopes that keep disagreeing as steps shrink are a kink. */
#include <math.h>
#include <string.h>

#include "check/checking.h"

enum {
    LEVELS = 28,   /* steps at most */
    COLUMNS = 5,   /* of the tableau */
    LEAST = 3,     /* steps at least */
    STUBBORN = 12, /* steps over which a kink shows no change */
    TABLES = 3,    /* of noise: rounding can look regular in one, hardly in all */
    SHRINKS = 6,   /* of their steps */
    TABLE = 25,    /* points of each */
    ORDER = 4,     /* of its differences; their variance is C(8, 4) times the noise's */
    ENTRIES = TABLE - ORDER
};
#define FIRST_STEP 0x1p-5
#define NOISE_STEP 1.1278313526271e-5 /* no short fraction: rounding errors must not repeat */
#define EPS 0x1p-52

bool wg__diff_open(wg__diff *d, wg__check *c, wg__eval *e, wg__watch *watch, const size_t *xs,
                   size_t nxs)
{
    memset(d, 0, sizeof *d);
    d->c = c;
    d->e = e;
    d->watch = watch;
    d->xs = xs;
    d->nxs = nxs;
    d->m = e->total;
    for (size_t j = 0; j < nxs; j++)
        d->n += c->leaves.data[xs[j]].count;
    size_t tableau = (2 * COLUMNS > TABLE ? 2 * COLUMNS : TABLE) * d->m;
    double *room = wg__check_take(c, d->n + 8 * d->m + tableau, sizeof *room);
    if (!room)
        return false;
    double **parts[] = {&d->at,    &d->noise, &d->slope, &d->error, &d->plus,
                        &d->minus, &d->gap,   &d->bent,  &d->row};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        *parts[i] = room + i * d->m;
    d->last = d->row + COLUMNS * d->m;
    d->along = room + 8 * d->m + tableau;
    return true;
}

/* ---- moving ---------------------------------------------------------------------------------- */

/* The size of an element, as far as steps are concerned. */
static double reach(const wg__leaf *l, size_t i) { return fmax(fabs(l->x[i]), 0.1 * l->size); }

void wg__diff_aim(wg__diff *d, wg__direction *to)
{
    double *at = d->along;
    memset(at, 0, d->n * sizeof *at);
    to->step = FIRST_STEP;
    for (size_t j = 0; j < d->nxs; j++) {
        const wg__leaf *l = &d->c->leaves.data[d->xs[j]];
        for (size_t i = 0; i < l->count && (to->leaf == j || to->leaf == SIZE_MAX); i++)
            if (to->element < 0) {
                at[i] = wg__check_signed(d->c) * reach(l, i);
            } else if ((size_t)to->element == i) {
                at[i] = 1;
                to->step = exp2(floor(log2(FIRST_STEP * reach(l, i))));
            }
        at += l->count;
    }
}

static bool bind_moved(wg__diff *d, wg__eval *e, const wg__direction *to, double h)
{
    const double *along = d->along;
    for (size_t j = 0; j < d->nxs; j++) {
        wg__leaf *l = &d->c->leaves.data[d->xs[j]];
        for (size_t i = 0; i < l->count; i++)
            l->move[i] = l->x[i] + h * along[i];
        if ((to->leaf == j || to->leaf == SIZE_MAX) && !wg__eval_bind(e, d->xs[j], l->move))
            return false;
        along += l->count;
    }
    return true;
}

static bool value_at(wg__diff *d, const wg__direction *to, double h, double *out)
{
    return bind_moved(d, d->e, to, h) && wg__eval_run(d->e, out);
}

/* Back to the point. */
static bool settle(wg__diff *d, const wg__direction *to)
{
    return bind_moved(d, d->e, to, 0) &&
           (!d->watch->places.len || bind_moved(d, &d->watch->e, to, 0));
}

/* Whether a kink may lie between the point and where a step leads. */
static bool look(wg__diff *d, const wg__direction *to, double h, bool *crossed)
{
    return !d->watch->places.len ||
           (bind_moved(d, &d->watch->e, to, h) && wg__watch_run(d->watch, crossed));
}

static bool all_finite(const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

/* ---- the point ------------------------------------------------------------------------------- */

/* Noise of output k from equidistant values. The upper quartile leaves out what a
 * kink among them does. */
static void measure(wg__diff *d, const double *table, size_t k)
{
    double v[TABLE];
    for (int i = 0; i < TABLE; i++)
        v[i] = table[(size_t)i * d->m + k];
    for (int order = 0; order < ORDER; order++)
        for (int i = 0; i + 1 < TABLE - order; i++)
            v[i] = v[i + 1] - v[i];
    for (int i = 0; i < ENTRIES; i++) { /* sorted, by insertion */
        double x = fabs(v[i]);
        int j = i;
        for (; j > 0 && v[j - 1] > x; j--)
            v[j] = v[j - 1];
        v[j] = x;
    }
    double noise = v[3 * ENTRIES / 4] / (1.15 * sqrt(70));
    d->noise[k] = fmax(d->noise[k], isfinite(noise) ? 4 * noise : 0);
}

/* The first step of a table that meets no kink, within reason. */
static bool choose_step(wg__diff *d, const wg__direction *to, double *step)
{
    bool crossed = true;
    *step = NOISE_STEP;
    for (int i = 0; i < SHRINKS && crossed; i++) {
        *step /= i ? 4 : 1;
        crossed = false;
        if (!look(d, to, TABLE * *step, &crossed))
            return false;
    }
    return settle(d, to);
}

/* To one side of the point: a kink there does not count. */
static bool measure_all(wg__diff *d)
{
    wg__direction all = {SIZE_MAX, -1, 0};
    double h;
    for (size_t k = 0; k < d->m; k++)
        d->noise[k] = EPS * fabs(d->at[k]);
    for (int t = 0; t < TABLES; t++) {
        wg__diff_aim(d, &all);
        if (!choose_step(d, &all, &h))
            return false;
        for (int i = 0; i < TABLE; i++)
            if (!value_at(d, &all, (i + 1) * h, d->row + (size_t)i * d->m))
                return false;
        for (size_t k = 0; k < d->m; k++)
            measure(d, d->row, k);
    }
    return true;
}

wg__found wg__diff_point(wg__diff *d)
{
    if (!wg__eval_point(d->e) || !wg__eval_run(d->e, d->at) || !wg__watch_point(d->watch))
        return WG__STOPPED;
    if (!all_finite(d->at, d->m))
        return WG__NOT_FINITE;
    return measure_all(d) && wg__eval_point(d->e) ? WG__FOUND : WG__STOPPED;
}

/* ---- the tableau ----------------------------------------------------------------------------- */

/* Of a central difference. */
static double noise_of(const wg__diff *d, size_t k, double h)
{
    return (d->noise[k] + EPS * fmax(fabs(d->plus[k]), fabs(d->minus[k]))) / h;
}

/* Keeps the better of two estimates with their errors. When they exclude each other something
 * other than smoothness is at work, such as a kink inside the larger steps: then the newer one,
 * of smaller steps, is kept, in doubt by all that lies between them. */
static void weigh(wg__diff *d, size_t k, double slope, double error, double h)
{
    double off = fabs(slope - d->slope[k]);
    bool apart = off > d->error[k] + error;
    if (!apart && error > d->error[k])
        return;
    d->slope[k] = slope;
    d->error[k] = apart ? off : error;
    d->step = h;
}

/* Next row for output k: level `n` (from 0) with step h. */
static void extend(wg__diff *d, size_t k, int n, double h)
{
    double *row = d->row + k * COLUMNS, *last = d->last + k * COLUMNS;
    double noise = noise_of(d, k, h), slope = NAN, least = INFINITY, weight = 1;
    memcpy(last, row, COLUMNS * sizeof *row);
    row[0] = (d->plus[k] - d->minus[k]) / (2 * h);
    for (int i = 1; i < COLUMNS && i <= n; i++) {
        weight *= 4;
        row[i] = row[i - 1] + (row[i - 1] - last[i - 1]) / (weight - 1);
        double error = fmax(fabs(row[i] - row[i - 1]), fabs(row[i] - last[i - 1])) + noise;
        if (error <= least) {
            least = error;
            slope = row[i];
        }
    }
    if (n > 0)
        weigh(d, k, slope, least, h);
}

/* Whether output k is not smooth as far as this step tells: one-sided slopes differ as much as
 * before, or the slope grows (a jump). */
static bool is_bent(wg__diff *d, size_t k, double h, double scale)
{
    const double *row = d->row + k * COLUMNS, *last = d->last + k * COLUMNS;
    double gap = fabs(d->plus[k] - 2 * d->at[k] + d->minus[k]) / h, before = d->gap[k];
    double floor = 20 * noise_of(d, k, h) + 1e-7 * scale, grown = fabs(row[0] - last[0]);
    d->gap[k] = gap;
    return (gap > floor && gap > 0.75 * before) || (grown > floor && grown > 0.4 * fabs(row[0]));
}

typedef struct progress {
    int levels; /* in the tableau */
    int sure;   /* levels in a row that are exact: one may be luck */
    bool bent, stubborn, done;
} progress;

/* One more step size, values in plus and minus. */
static void step(wg__diff *d, progress *p, double h)
{
    double scale = 0, rtol = d->c->job->o.rtol;
    bool good = true, noisy = true;
    p->bent = false;
    for (size_t k = 0; k < d->m; k++) {
        extend(d, k, p->levels, h);
        scale = fmax(scale, fabs(p->levels ? d->slope[k] : d->row[k * COLUMNS]));
    }
    for (size_t k = 0; k < d->m; k++) {
        double noise = noise_of(d, k, h);
        bool bent = is_bent(d, k, h, scale) && p->levels > 0;
        d->bent[k] = bent ? d->bent[k] + 1 : 0;
        p->stubborn |= d->bent[k] >= STUBBORN;
        bool exact = d->error[k] <= 0.05 * rtol * fabs(d->slope[k]) + 1e-10 * scale;
        p->bent |= bent;
        good = good && exact && !bent;
        noisy = noisy && (exact || noise > d->error[k]) && !bent;
    }
    p->levels++;
    p->sure = good ? p->sure + 1 : 0;
    p->done = p->levels >= LEAST && (p->sure > 1 || noisy || p->stubborn);
}

static void restart(wg__diff *d, progress *p)
{
    memset(p, 0, sizeof *p);
    for (size_t k = 0; k < d->m; k++) {
        d->error[k] = INFINITY;
        d->slope[k] = NAN;
        d->bent[k] = 0;
    }
}

/* Whether a step is still too long for the kinks around. */
static bool look_both(wg__diff *d, const wg__direction *to, double h, bool *crossed)
{
    *crossed = false;
    return look(d, to, h, crossed) && (*crossed || look(d, to, -h, crossed));
}

wg__found wg__diff_run(wg__diff *d, const wg__direction *to)
{
    progress p;
    double h = to->step;
    bool crossed = true;
    restart(d, &p);
    for (int level = 0; level < LEVELS && !p.done; level++, h /= 2) {
        if (crossed && !look_both(d, to, h, &crossed))
            return WG__STOPPED;
        if (crossed)
            continue;
        if (!value_at(d, to, h, d->plus) || !value_at(d, to, -h, d->minus))
            return WG__STOPPED;
        if (all_finite(d->plus, d->m) && all_finite(d->minus, d->m))
            step(d, &p, h);
        else
            restart(d, &p); /* the step leaves the domain */
    }
    if (!settle(d, to))
        return WG__STOPPED;
    return crossed ? WG__KINK : p.levels < LEAST ? WG__NOT_FINITE : p.bent ? WG__KINK : WG__FOUND;
}
