"""What a metric should reach, and whether it did. Pure: numbers in, verdicts out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from olive_engine.config.workflow import Goal

TOLERANCE = 1e-9
"""Relative: a value that misses its goal by rounding alone (0.1 + 0.2 against 0.3) has reached it."""


@dataclass(frozen=True, slots=True)
class GoalResult:
    """Whether one value reached its goal."""

    name: str
    goal: Goal
    value: float | None
    """None: not measured."""
    required: float | None
    """The goal as an absolute number in the metric's unit. None: it cannot be told (see `why`)."""
    met: bool
    why: str
    """One sentence for the report."""


def judge(
    values: Mapping[str, float],
    baseline: Mapping[str, float],
    goals: Mapping[str, Goal],
    directions: Mapping[str, bool],
) -> list[GoalResult]:
    """Hold the values of one model against its goals, in the order of `goals`.

    Args:
        values: what was measured; a name that is not there, and NaN, never meet a goal.
        baseline: what was measured on the input model; only the relative goals read it.
        goals: what each name should reach.
        directions: whether higher is better, for each name in `goals`.
    """
    return [_judge(name, values.get(name), baseline.get(name), goal, directions[name]) for name, goal in goals.items()]


def _judge(name: str, value: float | None, baseline: float | None, goal: Goal, higher: bool) -> GoalResult:  # noqa: FBT001 - a metric's direction is a boolean in its contract
    required, obstacle = _required(goal, baseline, higher)
    measured = None if value is None or math.isnan(value) else value
    if measured is None:
        return GoalResult(name, goal, None, required, met=False, why=f"{name} was not measured")
    if required is None:
        return GoalResult(name, goal, measured, None, met=False, why=f"{name}: {obstacle}")
    reached = measured >= required if higher else measured <= required
    met = reached or math.isclose(measured, required, rel_tol=TOLERANCE)
    verdict = "reaches" if met else "misses"
    bound = "at least" if higher else "at most"
    return GoalResult(
        name, goal, measured, required, met, why=f"{name} {measured:.6g} {verdict} its goal of {bound} {required:.6g}"
    )


def _required(goal: Goal, baseline: float | None, higher: bool) -> tuple[float | None, str]:  # noqa: FBT001 - as above
    """The goal as an absolute number, or why it is none."""
    if goal.type == "threshold":
        return goal.value, ""
    if baseline is None or math.isnan(baseline):
        return None, f"{goal.type} compares with the input model, which has no value; evaluate it too"
    if math.isinf(baseline):
        return None, f"{goal.type} compares with the input model, whose value is infinite"
    step = goal.value
    if goal.type.startswith("percent-"):
        if baseline == 0 and goal.type == "percent-min-improvement":
            return None, "a percentage of the input model's value, which is 0, is no improvement; use min-improvement"
        # Of its size: a baseline of -2 improved by 10 % is -1.8 where higher is better.
        step = abs(baseline) * goal.value / 100
    better = step if goal.type.endswith("min-improvement") else -step
    return baseline + (better if higher else -better), ""
