/* Rows of models beside their peers; see beside.h. */
#include "beside.h"

#include <math.h>

/* ---- agreement --------------------------------------------------------------------------------- */

void beside_check(const char *name, const double *ours, size_t n, const double *theirs,
                  size_t ntheirs, double tolerance)
{
    need(n == ntheirs, "%s: %zu numbers to compare, the peer has %zu", name, n, ntheirs);
    for (size_t i = 0; i < n; i++)
        need(fabs(ours[i] - theirs[i]) <= tolerance * fabs(theirs[i]),
             "%s: number %zu of the check is %.9g, the peer's %.9g", name, i, ours[i], theirs[i]);
}

/* ---- rows ----------------------------------------------------------------------------- */

double beside_time(void *user, size_t repeats)
{
    const step *s = user;
    wg_status status = WG_OK;
    double start = bench_now();
    for (size_t i = 0; i < repeats && !status; i++)
        status = step_run(s);
    double took = bench_now() - start;
    need(!status, "%s", wg_session_error(s->session));
    return took;
}

/* Ours, the peer (unless it is NULL) and the sgemm rate take turns. */
void beside_peer(bench *b, const step *s, const bench_side *peer, const char *peer_name)
{
    bench_gemm peak = {.bench = b, .m = 1024, .n = 1024, .k = 1024};
    bench_gemm_fill(&peak);
    bench_side sides[3] = {{beside_time, (void *)(uintptr_t)s}, bench_gemm_side(&peak)};
    double seconds[3] = {0, 0, NAN}, flops = s->model->flops ? s->model->flops(s->model) : 0;
    if (peer)
        sides[2] = *peer;
    bench_measure(b, sides, peer ? 3 : 2, seconds);
    const double rate = bench_gemm_flops(&peak) / seconds[1];
    bench_row(b, &(bench_result){.name = s->model->name,
                                 .seconds = seconds[0],
                                 .peer = peer_name,
                                 .peer_seconds = seconds[2],
                                 .peak_share = flops > 0 ? flops / seconds[0] / rate : NAN,
                                 .target = s->model->target});
    bench_gemm_free(&peak);
}

void beside_torch(bench *b, const step *s, torch_peer *torch)
{
    double ours[BESIDE_MOST_NUMBERS], theirs[BESIDE_MOST_NUMBERS];
    if (!torch->pid) {
        beside_peer(b, s, NULL, NULL);
        return;
    }
    torch_row(torch, s->model->torch);
    beside_check(s->model->name, ours, step_check(s, ours, BESIDE_MOST_NUMBERS), theirs,
                 torch_check(torch, theirs, BESIDE_MOST_NUMBERS), s->model->tolerance);
    beside_peer(b, s, &(bench_side){torch_time, torch}, "PyTorch");
}

typedef struct hand {
    const bench *b;
    double (*run)(void *user);
    void *user;
} hand;

static double time_hand(void *user, size_t repeats)
{
    const hand *h = user;
    bench_peer_threads(h->b->now);
    double start = bench_now();
    for (size_t i = 0; i < repeats; i++)
        h->run(h->user);
    double took = bench_now() - start;
    bench_peer_threads(1);
    return took;
}

void beside_hand(bench *b, const step *s, double (*run)(void *user), void *user)
{
    double ours[BESIDE_MOST_NUMBERS], theirs[BESIDE_MOST_NUMBERS];
    hand h = {b, run, user};
    size_t n = step_check(s, ours, BESIDE_MOST_NUMBERS);
    for (size_t i = 0; i < n; i++)
        theirs[i] = run(user);
    beside_check(s->model->name, ours, n, theirs, n, s->model->tolerance);
    beside_peer(b, s, &(bench_side){time_hand, &h}, "hand C");
}

/* The same graph compiled for its value alone is the peer. */
void beside_value(bench *b, const step *s)
{
    step value = *s;
    value.session = bench_open(b, s->tape, s->outs, 1, s->state);
    beside_peer(b, s, &(bench_side){beside_time, &value}, "value alone");
    wg_session_free(value.session);
}

void beside_start(torch_peer *torch, const bench *b)
{
    if (torch_start(torch, b))
        bench_note(b, "PyTorch %s, threads: %d", torch->version, b->now);
    else if (*b->python)
        fprintf(stderr,
                "no PyTorch beside us (%s): apt-get install python3-torch, or name the interpreter "
                "that has it with --python\n",
                b->python);
}
