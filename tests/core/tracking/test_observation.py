from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from fractions import Fraction
from functools import cache
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from dualface_core import pipeline
from dualface_core.encoding.settings import EncoderSettings, software_encoder
from dualface_core.engine.spans import spans
from dualface_core.engine.workers import Workers
from dualface_core.errors import UnreadableVideoError
from dualface_core.faces.detector import FaceDetector
from dualface_core.media.changes import Changes
from dualface_core.media.color import ColorInfo
from dualface_core.media.cuda_frames import CudaFrame
from dualface_core.media.frames import Frame
from dualface_core.media.probe import VideoInfo, probe
from dualface_core.media.reader import VideoReader
from dualface_core.media.spans import Span
from dualface_core.media.writer import VideoWriter
from dualface_core.tracking import observation
from dualface_core.tracking.card_frames import card_frames
from dualface_core.tracking.observation import ObservedVideo, Seen, observe, observe_frames, span_tasks
from dualface_core.tracking.parameters import TrackParameters
from tests.conftest import SampleClip
from tests.core.compositing.emulated_card import AnyCard, EmulatedCard, without_marks
from tests.core.compositing.test_cuda import on_card
from tests.core.media.test_deinterlace import write_interlaced

CUT, DISSOLVE, LOST = 15, range(26, 34), range(40, 50)
"""Frames of `edited`: the first of a new shot, those of a dissolve, and those in which a face cannot be seen."""

PARAMETERS = TrackParameters(max_width=320)
"""Looks that take a quarter of the usual time."""

KEYS = 11
"""Frames from one key frame of `edited` to the next."""


