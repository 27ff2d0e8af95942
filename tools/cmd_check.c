/* wengert check: derivatives of ops or of a model against finite differences, and with --mutants
 * the checker against derivatives broken on purpose. */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { OPT_SEED = 256, OPT_EQUIVALENTS };

static const struct argp_option options[] = {
    {"mutants", 'm', NULL, 0,
     "Break the derivative of each op on purpose and see that it is noticed", 0},
    {"equivalents", OPT_EQUIVALENTS, "FILE", 0,
     "Mutants known to change nothing, a line 'OP MUTANT' each; '#' starts a comment", 0},
    {"seed", OPT_SEED, "N", 0, "Seed of points and directions (1)", 0},
    {"verbose", 'v', NULL, 0, "Tell more on each line; with --mutants a line per mutant", 0},
    {0}};

typedef struct checker {
    wg_ctx *ctx;
    wg_gradcheck_options options;
    bool mutants, verbose;
    const char *equivalents_file;
    char *equivalents; /* its text, NULL: none */
    char **names;
    size_t nnames;
    unsigned long passed, failed; /* mutants: caught, missed */
    unsigned long op_caught, op_missed, op_equivalent;
} checker;

static error_t parse_seed(const char *text, uint64_t *seed)
{
    char *end;
    errno = 0;
    *seed = strtoull(text, &end, 10);
    return errno || end == text || *end || *text == '-' ? EINVAL : 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    checker *c = state->input;
    switch (key) {
    case 'm':
        c->mutants = true;
        return 0;
    case 'v':
        c->verbose = true;
        return 0;
    case OPT_EQUIVALENTS:
        c->equivalents_file = arg;
        return 0;
    case OPT_SEED:
        if (parse_seed(arg, &c->options.seed))
            argp_error(state, "--seed takes a number: %s", arg);
        return 0;
    case ARGP_KEY_ARGS:
        c->names = &state->argv[state->next];
        c->nnames = (size_t)(state->argc - state->next);
        return 0;
    case ARGP_KEY_END:
        if (c->equivalents_file && !c->mutants)
            argp_error(state, "--equivalents goes with --mutants");
        for (size_t i = 0; i < c->nnames; i++)
            if (c->mutants && cli_is_file(c->names[i]))
                argp_error(state, "--mutants takes ops, not files: %s", c->names[i]);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- derivatives ------------------------------------------------------------------------------- */

static void print_worst(const wg_check_report *r)
{
    printf("%s of %s", *r->what ? r->what : "derivative", *r->operand ? r->operand : "?");
    if (r->element >= 0)
        printf("[%lld]", (long long)r->element);
    else
        printf(" along a random direction");
    printf(": expected %.9g, actual %.9g, step %.2g", r->expected, r->actual, r->step);
}

static void print_passed(const checker *c, const wg_check_report *r)
{
    printf("%lld compared", (long long)r->compared);
    if (r->compared)
        printf(", worst %.2g", r->error);
    if (c->verbose && r->kinks)
        printf(", %lld at kinks left out", (long long)r->kinks);
    if (c->verbose && r->compared) {
        printf("; ");
        print_worst(r);
    }
    if (r->compared && *r->message)
        printf("; %s", r->message);
    putchar('\n');
}

static void print_failed(const wg_check_report *r)
{
    if (r->verdict == WG_CHECK_FAILED)
        print_worst(r);
    else
        printf("%s", r->verdict == WG_CHECK_ERROR ? "cannot be checked" : "not decided");
    printf(*r->message ? ": %s\n" : "\n", r->message);
}

static void tell(checker *c, const char *name, wg_status status, wg_check_report *r)
{
    bool ok = status == WG_OK && r->verdict == WG_CHECK_PASSED;
    if (status != WG_OK)
        r->verdict = WG_CHECK_ERROR;
    if (status != WG_OK && !*r->message)
        snprintf(r->message, sizeof r->message, "%s", wg_status_text(status));
    printf("%-4s %-20s ", ok ? "ok" : "FAIL", name);
    if (ok)
        print_passed(c, r);
    else
        print_failed(r);
    *(ok ? &c->passed : &c->failed) += 1;
}

static void check_op(checker *c, const char *name)
{
    wg_check_report r = {0};
    tell(c, name, wg_gradcheck_op(c->ctx, name, &c->options, &r), &r);
}

/* The float outputs of a model; false after a message when it cannot be read or has none. */
static bool check_file(checker *c, const char *path)
{
    const cli_source source = {.file = path};
    wg_check_report r = {0};
    cli_graph g;
    bool ok = cli_graph_open(&g, c->ctx, &source);
    size_t n = 0;
    for (size_t i = 0; ok && i < g.nouts; i++)
        if (wg_dtype_is_float(wg_typeof(g.outs[i]).dtype))
            g.outs[n++] = g.outs[i];
    if (ok && n == 0) {
        cli_message("%s: no output is a float, there is nothing to check", path);
        ok = false;
    }
    if (ok) {
        wg_gradcheck_options how = c->options;
        how.executor = "vm"; /* as programs run it, and models are large */
        wg_status status = wg_gradcheck(g.tape, g.outs, n, NULL, 0, &how, &r);
        tell(c, wg_graph_name(g.graph), status, &r);
    }
    cli_graph_release(&g);
    return ok;
}

/* ---- mutants ----------------------------------------------------------------------------------- */

/* Whether the list has a line with these two words. */
static bool is_equivalent(const checker *c, const char *op, const char *mutant)
{
    size_t nop = strlen(op), nmutant = strlen(mutant);
    for (const char *line = c->equivalents; line && *line;) {
        const char *word = line + strspn(line, " \t");
        size_t n = strcspn(word, " \t\r\n#");
        const char *rest = word + n + strspn(word + n, " \t");
        size_t m = strcspn(rest, "\r\n#");
        while (m > 0 && strchr(" \t", rest[m - 1]))
            m--;
        if (n == nop && m == nmutant && !memcmp(word, op, n) && !memcmp(rest, mutant, m))
            return true;
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    return false;
}

static void found(void *user, const char *op, const char *mutant, bool caught,
                  const wg_check_report *report)
{
    checker *c = user;
    bool equivalent = is_equivalent(c, op, mutant);
    c->op_caught += caught;
    c->op_missed += !caught && !equivalent;
    c->op_equivalent += !caught && equivalent;
    if (caught && equivalent)
        cli_message("%s %s: listed as equivalent, but caught", op, mutant);
    if (!caught && !equivalent)
        printf("MISS %-20s %s\n", op, mutant);
    else if (c->verbose)
        printf("     %-20s %s: %s %s\n", op, mutant, caught ? "caught by" : "equivalent",
               caught && report ? report->what : "");
}

static bool mutate_op(checker *c, const char *name)
{
    c->op_caught = c->op_missed = c->op_equivalent = 0;
    wg_status status = wg_mutate_op(c->ctx, name, &c->options, found, c);
    if (status != WG_OK) {
        printf("FAIL %-20s %s\n", name, wg_status_text(status));
        return false;
    }
    printf("%-4s %-20s %lu caught, %lu missed", c->op_missed ? "FAIL" : "ok", name, c->op_caught,
           c->op_missed);
    printf(c->op_equivalent ? ", %lu equivalent\n" : "\n", c->op_equivalent);
    c->passed += c->op_caught;
    c->failed += c->op_missed;
    return true;
}

static bool read_equivalents(checker *c)
{
    size_t size = 0;
    if (!c->equivalents_file)
        return true;
    FILE *in = fopen(c->equivalents_file, "rb");
    ssize_t n = in ? getdelim(&c->equivalents, &size, '\0', in) : -1;
    bool ok = in && (n >= 0 || feof(in));
    if (!ok)
        cli_message("%s: %s", c->equivalents_file, strerror(errno));
    if (in)
        fclose(in);
    if (n < 0)
        free(c->equivalents), c->equivalents = NULL;
    return ok;
}

/* ---- the verb ---------------------------------------------------------------------------------- */

/* False when a name is no op. */
static bool known(const checker *c)
{
    for (size_t i = 0; i < c->nnames; i++)
        if (!cli_is_file(c->names[i]) && !cli_find_op(c->ctx, c->names[i]))
            return false;
    return true;
}

static int check_one(checker *c, const char *name)
{
    if (cli_is_file(name))
        return check_file(c, name) ? CLI_OK : CLI_BAD_INPUT;
    if (c->mutants)
        return mutate_op(c, name) ? CLI_OK : CLI_FAILED;
    check_op(c, name);
    return CLI_OK;
}

static int check_all(checker *c)
{
    int code = CLI_OK;
    size_t count = c->nnames ? c->nnames : wg_op_count(c->ctx);
    for (size_t i = 0; i < count; i++) {
        int one = check_one(c, c->nnames ? c->names[i] : wg_op_name(c->ctx, wg_op_at(c->ctx, i)));
        if (one > code)
            code = one;
        fflush(stdout);
    }
    if (code != CLI_BAD_INPUT || c->passed + c->failed)
        printf(c->mutants ? "%lu caught, %lu missed\n" : "%lu passed, %lu failed\n", c->passed,
               c->failed);
    if (c->mutants && c->failed && !c->equivalents_file)
        cli_message("mutants known to change nothing can be listed: --equivalents=FILE");
    return code == CLI_OK && c->failed ? CLI_FAILED : code;
}

int cmd_check(int argc, char **argv)
{
    static const char doc[] =
        "Checks derivatives against finite differences: of each OP, of the outputs of each model "
        "FILE, or without arguments of every registered op.";
    const struct argp argp = {options, parse, "[OP|FILE]...", doc, NULL, NULL, NULL};
    checker c = {.options = WG_GRADCHECK_DEFAULTS};
    if (argp_parse(&argp, argc, argv, 0, NULL, &c) != 0)
        return CLI_USAGE;
    int code = CLI_BAD_INPUT;
    if (read_equivalents(&c) && (c.ctx = cli_context()))
        code = known(&c) ? check_all(&c) : CLI_USAGE;
    wg_ctx_free(c.ctx);
    free(c.equivalents);
    return code;
}
