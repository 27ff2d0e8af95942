/* Recurrent layers: against PyTorch's (tests/oracle/layers.py), against the same steps written out,
 * and the promises of every option; truncated back-propagation; gradient norms. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>

#include "fault.h"
#include "on_tape.h"
#include "rng.h"

enum { T = 4, B = 3, I = 2, H = 2, MAX = 32 };

static wg_var random_const(wg_shape shape, uint64_t seed)
{
    rng r = rng_make(seed);
    double data[256];
    ck_assert_int_le(wg_shape_count(shape), 256);
    for (int i = 0; i < 256; i++)
        data[i] = 2 * rng_unit(&r) - 1;
    return wg_const(t, WG_F64, shape, data);
}

static void same(wg_var a, wg_var b, double tol, const char *what)
{
    wg_type type = wg_typeof(a), other = wg_typeof(b);
    ck_assert_msg(wg_ok(a) && wg_ok(b), "%s: %s", what, wg_tape_error(t));
    ck_assert_msg(wg_shape_equal(type.shape, other.shape), "%s: another shape", what);
    for (int64_t i = 0; i < wg_shape_count(type.shape); i++)
        ck_assert_msg(fabs(at(a, i) - at(b, i)) <= tol * (1 + fabs(at(b, i))),
                      "%s [%lld]: %.17g, %.17g", what, (long long)i, at(a, i), at(b, i));
}

static void differs(wg_var a, wg_var b, const char *what)
{
    double most = 0;
    for (int64_t i = 0; i < wg_shape_count(wg_typeof(a).shape); i++)
        most = fmax(most, fabs(at(a, i) - at(b, i)));
    ck_assert_msg(most > 1e-6, "%s", what);
}

/* A stack over x [T, B, I] whose parameters have drawn values. */
static wg_rnn_result stack_of(wg_rnn_options *o, wg_var x, wg_var *params)
{
    wg_rnn_result r;
    size_t n = wg_rnn_nparams(o);
    ck_assert_uint_le(n, MAX);
    wg_status status = wg_rnn(t, x, o, params, n, &r);
    ck_assert_msg(status == WG_OK, "%s", wg_tape_error(t));
    /* Zeros would hide a wrong use of a bias; relu must not be 0 everywhere. */
    for (size_t i = 0; i < n; i++) {
        wg_type type = wg_typeof(params[i]);
        rng g = rng_make(1000 + i);
        double data[256];
        for (int k = 0; k < 256; k++)
            data[k] = o->kind == WG_RNN_RELU ? rng_unit(&g) + (type.shape.rank == 1)
                                             : 2 * rng_unit(&g) - 1;
        ck_assert_int_eq(wg_set(params[i], data, (size_t)wg_shape_count(type.shape) * 8), WG_OK);
    }
    return r;
}

static wg_rnn_options options_of(wg_rnn_kind kind)
{
    wg_rnn_options o = WG_RNN_DEFAULTS;
    o.kind = kind;
    o.hidden = H;
    return o;
}

/* A sum that weighs every element differently. */
static wg_var weighed(wg_var v, uint64_t seed)
{
    return wg_sum(wg_mul(v, random_const(wg_typeof(v).shape, seed)));
}

static wg_var loss_of(const wg_rnn_result *r)
{
    wg_var loss = wg_add(weighed(r->y, 51), weighed(r->h, 52));
    return wg_is_none(r->c) ? loss : wg_add(loss, weighed(r->c, 53));
}

/* ---- against PyTorch --------------------------------------------------------------------------- */

static json_t *load(const char *name)
{
    const char *top = getenv("WG_SRCDIR");
    char path[4096];
    json_error_t error;
    snprintf(path, sizeof path, "%s/tests/oracle/data/%s.json", top ? top : ".", name);
    json_t *root = json_load_file(path, 0, &error);
    ck_assert_msg(root != NULL, "%s:%d: %s", path, error.line, error.text);
    return root;
}

/* Tensor `index` of a list of the case, on the tape. */
static wg_var tensor_of(const json_t *c, const char *list, size_t index)
{
    const json_t *x = json_array_get(json_object_get(c, list), index);
    const json_t *dims = json_object_get(x, "shape"), *values = json_object_get(x, "data");
    double data[256];
    int64_t dim[WG_MAX_RANK];
    ck_assert_msg(x != NULL, "no %s[%zu]", list, index);
    for (size_t i = 0; i < json_array_size(dims); i++)
        dim[i] = json_integer_value(json_array_get(dims, i));
    for (size_t i = 0; i < json_array_size(values) && i < 256; i++)
        data[i] = json_number_value(json_array_get(values, i));
    return wg_const(t, WG_F64, wg_shape_make(dim, json_array_size(dims)), data);
}

