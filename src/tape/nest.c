/* The broadcast loop nest of an elementwise node: what every executor of naive kernels, and constant
 * folding, run such a node with. */
#include <string.h>

#include "tape/nest.h"

/* The broadcast loop nest of a node: dimensions of size 1 dropped, neighbours merged where every
 * operand steps through both evenly. strides[d][k]: bytes from one index of dimension d to the
 * next in operand k; 0 where it is broadcast. */
typedef struct nest {
    size_t rank, nargs;
    int64_t size[WG_MAX_RANK];
    ptrdiff_t strides[WG_MAX_RANK][WG__MAX_OPERANDS + 1];
} nest;

/* The strides of operand `type` in an output of shape `out`, in bytes. */
static void strides_of(const wg_type *type, const wg_shape *out, ptrdiff_t *stride)
{
    ptrdiff_t step = (ptrdiff_t)wg_dtype_size(type->dtype);
    int skip = out->rank - type->shape.rank;
    for (int d = out->rank - 1; d >= 0; d--) {
        int64_t size = d >= skip ? type->shape.dim[d - skip] : 1;
        stride[d] = size == 1 ? 0 : step;
        step *= size;
    }
}

static bool mergeable(const nest *n, size_t outer, const ptrdiff_t *inner, int64_t size)
{
    for (size_t k = 0; k < n->nargs; k++)
        if (n->strides[outer][k] != inner[k] * size)
            return false;
    return true;
}

static void nest_push(nest *n, int64_t size, const ptrdiff_t *strides)
{
    if (n->rank && mergeable(n, n->rank - 1, strides, size)) {
        n->size[n->rank - 1] *= size;
    } else {
        n->size[n->rank++] = size;
    }
    memcpy(n->strides[n->rank - 1], strides, n->nargs * sizeof *strides);
}

static void nest_make(nest *n, const wg_kernel_call *c)
{
    const wg_shape *out = &c->out[0].type->shape;
    ptrdiff_t by_arg[WG__MAX_OPERANDS + 1][WG_MAX_RANK], row[WG__MAX_OPERANDS + 1];
    n->rank = 0;
    n->nargs = c->nin + 1;
    for (size_t k = 0; k < c->nin; k++)
        strides_of(c->in[k].type, out, by_arg[k]);
    strides_of(c->out[0].type, out, by_arg[c->nin]);
    for (int d = 0; d < out->rank; d++) {
        if (out->dim[d] == 1)
            continue;
        for (size_t k = 0; k < n->nargs; k++)
            row[k] = by_arg[k][d];
        nest_push(n, out->dim[d], row);
    }
}

/* Steps the outer dimensions on by one; false at the end. */
static bool advance(const nest *n, int64_t *index, char **data)
{
    for (size_t d = n->rank - 1; d-- > 0;) {
        bool wraps = ++index[d] == n->size[d];
        for (size_t k = 0; k < n->nargs; k++)
            data[k] += n->strides[d][k] * (wraps ? 1 - n->size[d] : 1);
        if (!wraps)
            return true;
        index[d] = 0;
    }
    return false;
}

void wg__nest_run(const wg_kernel *kernel, const wg_kernel_call *c)
{
    double attrs[WG__MAX_ATTRS];
    static const ptrdiff_t still[WG__MAX_OPERANDS + 1];
    nest n;
    char *data[WG__MAX_OPERANDS + 1];
    int64_t index[WG_MAX_RANK] = {0};
    if (wg_shape_count(c->out[0].type->shape) == 0)
        return;
    nest_make(&n, c);
    wg__attrs_doubles(c->attrs, attrs);
    for (size_t k = 0; k < c->nin; k++)
        data[k] = c->in[k].data;
    data[c->nin] = c->out[0].data;
    if (n.rank == 0) {
        kernel->loop(1, data, still, attrs, c->data);
        return;
    }
    do
        kernel->loop((size_t)n.size[n.rank - 1], data, n.strides[n.rank - 1], attrs, c->data);
    while (advance(&n, index, data));
}
