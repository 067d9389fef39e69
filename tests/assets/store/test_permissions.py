"""What other users of the machine can do with a store."""

from __future__ import annotations

import fcntl
import stat
from datetime import UTC, datetime

import dagster as dg

from dualface_assets.review_index.index import rebuild_index
from dualface_assets.review_index.records import FailureRecord
from dualface_assets.store.video_store import VideoStore
from dualface_assets.uploads.intake import Intake
from tests.assets.conftest import publish
from tests.permissions import another_user_can, public_folder


def test_a_store_is_its_users_to_write_and_its_groups_to_read(intake: Intake) -> None:
    with public_folder() as folder:
        store = VideoStore(root=str(folder / "store"), inbox=str(folder / "inbox"))
        store.inbox_folder.mkdir()
        (store.inbox_folder / "a.mp4").write_bytes(b"a video")
        (upload,) = intake.tick(store, seconds=600).taken
        publish(store, upload.key)
        found = [store.folder, *store.folder.rglob("*")]
        assert {stat.S_IMODE(path.stat().st_mode) for path in found if store.claims_folder not in path.parents} <= {
            *(0o750, 0o640, 0o700),
            stat.S_IMODE((store.folder / "locks" / "uploads").stat().st_mode),  # in a folder that nobody else may enter
        }
        assert stat.S_IMODE(store.video_path(upload.key).stat().st_mode) == 0o640
        assert not another_user_can(store.video_path(upload.key).read_bytes)


def test_another_user_who_may_read_the_store_cannot_hold_up_uploads_and_runs(
    intake: Intake, instance: dg.DagsterInstance
) -> None:
    with public_folder() as folder:
        store = VideoStore(root=str(folder))
        intake.tick(store)
        with store.no_run_begins(instance):
            pass
        FailureRecord(
            key="talk-0123456789", name="talk.mp4", failed_at=datetime.now(UTC), failure="machine", reason="No.",
            action="Another.", run="1", tried_again=False,
        ).write(store.page_folder("talk-0123456789"))  # fmt: skip
        rebuild_index(store)
        for path in folder.rglob("*"):
            if path.is_file():

                def lock(path=path) -> None:
                    with path.open() as file:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

                assert not another_user_can(lock), path
