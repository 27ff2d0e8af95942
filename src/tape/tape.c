/* Tapes: making, freeing, errors, marks and rewind. */
#include <stdio.h>
#include <string.h>

#include "tape/tape.h"

wg_tape *wg__tape_new_sub(wg_tape *parent, wg_ctx *ctx, const char *name)
{
    wg_tape *t = wg__calloc(ctx, 1, sizeof *t);
    if (!t)
        return NULL;
    wg__ctx_ref(ctx);
    t->ctx = ctx;
    t->parent = parent;
    t->root = parent ? parent->root : t;
    t->depth = parent ? parent->depth + 1 : 0;
    t->birth = wg__tick(ctx);
    t->gen = (uint32_t)t->birth;
    wg__pool_init(&t->types, ctx);
    wg__pool_init(&t->attrs, ctx);
    wg__pool_init(&t->strings, ctx);
    wg__pool_init(&t->scopes, ctx);
    wg__pool_init(&t->named, ctx);
    t->error.text = wg__str_make(ctx);
    if (name && !(t->name = wg__strdup(ctx, name))) {
        wg__tape_destroy(t);
        return NULL;
    }
    return t;
}

wg_tape *wg_tape_new(wg_ctx *ctx) { return ctx ? wg__tape_new_sub(NULL, ctx, NULL) : NULL; }

static void forget_memo(wg_tape *t, size_t from)
{
    for (size_t i = from; i < t->memo.len; i++)
        wg_tensor_free(t->memo.data[i]);
    if (t->memo.len > from)
        t->memo.len = from;
}

void wg__tape_destroy(wg_tape *t)
{
    if (!t)
        return;
    wg_ctx *ctx = t->ctx;
    for (size_t i = 0; i < t->open.len; i++)
        wg__tape_destroy(t->open.data[i]);
    for (size_t i = 0; i < t->fns.len; i++)
        wg__fn_release(t, t->fns.data[i].fn);
    for (size_t i = 0; i < t->consts.len; i++)
        wg_tensor_free(t->consts.data[i]);
    forget_memo(t, 0);
    wg__vec_free(ctx, &t->open);
    wg__vec_free(ctx, &t->fns);
    wg__vec_free(ctx, &t->consts);
    wg__vec_free(ctx, &t->memo);
    wg__vec_free(ctx, &t->nodes);
    wg__vec_free(ctx, &t->operands);
    wg__vec_free(ctx, &t->inputs);
    wg__vec_free(ctx, &t->captures);
    wg__vec_free(ctx, &t->params);
    wg__vec_free(ctx, &t->effects);
    wg__pool_free(&t->types);
    wg__pool_free(&t->attrs);
    wg__pool_free(&t->strings);
    wg__pool_free(&t->scopes);
    wg__pool_free(&t->named);
    wg__str_free(&t->error.text);
    wg__free(ctx, t->name);
    wg__free(ctx, t);
    wg__ctx_unref(ctx);
}

void wg_tape_free(wg_tape *tape)
{
    if (tape && !tape->parent)
        wg__tape_destroy(tape);
}

wg_ctx *wg_tape_ctx(const wg_tape *tape) { return tape ? tape->ctx : NULL; }

size_t wg_tape_size(const wg_tape *tape) { return tape ? tape->nodes.len : 0; }

/* ---- errors ------------------------------------------------------------------------------- */

wg_status wg__tape_fail(wg_tape *t, wg_status status, const char *format, ...)
{
    if (!t)
        return status;
    wg__tape_error *e = &t->root->error;
    if (e->status)
        return status;
    e->status = status;
    wg__str_clear(&e->text);
    va_list args;
    va_start(args, format);
    wg__str_addv(&e->text, format, args);
    va_end(args);
    if (t->scope) {
        wg__str_add(&e->text, " (in scope ");
        wg__scope_path(t, t->scope, &e->text);
        wg__str_add(&e->text, ")");
    }
    wg__log(t->ctx, "%s", wg_tape_error(t));
    return status;
}

wg_status wg__tape_no_memory(wg_tape *t) { return wg__tape_fail(t, WG_NO_MEMORY, "out of memory"); }

wg_status wg_tape_status(const wg_tape *tape)
{
    return tape ? tape->root->error.status : WG_NO_MEMORY;
}

