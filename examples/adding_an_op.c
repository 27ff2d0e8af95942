/* adding_an_op: the program that docs/adding-an-op.md goes through, part by part, word for word. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <wengert.h>

static wg_status same_type(wg_infer *q)
{
    q->out[0] = q->in[0];
    return WG_OK;
}

static void mish_expand(wg_rule *r)
{
    r->result[0] = wg_mul(r->in[0], wg_tanh(wg_softplus(r->in[0])));
}

static const char *const mish_cases[] = {
    "graph case(x: f64[2, 3]) -> (y) { y = mish(x) }",
    NULL,
};
static const wg_op_check mish_check = {.struct_size = WG_OP_CHECK, .cases = mish_cases};

/* n elements; strides in bytes, 0 where an operand is broadcast. */
#define SOFTSIGN(NAME, T)                                                                          \
    static void NAME(size_t n, char *const *data, const ptrdiff_t *stride, const double *attrs,    \
                     void *user)                                                                   \
    {                                                                                              \
        (void)attrs, (void)user; /* there are none */                                              \
        for (size_t i = 0; i < n; i++) {                                                           \
            const T x = *(const T *)(const void *)(data[0] + (ptrdiff_t)i * stride[0]);            \
            *(T *)(void *)(data[1] + (ptrdiff_t)i * stride[1]) = x / (1 + (x < 0 ? -x : x));       \
        }                                                                                          \
    }
SOFTSIGN(softsign_f32, float)
SOFTSIGN(softsign_f64, double)

static const wg_kernel softsign_kernels[] = {
    {.struct_size = WG_KERNEL, .types = "f->f", .loop = softsign_f32, .expr = "a / (1 + fabs(a))"},
    {.struct_size = WG_KERNEL, .types = "d->d", .loop = softsign_f64, .expr = "a / (1 + fabs(a))"},
};

/* dy/dx = 1 / (1 + |x|)^2 */
static wg_var softsign_partial(wg_rule *r, size_t operand)
{
    (void)operand; /* there is one */
    return wg_square(wg_reciprocal(wg_add(wg_f(1), wg_abs(r->in[0]))));
}

static double distance_to_zero(const double *x) { return fabs(x[0]); }
static const wg_op_check softsign_check = {.struct_size = WG_OP_CHECK, .kink = distance_to_zero};

/* Both [..., 3], of one shape and dtype; so is the product. */
static wg_status cross_infer(wg_infer *q)
{
    const wg_shape *a = &q->in[0].shape;
    if (q->in[0].dtype != q->in[1].dtype)
        return wg_infer_fail(q, WG_DTYPE, "dtypes differ: a is %s, b is %s; use cast",
                             wg_infer_text(q, q->in[0]), wg_infer_text(q, q->in[1]));
    if (!wg_shape_equal(*a, q->in[1].shape) || a->rank < 1 || a->dim[a->rank - 1] != 3)
        return wg_infer_fail(q, WG_SHAPE, "a is %s, b is %s; both need one shape [..., 3]",
                             wg_infer_text(q, q->in[0]), wg_infer_text(q, q->in[1]));
    q->out[0] = q->in[0];
    return WG_OK;
}

/* What wg_cross would be. */
static wg_var cross(wg_var a, wg_var b, wg_tape *tape)
{
    wg_var y;
    wg_apply(tape, "cross", (wg_var[]){a, b}, 2, NULL, 0, &y, 1);
    return y;
}

/* g . (da x b) = da . (b x g), and g . (a x db) = db . (g x a). */
static void cross_vjp(wg_rule *r)
{
    if (r->need[0])
        r->din[0] = cross(r->in[1], r->dout[0], r->tape);
    if (r->need[1])
        r->din[1] = cross(r->dout[0], r->in[0], r->tape);
}

/* a, b, y [..., 3], dense. */
#define CROSS(NAME, T)                                                                             \
    static wg_status NAME(const wg_kernel_call *c)                                                 \
    {                                                                                              \
        const T *a = c->in[0].data, *b = c->in[1].data;                                            \
        T *y = c->out[0].data;                                                                     \
        for (int64_t i = 0; i < wg_shape_count(c->out[0].type->shape); i += 3) {                   \
            y[i] = a[i + 1] * b[i + 2] - a[i + 2] * b[i + 1];                                      \
            y[i + 1] = a[i + 2] * b[i] - a[i] * b[i + 2];                                          \
            y[i + 2] = a[i] * b[i + 1] - a[i + 1] * b[i];                                          \
        }                                                                                          \
        return WG_OK;                                                                              \
    }
