from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from numpy.typing import NDArray

from dualface_core.media.frames import LEFT, Frame
from dualface_core.media.orientation import Orientation
from dualface_core.media.probe import probe
from dualface_core.media.reader import VideoReader
from tests.core.media.conftest import MakeClip, number_of


def first_frame(path: Path) -> Frame:
    """The first frame, which must be as large as the probe says."""
    video = probe(path)
    with VideoReader(video) as reader:
        frame = next(iter(reader))
    assert (frame.width, frame.height) == (video.width, video.height)
    return frame


def luma(frame: Frame) -> NDArray[np.int16]:
    return frame.planes[0].astype(np.int16)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_every_display_matrix_is_followed(make_clip: MakeClip, turn: int, mirrored: bool) -> None:
    # The matrix mirrors what it has turned before.
    coded = first_frame(make_clip("coded.mp4", pts=[0]))
    shown = first_frame(make_clip("shown.mp4", pts=[0], turn=turn, mirrored=mirrored))
    for found, plane in zip(shown.planes, coded.planes, strict=True):
        turned = np.rot90(plane, turn // 90)
        assert np.array_equal(found, np.fliplr(turned) if mirrored else turned)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_every_display_orientation_message_is_followed(
    make_clip: MakeClip, tmp_path: Path, codec: str, turn: int, mirrored: bool
) -> None:
    # H.264 and HEVC turn what they have mirrored before.
    clip = make_clip("coded.mp4", codec=codec)
    with av.open(str(clip)) as source, av.open(str(tmp_path / "shown.mp4"), "w") as target:
        stream = source.streams.video[0]
        copied = target.add_stream_from_template(stream)
        if codec == "libx264":
            message = f"h264_metadata=display_orientation=insert:rotate={turn}:flip={'horizontal' if mirrored else '0'}"
            packets = [
                p for packet in source.demux(stream) for p in BitStreamFilterContext(message, stream).filter(packet)
            ]
        else:
            packets = [with_message(packet, turn, mirrored) for packet in source.demux(stream) if packet.size]
        for packet in packets:
            packet.stream = copied
            target.mux(packet)
    coded, shown = first_frame(clip), first_frame(tmp_path / "shown.mp4")
    assert probe(tmp_path / "shown.mp4").orientation == Orientation(turn, mirrored)
    for found, plane in zip(shown.planes, coded.planes, strict=True):
        assert np.array_equal(found, np.rot90(np.fliplr(plane) if mirrored else plane, turn // 90))


def with_message(packet: av.Packet, turn: int, mirrored: bool) -> av.Packet:
    """An HEVC packet of an MP4 with a display orientation message before its frame."""
    # cancel 0, hor_flip, ver_flip 0, 16 bits of the angle, persistence 1, and the stop bit of the payload
    bits = f"0{mirrored:d}0{turn * 65536 // 360:016b}1" + "1000"
    payload = int(bits, 2).to_bytes(3, "big")
    unit = bytes([39 << 1, 1, 47, len(payload)]) + payload + b"\x80"
    escaped = unit.replace(b"\0\0\0", b"\0\0\3\0").replace(b"\0\0\1", b"\0\0\3\1")
    changed = av.Packet(len(escaped).to_bytes(4, "big") + escaped + bytes(packet))
    changed.pts, changed.dts, changed.time_base, changed.duration = (
        packet.pts,
        packet.dts,
        packet.time_base,
        packet.duration,
    )
    changed.is_keyframe = packet.is_keyframe
    return changed


@pytest.mark.parametrize(("turn", "shown"), [(37, 0), (60, 90), (-100, 270)])
def test_an_angle_that_is_no_quarter_turn_is_said(make_clip: MakeClip, turn: int, shown: int) -> None:
    video = probe(make_clip("askew.mp4", turn=turn))
    assert video.orientation.rotation == shown
    (note,) = video.notes
    assert f"by {turn % 360} degrees counter-clockwise; they are turned by {shown}, the nearest quarter turn" in note
    assert probe(make_clip("turned.mp4", turn=shown)).notes == ()


def test_a_mirrored_frame_is_found_by_seeking(make_clip: MakeClip) -> None:
    video = probe(make_clip("mirrored.mp4", turn=180, mirrored=True))
    with VideoReader(video) as reader:
        (frame,) = reader.at([5], [5 * 1024])
    planes = tuple(np.flipud(plane) for plane in frame.planes)
    assert number_of(Frame(0, 0, 0.0, planes, frame.color)) == 5


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("size", [(16, 12), (17, 11)])
def test_chroma_is_where_it_was_in_the_picture(rotation: int, mirrored: bool, size: tuple[int, int]) -> None:
    orientation = Orientation(rotation, mirrored)

    def ramp(columns: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.uint8]:
        return (40 + 4 * columns[None, :] + 6 * rows[:, None]).astype(np.uint8)

    width, height = size
    luma = ramp(np.arange(width), np.arange(height))
    chroma = ramp(2.0 * np.arange((width + 1) // 2) + LEFT[0], 2.0 * np.arange((height + 1) // 2) + LEFT[1])
    y, u, _ = orientation.upright((luma, chroma, chroma))
    across, down = orientation.siting(LEFT, width, height)
    step_y, step_x = np.gradient(y.astype(float))
    expected = (
        y[0, 0]
        + step_x[0, 0] * (2 * np.arange(u.shape[1]) + across)
        + (step_y[0, 0] * (2 * np.arange(u.shape[0]) + down))[:, None]
    )
    np.testing.assert_array_equal(u, expected)
