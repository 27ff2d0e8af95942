/* Reductions in a loop: of rows, whose results go on in it, and those that leave it, over all or over
 * rows. Their partial results, one per tile or band, are combined in order at the end. */
#include <string.h>
#include "vm/loop_inst.h"

/* ---- steps -------------------------------------------------------------------------------------------- */

void wg__step_reduce(const wg__inst *in, wg__frame *f)
{
    const wg__extra *x = in->extra;
    char *to = f->place[in->y];
    if (f->loop->streams) {
        x->fold.across(wg__stream(f), f->c, f->place[in->a], to);
        return;
    }
    x->fold.rows(f->r, f->c, f->place[in->a], to);
    size_t more = f->n[WG__ROW] - f->r, size = x->size;
    for (size_t i = 0; i < more; i++)
        memcpy(to + (f->r + i) * size, to, size);
}

/* All of x into one accumulator. */
static void add_all(const wg__sink *s, size_t n, const char *x, char *acc)
{
    if (s->fold.total) {
        s->fold.total(n, x, acc);
        return;
    }
    union {
        float f32;
        double f64;
        int64_t i64;
    } one; /* room for any element */
    s->fold.rows(1, n, x, &one);
    s->fold.widen(1, 1, acc, &one);
}

void wg__step_total(const wg__inst *in, wg__frame *f)
{
    const wg__extra *x = in->extra;
    const wg__sink *s = &f->loop->sink[x->sink];
    char *acc = f->run->partials + s->at + f->tile * sizeof(double);
    if (s->rows_only && f->col)
        return;
    const size_t n = s->rows_only ? f->r : f->r * f->c, size = wg_dtype_size(s->fold.dtype);
    const char *from = f->place[in->a];
    if (s->rows_only || !f->loop->streams || f->r == wg__stream(f)) {
        add_all(s, n, from, acc);
        return;
    }
    for (size_t j = 0; j < f->c; j++)
        add_all(s, f->r, from + j * wg__stream(f) * size, acc);
}

static char *column_partials(const wg__frame *f, const wg__sink *s, int64_t col)
{
    size_t size = wg_dtype_size(s->fold.wide);
    return f->run->partials + s->at + (f->band * (size_t)f->loop->cols + (size_t)col) * size;
}

static void fold_down(const wg__sink *s, size_t r, size_t n, char *acc, char *buffer, const char *x)
{
    if (s->buffered)
        s->fold.down(r, n, buffer, x);
    else
        s->fold.widen(r, n, acc, x);
}

/* Buffered: rows are summed as f32, and as f64 every hundred or so. Patches of short rows are
 * first folded in halves, so that vectors are used well. */
void wg__step_columns(const wg__inst *in, wg__frame *f)
{
    const wg__sink *s = &f->loop->sink[in->extra->sink];
    const size_t size = wg_dtype_size(s->fold.dtype);
    char *x = f->place[in->a], *acc = column_partials(f, s, f->col);
    if (f->loop->streams) {
        const size_t apart = wg__stream(f) * size, wide = wg_dtype_size(s->fold.wide);
        for (size_t j = 0; j < f->c; j++)
            add_all(s, f->r, x + j * apart, acc + j * wide);
        return;
    }
    char *buffer = f->run->scratch + s->buffer + (size_t)(f->col - f->rect_col) * size;
    size_t r = f->r;
    char *half = f->run->scratch + s->half;
    for (const size_t row_most = 64; f->c < row_most && r > 3 && s->half; x = half, r /= 2) {
        size_t n = r / 2 * f->c;
        if (r % 2)
            fold_down(s, 1, f->c, acc, buffer, x + 2 * n * size);
        if (x != half)
            memcpy(half, x, n * size);
        s->fold.down(1, n, half, x + n * size);
    }
    fold_down(s, r, f->c, acc, buffer, x);
    if (s->buffered && f->flush) {
        s->fold.widen(1, f->c, acc, buffer);
        wg__fold_neutral(s->fold.monoid, s->fold.dtype, buffer, f->c);
    }
}

void wg__sinks_begin(wg__frame *f)
{
    for (size_t i = 0; i < f->loop->nsink; i++) {
        const wg__sink *s = &f->loop->sink[i];
        if (!s->columns) {
            wg__fold_neutral(s->fold.monoid, s->fold.wide,
                             f->run->partials + s->at + f->tile * sizeof(double), 1);
            continue;
        }
        size_t n = (size_t)f->rect_cols;
        wg__fold_neutral(s->fold.monoid, s->fold.wide, column_partials(f, s, f->rect_col), n);
        if (s->buffered)
            wg__fold_neutral(s->fold.monoid, s->fold.dtype, f->run->scratch + s->buffer, n);
    }
}

/* ---- the end -------------------------------------------------------------------------------------------- */

static void put(const wg__sink *s, char *to, const char *acc)
{
    if (s->fold.wide == s->fold.dtype)
        memcpy(to, acc, wg_dtype_size(s->fold.dtype));
    else
        *(float *)(void *)to = (float)*(const double *)(const void *)acc;
}

/* acc[i] = acc[i] op x[i] of type `wide`. */
static void combine(const wg__sink *s, size_t n, char *acc, const char *x)
{
    wg__loop_fold_of(s->fold.monoid, s->fold.wide, WG_ISA_PORTABLE).down(1, n, acc, x);
}

void wg__loop_finish(const wg__loop *loop, const wg__loop_run *run)
{
    const bool none = !loop->rows || !loop->cols;
    for (size_t i = 0; i < loop->nsink; i++) {
        const wg__sink *s = &loop->sink[i];
        const wg__mem *m = &loop->mem[s->mem];
        char *to = run->slots[m->slot] + m->offset, *acc = run->partials + s->at;
        const size_t n = s->columns ? (size_t)loop->cols : 1, size = wg_dtype_size(s->fold.wide);
        const size_t parts = s->columns ? loop->bands : loop->tiles;
        const size_t apart = s->columns ? n * size : sizeof(double);
        double neutral;
        wg__fold_neutral(s->fold.monoid, s->fold.wide, &neutral, 1);
        const bool empty = s->rows_only ? !loop->rows : none;
        for (size_t k = 1; k < parts && !empty; k++)
            combine(s, n, acc, acc + k * apart);
        for (size_t j = 0; j < n; j++, to += m->col)
            put(s, to, empty ? (const char *)&neutral : acc + j * size);
    }
}
