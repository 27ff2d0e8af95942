/* trim: loops lose what does not count. Outputs that nobody reads go, with the carries that only they
 * needed; so do operands that the body does not use. A carry that every step hands on as it is becomes
 * an invariant, and so does a sequence with the same element at every step; one that is a literal
 * enters the body. What is passed in or handed out twice is so once, and an output that is but
 * a sequence, a history or an invariant is taken from there. A loop of no steps becomes zeros, a small one of
 * a single step is inlined, and a scan that is left without carries and sums is a map. Calls, branches
 * and whiles lose outputs, operands and carries likewise.
 *
 * Nothing is computed that was not computed before, and nothing rounds in another way. The pass runs
 * until it finds nothing more: a loop that reads less lets the one before it hand out less. */
#include <string.h>

#include <wengert/ops.h>
#include "pass/trim.h"

/* Bodies of more nodes are not inlined: they may be shared by many loops. */
enum { MAX_ROUNDS = 16, LARGEST_INLINED = 256 };

typedef struct trimmer {
    wg_ctx *ctx;
    wg__pool bodies;      /* the tapes */
    WG__VEC(bool *) read; /* by index in bodies: the values that are read */
    wg__remade made;
    size_t dropped, moved, gone, others; /* told */
    bool any;
} trimmer;

static bool is_single(const wg__scan *s)
{
    return s->length.dim[0] == 1 && !s->counted && s->fn->body->nodes.len <= LARGEST_INLINED;
}

/* ---- loops of no step and of one ---------------------------------------------------------------------- */

static bool map_to(wg__copy *c, uint32_t id, wg_var v)
{
    if (!wg_ok(v))
        return false;
    c->map[id] = (uint32_t)v.bits;
    return true;
}

static bool no_steps(wg__copy *c, const wg__trim_plan *p)
{
    const wg__scan *s = &p->s;
    bool good = true;
    for (size_t k = 0; k < s->hist0 + s->ncarry && good; k++) {
        uint32_t id = s->id + (uint32_t)k;
        if (k < s->ncarry)
            c->map[id] = c->map[s->in[k]];
        else if (wg__trim_reads(p, k))
            good = map_to(c, id, wg_full(c->dst, *wg__type_at(c->src, id), 0));
    }
    return good;
}

static wg_var reshaped(wg__copy *c, uint32_t id, const wg_type *type)
{
    wg_var v = wg__var(c->dst, id);
    return wg__type_equal(wg__type_at(c->dst, id), type) ? v : wg_reshape(v, type->shape);
}

static bool one_step(wg__copy *c, const wg__trim_plan *p)
{
    const wg__scan *s = &p->s;
    const wg_tape *b = s->fn->body;
    wg__copy in = *c;
    in.src = b;
    in.roots = s->fn->outs;
    in.nroots = s->fn->nouts;
    if (!(in.map = wg__copy_map(c->dst->ctx, b)))
        return false;
    bool good = true;
    for (size_t i = 0; i < s->count && good; i++) {
        uint32_t formal = wg__scan_formal(s, i);
        wg_var v = reshaped(c, c->map[s->in[i]], wg__type_at(b, formal));
        good = wg_ok(v);
        in.map[formal] = (uint32_t)v.bits;
    }
    good = good && !wg__copy_nodes(&in);
    for (size_t k = 0; k < s->hist0 + s->ncarry && good; k++) {
        uint32_t id = s->id + (uint32_t)k;
        uint32_t from = k < s->hist0 ? in.map[wg__trim_out(p, k)] : c->map[s->in[k - s->hist0]];
        if (wg__trim_reads(p, k))
            good = map_to(c, id, reshaped(c, from, wg__type_at(c->src, id)));
    }
    wg__free(c->dst->ctx, in.map);
    return good;
}

/* ---- loops made anew ---------------------------------------------------------------------------------- */

/* What the new body depends on, as numbers. */
static uint32_t key_of(wg__remade *made, const wg__trim_plan *p)
{
    const wg__scan *s = &p->s;
    wg__remade_put(made, (uint64_t)(uintptr_t)s->fn);
    wg__remade_put(made, (uint64_t)s->ncarry << 32 | s->nsums);
    wg__remade_put(made, s->nxs);
    for (size_t i = 0; i < s->count; i++) {
        uint32_t at = p->in[i].what == WG__UNIFORM ? wg__trim_uniform(s->tape, s->in[i]) : WG__NONE;
        wg__remade_put(made, (uint64_t)p->in[i].what << 32 | p->in[i].of);
        if (at != WG__NONE)
            wg__remade_put(made, wg__node_at(s->tape, at)->u.bits);
    }
    for (size_t k = 0; k < s->fn->nouts; k++)
        wg__remade_put(made, (uint64_t)p->out[k].what << 32 | p->out[k].of);
    return wg__remade_key(made);
}

