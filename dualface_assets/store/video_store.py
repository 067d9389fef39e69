"""The resource that knows where everything of a video lies, so that a test or a deployment swaps it in one place.

Belongs here: what assets, IO managers and sensors share. How an upload gets into the store is in `uploads`; how tables
are read and written is in `tables`. See https://docs.dagster.io/guides/build/external-resources.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import quote

import dagster as dg
import platformdirs
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, TypeAdapter, ValidationError

from dualface_assets.runs.instance_locks import InstanceLock, locked
from dualface_assets.settings import ServiceSettings, local_folder
from dualface_assets.store.bucket import Bucket
from dualface_assets.store.files import LocalFiles, StoreFiles, files_below, make_folder
from dualface_assets.store.partitions import check_key, is_key
from dualface_assets.store.remote import RemoteFiles, without_password
from dualface_core.errors import DualfaceError, MachineError, MissingInputError, OutputError, SettingsError
from dualface_core.pipeline import probe, report_path
from dualface_core.system.marked_folders import mark, why_missing
from dualface_core.system.private_folders import make_private_folder

if TYPE_CHECKING:  # PyAV is loaded by the step that needs it
    from dualface_core.media.probe import VideoInfo
    from dualface_core.rendering.report import EncodeReport

_OWN_FOLDERS: Final = frozenset(
    {"claims", "raw_video", "face_tracks", "composed_tiles", "encoded_video", "review", "scratch", "trash", "locks"}
)
ROOM: Final = 256 << 20
"""Bytes that a run may need beside twice the size of its video: the result, and a copy of one of them."""
SPANS: Final = "spans-"
"""How the folder with the finished spans of a video begins; its key follows."""

_PROMISE: Final = ".room"
"""A file in a run's folder: how many bytes it may take in all."""

_RESULT: Final = Path("published", "result.json")
"""In a run's folder: what the result is that it has published."""

_UPLOAD_AGAIN: Final = "Put the video into the inbox again."


class NoRoomError(OutputError):
    """A run is not begun, since it would fill the disk."""


# One component of a path, and never `..`: paths are built from notes, and others may write notes into a remote store.
_Component = Annotated[str, Field(pattern=r"^[^./\x00][^/\x00]*$")]


class Upload(BaseModel):
    """One video as it was taken into the store. Stored as `video.json` beside it.

    Attributes:
        key: the partition.
        name: what the file was called, for people; bytes that are no text are shown as �.
        file: what it is called in the store.
        sha256: of its content, in hex.
        size_bytes: its size.
        claim: identifies this act of uploading; the same video uploaded again is another claim.
        claimed_at: ISO 8601, UTC.
        reprocess: whether the result is to be made again if there is one already.
    """

    model_config = ConfigDict(frozen=True)

    key: Annotated[str, AfterValidator(check_key)]
    name: str
    file: _Component
    sha256: str
    size_bytes: int
    claim: _Component
    claimed_at: str
    reprocess: bool = False


class _Checksum(BaseModel):
    """What an EncodeReport says of the file that it is about."""

    size_bytes: int
    sha256: str


