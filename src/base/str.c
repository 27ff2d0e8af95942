/* The growable string. After the first failed allocation it swallows what follows; the caller asks
 * once, at the end. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"

wg__str wg__str_make(wg_ctx *ctx) { return (wg__str){.ctx = ctx}; }

void wg__str_free(wg__str *s)
{
    wg__free(s->ctx, s->data);
    *s = wg__str_make(s->ctx);
}

void wg__str_clear(wg__str *s)
{
    s->len = 0;
    s->failed = false;
    if (s->data)
        s->data[0] = 0;
}

/* Room for `extra` characters and the NUL. */
static bool reserve(wg__str *s, size_t extra)
{
    if (s->failed)
        return false;
    if (extra < s->cap - s->len)
        return true;
    s->failed = extra == SIZE_MAX || !wg__vec_grow(s->ctx, &s->data, &s->cap, s->len, extra + 1, 1);
    return !s->failed;
}

void wg__str_add(wg__str *s, const char *text) { wg__str_addn(s, text, strlen(text)); }

void wg__str_addn(wg__str *s, const char *text, size_t n)
{
    if (!reserve(s, n))
        return;
    if (n)
        memcpy(s->data + s->len, text, n);
    s->len += n;
    s->data[s->len] = 0;
}

void wg__str_addf(wg__str *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    wg__str_addv(s, format, args);
    va_end(args);
}

void wg__str_addv(wg__str *s, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    if (n < 0)
        s->failed = true;
    else if (reserve(s, (size_t)n)) {
        vsnprintf(s->data + s->len, (size_t)n + 1, format, again);
        s->len += (size_t)n;
    }
    va_end(again);
}

const char *wg__str_text(const wg__str *s) { return s->data && !s->failed ? s->data : ""; }

char *wg__str_take(wg__str *s)
{
    wg__str_addn(s, "", 0); /* an empty string is a string too */
    char *text = s->failed ? NULL : s->data;
    if (text)
        s->data = NULL;
    wg__str_free(s);
    return text;
}
