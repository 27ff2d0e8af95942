/* Looks: each kind of node has a shape, a fill and a line, so that pictures read in colour, to the
 * colour-blind (colours of Okabe and Ito 2008) and in black and white. The legend comes from the
 * same table. */
#include "draw/picture.h"

#include <stdio.h>
#include <string.h>

#define FORWARD_LINE "#0072B2"
#define BACKWARD_LINE "#D55E00"
#define BACKWARD_FILL "#FCE8DA"

static const struct look {
    const char *legend, *shape, *style, *fill, *line, *margin;
} looks[WG__KIND_COUNT] = {
    [WG__KIND_INPUT] = {"input", "invhouse", "filled", "#FFF2CC", "#8A6D00", "0.02,0.02"},
    [WG__KIND_PARAM] = {"parameter", "cylinder", "filled", "#D5F0E6", "#00795A", "0.1,0.04"},
    [WG__KIND_CONST] = {"constant", "note", "filled", "#ECECEC", "#505050", "0.1,0.04"},
    [WG__KIND_LITERAL] = {"literal", "plaintext", "", "", "", "0.01,0.01"},
    [WG__KIND_OP] = {"operation", "box", "rounded,filled", "#E1EFF8", FORWARD_LINE, "0.1,0.05"},
    [WG__KIND_RANDOM] = {"random", "hexagon", "filled", "#F6E1ED", "#A3447A", "0.02,0.02"},
    [WG__KIND_STOP] = {"no gradient", "octagon", "filled", "#FFFFFF", "#000000", "0.02,0.02"},
    [WG__KIND_FN] = {"sub-tape, drawn elsewhere", "tab", "filled", "#E1EFF8", FORWARD_LINE,
                     "0.1,0.05"},
    [WG__KIND_CHOICE] = {"choice", "invtrapezium", "filled", "#FFFFFF", FORWARD_LINE, "0.02,0.02"},
    [WG__KIND_EFFECT] = {"update of a parameter", "cds", "bold,filled", "#D5F0E6", "#00795A",
                         "0.15,0.05"},
};

/* ---- kinds ------------------------------------------------------------------------------------- */

wg__kind wg__draw_kind(const wg_tape *t, uint32_t id)
{
    static const struct {
        uint16_t op;
        wg__kind kind;
    } core[] = {{WG__OP_INPUT, WG__KIND_INPUT},   {WG__OP_PARAM, WG__KIND_PARAM},
                {WG__OP_CONST, WG__KIND_CONST},   {WG__OP_LITERAL, WG__KIND_LITERAL},
                {WG__OP_ASSIGN, WG__KIND_EFFECT}, {WG__OP_STOP_GRADIENT, WG__KIND_STOP}};
    const wg__op *op = wg__op_of(t, id);
    for (size_t i = 0; i < sizeof core / sizeof *core; i++)
        if (op->index == core[i].op)
            return core[i].kind;
    if (wg__node_fn(t, id, NULL))
        return WG__KIND_FN;
    if (op->def.flags & WG_OP_EFFECT)
        return WG__KIND_EFFECT;
    return op->def.flags & WG_OP_RANDOM ? WG__KIND_RANDOM : WG__KIND_OP;
}

/* ---- dressing ---------------------------------------------------------------------------------- */

static void declare(Agraph_t *g, int kind, const char *const (*pairs)[2], size_t count)
{
    for (size_t i = 0; i < count; i++)
        agattr(g, kind, wg__draw_unconst(pairs[i][0]), wg__draw_unconst(pairs[i][1]));
}

