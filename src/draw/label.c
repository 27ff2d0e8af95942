/* Words in pictures: labels as HTML-like markup (bold names, small types and attributes), and the
 * quoting that lets any name through. */
#include "draw/picture.h"

#include <stdio.h>
#include <string.h>

enum {
    MAX_SHOWN = 48,  /* characters of a name that a picture shows */
    MAX_ELEMENTS = 4 /* of a constant that is shown in full */
};

#define SMALL "<font point-size=\"9\" color=\"#505050\">"
#define END_SMALL "</font>"

char *wg__draw_unconst(const char *text)
{
    union {
        const char *in;
        char *out;
    } u = {text};
    return u.out;
}

Agraph_t *wg__draw_subgraph(wg__picture *p, Agraph_t *in, const char *name)
{
    Agraph_t *graph = in ? agsubg(in, wg__draw_unconst(name), 1) : NULL;
    p->failed |= !graph;
    return graph;
}

Agnode_t *wg__draw_node(wg__picture *p, Agraph_t *in, const char *name)
{
    Agnode_t *node = in ? agnode(in, wg__draw_unconst(name), 1) : NULL;
    p->failed |= !node;
    return node;
}

Agedge_t *wg__draw_edge(wg__picture *p, Agraph_t *in, Agnode_t *tail, Agnode_t *head)
{
    Agedge_t *edge = tail && head ? agedge(in, tail, head, NULL, 1) : NULL;
    p->failed |= !edge;
    return edge;
}

void wg__draw_set(void *object, const char *name, const char *value)
{
    if (!object)
        return;
    agsafeset(object, wg__draw_unconst(name), wg__draw_unconst(value), wg__draw_unconst(""));
}

void wg__draw_set_text(wg__picture *p, void *object, const char *name)
{
    p->failed |= p->text.failed;
    wg__draw_set(object, name, wg__str_text(&p->text));
    wg__str_clear(&p->text);
}

/* cgraph counts references to its strings and remembers which of them are markup; the value must
 * be its own copy for that to hold. Graphviz 2 does not tell a text from equal markup: markup has a
 * tag, which no quoted text has. */
void wg__draw_set_markup(wg__picture *p, void *object, const char *name)
{
    p->failed |= p->text.failed;
    char *own = agstrdup_html(p->graph, wg__draw_unconst(wg__str_text(&p->text)));
    wg__draw_set(object, name, own);
    agstrfree(p->graph, own);
    wg__str_clear(&p->text);
}

/* ---- quoting ----------------------------------------------------------------------------------- */

/* Length of the UTF-8 sequence at s, or 0 when it is none that XML may hold. */
static size_t utf8_length(const unsigned char *s)
{
    static const struct {
        unsigned char mask, lead;
        uint32_t least;
    } form[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    for (size_t n = 0; n < 4; n++) {
        if ((s[0] & form[n].mask) != form[n].lead)
            continue;
        uint32_t c = s[0] & (unsigned char)~form[n].mask;
        for (size_t i = 1; i <= n; i++) {
            if ((s[i] & 0xc0) != 0x80)
                return 0;
            c = c << 6 | (s[i] & 0x3f);
        }
        bool legal = c >= form[n].least && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff) &&
                     c != 0xfffe && c != 0xffff;
        return legal ? n + 1 : 0;
    }
    return 0;
}

/* Backslashes are doubled: Graphviz reads \N, \G, \n in labels, markup included. */
static void add_char(wg__str *s, const char *at, size_t length)
{
    static const struct {
        char c;
        const char *quoted;
    } special[] = {{'&', "&amp;"}, {'<', "&lt;"},   {'>', "&gt;"},   {'"', "&quot;"},
                   {'\\', "\\\\"}, {'\n', "\\\\n"}, {'\t', "\\\\t"}, {'\r', "\\\\r"}};
    for (size_t i = 0; length == 1 && i < sizeof special / sizeof *special; i++) {
        if (*at == special[i].c) {
            wg__str_add(s, special[i].quoted);
            return;
        }
    }
    unsigned char c = (unsigned char)*at;
    if (length == 0 || c < 0x20 || c == 0x7f)
        wg__str_addf(s, "\\\\x%02x", c);
    else
        wg__str_addn(s, at, length);
}

