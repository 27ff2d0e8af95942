/* What every op of the registry promises, found by walking it: no op is named here. Values against
 * numbers from elsewhere are in test_oracle.c, mutants in test_check.c. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wengert.h>
#include "suite.h"
#include "check/checking.h"
#include "rng.h"
#include "tensor/tensor.h"

enum { SEEDS = 3, ORDER = 3, CASES = 24 };

static int nops(void)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    int n = ctx ? (int)wg_op_count(ctx) : 0;
    wg_ctx_free(ctx);
    return n;
}

/* ---- an op and its test graphs --------------------------------------------------------------- */

typedef struct lab {
    wg_ctx *ctx;
    const wg_op *op;
    const char *name;
    wg__check_cases cases;
} lab;

static lab lab_open(int index)
{
    lab l = {.ctx = wg_ctx_new(NULL)};
    wg_check_report r = {.verdict = WG_CHECK_PASSED};
    ck_assert_ptr_nonnull(l.ctx);
    l.op = wg_op_at(l.ctx, (size_t)index);
    l.name = wg_op_name(l.ctx, l.op);
    wg_status status = wg__check_cases_open(&l.cases, l.ctx, l.name, &r);
    ck_assert_msg(status == WG_OK && r.verdict == WG_CHECK_PASSED, "%s: %s", l.name, r.message);
    return l;
}

static void lab_close(lab *l)
{
    wg__check_cases_close(&l->cases);
    wg_ctx_free(l->ctx);
}

static wg_tape *tape_of(const wg__check_case *k)
{
    return k->graph ? wg_graph_tape(k->graph) : k->tape;
}

static const wg_var *outs_of(const wg__check_case *k, size_t *n)
{
    *n = k->graph ? wg_graph_noutputs(k->graph) : 1;
    return k->graph ? wg_graph_outputs(k->graph) : &k->out;
}

static bool is_source(const wg_op *op) { return op->flags & (WG_OP_SOURCE | WG_OP_EFFECT); }

/* A value of input `i` within the op's interval; the same whatever the float dtype. */
static double sample(const lab *l, rng *r, size_t i, wg_dtype dtype)
{
    const wg_op_check *c = l->op->check;
    double low = -2, high = 2;
    for (size_t k = i < 3 ? i : 3; c; k--) {
        if (c->low[k] != 0 || c->high[k] != 0) {
            low = c->low[k];
            high = c->high[k];
            break;
        }
        if (k == 0)
            break;
    }
    double u = rng_unit(r);
    return wg_dtype_is_float(dtype) ? (double)(float)(low + (high - low) * u) : 0;
}

/* Draws all inputs of the tape, for wg_value. */
static void set_inputs(const lab *l, wg_tape *t, uint64_t seed)
{
    rng r = rng_make(seed);
    for (size_t i = 0; i < t->inputs.len; i++) {
        wg_var x = wg__var(t, t->inputs.data[i]);
        wg_type type = wg_typeof(x);
        wg_tensor *v = wg_tensor_new(l->ctx, type.dtype, type.shape, NULL);
        for (int64_t k = 0; k < wg_shape_count(type.shape); k++)
            wg__store(type.dtype, wg_tensor_data_mut(v), k, sample(l, &r, i, type.dtype));
        ck_assert_int_eq(wg_set(x, wg_tensor_data(v), wg_tensor_bytes(v)), WG_OK);
        wg_tensor_free(v);
    }
}

/* ---- what an op says of itself --------------------------------------------------------------- */

START_TEST(ops_are_described)
{
    lab l = lab_open(_i);
    ck_assert_msg(strncmp(l.op->sig, l.name, strlen(l.name)) == 0, "%s: %s", l.name, l.op->sig);
    ck_assert_msg(l.op->doc && strlen(l.op->doc) > 3, "%s has no doc", l.name);
    size_t end = strlen(l.op->doc) - 1;
    ck_assert_msg(l.op->doc[end] == '.', "%s: its doc is no sentence: %s", l.name, l.op->doc);
    ck_assert_msg(l.cases.items.len > 0 || is_source(l.op), "%s has no test graph", l.name);
    ck_assert_ptr_eq(wg_op_find(l.ctx, l.name), l.op);
    lab_close(&l);
}
END_TEST

