/* The op contract: what an op is, for built-in families (ops/), for programs that register their
 * own (wg_register) and for plugins. docs/adding-an-op.md is a worked example.
 *
 * An op is a const struct. Its signature is text, the one source of operand names, attributes and
 * outputs for the recorder, the typed wrappers, the .wg language, the docs and the checker:
 *
 *     "matmul(a, b; transpose_a: bool = false, transpose_b: bool = false) -> y"
 *     "gather(x, indices: int; axis: axis = 0) -> y"
 *     "concat(xs*; axis: axis) -> y"
 *
 * Operands, then after ';' attributes, then outputs: `-> y`, or several as `-> q, r`. All names differ.
 * `name*` takes any number of operands (or stands for any number of outputs) and stands last.
 * Operand classes: (none) any, float, int, bool, num (not bool). Attribute kinds: int float bool
 * dtype axis axes ints shape string fn fns (a list of sub-tapes); without a default they are required.
 * Defaults: numbers, true/false, dtype names, `all` (axes), `[]` (ints), "text" (string). */
#ifndef WENGERT_OP_H
#define WENGERT_OP_H

#include <wengert/types.h>
#include <wengert/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- attributes, read by rules and kernels ------------------------------------------------ */

typedef struct wg_attrs wg_attrs;
/* The value of attribute `name`; 0, NULL or an empty list when the op has none of that name. */
WG_API int64_t wg_attrs_int(const wg_attrs *attrs, const char *name); /* int, axis, dtype */
WG_API double wg_attrs_float(const wg_attrs *attrs, const char *name);
WG_API bool wg_attrs_bool(const wg_attrs *attrs, const char *name);
WG_API wg_axes wg_attrs_axes(const wg_attrs *attrs, const char *name);
WG_API const int64_t *wg_attrs_ints(const wg_attrs *attrs, const char *name, size_t *count);
WG_API wg_shape wg_attrs_shape(const wg_attrs *attrs, const char *name);
WG_API const char *wg_attrs_string(const wg_attrs *attrs, const char *name);
/* The sub-tape of an attribute of kind fn; invalid when there is none. */
WG_API wg_fn wg_attrs_fn(const wg_attrs *attrs, const char *name);
/* All sub-tapes of the node, of attributes of kind fn and fns, in their order: how many, and each;
 * invalid past the end. */
WG_API size_t wg_attrs_nfns(const wg_attrs *attrs);
WG_API wg_fn wg_attrs_fn_at(const wg_attrs *attrs, size_t which);

/* ---- type inference ------------------------------------------------------------------------ */

/* What an infer function sees. It fills out[0 .. nout-1] (nout is preset from the signature; an op
 * with a starred output may change it) and returns WG_OK or wg_infer_fail. */
#define WG_INFER_ROOM 8
typedef struct wg_infer {
    wg_ctx *ctx;
    size_t nin;
    const wg_type *in;
    size_t nout;
    wg_type *out; /* room for WG_INFER_ROOM; more with wg_infer_outputs */
    const wg_attrs *attrs;
    void *data; /* wg_op.data */
    void *priv;
} wg_infer;
typedef wg_status (*wg_infer_fn)(wg_infer *q);

/* Reports what is wrong and what would be right; op and node names are put in front. Returns
 * `status` for `return wg_infer_fail(...)`. */
WG_API wg_status wg_infer_fail(wg_infer *q, wg_status status, const char *format, ...)
    WG_PRINTF(3, 4);
/* Replaces an attribute by its canonical form (equal meaning, equal bytes). */
WG_API wg_status wg_infer_set(wg_infer *q, wg_attr attr);
/* Room for `n` outputs; sets q->out and q->nout. */
WG_API wg_status wg_infer_outputs(wg_infer *q, size_t n);
/* Text of a shape or type such as "f32[64, 784]", valid until the infer function returns. */
WG_API const char *wg_infer_text(wg_infer *q, wg_type type);

