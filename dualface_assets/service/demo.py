"""`python -m dualface_assets.service.demo [VIDEO]`: the job `process_video` on one video, here and now.

Belongs here: what `make demo` shows. It is the job that the web page and the sensor start, on the same instance and
store, so its run, its assets and their images are in the web page afterwards.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import dagster as dg
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dualface_assets.runs.dagster_internals import keep_databases_open, read_migrations_once
from dualface_assets.runs.tags import RUN_KEY
from dualface_assets.service.instance_home import prepared_home
from dualface_assets.settings import ServiceSettings
from dualface_assets.store.partitions import videos
from dualface_assets.store.video_store import VideoStore, video_store
from dualface_assets.uploads.claims import acknowledge
from dualface_assets.uploads.intake import add
from dualface_core.engine.preload import OF_STEPS, begin_to_load
from dualface_core.errors import DualfaceError
from dualface_core.settings import Settings
from dualface_core.system.garbage import collect_rarely
from dualface_core.system.machine_cores import machine_cores
from dualface_core.system.threads import limit_library_threads

_SAMPLE_SECONDS: Final = 10


def main() -> int:
    """Process the video that is named, or a sample. The exit status is 0 if there is a verified result."""
    collect_rarely()
    limit_library_threads()
    if machine_cores() > 1:
        begin_to_load(OF_STEPS)  # while Dagster loads the definitions
    read_migrations_once()
    keep_databases_open()
    try:
        store = video_store(ServiceSettings.load())
        prepared_home()
        source = Path(sys.argv[1]) if len(sys.argv) > 1 else _sample(Settings.load().cache)
        with dg.DagsterInstance.get() as instance:
            return 0 if process(source, store, instance, Console()) else 1
    except DualfaceError as error:
        print(error, file=sys.stderr)
        return 2


def process(source: Path, store: VideoStore, instance: dg.DagsterInstance, console: Console) -> bool:
    """Put a video into the store, run the job on it, and show what came of it. True if the result was published."""
    from dualface_assets.definitions import build_defs  # not before it is known that the settings are allowed

    store.mark(instance)
    upload = add(store, source)
    instance.add_dynamic_partitions(str(videos.name), [upload.key])
    run = (
        build_defs(resource_overrides={"store": store})
        .resolve_job_def("process_video")
        .execute_in_process(
            instance=instance,
            partition_key=upload.key,
            tags={RUN_KEY: upload.claim},  # so that the sensor knows this upload's run
            raise_on_error=False,
        )
    )
    acknowledge(store, upload)
    console.print(_summary(run))
    if run.success:
        page = store.page_folder(upload.key) / "index.html"
        for what, path in (("Verified video", store.result_path(upload.key)), ("Its review page", page)):
            console.print(f"{what}: {store.files.address(path)}", soft_wrap=True, markup=False)
    return run.success


def _summary(run: dg.ExecuteInProcessResult) -> Table:
    """Every number and sentence that the run has left, asset by asset; or why it failed."""
    table = Table("", "", "", title="process_video")
    for event in run.get_asset_materialization_events():
        asset = event.materialization.asset_key.to_user_string()
        for name, value in event.materialization.metadata.items():
            if isinstance(value.value, int | float):
                shown = ("no", "yes")[value.value] if isinstance(value.value, bool) else f"{value.value:,.6g}"
                table.add_row(asset, name, shown)
                asset = ""
        table.add_section()
    for check in run.get_asset_check_evaluations():
        table.add_row(
            "check", check.check_name, "passed" if check.passed else f"failed: {escape(str(check.description))}"
        )
    for event in run.filter_events(lambda event: event.is_step_failure):
        failure = event.step_failure_data
        said = failure.user_failure_data.description if failure.user_failure_data else None
        table.add_row("failed", str(event.step_key), escape(said or failure.error_display_string.partition("\n")[0]))
    return table


def _sample(cache: Path) -> Path:
    from dualface_core.sample import make_sample

    path = cache / f"demo-{_SAMPLE_SECONDS}s.mp4"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        make_sample(path, scene="talk", seconds=_SAMPLE_SECONDS, width=1920, height=1080, fps=30, seed=0, cache=cache)
    return path


if __name__ == "__main__":
    sys.exit(main())
