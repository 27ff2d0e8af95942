/* wg_dot: a tape as DOT text. cgraph builds and writes the graph, so any name is quoted right.
 * Graphviz takes its own memory from malloc; what is ours comes from the context. */
#include "draw/picture.h"

#include <pthread.h>
#include <string.h>

/* Graphviz keeps process-wide state (message hook, writer position, parser). This is the one mutable
 * static of the library: nothing narrower can guard what belongs to the whole process. */
static pthread_mutex_t graphviz = PTHREAD_MUTEX_INITIALIZER;

void wg_graphviz_lock(void) { pthread_mutex_lock(&graphviz); }

void wg_graphviz_unlock(void) { pthread_mutex_unlock(&graphviz); }

static int swallow(char *message)
{
    (void)message;
    return 0;
}

/* ---- disciplines: what cgraph asks us for ------------------------------------------------------ */

/* Graphviz 2 writes subgraphs in the order of their ids, which by default are addresses. Ours count
 * up, so that equal tapes give equal text: an even id stands for a name, an odd one for none. */
typedef struct disciplines {
    Agdisc_t cgraph; /* first: cgraph hands it back to open_ids */
    Agiddisc_t ids;
    Agiodisc_t io;
    Agraph_t *graph;
    wg__pool names;
    WG__VEC(char *) texts; /* of names, as strings of cgraph's own */
    IDTYPE unnamed;
    bool failed; /* memory is out: from then on nothing gets an id, so that nothing more is made */
} disciplines;

static void *open_ids(Agraph_t *graph, Agdisc_t *disc)
{
    disciplines *d = (disciplines *)(void *)disc;
    d->graph = graph;
    return d;
}

static long map_name(disciplines *d, char *name, IDTYPE *id, int create)
{
    size_t size = strlen(name);
    uint32_t known = wg__pool_find(&d->names, name, size);
    if (!known && create && wg__vec_reserve(d->names.ctx, &d->texts, 1) &&
        (known = wg__pool_intern(&d->names, name, size)) != 0)
        wg__vec_push(d->names.ctx, &d->texts, agstrdup(d->graph, name));
    if (!known && create)
        d->failed = true;
    *id = 2 * (IDTYPE)known;
    return known != 0;
}

static long map_id(void *state, int type, char *name, IDTYPE *id, int create)
{
    disciplines *d = state;
    (void)type;
    if (d->failed)
        return 0;
    if (name)
        return map_name(d, name, id, create);
    if (create)
        *id = d->unnamed += 2;
    return create;
}

static char *print_id(void *state, int type, IDTYPE id)
{
    disciplines *d = state;
    (void)type;
    return id % 2 || !id ? NULL : d->texts.data[id / 2 - 1];
}

static void free_id(void *state, int type, IDTYPE id)
{
    disciplines *d = state;
    char *text = print_id(state, type, id);
    if (text)
        agstrfree(d->graph, text);
}

static int put(void *channel, const char *text)
{
    wg__str *s = channel;
    wg__str_add(s, text);
    return s->failed ? EOF : 0;
}

static int flush(void *channel)
{
    (void)channel;
    return 0;
}

static void init_disciplines(disciplines *d, wg_ctx *ctx)
{
    d->cgraph = AgDefaultDisc;
    d->ids = AgIdDisc;
    d->io = AgIoDisc;
    d->cgraph.id = &d->ids;
    d->cgraph.io = &d->io;
    d->ids.open = open_ids;
    d->ids.map = map_id;
    d->ids.free = free_id;
    d->ids.print = print_id;
    d->io.putstr = put;
    d->io.flush = flush;
    d->graph = NULL;
    wg__pool_init(&d->names, ctx);
    memset(&d->texts, 0, sizeof d->texts);
    d->unnamed = 1;
    d->failed = false;
}

/* ---- drawing ----------------------------------------------------------------------------------- */

