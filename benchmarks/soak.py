"""`make soak`: the instance under load, under fire and under strange names, at length. Writes docs/soak.md.

The scenarios are those of tests/end_to_end/test_service.py and tests/assets/test_hostile_names.py, which do the same
with fewer videos. Anything that does not hold ends this program with an assertion. It wants the machine for
itself, for about half an hour; NVENC is the emulated driver's, since its slots are to be seen.

    python -m benchmarks.soak --seed 7
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import psutil

from benchmarks import orchestration
from dualface_core.media.probe import probe
from dualface_core.rendering.spans import rendering_spans
from dualface_core.sample import make_sample
from dualface_core.settings import Settings
from dualface_core.system.kept_folders import kept_folder
from dualface_core.system.machine_cores import machine_cores
from tests.end_to_end.crashes import kill_at_random
from tests.end_to_end.crowds import upload_many
from tests.end_to_end.hostile import KEYS, NAMES, type_in
from tests.end_to_end.running_instance import REPOSITORY, Host, unlike_any_other
from tests.end_to_end.service import Service, service
from tests.nvenc_emulator.driver import EmulatedDriver

Rows = list[tuple[str, str]]


@contextmanager
def fresh_service() -> Iterator[Service]:
    """A service with the instance's own settings, on a machine with an emulated card."""
    with tempfile.TemporaryDirectory(prefix="dualface-") as name:
        folder = Path(name)
        host = Host("host", folder / "host", EmulatedDriver(folder / "card", pace_ms=5), {})
        host.folder.mkdir()
        with service(folder / "service", host, {}) as started:
            try:
                yield started
            except BaseException:
                shutil.copy(started.output, "soak-failed.log")
                raise


def nothing_is_left(started: Service) -> None:
    """Wait until there is no orphan and no slot is taken; nobody helps."""
    started.wait_for(lambda: not started.orphans(), "what was left behind to be removed")
    started.wait_for(lambda: started.slots_taken() == 0, "the pool's slots to be free")
    with started.host.sessions().acquire("one"), started.host.sessions().acquire("another"):
        assert started.host.driver.open_now() == {}


def many(clip: Path, _: int) -> Rows:
    """100 uploads in one go."""
    with fresh_service() as started:
        crowd = upload_many(started, clip, uploads=100)
        assert len(started.verified()) == crowd.runs == 100
        assert {run.status for run in started.runs()} == {dg.DagsterRunStatus.SUCCESS}
        assert crowd.most_at_once <= 4
        nothing_is_left(started)
        assert started.host.driver.most_open_at_once() <= 2
        return [
            ("100 uploads in one go", "100 verified results, 100 runs: none lost, none twice"),
            ("runs at once, at most (allowed: 4)", str(crowd.most_at_once)),
            ("NVENC sessions at once, at most (allowed: 2)", str(started.host.driver.most_open_at_once())),
            ("from the first upload to the last result", f"{crowd.seconds:.0f} s"),
        ]


def killed(clip: Path, seed: int) -> Rows:
    """20 kills during 10 uploads."""
    with fresh_service() as started:
        done = kill_at_random(started, clip, uploads=10, kills=20, seed=seed)
        assert len(started.verified()) == 10
        assert {run.status for run in started.last_runs().values()} == {dg.DagsterRunStatus.SUCCESS}
        nothing_is_left(started)
        kills = ", ".join(f"{what} {times}" for what, times in sorted(done.kills.items()))
        return [
            (f"{done.kills.total()} times `kill -9` at random moments (seed {seed}) of 10 uploads", kills),
            ("what came of it", f"10 verified results in {done.runs} runs; no slot taken, no file left"),
            ("`make up` again, as everything was killed", f"{done.starts} times"),
            ("from the first upload to the last result", f"{done.seconds:.0f} s"),
        ]


def killed_renders(_: Path, seed: int) -> Rows:
    """20 kills of `dualface render`, each of which the next one follows to its end."""
    return _killed_commands("render", seed)


def killed_runs(_: Path, seed: int) -> Rows:
    """20 kills of `dualface run` while it renders, looks at what is rendered, or verifies; likewise."""
    return _killed_commands("run", seed)


