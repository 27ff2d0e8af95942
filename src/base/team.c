/* Teams: see team.h. A run is open while its items are handed out; a worker that sees an open run
 * enters it, takes items by a shared counter, and leaves. The caller closes the run when nothing is
 * left to hand out and waits for those inside only, so workers that sleep through a run cost
 * nothing. Open, entered and left are one atomic word, the gate:
 *
 *     number of the run << 32 | WAITING (the caller sleeps) | OPEN | workers inside
 *
 * Workers and caller spin for a while before they sleep: steps of a program follow each other within
 * microseconds. A system that wakes a worker on the caller's own processor, to be moved elsewhere some
 * milliseconds later, would make two threads slower than one; so workers keep off that processor. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/team.h"

enum { LINE = 64, SPIN_NS = 50000, MOST = 1024 };
#define RUN (UINT64_C(1) << 32)
#define OPEN (UINT64_C(1) << 17)
#define WAITING (UINT64_C(1) << 16)
#define INSIDE (WAITING - 1)

typedef struct worker {
    wg__team *team;
    size_t index;
    pthread_t thread;
} worker;

struct wg__team {
    wg_ctx *ctx;
    size_t size;    /* threads to be used, the caller included */
    size_t started; /* workers that run; owned by who holds `busy` */
    bool tried;     /* to start them; likewise */
    void (*start)(void);
    atomic_bool busy;
    pthread_mutex_t lock; /* for going to sleep */
    pthread_cond_t opened, left;
    wg__job job; /* the open run's */
    void *arg;
    size_t items;
    cpu_set_t allowed; /* processors of whoever made the team; empty: not known */
    atomic_int caller; /* processor of the open run's caller */
    /* apart from what is read only, and from each other */
    _Alignas(LINE) atomic_uint_least64_t gate;
    atomic_size_t sleepers;
    atomic_bool stop;
    _Alignas(LINE) atomic_size_t next; /* item */
    _Alignas(LINE) worker workers[];
};

static inline void relax(void)
{
#if defined __x86_64__ || defined __i386__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("isb");
#endif
}

static int64_t nanoseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- workers ----------------------------------------------------------------------------------- */

static void take_items(wg__team *team, size_t thread)
{
    size_t item;
    while ((item = atomic_fetch_add_explicit(&team->next, 1, memory_order_relaxed)) < team->items)
        team->job(team->arg, item, thread);
}

/* Is this gate open to a worker whose last run was number `last`? */
static bool is_news(uint64_t gate, uint64_t last) { return (gate & OPEN) && gate / RUN != last; }

static bool spin_for_news(wg__team *team, uint64_t last)
{
    int64_t until = nanoseconds() + SPIN_NS;
    do
        for (int i = 0; i < 16; i++) {
            if (is_news(atomic_load_explicit(&team->gate, memory_order_relaxed), last))
                return true;
            relax();
        }
    while (nanoseconds() < until && !atomic_load_explicit(&team->stop, memory_order_relaxed));
    return false;
}

/* False: the team is to end. A caller opens the gate before it looks for sleepers, and a worker
 * counts as a sleeper before it looks at the gate: one of them sees the other. */
static bool sleep_for_news(wg__team *team, uint64_t last)
{
    pthread_mutex_lock(&team->lock);
    atomic_fetch_add(&team->sleepers, 1);
    bool stop;
    while (!(stop = atomic_load(&team->stop)) && !is_news(atomic_load(&team->gate), last))
        pthread_cond_wait(&team->opened, &team->lock);
    atomic_fetch_sub(&team->sleepers, 1);
    pthread_mutex_unlock(&team->lock);
    return !stop;
}

/* Enters the open run; false: it is closed by now. */
static bool enter(wg__team *team, uint64_t *last)
{
    uint64_t gate = atomic_load_explicit(&team->gate, memory_order_relaxed);
    while (is_news(gate, *last))
        if (atomic_compare_exchange_weak_explicit(&team->gate, &gate, gate + 1,
                                                  memory_order_acquire, memory_order_relaxed)) {
            *last = gate / RUN;
            return true;
        }
    return false;
}

static void leave(wg__team *team)
{
    uint64_t gate = atomic_fetch_sub_explicit(&team->gate, 1, memory_order_release);
    if ((gate & INSIDE) != 1 || !(gate & WAITING))
        return;
    pthread_mutex_lock(&team->lock);
    pthread_cond_signal(&team->left);
    pthread_mutex_unlock(&team->lock);
}

/* Moves this worker off the caller's processor, where there is another. */
static void keep_off(const wg__team *team)
{
    cpu_set_t set = team->allowed;
    int caller = atomic_load_explicit(&team->caller, memory_order_relaxed);
    if (caller < 0 || caller >= CPU_SETSIZE)
        return;
    CPU_CLR((size_t)caller, &set);
    if (CPU_COUNT(&set) > 0)
        sched_setaffinity(0, sizeof set, &set); /* a hint: all goes on without */
}

