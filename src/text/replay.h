/* Recording a parsed graph: what replay.c (statements), evaluate.c (names, calls) and values.c
 * (types, numbers, attributes) share. Only src/text includes this. */
#ifndef WG_TEXT_REPLAY_H
#define WG_TEXT_REPLAY_H

#include <wengert/text.h>
#include "tape/tape.h"
#include "text/ast.h"

/* What a label stands for: a value, or an fn (whose key is "fn " and its label). */
typedef struct wg__named {
    wg_var var;
    wg_fn fn;
    wg__loc at; /* of the definition */
} wg__named;

typedef struct wg__names {
    wg__pool keys; /* id - 1 is the index of the entry */
    WG__VEC(wg__named) entries;
} wg__names;

struct wg_graph {
    wg_ctx *ctx; /* referenced */
    wg_tape *tape;
    char *name;
    wg_var *outs;
    size_t nouts;
    wg__names names;
};

/* The first size that each dimension name was given: N=64. */
typedef struct wg__sizes {
    wg__pool names; /* id - 1 is the index of the size */
    WG__VEC(int64_t) values;
} wg__sizes;

/* ^ref: nodes [from, to) come from the value `ref`, which may stand further down. */
typedef struct wg__later {
    uint32_t from, to;
    wg__loc ref;
} wg__later;

/* One tape that is being recorded. */
typedef struct wg__text_frame {
    wg__parser *p;
    wg_tape *tape;
    wg__names *names;
    wg__sizes *sizes;
    wg__str path;    /* of the open scopes: "layer1.inner." */
    uint32_t opaque; /* open scopes whose names cannot stand in a path */
    WG__VEC(wg__later) later;
    int depth; /* of blocks within blocks */
} wg__text_frame;

/* Records p->graph on g->tape, fills g; false with a complaint. */
bool wg__replay(wg__parser *p, wg_graph *g);

/* Makes `key` known; a complaint when it is already. */
bool wg__define(wg__text_frame *f, const char *key, wg__named named);
/* Makes a value known under its label, with the path of the open scopes in front. */
bool wg__define_value(wg__text_frame *f, wg__loc label, wg_var var);
bool wg__find_value(wg__text_frame *f, wg__loc at, wg_var *out);
/* Records a call; outs has room for `max` results, *n is how many it has. */
bool wg__run_call(wg__text_frame *f, const wg__ast *a, wg_var *outs, size_t max, size_t *n);
/* The type that `t` claims against the one that it has. */
bool wg__check_type(wg__text_frame *f, const wg__target *t, wg_type is);
bool wg__check_var(wg__text_frame *f, wg_var v, wg__loc at); /* usable, or the tape's complaint */
/* Takes the tape's error over as a complaint at `at`; false. */
bool wg__complain_tape(wg__text_frame *f, wg__loc at);
/* The entry of `label` (a name, a path, %12; with "fn " in front an fn), or NULL. */
const wg__named *wg__names_find(const wg__names *names, const char *label);

bool wg__read_type(wg__text_frame *f, const wg__target *t, wg_type *out);
/* A number as element `index` of `data`. */
bool wg__read_number(wg__text_frame *f, const wg__ast *a, wg_dtype dtype, void *data,
                     int64_t index);
/* A number as a literal that can take `dtype`; NULL: what it is by how it is written, f64, i64 or
 * bool. */
bool wg__read_literal(wg__text_frame *f, const wg__ast *a, const wg_dtype *dtype, wg_var *out);
bool wg__read_attr(wg__text_frame *f, const wg__attr_spec *spec, const wg__ast *a, wg_attr *out);

#endif
