/* hoist: what comes out the same in every step of a scan is computed once, before it. A value of the
 * body moves when it depends on invariants alone (operands after carries and sequences), is pure and
 * is more than a view; it enters the body as a new invariant. Invariants that are no longer needed
 * are dropped. A scan of no steps keeps its body as it is: what moved out might fail.
 *
 * What moves out of a body within a body is the same in every step of the outer one, perhaps: the
 * next round sees. */
#include <string.h>

#include "pass/pass.h"

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
    wg__pool from; /* address of a wg__fn and the number of fixed operands; id - 1 is the index */
    WG__VEC(moved) to;
    size_t count;
} hoist;

/* ---- what moves ------------------------------------------------------------------------------------- */

static bool runs_body(const wg__op *op)
{
    for (size_t i = 0; i < op->sig.nattrs; i++)
        if (op->sig.attrs[i].kind == WG_ATTR_FN)
            return true;
    return false;
}

static uint8_t fate_of(const loop *l, uint32_t id)
{
    const wg__node *n = wg__node_at(l->body, id);
    const wg__op *op = wg__op_of(l->body, id);
    const uint32_t *in = wg__operands(l->body, n);
    bool worth = !(op->def.flags & WG_OP_VIEW);
    if (op->def.flags & WG_OP_SOURCE)
        return n->op == WG__OP_LITERAL || n->op == WG__OP_CONST ? SAME : STAYS;
    if (!wg__is_pure(op) || runs_body(op) || n->nout != 1)
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

static bool loop_make(loop *l, wg_ctx *ctx, const wg__fn *fn, size_t fixed)
{
    *l = (loop){.fn = fn, .body = fn->body, .fixed = fixed};
    l->fate = wg__calloc(ctx, fn->body->nodes.len + 1, sizeof *l->fate);
    l->needed = wg__calloc(ctx, fn->body->nodes.len + 1, sizeof *l->needed);
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
    body->closed = true;
    atomic_init(&fn->refs, 1);
    fn->body = body;
    fn->outs = outs;
    fn->nouts = l->fn->nouts;
    return fn;
}

static bool moved_make(moved *m, const loop *l, const wg__copy *rules)
{
    wg_ctx *ctx = rules->dst->ctx;
    *m = (moved){.nout = 0};
    if (!l->moves)
        return true;
    m->out = wg__calloc(ctx, l->moves, sizeof *m->out);
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

/* What becomes of a body, made once however many scans run it; NULL after an error. */
static const moved *moved_of(hoist *h, const wg__copy *rules, const wg__fn *fn, size_t fixed)
{
    const uint64_t key[2] = {(uint64_t)(uintptr_t)fn, fixed};
    uint32_t id = wg__pool_find(&h->from, key, sizeof key);
    if (id)
        return &h->to.data[id - 1];
    loop l;
    moved m = {.nout = 0};
    bool good = loop_make(&l, h->ctx, fn, fixed) && moved_make(&m, &l, rules);
    loop_free(&l, h->ctx);
    /* Bodies within were entered meanwhile, so the place is taken only now. */
    if (good && wg__vec_reserve(h->ctx, &h->to, 1) && wg__pool_intern(&h->from, key, sizeof key)) {
        h->to.data[h->to.len++] = m;
        return &h->to.data[h->to.len - 1];
    }
    moved_free(&m, h->ctx);
    wg__tape_no_memory(rules->dst);
    return NULL;
}

/* ---- the scan ---------------------------------------------------------------------------------------------- */

/* Records what left the body in front of the scan; appends the values to `ins`. */
static bool copy_moved(const wg__copy *c, const wg__fn *fn, const moved *m,
                       const uint32_t *operands, uint32_t *ins, size_t *n)
{
    wg__copy out = {.dst = c->dst, .src = fn->body, .roots = m->out, .nroots = m->nout};
    out.map = wg__copy_map(c->dst->ctx, fn->body);
    if (!out.map)
        return false;
    for (size_t i = 0; i < fn->body->inputs.len; i++)
        out.map[fn->body->inputs.data[i]] = c->map[operands[i]];
    bool good = !wg__copy_nodes(&out);
    for (size_t i = 0; good && i < m->nout; i++)
        ins[(*n)++] = out.map[m->out[i]];
    wg__free(c->dst->ctx, out.map);
    return good;
}

/* The scan anew, with the operands that are left and the new ones. */
static uint32_t push_scan(const wg__copy *c, uint32_t id, const moved *m, const uint32_t *ins,
                          size_t nin)
{
    const wg__node *n = wg__node_at(c->src, id);
    wg_tape *dst = c->dst;
    wg_attrs view = wg__attrs_of(c->src, id);
    wg_attr attrs[WG__MAX_ATTRS];
    size_t nattrs = wg__attrs_export(&view, attrs);
    uint32_t fn = wg__fn_add(dst, m->fn), blob, to = WG__NONE;
    wg_type *types = wg__calloc(dst->ctx, n->nout, sizeof *types);
    for (size_t i = 0; i < nattrs; i++)
        if (attrs[i].kind == WG_ATTR_FN)
            attrs[i].v.fn = wg__fn_handle(dst, fn);
    for (uint32_t k = 0; types && k < n->nout; k++)
        types[k] = *wg__type_at(c->src, id + k);
    if (fn && types && wg__attrs_build(dst, view.op, attrs, nattrs, -1, &blob))
        to = wg__push(dst, n->op, ins, nin, blob, types, n->nout);
    wg__free(dst->ctx, types);
    return to;
}

static bool rewrite_scan(hoist *h, wg__copy *c, uint32_t id, const wg__fn *fn, const moved *m)
{
    const wg__node *n = wg__node_at(c->src, id);
    const uint32_t *operands = wg__operands(c->src, n);
    uint32_t *ins = wg__calloc(h->ctx, n->nin + m->nout, sizeof *ins), to = WG__NONE;
    size_t nin = 0;
    for (uint16_t k = 0; ins && k < n->nin; k++)
        if (m->kept[k])
            ins[nin++] = c->map[operands[k]];
    if (ins && copy_moved(c, fn, m, operands, ins, &nin))
        to = push_scan(c, id, m, ins, nin);
    wg__free(h->ctx, ins);
    if (to == WG__NONE) {
        wg__tape_no_memory(c->dst);
        return false;
    }
    for (uint32_t k = 0; k < n->nout; k++)
        c->map[id + k] = to + k;
    h->count += m->nout;
    return true;
}

/* The number of operands that are not invariant; SIZE_MAX: the node is no scan, or one that makes no
 * step. */
static size_t fixed_of(const wg_tape *t, uint32_t id)
{
    wg_attrs a = wg__attrs_of(t, id);
    if (wg__node_at(t, id)->op != WG__OP_SCAN || wg_attrs_shape(&a, "length").dim[0] == 0)
        return SIZE_MAX;
    return (size_t)(wg_attrs_int(&a, "carries") + wg_attrs_int(&a, "xs"));
}

static bool rewrite(wg__copy *c, uint32_t id)
{
    hoist *h = c->user;
    size_t fixed = fixed_of(c->src, id);
    if (fixed == SIZE_MAX || wg_tape_status(c->dst))
        return false;
    const wg__fn *fn = wg__node_fn(c->src, id, "fn");
    const moved *m = moved_of(h, c, fn, fixed);
    return m && m->fn && rewrite_scan(h, c, id, fn, m);
}

/* ---- the pass ------------------------------------------------------------------------------------------------ */

/* Whether a scan on `t` has something to move; *good false: out of memory. */
static bool any_moves(const wg_tape *t, bool *good)
{
    bool any = false;
    for (uint32_t id = 0; id < t->nodes.len && *good && !any; id++) {
        if (wg__node_at(t, id)->op != WG__OP_SCAN || wg__node_at(t, id)->out)
            continue;
        size_t fixed = fixed_of(t, id);
        loop l;
        if (fixed == SIZE_MAX)
            continue;
        *good = loop_make(&l, t->ctx, wg__node_fn(t, id, "fn"), fixed);
        any = *good && l.moves;
        loop_free(&l, t->ctx);
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
