/* Calls and branches (call, checkpoint, cond, switch) without what does not count: outputs that nobody
 * reads, and operands that no branch, or not the one they are for, uses then. See trim.c. */
#include "pass/trim.h"

/* The node's operands: what chooses the branch (`first` of them), `shared` ones of all branches, then those
 * of each branch in turn. */
typedef struct branches {
    const wg_tape *t;
    uint32_t id;
    size_t first, shared, n;
    bool *kept; /* by operand */
    bool changes;
} branches;

static bool is_branch(uint16_t op)
{
    return op == WG__OP_CALL || op == WG__OP_CHECKPOINT || op == WG__OP_COND || op == WG__OP_SWITCH;
}

static size_t formals(const branches *b, size_t k)
{
    return wg__node_fn_at(b->t, b->id, k)->body->inputs.len;
}

/* The operand that formal `i` of a branch is; own: the first one of its own. */
static size_t operand_of(const branches *b, size_t own, size_t i)
{
    return i < b->shared ? b->first + i : own + i - b->shared;
}

static void find_counts(branches *b)
{
    const wg__node *n = wg__node_at(b->t, b->id);
    wg_attrs a = wg__attrs_of(b->t, b->id);
    b->n = wg_attrs_nfns(&a);
    b->first = n->op == WG__OP_COND || n->op == WG__OP_SWITCH;
    b->shared = n->op == WG__OP_SWITCH ? (size_t)wg_attrs_int(&a, "shared")
                : n->op == WG__OP_COND ? formals(b, 0) + formals(b, 1) + 1 - n->nin
                                       : n->nin;
}

/* Which operands branch `k` needs for the outputs that are read. */
static bool find_kept(branches *b, wg_ctx *ctx, size_t k, size_t own, const bool *read)
{
    const wg__fn *fn = wg__node_fn_at(b->t, b->id, k);
    const wg_tape *body = fn->body;
    bool *used = wg__calloc(ctx, body->nodes.len + 1, sizeof *used);
    uint32_t *roots = wg__calloc(ctx, fn->nouts + 1u, sizeof *roots);
    size_t nroots = 0;
    bool good = used && roots;
    for (uint32_t o = 0; good && o < fn->nouts; o++)
        if (read[b->id + o])
            roots[nroots++] = fn->outs[o];
    if (good)
        wg__mark_read(body, roots, nroots, used);
    for (size_t i = 0; good && i < body->inputs.len; i++)
        b->kept[operand_of(b, own, i)] |= used[body->inputs.data[i]];
    wg__free(ctx, used);
    wg__free(ctx, roots);
    return good;
}

/* False: out of memory. b->kept is to be freed in any case. */
static bool branches_make(branches *b, wg_ctx *ctx, const wg_tape *t, uint32_t id, const bool *read)
{
    const wg__node *n = wg__node_at(t, id);
    *b = (branches){.t = t, .id = id};
    find_counts(b);
    b->kept = wg__calloc(ctx, n->nin + 1u, sizeof *b->kept);
    bool good = b->kept != NULL;
    for (size_t i = 0; good && i < b->first; i++)
        b->kept[i] = true;
    for (size_t k = 0, own = b->first + b->shared; good && k < b->n; k++) {
        good = find_kept(b, ctx, k, own, read);
        own += formals(b, k) - b->shared;
    }
    for (size_t i = 0; good && i < n->nin; i++)
        b->changes |= !b->kept[i];
    for (uint32_t o = 0; good && o < n->nout; o++)
        b->changes |= !read[id + o];
    return good;
}

bool wg__trim_branch_looks(wg_ctx *ctx, const wg_tape *t, uint32_t id, const bool *read, bool *good)
{
    branches b;
    if (!is_branch(wg__node_at(t, id)->op) || wg__node_at(t, id)->out ||
        !wg__trim_any_read(t, id, read))
        return false;
    *good = branches_make(&b, ctx, t, id, read);
    wg__free(ctx, b.kept);
    return *good && b.changes;
}

/* ---- making ---------------------------------------------------------------------------------------------- */

/* The rewrite under way; the first of the next branch's own operands. */
typedef struct maker {
    const branches *b;
    const bool *read;
    wg__trim_bodies bodies;
    size_t own;
} maker;

static bool keeps_formal(const void *user, size_t i)
{
    const maker *m = user;
    return m->b->kept[operand_of(m->b, m->own, i)];
}

static bool keeps_output(const void *user, size_t k)
{
    const maker *m = user;
    return m->read[m->b->id + k];
}

/* Branches come in their order (see wg__attrs_replace_fns). */
static uint32_t import(void *user, wg__fn *fn)
{
    maker *m = user;
    const uint32_t at = wg__trim_body(&m->bodies, fn);
    m->own += fn->body->inputs.len - m->b->shared;
    return at;
}

/* How many of the shared operands stay. */
static size_t shared_kept(const branches *b)
{
    size_t n = 0;
    for (size_t i = b->first; i < b->first + b->shared; i++)
        n += b->kept[i];
    return n;
}

bool wg__trim_branch(wg__copy *c, uint32_t id, wg__remade *made, const bool *read)
{
    wg_ctx *ctx = c->dst->ctx;
    branches b;
    bool good = branches_make(&b, ctx, c->src, id, read);
    maker m = {.b = &b, .read = read, .own = b.first + b.shared};
    m.bodies = (wg__trim_bodies){c, made, id, keeps_formal, keeps_output, &m};
    wg_attrs view = wg__attrs_of(c->src, id);
    wg_attr attrs[WG__MAX_ATTRS];
    size_t nattrs = wg__attrs_export(&view, attrs);
    wg_fn *room = NULL;
    good = good && wg__attrs_replace_fns(c->dst, &view, attrs, nattrs, import, &m, &room);
    uint32_t to =
        good ? wg__trim_record(c, id, b.kept, attrs, nattrs, "shared", shared_kept(&b)) : WG__NONE;
    for (uint32_t o = 0; to != WG__NONE && o < wg__node_at(c->src, id)->nout; o++)
        if (read[id + o])
            c->map[id + o] = to++;
    wg__free(ctx, room);
    wg__free(ctx, b.kept);
    return to != WG__NONE;
}
