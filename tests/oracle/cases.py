"""The cases of the oracle: operands and attributes, per family of ops. Used by table.py.

A family is a function of a Data (the op's own seeded source of numbers, so that a new op leaves all other files as
they are) that yields Cases; or a function with parameters that returns such a function.
"""
import zlib
from typing import NamedTuple

import numpy as np

f32, f64, i32, i64 = np.float32, np.float64, np.int32, np.int64
FLOATS, INTS = (f64, f32), (i32, i64)
NUMBERS = FLOATS + INTS
ALL = NUMBERS + (np.bool_,)
INF, NAN = np.inf, np.nan


class Case(NamedTuple):
    operands: list
    attrs: dict = {}
    about: str = ""
    consts: tuple = ()      # operands that the graph holds as constants


class Data:
    """Seeded numbers: floats of three decimals in [low, high), small ints, bools."""

    def __init__(self, name):
        self.rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))

    def __call__(self, shape, dtype=f64, low=-3.0, high=3.0):
        if dtype is np.bool_:
            return self.rng.integers(0, 2, shape).astype(bool)
        if dtype in INTS:
            return self.rng.integers(-9, 10, shape).astype(dtype)
        return np.asarray(np.round(self.rng.uniform(low, high, shape), 3)).astype(dtype)


def arr(values, dtype):
    with np.errstate(over="ignore"):    # a value past the largest f32 becomes inf
        return np.array(values, dtype=dtype)


def mixed(dtype):
    """Values at which implementations go wrong; the same list in every dtype's own limits."""
    if dtype is np.bool_:
        return arr([False, True], dtype)
    if dtype in INTS:
        return arr([0, 1, -1, 7, -8, np.iinfo(dtype).max, np.iinfo(dtype).min], dtype)
    f = np.finfo(dtype)
    return arr([0.0, -0.0, 1, -1, 0.5, -2.5, f.smallest_subnormal, -5 * f.smallest_subnormal, f.tiny, f.max, -f.max,
                INF, -INF, NAN], dtype)


# ---- cases of elementwise ops ----------------------------------------------------------------------

SHAPES = [(), (1,), (19,), (2, 3), (0,), (0, 3), (2, 0), (1, 2, 1, 2, 1, 1, 2, 1)]
SHAPES_SHORT = [(), (37,), (3, 2), (2, 0)]
PAIRS = [((), ()), ((1,), (1,)), ((2, 3), (2, 3)), ((3, 1), (1, 4)), ((), (2, 3)), ((2, 3), ()), ((2, 1, 3), (4, 1)),
         ((0, 3), (1, 3)), ((2, 0), ()), ((1,), (0,)), ((1, 2, 1, 2, 1, 1, 2, 1), (2, 1, 1, 2, 1, 1, 1, 1))]
PAIRS_SHORT = [((), ()), ((21,), (21,)), ((3, 1), (1, 4)), ((3,), (2, 3)), ((2, 3), (1,)), ((0, 3), ())]


def shapes_of(dtype):
    return SHAPES if dtype is f64 else SHAPES_SHORT


def pairs_of(dtype):
    return PAIRS if dtype is f64 else PAIRS_SHORT


def unary(dtypes=FLOATS, low=-3.0, high=3.0, extra=(), **attrs):
    def cases(g):
        for t in dtypes:
            for s in shapes_of(t):
                yield Case([g(s, t, low, high)], attrs)
            more = [e for e in extra if t in FLOATS or (float(e).is_integer() and abs(e) < 2**31)]
            yield Case([np.concatenate([mixed(t), arr(more, t)])], attrs, "special values")
    return cases


