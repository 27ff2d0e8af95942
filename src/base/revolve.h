/* Reversing a chain of steps with few snapshots: binomial checkpointing. Pure arithmetic: whoever runs
 * the chain asks for one action after the other.
 *
 * A. Griewank and A. Walther, Algorithm 799: Revolve, ACM Trans. Math. Softw. 26 (2000), 19-45. */
#ifndef WG_BASE_REVOLVE_H
#define WG_BASE_REVOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* C(s + r, s): the longest chain that s snapshots reverse with no step run more than r times before
 * it is turned. INT64_MAX when it is more than that. */
int64_t wg__revolve_reach(int64_t s, int64_t r);
/* The least number of steps that must be run forward to turn all `steps` of a chain, the runs within
 * turns not counted, with `snapshots` >= 1 (the start of the chain is one of them). INT64_MAX: more. */
int64_t wg__revolve_cost(int64_t steps, int64_t snapshots);
/* The fewest snapshots with which that is at most `most` per step; 1 .. steps. */
int64_t wg__revolve_least(int64_t steps, int64_t most);

typedef enum wg__revolve_what {
    WG__REVOLVE_ADVANCE, /* run forward from `at` to `to` */
    WG__REVOLVE_TAKE,    /* keep the state at `at` as snapshot `slot` */
    WG__REVOLVE_RESTORE, /* go back to snapshot `slot`, the state at `at` */
    WG__REVOLVE_TURN,    /* the state is that at the start of step `at`: run its reverse */
    WG__REVOLVE_DONE
} wg__revolve_what;

typedef struct wg__revolve_action {
    wg__revolve_what what;
    int64_t at, to;
    int64_t slot;
} wg__revolve_action;

/* At work. Snapshot 0 is the start of the chain. */
typedef struct wg__revolve {
    int64_t *stack; /* room for as many positions as there are snapshots */
    int64_t top;    /* the number of the last snapshot kept */
    int64_t snapshots;
    int64_t left; /* steps not turned yet */
    int64_t at;   /* the state at hand; -1: none */
} wg__revolve;

/* snapshots >= 1; `stack` has room for as many. The state at hand is the start. */
void wg__revolve_begin(wg__revolve *r, int64_t steps, int64_t snapshots, int64_t *stack);
wg__revolve_action wg__revolve_next(wg__revolve *r);

#endif
