/* wengert print: reads a graph and prints it in canonical form. */
#include "cli.h"

static error_t parse(int key, char *arg, struct argp_state *state)
{
    if (key != ARGP_KEY_INIT)
        return ARGP_ERR_UNKNOWN;
    state->child_inputs[0] = state->input;
    return 0;
}

static bool print(const cli_source *source, const cli_graph *g)
{
    char *text = wg_print(g->tape, wg_graph_name(g->graph), g->outs, g->nouts);
    FILE *out = text ? cli_open(source->output) : NULL;
    if (!text)
        cli_message("%s", wg_status_text(WG_NO_MEMORY));
    if (out)
        fputs(text, out);
    wg_text_free(g->ctx, text);
    return out && cli_close(out, source->output);
}

int cmd_print(int argc, char **argv)
{
    static const char doc[] = "Reads a graph and prints it in canonical form: equal graphs print "
                              "equal text. FILE '-' is standard input.";
    const struct argp_child children[] = {{&cli_source_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {NULL, parse, NULL, doc, children, NULL, NULL};
    cli_source source = {0};
    cli_graph g;
    if (argp_parse(&argp, argc, argv, 0, NULL, &source) != 0)
        return CLI_USAGE;
    wg_ctx *ctx = cli_context();
    if (!ctx)
        return CLI_BAD_INPUT;
    bool ok = cli_graph_open(&g, ctx, &source) && print(&source, &g);
    cli_graph_release(&g);
    wg_ctx_free(ctx);
    return ok ? CLI_OK : CLI_BAD_INPUT;
}
