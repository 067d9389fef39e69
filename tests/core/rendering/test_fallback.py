"""What `pipeline.render` makes of NVENC's failures: a video all the same, and the reason in the report."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from dualface_core import pipeline
from dualface_core.encoding.failures import EncoderError, SessionTimeoutError
from dualface_core.encoding.sessions import NvencSessions
from dualface_core.errors import OutputError
from dualface_core.media.probe import VideoInfo, probe
from dualface_core.rendering.choice import EncoderChoice
from dualface_core.rendering.report import EncodeReport
from dualface_core.settings import Settings
from dualface_core.system.kept_folders import kept_folder
from dualface_core.tables.tile_plan import TilePlan
from tests.core.rendering.still_scene import still_plan, still_video
from tests.nvenc_emulator import EmulatedDriver
from tests.processes import children

Emulated = Callable[..., EmulatedDriver]
MakeSettings = Callable[..., Settings]
FRAMES = 24


@pytest.fixture
def long_scene(tmp_path: Path) -> tuple[VideoInfo, TilePlan]:
    pts = range(0, 40 * FRAMES, 40)
    video = still_video(tmp_path / "still.mp4", pts)
    return video, still_plan(video, pts)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "still.split.mp4"


def test_where_nvenc_will_encode_its_process_loads_before_it_is_needed_and_is_gone_in_the_end(
    emulated: Emulated, settings: MakeSettings, long_scene: tuple[VideoInfo, TilePlan], output: Path
) -> None:
    driver = emulated()
    with pipeline.encoder_ready(settings()) as ready:
        (begun,) = children()
        report = pipeline.render(*long_scene, output, settings=settings(), ready=ready)
    assert report.encoder_used == "h264_nvenc"
    assert begun.pid in {event.pid for event in driver.events() if event.name == "picture"}
    with pipeline.encoder_ready(settings()) as ready:
        assert children()
    with pipeline.encoder_ready(settings(encoder="software")) as ready:
        assert (ready.process, children()) == (None, [])


@pytest.mark.parametrize(
    ("fault", "failure"),
    [
        ("error:20@20", "encode-failed"),
        ("hang@20", "stalled"),
        ("crash@20", "crashed"),
    ],
)
def test_nvenc_that_fails_half_way_ends_in_software_and_the_report_says_why(
    emulated: Emulated,
    settings: MakeSettings,
    long_scene: tuple[VideoInfo, TilePlan],
    output: Path,
    fault: str,
    failure: str,
) -> None:
    driver = emulated(fault=fault)
    reported: list[int] = []
    patience = 3.0 if fault.startswith("hang") else 60.0
    report = pipeline.render(
        *long_scene, output, settings=settings(stall_timeout=patience), progress=lambda done, _: reported.append(done)
    )
    assert report.encoder_used == "libx264"
    assert report.fallback
    assert f"h264_nvenc failed ({failure}): " in report.why
    assert report.frames_out == probe(output).frame_count == FRAMES
    assert report.size_bytes == output.stat().st_size
    assert reported[-1] == FRAMES
    assert list(output.parent.iterdir()) == [output]
    assert sum(event.name == "fault" for event in driver.events()) <= 1  # NVENC is not tried again
    assert driver.open_now() == {}
    assert children() == []


def test_without_fallback_the_failure_is_raised_with_its_class_and_nothing_is_published(
    emulated: Emulated, settings: MakeSettings, scene: tuple[VideoInfo, TilePlan], output: Path
) -> None:
    emulated(fault="crash@5")
    with pytest.raises(EncoderError, match=r"h264_nvenc failed \(crashed\): "):
        pipeline.render(*scene, output, settings=settings(software_fallback=False))
    assert list(output.parent.iterdir()) == []


def test_what_a_killed_job_has_left_stays_for_the_software_that_follows_nvenc(
    emulated: Emulated, settings: MakeSettings, scene: tuple[VideoInfo, TilePlan], output: Path
) -> None:
    emulated(fault="crash@5")
    kept = kept_folder(output)
    kept.mkdir(mode=0o700)
    (kept / "left").touch()
    with pytest.raises(EncoderError):
        pipeline.render(*scene, output, settings=settings(software_fallback=False), kept=kept, encoded=lambda _: None)
    assert (kept / "left").exists()


def test_a_retry_with_nvenc_after_a_crash_works(
    emulated: Emulated, settings: MakeSettings, scene: tuple[VideoInfo, TilePlan], output: Path
) -> None:
    emulated(fault="crash@5,once")
    strict = settings(software_fallback=False)
    with pytest.raises(EncoderError):
        pipeline.render(*scene, output, settings=strict)
    assert pipeline.render(*scene, output, settings=strict).encoder_used == "h264_nvenc"


def test_sessions_held_by_an_outside_program_are_waited_for_and_then_done_without(
    emulated: Emulated, settings: MakeSettings, scene: tuple[VideoInfo, TilePlan], output: Path
) -> None:
    with emulated().outside_sessions(2):
        report = pipeline.render(*scene, output, settings=settings(session_timeout=0.7))
    assert report.encoder_used == "libx264"
    assert "h264_nvenc failed (session-limit): All NVENC sessions that the driver allows are in use." in report.why
    assert report.session_wait_seconds >= 0.7
    counters = NvencSessions(settings().runtime, gpu="0").status().counters
    assert counters.refused >= 1
    assert counters.opened == counters.closed


@pytest.mark.parametrize(
    "spoil", [Path.touch, lambda folder: folder.mkdir() or folder.chmod(0o777)], ids=["file", "777"]
)
@pytest.mark.parametrize("driver", [True, False], ids=["NVENC", "no NVENC"])
def test_a_folder_for_the_slots_that_cannot_be_used_costs_nvenc_and_no_video(
    emulated: Emulated,
    settings: MakeSettings,
    scene: tuple[VideoInfo, TilePlan],
    output: Path,
    driver: bool,
    spoil: Callable[[Path], None],
) -> None:
    if driver:
        emulated()
    spoil(settings().runtime)
    report = pipeline.render(*scene, output, settings=settings())
    assert (report.encoder_used, report.fallback) == ("libx264", True)
    assert f"{settings().runtime} cannot be used for slot files" in report.why


@pytest.mark.parametrize("limit", ["size=4k", "nr_inodes=2"], ids=["no room", "no inodes"])
@pytest.mark.parametrize("driver", [True, False], ids=["NVENC", "no NVENC"])
def test_a_full_disk_for_the_slots_costs_nvenc_and_no_video(
    emulated: Emulated,
    settings: MakeSettings,
    scene: tuple[VideoInfo, TilePlan],
    output: Path,
    driver: bool,
    limit: str,
    mount_tmpfs: Callable[[Path, str], Path],
) -> None:
    if driver:
        emulated()
    folder = mount_tmpfs(settings().runtime, f"mode=0700,{limit}")
    if limit == "size=4k":
        (folder / "of others").write_bytes(bytes(4096))
    report = pipeline.render(*scene, output, settings=settings())
    assert (report.encoder_used, report.fallback) == ("libx264", True)
    assert f"{folder}" in report.why
    assert "cannot be used for slot files: No space left on device." in report.why


def test_one_session_held_by_an_outside_program_leaves_one_to_share(
    emulated: Emulated, settings: MakeSettings, scene: tuple[VideoInfo, TilePlan], output: Path
) -> None:
    driver = emulated(pace_ms=20)
    reports: list[EncodeReport] = []

    def render(name: str) -> None:
        reports.append(pipeline.render(*scene, output.with_name(name), settings=settings()))

    with driver.outside_sessions(1):
        threads = [threading.Thread(target=render, args=[f"{number}.mp4"]) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [report.encoder_used for report in reports] == ["h264_nvenc"] * 2
    assert driver.most_open_at_once() == 2  # the outside program's and one of ours


def test_the_third_is_told_who_holds_the_sessions(
    emulated: Emulated, settings: MakeSettings, scene: tuple[VideoInfo, TilePlan], output: Path
) -> None:
    driver = emulated()
    guard = NvencSessions(settings().runtime, gpu="0")
    nvenc = EncoderChoice(nvenc=True, why=None, gpu="0", driver=None)
    timeout = pytest.raises(SessionTimeoutError, match=r"session-limit.*'interview\.mp4'.*'podcast\.mp4'")
    with guard.acquire("interview.mp4"), guard.acquire("podcast.mp4"), timeout:
        pipeline.render_with_nvenc(*scene, output, nvenc, settings=settings(session_timeout=0.3))
    assert driver.events() == []
    assert list(output.parent.iterdir()) == []


def test_a_place_that_cannot_be_written_to_is_nobodys_failure_but_its_own(
    emulated: Emulated, settings: MakeSettings, scene: tuple[VideoInfo, TilePlan], output: Path
) -> None:
    driver = emulated()
    missing = output.parent / "none" / "a.mp4"
    with pytest.raises(OutputError, match=r"none/a\.mp4: its folder does not exist"):
        pipeline.render(*scene, missing, settings=settings())
    assert sum(event.name == "opened" for event in driver.events()) <= 2  # the trial's and one more, and no fallback


def test_a_preset_of_nvencs_own_has_a_counterpart_in_software(
    emulated: Emulated, settings: MakeSettings, scene: tuple[VideoInfo, TilePlan], output: Path
) -> None:
    emulated(fault="crash@5")
    report = pipeline.render(*scene, output, settings=settings(preset="p4"))
    assert (report.encoder_used, report.preset) == ("libx264", "medium")
