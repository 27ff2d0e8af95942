/* Records a parsed graph on a tape, statement by statement, through the public calls: what the
 * text says is checked as it would be in a program. */
#include <string.h>

#include "tape/init_kinds.h"
#include "text/replay.h"

/* Blocks within blocks; each takes a few stack frames. */
enum { MAX_DEPTH = 1000 };

static bool replay_block(wg__text_frame *f, const wg__stmt *first);
static bool replay_tape(wg__text_frame *f, const wg__stmt *s, wg_var **outs, size_t *nouts);

/* ---- statements ---------------------------------------------------------------------------- */

/* The name that a target gives to its value: the label, or the string after %12. */
static const char *target_name(wg__text_frame *f, const wg__target *t)
{
    if (f->p->text[t->label.start] != '%')
        return wg__loc_text(f->p, t->label);
    if (!wg__loc_empty(t->name))
        return wg__loc_string(f->p, t->name);
    return "";
}

/* Names the value as its target says and makes it known under the label. */
static bool bind(wg__text_frame *f, const wg__target *t, wg_var v)
{
    const char *name = target_name(f, t);
    if (!name || !wg__check_type(f, t, wg_typeof(v)))
        return false;
    if (*name && !wg_ok(wg_name(v, name)))
        return wg__complain_tape(f, t->label);
    return wg__define_value(f, t->label, v);
}

static bool declare_input(wg__text_frame *f, const wg__target *t)
{
    wg_type type;
    const char *name = target_name(f, t);
    if (!name || !wg__read_type(f, t, &type))
        return false;
    wg_var v = f->tape->parent ? wg_fn_input(f->tape, name, type.dtype, type.shape)
                               : wg_input(f->tape, name, type.dtype, type.shape);
    return wg__check_var(f, v, t->label) && wg__define_value(f, t->label, v);
}

static bool replay_input(wg__text_frame *f, const wg__stmt *s)
{
    return declare_input(f, s->targets);
}

static bool unknown_init(wg__text_frame *f, const wg__ast *a, const char *name)
{
    char hint[96];
    wg__nearest near;
    wg__str names = wg__str_make(f->p->ctx);
    wg__init_add_names(&names);
    wg__nearest_start(&near, name, strlen(name));
    for (int i = 0; i < WG__INIT_COUNT; i++)
        wg__nearest_offer(&near, wg__init_kinds[i].name);
    wg__complain(f->p, a->callee, "there is no initialiser %.60s%s (there are %s)", name,
                 wg__nearest_hint(&near, hint, sizeof hint), wg__str_text(&names));
    wg__str_free(&names);
    return false;
}

/* A plain name is one of the table, with its numbers; one in quotes is what the C API was given and
 * looked at when the graph is compiled. */
static bool check_init(wg__text_frame *f, const wg__ast *a, const char *name, size_t n)
{
    if (f->p->text[a->callee.start] == '"')
        return true;
    wg__init_id id = wg__init_find(name);
    if (id == WG__INIT_COUNT)
        return unknown_init(f, a, name);
    static const char *const takes[] = {"no number", "one number", "two numbers"};
    const wg__init_kind *kind = &wg__init_kinds[id];
    return (size_t)kind->nnumbers == n ||
           wg__complain(f->p, a->at, "%s(%s) takes %s, %zu given", kind->name, kind->numbers,
                        takes[kind->nnumbers], n);
}

static bool read_init(wg__text_frame *f, const wg__ast *a, wg_init *out)
{
    double numbers[2] = {0, 0};
    size_t n = 0, count = 0;
    bool quoted = f->p->text[a->callee.start] == '"';
    out->kind = quoted ? wg__loc_string(f->p, a->callee) : wg__loc_text(f->p, a->callee);
    for (const wg__ast *arg = a->args; arg; arg = arg->next)
        count++;
    if (!out->kind || !check_init(f, a, out->kind, count))
        return false;
    for (const wg__ast *arg = a->args; arg; arg = arg->next) {
        if (!wg__loc_empty(arg->key))
            return wg__complain(f->p, arg->key, "the numbers of an initialiser have no names");
        if (n == 2)
            return wg__complain(f->p, arg->at, "an initialiser takes at most two numbers");
        if (!wg__read_number(f, arg, WG_F64, numbers, (int64_t)n++))
            return false;
    }
    out->a = numbers[0];
    out->b = numbers[1];
    return true;
}

static bool replay_param(wg__text_frame *f, const wg__stmt *s)
{
    const wg__target *t = s->targets;
    wg_type type;
    wg_init init;
    const char *name = target_name(f, t);
    if (f->tape->parent)
        return wg__complain(f->p, s->at,
                            "a fn has no params: declare it in the graph and hand it "
                            "over as an input");
    if (!name || !wg__read_type(f, t, &type) || !read_init(f, s->value, &init))
        return false;
    wg_var v = wg_param(f->tape, name, type.dtype, type.shape, init);
    return wg__check_var(f, v, t->label) && wg__define_value(f, t->label, v);
}

