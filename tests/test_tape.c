/* The tape: recording, literals, errors, names, scopes, marks, registry, resize, equality, verify. */
#include <math.h>

#include "on_tape.h"
#include "rng.h"

/* ---- recording ------------------------------------------------------------------------------ */

START_TEST(a_node_is_small)
{
    ck_assert_uint_le(sizeof(wg__node), 48);
    ck_assert_uint_eq(sizeof(wg_var), 16);
}
END_TEST

START_TEST(types_are_inferred_at_once)
{
    wg_var x = wg_input(t, "x", WG_F32, WG_SHAPE(64, 1));
    wg_var y = wg_input(t, "y", WG_F32, WG_SHAPE(3));
    wg_type type = wg_typeof(wg_add(x, y));
    ck_assert_int_eq(type.dtype, WG_F32);
    ck_assert(wg_shape_equal(type.shape, WG_SHAPE(64, 3)));
    ck_assert_int_eq(wg_typeof(wg_less(x, y)).dtype, WG_BOOL);
    wg_var s = wg_sum_with(wg_add(x, y), WG_AXES(-1), true);
    ck_assert(wg_shape_equal(wg_typeof(s).shape, WG_SHAPE(64, 1)));
    ck_assert_int_eq(wg_tape_status(t), WG_OK);
}
END_TEST

START_TEST(literals_take_dtype_and_tape)
{
    wg_var x = wg_input(t, "x", WG_F32, WG_SHAPE(2));
    wg_var k = wg_input(t, "k", WG_I64, WG_SCALAR);
    ck_assert_int_eq(wg_typeof(wg_mul(wg_f(2), x)).dtype, WG_F32);
    ck_assert_int_eq(wg_typeof(wg_mul(x, wg_i(2))).dtype, WG_F32);
    ck_assert_int_eq(wg_typeof(wg_add(k, wg_i(2))).dtype, WG_I64);
    wg_var c = wg_less(x, wg_f(0));
    ck_assert_int_eq(wg_typeof(wg_where(c, wg_f(0), x)).dtype, WG_F32);
    ck_assert_int_eq(wg_typeof(wg_gather(x, wg_i(1))).dtype, WG_F32);
    ck_assert_int_eq(wg_tape_status(t), WG_OK);
    /* A literal never loses its meaning silently. */
    ck_assert(!wg_ok(wg_add(k, wg_f(0.5))));
    expect_error(WG_DTYPE, "i64 f32");
}
END_TEST

START_TEST(an_error_between_literals_waits_for_a_tape)
{
    wg_var x = wg_input(t, "x", WG_F32, WG_SCALAR);
    wg_var bad = wg_add(wg_f(1), wg_f(2));
    ck_assert(!wg_ok(bad));
    ck_assert_int_eq(wg_tape_status(t), WG_OK);
    ck_assert(!wg_ok(wg_mul(x, bad)));
    expect_error(WG_INVALID, "add between literals");
    ck_assert(!wg_ok(wg_neg(wg_neg(wg_f(1)))));
}
END_TEST

