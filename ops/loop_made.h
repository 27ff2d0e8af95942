/* Loops that a derivative rule is about to record: lists of vars, and operands in groups. Included by
 * ops/ only. */
#ifndef WG_OPS_LOOP_MADE_H
#define WG_OPS_LOOP_MADE_H

#include <string.h>

#include "loop.h"

/* A list that grows while a rule is put together. */
typedef struct list {
    wg_var *at;
    size_t n;
} list;

static inline bool list_make(const wg_rule *r, list *l, size_t room)
{
    l->n = 0;
    l->at = wg_rule_alloc(r, room + 1, sizeof *l->at);
    return l->at != NULL;
}

static inline bool lists_make(const wg_rule *r, list *const *lists, size_t n, size_t room)
{
    for (size_t i = 0; i < n; i++)
        if (!list_make(r, lists[i], room))
            return false;
    return true;
}

static inline void list_add(list *l, wg_var v) { l->at[l->n++] = v; }

static inline void list_append(list *l, const list *more)
{
    memcpy(l->at + l->n, more->at, more->n * sizeof *l->at);
    l->n += more->n;
}

/* A loop about to be recorded: its fn, and operands in three groups. */
typedef struct made {
    const char *op;
    wg_fn fn;
    list carries, xs, ws;
    size_t nsums;
    bool reverse;
} made;

static inline bool made_make(const wg_rule *r, made *m, const char *op, size_t room)
{
    list *const all[] = {&m->carries, &m->xs, &m->ws};
    m->op = op;
    m->nsums = 0;
    m->reverse = false;
    return lists_make(r, all, 3, room);
}

/* Records it, with the length and count of the loop that it is derived from. */
wg_status wg__loop_record(const wg_rule *r, const made *m, const wg__loop *s, wg_var count,
                          wg_var *outs, size_t nouts);

#endif
