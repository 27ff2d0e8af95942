/* Random draws from an explicit key, by Philox4x32-10 (Salmon et al. 2011): equal keys, equal draws,
 * in any order and on any number of threads. A key is one integer (i32 is sign-extended) and gives
 * one stream of 32-bit words per kind of draw:
 *
 *     word j = word j mod 4 of philox(counter = {j/4, (j/4) >> 32, kind, 0}, key = {key, key >> 32})
 *
 * Element i of an output in row-major order reads w words from number w * i on, with w in the table
 * below (elements of a normal in pairs), so it depends on key and i alone. */
#include "base/philox.h"
#include "kernel.h"
#include "rules.h"

/* Third counter word. The comments say what an element reads. */
enum {
    BITS,        /* 1 word */
    UNIFORM_F32, /* 1 word: its upper 24 bits */
    UNIFORM_F64, /* 2 words: the upper 27 and 26 bits */
    NORMAL_F32,  /* 2 words for each pair */
    NORMAL_F64,  /* 4 words for each pair */
    BERNOULLI,   /* 2 words, as UNIFORM_F64 */
    FOLD_IN      /* counter {data, data >> 32, FOLD_IN, 0}: words 0 and 1 are the new key */
};

typedef struct stream {
    uint32_t key[2], counter[4], word[4];
    int used;
} stream;

static stream stream_open(const wg_kernel_call *c, uint32_t kind)
{
    uint64_t key = (uint64_t)wg__int_at(&c->in[0], 0);
    return (stream){{(uint32_t)key, (uint32_t)(key >> 32)}, {0, 0, kind, 0}, {0}, 4};
}

static uint32_t next(stream *s)
{
    if (s->used == 4) {
        wg__philox4x32_10(s->counter, s->key, s->word);
        s->counter[1] += ++s->counter[0] == 0;
        s->used = 0;
    }
    return s->word[s->used++];
}

/* 53 bits of two words. */
static uint64_t next53(stream *s)
{
    uint64_t high = next(s) >> 5;
    return high << 26 | next(s) >> 6;
}

/* Two independent normal numbers of two uniform ones, u in (0, 1], v in [0, 1): Box and Muller
 * 1958. Finite, as u > 0. */
static void box_muller(double u, double v, double z[2])
{
    const double radius = sqrt(-2 * log(u)), angle = 6.283185307179586 * v;
    z[0] = radius * cos(angle);
    z[1] = radius * sin(angle);
}

/* ---- kernels --------------------------------------------------------------------------------------- */

static wg_status bits(const wg_kernel_call *c)
{
    stream s = stream_open(c, BITS);
    int64_t n = wg__count(&c->out[0]);
    for (int64_t i = 0; i < n; i++)
        ((int32_t *)c->out[0].data)[i] = (int32_t)next(&s);
    return WG_OK;
}

static wg_status uniform(const wg_kernel_call *c)
{
    const bool f32 = c->out[0].type->dtype == WG_F32;
    stream s = stream_open(c, f32 ? UNIFORM_F32 : UNIFORM_F64);
    int64_t n = wg__count(&c->out[0]);
    for (int64_t i = 0; i < n; i++)
        if (f32)
            ((float *)c->out[0].data)[i] = (float)(next(&s) >> 8) * 0x1p-24f;
        else
            ((double *)c->out[0].data)[i] = (double)next53(&s) * 0x1p-53;
    return WG_OK;
}

static wg_status normal(const wg_kernel_call *c)
{
    const bool f32 = c->out[0].type->dtype == WG_F32;
    stream s = stream_open(c, f32 ? NORMAL_F32 : NORMAL_F64);
    int64_t n = wg__count(&c->out[0]);
    double z[2] = {0, 0};
    for (int64_t i = 0; i < n; i++) {
        if (i % 2 == 0 && f32) {
            double u = ((double)next(&s) + 1) * 0x1p-32;
            box_muller(u, (double)next(&s) * 0x1p-32, z);
        } else if (i % 2 == 0) {
            double u = ((double)next53(&s) + 1) * 0x1p-53;
            box_muller(u, (double)next53(&s) * 0x1p-53, z);
        }
        if (f32)
            ((float *)c->out[0].data)[i] = (float)z[i % 2];
        else
            ((double *)c->out[0].data)[i] = z[i % 2];
    }
    return WG_OK;
}