/* ---- derivatives ----------------------------------------------------------------------------- */

START_TEST(derivatives_pass)
{
    lab l = lab_open(_i / SEEDS);
    wg_gradcheck_options o = WG_GRADCHECK_DEFAULTS;
    wg_check_report r;
    o.seed = (uint64_t)(_i % SEEDS + 1);
    ck_assert_int_eq(wg_gradcheck_op(l.ctx, l.name, &o, &r), WG_OK);
    ck_assert_msg(r.verdict == WG_CHECK_PASSED,
                  "%s, seed %d: verdict %d: %s of %s[%ld]: expected %.12g, actual %.12g: %s",
                  l.name, (int)o.seed, (int)r.verdict, r.what, r.operand, (long)r.element,
                  r.expected, r.actual, r.message);
    lab_close(&l);
}
END_TEST

/* Float inputs of a tape. */
static size_t targets(wg_tape *t, wg_var *xs, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < t->inputs.len && n < max; i++)
        if (wg_dtype_is_float(wg__type_at(t, t->inputs.data[i])->dtype))
            xs[n++] = wg__var(t, t->inputs.data[i]);
    return n;
}

/* sum of sin(v) over the float ones: nonlinear, so that no order of derivative is zero by
 * itself. */
static wg_var sum_of(wg_tape *t, const wg_var *vs, size_t n)
{
    wg_type scalar = {WG_F64, WG_SCALAR};
    wg_var sum = wg_full(t, scalar, 0);
    for (size_t i = 0; i < n; i++)
        if (wg_dtype_is_float(wg_typeof(vs[i]).dtype))
            sum = wg_add(sum, wg_cast(wg_sum(wg_sin(vs[i])), WG_F64));
    return sum;
}

static void check_finite(const lab *l, size_t k, int order, wg_var v)
{
    const wg_tensor *x = wg_value(v);
    ck_assert_msg(x != NULL, "%s, case %zu, order %d: %s", l->name, k, order,
                  wg_tape_error(wg_tape_of(v)));
    for (int64_t i = 0; i < wg_shape_count(wg_tensor_type(x).shape); i++)
        ck_assert_msg(isfinite(wg_tensor_get(x, i)), "%s, case %zu, order %d: element %ld is %g",
                      l->name, k, order, (long)i, wg_tensor_get(x, i));
}

/* Each op that a rule records has a rule itself; or the error names who has none. */
START_TEST(differentiable_to_order_three)
{
    lab l = lab_open(_i);
    for (size_t k = 0; k < l.cases.items.len; k++) {
        wg_tape *t = tape_of(&l.cases.items.data[k]);
        size_t nouts;
        const wg_var *outs = outs_of(&l.cases.items.data[k], &nouts);
        wg_var xs[8], dxs[8];
        size_t nxs = targets(t, xs, 8);
        wg_var y = sum_of(t, outs, nouts);
        set_inputs(&l, t, 1);
        for (int order = 1; order <= ORDER && nxs; order++) {
            wg_status status = wg_grad(&y, 1, NULL, xs, nxs, dxs);
            if (status == WG_NOT_DIFFERENTIABLE)
                ck_assert_ptr_nonnull(strstr(wg_tape_error(t), l.name));
            if (status)
                break;
            for (size_t j = 0; j < nxs; j++)
                check_finite(&l, k, order, dxs[j]);
            y = sum_of(t, dxs, nxs);
        }
        ck_assert_msg(!wg_tape_status(t) || wg_tape_status(t) == WG_NOT_DIFFERENTIABLE,
                      "%s, case %zu: %s", l.name, k, wg_tape_error(t));
        if (wg_tape_status(t) == WG_OK) {
            char why[256];
            ck_assert_msg(wg__verify(t, why, sizeof why) == WG_OK, "%s: %s", l.name, why);
        }
    }
    lab_close(&l);
}
END_TEST

