/* wg_gradcheck: recorded derivatives against differences. A subject is a function of leaves with
 * its VJP and JVP recorded; the same code checks the outputs (first order), then their VJP and
 * their JVP as functions (second order). Each subject has slots, one per direction; a slot counts
 * as seen once a point was found where the differences decide. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "check/check_subject.h"

enum { POINTS = 8, SMALL = 256, NEARER = 6, MOST_DIRECTIONS = 4096 };
/* Points at most; n * m up to which two are looked at. */

/* ---- the state of a check -------------------------------------------------------------------- */

void *wg__check_take(wg__check *c, size_t count, size_t size)
{
    void *block = wg__calloc(c->ctx, count, size);
    if (block && wg__vec_push(c->ctx, &c->blocks, block))
        return block;
    wg__free(c->ctx, block);
    c->status = WG_NO_MEMORY;
    return NULL;
}

void wg__check_end(wg__check *c, wg_check_verdict verdict, const char *format, ...)
{
    static const int weight[] = {0, 2, 1, 3}; /* by verdict */
    wg_check_report *r = c->report;
    if (weight[verdict] <= weight[r->verdict] && r->message[0])
        return;
    if (weight[verdict] > weight[r->verdict])
        r->verdict = verdict;
    va_list args;
    va_start(args, format);
    vsnprintf(r->message, sizeof r->message, format, args);
    va_end(args);
}

void wg__check_tape_error(wg__check *c, const char *what)
{
    wg_status status = wg_tape_status(c->tape);
    if (!status || status == WG_NO_MEMORY || status == WG_CANCELLED)
        c->status = status ? status : WG_NO_MEMORY;
    else
        wg__check_end(c, WG_CHECK_ERROR, "%s: %s", what, wg_tape_error(c->tape));
}
/* ---- a point --------------------------------------------------------------------------------- */

static bool all_seen(const wg__subject *s)
{
    for (size_t i = 0; i < s->nslots; i++)
        if (!s->slots[i].seen)
            return false;
    return true;
}

static bool start_point(wg__subject *s)
{
    if (!wg__eval_point(&s->v) || !wg__eval_point(&s->j))
        return false;
    wg__check_trace(s->c, s->d.at, s->m);
    for (size_t k = 0; k < s->m; k++) {
        s->value = fmax(s->value, fabs(s->d.at[k]));
        s->noise = fmax(s->noise, s->d.noise[k]);
    }
    for (int q = 0; q < s->nc; q++) {
        double *cot = s->cot + (size_t)q * s->m;
        for (size_t k = 0; k < s->m; k++)
            cot[k] = wg__check_signed(s->c);
        if (!wg__subject_vjp(s, cot, s->other))
            return false;
        memcpy(s->vjp + (size_t)q * s->n, s->other, s->n * sizeof *s->vjp);
        wg__check_trace(s->c, s->other, s->n);
    }
    return true;
}

/* Runs the function at the point. False: it fails there. */
static bool try_values(wg__subject *s)
{
    s->c->trying = true;
    bool good = wg__eval_point(&s->f) && wg__eval_run(&s->f, s->d.at);
    s->c->trying = false;
    return good;
}

/* A point at which the function can be had, if there is one. */
static void sample(wg__subject *s)
{
    wg__check *c = s->c;
    for (bool again = true; again && !c->status;) {
        wg__check_sample(c);
        bool good = try_values(s), nan = false;
        for (size_t k = 0; k < s->m && good; k++)
            nan |= isnan(s->d.at[k]) != 0;
        again = (!good && !c->zeros && wg__check_discrete(c)) || (nan && wg__check_next_range(c));
        c->zeros |= !good;
    }
}

/* The slope per relative step at the point, moved nearer to 0; 0 when it cannot be had. */
static double slope_near(wg__subject *s, double nearer, double *value)
{
    wg__check *c = s->c;
    double sum = 0;
    for (size_t i = 0; i < c->leaves.len; i++)
        for (size_t k = 0; k < c->leaves.data[i].count && c->leaves.data[i].target; k++)
            c->leaves.data[i].x[k] *= nearer;
    for (size_t k = 0; k < s->m; k++)
        s->cot[k] = wg__check_signed(c);
    c->trying = true;
    bool good = wg__eval_point(&s->v) && wg__subject_vjp(s, s->cot, s->other);
    c->trying = false;
    const double *dx = s->other;
    for (size_t j = 0; j < s->nxs && good; j++)
        for (size_t k = 0; k < s->xsizes[j]; k++)
            sum += fabs(*dx++) * c->leaves.data[s->xs[j]].size;
    *value = 0;
    for (size_t k = 0; k < s->m && good; k++)
        *value = fmax(*value, fabs(s->d.at[k]));
    return good && isfinite(sum) && isfinite(*value) ? sum : 0;
}

/* How steep the function gets: where it is flat, its derivative has rounding errors of that size.
 * What lies outside the points that are drawn counts within limits. */
