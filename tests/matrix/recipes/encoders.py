"""Arguments of ffmpeg that many recipes share."""

from __future__ import annotations

from typing import Final

from tests.matrix.making import BASE_FRAMES, BASE_RATE

X264: Final = "-c:v libx264 -preset veryfast -crf 12 -bf 2"
X265: Final = "-c:v libx265 -preset ultrafast -x265-params log-level=error -crf 12 -tag:v hvc1"
VP8: Final = "-c:v libvpx -b:v 2M -deadline realtime -cpu-used 8"
VP9: Final = "-c:v libvpx-vp9 -b:v 2M -deadline realtime -cpu-used 8"
AV1: Final = "-c:v libsvtav1 -preset 10 -crf 20"
MPEG2: Final = "-c:v mpeg2video -q:v 2 -bf 2"
PCM: Final = "-c:a pcm_s16le"

REGULAR: Final = tuple(frame / BASE_RATE for frame in range(BASE_FRAMES))
"""Times of the base clip's frames, for files that have none of their own."""
