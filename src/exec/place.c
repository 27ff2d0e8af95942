/* Where values lie that no step computes; what all executors share. */
#include <string.h>

#include "exec/exec.h"

void wg__store_literal(wg_dtype dtype, uint64_t bits, void *out)
{
    int64_t i64;
    double f64;
    memcpy(&i64, &bits, sizeof i64);
    memcpy(&f64, &bits, sizeof f64);
    int32_t i32 = (int32_t)i64;
    float f32 = (float)f64;
    uint8_t b = i64 != 0;
    const void *from[WG_DTYPE_COUNT] = {&b, &i32, &i64, &f32, &f64};
    memcpy(out, from[dtype], wg_dtype_size(dtype));
}

char *wg__literals_make(const wg_tape *t, size_t *count)
{
    *count = 0;
    for (size_t i = 0; i < t->nodes.len; i++)
        *count += t->nodes.data[i].op == WG__OP_LITERAL;
    char *literals = wg__calloc(t->ctx, *count, sizeof(int64_t)), *at = literals;
    for (size_t i = 0; literals && i < t->nodes.len; i++) {
        const wg__node *n = &t->nodes.data[i];
        if (n->op != WG__OP_LITERAL)
            continue;
        wg__store_literal(wg__type_at(t, (uint32_t)i)->dtype, n->u.bits, at);
        at += sizeof(int64_t);
    }
    return literals;
}

bool wg__place_sources(const wg_tape *t, const uint32_t *bound, size_t nbound, wg__place *place,
                       char **literals)
{
    for (size_t i = 0; i < nbound; i++)
        place[bound[i]] = (wg__place){WG__BOUND, i};
    size_t at = 0, count;
    for (size_t i = 0; i < t->nodes.len; i++) {
        const wg__node *n = &t->nodes.data[i];
        if (n->op == WG__OP_CONST)
            place[i] = (wg__place){WG__CONST, (size_t)n->u.bits};
        if (n->op == WG__OP_LITERAL)
            place[i] = (wg__place){WG__LITERAL, at++ * sizeof(int64_t)};
    }
    return (*literals = wg__literals_make(t, &count)) != NULL;
}
