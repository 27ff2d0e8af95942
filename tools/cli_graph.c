/* A graph file on the command line: its arguments, reading it, recording its gradients. */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- arguments --------------------------------------------------------------------------------- */

static const struct argp_option options[] = {
    {"grad", 'g', NULL, 0,
     "Record the gradient of the first output (summed when it is no scalar), with respect to the "
     "TARGETs, or to all float params, or without such to all float inputs",
     0},
    {"output", 'o', "FILE", 0, "Write to FILE instead of standard output", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    cli_source *s = state->input;
    switch (key) {
    case 'g':
        s->grad = true;
        return 0;
    case 'o':
        s->output = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (s->file)
            return ARGP_ERR_UNKNOWN; /* the rest comes as ARGP_KEY_ARGS */
        s->file = arg;
        return 0;
    case ARGP_KEY_ARGS:
        s->targets = &state->argv[state->next];
        s->ntargets = (size_t)(state->argc - state->next);
        return 0;
    case ARGP_KEY_END:
        if (!s->file)
            argp_error(state, "a file is needed ('-' is standard input)");
        if (s->ntargets && !s->grad)
            argp_error(state, "TARGETs go with --grad");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp cli_source_argp = {options, parse, "FILE [TARGET...]", NULL, NULL, NULL, NULL};

/* ---- reading ----------------------------------------------------------------------------------- */

/* All of `in`, owned; NULL with errno set. */
static char *read_all(FILE *in, size_t *size)
{
    size_t room = 1 << 16;
    char *text = malloc(room);
    *size = 0;
    while (text) {
        *size += fread(text + *size, 1, room - *size, in);
        if (ferror(in))
            break;
        if (*size < room)
            return text;
        char *more = realloc(text, room *= 2);
        if (!more)
            break;
        text = more;
    }
    free(text);
    return NULL;
}

static wg_graph *parse_stdin(wg_ctx *ctx, char **error)
{
    size_t size;
    char *text = read_all(stdin, &size);
    if (!text) {
        cli_message("standard input: %s", strerror(errno));
        return NULL;
    }
    wg_graph *graph = wg_parse(ctx, text, size, "<stdin>", error);
    free(text);
    return graph;
}

static wg_graph *read_graph(wg_ctx *ctx, const char *path)
{
    char *error = NULL;
    wg_graph *graph =
        strcmp(path, "-") ? wg_parse_file(ctx, path, &error) : parse_stdin(ctx, &error);
    if (error)
        fprintf(stderr, "%s%s", error, *error && error[strlen(error) - 1] == '\n' ? "" : "\n");
    wg_text_free(ctx, error);
    return graph;
}

/* ---- gradients --------------------------------------------------------------------------------- */

static void tell_tape(const wg_tape *tape)
{
    cli_message("%s", wg_tape_status(tape) ? wg_tape_error(tape) : wg_status_text(WG_NO_MEMORY));
}

typedef struct targets {
    wg_var *vars;
    size_t count;
} targets;

static void add_target(targets *t, wg_var v)
{
    if (wg_ok(v) && wg_dtype_is_float(wg_typeof(v).dtype))
        t->vars[t->count++] = v;
}

/* The compiled first output knows which params and inputs it reads. */
static void find_targets(wg_graph *graph, const wg_program *program, targets *t)
{
    size_t nparams = wg_program_nparams(program), ninputs = wg_program_ninputs(program);
    t->vars = calloc(nparams + ninputs + 1, sizeof *t->vars);
    for (size_t i = 0; t->vars && i < nparams; i++)
        add_target(t, wg_graph_find(graph, wg_program_param(program, i, NULL)));
    bool none = t->count == 0;
    for (size_t i = 0; t->vars && none && i < ninputs; i++)
        add_target(t, wg_graph_find(graph, wg_program_input(program, i, NULL)));
}

static bool all_targets(wg_graph *graph, wg_var y, targets *t)
{
    wg_compile_options only_y = WG_COMPILE_DEFAULTS;
    only_y.no_effects = true;
    wg_program *program = wg_compile(wg_graph_tape(graph), &y, 1, &only_y);
    if (program)
        find_targets(graph, program, t);
    wg_program_free(program);
    if (!t->vars)
        tell_tape(wg_graph_tape(graph));
    else if (t->count == 0)
        cli_message("the first output depends on no float param or input");
    return t->count > 0;
}

static bool is_target(wg_var v, const char *name)
{
    if (!wg_ok(v))
        cli_message("%s: no value has this name", name);
    else if (!wg_dtype_is_float(wg_typeof(v).dtype))
        cli_message("%s: is %s; gradients are taken with respect to floats", name,
                    wg_dtype_name(wg_typeof(v).dtype));
    else
        return true;
    return false;
}

static bool named_targets(wg_graph *graph, char **names, size_t nnames, targets *t)
{
    t->vars = calloc(nnames, sizeof *t->vars);
    if (!t->vars)
        cli_message("%s", wg_status_text(WG_NO_MEMORY));
    for (size_t i = 0; t->vars && i < nnames; i++) {
        wg_var v = wg_graph_find(graph, names[i]);
        if (!is_target(v, names[i]))
            return false;
        t->vars[t->count++] = v;
    }
    return t->vars != NULL;
}

static wg_var as_scalar(wg_tape *tape, wg_var y)
{
    const wg_attr all = wg_attr_axes("axes", WG_ALL_AXES);
    wg_var sum = y;
    if (wg_typeof(y).shape.rank > 0)
        wg_apply(tape, "sum", &y, 1, &all, 1, &sum, 1);
    return sum;
}

/* Gradients are called after their targets; a value that has a name keeps it. */
static void name_gradient(wg_var gradient, wg_var target)
{
    char name[128];
    int n = snprintf(name, sizeof name, "d_%s", wg_name_of(target));
    if (n < (int)sizeof name && !*wg_name_of(gradient))
        wg_name(gradient, name);
}

static bool record(cli_graph *g, wg_var y, const targets *t)
{
    wg_var *grown = realloc(g->outs, (g->nouts + t->count + 1) * sizeof *grown);
    if (!grown)
        return false;
    g->outs = grown;
    wg_var *gradients = &grown[g->nouts];
    if (wg_grad(&y, 1, NULL, t->vars, t->count, gradients) != WG_OK)
        return false;
    for (size_t i = 0; i < t->count; i++)
        name_gradient(gradients[i], t->vars[i]);
    g->nouts += t->count;
    return true;
}

static bool add_gradients(cli_graph *g, const cli_source *s)
{
    targets t = {NULL, 0};
    if (g->nouts == 0 || !wg_dtype_is_float(wg_typeof(g->outs[0]).dtype)) {
        cli_message("the first output is no float: it has no gradient");
        return false;
    }
    wg_var y = as_scalar(g->tape, g->outs[0]);
    bool ok = s->ntargets ? named_targets(g->graph, s->targets, s->ntargets, &t)
                          : all_targets(g->graph, y, &t);
    if (ok && !(ok = record(g, y, &t)))
        tell_tape(g->tape);
    free(t.vars);
    return ok;
}

/* ---- both -------------------------------------------------------------------------------------- */

bool cli_graph_open(cli_graph *g, wg_ctx *ctx, const cli_source *source)
{
    memset(g, 0, sizeof *g);
    g->ctx = ctx;
    if (!(g->graph = read_graph(ctx, source->file)))
        return false;
    g->tape = wg_graph_tape(g->graph);
    g->nouts = wg_graph_noutputs(g->graph);
    g->outs = calloc(g->nouts + 1, sizeof *g->outs);
    if (!g->outs) {
        cli_message("%s", wg_status_text(WG_NO_MEMORY));
        return false;
    }
    for (size_t i = 0; i < g->nouts; i++)
        g->outs[i] = wg_graph_outputs(g->graph)[i];
    return !source->grad || add_gradients(g, source);
}

void cli_graph_release(cli_graph *g)
{
    free(g->outs);
    wg_graph_free(g->graph);
}
