/* The vm's plan in numbers and words: what each step does, and what fusion did and did not. */
#include <string.h>

#include "vm/vm.h"

/* Parts are numbered from the main plan, which is the last. */
static const wg__vm_plan *part_of(const wg__code *code, size_t part)
{
    const wg__vm_plans *vm = code->plan;
    return vm->plans.data[vm->plans.len - 1 - part];
}

size_t wg__vm_parts(const wg__code *code) { return ((const wg__vm_plans *)code->plan)->plans.len; }

size_t wg__vm_steps(const wg__code *code, size_t part) { return part_of(code, part)->steps.len; }

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

static double element_size(const wg__vm_plan *plan, uint32_t id)
{
    return (double)wg_dtype_size(wg__type_at(plan->tape, id)->dtype);
}

static void tell_scalars(const wg__vm_plan *plan, const wg__vm_step *step, wg__step_info *info)
{
    info->kind = "scalars";
    info->ops = wg__scalars_count(step->u.scalars);
    info->flops = (double)info->ops;
    for (uint32_t i = 0; i < step->nslots; i++)
        if (plan->slots.data[step->slot + i].id != WG__NONE)
            info->bytes += element_size(plan, plan->slots.data[step->slot + i].id);
    for (uint32_t i = 0; i < step->nmembers; i++)
        info->bytes += element_size(plan, plan->members[step->member + i]);
}

static const wg__vm_plan *body_of(const wg__vm_plan *plan, const wg__vm_step *step, uint32_t which)
{
    return plan->subs.data[step->u.kernel.bodies.first + which].plan;
}

static void tell_kernel(const wg__vm_plan *plan, const wg__vm_step *step, wg__step_info *info)
{
    const double runs = wg__node_runs(plan->tape, step->node);
    info->kind = wg__op_of(plan->tape, step->node)->name;
    info->flops = wg__node_flops(plan->tape, step->node);
    info->bytes = wg__node_traffic(plan->tape, step->node);
    for (uint32_t i = 0; i < step->u.kernel.bodies.count; i++)
        info->flops += runs * body_of(plan, step, i)->flops;
}

static void tell_join(const wg__vm_plan *plan, const wg__vm_step *step, wg__step_info *info)
{
    (void)plan;
    info->kind = "join";
    info->bytes = wg__join_bytes(step->u.join);
}

static void (*const tell[])(const wg__vm_plan *, const wg__vm_step *, wg__step_info *) = {
    [WG__KERNEL] = tell_kernel,   [WG__LOOP] = tell_loop,   [WG__PRODUCT] = tell_product,
    [WG__SCALARS] = tell_scalars, [WG__CONCAT] = tell_join,
};

static void tell_step(const wg__vm_plan *plan, size_t index, wg__step_info *info)
{
    const wg__vm_step *step = &plan->steps.data[index];
    *info = (wg__step_info){.tape = plan->tape,
                            .nodes = plan->members + step->member,
                            .nnodes = step->nmembers,
                            .together = step->together,
                            .tiles = step->tiles,
                            .cost = step->cost};
    tell[step->kind](plan, step, info);
}

static size_t part_number(const wg__code *code, const wg__vm_plan *plan)
{
    size_t part = 0;
    while (part_of(code, part) != plan)
        part++;
    return part;
}

void wg__vm_step_info(const wg__code *code, size_t part, size_t index, wg__step_info *info)
{
    const wg__vm_plan *plan = part_of(code, part);
    const wg__vm_step *step = &plan->steps.data[index];
    tell_step(plan, index, info);
    if (step->kind != WG__KERNEL)
        return;
    for (uint32_t i = 0; i < step->u.kernel.bodies.count && i < WG__MAX_STEP_BODIES; i++) {
        info->body[i].part = part_number(code, body_of(plan, step, i));
        info->body[i].times = wg__node_runs(plan->tape, step->node);
        info->nbodies++;
    }
}

double wg__vm_plan_flops(const wg__vm_plan *plan)
{
    double flops = 0;
    for (size_t i = 0; i < plan->steps.len; i++) {
        wg__step_info info;
        tell_step(plan, i, &info);
        flops += info.flops;
    }
    return flops;
}

