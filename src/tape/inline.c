/* Whole bodies: copied below another tape, and recorded in place of a call. The nodes themselves are
 * brought over by copy.c. */
#include <string.h>

#include "tape/tape.h"

wg__fn *wg__fn_copy(wg_tape *parent, const wg__fn *fn, const wg__copy *rules)
{
    wg_ctx *ctx = parent->ctx;
    const wg_tape *src = fn->body;
    size_t nroots = src->inputs.len + fn->nouts;
    wg__copy c = *rules;
    wg__fn *copy = wg__calloc(ctx, 1, sizeof *copy);
    uint32_t *roots = wg__calloc(ctx, nroots + 1, sizeof *roots);
    uint32_t *outs = wg__calloc(ctx, fn->nouts + 1, sizeof *outs);
    c.dst = wg__tape_new_sub(parent, ctx, src->name);
    c.src = src;
    c.map = wg__copy_map(ctx, src);
    c.roots = roots;
    c.nroots = nroots;
    if (!copy || !roots || !outs || !c.dst || !c.map) {
        wg__tape_no_memory(parent);
        goto failed;
    }
    for (size_t i = 0; i < nroots; i++) /* inputs first: a body's interface is never dead */
        roots[i] = i < src->inputs.len ? src->inputs.data[i] : fn->outs[i - src->inputs.len];
    if (wg__copy_nodes(&c))
        goto failed;
    for (uint32_t i = 0; i < fn->nouts; i++)
        outs[i] = c.map[fn->outs[i]];
    wg__free(ctx, c.map);
    wg__free(ctx, roots);
    wg__fn_init(copy, c.dst, outs, fn->nouts);
    return copy;
failed:
    wg__tape_destroy(c.dst);
    wg__free(ctx, c.map);
    wg__free(ctx, outs);
    wg__free(ctx, roots);
    wg__free(ctx, copy);
    return NULL;
}

static wg_status check_operands(wg_tape *t, const wg__fn *f, const wg_var *ins, size_t nins,
                                const bool *used)
{
    const char *name = f->body->name ? f->body->name : "";
    if (nins != f->body->inputs.len)
        return wg__tape_fail(t, WG_INVALID, "inline: \"%s\" takes %zu operands, not %zu", name,
                             f->body->inputs.len, nins);
    for (size_t i = 0; i < nins; i++) {
        uint32_t input = f->body->inputs.data[i];
        wg_type type = wg_typeof(ins[i]);
        if ((used[i] || !wg_is_none(ins[i])) && !wg__type_equal(&type, wg__type_at(f->body, input)))
            return wg__tape_fail(t, WG_SHAPE,
                                 "inline: operand %zu has another type than input \"%s\" of \"%s\"",
                                 i, wg__text(f->body, wg__node_at(f->body, input)->name), name);
    }
    return WG_OK;
}

wg_status wg__inline_fn(wg_tape *t, const wg__fn *f, const wg_var *ins, size_t nins, wg_var *outs,
                        size_t max_outs)
{
    wg__copy c = {
        t,    f->body, wg__copy_map(t->ctx, f->body), f->outs, f->nouts, false, false, NULL, NULL,
        NULL, NULL};
    bool *used = wg__calloc(t->ctx, f->body->inputs.len + 1, sizeof *used);
    wg_status status = c.map && used && !wg__fn_uses(f, used) ? WG_OK : wg__tape_no_memory(t);
    if (!status)
        status = check_operands(t, f, ins, nins, used);
    for (size_t i = 0; !status && i < nins; i++) {
        if (wg_is_none(ins[i]))
            continue;
        uint32_t id = wg__resolve(t, ins[i], "inline");
        c.map[f->body->inputs.data[i]] = id;
        status = id == WG__NONE ? WG_INVALID : WG_OK;
    }
    if (!status)
        status = wg__copy_nodes(&c);
    for (size_t i = 0; i < max_outs; i++)
        outs[i] = status || i >= f->nouts ? wg__invalid() : wg__var(t, c.map[f->outs[i]]);
    wg__free(t->ctx, c.map);
    wg__free(t->ctx, used);
    return status;
}

wg_status wg_inline(wg_tape *t, wg_fn fn, const wg_var *ins, size_t nins, wg_var *outs,
                    size_t max_outs)
{
    wg__fn *f = wg__fn_get(fn);
    if (f && t && f->body->ctx != t->ctx)
        f = NULL;
    size_t n = f ? f->body->inputs.len : 0;
    wg_var *all = t && f ? wg__calloc(t->ctx, nins + n + 1, sizeof *all) : NULL;
    if (!all) {
        for (size_t i = 0; i < max_outs; i++)
            outs[i] = wg__invalid();
        return f && t
                   ? wg__tape_no_memory(t)
                   : wg__tape_fail(t, WG_STALE,
                                   "inline: the sub-tape is invalid, stale or of another context");
    }
    for (size_t i = 0; i < nins; i++)
        all[i] =
            wg__is_literal(ins[i]) && i < n
                ? wg__materialise(t, ins[i], wg__type_at(f->body, f->body->inputs.data[i])->dtype)
                : ins[i];
    size_t ncap = nins < n ? wg_fn_captures(fn, n, all + nins) : 0;
    wg_status status = wg__inline_fn(t, f, all, nins + ncap, outs, max_outs);
    wg__free(t->ctx, all);
    return status;
}
