/* For tests: a seeded generator (splitmix64, Steele et al. 2014), so that a failing case is found
 * again from its seed. */
#ifndef WG_TESTS_RNG_H
#define WG_TESTS_RNG_H

#include <stdint.h>

typedef struct rng {
    uint64_t state;
} rng;

static inline rng rng_make(uint64_t seed) { return (rng){seed * 0x9e3779b97f4a7c15u + 1}; }

static inline uint64_t rng_next(rng *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* An integer from low to high, both included. */
static inline int64_t rng_int(rng *r, int64_t low, int64_t high)
{
    return low + (int64_t)(rng_next(r) % ((uint64_t)high - (uint64_t)low + 1));
}

/* A double in [0, 1). */
static inline double rng_unit(rng *r) { return (double)(rng_next(r) >> 11) * 0x1p-53; }

#endif