def binary(dtypes=FLOATS, low=-3.0, high=3.0, rows=(), columns=(), low_b=None, high_b=None):
    """Broadcast pairs of every dtype, and the outer product of the special values."""
    def cases(g):
        for t in dtypes:
            for a, b in pairs_of(t):
                yield Case([g(a, t, low, high), g(b, t, low if low_b is None else low_b,
                                                  high if high_b is None else high_b)])
            a, b = mixed(t), mixed(t)
            if t in FLOATS:
                a, b = np.concatenate([a, arr(rows, t)]), np.concatenate([b, arr(columns, t)])
            yield Case([a[:, None], b[None, :]], {}, "special values, each with each")
            if t is i64:
                yield Case([arr([2**53, 2**53 + 1, -2**53 - 1], t), arr([2**53 + 1, 2**53 + 1, -2**53], t)], {},
                           "beyond the integers of f64")
    return cases


def ternary(low, high):
    shapes = [((), (), ()), ((5,), (5,), (5,)), ((2, 3), (), ()), ((3, 1), (1, 4), ()), ((), (2, 1), (3,)),
              ((0, 3), (3,), ()), ((1, 2, 1, 1, 1, 1, 1, 2), (2, 1, 1, 1, 1, 1, 2, 1), (2,))]

    def cases(g):
        for t in FLOATS:
            for s in shapes if t is f64 else shapes[:4]:
                yield Case([g(s[0], t, -6, 6), g(s[1], t, -3, 3), g(s[2], t, low, high)])
            yield Case([arr([0.0, 1e4, -1e4, INF, -INF, NAN, 100.25, 1e-30], t), arr(0.5, t), arr(0.25, t)], {},
                       "far tails")
            yield Case([arr(1.5, t), arr([1.5, -2, NAN], t)[:, None], arr([1e-6, 1e6, NAN], t)], {},
                       "narrow and wide")
    return cases


def bools(g):
    yield Case([arr([[0], [1]], bool), arr([[0, 1]], bool)], {}, "truth table")
    for a, b in [((), ()), ((19,), (19,)), ((), (2, 3)), ((0, 3), (1, 3)), ((1, 2, 1, 2, 1, 1, 1, 2), (2, 1))]:
        yield Case([g(a, np.bool_), g(b, np.bool_)])


def where(g):
    triples = [((), (), ()), ((5,), (5,), (5,)), ((2, 1), (3,), ()), ((), (2, 3), (3,)), ((3,), (2, 1), (2, 3)),
               ((0, 3), (3,), ()), ((2, 1, 1, 1, 2, 1, 1, 1), (1, 2, 1, 1, 1, 1, 1, 2), (2,))]
    for t in ALL:
        for p, a, b in triples if t is f64 else triples[1:4]:
            yield Case([g(p, np.bool_), g(a, t), g(b, t)])
    yield Case([arr([1, 0, 1, 0, 1, 0], bool), arr([1, INF, -0.0, NAN, INF, 2], f64),
                arr([NAN, 2, NAN, -0.0, NAN, -INF], f64)], {}, "nan and inf on either side")


def clamp(g):
    for t in FLOATS:
        for s in shapes_of(t):
            yield Case([g(s, t)], dict(lo=-1.0, hi=1.5))
        yield Case([mixed(t)], dict(lo=-1.0, hi=2.0), "special values; nan stays")
        yield Case([arr([-2, -1.0, -0.99, 0.25, 0.75, 1], t)], dict(lo=0.25, hi=0.25), "an interval of one point")


def leaky_relu(g):
    for attrs in ({}, dict(slope=0.25), dict(slope=0.0)):
        for t in FLOATS:
            yield Case([g((3, 4), t)], attrs)
            yield Case([mixed(t)[:-3]], attrs, "special values")    # 0 * inf is nan: not looked at
    yield Case([arr([INF, -INF, NAN], f64)], {}, "special values")
    for s in SHAPES:
        yield Case([g(s, f64)], dict(slope=0.1))


