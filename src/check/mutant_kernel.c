/* Kernels that are wrong on purpose: the right kernel runs, then its f64 outputs are damaged. Rows
 * for f32 are left out: a check runs in f64. */
#include <math.h>
#include <string.h>

#include "check/mutant.h"

/* ---- damage: n elements, `step` bytes apart -------------------------------------------------- */

typedef struct output {
    char *data;
    size_t n;
    ptrdiff_t step;
} output;

static double *element(const output *y, size_t i)
{
    return (double *)(void *)(y->data + (ptrdiff_t)i * y->step);
}

typedef void (*damage_fn)(const output *y);

static void negate(const output *y)
{
    for (size_t i = 0; i < y->n; i++)
        *element(y, i) = -*element(y, i);
}

static void scale(const output *y, double factor)
{
    for (size_t i = 0; i < y->n; i++)
        *element(y, i) *= factor;
}
static void twice(const output *y) { scale(y, 2); }
static void half(const output *y) { scale(y, 0.5); }
static void bit_more(const output *y) { scale(y, 1.001); }
static void zero(const output *y) { scale(y, 0); }

static void roll(const output *y)
{
    for (size_t i = 0; i + 1 < y->n; i++) {
        double first = *element(y, i);
        *element(y, i) = *element(y, i + 1);
        *element(y, i + 1) = first;
    }
}

static void reverse(const output *y)
{
    for (size_t i = 0; i < y->n / 2; i++) {
        double first = *element(y, i);
        *element(y, i) = *element(y, y->n - 1 - i);
        *element(y, y->n - 1 - i) = first;
    }
}

static void drop_last(const output *y) { *element(y, y->n - 1) = 0; }
static void nans(const output *y) { scale(y, NAN); }
static void one_nan(const output *y) { *element(y, y->n - 1) = NAN; }

static void shift(const output *y)
{
    for (size_t i = 0; i < y->n; i++)
        *element(y, i) += 0.1;
}

/* The ways; the first of those with `damage` NULL ignores operand `at`. A constant shift is for
 * tests against values: no derivative tells it. */
static const struct {
    const char *name;
    damage_fn damage;
} ways[] = {
    {"negated", negate},
    {"times 2", twice},
    {"times 1/2", half},
    {"times 1.001", bit_more},
    {"zeroed", zero},
    {"rolled", roll},
    {"reversed", reverse},
    {"last element zeroed", drop_last},
    {"NaN", nans},
    {"NaN at the last element", one_nan},
    {"blind to operand", NULL},
    {"shifted by 0.1", shift},
};
enum { WAYS = sizeof ways / sizeof *ways };

const char *wg__mutant_kernel_way(int way) { return way < WAYS ? ways[way].name : NULL; }

int wg__mutant_operand_way(void)
{
    int way = 0;
    while (ways[way].damage)
        way++;
    return way;
}

static uint64_t bits_of(const output *y)
{
    uint64_t h = 0;
    for (size_t i = 0; i < y->n; i++)
        h = wg__hash(element(y, i), sizeof(double), h);
    return h;
}

static void damage(wg__mutant *m, const output *y)
{
    if (m->spoilt != WG__SPOIL_FORWARD || !ways[m->way].damage || !y->n)
        return;
    uint64_t before = bits_of(y);
    ways[m->way].damage(y);
    m->applied |= bits_of(y) != before;
}

static bool is_blind(const wg__mutant *m, size_t operand)
{
    return m->spoilt == WG__SPOIL_FORWARD && !ways[m->way].damage && m->at == operand;
}

/* ---- elementwise loops ----------------------------------------------------------------------- */

/* A loop gets no types: there is one for each row of the table. */
static void run_loop(size_t row, size_t n, char *const *data, const ptrdiff_t *stride,
                     const double *attrs, void *user)
{
    wg__mutant *m = user;
    const wg_kernel *k = m->loops[row];
    size_t nin = m->op->sig.nin;
    char *there[WG__MAX_OPERANDS + 1];
    ptrdiff_t step[WG__MAX_OPERANDS + 1];
    memcpy(there, data, (nin + 1) * sizeof *there);
    memcpy(step, stride, (nin + 1) * sizeof *step);
    for (size_t i = 0; i < nin; i++)
        if (is_blind(m, i) && k->types[i] == 'd') {
            there[i] = (char *)m->zeros;
            step[i] = 0;
            m->applied = true;
        }
    k->loop(n, there, step, attrs, m->op->def.data);
    output y = {data[nin], n, stride[nin]};
    if (k->types[strlen(k->types) - 1] == 'd')
        damage(m, &y);
}

