/* kernels: fused chains, reductions and matrix products against what the machine can do.
 *
 * A chain that reads and writes so many bytes is set against memcpy moving as many, at sizes that
 * fit each cache and at one that fits none: peak_share is the share of the copy's bandwidth. A
 * matrix product is set against the raw call of oneDNN (f32) or OpenBLAS (f64); its peak_share is
 * of the rate of a 1024^3 sgemm, measured in turns with it. */
#include "bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- against a copy ---------------------------------------------------------------------------- */

/* The inputs of a row: as many as the graph asks for, of one type. */
typedef struct subject {
    const bench *b;
    wg_tape *tape;
    wg_shape shape;
    size_t n;
    wg_var inputs[4];
    void *data[4];
    size_t ninputs;
} subject;

static wg_var input(subject *s)
{
    char name[16];
    const size_t i = s->ninputs++;
    snprintf(name, sizeof name, "x%d", (int)i);
    float *x = bench_alloc(s->n * sizeof *x);
    for (size_t k = 0; k < s->n; k++)
        x[k] = (float)(2 * bench_uniform(30 + i, k));
    s->data[i] = x;
    return s->inputs[i] = wg_input(s->tape, name, WG_F32, s->shape);
}

/* The output, or none when the graph's effects are what counts. */
typedef wg_var (*graph_fn)(subject *s);

static wg_var affine_relu(subject *s)
{
    return wg_relu(wg_add(wg_mul(input(s), wg_f(0.7)), wg_f(0.1)));
}

static wg_var gelu(subject *s) { return wg_gelu(input(s)); }

static wg_var gated(subject *s)
{
    wg_var x = input(s), y = input(s), z = input(s);
    return wg_add(wg_mul(wg_silu(x), y), z);
}

static wg_var logpdf_sum(subject *s)
{
    return wg_sum(wg_normal_logpdf(input(s), wg_f(0.3), wg_f(1.7)));
}

/* The value is the gradient: of sum(tanh(x) y) by x. */
static wg_var tanh_gradient(subject *s)
{
    wg_var x = input(s), y = input(s);
    return wg_grad1(wg_sum(wg_mul(wg_tanh(x), y)), x);
}

static wg_var adam(subject *s)
{
    wg_adam_options options = WG_ADAM_DEFAULTS;
    wg_var p = wg_param(s->tape, "p", WG_F32, s->shape, wg_init_normal(0, 1)), g = input(s);
    options.common.grads = &g;
    wg_adam(s->tape, wg_none(), &p, 1, &options);
    return wg_none();
}

static wg_var softmax(subject *s) { return wg_softmax(input(s)); }

static wg_var logsumexp(subject *s) { return wg_logsumexp_with(input(s), WG_AXES(1), false); }

static wg_var layer_norm(subject *s)
{
    wg_var x = input(s), centred = wg_sub(x, wg_mean_with(x, WG_AXES(1), true));
    wg_var variance = wg_mean_with(wg_square(centred), WG_AXES(1), true);
    return wg_mul(centred, wg_rsqrt(wg_add(variance, wg_f(1e-5))));
}

static wg_var sum_all(subject *s) { return wg_sum(input(s)); }

static wg_var sum_rows(subject *s) { return wg_sum_with(input(s), WG_AXES(1), false); }

static wg_var sum_columns(subject *s) { return wg_sum_with(input(s), WG_AXES(0), false); }

typedef struct chain {
    const char *name;
    graph_fn graph;
    double arrays; /* arrays read and written in all */
    size_t rank;
    int64_t dim[2];
} chain;

/* clang-format off */
static const chain flat[] = {
    {"relu(0.7 x + 0.1)",       affine_relu,   2, 1, {0}},
    {"gelu(x)",                 gelu,          2, 1, {0}},
    {"silu(x) y + z",           gated,         4, 1, {0}},
    {"d sum(tanh(x) y) / dx",   tanh_gradient, 3, 1, {0}},
    {"sum(normal_logpdf(x))",   logpdf_sum,    1, 1, {0}},
    {"adam",                    adam,          7, 1, {0}},
};
static const int64_t flat_sizes[] = {4 << 10, 64 << 10, 1 << 20, 16 << 20};

static const chain rows_of[] = {
    {"softmax",     softmax,     2, 2, {256, 96}},
    {"softmax",     softmax,     2, 2, {64, 4096}},
    {"logsumexp",   logsumexp,   1, 2, {256, 96}},
    {"logsumexp",   logsumexp,   1, 2, {64, 4096}},
    {"layer norm",  layer_norm,  2, 2, {256, 768}},
    {"sum",         sum_all,     1, 2, {1024, 1024}},
    {"sum of rows", sum_rows,    1, 2, {1024, 1024}},
    {"sum of columns", sum_columns, 1, 2, {1024, 1024}},
};
/* clang-format on */

