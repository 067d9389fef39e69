"""What changes in mid-stream: calls, WebRTC and broadcasts do that."""

from __future__ import annotations

from typing import Final

from tests.matrix.making import BASE_FRAMES, Join, Recipe, Step, Verified, Write
from tests.matrix.recipes.encoders import MPEG2, VP8, VP9, X264, X265

_HLG: Final = (
    "scale=out_color_matrix=bt2020,format=yuv420p10le,"
    "setparams=colorspace=bt2020nc:color_primaries=bt2020:color_trc=arib-std-b67"
)


def _joined(name: str, first: str, second: str) -> tuple[Step, ...]:
    """Two transport streams without B frames, of which the second goes on where the first ends."""
    first, second = f"{first} -bf 0", f"{second} -bf 0"
    return (
        f"-i base.mov {first} a.ts",
        f"-i base.mov {second} -output_ts_offset 1.2 b.ts",
        Join(("a.ts", "b.ts"), name),
    )


def _listed(name: str, first: str, second: str, suffix: str) -> tuple[Step, ...]:
    """The packets of two files in one."""
    names = [f"a.{suffix}", f"b.{suffix}"]
    listed = Write("list.txt", "".join(f"file {each}\n" for each in names).encode())
    made = [f"-i base.mov {codecs} {each}" for codecs, each in zip((first, second), names, strict=True)]
    return (*made, listed, f"-f concat -i list.txt -c copy {name}")


_FIRST: Final = (0, 15, BASE_FRAMES - 1)
_BOTH: Final = (0, BASE_FRAMES - 1, BASE_FRAMES, -1)

CHANGES: Final = (
    Recipe(
        "turns.ts",
        _joined("turns.ts", f"{X264} -an", f"{X264} -vf transpose=1 -an"),
        Verified(looks=_FIRST, says=("changes",)),
    ),
    Recipe(
        "gets-smaller.ts",
        _joined("gets-smaller.ts", f"{X264} -an", f"{X264} -vf scale=160:90 -an"),
        Verified(looks=_BOTH, says=("changes",)),
    ),
    Recipe(
        "gets-larger.ts",
        _joined("gets-larger.ts", f"{X264} -an", f"{X264} -vf scale=640:360 -an"),
        Verified(looks=_BOTH, says=("changes",)),
    ),
    Recipe(
        "gets-narrower.ts",
        _joined("gets-narrower.ts", f"{X264} -an", f"{X264} -vf crop=240:180 -an"),
        Verified(looks=_FIRST, says=("changes",)),
    ),
    Recipe(
        "pixels-get-wide.ts",
        _joined("pixels-get-wide.ts", f"{MPEG2} -an", f"{MPEG2} -vf scale=240:180,setsar=4/3 -an"),
        Verified(looks=_FIRST, says=("changes",)),
    ),
    Recipe(
        "gets-full-range.ts",
        _joined("gets-full-range.ts", f"{X264} -an", f"{X264} -vf scale=out_range=pc,setparams=range=pc -an"),
        Verified(looks=_FIRST),
    ),
    Recipe(
        "gets-601.ts",
        _joined(
            "gets-601.ts", f"{X264} -an", f"{X264} -vf scale=out_color_matrix=bt601,setparams=colorspace=smpte170m -an"
        ),
        Verified(looks=_FIRST),
    ),
    Recipe("gets-hdr.ts", _joined("gets-hdr.ts", f"{X265} -an", f"{X265} -vf {_HLG} -an"), Verified(looks=_FIRST)),
    Recipe(
        "gets-10-bit.ts",
        _joined("gets-10-bit.ts", f"{X264} -an", f"{X264} -pix_fmt yuv420p10le -an"),
        Verified(looks=_BOTH),
    ),
    Recipe(
        "gets-smaller.webm",
        _listed("gets-smaller.webm", f"{VP8} -an", f"{VP8} -vf scale=160:90 -an", "webm"),
        Verified(looks=_BOTH, says=("changes",)),
    ),
    Recipe(
        "gets-larger.webm",
        _listed("gets-larger.webm", f"{VP9} -an", f"{VP9} -vf scale=640:360 -an", "webm"),
        Verified(looks=_BOTH, says=("changes",)),
    ),
    Recipe(
        "turns.webm",
        _listed("turns.webm", f"{VP8} -an", f"{VP8} -vf transpose=1 -an", "webm"),
        Verified(looks=_FIRST, says=("changes",)),
    ),
    Recipe(
        "stereo-gets-5.1.ts",
        _joined("stereo-gets-5.1.ts", f"{X264} -c:a aac", f"{X264} -c:a aac -ac 6"),
        Verified(audio=1, says=("[Aa]udio",), joined=True),
    ),
    Recipe(
        "44100-gets-48000.ts",
        _joined("44100-gets-48000.ts", f"{X264} -c:a aac -ar 44100", f"{X264} -c:a aac"),
        Verified(audio=1, says=("[Aa]udio",), joined=True),
    ),
    Recipe(
        "bit-rate-changes.ts",
        _joined("bit-rate-changes.ts", f"{X264} -c:a aac -b:a 64k", f"{X264} -c:a aac -b:a 192k"),
        Verified(joined=True),
    ),
    Recipe(
        "profile-changes.ts",
        _joined("profile-changes.ts", f"{X264} -profile:v baseline -an", f"{X264} -profile:v high -an"),
        Verified(looks=_BOTH),
    ),
)