class VideoStore(dg.ConfigurableResource):  # type: ignore[type-arg]  # Dagster's own examples give none
    """A place for everything that is known about each video.

        inbox/...                                     uploads, until they are taken
        claims/CLAIM/                                 uploads that are being taken, or whose run does not exist yet
        raw_video/KEY/{FILE, video.json, probe.json}  the video as it came
        face_tracks/KEY.parquet, composed_tiles/KEY.parquet
        encoded_video/KEY/SLUG.split.mp4              the result, verified, with its report beside it
        review/index.html, review/KEY/index.html      pages for people, made from the rest
        scratch/RUN/                                  what a run needs only while it lasts
        scratch/spans-KEY/                            what is rendered of a video, until all of it is
        trash/KEY/                                    what is being deleted
        locks/                                        who takes uploads, and who deletes

    Claims, scratch, trash and locks are always folders of this machine. Only this user may enter claims, scratch and
    locks; the group may read the rest. The others may be remote; then a path below `folder`
    names an object, and `files` knows what there is of it. What is read or written goes through `reading`, `writing`
    and `files.put`, which do no more than open or rename a file in a local store.

    All of a local store but the inbox must be one file system, so that a rename is atomic.

    Attributes:
        root: a folder, which need not exist yet, or an fsspec URL; that of the settings without its password.
        inbox: the folder for uploads; without it, `inbox` in `root`. A remote store must have one, or an `inbox_url`.
        inbox_url: an fsspec URL of an object store, below which uploads are, too; that of the settings without its
            password.
        work: the folder for claims, scratch and trash of a remote store; without it, one per store in the user's data
            folder. It must not be in the inbox, where others write.
        work_limit: bytes that those may take; without it, as many as the disk has.
    """

    root: str
    inbox: str | None = None
    work: str | None = None
    inbox_url: str | None = None
    work_limit: int | None = None
    _run_id: str = PrivateAttr(default="no run")

    @property
    def folder(self) -> Path:
        """The folder below which everything has its path. Raises SettingsError for one in a remote store's inbox."""
        local = local_folder(self.root)
        if local is not None:
            return local.absolute()
        if not self.work:
            digest = hashlib.sha256(self.root.encode()).hexdigest()
            return platformdirs.user_data_path("dualface") / f"work-{digest[:10]}"
        work = Path(self.work).absolute()
        if (inbox := self._given_inbox()) and work.is_relative_to(inbox):
            raise SettingsError(
                f"DUALFACE_WORK is {str(work)!r}, in the inbox, where others may write. Set it to another folder."
            )
        return work

    @property
    def inbox_folder(self) -> Path:
        """Where uploads are dropped. Raises SettingsError for a folder that the store uses itself."""
        folder = self._given_inbox() or self.folder / "inbox"
        inside = folder.relative_to(self.folder).parts if folder.is_relative_to(self.folder) else ("",)
        if not inside or inside[0] in _OWN_FOLDERS:
            raise SettingsError(
                f"The inbox {str(folder)!r} is a folder that the store uses itself. Choose another one."
            )
        return folder

    def _given_inbox(self) -> Path | None:
        """The inbox where it isn't in `folder`, as one of a remote store that has a bucket for uploads may be."""
        if self.inbox:
            return Path(self.inbox).absolute()
        if local_folder(self.root) is None and not self.inbox_url:
            raise SettingsError(
                "DUALFACE_STORE is not a folder of this machine, so it cannot hold the inbox. Set DUALFACE_INBOX to a "
                "folder of this machine where uploads are dropped, or DUALFACE_INBOX_URL to a place in a bucket."
            )
        return None

    @property
    def upload_places(self) -> str:
        """Where videos may be put, for people."""
        return " and ".join(map(str, filter(None, (self.inbox_folder, self.inbox_url))))

    @property
    def bucket(self) -> Bucket | None:
        """Where others put uploads besides the inbox. Raises SettingsError for a place that the store uses itself."""
        if not self.inbox_url:
            return None
        place, own = self.inbox_url.partition("://")[2].strip("/"), self.root.partition("://")[2].strip("/")
        inside = place.removeprefix(f"{own}/").partition("/")[0] if place.startswith(f"{own}/") else None
        if own and (f"{own}/".startswith(f"{place}/") or inside in _OWN_FOLDERS):
            raise SettingsError(
                f"DUALFACE_INBOX_URL is {self.inbox_url!r}, where the store keeps its own. Choose another prefix."
            )
        return _bucket(self.inbox_url)

    @property
    def is_remote(self) -> bool:
        """Whether what it holds is elsewhere, where other hosts may write, too."""
        return local_folder(self.root) is None

    @property
    def files(self) -> StoreFiles:
        """What the store holds. Raises SettingsError for a URL of a kind that cannot be used."""
        if not self.is_remote:
            return LocalFiles(self.folder)
        make_private_folder(self.folder, action="Set DUALFACE_WORK to a folder of your own.")
        return _remote_files(self.root, self.folder)

    def local(self, path: Path) -> Path:
        """A local file with the content of one of the store, for as long as the run lasts. Raises MissingInputError."""
        return self.files.fetch(path, self.scratch_folder / self._run_id)

    @contextmanager
    def reading(self, path: Path) -> Iterator[Path]:
        """Yield a local file with the content of one of the store. Raises MissingInputError."""
        local = self.local(path)
        try:
            yield local
        finally:
            if local != path:
                local.unlink(missing_ok=True)

    @contextmanager
    def writing(self, path: Path) -> Iterator[Path]:
        """Yield a local path to write to; on a clean exit, what was written is in the store, under `path`."""
        local = self.files.staging_path(path, self.scratch_folder / self._run_id)
        try:
            yield local
            self.files.put(local, path)
        finally:
            if local != path:
                local.unlink(missing_ok=True)

    @property
    def claims_folder(self) -> Path:
        """Where uploads are while they are being taken."""
        return self.folder / "claims"

    @property
    def raw_folder(self) -> Path:
        """Where the videos are, one folder per key."""
        return self.folder / "raw_video"

    @property
    def scratch_folder(self) -> Path:
        """What runs need only while they last, one folder per run."""
        return self.folder / "scratch"

    @property
    def trash_folder(self) -> Path:
        """What is being deleted, one folder per key."""
        return self.folder / "trash"

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """At the beginning of a run, wait for what is being deleted at this moment, on whichever host."""
        if context.run is None:
            return
        self._run_id = context.run.run_id
        missing = context.instance and self.why_missing(context.instance)  # which the steps say
        # A lock that cannot be made, as on a full disk, is held by no process. The steps say what is the matter.
        with suppress(OSError):
            if not missing and self.folder.exists():
                with self._lock("deletion", fcntl.LOCK_SH):
                    pass
        if context.instance:
            with locked(context.instance, InstanceLock.DELETION, shared=True):
                pass

    def why_missing(self, instance: dg.DagsterInstance) -> MachineError | None:
        """Why nothing may be written: this instance has worked on the store, and its disk is not mounted now."""
        return why_missing(self.folder, Path(instance.root_directory))

    def why_no_room(self, size_bytes: int) -> str | None:
        """Why a run on a video of this size would fill the disk, or the folder for work; None if there is room for it.

        What runs at work here were promised and have not taken yet is not free.
        """
        needed, folders = _needed(size_bytes), [self.claims_folder, self.trash_folder, *self.scratch_folder.glob("*")]
        room = {"are free": shutil.disk_usage(self.folder).free}
        if self.is_remote:  # in a local store a run takes its room elsewhere
            taken = {folder: _size(folder) for folder in folders}
            own = self.scratch_folder / self._run_id
            promised = sum(max(0, _promised(folder) - taken[folder]) for folder in folders if folder != own)
            needed = max(0, needed - taken.get(own, 0))
            room["are free"] -= promised
            if self.work_limit is not None:
                room["of DUALFACE_WORK_LIMIT are left"] = self.work_limit - sum(taken.values()) - promised
        which, least = min(room.items(), key=lambda known: known[1])
        if least >= needed:
            return None
        return f"waits for room: {needed / (1 << 30):.1f} GiB are needed, {max(0, least) / (1 << 30):.1f} GiB {which}"

    def require_room(self, size_bytes: int) -> None:
        """Have room for this run, on a video of this size, until it is over. Raises NoRoomError if there is none."""
        with self._lock("room", fcntl.LOCK_EX) if self.is_remote else nullcontext():
            if reason := self.why_no_room(size_bytes):
                raise NoRoomError(self.folder, reason, action="Make room there.")
            if self.is_remote:
                (self.scratch(self._run_id) / _PROMISE).write_text(str(_needed(size_bytes)))

    def mark(self, instance: dg.DagsterInstance) -> None:
        """Begin to work on the store, new or not. Raises MachineError for one that is not mounted, or OutputError."""
        _ = self.files  # the folder for work is private
        mark(self.folder, Path(instance.root_directory))

    @contextmanager
    def mounted(self, instance: dg.DagsterInstance) -> Iterator[None]:
        """Work on the store: whatever goes wrong in the block while the store is missing is a MachineError."""
        if missing := self.why_missing(instance):
            raise missing
        try:
            yield
        except Exception as error:
            if missing := self.why_missing(instance):
                raise missing from error
            raise

    @contextmanager
    def no_run_begins(self, instance: dg.DagsterInstance) -> Iterator[None]:
        """For the length of the block, runs on all hosts wait before their first step; Dagster knows them by then."""
        with self._lock("deletion", fcntl.LOCK_EX), locked(instance, InstanceLock.DELETION):
            yield

    @contextmanager
    def _lock(self, name: str, kind: int) -> Iterator[None]:
        """Hold a lock of this host's for the length of the block, for which it waits."""
        with (self.private_folder("locks") / name).open("w") as lock:
            fcntl.flock(lock, kind)
            yield

    def video_folder(self, key: str) -> Path:
        """Where the video and what is known of it lie. Raises UnsafeKeyError."""
        return self.raw_folder / check_key(key)

    def upload(self, key: str) -> Upload:
        """What was uploaded under this key. Raises UnsafeKeyError or MissingInputError."""
        record = self.video_folder(key) / "video.json"
        try:
            return Upload.model_validate_json(self.files.read(record))
        except FileNotFoundError:
            raise MissingInputError(key, "this video is not in the store (any more)", action=_UPLOAD_AGAIN) from None
        except ValidationError:
            raise MissingInputError(record, "not a note of ours", action=_UPLOAD_AGAIN) from None

    def uploaded_name(self, key: str) -> str | None:
        """What the uploaded file was called; None if that is not known (any more)."""
        try:
            return self.upload(key).name
        except DualfaceError:
            return None

    def video_path(self, key: str) -> Path:
        """The uploaded video, here for as long as the run lasts. Raises UnsafeKeyError or MissingInputError."""
        upload, into = self.upload(key), self.scratch_folder / self._run_id
        return self.files.fetch(self.video_folder(key) / upload.file, into, sha256=upload.sha256)

    def video_place(self, key: str) -> Path:
        """The path of the uploaded video in the store. Raises UnsafeKeyError or MissingInputError."""
        return self.video_folder(key) / self.upload(key).file

    def write_video_info(self, key: str, info: VideoInfo) -> None:
        """Note what the video is, for the steps that follow. Raises UnsafeKeyError or OutputError."""
        from dualface_core.media.probe import VideoInfo

        self.files.write(self.video_folder(key) / "probe.json", TypeAdapter(VideoInfo).dump_json(info, indent=2))

    def video_info(self, key: str) -> VideoInfo:
        """What the video is, as `raw_video` noted it. Raises UnsafeKeyError or MissingInputError."""
        from dualface_core.media.probe import VideoInfo

        path = self.video_path(key)
        try:
            info = TypeAdapter(VideoInfo).validate_json(self.files.read(self.video_folder(key) / "probe.json"))
        except (FileNotFoundError, ValidationError):
            found = "this video was not probed yet, or by another release"
            raise MissingInputError(key, found, action="Materialize raw_video.") from None
        return dataclasses.replace(info, path=path)  # the store may have moved since

    def table_path(self, table: str, key: str) -> Path:
        """Where a table of this video lies; `table` is the asset's name. Raises UnsafeKeyError."""
        return self.folder / table / f"{check_key(key)}.parquet"

    def result_path(self, key: str) -> Path:
        """Where the verified video is published. Raises UnsafeKeyError."""
        slug = check_key(key).rpartition("-")[0]
        return self.folder / "encoded_video" / key / f"{slug}.split.mp4"

    def note_result(self, info: VideoInfo) -> None:
        """Note what this run has published for its later steps, if that can be done. Raises PrivateFolderError."""
        from dualface_core.media.probe import VideoInfo

        note = self.scratch(self._run_id) / _RESULT
        with suppress(OSError):
            note.parent.mkdir(exist_ok=True)
            note.write_bytes(TypeAdapter(VideoInfo).dump_json(info))

    def result_info(self, key: str) -> VideoInfo:
        """What the verified result is: as this run has noted it, if that is the file, or else as it is found now.

        Raises UnsafeKeyError, and as `pipeline.probe` does.
        """
        from dualface_core.media.probe import VideoInfo, fingerprint

        path = self.local(self.result_path(key))
        with suppress(FileNotFoundError, ValidationError):
            noted = (self.scratch_folder / self._run_id / _RESULT).read_bytes()
            info = TypeAdapter(VideoInfo).validate_json(noted)
            if fingerprint(path) == info.fingerprint:
                return dataclasses.replace(info, path=path)
        return probe(path)

    @property
    def review_folder(self) -> Path:
        """Where the review pages and their index are."""
        return self.folder / "review"

    def page_folder(self, key: str) -> Path:
        """Where the review page of this video is, and what the index knows of it. Raises UnsafeKeyError."""
        return self.review_folder / check_key(key)

    def link(self, path: Path, *, seen_from: Path) -> str:
        """A file of the store as a URL relative to a folder of it, so that the store can be moved, or served."""
        return quote(os.path.relpath(path, seen_from))

    def report(self, key: str) -> EncodeReport:
        """What the result's report says. Raises UnsafeKeyError or MissingInputError."""
        from dualface_core.rendering.report import EncodeReport

        try:
            return EncodeReport.model_validate_json(self.files.read(report_path(self.result_path(key))))
        except FileNotFoundError:
            found = "its result is not here (any more)"
            raise MissingInputError(key, found, action="Materialize encoded_video.") from None

    def has_result(self, key: str) -> bool:
        """Whether the verified result is there, whole: as long as its report says, and of that checksum.

        It reads the whole result. Raises UnsafeKeyError.
        """
        result = self.result_path(key)
        try:
            report = self._checksum(key)
            return self.files.size(result) == report.size_bytes and self.files.sha256(result) == report.sha256
        except (FileNotFoundError, ValidationError):
            return False

    def result_sha256(self, key: str) -> str:
        """The checksum of the verified result, as its report says. Raises UnsafeKeyError or MissingInputError."""
        try:
            return self._checksum(key).sha256
        except (FileNotFoundError, ValidationError):
            found = "it has no result (any more)"
            raise MissingInputError(key, found, action="Materialize encoded_video.") from None

    def _checksum(self, key: str) -> _Checksum:
        return _Checksum.model_validate_json(self.files.read(report_path(self.result_path(key))))

    def scratch(self, run_id: str) -> Path:
        """A folder for this run alone, made if it is not there. Raises PrivateFolderError, or OSError."""
        folder = self.private_folder("scratch") / run_id
        folder.mkdir(exist_ok=True)
        return folder

    def spans_folder(self, key: str) -> Path:
        """Where the finished spans of a video that is rendered lie, for the run that carries on if its run is killed.

        Raises UnsafeKeyError.
        """
        return self.scratch_folder / f"{SPANS}{check_key(key)}"

    def private_folder(self, name: str) -> Path:
        """A folder of the store's that only this user's processes may enter, made if it is not there.

        Raises PrivateFolderError, or OSError.
        """
        make_folder(self.folder)
        return make_private_folder(self.folder / name, action=f"Remove it, and look who else may write to {self.root}.")

    def video_keys(self) -> list[str]:
        """Keys of all videos in the store, in no order."""
        return [name for name in self.files.names(self.raw_folder) if is_key(name)]

    def known_keys(self) -> set[str]:
        """Keys of all videos of which there is anything in the store."""
        folders = ("raw_video", "encoded_video", "review", "face_tracks", "composed_tiles")
        names = (name for folder in folders for name in self.files.names(self.folder / folder))
        return set(filter(is_key, (name.removesuffix(".parquet") for name in names)))


