/* split: which values of a loop's body move out of it.
 *
 * Before the loop: products, and gathers from invariants, that depend on no carry, with all they are
 * made of. After it: products with an invariant, and gathers from one, that no carry depends on, with
 * all that depends on them; and sums over the steps where the sum has a short way (split_sums.c). What
 * is cheap stays, unless something that moves needs it or a product takes it along as its epilogue. */
#include <string.h>

#include "pass/split.h"

/* Most elements of a value without products in it that are computed at once, when nothing of a map is
 * left. */
static const int64_t most_elements = 1 << 22;

/* ---- reading a body ------------------------------------------------------------------------------- */

void wg__split_batched(wg__split *sp, uint32_t id)
{
    const uint32_t *in = wg__split_operands(sp, id);
    for (uint16_t k = 0; k < wg__split_nin(sp, id); k++)
        sp->batched[k] = wg__varies(sp, in[k]);
}

static uint32_t flags_of(const wg__split *sp, uint32_t id)
{
    return wg__op_of(sp->body, id)->def.flags;
}

/* A product or a gather: worth a move. */
static bool is_heavy(const wg__split *sp, uint32_t id)
{
    return flags_of(sp, id) & (WG_OP_CONTRACT | WG_OP_GATHER);
}

/* Whether there is anything in the body that could make a move worth it. */
static bool any_heavy(const wg__split *sp)
{
    for (uint32_t id = 0; id < sp->body->nodes.len; id++)
        if (is_heavy(sp, id) || wg__op_of(sp->body, id)->def.batch_sum)
            return true;
    return sp->s.is_map;
}

/* What all operands have in `role`; true for those that do not vary. */
static bool all_operands(const wg__split *sp, uint32_t id, uint32_t role)
{
    const uint32_t *in = wg__split_operands(sp, id);
    for (uint16_t k = 0; k < wg__split_nin(sp, id); k++)
        if (wg__varies(sp, in[k]) && !(sp->role[in[k]] & role))
            return false;
    return true;
}

static void give_operands(wg__split *sp, uint32_t id, uint32_t role)
{
    const uint32_t *in = wg__split_operands(sp, id);
    for (uint16_t k = 0; !wg__split_source(sp, id) && k < wg__split_nin(sp, id); k++)
        sp->role[in[k]] |= role;
}

/* ---- what depends on what --------------------------------------------------------------------------- */

static void find_read(wg__split *sp)
{
    const wg__fn *fn = sp->s.fn;
    for (uint32_t k = 0; k < fn->nouts; k++) {
        sp->role[fn->outs[k]] |= WG__READ | (k < sp->s.ncarry ? WG__CONE : 0);
        sp->users[fn->outs[k]]++;
    }
    for (uint32_t id = (uint32_t)sp->body->nodes.len; id-- > 0;) {
        const wg__node *n = wg__node_at(sp->body, id);
        uint32_t role = 0;
        for (uint32_t k = 0; n->out == 0 && k < n->nout; k++)
            role |= sp->role[id + k] & (WG__READ | WG__CONE);
        if (!role || wg__split_source(sp, id))
            continue;
        give_operands(sp, id, role);
        for (uint16_t k = 0; k < n->nin; k++)
            sp->users[wg__split_operands(sp, id)[k]]++;
    }
}

/* Steps that a counted loop does not run must not fail for it. */
static bool may_move(const wg__split *sp, uint32_t id)
{
    const uint32_t flags = flags_of(sp, id);
    return wg__node_at(sp->body, id)->nout == 1 &&
           (!sp->s.counted || (flags & (WG_OP_TOTAL | WG_OP_ELEMENTWISE)));
}

