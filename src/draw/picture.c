/* What is drawn of a tape. Values are passed over in order, so that an operand's node always stands
 * before its user is drawn; literals are drawn anew at each use, captured values by an edge from
 * outside. The work is linear in the nodes; only sub-tapes recurse.
 *
 * Backward edges are written from the user to the operand and drawn in reverse (dir=back), so that
 * dot lets the backward graph rise beside the forward graph that it comes from. */
#include "draw/frame.h"

#include <stdio.h>

/* The end of an edge. */
typedef struct user {
    Agnode_t *node;
    Agraph_t *box;
    bool backward;
    const char *label;
    const char *mark; /* which operand the edge brings, or NULL */
} user;

static void draw_frame(wg__picture *p, wg__frame *f, const uint32_t *outs, size_t nouts);

/* ---- edges ------------------------------------------------------------------------------------- */

static Agnode_t *draw_literal(wg__picture *p, const wg__origin *o, const user *u, uint32_t operand)
{
    char name[96];
    snprintf(name, sizeof name, "%s_a%u", agnameof(u->node), operand);
    Agnode_t *node = wg__draw_node(p, u->box, name);
    wg__draw_value_label(p, o->f->tape, o->id);
    wg__draw_dress(p, node, WG__KIND_LITERAL, u->backward);
    wg__draw_set_text(p, node, "label");
    wg__draw_set(node, "tooltip", wg__op_of(o->f->tape, o->id)->name);
    return node;
}

static bool is_loop(uint16_t op)
{
    return op == WG__OP_SCAN || op == WG__OP_MAP || op == WG__OP_WHILE;
}

/* What becomes of the body's value in output o->out of a loop. */
static const char *result_label(const wg_attrs *a, uint16_t op, const wg__origin *o)
{
    int64_t out = o->out, nouts = o->through->fn->nouts;
    if (out < wg_attrs_int(a, "carries"))
        return "last";
    if (op == WG__OP_WHILE && out == nouts)
        return "number of steps";
    return out < nouts && out >= nouts - wg_attrs_int(a, "sums") ? "sum" : "all steps";
}

/* Says which of several outputs is read: by its name in the op's signature, else its number; of a
 * loop, what becomes of the body's value. */
static void label_output(wg__picture *p, Agedge_t *edge, const wg__origin *o)
{
    const wg__frame *by = o->through ? o->through->parent : o->f;
    uint32_t head = o->through ? o->through->caller : o->id;
    const wg__op *op = wg__op_of(by->tape, head);
    wg_attrs a = wg__attrs_of(by->tape, head);
    wg__str *s = &p->text;
    if (o->through && !is_loop(op->index))
        return;
    if (o->through)
        wg__str_add(s, result_label(&a, op->index, o));
    else if (wg__node_at(by->tape, head)->nout > 1 && o->out < op->sig.nout && !op->sig.star_out)
        wg__draw_add(s, op->sig.out[o->out]);
    else if (wg__node_at(by->tape, head)->nout > 1)
        wg__str_addf(s, "%u", o->out);
    wg__draw_set_text(p, edge, "label");
}

/* A mark stands at the user's end of the edge; a rising edge is written from there. */
static void connect_mark(Agedge_t *edge, const char *mark, bool rising)
{
    if (mark)
        wg__draw_set(edge, rising ? "taillabel" : "headlabel", mark);
}

/* The edge that brings value `id` of `f` to the user; NULL: there is none. */
static Agedge_t *connect(wg__picture *p, wg__frame *f, uint32_t id, const user *u, uint32_t operand)
{
    wg__origin o = wg__frame_origin(f, id);
    bool literal = wg__frame_inline(o.f->tape, o.id);
    Agnode_t *from = literal ? draw_literal(p, &o, u, operand) : o.f->places[o.id].node;
    if (!from || p->failed)
        return NULL;
    bool rising = !literal && u->backward && o.f->places[o.id].backward;
    Agedge_t *edge = rising ? wg__draw_edge(p, p->graph, u->node, from)
                            : wg__draw_edge(p, p->graph, from, u->node);
    wg__draw_dress_edge(edge, u->backward);
    if (rising)
        wg__draw_set(edge, "dir", "back");
    label_output(p, edge, &o);
    connect_mark(edge, u->mark, rising);
    if (u->label)
        wg__draw_set(edge, "label", u->label);
    return edge;
}

/* ---- nodes ------------------------------------------------------------------------------------- */

