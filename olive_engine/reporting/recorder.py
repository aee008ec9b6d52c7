"""A reporter that keeps what it hears."""

from __future__ import annotations

from olive_engine.reporting.events import RunEvent
from olive_engine.reporting.reporter import Reporter


class Recorder(Reporter):
    """Keeps every event in `events`, for tests and for programs that look at a run afterwards."""

    def __init__(self) -> None:
        self.events: list[RunEvent] = []

    def on_event(self, event: RunEvent) -> None:
        """Append the event."""
        self.events.append(event)
