/* hoist: what comes out the same in every step of a loop (scan, map, while) is computed once, before it. A
 * value of the body moves when it depends on invariants alone (operands after carries and sequences), is
 * pure and is more than a view; it enters the body as a new invariant. Invariants that are no longer
 * needed are dropped. A scan of no steps keeps its body as it is, and out of a loop that may make no step
 * only what cannot fail is moved. The condition of a while always runs.
 *
 * What moves out of a body within a body is the same in every step of the outer one, perhaps: the
 * next round sees. */
#include <string.h>

#include "pass/scans.h"

/* What becomes of a value of a body. */
enum {
    STAYS,
    SAME, /* the same in all steps, but not worth a move: an invariant, a constant, a view of one */
    WORTH, /* the same in all steps, and computed */
    MOVES  /* WORTH, and used by what stays or handed out */
};

/* One body with its operands in three groups. */
typedef struct loop {
    const wg__fn *fn;
    const wg_tape *body;
    size_t fixed; /* operands that are not invariant: carries and sequences */
    bool total;   /* it may not run at all: what moves must not fail */
    uint8_t *fate;
    bool *needed; /* by what stays */
    size_t moves;
} loop;

/* A body that was made anew, and what left it. */
typedef struct moved {
    wg__fn *fn;    /* NULL: nothing moves */
    uint32_t *out; /* ids in the old body, in the order of the new invariants */
    size_t nout;
    bool *kept; /* which of the old operands are still there */
} moved;

typedef struct hoist {
    wg_ctx *ctx;
    wg__pool from; /* address of a wg__fn, number of fixed operands, flags; id - 1 is the index */
    WG__VEC(moved) to;
    size_t count;
} hoist;

/* A body that a node runs: its operands from number `fixed` on are those of the node from `base` on. */
typedef struct runner {
    const char *attr;
    const wg__fn *fn;
    size_t fixed, base;
    bool total; /* see loop */
} runner;

enum { MOST_RUNNERS = 2 };

/* The bodies of a loop; 0: it is none, or one that makes no step. */
static size_t runners_of(const wg_tape *t, uint32_t id, runner r[MOST_RUNNERS])
{
    wg__scan s;
    if (wg__scan_of(t, id, &s)) {
        r[0] = (runner){"fn", s.fn, s.w0, s.w0, s.counted};
        return s.length.dim[0] > 0;
    }
    if (wg__node_at(t, id)->op != WG__OP_WHILE || wg__node_at(t, id)->out)
        return 0;
    wg_attrs a = wg__attrs_of(t, id);
    const size_t ncarry = (size_t)wg_attrs_int(&a, "carries");
    const wg__fn *fn = wg__node_fn(t, id, "fn");
    r[0] = (runner){"fn", fn, ncarry, ncarry, true};
    r[1] = (runner){"cond", wg__node_fn(t, id, "cond"), ncarry, fn->body->inputs.len, false};
    return 2;
}

/* ---- what moves ------------------------------------------------------------------------------------- */

static uint8_t fate_of(const loop *l, uint32_t id)
{
    const wg__node *n = wg__node_at(l->body, id);
    const wg__op *op = wg__op_of(l->body, id);
    const uint32_t *in = wg__operands(l->body, n);
    bool worth = !(op->def.flags & WG_OP_VIEW) || n->nin > 1; /* to gather or join is work */
    if (op->def.flags & WG_OP_SOURCE)
        return n->op == WG__OP_LITERAL || n->op == WG__OP_CONST ? SAME : STAYS;
    if (!wg__is_pure(op) || wg__runs_fns(op) || n->nout != 1)
        return STAYS;
    if (l->total && !(op->def.flags & (WG_OP_TOTAL | WG_OP_ELEMENTWISE)))
        return STAYS;
    if (n->nin == 0)
        return SAME;
    for (uint16_t k = 0; k < n->nin; k++) {
        if (l->fate[in[k]] == STAYS)
            return STAYS;
        worth = worth || l->fate[in[k]] == WORTH;
    }
    return worth ? WORTH : SAME;
}

static void mark(loop *l, uint32_t id)
{
    if (l->fate[id] == WORTH)
        l->fate[id] = MOVES;
    if (l->fate[id] != MOVES)
        l->needed[wg__head(l->body, id)] = true;
}