static wg_rnn_options options_in(const json_t *c)
{
    static const char *const kinds[] = {"tanh", "relu", "lstm", "gru"};
    const char *kind = json_string_value(json_object_get(c, "kind"));
    const json_t *layers = json_object_get(c, "layers");
    wg_rnn_options o = options_of(WG_RNN_TANH);
    while (strcmp(kinds[o.kind], kind) != 0)
        o.kind++;
    o.layers = layers ? (size_t)json_integer_value(layers) : 1;
    o.bidirectional = json_is_true(json_object_get(c, "bidirectional"));
    o.forget_bias = json_number_value(json_object_get(c, "forget_bias"));
    return o;
}

static wg_var lengths_in(const json_t *c)
{
    const json_t *list = json_object_get(c, "lengths");
    const wg_var absent = {NULL, 0};
    int32_t data[B];
    for (size_t i = 0; i < B; i++)
        data[i] = (int32_t)json_integer_value(json_array_get(list, i));
    return list ? wg_const(t, WG_I32, WG_SHAPE(B), data) : absent;
}

static void compare_case(const json_t *c)
{
    wg_rnn_options o = options_in(c);
    wg_rnn_result r;
    wg_var x = tensor_of(c, "inputs", 0), params[MAX], xs[3 + MAX], dxs[3 + MAX];
    size_t n = wg_rnn_nparams(&o), nstates = o.kind == WG_RNN_LSTM ? 2 : 1, nxs = 0;
    o.lengths = lengths_in(c);
    o.h0 = tensor_of(c, "inputs", 1);
    if (nstates == 2)
        o.c0 = tensor_of(c, "inputs", 2);
    ck_assert_uint_eq(n, json_array_size(json_object_get(c, "params")));
    ck_assert_msg(!wg_rnn(t, x, &o, params, n, &r), "%s", wg_tape_error(t));
    xs[nxs++] = x;
    xs[nxs++] = o.h0;
    if (nstates == 2)
        xs[nxs++] = o.c0;
    for (size_t i = 0; i < n; i++) {
        const wg_tensor *v = wg_value(tensor_of(c, "params", i));
        ck_assert_int_eq(wg_set(params[i], wg_tensor_data(v), wg_tensor_bytes(v)), WG_OK);
        xs[nxs++] = params[i];
    }
    wg_var ys[] = {r.y, r.h, r.c}, dys[3];
    for (size_t i = 0; i <= nstates; i++) {
        same(ys[i], tensor_of(c, "outputs", i), 1e-13, "an output");
        dys[i] = tensor_of(c, "cotangents", i);
    }
    for (int64_t d = 0; d < 1 + o.bidirectional; d++) { /* `last` is the end of h */
        int64_t layer = wg_typeof(r.h).shape.dim[0] - 1 - o.bidirectional + d;
        for (int64_t b = 0; b < B; b++)
            for (int64_t i = 0; i < H; i++)
                ck_assert(at(r.last, b * wg_typeof(r.last).shape.dim[1] + d * H + i) ==
                          at(r.h, (layer * B + b) * H + i));
    }
    ck_assert_int_eq(wg_grad(ys, 1 + nstates, dys, xs, nxs, dxs), WG_OK);
    for (size_t i = 0; i <= nstates; i++)
        same(dxs[i], tensor_of(c, "input_gradients", i), 1e-13, "a gradient of an input");
    for (size_t i = 0; i < n; i++)
        same(dxs[1 + nstates + i], tensor_of(c, "param_gradients", i), 1e-12,
             "a gradient of a parameter");
}

static const char *const files[] = {"rnn_layers_tanh", "rnn_layers_relu", "rnn_layers_lstm",
                                    "rnn_layers_lstm_both", "rnn_layers_gru"};

START_TEST(layers_are_those_of_pytorch)
{
    json_t *root = load(files[_i]), *c;
    size_t i;
    ck_assert_uint_gt(json_array_size(json_object_get(root, "cases")), 0);
    json_array_foreach(json_object_get(root, "cases"), i, c)
    {
        wg_mark mark = wg_tape_mark(t);
        compare_case(c);
        wg_tape_rewind(t, mark);
    }
    json_decref(root);
}
END_TEST

/* ---- against the cells ------------------------------------------------------------------------- */

static wg_var step_of(wg_var x, int64_t k)
{
    wg_shape s = wg_typeof(x).shape;
    const int64_t start[] = {k, 0, 0}, stop[] = {k + 1, s.dim[1], s.dim[2]};
    return wg_reshape(wg_slice(x, start, 3, stop, 3), WG_SHAPE(s.dim[1], s.dim[2]));
}

