"""One step, one computer: processes that share a cache wait for each other's steps.

Operating-system file locks, so that a dead owner's lock is free at once.
"""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout


class StepLock:
    """The right to compute one step key."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(path)

    def try_acquire(self) -> bool:
        """Take the lock if nobody holds it; does not wait."""
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        return True

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()