static Agnode_t *new_node(wg__picture *p, wg__frame *f, uint32_t id, wg__kind kind, Agraph_t *box)
{
    char name[48];
    if (f->number)
        snprintf(name, sizeof name, "f%u_n%u", f->number, id);
    else
        snprintf(name, sizeof name, "n%u", id);
    Agnode_t *node = wg__draw_node(p, box, name);
    wg__draw_dress(p, node, kind, f->places[id].backward);
    wg__draw_label(p, f->tape, id, kind);
    if (!f->number)
        wg__draw_heat_label(p, id);
    wg__draw_set_markup(p, node, "label");
    wg__draw_set_tooltip(p, node, f->tape, id);
    wg__draw_dress_op(p, node, wg__op_of(f->tape, id)->def.style);
    if (!f->number)
        wg__draw_dress_heat(p, node, false, id);
    f->places[id].node = node;
    return node;
}

/* Whether it matters which operand is which. */
static bool is_ordered(const wg_tape *t, uint32_t id)
{
    const wg__node *n = wg__node_at(t, id);
    const uint32_t *in = wg__operands(t, n);
    if (wg__op_of(t, id)->def.flags & (WG_OP_COMMUTATIVE | WG_OP_EFFECT))
        return false;
    for (uint32_t i = 1; i < n->nin; i++)
        if (in[i] != in[0])
            return true;
    return false;
}

/* An operand's name in the signature of its op; of a starred one, its number from 1, in `room`. */
static const char *mark_of(const wg_tape *t, uint32_t id, uint32_t i, char room[12])
{
    const wg__sig *sig = &wg__op_of(t, id)->sig;
    if (i + sig->star < sig->nin)
        return sig->in[i];
    snprintf(room, 12, "%u", i + 1);
    return room;
}

/* An assign's first operand is the param that it names: not data. */
static void draw_node(wg__picture *p, wg__frame *f, uint32_t id)
{
    wg__kind kind = wg__draw_kind(f->tape, id);
    const wg__node *n = wg__node_at(f->tape, id);
    const uint32_t *in = wg__operands(f->tape, n);
    Agraph_t *box = wg__frame_box(f, id)->graph;
    user u = {.node = new_node(p, f, id, kind, box), .box = box};
    u.backward = f->places[id].backward;
    bool assign = n->op == WG__OP_ASSIGN, ordered = is_ordered(f->tape, id);
    char room[12];
    for (uint32_t i = assign; i < n->nin && !p->failed; i++) {
        u.mark = ordered ? mark_of(f->tape, id, i, room) : NULL;
        connect(p, f, in[i], &u, i);
    }
}

static void draw_output(wg__picture *p, wg__frame *f, uint32_t id, uint32_t index)
{
    wg__origin o = wg__frame_origin(f, id);
    Agnode_t *node = o.f->places[o.id].node;
    char name[48];
    if (!node && wg__frame_inline(o.f->tape, o.id)) {
        snprintf(name, sizeof name, "f%u_o%u", f->number, index);
        node = wg__draw_node(p, f->boxes[0].graph, name);
        wg__draw_dress(p, node, WG__KIND_LITERAL, false);
        wg__draw_value_label(p, o.f->tape, o.id);
        wg__draw_set_text(p, node, "label");
    }
    if (node)
        wg__draw_dress_output(p, node);
}

/* ---- sub-tapes --------------------------------------------------------------------------------- */

/* What a step hands to the next: from a carry's new value back to its formal input. */
static void draw_carries(wg__picture *p, wg__frame *f)
{
    const wg_tape *t = f->tape;
    wg_attrs a = wg__attrs_of(f->parent->tape, f->caller);
    int64_t carries = wg_attrs_int(&a, "carries");
    for (size_t i = 0; (int64_t)i < carries && i < f->fn->nouts && i < t->inputs.len; i++) {
        wg__origin o = wg__frame_origin(f, f->fn->outs[i]);
        Agnode_t *from = o.f->places[o.id].node, *to = f->places[t->inputs.data[i]].node;
        if (!from || !to || from == to)
            continue;
        bool rising = o.f->places[o.id].backward;
        Agedge_t *edge =
            rising ? wg__draw_edge(p, p->graph, from, to) : wg__draw_edge(p, p->graph, to, from);
        wg__draw_dress_edge(edge, rising);
        if (!rising)
            wg__draw_set(edge, "dir", "back");
        wg__draw_set(edge, "style", "dotted");
        wg__draw_set(edge, "label", "next step");
    }
}

static const char *formal_label(const wg_attrs *a, int64_t index)
{
    int64_t carries = wg_attrs_int(a, "carries");
    if (index < carries)
        return "first";
    return index < carries + wg_attrs_int(a, "xs") ? "each step" : NULL;
}

