/* The vm's plan in numbers and words: what each step does, and what fusion did and did not. */
#include <string.h>

#include "vm/vm.h"

static const wg__vm_plan *main_of(const wg__code *code) { return wg__vm_main(code->plan); }

size_t wg__vm_steps(const wg__code *code) { return main_of(code)->steps.len; }

/* ---- by kind --------------------------------------------------------------------------------------- */

static void tell_loop(const wg__vm_plan *plan, const wg__vm_step *step, wg__step_info *info)
{
    const wg__loop *loop = step->u.loop;
    (void)plan;
    info->kind = "loop";
    info->ops = wg__loop_length(loop);
    info->flops = wg__loop_flops(loop);
    info->bytes = wg__loop_bytes(loop);
}

static void tell_product(const wg__vm_plan *plan, const wg__vm_step *step, wg__step_info *info)
{
    const wg__product *product = step->u.product;
    const wg__loop *epilogue = wg__product_epilogue(product);
    (void)plan;
    info->kind = "product";
    info->flops = wg__product_flops(product);
    info->bytes = wg__product_bytes(product);
    if (!epilogue)
        return;
    info->ops = wg__loop_length(epilogue);
    info->flops += wg__loop_flops(epilogue);
    info->bytes += wg__loop_bytes(epilogue);
}

static void tell_scalars(const wg__vm_plan *plan, const wg__vm_step *step, wg__step_info *info)
{
    (void)plan;
    info->kind = "scalars";
    info->ops = wg__scalars_count(step->u.scalars);
    info->flops = (double)info->ops;
}

static void tell_kernel(const wg__vm_plan *plan, const wg__vm_step *step, wg__step_info *info)
{
    info->kind = wg__op_of(plan->tape, step->node)->name;
    info->bytes = wg__node_traffic(plan->tape, step->node);
}

static void (*const tell[])(const wg__vm_plan *, const wg__vm_step *, wg__step_info *) = {
    [WG__KERNEL] = tell_kernel,
    [WG__LOOP] = tell_loop,
    [WG__PRODUCT] = tell_product,
    [WG__SCALARS] = tell_scalars,
};

void wg__vm_step_info(const wg__code *code, size_t index, wg__step_info *info)
{
    const wg__vm_plan *plan = main_of(code);
    const wg__vm_step *step = &plan->steps.data[index];
    *info = (wg__step_info){.nodes = plan->members + step->member,
                            .nnodes = step->nmembers,
                            .together = step->together,
                            .tiles = step->tiles,
                            .cost = step->cost};
    tell[step->kind](plan, step, info);
}

size_t wg__vm_reached(const wg__code *code, size_t index, uint32_t *ids, size_t max)
{
    const wg__vm_plan *plan = main_of(code);
    const wg__vm_step *step = &plan->steps.data[index];
    size_t n = 0;
    for (uint32_t i = 0; i < step->nslots && n < max; i++) {
        uint32_t id = plan->slots.data[step->slot + i].id;
        if (id != WG__NONE)
            ids[n++] = id;
    }
    return n;
}

/* ---- as a whole --------------------------------------------------------------------------------------- */

void wg__vm_explain(const wg__code *code, wg__str *out)
{
    const wg__vm_plans *vm = code->plan;
    const wg__vm_plan *plan = main_of(code);
    size_t in_place = 0;
    for (size_t e = 0; e < code->neffects; e++)
        in_place += code->in_place[e];
    if (code->neffects)
        wg__str_addf(out, "updates in place: %zu of %zu\n", in_place, code->neffects);
    if (vm->plans.len > 1)
        wg__str_addf(out, "sub-tapes: %zu, run by the steps that name them\n", vm->plans.len - 1);
    wg__str_addf(out, "threads: at most %zu, with %zu B each of their own\n", plan->threads,
                 plan->scratch);
    if (vm->notes.len)
        wg__str_add(out, "fusion:\n");
    for (const char *line = wg__str_text(&vm->notes), *end; *line; line = end + (*end != '\0')) {
        end = line + strcspn(line, "\n");
        wg__str_addf(out, "  %.*s\n", (int)(end - line), line);
    }
    out->failed |= vm->notes.failed;
}