/* The element of a sequence that repeats it, or the value of an invariant. */
static uint32_t invariant_of(wg__copy *c, const wg__trim_plan *p, size_t i)
{
    const wg__scan *s = &p->s;
    const wg_type *step = wg__type_at(s->fn->body, wg__scan_formal(s, i));
    uint32_t outer = c->map[s->in[i]];
    if (i < s->x0 || i >= s->w0)
        return outer;
    int64_t start[WG_MAX_RANK] = {0}, stop[WG_MAX_RANK] = {1};
    size_t rank = (size_t)step->shape.rank + 1;
    for (size_t k = 1; k < rank; k++)
        stop[k] = INT64_MAX;
    wg_var first = wg_slice(wg__var(c->dst, outer), start, rank, stop, rank);
    wg_var v = wg_reshape(first, step->shape);
    return wg_ok(v) ? (uint32_t)v.bits : WG__NONE;
}

/* Operands in their groups; what becomes an invariant stands behind those that were. */
static bool add_operands(wg__rescan *l, wg__copy *c, const wg__trim_plan *p)
{
    const wg__scan *s = &p->s;
    bool good = true;
    for (size_t i = 0; i < s->count; i++) {
        int group = i < s->x0 ? WG__CARRY : i < s->w0 ? WG__X : WG__W;
        if (p->in[i].what == WG__STAYS)
            wg__rescan_keep(l, group, i, c->map[s->in[i]]);
    }
    for (size_t i = 0; i < s->w0 && good; i++)
        if (p->in[i].what == WG__INVARIANT && p->used[wg__scan_formal(s, i)]) {
            uint32_t outer = invariant_of(c, p, i);
            good = outer != WG__NONE;
            wg__rescan_keep(l, WG__W, i, outer);
        }
    return good;
}

/* The literal of operand `i` in the body. */
static bool enter_uniform(wg__rescan *l, const wg__trim_plan *p, size_t i)
{
    const wg__scan *s = &p->s;
    uint32_t formal = wg__scan_formal(s, i), from = wg__trim_uniform(s->tape, s->in[i]);
    const wg_type *type = wg__type_at(s->fn->body, formal);
    uint32_t id = wg__push_source(l->body, WG__OP_LITERAL, wg__node_at(s->tape, from)->u.bits, 0,
                                  wg__type_at(s->tape, from));
    if (id == WG__NONE)
        return false;
    wg_var v = wg__var(l->body, id);
    if (type->shape.rank)
        v = wg_broadcast(v, type->shape);
    l->map[formal] = (uint32_t)v.bits;
    return wg_ok(v);
}

static bool fill_body(wg__rescan *l, const wg__trim_plan *p)
{
    const wg__scan *s = &p->s;
    wg__rescan_open(l);
    if (l->failed)
        return false;
    for (size_t i = 0; i < s->count; i++) {
        uint32_t formal = wg__scan_formal(s, i);
        if (p->in[i].what == WG__LIKE)
            l->map[formal] = l->map[wg__scan_formal(s, p->in[i].of)];
        if (p->in[i].what == WG__UNIFORM && p->used[formal] && !enter_uniform(l, p, i))
            return false;
    }
    for (size_t k = 0; k < s->hist0; k++) {
        int group = k < s->y0 ? WG__FINAL : k < s->sum0 ? WG__Y : WG__SUM;
        wg__fate f = k < s->y0 ? p->in[k] : p->out[k];
        if (f.what == WG__STAYS)
            wg__rescan_out(l, group, wg__rescan_get(l, wg__trim_out(p, k)));
    }
    return !l->failed;
}

/* Where the outputs that stay lie among those of the new loop. */
typedef struct places {
    uint32_t first;
    size_t ncarry, nys, nsums;
} places;

static size_t place_of(const wg__trim_plan *p, const places *at, size_t k)
{
    const wg__scan *s = &p->s;
    size_t from = k < s->y0 ? 0 : k < s->sum0 ? s->y0 : k < s->hist0 ? s->sum0 : s->hist0, n = 0;
    for (size_t j = from; j < k; j++)
        n += (j < s->y0      ? p->in[j]
              : j < s->hist0 ? p->out[j]
                             : p->in[j - s->hist0])
                 .what == WG__STAYS;
    return n + (k < s->y0      ? 0
                : k < s->sum0  ? at->ncarry
                : k < s->hist0 ? at->ncarry + at->nys
                               : at->ncarry + at->nys + at->nsums);
}

static wg_var repeated(wg__copy *c, const wg__trim_plan *p, size_t operand, uint32_t id)
{
    uint32_t outer = c->map[p->s.in[operand]];
    return wg_broadcast(wg__var(c->dst, outer), wg__type_at(c->src, id)->shape);
}

