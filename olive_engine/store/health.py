"""How a cache folder is, told without changing anything in it and without reading its blobs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from olive_engine.store.locks import Lock
from olive_engine.store.store import Store


@dataclass(frozen=True, slots=True)
class Health:
    """What there is in a cache, and what is wrong with it. Sizes in bytes."""

    folder: Path
    exists: bool = False
    writable: bool = True
    results: int = 0
    files: int = 0
    file_bytes: int = 0
    checkpoint_bytes: int = 0
    damaged_records: int = 0
    """Records that cannot be read: their steps run again."""
    incomplete_results: int = 0
    """Results with a file that has gone or was touched since it was put there, by size and time."""
    quarantined: int = 0
    """Files that were found to be damaged and moved away."""
    runs: int = 0
    """Runs that use the cache now."""
    broken_runs: int = 0
    """Runs that were killed and left a lock file, which nobody holds."""


def examine(folder: Path) -> Health:
    """Look at a cache folder, which need not exist."""
    folder = folder.absolute()
    if not folder.is_dir():
        above = next(each for each in folder.parents if each.exists())
        return Health(folder, writable=not folder.exists() and os.access(above, os.W_OK | os.X_OK))
    store = Store(folder)
    usage = store.usage()
    records = [record for _, record in store.records.each()]
    readable = [record for record in records if record is not None]
    broken = sum(
        any(
            not store.blobs.intact(entry) for tree in record.trees if not tree.location for entry in tree.files.values()
        )
        for record in readable
    )
    writable = os.access(folder, os.W_OK | os.X_OK)
    held = [_held(path) for path in (folder / "runs").glob("*.lock")] if writable else []
    return Health(
        folder,
        exists=True,
        writable=writable,
        results=len(readable),
        files=usage.blobs,
        file_bytes=usage.blob_bytes,
        checkpoint_bytes=usage.state_bytes,
        damaged_records=len(records) - len(readable),
        incomplete_results=broken,
        quarantined=sum(1 for _ in (folder / "quarantine").glob("*")),
        runs=sum(held),
        broken_runs=len(held) - sum(held),
    )


def _held(path: Path) -> bool:
    """Whether a process holds the lock."""
    lock = Lock(path)
    if lock.try_acquire():
        lock.release()
        return False
    return True
