/* A subject of the gradient checker: a function of leaves with its VJP and JVP recorded
 * (check_record.c), compared with differences and with itself (check_compare.c) at points and to
 * the orders that gradcheck.c chooses. For these three files. */
#ifndef WG_CHECK_CHECK_SUBJECT_H
#define WG_CHECK_CHECK_SUBJECT_H

#include "check/checking.h"

/* A direction to look at; seen: at some point differences decided. */
typedef struct wg__look {
    wg__direction to;
    bool seen;
} wg__look;

/* What a subject's comparisons are called. */
typedef struct wg__labels {
    const char *order, *vjp, *jvp, *both;
} wg__labels;

typedef struct wg__subject {
    wg__check *c;
    const wg__labels *labels;
    const wg_var *ys;
    size_t nys, nxs, n, m; /* n, m: elements of xs and ys */
    size_t *xs, *cs, *ts;  /* leaves: targets, cotangents of ys, tangents of xs */
    size_t few;            /* xs from here on get one direction each */
    size_t nv, nj;         /* outputs of the programs below */
    wg_var *dxs, *tys;     /* their outputs: the answers, then (first order) those of twins */
    size_t *ysizes, *xsizes;
    wg__eval f, v, j;
    wg__watch watch;
    wg__diff d;
    wg__look *slots;
    size_t nslots;
    int nc;                          /* cotangents */
    double *cot, *vjp, *jvp, *other; /* nc * m, nc * n, outputs of j, outputs of v */
    double steepest;                 /* slope per relative step over points near and far */
    double most, value, noise;       /* largest slope per relative step, value and noise so far */
} wg__subject;

/* Makes leaves for cotangents and tangents, records VJP and JVP, to first order also twins: the
 * same answers on other ways. False: the check is over. */
bool wg__subject_record(wg__subject *s);
/* Fills the slots. */
bool wg__subject_slots(wg__subject *s);
/* The VJP program on the cotangents `cot`. */
bool wg__subject_vjp(wg__subject *s, const double *cot, double *out);
/* Compares along the slot's direction, from differences of s->f. */
bool wg__compare_along(wg__subject *s, wg__look *t);
/* What must hold without differences: zero cotangent, linearity, twins. */
bool wg__compare_identities(wg__subject *s);
/* A NaN among the values, as a failure. */
void wg__compare_values(wg__subject *s);
/* Bits that mutants are told by. */
static inline void wg__check_trace(wg__check *c, const double *x, size_t n)
{
    c->job->trace = wg__hash(x, n * sizeof *x, c->job->trace);
}

#endif
