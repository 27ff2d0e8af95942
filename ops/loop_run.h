/* Loops at work: what the kernels of the ops that run a sub-tape step by step share. Included by ops/
 * only. */
#ifndef WG_OPS_LOOP_RUN_H
#define WG_OPS_LOOP_RUN_H

#include <string.h>

#include "loop.h"

/* The views of one step, and room for what has no place in the outputs. Lies in the node's scratch. */
typedef struct wg__work {
    const wg_kernel_call *c; /* whose operands and outputs are laid out as the loop's */
    size_t fn;               /* which sub-tape of the node */
    wg__loop s;
    size_t nin, nout; /* of fn */
    wg_type *types;   /* of operands, then outputs, of one step */
    size_t *bytes;    /* of these */
    wg_view *in, *out;
    char **room; /* per output: a carry has two buffers, a term one and its sum another */
} wg__work;

/* Takes the next 64-byte aligned piece; base NULL: only counts. */
static inline void *work_take(char *base, size_t *at, size_t bytes)
{
    void *p = base ? base + *at : NULL;
    *at += round64(bytes);
    return p;
}

/* Lays the work on loop `s` out at `base`; returns how many bytes that takes. */
static inline size_t work_layout(wg__work *w, const wg__loop *s, char *base)
{
    size_t at = 0, n;
    w->s = *s;
    w->nin = loop_operands(s);
    w->nout = loop_outputs(s);
    n = w->nin + w->nout;
    w->types = work_take(base, &at, n * sizeof *w->types);
    w->bytes = work_take(base, &at, n * sizeof *w->bytes);
    w->in = work_take(base, &at, n * sizeof *w->in);
    w->room = work_take(base, &at, w->nout * sizeof *w->room);
    for (size_t k = 0; k < w->nout; k++) {
        bool kept = k < s->ncarry || k >= s->ncarry + s->nys;
        size_t bytes = round64(type_bytes(wg_fn_output_type(s->fn, k)));
        char *room = work_take(base, &at, kept ? 2 * bytes : 0);
        if (base)
            w->room[k] = room;
    }
    return at;
}

/* Of the node's sub-tape `fn`; returns the bytes taken at `base`. */
static inline size_t work_make(wg__work *w, const wg_kernel_call *c, const wg__loop *s, size_t fn,
                               char *base)
{
    size_t taken = work_layout(w, s, base);
    w->c = c;
    w->fn = fn;
    w->out = w->in + w->nin;
    for (size_t i = 0; i < w->nin + w->nout; i++) {
        w->types[i] =
            i < w->nin ? wg_fn_operand_type(s->fn, i) : wg_fn_output_type(s->fn, i - w->nin);
        w->bytes[i] = type_bytes(w->types[i]);
        w->in[i] = (wg_view){i < w->nin ? c->in[i].data : NULL, &w->types[i]};
    }
    return taken;
}

/* The number of steps to run. */
static inline int64_t work_steps(const wg__work *w)
{
    int64_t length = w->s.length.dim[0], n;
    if (!w->s.counted)
        return length;
    const wg_view *count = &w->c->in[w->nin];
    n = count->type->dtype == WG_I32 ? *(const int32_t *)count->data
                                     : *(const int64_t *)count->data;
    return n < 0 ? 0 : n > length ? length : n;
}

static inline wg_status work_run(const wg__work *w)
{
    return wg_kernel_run_fn(w->c, w->fn, w->in, w->nin, w->out, w->nout);
}

static inline void *work_slice(const wg_view *v, size_t step_bytes, int64_t t)
{
    return v->data ? (char *)v->data + (size_t)t * step_bytes : NULL;
}

static inline void work_copy(void *to, const void *from, size_t bytes)
{
    if (to && to != from && bytes)
        memcpy(to, from, bytes);
}

