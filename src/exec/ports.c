/* Ports: the inputs, params and outputs of a program, found by var of the compiled tape or by name. */
#include <stdlib.h>
#include <string.h>

#include "exec/exec.h"

static int by_bits(const void *a, const void *b)
{
    uint64_t x = ((const wg__key *)a)->bits, y = ((const wg__key *)b)->bits;
    return x < y ? -1 : x > y;
}

static int by_name(const void *a, const void *b)
{
    const wg__port *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

bool wg__ports_make(wg_ctx *ctx, wg__ports *ports, size_t len)
{
    ports->data = wg__calloc(ctx, len, sizeof *ports->data);
    ports->keys = wg__calloc(ctx, len, sizeof *ports->keys);
    ports->by_name = wg__calloc(ctx, len, sizeof *ports->by_name);
    return ports->data && ports->keys && ports->by_name;
}

void wg__ports_sort(wg__ports *ports, bool named)
{
    for (size_t i = 0; i < ports->len; i++) {
        ports->keys[i] = (wg__key){ports->data[i].bits, (uint32_t)i};
        ports->by_name[i] = &ports->data[i];
    }
    qsort(ports->keys, ports->len, sizeof *ports->keys, by_bits);
    if (named)
        qsort(ports->by_name, ports->len, sizeof *ports->by_name, by_name);
}

void wg__ports_free(wg_ctx *ctx, wg__ports *ports)
{
    for (size_t i = 0; i < ports->len; i++)
        wg__free(ctx, ports->data[i].name);
    wg__free(ctx, ports->data);
    wg__free(ctx, ports->keys);
    wg__free(ctx, ports->by_name);
}

size_t wg__port_find(const wg__ports *ports, const wg_tape *source, wg_var var)
{
    const wg__key key = {var.bits, 0}, *found = NULL;
    if (var.tape == source && ports->len)
        found = bsearch(&key, ports->keys, ports->len, sizeof key, by_bits);
    return found ? found->index : SIZE_MAX;
}

size_t wg__port_named(const wg__ports *ports, const char *name)
{
    wg__port port = {.name = (char *)name}, *key = &port, **found = NULL;
    if (name && ports->len)
        found = bsearch(&key, ports->by_name, ports->len, sizeof key, by_name);
    return found ? (size_t)(*found - ports->data) : SIZE_MAX;
}
