/* loops: what a step of a recurrence costs, in nanoseconds: scans of tiny bodies, their value alone and
 * with the gradient, against C written by hand (bench/loops_hand.c). What the C does not do is overhead.
 * Before anything is timed, values and gradients must agree. */
#include "bench.h"
#include "loops.h"

#include <math.h>
#include <stdlib.h>

enum { PENDULUM_STEPS = 10000, NETWORK_STEPS = 1000, NETWORKS = 3 };
static const double size_of_step = 1e-3;
static const size_t widths[NETWORKS] = {8, 64, 128};

/* A recurrence with its inputs. */
typedef struct subject {
    size_t steps, width; /* width 0: the pendulum */
    bool gradient;
    size_t bytes; /* of the gradient */
    void *in[2], *grad, *room;
    double value; /* of the hand-written function */
    wg_tape *tape;
    wg_session *session;
    wg_var outs[2];
} subject;

/* ---- graphs -------------------------------------------------------------------------------------- */

static wg_var plus_times(wg_var x, double c, wg_var d) { return wg_add(x, wg_mul(wg_f(c), d)); }

/* One step of Runge and Kutta of (theta, omega)' = (omega, -k sin(theta)). */
static void record_step(wg_var theta, wg_var omega, wg_var k, wg_var *out)
{
    static const double into[] = {0, 0.5, 0.5, 1}, weight[] = {1, 2, 2, 1};
    wg_var da = wg_none(), db = wg_none();
    out[0] = theta;
    out[1] = omega;
    for (int i = 0; i < 4; i++) {
        const double ahead = into[i] * size_of_step, part = weight[i] * size_of_step / 6;
        wg_var a = i ? plus_times(theta, ahead, da) : theta;
        da = i ? plus_times(omega, ahead, db) : omega;
        db = wg_neg(wg_mul(k, wg_sin(a)));
        out[0] = plus_times(out[0], part, da);
        out[1] = plus_times(out[1], part, db);
    }
}

static void pendulum(subject *s)
{
    wg_var x = wg_input(s->tape, "x", WG_F64, WG_SHAPE(3)), part[3], out[2];
    for (int64_t i = 0; i < 3; i++)
        part[i] = wg_reshape(wg_slice(x, &i, 1, (const int64_t[]){i + 1}, 1), WG_SCALAR);
    wg_tape *body = wg_fn_begin(s->tape, "step");
    wg_var theta = wg_fn_input(body, "theta", WG_F64, WG_SCALAR);
    wg_var omega = wg_fn_input(body, "omega", WG_F64, WG_SCALAR);
    record_step(theta, omega, part[2], out);
    wg_fn fn = wg_fn_end(body, out, 2);
    wg_scan_options o = WG_SCAN_DEFAULTS;
    o.length = (int64_t)s->steps;
    wg_scan(fn, part, 2, NULL, 0, &o, out, 2);
    s->outs[0] = out[0];
    if (s->gradient)
        s->outs[1] = wg_grad1(out[0], x);
    double *data = s->in[0] = bench_alloc(s->bytes = 3 * sizeof(double));
    data[0] = 1;
    data[1] = 0.5;
    data[2] = 9.81;
}

static void network(subject *s)
{
    const int64_t width = (int64_t)s->width, steps = (int64_t)s->steps;
    wg_var x = wg_input(s->tape, "x", WG_F32, WG_SHAPE(steps, 1, width)), h, out;
    wg_var w = wg_input(s->tape, "w", WG_F32, WG_SHAPE(width, width));
    wg_tape *body = wg_fn_begin(s->tape, "cell");
    h = wg_fn_input(body, "h", WG_F32, WG_SHAPE(1, width));
    wg_var xt = wg_fn_input(body, "x", WG_F32, WG_SHAPE(1, width));
    out = wg_tanh(wg_add(xt, wg_matmul(h, w)));
    wg_fn fn = wg_fn_end(body, &out, 1);
    h = wg_full(s->tape, (wg_type){WG_F32, WG_SHAPE(1, width)}, 0);
    wg_scan(fn, &h, 1, &x, 1, NULL, &out, 1);
    s->outs[0] = wg_mul(wg_f(0.5), wg_sum(wg_square(out)));
    if (s->gradient)
        s->outs[1] = wg_grad1(s->outs[0], w);
    float *xs = s->in[0] = bench_alloc(s->steps * s->width * sizeof(float));
    float *ws = s->in[1] = bench_alloc(s->bytes = s->width * s->width * sizeof(float));
    for (size_t i = 0; i < s->steps * s->width; i++)
        xs[i] = (float)bench_uniform(1, i);
    for (size_t i = 0; i < s->width * s->width; i++)
        ws[i] = (float)(bench_uniform(2, i) / sqrt((double)s->width));
    s->room = bench_alloc(2 * (s->steps + 1) * s->width * sizeof(float));
}

