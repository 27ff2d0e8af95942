/* Pictures: what a DOT text says is read back with cgraph, so that nothing here depends on how it
 * is laid out as text. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wengert.h>
#include "suite.h"
#include "draw/picture.h"
#include "fault.h"

typedef struct model {
    wg_ctx *ctx;
    wg_tape *tape;
    wg_var x, w, b, logits, loss;
} model;

static model new_model(void)
{
    model m = {.ctx = wg_ctx_new(NULL)};
    m.tape = wg_tape_new(m.ctx);
    m.x = wg_input(m.tape, "x", WG_F32, WG_SHAPE(4, 3));
    wg_scope_push(m.tape, "dense");
    m.w = wg_param(m.tape, "W", WG_F32, WG_SHAPE(3, 2), wg_init_xavier());
    m.b = wg_param(m.tape, "b", WG_F32, WG_SHAPE(2), wg_init_zeros());
    m.logits = wg_name(wg_add(wg_matmul(m.x, m.w), m.b), "logits");
    wg_scope_pop(m.tape);
    m.loss = wg_name(wg_sum(wg_name(wg_mul(m.logits, wg_f(0.5)), "half")), "loss");
    return m;
}

static void free_model(model *m)
{
    wg_tape_free(m->tape);
    wg_ctx_free(m->ctx);
}

/* The DOT text read back; the caller closes it. */
static Agraph_t *read_dot(const wg_tape *tape, const wg_dot_options *options)
{
    char *text = wg_dot(tape, options);
    ck_assert_ptr_nonnull(text);
    Agraph_t *g = agmemread(text);
    ck_assert_msg(g != NULL, "no DOT: %.200s", text);
    wg_text_free(wg_tape_ctx(tape), text);
    return g;
}

static const char *attribute(void *object, const char *name)
{
    const char *value = agget(object, wg__draw_unconst(name));
    return value ? value : "";
}

/* Nodes whose attribute holds `part`. */
static Agnode_t *find_node(Agraph_t *g, const char *name, const char *part)
{
    for (Agnode_t *n = agfstnode(g); n; n = agnxtnode(g, n))
        if (strncmp(agnameof(n), "legend", 6) && strstr(attribute(n, name), part))
            return n;
    return NULL;
}

static int count_nodes(Agraph_t *g, const char *name, const char *part)
{
    int count = 0;
    for (Agnode_t *n = agfstnode(g); n; n = agnxtnode(g, n))
        count += strncmp(agnameof(n), "legend", 6) && strstr(attribute(n, name), part);
    return count;
}

static Agraph_t *find_cluster(Agraph_t *g, const char *part)
{
    for (Agraph_t *s = agfstsubg(g); s; s = agnxtsubg(s)) {
        if (strstr(attribute(s, "label"), part))
            return s;
        Agraph_t *inner = find_cluster(s, part);
        if (inner)
            return inner;
    }
    return NULL;
}

/* An edge between two nodes, whichever way it is written. */
static Agedge_t *find_edge(Agraph_t *g, Agnode_t *from, Agnode_t *to)
{
    ck_assert_ptr_nonnull(from);
    ck_assert_ptr_nonnull(to);
    for (Agedge_t *e = agfstout(g, from); e; e = agnxtout(g, e))
        if (e->node == to && strcmp(attribute(e, "dir"), "back"))
            return e;
    for (Agedge_t *e = agfstout(g, to); e; e = agnxtout(g, e))
        if (e->node == from && !strcmp(attribute(e, "dir"), "back"))
            return e;
    return NULL;
}

/* ---- what is drawn ----------------------------------------------------------------------------- */

START_TEST(test_nodes_and_edges)
{
    model m = new_model();
    Agraph_t *g = read_dot(m.tape, NULL);
    Agnode_t *x = find_node(g, "label", "<b>x</b>"), *w = find_node(g, "label", "<b>W</b>");
    Agnode_t *matmul = find_node(g, "label", "matmul"), *add = find_node(g, "label", "logits");
    Agnode_t *number = find_node(g, "label", "0.5"), *half = find_node(g, "label", "half");
    ck_assert_str_eq(attribute(x, "shape"), "invhouse");
    ck_assert_str_eq(attribute(w, "shape"), "cylinder");
    ck_assert_str_eq(attribute(number, "shape"), "plaintext");
    ck_assert_str_eq(attribute(matmul, "shape"), "box");
    ck_assert_ptr_nonnull(strstr(attribute(x, "label"), "f32[4, 3]"));
    ck_assert_ptr_nonnull(strstr(attribute(add, "label"), "<b>logits</b> = add"));
    ck_assert_ptr_nonnull(find_edge(g, x, matmul));
    ck_assert_ptr_nonnull(find_edge(g, w, matmul));
    ck_assert_ptr_nonnull(find_edge(g, matmul, add));
    ck_assert_ptr_nonnull(find_edge(g, number, half));
    ck_assert_ptr_null(find_edge(g, half, number));
    ck_assert_int_eq(agnedges(agroot(g)) - agnedges(find_cluster(g, "legend")), 7);
    agclose(g);
    free_model(&m);
}
END_TEST

