/* Running a plan: steps in order, tiles of each by the context's team. Nothing is allocated. */
#include <string.h>

#include "tape/nest.h"
#include "vm/vm.h"

/* ---- frames --------------------------------------------------------------------------------------- */

static char *at_place(const wg__vm_frame *f, wg__place p)
{
    switch (p.where) {
    case WG__FRAME:
        return (char *)f + p.at;
    case WG__BOUND:
        return (char *)f->bound[p.at]; /* written only by the step that commits it */
    case WG__CONST:
        return f->plan->tape->consts.data[p.at]->data;
    case WG__LITERAL:
        return (char *)f->literals + p.at;
    case WG__NOWHERE:
        break;
    }
    return NULL;
}

static char *at_slot(const wg__vm_frame *f, const wg__vm_slot *slot)
{
    char *base = at_place(f, slot->place);
    return base ? base + slot->offset : NULL;
}

wg__vm_frame *wg__vm_frame_make(const wg__vm_plan *plan, wg_session *session, void *memory,
                                const wg__vm_frame *caller)
{
    wg__vm_frame *f = memory;
    char *base = memory;
    *f = (wg__vm_frame){.running = {.executor = &wg__vm,
                                    .session = session,
                                    .tape = plan->tape,
                                    .quiet = caller && caller->running.quiet},
                        .plan = plan,
                        .polls = caller ? caller->polls : session->ctx->hooks.cancel != NULL,
                        .stop = caller ? caller->stop : NULL,
                        .bound = (const void **)(void *)(base + plan->bound_at),
                        .slots = (char **)(void *)(base + plan->slots_at),
                        .views = (wg_view *)(void *)(base + plan->views_at),
                        .faults = (wg__vm_fault *)(void *)(base + plan->faults_at),
                        .literals = caller ? plan->literals : session->program->literals};
    for (size_t i = 0; i < plan->nbinds; i++)
        f->bound[i] = NULL;
    for (size_t i = 0; i < plan->slots.len; i++)
        f->slots[i] = at_slot(f, &plan->slots.data[i]);
    for (size_t i = 0; i < plan->threads; i++)
        f->faults[i].set = false;
    return f;
}

static inline void point(wg__vm_frame *f, size_t bound)
{
    const wg__vm_plan *plan = f->plan;
    char *base = (char *)f->bound[bound];
    for (uint32_t i = bound ? plan->pointed_end[bound - 1] : 0; i < plan->pointed_end[bound]; i++) {
        const wg__vm_pointed *p = &plan->pointed[i];
        f->slots[p->slot] = base ? base + p->offset : NULL;
    }
}

void wg__vm_point_all(wg__vm_frame *f)
{
    for (size_t i = 0; i < f->plan->nbinds; i++)
        point(f, i);
}

void wg__vm_point(wg__vm_frame *f, size_t bound, const void *data)
{
    if (f->bound[bound] == data)
        return;
    f->bound[bound] = data;
    point(f, bound);
}

/* ---- loops and products: items for the team ---------------------------------------------------------- */

/* Steps that run side by side. Item i is a tile of one of them. */
typedef struct sweep {
    wg__vm_frame *f;
    const wg__vm_step *first;
    size_t n;
} sweep;

static char *scratch_of(const wg__vm_frame *f, size_t thread)
{
    return (char *)f + f->plan->scratch_at + thread * f->plan->scratch;
}

/* Of several faults the first in order of items is told: the same for any number of threads. */
static void keep_fault(wg__vm_fault *to, size_t item, const wg__loop_fault *fault)
{
    if (to->set && to->item < item)
        return;
    *to = (wg__vm_fault){true, item, *fault};
}

static bool run_tile(const sweep *s, const wg__vm_step *step, size_t tile, size_t thread,
                     wg__loop_fault *fault)
{
    wg__vm_frame *f = s->f;
    char *const *slots = f->slots + step->slot;
    char *scratch = scratch_of(f, thread), *partials = (char *)f + step->partials_at;
    if (step->kind == WG__LOOP) {
        wg__loop_run run = {slots, scratch, partials, fault};
        return wg__loop_tile(step->u.loop, &run, tile);
    }
    if (step->kind == WG__CONCAT) {
        wg__join_tile(step->u.join, slots, tile);
        return true;
    }
    wg__product_run run = {slots,    step->nslots, scratch, (char *)f + step->shared_at,
                           partials, fault};
    return wg__product_tile(step->u.product, &run, tile);
}