static void draw_formals(wg__picture *p, wg__frame *f)
{
    const wg_tape *t = f->tape;
    const wg__node *caller = wg__node_at(f->parent->tape, f->caller);
    const uint32_t *in = wg__operands(f->parent->tape, caller);
    wg_attrs a = wg__attrs_of(f->parent->tape, f->caller);
    for (uint32_t i = 0; i < t->inputs.len && !p->failed; i++) {
        uint32_t id = t->inputs.data[i], operand = wg__frame_operand(f, i);
        user u = {f->places[id].node, wg__frame_box(f, id)->graph, f->places[id].backward,
                  is_loop(caller->op) ? formal_label(&a, i) : NULL, NULL};
        if (u.node && operand < caller->nin)
            connect(p, f->parent, in[operand], &u, i);
    }
}

/* The number of steps of a loop that learns it when it runs. */
static void draw_count(wg__picture *p, wg__frame *body)
{
    wg__frame *f = body->parent;
    const wg__node *caller = wg__node_at(f->tape, body->caller);
    wg_attrs a = wg__attrs_of(f->tape, body->caller);
    char name[48];
    if (!wg_attrs_bool(&a, "counted"))
        return;
    snprintf(name, sizeof name, "f%u_steps", body->number);
    user u = {.box = body->boxes[0].graph, .backward = body->backward};
    u.node = wg__draw_node(p, u.box, name);
    wg__draw_dress(p, u.node, WG__KIND_LITERAL, u.backward);
    wg__draw_set(u.node, "label", "number of steps");
    wg__draw_set(connect(p, f, wg__operands(f->tape, caller)[caller->nin - 1], &u, 0), "style",
                 "dotted");
}

/* Sub-tape number `which` of node `id` in a box inside `in`; NULL: it has none of that number, it is
 * drawn already, or memory is out. */
static wg__frame *new_body(wg__picture *p, wg__frame *f, uint32_t id, uint32_t which, wg__box *in)
{
    const wg__fn *fn = wg__node_fn_at(f->tape, id, which);
    if (!fn || wg__pool_find(&p->bodies, &fn, sizeof fn))
        return NULL;
    wg__frame *body = wg__frame_new(p, fn->body);
    if (!body || !wg__pool_intern(&p->bodies, &fn, sizeof fn) ||
        !(body->boxes[0].graph = wg__frame_cluster(p, in, body->number, 0))) {
        p->failed = true;
        return NULL;
    }
    body->parent = f;
    body->caller = id;
    body->which = which;
    body->fn = fn;
    body->backward = f->places[id].backward;
    wg__draw_dress_body(body->boxes[0].graph, body->backward);
    return body;
}

/* The label of a box that stands for node `id` as a whole. */
static void label_whole(wg__picture *p, wg__frame *f, uint32_t id, Agraph_t *box)
{
    wg__draw_body_label(p, f->tape, id);
    if (!f->number) {
        wg__draw_heat_label(p, id);
        wg__draw_dress_heat(p, box, true, id);
    }
    wg__draw_set_markup(p, box, "label");
}

/* A further sub-tape, of a while or a rule of one's own, inside the box of the first. */
static void draw_second(wg__picture *p, wg__frame *first)
{
    wg__frame *f = first->parent, *body;
    bool loop = wg__node_at(f->tape, first->caller)->op == WG__OP_WHILE;
    if (!loop && !p->options->rules)
        return;
    body = new_body(p, f, first->caller, 1, &first->boxes[0]);
    if (!body)
        return;
    body->twin = loop ? first : NULL;
    wg__draw_set(body->boxes[0].graph, "style", "dashed");
    wg__draw_part_label(p, f->tape, first->caller, 1);
    wg__draw_set_markup(p, body->boxes[0].graph, "label");
    draw_frame(p, body, body->fn->outs, body->fn->nouts);
}

/* ---- branches ---------------------------------------------------------------------------------- */

/* A branch whose sub-tape is drawn elsewhere: a node in the place of its box. */
static Agnode_t *draw_reference(wg__picture *p, wg__frame *f, uint32_t id, uint32_t which, user *u)
{
    char name[64];
    wg__frame at = {.parent = f, .caller = id, .which = which};
    const wg__node *n = wg__node_at(f->tape, id);
    const wg__fn *fn = wg__node_fn_at(f->tape, id, which);
    snprintf(name, sizeof name, "f%u_n%u_b%u", f->number, id, which);
    user own = {.node = wg__draw_node(p, u->box, name), .box = u->box, .backward = u->backward};
    wg__draw_dress(p, own.node, WG__KIND_FN, u->backward);
    wg__draw_part_label(p, f->tape, id, which);
    wg__draw_set_markup(p, own.node, "label");
    for (uint32_t i = 0; i < fn->body->inputs.len && !p->failed; i++)
        connect(p, f, wg__operands(f->tape, n)[wg__frame_operand(&at, i)], &own, i);
    Agedge_t *edge = wg__draw_edge(p, p->graph, own.node, u->node);
    wg__draw_dress_edge(edge, u->backward);
    return own.node;
}