/* The elements, row by row, as one list. */
static bool read_elements(wg__text_frame *f, const wg__ast *list, const wg_type *type, void *data)
{
    int64_t n = 0, want = wg_shape_count(type->shape);
    for (const wg__ast *a = list->args; a && n < want; a = a->next)
        if (!wg__read_number(f, a, type->dtype, data, n++))
            return false;
    return true;
}

static bool check_count(wg__text_frame *f, const wg__stmt *s, const wg_type *type)
{
    int64_t n = 0, want = wg_shape_count(type->shape);
    for (const wg__ast *a = s->value->args; a; a = a->next)
        n++;
    return n == want ||
           wg__complain(f->p, s->value->at, "%.*s has %lld element%s, the list has %lld",
                        WG__SHOW(f->p, s->at), (long long)want, want == 1 ? "" : "s", (long long)n);
}

static bool replay_const(wg__text_frame *f, const wg__stmt *s)
{
    wg_type type;
    if (!wg__read_type(f, s->targets, &type) || !check_count(f, s, &type))
        return false;
    wg_tensor *tensor = wg_tensor_new(f->p->ctx, type.dtype, type.shape, NULL);
    if (!tensor)
        return wg__complain_memory(f->p);
    if (!read_elements(f, s->value, &type, wg_tensor_data_mut(tensor))) {
        wg_tensor_free(tensor);
        return false;
    }
    wg_var v = wg__const_tensor(f->tape, tensor);
    return wg__check_var(f, v, s->at) && bind(f, s->targets, v);
}

/* x: f32 = 0.5 */
static bool replay_number(wg__text_frame *f, const wg__stmt *s)
{
    const wg__target *t = s->targets;
    wg_type type;
    wg_var v;
    if (!t || t->next)
        return wg__complain(f->p, s->at, "a number has one name");
    bool typed = !wg__loc_empty(t->dtype);
    if ((typed && !wg__read_type(f, t, &type)) ||
        !wg__read_literal(f, s->value, typed ? &type.dtype : NULL, &v))
        return false;
    if (!typed)
        type = wg_typeof(v);
    v = wg__materialise(f->tape, v, type.dtype);
    return wg__check_var(f, v, s->at) && bind(f, t, v);
}

static bool bind_all(wg__text_frame *f, const wg__stmt *s, const wg_var *outs, size_t ntargets,
                     size_t nouts)
{
    if (ntargets && ntargets != nouts)
        return wg__complain(f->p, s->at, "%.*s has %zu result%s, here %s %zu name%s",
                            WG__SHOW(f->p, s->value->callee), nouts, nouts == 1 ? "" : "s",
                            ntargets == 1 ? "is" : "are", ntargets, ntargets == 1 ? "" : "s");
    size_t i = 0;
    for (const wg__target *t = s->targets; t; t = t->next)
        if (!bind(f, t, outs[i++]))
            return false;
    return true;
}

/* y = x */
static bool second_name(wg__text_frame *f, wg__loc at)
{
    wg_var v;
    return wg__find_value(f, at, &v) &&
           wg__complain(f->p, at, "a value cannot be given a second name: use %.*s itself",
                        WG__SHOW(f->p, at));
}

static bool replay_let(wg__text_frame *f, const wg__stmt *s)
{
    size_t ntargets = 0, nouts;
    if (s->value->kind == WG__AST_NUMBER)
        return replay_number(f, s);
    if (s->value->kind == WG__AST_WORD || s->value->kind == WG__AST_VALUE)
        return second_name(f, s->value->at);
    if (s->value->kind != WG__AST_CALL)
        return wg__complain(f->p, s->value->at, "expected a call of an op, or a number");
    for (const wg__target *t = s->targets; t; t = t->next)
        ntargets++;
    size_t room = ntargets ? ntargets : 1;
    wg_var *outs = wg__arena_alloc(&f->p->arena, room * sizeof *outs);
    if (!outs)
        return wg__complain_memory(f->p);
    return wg__run_call(f, s->value, outs, room, &nouts) && bind_all(f, s, outs, ntargets, nouts);
}

static bool replay_scope(wg__text_frame *f, const wg__stmt *s)
{
    const char *name = wg__loc_string(f->p, s->name);
    if (!name)
        return false;
    if (wg_scope_push(f->tape, name))
        return wg__complain_tape(f, s->name);
    size_t length = f->path.len;
    bool opaque = !wg__is_identifier(name);
    f->opaque += opaque;
    wg__str_addf(&f->path, "%s.", name);
    if (f->path.failed)
        return wg__complain_memory(f->p);
    bool done = replay_block(f, s->body);
    f->path.len = length;
    f->path.data[length] = 0;
    f->opaque -= opaque;
    return done && (!wg_scope_pop(f->tape) || wg__complain_tape(f, s->at));
}

static bool read_outs(wg__text_frame *f, const wg__ast *list, wg_var **outs, size_t *n)
{
    *n = 0;
    for (const wg__ast *a = list->args; a; a = a->next)
        ++*n;
    *outs = wg__arena_alloc(&f->p->arena, (*n + 1) * sizeof **outs);
    if (!*outs)
        return wg__complain_memory(f->p);
    size_t i = 0;
    for (const wg__ast *a = list->args; a; a = a->next)
        if (!wg__find_value(f, a->at, &(*outs)[i++]))
            return false;
    return true;
}

