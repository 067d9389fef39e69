"""What ffprobe and ffmpeg say of a file: an oracle that shares no code with what is tested.

Belongs here: frames' times, audio, tags and displayed colors of one file. Comparing two is the test's business.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

AUDIO_RATE: Final = 16_000
"""Samples a second at which audio is compared."""

_MATRICES: Final = {"bt709": "bt709", "smpte170m": "bt601", "bt470bg": "bt601", "bt2020nc": "bt2020", "fcc": "fcc"}
_LINES_OF_HD: Final = 720
_LOCATIONS: Final = ("location", "com.apple.quicktime.location.iso6709")


@dataclass(frozen=True)
class Chapter:
    """A chapter: seconds, and what it is called."""

    start: float
    title: str


class Probed:
    """A media file as ffprobe sees it, every frame decoded."""

    def __init__(self, path: Path) -> None:
        self.path = path
        shown = ["-show_format", "-show_streams", "-show_chapters", "-show_frames"]
        command = ["ffprobe", "-v", "error", "-of", "json", *shown, str(path)]
        done = subprocess.run(command, capture_output=True, check=False)
        self.complaints = done.stderr.decode(errors="replace")
        self._found: dict[str, Any] = json.loads(done.stdout.decode(errors="replace"))
        streams = self._found["streams"]
        self.video: dict[str, Any] = next(
            stream
            for stream in streams
            if stream["codec_type"] == "video" and not stream["disposition"]["attached_pic"]
        )
        self.audio = [s for s in streams if s["codec_type"] == "audio" and s.get("codec_name", "unknown") != "unknown"]
        self._frames = [frame for frame in self._found["frames"] if "stream_index" in frame]

    @property
    def times(self) -> list[float]:
        """Presentation times of the frames in seconds."""
        times: list[float] = []
        for frame in self._of(self.video):
            known = frame.get("best_effort_timestamp_time", frame.get("pts_time"))
            after = times[-1] + _duration(frame) if times else 0.0
            times.append(after if known is None else float(known))
        return times

    @property
    def last_duration(self) -> float | None:
        """Seconds for which the last frame is shown, where the file says so."""
        return _duration(self._of(self.video)[-1]) or None

    def audio_times(self, track: int) -> tuple[float, float]:
        """When the audio of a track begins and how long it is, in seconds."""
        stream = self.audio[track]
        frames = self._of(stream)
        if not frames:
            return 0.0, 0.0
        rate, end = int(stream["sample_rate"]), 0.0
        for frame in frames:
            end = float(frame.get("pts_time", end)) + frame["nb_samples"] / rate
        begin = float(frames[0].get("pts_time", 0))
        return begin, end - begin

    def samples(self, track: int) -> NDArray[np.float32]:
        """The audio of a track as mono, from its first sample on, gaps filled with silence."""
        shape = ["-ac", "1", "-ar", str(AUDIO_RATE), "-af", f"aresample={AUDIO_RATE}:async=1"]
        source = ["-i", str(self.path), "-map", f"0:{self.audio[track]['index']}"]
        command = ["ffmpeg", "-v", "quiet", "-nostdin", *source, *shape, "-f", "f32le", "-"]
        return np.frombuffer(subprocess.run(command, capture_output=True, check=False).stdout, np.float32)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of a displayed frame with square pixels, before it is turned."""
        width, height = self.video["width"], self.video["height"]
        stated = self.video.get("sample_aspect_ratio", "0:1")
        aspect = Fraction(1) if stated in {"0:1", "N/A"} else Fraction(stated.replace(":", "/"))
        return (round(width * aspect), height) if aspect >= 1 else (width, round(height / aspect))

    @property
    def rotation(self) -> int:
        """Degrees by which a display matrix turns the frames, clockwise or not."""
        sides = self.video.get("side_data_list", [])
        return abs(int(next((side["rotation"] for side in sides if "rotation" in side), 0)))

    def pictures(
        self, frames: list[int], *, view: str | None = None, matrix: str | None = None, scale: str | None = None
    ) -> NDArray[np.uint8]:
        """Displayed frames: (frames, H, W, 3) uint8 RGB, as a player shows them.

        Args:
            frames: their indexes; where the frames change their shape, ffmpeg counts anew from there.
            view: the filter that shows them upright; ffmpeg goes by the display matrix if None.
            matrix: of their colors; by the tags, and without them by the number of lines, if None.
            scale: the range of their values, likewise.
        """
        color = self._of(self.video)[0]
        tagged = _MATRICES.get(color.get("color_space", ""))
        matrix = matrix or tagged or ("bt709" if self.video["height"] >= _LINES_OF_HD else "bt601")
        full = color.get("color_range") == "pc" or self.video["pix_fmt"].startswith("yuvj")
        scale = scale or ("pc" if full else "tv")
        width, height = self.size
        if view is None and self.rotation in {90, 270}:  # ffmpeg turns them before its filters
            width, height = height, width
        taken = "scale=out_color_matrix=bt709" if self.is_rgb else f"scale=in_color_matrix={matrix}:in_range={scale}"
        chosen = "+".join(f"eq(n\\,{frame})" for frame in frames)
        filters = [f"select={chosen}", f"{taken}:w={width}:h={height}:flags=bicubic+accurate_rnd+full_chroma_int"]
        filters += ["format=rgb24", *([view] if view else [])]
        turned = [] if view is None else ["-noautorotate"]
        source = [*turned, "-i", str(self.path), "-map", f"0:{self.video['index']}"]
        shape = ["-vf", ",".join(filters), "-fps_mode", "passthrough", "-f", "rawvideo", "-"]
        done = subprocess.run(["ffmpeg", "-v", "quiet", "-nostdin", *source, *shape], capture_output=True, check=False)
        if view is not None and "transpose" in view:
            width, height = height, width
        return np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3)[: len(frames)]

    @property
    def has_edit_lists(self) -> bool:
        """Whether the file's times are those that its author chose."""
        return "mp4" in str(self._found["format"]["format_name"])

    @property
    def is_rgb(self) -> bool:
        """Whether the frames are coded as red, green and blue, or as a palette."""
        return self.video["pix_fmt"].startswith(("gbr", "rgb", "bgr", "pal8", "argb", "0rgb", "bgra"))

    @property
    def title(self) -> str | None:
        """What the file is called."""
        return self._tag("title")

    @property
    def creation_time(self) -> str | None:
        """When it was recorded."""
        return self._tag("creation_time")

    @property
    def location(self) -> str | None:
        """Where it was recorded."""
        return next(filter(None, map(self._tag, _LOCATIONS)), None)

    @property
    def languages(self) -> list[str | None]:
        """Of the audio tracks; "und" is none."""
        found = [stream.get("tags", {}).get("language") for stream in self.audio]
        return [None if language == "und" else language for language in found]

    @property
    def chapters(self) -> list[Chapter]:
        """Chapters in order."""
        return [
            Chapter(float(each["start_time"]), each.get("tags", {}).get("title", ""))
            for each in self._found.get("chapters", [])
        ]

    def _of(self, stream: dict[str, Any]) -> list[dict[str, Any]]:
        return [frame for frame in self._frames if frame["stream_index"] == stream["index"]]

    def _tag(self, name: str) -> str | None:
        tags = dict(self._found["format"].get("tags", {}))
        if "ogg" in self._found["format"]["format_name"]:
            tags |= self.video.get("tags", {})
        return next((value for key, value in tags.items() if key.lower() == name), None)


def _duration(frame: dict[str, Any]) -> float:
    return float(frame.get("duration_time", frame.get("pkt_duration_time", 0)))