/* Whether nothing in the body's box shows where its output comes from: it is a value from outside, or a
 * number. */
static bool passes_through(const wg__origin *o, const wg__frame *body)
{
    const wg__frame *f = o->f;
    while (f && f != body)
        f = f->parent;
    return !f || wg__frame_inline(o->f->tape, o->id);
}

/* The edges from a branch's outputs to the node that chooses. An output that shows in no box says which
 * branch it is of. */
static void choose_from(wg__picture *p, wg__frame *body, user *u)
{
    const wg__fn *fn = body->fn;
    for (uint32_t i = 0; i < fn->nouts && !p->failed; i++) {
        wg__str mark = wg__str_make(p->ctx);
        wg__origin o = wg__frame_origin(body, fn->outs[i]);
        if (passes_through(&o, body))
            wg__draw_add_part(&mark, body->parent->tape, body->caller, body->which);
        if (fn->nouts > 1)
            wg__str_addf(&mark, mark.len ? ": %u" : "%u", i);
        p->failed |= mark.failed;
        u->mark = mark.len ? wg__str_text(&mark) : NULL;
        connect(p, body, fn->outs[i], u, 1 + body->which * fn->nouts + i);
        wg__str_free(&mark);
    }
}

static void draw_branch(wg__picture *p, wg__frame *f, uint32_t id, uint32_t which, wg__box *in,
                        user *u)
{
    wg__frame *body = new_body(p, f, id, which, in);
    if (!body) {
        if (!p->failed)
            draw_reference(p, f, id, which, u);
        return;
    }
    wg__draw_part_label(p, f->tape, id, which);
    wg__draw_set_markup(p, body->boxes[0].graph, "label");
    draw_frame(p, body, body->fn->outs, body->fn->nouts);
    draw_formals(p, body);
    choose_from(p, body, u);
}

/* A cond or switch: a box with one for each branch, and a node in it that hands on what comes out of
 * the one that runs. */
static bool draw_branches(wg__picture *p, wg__frame *f, uint32_t id)
{
    const wg__node *n = wg__node_at(f->tape, id);
    const uint32_t *in = wg__operands(f->tape, n);
    wg__box box = {.depth = 1};
    box.graph = wg__frame_cluster(p, wg__frame_box(f, id), p->nframes++, 0);
    wg__draw_dress_body(box.graph, f->places[id].backward);
    label_whole(p, f, id, box.graph);
    user u = {.box = box.graph, .backward = f->places[id].backward};
    u.node = new_node(p, f, id, WG__KIND_CHOICE, box.graph);
    for (uint32_t k = 0; wg__node_fn_at(f->tape, id, k) && !p->failed; k++)
        draw_branch(p, f, id, k, &box, &u);
    u.mark = wg__op_of(f->tape, id)->sig.in[0];
    wg__draw_set(connect(p, f, in[0], &u, 0), "style", "dotted");
    return true;
}

/* The body of node `id` as a box in its place. False when it has none, or it is drawn already. */
static bool draw_body(wg__picture *p, wg__frame *f, uint32_t id)
{
    uint16_t op = wg__node_at(f->tape, id)->op;
    if (op == WG__OP_COND || op == WG__OP_SWITCH)
        return draw_branches(p, f, id);
    wg__frame *body = new_body(p, f, id, 0, wg__frame_box(f, id));
    if (!body)
        return p->failed;
    label_whole(p, f, id, body->boxes[0].graph);
    draw_frame(p, body, body->fn->outs, body->fn->nouts);
    if (p->failed)
        return true;
    draw_second(p, body);
    draw_formals(p, body);
    draw_carries(p, body);
    draw_count(p, body);
    f->places[id].body = body;
    return true;
}

/* ---- a frame ----------------------------------------------------------------------------------- */

static void draw_frame(wg__picture *p, wg__frame *f, const uint32_t *outs, size_t nouts)
{
    wg__frame_prepare(p, f, outs, nouts);
    for (uint32_t id = 0; id < f->tape->nodes.len && !p->failed; id++)
        if (wg__frame_draws(f, id) && !draw_body(p, f, id))
            draw_node(p, f, id);
    for (uint32_t i = 0; i < nouts && !p->failed; i++)
        draw_output(p, f, outs[i], i);
}

void wg__draw_tape(wg__picture *p, const wg_tape *tape, const uint32_t *outs, size_t nouts)
{
    wg__frame *f = wg__frame_new(p, tape);
    p->failed |= !f;
    if (!f)
        return;
    f->boxes[0].graph = p->graph;
    draw_frame(p, f, outs, nouts);
}
