/* The reference executor, the oracle: node by node, naive kernels, one thread. Everything lies in
 * the session's frame; nothing is allocated here. */
#include <string.h>

#include "exec/reference.h"
#include "tape/nest.h"

/* ---- values --------------------------------------------------------------------------------------- */

static void *value_of(const wg__frame *f, uint32_t id)
{
    const wg__place *p = &f->plan->place[id];
    switch (p->where) {
    case WG__FRAME:
        return (char *)f + p->at;
    case WG__BOUND:
        return (void *)f->bound[p->at]; /* kernels only read their operands */
    case WG__CONST:
        return f->plan->tape->consts.data[p->at]->data;
    case WG__LITERAL:
        return (char *)f->literals + p->at; /* as above */
    case WG__NOWHERE:
        break;
    }
    return NULL;
}

/* ---- nodes ------------------------------------------------------------------------------------------- */

static wg_status run_step(wg__frame *f, const wg__step *step)
{
    const wg_tape *t = f->plan->tape;
    const wg__node *n = wg__node_at(t, step->id);
    const uint32_t *in = wg__operands(t, n);
    wg_view *views = f->views;
    for (uint16_t k = 0; k < n->nin; k++)
        views[k] = (wg_view){value_of(f, in[k]), wg__type_at(t, in[k])};
    for (uint16_t k = 0; k < n->nout; k++)
        views[n->nin + k] = (wg_view){value_of(f, step->id + k), wg__type_at(t, step->id + k)};
    wg_attrs attrs = wg__attrs_of(t, step->id);
    wg_kernel_call c = {n->nin,
                        n->nout,
                        views,
                        views + n->nin,
                        &attrs,
                        (char *)f + step->scratch,
                        attrs.op->def.data,
                        f};
    if (!step->kernel->loop) {
        wg_status status = step->kernel->run(&c);
        return status ? wg_kernel_fail(&c, status, "%s", wg_status_text(status)) : WG_OK;
    }
    wg__nest_run(step->kernel, &c);
    return WG_OK;
}

/* Copies the roots that no step computed into the frame (see place_roots in plan.c). */
static void settle_roots(wg__frame *f)
{
    const wg__plan *plan = f->plan;
    for (size_t i = 0; i < plan->nroots; i++)
        if (plan->place[plan->roots[i]].where != WG__FRAME)
            memcpy((char *)f + plan->root_at[i], value_of(f, plan->roots[i]),
                   wg__type_bytes(wg__type_at(plan->tape, plan->roots[i])));
}

static wg_status run_frame(wg__frame *f)
{
    const wg__plan *plan = f->plan;
    wg_session *session = f->running.session;
    uint64_t *profile = (void *)f == session->frame ? session->profile : NULL;
    /* A loop whose body has no steps can be stopped too. */
    wg_status idle = plan->steps.len ? WG_OK : wg__run_cancelled(session);
    if (idle)
        return idle;
    for (size_t i = 0; i < plan->steps.len; i++) {
        uint64_t start = profile ? wg__now() : 0;
        f->step = &plan->steps.data[i];
        f->running.node = f->step->id;
        wg_status status = wg__run_cancelled(session);
        if (status == WG_OK)
            status = run_step(f, f->step);
        if (status)
            return status;
        if (profile)
            profile[i] += wg__now() - start;
    }
    settle_roots(f);
    return WG_OK;
}

/* ---- bodies ------------------------------------------------------------------------------------------ */

static const wg__sub *find_sub(const wg__frame *f, size_t which)
{
    const wg__plan *plan = f->plan;
    size_t i = f->step->sub + which;
    return i < plan->subs.len && plan->subs.data[i].step == f->step->id ? &plan->subs.data[i]
                                                                        : NULL;
}

static wg__frame *frame_make(const wg__plan *plan, wg_session *session, void *memory)
{
    wg__frame *f = memory;
    char *base = memory;
    *f = (wg__frame){
        .running = {.executor = &wg__reference, .session = session, .tape = plan->tape},
        .plan = plan,
        .literals = memory == session->frame ? session->program->literals : plan->literals,
        .bound = (const void **)(void *)(base + plan->bound_at),
        .views = (wg_view *)(void *)(base + plan->views_at)};
    return f;
}

static wg_status run_fn(const wg_kernel_call *c, size_t which, const wg_view *ins, size_t nins,
                        const wg_view *outs, size_t nouts)
{
    wg__frame *f = c->priv;
    const wg__sub *sub = find_sub(f, which);
    if (!sub)
        return wg_kernel_fail(c, WG_INTERNAL, "there is no sub-tape %zu", which);
    const wg__plan *plan = sub->plan;
    wg_status status = wg__check_fn_call(c, which, plan->nbound, plan->nroots, nins, nouts);
    if (status)
        return status;
    wg__frame *body = frame_make(plan, f->running.session, (char *)f + f->plan->body_at);
    for (size_t i = 0; i < nins; i++)
        body->bound[i] = ins[i].data;
    status = run_frame(body);
    for (size_t i = 0; status == WG_OK && i < nouts; i++)
        if (outs[i].data)
            memcpy(outs[i].data, (char *)body + plan->root_at[i],
                   wg__type_bytes(wg__type_at(plan->tape, plan->roots[i])));
    return status;
}