/* The variants that PyTorch does not have. */
START_TEST(variants_are_their_cells)
{
    wg_rnn_options o = options_of(WG_RNN_LSTM);
    wg_var p[MAX], x = random_const(WG_SHAPE(T, B, I), 1), d[2];
    o.peephole = _i == 0;
    o.layer_norm = _i == 1;
    o.forget_bias = 0.5;
    wg_rnn_result r = stack_of(&o, x, p);
    wg_var h = wg_full(t, (wg_type){WG_F64, WG_SHAPE(B, H)}, 0), c = h, sum = wg_none();
    for (int k = 0; k < T; k++) {
        if (o.peephole)
            wg_lstm_peephole_cell_with(step_of(x, k), h, c, p[0], p[1], p[2], p[3], 0.5, &h, &c);
        else
            wg_lstm_norm_cell_with(step_of(x, k), h, c, p[0], p[1], p[2], p[3], p[4], 0.5, 1e-5, &h,
                                   &c);
        same(step_of(r.y, k), h, 1e-14, "y");
        wg_var y2 = wg_sum(wg_square(h));
        sum = k ? wg_add(sum, y2) : y2;
    }
    same(wg_reshape(r.h, WG_SHAPE(B, H)), h, 1e-14, "h");
    same(r.last, h, 1e-14, "last");
    same(wg_reshape(r.c, WG_SHAPE(B, H)), c, 1e-14, "c");
    for (size_t i = 0; i < wg_rnn_nparams(&o); i++) {
        d[0] = wg_grad1(wg_sum(wg_square(r.y)), p[i]);
        same(d[0], wg_grad1(sum, p[i]), 1e-11, "a gradient");
    }
}
END_TEST

START_TEST(a_residual_stack_adds_its_inputs)
{
    wg_rnn_options o = options_of(WG_RNN_GRU);
    wg_var p[MAX], q[MAX], x = random_const(WG_SHAPE(T, B, I), 1);
    o.layers = 2;
    o.residual = true;
    wg_rnn_result r = stack_of(&o, x, p);
    wg_mark mark = wg_tape_mark(t);
    o.layers = 1;
    o.name = "below";
    wg_rnn_result below = stack_of(&o, x, q);
    o.name = "above";
    wg_rnn_result above = stack_of(&o, below.y, q + 4);
    for (int i = 0; i < 8; i++) {
        const wg_tensor *v = wg_value(p[i]);
        ck_assert_int_eq(wg_set(q[i], wg_tensor_data(v), wg_tensor_bytes(v)), WG_OK);
    }
    same(r.y, wg_add(above.y, below.y), 1e-14, "y");
    wg_tape_rewind(t, mark);
}
END_TEST

/* What stands behind a sequence's end changes nothing and gets no gradient. */
START_TEST(padding_is_not_seen)
{
    wg_rnn_options o = options_of((wg_rnn_kind)_i);
    const int32_t lengths[] = {4, 0, 2};
    wg_var p[MAX], x = random_const(WG_SHAPE(T, B, I), 1);
    o.layers = 2;
    o.bidirectional = true;
    o.lengths = wg_const(t, WG_I32, WG_SHAPE(B), lengths);
    wg_rnn_result r = stack_of(&o, x, p);
    wg_var d = wg_grad1(loss_of(&r), x);
    for (int k = 0; k < T; k++)
        for (int b = 0; b < B; b++)
            for (int i = 0; i < I; i++) {
                bool padding = k >= lengths[b];
                ck_assert_int_eq(at(d, (k * B + b) * I + i) == 0, padding);
                ck_assert_int_eq(at(r.y, (k * B + b) * 2 * H + i) == 0, padding);
            }
    for (int i = 0; i < 4; i++) /* a sequence without steps keeps its first state */
        ck_assert(at(r.h, (i * B + 1) * H) == 0);
}
END_TEST

START_TEST(no_steps_and_one_step)
{
    for (int64_t n = 0; n < 2; n++) {
        wg_rnn_options o = options_of((wg_rnn_kind)_i);
        wg_var p[MAX], x = random_const(WG_SHAPE(n, B, I), 1);
        wg_mark mark = wg_tape_mark(t);
        o.h0 = random_const(WG_SHAPE(1, B, H), 2);
        wg_rnn_result r = stack_of(&o, x, p);
        ck_assert_int_eq(wg_typeof(r.y).shape.dim[0], n);
        if (n == 0) {
            same(r.h, o.h0, 0, "no step leaves the state");
            same(wg_grad1(weighed(r.h, 4), o.h0), random_const(WG_SHAPE(1, B, H), 4), 0, "d h0");
        } else {
            same(r.h, r.y, 0, "one step");
        }
        wg_tape_rewind(t, mark);
    }
}
END_TEST

