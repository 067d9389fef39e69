"""LoadMonitor: how busy the host and the GPU were while a job ran, sampled about once a second.

Belongs here: the sampling thread and the table that it fills. The one idea: measuring must not disturb what
is measured, so it happens in a thread of its own, and its memory is bounded however long the job takes.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from dataclasses import astuple
from datetime import UTC, datetime
from typing import Final, Self

import numpy as np
import psutil
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from dualface_core.gpu.nvml import Gpu, GpuLoad, load_reader
from dualface_core.tables.declared import DeclaredTable, TableMetadata, schema

_LOGGER: Final = logging.getLogger(__name__)

_DISK: Final = dict.fromkeys(("disk_read", "disk_written"), pa.float64())
_GPU: Final = {
    **dict.fromkeys(("gpu_percent", "encoder_percent", "decoder_percent"), pa.float32()),
    "gpu_memory_used": pa.int64(),
    "encoder_sessions": pa.int32(),
    **dict.fromkeys(("temperature", "power"), pa.float32()),
}
"""The columns that may be null: where there are no counters, or no GPU."""

_SHARE: Final = 0.02
"""Of one core, what sampling takes at most: the memory of many processes takes the kernel tens of milliseconds each to
count, and makes them wait meanwhile. Where it would take more, samples are further apart."""


class LoadMetadata(TableMetadata):
    """What the rows alone don't say.

    Attributes:
        started: when `time` was 0.
        pid: the process that was sampled, with its descendants.
        cores: CPU cores of the host.
        memory: bytes of memory of the host.
        gpu: the card's name; None without one.
        gpu_memory: bytes of memory of the card; None without one.
        driver: version of the NVIDIA driver; None without one.
    """

    started: datetime
    pid: int
    cores: int
    memory: int
    gpu: str | None = None
    gpu_memory: int | None = None
    driver: str | None = None


class LoadSummary(BaseModel):
    """A job's load in a few figures, for reports. GPU figures are None without a GPU.

    Attributes:
        seconds: from the start to the last sample.
        job_cpu_percent: mean; 100 per busy core.
        job_memory_peak: bytes.
        gpu_percent, encoder_percent, decoder_percent: means.
        gpu_memory_peak: bytes.
        encoder_sessions_peak: most NVENC sessions that a sample saw open.
    """

    model_config = ConfigDict(frozen=True)

    seconds: float
    job_cpu_percent: float
    job_memory_peak: int
    gpu_percent: float | None
    encoder_percent: float | None
    decoder_percent: float | None
    gpu_memory_peak: int | None
    encoder_sessions_peak: int | None


class LoadLog(DeclaredTable[LoadMetadata]):
    """What was sampled: one row per sample.

    `time` is seconds since the start; `cpu_percent` is of all cores (0 to 100), `load_average` the host's of one
    minute, `memory_used` bytes of the host. The job is this process and its descendants: `job_cpu_percent` is 100 per
    busy core, `job_memory` bytes of memory (what several processes share counts once). `disk_read` and
    `disk_written` are bytes a second of the whole host. The rest is the GPU's, with units as in `GpuLoad`, null without
    a GPU.
    """

    FORMAT = "dualface.load.1"
    METADATA = LoadMetadata
    SCHEMA = schema(
        {
            "time": pa.float64(),
            **dict.fromkeys(("cpu_percent", "load_average"), pa.float32()),
            "memory_used": pa.int64(),
            "job_cpu_percent": pa.float32(),
            "job_memory": pa.int64(),
            "job_processes": pa.int32(),
            **_DISK,
            **_GPU,
        },
        nullable={*_DISK, *_GPU},
    )

    def summary(self) -> LoadSummary:
        """The job's load in a few figures."""
        columns = {name: self._known(name) for name in self.SCHEMA.names}
        means = {name: float(values.mean()) if values.size else None for name, values in columns.items()}
        peaks = {name: int(values.max()) if values.size else None for name, values in columns.items()}
        return LoadSummary(
            seconds=float(columns["time"].max(initial=0)),
            job_cpu_percent=means["job_cpu_percent"] or 0.0,
            job_memory_peak=peaks["job_memory"] or 0,
            gpu_percent=means["gpu_percent"],
            encoder_percent=means["encoder_percent"],
            decoder_percent=means["decoder_percent"],
            gpu_memory_peak=peaks["gpu_memory_used"],
            encoder_sessions_peak=peaks["encoder_sessions"],
        )

    def _known(self, name: str) -> NDArray[np.float64]:
        values: NDArray[np.float64] = self.table.column(name).drop_null().to_numpy().astype(np.float64)
        return values


