"""The emulated NVENC driver, checked by FFmpeg's own NVENC code inside PyAV, in processes of their own.

Two things have to be true before other tests may rest on it: what it encodes comes back bit by bit, and its failures
reach Python as a real driver's do.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest

from tests.nvenc_emulator import Card, EmulatedDriver, Event, most_open_at_once, why_unavailable
from tests.nvenc_emulator import encode_pictures as program
from tests.nvenc_emulator.libraries import LIBRARIES

Drivers = Callable[..., EmulatedDriver]
REPOSITORY = Path(__file__).parents[3]


def command(output: Path, *arguments: str) -> list[str]:
    return ["-m", program.__name__, str(output), *arguments]


@contextmanager
def running(driver: EmulatedDriver, arguments: Sequence[object]) -> Iterator[subprocess.Popen[bytes]]:
    """Run Python under the driver and go on meanwhile; it is killed at the end if it still runs."""
    called = [sys.executable, *map(str, arguments)]
    pipes = dict.fromkeys(("stdin", "stdout"), subprocess.PIPE)
    environment = os.environ | driver.environment()
    with subprocess.Popen(called, env=environment, stderr=subprocess.DEVNULL, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def encode(driver: EmulatedDriver, output: Path, *arguments: str) -> list[str]:
    """Encode under the driver; return the errors that PyAV raised, each as "TYPE ERRNO: MESSAGE"."""
    errors: list[str] = json.loads(driver.python(*command(output, *arguments)).stdout)
    return errors


def count(name: str) -> Callable[[list[Event]], int]:
    return lambda events: sum(event.name == name for event in events)


def decoded(path: Path, pixel_format: str = "yuv420p") -> Iterator[tuple[av.VideoFrame, np.ndarray]]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame, frame.to_ndarray(format=pixel_format)


def assert_bit_exact(path: Path, pictures: int, width: int, height: int) -> list[bool]:
    """Compare a file with the pictures that the program encodes; return which of them are key frames."""
    keys = []
    for index, (frame, planes) in enumerate(decoded(path)):
        assert frame.time == pytest.approx(index / program.RATE)
        np.testing.assert_array_equal(planes, program.picture(index, width, height), err_msg=f"picture {index}")
        keys.append(frame.key_frame)
    assert len(keys) == pictures
    return keys


class TestPictures:
    @pytest.mark.parametrize(
        ("width", "height", "pixel_format", "pictures"),
        [(640, 360, "yuv420p", 60), (640, 360, "nv12", 20), (640, 360, "cuda", 20), (1920, 1080, "yuv420p", 10)],
    )
    def test_pictures_come_back_from_an_mp4_bit_by_bit(
        self, emulated_driver: Drivers, tmp_path: Path, width: int, height: int, pixel_format: str, pictures: int
    ) -> None:
        output = tmp_path / "out.mp4"
        size = f"{width}x{height}"
        asked = ("--size", size, "--format", pixel_format, "--pictures", str(pictures))
        assert encode(emulated_driver(), output, *asked) == []
        assert assert_bit_exact(output, pictures, width, height) == [True] + [False] * (pictures - 1)
        output.unlink()  # 1080p is 30 MB

    @pytest.mark.parametrize("profile", ["baseline", "main", "high"])
    def test_groups_of_pictures_and_profiles_are_as_asked_for(
        self, emulated_driver: Drivers, tmp_path: Path, profile: str
    ) -> None:
        output = tmp_path / "out.mp4"
        assert encode(emulated_driver(), output, "--option", "g=4", "--option", f"profile={profile}") == []
        assert assert_bit_exact(output, 10, 640, 360) == [index % 4 == 0 for index in range(10)]
        with av.open(str(output)) as container:
            assert container.streams.video[0].codec_context.profile == {"baseline": "Baseline"}.get(
                profile, profile.capitalize()
            )

    def test_a_bare_stream_carries_its_own_headers_and_cropping(self, emulated_driver: Drivers, tmp_path: Path) -> None:
        output = tmp_path / "out.h264"
        # 200 and 104 are no multiples of 16: only the cropping in the stream says how large the picture is.
        assert encode(emulated_driver(), output, "--size", "200x104", "--option", "g=3") == []
        pictures = [planes for _, planes in decoded(output)]
        assert len(pictures) == 10
        for index, planes in enumerate(pictures):
            np.testing.assert_array_equal(planes, program.picture(index, 200, 104))

    def test_a_picture_like_the_one_before_costs_next_to_nothing(
        self, emulated_driver: Drivers, tmp_path: Path
    ) -> None:
        script = """
