/* The registry: every op the context knows, built-in families first. Ops are deep-copied, given an
 * index and never removed, so readers need no lock; writers hold the context's. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/pool.h"
#include "tape/registry.h"
#include "tensor/tensor.h"

enum { CHUNK = WG__OP_CHUNK, CHUNKS = WG__OP_CHUNKS };

const wg__op *wg__op_find(const wg_ctx *ctx, const char *name)
{
    wg_ctx *c = (wg_ctx *)ctx; /* the lock is not part of the context's value */
    pthread_mutex_lock(&c->lock);
    uint32_t id = wg__pool_find(&c->registry->names, name, strlen(name));
    const wg__op *op = id ? wg__op_at(ctx, id - 1) : NULL;
    pthread_mutex_unlock(&c->lock);
    return op;
}

size_t wg_op_count(const wg_ctx *ctx) { return ctx ? atomic_load(&ctx->registry->count) : 0; }

const wg_op *wg_op_at(const wg_ctx *ctx, size_t index)
{
    return index < wg_op_count(ctx) ? &wg__op_at(ctx, index)->def : NULL;
}

const wg_op *wg_op_find(const wg_ctx *ctx, const char *name)
{
    const wg__op *op = ctx && name ? wg__op_find(ctx, name) : NULL;
    return op ? &op->def : NULL;
}

const char *wg_op_name(const wg_ctx *ctx, const wg_op *op)
{
    (void)ctx;
    return op ? ((const wg__op *)(const void *)((const char *)op - offsetof(wg__op, def)))->name
              : NULL;
}

/* ---- kernels ---------------------------------------------------------------------------------- */

static const struct {
    char letter;
    wg_dtype dtype;
} letters[] = {
#define LETTER(code, name, ctype, letter) {letter, WG_##code},
    WG_DTYPE_LIST(LETTER)
#undef LETTER
};

static int letter_dtype(char c)
{
    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++)
        if (letters[i].letter == c)
            return (int)letters[i].dtype;
    return -1;
}

/* The letters `p` after the arrow against the outputs; `any`: the dtype that '*' stands for. */
static bool outputs_fit(const wg__op *op, const char *p, int any, const wg_type *const *out)
{
    for (size_t i = 0; i < op->sig.nout; i++) {
        int dtype = p[i] == '*' ? any : letter_dtype(p[i]);
        bool starred = op->sig.star_out && i + 1 == op->sig.nout; /* of any number, also none */
        if (!starred && p[i] != '?' && dtype >= 0 && dtype != (int)out[i]->dtype)
            return false;
    }
    return true;
}

static bool kernel_fits(const wg__op *op, const wg_kernel *k, const wg_type *const *in, size_t nin,
                        const wg_type *const *out)
{
    int any = -1;
    const char *p = k->types;
    for (size_t i = 0; i < nin; i++) {
        if (*p == '*') {
            if (any >= 0 && any != (int)in[i]->dtype)
                return false;
            any = (int)in[i]->dtype;
        } else if (*p != '?' && letter_dtype(*p) != (int)in[i]->dtype) {
            return false;
        }
        bool starred = op->sig.star && i + 1 >= op->sig.nin;
        p += !starred;
    }
    return !out || outputs_fit(op, strstr(k->types, "->") + 2, any, out);
}

const wg_kernel *wg__op_kernel(const wg__op *op, const wg_type *const *in, size_t nin,
                               const wg_type *const *out)
{
    for (size_t i = 0; i < op->def.nkernels; i++)
        if (kernel_fits(op, &op->def.kernels[i], in, nin, out))
            return &op->def.kernels[i];
    return NULL;
}

wg_dtype wg__kernel_out(const wg_kernel *kernel, const wg_type *const *in, size_t nin)
{
    const char *out = strstr(kernel->types, "->") + 2, *star = strchr(kernel->types, '*');
    size_t at = (size_t)(star - kernel->types); /* registering saw to it that it is an operand */
    return *out == '*' && at < nin ? in[at]->dtype : (wg_dtype)letter_dtype(*out);
}

void wg__op_add_dtypes(const wg__op *op, wg__str *s)
{
    for (size_t i = 0; i < op->def.nkernels; i++) {
        const char *types = op->def.kernels[i].types;
        wg__str_add(s, i ? ", " : "");
        for (; *types && *types != '-'; types++) {
            int d = letter_dtype(*types);
            wg__str_add(s, d < 0 ? "any" : wg_dtype_name((wg_dtype)d));
            wg__str_add(s, types[1] && types[1] != '-' ? " " : "");
        }
    }
}

/* ---- registering ------------------------------------------------------------------------------ */

static wg_status fail(wg_ctx *ctx, wg_status status, const char *format, ...) WG_PRINTF(3, 4);
static wg_status fail(wg_ctx *ctx, wg_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(ctx->registry->error, sizeof ctx->registry->error, format, args);
    va_end(args);
    return status;
}

