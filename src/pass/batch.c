/* Rules that record a node of a loop's body for all steps at once. See batch.h and wg_batch in
 * wengert/op.h. A product of each step's rows with the same matrix becomes one product of all rows. */
#include <wengert/ops.h>

#include "pass/batch.h"

enum { FEW = 8 };

/* A rule at work. */
typedef struct batching {
    wg_batch q;
    const wg__batching *of;
    const wg__op *op;
    wg_attrs attrs;
    const wg_type *type; /* of the output in a step */
} batching;

wg_shape wg__stacked_shape(wg_shape steps, wg_shape step)
{
    wg_shape all = wg_shape_make(NULL, 0);
    if (step.rank >= WG_MAX_RANK) {
        all.rank = -1;
        return all;
    }
    wg_shape_push(&all, &steps, 0);
    for (int i = 0; i < step.rank; i++)
        wg_shape_push(&all, &step, i);
    return all;
}

static wg_shape stacked(const batching *b, wg_shape step)
{
    return wg__stacked_shape(b->of->steps, step);
}

static int rank_of(wg_var v) { return wg_typeof(v).shape.rank; }

/* Rank of operand k in a step. */
static int step_rank(const batching *b, size_t k) { return rank_of(b->q.in[k]) - b->q.batched[k]; }

/* The node's op with its own attributes. */
static wg_var again(const batching *b, const wg_var *ins)
{
    wg_attr attrs[WG__MAX_ATTRS];
    wg_var out;
    size_t n = b->attrs.slots ? wg__attrs_export(&b->attrs, attrs) : 0;
    wg__record(b->q.tape, b->op->index, ins, b->q.nin, attrs, n, &out, 1);
    return out;
}

/* Operand k with axes of size 1 after that of the steps, so that a step has rank `rank`. */
static wg_var aligned(const batching *b, size_t k, int rank)
{
    const wg_shape x = wg_typeof(b->q.in[k]).shape;
    if (!b->q.batched[k] || step_rank(b, k) == rank)
        return b->q.in[k];
    wg_shape to = wg_shape_make(NULL, 0);
    wg_shape_push(&to, &x, 0);
    for (int i = step_rank(b, k); i < rank; i++)
        wg_shape_push_size(&to, 1);
    for (int i = 1; i < x.rank; i++)
        wg_shape_push(&to, &x, i);
    return wg_reshape(b->q.in[k], to);
}

/* Operands broadcast in a step, from the right: so they do with the axis of the steps in front. */
static wg_var broadcasting(const batching *b)
{
    wg_var in[FEW];
    int rank = 0;
    for (size_t k = 0; k < b->q.nin && k < FEW; k++)
        rank = step_rank(b, k) > rank ? step_rank(b, k) : rank;
    if (rank == WG_MAX_RANK || b->q.nin > FEW)
        return wg_none();
    for (size_t k = 0; k < b->q.nin; k++)
        in[k] = aligned(b, k, rank);
    return again(b, in);
}

static wg_var reduction(const batching *b)
{
    wg_axes axes = wg_attrs_axes(&b->attrs, "axes");
    wg_var out;
    for (int32_t i = 0; i < axes.count; i++)
        axes.axis[i]++;
    const wg_attr attrs[] = {wg_attr_axes("axes", axes),
                             wg_attr_bool("keepdims", wg_attrs_bool(&b->attrs, "keepdims"))};
    wg__record(b->q.tape, b->op->index, b->q.in, 1, attrs, 2, &out, 1);
    return out;
}

static wg_var repeated(const batching *b, size_t k)
{
    return b->q.batched[k] ? b->q.in[k]
                           : wg_broadcast(b->q.in[k], stacked(b, wg_typeof(b->q.in[k]).shape));
}

static wg_var pick(const batching *b)
{
    const wg_var in[] = {repeated(b, 0), repeated(b, 1)};
    return again(b, in);
}

/* ---- gathers ------------------------------------------------------------------------------------- */

