/* Fusing: graphs in .wg and the clusters that are made of them, as text; and what holds of the
 * clusters of any graph. */
#include <stdio.h>
#include <string.h>

#include "fuse_samples.h"
#include "on_tape.h"
#include "pass/cluster.h"
#include "pass/pass.h"
#include "random_graph.h"
#include "random_model.h"

/* ---- what holds of all clusters ---------------------------------------------------------------------- */

static bool is_member(const wg__clusters *c, uint32_t id) { return c->role[id] >= WG__RUN; }

/* Each needed node is in exactly one cluster, where `of` and `place` say. */
static void check_members(const wg__clusters *c)
{
    size_t members = 0;
    for (uint32_t i = 0; i < c->list.len; i++) {
        const wg__cluster *at = &c->list.data[i];
        ck_assert_uint_gt(at->count, 0);
        ck_assert_uint_eq(at->first, members);
        members += at->count;
        for (uint32_t m = at->first; m < at->first + at->count; m++) {
            uint32_t id = c->members.data[m];
            ck_assert(is_member(c, id));
            ck_assert_uint_eq(c->of[id], i);
            ck_assert_uint_eq(c->place[id], m);
            if (m > at->first)
                ck_assert_uint_gt(id, c->members.data[m - 1]);
        }
    }
    ck_assert_uint_eq(c->members.len, members);
    for (uint32_t id = 0; id < c->tape->nodes.len; id++)
        members -= is_member(c, id);
    ck_assert_uint_eq(members, 0);
}

/* Clusters read what earlier ones store; members read each other element by element, so that an
 * equal number of elements, or one for each row, is there. Kernels read dense memory. */
static void check_reads(const wg__clusters *c)
{
    for (uint32_t id = 0; id < c->tape->nodes.len; id++) {
        for (size_t k = 0; is_member(c, id) && k < wg__reads(c, id); k++) {
            uint32_t in = wg__operands(c->tape, wg__node_at(c->tape, id))[k];
            uint32_t base = wg__read_base(c, id, k);
            wg__role role = c->role[wg__head(c->tape, base)];
            ck_assert_msg(role != WG__ALIAS && role != WG__IDLE,
                          "%%%u reads %%%u, which is not there", (unsigned)id, (unsigned)base);
            wg__layout room;
            if (c->role[id] == WG__RUN)
                ck_assert(
                    wg__layout_dense(wg__type_at(c->tape, in), &wg__layout_of(c, in, &room)->s));
            if (c->role[id] == WG__RUN || c->role[id] == WG__TIMES)
                ck_assert(c->role[base] != WG__INDEX);
            if (c->of[base] == WG__NO_CLUSTER)
                continue;
            ck_assert_uint_le(c->of[base], c->of[id]);
            if (c->of[base] < c->of[id]) {
                ck_assert(c->stored[base]);
                continue;
            }
            const wg__cluster *at = &c->list.data[c->of[id]];
            int64_t all = wg_shape_count(at->space), rows = all;
            for (int i = at->space.rank - at->ncols; i < at->space.rank; i++)
                rows /= at->space.dim[i];
            int64_t count = wg_shape_count(wg__type_at(c->tape, base)->shape);
            ck_assert_uint_lt(base, id);
            ck_assert(at->kind == WG__SCALARS ? count == 1 : count == all || count == rows);
        }
    }
}

/* At most one matrix product in a cluster, and none in a loop. */
static void check_kinds(const wg__clusters *c)
{
    for (uint32_t i = 0; i < c->list.len; i++) {
        const wg__cluster *at = &c->list.data[i];
        uint32_t products = 0;
        for (uint32_t m = at->first; m < at->first + at->count; m++) {
            wg__role role = c->role[c->members.data[m]];
            products += role == WG__TIMES;
            ck_assert_int_eq(role == WG__RUN, at->kind == WG__KERNEL);
            if (at->kind == WG__SCALARS)
                ck_assert_int_eq(role, WG__MAP);
        }
        ck_assert_uint_eq(products, at->kind == WG__PRODUCT);
        ck_assert_int_eq(c->role[c->members.data[at->first]] == WG__JOIN, at->kind == WG__CONCAT);
        if (at->kind == WG__KERNEL || at->kind == WG__CONCAT)
            ck_assert_uint_eq(at->count, 1);
    }
}

