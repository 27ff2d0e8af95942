/* Offsets of a frame while it is planned: blocks that are given back are taken again. A list of
 * free blocks per size class, so taking and giving are of constant time. */
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
    if (size < bytes || size > SIZE_MAX / 2 || a->top > SIZE_MAX / 2)
        return a->top = SIZE_MAX;
    a->top += size;
    return at;
}

size_t wg__arena_take(wg__arena *a, size_t bytes)
{
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
