"""Which trials are best. Pure; a trial that is not complete never ranks."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

from olive_engine.search.objectives import Objectives
from olive_engine.search.trials import Trial

Meets = Mapping[int, bool] | None
"""Number of a trial -> whether it reaches all goals; a trial that is not there does not. None: there are no goals."""


def ranked(trials: Iterable[Trial], objectives: Objectives, meets: Meets = None) -> list[Trial]:
    """The complete trials, the best first.

    Those that reach the goals come first; among them each objective decides where those before it are equal, and
    where all are, the lower number. Of trials that carry out one proposal, or chose the same, the best one counts.
    """
    order = _order(objectives, meets)
    complete = sorted((trial for trial in trials if _is_comparable(trial, objectives)), key=order)
    return _first_of_each(_first_of_each(complete, lambda trial: trial.index), _chosen)


def pareto_front(trials: Iterable[Trial], objectives: Objectives, meets: Meets = None) -> list[Trial]:
    """The trials that no other beats in one objective without being beaten in another, in the order of `ranked`.

    Equals don't beat each other. Trials that miss the goals are judged only if none reaches them.
    """
    candidates = _filtered(ranked(trials, objectives, meets), meets)
    points = [(trial, _signed(trial, objectives)) for trial in candidates]
    return [trial for trial, point in points if not any(_dominates(other, point) for _, other in points)]


def best_of(
    trials: Iterable[Trial], objectives: Objectives, output_model_num: int | None = None, meets: Meets = None
) -> list[Trial]:
    """The trials whose models are wanted; empty: none is complete.

    Trials that miss the goals are among them only if none reaches them.

    Args:
        trials: all trials of the study.
        objectives: what they are compared by; its mode says whether the first objective counts first or all alike.
        output_model_num: how many are wanted at most; none: the best one, or the whole Pareto front.
        meets: which trials reach the goals.
    """
    if objectives.mode == "pareto":
        return pareto_front(trials, objectives, meets)[:output_model_num]
    return _filtered(ranked(trials, objectives, meets), meets)[: output_model_num or 1]


def _is_comparable(trial: Trial, objectives: Objectives) -> bool:
    return (
        trial.state == "complete"
        and len(trial.values) == len(objectives.parts)
        and not any(map(math.isnan, trial.values))
    )


def _order(objectives: Objectives, meets: Meets) -> Callable[[Trial], tuple[bool, tuple[float, ...], int]]:
    return lambda trial: (_misses(trial, meets), _signed(trial, objectives), trial.number)


def _signed(trial: Trial, objectives: Objectives) -> tuple[float, ...]:
    """Its values, so that lower is better."""
    return tuple(
        -value if part.higher_is_better else value for value, part in zip(trial.values, objectives.parts, strict=True)
    )


def _misses(trial: Trial, meets: Meets) -> bool:
    return meets is not None and not meets.get(trial.number, False)


def _filtered(best_first: Sequence[Trial], meets: Meets) -> list[Trial]:
    reaching = [trial for trial in best_first if not _misses(trial, meets)]
    return reaching or list(best_first)


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def _first_of_each(trials: Iterable[Trial], key: Callable[[Trial], Hashable]) -> list[Trial]:
    first: dict[Hashable, Trial] = {}
    for trial in trials:
        first.setdefault(key(trial), trial)
    return list(first.values())


def _chosen(trial: Trial) -> Hashable:
    """Equal for trials that chose the same; true is not 1, but 1.0 is."""
    return frozenset((name, isinstance(value, bool), value) for name, value in trial.assignment.items())
