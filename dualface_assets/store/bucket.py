"""The objects below a URL of an object store that others put there: listed a page at a time, read, and removed.

Belongs here: what is special about them. A key is whatever somebody has chosen, so none becomes a path; and any object
may be replaced at any moment, so what is read or removed is one version of it. What the store itself has in a bucket is
the business of `remote`.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import Any, BinaryIO, Final

from pydantic import BaseModel, ConfigDict

from dualface_assets.store.files import StoreError
from dualface_assets.store.remote import OBJECT_STORES, asking, modified_at, open_url, secrets_of, without_password
from dualface_core.errors import SettingsError

_SETTING: Final = "DUALFACE_INBOX_URL"
_PAGE: Final = 1_000
"""Objects in a page. S3 gives no more for one request."""

_READ_BYTES: Final = 32 << 20
"""Asked for at once while an object is read. Each request is paid for, and each byte is held in memory."""


class BucketObject(BaseModel):
    """One version of an object.

    Attributes:
        key: its name below the bucket's URL.
        size: in bytes.
        modified: when it was complete, by the store's clock: seconds since the epoch.
        version: a mark that changes with its content (ETag).
    """

    model_config = ConfigDict(frozen=True)

    key: str
    size: int
    modified: float
    version: str

    @property
    def identity(self) -> str:
        """What no other version of any object has, in hex."""
        noted = "\0".join((self.key, repr(self.modified), self.version))
        return hashlib.sha256(noted.encode(errors="surrogatepass")).hexdigest()


class Bucket:
    """What lies below a URL such as `s3://bucket/inbox`.

    Args:
        url: of an object store. In other file systems an object is seen before all of it has arrived.

    Raises SettingsError for a URL that nothing can be done with, or of no object store.
    """

    def __init__(self, url: str) -> None:
        self.url: Final = without_password(url).rstrip("/")
        root, self._fs = open_url(url, _SETTING)
        self._above = root.path.rstrip("/") + "/"
        self._secrets = secrets_of(url, self._fs.storage_options)
        protocols = {self._fs.protocol} if isinstance(self._fs.protocol, str) else set(self._fs.protocol)
        if not protocols & OBJECT_STORES:
            raise SettingsError(
                f"{_SETTING} is {self.url!r}; there an upload is seen before all of it has arrived. Use an object "
                "store such as s3://, or drop uploads into a folder: DUALFACE_INBOX."
            )
        self._pages = "s3" in protocols

    def page(self, after: str = "") -> tuple[list[BucketObject], bool]:
        """Objects whose keys come after this one, in order, and whether there are more. One request, in S3.

        Raises StoreError.
        """
        with self._asking():
            try:
                return self._page_of_s3(after) if self._pages else self._page_of_all(after)
            except FileNotFoundError:
                advice = f"Create it, or set {_SETTING} to another one."
                raise StoreError(self.url, "there is no such bucket", action=advice) from None

    def _page_of_s3(self, after: str) -> tuple[list[BucketObject], bool]:
        bucket, _, prefix = self._above.partition("/")
        start = {"StartAfter": prefix + after} if after else {}
        answer = self._fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=_PAGE, **start)
        found = [self._object(f"{bucket}/{each['Key']}", each) for each in answer.get("Contents", [])]
        return found, bool(answer["IsTruncated"])

    def _page_of_all(self, after: str) -> tuple[list[BucketObject], bool]:
        listed = self._fs.find(self._above, detail=True)
        later = ((name, info) for name, info in sorted(listed.items()) if name.removeprefix(self._above) > after)
        page = list(itertools.islice(later, _PAGE + 1))
        return [self._object(name, info) for name, info in page[:_PAGE]], len(page) > _PAGE

    @contextmanager
    def opened(self, found: BucketObject) -> Iterator[ObjectReader]:
        """Read this version of an object. Raises FileNotFoundError where there is none or another; StoreError."""
        name = self._above + found.key
        with self._asking(found.key):
            file = self._fs.open(name, "rb", block_size=_READ_BYTES, cache_type="readahead")
        with file:
            with self._asking(found.key):
                if not _same(self._object(name, getattr(file, "details", None) or self._fs.info(name)), found):
                    raise FileNotFoundError(errno.ENOENT, "it was replaced", found.key)
            yield ObjectReader(file, partial(self._asking, found.key))

    def remove(self, found: BucketObject) -> None:
        """Remove this version of an object. Another one stays. Raises StoreError.

        In S3 the server is asked to compare, too, as some can; of the others, a version that arrives between the two
        requests is removed.
        """
        name = self._above + found.key
        with self._asking(found.key), suppress(FileNotFoundError):
            if not _same(self._object(name, self._fs.info(name)), found):
                return
            if not self._pages:
                self._fs.rm_file(name)
                return
            bucket, _, key = name.partition("/")
            try:
                self._fs.call_s3("delete_object", Bucket=bucket, Key=key, IfMatch=f'"{found.version}"')
            except OSError as error:
                if error.errno != errno.EINVAL:  # s3fs's for a precondition that fails: it was replaced this moment
                    raise

    @contextmanager
    def _asking(self, key: str = "") -> Iterator[None]:
        with asking(f"{self.url}/{key}", self._secrets, _SETTING):
            self._fs.invalidate_cache()  # others write, too
            yield

    def _object(self, name: str, info: Mapping[str, Any]) -> BucketObject:
        size = next(int(info[field]) for field in ("Size", "size", "ContentLength") if field in info)
        mark = next((str(info[field]) for field in ("ETag", "etag") if field in info), None)
        return BucketObject(
            key=name.removeprefix(self._above),
            size=size,
            modified=modified_at(info),
            version=mark.strip('"') if mark else f"{modified_at(info)}-{size}",
        )


class ObjectReader:
    """An object that is read from any place on. What goes wrong is a StoreError."""

    def __init__(self, file: BinaryIO, asking: Callable[[], AbstractContextManager[None]]) -> None:
        self._file = file
        self._asking = asking

    def seek(self, offset: int) -> int:
        """Go on from this byte."""
        return self._file.seek(offset)

    def read(self, size: int) -> bytes:
        """The next so many bytes, or what is left of them."""
        with self._asking():
            return self._file.read(size)


def _same(one: BucketObject, other: BucketObject) -> bool:
    """Whether two are one version. Their times may differ: some answers have them to the second only."""
    return (one.key, one.size, one.version) == (other.key, other.size, other.version)
