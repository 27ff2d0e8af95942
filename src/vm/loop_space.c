/* The space of a loop: dimensions are merged where every operand allows it, values get their levels,
 * and the sizes of patches and tiles follow from shapes alone. */
#include <string.h>
#include "vm/loop_inst.h"

/* A patch has about this many elements: registers stay in L1, and the cost of calling a kernel is
 * small beside the work. Where there is nothing but folds of memory, no registers are needed. */
enum { PATCH = 1024, PATCH_WIDE = 512, PATCH_FOLDS = 8192, TRANSPOSED = 16 };
/* Of streams, as many as this; their patches are larger, since each column is a call. */
enum { FEW = 16, STREAM_PATCH = 1024 };
/* A tile is worth this many elements times instructions. */
static const double tile_work = 49152;
/* f32 sums of columns go on in f64 after so many rows. */
enum { TILES_MOST = 64, FLUSH_ROWS = 128 };
/* Rows of a band that make up for its partial results by column. */
enum { BAND_LEAST = 128 };

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* ---- merging ------------------------------------------------------------------------------------- */

static bool is_iota_of(const wg__loop_builder *b, int dim)
{
    for (size_t i = 0; i < b->defs.len; i++)
        if (b->defs.data[i].kind == WG__DEF_IOTA && b->defs.data[i].dim == dim)
            return true;
    return false;
}

/* What an iota along dimension `from` is along now: `to`, those behind it one less. -1: always 0. */
static void move_iotas(wg__loop_builder *b, int from, int to)
{
    for (size_t i = 0; i < b->defs.len; i++) {
        wg__def *d = &b->defs.data[i];
        if (d->kind != WG__DEF_IOTA)
            continue;
        if (d->dim == from)
            d->dim = to;
        else if (d->dim > from)
            d->dim--;
    }
}

static void drop_outer(wg__loop_builder *b, int dim)
{
    b->nouter--;
    for (int d = dim; d < b->nouter; d++)
        b->outer[d] = b->outer[d + 1];
    for (size_t i = 0; i < b->mems.len; i++) {
        ptrdiff_t *outer = b->mems.data[i].outer;
        for (int d = dim; d < b->nouter; d++)
            outer[d] = outer[d + 1];
        outer[b->nouter] = 0;
    }
}

/* Dimension `dim` and the one behind it (an outer one, or the columns) are one in all of memory. */
static bool can_merge(const wg__loop_builder *b, int dim)
{
    bool with_cols = dim + 1 == b->nouter;
    int64_t size = with_cols ? b->cols : b->outer[dim + 1];
    if (is_iota_of(b, dim) || is_iota_of(b, dim + 1))
        return false;
    for (size_t i = 0; i < b->mems.len; i++) {
        const wg__loop_mem *m = &b->mems.data[i];
        if (m->outer[dim] != (with_cols ? m->col : m->outer[dim + 1]) * (ptrdiff_t)size)
            return false;
    }
    return true;
}

static void merge_outer(wg__loop_builder *b, int dim)
{
    b->outer[dim + 1] *= b->outer[dim];
    drop_outer(b, dim);
    move_iotas(b, dim, -1); /* there is none along it */
}

/* The last outer dimension becomes the columns, or part of them. */
static void merge_cols(wg__loop_builder *b, bool replace)
{
    int last = b->nouter - 1;
    b->cols *= b->outer[last];
    for (size_t i = 0; i < b->mems.len; i++) {
        wg__loop_mem *m = &b->mems.data[i];
        m->col = replace ? m->outer[last] : m->col;
        m->outer[last] = 0;
    }
    b->nouter = last; /* an iota along it is along the columns now */
}

/* Are the columns a boundary that must stay? */
static bool cols_stay(const wg__loop_builder *b)
{
    if (b->whole_rows || b->cut || b->cols == 0)
        return true;
    for (size_t i = 0; i < b->defs.len; i++) {
        const wg__def *d = &b->defs.data[i];
        if (d->kind == WG__DEF_GATHER || d->kind == WG__DEF_COLUMNS ||
            (d->kind == WG__DEF_TOTAL && d->over != WG__FULL))
            return true;
    }
    return false;
}