START_TEST(gradients_pass_the_checker)
{
    wg_rnn_options o = options_of((wg_rnn_kind)_i);
    wg_var p[MAX], x = random_const(WG_SHAPE(3, 1, 1), 1);
    const int32_t lengths[] = {2};
    wg_check_report report;
    o.bidirectional = true;
    o.lengths = wg_const(t, WG_I32, WG_SHAPE(1), lengths);
    wg_rnn_result r = stack_of(&o, x, p);
    wg_var loss = loss_of(&r);
    ck_assert_int_eq(wg_gradcheck(t, &loss, 1, p, wg_rnn_nparams(&o), NULL, &report), WG_OK);
    ck_assert_msg(report.verdict == WG_CHECK_PASSED, "%s", report.message);
}
END_TEST

/* ---- dropout ----------------------------------------------------------------------------------- */

START_TEST(dropout_is_for_training)
{
    wg_rnn_options o = options_of((wg_rnn_kind)_i);
    wg_var p[MAX], x = random_const(WG_SHAPE(T, B, I), 1);
    wg_mark mark = wg_tape_mark(t);
    o.layers = 2;
    double plain[T * B * H], dropped[2][T * B * H];
    for (int k = 0; k < 4; k++) {
        wg_rnn_result r = stack_of(&o, x, p);
        double *to = k < 2 ? plain : dropped[k - 2];
        for (int i = 0; i < T * B * H; i++) {
            if (k == 1)
                ck_assert(at(r.y, i) == plain[i]); /* not training: as without dropout */
            else
                to[i] = at(r.y, i);
        }
        wg_tape_rewind(t, mark);
        o.dropout = k < 2 ? 0.5 : 0;
        o.recurrent_dropout = k < 2 ? 0 : 0.5;
        o.training = k >= 1;
        if (k >= 1) /* the rewind has taken the key */
            o.key = wg_i(7);
    }
    ck_assert(memcmp(plain, dropped[0], sizeof plain) != 0);
    ck_assert(memcmp(plain, dropped[1], sizeof plain) != 0);
}
END_TEST

/* With one mask per sequence the cell sees the same units of the state at each step: the network is
 * that of the state times the mask, which is found by looking at what the first step of a state of
 * ones gives. */
START_TEST(a_recurrent_mask_is_the_same_at_all_steps)
{
    wg_rnn_options o = options_of((wg_rnn_kind)_i);
    wg_var p[MAX], x = random_const(WG_SHAPE(T, B, I), 1);
    o.training = true;
    o.recurrent_dropout = 0.5;
    o.key = wg_const(t, WG_I64, WG_SCALAR, (int64_t[]){5});
    wg_rnn_result r = stack_of(&o, x, p);
    /* the same draw as the layer's */
    wg_var number = wg_const(t, WG_I64, WG_SCALAR, (int64_t[]){1});
    wg_var ones = wg_full(t, (wg_type){WG_F64, WG_SHAPE(B, H)}, 1);
    wg_var mask = wg_dropout(ones, wg_random_fold_in(o.key, number), 0.5);
    wg_var h = wg_full(t, (wg_type){WG_F64, WG_SHAPE(B, H)}, 0), c = h;
    differs(mask, ones, "the mask drops something");
    for (int k = 0; k < T; k++) {
        wg_var seen = wg_mul(h, mask), xk = step_of(x, k);
        if (o.kind == WG_RNN_LSTM)
            wg_lstm_cell_with(xk, seen, c, p[0], p[1], p[2], 1, &h, &c);
        else if (o.kind == WG_RNN_GRU) /* n + z (h - n), gates from the masked state */
            h = wg_gru_gates(wg_add(wg_matmul(xk, p[0]), p[2]), wg_add(wg_matmul(seen, p[1]), p[3]),
                             h);
        else
            h = wg_rnn_cell_with(xk, seen, p[0], p[1], p[2], _i ? "relu" : "tanh");
        same(step_of(r.y, k), h, 1e-14, "y");
    }
}
END_TEST

/* ---- truncation -------------------------------------------------------------------------------- */

