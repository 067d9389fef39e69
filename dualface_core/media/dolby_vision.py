"""Dolby Vision: whether a stream's base layer can be shown without Dolby's metadata.

Belongs here: the DOVI configuration record, which FFmpeg reads from MP4, Matroska and transport streams. PyAV doesn't
give it, but FFmpeg's own description of the file has it in words.
"""

from __future__ import annotations

import re
from typing import Final

import av.logging
from av.container import InputContainer
from av.video.stream import VideoStream

from dualface_core.media.ffmpeg_log import captured_log

_RECORD: Final = (
    r"Stream #\d+:{index}\b(?:(?!Stream #).)*DOVI configuration record: .*?profile: (\d+),.*?compatibility id: 0"
)


def incompatible_profile(container: InputContainer, stream: VideoStream) -> int | None:
    """The Dolby Vision profile of a stream whose base layer is neither HDR10 nor HLG nor SDR; None for any other.

    Profile 5 is the one in use: its colors are IPT, and come out green and purple where they are taken for YUV.
    """
    if stream.codec_context.pix_fmt not in {"yuv420p10le", "yuv420p12le"}:
        return None
    with captured_log(av.logging.INFO):
        description = container.dumps_format()  # type: ignore[attr-defined]  # not in PyAV's stubs
    record = re.search(_RECORD.format(index=stream.index), description, re.DOTALL)
    return int(record[1]) if record else None
