/* Log densities, as composites: the op in terms of others, whose rules differentiate it.
 *
 * The three operands broadcast and share one float dtype. Outside the domain (std or scale not
 * above 0) the logarithm answers: NaN below 0, and no finite number at 0. */
#include <wengert/ops.h>

#include "tape/op.h"

static wg_status density_infer(wg_infer *q)
{
    q->out[0] = q->in[0];
    for (size_t i = 1; i < q->nin; i++) {
        wg_shape shape;
        if (q->in[i].dtype != q->in[0].dtype)
            return wg_infer_fail(q, WG_DTYPE, "operands have one dtype: %s with %s; use cast",
                                 wg_infer_text(q, q->in[0]), wg_infer_text(q, q->in[i]));
        if (!wg_shape_broadcast(q->out[0].shape, q->in[i].shape, &shape))
            return wg_infer_fail(q, WG_SHAPE, "shapes do not broadcast: %s with %s",
                                 wg_infer_text(q, q->out[0]), wg_infer_text(q, q->in[i]));
        q->out[0].shape = shape;
    }
    return WG_OK;
}

#define HALF_LOG_2PI 0.91893853320467274178

/* -((x - mean) / std)^2 / 2 - log(std) - log(2 pi) / 2 */
static void normal_logpdf_expand(wg_rule *r)
{
    wg_var z = wg_div(wg_sub(r->in[0], r->in[1]), r->in[2]);
    wg_var norm = wg_add(wg_log(r->in[2]), wg_f(HALF_LOG_2PI));
    r->result[0] = wg_sub(wg_mul(wg_f(-0.5), wg_square(z)), norm);
}

/* -|x - loc| / scale - log(2 scale) */
static void laplace_logpdf_expand(wg_rule *r)
{
    wg_var distance = wg_div(wg_abs(wg_sub(r->in[0], r->in[1])), r->in[2]);
    wg_var norm = wg_log(wg_mul(wg_f(2), r->in[2]));
    r->result[0] = wg_neg(wg_add(distance, norm));
}

static double at_location(const double *x) { return x[0] < x[1] ? x[1] - x[0] : x[0] - x[1]; }

static const char *const normal_logpdf_cases[] = {
    "graph case(x: f64[3, 2], mean: f64[2], std: f64[3, 1]) -> (y) {\n"
    "    y = normal_logpdf(x, mean, std)\n"
    "}\n",
    NULL,
};
static const char *const laplace_logpdf_cases[] = {
    "graph case(x: f64[3, 2], loc: f64[2], scale: f64[3, 1]) -> (y) {\n"
    "    y = laplace_logpdf(x, loc, scale)\n"
    "}\n",
    NULL,
};

/* clang-format off */
static const wg_op_check normal_logpdf_check = {
    WG_OP_CHECK, .low = {-2, -2, 0.5}, .high = {2, 2, 2},
    .cases = normal_logpdf_cases, .ulps = 16};
static const wg_op_check laplace_logpdf_check = {
    WG_OP_CHECK, .low = {-2, -2, 0.5}, .high = {2, 2, 2}, .kink = at_location,
    .cases = laplace_logpdf_cases, .ulps = 16};

static const wg_op ops[] = {
    {WG_OP, .sig = "normal_logpdf(x: float, mean: float, std: float) -> y",
     .doc = "The log density of the normal distribution, -((x - mean) / std)^2 / 2 - log(std) - "
            "log(2 pi) / 2, element by element with broadcasting; std > 0.",
     .infer = density_infer, .expand = normal_logpdf_expand,
     .check = &normal_logpdf_check,},
    {WG_OP, .sig = "laplace_logpdf(x: float, loc: float, scale: float) -> y",
     .doc = "The log density of the Laplace distribution, -|x - loc| / scale - log(2 scale), element "
            "by element with broadcasting; scale > 0. The derivative by x and loc is 0 at x = loc.",
     .infer = density_infer, .expand = laplace_logpdf_expand,
     .check = &laplace_logpdf_check,},
};
/* clang-format on */

const wg__family wg__ops_prob = {ops, sizeof ops / sizeof *ops};