static void find_dependence(wg__split *sp)
{
    const wg_tape *b = sp->body;
    for (size_t k = 0; k < sp->s.w0; k++)
        sp->role[b->inputs.data[k]] |= k < sp->s.x0 ? WG__CAR : WG__SEQ | WG__EARLY;
    for (uint32_t id = 0; id < b->nodes.len && sp->good; id++) {
        if (wg__split_source(sp, id))
            continue;
        const uint32_t head = wg__head(b, id);
        for (uint16_t k = 0; k < wg__split_nin(sp, id); k++)
            sp->role[id] |= sp->role[wg__split_operands(sp, id)[k]] & (WG__SEQ | WG__CAR);
        if (!wg__is_pure(wg__op_of(b, id)))
            sp->role[id] |= WG__CAR;
        if (!(sp->role[head] & WG__READ) || !wg__varies(sp, id) || !may_move(sp, id) ||
            !wg__split_any(sp, id, WG__SEQ | WG__CAR))
            continue;
        wg__split_batched(sp, id);
        if (wg__is_pure(wg__op_of(b, id)) &&
            wg__batches(sp->scratch, b, id, sp->batched, sp->s.length, false, &sp->good))
            sp->role[id] |= WG__BATCHES;
    }
}

/* ---- before the loop ---------------------------------------------------------------------------------- */

static void find_early(wg__split *sp)
{
    for (uint32_t id = 0; id < sp->body->nodes.len; id++)
        if ((sp->role[id] & WG__BATCHES) && !(sp->role[id] & WG__CAR) &&
            all_operands(sp, id, WG__EARLY)) {
            sp->role[id] |= WG__EARLY;
            if (is_heavy(sp, id) && (sp->role[id] & WG__ASKED)) {
                sp->role[id] |= WG__BEFORE;
                sp->moved++;
            }
        }
}

static int64_t count_of(const wg__split *sp, uint32_t id)
{
    return wg_shape_count(wg__type_at(sp->body, id)->shape);
}

/* Elementwise work on a product that nobody else reads: the product's epilogue. */
static bool is_epilogue(const wg__split *sp, uint32_t id)
{
    const uint32_t *in = wg__split_operands(sp, id);
    bool takes = false;
    if (!(flags_of(sp, id) & WG_OP_ELEMENTWISE) || !(sp->role[id] & WG__EARLY))
        return false;
    for (uint16_t k = 0; k < wg__split_nin(sp, id); k++) {
        const bool alone = (sp->role[in[k]] & WG__BEFORE) && sp->users[in[k]] == 1 &&
                           count_of(sp, in[k]) >= count_of(sp, id);
        if (!alone && wg__varies(sp, in[k]))
            return false;
        takes |= alone;
    }
    return takes;
}

static void take_epilogues(wg__split *sp)
{
    for (uint32_t id = 0; id < sp->body->nodes.len; id++)
        if ((sp->role[id] & WG__READ) && !wg__split_source(sp, id) && is_epilogue(sp, id))
            sp->role[id] |= WG__BEFORE;
}

/* What moves before the loop takes along what it is made of. */
static void take_cones(wg__split *sp)
{
    for (uint32_t id = (uint32_t)sp->body->nodes.len; id-- > 0;) {
        const uint32_t *in = wg__split_operands(sp, id);
        if (!(sp->role[id] & WG__BEFORE) || wg__split_source(sp, id))
            continue;
        for (uint16_t k = 0; k < wg__split_nin(sp, id); k++)
            if (wg__varies(sp, in[k]) && !wg__split_source(sp, in[k]))
                sp->role[in[k]] |= WG__BEFORE;
    }
}

/* ---- after the loop ------------------------------------------------------------------------------------ */

/* A product with an invariant, or a gather from one. */
static bool moves_late(const wg__split *sp, uint32_t id)
{
    const uint32_t *in = wg__split_operands(sp, id);
    if (!(sp->role[id] & WG__LATE) || !(sp->role[id] & WG__CAR) || !is_heavy(sp, id))
        return false;
    return !wg__varies(sp, in[0]) || !wg__varies(sp, in[1]);
}