void wg__draw_add(wg__str *s, const char *text)
{
    for (size_t shown = 0; *text; shown++) {
        if (shown == MAX_SHOWN) {
            wg__str_add(s, "\xe2\x80\xa6");
            return;
        }
        size_t length = utf8_length((const unsigned char *)text);
        add_char(s, text, length);
        text += length ? length : 1;
    }
}

/* ---- attributes -------------------------------------------------------------------------------- */

static void add_list(wg__str *s, const wg_attrs *a, const wg__slot *slot)
{
    const char *list = wg__slot_list(a, slot);
    bool axes = slot->kind == WG_ATTR_AXES;
    int32_t count = slot->count < 8 ? slot->count : 8;
    wg__str_add(s, "[");
    for (int32_t i = 0; i < count; i++) {
        int32_t axis = 0;
        int64_t item = 0;
        if (axes)
            memcpy(&axis, list + (size_t)i * sizeof axis, sizeof axis);
        else
            memcpy(&item, list + (size_t)i * sizeof item, sizeof item);
        wg__str_addf(s, i ? ", %lld" : "%lld", (long long)(axes ? axis : item));
    }
    wg__str_add(s, slot->count > count ? ", \xe2\x80\xa6]" : "]");
}

/* True when the attribute says no more than its default or the type beside it. */
static bool is_silent(const wg_attrs *a, const wg__attr_spec *spec, const wg__slot *slot)
{
    const wg_attr *standard = &spec->standard;
    switch (spec->kind) {
    case WG_ATTR_INT:
    case WG_ATTR_BOOL:
    case WG_ATTR_AXIS:
        return !spec->required && slot->v.i == standard->v.i;
    case WG_ATTR_FLOAT:
        return !spec->required && slot->v.f == standard->v.f;
    case WG_ATTR_AXES:
        return !spec->required && standard->v.axes.count < 0 && slot->count < 0;
    case WG_ATTR_INTS:
        return slot->count == 0;
    case WG_ATTR_STRING:
        return *(const char *)wg__slot_list(a, slot) == '\0';
    default:
        return true; /* shapes and dtypes stand in the type, sub-tapes are drawn */
    }
}

static void add_attr(wg__str *s, const wg_attrs *a, const wg__attr_spec *spec, const wg__slot *slot)
{
    bool named = spec->kind != WG_ATTR_STRING;
    if (spec->kind == WG_ATTR_BOOL && !slot->v.i)
        wg__str_add(s, "no ");
    if (named)
        wg__draw_add(s, spec->name);
    if (named && spec->kind != WG_ATTR_BOOL)
        wg__str_add(s, " ");
    switch (spec->kind) {
    case WG_ATTR_INT:
    case WG_ATTR_AXIS:
        wg__str_addf(s, "%lld", (long long)slot->v.i);
        break;
    case WG_ATTR_BOOL:
        break; /* its name is all */
    case WG_ATTR_FLOAT:
        wg__str_addf(s, "%.4g", slot->v.f);
        break;
    case WG_ATTR_AXES:
    case WG_ATTR_INTS:
        add_list(s, a, slot);
        break;
    default:
        wg__draw_add(s, wg__slot_list(a, slot));
        break;
    }
}

/* A reduction over every axis of its operand says so by its result. */
static bool all_axes(const wg_tape *t, uint32_t id, const wg__slot *slot)
{
    const wg__node *n = wg__node_at(t, id);
    return slot->kind == WG_ATTR_AXES && n->nin > 0 &&
           slot->count == wg__type_at(t, wg__operands(t, n)[0])->shape.rank;
}

static void add_attrs(wg__str *s, const wg_tape *t, uint32_t id)
{
    if (!wg__node_at(t, id)->attrs)
        return;
    wg_attrs a = wg__attrs_of(t, id);
    const char *before = "<br/>" SMALL "<i>";
    for (size_t i = 0; i < a.op->sig.nattrs; i++) {
        const wg__attr_spec *spec = &a.op->sig.attrs[i];
        const wg__slot *slot = wg__slot_at(&a, i);
        if (is_silent(&a, spec, slot) || all_axes(t, id, slot))
            continue;
        wg__str_add(s, before);
        add_attr(s, &a, spec, slot);
        before = ", ";
    }
    if (*before == ',')
        wg__str_add(s, "</i>" END_SMALL);
}

/* ---- labels ------------------------------------------------------------------------------------ */

static const char *name_of(const wg_tape *t, uint32_t id)
{
    return wg__text(t, wg__node_at(t, id)->name);
}