/* Where partials are infinite or NaN, too, a zero cotangent gives exactly zero. */
START_TEST(zero_cotangent_gives_zero)
{
    static const double special[] = {0, 1, -1, 1e308, INFINITY, -INFINITY, NAN};
    enum { N = sizeof special / sizeof *special };
    lab l = lab_open(_i);
    const wg__sig *sig = &l.cases.op->sig;
    bool floats = (l.op->flags & WG_OP_ELEMENTWISE) && l.op->partial;
    for (size_t i = 0; i < sig->nin; i++)
        floats = floats && sig->cls[i] != WG__BOOLEAN && sig->cls[i] != WG__INT;
    for (size_t i = 0; i < sig->nattrs; i++)
        floats = floats && !sig->attrs[i].required;
    if (floats) {
        wg_tape *t = wg_tape_new(l.ctx);
        wg_var in[WG__MAX_OPERANDS], y, zero, dx[WG__MAX_OPERANDS];
        for (size_t i = 0; i < sig->nin; i++) {
            double x[N * N];
            for (int k = 0; k < N * N; k++)
                x[k] = special[i == 0 ? k / N : k % N];
            in[i] = wg_const(t, WG_F64, WG_SHAPE(N * N), x);
        }
        ck_assert_int_eq(wg_apply(t, l.name, in, sig->nin, NULL, 0, &y, 1), WG_OK);
        zero = wg_full(t, wg_typeof(y), 0);
        ck_assert_int_eq(wg_grad(&y, 1, &zero, in, sig->nin, dx), WG_OK);
        for (size_t i = 0; i < sig->nin; i++)
            for (int k = 0; k < N * N; k++)
                ck_assert_msg(wg_tensor_get(wg_value(dx[i]), k) == 0,
                              "%s by operand %zu at (%g, %g): %g", l.name, i, special[k / N],
                              special[k % N], wg_tensor_get(wg_value(dx[i]), k));
        wg_tape_free(t);
    }
    lab_close(&l);
}
END_TEST

/* ---- values ---------------------------------------------------------------------------------- */

static void same_bits(const lab *l, size_t k, const char *what, const wg_tensor *a, const void *b,
                      size_t bytes)
{
    ck_assert_msg(a != NULL && b != NULL, "%s, case %zu: %s: no value", l->name, k, what);
    ck_assert_int_eq((int64_t)wg_tensor_bytes(a), (int64_t)bytes);
    ck_assert_msg(bytes == 0 || memcmp(wg_tensor_data(a), b, bytes) == 0, "%s, case %zu: %s differ",
                  l->name, k, what);
}

/* Programs, with every pass verified, and wg_value. */
START_TEST(programs_agree_with_wg_value)
{
    lab l = lab_open(_i);
    for (size_t k = 0; k < l.cases.items.len; k++) {
        wg_tape *t = tape_of(&l.cases.items.data[k]);
        size_t nouts;
        const wg_var *outs = outs_of(&l.cases.items.data[k], &nouts);
        wg_compile_options options = WG_COMPILE_DEFAULTS;
        options.verify = true;
        set_inputs(&l, t, 2);
        wg_program *p = wg_compile(t, outs, nouts, &options);
        ck_assert_msg(p != NULL, "%s, case %zu: %s", l.name, k, wg_tape_error(t));
        wg_session *s = wg_session_new(p, NULL);
        ck_assert_ptr_nonnull(s);
        for (size_t i = 0; i < t->inputs.len; i++) {
            wg_var x = wg__var(t, t->inputs.data[i]);
            const wg_tensor *v = wg_value(x);
            ck_assert_ptr_nonnull(v);
            ck_assert_int_eq(wg_bind(s, x, wg_tensor_data(v), wg_tensor_bytes(v)), WG_OK);
        }
        ck_assert_msg(wg_run(s) == WG_OK, "%s, case %zu: %s", l.name, k, wg_session_error(s));
        for (size_t i = 0; i < nouts; i++) {
            size_t bytes = 0;
            const void *data = wg_output(s, outs[i], NULL, &bytes);
            same_bits(&l, k, "program and wg_value", wg_value(outs[i]), data, bytes);
        }
        wg_session_free(s);
        wg_program_free(p);
    }
    lab_close(&l);
}
END_TEST

