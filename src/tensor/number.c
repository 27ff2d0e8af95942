/* Numbers as text, the same in every locale: digits and exponent are handed to and taken from the C
 * library without a decimal point, which is all of a number that a locale changes. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/tensor.h"

/* Digits that may matter when a double is rounded (767), and some more. */
enum { MAX_DIGITS = 800, MAX_EXPONENT = 100000 };

/* 0.d1 d2 d3 ... * 10^point, or a word. */
typedef struct decimal {
    bool negative;
    int64_t point;
    size_t n;
    char digits[MAX_DIGITS + 2];
} decimal;

static double to_double(const char *text) { return strtod(text, NULL); }
static double to_float(const char *text) { return (double)strtof(text, NULL); }

/* How a float dtype rounds decimals, the digits that any of its normal numbers keeps, and those
 * that tell all its numbers apart. */
typedef struct format {
    double (*read)(const char *text);
    int kept, enough;
    double smallest_normal;
} format;
static const format formats[WG_DTYPE_COUNT] = {
    [WG_F32] = {to_float, 6, 9, 0x1p-126},
    [WG_F64] = {to_double, 15, 17, 0x1p-1022},
};

static double value_of(const format *f, const decimal *d)
{
    char text[MAX_DIGITS + 32];
    int64_t exponent = d->point - (int64_t)d->n;
    if (exponent > MAX_EXPONENT)
        exponent = MAX_EXPONENT;
    if (exponent < -MAX_EXPONENT)
        exponent = -MAX_EXPONENT;
    snprintf(text, sizeof text, "%s%.*se%d", d->negative ? "-" : "", (int)d->n, d->digits,
             (int)exponent);
    return f->read(text);
}

/* ---- writing ---------------------------------------------------------------------------------- */

/* The nearest decimal of `precision` digits, without trailing zeros. */
static void round_to(double x, int precision, decimal *d)
{
    char text[64];
    snprintf(text, sizeof text, "%.*e", precision - 1, fabs(x));
    const char *at = text;
    d->negative = signbit(x);
    d->n = 0;
    for (; *at != 'e'; at++)
        if (*at >= '0' && *at <= '9')
            d->digits[d->n++] = *at;
    d->point = strtol(at + 1, NULL, 10) + 1;
    while (d->n > 1 && d->digits[d->n - 1] == '0')
        d->n--;
}

/* A normal number that has a decimal of at most `kept` digits shows it when rounded to so many. */
static void shortest(const format *f, double x, decimal *d)
{
    int precision = fabs(x) < f->smallest_normal ? 1 : f->kept;
    do
        round_to(x, precision, d);
    while (precision++ < f->enough && value_of(f, d) != x);
}

/* Plain from 0.0001 to 16 digits before the point, else with an exponent. */
static void add_decimal(wg__str *s, const decimal *d)
{
    int n = (int)d->n, point = (int)d->point;
    wg__str_add(s, d->negative ? "-" : "");
    if (point > 16 || point < -3) {
        wg__str_addn(s, d->digits, 1);
        wg__str_addf(s, "%s%.*se%+03d", n > 1 ? "." : "", n - 1, d->digits + 1, point - 1);
    } else if (point <= 0) {
        wg__str_addf(s, "0.%.*s%.*s", -point, "0000", n, d->digits);
    } else if (point >= n) {
        wg__str_addf(s, "%.*s%.*s", n, d->digits, point - n, "0000000000000000");
    } else {
        wg__str_addf(s, "%.*s.%.*s", point, d->digits, n - point, d->digits + point);
    }
}

static void add_float(wg__str *s, const format *f, double x)
{
    decimal d;
    if (isnan(x)) {
        wg__str_add(s, "nan");
    } else if (isinf(x)) {
        wg__str_add(s, x < 0 ? "-inf" : "inf");
    } else if (x == 0) {
        wg__str_add(s, signbit(x) ? "-0" : "0");
    } else {
        shortest(f, x, &d);
        add_decimal(s, &d);
    }
}