/* Strides that mean nothing are 0: of results that are one element, of dimensions of size 1. */
static void clean_strides(wg__loop_builder *b)
{
    for (size_t i = 0; i < b->defs.len; i++) {
        const wg__def *d = &b->defs.data[i];
        if (d->kind != WG__DEF_TOTAL && d->kind != WG__DEF_COLUMNS)
            continue;
        wg__loop_mem *m = &b->mems.data[d->mem];
        memset(m->outer, 0, sizeof m->outer);
        if (d->kind == WG__DEF_TOTAL)
            m->col = 0;
    }
    for (size_t i = 0; i < b->mems.len; i++) {
        wg__loop_mem *m = &b->mems.data[i];
        for (int d = 0; d < WG_MAX_RANK; d++)
            m->outer[d] = d < b->nouter && b->outer[d] != 1 ? m->outer[d] : 0;
        m->col = b->cols != 1 ? m->col : 0;
    }
}

void wg__loop_merge(wg__loop_builder *b)
{
    clean_strides(b);
    for (int d = b->nouter - 1; d >= 0; d--)
        if (b->outer[d] == 1) {
            drop_outer(b, d);
            move_iotas(b, d, -1);
        }
    bool stay = cols_stay(b);
    if (b->cols == 1)
        move_iotas(b, b->nouter, -1);
    if (b->cols == 1 && b->nouter && !stay)
        merge_cols(b, true);
    for (int d = b->nouter - 2; d >= 0; d--)
        if (can_merge(b, d))
            merge_outer(b, d);
    while (!stay && b->nouter && can_merge(b, b->nouter - 1))
        merge_cols(b, false);
}

/* ---- levels -------------------------------------------------------------------------------------- */

/* With a single row, COL and FULL are the same: FULL it is. */
uint8_t wg__loop_mem_level(const wg__loop_builder *b, const wg__loop_mem *m)
{
    uint8_t level = m->col ? b->nouter ? WG__COL : WG__FULL : WG__ONE;
    for (int d = 0; d < WG_MAX_RANK; d++)
        if (m->outer[d])
            level |= WG__ROW;
    return level;
}

static bool before_patch(const wg__loop_builder *b, const wg__def *d)
{
    for (uint32_t i = 0; i < d->nin; i++)
        if (b->defs.data[b->operands.data[d->first + i]].group == WG__G_PATCH)
            return false;
    return d->kind != WG__DEF_REDUCE && d->kind != WG__DEF_PICK;
}

static uint8_t level_of(const wg__loop_builder *b, const wg__def *d)
{
    uint8_t level = WG__ONE;
    switch (d->kind) {
    case WG__DEF_LOAD:
    case WG__DEF_STORE:
    case WG__DEF_TOTAL:
    case WG__DEF_COLUMNS:
        return wg__loop_mem_level(b, &b->mems.data[d->mem]);
    case WG__DEF_GATHER:
        return wg__loop_mem_level(b, &b->mems.data[d->mem]) | WG__ROW;
    case WG__DEF_IOTA:
        return d->dim < 0 ? WG__ONE : d->dim < b->nouter ? WG__ROW : b->nouter ? WG__COL : WG__FULL;
    case WG__DEF_REDUCE:
    case WG__DEF_PICK:
        return WG__ROW;
    case WG__DEF_APPLY:
        break;
    }
    for (uint32_t i = 0; i < d->nin; i++)
        level |= b->defs.data[b->operands.data[d->first + i]].level;
    return level;
}

