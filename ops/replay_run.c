/* The kernel of replay: the backward steps of a pair of scans, and for them the forward steps once more,
 * from snapshots of their carries. */
#include "base/revolve.h"
#include "loop_run.h"
#include "replay.h"

/* A replay at work, in the node's scratch. */
typedef struct player {
    wg__replay l;
    wg_kernel_call back_call, step_call; /* the node's, seen as the plain scans */
    wg__work back, step;
    char **taken; /* per output of `step` that the backward steps read: room for a chunk; NULL: of a
                     history of single steps, which lies where the state does, and of what is not read */
    bool turns;   /* a per-step output is read: each turn runs its last forward step, too */
    char **state; /* per carry of `step`: where its present value lies */
    char *snaps;  /* snapshots, from number 1 on; from 0 on after a lead */
    size_t nsnap; /* bytes of one */
    int64_t *stack;
    int64_t n;
} player;

static bool reads(const wg__replay *l, size_t k)
{
    for (size_t i = 0; i < l->back.nxs; i++)
        if (l->from[i] == (int64_t)k)
            return true;
    return false;
}

/* More than one per step is never needed. */
static size_t snapshots_of(const wg__replay *l)
{
    int64_t most = l->back.length.dim[0] > 1 ? l->back.length.dim[0] - 1 : 0;
    return (size_t)(l->snapshots < most ? l->snapshots : most);
}

static size_t place(player *p, char *base)
{
    const wg__replay *l = &p->l;
    size_t at = 0, nviews = loop_operands(&l->back) + 1 + loop_operands(&l->step) + 1;
    wg_view *views = work_take(base, &at, nviews * sizeof *views);
    wg_view *none = work_take(base, &at, (loop_outputs(&l->step) + l->step.ncarry) * sizeof *none);
    const size_t nstep = loop_outputs(&l->step);
    p->taken = work_take(base, &at, (nstep + l->step.ncarry) * sizeof *p->taken);
    p->state = work_take(base, &at, l->step.ncarry * sizeof *p->state);
    for (size_t k = l->step.ncarry; k < nstep + l->step.ncarry; k++) {
        bool history = k >= nstep, kept = reads(l, k) && (!history || l->chunk > 1);
        size_t bytes = type_bytes(history ? wg_fn_operand_type(l->step.fn, k - nstep)
                                          : wg_fn_output_type(l->step.fn, k));
        char *room = work_take(base, &at, kept ? (size_t)l->chunk * bytes : 0);
        if (base)
            p->taken[k] = kept ? room : NULL;
        p->turns |= reads(l, k) && !history;
    }
    p->nsnap = 0;
    for (size_t i = 0; i < l->step.ncarry; i++)
        p->nsnap += round64(type_bytes(wg_fn_operand_type(l->step.fn, i)));
    p->stack = work_take(base, &at, (snapshots_of(l) + 1) * sizeof *p->stack);
    p->snaps = work_take(base, &at, (snapshots_of(l) + (l->lead > 0)) * p->nsnap);
    if (!base) {
        at += work_layout(&p->back, &l->back, NULL);
        return at + work_layout(&p->step, &l->step, NULL);
    }
    p->back_call.in = views;
    p->step_call.in = views + loop_operands(&l->back) + 1;
    p->step_call.out = none;
    at += work_make(&p->back, &p->back_call, &l->back, 0, base + at);
    return at + work_make(&p->step, &p->step_call, &l->step, 1, base + at);
}

size_t wg__replay_scratch(const wg_kernel_call *c)
{
    player p = {.l = wg__replay_of(c->attrs)};
    return place(&p, NULL);
}

/* The operands as the plain scans have them. */
static void sort_operands(player *p, const wg_kernel_call *c, wg_view *views)
{
    const wg__replay *l = &p->l;
    size_t nback = loop_operands(&l->back), at = 0;
    for (size_t i = 0; i < nback; i++) {
        bool sequence = i >= l->back.ncarry && i < l->back.ncarry + l->back.nxs;
        bool given = !sequence || l->from[i - l->back.ncarry] < 0;
        views[i] = given ? c->in[at++] : (wg_view){NULL, NULL};
    }
    views[nback] = l->back.counted ? c->in[l->count_at] : (wg_view){NULL, NULL};
    views += nback + 1;
    for (size_t i = 0; i < loop_operands(&l->step); i++)
        views[i] = c->in[at++];
    views[loop_operands(&l->step)] = l->back.counted ? c->in[l->count_at] : (wg_view){NULL, NULL};
}

static void player_make(player *p, const wg_kernel_call *c)
{
    const wg__replay *l = &p->l;
    char *base = c->scratch;
    sort_operands(p, c, (wg_view *)(void *)base); /* `place` puts the views first */
    p->back_call = p->step_call = *c;
    memset(base +
               round64((loop_operands(&l->back) + loop_operands(&l->step) + 2) * sizeof(wg_view)),
           0, (loop_outputs(&l->step) + l->step.ncarry) * sizeof(wg_view));
    place(p, base);
    p->n = work_steps(&p->back);
}

static char *snapshot(const player *p, int64_t slot)
{
    return p->snaps + (size_t)(slot - (p->l.lead == 0)) * p->nsnap;
}

