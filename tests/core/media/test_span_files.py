from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path

import pytest

from dualface_core.encoding.settings import Codec, EncoderSettings, software_encoder
from dualface_core.media.color import ColorInfo
from dualface_core.media.packets import decoder_input
from dualface_core.media.probe import probe
from dualface_core.media.span_files import SpanFile, SpansWanted
from dualface_core.media.writer import VideoWriter
from tests.core.media.test_writer import gray

FRAMES = 40
"""Ten a second, with a key frame every second: two spans of two seconds."""


def write(path: Path, folder: Path, *, time_base: Fraction, first: int, codec: Codec = "h264") -> list[SpanFile]:
    told: list[SpanFile] = []
    encoder = software_encoder(EncoderSettings(codec=codec))
    keyed = replace(encoder, options={**encoder.options, "g": "10"})
    if codec == "hevc":  # NVENC's GOPs are closed
        keyed.options["x265-params"] = f"{keyed.options.get('x265-params', '')}:open-gop=0"
    with VideoWriter(
        path,
        width=96,
        height=64,
        time_base=time_base,
        average_rate=Fraction(10),
        color=ColorInfo(),
        encoder=keyed,
        spans=SpansWanted(folder, told.append),
    ) as writer:
        for number in range(FRAMES):
            writer.write(gray(60 + 4 * number), first + round(number / 10 / time_base))
    return told


@pytest.mark.parametrize(
    ("codec", "time_base", "first"),
    [
        ("h264", Fraction(1, 10), 0),
        ("h264", Fraction(1, 90000), 45001),
        ("h264", Fraction(1001, 30000), 7),
        ("hevc", Fraction(1, 10), 0),
        ("av1", Fraction(1, 10), 0),
    ],
    ids=["coarse", "fine", "of a rate", "hevc", "av1"],
)
def test_a_decoder_is_given_the_same_by_the_files_of_the_spans_and_by_the_whole(
    tmp_path: Path, codec: Codec, time_base: Fraction, first: int
) -> None:
    told = write(tmp_path / "whole.mp4", tmp_path, time_base=time_base, first=first, codec=codec)
    spans = [probe(span.file) for span in told]
    assert [(span.first_pts * span.time_base, span.last_pts * span.time_base, span.frame_count) for span in spans] == [
        (span.first, span.last, span.frames) for span in told
    ]
    assert [*chain.from_iterable(map(decoder_input, spans))] == [*decoder_input(probe(tmp_path / "whole.mp4"))]
    assert len(told) > 1


def test_a_video_is_whole_where_its_spans_cannot_be_written(tmp_path: Path) -> None:
    assert not write(tmp_path / "whole.mp4", tmp_path / "missing", time_base=Fraction(1, 10), first=0)
    assert probe(tmp_path / "whole.mp4").frame_count == FRAMES
