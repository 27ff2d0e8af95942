/* Offsets of a frame while it is planned: blocks that are given back are taken again. A list of
 * free blocks per size class, so taking and giving are of constant time. A tight arena, for plans that
 * must go into little memory, takes the smallest gap that will do, and joins gaps: in linear time. */
#include <string.h>

#include "exec/exec.h"

/* Classes: multiples of 64 bytes up to 31 units, then 16 sizes per octave, so that rounding wastes
 * at most 1/16. */
enum { UNIT = 64, STEPS = 16 };

/* The class of `bytes`; *size: what a block of it holds. */
static size_t class_of(size_t bytes, size_t *size)
{
    size_t units = bytes / UNIT + (bytes % UNIT != 0), octave = 0;
    if (!units)
        units = 1; /* an empty value has an address, too */
    while (units > 2 * STEPS - 1) {
        units = units / 2 + units % 2;
        octave++;
    }
    *size = units * UNIT << octave;
    return octave * STEPS + units;
}

size_t wg__arena_append(wg__arena *a, size_t bytes)
{
    size_t size, at = a->top;
    class_of(bytes, &size);
    if (a->tight && bytes <= SIZE_MAX / 2)
        size = (bytes ? (bytes + UNIT - 1) / UNIT : 1) * UNIT;
    if (size < bytes || size > SIZE_MAX / 2 || a->top > SIZE_MAX / 2)
        return a->top = SIZE_MAX;
    a->top += size;
    return at;
}

static size_t in_units(size_t bytes)
{
    return bytes > SIZE_MAX / 2 ? SIZE_MAX / 2 : (bytes ? (bytes + UNIT - 1) / UNIT : 1) * UNIT;
}

/* At the end, of which the last gap may be a part. */
static size_t grow(wg__arena *a, size_t size)
{
    wg__gap *last = a->gaps.len ? &a->gaps.data[a->gaps.len - 1] : NULL;
    size_t at = a->top;
    if (last && last->at + last->bytes == a->top) {
        at = last->at;
        a->gaps.len--;
    }
    if (at > SIZE_MAX / 2 || size >= SIZE_MAX / 2)
        return a->top = SIZE_MAX;
    a->top = at + size;
    return at;
}

static size_t take_tight(wg__arena *a, size_t size)
{
    size_t best = a->gaps.len;
    for (size_t i = 0; i < a->gaps.len; i++)
        if (a->gaps.data[i].bytes >= size &&
            (best == a->gaps.len || a->gaps.data[i].bytes < a->gaps.data[best].bytes))
            best = i;
    if (best == a->gaps.len)
        return grow(a, size);
    wg__gap *gap = &a->gaps.data[best];
    size_t at = gap->at;
    gap->at += size;
    gap->bytes -= size;
    if (!gap->bytes) {
        memmove(gap, gap + 1, (a->gaps.len - best - 1) * sizeof *gap);
        a->gaps.len--;
    }
    return at;
}

static bool give_tight(wg__arena *a, size_t at, size_t size)
{
    size_t i = 0;
    while (i < a->gaps.len && a->gaps.data[i].at < at)
        i++;
    bool before = i > 0 && a->gaps.data[i - 1].at + a->gaps.data[i - 1].bytes == at;
    bool after = i < a->gaps.len && at + size == a->gaps.data[i].at;
    if (before) {
        a->gaps.data[i - 1].bytes += size + (after ? a->gaps.data[i].bytes : 0);
        if (after) {
            memmove(&a->gaps.data[i], &a->gaps.data[i + 1],
                    (a->gaps.len - i - 1) * sizeof *a->gaps.data);
            a->gaps.len--;
        }
        return true;
    }
    if (after) {
        a->gaps.data[i].at = at;
        a->gaps.data[i].bytes += size;
        return true;
    }
    if (!wg__vec_reserve(a->ctx, &a->gaps, 1))
        return false;
    memmove(&a->gaps.data[i + 1], &a->gaps.data[i], (a->gaps.len - i) * sizeof *a->gaps.data);
    a->gaps.data[i] = (wg__gap){at, size};
    a->gaps.len++;
    return true;
}

void wg__arena_clear(wg__arena *a)
{
    wg__vec_free(a->ctx, &a->blocks);
    wg__vec_free(a->ctx, &a->gaps);
}

size_t wg__arena_take(wg__arena *a, size_t bytes)
{
    if (a->tight)
        return take_tight(a, in_units(bytes));
    size_t size, class = class_of(bytes, &size);
    uint32_t free = a->free[class];
    if (!free)
        return wg__arena_append(a, bytes);
    wg__block *b = &a->blocks.data[free - 1];
    a->free[class] = b->next;
    b->next = a->spare;
    a->spare = free;
    return b->at;
}

bool wg__arena_give(wg__arena *a, size_t at, size_t bytes)
{
    size_t size, class = class_of(bytes, &size);
    if (a->top == SIZE_MAX)
        return true;
    if (a->tight)
        return give_tight(a, at, in_units(bytes));
    if (!a->spare) {
        wg__block empty = {0, 0};
        if (a->blocks.len >= UINT32_MAX - 1 || !wg__vec_push(a->ctx, &a->blocks, empty))
            return false;
        a->spare = (uint32_t)a->blocks.len;
    }
    uint32_t index = a->spare;
    wg__block *b = &a->blocks.data[index - 1];
    a->spare = b->next;
    b->at = at;
    b->next = a->free[class];
    a->free[class] = index;
    return true;
}
