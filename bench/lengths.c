/* lengths: what a recurrence costs as it grows longer: compiling, memory, running; with and without a
 * memory limit. A row is a recurrent network of one sequence whose loss is summed inside the scan,
 * with its gradient. Without --grow three lengths, with it powers of ten to 100,000. */
#include "bench.h"

#include <math.h>
#include <stdlib.h>

enum { INPUTS = 16, HIDDEN = 128, CLASSES = 16, PARAMS = 5 };

typedef struct network {
    wg_tape *tape;
    wg_var x, y, outs[1 + PARAMS];
    float *data;
    int32_t *labels;
} network;

static const struct shape {
    const char *name;
    int64_t rows, cols;
} shapes[PARAMS] = {{"W", INPUTS, HIDDEN},
                    {"U", HIDDEN, HIDDEN},
                    {"b", 0, HIDDEN},
                    {"V", HIDDEN, CLASSES},
                    {"c", 0, CLASSES}};

static wg_var affine(wg_var x, wg_var w, wg_var b) { return wg_add(wg_matmul(x, w), b); }

static void record(network *n, wg_ctx *ctx, int64_t steps)
{
    wg_var p[PARAMS], out[2], start;
    n->tape = wg_tape_new(ctx);
    n->x = wg_input(n->tape, "x", WG_F32, WG_SHAPE(steps, 1, INPUTS));
    n->y = wg_input(n->tape, "y", WG_I32, WG_SHAPE(steps, 1));
    for (int i = 0; i < PARAMS; i++)
        p[i] = wg_param(n->tape, shapes[i].name, WG_F32,
                        shapes[i].rows ? WG_SHAPE(shapes[i].rows, shapes[i].cols)
                                       : WG_SHAPE(shapes[i].cols),
                        wg_init_uniform(-0.1, 0.1));
    wg_tape *body = wg_fn_begin(n->tape, "cell");
    wg_var h = wg_fn_input(body, "h", WG_F32, WG_SHAPE(1, HIDDEN));
    wg_var x = wg_fn_input(body, "x", WG_F32, WG_SHAPE(1, INPUTS));
    wg_var y = wg_fn_input(body, "y", WG_I32, WG_SHAPE(1));
    out[0] = wg_tanh(wg_add(affine(x, p[0], p[2]), wg_matmul(h, p[1])));
    out[1] = wg_sum(wg_softmax_xent(affine(out[0], p[3], p[4]), y));
    wg_fn cell = wg_fn_end(body, out, 2);
    wg_scan_options options = WG_SCAN_DEFAULTS;
    options.sums = 1;
    start = wg_full(n->tape, (wg_type){WG_F32, WG_SHAPE(1, HIDDEN)}, 0);
    wg_scan(cell, &start, 1, (wg_var[]){n->x, n->y}, 2, &options, out, 2);
    n->outs[0] = wg_div(out[1], wg_f((double)steps));
    wg_grad(n->outs, 1, NULL, p, PARAMS, n->outs + 1);
    n->data = bench_alloc((size_t)steps * INPUTS * sizeof *n->data);
    n->labels = bench_alloc((size_t)steps * sizeof *n->labels);
    for (int64_t i = 0; i < steps * INPUTS; i++)
        n->data[i] = (float)bench_uniform(0, (uint64_t)i);
    for (int64_t i = 0; i < steps; i++)
        n->labels[i] = (int32_t)(CLASSES / 2 * (bench_uniform(1, (uint64_t)i) + 1));
}

static void network_free(network *n)
{
    wg_tape_free(n->tape);
    free(n->data);
    free(n->labels);
}

/* A line of --json, or of a table of its own: bytes do not fit in bench_row's. */
static void print(bench *b, int64_t steps, const char *limit, double compile, size_t bytes,
                  double run)
{
    if (b->json) {
        printf("{\"steps\": %lld, \"limit\": \"%s\", \"threads\": %d, \"compile_us\": %.6g, "
               "\"bytes\": %zu, \"us_per_step\": %.6g}\n",
               (long long)steps, limit, b->now, 1e6 * compile, bytes, 1e6 * run / (double)steps);
        return;
    }
    if (!b->printed)
        printf("%8s  %-10s %12s %14s %12s\n", "steps", "limit", "compile us", "bytes", "us a step");
    b->printed = true;
    printf("%8lld  %-10s %12.0f %14zu %12.3f\n", (long long)steps, limit, 1e6 * compile, bytes,
           1e6 * run / (double)steps);
}

/* Compiles and runs; the loss. */
static double measure(bench *b, int64_t steps, size_t limit, const char *name)
{
    wg_ctx *ctx = bench_ctx(b);
    network n;
    record(&n, ctx, steps);
    need_tape(n.tape);
    wg_compile_options options = WG_COMPILE_DEFAULTS;
    options.executor = b->executor;
    options.memory_limit = limit;
    double start = bench_now();
    wg_program *program = wg_compile(n.tape, n.outs, 1 + PARAMS, &options);
    const double compile = bench_now() - start;
    need(program != NULL, "%s", wg_tape_error(n.tape));
    wg_session *s = wg_session_new(program, NULL);
    need(s != NULL, "out of memory");
    bench_bind(s, n.x, n.data, (size_t)steps * INPUTS * sizeof *n.data);
    bench_bind(s, n.y, n.labels, (size_t)steps * sizeof *n.labels);
    bench_side side = {bench_run, s};
    bench once = *b;
    double run;
    once.seconds = 0.2 * b->seconds;
    bench_measure(&once, &side, 1, &run);
    print(b, steps, name, compile, wg_program_bytes(program), run);
    const double loss = wg_scalar(s, n.outs[0]);
    need(isfinite(loss), "%lld steps: the loss is no number", (long long)steps);
    wg_session_free(s);
    wg_program_free(program);
    network_free(&n);
    wg_ctx_free(ctx);
    return loss;
}

int main(int argc, char **argv)
{
    static const struct {
        size_t bytes;
        const char *name;
    } limits[] = {{0, "none"}, {(size_t)4 << 20, "4 MiB"}, {(size_t)1 << 20, "1 MiB"}};
    bench b = {.doc =
                   "Compiling, memory and running of a recurrence (with gradient) by its length, "
                   "with and without memory limits.",
               .seconds = 2,
               .threads = {1},
               .nthreads = 1};
    bench_parse(&b, argc, argv);
    for (size_t t = 0; t < b.nthreads; t++) {
        bench_pin(&b, b.threads[t]);
        for (int64_t steps = 10; steps <= 100000; steps *= 10) {
            double first = NAN;
            if (!b.grow && steps != 10 && steps != 1000 && steps != 100000)
                continue;
            for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
                double loss = measure(&b, steps, limits[i].bytes, limits[i].name);
                need(!i || loss == first,
                     "%lld steps: the limit changes the loss from %.9g to %.9g", (long long)steps,
                     first, loss);
                first = loss;
            }
        }
    }
    return bench_status(&b);
}