void wg__draw_defaults(wg__picture *p)
{
    static const char *const graph[][2] = {{"rankdir", "TB"},   {"fontname", "Helvetica"},
                                           {"fontsize", "11"},  {"nodesep", "0.22"},
                                           {"ranksep", "0.32"}, {"labelloc", "t"},
                                           {"label", ""},       {"style", ""},
                                           {"color", ""},       {"fontcolor", ""},
                                           {"bgcolor", ""},     {"penwidth", ""},
                                           {"labeljust", "c"},  {"tooltip", ""}};
    static const char *const node[][2] = {{"fontname", "Helvetica"},
                                          {"fontsize", "11"},
                                          {"shape", "box"},
                                          {"style", ""},
                                          {"fillcolor", ""},
                                          {"color", ""},
                                          {"width", "0.3"},
                                          {"height", "0.2"},
                                          {"margin", ""},
                                          {"penwidth", ""},
                                          {"fontcolor", ""},
                                          {"peripheries", ""},
                                          {"tooltip", ""},
                                          {"label", "\\N"}};
    static const char *const edge[][2] = {{"fontname", "Helvetica"},
                                          {"fontsize", "9"},
                                          {"color", "#404040"},
                                          {"arrowsize", "0.6"},
                                          {"style", ""},
                                          {"fontcolor", "#404040"},
                                          {"dir", ""},
                                          {"minlen", "1"},
                                          {"headlabel", ""},
                                          {"taillabel", ""},
                                          {"labelfontsize", "8"},
                                          {"labelfontcolor", "#707070"},
                                          {"labeldistance", "1.5"},
                                          {"labelangle", "20"},
                                          {"constraint", ""},
                                          {"tooltip", ""},
                                          {"label", ""},
                                          {"weight", ""}};
    declare(p->graph, AGRAPH, graph, sizeof graph / sizeof *graph);
    declare(p->graph, AGNODE, node, sizeof node / sizeof *node);
    declare(p->graph, AGEDGE, edge, sizeof edge / sizeof *edge);
}

void wg__draw_dress(wg__picture *p, Agnode_t *node, wg__kind kind, bool backward)
{
    const struct look *look = &looks[kind];
    p->seen[kind][backward] = true;
    wg__draw_set(node, "shape", look->shape);
    wg__draw_set(node, "style", look->style);
    wg__draw_set(node, "margin", look->margin);
    wg__draw_set(node, "fillcolor", look->fill);
    wg__draw_set(node, "color", look->line);
    if (!backward)
        return;
    if (kind == WG__KIND_LITERAL) {
        wg__draw_set(node, "fontcolor", BACKWARD_LINE);
        return;
    }
    char style[32];
    snprintf(style, sizeof style, "%s,dashed", look->style);
    wg__draw_set(node, "style", style);
    wg__draw_set(node, "color", BACKWARD_LINE);
    wg__draw_set(node, "fillcolor", BACKWARD_FILL);
}

/* The end of the value that starts at `at`: a comma outside double quotes, or the end. */
static const char *value_end(const char *at)
{
    bool quoted = false;
    for (; *at && (quoted || *at != ','); at++)
        quoted ^= *at == '"';
    return at;
}

static void add_unquoted(wg__str *s, const char *from, const char *to)
{
    for (; from < to; from++)
        if (*from != '"')
            wg__str_addn(s, from, 1);
}

/* `style` is key=value,key=value; a value with a comma stands in double quotes. */
void wg__draw_dress_op(wg__picture *p, Agnode_t *node, const char *style)
{
    while (style && *style) {
        style += strspn(style, ", ");
        const char *equals = strchr(style, '=');
        if (!equals)
            return;
        const char *end = value_end(equals + 1);
        wg__str *s = &p->text;
        wg__str_addn(s, style, (size_t)(equals - style));
        wg__str_addn(s, "", 1);
        add_unquoted(s, equals + 1, end);
        const char *key = wg__str_text(s);
        if (!s->failed && *key)
            wg__draw_set(node, key, key + strlen(key) + 1);
        p->failed |= s->failed;
        wg__str_clear(s);
        style = end;
    }
}

/* Sequential colours (the lighter ones of ColorBrewer's YlOrRd, Harrower and Brewer 2003, on which dark
 * text can be read), by the least share of the hottest that they stand for. */
static const struct heat {
    double share;
    const char *fill;
} heats[] = {{0.5, "#FD8D3C"},  {0.25, "#FEB24C"}, {0.1, "#FED976"},
             {0.04, "#FFEDA0"}, {0.01, "#FFFFCC"}, {0, "#FFFFFF"}};

