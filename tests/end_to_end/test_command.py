"""The `dualface` command as a person uses it: real files in, verified files out, plain sentences when that can't be."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from urllib.parse import unquote

import av
import numpy as np
import pytest

from dualface_core.cli import app as cli
from dualface_core.encoding.settings import EncoderKind, EncoderSettings, software_encoder
from dualface_core.media.color import ColorInfo
from dualface_core.media.writer import VideoWriter
from dualface_core.sample.sources import fetch_clips
from dualface_core.settings import Settings
from tests.end_to_end.hostile import NAMES

pytestmark = pytest.mark.xdist_group("command")  # what is processed once is so in one worker


@pytest.fixture
def talk(sample_clip) -> Path:
    """Two people who talk for two seconds."""
    return sample_clip("talk", seconds=2)


@pytest.fixture
def dualface(monkeypatch, capfd):
    """Run the command in this process, with the fastest preset; gives its exit code and what it said."""
    monkeypatch.setenv("DUALFACE_PRESET", "ultrafast")

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dualface", *map(str, arguments)])
        capfd.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        said = capfd.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture(scope="session")
def processed(sample_clip, tmp_path_factory) -> tuple[Path, Path, dict, str]:
    """A sample, its result, its report and what was said, made once by the real command in a process of its own."""
    video = sample_clip("talk", seconds=2)
    folder = tmp_path_factory.mktemp("processed")
    command = [sys.executable, "-m", "dualface_core.cli", "run", str(video), "-o", str(folder), "--encoder", "software"]
    done = subprocess.run([*command, "--review", "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)
    return video, Path(result["output"]), result["report"], done.stderr


def packets(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    with av.open(path) as container:
        stream = container.streams.best(kind)
        return sorted(
            (packet.pts * packet.time_base, bytes(packet)) for packet in container.demux(stream) if packet.size
        )


def faceless(path: Path) -> Path:
    size = (320, 180)
    rows = np.linspace(40, 200, size[1], dtype=np.uint8)[:, None].repeat(size[0], axis=1)
    chroma = np.full((size[1] // 2, size[0] // 2), 128, np.uint8)
    with VideoWriter(
        path,
        width=size[0],
        height=size[1],
        time_base=Fraction(1, 10),
        average_rate=Fraction(10),
        color=ColorInfo(),
        encoder=software_encoder(EncoderSettings(encoder=EncoderKind.SOFTWARE)),
    ) as writer:
        for number in range(20):
            writer.write((np.roll(rows, number, axis=0), chroma, chroma), number)
    return path


def test_a_video_becomes_a_verified_split_screen_video_with_a_report_beside_it(processed):
    _, output, report, _ = processed
    assert output.name.endswith(".split.mp4")
    assert json.loads(output.with_suffix(".report.json").read_text()) == report
    assert report["encoder_used"] == "libx264"
    assert all(finding["passed"] for finding in report["verification"]["findings"])


def test_the_report_and_the_last_line_say_where_the_time_went(processed):
    _, _, report, said = processed
    assert [stage["name"] for stage in report["stages"]] == ["track", "plan", "render", "verify"]
    assert {stage["frames"] for stage in report["stages"]} == {report["frames_out"]}
    assert "where the time went: track " in said.splitlines()[-1]


def test_the_report_has_the_advisories_and_the_command_prints_those_that_warn(processed):
    video, _, report, said = processed
    advisories = {advisory["name"]: advisory for advisory in report["advisories"]}
    assert set(advisories) == {"identity_margin", "faces_in_tiles", "upscaling", "encoder", "source"}
    assert not advisories["upscaling"]["passed"]  # of 640x360
    assert f"{video}: warning: {advisories['upscaling']['message']}" in said


def test_frames_timestamps_and_audio_packets_are_those_of_the_input(processed):
    video, output, *_ = processed
    assert [time for time, _ in packets(output, "video")] == [time for time, _ in packets(video, "video")]
    assert packets(output, "audio") == packets(video, "audio")


def test_nothing_but_the_result_its_report_and_its_page_is_left(processed):
    _, output, *_ = processed
    assert {entry.name for entry in output.parent.iterdir()} == {
        output.name,
        output.with_suffix(".report.json").name,
        output.with_suffix(".review.html").name,
    }


def test_the_page_links_to_both_videos_and_tells_how_long_each_step_took(processed):
    video, output, *_ = processed
    page = output.with_suffix(".review.html").read_text()
    links = [unquote(link) for link in re.findall(r'<video src="([^"]+)"', page)]
    assert [(output.parent / link).resolve() for link in links] == [video.resolve(), output.resolve()]
    assert "All videos" not in page
    assert len(re.findall(r"<tr><td>[A-Z].*?</td><td><svg", page)) == 5


def test_the_single_steps_make_what_run_makes(talk, dualface, tmp_path):
    video = tmp_path / "talk.mp4"
    video.write_bytes(talk.read_bytes())
    assert dualface("track", video)[:2] == (0, f"{tmp_path}/talk.tracks.parquet\n")
    code, out, err = dualface("tiles", video)
    assert code == 0
    assert f"{video}: warning: Tile " in err  # of 640x360, it enlarges much
    assert out.split() == [f"{tmp_path}/talk.tiles.parquet", f"{tmp_path}/talk.tiles.jpg"]
    assert dualface("render", video)[:2] == (0, f"{tmp_path}/talk.split.mp4\n")
    code, out, _ = dualface("verify", tmp_path / "talk.split.mp4", "--video", video, "--json")
    assert code == 0
    assert all(finding["passed"] for finding in json.loads(out)["findings"])


def test_verify_finds_a_result_of_112_bytes_out(processed, dualface, tmp_path):
    video, output, *_ = processed
    for step in ("track", "tiles"):
        copy = tmp_path / "talk.mp4"
        copy.write_bytes(video.read_bytes())
        assert dualface(step, copy)[0] == 0
    stub = tmp_path / "stub.mp4"
    stub.write_bytes(output.read_bytes()[:112])
    code, out, _ = dualface("verify", stub, "--video", copy)
    assert code == 1
    assert "FAILED" in out


def test_the_tables_of_another_video_are_refused_by_name(sample_clip, dualface, tmp_path):
    a, b = tmp_path / "a.mp4", tmp_path / "b.mp4"
    for video, seed in ((a, 0), (b, 1)):
        video.write_bytes(sample_clip("talk", seconds=1, size=(320, 180), seed=seed).read_bytes())
        for earlier in ("track", "tiles"):
            assert dualface(earlier, video)[0] == 0
    tracks, plan = tmp_path / "b.tracks.parquet", tmp_path / "b.tiles.parquet"
    for command, table in (
        (("tiles", a, "--tracks", tracks), tracks),
        (("render", a, "--plan", plan), plan),
        (("verify", a, "--video", a, "--tracks", tracks), tracks),
    ):
        code, _, err = dualface(*command)
        assert code == 2
        assert err.startswith(f"dualface: {a}: its SHA-256 is ")
        assert f"but {table} was made from another video" in err


def test_one_person_alone_is_no_error_and_has_the_canvas_to_themselves(dualface, tmp_path):
    video = tmp_path / "alone.mp4"
    video.write_bytes(fetch_clips(Settings().cache)["man"].read_bytes())
    code, out, err = dualface("run", video, "--json")
    assert code == 0, err
    (result,) = json.loads(out)
    said = [finding["message"] for finding in result["report"]["verification"]["findings"] if not finding["passed"]]
    assert any("nobody for tile B" in message for message in said)
    assert [(scene["kind"], scene["cast"]) for scene in result["report"]["scenes"]] == [("solo", ["A"])]
    assert f"{video}: 1 scene: solo 100 %" in err
    assert all(f"{video}: warning: {message}" in err for message in said)


def bad_inputs(folder: Path, talk: Path) -> dict[str, tuple[Path, str]]:
    """Inputs that can't be used, and a word that the message about each must have."""
    (folder / "no videos").mkdir()
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("This is no video.\n" * 20)
    (folder / "half.mp4").write_bytes(talk.read_bytes()[: talk.stat().st_size // 2])
    with av.open(talk) as source, av.open(folder / "sound.mp4", "w") as sound:
        stream = source.streams.audio[0]
        copy = sound.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.size:
                packet.stream = copy
                sound.mux(packet)
    faceless(folder / "faceless.mp4")
    return {
        "missing": (folder / "missing.mp4", "no such file"),
        "folder": (folder / "no videos", "no video"),
        "empty": (folder / "empty.mp4", "empty"),
        "text": (folder / "text.mp4", "not a video"),
        "half": (folder / "half.mp4", "cut off"),
        "sound": (folder / "sound.mp4", "holds no video"),
        "faceless": (folder / "faceless.mp4", "no face"),
    }


@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "text", "half", "sound", "faceless"])
def test_an_input_that_cannot_be_used_gets_one_line_and_leaves_nothing_behind(kind, talk, dualface, tmp_path):
    path, word = bad_inputs(tmp_path, talk)[kind]
    before = sorted(tmp_path.rglob("*"))
    code, out, err = dualface("run", path)
    assert (code, out) == (2, "")
    (line,) = err.strip().splitlines()
    assert line.startswith(f"dualface: {path}: ")
    assert word in line
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--layout", "circle"], "side-by-side"),
        (["--layout", "missing.yaml"], "there is no such layout file"),
        (["--encoder", "abacus"], "software"),
        (["--preset", "warp"], "veryfast"),
        (["--codec", "mpeg1"], "hevc"),
        (["--quality", "99"], "51"),
    ],
)
def test_an_unknown_option_value_is_told_with_what_is_allowed(options, word, talk, dualface, tmp_path):
    code, _, err = dualface("run", talk, "-o", tmp_path, *options)
    assert code == 2
    (line,) = err.strip().splitlines()
    assert word in line
    assert not list(tmp_path.iterdir())


