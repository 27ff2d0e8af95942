/* The verifier: every invariant of a tape and of the sub-tapes below it. Passes are tested with it. */
#include <stdio.h>
#include <string.h>

#include "tape/infer.h"

typedef struct verifier {
    const wg_tape *t;
    char *message;
    size_t size;
} verifier;

static bool fail(verifier *v, size_t id, const char *format, ...) WG_PRINTF(3, 4);
static bool fail(verifier *v, size_t id, const char *format, ...)
{
    int n = snprintf(v->message, v->size, "node %zu: ", id);
    va_list args;
    va_start(args, format);
    if (n >= 0 && (size_t)n < v->size)
        vsnprintf(v->message + n, v->size - (size_t)n, format, args);
    va_end(args);
    return false;
}

static bool ids_ok(verifier *v, uint32_t id)
{
    const wg_tape *t = v->t;
    const wg__node *n = wg__node_at(t, id);
    if (n->op >= wg_op_count(t->ctx))
        return fail(v, id, "op %u is not registered", n->op);
    if (n->out || !n->nout || id + n->nout > t->nodes.len)
        return fail(v, id, "outputs %u of %u do not fit", n->out, n->nout);
    for (uint32_t k = 0; k < n->nout; k++) {
        const wg__node *o = wg__node_at(t, id + k);
        if (o->op != n->op || o->out != k || o->nout != n->nout)
            return fail(v, id, "entry of output %u differs from its node", k);
        if (!o->type || o->type > t->types.entries.len)
            return fail(v, id + k, "type id %u is unknown", o->type);
        if (o->name > t->strings.entries.len || o->scope > t->scopes.entries.len ||
            o->attrs > t->attrs.entries.len || o->origin > t->nodes.len)
            return fail(v, id + k, "name, scope, attributes or origin is unknown");
    }
    if (n->nin > 2 && (size_t)n->u.offset + n->nin > t->operands.len)
        return fail(v, id, "operands lie outside the tape");
    if (wg__op_of(t, id)->def.flags & WG_OP_SOURCE)
        return n->nin == 0 || fail(v, id, "a source has operands");
    const uint32_t *in = wg__operands(t, n);
    for (uint16_t k = 0; k < n->nin; k++)
        if (in[k] >= id)
            return fail(v, id, "operand %u is value %u, which does not stand before it", k, in[k]);
    return true;
}

static bool listed(const uint32_t *ids, size_t n, uint32_t id)
{
    size_t low = 0;
    while (low < n) { /* lists are in order of recording */
        size_t mid = low + (n - low) / 2;
        if (ids[mid] == id)
            return true;
        if (ids[mid] < id)
            low = mid + 1;
        else
            n = mid;
    }
    return false;
}

static bool source_ok(verifier *v, uint32_t id)
{
    const wg_tape *t = v->t;
    const wg__node *n = wg__node_at(t, id);
    if (n->op == WG__OP_INPUT && !listed(t->inputs.data, t->inputs.len, id))
        return fail(v, id, "the input is not listed");
    if (n->op == WG__OP_PARAM && (t->parent || !listed(t->params.data, t->params.len, id)))
        return fail(v, id, "the param is not listed, or stands on a sub-tape");
    if (n->op == WG__OP_CONST &&
        (n->u.bits >= t->consts.len ||
         !wg__type_equal(&t->consts.data[n->u.bits]->type, wg__type_at(t, id))))
        return fail(v, id, "the constant is missing or has another type");
    if (n->op == WG__OP_LITERAL && wg__type_at(t, id)->shape.rank)
        return fail(v, id, "a literal has rank 0");
    return true;
}

/* Types and attributes are what inference gives. Inference interns on the tape, which changes
 * nothing that can be seen. */
static bool types_ok(verifier *v, uint32_t id)
{
    wg_tape *t = (wg_tape *)v->t;
    const wg__node *n = wg__node_at(t, id);
    const wg__op *op = wg__op_of(t, id);
    const uint32_t *ids = wg__operands(t, n);
    const wg_type **in = wg__calloc(t->ctx, n->nin + 1u, sizeof *in);
    wg__inferred got;
    if (!in)
        return fail(v, id, "out of memory");
    for (uint16_t k = 0; k < n->nin; k++)
        in[k] = wg__type_at(t, ids[k]);
    bool good = true;
    if (wg__infer(t, op, ids, in, n->nin, n->attrs, &got)) {
        good = fail(v, id, "inference fails: %s", wg_tape_error(t));
        wg_tape_clear_error(t);
    } else {
        if (got.nout != n->nout || got.attrs != n->attrs)
            good =
                fail(v, id, "%s: outputs or attributes differ from what inference gives", op->name);
        for (uint32_t k = 0; good && k < n->nout; k++)
            if (!wg__type_equal(&got.types[k], wg__type_at(t, id + k)))
                good = fail(v, id + k, "%s: the type differs from what inference gives", op->name);
        wg__inferred_free(t, &got);
    }
    wg__free(t->ctx, in);
    return good;
}

static bool effects_ok(verifier *v)
{
    const wg_tape *t = v->t;
    if (t->parent && t->effects.len)
        return fail(v, 0, "a sub-tape has effects");
    for (size_t i = 0; i < t->effects.len; i++) {
        const wg__effect *e = &t->effects.data[i];
        if (e->param >= t->nodes.len || e->value >= t->nodes.len || e->node >= t->nodes.len ||
            wg__node_at(t, e->param)->op != WG__OP_PARAM ||
            wg__node_at(t, e->node)->op != WG__OP_ASSIGN)
            return fail(v, e->node, "effect %zu does not assign a param", i);
    }
    return true;
}

wg_status wg__verify(const wg_tape *t, char *message, size_t size)
{
    verifier v = {t, message, size};
    bool good = true;
    for (uint32_t id = 0; good && id < t->nodes.len; id += good ? wg__node_at(t, id)->nout : 1) {
        good = ids_ok(&v, id);
        if (good && (wg__op_of(t, id)->def.flags & WG_OP_SOURCE))
            good = source_ok(&v, id);
        else if (good)
            good = types_ok(&v, id);
    }
    good = good && effects_ok(&v);
    for (size_t i = 0; good && i < t->fns.len; i++) {
        const wg__fn *fn = t->fns.data[i].fn;
        if (!fn->body->closed)
            good = fail(&v, 0, "sub-tape %zu is not closed", i);
        for (uint32_t k = 0; good && k < fn->nouts; k++)
            if (fn->outs[k] >= fn->body->nodes.len)
                good = fail(&v, 0, "sub-tape %zu: output %u lies outside", i, k);
        if (good && wg__verify(fn->body, message, size))
            good = false;
    }
    return good ? WG_OK : WG_INTERNAL;
}
