/* Sessions: one running of a program. All memory that a run needs is taken before it; inputs and
 * params are read where they are; a run lets the executor compute, and commits the assigned values
 * last. */
#include <math.h>
#include <string.h>

#include "exec/exec.h"

/* ---- making ------------------------------------------------------------------------------------ */

/* Bools may be any byte where they come from; kernels take 0 and 1: they are always copied. Other
 * inputs are read where they are, unless that is asked for or they are misaligned. */
static bool always_copied(const wg_type *type) { return type->dtype == WG_BOOL; }

/* Adds `bytes` in a block of its own; SIZE_MAX: too large. */
static size_t add_block(size_t sum, size_t bytes)
{
    size_t aligned = (bytes + 63) & ~(size_t)63;
    return bytes > SIZE_MAX - 63 || sum > SIZE_MAX - aligned ? SIZE_MAX : sum + aligned;
}

size_t wg__code_bytes(const wg__code *c)
{
    size_t sum = sizeof(wg_session) + c->ninputs * (sizeof(void *) + sizeof(bool)) +
                 c->nparams * sizeof(size_t);
    for (size_t i = 0; i < c->ninputs; i++) {
        const wg_type *type = wg__type_at(c->tape, c->bound[i]);
        if (always_copied(type))
            sum = add_block(sum, wg__type_bytes(type));
    }
    return add_block(sum, c->executor->bytes(c));
}

size_t wg__session_bytes(const wg_program *p) { return wg__code_bytes(p->code); }

/* Room for a copy of an input. */
static void *room(wg_session *s, size_t input)
{
    if (!s->copies[input])
        s->copies[input] =
            wg__alloc_aligned(s->ctx, wg__type_bytes(&s->program->inputs.data[input].type));
    return s->copies[input];
}

static bool allocate(wg_session *s, bool own_inputs)
{
    const wg_program *p = s->program;
    s->items = wg__calloc(s->ctx, p->params.len, sizeof *s->items);
    s->given = wg__calloc(s->ctx, p->ninputs, sizeof *s->given);
    s->copies = wg__calloc(s->ctx, p->ninputs, sizeof *s->copies);
    if ((s->frame = wg__alloc_aligned(s->ctx, p->code->executor->bytes(p->code))))
        p->code->executor->open(s);
    bool good = s->items && s->given && s->copies && s->frame;
    for (size_t i = 0; good && own_inputs && i < p->ninputs; i++)
        good = !always_copied(&p->inputs.data[i].type) || room(s, i);
    s->missing = p->ninputs;
    return good;
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
    s->version = UINT64_MAX;
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
    for (size_t i = 0; session->copies && i < session->program->ninputs; i++)
        wg__free_aligned(ctx, session->copies[i]);
    wg__free(ctx, session->copies);
    wg__free(ctx, session->profile);
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
    wg__add_type(&type, s->ctx, &input->type);
    wg__fail(&s->error, WG_SHAPE, "bind \"%s\": %zu bytes given, %s has %zu", input->name, bytes,
             wg__str_text(&type), wg__type_bytes(&input->type));
    wg__str_free(&type);
    return WG_SHAPE;
}

static bool is_aligned(const void *data, wg_dtype dtype)
{
    return (uintptr_t)data % wg_dtype_size(dtype) == 0;
}

static wg_status bind(wg_session *s, size_t index, const void *data, size_t bytes, bool copy)
{
    const wg__port *input = &s->program->inputs.data[index];
    if (bytes != wg__type_bytes(&input->type))
        return bind_size(s, input, bytes);
    if (!data && bytes)
        return wg__fail(&s->error, WG_INVALID, "bind \"%s\": data is NULL", input->name);
    if (index >= s->program->ninputs)
        return WG_OK; /* of the compiled tape, but not needed */
    if (copy || !data || always_copied(&input->type) || !is_aligned(data, input->type.dtype)) {
        void *to = room(s, index);
        if (!to)
            return wg__fail(&s->error, WG_NO_MEMORY, "bind \"%s\": out of memory", input->name);
        wg__copy_elements(&input->type, to, data);
        data = to;
    }
    wg__session_point(s, index, data);
    return WG_OK;
}

void wg__session_point(wg_session *session, size_t input, const void *data)
{
    session->bound[input] = data;
    session->missing -= !session->given[input];
    session->given[input] = true;
}

