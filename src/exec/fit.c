/* Compiling within a memory limit. First the plain plan; where it does not fit, the executor computes
 * values again (wg__code.target); where that does not do or costs much, backward scans are replayed
 * (pass/budget.h), with as many snapshots as fit; at last both. A plan tells its exact size, so each
 * choice is made and measured: a dozen plans at most for each of the ways. */
#include <string.h>

#include "base/revolve.h"
#include "exec/exec.h"
#include "pass/budget.h"

enum {
    TARGETS = 6,   /* plans on the way to a limit */
    HALVINGS = 6,  /* of the memory for snapshots */
    SPARED = 8,    /* pairs of which it is tried whether they can do without replay */
    DESCENTS = 16, /* rounds towards a limit that is not met at once */
    MOST_RUNS = 16 /* of a forward step: fewer snapshots than that takes are not tried */
};
/* Values computed again within this share of all work are not worth a replay. */
#define CHEAP 0.5

typedef struct fit {
    wg__graph *g; /* through the passes; its tape stays */
    const wg__ids *n;
    const wg__executor *executor;
    bool verify, failed;
    size_t limit, goal;  /* bytes: what fits; what plans aim at, at most the limit */
    size_t plain, least; /* bytes: without a limit; the least seen */
    double work;         /* of the plain plan */
    wg__chains pairs;
    double *forward; /* by pair: work of one run of its forward scan */
    wg__code *best;  /* within the limit; NULL: none yet */
    double best_again;
    wg__graph best_graph;
    wg__str best_note;
} fit;

/* With commas: 1,234,567. */
static void add_count(wg__str *s, size_t n)
{
    size_t unit = 1;
    while (n / unit >= 1000)
        unit *= 1000;
    wg__str_addf(s, "%zu", n / unit);
    while (unit > 1) {
        n %= unit;
        unit /= 1000;
        wg__str_addf(s, ",%03zu", n / unit);
    }
}

/* ---- one attempt ------------------------------------------------------------------------------- */

static bool any_on(const fit *f)
{
    for (size_t i = 0; i < f->pairs.list.len; i++)
        if (f->pairs.list.data[i].on)
            return true;
    return false;
}

static void set_all(fit *f, bool on)
{
    for (size_t i = 0; i < f->pairs.list.len; i++)
        f->pairs.list.data[i].on = on;
}

/* How often the forward scan of a pair is run for it, over all. */
static double runs_of(const wg__chain *p)
{
    const double turn = (double)(p->turns ? p->chunk : p->chunk - 1) * (double)p->steps;
    const double cost = (double)wg__revolve_cost(p->steps, p->snapshots + 1);
    return p->pieces + ((double)p->lead + (double)p->chunk * cost + turn) / (double)p->length;
}

static double again_of(const fit *f, const wg__code *code)
{
    double again = code->again;
    for (size_t i = 0; i < f->pairs.list.len; i++)
        if (f->pairs.list.data[i].on)
            again += f->forward[i] * runs_of(&f->pairs.list.data[i]);
    return again;
}

static bool verified(fit *f, const wg__graph *g)
{
    char message[256];
    if (!f->verify || wg__verify(g->tape, message, sizeof message) == WG_OK)
        return true;
    wg__tape_fail(f->g->report, WG_INTERNAL, "after pass budget: %s", message);
    return false;
}

/* Code of the graph with its pairs as they are set; *copy gets the graph, whose ids are to be freed.
 * NULL: f->failed. */
static wg__code *attempt(fit *f, wg__graph *copy)
{
    *copy = *f->g;
    copy->owned = NULL;
    memset(&copy->notes, 0, sizeof copy->notes);
    copy->ids = wg__memdup(f->g->ctx, f->g->ids, f->g->nids * sizeof *f->g->ids);
    wg_status status = copy->ids ? WG_OK : wg__tape_no_memory(f->g->report);
    if (!status)
        status =
            any_on(f) ? wg__budget(copy, &f->pairs) : wg__graph_rewrite(copy, NULL, NULL, false);
    wg__code *code = NULL;
    if (!status && verified(f, copy))
        code = wg__code_of(copy, f->n, f->executor, 0);
    f->failed |= !code;
    return code;
}

