from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dualface_core.encoding.failures import EncoderError, FailureClass, SessionTimeoutError
from dualface_core.encoding.sessions import NvencSessions, RuntimeFolderError
from dualface_core.errors import SettingsError
from dualface_core.system.locks import FileLock


def sessions(folder: Path, *, limit: int = 2, timeout: float = 0.0, gpu: str | int = "GPU-0") -> NvencSessions:
    return NvencSessions(folder, gpu=gpu, limit=limit, timeout=timeout)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


def until(condition) -> None:
    while not condition():
        time.sleep(0.01)


def queue_up(guard: NvencSessions, waiters) -> None:
    """Have processes wait for a slot, one behind the other."""
    for number, waiter in enumerate(waiters, start=1):
        waiter.tell("acquire", "later.mp4")
        until(lambda expected=number: guard.status().waiting == expected)


def stop(pid: int, folder: Path) -> None:
    """Stop a process as Ctrl-Z does, but not in the moment in which it holds the bookkeeping."""
    while True:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.01)
        mutex = FileLock.attempt(folder / "nvenc-GPU-0" / "mutex")
        if mutex is not None:
            mutex.release()
            return
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.01)


def test_a_slot_is_held_for_the_block_and_free_after_it(folder):
    guard = sessions(folder, limit=1)
    with guard.acquire("a.mp4") as slot:
        assert slot.index == 0
        (holder,) = guard.status().holders
        assert (holder.slot, holder.pid, holder.owner) == (0, os.getpid(), "a.mp4")
    status = guard.status()
    assert status.holders == ()
    assert (status.counters.opened, status.counters.closed) == (1, 1)


def test_the_waiter_past_its_timeout_is_told_who_holds_the_slots(folder, start):
    first, second = start(), start()
    first.ask("acquire", "interview.mp4")
    second.ask("acquire", "podcast.mp4")
    began = time.monotonic()
    with pytest.raises(SessionTimeoutError) as refused, sessions(folder, timeout=0.3).acquire("third.mp4"):
        pass
    assert time.monotonic() - began >= 0.3
    assert refused.value.failure is FailureClass.SESSION_LIMIT
    message = str(refused.value)
    assert f"process {first.pid} for 'interview.mp4' since " in message
    assert f"process {second.pid} for 'podcast.mp4' since " in message
    assert refused.value.waited >= 0.3
    counters = sessions(folder).status().counters
    assert (counters.opened, counters.closed, counters.timed_out) == (2, 0, 1)


def test_waiting_for_holders_that_make_progress_is_a_queue_and_no_fault(folder, start):
    holder = start(limit=1)
    holder.ask("acquire", "long.mp4")
    holder.tell("progress", 80)  # four seconds, twice as long as the other's patience
    with sessions(folder, limit=1, timeout=2.0).acquire("next.mp4"):
        pass
    assert holder.answer() == {"released": True}


def test_who_cannot_queue_for_long_waits_no_longer_for_progress(folder, start):
    holder = start(limit=1)
    holder.ask("acquire", "long.mp4")
    holder.tell("progress", 20)
    guard = sessions(folder, limit=1, timeout=60.0)
    with pytest.raises(SessionTimeoutError) as refused, guard.acquire("trial", at_most=0.2):
        pass
    assert refused.value.waited < 60


def test_a_killed_holder_frees_its_slot_for_the_next_in_turn(folder, start):
    holders = [start(), start()]
    for number, holder in enumerate(holders):
        holder.ask("acquire", f"{number}.mp4")
    guard = sessions(folder)
    waiters = [start(), start()]
    queue_up(guard, waiters)
    holders[1].kill()
    assert waiters[0].answer()["slot"] == 1
    status = guard.status()
    assert [holder.pid for holder in status.holders] == [holders[0].pid, waiters[0].pid]
    assert status.waiting == 1
    assert (status.counters.opened, status.counters.closed, status.counters.abandoned) == (3, 0, 1)
    assert status.counters.error_rate == pytest.approx(1 / 3)