/* A part of a JOIN is stored by what computes it where nobody else is: within the JOIN, apart from its
 * other parts, and before it; it is no root and reads need no more than strides. */
static void check_windows(const wg__clusters *c)
{
    for (uint32_t id = 0; id < c->tape->nodes.len; id++) {
        if (!c->window[id])
            continue;
        const wg__window *w = &c->windows.data[c->window[id] - 1];
        const int64_t count = wg_shape_count(wg__type_at(c->tape, id)->shape);
        ck_assert_int_eq(c->role[w->join], WG__JOIN);
        ck_assert_int_eq(count % w->block, 0);
        ck_assert_int_le(w->start + (count / w->block - 1) * w->pitch + w->block,
                         wg_shape_count(wg__type_at(c->tape, w->join)->shape));
        ck_assert_uint_lt(c->of[id], c->of[w->join]);
        ck_assert(c->stored[id]);
        for (size_t i = 0; i < c->windows.len; i++) {
            const wg__window *o = &c->windows.data[i];
            ck_assert(o == w || o->join != w->join || o->start >= w->start + w->block ||
                      w->start >= o->start + o->block);
        }
    }
    for (uint32_t id = 0; id < c->tape->nodes.len; id++)
        for (size_t k = 0; is_member(c, id) && k < wg__reads(c, id); k++) {
            const uint32_t base = wg__read_base(c, id, k);
            wg__layout room;
            wg_strides s = wg__read_layout(c, id, k, &room)->s;
            const uint32_t in = wg__operands(c->tape, wg__node_at(c->tape, id))[k];
            const wg_type *type = wg__type_at(c->tape, c->role[id] == WG__COPY ? id : in);
            ck_assert(wg__in_memory(c, base, &type->shape, &s));
            if (c->role[id] == WG__RUN)
                ck_assert(wg__layout_dense(type, &s));
        }
}

/* What runs side by side does not wait for each other. */
static void check_groups(const wg__clusters *c)
{
    for (uint32_t id = 0; id < c->tape->nodes.len; id++)
        for (size_t k = 0; is_member(c, id) && k < wg__reads(c, id); k++) {
            uint32_t of = c->of[wg__read_base(c, id, k)];
            if (of != WG__NO_CLUSTER && of != c->of[id])
                ck_assert_uint_ne(c->list.data[of].group, c->list.data[c->of[id]].group);
        }
}

/* A param is read by nobody after its update in place has begun. */
static void check_updates(const wg__clusters *c, const uint32_t *params, const uint32_t *values,
                          const bool *in_place, size_t n)
{
    for (uint32_t id = 0; id < c->tape->nodes.len; id++)
        for (size_t k = 0; is_member(c, id) && k < wg__reads(c, id); k++)
            for (size_t e = 0; e < n; e++) {
                if (!in_place[e] || wg__read_base(c, id, k) != params[e])
                    continue;
                ck_assert_uint_le(c->of[id], c->of[values[e]]);
                if (c->of[id] == c->of[values[e]])
                    ck_assert_uint_le(id, values[e]);
                else
                    ck_assert_uint_ne(c->list.data[c->of[id]].group,
                                      c->list.data[c->of[values[e]]].group);
            }
}

/* The clusters of a graph whose first nroots ids are outputs and assigned values, followed by the
 * params they go to. */
