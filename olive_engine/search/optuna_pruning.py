# ruff: noqa: TID253 - heavy module, imported lazily by `pruning`
"""Optuna's pruners, asked about a study in memory that is made up from the curves each time, so nothing is remembered.

The study has one objective, the yardstick, and its direction; trials have their own numbers, and a step is the number
of a rung, from 1. Trials of earlier waves are in it as they ended, those of this wave as running: all report what they
measured, then each is asked, in the order of their numbers. What follows from that, by Optuna's own rules:

- median and percentile compare with complete trials only, so nobody of the first wave is pruned, nor before there are
  `n_startup_trials`. `n_warmup_steps` counts rungs at which nobody is pruned.
- wilcoxon compares with the best complete trial, rung by rung; at the default threshold of 0.1 four rungs are the least
  that it can tell anything from.
- hyperband's resource is the number of a rung, and its `max_resource`, where none is given, the number of rungs. A
  trial's bracket comes from its number and the study's name, which is always the same one. Within a wave the trials
  that are asked first are compared with fewer others.
- threshold looks at the value alone, patient at the trial's own curve, then asks the pruner that it wraps.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner
from optuna.study import StudyDirection
from optuna.trial import TrialState
from pydantic import JsonValue

from olive_engine.config.search.methods import PRUNERS, Pruner
from olive_engine.config.search.pruners import whole, wrapped_pruner
from olive_engine.search.pruning import Heat
from olive_engine.search.trials import Trial

STUDY = "rungs"
"""The study's name, on which Hyperband's brackets depend."""


def not_pruned(pruner: Pruner, arguments: Mapping[str, JsonValue], heat: Heat) -> set[int]:
    """The numbers of the trainings that Optuna's pruner lets go on."""
    with _quiet():
        judge = make_pruner(pruner, arguments, len(heat.fractions))
        direction = StudyDirection.MAXIMIZE if heat.higher_is_better else StudyDirection.MINIMIZE
        study = optuna.create_study(
            study_name=STUDY, direction=direction, pruner=judge, sampler=optuna.samplers.RandomSampler(seed=0)
        )
        trials = _trials(study, [*(trial.number for trial in heat.before), *heat.curves])
        report = _report_and_ask if "hyperband" in (pruner, _wrapped_name(arguments)) else _report
        for trial in heat.before:
            for step, fraction in enumerate(heat.fractions, start=1):
                report(trials[trial.number], trial.curve, fraction, step)
            _end(study, trials[trial.number], trial)
        for step, fraction in enumerate(heat.fractions[: heat.rung], start=1):
            for number in sorted(heat.curves):
                report(trials[number], heat.curves[number], fraction, step)
        now = heat.fractions[heat.rung]
        for number, curve in heat.curves.items():
            trials[number].report(curve[now], heat.rung + 1)
        return {number for number in sorted(heat.curves) if not trials[number].should_prune()}


def make_pruner(pruner: Pruner, arguments: Mapping[str, JsonValue], rungs: int) -> BasePruner:
    """The pruner as Optuna makes it.

    Args:
        pruner: the name of one of Optuna's.
        arguments: its arguments as written.
        rungs: how many there are, with the end.
    """
    own: dict[str, object] = dict(arguments)
    if "n_warmup_steps" in PRUNERS[pruner].arguments:
        own["n_warmup_steps"] = whole(arguments, "n_warmup_steps", 0) + 1  # Optuna counts from step 0
    if pruner == "hyperband" and own.get("max_resource", "auto") == "auto":
        own["max_resource"] = rungs
    if pruner == "patient":
        wrapped = wrapped_pruner(arguments)
        own["wrapped_pruner"] = make_pruner(*wrapped, rungs) if wrapped else None
    cls: type[BasePruner] = getattr(optuna.pruners, PRUNERS[pruner].optuna)
    return cls(**own)


def _trials(study: optuna.Study, numbers: Sequence[int]) -> dict[int, optuna.Trial]:
    """A running trial for each number. Those between that are of no account have failed."""
    wanted, trials = set(numbers), {}
    for number in range(max(wanted) + 1):
        trial = study.ask()
        if number in wanted:
            trials[number] = trial
        else:
            study.tell(trial, state=TrialState.FAIL)
    return trials


def _end(study: optuna.Study, trial: optuna.Trial, was: Trial) -> None:
    """Let a trial end as it did."""
    value = was.curve[max(was.curve)] if was.curve else math.nan
    if was.state == "complete" and math.isfinite(value):
        study.tell(trial, value)
    elif was.state != "running":
        study.tell(trial, state=TrialState.PRUNED if was.state == "pruned" else TrialState.FAIL)


def _report(trial: optuna.Trial, curve: Mapping[float, float], fraction: float, step: int) -> bool:
    """Report what was measured at a rung; whether anything was."""
    value = curve.get(fraction, math.nan)
    if math.isfinite(value):
        trial.report(value, step)
    return math.isfinite(value)


def _report_and_ask(trial: optuna.Trial, curve: Mapping[float, float], fraction: float, step: int) -> bool:
    """Hyperband notes in a trial, when it is asked, at which of its own rungs the trial has been."""
    return _report(trial, curve, fraction, step) and trial.should_prune()


def _wrapped_name(arguments: Mapping[str, JsonValue]) -> str:
    wrapped = wrapped_pruner(arguments)
    return wrapped[0] if wrapped else ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's log lines, and its warnings about its experimental parts and trials that had other rungs."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=ExperimentalWarning)
            warnings.simplefilter("ignore", category=UserWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
