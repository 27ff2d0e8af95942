/* The pipeline: one table of all passes, run in its order; and what passes share. */
#include <string.h>

#include "pass/pass.h"

const wg__pass wg__passes[] = {
    {"expand", wg__pass_expand, 0, "replaces composite ops by what they stand for"},
    {"canon", wg__pass_canon, 0, "drops what nothing needs; numbers depth-first from the outputs"},
};
const size_t wg__pass_count = sizeof wg__passes / sizeof *wg__passes;

void wg__graph_free(wg__graph *g)
{
    wg__tape_destroy(g->owned);
    wg__free(g->ctx, g->ids);
    g->owned = NULL;
    g->ids = NULL;
}

wg_status wg__graph_tell(wg__graph *g, const wg_tape *failed)
{
    wg_status status = wg_tape_status(failed);
    if (!status)
        return WG_OK;
    return wg__tape_fail(g->report, status, "%s", wg_tape_error(failed));
}

/* The pool is both the set of bodies and the queue of those to look into. */
bool wg__bodies_find(wg__pool *bodies, const wg_tape *t)
{
    bool good = wg__pool_intern(bodies, &t, sizeof t) != 0;
    for (size_t i = 0; good && i < bodies->entries.len; i++) {
        const wg_tape *at = wg__bodies_at(bodies, i), *below;
        for (size_t k = 0; good && k < at->fns.len + at->open.len; k++) {
            below = k < at->fns.len ? at->fns.data[k].fn->body : at->open.data[k - at->fns.len];
            good = wg__pool_intern(bodies, &below, sizeof below) != 0;
        }
    }
    return good;
}

wg_tape *wg__bodies_at(const wg__pool *bodies, size_t i)
{
    wg_tape *t;
    memcpy(&t, wg__pool_get(bodies, (uint32_t)i + 1, NULL), sizeof t);
    return t;
}

wg_status wg__graph_rewrite(wg__graph *g, wg__rewrite_fn rewrite, bool depth_first)
{
    wg_tape *dst = wg_tape_new(g->ctx);
    uint32_t *map = wg__copy_map(g->ctx, g->tape);
    wg_status status = WG_NO_MEMORY;
    if (!dst || !map) {
        wg__tape_no_memory(g->report);
        goto done;
    }
    wg__copy c = {.dst = dst,
                  .src = g->tape,
                  .map = map,
                  .roots = g->ids,
                  .nroots = g->nroots,
                  .depth_first = depth_first,
                  .rewrite = rewrite};
    status = wg__copy_nodes(&c);
    if (wg_tape_status(dst))
        status = wg__graph_tell(g, dst);
    if (status)
        goto done;
    for (size_t i = 0; i < g->nids; i++)
        if (g->ids[i] != WG__NONE)
            g->ids[i] = map[g->ids[i]];
    wg__tape_destroy(g->owned);
    g->tape = g->owned = dst;
    dst = NULL;
done:
    wg__free(g->ctx, map);
    wg__tape_destroy(dst);
    return status;
}

static wg_status verify_after(wg__graph *g, const wg__pass *pass)
{
    char message[256];
    if (wg__verify(g->tape, message, sizeof message) == WG_OK)
        return WG_OK;
    return wg__tape_fail(g->report, WG_INTERNAL, "after pass %s: %s", pass->name, message);
}

wg_status wg__pipeline(wg__graph *g, bool verify)
{
    wg_status status = WG_OK;
    for (size_t i = 0; i < wg__pass_count && status == WG_OK; i++) {
        status = wg__passes[i].run(g);
        if (status == WG_OK && verify)
            status = verify_after(g, &wg__passes[i]);
    }
    return status;
}
