/* PyTorch in a child process, bench/peer_torch.py, spoken to in lines. */
#ifndef BENCH_TORCH_PEER_H
#define BENCH_TORCH_PEER_H

#include "bench.h"
#include <sys/types.h>

typedef struct torch_peer {
    pid_t pid; /* 0: there is none */
    FILE *to, *from;
    char version[64];
} torch_peer;

/* Starts it for b->now threads, on the cores that this process is pinned to. False: no PyTorch
 * there, or none wanted. */
bool torch_start(torch_peer *p, const bench *b);
void torch_stop(torch_peer *p);
/* Builds what `row` says. */
void torch_row(torch_peer *p, const char *row);
/* Numbers that must agree with ours; returns how many, at most `most`. */
size_t torch_check(torch_peer *p, double *numbers, size_t most);
/* A side; the peer is the user. */
double torch_time(void *peer, size_t repeats);

#endif