static void make_clusters(const wg_tape *tape, const uint32_t *ids, size_t nouts, size_t neffects,
                          wg__str *notes, wg__clusters *c)
{
    bool in_place[64];
    size_t nroots = nouts + neffects;
    ck_assert_uint_le(neffects, 64);
    ck_assert_int_eq(wg__clusters_make(tape, ids, nroots, notes, c, ids + nroots, ids + nouts,
                                       neffects, in_place),
                     WG_OK);
    check_members(c);
    check_reads(c);
    check_kinds(c);
    check_windows(c);
    check_groups(c);
    check_updates(c, ids + nroots, ids + nouts, in_place, neffects);
    for (size_t i = 0; i < nroots; i++) {
        wg__layout room;
        const wg__layout *l = wg__layout_of(c, ids[i], &room);
        ck_assert(wg__layout_dense(wg__type_at(tape, ids[i]), &l->s));
        ck_assert(c->of[l->base] == WG__NO_CLUSTER || c->stored[l->base]);
    }
}

/* The clusters of a tape with its effects after the passes of a level; -1: as it is. In *text, and
 * whether all updates are in place. */
static void cluster_tape(wg_tape *tape, const wg_var *outs, size_t nouts, int level, wg__str *text)
{
    size_t neffects = tape->effects.len, n = nouts + 2 * neffects;
    wg__graph g = {.ctx = tape->ctx, .report = tape, .tape = tape, .nroots = n, .nids = n};
    wg__clusters c;
    wg__str notes = wg__str_make(tape->ctx);
    g.ids = wg__calloc(tape->ctx, n, sizeof *g.ids);
    for (size_t i = 0; i < nouts; i++)
        g.ids[i] = wg__find(tape, outs[i]);
    for (size_t e = 0; e < neffects; e++) {
        g.ids[nouts + e] = tape->effects.data[e].value;
        g.ids[nouts + neffects + e] = tape->effects.data[e].param;
    }
    if (level >= 0)
        ck_assert_msg(wg__pipeline(&g, level, true) == WG_OK, "%s", wg_tape_error(tape));
    make_clusters(g.tape, g.ids, nouts, neffects, &notes, &c);
    wg__str_clear(text);
    wg__clusters_print(&c, text);
    wg__clusters_free(&c);
    wg__str_free(&notes);
    wg__graph_free(&g);
}

/* ---- text in, text out ----------------------------------------------------------------------------------- */

static wg_graph *parse(const char *text)
{
    char *error = NULL;
    wg_graph *g = wg_parse(ctx, text, strlen(text), "sample", &error);
    ck_assert_msg(g != NULL, "%s", error);
    return g;
}

START_TEST(graphs_become_clusters)
{
    const sample *s = &samples[_i];
    wg_graph *g = parse(s->graph);
    wg__str text = wg__str_make(ctx);
    cluster_tape(wg_graph_tape(g), wg_graph_outputs(g), wg_graph_noutputs(g), -1, &text);
    ck_assert_msg(strcmp(wg__str_text(&text), s->clusters) == 0, "%s:\n%s\ninstead of\n%s", s->name,
                  wg__str_text(&text), s->clusters);
    wg__str_free(&text);
    wg_graph_free(g);
}
END_TEST

/* ---- models: kinds and spaces alone, since passes may write the same in other ops ----------------------- */

typedef enum training { FORWARD, GRADIENT, SGD, ADAM } training;

typedef struct model {
    const char *graph;
    training training;
    const char *steps;
} model;

#define MLP                                                                                        \
    "graph mlp(x: f32[32, 64], l: i32[32]) -> (loss) { param w: f32[64, 48] = xavier(); "          \
    "param b: f32[48] = zeros(); param u: f32[48, 10] = xavier(); param c: f32[10] = zeros(); "    \
    "p = matmul(x, w); q = add(p, b); h = relu(q); s = matmul(h, u); t = add(s, c); "              \
    "r = softmax_xent(t, l); loss = mean(r) }"
/* The weights are updated where their gradients come out of the product; the biases together. */
#define MLP_UPDATES "product [64, 48]; product [48, 10]; loop [48]; loop [10] beside N; "

