/* For tests that record: a context and a tape per test, verified at its end; errors by status and a
 * part of their message; and the main program of one case. */
#ifndef WG_TESTS_ON_TAPE_H
#define WG_TESTS_ON_TAPE_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <wengert.h>
#include "suite.h"
#include "tape/tape.h"

static wg_ctx *ctx;
static wg_tape *t;

static inline void setup(void)
{
    ctx = wg_ctx_new(NULL);
    t = wg_tape_new(ctx);
}

static inline void teardown(void)
{
    char message[256] = "";
    ck_assert_msg(wg__verify(t, message, sizeof message) == WG_OK, "%s", message);
    wg_tape_free(t);
    wg_ctx_free(ctx);
}

/* The tape has this error, with `part` in its message; clears it. */
static inline void expect_error(wg_status status, const char *part)
{
    ck_assert_int_eq(wg_tape_status(t), status);
    ck_assert_msg(strstr(wg_tape_error(t), part), "\"%s\" is not in \"%s\"", part,
                  wg_tape_error(t));
    wg_tape_clear_error(t);
}

/* Element `i` of a value on the tape. */
static inline double at(wg_var v, int64_t i)
{
    const wg_tensor *x = wg_value(v);
    ck_assert_msg(x != NULL, "%s", wg_tape_error(t));
    return wg_tensor_get(x, i);
}

static inline TCase *case_on_tape(Suite *suite, int seconds)
{
    TCase *c = tcase_create("on tape");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, seconds);
    suite_add_tcase(suite, c);
    return c;
}

#endif