def cast(g):
    edges = [0.4, -0.6, 2.5, -2.5, 16777217.0, 2147483520.0, 2147483647.0, 2147483648.0, -2147483648.0,
             -2147483649.0, 3e9, -3e9, 9.2e18, 9223372036854774784.0, 9223372036854775808.0,
             -9223372036854775808.0, 1e30, -1e30]
    for a in ALL:
        for b in ALL:
            x = mixed(a)
            if a in FLOATS:
                x = np.concatenate([x, arr(edges, a)])
                if b is f32:    # rounding to nearest, ties to even; overflow
                    x = np.concatenate([x, arr([1 + 2.0**-24, 1 + 3 * 2.0**-24, 1e39 if a is f64 else 1e38, 1e-40], a)])
            if a is i64:
                x = np.concatenate([x, arr([2**53 + 1, 2**24 + 1, 2**32 + 5, -2**31 - 1], a)])
            if a is i32:
                x = np.concatenate([x, arr([2**24 + 1, -2**24 - 3], a)])
            yield Case([x], dict(dtype=b))
    for s in [(), (0, 3), (1, 2, 1, 1, 1, 1, 1, 2)]:
        yield Case([g(s, f32)], dict(dtype=f64))


# ---- cases of reductions ---------------------------------------------------------------------------

REDUCE = [((), {}), ((5,), {}), ((1,), {}), ((2, 3), {}), ((2, 3), dict(axes=[0])),
          ((2, 3), dict(axes=[1], keepdims=True)), ((2, 3), dict(keepdims=True)), ((2, 3, 4), dict(axes=[0, 2])),
          ((2, 3, 4), dict(axes=[1])), ((2, 3, 4), dict(axes=[-1], keepdims=True)),
          ((2, 3, 4), dict(axes=[2, 0], keepdims=True)), ((3, 1, 2), dict(axes=[1])), ((0, 3), dict(axes=[1])),
          ((2, 0, 3), dict(axes=[0], keepdims=True)), ((1, 2, 1, 2, 1, 3, 1, 2), dict(axes=[1, 3, 7]))]
REDUCE_SHORT = [((), {}), ((37,), {}), ((3, 4), dict(axes=[0])), ((3, 4), dict(axes=[1], keepdims=True)),
                ((2, 3, 2), dict(axes=[0, 2]))]
REDUCE_NOTHING = [((0,), {}), ((0, 3), dict(axes=[0])), ((2, 0), dict(axes=[1], keepdims=True)), ((0, 3), {})]


def reduce(dtypes, empty=True, low=-3.0, high=3.0, special=(), long=0):
    """`special` rows are reduced over axis 1, one result a row."""
    def cases(g):
        for t in dtypes:
            short = t is not dtypes[0]
            for s, attrs in REDUCE_SHORT if short else REDUCE:
                yield Case([g(s, t, low, high)], attrs)
            for s, attrs in (REDUCE_NOTHING[1:2] if short else REDUCE_NOTHING) if empty else ():
                yield Case([g(s, t)], attrs, "over no elements")
            if t in FLOATS and special:
                yield Case([arr(special, t)], dict(axes=[1]), "nan, inf and large")
            if t in FLOATS and long:
                yield Case([g((long,), t, low, high)], {}, "a long row")
            if t in INTS:
                top = np.iinfo(t)
                yield Case([arr([[top.max, 1, 2], [top.min, -1, 0], [top.max, top.min, 5]], t)], dict(axes=[1]),
                           "limits; overflow wraps")
    return cases


IEEE_ROWS = [[1, NAN, 2], [NAN, INF, -INF], [INF, 1, 2], [-INF, 3, 4], [INF, -INF, 0], [-0.0, 0.0, 0.0],
             [INF, INF, INF], [-INF, -INF, -INF], [2, 2, 1], [NAN, NAN, NAN]]
HUGE_ROWS = [[1e4, 1e4, 1e4], [1e4, 0, -1e4], [-1e4, -1e4, -1e4 + 1], [88.5, 89, 710], [-104, -750, -1e4],
             [0, 1e-8, -1e-8], [1e30, 1e30, 0], [-1e30, -1e30, 0]]