static void find_steepest(wg__subject *s)
{
    bool inside = s->c->job->domain || s->c->job->o.sample || s->c->range;
    double limit = fmax(s->value, s->steepest), value;
    for (int i = 0; i < 2 * NEARER && !s->c->status; i++) {
        sample(s);
        double slope = slope_near(s, inside || i % 2 == 0 ? 1 : exp2(-i / 2), &value);
        limit = i % 2 ? limit : fmax(limit, fmax(slope, value));
        s->steepest = fmax(s->steepest, slope);
    }
    s->steepest = fmin(s->steepest, 1e4 * limit);
}

/* False: the check is over. */
static bool check_point(wg__subject *s, bool again)
{
    wg__check *c = s->c;
    sample(s);
    wg__found found = wg__diff_point(&s->d);
    if (found == WG__NOT_FINITE)
        wg__compare_values(s);
    if (found != WG__FOUND)
        return found != WG__STOPPED && !wg__check_stopped(c);
    if (!start_point(s))
        return false;
    for (size_t i = 0; i < s->nslots && !wg__check_stopped(c); i++)
        if ((again || !s->slots[i].seen) && !wg__compare_along(s, &s->slots[i]))
            return false;
    return !wg__check_stopped(c) && wg__compare_identities(s);
}

static void tell_unseen(const wg__subject *s)
{
    for (size_t i = 0; i < s->nslots; i++) {
        const wg__direction *to = &s->slots[i].to;
        if (s->slots[i].seen)
            continue;
        const char *name =
            to->leaf == SIZE_MAX ? "all operands" : s->c->leaves.data[s->xs[to->leaf]].name;
        wg__check_end(s->c, WG_CHECK_UNRESOLVED,
                      "%s: at %d points no differences that decide for %s, element %lld (%lld "
                      "kinks)",
                      s->labels->order, POINTS, name, (long long)to->element,
                      (long long)s->c->report->kinks);
        return;
    }
}

static void check_points(wg__subject *s)
{
    bool small = s->n * s->m <= SMALL || wg__check_discrete(s->c);
    find_steepest(s);
    for (int p = 0; p < POINTS; p++) {
        bool again = p == 1 && small; /* a slot seen twice must be right twice */
        if (p > small && all_seen(s))
            return;
        if (s->c->status || !check_point(s, again) || s->c->failed)
            return;
    }
    tell_unseen(s);
}

/* ---- a subject ------------------------------------------------------------------------------- */

static bool make_room(wg__subject *s)
{
    wg__check *c = s->c;
    size_t nc = s->nc = s->m ? c->job->o.directions : 0;
    s->cot = wg__check_take(c, (nc + 1) * s->m, sizeof(double));
    s->vjp = wg__check_take(c, (nc + 1) * s->n, sizeof(double));
    s->jvp = wg__check_take(c, s->j.total, sizeof(double));
    s->other = wg__check_take(c, s->v.total, sizeof(double));
    return s->cot && s->vjp && s->jvp && s->other;
}

/* Records derivatives and checks them; the subject's leaves and answers stay for the next order. */
static void check_subject(wg__subject *s)
{
    wg__check *c = s->c;
    if (!wg__subject_record(s) || !wg__subject_slots(s))
        return;
    s->watch.ctx = c->ctx;
    if (wg__eval_open(&s->f, c, s->ys, s->ysizes, s->nys, true) &&
        wg__eval_open(&s->v, c, s->dxs, s->xsizes, s->nv, false) &&
        wg__eval_open(&s->j, c, s->tys, s->ysizes, s->nj, false) && make_room(s) &&
        wg__watch_open(&s->watch, c, s->ys, s->nys, s->dxs, s->xs, s->nxs) &&
        wg__diff_open(&s->d, c, &s->f, &s->watch, s->xs, s->nxs))
        check_points(s);
    wg__eval_close(&s->f);
    wg__eval_close(&s->v);
    wg__eval_close(&s->j);
    wg__watch_close(&s->watch);
}

/* The size that a derivative of `of` would have naturally: what is far below is rounding. */
static double natural(const wg__subject *of, double size)
{
    double least = INFINITY;
    for (size_t j = 0; j < of->nxs; j++)
        least = fmin(least, of->c->leaves.data[of->xs[j]].size);
    return size / least;
}

/* The answers of `of` as functions of its targets and of what they are linear in. */
static void check_second(const wg__subject *of, const wg_var *answers, size_t n,
                         const size_t *linear, size_t nlinear, const wg__labels *labels)
{
    wg__check *c = of->c;
    wg__subject s = {.c = c, .labels = labels};
    s.value = natural(of, of->value);
    s.steepest = natural(of, of->steepest);
    wg_var *ys = wg__check_take(c, n, sizeof *ys);
    s.xs = wg__check_take(c, of->nxs + nlinear, sizeof *s.xs);
    if (!ys || !s.xs)
        return;
    for (size_t i = 0; i < n; i++)
        if (!wg_is_none(answers[i]))
            ys[s.nys++] = answers[i];
    memcpy(s.xs, of->xs, of->nxs * sizeof *s.xs);
    memcpy(s.xs + of->nxs, linear, nlinear * sizeof *s.xs);
    s.ys = ys;
    s.nxs = of->nxs + nlinear;
    s.few = of->nxs;
    if (s.nys)
        check_subject(&s);
}

