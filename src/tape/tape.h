/* The tape's inside: nodes, intern tables, sub-tapes; and the calls that the rooms above use to
 * read, extend and copy tapes. */
#ifndef WG_TAPE_TAPE_H
#define WG_TAPE_TAPE_H

#include <stdarg.h>
#include <wengert/control.h>
#include <wengert/tape.h>
#include "base/pool.h"
#include "base/str.h"
#include "tape/registry.h"
#include "tensor/tensor.h"

#define WG__NONE UINT32_MAX

/* One value. A node with n outputs owns n consecutive entries: the first (out == 0) is the node,
 * the others repeat op, scope and origin and carry their own type and name. 40 bytes. */
typedef struct wg__node {
    uint16_t op;
    uint16_t out; /* this entry is output number `out` of node (id - out) */
    uint16_t nin, nout;
    uint32_t type;   /* in tape->types: a wg_type */
    uint32_t attrs;  /* in tape->attrs: slots, then lists; 0: none */
    uint32_t scope;  /* in tape->scopes; 0: none */
    uint32_t name;   /* in tape->strings; 0: none */
    uint32_t origin; /* 1 + id of the forward node this backward node comes from; 0: forward */
    uint32_t gen;
    union {
        uint32_t in[2];  /* operands when nin <= 2 */
        uint32_t offset; /* else of the first in tape->operands */
        uint64_t bits;   /* sources: a literal's value, a const's index */
        double f;
        int64_t i;
    } u;
} wg__node;

typedef struct wg__scope { /* interned in tape->scopes */
    uint32_t parent, name;
} wg__scope;

typedef struct wg__effect {
    uint32_t param, value; /* ids; the assign node is `node` */
    uint32_t node;
} wg__effect;

typedef struct wg__capture {
    uint32_t outer, inner; /* id on the parent, id of the input node on the body */
} wg__capture;

/* A closed sub-tape, shared by reference. Operands of a node that runs it: the body's formal
 * inputs, then its captures, in order. */
typedef struct wg__fn {
    atomic_int refs;
    wg_tape *body;
    uint32_t *outs;
    uint32_t nouts;
} wg__fn;

typedef struct wg__fn_entry { /* one reference in a tape's table */
    wg__fn *fn;
    uint32_t gen;
} wg__fn_entry;

typedef struct wg__tape_error {
    wg_status status;
    wg__str text;
} wg__tape_error;

struct wg_tape {
    wg_ctx *ctx;
    wg_tape *parent, *root; /* root: itself when parent is NULL */
    uint32_t depth;
    uint32_t gen;       /* of what is recorded now; unique in the context */
    uint64_t birth;     /* the context's clock when the tape was made */
    unsigned expanding; /* composites under expansion, for a limit */
    bool closed;
    char *name; /* of a sub-tape, else NULL */
    WG__VEC(wg__node) nodes;
    WG__VEC(uint32_t) operands;
    wg__pool types, attrs, strings, scopes;
    wg__pool named;           /* full names of inputs and params */
    uint32_t scope;           /* current */
    uint32_t origin;          /* of nodes now recorded (see wg__node.origin) */
    WG__VEC(uint32_t) inputs; /* input nodes in order; a sub-tape's formal inputs */
    WG__VEC(wg__capture) captures;
    WG__VEC(uint32_t) params;
    WG__VEC(wg__effect) effects;
    WG__VEC(wg__fn_entry) fns; /* referenced by fn attributes: index + 1 */
    WG__VEC(wg_tape *) open;   /* sub-tapes begun and not yet ended */
    WG__VEC(wg_tensor *) consts;
    WG__VEC(wg_tensor *) memo; /* wg_value's results by id, NULL where not computed */
    wg__tape_error error;      /* of the root; sub-tapes report to it */
};

/* ---- reading ------------------------------------------------------------------------------- */

static inline const wg__node *wg__node_at(const wg_tape *t, uint32_t id)
{
    return &t->nodes.data[id];
}
static inline uint32_t wg__head(const wg_tape *t, uint32_t id)
{
    return id - t->nodes.data[id].out;
}
static inline const uint32_t *wg__operands(const wg_tape *t, const wg__node *n)
{
    return n->nin <= 2 ? n->u.in : &t->operands.data[n->u.offset];
}
static inline const wg_type *wg__type_at(const wg_tape *t, uint32_t id)
{
    return (const wg_type *)t->types.entries.data[t->nodes.data[id].type - 1].data;
}
static inline const char *wg__text(const wg_tape *t, uint32_t string)
{
    return (const char *)wg__pool_get(&t->strings, string, NULL);
}
static inline const wg__op *wg__op_of(const wg_tape *t, uint32_t id)
{
    return wg__op_at(t->ctx, t->nodes.data[id].op);
}
/* "conv1/block" of a scope id into `s` (appended); nothing for 0. */
void wg__scope_path(const wg_tape *t, uint32_t scope, wg__str *s);
/* "scope/name" of a value: the key of a param in a state. */
void wg__full_name(const wg_tape *t, uint32_t id, wg__str *s);
/* For messages: the same, or the number on the tape of a value without a name, as in the text form. */
void wg__value_name(const wg_tape *t, uint32_t id, wg__str *s);
const wg__scope *wg__scope_at(const wg_tape *t, uint32_t scope); /* scope != 0 */

