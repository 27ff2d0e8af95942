/* Mutants: a copy of an op that is wrong in one chosen way. mutate.c chooses, mutant.c makes
 * the op and spoils what its rules answer, mutant_kernel.c what its kernels compute. Tests use
 * them too. */
#ifndef WG_CHECK_MUTANT_H
#define WG_CHECK_MUTANT_H

#include "tape/tape.h"

/* What is spoiled. A partial's mistake is in both VJP and JVP. */
typedef enum wg__spoilt {
    WG__SPOIL_NOTHING,
    WG__SPOIL_PARTIAL,  /* of operand `at` */
    WG__SPOIL_VJP,      /* the answer for operand `at` */
    WG__SPOIL_JVP,      /* the answer for output `at` */
    WG__SPOIL_VJP_NODE, /* node `at` of what the rule records gives way to its operand `way` */
    WG__SPOIL_JVP_NODE,
    WG__SPOIL_FORWARD /* output `at` of the kernels, or of the expansion in a program */
} wg__spoilt;

enum { WG__MUTANT_LOOPS = 16, WG__MUTANT_ZEROS = 512 };

typedef struct wg__mutant {
    const wg__op *op;      /* the right one */
    const wg__op *wrong;   /* the mutant, with rules */
    const wg__op *partial; /* the mutant, with partials; NULL when the op has none */
    wg__spoilt spoilt;
    int way; /* row of the table of ways, or an operand */
    size_t at;
    bool applied;     /* out: something was changed */
    size_t vjp_nodes; /* out: most nodes a VJP, a JVP recorded */
    size_t jvp_nodes;
    wg_kernel *kernels;
    const wg_kernel *loops[WG__MUTANT_LOOPS]; /* the right rows, for the loops in their place */
    double zeros[WG__MUTANT_ZEROS];
} wg__mutant;

/* Registers a mutant of `op` in ctx, right at first. *m must outlive the context. */
wg_status wg__mutant_register(wg_ctx *ctx, const char *op, wg__mutant *m);
void wg__mutant_free(wg_ctx *ctx, wg__mutant *m); /* after the context's last use of it */

/* Ways to spoil an answer, by row: the name, NULL past the end. Some hold for partials only where
 * that makes sense. */
const char *wg__mutant_way(int way, wg__spoilt spoilt);
/* Ways to spoil an output of a kernel; the last ones are for operands: WG__WAYS_OF_OPERANDS. */
const char *wg__mutant_kernel_way(int way);
int wg__mutant_operand_way(void); /* row of the way that ignores operand `at` */

/* The kernels of the mutant, made of those of m->op. False: out of memory. */
bool wg__mutant_kernels(wg_ctx *ctx, wg__mutant *m, size_t *count);

#endif