static void note(fit *f, const wg__code *code)
{
    double again = again_of(f, code);
    wg__str *s = &f->best_note;
    wg__str_clear(s);
    if (code->again > 0)
        wg__str_addf(s, "  %-8s values are computed again\n", "remat");
    for (size_t i = 0; i < f->pairs.list.len; i++) {
        const wg__chain *p = &f->pairs.list.data[i];
        if (p->on)
            wg__str_addf(s,
                         "  %-8s scan %%%u runs again for scan %%%u, %.2f times, from %lld "
                         "snapshot%s of %zu B; %zu B are not stored\n",
                         "replay", p->forward, p->backward, runs_of(p), (long long)p->snapshots,
                         p->snapshots == 1 ? "" : "s", p->state, p->saved);
    }
    if (again > 0 && f->work > 0)
        wg__str_addf(s, "  %-8s %.2f times the work of a run without a limit\n", "budget",
                     1 + again / f->work);
}

/* Keeps the code if it is within the limit and the best so far; frees it and its graph else. True: it is
 * within the limit. */
static bool settle(fit *f, wg__code *code, wg__graph *copy)
{
    size_t bytes = code ? wg__code_bytes(code) : SIZE_MAX;
    bool good = bytes <= f->limit;
    f->least = bytes < f->least ? bytes : f->least;
    if (good && (!f->best || again_of(f, code) < f->best_again)) {
        note(f, code);
        wg__code_unref(f->best);
        wg__graph_free(&f->best_graph);
        f->best = code;
        f->best_graph = *copy;
        f->best_again = again_of(f, code);
        return true;
    }
    wg__code_unref(code);
    wg__graph_free(copy);
    return good;
}

/* ---- values computed again ---------------------------------------------------------------------- */

static bool replan(fit *f, wg__code *code, size_t target)
{
    bool good = wg__code_replan(code, target, f->g->report);
    f->failed |= !good;
    if (good && wg__code_bytes(code) < f->least)
        f->least = wg__code_bytes(code);
    return good;
}

/* Each step once, packed closely where it must be. */
static bool try_packed(fit *f)
{
    wg__graph copy;
    wg__code *code = attempt(f, &copy);
    if (code && wg__code_bytes(code) > f->limit && !replan(f, code, SIZE_MAX)) {
        wg__code_unref(code);
        wg__graph_free(&copy);
        return false;
    }
    return settle(f, code, &copy);
}

/* Plans with ever smaller targets until one fits. What a plan takes beside its values hardly depends on
 * the target, so that a few do. The first only packs values closely. */
static bool try_targets(fit *f)
{
    wg__graph copy;
    wg__code *code = attempt(f, &copy);
    size_t target = SIZE_MAX;
    bool good = code && f->executor->thrifty && replan(f, code, target);
    for (int i = 0; good && wg__code_bytes(code) > f->limit; i++) {
        const size_t excess = wg__code_bytes(code) - f->goal;
        if (code->live > target || target == 1)
            break; /* it can be had no smaller */
        target = i < TARGETS && excess < code->live ? code->live - excess : 1;
        good = replan(f, code, target);
    }
    if (good)
        return settle(f, code, &copy);
    wg__code_unref(code);
    wg__graph_free(&copy);
    return false;
}

/* ---- replay ------------------------------------------------------------------------------------ */

/* As many snapshots as go into `bytes`, at least so many that no step runs too often. */
static void set_snapshots(fit *f, size_t bytes)
{
    for (size_t i = 0; i < f->pairs.list.len; i++) {
        wg__chain *p = &f->pairs.list.data[i];
        int64_t least = wg__revolve_least(p->steps, MOST_RUNS) - 1, most = p->steps - 1;
        size_t room = p->state ? bytes / p->state : SIZE_MAX;
        p->snapshots = room < (size_t)least ? least : room > (size_t)most ? most : (int64_t)room;
    }
}

/* The most memory for snapshots that fits. A pair's snapshots lie in the working memory of its step, so
 * that pairs do not share it. */
static void find_snapshots(fit *f)
{
    size_t low = 0, high = f->limit - f->least;
    for (int i = 0; i <= HALVINGS && !f->failed && low < high; i++) {
        size_t bytes = i ? low + (high - low) / 2 : high;
        set_snapshots(f, bytes);
        if (try_packed(f))
            low = bytes;
        else
            high = bytes;
        if (!i && low == high)
            break;
    }
    set_snapshots(f, low);
}

/* Pairs that cost most and need not be replayed after all. */
static void spare_pairs(fit *f)
{
    bool tried[SPARED] = {false};
    size_t n = f->pairs.list.len < SPARED ? f->pairs.list.len : SPARED;
    for (size_t turn = 0; turn < n && n > 1 && !f->failed; turn++) {
        size_t most = n;
        for (size_t i = 0; i < n; i++)
            if (!tried[i] && (most == n || f->forward[i] > f->forward[most]))
                most = i;
        tried[most] = true;
        f->pairs.list.data[most].on = false;
        f->pairs.list.data[most].on = !try_packed(f);
    }
}

