"""Colors: matrices, primaries and ranges, tagged, tagged in part, or not at all; and HDR."""

from __future__ import annotations

from typing import Final

from tests.matrix.making import Recipe, Verified
from tests.matrix.recipes.encoders import AV1, MPEG2, PCM, VP8, VP9, X264, X265
from tests.matrix.recipes.shapes import DisplayMatrix

_NOT_TAGGED: Final = "setparams=colorspace=unknown:color_primaries=unknown:color_trc=unknown"
_AS_601: Final = "scale=out_color_matrix=bt601"
_HD: Final = "scale=1280:720"


def _tagged(matrix: str, primaries: str, transfer: str, scale: str = "tv") -> str:
    return f"setparams=colorspace={matrix}:color_primaries={primaries}:color_trc={transfer}:range={scale}"


_170M: Final = _tagged("smpte170m", "smpte170m", "smpte170m")
_470BG: Final = _tagged("bt470bg", "bt470bg", "bt470bg")
_709_FULL: Final = _tagged("bt709", "bt709", "bt709", "pc")
_2020: Final = _tagged("bt2020nc", "bt2020", "bt2020-10")
_AS_2020: Final = "scale=out_color_matrix=bt2020,format=yuv420p10le"
_HLG: Final = f"{_AS_2020},{_tagged('bt2020nc', 'bt2020', 'arib-std-b67')}"
_PQ: Final = f"{_AS_2020},{_tagged('bt2020nc', 'bt2020', 'smpte2084')}"
_NO_VUI: Final = "hevc_metadata=colour_primaries=2:transfer_characteristics=2:matrix_coefficients=2"

