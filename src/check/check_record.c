/* Recording what a subject's check needs: leaves for cotangents and tangents, the derivatives, the
 * directions to look at. */
#include <string.h>

#include <wengert/grad.h>
#include "check/check_subject.h"

/* ---- recording ------------------------------------------------------------------------------- */

static size_t count_of(wg_var v) { return (size_t)wg_shape_count(wg_typeof(v).shape); }

static bool make_leaves(wg__subject *s)
{
    wg__check *c = s->c;
    s->cs = wg__check_take(c, s->nys, sizeof *s->cs);
    s->ts = wg__check_take(c, s->nxs, sizeof *s->ts);
    s->ysizes = wg__check_take(c, s->nys * (s->nxs + 1), sizeof *s->ysizes);
    s->xsizes = wg__check_take(c, 3 * s->nxs, sizeof *s->xsizes);
    if (!s->cs || !s->ts || !s->ysizes || !s->xsizes)
        return false;
    for (size_t i = 0; i < s->nys; i++) {
        if ((s->cs[i] = wg__check_leaf(c, s->ys[i], "cotangent")) == SIZE_MAX)
            return false;
        for (size_t j = 0; j <= s->nxs; j++)
            s->ysizes[j * s->nys + i] = count_of(s->ys[i]);
        s->m += count_of(s->ys[i]);
    }
    for (size_t j = 0; j < s->nxs; j++) {
        wg_var x = c->leaves.data[s->xs[j]].var;
        if ((s->ts[j] = wg__check_leaf(c, x, "tangent")) == SIZE_MAX)
            return false;
        s->xsizes[j] = s->xsizes[s->nxs + j] = s->xsizes[2 * s->nxs + j] = count_of(x);
        s->n += count_of(x);
    }
    return true;
}

/* Vars of the subject in one block: leaves as vars. */
typedef struct vars {
    wg_var *xs, *cs, *ts, *one, *ys2;
} vars;

static bool make_vars(wg__subject *s, vars *v)
{
    wg__check *c = s->c;
    size_t nxs = s->nxs, nys = s->nys;
    wg_var *room = wg__check_take(c, 3 * nxs + 4 * nys, sizeof *room);
    s->dxs = wg__check_take(c, 3 * nxs, sizeof *s->dxs);
    s->tys = wg__check_take(c, nys * (nxs + 1), sizeof *s->tys);
    if (!room || !s->dxs || !s->tys)
        return false;
    *v = (vars){room, room + nxs, room + nxs + 2 * nys, room + 2 * nxs + 2 * nys,
                room + 3 * nxs + 2 * nys};
    for (size_t j = 0; j < nxs; j++) {
        v->xs[j] = c->leaves.data[s->xs[j]].var;
        v->ts[j] = c->leaves.data[s->ts[j]].var;
    }
    for (size_t i = 0; i < nys; i++)
        v->cs[i] = v->cs[nys + i] = c->leaves.data[s->cs[i]].var;
    return true;
}

/* The same answers on other ways: one operand at a time, and of a graph that stands there twice. */
static bool record_twins(wg__subject *s, const vars *v)
{
    size_t nxs = s->nxs, nys = s->nys;
    bool good = true;
    for (size_t j = 0; j < nxs && good; j++) {
        for (size_t k = 0; k < nxs; k++)
            v->one[k] = k == j ? v->ts[j] : wg_none();
        good = !wg_vjp(s->ys, nys, v->cs, &v->xs[j], 1, s->dxs + nxs + j, NULL) &&
               !wg_jvp(s->ys, nys, v->xs, nxs, v->one, s->tys + (j + 1) * nys);
    }
    memcpy(v->ys2, s->ys, nys * sizeof *v->ys2);
    memcpy(v->ys2 + nys, s->c->again, nys * sizeof *v->ys2);
    s->nv = 3 * nxs;
    s->nj = nys * (nxs + 1);
    return good && !wg_vjp(v->ys2, 2 * nys, v->cs, v->xs, nxs, s->dxs + 2 * nxs, NULL);
}

bool wg__subject_record(wg__subject *s)
{
    vars v;
    if (!make_leaves(s) || !make_vars(s, &v))
        return false;
    s->nv = s->nxs;
    s->nj = s->nys;
    bool good = !wg_vjp(s->ys, s->nys, v.cs, v.xs, s->nxs, s->dxs, NULL) &&
                !wg_jvp(s->ys, s->nys, v.xs, s->nxs, v.ts, s->tys);
    if (good && s->ys == s->c->ys)
        good = record_twins(s, &v);
    if (!good)
        wg__check_tape_error(s->c, s->labels->order);
    return good;
}

/* ---- slots ----------------------------------------------------------------------------------- */

static void add_slot(wg__subject *s, size_t leaf, int64_t element)
{
    s->slots[s->nslots++] = (wg__look){{leaf, element, 0}, false};
}

bool wg__subject_slots(wg__subject *s)
{
    wg__check *c = s->c;
    const wg_gradcheck_options *o = &c->job->o;
    bool first = s->ys == c->ys;
    int64_t all = o->exhaustive;
    size_t directions = (size_t)(first ? o->directions : (o->directions + 1) / 2);
    size_t most = directions + 2 * directions * s->nxs;
    for (size_t j = 0; j < s->nxs; j++) {
        int64_t count = (int64_t)c->leaves.data[s->xs[j]].count;
        most += count <= all ? (size_t)count : 0;
    }
    s->slots = wg__check_take(c, most, sizeof *s->slots);
    for (size_t i = 0; i < directions && s->slots && s->n; i++)
        add_slot(s, SIZE_MAX, -1);
    for (size_t j = 0; j < s->nxs && s->slots; j++) {
        int64_t count = (int64_t)c->leaves.data[s->xs[j]].count;
        bool each = count <= all && j < s->few;
        for (int64_t i = 0; i < count && each; i++)
            add_slot(s, j, i);
        for (size_t i = 0; i < (j < s->few ? directions : 1) && count && !each; i++) {
            add_slot(s, j, -1);
            if (j < s->few)
                add_slot(s, j, (int64_t)(wg__check_random(c) % (uint64_t)count));
        }
    }
    return s->slots != NULL;
}