static bool types_ok(const wg__op *op, const char *types)
{
    size_t n = 0;
    const char *p = types;
    if (!types)
        return false;
    for (; *p && *p != '-'; p++, n++)
        if (*p != '*' && *p != '?' && letter_dtype(*p) < 0)
            return false;
    if (n != op->sig.nin || p[0] != '-' || p[1] != '>')
        return false;
    bool elementwise = op->def.flags & WG_OP_ELEMENTWISE;
    size_t nout = 0;
    for (p += 2; *p; p++, nout++)
        if (*p == '*' ? !memchr(types, '*', n) : *p == '?' ? elementwise : letter_dtype(*p) < 0)
            return false;
    return nout == op->sig.nout;
}

static void free_op(wg_ctx *ctx, wg__op *op)
{
    if (!op)
        return;
    for (size_t i = 0; op->def.kernels && i < op->def.nkernels; i++) {
        wg__free(ctx, (char *)op->def.kernels[i].types);
        wg__free(ctx, (char *)op->def.kernels[i].expr);
    }
    const wg_op_check *check = op->def.check;
    for (size_t i = 0; check && check->cases && check->cases[i]; i++)
        wg__free(ctx, (char *)check->cases[i]);
    if (check)
        wg__free(ctx, (void *)check->cases);
    wg__free(ctx, (void *)check);
    wg__free(ctx, (void *)op->def.kernels);
    wg__free(ctx, (char *)op->def.sig);
    wg__free(ctx, (char *)op->def.doc);
    wg__free(ctx, (char *)op->def.style);
    wg__sig_free(ctx, &op->sig);
    wg__free(ctx, op);
}

/* Copies `size` bytes of a struct that may be older (shorter) or newer than ours. */
static void copy_struct(void *to, size_t ours, const void *from, size_t theirs)
{
    memset(to, 0, ours);
    memcpy(to, from, theirs < ours ? theirs : ours);
    *(size_t *)to = ours;
}

static bool copy_string(wg_ctx *ctx, const char **text)
{
    if (*text)
        *text = wg__strdup(ctx, *text);
    return *text != NULL;
}

static wg_status copy_kernels(wg_ctx *ctx, wg__op *op, const wg_op *def)
{
    size_t n = def->kernels ? def->nkernels : 0;
    const char *row = (const char *)def->kernels;
    wg_kernel *kernels = wg__calloc(ctx, n ? n : 1, sizeof *kernels);
    if (!kernels)
        return WG_NO_MEMORY;
    op->def.kernels = kernels;
    op->def.nkernels = n;
    for (size_t i = 0; i < n; i++) {
        size_t size = ((const wg_kernel *)(const void *)row)->struct_size;
        copy_struct(&kernels[i], sizeof *kernels, row, size);
        row += size;
        const char *types = kernels[i].types, *expr = kernels[i].expr;
        kernels[i].types = kernels[i].expr = NULL;
        if (!types_ok(op, types))
            return fail(ctx, WG_INVALID, "op %s: kernel %zu: types \"%s\" do not fit the signature",
                        op->name, i, types ? types : "");
        if (!kernels[i].loop == !kernels[i].run)
            return fail(ctx, WG_INVALID, "op %s: kernel %zu: give either loop or run", op->name, i);
        kernels[i].types = types;
        if (!copy_string(ctx, &kernels[i].types))
            return WG_NO_MEMORY;
        kernels[i].expr = expr;
        if (expr && !copy_string(ctx, &kernels[i].expr))
            return WG_NO_MEMORY;
    }
    return WG_OK;
}

static wg_status copy_check(wg_ctx *ctx, wg__op *op, const wg_op_check *from)
{
    wg_op_check *check = wg__alloc(ctx, sizeof *check);
    if (!check)
        return WG_NO_MEMORY;
    copy_struct(check, sizeof *check, from, from->struct_size);
    const char *const *cases = check->cases;
    check->cases = NULL;
    op->def.check = check;
    if (!cases)
        return WG_OK;
    size_t n = 0;
    while (cases[n])
        n++;
    const char **copy = wg__calloc(ctx, n + 1, sizeof *copy);
    if (!copy)
        return WG_NO_MEMORY;
    check->cases = copy;
    for (size_t i = 0; i < n; i++)
        if (!(copy[i] = wg__strdup(ctx, cases[i])))
            return WG_NO_MEMORY;
    return WG_OK;
}

/* Which output dtype operands of one dtype give: the recorder's fast path. */
static void fill_same(wg__op *op)
{
    for (int d = 0; d < WG_DTYPE_COUNT; d++) {
        wg_type type;
        memset(&type, 0, sizeof type);
        type.dtype = (wg_dtype)d;
        const wg_type *in[WG__MAX_OPERANDS];
        for (size_t i = 0; i < WG__MAX_OPERANDS; i++)
            in[i] = &type;
        const wg_kernel *k = NULL;
        if ((op->def.flags & WG_OP_ELEMENTWISE) && !op->def.infer)
            k = wg__op_kernel(op, in, op->sig.nin, NULL);
        op->same[d] = k ? (int8_t)wg__kernel_out(k, in, op->sig.nin) : -1;
    }
}

