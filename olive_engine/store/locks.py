"""One step, one computer: processes that share a cache wait for each other's steps.

Operating-system file locks, so that a dead owner's lock is free at once. `filelock` is imported when a lock is made: a
plan makes none.
"""

from __future__ import annotations

from pathlib import Path


class StepLock:
    """The right to compute one step key."""

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

    def is_held(self) -> bool:
        """Whether somebody has the lock now."""
        if self.try_acquire():
            self.release()
            return False
        return True
