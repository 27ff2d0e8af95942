/* Joins: see join.h. Axes that are one run in both arrays are merged; then blocks of the two last axes
 * are copied, and the first axis is cut into tiles. */
#include <string.h>

#include "vm/join.h"
#include "vm/loop_inst.h"

enum { TILE_BYTES = 1 << 16 };

typedef struct part {
    wg__join_copy copy;
    int64_t rows; /* of the first axis, in a tile */
    size_t first; /* tile */
} part;

struct wg__join {
    size_t n, tiles;
    double bytes;
    part parts[];
};

/* Without axes of size 1, and with merged neighbours; at least one axis stays. */
static void merge_axes(wg__join_copy *c)
{
    int n = 0;
    for (int i = 0; i < c->rank; i++) {
        if (c->dim[i] == 1)
            continue;
        const bool run = n && c->from_step[n - 1] == c->from_step[i] * c->dim[i] &&
                         c->to_step[n - 1] == c->to_step[i] * c->dim[i];
        n -= run;
        c->dim[n] = run ? c->dim[n] * c->dim[i] : c->dim[i];
        c->from_step[n] = c->from_step[i];
        c->to_step[n++] = c->to_step[i];
    }
    if (n == 0) {
        c->dim[0] = 1;
        c->from_step[0] = c->to_step[n++] = c->size;
    }
    c->rank = n;
}

static double bytes_of(const wg__join_copy *c)
{
    double bytes = c->size;
    for (int i = 0; i < c->rank; i++)
        bytes *= (double)c->dim[i];
    return bytes;
}

wg__join *wg__join_make(wg_ctx *ctx, const wg__join_copy *copies, size_t n)
{
    wg__join *j = wg__calloc(ctx, 1, sizeof *j + n * sizeof *j->parts);
    for (size_t i = 0; j && i < n; i++) {
        part *p = &j->parts[j->n];
        p->copy = copies[i];
        merge_axes(&p->copy);
        const double bytes = bytes_of(&p->copy);
        if (bytes == 0)
            continue;
        const int64_t all = p->copy.dim[0];
        const double wanted = bytes / TILE_BYTES;
        const int64_t pieces = wanted < 1 ? 1 : wanted < (double)all ? (int64_t)wanted : all;
        p->rows = (all + pieces - 1) / pieces;
        p->first = j->tiles;
        j->tiles += (size_t)((all + p->rows - 1) / p->rows);
        j->bytes += 2 * bytes;
        j->n++;
    }
    return j;
}

void wg__join_free(wg_ctx *ctx, wg__join *j) { wg__free(ctx, j); }
size_t wg__join_tiles(const wg__join *j) { return j->tiles; }
double wg__join_bytes(const wg__join *j) { return j->bytes; }
double wg__join_cost(const wg__join *j) { return j->bytes / 16 + 20 * (double)j->tiles; }

/* The part with this tile. */
static const part *part_of(const wg__join *j, size_t tile)
{
    size_t low = 0, high = j->n;
    while (high - low > 1) {
        const size_t mid = (low + high) / 2;
        if (j->parts[mid].first <= tile)
            low = mid;
        else
            high = mid;
    }
    return &j->parts[low];
}

/* The next index of the axes [from, to) of a copy, as addresses; false: that was the last one. */
static bool next(const wg__join_copy *c, int from, int to, int64_t *at, char **t, const char **p)
{
    for (int d = to - 1; d >= from; d--) {
        *t += c->to_step[d];
        *p += c->from_step[d];
        if (++at[d] < c->dim[d])
            return true;
        *t -= c->dim[d] * c->to_step[d];
        *p -= c->dim[d] * c->from_step[d];
        at[d] = 0;
    }
    return false;
}

/* All of `c` from t and p on: blocks of the last two axes. */
static void copy_all(const wg__join_copy *c, char *t, const char *p)
{
    const int last = c->rank - 1, rows = last - 1;
    int64_t at[WG_MAX_RANK] = {0};
    if (last == 0) {
        wg__copy_line(c->size, (size_t)c->dim[0], t, c->to_step[0], p, c->from_step[0]);
        return;
    }
    do
        wg__copy_block(c->size, (size_t)c->dim[rows], (size_t)c->dim[last], t, c->to_step[rows],
                       c->to_step[last], p, c->from_step[rows], c->from_step[last]);
    while (next(c, 0, rows, at, &t, &p));
}

void wg__join_tile(const wg__join *j, char *const *slots, size_t tile)
{
    const part *p = part_of(j, tile);
    const int64_t row = (int64_t)(tile - p->first) * p->rows;
    wg__join_copy c = p->copy;
    if (c.dim[0] - row < p->rows)
        c.dim[0] -= row;
    else
        c.dim[0] = p->rows;
    copy_all(&c, slots[c.to] + c.to_at + row * c.to_step[0],
             slots[c.from] + c.from_at + row * c.from_step[0]);
}
