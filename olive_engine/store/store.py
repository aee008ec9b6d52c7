"""The store of one cache folder: records over blobs, with the folders that steps work in.

<cache_dir>/
    blobs/        bytes by sha256, read-only
    records/      step key -> what it gave; and each step's last key
    sources/      remembered digests of the user's files
    state/        what a step keeps from one attempt to the next (checkpoints)
    jobs/         job folders of running steps
    locks/        one lock file for each step in the making
    quarantine/   blobs that no longer had the bytes of their digest
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from olive_engine.digests import file_digest
from olive_engine.errors import StoreCorrupt, SystemUnavailable
from olive_engine.models import FileEntry, Tree, is_local, local_folder
from olive_engine.store.blobs import Blobs
from olive_engine.store.files import remove_tree
from olive_engine.store.locks import Lock
from olive_engine.store.records import Record, Records
from olive_engine.store.sources import Sources

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from olive_engine.store.shared import SharedCache
    from olive_engine.store.shared_contents import Sent

SUBMITTED = "submitted"
"""The mark in the folder of a job that may outlive its engine."""
LEFTOVERS = ("jobs", "state", "quarantine", "locks", "probes", "sources")
"""Folders of which nothing is needed between runs, but time is saved by keeping it for a while."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a cache holds; sizes in bytes."""

    records: int
    blobs: int
    blob_bytes: int
    state_bytes: int


