/* Smallest vertex cuts, by the greatest flow: every vertex is an arc of its price from where it is entered
 * to where it is left, all other arcs have room without end (Ford and Fulkerson 1956); flow grows along
 * shortest paths (Edmonds and Karp 1972). Networks here have some hundred vertices; in larger ones the
 * vertices next to the source are taken. */
#include <string.h>

#include "pass/save.h"

#define ENDLESS (INT64_MAX / 4)
enum { SOURCE, SINK, LARGEST = 4096 };

bool wg__cut_make(wg__cut *cut, wg_ctx *ctx)
{
    memset(cut, 0, sizeof *cut);
    cut->ctx = ctx;
    for (int i = 0; i < 2; i++)
        cut->failed |= !wg__vec_push(ctx, &cut->first, WG__NONE);
    return !cut->failed;
}

void wg__cut_free(wg__cut *cut)
{
    wg__vec_free(cut->ctx, &cut->first);
    wg__vec_free(cut->ctx, &cut->arcs);
}

static uint32_t enter(uint32_t v) { return 2 + 2 * v; }
static uint32_t leave(uint32_t v) { return 3 + 2 * v; }

static void arc(wg__cut *cut, uint32_t from, uint32_t to, int64_t room)
{
    if (cut->failed || !wg__vec_reserve(cut->ctx, &cut->arcs, 2)) {
        cut->failed = true;
        return;
    }
    const uint32_t at = (uint32_t)cut->arcs.len;
    cut->arcs.data[cut->arcs.len++] = (wg__cut_arc){to, cut->first.data[from], room};
    cut->arcs.data[cut->arcs.len++] = (wg__cut_arc){from, cut->first.data[to], 0};
    cut->first.data[from] = at;
    cut->first.data[to] = at + 1;
}

uint32_t wg__cut_vertex(wg__cut *cut, int64_t price)
{
    const uint32_t v = (uint32_t)(cut->first.len - 2) / 2;
    for (int i = 0; i < 2; i++)
        cut->failed |= !wg__vec_push(cut->ctx, &cut->first, WG__NONE);
    if (!cut->failed)
        arc(cut, enter(v), leave(v), price < ENDLESS ? price : ENDLESS - 1);
    return v;
}

void wg__cut_edge(wg__cut *cut, uint32_t from, uint32_t to)
{
    if (!cut->failed)
        arc(cut, leave(from), enter(to), ENDLESS);
}

void wg__cut_source(wg__cut *cut, uint32_t v)
{
    if (!cut->failed)
        arc(cut, SOURCE, enter(v), ENDLESS);
}

void wg__cut_sink(wg__cut *cut, uint32_t v)
{
    if (!cut->failed)
        arc(cut, leave(v), SINK, ENDLESS);
}

/* From the source through what has room: via[n] is the arc by which n is reached. True: the sink is. */
static bool find_path(const wg__cut *cut, uint32_t *queue, uint32_t *via)
{
    size_t head = 0, tail = 0;
    memset(via, 0xff, cut->first.len * sizeof *via);
    queue[tail++] = SOURCE;
    while (head < tail && via[SINK] == WG__NONE)
        for (uint32_t a = cut->first.data[queue[head++]]; a != WG__NONE;
             a = cut->arcs.data[a].next) {
            const wg__cut_arc *at = &cut->arcs.data[a];
            if (at->room <= 0 || at->to == SOURCE || via[at->to] != WG__NONE)
                continue;
            via[at->to] = a;
            queue[tail++] = at->to;
        }
    return via[SINK] != WG__NONE;
}

static void push_flow(wg__cut *cut, const uint32_t *via)
{
    int64_t flow = ENDLESS;
    for (uint32_t n = SINK; n != SOURCE; n = cut->arcs.data[via[n] ^ 1].to)
        flow = cut->arcs.data[via[n]].room < flow ? cut->arcs.data[via[n]].room : flow;
    for (uint32_t n = SINK; n != SOURCE; n = cut->arcs.data[via[n] ^ 1].to) {
        cut->arcs.data[via[n]].room -= flow;
        cut->arcs.data[via[n] ^ 1].room += flow;
    }
}

/* Marks what the sink can be reached from. */
static void reach_back(const wg__cut *cut, uint32_t *queue, bool *reaches)
{
    size_t head = 0, tail = 0;
    reaches[SINK] = true;
    queue[tail++] = SINK;
    while (head < tail)
        for (uint32_t a = cut->first.data[queue[head++]]; a != WG__NONE;
             a = cut->arcs.data[a].next) {
            const uint32_t from = cut->arcs.data[a].to;
            if (cut->arcs.data[a ^ 1].room <= 0 || reaches[from])
                continue;
            reaches[from] = true;
            queue[tail++] = from;
        }
}

bool wg__cut_solve(wg__cut *cut, bool *chosen)
{
    const size_t nodes = cut->first.len, n = (nodes - 2) / 2;
    if (cut->failed)
        return false;
    if (n > LARGEST) {
        for (uint32_t a = cut->first.data[SOURCE]; a != WG__NONE; a = cut->arcs.data[a].next)
            chosen[(cut->arcs.data[a].to - 2) / 2] = true;
        return true;
    }
    uint32_t *queue = wg__calloc(cut->ctx, nodes, sizeof *queue);
    uint32_t *via = wg__calloc(cut->ctx, nodes, sizeof *via);
    bool *reaches = wg__calloc(cut->ctx, nodes, sizeof *reaches), good = queue && via && reaches;
    while (good && find_path(cut, queue, via))
        push_flow(cut, via);
    if (good)
        reach_back(cut, queue, reaches);
    for (uint32_t v = 0; good && v < n; v++)
        chosen[v] = !reaches[enter(v)] && reaches[leave(v)];
    wg__free(cut->ctx, queue);
    wg__free(cut->ctx, via);
    wg__free(cut->ctx, reaches);
    return good;
}