START_TEST(test_same_operand_twice_is_two_edges)
{
    model m = new_model();
    wg_square(m.loss);
    wg_var twice = wg_name(wg_mul(m.loss, m.loss), "twice");
    wg_dot_options o = WG_DOT_DEFAULTS;
    o.outs = &twice, o.nouts = 1;
    Agraph_t *g = read_dot(m.tape, &o);
    ck_assert_int_eq(agdegree(g, find_node(g, "label", "twice"), 1, 0), 2);
    ck_assert_ptr_null(find_node(g, "label", "square"));
    agclose(g);
    free_model(&m);
}
END_TEST

/* The mark of the edge from the value named `from` to the one named `to`. */
static const char *mark(Agraph_t *g, const char *from, const char *to)
{
    Agedge_t *edge = find_edge(g, find_node(g, "label", from), find_node(g, "label", to));
    ck_assert_msg(edge != NULL, "%s to %s", from, to);
    return attribute(edge, "headlabel");
}

/* Operands are told apart where their order matters. */
START_TEST(test_order_of_operands)
{
    model m = {.ctx = wg_ctx_new(NULL)};
    wg_tape *t = m.tape = wg_tape_new(m.ctx);
    wg_var x = wg_input(t, "<x>", WG_F32, WG_SHAPE(2)), y = wg_input(t, "<y>", WG_F32, WG_SHAPE(2));
    const wg_var both[] = {x, y};
    wg_name(wg_sub(x, y), "difference");
    wg_name(wg_where(wg_greater(x, y), y, x), "choice");
    wg_name(wg_concat(both, 2, 0), "row");
    wg_name(wg_add(x, y), "total");
    wg_name(wg_sub(x, x), "nothing");
    Agraph_t *g = read_dot(t, NULL);
    ck_assert_str_eq(mark(g, "&lt;x", "difference"), "a");
    ck_assert_str_eq(mark(g, "&lt;y", "difference"), "b");
    ck_assert_str_eq(mark(g, "greater", "choice"), "cond");
    ck_assert_str_eq(mark(g, "&lt;x", "row"), "1");
    ck_assert_str_eq(mark(g, "&lt;y", "row"), "2");
    ck_assert_str_eq(mark(g, "&lt;x", "total"), "");
    ck_assert_str_eq(mark(g, "&lt;x", "nothing"), "");
    agclose(g);
    free_model(&m);
}
END_TEST

START_TEST(test_small_constants_show_their_elements)
{
    model m = {.ctx = wg_ctx_new(NULL)};
    wg_tape *t = m.tape = wg_tape_new(m.ctx);
    const float values[] = {1, -2, 0.5f, 4, 5};
    wg_const(t, WG_F32, WG_SHAPE(2, 2), values);
    wg_name(wg_const(t, WG_F32, WG_SHAPE(1), values), "single");
    wg_name(wg_const(t, WG_F32, WG_SHAPE(5), values), "large");
    Agraph_t *g = read_dot(t, NULL);
    ck_assert_ptr_nonnull(find_node(g, "label", "[1, -2, 0.5, 4]"));
    ck_assert_ptr_nonnull(find_node(g, "label", "<b>single</b> = [1]"));
    ck_assert_ptr_nonnull(find_node(g, "label", "<b>large</b> = const"));
    agclose(g);
    free_model(&m);
}
END_TEST

START_TEST(test_scopes_are_clusters)
{
    model m = new_model();
    wg_scope_push(m.tape, "outer");
    wg_scope_push(m.tape, "inner");
    wg_name(wg_exp(m.loss), "deep");
    Agraph_t *g = read_dot(m.tape, NULL);
    Agraph_t *dense = find_cluster(g, "dense"), *outer = find_cluster(g, "outer");
    Agraph_t *inner = find_cluster(outer, "inner");
    ck_assert_ptr_nonnull(dense);
    ck_assert_ptr_nonnull(inner);
    ck_assert(agcontains(dense, find_node(g, "label", "logits")));
    ck_assert(!agcontains(dense, find_node(g, "label", "loss")));
    ck_assert(agcontains(inner, find_node(g, "label", "deep")));
    ck_assert_int_eq(strncmp(agnameof(inner), "cluster", 7), 0);
    agclose(g);
    free_model(&m);
}
END_TEST

START_TEST(test_outputs_and_what_they_need)
{
    model m = new_model();
    wg_dot_options o = WG_DOT_DEFAULTS;
    wg_name(wg_exp(m.loss), "unused");
    o.outs = &m.loss, o.nouts = 1;
    Agraph_t *g = read_dot(m.tape, &o);
    ck_assert_ptr_null(find_node(g, "label", "unused"));
    ck_assert_str_eq(attribute(find_node(g, "label", "loss"), "peripheries"), "2");
    ck_assert_int_eq(count_nodes(g, "peripheries", "2"), 1);
    agclose(g);
    g = read_dot(m.tape, NULL);
    ck_assert_ptr_nonnull(find_node(g, "label", "unused"));
    ck_assert_int_eq(count_nodes(g, "peripheries", "2"), 0);
    agclose(g);
    free_model(&m);
}
END_TEST

