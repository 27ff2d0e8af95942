/* Texts of the status codes, from the one list in types.h. */
#include <wengert/types.h>

static const char *const texts[] = {
#define TEXT(code, text) text,
    WG_STATUS_LIST(TEXT)
#undef TEXT
};

const char *wg_status_text(wg_status status)
{
    return (unsigned)status < WG_STATUS_COUNT ? texts[status] : "unknown status";
}