class LoadMonitor:
    """Samples host and GPU in a thread while its block runs.

        with LoadMonitor(gpu) as monitor:
            ...
        monitor.log().write(path)

    Args:
        gpu: the card to sample; without one the GPU's columns are null.
        interval: seconds between samples, at the least (see `_SHARE`).
        most_rows: beyond so many rows (ten hours of seconds) every second one is dropped and the interval doubled.
    """

    def __init__(self, gpu: Gpu | None, *, interval: float = 1.0, most_rows: int = 36_000) -> None:
        self._gpu = gpu
        self._interval = interval
        self._most_rows = most_rows
        self._rows: list[tuple[float | int | None, ...]] = []
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load-monitor", daemon=True)
        self._started = 0.0
        self._metadata = LoadMetadata(
            started=datetime.now(UTC),
            pid=os.getpid(),
            cores=psutil.cpu_count() or 1,
            memory=psutil.virtual_memory().total,
            gpu=gpu.name if gpu else None,
            gpu_memory=gpu.memory_total if gpu else None,
            driver=gpu.driver if gpu else None,
        )

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        self._metadata = self._metadata.model_copy(update={"started": datetime.now(UTC)})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def log(self) -> LoadLog:
        """What has been sampled so far; complete after the block, and then at least one row."""
        with self._lock:
            rows = list(self._rows)
        columns = zip(*rows, strict=True) if rows else ([] for _ in LoadLog.SCHEMA)
        return LoadLog(pa.table([*columns], schema=LoadLog.SCHEMA), self._metadata)

    def _run(self) -> None:
        try:
            with load_reader(self._gpu) as gpu_load:
                host = _HostReader()
                latest, due = -math.inf, self._started + self._interval
                while not self._end.wait(max(0.0, due - time.monotonic())):
                    begun = time.thread_time()
                    latest = self._sample(host, gpu_load())
                    due = max(due + self._interval, latest + (time.thread_time() - begun) / _SHARE)
                if latest == -math.inf:  # looking at many processes takes a moment, for which nobody waits in the end
                    self._sample(host, gpu_load())
        except Exception:
            # A job must not fail because it could not be watched.
            _LOGGER.exception("the load is no longer sampled")

    def _sample(self, host: _HostReader, gpu: GpuLoad) -> float:
        now = time.monotonic()
        row = (now - self._started, *host.read(), *astuple(gpu))
        with self._lock:
            self._rows.append(row)
            if len(self._rows) > self._most_rows:
                del self._rows[1::2]
                self._interval *= 2
        return now


class _HostReader:
    """Reads the host's columns of a LoadLog, as differences since the last reading where they are rates."""

    def __init__(self) -> None:
        self._tree: dict[psutil.Process, psutil.Process] = {}
        self._disk: tuple[float, int, int] | None = None
        self.read()

    def read(self) -> tuple[float | int | None, ...]:
        busy, memory, processes = self._job()
        return (
            psutil.cpu_percent(),
            psutil.getloadavg()[0],
            psutil.virtual_memory().used,
            busy,
            memory,
            processes,
            *self._disk_rates(),
        )

    def _job(self) -> tuple[float, int, int]:
        this = psutil.Process()
        # Equal objects of the last reading, since psutil keeps in them what CPU use is counted from.
        self._tree = {found: self._tree.get(found, found) for found in [this, *this.children(recursive=True)]}
        busy, memory, processes = 0.0, 0, 0
        for process in self._tree.values():
            try:
                with process.oneshot():
                    memory += process.memory_full_info().pss  # worker processes are forked, so most of it is shared
                    busy += process.cpu_percent()
            except psutil.Error:  # it has ended, or is another user's
                continue
            processes += 1
        return busy, memory, processes

    def _disk_rates(self) -> tuple[float | None, float | None]:
        counters = psutil.disk_io_counters()
        if counters is None:
            return None, None
        now = (time.monotonic(), counters.read_bytes, counters.write_bytes)
        before, self._disk = self._disk, now
        if before is None or now[0] <= before[0]:
            return None, None
        read, written = ((new - old) / (now[0] - before[0]) for new, old in zip(now[1:], before[1:], strict=True))
        return read, written