START_TEST(scaling_changes_gradients_alone)
{
    wg_var x = random_const(WG_SHAPE(5), 1), s = random_const(WG_SHAPE(5), 2);
    wg_var y = wg_scale_gradient(x, s);
    same(y, x, 0, "the value");
    same(wg_grad1(weighed(y, 3), x), wg_mul(random_const(WG_SHAPE(5), 3), s), 1e-15, "by x");
    same(wg_grad1(weighed(y, 3), s), wg_full(t, wg_typeof(s), 0), 0, "by the scale");
    wg_var cut = wg_less(s, wg_f(0)), z = wg_truncate(x, cut);
    same(z, x, 0, "truncated");
    same(wg_grad1(weighed(z, 3), x), wg_where(cut, wg_f(0), random_const(WG_SHAPE(5), 3)), 0,
         "where it is not cut");
}
END_TEST

/* Cut between steps 1 and 2: as two sequences, the second from a state that is no variable. */
START_TEST(a_cut_ends_a_window)
{
    wg_rnn_options o = options_of((wg_rnn_kind)_i);
    wg_var p[MAX], q[MAX], x = random_const(WG_SHAPE(T, B, I), 1), windows[2];
    o.carry_gradient = wg_const(t, WG_F64, WG_SHAPE(T), (double[]){1, 1, 0, 1});
    wg_rnn_result r = stack_of(&o, x, p), w = {.y = wg_none()};
    wg_var loss = weighed(r.y, 9), sum = wg_none();
    o.carry_gradient = (wg_var){NULL, 0};
    for (int k = 0; k < 2; k++) {
        const int64_t start[] = {2 * k, 0, 0}, stop[] = {2 * k + 2, B, H};
        o.name = k ? "second" : "first";
        if (k) {
            o.h0 = wg_stop_gradient(w.h);
            o.c0 = wg_is_none(w.c) ? o.c0 : wg_stop_gradient(w.c);
        }
        w = stack_of(&o, wg_slice(x, start, 3, stop, 3), k ? q + MAX / 2 : q);
        wg_var weights = random_const(WG_SHAPE(T, B, H), 9);
        windows[k] = wg_sum(wg_mul(w.y, wg_slice(weights, start, 3, stop, 3)));
        sum = k ? wg_add(sum, windows[k]) : windows[k];
    }
    same(loss, sum, 1e-14, "the loss");
    for (size_t i = 0; i < wg_rnn_nparams(&o); i++) {
        wg_var both = wg_add(wg_grad1(sum, q[i]), wg_grad1(sum, q[MAX / 2 + i]));
        same(wg_grad1(loss, p[i]), both, 1e-13, "a gradient");
    }
}
END_TEST

/* Tallec and Ollivier 2017: the mean over all patterns of cuts, weighed by their probability, is the
 * whole gradient; without the factor 1 / (1 - rate) it is not. */
START_TEST(random_truncation_is_unbiased)
{
    const double rate = 0.3;
    wg_rnn_options o = options_of(WG_RNN_TANH);
    wg_var p[MAX], x = random_const(WG_SHAPE(T, B, I), 1);
    wg_rnn_result r = stack_of(&o, x, p);
    wg_var whole = wg_grad1(weighed(r.y, 9), p[1]), mean = wg_none(), biased = wg_none();
    for (int pattern = 0; pattern < 1 << T; pattern++)
        for (int fair = 0; fair < 2; fair++) {
            double factor[T], probability = 1;
            char name[32];
            for (int k = 0; k < T; k++) {
                bool cut = pattern >> k & 1;
                probability *= cut ? rate : 1 - rate;
                factor[k] = cut ? 0 : fair ? 1 / (1 - rate) : 1;
            }
            snprintf(name, sizeof name, "p%d_%d", pattern, fair);
            o.name = name;
            o.carry_gradient = wg_const(t, WG_F64, WG_SHAPE(T), factor);
            r = stack_of(&o, x, p);
            wg_var g = wg_mul(wg_f(probability), wg_grad1(weighed(r.y, 9), p[1]));
            wg_var *to = fair ? &mean : &biased;
            *to = wg_is_none(*to) ? g : wg_add(*to, g);
        }
    same(mean, whole, 1e-12, "the mean of the gradients");
    differs(biased, whole, "without weights the mean is biased");
}
END_TEST

