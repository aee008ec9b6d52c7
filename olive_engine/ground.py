"""What all parts of a run work with: its cache, its systems, who hears of it, who is asked when it is interrupted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from olive_engine.contracts import System
from olive_engine.errors import LeftRunning
from olive_engine.reporting.reporter import Reporter
from olive_engine.store import Store

Detach = Callable[[Sequence[LeftRunning]], bool]
"""Asked at Ctrl-C about the jobs that can go on without the engine: true leaves them, false stops them."""


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a run stands."""

    store: Store
    systems: Mapping[str, System]
    """By name."""
    listener: Reporter
    """Hears every event."""
    detach: Detach | None = None
    """None: all jobs are stopped."""
