/* Running scalars: outer values are copied in, then the code is read once from start to end. Chunks
 * bring operands side by side and call block kernels, which write straight into the values; the rest
 * calls the ops' scalar functions one by one.
 *
 * A block of 16 may write past the end of its run: the values there are computed later, and regions
 * have room for it at their ends. */
#include "vm/scalars_code.h"

#include <string.h>

typedef struct machine {
    const wg__action *actions;
    char *base[WG__REGIONS];    /* values by element size */
    char *next[WG__REGIONS];    /* where the next result of each size goes */
    char *buffer[3];            /* gathered operands of a chunk */
    char **data;                /* for kernels' loops: arrays */
    ptrdiff_t *zero, stride[4]; /* and strides: none, or those of a chunk */
} machine;

enum { BUFFER = (WG__CHUNK + WG__BLOCK_PAD) * 8 };

size_t wg__scalars_bytes(const wg__scalars *s) { return s->bytes; }

size_t wg__scalars_scratch(const wg__scalars *s) { return 3 * BUFFER + s->scratch; }

size_t wg__scalars_count(const wg__scalars *s) { return s->nodes; }

/* ---- instructions ----------------------------------------------------------------------------- */

/* The store of the result before and its load back take longer than most functions. In serial
 * spans, where that load is the rule, a (well predicted) branch passes the value on; laid out for
 * the first operand, which it mostly is, that takes a third off. */
#define CALLS(NAME, T, REGION)                                                                     \
    static const uint32_t *NAME(machine *m, const uint32_t *pc, size_t n, size_t width)            \
    {                                                                                              \
        const wg__action *actions = m->actions;                                                    \
        const uintptr_t base = (uintptr_t)m->base[REGION];                                         \
        const T *x = (const T *)(const void *)m->base[REGION];                                     \
        T *y = (T *)(void *)m->next[REGION];                                                       \
        for (; n; n--, pc += width) {                                                              \
            const wg__action *a = &actions[pc[0]];                                                 \
            for (int k = 0; k < 2; k++) /* of a later node, if this is the width then */           \
                __builtin_prefetch((const void *)(base + pc[WG__AHEAD + k] * sizeof(T)));          \
            *y++ = a->call.NAME(x[pc[1]], x[pc[2]], x[pc[width - 1]], a->attrs.p);                 \
        }                                                                                          \
        m->next[REGION] = (char *)y;                                                               \
        return pc;                                                                                 \
    }                                                                                              \
    static const uint32_t *NAME##_serial(machine *m, const uint32_t *pc, size_t n, size_t width)   \
    {                                                                                              \
        const wg__action *actions = m->actions;                                                    \
        const T *x = (const T *)(const void *)m->base[REGION];                                     \
        T *y = (T *)(void *)m->next[REGION], before = y > x ? y[-1] : 0;                           \
        for (; n; n--, pc += width) {                                                              \
            const wg__action *a = &actions[pc[0]];                                                 \
            const T *p = x + pc[1], *q = x + pc[2];                                                \
            const T u = __builtin_expect(p == y - 1, 1) ? before : *p;                             \
            const T v = __builtin_expect(q == y - 1, 0) ? before : *q;                             \
            before = a->call.NAME(u, v, x[pc[width - 1]], a->attrs.p);                             \
            *y++ = before;                                                                         \
        }                                                                                          \
        m->next[REGION] = (char *)y;                                                               \
        return pc;                                                                                 \
    }
CALLS(f64, double, 3)
CALLS(f32, float, 2)

/* By the flags in a span's head. */
static const uint32_t *(*const calls[2][2])(machine *, const uint32_t *, size_t,
                                            size_t) = {{f64, f32}, {f64_serial, f32_serial}};

/* By the kernel's loop: any dtypes, any number of operands. */
static const uint32_t *any(machine *m, const uint32_t *pc, size_t n)
{
    for (; n; n--) {
        const wg__action *a = &m->actions[*pc++];
        for (uint32_t k = 0; k < a->nin; k++, pc++)
            m->data[k] = m->base[a->in.size[k]] + ((size_t)*pc << a->in.size[k]);
        m->data[a->nin] = m->next[a->region];
        m->next[a->region] += (size_t)1 << a->region;
        a->kernel->loop(1, m->data, m->zero, a->attrs.p, a->user);
    }
    return pc;
}

/* ---- chunks ------------------------------------------------------------------------------------- */

/* to[i] = from[at[i]]; the last one again up to a multiple of 16, so that all lanes hold numbers of
 * the graph. Four loads at a time are twice as fast as gather instructions where these are made of
 * micro-operations. memcpy: the region holds elements of several types. */
