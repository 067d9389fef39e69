"""One emulated host with its NVENC card: its settings, and what happened on it.

All processes that get the same state folder share the card: its session limit, its one-time faults and its log. The
files in that folder are described in `emulation.h`; this module is the other side of them.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import IO, Any, Literal

import pynvml

from tests.nvenc_emulator.libraries import LIBRARIES, build
from tests.nvenc_emulator.replay import replay_setting

PREFIX = "DUALFACE_EMULATED_NVENC_"
MAX_SLOTS = 64


class Card(StrEnum):
    """What kind of card and driver the host has."""

    NVENC = "nvenc"
    """A card with an encoder and a recent driver."""
    NO_ENCODER = "no-encoder"
    """A card without NVENC: every session is refused with code 2."""
    NO_DEVICE = "no-device"
    """A driver without a card: cuInit fails with CUDA_ERROR_NO_DEVICE."""
    ZERO_DEVICES = "zero-devices"
    """A driver that starts and counts no cards."""
    OLD_DRIVER = "old-driver"
    """A driver of NVENC API 12.2."""
    NO_DRIVER = "no-driver"
    """There is no libcuda.so.1, or a real one is hidden."""
    NO_NVML = "no-nvml"
    """libcuda.so.1 and libnvidia-encode.so.1 without libnvidia-ml.so.1."""
    NO_VIDEO_CAPABILITY = "no-video-capability"
    """As in a container without the video capability: libcuda.so.1 without libnvidia-encode.so.1."""


# A card whose libraries are missing can't be emulated by these libraries: they are hidden instead.
_HIDDEN_LIBRARIES = {
    Card.NO_DRIVER: tuple(LIBRARIES),
    Card.NO_NVML: ("libnvidia-ml.so.1",),
    Card.NO_VIDEO_CAPABILITY: ("libnvidia-encode.so.1",),
}


@dataclass(frozen=True)
class Event:
    """One line of the log. What does not belong to the event is None.

    Names: `opened`, `configured`, `picture` (encoded), `closed`, `refused` (a session), `fault` (was injected), and
    `lost`: a session whose process had died without closing it. A lost session is noticed when the next one is opened,
    so its `time` is late; its `pid` is the dead process.
    """

    time: float
    """Seconds of CLOCK_MONOTONIC, comparable with time.monotonic()."""
    name: Literal["opened", "configured", "picture", "closed", "refused", "fault", "lost"]
    pid: int
    slot: int | None = None
    pictures: int | None = None
    """How many pictures the session has encoded so far."""
    code: int | None = None
    """The NVENC status of a refusal."""
    fault: str | None = None
    checksum: int | None = None
    """Adler-32 of the picture that was given, as planes of 4:2:0; see `checksum_every`."""
    configuration: Mapping[str, Any] = field(default_factory=dict)
    """What FFmpeg asked of the encoder, in NVENC's own numbers: `preset` 1 to 7, `rate_control` 1 for variable..."""


