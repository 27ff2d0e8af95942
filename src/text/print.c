/* Printing: a tape as .wg text in one pass over its nodes, sub-tapes before their first use. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "tape/init_kinds.h"
#include "text/ast.h"
#include "text/print.h"

/* A graph or fn: what stands around a tape. */
static bool print_tape(wg__str *s, const wg_tape *t, const uint32_t *outs, size_t nouts,
                       int indent);

enum { DEEPEST_INDENT = 16 };

static void start_line(const wg__sheet *sheet)
{
    int depth = sheet->indent < DEEPEST_INDENT ? sheet->indent : DEEPEST_INDENT;
    wg__str_addf(sheet->s, "%*s", 4 * depth, "");
}

/* ---- scopes -------------------------------------------------------------------------------- */

static void open_scope(wg__sheet *sheet, uint32_t scope)
{
    start_line(sheet);
    wg__str_add(sheet->s, "scope ");
    wg__add_quoted(sheet->s, wg__text(sheet->t, wg__scope_at(sheet->t, scope)->name));
    wg__str_add(sheet->s, " {\n");
    sheet->indent++;
}

static void close_scope(wg__sheet *sheet)
{
    sheet->indent--;
    start_line(sheet);
    wg__str_add(sheet->s, "}\n");
}

/* Closes and opens blocks on the way to `scope`. A scope's id is larger than its parent's, so the
 * larger of two ids is never the common ancestor. */
static bool enter(wg__sheet *sheet, uint32_t scope)
{
    wg_ctx *ctx = sheet->t->ctx;
    WG__VEC(uint32_t) inner = {NULL, 0, 0};
    bool done = true;
    for (uint32_t up = scope; done && up != sheet->scope;) {
        if (sheet->scope > up) {
            close_scope(sheet);
            sheet->scope = wg__scope_at(sheet->t, sheet->scope)->parent;
        } else {
            done = wg__vec_push(ctx, &inner, up);
            up = wg__scope_at(sheet->t, up)->parent;
        }
    }
    while (done && inner.len)
        open_scope(sheet, inner.data[--inner.len]);
    wg__vec_free(ctx, &inner);
    sheet->scope = scope;
    return done;
}

/* ---- nodes --------------------------------------------------------------------------------- */

static void add_refs(const wg__sheet *sheet, const uint32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        wg__str_add(sheet->s, i ? ", " : "");
        wg__add_ref(sheet, ids[i]);
    }
}

static void add_targets(const wg__sheet *sheet, uint32_t id, size_t n)
{
    wg__str_add(sheet->s, n > 1 ? "(" : "");
    for (size_t i = 0; i < n; i++) {
        wg__str_add(sheet->s, i ? ", " : "");
        wg__add_typed(sheet, id + (uint32_t)i);
    }
    wg__str_add(sheet->s, n > 1 ? ")" : "");
}

static void print_input(const wg__sheet *sheet, uint32_t id)
{
    wg__str_add(sheet->s, "input ");
    wg__add_typed(sheet, id);
}

static bool is_zero_bits(double x)
{
    static const double zero = 0;
    return memcmp(&x, &zero, sizeof x) == 0;
}

/* How many numbers stand behind an initialiser: all that are read, and none that is lost. */
static int shown_numbers(const char *kind, const double numbers[2], bool *plain)
{
    wg__init_id id = wg__init_find(kind);
    int least = id < WG__INIT_COUNT ? wg__init_kinds[id].nnumbers : 0, n = 2;
    while (n > least && is_zero_bits(numbers[n - 1]))
        n--;
    *plain = id < WG__INIT_COUNT && n == least;
    return n;
}

