"""Where a shared cache keeps its files: named ones under one root, written whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from olive_engine.digests import CHUNK
from olive_engine.store.files import clone, replacing, sync, write_atomic


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that is there: its name under the root, its size in bytes, when it was written (seconds; 0: not told)."""

    name: str
    size: int
    written: float


class TooLong(Exception):
    """A file is longer than whoever reads it was told."""


class Place(Protocol):
    """Files by relative posix names. What goes wrong is an `OSError`, or whatever the storage's library raises."""

    def read(self, name: str, limit: int) -> bytes:
        """A small file's bytes.

        Raises:
            FileNotFoundError: there is none of that name.
            TooLong: it has more than `limit` bytes.
        """

    def size(self, name: str) -> int | None:
        """A file's size in bytes; none: there is none of that name."""

    def download(self, name: str, target: Path, size: int) -> str:
        """Write a file's bytes to `target`, which must not exist, and return their sha256.

        Raises:
            FileNotFoundError: there is none of that name.
            TooLong: it has more than `size` bytes; no more than these were written.
        """

    def digest(self, name: str) -> str:
        """The sha256 of a file's bytes.

        Raises:
            FileNotFoundError: there is none of that name.
        """

    def write(self, name: str, content: bytes) -> None:
        """Put a small file there, in the place of what was there."""

    def upload(self, source: Path, name: str) -> None:
        """Put a file there, in the place of what was there."""

    def each(self, folder: str) -> Iterator[Stored]:
        """The files under a folder; none where it is not there."""

    def remove(self, name: str) -> None:
        """Delete a file; nothing happens if it has gone."""

    def close(self) -> None:
        """Release connections."""


class FolderPlace:
    """A folder of this machine, or one that it has mounted."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, name: str, limit: int) -> bytes:
        """See `Place`."""
        with (self._root / name).open("rb") as stream:
            content = stream.read(limit + 1)
        if len(content) > limit:
            raise TooLong(name)
        return content

    def size(self, name: str) -> int | None:
        """See `Place`."""
        try:
            return (self._root / name).stat().st_size
        except FileNotFoundError:
            return None

    def download(self, name: str, target: Path, size: int) -> str:
        """See `Place`."""
        with (self._root / name).open("rb") as reading, target.open("xb") as writing:
            return copied(reading, writing, size)

    def digest(self, name: str) -> str:
        """See `Place`."""
        with (self._root / name).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def write(self, name: str, content: bytes) -> None:
        """See `Place`."""
        write_atomic(self._root / name, content.decode())

    def upload(self, source: Path, name: str) -> None:
        """See `Place`."""
        with replacing(self._root / name) as temporary:
            clone(source, temporary)
            sync(temporary)

    def each(self, folder: str) -> Iterator[Stored]:
        """See `Place`."""
        for path in sorted((self._root / folder).glob("*/*")):
            try:
                stat = path.stat()
            except FileNotFoundError:  # a temporary file of somebody who has just finished
                continue
            yield Stored(path.relative_to(self._root).as_posix(), stat.st_size, stat.st_mtime)

    def remove(self, name: str) -> None:
        """See `Place`."""
        (self._root / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Nothing is held."""


def copied(reading: IO[bytes], writing: IO[bytes], size: int) -> str:
    """Copy a stream of at most `size` bytes and return the sha256 of what went through.

    Raises:
        TooLong: there are more.
    """
    sha, left = hashlib.sha256(), size
    while chunk := reading.read(min(CHUNK, left + 1)):
        left -= len(chunk)
        if left < 0:
            raise TooLong
        sha.update(chunk)
        writing.write(chunk)
    return sha.hexdigest()
