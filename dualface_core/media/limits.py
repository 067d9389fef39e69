"""How large a video may be: what is checked before memory and time are spent on it.

Belongs here: the limits, and the error that names what was found, the limit, and the setting that moves it. A file of
a few kilobytes can claim anything. Importing this module is cheap.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dualface_core.errors import LimitError

_FRAMES_HELD: Final = 8
"""Frames that decoder and reader hold: 8192x4320 in H.264 takes 0.5 GB with four threads, that is 8; in FFV1, 5."""


@dataclass(frozen=True)
class Limits:
    """What a video may have at most.

    Attributes:
        pixels: of a frame, as it is coded and as it is shown. The default is DCI 8K, 8192x4320.
        frames: of the video. What is known of each frame is kept in memory.
        streams: of every kind.
        seconds: from the first frame to the end of the last.
        memory: bytes that decoded frames may take, of which so many are held at once as `_FRAMES_HELD` says.
    """

    pixels: int = 8192 * 4320
    frames: int = 10_000_000
    streams: int = 200
    seconds: float = 86_400.0
    memory: int = 4 << 30

    @property
    def decoder_options(self) -> dict[str, str]:
        """What keeps FFmpeg from decoding larger frames. It counts what codecs add to rows and columns, too."""
        return {"max_pixels": str(self.pixels + self.pixels // 8 + (1 << 16))}

    def check_size(self, path: Path, width: int, height: int) -> None:
        """Raise LimitError for frames of too many pixels."""
        found = f"its frames have {width * height:,} pixels ({width}x{height})"
        self._check(path, width * height, self.pixels, found, "Export it smaller", "DUALFACE_MAX_PIXELS")

    def check_memory(self, path: Path, width: int, height: int, bits: int) -> None:
        """Raise LimitError for frames that take too much memory when they are decoded, at so many bits a pixel."""
        needed = width * height * bits // 8 * _FRAMES_HELD
        found = f"its frames ({width}x{height} at {bits} bits a pixel) take {needed:,} bytes of memory while it is read"
        self._check(path, needed, self.memory, found, "Export it smaller or in 8 bits", "DUALFACE_MAX_MEMORY")

    def check_frames(self, path: Path, frames: int) -> None:
        """Raise LimitError for too many frames."""
        self._check(path, frames, self.frames, f"it has {frames:,} frames or more", "Cut it", "DUALFACE_MAX_FRAMES")

    def check_streams(self, path: Path, streams: int) -> None:
        """Raise LimitError for too many streams."""
        action = "Export it with fewer tracks"
        self._check(path, streams, self.streams, f"it has {streams:,} streams", action, "DUALFACE_MAX_STREAMS")

    def check_seconds(self, path: Path, seconds: float) -> None:
        """Raise LimitError for a video that lasts too long."""
        self._check(path, seconds, self.seconds, f"it lasts {seconds:,.10g} s", "Cut it", "DUALFACE_MAX_SECONDS")

    @staticmethod
    def _check(path: Path, value: float, limit: float, found: str, action: str, setting: str) -> None:
        if value > limit:
            raise LimitError(path, f"{found}, and the limit is {limit:,.10g}", action=f"{action}, or raise {setting}.")