/* Ids of the outputs; false when one is no value of the tape. */
static bool find_outs(const wg_tape *t, const wg_dot_options *o, uint32_t *ids)
{
    for (size_t i = 0; i < o->nouts; i++)
        if ((ids[i] = wg__find(t, o->outs[i])) == WG__NONE)
            return false;
    return true;
}

static void draw(wg__picture *p, const wg_tape *t, const uint32_t *outs)
{
    for (size_t i = 0; i < p->options->nheat; i++)
        if (p->options->heat[i] > p->hottest)
            p->hottest = p->options->heat[i];
    wg__draw_defaults(p);
    wg__draw_tape(p, t, outs, p->options->nouts);
    if (!p->failed && !p->options->no_legend)
        wg__draw_legend(p);
    if (!p->options->title)
        return;
    wg__str_add(&p->text, "<b>");
    wg__draw_add(&p->text, p->options->title);
    wg__str_add(&p->text, "</b>");
    wg__draw_set_markup(p, p->graph, "label");
}

static void draw_and_write(wg__picture *p, const wg_tape *t, const uint32_t *outs, wg__str *text)
{
    disciplines d;
    init_disciplines(&d, p->ctx);
    wg_graphviz_lock();
    agusererrf before = agseterrf(swallow);
    p->graph = agopen(wg__draw_unconst("wengert"), Agdirected, &d.cgraph);
    if (p->graph) {
        draw(p, t, outs);
        p->failed |= p->text.failed || d.failed;
        if (!p->failed)
            p->failed = agwrite(p->graph, text) == EOF;
        agclose(p->graph);
    } else {
        p->failed = true;
    }
    agseterrf(before);
    wg_graphviz_unlock();
    wg__pool_free(&d.names);
    wg__vec_free(p->ctx, &d.texts);
}

static wg_status make_dot(const wg_tape *t, const wg_dot_options *o, wg__str *text)
{
    wg_ctx *ctx = t->ctx;
    uint32_t *outs = wg__calloc(ctx, o->nouts + 1, sizeof *outs);
    wg__picture p = {.ctx = ctx, .options = o, .text = wg__str_make(ctx)};
    wg__pool_init(&p.bodies, ctx);
    wg_status status = WG_NO_MEMORY;
    if (!outs)
        goto done;
    status = WG_INVALID;
    if (!find_outs(t, o, outs))
        goto done;
    draw_and_write(&p, t, outs, text);
    status = p.failed || text->failed ? WG_NO_MEMORY : WG_OK;
done:
    wg__draw_free_frames(&p);
    wg__pool_free(&p.bodies);
    wg__str_free(&p.text);
    wg__free(ctx, outs);
    return status;
}

/* ---- the calls --------------------------------------------------------------------------------- */

static wg_dot_options with_defaults(const wg_dot_options *given)
{
    wg_dot_options o = WG_DOT_DEFAULTS;
    if (given)
        memcpy(&o, given, given->struct_size < sizeof o ? given->struct_size : sizeof o);
    return o;
}

char *wg_dot(const wg_tape *tape, const wg_dot_options *options)
{
    if (!tape)
        return NULL;
    wg_dot_options o = with_defaults(options);
    wg__str text = wg__str_make(tape->ctx);
    wg_status status = make_dot(tape, &o, &text);
    char *taken = status == WG_OK ? wg__str_take(&text) : NULL;
    wg__str_free(&text);
    return taken;
}

wg_status wg_dot_file(const wg_tape *tape, const wg_dot_options *options, FILE *file)
{
    if (!tape || !file)
        return WG_INVALID;
    wg_dot_options o = with_defaults(options);
    wg__str text = wg__str_make(tape->ctx);
    wg_status status = make_dot(tape, &o, &text);
    if (status == WG_OK && fwrite(text.data, 1, text.len, file) != text.len)
        status = WG_IO;
    if (status == WG_OK && fflush(file) != 0)
        status = WG_IO;
    wg__str_free(&text);
    return status;
}