static wg_var gather_at(const batching *b, int axis)
{
    const wg_attr attr = wg_attr_axis("axis", axis);
    wg_var out;
    wg__record(b->q.tape, b->op->index, b->q.in, 2, &attr, 1, &out, 1);
    return out;
}

/* Indices of all steps into the same array: one gather, whose axis of steps comes out where the indices'
 * axes are. */
static wg_var gather(const batching *b)
{
    const int axis = (int)wg_attrs_int(&b->attrs, "axis");
    if (!b->q.batched[1])
        return gather_at(b, axis + 1);
    if (b->q.batched[0])
        return wg_none();
    wg_var y = gather_at(b, axis);
    int64_t perm[WG_MAX_RANK];
    const int rank = rank_of(y);
    for (int i = 0; i < rank; i++)
        perm[i] = i == 0 ? axis : i <= axis ? i - 1 : i;
    return axis > 0 && rank > 0 ? wg_transpose_with(y, perm, (size_t)rank) : y;
}

/* ---- products -------------------------------------------------------------------------------------- */

static wg_var product(const batching *b, wg_var x, wg_var y, bool transpose_x, bool transpose_y)
{
    const wg_var in[] = {x, y};
    const wg_attr attrs[] = {wg_attr_bool("transpose_a", transpose_x),
                             wg_attr_bool("transpose_b", transpose_y)};
    wg_var out;
    wg__record(b->q.tape, b->op->index, in, 2, attrs, 2, &out, 1);
    return out;
}

/* All elements of x as a matrix of rows of `width`. */
static wg_var rows_of(wg_var x, int64_t width)
{
    const wg_shape s = wg_typeof(x).shape;
    const int64_t dims[] = {width ? wg_shape_count(s) / width : 0, width};
    return wg_reshape(x, wg_shape_make(dims, 2));
}

static int64_t last_size(wg_var x, int from_end)
{
    const wg_shape s = wg_typeof(x).shape;
    return s.dim[s.rank - from_end];
}

/* Whether every step's matrix has its inner axis last: as it is, or because the other one has size 1. */
static bool inner_is_last(wg_var x, bool inner_last) { return inner_last || last_size(x, 1) == 1; }

static wg_var contract(const batching *b)
{
    const bool ta = wg_attrs_bool(&b->attrs, "transpose_a");
    const bool tb = wg_attrs_bool(&b->attrs, "transpose_b");
    wg_var x = b->q.in[0], y = b->q.in[1], all = wg_none();
    if (b->q.batched[0] && !b->q.batched[1] && rank_of(y) == 2 && inner_is_last(x, !ta))
        all = product(b, rows_of(x, last_size(x, ta ? 2 : 1)), y, false, tb);
    else if (!b->q.batched[0] && b->q.batched[1] && rank_of(x) == 2 &&
             last_size(y, tb ? 2 : 1) == 1) /* (A b)' = b' A' */
        all = product(b, rows_of(y, last_size(y, tb ? 1 : 2)), x, false, !ta);
    return wg_is_none(all) ? broadcasting(b) : wg_reshape(all, stacked(b, b->type->shape));
}

/* [steps, inner, outer] of an operand as one matrix [steps inner, outer]. */
static wg_var inner_rows(wg_var x, bool inner_first)
{
    static const int64_t swap[] = {0, 2, 1};
    const int64_t outer = last_size(x, inner_first ? 1 : 2);
    return rows_of(inner_first || last_size(x, 1) == 1 ? x : wg_transpose_with(x, swap, 3), outer);
}

/* The sum over t of A_t B_t is one product over the inner axes of all steps. */
static wg_var contract_sum(const batching *b)
{
    const bool ta = wg_attrs_bool(&b->attrs, "transpose_a");
    const bool tb = wg_attrs_bool(&b->attrs, "transpose_b");
    if (!b->q.batched[0] || !b->q.batched[1] || step_rank(b, 0) != 2 || step_rank(b, 1) != 2)
        return wg_none();
    const wg_var y = inner_rows(b->q.in[1], !tb), x = inner_rows(b->q.in[0], ta);
    return product(b, x, y, true, false);
}