def test_debug_shows_the_traceback(dualface, tmp_path):
    with pytest.raises(Exception, match="no such file"):
        dualface("probe", tmp_path / "missing.mp4", "--debug")


def test_an_output_folder_that_is_not_there_is_told_before_any_work(talk, dualface, tmp_path):
    code, _, err = dualface("run", talk, "-o", tmp_path / "not there" / "out.mp4")
    assert code == 2
    assert "folder does not exist" in err


def test_a_full_disk_gets_one_line_and_leaves_nothing_behind(talk, dualface, small_disk):
    code, _, err = dualface("run", talk, "-o", small_disk / "out.mp4")
    assert code == 2
    assert err.strip().splitlines() == [f"dualface: {small_disk / 'out.mp4'}: the disk is full. {FREE_SPACE}"]
    assert list(small_disk.iterdir()) == []


FREE_SPACE = "Free some space, or write to another disk, and run again."


def test_a_result_never_takes_the_place_of_its_input(talk, dualface, tmp_path):
    video = tmp_path / "talk.mp4"
    video.write_bytes(talk.read_bytes())
    code, _, err = dualface("run", video, "-o", video)
    assert code == 2
    assert "this is an input" in err
    assert video.read_bytes() == talk.read_bytes()


def test_two_inputs_of_one_name_are_not_written_to_one_file(dualface, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "talk.mp4").touch()
    code, _, err = dualface("run", tmp_path / "a", tmp_path / "b", "-o", tmp_path)
    assert code == 2
    assert "both" in err


