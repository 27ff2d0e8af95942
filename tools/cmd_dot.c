/* wengert dot: draws a graph as DOT text, or through Graphviz as a picture. */
#include "cli.h"

#include <string.h>

enum { OPT_NO_LEGEND = 256, OPT_NO_EFFECTS };

static const struct argp_option options[] = {
    {"type", 'T', "FORMAT", 0, "dot (the default), svg, png or pdf", 0},
    {"no-legend", OPT_NO_LEGEND, NULL, 0, "Draw no legend", 0},
    {"no-effects", OPT_NO_EFFECTS, NULL, 0, "Leave updates of parameters out", 0},
    {0}};

typedef struct arguments {
    cli_source source;
    bool no_legend, no_effects;
    const char *format;
} arguments;

static bool known_format(const char *name)
{
    static const char *const known[] = {"dot", "svg", "png", "pdf"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(known[i], name))
            return true;
    return false;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    arguments *a = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &a->source;
        return 0;
    case 'T':
        if (!known_format(arg))
            argp_error(state, "unknown format '%s': dot, svg, png and pdf are there", arg);
        a->format = arg;
        return 0;
    case OPT_NO_LEGEND:
        a->no_legend = true;
        return 0;
    case OPT_NO_EFFECTS:
        a->no_effects = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Writes the DOT text in the format asked for; false after a message, but of a failed write, which
 * is told when `out` is closed. */
static bool write_picture(const char *dot, const char *format, FILE *out)
{
    const char *error = NULL;
    if (!strcmp(format, "dot")) {
        fputs(dot, out);
        return true;
    }
    if (wg_render(dot, format, out, &error) == WG_OK)
        return true;
    if (!ferror(out))
        cli_message("%s", error);
    return false;
}

static bool draw(const arguments *a, const cli_graph *g)
{
    wg_dot_options d = WG_DOT_DEFAULTS;
    d.title = wg_graph_name(g->graph);
    d.outs = g->outs;
    d.nouts = g->nouts;
    d.no_legend = a->no_legend;
    d.no_effects = a->no_effects;
    char *dot = wg_dot(g->tape, &d);
    FILE *out = dot ? cli_open(a->source.output) : NULL;
    if (!dot)
        cli_message("%s", wg_status_text(WG_NO_MEMORY));
    bool ok = out && write_picture(dot, a->format, out);
    ok = out && cli_close(out, a->source.output) && ok;
    wg_text_free(g->ctx, dot);
    return ok;
}

int cmd_dot(int argc, char **argv)
{
    static const char doc[] = "Draws a graph: a box per scope and sub-tape, backward nodes in "
                              "another colour. FILE '-' is standard input.";
    const struct argp_child children[] = {{&cli_source_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {options, parse, NULL, doc, children, NULL, NULL};
    arguments a = {.format = "dot"};
    cli_graph g;
    if (argp_parse(&argp, argc, argv, 0, NULL, &a) != 0)
        return CLI_USAGE;
    wg_ctx *ctx = cli_context();
    if (!ctx)
        return CLI_BAD_INPUT;
    bool ok = cli_graph_open(&g, ctx, &a.source) && draw(&a, &g);
    cli_graph_release(&g);
    wg_ctx_free(ctx);
    return ok ? CLI_OK : CLI_BAD_INPUT;
}
