/* small: value and gradient of small functions against C written by hand, with gradients derived
 * by hand. The C is compiled three times: with the flags of this build, with -O3 -march=native,
 * and with -ffast-math as well, which lets the compiler call vector math; the fastest is the peer.
 * Each run is a new point: the variables are bound anew, the data stay. Before anything is timed,
 * values and gradients must agree. */
#include "bench.h"
#include "small.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const small_model *const models[] = {&small_mixture,    &small_logistic, &small_scalar20,
                                            &small_rosenbrock, &small_lstm32,   &small_lstm128};
static const char *const variants[SMALL_VARIANTS] = {"C -O2", "C -O3 native", "C -O3 fast-math"};

/* A model with room for its inputs and gradients. */
typedef struct subject {
    const small_model *model;
    size_t ninputs, ngrads, bytes[SMALL_INPUTS];
    const void *in[SMALL_INPUTS];
    void *grad[SMALL_INPUTS]; /* of the hand-written function */
    wg_var inputs[SMALL_INPUTS], outs[1 + SMALL_INPUTS];
    size_t source[SMALL_INPUTS]; /* which input outs[1 + i] is the gradient by */
    wg_tape *tape;
    wg_session *session;
} subject;

typedef struct peer {
    subject *s;
    small_hand run;
    double value;
} peer;

static wg_shape shape_of(const small_input *in) { return wg_shape_make(in->dim, in->rank); }

static void *fill(const small_model *m, size_t i)
{
    const small_input *in = &m->inputs[i];
    const size_t n = (size_t)wg_shape_count(shape_of(in));
    void *p = bench_alloc(n * wg_dtype_size(m->dtype));
    for (size_t k = 0; k < n; k++) {
        double u = in->scale * bench_uniform(20 + i, k) + in->shift;
        u = in->flags & SMALL_BITS ? u > 0 : u;
        if (m->dtype == WG_F64)
            ((double *)p)[k] = u;
        else
            ((float *)p)[k] = (float)u;
    }
    return p;
}

static void open_subject(subject *s, const bench *b, wg_ctx *ctx, const small_model *m)
{
    wg_var wrt[SMALL_INPUTS];
    *s = (subject){.model = m, .tape = wg_tape_new(ctx)};
    for (; s->ninputs < SMALL_INPUTS && m->inputs[s->ninputs].name; s->ninputs++) {
        const size_t i = s->ninputs;
        const wg_shape shape = shape_of(&m->inputs[i]);
        s->bytes[i] = (size_t)wg_shape_count(shape) * wg_dtype_size(m->dtype);
        s->in[i] = fill(m, i);
        s->grad[i] = bench_alloc(s->bytes[i]);
        s->inputs[i] = wg_input(s->tape, m->inputs[i].name, m->dtype, shape);
        if (m->inputs[i].flags & SMALL_DATA)
            continue;
        s->source[s->ngrads] = i;
        wrt[s->ngrads++] = s->inputs[i];
    }
    s->outs[0] = m->graph(s->inputs);
    wg_grad(s->outs, 1, NULL, wrt, s->ngrads, s->outs + 1);
    s->session = bench_open(b, s->tape, s->outs, 1 + s->ngrads, NULL);
    for (size_t i = 0; i < s->ninputs; i++)
        bench_bind(s->session, s->inputs[i], s->in[i], s->bytes[i]);
}

static void close_subject(subject *s)
{
    wg_session_free(s->session);
    wg_tape_free(s->tape);
    for (size_t i = 0; i < s->ninputs; i++) {
        free((void *)(uintptr_t)s->in[i]);
        free(s->grad[i]);
    }
}

/* ---- agreement --------------------------------------------------------------------------------- */

static double element(const small_model *m, const void *p, size_t k)
{
    return m->dtype == WG_F64 ? ((const double *)p)[k] : (double)((const float *)p)[k];
}