START_TEST(the_first_error_sticks_and_the_rest_is_silent)
{
    wg_var x = wg_input(t, "images", WG_F32, WG_SHAPE(64, 784));
    wg_var w = wg_param(t, "W", WG_F32, WG_SHAPE(78, 10), wg_init_zeros());
    wg_scope_push(t, "layer1");
    wg_var bad = wg_matmul(x, w);
    wg_scope_pop(t);
    ck_assert(!wg_ok(bad));
    size_t size = wg_tape_size(t);
    ck_assert(!wg_ok(wg_add(wg_exp(bad), x)));
    ck_assert_uint_eq(wg_tape_size(t), size);
    const char *message = wg_tape_error(t);
    const char *parts[] = {"matmul", "f32[64, 784]", "f32[78, 10]", "images", "\"W\"", "layer1"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        ck_assert_msg(strstr(message, parts[i]), "\"%s\" is not in \"%s\"", parts[i], message);
    /* Valid values can still be used. */
    ck_assert(wg_ok(wg_exp(x)));
    wg_tape_clear_error(t);
    ck_assert_int_eq(wg_tape_status(t), WG_OK);
}
END_TEST

START_TEST(misuse_is_an_error_never_a_crash)
{
    wg_var x = wg_input(t, "x", WG_F32, WG_SHAPE(2));
    wg_var none = wg_none(), out[2];
    wg_tape *other = wg_tape_new(ctx);
    wg_var far = wg_input(other, "far", WG_F32, WG_SHAPE(2));
    wg_add(x, none);
    expect_error(WG_INVALID, "absent");
    wg_add(x, far);
    expect_error(WG_INVALID, "another tape");
    wg_input(t, "x", WG_F32, WG_SHAPE(2));
    expect_error(WG_EXISTS, "taken");
    wg_input(t, "", WG_F32, WG_SHAPE(2));
    expect_error(WG_INVALID, "name");
    wg_input(t, "neg", WG_F32, WG_SHAPE(-2));
    expect_error(WG_SHAPE, "neg");
    wg_input(t, "big", WG_F64, WG_SHAPE(INT64_MAX, INT64_MAX));
    expect_error(WG_SHAPE, "big");
    wg_shape odd = WG_SHAPE(3);
    odd.symbol[0] = 12345; /* of no context, or of another one */
    wg_input(t, "odd", WG_F64, odd);
    expect_error(WG_SHAPE, "odd");
    wg_input(t, "nine", WG_F64, WG_SHAPE(1, 1, 1, 1, 1, 1, 1, 1, 1));
    expect_error(WG_SHAPE, "nine");
    wg_apply(t, "nope", &x, 1, NULL, 0, out, 1);
    expect_error(WG_NOT_FOUND, "nope");
    wg_apply(t, "add", &x, 1, NULL, 0, out, 1);
    expect_error(WG_INVALID, "2 operands");
    const wg_attr wrong[] = {wg_attr_int("ax", 1)}, kind[] = {wg_attr_string("keepdims", "x")};
    wg_apply(t, "sum", &x, 1, wrong, 1, out, 1);
    expect_error(WG_NOT_FOUND, "axes, keepdims");
    wg_apply(t, "sum", &x, 1, kind, 1, out, 1);
    expect_error(WG_INVALID, "keepdims");
    wg_apply(t, "reshape", &x, 1, NULL, 0, out, 1);
    expect_error(WG_INVALID, "shape is missing");
    wg_sum_with(x, WG_AXES(1), false);
    expect_error(WG_SHAPE, "out of range");
    wg_sum_with(x, WG_AXES(0, -1), false);
    expect_error(WG_INVALID, "twice");
    wg_assign(x, x);
    expect_error(WG_INVALID, "only a param");
    wg_scope_pop(t);
    expect_error(WG_INVALID, "pop");
    wg_apply(t, "literal", NULL, 0, NULL, 0, out, 1);
    expect_error(WG_INVALID, "own function");
    ck_assert_int_ne(wg_apply(NULL, "add", &x, 1, NULL, 0, out, 1), WG_OK);
    ck_assert(!wg_ok(wg_input(NULL, "x", WG_F32, WG_SCALAR)));
    ck_assert_int_eq(wg_tape_status(NULL), WG_NO_MEMORY);
    ck_assert(isnan(wg_tensor_get(NULL, 0)) && !wg_tensor_data(NULL) && !wg_tensor_bytes(NULL));
    ck_assert_uint_eq(wg_op_count(NULL), 0);
    ck_assert_int_ne(wg_register(NULL, NULL, NULL), WG_OK);
    ck_assert(!wg_ok(wg_const(t, WG_F32, WG_SHAPE(2), NULL)));
    expect_error(WG_INVALID, "NULL");
    wg_tape_free(other);
    wg_tape_free(NULL);
}
END_TEST

START_TEST(names_and_scopes)
{
    wg_var x = wg_input(t, "x", WG_F32, WG_SHAPE(2));
    wg_scope_push(t, "net");
    wg_scope_push(t, "layer1");
    wg_var w = wg_param(t, "W", WG_F32, WG_SHAPE(2), wg_init_zeros());
    wg_var h = wg_name(wg_mul(x, w), "h \"1\"\n");
    wg_scope_pop(t);
    wg_scope_pop(t);
    wg__str s = wg__str_make(ctx);
    wg__full_name(t, (uint32_t)w.bits, &s);
    ck_assert_str_eq(wg__str_text(&s), "net/layer1/W");
    wg__str_free(&s);
    ck_assert_str_eq(wg_name_of(h), "h \"1\"\n");
    ck_assert_str_eq(wg_name_of(wg_f(1)), "");
    wg_param(t, "W", WG_F32, WG_SHAPE(2), wg_init_zeros()); /* another scope, another name */
    ck_assert_int_eq(wg_tape_status(t), WG_OK);
    wg_name(x, "y");
    expect_error(WG_INVALID, "keep");
    wg_scope_push(t, "a/b");
    expect_error(WG_INVALID, "'/'");
}
END_TEST

/* ---- marks ------------------------------------------------------------------------------------ */

START_TEST(rewinding_makes_handles_stale)
{
    wg_var x = wg_input(t, "x", WG_F64, WG_SCALAR);
    wg_mark mark = wg_tape_mark(t);
    wg_var y = wg_exp(x);
    wg_input(t, "later", WG_F64, WG_SCALAR);
    ck_assert(wg_ok(y));
    ck_assert_int_eq(wg_tape_rewind(t, mark), WG_OK);
    ck_assert(!wg_ok(y));
    ck_assert(wg_ok(x));
    wg_var z = wg_log(x); /* the same id */
    ck_assert(wg_ok(z));
    ck_assert(!wg_ok(y));
    wg_add(y, x);
    expect_error(WG_STALE, "rewound");
    ck_assert(wg_ok(wg_input(t, "later", WG_F64, WG_SCALAR))); /* the name is free again */
    wg_mark bad = mark;
    bad.nodes = 1000;
    wg_tape_rewind(t, bad);
    expect_error(WG_STALE, "rewound past");
    /* A mark made after another, which the tape was rewound to since, is stale. */
    wg_mark early = wg_tape_mark(t);
    wg_const(t, WG_F64, WG_SHAPE(2), (double[]){1, 2});
    wg_mark late = wg_tape_mark(t);
    ck_assert_int_eq(wg_tape_rewind(t, early), WG_OK);
    for (int i = 0; i < 3; i++)
        wg_const(t, WG_F64, WG_SHAPE(2), (double[]){1, 2});
    ck_assert_int_ne(wg_tape_rewind(t, late), WG_OK);
    expect_error(WG_STALE, "rewound past");
    ck_assert_int_eq(wg_tape_rewind(t, early), WG_OK);
    wg_tape *other = wg_tape_new(ctx);
    ck_assert_int_ne(wg_tape_rewind(other, early), WG_OK);
    wg_tape_free(other);
}
END_TEST

START_TEST(a_body_opened_before_a_mark_survives_it)
{
    wg_tape *b = wg_fn_begin(t, "f");
    wg_var a = wg_fn_input(b, "a", WG_F64, WG_SCALAR);
    wg_mark mark = wg_tape_mark(t);
    wg_fn_begin(t, "forgotten");
    ck_assert_int_eq(wg_tape_rewind(t, mark), WG_OK);
    wg_var y = wg_exp(a);
    ck_assert(wg_fn_ok(wg_fn_end(b, &y, 1)));
}
END_TEST

START_TEST(handles_are_never_mistaken_for_those_of_a_tape_before)
{
    for (int i = 0; i < 50; i++) { /* allocators like to give the same address again */
        wg_tape *old = wg_tape_new(ctx);
        wg_var x = wg_input(old, "x", WG_F64, WG_SCALAR);
        wg_tape_free(old);
        wg_tape *new = wg_tape_new(ctx);
        wg_input(new, "x", WG_F64, WG_SCALAR);
        x.tape = new; /* as if the address had been the same */
        ck_assert(!wg_ok(x));
        wg_tape_free(new);
    }
}
END_TEST

START_TEST(literals_that_do_not_fit_are_errors)
{
    wg_var i = wg_input(t, "i", WG_I32, WG_SCALAR), f = wg_input(t, "f", WG_F32, WG_SCALAR);
    ck_assert(!wg_ok(wg_add(i, wg_i((int64_t)1 << 32))));
    expect_error(WG_RANGE, "4294967296 does not fit i32");
    ck_assert(!wg_ok(wg_add(f, wg_f(1e300))));
    expect_error(WG_RANGE, "does not fit f32");
    ck_assert(wg_ok(wg_add(f, wg_f(INFINITY))));
    const double bad[] = {NAN, 3e9, 0.5, -INFINITY};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        ck_assert(!wg_ok(wg_full(t, wg_typeof(i), bad[k])));
        expect_error(WG_RANGE, "does not fit i32");
    }
    ck_assert(wg_ok(wg_full(t, wg_typeof(i), -2147483648.0)));
}
END_TEST