def argreduce(g):
    for t in NUMBERS:
        for s, axis in [((5,), 0), ((1,), 0), ((2, 3), 0), ((2, 3), 1), ((2, 3, 2), -2), ((0, 3), 1), ((3, 1), 1),
                        ((1, 2, 1, 2, 1, 3, 1, 2), 5)] if t is f64 else [((37,), 0), ((3, 4), 1)]:
            yield Case([g(s, t)], dict(axis=axis))
        yield Case([g((2, 3, 2), t)], dict(axis=1, keepdims=True))
        if t in FLOATS:
            yield Case([arr(IEEE_ROWS, t)], dict(axis=1), "the first nan wins, else the first of equals")
        else:
            top = np.iinfo(t)
            yield Case([arr([[1, 1, 0, 0], [top.max, top.min, top.max, top.min], [-5, -5, -5, -5]], t)], dict(axis=1),
                       "ties")


def cumsum(g):
    for t in (f64, f32, i32):
        for s, axis in [((5,), 0), ((2, 3), 0), ((2, 3), 1), ((2, 3, 2), -2), ((1,), 0), ((0, 3), 1), ((2, 0), 1),
                        ((1, 2, 1, 2, 1, 3, 1, 1), 5)] if t is f64 else [((19,), 0), ((3, 4), 1)]:
            for attrs in ({}, dict(reverse=True), dict(exclusive=True), dict(reverse=True, exclusive=True)):
                yield Case([g(s, t)], dict(axis=axis, **attrs))
    special = arr([[1, INF, 2, -1], [1, NAN, 2, 3], [INF, -INF, 1, 1]], f64)
    for attrs in ({}, dict(exclusive=True)):
        yield Case([special], dict(axis=1, **attrs), "nan and inf")
    yield Case([arr([2**31 - 1, 1, 1, -5], i32)], dict(axis=0), "overflow wraps")


# ---- cases of shape ops ----------------------------------------------------------------------------

def move(rows, dtypes=ALL):
    """Rows (shape, attrs): all in f64, the third also in every other dtype, and special values along row 3."""
    def cases(g):
        for s, attrs in rows:
            yield Case([g(s, f64)], attrs)
        s, attrs = rows[2]
        n = int(np.prod(s))
        for t in dtypes:
            if t is not f64:
                yield Case([g(s, t)], attrs)
            if t is not np.bool_:
                yield Case([np.resize(mixed(t), n).reshape(s)], attrs, "special values")
    return cases


S8 = (1, 2, 1, 2, 1, 1, 2, 1)
RESHAPE = [((), dict(shape=[1, 1])), ((1,), dict(shape=[])), ((2, 6), dict(shape=[3, 4])),
           ((6,), dict(shape=[1, 2, 3])), ((0, 3), dict(shape=[2, 0])), ((0,), dict(shape=[4, 0, 2])),
           (S8, dict(shape=[8])), ((8,), dict(shape=list(S8)))]
TRANSPOSE = [((), {}), ((4,), {}), ((2, 3, 4), {}), ((2, 3), {}), ((2, 3), dict(perm=[0, 1])),
             ((2, 3, 4), dict(perm=[0, 2, 1])), ((2, 3, 4), dict(perm=[1, 2, 0])), ((2, 3, 4), dict(perm=[2, 0, 1])),
             ((0, 3), {}), ((2, 1, 3), dict(perm=[1, 0, 2])),
             ((1, 2, 1, 3, 1, 2, 1, 2), dict(perm=[7, 3, 0, 5, 1, 2, 4, 6]))]
BROADCAST = [((), dict(shape=[])), ((), dict(shape=[2, 3])), ((3, 1), dict(shape=[2, 3, 4])),
             ((4,), dict(shape=[3, 4])), ((1, 4), dict(shape=[3, 4])), ((1,), dict(shape=[0])),
             ((1, 3), dict(shape=[0, 3])), ((2, 3), dict(shape=[2, 3])), ((2, 0), dict(shape=[3, 2, 0])),
             ((2, 1), dict(shape=[1, 2, 1, 1, 2, 1, 2, 3]))]