static wg_status copy_op(wg_ctx *ctx, const wg_op *def, wg__op **out)
{
    wg__op *op = *out = wg__calloc(ctx, 1, sizeof *op);
    if (!op)
        return WG_NO_MEMORY;
    if (!wg__sig_parse(ctx, def->sig ? def->sig : "", &op->sig, ctx->registry->error,
                       sizeof ctx->registry->error))
        return op->sig.text || strstr(ctx->registry->error, "memory") ? WG_NO_MEMORY : WG_INVALID;
    op->name = op->sig.name;
    copy_struct(&op->def, sizeof op->def, def, def->struct_size);
    const wg_op given = op->def;
    op->def.sig = op->def.doc = op->def.style = NULL;
    op->def.kernels = NULL;
    op->def.check = NULL;
    op->def.sig = wg__strdup(ctx, given.sig);
    op->def.doc = wg__strdup(ctx, given.doc ? given.doc : "");
    op->def.style = given.style ? wg__strdup(ctx, given.style) : NULL;
    if (!op->def.sig || !op->def.doc || (given.style && !op->def.style))
        return WG_NO_MEMORY;
    wg_status status = copy_kernels(ctx, op, &given);
    if (!status && given.check)
        status = copy_check(ctx, op, given.check);
    if (!status)
        status = wg__op_check(op, ctx->registry->error, sizeof ctx->registry->error);
    if (!status)
        fill_same(op);
    return status;
}

static wg_status insert(wg_ctx *ctx, wg__op *op)
{
    struct wg__registry *r = ctx->registry;
    size_t n = atomic_load(&r->count);
    if (n == (size_t)CHUNK * CHUNKS)
        return fail(ctx, WG_INVALID, "op %s: the registry is full", op->name);
    if (wg__pool_find(&r->names, op->name, strlen(op->name)))
        return fail(ctx, WG_EXISTS, "op %s is registered already", op->name);
    if (!r->chunk[n / CHUNK] &&
        !(r->chunk[n / CHUNK] = wg__calloc(ctx, CHUNK, sizeof *r->chunk[0])))
        return WG_NO_MEMORY;
    if (!wg__pool_intern(&r->names, op->name, strlen(op->name)))
        return WG_NO_MEMORY;
    op->index = (uint16_t)n;
    r->chunk[n / CHUNK][n % CHUNK] = op;
    atomic_store(&r->count, n + 1);
    return WG_OK;
}

/* Up to its kernels an op is useless. */
enum { MIN_OP = offsetof(wg_op, nkernels) + sizeof(size_t) };

/* The message, kept with the context so that other threads' failures leave it alone. */
static const char *keep_error(wg_ctx *ctx, wg_status status)
{
    struct wg__registry *r = ctx->registry;
    uint32_t id =
        status == WG_NO_MEMORY ? 0 : wg__pool_intern(&r->errors, r->error, strlen(r->error));
    return id ? wg__pool_get(&r->errors, id, NULL) : wg_status_text(status);
}

wg_status wg_register(wg_ctx *ctx, const wg_op *def, const char **error)
{
    wg__op *op = NULL;
    if (!ctx || !def)
        return WG_INVALID;
    pthread_mutex_lock(&ctx->lock);
    wg_status status = WG_OK;
    if (def->struct_size < MIN_OP)
        status = fail(ctx, WG_INVALID, "an op opens with WG_OP, its struct_size");
    if (!status)
        status = copy_op(ctx, def, &op);
    if (!status)
        status = insert(ctx, op);
    if (status)
        free_op(ctx, op);
    if (status && error)
        *error = keep_error(ctx, status);
    pthread_mutex_unlock(&ctx->lock);
    return status;
}

/* ---- the context with its registry ---------------------------------------------------------- */

static void free_registry(wg_ctx *ctx)
{
    struct wg__registry *r = ctx->registry;
    size_t n = atomic_load(&r->count);
    for (size_t i = 0; i < n; i++)
        free_op(ctx, r->chunk[i / CHUNK][i % CHUNK]);
    for (size_t i = 0; i < CHUNKS; i++)
        wg__free(ctx, r->chunk[i]);
    wg__pool_free(&r->names);
    wg__pool_free(&r->errors);
    wg__free(ctx, r);
}

wg_ctx *wg_ctx_new(const wg_ctx_options *options)
{
    wg_ctx *ctx = wg__ctx_new_bare(options);
    if (!ctx)
        return NULL;
    struct wg__registry *r = ctx->registry = wg__calloc(ctx, 1, sizeof *r);
    wg_status status = r ? WG_OK : WG_NO_MEMORY;
    if (r) {
        ctx->free_registry = free_registry;
        wg__pool_init(&r->names, ctx);
        wg__pool_init(&r->errors, ctx);
    }
    for (size_t f = 0; !status && f < wg__builtin_count; f++)
        for (size_t i = 0; !status && i < wg__builtin[f]->count; i++) {
            const char *error = "";
            status = wg_register(ctx, &wg__builtin[f]->ops[i], &error);
            if (status)
                wg__log(ctx, "%s", error);
        }
    if (status) {
        wg_ctx_free(ctx);
        return NULL;
    }
    return ctx;
}
