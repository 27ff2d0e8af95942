/* What the benchmark programs share; see bench.h. */
#include "bench.h"

#include <argp.h>
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <math.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cblas.h>

/* ---- options ----------------------------------------------------------------------------------- */

static const struct argp_option options[] = {
    {"executor", 'e', "NAME", 0, "Run with this executor instead of the default", 0},
    {"grow", 'g', NULL, 0, "Measure all sizes, not a few (record, lengths)", 0},
    {"json", 'j', NULL, 0, "Print one JSON object a line", 0},
    {"only", 'o', "PATTERN", 0, "Only rows that hold PATTERN, or match it as a glob", 0},
    {"python", 'p', "PATH", 0, "Python with PyTorch, or none (steps alone)", 0},
    {"seconds", 's', "S", 0, "Time for each row", 0},
    {"threads", 't', "N,...", 0, "Measure with these numbers of threads", 0},
    {0}};

static void parse_threads(bench *b, struct argp_state *state, const char *text)
{
    const char *at = text;
    char *end;
    b->nthreads = 0;
    do {
        long n = strtol(at, &end, 10);
        if (end == at || (*end && *end != ',') || n < 1 || n > 1024 ||
            b->nthreads == BENCH_MAX_THREADS)
            argp_error(state, "--threads takes up to %d numbers such as 1,2, not '%s'",
                       BENCH_MAX_THREADS, text);
        b->threads[b->nthreads++] = (int)n;
        at = end + 1;
    } while (*end);
}