void wg__loop_levels(wg__loop_builder *b)
{
    static const uint8_t group[4] = {WG__G_ONE, WG__G_COL, WG__G_ROW, WG__G_PATCH};
    for (size_t i = 0; i < b->defs.len; i++) {
        wg__def *d = &b->defs.data[i];
        d->level = level_of(b, d);
        d->group = before_patch(b, d) ? group[d->level] : WG__G_PATCH;
    }
    for (size_t i = b->defs.len; i-- > 0;) {
        wg__def *d = &b->defs.data[i];
        d->used = d->used || d->kind >= WG__DEF_STORE;
        for (uint32_t k = 0; k < d->nin && d->used; k++)
            b->defs.data[b->operands.data[d->first + k]].used = true;
    }
}

/* ---- patches ------------------------------------------------------------------------------------- */

static size_t patch_size(const wg__loop_builder *b)
{
    bool folds = true, wide = false;
    for (size_t i = 0; i < b->defs.len; i++) {
        const wg__def *d = &b->defs.data[i];
        bool result = d->kind == WG__DEF_TOTAL || d->kind == WG__DEF_COLUMNS;
        if (!d->used || d->level != WG__FULL || result)
            continue;
        folds = folds && d->kind == WG__DEF_LOAD;
        wide = wide || wg_dtype_size(d->dtype) == 8;
    }
    return folds ? PATCH_FOLDS : wide ? PATCH_WIDE : PATCH;
}

/* The fewest rows, about a patch's worth, that make whole groups of lanes with `cols`. */
static size_t rows_for(int64_t cols, size_t patch)
{
    size_t c = cols > 0 ? (size_t)cols : 1;
    size_t unit = WG__LANES;
    for (size_t x = c; unit > 1 && x % 2 == 0; x /= 2)
        unit /= 2;
    size_t rows = patch / c > 1 ? patch / c : 1;
    size_t whole = (rows + unit - 1) / unit * unit;
    if (whole * c > patch + patch / 2 && rows >= unit)
        whole = rows / unit * unit;
    return whole * c <= 4 * patch ? whole : rows;
}

/* Some memory runs along the rows: blocks of rows and columns then use whole cache lines. */
static bool transposed(const wg__loop_builder *b)
{
    for (size_t i = 0; i < b->mems.len && b->nouter; i++) {
        const wg__loop_mem *m = &b->mems.data[i];
        ptrdiff_t row = m->outer[b->nouter - 1], col = m->col;
        row = row < 0 ? -row : row;
        col = col < 0 ? -col : col;
        if (row && row <= 16 && col >= 64 && b->outer[b->nouter - 1] >= TRANSPOSED)
            return true;
    }
    return false;
}

static bool computes_columns(const wg__loop_builder *b)
{
    for (size_t i = 0; i < b->defs.len; i++)
        if (b->defs.data[i].used && b->defs.data[i].group == WG__G_COL &&
            b->defs.data[i].kind == WG__DEF_APPLY)
            return true;
    return false;
}

/* Is each column better a stream of its own? Rough nanoseconds a row: spreading and folding short rows
 * against transposing memory. */
static bool few_columns(const wg__loop_builder *b, const wg__loop *loop)
{
    const double per_row = 4, per_element = 0.5;
    double wins = 0, losses = 0;
    if (!b->nouter || b->cols < 2 || b->cols > FEW || loop->rows < 2 * WG__LANES ||
        (b->cut && !b->whole_rows))
        return false;
    for (size_t i = 0; i < b->defs.len; i++) {
        const wg__def *d = &b->defs.data[i];
        bool memory =
            d->kind == WG__DEF_LOAD || d->kind == WG__DEF_GATHER || d->kind == WG__DEF_STORE;
        if (d->used && d->kind == WG__DEF_REDUCE)
            wins += per_row;
        if (d->used && memory && d->level == WG__FULL)
            losses += per_element * (double)b->cols;
        for (uint32_t k = 0; d->used && d->level == WG__FULL && k < d->nin; k++)
            if (b->defs.data[b->operands.data[d->first + k]].level == WG__ROW)
                wins += per_row;
    }
    return wins > losses;
}