static void chain_row(bench *b, const chain *c, const int64_t *dim, const char *name)
{
    if (!bench_wants(b, name))
        return;
    wg_ctx *ctx = bench_ctx(b);
    subject s = {.b = b, .tape = wg_tape_new(ctx), .shape = wg_shape_make(dim, c->rank)};
    s.n = (size_t)wg_shape_count(s.shape);
    wg_var out = c->graph(&s);
    wg_session *session = bench_open(b, s.tape, &out, wg_is_none(out) ? 0 : 1, NULL);
    for (size_t i = 0; i < s.ninputs; i++)
        bench_bind(session, s.inputs[i], s.data[i], s.n * sizeof(float));
    bench_copy copy = {.b = b, .bytes = (size_t)(c->arrays * (double)(s.n * sizeof(float)) / 2)};
    bench_copy_fill(&copy);
    const bench_side sides[] = {{bench_run, session}, bench_copy_side(&copy)};
    double seconds[2];
    bench_measure(b, sides, 2, seconds);
    bench_row(b, &(bench_result){name, seconds[0], seconds[1], "copy", seconds[1] / seconds[0], 0});
    bench_copy_free(&copy);
    wg_session_free(session);
    wg_tape_free(s.tape);
    wg_ctx_free(ctx);
    for (size_t i = 0; i < s.ninputs; i++)
        free(s.data[i]);
}

static void chain_rows(bench *b)
{
    char name[64];
    for (size_t i = 0; i < sizeof flat / sizeof *flat; i++)
        for (size_t k = 0; k < sizeof flat_sizes / sizeof *flat_sizes; k++) {
            snprintf(name, sizeof name, "%s %lldk", flat[i].name, (long long)flat_sizes[k] >> 10);
            chain_row(b, &flat[i], &flat_sizes[k], name);
        }
    for (size_t i = 0; i < sizeof rows_of / sizeof *rows_of; i++) {
        const chain *c = &rows_of[i];
        snprintf(name, sizeof name, "%s [%d, %d]", c->name, (int)c->dim[0], (int)c->dim[1]);
        chain_row(b, c, c->dim, name);
    }
}

/* ---- matrix products --------------------------------------------------------------------------- */

/* clang-format off */
static const struct product {
    int64_t batch, m, k, n;
    bool ta, tb;
} products[] = {
    {1,    64,   64,   64, false, false},
    {1,    32,  784,  256, false, false}, /* layers of the MLP: forward, */
    {1,   256,  784,  256, false, false},
    {1,   784,   32,  256, true,  false}, /* by the weight, */
    {1,   784,  256,  256, true,  false},
    {1,    32,  256,  784, false, true},  /* by the input */
    {1,     1,  784,  256, false, false}, /* a row times a matrix */
    {1,  1000,   20,    1, false, false}, /* a matrix times a column */
    {1,  4096,   64,    8, false, false}, /* tall and skinny */
    {1,     8, 4096,   64, false, false},
    {16,   64,   64,   64, false, false},
    {1,   512,  512,  512, false, false},
};
/* clang-format on */

static wg_shape matrix(int64_t batch, int64_t rows, int64_t cols)
{
    return batch > 1 ? WG_SHAPE(batch, rows, cols) : WG_SHAPE(rows, cols);
}

static wg_session *open_product(const bench *b, wg_tape *t, const bench_gemm *g, wg_var *out)
{
    const wg_dtype dtype = g->f64 ? WG_F64 : WG_F32;
    const size_t size = wg_dtype_size(dtype);
    wg_shape sa = g->transpose_a ? matrix(g->batch, g->k, g->m) : matrix(g->batch, g->m, g->k);
    wg_shape sb = g->transpose_b ? matrix(g->batch, g->n, g->k) : matrix(g->batch, g->k, g->n);
    wg_var a = wg_input(t, "a", dtype, sa), c = wg_input(t, "b", dtype, sb);
    *out = wg_matmul_with(a, c, g->transpose_a, g->transpose_b);
    wg_session *s = bench_open(b, t, out, 1, NULL);
    bench_bind(s, a, g->a, (size_t)wg_shape_count(sa) * size);
    bench_bind(s, c, g->b, (size_t)wg_shape_count(sb) * size);
    return s;
}

