"""Every kind of input either becomes a verified result that agrees with ffprobe and ffmpeg, or is refused as it should.

A small part of the recipes is run with all tests, everything by `make matrix`. docs/inputs.md says what is taken.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import correlate

from dualface_core import pipeline
from dualface_core.advice.advisories import AdvisoryName
from dualface_core.errors import DualfaceError
from dualface_core.rendering.report import EncodeReport
from dualface_core.settings import Settings
from dualface_core.tables.tile_plan import TilePlan
from tests.matrix.making import Recipe, Refused, Verified
from tests.matrix.oracle import AUDIO_RATE, Probed
from tests.matrix.recipes import RECIPES

_TICK = 6e-4
_LATE = 0.05
"""Seconds: half a millisecond, to which shifts are stated; and how long after 0 a result begins at the latest, unless
the input is one whose times its author chose."""

_LAG = 0.006
"""Seconds by which audio may lie beside its place."""

_LEAST_CORRELATION = 0.9
_COLOR = 3.0
_PICTURE = 5.0
"""Levels of 255 by which a tile may differ from the input's displayed frame: on average, and each of its points."""

_GRID = (48, 54)
"""Columns and rows into which a tile is averaged to be compared."""


def _params(kind: type) -> list[object]:
    chosen = [recipe for recipe in RECIPES if isinstance(recipe.expected, kind)]
    return [pytest.param(recipe, id=recipe.name, marks=() if recipe.quick else pytest.mark.matrix) for recipe in chosen]


@pytest.fixture
def settings() -> Settings:
    return Settings(encoder="software", preset="ultrafast", quality=14)


def test_no_two_recipes_have_one_name() -> None:
    assert [name for name, count in Counter(recipe.name for recipe in RECIPES).items() if count > 1] == []


@pytest.mark.parametrize("recipe", _params(Verified))
def test_a_result_is_verified_and_agrees_with_ffprobe(recipe: Recipe, settings: Settings, tmp_path: Path) -> None:
    expected = recipe.expected
    assert isinstance(expected, Verified)
    source, output = recipe.make(), tmp_path / "result.mp4"
    if expected.salvage:
        settings = settings.overlaid(salvage=True)
    plan, report = _process(source, output, settings)
    theirs, ours = Probed(source), Probed(output)
    assert expected.salvage or ours.complaints == ""  # damaged packets of audio are kept
    about = next(advisory for advisory in report.advisories if advisory.name is AdvisoryName.SOURCE)
    shift = _stated_shift(about.message)
    _check_times(expected, theirs, ours, shift)
    _check_audio(expected, theirs, ours, shift)
    _check_form(ours)
    _check_pictures(expected, theirs, ours, plan)
    _check_labels(expected, theirs, ours)
    for pattern in expected.says:
        assert re.search(pattern, about.message)
    if expected.quiet:
        assert about.passed, about.message


@pytest.mark.parametrize("recipe", _params(Refused))
def test_an_input_is_refused_with_the_expected_error(recipe: Recipe, settings: Settings, tmp_path: Path) -> None:
    expected = recipe.expected
    assert isinstance(expected, Refused)
    with pytest.raises(DualfaceError) as caught:
        pipeline.process(recipe.make(), tmp_path / "result.mp4", settings=settings)
    assert caught.type is expected.error
    assert re.search(expected.says, str(caught.value))
    assert list(tmp_path.iterdir()) == []


def _process(source: Path, output: Path, settings: Settings) -> tuple[TilePlan, EncodeReport]:
    """The steps of `pipeline.process`, with the plan, by which frames are compared."""
    video = pipeline.probe(source, settings=settings)
    tracks = pipeline.track(video, settings=settings)
    plan = pipeline.plan_tiles(video, tracks)
    prints = output.with_suffix(".fingerprints")
    report = pipeline.render(video, plan, output, settings=settings, fingerprints=prints)
    verification = pipeline.verify(
        output, video=video, tracks=tracks, plan=plan, settings=settings, fingerprints=prints
    )
    pipeline.require_passed(verification, output)
    return plan, pipeline.verified_report(report, verification, video, tracks, plan)


def _stated_shift(notes: str) -> float:
    """Seconds by which all times are moved, as people are told."""
    found = re.search(r"All times are ([\d.]+) s (earlier|later)", notes)
    return 0.0 if found is None else float(found[1]) * (-1 if found[2] == "earlier" else 1)


def _check_times(expected: Verified, theirs: Probed, ours: Probed, shift: float) -> None:
    """Every frame is there, at its time, and the last one for as long as in the input."""
    times = np.array(theirs.times if expected.times is None else expected.times)
    assert len(ours.times) == len(times)
    shift = shift if expected.times is None else 0.0
    np.testing.assert_allclose(ours.times, times + shift, rtol=0, atol=_TICK)
    if not theirs.has_edit_lists:
        begins = [ours.times[0], *(ours.audio_times(track)[0] for track in range(len(ours.audio)))]
        assert min(begins) < _LATE
    duration = theirs.last_duration if expected.lasts is None else expected.lasts - (times[-1] - times[0])
    if duration is not None:
        assert float(ours.video["duration"]) + ours.times[0] == pytest.approx(ours.times[-1] + duration, abs=2e-3)


