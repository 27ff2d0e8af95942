/* How products are cut into tiles: by shape alone. Tiles are to be large enough for the library to
 * run at nearly the rate of the whole (each tile packs its rows of a and its columns of b anew, and
 * oneDNN and OpenBLAS differ in which of the two costs more), small enough for C to stay in the
 * second level cache until the epilogue has seen it where that matters, and at least two to four
 * where the work is worth two threads. */
#include "vm/product_parts.h"

typedef struct rule {
    int64_t wide;                   /* columns at most, unless rows are few */
    int64_t least_n;                /* no fewer columns, when they are cut for threads */
    int64_t least_m, least_m_trans; /* no fewer rows; when b is transposed */
    double grain;                   /* flops worth a tile of its own */
} rule;

/* Measured on one core (oneDNN with AVX-512 kernels, OpenBLAS with AVX2 ones): within these limits a
 * cut product is at most 5% slower than the whole on one thread. oneDNN copies b^T at a cost that only many rows outweigh;
 * OpenBLAS likes tall tiles. */
static const rule f32_rule = {512, 128, 64, 256, 1e6};
static const rule f64_rule = {256, 128, 384, 384, 0.5e6};

/* Tiles of few rows may be wider than `wide`; a vector's are no narrower than VECTOR. */
enum { ROWS_WIDE = 32, VECTOR = 1024, UNIT_M = 8, UNIT_N = 16 };

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t pieces(int64_t n, int64_t of) { return (n + of - 1) / of; }

/* The size of tiles that cut `n` into pieces of nearly equal size, a multiple of `unit`, of at most
 * `most`. */
static int64_t even(int64_t n, int64_t most, int64_t unit)
{
    if (n <= most)
        return n;
    int64_t size = pieces(n, pieces(n, most));
    return min64(n, pieces(size, unit) * unit);
}

/* Elements of C in a tile: 512 KB of f32, or more where each costs so many flops that reading it
 * again from the third level does not count. As many of f64, which cost four times the work. */
static int64_t most_elements(const wg__product_spec *spec)
{
    return 512 * max64(256, min64(spec->k, 2048));
}

/* How many tiles are worth having. More than two cost too much where operands do not fit the second
 * level cache and the tiles of C would be small. */
static int64_t tiles_wanted(const wg__product_spec *spec, const rule *r, double flops)
{
    const double in = (double)spec->k * (double)(spec->m + spec->n);
    const double out = (double)spec->m * (double)spec->n;
    return flops >= 64 * r->grain && (in <= 1 << 19 || out >= 1 << 18) ? 4 : 2;
}

static void cut_for_threads(wg__cut *cut, const wg__product_spec *spec, const rule *r, bool a_trans,
                            bool b_trans, double flops)
{
    /* a vector times a matrix runs through whole rows of it */
    const int64_t least_n = spec->m == 1 && !b_trans ? VECTOR : r->least_n;
    const int64_t least_m = spec->n == 1 && a_trans ? VECTOR
                            : b_trans               ? r->least_m_trans
                                                    : r->least_m;
    const int64_t want = tiles_wanted(spec, r, flops);
    while (pieces(spec->m, cut->rows) * pieces(spec->n, cut->cols) < want) {
        bool by_cols = !spec->whole_rows && cut->cols >= 2 * least_n;
        bool by_rows = cut->rows >= 2 * least_m;
        if (by_cols && (!by_rows || cut->cols >= cut->rows))
            cut->cols = even(spec->n, pieces(cut->cols, 2), UNIT_N);
        else if (by_rows)
            cut->rows = even(spec->m, pieces(cut->rows, 2), UNIT_M);
        else
            break;
    }
}

wg__cut wg__product_cut(const wg__product_spec *spec, size_t matrices, bool a_trans, bool b_trans)
{
    const rule *r = spec->dtype == WG_F64 ? &f64_rule : &f32_rule;
    const double flops = 2.0 * (double)spec->m * (double)spec->n * (double)max64(1, spec->k);
    const int64_t most = most_elements(spec);
    const int64_t wide = spec->m >= ROWS_WIDE ? r->wide : max64(r->wide, (1 << 14) / spec->m);
    wg__cut cut = {.cols = spec->whole_rows ? spec->n : even(spec->n, wide, UNIT_N), .group = 1};
    cut.rows = even(spec->m, max64(UNIT_M, most / cut.cols), UNIT_M);
    if (matrices < 4 && flops >= 2 * r->grain)
        cut_for_threads(&cut, spec, r, a_trans, b_trans, flops);
    else if (cut.rows == spec->m && cut.cols == spec->n) {
        int64_t group = flops >= r->grain ? 1 : (int64_t)(r->grain / flops) + 1;
        group = min64(group, max64(1, most / (spec->m * spec->n)));
        cut.group = even((int64_t)matrices, group, 1);
    }
    cut.row_cuts = (size_t)pieces(spec->m, cut.rows);
    cut.col_cuts = (size_t)pieces(spec->n, cut.cols);
    cut.group_cuts = (size_t)pieces((int64_t)matrices, cut.group);
    return cut;
}