def test_waiters_get_their_turn_in_the_order_in_which_they_came(folder, start):
    holder = start(limit=1)
    holder.ask("acquire", "now.mp4")
    guard = sessions(folder, limit=1)
    waiters = [start(limit=1) for _ in range(4)]
    queue_up(guard, waiters)
    times = []
    for current, following in zip([holder, *waiters], waiters, strict=False):
        current.ask("release")
        times.append(following.answer()["at"])
    assert times == sorted(times)
    assert guard.status().waiting == 0


def test_newcomers_do_not_overtake_those_who_wait(folder, start):
    holder, waiter = start(limit=1), start(limit=1)
    holder.ask("acquire", "now.mp4")
    guard = sessions(folder, limit=1)
    queue_up(guard, [waiter])
    stop(waiter.pid, folder)  # it cannot take the slot just yet, and keeps its place
    holder.ask("release")
    with pytest.raises(SessionTimeoutError), guard.acquire("newcomer.mp4"):
        pass
    os.kill(waiter.pid, signal.SIGCONT)
    assert waiter.answer()["slot"] == 0


def test_a_dead_waiter_does_not_block_the_queue(folder, start):
    holder, dead, alive = start(limit=1), start(limit=1), start(limit=1)
    holder.ask("acquire", "now.mp4")
    guard = sessions(folder, limit=1)
    queue_up(guard, [dead, alive])
    dead.kill()
    holder.ask("release")
    assert alive.answer()["slot"] == 0
    assert list((folder / "nvenc-GPU-0" / "queue").iterdir()) == []
    counters = guard.status().counters
    assert (counters.opened, counters.closed, counters.abandoned) == (2, 1, 0)


def test_a_stopped_waiter_is_passed_over_and_goes_on_later(folder, start):
    holder, stopped, alive = start(limit=1), start(limit=1), start(limit=1)
    holder.ask("acquire", "now.mp4")
    guard = sessions(folder, limit=1)
    queue_up(guard, [stopped, alive])
    stop(stopped.pid, folder)
    holder.ask("release")
    assert alive.answer()["slot"] == 0
    os.kill(stopped.pid, signal.SIGCONT)
    alive.ask("release")
    assert stopped.answer()["slot"] == 0


def test_a_hundred_short_holds_of_eight_processes_never_exceed_the_limit(folder, start, tmp_path):
    log = tmp_path / "holds.log"
    workers = [start(timeout=120.0) for _ in range(8)]
    for number, worker in enumerate(workers):
        worker.tell("loop", 13 if number < 4 else 12, log)
    assert [worker.answer() for worker in workers] == [{"done": True}] * 8

    events = sorted(tuple(map(int, line.split())) for line in log.read_text().splitlines())
    held: set[int] = set()
    most = 0
    for _, change, slot, _ in events:
        if change == 1:
            assert slot not in held
            held.add(slot)
        else:
            held.remove(slot)
        most = max(most, len(held))
    assert most == 2
    assert len({pid for *_, pid in events}) == 8
    counters = sessions(folder).status().counters
    assert (counters.opened, counters.closed, counters.abandoned, counters.timed_out) == (100, 100, 0, 0)


def test_a_forked_child_that_outlives_its_parent_does_not_keep_the_slot(folder, start):
    parent = start(limit=1)
    parent.ask("acquire", "a.mp4")
    parent.children.append(parent.ask("fork")["child"])
    parent.kill()
    os.kill(parent.children[0], 0)  # the child is alive
    # A child lets go as its first act after the fork, for which a busy machine may need a moment.
    with sessions(folder, limit=1, timeout=120.0).acquire("b.mp4") as slot:
        assert slot.index == 0


def test_a_forked_child_that_ends_the_block_does_not_free_the_slot_of_its_parent(folder):
    guard = sessions(folder, limit=1)
    child = -1
    with guard.acquire("a.mp4"):
        child = os.fork()
        if child:
            _, code = os.waitpid(child, 0)
            assert code == 0
            assert len(guard.status().holders) == 1
            assert guard.status().counters.closed == 0
    if child == 0:
        os._exit(0)
    assert guard.status().counters.closed == 1


