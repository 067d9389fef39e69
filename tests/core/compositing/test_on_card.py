"""Frames that a card decodes and draws, on their way to an encoder; here the kernels run on the processor."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest

from dualface_core.compositing import on_card
from dualface_core.compositing.composed import composed_frames
from dualface_core.compositing.on_card import composed_on_card
from dualface_core.media.cuda_frames import CudaFrame
from dualface_core.media.probe import VideoInfo
from dualface_core.media.reader import VideoReader
from dualface_core.media.spans import Span
from dualface_core.rendering.stream import card_fingerprints, surface_fingerprint
from dualface_core.verification.fingerprints import fingerprint, region_fingerprints
from tests.core.compositing.emulated_card import AnyCard, EmulatedCard, without_marks
from tests.core.compositing.test_cuda import assert_alike
from tests.core.rendering.still_scene import moving_plan, still_video

PTS = range(0, 480, 40)


def decoded_on_host(video: VideoInfo, span: Span | None) -> Generator[CudaFrame]:
    """What NVDEC gives, in memory of the host."""
    with VideoReader(video, span=span) as reader:
        for frame in reader:
            luma, *chroma = (np.ascontiguousarray(plane) for plane in frame.planes)
            both = np.ascontiguousarray(np.stack(chroma, axis=-1))
            height, width = luma.shape
            addresses = luma.ctypes.data, both.ctypes.data
            yield CudaFrame(frame.index, frame.pts, addresses, (width, width), width, height, 1, (luma, both))


def test_what_is_copied_for_a_software_encoder_is_what_the_processor_draws_with_its_fingerprint(
    card: AnyCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = still_video(tmp_path / "still.mp4", PTS)
    plan = moving_plan(video, PTS)
    if isinstance(card, EmulatedCard):
        monkeypatch.setattr(on_card, "_decoded", decoded_on_host)
        without_marks(monkeypatch)
    parts, taken = region_fingerprints(plan.layout), set()
    composed = composed_on_card(
        video,
        plan.part(0, plan.frame_count),
        card,  # type: ignore[arg-type]  # emulated
        encoded_there=False,
        beside=card_fingerprints(plan.layout),
    )
    for (ours, pts), (theirs, at) in zip(composed, composed_frames(video, plan), strict=True):
        assert pts == at
        assert_alike(ours.planes, theirs.planes)
        assert (ours.frame.to_ndarray()[: ours.frame.height] == ours.planes[0]).all()
        assert (surface_fingerprint(ours, parts) == fingerprint(ours.planes, parts)).all()
        taken.add(ours.canvas.addresses)
    assert len(taken) < len(PTS)  # surfaces are taken again
