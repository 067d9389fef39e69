"""Who decodes and composes, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dualface_core.compositing.composed import composed_frames
from dualface_core.encoding.settings import BackendKind
from dualface_core.engine import backend
from dualface_core.engine.backend import Backend, choose_backend, with_two_decoders
from dualface_core.engine.cores import CoreBudget
from dualface_core.engine.workers import Workers
from dualface_core.media.color import BT2020, PQ, ColorInfo
from dualface_core.media.cuda_frames import NotOnCardError
from dualface_core.media.encoder import Surface
from dualface_core.media.orientation import Orientation
from dualface_core.media.probe import VideoInfo, probe
from dualface_core.media.spans import Span
from dualface_core.pipeline import render
from dualface_core.rendering.stream import Rendered, render_on_card_or_not
from dualface_core.settings import Settings
from dualface_core.system.cuda import CudaError, why_unusable
from dualface_core.tables.layouts import LAYOUTS
from tests.core.engine.tasks import card_processes
from tests.core.rendering.still_scene import still_plan, still_video
from tests.core.rendering.test_stream import X264

PTS = range(0, 480, 40)
SPLIT = LAYOUTS["side-by-side"]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> VideoInfo:
    return still_video(tmp_path_factory.mktemp("still") / "still.mp4", PTS)


@pytest.fixture
def some_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "why_unusable", lambda: None)


@pytest.mark.usefixtures("some_card")
def test_a_card_takes_what_suits_it_unless_the_settings_say_no(video: VideoInfo) -> None:
    assert choose_backend(BackendKind.AUTO, video, SPLIT).on_card
    assert choose_backend(BackendKind.CUDA, replace(video, codec="hevc", pixel_format="yuv420p10le"), SPLIT).on_card
    assert str(choose_backend(BackendKind.CPU, video, SPLIT)) == "cpu: The settings say so."


@pytest.mark.usefixtures("some_card")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"codec": "av1"}, "decodes av1 of yuv420p"),
        ({"pixel_format": "yuv420p10le"}, "decodes h264 of yuv420p10le"),
        ({"orientation": Orientation(90)}, "turned"),
        ({"sample_aspect_ratio": 2}, "square"),
        ({"coded_height": 96}, "square"),
        ({"width": 161, "coded_width": 161}, "odd"),
        ({"interlaced": True}, "interlaced"),
        ({"salvage": True}, "salvaged"),
        ({"color_tags": ColorInfo(1, BT2020, PQ, BT2020)}, "converted"),
    ],
)
def test_what_does_not_suit_a_card_is_done_by_the_processor_and_why_is_said(
    video: VideoInfo, changes: dict[str, Any], reason: str
) -> None:
    chosen = choose_backend(BackendKind.CUDA, replace(video, **changes), SPLIT)
    assert not chosen.on_card
    assert reason in chosen.why


@pytest.mark.usefixtures("some_card")
def test_a_blurred_background_is_drawn_by_the_processor(video: VideoInfo) -> None:
    chosen = choose_backend(BackendKind.AUTO, video, replace(SPLIT, background="blurred"))
    assert str(chosen) == "cpu: The layout's background is the blurred source."


@pytest.mark.usefixtures("some_card")
def test_what_would_take_more_of_the_cards_memory_than_it_may_is_done_by_the_processor(video: VideoInfo) -> None:
    assert choose_backend(BackendKind.CUDA, video, SPLIT, room=1 << 30).on_card
    chosen = choose_backend(BackendKind.CUDA, video, SPLIT, room=100 << 20)
    assert str(chosen) == "cpu: It would take 372 MiB of the card's memory, of which 100 may be taken."


@pytest.mark.usefixtures("some_card")
def test_an_encoder_on_the_card_has_two_decoders_where_key_frames_and_memory_allow_it(
    video: VideoInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = choose_backend(BackendKind.AUTO, video, SPLIT)
    parts = [Span(0, 4, 0, 40), Span(4, 6, 40, 60, to_reach=20), Span(6, 9, 60, 90), Span(9, 12, 90, None, to_reach=5)]
    monkeypatch.setattr(backend, "spans", lambda *_, **__: parts)
    two = with_two_decoders(chosen, video, ahead=9)
    assert two.turns == (Span(0, 6, 0, 60), Span(6, 12, 60, None))
    assert str(two) == "cuda: A card is there, and suits the video. Two decoders take turns."
    few = with_two_decoders(chosen, video, ahead=9, room=100 << 20)
    assert not few.turns
    assert few.why.endswith("It has one decoder: two would take 415 MiB of its memory.")
    monkeypatch.setattr(backend, "spans", lambda *_, **__: parts[:2])
    assert with_two_decoders(chosen, video, ahead=9).why.endswith("It has one decoder: it has few key frames.")
    without = Backend(on_card=False, why="")
    assert with_two_decoders(without, video, ahead=9) is without


def test_without_a_card_the_reason_is_what_the_driver_says(video: VideoInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "why_unusable", lambda: "cuInit failed: CUDA_ERROR_NO_DEVICE")
    chosen = choose_backend(BackendKind.CUDA, video, SPLIT)
    assert str(chosen) == "cpu: No CUDA card can be used: cuInit failed: CUDA_ERROR_NO_DEVICE."


class GivesUp:
    """What a card does that cannot go on."""

    def __init__(self, *_: object, **__: object) -> None:
        raise NotOnCardError("Frame 7 is interlaced.")


def test_a_card_that_gives_up_in_the_middle_is_replaced_by_the_processor_from_the_start(
    video: VideoInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dualface_core.rendering.stream.Card", object)
    monkeypatch.setattr("dualface_core.rendering.stream.composed_on_card", GivesUp)
    output, told = tmp_path / "out.mp4", []
    plan = still_plan(video, PTS)
    made = render_on_card_or_not(video, plan, output, X264, on_card=True, progress=told.append)
    assert made == Rendered(len(PTS), not_on_card="Frame 7 is interlaced.")
    assert probe(output).frame_count == told[-1] == len(PTS)


def test_two_decoders_that_give_up_are_replaced_by_one(
    video: VideoInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn(source: VideoInfo, *_: object, turns: Sequence[Span], **__: object) -> Iterator[tuple[Surface, int]]:
        if turns:
            raise CudaError("cuMemAlloc", 2, "CUDA_ERROR_OUT_OF_MEMORY")
        return composed_frames(source, plan)

    monkeypatch.setattr("dualface_core.rendering.stream.Card", object)
    monkeypatch.setattr("dualface_core.rendering.stream.composed_on_card", drawn)
    monkeypatch.setattr("dualface_core.rendering.stream.composed_frames", GivesUp)
    plan, output = still_plan(video, PTS), tmp_path / "out.mp4"
    made = render_on_card_or_not(video, plan, output, X264, on_card=True, turns=[Span(0, 12, 0, None)])
    assert made == Rendered(len(PTS), not_in_turn="cuMemAlloc failed: CUDA_ERROR_OUT_OF_MEMORY")


@pytest.mark.usefixtures("some_card")
def test_a_software_encoder_gets_its_frames_from_the_processor_if_the_card_gives_up_and_the_report_says_so(
    video: VideoInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dualface_core.rendering.stream.Card", object)
    monkeypatch.setattr("dualface_core.rendering.stream.composed_on_card", GivesUp)
    settings = Settings(runtime=tmp_path, preset="ultrafast", encoder="software", backend="cuda")
    report = render(video, still_plan(video, PTS), tmp_path / "out.mp4", settings=settings)
    how = "one pass: it was to be done in one process"
    assert report.backend == f"cpu, {how}. The card gave up: Frame 7 is interlaced."
    assert report.frames_out == len(PTS)


@pytest.mark.usefixtures("some_card")
def test_spans_that_processes_for_a_card_give_up_are_rendered_without_it_and_the_report_says_so(
    video: VideoInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if why_unusable() is None:
        pytest.skip("this machine has a card, which does not give up")
    middle = video.first_pts + 6 * (video.last_pts - video.first_pts) // 11
    halves = [Span(0, 6, video.first_pts, middle), Span(6, 12, middle, None)]
    monkeypatch.setattr("dualface_core.rendering.software.rendering_spans", lambda _: halves)
    settings = Settings(runtime=tmp_path, preset="ultrafast", encoder="software", backend="cuda")
    budget, card = CoreBudget(tmp_path, cores=1), card_processes(tmp_path, memory=1 << 30)
    with Workers(budget, card=card) as workers:
        report = render(video, still_plan(video, PTS), tmp_path / "out.mp4", settings=settings, workers=workers)
    assert report.backend.startswith("cpu, 2 spans. The card gave up: Loading the driver failed: ")
    assert probe(tmp_path / "out.mp4").frame_count == report.frames_out == len(PTS)


def test_a_report_says_how_many_spans_a_card_gave_up() -> None:
    backend = Backend(on_card=True, why="A card is there.").without(2, NotOnCardError("Frame 7 is interlaced."))
    assert str(backend) == "cuda: A card is there. The card gave up 2 of them: Frame 7 is interlaced."
