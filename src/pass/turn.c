/* turn: the matrix of a product that each step of a loop needs for the next one is stored the way the
 * product is fast. The backward loop of a recurrent net multiplies by the transposed weights at every
 * step, and oneDNN then packs the matrix at every step: with 4 to 256 rows on the left that takes 1.1 to
 * 2.5 times the time of a product by a matrix as it stands, and the difference, which is the packing,
 * hardly depends on the rows. So the loop gets one more invariant, the transposed matrix, which is made
 * once per run of the loop.
 *
 * f32 alone: OpenBLAS, which does products of f64, is faster by a transposed matrix from about 128 x 128
 * on, and slower by little below. What does not go round through carries is left to split, which makes
 * one product of all steps of it.
 *
 * A loop in the body of another: the next round takes the transposed invariant out of that one too. */
#include <string.h>

#include <wengert/ops.h>
#include "pass/scans.h"

/* From how many on it pays; measured with oneDNN on products by matrices of 32 x 32 to 2048 x 512. The
 * transposed copy costs as much as it saves in 1 to 5 products of 16 rows or more, or in 8 to 15 of
 * fewer. */
enum {
    FEW_ROWS = 4,    /* below this there is no packing */
    ROWS = 16,       /* below this only large matrices are packed, and faster */
    MOST_ROWS = 256, /* above this packing does not count */
    LARGE = 1 << 14, /* elements of a large matrix */
    VOLUME = 20000,  /* m n k from which products are oneDNN's (vm/blas.c) */
    STEPS = 8,       /* of the loop, with ROWS or more */
    MORE_STEPS = 32, /* with fewer rows */
    MAX_ROUNDS = 8   /* loops within loops within ... */
};

/* What is known of a value of the body. */
enum { CARRIED = 1, CONE = 2 }; /* depends on a carry; a next carry needs it */

typedef struct plan {
    wg__scan s;
    const wg_tape *body;
    uint8_t *role;    /* by value of the body */
    uint32_t *wants;  /* by value of the body: the number of an invariant, plus 1, if the node reads
                         that one turned (a product), or is it (a transpose) */
    uint32_t *formal; /* by invariant: the turned one in the new body */
    bool *turned;     /* by invariant */
    size_t count;     /* invariants that are turned */
} plan;

typedef struct turning {
    wg_ctx *ctx;
    const plan *now; /* the loop whose body is being made */
    wg__remade made;
    size_t matrices;
} turning;

/* ---- what is worth it ----------------------------------------------------------------------------- */

static void find_roles(plan *p)
{
    const wg_tape *b = p->body;
    const size_t n = b->nodes.len;
    for (size_t k = 0; k < p->s.ncarry; k++) {
        p->role[b->inputs.data[k]] |= CARRIED;
        p->role[p->s.fn->outs[k]] |= CONE;
    }
    for (size_t i = 0; i < 2 * n; i++) { /* there, and back */
        const uint32_t id = (uint32_t)(i < n ? i : 2 * n - 1 - i);
        const wg__node *node = wg__node_at(b, wg__head(b, id));
        const uint32_t *in = wg__operands(b, node);
        if (wg__op_of(b, id)->def.flags & WG_OP_SOURCE)
            continue;
        for (uint16_t k = 0; k < node->nin; k++)
            if (i < n)
                p->role[id] |= p->role[in[k]] & CARRIED;
            else
                p->role[in[k]] |= p->role[id] & CONE;
    }
}

/* The invariant that value `id` of the body is, plus 1; 0: none, or no matrix. */
static uint32_t matrix_of(const plan *p, uint32_t id)
{
    const wg_type *type = wg__type_at(p->body, id);
    for (size_t k = 0; k < p->s.nws; k++)
        if (wg__scan_formal(&p->s, p->s.w0 + k) == id)
            return type->dtype == WG_F32 && type->shape.rank == 2 ? (uint32_t)k + 1 : 0;
    return 0;
}

static bool pays(const plan *p, const wg_shape *a, const wg_shape *b)
{
    const int64_t rows = a->dim[a->rank - 2], steps = p->s.length.dim[0];
    const int64_t inner = b->dim[1], elements = b->dim[0] * inner;
    if (rows < FEW_ROWS || steps < STEPS || inner < 1 || wg_shape_count(*a) > MOST_ROWS * inner)
        return false;
    if (rows < ROWS)
        return elements >= LARGE && steps >= MORE_STEPS;
    return (double)rows * (double)elements >= VOLUME;
}

/* A product that goes round through carries, by a transposed invariant. */
static uint32_t product_wants(const plan *p, uint32_t id)
{
    if (!(wg__op_of(p->body, id)->def.flags & WG_OP_CONTRACT) || p->role[id] != (CARRIED | CONE))
        return 0;
    const uint32_t *in = wg__operands(p->body, wg__node_at(p->body, id));
    const uint32_t matrix = matrix_of(p, in[1]);
    const wg_attrs a = wg__attrs_of(p->body, id);
    if (!matrix || wg_attrs_bool(&a, "transpose_a") || !wg_attrs_bool(&a, "transpose_b"))
        return 0;
    return pays(p, &wg__type_at(p->body, in[0])->shape, &wg__type_at(p->body, in[1])->shape)
               ? matrix
               : 0;
}