/* Whether all values of a node are made, and not just their sum in another way. */
static bool is_computed(const wg__split *sp, uint32_t id)
{
    const wg__node *n = wg__node_at(sp->body, id);
    uint32_t role = 0;
    for (uint32_t k = 0, head = wg__head(sp->body, id); k < n->nout; k++)
        role |= sp->role[head + k];
    return (role & WG__ASKED) || ((role & WG__IN_SUM) && !(role & (WG__JOINS | WG__SPREADS)));
}

static void find_late(wg__split *sp)
{
    const uint32_t n = (uint32_t)sp->body->nodes.len;
    for (uint32_t id = 0; id < n; id++)
        if ((sp->role[id] & WG__BATCHES) && !(sp->role[id] & WG__CONE))
            sp->role[id] |= WG__LATE;
    for (uint32_t id = n; id-- > 0;) { /* what a value that must stay needs must stay */
        const uint32_t *in = wg__split_operands(sp, id);
        if (wg__split_source(sp, id) || !is_computed(sp, id) || (sp->role[id] & WG__LATE))
            continue;
        for (uint16_t k = 0; k < wg__split_nin(sp, id); k++)
            sp->role[in[k]] &= ~(uint32_t)WG__LATE;
    }
    for (uint32_t id = 0; id < n; id++) {
        if (wg__split_source(sp, id) || !(sp->role[id] & WG__LATE) || !is_computed(sp, id))
            continue;
        const bool first = moves_late(sp, id);
        sp->moved += first;
        if (first || wg__split_any(sp, id, WG__AFTER))
            sp->role[id] |= WG__AFTER;
    }
}

/* A view of no more than it shows, which is looked at anew after the loop. */
static bool is_cheap_view(const wg__split *sp, uint32_t id)
{
    const uint32_t flags = flags_of(sp, id);
    return (flags & WG_OP_VIEW) && !(flags & WG_OP_GATHER) && (sp->role[id] & WG__BATCHES) &&
           wg__split_nin(sp, id) == 1 &&
           count_of(sp, wg__split_operands(sp, id)[0]) <= count_of(sp, id);
}

/* An operand of something that comes after the loop. */
static void need_after(wg__split *sp, uint32_t id)
{
    const uint32_t there = WG__BEFORE | WG__AFTER;
    if (!wg__varies(sp, id) || (sp->role[id] & there))
        return;
    if (wg__split_source(sp, id)) /* a sequence is there; of a carry, its history */
        sp->role[id] |= WG__PAST;
    else if (sp->role[id] & WG__EARLY)
        sp->role[id] |= WG__BEFORE;
    else
        sp->role[id] |= is_cheap_view(sp, id) ? WG__AFTER : WG__ACROSS;
}

static void find_across(wg__split *sp)
{
    for (uint32_t id = (uint32_t)sp->body->nodes.len; id-- > 0;) {
        const uint32_t *in = wg__split_operands(sp, id);
        const bool joins = (sp->role[id] & WG__IN_SUM) && (sp->role[id] & WG__JOINS);
        if (wg__split_source(sp, id) || !(joins || (sp->role[id] & WG__AFTER)))
            continue;
        for (uint16_t k = 0; k < wg__split_nin(sp, id); k++)
            need_after(sp, in[k]);
    }
}

/* ---- what is left ---------------------------------------------------------------------------------------- */

/* A map of which everything can be done at once. */
static bool all_moves(const wg__split *sp)
{
    int64_t most = 0;
    size_t heavy = 0;
    if (sp->s.ncarry || sp->s.counted)
        return false;
    for (uint32_t id = 0; id < sp->body->nodes.len; id++) {
        if (!(sp->role[id] & WG__READ) || !wg__varies(sp, id))
            continue;
        if (!(sp->role[id] & WG__EARLY))
            return false;
        most = count_of(sp, id) > most ? count_of(sp, id) : most;
        heavy += !wg__split_source(sp, id) && is_heavy(sp, id);
    }
    return heavy || most <= most_elements / sp->s.length.dim[0];
}

