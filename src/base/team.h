/* Teams: the threads of a context. Work is cut by its owner into items that do not depend on the
 * number of threads; a team only decides who runs which, so results never depend on it. A forked
 * child has no workers: no run there, and its contexts must not be freed. */
#ifndef WG_BASE_TEAM_H
#define WG_BASE_TEAM_H

#include <stddef.h>
#include <wengert/ctx.h>

typedef struct wg__team wg__team;
typedef void (*wg__job)(void *arg, size_t item, size_t thread);

/* `threads` includes the caller; 1 starts none. Threads are started at the first run that has work
 * for them, and each calls `start` (may be NULL) once. NULL: out of memory. */
wg__team *wg__team_new(wg_ctx *ctx, size_t threads, void (*start)(void));
void wg__team_free(wg__team *team); /* joins; NULL is fine */
size_t wg__team_size(const wg__team *team);
/* Runs job(arg, i, thread) for all i < items, thread < size, and returns when all are done. Allocates
 * nothing. When the team is busy with another caller's run, the caller runs all items itself as
 * thread 0. */
void wg__team_run(wg__team *team, size_t items, wg__job job, void *arg);
/* How many CPUs this process may use; at least 1. */
size_t wg__cpus(void);

#endif