def _check_audio(expected: Verified, theirs: Probed, ours: Probed, shift: float) -> None:
    """Every track begins when it did beside the frames, is as long, and sounds the same."""
    assert len(ours.audio) == (len(theirs.audio) if expected.audio is None else expected.audio)
    first = theirs.times[0] if expected.times is None else expected.times[0]
    for track in range(len(ours.audio)):
        start, length = theirs.audio_times(track)
        if expected.audio_start is not None:
            start = first + expected.audio_start
        our_start, our_length = ours.audio_times(track)
        length, our_length = (
            length + min(0.0, start + shift),
            our_length + min(0.0, our_start),
        )  # what lies before 0 is not heard
        rates = [int(probed.audio[track]["sample_rate"]) for probed in (theirs, ours)]
        coded_anew = theirs.audio[track]["codec_name"] != ours.audio[track]["codec_name"]
        assert expected.joined or our_length == pytest.approx(length, abs=0.02 + coded_anew * 2048 / min(rates))
        compared = slice(AUDIO_RATE if expected.joined else None)
        lag, correlation = _lag(theirs.samples(track)[compared], ours.samples(track)[compared])
        assert expected.silent or correlation > _LEAST_CORRELATION
        if expected.silent or expected.joined:
            continue
        assert (our_start - ours.times[0]) - (start - first) + lag == pytest.approx(0, abs=_LAG)


def _lag(theirs: NDArray[np.float32], ours: NDArray[np.float32]) -> tuple[float, float]:
    """Seconds by which the same is heard later in ours, counted from the first sample, and how alike it is."""
    products = correlate(ours, theirs, method="fft")
    best = int(products.argmax())
    scale = float(np.linalg.norm(ours) * np.linalg.norm(theirs)) or 1.0
    return (best - (len(theirs) - 1)) / AUDIO_RATE, float(products[best]) / scale


def _check_form(ours: Probed) -> None:
    """A result is upright, has square pixels and whole frames, whatever the input has."""
    video = ours.video
    assert (video["width"], video["height"]) == (1920, 1080)
    assert video["pix_fmt"] in {"yuv420p", "yuvj420p"}
    assert video.get("sample_aspect_ratio", "1:1") == "1:1"
    assert ours.rotation == 0
    assert video.get("field_order", "progressive") == "progressive"


def _check_pictures(expected: Verified, theirs: Probed, ours: Probed, plan: TilePlan) -> None:
    """A tile shows, in the colors that a player gives them, what the input shows in the tile's crop window."""
    count = len(ours.times)
    indexes = sorted({index % count for index in expected.looks})
    seen = theirs.pictures(indexes, view=expected.view, matrix=expected.matrix, scale=expected.range)
    shown = ours.pictures(indexes)
    assert len(seen) == len(shown) == len(indexes)
    for index, source, result in zip(indexes, seen, shown, strict=True):
        for slot in np.flatnonzero(plan.drawn[index]):
            (x, y, width, height), window = plan.tiles[index, slot], plan.crop_windows[index, slot].astype(float)
            drawn = result[y : y + height, x : x + width]
            ours_grid = cv2.resize(drawn, _GRID, interpolation=cv2.INTER_AREA).astype(float)
            theirs_grid = _cropped(source, window).astype(float)
            if expected.converted:
                assert ours.video["color_transfer"] == "bt709"
                assert np.corrcoef(ours_grid.ravel(), theirs_grid.ravel())[0, 1] > _LEAST_CORRELATION
                continue
            difference = ours_grid - theirs_grid
            assert np.abs(difference.mean(axis=(0, 1))).max() < _COLOR, f"frame {index}"
            assert np.abs(difference).mean() < _PICTURE, f"frame {index}"


def _cropped(image: NDArray[np.uint8], window: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The crop window of an upright frame; beyond the frame its edge is repeated."""
    center_x, center_y, width, height = window
    step_x, step_y = width / _GRID[0], height / _GRID[1]
    if max(step_x, step_y) > 1:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), sigmaX=step_x / 2, sigmaY=step_y / 2), np.uint8)
    left, top = center_x - width / 2 + step_x / 2 - 0.5, center_y - height / 2 + step_y / 2 - 0.5
    matrix = np.array([[step_x, 0, left], [0, step_y, top]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(image, matrix, _GRID, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _check_labels(expected: Verified, theirs: Probed, ours: Probed) -> None:
    """Title, time, place, languages and chapters are those of the input."""
    assert ours.title == (expected.title or theirs.title)
    assert (ours.creation_time or "")[:19] == (theirs.creation_time or "")[:19]
    assert ours.location == theirs.location
    if expected.audio is None:
        assert ours.languages == theirs.languages
    assert [chapter.title for chapter in ours.chapters] == [chapter.title for chapter in theirs.chapters]
    shift = ours.times[0] - theirs.times[0]
    starts = [max(0.0, chapter.start + shift) for chapter in theirs.chapters]
    assert [chapter.start for chapter in ours.chapters] == pytest.approx(starts, abs=2e-3)
