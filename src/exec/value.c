/* wg_value: the nodes that a value needs and that have none yet are copied to a tape of their own,
 * compiled with all of them as outputs, run once, and remembered. Sources and remembered values
 * are that program's inputs, bound by pointer. */
#include <math.h>
#include <string.h>

#include "exec/exec.h"

/* ---- what is remembered -------------------------------------------------------------------------- */

static bool memo_reserve(wg_tape *t)
{
    size_t more = t->nodes.len > t->memo.len ? t->nodes.len - t->memo.len : 0;
    if (!wg__vec_reserve(t->ctx, &t->memo, more)) {
        wg__tape_no_memory(t);
        return false;
    }
    if (more)
        memset(t->memo.data + t->memo.len, 0, more * sizeof *t->memo.data);
    t->memo.len += more;
    return true;
}

/* Values of inputs and params are set, not computed: they stay. */
static void memo_forget(wg_tape *t)
{
    for (size_t i = 0; i < t->memo.len; i++) {
        uint16_t op = wg__node_at(t, (uint32_t)i)->op;
        if (op == WG__OP_INPUT || op == WG__OP_PARAM)
            continue;
        wg_tensor_free(t->memo.data[i]);
        t->memo.data[i] = NULL;
    }
}

/* On sub-tapes, too, which may have captured what changes. */
static wg_status memo_forget_all(wg_tape *t)
{
    wg__pool bodies;
    wg__pool_init(&bodies, t->ctx);
    bool good = wg__bodies_find(&bodies, t);
    for (size_t i = 0; good && i < bodies.entries.len; i++)
        memo_forget(wg__bodies_at(&bodies, i));
    wg__pool_free(&bodies);
    return good ? WG_OK : wg__tape_no_memory(t);
}

/* ---- sources ------------------------------------------------------------------------------------------ */

static const wg_tensor *unbound(wg_tape *t, uint32_t id)
{
    wg__str name = wg__str_make(t->ctx);
    wg__full_name(t, id, &name);
    wg__str_add(&name, "\", ");
    wg__add_type(&name, t->ctx, wg__type_at(t, id));
    wg__tape_fail(t, WG_UNBOUND, "value: input \"%s, has no value: give it one with wg_set",
                  wg__str_text(&name));
    wg__str_free(&name);
    return NULL;
}

/* A formal input has no value but wg_set's; a captured one has that of the enclosing tape. */
static const wg_tensor *input_value(wg_tape *t, uint32_t id)
{
    for (size_t i = 0; i < t->captures.len; i++)
        if (t->captures.data[i].inner == id)
            return wg_value(wg__var(t->parent, t->captures.data[i].outer));
    return unbound(t, id);
}

static const wg_tensor *param_value(wg_tape *t, uint32_t id)
{
    const wg_type *type = wg__type_at(t, id);
    wg_init init = wg__init_of(t, id);
    wg_tensor *tensor = wg_tensor_new(t->ctx, type->dtype, type->shape, NULL);
    wg__str name = wg__str_make(t->ctx), why = wg__str_make(t->ctx);
    wg__full_name(t, id, &name);
    if (!tensor || name.failed) {
        wg__tape_no_memory(t);
    } else if (wg__init_fill(&init, type, 0, wg__str_text(&name), tensor->data, &why)) {
        t->memo.data[id] = tensor;
        tensor = NULL;
    } else {
        wg__tape_fail(t, WG_INVALID, "param \"%s\": %s", wg__str_text(&name), wg__str_text(&why));
    }
    wg_tensor_free(tensor);
    wg__str_free(&name);
    wg__str_free(&why);
    return t->memo.data[id];
}

/* True for what is not computed but looked up. */
static bool is_given(const wg_tape *t, uint32_t id)
{
    uint16_t op = wg__node_at(t, id)->op;
    return t->memo.data[id] || op == WG__OP_INPUT || op == WG__OP_PARAM || op == WG__OP_CONST;
}

/* NULL after an error. */
static const wg_tensor *given_value(wg_tape *t, uint32_t id)
{
    const wg__node *n = wg__node_at(t, id);
    if (t->memo.data[id])
        return t->memo.data[id];
    if (n->op == WG__OP_CONST)
        return t->consts.data[n->u.bits];
    return n->op == WG__OP_PARAM ? param_value(t, id) : input_value(t, id);
}

