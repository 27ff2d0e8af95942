/* Moving elements between memory and registers: loads and stores of any strides, gathered rows,
 * picks, spreads of rows, columns and single elements, indices. */
#include <string.h>
#include "vm/loop_inst.h"

/* ---- registers ---------------------------------------------------------------------------------------- */

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
        wg__fill(size, more, to + n * size, one[dtype]);
}

/* The same for all columns of a value of this level. */
static void pad_all(const wg__frame *f, uint8_t level, wg_dtype dtype, uint8_t size, char *to)
{
    if (!f->loop->streams || level != WG__FULL) {
        pad(dtype, size, to, f->count[level]);
        return;
    }
    for (size_t j = 0; j < f->c && f->r < wg__stream(f); j++)
        pad(dtype, size, to + j * wg__stream(f) * size, f->r);
}

/* Bytes from row to row and from column to column in a register. */
typedef struct apart {
    ptrdiff_t row, col;
} apart;

static apart apart_in(const wg__frame *f, uint8_t level, uint8_t size)
{
    if (f->loop->streams && level == WG__FULL)
        return (apart){size, (ptrdiff_t)wg__stream(f) * size};
    return (apart){level & WG__COL ? (ptrdiff_t)f->c * size : size, size};
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
    const size_t c = m->level & WG__COL ? f->c : 1;
    const apart in = apart_in(f, m->level, m->size);
    const ptrdiff_t shift = m->level & WG__COL ? f->col * m->col : 0;
    const bool one = !(m->level & WG__ROW);
    if (one || m->uniform) { /* a single run, as mostly */
        char *at = wg__row_start(f, m, base) + shift;
        const size_t r = one ? 1 : f->r;
        if (store)
            wg__copy_block(m->size, r, c, at, m->row, m->col, reg, in.row, in.col);
        else
            wg__copy_block(m->size, r, c, reg, in.row, in.col, at, m->row, m->col);
        return;
    }
    rows w = rows_begin(f, m, base);
    do {
        char *at = w.start + shift;
        if (store)
            wg__copy_block(m->size, w.n, c, at, w.row, m->col, reg, in.row, in.col);
        else
            wg__copy_block(m->size, w.n, c, reg, in.row, in.col, at, w.row, m->col);
        reg += (ptrdiff_t)w.n * in.row;
    } while (rows_next(&w, f, m));
}

void wg__pack(const wg__frame *f, const wg__mem *m, char *base, char *to)
{
    whole_patch(f, m, base, to, false);
    pad_all(f, m->level, m->dtype, m->size, to);
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
        wg__fill(m->size, WG__LANES, to, base);
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
    const size_t c = m->level & WG__COL ? f->c : 1;
    const ptrdiff_t shift = m->level & WG__COL ? f->col * m->col : 0;
    const apart out = apart_in(f, m->level | WG__ROW, m->size);
    const uint64_t zero = 0;
    char *to = f->place[in->y];
    size_t i = 0;
    rows w = rows_begin(f, m, f->base[x->mem]);
    do {
        char *at = w.start + shift;
        for (size_t k = 0; k < w.n; k++, i++, at += w.row, to += out.row) {
            int64_t e = index_at(index, x->index, x->fixed_index ? 0 : i);
            if (e >= 0 && e < x->limit)
                wg__copy_line(m->size, c, to, out.col, at + e * x->move, m->col);
            else {
                fail(x, f, i, e, x->limit);
                wg__copy_line(m->size, c, to, out.col, (const char *)&zero, 0);
            }
        }
    } while (rows_next(&w, f, m));
    pad_all(f, m->level | WG__ROW, m->dtype, m->size, f->place[in->y]);
}

void wg__step_pick(const wg__inst *in, wg__frame *f)
{
    const wg__extra *x = in->extra;
    const char *from = f->place[in->a];
    char *to = f->place[in->y];
    const apart at = apart_in(f, WG__FULL, x->size);
    for (size_t i = 0; i < f->r; i++, from += at.row, to += x->size) {
        int64_t e = index_at(f->place[in->b], x->index, x->fixed_index ? 0 : i);
        if (e >= 0 && e < (int64_t)f->c)
            memcpy(to, from + e * at.col, x->size);
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
static void spread_in_streams(const wg__inst *in, wg__frame *f)
{
    const size_t n = wg__stream(f), size = in->extra->size;
    const char *from = f->place[in->a];
    char *to = f->place[in->y];
    for (size_t j = 0; j < f->c; j++, to += n * size)
        if (in->extra->from == WG__ROW)
            memcpy(to, from, n * size);
        else
            wg__fill((uint8_t)size, n, to, from + (in->extra->from == WG__COL ? j * size : 0));
}

void wg__step_spread(const wg__inst *in, wg__frame *f)
{
    const wg__extra *x = in->extra;
    const char *from = f->place[in->a];
    char *to = f->place[in->y];
    size_t n;
    if (f->loop->streams && in->level == WG__FULL) {
        spread_in_streams(in, f);
        return;
    }
    if (x->from == WG__ONE) {
        n = f->count[in->level];
        wg__fill(x->size, n, to, from);
    } else if (x->from == WG__ROW) {
        n = f->r * f->c;
        for (size_t i = 0; i < f->r; i++)
            wg__fill(x->size, f->c, to + i * f->c * x->size, from + i * x->size);
    } else { /* once per column block: for all rows that a patch may have */
        n = f->loop->patch_rows * f->c;
        for (size_t i = 0; i < f->loop->patch_rows; i++)
            memcpy(to + i * f->c * x->size, from, f->c * x->size);
    }
    pad(x->dtype, x->size, to, n);
}