CROSS(cross_f32, float)
CROSS(cross_f64, double)

static const wg_kernel cross_kernels[] = {
    {.struct_size = WG_KERNEL, .types = "ff->f", .run = cross_f32},
    {.struct_size = WG_KERNEL, .types = "dd->d", .run = cross_f64},
};

static const char *const cross_cases[] = {
    "graph case(a: f64[3], b: f64[3]) -> (y) { y = cross(a, b) }",
    "graph case(a: f64[2, 3], b: f64[2, 3]) -> (y) { y = cross(a, b) }",
    "graph case(a: f64[0, 3], b: f64[0, 3]) -> (y) { y = cross(a, b) }",
    NULL,
};
static const wg_op_check cross_check = {.struct_size = WG_OP_CHECK, .cases = cross_cases};

static const wg_op ops[] = {
    {.struct_size = WG_OP,
     .sig = "mish(x: float) -> y",
     .doc = "x tanh(softplus(x)) (Misra 2019).",
     .infer = same_type,
     .expand = mish_expand,
     .check = &mish_check},
    {.struct_size = WG_OP,
     .sig = "softsign(x: float) -> y",
     .doc = "x / (1 + |x|).",
     .flags = WG_OP_ELEMENTWISE,
     .partial = softsign_partial,
     .kernels = softsign_kernels,
     .nkernels = 2,
     .check = &softsign_check},
    {.struct_size = WG_OP,
     .sig = "cross(a: float, b: float) -> y",
     .doc = "The vector product of the 3-vectors in the last axis.",
     .flags = WG_OP_MULTILINEAR,
     .infer = cross_infer,
     .vjp = cross_vjp,
     .kernels = cross_kernels,
     .nkernels = 2,
     .check = &cross_check},
};

typedef struct score {
    int caught, missed;
} score;

static void count_mutant(void *user, const char *op, const char *mutant, bool caught,
                         const wg_check_report *report)
{
    score *s = user;
    (void)report;
    s->caught += caught;
    s->missed += !caught;
    if (!caught)
        printf("missed: %s, %s\n", op, mutant);
}

static bool check(wg_ctx *ctx, const char *name)
{
    wg_check_report r;
    score s = {0, 0};
    if (wg_gradcheck_op(ctx, name, NULL, &r) != WG_OK || r.verdict != WG_CHECK_PASSED) {
        printf("%s: %s\n", name, r.message);
        return false;
    }
    wg_status status = wg_mutate_op(ctx, name, NULL, count_mutant, &s);
    printf("%s: passed; of %d mutants %d caught\n", name, s.caught + s.missed, s.caught);
    return status == WG_OK && s.missed == 0;
}

static void use(wg_ctx *ctx)
{
    const double force[] = {0, 0, 2}, arm[] = {1.5, 0, 0};
    wg_tape *t = wg_tape_new(ctx);
    wg_var f = wg_const(t, WG_F64, WG_SHAPE(3), force);
    wg_var a = wg_const(t, WG_F64, WG_SHAPE(3), arm);
    wg_var torque = cross(a, f, t);
    wg_var strength = wg_sum(wg_square(torque));
    printf("torque %g along y, d |torque|^2 / d arm = %g along x\n",
           wg_tensor_get(wg_value(torque), 1), wg_tensor_get(wg_value(wg_grad1(strength, a)), 0));
    cross(f, wg_const(t, WG_F64, WG_SHAPE(2), arm), t);
    printf("%s\n", wg_tape_error(t));
    wg_tape_free(t);
}

int main(void)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    bool ok = ctx != NULL;
    for (size_t i = 0; ok && i < sizeof ops / sizeof *ops; i++) {
        const char *error = "";
        ok = wg_register(ctx, &ops[i], &error) == WG_OK;
        printf("%s", error);
    }
    ok = ok && check(ctx, "mish") && check(ctx, "softsign") && check(ctx, "cross");
    if (ok)
        use(ctx);
    wg_ctx_free(ctx);
    return ok ? 0 : 1;
}
