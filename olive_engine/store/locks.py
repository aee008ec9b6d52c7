"""Locks between processes that share a cache: one for each step in the making, one for each run.

Operating-system file locks, so that a dead owner's lock is free at once. `filelock` is imported when a lock is made: a
plan makes none.
"""

from __future__ import annotations

from pathlib import Path


class Lock:
    """The right to do what the lock file stands for."""

    def __init__(self, path: Path) -> None:
        from filelock import FileLock

        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(path)

    def try_acquire(self) -> bool:
        """Take the lock if nobody holds it; does not wait."""
        from filelock import Timeout

        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        return True

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()