START_TEST(a_define_by_run_loop_stays_small)
{
    wg_var x = wg_input(t, "x", WG_F64, WG_SHAPE(3));
    wg_mark mark = wg_tape_mark(t);
    size_t size = 0;
    for (int i = 0; i < 100; i++) {
        wg_var k = wg_const(t, WG_F64, WG_SHAPE(3), (double[]){i, 1, 2});
        wg_var many[3] = {x, k, wg_mul(x, wg_f(i))};
        wg_var y = wg_sum(wg_concat(many, 3, 0));
        ck_assert_double_eq(wg_value_scalar(wg_sum(wg_mul(k, wg_f(2)))), 2.0 * (i + 3));
        wg_grad1(y, x);
        if (i == 0)
            size = wg_tape_size(t);
        ck_assert_uint_eq(wg_tape_size(t), size);
        ck_assert_int_eq(wg_tape_rewind(t, mark), WG_OK);
        ck_assert_uint_eq(t->operands.len, 0);
        ck_assert_uint_eq(t->consts.len, 0);
    }
}
END_TEST

/* ---- effects ------------------------------------------------------------------------------------ */

START_TEST(latest_sees_the_last_assign)
{
    wg_var p = wg_param(t, "p", WG_F64, WG_SCALAR, wg_init_zeros());
    wg_var one = wg_add(p, wg_f(1)), two = wg_add(p, wg_f(2));
    ck_assert(wg_latest(p).bits == p.bits);
    wg_assign(p, one);
    ck_assert(wg_latest(p).bits == one.bits);
    wg_assign(p, two);
    ck_assert(wg_latest(p).bits == two.bits);
    wg_assign(p, wg_input(t, "v", WG_F64, WG_SHAPE(2)));
    expect_error(WG_SHAPE, "f64[2]");
}
END_TEST

