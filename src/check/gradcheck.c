/* wg_gradcheck: recorded derivatives against differences. A subject is a function of leaves with
 * its VJP and JVP recorded; the same code checks the outputs (first order), then their VJP and
 * their JVP as functions (second order). Each subject has slots, one per direction; a slot counts
 * as seen once a point was found where the differences decide. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "check/check_subject.h"

enum { POINTS = 8, SMALL = 256 }; /* points at most; n * m up to which two are looked at */

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

/* False: the check is over. */
static bool check_point(wg__subject *s, bool again)
{
    wg__check *c = s->c;
    wg__check_sample(c);
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
    bool small = s->n * s->m <= SMALL;
    for (int p = 0; p < POINTS; p++) {
        bool again = p == 1 && small; /* a slot seen twice must be right twice */
        if (p > small && all_seen(s))
            return;
        if (!check_point(s, again) || s->c->failed)
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
    if (wg__eval_open(&s->f, c, s->ys, s->ysizes, s->nys, true) &&
        wg__eval_open(&s->v, c, s->dxs, s->xsizes, s->nv, false) &&
        wg__eval_open(&s->j, c, s->tys, s->ysizes, s->nj, false) && make_room(s) &&
        wg__diff_open(&s->d, c, &s->f, s->xs, s->nxs))
        check_points(s);
    wg__eval_close(&s->f);
    wg__eval_close(&s->v);
    wg__eval_close(&s->j);
}

/* The size that a derivative of `of` would have naturally: what is far below is rounding. */
static double natural(const wg__subject *of)
{
    double least = INFINITY;
    for (size_t j = 0; j < of->nxs; j++)
        least = fmin(least, of->c->leaves.data[of->xs[j]].size);
    return of->value / least;
}

/* The answers of `of` as functions of its targets and of what they are linear in. */
static void check_second(const wg__subject *of, const wg_var *answers, size_t n,
                         const size_t *linear, size_t nlinear, const wg__labels *labels)
{
    wg__check *c = of->c;
    wg__subject s = {.c = c, .labels = labels, .value = natural(of)};
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

wg_status wg__check_graph(wg_ctx *ctx, wg__check_job *job, wg_check_report *report)
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

void wg__check_defaults(wg_gradcheck_options *to, const wg_gradcheck_options *from)
{
    wg_gradcheck_options o = WG_GRADCHECK_DEFAULTS;
    if (from)
        memcpy(&o, from, from->struct_size < sizeof o ? from->struct_size : sizeof o);
    o.struct_size = sizeof o;
    o.rtol = o.rtol > 0 ? o.rtol : 1e-6;
    o.order = o.order == 1 ? 1 : 2;
    o.exhaustive = o.exhaustive > 0 ? o.exhaustive : 64;
    o.directions = o.directions > 0 ? o.directions : 4;
    *to = o;
}

wg_status wg_gradcheck(const wg_tape *tape, const wg_var *outs, size_t nouts, const wg_var *xs,
                       size_t nxs, const wg_gradcheck_options *options, wg_check_report *report)
{
    wg_check_report ignored;
    wg__check_job job = {.tape = tape, .outs = outs, .nouts = nouts, .xs = xs, .nxs = nxs};
    report = report ? report : &ignored;
    memset(report, 0, sizeof *report);
    if (!tape)
        return WG_INVALID;
    wg__check_defaults(&job.o, options);
    return wg__check_graph(tape->ctx, &job, report);
}