import sys, av, numpy as np
with av.open(sys.argv[1], "w") as container:
    stream = container.add_stream("h264_nvenc", rate=30)
    stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
    for _ in range(5):
        frame = av.VideoFrame.from_ndarray(np.full((540, 640), 90, np.uint8), format="yuv420p")
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
"""
        output = tmp_path / "out.mp4"
        driver = emulated_driver()
        driver.python("-c", script, output)
        with av.open(str(output)) as container:
            sizes = [packet.size for packet in container.demux(video=0) if packet.size]
        assert sizes[0] > 640 * 360
        assert len(sizes) == 5
        assert max(sizes[1:]) < 100
        assert all((planes == 90).all() for _, planes in decoded(output))

    def test_a_picture_on_the_card_is_read_when_its_turn_comes(self, emulated_driver: Drivers, tmp_path: Path) -> None:
        # All in one place, which is overwritten while the engine is busy with the first.
        driver = emulated_driver(pace_ms=500)
        output = tmp_path / "out.mp4"
        assert encode(driver, output, "--format", "cuda", "--pictures", "3", "--slots", "1") == []
        _, planes = list(decoded(output))[1]
        np.testing.assert_array_equal(planes, program.picture(2, 640, 360))

    def test_rows_on_the_card_may_be_padded_to_sixteen_bytes_and_must_be(
        self, emulated_driver: Drivers, tmp_path: Path
    ) -> None:
        output = tmp_path / "out.mp4"
        on_card = ("--format", "cuda", "--size", "1080x720")
        assert encode(emulated_driver(), output, *on_card, "--pitch", "1088") == []
        assert_bit_exact(output, 10, 1080, 720)
        refused, *_ = encode(emulated_driver(), output, *on_card)
        assert "Could not register an input HW frame" in refused

    def test_the_log_has_checksums_of_what_was_given(self, emulated_driver: Drivers, tmp_path: Path) -> None:
        driver = emulated_driver(checksum_every=4)
        assert encode(driver, tmp_path / "out.mp4", "--format", "cuda", "--size", "200x104", "--pitch", "208") == []
        checksums = [event.checksum for event in driver.events() if event.name == "picture"]
        checked = [zlib.adler32(program.picture(index, 200, 104).tobytes()) for index in (0, 4, 8)]
        assert checksums == [checked[0], *[None] * 3, checked[1], *[None] * 3, checked[2], None]

    def test_the_log_says_what_ffmpeg_asked_of_the_encoder(self, emulated_driver: Drivers, tmp_path: Path) -> None:
        driver = emulated_driver()
        options = ["--option", "preset=p6", "--option", "rc=vbr", "--option", "cq=23.5", "--option", "g=48"]
        assert encode(driver, tmp_path / "out.mp4", *options) == []
        (event,) = (event for event in driver.events() if event.name == "configured")
        wanted = {"width": 640, "height": 360, "preset": 6, "gop_length": 48, "rate_control": 1, "quality": 23.5}
        assert event.configuration.items() >= wanted.items()


class TestReplay:
    """Pictures of a stream that x264 made before take the place of those that are given."""

    @staticmethod
    def stream(path: Path, pictures: int, **options: str) -> list[np.ndarray]:
        """Encode with x264, and return the pictures as they are decoded."""
        with av.open(str(path), "w", format="h264") as container:
            coded = container.add_stream("libx264", rate=program.RATE, options={"g": "5", "bf": "0", **options})
            coded.width, coded.height, coded.pix_fmt = 640, 360, "yuv420p"
            for index in range(pictures):
                frame = av.VideoFrame.from_ndarray(program.picture(index, 640, 360), format="yuv420p")
                container.mux(coded.encode(frame))
            container.mux(coded.encode(None))
        return [planes for _, planes in decoded(path)]

    @pytest.mark.parametrize("suffix", [".mp4", ".h264"])
    def test_a_session_gives_the_pictures_of_a_stream_and_checks_those_that_it_is_given(
        self, emulated_driver: Drivers, tmp_path: Path, suffix: str
    ) -> None:
        # With slices and access unit delimiters, a picture has several units.
        pictures = self.stream(tmp_path / "made.h264", 12, slices="3", aud="1")
        driver = emulated_driver(replay=tmp_path / "made.h264", checksum_every=3)
        output = tmp_path / f"out{suffix}"
        assert encode(driver, output, "--format", "cuda", "--pictures", "12") == []
        shown = list(decoded(output))
        np.testing.assert_array_equal([planes for _, planes in shown], pictures)
        assert [frame.key_frame for frame, _ in shown] == [index % 5 == 0 for index in range(12)]
        checksums = [event.checksum for event in driver.events() if event.name == "picture"][::3]
        assert checksums == [zlib.adler32(program.picture(index, 640, 360).tobytes()) for index in range(0, 12, 3)]

    def test_a_stream_that_ends_too_soon_is_an_error(self, emulated_driver: Drivers, tmp_path: Path) -> None:
        self.stream(tmp_path / "made.h264", 4)
        driver = emulated_driver(replay=tmp_path / "made.h264")
        errors = encode(driver, tmp_path / "out.mp4", "--pictures", "5")
        assert "The replayed stream has no more pictures" in errors[0]

    def test_a_stream_with_b_pictures_is_refused(self, emulated_driver: Drivers, tmp_path: Path) -> None:
        self.stream(tmp_path / "made.h264", 12, bf="2", b_strategy="0")
        driver = emulated_driver(replay=tmp_path / "made.h264")
        done = driver.python(*command(tmp_path / "out.mp4"), check=False)
        assert done.returncode == 70
        assert "has B pictures" in done.stderr


NOT_OPENED = "OpenEncodeSessionEx failed"
FULL = "failed: out of memory (10)"
OLD = "Driver does not support the required nvenc API version. Required: 13.0 Found: 12.2"


class TestOpening:
    """What PyAV raises when the encoder can't be opened, and what FFmpeg's log says of the reason."""

    @pytest.mark.parametrize(
        ("settings", "error", "reason"),
        [
            ({"sessions": 0}, "ExternalError", f"{NOT_OPENED}: incompatible client key (21): (no details)"),
            ({"sessions": 0, "refusal": 10}, "ExternalError", f"{NOT_OPENED}: out of memory (10): (no details)"),
            ({"card": Card.NO_ENCODER}, "ExternalError", f"{NOT_OPENED}: unsupported device (2): (no details)"),
            ({"card": Card.NO_DEVICE}, "UnknownError", "CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected"),
            ({"card": Card.ZERO_DEVICES}, "ExternalError", "No CUDA capable devices found"),
            ({"card": Card.OLD_DRIVER}, "NotImplementedError 38", OLD),
            ({"card": Card.NO_DRIVER}, "PermissionError 1", "Cannot load libcuda.so.1"),
            ({"card": Card.NO_VIDEO_CAPABILITY}, "PermissionError 1", "Cannot load libnvidia-encode.so.1"),
            ({"fault": "error:2@cuCtxCreate"}, "ExternalError", "CUDA_ERROR_OUT_OF_MEMORY: out of memory"),
            ({"fault": "error:8@InitializeEncoder"}, "ArgumentError 22", "InitializeEncoder failed: invalid param (8)"),
            ({"fault": "error:10@CreateInputBuffer"}, "MemoryError 12", f"CreateInputBuffer {FULL}"),
            ({"fault": "error:10@CreateBitstreamBuffer"}, "MemoryError 12", f"CreateBitstreamBuffer {FULL}"),
        ],
        ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
    )
    def test_a_failure_to_open_raises_what_a_real_driver_makes_pyav_raise(
        self, emulated_driver: Drivers, tmp_path: Path, settings: dict[str, object], error: str, reason: str
    ) -> None:
        driver = emulated_driver(**settings)
        done = driver.python(*command(tmp_path / "out.mp4"))
        (raised,) = json.loads(done.stdout)
        assert raised.startswith(error)
        assert "avcodec_open2" in raised
        assert reason in done.stderr
        assert driver.open_now() == {}

    def test_the_session_limit_and_a_card_without_encoder_raise_the_same_type(
        self, emulated_driver: Drivers, tmp_path: Path
    ) -> None:
        limit = encode(emulated_driver(sessions=0), tmp_path / "out.mp4")
        no_encoder = encode(emulated_driver(card=Card.NO_ENCODER), tmp_path / "out.mp4")
        # Only the captured log tells them apart.
        assert limit[0].split(";")[0] == no_encoder[0].split(";")[0]
        assert [event.code for event in emulated_driver().events() if event.name == "refused"] == [21, 2]

    def test_a_picture_below_the_smallest_size_is_refused(self, emulated_driver: Drivers, tmp_path: Path) -> None:
        (error,) = encode(emulated_driver(), tmp_path / "out.mp4", "--size", "128x96")
        assert error.startswith("ArgumentError 22")
        assert "invalid param (8): Frame Dimension less than the minimum supported value." in error


class TestFaults:
    @pytest.mark.parametrize(
        ("code", "error", "reason"),
        [
            (20, "UnknownError", "generic error (20)"),
            (10, "MemoryError 12", "out of memory (10)"),
            (8, "ArgumentError 22", "invalid param (8)"),
        ],
    )
    def test_a_driver_that_goes_on_failing_raises_twice_and_then_blocks(
        self, emulated_driver: Drivers, tmp_path: Path, code: int, error: str, reason: str
    ) -> None:
        driver = emulated_driver(fault=f"error:{code}@4")
        errors = encode(driver, tmp_path / "out.mp4", "--pictures", "8")
        # Pictures 4 to 8 and the flush.
        assert len(errors) == 6
        assert all(e.startswith(error) and f"EncodePicture failed!: {reason}" in e for e in errors[:2])
        assert all(e.startswith("BlockingIOError") for e in errors[2:])
        assert [event.pictures for event in driver.events() if event.name == "closed"] == [3]

    def test_after_a_single_failure_no_picture_is_lost(self, emulated_driver: Drivers, tmp_path: Path) -> None:
        driver = emulated_driver(fault="error:20@4,once")
        (error,) = encode(driver, tmp_path / "out.mp4")
        assert error.startswith("UnknownError")
        assert_bit_exact(tmp_path / "out.mp4", 10, 640, 360)

    @pytest.mark.parametrize("fault", ["noise", "green", "half", "repeat"])
    def test_a_silent_fault_spoils_the_pictures_of_its_range_and_no_call_fails(
        self, emulated_driver: Drivers, tmp_path: Path, fault: str
    ) -> None:
        driver = emulated_driver(fault=f"{fault}@4-6")
        assert encode(driver, tmp_path / "out.mp4") == []
        first = program.picture(3, 640, 360)
        for index, (_, planes) in enumerate(decoded(tmp_path / "out.mp4")):
            luma, right = planes[:360], program.picture(index, 640, 360)
            if index not in {3, 4, 5}:
                np.testing.assert_array_equal(planes, right)
            elif fault == "repeat":
                np.testing.assert_array_equal(planes, first)
            elif fault == "green":
                assert not planes.any()
            elif fault == "half":
                np.testing.assert_array_equal(luma[:176], right[:176])
                assert (luma[184:] == 128).all()
            else:
                assert luma.std() > 70
                assert abs(np.corrcoef(luma.ravel(), right[:360].ravel())[0, 1]) < 0.02
        assert index == 9
        assert count("fault")(driver.events()) == 1

    def test_a_fault_that_happens_once_spares_the_next_process_of_the_host(
        self, emulated_driver: Drivers, tmp_path: Path
    ) -> None:
        driver = emulated_driver(fault="error:20@4,once")
        assert [len(encode(driver, tmp_path / "out.mp4")) for _ in range(3)] == [1, 0, 0]
        assert count("fault")(driver.events()) == 1
        assert count("closed")(driver.events()) == 3
        assert count("lost")(driver.events()) == 0

    def test_a_crash_ends_the_process_by_signal_6(self, emulated_driver: Drivers, tmp_path: Path) -> None:
        driver = emulated_driver(fault="crash@4")
        with running(driver, command(tmp_path / "out.mp4")) as process:
            assert process.wait() == -signal.SIGABRT
        assert driver.open_now() == {}
        assert [event.name for event in driver.events()][-2:] == ["picture", "fault"]

    def test_a_call_that_hangs_keeps_its_session_and_lets_other_threads_run(
        self, emulated_driver: Drivers, tmp_path: Path
    ) -> None:
        driver = emulated_driver(fault="hang@4")
        script = """
