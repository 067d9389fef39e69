"""What holds for every step: it works on the file that was probed, and with the settings that it was given."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest

from dualface_core import pipeline
from dualface_core.engine.card import CardAccess
from dualface_core.engine.workers import Workers
from dualface_core.errors import (
    ChangedVideoError,
    MissingInputError,
    ModelError,
    NobodyFoundError,
    TableFormatError,
    UnreadableVideoError,
)
from dualface_core.faces.weights import YUNET, read_weights
from dualface_core.gpu.nvml import Gpu
from dualface_core.media.probe import VideoInfo
from dualface_core.rendering import choice
from dualface_core.settings import Settings
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.layouts import LAYOUTS
from dualface_core.tables.tile_plan import TilePlan
from tests.conftest import SampleClip
from tests.core.rendering.still_scene import still_video


@pytest.fixture(scope="module")
def made(sample_clip: SampleClip, tmp_path_factory: pytest.TempPathFactory) -> tuple[VideoInfo, FaceTracks, TilePlan]:
    """A video of a second, its tracks and its plan."""
    video = pipeline.probe(sample_clip("talk", seconds=1, size=(320, 180)))
    tracks = pipeline.track(video)
    return video, tracks, pipeline.plan_tiles(video, tracks)


@pytest.fixture
def software() -> Settings:
    return Settings(encoder="software", preset="ultrafast")


def test_with_settings_given_no_step_reads_the_environment(
    made: tuple[VideoInfo, FaceTracks, TilePlan], software: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in Settings.model_fields:
        monkeypatch.setenv(f"DUALFACE_{name.upper()}", "/poison")
    report = pipeline.process(made[0].path, tmp_path / "out.mp4", settings=software, review=True)
    assert report.verification is not None
    assert report.verification.passed


_IN_SPANS = """
import sys
from pathlib import Path
from dualface_core import pipeline
from dualface_core.settings import Settings
from dualface_core.verification.verify import _Checks

del _Checks._result_task  # which would look at the written result
video, output, runtime = map(Path, sys.argv[1:])
settings = Settings(encoder="software", preset="ultrafast", cores=4, runtime=runtime)
with pipeline.worker_processes(settings) as workers:
    assert pipeline.process(video, output, settings=settings, workers=workers).verification.passed
print("onnxruntime" in sys.modules)
"""


def test_a_process_that_has_others_for_it_loads_no_network_and_has_spans_looked_at_ahead(
    sample_clip: SampleClip, tmp_path: Path
) -> None:
    video = sample_clip("talk", seconds=6, size=(320, 180))
    program = [sys.executable, "-c", _IN_SPANS, video, tmp_path / "out.mp4", tmp_path / "run"]
    assert subprocess.run(program, capture_output=True, check=True).stdout == b"False\n"


def test_a_video_that_fails_waits_for_no_driver_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on, hung = threading.Event(), []

    def hang(_: Settings) -> None:
        hung.append(goes_on.wait(60))

    monkeypatch.setattr(choice, "choose_encoder", hang)
    video = still_video(tmp_path / "nobody.mp4", range(0, 80, 40))
    with pytest.raises(NobodyFoundError):
        pipeline.process(video.path, tmp_path / "out.mp4", settings=Settings())
    assert not hung
    goes_on.set()


def test_weights_of_another_network_are_refused_before_the_work(made: tuple[VideoInfo, FaceTracks, TilePlan]) -> None:
    told: list[int] = []
    wrong = Settings(embedder_weights=read_weights(YUNET).path)
    with pytest.raises(ModelError, match="this is not the SFace face embedder"):
        pipeline.track(made[0], settings=wrong, progress=lambda done, _: told.append(done))
    assert not told


def test_what_processes_load_for_their_tasks_is_not_what_only_the_logic_over_them_needs() -> None:
    code = "import sys; from dualface_core.engine.preload import OF_STEPS; [__import__(name) for name in OF_STEPS]; "
    code += "print({'scipy', 'dualface_core.gpu.monitor'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"set()\n"


def test_of_a_damaged_video_a_verified_result_is_made_that_says_where_frames_are_held(
    made: tuple[VideoInfo, FaceTracks, TilePlan], software: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "damaged.mp4"
    content = bytearray(made[0].path.read_bytes())
    with av.open(str(made[0].path)) as container:
        packet = [packet for packet in container.demux(container.streams.video[0]) if packet.size][12]
    content[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(content)
    with pytest.raises(UnreadableVideoError, match=r"decoding failed behind 0\.\d\d s .* run with --salvage"):
        pipeline.process(path, tmp_path / "out.mp4", settings=software)
    report = pipeline.process(path, tmp_path / "out.mp4", settings=software.overlaid(salvage=True), review=True)
    assert report.verification is not None
    assert report.verification.passed
    assert report.frames_out == made[0].frame_count
    ((begin, end),) = report.lost
    said = f"Frames are lost to damage, and the last good one is held instead: {begin:.2f} to {end:.2f} s."
    assert said in report.warnings[0]
    assert f"Those of {end - begin:.2f} s are held ones" in report.verification.findings[0].message
    page = pipeline.review_path(tmp_path / "out.mp4").read_text()
    assert said in page
    assert "The source is damaged: there is no frame, and the last good one is held." in page


def test_damage_in_audio_that_is_copied_is_said_without_salvage(
    made: tuple[VideoInfo, FaceTracks, TilePlan], tmp_path: Path
) -> None:
    path = tmp_path / "talk.mp4"
    content = bytearray(made[0].path.read_bytes())
    with av.open(made[0].path) as container:
        damaged = [
            packet for packet in container.demux(audio=0) if packet.pos and 0.4 < packet.pts * packet.time_base < 0.6
        ]
        for packet in damaged:
            content[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    path.write_bytes(content)
    video = pipeline.probe(path)
    (note,) = pipeline.track(video).metadata.notes
    assert not video.notes
    assert not made[1].metadata.notes
    assert note.startswith("Audio track 1 is damaged at 0.")
    assert note.endswith(" s; its packets are kept, and players may be silent there.")


def test_a_run_that_is_killed_before_its_result_is_verified_renders_nothing_again_and_leaves_nothing(
    sample_clip: SampleClip, software: Settings, tmp_path: Path
) -> None:
    program = """
