/* How symbols are stored: for poly.c, symbol.c, symbol_text.c and
 * shape.c only.
 *
 * A symbol is a polynomial with integer coefficients over atoms; an atom is a name or a floor
 * division that could not be carried out. Polynomials and atoms are interned in one pool of the
 * context, so equal ids mean equal normal forms. */
#ifndef WG_TENSOR_SYMBOL_H
#define WG_TENSOR_SYMBOL_H

#include "base/pool.h"
#include "tensor/tensor.h"

/* Larger expressions are given up: the dimension then has a size and no symbol. */
enum { WG__MAX_TERMS = 32, WG__MAX_DEGREE = 8, WG__MAX_WEIGHT = 1024 };

/* coeff * atom[0] * ... * atom[degree - 1], atoms in order; the rest is zero. */
typedef struct wg__term {
    int64_t coeff;
    uint32_t atom[WG__MAX_DEGREE];
    uint32_t degree, zero;
} wg__term;

typedef enum wg__expr_kind { WG__EXPR_POLY, WG__EXPR_NAME, WG__EXPR_DIV } wg__expr_kind;

/* An interned expression. A polynomial is followed by its `a` terms (highest first, none for 0), a
 * name by its text; a division is floor(a / b) of two polynomials. */
typedef struct wg__expr {
    uint32_t kind;
    uint32_t weight; /* number of coefficients and names in its text */
    uint32_t a, b;
} wg__expr;

static inline const wg__term *wg__expr_terms(const wg__expr *e)
{
    return (const wg__term *)(const void *)(e + 1);
}
static inline const char *wg__expr_name(const wg__expr *e) { return (const char *)(e + 1); }
/* Locks the context; the expression stays as long as it. NULL when there is no such id. */
const wg__expr *wg__expr_fetch(wg_ctx *ctx, uint32_t id);
/* As wg__symbol_name, from `n` characters. */
uint32_t wg__symbol_namen(wg_ctx *ctx, const char *name, size_t n);
bool wg__name_char(char c, bool first);

/* ---- algebra, poly.c -------------------------------------------------------------------------- */

typedef struct wg__poly {
    uint32_t n;
    wg__term t[WG__MAX_TERMS];
} wg__poly;

/* Some algebra under the context's lock. Its steps return false when the result overflows or grows
 * too large, or, with no_memory set, when memory is out. */
typedef struct wg__algebra {
    wg__pool *pool;
    bool no_memory;
} wg__algebra;

const wg__expr *wg__expr_at(const wg__algebra *m, uint32_t id);
uint32_t wg__expr_intern(wg__algebra *m, const void *expr, size_t size);
bool wg__poly_load(const wg__algebra *m, uint32_t id, wg__poly *p);
bool wg__poly_store(wg__algebra *m, const wg__poly *p, uint32_t *id);
wg__poly wg__poly_constant(int64_t value);
wg__poly wg__poly_atom(uint32_t atom);
bool wg__poly_is_constant(const wg__poly *p);
bool wg__poly_add(wg__algebra *m, const wg__poly *a, const wg__poly *b, wg__poly *out);
bool wg__poly_sub(wg__algebra *m, const wg__poly *a, const wg__poly *b, wg__poly *out);
bool wg__poly_mul(wg__algebra *m, const wg__poly *a, const wg__poly *b, wg__poly *out);
bool wg__poly_div(wg__algebra *m, const wg__poly *a, const wg__poly *b, wg__poly *out);

/* floor(a / b); false when b is 0 or the quotient overflows. */
static inline bool wg__floor_div(int64_t a, int64_t b, int64_t *out)
{
    if (!b || (a == INT64_MIN && b == -1))
        return false;
    *out = a / b - (a % b && (a < 0) != (b < 0));
    return true;
}

#endif