static const model models[] = {
    {"graph g(x: f32[8, 16]) -> (z) { z = softmax(x) }", FORWARD, "loop [8, 16] cols 1; "},
    {"graph g(x: f32[8, 16]) -> (z) { z = log_softmax(x) }", FORWARD, "loop [8, 16] cols 1; "},
    {"graph g(x: f32[8, 16]) -> (z) { z = logsumexp(x, axes=[1]) }", FORWARD,
     "loop [8, 16] cols 1; "},
    {"graph g(x: f32[8, 16], s: f32[16], b: f32[16]) -> (z) { m = mean(x, axes=[1], "
     "keepdims=true); d = sub(x, m); q = square(d); v = mean(q, axes=[1], keepdims=true); "
     "e = add(v, 0.001); r = sqrt(e); n = div(d, r); t = mul(n, s); z = add(t, b) }",
     FORWARD, "loop [8, 16] cols 1; "},
    {"graph g(l: i32[8]) -> (loss) { param x: f32[8, 16] = normal(0, 1); r = softmax_xent(x, l); "
     "loss = sum(r) }",
     GRADIENT, "loop [8, 16] cols 1; "},
    {MLP, FORWARD, "product [32, 48]; product [32, 10] cols 1; scalars; "},
    {MLP, GRADIENT,
     "product [32, 48]; product [32, 10] cols 1; scalars; product [32, 48] cols 1; "
     "product [64, 48]; product [48, 10]; "},
    {MLP, SGD,
     "product [32, 48]; product [32, 10] cols 1; scalars; product [32, 48] cols 1; " MLP_UPDATES},
    {MLP, ADAM,
     "product [32, 48]; product [32, 10] cols 1; scalars; scalars; "
     "product [32, 48] cols 1; " MLP_UPDATES},
};

/* Kinds and spaces of printed clusters; numbers of groups are N. */
static void summarise(const char *text, wg__str *out)
{
    for (const char *at = text; *at; at = strchr(at, '\n') + 1) {
        size_t n = strcspn(at, ":");
        const char *beside = strstr(at, " beside ");
        if (beside && beside < at + n) {
            wg__str_addn(out, at, (size_t)(beside - at));
            wg__str_add(out, " beside N");
        } else {
            wg__str_addn(out, at, n);
        }
        wg__str_add(out, "; ");
    }
}

static void train(wg_tape *tape, training how, wg_var *outs, size_t *nouts)
{
    wg_var params[16];
    size_t n = tape->params.len;
    for (size_t i = 0; i < n; i++)
        params[i] = wg__var(tape, tape->params.data[i]);
    if (how == GRADIENT)
        ck_assert_int_eq(wg_grad(outs, 1, NULL, params, n, outs + 1), WG_OK);
    if (how == SGD)
        ck_assert_int_eq(wg_sgd(tape, outs[0], params, n, NULL), WG_OK);
    if (how == ADAM)
        ck_assert_int_eq(wg_adam(tape, outs[0], params, n, NULL), WG_OK);
    *nouts = how == GRADIENT ? 1 + n : 1;
}

START_TEST(models_become_clusters)
{
    const model *m = &models[_i];
    wg_graph *g = parse(m->graph);
    wg_var outs[17] = {wg_graph_outputs(g)[0]};
    size_t nouts;
    wg__str text = wg__str_make(ctx), steps = wg__str_make(ctx);
    train(wg_graph_tape(g), m->training, outs, &nouts);
    cluster_tape(wg_graph_tape(g), outs, nouts, WG__LEVEL_FUSING, &text);
    summarise(wg__str_text(&text), &steps);
    ck_assert_msg(strcmp(wg__str_text(&steps), m->steps) == 0, "%s\n%s\ninstead of\n%s\n%s",
                  m->graph, wg__str_text(&steps), m->steps, wg__str_text(&text));
    wg__str_free(&text);
    wg__str_free(&steps);
    wg_graph_free(g);
}
END_TEST

