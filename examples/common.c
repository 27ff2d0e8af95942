/* What the example programs share; see common.h. */
#include "common.h"

#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* ---- options ----------------------------------------------------------------------------------- */

static const struct argp_option options[] = {
    {"data", 'd', "FILE", 0, "Read the data from FILE (CSV, may be gzipped)", 0},
    {"dot", 'g', "FILE", 0, "Write the graph, forward and backward, to FILE as DOT", 0},
    {"epochs", 'e', "N", 0, "Train for N passes over the data", 0},
    {"quiet", 'q', NULL, 0, "Print nothing but what fails", 0},
    {"wg", 'w', "FILE", 0, "Write the graph to FILE as .wg text", 0},
    {0}};

static int positive(struct argp_state *state, const char *text)
{
    char *end;
    long n = strtol(text, &end, 10);
    if (*end || n < 1 || n > 1000000)
        argp_error(state, "--epochs takes a number from 1 to 1000000, not '%s'", text);
    return (int)n;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    example *e = state->input;
    switch (key) {
    case 'd':
        e->data = arg;
        return 0;
    case 'g':
        e->dot = arg;
        return 0;
    case 'e':
        e->epochs = positive(state, arg);
        return 0;
    case 'q':
        e->quiet = true;
        return 0;
    case 'w':
        e->wg = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

void example_parse(example *e, int argc, char **argv, const char *doc)
{
    const struct argp argp = {options, parse, NULL, doc, NULL, NULL, NULL};
    argp_parse(&argp, argc, argv, 0, NULL, e);
}

/* ---- messages ---------------------------------------------------------------------------------- */

void example_say(const example *e, const char *format, ...)
{
    va_list args;
    if (e->quiet)
        return;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

void example_progress(const example *e, const char *format, ...)
{
    va_list args;
    if (e->quiet || !isatty(STDERR_FILENO))
        return;
    va_start(args, format);
    fputs("\r\033[K", stderr);
    vfprintf(stderr, format, args);
    va_end(args);
}

void example_claim(example *e, bool holds, const char *format, ...)
{
    va_list args;
    e->failed += !holds;
    if (e->quiet && holds)
        return;
    fputs(holds ? "  ok      " : "  FAILED  ", stdout);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

int example_status(const example *e)
{
    need(fflush(stdout) == 0, "standard output: %s", strerror(errno));
    return e->failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

void example_skip(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(77);
}

void need(bool ok, const char *format, ...)
{
    va_list args;
    if (ok)
        return;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(EXIT_FAILURE);
}

void need_tape(const wg_tape *tape)
{
    need(wg_tape_status(tape) == WG_OK, "%s",
         tape ? wg_tape_error(tape) : wg_status_text(WG_NO_MEMORY));
}

/* ---- graphs ------------------------------------------------------------------------------------ */

static FILE *open_output(const char *path)
{
    FILE *file = fopen(path, "w");
    need(file != NULL, "%s: %s", path, strerror(errno));
    return file;
}

static void close_output(FILE *file, const char *path, wg_status status)
{
    bool closed = fclose(file) == 0;
    need(status == WG_OK && closed, "%s: %s", path, wg_status_text(status ? status : WG_IO));
}

void example_write_dot(const example *e, const wg_tape *tape, const char *title, wg_var loss,
                       const wg_var *params, const wg_var *grads, size_t nparams)
{
    enum { MOST = 15 };
    wg_var shown[1 + MOST] = {loss};
    char name[64];
    need(nparams <= MOST, "too many params for a picture");
    for (size_t i = 0; i < nparams; i++) {
        snprintf(name, sizeof name, "d_%s", wg_name_of(params[i]));
        shown[1 + i] = wg_name(grads[i], name);
    }
    if (!e->dot)
        return;
    wg_dot_options picture = WG_DOT_DEFAULTS;
    picture.title = title;
    picture.outs = shown;
    picture.nouts = 1 + nparams;
    picture.no_effects = true;
    FILE *file = open_output(e->dot);
    close_output(file, e->dot, wg_dot_file(tape, &picture, file));
}

void example_write_wg(const example *e, const wg_tape *tape, const char *name, const wg_var *outs,
                      size_t nouts)
{
    if (!e->wg)
        return;
    FILE *file = open_output(e->wg);
    close_output(file, e->wg, wg_print_file(tape, name, outs, nouts, file));
}

/* ---- running ----------------------------------------------------------------------------------- */

wg_session *example_session(wg_tape *tape, const wg_var *outs, size_t nouts, wg_state *state,
                            bool effects)
{
    wg_compile_options how = WG_COMPILE_DEFAULTS;
    how.no_effects = !effects;
    wg_program *program = wg_compile(tape, outs, nouts, &how);
    need(program != NULL, "%s", wg_tape_error(tape));
    wg_session *session = wg_session_new(program, state);
    need(session != NULL, "%s", wg_state_error(state));
    wg_program_free(program); /* the session keeps it */
    return session;
}

void example_run(wg_session *session)
{
    need(wg_run(session) == WG_OK, "%s", wg_session_error(session));
}

/* ---- data -------------------------------------------------------------------------------------- */

/* The numbers of one line, appended to the table; how many there were. */
static size_t add_line(table *t, size_t *room, const char *line)
{
    size_t count = 0, at = t->rows * t->cols;
    char *end;
    for (double x = strtod(line, &end); end != line; x = strtod(line, &end)) {
        if (at + count == *room) {
            *room = *room ? 2 * *room : 1024;
            t->at = realloc(t->at, *room * sizeof *t->at);
            need(t->at != NULL, "out of memory");
        }
        t->at[at + count++] = x;
        line = *end == ',' ? end + 1 : end;
    }
    return count;
}

table table_read(const char *path)
{
    table t = {0, 0, NULL};
    size_t room = 0;
    char line[4096];
    gzFile file = gzopen(path, "rb"); /* reads plain files as they are */
    need(file != NULL, "%s: %s", path, strerror(errno));
    while (gzgets(file, line, sizeof line)) {
        size_t count = add_line(&t, &room, line);
        if (count == 0)
            continue;
        need(t.rows == 0 || count == t.cols, "%s: row %zu has %zu numbers, not %zu", path,
             t.rows + 1, count, t.cols);
        t.cols = count;
        t.rows++;
    }
    need(gzclose(file) == Z_OK && t.rows > 0, "%s: no data, or damaged", path);
    return t;
}

/* ---- random numbers ---------------------------------------------------------------------------- */

/* Steele, Lea and Flood 2014. */
uint64_t random_bits(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

double random_uniform(uint64_t *state) { return (double)(random_bits(state) >> 11) * 0x1p-53; }

/* Box and Muller 1958. */
double random_normal(uint64_t *state)
{
    double u = 1 - random_uniform(state), v = random_uniform(state);
    return sqrt(-2 * log(u)) * cos(6.28318530717958647692 * v);
}

/* Fisher and Yates. */
void random_shuffle(uint64_t *state, size_t *index, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)(random_bits(state) % i), keep = index[i - 1];
        index[i - 1] = index[j];
        index[j] = keep;
    }
}
