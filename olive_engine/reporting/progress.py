"""A step that is being computed, as far as it has told."""

from __future__ import annotations

from dataclasses import dataclass, field

from olive_engine.reporting import phrases
from olive_engine.reporting.events import StepProgress

BURST = 0.25
"""Seconds after the first progress in which more may tell of the past: of a job elsewhere that another run began, all
that it has said is heard at once."""


@dataclass(slots=True)
class RunningStep:
    """How far a step is, and the last value of everything it measured. Times are seconds on the caller's clock."""

    step: str
    started: float
    waiting: bool = False
    stage: str = ""
    """What its job is in elsewhere before it begins to work."""
    done: int = 0
    total: int = 0
    unit: str = ""
    values: dict[str, float] = field(default_factory=dict)
    _heard: float = 0.0
    _first: tuple[float, int] | None = None

    def take(self, progress: StepProgress, now: float) -> None:
        """Take in a progress event. Time left is reckoned from the first ones on, so that loading does not count."""
        if self._first is None or progress.total != self.total or progress.done < self.done:
            self._heard = now
        if now - self._heard < BURST:
            self._first = (now, progress.done)
        self.stage = ""
        self.done, self.total, self.unit = progress.done, progress.total, progress.unit
        self.values = {**self.values, **progress.values}  # a new dict: another thread may be drawing the old one

    @property
    def position(self) -> str:
        """``45/120 steps``; without a total what is done so far."""
        return f"{self.done:,}/{self.total:,} {self.unit}" if self.total > 0 else f"{self.done:,} {self.unit}"

    def seconds_left(self, now: float) -> float | None:
        """How long it should still take; none: too early to say, or it does not say how much there is to do."""
        if self._first is None or self.total <= 0:
            return None
        since, base = self._first
        if self.done <= base or now <= since:
            return None
        return (self.total - self.done) * (now - since) / (self.done - base)

    def phrases(self, now: float) -> list[str]:
        """What it says of itself, the most interesting first: ``loss 1.23``, ``0:42 left``, ``3,400 tok/s``."""
        if self.waiting:
            return ["another run is computing it"]
        if self.stage:
            return [self.stage]
        measured = phrases.values(self.values)
        left = self.seconds_left(now)
        remaining = [] if left is None else [f"{phrases.clock(left)} left"]
        return [*measured[:1], *remaining, *measured[1:]]