/* ---- updates in place ------------------------------------------------------------------------------------- */

/* The new value of a param may be written over the old one when all others have read it. */
START_TEST(params_are_updated_in_place)
{
    static const struct {
        const char *graph;
        bool in_place;
    } cases[] = {
        {"graph g(x: f32[4]) -> (y) { param p: f32[4] = zeros(); y = mul(p, x); n = sub(p, y); "
         "assign(p, n) }",
         true},
        /* a reader of greater depth than the update */
        {"graph g(x: f32[4]) -> (y) { param p: f32[4] = zeros(); n = sub(p, x); s = sum(x); "
         "r = log(s); q = mul(p, r); y = sum(q); assign(p, n) }",
         true},
        /* the old value is wanted, as it is or turned round */
        {"graph g(x: f32[4]) -> (p) { param p: f32[4] = zeros(); n = sub(p, x); assign(p, n) }",
         false},
        {"graph g(x: f32[4]) -> (n) { param p: f32[4] = zeros(); r = reverse(p); n = sub(r, x); "
         "assign(p, n) }",
         false},
        /* what reads the new value reads the old one, too */
        {"graph g(x: f32[40, 40]) -> (y) { param p: f32[40, 40] = zeros(); n = sub(p, x); "
         "m = matmul(n, x); y = add(m, p); assign(p, n) }",
         false},
        /* the product reads all of the param for each element */
        {"graph g(x: f32[4, 4]) -> (n) { param p: f32[4, 4] = zeros(); n = matmul(p, x); "
         "assign(p, n) }",
         false},
        /* spread: an element is read after it was written */
        {"graph g(x: f32[4, 4]) -> (y) { param p: f32[4, 4] = zeros(); s = section(p, "
         "start=[0, 0], size=[1, 4]); n = mul(x, s); y = sum(n); assign(p, n) }",
         false},
    };
    wg_graph *g = parse(cases[_i].graph);
    wg_tape *tape = wg_graph_tape(g);
    const wg__effect *e = &tape->effects.data[0];
    uint32_t roots[2] = {wg__find(tape, wg_graph_outputs(g)[0]), e->value};
    wg__clusters c;
    bool in_place = false;
    ck_assert_int_eq(
        wg__clusters_make(tape, roots, 2, NULL, &c, &e->param, &e->value, 1, &in_place), WG_OK);
    check_updates(&c, &e->param, &e->value, &in_place, 1);
    ck_assert_msg(in_place == cases[_i].in_place, "%s", cases[_i].graph);
    wg__clusters_free(&c);
    wg_graph_free(g);
}
END_TEST

/* ---- any graph ---------------------------------------------------------------------------------------------- */

enum { GRAPHS = 200 };

START_TEST(random_models_hold)
{
    wg__str text = wg__str_make(ctx);
    for (uint64_t seed = (uint64_t)_i * GRAPHS; seed < ((uint64_t)_i + 1) * GRAPHS; seed++) {
        wg_tape *tape = wg_tape_new(ctx);
        random_model g;
        ck_assert_msg(random_model_make(&g, tape, seed, 6 + (int)(seed % 40)), "seed %llu: %s",
                      (unsigned long long)seed, wg_tape_error(tape));
        cluster_tape(tape, g.outs, g.nouts, seed % 4 ? WG__LEVEL_FUSING : -1, &text);
        wg_tape_free(tape);
    }
    wg__str_free(&text);
}
END_TEST

START_TEST(random_graphs_hold)
{
    wg__str text = wg__str_make(ctx);
    for (uint64_t seed = 0; seed < GRAPHS; seed++) {
        rng r = rng_make(seed);
        wg_tape *tape = wg_tape_new(ctx);
        random_graph g = {.t = tape, .r = &r, .rounding = seed % 2};
        random_graph_make(&g, 60);
        cluster_tape(tape, &g.v[g.n - 4], 4, seed % 3 ? WG__LEVEL_FUSING : -1, &text);
        wg_tape_free(tape);
    }
    wg__str_free(&text);
}
END_TEST

