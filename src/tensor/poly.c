/* Polynomials over atoms (see symbol.h): sums, products and floor divisions in normal form.
 *
 * Terms are ordered by degree, then by their atoms; atoms by their text, never by their ids, so
 * that the form does not depend on what was interned before. Divisions are carried out where that
 * is exact, and by a constant c > 0 as floor((q*c + r) / c) = q + floor(r / c). Cancelling a common
 * factor takes it to be non-zero, as the division itself does. */
#include <string.h>

#include "tensor/symbol.h"

/* ---- interning -------------------------------------------------------------------------------- */

const wg__expr *wg__expr_at(const wg__algebra *m, uint32_t id)
{
    if (!id || id > m->pool->entries.len)
        return NULL;
    return wg__pool_get(m->pool, id, NULL);
}

uint32_t wg__expr_intern(wg__algebra *m, const void *expr, size_t size)
{
    uint32_t id = wg__pool_intern(m->pool, expr, size);
    m->no_memory |= !id;
    return id;
}

bool wg__poly_load(const wg__algebra *m, uint32_t id, wg__poly *p)
{
    const wg__expr *e = wg__expr_at(m, id);
    if (!e || e->kind != WG__EXPR_POLY)
        return false;
    p->n = e->a;
    memcpy(p->t, wg__expr_terms(e), e->a * sizeof *p->t);
    return true;
}

bool wg__poly_store(wg__algebra *m, const wg__poly *p, uint32_t *id)
{
    struct {
        wg__expr head;
        wg__term t[WG__MAX_TERMS];
    } e = {{WG__EXPR_POLY, 1, p->n, 0}, {{0}}};
    for (uint32_t i = 0; i < p->n; i++) {
        e.t[i] = p->t[i];
        e.head.weight++;
        for (uint32_t k = 0; k < p->t[i].degree; k++)
            e.head.weight += wg__expr_at(m, p->t[i].atom[k])->weight;
    }
    if (e.head.weight > WG__MAX_WEIGHT)
        return false;
    return (*id = wg__expr_intern(m, &e, sizeof e.head + p->n * sizeof *e.t)) != 0;
}

wg__poly wg__poly_constant(int64_t value)
{
    wg__poly p = {.n = value != 0, .t = {{.coeff = value}}};
    return p;
}

wg__poly wg__poly_atom(uint32_t atom)
{
    wg__poly p = {.n = 1, .t = {{.coeff = 1, .degree = 1, .atom = {atom}}}};
    return p;
}

bool wg__poly_is_constant(const wg__poly *p) { return p->n == 0 || p->t[0].degree == 0; }

/* ---- order ------------------------------------------------------------------------------------ */

static int compare_monomials(const wg__algebra *m, const wg__term *a, const wg__term *b);

static int compare_polys(const wg__algebra *m, uint32_t a, uint32_t b)
{
    const wg__expr *x = wg__expr_at(m, a), *y = wg__expr_at(m, b);
    for (uint32_t i = 0; i < x->a && i < y->a; i++) {
        const wg__term *s = &wg__expr_terms(x)[i], *t = &wg__expr_terms(y)[i];
        int c = compare_monomials(m, s, t);
        if (!c)
            c = (s->coeff > t->coeff) - (s->coeff < t->coeff);
        if (c)
            return c;
    }
    return (x->a > y->a) - (x->a < y->a);
}

/* Names before divisions. */
static int compare_atoms(const wg__algebra *m, uint32_t a, uint32_t b)
{
    if (a == b)
        return 0;
    const wg__expr *x = wg__expr_at(m, a), *y = wg__expr_at(m, b);
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->kind == WG__EXPR_NAME)
        return strcmp(wg__expr_name(x), wg__expr_name(y));
    int c = compare_polys(m, x->a, y->a);
    return c ? c : compare_polys(m, x->b, y->b);
}

/* Higher degrees first: the graded lexical order, which products respect. */
static int compare_monomials(const wg__algebra *m, const wg__term *a, const wg__term *b)
{
    if (a->degree != b->degree)
        return a->degree > b->degree ? -1 : 1;
    for (uint32_t i = 0; i < a->degree; i++) {
        int c = compare_atoms(m, a->atom[i], b->atom[i]);
        if (c)
            return c;
    }
    return 0;
}

/* ---- sums and products ------------------------------------------------------------------------ */

static void remove_term(wg__poly *p, uint32_t i)
{
    p->n--;
    memmove(&p->t[i], &p->t[i + 1], (p->n - i) * sizeof *p->t);
}

