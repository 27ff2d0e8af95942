/* The hand-written functions alone, compiled for each variant of SMALL_VARIANT; see small.h. */
#define SMALL_HAND_ONLY
#include "small_mixture.c"
#include "small_logistic.c"
#include "small_scalar20.c"
#include "small_rosenbrock.c"
#include "small_lstm.c"