#define LOOP(ROW)                                                                                  \
    static void loop##ROW(size_t n, char *const *data, const ptrdiff_t *stride,                    \
                          const double *attrs, void *user)                                         \
    {                                                                                              \
        run_loop(ROW, n, data, stride, attrs, user);                                               \
    }
LOOP(0)
LOOP(1)
LOOP(2)
LOOP(3)
LOOP(4)
LOOP(5)
LOOP(6)
LOOP(7)
LOOP(8)
LOOP(9)
LOOP(10)
LOOP(11)
LOOP(12)
LOOP(13)
LOOP(14)
LOOP(15)
static const wg_loop_fn loops[WG__MUTANT_LOOPS] = {loop0,  loop1,  loop2,  loop3, loop4,  loop5,
                                                   loop6,  loop7,  loop8,  loop9, loop10, loop11,
                                                   loop12, loop13, loop14, loop15};

/* ---- other kernels --------------------------------------------------------------------------- */

enum { TYPES = 64 }; /* operands past these are of the star, whose dtype is known by then */

static const wg_kernel *right_row(const wg__mutant *m, const wg_kernel_call *c)
{
    const wg_type *in[TYPES], *out[WG__MAX_OUTS];
    size_t n = c->nin < TYPES ? c->nin : TYPES;
    for (size_t i = 0; i < n; i++)
        in[i] = c->in[i].type;
    for (size_t i = 0; i < c->nout && i < WG__MAX_OUTS; i++)
        out[i] = c->out[i].type;
    return wg__op_kernel(m->op, in, n, out);
}

/* The call as the right kernel is to see it. */
static wg_kernel_call right_call(const wg__mutant *m, const wg_kernel_call *c)
{
    wg_kernel_call call = *c;
    call.data = m->op->def.data;
    return call;
}

static size_t scratch(const wg_kernel_call *c)
{
    const wg__mutant *m = c->data;
    const wg_kernel *k = right_row(m, c);
    wg_kernel_call call = right_call(m, c);
    return k && k->scratch ? k->scratch(&call) : 0;
}

static size_t bytes_of(const wg_view *v)
{
    return (size_t)wg_shape_count(v->type->shape) * wg_dtype_size(v->type->dtype);
}

static wg_status run(const wg_kernel_call *c)
{
    wg__mutant *m = c->data;
    const wg_kernel *k = right_row(m, c);
    wg_kernel_call call = right_call(m, c);
    wg_view few[TYPES];
    if (!k)
        return WG_INTERNAL;
    for (size_t i = 0; i < c->nin && c->nin <= TYPES; i++) {
        few[i] = c->in[i];
        if (is_blind(m, i) && wg_dtype_is_float(few[i].type->dtype) &&
            bytes_of(&few[i]) <= sizeof m->zeros) {
            few[i].data = m->zeros;
            call.in = few;
            m->applied = true;
        }
    }
    wg_status status = k->run(&call);
    for (size_t i = 0; i < c->nout && !status; i++) {
        output y = {c->out[i].data, bytes_of(&c->out[i]) / sizeof(double), sizeof(double)};
        if (y.data && c->out[i].type->dtype == WG_F64 && m->at == i)
            damage(m, &y);
    }
    return status;
}

/* ---- the table ------------------------------------------------------------------------------- */

bool wg__mutant_kernels(wg_ctx *ctx, wg__mutant *m, size_t *count)
{
    const wg_op *d = &m->op->def;
    size_t nloops = 0;
    *count = 0;
    m->kernels = wg__calloc(ctx, d->nkernels, sizeof *m->kernels);
    for (size_t i = 0; i < d->nkernels && m->kernels; i++) {
        const wg_kernel *k = &d->kernels[i];
        if (strchr(k->types, 'f') || (k->loop && nloops == WG__MUTANT_LOOPS))
            continue;
        wg_kernel *row = &m->kernels[(*count)++];
        *row = *k;
        row->expr = NULL;
        row->block = NULL;
        row->scalar = NULL;
        if (k->loop) {
            m->loops[nloops] = k;
            row->loop = loops[nloops++];
        } else {
            row->run = run;
            row->scratch = k->scratch ? scratch : NULL;
        }
    }
    return m->kernels != NULL;
}
