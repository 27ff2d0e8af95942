/* The library as the benchmarks use it: contexts, programs and sessions, or an end with a message. */
#include "bench.h"

wg_ctx *bench_ctx(const bench *b)
{
    wg_ctx_options options = WG_CTX_DEFAULTS;
    options.threads = (size_t)b->now;
    wg_ctx *ctx = wg_ctx_new(&options);
    need(ctx != NULL, "out of memory");
    return ctx;
}

wg_program *bench_compile(const bench *b, wg_tape *tape, const wg_var *outs, size_t nouts)
{
    wg_compile_options options = WG_COMPILE_DEFAULTS;
    options.executor = b->executor;
    need_tape(tape);
    wg_program *program = wg_compile(tape, outs, nouts, &options);
    need(program != NULL, "%s", wg_tape_error(tape));
    return program;
}

wg_session *bench_open(const bench *b, wg_tape *tape, const wg_var *outs, size_t nouts,
                       wg_state *state)
{
    wg_program *program = bench_compile(b, tape, outs, nouts);
    wg_session *s = wg_session_new(program, state);
    need(s != NULL, "no session: %s", state ? wg_state_error(state) : "out of memory");
    wg_program_free(program); /* the session keeps it */
    return s;
}

void bench_bind(wg_session *session, wg_var input, const void *data, size_t bytes)
{
    need(wg_bind(session, input, data, bytes) == WG_OK, "%s", wg_session_error(session));
}

double bench_run(void *session, size_t repeats)
{
    wg_session *s = session;
    wg_status status = WG_OK;
    double start = bench_now();
    for (size_t i = 0; i < repeats && status == WG_OK; i++)
        status = wg_run(s);
    double took = bench_now() - start;
    need(status == WG_OK, "%s", wg_session_error(s));
    return took;
}