/* The invariant whose transpose value `id` is, plus 1. */
static uint32_t transpose_of(const plan *p, uint32_t id)
{
    if (strcmp(wg__op_of(p->body, id)->name, "transpose") != 0)
        return 0;
    const uint32_t from = wg__operands(p->body, wg__node_at(p->body, id))[0];
    const wg_shape *x = &wg__type_at(p->body, from)->shape, *y = &wg__type_at(p->body, id)->shape;
    /* A permutation of two axes that leaves them where they are is dropped by algebra; if sizes are
     * equal, its numbers tell. */
    const wg_attrs a = wg__attrs_of(p->body, id);
    size_t n = 0;
    const int64_t *perm = wg_attrs_ints(&a, "perm", &n);
    const bool swaps = n == 0 || (n == 2 && perm[0] != 0 && perm[0] != -2);
    return x->rank == 2 && y->rank == 2 && swaps ? matrix_of(p, from) : 0;
}

/* Transposes that a loop within reads at every step. */
static void find_inner(plan *p, uint32_t id)
{
    wg__scan inner;
    if (p->s.length.dim[0] < 2 || !wg__scan_of(p->body, id, &inner))
        return;
    for (size_t k = inner.w0; k < inner.count; k++) {
        const uint32_t matrix = transpose_of(p, inner.in[k]);
        if (matrix)
            p->wants[inner.in[k]] = matrix;
    }
}

static bool plan_make(plan *p, wg_ctx *ctx, const wg__scan *s)
{
    *p = (plan){.s = *s, .body = s->fn->body};
    const size_t n = p->body->nodes.len + 1;
    p->role = wg__calloc(ctx, n, sizeof *p->role);
    p->wants = wg__calloc(ctx, n, sizeof *p->wants);
    p->formal = wg__calloc(ctx, s->nws + 1, sizeof *p->formal);
    p->turned = wg__calloc(ctx, s->nws + 1, sizeof *p->turned);
    if (!p->role || !p->wants || !p->formal || !p->turned)
        return false;
    find_roles(p);
    for (uint32_t id = 0; id + 1 < n; id++)
        if (!wg__node_at(p->body, id)->out) {
            p->wants[id] = product_wants(p, id);
            find_inner(p, id);
        }
    for (uint32_t id = 0; id + 1 < n; id++)
        if (p->wants[id] && !p->turned[p->wants[id] - 1]) {
            p->turned[p->wants[id] - 1] = true;
            p->count++;
        }
    return true;
}

static void plan_free(plan *p, wg_ctx *ctx)
{
    wg__free(ctx, p->role);
    wg__free(ctx, p->wants);
    wg__free(ctx, p->formal);
    wg__free(ctx, p->turned);
}

/* ---- the loop anew ------------------------------------------------------------------------------------ */

/* The transposed matrix in front of the loop, and as an operand of it. */
static bool add_turned(wg__rescan *l, wg__copy *c, const plan *p, size_t k, size_t *place)
{
    const size_t operand = p->s.w0 + k;
    const wg_type *type = wg__type_at(p->body, wg__scan_formal(&p->s, operand));
    wg_type step = {type->dtype, {0}};
    for (int axis = 1; axis >= 0; axis--)
        wg_shape_push(&step.shape, &type->shape, axis);
    wg_var matrix = wg_transpose(wg__var(c->dst, c->map[p->s.in[operand]]));
    if (!wg_ok(matrix))
        return false;
    *place = wg__rescan_add(l, WG__W, (uint32_t)matrix.bits, step, NULL);
    return true;
}

static bool add_operands(wg__rescan *l, wg__copy *c, plan *p)
{
    const wg__scan *s = &p->s;
    bool good = true;
    for (size_t i = 0; i < s->count; i++)
        wg__rescan_keep(l, i < s->x0 ? WG__CARRY : i < s->w0 ? WG__X : WG__W, i, c->map[s->in[i]]);
    for (size_t k = 0; k < s->nws && good; k++) {
        size_t place = 0;
        if (p->turned[k])
            good = add_turned(l, c, p, k, &place);
        p->formal[k] = (uint32_t)place; /* until the body is open */
    }
    return good;
}