import sys, threading, time
from tests.nvenc_emulator import encode_pictures
threading.Thread(target=encode_pictures.encode, args=(sys.argv[1], 640, 360, "nv12", 10, {}), daemon=True).start()
while True:
    print("alive", flush=True)
    time.sleep(0.01)
"""
        with running(driver, ["-c", script, tmp_path / "out.mp4"]) as process:
            driver.wait_for(count("fault"))
            assert process.stdout is not None
            os.set_blocking(process.stdout.fileno(), False)
            process.stdout.read()  # what was printed before
            os.set_blocking(process.stdout.fileno(), True)
            assert process.stdout.readline().endswith(b"alive\n")
            assert driver.open_now() == {0: process.pid}
            assert count("picture")(driver.events()) == 3
        assert driver.open_now() == {}

    @pytest.mark.parametrize("variable", ["FAULT", "CARD", "SESSIONS", "PACE_MS"])
    def test_a_setting_that_makes_no_sense_ends_the_process(
        self, emulated_driver: Drivers, tmp_path: Path, variable: str
    ) -> None:
        done = emulated_driver(**{variable.lower(): "sometimes"}).python(*command(tmp_path / "out.mp4"), check=False)
        assert done.returncode == 70
        assert f"DUALFACE_EMULATED_NVENC_{variable} is 'sometimes', expected" in done.stderr


class TestSessions:
    def test_the_limit_holds_across_processes_and_a_killed_process_frees_its_session(
        self, emulated_driver: Drivers, tmp_path: Path
    ) -> None:
        stuck, free = emulated_driver(fault="hang@3"), emulated_driver()
        one, two = (command(tmp_path / name) for name in ("1.mp4", "2.mp4"))
        with running(stuck, one) as first, running(stuck, two) as second:
            stuck.wait_for(lambda events: count("fault")(events) == 2)
            assert set(free.open_now().values()) == {first.pid, second.pid}
            (refused,) = encode(free, tmp_path / "3.mp4")
            assert "incompatible client key (21)" in refused

            first.send_signal(signal.SIGKILL)
            first.wait()
            assert set(free.open_now().values()) == {second.pid}
            assert encode(free, tmp_path / "4.mp4") == []
            assert [event.pid for event in free.events() if event.name == "lost"] == [first.pid]
        assert free.most_open_at_once() == 2

    def test_many_processes_at_once_never_have_more_sessions_than_allowed(
        self, emulated_driver: Drivers, tmp_path: Path
    ) -> None:
        driver = emulated_driver(sessions=2, pace_ms=50)
        with ThreadPoolExecutor(5) as at_once:
            errors = at_once.map(lambda number: encode(driver, tmp_path / f"{number}.mp4"), range(5))
        refused = sum(map(bool, errors))
        events = driver.events()
        assert count("refused")(events) == refused
        assert count("opened")(events) == count("closed")(events) == 5 - refused
        assert 1 <= driver.most_open_at_once() <= 2

    def test_two_sessions_of_one_process_count_as_two(self, emulated_driver: Drivers, tmp_path: Path) -> None:
        driver = emulated_driver(sessions=1)
        script = """