START_TEST(examples_hold)
{
    static const char *const files[] = {"digits", "logistic", "mixture", "rnn_bptt"};
    const char *top = getenv("WG_SRCDIR");
    char path[4096], *error = NULL;
    snprintf(path, sizeof path, "%s/examples/%s.wg", top ? top : ".", files[_i / 4]);
    wg_graph *g = wg_parse_file(ctx, path, &error);
    ck_assert_msg(g != NULL, "%s", error);
    wg_var outs[17] = {wg_graph_outputs(g)[0]};
    size_t nouts;
    wg__str text = wg__str_make(ctx);
    train(wg_graph_tape(g), (training)(_i % 4), outs, &nouts);
    cluster_tape(wg_graph_tape(g), outs, nouts, WG__LEVEL_FUSING, &text);
    wg__str_free(&text);
    wg_graph_free(g);
}
END_TEST

/* A chain of 10^5 scalar nodes is one cluster, and so is a tree of them. */
START_TEST(scalar_graphs_are_one_cluster)
{
    wg_var x = wg_input(t, "x", WG_F64, WG_SCALAR), v[16];
    wg__str text = wg__str_make(ctx);
    rng r = rng_make(7);
    for (int i = 0; i < 16; i++)
        v[i] = x;
    for (int i = 0; i < 100000; i++) {
        wg_var a = v[rng_int(&r, 0, 15)], b = v[rng_int(&r, 0, 15)];
        v[rng_int(&r, 0, 15)] = i % 3 ? wg_add(a, b) : wg_sin(a);
    }
    cluster_tape(t, v, 16, -1, &text);
    ck_assert_ptr_eq(strchr(wg__str_text(&text), '\n') + 1,
                     wg__str_text(&text) + strlen(wg__str_text(&text)));
    wg__str_free(&text);
}
END_TEST

/* ---- explaining -------------------------------------------------------------------------------------------- */

START_TEST(notes_tell_why)
{
    wg_graph *g = parse("graph g(x: f32[8, 16], w: f32[16, 16]) -> (z, y) { a = exp(x); "
                        "s = sum(a, axes=[0]); z = div(a, s); p = matmul(x, w); "
                        "q = matmul(z, w); y = add(p, q) }");
    wg_tape *tape = wg_graph_tape(g);
    uint32_t roots[2] = {wg__find(tape, wg_graph_outputs(g)[0]),
                         wg__find(tape, wg_graph_outputs(g)[1])};
    wg__str notes = wg__str_make(ctx);
    wg__clusters c;
    ck_assert_int_eq(wg__clusters_make(tape, roots, 2, &notes, &c, NULL, NULL, 0, NULL), WG_OK);
    static const char *const parts[] = {"div", "its reduction ends the loop", "the op reads memory",
                                        "there are two matrix products"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        ck_assert_msg(strstr(wg__str_text(&notes), parts[i]) != NULL, "no \"%s\" in\n%s", parts[i],
                      wg__str_text(&notes));
    wg__clusters_free(&c);
    wg__str_free(&notes);
    wg_graph_free(g);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("fuse");
    TCase *c = case_on_tape(s, 120);
    tcase_add_loop_test(c, graphs_become_clusters, 0, (int)(sizeof samples / sizeof *samples));
    tcase_add_loop_test(c, models_become_clusters, 0, (int)(sizeof models / sizeof *models));
    tcase_add_loop_test(c, params_are_updated_in_place, 0, 7);
    tcase_add_loop_test(c, random_models_hold, 0, 5);
    tcase_add_test(c, random_graphs_hold);
    tcase_add_loop_test(c, examples_hold, 0, 16);
    tcase_add_test(c, scalar_graphs_are_one_cluster);
    tcase_add_test(c, notes_tell_why);
    return run_suite(s);
}
