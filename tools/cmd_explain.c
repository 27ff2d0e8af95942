/* wengert explain: how a graph is compiled and run: passes, memory, steps. */
#include "cli.h"

enum { OPT_EXECUTOR = 256, OPT_MEMORY_LIMIT, OPT_NO_EFFECTS, OPT_THREADS };

static const struct argp_option options[] = {
    {"executor", OPT_EXECUTOR, "NAME", 0, "Compile for this executor, not for the default", 0},
    {"memory-limit", OPT_MEMORY_LIMIT, "BYTES", 0,
     "Fit a session into this much memory, by computing values again", 0},
    {"no-effects", OPT_NO_EFFECTS, NULL, 0, "Leave updates of parameters out", 0},
    {"threads", OPT_THREADS, "N", 0, "Plan for this many threads, not for as many as there may be",
     0},
    {0}};

typedef struct arguments {
    cli_source source;
    wg_compile_options compile;
    size_t threads;
} arguments;

static error_t parse(int key, char *arg, struct argp_state *state)
{
    arguments *a = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &a->source;
        return 0;
    case OPT_EXECUTOR:
        a->compile.executor = arg;
        return 0;
    case OPT_MEMORY_LIMIT:
        a->compile.memory_limit = cli_count(state, arg, "BYTES");
        return 0;
    case OPT_NO_EFFECTS:
        a->compile.no_effects = true;
        return 0;
    case OPT_THREADS:
        a->threads = cli_count(state, arg, "N");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* The compiled graph, in which the values that the steps name can be found. */
static bool print_graph(const wg_program *program, FILE *out)
{
    const wg_tape *tape = wg_program_tape(program);
    char *text = tape ? wg_print(tape, "compiled", NULL, 0) : NULL;
    if (!text)
        return false;
    fprintf(out, "graph:\n%s", text);
    wg_text_free(wg_program_ctx(program), text);
    return true;
}

static bool explain(const arguments *a, const cli_graph *g)
{
    wg_program *program = cli_graph_compile(g, &a->compile);
    FILE *out = program ? cli_open(a->source.output) : NULL;
    wg_status status = out ? wg_program_explain(program, out) : WG_OK;
    if (out && !status && !print_graph(program, out))
        status = WG_NO_MEMORY;
    if (status == WG_NO_MEMORY)
        cli_message("%s", wg_status_text(status));
    bool ok = out && cli_close(out, a->source.output) && !status;
    wg_program_free(program);
    return ok;
}

int cmd_explain(int argc, char **argv)
{
    static const char doc[] =
        "Compiles a graph and tells what became of it: what each pass did, how much memory a run "
        "takes, and the steps of a run, each with the ops it computes, arithmetic, memory traffic, "
        "tiles, and an estimate of its time on one thread. FILE '-' is standard input.";
    const struct argp_child children[] = {{&cli_source_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {options, parse, NULL, doc, children, NULL, NULL};
    arguments a = {.compile = WG_COMPILE_DEFAULTS};
    cli_graph g;
    a.compile.explain = true;
    if (argp_parse(&argp, argc, argv, 0, NULL, &a) != 0)
        return CLI_USAGE;
    wg_ctx *ctx = cli_context_threads(a.threads);
    if (!ctx)
        return CLI_BAD_INPUT;
    bool ok = cli_graph_open(&g, ctx, &a.source) && explain(&a, &g);
    cli_graph_release(&g);
    wg_ctx_free(ctx);
    return ok ? CLI_OK : CLI_BAD_INPUT;
}
