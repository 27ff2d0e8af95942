/* The reference executor, the oracle: node by node, naive kernels, one thread. Everything lies in
 * the session's frame; nothing is allocated here. */
#include <stdio.h>
#include <string.h>

#include "exec/exec.h"

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
        return f->plan->literals + p->at;
    case WG__NOWHERE:
        break;
    }
    return NULL;
}

/* ---- elementwise ops: one loop for all ------------------------------------------------------------- */

/* The broadcast loop nest of a node: dimensions of size 1 dropped, neighbours merged where every
 * operand steps through both evenly. strides[d][k]: bytes from one index of dimension d to the
 * next in operand k; 0 where it is broadcast. */
typedef struct nest {
    size_t rank, nargs;
    int64_t size[WG_MAX_RANK];
    ptrdiff_t strides[WG_MAX_RANK][WG__MAX_OPERANDS + 1];
} nest;

/* The strides of operand `type` in an output of shape `out`, in bytes. */
static void strides_of(const wg_type *type, const wg_shape *out, ptrdiff_t *stride)
{
    ptrdiff_t step = (ptrdiff_t)wg_dtype_size(type->dtype);
    int skip = out->rank - type->shape.rank;
    for (int d = out->rank - 1; d >= 0; d--) {
        int64_t size = d >= skip ? type->shape.dim[d - skip] : 1;
        stride[d] = size == 1 ? 0 : step;
        step *= size;
    }
}

static bool mergeable(const nest *n, size_t outer, const ptrdiff_t *inner, int64_t size)
{
    for (size_t k = 0; k < n->nargs; k++)
        if (n->strides[outer][k] != inner[k] * size)
            return false;
    return true;
}

static void nest_push(nest *n, int64_t size, const ptrdiff_t *strides)
{
    if (n->rank && mergeable(n, n->rank - 1, strides, size)) {
        n->size[n->rank - 1] *= size;
    } else {
        n->size[n->rank++] = size;
    }
    memcpy(n->strides[n->rank - 1], strides, n->nargs * sizeof *strides);
}

static void nest_make(nest *n, const wg_kernel_call *c)
{
    const wg_shape *out = &c->out[0].type->shape;
    ptrdiff_t by_arg[WG__MAX_OPERANDS + 1][WG_MAX_RANK], row[WG__MAX_OPERANDS + 1];
    n->rank = 0;
    n->nargs = c->nin + 1;
    for (size_t k = 0; k < c->nin; k++)
        strides_of(c->in[k].type, out, by_arg[k]);
    strides_of(c->out[0].type, out, by_arg[c->nin]);
    for (int d = 0; d < out->rank; d++) {
        if (out->dim[d] == 1)
            continue;
        for (size_t k = 0; k < n->nargs; k++)
            row[k] = by_arg[k][d];
        nest_push(n, out->dim[d], row);
    }
}

/* Steps the outer dimensions on by one; false at the end. */
static bool advance(const nest *n, int64_t *index, char **data)
{
    for (size_t d = n->rank - 1; d-- > 0;) {
        bool wraps = ++index[d] == n->size[d];
        for (size_t k = 0; k < n->nargs; k++)
            data[k] += n->strides[d][k] * (wraps ? 1 - n->size[d] : 1);
        if (!wraps)
            return true;
        index[d] = 0;
    }
    return false;
}

static void run_loop(const wg_kernel *kernel, const wg_kernel_call *c)
{
    static const ptrdiff_t still[WG__MAX_OPERANDS + 1];
    nest n;
    char *data[WG__MAX_OPERANDS + 1];
    int64_t index[WG_MAX_RANK] = {0};
    if (wg_shape_count(c->out[0].type->shape) == 0)
        return;
    nest_make(&n, c);
    for (size_t k = 0; k < c->nin; k++)
        data[k] = c->in[k].data;
    data[c->nin] = c->out[0].data;
    if (n.rank == 0) {
        kernel->loop(1, data, still, c->data);
        return;
    }
    do
        kernel->loop((size_t)n.size[n.rank - 1], data, n.strides[n.rank - 1], c->data);
    while (advance(&n, index, data));
}

/* ---- failures -------------------------------------------------------------------------------------- */

/* "gather "picked" in scope decoder: " */
static void add_where(const wg__frame *f, wg__str *s)
{
    const wg_tape *t = f->plan->tape;
    const wg__node *n = wg__node_at(t, f->step->id);
    wg__str_add(s, wg__op_of(t, f->step->id)->name);
    if (n->name)
        wg__str_addf(s, " \"%s\"", wg__text(t, n->name));
    if (n->scope) {
        wg__str_add(s, " in scope ");
        wg__scope_path(t, n->scope, s);
    }
    wg__str_add(s, ": ");
}