static void *work(void *arg)
{
    const worker *self = arg;
    wg__team *team = self->team;
    uint64_t last = 0;
    keep_off(team);
    if (team->start)
        team->start();
    while (spin_for_news(team, last) || sleep_for_news(team, last))
        if (enter(team, &last)) {
            if (sched_getcpu() == atomic_load_explicit(&team->caller, memory_order_relaxed))
                keep_off(team);
            take_items(team, self->index);
            leave(team);
        }
    return NULL;
}

/* ---- the caller -------------------------------------------------------------------------------- */

/* As many as the system gives. Signals are for the program's own threads. */
static void start_workers(wg__team *team)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (size_t i = 0; i + 1 < team->size; i++) {
        worker *w = &team->workers[i];
        w->team = team;
        w->index = i + 1;
        if (pthread_create(&w->thread, NULL, work, w))
            break;
        team->started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    team->tried = true;
}

static void open_run(wg__team *team, size_t items, wg__job job, void *arg)
{
    team->job = job;
    team->arg = arg;
    team->items = items;
    atomic_store_explicit(&team->next, 0, memory_order_relaxed);
    uint64_t run = atomic_load_explicit(&team->gate, memory_order_relaxed) / RUN;
    /* number 0 is what a new worker has seen last */
    run = run == UINT32_MAX ? 1 : run + 1;
    atomic_store(&team->gate, run * RUN | OPEN);
    size_t wake = atomic_load(&team->sleepers);
    if (!wake)
        return;
    pthread_mutex_lock(&team->lock);
    for (size_t i = 0; i < wake && i + 1 < items; i++)
        pthread_cond_signal(&team->opened);
    pthread_mutex_unlock(&team->lock);
}

static void close_run(wg__team *team)
{
    uint64_t gate = atomic_fetch_and_explicit(&team->gate, ~OPEN, memory_order_acquire);
    if (!(gate & INSIDE))
        return;
    int64_t until = nanoseconds() + SPIN_NS;
    do
        for (int i = 0; i < 16; i++) {
            if (!(atomic_load_explicit(&team->gate, memory_order_acquire) & INSIDE))
                return;
            relax();
        }
    while (nanoseconds() < until);
    pthread_mutex_lock(&team->lock);
    gate = atomic_fetch_or_explicit(&team->gate, WAITING, memory_order_acquire);
    while (gate & INSIDE) {
        pthread_cond_wait(&team->left, &team->lock);
        gate = atomic_load_explicit(&team->gate, memory_order_acquire);
    }
    pthread_mutex_unlock(&team->lock);
}

static bool take_team(wg__team *team)
{
    return !atomic_load_explicit(&team->busy, memory_order_relaxed) &&
           !atomic_exchange_explicit(&team->busy, true, memory_order_acquire);
}

void wg__team_run(wg__team *team, size_t items, wg__job job, void *arg)
{
    if (items < 2 || team->size < 2 || !take_team(team)) {
        for (size_t i = 0; i < items; i++)
            job(arg, i, 0);
        return;
    }
    atomic_store_explicit(&team->caller, sched_getcpu(), memory_order_relaxed);
    if (!team->tried)
        start_workers(team);
    open_run(team, items, job, arg);
    take_items(team, 0);
    close_run(team);
    atomic_store_explicit(&team->busy, false, memory_order_release);
}

/* ---- life -------------------------------------------------------------------------------------- */

static bool make_locks(wg__team *team)
{
    if (pthread_mutex_init(&team->lock, NULL))
        return false;
    if (!pthread_cond_init(&team->opened, NULL)) {
        if (!pthread_cond_init(&team->left, NULL))
            return true;
        pthread_cond_destroy(&team->opened);
    }
    pthread_mutex_destroy(&team->lock);
    return false;
}

wg__team *wg__team_new(wg_ctx *ctx, size_t threads, void (*start)(void))
{
    threads = threads < 1 ? 1 : threads > MOST ? MOST : threads;
    wg__team *team = wg__alloc_aligned(ctx, sizeof *team + (threads - 1) * sizeof *team->workers);
    if (!team)
        return NULL;
    *team = (wg__team){.ctx = ctx, .size = threads, .start = start};
    if (sched_getaffinity(0, sizeof team->allowed, &team->allowed))
        CPU_ZERO(&team->allowed);
    if (make_locks(team))
        return team;
    wg__free_aligned(ctx, team);
    return NULL;
}

void wg__team_free(wg__team *team)
{
    if (!team)
        return;
    pthread_mutex_lock(&team->lock);
    atomic_store(&team->stop, true);
    pthread_cond_broadcast(&team->opened);
    pthread_mutex_unlock(&team->lock);
    for (size_t i = 0; i < team->started; i++)
        pthread_join(team->workers[i].thread, NULL);
    pthread_cond_destroy(&team->left);
    pthread_cond_destroy(&team->opened);
    pthread_mutex_destroy(&team->lock);
    wg__free_aligned(team->ctx, team);
}

size_t wg__team_size(const wg__team *team) { return team->size; }

size_t wg__cpus(void)
{
    cpu_set_t set;
    if (!sched_getaffinity(0, sizeof set, &set) && CPU_COUNT(&set) > 0)
        return (size_t)CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN); /* more than the set holds */
    return online > 0 ? (size_t)online : 1;
}