static void check_all(wg__check *c)
{
    static const wg__labels first = {"first order", "vjp", "jvp", "vjp.jvp"},
                            of_vjp = {"vjp, second order", "second", "second", "second vjp.jvp"},
                            of_jvp = {"jvp, second order", "second of jvp", "second of jvp",
                                      "second vjp.jvp of jvp"};
    wg__subject s = {.c = c, .labels = &first, .ys = c->ys, .nys = c->nys};
    s.xs = wg__check_take(c, c->leaves.len, sizeof *s.xs);
    for (size_t i = 0; i < c->leaves.len && s.xs; i++)
        if (c->leaves.data[i].target)
            s.xs[s.nxs++] = i;
    s.few = s.nxs;
    if (!s.xs)
        return;
    if (!s.nxs) {
        wg__check_end(c, WG_CHECK_PASSED, "nothing to differentiate");
        return;
    }
    check_subject(&s);
    if (c->job->o.order > 1 && !wg__check_stopped(c) && !c->failed)
        check_second(&s, s.dxs, s.nxs, s.cs, s.nys, &of_vjp);
    if (c->job->o.order > 1 && !wg__check_stopped(c) && !c->failed)
        check_second(&s, s.tys, s.nys, s.ts, s.nxs, &of_jvp);
}

/* ---- entry points ---------------------------------------------------------------------------- */

static wg_status check_outputs(wg_ctx *ctx, wg__check_job *job, wg_check_report *report)
{
    wg__check c = {.ctx = ctx, .job = job, .report = report, .random = job->o.seed};
    job->aliased = false;
    bool ready = wg__check_copy(&c);
    if (ready && (!job->alias || job->aliased))
        check_all(&c);
    else if (!c.status && !c.nys && report->verdict == WG_CHECK_PASSED)
        wg__check_end(&c, WG_CHECK_PASSED, "nothing to differentiate");
    wg_tape_free(c.tape);
    for (size_t i = 0; i < c.blocks.len; i++)
        wg__free(ctx, c.blocks.data[i]);
    wg__vec_free(ctx, &c.blocks);
    wg__vec_free(ctx, &c.leaves);
    return c.status;
}

static bool is_float(const wg_tape *t, wg_var v)
{
    uint32_t id = wg__find(t, v);
    return id != WG__NONE && wg_dtype_is_float(wg__type_at(t, id)->dtype);
}

/* Beside a large output a small one is lost in the tolerance: each is looked at alone, too. */
wg_status wg__check_graph(wg_ctx *ctx, wg__check_job *job, wg_check_report *report)
{
    wg__check_job one = *job;
    wg_status status = check_outputs(ctx, job, report);
    one.nouts = 1;
    for (size_t i = 0; i < job->nouts && job->alone && job->nouts > 1 && !status; i++) {
        one.outs = &job->outs[i];
        if (report->verdict == WG_CHECK_PASSED && is_float(job->tape, job->outs[i]))
            status = check_outputs(ctx, &one, report);
    }
    return status;
}

bool wg__check_options_ok(const wg_gradcheck_options *o, wg_check_report *report)
{
    const char *wrong = o->directions > MOST_DIRECTIONS            ? "too many directions"
                        : !isfinite(o->rtol) || !isfinite(o->atol) ? "tolerances must be finite"
                                                                   : NULL;
    if (!wrong)
        return true;
    report->verdict = WG_CHECK_ERROR;
    snprintf(report->message, sizeof report->message, "options: %s", wrong);
    return false;
}

void wg__check_defaults(wg_gradcheck_options *to, const wg_gradcheck_options *from)
{
    wg_gradcheck_options o = WG_GRADCHECK_DEFAULTS;
    if (from)
        memcpy(&o, from, from->struct_size < sizeof o ? from->struct_size : sizeof o);
    o.struct_size = sizeof o;
    o.rtol = o.rtol == 0 || o.rtol < 0 ? 1e-6 : o.rtol;
    o.order = o.order == 1 ? 1 : 2;
    o.exhaustive = o.exhaustive > 0 ? o.exhaustive : 64;
    o.directions = o.directions > 0 ? o.directions : 4;
    *to = o;
}

wg_status wg_gradcheck(const wg_tape *tape, const wg_var *outs, size_t nouts, const wg_var *xs,
                       size_t nxs, const wg_gradcheck_options *options, wg_check_report *report)
{
    wg_check_report ignored;
    wg__check_job job = {.tape = tape,
                         .outs = outs,
                         .nouts = nouts,
                         .xs = xs,
                         .nxs = nxs,
                         .alone = true,
                         .ranges = true};
    report = report ? report : &ignored;
    memset(report, 0, sizeof *report);
    if (!tape)
        return WG_INVALID;
    wg__check_defaults(&job.o, options);
    if (!wg__check_options_ok(&job.o, report))
        return WG_INVALID;
    return wg__check_graph(tape->ctx, &job, report);
}
