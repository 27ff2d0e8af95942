/* What the verbs share: messages, suggestions, output files. */
#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void cli_message(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("wengert: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

/* ---- suggestions ------------------------------------------------------------------------------- */

enum { LONGEST = 32 };

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Edit distance (Levenshtein 1966), one row at a time; words longer than LONGEST are far away. */
static size_t distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b), row[LONGEST + 1];
    if (n > LONGEST || m > LONGEST)
        return LONGEST;
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t change = corner + (a[i - 1] != b[j - 1]);
            corner = row[j];
            row[j] = least(change, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[m];
}

void cli_suggest(char text[CLI_HINT], const char *word, cli_name_fn name, const void *user)
{
    size_t nearest = 2 + strlen(word) / 3; /* what is further off would be no help */
    text[0] = '\0';
    for (size_t i = 0; name(user, i); i++) {
        size_t d = distance(word, name(user, i));
        if (d >= nearest)
            continue;
        nearest = d;
        snprintf(text, CLI_HINT, " (did you mean %.*s?)", LONGEST, name(user, i));
    }
}

static const char *op_name(const void *ctx, size_t index)
{
    const wg_op *op = wg_op_at(ctx, index);
    return op ? wg_op_name(ctx, op) : NULL;
}

const wg_op *cli_find_op(const wg_ctx *ctx, const char *name)
{
    const wg_op *op = wg_op_find(ctx, name);
    char hint[CLI_HINT];
    if (op)
        return op;
    cli_suggest(hint, name, op_name, ctx);
    cli_message("no op is called %s%s", name, hint);
    return NULL;
}

/* ---- arguments ------------------------------------------------------------------------------------ */

wg_ctx *cli_context(void) { return cli_context_threads(0); }

wg_ctx *cli_context_threads(size_t threads)
{
    wg_ctx_options options = WG_CTX_DEFAULTS;
    options.threads = threads;
    wg_ctx *ctx = wg_ctx_new(&options);
    if (!ctx)
        cli_message("%s", wg_status_text(WG_NO_MEMORY));
    return ctx;
}

size_t cli_count(const struct argp_state *state, const char *text, const char *what)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (errno || *end || end == text || *text == '-' || n == 0 || n > SIZE_MAX)
        argp_error(state, "%s must be a whole number from 1 on, not '%s'", what, text);
    return (size_t)n;
}

bool cli_is_file(const char *argument)
{
    size_t n = strlen(argument);
    return !strcmp(argument, "-") || strchr(argument, '/') ||
           (n > 3 && !strcmp(argument + n - 3, ".wg"));
}

/* ---- output ------------------------------------------------------------------------------------ */

FILE *cli_open(const char *path)
{
    if (!path)
        return stdout;
    FILE *file = fopen(path, "wb");
    if (!file)
        cli_message("%s: %s", path, strerror(errno));
    return file;
}

bool cli_close(FILE *file, const char *path)
{
    if (file == stdout)
        return true;
    bool ok = !ferror(file);
    ok = fclose(file) == 0 && ok;
    if (!ok)
        cli_message("%s: %s", path, errno ? strerror(errno) : "write error");
    return ok;
}
