# ruff: noqa: TID253 - heavy module, imported lazily by those who run a search
"""A study in memory that samplers are asked in; the recorded one is never touched by them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import optuna
from optuna.storages import InMemoryStorage
from optuna.trial import Trial as OptunaTrial
from optuna.trial import TrialState, create_trial

from olive_engine.config.search.strategy import SearchStrategy
from olive_engine.config.search.values import Candidate
from olive_engine.search.distributions import distribution, encoded, lowest, suggest
from olive_engine.search.exhaustive import Alternatives, Space, axes, walk
from olive_engine.search.names import step_of
from olive_engine.search.samplers import Direction, make_sampler, quiet
from olive_engine.search.trials import Assignment, Trial

_Outcome = tuple[TrialState, list[float] | None, dict[int, float]]
_RUNNING: _Outcome = (TrialState.RUNNING, None, {})
_FAILED: _Outcome = (TrialState.FAIL, None, {})


class Shadow:
    """What samplers see: trials that ended with what they came to, and trials that run."""

    def __init__(
        self,
        strategy: SearchStrategy,
        space: Space,
        alternatives: Alternatives,
        directions: Sequence[Direction],
        seed: int,
        curve_direction: Direction,
    ) -> None:
        self._strategy, self._space, self._alternatives, self._seed = strategy, space, alternatives, seed
        self._objectives = len(directions)
        self._sign = 1.0 if curve_direction == directions[0] else -1.0
        with quiet():
            self._study = optuna.create_study(storage=InMemoryStorage(), directions=list(directions))

    def add(self, assignment: Assignment, ended: Trial | None = None) -> None:
        """Put a trial in that was not asked for here: one that ended, or one that runs."""
        values = encoded(assignment, self._space, self._alternatives)
        if values is None:
            return  # of another space: nothing can be learnt from it
        params, distributions = values
        state, told, curve = self._outcome(ended) if ended is not None else _RUNNING
        if state == TrialState.FAIL:
            return
        trial = create_trial(
            state=state, values=told, params=params, distributions=distributions, intermediate_values=curve
        )
        with quiet():
            self._study.add_trial(trial)

    def add_outline(self) -> None:
        """Put a trial in that has every axis there is, for samplers that take the space from the first trial."""
        found = {axis.name: distribution(axis) for axis in axes(self._space, self._alternatives)}
        distributions = {name: each for name, each in found.items() if not each.single()}
        params = {name: lowest(each) for name, each in distributions.items()}
        trial = create_trial(params=params, distributions=distributions, values=[0.0] * self._objectives)
        self._study.add_trial(trial)

    def ask(
        self, index: int, attempt: int, fixed: Assignment | None = None
    ) -> tuple[OptunaTrial, dict[str, Candidate]]:
        """Have the sampler propose; the trial runs on in here.

        Args:
            index: of the proposal.
            attempt: counts from 0 where it is asked again.
            fixed: what it is to be, whatever the sampler would say; the sampler notes it as its own.
        """
        with quiet():
            self._study.sampler = make_sampler(self._strategy, self._seed, index, attempt)
            values = None if fixed is None else encoded(fixed, self._space, self._alternatives)
            if values is not None:
                self._study.enqueue_trial(values[0])
            trial = self._study.ask()
            return trial, walk(self._space, self._alternatives, lambda axis: suggest(trial, axis))

    def tell(self, trial: OptunaTrial, ended: Trial | None) -> None:
        """What became of a trial that was asked for here; None: nothing, as if it had failed."""
        state, values, curve = self._outcome(ended) if ended is not None else _FAILED
        with quiet():
            for step, value in curve.items():
                trial.report(value, step)
            self._study.tell(trial, values, state if state != TrialState.COMPLETE else None)

    def _outcome(self, trial: Trial) -> _Outcome:
        """A trial's end as samplers may know it."""
        values = list(trial.values[: self._objectives])
        single = self._objectives == 1
        curve = {step_of(at): self._sign * value for at, value in trial.curve.items()} if single else {}
        if trial.state == "running":
            return _RUNNING
        if trial.state == "complete" and len(values) == self._objectives and not any(map(math.isnan, values)):
            return TrialState.COMPLETE, values, curve
        # Optuna cannot learn from a pruned trial where there are several objectives.
        if trial.state == "pruned" and single:
            return TrialState.PRUNED, None, curve
        return _FAILED
