/* How names, strings, numbers and attributes are written, so that they read back exactly. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "text/ast.h"
#include "text/print.h"

/* ---- strings and numbers ------------------------------------------------------------------- */

/* Bytes of the well-formed UTF-8 sequence at `c` (RFC 3629, table of section 4); 0 when it is none
 * or plain ASCII. */
static int utf8_length(const unsigned char *c)
{
    static const struct {
        unsigned char first, last, low, high; /* of the first byte; of the second */
        int length;
    } rows[] = {{0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
                {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
                {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
                {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (c[0] < rows[i].first || c[0] > rows[i].last)
            continue;
        if (c[1] < rows[i].low || c[1] > rows[i].high)
            return 0;
        for (int k = 2; k < rows[i].length; k++)
            if ((c[k] & 0xc0) != 0x80)
                return 0;
        return rows[i].length;
    }
    return 0;
}

static void add_escaped(wg__str *s, unsigned char c)
{
    if (c == '"' || c == '\\')
        wg__str_addf(s, "\\%c", c);
    else if (c == '\n' || c == '\t')
        wg__str_add(s, c == '\n' ? "\\n" : "\\t");
    else
        wg__str_addf(s, "\\x%02x", c);
}

void wg__add_quoted(wg__str *s, const char *text)
{
    wg__str_add(s, "\"");
    while (*text) {
        const unsigned char *c = (const unsigned char *)text;
        int n = utf8_length(c);
        if (!n && *c >= 0x20 && *c < 0x7f && *c != '"' && *c != '\\')
            n = 1;
        if (n)
            wg__str_addn(s, text, (size_t)n);
        else
            add_escaped(s, *c);
        text += n ? n : 1;
    }
    wg__str_add(s, "\"");
}

void wg__add_exact(wg__str *s, wg_dtype dtype, const void *data, int64_t index)
{
    uint64_t bits = 0, plain = 0;
    size_t size = wg_dtype_size(dtype);
    if (wg_dtype_is_float(dtype) && isnan(wg__load(dtype, data, index))) {
        wg__parse_number(dtype, "nan", &plain, 0);
        memcpy(&bits, (const char *)data + (size_t)index * size, size);
    }
    if (bits == plain)
        wg__add_number(s, dtype, data, index);
    else
        wg__str_addf(s, "nan(0x%" PRIx64 ")", dtype == WG_F64 ? bits : (uint64_t)(uint32_t)bits);
}

/* ---- which names are shown ----------------------------------------------------------------- */

/* A value's place among names: equal for equal paths, as both ids are interned. */
typedef struct place {
    uint32_t scope, name;
} place;

/* Counts how often each byte string of a pool was added. */
typedef struct tally {
    wg__pool pool;
    WG__VEC(uint32_t) counts;
} tally;

static bool tally_add(tally *c, const void *data, size_t size)
{
    uint32_t id = wg__pool_intern(&c->pool, data, size);
    if (!id || (id > c->counts.len && !wg__vec_push(c->pool.ctx, &c->counts, 0)))
        return false;
    c->counts.data[id - 1]++;
    return true;
}

static bool tally_once(const tally *c, const void *data, size_t size)
{
    uint32_t id = wg__pool_find(&c->pool, data, size);
    return id && c->counts.data[id - 1] == 1;
}

static void tally_free(tally *c)
{
    wg__vec_free(c->pool.ctx, &c->counts);
    wg__pool_free(&c->pool);
}

static void find_plain_scopes(wg__sheet *sheet)
{
    const wg_tape *t = sheet->t;
    sheet->plain[0] = 1;
    for (uint32_t id = 1; id <= t->scopes.entries.len; id++) {
        const wg__scope *scope = wg__scope_at(t, id); /* its parent has a smaller id */
        sheet->plain[id] =
            sheet->plain[scope->parent] && wg__is_identifier(wg__text(t, scope->name));
    }
}

/* A value has a name that can be written when it is an identifier in plain scopes; it is shown by
 * it when no other value has the same path. */
static bool find_named(wg__sheet *sheet)
{
    const wg_tape *t = sheet->t;
    tally paths = {.pool = {.ctx = t->ctx}};
    bool done = true;
    for (uint32_t id = 0; id < t->nodes.len && done; id++) {
        const wg__node *n = wg__node_at(t, id);
        place at = {n->scope, n->name};
        sheet->named[id] = n->name && sheet->plain[n->scope] && wg__is_name(wg__text(t, n->name));
        done = !sheet->named[id] || tally_add(&paths, &at, sizeof at);
    }
    for (uint32_t id = 0; id < t->nodes.len && done; id++) {
        const wg__node *n = wg__node_at(t, id);
        place at = {n->scope, n->name};
        sheet->named[id] = sheet->named[id] && tally_once(&paths, &at, sizeof at);
    }
    tally_free(&paths);
    return done;
}

uint32_t wg__sheet_fn_order(const wg__sheet *sheet, const wg__fn *fn)
{
    return wg__pool_find(&sheet->fns, &fn, sizeof fn) - 1;
}

static const wg__fn *fn_at(const wg__sheet *sheet, uint32_t order)
{
    return *(const wg__fn *const *)wg__pool_get(&sheet->fns, order + 1, NULL);
}

static bool collect_fns(wg__sheet *sheet)
{
    const wg_tape *t = sheet->t;
    const wg__fn *fn;
    for (uint32_t id = 0; id < t->nodes.len; id += wg__node_at(t, id)->nout)
        for (size_t i = 0; (fn = wg__node_fn_at(t, id, i)); i++)
            if (!wg__pool_intern(&sheet->fns, &fn, sizeof fn))
                return false;
    return true;
}

static const char *body_name(const wg__fn *fn) { return fn->body->name ? fn->body->name : ""; }

static bool find_named_fns(wg__sheet *sheet)
{
    wg_ctx *ctx = sheet->t->ctx;
    tally names = {.pool = {.ctx = ctx}};
    bool done = collect_fns(sheet);
    size_t n = sheet->fns.entries.len;
    done = done && (sheet->by_name = wg__calloc(ctx, n + 1, 1));
    for (uint32_t k = 0; k < n && done; k++) {
        const char *name = body_name(fn_at(sheet, k));
        done = !*name || tally_add(&names, name, strlen(name));
    }
    for (uint32_t k = 0; k < n && done; k++) {
        const char *name = body_name(fn_at(sheet, k));
        sheet->by_name[k] = wg__is_name(name) && tally_once(&names, name, strlen(name));
    }
    tally_free(&names);
    return done;
}

bool wg__sheet_init(wg__sheet *sheet, wg__str *s, const wg_tape *t, int indent)
{
    *sheet = (wg__sheet){.s = s, .t = t, .fns = {.ctx = t->ctx}, .indent = indent};
    sheet->named = wg__calloc(t->ctx, t->nodes.len + 1, 1);
    sheet->plain = wg__calloc(t->ctx, t->scopes.entries.len + 1, 1);
    if (!sheet->named || !sheet->plain)
        return false;
    find_plain_scopes(sheet);
    return find_named(sheet) && find_named_fns(sheet);
}

void wg__sheet_free(wg__sheet *sheet)
{
    wg__free(sheet->t->ctx, sheet->named);
    wg__free(sheet->t->ctx, sheet->plain);
    wg__free(sheet->t->ctx, sheet->by_name);
    wg__pool_free(&sheet->fns);
}

/* ---- names --------------------------------------------------------------------------------- */

/* "layer1.inner.", filled in from its end, where the chain of scopes starts. */
static void add_path(wg__str *s, const wg_tape *t, uint32_t scope)
{
    size_t n = 0;
    for (uint32_t up = scope; up; up = wg__scope_at(t, up)->parent)
        n += strlen(wg__text(t, wg__scope_at(t, up)->name)) + 1;
    wg__str_addf(s, "%*s", (int)n, "");
    char *end = s->failed ? NULL : s->data + s->len;
    for (uint32_t up = scope; up && end; up = wg__scope_at(t, up)->parent) {
        const char *name = wg__text(t, wg__scope_at(t, up)->name);
        end -= strlen(name) + 1;
        memcpy(end, name, strlen(name));
        end[strlen(name)] = '.';
    }
}

void wg__add_ref(const wg__sheet *sheet, uint32_t id)
{
    const wg__node *n = wg__node_at(sheet->t, id);
    if (!sheet->named[id]) {
        wg__str_addf(sheet->s, "%%%" PRIu32, id);
        return;
    }
    add_path(sheet->s, sheet->t, n->scope);
    wg__str_add(sheet->s, wg__text(sheet->t, n->name));
}

void wg__add_typed(const wg__sheet *sheet, uint32_t id)
{
    const wg__node *n = wg__node_at(sheet->t, id);
    const char *name = wg__text(sheet->t, n->name);
    if (sheet->named[id])
        wg__str_add(sheet->s, name);
    else
        wg__str_addf(sheet->s, "%%%" PRIu32, id);
    if (*name && !sheet->named[id]) {
        wg__str_add(sheet->s, " ");
        wg__add_quoted(sheet->s, name);
    }
    wg__str_add(sheet->s, ": ");
    wg__add_type(sheet->s, sheet->t->ctx, wg__type_at(sheet->t, id));
}

void wg__add_fn_label(const wg__sheet *sheet, uint32_t order, bool definition)
{
    const char *name = body_name(fn_at(sheet, order));
    if (sheet->by_name[order]) {
        wg__str_add(sheet->s, name);
        return;
    }
    wg__str_addf(sheet->s, "@%" PRIu32, order);
    if (definition && *name) {
        wg__str_add(sheet->s, " ");
        wg__add_quoted(sheet->s, name);
    }
}

/* ---- attributes ---------------------------------------------------------------------------- */

typedef struct attr {
    const wg__sheet *sheet;
    const wg_attrs *all;
    const wg__attr_spec *spec;
    const wg__slot *slot;
    int rank; /* of operand 0, or -1 */
} attr;

static void add_int(const attr *a) { wg__str_addf(a->sheet->s, "%" PRId64, a->slot->v.i); }

static void add_float(const attr *a) { wg__add_exact(a->sheet->s, WG_F64, &a->slot->v.f, 0); }

static void add_bool(const attr *a) { wg__str_add(a->sheet->s, a->slot->v.i ? "true" : "false"); }

static void add_dtype(const attr *a)
{
    wg__str_add(a->sheet->s, wg_dtype_name((wg_dtype)a->slot->v.i));
}

static void add_ints(const attr *a)
{
    const int64_t *list = wg__slot_list(a->all, a->slot);
    wg__str_add(a->sheet->s, "[");
    for (int32_t i = 0; i < a->slot->count; i++)
        wg__str_addf(a->sheet->s, "%s%" PRId64, i ? ", " : "", list[i]);
    wg__str_add(a->sheet->s, "]");
}

static void add_shape(const attr *a)
{
    wg_shape shape = wg_attrs_shape(a->all, a->spec->name);
    if (shape.rank)
        wg__add_shape(a->sheet->s, a->sheet->t->ctx, &shape);
    else
        wg__str_add(a->sheet->s, "[]");
}

static void add_string(const attr *a)
{
    wg__add_quoted(a->sheet->s, wg__slot_list(a->all, a->slot));
}

static void add_fn_number(const attr *a, size_t k)
{
    const wg__fn *fn = wg__slot_fn(a->all, a->slot, k);
    wg__add_fn_label(a->sheet, wg__sheet_fn_order(a->sheet, fn), false);
}

static void add_fn(const attr *a) { add_fn_number(a, 0); }

static void add_fns(const attr *a)
{
    for (size_t k = 0; k < wg__slot_nfns(a->slot); k++) {
        wg__str_add(a->sheet->s, k ? ", " : "[");
        add_fn_number(a, k);
    }
    wg__str_add(a->sheet->s, "]");
}

static bool default_value(const attr *a) { return a->slot->v.i == a->spec->standard.v.i; }

/* Axes are stored counted from the front. */
static bool default_axis(const attr *a)
{
    int64_t axis = a->spec->standard.v.i;
    return a->slot->v.i == (axis < 0 && a->rank >= 0 ? axis + a->rank : axis);
}

static bool default_axes(const attr *a)
{
    return a->spec->standard.v.axes.count < 0 && a->slot->count == a->rank;
}

static bool default_ints(const attr *a) { return a->slot->count == 0; }

static bool default_string(const attr *a)
{
    const char *standard = a->spec->standard.v.string;
    return strcmp(wg__slot_list(a->all, a->slot), standard ? standard : "") == 0;
}

static bool never(const attr *a)
{
    (void)a;
    return false;
}

static const struct {
    void (*add)(const attr *a);
    bool (*is_default)(const attr *a);
} kinds[] = {
    [WG_ATTR_INT] = {add_int, default_value},
    [WG_ATTR_FLOAT] = {add_float, default_value},
    [WG_ATTR_BOOL] = {add_bool, default_value},
    [WG_ATTR_DTYPE] = {add_dtype, default_value},
    [WG_ATTR_AXIS] = {add_int, default_axis},
    [WG_ATTR_AXES] = {add_ints, default_axes},
    [WG_ATTR_INTS] = {add_ints, default_ints},
    [WG_ATTR_SHAPE] = {add_shape, never},
    [WG_ATTR_STRING] = {add_string, default_string},
    [WG_ATTR_FN] = {add_fn, never},
    [WG_ATTR_FNS] = {add_fns, never},
};

void wg__add_attrs(const wg__sheet *sheet, uint32_t id, bool comma)
{
    wg_attrs all = wg__attrs_of(sheet->t, id);
    const wg__node *n = wg__node_at(sheet->t, id);
    int rank = n->nin ? wg__type_at(sheet->t, wg__operands(sheet->t, n)[0])->shape.rank : -1;
    for (size_t i = 0; all.slots && i < all.op->sig.nattrs; i++) {
        attr a = {sheet, &all, &all.op->sig.attrs[i], &all.slots[i], rank};
        if (!a.spec->required && kinds[a.spec->kind].is_default(&a))
            continue;
        wg__str_add(sheet->s, comma ? ", " : "");
        wg__str_addf(sheet->s, "%s=", a.spec->name);
        kinds[a.spec->kind].add(&a);
        comma = true;
    }
}
