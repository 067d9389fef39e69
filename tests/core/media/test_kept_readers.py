from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualface_core.engine.spans import spans
from dualface_core.media.kept_readers import KeptReaders
from dualface_core.media.probe import VideoInfo, probe
from dualface_core.media.reader import VideoReader
from dualface_core.media.spans import Span
from tests.conftest import SampleClip


class Counted(VideoReader):
    opened = 0
    closed = 0
    files = 0

    def __init__(self, video: VideoInfo) -> None:
        super().__init__(video, threads=1)
        Counted.opened += 1

    def __exit__(self, *_: object) -> None:
        Counted.closed += 1
        super().__exit__()

    def _open(self) -> None:
        super()._open()
        Counted.files += 1


@pytest.fixture
def video(sample_clip: SampleClip) -> VideoInfo:
    return probe(sample_clip("talk"))


@pytest.fixture(autouse=True)
def uncounted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Counted, "opened", 0)
    monkeypatch.setattr(Counted, "closed", 0)
    monkeypatch.setattr(Counted, "files", 0)


def read(readers: KeptReaders[Any], video: VideoInfo, span: Span) -> list[tuple[int, int, int]]:
    with readers.of(video, span) as reader:
        return [(frame.index, frame.pts, int(np.sum(frame.planes[0], dtype=np.int64))) for frame in reader]


def test_a_reader_is_kept_for_other_spans_and_gives_what_a_new_one_gives(video: VideoInfo) -> None:
    readers = KeptReaders(Counted, most=2)
    parts = spans(video, seconds=0.5)
    assert len(parts) > 2
    whole = Span(0, video.frame_count, video.first_pts, None)
    for span in (*reversed(parts), whole, parts[1], whole):
        with VideoReader(video, span=span) as new:
            expected = [(frame.index, frame.pts, int(np.sum(frame.planes[0], dtype=np.int64))) for frame in new]
        assert read(readers, video, span) == expected
    assert Counted.opened == 1


def test_no_more_readers_are_open_than_are_used_or_kept(video: VideoInfo, tmp_path: Path) -> None:
    readers = KeptReaders(Counted, most=2)
    other = tmp_path / "other.mp4"
    other.write_bytes(video.path.read_bytes())
    first, *_ = spans(video, seconds=0.5)
    with readers.of(video, first), readers.of(video, first), readers.of(video, first):
        assert (Counted.opened, Counted.closed) == (3, 0)
    assert (Counted.opened, Counted.closed) == (3, 1)
    with readers.of(probe(other), first, keep=False):
        assert (Counted.opened, Counted.closed) == (4, 2)
    assert (Counted.opened, Counted.closed) == (4, 3)


def test_a_file_is_opened_once_if_all_of_it_is_read_first(video: VideoInfo) -> None:
    readers = KeptReaders(Counted, most=2)
    whole = Span(0, video.frame_count, video.first_pts, None)
    first = read(readers, video, whole)
    assert Counted.files == 1
    assert read(readers, video, whole) == first


def test_a_reader_with_which_something_failed_is_not_used_again(video: VideoInfo) -> None:
    readers = KeptReaders(Counted, most=2)
    first, *_ = spans(video, seconds=0.5)
    with pytest.raises(RuntimeError), readers.of(video, first):
        raise RuntimeError
    assert (Counted.opened, Counted.closed) == (1, 1)
    read(readers, video, first)
    assert (Counted.opened, Counted.closed) == (2, 1)
