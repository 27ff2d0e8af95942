/* Scalar graphs of any size; see graphs.h. */
#include "graphs.h"

#include <stdlib.h>

/* ---- the ops ----------------------------------------------------------------------------------- */

enum { ADD, SUB, MUL, TANH, SIN, SIGMOID };

static const struct row {
    wg_var (*binary)(wg_var, wg_var);
    wg_var (*unary)(wg_var);
} table[] = {
    [ADD] = {wg_add, NULL},   [SUB] = {wg_sub, NULL}, [MUL] = {wg_mul, NULL},
    [TANH] = {NULL, wg_tanh}, [SIN] = {NULL, wg_sin}, [SIGMOID] = {NULL, wg_sigmoid},
};

/* ---- recipes ----------------------------------------------------------------------------------- */

static recipe recipe_new(size_t ninputs, size_t nops)
{
    recipe r = {.ninputs = ninputs};
    need(nops < UINT32_MAX / 4, "too many ops");
    r.ops = calloc(nops + 1, sizeof *r.ops);
    r.values = calloc(ninputs + nops + 1, sizeof *r.values);
    need(r.ops && r.values, "out of memory");
    return r;
}

void recipe_free(recipe *r)
{
    free(r->ops);
    free(r->values);
    r->ops = NULL;
    r->values = NULL;
}

static uint32_t append(recipe *r, uint32_t op, size_t a, size_t b)
{
    r->ops[r->nops] = (recipe_op){op, (uint32_t)a, (uint32_t)b};
    return (uint32_t)(r->ninputs + r->nops++);
}

/* The step is 2 / steps, so that the derivative by the start is of order 1 at any length. */
recipe recipe_chain(size_t nops)
{
    const size_t steps = nops / 5;
    recipe r = recipe_new(3, 5 * steps);
    uint32_t v = 0;
    r.at[0] = 0.7;
    r.at[1] = 0.3;
    r.at[2] = steps ? 2.0 / (double)steps : 0;
    for (size_t i = 0; i < steps; i++) {
        uint32_t rise = append(&r, SIN, v, v), fall = append(&r, MUL, 1, v);
        uint32_t slope = append(&r, SUB, rise, fall);
        v = append(&r, ADD, v, append(&r, MUL, 2, slope));
    }
    return r;
}

/* ---- random recipes ----------------------------------------------------------------------------- */

typedef struct growth {
    recipe r;
    size_t window, unused;
    float *bound; /* |value| is at most this */
    bool *used;
    uint64_t draws;
} growth;

static size_t draw(growth *w, size_t below)
{
    const double u = (bench_uniform(7, w->draws++) + 1) / 2;
    return (size_t)(u * (double)below);
}

static size_t pick(growth *w)
{
    const size_t n = w->r.ninputs + w->r.nops, span = n < w->window ? n : w->window;
    return n - 1 - draw(w, span);
}

static void use(growth *w, size_t i)
{
    w->unused -= !w->used[i];
    w->used[i] = true;
}

/* Two of five are functions that bound value and derivative; the others add, subtract, multiply
 * as long as the result stays within 2, so that products do not grow without end. */
static void add_one(growth *w)
{
    const size_t i = pick(w), k = pick(w);
    const size_t op = draw(w, 5);
    const float a = w->bound[i], b = w->bound[k], bound = op == MUL ? a * b : a + b;
    const bool binary = op <= MUL && bound <= 2;
    const size_t chosen = binary ? op : TANH + draw(w, 3);
    use(w, i);
    if (binary)
        use(w, k);
    w->bound[append(&w->r, (uint32_t)chosen, i, binary ? k : i)] = binary ? bound : 1;
    w->unused++;
}

/* The values that nobody has used, summed in pairs, then those sums, and so on. */
static void sum_unused(growth *w)
{
    uint32_t *level = calloc(w->unused, sizeof *level);
    size_t n = 0;
    need(level != NULL, "out of memory");
    for (size_t i = 0, all = w->r.ninputs + w->r.nops; i < all; i++)
        if (!w->used[i])
            level[n++] = (uint32_t)i;
    while (n > 1) {
        const size_t half = n / 2;
        for (size_t i = 0; i < half; i++)
            level[i] = append(&w->r, ADD, level[2 * i], level[2 * i + 1]);
        if (n % 2)
            level[half] = level[n - 1];
        n = half + n % 2;
    }
    free(level);
}

static recipe grow(size_t nops, size_t window)
{
    growth w = {.r = recipe_new(GRAPH_MOST_INPUTS, nops), .window = window};
    const size_t all = GRAPH_MOST_INPUTS + nops;
    w.unused = GRAPH_MOST_INPUTS;
    w.bound = calloc(all, sizeof *w.bound);
    w.used = calloc(all, sizeof *w.used);
    need(w.bound && w.used && nops > GRAPH_MOST_INPUTS, "no graph of %zu ops", nops);
    for (size_t i = 0; i < GRAPH_MOST_INPUTS; i++) {
        w.r.at[i] = bench_uniform(6, i);
        w.bound[i] = 1;
    }
    while (w.r.nops + w.unused - 1 < nops)
        add_one(&w);
    sum_unused(&w);
    free(w.bound);
    free(w.used);
    return w.r;
}

recipe recipe_local(size_t nops) { return grow(nops, 64); }

recipe recipe_wide(size_t nops) { return grow(nops, SIZE_MAX); }

/* ---- recording ---------------------------------------------------------------------------------- */

void recipe_inputs(recipe *r, wg_tape *t)
{
    char name[32];
    for (size_t i = 0; i < r->ninputs; i++) {
        snprintf(name, sizeof name, "x%zu", i);
        r->values[i] = wg_input(t, name, WG_F64, WG_SCALAR);
    }
}

wg_var recipe_record(recipe *r)
{
    wg_var *v = r->values, *y = v + r->ninputs;
    for (size_t i = 0; i < r->nops; i++) {
        const recipe_op *o = &r->ops[i];
        const struct row *row = &table[o->op];
        y[i] = row->binary ? row->binary(v[o->a], v[o->b]) : row->unary(v[o->a]);
    }
    return y[r->nops - 1];
}

void recipe_bind(const recipe *r, wg_session *s)
{
    for (size_t i = 0; i < r->ninputs; i++)
        bench_bind(s, r->values[i], &r->at[i], sizeof r->at[i]);
}