static wg_status bind_var(wg_session *s, wg_var input, const void *data, size_t bytes, bool copy)
{
    if (!s)
        return WG_INVALID;
    size_t i = wg__port_find(&s->program->inputs, s->program->source, input);
    if (i == SIZE_MAX)
        return wg__fail(&s->error, WG_NOT_FOUND, "bind: the var is no input of the compiled tape");
    return bind(s, i, data, bytes, copy);
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

static wg_status bind_name(wg_session *s, const char *name, const void *data, size_t bytes,
                           bool copy)
{
    if (!s)
        return WG_INVALID;
    size_t i = wg__port_named(&s->program->inputs, name);
    return i == SIZE_MAX ? bind_unknown(s, name) : bind(s, i, data, bytes, copy);
}

wg_status wg_bind(wg_session *session, wg_var input, const void *data, size_t bytes)
{
    return bind_var(session, input, data, bytes, false);
}

wg_status wg_bind_copy(wg_session *session, wg_var input, const void *data, size_t bytes)
{
    return bind_var(session, input, data, bytes, true);
}

wg_status wg_bind_name(wg_session *session, const char *input, const void *data, size_t bytes)
{
    return bind_name(session, input, data, bytes, false);
}

wg_status wg_bind_copy_name(wg_session *session, const char *input, const void *data, size_t bytes)
{
    return bind_name(session, input, data, bytes, true);
}

/* ---- running -------------------------------------------------------------------------------------- */

static wg_status tell_missing(wg_session *s)
{
    size_t i = 0;
    while (s->given[i])
        i++;
    const wg__port *input = &s->program->inputs.data[i];
    wg__str type = wg__str_make(s->ctx);
    wg__add_type(&type, s->ctx, &input->type);
    wg__fail(&s->error, WG_UNBOUND, "run: input \"%s\", %s, has no value: bind it first",
             input->name, wg__str_text(&type));
    wg__str_free(&type);
    return WG_UNBOUND;
}

/* Reads see the state's tensors as they are now. Their types may have changed since the session
 * was made (wg_state_set, wg_state_load). */
static wg_status bind_params(wg_session *s)
{
    const wg_program *p = s->program;
    for (size_t i = 0; i < p->params.len; i++) {
        const wg_tensor *tensor = s->state->items.data[s->items[i]];
        if (!wg__type_equal(&tensor->type, &p->params.data[i].type))
            return wg__fail(&s->error, WG_SHAPE, "run: param \"%s\" has changed its type",
                            p->params.data[i].name);
        s->bound[p->ninputs + i] = tensor->data;
    }
    s->version = s->state->version;
    return WG_OK;
}

static const void *root(const wg_session *s, size_t index)
{
    return s->program->code->executor->root(s, index);
}

/* Nothing here can fail. */
static void commit(wg_session *s)
{
    const wg__code *code = s->program->code;
    for (size_t e = 0; e < code->neffects; e++) {
        if (code->in_place && code->in_place[e])
            continue;
        wg_tensor *tensor = s->state->items.data[s->items[code->targets[e]]];
        memcpy(tensor->data, root(s, code->nouts + e), tensor->bytes);
    }
}

/* With the state's lock held, unless nothing of it is used. */
static wg_status run(wg_session *s)
{
    const wg__code *code = s->program->code;
    if (code->nparams && s->version != s->state->version) {
        wg_status status = bind_params(s);
        if (status)
            return status;
    }
    wg_status status = code->executor->run(s);
    if (status)
        return status;
    commit(s);
    s->ran = true;
    s->runs++;
    return WG_OK;
}

static wg_status run_locked(wg_session *s)
{
    pthread_rwlock_t *lock = &s->state->lock;
    int busy =
        s->program->code->neffects ? pthread_rwlock_wrlock(lock) : pthread_rwlock_rdlock(lock);
    if (busy)
        return wg__fail(&s->error, WG_INTERNAL, "run: the state cannot be locked");
    wg_status status = run(s);
    pthread_rwlock_unlock(lock);
    return status;
}

wg_status wg_run(wg_session *session)
{
    if (!session)
        return WG_INVALID;
    session->ran = session->told = false;
    if (session->missing)
        return tell_missing(session);
    return session->program->code->nparams ? run_locked(session) : run(session);
}

/* ---- outputs ----------------------------------------------------------------------------------------- */

const void *wg_output_at(const wg_session *session, size_t index, wg_type *type, size_t *bytes)
{
    if (!session || !session->ran || index >= session->program->outs.len)
        return NULL;
    const wg_type *of = &session->program->outs.data[index].type;
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