import sys, av, numpy as np
frame = av.VideoFrame.from_ndarray(np.zeros((540, 640), np.uint8), format="yuv420p")
def encoder(path):
    container = av.open(path, "w")
    stream = container.add_stream("h264_nvenc", rate=30)
    stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
    return container, stream
one, one_stream = encoder(sys.argv[1] + ".1.mp4")
one.mux(one_stream.encode(frame))
two, two_stream = encoder(sys.argv[1] + ".2.mp4")
try:
    two_stream.encode(frame)
except av.error.ExternalError:
    print("refused")
"""
        assert driver.python("-c", script, tmp_path / "out").stdout == "refused\n"
        events = [event.name for event in driver.events() if event.name != "picture"]
        assert events == ["opened", "configured", "refused", "closed"]

    def test_closing_the_file_does_not_end_the_session_while_a_packet_is_alive(
        self, emulated_driver: Drivers, tmp_path: Path
    ) -> None:
        driver = emulated_driver()
        script = """
import sys, av, numpy as np
container = av.open(sys.argv[1], "w")
stream = container.add_stream("h264_nvenc", rate=30)
stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
packets = stream.encode(av.VideoFrame.from_ndarray(np.zeros((540, 640), np.uint8), format="yuv420p"))
packets += stream.encode(None)
container.mux(packets)
container.close()
del container, stream
input("closed? ")
del packets
input("freed? ")
"""
        with running(driver, ["-c", script, tmp_path / "out.mp4"]) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdout.read(len("closed? "))
            assert driver.open_now() == {0: process.pid}
            process.stdin.write(b"\n")
            process.stdin.flush()
            process.stdout.read(len("freed? "))
            assert driver.open_now() == {}

    def test_sessions_held_by_another_program_count(self, emulated_driver: Drivers, tmp_path: Path) -> None:
        driver = emulated_driver(sessions=2)
        with driver.outside_sessions(1):
            assert encode(driver, tmp_path / "out.mp4") == []
            with driver.outside_sessions(1):
                assert len(encode(driver, tmp_path / "out.mp4")) == 1
                with pytest.raises(RuntimeError, match="all 2 are taken"), driver.outside_sessions(1):
                    pass
        assert encode(driver, tmp_path / "out.mp4") == []
        assert driver.most_open_at_once() == 2

    def test_the_log_has_the_times_of_this_machine_and_the_pace_is_kept(
        self, emulated_driver: Drivers, tmp_path: Path
    ) -> None:
        driver = emulated_driver(pace_ms=12.5)
        before = time.monotonic()
        assert encode(driver, tmp_path / "out.mp4") == []
        times = [event.time for event in driver.events()]
        assert before < times[0] <= times[-1] < time.monotonic()
        assert times == sorted(times)
        (start,) = (event.time for event in driver.events() if event.name == "configured")
        pictures = [event.time for event in driver.events() if event.name == "picture"]
        assert all(time >= start + 0.0125 * number for number, time in enumerate(pictures, 1))

    def test_the_dead_are_not_counted_and_an_overlap_on_one_slot_is(self) -> None:
        def event(name: str, slot: int, pid: int) -> Event:
            return Event(time=0, name=name, pid=pid, slot=slot)

        assert most_open_at_once([event("opened", 1, 10), event("lost", 1, 10), event("opened", 0, 11)]) == 1
        assert most_open_at_once([event("opened", 1, 10), event("opened", 0, 11), event("closed", 1, 10)]) == 2
        assert most_open_at_once([event("opened", 0, 10), event("opened", 0, 11)]) == 2


class TestNvml:
    def test_nvml_shows_the_card_and_the_sessions_of_the_host(self, emulated_driver: Drivers) -> None:
        driver = emulated_driver(sessions=3)
        script = """
