"""NvencSessions: at most so many NVENC sessions per GPU, over all processes of the host.

Belongs here: the slots, the queue in front of them, and the counters. Not here: NVENC itself. The one idea: a slot is a
lock on a file, held by the process that encodes, so that the kernel frees it however that process ends.

A folder per GPU holds `slot-N` (locked while held, and names its holder), `queue/` (a locked file per waiter, in
order), `mutex` (locked for the moment in which any of this is read or changed) and `counters.json`. Only locks count: a
slot that names a holder and is not locked was abandoned by a process that died.
"""

from __future__ import annotations

import logging
import math
import os
import re
import time
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, computed_field

from dualface_core.encoding.failures import EncoderError, FailureClass, SessionTimeoutError, advice, is_gpu_failure
from dualface_core.errors import SettingsError, one_line
from dualface_core.system.locks import FileLock
from dualface_core.system.private_folders import PrivateFolderError, make_private_folder

_POLL: Final = 0.02
"""Seconds between two attempts of a waiter, each of which takes well under a millisecond."""

_SUSPENDED_AFTER: Final = 2.0
"""A waiter that has made no attempt for so many seconds is stopped (Ctrl-Z, a debugger), and is passed over."""

_MUTEX_TIMEOUT: Final = 5.0
"""Longest wait for the mutex in seconds; only a process stopped inside it can hold it for so long."""

_LOGGER: Final = logging.getLogger(__name__)


class RuntimeFolderError(EncoderError):
    """The folder for slot files cannot be used, or not safely, so that no NVENC session can be had."""


class Holder(BaseModel):
    """Who holds a slot.

    Attributes:
        slot: number of the slot, from 0.
        pid: the process, as it sees itself; in a container this is not the host's number.
        owner: what it holds the slot for, such as the video's name.
        since: when it got the slot.
    """

    model_config = ConfigDict(frozen=True)

    slot: int
    pid: int
    owner: str
    since: datetime

    def __str__(self) -> str:
        return f"process {self.pid} for {self.owner!r} since {self.since.astimezone():%Y-%m-%d %H:%M:%S}"


class Counters(BaseModel):
    """What has happened on one GPU since the counters began, over all processes.

    Attributes:
        opened: slots given out.
        closed: slots given back, whatever the encode came to.
        abandoned: slots freed by the death of their holder.
        refused: slots whose holder the driver refused, once or more often, because other programs had the sessions.
        failed: slots whose holder met another failure of NVENC.
        timed_out: waits that ended without a slot.
    """

    model_config = ConfigDict(frozen=True)

    opened: int = Field(default=0, ge=0)
    closed: int = Field(default=0, ge=0)
    abandoned: int = Field(default=0, ge=0)
    refused: int = Field(default=0, ge=0)
    failed: int = Field(default=0, ge=0)
    timed_out: int = Field(default=0, ge=0)

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorators of properties
    @property
    def error_rate(self) -> float:
        """Share of the slots given out that were refused, failed or abandoned; 0 before the first."""
        return (self.refused + self.failed + self.abandoned) / self.opened if self.opened else 0.0


@dataclass(frozen=True)
class SessionStatus:
    """One GPU's sessions at a moment.

    Attributes:
        gpu: the GPU that the slots are of.
        limit: how many may be held at once.
        holders: who holds one now, by slot.
        waiting: how many wait for one now.
        counters: what has happened so far.
    """

    gpu: str
    limit: int
    holders: tuple[Holder, ...]
    waiting: int
    counters: Counters


@dataclass
class Slot:
    """The right to one NVENC session.

    Attributes:
        index: number of the slot, from 0.
        waited: seconds from asking to getting it.
        lock: what makes it so.
        refused: to be set by its holder where the driver refuses a session and the holder tries again in this slot.
    """

    index: int
    waited: float
    lock: FileLock
    refused: bool = False

    def progressed(self) -> None:
        """To be called when the encode has made progress: those who wait for the slot then wait on."""
        self.lock.touch()