START_TEST(test_effects)
{
    model m = new_model();
    wg_dot_options o = WG_DOT_DEFAULTS;
    o.outs = &m.loss, o.nouts = 1;
    wg_assign(m.w, wg_name(wg_mul(m.w, wg_f(0.9)), "shrunk"));
    Agraph_t *g = read_dot(m.tape, &o);
    Agnode_t *assign = find_node(g, "label", "assign <b>dense/W</b>");
    ck_assert_ptr_nonnull(assign);
    ck_assert_ptr_nonnull(find_edge(g, find_node(g, "label", "shrunk"), assign));
    ck_assert_int_eq(agdegree(g, assign, 1, 1), 1);
    agclose(g);
    o.no_effects = true;
    g = read_dot(m.tape, &o);
    ck_assert_ptr_null(find_node(g, "label", "assign"));
    ck_assert_ptr_null(find_node(g, "label", "shrunk"));
    agclose(g);
    o.nouts = 0;
    g = read_dot(m.tape, &o);
    ck_assert_ptr_null(find_node(g, "label", "assign"));
    ck_assert_ptr_nonnull(find_node(g, "label", "shrunk"));
    agclose(g);
    free_model(&m);
}
END_TEST

START_TEST(test_kinds)
{
    model m = new_model();
    const float data[2] = {1, 2}, one = 3;
    wg_var key = wg_input(m.tape, "key", WG_I64, WG_SCALAR);
    wg_var c = wg_name(wg_const(m.tape, WG_F32, WG_SHAPE(2), data), "table");
    wg_var small = wg_const(m.tape, WG_F32, WG_SCALAR, &one);
    wg_var noise = wg_random_normal(key, WG_SHAPE(2));
    wg_name(wg_stop_gradient(wg_add(wg_mul(c, small), noise)), "held");
    Agraph_t *g = read_dot(m.tape, NULL);
    ck_assert_str_eq(wg_tape_error(m.tape), "");
    ck_assert_str_eq(attribute(find_node(g, "label", "table"), "shape"), "note");
    ck_assert_str_eq(attribute(find_node(g, "label", "held"), "shape"), "octagon");
    ck_assert_str_eq(attribute(find_node(g, "label", "random_normal"), "shape"), "hexagon");
    ck_assert_int_eq(count_nodes(g, "shape", "plaintext"), 2); /* 0.5 and the constant 3 */
    agclose(g);
    free_model(&m);
}
END_TEST

static void copy(size_t n, char *const *data, const ptrdiff_t *stride, const double *attrs,
                 void *user)
{
    (void)stride, (void)attrs, (void)user;
    memcpy(data[1], data[0], n * sizeof(float));
}

/* An op may ask for a look of its own; what it asks for badly is left out. */
START_TEST(test_style_of_an_op)
{
    static const wg_kernel kernel = {WG_KERNEL, .types = "f->f", .loop = copy, .expr = "a"};
    static const wg_op op = {.struct_size = WG_OP,
                             .sig = "mine(x: float) -> y",
                             .doc = "x.",
                             .flags = WG_OP_ELEMENTWISE | WG_OP_LINEAR,
                             .kernels = &kernel,
                             .nkernels = 1,
                             .style = "shape=diamond, style=\"filled,bold\",,color=red,nonsense"};
    model m = new_model();
    const char *error = "";
    ck_assert_msg(wg_register(m.ctx, &op, &error) == WG_OK, "%s", error);
    ck_assert_int_eq(wg_apply(m.tape, "mine", &m.loss, 1, NULL, 0, &m.loss, 1), WG_OK);
    Agraph_t *g = read_dot(m.tape, NULL);
    Agnode_t *mine = find_node(g, "label", "mine");
    ck_assert_str_eq(attribute(mine, "shape"), "diamond");
    ck_assert_str_eq(attribute(mine, "style"), "filled,bold");
    ck_assert_str_eq(attribute(mine, "color"), "red");
    agclose(g);
    free_model(&m);
}
END_TEST

/* Only nodes with a share of time are coloured and labelled; the hotter, the darker. */
START_TEST(test_heat)
{
    model m = new_model();
    double heat[16];
    wg_dot_options o = WG_DOT_DEFAULTS;
    size_t n = wg_tape_size(m.tape);
    ck_assert_uint_le(n, 16);
    for (size_t i = 0; i < n; i++)
        heat[i] = -1;
    heat[(uint32_t)m.loss.bits] = 0.004;
    heat[(uint32_t)m.logits.bits] = 0.62;
    o.heat = heat;
    o.nheat = n;
    o.no_legend = true;
    Agraph_t *g = read_dot(m.tape, &o);
    Agnode_t *loss = find_node(g, "label", "loss"), *logits = find_node(g, "label", "logits");
    Agnode_t *half = find_node(g, "label", "half"), *x = find_node(g, "label", "<b>x</b>");
    ck_assert_ptr_nonnull(strstr(attribute(loss, "label"), "<b>0.4%</b>"));
    ck_assert_ptr_nonnull(strstr(attribute(logits, "label"), "<b>62%</b>"));
    ck_assert_ptr_null(strchr(attribute(half, "label"), '%'));
    ck_assert_ptr_null(strchr(attribute(x, "label"), '%'));
    const char *hot = attribute(logits, "fillcolor"), *cold = attribute(loss, "fillcolor");
    ck_assert_str_ne(hot, cold);
    ck_assert_str_ne(hot, attribute(half, "fillcolor"));
    ck_assert_str_eq(cold, "#FFFFFF");
    agclose(g);
    free_model(&m);
}
END_TEST

