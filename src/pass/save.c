/* save: what the loop of a derivative would compute again is handed on by the loop that computed it. The
 * VJP of a scan recomputes the step in its body; here the bodies of all loops of one tape that run
 * the same steps are numbered together (value numbering: op, attributes, operands; a sequence is what
 * it holds, so that a history is the carry it comes from), and a value that a loop B computes and an
 * earlier loop F has computed in the same step is known to B.
 *
 * What F hands out as one more stacked output, and B reads as one more sequence, is a smallest cut: of all
 * sets of known values from which B can compute the known ones it uses by cheap steps alone, one of the
 * fewest bytes, as near to the uses as there is. Cheap are views, elementwise ops that call no function
 * such as exp, and ops whose result is larger than each of their operands; contractions, reductions,
 * gathers, draws and sub-tapes are not. What depends on invariants alone is never saved (hoist moves it),
 * and what is stacked already costs nothing. The choice knows nothing of how much memory there is.
 *
 * Bodies are looked into from the innermost tapes outwards, and what a body gains, it gains wherever it
 * runs: so a loop within a loop is still the same in F and in B when the outer ones are compared, and what
 * it hands on is saved by them.
 *
 * Minimum cuts: Ford and Fulkerson 1956; augmenting paths by breadth: Edmonds and Karp 1972. */
#include <string.h>

#include "pass/save.h"

/* ---- what a loop computes again ------------------------------------------------------------------ */

enum {
    GIVEN, /* the same in every step */
    OWN,   /* computed here first */
    KNOWN  /* computed by an earlier loop, or stacked before */
};

static int kind_of(const wg__numbering *nb, size_t loop, uint32_t number)
{
    const wg__number *n = wg__number_at(nb, number);
    if (n->fixed)
        return GIVEN;
    bool stacked = n->at != WG__NONE && n->at < nb->loops.data[loop].s.id;
    return stacked || n->loop < loop ? KNOWN : OWN;
}

static bool is_cheap(const wg_tape *t, uint32_t id)
{
    const wg__node *n = wg__node_at(t, id);
    const wg__op *op = wg__op_of(t, id);
    const uint32_t *in = wg__operands(t, n);
    const unsigned dear = WG_OP_RANDOM | WG_OP_CONTRACT | WG_OP_GATHER | WG_OP_PICK;
    const wg_type *types[WG__MAX_OPERANDS], *out = wg__type_at(t, id);
    int64_t largest = 0;
    if (n->nout != 1 || wg__runs_fns(op) || (op->def.flags & dear) || op->def.monoid)
        return false;
    if (op->def.flags & WG_OP_VIEW)
        return true;
    for (uint16_t k = 0; k < n->nin; k++) {
        int64_t count = wg_shape_count(wg__type_at(t, in[k])->shape);
        largest = count > largest ? count : largest;
        if (k < WG__MAX_OPERANDS)
            types[k] = wg__type_at(t, in[k]);
    }
    if (!(op->def.flags & WG_OP_ELEMENTWISE))
        return wg_shape_count(out->shape) > largest;
    const wg_kernel *kernel = wg__op_kernel(op, types, n->nin, &out);
    return kernel && kernel->expr && !wg__calls_function(kernel->expr);
}

/* ---- the network -------------------------------------------------------------------------------------- */

/* One loop whose values are looked at. */
typedef struct looker {
    wg__saver *sv;
    wg__numbering *nb;
    size_t loop;
    const wg__numbered *l;
    const wg_tape *body;
    bool *needed; /* by value of the body: computed, or asked for */
    wg__cut cut;
    uint32_t *vertex;      /* by number - 1 */
    WG__VEC(uint32_t) ids; /* by vertex: a value of the body */
} looker;

/* Bytes that one step of a value takes where it is not stacked yet. */
static int64_t price(const looker *k, uint32_t id)
{
    const wg__number *n = wg__number_at(k->nb, k->l->number[id]);
    const wg_type *type = wg__type_at(k->body, id);
    bool stacked = n->at != WG__NONE && n->at < k->l->s.id && k->nb->read[n->at];
    int64_t bytes = wg_shape_count(type->shape) * (int64_t)wg_dtype_size(type->dtype);
    return stacked || n->handed ? 0 : bytes ? bytes : 1;
}

