/* What kernels call back: failing with a message, running sub-tapes; the same for all executors. */
#include "exec/exec.h"

/* "gather "picked" in scope decoder: " */
static void add_where(const wg__running *r, wg__str *s)
{
    const wg__node *n = wg__node_at(r->tape, r->node);
    wg__str_add(s, wg__op_of(r->tape, r->node)->name);
    if (n->name)
        wg__str_addf(s, " \"%s\"", wg__text(r->tape, n->name));
    if (n->scope) {
        wg__str_add(s, " in scope ");
        wg__scope_path(r->tape, n->scope, s);
    }
    wg__str_add(s, ": ");
}

static wg_status fail(const wg__running *r, wg_status status, const char *format, va_list args)
    WG_PRINTF(3, 0);
static wg_status fail(const wg__running *r, wg_status status, const char *format, va_list args)
{
    wg__error *e = &r->session->error;
    if (r->quiet || r->session->told)
        return status;
    r->session->told = true;
    e->status = status;
    wg__str_clear(&e->text);
    add_where(r, &e->text);
    wg__str_addv(&e->text, format, args);
    return status;
}

wg_status wg__run_fail(const wg__running *r, wg_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fail(r, status, format, args);
    va_end(args);
    return status;
}

wg_status wg__run_cancelled(wg_session *s)
{
    return wg__cancelled(s->ctx) ? wg__tell_cancelled(s) : WG_OK;
}

wg_status wg__tell_cancelled(wg_session *s)
{
    s->told = true;
    return wg__fail(&s->error, WG_CANCELLED, "the run was cancelled");
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

wg_status wg__check_fn_call(const wg_kernel_call *c, size_t which, size_t nbound, size_t nroots,
                            size_t nins, size_t nouts)
{
    if (nins == nbound && nouts == nroots)
        return WG_OK;
    return wg_kernel_fail(c, WG_INTERNAL,
                          "sub-tape %zu takes %zu operands and gives %zu values, not %zu and %zu",
                          which, nbound, nroots, nins, nouts);
}

wg_status wg_kernel_run_fn(const wg_kernel_call *c, size_t which, const wg_view *ins, size_t nins,
                           const wg_view *outs, size_t nouts)
{
    const wg__running *r = c->priv;
    if (!r)
        return WG_INTERNAL;
    return r->executor->run_fn(c, which, ins, nins, outs, nouts);
}

wg_status wg_kernel_spread(const wg_kernel_call *c, size_t items, wg_item_fn fn, void *arg)
{
    const wg__running *r = c->priv;
    wg_status status = WG_OK;
    if (r && r->executor->spread)
        return r->executor->spread(c, items, fn, arg);
    for (size_t i = 0; i < items && !status; i++)
        status = fn(c, i, arg);
    return status;
}
