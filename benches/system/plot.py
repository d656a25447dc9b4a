"""Curves on logarithmic axes as one SVG that needs nothing else, for light and dark pages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, PLOT, LEFT, TOP, LINE = 960, 560, 76, 56, 17
# For lines on white and on nearly black: told apart by who sees few colours, too (after Okabe and Ito), and by dashes.
COLOURS = [("#0072b2", "#56b4e9"), ("#c44e00", "#ff9a5c"), ("#00795a", "#3ddbae"), ("#a0437a", "#e89cc9"),
           ("#7a6a00", "#f0e442"), ("#444444", "#cccccc")]
DASHES = ["", "7 4", "2 3"]


@dataclass
class Curve:
    """Points with x and y above zero, and what is said of them."""

    name: str
    points: list[tuple[float, float]]
    note: str = ""


@dataclass
class Panel:
    """One pair of axes."""

    title: str
    x_label: str
    y_label: str
    curves: list[Curve]
    x_unit: str = ""
    y_unit: str = ""


def svg(title: str, panels: list[Panel]) -> str:
    """All panels, one below the other, each with the names of its curves to the right."""
    parts, top = [], TOP
    for panel in panels:
        height = max(300, 40 + LINE * 2 * len(panel.curves))
        parts.append(_panel(panel, top, height))
        top += height + 96
    style = "".join(f".c{n}{{stroke:{light};fill:{light}}}" for n, (light, _) in enumerate(COLOURS))
    dark = "".join(f".c{n}{{stroke:{colour};fill:{colour}}}" for n, (_, colour) in enumerate(COLOURS))
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" role="img" aria-label="{escape(title)}">
<title>{escape(title)}</title>
<style>
svg{{background:#fff;font:13px system-ui,sans-serif}} text{{fill:#1a1a1a;stroke:none}} .grid{{stroke:#ddd}} .axis{{stroke:#666;fill:none}}
.line{{fill:none!important;stroke-width:2}} .soft{{fill:#555}} .h{{font-weight:600}} {style}
@media (prefers-color-scheme:dark){{svg{{background:#161616}} text{{fill:#eee}} .grid{{stroke:#3a3a3a}} .axis{{stroke:#999}} .soft{{fill:#aaa}} {dark}}}
</style>
<text x="16" y="26" class="h" font-size="16">{escape(title)}</text>
{''.join(parts)}</svg>
"""


def _panel(panel: Panel, top: int, height: int) -> str:
    points = [point for curve in panel.curves for point in curve.points]
    x0, x1 = _decades([x for x, _ in points])
    y0, y1 = _decades([y for _, y in points])

    def place(x, y):
        return (LEFT + PLOT * (math.log10(x) - x0) / (x1 - x0),
                top + 24 + height * (y1 - math.log10(y)) / (y1 - y0))

    out = [f'<text x="16" y="{top + 8}" class="h">{escape(panel.title)}</text>']
    for decade in range(x0, x1 + 1):
        x, _ = place(10 ** decade, 10 ** y0)
        out.append(f'<path class="grid" d="M{x:.1f} {top + 24}v{height}"/>'
                   f'<text x="{x:.1f}" y="{top + height + 42}" text-anchor="middle">{_power(decade, panel.x_unit)}</text>')
    for decade in range(y0, y1 + 1):
        _, y = place(10 ** x0, 10 ** decade)
        out.append(f'<path class="grid" d="M{LEFT} {y:.1f}h{PLOT}"/>'
                   f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_power(decade, panel.y_unit)}</text>')
    out.append(f'<rect class="axis" x="{LEFT}" y="{top + 24}" width="{PLOT}" height="{height}"/>'
               f'<text x="{LEFT + PLOT / 2}" y="{top + height + 62}" text-anchor="middle" class="soft">'
               f'{escape(panel.x_label)}</text>'
               f'<text transform="translate(18 {top + 24 + height / 2}) rotate(-90)" text-anchor="middle" class="soft">'
               f'{escape(panel.y_label)}</text>')
    for number, curve in enumerate(panel.curves):
        out.append(_curve(curve, number, place, top))
    return "\n".join(out) + "\n"


def _curve(curve: Curve, number: int, place, top: int) -> str:
    colour = number % len(COLOURS)
    dash = DASHES[number // len(COLOURS) % len(DASHES)]
    places = [place(x, y) for x, y in curve.points]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{escape(curve.name)}: {point[0]:g} → {point[1]:.3g}'
                   f'</title></circle>' for (x, y), point in zip(places, curve.points))
    x, y = LEFT + PLOT + 20, top + 40 + number * LINE * 2
    return (f'<g class="c{colour}"><path class="line" stroke-dasharray="{dash}" d="{path}"/>{dots}'
            f'<path class="line" stroke-dasharray="{dash}" d="M{x} {y - 4}h26"/>'
            f'<text x="{x + 34}" y="{y}">{escape(curve.name)}</text>'
            f'<text x="{x + 34}" y="{y + 14}" class="soft" font-size="11">{escape(curve.note)}</text></g>')


def _decades(values) -> tuple[int, int]:
    low = math.floor(math.log10(min(values)) + 1e-9)
    return low, max(low + 1, math.ceil(math.log10(max(values)) - 1e-9))


def _power(decade: int, unit: str) -> str:
    """`100 ms`, `1 MB`, `10 k`."""
    thousands = decade // 3
    prefix = "nµm\0kMGT"[thousands + 3].replace("\0", "")
    return f"{10 ** (decade - 3 * thousands)} {prefix}{unit}".strip()
