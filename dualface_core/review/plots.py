"""Charts as PNG, for places that show no SVG: the metadata of assets (Dagster's sanitizer drops it) and files.

Belongs here: drawing the model of `charts` with OpenCV. The images carry their own light ground, so that they look the
same on a light and on a dark page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from dualface_core.advice.timeline_events import events, unsure_events
from dualface_core.gpu.monitor import LoadLog
from dualface_core.review.charts import (
    HEIGHT,
    WIDTH,
    Axis,
    Chart,
    Series,
    camera_charts,
    faces_chart,
    legend,
    load_charts,
    scenes_chart,
)
from dualface_core.review.preview import COLORS, MAX_BYTES, Image, bgr
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.tile_plan import TilePlan
from dualface_core.verification.findings import clock

_PALETTE: Final[dict[str, tuple[int, int, int]]] = {
    **{str(subject): bgr(color) for subject, color in COLORS.items()},
    "C": bgr("#2e8b57"),
    "D": bgr("#8250a8"),
    "face": bgr("#1c1f23"),
    "other": bgr("#777777"),
    "split": bgr("#9fc3ee"),
    "solo": bgr("#f4c38a"),
    "together": bgr("#a9d8b8"),
    "whole": bgr("#cfcfcf"),
    "holding": bgr("#f7e49b"),
    "wide": bgr("#c4e2c4"),
    "unsure": bgr("#f6cfd5"),
}
"""Of series by their color, and of shades by their kind."""

_WIDTH: Final = 800
_MARGIN: Final = 84
_GAP: Final = 12
_ROW: Final = 20
_SUBPIXEL_BITS: Final = 4
_INK, _GROUND = (0x60, 0x56, 0x50), (0xF4, 0xF6, 0xF6)
_FONT_SIZE: Final = 12


def tracks_plot(tracks: FaceTracks, *, max_bytes: int = MAX_BYTES) -> bytes:
    """A PNG of where the faces are, from left to right, over time."""
    axis = Axis.of(tracks)
    return png(axis, [faces_chart(axis, tracks, unsure_events(tracks))], max_bytes=max_bytes)


def camera_plot(tracks: FaceTracks, plan: TilePlan, *, max_bytes: int = MAX_BYTES) -> bytes:
    """A PNG of the scenes, of what each tile's camera shows against where the face is, and how much it enlarges."""
    axis = Axis.of(tracks)
    charts = [scenes_chart(axis, plan), *camera_charts(axis, tracks, plan, events(tracks, plan))]
    return png(axis, charts, max_bytes=max_bytes)


def load_plot(log: LoadLog, *, max_bytes: int = MAX_BYTES) -> bytes:
    """A PNG of load over time: processors, memory and, where there is one, the GPU."""
    return png(*load_charts(log), max_bytes=max_bytes)


def png(axis: Axis, charts: Sequence[Chart], *, max_bytes: int = MAX_BYTES) -> bytes:
    """Charts below one another, 800 pixels wide; narrower where that would be too large.

    Args:
        axis: of all of them.
        charts: from top to bottom.
        max_bytes: greatest size of the PNG.
    """
    width = _WIDTH
    while True:
        drawn = _drawn(axis, charts, width)
        # A chart has few colors: with sixteen levels of each primary it takes half the space, and looks the same.
        levels = (np.rint(drawn / 17) * 17).astype(np.uint8)
        data = cv2.imencode(".png", levels, (cv2.IMWRITE_PNG_COMPRESSION, 9))[1].tobytes()
        if len(data) <= max_bytes:
            return data
        width = round(0.85 * width)