/* The final value or the history of carry `i`. */
static bool map_carry(wg__copy *c, const wg__trim_plan *p, const places *at, size_t i, bool history)
{
    uint32_t id = p->s.id + (uint32_t)(history ? p->s.hist0 + i : i);
    if (p->in[i].what == WG__INVARIANT) {
        if (history)
            return map_to(c, id, repeated(c, p, i, id));
        c->map[id] = c->map[p->s.in[i]];
        return true;
    }
    size_t like = p->in[i].what == WG__LIKE ? p->in[i].of : i;
    c->map[id] = at->first + (uint32_t)place_of(p, at, history ? p->s.hist0 + like : like);
    return true;
}

static bool map_output(wg__copy *c, const wg__trim_plan *p, const places *at, size_t k)
{
    const wg__scan *s = &p->s;
    uint32_t id = s->id + (uint32_t)k;
    if (k < s->y0 || k >= s->hist0)
        return map_carry(c, p, at, k < s->y0 ? k : k - s->hist0, k >= s->hist0);
    wg__fate f = p->out[k];
    if (f.what == WG__CONSTANT)
        return map_to(c, id, repeated(c, p, f.of, id));
    c->map[id] = f.what == WG__SEQUENCE  ? c->map[s->in[f.of]]
                 : f.what == WG__HISTORY ? at->first + (uint32_t)place_of(p, at, s->hist0 + f.of)
                 : f.what == WG__LIKE    ? at->first + (uint32_t)place_of(p, at, f.of)
                                         : at->first + (uint32_t)place_of(p, at, k);
    return true;
}

static bool remake(trimmer *tr, wg__copy *c, const wg__trim_plan *p)
{
    const wg__scan *s = &p->s;
    wg__rescan l;
    places at = {WG__NONE, 0, 0, 0};
    for (size_t k = 0; k < s->hist0; k++) {
        size_t *n = k < s->y0 ? &at.ncarry : k < s->sum0 ? &at.nys : &at.nsums;
        *n += (k < s->y0 ? p->in[k] : p->out[k]).what == WG__STAYS;
    }
    uint32_t key = key_of(&tr->made, p);
    wg__rescan_begin(&l, c, s);
    bool good = key && add_operands(&l, c, p);
    if (good && at.ncarry + at.nys + at.nsums > 0) {
        wg__fn *known = wg__remade_get(&tr->made, key);
        l.s.nsums = at.nsums;
        if (wg__trim_to_map(tr->ctx, s, at.ncarry, at.nsums)) {
            l.s.is_map = true;
            l.s.reverse = false;
        }
        good = known || fill_body(&l, p);
        if (good)
            at.first = wg__rescan_end(&l, known);
        good = at.first != WG__NONE;
        wg__remade_set(&tr->made, key, &l);
    }
    for (size_t k = 0; k < s->hist0 + s->ncarry && good; k++)
        if (wg__trim_reads(p, k))
            good = map_output(c, p, &at, k);
    wg__rescan_free(&l);
    return good;
}

/* ---- the pass ------------------------------------------------------------------------------------------ */

static const bool *read_on(const trimmer *tr, const wg_tape *t)
{
    return tr->read.data[wg__pool_find(&tr->bodies, &t, sizeof t) - 1];
}

static void count_changes(trimmer *tr, const wg__trim_plan *p)
{
    const wg__scan *s = &p->s;
    for (size_t i = 0; i < s->count; i++) {
        tr->moved += p->in[i].what == WG__INVARIANT || p->in[i].what == WG__UNIFORM;
        tr->dropped += p->in[i].what == WG__GOES || p->in[i].what == WG__LIKE;
    }
    for (size_t k = s->y0; k < s->hist0; k++)
        tr->dropped += p->out[k].what != WG__STAYS;
}

/* Whether a node that is no scan nor map changes. */
static bool other_looks(const trimmer *tr, const wg_tape *t, uint32_t id, const bool *read,
                        bool *good)
{
    return wg__node_at(t, id)->op == WG__OP_WHILE
               ? wg__trim_while_looks(tr->ctx, t, id, read, good)
               : wg__trim_branch_looks(tr->ctx, t, id, read, good);
}

static bool rewrite_other(trimmer *tr, wg__copy *c, uint32_t id, const bool *read)
{
    bool good = true, any = other_looks(tr, c->src, id, read, &good);
    if (any)
        good = wg__node_at(c->src, id)->op == WG__OP_WHILE
                   ? wg__trim_while(c, id, &tr->made, read)
                   : wg__trim_branch(c, id, &tr->made, read);
    if (!good)
        wg__tape_no_memory(c->dst);
    tr->others += any;
    return any && good;
}