/* What no .wg text would say plainly, made by the C API, stands in quotes. */
static void print_param(const wg__sheet *sheet, uint32_t id)
{
    wg_attrs a = wg__attrs_of(sheet->t, id);
    const char *kind = wg_attrs_string(&a, "init");
    double numbers[2] = {wg_attrs_float(&a, "a"), wg_attrs_float(&a, "b")};
    bool plain;
    int n = shown_numbers(kind, numbers, &plain);
    wg__str_add(sheet->s, "param ");
    wg__add_typed(sheet, id);
    wg__str_add(sheet->s, " = ");
    if (plain)
        wg__str_add(sheet->s, kind);
    else
        wg__add_quoted(sheet->s, kind);
    for (int i = 0; i < n; i++) {
        wg__str_add(sheet->s, i ? ", " : "(");
        wg__add_exact(sheet->s, WG_F64, numbers, i);
    }
    wg__str_add(sheet->s, n ? ")" : "()");
}

static void print_const(const wg__sheet *sheet, uint32_t id)
{
    const wg_tensor *tensor = sheet->t->consts.data[wg__node_at(sheet->t, id)->u.bits];
    int64_t n = wg_shape_count(tensor->type.shape);
    bool one = tensor->type.shape.rank == 0;
    wg__str_add(sheet->s, "const ");
    wg__add_typed(sheet, id);
    wg__str_add(sheet->s, one ? " = " : " = [");
    for (int64_t i = 0; i < n; i++) {
        wg__str_add(sheet->s, i ? ", " : "");
        wg__add_exact(sheet->s, tensor->type.dtype, tensor->data, i);
    }
    wg__str_add(sheet->s, one ? "" : "]");
}

/* A literal's bits are a double for float dtypes (a NaN shows them), else an integer. */
static void print_literal(const wg__sheet *sheet, uint32_t id)
{
    const wg__node *n = wg__node_at(sheet->t, id);
    wg_dtype dtype = wg__type_at(sheet->t, id)->dtype;
    wg__add_typed(sheet, id);
    wg__str_add(sheet->s, " = ");
    if (dtype == WG_BOOL)
        wg__str_add(sheet->s, n->u.i ? "true" : "false");
    else if (!wg_dtype_is_float(dtype))
        wg__str_addf(sheet->s, "%" PRId64, n->u.i);
    else if (dtype == WG_F32 && !isnan(n->u.f))
        wg__add_exact(sheet->s, WG_F32, &(float){(float)n->u.f}, 0);
    else
        wg__add_exact(sheet->s, WG_F64, &n->u.f, 0);
}

static void print_op(const wg__sheet *sheet, uint32_t id)
{
    const wg__node *n = wg__node_at(sheet->t, id);
    add_targets(sheet, id, n->nout);
    wg__str_addf(sheet->s, " = %s(", wg__op_of(sheet->t, id)->name);
    add_refs(sheet, wg__operands(sheet->t, n), n->nin);
    wg__add_attrs(sheet, id, n->nin > 0);
    wg__str_add(sheet->s, ")");
}

/* fn step(h: f32) -> (y) { ... }, for every fn of the node that was not used before. */
static bool print_fns(wg__sheet *sheet, uint32_t id)
{
    const wg__fn *fn;
    for (size_t i = 0; (fn = wg__node_fn_at(sheet->t, id, i)); i++) {
        if (wg__sheet_fn_order(sheet, fn) < sheet->defined)
            continue;
        start_line(sheet);
        wg__str_add(sheet->s, "fn ");
        wg__add_fn_label(sheet, sheet->defined++, true);
        if (!print_tape(sheet->s, fn->body, fn->outs, fn->nouts, sheet->indent))
            return false;
    }
    return true;
}

static bool print_node(wg__sheet *sheet, uint32_t id)
{
    static void (*const printers[])(const wg__sheet *, uint32_t) = {
        [WG__OP_INPUT] = print_input,
        [WG__OP_PARAM] = print_param,
        [WG__OP_CONST] = print_const,
        [WG__OP_LITERAL] = print_literal,
    };
    const wg__node *n = wg__node_at(sheet->t, id);
    if (!enter(sheet, n->scope) || !print_fns(sheet, id))
        return false;
    start_line(sheet);
    (n->op < sizeof printers / sizeof *printers ? printers[n->op] : print_op)(sheet, id);
    if (n->origin) {
        wg__str_add(sheet->s, " ^");
        wg__add_ref(sheet, n->origin - 1);
    }
    wg__str_add(sheet->s, "\n");
    return true;
}