#define GATHER(NAME, T)                                                                            \
    static inline T NAME##_get(const char *from, uint32_t at)                                      \
    {                                                                                              \
        T x;                                                                                       \
        memcpy(&x, from + (size_t)at * sizeof x, sizeof x);                                        \
        return x;                                                                                  \
    }                                                                                              \
    static inline void NAME##_put(char *to, size_t i, T x)                                         \
    {                                                                                              \
        memcpy(to + i * sizeof x, &x, sizeof x);                                                   \
    }                                                                                              \
    static void NAME(char *to, const char *from, const uint32_t *at, size_t n)                     \
    {                                                                                              \
        size_t i = 0;                                                                              \
        for (; i + 4 <= n; i += 4) {                                                               \
            const T a = NAME##_get(from, at[i]), b = NAME##_get(from, at[i + 1]);                  \
            const T c = NAME##_get(from, at[i + 2]), d = NAME##_get(from, at[i + 3]);              \
            NAME##_put(to, i, a);                                                                  \
            NAME##_put(to, i + 1, b);                                                              \
            NAME##_put(to, i + 2, c);                                                              \
            NAME##_put(to, i + 3, d);                                                              \
        }                                                                                          \
        const T last = NAME##_get(from, at[n - 1]);                                                \
        for (; i < n; i++)                                                                         \
            NAME##_put(to, i, NAME##_get(from, at[i]));                                            \
        for (; i & (WG__BLOCK_PAD - 1); i++)                                                       \
            NAME##_put(to, i, last);                                                               \
    }
GATHER(gather1, uint8_t)
GATHER(gather2, uint16_t)
GATHER(gather4, uint32_t)
GATHER(gather8, uint64_t)

static void (*const gather[WG__REGIONS])(char *, const char *, const uint32_t *,
                                         size_t) = {gather1, gather2, gather4, gather8};

static const uint32_t *chunk(machine *m, const uint32_t *pc, uint32_t head)
{
    const wg__action *a = &m->actions[*pc++];
    const size_t n = head >> WG__SPAN_SHIFT;
    unsigned splat = 0;
    char *data[4] = {NULL, NULL, NULL, NULL}, *y = m->next[a->region];
    for (uint32_t k = 0; k < a->nin; k++) {
        const unsigned size = a->in.size[k], mode = head >> (2 * k + 2) & 3;
        if (mode == WG__GATHER) {
            data[k] = m->buffer[k];
            gather[size](data[k], m->base[size], pc, n);
            pc += n;
        } else {
            data[k] = m->base[size] + ((size_t)*pc++ << size);
            splat |= (unsigned)(mode == WG__SPLAT) << k;
        }
    }
    m->next[a->region] = y + (n << a->region);
    if (a->block) {
        const size_t padded = (n + WG__BLOCK_PAD - 1) & ~(size_t)(WG__BLOCK_PAD - 1);
        a->block[splat](padded, data[0], data[1], data[2], y, a->attrs.p);
        return pc;
    }
    for (uint32_t k = 0; k < a->nin; k++)
        m->stride[k] = splat >> k & 1 ? 0 : (ptrdiff_t)1 << a->in.size[k];
    data[a->nin] = y;
    m->stride[a->nin] = (ptrdiff_t)1 << a->region;
    a->kernel->loop(n, data, m->stride, a->attrs.p, a->user);
    return pc;
}

/* ---- all ---------------------------------------------------------------------------------------- */

static void copy_outer(const wg__scalars *s, char *const *slots, char *values)
{
    for (size_t i = 0; i < s->ncopies; i++) {
        const wg__outer_copy *c = &s->copies[i];
        const char *from = slots[c->slot] + c->offset;
        if (c->bytes == 8)
            memcpy(values + c->to, from, 8);
        else if (c->bytes == 4)
            memcpy(values + c->to, from, 4);
        else
            memcpy(values + c->to, from, c->bytes);
    }
}

void wg__scalars_run(const wg__scalars *s, char *const *slots, char *values, char *scratch)
{
    machine m = {.actions = s->actions};
    for (int k = 0; k < WG__REGIONS; k++) {
        m.base[k] = values + s->base[k];
        m.next[k] = values + s->first[k];
    }
    for (int k = 0; k < 3; k++)
        m.buffer[k] = scratch + k * BUFFER;
    m.data = (char **)(void *)(scratch + 3 * BUFFER);
    m.zero = (ptrdiff_t *)(void *)(scratch + 3 * BUFFER + s->scratch / 2);
    memset(m.zero, 0, s->scratch / 2);
    copy_outer(s, slots, values);
    for (const uint32_t *pc = s->code, *end = pc + s->words; pc < end;) {
        const uint32_t head = *pc++;
        const uint32_t kind = head & WG__SPAN_MASK, n = head >> WG__SPAN_SHIFT;
        if (kind == WG__SPAN_CHUNK)
            pc = chunk(&m, pc, head);
        else if (kind == WG__SPAN_ANY)
            pc = any(&m, pc, n);
        else
            pc =
                calls[!!(head & WG__SPAN_SERIAL)][kind](&m, pc, n, head & WG__SPAN_TERNARY ? 4 : 3);
    }
}
