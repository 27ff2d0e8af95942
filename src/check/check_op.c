/* The checker on ops: their own test graphs, or generated ones for elementwise ops. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <wengert/ops.h>
#include <wengert/text.h>
#include "check/checking.h"

/* ---- generated cases ------------------------------------------------------------------------- */

/* Shapes of the operands, by number modulo 3. */
typedef struct shapes {
    const char *about;
    int rank[3];
    int64_t dim[3][WG_MAX_RANK];
} shapes;

static const shapes table[] = {
    {"rank 0", {0, 0, 0}, {{0}}},
    {"rank 1", {1, 1, 1}, {{3}, {3}, {3}}},
    {"broadcast", {2, 2, 0}, {{2, 1}, {1, 3}}},
    {"broadcast the other way", {2, 2, 2}, {{1, 3}, {2, 1}, {2, 3}}},
    {"scalar first", {0, 2, 1}, {{0}, {2, 3}, {3}}},
    {"scalar last", {2, 0, 0}, {{2, 3}}},
    {"no elements", {2, 2, 2}, {{2, 0}, {1, 0}, {2, 1}}},
    {"rank 8", {8, 8, 1}, {{1, 2, 1, 1, 2, 1, 1, 1}, {2, 1, 1, 1, 2, 1, 1, 1}, {1}}},
};

/* Values of an operand that is not float: both truths, small numbers. */
static wg_var fixed_operand(wg_tape *t, wg__class cls, wg_shape shape)
{
    if (cls == WG__BOOLEAN) {
        wg_type type = {WG_I64, shape};
        wg_var x = wg_full(t, type, 1);
        if (shape.rank == 0)
            return wg_equal(x, wg_i(1));
        wg_var i = wg_iota_with(t, shape, shape.rank - 1, WG_I64);
        return wg_not_equal(wg_mul(i, x), wg_i(1));
    }
    wg_type type = {WG_I64, shape};
    return wg_full(t, type, 2);
}

static wg_status generate(wg__check_cases *cs, const shapes *s)
{
    wg__check_case *item;
    if (!wg__vec_reserve(cs->ctx, &cs->items, 1))
        return WG_NO_MEMORY;
    item = &cs->items.data[cs->items.len];
    memset(item, 0, sizeof *item);
    wg_tape *t = item->tape = wg_tape_new(cs->ctx);
    if (!t)
        return WG_NO_MEMORY;
    cs->items.len++;
    const wg__sig *sig = &cs->op->sig;
    wg_var in[WG__MAX_OPERANDS];
    for (size_t k = 0; k < sig->nin; k++) {
        wg_shape shape = wg_shape_make(s->dim[k % 3], (size_t)s->rank[k % 3]);
        bool fixed = sig->cls[k] == WG__BOOLEAN || sig->cls[k] == WG__INT;
        in[k] =
            fixed ? fixed_operand(t, sig->cls[k], shape) : wg_input(t, sig->in[k], WG_F64, shape);
    }
    return wg__record(t, cs->op->index, in, sig->nin, NULL, 0, &item->out, 1);
}

static bool needs_attrs(const wg__sig *sig)
{
    for (size_t i = 0; i < sig->nattrs; i++)
        if (sig->attrs[i].required)
            return true;
    return false;
}

static wg_status tell(wg__check_cases *cs, wg_check_report *r, const char *what, const char *why)
{
    if (r->verdict != WG_CHECK_ERROR)
        snprintf(r->message, sizeof r->message, "%s: %s: %s", cs->op->name, what, why);
    r->verdict = WG_CHECK_ERROR;
    return WG_OK;
}

static wg_status generate_all(wg__check_cases *cs, wg_check_report *r)
{
    wg_status status = WG_OK;
    for (size_t i = 0; i < sizeof table / sizeof *table && !status; i++) {
        status = generate(cs, &table[i]);
        if (status && status != WG_NO_MEMORY)
            return tell(cs, r, table[i].about, wg_tape_error(cs->items.data[i].tape));
    }
    return status;
}

/* ---- cases of an op -------------------------------------------------------------------------- */

