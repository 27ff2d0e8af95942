/* The gradient checker's inside: one check of one graph (wg__check), made of a copy of the
 * graph in f64 (check_graph.c, check_hold.c), numbers for its leaves (check_point.c), programs
 * over it (check_eval.c), differences (check_diff.c) between kinks (check_watch.c), and subjects
 * (check_subject.h). check_op.c checks an op on its cases, check_single.c its f32 loops; mutate.c
 * breaks ops on purpose. For src/check and tests. */
#ifndef WG_CHECK_CHECK_H
#define WG_CHECK_CHECK_H

#include <wengert/check.h>
#include <wengert/op.h>
#include <wengert/program.h>
#include <wengert/text.h>
#include "tape/tape.h"

/* ---- what is to be checked ------------------------------------------------------------------- */

typedef struct wg__check_job {
    const wg_tape *tape;
    const wg_var *outs;
    size_t nouts;
    const wg_var *xs; /* NULL: all float inputs and params that the outputs need */
    size_t nxs;
    wg_gradcheck_options o;    /* defaults filled in */
    const wg_op_check *domain; /* intervals, kinks and fixed operands by input, or NULL */
    bool alias;                /* float inputs of equal type become one */
    bool brief;                /* the first failure ends it */
    bool alone;                /* each output is checked alone, too */
    bool ranges;               /* where values are NaN, points come from other ranges */
    const wg__op *from, *to;   /* not NULL: nodes of `from` become nodes of `to` */
    uint64_t trace;            /* out: a hash of all analytic results, bit for bit */
    bool aliased;              /* out: `alias` found something to merge */
} wg__check_job;

/* False with the reason in the report. */
bool wg__check_options_ok(const wg_gradcheck_options *o, wg_check_report *report);
/* Checks one graph and merges what it finds into `report`. WG_OK whatever the verdict. */
wg_status wg__check_graph(wg_ctx *ctx, wg__check_job *job, wg_check_report *report);
void wg__check_defaults(wg_gradcheck_options *to, const wg_gradcheck_options *from);

/* The test graphs of an op: its own, or generated ones. */
typedef struct wg__check_case {
    wg_graph *graph; /* of .wg text; or */
    wg_tape *tape;   /* recorded: owned when there is no graph */
    wg_var out;      /* of a recorded one */
} wg__check_case;

typedef struct wg__check_cases {
    wg_ctx *ctx;
    const wg__op *op;
    WG__VEC(wg__check_case) items;
} wg__check_cases;

/* On failure (but not WG_NO_MEMORY) report tells why; to be closed all the same. */
wg_status wg__check_cases_open(wg__check_cases *cases, wg_ctx *ctx, const char *op,
                               wg_check_report *report);
void wg__check_cases_close(wg__check_cases *cases);
/* The op's f32 loop, if it has one, against its f64 one; a failure if they part. */
void wg__check_single(wg_ctx *ctx, const wg__op *op, uint64_t seed, wg_check_report *report);
/* Checks all cases, also with equal operands merged; job->tape, outs and domain are set here. */
wg_status wg__check_cases_run(const wg__check_cases *cases, wg__check_job *job,
                              wg_check_report *report);

/* ---- a check at work ------------------------------------------------------------------------- */

/* An input of the checked graph: an input or param of the original, a cotangent or a tangent. */
typedef struct wg__leaf {
    wg_var var;
    wg_type type; /* floats are f64 */
    size_t count;
    uint32_t origin; /* id on the original tape; WG__NONE: a cotangent or tangent */
    const char *name;
    double low, high;
    bool target;  /* differentiated with respect to */
    double *x;    /* at the point; what is not float is rounded */
    double *move; /* x moved along a direction */
    void *native; /* x in its own dtype, unless f64 */
    double size;  /* root mean square of x */
} wg__leaf;

typedef struct wg__check {
    wg_ctx *ctx;
    wg__check_job *job;
    wg_check_report *report;
    wg_status status; /* the first failure that ends the check */
    bool failed;      /* a comparison did */
    bool blind;       /* differences cannot hold a stop_gradient: VJP against JVP alone */
    bool zeros;       /* integers and bools are 0: others did not run */
    bool trying;      /* a failing run does not end the check */
    size_t range;     /* row of the table of ranges */
    unsigned turn;    /* points drawn: the odd ones have the bools that those before had not */
    int rank;         /* of the worst one told */
    wg_tape *tape;    /* the copy in f64 */
    uint32_t end;     /* ids from here on are derivatives */
    WG__VEC(wg__leaf) leaves;
    wg_var *ys, *again; /* float outputs; and recorded once more from the same leaves */
    size_t nys;
    uint64_t random;
    WG__VEC(void *) blocks;
} wg__check;

/* Zeroed memory that lasts as long as the check; NULL with the status set. */
void *wg__check_take(wg__check *c, size_t count, size_t size);
/* Ends the check with a verdict and a message (kept if there is one already). */
void wg__check_end(wg__check *c, wg_check_verdict verdict, const char *format, ...) WG_PRINTF(3, 4);
/* The tape's error as the verdict WG_CHECK_ERROR; memory and cancelling as the status. */
void wg__check_tape_error(wg__check *c, const char *what);
static inline bool wg__check_stopped(const wg__check *c)
{
    return c->status || c->report->verdict == WG_CHECK_ERROR || (c->failed && c->job->brief);
}

/* ---- check_graph.c --------------------------------------------------------------------------- */

