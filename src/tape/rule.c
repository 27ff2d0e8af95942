/* Frames: the rule's view of one node. */
#include <string.h>

#include "tape/rule.h"

typedef struct wg__block {
    struct wg__block *next;
    max_align_t data[];
} wg__block;

static wg_status begin(wg__rule_frame *f, wg_tape *t, const wg_tape *src, uint32_t id,
                       const uint32_t *map)
{
    memset(f, 0, sizeof *f);
    const wg__node *n = wg__node_at(src, id);
    size_t vars = 3u * n->nin + 4u * n->nout;
    wg_var *v = f->memory = wg__calloc(t->ctx, vars + 1, sizeof *v);
    f->scope = t->scope;
    f->origin = t->origin;
    f->nopen = t->open.len;
    f->rule.tape = t;
    if (!v)
        return wg__tape_no_memory(t);
    for (size_t i = 0; i < vars; i++)
        v[i] = wg_none();
    wg_var *in = v, *out = in + n->nin;
    const uint32_t *operands = wg__operands(src, n);
    for (uint16_t k = 0; k < n->nin; k++)
        in[k] = wg__var(t, map ? map[operands[k]] : operands[k]);
    for (uint32_t k = 0; k < n->nout && !map; k++)
        out[k] = wg__var(t, id + k);
    f->src = src;
    f->id = id;
    f->attrs = wg__attrs_of(src, id);
    wg_rule *r = &f->rule;
    r->nin = n->nin;
    r->nout = n->nout;
    r->in = in;
    r->out = map ? NULL : out;
    r->dout = out + n->nout;
    r->tout = out + 2 * n->nout;
    r->result = out + 3 * n->nout;
    r->din = out + 4 * n->nout;
    r->tin = r->din + n->nin;
    r->attrs = &f->attrs;
    r->data = f->attrs.op->def.data;
    r->priv = f;
    return WG_OK;
}

wg_status wg__rule_begin(wg__rule_frame *f, wg_tape *t, uint32_t id)
{
    wg_status status = begin(f, t, t, id, NULL);
    if (!status) {
        t->scope = wg__node_at(t, id)->scope;
        t->origin = id + 1;
    }
    return status;
}

wg_status wg__rule_begin_copy(wg__rule_frame *f, wg_tape *dst, const wg_tape *src, uint32_t id,
                              const uint32_t *map)
{
    return begin(f, dst, src, id, map);
}

void wg__rule_end(wg__rule_frame *f)
{
    wg_tape *t = f->rule.tape;
    t->scope = f->scope;
    t->origin = f->origin;
    while (t->open.len > f->nopen) /* a rule failed half-way */
        wg__tape_destroy(t->open.data[--t->open.len]);
    while (f->blocks) {
        wg__block *next = f->blocks->next;
        wg__free(t->ctx, f->blocks);
        f->blocks = next;
    }
    wg__free(t->ctx, f->memory);
    f->memory = NULL;
}

/* Composites made of composites nest no deeper than this. */
enum { MAX_EXPANDING = 64 };

wg_status wg__rule_expand(wg__rule_frame *f)
{
    wg_rule *r = &f->rule;
    const wg__op *op = f->attrs.op;
    const wg_var *out = r->out;
    if (r->tape->expanding > MAX_EXPANDING)
        return wg__tape_fail(r->tape, WG_INVALID, "%s: its expansion never ends", op->name);
    r->out = NULL; /* an expansion stands for its outputs: it cannot use them */
    op->def.expand(r);
    r->out = out;
    if (wg_tape_status(r->tape))
        return wg_tape_status(r->tape);
    for (size_t k = 0; k < r->nout; k++) {
        wg_type want = *wg__type_at(f->src, f->id + (uint32_t)k);
        if (wg__is_literal(r->result[k]))
            r->result[k] = wg_full(r->tape, want, wg__literal_value(r->result[k]));
        wg_type got = wg_typeof(r->result[k]);
        if (!wg__type_equal(&want, &got))
            return wg__tape_fail(r->tape, WG_INTERNAL,
                                 "%s: its expansion gives another type than infer for output %zu",
                                 op->name, k);
    }
    return WG_OK;
}

void *wg_rule_alloc(const wg_rule *r, size_t count, size_t size)
{
    wg__rule_frame *f = r->priv;
    size_t bytes;
    wg__block *b = wg__mul_size(count, size, &bytes) && bytes < SIZE_MAX - sizeof *b
                       ? wg__calloc(r->tape->ctx, 1, sizeof *b + bytes)
                       : NULL;
    if (!b) {
        wg__tape_no_memory(r->tape);
        return NULL;
    }
    b->next = f->blocks;
    f->blocks = b;
    return b->data;
}

void wg_rule_fail(const wg_rule *r, wg_status status, const char *format, ...)
{
    va_list args;
    wg__str text = wg__str_make(r->tape->ctx);
    va_start(args, format);
    wg__str_addv(&text, format, args);
    va_end(args);
    wg__tape_fail(r->tape, status, "%s", wg__str_text(&text));
    wg__str_free(&text);
}