START_TEST(test_legend_lists_what_occurs)
{
    model m = new_model();
    wg_dot_options o = WG_DOT_DEFAULTS;
    Agraph_t *g = read_dot(m.tape, &o);
    Agraph_t *legend = find_cluster(g, "legend");
    ck_assert_ptr_nonnull(legend);
    ck_assert_int_eq(agnnodes(legend), 3); /* input, parameter, operation */
    agclose(g);
    o.outs = &m.loss, o.nouts = 1;
    g = read_dot(m.tape, &o);
    ck_assert_int_eq(agnnodes(find_cluster(g, "legend")), 4);
    agclose(g);
    o.no_legend = true;
    g = read_dot(m.tape, &o);
    ck_assert_ptr_null(find_cluster(g, "legend"));
    agclose(g);
    free_model(&m);
}
END_TEST

START_TEST(test_backward)
{
    model m = new_model();
    wg_var outs[2] = {m.loss, wg_grad1(m.loss, m.w)};
    ck_assert_msg(wg_ok(outs[1]), "%s", wg_tape_error(m.tape));
    wg_dot_options o = WG_DOT_DEFAULTS;
    o.outs = outs, o.nouts = 2;
    Agraph_t *g = read_dot(m.tape, &o);
    Agnode_t *logits = find_node(g, "label", "logits");
    Agnode_t *backward = find_node(g, "tooltip", "backward of matmul");
    ck_assert_ptr_nonnull(backward);
    ck_assert_str_ne(attribute(backward, "color"), attribute(logits, "color"));
    ck_assert_str_ne(attribute(backward, "fillcolor"), attribute(logits, "fillcolor"));
    ck_assert_ptr_nonnull(strstr(attribute(backward, "style"), "dashed"));
    ck_assert_ptr_nonnull(find_edge(g, find_node(g, "label", "<b>x</b>"), backward));
    ck_assert(agcontains(find_cluster(g, "dense"), backward));
    ck_assert_int_eq(count_nodes(g, "peripheries", "2"), 2);
    agclose(g);
    free_model(&m);
}
END_TEST

/* ---- sub-tapes --------------------------------------------------------------------------------- */

static wg_fn new_step(wg_tape *tape, wg_var w)
{
    wg_tape *body = wg_fn_begin(tape, "step");
    wg_var h = wg_fn_input(body, "h", WG_F32, WG_SHAPE(2));
    wg_var x = wg_fn_input(body, "x", WG_F32, WG_SHAPE(2));
    wg_var next = wg_name(wg_tanh(wg_add(wg_name(wg_mul(h, w), "scaled"), x)), "next");
    wg_var outs[2] = {next, wg_name(wg_square(next), "energy")};
    return wg_fn_end(body, outs, 2);
}

START_TEST(test_scan_is_a_box)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg_tape *t = wg_tape_new(ctx);
    wg_var w = wg_param(t, "w", WG_F32, WG_SHAPE(2), wg_init_ones());
    wg_var h0 = wg_input(t, "h0", WG_F32, WG_SHAPE(2));
    wg_var xs = wg_input(t, "xs", WG_F32, WG_SHAPE(7, 2)), outs[2];
    wg_fn step = new_step(t, w);
    ck_assert_int_eq(wg_scan(step, &h0, 1, &xs, 1, NULL, outs, 2), WG_OK);
    wg_var loss = wg_name(wg_add(wg_sum(outs[0]), wg_sum(outs[1])), "loss");
    wg_dot_options o = WG_DOT_DEFAULTS;
    o.outs = &loss, o.nouts = 1;
    Agraph_t *g = read_dot(t, &o);
    Agraph_t *box = find_cluster(g, "step");
    ck_assert_ptr_nonnull(box);
    ck_assert_str_eq(attribute(box, "label"), "<b>scan</b> &quot;step&quot; \xc3\x97 7");
    Agnode_t *h = find_node(box, "label", "<b>h</b>"), *x = find_node(box, "label", "<b>x</b>");
    Agnode_t *next = find_node(box, "label", "next"), *mul = find_node(box, "label", "scaled");
    ck_assert(find_edge(g, find_node(g, "label", "h0"), h) != NULL);
    ck_assert(find_edge(g, find_node(g, "label", "xs"), x) != NULL);
    ck_assert(find_edge(g, find_node(g, "label", "<b>w</b>"), mul) != NULL); /* the capture */
    Agedge_t *again = find_edge(g, next, h);
    ck_assert_ptr_nonnull(again);
    ck_assert_str_eq(attribute(again, "label"), "next step");
    ck_assert_int_eq(agnnodes(box), 6);
    ck_assert_int_eq(count_nodes(box, "peripheries", "2"), 2);
    ck_assert_ptr_null(find_node(g, "label", "scan"));
    agclose(g);
    wg_tape_free(t);
    wg_ctx_free(ctx);
}
END_TEST

START_TEST(test_a_body_is_drawn_once)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg_tape *t = wg_tape_new(ctx);
    wg_var a = wg_input(t, "a", WG_F32, WG_SHAPE(2)), w = wg_input(t, "w", WG_F32, WG_SHAPE(2));
    wg_fn step = new_step(t, w);
    wg_var v[2] = {a, a};
    for (int i = 0; i < 3; i++) {
        wg_var in[2] = {v[0], v[1]};
        ck_assert_int_eq(wg_call(step, in, 2, v, 2), WG_OK);
    }
    Agraph_t *g = read_dot(t, NULL);
    ck_assert_int_eq(count_nodes(g, "label", "<b>next</b>"), 1);
    ck_assert_int_eq(count_nodes(g, "label", "call step"), 2);
    Agnode_t *second = find_node(g, "label", "call step");
    ck_assert(find_edge(g, find_node(g, "label", "next"), second) != NULL);
    ck_assert_int_eq(agdegree(g, second, 1, 0), 3);
    agclose(g);
    wg_tape_free(t);
    wg_ctx_free(ctx);
}
END_TEST

