"""The right to compute a step, which one run of a cache has at a time."""

from __future__ import annotations

import time
from collections.abc import Iterable

from olive_engine.planner import Step
from olive_engine.reporting import events
from olive_engine.reporting.reporter import Reporter
from olive_engine.staging import key_of
from olive_engine.store import Store
from olive_engine.store.locks import Lock

INTERVAL = 0.1
"""Seconds between two tries for a step that another run is computing."""


class StepLocks:
    """The locks that one run holds, by the keys of their steps."""

    def __init__(self, store: Store, listener: Reporter) -> None:
        self._store = store
        self._listener = listener
        self._held: dict[str, Lock] = {}
        self._tried: dict[str, float] = {}

    def take(self, step: Step) -> bool:
        """Take the right to compute a step; false while another run has it, which is told once.

        It is false too while a step of this run with the same key has it: that one's result will be this one's.
        """
        key = key_of(step)
        if key in self._held:
            return False
        now = time.monotonic()
        if now - self._tried.get(key, -INTERVAL) < INTERVAL:
            return False
        lock = self._store.lock(key)
        if lock.try_acquire():
            self._held[key] = lock
            return True
        if key not in self._tried:
            self._listener.on_event(events.StepWaiting(step.node.name))
        self._tried[key] = now
        return False

    def release(self, steps: Iterable[Step]) -> None:
        """Give the right to some steps back, as far as it was had."""
        for step in steps:
            if step.key and (lock := self._held.pop(step.key, None)):
                lock.release()

    def release_all(self) -> None:
        """Give everything back."""
        for lock in self._held.values():
            lock.release()
        self._held.clear()