/* Attributes of a node: what accessors such as wg_attrs_int take. */
struct wg_attrs {
    const wg_tape *tape;
    const wg__op *op;
    const wg__slot *slots; /* start of the blob */
    size_t size;           /* of the blob in bytes */
};
static inline wg_attrs wg__attrs_of(const wg_tape *t, uint32_t id)
{
    const uint32_t attrs = t->nodes.data[id].attrs;
    wg_attrs a = {t, wg__op_of(t, id), NULL, 0};
    if (attrs)
        a.slots = (const wg__slot *)wg__pool_get(&t->attrs, attrs, &a.size);
    return a;
}
/* Slot of attribute `index` of the signature. */
static inline const wg__slot *wg__slot_at(const wg_attrs *a, size_t index)
{
    return &a->slots[index];
}
const void *wg__slot_list(const wg_attrs *a, const wg__slot *slot);
/* Bytes of the list that a slot of this kind and count has behind it; sub-tapes do not count. */
size_t wg__slot_bytes(const wg__slot *slot);

/* Sub-tapes of a node: those of its attributes of kind fn and fns, numbered in their order. */
bool wg__is_fn_kind(uint32_t kind);
bool wg__runs_fns(const wg__op *op); /* its signature has such an attribute */
/* Number `which`, or NULL past the end. */
wg__fn *wg__node_fn_at(const wg_tape *t, uint32_t id, size_t which);
/* That of attribute `name`, its first of several (NULL: the node's first), or NULL. */
wg__fn *wg__node_fn(const wg_tape *t, uint32_t id, const char *name);
/* Of one attribute: how many there are (0 for other kinds), and number k of them. */
size_t wg__slot_nfns(const wg__slot *slot);
wg__fn *wg__slot_fn(const wg_attrs *a, const wg__slot *slot, size_t k);
/* Puts others in the place of the sub-tapes of `attrs`, exported from `from`: import gives, for each
 * in order, its number + 1 in dst's table, or 0 to stop. The attributes then point into *room, which is
 * the caller's to free (wg__free) in any case. False after an error. */
typedef uint32_t (*wg__fn_import)(void *user, wg__fn *fn);
bool wg__attrs_replace_fns(wg_tape *dst, const wg_attrs *from, wg_attr *attrs, size_t nattrs,
                           wg__fn_import import, void *user, wg_fn **room);

/* ---- vars and ids ---------------------------------------------------------------------------- */

static inline wg_var wg__var(const wg_tape *t, uint32_t id)
{
    wg_var v = {(wg_tape *)t, id | (uint64_t)t->nodes.data[id].gen << 32};
    return v;
}
wg_var wg__invalid(void);
bool wg__is_literal(wg_var v);
/* True for an invalid var that stays silent (wg__invalid and failed literals). */
bool wg__is_invalid(wg_var v);
/* What an op between literals alone gives: invalid, and told as soon as it meets a tape. */
wg_var wg__failed_literal(uint16_t op);
bool wg__is_disconnected(wg_var v);
bool wg__is_not_differentiable(wg_var v);
/* The number of a literal as a double; its dtype (f64, i64 or bool). */
double wg__literal_value(wg_var v);
wg_dtype wg__literal_dtype(wg_var v);
/* The id of `v` on `t`: checks tape and generation, captures from enclosing tapes. WG__NONE with
 * the tape's error set (silent for an invalid var). Literals are refused: see wg__materialise. */
uint32_t wg__resolve(wg_tape *t, wg_var v, const char *what);
/* The id of `v` on exactly `t`, without recording anything; WG__NONE when it is not there. */
uint32_t wg__find(const wg_tape *t, wg_var v);
/* A literal as a rank-0 node of `dtype`; other vars as they are. */
wg_var wg__materialise(wg_tape *t, wg_var v, wg_dtype dtype);

/* ---- errors ------------------------------------------------------------------------------------ */

wg_status wg__tape_fail(wg_tape *t, wg_status status, const char *format, ...) WG_PRINTF(3, 4);
wg_status wg__tape_no_memory(wg_tape *t);

/* ---- recording ------------------------------------------------------------------------------- */

/* Records op number `op`; tape: the innermost of the operands' tapes, or `t` when none has one. */
wg_status wg__record(wg_tape *t, uint16_t op, const wg_var *ins, size_t nin, const wg_attr *attrs,
                     size_t nattrs, wg_var *outs, size_t max_outs);
/* For the typed wrappers: one output. */
wg_var wg__record1(uint16_t op, const wg_var *ins, size_t nin, const wg_attr *attrs, size_t nattrs);
wg_var wg__unary(uint16_t op, wg_var a);
wg_var wg__binary(uint16_t op, wg_var a, wg_var b);
/* Appends a node whose operands, attributes (already interned) and types are known. WG__NONE when
 * memory is out (the tape's error is set). */
