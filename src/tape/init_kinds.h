/* The initialisers of parameters: their names and how many numbers each takes. exec/init.c draws from
 * them, src/text reads and prints them. */
#ifndef WG_TAPE_INIT_KINDS_H
#define WG_TAPE_INIT_KINDS_H

#include "base/str.h"

typedef enum wg__init_id {
    WG__INIT_ZEROS,
    WG__INIT_ONES,
    WG__INIT_CONSTANT,
    WG__INIT_UNIFORM,
    WG__INIT_NORMAL,
    WG__INIT_XAVIER,
    WG__INIT_XAVIER_NORMAL,
    WG__INIT_HE,
    WG__INIT_HE_NORMAL,
    WG__INIT_COUNT
} wg__init_id;

typedef struct wg__init_kind {
    const char *name;
    int nnumbers;        /* of wg_init.a and .b: how many it reads */
    const char *numbers; /* their names, "" for none */
} wg__init_kind;

extern const wg__init_kind wg__init_kinds[WG__INIT_COUNT];

/* WG__INIT_COUNT when there is none of this name. */
wg__init_id wg__init_find(const char *name);
/* Appends the names: "zeros, ones, constant". */
void wg__init_add_names(wg__str *s);

#endif
