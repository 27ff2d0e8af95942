/* Scalar graphs of any size for bench/record.c and bench/steps.c: values are f64 of rank 0, every
 * value is used, and values and derivatives stay finite. A graph is first a recipe, a list of
 * numbers, so that what chooses the ops is not timed with what records them. */
#ifndef BENCH_GRAPHS_H
#define BENCH_GRAPHS_H

#include "bench.h"

enum { GRAPH_MOST_INPUTS = 64 };

/* values[ninputs + i] = op(values[a], values[b]); unary ops ignore b. */
typedef struct recipe_op {
    uint32_t op, a, b; /* op: a row of the table in graphs.c */
} recipe_op;

typedef struct recipe {
    size_t ninputs, nops;
    double at[GRAPH_MOST_INPUTS]; /* the inputs' values */
    recipe_op *ops;
    wg_var *values; /* [ninputs + nops], of the last recording; the last one is the loss */
} recipe;

/* About `nops` ops, never more. */
typedef recipe (*recipe_fn)(size_t nops);

/* Five ops a step: Euler's method for v' = sin(v) - b v, so each value needs the one before. */
recipe recipe_chain(size_t nops);
/* Random ops on random values, among the last 64 ("local") or among all before ("wide"); what
 * nobody uses is summed into the loss. */
recipe recipe_local(size_t nops);
recipe recipe_wide(size_t nops);
void recipe_free(recipe *r);

/* Records the inputs, then the ops; returns the loss. */
void recipe_inputs(recipe *r, wg_tape *t);
wg_var recipe_record(recipe *r);
void recipe_bind(const recipe *r, wg_session *s);

#endif
