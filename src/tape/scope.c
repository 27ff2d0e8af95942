/* Scopes: a stack while recording, an interned tree of (parent, name) on the tape. */
#include <string.h>

#include "tape/tape.h"

const wg__scope *wg__scope_at(const wg_tape *t, uint32_t scope)
{
    return wg__pool_get(&t->scopes, scope, NULL);
}

/* Scopes nest no deeper than this, so that walking up needs no memory. */
enum { MAX_DEPTH = 256 };

static size_t path_up(const wg_tape *t, uint32_t scope, uint32_t up[MAX_DEPTH])
{
    size_t n = 0;
    for (; scope && n < MAX_DEPTH; scope = wg__scope_at(t, scope)->parent)
        up[n++] = scope;
    return n;
}

wg_status wg_scope_push(wg_tape *tape, const char *name)
{
    if (!tape)
        return WG_INVALID;
    if (!name || !*name || strchr(name, '/'))
        return wg__tape_fail(tape, WG_INVALID,
                             "scope \"%s\": a scope's name is not empty and has no '/'",
                             name ? name : "");
    uint32_t up[MAX_DEPTH];
    if (path_up(tape, tape->scope, up) == MAX_DEPTH)
        return wg__tape_fail(tape, WG_INVALID, "scope \"%s\": scopes nest at most %d deep", name,
                             MAX_DEPTH);
    wg__scope s = {tape->scope, wg__intern_string(tape, name)};
    uint32_t id = s.name ? wg__pool_intern(&tape->scopes, &s, sizeof s) : 0;
    if (!id)
        return wg__tape_no_memory(tape);
    tape->scope = id;
    return WG_OK;
}

wg_status wg_scope_pop(wg_tape *tape)
{
    if (!tape)
        return WG_INVALID;
    if (!tape->scope)
        return wg__tape_fail(tape, WG_INVALID, "scope pop without a push");
    tape->scope = wg__scope_at(tape, tape->scope)->parent;
    return WG_OK;
}

void wg__scope_path(const wg_tape *t, uint32_t scope, wg__str *s)
{
    uint32_t up[MAX_DEPTH];
    size_t n = path_up(t, scope, up);
    while (n-- > 0) {
        wg__str_add(s, wg__text(t, wg__scope_at(t, up[n])->name));
        wg__str_add(s, n ? "/" : "");
    }
}

void wg__value_name(const wg_tape *t, uint32_t id, wg__str *s)
{
    if (wg__node_at(t, id)->name)
        wg__full_name(t, id, s);
    else
        wg__str_addf(s, "%%%u", (unsigned)id);
}

void wg__full_name(const wg_tape *t, uint32_t id, wg__str *s)
{
    const wg__node *n = wg__node_at(t, id);
    wg__scope_path(t, n->scope, s);
    wg__str_add(s, n->scope ? "/" : "");
    wg__str_add(s, wg__text(t, n->name));
}

/* Recursion as deep as scopes nest. */
uint32_t wg__scope_import(wg_tape *dst, const wg_tape *src, uint32_t scope)
{
    if (!scope)
        return dst->scope;
    if (src == dst && !dst->scope)
        return scope;
    const wg__scope *from = wg__scope_at(src, scope);
    wg__scope s = {wg__scope_import(dst, src, from->parent),
                   wg__intern_string(dst, wg__text(src, from->name))};
    uint32_t id = s.name ? wg__pool_intern(&dst->scopes, &s, sizeof s) : 0;
    if (!id)
        wg__tape_no_memory(dst);
    return id;
}
