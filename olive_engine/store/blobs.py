"""Content-addressed bytes: ``blobs/<2 hex>/<sha256>``, read-only, one file for each content."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from olive_engine.digests import file_digest
from olive_engine.errors import StoreCorrupt
from olive_engine.models import FileEntry
from olive_engine.store.files import clone, replacing, sync

SEALED = 1_000_000_000 * 10**9
"""The modification time (ns) that every blob is given: an edited blob shows it without being read."""


class Blobs:
    """The bytes of a store."""

    def __init__(self, root: Path, quarantine: Path) -> None:
        self._root = root
        self._quarantine = quarantine
        self._verified: set[tuple[str, int, int]] = set()

    def path(self, sha256: str) -> Path:
        """Where the blob of that digest lies, or would lie."""
        return self._root / sha256[:2] / sha256

    def intact(self, entry: FileEntry) -> bool:
        """Whether the blob is there and, by size and modification time, untouched. Does not read it."""
        try:
            stat = self.path(entry.sha256).stat()
        except OSError:
            return False
        return stat.st_size == entry.size and stat.st_mtime_ns == SEALED

    def take(self, source: Path, entry: FileEntry) -> None:
        """Move a file into the store under the digest that its writer gave it."""
        target = self.path(entry.sha256)
        if self.intact(entry):
            source.unlink()
            return
        sync(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            source.replace(target)
        except OSError:  # another file system: copy, then rename there
            with replacing(target) as temporary:
                clone(source, temporary)
                sync(temporary)
            source.unlink()
        target.chmod(0o444)
        os.utime(target, ns=(SEALED, SEALED))

    def verify(self, entry: FileEntry, *, again: bool = False) -> Path:
        """Read the blob and compare its digest; once in a process unless `again` or its inode changed.

        Raises:
            StoreCorrupt: it is missing; or has other bytes, and was moved to quarantine; or has another size than
                `entry` says, which is the fault of whoever wrote that, and the blob stays.
        """
        path = self.path(entry.sha256)
        try:
            stat = path.stat()
        except OSError:
            raise StoreCorrupt(entry.sha256, "it is gone") from None
        seen = (entry.sha256, stat.st_ino, stat.st_mtime_ns)
        if again or seen not in self._verified:
            if file_digest(path) != entry.sha256:
                self._quarantine.mkdir(parents=True, exist_ok=True)
                path.replace(self._quarantine / entry.sha256)
                raise StoreCorrupt(entry.sha256, "its bytes have changed; moved to quarantine")
            if stat.st_mtime_ns != SEALED:  # touched, but unharmed
                os.utime(path, ns=(SEALED, SEALED))
                seen = (entry.sha256, stat.st_ino, SEALED)
            self._verified.add(seen)
        if stat.st_size != entry.size:
            raise StoreCorrupt(entry.sha256, f"it has {stat.st_size} bytes, and a record says that it has {entry.size}")
        return path

    def link(self, entry: FileEntry, target: Path) -> None:
        """Place a verified blob read-only at `target`: a hard link, or a copy on another file system."""
        source = self.verify(entry)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)
            target.chmod(0o444)

    def copy(self, entry: FileEntry, target: Path) -> None:
        """Write the blob's bytes to `target` atomically, as a file that its owner may edit."""
        source = self.verify(entry)
        with replacing(target) as temporary:
            clone(source, temporary)
            sync(temporary)

    def each(self) -> Iterator[tuple[str, os.stat_result]]:
        """Digest and stat of every blob."""
        if self._root.is_dir():
            for path in sorted(self._root.glob("*/*")):
                yield path.name, path.stat()

    def remove(self, sha256: str) -> None:
        """Delete a blob."""
        self.path(sha256).unlink(missing_ok=True)
