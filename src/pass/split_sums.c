/* split: sums over the steps, taken apart. The sum of a_t' b_t is one product over the rows of all
 * steps; the sum of an op that is linear in its operands is the op of their sums, so that sums of
 * products are found below additions, reshapes, transposes, unslices and the like; a sum over axes is
 * one over the steps too. What gains nothing stays a sum of the loop. */
#include "pass/split.h"

static const wg__op *op_of(const wg__split *sp, uint32_t id) { return wg__op_of(sp->body, id); }

static bool is_sum(const wg__split *sp, uint32_t id)
{
    return op_of(sp, id)->def.monoid == WG_MONOID_SUM;
}

static size_t varying(const wg__split *sp, uint32_t id)
{
    size_t n = 0;
    for (uint16_t k = 0; k < wg__split_nin(sp, id); k++)
        n += wg__varies(sp, wg__split_operands(sp, id)[k]);
    return n;
}

/* Whether the sum of the op's outputs over the steps is the op of its operands' sums: it is linear in
 * those that vary, which are floats of its own dtype (sums of another would round otherwise). Sums of
 * operands with more elements than the result are no gain, unless the op is a product. */
static bool spreads(const wg__split *sp, uint32_t id)
{
    const uint32_t flags = op_of(sp, id)->def.flags, *in = wg__split_operands(sp, id);
    const wg_type *y = wg__type_at(sp->body, id);
    const bool one = (flags & WG_OP_MULTILINEAR) && varying(sp, id) == 1;
    if (!(flags & WG_OP_LINEAR) && !one)
        return false;
    if (wg__node_at(sp->body, id)->nout != 1 || is_sum(sp, id) || !wg__is_pure(op_of(sp, id)))
        return false;
    for (uint16_t k = 0; k < wg__split_nin(sp, id); k++) {
        const wg_type *x = wg__type_at(sp->body, in[k]);
        if (!wg__varies(sp, in[k]))
            continue;
        if (x->dtype != y->dtype || !wg__is_float_value(sp, in[k]))
            return false;
        if (wg_shape_count(x->shape) > wg_shape_count(y->shape) && !(flags & WG_OP_CONTRACT))
            return false;
    }
    return true;
}

/* Whether to spread the sum: there is a short way below; or something that moved, unless the value
 * itself has moved and is there to be summed. */
static bool spreading_gains(const wg__split *sp, uint32_t id)
{
    const bool moved = sp->role[id] & (WG__BEFORE | WG__AFTER);
    return wg__split_any(sp, id, WG__JOINED) || (!moved && wg__split_any(sp, id, WG__GAINS));
}

/* What can be done with a value if its sum is wanted; forward. */
static void find_ways(wg__split *sp)
{
    for (uint32_t id = 0; id < sp->body->nodes.len && sp->good; id++) {
        if (!(sp->role[id] & WG__READ) || wg__split_source(sp, id) || !wg__varies(sp, id) ||
            !wg__is_pure(op_of(sp, id)))
            continue;
        const bool contract = op_of(sp, id)->def.flags & WG_OP_CONTRACT;
        wg__split_batched(sp, id);
        if ((contract || op_of(sp, id)->def.batch_sum) &&
            wg__batches(sp->scratch, sp->body, id, sp->batched, sp->s.length, true, &sp->good))
            sp->role[id] |= WG__JOINS | WG__GAINS | WG__JOINED;
        else if (spreads(sp, id) && (contract || spreading_gains(sp, id)))
            sp->role[id] |= WG__SPREADS | WG__GAINS |
                            (contract || wg__split_any(sp, id, WG__JOINED) ? WG__JOINED : 0);
        else if (sp->role[id] & (WG__BEFORE | WG__AFTER))
            sp->role[id] |= WG__GAINS;
    }
}

/* What a node that is wanted so wants of its operands: their sums, or all of them. */
static void want_operands(wg__split *sp, uint32_t id, bool asked, bool summed)
{
    const bool apart = summed && (sp->role[id] & WG__SPREADS);
    for (uint16_t k = 0; k < wg__split_nin(sp, id); k++) {
        const uint32_t in = wg__split_operands(sp, id)[k];
        if (apart && (wg__varies(sp, in) || !wg__is_factor(sp, id, in)))
            sp->role[in] |= WG__IN_SUM;
        if (asked || (summed && !apart))
            sp->role[in] |= WG__ASKED;
    }
}

void wg__split_sums(wg__split *sp)
{
    const wg__fn *fn = sp->s.fn;
    if (!sp->s.counted)
        find_ways(sp);
    for (uint32_t id = 0; id < sp->body->nodes.len; id++)
        sp->role[id] &= ~(uint32_t)(WG__IN_SUM | WG__ASKED);
    for (size_t k = 0; k < fn->nouts; k++)
        sp->role[fn->outs[k]] |= k < sp->s.sum0 ? WG__ASKED : WG__IN_SUM;
    for (uint32_t id = (uint32_t)sp->body->nodes.len; id-- > 0;) {
        const wg__node *n = wg__node_at(sp->body, id);
        uint32_t role = 0;
        for (uint32_t k = 0; n->out == 0 && k < n->nout; k++)
            role |= sp->role[id + k];
        if (!wg__split_source(sp, id))
            want_operands(sp, id, role & WG__ASKED, role & WG__IN_SUM);
    }
}

/* Whether the value of all steps is there after the loop anyway. */
static bool is_there(const wg__split *sp, uint32_t id)
{
    const uint32_t sequence = WG__EARLY, made = WG__BEFORE | WG__AFTER | WG__ACROSS;
    return sp->role[id] & (wg__split_source(sp, id) ? sequence | WG__PAST : made);
}

static bool reduces(const wg__split *sp, uint32_t id)
{
    return !wg__split_source(sp, id) && is_sum(sp, id) && (sp->role[id] & WG__BATCHES) &&
           is_there(sp, wg__split_operands(sp, id)[0]);
}

/* Whether the sums of all operands that vary can be made after the loop. */
static bool all_left(const wg__split *sp, uint32_t id)
{
    for (uint16_t k = 0; k < wg__split_nin(sp, id); k++) {
        const uint32_t in = wg__split_operands(sp, id)[k];
        if (wg__varies(sp, in) && !(sp->role[in] & WG__LEFT))
            return false;
    }
    return true;
}

void wg__split_leftovers(wg__split *sp)
{
    const uint32_t n = (uint32_t)sp->body->nodes.len;
    for (uint32_t id = 0; id < n; id++)
        if (wg__varies(sp, id) &&
            (is_there(sp, id) || reduces(sp, id) ||
             (!wg__split_source(sp, id) && spreads(sp, id) && all_left(sp, id))))
            sp->role[id] |= WG__LEFT;
    for (uint32_t id = n; id-- > 0;) {
        if (!wg__sum_stays(sp, id) || !(sp->role[id] & WG__LEFT))
            continue;
        sp->role[id] |= reduces(sp, id) ? WG__REDUCES : is_there(sp, id) ? WG__SUMMED : WG__SPREADS;
        for (uint16_t k = 0; (sp->role[id] & WG__SPREADS) && k < wg__split_nin(sp, id); k++) {
            const uint32_t in = wg__split_operands(sp, id)[k];
            if (wg__varies(sp, in) || !wg__is_factor(sp, id, in))
                sp->role[in] |= WG__IN_SUM;
        }
    }
}