def _drawn(axis: Axis, charts: Sequence[Chart], width: int) -> Image:
    heights = [90 if chart.low else 160 for chart in charts]
    explained = _legend_rows(axis, charts, width)
    head = _ROW * len(explained)
    image = np.full((head + sum(heights) + len(charts) * _GAP + _ROW, width, 3), 255, np.uint8)
    for number, entries in enumerate(explained):
        _draw_legend(image[_ROW * number : _ROW * (number + 1)], entries)
    top = head + _GAP // 2
    for chart, height in zip(charts, heights, strict=True):
        _text(image, chart.title, 4, top + height // 2 + 4, weight=600)
        for text, y in ((chart.top, top + 10), (chart.bottom, top + height)):
            _text(image, text, _MARGIN - 6 - _length(text), y)
        _draw_chart(image[top : top + height, _MARGIN:-4], axis, chart)
        top += height + _GAP
    for time, percent in axis.ticks():
        text = clock(time).removesuffix(".0")
        place = _MARGIN + (width - _MARGIN - 4) * percent / 100 - _length(text) / 2
        _text(image, text, min(round(place), width - 2 - _length(text)), top + 4)
    return image


def _legend_rows(axis: Axis, charts: Sequence[Chart], width: int) -> list[list[tuple[str, str, str]]]:
    """What is to be explained (see `legend`), in as many rows as it takes; at least one."""
    rows: list[list[tuple[str, str, str]]] = [[]]
    left = _MARGIN
    for entry in legend(axis, charts):
        if rows[-1] and left + _entry_length(entry) > width:
            rows.append([])
            left = _MARGIN
        rows[-1].append(entry)
        left += _entry_length(entry)
    return rows


def _entry_length(entry: tuple[str, str, str]) -> int:
    return 23 + _length(entry[2]) + 16


def _draw_legend(image: Image, entries: Sequence[tuple[str, str, str]]) -> None:
    left = _MARGIN
    for kind, color, label in entries:
        box = image[5 : _ROW - 4, left : left + 18]
        if kind in {"line", "thin"}:
            cv2.line(box, (0, 5), (17, 5), _PALETTE[color], 2 if kind == "line" else 1, cv2.LINE_AA)
        elif kind == "cut":
            _dashed(box, 9)
        else:
            box[:] = _PALETTE[kind]
        _text(image, label, left + 23, 15)
        left += _entry_length((kind, color, label))


def _draw_chart(area: Image, axis: Axis, chart: Chart) -> None:
    """Draw on the given part of an image."""
    height, width = area.shape[:2]
    area[:] = _GROUND
    for shade in chart.shades:
        left = round(shade.left * width / 100)
        area[:, left : left + max(1, round(shade.width * width / 100))] = _PALETTE[shade.kind.value]
    for series in chart.series:
        parts = _scaled(series, width, height)
        color = _PALETTE[series.color]
        if series.kind == "band":
            filled = area.copy()
            cv2.fillPoly(filled, parts, color, cv2.LINE_AA, _SUBPIXEL_BITS)
            cv2.addWeighted(filled, 0.2, area, 0.8, 0, dst=area)
        else:
            thickness = 2 if series.kind == "line" else 1
            cv2.polylines(area, parts, False, color, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)
    for cut in axis.cuts:
        _dashed(area, min(width - 1, round(axis.percent(cut) * width / 100)))


def _scaled(series: Series, width: int, height: int) -> list[np.ndarray]:
    unit = (1 << _SUBPIXEL_BITS) * np.array([(width - 1) / WIDTH, (height - 1) / HEIGHT])
    return [np.rint(part * unit).astype(np.int32) for part in series.parts]


def _dashed(area: Image, x: int) -> None:
    for dash in range(0, len(area), 6):
        area[dash : dash + 3, x] = _INK


def _text(image: Image, text: str, x: int, y: int, weight: int = 400) -> None:
    cv2.putText(image, text, (x, y), _INK, _font(), _FONT_SIZE, weight)


def _length(text: str) -> int:
    return cv2.getTextSize((0, 0), text, (0, 0), _font(), _FONT_SIZE, 400)[2]


def _font() -> cv2.FontFace:
    return cv2.FontFace("sans")
