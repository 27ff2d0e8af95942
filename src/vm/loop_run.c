/* Running loops: a rectangle is walked patch by patch; the four lists of instructions run when what
 * they depend on has changed. Per patch there are only the aiming of memory that is used in place
 * and the calls of the kernels. */
#include <string.h>
#include "vm/loop_inst.h"

static void run_group(wg__frame *f, wg__group group)
{
    const wg__loop *loop = f->loop;
    const wg__inst *in = loop->inst + loop->begin[group],
                   *end = loop->inst + loop->begin[group + 1];
    char *const *p = f->place;
    for (; in < end; in++)
        if (in->block)
            in->block(f->n[in->level], p[in->a], p[in->b], p[in->c], p[in->y], in->attrs);
        else
            in->step(in, f);
}

static void set_count(wg__frame *f, wg__level level, size_t count)
{
    f->count[level] = count;
    f->n[level] = wg__lanes_up(count);
}

/* Points places at memory, where the patch is whole lanes that lie side by side, or else at the
 * registers that stand in, and fills those. */
static void aim(wg__frame *f, size_t first, size_t end, bool direct)
{
    const wg__loop *loop = f->loop;
    for (size_t i = first; i < end; i++) {
        const wg__mem *m = &loop->mem[loop->aim[i]];
        char *base = f->base[loop->aim[i]];
        if (direct) {
            f->place[m->place] = wg__row_start(f, m, base) + f->col * m->col;
            continue;
        }
        f->place[m->place] = f->run->scratch + m->shadow;
        if (!m->out)
            wg__pack(f, m, base, f->place[m->place]);
    }
}

static void patch(wg__frame *f)
{
    const wg__loop *loop = f->loop;
    set_count(f, WG__FULL, f->r * f->c);
    if (loop->streams)
        f->n[WG__FULL] = wg__stream(f) * f->c;
    bool direct = f->n[WG__FULL] == f->count[WG__FULL] && (f->r == 1 || f->c == (size_t)loop->cols);
    aim(f, 0, loop->aim_cols, direct);
    run_group(f, WG__G_PATCH);
    if (direct)
        return;
    for (size_t i = 0; i < loop->aim_cols; i++) {
        const wg__mem *m = &loop->mem[loop->aim[i]];
        if (m->out)
            wg__unpack(f, m, f->base[loop->aim[i]], f->place[m->place]);
    }
}

static void begin_cols(wg__frame *f, int64_t col)
{
    const wg__loop *loop = f->loop;
    int64_t left = f->rect_col + f->rect_cols - col;
    f->col = col;
    f->c = left < (int64_t)loop->patch_cols ? (size_t)left : loop->patch_cols;
    set_count(f, WG__COL, f->c);
    aim(f, loop->aim_cols, loop->aim_ones, f->n[WG__COL] == f->count[WG__COL]);
    run_group(f, WG__G_COL);
}

static void begin_rows(wg__frame *f, int64_t row, size_t *block)
{
    const wg__loop *loop = f->loop;
    int64_t left = f->rect_row + f->rect_rows - row;
    bool last = left <= (int64_t)loop->patch_rows;
    if (loop->coords && *block)
        wg__advance(loop, f->at, loop->digits);
    f->row = row;
    f->r = last ? (size_t)left : loop->patch_rows;
    f->flush = ++*block % loop->flush == 0 || last;
    set_count(f, WG__ROW, f->r);
    run_group(f, WG__G_ROW);
}

static void set_coords(wg__frame *f)
{
    const wg__loop *loop = f->loop;
    int64_t left = f->rect_row;
    for (int d = loop->nouter - 1; d >= 0; d--) {
        f->at[d] = d ? left % loop->outer[d] : left;
        left /= loop->outer[d];
    }
}

/* Row blocks outside: memory is read in its order. */
static bool by_rows(wg__frame *f)
{
    const int64_t end_row = f->rect_row + f->rect_rows, end_col = f->rect_col + f->rect_cols;
    const int64_t rows = (int64_t)f->loop->patch_rows, cols = (int64_t)f->loop->patch_cols;
    const bool single = f->rect_cols <= cols;
    size_t block = 0;
    if (single)
        begin_cols(f, f->rect_col);
    for (int64_t row = f->rect_row; row < end_row; row += rows) {
        f->col = f->rect_col;
        begin_rows(f, row, &block);
        if (single)
            patch(f);
        for (int64_t col = f->rect_col; col < end_col && !single; col += cols) {
            begin_cols(f, col);
            patch(f);
        }
        if (f->failed)
            return false;
    }
    return true;
}

/* Column blocks outside: what depends on columns alone is computed once per block. */
static bool by_cols(wg__frame *f)
{
    const int64_t end_row = f->rect_row + f->rect_rows, end_col = f->rect_col + f->rect_cols;
    for (int64_t col = f->rect_col; col < end_col; col += (int64_t)f->loop->patch_cols) {
        size_t block = 0;
        f->row = f->rect_row;
        if (f->loop->coords)
            set_coords(f);
        begin_cols(f, col);
        for (int64_t row = f->rect_row; row < end_row; row += (int64_t)f->loop->patch_rows) {
            begin_rows(f, row, &block);
            patch(f);
            if (f->failed)
                return false;
        }
    }
    return true;
}

bool wg__loop_rect(const wg__loop *loop, const wg__loop_run *run, size_t tile, size_t band,
                   int64_t row, int64_t rows, int64_t col, int64_t cols)
{
    wg__frame f;
    f.loop = loop;
    f.run = run;
    f.place = (char **)(void *)run->scratch;
    f.base = (char **)(void *)(run->scratch + loop->base_at);
    f.row = f.rect_row = row;
    f.col = f.rect_col = col;
    f.rect_rows = rows;
    f.rect_cols = cols;
    f.tile = tile;
    f.band = band;
    f.failed = false;
    if (rows <= 0 || (cols <= 0 && loop->cols))
        return true;
    for (size_t i = 0; i < loop->nplaces; i++)
        f.place[i] = run->scratch + loop->at[i];
    for (size_t i = 0; i < loop->nmem; i++)
        f.base[i] = run->slots[loop->mem[i].slot] + loop->mem[i].offset;
    for (size_t i = loop->aim_ones; i < loop->naim; i++)
        f.place[loop->mem[loop->aim[i]].place] = f.base[loop->aim[i]];
    if (loop->coords)
        set_coords(&f);
    wg__sinks_begin(&f);
    f.count[WG__ONE] = 1;
    f.n[WG__ONE] = WG__LANES;
    f.r = f.c = 1;
    run_group(&f, WG__G_ONE);
    return loop->cols_outer ? by_cols(&f) : by_rows(&f);
}

bool wg__loop_tile(const wg__loop *loop, const wg__loop_run *run, size_t tile)
{
    size_t band = tile / loop->cuts;
    int64_t row = (int64_t)band * loop->band_rows;
    int64_t col = (int64_t)(tile - band * loop->cuts) * loop->cut_cols;
    int64_t rows = loop->rows - row, cols = loop->cols - col;
    return wg__loop_rect(loop, run, tile, band, row,
                         rows < loop->band_rows ? rows : loop->band_rows, col,
                         cols < loop->cut_cols ? cols : loop->cut_cols);
}