import json, pynvml
pynvml.nvmlInit()
card = pynvml.nvmlDeviceGetHandleByIndex(0)
print(json.dumps({
    "cards": pynvml.nvmlDeviceGetCount(),
    "name": pynvml.nvmlDeviceGetName(card),
    "driver": pynvml.nvmlSystemGetDriverVersion(),
    "memory": pynvml.nvmlDeviceGetMemoryInfo(card).total,
    "sessions": [session.pid for session in pynvml.nvmlDeviceGetEncoderSessions(card)],
    "stats": pynvml.nvmlDeviceGetEncoderStats(card)[0],
}))
"""
        with driver.outside_sessions(2):
            done = driver.python("-c", script)
        assert json.loads(done.stdout) == {
            "cards": 1,
            "name": "Emulated NVENC card",
            "driver": "570.0",
            "memory": 8 << 30,
            "sessions": [os.getpid(), os.getpid()],
            "stats": 2,
        }

    @pytest.mark.parametrize(
        ("card", "error"),
        [(Card.NO_DEVICE, "NVMLError_DriverNotLoaded"), (Card.NO_DRIVER, "NVMLError_LibraryNotFound")],
    )
    def test_without_card_or_driver_nvml_does_not_start(self, emulated_driver: Drivers, card: Card, error: str) -> None:
        done = emulated_driver(card=card).python("-c", "import pynvml; pynvml.nvmlInit()", check=False)
        assert error in done.stderr


class TestBuildingAndRunning:
    @pytest.mark.usefixtures("emulated_driver")
    def test_many_processes_may_build_at_once(self, tmp_path: Path) -> None:
        script = f"""
