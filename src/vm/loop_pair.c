/* A peephole over the values of a loop: an op whose only use is another op, where ops/pairs.c has a
 * kernel for both, becomes part of it. */
#include <string.h>
#include "tape/op.h"
#include "vm/loop_inst.h"

static uint32_t *count_uses(const wg__loop_builder *b)
{
    uint32_t *uses = wg__calloc(b->ctx, b->defs.len + 1, sizeof *uses);
    for (size_t i = 0; i < b->defs.len && uses; i++) {
        const wg__def *d = &b->defs.data[i];
        for (uint32_t k = 0; k < d->nin && d->used; k++)
            uses[b->operands.data[d->first + k]]++;
    }
    return uses;
}

/* Of one float dtype, with nothing but operands. */
static bool is_plain(const wg__def *d)
{
    return d->used && d->kind == WG__DEF_APPLY && d->nin <= 2 && !d->nattrs && d->kernel->scalar &&
           d->kernel->expr && d->kernel->block;
}

static const wg__pair *find_pair(const wg__def *first, const wg__def *second, uint32_t at)
{
    for (size_t i = 0; i < wg__npairs; i++) {
        const wg__pair *p = &wg__pairs[i];
        if ((p->at == WG__EITHER || p->at == at) && !strcmp(p->first, first->kernel->expr) &&
            !strcmp(p->second, second->kernel->expr))
            return p;
    }
    return NULL;
}

/* Operand `at` of d becomes the operands of the op that computes it. */
static bool join(wg__loop_builder *b, wg__def *d, uint32_t at, const wg__pair *pair)
{
    wg__def *y = &b->defs.data[b->operands.data[d->first + at]];
    const uint32_t first = (uint32_t)b->operands.len;
    bool ok = true;
    for (uint32_t k = 0; k < y->nin; k++)
        ok = ok && wg__vec_push(b->ctx, &b->operands, b->operands.data[y->first + k]);
    if (d->nin > 1)
        ok = ok && wg__vec_push(b->ctx, &b->operands, b->operands.data[d->first + 1 - at]);
    d->nin = (uint32_t)b->operands.len - first;
    d->first = first;
    d->kernel = d->dtype == WG_F32 ? &pair->f32 : &pair->f64;
    d->ops = 2;
    y->used = false;
    return ok;
}

bool wg__loop_pair(wg__loop_builder *b)
{
    uint32_t *uses = count_uses(b);
    bool ok = uses;
    for (size_t i = 0; i < b->defs.len && ok; i++) {
        wg__def *d = &b->defs.data[i];
        for (uint32_t k = 0; k < d->nin && ok && is_plain(d); k++) {
            const wg__reg in = b->operands.data[d->first + k];
            const wg__def *y = &b->defs.data[in];
            const wg__pair *pair = NULL;
            if (uses[in] == 1 && is_plain(y) && y->level == d->level && y->dtype == d->dtype)
                pair = find_pair(y, d, k);
            ok = !pair || join(b, d, k, pair);
        }
    }
    wg__free(b->ctx, uses);
    return ok;
}