def _killed_commands(name: str, seed: int) -> Rows:
    chance, cores = random.Random(seed), machine_cores()
    with tempfile.TemporaryDirectory(prefix="dualface-") as folder:
        clip, output = Path(folder) / "clip.mp4", Path(folder) / "clip.split.mp4"
        make_sample(clip, scene="cuts", seconds=40, width=320, height=180, fps=10, seed=0, cache=Settings().cache)
        spans = len(rendering_spans(probe(clip)))  # one for each shot, as they begin with key frames
        dualface = [sys.executable, "-m", "dualface_core.cli"]
        command = [*dualface, name, str(clip), "-o", str(output), "--encoder", "software", "--json"]
        if name == "render":
            for step in ("track", "tiles"):
                subprocess.run([*dualface, step, str(clip)], check=True, stdout=subprocess.DEVNULL)

        def report() -> dict[str, Any]:
            found = json.loads(subprocess.check_output(command))
            return found[0]["report"] if name == "run" else found

        seconds = report()["wall_seconds"]
        uninterrupted, kills, lost, goes_on = output.read_bytes(), 0, [], []
        while kills < 20:
            output.unlink(missing_ok=True)
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as process:
                begun = ["manifest.json", *(f"span-{number:05}.json" for number in range(chance.randrange(spans)))]
                while process.poll() is None and not all((kept_folder(output) / file).exists() for file in begun):
                    time.sleep(0.01)
                time.sleep(chance.uniform(0, seconds / spans))
                if process.poll() is None and chance.random() < 0.5:
                    process.kill()
                elif process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
            if process.returncode == 0:
                continue
            kills += 1
            finished = len(list(kept_folder(output).glob("span-*.json")))
            lost.append(len(list(kept_folder(output).glob("*.packets"))) - finished)
            assert lost[-1] <= cores, f"{lost[-1]} spans were lost on {cores} cores"
            how = report()["backend"]
            goes_on.append(int(found[1]) if (found := re.search(r"(\d+) of them from a killed run", how)) else 0)
            assert goes_on[-1] >= finished, f"{finished} spans were finished: {how}"
            assert output.read_bytes() == uninterrupted, f"another result after kill {kills}"
            assert not kept_folder(output).exists()
    return [
        (
            f"{kills} times `kill -9` at random moments (seed {seed}) of `dualface {name}`, of one process or all",
            f"{kills} times the same file, byte for byte, as without a kill",
        ),
        (
            f"spans that were begun and lost (of {spans}, on {cores} cores); finished ones, all of which were used",
            f"{min(lost)} to {max(lost)}; {min(goes_on)} to {max(goes_on)}",
        ),
    ]


def strange_names(clip: Path, _: int) -> Rows:
    """Hostile names as uploads, every fourth of them a video, and as keys that are typed in on the web page."""
    hidden = [name for name in NAMES if name.startswith((b".", b"~"))]
    taken = [name for name in NAMES if name not in hidden]
    videos = len(taken[::4])
    with fresh_service() as started:
        started.up()
        for number, name in enumerate(taken + hidden):
            content = unlike_any_other(clip) if number % 4 == 0 else f"no video, {number}".encode()
            started.drop(content, os.fsdecode(name))
        started.wait_for(
            lambda: len(started.runs()) >= len(taken) and all(run.is_finished for run in started.runs()),
            "all uploads to be processed or refused",
            seconds=900,
        )
        inbox = started.host.store.inbox_folder
        assert sorted(os.fsencode(path.name) for path in inbox.iterdir()) == sorted(hidden)
        assert len(started.verified()) == videos
        assert len(started.runs()) == len(taken)
        typed = type_in(started, KEYS)
        assert len(started.host.results()) == videos
        raw = started.host.store.raw_folder  # where an upload of that name has it in a folder of its own
        named = [path for path in started.folder.parent.rglob("*") if path.name in {"x", "passwd"}]
        assert all(path.parent.parent == raw for path in named), named
        return [
            (
                f"{len(NAMES)} hostile names as uploads, every fourth a video",
                f"{videos} verified results, {len(taken) - videos} refused; {len(hidden)} hidden files left alone",
            ),
            (
                f"{len(KEYS)} hostile keys of partitions, typed in on the web page",
                f"{typed.failed} runs failed as `unsafe-key`, none of them twice; {typed.refused} refused by Dagster",
            ),
        ]


def costs(_: Path, __: int) -> Rows:
    """What Dagster costs."""
    return orchestration.measured(videos=10, files=10_000)


PARTS: dict[str, Callable[[Path, int], Rows]] = {
    "many": many,
    "killed": killed,
    "renders": killed_renders,
    "runs": killed_runs,
    "names": strange_names,
    "costs": costs,
}


def main() -> None:
    """Run all parts, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", choices=PARTS, action="append", help="parts; with it nothing is written")
    arguments = parser.parse_args()
    rows: Rows = []
    with tempfile.TemporaryDirectory(prefix="dualface-") as name:
        clip = Path(name) / "clip.mp4"
        make_sample(clip, scene="talk", seconds=2, width=320, height=180, fps=15, seed=0, cache=Settings().cache)
        for part in arguments.only or PARTS:
            rows += PARTS[part](clip, arguments.seed)
            print("\n".join(f"{what}: {value}" for what, value in rows), flush=True)
    if not arguments.only:
        (REPOSITORY / "docs" / "soak.md").write_text(_page(rows, arguments.seed))


def _page(rows: Rows, seed: int) -> str:
    machine = f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / (1 << 30):.0f} GiB, {platform.system()}"
    versions = f"Python {platform.python_version()}, Dagster {dg.__version__}"
    command = "make soak" if seed == 7 else f"python -m benchmarks.soak --seed {seed}"
    table = "\n".join(f"| {what} | {value} |" for what, value in rows)
    return (
        "# Soak\n\n"
        "The instance under load, under fire and under strange names: `make up` with the settings of\n"
        "`dagster_home/dagster.yaml`, clips of 2 s at 320x180, and an emulated NVENC card. Written by "
        f"`{command}`,\n{datetime.now(UTC):%Y-%m-%d}; {machine}, {versions}.\n\n"
        f"| what | result |\n|---|---|\n{table}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
