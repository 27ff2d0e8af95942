/* When two clusters may become one: their spaces are equal, or one is the other without its columns;
 * they want the same columns; and what they compute and read stays within what L1 and registers
 * take. */
#include <string.h>

#include "pass/fuse.h"

uint32_t wg__bud_find(wg__fuser *f, uint32_t bud)
{
    wg__bud *b = f->buds.data;
    while (b[bud].parent != bud) {
        b[bud].parent = b[b[bud].parent].parent;
        bud = b[bud].parent;
    }
    return bud;
}

static bool is_prefix(const wg_shape *a, const wg_shape *b)
{
    return a->rank <= b->rank && memcmp(a->dim, b->dim, (size_t)a->rank * sizeof *a->dim) == 0;
}

wg__relation wg__relation_of(const wg_shape *value, const wg_shape *over, const wg_strides *s)
{
    int64_t step = 1;
    if (s->offset != 0 || !is_prefix(value, over))
        return WG__APART;
    for (int i = over->rank - 1; i >= 0; i--) {
        if (s->step[i] != (i < value->rank ? step : 0))
            return WG__APART;
        step *= i < value->rank ? value->dim[i] : 1;
    }
    return value->rank == over->rank ? WG__SAME : WG__SPREAD;
}

const char *wg__bud_load(wg__bud *b, uint32_t value, int merged, bool full)
{
    if (full && merged < b->maxcols)
        b->maxcols = (int8_t)merged;
    if (b->ncols > b->maxcols)
        return "a strided operand has no single step over the columns";
    for (uint16_t i = 0; i < b->nmem; i++)
        if (b->mem[i] == value)
            return NULL;
    if (b->kind == WG__SCALARS)
        return NULL;
    if (b->nmem == WG__MAX_MEM)
        return "it would read too many operands";
    b->mem[b->nmem++] = value;
    return NULL;
}

static const char *take_columns(wg__bud *to, int ncols)
{
    if (ncols && to->ncols && to->ncols != ncols)
        return "they reduce over different axes";
    if (ncols)
        to->ncols = (int8_t)ncols;
    return to->ncols > to->maxcols ? "a strided operand has no single step over the columns" : NULL;
}

/* `row` becomes a row value of `full`, whose space is that of `row` and more axes. */
static const char *spread(wg__bud *full, const wg__bud *row)
{
    int ncols = full->space.rank - row->space.rank;
    if (row->kind == WG__PRODUCT || row->ncols)
        return "what is spread over rows has columns of its own";
    if (row->space.rank == 0 && full->ncols != ncols &&
        wg_shape_count(full->space) > WG__MAX_VECTOR)
        return "a scalar is not computed inside a long loop";
    full->whole |= row->whole;
    return take_columns(full, ncols);
}

static const char *add_loads(wg__bud *to, const wg__bud *from)
{
    const char *why = NULL;
    for (uint16_t i = 0; i < from->nmem && !why; i++)
        why = wg__bud_load(to, from->mem[i], WG_MAX_RANK, false);
    return why;
}

/* The kind of a union; a scalar node that is alone joins a loop. */
static const char *unify_kinds(wg__bud *to, const wg__bud *from)
{
    if (to->kind == WG__PRODUCT && from->kind == WG__PRODUCT)
        return "there are two matrix products";
    if (to->kind == WG__SCALARS && from->kind != WG__SCALARS && to->instrs > 1)
        return "scalar nodes stay together";
    if (from->kind == WG__SCALARS && to->kind != WG__SCALARS)
        return "scalar nodes stay together";
    if (to->kind == WG__SCALARS || from->kind == WG__PRODUCT)
        to->kind = from->kind;
    return NULL;
}

const char *wg__bud_unify(wg__bud *to, const wg__bud *from)
{
    const char *why;
    wg__bud own = *to;
    if ((why = unify_kinds(to, from)))
        return why;
    if (to->kind == WG__SCALARS)
        return NULL;
    if (wg_shape_equal(own.space, from->space)) {
        to->maxcols = from->maxcols < own.maxcols ? from->maxcols : own.maxcols;
        to->whole |= from->whole;
        why = take_columns(to, from->ncols);
    } else if (is_prefix(&from->space, &own.space)) {
        why = spread(to, from);
    } else if (is_prefix(&own.space, &from->space)) {
        *to = *from;
        why = spread(to, &own);
        from = &own;
    } else {
        return "their spaces differ";
    }
    if (!why && (uint32_t)to->instrs + from->instrs > WG__MAX_INSTRS)
        why = "the loop would be too long";
    if (why)
        return why;
    to->instrs = (uint16_t)(to->instrs + from->instrs);
    why = add_loads(to, from);
    return why || to->kind != WG__PRODUCT ? why : wg__epilogue_check(to);
}
