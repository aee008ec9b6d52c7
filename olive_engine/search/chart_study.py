# ruff: noqa: TID253 - heavy module (optuna), imported lazily by report.py
"""Trials as a study in memory, which Optuna's charts and importances are made from.

Names and values of options come from the user. A chart reads text as a little HTML, so they are escaped here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import TypeGuard

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import InMemoryStorage
from optuna.study import Study
from optuna.trial import TrialState, create_trial

from olive_engine.config.search.values import Candidate, Choice, Conditional, FloatRange, IntRange, SearchValue
from olive_engine.reporting.sweep_columns import short_names
from olive_engine.search.names import step_of
from olive_engine.search.summary import SweepSummary, chosen, option_names, text_of
from olive_engine.search.trials import Trial

Point = bool | int | float | str | None
_UNFINISHED = {
    "complete": TrialState.FAIL,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "running": TrialState.RUNNING,
}
"""What a trial is in a study that has no value of it."""


def study_of(sweep: SweepSummary, values: Mapping[int, Sequence[float]], higher: Sequence[bool]) -> Study:
    """A study in which the trials of `values` are complete, all others being what they are.

    Args:
        sweep: whose trials.
        values: trial number -> a finite value for each direction.
        higher: for each value, whether higher is better.
    """
    axes = _axes(sweep)
    with _quietly():
        study = optuna.create_study(
            storage=InMemoryStorage(), directions=["maximize" if up else "minimize" for up in higher]
        )
        for trial in sweep.trials:
            while len(study.get_trials(deepcopy=False)) < trial.number:  # of others, who use the study too
                study.add_trial(create_trial(state=TrialState.FAIL))
            own = {axis: axis.point(sweep, trial) for axis in axes if axis.name in trial.assignment}
            study.add_trial(
                create_trial(
                    state=TrialState.COMPLETE if trial.number in values else _UNFINISHED[trial.state],
                    values=values.get(trial.number),
                    params={axis.label: point for axis, point in own.items()},
                    distributions={axis.label: axis.distribution for axis in own},
                    intermediate_values={step_of(rung): value for rung, value in trial.curve.items()},
                )
            )
    return study


def labels(sweep: SweepSummary) -> dict[str, str]:
    """Each option -> what it is called in charts."""
    short = short_names(option_names(sweep))
    return {name: escape(text, quote=False) for name, text in short.items()}


@dataclass(frozen=True, slots=True, eq=False)
class _Axis:
    """A searched option as Optuna's charts know it."""

    name: str
    label: str
    distribution: BaseDistribution
    as_text: bool

    def point(self, sweep: SweepSummary, trial: Trial) -> Point:
        value = chosen(sweep, self.name, trial.assignment[self.name])
        return _text(value) if self.as_text or isinstance(value, tuple) else value


def _axes(sweep: SweepSummary) -> list[_Axis]:
    axes = []
    for name, label in labels(sweep).items():
        seen = [chosen(sweep, name, trial.assignment[name]) for trial in sweep.trials if name in trial.assignment]
        numbers = _numbers(sweep.searched.get(name), seen)
        if numbers is not None:
            axes.append(_Axis(name, label, numbers, as_text=False))
            continue
        declared = _listed(sweep.searched.get(name)) or list(sweep.alternatives.get(name, ()))
        texts = dict.fromkeys(map(_text, [*declared, *seen]))
        if texts:
            axes.append(_Axis(name, label, CategoricalDistribution(tuple(texts)), as_text=True))
    return axes


def _numbers(value: SearchValue | None, seen: Sequence[Candidate]) -> BaseDistribution | None:
    """The range or the list of numbers that an option was drawn from; None: there are other values too."""
    plain = [part for part in _parts(value) if not isinstance(part, Choice)]
    if value is not None and len(plain) == len(_parts(value)):
        low, high = min(part.low for part in plain), max(part.high for part in plain)
        if not all(_is_number(each) and low <= each <= high for each in seen):
            return None
        log = all(part.log for part in plain)
        if all(isinstance(part, IntRange) for part in plain):
            return IntDistribution(int(low), int(high), log=log)
        return FloatDistribution(low, high, log=log)
    listed = _listed(value)
    if listed and all(_is_number(each) for each in listed) and all(each in listed for each in seen):
        return CategoricalDistribution(tuple(each for each in listed if not isinstance(each, tuple)))
    return None


def _parts(value: SearchValue | None) -> list[FloatRange | IntRange | Choice]:
    if value is None:
        return []
    if not isinstance(value, Conditional):
        return [value]
    return [case.search for case in value.cases] + ([] if value.otherwise is None else [value.otherwise])


def _listed(value: SearchValue | None) -> list[Candidate]:
    """The values of choices, those of numbers in order."""
    listed = [each for part in _parts(value) if isinstance(part, Choice) for each in part.values]
    return list(dict.fromkeys(listed)) if all(not isinstance(each, bool) for each in listed) else listed


def _is_number(value: Candidate) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Candidate) -> str:
    return escape(text_of(value), quote=False)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without Optuna's line about a new study in memory, which is none of the user's."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
