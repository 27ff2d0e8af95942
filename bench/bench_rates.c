/* The machine's own rates, measured beside the rows: matrix products by the libraries' raw calls,
 * and copies. */
#include "bench.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cblas.h>
#include <dnnl.h>

/* ---- matrix products --------------------------------------------------------------------------- */

static size_t element(const bench_gemm *g) { return g->f64 ? sizeof(double) : sizeof(float); }

static void one_f32(const bench_gemm *g, const float *a, const float *b, float *c)
{
    int64_t lda = g->transpose_a ? g->m : g->k, ldb = g->transpose_b ? g->k : g->n;
    dnnl_status_t status = dnnl_sgemm(g->transpose_a ? 'T' : 'N', g->transpose_b ? 'T' : 'N', g->m,
                                      g->n, g->k, 1, a, lda, b, ldb, 0, c, g->n);
    need(status == dnnl_success, "dnnl_sgemm: status %d", (int)status);
}

static void one_f64(const bench_gemm *g, const double *a, const double *b, double *c)
{
    int lda = (int)(g->transpose_a ? g->m : g->k), ldb = (int)(g->transpose_b ? g->k : g->n);
    cblas_dgemm(CblasRowMajor, g->transpose_a ? CblasTrans : CblasNoTrans,
                g->transpose_b ? CblasTrans : CblasNoTrans, (int)g->m, (int)g->n, (int)g->k, 1, a,
                lda, b, ldb, 0, c, (int)g->n);
}

static void multiply(const bench_gemm *g)
{
    for (int64_t i = 0; i < g->batch; i++) {
        const int64_t a = i * g->m * g->k, b = i * g->k * g->n, c = i * g->m * g->n;
        if (g->f64)
            one_f64(g, (const double *)g->a + a, (const double *)g->b + b, (double *)g->c + c);
        else
            one_f32(g, (const float *)g->a + a, (const float *)g->b + b, (float *)g->c + c);
    }
}

static double time_gemm(void *user, size_t repeats)
{
    const bench_gemm *g = user;
    bench_peer_threads(g->bench->now);
    double start = bench_now();
    for (size_t i = 0; i < repeats; i++)
        multiply(g);
    double took = bench_now() - start;
    bench_peer_threads(1);
    return took;
}

bench_side bench_gemm_side(bench_gemm *g) { return (bench_side){time_gemm, g}; }

static void *numbers(const bench_gemm *g, size_t n, uint64_t stream)
{
    void *p = bench_alloc(n * element(g));
    for (size_t i = 0; i < n; i++)
        if (g->f64)
            ((double *)p)[i] = bench_uniform(stream, i);
        else
            ((float *)p)[i] = (float)bench_uniform(stream, i);
    return p;
}

void bench_gemm_fill(bench_gemm *g)
{
    g->batch = g->batch ? g->batch : 1;
    g->a = numbers(g, (size_t)(g->batch * g->m * g->k), 100);
    g->b = numbers(g, (size_t)(g->batch * g->k * g->n), 101);
    g->c = bench_alloc((size_t)(g->batch * g->m * g->n) * element(g));
}

void bench_gemm_free(bench_gemm *g)
{
    free(g->a);
    free(g->b);
    free(g->c);
    g->a = g->b = g->c = NULL;
}

double bench_gemm_flops(const bench_gemm *g)
{
    return 2.0 * (double)g->batch * (double)g->m * (double)g->n * (double)g->k;
}

/* ---- copies ------------------------------------------------------------------------------------ */

enum { MOST_COPIERS = 64, LEAST_SHARE = 256 << 10 };

/* One thread's part of all repeats, and the seconds it took. */
typedef struct share {
    const bench_copy *copy;
    size_t from, to, repeats, team;
    atomic_size_t *ready;
    double took;
} share;

static void *copy_share(void *user)
{
    share *s = user;
    const bench_copy *c = s->copy;
    atomic_fetch_add(s->ready, 1);
    while (atomic_load(s->ready) < s->team)
        sched_yield();
    double start = bench_now();
    for (size_t i = 0; i < s->repeats; i++) {
        memcpy(c->to + s->from, c->from + s->from, s->to - s->from);
        __asm__ volatile("" ::: "memory");
    }
    s->took = bench_now() - start;
    return NULL;
}

/* Threads are started for the sample, begin together, and each copies its part again and again
 * without meeting the others: the rate of the memory, not of a barrier. What is too small to be
 * shared in a program is not shared here. */
static double time_copy(void *user, size_t repeats)
{
    const bench_copy *c = user;
    const size_t most = 1 + c->bytes / LEAST_SHARE, now = (size_t)c->b->now;
    size_t n = now < most ? now : most;
    n = n < MOST_COPIERS ? n : MOST_COPIERS;
    pthread_t threads[MOST_COPIERS];
    share shares[MOST_COPIERS];
    atomic_size_t ready = 0;
    double took = 0;
    for (size_t i = 0; i < n; i++)
        shares[i] = (share){
            c, c->bytes / n * i, i + 1 == n ? c->bytes : c->bytes / n * (i + 1), repeats, n, &ready,
            0};
    for (size_t i = 1; i < n; i++)
        need(pthread_create(&threads[i], NULL, copy_share, &shares[i]) == 0, "no thread");
    copy_share(&shares[0]);
    for (size_t i = 0; i < n; i++) {
        if (i)
            pthread_join(threads[i], NULL);
        took = shares[i].took > took ? shares[i].took : took;
    }
    return took;
}

bench_side bench_copy_side(bench_copy *c) { return (bench_side){time_copy, c}; }

void bench_copy_fill(bench_copy *c)
{
    c->from = bench_alloc(c->bytes);
    c->to = bench_alloc(c->bytes);
    memset(c->from, 1, c->bytes);
}

void bench_copy_free(bench_copy *c)
{
    free(c->from);
    free(c->to);
}
