/* Frames: what of a tape is drawn, what is backward, the boxes of scopes, and where values come from
 * once sub-tapes are looked through. Linear in the nodes of the tape. */
#include "draw/frame.h"

#include <stdio.h>

enum {
    MAX_DEPTH = 24, /* scopes nested deeper stay in the box of their ancestor */
    GROUP = 64      /* cgraph asks each sibling box for each node: many are put into groups */
};

/* ---- frames ------------------------------------------------------------------------------------ */

wg__frame *wg__frame_new(wg__picture *p, const wg_tape *tape)
{
    wg__frame *f = wg__calloc(p->ctx, 1, sizeof *f);
    if (!f)
        return NULL;
    f->next = p->frames;
    p->frames = f;
    f->number = p->nframes++;
    f->tape = tape;
    f->places = wg__calloc(p->ctx, tape->nodes.len + 1, sizeof *f->places);
    f->boxes = wg__calloc(p->ctx, tape->scopes.entries.len + 1, sizeof *f->boxes);
    return f->places && f->boxes ? f : NULL;
}

void wg__draw_free_frames(wg__picture *p)
{
    for (wg__frame *f = p->frames, *next; f; f = next) {
        next = f->next;
        wg__free(p->ctx, f->places);
        wg__free(p->ctx, f->boxes);
        wg__free(p->ctx, f);
    }
    p->frames = NULL;
}

/* Literals and one-element constants are drawn where they are used. */
bool wg__frame_inline(const wg_tape *t, uint32_t id)
{
    const wg__node *n = wg__node_at(t, id);
    return n->op == WG__OP_LITERAL ||
           (n->op == WG__OP_CONST && !n->name && wg_shape_count(wg__type_at(t, id)->shape) == 1);
}

bool wg__frame_draws(const wg__frame *f, uint32_t id)
{
    return f->places[id].live && wg__node_at(f->tape, id)->out == 0 && !f->places[id].operand &&
           !f->places[id].twin && !wg__frame_inline(f->tape, id);
}

/* ---- operands of bodies ------------------------------------------------------------------------ */

static uint32_t inputs_of(const wg__frame *f, uint32_t which)
{
    return (uint32_t)wg__node_fn_at(f->parent->tape, f->caller, which)->body->inputs.len;
}

/* Of a cond or switch: after what chooses come the operands that all branches share, then those of
 * each. */
static uint32_t branch_operand(const wg__frame *f, const wg__node *caller, uint32_t i)
{
    wg_attrs a = wg__attrs_of(f->parent->tape, f->caller);
    uint32_t shared = (uint32_t)wg_attrs_int(&a, "shared");
    if (caller->op == WG__OP_COND)
        shared = inputs_of(f, 0) + inputs_of(f, 1) + 1 - caller->nin;
    if (i < shared)
        return 1 + i;
    for (uint32_t k = 0; k < f->which; k++)
        i += inputs_of(f, k) - shared;
    return 1 + i;
}

uint32_t wg__frame_operand(const wg__frame *f, uint32_t i)
{
    const wg__node *caller = wg__node_at(f->parent->tape, f->caller);
    if (caller->op == WG__OP_COND || caller->op == WG__OP_SWITCH)
        return branch_operand(f, caller, i);
    if (f->which == 0)
        return i;
    /* A condition or a rule: what it captures comes after the operands of sub-tape 0. */
    uint32_t own = caller->nin - inputs_of(f, 0), formal = inputs_of(f, f->which) - own;
    return i < formal ? WG__NONE : inputs_of(f, 0) + i - formal;
}

/* ---- what is live ------------------------------------------------------------------------------ */

static bool is_skipped(const wg__picture *p, const wg__frame *f, uint32_t id)
{
    return p->options->no_effects && (wg__op_of(f->tape, id)->def.flags & WG_OP_EFFECT);
}