static void fill_body(turning *t, wg__rescan *l, plan *p)
{
    const wg__scan *s = &p->s;
    const plan *around = t->now;
    wg__rescan_open(l);
    for (size_t k = 0; k < s->nws && !l->failed; k++)
        if (p->turned[k])
            p->formal[k] = l->in[WG__W].data[p->formal[k]].formal;
    t->now = p;
    wg__rescan_copy(l, s->fn->outs, s->fn->nouts);
    t->now = around;
    for (size_t k = 0; k < s->hist0; k++)
        wg__rescan_out(l,
                       k < s->y0     ? WG__FINAL
                       : k < s->sum0 ? WG__Y
                                     : WG__SUM,
                       wg__rescan_get(l, s->fn->outs[k]));
}

static bool remake(turning *t, wg__copy *c, plan *p)
{
    const wg__scan *s = &p->s;
    const int64_t steps = s->length.dim[0];
    wg__rescan l;
    wg__remade_put(&t->made, (uint64_t)(uintptr_t)s->fn);
    wg__remade_put(&t->made, (uint64_t)s->ncarry << 32 | s->nxs);
    wg__remade_put(&t->made, s->nsums);
    wg__remade_put(&t->made, (uint64_t)(steps < MORE_STEPS ? steps : MORE_STEPS));
    for (size_t k = 0; k < s->nws; k++)
        wg__remade_put(&t->made, p->turned[k]);
    const uint32_t key = wg__remade_key(&t->made);
    uint32_t to = WG__NONE;
    wg__rescan_begin(&l, c, s);
    if (key && add_operands(&l, c, p)) {
        wg__fn *known = wg__remade_get(&t->made, key);
        if (!known)
            fill_body(t, &l, p);
        to = wg__rescan_end(&l, known);
    }
    for (size_t k = 0; k < s->hist0 + s->ncarry && to != WG__NONE; k++)
        c->map[s->id + k] = to + (uint32_t)k;
    if (to != WG__NONE)
        wg__remade_set(&t->made, key, &l);
    wg__rescan_free(&l);
    return to != WG__NONE;
}

/* A node of the body being made: with the turned matrix. */
static bool rewrite_inside(const plan *p, wg__copy *c, uint32_t id)
{
    const uint32_t formal = p->formal[p->wants[id] - 1];
    const wg__op *op = wg__op_of(c->src, id);
    if (!(op->def.flags & WG_OP_CONTRACT)) {
        c->map[id] = formal;
        return true;
    }
    const uint32_t *in = wg__operands(c->src, wg__node_at(c->src, id));
    const wg_var ins[2] = {wg__var(c->dst, c->map[in[0]]), wg__var(c->dst, formal)};
    wg_var y;
    if (wg__record(c->dst, op->index, ins, 2, NULL, 0, &y, 1))
        return false;
    c->map[id] = (uint32_t)y.bits;
    return true;
}

static bool rewrite(wg__copy *c, uint32_t id)
{
    turning *t = c->user;
    wg__scan s;
    plan p;
    if (wg_tape_status(c->dst))
        return false;
    if (t->now && t->now->body == c->src && t->now->wants[id])
        return rewrite_inside(t->now, c, id);
    if (!wg__scan_of(c->src, id, &s))
        return false;
    bool good = plan_make(&p, t->ctx, &s), done = false;
    if (good && p.count) {
        done = good = remake(t, c, &p);
        t->matrices += p.count;
    }
    plan_free(&p, t->ctx);
    if (!good)
        wg__tape_no_memory(c->dst);
    return done;
}

/* ---- the pass ------------------------------------------------------------------------------------------- */

/* Whether a loop on any tape has something to turn; *good false: out of memory. */
static bool any_turns(const wg__graph *g, bool *good)
{
    wg__pool bodies;
    bool any = false;
    wg__pool_init(&bodies, g->ctx);
    *good = wg__bodies_find(&bodies, g->tape);
    for (size_t i = 0; *good && !any && i < bodies.entries.len; i++) {
        const wg_tape *t = wg__bodies_at(&bodies, i);
        for (uint32_t id = 0; id < t->nodes.len && *good && !any; id++) {
            wg__scan s;
            plan p;
            if (!wg__scan_of(t, id, &s))
                continue;
            *good = plan_make(&p, g->ctx, &s);
            any = *good && p.count;
            plan_free(&p, g->ctx);
        }
    }
    wg__pool_free(&bodies);
    return any;
}

wg_status wg__pass_turn(wg__graph *g)
{
    wg_status status = WG_OK;
    bool any = g->tape->fns.len > 0;
    for (int round = 0; round < MAX_ROUNDS && any && !status; round++) {
        turning t = {.ctx = g->ctx};
        bool good;
        any = any_turns(g, &good);
        status = good ? WG_OK : wg__tape_no_memory(g->report);
        wg__remade_init(&t.made, g->ctx);
        if (any && !status)
            status = wg__graph_rewrite(g, rewrite, &t, false);
        if (any && !status)
            wg__graph_note(g, "turn", "%zu matri%s transposed in front of loops", t.matrices,
                           t.matrices == 1 ? "x is" : "ces are");
        wg__remade_free(&t.made);
    }
    return status;
}