/* p broadcast to y's shape: y = u < p. */
#define BERNOULLI_KERNEL(name, T)                                                                  \
    static wg_status name(const wg_kernel_call *c)                                                 \
    {                                                                                              \
        stream s = stream_open(c, BERNOULLI);                                                      \
        const wg_shape *y = &c->out[0].type->shape;                                                \
        int64_t stride[1][WG_MAX_RANK];                                                            \
        uint8_t *to = c->out[0].data;                                                              \
        wg__broadcast_strides(&c->in[1].type->shape, y->rank, stride[0]);                          \
        for (wg__walk w = wg__walk_begin(y, 1, stride); !w.done; wg__walk_next(&w))                \
            for (int64_t i = 0; i < w.n; i++) {                                                    \
                const double p = ((const T *)c->in[1].data)[w.at[0] + i * w.step[0]];              \
                *to++ = (double)next53(&s) * 0x1p-53 < p;                                          \
            }                                                                                      \
        return WG_OK;                                                                              \
    }
BERNOULLI_KERNEL(bernoulli_f, float)
BERNOULLI_KERNEL(bernoulli_d, double)

static wg_status fold_in(const wg_kernel_call *c)
{
    int64_t n = wg__count(&c->in[1]);
    for (int64_t i = 0; i < n; i++) {
        uint64_t data = (uint64_t)wg__int_at(&c->in[1], i);
        stream s = stream_open(c, FOLD_IN);
        s.counter[0] = (uint32_t)data;
        s.counter[1] = (uint32_t)(data >> 32);
        uint64_t low = next(&s);
        ((int64_t *)c->out[0].data)[i] = (int64_t)((uint64_t)next(&s) << 32 | low);
    }
    return WG_OK;
}

/* ---- inference ----------------------------------------------------------------------------------- */

static wg_status check_key(wg_infer *q, size_t operand)
{
    if (q->in[operand].shape.rank == 0)
        return WG_OK;
    return wg_infer_fail(q, WG_SHAPE, "key must be one integer (rank 0), it is %s",
                         wg_infer_text(q, q->in[operand]));
}

/* Draws of `dtype` in the shape that the attribute says. */
static wg_status infer_draws(wg_infer *q, wg_dtype dtype)
{
    q->out[0] = (wg_type){dtype, wg_attrs_shape(q->attrs, "shape")};
    wg_status status = check_key(q, 0);
    return status ? status : wg__check_sizes(q, "shape", &q->out[0].shape);
}

static wg_status infer_bits(wg_infer *q) { return infer_draws(q, WG_I32); }

static wg_status infer_float(wg_infer *q)
{
    wg_dtype dtype = (wg_dtype)wg_attrs_int(q->attrs, "dtype");
    if (!wg_dtype_is_float(dtype))
        return wg_infer_fail(q, WG_DTYPE, "dtype must be f32 or f64, it is %s",
                             wg_dtype_name(dtype));
    return infer_draws(q, dtype);
}

static wg_status infer_bernoulli(wg_infer *q)
{
    wg_shape both;
    wg_status status = infer_draws(q, WG_BOOL);
    if (status)
        return status;
    if (wg_shape_broadcast(q->in[1].shape, q->out[0].shape, &both) &&
        wg_shape_equal(both, q->out[0].shape))
        return WG_OK;
    return wg_infer_fail(q, WG_SHAPE, "p is %s, it does not broadcast to %s",
                         wg_infer_text(q, q->in[1]), wg_infer_text(q, q->out[0]));
}

static wg_status infer_fold_in(wg_infer *q)
{
    q->out[0] = (wg_type){WG_I64, q->in[1].shape};
    return check_key(q, 0);
}

static wg_status infer_dropout(wg_infer *q)
{
    double rate = wg_attrs_float(q->attrs, "rate");
    q->out[0] = q->in[0];
    if (!(rate >= 0 && rate < 1))
        return wg_infer_fail(q, WG_INVALID, "rate %g must be in [0, 1)", rate);
    return check_key(q, 1);
}

/* ---- derivative and expansion ---------------------------------------------------------------------- */

/* A draw does not move with p, its expectation does: no answer is better than a wrong one. */
static void bernoulli_vjp(wg_rule *r)
{
    if (r->need[1])
        r->din[1] = wg_not_differentiable();
}

static void dropout_expand(wg_rule *r)
{
    double keep = 1 - wg_attrs_float(r->attrs, "rate");
    wg_var x = r->in[0];
    wg_type type = wg_typeof(x);
    r->result[0] = x;
    if (keep == 1)
        return;
    wg_var p = wg__filled(r->tape, type.dtype, wg__no_dims(), keep);
    wg_var mask = wg_random_bernoulli(r->in[1], p, type.shape);
    r->result[0] = wg_where(mask, wg_mul(x, wg_f(1 / keep)), wg_f(0));
}

/* ---- the tables -------------------------------------------------------------------------------------- */

