#!/usr/bin/python3
"""Writes the independent numeric oracle: tests/oracle/data/<op>.json, one file per op.

Run by hand with Debian's Python (python3-numpy, -scipy, -torch); the files are committed, so building and
testing Wengert needs none of this. The table of ops is in table.py, their cases are in cases.py, the
formulas that NumPy lacks in formulas.py; README.md describes the format of the files.

    /usr/bin/python3 tests/oracle/generate.py            write the files
    /usr/bin/python3 tests/oracle/generate.py --check    fail unless the committed files equal a fresh generation
    /usr/bin/python3 tests/oracle/generate.py --list     cases and bytes per op
"""
import sys

sys.dont_write_bytecode = True

import argparse
import json
import warnings
from pathlib import Path

import numpy as np

import formulas
import layers
import philox
from cases import Data
from table import OPS

DATA = Path(__file__).resolve().parent / "data"
FILE_LIMIT, TOTAL_LIMIT = 30_000, 900_000
WG_NAME = {"float32": "f32", "float64": "f64", "int32": "i32", "int64": "i64", "bool": "bool"}
RTOL = {"float32": 2e-6, "float64": 1e-13}


# ---- text ------------------------------------------------------------------------------------------

def number(v):
    """An element as JSON: shortest decimal that reads back to the same value of v's dtype."""
    if v.dtype.kind != "f":
        return str(int(v))
    if not np.isfinite(v):
        return '"nan"' if np.isnan(v) else '"inf"' if v > 0 else '"-inf"'
    text = str(v)
    if abs(float(text)) > np.finfo(v.dtype).max:
        text = repr(float(v))   # the largest f32 is printed rounded up
    back = v.dtype.type(float(text))
    assert back == v and np.signbit(back) == np.signbit(v), text
    return text


def tensor(x):
    shape = ", ".join(map(str, x.shape))
    data = ", ".join(number(v) for v in x.reshape(-1))
    return f'{{"dtype": "{WG_NAME[x.dtype.name]}", "shape": [{shape}], "data": [{data}]}}'


def type_text(x):
    return WG_NAME[x.dtype.name] + (f"[{', '.join(map(str, x.shape))}]" if x.ndim else "")


def const_text(x):
    """A tensor of rank 0 or 1 in the .wg language."""
    assert x.ndim < 2 and (x.dtype.kind != "f" or np.isfinite(x).all())
    elements = [str(v) for v in x.reshape(-1)]
    return f"[{', '.join(elements)}]" if x.ndim else elements[0]


def attr_text(v):
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, type):
        return WG_NAME[np.dtype(v).name]
    return json.dumps(v) if isinstance(v, str) else repr(v)


def graph_text(op, case):
    count = len(case.operands)
    names = op.names if count <= len(op.names) else [f"x{i}" for i in range(count)]
    typed = list(zip(names, case.operands))
    inputs = ", ".join(f"{n}: {type_text(x)}" for i, (n, x) in enumerate(typed) if i not in case.consts)
    consts = "".join(f"const {n}: {type_text(x)} = {const_text(x)}; "
                     for i, (n, x) in enumerate(typed) if i in case.consts)
    call = ", ".join([n for n, _ in typed] + [f"{k}={attr_text(v)}" for k, v in case.attrs.items()])
    outs = "(" + ", ".join(op.outs) + ")"
    left = outs if len(op.outs) > 1 else op.outs[0]
    return f"graph case({inputs}) -> {outs} {{ {consts}{left} = {op.name}({call}) }}"


def case_text(op, case):
    want = evaluate(op, case)
    rtol, atol = tolerance(op, case, want)
    inputs = [x for i, x in enumerate(case.operands) if i not in case.consts]
    rows = [f'"about": {json.dumps(case.about)}'] if case.about else []
    rows.append(f'"graph": {json.dumps(graph_text(op, case))}')
    rows.append('"inputs": [' + ",\n    ".join(map(tensor, inputs)) + "]")
    rows.append('"outputs": [' + ",\n    ".join(map(tensor, want)) + "]")
    rows.append(f'"rtol": {rtol!r}, "atol": {atol!r}')
    if op.signed_zero and want[0].dtype.kind == "f" and (want[0] == 0).any():
        rows[-1] += ', "signed_zero": true'
    return "  {" + ",\n   ".join(rows) + "}"


