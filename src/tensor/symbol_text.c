/* Text of dimension symbols: "2*N + 1", "(N + 1)/2". What is written reads back to the same id; any
 * other sums, products and divisions of names and integers are read too. */
#include <inttypes.h>
#include <string.h>

#include "tensor/symbol.h"

enum { MAX_DEPTH = 100 }; /* of parentheses */

/* ---- writing ---------------------------------------------------------------------------------- */

static void add_poly(wg__str *s, wg_ctx *ctx, uint32_t id, bool closed);

/* A single name or constant. */
static bool is_simple(wg_ctx *ctx, uint32_t id)
{
    const wg__expr *e = wg__expr_fetch(ctx, id);
    const wg__term *t = wg__expr_terms(e);
    if (e->a != 1 || !t->degree)
        return e->a <= 1;
    return t->degree == 1 && t->coeff == 1 &&
           wg__expr_fetch(ctx, t->atom[0])->kind == WG__EXPR_NAME;
}

/* `alone`: nothing else is multiplied, so that a division needs no parentheses. */
static void add_atom(wg__str *s, wg_ctx *ctx, uint32_t id, bool alone)
{
    const wg__expr *e = wg__expr_fetch(ctx, id);
    if (e->kind == WG__EXPR_NAME) {
        wg__str_add(s, wg__expr_name(e));
        return;
    }
    wg__str_add(s, alone ? "" : "(");
    add_poly(s, ctx, e->a, wg__expr_fetch(ctx, e->a)->a > 1);
    wg__str_add(s, "/");
    add_poly(s, ctx, e->b, !is_simple(ctx, e->b));
    wg__str_add(s, alone ? "" : ")");
}

static void add_factors(wg__str *s, wg_ctx *ctx, const wg__term *t, int64_t coeff)
{
    if (!t->degree || (coeff != 1 && coeff != -1))
        wg__str_addf(s, "%" PRId64 "%s", coeff, t->degree ? "*" : "");
    else if (coeff < 0)
        wg__str_add(s, "-");
    for (uint32_t i = 0; i < t->degree; i++) {
        wg__str_add(s, i ? "*" : "");
        add_atom(s, ctx, t->atom[i], t->degree == 1 && t->coeff == 1);
    }
}

static void add_poly(wg__str *s, wg_ctx *ctx, uint32_t id, bool closed)
{
    const wg__expr *e = wg__expr_fetch(ctx, id);
    wg__str_add(s, closed ? "(" : "");
    if (!e->a)
        wg__str_add(s, "0");
    for (uint32_t i = 0; i < e->a; i++) {
        const wg__term *t = &wg__expr_terms(e)[i];
        bool minus = i && t->coeff < 0 && t->coeff != INT64_MIN;
        wg__str_add(s, !i ? "" : minus ? " - " : " + ");
        add_factors(s, ctx, t, minus ? -t->coeff : t->coeff);
    }
    wg__str_add(s, closed ? ")" : "");
}

void wg__add_symbol(wg__str *s, wg_ctx *ctx, uint32_t symbol)
{
    const wg__expr *e = wg__expr_fetch(ctx, symbol);
    if (e && e->kind == WG__EXPR_POLY)
        add_poly(s, ctx, symbol, false);
    else
        wg__str_add(s, "?");
}

/* ---- reading ---------------------------------------------------------------------------------- */

typedef struct parser {
    wg_ctx *ctx;
    const char *at; /* behind the last token: spaces are skipped only when another one follows */
    int depth;
} parser;

static uint32_t parse_sum(parser *p);

static char peek(const parser *p) { return p->at[strspn(p->at, " ")]; }

static void skip(parser *p) { p->at += strspn(p->at, " ") + 1; }

static uint32_t parse_number(parser *p, int64_t sign)
{
    int64_t value = 0;
    for (; *p->at >= '0' && *p->at <= '9'; p->at++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, sign * (*p->at - '0'), &value))
            return 0;
    return wg__symbol_const(p->ctx, value);
}

static uint32_t parse_name(parser *p)
{
    const char *start = p->at;
    while (wg__name_char(*p->at, p->at == start))
        p->at++;
    return wg__symbol_namen(p->ctx, start, (size_t)(p->at - start));
}

static uint32_t parse_inner(parser *p)
{
    skip(p);
    uint32_t id = p->depth++ < MAX_DEPTH ? parse_sum(p) : 0;
    p->depth--;
    if (!id || peek(p) != ')')
        return 0;
    skip(p);
    return id;
}

static uint32_t parse_factor(parser *p)
{
    int64_t sign = 1;
    for (; peek(p) == '-'; sign = -sign)
        skip(p);
    p->at += strspn(p->at, " ");
    if (*p->at >= '0' && *p->at <= '9')
        return parse_number(p, sign);
    uint32_t id = *p->at == '(' ? parse_inner(p) : parse_name(p);
    return sign > 0 ? id : wg__symbol_op(p->ctx, '-', wg__symbol_const(p->ctx, 0), id);
}

/* operand { op operand }, from the left */
static uint32_t parse_chain(parser *p, const char *ops, uint32_t (*operand)(parser *))
{
    uint32_t id = operand(p);
    while (id && peek(p) && strchr(ops, peek(p))) {
        char op = peek(p);
        skip(p);
        id = wg__symbol_op(p->ctx, op, id, operand(p));
    }
    return id;
}

static uint32_t parse_product(parser *p) { return parse_chain(p, "*/", parse_factor); }

static uint32_t parse_sum(parser *p) { return parse_chain(p, "+-", parse_product); }

uint32_t wg__symbol_parse(wg_ctx *ctx, const char *text, const char **end)
{
    parser p = {ctx, text, 0};
    uint32_t id = parse_sum(&p);
    if (end)
        *end = p.at;
    return id;
}