static bool rewrite(wg__copy *c, uint32_t id)
{
    trimmer *tr = c->user;
    wg__scan s;
    wg__trim_plan p;
    if (wg_tape_status(c->dst) || !wg__runs_fns(wg__op_of(c->src, id)))
        return false;
    const bool *read = read_on(tr, c->src);
    if (!wg__scan_of(c->src, id, &s))
        return rewrite_other(tr, c, id, read);
    if (!wg__scan_needed(&s, read))
        return false;
    bool good = wg__trim_plan_make(&p, tr->ctx, &s, read), done = false;
    if (good && (s.length.dim[0] == 0 || is_single(&s))) {
        done = good = s.length.dim[0] == 0 ? no_steps(c, &p) : one_step(c, &p);
        tr->gone++;
    } else if (good && p.changes) {
        done = good = remake(tr, c, &p);
        count_changes(tr, &p);
    }
    wg__trim_plan_free(&p, tr->ctx);
    if (!good)
        wg__tape_no_memory(c->dst);
    return done;
}

static bool mark_bodies(trimmer *tr, const wg__graph *g)
{
    bool good = wg__bodies_find(&tr->bodies, g->tape);
    for (size_t i = 0; good && i < tr->bodies.entries.len; i++) {
        bool *read =
            wg__calloc(tr->ctx, wg__bodies_at(&tr->bodies, i)->nodes.len + 1, sizeof *read);
        good = read && wg__vec_push(tr->ctx, &tr->read, read);
        if (read && !good)
            wg__free(tr->ctx, read);
    }
    if (!good)
        return false;
    wg__mark_read(g->tape, g->ids, g->nroots, (bool *)read_on(tr, g->tape));
    for (size_t i = 0; i < tr->bodies.entries.len; i++) {
        const wg_tape *t = wg__bodies_at(&tr->bodies, i);
        for (size_t k = 0; k < t->fns.len; k++) {
            const wg__fn *fn = t->fns.data[k].fn;
            wg__mark_read(fn->body, fn->outs, fn->nouts, (bool *)read_on(tr, fn->body));
        }
    }
    return true;
}

/* Whether a loop on any tape changes. */
static bool look(trimmer *tr)
{
    for (size_t i = 0; i < tr->bodies.entries.len && !tr->any; i++) {
        const wg_tape *t = wg__bodies_at(&tr->bodies, i);
        for (uint32_t id = 0; id < t->nodes.len && !tr->any; id++) {
            wg__scan s;
            wg__trim_plan p;
            bool good = true;
            if (!wg__runs_fns(wg__op_of(t, id)))
                continue;
            if (!wg__scan_of(t, id, &s)) {
                tr->any = other_looks(tr, t, id, tr->read.data[i], &good);
                if (!good)
                    return false;
                continue;
            }
            if (!wg__scan_needed(&s, tr->read.data[i]))
                continue;
            good = wg__trim_plan_make(&p, tr->ctx, &s, tr->read.data[i]);
            tr->any = good && (p.changes || s.length.dim[0] == 0 || is_single(&s));
            wg__trim_plan_free(&p, tr->ctx);
            if (!good)
                return false;
        }
    }
    return true;
}

static void trimmer_free(trimmer *tr)
{
    for (size_t i = 0; i < tr->read.len; i++)
        wg__free(tr->ctx, tr->read.data[i]);
    wg__vec_free(tr->ctx, &tr->read);
    wg__pool_free(&tr->bodies);
    wg__remade_free(&tr->made);
}

static void tell(wg__graph *g, const trimmer *tr)
{
    if (tr->dropped)
        wg__graph_note(g, "trim", "dropped %zu of the operands and outputs of loops", tr->dropped);
    if (tr->moved)
        wg__graph_note(g, "trim", "%zu operand%s of loops %s the same in every step", tr->moved,
                       tr->moved == 1 ? "" : "s", tr->moved == 1 ? "is" : "are");
    if (tr->others)
        wg__graph_note(g, "trim", "dropped operands or outputs of %zu call%s, branches and whiles",
                       tr->others, tr->others == 1 ? "" : "s");
    if (tr->gone)
        wg__graph_note(g, "trim", "replaced %zu loop%s of one step or none", tr->gone,
                       tr->gone == 1 ? "" : "s");
}

wg_status wg__pass_trim(wg__graph *g)
{
    wg_status status = WG_OK;
    const int rounds = g->tape->fns.len ? MAX_ROUNDS : 0;
    for (int round = 0; round < rounds && !status; round++) {
        trimmer tr = {.ctx = g->ctx};
        wg__pool_init(&tr.bodies, g->ctx);
        wg__remade_init(&tr.made, g->ctx);
        status = mark_bodies(&tr, g) && look(&tr) ? WG_OK : wg__tape_no_memory(g->report);
        const bool any = tr.any;
        if (!status && any)
            status = wg__graph_rewrite(g, rewrite, &tr, false);
        if (!status)
            tell(g, &tr);
        trimmer_free(&tr);
        if (!any)
            break;
    }
    return status;
}