from pathlib import Path
from tests.nvenc_emulator import libraries
libraries.CACHE = Path({str(tmp_path / "cache")!r})
print(libraries.build())
"""
        started = {"cwd": REPOSITORY, "stdout": subprocess.PIPE, "text": True}
        processes = [subprocess.Popen([sys.executable, "-c", script], **started) for _ in range(4)]
        (folder,) = {process.communicate()[0].strip() for process in processes}
        assert sorted(path.name for path in Path(folder).iterdir()) == sorted(LIBRARIES)
        assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == sorted([Path(folder).name, "lock"])

    def test_a_machine_without_gcc_is_told_so(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        assert "no gcc" in (why_unavailable() or "")

    @pytest.mark.usefixtures("emulated_driver")
    def test_a_command_can_be_run_on_an_emulated_host(self, tmp_path: Path) -> None:
        module = [sys.executable, "-m", "tests.nvenc_emulator", "--state", tmp_path / "host", "--sessions", "0", "--"]
        called = [*module, sys.executable, *command(tmp_path / "out.mp4")]
        done = subprocess.run(called, cwd=REPOSITORY, capture_output=True, text=True, check=True)
        assert len(json.loads(done.stdout)) == 1
        assert "0 sessions opened, 0 at once at most, 1 refused" in done.stderr