/* ---- the executor -------------------------------------------------------------------------------------- */

static void free_plans(wg_ctx *ctx, void *plan)
{
    wg__plans *plans = plan;
    if (plans)
        wg__plans_free(ctx, plans);
    wg__free(ctx, plans);
}

static wg_status plan_code(wg__code *code, wg__error *error)
{
    wg__plans *plans = code->plan = wg__calloc(code->ctx, 1, sizeof *plans);
    return plans ? wg__plan_make(plans, code->tape, code->bound, code->ninputs + code->nparams,
                                 code->roots, code->nouts + code->neffects, error)
                 : wg__fail(error, WG_NO_MEMORY, "out of memory");
}

static size_t frame_bytes(const wg__code *code) { return wg__plan_main(code->plan)->bytes; }

static void open_session(wg_session *s)
{
    s->bound = frame_make(wg__plan_main(s->program->code->plan), s, s->frame)->bound;
}

static wg_status run_session(wg_session *s) { return run_frame(s->frame); }

static const void *root(const wg_session *s, size_t index)
{
    const wg__frame *f = s->frame;
    return (const char *)f + f->plan->root_at[index];
}

/* ---- steps, for profiles and explanations ---------------------------------------------------------------- */

/* Parts are numbered from the main plan, which is the last. */
static size_t parts(const wg__code *code) { return ((const wg__plans *)code->plan)->len; }

static const wg__plan *part_of(const wg__code *code, size_t part)
{
    const wg__plans *plans = code->plan;
    return plans->data[plans->len - 1 - part];
}

static size_t count_steps(const wg__code *code, size_t part)
{
    return part_of(code, part)->steps.len;
}

static size_t part_number(const wg__code *code, const wg__plan *plan)
{
    size_t part = 0;
    while (part_of(code, part) != plan)
        part++;
    return part;
}

static void step_info(const wg__code *code, size_t part, size_t index, wg__step_info *info)
{
    const wg__plan *plan = part_of(code, part);
    const wg__step *step = &plan->steps.data[index];
    *info = (wg__step_info){.kind = wg__op_of(plan->tape, step->id)->name,
                            .tape = plan->tape,
                            .nodes = &step->id,
                            .nnodes = 1,
                            .together = 1,
                            .flops = wg__node_flops(plan->tape, step->id),
                            .bytes = wg__node_traffic(plan->tape, step->id)};
    for (size_t i = step->sub; i < plan->subs.len && plan->subs.data[i].step == step->id &&
                               info->nbodies < WG__MAX_STEP_BODIES;
         i++, info->nbodies++) {
        info->body[info->nbodies].part = part_number(code, plan->subs.data[i].plan);
        info->body[info->nbodies].times = wg__node_runs(plan->tape, step->id);
    }
}

static size_t reached(const wg__code *code, size_t part, size_t index, uint32_t *ids, size_t max)
{
    const wg__plan *plan = part_of(code, part);
    uint32_t id = plan->steps.data[index].id;
    const wg__node *n = wg__node_at(plan->tape, id);
    const uint32_t *in = wg__operands(plan->tape, n);
    size_t count = 0;
    for (uint16_t k = 0; k < n->nin && count < max; k++)
        ids[count++] = in[k];
    for (uint16_t k = 0; k < n->nout && count < max; k++)
        ids[count++] = id + k;
    return count;
}

static void explain(const wg__code *code, wg__str *out)
{
    (void)code;
    (void)out;
}

static size_t plan_size(const wg__code *code)
{
    const wg__plans *plans = code->plan;
    size_t size = sizeof *plans;
    for (size_t i = 0; i < plans->len; i++) {
        const wg__plan *p = plans->data[i];
        size += sizeof *p + p->steps.cap * sizeof *p->steps.data +
                p->tape->nodes.len * (sizeof *p->place + sizeof(int64_t));
    }
    return size;
}

const wg__executor wg__reference = {.name = "reference",
                                    .level = 0,
                                    .plan = plan_code,
                                    .free = free_plans,
                                    .bytes = frame_bytes,
                                    .size = plan_size,
                                    .open = open_session,
                                    .run = run_session,
                                    .root = root,
                                    .run_fn = run_fn,
                                    .parts = parts,
                                    .steps = count_steps,
                                    .step = step_info,
                                    .reached = reached,
                                    .explain = explain};
