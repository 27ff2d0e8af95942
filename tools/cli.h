/* What the verbs of the tool share: exit codes, the table of verbs, reading graphs, messages.
 * Includes public headers only, as all of tools/ does. */
#ifndef WG_TOOLS_CLI_H
#define WG_TOOLS_CLI_H

#include <argp.h>
#include <stdio.h>
#include <wengert.h>

enum cli_exit { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_BAD_INPUT = 3 };

/* One row per verb in main.c. argv[0] is "wengert VERB". */
typedef struct cli_verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *doc;
} cli_verb;

int cmd_check(int argc, char **argv);
int cmd_dot(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_ops(int argc, char **argv);
int cmd_print(int argc, char **argv);

/* "wengert: MESSAGE" on stderr. */
void cli_message(const char *format, ...) WG_PRINTF(1, 2);
/* The name nearest to a misspelt `word`, as " (did you mean X?)", or "". name(user, i) gives
 * candidate i, NULL past the end. */
enum { CLI_HINT = 64 };
typedef const char *(*cli_name_fn)(const void *user, size_t index);
void cli_suggest(char text[CLI_HINT], const char *word, cli_name_fn name, const void *user);
/* The op of this name, or NULL after a message. */
const wg_op *cli_find_op(const wg_ctx *ctx, const char *name);

/* A context, or NULL after a message. threads: of its runs; 0: as many as there may be. */
wg_ctx *cli_context(void);
wg_ctx *cli_context_threads(size_t threads);
/* The number that `text` is, from 1 on; else ends the tool through argp, with `what` in the message. */
size_t cli_count(const struct argp_state *state, const char *text, const char *what);
/* True when an argument names a graph file, not an op. */
bool cli_is_file(const char *argument);

/* ---- a graph file on the command line -------------------------------------------------------- */

/* What verbs that read one graph take: FILE [TARGET...], --grad, -o. A child parser for argp; its
 * input is a cli_source. */
typedef struct cli_source {
    const char *file;   /* "-": stdin */
    const char *output; /* NULL: stdout */
    bool grad;
    char **targets; /* values to differentiate with respect to; none: all float params, or without
                       such all float inputs */
    size_t ntargets;
} cli_source;
extern const struct argp cli_source_argp;

/* A graph that was read. outs: its outputs, then the gradients that were asked for. */
typedef struct cli_graph {
    wg_ctx *ctx;
    wg_graph *graph;
    wg_tape *tape;
    wg_var *outs;
    size_t nouts;
} cli_graph;
/* Reads the graph and records its gradients; false after a message. Release it in either case. */
bool cli_graph_open(cli_graph *g, wg_ctx *ctx, const cli_source *source);
void cli_graph_release(cli_graph *g);

/* Compiles the graph's outputs; NULL after a message. */
wg_program *cli_graph_compile(const cli_graph *g, const wg_compile_options *options);
/* A session of it whose inputs are filled: floats with numbers in (0, 1) from a fixed seed, integers
 * and bools with 0. NULL after a message. */
wg_session *cli_session(wg_program *program);

/* `path` for writing, NULL: stdout; NULL after a message. */
FILE *cli_open(const char *path);
/* Closes it; false after a message when anything was not written. Leaves stdout open: main.c looks
 * after it. */
bool cli_close(FILE *file, const char *path);

#endif