static uint32_t vertex(looker *k, uint32_t id)
{
    uint32_t *v = &k->vertex[k->l->number[id] - 1];
    if (*v == WG__NONE && !k->cut.failed) {
        *v = wg__cut_vertex(&k->cut, price(k, id));
        k->cut.failed |= !wg__vec_push(k->sv->ctx, &k->ids, id);
    }
    return *v;
}

static bool is_formal(const looker *k, uint32_t id)
{
    return wg__node_at(k->body, id)->op == WG__OP_INPUT;
}

static bool is_known(const looker *k, uint32_t id)
{
    return !is_formal(k, id) && kind_of(k->nb, k->loop, k->l->number[id]) == KNOWN;
}

/* Value `id` is used by what is computed in any case. */
static void ask(looker *k, uint32_t id)
{
    k->needed[id] = true;
    if (is_known(k, id))
        wg__cut_sink(&k->cut, vertex(k, id));
}

/* A known value that is asked for, or could be computed for one that is. */
static void look_at_known(looker *k, uint32_t id)
{
    const wg__node *n = wg__node_at(k->body, id);
    const uint32_t *in = wg__operands(k->body, n);
    const bool cheap = is_cheap(k->body, id);
    for (uint32_t j = 0; j < n->nout && !cheap; j++)
        if (k->needed[id + j])
            wg__cut_source(&k->cut, vertex(k, id + j));
    for (uint16_t j = 0; j < n->nin && cheap; j++) {
        int kind = kind_of(k->nb, k->loop, k->l->number[in[j]]);
        k->needed[in[j]] |= is_known(k, in[j]);
        if (is_known(k, in[j]))
            wg__cut_edge(&k->cut, vertex(k, in[j]), vertex(k, id));
        else if (kind == OWN && !is_formal(k, in[j]))
            wg__cut_source(&k->cut, vertex(k, id));
    }
}

static void look_at_node(looker *k, uint32_t id)
{
    const wg__node *n = wg__node_at(k->body, id);
    bool any = false;
    if (n->out || (wg__op_of(k->body, id)->def.flags & WG_OP_SOURCE))
        return;
    for (uint32_t j = 0; j < n->nout; j++)
        any |= k->needed[id + j];
    if (!any)
        return;
    if (is_known(k, id)) {
        look_at_known(k, id);
        return;
    }
    for (uint16_t j = 0; j < n->nin; j++)
        ask(k, wg__operands(k->body, n)[j]);
}

/* ---- what is saved ------------------------------------------------------------------------------------ */

static wg__edit *edit_of(looker *k, size_t loop)
{
    const wg__numbered *l = &k->nb->loops.data[loop];
    uint32_t *fact = &wg__facts_of(&k->sv->facts, k->nb->t)[l->s.id];
    if (*fact == WG__NONE) {
        wg__edit e = {.steps = l->s.length.dim[0], .extra0 = WG__NONE};
        size_t bytes = (l->s.fn->body->nodes.len + 1) * sizeof *e.number;
        e.number = wg__memdup(k->sv->ctx, l->number, bytes);
        if (!e.number || !wg__vec_push(k->sv->ctx, &k->sv->edits, e)) {
            wg__free(k->sv->ctx, e.number);
            return NULL;
        }
        *fact = (uint32_t)k->sv->edits.len - 1;
    }
    return &k->sv->edits.data[*fact];
}

