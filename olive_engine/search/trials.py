"""A trial as a value: what all parts of a search speak of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from olive_engine.config.search.values import Candidate

State = Literal["running", "complete", "pruned", "failed"]

Assignment = Mapping[str, Candidate]
"""What a trial chooses: a searched option's whole name (``tune.r``) -> its value, and the name of a slot of
alternatives -> the index of the one taken. Options of alternatives that are not taken, and conditional options of which
no case holds, are absent."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial of a study, as far as it has come."""

    number: int
    """Its place in the study, from 0, without gaps."""
    index: int
    """Which proposal it carries out; that of another trial where it tries that one again."""
    assignment: Assignment
    wave: int = 0
    """Which wave it belongs to: those trials are proposed together, and judged together at each rung."""
    retry_of: int | None = None
    """The failed trial that it tries again."""
    state: State = "running"
    values: tuple[float, ...] = ()
    """What it came to, an entry for each objective; empty unless it is complete."""
    curve: Mapping[float, float] = field(default_factory=dict)
    """Fraction of its own budget -> the rung value measured there, ascending."""
    cause: str = ""
    """Why it failed, or who pruned it, in a sentence."""
    hopeless: bool = False
    """It failed for the sake of its own values (the loss diverged): trying it again would not help."""
    met: bool | None = None
    """Whether it reached all goals; none: there are none, or it is not complete."""
    tokens: int = 0
    """Training tokens spent on it; 0: not told."""
    seconds: float = 0.0
    """The time that its own steps took."""

    @property
    def spent(self) -> float:
        """The fraction of its own budget that was spent on it, as far as it was measured."""
        return max(self.curve, default=1.0 if self.state == "complete" else 0.0)