/* Nodes recorded anew on `dst` with f64 as f32 (and the other way round never happens). */
static bool narrow_node(wg__copy *c, uint32_t id)
{
    const wg__node *n = wg__node_at(c->src, id);
    wg_type type = *wg__type_at(c->src, id);
    const wg__op *op = wg__op_of(c->src, id);
    wg_attrs view = wg__attrs_of(c->src, id);
    wg_attr attrs[WG__MAX_ATTRS];
    wg_var vars[64];
    type.dtype = type.dtype == WG_F64 ? WG_F32 : type.dtype;
    if (n->op == WG__OP_INPUT)
        vars[n->nin] = wg_input(c->dst, wg_name_of(wg__var(c->src, id)), type.dtype, type.shape);
    else if (n->op == WG__OP_LITERAL)
        vars[n->nin] = wg_full(c->dst, type, wg_value_scalar(wg__var(c->src, id)));
    else if (n->op == WG__OP_CONST) {
        const wg_tensor *from = c->src->consts.data[n->u.bits];
        wg_tensor *to = wg_tensor_new(c->dst->ctx, type.dtype, type.shape, NULL);
        for (int64_t i = 0; i < wg_shape_count(type.shape); i++)
            wg__store(type.dtype, to->data, i, wg__load(from->type.dtype, from->data, i));
        vars[n->nin] = wg__const_tensor(c->dst, to);
    } else {
        size_t nattrs = wg__attrs_export(&view, attrs);
        for (size_t i = 0; i < nattrs; i++)
            if (attrs[i].kind == WG_ATTR_DTYPE && attrs[i].v.i == WG_F64)
                attrs[i].v.i = WG_F32;
        for (uint16_t i = 0; i < n->nin; i++)
            vars[i] = wg__var(c->dst, c->map[wg__operands(c->src, n)[i]]);
        wg__record(c->dst, op->index, vars, n->nin, attrs, nattrs, vars + n->nin, n->nout);
    }
    for (uint32_t i = 0; i < n->nout && !wg_tape_status(c->dst); i++)
        c->map[id + i] = (uint32_t)vars[n->nin + i].bits;
    return true;
}

static bool can_narrow(const wg_tape *t)
{
    for (uint32_t id = 0; id < t->nodes.len; id++)
        if (wg__node_at(t, id)->nin + wg__node_at(t, id)->nout > 64u || wg__node_fn(t, id, NULL) ||
            ((wg__op_of(t, id)->def.flags & WG_OP_RANDOM) && !wg__op_of(t, id)->def.expand))
            return false; /* draws of f32 and f64 are other draws */
    return true;
}

static void compare_narrow(const lab *l, size_t k, const wg_tensor *wide, const wg_tensor *narrow)
{
    ck_assert_msg(wide && narrow, "%s, case %zu: no value", l->name, k);
    double scale = 1;
    int64_t n = wg_shape_count(wg_tensor_type(wide).shape);
    ck_assert(wg_shape_equal(wg_tensor_type(wide).shape, wg_tensor_type(narrow).shape));
    for (int64_t i = 0; i < n; i++)
        scale = fmax(scale, fabs(wg_tensor_get(wide, i)));
    for (int64_t i = 0; i < n; i++) {
        double a = wg_tensor_get(wide, i), b = wg_tensor_get(narrow, i);
        bool ok = a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= 1e-5 * scale;
        ck_assert_msg(ok, "%s, case %zu, element %ld: f64 gives %.9g, f32 %.9g", l->name, k,
                      (long)i, a, b);
    }
}