@dataclass(frozen=True)
class EmulatedDriver:
    """The settings of one process's driver, and the state of the host that it runs on.

    Args:
        state_dir: the host: the folder that all its processes share. Made when it is missing.
        sessions: how many NVENC sessions may be open on the host at once; 0 refuses all.
        refusal: the code beyond that limit: 21 (recent drivers) or 10 (older ones).
        card: what the host has.
        fault: `error:CODE@N`, `hang@N` or `crash@N` (the Nth picture of a session, from 1), `error:CODE@CALL` or
            `hang@CALL`, such as `error:10@CreateInputBuffer`, or a silent `noise@A-B`, `green@A-B`, `half@A-B` or
            `repeat@A-B`; ending in `,once` it strikes one process of the host, once. See `emulation.h`.
        pace_ms: the time that a picture takes, in milliseconds; 1000 / 708 for 708 pictures a second.
        replay: a file of H.264 with start codes and without B pictures (see `tests.nvenc_emulator.replay`): sessions
            of its size give its pictures for theirs, and others encode.
        checksum_every: of every so manieth picture, from the first, the log has a checksum; 0 for none.
        real_cuda: this machine's own libcuda.so.1 is used, and only the encoder and NVML are emulated.
    """

    state_dir: Path
    sessions: int = 2
    refusal: int = 21
    card: Card = Card.NVENC
    fault: str | None = None
    pace_ms: float = 0
    replay: Path | None = None
    checksum_every: int = 0
    real_cuda: bool = False

    def environment(self) -> dict[str, str]:
        """Return the variables that put a process on this host, to be merged into its environment."""
        self.state_dir.mkdir(parents=True, exist_ok=True)
        folders = [str(self._without("libcuda.so.1") if self.real_cuda else build())]
        hidden = _HIDDEN_LIBRARIES.get(self.card, ())
        if hidden:
            folders.insert(0, str(self._hide(hidden)))
        if already := os.environ.get("LD_LIBRARY_PATH"):
            folders.append(already)
        return {
            "LD_LIBRARY_PATH": ":".join(folders),
            f"{PREFIX}DIR": str(self.state_dir.resolve()),
            f"{PREFIX}SESSIONS": str(self.sessions),
            f"{PREFIX}REFUSAL": str(self.refusal),
            f"{PREFIX}CARD": "nvenc" if hidden else str(self.card),
            f"{PREFIX}FAULT": self.fault or "",
            f"{PREFIX}PACE_MS": str(self.pace_ms),
            f"{PREFIX}REPLAY": replay_setting(self.replay) if self.replay else "",
            f"{PREFIX}CHECKSUM_EVERY": str(self.checksum_every),
            f"{PREFIX}UUID": real_card() if self.real_cuda else "",
        }

    def python(self, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run Python with these arguments on this host, to its end. Raises CalledProcessError, unless told not to."""
        command = [sys.executable, *map(str, arguments)]
        environment = os.environ | self.environment()
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=check)

    def events(self) -> list[Event]:
        """Return what happened on the host so far, oldest first."""
        log = self.state_dir / "log.jsonl"
        return [_event(line) for line in log.read_text().splitlines()] if log.exists() else []

    def most_open_at_once(self) -> int:
        """Return the largest number of sessions that were open at the same time."""
        return most_open_at_once(self.events())

    def open_now(self) -> dict[int, int]:
        """Return the pid that holds each slot of a session that is open now."""
        held = {}
        with self._openings_locked():
            for slot in range(MAX_SLOTS):
                with ExitStack() as stack:
                    file = self._slot(slot, stack)
                    if (pid := _holder(file)) and not _take(file):
                        held[slot] = pid
        return held

    def wait_for(self, condition: Callable[[list[Event]], object], *, timeout: float = 240) -> list[Event]:
        """Wait until the log fulfils `condition`, and return it.

        Raises:
            TimeoutError: it did not within `timeout` seconds; the message holds the log.
        """
        end = time.monotonic() + timeout
        while not condition(events := self.events()):
            if time.monotonic() > end:
                raise TimeoutError("the emulated driver's log is:\n" + "\n".join(map(str, events)))
            time.sleep(0.01)
        return events

    @contextmanager
    def outside_sessions(self, count: int) -> Iterator[None]:
        """Hold `count` sessions of the host in this process, as another program on the machine would.

        Raises:
            RuntimeError: fewer than `count` sessions were free.
        """
        with ExitStack() as held:
            with self._openings_locked():
                self._log_lost_sessions()
                for slot in range(self.sessions):
                    if count and self._hold(slot, held):
                        count -= 1
            if count:
                raise RuntimeError(f"{count} more sessions to hold, but all {self.sessions} are taken")
            yield

    def _hold(self, slot: int, held: ExitStack) -> bool:
        with ExitStack() as stack:
            file = self._slot(slot, stack)
            if not _take(file):
                return False
            file.write(f"{os.getpid()} 0 0\n")
            file.flush()
            self._log("opened", os.getpid(), slot)
            stack.callback(self._release, slot, file)
            held.push(stack.pop_all())
        return True

    def _release(self, slot: int, file: IO[str]) -> None:
        self._log("closed", os.getpid(), slot)
        file.truncate(0)

    def _slot(self, slot: int, stack: ExitStack) -> IO[str]:
        return stack.enter_context((self.state_dir / f"slot-{slot:02d}").open("a+"))

    @contextmanager
    def _openings_locked(self) -> Iterator[None]:
        self.state_dir.mkdir(parents=True, exist_ok=True)
        with (self.state_dir / "opening.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _log_lost_sessions(self) -> None:
        for slot in range(MAX_SLOTS):
            with ExitStack() as stack:
                file = self._slot(slot, stack)
                if (pid := _holder(file)) and _take(file):
                    self._log("lost", pid, slot)
                    file.truncate(0)

    def _log(self, name: str, pid: int, slot: int) -> None:
        line = json.dumps({"time": time.monotonic(), "event": name, "pid": pid, "slot": slot}) + "\n"
        with (self.state_dir / "log.jsonl").open("ab", buffering=0) as log:
            log.write(line.encode())

    def _without(self, library: str) -> Path:
        """A folder with the emulated libraries but for one."""
        folder = self.state_dir / f"without-{library}"
        folder.mkdir(exist_ok=True)
        for name in LIBRARIES.keys() - {library}:
            with suppress(FileExistsError):
                (folder / name).symlink_to(build() / name)
        return folder

    def _hide(self, libraries: Iterable[str]) -> Path:
        # The loader stops at the first file of that name, and an empty one is no library.
        folder = self.state_dir / f"hidden-{self.card.value}"
        folder.mkdir(exist_ok=True)
        for library in libraries:
            (folder / library).touch()
        return folder


@cache
def real_card() -> str:
    """Return the UUID of this machine's first card. Raises pynvml.NVMLError where there is none."""
    pynvml.nvmlInit()
    try:
        return str(pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByIndex(0)))
    finally:
        pynvml.nvmlShutdown()


def most_open_at_once(events: Iterable[Event]) -> int:
    """Return the largest number of sessions that were open at the same time.

    A process that died holds its session until the log says `lost`. That is written before the next `opened`, which is
    the only event that raises the number, so the dead are never counted.
    """
    sessions: set[tuple[int | None, int]] = set()
    most = 0
    for event in events:
        if event.name == "opened":
            sessions.add((event.slot, event.pid))
        elif event.name in {"closed", "lost"}:
            sessions.discard((event.slot, event.pid))
        most = max(most, len(sessions))
    return most


def _event(line: str) -> Event:
    fields = json.loads(line)
    return Event(name=fields.pop("event"), **fields)


def _holder(file: IO[str]) -> int | None:
    file.seek(0)
    text = file.read().split()
    return int(text[0]) if text else None


def _take(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
