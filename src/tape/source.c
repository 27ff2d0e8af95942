/* Sources and effects: input, param, const, assign, stop_gradient. */
#include <string.h>

#include <wengert/ops.h>
#include "tape/tape.h"

static bool type_ok(wg_tape *t, const char *what, const char *name, const wg_type *type)
{
    if ((int)type->dtype >= 0 && type->dtype < WG_DTYPE_COUNT &&
        wg__shape_ok(&type->shape, type->dtype, NULL, NULL) &&
        wg__symbols_known(t->ctx, &type->shape))
        return true;
    wg__tape_fail(t, WG_SHAPE, "%s \"%s\": impossible type: dtype %d, shape of rank %d", what, name,
                  (int)type->dtype, (int)type->shape.rank);
    return false;
}

/* Full names of inputs and params are unique: they are how values are bound. */
static bool name_free(wg_tape *t, const char *what, const char *name)
{
    if (!name || !*name) {
        wg__tape_fail(t, WG_INVALID, "%s: a name is needed", what);
        return false;
    }
    wg__str path = wg__str_make(t->ctx);
    wg__scope_path(t, t->scope, &path);
    wg__str_add(&path, t->scope ? "/" : "");
    wg__str_add(&path, name);
    bool failed = path.failed;
    bool taken = !failed && wg__pool_find(&t->named, path.data, path.len);
    if (failed || (!taken && !wg__pool_intern(&t->named, path.data, path.len)))
        wg__tape_no_memory(t), failed = true;
    if (taken)
        wg__tape_fail(t, WG_EXISTS, "%s \"%s\": the name is taken by another input or param", what,
                      path.data);
    wg__str_free(&path);
    return !failed && !taken;
}

static wg_var finish(wg_tape *t, uint32_t id, const char *name)
{
    if (id == WG__NONE)
        return wg__invalid();
    t->nodes.data[id].name = wg__intern_string(t, name);
    return wg__var(t, id);
}

wg_var wg_input(wg_tape *tape, const char *name, wg_dtype dtype, wg_shape shape)
{
    wg_type type = {dtype, shape};
    if (!tape)
        return wg__invalid();
    if (tape->parent) {
        wg__tape_fail(tape, WG_INVALID, "input \"%s\": a sub-tape has formal inputs (wg_fn_input)",
                      name ? name : "");
        return wg__invalid();
    }
    if (!type_ok(tape, "input", name ? name : "", &type) || !name_free(tape, "input", name))
        return wg__invalid();
    if (!wg__vec_reserve(tape->ctx, &tape->inputs, 1)) {
        wg__tape_no_memory(tape);
        return wg__invalid();
    }
    uint32_t id = wg__push_source(tape, WG__OP_INPUT, 0, 0, &type);
    if (id != WG__NONE)
        tape->inputs.data[tape->inputs.len++] = id;
    return finish(tape, id, name);
}

wg_var wg_param(wg_tape *tape, const char *name, wg_dtype dtype, wg_shape shape, wg_init init)
{
    wg_type type = {dtype, shape};
    if (!tape)
        return wg__invalid();
    tape = tape->root;
    if (!type_ok(tape, "param", name ? name : "", &type) || !name_free(tape, "param", name))
        return wg__invalid();
    const wg_attr attrs[] = {wg_attr_string("init", init.kind), wg_attr_float("a", init.a),
                             wg_attr_float("b", init.b)};
    uint32_t attrs_id;
    if (!wg__attrs_build(tape, wg__op_at(tape->ctx, WG__OP_PARAM), attrs, 3, -1, &attrs_id))
        return wg__invalid();
    if (!wg__vec_reserve(tape->ctx, &tape->params, 1)) {
        wg__tape_no_memory(tape);
        return wg__invalid();
    }
    uint32_t id = wg__push_source(tape, WG__OP_PARAM, 0, attrs_id, &type);
    if (id != WG__NONE)
        tape->params.data[tape->params.len++] = id;
    return finish(tape, id, name);
}

wg_var wg_const(wg_tape *tape, wg_dtype dtype, wg_shape shape, const void *data)
{
    wg_type type = {dtype, shape};
    if (!tape)
        return wg__invalid();
    if (!type_ok(tape, "const", "", &type))
        return wg__invalid();
    if (!data && wg_shape_count(shape) > 0) {
        wg__tape_fail(tape, WG_INVALID, "const: data is NULL");
        return wg__invalid();
    }
    wg_tensor *tensor = wg_tensor_new(tape->ctx, dtype, shape, data);
    return wg__const_tensor(tape, tensor);
}

wg_var wg__const_tensor(wg_tape *t, wg_tensor *tensor)
{
    if (!tensor || !wg__vec_reserve(t->ctx, &t->consts, 1)) {
        wg_tensor_free(tensor);
        wg__tape_no_memory(t);
        return wg__invalid();
    }
    uint32_t id = wg__push_source(t, WG__OP_CONST, t->consts.len, 0, &tensor->type);
    if (id == WG__NONE) {
        wg_tensor_free(tensor);
        return wg__invalid();
    }
    t->consts.data[t->consts.len++] = tensor;
    return wg__var(t, id);
}

wg_var wg_stop_gradient(wg_var x) { return wg__unary(WG__OP_STOP_GRADIENT, x); }

/* ---- effects ----------------------------------------------------------------------------------- */

/* The param node that `v` is, or WG__NONE with an error. */
static uint32_t find_param(wg_tape *t, wg_var v, const char *what)
{
    uint32_t id = wg__resolve(t, v, what);
    if (id == WG__NONE)
        return id;
    if (wg__node_at(t, id)->op != WG__OP_PARAM) {
        wg__tape_fail(t, WG_INVALID, "%s: \"%s\" is a value of op %s, only a param can be assigned",
                      what, wg_name_of(v), wg__op_of(t, id)->name);
        return WG__NONE;
    }
    return id;
}

wg_var wg_assign(wg_var param, wg_var value)
{
    wg_tape *t = wg_tape_of(param), *from = wg_tape_of(value);
    if (!t)
        return wg__invalid();
    if (t->parent || (from && from->parent)) {
        wg__tape_fail(t, WG_INVALID,
                      "assign: a sub-tape has no effects; return the value and assign it outside");
        return wg__invalid();
    }
    uint32_t id = find_param(t, param, "assign");
    if (id == WG__NONE)
        return wg__invalid();
    if (!wg__vec_reserve(t->ctx, &t->effects, 1)) {
        wg__tape_no_memory(t);
        return wg__invalid();
    }
    wg_var both[2] = {param, value};
    wg_var out = wg__record1(WG__OP_ASSIGN, both, 2, NULL, 0);
    if (wg_ok(out)) {
        uint32_t node = (uint32_t)out.bits;
        wg__effect e = {id, wg__operands(t, wg__node_at(t, node))[1], node};
        t->effects.data[t->effects.len++] = e;
    }
    return out;
}

wg_var wg_latest(wg_var param)
{
    wg_tape *t = wg_tape_of(param);
    uint32_t id = t ? find_param(t, param, "latest") : WG__NONE;
    if (id == WG__NONE)
        return wg__invalid();
    for (size_t i = t->effects.len; i-- > 0;)
        if (t->effects.data[i].param == id)
            return wg__var(t, t->effects.data[i].value);
    return param;
}

wg_var wg_full(wg_tape *tape, wg_type type, double value)
{
    if (!tape || !type_ok(tape, "full", "", &type))
        return wg__invalid();
    wg_var v = wg__materialise(tape, wg_f(value), type.dtype);
    return type.shape.rank ? wg_broadcast(v, type.shape) : v;
}