static wg_status parse_all(wg__check_cases *cs, const char *const *cases, wg_check_report *r)
{
    for (; *cases; cases++) {
        char *error = NULL;
        wg__check_case item = {wg_parse(cs->ctx, *cases, strlen(*cases), "case", &error), NULL,
                               wg_none()};
        if (!item.graph) {
            wg_status status = error ? tell(cs, r, "test graph", error) : WG_NO_MEMORY;
            wg_text_free(cs->ctx, error);
            return status;
        }
        if (!wg__vec_push(cs->ctx, &cs->items, item)) {
            wg_graph_free(item.graph);
            return WG_NO_MEMORY;
        }
    }
    return WG_OK;
}

static bool bounds_ok(const wg_op_check *check)
{
    for (int k = 0; k < 4 && check; k++)
        if (!isfinite(check->low[k]) || !isfinite(check->high[k]) || check->low[k] > check->high[k])
            return false;
    return true;
}

wg_status wg__check_cases_open(wg__check_cases *cs, wg_ctx *ctx, const char *op,
                               wg_check_report *report)
{
    memset(cs, 0, sizeof *cs);
    cs->ctx = ctx;
    cs->op = wg__op_find(ctx, op);
    if (!cs->op)
        return WG_NOT_FOUND;
    const wg_op *d = &cs->op->def;
    if (!bounds_ok(d->check))
        return tell(cs, report, "wg_op_check", "low must not be above high, both finite");
    if (d->check && d->check->cases && d->check->cases[0])
        return parse_all(cs, d->check->cases, report);
    if (d->flags & (WG_OP_SOURCE | WG_OP_EFFECT))
        return WG_OK;
    if (!(d->flags & WG_OP_ELEMENTWISE) || needs_attrs(&cs->op->sig))
        return tell(cs, report, "it cannot be checked", "it has no test graph (wg_op_check.cases)");
    return generate_all(cs, report);
}

void wg__check_cases_close(wg__check_cases *cs)
{
    for (size_t i = 0; i < cs->items.len; i++) {
        wg_graph_free(cs->items.data[i].graph);
        wg_tape_free(cs->items.data[i].tape);
    }
    wg__vec_free(cs->ctx, &cs->items);
}

static wg_status run_case(const wg__check_cases *cs, size_t i, bool alias, wg__check_job *job,
                          wg_check_report *report)
{
    const wg__check_case *item = &cs->items.data[i];
    job->tape = item->graph ? wg_graph_tape(item->graph) : item->tape;
    job->outs = item->graph ? wg_graph_outputs(item->graph) : &item->out;
    job->nouts = item->graph ? wg_graph_noutputs(item->graph) : 1;
    job->domain = cs->op->def.check;
    job->alias = alias;
    wg_status status = wg__check_graph(cs->ctx, job, report);
    if (report->verdict != WG_CHECK_PASSED && report->message[0]) {
        char text[sizeof report->message];
        snprintf(text, sizeof text, "case %zu%s: %.200s", i, alias ? " (equal operands)" : "",
                 report->message);
        memcpy(report->message, text, sizeof text);
    }
    return status;
}

wg_status wg__check_cases_run(const wg__check_cases *cs, wg__check_job *job,
                              wg_check_report *report)
{
    wg_status status = WG_OK;
    for (size_t i = 0; i < 2 * cs->items.len && !status; i++)
        if (report->verdict == WG_CHECK_PASSED)
            status = run_case(cs, i / 2, i % 2, job, report);
    if (!status && report->verdict == WG_CHECK_PASSED)
        snprintf(report->message, sizeof report->message, "%s",
                 report->compared ? "" : "nothing to differentiate");
    return status;
}

wg_status wg_gradcheck_op(wg_ctx *ctx, const char *op, const wg_gradcheck_options *options,
                          wg_check_report *report)
{
    wg_check_report ignored;
    wg__check_cases cases;
    wg__check_job job = {.trace = 0};
    report = report ? report : &ignored;
    memset(report, 0, sizeof *report);
    if (!ctx || !op)
        return WG_INVALID;
    job.alone = true;
    wg__check_defaults(&job.o, options);
    if (!wg__check_options_ok(&job.o, report))
        return WG_INVALID;
    wg_status status = wg__check_cases_open(&cases, ctx, op, report);
    if (!status && report->verdict == WG_CHECK_PASSED)
        status = wg__check_cases_run(&cases, &job, report);
    if (!status && report->verdict == WG_CHECK_PASSED)
        wg__check_single(ctx, cases.op, job.o.seed, report);
    wg__check_cases_close(&cases);
    return status;
}
