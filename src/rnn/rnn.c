/* Stacks of recurrent layers: each layer and direction is one scan, whose body is one step of its cell
 * (rnn_cell.c) with what an option adds around it. */
#include <stdio.h>
#include <string.h>

#include <wengert/control.h>
#include <wengert/ops.h>
#include "rnn/rnn.h"
#include "tape/tape.h"

/* Sequences that a body reads beside x; and what it gives per step. */
enum { MASKED, SCALED, PROBED, NEXTRA };
enum { MAX_OUTS = 2 * WG__RNN_STATES + 1 };

/* The stack while it is recorded. */
typedef struct stack {
    wg_tape *tape;
    const char *name; /* for messages */
    wg_rnn_options o;
    wg_dtype dtype;
    wg_shape steps, states; /* [T]; [L * D, B, H] */
    size_t ndirs, nstates;
    wg_var start[WG__RNN_STATES]; /* [L * D, B, H] each; absent: zeros */
    wg_var zeros;                 /* [B, H] */
    wg_var valid;                 /* bool [T, B, 1]; none: every step */
    wg_var *last[WG__RNN_STATES]; /* by layer and direction: the states that come out, [B, H] */
    wg_var *kept[WG__RNN_STATES]; /* with `advance`: those that the next run starts from */
    wg_var *params;
    size_t max_params, nparams;
} stack;

static bool absent(wg_var v) { return !v.tape && !v.bits; }

static size_t ndirs(const wg_rnn_options *o) { return o->bidirectional ? 2 : 1; }

static wg_rnn_options with_defaults(const wg_rnn_options *given)
{
    wg_rnn_options o = WG_RNN_DEFAULTS;
    if (given)
        memcpy(&o, given, given->struct_size < sizeof o ? given->struct_size : sizeof o);
    return o;
}

size_t wg_rnn_nparams(const wg_rnn_options *options)
{
    wg_rnn_options o = with_defaults(options);
    if (!options || (int)o.kind < WG_RNN_TANH || o.kind > WG_RNN_GRU)
        return 0;
    return o.layers * ndirs(&o) * wg__rnn_nparams(&o);
}

/* ---- checks ------------------------------------------------------------------------------------ */

static wg_status refuse(const stack *s, wg_status status, const char *what)
{
    return wg__tape_fail(s->tape, status, "rnn \"%s\": %s", s->name, what);
}

static wg_status check_numbers(const stack *s)
{
    const wg_rnn_options *o = &s->o;
    if ((int)o->kind < WG_RNN_TANH || o->kind > WG_RNN_GRU)
        return refuse(s, WG_INVALID, "there is no such kind");
    if (o->hidden < 1 || o->layers < 1 || o->layers > 1000000)
        return refuse(s, WG_INVALID, "hidden and layers must be 1 or more");
    if (!(o->dropout >= 0 && o->dropout < 1) ||
        !(o->recurrent_dropout >= 0 && o->recurrent_dropout < 1))
        return refuse(s, WG_INVALID, "dropout and recurrent_dropout must lie in [0, 1)");
    if (o->kind != WG_RNN_LSTM && (o->peephole || o->layer_norm || !absent(o->c0)))
        return refuse(s, WG_INVALID, "peephole, layer_norm and c0 are for WG_RNN_LSTM");
    if (o->peephole && o->layer_norm)
        return refuse(s, WG_INVALID, "there is no LSTM with both peephole and layer_norm");
    if (o->training && absent(o->key) && (o->dropout > 0 || o->recurrent_dropout > 0))
        return refuse(s, WG_INVALID, "dropout needs a key while training");
    if (o->stateful && (!absent(o->h0) || !absent(o->c0)))
        return refuse(s, WG_INVALID, "stateful starts from states of its own; leave h0, c0 out");
    return WG_OK;
}

