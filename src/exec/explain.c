/* Explaining a program: what the passes did, how much memory runs take, and the steps of a run in
 * order. The executor knows what its steps do; here it is put into words. */
#include <string.h>

#include "exec/exec.h"

enum { MAX_LISTED = 8, MAX_REACHED = 64 };

/* ---- numbers ---------------------------------------------------------------------------------------- */

/* 1536 as "1.54 k" (unit 1000) or "1.50 Ki" (unit 1024). */
static void add_scaled(wg__str *s, double x, double unit, const char *what)
{
    static const char *const prefix[] = {"", "k", "M", "G", "T", "P", "E"};
    size_t i = 0;
    for (; x >= unit && i + 1 < sizeof prefix / sizeof *prefix; i++)
        x /= unit;
    int digits = i == 0 || x >= 100 ? 0 : x >= 10 ? 1 : 2;
    const char *p = unit > 1000 && i == 1 ? "K" : prefix[i];
    wg__str_addf(s, "%.*f %s%s%s", digits, x, p, unit > 1000 && i ? "i" : "", what);
}

static void add_bytes(wg__str *s, double bytes) { add_scaled(s, bytes, 1024, "B"); }

static void add_count(wg__str *s, size_t n, const char *what)
{
    wg__str_addf(s, "%zu %s%s", n, what, n == 1 ? "" : "s");
}

/* ---- values -------------------------------------------------------------------------------------------- */

/* By its name, or a literal's number, or its number on the tape. */
static void add_value(wg__str *s, const wg_tape *t, uint32_t id)
{
    const wg__node *n = wg__node_at(t, id);
    int64_t room;
    if (n->op == WG__OP_LITERAL) {
        wg__store_literal(wg__type_at(t, id)->dtype, n->u.bits, &room);
        wg__add_number(s, wg__type_at(t, id)->dtype, &room, 0);
    } else if (n->name) {
        wg__full_name(t, id, s);
    } else {
        wg__str_addf(s, "%%%u", id);
    }
}

static bool computes(const wg_tape *t, const wg__step_info *info, uint32_t id)
{
    uint32_t head = wg__head(t, id);
    for (size_t i = 0; i < info->nnodes; i++)
        if (info->nodes[i] == head)
            return true;
    return false;
}

/* "reads x, w; " of the values in memory that the step computes (or not). */
static void add_reached(wg__str *s, const wg_tape *t, const wg__step_info *info,
                        const uint32_t *ids, size_t n, bool computed)
{
    size_t listed = 0;
    for (size_t i = 0; i < n && listed <= MAX_LISTED; i++) {
        if (computes(t, info, ids[i]) != computed)
            continue;
        wg__str_add(s, listed++ ? ", " : computed ? "; writes " : "; reads ");
        if (listed > MAX_LISTED)
            wg__str_add(s, "...");
        else
            add_value(s, t, ids[i]);
    }
}

/* ---- steps ----------------------------------------------------------------------------------------------- */

/* "mul, add x2, exp", in the order of computing. */
static void add_ops(wg__str *s, const wg_tape *t, const wg__step_info *info)
{
    uint16_t op[MAX_LISTED];
    size_t times[MAX_LISTED], n = 0;
    bool more = false;
    for (size_t i = 0, k; i < info->nnodes; i++) {
        uint16_t of = wg__node_at(t, info->nodes[i])->op;
        for (k = 0; k < n && op[k] != of; k++) {}
        if (k == n && n == MAX_LISTED) {
            more = true;
            continue;
        }
        if (k == n) {
            op[n] = of;
            times[n++] = 0;
        }
        times[k]++;
    }
    for (size_t k = 0; k < n; k++) {
        wg__str_addf(s, "%s%s", k ? ", " : "", wg__op_at(t->ctx, op[k])->name);
        if (times[k] > 1)
            wg__str_addf(s, " x%zu", times[k]);
    }
    wg__str_add(s, more ? ", ..." : "");
}