class Store:
    """Everything that a run reads from and writes to its cache folder."""

    def __init__(self, root: Path, shared: SharedCache | None = None) -> None:
        """Open it; nothing is created yet.

        Args:
            root: the cache folder.
            shared: a cache that other machines read and write, too.
        """
        self.root = root.absolute()
        self.shared = shared
        self._uploads: ThreadPoolExecutor | None = None
        self._waiting: list[Future[Sent]] = []
        self._offered: set[str] = set()
        self.blobs = Blobs(self.root / "blobs", self.root / "quarantine")
        self.records = Records(self.root / "records")
        self.sources = Sources(self.root / "sources")

    # --- the shared cache ---------------------------------------------------------------------------------------------

    def share(self, record: Record, *, reused: bool = False) -> None:
        """Put a result into the shared cache, if it may be written to; on a thread of its own, so that nobody waits.

        Args:
            record: of a step that any machine may have the result of.
            reused: it was made for an earlier run, which perhaps could not put it there; tried once, and only if it was
                computed for this cache.
        """
        if self.shared is None or not self.shared.writes:
            return
        if reused and (record.provenance.source or record.key in self._offered):
            return
        self._offered.add(record.key)
        if self._uploads is None:
            from concurrent.futures import ThreadPoolExecutor

            self._uploads = ThreadPoolExecutor(1, "shared-cache")
        put = self.shared.offer if reused else self.shared.publish
        self._waiting.append(self._uploads.submit(put, record, self))

    def finish_sharing(self) -> None:
        """Wait until all results are put there."""
        if self._uploads is not None:
            self._uploads.shutdown()
            self._uploads = None
        self._waiting.clear()

    def sharing_news(self) -> tuple[str, ...]:
        """What the user should be told of the shared cache and was not told yet: above all, why it is left out."""
        return self.shared.unsaid() if self.shared else ()

    def leave_sharing(self) -> str:
        """Give up what still waits to be put into the shared cache; what to tell the user of it, or empty."""
        left = sum(waiting.cancel() for waiting in self._waiting)
        self._waiting.clear()
        if self.shared is None or not left:
            return ""
        what = "1 result was" if left == 1 else f"{left:,} results were"
        how = "the next run does that, or `olive shared-cache push`"
        return f"{what} not put into the shared cache {self.shared.url}, as far as not there already: {how}"

    def close(self) -> None:
        """Release what the store holds; results that wait to be put into the shared cache are left out."""
        self.leave_sharing()
        self.finish_sharing()
        if self.shared:
            self.shared.close()

    # --- bytes ----------------------------------------------------------------------------------------------------

    def missing(self, tree: Tree) -> str:
        """Which file of a tree the cache no longer has; empty: none.

        Trusts size and modification time; a blob that shows an edit is read, and quarantined if it is damaged.
        """
        for name, entry in tree.files.items():
            if not tree.location and not self.blobs.intact(entry):
                try:
                    self.blobs.verify(entry, again=True)
                except StoreCorrupt:
                    return name
        return ""

    def place(self, tree: Tree, into: Path) -> None:
        """Put a tree's files under `into` for a job to read: links to blobs, or to the user's own files.

        Raises:
            StoreCorrupt: a blob does not have the bytes of its digest.
            FileNotFoundError: one of the user's files has gone or changed since the plan was made.
        """
        into.mkdir(parents=True, exist_ok=True)
        if is_local(tree.location):
            folder = local_folder(tree.location)
            if changed := self.sources.difference(tree):
                raise FileNotFoundError(f"{changed} has gone or changed since the run began")
            for name in tree.files:
                source, target = folder / tree.place_of(name), into / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(source)
        else:
            for name, entry in tree.files.items():
                self.blobs.link(entry, into / name)

    def place_sources(self, files: Mapping[str, Path], into: Path) -> Tree:
        """Link the user's own files under `into` by the names given, and describe them."""
        into.mkdir(parents=True, exist_ok=True)
        entries = {}
        for name, path in files.items():
            target = into / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path.resolve())
            entries[name] = self.sources.entry(path)
        return Tree(files=entries, location=into.as_uri())

    def ingest(self, folder: Path, tree: Tree, *, verify: bool = False) -> Tree:
        """Move the files of a tree into the store, where its bytes then are; `verify` reads what came from afar.

        Raises:
            StoreCorrupt: a file does not have the bytes of its digest.
        """
        for name, entry in tree.files.items():
            if verify and file_digest(folder / name) != entry.sha256:
                raise StoreCorrupt(entry.sha256, f"{name} came from {tree.location} with other bytes")
            self.blobs.take(folder / name, entry)
        return Tree(files=tree.files)

    def export(self, tree: Tree, into: Path) -> None:
        """Copy a tree to a folder of the user's; files that already have the right bytes are left alone.

        Raises:
            StoreCorrupt: a blob does not have the bytes of its digest.
        """
        into.mkdir(parents=True, exist_ok=True)
        present = self.sources.tree(into).files
        for name, entry in tree.files.items():
            if present.get(name) != entry:
                self.blobs.copy(entry, into / name)

    # --- working folders ------------------------------------------------------------------------------------------

    def state_folder(self, key: str) -> Path:
        """The folder that belongs to a step key across attempts."""
        path = self.root / "state" / key
        path.mkdir(parents=True, exist_ok=True)
        return path

    def drop_state(self, key: str) -> None:
        """Remove a step key's state folder: the step is done."""
        remove_tree(self.root / "state" / key)

    @property
    def jobs_root(self) -> Path:
        """The folder that job folders are in."""
        return self.root / "jobs"

    def new_job(self) -> Path:
        """An empty job folder."""
        path = self.jobs_root / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:8]}"
        path.mkdir(parents=True)
        return path

    def probe_file(self, identity: str) -> Path:
        """Where the answer of a probe of that environment is remembered."""
        return self.root / "probes" / f"{identity}.json"

    def lock(self, key: str) -> Lock:
        """The lock of a step key."""
        return Lock(self.root / "locks" / f"{key}.lock")

    # --- housekeeping ---------------------------------------------------------------------------------------------

    def usage(self) -> Usage:
        """Count and sizes."""
        blobs = [stat.st_size for _, stat in self.blobs.each()]
        state = sum(p.stat().st_size for p in (self.root / "state").rglob("*") if p.is_file())
        return Usage(sum(1 for _ in self.records.each()), len(blobs), sum(blobs), state)

    def verify(self) -> list[str]:
        """Read every blob; move the damaged to quarantine and return their digests. Damaged records are removed."""
        damaged = []
        for sha256, stat in self.blobs.each():
            try:
                self.blobs.verify(FileEntry(sha256=sha256, size=stat.st_size), again=True)
            except StoreCorrupt:
                damaged.append(sha256)
        for path, record in self.records.each():
            if record is None:
                path.unlink()
                damaged.append(path.stem)
        return damaged

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep `collect_garbage` away while a run reads and writes here."""
        while True:
            path = self.root / "runs" / f"{uuid.uuid4().hex}.lock"
            lock = Lock(path)
            if lock.try_acquire() and path.exists():
                break
            lock.release()  # somebody who counts runs was faster, and has taken it for that of a dead one
        try:
            yield
        finally:
            lock.release()
            path.unlink(missing_ok=True)

    def runs(self) -> int:
        """How many runs are using the cache now."""
        count = 0
        for path in (self.root / "runs").glob("*.lock"):
            lock = Lock(path)
            if lock.try_acquire():
                path.unlink(missing_ok=True)  # its run was killed
                lock.release()
            else:
                count += 1
        return count

    def collect_garbage(self, older_than: float, *, dry_run: bool = False) -> int:
        """Remove records not used for `older_than` seconds, then what no record refers to. Returns the bytes freed.

        Raises:
            SystemUnavailable: a run is using the cache: what it needs next cannot be told from here.
        """
        if self.runs():
            raise SystemUnavailable(f"a run is using the cache {self.root}; clean up when it has ended")
        horizon = time.time() - older_than
        kept: set[str] = set()
        for path, record in self.records.each():
            if record is not None and path.stat().st_mtime >= horizon:
                kept |= {entry.sha256 for tree in record.trees for entry in tree.files.values()}
            elif not dry_run:
                path.unlink()
        freed = 0
        for sha256, stat in list(self.blobs.each()):
            if sha256 not in kept and (stat.st_ctime < horizon or older_than == 0):
                freed += stat.st_size
                if not dry_run:
                    self.blobs.remove(sha256)
        for path in self._abandoned_jobs():
            freed += _own_bytes(path)
            if not dry_run:
                remove_tree(path)
        if not dry_run:
            for folder in LEFTOVERS:
                for path in (self.root / folder).glob("*"):
                    if path.stat().st_mtime <= horizon and not (path / SUBMITTED).exists():
                        remove_tree(path)
        return freed

    def _abandoned_jobs(self) -> Iterator[Path]:
        """Folders of jobs that no run waits for: not marked as what may still run elsewhere, their steps not locked."""
        for path in sorted(self.jobs_root.glob("*")):
            if (path / SUBMITTED).exists():
                continue
            try:
                keys = [str(item["key"]) for item in json.loads((path / "job.json").read_bytes())["items"]]
            except (OSError, ValueError, KeyError, TypeError):  # not written yet, or torn: it goes when it is old
                continue
            if all(map(self._is_free, keys)):
                yield path

    def _is_free(self, key: str) -> bool:
        """Whether nobody computes a step."""
        lock = self.lock(key)
        if not lock.try_acquire():
            return False
        lock.release()
        return True

    def drop(self, record: Record) -> None:
        """Remove a record and the bytes that it alone has: what a training leaves between two stretches.

        Bytes that another record has too would be missed there, and computed again.
        """
        self.records.forget(record.key)
        for tree in record.trees:
            for entry in tree.files.values() if not tree.location else ():
                self.blobs.remove(entry.sha256)

    def touch(self, record: Record) -> None:
        """Mark a record as used now, for `collect_garbage`."""
        path = self.root / "records" / "by_key" / record.key[:2] / f"{record.key}.json"
        try:
            os.utime(path)
        except FileNotFoundError:  # cleaned up since the plan was made; what it says is still true
            self.records.save(record)
        self.records.mark_last(record.kind, record.type, record.step, record.key)


def _own_bytes(folder: Path) -> int:
    """The sizes of the files that are in this folder alone: no links to the store's, or to the user's."""
    files = (path.lstat() for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(stat.st_size for stat in files if stat.st_nlink == 1)