START_TEST(f32_agrees_with_f64)
{
    lab l = lab_open(_i);
    for (size_t k = 0; k < l.cases.items.len; k++) {
        wg_tape *t = tape_of(&l.cases.items.data[k]), *narrow;
        size_t nouts;
        const wg_var *outs = outs_of(&l.cases.items.data[k], &nouts);
        uint32_t *map = wg__copy_map(l.ctx, t);
        if (!can_narrow(t)) {
            wg__free(l.ctx, map);
            continue;
        }
        narrow = wg_tape_new(l.ctx);
        wg__copy c = {.dst = narrow, .src = t, .map = map, .all = true, .rewrite = narrow_node};
        ck_assert_msg(wg__copy_nodes(&c) == WG_OK, "%s, case %zu in f32: %s", l.name, k,
                      wg_tape_error(narrow));
        set_inputs(&l, t, 3);
        set_inputs(&l, narrow, 3);
        for (size_t i = 0; i < nouts; i++)
            compare_narrow(&l, k, wg_value(outs[i]),
                           wg_value(wg__var(narrow, map[(uint32_t)outs[i].bits])));
        wg__free(l.ctx, map);
        wg_tape_free(narrow);
    }
    lab_close(&l);
}
END_TEST

/* An op with both kernels and an expansion: a copy without kernels gives the same. */
START_TEST(expansions_agree_with_kernels)
{
    lab l = lab_open(_i);
    if (l.op->expand && l.op->nkernels) {
        wg_op plain = *l.op;
        char sig[512];
        snprintf(sig, sizeof sig, "expanded%s", strchr(l.op->sig, '('));
        plain.sig = sig;
        plain.kernels = NULL;
        plain.nkernels = 0;
        plain.flags &= ~(unsigned)WG_OP_ELEMENTWISE;
        ck_assert_msg(plain.infer != NULL, "%s: an expansion needs infer", l.name);
        ck_assert_int_eq(wg_register(l.ctx, &plain, NULL), WG_OK);
        for (size_t k = 0; k < l.cases.items.len; k++) {
            wg_tape *t = tape_of(&l.cases.items.data[k]);
            set_inputs(&l, t, 4);
            for (uint32_t id = 0, end = (uint32_t)t->nodes.len; id < end; id++) {
                const wg__node n = *wg__node_at(t, id);
                wg_var in[64], outs[64];
                wg_attr attrs[WG__MAX_ATTRS];
                if (wg__op_of(t, id) != l.cases.op || n.out || n.nin > 64 || n.nout > 64)
                    continue;
                wg_attrs view = wg__attrs_of(t, id);
                size_t nattrs = wg__attrs_export(&view, attrs);
                for (uint16_t i = 0; i < n.nin; i++)
                    in[i] = wg__var(t, wg__operands(t, &n)[i]);
                ck_assert_int_eq(wg_apply(t, "expanded", in, n.nin, attrs, nattrs, outs, n.nout),
                                 WG_OK);
                for (uint16_t i = 0; i < n.nout; i++)
                    compare_narrow(&l, k, wg_value(wg__var(t, id + i)), wg_value(outs[i]));
            }
        }
    }
    lab_close(&l);
}
END_TEST

/* ---- what may not be asked ------------------------------------------------------------------- */

/* The derivative of a draw by what it is drawn with: zero would be wrong, so it is an error or ends
 * in a value that is not float. */
