/* Dimension symbols: the context's table of them, operations under its lock, values. The algebra is
 * in poly.c, the text in symbol_text.c. */
#include <string.h>

#include "tensor/symbol.h"

struct wg__symbols {
    wg__pool pool;
};

/* ---- the context's table ---------------------------------------------------------------------- */

static void free_symbols(wg_ctx *ctx)
{
    wg__pool_free(&ctx->symbols->pool);
    wg__free(ctx, ctx->symbols);
}

static wg__algebra lock(wg_ctx *ctx)
{
    pthread_mutex_lock(&ctx->lock);
    if (!ctx->symbols && (ctx->symbols = wg__calloc(ctx, 1, sizeof *ctx->symbols))) {
        wg__pool_init(&ctx->symbols->pool, ctx);
        ctx->free_symbols = free_symbols;
    }
    return (wg__algebra){ctx->symbols ? &ctx->symbols->pool : NULL, !ctx->symbols};
}

static void unlock(wg_ctx *ctx) { pthread_mutex_unlock(&ctx->lock); }

const wg__expr *wg__expr_fetch(wg_ctx *ctx, uint32_t id)
{
    wg__algebra m = lock(ctx);
    const wg__expr *e = m.pool ? wg__expr_at(&m, id) : NULL;
    unlock(ctx);
    return e;
}

bool wg__symbols_known(wg_ctx *ctx, const wg_shape *shape)
{
    for (int i = 0; i < shape->rank; i++) {
        const wg__expr *e = shape->symbol[i] ? wg__expr_fetch(ctx, shape->symbol[i]) : NULL;
        if (shape->symbol[i] && (!e || e->kind != WG__EXPR_POLY))
            return false;
    }
    return true;
}

/* ---- symbols ---------------------------------------------------------------------------------- */

bool wg__name_char(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (!first && c >= '0' && c <= '9');
}

static uint32_t name_atom(wg__algebra *m, wg_ctx *ctx, const char *name, size_t n)
{
    wg__expr *e = wg__calloc(ctx, 1, sizeof *e + n + 1);
    if (!e)
        return 0;
    e->kind = WG__EXPR_NAME;
    e->weight = 1;
    memcpy(e + 1, name, n);
    uint32_t atom = wg__expr_intern(m, e, sizeof *e + n + 1);
    wg__free(ctx, e);
    return atom;
}

uint32_t wg__symbol_namen(wg_ctx *ctx, const char *name, size_t n)
{
    uint32_t id = 0;
    for (size_t i = 0; i < n; i++)
        if (!wg__name_char(name[i], i == 0))
            return 0;
    wg__algebra m = lock(ctx);
    uint32_t atom = n && m.pool ? name_atom(&m, ctx, name, n) : 0;
    wg__poly p = wg__poly_atom(atom);
    bool ok = atom && wg__poly_store(&m, &p, &id);
    unlock(ctx);
    return ok ? id : 0;
}

uint32_t wg__symbol_name(wg_ctx *ctx, const char *name)
{
    return wg__symbol_namen(ctx, name, strlen(name));
}

uint32_t wg__symbol_const(wg_ctx *ctx, int64_t value)
{
    uint32_t id = 0;
    wg__poly p = wg__poly_constant(value);
    wg__algebra m = lock(ctx);
    bool ok = m.pool && wg__poly_store(&m, &p, &id);
    unlock(ctx);
    return ok ? id : 0;
}

static bool combine(wg__algebra *m, const wg__poly *a, char op, const wg__poly *b, wg__poly *out)
{
    static const char ops[] = "+-*/";
    static bool (*const steps[])(wg__algebra *, const wg__poly *, const wg__poly *, wg__poly *) = {
        wg__poly_add, wg__poly_sub, wg__poly_mul, wg__poly_div};
    const char *at = op ? strchr(ops, op) : NULL;
    return at && steps[at - ops](m, a, b, out);
}

uint32_t wg__symbol_op(wg_ctx *ctx, char op, uint32_t a, uint32_t b)
{
    uint32_t id = 0;
    wg__poly x, y, r;
    wg__algebra m = lock(ctx);
    bool ok = m.pool && wg__poly_load(&m, a, &x) && wg__poly_load(&m, b, &y) &&
              combine(&m, &x, op, &y, &r) && wg__poly_store(&m, &r, &id);
    unlock(ctx);
    return ok ? id : 0;
}

bool wg__symbol_dim(wg_ctx *ctx, wg__dim a, char op, wg__dim b, uint32_t *out)
{
    uint32_t id = 0;
    wg__poly x = wg__poly_constant(a.size), y = wg__poly_constant(b.size), r;
    wg__algebra m = lock(ctx);
    bool ok = m.pool && (!a.symbol || wg__poly_load(&m, a.symbol, &x)) &&
              (!b.symbol || wg__poly_load(&m, b.symbol, &y)) && combine(&m, &x, op, &y, &r) &&
              !wg__poly_is_constant(&r) && wg__poly_store(&m, &r, &id);
    unlock(ctx);
    *out = ok ? id : 0;
    return !m.no_memory;
}

/* ---- values ----------------------------------------------------------------------------------- */

static bool eval(wg_ctx *ctx, uint32_t id, wg__symbol_lookup lookup, void *user, int64_t *out);

static bool eval_atom(wg_ctx *ctx, uint32_t id, wg__symbol_lookup lookup, void *user, int64_t *out)
{
    const wg__expr *e = wg__expr_fetch(ctx, id);
    int64_t a, b;
    if (e->kind == WG__EXPR_NAME)
        return lookup(user, wg__expr_name(e), out);
    return eval(ctx, e->a, lookup, user, &a) && eval(ctx, e->b, lookup, user, &b) &&
           wg__floor_div(a, b, out);
}

/* The lookup runs without the lock: it may use the context. */
static bool eval(wg_ctx *ctx, uint32_t id, wg__symbol_lookup lookup, void *user, int64_t *out)
{
    const wg__expr *e = wg__expr_fetch(ctx, id);
    int64_t sum = 0;
    if (!e || e->kind != WG__EXPR_POLY)
        return false;
    for (uint32_t i = 0; i < e->a; i++) {
        const wg__term *t = &wg__expr_terms(e)[i];
        int64_t product = t->coeff, factor;
        for (uint32_t k = 0; k < t->degree; k++)
            if (!eval_atom(ctx, t->atom[k], lookup, user, &factor) ||
                __builtin_mul_overflow(product, factor, &product))
                return false;
        if (__builtin_add_overflow(sum, product, &sum))
            return false;
    }
    *out = sum;
    return true;
}

bool wg__symbol_eval(wg_ctx *ctx, uint32_t symbol, wg__symbol_lookup lookup, void *user,
                     int64_t *out)
{
    int64_t size;
    if (!eval(ctx, symbol, lookup, user, &size))
        return false;
    *out = size < 0 ? 0 : size;
    return true;
}