static bool add_term(const wg__algebra *m, wg__poly *p, const wg__term *t)
{
    uint32_t i = 0;
    int c = 1;
    if (!t->coeff)
        return true;
    while (i < p->n && (c = compare_monomials(m, &p->t[i], t)) < 0)
        i++;
    if (i < p->n && c == 0) {
        if (__builtin_add_overflow(p->t[i].coeff, t->coeff, &p->t[i].coeff))
            return false;
        if (!p->t[i].coeff)
            remove_term(p, i);
        return true;
    }
    if (p->n == WG__MAX_TERMS)
        return false;
    memmove(&p->t[i + 1], &p->t[i], (p->n - i) * sizeof *p->t);
    p->t[i] = *t;
    p->n++;
    return true;
}

static bool mul_terms(const wg__algebra *m, const wg__term *a, const wg__term *b, wg__term *out)
{
    wg__term r = {.degree = a->degree + b->degree};
    if (r.degree > WG__MAX_DEGREE || __builtin_mul_overflow(a->coeff, b->coeff, &r.coeff))
        return false;
    for (uint32_t i = 0, j = 0; i + j < r.degree;) {
        bool left =
            j == b->degree || (i < a->degree && compare_atoms(m, a->atom[i], b->atom[j]) <= 0);
        r.atom[i + j] = left ? a->atom[i] : b->atom[j];
        left ? i++ : j++;
    }
    *out = r;
    return true;
}

/* p += a * t */
static bool add_product(const wg__algebra *m, wg__poly *p, const wg__poly *a, const wg__term *t)
{
    for (uint32_t i = 0; i < a->n; i++) {
        wg__term product;
        if (!mul_terms(m, &a->t[i], t, &product) || !add_term(m, p, &product))
            return false;
    }
    return true;
}

static bool scaled_sum(wg__algebra *m, const wg__poly *a, int64_t scale, const wg__poly *b,
                       wg__poly *out)
{
    *out = *a;
    return add_product(m, out, b, &(wg__term){.coeff = scale});
}

bool wg__poly_add(wg__algebra *m, const wg__poly *a, const wg__poly *b, wg__poly *out)
{
    return scaled_sum(m, a, 1, b, out);
}

bool wg__poly_sub(wg__algebra *m, const wg__poly *a, const wg__poly *b, wg__poly *out)
{
    return scaled_sum(m, a, -1, b, out);
}

bool wg__poly_mul(wg__algebra *m, const wg__poly *a, const wg__poly *b, wg__poly *out)
{
    out->n = 0;
    for (uint32_t i = 0; i < b->n; i++)
        if (!add_product(m, out, a, &b->t[i]))
            return false;
    return true;
}

/* ---- division --------------------------------------------------------------------------------- */

/* *out = a / b where that is a term again. */
static bool div_terms(const wg__term *a, const wg__term *b, wg__term *out)
{
    wg__term r = {0};
    int64_t q;
    if (!wg__floor_div(a->coeff, b->coeff, &q) || a->coeff % b->coeff)
        return false;
    uint32_t j = 0;
    for (uint32_t i = 0; i < a->degree; i++) {
        if (j < b->degree && a->atom[i] == b->atom[j])
            j++;
        else
            r.atom[r.degree++] = a->atom[i];
    }
    r.coeff = q;
    *out = r;
    return j == b->degree;
}

/* Long division by the leading terms; false unless it comes out even. */
static bool div_exact(const wg__algebra *m, const wg__poly *a, const wg__poly *b, wg__poly *out)
{
    wg__poly rest = *a;
    out->n = 0;
    for (int step = 0; rest.n && step < WG__MAX_TERMS; step++) {
        wg__term q, minus = {.coeff = -1};
        if (!div_terms(&rest.t[0], &b->t[0], &q) || !add_term(m, out, &q) ||
            !mul_terms(m, &q, &minus, &q) || !add_product(m, &rest, b, &q))
            return false;
    }
    return rest.n == 0;
}

static uint64_t magnitude(int64_t x) { return x < 0 ? -(uint64_t)x : (uint64_t)x; }

/* The greatest common divisor of g and the coefficients; constants are left out on demand. */
static uint64_t common_divisor(uint64_t g, const wg__poly *p, bool constants)
{
    for (uint32_t i = 0; i < p->n; i++)
        for (uint64_t x = constants || p->t[i].degree ? magnitude(p->t[i].coeff) : 0; x;) {
            uint64_t r = g % x;
            g = x;
            x = r;
        }
    return g;
}

