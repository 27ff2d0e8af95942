/* Random ops: Philox against Random123's known answers, the documented layout of counters, the
 * distributions (moments, Kolmogorov-Smirnov), independence, dropout. Keys are fixed, so a run
 * repeats exactly; bounds are five standard deviations, or a chance of 1 in 10^4 and below. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wengert.h>
#include "suite.h"
#include "base/philox.h"

enum { N = 20000, KEYS = 6 };

/* ---- drawing ----------------------------------------------------------------------------------- */

typedef struct lab {
    wg_ctx *ctx;
    wg_tape *tape;
} lab;

static lab lab_open(void)
{
    lab l = {wg_ctx_new(NULL), NULL};
    ck_assert_ptr_nonnull(l.ctx);
    l.tape = wg_tape_new(l.ctx);
    ck_assert_ptr_nonnull(l.tape);
    return l;
}

static void lab_close(lab *l)
{
    ck_assert_str_eq(wg_tape_error(l->tape), "");
    wg_tape_free(l->tape);
    wg_ctx_free(l->ctx);
}

static wg_var key_of(lab *l, int64_t key) { return wg_const(l->tape, WG_I64, WG_SCALAR, &key); }

static wg_var scalar(lab *l, double x) { return wg_const(l->tape, WG_F64, WG_SCALAR, &x); }

/* The elements of `v` as doubles; to be freed. */
static double *elements(lab *l, wg_var v)
{
    const wg_tensor *tensor = wg_value(v);
    ck_assert_msg(tensor != NULL, "%s", wg_tape_error(l->tape));
    int64_t n = wg_shape_count(wg_typeof(v).shape);
    double *x = calloc((size_t)n + 1, sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = wg_tensor_get(tensor, i);
    return x;
}

/* Keys that differ in low bits, high bits and sign. */
static int64_t key_number(int i)
{
    static const int64_t keys[KEYS] = {0, 1, -1, 1 << 20, INT64_C(1) << 32, INT64_MIN};
    return keys[i];
}

/* ---- statistics -------------------------------------------------------------------------------- */

static double power_mean(const double *x, int n, int k)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += pow(x[i], k);
    return sum / n;
}

/* Fails unless the k-th moment of n draws is `want`, the k-th power having variance `variance`. */
static void check_moment(const double *x, int n, int k, double want, double variance)
{
    double off = (power_mean(x, n, k) - want) / sqrt(variance / n);
    ck_assert_msg(fabs(off) < 5, "moment %d is off by %g standard deviations", k, off);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Kolmogorov's D sqrt(n); above 2.23 with probability 1e-4. Sorts x. */
static double ks(double *x, int n, double (*cdf)(double))
{
    double d = 0;
    qsort(x, (size_t)n, sizeof *x, ascending);
    for (int i = 0; i < n; i++) {
        double f = cdf(x[i]);
        d = fmax(d, fmax(f - (double)i / n, (double)(i + 1) / n - f));
    }
    return d * sqrt(n);
}

static double uniform_cdf(double x) { return x; }

static double normal_cdf(double x) { return erfc(-x / sqrt(2)) / 2; }

/* Correlation of centred x with y shifted by `lag`, in its standard deviations. */
static double correlation(const double *x, const double *y, int n, int lag, double mean)
{
    double xy = 0, xx = 0;
    for (int i = 0; i + lag < n; i++) {
        xy += (x[i] - mean) * (y[i + lag] - mean);
        xx += (x[i] - mean) * (x[i] - mean);
    }
    return xy / xx * sqrt(n);
}

/* ---- the generator ------------------------------------------------------------------------------- */

/* The three lines "philox4x32 10" of tests/kat_vectors in Random123 (Salmon et al. 2011). */
START_TEST(philox_gives_the_known_answers)
{
    static const uint32_t rows[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d,
         0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09,
         0x94fdcceb, 0x5001e420, 0x24126ea1}};
    uint32_t out[4];
    wg__philox4x32_10(rows[_i], rows[_i] + 4, out);
    for (int k = 0; k < 4; k++)
        ck_assert_uint_eq(out[k], rows[_i][6 + k]);
}
END_TEST

