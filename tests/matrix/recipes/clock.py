"""Clocks: frame rates, time scales, edit lists, offsets, jumps, frames out of order, and interlacing."""

from __future__ import annotations

from typing import Final

from tests.matrix.making import BASE_FRAMES, BASE_RATE, Cut, FieldPictures, Join, Recipe, Verified
from tests.matrix.recipes.encoders import MPEG2, PCM, REGULAR, VP9, X264, X265

_SHORT: Final = (0, 2, -1)
_UNEVEN: Final = "\"setpts='if(lt(N,8),N*40,if(lt(N,20),320+(N-8)*33,716+(N-20)*47))/1000/TB'\""
_SCREEN: Final = "\"select='eq(n,0)+eq(n,3)+eq(n,4)+eq(n,17)+eq(n,18)+eq(n,29)'\""
_FIELDS: Final = "-vf fps=50,interlace=scan=tff:lowpass=0 -flags +ildct+ilme"
_BOTTOM: Final = "-vf fps=50,interlace=scan=bff:lowpass=0 -flags +ildct+ilme"


def _field_pictures(name: str) -> Recipe:
    raw = "-i base.mov -vf fps=50,interlace=scan=tff:lowpass=0 -pix_fmt yuv420p -an -f rawvideo fields.yuv"
    times = tuple(frame / BASE_RATE for frame in range(BASE_FRAMES - 1))
    return Recipe(
        name, (raw, FieldPictures("fields.yuv", name)), Verified(times=times, lasts=1.16, says=("interlaced",))
    )


def _rate(name: str, rate: str) -> Recipe:
    return Recipe(name, f"{X264} -vf fps={rate} -c:a aac", Verified(looks=(0, 5, -1)))