void wg__add_number(wg__str *s, wg_dtype dtype, const void *data, int64_t index)
{
    if (wg_dtype_is_float(dtype))
        add_float(s, &formats[dtype], wg__load(dtype, data, index));
    else if (dtype == WG_I64)
        wg__str_addf(s, "%" PRId64, ((const int64_t *)data)[index]);
    else if (dtype == WG_I32)
        wg__str_addf(s, "%" PRId32, ((const int32_t *)data)[index]);
    else if (dtype == WG_BOOL)
        wg__str_add(s, ((const uint8_t *)data)[index] ? "true" : "false");
    else
        wg__str_add(s, "?");
}

/* ---- reading ---------------------------------------------------------------------------------- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Keeps the first digits; of those behind, whether one is not zero is all that rounding needs. */
static void keep(decimal *d, char digit)
{
    if (d->n < MAX_DIGITS)
        d->digits[d->n++] = digit;
    else if (digit != '0' && d->digits[MAX_DIGITS - 1] == '0')
        d->digits[MAX_DIGITS - 1] = '1';
}

/* digits [. digits], leading zeros dropped; NULL when there is no digit. */
static const char *read_digits(const char *at, decimal *d)
{
    bool fraction = false, any = false;
    for (; is_digit(*at) || (*at == '.' && !fraction); at++) {
        if (*at == '.') {
            fraction = true;
            continue;
        }
        any = true;
        if (d->n || *at != '0')
            keep(d, *at);
        if (!fraction && d->n)
            d->point++;
        else if (fraction && !d->n)
            d->point--;
    }
    return any ? at : NULL;
}

static const char *read_exponent(const char *at, decimal *d)
{
    int64_t e = 0, sign = 1;
    if (*at != 'e' && *at != 'E')
        return at;
    at++;
    if (*at == '+' || *at == '-')
        sign = *at++ == '-' ? -1 : 1;
    if (!is_digit(*at))
        return NULL;
    for (; is_digit(*at); at++)
        if (e < INT64_MAX / 100)
            e = e * 10 + (*at - '0');
    d->point += sign * e;
    return at;
}

static bool parse_float(const format *f, const char *text, double *x)
{
    decimal d = {.negative = *text == '-'};
    text += d.negative;
    if (!strcmp(text, "inf") || (!strcmp(text, "nan") && !d.negative)) {
        *x = *text == 'n' ? (double)NAN : d.negative ? -HUGE_VAL : HUGE_VAL;
        return true;
    }
    text = read_digits(text, &d);
    text = text ? read_exponent(text, &d) : NULL;
    if (!text || *text)
        return false;
    if (!d.n)
        d = (decimal){.negative = d.negative, .n = 1, .digits = "0"};
    *x = value_of(f, &d);
    return !isinf(*x);
}

static bool parse_integer(const char *text, int64_t low, int64_t high, int64_t *x)
{
    bool negative = *text == '-';
    text += negative;
    const char *at = text;
    for (*x = 0; is_digit(*at); at++)
        if (__builtin_mul_overflow(*x, 10, x) ||
            __builtin_add_overflow(*x, negative ? '0' - *at : *at - '0', x))
            return false;
    return at != text && !*at && *x >= low && *x <= high;
}

static bool parse_bool(const char *text, double *x)
{
    *x = !strcmp(text, "true");
    return *x != 0 || !strcmp(text, "false");
}

bool wg__parse_number(wg_dtype dtype, const char *text, void *data, int64_t index)
{
    double x;
    int64_t i;
    if (dtype == WG_I64) {
        if (!parse_integer(text, INT64_MIN, INT64_MAX, &i))
            return false;
        ((int64_t *)data)[index] = i;
        return true;
    }
    bool ok = false;
    if (wg_dtype_is_float(dtype)) {
        ok = parse_float(&formats[dtype], text, &x);
    } else if (dtype == WG_I32) {
        ok = parse_integer(text, INT32_MIN, INT32_MAX, &i);
        x = (double)i;
    } else if (dtype == WG_BOOL) {
        ok = parse_bool(text, &x);
    }
    if (ok)
        wg__store(dtype, data, index, x);
    return ok;
}