/* ---- the registry ------------------------------------------------------------------------------- */

START_TEST(wrappers_agree_with_the_registry)
{
    /* The typed wrappers hold op numbers: each core number must be its op's. */
    const char *core[] = {"input",         "param", "const",      "literal",    "assign",
                          "stop_gradient", "call",  "checkpoint", "scan",       "map",
                          "while",         "cond",  "switch",     "custom_vjp", "custom_jvp"};
    for (size_t i = 0; i < sizeof core / sizeof *core; i++)
        ck_assert_str_eq(wg_op_name(ctx, wg_op_at(ctx, i)), core[i]);
    wg_var x = wg_input(t, "x", WG_F64, WG_SHAPE(2, 2));
    const struct {
        wg_var v;
        const char *name;
    } made[] = {{wg_add(x, x), "add"},
                {wg_mul0(x, x), "mul0"},
                {wg_erf(x), "erf"},
                {wg_matmul(x, x), "matmul"},
                {wg_softmax(x), "softmax"},
                {wg_dropout(x, wg_i(1), 0.5), "dropout"},
                {wg_logsumexp(x), "logsumexp"}};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        ck_assert_msg(wg_ok(made[i].v), "%s: %s", made[i].name, wg_tape_error(t));
        ck_assert_str_eq(wg__op_of(t, (uint32_t)made[i].v.bits)->name, made[i].name);
    }
    ck_assert_ptr_null(wg_op_at(ctx, wg_op_count(ctx)));
    ck_assert_ptr_null(wg_op_find(ctx, "no such op"));
}
END_TEST

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

