/* seq: training steps of recurrent networks, and the gradient through an integrator, beside PyTorch
 * (a child process that runs bench/peer_torch.py) and beside plain C (bench/hand_rnn.c).
 *
 * As in bench/steps.c: weights and data are the same on all sides, losses must agree before anything
 * is timed, and a row holds when we are twice as fast as PyTorch, as fast as plain C, or when the
 * necessary flops run at 75% of the rate of a 1024^3 sgemm of oneDNN. */
#include "beside.h"
#include "hand_rnn.h"
#include "seq_models.h"

/* ---- beside plain C ------------------------------------------------------------------------------ */

static double hand_step(void *rnn) { return hand_rnn_step(rnn); }

static void beside_hand_rnn(bench *b, const step *s)
{
    const step_model *m = s->model;
    hand_rnn *rnn = hand_rnn_new((int)m->sizes[0], (int)m->batch, (int)m->sizes[1],
                                 (int)m->sizes[2], (int)m->sizes[3], s->data[0], s->data[1]);
    beside_hand(b, s, hand_step, rnn);
    hand_rnn_free(rnn);
}

typedef struct integrator {
    size_t steps;
    double at[4];
} integrator;

static double time_integrator(void *user, size_t repeats)
{
    const integrator *m = user;
    double gradient[4], sum = 0, start = bench_now();
    for (size_t i = 0; i < repeats; i++)
        sum += seq_hand_pendulum(m->steps, m->at, gradient);
    double took = bench_now() - start;
    need(sum == sum, "the integrator gives no number");
    return took;
}

static void beside_integrator(bench *b, const step *s)
{
    double ours[BESIDE_MOST_NUMBERS], theirs[5];
    integrator m = {(size_t)s->model->sizes[0], {0}};
    for (uint64_t i = 0; i < 4; i++)
        m.at[i] = bench_uniform(20 + i, 0);
    theirs[0] = seq_hand_pendulum(m.steps, m.at, theirs + 1);
    for (int i = 1; i < 5; i++)
        theirs[i] = theirs[i] < 0 ? -theirs[i] : theirs[i];
    beside_check(s->model->name, ours, step_check(s, ours, BESIDE_MOST_NUMBERS), theirs, 5,
                 s->model->tolerance);
    beside_peer(b, s, &(bench_side){time_integrator, &m}, "hand C");
}

/* ---- all of it ---------------------------------------------------------------------------------- */

static void row(bench *b, const step *s, torch_peer *torch)
{
    const step_model *m = s->model;
    if (m->torch)
        beside_torch(b, s, torch);
    else if (m->optimiser)
        beside_hand_rnn(b, s);
    else if (m->flops)
        beside_value(b, s);
    else
        beside_integrator(b, s);
}

int main(int argc, char **argv)
{
    bench b = {.doc = "Times training steps of recurrent networks beside PyTorch and plain C.",
               .seconds = 2.5,
               .holds = true,
               .least_sample = 4e-3,
               .threads = {1, 2},
               .nthreads = 2};
    bench_parse(&b, argc, argv);
    for (size_t t = 0; t < b.nthreads; t++) {
        torch_peer torch;
        bench_pin(&b, b.threads[t]);
        beside_start(&torch, &b);
        wg_ctx *ctx = bench_ctx(&b);
        for (size_t i = 0; i < seq_model_count; i++) {
            step s;
            if (!bench_wants(&b, seq_models[i].name))
                continue;
            step_open(&s, &b, ctx, &seq_models[i]);
            row(&b, &s, &torch);
            step_close(&s);
        }
        wg_ctx_free(ctx);
        torch_stop(&torch);
    }
    return bench_status(&b);
}