/* From the outputs back: what stays needs, and where that meets what may move. */
static void find_moves(loop *l)
{
    const wg_tape *b = l->body;
    for (size_t i = l->fixed; i < b->inputs.len; i++)
        l->fate[b->inputs.data[i]] = SAME;
    for (uint32_t id = 0; id < b->nodes.len; id++)
        if (l->fate[id] == STAYS)
            l->fate[id] = fate_of(l, id);
    for (uint32_t k = 0; k < l->fn->nouts; k++)
        mark(l, l->fn->outs[k]);
    for (uint32_t id = (uint32_t)b->nodes.len; id-- > 0;) {
        const wg__node *n = wg__node_at(b, id);
        const uint32_t *in = wg__operands(b, n);
        if (!l->needed[id] || n->out || (wg__op_of(b, id)->def.flags & WG_OP_SOURCE))
            continue;
        for (uint16_t k = 0; k < n->nin; k++)
            mark(l, in[k]);
    }
    for (uint32_t id = 0; id < b->nodes.len; id++)
        l->moves += l->fate[id] == MOVES;
}

static bool loop_make(loop *l, wg_ctx *ctx, const runner *r)
{
    *l = (loop){.fn = r->fn, .body = r->fn->body, .fixed = r->fixed, .total = r->total};
    l->fate = wg__calloc(ctx, l->body->nodes.len + 1, sizeof *l->fate);
    l->needed = wg__calloc(ctx, l->body->nodes.len + 1, sizeof *l->needed);
    if (!l->fate || !l->needed)
        return false;
    find_moves(l);
    return true;
}

static void loop_free(loop *l, wg_ctx *ctx)
{
    wg__free(ctx, l->fate);
    wg__free(ctx, l->needed);
}

/* ---- the new body -------------------------------------------------------------------------------------- */

static bool keep(const loop *l, size_t operand)
{
    return operand < l->fixed || l->needed[l->body->inputs.data[operand]];
}

/* Inputs that are kept, then one per value that moved out, then all that stays. */
static bool fill_body(const loop *l, const wg__copy *rules, wg_tape *dst, uint32_t *map,
                      uint32_t *outs)
{
    const wg_tape *b = l->body;
    wg__copy c = *rules;
    uint32_t *inputs = wg__calloc(dst->ctx, b->inputs.len + 1, sizeof *inputs);
    c.dst = dst;
    c.src = b;
    c.map = map;
    c.roots = inputs;
    c.nroots = 0;
    for (size_t i = 0; inputs && i < b->inputs.len; i++)
        if (keep(l, i))
            inputs[c.nroots++] = b->inputs.data[i];
    bool good = inputs && !wg__copy_nodes(&c);
    for (uint32_t id = 0; good && id < b->nodes.len; id++) {
        if (l->fate[id] != MOVES)
            continue;
        map[id] = wg__push_source(dst, WG__OP_INPUT, 0, 0, wg__type_at(b, id));
        good = map[id] != WG__NONE && wg__vec_push(dst->ctx, &dst->inputs, map[id]);
    }
    c.roots = l->fn->outs;
    c.nroots = l->fn->nouts;
    good = good && !wg__copy_nodes(&c);
    for (uint32_t k = 0; good && k < l->fn->nouts; k++)
        outs[k] = map[l->fn->outs[k]];
    wg__free(dst->ctx, inputs);
    return good;
}

/* Owned; NULL: out of memory, or the tape has the error. */
static wg__fn *new_fn(const loop *l, const wg__copy *rules)
{
    wg_ctx *ctx = rules->dst->ctx;
    wg_tape *body = wg__tape_new_sub(rules->dst, ctx, l->body->name);
    uint32_t *map = wg__copy_map(ctx, l->body);
    wg__fn *fn = wg__calloc(ctx, 1, sizeof *fn);
    uint32_t *outs = wg__calloc(ctx, l->fn->nouts + 1, sizeof *outs);
    bool good = body && map && fn && outs && fill_body(l, rules, body, map, outs);
    wg__free(ctx, map);
    if (!good) {
        wg__tape_no_memory(rules->dst);
        wg__tape_destroy(body);
        wg__free(ctx, fn);
        wg__free(ctx, outs);
        return NULL;
    }
    wg__fn_init(fn, body, outs, l->fn->nouts);
    return fn;
}

