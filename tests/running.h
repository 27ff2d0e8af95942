/* For tests: a context and a tape per test, and short ways to compile, run and look at states. */
#ifndef WG_TESTS_RUNNING_H
#define WG_TESTS_RUNNING_H

#include <check.h>
#include <stdlib.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <wengert.h>
#include "suite.h"

static wg_ctx *ctx;
static wg_tape *t;

static inline void setup(void)
{
    ctx = wg_ctx_new(NULL);
    t = wg_tape_new(ctx);
    ck_assert_ptr_nonnull(t);
}

static inline void teardown(void)
{
    wg_tape_free(t);
    wg_ctx_free(ctx);
}

static inline wg_program *compile(const wg_var *outs, size_t nouts)
{
    wg_compile_options options = WG_COMPILE_DEFAULTS;
    options.verify = true;
    wg_program *p = wg_compile(t, outs, nouts, &options);
    ck_assert_msg(p != NULL, "%s", wg_tape_error(t));
    return p;
}

static inline wg_session *session(const wg_var *outs, size_t nouts, wg_state *state)
{
    wg_program *p = compile(outs, nouts);
    wg_session *s = wg_session_new(p, state);
    ck_assert_msg(s != NULL, "%s", wg_state_error(state));
    wg_program_free(p);
    return s;
}

static inline void run_ok(wg_session *s)
{
    wg_status status = wg_run(s);
    ck_assert_msg(status == WG_OK, "%s", wg_session_error(s));
}

static inline wg_var scalar_param(const char *name, double value)
{
    return wg_param(t, name, WG_F64, WG_SCALAR, wg_init_constant(value));
}

static inline double state_scalar(wg_session *s, const char *name)
{
    return wg_tensor_get(wg_state_get(wg_session_state(s), name), 0);
}

static inline void ck_has(const char *text, const char *part)
{
    ck_assert_msg(strstr(text, part) != NULL, "\"%s\" lacks \"%s\"", text, part);
}

static inline wg_var apply1(const char *op, wg_var x)
{
    wg_var out;
    wg_apply(x.tape, op, &x, 1, NULL, 0, &out, 1);
    return out;
}

#endif