static void go_to(player *p, int64_t slot)
{
    bool start = slot == 0 && p->l.lead == 0;
    char *at = start ? NULL : snapshot(p, slot);
    for (size_t i = 0; i < p->l.step.ncarry; i++) {
        p->state[i] = start ? p->step_call.in[i].data : at;
        at = start ? NULL : at + round64(p->step.bytes[i]);
    }
}

static void take(player *p, int64_t slot)
{
    char *at = snapshot(p, slot);
    for (size_t i = 0; i < p->l.step.ncarry; i++) {
        work_copy(at, p->state[i], p->step.bytes[i]);
        at += round64(p->step.bytes[i]);
    }
}

/* Where forward step j, counted in the order of running, has its slices. */
static int64_t place_of(const player *p, int64_t j)
{
    int64_t steps = p->l.step.counted ? p->n : p->l.step.length.dim[0];
    return p->l.step.reverse ? steps - 1 - j : j;
}

/* Runs forward step j from the state at hand to the next one. q >= 0: hands out what backward steps read,
 * as number q of its chunk. */
static wg_status run_step(player *p, int64_t j, int64_t q)
{
    wg__work *w = &p->step;
    const wg__loop *s = &p->l.step;
    work_place_slices(w, place_of(p, j));
    for (size_t k = s->ncarry; k < w->nout; k++)
        w->out[k].data =
            q >= 0 && p->taken[k] ? p->taken[k] + (size_t)q * w->bytes[w->nin + k] : NULL;
    for (size_t i = 0; i < s->ncarry; i++) {
        char *first = w->room[i], *second = first + round64(w->bytes[i]);
        w->in[i].data = p->state[i];
        w->out[i].data = p->state[i] == first ? second : first;
    }
    wg_status status = work_run(w);
    for (size_t i = 0; i < s->ncarry; i++)
        p->state[i] = w->out[i].data;
    return status;
}

static wg_status advance(player *p, int64_t from, int64_t to)
{
    wg_status status = WG_OK;
    for (int64_t j = from; j < to && !status; j++)
        status = run_step(p, j, -1);
    return status;
}

/* Forward steps of chunk k, in the order of running, with all that backward steps read. */
static wg_status run_chunk(player *p, int64_t k)
{
    const wg__replay *l = &p->l;
    const size_t nstep = loop_outputs(&l->step);
    wg_status status = WG_OK;
    for (int64_t i = 0; i < l->chunk && !status; i++) {
        const int64_t q = l->step.reverse ? l->chunk - 1 - i : i;
        for (size_t c = 0; c < l->step.ncarry; c++)
            if (p->taken[nstep + c])
                work_copy(p->taken[nstep + c] + (size_t)q * p->step.bytes[c], p->state[c],
                          p->step.bytes[c]);
        if (p->turns || i + 1 < l->chunk)
            status = run_step(p, l->lead + k * l->chunk + i, q);
    }
    return status;
}

/* The backward step that belongs to chunk k. */
static wg_status turn(player *p, int64_t k)
{
    wg__work *w = &p->back;
    const wg__replay *l = &p->l;
    const int64_t t = l->step.reverse ? p->n - 1 - k : k;
    const size_t nstep = loop_outputs(&l->step);
    work_place_carries(w, p->n - 1 - k, p->n, t);
    work_place_slices(w, t);
    for (size_t i = 0; i < l->back.nxs; i++)
        if (l->from[i] >= 0) {
            const size_t out = (size_t)l->from[i];
            w->in[l->back.ncarry + i].data =
                p->taken[out] ? p->taken[out] : p->state[out - nstep]; /* before the step runs on */
        }
    wg_status status = run_chunk(p, k);
    if (!status)
        status = work_run(w);
    if (!status)
        work_add_terms(w, false);
    return status;
}

wg_status wg__replay_run(const wg_kernel_call *c)
{
    player p = {.l = wg__replay_of(c->attrs)};
    wg__revolve r;
    wg_status status = WG_OK;
    player_make(&p, c);
    work_start_sums(&p.back, false);
    work_clear_unused(&p.back, p.n);
    for (size_t i = 0; p.n == 0 && i < p.l.back.ncarry; i++)
        work_copy(c->out[i].data, c->in[i].data, p.back.bytes[i]);
    for (size_t i = 0; i < p.l.step.ncarry; i++)
        p.state[i] = p.step_call.in[i].data;
    if (p.l.lead && p.n && !(status = advance(&p, 0, p.l.lead)))
        take(&p, 0);
    wg__revolve_begin(&r, p.n, (int64_t)snapshots_of(&p.l) + 1, p.stack);
    while (!status) {
        wg__revolve_action a = wg__revolve_next(&r);
        if (a.what == WG__REVOLVE_DONE)
            break;
        if (a.what == WG__REVOLVE_ADVANCE)
            status = advance(&p, p.l.lead + a.at * p.l.chunk, p.l.lead + a.to * p.l.chunk);
        else if (a.what == WG__REVOLVE_TURN)
            status = turn(&p, a.at);
        else if (a.what == WG__REVOLVE_TAKE)
            take(&p, a.slot);
        else
            go_to(&p, a.slot);
    }
    return status;
}
