/* wg_mutate_op: every way to break an op that applies to it, one after the other, each checked on
 * the op's test graphs. A mutant that computes the same as the right op, bit for bit in all that is
 * compared, is no mutant and is not told. */
#include <stdio.h>
#include <string.h>

#include "check/checking.h"
#include "check/mutant.h"

enum { MOST = 4, EDGES = 3 }; /* operands, outputs; operands of a dropped node */

typedef struct hunt {
    wg_ctx *ctx;
    wg__mutant m;
    wg__check_cases cases;
    wg_gradcheck_options o;
    uint64_t trace; /* of the right op */
    bool compared;
    wg_mutant_fn found;
    void *user;
} hunt;

/* ---- one mutant ------------------------------------------------------------------------------ */

static wg_status check(hunt *h, wg_check_report *report, uint64_t *trace)
{
    bool partial = h->m.spoilt == WG__SPOIL_PARTIAL || h->m.spoilt == WG__SPOIL_FORWARD;
    const wg__op *wrong = partial && h->m.partial ? h->m.partial : h->m.wrong;
    wg__check_job job = {.o = h->o, .brief = true, .from = h->m.op, .to = wrong};
    memset(report, 0, sizeof *report);
    wg_status status = wg__check_cases_run(&h->cases, &job, report);
    *trace = job.trace;
    return status;
}

static const char *name_of(const hunt *h, bool operand)
{
    const wg__sig *sig = &h->m.op->sig;
    size_t n = operand ? sig->nin : sig->nout, at = h->m.at < n ? h->m.at : n - 1;
    return operand ? sig->in[at] : sig->out[at];
}

static void name_mutant(const hunt *h, char *text, size_t size)
{
    const wg__mutant *m = &h->m;
    bool kernels = m->op->def.nkernels > 0;
    const char *way = m->spoilt == WG__SPOIL_FORWARD && kernels ? wg__mutant_kernel_way(m->way)
                                                                : wg__mutant_way(m->way, m->spoilt);
    switch (m->spoilt) {
    case WG__SPOIL_VJP_NODE:
    case WG__SPOIL_JVP_NODE:
        snprintf(text, size, "%s node %zu replaced by its operand %d",
                 m->spoilt == WG__SPOIL_VJP_NODE ? "vjp" : "jvp", m->at, m->way);
        break;
    case WG__SPOIL_PARTIAL:
        snprintf(text, size, "partial by %s %s", name_of(h, true), way);
        break;
    case WG__SPOIL_VJP:
        snprintf(text, size, "vjp of %s (%zu) %s", name_of(h, true), m->at, way);
        break;
    case WG__SPOIL_JVP:
        snprintf(text, size, "jvp of %s (%zu) %s", name_of(h, false), m->at, way);
        break;
    default:
        snprintf(text, size, "forward %s (%zu) %s",
                 name_of(h, kernels && m->way == wg__mutant_operand_way()), m->at, way);
    }
}

