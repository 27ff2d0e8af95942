/* A frame is one tape in the picture: the root, or the body of a node that runs a sub-tape, inside a
 * box of its own. It knows what of its tape is drawn, in which box, and where values come from. */
#ifndef WG_DRAW_FRAME_H
#define WG_DRAW_FRAME_H

#include "draw/picture.h"

typedef struct wg__place {
    Agnode_t *node;         /* of a drawn head */
    struct wg__frame *body; /* of a head that is drawn as the box of its sub-tape */
    uint32_t operand;       /* of a capture: 1 + the operand that brings it in */
    uint32_t twin;          /* of an input that is one of frame.twin: 1 + its index */
    bool live;
    bool backward;
} wg__place;

/* A scope's cluster, or that of an ancestor. */
typedef struct wg__box {
    Agraph_t *graph;
    Agraph_t *group; /* where the next box inside goes once there are GROUP of them */
    uint32_t count;  /* of boxes inside */
    uint8_t depth;   /* 0: nothing is drawn here */
} wg__box;

typedef struct wg__frame {
    struct wg__frame *next;   /* in picture.frames */
    struct wg__frame *parent; /* and the node there that runs this body */
    uint32_t caller;
    uint32_t which;         /* of the caller's sub-tapes */
    struct wg__frame *twin; /* whose inputs the first of this one are: of a while's condition */
    uint32_t number;
    const wg_tape *tape;
    const wg__fn *fn;
    wg__box *boxes;    /* by scope; 0: the frame's own */
    wg__place *places; /* by id */
    bool backward;
} wg__frame;

/* Where a value comes from once boxes and captures are looked through. */
typedef struct wg__origin {
    wg__frame *f;
    uint32_t id;
    const wg__frame *through; /* the outermost box it leaves, or NULL */
    uint32_t out;             /* the output of that box */
} wg__origin;

/* A frame of p, freed with it; NULL when memory is out. */
wg__frame *wg__frame_new(wg__picture *p, const wg_tape *tape);
/* Finds out what is drawn, given the outputs, and makes the boxes of its scopes. */
void wg__frame_prepare(wg__picture *p, wg__frame *f, const uint32_t *outs, size_t nouts);
/* The operand of the caller that input i of the body stands for; WG__NONE: of none, the formal inputs
 * of a rule. */
uint32_t wg__frame_operand(const wg__frame *f, uint32_t i);
/* True for a value that is drawn where it is used: a literal or one-element constant. */
bool wg__frame_inline(const wg_tape *t, uint32_t id);
/* True for the ids that become nodes or boxes. */
bool wg__frame_draws(const wg__frame *f, uint32_t id);
/* All operands of `id`'s node must have been drawn. */
wg__origin wg__frame_origin(wg__frame *f, uint32_t id);
/* The box that a value's scope is drawn as; and a new box inside one. */
wg__box *wg__frame_box(const wg__frame *f, uint32_t id);
Agraph_t *wg__frame_cluster(wg__picture *p, wg__box *in, uint32_t frame_number, uint32_t scope);

#endif