/* `v` is absent, or has this type; `dtype` -1: i32 or i64. */
static wg_status check_type(const stack *s, wg_var v, const char *what, int dtype, wg_shape shape)
{
    wg_type type = wg_typeof(v);
    if (absent(v) || type.shape.rank < 0) /* an invalid var stays silent */
        return absent(v) ? WG_OK : wg_tape_status(s->tape);
    bool fits = dtype < 0 ? type.dtype == WG_I32 || type.dtype == WG_I64 : (int)type.dtype == dtype;
    if (fits && wg_shape_equal(type.shape, shape))
        return WG_OK;
    wg__str text = wg__str_make(s->tape->ctx);
    for (int i = 0; i < shape.rank; i++)
        wg__str_addf(&text, "%s%lld", i ? ", " : "", (long long)shape.dim[i]);
    wg_status status = wg__tape_fail(
        s->tape, fits ? WG_SHAPE : WG_DTYPE, "rnn \"%s\": %s must be %s[%s]", s->name, what,
        dtype < 0 ? "i32" : wg_dtype_name((wg_dtype)dtype), wg__str_text(&text));
    wg__str_free(&text);
    return status;
}

static wg_status check_vars(const stack *s)
{
    const wg_rnn_options *o = &s->o;
    wg_shape batch = wg_shape_make(&s->states.dim[1], 1), probe = WG_SHAPE(0, 0, 0, 0);
    const int64_t sizes[] = {s->states.dim[0], s->steps.dim[0], s->states.dim[1], o->hidden};
    probe = wg_shape_make(sizes, 4);
    wg_status status = check_type(s, o->lengths, "lengths", -1, batch);
    status = status ? status : check_type(s, o->h0, "h0", (int)s->dtype, s->states);
    status = status ? status : check_type(s, o->c0, "c0", (int)s->dtype, s->states);
    status = status ? status
                    : check_type(s, o->carry_gradient, "carry_gradient", (int)s->dtype, s->steps);
    status = status ? status : check_type(s, o->probe, "probe", (int)s->dtype, probe);
    if (status || o->advance == 0)
        return status;
    if (!o->stateful || o->bidirectional || o->advance < 0 || o->advance > s->steps.dim[0])
        return refuse(s, WG_INVALID,
                      "advance must be 1 to T, of a stateful stack that is not bidirectional");
    return WG_OK;
}

static wg_status check_input(stack *s, wg_var x)
{
    wg_type type = wg_typeof(x);
    if (type.shape.rank < 0)
        return wg_tape_status(s->tape) ? wg_tape_status(s->tape)
                                       : refuse(s, WG_INVALID, "x is no value");
    if (type.shape.rank != 3 || !wg_dtype_is_float(type.dtype))
        return refuse(s, WG_SHAPE, "x must be a float [steps, batch, features]");
    s->dtype = type.dtype;
    s->steps = s->states = wg_shape_make(NULL, 0);
    wg_shape_push(&s->steps, &type.shape, 0);
    wg_shape_push_size(&s->states, (int64_t)(s->o.layers * s->ndirs));
    wg_shape_push(&s->states, &type.shape, 1);
    wg_shape_push_size(&s->states, s->o.hidden);
    return check_vars(s);
}

/* ---- pieces ------------------------------------------------------------------------------------ */

/* x[index] along the first axis, which goes. */
static wg_var at(wg_var x, int64_t index)
{
    wg_shape size = wg_typeof(x).shape, flat = wg_shape_make(NULL, 0);
    int64_t start[WG_MAX_RANK] = {index};
    for (int i = 1; i < size.rank; i++)
        wg_shape_push(&flat, &size, i);
    size.dim[0] = 1;
    size.symbol[0] = 0;
    return wg_reshape(wg_section(x, wg_shape_make(start, (size_t)size.rank), size), flat);
}

/* [B, H] as [1, B, H]. */
static wg_var with_axis(wg_var x)
{
    wg_shape shape = wg_typeof(x).shape, y = wg_shape_make(NULL, 0);
    wg_shape_push_size(&y, 1);
    for (int i = 0; i < shape.rank; i++)
        wg_shape_push(&y, &shape, i);
    return wg_reshape(x, y);
}