def edited_planes(frame: Frame) -> tuple[np.ndarray, ...]:
    """Somebody is hidden for a while, and the picture is cut to its mirror image and dissolves back."""
    share = np.clip((frame.index - DISSOLVE[0] + 1) / (len(DISSOLVE) + 1), 0, 1) if frame.index >= CUT else 1.0
    planes = []
    for plane, level in zip(frame.planes, (100, 128, 128), strict=True):
        made = cv2.addWeighted(plane, share, cv2.flip(plane, 1), 1 - share, 0)
        if frame.index in LOST:
            made[:, : made.shape[1] // 2] = level
        planes.append(made)
    return tuple(planes)


@pytest.fixture(scope="module")
def edited(sample_clip: SampleClip, tmp_path_factory: pytest.TempPathFactory) -> VideoInfo:
    path = tmp_path_factory.mktemp("edited") / "edited.mp4"
    encoder = software_encoder(EncoderSettings(preset="ultrafast", quality=23))
    encoder = replace(encoder, options=encoder.options | {"g": str(KEYS)})
    with (
        VideoReader(probe(sample_clip("talk"))) as reader,
        VideoWriter(
            path,
            width=640,
            height=360,
            time_base=Fraction(1, 15),
            average_rate=Fraction(15),
            color=ColorInfo(),
            encoder=encoder,
        ) as writer,
    ):
        for frame in reader:
            writer.write(edited_planes(frame), frame.index)
    return probe(path)


def content(value: object) -> object:
    """What can be compared bit for bit."""
    if is_dataclass(value):
        return tuple(content(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    return tuple(map(content, value)) if isinstance(value, (list, tuple)) else value


@cache
def in_one_pass(path: Path) -> list[Seen]:
    return list(ObservedVideo(probe(path), PARAMETERS))


def split_at(video: VideoInfo, seams: Sequence[int]) -> list[Span]:
    edges = [0, *seams, video.frame_count]
    pts = [seen.pts for seen in in_one_pass(video.path)]
    return [
        Span(first, stop, pts[first], pts[stop] if stop < video.frame_count else None)
        for first, stop in pairwise(edges)
    ]


@pytest.mark.parametrize(
    "seams",
    [
        [KEYS, 2 * KEYS, 3 * KEYS],
        [CUT - 1, CUT + 1, DISSOLVE[4], LOST[4]],
        [CUT - observation.LEAD - 1, CUT - observation.LEAD, CUT - observation.LEAD + 1],
        [1, 2, 4, CUT, LOST[0], LOST[-1], 57, 59],
    ],
)
def test_the_same_is_observed_wherever_a_video_is_split(edited: VideoInfo, seams: list[int]) -> None:
    tasks = span_tasks(edited, split_at(edited, seams), PARAMETERS)
    found = [seen for task in tasks for seen in observe(task).frames]
    assert content(found) == content(in_one_pass(edited.path))


def test_the_table_is_the_same_whatever_the_number_of_workers(
    edited: VideoInfo, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = pipeline.track(edited, PARAMETERS)
    assert alone.cuts[0] == CUT
    monkeypatch.setattr(observation, "SPAN_SECONDS", 0.5)
    assert len(spans(edited, seconds=0.5)) > 3
    told: list[tuple[int, int]] = []
    for several in (workers, Workers()):
        shared = pipeline.track(edited, PARAMETERS, workers=several, progress=lambda *done: told.append(done))
        assert shared.table.equals(alone.table)
        assert shared.metadata == alone.metadata
        assert told[-1] == (edited.frame_count, edited.frame_count)


def test_what_changes_in_a_video_is_told_once_for_all_spans(tmp_path: Path) -> None:
    write_interlaced(tmp_path / "fields.ts", interlaced=range(60), frames=60)
    video = probe(tmp_path / "fields.ts")
    whole = ObservedVideo(video, PARAMETERS)
    assert len(list(whole)) == 60
    tasks = span_tasks(video, spans(video, seconds=0.4), PARAMETERS)
    assert len(tasks) > 3
    told = Changes.joined(observe(task).changes for task in tasks).notes(video)
    assert told == whole.notes
    assert told[0].startswith("60 frames are interlaced")


@pytest.mark.parametrize(("moved", "found"), [(KEYS + 1, "frame 11 is at"), (62, "it ends with frame 59")])
def test_a_span_that_is_not_followed_by_the_frame_that_should_follow_is_refused(
    edited: VideoInfo, moved: int, found: str
) -> None:
    first, second = split_at(edited, [KEYS])
    longer = replace(edited, frame_count=90)
    if moved > edited.frame_count:
        second = replace(second, first_pts=second.first_pts * 60)
    with pytest.raises(UnreadableVideoError, match=found):
        observe(span_tasks(longer, [first, replace(second, first=moved)], PARAMETERS)[0])


def looked_at(seen: Sequence[Seen]) -> list[int]:
    return [look.index for each in seen for look in each.looks]


def test_looks_lie_on_a_grid_of_time_at_the_last_frame_and_on_both_sides_of_a_cut(edited: VideoInfo) -> None:
    seen = in_one_pass(edited.path)
    likely = {CUT, LOST[0], LOST[-1] + 1}
    both_sides = {CUT - 1, LOST[0] - 1, LOST[-1]} | likely
    assert looked_at(seen) == sorted({*range(0, 60, 5), *range(3, 60, 5), 59} | both_sides)
    assert {look.index for each in seen for look in each.looks if look.goes_on is not None} == likely
    images = [look.index for each in seen for look in each.looks if look.image is not None]
    assert images == sorted({*range(0, 60, 5), 59} | both_sides)


def test_the_same_is_observed_of_frames_that_lie_on_a_card(
    edited: VideoInfo, card: AnyCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def uploaded(frames: Iterable[Frame]) -> Iterator[CudaFrame]:
        for frame in frames:
            yield replace(on_card(card, frame.planes, pad=64), index=frame.index, pts=frame.pts)

    if isinstance(card, EmulatedCard):
        without_marks(monkeypatch)
    detector = FaceDetector()
    with VideoReader(edited, threads=1, loop_filter=False) as reader:
        few = list(islice(reader, CUT + 3))
        there = observe_frames(card_frames(card, edited, uploaded(few)), PARAMETERS, detector)  # type: ignore[arg-type]  # emulated
        assert content([*there]) == content([*observe_frames(few, PARAMETERS, detector)])


def test_a_card_shows_what_the_processor_shows_which_observes_where_there_is_none(
    edited: VideoInfo, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observation, "SPAN_SECONDS", KEYS / 15)
    monkeypatch.setattr(observation, "_SHORTEST_SPAN", KEYS / 15)
    done: list[int] = []
    here = in_one_pass(edited.path)
    there = list(ObservedVideo(edited, PARAMETERS, workers=workers, on_card=True, progress=done.append))
    assert done[-1] == edited.frame_count
    assert [(seen.index, seen.pts) for seen in there] == [(seen.index, seen.pts) for seen in here]
    for ours, theirs in zip(there, here, strict=True):
        assert [look.index for look in ours.looks] == [look.index for look in theirs.looks]
        for there_found, found in zip(ours.looks, theirs.looks, strict=True):
            clear = found.faces.scores >= 0.7
            np.testing.assert_allclose(there_found.faces.boxes[: clear.sum()], found.faces.boxes[clear], atol=4)
