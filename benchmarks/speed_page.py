"""The page of `benchmarks.speed`: a table for each case, plots, and what the figures depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.measuring import Measured

_HEAD: Final = """# Speed beside other programs

`make bench` writes this page. In each round all programs do the same work in turn, whole processes, with the machine to
themselves; ratios are medians of those of each round. [`benchmarks/speed.py`](../benchmarks/speed.py) says what each
program does: **ffmpeg** is the least that a split screen can be, **OpenCV** and **deface** do not make one that could
be published. x264 has the same preset and CRF in all that use it, audio is copied, and every result of dualface and
Dagster was verified.

*CPU* is the time of all processors, *memory* the highest of all processes at once (PSS), *SSIM* that of the first
result with its frames as they were composed: of ffmpeg's own filters, or a rendering of the plan at CRF 1.
"""

_COLORS: Final = {
    "ffmpeg": "#777777", "dualface": "#1f6feb", "Dagster": "#8250a8", "OpenCV": "#d98324", "deface": "#2e8b57"
}  # fmt: skip
_ROW, _LABELS, _BARS, _VALUES = 18, 260, 420, 80


@dataclass(frozen=True)
class Page:
    """Markdown, and the plots (SVG) that it shows by their names in `images/`."""

    text: str
    plots: Mapping[str, str]

    def write(self, folder: Path) -> None:
        """Write benchmarks.md into a folder, and the plots beside its other images."""
        (folder / "benchmarks.md").write_text(self.text)
        for name, plot in self.plots.items():
            (folder / "images" / name).write_text(plot)


def page(found: Sequence[Measured], machine: Mapping[str, str]) -> Page:
    """What was measured, on which machine."""
    times = [(str(each.case), program, _seconds(each, program)) for each in found for program in each.costs]
    lengths = [
        (str(each.case), program, _seconds(each, program) / each.case.seconds / each.case.videos)
        for each in sorted(found, key=lambda each: each.case.seconds)
        for program in each.costs
    ]
    plots = {
        "benchmarks-time.svg": bars("seconds", times),
        "benchmarks-length.svg": bars("seconds for a second of video", lengths),
    }
    shown = "\n".join(f"![{name[11:-4]}](images/{name})\n" for name in plots)
    described = ", ".join(f"{name} {value}" for name, value in machine.items())
    tables = "\n".join(_table(each) for each in found)
    text = f"{_HEAD}\nMeasured on {datetime.now(UTC):%Y-%m-%d}: {described}.\n\n{shown}\n{tables}"
    return Page(text, plots)


def _seconds(found: Measured, program: str) -> float:
    return median(cost.seconds for cost in found.costs[program])


def _table(found: Measured) -> str:
    case = found.case
    lines = [
        f"## {case}\n",
        "| program | time | by ffmpeg's | times real time | CPU | memory | size | SSIM |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for program, costs in found.costs.items():
        seconds = _seconds(found, program)
        ssim = f"{found.ssim[program]:.4f}" if program in found.ssim else ""
        memory = max(cost.peak_memory for cost in costs)
        lines.append(
            f"| {program} | {seconds:.1f} s | {found.ratio(program):.2f} | {case.videos * case.seconds / seconds:.1f} "
            f"| {median(cost.cpu_seconds for cost in costs):.0f} s "
            f"| {memory / 1e6:,.0f} MB | {found.bytes[program] / 1e6:.1f} MB | {ssim} |"
        )
    rounds = len(next(iter(found.costs.values())))
    return "\n".join([*lines, f"\n{rounds} {'round' if rounds == 1 else 'rounds'}.\n"])


def bars(unit: str, rows: Sequence[tuple[str, str, float]]) -> str:
    """An SVG of bars, a row for each of (group, program, value)."""
    most = max(value for _, _, value in rows)
    parts, y, last = [f'<text x="0" y="12" class="unit">{escape(unit)}</text>'], 20, ""
    for group, program, value in rows:
        if group != last:
            y += 6
            parts.append(f'<text x="0" y="{y + 13}">{escape(group)}</text>')
            last = group
        width = _BARS * value / most
        color = _COLORS[program]
        parts.append(
            f'<rect x="{_LABELS}" y="{y + 3}" width="{width:.1f}" height="{_ROW - 6}" fill="{color}"/>'
            f'<text x="{_LABELS + width + 6:.1f}" y="{y + 13}">{escape(program)} {value:.3g}</text>'
        )
        y += _ROW
    style = "text { font: 12px sans-serif; fill: #50565e } .unit { font-weight: 600 }"
    size = f'width="{_LABELS + _BARS + _VALUES + 40}" height="{y + 6}"'
    ground = '<rect width="100%" height="100%" fill="#ffffff"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{style}</style>{ground}{"".join(parts)}</svg>\n'