/* ---- branches, conditions, rules ---------------------------------------------------------------- */

static wg_fn new_unary(wg_tape *outer, const char *name, wg_var (*f)(wg_var))
{
    wg_tape *body = wg_fn_begin(outer, name);
    wg_var a = wg_fn_input(body, "a", WG_F32, WG_SHAPE(2));
    wg_var out = f ? wg_name(f(a), name) : a;
    return wg_fn_end(body, &out, 1);
}

START_TEST(test_branches_are_boxes)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg_tape *t = wg_tape_new(ctx);
    wg_var x = wg_input(t, "x", WG_F32, WG_SHAPE(2)), k = wg_input(t, "k", WG_I64, WG_SCALAR), y;
    wg_var p = wg_input(t, "p", WG_BOOL, WG_SCALAR), z;
    const wg_fn fns[] = {new_unary(t, "grow", wg_exp), new_unary(t, "squash", wg_tanh),
                         new_unary(t, "keep", NULL)};
    ck_assert_int_eq(wg_switch(k, fns, 3, &x, 1, &y, 1), WG_OK);
    wg_name(y, "y");
    ck_assert_int_eq(wg_cond(p, new_unary(t, "sine", wg_sin), fns[0], &y, 1, &z, 1), WG_OK);
    wg_name(z, "z");
    Agraph_t *g = read_dot(t, NULL);
    Agraph_t *box = find_cluster(g, "switch");
    ck_assert_ptr_nonnull(box);
    ck_assert_str_eq(attribute(box, "label"), "<b>y</b> = switch");
    Agnode_t *choice = find_node(box, "shape", "invtrapezium"),
             *in = find_node(g, "label", "<b>x</b>");
    Agnode_t *grow = find_node(find_cluster(box, "branch 0"), "label", "grow");
    Agnode_t *squash = find_node(find_cluster(box, "branch 1"), "label", "squash");
    ck_assert(find_edge(g, in, grow) && find_edge(g, in, squash)); /* not by way of formal inputs */
    ck_assert(find_edge(g, grow, choice) && find_edge(g, squash, choice));
    Agedge_t *kept = find_edge(g, in, choice); /* branch 2 hands x on: the edge tells */
    ck_assert_ptr_nonnull(kept);
    ck_assert_str_eq(attribute(kept, "headlabel"), "branch 2");
    Agedge_t *by = find_edge(g, find_node(g, "label", "<b>k</b>"), choice);
    ck_assert_ptr_nonnull(by);
    ck_assert_str_eq(attribute(by, "headlabel"), "index");
    ck_assert_str_eq(attribute(by, "style"), "dotted");
    /* the cond, one of whose sub-tapes is drawn already */
    Agraph_t *other = find_cluster(g, "<b>z</b> = cond");
    ck_assert_ptr_nonnull(other);
    Agnode_t *second = find_node(other, "shape", "invtrapezium");
    Agnode_t *sine = find_node(find_cluster(other, "if true"), "label", "sine");
    Agnode_t *again = find_node(other, "label", "if false");
    ck_assert(find_edge(g, choice, sine) && find_edge(g, sine, second));
    ck_assert(find_edge(g, choice, again) && find_edge(g, again, second));
    ck_assert_str_eq(attribute(again, "shape"), "tab");
    ck_assert_int_eq(count_nodes(g, "label", "grow"), 2);
    ck_assert_str_eq(attribute(second, "peripheries"), "");
    agclose(g);
    wg_tape_free(t);
    wg_ctx_free(ctx);
}
END_TEST

/* The picture of loops in loops is the same but for numbers of steps in labels. */
static int size_of_loops(int64_t length)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg_tape *t = wg_tape_new(ctx);
    wg_var x = wg_input(t, "x", WG_F32, WG_SHAPE(2)), y, z, d;
    wg_scan_options o = WG_SCAN_DEFAULTS;
    o.length = length;
    wg_tape *outer = wg_fn_begin(t, "outer");
    wg_var h = wg_fn_input(outer, "h", WG_F32, WG_SHAPE(2));
    wg_scan(new_unary(outer, "inner", wg_sin), &h, 1, NULL, 0, &o, &y, 1);
    wg_fn body = wg_fn_end(outer, &y, 1);
    ck_assert_int_eq(wg_scan(body, &x, 1, NULL, 0, &o, &z, 1), WG_OK);
    wg_var loss = wg_sum(z);
    ck_assert_int_eq(wg_grad(&loss, 1, NULL, &x, 1, &d), WG_OK);
    Agraph_t *g = read_dot(t, NULL);
    int size = agnnodes(g) * 1000 + agnedges(g);
    ck_assert_ptr_nonnull(find_cluster(find_cluster(g, "outer"), "inner"));
    agclose(g);
    wg_tape_free(t);
    wg_ctx_free(ctx);
    return size;
}

START_TEST(test_size_does_not_depend_on_steps)
{
    ck_assert_int_eq(size_of_loops(3), size_of_loops(100000));
}
END_TEST