/* The state number i that layer `index` starts from, [B, H]. */
static wg_var first_state(const stack *s, size_t i, size_t index)
{
    return absent(s->start[i]) ? s->zeros : at(s->start[i], (int64_t)index);
}

/* Zeros [B, H], where some state starts from them. */
static wg_var zero_state(const stack *s)
{
    wg_type type = {s->dtype, wg_shape_make(NULL, 0)};
    wg_shape_push(&type.shape, &s->states, 1);
    wg_shape_push(&type.shape, &s->states, 2);
    for (size_t i = 0; i < s->nstates; i++)
        if (absent(s->start[i]))
            return wg_name(wg_full(s->tape, type, 0), "zeros");
    return wg_none();
}

/* Key number n of the run. */
static wg_var key_of(const stack *s, size_t n)
{
    wg_var number = wg__materialise(s->tape, wg_i((int64_t)n), WG_I64);
    return wg_random_fold_in(wg__materialise(s->tape, s->o.key, WG_I64), number);
}

/* valid[t, b] = t < lengths[b], as [T, B, 1]. */
static wg_var valid_steps(const stack *s)
{
    wg_type lengths = wg_typeof(s->o.lengths);
    wg_shape grid = s->steps, column = wg_shape_make(NULL, 0), row = column;
    wg_shape_push_size(&grid, 1);
    wg_shape_push_size(&grid, 1);
    wg_shape_push(&row, &lengths.shape, 0);
    wg_shape_push_size(&row, 1);
    wg_var t = wg_reshape(wg_iota_with(s->tape, s->steps, 0, lengths.dtype), grid);
    return wg_less(t, wg_reshape(s->o.lengths, row));
}

/* ---- one layer in one direction ---------------------------------------------------------------- */

/* The body: (states, x, valid, scale, probe) -> (next states, y, next states again). */
static wg_fn record_body(const stack *s, const wg__rnn_layer *l, const wg_var *extra, bool keep)
{
    static const char *const names[] = {"valid", "carry_gradient", "probe"};
    wg_var in[WG__RNN_STATES], more[NEXTRA], next[WG__RNN_STATES], outs[MAX_OUTS];
    wg_tape *body = wg_fn_begin(s->tape, l->name);
    size_t n = 0;
    for (size_t i = 0; i < l->nstates; i++)
        in[i] = wg_fn_input(body, i ? "c" : "h", s->dtype, l->states);
    wg_var x = wg_fn_input(body, "x", s->dtype, l->inputs);
    for (int k = 0; k < NEXTRA; k++) {
        wg_type type = wg_typeof(extra[k]);
        wg_shape shape = wg_shape_make(NULL, 0);
        for (int i = 1; i < type.shape.rank; i++)
            wg_shape_push(&shape, &type.shape, i);
        more[k] = absent(extra[k]) ? extra[k] : wg_fn_input(body, names[k], type.dtype, shape);
    }
    for (size_t i = 0; i < l->nstates && !absent(more[SCALED]); i++)
        in[i] = wg_scale_gradient(in[i], more[SCALED]);
    wg__rnn_step(l, x, in, next);
    if (!absent(more[PROBED]))
        next[0] = wg_add(next[0], more[PROBED]);
    wg_var y = next[0];
    if (!absent(more[MASKED])) {
        y = wg_where(more[MASKED], y, wg_f(0));
        for (size_t i = 0; i < l->nstates; i++)
            next[i] = wg_where(more[MASKED], next[i], in[i]);
    }
    for (size_t i = 0; i < l->nstates; i++)
        outs[n++] = wg_name(next[i], i ? "c_next" : "h_next");
    outs[n++] = wg_name(y, absent(more[MASKED]) ? "h_next" : "y");
    for (size_t i = 0; i < l->nstates && keep; i++)
        outs[n++] = next[i];
    return wg_fn_end(body, outs, n);
}

