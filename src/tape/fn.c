/* Sub-tapes: opening, formal inputs, closing, and the nodes that run them. */
#include <string.h>

#include "tape/tape.h"

/* Walks over nested bodies recurse, so nesting has a limit. */
enum { MAX_NESTING = 1024 };

wg_tape *wg_fn_begin(wg_tape *outer, const char *name)
{
    if (!outer)
        return NULL;
    if (outer->depth >= MAX_NESTING) {
        wg__tape_fail(outer, WG_INVALID, "sub-tape \"%s\": sub-tapes nest at most %d deep",
                      name ? name : "", MAX_NESTING);
        return NULL;
    }
    wg_tape *body = wg__tape_new_sub(outer, outer->ctx, name ? name : "");
    if (!body || !wg__vec_push(outer->ctx, &outer->open, body)) {
        wg__tape_destroy(body);
        wg__tape_no_memory(outer);
        return NULL;
    }
    return body;
}

wg_var wg_fn_input(wg_tape *body, const char *name, wg_dtype dtype, wg_shape shape)
{
    wg_type type = {dtype, shape};
    if (!body)
        return wg__invalid();
    if (!body->parent || body->captures.len) {
        wg__tape_fail(body, WG_INVALID, "input \"%s\": %s", name ? name : "",
                      body->parent ? "declare all formal inputs before outer values are used"
                                   : "this is no sub-tape: use wg_input");
        return wg__invalid();
    }
    if (!wg__shape_ok(&shape, dtype, NULL, NULL) || !wg__symbols_known(body->ctx, &shape)) {
        wg__tape_fail(body, WG_SHAPE, "input \"%s\": impossible type", name ? name : "");
        return wg__invalid();
    }
    if (!wg__vec_reserve(body->ctx, &body->inputs, 1)) {
        wg__tape_no_memory(body);
        return wg__invalid();
    }
    uint32_t id = wg__push_source(body, WG__OP_INPUT, 0, 0, &type);
    if (id == WG__NONE)
        return wg__invalid();
    body->inputs.data[body->inputs.len++] = id;
    body->nodes.data[id].name = wg__intern_string(body, name);
    return wg__var(body, id);
}

static wg_fn invalid_fn(void)
{
    wg_fn fn = {NULL, 0};
    return fn;
}

static void forget_open(wg_tape *outer, const wg_tape *body)
{
    for (size_t i = 0; i < outer->open.len; i++)
        if (outer->open.data[i] == body) {
            outer->open.len--;
            memmove(&outer->open.data[i], &outer->open.data[i + 1],
                    (outer->open.len - i) * sizeof *outer->open.data);
            return;
        }
}

wg_fn wg_fn_end(wg_tape *body, const wg_var *outs, size_t nouts)
{
    if (!body || !body->parent || body->closed || nouts > UINT16_MAX) {
        wg__tape_fail(body, WG_INVALID, "fn end: %s",
                      body && body->parent ? "the sub-tape is closed already" : "no sub-tape");
        return invalid_fn();
    }
    wg_ctx *ctx = body->ctx;
    wg_tape *outer = body->parent;
    wg__fn *fn = wg__calloc(ctx, 1, sizeof *fn);
    uint32_t *ids = wg__calloc(ctx, nouts ? nouts : 1, sizeof *ids);
    uint32_t index = 0;
    if (!fn || !ids)
        goto no_memory;
    for (size_t i = 0; i < nouts; i++) {
        wg_var v = wg__is_literal(outs[i])
                       ? wg__materialise(body, outs[i], wg__literal_dtype(outs[i]))
                       : outs[i];
        if ((ids[i] = wg__resolve(body, v, "fn end")) == WG__NONE)
            goto failed;
    }
    atomic_init(&fn->refs, 1);
    fn->body = body;
    fn->outs = ids;
    fn->nouts = (uint32_t)nouts;
    if (!(index = wg__fn_add(outer, fn)))
        goto failed;
    body->closed = true;
    forget_open(outer, body);
    atomic_fetch_sub(&fn->refs, 1); /* the table's reference is the one */
    return wg__fn_handle(outer, index);
no_memory:
    wg__tape_no_memory(body);
failed:
    wg__free(ctx, ids);
    wg__free(ctx, fn);
    return invalid_fn();
}

void wg__fn_init(wg__fn *fn, wg_tape *body, uint32_t *outs, size_t nouts)
{
    body->closed = true;
    atomic_init(&fn->refs, 1);
    fn->body = body;
    fn->outs = outs;
    fn->nouts = (uint32_t)nouts;
}

/* ---- references ---------------------------------------------------------------------------------- */

void wg__fn_unref(wg__fn *fn)
{
    if (!fn || atomic_fetch_sub(&fn->refs, 1) != 1)
        return;
    wg_ctx *ctx = fn->body->ctx;
    wg__ctx_ref(ctx);
    wg__tape_destroy(fn->body);
    wg__free(ctx, fn->outs);
    wg__free(ctx, fn);
    wg__ctx_unref(ctx);
}

void wg__fn_release(wg_tape *t, wg__fn *fn)
{
    if (fn->body->parent == t)
        fn->body->parent = NULL; /* captures have lost their tape */
    wg__fn_unref(fn);
}

uint32_t wg__fn_add(wg_tape *t, wg__fn *fn)
{
    wg__fn_entry e = {fn, t->gen};
    for (size_t i = t->fns.len; i-- > 0;)
        if (t->fns.data[i].fn == fn)
            return (uint32_t)i + 1;
    if (!wg__vec_push(t->ctx, &t->fns, e)) {
        wg__tape_no_memory(t);
        return 0;
    }
    atomic_fetch_add(&fn->refs, 1);
    return (uint32_t)t->fns.len;
}

