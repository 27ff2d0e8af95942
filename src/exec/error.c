/* What failed last in a state or a session: a status and its text. */
#include <stdio.h>

#include "exec/exec.h"

wg_status wg__failv(wg__error *e, wg_status status, const char *format, va_list args)
{
    wg__str_clear(&e->text);
    wg__str_addv(&e->text, format, args);
    return e->status = status;
}

wg_status wg__fail(wg__error *e, wg_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    wg__failv(e, status, format, args);
    va_end(args);
    return status;
}

const char *wg__error_text(const wg__error *e)
{
    if (!e->status)
        return "";
    return e->text.len && !e->text.failed ? e->text.data : wg_status_text(e->status);
}
