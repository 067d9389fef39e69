from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import psutil
import pytest

from dualface_core.gpu.monitor import LoadLog, LoadMonitor
from tests.core.gpu.load import GPU_COLUMNS, long_log


def watched(enough: Callable[[LoadLog], bool], *, interval: float = 0.05, most_rows: int = 36_000) -> LoadLog:
    with LoadMonitor(None, interval=interval, most_rows=most_rows) as monitor:
        while not enough(monitor.log()):
            time.sleep(0.01)
    return monitor.log()


def at_once(_: LoadLog) -> bool:
    return True


def test_the_host_is_sampled_where_there_is_no_gpu():
    log = watched(lambda log: log.table.num_rows >= 3)
    assert log.table.schema.equals(LoadLog.SCHEMA)
    times = log.table.column("time").to_numpy()
    assert (np.diff(times) > 0).all()
    for name in GPU_COLUMNS:
        assert log.table.column(name).null_count == log.table.num_rows
    own = psutil.Process().memory_full_info().pss
    assert own / 2 < log.table.column("job_memory").to_numpy().min() < 8 * own
    assert log.metadata.pid == os.getpid()


def test_a_job_shorter_than_the_interval_has_a_sample():
    assert watched(at_once, interval=60.0).table.num_rows == 1


def test_sampling_takes_little_of_a_core_however_often_it_is_asked_for():
    with LoadMonitor(None, interval=0.0):
        begun, used = time.monotonic(), time.process_time()
        time.sleep(1.0)
        assert time.process_time() - used < (time.monotonic() - begun) / 3


def test_work_of_a_child_process_counts_as_the_jobs():
    before = 1 + len(psutil.Process().children(recursive=True))
    with LoadMonitor(None, interval=0.1) as monitor:
        child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        while monitor.log().table.column("job_cpu_percent").to_numpy().max(initial=0) < 20:
            time.sleep(0.01)
        child.kill()
        child.wait()
    assert monitor.log().table.column("job_processes").to_numpy().max() == before + 1


def test_a_failing_job_is_sampled_to_its_end_and_fails():
    monitor = LoadMonitor(None, interval=60.0)
    with pytest.raises(ZeroDivisionError), monitor:
        _ = 1 / 0
    assert monitor.log().table.num_rows == 1


def test_the_number_of_rows_is_bounded_and_they_still_span_the_whole_job():
    seen: set[float] = set()

    def ten_seen(log: LoadLog) -> bool:
        seen.update(log.table.column("time").to_pylist())
        return len(seen) >= 10

    times = watched(ten_seen, interval=0.01, most_rows=4).table.column("time").to_pylist()
    assert 2 <= len(times) <= 4
    assert times[0] == min(seen)
    assert times[-1] >= max(seen)


def test_one_sample_is_enough_for_a_summary():
    log = watched(at_once, interval=60.0)
    summary = log.summary()
    assert summary.job_memory_peak > 0
    assert summary.gpu_percent is None
    assert summary.encoder_sessions_peak is None


def test_the_summary_gives_means_and_peaks():
    log = long_log(1000, gpu="a card")
    summary = log.summary()
    assert summary.seconds == 999
    assert summary.gpu_percent == pytest.approx(log.table.column("gpu_percent").to_numpy().mean())
    assert summary.job_memory_peak == log.table.column("job_memory").to_numpy().max()


def test_the_gpus_columns_are_filled_from_nvml(emulated_driver):
    driver = emulated_driver()
    program = """
import json, time
from dualface_core.gpu.nvml import find_gpus
from dualface_core.gpu.monitor import LoadMonitor
with LoadMonitor(find_gpus().gpus[0], interval=0.05) as monitor:
    time.sleep(0.3)
log = monitor.log()
print(json.dumps({"rows": log.table.num_rows, "summary": log.summary().model_dump(), "gpu": log.metadata.gpu}))
"""
    with driver.outside_sessions(1):
        ended = driver.python("-c", program)
    found = json.loads(ended.stdout)
    assert found["rows"] >= 1
    assert found["gpu"] == "Emulated NVENC card"
    assert found["summary"]["encoder_sessions_peak"] == 1
    assert found["summary"]["encoder_percent"] == 50
    assert found["summary"]["gpu_memory_peak"] == (512 + 128) << 20