SLICE = [((), dict(start=[], stop=[])), ((7,), dict(start=[2], stop=[5])),
         ((4, 5), dict(start=[1, 0], stop=[4, 5], step=[2, 3])), ((7,), dict(start=[0], stop=[7], step=[3])),
         ((7,), dict(start=[1], stop=[7], step=[10])), ((4, 5), dict(start=[0, 2], stop=[4, 2])),
         ((4, 5), dict(start=[4, 0], stop=[4, 5])), ((4, 5), dict(start=[0, 0], stop=[4, 5])),
         ((3, 4, 2), dict(start=[1, 1, 0], stop=[2, 4, 2], step=[1, 2, 1])),
         ((0, 3), dict(start=[0, 1], stop=[0, 3])),
         (S8, dict(start=[0, 1, 0, 0, 0, 0, 0, 0], stop=[1, 2, 1, 2, 1, 1, 2, 1], step=[1, 1, 1, 1, 1, 1, 2, 1]))]
UNSLICE = [((), dict(shape=[], start=[], stop=[])), ((3,), dict(shape=[7], start=[-5], stop=[-2])),
           ((2, 2), dict(shape=[4, 5], start=[1, 0], stop=[4, 5], step=[2, 3])),
           ((3,), dict(shape=[7], start=[0], stop=[100], step=[3])), ((0, 3), dict(shape=[4, 5], start=[4, 1], stop=[9, 4])),
           ((1, 2, 2), dict(shape=[3, 4, 2], start=[1, 1, -100], stop=[-1, 4, 2], step=[1, 2, 1])),
           ((2, 3), dict(shape=[2, 3], start=[0, 0], stop=[2, 3])),
           ((1, 1, 1, 2, 1, 1, 1, 1), dict(shape=list(S8), start=[0, 1, 0, 0, 0, 0, 0, 0], stop=[1, 2, 1, 2, 1, 1, 1, 1]))]
SECTION = [((), dict(start=[], size=[])), ((7,), dict(start=[2], size=[3])),
           ((4, 5), dict(start=[1, 0], size=[3, 2], step=[1, 3])), ((7,), dict(start=[0], size=[3], step=[3])),
           ((4, 5), dict(start=[4, 2], size=[0, 3])), ((3, 4, 2), dict(start=[1, 1, 0], size=[1, 2, 2], step=[1, 2, 1])),
           ((0, 3), dict(start=[0, 1], size=[0, 2])),
           (S8, dict(start=[0, 1, 0, 0, 0, 0, 0, 0], size=[1, 1, 1, 2, 1, 1, 1, 1], step=[1, 1, 1, 1, 1, 1, 2, 1]))]
PLACE = [((), dict(start=[], shape=[])), ((3,), dict(start=[2], shape=[7])),
         ((2, 2), dict(start=[1, 0], shape=[4, 5], step=[2, 3])), ((3,), dict(start=[0], shape=[7], step=[3])),
         ((0, 3), dict(start=[4, 1], shape=[4, 5])), ((1, 2, 2), dict(start=[1, 1, 0], shape=[3, 4, 2], step=[1, 2, 1])),
         ((2, 3), dict(start=[0, 0], shape=[2, 3])),
         ((1, 1, 1, 2, 1, 1, 1, 1), dict(start=[0, 1, 0, 0, 0, 0, 0, 0], shape=list(S8)))]
REVERSE = [((1,), dict(axes=[0])), ((5,), dict(axes=[0])), ((3, 4), dict(axes=[1])), ((3, 4), dict(axes=[0])),
           ((2, 3, 2), dict(axes=[0, 2])), ((2, 3, 2), dict(axes=[-1])), ((2, 3), dict(axes=[0, 1])),
           ((0, 3), dict(axes=[1])), ((2, 0), dict(axes=[1])), ((1, 2, 1, 2, 1, 1, 3, 1), dict(axes=[6, 1]))]
