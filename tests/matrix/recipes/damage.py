"""Files that were cut off or damaged on the way, and what people do to them by mistake."""

from __future__ import annotations

from typing import Final

from dualface_core.errors import UnreadableVideoError
from tests.matrix.making import Cut, Flip, Join, Recipe, Refused, Step, Verified, Write, Zero
from tests.matrix.recipes.encoders import MPEG2, REGULAR, VP9, X264

_INDEX_FIRST: Final = f"{X264} -g 10 -c:a aac -movflags faststart"


def _cut(name: str, codecs: str, share: float) -> tuple[Step, ...]:
    return (f"-i base.mov {codecs} {name}", Cut(name, share))


def _flipped(name: str, codecs: str, count: int) -> tuple[Step, ...]:
    return (f"-i base.mov {codecs} {name}", Flip(name, count, 0.35, 0.85))


def _named(name: str, made_as: str, codecs: str) -> tuple[Step, ...]:
    """A file whose name says another container."""
    return (f"-i base.mov {codecs} {made_as}", Join((made_as,), name))


DAMAGE: Final = (
    Recipe("cut.mp4", _cut("cut.mp4", _INDEX_FIRST, 0.6), Refused(UnreadableVideoError, "cut off"), quick=True),
    Recipe("cut.mov", _cut("cut.mov", _INDEX_FIRST, 0.9), Refused(UnreadableVideoError, "cut off")),
    Recipe("no-index.mp4", _cut("no-index.mp4", f"{X264} -c:a aac", 0.9), Refused(UnreadableVideoError, "index")),
    Recipe("cut.mkv", _cut("cut.mkv", f"{X264} -g 10 -c:a aac", 0.5), Refused(UnreadableVideoError, "cut off")),
    Recipe("cut.webm", _cut("cut.webm", f"{VP9} -g 10 -c:a libopus", 0.4), Refused(UnreadableVideoError, "cut off")),
    Recipe(
        "cut.avi", _cut("cut.avi", "-c:v mjpeg -q:v 2 -c:a pcm_s16le", 0.5), Refused(UnreadableVideoError, "cut off")
    ),
    Recipe("cut.flv", _cut("cut.flv", f"{X264} -g 10 -c:a aac", 0.4), Refused(UnreadableVideoError, "cut off")),
    Recipe(
        "cut-at-start.mp4", _cut("cut-at-start.mp4", _INDEX_FIRST, 0.02), Refused(UnreadableVideoError, "Copy|export")
    ),
    Recipe("cut.ts", _cut("cut.ts", f"{X264} -g 10 -bf 0 -an", 0.61), Verified(looks=(0, 5))),
    Recipe("cut.mpg", _cut("cut.mpg", f"{MPEG2} -g 10 -bf 0 -an", 0.61), Verified(looks=(0, 5))),
    *(
        Recipe(name, _flipped(name, codecs, 40), Refused(UnreadableVideoError, r"damaged at 0\.\d\d s.* --salvage"))
        for name, codecs in (
            ("flipped.mp4", _INDEX_FIRST),
            ("flipped.mkv", f"{X264} -g 10 -c:a aac"),
            ("flipped.ts", f"{X264} -g 10 -c:a aac"),
        )
    ),
    *(
        Recipe(
            name,
            _flipped(name, _INDEX_FIRST, 12),
            Verified(salvage=True, says=(r"Frames are damaged, .*: 0\.\d\d to \d",), looks=(0,), joined=True),
        )
        for name in ("salvaged-flipped.mp4", "salvaged-flipped.ts")
    ),
    Recipe(
        "zeroed.mp4",
        (f"-i base.mov {_INDEX_FIRST} zeroed.mp4", Zero("zeroed.mp4", 0.4, 0.6)),
        Refused(UnreadableVideoError, "salvage"),
    ),
    Recipe(
        "salvaged.mp4",
        (f"-i base.mov {_INDEX_FIRST} salvaged.mp4", Zero("salvaged.mp4", 0.4, 0.6)),
        Verified(times=REGULAR, salvage=True, looks=(0,), joined=True),
    ),
    Recipe(
        "salvaged-cut.mp4",
        _cut("salvaged-cut.mp4", _INDEX_FIRST, 0.7),
        Verified(times=REGULAR[:21], salvage=True, looks=(0, 5), joined=True),
    ),
    Recipe("mkv-named.mp4", _named("mkv-named.mp4", "a.mkv", f"{X264} -c:a aac"), Verified()),
    Recipe("mp4-named.avi", _named("mp4-named.avi", "a.mp4", f"{X264} -c:a aac"), Verified(quiet=True)),
    Recipe("ts-named.mp4", _named("ts-named.mp4", "a.ts", f"{X264} -c:a aac"), Verified()),
    Recipe("webm-named.mov", _named("webm-named.mov", "a.webm", f"{VP9} -c:a libopus"), Verified()),
    Recipe("avi-named.mkv", _named("avi-named.mkv", "a.avi", "-c:v mjpeg -q:v 2 -c:a pcm_s16le"), Verified()),
    Recipe(
        "rubbish-after.mp4",
        (
            f"-i base.mov {X264} -c:a aac a.mp4",
            Write("rest", b"\x00rubbish" * 500),
            Join(("a.mp4", "rest"), "rubbish-after.mp4"),
        ),
        Verified(),
    ),
    Recipe(
        "rubbish-before.ts",
        (
            f"-i base.mov {X264} -c:a aac a.ts",
            Write("rest", b"\x01rubbish" * 5),
            Join(("rest", "a.ts"), "rubbish-before.ts"),
        ),
        Verified(),
    ),
    Recipe(
        "dropped-frames.avi",
        "-c:v mpeg4 -q:v 2 -vf \"select='not(between(n,10,13))'\" -fps_mode passthrough -c:a mp3",
        Verified(),
    ),
)