/* ---- all of them ------------------------------------------------------------------------------------ */

static batching begin(const wg__batching *of, wg_var *result)
{
    const wg__op *op = wg__op_of(of->src, of->id);
    *result = wg_none();
    batching b = {.of = of,
                  .op = op,
                  .attrs = wg__attrs_of(of->src, of->id),
                  .type = wg__type_at(of->src, of->id)};
    b.q = (wg_batch){.tape = of->dst,
                     .nin = wg__node_at(of->src, of->id)->nin,
                     .nout = 1,
                     .in = of->in,
                     .batched = of->batched,
                     .result = result,
                     .data = op->def.data};
    return b;
}

/* An answer of another type than promised is none. */
static wg_var checked(wg_var v, wg_dtype dtype, wg_shape shape)
{
    const wg_type got = wg_typeof(v), want = {dtype, shape};
    return wg_is_none(v) || !wg_ok(v) || wg__type_equal(&got, &want) ? v : wg_none();
}

wg_var wg__batch(const wg__batching *of)
{
    wg_var v;
    batching b = begin(of, &v);
    const uint32_t flags = b.op->def.flags;
    b.q.attrs = &b.attrs;
    if (b.op->def.batch)
        b.op->def.batch(&b.q);
    else if (flags & WG_OP_ELEMENTWISE)
        v = broadcasting(&b);
    else if (b.op->def.monoid != WG_MONOID_NONE)
        v = reduction(&b);
    else if (flags & WG_OP_CONTRACT)
        v = contract(&b);
    else if (flags & WG_OP_GATHER)
        v = gather(&b);
    else if (flags & WG_OP_PICK)
        v = pick(&b);
    return checked(v, b.type->dtype, stacked(&b, b.type->shape));
}

wg_var wg__batch_sum(const wg__batching *of)
{
    wg_var v;
    batching b = begin(of, &v);
    b.q.attrs = &b.attrs;
    if (b.op->def.batch_sum)
        b.op->def.batch_sum(&b.q);
    else if (b.op->def.flags & WG_OP_CONTRACT)
        v = contract_sum(&b);
    return checked(v, b.type->dtype, b.type->shape);
}

/* ---- trying ------------------------------------------------------------------------------------------ */

/* Inputs of the operands' types; false: there is no room for the axis of the steps, or no memory. */
static bool stand_ins(wg_tape *scratch, const wg_tape *src, const uint32_t *operands, size_t n,
                      const bool *batched, wg_shape steps, wg_var *in)
{
    for (size_t k = 0; k < n; k++) {
        wg_type type = *wg__type_at(src, operands[k]);
        if (batched[k])
            type.shape = wg__stacked_shape(steps, type.shape);
        if (type.shape.rank < 0)
            return false;
        uint32_t id = wg__push_source(scratch, WG__OP_INPUT, 0, 0, &type);
        if (id == WG__NONE)
            return false;
        in[k] = wg__var(scratch, id);
    }
    return true;
}

bool wg__batches(wg_tape *scratch, const wg_tape *src, uint32_t id, const bool *batched,
                 wg_shape steps, bool sum, bool *good)
{
    const wg__node *n = wg__node_at(src, id);
    wg_var few[FEW], *in = few, answer = wg_none();
    if (n->nout != 1 || n->nin == 0)
        return false;
    if (n->nin > FEW && !(in = wg__calloc(src->ctx, n->nin, sizeof *in))) {
        *good = false;
        return false;
    }
    const wg__batching b = {scratch, src, id, in, batched, steps};
    if (stand_ins(scratch, src, wg__operands(src, n), n->nin, batched, steps, in))
        answer = sum ? wg__batch_sum(&b) : wg__batch(&b);
    if (in != few)
        wg__free(src->ctx, in);
    const bool answered = !wg_is_none(answer) && wg_ok(answer) && !wg_tape_status(scratch);
    *good = *good && wg_tape_status(scratch) != WG_NO_MEMORY;
    wg_tape_clear_error(scratch);
    return answered;
}
