/* States: named parameter tensors, owned apart from any program, so that training, evaluation and
 * sampling programs can share one. */
#include <string.h>

#include "exec/exec.h"
#include "tensor/safetensors.h"

wg_state *wg_state_new(wg_ctx *ctx, uint64_t seed)
{
    wg_state *s = ctx ? wg__calloc(ctx, 1, sizeof *s) : NULL;
    if (!s)
        return NULL;
    if (pthread_rwlock_init(&s->lock, NULL)) {
        wg__free(ctx, s);
        return NULL;
    }
    wg__ctx_ref(ctx);
    s->ctx = ctx;
    s->seed = seed;
    atomic_init(&s->refs, 1);
    wg__pool_init(&s->names, ctx);
    s->error.text = wg__str_make(ctx);
    return s;
}

void wg__state_ref(wg_state *state) { atomic_fetch_add(&state->refs, 1); }

void wg_state_free(wg_state *state)
{
    if (!state || atomic_fetch_sub(&state->refs, 1) != 1)
        return;
    wg_ctx *ctx = state->ctx;
    for (size_t i = 0; i < state->items.len; i++)
        wg_tensor_free(state->items.data[i]);
    wg__vec_free(ctx, &state->items);
    wg__pool_free(&state->names);
    wg__str_free(&state->error.text);
    pthread_rwlock_destroy(&state->lock);
    wg__free(ctx, state);
    wg__ctx_unref(ctx);
}

wg_status wg_state_status(const wg_state *state)
{
    return state ? state->error.status : WG_NO_MEMORY;
}

const char *wg_state_error(const wg_state *state)
{
    return state ? wg__error_text(&state->error) : wg_status_text(WG_NO_MEMORY);
}

void wg__state_fail(wg_state *state, wg_status status, const char *message)
{
    if (!state)
        return;
    pthread_rwlock_wrlock(&state->lock);
    wg__fail(&state->error, status, "%s", message);
    pthread_rwlock_unlock(&state->lock);
}

/* ---- reading ---------------------------------------------------------------------------------- */

size_t wg__state_find(const wg_state *state, const char *name)
{
    uint32_t id = wg__pool_find(&state->names, name, strlen(name));
    return id ? id - 1 : SIZE_MAX;
}

size_t wg_state_count(const wg_state *state) { return state ? state->items.len : 0; }

const char *wg_state_name(const wg_state *state, size_t index)
{
    if (!state || index >= state->items.len)
        return NULL;
    return wg__pool_get(&state->names, (uint32_t)index + 1, NULL);
}

const wg_tensor *wg_state_get(const wg_state *state, const char *name)
{
    size_t i = state && name ? wg__state_find(state, name) : SIZE_MAX;
    return i == SIZE_MAX ? NULL : state->items.data[i];
}

/* ---- changing ---------------------------------------------------------------------------------- */

static wg_status no_memory(wg_state *s)
{
    return wg__fail(&s->error, WG_NO_MEMORY, "out of memory");
}

/* Takes `tensor` over in place of *item, whose address stays when the types are the same. */
static void replace(wg_tensor **item, wg_tensor *tensor)
{
    if (wg__type_equal(&(*item)->type, &tensor->type)) {
        memcpy((*item)->data, tensor->data, tensor->bytes);
    } else {
        wg_tensor *old = *item;
        *item = tensor;
        tensor = old;
    }
    wg_tensor_free(tensor);
}

/* Takes `tensor` over, as a new entry or instead of the one of that name. An empty name stands for
 * no entry of the pool and is refused. */
static wg_status put(wg_state *s, const char *name, wg_tensor *tensor)
{
    if (!tensor)
        return no_memory(s);
    s->version++;
    size_t i = wg__state_find(s, name);
    if (i != SIZE_MAX) {
        replace(&s->items.data[i], tensor);
        return WG_OK;
    }
    if (!*name || !wg__vec_reserve(s->ctx, &s->items, 1) ||
        !wg__pool_intern(&s->names, name, strlen(name))) {
        wg_tensor_free(tensor);
        return *name ? no_memory(s) : wg__fail(&s->error, WG_INVALID, "a name is needed");
    }
    s->items.data[s->items.len++] = tensor;
    return WG_OK;
}

wg_status wg_state_set(wg_state *state, const char *name, wg_dtype dtype, wg_shape shape,
                       const void *data)
{
    if (!state)
        return WG_INVALID;
    if (!name || !wg__shape_ok(&shape, dtype, NULL, NULL))
        return wg__fail(&state->error, name ? WG_SHAPE : WG_INVALID,
                        "state set \"%s\": a name and a possible type are needed",
                        name ? name : "");
    wg_tensor *tensor = wg_tensor_new(state->ctx, dtype, shape, data);
    pthread_rwlock_wrlock(&state->lock);
    wg_status status = put(state, name, tensor);
    pthread_rwlock_unlock(&state->lock);
    return status;
}

/* ---- parameters of a program ---------------------------------------------------------------------- */

static wg_status check_type(wg_state *s, const wg__port *param)
{
    size_t i = wg__state_find(s, param->name);
    if (i == SIZE_MAX || wg__type_equal(&s->items.data[i]->type, &param->type))
        return WG_OK;
    wg__str have = wg__str_make(s->ctx), want = wg__str_make(s->ctx);
    wg__add_type(&have, s->ctx, &s->items.data[i]->type);
    wg__add_type(&want, s->ctx, &param->type);
    wg_status status = s->items.data[i]->type.dtype == param->type.dtype ? WG_SHAPE : WG_DTYPE;
    wg__fail(&s->error, status, "param \"%s\" is %s in the state; the program needs %s",
             param->name, wg__str_text(&have), wg__str_text(&want));
    wg__str_free(&have);
    wg__str_free(&want);
    return status;
}