static void tile_job(void *arg, size_t item, size_t thread)
{
    const sweep *s = arg;
    const wg__vm_step *step = s->first;
    wg__loop_fault fault;
    size_t tile = item;
    while (tile >= step->tiles)
        tile -= step++->tiles;
    if (run_tile(s, step, tile, thread, &fault))
        return;
    keep_fault(&s->f->faults[thread], item, &fault);
    atomic_store_explicit(&s->f->faulty, true, memory_order_relaxed);
}

static void pack_job(void *arg, size_t item, size_t thread)
{
    const sweep *s = arg;
    wg__product_run run = {s->f->slots + s->first->slot,
                           s->first->nslots,
                           scratch_of(s->f, thread),
                           (char *)s->f + s->first->shared_at,
                           NULL,
                           NULL};
    wg__product_pack(s->first->u.product, &run, item);
}

/* All items, by the team when the work pays for it. */
static void spread(const sweep *s, size_t items, double cost, wg__job job)
{
    if (items > 1 && cost >= WG__VM_GRAIN && s->f->plan->threads > 1) {
        wg__team_run(s->f->plan->team, items, job, (void *)s);
        return;
    }
    for (size_t i = 0; i < items; i++)
        job((void *)s, i, 0);
}

/* In the words of the op's own kernel. */
static wg_status tell_fault(wg__vm_frame *f, const wg__loop_fault *fault)
{
    const wg_tape *t = f->plan->tape;
    wg_attrs attrs = wg__attrs_of(t, fault->node);
    long long value = fault->value, at = fault->at, limit = fault->limit;
    f->running.node = fault->node;
    if (attrs.op->def.flags & WG_OP_GATHER)
        return wg__run_fail(&f->running, WG_RANGE,
                            "index %lld (element %lld of indices) is out of range for axis %lld of "
                            "size %lld",
                            value, at, (long long)wg_attrs_int(&attrs, "axis"), limit);
    return wg__run_fail(&f->running, WG_RANGE,
                        "index %lld (element %lld of index) is out of range for %lld classes",
                        value, at, limit);
}

/* Tells the first fault in order of items and forgets all. */
static wg_status tell_faults(wg__vm_frame *f)
{
    const wg__vm_fault *worst = NULL;
    if (!atomic_load_explicit(&f->faulty, memory_order_relaxed))
        return WG_OK;
    for (size_t i = 0; i < f->plan->threads; i++)
        if (f->faults[i].set && (!worst || f->faults[i].item < worst->item))
            worst = &f->faults[i];
    wg_status status = tell_fault(f, &worst->fault);
    for (size_t i = 0; i < f->plan->threads; i++)
        f->faults[i].set = false;
    atomic_store_explicit(&f->faulty, false, memory_order_relaxed);
    return status;
}

static void finish(wg__vm_frame *f, const wg__vm_step *step)
{
    char *const *slots = f->slots + step->slot;
    char *scratch = scratch_of(f, 0), *partials = (char *)f + step->partials_at;
    if (step->kind == WG__LOOP) {
        wg__loop_run run = {slots, scratch, partials, NULL};
        wg__loop_finish(step->u.loop, &run);
        return;
    }
    if (step->kind == WG__CONCAT)
        return;
    wg__product_run run = {slots,    step->nslots, scratch, (char *)f + step->shared_at,
                           partials, NULL};
    wg__product_finish(step->u.product, &run);
}

/* One tile of one step, as most are in bodies. */
static wg_status run_single(wg__vm_frame *f, const wg__vm_step *step)
{
    const sweep s = {f, step, 1};
    wg__loop_fault fault;
    if (!run_tile(&s, step, 0, 0, &fault))
        return tell_fault(f, &fault);
    finish(f, step);
    return WG_OK;
}

static bool is_single(const wg__vm_step *step)
{
    return step->tiles == 1 && step->together == 1 &&
           (step->kind != WG__PRODUCT || !wg__product_packs(step->u.product));
}

static wg_status run_sweep(wg__vm_frame *f, const wg__vm_step *step)
{
    if (is_single(step))
        return run_single(f, step);
    sweep s = {f, step, step->together};
    size_t items = 0;
    double cost = 0;
    for (size_t i = 0; i < s.n; i++) {
        items += step[i].tiles;
        cost += step[i].cost;
    }
    if (step->kind == WG__PRODUCT)
        spread(&s, wg__product_packs(step->u.product), cost, pack_job);
    spread(&s, items, cost, tile_job);
    wg_status status = tell_faults(f);
    for (size_t i = 0; i < s.n && !status; i++)
        finish(f, &step[i]);
    return status;
}

/* ---- scalars, kernels ----------------------------------------------------------------------------------- */

