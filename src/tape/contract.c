/* The contract of an op, checked when it is registered: what its flags promise to passes and executors,
 * which read operands and attributes by these promises. Included by nothing; see wg__op_check. */
#include <stdio.h>
#include <string.h>

#include "tape/registry.h"

enum { MAX_WANTED = 3 };

/* What stands under a name in the signature. */
typedef struct wanted {
    const char *name;
    wg_attr_kind kind;
} wanted;

/* clang-format off */
static const struct promise {
    uint32_t flag; /* 0: the op has a monoid */
    const char *what;
    size_t least, most; /* operands */
    bool integer;       /* the second operand is of class int */
    const char *dtypes; /* the letters that rows are made of; NULL: any */
    wanted attrs[MAX_WANTED];
    const char *needs;
} promises[] = {
    {0, "a monoid", 1, 1, false, NULL, {{"axes", WG_ATTR_AXES}, {"keepdims", WG_ATTR_BOOL}},
     "1 operand, 1 output of its dtype, and attributes axes: axes and keepdims: bool"},
    {WG_OP_CONTRACT, "WG_OP_CONTRACT", 2, 2, false, "fd",
     {{"transpose_a", WG_ATTR_BOOL}, {"transpose_b", WG_ATTR_BOOL}},
     "2 operands, 1 output, all f32 or all f64, and attributes transpose_a: bool and transpose_b: bool"},
    {WG_OP_GATHER, "WG_OP_GATHER", 2, 2, true, NULL, {{"axis", WG_ATTR_AXIS}},
     "2 operands, the second of class int, 1 output of the first's dtype, and an attribute axis: axis"},
    {WG_OP_PICK, "WG_OP_PICK", 2, 2, true, NULL, {{NULL, 0}},
     "2 operands, the second of class int, and 1 output of the first's dtype"},
    {WG_OP_IOTA, "WG_OP_IOTA", 0, 0, false, NULL,
     {{"shape", WG_ATTR_SHAPE}, {"axis", WG_ATTR_INT}, {"dtype", WG_ATTR_DTYPE}},
     "no operands, 1 output, and attributes shape: shape, axis: int and dtype: dtype"},
    {WG_OP_JOIN, "WG_OP_JOIN", 1, WG__MAX_OPERANDS, false, NULL, {{"axis", WG_ATTR_AXIS}},
     "1 or more operands, 1 output of their dtype, and an attribute axis: axis"},
    {WG_OP_VIEW, "WG_OP_VIEW", 1, WG__MAX_OPERANDS, false, NULL, {{NULL, 0}},
     "1 or more operands and 1 output of the first's dtype"},
};
/* clang-format on */

static bool has_attr(const wg__sig *sig, const wanted *w)
{
    for (size_t i = 0; i < sig->nattrs; i++)
        if (strcmp(sig->attrs[i].name, w->name) == 0)
            return sig->attrs[i].kind == w->kind;
    return false;
}

/* Registering saw to it that "->" is there, with a letter per operand before and per output behind. */
static bool row_fits(const struct promise *p, const char *types)
{
    const char *out = strstr(types, "->") + 2;
    for (const char *at = types; p->dtypes && *at && *at != '-'; at++)
        if (!strchr(p->dtypes, *at) || *at != *out)
            return false;
    return p->most == 0 || types[0] == out[0];
}

static bool keeps(const struct promise *p, const wg__op *op)
{
    const wg__sig *sig = &op->sig;
    const bool any_number = p->most == WG__MAX_OPERANDS;
    if (sig->nin < p->least || sig->nin > p->most || (sig->star && !any_number) || sig->nout != 1 ||
        sig->star_out || (p->integer && sig->cls[1] != WG__INT))
        return false;
    for (size_t i = 0; i < MAX_WANTED && p->attrs[i].name; i++)
        if (!has_attr(sig, &p->attrs[i]))
            return false;
    for (size_t i = 0; i < op->def.nkernels; i++)
        if (!row_fits(p, op->def.kernels[i].types))
            return false;
    return true;
}

static wg_status check_promises(const wg__op *op, char *message, size_t size)
{
    const wg_op *d = &op->def;
    for (size_t i = 0; i < sizeof promises / sizeof *promises; i++) {
        const struct promise *p = &promises[i];
        if ((p->flag ? d->flags & p->flag : d->monoid != WG_MONOID_NONE) && !keeps(p, op)) {
            snprintf(message, size, "op %s: %s needs %s", op->name, p->what, p->needs);
            return WG_INVALID;
        }
    }
    return WG_OK;
}

/* What is wrong with the op whatever its signature; NULL: nothing. */
static const char *flaw(const wg__op *op)
{
    const wg_op *d = &op->def;
    const bool elementwise = d->flags & WG_OP_ELEMENTWISE;
    if (!elementwise && !d->infer && !(d->flags & WG_OP_SOURCE))
        return "infer is missing (only elementwise ops go without)";
    if (elementwise && (op->sig.star || op->sig.nout != 1 || op->sig.nin == 0))
        return "an elementwise op has 1 output and 1 to 8 operands";
    if (!d->nkernels && !d->expand && !(d->flags & (WG_OP_SOURCE | WG_OP_EFFECT)))
        return "it has neither kernels nor expand";
    if (d->partial && !elementwise)
        return "partial is for elementwise ops; give vjp";
    for (size_t i = 0; i < d->nkernels; i++)
        if (d->kernels[i].loop && !elementwise)
            return "loop is for elementwise ops; give run";
    if ((unsigned)d->monoid > WG_MONOID_ALL)
        return "its monoid is none of enum wg_monoid";
    if (d->view && !(d->flags & WG_OP_VIEW))
        return "view is for ops flagged WG_OP_VIEW";
    if ((d->flags & WG_OP_SPREAD) && (elementwise || !d->nkernels))
        return "WG_OP_SPREAD is for ops, not elementwise ones, with a run kernel";
    if ((d->flags & WG_OP_COMMUTATIVE) && (op->sig.star || op->sig.nin != 2))
        return "WG_OP_COMMUTATIVE needs 2 operands";
    return NULL;
}

wg_status wg__op_check(const wg__op *op, char *message, size_t size)
{
    const char *wrong = flaw(op);
    if (!wrong)
        return check_promises(op, message, size);
    snprintf(message, size, "op %s: %s", op->name, wrong);
    return WG_INVALID;
}