static wg_status infer_too_many(wg_infer *q)
{
    q->nout = 20;
    return WG_OK;
}

static wg_status infer_nothing(wg_infer *q)
{
    (void)q;
    return WG_OK;
}

START_TEST(what_infer_leaves_out_is_told)
{
    static const wg_kernel k[] = {{WG_KERNEL, .types = "f->f", .run = run_nothing}};
    const wg_op ops[] = {
        {WG_OP, .sig = "too_many(x) -> y", .infer = infer_too_many, .kernels = k, .nkernels = 1},
        {WG_OP, .sig = "stars(x) -> y*", .infer = infer_too_many, .kernels = k, .nkernels = 1},
        {WG_OP, .sig = "nothing(x) -> y", .infer = infer_nothing, .kernels = k, .nkernels = 1}};
    wg_var x = wg_input(t, "x", WG_F32, WG_SHAPE(2)), y;
    const char *names[] = {"too_many", "stars", "nothing"};
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(wg_register(ctx, &ops[i], NULL), WG_OK);
        ck_assert_int_ne(wg_apply(t, names[i], &x, 1, NULL, 0, &y, 1), WG_OK);
        ck_assert(!wg_ok(y));
        wg_tape_clear_error(t);
    }
}
END_TEST

START_TEST(registering_checks_the_contract)
{
    static const wg_kernel good[] = {{WG_KERNEL, .types = "f->f", .run = run_nothing}};
    static const wg_kernel wild[] = {{WG_KERNEL, .types = "bf->*", .run = run_nothing}};
    static const wg_kernel bad[] = {{WG_KERNEL, .types = "q->f", .run = run_nothing}};
    static const struct {
        wg_op op;
        const char *part;
    } cases[] = {
        {{WG_OP, .sig = NULL}, "name"},
        {{WG_OP, .sig = "f"}, "'('"},
        {{WG_OP, .sig = "f(x"}, "')'"},
        {{WG_OP, .sig = "f(x) -> "}, "output name"},
        {{WG_OP, .sig = "f(x) -> y z"}, "text after"},
        {{WG_OP, .sig = "f(x*, y) -> z"}, "last"},
        {{WG_OP, .sig = "f(x) -> (y, z)"}, "-> a, b"},
        {{WG_OP, .sig = "f(x, x) -> y"}, "twice"},
        {{WG_OP, .sig = "f(x; a: int) -> x"}, "twice"},
        {{WG_OP, .sig = "f(x; a: color) -> z"}, "kind"},
        {{WG_OP, .sig = "f(x; a: int = true) -> z"}, "default"},
        {{WG_OP, .sig = "f(x: odd) -> z"}, "class"},
        {{WG_OP, .sig = "f(x) -> y"}, "infer is missing"},
        {{WG_OP, .sig = "f(x) -> y", .infer = infer_first}, "neither kernels nor expand"},
        {{WG_OP, .sig = "f(x) -> y", .infer = infer_first, .kernels = bad, .nkernels = 1}, "types"},
        {{WG_OP, .sig = "f(x, y) -> z", .infer = infer_first, .kernels = good, .nkernels = 1},
         "types"},
        {{.sig = "f(x) -> y"}, "WG_OP"},
        {{WG_OP, .sig = "f(c, x) -> y", .flags = WG_OP_ELEMENTWISE, .kernels = wild, .nkernels = 1},
         "types"},
        {{WG_OP, .sig = "add(x) -> y", .infer = infer_first, .kernels = good, .nkernels = 1},
         "already"},
    };
    size_t before = wg_op_count(ctx);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *error = "";
        ck_assert_int_ne(wg_register(ctx, &cases[i].op, &error), WG_OK);
        ck_assert_msg(strstr(error, cases[i].part), "case %zu: \"%s\" is not in \"%s\"", i,
                      cases[i].part, error);
    }
    ck_assert_uint_eq(wg_op_count(ctx), before);
    wg_op op = {WG_OP, .sig = "mine(x; a: float = 2, s: string = \"a b\") -> y",
                .infer = infer_first, .kernels = good, .nkernels = 1};
    ck_assert_int_eq(wg_register(ctx, &op, NULL), WG_OK);
    ck_assert_uint_eq(wg_op_count(ctx), before + 1);
    wg_var x = wg_input(t, "x", WG_F32, WG_SHAPE(2)), y;
    ck_assert_int_eq(wg_apply(t, "mine", &x, 1, NULL, 0, &y, 1), WG_OK);
    wg_attrs a = wg__attrs_of(t, (uint32_t)y.bits);
    ck_assert_double_eq(wg_attrs_float(&a, "a"), 2);
    ck_assert_str_eq(wg_attrs_string(&a, "s"), "a b");
}
END_TEST

