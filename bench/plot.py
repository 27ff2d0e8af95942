#!/usr/bin/env python3
"""The figures of docs/performance.md from the JSON lines of benchmarks.

    build/bench/record --grow --json | bench/plot.py > docs/figures/scalar_growth.svg
    build/bench/lengths --grow --json | bench/plot.py > docs/figures/sequence_growth.svg

Writes SVG: panels side by side, a line for each series, all axes logarithmic. Standard library only.
"""
import json
import math
import sys

COLOURS = ("#1f77b4", "#2ca02c", "#d62728", "#000000")
WIDTH, HEIGHT, LEFT, TOP, GAP = 250, 260, 56, 40, 64  # of a panel, and the room around


def read(lines):
    """title -> (names of axes, series -> points)"""
    found = {}

    def add(title, axes, series, x, y):
        found.setdefault(title, (axes, {}))[1].setdefault(series, []).append((x, y))

    for line in lines:
        row = json.loads(line)
        if "steps" in row:  # of lengths
            for title, unit, key in (("compiling", "microseconds", "compile_us"), ("memory", "bytes", "bytes"),
                                     ("running", "microseconds a step", "us_per_step")):
                add(title, ("steps", unit), "limit: " + row["limit"], row["steps"], row[key])
        elif row["us"] is not None:  # of record
            kind, nodes, phase = row["name"].split()
            if phase in ("record", "grad", "compile", "run"):
                add(kind, ("recorded nodes", "ns a node"), phase, int(nodes), 1e3 * row["us"])
    return found


def powers(values):
    """The exponents of the powers of ten that enclose the values."""
    low = math.floor(math.log10(min(values)) + 1e-9)
    return low, max(math.ceil(math.log10(max(values)) - 1e-9), low + 1)


def place(value, low, high, length):
    return length * (math.log10(value) - low) / (high - low)


def power(exponent):
    digits = dict(zip("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"))
    return "10" + "".join(digits[d] for d in str(exponent))


def text(x, y, words, anchor="middle", extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{words}</text>'


def axes(xs, ys, names):
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#888"/>'
    for exponent in range(xs[0], xs[1] + 1):
        x = place(10.0 ** exponent, *xs, WIDTH)
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{HEIGHT}" stroke="#ddd"/>'
        yield text(x, HEIGHT + 16, power(exponent))
    for exponent in range(ys[0], ys[1] + 1):
        y = HEIGHT - place(10.0 ** exponent, *ys, HEIGHT)
        yield f'<line x1="0" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        yield text(-6, y + 4, power(exponent), "end")
    yield text(WIDTH / 2, HEIGHT + 34, names[0])
    yield text(-40, HEIGHT / 2, names[1], extra=f' transform="rotate(-90 -40 {HEIGHT / 2})"')


def panel(title, names, series, first):
    points = [point for line in series.values() for point in line]
    xs, ys = powers([x for x, _ in points]), powers([y for _, y in points])
    yield from axes(xs, ys, names)
    yield text(WIDTH / 2, -8, title, extra=' font-weight="bold"')
    labels = []  # heights, kept apart
    for colour, (name, line) in zip(COLOURS, series.items()):
        at = [(place(x, *xs, WIDTH), HEIGHT - place(y, *ys, HEIGHT)) for x, y in sorted(line)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>'
        for x, y in at:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{colour}"/>'
        if first:
            y = at[-1][1] - 6
            while any(abs(y - other) < 13 for other in labels):
                y -= 1
            labels.append(y)
            yield text(at[-1][0] - 4, y, name, "end", f' fill="{colour}"')


def main():
    found = read(sys.stdin)
    if not found:
        sys.exit("plot.py: no rows: pipe `record --grow --json` or `lengths --grow --json` in")
    width = LEFT + len(found) * (WIDTH + GAP)
    height = TOP + HEIGHT + 48
    print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
          f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">')
    print(f'<rect width="{width}" height="{height}" fill="white"/>')
    for i, (title, (names, series)) in enumerate(found.items()):
        print(f'<g transform="translate({LEFT + i * (WIDTH + GAP)},{TOP})">')
        print("\n".join(panel(title, names, series, i == 0)))
        print("</g>")
    print("</svg>")


if __name__ == "__main__":
    main()