static void move_all(wg__split *sp)
{
    sp->whole = true;
    for (uint32_t id = 0; id < sp->body->nodes.len; id++)
        if ((sp->role[id] & WG__READ) && wg__varies(sp, id) && !wg__split_source(sp, id)) {
            sp->role[id] |= WG__BEFORE;
            sp->moved++;
        }
}

/* Outputs of the old body that the new one still gives, and all that is needed for them. */
static void find_inside(wg__split *sp)
{
    const wg__fn *fn = sp->s.fn;
    for (uint32_t k = 0; k < fn->nouts && !sp->whole; k++) {
        const uint32_t role = sp->role[fn->outs[k]];
        const bool sequence = wg__split_source(sp, fn->outs[k]) && (role & WG__EARLY);
        const bool there = !sp->s.counted && (sequence || (role & (WG__BEFORE | WG__AFTER)));
        if (k < sp->s.sum0 && (k < sp->s.ncarry || !there))
            sp->role[fn->outs[k]] |= WG__INSIDE;
    }
    for (uint32_t id = (uint32_t)sp->body->nodes.len; id-- > 0;) {
        const wg__node *n = wg__node_at(sp->body, id);
        bool inside = false;
        if ((sp->role[id] & WG__ACROSS) || wg__sum_stays(sp, id))
            sp->role[id] |= WG__INSIDE;
        for (uint32_t k = 0; n->out == 0 && k < n->nout; k++)
            inside |= (sp->role[id + k] & WG__INSIDE) && !(sp->role[id + k] & WG__BEFORE);
        if (inside)
            give_operands(sp, id, WG__INSIDE);
    }
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

static bool make_room(wg__split *sp)
{
    size_t n = sp->body->nodes.len + 1, most = 1;
    for (uint32_t id = 0; id + 1 < n; id++)
        most = wg__node_at(sp->body, id)->nin > most ? wg__node_at(sp->body, id)->nin : most;
    sp->role = wg__calloc(sp->ctx, n, sizeof *sp->role);
    sp->users = wg__calloc(sp->ctx, n, sizeof *sp->users);
    sp->batched = wg__calloc(sp->ctx, most, sizeof *sp->batched);
    sp->scratch = wg_tape_new(sp->ctx);
    return sp->role && sp->users && sp->batched && sp->scratch;
}

/* Sums that are taken apart are moves too. */
static void count_sums(wg__split *sp)
{
    for (uint32_t id = 0; id < sp->body->nodes.len; id++)
        sp->moved += (sp->role[id] & WG__IN_SUM) && (sp->role[id] & WG__GAINS);
}

void wg__split_find(wg__split *sp, wg_ctx *ctx, const wg__scan *s, const bool *history)
{
    *sp = (wg__split){.ctx = ctx, .s = *s, .body = s->fn->body, .history = history, .good = true};
    if (s->length.dim[0] < 1 || !any_heavy(sp))
        return;
    if (!make_room(sp)) {
        sp->good = false;
        return;
    }
    find_read(sp);
    find_dependence(sp);
    wg__split_sums(sp);
    find_early(sp);
    if (all_moves(sp)) {
        move_all(sp);
    } else {
        take_epilogues(sp);
        take_cones(sp);
        if (!s->counted)
            find_late(sp);
    }
    wg__split_sums(sp);
    count_sums(sp);
    if (!sp->moved)
        return;
    find_across(sp);
    take_cones(sp);
    if (!s->counted)
        wg__split_leftovers(sp);
    find_inside(sp);
}

void wg__split_free(wg__split *sp)
{
    wg__free(sp->ctx, sp->role);
    wg__free(sp->ctx, sp->users);
    wg__free(sp->ctx, sp->batched);
    wg_tape_free(sp->scratch);
}
