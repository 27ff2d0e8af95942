/* Sessions: one running of a program. All memory is taken when a session is made; a run binds
 * values by pointer, lets the executor compute, and commits the assigned values last. */
#include <math.h>
#include <string.h>

#include "exec/exec.h"

/* ---- making ------------------------------------------------------------------------------------ */

static size_t aligned(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

/* Where the copies of inputs lie; returns their size in all. SIZE_MAX: too large. */
static size_t place_inputs(const wg_program *p, size_t *at)
{
    size_t total = 0;
    for (size_t i = 0; i < p->ninputs; i++) {
        size_t bytes = wg__type_bytes(p->inputs.data[i].type);
        if (at)
            at[i] = total;
        if (bytes > SIZE_MAX / 4 || total > SIZE_MAX / 4)
            return SIZE_MAX;
        total += aligned(bytes);
    }
    return total;
}

size_t wg__session_bytes(const wg_program *p, bool own_inputs)
{
    size_t inputs = own_inputs ? place_inputs(p, NULL) : 0;
    size_t tables = sizeof(wg_session) + p->ninputs * (sizeof(size_t) + sizeof(bool)) +
                    p->params.len * sizeof(size_t);
    size_t frame = wg__plan_main(&p->plans)->bytes, sum;
    if (__builtin_add_overflow(inputs, frame, &sum) || __builtin_add_overflow(sum, tables, &sum))
        return SIZE_MAX;
    return sum;
}

static bool allocate(wg_session *s, bool own_inputs)
{
    const wg_program *p = s->program;
    const wg__plan *plan = wg__plan_main(&p->plans);
    s->items = wg__calloc(s->ctx, p->params.len, sizeof *s->items);
    s->given = wg__calloc(s->ctx, p->ninputs, sizeof *s->given);
    s->input_at = wg__calloc(s->ctx, p->ninputs, sizeof *s->input_at);
    void *memory = wg__alloc_aligned(s->ctx, plan->bytes);
    if (memory)
        s->frame = wg__frame_make(plan, s, memory);
    if (!s->items || !s->given || !s->input_at || !memory)
        return false;
    size_t bytes = place_inputs(p, s->input_at);
    return !own_inputs || (bytes != SIZE_MAX && (s->inputs = wg__alloc_aligned(s->ctx, bytes)));
}

static void find_params(wg_session *s)
{
    const wg__ports *params = &s->program->params;
    pthread_rwlock_rdlock(&s->state->lock);
    for (size_t i = 0; i < params->len; i++)
        s->items[i] = wg__state_find(s->state, params->data[i].name);
    pthread_rwlock_unlock(&s->state->lock);
}

wg_session *wg__session_make(wg_program *program, wg_state *state, bool own_inputs)
{
    wg_ctx *ctx = program->ctx;
    wg_session *s = wg__calloc(ctx, 1, sizeof *s);
    if (!s)
        goto failed;
    s->ctx = ctx;
    wg__ctx_ref(ctx);
    s->error.text = wg__str_make(ctx);
    s->program = program;
    wg__program_ref(program);
    if (!(s->state = state))
        s->state = wg_state_new(ctx, 0);
    else
        wg__state_ref(state);
    if (!s->state || !allocate(s, own_inputs))
        goto failed;
    if (wg_state_init(s->state, program))
        goto done;
    find_params(s);
    return s;
failed:
    wg__state_fail(state, WG_NO_MEMORY, "session: out of memory");
done:
    wg_session_free(s);
    return NULL;
}

wg_session *wg_session_new(wg_program *program, wg_state *state)
{
    if (program)
        return wg__session_make(program, state, true);
    wg__state_fail(state, WG_INVALID, "session: the program is NULL");
    return NULL;
}

void wg_session_free(wg_session *session)
{
    if (!session)
        return;
    wg_ctx *ctx = session->ctx;
    wg__free_aligned(ctx, session->frame);
    wg__free_aligned(ctx, session->inputs);
    wg__free(ctx, session->input_at);
    wg__free(ctx, session->given);
    wg__free(ctx, session->items);
    wg__str_free(&session->error.text);
    wg_program_free(session->program);
    wg_state_free(session->state);
    wg__free(ctx, session);
    wg__ctx_unref(ctx);
}

wg_state *wg_session_state(wg_session *session) { return session ? session->state : NULL; }

wg_status wg_session_status(const wg_session *session)
{
    return session ? session->error.status : WG_NO_MEMORY;
}

const char *wg_session_error(const wg_session *session)
{
    return session ? wg__error_text(&session->error) : wg_status_text(WG_NO_MEMORY);
}

/* ---- binding ------------------------------------------------------------------------------------- */

static wg_status bind_size(wg_session *s, const wg__port *input, size_t bytes)
{
    wg__str type = wg__str_make(s->ctx);
    wg__add_type(&type, s->ctx, input->type);
    wg__fail(&s->error, WG_SHAPE, "bind \"%s\": %zu bytes given, %s has %zu", input->name, bytes,
             wg__str_text(&type), wg__type_bytes(input->type));
    wg__str_free(&type);
    return WG_SHAPE;
}

static wg_status bind(wg_session *s, size_t index, const void *data, size_t bytes)
{
    const wg__port *input = &s->program->inputs.data[index];
    if (bytes != wg__type_bytes(input->type))
        return bind_size(s, input, bytes);
    if (!data && bytes)
        return wg__fail(&s->error, WG_INVALID, "bind \"%s\": data is NULL", input->name);
    if (index >= s->program->ninputs)
        return WG_OK; /* of the compiled tape, but not needed */
    char *copy = s->inputs + s->input_at[index];
    wg__copy_elements(input->type, copy, data);
    wg__session_point(s, index, copy);
    return WG_OK;
}

void wg__session_point(wg_session *session, size_t input, const void *data)
{
    session->frame->bound[input] = data;
    session->given[input] = true;
}

wg_status wg_bind(wg_session *session, wg_var input, const void *data, size_t bytes)
{
    if (!session)
        return WG_INVALID;
    size_t i = wg__port_find(&session->program->inputs, session->program->source, input);
    if (i == SIZE_MAX)
        return wg__fail(&session->error, WG_NOT_FOUND,
                        "bind: the var is no input of the compiled tape");
    return bind(session, i, data, bytes);
}

static wg_status bind_unknown(wg_session *s, const char *name)
{
    const wg__ports *inputs = &s->program->inputs;
    wg__str names = wg__str_make(s->ctx);
    for (size_t i = 0; i < s->program->ninputs; i++)
        wg__str_addf(&names, "%s\"%s\"", i ? ", " : "", inputs->data[i].name);
    wg__fail(&s->error, WG_NOT_FOUND, "bind: there is no input \"%s\"; there are: %s",
             name ? name : "", s->program->ninputs ? wg__str_text(&names) : "none");
    wg__str_free(&names);
    return WG_NOT_FOUND;
}

wg_status wg_bind_name(wg_session *session, const char *input, const void *data, size_t bytes)
{
    if (!session)
        return WG_INVALID;
    size_t i = wg__port_named(&session->program->inputs, input);
    return i == SIZE_MAX ? bind_unknown(session, input) : bind(session, i, data, bytes);
}

/* ---- running -------------------------------------------------------------------------------------- */

static wg_status check_bound(wg_session *s)
{
    for (size_t i = 0; i < s->program->ninputs; i++) {
        if (s->given[i])
            continue;
        const wg__port *input = &s->program->inputs.data[i];
        wg__str type = wg__str_make(s->ctx);
        wg__add_type(&type, s->ctx, input->type);
        wg__fail(&s->error, WG_UNBOUND, "run: input \"%s\", %s, has no value: bind it first",
                 input->name, wg__str_text(&type));
        wg__str_free(&type);
        return WG_UNBOUND;
    }
    return WG_OK;
}

/* Reads see the state's tensors as they are now. Their types may have changed since the session
 * was made (wg_state_set, wg_state_load). */
static wg_status bind_params(wg_session *s)
{
    const wg_program *p = s->program;
    for (size_t i = 0; i < p->params.len; i++) {
        const wg_tensor *tensor = s->state->items.data[s->items[i]];
        if (!wg__type_equal(&tensor->type, p->params.data[i].type))
            return wg__fail(&s->error, WG_SHAPE, "run: param \"%s\" has changed its type",
                            p->params.data[i].name);
        s->frame->bound[p->ninputs + i] = tensor->data;
    }
    return WG_OK;
}

static const char *root(const wg_session *s, size_t index)
{
    return (const char *)s->frame + s->frame->plan->root_at[index];
}

/* Nothing here can fail. */
static void commit(wg_session *s)
{
    const wg_program *p = s->program;
    for (size_t e = 0; e < p->neffects; e++) {
        wg_tensor *tensor = s->state->items.data[s->items[p->targets[e]]];
        memcpy(tensor->data, root(s, p->outs.len + e), tensor->bytes);
    }
}

static wg_status run_locked(wg_session *s)
{
    wg_status status = bind_params(s);
    if (status == WG_OK)
        status = s->program->executor->run(s);
    if (status == WG_OK)
        commit(s);
    return status;
}

wg_status wg_run(wg_session *session)
{
    if (!session)
        return WG_INVALID;
    session->ran = session->told = false;
    wg_status status = check_bound(session);
    if (status)
        return status;
    pthread_rwlock_t *lock = &session->state->lock;
    int busy =
        session->program->neffects ? pthread_rwlock_wrlock(lock) : pthread_rwlock_rdlock(lock);
    if (busy)
        return wg__fail(&session->error, WG_INTERNAL, "run: the state cannot be locked");
    status = run_locked(session);
    pthread_rwlock_unlock(lock);
    session->ran = status == WG_OK;
    return status;
}

/* ---- outputs ----------------------------------------------------------------------------------------- */

const void *wg_output_at(const wg_session *session, size_t index, wg_type *type, size_t *bytes)
{
    if (!session || !session->ran || index >= session->program->outs.len)
        return NULL;
    const wg_type *of = session->program->outs.data[index].type;
    if (type)
        *type = *of;
    if (bytes)
        *bytes = wg__type_bytes(of);
    return root(session, index);
}

const void *wg_output(const wg_session *session, wg_var out, wg_type *type, size_t *bytes)
{
    if (!session)
        return NULL;
    const wg_program *p = session->program;
    return wg_output_at(session, wg__port_find(&p->outs, p->source, out), type, bytes);
}

double wg_scalar(const wg_session *session, wg_var out)
{
    wg_type type;
    const void *data = wg_output(session, out, &type, NULL);
    return data && wg_shape_count(type.shape) == 1 ? wg__load(type.dtype, data, 0) : NAN;
}
