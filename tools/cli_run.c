/* Compiling a graph that was read, and running it on made-up inputs. */
#include "cli.h"

#include <stdlib.h>

wg_program *cli_graph_compile(const cli_graph *g, const wg_compile_options *options)
{
    wg_program *program = wg_compile(g->tape, g->outs, g->nouts, options);
    if (!program)
        cli_message("%s", wg_tape_status(g->tape) ? wg_tape_error(g->tape)
                                                  : wg_status_text(WG_NO_MEMORY));
    return program;
}

/* splitmix64 (Steele, Lea and Flood 2014) as a number in (0, 1). */
static double uniform(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return ((double)((z ^ z >> 31) >> 12) + 0.5) * 0x1p-52;
}

static void fill(wg_tensor *x, uint64_t *rng)
{
    wg_type type = wg_tensor_type(x);
    int64_t count = wg_shape_count(type.shape);
    for (int64_t i = 0; i < count && type.dtype == WG_F32; i++)
        ((float *)wg_tensor_data_mut(x))[i] = (float)uniform(rng);
    for (int64_t i = 0; i < count && type.dtype == WG_F64; i++)
        ((double *)wg_tensor_data_mut(x))[i] = uniform(rng);
}

static bool bind_inputs(wg_session *s, const wg_program *program)
{
    uint64_t rng = 1;
    for (size_t i = 0; i < wg_program_ninputs(program); i++) {
        wg_type type;
        const char *name = wg_program_input(program, i, &type);
        wg_tensor *x = wg_tensor_new(wg_program_ctx(program), type.dtype, type.shape, NULL);
        if (!x)
            return false;
        fill(x, &rng);
        wg_status status = wg_bind_copy_name(s, name, wg_tensor_data(x), wg_tensor_bytes(x));
        wg_tensor_free(x);
        if (status)
            return false;
    }
    return true;
}

wg_session *cli_session(wg_program *program)
{
    wg_session *s = wg_session_new(program, NULL);
    if (s && bind_inputs(s, program))
        return s;
    cli_message("%s",
                s && wg_session_status(s) ? wg_session_error(s) : wg_status_text(WG_NO_MEMORY));
    wg_session_free(s);
    return NULL;
}
