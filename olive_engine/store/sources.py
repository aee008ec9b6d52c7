"""Digests of the user's own files, remembered by size, modification time and inode."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from olive_engine.digests import digest, file_digest, files_under
from olive_engine.models import FileEntry, Tree, local_folder
from olive_engine.store.files import write_atomic

SETTLED = 2 * 10**9
"""Nanoseconds that a file must be old before its digest is remembered: younger, a second write may share its stamp."""


class Sources:
    """Folders and files outside the store, described by content."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def tree(self, path: Path, names: frozenset[str] | None = None) -> Tree:
        """The files under `path` (a file counts as a folder with just it); `names` keeps only those.

        Raises:
            OSError: a file cannot be read.
        """
        path = path.resolve()
        folder = path.parent if path.is_file() else path
        listed = [name for name in files_under(path) if names is None or name in names]
        index = self._index(path)
        remembered = _remembered(index)
        found: dict[str, list[int | str]] = {}
        for name in listed:
            stamp = _stamp(folder / name)
            known = remembered.get(name)
            if known is not None and known[:3] == stamp:
                found[name] = known
            else:
                found[name] = [*stamp, file_digest(folder / name)]
        now = time.time_ns()
        settled = {name: row for name, row in found.items() if now - int(row[1]) > SETTLED}
        if names is not None:  # what was not asked for stays remembered
            settled = {name: row for name, row in remembered.items() if name not in found} | settled
        if settled != remembered:
            write_atomic(index, json.dumps(settled))
        files = {name: FileEntry(sha256=str(row[3]), size=int(row[0])) for name, row in found.items()}
        return Tree(files=files, location=folder.as_uri())

    def entry(self, file: Path) -> FileEntry:
        """One file by content.

        Raises:
            OSError: it cannot be read.
        """
        return next(iter(self.tree(file).files.values()))

    def difference(self, tree: Tree) -> str:
        """A file of a tree in a folder of the user's that is not, or no longer, what the tree says; empty: none."""
        folder = local_folder(tree.location)
        planned = {tree.place_of(name): entry for name, entry in tree.files.items()}
        try:
            now = self.tree(folder, frozenset(planned)).files
        except OSError:
            now = {}
        return next((str(folder / place) for place, entry in planned.items() if now.get(place) != entry), "")

    def _index(self, path: Path) -> Path:
        return self._root / f"{digest(str(path))[:32]}.json"


def _remembered(index: Path) -> dict[str, list[int | str]]:
    try:
        raw = json.loads(index.read_bytes())
        return {str(name): [int(row[0]), int(row[1]), int(row[2]), str(row[3])] for name, row in raw.items()}
    except (OSError, ValueError, AttributeError, TypeError, IndexError):
        return {}  # a lost or damaged memory costs a re-read, nothing else


def _stamp(path: Path) -> list[int | str]:
    stat = os.stat(path)  # noqa: PTH116 - one call; follows links as reading does
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]