static double parse_seconds(struct argp_state *state, const char *text)
{
    char *end;
    double s = strtod(text, &end);
    if (*end || end == text || !(s > 0) || s > 3600)
        argp_error(state, "--seconds takes a time of at most an hour, not '%s'", text);
    return s;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    bench *b = state->input;
    switch (key) {
    case 'e':
        b->executor = arg;
        return 0;
    case 'g':
        b->grow = true;
        return 0;
    case 'j':
        b->json = true;
        return 0;
    case 'o':
        b->only = arg;
        return 0;
    case 'p':
        b->python = strcmp(arg, "none") == 0 ? "" : arg;
        return 0;
    case 's':
        b->seconds = parse_seconds(state, arg);
        return 0;
    case 't':
        parse_threads(b, state, arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

void bench_parse(bench *b, int argc, char **argv)
{
    const struct argp argp = {options, parse, NULL, b->doc, NULL, NULL, NULL};
    b->seconds = b->seconds ? b->seconds : 0.5;
    b->unit = b->unit ? b->unit : 1e-6;
    b->least_sample = b->least_sample ? b->least_sample : 2e-4;
    b->python = "/usr/bin/python3";
    if (!b->nthreads)
        b->threads[b->nthreads++] = 1;
    argp_parse(&argp, argc, argv, 0, NULL, b);
    setvbuf(stdout, NULL, _IOLBF, 0);
}

bool bench_wants(const bench *b, const char *name)
{
    return !b->only || strstr(name, b->only) || fnmatch(b->only, name, 0) == 0;
}

/* ---- pinning ----------------------------------------------------------------------------------- */

/* Library threads that were started under another mask get this one. */
static void pin_all(const cpu_set_t *cores)
{
    DIR *tasks = opendir("/proc/self/task");
    if (!tasks) {
        sched_setaffinity(0, sizeof *cores, cores);
        return;
    }
    for (struct dirent *task; (task = readdir(tasks)) != NULL;)
        if (task->d_name[0] != '.')
            sched_setaffinity((pid_t)strtol(task->d_name, NULL, 10), sizeof *cores, cores);
    closedir(tasks);
}

/* <omp.h> of another compiler's runtime may come first; oneDNN's is libgomp. */
extern void omp_set_num_threads(int n);

void bench_peer_threads(int threads)
{
    omp_set_num_threads(threads);
    openblas_set_num_threads(threads);
}

/* So long do idle threads of OpenBLAS spin (2^26 ticks of the clock counter), and those of OpenMP
 * less; only then may the next side be timed. */
static const double IDLE_SPIN = 30e-3;

void bench_pin(bench *b, int threads)
{
    static cpu_set_t all;
    cpu_set_t cores;
    int left = threads;
    if (!CPU_COUNT(&all))
        need(sched_getaffinity(0, sizeof all, &all) == 0, "affinity: %s", strerror(errno));
    if (CPU_COUNT(&all) < threads)
        fprintf(stderr, "%d threads on %d cores\n", threads, CPU_COUNT(&all));
    CPU_ZERO(&cores);
    for (int i = 0; i < CPU_SETSIZE && left; i++)
        if (CPU_ISSET(i, &all)) {
            CPU_SET(i, &cores);
            left--;
        }
    pin_all(&cores);
    b->now = threads;
    b->switch_pause = threads > 1 ? IDLE_SPIN : 0;
    bench_peer_threads(1);
}

/* ---- timing ------------------------------------------------------------------------------------ */

double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double time_call(void *user, size_t repeats)
{
    const bench_call *call = user;
    double start = bench_now();
    for (size_t i = 0; i < repeats; i++)
        call->run(call->user);
    return bench_now() - start;
}

bench_side bench_side_of(bench_call *call) { return (bench_side){time_call, call}; }

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, by_size);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static void rest(double seconds)
{
    struct timespec t = {0, (long)(1e9 * seconds)};
    if (seconds > 0)
        nanosleep(&t, NULL);
}

/* How often a sample repeats the side, from growing trials, which also warm it up. */
static size_t repeats_of(const bench *b, const bench_side *side)
{
    size_t repeats = 1;
    for (;;) {
        double took = side->time(side->user, repeats);
        if (took >= b->least_sample / 2 || repeats > ((size_t)1 << 40)) {
            double more = ceil(b->least_sample / took);
            return more > 1 ? repeats * (size_t)more : repeats;
        }
        repeats *= took > b->least_sample / 64 ? 4 : 16;
    }
}

enum { MOST_ROUNDS = 999, LEAST_ROUNDS = 5 };

/* Each sample is led in by an untimed run: the other sides have used the caches. */
static void take_round(const bench *b, const bench_side *sides, size_t nsides,
                       const size_t *repeats, double *samples)
{
    for (size_t i = 0; i < nsides; i++) {
        if (nsides > 1) {
            rest(b->switch_pause);
            sides[i].time(sides[i].user, 1);
        }
        samples[i] = sides[i].time(sides[i].user, repeats[i]) / (double)repeats[i];
    }
}

void bench_measure(const bench *b, const bench_side *sides, size_t nsides, double *seconds)
{
    static double samples[MOST_ROUNDS][BENCH_MAX_SIDES], column[MOST_ROUNDS];
    size_t repeats[BENCH_MAX_SIDES], rounds = 0;
    need(nsides >= 1 && nsides <= BENCH_MAX_SIDES, "too many sides");
    double start = bench_now();
    for (size_t i = 0; i < nsides; i++)
        repeats[i] = repeats_of(b, &sides[i]);
    for (double took = 0; rounds < MOST_ROUNDS; took = bench_now() - start) {
        bool enough = rounds >= LEAST_ROUNDS || (rounds && took > 4 * b->seconds);
        if (enough && took >= b->seconds)
            break;
        take_round(b, sides, nsides, repeats, samples[rounds++]);
    }
    for (size_t i = 0; i < nsides; i++) {
        for (size_t k = 0; k < rounds; k++)
            column[k] = samples[k][i];
        seconds[i] = bench_median(column, rounds);
    }
}

/* ---- the table --------------------------------------------------------------------------------- */

static void json_number(const char *key, double value)
{
    if (isfinite(value))
        printf(", \"%s\": %.6g", key, value);
    else
        printf(", \"%s\": null", key);
}

static void print_json(const bench *b, const bench_result *row, double ratio)
{
    printf("{\"name\": \"%s\", \"threads\": %d", row->name, b->now);
    json_number("us", 1e6 * row->seconds);
    if (row->peer)
        printf(", \"peer\": \"%s\"", row->peer);
    else
        printf(", \"peer\": null");
    json_number("peer_us", row->peer ? 1e6 * row->peer_seconds : NAN);
    json_number("ratio", ratio);
    json_number("peak_share", row->peak_share);
    puts("}");
}

static void print_cell(int width, int digits, double value)
{
    if (isfinite(value))
        printf(" %*.*f", width, digits, value);
    else
        printf(" %*s", width, "-");
}

/* The rule of a row: so many times as fast as the peer, or near enough to the machine's rate. */
static bool holds(const bench_result *row, double ratio)
{
    return ratio >= row->target || row->peak_share >= 0.75;
}

void bench_row(bench *b, const bench_result *row)
{
    const double ratio = row->peer ? row->peer_seconds / row->seconds : NAN;
    if (b->json) {
        print_json(b, row, ratio);
        return;
    }
    const char *unit = b->unit < 1e-6 ? "ns" : "us";
    if (!b->printed)
        printf("%-34s %7s %12s  %-16s %12s %7s %10s%s\n", "name", "threads", unit, "peer",
               b->unit < 1e-6 ? "peer_ns" : "peer_us", "ratio", "peak_share",
               b->holds ? "  holds" : "");
    b->printed = true;
    printf("%-34s %7d", row->name, b->now);
    print_cell(12, 2, row->seconds / b->unit);
    printf("  %-16s", row->peer ? row->peer : "-");
    print_cell(12, 2, row->peer ? row->peer_seconds / b->unit : NAN);
    print_cell(7, 2, ratio);
    print_cell(10, 3, row->peak_share);
    if (b->holds)
        printf("  %s", holds(row, ratio) ? "yes" : "no");
    putchar('\n');
}

void bench_note(const bench *b, const char *format, ...)
{
    va_list args;
    if (b->json)
        return;
    va_start(args, format);
    fputs("# ", stdout);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

int bench_status(bench *b)
{
    need(fflush(stdout) == 0 && !ferror(stdout), "standard output: %s", strerror(errno));
    return b->failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- small things ------------------------------------------------------------------------------ */

/* splitmix64 (Steele, Lea and Flood 2014) as a hash of its counter. */
double bench_uniform(uint64_t stream, uint64_t index)
{
    uint64_t z = ((stream << 32) + index + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return (double)(z >> 11) * 0x1p-52 - 1;
}

void *bench_alloc(size_t bytes)
{
    size_t rounded = (bytes + 63) / 64 * 64;
    void *p = aligned_alloc(64, rounded ? rounded : 64);
    need(p != NULL, "out of memory: %zu bytes", bytes);
    return memset(p, 0, rounded);
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
