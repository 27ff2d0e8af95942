/* steps: training steps, and gradients of models, beside PyTorch (a child process that runs
 * bench/peer_torch.py) and beside plain C (bench/hand_mlp.c).
 *
 * Weights and data are the same on all sides; before anything is timed their losses must agree. A
 * row holds when we are twice as fast as PyTorch, as fast as plain C, and with a gradient not
 * slower beside the value alone than the budget allows; or when the necessary flops run at 75% of
 * the rate of a 1024^3 sgemm of oneDNN, which takes turns with the other sides. */
#include "beside.h"
#include "graphs.h"
#include "hand_mlp.h"
#include "step_models.h"

#include <math.h>

/* ---- beside plain C ------------------------------------------------------------------------------ */

static double hand_step(void *mlp) { return hand_mlp_step(mlp); }

static void beside_hand_mlp(bench *b, const step *s)
{
    const step_model *m = s->model;
    hand_mlp *mlp = hand_mlp_new((int)m->batch, (int)m->sizes[0], (int)m->sizes[1],
                                 (int)m->sizes[2], s->data[0], s->data[1]);
    beside_hand(b, s, hand_step, mlp);
    hand_mlp_free(mlp);
}

/* ---- rows of the chain --------------------------------------------------------------------------- */

enum { CHAIN_OPS = 1000 };

typedef struct chain {
    const bench *b;
    recipe r;
    wg_tape *tape;
    wg_mark start;
    wg_var outs[4]; /* value, gradient by the three inputs */
    wg_session *session;
} chain;

static void chain_record(chain *c)
{
    c->outs[0] = recipe_record(&c->r);
    wg_grad(c->outs, 1, NULL, c->r.values, c->r.ninputs, c->outs + 1);
    c->session = bench_open(c->b, c->tape, c->outs, 4, NULL);
}

static void chain_run(chain *c)
{
    recipe_bind(&c->r, c->session);
    need(wg_run(c->session) == WG_OK, "%s", wg_session_error(c->session));
}

static void chain_once(void *user) { chain_run(user); }

/* As PyTorch has it: recorded, differentiated and run each time. */
static void chain_anew(void *user)
{
    chain *c = user;
    wg_session_free(c->session);
    need(wg_tape_rewind(c->tape, c->start) == WG_OK, "%s", wg_tape_error(c->tape));
    chain_record(c);
    chain_run(c);
}

static void chain_check(chain *c, torch_peer *torch)
{
    double ours[4], theirs[4];
    chain_run(c);
    for (size_t i = 0; i < 4; i++)
        ours[i] = i ? fabs(wg_scalar(c->session, c->outs[i])) : wg_scalar(c->session, c->outs[i]);
    beside_check("scalar chain", ours, 4, theirs, torch_check(torch, theirs, 4), 1e-10);
}

static void chain_row(bench *b, wg_ctx *ctx, torch_peer *torch, const char *name,
                      void (*run)(void *))
{
    char row[32];
    chain c = {.b = b, .r = recipe_chain(CHAIN_OPS), .tape = wg_tape_new(ctx)};
    bench_call call = {run, &c};
    bench_side sides[2] = {bench_side_of(&call), {torch_time, torch}};
    double seconds[2] = {0, NAN};
    if (!bench_wants(b, name))
        goto done;
    recipe_inputs(&c.r, c.tape);
    c.start = wg_tape_mark(c.tape);
    chain_record(&c);
    if (torch->pid) {
        snprintf(row, sizeof row, "chain %d", CHAIN_OPS);
        torch_row(torch, row);
        chain_check(&c, torch);
    }
    bench_measure(b, sides, torch->pid ? 2 : 1, seconds);
    bench_row(b,
              &(bench_result){name, seconds[0], seconds[1], torch->pid ? "PyTorch" : NULL, NAN, 2});
    wg_session_free(c.session);
done:
    wg_tape_free(c.tape);
    recipe_free(&c.r);
}

/* ---- all of it ---------------------------------------------------------------------------------- */

static void all_rows(bench *b, torch_peer *torch)
{
    wg_ctx *ctx = bench_ctx(b);
    for (size_t i = 0; i < step_model_count; i++) {
        step s;
        if (!bench_wants(b, step_models[i].name))
            continue;
        step_open(&s, b, ctx, &step_models[i]);
        if (step_models[i].torch)
            beside_torch(b, &s, torch);
        else if (step_models[i].optimiser)
            beside_hand_mlp(b, &s);
        else
            beside_value(b, &s);
        step_close(&s);
    }
    chain_row(b, ctx, torch, "scalar chain 1000 ops gradient", chain_once);
    chain_row(b, ctx, torch, "scalar chain 1000 ops re-recorded", chain_anew);
    wg_ctx_free(ctx);
}

int main(int argc, char **argv)
{
    bench b = {.doc = "Times training steps and gradients of models beside PyTorch and plain C.",
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
        all_rows(&b, &torch);
        torch_stop(&torch);
    }
    return bench_status(&b);
}
