/* Which vector instructions this machine has: the WG_ISA_ constants of wengert/op.h. */
#ifndef WG_BASE_ISA_H
#define WG_BASE_ISA_H

/* The best that block kernels come in and this machine runs. Asks the CPU: keep the answer. */
int wg__isa_best(void);
/* "portable", "avx2", "avx512". */
const char *wg__isa_name(int isa);

#endif
