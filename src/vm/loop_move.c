/* Moving elements between memory and registers: loads and stores of any strides, gathered rows,
 * picks, spreads of rows, columns and single elements, indices. Registers are packed row-major:
 * element (i, j) of a patch of r x c is at i c + j. */
#include <string.h>
#include "vm/loop_inst.h"

/* ---- copies by element size ------------------------------------------------------------------------ */

typedef uint8_t of_uint8_t __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint32_t of_uint32_t __attribute__((vector_size(16), aligned(4), may_alias));
typedef uint64_t of_uint64_t __attribute__((vector_size(16), aligned(8), may_alias));

/* to (rows ts apart, columns tc apart) = from; strides in bytes. */
#define COPY(T)                                                                                    \
    static inline void copy_##T(size_t r, size_t c, char *to, ptrdiff_t ts, ptrdiff_t tc,          \
                                const char *from, ptrdiff_t fs, ptrdiff_t fc)                      \
    {                                                                                              \
        for (; r; r--, to += ts, from += fs) {                                                     \
            char *t = to;                                                                          \
            const char *p = from;                                                                  \
            for (size_t j = 0; j < c; j++, t += tc, p += fc)                                       \
                *(T *)(void *)t = *(const T *)(const void *)p;                                     \
        }                                                                                          \
    }                                                                                              \
    /* From 16 bytes on by whole vectors, the last of which may overlap the one before. */         \
    static void fill_##T(size_t n, char *to, const char *from)                                     \
    {                                                                                              \
        const T e = *(const T *)(const void *)from;                                                \
        T *t = (T *)(void *)to;                                                                    \
        const size_t lanes = sizeof(of_##T) / sizeof(T);                                           \
        if (n < lanes) {                                                                           \
            for (size_t j = 0; j < n; j++)                                                         \
                t[j] = e;                                                                          \
            return;                                                                                \
        }                                                                                          \
        const of_##T all = (of_##T){0} + e;                                                        \
        for (size_t j = 0; j + lanes < n; j += lanes)                                              \
            *(of_##T *)(void *)(t + j) = all;                                                      \
        *(of_##T *)(void *)(t + n - lanes) = all;                                                  \
    }                                                                                              \
    static void line_##T(size_t n, char *to, ptrdiff_t ts, const char *from, ptrdiff_t fs)         \
    {                                                                                              \
        copy_##T(1, n, to, 0, ts, from, 0, fs);                                                    \
    }

COPY(uint8_t)
COPY(uint32_t)
COPY(uint64_t)

/* n equal elements, and n elements from stride to stride. */
static void fill(uint8_t size, size_t n, char *to, const char *from)
{
    if (size == 4)
        fill_uint32_t(n, to, from);
    else if (size == 8)
        fill_uint64_t(n, to, from);
    else
        fill_uint8_t(n, to, from);
}

static void line(uint8_t size, size_t n, char *to, ptrdiff_t ts, const char *from, ptrdiff_t fs)
{
    if (ts == size && fs == size)
        memcpy(to, from, n * size);
    else if (ts == size && !fs)
        fill(size, n, to, from);
    else if (size == 4)
        line_uint32_t(n, to, ts, from, fs);
    else if (size == 8)
        line_uint64_t(n, to, ts, from, fs);
    else
        line_uint8_t(n, to, ts, from, fs);
}

/* r x c elements. Where memory runs along the rows, they are copied column by column. */
static void block(uint8_t size, size_t r, size_t c, char *to, ptrdiff_t ts, ptrdiff_t tc,
                  const char *from, ptrdiff_t fs, ptrdiff_t fc)
{
    if (c == 1)
        line(size, r, to, ts, from, fs);
    else if (ts == (ptrdiff_t)c * tc && fs == (ptrdiff_t)c * fc)
        line(size, r * c, to, tc, from, fc);
    else if (size == 4 && c < WG__LANES)
        copy_uint32_t(r, c, to, ts, tc, from, fs, fc);
    else if (size == 4 && fs == 4 && c == WG__LANES)
        copy_uint32_t(c, r, to, tc, ts, from, fc, fs);
    else
        for (; r; r--, to += ts, from += fs)
            line(size, c, to, tc, from, fc);
}

/* Fills up to whole lanes, with ones: any op is quick and defined there. */
static void pad(wg_dtype dtype, uint8_t size, char *to, size_t n)
{
    static const float one_f32 = 1;
    static const double one_f64 = 1;
    static const int32_t one_i32 = 1;
    static const int64_t one_i64 = 1;
    static const uint8_t one_bool = 1;
    static const void *const one[WG_DTYPE_COUNT] = {
        [WG_BOOL] = &one_bool, [WG_I32] = &one_i32, [WG_I64] = &one_i64,
        [WG_F32] = &one_f32,   [WG_F64] = &one_f64,
    };
    size_t more = wg__lanes_up(n) - n;
    if (more)
        fill(size, more, to + n * size, one[dtype]);
}

/* ---- where rows lie ---------------------------------------------------------------------------------- */

void wg__advance(const wg__loop *loop, int64_t *at, const int64_t *digits)
{
    int64_t carry = 0;
    for (int d = loop->nouter - 1; d >= 0; d--) {
        at[d] += digits[d] + carry;
        carry = d && at[d] >= loop->outer[d];
        at[d] -= carry ? loop->outer[d] : 0;
    }
}

char *wg__row_start(const wg__frame *f, const wg__mem *m, char *base)
{
    if (m->uniform)
        return base + f->row * m->row;
    for (int d = 0; d < f->loop->nouter; d++)
        base += f->at[d] * m->outer[d];
    return base;
}

/* The rows of a patch in runs that lie `row` bytes apart. */
typedef struct rows {
    char *start;
    size_t n, left;
    ptrdiff_t row;
    int64_t at[WG_MAX_RANK];
} rows;

static rows rows_begin(const wg__frame *f, const wg__mem *m, char *base)
{
    rows w = {wg__row_start(f, m, base), f->r, f->r, m->row, {0}};
    if (m->uniform)
        return w;
    int last = f->loop->nouter - 1;
    memcpy(w.at, f->at, sizeof w.at);
    w.row = m->outer[last];
    int64_t run = f->loop->outer[last] - w.at[last];
    w.n = run < (int64_t)w.left ? (size_t)run : w.left;
    return w;
}

/* The next run; false at the end. */
static bool rows_next(rows *w, const wg__frame *f, const wg__mem *m)
{
    w->left -= w->n;
    if (!w->left)
        return false;
    int d = f->loop->nouter - 1;
    const int64_t *size = f->loop->outer;
    w->start -= w->at[d] * m->outer[d];
    w->at[d] = 0;
    for (d--; d >= 0; d--) {
        w->start += m->outer[d];
        if (++w->at[d] < size[d] || !d)
            break;
        w->start -= w->at[d] * m->outer[d];
        w->at[d] = 0;
    }
    int last = f->loop->nouter - 1;
    w->n = size[last] < (int64_t)w->left ? (size_t)size[last] : w->left;
    return true;
}

/* ---- packing ------------------------------------------------------------------------------------------- */

static void whole_patch(const wg__frame *f, const wg__mem *m, char *base, char *reg, bool store)
{
    size_t c = m->level & WG__COL ? f->c : 1;
    ptrdiff_t tc = m->size, ts = (ptrdiff_t)c * tc,
              shift = m->level & WG__COL ? f->col * m->col : 0;
    rows w = rows_begin(f, m, base);
    if (!(m->level & WG__ROW))
        w.n = w.left = 1;
    do {
        char *at = w.start + shift;
        if (store)
            block(m->size, w.n, c, at, w.row, m->col, reg, ts, tc);
        else
            block(m->size, w.n, c, reg, ts, tc, at, w.row, m->col);
        reg += (ptrdiff_t)w.n * ts;
    } while (rows_next(&w, f, m));
}

void wg__pack(const wg__frame *f, const wg__mem *m, char *base, char *to)
{
    whole_patch(f, m, base, to, false);
    pad(m->dtype, m->size, to, f->count[m->level]);
}

void wg__unpack(const wg__frame *f, const wg__mem *m, char *base, const char *from)
{
    /* The register is only read. */
    whole_patch(f, m, base, (char *)(uintptr_t)from, true);
}

void wg__step_load(const wg__inst *in, wg__frame *f)
{
    const wg__mem *m = &f->loop->mem[in->extra->mem];
    char *base = f->base[in->extra->mem], *to = f->place[in->y];
    if (m->level == WG__ONE)
        fill(m->size, WG__LANES, to, base);
    else
        wg__pack(f, m, base, to);
}

/* What does not vary along rows or columns is stored by those who have the first of them. */
void wg__step_store(const wg__inst *in, wg__frame *f)
{
    const wg__mem *m = &f->loop->mem[in->extra->mem];
    if ((!(m->level & WG__ROW) && f->row) || (!(m->level & WG__COL) && f->col))
        return;
    wg__unpack(f, m, f->base[in->extra->mem], f->place[in->a]);
}

/* ---- indices -------------------------------------------------------------------------------------------- */

static int64_t index_at(const void *p, wg_dtype dtype, size_t i)
{
    return dtype == WG_I64 ? ((const int64_t *)p)[i] : ((const int32_t *)p)[i];
}

/* Reports the first failure: row i of the patch has index `value`. */
static void fail(const wg__extra *x, wg__frame *f, size_t i, int64_t value, int64_t limit)
{
    if (!f->failed)
        *f->run->fault = (wg__loop_fault){x->node, f->row + (int64_t)i, value, limit};
    f->failed = true;
}

void wg__step_gather(const wg__inst *in, wg__frame *f)
{
    const wg__extra *x = in->extra;
    const wg__mem *m = &f->loop->mem[x->mem];
    const char *index = f->place[in->a];
    const size_t c = m->level & WG__COL ? f->c : 1, bytes = c * m->size;
    const ptrdiff_t shift = m->level & WG__COL ? f->col * m->col : 0;
    char *to = f->place[in->y];
    size_t i = 0;
    rows w = rows_begin(f, m, f->base[x->mem]);
    do {
        char *at = w.start + shift;
        for (size_t k = 0; k < w.n; k++, i++, at += w.row, to += bytes) {
            int64_t e = index_at(index, x->index, x->fixed_index ? 0 : i);
            if (e >= 0 && e < x->limit)
                line(m->size, c, to, m->size, at + e * x->move, m->col);
            else {
                fail(x, f, i, e, x->limit);
                memset(to, 0, bytes);
            }
        }
    } while (rows_next(&w, f, m));
    pad(m->dtype, m->size, f->place[in->y], f->r * c);
}

void wg__step_pick(const wg__inst *in, wg__frame *f)
{
    const wg__extra *x = in->extra;
    const char *from = f->place[in->a];
    char *to = f->place[in->y];
    for (size_t i = 0; i < f->r; i++, from += f->c * x->size, to += x->size) {
        int64_t e = index_at(f->place[in->b], x->index, x->fixed_index ? 0 : i);
        if (e >= 0 && e < (int64_t)f->c)
            memcpy(to, from + e * x->size, x->size);
        else {
            fail(x, f, i, e, x->limit);
            memset(to, 0, x->size);
        }
    }
    pad(x->dtype, x->size, f->place[in->y], f->r);
}

static void put_index(wg_dtype dtype, char *to, size_t i, int64_t e)
{
    if (dtype == WG_F32)
        ((float *)(void *)to)[i] = (float)e;
    else if (dtype == WG_F64)
        ((double *)(void *)to)[i] = (double)e;
    else if (dtype == WG_I64)
        ((int64_t *)(void *)to)[i] = e;
    else
        ((int32_t *)(void *)to)[i] = (int32_t)e;
}

void wg__step_iota(const wg__inst *in, wg__frame *f)
{
    static const int64_t one[WG_MAX_RANK] = {0};
    const wg__extra *x = in->extra;
    const wg__loop *loop = f->loop;
    char *to = f->place[in->y];
    int64_t at[WG_MAX_RANK], step[WG_MAX_RANK], e = 0;
    memcpy(at, f->at, sizeof at);
    memcpy(step, one, sizeof step);
    if (loop->nouter)
        step[loop->nouter - 1] = 1;
    for (size_t i = 0; i < f->n[in->level]; i++) {
        if (in->level & WG__COL)
            e = f->col + (int64_t)i;
        else if (in->level & WG__ROW) {
            e = i < f->r ? at[x->dim] : e;
            wg__advance(loop, at, step);
        }
        int64_t v = x->div > 1 ? e / x->div : e;
        put_index(x->dtype, to, i, x->mod > 0 ? v % x->mod : v);
    }
}

/* ---- spreads -------------------------------------------------------------------------------------------- */

/* A value of level `from` as one of the result's level: a ROW's element along its row, a row of a COL
 * repeated for all rows of a patch, one element everywhere. */
void wg__step_spread(const wg__inst *in, wg__frame *f)
{
    const wg__extra *x = in->extra;
    const char *from = f->place[in->a];
    char *to = f->place[in->y];
    size_t n;
    if (x->from == WG__ONE) {
        n = f->count[in->level];
        fill(x->size, n, to, from);
    } else if (x->from == WG__ROW) {
        n = f->r * f->c;
        for (size_t i = 0; i < f->r; i++)
            fill(x->size, f->c, to + i * f->c * x->size, from + i * x->size);
    } else { /* once per column block: for all rows that a patch may have */
        n = f->loop->patch_rows * f->c;
        for (size_t i = 0; i < f->loop->patch_rows; i++)
            memcpy(to + i * f->c * x->size, from, f->c * x->size);
    }
    pad(x->dtype, x->size, to, n);
}

/* ---- ops ---------------------------------------------------------------------------------------------- */

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

/* Through the op's loop, which sees real elements only. */
void wg__step_loop(const wg__inst *in, wg__frame *f)
{
    const wg__extra *x = in->extra;
    char **data = (char **)(void *)(f->run->scratch + f->loop->call_at);
    size_t n = f->count[in->level];
    for (uint32_t i = 0; i < in->nargs; i++)
        data[i] = f->place[x->args[i]];
    if (!n)
        return;
    x->loop(n, data, x->strides, in->attrs, x->user);
    char *y = f->place[in->y];
    if (f->n[in->level] > n)
        fill(x->size, f->n[in->level] - n, y + n * x->size, y + (n - 1) * x->size);
}
