/* Clusters as text, for `wengert explain` and for tests. */
#include "pass/cluster.h"

static const char *const kinds[] = {[WG__KERNEL] = "kernel",
                                    [WG__LOOP] = "loop",
                                    [WG__PRODUCT] = "product",
                                    [WG__SCALARS] = "scalars",
                                    [WG__CONCAT] = "join"};

static void add_value(const wg__clusters *c, wg__str *s, uint32_t id)
{
    uint32_t name = wg__node_at(c->tape, id)->name;
    if (name)
        wg__str_addf(s, " %s", wg__text(c->tape, name));
    else
        wg__str_addf(s, " %%%u", (unsigned)id);
}

static void add_stored(const wg__clusters *c, wg__str *s, const wg__cluster *at)
{
    const char *before = " | stored";
    for (uint32_t m = at->first; m < at->first + at->count; m++) {
        uint32_t head = c->members.data[m];
        for (uint32_t k = 0; k < wg__node_at(c->tape, head)->nout; k++)
            if (c->stored[head + k]) {
                wg__str_add(s, before);
                add_value(c, s, head + k);
                before = "";
            }
    }
}

void wg__clusters_print(const wg__clusters *c, wg__str *s)
{
    for (size_t i = 0; i < c->list.len; i++) {
        const wg__cluster *at = &c->list.data[i];
        wg__str_add(s, kinds[at->kind]);
        if (at->kind == WG__LOOP || at->kind == WG__PRODUCT) {
            wg__str_add(s, " ");
            wg__add_shape(s, c->ctx, &at->space);
            if (at->ncols)
                wg__str_addf(s, " cols %d", at->ncols);
        }
        if (at->group != i)
            wg__str_addf(s, " beside %u", (unsigned)at->group);
        wg__str_add(s, ":");
        for (uint32_t m = at->first; m < at->first + at->count; m++)
            wg__str_addf(s, " %s", wg__op_of(c->tape, c->members.data[m])->name);
        add_stored(c, s, at);
        wg__str_add(s, "\n");
    }
}