/* Layer number `index` (of all directions) over x: its outputs [T, B, H]. */
static wg_var run_layer(stack *s, wg__rnn_layer *l, size_t index, wg_var x, bool reverse)
{
    wg_scan_options options = WG_SCAN_DEFAULTS;
    wg_var carries[WG__RNN_STATES], outs[MAX_OUTS], xs[1 + NEXTRA] = {x};
    wg_var extra[NEXTRA] = {s->valid, s->o.carry_gradient, s->o.probe};
    bool keep = s->o.advance > 0;
    size_t nxs = 1;
    if (!absent(s->o.probe))
        extra[PROBED] = at(s->o.probe, (int64_t)index);
    for (int k = 0; k < NEXTRA; k++)
        if (!absent(extra[k]))
            xs[nxs++] = extra[k];
    for (size_t i = 0; i < l->nstates; i++)
        carries[i] = first_state(s, i, index);
    options.reverse = reverse;
    wg_fn fn = record_body(s, l, extra, keep);
    if (wg_scan(fn, carries, l->nstates, xs, nxs, &options, outs,
                l->nstates + 1 + (keep ? l->nstates : 0)))
        return wg__invalid();
    for (size_t i = 0; i < l->nstates; i++) {
        s->last[i][index] = wg_name(outs[i], i ? "c" : "h");
        if (keep)
            s->kept[i][index] = at(outs[l->nstates + 1 + i], s->o.advance - 1);
    }
    return wg_name(outs[l->nstates], "y");
}

/* Its mask on the recurrent state; none without dropout. */
static wg_var recurrent_mask(const stack *s, const wg__rnn_layer *l, size_t index)
{
    if (!s->o.training || s->o.recurrent_dropout == 0)
        return wg_none();
    wg_type type = {s->dtype, l->states};
    wg_var ones = wg_full(s->tape, type, 1), key = key_of(s, 2 * index + 1);
    return wg_dropout(ones, key, s->o.recurrent_dropout);
}

static wg_var record_direction(stack *s, size_t layer, size_t dir, wg_var x)
{
    wg_shape steps = wg_typeof(x).shape;
    size_t index = layer * s->ndirs + dir;
    wg__rnn_layer l = {.o = &s->o, .dtype = s->dtype, .nstates = s->nstates};
    l.inputs = l.states = wg_shape_make(NULL, 0);
    wg_shape_push(&l.inputs, &steps, 1);
    wg_shape_push(&l.inputs, &steps, 2);
    wg_shape_push(&l.states, &s->states, 1);
    wg_shape_push(&l.states, &s->states, 2);
    snprintf(l.name, sizeof l.name, "layer%zu%s", layer + 1, dir ? "_reverse" : "");
    if (wg_scope_push(s->tape, l.name))
        return wg__invalid();
    wg__rnn_params(s->tape, &l);
    for (size_t i = 0; i < l.nparams; i++, s->nparams++)
        if (s->nparams < s->max_params)
            s->params[s->nparams] = l.params[i];
    l.mask = recurrent_mask(s, &l, index);
    wg_var y = run_layer(s, &l, index, x, dir == 1);
    wg_scope_pop(s->tape);
    return y;
}

/* All layers: the outputs of the last one. */
static wg_var record_layers(stack *s, wg_var x)
{
    for (size_t layer = 0; layer < s->o.layers && !wg_tape_status(s->tape); layer++) {
        wg_var in = x, y[2];
        if (layer && s->o.training && s->o.dropout > 0)
            in = wg_dropout(x, key_of(s, 2 * layer * s->ndirs), s->o.dropout);
        for (size_t dir = 0; dir < s->ndirs; dir++)
            y[dir] = record_direction(s, layer, dir, in);
        y[0] = s->ndirs == 2 ? wg_concat(y, 2, 2) : y[0];
        x = layer && s->o.residual ? wg_add(y[0], x) : y[0];
    }
    return x;
}