/* NumPy broadcasting of two shapes into *out; false when they do not fit. */
WG_API bool wg_shape_broadcast(wg_shape a, wg_shape b, wg_shape *out);
/* Appends a dimension of `from` (size and symbol), or a plain size, to `to`. */
WG_API void wg_shape_push(wg_shape *to, const wg_shape *from, int axis);
WG_API void wg_shape_push_size(wg_shape *to, int64_t size);
/* Dimension arithmetic that keeps symbols: op is '+', '-', '*' or '/' (floor). Writes axis
 * `axis` of *out. */
WG_API void wg_dim_op(wg_ctx *ctx, wg_shape *out, int axis, const wg_shape *a, int axis_a, char op,
                      const wg_shape *b, int axis_b);
WG_API void wg_dim_op_size(wg_ctx *ctx, wg_shape *out, int axis, const wg_shape *a, int axis_a,
                           char op, int64_t b);

/* ---- derivative rules ------------------------------------------------------------------------ */

/* What a rule sees: graph values. A rule records graph on `tape` with the ordinary ops; it never
 * computes numbers. The engine sums contributions, sums down to a broadcast operand's shape
 * (elementwise ops), skips what nobody needs and checks the type of each answer. */
typedef struct wg_rule {
    wg_tape *tape;
    size_t nin, nout;
    const wg_var *in;
    const wg_var *out; /* the op's outputs; in expand: not there */
    const wg_attrs *attrs;
    const bool *need;     /* vjp: which operands' cotangents are asked for */
    const bool *need_out; /* jvp: which outputs' tangents are asked for */
    const wg_var *dout;   /* vjp: cotangents of the outputs; none = structural zero */
    wg_var *din;          /* vjp: answers, preset to wg_none(): structural zero */
    const wg_var *tin;    /* jvp: tangents of the operands; none = structural zero */
    wg_var *tout;         /* jvp: answers, preset to wg_none() */
    wg_var *result;       /* expand: answers */
    void *data;           /* wg_op.data */
    void *priv;
} wg_rule;

/* Answers of a rule beside a graph value and wg_none() (structural zero). */
WG_API wg_var wg_disconnected(void);       /* no path by definition (an index, a key) */
WG_API wg_var wg_not_differentiable(void); /* asking is an error that names op and node */

/* Zeroed memory that lasts until the rule returns; NULL (the tape has the error) when out. */
WG_API void *wg_rule_alloc(const wg_rule *r, size_t count, size_t size);
/* Fails the derivative or expansion with a message of the rule's own; `status` is not WG_OK. */
WG_API void wg_rule_fail(const wg_rule *r, wg_status status, const char *format, ...)
    WG_PRINTF(3, 4);

typedef void (*wg_vjp_fn)(wg_rule *r);
typedef void (*wg_jvp_fn)(wg_rule *r);
typedef void (*wg_expand_fn)(wg_rule *r);
/* d out / d in[operand] of an elementwise op, as graph of in and out; a literal where constant. */
typedef wg_var (*wg_partial_fn)(wg_rule *r, size_t operand);

/* ---- batching ----------------------------------------------------------------------------------- */

/* What a batching rule sees: one op for all steps of a loop at once. Operands with batched[k] have a
 * leading axis that those of a step do not have, of the same size for all of them: the steps. The
 * rule records on `tape`, with ordinary ops, the op's outputs of all steps, with that axis in front;
 * attributes are those of a step. It leaves wg_none() where it has no answer; a rule that fails, such
 * as for a ninth axis, counts as one without. */
typedef struct wg_batch {
    wg_tape *tape;
    size_t nin, nout;
    const wg_var *in;
    const bool *batched; /* one or more are true */
    const wg_attrs *attrs;
    wg_var *result; /* answers, preset to wg_none() */
    void *data;     /* wg_op.data */
} wg_batch;
typedef void (*wg_batch_fn)(wg_batch *b);

/* ---- kernels ----------------------------------------------------------------------------------- */

