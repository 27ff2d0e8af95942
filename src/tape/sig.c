/* Signatures: "matmul(a, b; transpose_a: bool = false) -> y" parsed into wg__sig. The text is the
 * one source of operand names, attributes and outputs (see wengert/op.h). */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "tape/registry.h"
#include "tensor/tensor.h"

typedef struct scanner {
    const char *at;
    char *words;       /* where the next word is copied to */
    const char *error; /* first complaint, NULL while well */
} scanner;

static void complain(scanner *s, const char *error)
{
    if (!s->error)
        s->error = error;
}

static bool accept(scanner *s, char c)
{
    while (*s->at == ' ')
        s->at++;
    if (*s->at != c)
        return false;
    s->at++;
    return true;
}

static void expect(scanner *s, char c, const char *complaint)
{
    if (!s->error && !accept(s, c))
        complain(s, complaint);
}

static bool word_char(char c, bool number)
{
    return isalnum((unsigned char)c) || c == '_' || (number && strchr("+-.[]", c) && c);
}

/* The next identifier, or with `number` the next number, [] or word. */
static const char *word(scanner *s, bool number, const char *complaint)
{
    while (*s->at == ' ')
        s->at++;
    char *start = s->words;
    while (word_char(*s->at, number))
        *s->words++ = *s->at++;
    if (s->words == start || (!number && isdigit((unsigned char)*start)))
        complain(s, complaint);
    *s->words++ = 0;
    return start;
}

static const char *quoted(scanner *s)
{
    char *start = s->words;
    expect(s, '"', "a string default must be quoted");
    while (*s->at && *s->at != '"')
        *s->words++ = *s->at++;
    expect(s, '"', "unfinished string");
    *s->words++ = 0;
    return start;
}

static wg__class parse_class(scanner *s)
{
    static const struct {
        const char *name;
        wg__class cls;
    } classes[] = {{"float", WG__FLOAT}, {"int", WG__INT}, {"bool", WG__BOOLEAN}, {"num", WG__NUM}};
    if (!accept(s, ':'))
        return WG__ANY;
    const char *name = word(s, false, "operand class expected");
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (strcmp(name, classes[i].name) == 0)
            return classes[i].cls;
    complain(s, "unknown operand class: float, int, bool or num");
    return WG__ANY;
}

static wg_attr_kind parse_kind(scanner *s)
{
    static const struct {
        const char *name;
        wg_attr_kind kind;
    } kinds[] = {{"int", WG_ATTR_INT},     {"float", WG_ATTR_FLOAT}, {"bool", WG_ATTR_BOOL},
                 {"dtype", WG_ATTR_DTYPE}, {"axis", WG_ATTR_AXIS},   {"axes", WG_ATTR_AXES},
                 {"ints", WG_ATTR_INTS},   {"shape", WG_ATTR_SHAPE}, {"string", WG_ATTR_STRING},
                 {"fn", WG_ATTR_FN},       {"fns", WG_ATTR_FNS}};
    const char *name = word(s, false, "attribute kind expected");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(name, kinds[i].name) == 0)
            return kinds[i].kind;
    complain(s, "unknown attribute kind: int float bool dtype axis axes ints shape string fn fns");
    return WG_ATTR_NONE;
}

static bool parse_dtype(const char *text, int64_t *out)
{
    for (int d = 0; d < WG_DTYPE_COUNT; d++)
        if (strcmp(text, wg_dtype_name((wg_dtype)d)) == 0)
            return *out = d, true;
    return false;
}

static void parse_default(scanner *s, wg__attr_spec *spec)
{
    wg_attr *a = &spec->standard;
    bool good = true;
    if (a->kind == WG_ATTR_STRING) {
        a->v.string = quoted(s);
        return;
    }
    const char *text = word(s, true, "default expected");
    if (s->error)
        return;
    switch (a->kind) {
    case WG_ATTR_INT:
    case WG_ATTR_AXIS:
        good = wg__parse_number(WG_I64, text, &a->v.i, 0);
        break;
    case WG_ATTR_FLOAT:
        good = wg__parse_number(WG_F64, text, &a->v.f, 0);
        break;
    case WG_ATTR_BOOL:
        a->v.i = strcmp(text, "true") == 0;
        good = a->v.i || strcmp(text, "false") == 0;
        break;
    case WG_ATTR_DTYPE:
        good = parse_dtype(text, &a->v.i);
        break;
    case WG_ATTR_AXES:
        a->v.axes = WG_ALL_AXES;
        good = strcmp(text, "all") == 0;
        break;
    case WG_ATTR_INTS:
        good = strcmp(text, "[]") == 0;
        break;
    default:
        good = false;
    }
    if (!good)
        complain(s, "this default does not fit the attribute's kind");
}

