"""Audio: codecs, channels, rates, where it begins and ends, and several tracks."""

from __future__ import annotations

from typing import Final

from tests.matrix.making import BASE_FRAMES, Join, Recipe, Swap, Verified
from tests.matrix.recipes.encoders import MPEG2, PCM, X264

_COPY: Final = "-c:v copy"
_5_1: Final = "5.1|FL=c0|FR=c1|FC=c0|LFE=c1|BL=c0|BR=c1"
_7_1: Final = "7.1|FL=c0|FR=c1|FC=c0|LFE=c1|BL=c0|BR=c1|SL=c0|SR=c1"
_TWO: Final = "-i base.mov -i base.mov -map 0:v -map 0:a -map 1:a -c:v copy"


def _pan(name: str, channels: str, codec: str) -> Recipe:
    return Recipe(name, f"{_COPY} -af pan='{channels}' -c:a {codec}", Verified())


AUDIO: Final = (
    Recipe("aac.mp4", f"{_COPY} -c:a aac", Verified(quiet=True)),
    Recipe("mp3.mp4", f"{_COPY} -c:a mp3", Verified(quiet=True)),
    Recipe("ac3.mp4", f"{_COPY} -c:a ac3", Verified(quiet=True)),
    Recipe("eac3.mp4", f"{_COPY} -c:a eac3", Verified(quiet=True)),
    Recipe("opus.mp4", f"{_COPY} -c:a libopus", Verified(quiet=True)),
    Recipe("flac.mp4", f"{_COPY} -c:a flac -strict -2", Verified(quiet=True)),
    Recipe("alac.m4v", f"{_COPY} -c:a alac -f mp4", Verified(quiet=True)),
    Recipe("mp2.mp4", f"{_COPY} -c:a mp2", Verified()),
    Recipe("pcm-u8.mov", f"{_COPY} -c:a pcm_u8", Verified()),
    Recipe("pcm-24.mov", f"{_COPY} -c:a pcm_s24le", Verified()),
    Recipe("pcm-float.mov", f"{_COPY} -c:a pcm_f32le", Verified()),
    Recipe("pcm-big-endian.mov", f"{_COPY} -c:a pcm_s16be", Verified()),
    Recipe("pcm.mkv", f"{_COPY} -c:a pcm_s16le", Verified()),
    Recipe("pcm.avi", "-c:v mjpeg -q:v 2 -c:a pcm_s16le", Verified()),
    Recipe("pcm.vob", f"{MPEG2} -c:a pcm_dvd", Verified()),
    Recipe("pcm.m2ts", f"{X264} -c:a pcm_bluray", Verified()),
    Recipe("pcm-302m.ts", f"{X264} -c:a s302m -strict -2", Verified()),
    Recipe("alaw.mov", f"{_COPY} -c:a pcm_alaw", Verified()),
    Recipe("mulaw.avi", "-c:v mjpeg -q:v 2 -c:a pcm_mulaw -ar 8000", Verified()),
    Recipe("adpcm-ima.mov", f"{_COPY} -c:a adpcm_ima_qt", Verified()),
    Recipe("adpcm-ms.avi", "-c:v mjpeg -q:v 2 -c:a adpcm_ms", Verified()),
    Recipe("vorbis.mkv", f"{_COPY} -c:a libvorbis", Verified()),
    Recipe("dts.mkv", f"{_COPY} -c:a dca -strict -2", Verified()),
    Recipe("dts.ts", f"{X264} -c:a dca -strict -2", Verified()),
    Recipe("truehd.mkv", f"{_COPY} -c:a truehd -strict -2", Verified()),
    Recipe("wavpack.mkv", f"{_COPY} -c:a wavpack", Verified()),
    Recipe("tta.mkv", f"{_COPY} -c:a tta", Verified()),
    Recipe("wma1.wmv", "-c:v wmv2 -q:v 2 -c:a wmav1", Verified()),
    Recipe("wma2-44100.wmv", "-c:v wmv2 -q:v 2 -c:a wmav2 -ar 44100", Verified()),
    Recipe("latm.ts", f"{X264} -c:a aac -mpegts_flags latm", Verified()),
    Recipe("ac3.ts", f"{X264} -c:a ac3", Verified()),
    Recipe("eac3.mkv", f"{_COPY} -c:a eac3", Verified()),
    Recipe("speex.ogv", "-c:v libtheora -q:v 10 -c:a libspeex -ar 16000 -ac 1", Verified()),
    Recipe("nellymoser.flv", f"{X264} -c:a nellymoser -ar 16000 -ac 1", Verified()),
    Recipe("gsm.mov", f"{_COPY} -c:a libgsm -ar 8000 -ac 1", Verified()),
    Recipe("mono.mp4", f"{_COPY} -c:a aac -ac 1", Verified(quiet=True)),
    _pan("2.1.mkv", "2.1|FL=c0|FR=c1|LFE=c0", "pcm_s16le"),
    _pan("3.0.mkv", "3.0|FL=c0|FR=c1|FC=c0", "flac"),
    _pan("quad.mov", "quad|FL=c0|FR=c1|BL=c0|BR=c1", "pcm_s16le"),
    _pan("5.0.mp4", "5.0|FL=c0|FR=c1|FC=c0|BL=c0|BR=c1", "aac"),
    _pan("5.1.mp4", _5_1, "aac"),
    _pan("5.1-ac3.mkv", _5_1, "ac3"),
    _pan("5.1-opus.mkv", _5_1, "libopus"),
    _pan("5.1-flac.mkv", _5_1, "flac"),
    _pan("5.1-pcm.mov", _5_1, "pcm_s16le"),
    _pan("5.1-side.mov", "5.1(side)|FL=c0|FR=c1|FC=c0|LFE=c1|SL=c0|SR=c1", "pcm_s16le"),
    _pan("6.1.mov", "6.1|FL=c0|FR=c1|FC=c0|LFE=c1|BC=c0|SL=c0|SR=c1", "pcm_s16le"),
    _pan("7.1.mp4", _7_1, "aac"),
    _pan("7.1.mov", _7_1, "pcm_s16le"),
    _pan("7.1-24.mov", _7_1, "pcm_s24le"),
    _pan("7.1.mkv", _7_1, "flac"),
    Recipe(
        "discrete.mov",
        f"{_COPY} -af aformat=channel_layouts=stereo,pan='4c|c0=c0|c1=c1|c2=c0|c3=c1' -c:a pcm_s16le",
        Verified(),
    ),
    Recipe("8000-hz.mp4", f"{_COPY} -c:a aac -ar 8000", Verified(quiet=True)),
    Recipe("22050-hz.mkv", f"{_COPY} {PCM} -ar 22050", Verified()),
    Recipe("32000-hz.ts", f"{X264} -c:a mp2 -ar 32000", Verified()),
    Recipe("44100-hz.mp4", f"{_COPY} -c:a aac -ar 44100", Verified(quiet=True)),
    Recipe("11025-hz.avi", f"-c:v mjpeg -q:v 2 {PCM} -ar 11025", Verified()),
    Recipe("96000-hz.mov", f"{_COPY} -c:a pcm_s24le -ar 96000", Verified()),
    Recipe("192000-hz.mkv", f"{_COPY} -c:a flac -ar 192000", Verified()),
    Recipe(
        "audio-late.mp4",
        f"-i base.mov -itsoffset 0.4 -i base.mov -map 0:v -map 1:a {_COPY} -c:a aac audio-late.mp4",
        Verified(),
        quick=True,
    ),
    Recipe(
        "audio-late.mkv",
        f"-i base.mov -itsoffset 0.4 -i base.mov -map 0:v -map 1:a {_COPY} -c:a flac audio-late.mkv",
        Verified(),
    ),
    Recipe(
        "audio-late.ts",
        f"-i base.mov -itsoffset 0.4 -i base.mov -map 0:v -map 1:a {X264} -c:a mp2 audio-late.ts",
        Verified(),
    ),
    Recipe(
        "audio-late.mov",
        f"-i base.mov -itsoffset 0.4 -i base.mov -map 0:v -map 1:a {_COPY} {PCM} audio-late.mov",
        Verified(),
    ),
    Recipe("audio-shorter.mp4", f"{_COPY} -af atrim=end=0.7 -c:a aac", Verified()),
    Recipe("audio-longer.mp4", f"{_COPY} -af apad=pad_dur=1 -c:a aac", Verified()),
    Recipe("audio-pauses.mkv", f"{_COPY} -af \"aselect='lt(t,0.4)+gt(t,0.8)'\" -c:a flac", Verified()),
    Recipe("audio-pauses-pcm.mkv", f"{_COPY} -af \"aselect='lt(t,0.4)+gt(t,0.8)'\" {PCM}", Verified()),
    Recipe(
        "silent.mp4",
        f"-i base.mov -f lavfi -i anullsrc=d=1.2 -map 0:v -map 1:a {_COPY} -c:a aac silent.mp4",
        Verified(silent=True),
    ),
    Recipe(
        "two-languages.mp4",
        f"{_TWO} -c:a aac -metadata:s:a:0 language=eng -metadata:s:a:1 language=deu two-languages.mp4",
        Verified(),
    ),
    Recipe(
        "two-languages.mkv",
        f"{_TWO} -c:a:0 flac -c:a:1 ac3 -metadata:s:a:0 language=fra -metadata:s:a:1 language=spa two-languages.mkv",
        Verified(),
    ),
    Recipe(
        "two-languages.ts",
        f"{_TWO} {X264} -c:a mp2 -metadata:s:a:0 language=eng -metadata:s:a:1 language=deu two-languages.ts",
        Verified(),
    ),
    Recipe(
        "second-is-default.mkv",
        f"{_TWO} -c:a aac -disposition:a:0 0 -disposition:a:1 default second-is-default.mkv",
        Verified(),
    ),
    Recipe(
        "second-is-default.mp4",
        f"{_TWO} -c:a aac -disposition:a:0 0 -disposition:a:1 default second-is-default.mp4",
        Verified(),
    ),
    Recipe("copied-and-coded.mov", f"{_TWO} -c:a:0 pcm_s16le -c:a:1 aac copied-and-coded.mov", Verified()),
    Recipe(
        "unknown-first.mov",
        (f"{_TWO} -c:a:0 pcm_s16le -c:a:1 aac unknown-first.mov", Swap("unknown-first.mov", b"sowt", b"apac", 1)),
        Verified(audio=1, says=("codec is not known",)),
    ),
    Recipe(
        "unknown-only.mov",
        (f"-i base.mov {_COPY} {PCM} unknown-only.mov", Swap("unknown-only.mov", b"sowt", b"apac", 1)),
        Verified(audio=0, says=("codec is not known",)),
    ),
    Recipe(
        "audio-clock-restarts.ts",
        (f"-i base.mov {X264} -c:a mp2 a.ts", Join(("a.ts", "a.ts"), "audio-clock-restarts.ts")),
        Verified(times=tuple(0.01 + frame / 25 for frame in range(2 * BASE_FRAMES)), says=("jumps once",), joined=True),
    ),
)