import os, signal, sys
from pathlib import Path
from dualface_core import pipeline
from dualface_core.engine.workers import Workers
from dualface_core.settings import Settings
def die(step, *_):
    if step == "verify":
        os.kill(os.getpid(), signal.SIGKILL)
settings = Settings.model_validate_json(sys.argv[3])
pipeline.process(Path(sys.argv[1]), Path(sys.argv[2]), settings=settings, workers=Workers(), progress=die)
"""
    clip, output = sample_clip("talk", seconds=6, size=(320, 180)), tmp_path / "out.mp4"
    command = [sys.executable, "-c", program, str(clip), str(output), software.model_dump_json()]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert sorted(path.suffix for path in tmp_path.glob(".dualface-*")) == ["", ".fingerprints", ".mp4"]
    report = pipeline.process(clip, output, settings=software, workers=Workers())
    assert report.backend.startswith("cpu, 2 spans, 2 of them from a killed run.")
    assert report.verification is not None
    assert report.verification.passed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "out.report.json"]


def steps(
    video: VideoInfo, tracks: FaceTracks, plan: TilePlan, output: Path, settings: Settings
) -> dict[str, Callable[[pipeline.Progress | None], object]]:
    """The steps that read the source, by name; each takes a callback for its progress."""
    return {
        "track": lambda progress: pipeline.track(video, settings=settings, progress=progress),
        "render": lambda progress: pipeline.render(video, plan, output, settings=settings, progress=progress),
        "verify": lambda progress: pipeline.verify(
            output, video=video, tracks=tracks, plan=plan, settings=settings, progress=progress
        ),
    }


@pytest.mark.parametrize("name", ["track", "render", "verify"])
def test_a_source_that_changes_before_or_during_a_step_is_noticed(
    made: tuple[VideoInfo, FaceTracks, TilePlan], software: Settings, tmp_path: Path, name: str
) -> None:
    content = made[0].path.read_bytes()
    video = replace(made[0], path=tmp_path / "talk.mp4")
    video.path.write_bytes(content)
    output = tmp_path / "out.mp4"
    pipeline.render(video, made[2], output, settings=software)
    kept = output.read_bytes()
    step = steps(video, *made[1:], output, software)[name]

    def spoil(*_: int) -> None:
        video.path.write_bytes(content + b"free space")  # which no decoder minds

    with pytest.raises(ChangedVideoError, match="its content has changed"):
        step(spoil)
    with pytest.raises(ChangedVideoError, match="its content has changed"):
        step(None)
    video.path.unlink()
    with pytest.raises(MissingInputError, match="not there any more"):
        step(None)
    assert output.read_bytes() == kept


def test_half_a_plan_is_refused_by_every_step(
    made: tuple[VideoInfo, FaceTracks, TilePlan], software: Settings, tmp_path: Path
) -> None:
    video, tracks, plan = made
    half = replace(plan, table=plan.table.slice(0, plan.table.num_rows // 2))
    for step in ("render", "verify"):
        with pytest.raises(TableFormatError, match="the tile plan: found"):
            steps(video, tracks, half, tmp_path / "out.mp4", software)[step](None)


@pytest.mark.parametrize(
    ("memory", "sessions", "processes", "threads"),
    [
        (10**12, 0, 5, 4),
        (6 * 10**9, 0, 5, 4),
        (6 * 10**9, 1, 5, 4),
        (6 * 10**9, 2, 4, 4),
        (4 * 10**9, 0, 3, 4),
        (4 * 10**9, 2, 2, 4),
        (10**9, 0, 1, 3),
        (10**9, 1, 0, 0),
        (0, 0, 0, 0),
    ],
)
def test_processes_for_a_card_fit_into_its_memory(memory: int, sessions: int, processes: int, threads: int) -> None:
    found = pipeline._fitting(memory, sessions)
    assert found[:2] == (processes, threads)
    assert processes * (pipeline._TO_LOOK + found[2]) + sessions * pipeline._WITH_SESSION <= max(
        memory, sessions * pipeline._WITH_SESSION
    )
    assert found[2] >= threads * pipeline._DECODER


@pytest.mark.parametrize(
    ("name", "settings", "sessions"),
    [
        ("NVIDIA GeForce RTX 5090", {"streams": 4}, 2),
        ("NVIDIA GeForce RTX 5090", {"streams": 1}, 1),
        ("NVIDIA GeForce RTX 5090", {}, 1),
        ("NVIDIA GeForce RTX 5090", {"streams": 4, "encoder": "software"}, 0),
        ("NVIDIA GeForce RTX 5090", {"streams": 4, "nvenc_max_sessions": 3}, 3),
        ("NVIDIA H200", {"streams": 4}, 0),
        ("NVIDIA H200", {"streams": 4, "encoder": "nvenc"}, 2),
        ("a card that is not known", {"streams": 4}, 2),
    ],
)
def test_processes_for_a_card_leave_room_for_the_sessions_that_are_likely(
    name: str, settings: dict[str, Any], sessions: int
) -> None:
    assert pipeline._sessions(Settings(**settings), [Gpu(0, "GPU-0", name, "580.0")]) == sessions


@pytest.mark.parametrize(
    ("backend", "frames", "memory", "looks"),
    [
        ("auto", 5000, 10**8, True),
        ("auto", 4999, 10**8, False),
        ("cuda", 25, 10**8, True),
        ("cuda", 25, 10**6, False),
        ("cpu", 5000, 10**8, False),
    ],
)
def test_a_card_takes_long_videos_and_others_where_it_is_asked_for_and_has_room(
    made: tuple[VideoInfo, FaceTracks, TilePlan],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
    frames: int,
    memory: int,
    looks: bool,
) -> None:
    monkeypatch.setattr("dualface_core.engine.backend.why_unusable", lambda: None)
    video = replace(made[0], frame_count=frames)
    settings = Settings(runtime=tmp_path, cores=2, streams=1, backend=backend)
    card = CardAccess(folder=tmp_path, processes=1, threads=2, memory=memory)
    with pipeline.workers_of_batch(settings, card) as workers:
        assert pipeline._looks_on_card(video, settings, workers) is looks
        composed_by = pipeline._composed_by(video, LAYOUTS["side-by-side"], settings, workers)
        assert composed_by.on_card is looks
        assert looks or ("memory" in composed_by.why) is (memory < 10**8)
        workers.most = 3
        assert pipeline._composed_by(video, LAYOUTS["side-by-side"], settings, workers).on_card is (
            backend == "cuda" and looks
        )
    with pipeline.workers_of_batch(settings, None) as workers:
        assert not pipeline._looks_on_card(video, settings, workers)
        assert not pipeline._composed_by(video, LAYOUTS["side-by-side"], settings, workers).on_card
    assert pipeline._composed_by(video, LAYOUTS["side-by-side"], settings, None).on_card is (
        backend != "cpu"
    )  # in one pass