/* ---- resize, equality ------------------------------------------------------------------------------ */

/* A model whose batch is named N, with gradients and an update. */
static wg_tape *model(int64_t n, wg_var *loss)
{
    wg_tape *m = wg_tape_new(ctx);
    wg_var x = wg_input(m, "x", WG_F64, wg_shape_symbol(ctx, WG_SHAPE(n, 3), 0, "N"));
    wg_var w = wg_param(m, "w", WG_F64, WG_SHAPE(3, 2), wg_init_normal(0, 1));
    wg_var h = wg_tanh(wg_matmul(x, w));
    wg_var both[2] = {h, wg_reverse(h)};
    wg_var flat = wg_reshape(wg_concat(both, 2, 0), WG_SHAPE(-1));
    wg_var mean =
        wg_mean(wg_square(wg_sub(wg_concat(both, 2, 0), wg_mean_with(h, WG_AXES(0), true))));
    *loss = wg_add(mean, wg_mean(wg_square(flat)));
    wg_assign(w, wg_sub(w, wg_grad1(*loss, w)));
    ck_assert_str_eq(wg_tape_error(m), "");
    return m;
}

START_TEST(resizing_is_recording_at_the_other_size)
{
    wg_var loss;
    wg_tape *small = model(4, &loss), *large = model(7, &loss), *one = model(1, &loss);
    const wg_size size = {"N", 7};
    wg_tape *from[] = {small, one};
    for (int i = 0; i < 2; i++) {
        wg_tape *resized = wg_tape_resize(from[i], &size, 1);
        ck_assert_msg(resized != NULL, "%s", wg_tape_error(from[i]));
        ck_assert(wg_tape_equal(resized, large));
        ck_assert(!wg_tape_equal(resized, from[i]));
        ck_assert(wg_tape_hash(resized) == wg_tape_hash(large));
        wg_tape_free(resized);
    }
    ck_assert_ptr_null(wg_tape_resize(small, &(wg_size){"M", 7}, 1));
    ck_assert(strstr(wg_tape_error(small), "\"M\""));
    wg_tape_free(small);
    wg_tape_free(large);
    wg_tape_free(one);
}
END_TEST

START_TEST(equality_sees_every_difference)
{
    wg_tape *m[8];
    for (int k = 0; k < 8; k++) {
        m[k] = wg_tape_new(ctx);
        wg_var x = wg_input(m[k], k == 1 ? "z" : "x", WG_F64, WG_SHAPE(2, 2));
        if (k == 2)
            wg_scope_push(m[k], "s");
        wg_var y = wg_sum_with(x, k == 3 ? WG_AXES(1) : WG_AXES(0), false);
        wg_var c = wg_const(m[k], WG_F64, WG_SHAPE(2), (double[]){1, k == 4 ? 3 : 2});
        y = wg_add(wg_mul(y, wg_f(k == 5 ? 0.5 : 0.25)), c);
        y = k == 6 ? wg_sub(y, c) : wg_add(y, c);
        if (k == 7)
            wg_name(y, "y");
    }
    for (int k = 0; k < 8; k++) {
        ck_assert(wg_tape_equal(m[k], m[k]));
        for (int j = 0; j < k; j++)
            ck_assert_msg(!wg_tape_equal(m[k], m[j]), "%d equals %d", k, j);
    }
    for (int k = 0; k < 8; k++)
        wg_tape_free(m[k]);
}
END_TEST

