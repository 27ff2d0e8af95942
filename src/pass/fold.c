/* fold: what depends on constants alone is computed now, with the naive kernels. Constants are
 * const tensors and literals, but not float literals that are slots (see wg__literal_is_slot), and
 * ops that have no operands, such as the number of elements of a shape.
 *
 * Only what is no larger than the largest constant it comes from is replaced (a broadcast zero stays
 * a broadcast), and nothing that is large. A kernel that fails leaves its node as it is: a run that
 * never gets there is none the worse. */
#include <string.h>

#include "pass/pass.h"
#include "tape/nest.h"

enum { LARGEST = 4096, MAX_OPERANDS = 8 };

typedef struct known {
    wg_tensor *tensor;
    int64_t leaf; /* elements of the largest constant below */
} known;

typedef struct folder {
    wg_ctx *ctx;
    wg__facts facts; /* of each value: its index in `values`, or WG__NONE */
    WG__VEC(known) values;
    bool failed; /* out of memory */
    size_t folded;
} folder;

/* ---- evaluating ------------------------------------------------------------------------------------ */

static wg_status run(wg_ctx *ctx, const wg_kernel *kernel, wg_kernel_call *c)
{
    if (kernel->loop) {
        wg__nest_run(kernel, c);
        return WG_OK;
    }
    size_t bytes = kernel->scratch ? kernel->scratch(c) : 0;
    c->scratch = wg__alloc_aligned(ctx, bytes + 1);
    wg_status status = c->scratch ? kernel->run(c) : WG_NO_MEMORY;
    wg__free_aligned(ctx, c->scratch);
    return status;
}

/* The value of a node of one output from those of its operands; NULL when its kernel fails (or memory
 * is out: the flag tells). */
static wg_tensor *evaluate(folder *f, const wg_tape *t, uint32_t id, wg_tensor *const *operands)
{
    const wg__node *n = wg__node_at(t, id);
    const wg_type *type = wg__type_at(t, id), *in[MAX_OPERANDS];
    wg_view views[MAX_OPERANDS + 1];
    wg_attrs attrs = wg__attrs_of(t, id);
    for (uint16_t k = 0; k < n->nin; k++) {
        in[k] = &operands[k]->type;
        views[k] = (wg_view){operands[k]->data, in[k]};
    }
    const wg_kernel *kernel = wg__op_kernel(attrs.op, in, n->nin, &type);
    wg_tensor *y = kernel ? wg_tensor_new(f->ctx, type->dtype, type->shape, NULL) : NULL;
    f->failed |= kernel && !y;
    if (!y)
        return NULL;
    views[n->nin] = (wg_view){y->data, type};
    wg_kernel_call c = {.nin = n->nin,
                        .nout = 1,
                        .in = views,
                        .out = views + n->nin,
                        .attrs = &attrs,
                        .data = attrs.op->def.data};
    if (run(f->ctx, kernel, &c) == WG_OK)
        return y;
    wg_tensor_free(y);
    return NULL;
}

/* ---- finding ----------------------------------------------------------------------------------------- */

static wg_tensor *literal(folder *f, const wg_tape *t, uint32_t id)
{
    const wg__node *n = wg__node_at(t, id);
    const wg_type *type = wg__type_at(t, id);
    wg_tensor *x = wg_tensor_new(f->ctx, type->dtype, type->shape, NULL);
    f->failed |= !x;
    if (!x)
        return NULL;
    if (type->dtype == WG_I64)
        memcpy(x->data, &n->u.i, sizeof n->u.i);
    else
        wg__store(type->dtype, x->data, 0,
                  wg_dtype_is_float(type->dtype) ? n->u.f : (double)n->u.i);
    return x;
}

static bool foldable(const wg_tape *t, uint32_t id)
{
    const wg__node *n = wg__node_at(t, id);
    const wg__op *op = wg__op_of(t, id);
    if (op->def.flags & (WG_OP_SOURCE | WG_OP_RANDOM) || !wg__is_pure(op) || n->nout != 1 ||
        n->nin > MAX_OPERANDS || op->def.nkernels == 0 || wg__runs_fns(op))
        return false;
    return wg_shape_count(wg__type_at(t, id)->shape) <= LARGEST;
}

