"""A sweep as far as it has come, as one value: what its report, its table and its export are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

from olive_engine.config.search.values import Candidate, SearchValue
from olive_engine.reporting import phrases
from olive_engine.search.correlation import Agreement
from olive_engine.search.trials import Trial

SAME_BUDGET = 0.05
"""By how much the tokens of whole trainings may differ that have one budget, for batches end where they end."""


@dataclass(frozen=True, slots=True)
class Retrain:
    """How to train a trial's model once more, alone."""

    command: str
    file: str
    """The workflow file that the command runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSummary:
    """A sweep as far as it has come."""

    title: str
    study: str
    """The study's name in its storage."""
    trials: tuple[Trial, ...]
    """In the order of their numbers."""
    objectives: tuple[tuple[str, bool], ...]
    """Name of each objective, the first counting first, and whether higher is better."""
    mode: Literal["priority", "pareto"] = "priority"
    searched: Mapping[str, SearchValue] = field(default_factory=dict)
    """Whole name of each searched option -> its values."""
    alternatives: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Each slot that has several passes -> their types."""
    rungs: tuple[float, ...] = (1.0,)
    """The fractions of its own budget at which a trial is judged; the last is 1."""
    yardstick: tuple[str, bool] | None = None
    """The metric of the rungs, and whether higher is better; None: nobody is judged on the way."""
    best: tuple[int, ...] = ()
    """Numbers of the best trials, the first the very best."""
    correlations: tuple[Agreement, ...] = ()
    """How well each rung foretold what came later."""
    warning: str = ""
    """What to know before trusting the rungs, in a sentence."""
    retrain: Mapping[int, Retrain] = field(default_factory=dict)
    """Trial number -> how to train it once more."""
    seed: int | None = None
    sampler: str = ""
    pruner: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Library -> version."""


@dataclass(frozen=True, slots=True)
class Budgets:
    """What trials spent against what they would have spent without a pruner."""

    spent: Mapping[int, float]
    """Trial number -> training tokens, or budgets where tokens were not told."""
    saved: Mapping[int, float]
    """Pruned trial -> what it would have spent on top."""
    in_tokens: bool

    def in_words(self) -> str:
        """How much pruning saved, as a sentence."""
        saved, whole = sum(self.saved.values()), sum(self.spent.values()) + sum(self.saved.values())
        if not self.saved:
            return "No trial was pruned."
        share = f"{saved / whole:.0%}"
        if self.in_tokens:
            return f"Pruning saved {saved:,.0f} of {whole:,.0f} training tokens ({share})."
        return f"Pruning saved {saved:.3g} of {phrases.number(whole)} trial budgets ({share})."


def budgets(trials: Sequence[Trial]) -> Budgets:
    """What each trial spent, and what pruning saved; trials that spent nothing are left out."""
    begun = [trial for trial in trials if trial.spent > 0]
    in_tokens = bool(begun) and all(trial.tokens > 0 for trial in begun)
    spent = {trial.number: float(trial.tokens) if in_tokens else trial.spent for trial in begun}
    whole = _whole_budget([trial.tokens for trial in begun if trial.state == "complete"]) if in_tokens else None
    saved = {
        trial.number: spent[trial.number] * (1 - trial.spent) / trial.spent
        if whole is None
        else max(0.0, whole - spent[trial.number])
        for trial in begun
        if trial.state == "pruned" and trial.spent < 1
    }
    return Budgets(spent, saved, in_tokens)


def _whole_budget(complete: Sequence[int]) -> float | None:
    """The tokens of a whole training, where complete trials agree on them; none: each trial has a budget of its own.

    A stretch ends with the step that passes its rung, so a fraction tells a pruned trial's budget less well.
    """
    if not complete:
        return None
    middle = median(complete)
    return middle if all(abs(each - middle) <= SAME_BUDGET * middle for each in complete) else None


def retries(trials: Sequence[Trial]) -> dict[int, int]:
    """Trial -> the earlier trial that it tries again, being of the same proposal."""
    last: dict[int, int] = {}
    again: dict[int, int] = {}
    for trial in sorted(trials, key=lambda trial: trial.number):
        if trial.index in last:
            again[trial.number] = last[trial.index]
        last[trial.index] = trial.number
    return again


def option_names(sweep: SweepSummary) -> list[str]:
    """The searched slots and options, and whatever else a trial was assigned, by whole name."""
    declared = dict.fromkeys([*sweep.alternatives, *sweep.searched])
    return list(declared | dict.fromkeys(name for trial in sweep.trials for name in trial.assignment))


def chosen(sweep: SweepSummary, name: str, value: Candidate) -> Candidate:
    """A value of an assignment as a user knows it: the type of a pass for its index in a slot."""
    types = sweep.alternatives.get(name, ())
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(types):
        return types[value]
    return value


def text_of(value: Candidate) -> str:
    """A value as in a file, but short: ``[q, v]``, ``none``, ``true``, ``2e-05``."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(text_of, value))}]"
    if value is None or isinstance(value, bool):
        return "none" if value is None else str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)
