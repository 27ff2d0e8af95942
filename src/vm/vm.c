/* The vm as an executor: what sessions and kernels call. */
#include <string.h>

#include "vm/vm.h"

static void free_plan(wg_ctx *ctx, void *plan)
{
    wg__vm_plans *vm = plan;
    if (!vm)
        return;
    for (size_t i = 0; i < vm->plans.len; i++)
        wg__vm_plan_free(vm->plans.data[i]);
    wg__vec_free(ctx, &vm->plans);
    wg__str_free(&vm->notes);
    wg__free(ctx, vm);
}

static void start_thread(void) { wg__blas_enter(); }

static wg_status plan_code(wg__code *code, wg__error *error)
{
    wg__vm_plans *vm = code->plan = wg__calloc(code->ctx, 1, sizeof *vm);
    if (!vm || !(vm->team = wg__ctx_team(code->ctx, start_thread)))
        return wg__fail(error, WG_NO_MEMORY, "out of memory");
    vm->notes = wg__str_make(code->ctx);
    vm->explain = code->explain;
    return wg__vm_plan_make(vm, code, error);
}

static size_t frame_bytes(const wg__code *code) { return wg__vm_main(code->plan)->bytes; }

static void open_session(wg_session *s)
{
    s->bound = wg__vm_frame_make(wg__vm_main(s->program->code->plan), s, s->frame)->bound;
}

static wg_status run_session(wg_session *s)
{
    const wg__vm_frame *f = s->frame;
    if (!f->plan->products)
        return wg__vm_run(s->frame);
    int before = wg__blas_enter();
    wg_status status = wg__vm_run(s->frame);
    wg__blas_leave(before);
    return status;
}

static const void *root(const wg_session *s, size_t index)
{
    const wg__vm_frame *f = s->frame;
    wg__place p = f->plan->roots[index];
    return p.where == WG__BOUND ? f->bound[p.at] : (const char *)f + p.at;
}

static const wg__vm_sub *find_sub(const wg__vm_frame *f, size_t which)
{
    const wg__vm_plan *plan = f->plan;
    size_t i = f->step->u.kernel.sub + which;
    return i < plan->subs.len && plan->subs.data[i].node == f->step->node ? &plan->subs.data[i]
                                                                          : NULL;
}

static wg_status run_fn(const wg_kernel_call *c, size_t which, const wg_view *ins, size_t nins,
                        const wg_view *outs, size_t nouts)
{
    wg__vm_frame *f = c->priv;
    const wg__vm_sub *sub = find_sub(f, which);
    if (!sub)
        return wg_kernel_fail(c, WG_INTERNAL, "there is no sub-tape %zu", which);
    const wg__vm_plan *plan = sub->plan;
    wg_status status = wg__check_fn_call(c, which, plan->nbound, plan->nroots, nins, nouts);
    if (status)
        return status;
    wg__vm_frame *body = (wg__vm_frame *)(void *)((char *)f + f->plan->body_at);
    body = wg__vm_frame_make(plan, f->running.session, body);
    for (size_t i = 0; i < nins; i++)
        body->bound[i] = ins[i].data;
    status = wg__vm_run(body);
    for (size_t i = 0; status == WG_OK && i < nouts; i++)
        if (outs[i].data)
            memcpy(outs[i].data, (char *)body + plan->roots[i].at,
                   wg__type_bytes(wg__type_at(plan->tape, plan->root_ids[i])));
    return status;
}

const wg__executor wg__vm = {.name = "vm",
                             .level = 1,
                             .plan = plan_code,
                             .free = free_plan,
                             .bytes = frame_bytes,
                             .size = wg__vm_size,
                             .open = open_session,
                             .run = run_session,
                             .root = root,
                             .run_fn = run_fn,
                             .parts = wg__vm_parts,
                             .steps = wg__vm_steps,
                             .step = wg__vm_step_info,
                             .reached = wg__vm_reached,
                             .explain = wg__vm_explain};