static void mark_roots(wg__picture *p, wg__frame *f, const uint32_t *outs, size_t nouts)
{
    const wg_tape *t = f->tape;
    bool whole = !f->parent && nouts == 0;
    for (uint32_t id = 0; whole && id < t->nodes.len; id++)
        f->places[id].live = !is_skipped(p, f, id);
    for (size_t i = 0; i < nouts; i++)
        f->places[outs[i]].live = true;
    for (size_t i = 0; i < t->effects.len; i++)
        f->places[t->effects.data[i].node].live = !p->options->no_effects;
    for (size_t i = 0; f->parent && i < t->inputs.len; i++)
        f->places[t->inputs.data[i]].live = true;
}

static void mark_operands(wg__frame *f)
{
    const wg_tape *t = f->tape;
    for (uint32_t id = (uint32_t)t->nodes.len; id-- > 0;) {
        if (!f->places[id].live)
            continue;
        const wg__node *n = wg__node_at(t, id);
        f->places[wg__head(t, id)].live = true;
        const uint32_t *in = wg__operands(t, n);
        for (uint16_t i = 0; n->out == 0 && i < n->nin; i++)
            f->places[in[i]].live = true;
    }
}

/* Inputs that only hand on what is outside are not drawn, as captures are not: the operands of branches
 * and the invariants of loops. */
static bool relays(const wg__frame *f, size_t i)
{
    const wg__node *caller = wg__node_at(f->parent->tape, f->caller);
    wg_attrs a = wg__attrs_of(f->parent->tape, f->caller);
    int64_t changing = wg_attrs_int(&a, "carries") + wg_attrs_int(&a, "xs");
    bool loop = caller->op == WG__OP_SCAN || caller->op == WG__OP_MAP || caller->op == WG__OP_WHILE;
    return caller->op == WG__OP_COND || caller->op == WG__OP_SWITCH ||
           (loop && (int64_t)i >= changing);
}

static void mark_captures(wg__frame *f)
{
    const wg_tape *t = f->tape;
    size_t formal = t->inputs.len - t->captures.len;
    for (uint32_t i = 0; f->parent && i < t->inputs.len; i++) {
        wg__place *at = &f->places[t->inputs.data[i]];
        if (wg__frame_operand(f, i) == WG__NONE)
            at->twin = f->twin ? i + 1 : 0;
        else if (i >= formal || relays(f, i))
            at->operand = wg__frame_operand(f, i) + 1;
    }
}

/* ---- where values come from ------------------------------------------------------------------ */

/* The value of a body that output `out` of the node running it is made of: one of the body's
 * outputs, or of a loop, past those, the history of a carry. The number of steps of a while, which
 * stands between them, comes from no value of the body: its first carry stands for it. */
static uint32_t body_value(const wg__frame *body, uint32_t out)
{
    const wg__fn *fn = body->fn;
    uint32_t steps = wg__node_at(body->parent->tape, body->caller)->op == WG__OP_WHILE;
    if (out < fn->nouts)
        return fn->outs[out];
    return steps && out == fn->nouts ? fn->outs[0]
                                     : body->tape->inputs.data[out - fn->nouts - steps];
}

wg__origin wg__frame_origin(wg__frame *f, uint32_t id)
{
    wg__origin o = {f, wg__head(f->tape, id), NULL, 0};
    for (;;) {
        uint32_t out = id - o.id;
        wg__place *at = &o.f->places[o.id];
        if (at->twin) {
            o.f = o.f->twin;
            id = o.f->tape->inputs.data[at->twin - 1];
        } else if (at->operand) {
            id = wg__operands(o.f->parent->tape,
                              wg__node_at(o.f->parent->tape, o.f->caller))[at->operand - 1];
            o.f = o.f->parent;
        } else if (at->body) {
            o.f = at->body;
            if (!o.through)
                o.through = o.f, o.out = out;
            id = body_value(o.f, out);
        } else {
            if (!o.through)
                o.out = out;
            return o;
        }
        o.id = wg__head(o.f->tape, id);
    }
}

/* Backward nodes say so. The body of a backward node holds forward nodes as well (what it computes
 * again); there, nodes that say nothing go with their operands, formal inputs with what is fed in. */