uint32_t wg__push(wg_tape *t, uint16_t op, const uint32_t *in, size_t nin, uint32_t attrs,
                  const wg_type *types, size_t nout);
/* A node without operands that carries `bits` (a literal's value, a const's index). */
uint32_t wg__push_source(wg_tape *t, uint16_t op, uint64_t bits, uint32_t attrs,
                         const wg_type *type);
/* Builds and interns the attribute blob of `op`; false with the tape's error set. rank0: rank of
 * operand 0 for axis checks, or -1. */
bool wg__attrs_build(wg_tape *t, const wg__op *op, const wg_attr *attrs, size_t nattrs, int rank0,
                     uint32_t *id);
/* The int, float, bool, dtype and axis attributes as doubles, in the order of the signature: what
 * elementwise loops take. out holds WG__MAX_ATTRS; returns how many there are. */
size_t wg__attrs_doubles(const wg_attrs *a, double *out);
/* Attributes as wg_attr values for wg__record, which brings fns over to the tape it records on. out
 * has room for WG__MAX_ATTRS; returns the count. */
size_t wg__attrs_export(const wg_attrs *a, wg_attr *out);
uint32_t wg__intern_type(wg_tape *t, const wg_type *type);
uint32_t wg__intern_string(wg_tape *t, const char *text);
/* A const node that owns `tensor` (NULL: out of memory). */
wg_var wg__const_tensor(wg_tape *t, wg_tensor *tensor);
/* The scope of `src`'s id `scope`, interned on `dst`. */
uint32_t wg__scope_import(wg_tape *dst, const wg_tape *src, uint32_t scope);
/* Adds a reference to `fn` in t's table; index + 1, or 0 when memory is out. */
uint32_t wg__fn_add(wg_tape *t, wg__fn *fn);
/* A new one of a finished body; both `body`, which is closed, and `outs` belong to it. */
void wg__fn_init(wg__fn *fn, wg_tape *body, uint32_t *outs, size_t nouts);
wg__fn *wg__fn_get(wg_fn fn); /* NULL when stale or invalid */
wg_fn wg__fn_handle(wg_tape *t, uint32_t index_plus_1);
void wg__fn_unref(wg__fn *fn);
/* used[i]: whether any output needs input i. WG_NO_MEMORY or WG_OK. */
wg_status wg__fn_uses(const wg__fn *f, bool *used);
/* Drops t's reference: `t` is freed or rewound. */
void wg__fn_release(wg_tape *t, wg__fn *fn);

/* ---- copying ------------------------------------------------------------------------------------ */

/* Records nodes of `src` anew on `dst`. map has one entry per id of src: preset to WG__NONE, or to
 * an id of dst for values that stand there already (formal inputs of an inlined body, memoised
 * values; preset all outputs of a node or none). The roots and all they need are copied, in src's
 * order, or depth-first from the roots; map receives their ids. Names, scopes (under dst's current
 * scope) and origins are kept, inputs and params enter dst's lists. Effects are not copied. */
typedef struct wg__copy {
    wg_tape *dst;
    const wg_tape *src;
    uint32_t *map;
    const uint32_t *roots;
    size_t nroots;
    bool all;         /* every node is a root */
    bool depth_first; /* canonical order: independent of the order of recording */
    /* Not NULL: dimensions are evaluated anew and types inferred anew (wg_tape_resize). */
    wg__symbol_lookup resize;
    /* NULL, or a node's replacement instead of the plain copy: called in order, the operands
     * already mapped; fills map for all outputs and returns true, or false for the plain copy
     * (after an error the tape's status tells). */
    bool (*rewrite)(struct wg__copy *c, uint32_t id);
    void *user;                /* of resize and rewrite */
    struct wg__copied *copied; /* own: the bodies copied so far, at all levels */
} wg__copy;
wg_status wg__copy_nodes(wg__copy *c);
/* A map of src's size, all WG__NONE; owned (wg__free). NULL: out of memory. */
uint32_t *wg__copy_map(wg_ctx *ctx, const wg_tape *src);
/* A copy of `fn` below `parent`, made with the same rules (all, depth_first, resize, rewrite,
 * user) as `rules`; owned (wg__fn_unref), NULL after an error. */
wg__fn *wg__fn_copy(wg_tape *parent, const wg__fn *fn, const wg__copy *rules);
/* wg_inline with all operands (formal inputs, then captures) given. */
wg_status wg__inline_fn(wg_tape *t, const wg__fn *f, const wg_var *ins, size_t nins, wg_var *outs,
                        size_t max_outs);
wg_tape *wg__tape_new_sub(wg_tape *parent, wg_ctx *ctx, const char *name);
void wg__tape_destroy(wg_tape *t);

/* ---- verifying -------------------------------------------------------------------------------- */

/* Checks every invariant of the tape and its sub-tapes (operands before users, attributes and
 * types as inference gives them, inputs and params listed). WG_OK, or WG_INTERNAL with the first
 * violation in `message`. */
wg_status wg__verify(const wg_tape *t, char *message, size_t size);

#endif