START_TEST(test_condition_of_a_while)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg_tape *t = wg_tape_new(ctx);
    wg_var x = wg_input(t, "x", WG_F32, WG_SHAPE(2)),
           bound = wg_input(t, "bound", WG_F32, WG_SCALAR);
    wg_var outs[2];
    wg_tape *b = wg_fn_begin(t, "small");
    wg_var a = wg_fn_input(b, "a", WG_F32, WG_SHAPE(2));
    wg_var go = wg_name(wg_less(wg_name(wg_sum(a), "total"), bound), "go");
    wg_fn cond = wg_fn_end(b, &go, 1);
    ck_assert_int_eq(wg_while(cond, new_unary(t, "grow", wg_exp), &x, 1, NULL, outs, 2), WG_OK);
    Agraph_t *g = read_dot(t, NULL);
    Agraph_t *box = find_cluster(g, "while"), *test = find_cluster(box, "as long as");
    ck_assert(box && test);
    Agnode_t *carry = find_node(box, "label", "<b>a</b>");
    ck_assert_int_eq(count_nodes(box, "label", "<b>a</b>"), 1); /* both read the same carry */
    ck_assert(find_edge(g, carry, find_node(test, "label", "total")) != NULL);
    ck_assert(find_edge(g, find_node(g, "label", "bound"), find_node(test, "label", "go")) != NULL);
    ck_assert(find_edge(g, find_node(box, "label", "grow"), carry) != NULL); /* the next step */
    agclose(g);
    wg_tape_free(t);
    wg_ctx_free(ctx);
}
END_TEST

START_TEST(test_rules_are_folded_away)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg_tape *t = wg_tape_new(ctx);
    wg_var x = wg_input(t, "x", WG_F32, WG_SHAPE(2)), y;
    wg_tape *b = wg_fn_begin(t, "straight through");
    wg_fn_input(b, "a", WG_F32, WG_SHAPE(2));
    wg_var ta = wg_fn_input(b, "ta", WG_F32, WG_SHAPE(2)), ty = wg_name(wg_neg(ta), "ty");
    wg_fn rule = wg_fn_end(b, &ty, 1);
    ck_assert_int_eq(wg_custom_jvp(new_unary(t, "floor", wg_floor), rule, &x, 1, &y, 1), WG_OK);
    wg_dot_options o = WG_DOT_DEFAULTS;
    Agraph_t *g = read_dot(t, &o);
    ck_assert(find_cluster(g, "custom_jvp") && !find_cluster(g, "rule"));
    agclose(g);
    o.rules = true;
    g = read_dot(t, &o);
    Agraph_t *box = find_cluster(find_cluster(g, "custom_jvp"), "its rule");
    ck_assert_ptr_nonnull(box);
    ck_assert_str_eq(attribute(box, "style"), "dashed");
    ck_assert(find_edge(g, find_node(box, "label", "<b>ta</b>"), find_node(box, "label", "ty")));
    agclose(g);
    wg_tape_free(t);
    wg_ctx_free(ctx);
}
END_TEST

/* ---- any name ---------------------------------------------------------------------------------- */

static const struct {
    const char *name, *shown;
} hostile[] = {
    {"a\"b", "a&quot;b"},
    {"two\nlines", "two\\\\nlines"},
    {"<b>&amp;</b>", "&lt;b&gt;&amp;amp;&lt;/b&gt;"},
    {"\\N\\G\\", "\\\\N\\\\G\\\\"},
    {"\xc3\xa9\xe2\x88\x82\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x88\x82\xf0\x9f\x98\x80"},
    {"\xff\xc0\xaf\xed\xa0\x80", "\\\\xff\\\\xc0\\\\xaf\\\\xed\\\\xa0\\\\x80"},
    {"\x01\x7f\t\r", "\\\\x01\\\\x7f\\\\t\\\\r"},
    {"-->]]>/* */ //", "--&gt;]]&gt;/* */ //"},
    {"\\", "\\\\"},
    {"", NULL},
};
enum { NHOSTILE = sizeof hostile / sizeof *hostile };

static void check_name(const char *name, const char *shown)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg_tape *t = wg_tape_new(ctx);
    wg_var x = wg_input(t, "x", WG_F32, WG_SHAPE(2));
    wg_scope_push(t, *name && !strchr(name, '/') ? name : "scope");
    wg_name(wg_exp(x), name);
    wg_dot_options o = WG_DOT_DEFAULTS;
    o.title = name;
    Agraph_t *g = read_dot(t, &o);
    Agnode_t *exp = find_node(g, "label", "exp");
    ck_assert_ptr_nonnull(exp);
    if (shown)
        ck_assert_ptr_nonnull(strstr(attribute(exp, "label"), shown));
    if (shown)
        ck_assert_ptr_nonnull(strstr(attribute(g, "label"), shown));
    agclose(g);
    char *text = wg_dot(t, &o), *svg = NULL;
    size_t size;
    FILE *out = open_memstream(&svg, &size);
    ck_assert_int_eq(wg_render(text, "svg", out, NULL), WG_OK);
    fclose(out);
    ck_assert_ptr_nonnull(strstr(svg, "</svg>"));
    free(svg);
    wg_text_free(ctx, text);
    wg_tape_free(t);
    wg_ctx_free(ctx);
}