PAD = [((), dict(low=[], high=[])), ((3,), dict(low=[2], high=[1])), ((2, 3), dict(low=[1, 0], high=[0, 2])),
       ((2, 3), dict(low=[1, 2], high=[2, 1], value=0.5)), ((2, 3), dict(low=[0, 0], high=[0, 0], value=7.0)),
       ((0, 3), dict(low=[1, 1], high=[1, 0], value=-2.5)), ((2, 0), dict(low=[0, 1], high=[0, 2])),
       ((1, 2, 1, 1, 1, 1, 2, 1), dict(low=[0, 1, 0, 0, 0, 0, 0, 1], high=[0, 0, 1, 0, 0, 0, 0, 0], value=1.25))]


def pad(g):
    yield from move(PAD, NUMBERS)(g)
    for t in (f32, i32, i64):
        yield Case([g((2, 2), t)], dict(low=[1, 0], high=[0, 1], value=-3.0))


def concat(g):
    rows = [([(2, 3)], 0), ([(2,), (3,)], 0), ([(2, 3), (1, 3), (2, 3)], 0), ([(2, 3), (2, 1)], 1),
            ([(2, 3), (2, 1)], -1), ([(0, 3), (2, 3)], 0), ([(2, 0), (2, 0)], 1), ([(0, 3), (0, 2)], 1),
            ([(1,)] * 9, 0), ([(2, 2, 2), (2, 1, 2), (2, 3, 2)], 1),
            ([(1, 2, 1, 1, 1, 1, 2, 1), (1, 2, 1, 1, 3, 1, 2, 1)], 4)]
    for shapes, axis in rows:
        yield Case([g(s) for s in shapes], dict(axis=axis))
    for t in ALL:
        yield Case([mixed(t), g((3,), t), mixed(t)[::-1]], dict(axis=0))


# ---- cases of index ops ----------------------------------------------------------------------------

GATHER = [((5,), (3,), 0), ((5, 2), (3,), 0), ((3, 4), (5,), 1), ((3, 4), (2, 3), 0), ((3, 4), (2, 2), 1),
          ((3, 4), (), 0), ((3, 4), (), 1), ((2, 3, 2), (4,), 1), ((2, 3, 2), (2,), -1), ((4, 2), (0,), 0),
          ((0, 3), (2,), 1), ((3, 0), (2,), 0), ((1,), (4,), 0), ((1, 2, 1, 3, 1, 1, 2, 1), (), 3),
          ((2, 3), (1, 2, 1, 1, 1, 1, 2), 1)]


def indices(g, x, shape, axis, dtype=i32):
    return np.asarray(g.rng.integers(0, x[axis], shape)).astype(dtype)


def axis_attr(axis):
    return dict(axis=axis) if axis else {}


def gather(g):
    for x, i, axis in GATHER:
        yield Case([g(x), indices(g, x, i, axis)], axis_attr(axis))
    for t in ALL:
        yield Case([g((4, 3), t), indices(g, (4, 3), (5,), 0, i64)], dict(axis=0))
    yield Case([mixed(f64), arr([13, 12, 11, 1, 0, 0], i64)], {}, "special values")
    yield Case([g((5, 2), f32), arr([0, 3, 1], i32)], dict(axis=0), "constant indices", consts=(1,))


PICK = [(4,), (3, 4), (2, 1), (0, 3), (2, 2, 3), (3, 1, 5), (1, 2, 1, 1, 1, 1, 1, 3)]


def pick(g):
    for x in PICK:
        yield Case([g(x), indices(g, x, x[:-1], -1)], {})
    for t in ALL:
        yield Case([g((4, 3), t), indices(g, (4, 3), (4,), 1, i64)], {})
    yield Case([np.stack([mixed(f64)] * 3), arr([13, 12, 0], i64)], {}, "special values")
    yield Case([g((3, 2), f32), arr([0, 1, 1], i32)], {}, "constant indices", consts=(1,))