/* Drops from `common` the atoms that some term of p lacks. */
static void common_atoms(const wg__poly *p, wg__term *common)
{
    for (uint32_t i = 0; i < p->n; i++) {
        wg__term kept = {0};
        for (uint32_t j = 0, from = 0; j < common->degree; j++) {
            uint32_t k = from;
            while (k < p->t[i].degree && p->t[i].atom[k] != common->atom[j])
                k++;
            if (k < p->t[i].degree) {
                kept.atom[kept.degree++] = common->atom[j];
                from = k + 1;
            }
        }
        *common = kept;
    }
}

/* Divides a and b by their greatest common monomial, and makes b's leading coefficient positive. */
static bool cancel(wg__poly *a, wg__poly *b)
{
    uint64_t g = common_divisor(common_divisor(0, a, true), b, true);
    wg__term common = b->t[0];
    if (g > INT64_MAX)
        return false;
    common_atoms(b, &common);
    common_atoms(a, &common);
    common.coeff = b->t[0].coeff < 0 ? -(int64_t)g : (int64_t)g;
    for (uint32_t i = 0; i < a->n; i++)
        if (!div_terms(&a->t[i], &common, &a->t[i]))
            return false;
    for (uint32_t i = 0; i < b->n; i++)
        if (!div_terms(&b->t[i], &common, &b->t[i]))
            return false;
    return true;
}

static bool div_atom(wg__algebra *m, const wg__poly *a, const wg__poly *b, wg__poly *out)
{
    wg__expr e = {.kind = WG__EXPR_DIV};
    if (!wg__poly_store(m, a, &e.a) || !wg__poly_store(m, b, &e.b))
        return false;
    e.weight = wg__expr_at(m, e.a)->weight + wg__expr_at(m, e.b)->weight;
    uint32_t atom = wg__expr_intern(m, &e, sizeof e);
    *out = wg__poly_atom(atom);
    return atom != 0;
}

static bool div_constant(wg__algebra *m, const wg__poly *a, int64_t c, wg__poly *out);

/* floor((floor(x / d) + k) / c) = floor((x + k*d) / (c*d)) for d > 0; false when a is not of this
 * form. */
static bool div_nested(wg__algebra *m, const wg__poly *a, int64_t c, wg__poly *out)
{
    const wg__expr *e = a->t[0].degree == 1 ? wg__expr_at(m, a->t[0].atom[0]) : NULL;
    wg__poly x, d, k = wg__poly_constant(a->n == 2 ? a->t[1].coeff : 0);
    if (!e || e->kind != WG__EXPR_DIV || a->t[0].coeff != 1 || a->n > 2 ||
        (a->n == 2 && a->t[1].degree))
        return false;
    int64_t cd;
    if (!wg__poly_load(m, e->a, &x) || !wg__poly_load(m, e->b, &d) || !wg__poly_is_constant(&d) ||
        __builtin_mul_overflow(c, d.t[0].coeff, &cd) || !add_product(m, &x, &k, &d.t[0]))
        return false;
    return div_constant(m, &x, cd, out);
}

/* a / c for a constant c > 1: the quotients of the coefficients, plus what floor leaves of the
 * remainders, which lie in 0 .. c-1. */
static bool div_constant(wg__algebra *m, const wg__poly *a, int64_t c, wg__poly *out)
{
    wg__poly quotient = {0}, rest = {0}, scaled = {0}, part, divisor;
    for (uint32_t i = 0; i < a->n; i++) {
        wg__term q = a->t[i], r = a->t[i];
        wg__floor_div(a->t[i].coeff, c, &q.coeff);
        r.coeff = r.coeff % c + (r.coeff % c < 0 ? c : 0);
        if (!add_term(m, &quotient, &q) || !add_term(m, &rest, &r))
            return false;
    }
    *out = quotient;
    if (wg__poly_is_constant(&rest))
        return true;
    int64_t g = (int64_t)common_divisor((uint64_t)c, &rest, false);
    for (uint32_t i = 0; i < rest.n; i++) {
        rest.t[i].coeff /= g;
        if (!add_term(m, &scaled, &rest.t[i]))
            return false;
    }
    divisor = wg__poly_constant(c / g);
    if (!div_nested(m, &scaled, c / g, &part) && !div_atom(m, &scaled, &divisor, &part))
        return false;
    return wg__poly_add(m, &quotient, &part, out);
}

bool wg__poly_div(wg__algebra *m, const wg__poly *a, const wg__poly *b, wg__poly *out)
{
    wg__poly x = *a, y = *b;
    *out = wg__poly_constant(0);
    if (!b->n || !a->n)
        return b->n != 0;
    if (!cancel(&x, &y))
        return false;
    if (div_exact(m, &x, &y, out))
        return true;
    return wg__poly_is_constant(&y) ? div_constant(m, &x, y.t[0].coeff, out)
                                    : div_atom(m, &x, &y, out);
}
