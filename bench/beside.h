/* Rows of the table: a model (step.h), its peer, and the rate of a 1024^3 sgemm of oneDNN take turns. */
#ifndef BENCH_BESIDE_H
#define BENCH_BESIDE_H

#include "step.h"
#include "torch_peer.h"

enum { BESIDE_MOST_NUMBERS = 8 };

/* Ends the program when numbers that should agree (relative tolerance) do not. */
void beside_check(const char *name, const double *ours, size_t n, const double *theirs,
                  size_t ntheirs, double tolerance);
/* A side that runs the step; the step is the user. */
double beside_time(void *step, size_t repeats);
/* peer NULL: there is none. */
void beside_peer(bench *b, const step *s, const bench_side *peer, const char *peer_name);
/* Losses are compared first. */
void beside_torch(bench *b, const step *s, torch_peer *torch);
/* The peer is plain C: run(user) does a step and returns the loss before it. Losses are compared first. */
void beside_hand(bench *b, const step *s, double (*run)(void *user), void *user);
/* The peer is the same graph compiled for its value alone. */
void beside_value(bench *b, const step *s);
/* Starts PyTorch for b->now threads and says so; without it, says how to get it. */
void beside_start(torch_peer *torch, const bench *b);

#endif