/* max |a - b| over max |b| of one gradient. */
static double difference(const subject *s, size_t i)
{
    const void *ours = wg_output(s->session, s->outs[1 + i], NULL, NULL);
    const size_t source = s->source[i], n = s->bytes[source] / wg_dtype_size(s->model->dtype);
    double most = 0, size = 0;
    for (size_t k = 0; k < n; k++) {
        const double x = element(s->model, ours, k), y = element(s->model, s->grad[source], k);
        most = x - y == x - y ? fmax(most, fabs(x - y)) : INFINITY;
        size = fmax(size, fabs(y));
    }
    return size > 0 ? most / size : INFINITY;
}

static void check(const bench *b, const subject *s, const peer *p, const char *variant)
{
    const double value = p->run(s->in, s->grad), ours = wg_scalar(s->session, s->outs[0]);
    const double tolerance = s->model->tolerance;
    need(fabs(value - ours) <= tolerance * fabs(value),
         "%s, %s: the value is %.17g, and ours %.17g", s->model->name, variant, value, ours);
    for (size_t i = 0; i < s->ngrads; i++) {
        const double d = difference(s, i);
        need(d <= tolerance, "%s, %s: the gradients by %s differ by %g", s->model->name, variant,
             s->model->inputs[s->source[i]].name, d);
    }
}

/* ---- timing ------------------------------------------------------------------------------------ */

static double time_ours(void *user, size_t repeats)
{
    const subject *s = user;
    wg_status status = WG_OK;
    double start = bench_now();
    for (size_t r = 0; r < repeats && !status; r++) {
        for (size_t i = 0; i < s->ninputs && !status; i++)
            if (!(s->model->inputs[i].flags & SMALL_ONCE))
                status = wg_bind(s->session, s->inputs[i], s->in[i], s->bytes[i]);
        status = status ? status : wg_run(s->session);
    }
    need(!status, "%s", wg_session_error(s->session));
    return bench_now() - start;
}

static double time_peer(void *user, size_t repeats)
{
    peer *p = user;
    double start = bench_now();
    for (size_t r = 0; r < repeats; r++)
        p->value += p->run(p->s->in, p->s->grad);
    return bench_now() - start;
}

static void rows(bench *b, wg_ctx *ctx, const small_model *m)
{
    peer peers[SMALL_VARIANTS];
    bench_side sides[1 + SMALL_VARIANTS];
    double seconds[1 + SMALL_VARIANTS];
    size_t best = 1;
    subject s;
    if (!bench_wants(b, m->name))
        return;
    open_subject(&s, b, ctx, m);
    need(wg_run(s.session) == WG_OK, "%s", wg_session_error(s.session));
    sides[0] = (bench_side){time_ours, &s};
    for (size_t i = 0; i < SMALL_VARIANTS; i++) {
        peers[i] = (peer){&s, m->hand[i], 0};
        check(b, &s, &peers[i], variants[i]);
        sides[1 + i] = (bench_side){time_peer, &peers[i]};
    }
    bench_measure(b, sides, 1 + SMALL_VARIANTS, seconds);
    for (size_t i = 2; i <= SMALL_VARIANTS; i++)
        best = seconds[i] < seconds[best] ? i : best;
    bench_row(b, &(bench_result){m->name, seconds[0], seconds[best], variants[best - 1], NAN, 0});
    close_subject(&s);
}

int main(int argc, char **argv)
{
    bench b = {.doc = "Times value and gradient of small functions against C written by hand.",
               .seconds = 2};
    bench_parse(&b, argc, argv);
    for (size_t t = 0; t < b.nthreads; t++) {
        bench_pin(&b, b.threads[t]);
        wg_ctx *ctx = bench_ctx(&b);
        for (size_t i = 0; i < sizeof models / sizeof *models; i++)
            rows(&b, ctx, models[i]);
        wg_ctx_free(ctx);
    }
    return bench_status(&b);
}
