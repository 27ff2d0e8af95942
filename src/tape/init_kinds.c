/* The table of initialisers. */
#include "tape/init_kinds.h"

#include <string.h>

const wg__init_kind wg__init_kinds[WG__INIT_COUNT] = {
    [WG__INIT_ZEROS] = {"zeros", 0, ""},
    [WG__INIT_ONES] = {"ones", 0, ""},
    [WG__INIT_CONSTANT] = {"constant", 1, "value"},
    [WG__INIT_UNIFORM] = {"uniform", 2, "low, high"},
    [WG__INIT_NORMAL] = {"normal", 2, "mean, std"},
    [WG__INIT_XAVIER] = {"xavier", 0, ""},
    [WG__INIT_XAVIER_NORMAL] = {"xavier_normal", 0, ""},
    [WG__INIT_HE] = {"he", 0, ""},
    [WG__INIT_HE_NORMAL] = {"he_normal", 0, ""},
};

wg__init_id wg__init_find(const char *name)
{
    int i = 0;
    while (i < WG__INIT_COUNT && strcmp(wg__init_kinds[i].name, name) != 0)
        i++;
    return (wg__init_id)i;
}

void wg__init_add_names(wg__str *s)
{
    for (int i = 0; i < WG__INIT_COUNT; i++)
        wg__str_addf(s, i ? ", %s" : "%s", wg__init_kinds[i].name);
}
