/* record: what scalar graphs cost, per recorded node: recording, differentiating, compiling, and
 * running value and gradient together.
 *
 * A large graph is measured cold: each sample has a context of its own, so that nothing is found
 * in a cache of compiled programs and no memory has been touched before. A small one is measured
 * hot, and once more as a define-by-run loop has it: rewound, recorded, differentiated, compiled
 * and run anew each time. */
#include "bench.h"
#include "graphs.h"

#include <math.h>
#include <stdlib.h>

enum { RECORD, GRAD, COMPILE, SESSION, RUN, PHASES };
static const char *const phase_names[PHASES] = {"record", "grad", "compile", "session", "run"};

static const struct kind {
    const char *name;
    recipe_fn make;
} kinds[] = {{"chain", recipe_chain}, {"local", recipe_local}, {"wide", recipe_wide}};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* ---- one graph, from nothing ------------------------------------------------------------------- */

/* The tape holds the inputs; everything after `start` is recorded anew. */
typedef struct subject {
    const bench *b;
    recipe r;
    wg_ctx *ctx;
    wg_tape *tape;
    wg_mark start;
    wg_var outs[1 + GRAPH_MOST_INPUTS]; /* loss, gradient */
} subject;

static void open_subject(subject *s, const bench *b, recipe r)
{
    *s = (subject){.b = b, .r = r, .ctx = bench_ctx(b)};
    s->tape = wg_tape_new(s->ctx);
    need(s->tape != NULL, "out of memory");
    recipe_inputs(&s->r, s->tape);
    s->start = wg_tape_mark(s->tape);
}

static void close_subject(subject *s)
{
    wg_tape_free(s->tape);
    wg_ctx_free(s->ctx);
}

/* Seconds since *clock, which is set to now. */
static double lap(double *clock)
{
    double before = *clock;
    *clock = bench_now();
    return *clock - before;
}

/* All phases up to a session; their times go to `took`. */
static wg_session *prepare(subject *s, double took[PHASES])
{
    double clock = bench_now();
    s->outs[0] = recipe_record(&s->r);
    took[RECORD] = lap(&clock);
    wg_grad(s->outs, 1, NULL, s->r.values, s->r.ninputs, s->outs + 1);
    took[GRAD] = lap(&clock);
    wg_program *p = bench_compile(s->b, s->tape, s->outs, 1 + s->r.ninputs);
    took[COMPILE] = lap(&clock);
    wg_session *session = wg_session_new(p, NULL);
    need(session != NULL, "out of memory");
    took[SESSION] = lap(&clock);
    wg_program_free(p);
    recipe_bind(&s->r, session);
    return session;
}

static void check_finite(const subject *s, const wg_session *session, const char *name)
{
    double size = 0;
    for (size_t i = 0; i <= s->r.ninputs; i++)
        size += fabs(wg_scalar(session, s->outs[i]));
    need(isfinite(size) && size > 0, "%s: value and gradient are %g", name, size);
}

/* ---- rows -------------------------------------------------------------------------------------- */

static void row(bench *b, const char *name, double seconds, size_t nodes)
{
    bench_row(b, &(bench_result){.name = name,
                                 .seconds = seconds / (double)nodes,
                                 .peer_seconds = NAN,
                                 .peak_share = NAN});
}

enum { MOST_SAMPLES = 99 };

/* Each phase's median over contexts; runs have half of the time. */
static void measure_cold(bench *b, const recipe *r, const char *name, double median[PHASES])
{
    double samples[PHASES][MOST_SAMPLES], took[PHASES];
    double start = bench_now();
    size_t n = 0;
    do {
        subject s;
        open_subject(&s, b, *r);
        wg_session *session = prepare(&s, took);
        bench_side side = {bench_run, session};
        bench now = *b;
        now.seconds = n ? 0.05 * b->seconds : 0.5 * b->seconds;
        bench_measure(&now, &side, 1, &took[RUN]);
        check_finite(&s, session, name);
        wg_session_free(session);
        close_subject(&s);
        for (int i = 0; i < PHASES; i++)
            samples[i][n] = took[i];
    } while (++n < MOST_SAMPLES && (n < 3 || bench_now() - start < b->seconds) &&
             bench_now() - start < 4 * b->seconds);
    for (int i = 0; i < PHASES; i++)
        median[i] = bench_median(samples[i], n);
}

static void cold_rows(bench *b, const struct kind *kind, size_t nodes)
{
    char names[PHASES][64];
    double median[PHASES];
    bool wanted = false;
    for (int i = 0; i < PHASES; i++) {
        snprintf(names[i], sizeof names[i], "%s %zu %s", kind->name, nodes, phase_names[i]);
        wanted |= bench_wants(b, names[i]);
    }
    if (!wanted)
        return;
    recipe r = kind->make(nodes);
    measure_cold(b, &r, names[RUN], median);
    for (int i = 0; i < PHASES; i++)
        if (bench_wants(b, names[i]))
            row(b, names[i], median[i], r.nops);
    recipe_free(&r);
}

/* The define-by-run loop: the tape is rewound, everything is done again. */
static double time_again(void *user, size_t repeats)
{
    subject *s = user;
    double took[PHASES];
    double start = bench_now();
    for (size_t i = 0; i < repeats; i++) {
        need(wg_tape_rewind(s->tape, s->start) == WG_OK, "%s", wg_tape_error(s->tape));
        wg_session *session = prepare(s, took);
        need(wg_run(session) == WG_OK, "%s", wg_session_error(session));
        wg_session_free(session);
    }
    return bench_now() - start;
}

static void again_row(bench *b, const struct kind *kind, size_t nodes)
{
    char name[64];
    snprintf(name, sizeof name, "%s %zu re-recorded", kind->name, nodes);
    if (!bench_wants(b, name))
        return;
    subject s;
    recipe r = kind->make(nodes);
    open_subject(&s, b, r);
    bench_side side = {time_again, &s};
    double seconds;
    bench_measure(b, &side, 1, &seconds);
    row(b, name, seconds, r.nops);
    close_subject(&s);
    recipe_free(&r);
}

int main(int argc, char **argv)
{
    bench b = {.doc = "Times recording, gradients, compiling and running of scalar graphs: per "
                      "recorded node; \"run\" is value and gradient together.",
               .unit = 1e-9,
               .seconds = 4};
    bench_parse(&b, argc, argv);
    for (size_t t = 0; t < b.nthreads; t++) {
        bench_pin(&b, b.threads[t]);
        for (size_t k = 0; k < KINDS; k++) {
            again_row(&b, &kinds[k], 1000);
            for (size_t n = 1000; n <= (b.grow ? 10000000 : 1000000); n *= 10)
                if (b.grow || n == 1000 || n == 1000000)
                    cold_rows(&b, &kinds[k], n);
        }
    }
    return bench_status(&b);
}