class NvencSessions:
    """Slots of one GPU's NVENC sessions, shared by all processes that name the same folder and GPU.

        with sessions.acquire("interview.mp4") as slot:
            ...  # open the encoder, encode, close it, drop every reference to it

    Args:
        runtime_dir: a folder of one's own on a local disk; made with mode 0700 if it is missing. It must not go away
            while slots are held, as `/run/user/...` does when its user logs out.
        gpu: identifies the GPU on this host: the UUID, or the index (which CUDA_VISIBLE_DEVICES can change).
        limit: sessions at once; 0 forbids NVENC. Where processes disagree, each keeps to its own limit and counts the
            others' slots.
        timeout: longest wait in seconds while no holder makes progress; 0 tries once. To wait for holders that do is to
            queue, however long it takes.

    Raises:
        SettingsError: an argument is not allowed.
    """

    def __init__(self, runtime_dir: Path, *, gpu: str | int, limit: int = 2, timeout: float = 30.0) -> None:
        self.gpu = str(gpu)
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", self.gpu):
            raise SettingsError(f"found {self.gpu!r} as a GPU; expected its UUID or its index.")
        if limit < 0:
            raise SettingsError(f"found {limit} NVENC sessions at once; expected 0 or more.")
        if not 0 <= timeout < math.inf:
            raise SettingsError(f"found a wait of {timeout} s for NVENC sessions; expected 0 or more.")
        self.limit = limit
        self.timeout = timeout
        self._runtime_dir = runtime_dir
        self._folder = runtime_dir / f"nvenc-{self.gpu}"
        self._queue = self._folder / "queue"

    @contextmanager
    def acquire(
        self, owner: str, *, at_most: float = math.inf, waiting: Callable[[], None] | None = None
    ) -> Iterator[Slot]:
        """Hold a slot for the length of the block, after waiting for it in turn.

        The block must not end before the encoder's last reference is gone: NVENC ends a session when FFmpeg's codec
        context is freed, not when the container is closed. An EncoderError that leaves the block is counted. A forked
        child does not hold the slot: it stays the parent's, and dies with the parent.

        Args:
            owner: what the slot is for; shown to others who wait.
            at_most: longest wait in seconds, whatever progress others make.
            waiting: called after each attempt that failed.

        Raises:
            SessionTimeoutError: none became free in time; names the holders.
            RuntimeFolderError: the folder is another user's, or cannot be written.
        """
        slot, failed = self._wait(owner, at_most, waiting), False
        try:
            yield slot
        except EncoderError as error:
            slot.refused |= error.failure is FailureClass.SESSION_LIMIT
            failed = error.failure is not FailureClass.SESSION_LIMIT and is_gpu_failure(error.failure)
            raise
        finally:
            if slot.lock.held:
                self._give_back(slot, failed=failed)

    def status(self) -> SessionStatus:
        """Who holds slots, how many wait, and the counters. Raises RuntimeFolderError or SessionTimeoutError."""
        self._prepare_folder()
        with self._exclusively():
            with self._free_slots() as free:
                abandoned = sum(lock.path.stat().st_size > 0 for lock in free.values())
                holders = self._holders(free)
            waiting = sum(not self._is_dead(ticket) for ticket in self._tickets())
            counters = self._counters(abandoned=abandoned)
        return SessionStatus(self.gpu, self.limit, holders, waiting, counters)

    def _wait(self, owner: str, at_most: float, waiting: Callable[[], None] | None) -> Slot:
        self._prepare_folder()
        started = progressed = time.monotonic()
        ticket: FileLock | None = None
        last_seen: list[int] = []
        try:
            while True:
                with self._exclusively():
                    if ticket is None:
                        ticket = self._queue_up()
                    ticket.touch()
                    now = time.monotonic()
                    waited = now - started
                    if self._is_next(ticket) and (taken := self._take(owner, waited)):
                        return taken
                    if (seen := self._slot_times()) != last_seen:
                        last_seen, progressed = seen, now if last_seen else started
                    left = min(self.timeout - (now - progressed), at_most - waited)
                    if left <= 0 or self.limit == 0:
                        raise self._timed_out(waited)
                if waiting is not None:
                    waiting()
                time.sleep(min(_POLL, left))
        finally:
            if ticket is not None and ticket.held:
                ticket.path.unlink(missing_ok=True)
                ticket.release()

    def _take(self, owner: str, waited: float) -> Slot | None:
        with self._free_slots() as free:
            if len(self._slot_indexes()) - len(free) >= self.limit:
                return None
            index = min(free)
            path = free[index].path
            holder = Holder(slot=index, pid=os.getpid(), owner=one_line(owner), since=datetime.now(UTC))
            self._count(opened=1, abandoned=int(path.stat().st_size > 0))
            path.write_text(holder.model_dump_json())
            return Slot(index, waited, free.pop(index))

    def _give_back(self, slot: Slot, *, failed: bool) -> None:
        try:
            with self._exclusively():
                slot.lock.path.write_bytes(b"")
                self._count(closed=1, failed=int(failed), refused=int(slot.refused and not failed))
        except (RuntimeFolderError, SessionTimeoutError) as error:
            # The slot matters more than its record, which is then counted as abandoned.
            _LOGGER.warning("could not write down the end of an NVENC session: %s", error)
        finally:
            slot.lock.release()

    def _timed_out(self, waited: float) -> SessionTimeoutError:
        self._count(timed_out=1)
        if self.limit == 0:
            reason = "NVENC is switched off: the number of sessions is 0. Allow at least one session, or use software."
        else:
            with self._free_slots() as free:
                holders = "; ".join(map(str, self._holders(free))) or "processes that wait in turn"
            reason = (
                f"all {self.limit} NVENC sessions of GPU {self.gpu} stayed in use for {waited:.1f} s. "
                f"Held by: {holders}. Wait for them, end them, allow a longer wait, or encode in software."
            )
        return SessionTimeoutError(FailureClass.SESSION_LIMIT, encoder="nvenc", reason=reason, waited=waited)

    # The queue. A ticket is a file whose name gives its place and whose lock shows that its waiter lives.

    def _tickets(self) -> list[Path]:
        return sorted(self._queue.glob("[0-9]*"))

    def _queue_up(self) -> FileLock:
        tickets = self._tickets()
        after = int(tickets[-1].name) if tickets else 0
        # The clock, so that a number is never given twice; the last ticket, since a clock can be set back.
        lock = FileLock.attempt(self._queue / f"{max(after + 1, time.time_ns()):020}")
        assert lock is not None, "a new file that only the holder of the mutex can see"
        return lock

    def _is_next(self, ticket: FileLock) -> bool:
        for other in self._tickets():
            if other >= ticket.path:
                return True
            if not self._is_dead(other) and not _is_suspended(other):
                return False
        return True

    @staticmethod
    def _is_dead(ticket: Path) -> bool:
        lock = FileLock.attempt(ticket)
        if lock is None:
            return False
        ticket.unlink(missing_ok=True)
        lock.release()
        return True

    # The slots.

    def _slot_path(self, index: int) -> Path:
        return self._folder / f"slot-{index}"

    def _slot_indexes(self) -> list[int]:
        """Ours, and those that a process with a higher limit has made."""
        found = {int(path.name.removeprefix("slot-")) for path in self._folder.glob("slot-*")}
        return sorted(found | set(range(self.limit)))

    @contextmanager
    def _free_slots(self) -> Iterator[dict[int, FileLock]]:
        """Lock all slots that are free; what is left in the dictionary at the end is unlocked again."""
        free: dict[int, FileLock] = {}
        try:
            for index in self._slot_indexes():
                lock = FileLock.attempt(self._slot_path(index))
                if lock is not None:
                    free[index] = lock
            yield free
        finally:
            for lock in free.values():
                lock.release()

    def _holders(self, free: Container[int]) -> tuple[Holder, ...]:
        held = [self._slot_path(index) for index in self._slot_indexes() if index not in free]
        return tuple(Holder.model_validate_json(path.read_bytes()) for path in held)

    def _slot_times(self) -> list[int]:
        """Changes whenever a slot is taken or given back, or its holder makes progress."""
        return [self._slot_path(index).stat().st_mtime_ns for index in self._slot_indexes()]

    # The counters.

    def _counters(self, **more: int) -> Counters:
        path = self._folder / "counters.json"
        try:
            counters = Counters.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            counters = Counters()
        except ValidationError:
            _LOGGER.warning("%s is damaged; its counters begin again", path)
            counters = Counters()
        return counters.model_copy(update={name: getattr(counters, name) + number for name, number in more.items()})

    def _count(self, **more: int) -> None:
        written = self._folder / "counters.new"  # of no worth after a power cut, so nothing is synced
        written.write_text(self._counters(**more).model_dump_json())
        written.replace(self._folder / "counters.json")

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        """Only this process reads or changes slots, queue and counters during the block, which must be short."""
        deadline = time.monotonic() + _MUTEX_TIMEOUT
        while (lock := self._attempt_mutex()) is None:
            if time.monotonic() >= deadline:
                reason = (
                    f"another process holds {self._folder / 'mutex'} and does not go on. "
                    "Look for a stopped dualface process (state T in ps) and end or continue it."
                )
                raise SessionTimeoutError(FailureClass.SESSION_LIMIT, encoder="nvenc", reason=reason)
            time.sleep(_POLL / 10)
        try:
            yield
        except (OSError, ValidationError) as error:
            raise _unusable(self._folder, error) from error
        finally:
            lock.release()

    def _attempt_mutex(self) -> FileLock | None:
        try:
            return FileLock.attempt(self._folder / "mutex")
        except OSError as error:
            raise _unusable(self._folder, error) from error

    def _prepare_folder(self) -> None:
        for folder in (self._runtime_dir, self._folder, self._queue):
            try:
                make_private_folder(folder, action=advice(FailureClass.RUNTIME_FOLDER))
            except (OSError, PrivateFolderError) as error:
                raise _unusable(folder, error) from error


def _unusable(folder: Path, error: Exception) -> RuntimeFolderError:
    match error:
        case PrivateFolderError():
            why = error.found
        case OSError(strerror=str(text)):
            why = text
        case _:
            why = str(error)
    reason = one_line(f"{folder} cannot be used for slot files: {why}. {advice(FailureClass.RUNTIME_FOLDER)}")
    return RuntimeFolderError(FailureClass.RUNTIME_FOLDER, encoder="nvenc", reason=reason)


def _is_suspended(ticket: Path) -> bool:
    try:
        return abs(time.time() - ticket.stat().st_mtime) > _SUSPENDED_AFTER
    except FileNotFoundError:
        return True
