/* What the example programs share: their options, reading data, progress, stating claims.
 *
 * Examples are programs: unlike the library they print, and they exit when something is wrong.
 * What a graph is, how it is trained and checked stands in the examples themselves. */
#ifndef EXAMPLES_COMMON_H
#define EXAMPLES_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wengert.h>

/* The options of one run; set defaults before example_parse. */
typedef struct example {
    const char *data; /* --data: the CSV file, plain or gzipped */
    const char *dot;  /* --dot: where the graph goes as DOT; NULL: nowhere */
    const char *wg;   /* --wg: where it goes as .wg text; NULL: nowhere */
    int epochs;       /* --epochs: passes over the data */
    bool quiet;       /* --quiet: print only what fails */
    int failed;       /* claims that did not hold */
} example;

/* Reads the command line; `doc` is the text of --help. Exits on --help and on bad options. */
void example_parse(example *e, int argc, char **argv, const char *doc);
/* Prints a line to stdout, unless quiet. */
void example_say(const example *e, const char *format, ...) WG_PRINTF(2, 3);
/* Shows where a long run stands: a line on stderr that the next one overwrites; only on a
 * terminal. An empty text wipes it. */
void example_progress(const example *e, const char *format, ...) WG_PRINTF(2, 3);
/* States what must be true, and says whether it is. */
void example_claim(example *e, bool holds, const char *format, ...) WG_PRINTF(3, 4);
/* The exit status: 1 when a claim did not hold. */
int example_status(const example *e);

/* Exits with status 77, which test suites read as "skipped": what it needs is not on this system. */
void example_skip(const char *format, ...) WG_PRINTF(1, 2);
/* Exits with a message when the program cannot go on. */
void need(bool ok, const char *format, ...) WG_PRINTF(2, 3);
/* The same for a tape: recording has no error checks of its own, so look once at the end. */
void need_tape(const wg_tape *tape);

/* Names the gradients "d_<param>" and writes what --dot asks for: the graph of the loss and of
 * its gradients, forward and backward. */
void example_write_dot(const example *e, const wg_tape *tape, const char *title, wg_var loss,
                       const wg_var *params, const wg_var *grads, size_t nparams);
/* Writes what --wg asks for: the tape as text. */
void example_write_wg(const example *e, const wg_tape *tape, const char *name, const wg_var *outs,
                      size_t nouts);

/* Compiles `outs` of the tape, with its updates if `effects`, for a session on the state. */
wg_session *example_session(wg_tape *tape, const wg_var *outs, size_t nouts, wg_state *state,
                            bool effects);
/* Runs it; exits with its message on failure. */
void example_run(wg_session *session);

/* Numbers from a CSV file, row by row; lines that do not start with a number are headers. */
typedef struct table {
    size_t rows, cols;
    double *at; /* [rows][cols]; owned: free() */
} table;
table table_read(const char *path);

/* Pseudo-random numbers from a seed (splitmix64): equal seeds, equal runs. */
uint64_t random_bits(uint64_t *state);
double random_uniform(uint64_t *state); /* [0, 1) */
double random_normal(uint64_t *state);  /* mean 0, variance 1 */
void random_shuffle(uint64_t *state, size_t *index, size_t n);

#endif