static void add_type(wg__str *s, const wg_tape *t, uint32_t id)
{
    wg__str_add(s, "<br/>" SMALL);
    if (wg__node_at(t, id)->out > 0 && *name_of(t, id)) {
        wg__draw_add(s, name_of(t, id));
        wg__str_add(s, ": ");
    }
    wg__add_type(s, t->ctx, wg__type_at(t, id));
    wg__str_add(s, END_SMALL);
}

static void add_bold(wg__str *s, const char *name)
{
    wg__str_add(s, "<b>");
    wg__draw_add(s, name);
    wg__str_add(s, "</b>");
}

/* True for a constant that is small enough to show what it holds. */
static bool shows_elements(const wg_tape *t, uint32_t id)
{
    int64_t count = wg_shape_count(wg__type_at(t, id)->shape);
    return wg__node_at(t, id)->op == WG__OP_CONST && count > 0 && count <= MAX_ELEMENTS;
}

static void add_elements(wg__str *s, const wg_tape *t, uint32_t id)
{
    const wg_tensor *tensor = t->consts.data[wg__node_at(t, id)->u.bits];
    int64_t count = wg_shape_count(tensor->type.shape);
    for (int64_t i = 0; i < count; i++) {
        wg__str_add(s, i ? ", " : tensor->type.shape.rank ? "[" : "");
        wg__add_number(s, tensor->type.dtype, tensor->data, i);
    }
    wg__str_add(s, tensor->type.shape.rank ? "]" : "");
}

static void add_heading(wg__str *s, const wg_tape *t, uint32_t id, wg__kind kind)
{
    const char *name = name_of(t, id);
    bool source = kind == WG__KIND_INPUT || kind == WG__KIND_PARAM;
    if (source && *name) {
        /* The lid of a cylinder takes room from the label. */
        if (kind == WG__KIND_PARAM)
            wg__str_add(s, "<font point-size=\"5\"> </font><br/>");
        add_bold(s, name);
    } else if (wg__node_at(t, id)->op == WG__OP_ASSIGN) {
        wg__str path = wg__str_make(t->ctx);
        wg__full_name(t, wg__operands(t, wg__node_at(t, id))[0], &path);
        s->failed |= path.failed;
        wg__str_add(s, "assign ");
        add_bold(s, wg__str_text(&path));
        wg__str_free(&path);
    } else {
        if (*name)
            add_bold(s, name);
        if (*name)
            wg__str_add(s, " = ");
        if (shows_elements(t, id))
            add_elements(s, t, id);
        else
            wg__draw_add(s, wg__op_of(t, id)->name);
    }
}

void wg__draw_label(wg__picture *p, const wg_tape *t, uint32_t id, wg__kind kind)
{
    wg__str *s = &p->text;
    if (kind != WG__KIND_CHOICE) /* its box has the heading */
        add_heading(s, t, id, kind);
    else if (*name_of(t, id))
        add_bold(s, name_of(t, id));
    else
        wg__str_add(s, "result");
    if (kind == WG__KIND_FN) {
        wg__str_add(s, " ");
        wg__draw_add(s, wg__node_fn(t, id, NULL)->body->name);
    }
    size_t nout = wg__node_at(t, id)->nout;
    bool assign = wg__node_at(t, id)->op == WG__OP_ASSIGN; /* the param tells the type */
    for (uint32_t i = 0; !assign && i < nout && i < 8; i++)
        add_type(s, t, id + i);
    if (nout > 8)
        wg__str_addf(s, "<br/>" SMALL "%zu outputs in all" END_SMALL, nout);
    if (kind == WG__KIND_CHOICE)
        return;
    add_attrs(s, t, id);
}

void wg__draw_heat_label(wg__picture *p, uint32_t id)
{
    if (id >= p->options->nheat || !(p->options->heat[id] >= 0))
        return;
    double percent = 100 * p->options->heat[id];
    wg__str_addf(&p->text, "<br/><b>%.*f%%</b>", percent < 9.95 ? 1 : 0, percent);
}

/* A literal keeps its number as f64, i64 or bool, whatever its type; it shows as in its type. */
static void add_literal(wg__str *s, const wg__node *n, wg_dtype dtype)
{
    int64_t room;
    double value = wg_dtype_is_float(dtype) ? n->u.f : (double)n->u.i;
    if (dtype == WG_I64)
        room = n->u.i;
    else
        wg__store(dtype, &room, 0, value);
    wg__add_number(s, dtype, &room, 0);
}