static bool moved_make(moved *m, const loop *l, const wg__copy *rules, bool always)
{
    wg_ctx *ctx = rules->dst->ctx;
    *m = (moved){.nout = 0};
    if (!l->moves && !always)
        return true;
    m->out = wg__calloc(ctx, l->moves + 1, sizeof *m->out);
    m->kept = wg__calloc(ctx, l->body->inputs.len + 1, sizeof *m->kept);
    if (!m->out || !m->kept)
        return false;
    for (uint32_t id = 0; id < l->body->nodes.len; id++)
        if (l->fate[id] == MOVES)
            m->out[m->nout++] = id;
    for (size_t i = 0; i < l->body->inputs.len; i++)
        m->kept[i] = keep(l, i);
    m->fn = new_fn(l, rules);
    return m->fn != NULL;
}

static void moved_free(moved *m, wg_ctx *ctx)
{
    wg__fn_unref(m->fn);
    wg__free(ctx, m->out);
    wg__free(ctx, m->kept);
}

/* What becomes of a body, made once however many loops run it; always: made anew though nothing moves.
 * False after an error. */
static bool moved_of(hoist *h, const wg__copy *rules, const runner *r, bool always, moved *found)
{
    const uint64_t key[3] = {(uint64_t)(uintptr_t)r->fn, r->fixed,
                             r->total | (uint64_t)always << 1};
    uint32_t id = wg__pool_find(&h->from, key, sizeof key);
    if (id) {
        *found = h->to.data[id - 1];
        return true;
    }
    loop l;
    moved m = {.nout = 0};
    bool good = loop_make(&l, h->ctx, r) && moved_make(&m, &l, rules, always);
    loop_free(&l, h->ctx);
    /* Bodies within were entered meanwhile, so the place is taken only now. */
    if (good && wg__vec_reserve(h->ctx, &h->to, 1) && wg__pool_intern(&h->from, key, sizeof key)) {
        h->to.data[h->to.len++] = *found = m;
        return true;
    }
    moved_free(&m, h->ctx);
    wg__tape_no_memory(rules->dst);
    return false;
}

/* ---- the loop ---------------------------------------------------------------------------------------------- */

/* A loop with what became of its bodies. */
typedef struct remake {
    runner r[MOST_RUNNERS];
    moved m[MOST_RUNNERS];
    size_t n;
} remake;

/* Records what left a body in front of the loop; appends the values to `ins`. */
static bool copy_moved(const wg__copy *c, const runner *r, const moved *m, const uint32_t *operands,
                       uint32_t *ins, size_t *n)
{
    const wg_tape *b = r->fn->body;
    wg__copy out = {.dst = c->dst, .src = b, .roots = m->out, .nroots = m->nout};
    out.map = wg__copy_map(c->dst->ctx, b);
    if (!out.map)
        return false;
    for (size_t i = r->fixed; i < b->inputs.len; i++)
        out.map[b->inputs.data[i]] = c->map[operands[r->base + i - r->fixed]];
    bool good = !wg__copy_nodes(&out);
    for (size_t i = 0; good && i < m->nout; i++)
        ins[(*n)++] = out.map[m->out[i]];
    wg__free(c->dst->ctx, out.map);
    return good;
}

/* The loop anew, with the operands that are left and the new ones. */
static uint32_t push_loop(const wg__copy *c, uint32_t id, const remake *k, const uint32_t *ins,
                          size_t nin)
{
    const wg__node *n = wg__node_at(c->src, id);
    wg_tape *dst = c->dst;
    wg_attrs view = wg__attrs_of(c->src, id);
    wg_attr attrs[WG__MAX_ATTRS];
    size_t nattrs = wg__attrs_export(&view, attrs);
    uint32_t blob, to = WG__NONE;
    wg_type *types = wg__calloc(dst->ctx, n->nout, sizeof *types);
    bool good = types != NULL;
    for (size_t j = 0; j < k->n && good; j++) {
        uint32_t fn = wg__fn_add(dst, k->m[j].fn);
        for (size_t i = 0; i < nattrs; i++)
            if (strcmp(attrs[i].name, k->r[j].attr) == 0)
                attrs[i].v.fn = wg__fn_handle(dst, fn);
        good = fn != 0;
    }
    for (uint32_t i = 0; good && i < n->nout; i++)
        types[i] = *wg__type_at(c->src, id + i);
    if (good && wg__attrs_build(dst, view.op, attrs, nattrs, -1, &blob))
        to = wg__push(dst, n->op, ins, nin, blob, types, n->nout);
    wg__free(dst->ctx, types);
    return to;
}

