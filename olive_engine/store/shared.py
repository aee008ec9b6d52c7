"""A cache that machines share, as a run uses it: read through, written to by those that may, and missed if it fails."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

from olive_engine.config.shared_cache import SharedCacheConfig
from olive_engine.errors import StoreCorrupt, SystemUnavailable
from olive_engine.models import FileEntry, Tree
from olive_engine.store.files import clone, replacing
from olive_engine.store.records import Record
from olive_engine.store.shared_contents import Sent, SharedContents, SharedCorrupt, each_of
from olive_engine.store.shared_records import unsound_names
from olive_engine.store.shared_site import SharedSite
from olive_engine.store.shared_trouble import missing_container
from olive_engine.store.store import Store

SCHEME = "shared:"
"""What the location of a tree that a shared cache keeps begins with."""
ENOUGH = 3
"""Results with damaged or missing files after which a run takes nothing more from there."""

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class SharedCache:
    """A shared cache in one run, which no failure of it ends: the first is kept in `trouble`, for a warning."""

    def __init__(self, config: SharedCacheConfig, base_dir: Path) -> None:
        """Nothing is opened or asked yet.

        Args:
            config: where it is.
            base_dir: a folder's relative path starts there.
        """
        self.site = SharedSite(config, base_dir)
        self.contents = SharedContents(self.site)
        self.url = self.site.url
        """Where it is, without anything that is secret."""
        self.location = f"{SCHEME}{self.url}"
        """The location of the trees whose bytes are here."""
        self.writes = config.write
        """Whether results are put there."""
        self.trouble = ""
        """What went wrong first, in one sentence: it is not asked any more, or nothing is put there any more."""
        self._unsaid: list[str] = []
        self._told_new = False
        self._found: set[str] = set()
        self._closed = False
        self._unwritable = not config.write
        self._fetches_failed = 0

    def look(self) -> None:
        """Leave it out from now on if it is a folder that is not there; a URL is not asked."""
        if self.site.is_local and not self._closed:
            try:
                self.site.check_there()
            except (OSError, SystemUnavailable) as error:
                self._give_up(error)
            else:
                self._tell_new()

    def unsaid(self) -> tuple[str, ...]:
        """What the user should be told of it and was not told yet; told with this."""
        count = len(self._unsaid)
        said = tuple(self._unsaid[:count])
        del self._unsaid[:count]
        return said

    def close(self) -> None:
        """Release connections."""
        self.site.close()

    # --- what a run takes from there ------------------------------------------------------------------------------

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
            record = self.contents.read(key)
        except Exception as error:  # noqa: BLE001 - whatever the storage's library raises, the run goes on without it
            if not isinstance(error, FileNotFoundError) or missing_container(error):
                self._give_up(error)
            return None
        if record is None:
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
        return not self.contents.is_damaged(tree.files.values())

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

    def _download(self, entry: FileEntry, target: Path) -> None:
        if self._closed:
            raise SharedCorrupt(entry.sha256, f"not fetched: {self.trouble}")
        try:
            self.contents.download(entry, target)
        except SharedCorrupt:
            raise
        except FileNotFoundError as error:
            if self._was_emptied():
                raise SharedCorrupt(entry.sha256, f"not fetched: {self.trouble}") from error
            raise self.contents.damage(entry, f"does not have its bytes, {entry.sha256}") from error
        except Exception as error:
            if isinstance(error, OSError) and (error.filename == str(target) or error.errno in _DISK):
                raise  # it is the disk here, not the storage there
            self._give_up(error)
            raise SharedCorrupt(entry.sha256, f"{self.url} cannot be read: {self.site.told(error)}") from error

    def _located(self, record: Record) -> Record:
        provenance = record.provenance.model_copy(update={"source": self.url})
        output = record.output
        if output is not None:
            here = {name: Tree(files=output.parts[name].files, location=self.location) for name in record.made}
            output = output.model_copy(update={"parts": {**output.parts, **here}})
        return record.model_copy(update={"output": output, "provenance": provenance})

    @property
    def _readable(self) -> bool:
        return not self._closed and self._fetches_failed < ENOUGH

    def _was_emptied(self) -> bool:
        """Whether the folder that results were taken from has gone: nothing is put in its place, either."""
        fault = self.site.emptied()
        if fault:
            self._give_up(SystemUnavailable(f"{fault}; those that are needed are computed again"))
        return bool(fault)

    # --- what it puts there ---------------------------------------------------------------------------------------

    def publish(self, record: Record, store: Store) -> Sent:
        """Put a result there: the blobs that are not there yet, then its record. Without `write` nothing is done.

        A result that is there already, that came from there, or whose bytes another system keeps is left alone.
        """
        return self._publish(record, store, self.contents.put)

    def offer(self, record: Record, store: Store) -> Sent:
        """As `publish`, for a result of an earlier run: one look, and it is left alone if its key has a record."""
        return self._publish(record, store, self.contents.put_if_new)

    def _publish(self, record: Record, store: Store, put: Callable[[Record, Store], Sent]) -> Sent:
        if self._closed or self._unwritable:
            return Sent()
        try:
            return put(record, store)
        except StoreCorrupt:  # a local blob is damaged: its reader will be told, this result is not for others
            return Sent()
        except Exception as error:  # noqa: BLE001 - whatever the storage's library raises, the run goes on without it
            self._unwritable = True
            self._tell(f"results are not put into the shared cache {self.url}: {self.site.told(error)}")
            return Sent()

    # --- what the user is told ------------------------------------------------------------------------------------

    def _give_up(self, error: BaseException) -> None:
        self._closed = True
        self._unsaid.clear()  # it is no new cache either
        self._tell(f"the shared cache {self.url} is left out: {self.site.told(error)}")

    def _tell_new(self) -> None:
        """A name with a typing error, or a disk that is not mounted, looks like a new cache: the user knows better."""
        if self.writes and not self._told_new and self.site.is_new:
            self._told_new = True
            self._unsaid.append(
                f"the shared cache {self.url} is not there yet: its folder is made for the first result"
            )

    def _tell(self, trouble: str) -> None:
        """Keep the first trouble: others are likely to follow from it."""
        if not self.trouble:
            self.trouble = trouble
            self._unsaid.append(trouble)


def _copy(source: Path, target: Path) -> None:
    with replacing(target) as temporary:
        clone(source, temporary)
