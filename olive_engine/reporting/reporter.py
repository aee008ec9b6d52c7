"""What hears of a run: one method for every event, and an end."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from olive_engine.reporting.events import RunEvent


class Reporter:
    """Hears every event of a run, in order, and by default does nothing with it.

    A subclass overrides `on_event`, and `close` where it holds something. Use it as a context manager, so that it is
    closed however the run ends.
    """

    def on_event(self, event: RunEvent) -> None:
        """Take one event. It is called by one thread at a time and should return at once."""

    def pause(self) -> None:
        """Leave the screen to a question. What is drawn live comes back with the next event that is drawn."""

    def close(self) -> None:
        """Release what is held. Called once or more; no event comes after it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Tee(Reporter):
    """Passes every event on to several reporters, in the order in which they were given."""

    def __init__(self, *reporters: Reporter) -> None:
        self._reporters = reporters

    def on_event(self, event: RunEvent) -> None:
        """Give the event to each reporter."""
        for reporter in self._reporters:
            reporter.on_event(event)

    def close(self) -> None:
        """Close each reporter."""
        for reporter in self._reporters:
            reporter.close()
