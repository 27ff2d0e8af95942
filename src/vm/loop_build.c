/* Building loops: what the calls of loop.h record, and the frame of loop_end. The work of the end is
 * in loop_space.c (dimensions, levels, patches, tiles) and loop_emit.c (instructions, registers). */
#include <string.h>
#include "vm/loop_inst.h"

wg__loop_builder *wg__loop_begin(wg_ctx *ctx, const int64_t *outer, int nouter, int64_t cols,
                                 int isa)
{
    wg__loop_builder *b = wg__calloc(ctx, 1, sizeof *b);
    if (!b)
        return NULL;
    b->ctx = ctx;
    b->nouter = nouter;
    b->cols = cols;
    b->isa = isa;
    for (int d = 0; d < nouter; d++)
        b->outer[d] = outer[d];
    return b;
}

static void free_builder(wg__loop_builder *b)
{
    wg__vec_free(b->ctx, &b->defs);
    wg__vec_free(b->ctx, &b->operands);
    wg__vec_free(b->ctx, &b->mems);
    wg__vec_free(b->ctx, &b->attrs);
    wg__free(b->ctx, b);
}

/* Adds a value; operands must be values, of which none has failed. */
static wg__reg add(wg__loop_builder *b, wg__def def, const wg__reg *in, size_t nin)
{
    for (size_t i = 0; i < nin; i++)
        if (!b->failed && (in[i] >= b->defs.len || b->defs.data[in[i]].kind >= WG__DEF_STORE))
            b->failed = b->misused = true;
    if (b->failed)
        return WG__NO_REG;
    def.first = (uint32_t)b->operands.len;
    def.nin = (uint32_t)nin;
    bool ok = true;
    for (size_t i = 0; i < nin; i++)
        ok = ok && wg__vec_push(b->ctx, &b->operands, in[i]);
    if (!ok || !wg__vec_push(b->ctx, &b->defs, def)) {
        b->failed = true;
        return WG__NO_REG;
    }
    return (wg__reg)(b->defs.len - 1);
}

static uint32_t add_mem(wg__loop_builder *b, const wg__loop_mem *mem)
{
    if (!b->failed && !wg__vec_push(b->ctx, &b->mems, *mem))
        b->failed = true;
    return (uint32_t)b->mems.len - 1;
}

static wg_dtype dtype_of(const wg__loop_builder *b, wg__reg x)
{
    return x < b->defs.len ? b->defs.data[x].dtype : WG_F32;
}

wg__reg wg__loop_load(wg__loop_builder *b, const wg__loop_mem *mem)
{
    wg__def def = {.kind = WG__DEF_LOAD, .dtype = mem->dtype, .mem = add_mem(b, mem)};
    return add(b, def, NULL, 0);
}

wg__reg wg__loop_gather(wg__loop_builder *b, const wg__loop_mem *mem, wg__reg index, ptrdiff_t step,
                        int64_t limit, uint32_t node)
{
    wg__def def = {.kind = WG__DEF_GATHER, .dtype = mem->dtype, .mem = add_mem(b, mem)};
    def.step = step;
    def.limit = limit;
    def.node = node;
    return add(b, def, &index, 1);
}

wg__reg wg__loop_apply(wg__loop_builder *b, const wg_kernel *kernel, const wg__reg *in, size_t nin,
                       wg_dtype out, const double *attrs, size_t nattrs, void *user)
{
    wg__def def = {.kind = WG__DEF_APPLY, .dtype = out, .kernel = kernel, .user = user, .ops = 1};
    def.attrs = (uint32_t)b->attrs.len;
    def.nattrs = (uint32_t)nattrs;
    for (size_t i = 0; i < nattrs && !b->failed; i++)
        b->failed = !wg__vec_push(b->ctx, &b->attrs, attrs[i]);
    return add(b, def, in, nin);
}

wg__reg wg__loop_iota(wg__loop_builder *b, int dim, int64_t div, int64_t mod, wg_dtype dtype)
{
    wg__def def = {.kind = WG__DEF_IOTA, .dtype = dtype, .dim = dim, .div = div, .mod = mod};
    return add(b, def, NULL, 0);
}

