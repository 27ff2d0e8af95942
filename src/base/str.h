/* A growable string with a sticky out-of-memory flag: append freely, ask once at the end. */
#ifndef WG_BASE_STR_H
#define WG_BASE_STR_H

#include <stdarg.h>
#include <wengert/types.h>

typedef struct wg__str {
    wg_ctx *ctx;
    char *data; /* NUL-terminated once anything was appended; else NULL */
    size_t len, cap;
    bool failed;
} wg__str;

wg__str wg__str_make(wg_ctx *ctx);
void wg__str_free(wg__str *s);
void wg__str_clear(wg__str *s); /* keeps memory and clears the flag */
void wg__str_add(wg__str *s, const char *text);
void wg__str_addn(wg__str *s, const char *text, size_t n);
void wg__str_addf(wg__str *s, const char *format, ...) WG_PRINTF(2, 3);
void wg__str_addv(wg__str *s, const char *format, va_list args) WG_PRINTF(2, 0);
const char *wg__str_text(const wg__str *s); /* never NULL: "" when empty or failed */
char *wg__str_take(wg__str *s);             /* owned (wg__free), NULL when failed; empties s */

#endif
