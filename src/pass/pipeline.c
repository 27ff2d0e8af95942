/* The pipeline: one table of all passes, run in its order; and what passes share. */
#include <string.h>

#include "pass/pass.h"

/* clang-format off */
const wg__pass wg__passes[] = {
    {"expand",  wg__pass_expand,  0, false, false, "replaces composite ops by what they stand for"},
    {"lower",   wg__pass_lower,   1, false, false, "replaces ops such as softmax by ops that can be fused"},
    {"dce",     wg__pass_dce,     1, false, false, "drops what nothing needs"},
    {"save",    wg__pass_save,    1, false, false, "lets loops hand on what the loops of their derivatives would compute again"},
    {"fold",    wg__pass_fold,    1, true,  true,  "computes what depends on constants alone"},
    {"cse",     wg__pass_cse,     1, true,  true,  "computes equal values once"},
    {"algebra", wg__pass_algebra, 1, true,  false, "simplifies by the rules of a table"},
    {"trim",    wg__pass_trim,    1, true,  true,  "drops outputs, operands and carries of loops that nothing needs"},
    {"hoist",   wg__pass_hoist,   1, true,  false, "moves what is the same in all steps out of loops"},
    {"turn",    wg__pass_turn,    1, false, false, "stores matrices of loops the way their products are fast"},
    {"split",   wg__pass_split,   1, false, false, "moves products out of loops, as products of many steps at once"},
    {"fold",    wg__pass_fold,    1, true,  true,  "computes what depends on constants alone"},
    {"cse",     wg__pass_cse,     1, true,  true,  "computes equal values once"},
    {"algebra", wg__pass_algebra, 1, true,  false, "simplifies by the rules of a table"},
    {"trim",    wg__pass_trim,    1, true,  true,  "drops outputs, operands and carries of loops that nothing needs"},
    {"canon",   wg__pass_canon,   0, false, false, "drops what nothing needs; numbers depth-first from the outputs"},
};
/* clang-format on */
const size_t wg__pass_count = sizeof wg__passes / sizeof *wg__passes;

/* Rounds of neighbours that repeat: each rule of algebra applies along whole chains in one round, so
 * that few are ever needed. */
enum { MAX_ROUNDS = 8, MAX_TURNS = 8 };

void wg__graph_free(wg__graph *g)
{
    for (size_t i = 0; i < g->notes.len; i++)
        wg__free(g->ctx, g->notes.data[i].text);
    wg__vec_free(g->ctx, &g->notes);
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

void wg__graph_note(wg__graph *g, const char *pass, const char *format, ...)
{
    if (!g->explain || !wg__vec_reserve(g->ctx, &g->notes, 1))
        return;
    wg__str text = wg__str_make(g->ctx);
    va_list args;
    va_start(args, format);
    wg__str_addv(&text, format, args);
    va_end(args);
    wg__note note = {pass, wg__str_take(&text)};
    wg__str_free(&text);
    if (note.text)
        g->notes.data[g->notes.len++] = note;
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

/* ---- rewriting ----------------------------------------------------------------------------------- */

wg_status wg__graph_rewrite(wg__graph *g, wg__rewrite_fn rewrite, void *user, bool depth_first)
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
                  .rewrite = rewrite,
                  .user = user};
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
    g->rewrites++;
    dst = NULL;
done:
    wg__free(g->ctx, map);
    wg__tape_destroy(dst);
    return status;
}

bool wg__facts_make(wg__facts *f, const wg__graph *g)
{
    memset(f, 0, sizeof *f);
    wg__pool_init(&f->tapes, g->ctx);
    bool good = wg__bodies_find(&f->tapes, g->tape) &&
                wg__vec_reserve(g->ctx, &f->of, f->tapes.entries.len);
    for (size_t i = 0; good && i < f->tapes.entries.len; i++) {
        uint32_t *of = wg__copy_map(g->ctx, wg__bodies_at(&f->tapes, i));
        good = of && wg__vec_push(g->ctx, &f->of, of);
    }
    return good || (wg__tape_no_memory(g->report), false);
}

void wg__facts_free(wg__facts *f)
{
    wg_ctx *ctx = f->tapes.ctx;
    for (size_t i = 0; i < f->of.len; i++)
        wg__free(ctx, f->of.data[i]);
    wg__vec_free(ctx, &f->of);
    wg__pool_free(&f->tapes);
}

uint32_t *wg__facts_of(wg__facts *f, const wg_tape *t)
{
    if (f->last != t) {
        f->last = t;
        f->last_of = f->of.data[wg__pool_find(&f->tapes, &t, sizeof t) - 1];
    }
    return f->last_of;
}

/* ---- what passes may take for granted -------------------------------------------------------------- */

bool wg__is_pure(const wg__op *op) { return !(op->def.flags & (WG_OP_IMPURE | WG_OP_EFFECT)); }

/* Names of macros are in capitals. */
bool wg__calls_function(const char *expr)
{
    for (const char *p = expr ? strchr(expr, '(') : NULL; p; p = strchr(p + 1, '('))
        if (p > expr && p[-1] >= 'a' && p[-1] <= 'z' && (p - expr < 4 || strncmp(p - 4, "fabs", 4)))
            return true;
    return false;
}

/* ---- running the table ------------------------------------------------------------------------------- */

static wg_status verify_after(wg__graph *g, const wg__pass *pass)
{
    char message[256];
    if (wg__verify(g->tape, message, sizeof message) == WG_OK)
        return WG_OK;
    return wg__tape_fail(g->report, WG_INTERNAL, "after pass %s: %s", pass->name, message);
}

static wg_status run_pass(wg__graph *g, const wg__pass *pass, int level, bool verify)
{
    if (pass->level > level)
        return WG_OK;
    wg_status status = pass->run(g);
    return status == WG_OK && verify ? verify_after(g, pass) : status;
}

/* One after the other, again while there is something new for one of them. */
static wg_status run_in_turn(wg__graph *g, const wg__pass *first, size_t count, int level,
                             bool verify)
{
    wg_status status = WG_OK;
    size_t seen[MAX_TURNS]; /* by pass: the rewrites so far of the graph that has nothing for it */
    bool any = true;
    for (size_t i = 0; i < count; i++)
        seen[i] = SIZE_MAX;
    for (int round = 0; round < MAX_ROUNDS && any; round++) {
        any = false;
        for (size_t i = 0; i < count && !status; i++) {
            const size_t before = g->rewrites;
            if (seen[i] == before)
                continue;
            status = run_pass(g, &first[i], level, verify);
            seen[i] = first[i].once || g->rewrites == before ? g->rewrites : SIZE_MAX;
            any |= g->rewrites != before;
        }
    }
    return status;
}

wg_status wg__pipeline(wg__graph *g, int level, bool verify)
{
    wg_status status = WG_OK;
    for (size_t i = 0, n = 1; i < wg__pass_count && status == WG_OK; i += n, n = 1) {
        while (wg__passes[i].repeat && i + n < wg__pass_count && wg__passes[i + n].repeat &&
               n < MAX_TURNS)
            n++;
        status = n > 1 ? run_in_turn(g, &wg__passes[i], n, level, verify)
                       : run_pass(g, &wg__passes[i], level, verify);
    }
    return status;
}