/* A dense row-major array with its type. */
typedef struct wg_view {
    void *data;
    const wg_type *type;
} wg_view;

/* Inner loop of an elementwise op: n elements; data[0 .. nin-1] are the operands, data[nin] the
 * output; stride in bytes (0: the same element again). `attrs` holds the op's int, float, bool,
 * dtype and axis attributes as doubles in the order of the signature; NULL or empty when it has
 * none. `user` is wg_op.data. */
typedef void (*wg_loop_fn)(size_t n, char *const *data, const ptrdiff_t *stride,
                           const double *attrs, void *user);

/* The same over a block of dense arrays, in the vector instructions of one instruction set. n is a
 * multiple of 16; the arrays need be aligned no better than their elements; operands that the op
 * does not have are not looked at. The result may overwrite an operand of its dtype. */
typedef void (*wg_block_fn)(size_t n, const void *a, const void *b, const void *c, void *y,
                            const double *attrs);

/* Instruction sets that block kernels come in; executors choose at run time. PORTABLE runs on any
 * machine that the library was built for. */
enum { WG_ISA_PORTABLE, WG_ISA_AVX2, WG_ISA_AVX512, WG_ISA_COUNT };

/* The same for one element: the field of the row's dtype is set, the other NULL. */
struct wg_scalar {
    double (*f64)(double a, double b, double c, const double *attrs);
    float (*f32)(float a, float b, float c, const double *attrs);
};

/* One execution of a node. An output that nobody reads has data NULL and is not written. */
typedef struct wg_kernel_call {
    size_t nin, nout;
    const wg_view *in;
    const wg_view *out;
    const wg_attrs *attrs;
    void *scratch; /* wg_kernel.scratch bytes, 64-byte aligned */
    void *data;    /* wg_op.data */
    void *priv;
} wg_kernel_call;
typedef wg_status (*wg_kernel_fn)(const wg_kernel_call *c);
/* Bytes of scratch, from the types alone (data pointers are NULL). */
typedef size_t (*wg_scratch_fn)(const wg_kernel_call *c);

/* Stops the run with a message; for `return wg_kernel_fail(...)`. */
WG_API wg_status wg_kernel_fail(const wg_kernel_call *c, wg_status status, const char *format, ...)
    WG_PRINTF(3, 4);
/* Runs sub-tape number `which` of the node (as wg_attrs_fn_at counts them) on these operands: formal
 * inputs, then captures. An output whose data is NULL is not wanted. Outputs share memory with no
 * operand. Of one thread. */
WG_API wg_status wg_kernel_run_fn(const wg_kernel_call *c, size_t which, const wg_view *ins,
                                  size_t nins, const wg_view *outs, size_t nouts);

/* Runs fn(call, item, arg) for all items below `items`, side by side on the context's threads where the
 * executor knows how to and the work pays for it, else in order on this thread. Items write to
 * different places and read nothing that another item writes; an item may be run twice. `call` is like
 * c, for the thread that runs the item: wg_kernel_run_fn and wg_kernel_fail go through it; views and
 * scratch are the same for all items. Within an item, whatever runs, runs on that thread alone. Returns
 * the status of the first item in order that fails (those behind it may not have run).
 * Only kernels of ops flagged WG_OP_SPREAD get threads. */
typedef wg_status (*wg_item_fn)(const wg_kernel_call *call, size_t item, void *arg);
WG_API wg_status wg_kernel_spread(const wg_kernel_call *c, size_t items, wg_item_fn fn, void *arg);