def test_a_process_started_while_a_slot_is_held_does_not_inherit_it(folder, start):
    guard = sessions(folder, limit=1)
    with guard.acquire("a.mp4"):
        bystander = start(limit=1)
    assert bystander.process.poll() is None
    with guard.acquire("b.mp4"):
        pass


def test_threads_of_one_process_share_the_slots_too(folder):
    guard = sessions(folder, limit=2, timeout=60.0)
    pair = threading.Barrier(2, timeout=60.0)  # passed only if two hold a slot at once
    held: list[int] = []
    most: list[int] = []

    def hold() -> None:
        with guard.acquire("a.mp4") as slot:
            held.append(slot.index)
            most.append(len(held))
            pair.wait()
            held.remove(slot.index)

    threads = [threading.Thread(target=hold) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 2
    assert guard.status().counters.closed == 10


def test_each_gpu_has_slots_of_its_own(folder):
    with sessions(folder, limit=1, gpu=0).acquire("a.mp4"), sessions(folder, limit=1, gpu=1).acquire("b.mp4"):
        assert sessions(folder, gpu=0).status().counters.opened == 1


def test_a_process_with_a_lower_limit_counts_the_slots_of_one_with_a_higher(folder):
    generous, strict = sessions(folder, limit=3), sessions(folder, limit=2)
    with generous.acquire("a.mp4"), generous.acquire("b.mp4") as second:
        with generous.acquire("c.mp4") as third:
            assert (second.index, third.index) == (1, 2)
        with pytest.raises(SessionTimeoutError), strict.acquire("d.mp4"):
            pass
        with generous.acquire("e.mp4"):
            pass


def test_a_limit_of_zero_refuses_at_once(folder):
    began = time.monotonic()
    with pytest.raises(SessionTimeoutError, match="switched off"), sessions(folder, limit=0, timeout=60.0).acquire("a"):
        pass
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("failure", "refused", "failed"),
    [
        (FailureClass.SESSION_LIMIT, 1, 0),
        (FailureClass.DEVICE_LOST, 0, 1),
        (FailureClass.UNKNOWN, 0, 1),
        (FailureClass.BAD_PARAM, 0, 0),
        (FailureClass.USER_ERROR, 0, 0),
    ],
)
def test_what_ends_an_encode_is_counted(folder, failure, refused, failed):
    guard = sessions(folder)
    with pytest.raises(EncoderError), guard.acquire("a.mp4"):
        raise EncoderError(failure, encoder="h264_nvenc", reason="as told")
    counters = guard.status().counters
    assert (counters.opened, counters.closed, counters.refused, counters.failed) == (1, 1, refused, failed)
    assert counters.error_rate == refused + failed


def test_an_error_of_anything_else_frees_the_slot_and_is_no_failure_of_the_gpu(folder):
    guard = sessions(folder)
    with pytest.raises(KeyboardInterrupt), guard.acquire("a.mp4"):
        raise KeyboardInterrupt
    counters = guard.status().counters
    assert (counters.closed, counters.failed, counters.error_rate) == (1, 0, 0)


def test_a_damaged_record_begins_again_and_holds_nobody_up(folder):
    guard = sessions(folder)
    with guard.acquire("a.mp4"):
        pass
    (folder / "nvenc-GPU-0" / "counters.json").write_bytes(b'{"counters": {"opened": ')
    with guard.acquire("b.mp4"):
        assert guard.status().counters.opened == 1


def test_a_slot_is_freed_even_if_its_end_cannot_be_recorded(folder):
    guard = sessions(folder, limit=1)
    counters = folder / "nvenc-GPU-0" / "counters.json"
    with guard.acquire("a.mp4"):
        counters.unlink()
        counters.mkdir()  # nothing can be renamed onto it
    counters.rmdir()
    with guard.acquire("b.mp4"):
        pass


@pytest.mark.parametrize(
    "arguments",
    [{"limit": -1}, {"timeout": -1.0}, {"timeout": float("nan")}, {"gpu": "../0"}, {"gpu": ""}, {"gpu": -1}],
)
def test_arguments_that_make_no_sense_are_refused(folder, arguments):
    with pytest.raises(SettingsError):
        sessions(folder, **arguments)


