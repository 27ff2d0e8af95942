/* wg_render, alone in libwengert-draw: Graphviz's gvc lays DOT text out and draws it. Rendering
 * goes to memory first, because gvc ends the process when a write to a file fails. */
#include <gvc.h>
#include <wengert/draw.h>

/* Graphviz's context, made once, used under the lock, kept to the end of the process: its text
 * plugin remembers the last font by an address inside the context that drew it and reads it when
 * the next picture starts (Graphviz 2.42). */
static GVC_t *gvc;

typedef struct drawing {
    Agraph_t *graph;
    bool laid_out;
    char *data;
    unsigned int size;
} drawing;

static int swallow(char *message)
{
    (void)message;
    return 0;
}

/* Graphviz takes char * for what it only reads. */
static char *unconst(const char *text)
{
    union {
        const char *in;
        char *out;
    } u = {text};
    return u.out;
}

/* Returns what went wrong, or NULL. */
static const char *render(drawing *d, const char *dot, const char *format)
{
    if (!gvc && !(gvc = gvContext()))
        return "Graphviz does not start";
    if (!(d->graph = agmemread(dot)))
        return "the text is no DOT graph";
    if (gvLayout(gvc, d->graph, "dot") != 0)
        return "Graphviz cannot lay the graph out";
    d->laid_out = true;
    if (gvRenderData(gvc, d->graph, format, &d->data, &d->size) != 0 || !d->data)
        return "Graphviz does not know this format or cannot draw the graph in it";
    return NULL;
}

static void release(drawing *d)
{
    if (d->data)
        gvFreeRenderData(d->data);
    if (d->laid_out)
        gvFreeLayout(gvc, d->graph);
    if (d->graph)
        agclose(d->graph);
}

wg_status wg_render(const char *dot, const char *format, FILE *file, const char **error)
{
    drawing d = {NULL, false, NULL, 0};
    const char *ignored;
    if (!error)
        error = &ignored;
    *error = "the text, a format and a file are needed";
    if (!dot || !format || !file)
        return WG_INVALID;
    wg_graphviz_lock();
    agusererrf before = agseterrf(swallow);
    *error = render(&d, dot, unconst(format));
    wg_status status = *error ? WG_INVALID : WG_OK;
    if (!*error && (fwrite(d.data, 1, d.size, file) != d.size || fflush(file) != 0)) {
        *error = "the picture cannot be written";
        status = WG_IO;
    }
    release(&d);
    agseterrf(before);
    wg_graphviz_unlock();
    return status;
}