def file_text(op):
    cases = op.cases(Data(op.name))
    return (f'{{"op": "{op.name}",\n "source": {json.dumps(op.source)},\n "cases": [\n'
            + ",\n".join(case_text(op, c) for c in cases) + "\n ]}\n")


# ---- values ----------------------------------------------------------------------------------------

def evaluate(op, case):
    """The expected outputs: in the operands' own dtype for exact ops, else in longdouble, rounded once."""
    with np.errstate(all="ignore"):
        if op.tol == "exact":
            return outputs(op.oracle(*case.operands, **case.attrs))
        wide = [x.astype(np.longdouble) if x.dtype.kind == "f" else x for x in case.operands]
        want = outputs(op.oracle(*wide, **case.attrs))
        own = next((x.dtype for x in case.operands if x.dtype.kind == "f"), None)
        return [y.astype(own) if y.dtype.kind == "f" else y for y in want]


def outputs(value):
    """What an oracle returned, as a list of arrays: a tuple has one for each output."""
    return [np.asarray(y) for y in (value if isinstance(value, tuple) else (value,))]


def tolerance(op, case, want):
    """(rtol, atol) of the rule |got - want| <= atol + rtol * |want|; see README.md."""
    if op.tol == "exact" or want[0].dtype.kind != "f":
        return 0, 0
    rtol = RTOL[want[0].dtype.name]
    if op.tol == "near":     # a value below the smallest normal number may be flushed to zero
        return rtol, float(f"{float(np.finfo(want[0].dtype).tiny):.1e}")
    if op.tol == "logs":     # a difference of logarithms of size 1
        return rtol, rtol
    assert op.tol == "sum"   # relative to the sum of the absolute terms
    size = evaluate(op, case._replace(operands=[np.abs(x) if x.dtype.kind == "f" else x for x in case.operands]))[0]
    size = size[np.isfinite(size)]
    return rtol, float(f"{rtol * float(size.max()):.0e}") if size.size else 0


def check_twin(op):
    """Holds our oracle against a second source, where there is one: SciPy's or PyTorch's own function in f64."""
    twin = formulas.TWINS.get(op.name)
    for case in op.cases(Data(op.name)) if twin else []:
        if any(x.dtype == np.float32 for x in case.operands):
            continue
        with np.errstate(all="ignore"):
            other = twin(*case.operands, **case.attrs)
        if other is not None:
            for mine, theirs in zip(evaluate(op, case), outputs(other), strict=True):
                np.testing.assert_allclose(theirs, mine, rtol=1e-11, atol=1e-13, err_msg=graph_text(op, case))


# ---- command line ----------------------------------------------------------------------------------

def generate():
    """{file name: text} of everything."""
    warnings.filterwarnings("ignore", "Mean of empty slice")
    assert np.finfo(np.longdouble).nmant >= 63, "needs a long double of 64 bits or more"
    files = {}
    for op in OPS:
        check_twin(op)
        files[op.name + ".json"] = file_text(op)
    assert len(files) == len(OPS), "an op occurs twice in the table"
    files["philox.json"] = philox.file_text()
    files.update(layers.files(tensor))
    for name, text in files.items():
        json.loads(text)
        assert len(text) < FILE_LIMIT, f"{name}: {len(text)} bytes"
    assert sum(map(len, files.values())) < TOTAL_LIMIT
    return files


def check(files):
    """Names of files that are missing, stale or not ours."""
    have = {p.name: p.read_text() for p in DATA.glob("*")}
    return sorted(n for n in files.keys() | have.keys() if files.get(n) != have.get(n))


def main():
    parser = argparse.ArgumentParser(description="The numeric oracle of Wengert's ops.")
    parser.add_argument("--check", action="store_true", help="compare the committed files with a fresh generation")
    parser.add_argument("--list", action="store_true", help="print the number of cases and bytes per op")
    args = parser.parse_args()
    files = generate()
    if args.list:
        for name, text in sorted(files.items()):
            print(f"{name:22} {len(json.loads(text).get('cases', [])):4} cases {len(text):6} bytes")
        return 0
    if args.check:
        stale = check(files)
        print(f"stale: {', '.join(stale)}" if stale else f"{len(files)} files are up to date")
        return 1 if stale else 0
    DATA.mkdir(exist_ok=True)
    for name, text in files.items():
        (DATA / name).write_text(text)
    print(f"{len(files)} files, {sum(map(len, files.values()))} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