def test_the_folder_is_made_for_its_owner_alone(folder):
    sessions(folder).status()
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_may_write_to_is_refused(folder):
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(RuntimeFolderError, match="mode 777"), sessions(folder).acquire("a.mp4"):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(folder):
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, -1)
    with pytest.raises(RuntimeFolderError, match=r"belongs to user 12345.*DUALFACE_RUNTIME"):
        sessions(folder).status()


def test_a_file_in_the_place_of_the_folder_is_refused(folder):
    folder.write_text("")
    with pytest.raises(RuntimeFolderError, match="cannot be used"):
        sessions(folder).status()


@pytest.fixture
def three_workers(start):
    """Workers by number; one that was killed is replaced."""
    return [start(timeout=0.0) for _ in range(3)]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    actions=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(["acquire", "acquire", "release", "fail", "kill"])), max_size=12
    )
)
def test_opened_is_always_closed_and_abandoned_and_held(tmp_path_factory, start, three_workers, actions):
    """Any order of taking, giving back, failing and being killed: the books balance and the limit holds."""
    folder = tmp_path_factory.mktemp("books") / "run"
    guard = sessions(folder)
    holding = [False] * 3
    for worker in three_workers:
        worker.ask("use", folder)
    for number, action in actions:
        match action:
            case "acquire" if not holding[number]:
                free = sum(holding) < 2
                answer = three_workers[number].ask("acquire", "a.mp4")
                assert ("slot" in answer) == free
                holding[number] = free
            case "release" | "fail" if holding[number]:
                three_workers[number].ask(*(["release"] if action == "release" else ["fail", "device-lost"]))
                holding[number] = False
            case "kill" if holding[number]:
                three_workers[number].kill()
                three_workers[number] = start(timeout=0.0)
                three_workers[number].ask("use", folder)
                holding[number] = False
        status = guard.status()
        counters = status.counters
        assert len(status.holders) == sum(holding)
        assert counters.opened == counters.closed + counters.abandoned + len(status.holders)
    for worker, holds in zip(three_workers, holding, strict=True):
        if holds:
            worker.ask("release")


def hold_refused(guard: NvencSessions, error: EncoderError | None = None) -> None:
    with guard.acquire("a.mp4") as slot:
        slot.refused = True
        if error is not None:
            raise error


def test_a_refusal_that_was_waited_out_is_counted_once(folder):
    guard = sessions(folder)
    hold_refused(guard)
    with pytest.raises(EncoderError):
        hold_refused(guard, EncoderError(FailureClass.DEVICE_LOST, encoder="h264_nvenc", reason="as told"))
    counters = guard.status().counters
    assert (counters.opened, counters.closed, counters.refused, counters.failed) == (2, 2, 1, 1)


def test_a_lock_on_a_file_that_was_removed_meanwhile_is_no_lock(tmp_path):
    first = FileLock.attempt(tmp_path / "mutex")
    (tmp_path / "mutex").unlink()
    second = FileLock.attempt(tmp_path / "mutex")
    assert first is not None
    assert second is not None  # a new file, which first does not lock
    assert FileLock.attempt(tmp_path / "mutex") is None
    first.release()
    second.release()


def test_a_slot_in_use_looks_fresh_to_programs_that_tidy_up(folder):
    guard = sessions(folder, limit=1)
    with guard.acquire("a.mp4"):
        pass
    slot = folder / "nvenc-GPU-0" / "slot-0"
    os.utime(slot, (0, 0))
    with guard.acquire("b.mp4"):
        assert slot.stat().st_mtime > time.time() - 60


def test_the_link_of_somebody_else_is_not_followed(folder, tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "real")
    sessions(folder).status()  # one's own may be
    if os.geteuid() != 0:
        pytest.skip("only root can give a link away")
    os.chown(folder, 12345, -1, follow_symlinks=False)
    with pytest.raises(RuntimeFolderError, match="belongs to user 12345"):
        sessions(folder).status()