/* Fills tape, leaves, ys and again. False: ended, or nothing to differentiate. */
bool wg__check_copy(wg__check *c);
/* A new leaf of the type of `of`, sampled on +-[0.5, 1.5]; its index, SIZE_MAX after an error. */
size_t wg__check_leaf(wg__check *c, wg_var of, const char *name);
/* ---- check_hold.c ---------------------------------------------------------------------------- */

/* A copy of what `outs` need in which each stop_gradient is an input: then differences, too, hold
 * it. The tape is owned; NULL when there is nothing to hold. */
typedef struct wg__held {
    wg_tape *tape;
    wg_var *vars, *outs;     /* of the leaves; of the outputs */
    wg_var *inputs, *values; /* the new inputs, and on the checked tape what they hold */
    size_t n;
} wg__held;
/* A stop_gradient of the checked graph. */
bool wg__check_is_stop(const wg__check *c, uint32_t id);
/* False: the check is over. */
bool wg__check_hold(wg__check *c, const wg_var *outs, size_t nouts, wg__held *held);

/* ---- check_point.c --------------------------------------------------------------------------- */

uint64_t wg__check_random(wg__check *c);
double wg__check_unit(wg__check *c);   /* [0, 1) */
double wg__check_signed(wg__check *c); /* +-[0.5, 1.5) */
/* Index into a value of shape `s` for element `i` of the shape that it is broadcast to. */
int64_t wg__check_index(const wg_shape *s, const wg_shape *to, int64_t i);
/* Whether some leaf of the original is an integer or a bool. */
bool wg__check_discrete(const wg__check *c);
/* Floats are drawn from the next range from now on; false when there is none, and they come from
 * the first one again. */
bool wg__check_next_range(wg__check *c);
/* New values for all leaves; stays clear of known kinks. */
void wg__check_sample(wg__check *c);

/* ---- check_eval.c ---------------------------------------------------------------------------- */

/* A program over the leaves. All outputs, one after the other, are one vector of doubles; an
 * absent one (none) is zeros. */
typedef struct wg__eval {
    wg__check *c;
    wg_program *program, *source; /* source: gives the values that are held */
    wg_session *session, *source_session;
    wg__held held;
    const size_t *sizes;
    bool *there; /* outputs that are not none */
    size_t nouts, total;
    size_t nleaves; /* when it was made: later ones it does not know */
} wg__eval;

bool wg__eval_open(wg__eval *e, wg__check *c, const wg_var *outs, const size_t *sizes, size_t nouts,
                   bool hold);
void wg__eval_close(wg__eval *e);
bool wg__eval_point(wg__eval *e); /* binds all leaves at the point */
bool wg__eval_bind(wg__eval *e, size_t leaf, const double *x);
/* False with the check ended: a kernel failed. */
bool wg__eval_run(wg__eval *e, double *out);

/* ---- check_watch.c --------------------------------------------------------------------------- */

/* A node at which the graph may bend; kink NULL: its values are discrete. */
typedef struct wg__place_watched {
    uint32_t id;
    const wg_op_check *kink;
    size_t at; /* of its operands (of itself) among the values */
} wg__place_watched;

typedef struct wg__watch {
    wg_ctx *ctx;
    wg__eval e; /* what the places look at */
    WG__VEC(wg_var) vars;
    WG__VEC(size_t) sizes;
    WG__VEC(wg__place_watched) places;
    double *at, *moved;
} wg__watch;

/* Watches what ys and their derivatives dxs by the leaves xs (none: no path) need. To be closed
 * even when it fails. */
bool wg__watch_open(wg__watch *w, wg__check *c, const wg_var *ys, size_t nys, const wg_var *dxs,
                    const size_t *xs, size_t nxs);
void wg__watch_close(wg__watch *w);
bool wg__watch_point(wg__watch *w); /* the values at the point */
/* Sets *crossed when a kink may lie between the point and what is bound. */
bool wg__watch_run(wg__watch *w, bool *crossed);

/* ---- check_diff.c ---------------------------------------------------------------------------- */

/* A direction over the targets xs of a function. leaf SIZE_MAX: all of them. */
typedef struct wg__direction {
    size_t leaf;     /* index in xs */
    int64_t element; /* -1: random */
    double step;     /* the first step size */
} wg__direction;

/* Central differences of `e` along a direction, with room for all they need. */
typedef struct wg__diff {
    wg__check *c;
    wg__eval *e;
    wg__watch *watch;
    const size_t *xs;                        /* leaves */
    size_t nxs, n, m;                        /* elements of the targets; of the outputs */
    double *along;                           /* the direction, n */
    double *at;                              /* the value at the point, m */
    double *noise;                           /* its rounding noise, m */
    double *slope, *error;                   /* answers, m each */
    double step;                             /* of the best estimate */
    double *plus, *minus, *gap, *row, *last; /* scratch */
    double *bent;                            /* steps in a row at which an output was not smooth */
} wg__diff;

typedef enum wg__found { WG__FOUND, WG__KINK, WG__NOT_FINITE, WG__STOPPED } wg__found;

bool wg__diff_open(wg__diff *d, wg__check *c, wg__eval *e, wg__watch *watch, const size_t *xs,
                   size_t nxs);
/* Value and noise at the point. */
wg__found wg__diff_point(wg__diff *d);
/* Fills d->along. */
void wg__diff_aim(wg__diff *d, wg__direction *to);
wg__found wg__diff_run(wg__diff *d, const wg__direction *along);

#endif