START_TEST(test_hostile_name) { check_name(hostile[_i].name, hostile[_i].shown); }
END_TEST

START_TEST(test_long_name)
{
    char name[10001];
    memset(name, 'q', 10000);
    name[10000] = '\0';
    check_name(name, "qqqqqqqq\xe2\x80\xa6</b>");
}
END_TEST

/* Graphviz 2 shares equal strings, markup or not. */
START_TEST(test_text_is_no_markup)
{
    static const char *const words[] = {"box",       "filled", "2",
                                        "Helvetica", "dashed", "<b>wengert</b>"};
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg_tape *t = wg_tape_new(ctx);
    wg_var x = wg_input(t, "x", WG_F32, WG_SHAPE(2));
    for (size_t i = 0; i < 6; i++) {
        if (!strchr(words[i], '/'))
            wg_scope_push(t, words[i]);
        x = wg_name(wg_mul(wg_f(2), x), words[i]);
    }
    wg_dot_options o = WG_DOT_DEFAULTS;
    o.title = "wengert";
    o.outs = &x, o.nouts = 1;
    char *text = wg_dot(t, &o);
    ck_assert_ptr_nonnull(text);
    for (const char *at = text; (at = strstr(at, "=<")); at++)
        ck_assert(!strncmp(at - 5, "label", 5) && !strncmp(at + 2, "<b>", 3));
    wg_text_free(ctx, text);
    wg_tape_free(t);
    wg_ctx_free(ctx);
}
END_TEST

/* ---- the text ---------------------------------------------------------------------------------- */

START_TEST(test_deterministic)
{
    model a = new_model(), b = new_model();
    char *first = wg_dot(a.tape, NULL), *again = wg_dot(a.tape, NULL),
         *other = wg_dot(b.tape, NULL);
    ck_assert_str_eq(first, again);
    ck_assert_str_eq(first, other);
    wg_text_free(a.ctx, first);
    wg_text_free(a.ctx, again);
    wg_text_free(b.ctx, other);
    free_model(&a);
    free_model(&b);
}
END_TEST

START_TEST(test_file)
{
    model m = new_model();
    char *text = wg_dot(m.tape, NULL), *copy = NULL;
    size_t size;
    FILE *out = open_memstream(&copy, &size);
    ck_assert_int_eq(wg_dot_file(m.tape, NULL, out), WG_OK);
    fclose(out);
    ck_assert_str_eq(text, copy);
    out = fopen("/dev/full", "w");
    if (out) {
        ck_assert_int_eq(wg_dot_file(m.tape, NULL, out), WG_IO);
        fclose(out);
    }
    wg_text_free(m.ctx, text);
    free(copy);
    free_model(&m);
}
END_TEST

START_TEST(test_bad_arguments)
{
    model m = new_model(), other = new_model();
    wg_var bad[] = {wg_f(1), wg_none(), other.loss};
    ck_assert_ptr_null(wg_dot(NULL, NULL));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        wg_dot_options o = WG_DOT_DEFAULTS;
        o.outs = &bad[i], o.nouts = 1;
        ck_assert_ptr_null(wg_dot(m.tape, &o));
    }
    free_model(&m);
    free_model(&other);
}
END_TEST

START_TEST(test_empty_tape)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg_tape *t = wg_tape_new(ctx);
    Agraph_t *g = read_dot(t, NULL);
    ck_assert_int_eq(agnnodes(g), 0);
    agclose(g);
    wg_tape_free(t);
    wg_ctx_free(ctx);
}
END_TEST

/* 50,000 nodes, and scopes nested deeper than any picture. */
START_TEST(test_large)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg_tape *t = wg_tape_new(ctx);
    wg_var x = wg_input(t, "x", WG_F32, WG_SHAPE(2));
    for (int i = 0; i < 50000; i++) {
        if (i % 500 == 0)
            wg_scope_push(t, "s");
        x = i % 2 ? wg_exp(x) : wg_add(x, x);
    }
    ck_assert(wg_ok(x));
    Agraph_t *g = read_dot(t, NULL);
    ck_assert_int_eq(agnnodes(g), 50001 + 2);
    agclose(g);
    wg_tape_free(t);
    wg_ctx_free(ctx);
}
END_TEST

/* ---- when something fails ---------------------------------------------------------------------- */

static bool draw_anything(wg_ctx *ctx, void *user)
{
    (void)user;
    wg_tape *t = wg_tape_new(ctx);
    wg_var w = wg_param(t, "w", WG_F32, WG_SHAPE(2), wg_init_ones()), outs[2];
    wg_scope_push(t, "scope");
    wg_var xs = wg_input(t, "xs", WG_F32, WG_SHAPE(7, 2));
    bool ok = wg_scan(new_step(t, w), &w, 1, &xs, 1, NULL, outs, 2) == WG_OK;
    wg_dot_options o = WG_DOT_DEFAULTS;
    o.title = "title";
    o.outs = outs, o.nouts = ok ? 2 : 0;
    char *text = t ? wg_dot(t, &o) : NULL;
    ok = ok && text;
    wg_text_free(ctx, text);
    wg_tape_free(t);
    return ok;
}

START_TEST(test_allocation_failures)
{
    ck_assert_int_eq(fault_each(wg_ctx_new, draw_anything, NULL), 0);
}
END_TEST

