"""Content digests: one canonical way to turn values and files into sha256."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from pydantic import JsonValue

CHUNK = 1 << 20
LEFT_OUT = {".git", "__pycache__"}


def canonical_json(value: JsonValue) -> str:
    """Write `value` so that equal values give equal text: sorted keys, no blanks, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: JsonValue) -> str:
    """The sha256 (64 hex digits) of `value` in canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """The sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def copy_and_digest(source: IO[bytes], target: IO[bytes]) -> str:
    """Copy a stream and return the sha256 of what went through."""
    sha = hashlib.sha256()
    while chunk := source.read(CHUNK):
        sha.update(chunk)
        target.write(chunk)
    return sha.hexdigest()


def files_under(root: Path) -> Iterator[str]:
    """Relative posix paths of the files under `root` in sorted order; `root` itself as its name if it is a file.

    Linked folders are entered. Version-control folders and byte-code caches are left out: they are never part of a
    model or a data set.
    """
    if root.is_file():
        yield root.name
        return
    found: list[str] = []
    entered: set[Path] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        here = Path(folder)
        # A link to a folder above would lead round for ever.
        folders[:] = [name for name in folders if name not in LEFT_OUT and (here / name).resolve() not in entered]
        entered |= {(here / name).resolve() for name in folders}
        found += [(here / name).relative_to(root).as_posix() for name in names if (here / name).is_file()]
    yield from sorted(found)
