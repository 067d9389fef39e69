"""What each step does to each frame, in counts that are the same on every machine: nothing is decoded twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from dualface_core import pipeline
from dualface_core.compositing.cpu import Compositor
from dualface_core.engine.workers import Workers
from dualface_core.faces.detector import FaceDetector
from dualface_core.media.conversion import FrameConverter
from dualface_core.media.encoder import VideoEncoder
from dualface_core.media.frames import Frame
from dualface_core.media.reader import VideoReader
from dualface_core.settings import Settings
from tests.conftest import SampleClip


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Frames, from now on, in this process: decoded (by file), converted, copied, looked at, composed, encoded.

    Copied are those that the reader does not hand out in the decoder's memory. The encoder copies each once more.
    """
    found: Counter[str] = Counter()
    coded, convert, detect = VideoReader._coded, FrameConverter.convert, FaceDetector.detect
    compose, encode, handed_out = Compositor.compose, VideoEncoder.encode, VideoReader._frame

    def counted_coded(reader: VideoReader, *arguments: Any) -> Iterator[VideoFrame]:
        for frame in coded(reader, *arguments):
            found[f"decoded {reader._video.path.name}"] += 1
            yield frame

    def counted_convert(converter: FrameConverter, decoded: VideoFrame, *arguments: Any) -> VideoFrame:
        converted = convert(converter, decoded, *arguments)
        found["converted"] += converted is not decoded
        return converted

    def counted_frame(reader: VideoReader, index: int, pts: int, decoded: VideoFrame) -> Frame:
        frame = handed_out(reader, index, pts, decoded)
        memory = np.frombuffer(decoded.planes[0], np.uint8)
        found["copied"] += not np.shares_memory(frame.planes[0], memory)
        return frame

    def counted_detect(detector: FaceDetector, images: NDArray[np.uint8], **options: Any) -> Any:
        found["looked at"] += len(images)
        return detect(detector, images, **options)

    def counted_compose(compositor: Compositor, *arguments: Any) -> Any:
        found["composed"] += 1
        return compose(compositor, *arguments)

    def counted_encode(encoder: VideoEncoder, *arguments: Any) -> Any:
        found["encoded"] += 1
        return encode(encoder, *arguments)

    monkeypatch.setattr(VideoReader, "_coded", counted_coded)
    monkeypatch.setattr(VideoReader, "_frame", counted_frame)
    monkeypatch.setattr(FrameConverter, "convert", counted_convert)
    monkeypatch.setattr(FaceDetector, "detect", counted_detect)
    monkeypatch.setattr(Compositor, "compose", counted_compose)
    monkeypatch.setattr(VideoEncoder, "encode", counted_encode)
    return found


def divided() -> Workers:
    """As if there were two cores, in this process: spans are tasks, and what they do is counted."""
    workers = Workers()
    workers.most = 2
    return workers


@pytest.mark.parametrize("workers", [None, divided()], ids=["one pass", "spans"])
def test_every_step_decodes_a_frame_once_and_copies_it_once_for_the_encoder(
    sample_clip: SampleClip, tmp_path: Path, counts: Counter[str], workers: Workers | None
) -> None:
    source, result = sample_clip("talk"), tmp_path / "result.mp4"
    video, settings = pipeline.probe(source), Settings(encoder="software", preset="ultrafast")
    frames, prints = video.frame_count, tmp_path / "result.fingerprints"
    at_seams = 0 if workers is None else frames // 10
    counts.clear()

    tracks = pipeline.track(video, settings=settings, workers=workers)
    assert frames <= counts.pop(f"decoded {source.name}") <= frames + at_seams
    assert counts.pop("looked at") <= frames
    assert not +counts

    plan = pipeline.plan_tiles(video, tracks, settings=settings)
    assert not +counts

    pipeline.render(video, plan, result, settings=settings, fingerprints=prints, workers=workers)
    assert frames <= counts.pop(f"decoded {source.name}") <= frames + at_seams
    assert (counts.pop("composed"), counts.pop("encoded")) == (frames, frames)
    assert not +counts

    options = {"settings": settings, "fingerprints": prints, "workers": workers}
    assert pipeline.verify(result, video=video, tracks=tracks, plan=plan, **options).passed
    assert frames <= counts.pop(f"decoded {result.name}") <= frames + at_seams
    assert counts.pop(f"decoded {source.name}") <= frames + at_seams  # of which a few are compared
    assert counts.pop("looked at") <= frames
    assert counts.pop("composed") <= 8
    assert not +counts