/* A constant is known by a copy of its tensor. */
static known look_at_source(folder *f, const wg_tape *t, uint32_t id)
{
    const wg__node *n = wg__node_at(t, id);
    known k = {NULL, 1};
    if (n->op == WG__OP_LITERAL && !wg__literal_is_slot(t, id))
        k.tensor = literal(f, t, id);
    if (n->op != WG__OP_CONST)
        return k;
    const wg_tensor *x = t->consts.data[n->u.bits];
    k.leaf = wg_shape_count(x->type.shape);
    if (k.leaf <= LARGEST) {
        k.tensor = wg_tensor_new(f->ctx, x->type.dtype, x->type.shape, x->data);
        f->failed |= !k.tensor;
    }
    return k;
}

static known look_at_op(folder *f, const wg_tape *t, uint32_t id, const uint32_t *facts)
{
    const wg__node *n = wg__node_at(t, id);
    const uint32_t *in = wg__operands(t, n);
    wg_tensor *operands[MAX_OPERANDS];
    known k = {NULL, 1};
    for (uint16_t i = 0; i < n->nin; i++)
        if (facts[in[i]] == WG__NONE)
            return k;
    if (!foldable(t, id))
        return k;
    for (uint16_t i = 0; i < n->nin; i++) {
        const known *o = &f->values.data[facts[in[i]]];
        operands[i] = o->tensor;
        k.leaf = o->leaf > k.leaf ? o->leaf : k.leaf;
    }
    k.tensor = evaluate(f, t, id, operands);
    return k;
}

/* A view of one element costs nothing and tells more than a constant. */
static bool worth_it(const wg_tape *t, uint32_t id, const known *k)
{
    unsigned flags = wg__op_of(t, id)->def.flags;
    int64_t count = wg_shape_count(k->tensor->type.shape);
    return !(flags & WG_OP_SOURCE) && count <= k->leaf && !((flags & WG_OP_VIEW) && count == 1);
}

static void look(folder *f, const wg_tape *t, uint32_t *facts)
{
    for (uint32_t id = 0; id < t->nodes.len && !f->failed; id++) {
        bool source = wg__op_of(t, id)->def.flags & WG_OP_SOURCE;
        known k = source ? look_at_source(f, t, id) : look_at_op(f, t, id, facts);
        if (!k.tensor)
            continue;
        if (!wg__vec_push(f->ctx, &f->values, k)) {
            wg_tensor_free(k.tensor);
            f->failed = true;
            return;
        }
        facts[id] = (uint32_t)f->values.len - 1;
        f->folded += worth_it(t, id, &k);
    }
}

/* ---- the pass ------------------------------------------------------------------------------------------ */

/* A literal where passes may look at its value, else a constant: a new float literal would be taken
 * for a slot. */
static wg_var record(wg_tape *t, const wg_tensor *x)
{
    if (x->type.shape.rank == 0) {
        double f = wg__load(x->type.dtype, x->data, 0);
        if (x->type.dtype == WG_I64)
            return wg__materialise(t, wg_i(*(const int64_t *)x->data), WG_I64);
        if (!wg_dtype_is_float(x->type.dtype) || !wg__is_slot_value(f))
            return wg__materialise(t, x->type.dtype == WG_BOOL ? wg_b(f != 0) : wg_f(f),
                                   x->type.dtype);
    }
    return wg_const(t, x->type.dtype, x->type.shape, x->data);
}

static bool replace(wg__copy *c, uint32_t id)
{
    folder *f = c->user;
    uint32_t at = wg__facts_of(&f->facts, c->src)[id];
    if (at == WG__NONE || !worth_it(c->src, id, &f->values.data[at]) || wg_tape_status(c->dst))
        return false;
    wg_var v = record(c->dst, f->values.data[at].tensor);
    if (!wg_ok(v))
        return false;
    c->map[id] = (uint32_t)v.bits;
    return true;
}

wg_status wg__pass_fold(wg__graph *g)
{
    folder f = {.ctx = g->ctx};
    f.failed = !wg__facts_make(&f.facts, g);
    for (size_t i = 0; i < f.facts.of.len && !f.failed; i++)
        look(&f, wg__bodies_at(&f.facts.tapes, i), f.facts.of.data[i]);
    wg_status status = f.failed ? wg__tape_no_memory(g->report) : WG_OK;
    if (!status && f.folded) {
        status = wg__graph_rewrite(g, replace, &f, false);
        wg__graph_note(g, "fold", "computed %zu value%s", f.folded, f.folded == 1 ? "" : "s");
    }
    for (size_t i = 0; i < f.values.len; i++)
        wg_tensor_free(f.values.data[i].tensor);
    wg__vec_free(g->ctx, &f.values);
    wg__facts_free(&f.facts);
    return status;
}