/* One implementation for one combination of dtypes. */
typedef struct wg_kernel {
    size_t struct_size;
    const char *types; /* dtype letters "ff->f"; '*' any, the same for all '*'; '?' any; a starred
                           operand is written once: "f->f" matches any number of f operands */
    wg_loop_fn loop;   /* elementwise ops */
    wg_kernel_fn run;  /* other ops (an elementwise one may have it in place of `loop`) */
    wg_scratch_fn scratch;
    /* Elementwise: the C expression of the loop in the operands a, b, c, the attributes p, q
     * converted to T, and T, the C type of the last operand that is not bool, or else of the
     * result. SELECT(m, x, y) stands for m ? x : y. */
    const char *expr;
    /* Elementwise with at most 3 operands, or NULL: use `loop`. WG_ISA_COUNT * V entries with
     * V = 1 << number of operands: entry [isa * V + v], where bit k of v says that operand k is one
     * element, the same for all. The last of each V, where all are, is not used and may be NULL.
     * Not copied: it must last as long as the context, as the functions do. */
    const wg_block_fn *block;
    /* Elementwise rows whose operands and output all are f64, or all are f32; may be NULL. Not
     * copied either. */
    const struct wg_scalar *scalar;
} wg_kernel;
#define WG_KERNEL sizeof(wg_kernel)

/* ---- what checks need -------------------------------------------------------------------------- */

typedef struct wg_op_check {
    size_t struct_size;
    /* Sampling interval per operand (operands past 3 use the last); both 0: [-2, 2]. */
    double low[4], high[4];
    /* Elementwise ops: distance of a point (one value per operand) to the nearest kink. */
    double (*kink)(const double *x);
    /* Test graphs in .wg; NULL-terminated. Elementwise ops without attributes need none. */
    const char *const *cases;
    /* Forward tolerance against an oracle, in units of last place; 0: 4. */
    double ulps;
    /* Operands that are held fixed by the gradient checker (bit i: operand i). */
    unsigned fixed;
} wg_op_check;
#define WG_OP_CHECK sizeof(wg_op_check)

/* ---- the op ------------------------------------------------------------------------------------ */

/* Passes and executors take flags at their word, so wg_register refuses an op whose signature or rows
 * cannot keep them:
 *
 *   ELEMENTWISE  1 to 8 operands, none starred, 1 output
 *   COMMUTATIVE  2 operands
 *   VIEW         1 or more operands; 1 output, of the first's dtype
 *   PICK         (x, index: int); 1 output, of x's dtype: x's shape without its last axis, which is
 *                index's shape
 *   GATHER       (x, indices: int; axis: axis); 1 output, of x's dtype: x's shape with axis `axis`
 *                replaced by indices' shape
 *   JOIN         (xs*; axis: axis); 1 output, of the operands' dtype: they follow each other along the
 *                axis, and agree in the others
 *   IOTA         (; shape: shape, axis: int, dtype: dtype); 1 output
 *   CONTRACT     (a, b; transpose_a: bool, transpose_b: bool); 1 output; rows all f32 or all f64
 *   SPREAD       not ELEMENTWISE; a row with `run`
 *   a monoid     (x; axes: axes, keepdims: bool); 1 output, of x's dtype: x's shape without those
 *                axes, or with them kept at size 1
 *
 * That infer gives these shapes, and the kernels these values, is the op's own promise. */
enum {
    WG_OP_ELEMENTWISE = 1u << 0, /* out[i] = f(a[i], b[i], ...) with broadcasting */
    WG_OP_LINEAR = 1u << 1,      /* jointly linear in its float operands: JVP by re-application */
    WG_OP_MULTILINEAR = 1u << 2, /* linear in each float operand: JVP as a sum of re-applications */
    WG_OP_COMMUTATIVE = 1u << 3, /* binary, operands may be exchanged */
    WG_OP_RANDOM = 1u << 4,      /* draws from a key */
    WG_OP_SOURCE = 1u << 5,      /* input, param, const, literal: has no operands to run */
    WG_OP_EFFECT = 1u << 6,      /* assign */
    WG_OP_IMPURE = 1u << 7,      /* never merged, folded or moved; runs only if it is needed */
    WG_OP_VIEW = 1u << 8,        /* moves or reinterprets elements without arithmetic */
    WG_OP_TOTAL = 1u << 9,       /* its run kernels never fail */
    WG_OP_PICK = 1u << 10,       /* x[..., index[...]]: executors may fuse it; see ops/index.c */
    WG_OP_IOTA = 1u << 11,       /* the index along an axis */
    WG_OP_CONTRACT = 1u << 12,   /* the matrix product, as matmul's */
    WG_OP_GATHER = 1u << 13,     /* elements of x at indices along attribute `axis` */
    WG_OP_SPREAD = 1u << 14,     /* its run kernels call wg_kernel_spread */
    WG_OP_JOIN = 1u << 15        /* its operands one after the other along attribute `axis` */
};

