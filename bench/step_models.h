/* The models of bench/steps.c. */
#ifndef BENCH_STEP_MODELS_H
#define BENCH_STEP_MODELS_H

#include "step.h"

extern const step_model step_models[];
extern const size_t step_model_count;

#endif