wg_fn wg__fn_handle(wg_tape *t, uint32_t index)
{
    if (!index)
        return invalid_fn();
    wg_fn fn = {t, index | (uint64_t)t->fns.data[index - 1].gen << 32};
    return fn;
}

wg__fn *wg__fn_get(wg_fn fn)
{
    uint32_t index = (uint32_t)fn.bits;
    if (!fn.tape || !index || index > fn.tape->fns.len ||
        fn.tape->fns.data[index - 1].gen != fn.bits >> 32)
        return NULL;
    return fn.tape->fns.data[index - 1].fn;
}

bool wg_fn_ok(wg_fn fn) { return wg__fn_get(fn) != NULL; }

const wg_tape *wg_fn_body(wg_fn fn)
{
    wg__fn *f = wg__fn_get(fn);
    return f ? f->body : NULL;
}

/* Captures are values of the tape that the fn was made on; elsewhere (a copy, a reference from a
 * rule) all inputs are formal. */
static size_t ncaptures(wg_fn fn, const wg__fn *f)
{
    return f->body->parent == fn.tape ? f->body->captures.len : 0;
}

size_t wg_fn_ninputs(wg_fn fn)
{
    wg__fn *f = wg__fn_get(fn);
    return f ? f->body->inputs.len - ncaptures(fn, f) : 0;
}

size_t wg_fn_noutputs(wg_fn fn)
{
    wg__fn *f = wg__fn_get(fn);
    return f ? f->nouts : 0;
}

size_t wg_fn_captures(wg_fn fn, size_t max, wg_var *out)
{
    wg__fn *f = wg__fn_get(fn);
    if (!f)
        return 0;
    size_t n = ncaptures(fn, f);
    for (size_t i = 0; i < n && i < max; i++)
        out[i] = wg__var(fn.tape, f->body->captures.data[i].outer);
    return n;
}

size_t wg_fn_noperands(wg_fn fn)
{
    wg__fn *f = wg__fn_get(fn);
    return f ? f->body->inputs.len : 0;
}

static wg_type no_type(void)
{
    wg_type type;
    memset(&type, 0, sizeof type);
    type.shape.rank = -1;
    return type;
}

wg_type wg_fn_operand_type(wg_fn fn, size_t index)
{
    wg__fn *f = wg__fn_get(fn);
    return f && index < f->body->inputs.len ? *wg__type_at(f->body, f->body->inputs.data[index])
                                            : no_type();
}

wg_type wg_fn_output_type(wg_fn fn, size_t index)
{
    wg__fn *f = wg__fn_get(fn);
    return f && index < f->nouts ? *wg__type_at(f->body, f->outs[index]) : no_type();
}

const char *wg_fn_operand_name(wg_fn fn, size_t index)
{
    wg__fn *f = wg__fn_get(fn);
    return f && index < f->body->inputs.len
               ? wg__text(f->body, wg__node_at(f->body, f->body->inputs.data[index])->name)
               : "";
}

wg_status wg__fn_uses(const wg__fn *f, bool *used)
{
    const wg_tape *t = f->body;
    bool *on = wg__calloc(t->ctx, t->nodes.len + 1, sizeof *on);
    if (!on)
        return WG_NO_MEMORY;
    for (uint32_t k = 0; k < f->nouts; k++)
        on[wg__head(t, f->outs[k])] = true;
    for (uint32_t id = (uint32_t)t->nodes.len; id-- > 0;) {
        const wg__node *n = wg__node_at(t, id);
        if (!on[id] || n->out)
            continue;
        for (uint16_t k = 0; k < n->nin; k++)
            on[wg__head(t, wg__operands(t, n)[k])] = true;
    }
    for (size_t i = 0; i < t->inputs.len; i++)
        used[i] = on[t->inputs.data[i]];
    wg__free(t->ctx, on);
    return WG_OK;
}

wg_status wg_fn_uses(wg_fn fn, bool *used)
{
    wg__fn *f = wg__fn_get(fn);
    if (!f)
        return WG_STALE;
    wg_status status = wg__fn_uses(f, used);
    return status ? wg__tape_no_memory(fn.tape) : WG_OK;
}

wg_status wg_fn_depends(wg_fn fn, const bool *in, bool *out)
{
    wg__fn *f = wg__fn_get(fn);
    if (!f)
        return WG_STALE;
    const wg_tape *t = f->body;
    bool *on = wg__calloc(t->ctx, t->nodes.len + 1, sizeof *on);
    if (!on)
        return wg__tape_no_memory(fn.tape);
    for (size_t i = 0; i < t->inputs.len; i++)
        on[t->inputs.data[i]] =
            in[i] && wg_dtype_is_float(wg__type_at(t, t->inputs.data[i])->dtype);
    for (uint32_t id = 0; id < t->nodes.len; id++) {
        const wg__node *n = wg__node_at(t, id);
        if ((wg__op_of(t, id)->def.flags & WG_OP_SOURCE) || n->op == WG__OP_STOP_GRADIENT ||
            !wg_dtype_is_float(wg__type_at(t, id)->dtype))
            continue;
        const uint32_t *operands = wg__operands(t, n);
        for (uint16_t k = 0; k < n->nin; k++)
            on[id] |= on[operands[k]];
    }
    for (uint32_t k = 0; k < f->nouts; k++)
        out[k] = on[f->outs[k]];
    wg__free(t->ctx, on);
    return WG_OK;
}
