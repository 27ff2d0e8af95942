/* Writing .wg text: what print.c (statements) and spell.c (names, strings, numbers, attributes)
 * share. Only src/text includes this. */
#ifndef WG_TEXT_PRINT_H
#define WG_TEXT_PRINT_H

#include <wengert/text.h>
#include "tape/tape.h"

/* One tape that is being written: which of its values and fns are shown by name. */
typedef struct wg__sheet {
    wg__str *s;
    const wg_tape *t;
    uint8_t *named;   /* by id: the value is shown by name */
    uint8_t *plain;   /* by scope: all its names can stand in a path */
    wg__pool fns;     /* pointers to the fns that nodes use, in order of first use */
    uint8_t *by_name; /* by fn: shown by name */
    uint32_t defined; /* fns written so far */
    uint32_t scope;   /* open */
    int indent;
} wg__sheet;

/* False when memory is out; wg__sheet_free in either case. */
bool wg__sheet_init(wg__sheet *sheet, wg__str *s, const wg_tape *t, int indent);
void wg__sheet_free(wg__sheet *sheet);

uint32_t wg__sheet_fn_order(const wg__sheet *sheet, const wg__fn *fn);

void wg__add_ref(const wg__sheet *sheet, uint32_t id);   /* layer1.W, or %12 */
void wg__add_typed(const wg__sheet *sheet, uint32_t id); /* W: f32[2], or %12 "odd name": f32 */
void wg__add_fn_label(const wg__sheet *sheet, uint32_t order, bool definition);
void wg__add_attrs(const wg__sheet *sheet, uint32_t id, bool comma);
void wg__add_quoted(wg__str *s, const char *text);
/* As wg__add_number; a NaN that is not the plain one by its bits. */
void wg__add_exact(wg__str *s, wg_dtype dtype, const void *data, int64_t index);

#endif