static wg_status fail(const wg__frame *f, wg_status status, const char *format, va_list args)
    WG_PRINTF(3, 0);
static wg_status fail(const wg__frame *f, wg_status status, const char *format, va_list args)
{
    wg__error *e = &f->session->error;
    if (f->session->told)
        return status;
    f->session->told = true;
    e->status = status;
    wg__str_clear(&e->text);
    add_where(f, &e->text);
    wg__str_addv(&e->text, format, args);
    return status;
}

wg_status wg_kernel_fail(const wg_kernel_call *c, wg_status status, const char *format, ...)
{
    if (!c->priv)
        return status;
    va_list args;
    va_start(args, format);
    fail(c->priv, status, format, args);
    va_end(args);
    return status;
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
    run_loop(step->kernel, &c);
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
    for (size_t i = 0; i < plan->steps.len; i++) {
        f->step = &plan->steps.data[i];
        if (wg__cancelled(f->session->ctx)) {
            f->session->told = true;
            return wg__fail(&f->session->error, WG_CANCELLED, "the run was cancelled");
        }
        wg_status status = run_step(f, f->step);
        if (status)
            return status;
    }
    settle_roots(f);
    return WG_OK;
}

/* ---- bodies ------------------------------------------------------------------------------------------ */

static const wg__sub *find_sub(const wg__frame *f, const wg_kernel_call *c, const char *name)
{
    const wg__plan *plan = f->plan;
    for (size_t i = f->step->sub; i < plan->subs.len && plan->subs.data[i].step == f->step->id; i++)
        if (strcmp(c->attrs->op->sig.attrs[plan->subs.data[i].attr].name, name) == 0)
            return &plan->subs.data[i];
    return NULL;
}

wg__frame *wg__frame_make(const wg__plan *plan, wg_session *session, void *memory)
{
    wg__frame *f = memory;
    char *base = memory;
    *f = (wg__frame){plan, session, NULL, (const void **)(void *)(base + plan->bound_at),
                     (wg_view *)(void *)(base + plan->views_at)};
    return f;
}

wg_status wg_kernel_run_fn(const wg_kernel_call *c, const char *name, const wg_view *ins,
                           size_t nins, const wg_view *outs, size_t nouts)
{
    wg__frame *f = c->priv;
    const wg__sub *sub = f ? find_sub(f, c, name) : NULL;
    if (!sub)
        return wg_kernel_fail(c, WG_INTERNAL, "there is no sub-tape \"%s\"", name);
    const wg__plan *plan = sub->plan;
    if (nins != plan->nbound || nouts != plan->nroots)
        return wg_kernel_fail(c, WG_INTERNAL,
                              "sub-tape \"%s\" takes %zu operands and gives %zu values, not %zu "
                              "and %zu",
                              name, plan->nbound, plan->nroots, nins, nouts);
    wg__frame *body = wg__frame_make(plan, f->session, (char *)f + f->plan->body_at);
    for (size_t i = 0; i < nins; i++)
        body->bound[i] = ins[i].data;
    wg_status status = run_frame(body);
    for (size_t i = 0; status == WG_OK && i < nouts; i++)
        if (outs[i].data)
            memcpy(outs[i].data, (char *)body + plan->root_at[i],
                   wg__type_bytes(wg__type_at(plan->tape, plan->roots[i])));
    return status;
}

/* ---- the executor -------------------------------------------------------------------------------------- */

static wg_status plan_program(wg_program *p, wg__error *error)
{
    size_t nbound = p->ninputs + p->params.len, nroots = p->outs.len + p->neffects;
    uint32_t *ids = wg__calloc(p->ctx, nbound + nroots, sizeof *ids), *at = ids;
    if (!ids)
        return wg__fail(error, WG_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < p->ninputs; i++)
        *at++ = p->inputs.data[i].id;
    for (size_t i = 0; i < p->params.len; i++)
        *at++ = p->params.data[i].id;
    for (size_t i = 0; i < p->outs.len; i++)
        *at++ = p->outs.data[i].id;
    for (size_t i = 0; i < p->neffects; i++)
        *at++ = p->values[i];
    wg_status status = wg__plan_make(&p->plans, p->tape, ids, nbound, ids + nbound, nroots, error);
    wg__free(p->ctx, ids);
    return status;
}

static wg_status run_session(wg_session *s) { return run_frame(s->frame); }

const wg__executor wg__reference = {"reference", plan_program, run_session};
