# ruff: noqa: TID253 - heavy module, imported lazily by those who run a search
"""The values of an axis as Optuna has them: its distributions, and the way there and back."""

from __future__ import annotations

import json
import math

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial as OptunaTrial

from olive_engine.config.search.values import Candidate, Choice, FloatRange, IntRange, Scalar, size
from olive_engine.search.exhaustive import Alternatives, Axis, Space, stepped, walk
from olive_engine.search.trials import Assignment

Params = dict[str, Scalar]
"""Optuna's names -> the values it knows."""
Distributions = dict[str, BaseDistribution]


def suggest(trial: OptunaTrial, axis: Axis) -> Candidate:
    """Ask an Optuna trial for a value."""
    match axis.values:
        case Choice(values=values):
            labels = _labels(axis.values)
            return values[_index(labels, trial.suggest_categorical(axis.name, labels))]
        case IntRange(low=low, high=high, step=step, log=log):
            return trial.suggest_int(axis.name, low, high, step=step, log=log)
        case FloatRange(low=low, step=step, log=log):
            found = trial.suggest_float(axis.name, low, _last(axis.values), step=step, log=log)
            return found if step is None else stepped(low, step, round((found - low) / step))


def encoded(assignment: Assignment, space: Space, alternatives: Alternatives) -> tuple[Params, Distributions] | None:
    """An assignment in Optuna's names and values; None: it is none of this space."""
    params: Params = {}
    distributions: Distributions = {}

    def put(axis: Axis) -> Candidate:
        value = assignment[axis.option]
        params[axis.name] = _encode(value, axis)
        distributions[axis.name] = distribution(axis)
        return value

    try:
        walked = walk(space, alternatives, put)
    except (KeyError, ValueError):
        return None
    return (params, distributions) if walked.keys() == assignment.keys() else None


def distribution(axis: Axis) -> BaseDistribution:
    """Optuna's distribution over the values of an axis."""
    match axis.values:
        case Choice():
            return CategoricalDistribution(_labels(axis.values))
        case IntRange(low=low, high=high, step=step, log=log):
            return IntDistribution(low, high, log=log, step=step)
        case FloatRange(low=low, step=step, log=log):
            return FloatDistribution(low, _last(axis.values), log=log, step=step)


def lowest(distribution: BaseDistribution) -> Scalar:
    """One value of a distribution."""
    value: Scalar = distribution.to_external_repr(
        distribution.low if isinstance(distribution, FloatDistribution | IntDistribution) else 0
    )
    return value


def _encode(value: Candidate, axis: Axis) -> Scalar:
    """What Optuna knows a value by.

    Raises:
        ValueError: it is not among the axis's.
    """
    match axis.values:
        case Choice(values=values):
            at = next((index for index, each in enumerate(values) if _is(each, value)), None)
            if at is not None:
                return _labels(axis.values)[at]
        case IntRange(low=low, high=high, step=step):
            if isinstance(value, int) and low <= value <= high and (value - low) % step == 0:
                return value
        case FloatRange(low=low, step=step):
            if isinstance(value, int | float) and low <= value <= _last(axis.values):
                return float(value) if step is None else stepped(low, step, round((value - low) / step))
    raise ValueError(f"{axis.option} cannot be {value!r}")


def _labels(choice: Choice) -> tuple[Scalar, ...]:
    """Optuna's name of each value: itself where it is a plain one, else its JSON text; no two are equal."""
    plain = tuple(_plain(value) for value in choice.values)
    # To Optuna, true is 1; and a text may look like a list's.
    return plain if len(set(plain)) == len(plain) else tuple(json.dumps(value) for value in choice.values)


def _plain(value: Candidate) -> Scalar:
    if isinstance(value, tuple) or (isinstance(value, float) and not math.isfinite(value)):
        return json.dumps(value)
    return value


def _index(labels: tuple[Scalar, ...], label: Scalar) -> int:
    return next(index for index, each in enumerate(labels) if each == label)


def _is(one: Candidate, other: Candidate) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _last(values: FloatRange) -> float:
    """The highest value; of a stepped range the one that its last step ends on, so that Optuna need not round it."""
    count = size(values)
    return values.high if count is None or values.step is None else stepped(values.low, values.step, count - 1)