/* A window of an array: element [i, j, ...] is at offset + i * step[0] + j * step[1] + ..., counted
 * in elements. */
typedef struct wg_strides {
    int64_t offset;
    int64_t step[WG_MAX_RANK];
} wg_strides;
/* Of an op flagged WG_OP_VIEW with one operand, whose output is a strided window of the operand:
 * fills `to` from `from`, where the operand's elements are; false: not possible for these strides
 * (the executor copies). */
typedef bool (*wg_view_fn)(const wg_attrs *attrs, const wg_type *in, const wg_strides *from,
                           const wg_type *out, wg_strides *to);

/* What a reduction over attribute `axes` combines elements with; lets executors fuse it. */
typedef enum wg_monoid {
    WG_MONOID_NONE, /* it is no such reduction */
    WG_MONOID_SUM,
    WG_MONOID_MAX,
    WG_MONOID_MIN,
    WG_MONOID_PROD,
    WG_MONOID_ANY,
    WG_MONOID_ALL
} wg_monoid;

typedef struct wg_op {
    size_t struct_size;
    const char *sig; /* signature, see the top of this file */
    const char *doc; /* one paragraph: meaning, shapes, formula and its source */
    uint32_t flags;
    wg_infer_fn infer; /* NULL for elementwise ops: broadcasting, dtypes from `kernels` */
    wg_partial_fn partial;
    wg_vjp_fn vjp;
    wg_jvp_fn jvp;
    wg_expand_fn expand; /* composite: the op in terms of others; beside kernels: what executors
                            that fuse run in their place */
    const wg_kernel *kernels;
    size_t nkernels;
    const wg_op_check *check;
    const char *style; /* DOT attributes for pictures, such as "shape=oval"; NULL: default */
    void *data;        /* handed to all functions */
    wg_view_fn view;   /* ops flagged WG_OP_VIEW; NULL: the executor copies */
    wg_monoid monoid;  /* reductions */
    wg_batch_fn
        batch; /* lets loops do the op for all their steps at once; elementwise ops, reductions
                          with a monoid, PICK, GATHER and CONTRACT need none */
    wg_batch_fn
        batch_sum; /* the same, but answers with the sum of each output over all steps, of the
                              type that it has in a step; for ops where that is less work than
                              summing afterwards (CONTRACT needs none) */
} wg_op;
#define WG_OP sizeof(wg_op)

/* Registers `op` (copied, with its strings and tables) in `ctx`; from then on wg_apply, the .wg
 * language, grad, the checker and pictures know it. Never undone. On failure *error (if given)
 * points to a message, borrowed from the context.
 * Any thread. */
WG_API wg_status wg_register(wg_ctx *ctx, const wg_op *op, const char **error);

/* The registry, in order of registration: ops 0 .. wg_op_count-1; borrowed; NULL past the end. */
WG_API size_t wg_op_count(const wg_ctx *ctx);
WG_API const wg_op *wg_op_at(const wg_ctx *ctx, size_t index);
/* By name; NULL when there is none. */
WG_API const wg_op *wg_op_find(const wg_ctx *ctx, const char *name);
/* The op's name (the signature up to '('). */
WG_API const char *wg_op_name(const wg_ctx *ctx, const wg_op *op);

#ifdef __cplusplus
}
#endif
#endif