/* Rough rates of naive kernels, of calls and of scalar functions. */
double wg__vm_kernel_cost(const wg__vm_plan *plan, const wg__vm_step *step)
{
    const double runs = wg__node_runs(plan->tape, step->node), call = 30;
    double cost = 0;
    for (uint32_t i = 0; i < step->u.kernel.bodies.count; i++)
        cost += (runs > 1 ? runs : 1) * (call + body_of(plan, step, i)->cost);
    return cost + call + wg__node_flops(plan->tape, step->node) +
           wg__node_traffic(plan->tape, step->node) / 8;
}

double wg__vm_plan_cost(const wg__vm_plan *plan)
{
    const double scalar = 3;
    double cost = 0;
    for (size_t i = 0; i < plan->steps.len; i++) {
        const wg__vm_step *step = &plan->steps.data[i];
        if (step->kind == WG__SCALARS)
            cost += scalar * (double)wg__scalars_count(step->u.scalars);
        else
            cost += step->kind == WG__KERNEL ? wg__vm_kernel_cost(plan, step) : step->cost;
    }
    return cost;
}

size_t wg__vm_reached(const wg__code *code, size_t part, size_t index, uint32_t *ids, size_t max)
{
    const wg__vm_plan *plan = part_of(code, part);
    const wg__vm_step *step = &plan->steps.data[index];
    size_t n = 0;
    for (uint32_t i = 0; i < step->nslots && n < max; i++) {
        uint32_t id = plan->slots.data[step->slot + i].id;
        if (id != WG__NONE)
            ids[n++] = id;
    }
    return n;
}

/* ---- memory ------------------------------------------------------------------------------------------- */

/* What steps take, about: a loop with its tables by the instruction, a graph of scalars by the node. */
enum { LOOP_SIZE = 2048, INSTRUCTION_SIZE = 320, PRODUCT_SIZE = 1024, SCALAR_SIZE = 64 };

static size_t loop_size(const wg__loop *loop)
{
    return loop ? LOOP_SIZE + wg__loop_length(loop) * INSTRUCTION_SIZE : 0;
}

static size_t step_size(const wg__vm_step *step)
{
    switch (step->kind) {
    case WG__LOOP:
        return loop_size(step->u.loop);
    case WG__PRODUCT:
        return PRODUCT_SIZE + loop_size(wg__product_epilogue(step->u.product));
    case WG__SCALARS:
        return LOOP_SIZE + wg__scalars_count(step->u.scalars) * SCALAR_SIZE;
    default:
        return 0;
    }
}

static size_t plan_size(const wg__vm_plan *plan)
{
    size_t size = sizeof *plan + plan->tape->nodes.len * (sizeof *plan->members + sizeof(int64_t)) +
                  plan->steps.cap * sizeof *plan->steps.data +
                  plan->slots.cap * (sizeof *plan->slots.data + sizeof *plan->pointed) +
                  plan->nroots * sizeof *plan->roots + plan->nbinds * sizeof *plan->pointed_end;
    for (size_t i = 0; i < plan->steps.len; i++)
        size += step_size(&plan->steps.data[i]);
    return size;
}

size_t wg__vm_size(const wg__code *code)
{
    const wg__vm_plans *vm = code->plan;
    size_t size = sizeof *vm + vm->notes.len;
    for (size_t i = 0; i < vm->plans.len; i++)
        size += plan_size(vm->plans.data[i]);
    return size;
}

/* ---- as a whole --------------------------------------------------------------------------------------- */

void wg__vm_explain(const wg__code *code, wg__str *out)
{
    const wg__vm_plans *vm = code->plan;
    const wg__vm_plan *plan = part_of(code, 0);
    size_t in_place = 0;
    for (size_t e = 0; e < code->neffects; e++)
        in_place += code->in_place[e];
    if (code->neffects)
        wg__str_addf(out, "updates in place: %zu of %zu\n", in_place, code->neffects);
    wg__str_addf(out, "threads: at most %zu, with %zu B of scratch each\n", plan->threads,
                 plan->scratch);
    if (code->target)
        wg__str_addf(out, "values: at most %zu B at a time; %zu steps run again\n", plan->live,
                     plan->reruns);
    if (vm->notes.len)
        wg__str_add(out, "fusion:\n");
    for (const char *line = wg__str_text(&vm->notes), *end; *line; line = end + (*end != '\0')) {
        end = line + strcspn(line, "\n");
        wg__str_addf(out, "  %.*s\n", (int)(end - line), line);
    }
    out->failed |= vm->notes.failed;
}