const char *wg_tape_error(const wg_tape *tape)
{
    wg_status status = wg_tape_status(tape);
    if (!status)
        return "";
    const wg__str *text = tape ? &tape->root->error.text : NULL;
    return text && !text->failed && text->len ? text->data : wg_status_text(status);
}

void wg_tape_clear_error(wg_tape *tape)
{
    if (tape)
        tape->root->error.status = WG_OK;
}

/* ---- marks ---------------------------------------------------------------------------------- */

/* The generation of the last value before position `nodes`: tells whether what stood there when a
 * mark was made still stands. */
static uint32_t gen_before(const wg_tape *t, uint32_t nodes)
{
    return nodes ? wg__node_at(t, nodes - 1)->gen : 0;
}

wg_mark wg_tape_mark(const wg_tape *tape)
{
    wg_mark m;
    memset(&m, 0, sizeof m);
    if (!tape)
        return m;
    m.tape = tape;
    m.time = wg__tick(tape->ctx);
    m.nodes = (uint32_t)tape->nodes.len;
    m.gen = gen_before(tape, m.nodes);
    m.operands = (uint32_t)tape->operands.len;
    m.inputs = (uint32_t)tape->inputs.len;
    m.params = (uint32_t)tape->params.len;
    m.captures = (uint32_t)tape->captures.len;
    m.effects = (uint32_t)tape->effects.len;
    m.fns = (uint32_t)tape->fns.len;
    m.consts = (uint32_t)tape->consts.len;
    m.scope = tape->scope;
    return m;
}

static bool mark_fits(const wg_tape *t, const wg_mark *m)
{
    return m->tape == t && m->time > t->birth && m->nodes <= t->nodes.len &&
           gen_before(t, m->nodes) == m->gen && m->operands <= t->operands.len &&
           m->inputs <= t->inputs.len && m->params <= t->params.len &&
           m->captures <= t->captures.len && m->effects <= t->effects.len && m->fns <= t->fns.len &&
           m->consts <= t->consts.len && m->scope <= t->scopes.entries.len;
}

/* Names of forgotten inputs and params become free again. */
static wg_status rebuild_names(wg_tape *t)
{
    wg__str name = wg__str_make(t->ctx);
    bool good = true;
    wg__pool_free(&t->named);
    wg__pool_init(&t->named, t->ctx);
    for (size_t i = 0; i < t->inputs.len + t->params.len && good && !t->parent; i++) {
        wg__str_clear(&name);
        wg__full_name(t, i < t->inputs.len ? t->inputs.data[i] : t->params.data[i - t->inputs.len],
                      &name);
        good = !name.failed && wg__pool_intern(&t->named, name.data, name.len);
    }
    wg__str_free(&name);
    return good ? WG_OK : wg__tape_no_memory(t);
}

/* Sub-tapes begun after `time` are freed; those begun before stay open. */
static void drop_open(wg_tape *t, uint64_t time)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->open.len; i++)
        if (t->open.data[i]->birth < time)
            t->open.data[kept++] = t->open.data[i];
        else
            wg__tape_destroy(t->open.data[i]);
    t->open.len = kept;
}

wg_status wg_tape_rewind(wg_tape *tape, wg_mark mark)
{
    if (!tape)
        return WG_INVALID;
    if (tape->closed)
        return wg__tape_fail(tape, WG_INVALID, "rewind: the sub-tape is closed");
    if (!mark_fits(tape, &mark))
        return wg__tape_fail(
            tape, WG_STALE, "rewind: the mark is of another tape, or the tape was rewound past it");
    bool renamed = mark.inputs < tape->inputs.len || mark.params < tape->params.len;
    for (size_t i = mark.fns; i < tape->fns.len; i++)
        wg__fn_release(tape, tape->fns.data[i].fn);
    for (size_t i = mark.consts; i < tape->consts.len; i++)
        wg_tensor_free(tape->consts.data[i]);
    drop_open(tape, mark.time);
    forget_memo(tape, mark.nodes);
    tape->fns.len = mark.fns;
    tape->consts.len = mark.consts;
    tape->nodes.len = mark.nodes;
    tape->operands.len = mark.operands;
    tape->inputs.len = mark.inputs;
    tape->params.len = mark.params;
    tape->captures.len = mark.captures;
    tape->effects.len = mark.effects;
    tape->scope = mark.scope;
    tape->gen = (uint32_t)wg__tick(tape->ctx);
    return renamed ? rebuild_names(tape) : WG_OK;
}