def scatter_add(g):
    def updates(x, i, axis, t):
        return g(np.take(np.zeros(x), np.zeros(i, int), axis).shape, t)
    for x, i, axis in GATHER:
        yield Case([g(x), indices(g, x, i, axis), updates(x, i, axis, f64)], axis_attr(axis))
    for t in NUMBERS:
        yield Case([g((3, 2), t), arr([2, 0, 2, 2, 1, 0], i64), g((6, 2), t)], dict(axis=0),
                   "repeated indices accumulate")
    yield Case([arr([1, 2, 3, INF], f64), arr([0, 1, 1, 3], i32), arr([NAN, INF, -INF, -INF], f64)], {}, "nan and inf")
    yield Case([arr([2**31 - 1, 0, -2**31], i32), arr([0, 2, 0], i32), arr([1, -1, 1], i32)], {}, "overflow wraps")


def one_hot(g):
    yield Case([arr([0, 2, 1], i32)], dict(depth=3))
    yield Case([arr([[0, 2, 1], [3, 3, 0]], i64)], dict(depth=4))
    yield Case([arr([-1, 3, 0, 2, -2**31, 2**31 - 1], i32)], dict(depth=3), "out of range: no one")
    yield Case([arr([2**32, -2**32 + 1, 1], i64)], dict(depth=3), "out of range: no one")
    for t in ALL:
        yield Case([arr([1, 0, 4, 2], i32)], dict(depth=5, dtype=t))
    for s, depth in [((), 3), ((0,), 3), ((2, 0), 2), ((2,), 1), ((2,), 0), ((1, 2, 1, 1, 2, 1, 1), 2)]:
        yield Case([np.asarray(g.rng.integers(0, max(depth, 1), s)).astype(i32)], dict(depth=depth))


def iota(g):
    for attrs in [dict(shape=[5]), dict(shape=[2, 3]), dict(shape=[2, 3], axis=1),
                  dict(shape=[2, 3, 2], axis=1, dtype=f64), dict(shape=[4], dtype=f32), dict(shape=[1]),
                  dict(shape=[0]), dict(shape=[2, 0], axis=1), dict(shape=[3, 0]),
                  dict(shape=[3, 2], axis=0, dtype=i64), dict(shape=[1, 2, 1, 1, 1, 3, 1, 2], axis=5)]:
        yield Case([], attrs)


def element_count(g):
    for attrs in [dict(shape=[]), dict(shape=[5]), dict(shape=[2, 3, 4]), dict(shape=[2, 0]),
                  dict(shape=[2, 3], dtype=f64), dict(shape=[70000, 70000], dtype=i64), dict(shape=[7, 9], dtype=i32),
                  dict(shape=[1, 2, 1, 3, 1, 1, 2, 1])]:
        yield Case([], attrs)


# ---- cases of matmul and of classes ----------------------------------------------------------------

MATMUL = [((1, 1), (1, 1)), ((2, 3), (3, 4)), ((4, 1), (1, 3)), ((1, 5), (5, 1)), ((2, 2, 3), (3, 2)),
          ((2, 3), (3, 3, 2)), ((2, 1, 2, 3), (3, 3, 2)), ((2, 1, 2, 3), (1, 2, 3, 1)), ((2, 0), (0, 3)),
          ((0, 3), (3, 2)), ((2, 3), (3, 0)), ((0, 2, 3), (3, 2)), ((2, 1, 0), (1, 0, 2)),
          ((1, 1, 2, 1, 1, 1, 2, 3), (2, 1, 1, 1, 1, 1, 3, 2))]