START_TEST(test_render_errors)
{
    const char *error = NULL;
    FILE *out = tmpfile();
    ck_assert_int_eq(wg_render("digraph { a -> b }", "no_such_format", out, &error), WG_INVALID);
    ck_assert_ptr_nonnull(error);
    ck_assert_int_eq(wg_render("digraph { a -> ", "svg", out, &error), WG_INVALID);
    ck_assert_ptr_nonnull(error);
    ck_assert_int_eq(wg_render(NULL, "svg", out, &error), WG_INVALID);
    ck_assert_int_eq(ftell(out), 0);
    fclose(out);
    out = fopen("/dev/full", "w");
    if (!out)
        return;
    ck_assert_int_eq(wg_render("digraph { a -> b }", "svg", out, &error), WG_IO);
    fclose(out);
}
END_TEST

START_TEST(test_render_formats)
{
    static const struct {
        const char *format, *start;
    } known[] = {{"svg", "<?xml"}, {"png", "\x89PNG"}, {"pdf", "%PDF"}};
    model m = new_model();
    char *text = wg_dot(m.tape, NULL);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        char head[8] = {0};
        const char *error = NULL;
        FILE *out = tmpfile();
        ck_assert_msg(wg_render(text, known[i].format, out, &error) == WG_OK, "%s", error);
        rewind(out);
        ck_assert_uint_gt(fread(head, 1, sizeof head - 1, out), 4);
        ck_assert_int_eq(strncmp(head, known[i].start, strlen(known[i].start)), 0);
        fclose(out);
    }
    wg_text_free(m.ctx, text);
    free_model(&m);
}
END_TEST

/* Graphviz likes to write to stderr; the library never does. */
START_TEST(test_nothing_is_printed)
{
    model m = new_model();
    wg_name(wg_exp(m.loss), "<unbalanced");
    FILE *caught = tmpfile();
    int saved = dup(STDERR_FILENO);
    dup2(fileno(caught), STDERR_FILENO);
    char *text = wg_dot(m.tape, NULL);
    FILE *out = tmpfile();
    wg_render(text, "png", out, NULL);
    wg_render("digraph { a -> ", "svg", out, NULL);
    wg_render("digraph { a [label=<<b>] }", "svg", out, NULL);
    wg_render("digraph { a }", "none", out, NULL);
    dup2(saved, STDERR_FILENO);
    close(saved);
    ck_assert_int_eq(lseek(fileno(caught), 0, SEEK_END), 0);
    fclose(caught);
    fclose(out);
    wg_text_free(m.ctx, text);
    free_model(&m);
}
END_TEST

static void *draw_often(void *expected)
{
    model m = new_model();
    bool same = true;
    for (int i = 0; i < 20; i++) {
        char *text = wg_dot(m.tape, NULL);
        same = same && text && !strcmp(text, expected);
        wg_text_free(m.ctx, text);
    }
    free_model(&m);
    return same ? expected : NULL;
}

START_TEST(test_threads)
{
    model m = new_model();
    char *text = wg_dot(m.tape, NULL);
    pthread_t thread[4];
    void *result;
    for (int i = 0; i < 4; i++)
        pthread_create(&thread[i], NULL, draw_often, text);
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], &result);
        ck_assert_ptr_eq(result, text);
    }
    wg_text_free(m.ctx, text);
    free_model(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("draw");
    TCase *drawn = tcase_create("drawn"), *names = tcase_create("names"),
          *text = tcase_create("text");
    tcase_add_test(drawn, test_nodes_and_edges);
    tcase_add_test(drawn, test_same_operand_twice_is_two_edges);
    tcase_add_test(drawn, test_order_of_operands);
    tcase_add_test(drawn, test_small_constants_show_their_elements);
    tcase_add_test(drawn, test_scopes_are_clusters);
    tcase_add_test(drawn, test_outputs_and_what_they_need);
    tcase_add_test(drawn, test_effects);
    tcase_add_test(drawn, test_kinds);
    tcase_add_test(drawn, test_style_of_an_op);
    tcase_add_test(drawn, test_heat);
    tcase_add_test(drawn, test_legend_lists_what_occurs);
    tcase_add_test(drawn, test_backward);
    tcase_add_test(drawn, test_scan_is_a_box);
    tcase_add_test(drawn, test_a_body_is_drawn_once);
    tcase_add_test(drawn, test_branches_are_boxes);
    tcase_add_test(drawn, test_size_does_not_depend_on_steps);
    tcase_add_test(drawn, test_condition_of_a_while);
    tcase_add_test(drawn, test_rules_are_folded_away);
    tcase_add_loop_test(names, test_hostile_name, 0, NHOSTILE);
    tcase_add_test(names, test_long_name);
    tcase_add_test(names, test_text_is_no_markup);
    tcase_add_test(text, test_deterministic);
    tcase_add_test(text, test_file);
    tcase_add_test(text, test_bad_arguments);
    tcase_add_test(text, test_empty_tape);
    tcase_add_test(text, test_large);
    tcase_add_test(text, test_allocation_failures);
    tcase_add_test(text, test_render_errors);
    tcase_add_test(text, test_render_formats);
    tcase_add_test(text, test_nothing_is_printed);
    tcase_add_test(text, test_threads);
    tcase_set_timeout(text, 120);
    suite_add_tcase(suite, drawn);
    suite_add_tcase(suite, names);
    suite_add_tcase(suite, text);
    return run_suite(suite);
}
