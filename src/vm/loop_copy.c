/* Copies between memory and registers: lines and blocks of any strides by element size, transposed in
 * small squares where one side runs along the rows. */
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

void wg__fill(uint8_t size, size_t n, char *to, const char *from)
{
    if (size == 4)
        fill_uint32_t(n, to, from);
    else if (size == 8)
        fill_uint64_t(n, to, from);
    else
        fill_uint8_t(n, to, from);
}

void wg__copy_line(uint8_t size, size_t n, char *to, ptrdiff_t ts, const char *from, ptrdiff_t fs)
{
    if (ts == size && fs == size)
        memcpy(to, from, n * size);
    else if (ts == size && !fs)
        wg__fill(size, n, to, from);
    else if (size == 4)
        line_uint32_t(n, to, ts, from, fs);
    else if (size == 8)
        line_uint64_t(n, to, ts, from, fs);
    else
        line_uint8_t(n, to, ts, from, fs);
}

#ifdef __clang__
#define SHUFFLE(V, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(V, a, b, ...) __builtin_shuffle(a, b, (V){__VA_ARGS__})
#endif

/* Rows fs apart of 4 or 2 elements become as many columns ts apart. */
static inline void square_uint32_t(char *to, ptrdiff_t ts, const char *from, ptrdiff_t fs)
{
    typedef of_uint32_t v;
    const v r0 = *(const v *)(const void *)from, r1 = *(const v *)(const void *)(from + fs);
    const v r2 = *(const v *)(const void *)(from + 2 * fs);
    const v r3 = *(const v *)(const void *)(from + 3 * fs);
    const v a = SHUFFLE(v, r0, r1, 0, 4, 1, 5), b = SHUFFLE(v, r2, r3, 0, 4, 1, 5);
    const v c = SHUFFLE(v, r0, r1, 2, 6, 3, 7), d = SHUFFLE(v, r2, r3, 2, 6, 3, 7);
    *(v *)(void *)to = SHUFFLE(v, a, b, 0, 1, 4, 5);
    *(v *)(void *)(to + ts) = SHUFFLE(v, a, b, 2, 3, 6, 7);
    *(v *)(void *)(to + 2 * ts) = SHUFFLE(v, c, d, 0, 1, 4, 5);
    *(v *)(void *)(to + 3 * ts) = SHUFFLE(v, c, d, 2, 3, 6, 7);
}

static inline void square_uint64_t(char *to, ptrdiff_t ts, const char *from, ptrdiff_t fs)
{
    typedef of_uint64_t v;
    const v r0 = *(const v *)(const void *)from, r1 = *(const v *)(const void *)(from + fs);
    *(v *)(void *)to = SHUFFLE(v, r0, r1, 0, 2);
    *(v *)(void *)(to + ts) = SHUFFLE(v, r0, r1, 1, 3);
}

/* Transposes r x c elements: from has rows fs apart, to has columns ts apart, both are dense otherwise.
 * By squares, of which the last of a row overlaps the one before. */
#define TURN(T, K)                                                                                 \
    static void turn_##T(size_t r, size_t c, char *to, ptrdiff_t ts, const char *from,             \
                         ptrdiff_t fs)                                                             \
    {                                                                                              \
        const ptrdiff_t size = sizeof(T);                                                          \
        size_t i = 0;                                                                              \
        for (; i + K <= r && c >= K; i += K) {                                                     \
            const char *p = from + (ptrdiff_t)i * fs;                                              \
            char *q = to + (ptrdiff_t)i * size;                                                    \
            for (size_t j = 0; j < c; j += K) {                                                    \
                const ptrdiff_t at = (ptrdiff_t)(j + K <= c ? j : c - K);                          \
                square_##T(q + at * ts, ts, p + at * size, fs);                                    \
            }                                                                                      \
        }                                                                                          \
        if (i < r)                                                                                 \
            copy_##T(c, r - i, to + (ptrdiff_t)i * size, ts, size, from + (ptrdiff_t)i * fs, size, \
                     fs);                                                                          \
    }
TURN(uint32_t, 4)
TURN(uint64_t, 2)

/* One of the two runs along the rows: column by column, or transposed. */
static void turn(uint8_t size, size_t r, size_t c, char *to, ptrdiff_t ts, ptrdiff_t tc,
                 const char *from, ptrdiff_t fs, ptrdiff_t fc)
{
    const bool there = ts == size && fc == size, back = fs == size && tc == size;
    if (there && size == 4)
        turn_uint32_t(r, c, to, tc, from, fs);
    else if (there && size == 8)
        turn_uint64_t(r, c, to, tc, from, fs);
    else if (back && size == 4)
        turn_uint32_t(c, r, to, ts, from, fc);
    else if (back && size == 8)
        turn_uint64_t(c, r, to, ts, from, fc);
    else
        for (; c; c--, to += tc, from += fc)
            wg__copy_line(size, r, to, ts, from, fs);
}

void wg__copy_block(uint8_t size, size_t r, size_t c, char *to, ptrdiff_t ts, ptrdiff_t tc,
                    const char *from, ptrdiff_t fs, ptrdiff_t fc)
{
    if (c == 1)
        wg__copy_line(size, r, to, ts, from, fs);
    else if (ts == (ptrdiff_t)c * tc && fs == (ptrdiff_t)c * fc)
        wg__copy_line(size, r * c, to, tc, from, fc);
    else if (ts == size || fs == size)
        turn(size, r, c, to, ts, tc, from, fs, fc);
    else if (size == 4 && c < WG__LANES)
        copy_uint32_t(r, c, to, ts, tc, from, fs, fc);
    else
        for (; r; r--, to += ts, from += fs)
            wg__copy_line(size, c, to, tc, from, fc);
}
