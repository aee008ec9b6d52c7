"""Trials of a search as reports show them: a row each, and which of them is better."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

TrialState = Literal["waiting", "running", "complete", "pruned", "failed"]

Measure = tuple[str, bool]
"""The name of a value, and whether higher is better."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """What a search chooses, and by what its trials are compared."""

    searched: tuple[str, ...]
    """The searched options by their whole names, in the order of the columns."""
    objectives: tuple[Measure, ...]
    """What a complete trial comes to, the first counting first."""
    yardstick: Measure | None = None
    """By what trials are judged on the way; none: they are not."""


@dataclass(frozen=True, slots=True)
class TrialRow:
    """What is known of a trial."""

    trial: int
    options: Mapping[str, object]
    """The values it chose, by the options' whole names."""
    state: TrialState = "waiting"
    curve: Mapping[float, float] = field(default_factory=dict)
    """Fraction of its own budget -> the value measured there."""
    values: tuple[float, ...] = ()
    """What it came to, for each objective; empty unless it is complete."""
    spent: float = 0.0
    """The fraction of its own budget that was spent on it."""
    cause: str = ""
    """Why it failed."""
    again: int | None = None
    """The failed trial that it tries again."""

    @property
    def judged(self) -> float | None:
        """The value of its last rung; none: it has not come to one."""
        return self.curve[max(self.curve)] if self.curve else None


def ranked(rows: Iterable[TrialRow], scheme: Scheme) -> list[TrialRow]:
    """The best first: complete trials by their objectives, the others by how far they came and how they were judged.

    A failed trial comes last, and what is not a number behind all numbers.
    """
    objectives = [higher for _, higher in scheme.objectives]
    judged = scheme.yardstick is not None and scheme.yardstick[1]

    def key(row: TrialRow) -> tuple[int, tuple[float, ...], int]:
        if row.state == "failed":
            return 2, (), row.trial
        if row.state == "complete":
            costs = [_cost(value, higher=higher) for value, higher in zip(row.values, objectives, strict=False)]
            return 0, tuple(costs), row.trial
        if row.judged is None:
            return 1, (0.0, math.inf), row.trial
        return 1, (-max(row.curve), _cost(row.judged, higher=judged)), row.trial

    return sorted(rows, key=key)


def leader(rows: Iterable[TrialRow], scheme: Scheme) -> int | None:
    """The best trial so far; none: nothing has been measured yet."""
    first = next(iter(ranked(rows, scheme)), None)
    if first is None or first.state == "failed":
        return None
    measured = first.values[0] if first.values else first.judged
    return None if measured is None or math.isnan(measured) else first.trial


def percent(fraction: float) -> str:
    """``33 %``, ``100 %``; below one percent with a digit after the point, and so are halves: ``12.5 %``."""
    share = 100 * fraction
    half = math.isclose(share % 1, 0.5, abs_tol=1e-9)
    return f"{share:.1f} %" if 0 < share < 1 or half else f"{share:.0f} %"


def numbers(trials: Iterable[int]) -> str:
    """Trial numbers in few words: ``0-3, 7, 9``."""
    runs: list[list[int]] = []
    for trial in sorted(trials):
        if runs and trial == runs[-1][1] + 1:
            runs[-1][1] = trial
        else:
            runs.append([trial, trial])
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in runs)


def _cost(value: float, *, higher: bool) -> float:
    if math.isnan(value):
        return math.inf
    return -value if higher else value