/* What the steps from `n` on would write is 0. */
static inline void work_clear(const wg_view *v, size_t step_bytes, int64_t n, int64_t length)
{
    if (v->data && step_bytes && n < length)
        memset(work_slice(v, step_bytes, n), 0, (size_t)(length - n) * step_bytes);
}

static inline void work_clear_unused(const wg__work *w, int64_t n)
{
    int64_t length = w->s.length.dim[0];
    for (size_t k = w->s.ncarry; k < w->s.ncarry + w->s.nys; k++)
        work_clear(&w->c->out[k], w->bytes[w->nin + k], n, length);
    for (size_t k = 0; k < w->s.ncarry; k++)
        work_clear(&w->c->out[w->nout + k], w->bytes[w->nin + k], n, length);
}

/* Slices of sequences and per-step outputs of step t. */
static inline void work_place_slices(wg__work *w, int64_t t)
{
    for (size_t i = w->s.ncarry; i < w->s.ncarry + w->s.nxs; i++)
        w->in[i].data = work_slice(&w->c->in[i], w->bytes[i], t);
    for (size_t k = w->s.ncarry; k < w->s.ncarry + w->s.nys; k++)
        w->out[k].data = work_slice(&w->c->out[k], w->bytes[w->nin + k], t);
}

/* Where step number k of n, at place t, reads and writes the carries. */
static inline void work_place_carries(wg__work *w, int64_t k, int64_t n, int64_t t)
{
    for (size_t i = 0; i < w->s.ncarry; i++) {
        const wg_view *history = &w->c->out[w->nout + i];
        size_t bytes = w->bytes[i];
        if (k == 0)
            work_copy(work_slice(history, bytes, t), w->c->in[i].data, bytes);
        w->in[i].data = k == 0 ? w->c->in[i].data : w->out[i].data;
        if (k + 1 == n)
            w->out[i].data = w->c->out[i].data;
        else if (history->data)
            w->out[i].data = work_slice(history, bytes, w->s.reverse ? t - 1 : t + 1);
        else
            w->out[i].data = w->room[i] + (k % 2 ? round64(bytes) : 0);
    }
}

/* ---- sums -------------------------------------------------------------------------------------- */

#define WORK_ADD(T, U)                                                                             \
    do {                                                                                           \
        T *restrict y = sum;                                                                       \
        const T *restrict x = term;                                                                \
        for (size_t i = 0; i < n; i++)                                                             \
            y[i] = (T)((U)y[i] + (U)x[i]);                                                         \
    } while (0)

/* sum += term, elementwise, in their own dtype; integers wrap around. */
static inline void work_add(void *sum, const void *term, const wg_type *type)
{
    size_t n = (size_t)wg_shape_count(type->shape);
    switch (type->dtype) {
    case WG_F32:
        WORK_ADD(float, float);
        break;
    case WG_F64:
        WORK_ADD(double, double);
        break;
    case WG_I32:
        WORK_ADD(int32_t, uint32_t);
        break;
    default:
        WORK_ADD(int64_t, uint64_t);
        break;
    }
}

/* Sums that somebody reads start at 0 and their terms get a place. apart: sums lie beside their terms,
 * not in the outputs. */
static inline void work_start_sums(wg__work *w, bool apart)
{
    for (size_t k = w->s.ncarry + w->s.nys; k < w->nout; k++) {
        size_t bytes = w->bytes[w->nin + k];
        bool wanted = w->c->out[k].data != NULL;
        w->out[k].data = wanted ? w->room[k] : NULL;
        if (wanted && bytes)
            memset(apart ? w->room[k] + round64(bytes) : w->c->out[k].data, 0, bytes);
    }
}

static inline void work_add_terms(const wg__work *w, bool apart)
{
    for (size_t k = w->s.ncarry + w->s.nys; k < w->nout; k++)
        if (w->out[k].data)
            work_add(apart ? w->room[k] + round64(w->bytes[w->nin + k]) : w->c->out[k].data,
                     w->out[k].data, w->out[k].type);
}

#endif
