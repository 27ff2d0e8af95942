/* Parsing: text to syntax tree (grammar.y) to tape (replay.c), and the graph that holds the result
 * together. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "text/replay.h"

/* ---- graphs -------------------------------------------------------------------------------- */

static wg_graph *graph_new(wg_ctx *ctx)
{
    wg_graph *g = wg__calloc(ctx, 1, sizeof *g);
    if (!g)
        return NULL;
    wg__ctx_ref(ctx);
    g->ctx = ctx;
    wg__pool_init(&g->names.keys, ctx);
    g->tape = wg_tape_new(ctx);
    if (!g->tape) {
        wg_graph_free(g);
        return NULL;
    }
    return g;
}

void wg_graph_free(wg_graph *graph)
{
    if (!graph)
        return;
    wg_ctx *ctx = graph->ctx;
    wg_tape_free(graph->tape);
    wg__pool_free(&graph->names.keys);
    wg__vec_free(ctx, &graph->names.entries);
    wg__free(ctx, graph->outs);
    wg__free(ctx, graph->name);
    wg__free(ctx, graph);
    wg__ctx_unref(ctx);
}

const char *wg_graph_name(const wg_graph *graph) { return graph ? graph->name : ""; }

wg_tape *wg_graph_tape(wg_graph *graph) { return graph ? graph->tape : NULL; }

size_t wg_graph_noutputs(const wg_graph *graph) { return graph ? graph->nouts : 0; }

const wg_var *wg_graph_outputs(const wg_graph *graph) { return graph ? graph->outs : NULL; }

/* The first value whose "scope/name" is `name`. */
static wg_var find_full_name(const wg_tape *t, const char *name)
{
    wg_var found = wg__invalid();
    size_t most = strlen(name);
    wg__str full = wg__str_make(t->ctx);
    for (uint32_t id = 0; id < t->nodes.len && !wg_ok(found); id++) {
        const wg__node *n = wg__node_at(t, id);
        const char *own = wg__text(t, n->name);
        size_t size = strlen(own);
        if (!size || size > most || strcmp(name + most - size, own))
            continue;
        wg__str_clear(&full);
        wg__full_name(t, id, &full);
        if (!strcmp(wg__str_text(&full), name))
            found = wg__var(t, id);
    }
    wg__str_free(&full);
    return found;
}

wg_var wg_graph_find(const wg_graph *graph, const char *name)
{
    const wg__named *named = graph && name ? wg__names_find(&graph->names, name) : NULL;
    if (named)
        return named->var;
    return graph && name && *name ? find_full_name(graph->tape, name) : wg__invalid();
}

/* ---- parsing ------------------------------------------------------------------------------- */

/* The tree and what it makes; false with p->status. */
static bool parse(wg__parser *p, wg_graph **out)
{
    wg_graph *g = NULL;
    bool done = wg__parse_tree(p);
    if (done && !(g = graph_new(p->ctx)))
        done = wg__complain_memory(p);
    done = done && wg__replay(p, g);
    wg__arena_free(&p->arena);
    if (!done) {
        wg_graph_free(g);
        g = NULL;
    }
    *out = g;
    return done;
}

static void hand_over(wg__str *message, char **error)
{
    if (error)
        *error = wg__str_take(message);
    wg__str_free(message);
}

wg_graph *wg_parse(wg_ctx *ctx, const char *text, size_t size, const char *file, char **error)
{
    wg_graph *g = NULL;
    if (error)
        *error = NULL;
    if (!ctx || (!text && size))
        return NULL;
    wg__parser p = {.ctx = ctx, .text = size ? text : "", .file = file ? file : "<text>"};
    p.arena.ctx = ctx;
    p.message = wg__str_make(ctx);
    p.size = size < INT_MAX - 2 ? (uint32_t)size : 0;
    if (p.size != size)
        wg__complain(&p, (wg__loc){0, 0}, "the text is too long: 2 GiB and more");
    else
        parse(&p, &g);
    hand_over(&p.message, g ? NULL : error);
    return g;
}

/* ---- files --------------------------------------------------------------------------------- */

typedef WG__VEC(char) wg__bytes;

static bool read_all(wg_ctx *ctx, FILE *file, wg__bytes *bytes)
{
    enum { STEP = 1 << 16 };
    size_t n;
    do {
        if (!wg__vec_reserve(ctx, bytes, STEP))
            return false;
        n = fread(bytes->data + bytes->len, 1, STEP, file);
        bytes->len += n;
    } while (n);
    return true;
}

wg_graph *wg_parse_file(wg_ctx *ctx, const char *path, char **error)
{
    if (error)
        *error = NULL;
    if (!ctx || !path)
        return NULL;
    wg__str message = wg__str_make(ctx);
    wg__bytes bytes = {NULL, 0, 0};
    wg_graph *g = NULL;
    FILE *file = fopen(path, "rb");
    if (!file)
        wg__str_addf(&message, "%s: cannot be opened: %s", path, strerror(errno));
    else if (!read_all(ctx, file, &bytes))
        wg__str_addf(&message, "%s: out of memory", path);
    else if (ferror(file))
        wg__str_addf(&message, "%s: cannot be read: %s", path, strerror(errno));
    else
        g = wg_parse(ctx, bytes.data, bytes.len, path, error);
    if (file)
        fclose(file);
    hand_over(&message, message.len ? error : NULL);
    wg__vec_free(ctx, &bytes);
    return g;
}
