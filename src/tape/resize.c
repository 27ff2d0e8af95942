/* wg_tape_resize: the same graph at other sizes of its named dimensions. */
#include <string.h>

#include "tape/tape.h"

typedef struct sizes {
    const wg_tape *tape;
    const wg_size *given;
    size_t ngiven;
} sizes;

/* The size that `symbol` has on the tape's inputs and params; false when none carries it. */
static bool find_dim(const wg_tape *t, uint32_t symbol, int64_t *size)
{
    for (size_t i = 0; i < t->inputs.len + t->params.len; i++) {
        uint32_t id = i < t->inputs.len ? t->inputs.data[i] : t->params.data[i - t->inputs.len];
        const wg_shape *s = &wg__type_at(t, id)->shape;
        for (int k = 0; k < s->rank; k++)
            if (s->symbol[k] == symbol)
                return *size = s->dim[k], true;
    }
    return false;
}

static bool lookup(void *user, const char *name, int64_t *size)
{
    const sizes *s = user;
    for (size_t i = 0; i < s->ngiven; i++)
        if (strcmp(s->given[i].name, name) == 0)
            return *size = s->given[i].size, true;
    return find_dim(s->tape, wg__symbol_name(s->tape->ctx, name), size);
}

static wg_status check_names(wg_tape *t, const sizes *s)
{
    int64_t old;
    for (size_t i = 0; i < s->ngiven; i++) {
        const char *name = s->given[i].name ? s->given[i].name : "";
        uint32_t symbol = wg__symbol_name(t->ctx, name);
        if (!symbol || !find_dim(t, symbol, &old))
            return wg__tape_fail(t, WG_NOT_FOUND,
                                 "resize: no input or param has a dimension named \"%s\"", name);
        if (s->given[i].size < 0)
            return wg__tape_fail(t, WG_SHAPE, "resize: %s cannot be %lld", name,
                                 (long long)s->given[i].size);
    }
    return WG_OK;
}

static bool copy_effects(const wg_tape *from, wg_tape *to, const uint32_t *map)
{
    for (size_t i = 0; i < from->effects.len; i++) {
        const wg__effect *e = &from->effects.data[i];
        wg__effect copy = {map[e->param], map[e->value], map[e->node]};
        if (!wg__vec_push(to->ctx, &to->effects, copy))
            return false;
    }
    return true;
}

static bool copy_named(const wg_tape *from, wg_tape *to)
{
    for (size_t i = 0; i < from->named.entries.len; i++) {
        const wg__pool_entry *e = &from->named.entries.data[i];
        if (!wg__pool_intern(&to->named, e->data, e->size))
            return false;
    }
    return true;
}

wg_tape *wg_tape_resize(wg_tape *tape, const wg_size *given, size_t ngiven)
{
    if (!tape || tape->parent)
        return wg__tape_fail(tape, WG_INVALID, "resize: only a root tape can be resized"), NULL;
    sizes s = {tape, given, ngiven};
    if (check_names(tape, &s))
        return NULL;
    wg_tape *t = wg_tape_new(tape->ctx);
    uint32_t *map = wg__copy_map(tape->ctx, tape);
    wg__copy c = {t, tape, map, NULL, 0, true, false, lookup, NULL, &s, NULL};
    bool good = t && map;
    if (!good || !(good = !wg__copy_nodes(&c)) ||
        !(good = copy_effects(tape, t, map) && copy_named(tape, t))) {
        if (t && wg_tape_status(t))
            wg__tape_fail(tape, wg_tape_status(t), "resize: %s", wg_tape_error(t));
        else
            wg__tape_no_memory(tape);
    }
    wg__free(tape->ctx, map);
    if (good)
        return t;
    wg_tape_free(t);
    return NULL;
}
