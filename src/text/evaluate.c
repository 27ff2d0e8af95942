/* Names and calls of a parsed graph: what labels stand for, operands, ops and their attributes, and
 * complaints about them. Names that the text gives to values, numbers (%12) and fns live in one
 * table per tape. */
#include <string.h>

#include "text/replay.h"

/* ---- names --------------------------------------------------------------------------------- */

const wg__named *wg__names_find(const wg__names *names, const char *label)
{
    uint32_t id = wg__pool_find(&names->keys, label, strlen(label));
    return id ? &names->entries.data[id - 1] : NULL;
}

bool wg__define(wg__text_frame *f, const char *key, wg__named named)
{
    wg__names *names = f->names;
    const wg__named *old = wg__names_find(names, key);
    if (old)
        return wg__complain(f->p, named.at, "%.60s is defined already, in line %zu", key,
                            wg__line_of(f->p, old->at.start));
    return (wg__vec_push(f->p->ctx, &names->entries, named) &&
            wg__pool_intern(&names->keys, key, strlen(key))) ||
           wg__complain_memory(f->p);
}

/* The key of a label: %012 is %12; a name stands for itself, in the open scopes with `scoped`. */
static const char *key_of(wg__text_frame *f, wg__loc label, bool scoped)
{
    size_t n = scoped ? f->path.len : 0, size = label.end - label.start;
    const char *text = f->p->text + label.start;
    char *key = wg__arena_alloc(&f->p->arena, n + size + 1);
    if (!key) {
        wg__complain_memory(f->p);
        return NULL;
    }
    if (*text == '%') {
        for (text++, size--; size > 1 && *text == '0'; size--)
            text++;
        key[0] = '%';
        n = 1;
    } else if (n) {
        memcpy(key, f->path.data, n);
    }
    memcpy(key + n, text, size);
    return key;
}

bool wg__define_value(wg__text_frame *f, wg__loc label, wg_var var)
{
    wg__named named = {var, {NULL, 0}, label};
    if (f->p->text[label.start] != '%' && f->opaque)
        return true; /* no path leads there */
    const char *key = key_of(f, label, true);
    return key && wg__define(f, key, named);
}

/* "layer1.W" for W, else the most similar name. */
static void suggest(const wg__text_frame *f, const char *key, wg__nearest *near)
{
    size_t n = strlen(key);
    wg__nearest_start(near, key, n);
    for (uint32_t id = 1; id <= f->names->keys.entries.len; id++) {
        size_t size;
        const char *other = wg__pool_get(&f->names->keys, id, &size);
        bool inner = size > n && other[size - n - 1] == '.' && !strcmp(other + size - n, key);
        if (inner && size < sizeof near->best) {
            memcpy(near->best, other, size + 1);
            return;
        }
        if (*other != '%' && !strchr(other, ' '))
            wg__nearest_offer(near, other);
    }
}

bool wg__find_value(wg__text_frame *f, wg__loc at, wg_var *out)
{
    char hint[96];
    wg__nearest near;
    const char *key = key_of(f, at, false);
    if (!key)
        return false;
    const wg__named *named = wg__names_find(f->names, key);
    if (named) {
        *out = named->var;
        return true;
    }
    suggest(f, key, &near);
    return wg__complain(f->p, at, "%.60s is not defined%s%s", key,
                        f->tape->parent ? " in this fn, which sees nothing outside" : "",
                        wg__nearest_hint(&near, hint, sizeof hint));
}

/* ---- errors -------------------------------------------------------------------------------- */

bool wg__complain_tape(wg__text_frame *f, wg__loc at)
{
    wg_status status = wg_tape_status(f->tape);
    if (status == WG_NO_MEMORY)
        return wg__complain_memory(f->p);
    return wg__complain(f->p, at, "%s",
                        status ? wg_tape_error(f->tape) : "this cannot be recorded");
}

bool wg__check_var(wg__text_frame *f, wg_var v, wg__loc at)
{
    return wg_ok(v) || wg__complain_tape(f, at);
}

static bool wrong_type(wg__text_frame *f, const wg__target *t, const wg_type *said,
                       const wg_type *is)
{
    wg__str s = wg__str_make(f->p->ctx);
    wg__str_addf(&s, "%.*s is ", WG__SHOW(f->p, t->label));
    wg__add_type(&s, f->p->ctx, is);
    wg__str_add(&s, ", not ");
    wg__add_type(&s, f->p->ctx, said);
    wg__complain(f->p, t->dtype, "%s", wg__str_text(&s));
    wg__str_free(&s);
    return false;
}

/* A type that is written is a claim: sizes must agree, and symbols where it gives them. */
bool wg__check_type(wg__text_frame *f, const wg__target *t, wg_type is)
{
    wg_type said;
    if (wg__loc_empty(t->dtype))
        return true;
    if (!wg__read_type(f, t, &said))
        return false;
    bool same = wg__type_equal(&said, &is);
    for (int i = 0; same && i < said.shape.rank; i++)
        same = !said.shape.symbol[i] || said.shape.symbol[i] == is.shape.symbol[i];
    return same || wrong_type(f, t, &said, &is);
}

/* ---- calls --------------------------------------------------------------------------------- */

static bool eval(wg__text_frame *f, const wg__ast *a, wg_var *out);