static wg_status run_scalars(wg__vm_frame *f, const wg__vm_step *step)
{
    wg__scalars_run(step->u.scalars, f->slots + step->slot, (char *)f + step->values_at,
                    (char *)f + step->partials_at);
    return WG_OK;
}

static wg_status run_kernel(wg__vm_frame *f, const wg__vm_step *step)
{
    const wg_tape *t = f->plan->tape;
    const wg__node *n = wg__node_at(t, step->node);
    const uint32_t *in = wg__operands(t, n);
    char *const *slots = f->slots + step->slot;
    wg_view *views = f->views;
    for (uint16_t k = 0; k < n->nin; k++)
        views[k] = (wg_view){slots[k], wg__type_at(t, in[k])};
    for (uint16_t k = 0; k < n->nout; k++)
        views[n->nin + k] = (wg_view){slots[n->nin + k], wg__type_at(t, step->node + k)};
    wg_attrs attrs = wg__attrs_of(t, step->node);
    wg__vm_enter_bodies(f, step);
    wg_kernel_call c = {n->nin,
                        n->nout,
                        views,
                        views + n->nin,
                        &attrs,
                        (char *)f + step->partials_at,
                        attrs.op->def.data,
                        f};
    if (step->u.kernel.row->loop) {
        wg__nest_run(step->u.kernel.row, &c);
        return WG_OK;
    }
    wg_status status = step->u.kernel.row->run(&c);
    return status ? wg_kernel_fail(&c, status, "%s", wg_status_text(status)) : WG_OK;
}

/* ---- frames at work -------------------------------------------------------------------------------------- */

static wg_status (*const run_kind[])(wg__vm_frame *, const wg__vm_step *) = {
    [WG__KERNEL] = run_kernel,   [WG__LOOP] = run_sweep,   [WG__PRODUCT] = run_sweep,
    [WG__SCALARS] = run_scalars, [WG__CONCAT] = run_sweep,
};

/* Roots that no step writes where they belong are copied there: binding anew and commits leave them. A
 * body's caller may not want all of them. */
static void settle_roots(wg__vm_frame *f)
{
    const wg__vm_root *r = f->plan->roots;
    for (size_t left = f->plan->nsettled; left; r++) {
        if (r->from.where == WG__NOWHERE)
            continue;
        left--;
        char *to = at_place(f, r->at);
        if (to && r->bytes == 8)
            memcpy(to, at_place(f, r->from) + r->offset, 8);
        else if (to && r->bytes)
            memcpy(to, at_place(f, r->from) + r->offset, r->bytes);
    }
}

/* Of several threads one asks the user, and tells the others. */
static wg_status cancelled(const wg__vm_frame *f)
{
    wg_session *session = f->running.session;
    if (f->stop && atomic_load_explicit(f->stop, memory_order_relaxed))
        return WG_CANCELLED;
    if (!f->polls || !wg__cancelled(session->ctx))
        return WG_OK;
    if (!f->stop)
        return wg__tell_cancelled(session);
    atomic_store_explicit(f->stop, true, memory_order_relaxed);
    return WG_CANCELLED;
}

static wg_status run_step(wg__vm_frame *f, const wg__vm_step *step)
{
    f->step = step;
    f->running.node = step->node;
    wg_status status = f->committing ? WG_OK : cancelled(f);
    f->committing |= step->commits;
    return status ? status : run_kind[step->kind](f, step);
}

static wg_status run_timed(wg__vm_frame *f, uint64_t *ns)
{
    const wg__vm_plan *plan = f->plan;
    wg_status status = WG_OK;
    for (size_t i = 0; i < plan->steps.len && !status; i += plan->steps.data[i].together) {
        uint64_t start = wg__now();
        status = run_step(f, &plan->steps.data[i]);
        ns[i] += wg__now() - start;
    }
    return status;
}

wg_status wg__vm_run(wg__vm_frame *f)
{
    const wg__vm_plan *plan = f->plan;
    wg_session *session = f->running.session;
    /* A loop whose body has no steps can be stopped too. */
    wg_status status = plan->steps.len ? WG_OK : cancelled(f);
    if (status)
        return status;
    f->committing = false;
    if (session->profile && (void *)f == session->frame) {
        status = run_timed(f, session->profile);
    } else {
        const wg__vm_step *end = plan->steps.data + plan->steps.len;
        for (const wg__vm_step *s = plan->steps.data; s < end && !status; s += s->together)
            status = run_step(f, s);
    }
    if (!status)
        settle_roots(f);
    return status;
}