/* The type of the largest value that the step computes: its space. */
static const wg_type *space_of(const wg_tape *t, const wg__step_info *info)
{
    const wg_type *space = NULL;
    for (size_t i = 0; i < info->nnodes; i++) {
        const wg_type *type = wg__type_at(t, info->nodes[i]);
        if (!space || wg_shape_count(type->shape) > wg_shape_count(space->shape))
            space = type;
    }
    return space;
}

/* "12.3 kflop" after a comma, unless it is 0. */
static void add_part(wg__str *s, const char **before, double x, double unit, const char *what)
{
    if (x <= 0)
        return;
    wg__str_add(s, *before);
    add_scaled(s, x, unit, what);
    *before = ", ";
}

static void add_counted(wg__str *s, const char **before, size_t n, const char *what)
{
    if (!n)
        return;
    wg__str_add(s, *before);
    add_count(s, n, what);
    *before = ", ";
}

/* "4 instructions, 12.3 kflop, 4.00 KiB, 2 tiles, about 1.2 us", as far as it is known. */
static void add_numbers(wg__str *s, const wg__step_info *info)
{
    const char *before = "\n        ";
    add_counted(s, &before, info->ops, "instruction");
    add_part(s, &before, info->flops, 1000, "flop");
    add_part(s, &before, info->bytes, 1024, "B");
    add_counted(s, &before, info->tiles, "tile");
    if (info->cost > 0) {
        wg__str_addf(s, "%sabout %.3g us", before, info->cost * 1e-3);
        before = ", ";
    }
    wg__str_add(s, *before == ',' ? "" : "\n        nothing to compute");
}

static void add_step(wg__str *s, const wg__code *code, size_t index)
{
    const wg_tape *t = code->tape;
    uint32_t reached[MAX_REACHED];
    wg__step_info info;
    code->executor->step(code, index, &info);
    size_t n = code->executor->reached(code, index, reached, MAX_REACHED);
    const wg_type *space = space_of(t, &info);
    wg__str_addf(s, "  %4zu  %s", index, info.kind);
    if (space) {
        wg__str_add(s, " ");
        wg__add_type(s, t->ctx, space);
    }
    if (info.nnodes && strcmp(info.kind, wg__op_of(t, info.nodes[0])->name)) {
        wg__str_add(s, ": ");
        add_ops(s, t, &info);
    }
    add_numbers(s, &info);
    add_reached(s, t, &info, reached, n, false);
    add_reached(s, t, &info, reached, n, true);
    if (info.together > 1)
        wg__str_addf(s, "; runs side by side with the next %zu", info.together - 1);
    wg__str_add(s, "\n");
}

/* ---- all ---------------------------------------------------------------------------------------------------- */

static void explain(const wg_program *p, wg__str *s)
{
    const wg__code *code = p->code;
    size_t n = code->executor->steps(code);
    wg__str_addf(s, "executor: %s\nbinds: ", code->executor->name);
    add_count(s, code->ninputs, "input");
    wg__str_add(s, ", ");
    add_count(s, code->nparams, "param");
    wg__str_add(s, "; gives: ");
    add_count(s, code->nouts, "output");
    wg__str_add(s, ", ");
    add_count(s, code->neffects, "update");
    wg__str_add(s, "\nmemory: ");
    add_bytes(s, (double)code->executor->bytes(code));
    wg__str_add(s, " for runs, ");
    add_bytes(s, (double)wg__session_bytes(p));
    wg__str_add(s, " a session\n");
    if (code->notes.len)
        wg__str_addf(s, "passes:\n%s", wg__str_text(&code->notes));
    code->executor->explain(code, s);
    wg__str_addf(s, "steps: %zu\n", n);
    for (size_t i = 0; i < n; i++)
        add_step(s, code, i);
}

wg_status wg_program_explain(const wg_program *program, FILE *out)
{
    if (!program || !out)
        return WG_INVALID;
    wg__str text = wg__str_make(program->ctx);
    explain(program, &text);
    wg_status status = text.failed || program->code->notes.failed ? WG_NO_MEMORY : WG_OK;
    if (!status && fwrite(text.data, 1, text.len, out) != text.len)
        status = WG_IO;
    if (!status && fflush(out) != 0)
        status = WG_IO;
    wg__str_free(&text);
    return status;
}