/* ---- tapes --------------------------------------------------------------------------------- */

/* The leading inputs stand in the header; returns the first node behind them. */
static uint32_t print_header(const wg__sheet *sheet, const uint32_t *outs, size_t nouts)
{
    const wg_tape *t = sheet->t;
    uint32_t id = 0;
    wg__str_add(sheet->s, "(");
    for (; id < t->nodes.len; id++) {
        const wg__node *n = wg__node_at(t, id);
        if (n->op != WG__OP_INPUT || n->scope || n->origin)
            break;
        wg__str_add(sheet->s, id ? ", " : "");
        wg__add_typed(sheet, id);
    }
    wg__str_add(sheet->s, ") -> (");
    add_refs(sheet, outs, nouts);
    wg__str_add(sheet->s, ") {\n");
    return id;
}

static bool print_tape(wg__str *s, const wg_tape *t, const uint32_t *outs, size_t nouts, int indent)
{
    wg__sheet sheet;
    bool done = wg__sheet_init(&sheet, s, t, indent);
    uint32_t id = done ? print_header(&sheet, outs, nouts) : 0;
    sheet.indent++;
    for (; done && id < t->nodes.len; id += wg__node_at(t, id)->nout)
        done = print_node(&sheet, id);
    done = done && enter(&sheet, 0);
    if (done)
        close_scope(&sheet);
    wg__sheet_free(&sheet);
    return done;
}

/* ---- public -------------------------------------------------------------------------------- */

/* Reports to the tape without changing what it holds. */
static wg_tape *reporter(const wg_tape *t) { return (wg_tape *)t; }

static bool print_graph(wg__str *s, const wg_tape *t, const char *name, const wg_var *outs,
                        size_t nouts)
{
    uint32_t *ids = wg__calloc(t->ctx, nouts ? nouts : 1, sizeof *ids);
    bool done = ids != NULL;
    if (!done)
        wg__tape_no_memory(reporter(t));
    for (size_t i = 0; done && i < nouts; i++)
        if ((ids[i] = wg__find(t, outs[i])) == WG__NONE) {
            wg__tape_fail(reporter(t), WG_INVALID, "print: output %zu is no value of this tape", i);
            done = false;
        }
    wg__str_add(s, "graph ");
    if (wg__is_name(name))
        wg__str_add(s, name);
    else
        wg__add_quoted(s, name);
    done = done && print_tape(s, t, ids, nouts, 0);
    wg__free(t->ctx, ids);
    return done;
}

char *wg_print(const wg_tape *tape, const char *name, const wg_var *outs, size_t nouts)
{
    if (!tape || (!outs && nouts))
        return NULL;
    wg__str s = wg__str_make(tape->ctx);
    bool done = print_graph(&s, tape, name ? name : "main", outs, nouts);
    char *text = done ? wg__str_take(&s) : NULL;
    wg__str_free(&s);
    return text;
}

void wg_text_free(wg_ctx *ctx, char *text)
{
    if (ctx)
        wg__free(ctx, text);
}

wg_status wg_print_file(const wg_tape *tape, const char *name, const wg_var *outs, size_t nouts,
                        FILE *file)
{
    if (!tape || !file)
        return WG_INVALID;
    char *text = wg_print(tape, name, outs, nouts);
    if (!text)
        return wg_tape_status(tape) ? wg_tape_status(tape) : WG_NO_MEMORY;
    size_t size = strlen(text);
    bool written = fwrite(text, 1, size, file) == size && fflush(file) == 0;
    wg_text_free(tape->ctx, text);
    return written ? WG_OK : WG_IO;
}