/* ---- agreement ------------------------------------------------------------------------------------ */

static double by_hand(subject *s)
{
    void *grad = s->gradient ? s->grad : NULL;
    return s->width ? loops_rnn(s->steps, s->width, s->in[0], s->in[1], s->room, grad)
                    : loops_pendulum(s->steps, size_of_step, s->in[0], grad);
}

static void check(const char *name, subject *s)
{
    const double value = by_hand(s), ours = wg_scalar(s->session, s->outs[0]);
    const double tolerance = s->width ? 1e-3 : 1e-9;
    need(fabs(value - ours) <= tolerance * fabs(value), "%s: the value is %.17g, and ours %.17g",
         name, value, ours);
    if (!s->gradient)
        return;
    const void *have = wg_output(s->session, s->outs[1], NULL, NULL);
    double most = 0, size = 0;
    for (size_t i = 0; i < (s->width ? s->width * s->width : 3); i++) {
        const double x = s->width ? (double)((const float *)have)[i] : ((const double *)have)[i];
        const double y = s->width ? (double)((float *)s->grad)[i] : ((double *)s->grad)[i];
        most = fmax(most, fabs(x - y));
        size = fmax(size, fabs(y));
    }
    need(most <= tolerance * size, "%s: the gradients differ by %g of %g", name, most, size);
}

/* ---- timing --------------------------------------------------------------------------------------- */

static double time_hand(void *user, size_t repeats)
{
    subject *s = user;
    const double start = bench_now();
    for (size_t r = 0; r < repeats; r++)
        s->value += by_hand(s);
    return bench_now() - start;
}

static void row(bench *b, wg_ctx *ctx, size_t width, bool gradient)
{
    char name[64];
    double seconds[2];
    subject s = {
        .steps = width ? NETWORK_STEPS : PENDULUM_STEPS, .width = width, .gradient = gradient};
    const char *what = gradient ? ", gradient" : "";
    if (width)
        snprintf(name, sizeof name, "RNN H=%zu batch 1 f32%s", width, what);
    else
        snprintf(name, sizeof name, "RK4 of a pendulum f64%s", what);
    if (!bench_wants(b, name))
        return;
    s.tape = wg_tape_new(ctx);
    (width ? network : pendulum)(&s);
    need_tape(s.tape);
    s.grad = bench_alloc(s.bytes);
    s.session = bench_open(b, s.tape, s.outs, gradient ? 2 : 1, NULL);
    wg_bind_name(s.session, "x", s.in[0], width ? s.steps * width * sizeof(float) : s.bytes);
    if (width)
        wg_bind_name(s.session, "w", s.in[1], s.bytes);
    need(wg_run(s.session) == WG_OK, "%s", wg_session_error(s.session));
    check(name, &s);
    const bench_side sides[] = {{bench_run, s.session}, {time_hand, &s}};
    bench_measure(b, sides, 2, seconds);
    const double steps = (double)s.steps;
    bench_row(b,
              &(bench_result){name, seconds[0] / steps, seconds[1] / steps, "C by hand", NAN, 0});
    wg_session_free(s.session);
    wg_tape_free(s.tape);
    free(s.in[0]);
    free(s.in[1]);
    free(s.grad);
    free(s.room);
}

int main(int argc, char **argv)
{
    bench b = {.doc = "Times the steps of recurrences against C written by hand.",
               .seconds = 2,
               .unit = 1e-9};
    bench_parse(&b, argc, argv);
    for (size_t t = 0; t < b.nthreads; t++) {
        bench_pin(&b, b.threads[t]);
        wg_ctx *ctx = bench_ctx(&b);
        for (int gradient = 0; gradient < 2; gradient++) {
            row(&b, ctx, 0, gradient);
            for (size_t i = 0; i < NETWORKS; i++)
                row(&b, ctx, widths[i], gradient);
        }
        wg_ctx_free(ctx);
    }
    return bench_status(&b);
}
