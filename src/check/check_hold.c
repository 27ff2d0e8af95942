/* stop_gradient under differences. A derivative that holds a value where differences move it would
 * look wrong; so differences run on a copy of the graph in which what is stopped is an input. */
#include <stdio.h>
#include <string.h>

#include "check/checking.h"

typedef struct holder {
    wg__check *c;
    wg__held *held;
} holder;

/* A stop_gradient of the graph itself. One that a derivative rule records is no reason to hold
 * anything: such a rule is right to first order only. */
bool wg__check_is_stop(const wg__check *c, uint32_t id)
{
    uint16_t op = wg__node_at(c->tape, id)->op;
    const wg__check_job *j = c->job;
    return id < c->end &&
           (op == WG__OP_STOP_GRADIENT ||
            (j->from && j->from->index == WG__OP_STOP_GRADIENT && op == j->to->index));
}

static bool hold_node(wg__copy *k, uint32_t id)
{
    holder *h = k->user;
    const wg__node *n = wg__node_at(k->src, id);
    char name[48];
    if (k->dst->parent || !wg__check_is_stop(h->c, id))
        return false;
    wg_type type = *wg__type_at(k->src, id);
    snprintf(name, sizeof name, "held %zu", h->held->n);
    wg_var v = wg_input(k->dst, name, type.dtype, type.shape);
    if (!wg_ok(v))
        return false;
    h->held->inputs[h->held->n] = v;
    h->held->values[h->held->n++] = wg__var(k->src, wg__operands(k->src, n)[0]);
    k->map[id] = (uint32_t)v.bits;
    return true;
}

bool wg__check_hold(wg__check *c, const wg_var *outs, size_t nouts, wg__held *held)
{
    size_t stops = 0, n = c->leaves.len;
    for (uint32_t id = 0; id < c->end; id++)
        stops += wg__check_is_stop(c, id);
    memset(held, 0, sizeof *held);
    if (!stops)
        return true;
    uint32_t *roots = wg__check_take(c, nouts + n, sizeof *roots);
    uint32_t *map = wg__copy_map(c->ctx, c->tape);
    held->vars = wg__check_take(c, n, sizeof *held->vars);
    held->outs = wg__check_take(c, nouts, sizeof *held->outs);
    held->inputs = wg__check_take(c, stops, sizeof *held->inputs);
    held->values = wg__check_take(c, stops, sizeof *held->values);
    held->tape = wg_tape_new(c->ctx);
    bool good =
        roots && map && held->vars && held->outs && held->inputs && held->values && held->tape;
    size_t nroots = 0;
    for (size_t i = 0; i < nouts && good; i++)
        if (!wg_is_none(outs[i]))
            roots[nroots++] = (uint32_t)outs[i].bits;
    for (size_t i = 0; i < n && good; i++)
        roots[nroots++] = (uint32_t)c->leaves.data[i].var.bits;
    holder h = {c, held};
    wg__copy k = {.dst = held->tape,
                  .src = c->tape,
                  .map = map,
                  .roots = roots,
                  .nroots = nroots,
                  .rewrite = hold_node,
                  .user = &h};
    good = good && !wg__copy_nodes(&k);
    for (size_t i = 0; i < n && good; i++)
        held->vars[i] = wg__var(held->tape, map[(uint32_t)c->leaves.data[i].var.bits]);
    for (size_t i = 0; i < nouts && good; i++)
        held->outs[i] =
            wg_is_none(outs[i]) ? outs[i] : wg__var(held->tape, map[(uint32_t)outs[i].bits]);
    wg__free(c->ctx, map);
    if (!good && !c->status)
        c->status =
            held->tape && wg_tape_status(held->tape) ? wg_tape_status(held->tape) : WG_NO_MEMORY;
    return good;
}