def test_one_bad_video_does_not_keep_the_others_from_being_made(talk, dualface, tmp_path):
    (tmp_path / "bad.mp4").write_text("no video")
    (tmp_path / "good.mp4").write_bytes(talk.read_bytes())
    code, out, err = dualface("run", tmp_path, "--json")
    assert code == 2
    bad, good = json.loads(out)
    assert "not a video" in bad["error"]
    assert bad["output"] is None
    assert Path(good["output"]).exists()
    assert "bad.mp4" in err
    assert "1 of 2 videos done" in err


def test_the_version_needs_no_command(dualface):
    assert dualface("--version")[:2] == (0, f"{version('dualface')}\n")


@pytest.mark.parametrize("step", ["run", "render"])
def test_a_result_that_would_be_no_mp4_is_refused(step, talk, dualface, tmp_path):
    code, _, err = dualface(step, talk, "-o", tmp_path / "out.mov")
    assert code == 2
    assert err.startswith(f"dualface: {tmp_path / 'out.mov'}: a result is an MP4. ")
    assert not list(tmp_path.iterdir())


def test_any_name_is_told_to_a_program_as_it_is(tmp_path):
    names = [name.decode() for name in NAMES if not name.startswith((b"\xff", b"caf\xe9"))]
    files = [tmp_path / name for name in names]
    for file in files:
        file.write_bytes(b"a video")
    command = [sys.executable, "-m", "dualface_core.cli", "submit", "--inbox", tmp_path / "inbox", "--", *files]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}  # as in most shells
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == "".join(f"{tmp_path / 'inbox' / name}\n" for name in names)


