"""The table of the oracle: OPS, one row per op. Used by generate.py; the cases are in cases.py."""
from typing import Callable, NamedTuple

import numpy as np

import cases as C
import formulas as F
from cases import ALL, FLOATS, NUMBERS, binary, move, reduce, unary


class Op(NamedTuple):
    name: str
    source: str
    oracle: Callable        # (*operands, **attrs) -> array
    cases: Callable         # Data -> [Case]
    tol: str = "exact"      # exact | near | sum | logs, see generate.py
    names: tuple = ("x",)   # operand names in the graph
    signed_zero: bool = False   # IEEE 754 defines the sign of a zero result
    outs: tuple = ("y",)    # several: the oracle returns a tuple


AB = ("a", "b")
HC = ("y", "d")
LONG = " in longdouble, rounded once"
MAG = [1e4, -1e4, 1e10, 0.1, 3.5]
HALVES = [0.49999997, -0.5, 1.5, 2.5, -1.5, 3.5, 0.9999999, 4194304.5, -4194303.5, 2251799813685248.5, 1e15, -1e300]
EXP = [88.7, 88.8, -87.5, -103.5, -104.5, 709.7, 709.9, -708.5, -745, -746, 1e-5, 1e4, -1e4, 1e-10, -1e-10]
LN = [1e-5, 1 + 2.0**-20, 1 - 2.0**-20, 2, 10, 1e30, 1e-30, -1e-30, 0.99, 1.01]
LN1P = [1e-5, -1e-5, 1e-10, -1e-10, 1e-20, -0.99999, -0.5, 1e10, 1e30, -1.5]
TRIG = [np.pi / 4, np.pi / 2, np.pi, -np.pi, 1e-5, 100.0, 1e5, 1e10, 1e22, -355.0]
SAT = [1e-5, -1e-5, 1e-10, 9, -9, 20, -20, 36.5, 88.5, -88.5, -90, -104, -700, -720, -746, 800, 1e4, -1e4]
ARC = [1, -1, 1 - 2.0**-20, -1 + 2.0**-20, 0.99, 1e-5, 1e-10, 1.5, -1e4]
POW_A = [2, 3, 10, 1e-3, 0.999999, -2]
POW_B = [2, 3, -3, 1 / 3, -0.5, 100, -150, 1000.5]


def compare(name, f, dtypes=NUMBERS):
    return Op(name, f"numpy.{name}", f, binary(dtypes), names=AB)


def near(name, f, source=None, **domain):
    signed = domain.pop("signed_zero", False)
    return Op(name, source or f"numpy.{name}{LONG}", f, unary(**domain), "near", signed_zero=signed)