def _needed(size_bytes: int) -> int:
    """Bytes that a run on a video of this size may take: its copy, the result, and parts or copies of that."""
    return ROOM + 3 * size_bytes


def _promised(folder: Path) -> int:
    """Bytes that the run of this folder may take in all; 0 if it is no run's, or is over."""
    with suppress(FileNotFoundError, ValueError):
        return int((folder / _PROMISE).read_text())
    return 0


def _size(folder: Path) -> int:
    """Bytes of all files in a folder, some of which may vanish meanwhile."""
    size = 0
    for file in files_below(folder):
        with suppress(FileNotFoundError):
            size += file.stat().st_size
    return size


def video_store(settings: ServiceSettings) -> VideoStore:
    """The store that the settings name, without its password: Dagster stores and shows what a resource holds."""
    inbox, work = (None if folder is None else str(folder) for folder in (settings.inbox, settings.work))
    url, limit = settings.inbox_url and without_password(settings.inbox_url), settings.work_limit
    return VideoStore(root=without_password(settings.store), inbox=inbox, work=work, inbox_url=url, work_limit=limit)


@cache
def _remote_files(root: str, folder: Path) -> RemoteFiles:
    return RemoteFiles(_with_password(root, ServiceSettings.load().store), folder)


@cache
def _bucket(url: str) -> Bucket:
    return Bucket(_with_password(url, ServiceSettings.load().inbox_url))


def _with_password(shown: str, url: str | None) -> str:
    """The URL with the password that a resource does not hold, if it is the one of the settings."""
    return url if url and without_password(url) == shown else shown