START_TEST(random_factors)
{
    enum { N = 2000 };
    wg_var key = wg_const(t, WG_I64, WG_SCALAR, (int64_t[]){3});
    wg_var a = wg_random_truncation(t, key, WG_SHAPE(N), 0.25, true, WG_F64);
    wg_var b = wg_random_truncation(t, key, WG_SHAPE(N), 0.25, false, WG_F32);
    int cuts = 0;
    for (int i = 0; i < N; i++) {
        ck_assert(at(a, i) == 0 || fabs(at(a, i) - 4.0 / 3) < 1e-15);
        ck_assert((at(a, i) == 0) == (at(b, i) == 0) && (at(b, i) == 0 || at(b, i) == 1));
        cuts += at(a, i) == 0;
    }
    ck_assert_int_ge(cuts, 400);
    ck_assert_int_le(cuts, 600);
    wg_random_truncation(t, key, WG_SHAPE(N), 1, false, WG_F64);
    expect_error(WG_INVALID, "rate");
    wg_random_truncation(t, key, WG_SHAPE(N, 2), 0.5, false, WG_F64);
    expect_error(WG_INVALID, "rank 1");
    wg_random_truncation(t, key, WG_SHAPE(N), 0.5, false, WG_I32);
    expect_error(WG_INVALID, "dtype");
}
END_TEST

/* ---- state across minibatches ------------------------------------------------------------------ */

static wg_session *open_session(const wg_var *outs, size_t n)
{
    wg_program *program = wg_compile(t, outs, n, NULL);
    ck_assert_msg(program != NULL, "%s", wg_tape_error(t));
    wg_session *s = wg_session_new(program, NULL);
    ck_assert_ptr_nonnull(s);
    wg_program_free(program);
    return s;
}

/* Windows of k2 steps, each k1 after the one before, see what one long run sees. */
START_TEST(state_is_kept_across_windows)
{
    enum { ALL = 8 };
    const int64_t k1 = _i % 2 ? 2 : 4, k2 = 4;
    wg_rnn_options o = options_of(_i / 2 ? WG_RNN_GRU : WG_RNN_LSTM);
    wg_var p[MAX], all = random_const(WG_SHAPE(ALL, B, I), 1);
    o.layers = 2;
    wg_rnn_result r;
    ck_assert_int_eq(wg_rnn(t, all, &o, NULL, 0, &r), WG_OK);
    double want[ALL * B * H];
    for (int i = 0; i < ALL * B * H; i++)
        want[i] = at(r.y, i);
    const double *data = wg_tensor_data(wg_value(all));

    o.name = "rnn";
    o.stateful = true;
    o.advance = k1 < k2 ? k1 : 0;
    wg_tape *other = t = wg_tape_new(ctx), *first = all.tape;
    wg_var x = wg_input(t, "x", WG_F64, WG_SHAPE(k2, B, I));
    ck_assert_msg(!wg_rnn(t, x, &o, p, MAX, &r), "%s", wg_tape_error(t));
    wg_session *s = open_session(&r.y, 1);
    for (int64_t at_step = 0; at_step + k2 <= ALL; at_step += k1) {
        ck_assert_int_eq(wg_bind(s, x, data + at_step * B * I, (size_t)(k2 * B * I) * 8), WG_OK);
        ck_assert_msg(wg_run(s) == WG_OK, "%s", wg_session_error(s));
        const double *y = wg_output(s, r.y, NULL, NULL);
        for (int i = 0; i < k2 * B * H; i++)
            ck_assert_msg(fabs(y[i] - want[at_step * B * H + i]) < 1e-13,
                          "window at %d, element %d", (int)at_step, i);
    }
    wg_session_free(s);
    t = first;
    wg_tape_free(other);
}
END_TEST

/* ---- gradient norms ---------------------------------------------------------------------------- */

/* By the step where the state is, from the network written out. */
START_TEST(norms_are_those_of_the_hidden_states)
{
    wg_rnn_options o = options_of(WG_RNN_TANH);
    wg_var p[MAX], x = random_const(WG_SHAPE(T, B, I), 1), h[T + 1], loss = wg_none();
    o.probe = wg_full(t, (wg_type){WG_F64, WG_SHAPE(1, T, B, H)}, 0);
    wg_rnn_result r = stack_of(&o, x, p);
    wg_var norms = wg_gradient_norms(wg_sum(wg_exp(r.y)), o.probe);
    ck_assert(wg_shape_equal(wg_typeof(norms).shape, WG_SHAPE(1, T)));
    h[0] = wg_full(t, (wg_type){WG_F64, WG_SHAPE(B, H)}, 0);
    for (int k = 0; k < T; k++) {
        h[k + 1] = wg_rnn_cell(step_of(x, k), h[k], p[0], p[1], p[2]);
        wg_var part = wg_sum(wg_exp(h[k + 1]));
        loss = k ? wg_add(loss, part) : part;
    }
    for (int k = 0; k < T; k++) {
        wg_var want = wg_sqrt(wg_sum(wg_square(wg_grad1(loss, h[k + 1]))));
        ck_assert_double_eq_tol(at(norms, k), at(want, 0), 1e-13);
    }
    wg_gradient_norms(wg_sum(r.y), x);
    expect_error(WG_SHAPE, "probe");
}
END_TEST