OPS = [
    # arithmetic: one rounding, so the dtype's own IEEE 754 result is the expected one
    Op("add", "numpy.add", np.add, binary(NUMBERS), names=AB, signed_zero=True),
    Op("sub", "numpy.subtract", np.subtract, binary(NUMBERS), names=AB, signed_zero=True),
    Op("mul", "numpy.multiply", np.multiply, binary(NUMBERS), names=AB, signed_zero=True),
    Op("mul0", "0 where a = 0 or b = 0, else numpy.multiply", F.mul0, binary(), names=AB),
    Op("div", "numpy.divide", np.divide, binary(), names=AB, signed_zero=True),
    Op("neg", "numpy.negative", np.negative, unary(NUMBERS), signed_zero=True),
    Op("abs", "numpy.abs", np.abs, unary(NUMBERS), signed_zero=True),
    Op("sign", "numpy.sign", np.sign, unary(NUMBERS)),
    Op("square", "numpy.square", np.square, unary(extra=MAG), signed_zero=True),
    Op("sqrt", "numpy.sqrt", np.sqrt, unary(low=0.0, high=9.0, extra=MAG), signed_zero=True),
    Op("reciprocal", "1 / x", np.reciprocal, unary(extra=MAG), signed_zero=True),
    Op("floor", "numpy.floor", np.floor, unary(extra=HALVES), signed_zero=True),
    Op("ceil", "numpy.ceil", np.ceil, unary(extra=HALVES), signed_zero=True),
    Op("round", "numpy.rint (half to even)", np.rint, unary(extra=HALVES), signed_zero=True),
    Op("relu", "maximum(x, 0)", F.relu, unary()),
    Op("clamp", "nan where x is nan, else minimum(maximum(x, lo), hi)", F.clamp, C.clamp),
    Op("maximum", "numpy.maximum", np.maximum, binary(NUMBERS), names=AB),
    Op("minimum", "numpy.minimum", np.minimum, binary(NUMBERS), names=AB),
    Op("where", "numpy.where", np.where, C.where, names=("p", "a", "b"), signed_zero=True),
    Op("cast", "numpy.astype; float to int: truncated, saturated, nan to 0", F.cast, C.cast, signed_zero=True),
    # elementary and special functions
    near("exp", np.exp, extra=EXP),
    near("expm1", np.expm1, extra=EXP, signed_zero=True),
    near("log", np.log, low=0.05, high=9.0, extra=LN),
    near("log1p", np.log1p, low=-0.9, high=9.0, extra=LN1P, signed_zero=True),
    near("sin", np.sin, extra=TRIG, signed_zero=True),
    near("cos", np.cos, extra=TRIG),
    near("tan", np.tan, extra=TRIG, signed_zero=True),
    near("asin", np.arcsin, low=-1.0, high=1.0, extra=ARC, signed_zero=True),
    near("acos", np.arccos, low=-1.0, high=1.0, extra=ARC),
    near("atan", np.arctan, extra=SAT, signed_zero=True),
    near("sinh", np.sinh, extra=EXP, signed_zero=True),
    near("cosh", np.cosh, extra=EXP),
    near("tanh", np.tanh, extra=SAT, signed_zero=True),
    near("rsqrt", lambda x: 1 / np.sqrt(x), "1 / numpy.sqrt(x)" + LONG, low=0.05, high=9.0, extra=MAG),
    near("sigmoid", F.sigmoid, "1 / (1 + exp(-x))" + LONG, extra=SAT),
    near("softplus", F.softplus, "numpy.logaddexp(x, 0)" + LONG, extra=SAT),
    near("silu", F.silu, "x sigmoid(x)" + LONG, extra=SAT),
    Op("gelu", "x scipy.special.ndtr(x) in f64", F.gelu, unary(extra=SAT), "logs"),
    Op("leaky_relu", "where(x > 0, x, slope * x)", F.leaky_relu, C.leaky_relu, signed_zero=True),
    near("erf", F.erf, "scipy.special.erf in f64", extra=SAT + [0.1, 2.5, 5.5, -6]),
    Op("pow", "numpy.power" + LONG, np.power, binary(low=0.1, rows=POW_A, columns=POW_B, low_b=-3.0), "near", AB, True),
    # comparisons and logic
    compare("equal", np.equal, ALL), compare("not_equal", np.not_equal, ALL),
    compare("less", np.less), compare("less_equal", np.less_equal),
    compare("greater", np.greater), compare("greater_equal", np.greater_equal),
    Op("logical_and", "numpy.logical_and", np.logical_and, C.bools, names=AB),
    Op("logical_or", "numpy.logical_or", np.logical_or, C.bools, names=AB),
    Op("logical_xor", "numpy.logical_xor", np.logical_xor, C.bools, names=AB),
    Op("logical_not", "numpy.logical_not", np.logical_not, unary((np.bool_,))),
    Op("isfinite", "numpy.isfinite", np.isfinite, unary()),
    Op("isnan", "numpy.isnan", np.isnan, unary()),
    # reductions
    Op("sum", "numpy.sum" + LONG, F.reduction(np.sum, dtype=None),
       reduce(NUMBERS, special=C.IEEE_ROWS, long=301), "sum"),
    Op("mean", "numpy.mean" + LONG, F.reduction(np.mean), reduce(FLOATS, special=C.IEEE_ROWS, long=301), "sum"),
    Op("prod", "numpy.prod" + LONG, F.reduction(np.prod, dtype=None), reduce(FLOATS, special=C.IEEE_ROWS), "near"),
    Op("max", "numpy.max", F.reduction(np.max), reduce(NUMBERS, False, special=C.IEEE_ROWS)),
    Op("min", "numpy.min", F.reduction(np.min), reduce(NUMBERS, False, special=C.IEEE_ROWS)),
    Op("logsumexp", "m + log(sum(exp(x - m))), m = max(x)" + LONG, F.logsumexp,
       reduce(FLOATS, special=C.IEEE_ROWS + C.HUGE_ROWS, long=101), "logs"),
    Op("any", "numpy.any", F.reduction(np.any), reduce((np.bool_,))),
    Op("all", "numpy.all", F.reduction(np.all), reduce((np.bool_,))),
    Op("argmax", "numpy.argmax", F.arg(np.argmax), C.argreduce),
    Op("argmin", "numpy.argmin", F.arg(np.argmin), C.argreduce),
    Op("cumsum", "numpy.cumsum" + LONG, F.cumsum, C.cumsum, "sum"),
    # shapes
    Op("reshape", "numpy.reshape", lambda x, shape: x.reshape(shape), move(C.RESHAPE), signed_zero=True),
    Op("transpose", "numpy.transpose", lambda x, perm=None: np.transpose(x, perm), move(C.TRANSPOSE), signed_zero=True),
    Op("broadcast", "numpy.broadcast_to", np.broadcast_to, move(C.BROADCAST), signed_zero=True),
    Op("slice", "x[start:stop:step]", F.slices, move(C.SLICE), signed_zero=True),
    Op("unslice", "zeros, then y[start:stop:step] = x", F.unslice, move(C.UNSLICE), signed_zero=True),
    Op("section", "x[start:start + size * step:step]", F.section, move(C.SECTION), signed_zero=True),
    Op("place", "zeros, then y[start::step] = x", F.place, move(C.PLACE), signed_zero=True),
    Op("reverse", "numpy.flip", lambda x, axes: np.flip(x, tuple(axes)), move(C.REVERSE), signed_zero=True),
    Op("pad", "numpy.pad", F.pad, C.pad, signed_zero=True),
    Op("concat", "numpy.concatenate", lambda *xs, axis: np.concatenate(xs, axis), C.concat, signed_zero=True),
    # indices
    Op("gather", "numpy.take", lambda x, i, axis=0: np.take(x, i, axis), C.gather, names=("x", "i"), signed_zero=True),
    Op("scatter_add", "numpy.add.at" + LONG, F.scatter_add, C.scatter_add, "sum", names=("x", "i", "u")),
    Op("pick", "numpy.take_along_axis", F.pick, C.pick, names=("x", "i"), signed_zero=True),
    Op("one_hot", "indices == numpy.arange(depth)", F.one_hot, C.one_hot, names=("i",)),
    Op("iota", "numpy.indices", F.iota, C.iota, names=()),
    Op("element_count", "numpy.prod of the shape", F.element_count, C.element_count, names=()),
    # matrices, classes, densities
    Op("matmul", "numpy.matmul" + LONG, F.matmul, C.matmul, "sum", AB),
    Op("softmax", "exp(log_softmax)" + LONG, F.softmax, C.softmax, "near"),
    Op("log_softmax", "d - log(sum(exp(d))), d = x - max(x)" + LONG, F.log_softmax, C.softmax, "logs"),
    Op("softmax_xent", "-log_softmax[label]" + LONG, F.softmax_xent, C.softmax_xent, "logs", ("x", "l")),
    Op("normal_logpdf", "-((x - m) / s)^2 / 2 - log(s) - log(2 pi) / 2" + LONG, F.normal_logpdf,
       C.ternary(0.2, 3), "logs", ("x", "m", "s")),
    Op("laplace_logpdf", "-|x - m| / s - log(2 s)" + LONG, F.laplace_logpdf,
       C.ternary(0.2, 3), "logs", ("x", "m", "s")),
    # recurrent cells
    Op("rnn_cell", "formula" + LONG, F.rnn_cell, C.cell("xh", 1, activations=("tanh", "relu")), "logs", tuple("xhwub")),
    Op("lstm_gates", "formula" + LONG, F.lstm_gates, C.gates(4, "c", forget_bias=1.0), "logs", ("a", "c"), outs=HC),
    Op("lstm_cell", "formula" + LONG, F.lstm_cell, C.cell("xhc", 4, forget_bias=1.0), "logs", tuple("xhcwub"), outs=HC),
    Op("lstm_peephole_cell", "formula" + LONG, F.lstm_peephole_cell,
       C.cell("xhc", 4, more=lambda h: [(3, h)], forget_bias=-0.5), "logs", tuple("xhcwubp"), outs=HC),
    Op("lstm_norm_cell", "formula" + LONG, F.lstm_norm_cell,
       C.cell("xhc", 4, more=lambda h: [(9 * h,), (h,)], smallest=2, forget_bias=1.0, epsilon=0.01), "logs",
       tuple("xhcwub") + ("gain", "bias"), outs=HC),
    Op("gru_gates", "formula" + LONG, F.gru_gates, C.gates(3, "sh"), "logs", tuple("ash")),
    Op("gru_cell", "formula" + LONG, F.gru_cell, C.cell("xh", 3, more=lambda h: [(3 * h,)]), "logs", tuple("xhwubv")),
]
