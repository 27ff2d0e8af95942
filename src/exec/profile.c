/* Profiles: how long each step of a session's runs took. The executor adds nanoseconds per step; here
 * they are told apart: steps that run side by side are measured together. */
#include <string.h>
#include <time.h>

#include "exec/exec.h"

uint64_t wg__now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

double wg__node_traffic(const wg_tape *t, uint32_t head)
{
    const wg__node *n = wg__node_at(t, head);
    const uint32_t *in = wg__operands(t, n);
    double bytes = 0;
    for (uint16_t k = 0; k < n->nin; k++)
        bytes += (double)wg__type_bytes(wg__type_at(t, in[k]));
    for (uint16_t k = 0; k < n->nout; k++)
        bytes += (double)wg__type_bytes(wg__type_at(t, head + k));
    return bytes;
}

static double count_at(const wg_tape *t, uint32_t id)
{
    return (double)wg_shape_count(wg__type_at(t, id)->shape);
}

double wg__node_flops(const wg_tape *t, uint32_t head)
{
    const wg__node *n = wg__node_at(t, head);
    const wg_op *op = &wg__op_of(t, head)->def;
    const uint32_t *in = wg__operands(t, n);
    if (op->flags & WG_OP_ELEMENTWISE)
        return count_at(t, head);
    if (op->monoid != WG_MONOID_NONE)
        return count_at(t, in[0]);
    if (!(op->flags & WG_OP_CONTRACT))
        return 0;
    const wg_attrs a = wg__attrs_of(t, head);
    const wg_shape *x = &wg__type_at(t, in[0])->shape;
    return 2 * count_at(t, head) *
           (double)x->dim[x->rank - (wg_attrs_bool(&a, "transpose_a") ? 2 : 1)];
}

double wg__node_runs(const wg_tape *t, uint32_t head)
{
    const wg__node *n = wg__node_at(t, head);
    const wg_attrs a = wg__attrs_of(t, head);
    if (n->op == WG__OP_SCAN || n->op == WG__OP_MAP)
        return (double)wg_attrs_shape(&a, "length").dim[0];
    return n->op == WG__OP_CALL || n->op == WG__OP_CHECKPOINT ? 1 : 0;
}

static void step_of(const wg_session *s, size_t i, wg__step_info *info)
{
    const wg__code *code = s->program->code;
    code->executor->step(code, 0, i, info);
}

static size_t count_steps(const wg_session *s)
{
    const wg__code *code = s->program->code;
    return code->executor->steps(code, 0);
}

/* Behind the n times stand, for each step, the first of those that it is measured with. */
wg_status wg_session_profile(wg_session *session, bool on)
{
    if (!session)
        return WG_INVALID;
    wg__free(session->ctx, session->profile);
    session->profile = NULL;
    session->runs = 0;
    if (!on)
        return WG_OK;
    size_t n = count_steps(session);
    if (!(session->profile = wg__calloc(session->ctx, n, 2 * sizeof *session->profile)))
        return wg__fail(&session->error, WG_NO_MEMORY, "profile: out of memory");
    wg__step_info info;
    for (size_t i = 0; i < n; i += info.together) {
        step_of(session, i, &info);
        for (size_t k = i; k < i + info.together; k++)
            session->profile[n + k] = i;
    }
    return WG_OK;
}

/* Seconds of step i: of what it is measured with, its part of the estimated cost. */
static double seconds_of(const wg_session *s, size_t i)
{
    wg__step_info info;
    size_t first = (size_t)s->profile[count_steps(s) + i];
    step_of(s, first, &info);
    size_t together = info.together;
    double part = 1, sum = 0, ns = (double)s->profile[first];
    for (size_t k = first; together > 1 && k < first + together; k++) {
        step_of(s, k, &info);
        sum += info.cost;
        if (k == i)
            part = info.cost;
    }
    if (together > 1)
        part = sum > 0 ? part / sum : 1 / (double)together;
    return ns * part * 1e-9;
}

size_t wg_session_profile_count(const wg_session *session)
{
    return session && session->profile ? count_steps(session) : 0;
}

uint64_t wg_session_profile_runs(const wg_session *session)
{
    return session && session->profile ? session->runs : 0;
}

bool wg_session_profile_at(const wg_session *session, size_t index, wg_profile_entry *out)
{
    if (!out || index >= wg_session_profile_count(session))
        return false;
    const wg_tape *t = session->program->code->tape;
    wg__step_info info;
    step_of(session, index, &info);
    uint32_t last = info.nnodes ? info.nodes[info.nnodes - 1] : WG__NONE;
    *out = (wg_profile_entry){
        .kind = info.kind,
        .name = last == WG__NONE ? "" : wg__text(t, wg__node_at(t, last)->name),
        .nvalues = info.nnodes,
        .seconds = seconds_of(session, index),
        .flops = info.flops,
        .bytes = info.bytes,
    };
    return true;
}

/* What a node counts for within its step. */
static double weight(const wg_tape *t, uint32_t head)
{
    double sum = 1;
    for (uint32_t k = 0; k < wg__node_at(t, head)->nout; k++)
        sum += (double)wg_shape_count(wg__type_at(t, head + k)->shape);
    return sum;
}

bool wg_session_profile_shares(const wg_session *session, double *shares, size_t count)
{
    if (!session || !session->profile || (!shares && count))
        return false;
    const wg_tape *t = session->program->code->tape;
    size_t n = count_steps(session);
    double total = 0;
    for (size_t i = 0; i < count; i++)
        shares[i] = -1;
    for (size_t i = 0; i < n; i++)
        total += (double)session->profile[i];
    for (size_t i = 0; i < n; i++) {
        wg__step_info info;
        double sum = 0, part = total > 0 ? seconds_of(session, i) * 1e9 / total : 0;
        step_of(session, i, &info);
        for (size_t k = 0; k < info.nnodes; k++)
            sum += weight(t, info.nodes[k]);
        for (size_t k = 0; k < info.nnodes; k++)
            if (info.nodes[k] < count)
                shares[info.nodes[k]] = part * weight(t, info.nodes[k]) / sum;
    }
    return true;
}
