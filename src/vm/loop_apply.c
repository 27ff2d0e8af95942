/* Calling the kernels of ops where one call of a block kernel for a whole patch will not do. */
#include "vm/loop_inst.h"

/* Through the block kernel, row by row, so that ROW operands are single elements. */
void wg__step_rows(const wg__inst *in, wg__frame *f)
{
    const wg__extra *x = in->extra;
    const ptrdiff_t *s = x->strides, last = s[in->nargs - 1];
    const ptrdiff_t sb = s[in->nargs > 2], sc = s[in->nargs > 3 ? 2 : 0];
    const char *a = f->place[in->a], *b = f->place[in->b], *c = f->place[in->c];
    char *y = f->place[in->y];
    for (size_t i = 0; i < f->r; i++, a += s[0], b += sb, c += sc, y += last)
        x->block(f->c, a, b, c, y, in->attrs);
}

/* Through the block kernel, column by column, so that COL operands are single elements and ROW ones
 * are used as they are. */
void wg__step_streams(const wg__inst *in, wg__frame *f)
{
    const wg__extra *x = in->extra;
    const size_t n = wg__stream(f);
    ptrdiff_t s[4];
    for (uint32_t i = 0; i < in->nargs; i++)
        s[i] = x->strides[i] * (x->full >> i & 1 ? (ptrdiff_t)n : 1);
    const ptrdiff_t last = s[in->nargs - 1], sb = s[in->nargs > 2], sc = s[in->nargs > 3 ? 2 : 0];
    const char *a = f->place[in->a], *b = f->place[in->b], *c = f->place[in->c];
    char *y = f->place[in->y];
    for (size_t j = 0; j < f->c; j++, a += s[0], b += sb, c += sc, y += last)
        x->block(n, a, b, c, y, in->attrs);
}

/* Through the op's loop, which sees real elements only. */
void wg__step_loop(const wg__inst *in, wg__frame *f)
{
    const wg__extra *x = in->extra;
    char **data = (char **)(void *)(f->run->scratch + f->loop->call_at);
    const bool streams = f->loop->streams && in->level == WG__FULL;
    const size_t n = streams ? f->r : f->count[in->level];
    const size_t whole = streams ? wg__stream(f) : f->n[in->level], calls = streams ? f->c : 1;
    for (uint32_t i = 0; i < in->nargs; i++)
        data[i] = f->place[x->args[i]];
    for (size_t j = 0; j < calls && n; j++) {
        x->loop(n, data, x->strides, in->attrs, x->user);
        char *y = data[in->nargs - 1];
        if (whole > n)
            wg__fill(x->size, whole - n, y + n * x->size, y + (n - 1) * x->size);
        for (uint32_t i = 0; i < in->nargs; i++)
            data[i] += x->strides[i] * (ptrdiff_t)whole;
    }
}
