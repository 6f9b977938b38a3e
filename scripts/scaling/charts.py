#!/usr/bin/env python3
"""Draws the charts of docs/scaling.md from what collect.sh planned, and prints its tables.

Usage: charts.py DIRECTORY OUTPUT   (Python's own library alone)
"""
import glob
import json
import math
import os
import sys

METHODS = [
    "lora", "adalora", "miss", "ia3", "bottleneck", "prompt-tuning", "prefix-tuning", "p-tuning", "llama-adapter", "full",
]
MODELS = ["135M", "1.1B", "8B"]
# Okabe and Ito's colours, told apart by most eyes, and lines that differ besides.
COLOURS = [
    "#0072b2", "#d55e00", "#8c6d31", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7a5c99", "#2e8b8b", "#888888",
]
STYLE = """<style>
text { font: 12px system-ui, sans-serif; fill: #222 } .title { font-weight: 600; font-size: 13px }
.axis { stroke: #777 } .grid { stroke: #ddd } .aim { stroke: #b00; stroke-dasharray: 2 4 }
.line { fill: none; stroke-width: 2 } .back { fill: #fff }
@media (prefers-color-scheme: dark) {
  text { fill: #ddd } .axis { stroke: #999 } .grid { stroke: #3a3a3a } .back { fill: #1b1b1b } .aim { stroke: #f66 }
}
</style>"""
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 330, 300, 46, 40, 250


def rows(directory, model, method, network, kind):
    path = f"{directory}/{model}-{method}-{network}.json"
    if not os.path.exists(path):
        return []
    with open(path) as file:
        plan = json.load(file)
    return [(row["ranks"], row[kind]) for row in plan["scaling"] if row[kind]]


def panel(x0, title, curves, lowest):
    right = WIDTH - 14
    most = math.log2(max((r for _, points in curves for r, _ in points), default=4096))

    def place(ranks, share):
        return (x0 + LEFT + (right - LEFT) * math.log2(ranks) / most,
                TOP + (BOTTOM - TOP) * (1 - (max(share, lowest) - lowest) / (1 - lowest)))

    out = [f'<text class="title" x="{x0 + LEFT}" y="22">{title}</text>']
    for tick in range(6):
        share = lowest + (1 - lowest) * tick / 5
        _, y = place(1, share)
        out.append(f'<path class="grid" d="M{x0 + LEFT} {y:.1f}H{x0 + right}"/>')
        out.append(f'<text x="{x0 + LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{100 * share:.0f} %</text>')
    for power in range(0, int(most) + 1, 2):
        x, _ = place(2 ** power, 1)
        out.append(f'<text x="{x:.1f}" y="{BOTTOM + 18}" text-anchor="middle">{2 ** power}</text>')
    out.append(f'<path class="axis" d="M{x0 + LEFT} {BOTTOM}H{x0 + right}"/>')
    out.append(f'<text x="{x0 + (LEFT + right) / 2}" y="{BOTTOM + 38}" text-anchor="middle">ranks</text>')
    if lowest < 0.96:
        _, y = place(1, 0.96)
        out.append(f'<path class="aim" d="M{x0 + LEFT} {y:.1f}H{x0 + right}"/>')
    for method, points in curves:
        index = METHODS.index(method)
        path = " ".join(f"{'ML'[n > 0]}{x:.1f} {y:.1f}"
                        for n, (x, y) in enumerate(place(r, p["efficiency"]) for r, p in points))
        dash = ["", "7 3", "2 3", "9 3 2 3"][index % 4]
        out.append(f'<path class="line" stroke="{COLOURS[index]}" stroke-dasharray="{dash}" d="{path}">'
                   f"<title>{method}</title></path>")
    return out


def chart(directory, output, network, kind, lowest, title):
    parts = []
    models = [m for m in MODELS if glob.glob(f"{directory}/{m}-*.json")]
    for column, model in enumerate(models):
        curves = [(m, rows(directory, model, m, network, kind)) for m in METHODS]
        parts += panel(column * WIDTH, f"{model}, {title}", [c for c in curves if c[1]], lowest)
    methods = [m for m in METHODS if glob.glob(f"{directory}/*-{m}-{network}.json")]
    for number, method in enumerate(methods):
        index = METHODS.index(method)
        x, y = 46 + number % 5 * 180, HEIGHT + 14 + number // 5 * 20
        dash = ["", "7 3", "2 3", "9 3 2 3"][index % 4]
        parts.append(f'<path class="line" stroke="{COLOURS[index]}" stroke-dasharray="{dash}" d="M{x} {y - 4}h28"/>')
        parts.append(f'<text x="{x + 34}" y="{y}">{method}</text>')
    size = (max(WIDTH * len(models), 960) + 14, HEIGHT + 44)
    with open(f"{output}/{kind}-scaling.svg", "w") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" role="img">\n'
                   f"<title>{title} by ranks, modelled</title>\n{STYLE}\n"
                   f'<rect class="back" width="{size[0]}" height="{size[1]}"/>\n' + "\n".join(parts) + "\n</svg>\n")


def table(directory, ranks):
    print(f"Weak efficiency at {ranks:,} ranks\n")
    print("| method | " + " | ".join(f"{m}, {n}" for m in MODELS for n in ("10GbE", "100GbE", "IB")) + " |")
    print("| --- |" + " ---: |" * 9)
    for method in METHODS:
        cells = []
        for model in MODELS:
            for network in ("10GbE", "100GbE", "IB"):
                points = dict(rows(directory, model, method, network, "weak"))
                cells.append(f"{100 * points[ranks]['efficiency']:.1f}" if ranks in points else "–")
        print(f"| `{method}` | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    directory, output = sys.argv[1:3]
    assert glob.glob(f"{directory}/*.json"), "collect.sh first"
    chart(directory, output, "100GbE", "weak", 0.6, "weak efficiency")
    chart(directory, output, "100GbE", "strong", 0.6, "strong efficiency")
    table(directory, 1024)
