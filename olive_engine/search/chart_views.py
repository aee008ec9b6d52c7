"""What trials are compared by in charts: each objective, and an early rung where only a few came to the end. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TypeVar

from olive_engine.reporting.trials import percent
from olive_engine.search.summary import SweepSummary
from olive_engine.search.trials import Trial

TELLING = 5
"""With fewer complete trials than these, options are shown against an early rung."""
_Key = TypeVar("_Key", int, float)


@dataclass(frozen=True, slots=True)
class View:
    """Something that trials are compared by."""

    name: str
    higher: bool
    values: Mapping[int, float]
    """Trial number -> its finite value."""

    @property
    def title(self) -> str:
        """Its name, and which way is better."""
        return titled(self.name, higher=self.higher)

    @property
    def label(self) -> str:
        """Its name as text of a figure, which reads a little HTML."""
        return escape(self.name, quote=False)


def objective_views(sweep: SweepSummary) -> list[View]:
    """Each objective, with the complete trials."""
    return [
        View(name, up, finite({trial.number: trial.values[index] for trial in complete(sweep)}))
        for index, (name, up) in enumerate(sweep.objectives)
    ]


def early_view(sweep: SweepSummary) -> View | None:
    """The last rung that all trials reached but those that failed; None where nobody was pruned."""
    judged = [trial for trial in sweep.trials if trial.curve and trial.state in ("complete", "pruned")]
    if sweep.yardstick is None or not any(trial.state == "pruned" for trial in judged):
        return None
    shared = set.intersection(*(set(trial.curve) for trial in judged))
    if not shared:
        return None
    name, up = sweep.yardstick
    values = finite({trial.number: trial.curve[max(shared)] for trial in judged})
    return View(f"{name} at {percent(max(shared))} of the budget", up, values)


def option_views(sweep: SweepSummary) -> list[View]:
    """What options are shown against: the objectives that count, or an early rung while too few trials are complete."""
    counting = [view for view in objective_views(sweep)[: len(counting_objectives(sweep))] if view.values]
    early = early_view(sweep)
    if early is None:
        return counting
    return [*(view for view in counting if len(view.values) >= TELLING), early]


def counting_objectives(sweep: SweepSummary) -> Sequence[tuple[str, bool]]:
    """The objective that counts first, or all where they count alike."""
    return sweep.objectives if sweep.mode == "pareto" else sweep.objectives[:1]


def ranks(sweep: SweepSummary, objective: int) -> dict[int, float]:
    """Trial -> its place by an objective, the best 0; pruned trials follow, by how far they came and what they had."""
    up = sweep.objectives[objective][1]
    places: dict[int, tuple[float, float]] = {}
    for trial in sweep.trials:
        if trial.state == "complete" and math.isfinite(trial.values[objective]):
            value = trial.values[objective]
            places[trial.number] = (-2.0, -value if up else value)
        elif trial.state == "pruned" and sweep.yardstick is not None and finite(trial.curve):
            last = max(finite(trial.curve))
            value = trial.curve[last]
            places[trial.number] = (-last, -value if sweep.yardstick[1] else value)
    order = sorted(places, key=lambda number: places[number])
    return {number: float(place) for place, number in enumerate(order)}


def complete(sweep: SweepSummary) -> list[Trial]:
    """The trials that have values."""
    return [trial for trial in sweep.trials if trial.state == "complete"]


def finite(values: Mapping[_Key, float]) -> dict[_Key, float]:
    """Those of the values that are numbers."""
    return {key: value for key, value in values.items() if math.isfinite(value)}


def titled(name: str, *, higher: bool) -> str:
    """``eval_loss (lower is better)``."""
    return f"{name} ({'higher' if higher else 'lower'} is better)"