/* Boxes let the page through: edges and small print cross them. */
void wg__draw_dress_heat(wg__picture *p, void *object, bool box, uint32_t id)
{
    char colour[16];
    if (id >= p->options->nheat || !(p->options->heat[id] >= 0) || p->hottest <= 0)
        return;
    const struct heat *h = heats;
    while (p->options->heat[id] < h->share * p->hottest)
        h++;
    snprintf(colour, sizeof colour, "%s%s", h->fill, box ? "50" : "");
    wg__draw_set(object, box ? "bgcolor" : "fillcolor", colour);
}

void wg__draw_dress_output(wg__picture *p, Agnode_t *node)
{
    p->seen_output = true;
    wg__draw_set(node, "peripheries", "2");
}

void wg__draw_dress_edge(Agedge_t *edge, bool backward)
{
    if (!backward)
        return;
    wg__draw_set(edge, "color", BACKWARD_LINE);
    wg__draw_set(edge, "fontcolor", BACKWARD_LINE);
    wg__draw_set(edge, "style", "dashed");
}

void wg__draw_dress_scope(Agraph_t *cluster)
{
    wg__draw_set(cluster, "style", "rounded,filled");
    wg__draw_set(cluster, "color", "#00000012"); /* see-through: nested scopes grow darker */
    wg__draw_set(cluster, "fontcolor", "#404040");
    wg__draw_set(cluster, "labeljust", "l");
}

void wg__draw_dress_body(Agraph_t *cluster, bool backward)
{
    wg__draw_set(cluster, "style", backward ? "dashed" : "solid");
    wg__draw_set(cluster, "color", backward ? BACKWARD_LINE : FORWARD_LINE);
    wg__draw_set(cluster, "fontcolor", backward ? BACKWARD_LINE : FORWARD_LINE);
    wg__draw_set(cluster, "penwidth", "1.5");
    wg__draw_set(cluster, "labeljust", "l");
}

/* ---- legend ------------------------------------------------------------------------------------ */

typedef struct legend {
    wg__picture *p;
    Agraph_t *cluster;
    Agnode_t *above; /* the last sample of the column */
    Agnode_t *top;   /* its first */
    int count;
} legend;

/* Columns of five, from left to right: low enough to stand beside a small graph. */
static void place_sample(legend *l, Agnode_t *node)
{
    bool starts = l->count++ % 5 == 0;
    Agnode_t *before = starts ? l->top : l->above;
    Agedge_t *edge = before ? wg__draw_edge(l->p, l->cluster, before, node) : NULL;
    wg__draw_set(edge, "style", "invis");
    if (starts) {
        wg__draw_set(edge, "minlen", "0");
        l->top = node;
    }
    l->above = node;
}

static Agnode_t *add_sample(legend *l, const char *text)
{
    char name[24];
    snprintf(name, sizeof name, "legend_%d", l->count);
    Agnode_t *node = wg__draw_node(l->p, l->cluster, name);
    wg__draw_set(node, "label", text);
    wg__draw_set(node, "fontsize", "9");
    wg__draw_set(node, "tooltip", text);
    place_sample(l, node);
    return node;
}

static void add_kind(legend *l, wg__kind kind, bool backward)
{
    char text[64];
    snprintf(text, sizeof text, "%s%s", backward ? "backward " : "", looks[kind].legend);
    wg__draw_dress(l->p, add_sample(l, text), kind, backward);
}

void wg__draw_legend(wg__picture *p)
{
    legend l = {p, wg__draw_subgraph(p, p->graph, "cluster_legend"), NULL, NULL, 0};
    wg__draw_set(l.cluster, "label", "legend");
    wg__draw_set(l.cluster, "style", "rounded");
    wg__draw_set(l.cluster, "color", "#B0B0B0");
    wg__draw_set(l.cluster, "fontcolor", "#606060");
    wg__draw_set(l.cluster, "fontsize", "9");
    for (int kind = 0; kind < WG__KIND_COUNT; kind++) {
        if (kind == WG__KIND_LITERAL)
            continue; /* a number speaks for itself */
        if (p->seen[kind][false])
            add_kind(&l, (wg__kind)kind, false);
        if (p->seen[kind][true])
            add_kind(&l, (wg__kind)kind, true);
    }
    if (p->seen_output) {
        Agnode_t *node = add_sample(&l, "output");
        wg__draw_set(node, "peripheries", "2");
    }
}
