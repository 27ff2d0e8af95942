/* lower: ops that have kernels and an expansion, such as softmax, are replaced by the expansion:
 * elementwise ops, broadcasts and reductions, which an executor that fuses runs in one sweep. The
 * expansion rounds as its ops do, so that results may differ in the last bits. */
#include "pass/pass.h"

static bool is_divisible(const wg__op *op) { return op->def.expand != NULL; }

wg_status wg__pass_lower(wg__graph *g) { return wg__expand_all(g, "lower", is_divisible); }