/* The place of value `id` among what `fn` gains; WG__NONE: out of memory. */
static uint32_t gain_of(wg__saver *sv, const wg__fn *fn, uint32_t id)
{
    uint32_t at = wg__pool_intern(&sv->fns, &fn, sizeof(wg__fn *));
    const wg__gain none = {{NULL, 0, 0}};
    if (at > sv->gains.len && !wg__vec_push(sv->ctx, &sv->gains, none))
        at = 0;
    wg__gain *g = at ? &sv->gains.data[at - 1] : NULL;
    for (size_t i = 0; g && i < g->ids.len; i++)
        if (g->ids.data[i] == id)
            return (uint32_t)i;
    return g && wg__vec_push(sv->ctx, &g->ids, id) ? (uint32_t)g->ids.len - 1 : WG__NONE;
}

static bool save(looker *k, uint32_t id)
{
    const uint32_t number = k->l->number[id];
    wg__number *n = wg__number_at(k->nb, number);
    wg__wish w = {number, WG__NONE, WG__NONE, WG__NONE, id};
    if (n->at != WG__NONE && n->at < k->l->s.id) {
        w.at = n->at;
    } else {
        const wg__numbered *from = &k->nb->loops.data[n->loop];
        w.from = from->s.id;
        w.extra = gain_of(k->sv, from->s.fn, n->id);
        n->handed = true;
        if (w.extra == WG__NONE || !edit_of(k, n->loop))
            return false;
    }
    wg__edit *e = edit_of(k, k->loop);
    return e && wg__vec_push(k->sv->ctx, &e->wishes, w);
}

static bool look_at_loop(looker *k)
{
    const wg__fn *fn = k->l->s.fn;
    bool good = wg__cut_make(&k->cut, k->sv->ctx), *chosen = NULL;
    k->needed = wg__calloc(k->sv->ctx, k->body->nodes.len + 1, sizeof *k->needed);
    k->vertex = wg__alloc(k->sv->ctx, (k->nb->numbers.len + 1) * sizeof *k->vertex);
    good = good && k->needed && k->vertex;
    if (good)
        memset(k->vertex, 0xff, k->nb->numbers.len * sizeof *k->vertex);
    for (uint32_t j = 0; good && j < fn->nouts; j++)
        ask(k, fn->outs[j]);
    for (uint32_t id = (uint32_t)k->body->nodes.len; good && id-- > 0;)
        look_at_node(k, id);
    if (good && k->ids.len) {
        chosen = wg__calloc(k->sv->ctx, k->ids.len, sizeof *chosen);
        good = chosen && wg__cut_solve(&k->cut, chosen);
        for (size_t v = 0; good && v < k->ids.len; v++)
            good = !chosen[v] || save(k, k->ids.data[v]);
    }
    wg__free(k->sv->ctx, chosen);
    wg__free(k->sv->ctx, k->needed);
    wg__free(k->sv->ctx, k->vertex);
    wg__vec_free(k->sv->ctx, &k->ids);
    wg__cut_free(&k->cut);
    return good;
}

static bool look_at_tape(wg__saver *sv, const wg_tape *t, const uint32_t *roots, size_t nroots)
{
    wg__numbering nb;
    size_t loops = 0;
    wg__scan s;
    for (uint32_t id = 0; id < t->nodes.len && loops < 2 && t->fns.len > 1; id++)
        loops += wg__scan_of(t, id, &s);
    if (loops < 2)
        return true;
    bool *read = wg__calloc(sv->ctx, t->nodes.len + 1, sizeof *read);
    if (!read)
        return false;
    wg__mark_read(t, roots, nroots, read);
    bool good = wg__number_loops(&nb, sv->ctx, t, read);
    for (size_t i = 1; i < nb.loops.len && good; i++) {
        looker k = {.sv = sv, .nb = &nb, .loop = i, .l = &nb.loops.data[i]};
        k.body = k.l->s.fn->body;
        good = look_at_loop(&k);
    }
    wg__numbering_free(&nb);
    wg__free(sv->ctx, read);
    return good;
}

/* ---- the pass ---------------------------------------------------------------------------------------------- */