/* Word j of the stream of one kind of draw, from the layout that ops/random.c documents. */
static uint32_t word(int64_t key, uint32_t kind, uint64_t j)
{
    uint32_t counter[4] = {(uint32_t)(j / 4), (uint32_t)((j / 4) >> 32), kind, 0}, out[4];
    uint32_t words[2] = {(uint32_t)key, (uint32_t)((uint64_t)key >> 32)};
    wg__philox4x32_10(counter, words, out);
    return out[j % 4];
}

static double unit53(int64_t key, uint32_t kind, uint64_t j)
{
    uint64_t high = word(key, kind, j) >> 5, low = word(key, kind, j + 1) >> 6;
    return (double)(high * (UINT64_C(1) << 26) + low) / 0x1p53;
}

START_TEST(draws_follow_the_documented_layout)
{
    lab l = lab_open();
    const int64_t key = key_number(_i);
    wg_var k = key_of(&l, key);
    double *bits = elements(&l, wg_random_bits(k, WG_SHAPE(3, 7)));
    double *f = elements(&l, wg_random_uniform(k, WG_SHAPE(21)));
    double *d = elements(&l, wg_random_uniform_with(k, WG_SHAPE(21), WG_F64));
    double *zf = elements(&l, wg_random_normal(k, WG_SHAPE(21)));
    double *zd = elements(&l, wg_random_normal_with(k, WG_SHAPE(21), WG_F64));
    double *b = elements(&l, wg_random_bernoulli(k, scalar(&l, 0.5), WG_SHAPE(21)));
    for (uint64_t i = 0; i < 21; i++) {
        ck_assert(bits[i] == (double)(int32_t)word(key, 0, i));
        ck_assert(f[i] == (double)(word(key, 1, i) >> 8) / 0x1p24);
        ck_assert(d[i] == unit53(key, 2, 2 * i));
        ck_assert(b[i] == (unit53(key, 5, 2 * i) < 0.5));
        uint64_t p = i / 2;
        double u = (word(key, 3, 2 * p) + 1.0) / 0x1p32, v = word(key, 3, 2 * p + 1) / 0x1p32;
        double shift = i % 2 ? M_PI / 2 : 0; /* sin(a) = cos(a - pi/2) */
        ck_assert_double_eq_tol(zf[i], sqrt(-2 * log(u)) * cos(2 * M_PI * v - shift), 1e-6);
        u = unit53(key, 4, 4 * p) + 0x1p-53;
        v = unit53(key, 4, 4 * p + 2);
        ck_assert_double_eq_tol(zd[i], sqrt(-2 * log(u)) * cos(2 * M_PI * v - shift), 1e-14);
    }
    double *all[] = {bits, f, d, zf, zd, b};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    lab_close(&l);
}
END_TEST

/* ---- distributions --------------------------------------------------------------------------------- */

START_TEST(uniform_is_uniform)
{
    lab l = lab_open();
    wg_dtype dtype = _i < KEYS ? WG_F32 : WG_F64;
    double *x = elements(&l, wg_random_uniform_with(key_of(&l, key_number(_i % KEYS)),
                                                    WG_SHAPE(N / 100, 100), dtype));
    for (int i = 0; i < N; i++)
        ck_assert(x[i] >= 0 && x[i] < 1);
    check_moment(x, N, 1, 1.0 / 2, 1.0 / 12);
    check_moment(x, N, 2, 1.0 / 3, 1.0 / 5 - 1.0 / 9);
    ck_assert(fabs(correlation(x, x, N, 1, 0.5)) < 5);
    ck_assert(fabs(correlation(x, x, N, 4, 0.5)) < 5);
    ck_assert_double_lt(ks(x, N, uniform_cdf), 2.23);
    free(x);
    lab_close(&l);
}
END_TEST

START_TEST(normal_is_normal)
{
    lab l = lab_open();
    wg_dtype dtype = _i < KEYS ? WG_F32 : WG_F64;
    double *x =
        elements(&l, wg_random_normal_with(key_of(&l, key_number(_i % KEYS)), WG_SHAPE(N), dtype));
    for (int i = 0; i < N; i++)
        ck_assert(isfinite(x[i]));
    check_moment(x, N, 1, 0, 1);
    check_moment(x, N, 2, 1, 2);
    check_moment(x, N, 3, 0, 15);
    check_moment(x, N, 4, 3, 96);
    ck_assert(fabs(correlation(x, x, N, 1, 0)) < 5);
    ck_assert_double_lt(ks(x, N, normal_cdf), 2.23);
    free(x);
    lab_close(&l);
}
END_TEST