START_TEST(the_verifier_sees_broken_tapes)
{
    wg_var x = wg_input(t, "x", WG_F64, WG_SHAPE(2));
    wg_var y = wg_exp(wg_add(x, x));
    wg_var s = wg_sum_with(y, WG_AXES(0), false);
    char message[256];
    wg__node *n = &t->nodes.data[(uint32_t)y.bits], saved = *n;
    n->u.in[0] = (uint32_t)y.bits;
    ck_assert_int_eq(wg__verify(t, message, sizeof message), WG_INTERNAL);
    *n = saved;
    n->type = t->nodes.data[(uint32_t)s.bits].type;
    ck_assert_int_eq(wg__verify(t, message, sizeof message), WG_INTERNAL);
    *n = saved;
    n->nout = 2;
    ck_assert_int_eq(wg__verify(t, message, sizeof message), WG_INTERNAL);
    *n = saved;
    t->inputs.len = 0;
    ck_assert_int_eq(wg__verify(t, message, sizeof message), WG_INTERNAL);
    t->inputs.len = 1;
}
END_TEST

/* ---- size --------------------------------------------------------------------------------------------- */

START_TEST(a_million_nodes_in_a_chain)
{
    wg_var x = wg_input(t, "x", WG_F64, WG_SCALAR), y = x;
    double want = 0.3, slope = 1;
    for (int i = 0; i < 500000; i++) {
        y = wg_add(wg_sin(y), x);
        slope = cos(want) * slope + 1;
        want = sin(want) + 0.3;
    }
    wg_var g = wg_grad1(y, x);
    wg_var outs[] = {y, g};
    wg_program *p = wg_compile(t, outs, 2, NULL);
    wg_session *s = wg_session_new(p, NULL);
    double value = 0.3;
    ck_assert_int_eq(wg_bind(s, x, &value, sizeof value), WG_OK);
    ck_assert_int_eq(wg_run(s), WG_OK);
    ck_assert_double_eq(wg_scalar(s, y), want);
    ck_assert_double_eq_tol(wg_scalar(s, g), slope, 1e-12);
    wg_set(x, &value, sizeof value);
    ck_assert_double_eq(wg_value_scalar(y), want);
    wg_session_free(s);
    wg_program_free(p);
    t->nodes.len = 1; /* spare the verifier's inference of 2.5 million nodes */
    t->memo.len = t->memo.len ? t->memo.len : 0;
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tape");
    TCase *c = case_on_tape(s, 120);
    tcase_add_test(c, a_node_is_small);
    tcase_add_test(c, types_are_inferred_at_once);
    tcase_add_test(c, literals_take_dtype_and_tape);
    tcase_add_test(c, an_error_between_literals_waits_for_a_tape);
    tcase_add_test(c, the_first_error_sticks_and_the_rest_is_silent);
    tcase_add_test(c, misuse_is_an_error_never_a_crash);
    tcase_add_test(c, names_and_scopes);
    tcase_add_test(c, rewinding_makes_handles_stale);
    tcase_add_test(c, a_body_opened_before_a_mark_survives_it);
    tcase_add_test(c, handles_are_never_mistaken_for_those_of_a_tape_before);
    tcase_add_test(c, literals_that_do_not_fit_are_errors);
    tcase_add_test(c, what_infer_leaves_out_is_told);
    tcase_add_test(c, a_define_by_run_loop_stays_small);
    tcase_add_test(c, latest_sees_the_last_assign);
    tcase_add_test(c, wrappers_agree_with_the_registry);
    tcase_add_test(c, registering_checks_the_contract);
    tcase_add_test(c, resizing_is_recording_at_the_other_size);
    tcase_add_test(c, equality_sees_every_difference);
    tcase_add_test(c, the_verifier_sees_broken_tapes);
    tcase_add_test(c, a_million_nodes_in_a_chain);
    return run_suite(s);
}
