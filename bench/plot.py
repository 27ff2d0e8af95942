#!/usr/bin/env python3
"""The figure of docs/performance.md: what scalar graphs cost per node as they grow.

    build/bench/record --grow --json | bench/plot.py > docs/figures/scalar_growth.svg

Reads the JSON lines of `record --grow` and writes SVG: a panel for each kind of graph, a line for
each phase, both axes logarithmic. Standard library only.
"""
import json
import math
import sys

PHASES = {"record": "#1f77b4", "grad": "#2ca02c", "compile": "#d62728", "run": "#000000"}
WIDTH, HEIGHT, LEFT, TOP, GAP = 250, 260, 56, 40, 24  # of a panel, and the room around
SIZES = (1e3, 1e7)
NS = (1.0, 1e5)


def read(lines):
    """kind -> phase -> [(nodes, ns per node)]"""
    found = {}
    for line in lines:
        row = json.loads(line)
        kind, nodes, phase = row["name"].split()
        if phase in PHASES and row["us"] is not None:
            found.setdefault(kind, {}).setdefault(phase, []).append((int(nodes), 1e3 * row["us"]))
    return found


def place(value, low, high, length):
    share = math.log(value / low) / math.log(high / low)
    return length * min(max(share, 0.0), 1.0)


def power(exponent):
    raised = "".join("\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"[int(d)] for d in str(exponent))
    return "10" + raised


def text(x, y, words, anchor="middle", extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{words}</text>'


def axes(labels_left):
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#888"/>'
    for exponent in range(3, 8):
        x = place(10.0 ** exponent, *SIZES, WIDTH)
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{HEIGHT}" stroke="#ddd"/>'
        yield text(x, HEIGHT + 16, power(exponent))
    for exponent in range(0, 6):
        y = HEIGHT - place(10.0 ** exponent, *NS, HEIGHT)
        yield f'<line x1="0" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        if labels_left:
            yield text(-6, y + 4, power(exponent), "end")


def panel(kind, phases, first):
    yield from axes(first)
    yield text(WIDTH / 2, -8, kind, extra=' font-weight="bold"')
    yield text(WIDTH / 2, HEIGHT + 34, "recorded nodes")
    for phase, points in phases.items():
        at = [(place(n, *SIZES, WIDTH), HEIGHT - place(ns, *NS, HEIGHT)) for n, ns in sorted(points)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
        colour = PHASES[phase]
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>'
        for x, y in at:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{colour}"/>'
        if first:
            yield text(at[-1][0] - 4, at[-1][1] - 6, phase, "end", f' fill="{colour}"')


def main():
    found = read(sys.stdin)
    if not found:
        sys.exit("plot.py: no rows: pipe `record --grow --json` in")
    width = LEFT + len(found) * (WIDTH + GAP)
    height = TOP + HEIGHT + 48
    print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
          f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">')
    print(f'<rect width="{width}" height="{height}" fill="white"/>')
    print(text(14, TOP + HEIGHT / 2, "ns a node", extra=f' transform="rotate(-90 14 {TOP + HEIGHT / 2})"'))
    for i, (kind, phases) in enumerate(found.items()):
        print(f'<g transform="translate({LEFT + i * (WIDTH + GAP)},{TOP})">')
        print("\n".join(panel(kind, phases, i == 0)))
        print("</g>")
    print("</svg>")


if __name__ == "__main__":
    main()