START_TEST(bernoulli_has_its_rates)
{
    static const double rates[] = {0, 1e-3, 0.3, 0.5, 0.999, 1, -1, 2, NAN};
    enum { RATES = sizeof rates / sizeof *rates };
    lab l = lab_open();
    wg_var p = wg_const(l.tape, WG_F64, WG_SHAPE(RATES), rates);
    double *x =
        elements(&l, wg_random_bernoulli(key_of(&l, key_number(_i)), p, WG_SHAPE(N, RATES)));
    for (int k = 0; k < RATES; k++) {
        double rate = rates[k] >= 0 ? fmin(rates[k], 1) : 0, hits = 0;
        for (int i = 0; i < N; i++)
            hits += x[i * RATES + k];
        ck_assert(fabs(hits / N - rate) <= 5 * sqrt(rate * (1 - rate) / N));
    }
    free(x);
    lab_close(&l);
}
END_TEST

/* ---- keys ------------------------------------------------------------------------------------------- */

START_TEST(equal_keys_give_equal_draws)
{
    lab l = lab_open();
    const int32_t small = -7;
    wg_var a = key_of(&l, -7), b = wg_const(l.tape, WG_I32, WG_SCALAR, &small);
    double *x = elements(&l, wg_random_uniform(a, WG_SHAPE(50)));
    double *y = elements(&l, wg_random_uniform(b, WG_SHAPE(50)));
    double *longer = elements(&l, wg_random_uniform(a, WG_SHAPE(3, 40)));
    for (int i = 0; i < 50; i++)
        ck_assert(x[i] == y[i] && x[i] == longer[i]);
    free(x);
    free(y);
    free(longer);
    lab_close(&l);
}
END_TEST

START_TEST(streams_are_independent)
{
    lab l = lab_open();
    const int64_t key = key_number(_i);
    wg_var k = key_of(&l, key), step = wg_const(l.tape, WG_I64, WG_SCALAR, &key);
    const wg_var others[] = {key_of(&l, key + 1), key_of(&l, key ^ INT64_C(1) << 32),
                             wg_random_fold_in(k, step)};
    double *x = elements(&l, wg_random_uniform(k, WG_SHAPE(N)));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        double *y = elements(&l, wg_random_uniform(others[i], WG_SHAPE(N)));
        for (int lag = 0; lag < 3; lag++)
            ck_assert(fabs(correlation(x, y, N, lag, 0.5)) < 5);
        free(y);
    }
    double *y = elements(&l, wg_random_uniform_with(k, WG_SHAPE(N), WG_F64));
    ck_assert(fabs(correlation(x, y, N, 0, 0.5)) < 5);
    free(y);
    free(x);
    lab_close(&l);
}
END_TEST

START_TEST(fold_in_makes_new_keys)
{
    enum { STEPS = 1000 };
    lab l = lab_open();
    wg_var k = key_of(&l, key_number(_i));
    wg_var keys = wg_random_fold_in(k, wg_iota(l.tape, WG_SHAPE(STEPS)));
    ck_assert_int_eq(wg_typeof(keys).dtype, WG_I64);
    const wg_tensor *tensor = wg_value(keys);
    ck_assert_ptr_nonnull(tensor);
    int64_t seen[STEPS + 1];
    memcpy(seen, wg_tensor_data(tensor), STEPS * sizeof *seen);
    seen[STEPS] = key_number(_i);
    for (int i = 0; i <= STEPS; i++)
        for (int j = 0; j < i; j++)
            ck_assert(seen[i] != seen[j]);
    uint32_t key[2] = {(uint32_t)seen[STEPS], (uint32_t)((uint64_t)seen[STEPS] >> 32)}, out[4];
    wg__philox4x32_10((const uint32_t[]){3, 0, 6, 0}, key, out);
    ck_assert(seen[3] == (int64_t)((uint64_t)out[1] << 32 | out[0]));
    lab_close(&l);
}
END_TEST

/* ---- dropout ------------------------------------------------------------------------------------------ */

