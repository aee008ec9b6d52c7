"""What a warm worker keeps loaded from one job to the next: frozen models above all."""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

from olive_engine import machine

RESIDENTS = 2
"""Frozen models that a warm worker keeps, if there is memory for them."""
MEMORY_SHARE = 0.25
"""Of the machine's memory: a worker that uses more keeps no model beside the one that it is about to load."""

T = TypeVar("T")


class Residents:
    """Frozen objects that the jobs of one worker share, least recently used out first."""

    def __init__(self, capacity: int = RESIDENTS) -> None:
        self._capacity = capacity
        self._objects: OrderedDict[Hashable, object] = OrderedDict()

    def get(self, key: Hashable, load: Callable[[], T]) -> T:
        """The object of that key, loaded if it is not here."""
        if key not in self._objects:
            while self._objects and (len(self._objects) >= self._capacity or self._is_large()):
                self._objects.popitem(last=False)
                gc.collect()  # modules refer to each other: their memory is not free before
            self._objects[key] = load()
        self._objects.move_to_end(key)
        return self._objects[key]  # type: ignore[return-value]  # what `load` gave

    @staticmethod
    def _is_large() -> bool:
        total = machine.memory()
        return total > 0 and machine.memory_in_use() > MEMORY_SHARE * total