START_TEST(draws_do_not_move)
{
    lab l = lab_open(_i);
    const wg__sig *sig = &l.cases.op->sig;
    for (size_t i = 0; (l.op->flags & WG_OP_RANDOM) && !l.op->expand && i < sig->nin; i++) {
        if (sig->cls[i] != WG__FLOAT && sig->cls[i] != WG__ANY && sig->cls[i] != WG__NUM)
            continue;
        wg_tape *t = tape_of(&l.cases.items.data[0]);
        for (uint32_t id = 0; id < t->nodes.len; id++) {
            if (wg__op_of(t, id) != l.cases.op)
                continue;
            wg_var x = wg__var(t, wg__operands(t, wg__node_at(t, id))[i]), y = wg__var(t, id), dx;
            wg_var one = wg_full(t, wg_typeof(y), 1);
            ck_assert_int_ne(wg_grad(&y, 1, &one, &x, 1, &dx), WG_OK);
            break;
        }
    }
    lab_close(&l);
}
END_TEST

/* ---- promises ------------------------------------------------------------------------------------------- */

static wg_status infer_first(wg_infer *q)
{
    q->out[0] = q->in[0];
    return WG_OK;
}

static wg_status run_nothing(const wg_kernel_call *c)
{
    (void)c;
    return WG_OK;
}

static bool no_view(const wg_attrs *a, const wg_type *in, const wg_strides *from,
                    const wg_type *out, wg_strides *to)
{
    (void)a, (void)in, (void)from, (void)out, (void)to;
    return false;
}

/* What flags and monoids promise is checked when an op is registered: `part` of the message, or NULL
 * where it is taken. */
static const struct {
    const char *sig, *types;
    uint32_t flags;
    int monoid;
    bool view;
    const char *part;
} promises[] = {
    {"f(x; axes: axes = all, keepdims: bool = false) -> y", "d->d", 0, WG_MONOID_SUM, false, NULL},
    {"f(x) -> y", "d->d", 0, WG_MONOID_SUM, false, "axes: axes"},
    {"f(x; axes: axes = all) -> y", "d->d", 0, WG_MONOID_MAX, false, "keepdims: bool"},
    {"f(x; axes: ints, keepdims: bool = false) -> y", "d->d", 0, WG_MONOID_MAX, false,
     "axes: axes"},
    {"f(x, z; axes: axes = all, keepdims: bool = false) -> y", "dd->d", 0, WG_MONOID_MIN, false,
     "1 operand"},
    {"f(x*; axes: axes = all, keepdims: bool = false) -> y", "d->d", 0, WG_MONOID_MIN, false,
     "1 operand"},
    {"f(x; axes: axes = all, keepdims: bool = false) -> y, z", "d->dd", 0, WG_MONOID_ALL, false,
     "1 output"},
    {"f(x; axes: axes = all, keepdims: bool = false) -> y", "i->d", 0, WG_MONOID_SUM, false,
     "its dtype"},
    {"f(x; axes: axes = all, keepdims: bool = false) -> y", "d->d", 0, 99, false, "wg_monoid"},
    {"f(x; axes: axes = all, keepdims: bool = false) -> y", "d->d", 0, -1, false, "wg_monoid"},
    {"f(a, b; transpose_a: bool = false, transpose_b: bool = false) -> y", "dd->d", WG_OP_CONTRACT,
     0, false, NULL},
    {"f(a; transpose_a: bool = false, transpose_b: bool = false) -> y", "d->d", WG_OP_CONTRACT, 0,
     false, "2 operands"},
    {"f(a, b) -> y", "dd->d", WG_OP_CONTRACT, 0, false, "transpose_a"},
    {"f(a, b; transpose_a: bool = false) -> y", "dd->d", WG_OP_CONTRACT, 0, false, "transpose_b"},
    {"f(a, b; transpose_a: bool = false, transpose_b: bool = false) -> y", "ll->l", WG_OP_CONTRACT,
     0, false, "all f32 or all f64"},
    {"f(a, b; transpose_a: bool = false, transpose_b: bool = false) -> y", "fd->d", WG_OP_CONTRACT,
     0, false, "all f32 or all f64"},
    {"f(x, i: int; axis: axis = 0) -> y", "*i->*", WG_OP_GATHER, 0, false, NULL},
    {"f(x; axis: axis = 0) -> y", "d->d", WG_OP_GATHER, 0, false, "2 operands"},
    {"f(xs*; axis: axis = 0) -> y", "*->*", WG_OP_JOIN, 0, false, NULL},
    {"f(xs*; axis: int = 0) -> y", "*->*", WG_OP_JOIN, 0, false, "axis: axis"},
    {"f(x, i; axis: axis = 0) -> y", "dd->d", WG_OP_GATHER, 0, false, "class int"},
    {"f(x, i: int) -> y", "di->d", WG_OP_GATHER, 0, false, "axis: axis"},
    {"f(x, i: int) -> y", "di->d", WG_OP_PICK, 0, false, NULL},
    {"f(x, i) -> y", "dd->d", WG_OP_PICK, 0, false, "class int"},
    {"f(x) -> y", "d->d", WG_OP_PICK, 0, false, "2 operands"},
    {"f(x, i: int) -> y", "di->i", WG_OP_PICK, 0, false, "the first's dtype"},
    {"f(; shape: shape, axis: int = 0, dtype: dtype = i32) -> y", "->i", WG_OP_IOTA, 0, false,
     NULL},
    {"f(x; shape: shape, axis: int = 0, dtype: dtype = i32) -> y", "i->i", WG_OP_IOTA, 0, false,
     "no operands"},
    {"f(; shape: shape) -> y", "->i", WG_OP_IOTA, 0, false, "axis: int"},
    {"f(x) -> y", "*->*", WG_OP_VIEW, 0, true, NULL},
    {"f(xs*) -> y", "*->*", WG_OP_VIEW, 0, false, NULL},
    {"f() -> y", "->d", WG_OP_VIEW, 0, false, "1 or more operands"},
    {"f(x) -> y", "i->d", WG_OP_VIEW, 0, false, "the first's dtype"},
    {"f(x) -> y", "d->d", 0, 0, true, "WG_OP_VIEW"},
    {"f(x) -> y", "d->d", WG_OP_COMMUTATIVE, 0, false, "2 operands"},
};