START_TEST(dropout_keeps_the_expectation)
{
    static const double rates[] = {0, 0.1, 0.5, 0.9};
    const double rate = rates[_i];
    lab l = lab_open();
    wg_var k = key_of(&l, 42), x = wg_input(l.tape, "x", WG_F64, WG_SHAPE(N));
    wg_var y = wg_dropout(x, k, rate), again = wg_dropout(x, k, rate);
    wg_var dx = wg_grad1(wg_sum(y), x);
    double *ones = calloc(N, sizeof *ones), sum = 0;
    for (int i = 0; i < N; i++)
        ones[i] = 1;
    ck_assert_int_eq(wg_set(x, ones, N * sizeof *ones), WG_OK);
    double *a = elements(&l, y), *b = elements(&l, again), *g = elements(&l, dx);
    for (int i = 0; i < N; i++) {
        ck_assert(a[i] == 0 || a[i] == 1 / (1 - rate));
        ck_assert(a[i] == b[i] && a[i] == g[i]); /* one key, one mask, in the gradient too */
        sum += a[i];
    }
    ck_assert(fabs(sum / N - 1) <= 5 * sqrt(rate / (1 - rate) / N));
    free(ones);
    free(a);
    free(b);
    free(g);
    lab_close(&l);
}
END_TEST

/* ---- errors ------------------------------------------------------------------------------------------- */

static void check_error(lab *l, wg_var v, wg_status status, const char *text)
{
    ck_assert(!wg_ok(v));
    ck_assert_int_eq(wg_tape_status(l->tape), status);
    ck_assert_msg(strstr(wg_tape_error(l->tape), text), "%s", wg_tape_error(l->tape));
    wg_tape_clear_error(l->tape);
}

START_TEST(mistakes_are_told)
{
    lab l = lab_open();
    const int64_t two[2] = {1, 2};
    wg_var k = key_of(&l, 1), keys = wg_const(l.tape, WG_I64, WG_SHAPE(2), two);
    wg_var x = wg_input(l.tape, "x", WG_F32, WG_SHAPE(3));
    check_error(&l, wg_random_uniform(keys, WG_SHAPE(3)), WG_SHAPE, "it is i64[2]");
    check_error(&l, wg_random_uniform(x, WG_SHAPE(3)), WG_DTYPE, "key must be i32 or i64");
    check_error(&l, wg_random_uniform_with(k, WG_SHAPE(3), WG_I32), WG_DTYPE, "f32 or f64");
    check_error(&l, wg_random_normal(k, WG_SHAPE(-3)), WG_SHAPE, "negative");
    check_error(&l, wg_random_bernoulli(k, x, WG_SHAPE(2)), WG_SHAPE, "does not broadcast");
    check_error(&l, wg_dropout(x, k, 1), WG_INVALID, "[0, 1)");
    check_error(&l, wg_dropout(x, k, -0.1), WG_INVALID, "[0, 1)");
    check_error(&l, wg_dropout(x, k, NAN), WG_INVALID, "[0, 1)");
    wg_var p = wg_input(l.tape, "p", WG_F64, WG_SCALAR);
    wg_var hits = wg_cast(wg_random_bernoulli(k, p, WG_SHAPE(4)), WG_F64);
    ck_assert(wg_ok(wg_grad1(wg_sum(hits), p)) || wg_tape_status(l.tape) == WG_NOT_DIFFERENTIABLE);
    wg_tape_clear_error(l.tape);
    lab_close(&l);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("random");
    TCase *t = tcase_create("random");
    tcase_add_loop_test(t, philox_gives_the_known_answers, 0, 3);
    tcase_add_loop_test(t, draws_follow_the_documented_layout, 0, KEYS);
    tcase_add_loop_test(t, uniform_is_uniform, 0, 2 * KEYS);
    tcase_add_loop_test(t, normal_is_normal, 0, 2 * KEYS);
    tcase_add_loop_test(t, bernoulli_has_its_rates, 0, KEYS);
    tcase_add_test(t, equal_keys_give_equal_draws);
    tcase_add_loop_test(t, streams_are_independent, 0, KEYS);
    tcase_add_loop_test(t, fold_in_makes_new_keys, 0, KEYS);
    tcase_add_loop_test(t, dropout_keeps_the_expectation, 0, 4);
    tcase_add_test(t, mistakes_are_told);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