typedef struct call {
    const wg__op *op;
    wg_var *ins;
    size_t nins;
    wg_attr *attrs;
    size_t nattrs;
} call;

static bool find_op(wg__text_frame *f, const wg__ast *a, const wg__op **out)
{
    char hint[96];
    wg_ctx *ctx = f->p->ctx;
    wg__nearest near;
    const char *name = wg__loc_text(f->p, a->callee);
    if (!name)
        return false;
    *out = wg__op_find(ctx, name);
    if (*out && (*out)->def.flags & WG_OP_SOURCE)
        return wg__complain(f->p, a->callee, "%s is no op that can be called", name);
    if (*out)
        return true;
    wg__nearest_start(&near, name, strlen(name));
    for (size_t i = 0; i < wg_op_count(ctx); i++)
        if (!(wg__op_at(ctx, i)->def.flags & WG_OP_SOURCE))
            wg__nearest_offer(&near, wg__op_at(ctx, i)->name);
    return wg__complain(f->p, a->callee, "there is no op %.60s%s", name,
                        wg__nearest_hint(&near, hint, sizeof hint));
}

static bool no_such_attr(wg__text_frame *f, const wg__sig *sig, wg__loc key)
{
    wg__str s = wg__str_make(f->p->ctx);
    for (size_t i = 0; i < sig->nattrs; i++)
        wg__str_addf(&s, "%s%s", i ? ", " : "", sig->attrs[i].name);
    wg__complain(f->p, key, "%s has no attribute %.*s; it has: %s", sig->name, WG__SHOW(f->p, key),
                 sig->nattrs ? wg__str_text(&s) : "none");
    wg__str_free(&s);
    return false;
}

static bool read_attr(wg__text_frame *f, call *c, const wg__ast *a)
{
    const wg__sig *sig = &c->op->sig;
    size_t k = 0;
    while (k < sig->nattrs && !wg__loc_is(f->p, a->key, sig->attrs[k].name))
        k++;
    if (k == sig->nattrs)
        return no_such_attr(f, sig, a->key);
    for (size_t i = 0; i < c->nattrs; i++)
        if (c->attrs[i].name == sig->attrs[k].name)
            return wg__complain(f->p, a->key, "attribute %s is given twice", sig->attrs[k].name);
    return wg__read_attr(f, &sig->attrs[k], a, &c->attrs[c->nattrs++]);
}

static bool make_room(wg__text_frame *f, const wg__ast *a, call *c)
{
    size_t nins = 1, nattrs = 1;
    for (const wg__ast *arg = a->args; arg; arg = arg->next)
        ++*(wg__loc_empty(arg->key) ? &nins : &nattrs);
    c->ins = wg__arena_alloc(&f->p->arena, nins * sizeof *c->ins);
    c->attrs = wg__arena_alloc(&f->p->arena, nattrs * sizeof *c->attrs);
    return (c->ins && c->attrs) || wg__complain_memory(f->p);
}

static bool read_call(wg__text_frame *f, const wg__ast *a, call *c)
{
    memset(c, 0, sizeof *c);
    if (!make_room(f, a, c) || !find_op(f, a, &c->op))
        return false;
    for (const wg__ast *arg = a->args; arg; arg = arg->next) {
        bool operand = wg__loc_empty(arg->key);
        if (operand && c->nattrs)
            return wg__complain(f->p, arg->at, "operands stand before attributes");
        if (!(operand ? eval(f, arg, &c->ins[c->nins++]) : read_attr(f, c, arg)))
            return false;
    }
    return true;
}

/* Gives a param its pending value; the tape's effects come from here alone. */
static bool run_assign(wg__text_frame *f, const wg__ast *a, const call *c, wg_var *out)
{
    if (c->nins != 2 || c->nattrs)
        return wg__complain(f->p, a->at, "assign takes a param and its new value");
    *out = wg_assign(c->ins[0], c->ins[1]);
    return wg__check_var(f, *out, a->at);
}

/* Records the op; outs has room for `max` results, *n is how many it has. */
bool wg__run_call(wg__text_frame *f, const wg__ast *a, wg_var *outs, size_t max, size_t *n)
{
    call c;
    *n = 1;
    if (!read_call(f, a, &c))
        return false;
    if (c.op->index == WG__OP_ASSIGN)
        return run_assign(f, a, &c, outs);
    if (wg_apply(f->tape, c.op->name, c.ins, c.nins, c.attrs, c.nattrs, outs, max) ||
        !wg_ok(outs[0]))
        return wg__complain_tape(f, a->at);
    *n = wg__node_at(f->tape, (uint32_t)outs[0].bits)->nout;
    return true;
}

/* The value of an operand. Recursion as deep as calls nest, which the grammar limits. */
static bool eval(wg__text_frame *f, const wg__ast *a, wg_var *out)
{
    size_t n = 1;
    if (a->kind == WG__AST_NUMBER)
        return wg__read_literal(f, a, NULL, out);
    if (a->kind == WG__AST_WORD || a->kind == WG__AST_VALUE)
        return wg__find_value(f, a->at, out);
    if (a->kind != WG__AST_CALL)
        return wg__complain(f->p, a->at, "expected a value, a number or a call");
    if (!wg__run_call(f, a, out, 1, &n))
        return false;
    return n == 1 || wg__complain(f->p, a->at, "%.*s has %zu results, one is needed here",
                                  WG__SHOW(f->p, a->callee), n);
}