/* ---- collecting ---------------------------------------------------------------------------------------- */

typedef struct given {
    uint32_t id;
    const wg_tensor *tensor;
} given;

/* One evaluation. */
typedef struct evaluation {
    wg_tape *t;
    wg_tape *dst;
    uint32_t *map;              /* t's ids to dst's; while collecting: 0 seen, WG__NONE not */
    WG__VEC(given) givens;      /* input k of dst stands for givens[k] */
    WG__VEC(uint32_t) stack;    /* heads to look at */
    WG__VEC(uint32_t) computed; /* ids to compute; of a node with several outputs the head last */
} evaluation;

static bool collect_node(evaluation *e, uint32_t head)
{
    const wg__node *n = wg__node_at(e->t, head);
    const uint32_t *in = wg__operands(e->t, n);
    for (uint32_t k = n->nout; k-- > 0;)
        if (!wg__vec_push(e->t->ctx, &e->computed, head + k))
            return false;
    if (wg__op_of(e->t, head)->def.flags & WG_OP_SOURCE)
        return true;
    for (uint16_t k = 0; k < n->nin; k++)
        if (!wg__vec_push(e->t->ctx, &e->stack, wg__head(e->t, in[k])))
            return false;
    return true;
}

static bool collect_given(evaluation *e, uint32_t head)
{
    const wg__node *n = wg__node_at(e->t, head);
    for (uint32_t id = head; id < head + n->nout; id++) {
        given g = {id, given_value(e->t, id)};
        if (!g.tensor)
            return false;
        if (!wg__vec_push(e->t->ctx, &e->givens, g)) {
            wg__tape_no_memory(e->t);
            return false;
        }
    }
    return true;
}

/* Divides what `id` needs into what is given and what is to be computed. */
static bool collect(evaluation *e, uint32_t id)
{
    if (!wg__vec_push(e->t->ctx, &e->stack, wg__head(e->t, id)))
        return false;
    while (e->stack.len) {
        uint32_t head = e->stack.data[--e->stack.len];
        if (e->map[head] != WG__NONE)
            continue;
        e->map[head] = 0;
        if (is_given(e->t, head) ? !collect_given(e, head) : !collect_node(e, head))
            return false;
    }
    return true;
}

/* ---- computing ------------------------------------------------------------------------------------------- */

/* The nodes to compute on a tape of their own, the given values its first nodes. */
static bool extract(evaluation *e)
{
    memset(e->map, 0xff, e->t->nodes.len * sizeof *e->map);
    for (size_t i = 0; i < e->givens.len; i++) {
        uint32_t id = e->givens.data[i].id;
        uint32_t input = wg__push_source(e->dst, WG__OP_INPUT, 0, 0, wg__type_at(e->t, id));
        if (input == WG__NONE || !wg__vec_push(e->dst->ctx, &e->dst->inputs, input))
            return false;
        e->map[id] = input;
    }
    wg__copy c = {.dst = e->dst,
                  .src = e->t,
                  .map = e->map,
                  .roots = e->computed.data,
                  .nroots = e->computed.len};
    return wg__copy_nodes(&c) == WG_OK;
}

static wg_program *compile(evaluation *e)
{
    wg_compile_options options = WG_COMPILE_DEFAULTS;
    wg__ids n = {e->computed.len, 0, e->givens.len, 0};
    wg__graph g = {.ctx = e->t->ctx, .report = e->t, .tape = e->dst, .nroots = n.nouts};
    g.nids = n.nouts + n.ninputs;
    g.ids = wg__calloc(g.ctx, g.nids, sizeof *g.ids);
    wg_program *p = NULL;
    if (g.ids) {
        for (size_t i = 0; i < n.nouts; i++)
            g.ids[i] = e->map[e->computed.data[i]];
        if (n.ninputs)
            memcpy(g.ids + n.nouts, e->dst->inputs.data, n.ninputs * sizeof *g.ids);
        p = wg__program_make(&g, &n, &options);
    }
    wg__graph_free(&g);
    return p;
}

static bool remember(evaluation *e, const wg_session *s)
{
    for (size_t i = 0; i < e->computed.len; i++) {
        wg_tensor **memo = &e->t->memo.data[e->computed.data[i]];
        wg_type type;
        const void *data = wg_output_at(s, i, &type, NULL);
        if (!*memo && !(*memo = wg_tensor_new(e->t->ctx, type.dtype, type.shape, data)))
            return false;
    }
    return true;
}

