/* What the derivative rules of while share. Included by ops/ only. */
#ifndef WG_OPS_WHILE_H
#define WG_OPS_WHILE_H

#include "loop.h"

/* As a counted scan over the histories, which the bound gives a place. */
static inline wg__loop while_as_scan(const wg__while *s)
{
    wg__loop l = {.fn = s->fn, .ncarry = s->ncarry, .nw = s->nw, .counted = true};
    l.length = wg_shape_make(&s->bound, 1);
    return l;
}

/* Formals for operands [from, to) of the loop. */
static inline void while_formals(wg_tape *body, const wg__while *s, size_t from, size_t to,
                                 wg_var *out)
{
    for (size_t i = from; i < to; i++)
        out[i] = input_like(body, wg_fn_operand_name(s->fn, i), wg_fn_operand_type(s->fn, i));
}

#endif
