from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import av.logging
import pytest

from dualface_core.media.ffmpeg_log import captured_log


@pytest.fixture(autouse=True)
def nobody_listens() -> Iterator[None]:
    before = av.logging.get_level()
    av.logging.set_level(None)
    yield
    av.logging.set_level(before)


def warn(text: str) -> None:
    av.logging.log(av.logging.WARNING, "h264_nvenc", text)


def test_warnings_are_heard_and_their_like_again(capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        with captured_log() as lines:
            warn("Width 8192 exceeds 4096")
            av.logging.log(av.logging.INFO, "h264_nvenc", "nothing to see")
        assert lines == [(av.logging.WARNING, "h264_nvenc", "Width 8192 exceeds 4096")]
    assert capfd.readouterr().err == ""


def test_nothing_is_logged_when_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    with captured_log():
        pass
    assert av.logging.get_level() is None
    warn("to nobody")
    assert caplog.records == []


def test_each_thread_hears_its_own_calls_until_the_last_one_stops_listening() -> None:
    entered, leave = threading.Event(), threading.Event()
    elsewhere: list[tuple[int, str, str]] = []

    def listen() -> None:
        with captured_log() as lines:
            entered.set()
            leave.wait()
            warn("there")
            elsewhere.extend(lines)

    thread = threading.Thread(target=listen)
    thread.start()
    entered.wait()
    with captured_log() as here:
        warn("here")
    assert av.logging.get_level() == av.logging.WARNING
    leave.set()
    thread.join()
    assert [text for _, _, text in here] == ["here"]
    assert [text for _, _, text in elsewhere] == ["there"]
    assert av.logging.get_level() is None


def test_the_level_of_an_application_stays_as_it_is() -> None:
    av.logging.set_level(av.logging.ERROR)
    with captured_log() as lines:
        warn("not for this application")
        av.logging.log(av.logging.ERROR, "h264_nvenc", "an error")
    assert [text for _, _, text in lines] == ["an error"]
    assert av.logging.get_level() == av.logging.ERROR


def test_an_error_in_the_block_ends_the_listening() -> None:
    with pytest.raises(KeyError), captured_log():
        raise KeyError
    assert av.logging.get_level() is None


def test_a_process_of_its_own_reads_what_ffmpeg_wrote_to_its_standard_error_since(tmp_path: Path) -> None:
    script = """
import av.logging
from dualface_core.media.ffmpeg_log import captured_log, log_to_stderr
log_to_stderr()
av.logging.log(av.logging.WARNING, "h264_nvenc", "an older failure\\n")
with captured_log() as lines:
    av.logging.log(av.logging.INFO, "h264_nvenc", "nothing to see\\n")
    av.logging.log(av.logging.WARNING, "h264_nvenc", "Width 8192 exceeds 4096\\n")
    print([(name, text) for _, name, text in lines])
"""
    with (tmp_path / "stderr").open("w+") as stderr:
        done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=stderr, check=True)
        piped = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout == b"[('h264_nvenc', 'Width 8192 exceeds 4096')]\n"
    assert "an older failure" in (tmp_path / "stderr").read_text()
    assert piped.stdout == b"[]\n"