/* Patches of about equal size, in whole lanes. */
static void stream_patches(wg__loop *loop)
{
    int64_t most = ceil_div(STREAM_PATCH, loop->cols), patches = ceil_div(loop->rows, most);
    loop->streams = true;
    loop->patch_rows = wg__lanes_up((size_t)ceil_div(loop->rows, patches));
}

void wg__loop_patches(const wg__loop_builder *b, wg__loop *loop)
{
    loop->nouter = b->nouter;
    loop->cols = b->cols;
    loop->rows = 1;
    for (int d = 0; d < b->nouter; d++)
        loop->rows *= loop->outer[d] = b->outer[d];
    size_t cols = (size_t)b->cols, rows = (size_t)loop->rows;
    const size_t patch = patch_size(b);
    loop->patch_cols = cols;
    loop->patch_rows = rows_for(b->cols, patch);
    if (few_columns(b, loop))
        stream_patches(loop);
    else if (!b->whole_rows && cols >= 2 * TRANSPOSED && transposed(b)) {
        loop->patch_cols = TRANSPOSED;
        loop->patch_rows = PATCH_WIDE / TRANSPOSED;
        loop->cols_outer = true;
    } else if (!b->whole_rows && cols > patch) {
        bool whole = loop->patch_rows * cols % WG__LANES == 0;
        bool ragged = cols % WG__LANES && whole && rows > 1;
        loop->patch_rows = ragged ? loop->patch_rows : 1;
        loop->patch_cols = ragged ? cols : patch;
        loop->cols_outer = !ragged && computes_columns(b);
    }
    if (loop->patch_rows > rows)
        loop->patch_rows = rows ? rows : 1;
    int64_t left = (int64_t)loop->patch_rows;
    for (int d = b->nouter - 1; d >= 0 && loop->rows; d--) {
        loop->digits[d] = d ? left % b->outer[d] : left;
        left /= b->outer[d];
    }
    loop->flush = FLUSH_ROWS / loop->patch_rows ? FLUSH_ROWS / loop->patch_rows : 1;
}

/* ---- tiles --------------------------------------------------------------------------------------- */

/* Cuts `size` into at most `want` pieces of equally many blocks; the size of a piece. */
static int64_t piece(int64_t size, int64_t block, int64_t want)
{
    int64_t blocks = ceil_div(size, block);
    return ceil_div(blocks, want < blocks ? want : blocks) * block;
}

void wg__loop_tiling(const wg__loop_builder *b, wg__loop *loop)
{
    int64_t rows = loop->rows, cols = loop->cols;
    loop->cut_by_owner = b->cut;
    loop->band_rows = rows;
    loop->cut_cols = cols;
    if (b->cut) {
        loop->bands = b->bands;
        loop->tiles = b->tiles;
        return;
    }
    if (!rows)
        return;
    size_t used = 0;
    for (size_t i = 0; i < b->defs.len; i++)
        used += b->defs.data[i].used;
    int64_t most = rows;
    for (size_t i = 0; i < b->defs.len; i++)
        most = b->defs.data[i].kind == WG__DEF_COLUMNS ? ceil_div(rows, BAND_LEAST) : most;
    double work = (double)rows * (double)(cols ? cols : 1) * (double)used / tile_work;
    int64_t want = work > TILES_MOST ? TILES_MOST : work < 1 ? 1 : (int64_t)work;
    loop->band_rows = piece(rows, (int64_t)loop->patch_rows, want < most ? want : most);
    loop->bands = (size_t)ceil_div(rows, loop->band_rows);
    loop->cuts = 1;
    want /= (int64_t)loop->bands;
    if (!b->whole_rows && cols && want > 1) {
        loop->cut_cols = piece(cols, (int64_t)loop->patch_cols, want);
        loop->cuts = (size_t)ceil_div(cols, loop->cut_cols);
    }
    loop->tiles = loop->bands * loop->cuts;
}