static void parse_operands(scanner *s, wg__sig *sig)
{
    if (accept(s, ')') || accept(s, ';')) {
        s->at--;
        return;
    }
    do {
        if (sig->star)
            complain(s, "a starred operand must be the last");
        if (sig->nin == WG__MAX_OPERANDS) {
            complain(s, "too many operands (at most 8; use a starred one)");
            return;
        }
        sig->in[sig->nin] = word(s, false, "operand name expected");
        sig->star = accept(s, '*');
        sig->cls[sig->nin++] = parse_class(s);
    } while (!s->error && accept(s, ','));
}

static void parse_attrs(scanner *s, wg__sig *sig)
{
    do {
        if (sig->nattrs == WG__MAX_ATTRS) {
            complain(s, "too many attributes (at most 12)");
            return;
        }
        wg__attr_spec *spec = &sig->attrs[sig->nattrs++];
        spec->name = word(s, false, "attribute name expected");
        expect(s, ':', "':' and the attribute's kind expected");
        spec->kind = spec->standard.kind = parse_kind(s);
        spec->standard.name = spec->name;
        spec->required = !accept(s, '=');
        if (!spec->required)
            parse_default(s, spec);
    } while (!s->error && accept(s, ','));
}

static void parse_outputs(scanner *s, wg__sig *sig)
{
    do {
        if (sig->star_out)
            complain(s, "a starred output must be the last");
        if (sig->nout == WG__MAX_OUTS) {
            complain(s, "too many outputs (at most 8; use a starred one)");
            return;
        }
        sig->out[sig->nout++] = word(s, false, "output name expected (several as -> a, b)");
        sig->star_out = accept(s, '*');
    } while (!s->error && accept(s, ','));
}

static bool names_differ(const wg__sig *sig)
{
    const char *names[WG__MAX_OPERANDS + WG__MAX_ATTRS + WG__MAX_OUTS];
    size_t n = 0;
    for (size_t i = 0; i < sig->nin; i++)
        names[n++] = sig->in[i];
    for (size_t i = 0; i < sig->nattrs; i++)
        names[n++] = sig->attrs[i].name;
    for (size_t i = 0; i < sig->nout; i++)
        names[n++] = sig->out[i];
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(names[i], names[k]) == 0)
                return false;
    return true;
}

bool wg__sig_parse(wg_ctx *ctx, const char *text, wg__sig *sig, char *message, size_t size)
{
    memset(sig, 0, sizeof *sig);
    sig->text = wg__alloc(ctx, 2 * strlen(text) + 2);
    if (!sig->text) {
        snprintf(message, size, "out of memory");
        return false;
    }
    scanner s = {text, sig->text, NULL};
    sig->name = word(&s, false, "a name is expected first");
    expect(&s, '(', "'(' expected after the name");
    parse_operands(&s, sig);
    if (accept(&s, ';'))
        parse_attrs(&s, sig);
    expect(&s, ')', "')' expected");
    expect(&s, '-', "'-> output' expected");
    expect(&s, '>', "'-> output' expected");
    if (!s.error)
        parse_outputs(&s, sig);
    while (*s.at == ' ')
        s.at++;
    if (*s.at)
        complain(&s, "text after the signature");
    if (!names_differ(sig))
        complain(&s, "a name stands twice");
    if (s.error) {
        snprintf(message, size, "signature \"%s\", at \"%.20s\": %s", text, s.at, s.error);
        wg__sig_free(ctx, sig);
        return false;
    }
    return true;
}

void wg__sig_free(wg_ctx *ctx, wg__sig *sig)
{
    wg__free(ctx, sig->text);
    sig->text = NULL;
}
