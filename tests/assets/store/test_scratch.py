"""What the steps of a run hand on to each other: nothing in it is ever executed."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from dualface_assets.assets.encoded_video import EncoderConfig, Order
from dualface_assets.runs.failures import explanation_of
from dualface_assets.store.scratch import ScratchStorage
from dualface_assets.store.video_store import VideoStore
from dualface_core.errors import SettingsError
from dualface_core.rendering.choice import EncoderChoice
from dualface_core.system.private_folders import PrivateFolderError
from tests.permissions import another_user_can, public_folder

ORDER = Order(EncoderChoice(nvenc=True, why=None, gpu="GPU-1", driver="550.1"), EncoderConfig(quality=30))


def hand_on(store: VideoStore, instance: dg.DagsterInstance, between: Callable[[Path], object]) -> Order | str:
    """A run of two steps of which the second reads what the first gives; what it reads, or why it fails.

    Args:
        between: called with the folder of the first step's notes before they are read.
    """
    read: list[Order] = []

    @dg.op
    def first() -> Order:
        return ORDER

    @dg.op(ins={"orders": dg.In(list[Order]), "after": dg.In(dg.Nothing)})
    def second(orders: list[Order]) -> None:
        read.extend(orders)

    @dg.op(ins={"after": dg.In(dg.Nothing)})
    def meanwhile(context: dg.OpExecutionContext) -> None:
        between(store.scratch_folder / context.run_id / "first")

    @dg.job(resource_defs={"io_manager": ScratchStorage(store=store)})
    def steps() -> None:
        given = first()
        second([given], after=meanwhile(after=given))

    run = steps.execute_in_process(instance=instance, raise_on_error=False)
    return read[0] if run.success else explanation_of(run.run_id, instance).sentence


def test_a_step_reads_what_the_step_before_has_handed_on(store: VideoStore) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert hand_on(store, instance, lambda _: None) == ORDER


@dataclass
class Payload:
    """An object whose pickle makes a file when it is read."""

    marker: Path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.marker,)


def test_a_crafted_file_among_the_notes_of_a_run_executes_nothing(store: VideoStore, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    pickle.loads(pickle.dumps(Payload(marker)))
    assert marker.exists()  # as it would be
    marker.unlink()

    def craft(notes: Path) -> None:
        for path in (*notes.iterdir(), notes / "result"):  # the name that Dagster's own IO manager reads
            path.write_bytes(pickle.dumps(Payload(marker)))

    with dg.DagsterInstance.ephemeral() as instance:
        assert "the notes of an earlier step are missing or damaged" in str(hand_on(store, instance, craft))
    assert not marker.exists()


@pytest.mark.parametrize("where", ["local", "remote"])
def test_another_user_can_put_nothing_among_the_notes_of_a_run(where: str) -> None:
    with public_folder() as folder:
        inbox = folder / "inbox"
        inbox.mkdir()
        inbox.chmod(0o777)
        root = str(folder / "store") if where == "local" else f"memory://{folder.name}"
        store = VideoStore(root=root, inbox=str(inbox), work=str(folder / "work"))
        notes = store.scratch("run") / "first"
        notes.mkdir()
        assert another_user_can((inbox / "a.mp4").touch)
        assert not another_user_can((notes / "result.json").touch)
        assert not another_user_can(lambda: list(store.scratch_folder.iterdir()))


def test_a_scratch_folder_that_others_may_write_to_is_refused(store: VideoStore) -> None:
    store.scratch_folder.mkdir(parents=True)
    store.scratch_folder.chmod(0o777)
    with pytest.raises(PrivateFolderError, match="others may write to it"):
        store.scratch("run")


def test_a_scratch_folder_of_another_user_is_refused() -> None:
    with public_folder() as folder:
        folder.chmod(0o777)
        store = VideoStore(root=str(folder))
        assert another_user_can(store.scratch_folder.mkdir)
        with pytest.raises(PrivateFolderError, match="belongs to user 65534"):
            store.scratch("run")


def test_work_for_a_remote_store_is_not_done_in_the_inbox(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    assert not VideoStore(root="memory://a", inbox=str(inbox)).folder.is_relative_to(inbox)
    assert VideoStore(root="memory://a").folder != VideoStore(root="memory://b").folder
    with pytest.raises(SettingsError, match="in the inbox, where others may write"):
        _ = VideoStore(root="memory://a", inbox=str(inbox), work=str(inbox / ".dualface")).folder
