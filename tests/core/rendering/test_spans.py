"""Rendered in spans, a video is what it is in one pass, whoever renders the spans and in whatever order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualface_core import pipeline
from dualface_core.compositing.composed import composed_frames
from dualface_core.encoding.settings import Codec
from dualface_core.engine.cores import CoreBudget
from dualface_core.engine.workers import Workers
from dualface_core.errors import OutputError, UnreadableVideoError
from dualface_core.media.encoder import Surface
from dualface_core.media.joining import UnjoinableSpansError
from dualface_core.media.probe import VideoInfo, probe
from dualface_core.media.reader import VideoReader
from dualface_core.media.spans import Span
from dualface_core.rendering import spans
from dualface_core.rendering.spans import rendering_spans
from dualface_core.settings import Settings
from dualface_core.system.kept_folders import kept_folder, removed_in_the_end, taken_over
from dualface_core.tables.tile_plan import TilePlan
from tests.core.rendering.still_scene import TIME_BASE, moving_plan, still_video

PTS = [300 * number + 7 * (number % 4) + 1200 * (number > 9) for number in range(24)]
"""Two uneven frames a second, with a long one between: five spans of a video that can be rendered in a moment."""

MakeSettings = Callable[..., Settings]


@pytest.fixture
def video(tmp_path: Path) -> VideoInfo:
    return still_video(tmp_path / "still.mp4", PTS, key_every=4)


@pytest.fixture
def plan(video: VideoInfo) -> TilePlan:
    return moving_plan(video, PTS)


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    with Workers(CoreBudget(tmp_path_factory.mktemp("cores"), cores=2)) as workers:
        yield workers


def times(path: Path) -> list[Fraction]:
    video = probe(path)
    with VideoReader(video) as reader:
        return [frame.pts * video.time_base for frame in reader]


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_every_frame_of_the_plan_is_in_the_result_at_its_own_time(
    video: VideoInfo, plan: TilePlan, settings: MakeSettings, tmp_path: Path, codec: Codec
) -> None:
    output, reported = tmp_path / "out.mp4", list[tuple[int, int]]()
    report = pipeline.render_with_software(
        video,
        plan,
        output,
        settings=settings(codec=codec, preset="12" if codec == "av1" else "ultrafast"),
        workers=Workers(),
        progress=lambda *done: reported.append(done),
    )
    assert report.backend.startswith("cpu, 5 spans")
    assert report.frames_out == len(PTS)
    assert times(output) == [time * TIME_BASE for time in PTS]
    assert reported == [(done, len(PTS)) for done in range(len(PTS) + 1)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "still.mp4"]


@pytest.mark.parametrize(("key_every", "parts"), [(4, 5), (8, 4)])
def test_a_result_does_not_depend_on_the_number_of_processes(
    settings: MakeSettings, two_workers: Workers, tmp_path: Path, key_every: int, parts: int
) -> None:
    video = still_video(tmp_path / "still.mp4", PTS, key_every=key_every)
    plan = moving_plan(video, PTS)
    assert any(span.to_reach for span in rendering_spans(video)) == (key_every == 8)
    for name, workers in (("one", Workers()), ("two", two_workers), ("pass", None)):
        output = tmp_path / f"{name}.mp4"
        prints = tmp_path / f"{name}.fingerprints"
        chosen = settings(preset="veryfast")
        report = pipeline.render_with_software(
            video, plan, output, settings=chosen, fingerprints=prints, workers=workers
        )
        assert report.backend.startswith(
            f"cpu, {parts} spans" if workers else "cpu, one pass: it was to be done in one process"
        )
    assert len({(tmp_path / f"{name}.mp4").read_bytes() for name in ("one", "two")}) == 1
    assert len({(tmp_path / f"{name}.fingerprints").read_bytes() for name in ("one", "two", "pass")}) == 1


def test_what_a_second_thread_draws_stays_until_it_was_encoded(
    video: VideoInfo, plan: TilePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans, "_ASKED_EVERY", 1)
    whole, part = Span(0, len(PTS), video.first_pts, None), plan.part(0, len(PTS))
    turn = [Surface.blank(plan.layout.width, plan.layout.height)]
    frames = spans._drawn(video, part, whole, turn)
    with closing(spans._helped(frames, turn, part, CoreBudget(tmp_path / "runtime", cores=1))) as drawn:
        for (surface, pts), (alone, own) in zip(drawn, composed_frames(video, plan), strict=True):
            assert pts == own
            for shown, expected in zip(surface.planes, alone.planes, strict=True):
                np.testing.assert_array_equal(shown, expected)


def test_the_frames_of_a_lossless_result_are_the_composed_ones(
    video: VideoInfo, plan: TilePlan, settings: MakeSettings, tmp_path: Path
) -> None:
    output = tmp_path / "out.mp4"
    lossless = settings(quality=0, preset="ultrafast")
    pipeline.render_with_software(video, plan, output, settings=lossless, workers=Workers())
    with VideoReader(probe(output)) as reader:
        for frame, (surface, _) in zip(reader, composed_frames(video, plan), strict=True):
            for shown, drawn in zip(frame.planes, surface.planes, strict=True):
                np.testing.assert_array_equal(shown, drawn)


@given(
    at_keys=st.lists(st.booleans(), min_size=1, max_size=40),
    done=st.sets(st.integers(0, 39)),
    cores=st.integers(1, 16),
)
def test_spans_between_key_frames_are_decoded_with_those_before_until_there_are_few_left_for_all_cores(
    at_keys: list[bool], done: set[int], cores: int
) -> None:
    parts = [Span(number, number + 1, number, number + 1, int(not key)) for number, key in enumerate(at_keys)]
    left = [number for number in range(len(parts)) if number not in done]
    together = list(spans.decoded_at_once(parts, left, cores))
    assert [*chain.from_iterable(together)] == left
    begun = {numbers[0] for numbers in together}
    for place, number in enumerate(left):
        goes_on = place > 0 and left[place - 1] == number - 1 and not at_keys[number]
        assert (number not in begun) == (goes_on and len(left) - place > 2 * cores)


@pytest.mark.parametrize(
    ("seconds", "key_every", "least", "most"),
    [
        (60, 2, 14, 16),  # key frames to choose from
        (60, 8, 12, 16),  # too few key frames for many cores
        (300, 8, 30, 38),  # enough of them
        (60, 60, 1, 1),  # one, from which each span would be decoded
        (3, 1, 1, 1),
    ],
)
def test_a_video_is_split_for_many_cores_without_decoding_much_of_it_twice(
    tmp_path: Path, seconds: int, key_every: int, least: int, most: int
) -> None:
    video = still_video(tmp_path / "long.mp4", range(0, seconds * 600, 600), key_every=key_every)
    parts = rendering_spans(video)
    assert parts == rendering_spans(video)
    assert least <= len(parts) <= most
    edges = [span.first for span in parts[1:]] + [video.frame_count]
    assert [span.stop for span in parts] == edges
    assert [span.stop_pts for span in parts] == [span.first_pts for span in parts[1:]] + [None]
    lengths = [span.stop - span.first for span in parts[:-1]]
    assert max(lengths, default=0) <= 2 * min(lengths, default=0)


def test_a_short_video_is_rendered_in_one_pass(settings: MakeSettings, tmp_path: Path) -> None:
    pts = range(0, 600, 300)
    video = still_video(tmp_path / "short.mp4", pts)
    report = pipeline.render_with_software(
        video, moving_plan(video, pts), tmp_path / "out.mp4", settings=settings(), workers=Workers()
    )
    assert report.backend.startswith("cpu, one pass: the video is short, or cannot be split")


def test_a_video_that_another_process_renders_to_the_same_name_is_rendered_in_one_pass(
    video: VideoInfo, plan: TilePlan, settings: MakeSettings, tmp_path: Path
) -> None:
    output = tmp_path / "out.mp4"
    with removed_in_the_end(kept_folder(output)), taken_over(kept_folder(output)):
        report = pipeline.render_with_software(video, plan, output, settings=settings(), workers=Workers())
    assert report.backend.startswith("cpu, one pass: another process makes the same video")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "still.mp4"]


def test_a_video_whose_finished_spans_could_be_another_users_is_rendered_in_one_pass(
    video: VideoInfo, plan: TilePlan, settings: MakeSettings, tmp_path: Path
) -> None:
    output = tmp_path / "out.mp4"
    kept_folder(output).mkdir()
    kept_folder(output).chmod(0o777)
    report = pipeline.render_with_software(video, plan, output, settings=settings(), workers=Workers())
    assert "one pass" in report.backend
    assert "others may write to it" in report.backend
    assert times(output) == [time * TIME_BASE for time in PTS]


def test_an_encoder_whose_spans_do_not_join_is_given_the_video_in_one_pass(
    video: VideoInfo, plan: TilePlan, settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refusing(spans.SpanJoiner):
        def add(self, *_: object) -> None:
            raise UnjoinableSpansError("The encoder gave two spans different headers.")

    monkeypatch.setattr(spans, "SpanJoiner", Refusing)
    output, chosen = tmp_path / "out.mp4", settings(preset="ultrafast")
    report = pipeline.render_with_software(video, plan, output, settings=chosen, workers=Workers())
    assert report.backend.startswith("cpu, one pass: The encoder gave two spans different headers.")
    assert times(output) == [time * TIME_BASE for time in PTS]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "still.mp4"]


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ([*PTS[:3], PTS[3] + 1, *PTS[4:]], "frame 3"),
        ([*PTS[:20], PTS[20] + 1, *PTS[21:]], "frame 20"),
        (PTS[:-1], "frame 23"),
    ],
)
def test_a_source_that_changed_since_it_was_tracked_is_noticed_and_nothing_is_left(
    settings: MakeSettings, two_workers: Workers, tmp_path: Path, changed: list[int], where: str
) -> None:
    found = still_video(tmp_path / "still.mp4", changed, key_every=4)
    plan = moving_plan(found, PTS)
    with pytest.raises(UnreadableVideoError, match=f"{where} is not the one that was tracked"):
        pipeline.render_with_software(
            found, plan, tmp_path / "out.mp4", settings=settings(preset="ultrafast"), workers=two_workers
        )
    assert sorted(path.name for path in tmp_path.glob("*")) == ["still.mp4"]


def test_a_disk_that_fills_up_is_said_of_the_result_and_nothing_is_left_on_it(
    video: VideoInfo, plan: TilePlan, settings: MakeSettings, small_disk: Path
) -> None:
    output, lossless = small_disk / "out.mp4", settings(quality=0, preset="ultrafast")
    (small_disk / "other").write_bytes(bytes(100 << 10))
    with pytest.raises(OutputError, match=r"disk/out\.mp4: the disk is full"):
        pipeline.render_with_software(video, plan, output, settings=lossless, workers=Workers())
    assert [path.name for path in small_disk.iterdir()] == ["other"]
