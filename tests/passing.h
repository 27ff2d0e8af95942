/* For tests of passes: graphs of tapes, passes by name, and values before and after them. */
#ifndef WG_TESTS_PASSING_H
#define WG_TESTS_PASSING_H

#include "pass/pass.h"
#include "running.h"
#include "rng.h"

/* ---- graphs ------------------------------------------------------------------------------------------ */

static inline wg__graph graph_of(wg_tape *tape, const wg_var *outs, size_t nouts)
{
    wg__graph g = {
        .ctx = ctx, .report = tape, .tape = tape, .nroots = nouts, .nids = nouts, .explain = true};
    g.ids = wg__calloc(ctx, nouts, sizeof *g.ids);
    for (size_t i = 0; i < nouts; i++)
        g.ids[i] = (uint32_t)outs[i].bits;
    return g;
}

static const wg__pass *pass_named(const char *name)
{
    for (size_t i = 0; i < wg__pass_count; i++)
        if (strcmp(wg__passes[i].name, name) == 0)
            return &wg__passes[i];
    ck_abort_msg("there is no pass \"%s\"", name);
    return NULL;
}

static inline void check_verified(const wg__graph *g, const char *what)
{
    char message[256] = "";
    ck_assert_msg(wg__verify(g->tape, message, sizeof message) == WG_OK, "%s: %s", what, message);
}

/* Runs passes by name, separated by spaces; "all" is the pipeline. */
static inline void run_passes(wg__graph *g, const char *names)
{
    char copy[128];
    snprintf(copy, sizeof copy, "%s", names);
    for (char *name = strtok(copy, " "); name; name = strtok(NULL, " ")) {
        wg_status status = strcmp(name, "all") == 0 ? wg__pipeline(g, WG__LEVEL_FUSING, true)
                                                    : pass_named(name)->run(g);
        ck_assert_msg(status == WG_OK, "%s: %s", name, wg_tape_error(g->report));
        check_verified(g, name);
    }
}

/* ---- values before and after ------------------------------------------------------------------------------ */

/* Inputs and params of the program get numbers that depend on their names alone. */
static inline void bind_inputs(wg_session *s, const wg_program *p)
{
    for (size_t i = 0; i < wg_program_ninputs(p); i++) {
        wg_type type;
        const char *name = wg_program_input(p, i, &type);
        wg_tensor *x = wg_tensor_new(ctx, type.dtype, type.shape, NULL);
        rng r = rng_make(name[0]);
        for (int64_t k = 0; k < wg_shape_count(type.shape); k++)
            wg__store(type.dtype, wg_tensor_data_mut(x), k,
                      wg_dtype_is_float(type.dtype) ? rng_unit(&r) * 2 - 1
                                                    : (double)rng_int(&r, 0, 1));
        ck_assert_int_eq(wg_bind_copy_name(s, name, wg_tensor_data(x), wg_tensor_bytes(x)), WG_OK);
        wg_tensor_free(x);
    }
}

static inline wg_session *run_reference(wg_tape *tape, const wg_var *outs, size_t nouts)
{
    wg_compile_options options = WG_COMPILE_DEFAULTS;
    options.executor = "reference";
    options.no_effects = true;
    options.no_cache = true;
    wg_program *p = wg_compile(tape, outs, nouts, &options);
    ck_assert_msg(p != NULL, "%s", wg_tape_error(tape));
    wg_session *s = wg_session_new(p, NULL);
    bind_inputs(s, p);
    run_ok(s);
    wg_program_free(p);
    return s;
}

static inline bool close_enough(double want, double got, double tolerance)
{
    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got);
    return want == got || fabs(want - got) <= tolerance * (1 + fabs(want));
}

static inline void check_same_values(const wg_session *want, const wg_session *got, size_t nouts,
                                     double tolerance, const char *what)
{
    for (size_t i = 0; i < nouts; i++) {
        wg_type a, b;
        const void *x = wg_output_at(want, i, &a, NULL), *y = wg_output_at(got, i, &b, NULL);
        ck_assert_msg(wg__type_equal(&a, &b), "%s: output %zu has another type", what, i);
        for (int64_t k = 0; k < wg_shape_count(a.shape); k++) {
            double u = wg__load(a.dtype, x, k), v = wg__load(b.dtype, y, k);
            ck_assert_msg(close_enough(u, v, tolerance), "%s: output %zu[%lld] is %.17g, not %.17g",
                          what, i, (long long)k, v, u);
        }
    }
}

/* Passes leave values alone: to the bit (but for the sign of zero) unless they say that they round. */
static inline void check_values(wg_tape *tape, const wg_var *outs, size_t nouts, const char *passes,
                                double tolerance, const char *what)
{
    wg_session *want = run_reference(tape, outs, nouts);
    wg__graph g = graph_of(tape, outs, nouts);
    run_passes(&g, passes);
    wg_var after[64];
    ck_assert_uint_le(nouts, 64);
    for (size_t i = 0; i < nouts; i++)
        after[i] = wg__var(g.tape, g.ids[i]);
    wg_session *got = run_reference((wg_tape *)g.tape, after, nouts);
    check_same_values(want, got, nouts, tolerance, what);
    wg_session_free(want);
    wg_session_free(got);
    wg__graph_free(&g);
}

#endif
