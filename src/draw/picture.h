/* The inside of pictures: one drawing being made with cgraph, and what its parts share.
 *   dot.c      the calls: opens the graph, holds the lock, writes the text
 *   frame.c    one tape in the picture: what of it is drawn, in which box
 *   picture.c  the nodes, edges and boxes of sub-tapes
 *   label.c    the words: labels, types, attributes, escaping
 *   style.c    the looks: shapes and colours by kind, the legend
 * Private to src/draw. */
#ifndef WG_DRAW_PICTURE_H
#define WG_DRAW_PICTURE_H

#include <cgraph.h>
#include <wengert/draw.h>
#include "tape/tape.h"

/* What a node is, as a reader of the picture tells nodes apart: rows of the table in style.c. */
typedef enum wg__kind {
    WG__KIND_INPUT,
    WG__KIND_PARAM,
    WG__KIND_CONST,
    WG__KIND_LITERAL,
    WG__KIND_OP,
    WG__KIND_RANDOM,
    WG__KIND_STOP,
    WG__KIND_FN,     /* runs a sub-tape that is drawn elsewhere */
    WG__KIND_CHOICE, /* gives the outputs of one of several branches */
    WG__KIND_EFFECT,
    WG__KIND_COUNT
} wg__kind;

typedef struct wg__picture {
    wg_ctx *ctx;
    const wg_dot_options *options;
    Agraph_t *graph;
    wg__str text;                 /* scratch for the label being made */
    bool failed;                  /* memory is out */
    bool seen[WG__KIND_COUNT][2]; /* kinds that occur, forward and backward: for the legend */
    bool seen_output;
    double hottest;           /* the largest share of time of a node; 0: none has one */
    wg__pool bodies;          /* sub-tapes drawn so far, by address */
    struct wg__frame *frames; /* all of them, to be freed */
    uint32_t nframes;
} wg__picture;

/* ---- picture.c --------------------------------------------------------------------------------- */

/* Draws `tape` into p->graph; outs are ids. Sets p->failed when memory is out. */
void wg__draw_tape(wg__picture *p, const wg_tape *tape, const uint32_t *outs, size_t nouts);
void wg__draw_free_frames(wg__picture *p); /* frame.c */

/* ---- label.c ----------------------------------------------------------------------------------- */

/* cgraph takes char * for what it only reads. */
char *wg__draw_unconst(const char *text);
/* A new part of the picture; NULL, with p->failed set, when memory is out. The calls below take
 * such a NULL and do nothing. */
Agraph_t *wg__draw_subgraph(wg__picture *p, Agraph_t *in, const char *name);
Agnode_t *wg__draw_node(wg__picture *p, Agraph_t *in, const char *name);
Agedge_t *wg__draw_edge(wg__picture *p, Agraph_t *in, Agnode_t *tail, Agnode_t *head);
/* Sets an attribute of a graph, node or edge; a missing attribute is declared. */
void wg__draw_set(void *object, const char *name, const char *value);
/* Sets attribute `name` to the scratch text, or as HTML-like markup, and clears the scratch. */
void wg__draw_set_text(wg__picture *p, void *object, const char *name);
void wg__draw_set_markup(wg__picture *p, void *object, const char *name);
/* Appends any text so that it shows as it is: markup and Graphviz's escapes are quoted, bytes that
 * are no text made visible, and what is longer than a picture bears is cut. */
void wg__draw_add(wg__str *s, const char *text);
/* Into p->text: the label of a node and of a sub-tape's box (both markup), and of a value at its
 * place of use (text). */
void wg__draw_label(wg__picture *p, const wg_tape *t, uint32_t id, wg__kind kind);
void wg__draw_body_label(wg__picture *p, const wg_tape *t, uint32_t id);
/* Of one of several sub-tapes of a node: what it is for; and its label, with its name. */
void wg__draw_add_part(wg__str *s, const wg_tape *t, uint32_t id, uint32_t which);
void wg__draw_part_label(wg__picture *p, const wg_tape *t, uint32_t id, uint32_t which);
void wg__draw_value_label(wg__picture *p, const wg_tape *t, uint32_t id);
/* Appends the share of time of value `id` to the label, if it has one; see wg__draw_dress_heat. */
void wg__draw_heat_label(wg__picture *p, uint32_t id);
/* What a viewer shows when the pointer rests on the node. */
void wg__draw_set_tooltip(wg__picture *p, void *object, const wg_tape *t, uint32_t id);

/* ---- style.c ----------------------------------------------------------------------------------- */

wg__kind wg__draw_kind(const wg_tape *t, uint32_t id);
void wg__draw_defaults(wg__picture *p);
/* Dresses a node as its kind; then with the DOT attributes that the op itself asks for. */
void wg__draw_dress(wg__picture *p, Agnode_t *node, wg__kind kind, bool backward);
void wg__draw_dress_op(wg__picture *p, Agnode_t *node, const char *style);
/* Fills a node or a sub-tape's box by the share of time of value `id`: from white for none over yellow
 * to orange for the largest in the picture. */
void wg__draw_dress_heat(wg__picture *p, void *object, bool box, uint32_t id);
void wg__draw_dress_output(wg__picture *p, Agnode_t *node);
void wg__draw_dress_edge(Agedge_t *edge, bool backward);
void wg__draw_dress_scope(Agraph_t *cluster);
void wg__draw_dress_body(Agraph_t *cluster, bool backward);
void wg__draw_legend(wg__picture *p);

#endif
