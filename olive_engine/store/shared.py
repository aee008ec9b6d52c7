"""A cache that machines share: records and blobs under any URL, read through by runs, written to by those that may.

<url>/olive-cache-1/
    records/<2 hex>/<key>.json      what a step gave, with its own digest
    blobs/<2 hex>/<sha256>          the bytes

A record is a claim of whoever wrote it. What it names is checked before anything is done with it, and all bytes are
compared with its digests; whether a step with this key gives these bytes is for the writers to answer.
"""

from __future__ import annotations

import errno
import json
import re
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

from pydantic import JsonValue

from olive_engine.config.shared_cache import SharedCacheConfig, opened_options
from olive_engine.digests import digest
from olive_engine.errors import StoreCorrupt, SystemUnavailable
from olive_engine.models import FileEntry, Tree
from olive_engine.secrecy import MASK
from olive_engine.store.files import clone, replacing
from olive_engine.store.places import FolderPlace, Place, TooLong
from olive_engine.store.records import Record
from olive_engine.store.shared_folder import SharedFolder
from olive_engine.store.shared_libraries import library_fault, missing_library
from olive_engine.store.shared_records import (
    blob_name,
    for_others,
    is_sound,
    made_entries,
    read_record,
    record_name,
    unsound_names,
)
from olive_engine.store.store import Store

LAYOUT = "olive-cache-1"
"""The folder under the URL; its number is raised when the layout changes."""
SCHEME = "shared:"
"""What the location of a tree that a shared cache keeps begins with."""
RECORD_LIMIT = 16 << 20
"""Bytes of the longest record that is read."""
LONG = 8
"""From this length on a piece of a secret (the key in a connection string) is taken out of messages, too."""
AT_ONCE = 8
"""Files that are carried at the same time."""

ENOUGH = 3
"""Results with damaged or missing files after which a run takes nothing more from there."""

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FOLDERS = ("", "file", "local")
S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sent:
    """What was put into a shared cache; what was there already is not counted."""

    records: int = 0
    blobs: int = 0
    size: int = 0
    """Bytes of the blobs."""


class SharedCorrupt(StoreCorrupt):
    """Bytes of a shared cache are damaged or missing. What needs them is not taken from there again in this run."""

    def __init__(self, digest: str, detail: str) -> None:
        super().__init__(digest, detail)
        self.args = (f"a result cannot be taken from the shared cache: {detail}",)


