"""What Dagster costs: from a file in the inbox to its run, per video, and per tick of the sensor on a full inbox.

It runs the service as `make up` does, with the settings of dagster_home/dagster.yaml, in a folder of its own. Videos
are dropped one after the other, at random moments, each when the one before is done.

    python -m benchmarks.orchestration --videos 10 --files 10000
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

import dagster as dg
import psutil

from dualface_assets.store.video_store import VideoStore
from dualface_assets.uploads.claims import acknowledge, pending
from dualface_assets.uploads.intake import Intake
from dualface_assets.uploads.sensor import upload_sensor
from dualface_core.sample import make_sample
from dualface_core.settings import Settings
from tests.end_to_end.running_instance import Host, unlike_any_other
from tests.end_to_end.service import Service, service
from tests.nvenc_emulator.driver import Card, EmulatedDriver

PROGRAMS = ("daemon", "code server", "web page")


def measured(*, videos: int, files: int) -> list[tuple[str, str]]:
    """Names and values, for people."""
    with tempfile.TemporaryDirectory(prefix="dualface-") as name:
        folder = Path(name)
        clip = folder / "clip.mp4"
        size = {"width": 320, "height": 180, "fps": 15}
        make_sample(clip, scene="talk", seconds=2, seed=0, cache=Settings().cache, **size)
        host = Host("host", folder / "host", EmulatedDriver(folder / "card", card=Card.NO_DRIVER), {})
        host.folder.mkdir()
        with service(folder / "service", host, {}) as started:
            started.up()
            time.sleep(15)  # what is done once, at a start
            return [*_videos(started, clip, videos), *_ticks(started, files), *sensor_alone(folder / "store", files)]


def _videos(started: Service, clip: Path, count: int) -> list[tuple[str, str]]:
    chance = random.Random(0)
    waits, shares = [], []
    before = _processor_seconds(started)
    for number in range(count):
        time.sleep(chance.uniform(0, 6))
        dropped = time.time()
        started.drop(unlike_any_other(clip), f"video-{number}.mp4")
        made = partial(_made, started, number + 1)
        started.wait_for(made, "a video")
        record = started.instance.get_run_records(limit=1)[0]
        assert record.start_time is not None
        assert record.end_time is not None
        waits.append(record.start_time - dropped)
        shares.append(record.end_time - _asked_for(record, started) - _in_steps(record, started))
    spent = _processor_seconds(started) - before
    return [
        ("from the file in the inbox to the start of its run, median", f"{median(waits):.1f} s"),
        ("the same, longest", f"{max(waits):.1f} s"),
        ("from asking for a run to its end, less the steps, median", f"{median(shares):.1f} s"),
        ("the same, longest", f"{max(shares):.1f} s"),
        ("processor time of daemon, code server and web page, per video", f"{spent / count:.1f} s"),
    ]


def _made(started: Service, count: int) -> bool:
    """Whether so many results are there, and nothing is at work."""
    return len(started.host.results()) >= count and started.at_rest()


def _asked_for(record: dg.RunRecord, started: Service) -> float:
    """When the daemon noted the run."""
    first, *_ = started.instance.all_logs(record.dagster_run.run_id)
    return first.timestamp


def _in_steps(record: dg.RunRecord, started: Service) -> float:
    """Seconds spent in our steps."""
    steps = started.instance.get_run_step_stats(record.dagster_run.run_id)
    return sum(step.end_time - step.start_time for step in steps if step.start_time and step.end_time)


def _processor_seconds(started: Service) -> float:
    times = [process.cpu_times() for name in PROGRAMS for process in started.processes(name)]
    return sum(spent.user + spent.system for spent in times)


def _ticks(started: Service, count: int) -> list[tuple[str, str]]:
    """Ticks while so many files lie in the inbox. They are no videos, so that runs of them end at once."""
    inbox = started.host.store.inbox_folder
    for number in range(count):
        (inbox / f"file-{number:05}.mp4").write_bytes(f"file {number}".encode())
    begun = time.time()
    time.sleep(60)
    (state,) = [state for state in started.instance.all_instigator_state() if state.instigator_name == "uploads"]
    found = started.instance.get_ticks(state.instigator_origin_id, state.selector_id, after=begun)
    durations = [tick.end_timestamp - tick.timestamp for tick in found if tick.end_timestamp]
    left = sum(1 for _ in inbox.iterdir())
    return [
        (f"ticks of the sensor in a minute with {left:,} to {count:,} files in the inbox", str(len(durations))),
        ("their length, median", f"{median(durations):.2f} s"),
        ("the longest", f"{max(durations):.2f} s"),
    ]


def sensor_alone(folder: Path, count: int) -> list[tuple[str, str]]:
    """What the sensor itself does in a tick, without the daemon that notes the runs it asks for."""
    store = VideoStore(root=str(folder))
    store.inbox_folder.mkdir(parents=True)
    for number in range(count):
        (store.inbox_folder / f"file-{number:05}.mp4").write_bytes(f"file {number}".encode())
    time.sleep(3)  # until nobody can be writing them any more
    sensor, durations = upload_sensor(Intake()), []
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(10):
            context = dg.build_sensor_context(instance, resources={"store": store})
            started = time.perf_counter()
            sensor(context)
            durations.append(time.perf_counter() - started)
            for upload in pending(store)[:4]:
                acknowledge(store, upload)
    return [
        (f"the sensor's own part of a tick with {count:,} files in the inbox, median", f"{median(durations):.2f} s"),
        ("the longest", f"{max(durations):.2f} s"),
    ]


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=10)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--sensor-alone", action="store_true", help="only the sensor's own part of a tick")
    arguments = parser.parse_args()
    if arguments.sensor_alone:
        with tempfile.TemporaryDirectory(prefix="dualface-") as folder:
            print(*sensor_alone(Path(folder) / "store", arguments.files), sep="\n")
        return
    print(f"{psutil.cpu_count()} cores\n\n| what | |\n|---|---|")
    for name, value in measured(videos=arguments.videos, files=arguments.files):
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()
