/* Horizontal fusion: neighbours that do not need each other, such as the updates of the parameters,
 * get one group: they run side by side, one dispatch for all. An update in place also waits for all
 * readers of its param. */
#include "pass/fuse.h"

/* Whether cluster i waits for one at or after `start`. last[e]: the last reader of param e but the
 * update itself. */
static bool waits(const wg__clusters *c, const wg__effects *e, const uint32_t *last, uint32_t i,
                  uint32_t start)
{
    const wg__cluster *at = &c->list.data[i];
    for (uint32_t m = at->first; m < at->first + at->count; m++) {
        uint32_t id = c->members.data[m];
        for (size_t k = 0; k < wg__reads(c, id); k++) {
            uint32_t of = c->of[wg__read_base(c, id, k)];
            if (of != WG__NO_CLUSTER && of != i && of >= start)
                return true;
        }
        uint32_t effect = c->scratch[id];
        if (effect != WG__NONE && e->in_place[effect] && last[effect] >= start &&
            last[effect] != WG__NONE)
            return true;
    }
    return false;
}

static void find_last(const wg__clusters *c, const wg__effects *e, uint32_t *last)
{
    for (size_t i = 0; i < e->n; i++) {
        last[i] = WG__NONE;
        c->scratch[e->params[i]] = (uint32_t)i;
    }
    for (uint32_t i = 0; i < c->list.len && e->n; i++) {
        const wg__cluster *at = &c->list.data[i];
        for (uint32_t m = at->first; m < at->first + at->count; m++)
            for (size_t k = 0; k < wg__reads(c, c->members.data[m]); k++) {
                uint32_t base = wg__read_base(c, c->members.data[m], k);
                uint32_t effect = c->scratch[base];
                if (effect != WG__NONE && c->of[e->values[effect]] != i)
                    last[effect] = i;
            }
    }
    for (size_t i = 0; i < e->n; i++)
        c->scratch[e->params[i]] = WG__NONE;
}

bool wg__group(wg__clusters *c, const wg__effects *e)
{
    uint32_t *last = wg__calloc(c->ctx, e->n, sizeof *last), start = 0;
    if (!last)
        return false;
    find_last(c, e, last);
    for (size_t i = 0; i < e->n; i++)
        c->scratch[e->values[i]] = (uint32_t)i;
    for (uint32_t i = 1; i < c->list.len; i++) {
        if (c->list.data[i].kind != WG__LOOP || c->list.data[start].kind != WG__LOOP ||
            waits(c, e, last, i, start))
            start = i;
        c->list.data[i].group = start;
    }
    for (size_t i = 0; i < e->n; i++)
        c->scratch[e->values[i]] = WG__NONE;
    wg__free(c->ctx, last);
    return true;
}
