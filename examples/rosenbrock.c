/* rosenbrock: the example of README.md, word for word: a function, its derivatives, its minimum. */
#include <stdio.h>
#include <wengert.h>

int main(void)
{
    wg_ctx *ctx = wg_ctx_new(NULL);
    wg_tape *t = wg_tape_new(ctx);

    /* Recording: f = (1 - x)^2 + 100 (y - x^2)^2 at (-1.2, 1). */
    wg_var x = wg_param(t, "x", WG_F64, WG_SCALAR, wg_init_constant(-1.2));
    wg_var y = wg_param(t, "y", WG_F64, WG_SCALAR, wg_init_constant(1));
    wg_var valley = wg_mul(wg_f(100), wg_square(wg_sub(y, wg_square(x))));
    wg_var f = wg_name(wg_add(wg_square(wg_sub(wg_f(1), x)), valley), "f");

    /* Gradients are graph, so they have gradients. */
    wg_var at[] = {x, y}, g[2];
    wg_grad(&f, 1, NULL, at, 2, g);
    printf("f = %g, df/dx = %g, df/dy = %g, d2f/dx2 = %g\n", wg_value_scalar(f),
           wg_value_scalar(g[0]), wg_value_scalar(g[1]), wg_value_scalar(wg_grad1(g[0], x)));

    /* Any graph can be held against finite differences. */
    wg_check_report report;
    if (wg_gradcheck(t, &f, 1, at, 2, NULL, &report) == WG_OK)
        printf("check: %s\n", report.verdict == WG_CHECK_PASSED ? "passed" : report.message);

    /* One program is the whole step: forward, backward, update. */
    wg_adam_options adam = WG_ADAM_DEFAULTS;
    adam.common.lr = 0.02;
    wg_adam(t, f, at, 2, &adam);
    wg_program *step = wg_compile(t, &f, 1, NULL);
    wg_session *s = step ? wg_session_new(step, NULL) : NULL;
    if (!s) {
        fprintf(stderr, "%s\n", wg_tape_error(t));
        return 1;
    }
    for (int i = 0; i < 5000; i++)
        if (wg_run(s) != WG_OK)
            return 1;
    const wg_state *state = wg_session_state(s);
    printf("after 5000 steps of Adam: x = %.4f, y = %.4f\n",
           wg_tensor_get(wg_state_get(state, "x"), 0), wg_tensor_get(wg_state_get(state, "y"), 0));

    wg_session_free(s);
    wg_program_free(step);
    wg_tape_free(t);
    wg_ctx_free(ctx);
    return 0;
}
