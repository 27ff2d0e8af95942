/* What the benchmark programs share: options, the clock, pinning, interleaved timing, the table.
 *
 * A row is timed as an experiment: its sides (we, the peer, a rate of the machine) take turns, a
 * sample each, and every figure is the median of its side's samples, so that whatever disturbs
 * the machine disturbs all of them. Benchmarks are programs: unlike the library they print, and
 * they exit when something is wrong. They include public headers only. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <wengert.h>

enum { BENCH_MAX_SIDES = 8, BENCH_MAX_THREADS = 8 };

/* The options of one run, and where it stands; set defaults before bench_parse. */
typedef struct bench {
    const char *doc;      /* the text of --help */
    bool json;            /* --json: one object a line instead of a table */
    bool grow;            /* --grow: all sizes, not a few (record, lengths) */
    const char *only;     /* --only: rows that hold this text, or match this glob; NULL: all */
    const char *executor; /* --executor: NULL: the library's default */
    const char *python;   /* --python: the interpreter that has PyTorch; "": none */
    double seconds;       /* --seconds: time for each row */
    int threads[BENCH_MAX_THREADS]; /* --threads: the counts to measure with */
    size_t nthreads;
    double unit;         /* seconds in a unit of the table: 1e-6 or 1e-9 */
    bool holds;          /* the table has a column that says whether a row holds */
    double least_sample; /* seconds: a sample repeats what it times until it takes this long */
    double switch_pause; /* seconds of rest between sides: for peers whose threads spin on */
    int now;             /* threads of the rows being measured */
    bool printed, failed;
} bench;

/* Seconds that `repeats` runs take. */
typedef double (*bench_time)(void *user, size_t repeats);
typedef struct bench_side {
    bench_time time;
    void *user;
} bench_side;

/* A row of the table, in seconds; printed as microseconds, or in b->unit. A peer of NULL and a
 * share of NAN do not apply. */
typedef struct bench_result {
    const char *name;
    double seconds, peer_seconds; /* of one run */
    const char *peer;
    double peak_share;
    double target; /* the ratio at which the row holds */
} bench_result;

/* Reads the command line. Exits on --help and on bad options. */
void bench_parse(bench *b, int argc, char **argv);
/* Pins the process to `threads` cores. */
void bench_pin(bench *b, int threads);
/* How many threads calls of oneDNN and OpenBLAS use, as the library under test leaves them at one:
 * peers ask for theirs at the start of a sample, and for one at its end. */
void bench_peer_threads(int threads);
/* Whether --only lets this row through. */
bool bench_wants(const bench *b, const char *name);
/* The median seconds of one run of each side. */
void bench_measure(const bench *b, const bench_side *sides, size_t nsides, double *seconds);
void bench_row(bench *b, const bench_result *row);
/* A line of explanation under or over the table; not with --json. */
void bench_note(const bench *b, const char *format, ...) WG_PRINTF(2, 3);
/* The exit status: 1 when stdout could not be written or a check failed. */
int bench_status(bench *b);

/* Seconds of a clock that never goes back. */
double bench_now(void);
/* A side out of a function that does one run. */
typedef struct bench_call {
    void (*run)(void *user);
    void *user;
} bench_call;
bench_side bench_side_of(bench_call *call);
/* A number of [-1, 1) from stream and index: the same in bench/peer_torch.py. */
double bench_uniform(uint64_t stream, uint64_t index);
/* 64-byte aligned, zeroed; free(). Exits when memory is out. */
void *bench_alloc(size_t bytes);
/* Middle element; sorts. */
double bench_median(double *values, size_t n);

/* Exits with a message when the program cannot go on. */
void need(bool ok, const char *format, ...) WG_PRINTF(2, 3);
void need_tape(const wg_tape *tape);

/* ---- the library under test (bench_lib.c) --------------------------------------------------- */

/* A context for b->now threads. */
wg_ctx *bench_ctx(const bench *b);
wg_program *bench_compile(const bench *b, wg_tape *tape, const wg_var *outs, size_t nouts);
/* A compiled tape and one running of it, state NULL: its own. Frees nothing but its own parts. */
wg_session *bench_open(const bench *b, wg_tape *tape, const wg_var *outs, size_t nouts,
                       wg_state *state);
void bench_bind(wg_session *session, wg_var input, const void *data, size_t bytes);
/* A side that runs the session; the session is the user. */
double bench_run(void *session, size_t repeats);

/* ---- the machine's own rates (bench_rates.c) ------------------------------------------------- */

/* f32 matrix product of oneDNN, row-major, c[m][n] = a b; beta 0. Transposed operands are stored
 * [k][m] and [n][k]. */
typedef struct bench_gemm {
    const bench *bench;
    bool f64; /* cblas_dgemm of OpenBLAS instead */
    bool transpose_a, transpose_b;
    int64_t m, n, k, batch;
    void *a, *b, *c;
} bench_gemm;
bench_side bench_gemm_side(bench_gemm *g);
/* Operands filled with numbers; bench_gemm_free frees them. */
void bench_gemm_fill(bench_gemm *g);
void bench_gemm_free(bench_gemm *g);
double bench_gemm_flops(const bench_gemm *g);

/* memcpy of `bytes` in all, shared by the threads: moves 2 * bytes. */
typedef struct bench_copy {
    const bench *b;
    size_t bytes;
    char *from, *to;
} bench_copy;
bench_side bench_copy_side(bench_copy *c);
void bench_copy_fill(bench_copy *c);
void bench_copy_free(bench_copy *c);

#endif