@pytest.mark.parametrize("step", ["probe", "run", "submit --inbox ."])
def test_a_name_that_is_no_text_is_refused_with_what_to_do(dualface, tmp_path, step):
    video = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    video.write_bytes(b"a video")
    code, out, err = dualface(*step.split(), video)
    assert (code, out) == (2, "")
    assert err.startswith(rf"dualface: {tmp_path}/caf\udce9.mp4: the name")
    assert "not UTF-8" in err
    assert "Rename it." in err
    assert list(tmp_path.iterdir()) == [video]


def test_a_name_with_control_characters_is_shown_as_text(dualface, sample_clip, tmp_path):
    video = tmp_path / "\x1b[31m[red]\n.mp4"
    video.symlink_to(sample_clip("talk", seconds=2, size=(320, 180), fps=15))
    code, out, err = dualface("probe", video)
    assert code == 0, err
    assert out.replace("\n", "").isprintable()
    code, out, err = dualface("probe", video, "--json")
    assert code == 0, err
    assert json.loads(out)["path"] == str(video)


def test_submit_puts_a_complete_copy_into_the_inbox(dualface, tmp_path):
    video = tmp_path / "talk.mp4"
    video.write_bytes(b"anything")
    inbox = tmp_path / "inbox"
    assert dualface("submit", video, "--inbox", inbox)[:2] == (0, f"{inbox / 'talk.mp4'}\n")
    assert (inbox / "talk.mp4").read_bytes() == b"anything"
    code, _, err = dualface("submit", video, "--inbox", inbox)
    assert code == 2
    assert "a file of this name is there already" in err
    again = inbox / ".reprocess" / "talk.mp4"
    assert dualface("submit", "--reprocess", video, "--inbox", inbox)[:2] == (0, f"{again}\n")
    assert again.read_bytes() == b"anything"


def test_of_videos_of_one_name_that_are_submitted_at_once_one_is_accepted_and_no_other_said_to_be(tmp_path):
    commands = []
    for number in range(4):
        video = tmp_path / str(number) / "talk.mp4"
        video.parent.mkdir()
        video.write_bytes(str(number).encode() * 1_000_000)
        command = [sys.executable, "-m", "dualface_core.cli", "submit", "--inbox", tmp_path / "inbox", video]
        commands.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
    said = [(command.communicate()[1], command.returncode) for command in commands]
    (accepted,) = [number for number, (_, code) in enumerate(said) if code == 0]
    assert all("a file of this name is there already" in error for error, code in said if code)
    assert (tmp_path / "inbox" / "talk.mp4").read_bytes() == str(accepted).encode() * 1_000_000
    assert len(list((tmp_path / "inbox").iterdir())) == 1


def test_probe_says_what_a_file_is(talk, dualface):
    code, out, _ = dualface("probe", talk, "--json")
    info = json.loads(out)
    assert code == 0
    assert (info["width"], info["height"], info["frame_count"], info["codec"]) == (640, 360, 30, "h264")


@pytest.mark.parametrize("command", ["run", "probe", "track", "tiles", "render", "verify", "sample", "submit", "gpu"])
def test_every_command_explains_itself(command, dualface):
    code, out, _ = dualface(command, "--help")
    assert code == 0
    assert "Usage: dualface" in out
