/* Programs of a check: leaves in, one vector of doubles out. */
#include <string.h>

#include "check/checking.h"

/* A program of the outputs that are there. */
static bool compile(wg__check *c, wg_tape *tape, const wg_var *outs, size_t nouts,
                    wg_program **program, wg_session **session)
{
    wg_compile_options options = WG_COMPILE_DEFAULTS;
    options.no_effects = true;
    options.executor = c->job->o.executor ? c->job->o.executor : "reference";
    wg_var *there = wg__calloc(c->ctx, nouts + 1, sizeof *there);
    size_t n = 0;
    for (size_t i = 0; there && i < nouts; i++)
        if (!wg_is_none(outs[i]))
            there[n++] = outs[i];
    *program = there ? wg_compile(tape, there, n, &options) : NULL;
    *session = *program ? wg_session_new(*program, NULL) : NULL;
    wg__free(c->ctx, there);
    if (*session)
        return true;
    c->status = WG_NO_MEMORY;
    if (there && !*program && wg_tape_status(tape) != WG_NO_MEMORY) {
        c->status = WG_OK;
        wg__check_end(c, WG_CHECK_ERROR, "%s", wg_tape_error(tape));
    }
    return false;
}

bool wg__eval_open(wg__eval *e, wg__check *c, const wg_var *outs, const size_t *sizes, size_t nouts,
                   bool hold)
{
    memset(e, 0, sizeof *e);
    e->c = c;
    e->sizes = sizes;
    e->nouts = nouts;
    e->nleaves = c->leaves.len;
    e->there = wg__check_take(c, nouts, sizeof *e->there);
    for (size_t i = 0; i < nouts && e->there; i++) {
        e->there[i] = !wg_is_none(outs[i]);
        e->total += sizes[i];
    }
    if (!e->there || (hold && !wg__check_hold(c, outs, nouts, &e->held)))
        return false;
    if (!e->held.tape)
        return compile(c, c->tape, outs, nouts, &e->program, &e->session);
    return compile(c, e->held.tape, e->held.outs, nouts, &e->program, &e->session) &&
           compile(c, c->tape, e->held.values, e->held.n, &e->source, &e->source_session);
}

void wg__eval_close(wg__eval *e)
{
    wg_session_free(e->session);
    wg_session_free(e->source_session);
    wg_program_free(e->program);
    wg_program_free(e->source);
    wg_tape_free(e->held.tape);
}

/* What a session says becomes the check's message. */
static bool failed(wg__check *c, const wg_session *s, wg_status status)
{
    if (status == WG_NO_MEMORY || status == WG_CANCELLED)
        c->status = status;
    else if (!c->trying)
        wg__check_end(c, WG_CHECK_ERROR, "%s", wg_session_error(s));
    return false;
}

static bool bind(wg__check *c, wg_session *s, wg_var var, const wg__leaf *l, const double *x)
{
    const void *data = l->native ? l->native : x;
    wg_status status = wg_bind_copy(s, var, data, l->count * wg_dtype_size(l->type.dtype));
    return status ? failed(c, s, status) : true;
}

bool wg__eval_bind(wg__eval *e, size_t leaf, const double *x)
{
    wg__leaf *l = &e->c->leaves.data[leaf];
    return bind(e->c, e->session, e->held.tape ? e->held.vars[leaf] : l->var, l, x);
}

/* The values that are held come from the graph itself, at the point. */
static bool bind_held(wg__eval *e)
{
    wg__check *c = e->c;
    for (size_t i = 0; i < e->nleaves; i++) {
        wg__leaf *l = &c->leaves.data[i];
        if (!bind(c, e->source_session, l->var, l, l->x))
            return false;
    }
    wg_status status = wg_run(e->source_session);
    if (status)
        return failed(c, e->source_session, status);
    for (size_t i = 0; i < e->held.n && !status; i++) {
        size_t bytes;
        const void *data = wg_output_at(e->source_session, i, NULL, &bytes);
        status = wg_bind(e->session, e->held.inputs[i], data, bytes);
    }
    return status ? failed(c, e->session, status) : true;
}

bool wg__eval_point(wg__eval *e)
{
    for (size_t i = 0; i < e->nleaves; i++)
        if (!wg__eval_bind(e, i, e->c->leaves.data[i].x))
            return false;
    return !e->held.tape || bind_held(e);
}

bool wg__eval_run(wg__eval *e, double *out)
{
    wg_status status = wg_run(e->session);
    if (status)
        return failed(e->c, e->session, status);
    size_t at = 0;
    for (size_t i = 0; i < e->nouts; i++) {
        const double *data = e->there[i] ? wg_output_at(e->session, at++, NULL, NULL) : NULL;
        if (data && e->sizes[i])
            memcpy(out, data, e->sizes[i] * sizeof *out);
        else if (e->sizes[i])
            memset(out, 0, e->sizes[i] * sizeof *out);
        out += e->sizes[i];
    }
    return true;
}