static wg_status try(hunt *h, wg__spoilt spoilt, size_t at, int way)
{
    wg_check_report report;
    char name[96];
    uint64_t trace;
    h->m.spoilt = spoilt;
    h->m.at = at;
    h->m.way = way;
    h->m.applied = false;
    wg_status status = check(h, &report, &trace);
    if (status || !h->m.applied)
        return status;
    bool caught = report.verdict != WG_CHECK_PASSED;
    if (!caught && trace == h->trace)
        return WG_OK;
    name_mutant(h, name, sizeof name);
    h->found(h->user, h->m.op->name, name, caught, &report);
    return WG_OK;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static size_t at_most(size_t n, bool star) { return star || n > MOST ? MOST : n; }

/* Spoiled answers. */
static wg_status try_ways(hunt *h, wg__spoilt spoilt, size_t n)
{
    wg_status status = WG_OK;
    for (size_t at = 0; at < n; at++)
        for (int way = 0; !status && wg__mutant_way(way, spoilt); way++)
            if (*wg__mutant_way(way, spoilt))
                status = try(h, spoilt, at, way);
    return status;
}

/* Graph of a rule with a node left out. */
static wg_status try_nodes(hunt *h, wg__spoilt spoilt, size_t n)
{
    wg_status status = WG_OK;
    for (size_t at = 0; at < n; at++)
        for (int way = 0; way < EDGES && !status; way++)
            status = try(h, spoilt, at, way);
    return status;
}

/* Spoiled values. The ways after the one for operands are not for derivatives to tell. */
static wg_status try_kernels(hunt *h, size_t nin, size_t nout)
{
    wg_status status = WG_OK;
    int operand = wg__mutant_operand_way();
    for (int way = 0; way <= operand; way++)
        for (size_t at = 0; at < (way == operand ? nin : nout) && !status; at++)
            status = try(h, WG__SPOIL_FORWARD, at, way);
    return status;
}

static wg_status try_all(hunt *h)
{
    const wg_op *d = &h->m.op->def;
    const wg__sig *sig = &h->m.op->sig;
    size_t nin = at_most(sig->nin, sig->star), nout = at_most(sig->nout, sig->star_out);
    wg_status status = d->partial ? try_ways(h, WG__SPOIL_PARTIAL, nin) : WG_OK;
    if (!status)
        status = try_ways(h, WG__SPOIL_VJP, nin);
    if (!status)
        status = try_ways(h, WG__SPOIL_JVP, nout);
    if (!status)
        status = try_nodes(h, WG__SPOIL_VJP_NODE, h->m.vjp_nodes);
    if (!status)
        status = try_nodes(h, WG__SPOIL_JVP_NODE, h->m.jvp_nodes);
    if (!status)
        status = d->nkernels ? try_kernels(h, nin, nout) : try_ways(h, WG__SPOIL_FORWARD, nout);
    return status;
}

/* ---- the hunt -------------------------------------------------------------------------------- */

/* A context of its own, with all ops of `ctx`. */
static wg_status open_context(wg_ctx *ctx, wg_ctx **out)
{
    wg_ctx *own = *out = wg_ctx_new(&ctx->hooks);
    wg_status status = own ? WG_OK : WG_NO_MEMORY;
    for (size_t i = 0; !status && i < wg_op_count(ctx); i++) {
        const wg_op *op = wg_op_at(ctx, i);
        if (!wg_op_find(own, wg_op_name(ctx, op)))
            status = wg_register(own, op, NULL);
    }
    return status;
}

static wg_status start(hunt *h, const char *op)
{
    wg_check_report report = {.verdict = WG_CHECK_PASSED};
    wg_status status = wg__check_cases_open(&h->cases, h->ctx, op, &report);
    if (status || report.verdict != WG_CHECK_PASSED || !h->cases.items.len)
        return status ? status : report.verdict == WG_CHECK_PASSED ? WG_OK : WG_INVALID;
    status = wg__mutant_register(h->ctx, op, &h->m);
    if (status)
        return status;
    status = check(h, &report, &h->trace);
    h->compared = report.compared > 0;
    return status ? status : report.verdict == WG_CHECK_PASSED ? WG_OK : WG_INVALID;
}

wg_status wg_mutate_op(wg_ctx *ctx, const char *op, const wg_gradcheck_options *options,
                       wg_mutant_fn found, void *user)
{
    if (!ctx || !op || !found)
        return WG_INVALID;
    if (!wg_op_find(ctx, op))
        return WG_NOT_FOUND;
    hunt *h = wg__calloc(ctx, 1, sizeof *h);
    if (!h)
        return WG_NO_MEMORY;
    h->found = found;
    h->user = user;
    wg__check_defaults(&h->o, options);
    wg_status status = open_context(ctx, &h->ctx);
    if (!status)
        status = start(h, op);
    if (!status && h->compared)
        status = try_all(h);
    wg__check_cases_close(&h->cases);
    if (h->ctx)
        wg__mutant_free(h->ctx, &h->m);
    wg_ctx_free(h->ctx);
    wg__free(ctx, h);
    return status;
}
