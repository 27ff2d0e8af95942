/* wengert dot: draws a graph as DOT text, or through Graphviz as a picture; if asked, as it was
 * compiled, coloured by where the time goes. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

enum { OPT_NO_LEGEND = 256, OPT_NO_EFFECTS, OPT_RULES, OPT_PROFILE, OPT_EXECUTOR, OPT_THREADS };

enum { DEFAULT_RUNS = 100 };

static const struct argp_option options[] = {
    {"type", 'T', "FORMAT", 0, "dot (the default), svg, png or pdf", 0},
    {"no-legend", OPT_NO_LEGEND, NULL, 0, "Draw no legend", 0},
    {"no-effects", OPT_NO_EFFECTS, NULL, 0, "Leave updates of parameters out", 0},
    {"rules", OPT_RULES, NULL, 0, "Draw the rules of custom_vjp and custom_jvp, too", 0},
    {"profile", OPT_PROFILE, "RUNS", OPTION_ARG_OPTIONAL,
     "Run the compiled graph RUNS times (100) on random inputs, integers 0, and draw it coloured "
     "by where the time goes",
     0},
    {"executor", OPT_EXECUTOR, "NAME", 0, "Profile this executor, not the default", 0},
    {"threads", OPT_THREADS, "N", 0, "Profile with this many threads, not as many as there may be",
     0},
    {0}};

typedef struct arguments {
    cli_source source;
    bool no_legend, no_effects, rules;
    const char *format, *executor;
    size_t runs; /* of a profile; 0: none */
    size_t threads;
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
    case OPT_RULES:
        a->rules = true;
        return 0;
    case OPT_PROFILE:
        a->runs = arg ? cli_count(state, arg, "RUNS") : DEFAULT_RUNS;
        return 0;
    case OPT_EXECUTOR:
        a->executor = arg;
        return 0;
    case OPT_THREADS:
        a->threads = cli_count(state, arg, "N");
        return 0;
    case ARGP_KEY_END:
        if ((a->executor || a->threads) && !a->runs)
            argp_error(state, "--executor and --threads go with --profile");
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

static bool draw(const arguments *a, const wg_tape *tape, const wg_dot_options *look)
{
    char *dot = wg_dot(tape, look);
    FILE *out = dot ? cli_open(a->source.output) : NULL;
    if (!dot)
        cli_message("%s", wg_status_text(WG_NO_MEMORY));
    bool ok = out && write_picture(dot, a->format, out);
    ok = out && cli_close(out, a->source.output) && ok;
    wg_text_free(wg_tape_ctx(tape), dot);
    return ok;
}

static bool draw_graph(const arguments *a, const cli_graph *g)
{
    wg_dot_options d = WG_DOT_DEFAULTS;
    d.title = wg_graph_name(g->graph);
    d.outs = g->outs;
    d.nouts = g->nouts;
    d.no_legend = a->no_legend;
    d.no_effects = a->no_effects;
    d.rules = a->rules;
    return draw(a, g->tape, &d);
}

/* ---- profiles ------------------------------------------------------------------------------------ */

/* The first run, which finds caches cold, does not count. */
static bool run_often(wg_session *s, size_t runs)
{
    bool ok = wg_run(s) == WG_OK && wg_session_profile(s, true) == WG_OK;
    for (size_t i = 0; ok && i < runs; i++)
        ok = wg_run(s) == WG_OK;
    if (!ok)
        cli_message("%s", wg_session_error(s));
    return ok;
}

static double seconds_a_run(const wg_session *s)
{
    wg_profile_entry e;
    double sum = 0;
    for (size_t i = 0; wg_session_profile_at(s, i, &e); i++)
        sum += e.seconds;
    return sum / (double)wg_session_profile_runs(s);
}

static bool draw_heat(const arguments *a, const cli_graph *g, const wg_session *s,
                      const wg_tape *tape)
{
    char title[160];
    wg_dot_options d = WG_DOT_DEFAULTS;
    d.title = title;
    d.no_legend = a->no_legend;
    d.nheat = wg_tape_size(tape);
    double *shares = calloc(d.nheat + 1, sizeof *shares);
    d.heat = shares;
    bool ok = shares && wg_session_profile_shares(s, shares, d.nheat);
    snprintf(title, sizeof title, "%.100s: %.4g us a run", wg_graph_name(g->graph),
             seconds_a_run(s) * 1e6);
    if (!ok)
        cli_message("%s", wg_status_text(WG_NO_MEMORY));
    ok = ok && draw(a, tape, &d);
    free(shares);
    return ok;
}

static bool draw_profile(const arguments *a, const cli_graph *g)
{
    wg_compile_options o = WG_COMPILE_DEFAULTS;
    o.executor = a->executor;
    o.no_effects = a->no_effects;
    wg_program *program = cli_graph_compile(g, &o);
    wg_session *s = program ? cli_session(program) : NULL;
    const wg_tape *tape = program ? wg_program_tape(program) : NULL;
    bool ok = s && tape && run_often(s, a->runs) && draw_heat(a, g, s, tape);
    wg_session_free(s);
    wg_program_free(program);
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
    wg_ctx *ctx = cli_context_threads(a.threads);
    if (!ctx)
        return CLI_BAD_INPUT;
    bool ok = cli_graph_open(&g, ctx, &a.source) && (a.runs ? draw_profile : draw_graph)(&a, &g);
    cli_graph_release(&g);
    wg_ctx_free(ctx);
    return ok ? CLI_OK : CLI_BAD_INPUT;
}