/* Both sum in an order of their own. */
static void check_product(wg_session *s, wg_var out, const bench_gemm *g, const char *name)
{
    need(wg_run(s) == WG_OK, "%s", wg_session_error(s));
    const void *y = wg_output(s, out, NULL, NULL);
    const double limit = (g->f64 ? 1e-13 : 1e-5) * (double)g->k;
    for (int64_t i = 0; i < g->batch * g->m * g->n; i++) {
        double x = g->f64 ? ((const double *)y)[i] : (double)((const float *)y)[i];
        double z = g->f64 ? ((double *)g->c)[i] : (double)((float *)g->c)[i];
        need(fabs(x - z) <= limit, "%s: element %lld is %g, the peer's %g", name, (long long)i, x,
             z);
    }
}

static void product_row(bench *b, const struct product *p, bool f64)
{
    char name[64];
    bench_gemm g = {b, f64, p->ta, p->tb, p->m, p->n, p->k, p->batch, NULL, NULL, NULL};
    int at = p->batch > 1 ? snprintf(name, sizeof name, "%d x ", (int)p->batch) : 0;
    snprintf(name + at, sizeof name - (size_t)at, "matmul %s %d %d %d%s%s", f64 ? "f64" : "f32",
             (int)p->m, (int)p->k, (int)p->n, p->ta ? " A^T" : "", p->tb ? " B^T" : "");
    if (!bench_wants(b, name))
        return;
    wg_ctx *ctx = bench_ctx(b);
    wg_tape *t = wg_tape_new(ctx);
    wg_var out;
    bench_gemm peak = {.bench = b, .m = 1024, .n = 1024, .k = 1024};
    bench_gemm_fill(&g);
    bench_gemm_fill(&peak);
    wg_session *s = open_product(b, t, &g, &out);
    const bench_side sides[] = {{bench_run, s}, bench_gemm_side(&g), bench_gemm_side(&peak)};
    double seconds[3];
    bench_measure(b, sides, 3, seconds);
    check_product(s, out, &g, name);
    const double rate = bench_gemm_flops(&peak) / seconds[2];
    bench_row(b, &(bench_result){name, seconds[0], seconds[1], f64 ? "cblas_dgemm" : "dnnl_sgemm",
                                 f64 ? NAN : bench_gemm_flops(&g) / seconds[0] / rate, 0});
    wg_session_free(s);
    wg_tape_free(t);
    wg_ctx_free(ctx);
    bench_gemm_free(&g);
    bench_gemm_free(&peak);
}

/* ---- the machine ------------------------------------------------------------------------------- */

static void machine_row(bench *b, const char *name, bench_side side, double amount,
                        const char *unit)
{
    double seconds;
    bench_measure(b, &side, 1, &seconds);
    bench_row(b, &(bench_result){name, seconds, NAN, NULL, 1, 0});
    bench_note(b, "that is %.1f %s", 1e-9 * amount / seconds, unit);
}

static void machine(bench *b)
{
    static const size_t moved[] = {32 << 10, 512 << 10, 8 << 20, 128 << 20};
    const char *product = "machine: sgemm 1024^3";
    char name[64];
    if (bench_wants(b, product)) {
        bench_gemm peak = {.bench = b, .m = 1024, .n = 1024, .k = 1024};
        bench_gemm_fill(&peak);
        machine_row(b, product, bench_gemm_side(&peak), bench_gemm_flops(&peak), "GF/s");
        bench_gemm_free(&peak);
    }
    for (size_t i = 0; i < sizeof moved / sizeof *moved; i++) {
        snprintf(name, sizeof name, "machine: copy, %zuk moved", moved[i] >> 10);
        if (!bench_wants(b, name))
            continue;
        bench_copy copy = {.b = b, .bytes = moved[i] / 2};
        bench_copy_fill(&copy);
        machine_row(b, name, bench_copy_side(&copy), (double)moved[i], "GB/s");
        bench_copy_free(&copy);
    }
}

int main(int argc, char **argv)
{
    bench b = {.doc = "Times chains, reductions and matrix products against copies and the raw "
                      "calls of oneDNN and OpenBLAS.",
               .seconds = 0.6,
               .threads = {1, 2},
               .nthreads = 2};
    bench_parse(&b, argc, argv);
    for (size_t t = 0; t < b.nthreads; t++) {
        bench_pin(&b, b.threads[t]);
        machine(&b);
        chain_rows(&b);
        for (int f64 = 0; f64 < 2; f64++)
            for (size_t i = 0; i < sizeof products / sizeof *products; i++)
                product_row(&b, &products[i], f64);
    }
    return bench_status(&b);
}
