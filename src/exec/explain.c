/* Explaining a program: what the passes did, how much memory runs take, and the steps of a run in
 * order. The executor knows what its steps do; here it is put into words. */
#include <string.h>

#include "exec/exec.h"

enum { MAX_LISTED = 8, MAX_REACHED = 64, INDENT = 6 };

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
    } else {
        wg__value_name(t, id, s);
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

/* ", " before all but the first; "..." after MAX_LISTED, then false. */
static bool list_value(wg__str *s, const wg_tape *t, uint32_t id, const char *first, size_t *listed)
{
    wg__str_add(s, (*listed)++ ? ", " : first);
    if (*listed <= MAX_LISTED)
        add_value(s, t, id);
    else
        wg__str_add(s, "...");
    return *listed <= MAX_LISTED;
}

static bool among(const uint32_t *ids, size_t n, uint32_t id)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] == id)
            return true;
    return false;
}

/* "; reads x, w" of the values in memory that the step computes (or not). How many it listed. */
static size_t add_reached(wg__str *s, const wg__step_info *info, const uint32_t *ids, size_t n,
                          bool computed)
{
    size_t listed = 0;
    const char *first = computed ? "; writes " : "; reads ";
    for (size_t i = 0; i < n; i++)
        if (computes(info->tape, info, ids[i]) == computed && !among(ids, i, ids[i]) &&
            !list_value(s, info->tape, ids[i], first, &listed))
            break;
    return listed;
}

/* What a step of scalars computes and others read: its values have room of their own. */
static void add_read_later(wg__str *s, const wg__step_info *info, const bool *used)
{
    size_t listed = 0;
    for (size_t i = 0; i < info->nnodes; i++)
        if (used[info->nodes[i]] &&
            !list_value(s, info->tape, info->nodes[i], "; writes ", &listed))
            return;
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
static void add_numbers(wg__str *s, const wg__step_info *info, int indent)
{
    const char *before = "";
    wg__str_addf(s, "\n%*s", indent, "");
    add_counted(s, &before, info->ops, "instruction");
    add_part(s, &before, info->flops, 1000, "flop");
    add_part(s, &before, info->bytes, 1024, "B");
    add_counted(s, &before, info->tiles, "tile");
    if (info->cost > 0) {
        wg__str_addf(s, "%sabout %.3g us", before, info->cost * 1e-3);
        before = ", ";
    }
    wg__str_add(s, *before ? "" : "nothing to compute");
}

/* While explaining: what each part's steps read, and which parts have been told. */
typedef struct teller {
    const wg__code *code;
    wg__str *s;
    bool **used; /* by part and id */
    bool *told;
} teller;

static void add_what(teller *e, const wg__step_info *info)
{
    const wg_type *space = space_of(info->tape, info);
    wg__str_add(e->s, info->kind);
    if (space) {
        wg__str_add(e->s, " ");
        wg__add_type(e->s, info->tape->ctx, space);
    }
    if (info->nnodes && strcmp(info->kind, wg__op_of(info->tape, info->nodes[0])->name)) {
        wg__str_add(e->s, ": ");
        add_ops(e->s, info->tape, info);
    }
}

static void add_part_steps(teller *e, size_t part, int depth);

/* Recursive over the nesting of sub-tapes; each is told once. */
static void add_bodies(teller *e, const wg__step_info *info, int depth)
{
    for (size_t i = 0; i < info->nbodies; i++) {
        const size_t part = info->body[i].part;
        wg__step_info first;
        if (!e->code->executor->steps(e->code, part))
            continue;
        e->code->executor->step(e->code, part, 0, &first);
        const char *name = first.tape->name;
        wg__str_addf(e->s, "%*s%s", 8 + depth * INDENT, "", name && *name ? name : "its body");
        if (info->body[i].times > 0)
            wg__str_addf(e->s, ", %.0f time%s", info->body[i].times,
                         info->body[i].times == 1 ? "" : "s");
        wg__str_add(e->s, e->told[part] ? ": see above\n" : ":\n");
        if (!e->told[part])
            add_part_steps(e, part, depth + 1);
    }
}

static void add_step(teller *e, size_t part, size_t index, int depth)
{
    uint32_t reached[MAX_REACHED];
    wg__step_info info;
    e->code->executor->step(e->code, part, index, &info);
    size_t n = e->code->executor->reached(e->code, part, index, reached, MAX_REACHED);
    wg__str_addf(e->s, "%*s%4zu  ", 2 + depth * INDENT, "", index);
    add_what(e, &info);
    add_numbers(e->s, &info, 8 + depth * INDENT);
    add_reached(e->s, &info, reached, n, false);
    if (!add_reached(e->s, &info, reached, n, true))
        add_read_later(e->s, &info, e->used[part]);
    if (info.together > 1)
        wg__str_addf(e->s, "; runs side by side with the next %zu", info.together - 1);
    wg__str_add(e->s, "\n");
    add_bodies(e, &info, depth);
}

static void add_part_steps(teller *e, size_t part, int depth)
{
    const size_t n = e->code->executor->steps(e->code, part);
    e->told[part] = true;
    for (size_t i = 0; i < n; i++)
        add_step(e, part, i, depth);
}

static void mark(bool *used, const uint32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        used[ids[i]] = true;
}

/* What a body gives. */
static void mark_outs(bool *used, const wg_tape *body)
{
    for (size_t i = 0; body->parent && i < body->parent->fns.len; i++) {
        const wg__fn *fn = body->parent->fns.data[i].fn;
        if (fn->body == body)
            mark(used, fn->outs, fn->nouts);
    }
}

/* What the steps of a part read, and what it gives. */
static bool *find_used(const wg__code *code, size_t part)
{
    const size_t n = code->executor->steps(code, part);
    wg__step_info info;
    if (n)
        code->executor->step(code, part, 0, &info);
    const wg_tape *t = n ? info.tape : code->tape;
    bool *used = wg__calloc(code->ctx, t->nodes.len, sizeof *used);
    for (size_t i = 0; used && i < n; i++) {
        uint32_t reached[MAX_REACHED];
        const size_t count = code->executor->reached(code, part, i, reached, MAX_REACHED);
        mark(used, reached, count);
    }
    if (used && part == 0)
        mark(used, code->roots, code->nouts + code->neffects);
    else if (used)
        mark_outs(used, t);
    return used;
}

/* False: out of memory. */
static bool add_steps(const wg__code *code, wg__str *s)
{
    const size_t parts = code->executor->parts(code);
    teller e = {.code = code, .s = s};
    e.told = wg__calloc(code->ctx, parts, sizeof *e.told);
    e.used = wg__calloc(code->ctx, parts, sizeof *e.used);
    bool good = e.told && e.used;
    for (size_t i = 0; good && i < parts; i++)
        good = (e.used[i] = find_used(code, i)) != NULL;
    if (good)
        add_part_steps(&e, 0, 0);
    for (size_t i = 0; e.used && i < parts; i++)
        wg__free(code->ctx, e.used[i]);
    wg__free(code->ctx, e.used);
    wg__free(code->ctx, e.told);
    return good;
}

/* ---- all ---------------------------------------------------------------------------------------------------- */

static void explain(const wg_program *p, wg__str *s)
{
    const wg__code *code = p->code;
    size_t n = code->executor->steps(code, 0);
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
    s->failed |= !add_steps(code, s);
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
