"""Several videos at once, each in a process of its own: neither a failure nor a crash of one stops the others.

Belongs here: handing out the videos, and what became of each. What such a process does is in `worker`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Final

from pydantic import TypeAdapter
from rich.progress import Progress

from dualface_core.cli.inputs import Job
from dualface_core.cli.show import BatchBar, Outcome, VideoBar, errors, note, progress_bars, warn
from dualface_core.cli.video_processes import VideoProcesses
from dualface_core.cli.worker import Made, Message, NotMade, Task, work
from dualface_core.engine.workers import Workers
from dualface_core.errors import MachineError, NativeCrashError
from dualface_core.settings import Settings
from dualface_core.system.crashes import crash

_MESSAGES: Final[TypeAdapter[Message]] = TypeAdapter(Message)


@dataclass(frozen=True)
class Batch:
    """How videos are worked on: see `pipeline.process`. With `debug`, every failure shows its traceback.

    `workers` are for a video that is alone; several have theirs in `processes`, and share those for a card.
    """

    settings: Settings
    workers: Workers
    processes: VideoProcesses
    keep_load: bool
    review: bool
    debug: bool

    def run(self, jobs: list[Job]) -> list[Outcome]:
        """Work on them; outcomes are in the order of the jobs. A video that is alone is worked on in this process."""
        with progress_bars() as bars:
            batch = BatchBar(bars, len(jobs))
            if len(jobs) == 1:
                return [self._outcome(jobs[0], 0, bars, batch, partial(work, self.workers))]
            elsewhere = _Elsewhere(self.processes, threading.Event())
            with ThreadPoolExecutor(self.settings.streams) as pool:
                try:
                    pending = [
                        pool.submit(self._outcome, job, place, bars, batch, elsewhere.work)
                        for place, job in enumerate(jobs)
                    ]
                    return [outcome.result() for outcome in pending]
                except BaseException:  # Ctrl-C: nothing new begins, and what is in work ends
                    elsewhere.stopped.set()
                    pool.shutdown(cancel_futures=True)
                    raise

    def _outcome(
        self,
        job: Job,
        place: int,
        bars: Progress,
        batch: BatchBar,
        work: Callable[[Task, VideoBar], Made | NotMade],
    ) -> Outcome:
        bar, started = VideoBar(bars, job.video, batch), perf_counter()
        try:
            answer = work(
                Task(
                    video=job.video,
                    output=job.output,
                    settings=self.settings,
                    keep_load=self.keep_load,
                    review=self.review,
                    card=self.workers.card,
                    place=place,
                ),
                bar,
            )
        except (NativeCrashError, MachineError) as error:
            answer = NotMade.of(job.video, error)
        finally:
            bar.end()
        seconds = perf_counter() - started
        if isinstance(answer, Made):
            note(job.video, answer.report.scenes_summary)
            warn(job.video, answer.report.warnings)
            return Outcome(job, seconds, report=answer.report)
        failure = answer.error.unpacked()
        if answer.bug or self.debug:  # a bug keeps its traceback, and the other videos go on
            errors.print(answer.traceback, markup=False, highlight=False, soft_wrap=True)
        if not answer.bug:
            errors.print(f"dualface: {failure}", markup=False, highlight=False, soft_wrap=True)
        return Outcome(job, seconds, error=failure)


class _Stopped(BaseException):
    """The user wants no more; not an Exception, so that it is not taken for a failure."""


@dataclass(frozen=True)
class _Elsewhere:
    """Has processes work on videos, until `stopped` is set."""

    processes: VideoProcesses
    stopped: threading.Event

    def work(self, task: Task, progress: Callable[[str, int, int], None]) -> Made | NotMade:
        """Have a process work on a video. Raises NativeCrashError or MachineError if that ends it."""
        with self.processes.one() as process:
            process.send(task.model_dump_json())
            while (line := process.next_line(self._beat)) is not None:
                self._beat()  # which waiting calls only where nothing is said for a while
                message = _MESSAGES.validate_json(line)
                if isinstance(message, Made | NotMade):
                    return message
                progress(message.step, message.done, message.total)
            raise crash(str(task.video), *process.ending())

    def _beat(self) -> None:
        if self.stopped.is_set():
            raise _Stopped
