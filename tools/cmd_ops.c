/* wengert ops: the registry as a list, or one op in full. */
#include "cli.h"

#include <string.h>

enum { COLUMN = 44, WIDTH = 100 };

/* ---- the list ---------------------------------------------------------------------------------- */

/* Length of the first sentence. */
static int sentence(const char *doc)
{
    const char *end = doc;
    while (*end && !(*end == '.' && (!end[1] || strchr(" \n", end[1]))))
        end++;
    return (int)(end - doc);
}

/* The sentence on one line, whatever lines the source has. */
static void print_sentence(const char *doc)
{
    for (int i = 0, n = sentence(doc); i < n; i++)
        putchar(doc[i] == '\n' ? ' ' : doc[i]);
    putchar('\n');
}

static void list_op(const wg_op *op)
{
    int n = printf("%s", op->sig);
    if (n > COLUMN)
        n = printf("\n") - 1;
    printf("%*s  ", COLUMN - n, "");
    print_sentence(op->doc ? op->doc : "");
}

/* ---- one op ------------------------------------------------------------------------------------ */

static void print_wrapped(const char *text)
{
    size_t at = 0;
    while (*(text += strspn(text, " \n"))) {
        size_t n = strcspn(text, " \n");
        if (at + n + 1 > WIDTH - 4)
            putchar('\n'), at = 0;
        at += (size_t)printf(at ? " %.*s" : "    %.*s", (int)n, text);
        text += n;
    }
    if (at)
        putchar('\n');
}

static const struct {
    uint32_t flag;
    const char *name;
} flags[] = {
    {WG_OP_ELEMENTWISE, "elementwise"},
    {WG_OP_LINEAR, "linear"},
    {WG_OP_MULTILINEAR, "multilinear"},
    {WG_OP_COMMUTATIVE, "commutative"},
    {WG_OP_RANDOM, "random"},
    {WG_OP_SOURCE, "source"},
    {WG_OP_EFFECT, "effect"},
    {WG_OP_IMPURE, "impure"},
    {WG_OP_VIEW, "view"},
};

static void print_flags(const wg_op *op)
{
    printf("flags:       %s", op->flags ? "" : "none");
    const char *before = "";
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (!(op->flags & flags[i].flag))
            continue;
        printf("%s%s", before, flags[i].name);
        before = ", ";
    }
    putchar('\n');
}

static void print_kernels(const wg_op *op)
{
    printf("kernels:     %s", op->nkernels ? "" : "none");
    for (size_t i = 0; i < op->nkernels; i++)
        printf(i ? ", %s" : "%s", op->kernels[i].types);
    putchar('\n');
}

static void print_derivative(const wg_op *op)
{
    const struct {
        bool has;
        const char *name;
    } kinds[] = {
        {op->partial, "partials"},
        {op->vjp, "VJP"},
        {op->jvp, "JVP"},
        {op->flags & WG_OP_LINEAR, "JVP by linearity"},
        {op->flags & WG_OP_MULTILINEAR, "JVP by multilinearity"},
        {op->expand && !op->vjp, "composite: that of its expansion"},
    };
    const char *before = "";
    printf("derivative:  ");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!kinds[i].has)
            continue;
        printf("%s%s", before, kinds[i].name);
        before = ", ";
    }
    puts(*before ? "" : "none");
}

static void print_cases(const wg_op *op)
{
    const char *const *cases = op->check ? op->check->cases : NULL;
    if (!cases || !*cases)
        return;
    puts("test cases:");
    for (; *cases; cases++) {
        for (const char *line = *cases; *line;) {
            size_t n = strcspn(line, "\n");
            printf("    %.*s\n", (int)n, line);
            line += n + (line[n] == '\n');
        }
    }
}

static void print_op(const wg_op *op)
{
    puts(op->sig);
    print_wrapped(op->doc ? op->doc : "");
    print_flags(op);
    print_kernels(op);
    print_derivative(op);
    print_cases(op);
}

/* ---- the verb ---------------------------------------------------------------------------------- */

static error_t parse(int key, char *arg, struct argp_state *state)
{
    char ***names = state->input;
    if (key != ARGP_KEY_ARGS)
        return ARGP_ERR_UNKNOWN;
    *names = &state->argv[state->next];
    return 0;
}

static int print_named(wg_ctx *ctx, char **names)
{
    for (char **name = names; *name; name++) {
        const wg_op *op = cli_find_op(ctx, *name);
        if (!op)
            return CLI_USAGE;
        if (name != names)
            putchar('\n');
        print_op(op);
    }
    return CLI_OK;
}

int cmd_ops(int argc, char **argv)
{
    static const char doc[] = "Lists the registered ops: signature and meaning. With NAMEs, tells "
                              "all about each.";
    const struct argp argp = {NULL, parse, "[NAME...]", doc, NULL, NULL, NULL};
    char **names = NULL;
    int code = CLI_OK;
    if (argp_parse(&argp, argc, argv, 0, NULL, &names) != 0)
        return CLI_USAGE;
    wg_ctx *ctx = cli_context();
    if (!ctx)
        return CLI_BAD_INPUT;
    if (names)
        code = print_named(ctx, names);
    else
        for (size_t i = 0; i < wg_op_count(ctx); i++)
            list_op(wg_op_at(ctx, i));
    wg_ctx_free(ctx);
    return code;
}
