/* Clusters of a tape, from the steps of fuse.h in order. Room for them is by id, so that a cluster of
 * 10^6 scalar nodes costs no more than its nodes do. */
#include <stdarg.h>
#include <string.h>

#include "pass/fuse.h"

void wg__note(wg__fuser *f, uint32_t id, const char *format, ...)
{
    if (!f->notes)
        return;
    va_list args;
    va_start(args, format);
    if (f->t->parent)
        wg__str_addf(f->notes, "in %s: ", f->t->name && *f->t->name ? f->t->name : "a body");
    wg__str_addf(f->notes, "%s ", wg__op_of(f->t, id)->name);
    wg__value_name(f->t, id, f->notes);
    wg__str_add(f->notes, ": ");
    wg__str_addv(f->notes, format, args);
    wg__str_add(f->notes, "\n");
    va_end(args);
}

void wg__note_read(wg__fuser *f, uint32_t id, uint32_t from, const char *why)
{
    if (!f->notes)
        return;
    wg__str name = wg__str_make(f->t->ctx);
    wg__value_name(f->t, from, &name);
    f->notes->failed |= name.failed;
    wg__note(f, id, "reads %s from memory: %s", wg__str_text(&name), why);
    wg__str_free(&name);
}

void wg__clusters_free(wg__clusters *c)
{
    if (!c->ctx)
        return;
    wg__free(c->ctx, c->role);
    wg__free(c->ctx, c->of);
    wg__free(c->ctx, c->place);
    wg__free(c->ctx, c->scratch);
    wg__free(c->ctx, c->view);
    wg__vec_free(c->ctx, &c->views);
    wg__free(c->ctx, c->window);
    wg__vec_free(c->ctx, &c->windows);
    wg__free(c->ctx, c->stored);
    wg__vec_free(c->ctx, &c->list);
    wg__vec_free(c->ctx, &c->members);
    memset(c, 0, sizeof *c);
}

static bool clusters_init(wg__clusters *c, const wg_tape *t)
{
    size_t n = t->nodes.len;
    *c = (wg__clusters){.ctx = t->ctx, .tape = t};
    c->role = wg__calloc(t->ctx, n, sizeof *c->role);
    c->of = wg__calloc(t->ctx, n, sizeof *c->of);
    c->place = wg__calloc(t->ctx, n, sizeof *c->place);
    c->scratch = wg__calloc(t->ctx, n, sizeof *c->scratch);
    c->view = wg__calloc(t->ctx, n, sizeof *c->view);
    c->window = wg__calloc(t->ctx, n, sizeof *c->window);
    c->stored = wg__calloc(t->ctx, n, sizeof *c->stored);
    if (!c->role || !c->of || !c->place || !c->scratch || !c->view || !c->window || !c->stored)
        return false;
    for (size_t i = 0; i < n; i++) {
        c->of[i] = WG__NO_CLUSTER;
        c->scratch[i] = WG__NONE;
    }
    return true;
}

wg_status wg__clusters_make(const wg_tape *t, const uint32_t *roots, size_t nroots, wg__str *notes,
                            wg__clusters *out, const uint32_t *params, const uint32_t *values,
                            size_t neffects, bool *in_place)
{
    const wg__effects effects = {params, values, neffects, in_place};
    wg__fuser f = {.c = out, .t = t, .notes = notes, .roots = roots, .nroots = nroots};
    bool good = clusters_init(out, t) &&
                (f.open = wg__calloc(t->ctx, t->nodes.len, sizeof *f.open)) && wg__find_roles(&f) &&
                wg__fuse(&f);
    if (good)
        wg__sink(&f);
    good = good && wg__order(&f, &effects) && wg__group(out, &effects);
    wg__free(t->ctx, f.open);
    wg__vec_free(t->ctx, &f.buds);
    wg__vec_free(t->ctx, &f.scalars);
    return good ? WG_OK : WG_NO_MEMORY;
}
