/* The tool: wengert VERB [OPTIONS] [FILE]. Each verb is one cmd_*.c with its own option table;
 * this file finds the verb and watches standard output. */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const cli_verb verbs[] = {
    {"ops", cmd_ops, "list the registered ops, or one of them in full"},
    {"check", cmd_check, "check derivatives of ops or of a model against finite differences"},
    {"dot", cmd_dot, "draw a graph, with its gradient if asked"},
    {"explain", cmd_explain, "tell how a graph is compiled and run, step by step"},
    {"print", cmd_print, "print a graph in canonical form"},
};
enum { NVERBS = sizeof verbs / sizeof *verbs };

static const char *verb_name(const void *user, size_t index)
{
    (void)user;
    return index < NVERBS ? verbs[index].name : NULL;
}

static const cli_verb *find_verb(const char *name)
{
    for (size_t i = 0; i < NVERBS; i++)
        if (!strcmp(verbs[i].name, name))
            return &verbs[i];
    return NULL;
}

/* Everything that was printed must have arrived, whichever way the tool ends. */
static void close_stdout(void)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return;
    cli_message("standard output: %s", errno ? strerror(errno) : "write error");
    _exit(CLI_BAD_INPUT);
}

static void print_version(FILE *stream, struct argp_state *state)
{
    (void)state;
    fprintf(stream, "wengert %s\n", wg_version());
}

/* The list of verbs, for --help. */
static char *help_filter(int key, const char *text, void *input)
{
    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC)
        return (char *)(uintptr_t)text;
    char *list = NULL;
    size_t size;
    FILE *out = open_memstream(&list, &size);
    if (!out)
        return NULL;
    fputs("Verbs:\n", out);
    for (size_t i = 0; i < NVERBS; i++)
        fprintf(out, "  %-8s %s\n", verbs[i].name, verbs[i].doc);
    fputs("\n`wengert VERB --help' tells more. Exit status: 0 ok, 1 a check failed, 2 usage, "
          "3 bad input or output.",
          out);
    return fclose(out) == 0 ? list : NULL;
}

typedef struct arguments {
    const cli_verb *verb;
    int first; /* index of the verb in argv */
} arguments;

static error_t parse(int key, char *arg, struct argp_state *state)
{
    arguments *a = state->input;
    char hint[CLI_HINT];
    switch (key) {
    case ARGP_KEY_ARG:
        cli_suggest(hint, arg, verb_name, NULL);
        if (!(a->verb = find_verb(arg)))
            argp_error(state, "unknown verb '%s'%s", arg, hint);
        a->first = state->next - 1;
        state->next = state->argc;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "a verb is needed");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* `help`, `help VERB`, and -h where no option's argument can stand, become --help. */
static void spell_help(int argc, char **argv)
{
    static char long_help[] = "--help";
    if (argc > 2 && !strcmp(argv[1], "help") && *argv[2] != '-') {
        argv[1] = argv[2];
        argv[2] = long_help;
    }
    if (argc > 1 && !strcmp(argv[1], "help"))
        argv[1] = long_help;
    for (int i = 1; i < argc && i <= 2; i++)
        if (!strcmp(argv[i], "-h"))
            argv[i] = long_help;
}

int main(int argc, char **argv)
{
    static const char doc[] = "Records, differentiates, checks and draws computational graphs.\v";
    const struct argp argp = {NULL, parse, "VERB [ARGUMENT...]", doc, NULL, help_filter, NULL};
    char name[64];
    arguments a = {NULL, 0};
    atexit(close_stdout);
    argp_err_exit_status = CLI_USAGE;
    argp_program_version_hook = print_version;
    if (argc > 0)
        argv[0] = strcpy(name, "wengert");
    spell_help(argc, argv);
    if (argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &a) != 0)
        return CLI_USAGE;
    snprintf(name, sizeof name, "wengert %s", a.verb->name);
    argv[a.first] = name;
    return a.verb->run(argc - a.first, &argv[a.first]);
}