static wg_status add(wg_state *s, const wg_program *p, const wg__port *param)
{
    if (wg__state_find(s, param->name) != SIZE_MAX)
        return WG_OK;
    wg_init init = wg__init_of(p->code->tape, param->id);
    wg_tensor *tensor = wg_tensor_new(s->ctx, param->type.dtype, param->type.shape, NULL);
    wg__str why = wg__str_make(s->ctx);
    wg_status status = WG_OK;
    if (tensor && !wg__init_fill(&init, &param->type, s->seed, param->name, tensor->data, &why)) {
        status =
            wg__fail(&s->error, WG_INVALID, "param \"%s\": %s", param->name, wg__str_text(&why));
        wg_tensor_free(tensor);
    } else {
        status = put(s, param->name, tensor);
    }
    wg__str_free(&why);
    return status;
}

static wg_status init_locked(wg_state *s, const wg_program *p)
{
    wg_status status = WG_OK;
    for (size_t i = 0; i < p->params.len && status == WG_OK; i++)
        status = check_type(s, &p->params.data[i]);
    for (size_t i = 0; i < p->params.len && status == WG_OK; i++)
        status = add(s, p, &p->params.data[i]);
    return status;
}

wg_status wg_state_init(wg_state *state, const wg_program *program)
{
    if (!state)
        return WG_INVALID;
    if (!program)
        return wg__fail(&state->error, WG_INVALID, "state init: the program is NULL");
    pthread_rwlock_wrlock(&state->lock);
    wg_status status = init_locked(state, program);
    pthread_rwlock_unlock(&state->lock);
    return status;
}

/* ---- files ------------------------------------------------------------------------------------------- */

/* A failed file call appends its reason to `why`. */
static wg_status tell_file(wg_state *s, wg_status status, wg__str *why)
{
    if (status)
        wg__fail(&s->error, status, "%s", why->len ? wg__str_text(why) : wg_status_text(status));
    wg__str_free(why);
    return status;
}

static wg_status save_locked(wg_state *s, const char *path)
{
    size_t n = s->items.len;
    wg__named *items = wg__calloc(s->ctx, n, sizeof *items);
    if (!items)
        return no_memory(s);
    for (size_t i = 0; i < n; i++) /* the writer only reads the names */
        items[i] = (wg__named){(char *)wg_state_name(s, i), s->items.data[i]};
    wg__str why = wg__str_make(s->ctx);
    wg_status status = wg__safetensors_write(s->ctx, path, items, n, &why);
    wg__free(s->ctx, items);
    return tell_file(s, status, &why);
}

wg_status wg_state_save(wg_state *state, const char *path)
{
    if (!state)
        return WG_INVALID;
    if (!path)
        return wg__fail(&state->error, WG_INVALID, "state save: the path is NULL");
    pthread_rwlock_rdlock(&state->lock);
    wg_status status = save_locked(state, path);
    pthread_rwlock_unlock(&state->lock);
    return status;
}

/* The names of the state and, behind them, those of `list` that are new. */
static bool join_names(wg_state *s, const wg__named_list *list, wg__pool *names)
{
    bool good = true;
    wg__pool_init(names, s->ctx);
    for (size_t i = 0; i < s->items.len && good; i++) {
        const char *name = wg_state_name(s, i);
        good = wg__pool_intern(names, name, strlen(name)) != 0;
    }
    for (size_t i = 0; i < list->items.len && good; i++) {
        const char *name = list->items.data[i].name;
        good = wg__pool_intern(names, name, strlen(name)) != 0;
    }
    if (!good)
        wg__pool_free(names);
    return good;
}

/* All or nothing: what can fail comes before the first change. Takes the tensors out of `list`. */
static wg_status put_all(wg_state *s, wg__named_list *list)
{
    wg__pool names;
    for (size_t i = 0; i < list->items.len; i++)
        if (!*list->items.data[i].name)
            return wg__fail(&s->error, WG_PARSE, "state load: a tensor has no name");
    if (!wg__vec_reserve(s->ctx, &s->items, list->items.len) || !join_names(s, list, &names))
        return no_memory(s);
    s->version++;
    wg__pool_free(&s->names);
    s->names = names;
    for (size_t i = 0; i < list->items.len; i++) {
        wg__named *from = &list->items.data[i];
        size_t at = wg__state_find(s, from->name);
        if (at == s->items.len)
            s->items.data[s->items.len++] = from->tensor;
        else
            replace(&s->items.data[at], from->tensor);
        from->tensor = NULL;
    }
    return WG_OK;
}

wg_status wg_state_load(wg_state *state, const char *path)
{
    if (!state)
        return WG_INVALID;
    if (!path)
        return wg__fail(&state->error, WG_INVALID, "state load: the path is NULL");
    wg__named_list list = {{NULL, 0, 0}};
    wg__str why = wg__str_make(state->ctx);
    wg_status status = wg__safetensors_read(state->ctx, path, &list, &why);
    if (tell_file(state, status, &why))
        return status;
    pthread_rwlock_wrlock(&state->lock);
    status = put_all(state, &list);
    pthread_rwlock_unlock(&state->lock);
    wg__named_free(state->ctx, &list);
    return status;
}