COLORS: Final = (
    Recipe("not-tagged.mp4", f"{X264} -vf {_AS_601},{_NOT_TAGGED} -an", Verified(), quick=True),
    Recipe("not-tagged-at-all.mp4", f"{X264} -vf {_AS_601},{_NOT_TAGGED}:range=unknown -an", Verified()),
    Recipe("not-tagged-576.mp4", f"{X264} -vf scale=1024:576:out_color_matrix=bt601,{_NOT_TAGGED} -an", Verified()),
    Recipe("not-tagged-hd.mp4", f"{X264} -vf {_HD},{_NOT_TAGGED} -an", Verified()),
    Recipe("not-tagged-tall.mp4", f"{X264} -vf scale=480:270,pad=480:854:0:290,{_NOT_TAGGED} -an", Verified()),
    Recipe("not-tagged.mkv", f"{X264} -vf {_AS_601},{_NOT_TAGGED} -an", Verified()),
    Recipe("not-tagged.webm", f"{VP9} -vf {_AS_601},{_NOT_TAGGED} -an", Verified()),
    Recipe("not-tagged-hevc.mp4", f"{X265} -vf {_AS_601},{_NOT_TAGGED} -an", Verified()),
    Recipe("not-tagged-vp8.webm", f"{VP8} -vf {_AS_601},{_NOT_TAGGED} -an", Verified()),
    Recipe("not-tagged-mpeg1.mpg", f"-c:v mpeg1video -q:v 2 -vf {_AS_601},{_NOT_TAGGED} -an", Verified()),
    Recipe("not-tagged-mpeg2.ts", f"{MPEG2} -vf {_AS_601},{_NOT_TAGGED} -an", Verified()),
    Recipe("not-tagged.avi", f"-c:v mpeg4 -q:v 2 -vf {_AS_601},{_NOT_TAGGED} {PCM}", Verified()),
    Recipe("not-tagged.y4m", f"-vf {_AS_601},{_NOT_TAGGED} -an", Verified()),
    Recipe("not-tagged-prores.mov", f"-c:v prores_ks -vf {_AS_601},{_NOT_TAGGED} -an", Verified()),
    Recipe("601-525.mp4", f"{X264} -vf {_AS_601},{_170M} -an", Verified(quiet=True)),
    Recipe("601-625.mp4", f"{X264} -vf {_AS_601},{_470BG} -an", Verified(quiet=True)),
    Recipe("601-hd.mp4", f"{X264} -vf {_HD}:out_color_matrix=bt601,{_170M} -an", Verified()),
    Recipe("601-mpeg2.ts", f"{MPEG2} -vf {_AS_601},{_470BG} -an", Verified()),
    Recipe("601-prores.mov", f"-c:v prores_ks -vf {_AS_601},{_170M} -an", Verified()),
    Recipe("601-vp9.webm", f"{VP9} -vf {_AS_601},{_170M} -an", Verified()),
    Recipe("601-av1.mp4", f"{AV1} -vf {_AS_601},{_170M} -an", Verified()),
    Recipe("709-hd.mp4", f"{X264} -vf {_HD} -an", Verified(quiet=True)),
    Recipe("709-matrix-only.mp4", f"{X264} -vf setparams=color_primaries=unknown:color_trc=unknown -an", Verified()),
    Recipe(
        "709-primaries-only.mp4",
        f"{X264} -vf {_AS_601},setparams=colorspace=unknown -an",
        Verified(),
    ),
    Recipe("709-colr-only.mp4", f"{X265} -bsf:v {_NO_VUI} -an", Verified()),
    Recipe("fcc.mp4", f"{X264} -vf scale=out_color_matrix=fcc,{_tagged('fcc', 'bt470m', 'bt470m')} -an", Verified()),
    Recipe(
        "smpte240m.mp4",
        f"{X264} -vf scale=out_color_matrix=smpte240m,{_tagged('smpte240m', 'smpte240m', 'smpte240m')} -an",
        Verified(matrix="smpte240m"),
    ),
    Recipe("2020-sdr.mp4", f"{X265} -vf {_AS_2020},{_2020} -an", Verified(converted=True)),
    Recipe("full-range.mp4", f"{X264} -vf scale=out_range=pc,{_709_FULL} -an", Verified()),
    Recipe("full-range.mkv", f"{X264} -vf scale=out_range=pc,{_709_FULL} -an", Verified()),
    Recipe("full-range-hevc.mp4", f"{X265} -vf scale=out_range=pc,{_709_FULL} -an", Verified()),
    Recipe("full-range-vp9.webm", f"{VP9} -vf scale=out_range=pc,{_709_FULL} -an", Verified()),
    Recipe("full-range-yuvj.mp4", f"{X264} -pix_fmt yuvj420p -vf scale=out_range=pc -an", Verified()),
    Recipe("full-range.y4m", "-vf scale=out_range=pc,format=yuvj420p -strict -1 -an", Verified()),
    Recipe("full-range-10.mkv", f"{X264} -vf scale=out_range=pc,format=yuv420p10le,{_709_FULL} -an", Verified()),
    Recipe("hlg.mp4", f"{X265} -vf {_HLG} -an", Verified(converted=True)),
    Recipe("hlg-h264.mp4", f"{X264} -vf {_HLG} -an", Verified(converted=True)),
    Recipe("hlg.mkv", f"{X265} -tag:v 0 -vf {_HLG} -an", Verified(converted=True)),
    Recipe("hlg-colr-only.mp4", f"{X265} -vf {_HLG} -bsf:v {_NO_VUI} -an", Verified(converted=True)),
    Recipe("pq.mp4", f"{X265} -vf {_PQ} -an", Verified(converted=True)),
    Recipe("pq-vp9.webm", f"{VP9} -vf {_PQ} -an", Verified(converted=True)),
    Recipe("pq-av1.mp4", f"{AV1} -vf {_PQ} -an", Verified(converted=True)),
    Recipe(
        "pq-hd-rotated.mov",
        (
            f"-i base.mov {X265} -vf {_HD},transpose=2,{_PQ} -an pq-hd-rotated.mov",
            DisplayMatrix("pq-hd-rotated.mov", 0, 1, -1, 0),
        ),
        Verified(converted=True),
    ),
)
