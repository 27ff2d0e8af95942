/* The vm as an executor: what sessions call. */
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
    s->bound = wg__vm_frame_make(wg__vm_main(s->program->code->plan), s, s->frame, NULL)->bound;
}

static wg_status run_session(wg_session *s)
{
    wg__vm_frame *f = s->frame;
    wg__vm_point_all(f);
    if (!f->plan->products)
        return wg__vm_run(f);
    int before = wg__blas_enter();
    wg_status status = wg__vm_run(f);
    wg__blas_leave(before);
    return status;
}

static const void *root(const wg_session *s, size_t index)
{
    const wg__vm_frame *f = s->frame;
    const wg__place p = f->plan->roots[index].at;
    return p.where == WG__BOUND ? f->bound[p.at] : (const char *)f + p.at;
}

const wg__executor wg__vm = {.name = "vm",
                             .level = 1,
                             .thrifty = true,
                             .plan = plan_code,
                             .free = free_plan,
                             .bytes = frame_bytes,
                             .size = wg__vm_size,
                             .open = open_session,
                             .run = run_session,
                             .root = root,
                             .run_fn = wg__vm_run_fn,
                             .spread = wg__vm_spread,
                             .parts = wg__vm_parts,
                             .steps = wg__vm_steps,
                             .step = wg__vm_step_info,
                             .reached = wg__vm_reached,
                             .explain = wg__vm_explain};