def matmul(g):
    def both(a, b, t, ta, tb):
        attrs = {k: True for k, on in (("transpose_a", ta), ("transpose_b", tb)) if on}
        flip = lambda s, on: (*s[:-2], s[-1], s[-2]) if on else s
        return Case([g(flip(a, ta), t), g(flip(b, tb), t)], attrs)
    for a, b in MATMUL:
        yield both(a, b, f64, False, False)
    for t in FLOATS:
        for ta, tb in ((True, False), (False, True), (True, True)):
            for a, b in MATMUL[1:2] + MATMUL[6:7] + MATMUL[8:9]:
                yield both(a, b, t, ta, tb)
    yield both((2, 3), (3, 4), f32, False, False)
    yield Case([g((2, 3)), g((3, 4))], dict(transpose_a=False, transpose_b=False), "the defaults, written out")
    yield both((9, 11), (11, 5), f64, False, False)
    yield both((7, 37), (37, 5), f32, False, True)
    yield Case([arr([[1, INF], [NAN, 0], [1, 2], [INF, -INF]], f64), arr([[1, 0], [2, 3]], f64)], {}, "nan and inf")


def far_logits(t):
    return arr([[1e4, 0, -1e4], [1e4, 1e4, 1e4 - 1], [-1e4, -1e4 + 2, -1e4], [0, 0, 0], [40, 0, 0], [1e30, 0, -1e30],
                [100, 99.5, -800], [-INF, 0, 1], [1, -INF, -INF], [NAN, 0, 1]], t)


def softmax(g):
    for t in FLOATS:
        for s, attrs in [((4,), {}), ((2, 3), {}), ((2, 3), dict(axis=0)), ((2, 3, 2), dict(axis=1)),
                         ((2, 3), dict(axis=-2)), ((3, 1), {}), ((1,), dict(axis=0)), ((0, 3), {}),
                         ((2, 0), dict(axis=1)), ((1, 2, 1, 2, 1, 3, 1, 1), dict(axis=5)),
                         ((41,), dict(axis=0))][:None if t is f64 else 4]:
            yield Case([g(s, t)], attrs)
        yield Case([far_logits(t)], dict(axis=-1), "large, -inf and nan")


def softmax_xent(g):
    for t in FLOATS:
        shapes = [(4,), (2, 3), (2, 2, 3), (3, 1), (0, 3), (2, 0, 3), (1, 2, 1, 2, 1, 1, 1, 3)]
        for s in shapes if t is f64 else shapes[:3]:
            for it in INTS if t is f64 else (i32,):
                yield Case([g(s, t), np.asarray(g.rng.integers(0, s[-1], s[:-1])).astype(it)])
        far = far_logits(t)
        for c in range(3):
            yield Case([far, np.full(len(far), c, i32)], {}, "large, -inf and nan")


# ---- recurrent cells -------------------------------------------------------------------------------

def cell(states, gates, more=lambda h: [], smallest=1, activations=(), **attrs):
    """states: "x" and the states beside it; then w, u, b and what more(hidden) adds."""
    sizes = [((3,), 2, 4), ((1,), 1, 1), ((2, 1), 3, 2), ((0,), 2, 3)]

    def cases(g):
        for t in FLOATS:
            for lead, i, h in sizes if t is f64 else sizes[:2]:
                h = max(h, smallest)
                shapes = [lead + (i if s == "x" else h,) for s in states]
                shapes += [(i, gates * h), (h, gates * h), (gates * h,)] + more(h)
                for given in [dict(activation=a) for a in activations] or ({}, attrs):
                    yield Case([g(s, t, -1.5, 1.5) for s in shapes], given)
    return cases


def gates(count, states, **attrs):
    """The gates' arithmetic alone: a and what is as wide ("s"), and states."""
    def cases(g):
        for t in FLOATS:
            for lead, h in [((3,), 4), ((2, 1), 2), ((1,), 1), ((0,), 2)][:4 if t is f64 else 2]:
                wide = [lead + (count * h if s in "as" else h,) for s in "a" + states]
                for given in ({}, attrs) if attrs else ({},):
                    yield Case([g(s, t) for s in wide], given)
    return cases