wg__reg wg__loop_reduce(wg__loop_builder *b, wg_monoid monoid, wg__reg x)
{
    wg__def def = {.kind = WG__DEF_REDUCE, .dtype = dtype_of(b, x), .monoid = monoid};
    b->whole_rows = true;
    return add(b, def, &x, 1);
}

wg__reg wg__loop_pick(wg__loop_builder *b, wg__reg x, wg__reg index, uint32_t node)
{
    wg__def def = {.kind = WG__DEF_PICK, .dtype = dtype_of(b, x), .node = node, .limit = b->cols};
    b->whole_rows = true;
    return add(b, def, (wg__reg[]){x, index}, 2);
}

void wg__loop_store(wg__loop_builder *b, wg__reg x, const wg__loop_mem *mem)
{
    wg__def def = {.kind = WG__DEF_STORE, .dtype = mem->dtype, .mem = add_mem(b, mem)};
    add(b, def, &x, 1);
}

void wg__loop_total(wg__loop_builder *b, wg_monoid monoid, wg__reg x, wg__level over,
                    const wg__loop_mem *mem)
{
    wg__def def = {.kind = WG__DEF_TOTAL, .dtype = mem->dtype, .mem = add_mem(b, mem)};
    def.monoid = monoid;
    def.over = over;
    add(b, def, &x, 1);
}

void wg__loop_columns(wg__loop_builder *b, wg_monoid monoid, wg__reg x, const wg__loop_mem *mem)
{
    wg__def def = {.kind = WG__DEF_COLUMNS, .dtype = mem->dtype, .mem = add_mem(b, mem)};
    def.monoid = monoid;
    add(b, def, &x, 1);
}

void wg__loop_cut(wg__loop_builder *b, size_t row_tiles, size_t tiles)
{
    b->cut = true;
    b->bands = row_tiles;
    b->tiles = tiles;
}

wg__loop *wg__loop_end(wg__loop_builder *b, wg_status *why)
{
    wg_ctx *ctx = b->ctx;
    wg__loop *loop = b->failed ? NULL : wg__calloc(ctx, 1, sizeof *loop);
    if (loop) {
        wg__loop_merge(b);
        wg__loop_levels(b);
        bool paired = wg__loop_pair(b);
        wg__loop_patches(b, loop);
        wg__loop_tiling(b, loop);
        if (!paired || !wg__loop_emit(b, loop)) {
            wg__loop_free(ctx, loop);
            loop = NULL;
        }
    }
    if (why)
        *why = loop ? WG_OK : b->misused ? WG_INTERNAL : WG_NO_MEMORY;
    free_builder(b);
    return loop;
}

void wg__loop_free(wg_ctx *ctx, wg__loop *loop)
{
    if (!loop)
        return;
    wg__free(ctx, loop->inst);
    wg__free(ctx, loop->extra);
    wg__free(ctx, loop->args);
    wg__free(ctx, loop->strides);
    wg__free(ctx, loop->attrs);
    wg__free(ctx, loop->mem);
    wg__free(ctx, loop->aim);
    wg__free(ctx, loop->sink);
    wg__free(ctx, loop->at);
    wg__free(ctx, loop);
}

size_t wg__loop_slots(const wg__loop *loop)
{
    size_t slots = 0;
    for (size_t i = 0; i < loop->nmem; i++)
        if (slots <= loop->mem[i].slot)
            slots = (size_t)loop->mem[i].slot + 1;
    return slots;
}

size_t wg__loop_tiles(const wg__loop *loop) { return loop->tiles; }
size_t wg__loop_scratch(const wg__loop *loop) { return loop->scratch; }
size_t wg__loop_partials(const wg__loop *loop) { return loop->partials; }
double wg__loop_cost(const wg__loop *loop) { return loop->cost; }
double wg__loop_flops(const wg__loop *loop) { return loop->flops; }
double wg__loop_bytes(const wg__loop *loop) { return loop->bytes; }
size_t wg__loop_length(const wg__loop *loop) { return loop->ninst; }
