/* Philox4x32-10, the counter-based generator: a pure function of counter and key, so equal keys
 * give equal draws on any machine and in any order. J. K. Salmon et al., "Parallel random numbers:
 * as easy as 1, 2, 3", SC 2011. Header-only; includable from everywhere, ops/ too. */
#ifndef WG_BASE_PHILOX_H
#define WG_BASE_PHILOX_H

#include <stdint.h>

/* One round: two 32x32 -> 64 products, halves exchanged, mixed with the key. */
static inline void wg__philox_round(uint32_t x[4], uint32_t k0, uint32_t k1)
{
    uint64_t p0 = (uint64_t)0xD2511F53u * x[0];
    uint64_t p1 = (uint64_t)0xCD9E8D57u * x[2];
    uint32_t y0 = (uint32_t)(p1 >> 32) ^ x[1] ^ k0;
    uint32_t y2 = (uint32_t)(p0 >> 32) ^ x[3] ^ k1;
    x[0] = y0;
    x[1] = (uint32_t)p1;
    x[2] = y2;
    x[3] = (uint32_t)p0;
}

/* Four random words from a 128-bit counter and a 64-bit key. */
static inline void wg__philox4x32_10(const uint32_t ctr[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t x[4] = {ctr[0], ctr[1], ctr[2], ctr[3]};
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        wg__philox_round(x, k0, k1);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int i = 0; i < 4; i++)
        out[i] = x[i];
}

#endif
