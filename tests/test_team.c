/* Teams of threads: every item runs exactly once, whoever asks, and a team that cannot be had costs
 * speed, not results. */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/ctx.h"
#include "base/team.h"
#include "fault.h"
#include "suite.h"

enum { ITEMS = 5000, THREADS = 4 };

static wg_ctx *ctx;
static void setup(void) { ctx = wg__ctx_new_bare(NULL); }
static void teardown(void) { wg_ctx_free(ctx); }

/* What a job saw. Counters of items are plain: two threads on one item are a data race. */
typedef struct tally {
    wg__team *team;
    size_t threads;
    int count[ITEMS];
    atomic_size_t by[THREADS];
    atomic_int strange; /* a thread number out of range */
} tally;

static void count_item(void *arg, size_t item, size_t thread)
{
    tally *t = arg;
    t->count[item]++;
    if (thread >= t->threads)
        t->strange++;
    else
        t->by[thread]++;
}

static void expect_all(tally *t, size_t items, int times)
{
    size_t sum = 0;
    for (size_t i = 0; i < ITEMS; i++)
        ck_assert_msg(t->count[i] == (i < items ? times : 0), "item %zu ran %d times", i,
                      t->count[i]);
    for (size_t i = 0; i < THREADS; i++)
        sum += t->by[i];
    ck_assert_uint_eq(sum, items * (size_t)times);
    ck_assert_int_eq(t->strange, 0);
}

START_TEST(test_each_item_once)
{
    for (size_t threads = 1; threads <= THREADS; threads++) {
        wg__team *team = wg__team_new(ctx, threads, NULL);
        ck_assert_uint_eq(wg__team_size(team), threads);
        for (size_t items = 0; items <= ITEMS; items = items * 3 + 1) {
            tally t = {.threads = threads};
            wg__team_run(team, items, count_item, &t);
            expect_all(&t, items, 1);
        }
        wg__team_free(team);
    }
    wg__team_free(NULL);
}
END_TEST

/* Plain memory written by one run and read by the next, from whatever thread. */
START_TEST(test_many_runs)
{
    wg__team *team = wg__team_new(ctx, 3, NULL);
    static tally t;
    memset(&t, 0, sizeof t);
    t.threads = 3;
    const int runs = 3000;
    for (int i = 0; i < runs; i++) {
        wg__team_run(team, 7, count_item, &t);
        if (i % 1000 == 999) /* the workers fall asleep */
            nanosleep(&(struct timespec){0, 2000000}, NULL);
    }
    expect_all(&t, 7, runs);
    wg__team_free(team);
}
END_TEST

static void slow_item(void *arg, size_t item, size_t thread)
{
    nanosleep(&(struct timespec){0, 20000000}, NULL);
    count_item(arg, item, thread);
}

/* Items that sleep: with a worker both run at once, and the caller waits for the other's. */
START_TEST(test_in_parallel)
{
    tally t = {.threads = 2};
    wg__team *team = wg__team_new(ctx, 2, NULL);
    for (int i = 0; i < 5; i++)
        wg__team_run(team, 2, slow_item, &t);
    expect_all(&t, 2, 5);
    ck_assert_uint_gt(t.by[1], 0);
    wg__team_free(team);
}
END_TEST

typedef struct nest {
    wg__team *team;
    tally inner[8];
    size_t other[8]; /* inner items not on thread 0 */
} nest;

static void nested(void *arg, size_t item, size_t thread)
{
    (void)thread;
    nest *n = arg;
    n->inner[item].threads = 1;
    wg__team_run(n->team, 100, count_item, &n->inner[item]);
}

START_TEST(test_nested)
{
    static nest n;
    memset(&n, 0, sizeof n);
    n.team = wg__team_new(ctx, 2, NULL);
    wg__team_run(n.team, 8, nested, &n);
    for (size_t i = 0; i < 8; i++)
        expect_all(&n.inner[i], 100, 1);
    wg__team_free(n.team);
}
END_TEST

static void *call_often(void *arg)
{
    tally *t = arg;
    for (int i = 0; i < 500; i++)
        wg__team_run(t->team, 5, count_item, t);
    return NULL;
}

START_TEST(test_two_callers)
{
    static tally a, b;
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    a.team = b.team = wg__team_new(ctx, 2, NULL);
    a.threads = b.threads = 2;
    pthread_t other;
    ck_assert_int_eq(pthread_create(&other, NULL, call_often, &b), 0);
    call_often(&a);
    pthread_join(other, NULL);
    expect_all(&a, 5, 500);
    expect_all(&b, 5, 500);
    wg__team_free(a.team);
}
END_TEST

static atomic_int starts;
static void count_start(void) { starts++; }

/* Workers start with the first run that has work for two, and each says so once. */
START_TEST(test_start)
{
    starts = 0;
    static tally t;
    memset(&t, 0, sizeof t);
    t.threads = 3;
    wg__team *team = wg__team_new(ctx, 3, count_start);
    wg__team_run(team, 1, count_item, &t);
    wg__team_run(team, 0, count_item, &t);
    nanosleep(&(struct timespec){0, 2000000}, NULL);
    ck_assert_int_eq(starts, 0);
    for (int i = 0; i < 10; i++)
        wg__team_run(team, 10, count_item, &t);
    wg__team_free(team);
    ck_assert_int_eq(starts, 2);
}
END_TEST

START_TEST(test_context_team)
{
    wg_ctx_options options = WG_CTX_DEFAULTS;
    options.threads = 3;
    wg_ctx *three = wg__ctx_new_bare(&options);
    wg__team *team = wg__ctx_team(three, count_start);
    ck_assert_ptr_nonnull(team);
    ck_assert_uint_eq(wg__team_size(team), 3);
    ck_assert_ptr_eq(wg__ctx_team(three, NULL), team);
    wg_ctx_free(three);
    options.struct_size = offsetof(wg_ctx_options, threads); /* before there were threads */
    wg_ctx *old = wg__ctx_new_bare(&options);
    ck_assert_uint_eq(wg__team_size(wg__ctx_team(old, NULL)), wg__cpus());
    wg_ctx_free(old);
    ck_assert_uint_ge(wg__cpus(), 1);
}
END_TEST

static bool make_and_run(wg_ctx *c, void *user)
{
    (void)user;
    tally t = {.threads = 2};
    wg__team *team = wg__ctx_team(c, NULL);
    if (!team)
        return false;
    wg__team_run(team, 20, count_item, &t);
    expect_all(&t, 20, 1);
    return true;
}

static wg_ctx *with_two(const wg_ctx_options *options)
{
    wg_ctx_options two = *options;
    two.threads = 2;
    return wg__ctx_new_bare(&two);
}

START_TEST(test_out_of_memory) { ck_assert_int_eq(fault_each(with_two, make_and_run, NULL), 0); }
END_TEST

int main(void)
{
    Suite *suite = suite_create("team");
    TCase *c = tcase_create("team");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, test_each_item_once);
    tcase_add_test(c, test_many_runs);
    tcase_add_test(c, test_in_parallel);
    tcase_add_test(c, test_nested);
    tcase_add_test(c, test_two_callers);
    tcase_add_test(c, test_start);
    tcase_add_test(c, test_context_team);
    tcase_add_test(c, test_out_of_memory);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