/* Operands: those before the invariants, the invariants of each body, what stands behind them. */
static uint32_t record_loop(const wg__copy *c, uint32_t id, const remake *k)
{
    const wg__node *n = wg__node_at(c->src, id);
    const uint32_t *operands = wg__operands(c->src, n);
    size_t nin = 0, room = n->nin, at = 0;
    for (size_t j = 0; j < k->n; j++)
        room += k->m[j].nout;
    uint32_t *ins = wg__calloc(c->dst->ctx, room + 1, sizeof *ins), to = WG__NONE;
    bool good = ins != NULL;
    for (size_t j = 0; j < k->n && good; j++) {
        const runner *r = &k->r[j];
        for (; at < r->base; at++)
            ins[nin++] = c->map[operands[at]];
        for (size_t i = r->fixed; i < r->fn->body->inputs.len; i++, at++)
            if (k->m[j].kept[i])
                ins[nin++] = c->map[operands[at]];
        good = copy_moved(c, r, &k->m[j], operands, ins, &nin);
    }
    for (; good && at < n->nin; at++)
        ins[nin++] = c->map[operands[at]];
    if (good)
        to = push_loop(c, id, k, ins, nin);
    wg__free(c->dst->ctx, ins);
    return to;
}

static bool rewrite(wg__copy *c, uint32_t id)
{
    hoist *h = c->user;
    remake k;
    bool any = false;
    k.n = wg_tape_status(c->dst) ? 0 : runners_of(c->src, id, k.r);
    for (size_t i = 0; i < k.n; i++) {
        if (!moved_of(h, c, &k.r[i], false, &k.m[i]))
            return false;
        any |= k.m[i].fn != NULL;
    }
    if (!any)
        return false;
    for (size_t i = 0; i < k.n; i++)
        if (!k.m[i].fn && !moved_of(h, c, &k.r[i], true, &k.m[i]))
            return false;
    uint32_t to = record_loop(c, id, &k);
    if (to == WG__NONE) {
        wg__tape_no_memory(c->dst);
        return false;
    }
    for (uint32_t i = 0; i < wg__node_at(c->src, id)->nout; i++)
        c->map[id + i] = to + i;
    for (size_t i = 0; i < k.n; i++)
        h->count += k.m[i].nout;
    return true;
}

/* ---- the pass ------------------------------------------------------------------------------------------------ */

/* Whether a loop on `t` has something to move; *good false: out of memory. */
static bool any_moves(const wg_tape *t, bool *good)
{
    bool any = false;
    for (uint32_t id = 0; id < t->nodes.len && *good && !any; id++) {
        runner r[MOST_RUNNERS];
        for (size_t n = runners_of(t, id, r); n-- > 0 && *good && !any;) {
            loop l;
            *good = loop_make(&l, t->ctx, &r[n]);
            any = *good && l.moves;
            loop_free(&l, t->ctx);
        }
    }
    return any;
}

wg_status wg__pass_hoist(wg__graph *g)
{
    hoist h = {.ctx = g->ctx};
    wg__pool bodies;
    wg__pool_init(&bodies, g->ctx);
    wg__pool_init(&h.from, g->ctx);
    bool good = wg__bodies_find(&bodies, g->tape), any = false;
    for (size_t i = 0; good && !any && i < bodies.entries.len; i++)
        any = any_moves(wg__bodies_at(&bodies, i), &good);
    wg__pool_free(&bodies);
    wg_status status = good ? WG_OK : wg__tape_no_memory(g->report);
    if (!status && any) {
        status = wg__graph_rewrite(g, rewrite, &h, false);
        wg__graph_note(g, "hoist", "moved %zu value%s out of loops", h.count,
                       h.count == 1 ? "" : "s");
    }
    for (size_t i = 0; i < h.to.len; i++)
        moved_free(&h.to.data[i], g->ctx);
    wg__vec_free(g->ctx, &h.to);
    wg__pool_free(&h.from);
    return status;
}
