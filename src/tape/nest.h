/* Running the loop of an elementwise op over broadcast operands. */
#ifndef WG_TAPE_NEST_H
#define WG_TAPE_NEST_H

#include "tape/tape.h"

/* Computes all elements of c's output with kernel->loop; operands broadcast to the output. */
void wg__nest_run(const wg_kernel *kernel, const wg_kernel_call *c);

#endif