void wg__draw_value_label(wg__picture *p, const wg_tape *t, uint32_t id)
{
    const wg__node *n = wg__node_at(t, id);
    wg_dtype dtype = wg__type_at(t, id)->dtype;
    if (n->op == WG__OP_CONST)
        wg__add_number(&p->text, dtype, t->consts.data[n->u.bits]->data, 0);
    else
        add_literal(&p->text, n, dtype);
}

/* The names of the outputs, of which a box has no nodes of its own. */
static void add_body_heading(wg__str *s, const wg_tape *t, uint32_t id)
{
    const char *before = "<b>";
    for (uint32_t i = 0; i < wg__node_at(t, id)->nout && i < 8; i++) {
        if (!*name_of(t, id + i))
            continue;
        wg__str_add(s, before);
        wg__draw_add(s, name_of(t, id + i));
        before = ", ";
    }
    wg__str_add(s, *before == ',' ? "</b> = " : before);
    wg__draw_add(s, wg__op_of(t, id)->name);
    if (*before != ',')
        wg__str_add(s, "</b>");
}

void wg__draw_body_label(wg__picture *p, const wg_tape *t, uint32_t id)
{
    wg__str *s = &p->text;
    wg_attrs a = wg__attrs_of(t, id);
    const wg_tape *body = wg__node_fn(t, id, NULL)->body;
    const bool several =
        wg__node_at(t, id)->op == WG__OP_COND || wg__node_at(t, id)->op == WG__OP_SWITCH;
    add_body_heading(s, t, id);
    if (body->name && *body->name && !several) {
        wg__str_add(s, " &quot;");
        wg__draw_add(s, body->name);
        wg__str_add(s, "&quot;");
    }
    wg_shape length = wg_attrs_shape(&a, "length");
    if (length.rank > 0) {
        wg__str_add(s, " \xc3\x97 ");
        if (length.symbol[0]) {
            wg__add_symbol(s, t->ctx, length.symbol[0]);
            wg__str_add(s, " = ");
        }
        wg__str_addf(s, "%lld", (long long)length.dim[0]);
    }
    if (wg_attrs_bool(&a, "counted"))
        wg__str_add(s, " at most");
    if (wg_attrs_bool(&a, "reverse"))
        wg__str_add(s, ", last step first");
    if (wg__node_at(t, id)->op == WG__OP_WHILE && wg_attrs_int(&a, "bound") >= 0)
        wg__str_addf(s, ", at most %lld steps", (long long)wg_attrs_int(&a, "bound"));
}

/* The first of a node's sub-tapes has the label of the node's box, unless the node chooses among
 * them. */
void wg__draw_add_part(wg__str *s, const wg_tape *t, uint32_t id, uint32_t which)
{
    static const char *const names[][2] = {
        {"if true", "if false"}, {"", "as long as"}, {"", "its rule"}};
    uint16_t op = wg__node_at(t, id)->op;
    if (op == WG__OP_SWITCH)
        wg__str_addf(s, "branch %u", which);
    else
        wg__str_add(s, names[op == WG__OP_COND ? 0 : op == WG__OP_WHILE ? 1 : 2][which]);
}

void wg__draw_part_label(wg__picture *p, const wg_tape *t, uint32_t id, uint32_t which)
{
    wg__str *s = &p->text;
    const char *body = wg__node_fn_at(t, id, which)->body->name;
    wg__str_add(s, "<b>");
    wg__draw_add_part(s, t, id, which);
    wg__str_add(s, "</b>");
    if (!body || !*body)
        return;
    wg__str_add(s, " &quot;");
    wg__draw_add(s, body);
    wg__str_add(s, "&quot;");
}

void wg__draw_set_tooltip(wg__picture *p, void *object, const wg_tape *t, uint32_t id)
{
    wg__str *s = &p->text;
    const wg__node *n = wg__node_at(t, id);
    wg__str_addf(s, "%%%u ", id);
    wg__draw_add(s, wg__op_of(t, id)->name);
    if (n->origin && n->origin <= id) {
        const char *name = name_of(t, n->origin - 1);
        wg__str_add(s, ", backward of ");
        wg__draw_add(s, *name ? name : wg__op_of(t, n->origin - 1)->name);
        wg__str_addf(s, " (%%%u)", n->origin - 1);
    }
    wg__draw_set_text(p, object, "tooltip");
}
