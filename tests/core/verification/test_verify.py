from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dualface_core import pipeline
from dualface_core.errors import MissingInputError
from dualface_core.media.color import ColorInfo
from dualface_core.media.frames import Planes
from dualface_core.media.probe import probe
from dualface_core.verification.verify import Check, Finding, Verification
from tests.core.verification.results import Job, moved, remux, render, swapped_names, without

Make = Callable[..., Path]
B = slice(960, 1920)
"""Columns of tile B."""


def failed(verification: Verification) -> set[Check]:
    return {finding.check for finding in verification.failures}


def only(verification: Verification, check: Check) -> Finding:
    """The one failure there is, and its figure."""
    assert failed(verification) == {check}, [finding.message for finding in verification.failures]
    return verification.failures[0]


def fill(planes: Planes, columns: slice, rows: slice, level: int) -> None:
    planes[0][rows, columns] = level
    half = (slice(rows.start // 2, rows.stop // 2), slice(columns.start // 2, columns.stop // 2))
    planes[1][half] = planes[2][half] = 128


def test_a_right_result_passes_every_check(good: Job) -> None:
    calls: list[tuple[int, int]] = []
    verification = pipeline.verify(
        good.output,
        video=good.video,
        tracks=good.tracks,
        plan=good.plan,
        fingerprints=good.fingerprints,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert verification.passed
    assert [finding.message for finding in verification.findings if not finding.passed] == []
    assert {finding.check for finding in verification.findings} == set(Check) - {
        Check.AUDIO_CONTENT
    }  # its audio is copied
    assert all(finding.value is not None and finding.message.endswith(".") for finding in verification.findings)
    assert calls[-1] == (30, 30)
    assert calls == sorted(calls)
    margins = [finding.value for finding in verification.findings if finding.check is Check.IDENTITY]
    assert all(isinstance(margin, float) and margin > 0.3 for margin in margins)
    text = verification.model_dump_json()
    assert Verification.model_validate_json(text) == verification
    assert len(text) < 10_000  # figures and sentences; an embedding alone would be 128 numbers


@pytest.mark.parametrize("content", ["nothing", "112 bytes", "half", "text"])
def test_what_is_no_video_is_one_finding_and_no_exception(good: Job, tmp_path: Path, content: str) -> None:
    whole = good.output.read_bytes()
    path = tmp_path / "result.mp4"
    match content:
        case "112 bytes":
            path.write_bytes(whole[:112])
        case "half":
            path.write_bytes(whole[: len(whole) // 2])
        case "text":
            path.write_text("hello world\n" * 100)
    (finding,) = good.verify(path).findings
    assert (finding.check, finding.passed, finding.severity) == (Check.READABLE, False, "error")
    assert "result.mp4" in finding.message


def test_a_result_that_is_damaged_inside_is_one_finding(good: Job, tmp_path: Path) -> None:
    content = bytearray(good.output.read_bytes())
    content[len(content) // 2 : len(content) * 3 // 4] = bytes(len(content) * 3 // 4 - len(content) // 2)
    (tmp_path / "result.mp4").write_bytes(content)
    (finding,) = good.verify(tmp_path / "result.mp4").findings
    assert (finding.check, finding.passed) == (Check.READABLE, False)


def test_swapped_tiles_are_found_out(good: Job, rendered: Make) -> None:
    names = ("center_x", "center_y", "width", "height")
    swapped = moved(good.plan, **{name: lambda values: values[:, ::-1] for name in names})
    verification = good.verify(rendered(plan=swapped))
    identity = [finding for finding in verification.failures if finding.check is Check.IDENTITY]
    assert len(identity) == 2
    assert all(isinstance(finding.value, float) and finding.value < -0.3 for finding in identity)
    assert failed(verification) <= {Check.IDENTITY, Check.SSIM, Check.COLOR, Check.CROP, Check.QUALITY}


def test_swapped_tiles_in_one_half_of_the_video_are_found_out(good: Job, rendered: Make) -> None:
    def half_swapped(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values[:15], values[15:, ::-1]])

    names = ("center_x", "center_y", "width", "height")
    verification = good.verify(rendered(plan=moved(good.plan, **dict.fromkeys(names, half_swapped))))
    assert sum(finding.check is Check.IDENTITY for finding in verification.failures) == 2
    first = next(finding for finding in verification.failures if finding.check is Check.SSIM)
    assert "in 15 of 30 frames, from 0:01.5 (frame 15) on" in first.message


def test_tracks_that_mix_the_two_up_are_found_out(good: Job, tmp_path: Path) -> None:
    # The tiles show just what the plan says, but the plan follows another person from the middle on.
    tracks = swapped_names(good.tracks, range(15, 30))
    job = replace(good, tracks=tracks, plan=pipeline.plan_tiles(good.video, tracks), output=tmp_path / "result.mp4")
    render(job, job.output)
    failures = job.verify().failures
    assert Check.PEOPLE in {finding.check for finding in failures}
    assert {finding.check for finding in failures} <= {Check.PEOPLE, Check.IDENTITY}


def test_missing_sound_is_found_out(faceless: Job, remuxed: Make) -> None:
    finding = only(faceless.verify(remuxed(audio=False)), Check.AUDIO)
    assert (finding.value, finding.expected) == ("none", "aac")
    assert finding.message == "The result has no audio, and the source has one audio track."


def test_sound_where_the_source_has_none_is_found_out(faceless: Job, tmp_path: Path) -> None:
    silent = tmp_path / "silent.mp4"
    with av.open(str(faceless.video.path)) as source, av.open(str(silent), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    job = faceless.with_source(probe(silent))
    finding = only(job.verify(), Check.AUDIO)
    assert (finding.value, finding.expected) == ("aac", "none")


def test_sound_at_a_wrong_offset_is_found_out(faceless: Job, remuxed: Make) -> None:
    verification = faceless.verify(remuxed(sound_delay=Fraction(1, 100)))
    assert Check.AUDIO_TIMING in failed(verification)
    assert failed(verification) <= {Check.AUDIO_TIMING, Check.DRIFT}
    finding = next(finding for finding in verification.failures if finding.check is Check.AUDIO_TIMING)
    assert finding.value == pytest.approx(0.01, abs=1 / 48_000)


def test_one_lost_audio_packet_is_found_out(faceless: Job, remuxed: Make) -> None:
    verification = faceless.verify(remuxed(lose_sound_packet=50))
    assert Check.AUDIO_PACKETS in failed(verification)
    assert failed(verification) <= {Check.AUDIO_PACKETS, Check.AUDIO_TIMING}


def test_one_changed_byte_of_sound_is_found_out(faceless: Job, remuxed: Make) -> None:
    assert only(faceless.verify(remuxed(spoil_sound_packet=50)), Check.AUDIO_PACKETS).value == 1


def test_sound_that_was_coded_anew_passes_and_must_keep_its_time(good: Job, tmp_path: Path) -> None:
    path = tmp_path / "pcm.mov"
    with av.open(str(good.video.path)) as source, av.open(str(path), "w") as target:
        video, audio = source.streams.video[0], source.streams.audio[0]
        pictures = target.add_stream_from_template(video)
        samples = target.add_stream("pcm_s16le", rate=audio.rate)
        for packet in source.demux(video):
            if packet.dts is not None:
                packet.stream = pictures
                target.mux(packet)
        source.seek(0)
        for frame in source.decode(audio):
            resampled = av.AudioResampler("s16", "stereo", audio.rate).resample(frame)
            target.mux([packet for part in resampled for packet in samples.encode(part)])
        target.mux(samples.encode(None))
    job = good.with_source(probe(path))
    result = render(job, tmp_path / "result.mp4")
    verification = job.verify(result)
    assert verification.passed, [finding.message for finding in verification.failures]
    assert {finding.check for finding in verification.findings} == set(Check) - {Check.AUDIO_PACKETS}
    late = tmp_path / "late.mp4"
    remux(result, late, sound_delay=Fraction(1, 10))
    assert Check.AUDIO_TIMING in failed(job.verify(late))


@pytest.mark.parametrize("lost", [17, 29])
def test_one_lost_frame_is_found_out(faceless: Job, rendered: Make, lost: int) -> None:
    path = rendered(edit=lambda number, planes: None if number == lost else planes)
    finding = only(faceless.verify(path), Check.FRAME_COUNT)
    assert (finding.value, finding.expected) == (29, "30")


def test_timestamps_that_are_one_tick_off_are_found_out(faceless: Job, rendered: Make) -> None:
    finding = only(faceless.verify(rendered(delay=1)), Check.TIMESTAMPS)
    assert finding.value == 30
    assert f"{float(faceless.video.time_base):+.6f} s" in finding.message


def test_a_tile_that_turns_black_is_found_out(good: Job, rendered: Make) -> None:
    def edit(number: int, planes: Planes) -> Planes:
        if number >= 15:
            fill(planes, B, slice(0, 1080), 16)
        return planes

    verification = good.verify(rendered(edit=edit))
    finding = next(finding for finding in verification.failures if finding.check is Check.BLACK)
    assert finding.message == "The right half is black for 1.5 s, from 0:01.5 (frame 15) on, where the source is not."
    assert failed(verification) <= {Check.BLACK, Check.CROP, Check.COLOR, Check.FACE, Check.QUALITY}
    assert all(re.search("[Tt]ile B|right half", finding.message) for finding in verification.failures)


def test_a_single_black_frame_is_found_out(faceless: Job, rendered: Make) -> None:
    def edit(number: int, planes: Planes) -> Planes:
        if number == 23:
            fill(planes, slice(0, 1920), slice(0, 1080), 16)
        return planes

    verification = faceless.verify(rendered(edit=edit))
    black = [finding for finding in verification.failures if finding.check is Check.BLACK]
    assert [finding.value for finding in black] == [0.1, 0.1]


def test_a_tile_that_freezes_is_found_out(faceless: Job, rendered: Make) -> None:
    kept: list[np.ndarray] = []

    def edit(number: int, planes: Planes) -> Planes:
        columns = [slice(0, 960), slice(0, 480), slice(0, 480)]
        if number == 5:
            kept.extend(plane[:, part].copy() for plane, part in zip(planes, columns, strict=True))
        if number > 5:
            for plane, part, old in zip(planes, columns, kept, strict=True):
                plane[:, part] = old
        return planes

    verification = faceless.verify(rendered(edit=edit))
    finding = next(finding for finding in verification.failures if finding.check is Check.FROZEN)
    assert finding.message == "The left half is frozen for 2.4 s, from 0:00.6 (frame 6) on, while the source moves."
    assert failed(verification) <= {Check.FROZEN, Check.CROP, Check.FACE, Check.QUALITY}
    assert not any(re.search("[Tt]ile B|right half", finding.message) for finding in verification.failures)


def test_a_wrong_size_is_found_out(faceless: Job, rendered: Make) -> None:
    finding = only(faceless.verify(rendered(size=(1280, 720))), Check.SIZE)
    assert (finding.value, finding.expected) == ("1280x720", "1920x1080")


def test_a_crop_beside_the_plan_is_found_out(faceless: Job, rendered: Make) -> None:
    aside = moved(faceless.plan, center_x=lambda values: values + np.array([40, 0]))
    verification = faceless.verify(rendered(plan=aside))
    assert Check.SSIM in failed(verification)
    assert all(re.search("[Tt]ile A|left half", finding.message) for finding in verification.failures)


def test_exchanged_chroma_planes_are_found_out(faceless: Job, rendered: Make) -> None:
    verification = faceless.verify(rendered(edit=lambda _, planes: (planes[0], planes[2], planes[1])))
    assert failed(verification) == {Check.COLOR}
    assert len(verification.failures) == 2  # one for each half


def test_green_frames_are_found_out(good: Job, rendered: Make) -> None:
    verification = good.verify(rendered(edit=lambda _, planes: tuple(np.zeros_like(plane) for plane in planes)))
    assert {Check.BLACK, Check.COLOR, Check.FACE} <= failed(verification)


@pytest.mark.parametrize(
    ("color", "found"),
    [
        (ColorInfo(1, 9, 14, 9), "range 1, primaries 9, transfer 14, matrix 9"),
        (ColorInfo(), "range 0, primaries 2, transfer 2, matrix 2"),  # players would guess, and here guess right
    ],
)
def test_wrong_and_missing_color_tags_are_found_out(
    faceless: Job, rendered: Make, color: ColorInfo, found: str
) -> None:
    assert only(faceless.verify(rendered(color=color)), Check.COLOR).value == found


def test_a_plan_that_misses_the_face_is_found_out(good: Job, tmp_path: Path) -> None:
    # The tile shows what the plan says: a wall.
    plan = moved(good.plan, center_y=lambda values: values + np.array([260, 0]))
    job = replace(good, plan=plan, output=tmp_path / "result.mp4")
    render(job, job.output)
    verification = job.verify()
    finding = next(finding for finding in verification.failures if finding.check is Check.FACE)
    assert finding.value == 0
    assert "the plan itself leaves it outside the tile" in finding.message
    assert failed(verification) <= {Check.FACE, Check.FROZEN}


def test_with_one_person_the_wide_tile_is_only_told(good: Job, tmp_path: Path) -> None:
    tracks = without(good.tracks, "B")
    job = replace(good, tracks=tracks, plan=pipeline.plan_tiles(good.video, tracks), output=tmp_path / "result.mp4")
    render(job, job.output)
    verification = job.verify()
    assert verification.passed, [finding.message for finding in verification.failures]
    told = [finding.message for finding in verification.warnings]
    assert told[0] == "Only one person was found, so there is nobody for tile B."
    assert all("One face is in two tiles" in message for message in told[1:])


def test_the_source_is_not_blamed_on_the_result(good: Job, tmp_path: Path) -> None:
    gone = replace(good.video, path=tmp_path / "gone.mp4")
    with pytest.raises(MissingInputError, match="gone"):
        replace(good, video=gone).verify()
