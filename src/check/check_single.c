/* Loops of elementwise ops in f32 against those in f64, on the same points. The checker runs in
 * f64 only, so a mistake in an f32 loop alone would go unseen. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "check/checking.h"

enum { SAMPLES = 256, STRAYS = 16 }; /* points; how many may be off: next to a jump, say */
#define ULPS 4

/* The loop whose operands and output all are of dtype `letter`. */
static const wg_kernel *row_of(const wg__op *op, char letter)
{
    for (size_t i = 0; i < op->def.nkernels; i++) {
        const wg_kernel *k = &op->def.kernels[i];
        size_t n = 0;
        bool all = k->loop && k->types;
        for (const char *p = k->types; all && *p; p++) {
            all = *p == letter || *p == '-' || *p == '>';
            n += *p == letter;
        }
        if (all && n == op->sig.nin + 1u)
            return k;
    }
    return NULL;
}

static float draw(wg__check *c, const wg_op_check *check, size_t k)
{
    size_t at = k < 3 ? k : 3;
    while (check && at > 0 && check->low[at] == 0 && check->high[at] == 0)
        at--;
    bool given = check && (check->low[at] != 0 || check->high[at] != 0);
    double low = given ? check->low[at] : -2, high = given ? check->high[at] : 2;
    return (float)(low + (high - low) * wg__check_unit(c));
}

/* Attributes as loops take them: the defaults; where there is none -0.5, 0.5, 1.5, ... in turn. */
static void attributes(const wg__op *op, double *attrs)
{
    double next = -0.5;
    for (size_t i = 0, n = 0; i < op->sig.nattrs; i++) {
        const wg__attr_spec *a = &op->sig.attrs[i];
        bool is_float = a->kind == WG_ATTR_FLOAT;
        if (!is_float && a->kind != WG_ATTR_INT && a->kind != WG_ATTR_BOOL &&
            a->kind != WG_ATTR_DTYPE && a->kind != WG_ATTR_AXIS)
            continue;
        attrs[n++] = a->required ? next++ : is_float ? a->standard.v.f : (double)a->standard.v.i;
    }
}

static bool agree(float single, double right, double size, double ulps)
{
    if (isnan(right) || !(fabs(right) < FLT_MAX))
        return true;
    return fabs(single - right) <= ulps * FLT_EPSILON * (fabs(right) + size) + FLT_MIN;
}

void wg__check_single(wg_ctx *ctx, const wg__op *op, uint64_t seed, wg_check_report *report)
{
    const wg_kernel *single = row_of(op, 'f'), *right = row_of(op, 'd');
    const wg_op_check *check = op->def.check;
    const double ulps = check && check->ulps > 0 ? check->ulps : ULPS;
    const ptrdiff_t still[WG__MAX_OPERANDS + 1] = {0};
    wg__check c = {.ctx = ctx, .random = seed};
    int strays = 0;
    double attrs[WG__MAX_ATTRS];
    attributes(op, attrs);
    for (int i = 0; i < SAMPLES && single && right && strays <= STRAYS; i++) {
        float x[WG__MAX_OPERANDS + 1] = {0};
        double wide[WG__MAX_OPERANDS + 1] = {0}, size = 0;
        char *data[WG__MAX_OPERANDS + 1], *wides[WG__MAX_OPERANDS + 1];
        size_t n = op->sig.nin;
        for (size_t k = 0; k <= n; k++) {
            x[k] = k < n ? draw(&c, check, k) : 0;
            wide[k] = x[k];
            size += fabs(wide[k]);
            data[k] = (char *)&x[k];
            wides[k] = (char *)&wide[k];
        }
        single->loop(1, data, still, attrs, op->def.data);
        right->loop(1, wides, still, attrs, op->def.data);
        if (agree(x[n], wide[n], size, ulps) || ++strays <= STRAYS)
            continue;
        *report = (wg_check_report){.verdict = WG_CHECK_FAILED,
                                    .compared = report->compared + 1,
                                    .what = "f32",
                                    .operand = "(all)",
                                    .element = -1,
                                    .expected = wide[n],
                                    .actual = x[n],
                                    .error = INFINITY};
        snprintf(report->message, sizeof report->message, "%s: the f32 loop is not the f64 one",
                 op->name);
    }
}