/* ---- fns and blocks ------------------------------------------------------------------------ */

static bool define_fn(wg__text_frame *f, wg__loc label, wg_fn fn)
{
    char *key = wg__arena_alloc(&f->p->arena, label.end - label.start + sizeof "fn ");
    wg__named named = {wg__invalid(), fn, label};
    if (!key)
        return wg__complain_memory(f->p);
    memcpy(key, "fn ", 3);
    memcpy(key + 3, f->p->text + label.start, label.end - label.start);
    return wg__define(f, key, named);
}

static const char *fn_name(wg__text_frame *f, const wg__stmt *s)
{
    if (f->p->text[s->label.start] != '@')
        return wg__loc_text(f->p, s->label);
    return wg__loc_empty(s->name) ? "" : wg__loc_string(f->p, s->name);
}

static bool replay_fn(wg__text_frame *f, const wg__stmt *s)
{
    const char *name = fn_name(f, s);
    wg_tape *body = name ? wg_fn_begin(f->tape, name) : NULL;
    if (!body)
        return wg__complain_memory(f->p);
    wg__names names = {.keys = {.ctx = f->p->ctx}};
    wg__text_frame inner = {.p = f->p, .tape = body, .names = &names, .sizes = f->sizes};
    inner.depth = f->depth;
    wg_var *outs;
    size_t nouts;
    bool done = replay_tape(&inner, s, &outs, &nouts);
    wg__pool_free(&names.keys);
    wg__vec_free(f->p->ctx, &names.entries);
    if (!done)
        return false;
    wg_fn fn = wg_fn_end(body, outs, nouts);
    return wg_fn_ok(fn) ? define_fn(f, s->label, fn) : wg__complain_tape(f, s->at);
}

static bool replay_stmt(wg__text_frame *f, const wg__stmt *s)
{
    static bool (*const kinds[])(wg__text_frame *, const wg__stmt *) = {
        [WG__STMT_INPUT] = replay_input, [WG__STMT_PARAM] = replay_param,
        [WG__STMT_CONST] = replay_const, [WG__STMT_LET] = replay_let,
        [WG__STMT_SCOPE] = replay_scope, [WG__STMT_FN] = replay_fn,
    };
    wg__later later = {(uint32_t)wg_tape_size(f->tape), 0, s->origin};
    if (!kinds[s->kind](f, s))
        return false;
    later.to = (uint32_t)wg_tape_size(f->tape);
    return wg__loc_empty(s->origin) || wg__vec_push(f->p->ctx, &f->later, later) ||
           wg__complain_memory(f->p);
}

static bool replay_block(wg__text_frame *f, const wg__stmt *first)
{
    if (first && ++f->depth > MAX_DEPTH)
        return wg__complain(f->p, first->at, "nested too deeply");
    for (const wg__stmt *s = first; s; s = s->next)
        if (!replay_stmt(f, s))
            return false;
    f->depth -= first != NULL;
    return true;
}

static bool set_origins(wg__text_frame *f)
{
    wg_var v;
    for (size_t i = 0; i < f->later.len; i++) {
        const wg__later *later = &f->later.data[i];
        if (!wg__find_value(f, later->ref, &v))
            return false;
        for (uint32_t id = later->from; id < later->to; id++)
            f->tape->nodes.data[id].origin = 1 + (uint32_t)v.bits;
    }
    return true;
}

/* The formal inputs, the body and the outputs of a graph or fn. */
static bool replay_tape(wg__text_frame *f, const wg__stmt *s, wg_var **outs, size_t *nouts)
{
    bool done = true;
    f->path = wg__str_make(f->p->ctx);
    for (const wg__target *t = s->targets; t && done; t = t->next)
        done = declare_input(f, t);
    done =
        done && replay_block(f, s->body) && read_outs(f, s->value, outs, nouts) && set_origins(f);
    wg__vec_free(f->p->ctx, &f->later);
    wg__str_free(&f->path);
    return done;
}

static bool keep(wg__parser *p, wg_graph *g, const wg_var *outs, size_t nouts)
{
    const char *name = p->text[p->graph->name.start] == '"' ? wg__loc_string(p, p->graph->name)
                                                            : wg__loc_text(p, p->graph->name);
    g->name = name ? wg__strdup(p->ctx, name) : NULL;
    g->outs = wg__memdup(p->ctx, outs, nouts * sizeof *outs);
    g->nouts = nouts;
    return (g->name && (g->outs || !nouts)) || wg__complain_memory(p);
}

bool wg__replay(wg__parser *p, wg_graph *g)
{
    wg__sizes sizes = {.names = {.ctx = p->ctx}};
    wg__text_frame f = {.p = p, .tape = g->tape, .names = &g->names, .sizes = &sizes};
    wg_var *outs;
    size_t nouts;
    bool done = replay_tape(&f, p->graph, &outs, &nouts) && keep(p, g, outs, nouts);
    wg__pool_free(&sizes.names);
    wg__vec_free(p->ctx, &sizes.values);
    return done;
}