/* Gradients that shrink or grow by a known factor per step: h' = relu(f h) with h = 1, x = 0. */
START_TEST(norms_tell_vanishing_from_exploding)
{
    const double factor = _i ? 2 : 0.5;
    wg_rnn_options o = options_of(WG_RNN_RELU);
    wg_var p[3], x = wg_full(t, (wg_type){WG_F64, WG_SHAPE(T, 1, 1)}, 0);
    wg_rnn_result r;
    o.hidden = 1;
    o.h0 = wg_full(t, (wg_type){WG_F64, WG_SHAPE(1, 1, 1)}, 1);
    o.probe = wg_full(t, (wg_type){WG_F64, WG_SHAPE(1, T, 1, 1)}, 0);
    ck_assert_int_eq(wg_rnn(t, x, &o, p, 3, &r), WG_OK);
    ck_assert_int_eq(wg_set(p[1], &factor, 8), WG_OK);
    wg_var norms = wg_gradient_norms(wg_sum(r.h), o.probe);
    for (int k = 0; k < T; k++)
        ck_assert_double_eq_tol(at(norms, k), pow(factor, T - 1 - k), 1e-15);
}
END_TEST

/* ---- executors and memory ---------------------------------------------------------------------- */

/* Outputs and gradients by the default executor are those of the reference. */
START_TEST(executors_agree)
{
    wg_rnn_options o = options_of((wg_rnn_kind)_i);
    const int32_t lengths[] = {4, 2, 3};
    wg_var p[MAX], x = random_const(WG_SHAPE(T, B, I), 1), outs[MAX + 3];
    o.layers = 2;
    o.bidirectional = o.residual = true;
    o.layer_norm = o.kind == WG_RNN_LSTM;
    o.lengths = wg_const(t, WG_I32, WG_SHAPE(B), lengths);
    o.training = true;
    o.dropout = o.recurrent_dropout = 0.25;
    o.key = wg_const(t, WG_I64, WG_SCALAR, (int64_t[]){5});
    size_t n = wg_rnn_nparams(&o);
    wg_rnn_result r;
    ck_assert_msg(!wg_rnn(t, x, &o, p, n, &r), "%s", wg_tape_error(t));
    wg_var loss = loss_of(&r);
    ck_assert_int_eq(wg_grad(&loss, 1, NULL, p, n, outs + 1), WG_OK);
    outs[0] = r.y;
    wg_program *program = wg_compile(t, outs, 1 + n, NULL);
    ck_assert_msg(program != NULL, "%s", wg_tape_error(t));
    wg_session *s = wg_session_new(program, NULL); /* of seed 0, as wg_value */
    ck_assert_msg(!wg_run(s), "%s", wg_session_error(s));
    for (size_t k = 0; k <= n; k++) {
        size_t bytes;
        const double *got = wg_output(s, outs[k], NULL, &bytes);
        for (size_t i = 0; i < bytes / sizeof *got; i++)
            ck_assert_double_eq_tol(got[i], at(outs[k], (int64_t)i), 1e-12);
    }
    wg_session_free(s);
    wg_program_free(program);
}
END_TEST

static bool record_all(wg_ctx *c, void *user)
{
    const wg_rnn_kind *kind = user;
    wg_tape *tape = wg_tape_new(c);
    wg_rnn_options o = options_of(*kind);
    wg_rnn_result r;
    bool ok = false;
    if (tape) {
        wg_var x = wg_input(tape, "x", WG_F32, WG_SHAPE(T, B, I)), p[MAX];
        const wg_type probe = {WG_F32, WG_SHAPE(4, T, B, H)};
        o.layers = 2;
        o.bidirectional = o.stateful = o.training = true;
        o.peephole = *kind == WG_RNN_LSTM;
        o.recurrent_dropout = o.dropout = 0.5;
        o.key = wg_input(tape, "key", WG_I32, WG_SCALAR);
        o.lengths = wg_input(tape, "lengths", WG_I32, WG_SHAPE(B));
        o.probe = wg_full(tape, probe, 0);
        o.carry_gradient = wg_random_truncation(tape, o.key, WG_SHAPE(T), 0.5, true, WG_F32);
        ok = wg_rnn(tape, x, &o, p, MAX, &r) == WG_OK;
        ok = ok && wg_ok(wg_gradient_norms(wg_sum(r.y), o.probe));
    }
    wg_tape_free(tape);
    return ok;
}

