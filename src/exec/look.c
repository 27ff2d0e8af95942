/* Looking at programs: their tape, ports and size. */
#include "exec/exec.h"

wg_ctx *wg_program_ctx(const wg_program *program) { return program ? program->ctx : NULL; }

/* The code's tape with the literals of this program. Ids stay. */
static wg_tape *copy_tape(const wg_program *p)
{
    const wg_tape *from = p->code->tape;
    wg_tape *t = wg_tape_new(p->ctx);
    uint32_t *map = wg__copy_map(p->ctx, from);
    wg__copy c = {.dst = t, .src = from, .map = map, .all = true};
    bool good =
        t && map && !wg__copy_nodes(&c) && wg__vec_reserve(p->ctx, &t->effects, from->effects.len);
    const char *literal = p->literals;
    for (size_t i = 0; good && i < from->effects.len; i++)
        t->effects.data[t->effects.len++] = from->effects.data[i];
    for (uint32_t i = 0; good && i < t->nodes.len; i++)
        if (wg__node_at(t, i)->op == WG__OP_LITERAL) {
            if (wg__literal_is_slot(t, i))
                t->nodes.data[i].u.f = wg__load(wg__type_at(t, i)->dtype, literal, 0);
            literal += sizeof(int64_t);
        }
    wg__free(p->ctx, map);
    if (good)
        return t;
    wg__tape_destroy(t);
    return NULL;
}

const wg_tape *wg_program_tape(const wg_program *program)
{
    if (!program || !program->own_literals)
        return program ? program->code->tape : NULL;
    wg_program *p = (wg_program *)program; /* what is made on demand is not seen to change */
    pthread_mutex_lock(&p->ctx->lock);
    wg_tape *tape = p->own_tape;
    pthread_mutex_unlock(&p->ctx->lock);
    if (tape || !(tape = copy_tape(p)))
        return tape;
    pthread_mutex_lock(&p->ctx->lock);
    wg_tape *other = p->own_tape; /* another thread's */
    if (!other)
        p->own_tape = tape;
    pthread_mutex_unlock(&p->ctx->lock);
    if (other)
        wg__tape_destroy(tape);
    return other ? other : tape;
}

size_t wg_program_ninputs(const wg_program *program) { return program ? program->ninputs : 0; }

size_t wg_program_nparams(const wg_program *program) { return program ? program->params.len : 0; }

size_t wg_program_noutputs(const wg_program *program) { return program ? program->outs.len : 0; }

static const char *port_at(const wg__ports *ports, size_t len, size_t index, wg_type *type)
{
    if (index >= len)
        return NULL;
    if (type)
        *type = ports->data[index].type;
    return ports->data[index].name;
}

const char *wg_program_input(const wg_program *program, size_t index, wg_type *type)
{
    return program ? port_at(&program->inputs, program->ninputs, index, type) : NULL;
}

const char *wg_program_param(const wg_program *program, size_t index, wg_type *type)
{
    return program ? port_at(&program->params, program->params.len, index, type) : NULL;
}

size_t wg_program_bytes(const wg_program *program)
{
    return program ? wg__session_bytes(program) : 0;
}