class SharedCache:
    """A shared cache in one run, which no failure of it ends: the first is kept in `trouble`, for a warning."""

    def __init__(self, config: SharedCacheConfig, base_dir: Path) -> None:
        """Nothing is opened or asked yet.

        Args:
            config: where it is.
            base_dir: a folder's relative path starts there.
        """
        self._config = config
        scheme = urlsplit(config.url).scheme if "://" in config.url else ""
        folder = unquote(urlsplit(config.url).path) if scheme else config.url
        self._folder = (base_dir / Path(folder).expanduser()).absolute() if scheme in _FOLDERS else None
        self._home = SharedFolder(self._folder, LAYOUT, writes=config.write) if self._folder is not None else None
        self.url = self._folder.as_uri() if self._folder is not None else without_password(config.url).rstrip("/")
        """Where it is, without anything that is secret."""
        self.trouble = ""
        """What went wrong first, in one sentence: it is not asked any more, or nothing is put there any more."""
        self._unsaid: list[str] = []
        self._told_new = False
        self._found: set[str] = set()
        self._closed = False
        self._unwritable = not config.write
        self._fetches_failed = 0
        self._secrets: frozenset[str] = frozenset()
        self._damaged: set[str] = set()
        self._opened: Place | None = None
        self._opening = threading.Lock()

    @property
    def is_local(self) -> bool:
        """Whether it is a folder, which may be looked at without a network."""
        return self._folder is not None

    @property
    def is_new(self) -> bool:
        """Whether it is a folder that is not there, and would be made."""
        return self._home is not None and self._home.is_new

    @property
    def writes(self) -> bool:
        """Whether results are put there."""
        return self._config.write

    @property
    def location(self) -> str:
        """The location of the trees whose bytes are here."""
        return f"{SCHEME}{self.url}"

    def doubt(self) -> str:
        """Why it cannot be used, as far as that can be told without a network; empty: nothing speaks against it."""
        try:
            if self._home is not None:
                return self._home.fault()
            opened_options(self._config)
            return library_fault(self._config.url)
        except (OSError, SystemUnavailable) as error:
            return self.told(error)

    def unsaid(self) -> tuple[str, ...]:
        """What the user should be told of it and was not told yet; told with this."""
        count = len(self._unsaid)
        said = tuple(self._unsaid[:count])
        del self._unsaid[:count]
        return said

    # --- what a run does ------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Leave it out from now on if it is a folder that is not there; a URL is not asked."""
        if self._home is not None and not self._closed:
            try:
                self.check_there()
            except (OSError, SystemUnavailable) as error:
                self._give_up(error)
            else:
                self._tell_new()

    def find(self, key: str) -> Record | None:
        """The record of that key, with all that its step made located here; none if there is no sound one.

        Whether the bytes are there as well is seen when they are fetched.
        """
        if not self._readable:
            return None
        self.look()
        if self._closed:
            return None
        try:
            content = self.place().read(record_name(key), RECORD_LIMIT)
        except (FileNotFoundError, TooLong) as error:
            if not _is_container(error):
                return None
            self._give_up(error)
            return None
        except Exception as error:  # noqa: BLE001 - whatever the storage's library raises, the run goes on without it
            self._give_up(error)
            return None
        record = read_record(content, key)
        if record is None or any(entry.sha256 in self._damaged for entry in made_entries(record)):
            return None
        self._found.add(key)
        return self._located(record)

    def gave(self, key: str) -> bool:
        """Whether the record of that key was found here in this run."""
        return key in self._found

    def holds(self, tree: Tree) -> bool:
        """Whether the bytes of a tree are here, and can be fetched."""
        if tree.location != self.location or not self._readable or self._was_emptied():
            return False
        return not any(entry.sha256 in self._damaged for entry in tree.files.values())

    def _was_emptied(self) -> bool:
        """Whether the folder that results were taken from has gone: nothing is put in its place, either."""
        if self._home is None:
            return False
        try:
            fault = self._home.emptied()
        except OSError as error:
            fault = self.told(error)
        if fault:
            self._give_up(SystemUnavailable(f"{fault}; those that are needed are computed again"))
        return bool(fault)

    def fetch(self, tree: Tree, into: Path) -> None:
        """Write a tree's files under a folder; every byte is compared with the digests.

        Raises:
            SharedCorrupt: a blob is missing, has other bytes or cannot be read; its record is not found any more.
        """
        wrong = unsound_names(tree)
        if wrong:
            raise StoreCorrupt(tree.digest, f"{self.url} names the file {wrong!r}, which cannot be written")
        try:
            self._fetch(tree, into)
        except SharedCorrupt:
            self._fetches_failed += 1
            if not self._readable:
                what = f"{self.url} has damaged results: no more are taken from it in this run"
                self._tell(f"the shared cache {what}; `olive shared-cache verify` names them")
            raise

    def _fetch(self, tree: Tree, into: Path) -> None:
        first: dict[str, str] = {}
        for name, entry in tree.files.items():
            first.setdefault(entry.sha256, name)
            (into / name).parent.mkdir(parents=True, exist_ok=True)
        each_of(lambda sha256: self._download(tree.files[first[sha256]], into / first[sha256]), first)
        for name, entry in tree.files.items():
            if first[entry.sha256] != name:
                _copy(into / first[entry.sha256], into / name)

    def publish(self, record: Record, store: Store) -> Sent:
        """Put a result there: the blobs that are not there yet, then its record. Without `write` nothing is done.

        A result that is there already, that came from there, or whose bytes another system keeps is left alone.
        """
        return self._publish(record, store, self.put)

    def offer(self, record: Record, store: Store) -> Sent:
        """As `publish`, for a result of an earlier run: one look, and it is left alone if its key has a record."""
        return self._publish(record, store, self._put_if_new)

    def _publish(self, record: Record, store: Store, put: Callable[[Record, Store], Sent]) -> Sent:
        if self._closed or self._unwritable:
            return Sent()
        try:
            return put(record, store)
        except StoreCorrupt:  # a local blob is damaged: its reader will be told, this result is not for others
            return Sent()
        except Exception as error:  # noqa: BLE001 - whatever the storage's library raises, the run goes on without it
            self._unwritable = True
            self._tell(f"results are not put into the shared cache {self.url}: {self.told(error)}")
            return Sent()

    def close(self) -> None:
        """Release connections."""
        if self._opened is not None:
            self._opened.close()

    # --- what its housekeeping does, too --------------------------------------------------------------------------

    def put(self, record: Record, store: Store) -> Sent:
        """As `publish`, whether `write` is given or not; failures are raised as they come.

        Raises:
            StoreCorrupt: one of its blobs is damaged here.
        """
        trees = {tree.digest: Tree(files=tree.files) for tree in record.trees}.values()
        if not is_sound(record) or any(store.missing(tree) for tree in trees):
            return Sent()
        self.make_folder()
        if self._has(record.key):
            return Sent()
        entries = {entry.sha256: entry for tree in trees for entry in tree.files.values()}.values()
        sent = self._upload_missing(entries, store)
        content: JsonValue = json.loads(for_others(record).model_dump_json())
        text = json.dumps({"sha256": digest(content), "record": content})
        self.place().write(record_name(record.key), text.encode())
        # What was there already somebody may have cleaned up meanwhile: no record needed it.
        sent += self._upload_missing([entry for entry in entries if entry not in sent], store)
        return Sent(1, len(sent), sum(entry.size for entry in sent))

    def check_there(self) -> None:
        """Refuse a folder that cannot be used.

        Raises:
            SystemUnavailable: it is not there, or a file.
        """
        if self._home is not None and (fault := self._home.fault()):
            raise SystemUnavailable(fault)

    def make_folder(self) -> None:
        """Make the folder of a new cache.

        Raises:
            SystemUnavailable: it has gone during the run, or the folder that it should be in is not there either.
        """
        if self._home is not None:
            self._home.make()

    def place(self) -> Place:
        """Where the files are, opened.

        Raises:
            SystemUnavailable: a variable that its options name is not set, or a library is missing.
            ValueError: its options are not right.
        """
        with self._opening:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def told(self, error: BaseException) -> str:
        """What went wrong in one sentence, without the value of any secret."""
        container = _is_container(error)
        text = str(error).strip().splitlines()[0] if str(error).strip() else ""
        if container:
            text = f"there is no such container or bucket ({container})"
        elif isinstance(error, TimeoutError):
            text = text or "it does not answer"
        elif not isinstance(error, SystemUnavailable):
            text = f"{text[:300]} ({type(error).__name__})" if text else type(error).__name__
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, MASK)
        return text

    @property
    def _readable(self) -> bool:
        return not self._closed and self._fetches_failed < ENOUGH

    def _open(self) -> Place:
        if self._folder is not None:
            return FolderPlace(self._folder / LAYOUT)
        options, values = opened_options(self._config)
        pieces = {piece for value in values for piece in (value, *re.split(r"[;&?]|(?<=\w)=", value))}
        self._secrets = frozenset(piece for piece in pieces if len(piece) >= LONG)
        url = self._config.url.rstrip("/")
        try:
            from olive_engine.store.object_store import ObjectStore

            return ObjectStore(f"{url}/{LAYOUT}", options)
        except ImportError as error:
            raise SystemUnavailable(missing_library(url.partition("://")[0], str(error))) from error

    def _has(self, key: str) -> bool:
        """Whether a sound record of that key is there, with all that it needs as far as sizes tell."""
        try:
            there = read_record(self.place().read(record_name(key), RECORD_LIMIT), key)
        except (FileNotFoundError, TooLong):
            return False
        return there is not None and all(each_of(self._has_blob, made_entries(there)))

    def _has_blob(self, entry: FileEntry) -> bool:
        return entry.sha256 not in self._damaged and self.place().size(blob_name(entry.sha256)) == entry.size

    def _put_if_new(self, record: Record, store: Store) -> Sent:
        there = self.place().size(record_name(record.key)) is not None
        return Sent() if there else self.put(record, store)

    def _give_up(self, error: BaseException) -> None:
        self._closed = True
        self._unsaid.clear()  # it is no new cache either
        self._tell(f"the shared cache {self.url} is left out: {self.told(error)}")

    def _tell_new(self) -> None:
        """A name with a typing error, or a disk that is not mounted, looks like a new cache: the user knows better."""
        if self._config.write and not self._told_new and self.is_new:
            self._told_new = True
            self._unsaid.append(
                f"the shared cache {self.url} is not there yet: its folder is made for the first result"
            )

    def _tell(self, trouble: str) -> None:
        """Keep the first trouble: others are likely to follow from it."""
        if not self.trouble:
            self.trouble = trouble
            self._unsaid.append(trouble)

    def _located(self, record: Record) -> Record:
        provenance = record.provenance.model_copy(update={"source": self.url})
        output = record.output
        if output is not None:
            here = {name: Tree(files=output.parts[name].files, location=self.location) for name in record.made}
            output = output.model_copy(update={"parts": {**output.parts, **here}})
        return record.model_copy(update={"output": output, "provenance": provenance})

    def _download(self, entry: FileEntry, target: Path) -> None:
        if self._closed:
            raise SharedCorrupt(entry.sha256, f"not fetched: {self.trouble}")
        try:
            found = self.place().download(blob_name(entry.sha256), target, entry.size)
        except FileNotFoundError as error:
            if self._was_emptied():
                raise SharedCorrupt(entry.sha256, f"not fetched: {self.trouble}") from error
            self._damaged.add(entry.sha256)
            raise SharedCorrupt(entry.sha256, f"{self.url} does not have its bytes, {entry.sha256}") from error
        except TooLong as error:
            self._damaged.add(entry.sha256)
            raise SharedCorrupt(entry.sha256, f"{self.url} has more bytes for {entry.sha256}") from error
        except Exception as error:
            if isinstance(error, OSError) and (error.filename == str(target) or error.errno in _DISK):
                raise  # it is the disk here, not the storage there
            self._give_up(error)
            raise SharedCorrupt(entry.sha256, f"{self.url} cannot be read: {self.told(error)}") from error
        if found != entry.sha256 or target.stat().st_size != entry.size:
            self._damaged.add(entry.sha256)
            raise SharedCorrupt(entry.sha256, f"{self.url} has other bytes for {entry.sha256}")

    def _upload_missing(self, entries: Iterable[FileEntry], store: Store) -> list[FileEntry]:
        """Put the blobs there that are not there yet, and return these."""

        def upload(entry: FileEntry) -> bool:
            if self._has_blob(entry):
                return False
            self.place().upload(store.blobs.verify(entry), blob_name(entry.sha256))
            self._damaged.discard(entry.sha256)
            return True

        entries = list(entries)
        return [entry for entry, sent in zip(entries, each_of(upload, entries), strict=True) if sent]


def each_of(work: Callable[[S], T], items: Iterable[S]) -> list[T]:
    """Do some pieces of work side by side; the first failure is raised when all have ended."""
    items = list(items)
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(AT_ONCE, len(items))) as pool:
        return list(pool.map(work, items))


def without_password(url: str) -> str:
    """A URL without query, and without the password of a user."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    return urlunsplit((parts.scheme, f"{user.partition(':')[0]}{at}{host}", parts.path, "", ""))


def _is_container(error: BaseException) -> str:
    """What the storage calls the fault that the whole container or bucket is missing; empty: it is another."""
    seen: BaseException | None = error
    while seen is not None:
        text = f"{getattr(seen, 'error_code', '')} {seen}"
        for code in ("ContainerNotFound", "NoSuchBucket", "No such container", "bucket does not exist"):
            if code in text:
                return code
        seen = seen.__cause__ or seen.__context__
    return ""


def _copy(source: Path, target: Path) -> None:
    with replacing(target) as temporary:
        clone(source, temporary)