/* How deep each tape lies below the main one, by index in `bodies`; returns the greatest. */
static size_t find_depths(const wg__pool *bodies, size_t *depth)
{
    size_t most = 0;
    for (bool again = true; again;) {
        again = false;
        for (size_t i = 0; i < bodies->entries.len; i++) {
            const wg_tape *t = wg__bodies_at(bodies, i);
            for (size_t k = 0; k < t->fns.len; k++) {
                const wg_tape *b = t->fns.data[k].fn->body;
                size_t *d = &depth[wg__pool_find(bodies, &b, sizeof b) - 1];
                again |= *d < depth[i] + 1;
                *d = *d < depth[i] + 1 ? depth[i] + 1 : *d;
                most = *d > most ? *d : most;
            }
        }
    }
    return most;
}

/* Looks at all tapes of one depth; returns the greatest depth there is, SIZE_MAX: out of memory. */
static size_t look(wg__saver *sv, const wg__graph *g, size_t at)
{
    const wg__pool *bodies = &sv->facts.tapes;
    size_t *depth = wg__calloc(sv->ctx, bodies->entries.len, sizeof *depth), most = SIZE_MAX;
    if (!depth)
        return most;
    most = find_depths(bodies, depth);
    bool good = at != 0 || look_at_tape(sv, g->tape, g->ids, g->nroots);
    for (size_t i = 0; i < bodies->entries.len && good; i++) {
        const wg_tape *t = wg__bodies_at(bodies, i);
        for (size_t k = 0; k < t->fns.len && good; k++) {
            const wg__fn *fn = t->fns.data[k].fn;
            size_t d = wg__pool_find(bodies, (const wg_tape *[]){fn->body}, sizeof(wg_tape *)) - 1;
            if (depth[d] != at)
                continue;
            depth[d] = SIZE_MAX; /* once, however many tapes run it */
            good = look_at_tape(sv, fn->body, fn->outs, fn->nouts);
        }
    }
    wg__free(sv->ctx, depth);
    return good ? most : SIZE_MAX;
}

static void tell(wg__graph *g, const wg__saver *sv)
{
    for (size_t i = 0; i < sv->edits.len; i++) {
        const wg__edit *e = &sv->edits.data[i];
        const size_t n = e->wishes.len;
        if (n)
            wg__graph_note(g, "save",
                           "keeps %zu value%s of %lld steps, which a loop computed again", n,
                           n == 1 ? "" : "s", (long long)e->steps);
    }
}

static void saver_free(wg__saver *sv)
{
    for (size_t i = 0; i < sv->edits.len; i++) {
        wg__free(sv->ctx, sv->edits.data[i].number);
        wg__vec_free(sv->ctx, &sv->edits.data[i].wishes);
    }
    for (size_t i = 0; i < sv->gains.len; i++)
        wg__vec_free(sv->ctx, &sv->gains.data[i].ids);
    wg__vec_free(sv->ctx, &sv->edits);
    wg__vec_free(sv->ctx, &sv->gains);
    wg__pool_free(&sv->fns);
    wg__remade_free(&sv->made);
    wg__facts_free(&sv->facts);
}

/* The tapes of one depth; *most: the greatest depth. */
static wg_status save_at(wg__graph *g, size_t depth, size_t *most)
{
    wg__saver sv = {.ctx = g->ctx};
    wg__pool_init(&sv.fns, g->ctx);
    wg__remade_init(&sv.made, g->ctx);
    wg_status status = wg__facts_make(&sv.facts, g) ? WG_OK : WG_NO_MEMORY;
    if (!status && (*most = look(&sv, g, depth)) == SIZE_MAX)
        status = wg__tape_no_memory(g->report);
    if (!status && sv.edits.len) {
        status = wg__graph_rewrite(g, wg__save_rewrite, &sv, false);
        tell(g, &sv);
    }
    saver_free(&sv);
    return status;
}

wg_status wg__pass_save(wg__graph *g)
{
    size_t most = 0;
    if (!g->tape->fns.len)
        return WG_OK;
    wg_status status = save_at(g, SIZE_MAX - 1, &most);
    for (size_t depth = most + 1; depth-- > 0 && !status;)
        status = save_at(g, depth, &most);
    return status;
}