static bool is_backward(wg__frame *f, uint32_t id)
{
    const wg__node *n = wg__node_at(f->tape, id);
    const uint32_t *in = wg__operands(f->tape, n);
    if (n->origin || !f->backward)
        return n->origin != 0;
    for (uint16_t i = 0; i < n->nin; i++)
        if (f->places[wg__head(f->tape, in[i])].backward)
            return true;
    return false;
}

static void mark_backward(wg__frame *f)
{
    const wg_tape *t = f->tape;
    for (uint32_t i = 0; f->backward && i < t->inputs.len; i++) {
        const wg__node *caller = wg__node_at(f->parent->tape, f->caller);
        uint32_t operand = wg__frame_operand(f, i);
        if (operand >= caller->nin)
            continue;
        wg__origin o = wg__frame_origin(f->parent, wg__operands(f->parent->tape, caller)[operand]);
        f->places[t->inputs.data[i]].backward = o.f->places[o.id].backward;
    }
    for (uint32_t id = 0; id < t->nodes.len; id++)
        if (wg__node_at(t, id)->out == 0)
            f->places[id].backward |= is_backward(f, id);
}

/* ---- boxes ------------------------------------------------------------------------------------- */

/* A subgraph inside `in`; its name is made of a prefix and two numbers that no other has. */
static Agraph_t *new_subgraph(wg__picture *p, Agraph_t *in, const char *prefix,
                              uint32_t frame_number, uint32_t scope)
{
    char name[64];
    snprintf(name, sizeof name, "%s_f%u_s%u", prefix, frame_number, scope);
    return wg__draw_subgraph(p, in, name);
}

Agraph_t *wg__frame_cluster(wg__picture *p, wg__box *in, uint32_t frame_number, uint32_t scope)
{
    Agraph_t *parent = in->graph;
    if (in->count >= GROUP) {
        if (in->count % GROUP == 0)
            in->group = new_subgraph(p, in->graph, "group", frame_number, scope);
        parent = in->group;
    }
    in->count++;
    return new_subgraph(p, parent, "cluster", frame_number, scope);
}

/* Which scopes hold anything that is drawn. */
static void mark_scopes(wg__frame *f)
{
    const wg_tape *t = f->tape;
    for (uint32_t id = 0; id < t->nodes.len; id++)
        if (wg__frame_draws(f, id))
            f->boxes[wg__node_at(t, id)->scope].depth = 1;
    for (size_t s = t->scopes.entries.len + 1; s-- > 1;)
        if (f->boxes[s].depth)
            f->boxes[wg__scope_at(t, (uint32_t)s)->parent].depth = 1;
}

/* A scope's parent has the smaller id. */
static void draw_scopes(wg__picture *p, wg__frame *f)
{
    const wg_tape *t = f->tape;
    f->boxes[0].depth = 1;
    for (uint32_t s = 1; s <= t->scopes.entries.len && !p->failed; s++) {
        const wg__scope *scope = wg__scope_at(t, s);
        wg__box *b = &f->boxes[s], *parent = &f->boxes[scope->parent];
        if (!b->depth)
            continue;
        b->graph = parent->graph;
        b->depth = parent->depth;
        if (b->depth > MAX_DEPTH || !(b->graph = wg__frame_cluster(p, parent, f->number, s)))
            continue;
        b->depth++;
        wg__draw_dress_scope(b->graph);
        wg__draw_add(&p->text, wg__text(t, scope->name));
        wg__draw_set_text(p, b->graph, "label");
    }
}

wg__box *wg__frame_box(const wg__frame *f, uint32_t id)
{
    return &f->boxes[wg__node_at(f->tape, id)->scope];
}

/* ---- all of it ------------------------------------------------------------------------------- */

void wg__frame_prepare(wg__picture *p, wg__frame *f, const uint32_t *outs, size_t nouts)
{
    mark_roots(p, f, outs, nouts);
    mark_operands(f);
    mark_captures(f);
    mark_backward(f);
    mark_scopes(f);
    draw_scopes(p, f);
}