START_TEST(promises_are_checked)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    const size_t before = wg_op_count(ctx);
    const wg_kernel row = {WG_KERNEL, .types = promises[_i].types, .run = run_nothing};
    const wg_op op = {WG_OP,
                      .sig = promises[_i].sig,
                      .flags = promises[_i].flags,
                      .infer = infer_first,
                      .kernels = &row,
                      .nkernels = 1,
                      .view = promises[_i].view ? no_view : NULL,
                      .monoid = (wg_monoid)promises[_i].monoid};
    const char *error = "", *part = promises[_i].part;
    ck_assert_int_eq(wg_register(ctx, &op, &error), part ? WG_INVALID : WG_OK);
    ck_assert_msg(!part || strstr(error, part), "case %d: \"%s\" is not in \"%s\"", _i,
                  part ? part : "", error);
    ck_assert_uint_eq(wg_op_count(ctx), before + !part);
    wg_ctx_free(ctx);
}
END_TEST

int main(void)
{
    int n = nops();
    Suite *suite = suite_create("registry");
    TCase *t = tcase_create("registry");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, ops_are_described, 0, n);
    tcase_add_loop_test(t, derivatives_pass, 0, n * SEEDS);
    tcase_add_loop_test(t, differentiable_to_order_three, 0, n);
    tcase_add_loop_test(t, zero_cotangent_gives_zero, 0, n);
    tcase_add_loop_test(t, programs_agree_with_wg_value, 0, n);
    tcase_add_loop_test(t, f32_agrees_with_f64, 0, n);
    tcase_add_loop_test(t, expansions_agree_with_kernels, 0, n);
    tcase_add_loop_test(t, draws_do_not_move, 0, n);
    tcase_add_loop_test(t, promises_are_checked, 0, (int)(sizeof promises / sizeof *promises));
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
