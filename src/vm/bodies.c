/* What kernels call back: sub-tapes of the running node, and items spread over threads. A body's frame is
 * made once per run of its node; from one run of the body to the next only pointers change. Outputs are
 * written where the caller wants them. */
#include <string.h>

#include "vm/vm.h"

/* ---- bodies -------------------------------------------------------------------------------------- */

void wg__vm_enter_bodies(wg__vm_frame *f, const wg__vm_step *step)
{
    f->lane = (char *)f + f->plan->body_at;
    if (step->u.kernel.bodies.count)
        memset(f->lane, 0, step->u.kernel.bodies.count);
}

/* The frame of body number `which`, in the caller's lane. */
static wg__vm_frame *body_frame(const wg__vm_frame *f, size_t which)
{
    const wg__vm_sub *sub = &f->plan->subs.data[f->step->u.kernel.bodies.first + which];
    void *memory = f->lane + sub->at;
    if (f->lane[which])
        return memory;
    f->lane[which] = 1;
    return wg__vm_frame_make(sub->plan, f->running.session, memory, f);
}

wg_status wg__vm_run_fn(const wg_kernel_call *c, size_t which, const wg_view *ins, size_t nins,
                        const wg_view *outs, size_t nouts)
{
    const wg__vm_frame *f = c->priv;
    if (which >= f->step->u.kernel.bodies.count)
        return wg_kernel_fail(c, WG_INTERNAL, "there is no sub-tape %zu", which);
    wg__vm_frame *body = body_frame(f, which);
    const wg__vm_plan *plan = body->plan;
    wg_status status = wg__check_fn_call(c, which, plan->nbound, plan->nroots, nins, nouts);
    if (status)
        return status;
    for (size_t i = 0; i < nins; i++)
        wg__vm_point(body, i, ins[i].data);
    for (size_t i = 0; i < nouts; i++) {
        const size_t spare = plan->roots[i].spare;
        const bool unwanted = !outs[i].data && spare != SIZE_MAX;
        wg__vm_point(body, nins + i, unwanted ? (char *)body + spare : outs[i].data);
    }
    return wg__vm_run(body);
}

/* ---- items --------------------------------------------------------------------------------------- */

typedef struct spreading {
    const wg_kernel_call *call;
    wg__vm_frame *frame;
    wg_item_fn fn;
    void *arg;
    atomic_size_t failed; /* the first item that failed; SIZE_MAX: none */
    atomic_bool stop;
} spreading;

static wg__vm_frame *head_of(const wg__vm_frame *f, size_t thread)
{
    const wg__vm_bodies *b = &f->step->u.kernel.bodies;
    char *lane = (char *)f + f->plan->body_at + thread * b->lane_bytes;
    return (wg__vm_frame *)(void *)(lane + b->head_at);
}

/* Each thread has a lane of its own, and a frame to show its kernel. Failures are told once it is
 * known which is the first. */
static void open_lanes(spreading *s)
{
    const wg__vm_bodies *b = &s->frame->step->u.kernel.bodies;
    for (size_t i = 0; i < b->lanes; i++) {
        wg__vm_frame *head = head_of(s->frame, i);
        memcpy(head, s->frame, sizeof *head);
        head->running.quiet = true;
        head->polls = s->frame->polls && i == 0;
        head->stop = &s->stop;
        head->lane = (char *)head - b->head_at;
        memset(head->lane, 0, b->count);
    }
}

static void item_job(void *arg, size_t item, size_t thread)
{
    spreading *s = arg;
    size_t first = atomic_load_explicit(&s->failed, memory_order_relaxed);
    if (item > first || atomic_load_explicit(&s->stop, memory_order_relaxed))
        return;
    wg_kernel_call c = *s->call;
    c.priv = head_of(s->frame, thread);
    if (s->fn(&c, item, s->arg) == WG_OK)
        return;
    while (item < first && !atomic_compare_exchange_weak(&s->failed, &first, item))
        continue;
}

static wg_status in_order(const wg_kernel_call *c, size_t items, wg_item_fn fn, void *arg)
{
    wg_status status = WG_OK;
    for (size_t i = 0; i < items && !status; i++)
        status = fn(c, i, arg);
    return status;
}

wg_status wg__vm_spread(const wg_kernel_call *c, size_t items, wg_item_fn fn, void *arg)
{
    wg__vm_frame *f = c->priv;
    if (items < 2 || f->step->u.kernel.bodies.lanes < 2 || f->stop)
        return in_order(c, items, fn, arg);
    spreading s = {.call = c, .frame = f, .fn = fn, .arg = arg};
    atomic_init(&s.failed, SIZE_MAX);
    atomic_init(&s.stop, false);
    open_lanes(&s);
    wg__team_run(f->plan->team, items, item_job, &s);
    wg__vm_enter_bodies(f, f->step); /* the first lane is the caller's own */
    if (atomic_load(&s.stop))
        return wg__tell_cancelled(f->running.session);
    const size_t failed = atomic_load(&s.failed);
    if (failed == SIZE_MAX)
        return WG_OK;
    wg_status status = fn(c, failed, arg); /* once more, to be told */
    return status
               ? status
               : wg_kernel_fail(c, WG_INTERNAL, "item %zu failed, but not when run again", failed);
}
