/* tutorial: the program that docs/tutorial.md goes through, part by part, word for word. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <wengert.h>

enum { N = 272, HIDDEN = 8, NPARAMS = 4 };

static void read_data(const char *path, double *x, double *y)
{
    FILE *file = fopen(path, "r");
    int n = 0;
    if (!file || fscanf(file, "%*[^\n]") == EOF) {
        perror(path);
        exit(1);
    }
    while (n < N && fscanf(file, "%lf,%lf", &x[n], &y[n]) == 2)
        n++;
    fclose(file);
    if (n < N) {
        fprintf(stderr, "%s: %d rows, not %d\n", path, n, N);
        exit(1);
    }
}

static void standardise(double *x, double *mean, double *deviation)
{
    double sum = 0, squares = 0;
    for (int i = 0; i < N; i++) {
        sum += x[i];
        squares += x[i] * x[i];
    }
    *mean = sum / N;
    *deviation = sqrt(squares / N - *mean * *mean);
    for (int i = 0; i < N; i++)
        x[i] = (x[i] - *mean) / *deviation;
}

typedef struct model {
    wg_tape *tape;
    wg_var x, y;
    wg_var params[NPARAMS];
    wg_var prediction, loss;
} model;

static model record(wg_ctx *ctx, int64_t rows)
{
    model m = {.tape = wg_tape_new(ctx)};
    wg_tape *t = m.tape;
    m.x = wg_input(t, "x", WG_F64, WG_SHAPE(rows, 1));
    m.y = wg_input(t, "y", WG_F64, WG_SHAPE(rows, 1));

    wg_scope_push(t, "hidden");
    wg_var W1 = m.params[0] = wg_param(t, "W", WG_F64, WG_SHAPE(1, HIDDEN), wg_init_xavier());
    wg_var b1 = m.params[1] = wg_param(t, "b", WG_F64, WG_SHAPE(HIDDEN), wg_init_zeros());
    wg_var h = wg_name(wg_tanh(wg_add(wg_matmul(m.x, W1), b1)), "h");
    wg_scope_pop(t);

    wg_scope_push(t, "output");
    wg_var W2 = m.params[2] = wg_param(t, "W", WG_F64, WG_SHAPE(HIDDEN, 1), wg_init_xavier());
    wg_var b2 = m.params[3] = wg_param(t, "b", WG_F64, WG_SHAPE(1), wg_init_zeros());
    m.prediction = wg_name(wg_add(wg_matmul(h, W2), b2), "prediction");
    wg_scope_pop(t);

    m.loss = wg_name(wg_mean(wg_square(wg_sub(m.prediction, m.y))), "loss");
    return m;
}

static void look(const model *m, const double *x, const double *y)
{
    wg_set(m->x, x, N * sizeof *x);
    wg_set(m->y, y, N * sizeof *y);
    printf("loss before training: %.4f\n", wg_value_scalar(m->loss));
}

static void make_a_mistake(const model *m)
{
    wg_mark before = wg_tape_mark(m->tape);
    wg_var wrong = wg_matmul(m->x, m->params[2]);
    wg_mean(wrong);
    printf("%s\n", wg_tape_error(m->tape));
    wg_tape_clear_error(m->tape);
    wg_tape_rewind(m->tape, before);
}

static void write_text(const model *m)
{
    FILE *file = fopen("tutorial.wg", "w");
    if (!file || wg_print_file(m->tape, "tutorial", &m->loss, 1, file) != WG_OK || fclose(file))
        exit(1);
}

static void differentiate(const model *m, wg_var *grads)
{
    size_t before = wg_tape_size(m->tape);
    wg_grad(&m->loss, 1, NULL, m->params, NPARAMS, grads);
    for (int i = 0; i < NPARAMS; i++)
        wg_name(grads[i], i % 2 ? "d_b" : "d_W");
    printf("the gradient is %zu more nodes; d loss / d output.b = %.4f\n",
           wg_tape_size(m->tape) - before, wg_value_scalar(grads[3]));
}

static void check(const model *m)
{
    wg_check_report r;
    if (wg_gradcheck(m->tape, &m->loss, 1, m->params, NPARAMS, NULL, &r) != WG_OK)
        exit(1);
    printf("check: %s\n", r.verdict == WG_CHECK_PASSED ? "passed" : r.message);
}

static void draw(const model *m, const wg_var *grads)
{
    const wg_var shown[1 + NPARAMS] = {m->loss, grads[0], grads[1], grads[2], grads[3]};
    wg_dot_options options = WG_DOT_DEFAULTS;
    options.title = "The loss and its gradient";
    options.outs = shown;
    options.nouts = 1 + NPARAMS;
    FILE *file = fopen("tutorial.dot", "w");
    if (!file || wg_dot_file(m->tape, &options, file) != WG_OK || fclose(file))
        exit(1);
}

static void train(const model *m, const wg_var *grads, wg_state *state, const double *x,
                  const double *y)
{
    wg_adam_options adam = WG_ADAM_DEFAULTS;
    adam.common.lr = 0.01;
    adam.common.grads = grads;
    wg_adam(m->tape, m->loss, m->params, NPARAMS, &adam);
    wg_program *step = wg_compile(m->tape, &m->loss, 1, NULL);
    if (!step) {
        fprintf(stderr, "%s\n", wg_tape_error(m->tape));
        exit(1);
    }
    wg_session *s = wg_session_new(step, state);
    wg_bind(s, m->x, x, N * sizeof *x);
    wg_bind(s, m->y, y, N * sizeof *y);
    for (int i = 0; i <= 1000; i++) {
        if (wg_run(s) != WG_OK) {
            fprintf(stderr, "%s\n", wg_session_error(s));
            exit(1);
        }
        if (i % 250 == 0)
            printf("step %4d: loss %.4f\n", i, wg_scalar(s, m->loss));
    }
    wg_session_free(s);
    wg_program_free(step);
}

static void predict(wg_ctx *ctx, wg_state *state, double eruption, const double *mean,
                    const double *deviation)
{
    model m = record(ctx, 1);
    wg_program *forward = wg_compile(m.tape, &m.prediction, 1, NULL);
    wg_session *s = forward ? wg_session_new(forward, state) : NULL;
    double x = (eruption - mean[0]) / deviation[0];
    if (!s || wg_bind(s, m.x, &x, sizeof x) != WG_OK || wg_run(s) != WG_OK)
        exit(1);
    printf("after an eruption of %.1f minutes: wait %.0f minutes\n", eruption,
           mean[1] + deviation[1] * wg_scalar(s, m.prediction));
    wg_session_free(s);
    wg_program_free(forward);
    wg_tape_free(m.tape);
}

static void smooth(wg_ctx *ctx, const double *y)
{
    wg_tape *t = wg_tape_new(ctx);
    wg_var waits = wg_input(t, "waits", WG_F64, WG_SHAPE(N));
    wg_var a = wg_param(t, "a", WG_F64, WG_SCALAR, wg_init_constant(0.5));
    wg_var start = wg_const(t, WG_F64, WG_SCALAR, (double[]){0});

    wg_tape *step = wg_fn_begin(t, "smooth");
    wg_var level = wg_fn_input(step, "level", WG_F64, WG_SCALAR);
    wg_var wait = wg_fn_input(step, "wait", WG_F64, WG_SCALAR);
    wg_var error = wg_sub(wait, level);
    wg_var next = wg_add(level, wg_mul(a, error));
    wg_fn body = wg_fn_end(step, (wg_var[]){next, wg_square(error)}, 2);

    wg_scan_options options = WG_SCAN_DEFAULTS;
    options.sums = 1;
    wg_var outs[2];
    wg_scan(body, &start, 1, &waits, 1, &options, outs, 2);
    wg_var loss = wg_div(outs[1], wg_f(N));
    size_t nodes = wg_tape_size(t);
    wg_var da = wg_grad1(loss, a);
    nodes = wg_tape_size(t) - nodes;
    wg_set(waits, y, N * sizeof *y);
    printf("smoothing: loss %.4f, slope %.4f, %zu more nodes for %d steps\n", wg_value_scalar(loss),
           wg_value_scalar(da), nodes, N);
    wg_tape_free(t);
}

static void remember(wg_ctx *ctx, const double *x, const double *y)
{
    wg_tape *t = wg_tape_new(ctx);
    wg_state *state = wg_state_new(ctx, 1);
    wg_var eruptions = wg_input(t, "eruptions", WG_F64, WG_SHAPE(N, 1, 1));
    wg_var waits = wg_input(t, "waits", WG_F64, WG_SHAPE(N, 1, 1));
    const wg_type states = {WG_F64, WG_SHAPE(1, N, 1, HIDDEN)};
    wg_rnn_options gru = WG_RNN_DEFAULTS;
    wg_rnn_result out;
    wg_var params[6];
    gru.name = "gru";
    gru.kind = WG_RNN_GRU;
    gru.hidden = HIDDEN;
    gru.probe = wg_full(t, states, 0);
    wg_rnn(t, eruptions, &gru, params, 4, &out);
    params[4] = wg_param(t, "W", WG_F64, WG_SHAPE(HIDDEN, 1), wg_init_xavier());
    params[5] = wg_param(t, "b", WG_F64, WG_SHAPE(1), wg_init_zeros());
    wg_var prediction = wg_add(wg_matmul(out.y, params[4]), params[5]);
    wg_var errors = wg_square(wg_sub(prediction, waits));
    wg_var loss = wg_mean(errors);
    wg_var last = wg_slice(errors, (int64_t[]){N - 1, 0, 0}, 3, (int64_t[]){N, 1, 1}, 3);
    wg_var norms = wg_gradient_norms(wg_sum(last), gru.probe);

    wg_adam_options adam = WG_ADAM_DEFAULTS;
    adam.common.lr = 0.01;
    adam.common.clip_norm = 1;
    wg_adam(t, loss, params, 6, &adam);
    wg_program *program = wg_compile(t, (wg_var[]){loss, norms}, 2, NULL);
    wg_session *s = program ? wg_session_new(program, state) : NULL;
    if (!s) {
        fprintf(stderr, "%s\n", wg_tape_error(t));
        exit(1);
    }
    wg_bind(s, eruptions, x, N * sizeof *x);
    wg_bind(s, waits, y, N * sizeof *y);
    for (int i = 0; i <= 200; i++) {
        if (wg_run(s) != WG_OK)
            exit(1);
        const double *norm = wg_output(s, norms, NULL, NULL);
        if (i % 100 == 0)
            printf("step %3d: loss %.4f; gradient 0, 5, 20 steps back: %.1e %.1e %.1e\n", i,
                   wg_scalar(s, loss), norm[N - 1], norm[N - 6], norm[N - 21]);
    }
    wg_session_free(s);
    wg_program_free(program);
    wg_state_free(state);
    wg_tape_free(t);
}

int main(int argc, char **argv)
{
    double x[N], y[N], mean[2], deviation[2];
    read_data(argc > 1 ? argv[1] : "examples/data/faithful.csv", x, y);
    standardise(x, &mean[0], &deviation[0]);
    standardise(y, &mean[1], &deviation[1]);

    wg_ctx *ctx = wg_ctx_new(NULL);
    wg_state *state = wg_state_new(ctx, 1);
    model m = record(ctx, N);
    wg_var grads[NPARAMS];
    look(&m, x, y);
    make_a_mistake(&m);
    write_text(&m);
    differentiate(&m, grads);
    check(&m);
    draw(&m, grads);
    train(&m, grads, state, x, y);
    predict(ctx, state, 2.0, mean, deviation);
    predict(ctx, state, 4.5, mean, deviation);
    smooth(ctx, y);
    remember(ctx, x, y);
    if (wg_state_save(state, "tutorial.safetensors") != WG_OK)
        return 1;

    wg_tape_free(m.tape);
    wg_state_free(state);
    wg_ctx_free(ctx);
    return 0;
}