/* clang-format off */
static const wg_kernel bits_rows[] = {WG__ROW("i->i", bits), WG__ROW("l->i", bits)};
static const wg_kernel uniform_rows[] = {WG__ROW("i->?", uniform), WG__ROW("l->?", uniform)};
static const wg_kernel normal_rows[] = {WG__ROW("i->?", normal), WG__ROW("l->?", normal)};
static const wg_kernel bernoulli_rows[] = {
    WG__ROW("if->b", bernoulli_f), WG__ROW("id->b", bernoulli_d),
    WG__ROW("lf->b", bernoulli_f), WG__ROW("ld->b", bernoulli_d)};
static const wg_kernel fold_in_rows[] = {WG__ROW("ii->l", fold_in), WG__ROW("il->l", fold_in),
                                         WG__ROW("li->l", fold_in), WG__ROW("ll->l", fold_in)};

WG__CASES(bits, "graph case() -> (y) { const k: i64 = 7; y = random_bits(k, shape=[5]) }");
WG__CASES(uniform,
    "graph case() -> (y) { const k: i64 = 7; y = random_uniform(k, shape=[2, 3]) }",
    "graph case() -> (y) { const k: i32 = -7; y = random_uniform(k, shape=[], dtype=f64) }");
WG__CASES(normal,
    "graph case() -> (y) { const k: i64 = 7; y = random_normal(k, shape=[3]) }",
    "graph case() -> (y) { const k: i32 = 7; y = random_normal(k, shape=[0, 2], dtype=f64) }");
WG__CASES(bernoulli,
    "graph case() -> (y) { const k: i64 = 7; const p: f64[3] = [0, 0.5, 1]; "
        "y = random_bernoulli(k, p, shape=[4, 3]) }");
WG__CASES(fold_in,
    "graph case() -> (y) { const k: i64 = 7; const n: i32[3] = [0, 1, -1]; "
        "y = random_fold_in(k, n) }");
WG__CASES(dropout,
    "graph case(x: f64[3, 4]) -> (y) { const k: i64 = 7; y = dropout(x, k, rate=0.5) }",
    "graph case(x: f64[5]) -> (y) { const k: i32 = 3; y = dropout(x, k, rate=0) }");
/* clang-format on */

static const wg_op ops[] = {
    {.struct_size = WG_OP,
     .sig = "random_bits(key: int; shape: shape) -> y",
     .doc = "32 random bits per element, as i32, from Philox4x32-10.",
     .flags = WG_OP_RANDOM | WG_OP_TOTAL,
     .infer = infer_bits,
     WG__KERNELS(bits_rows),
     .check = &bits_check},
    {.struct_size = WG_OP,
     .sig = "random_uniform(key: int; shape: shape, dtype: dtype = f32) -> y",
     .doc = "Uniform on [0, 1): multiples of 2^-24 (f32) or 2^-53 (f64).",
     .flags = WG_OP_RANDOM | WG_OP_TOTAL,
     .infer = infer_float,
     WG__KERNELS(uniform_rows),
     .check = &uniform_check},
    {.struct_size = WG_OP,
     .sig = "random_normal(key: int; shape: shape, dtype: dtype = f32) -> y",
     .doc = "Standard normal, always finite (Box and Muller 1958).",
     .flags = WG_OP_RANDOM | WG_OP_TOTAL,
     .infer = infer_float,
     WG__KERNELS(normal_rows),
     .check = &normal_check},
    {.struct_size = WG_OP,
     .sig = "random_bernoulli(key: int, p: float; shape: shape) -> y",
     .doc = "True with probability p, which broadcasts to the shape: u < p for u uniform on [0, 1) "
            "with 53 bits. Not differentiable in p.",
     .flags = WG_OP_RANDOM | WG_OP_TOTAL,
     .infer = infer_bernoulli,
     .vjp = bernoulli_vjp,
     WG__KERNELS(bernoulli_rows),
     .check = &bernoulli_check},
    {.struct_size = WG_OP,
     .sig = "random_fold_in(key: int, data: int) -> y",
     .doc = "A new key (i64) from a key and a number, such as the step of a loop; one for each "
            "element of data.",
     .flags = WG_OP_RANDOM | WG_OP_TOTAL,
     .infer = infer_fold_in,
     WG__KERNELS(fold_in_rows),
     .check = &fold_in_check},
    {.struct_size = WG_OP,
     .sig = "dropout(x: float, key: int; rate: float) -> y",
     .doc = "Each element is 0 with probability rate, in [0, 1), and x / (1 - rate) otherwise, "
            "drawn by random_bernoulli(key, 1 - rate); x itself when rate is 0 (Srivastava et al. "
            "2014).",
     .flags = WG_OP_RANDOM,
     .infer = infer_dropout,
     .expand = dropout_expand,
     .check = &dropout_check},
};
const wg__family wg__ops_random = {ops, sizeof ops / sizeof *ops};