static void try_pairs(fit *f)
{
    const size_t before = f->least;
    set_all(f, true);
    set_snapshots(f, 0);
    f->least = SIZE_MAX;
    if (try_packed(f)) {
        find_snapshots(f);
        spare_pairs(f);
    } else if (!f->failed) {
        try_targets(f);
    }
    f->least = before < f->least ? before : f->least;
}

/* ---- all together ------------------------------------------------------------------------------- */

/* The work of the plain plan, and of the forward scans in it. Ids are those of the graph. */
static void measure(fit *f, const wg__code *code)
{
    const size_t n = code->executor->steps(code, 0);
    for (size_t i = 0; i < n; i++) {
        wg__step_info info;
        code->executor->step(code, 0, i, &info);
        f->work += wg__step_work(&info);
        for (size_t k = 0; k < f->pairs.list.len; k++)
            if (info.nnodes == 1 && info.nodes[0] == f->pairs.list.data[k].forward)
                f->forward[k] = wg__step_work(&info);
    }
}

static void try_ways(fit *f)
{
    set_all(f, false);
    bool good = try_targets(f);
    if (!f->failed && f->pairs.list.len && (!good || f->best_again > CHEAP * f->work))
        try_pairs(f);
}

/* Heuristics reach less from a nearer goal than from a far one. Where the limit itself, as the goal, is
 * not met, goals are taken that do not depend on it: 1, and then a little less than what was reached,
 * until that leads no further. So each limit from the least that is told on is met. */
static void descend(fit *f)
{
    size_t before = SIZE_MAX;
    f->least = f->plain;
    f->goal = 1;
    for (int i = 0; i < DESCENTS && !f->failed && !f->best; i++) {
        try_ways(f);
        if (f->least >= before)
            break;
        before = f->least;
        f->goal = before - 1;
    }
}

static void search(fit *f)
{
    wg__graph copy;
    set_all(f, false);
    wg__code *code = attempt(f, &copy);
    if (code) {
        f->plain = wg__code_bytes(code);
        measure(f, code);
    }
    if (settle(f, code, &copy) || f->failed || !f->executor->thrifty)
        return;
    try_ways(f);
    if (!f->best && !f->failed)
        descend(f);
}

static void tell(const fit *f)
{
    wg__str limit = wg__str_make(f->g->ctx), least = wg__str_make(f->g->ctx);
    add_count(&limit, f->limit);
    add_count(&least, f->least);
    wg__tape_fail(f->g->report, WG_NO_MEMORY,
                  "compile: memory_limit %s bytes: the least found is %s bytes%s",
                  wg__str_text(&limit), wg__str_text(&least),
                  f->executor->thrifty ? "" : " with this executor, which computes nothing again");
    wg__str_free(&limit);
    wg__str_free(&least);
}

/* The graph becomes the one that the code was made from. */
static wg__code *take_best(fit *f)
{
    wg__code *code = f->best;
    wg__str limit = wg__str_make(f->g->ctx);
    memcpy(f->g->ids, f->best_graph.ids, f->g->nids * sizeof *f->g->ids);
    for (size_t i = 0; i < f->g->notes.len; i++)
        wg__str_addf(&code->notes, "  %-8s %s\n", f->g->notes.data[i].pass,
                     f->g->notes.data[i].text);
    if (f->g->explain) {
        add_count(&limit, f->limit);
        wg__str_addf(&code->notes, "  %-8s limit %s B, ", "budget", wg__str_text(&limit));
        wg__str_clear(&limit);
        add_count(&limit, f->plain);
        wg__str_addf(&code->notes, "%s B without\n%s", wg__str_text(&limit),
                     wg__str_text(&f->best_note));
    }
    wg__str_free(&limit);
    f->best = NULL;
    return code;
}

wg__code *wg__code_fit(wg__graph *g, const wg__ids *n, const wg__executor *executor, bool verify)
{
    fit f = {.g = g, .n = n, .executor = executor, .verify = verify};
    f.limit = f.goal = g->memory_limit;
    f.least = SIZE_MAX;
    f.best_note = wg__str_make(g->ctx);
    bool good = wg__chains_find(g, &f.pairs) &&
                (f.forward = wg__calloc(g->ctx, f.pairs.list.len + 1, sizeof *f.forward));
    if (good)
        search(&f);
    else
        wg__tape_no_memory(g->report);
    wg__code *code = good && !f.failed && f.best ? take_best(&f) : NULL;
    if (good && !f.failed && !code)
        tell(&f);
    wg__code_unref(f.best);
    wg__graph_free(&f.best_graph);
    wg__chains_free(&f.pairs);
    wg__free(g->ctx, f.forward);
    wg__str_free(&f.best_note);
    return code;
}