/* ---- the stack --------------------------------------------------------------------------------- */

/* [B, H] of each layer and direction as [L * D, B, H]; `parts` is used up. */
static wg_var stacked(const stack *s, wg_var *parts)
{
    size_t n = (size_t)s->states.dim[0];
    for (size_t i = 0; i < n; i++)
        parts[i] = with_axis(parts[i]);
    return n == 1 ? parts[0] : wg_concat(parts, n, 0);
}

/* The last states of the last layer, directions side by side. */
static wg_var last_of(const stack *s)
{
    const wg_var *h = s->last[0] + (s->o.layers - 1) * s->ndirs;
    return s->ndirs == 1 ? h[0] : wg_concat(h, 2, 1);
}

static void record_stack(stack *s, wg_var x, wg_rnn_result *result)
{
    static const char *const names[] = {"state_h", "state_c"};
    const wg_var given[] = {s->o.h0, s->o.c0};
    for (size_t i = 0; i < s->nstates; i++)
        s->start[i] = s->o.stateful
                          ? wg_param(s->tape, names[i], s->dtype, s->states, wg_init_zeros())
                          : given[i];
    wg_var begun[WG__RNN_STATES] = {s->start[0], s->start[1]};
    for (size_t i = 0; i < s->nstates && s->o.stateful; i++)
        s->start[i] = wg_stop_gradient(begun[i]);
    s->zeros = zero_state(s);
    if (!absent(s->o.lengths))
        s->valid = valid_steps(s);
    result->y = record_layers(s, x);
    if (wg_tape_status(s->tape))
        return;
    result->last = last_of(s);
    result->h = stacked(s, s->last[0]);
    result->c = s->nstates == 2 ? stacked(s, s->last[1]) : wg_none();
    for (size_t i = 0; i < s->nstates && s->o.stateful; i++)
        wg_assign(begun[i], s->o.advance ? stacked(s, s->kept[i]) : i ? result->c : result->h);
}

static wg_status give_up(wg_status status, wg_var *params, size_t max_params, wg_rnn_result *result)
{
    for (size_t i = 0; i < max_params; i++)
        params[i] = wg__invalid();
    result->y = result->last = result->h = result->c = wg__invalid();
    return status;
}

wg_status wg_rnn(wg_tape *tape, wg_var x, const wg_rnn_options *options, wg_var *params,
                 size_t max_params, wg_rnn_result *result)
{
    stack s = {.tape = tape, .o = with_defaults(options), .params = params};
    if (!tape)
        return give_up(WG_INVALID, params, max_params, result);
    s.max_params = max_params;
    s.name = s.o.name ? s.o.name : "";
    s.ndirs = ndirs(&s.o);
    wg_status status = wg_tape_status(tape);
    status = status ? status : check_numbers(&s);
    status = status ? status : check_input(&s, x);
    if (status)
        return give_up(status, params, max_params, result);
    s.nstates = wg__rnn_nstates(&s.o);
    size_t n = (size_t)s.states.dim[0];
    wg_var *room = wg__calloc(tape->ctx, 2 * WG__RNN_STATES * n, sizeof *room);
    if (!room)
        return give_up(wg__tape_no_memory(tape), params, max_params, result);
    for (size_t i = 0; i < WG__RNN_STATES; i++) {
        s.last[i] = room + i * n;
        s.kept[i] = room + (WG__RNN_STATES + i) * n;
    }
    wg_mark mark = wg_tape_mark(tape);
    if (!wg_scope_push(tape, s.name)) {
        record_stack(&s, x, result);
        if (!wg_tape_status(tape))
            wg_scope_pop(tape);
    }
    wg__free(tape->ctx, room);
    status = wg_tape_status(tape);
    if (!status)
        return WG_OK;
    wg_tape_rewind(tape, mark); /* with the scope; the tape keeps its first error */
    return give_up(status, params, max_params, result);
}