START_TEST(any_allocation_may_fail)
{
    wg_rnn_kind kind = _i ? WG_RNN_GRU : WG_RNN_LSTM;
    ck_assert_int_eq(fault_each(wg_ctx_new, record_all, &kind), 0);
}
END_TEST

/* ---- misuse ------------------------------------------------------------------------------------ */

static void refused(wg_rnn_options o, wg_var x, wg_status status, const char *part)
{
    wg_rnn_result r;
    wg_var p[2];
    size_t before = wg_tape_size(t);
    wg_status got = wg_rnn(t, x, &o, p, 2, &r);
    ck_assert_msg(got == status, "%s: %s", part, wg_tape_error(t));
    ck_assert(!wg_ok(r.y) && !wg_ok(r.h) && !wg_ok(p[0]) && !wg_ok(p[1]));
    expect_error(status, part);
    ck_assert_uint_eq(wg_tape_size(t), before);
}

START_TEST(misuse)
{
    const wg_rnn_options good = options_of(WG_RNN_GRU);
    wg_var x = random_const(WG_SHAPE(T, B, I), 1), v = random_const(WG_SHAPE(B), 2);
    wg_rnn_options o = good;
    refused(o, v, WG_SHAPE, "[steps, batch, features]");
#define REFUSED(change, status, part)                                                              \
    o = good;                                                                                      \
    change;                                                                                        \
    refused(o, x, status, part)
    REFUSED(o.hidden = 0, WG_INVALID, "hidden");
    REFUSED(o.kind = (wg_rnn_kind)9, WG_INVALID, "kind");
    REFUSED(o.peephole = true, WG_INVALID, "LSTM");
    REFUSED(o.c0 = x, WG_INVALID, "LSTM");
    REFUSED((o.kind = WG_RNN_LSTM, o.peephole = o.layer_norm = true), WG_INVALID, "both");
    REFUSED(o.dropout = 1, WG_INVALID, "[0, 1)");
    REFUSED((o.dropout = 0.5, o.training = true), WG_INVALID, "key");
    REFUSED(o.lengths = v, WG_DTYPE, "lengths must be i32[3]");
    REFUSED(o.h0 = x, WG_SHAPE, "h0 must be f64[1, 3, 2]");
    REFUSED(o.carry_gradient = v, WG_SHAPE, "carry_gradient must be f64[4]");
    REFUSED(o.probe = x, WG_SHAPE, "probe must be f64[1, 4, 3, 2]");
    REFUSED(o.advance = 1, WG_INVALID, "stateful");
    REFUSED((o.stateful = true, o.advance = T + 1), WG_INVALID, "advance");
    REFUSED((o.stateful = true, o.h0 = x), WG_INVALID, "states of its own");
    wg_rnn_result r;
    ck_assert_int_eq(wg_rnn(t, x, &good, NULL, 0, &r), WG_OK);
    refused(good, x, WG_EXISTS, "rnn/layer1/w"); /* the name is taken */
    ck_assert_uint_eq(wg_rnn_nparams(NULL), 0);
    ck_assert_int_eq(wg_rnn(NULL, x, &good, NULL, 0, &r), WG_INVALID);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rnn");
    TCase *c = case_on_tape(suite, 60);
    tcase_add_loop_test(c, layers_are_those_of_pytorch, 0, 5);
    tcase_add_loop_test(c, variants_are_their_cells, 0, 2);
    tcase_add_test(c, a_residual_stack_adds_its_inputs);
    tcase_add_loop_test(c, padding_is_not_seen, 0, 4);
    tcase_add_loop_test(c, no_steps_and_one_step, 0, 4);
    tcase_add_loop_test(c, gradients_pass_the_checker, 0, 4);
    tcase_add_loop_test(c, dropout_is_for_training, 0, 4);
    tcase_add_loop_test(c, a_recurrent_mask_is_the_same_at_all_steps, 0, 4);
    tcase_add_test(c, scaling_changes_gradients_alone);
    tcase_add_loop_test(c, a_cut_ends_a_window, 0, 4);
    tcase_add_test(c, random_truncation_is_unbiased);
    tcase_add_test(c, random_factors);
    tcase_add_loop_test(c, state_is_kept_across_windows, 0, 4);
    tcase_add_test(c, norms_are_those_of_the_hidden_states);
    tcase_add_loop_test(c, norms_tell_vanishing_from_exploding, 0, 2);
    tcase_add_loop_test(c, executors_agree, 0, 4);
    tcase_add_loop_test(c, any_allocation_may_fail, 0, 2);
    tcase_add_test(c, misuse);
    return run_suite(suite);
}