CLOCK: Final = (
    _rate("5-fps.mp4", "5"),
    _rate("12.5-fps.mp4", "25/2"),
    _rate("15-fps.mkv", "15"),
    _rate("23.976-fps.mp4", "24000/1001"),
    _rate("24-fps.mov", "24"),
    _rate("29.97-fps.mp4", "30000/1001"),
    _rate("29.97-fps.mkv", "30000/1001"),
    _rate("50-fps.ts", "50"),
    _rate("59.94-fps.mp4", "60000/1001"),
    _rate("59.94-fps.mov", "60000/1001"),
    Recipe("60-fps.webm", f"{VP9} -vf fps=60 -c:a libopus", Verified()),
    _rate("120-fps.mp4", "120"),
    Recipe("timescale-600.mov", f"{X264} -video_track_timescale 600 -c:a aac", Verified(lasts=1.2)),
    Recipe("timescale-1000.mp4", f"{X264} -vf fps=30000/1001 -video_track_timescale 1000 -c:a aac", Verified()),
    Recipe("timescale-90000.mp4", f"{X264} -video_track_timescale 90000 -c:a aac", Verified()),
    Recipe("timescale-1e7.mp4", f"{X264} -video_track_timescale 10000000 -c:a aac", Verified()),
    Recipe(
        "timescale-2e9.mp4",
        f"{X264} -video_track_timescale 2000000000 -an",
        Verified(times=REGULAR, lasts=1.2, looks=(0, 15)),
    ),
    Recipe(
        "uneven.mp4",
        f"{X264} -vf {_UNEVEN} -fps_mode vfr -enc_time_base:v 1:1000 -video_track_timescale 1000 -c:a aac",
        Verified(),
        quick=True,
    ),
    Recipe("uneven.mkv", f"{X264} -vf {_UNEVEN} -fps_mode vfr -enc_time_base:v 1:1000 -c:a aac", Verified()),
    Recipe("uneven.webm", f"{VP9} -vf {_UNEVEN} -fps_mode vfr -enc_time_base:v 1:1000 -c:a libopus", Verified()),
    Recipe("uneven.ts", f"{X264} -vf {_UNEVEN} -fps_mode vfr -enc_time_base:v 1:90000 -c:a aac", Verified()),
    Recipe("screen.mp4", f"{X264} -vf {_SCREEN} -fps_mode vfr -c:a aac", Verified(looks=_SHORT)),
    Recipe("screen.mkv", f"{X264} -bf 0 -vf {_SCREEN} -fps_mode vfr -an", Verified(looks=_SHORT)),
    Recipe(
        "screen.gif",
        "-vf \"select='lt(n,10)*not(mod(n,3))'\" -fps_mode vfr -final_delay 200 -an",
        Verified(lasts=2.36, looks=(0, -1)),
    ),
    Recipe(
        "two-frames-a-minute.mkv",
        f"{X264} -bf 0 -vf setpts=N*3/TB -frames:v 4 -fps_mode vfr -an",
        Verified(looks=(0, -1)),
    ),
    Recipe("b-frames.mp4", f"{X264} -bf 4 -b_strategy 0 -c:a aac", Verified(quiet=True)),
    Recipe("b-pyramid.mkv", f"{X264} -bf 8 -b_strategy 0 -x264-params b-pyramid=normal -c:a aac", Verified()),
    Recipe("open-gop.mp4", f"{X264} -bf 3 -x264-params open-gop=1:keyint=10:min-keyint=10 -c:a aac", Verified()),
    Recipe("open-gop.ts", f"{X264} -bf 3 -x264-params open-gop=1:keyint=10:min-keyint=10 -c:a aac", Verified()),
    Recipe(
        "open-gop-hevc.mkv",
        f"{X265.replace('error', 'error:open-gop=1:keyint=10:min-keyint=10')} -tag:v 0 -c:a aac",
        Verified(),
    ),
    Recipe("b-frames.avi", f"{X264} -bf 2 -c:a mp3", Verified(times=REGULAR)),
    Recipe("b-frames-and-audio.mxf", f"{MPEG2} -g 12 {PCM}", Verified()),
    Recipe("b-frames.m2ts", f"{X264} -bf 3 -b_strategy 0 -c:a ac3", Verified()),
    Recipe("negative-offsets.mp4", f"{X264} -bf 3 -b_strategy 0 -movflags negative_cts_offsets -c:a aac", Verified()),
    Recipe("no-edit-list.mp4", f"{X264} -use_editlist 0 -c:a aac", Verified()),
    Recipe(
        "cut-by-edit-list.mp4",
        (f"-i base.mov {X264} -g 30 -c:a aac whole.mp4", "-ss 0.4 -i whole.mp4 -c copy cut-by-edit-list.mp4"),
        Verified(looks=(0, 5, -1)),
    ),
    Recipe(
        "late-by-edit-list.mp4",
        f"-itsoffset 0.5 -i base.mov -i base.mov -map 0:v -map 1:a {X264} -c:a aac late-by-edit-list.mp4",
        Verified(),
    ),
    Recipe("all-late-by-edit-list.mp4", f"{X264} -c:a aac -output_ts_offset 1.5", Verified()),
    Recipe(
        "day-late.ts",
        (f"-i base.mov {X264} -c:a aac a.ts", "-i a.ts -c copy -output_ts_offset 93600 day-late.ts"),
        Verified(says=("earlier",)),
    ),
    Recipe(
        "late.mkv",
        (f"-i base.mov {X264} -c:a aac a.mkv", "-i a.mkv -c copy -output_ts_offset 10 late.mkv"),
        Verified(says=("10",)),
    ),
    Recipe(
        "late.flv",
        (f"-i base.mov {X264} -c:a aac a.flv", "-i a.flv -c copy -output_ts_offset 5 late.flv"),
        Verified(says=("earlier",)),
    ),
    Recipe("late.webm", f"{VP9} -c:a libopus -output_ts_offset 3", Verified(says=("earlier",))),
    Recipe(
        "late.mpg",
        (f"-i base.mov {MPEG2} -c:a mp2 a.mpg", "-i a.mpg -c copy -output_ts_offset 100 late.mpg"),
        Verified(says=("earlier",)),
    ),
    Recipe("clock-wraps.ts", f"{X264} -c:a aac -output_ts_offset 95441.9", Verified(says=("earlier|later",))),
    Recipe(
        "clock-restarts.ts",
        (f"-i base.mov {X264} -an a.ts", Join(("a.ts", "a.ts"), "clock-restarts.ts")),
        Verified(
            times=tuple(frame / 25 for frame in range(2 * BASE_FRAMES)),
            says=("jumps once",),
            looks=(0, BASE_FRAMES - 1, BASE_FRAMES, -1),
        ),
    ),
    Recipe(
        "clock-jumps.ts",
        (
            f"-i base.mov {X264} -an a.ts",
            f"-i base.mov {X264} -an -output_ts_offset 500 b.ts",
            Join(("a.ts", "b.ts"), "clock-jumps.ts"),
        ),
        Verified(times=tuple(frame / 25 for frame in range(2 * BASE_FRAMES)), says=("jumps once",)),
    ),
    Recipe(
        "pause.ts",
        (
            f"-i base.mov {X264} -c:a aac a.ts",
            f"-i base.mov {X264} -c:a aac -output_ts_offset 3 b.ts",
            Join(("a.ts", "b.ts"), "pause.ts"),
        ),
        Verified(),
    ),
    Recipe(
        "begins-between-key-frames.ts",
        (f"-i base.mov {X264} -g 12 -an begins-between-key-frames.ts", Cut("begins-between-key-frames.ts", 1.0, 0.2)),
        Verified(looks=(0, -1)),
    ),
    Recipe("one-frame.mp4", f"{X264} -frames:v 1 -an", Verified(looks=(0,))),
    Recipe("five-frames.mp4", f"{X264} -frames:v 5 -an", Verified(looks=(0, 2, -1))),
    Recipe(
        "first-frame-later.mkv",
        f"-itsoffset 0.3 -i base.mov -i base.mov -map 0:v -map 1:a {X264} -c:a aac first-frame-later.mkv",
        Verified(),
    ),
    Recipe("interlaced.mp4", f"{X264} {_FIELDS} -c:a aac", Verified(says=("interlaced",))),
    Recipe("interlaced-bottom.mov", f"{X264} -x264-params bff=1 {_BOTTOM} -c:a aac", Verified(says=("interlaced",))),
    Recipe("interlaced.ts", f"{MPEG2} {_FIELDS} -c:a mp2", Verified(says=("interlaced",))),
    Recipe("interlaced.mxf", f"{MPEG2} -bf 0 {_FIELDS} {PCM}", Verified(says=("interlaced",))),
    Recipe("interlaced.mov", f"-c:v prores_ks {_FIELDS} {PCM}", Verified(says=("interlaced",))),
    Recipe("interlaced.avi", f"-c:v mpeg4 -q:v 2 {_FIELDS} -c:a mp3", Verified(says=("interlaced",))),
    *map(_field_pictures, ["field-pictures.h264", "field-pictures.ts", "field-pictures.mp4", "field-pictures.mkv"]),
    Recipe("flagged-interlaced.mp4", f"{X264} -flags +ildct+ilme -x264-params tff=1 -an", Verified()),
    Recipe("audio-longer.mkv", f"{X264} -af apad=whole_dur=2.2 -c:a aac", Verified()),
)
