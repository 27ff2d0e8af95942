/* Points: values of the leaves, drawn from the seed or given by the caller. Drawn values are short
 * binary fractions, so that moving one by a step is exact. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "check/checking.h"

enum { TRIES = 200 };  /* to get clear of kinks */
#define CLEARANCE 0.01 /* how clear */

/* splitmix64 (Steele et al. 2014). */
uint64_t wg__check_random(wg__check *c)
{
    uint64_t z = c->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

double wg__check_unit(wg__check *c) { return (double)(wg__check_random(c) >> 44) * 0x1p-20; }

double wg__check_signed(wg__check *c)
{
    double u = 2 * wg__check_unit(c) - 1;
    return u < 0 ? u - 0.5 : u + 0.5;
}

static bool is_discrete(const wg__leaf *l)
{
    return l->origin != WG__NONE && !wg_dtype_is_float(l->type.dtype);
}

bool wg__check_discrete(const wg__check *c)
{
    for (size_t i = 0; i < c->leaves.len; i++)
        if (is_discrete(&c->leaves.data[i]))
            return true;
    return false;
}

static const double ranges[][2] = {{-2, 2}, {0.1, 2}, {-0.5, 0.5}, {0.1, 0.9}, {1.1, 3}};

bool wg__check_next_range(wg__check *c)
{
    size_t n = sizeof ranges / sizeof *ranges;
    if (!c->job->ranges || c->job->o.sample || c->range == n)
        return false;
    bool more = ++c->range < n;
    for (size_t i = 0; i < c->leaves.len; i++) {
        wg__leaf *l = &c->leaves.data[i];
        l->low = l->origin == WG__NONE ? l->low : ranges[more ? c->range : 0][0];
        l->high = l->origin == WG__NONE ? l->high : ranges[more ? c->range : 0][1];
    }
    if (more)
        snprintf(c->report->message, sizeof c->report->message, "values drawn from [%g, %g]",
                 ranges[c->range][0], ranges[c->range][1]);
    else
        c->report->message[0] = '\0';
    return more;
}

/* 0 or 1, and at the next point the other. */
static void draw_discrete(wg__check *c, wg__leaf *l)
{
    bool zero = c->zeros || c->job->o.sample;
    for (size_t i = 0; i < l->count; i++)
        l->x[i] = zero ? 0 : c->turn % 2 ? 1 - l->x[i] : wg__check_unit(c) < 0.5;
}

static void draw_float(wg__check *c, wg__leaf *l)
{
    for (size_t i = 0; i < l->count; i++)
        l->x[i] = l->origin == WG__NONE ? wg__check_signed(c)
                                        : l->low + (l->high - l->low) * wg__check_unit(c);
}

static void draw(wg__check *c, wg__leaf *l, bool again)
{
    if (!is_discrete(l))
        draw_float(c, l);
    else if (again)
        return;
    else
        draw_discrete(c, l);
    if (l->origin != WG__NONE && c->job->o.sample)
        c->job->o.sample(c->job->o.user, l->name, l->count, l->x);
    for (size_t i = 0; i < l->count && l->native; i++)
        wg__store(l->type.dtype, l->native, (int64_t)i, nearbyint(l->x[i]));
    double sum = 0;
    for (size_t i = 0; i < l->count; i++)
        sum += l->x[i] * l->x[i];
    l->size = l->count ? sqrt(sum / (double)l->count) : 0;
    l->size = l->size > 0 && isfinite(l->size) ? l->size : 1;
}

/* ---- kinks that the op tells ----------------------------------------------------------------- */

/* Index into a value of shape `s` for element `i` of the shape that it is broadcast to. */
int64_t wg__check_index(const wg_shape *s, const wg_shape *to, int64_t i)
{
    int64_t at = 0, step = 1;
    for (int k = to->rank - 1; k >= 0; k--) {
        int j = k - (to->rank - s->rank);
        int64_t here = i % to->dim[k];
        i /= to->dim[k];
        if (j < 0)
            continue;
        at += s->dim[j] == 1 ? 0 : here * step;
        step *= s->dim[j];
    }
    return at;
}

/* The original's leaves, as operands that broadcast together to the first output. */
static size_t operands_of(const wg__check *c, const wg__leaf **operand, wg_shape *to)
{
    size_t n = 0;
    *to = WG_SCALAR;
    for (size_t i = 0; i < c->leaves.len; i++) {
        const wg__leaf *l = &c->leaves.data[i];
        if (l->origin == WG__NONE)
            continue;
        if (n == WG__MAX_OPERANDS || !wg_shape_broadcast(*to, l->type.shape, to))
            return 0;
        operand[n++] = l;
    }
    return n && wg_shape_equal(*to, wg_typeof(c->ys[0]).shape) ? n : 0;
}

static bool near_kink(const wg__check *c)
{
    const wg_op_check *domain = c->job->domain;
    const wg__leaf *operand[WG__MAX_OPERANDS];
    wg_shape to;
    if (!domain || !domain->kink || c->job->aliased || c->job->o.sample || !c->nys)
        return false;
    size_t n = operands_of(c, operand, &to);
    int64_t count = n ? wg_shape_count(to) : 0;
    for (int64_t i = 0; i < count; i++) {
        double x[WG__MAX_OPERANDS];
        for (size_t k = 0; k < n; k++)
            x[k] = operand[k]->x[wg__check_index(&operand[k]->type.shape, &to, i)];
        if (domain->kink(x) < CLEARANCE)
            return true;
    }
    return false;
}

void wg__check_sample(wg__check *c)
{
    for (int try = 0; try < TRIES; try++) {
        for (size_t i = 0; i < c->leaves.len; i++)
            draw(c, &c->leaves.data[i], try > 0);
        if (!near_kink(c))
            break;
        c->report->kinks++;
    }
    c->turn++;
}