static bool run(evaluation *e, wg_program *p)
{
    wg_session *s = wg__session_make(p, NULL, false);
    bool done = false;
    if (s) {
        for (size_t i = 0; i < p->ninputs; i++) /* the low half of the bits is the id */
            wg__session_point(s, i, e->givens.data[(uint32_t)p->inputs.data[i].bits].tensor->data);
        if (wg_run(s))
            wg__tape_fail(e->t, s->error.status, "value: %s", wg_session_error(s));
        else
            done = remember(e, s);
    }
    wg_session_free(s);
    return done;
}

static bool evaluate(evaluation *e, uint32_t id)
{
    if (!e->map || !e->dst || !collect(e, id))
        return false;
    if (!extract(e)) {
        if (wg_tape_status(e->dst))
            wg__tape_fail(e->t, wg_tape_status(e->dst), "value: %s", wg_tape_error(e->dst));
        return false;
    }
    wg_program *p = compile(e);
    bool done = p && run(e, p);
    wg_program_free(p);
    return done;
}

static const wg_tensor *compute(wg_tape *t, uint32_t id)
{
    evaluation e = {.t = t, .dst = wg_tape_new(t->ctx), .map = wg__copy_map(t->ctx, t)};
    bool done = evaluate(&e, id);
    if (!done)
        wg__tape_no_memory(t); /* unless the reason is told already */
    wg__tape_destroy(e.dst);
    wg__free(t->ctx, e.map);
    wg__vec_free(t->ctx, &e.givens);
    wg__vec_free(t->ctx, &e.stack);
    wg__vec_free(t->ctx, &e.computed);
    return done ? t->memo.data[id] : NULL;
}

const wg_tensor *wg_value(wg_var var)
{
    wg_tape *t = wg_tape_of(var);
    if (!t)
        return NULL;
    uint32_t id = wg__find(t, var);
    if (id == WG__NONE) {
        wg__tape_fail(t, WG_STALE, "value: the var is stale: its tape was rewound past it");
        return NULL;
    }
    if (!memo_reserve(t))
        return NULL;
    return is_given(t, id) ? given_value(t, id) : compute(t, id);
}

double wg_value_scalar(wg_var var)
{
    if (wg__is_literal(var))
        return wg__literal_value(var);
    const wg_tensor *tensor = wg_value(var);
    return tensor && wg_shape_count(tensor->type.shape) == 1 ? wg_tensor_get(tensor, 0) : NAN;
}

/* ---- setting ----------------------------------------------------------------------------------------------- */

static wg_status check_set(wg_tape *t, uint32_t id, const void *data, size_t bytes)
{
    uint16_t op = wg__node_at(t, id)->op;
    const char *name = wg__text(t, wg__node_at(t, id)->name);
    size_t want = wg__type_bytes(wg__type_at(t, id));
    if (op != WG__OP_INPUT && op != WG__OP_PARAM)
        return wg__tape_fail(t, WG_INVALID,
                             "set: a value of op %s is computed, only inputs and "
                             "params can be set",
                             wg__op_of(t, id)->name);
    if (bytes != want)
        return wg__tape_fail(t, WG_SHAPE, "set \"%s\": %zu bytes given, its type has %zu", name,
                             bytes, want);
    if (!data && bytes)
        return wg__tape_fail(t, WG_INVALID, "set \"%s\": data is NULL", name);
    return WG_OK;
}

wg_status wg_set(wg_var var, const void *data, size_t bytes)
{
    wg_tape *t = wg_tape_of(var);
    if (!t)
        return WG_INVALID;
    uint32_t id = wg__find(t, var);
    if (id == WG__NONE)
        return wg__tape_fail(t, WG_STALE, "set: the var is stale: its tape was rewound past it");
    wg_status status = check_set(t, id, data, bytes);
    if (status)
        return status;
    const wg_type *type = wg__type_at(t, id);
    wg_tensor *tensor = wg_tensor_new(t->ctx, type->dtype, type->shape, data);
    if (!tensor || !memo_reserve(t) || memo_forget_all(t)) {
        wg_tensor_free(tensor);
        return wg__tape_no_memory(t);
    }
    wg_tensor_free(t->memo.data[id]);
    t->memo.data[id] = tensor;
    return WG_OK;
}
