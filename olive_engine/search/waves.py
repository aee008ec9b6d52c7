"""Which trials a run carries out next: what earlier runs left open, what failed there, then new ones; in waves."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from olive_engine.config.search.strategy import SearchStrategy
from olive_engine.search.proposals import Proposer
from olive_engine.search.samplers import wave_size
from olive_engine.search.study import Study
from olive_engine.search.trials import Trial


@dataclass(slots=True)
class Spent:
    """What one run has spent of its limits, in all stages of a search."""

    trials: int = 0
    """Those that it has begun, or gone on with."""
    since: float = field(default_factory=time.monotonic)
    """When it began."""
    clock: float = field(default_factory=time.time)
    """The same in seconds since 1970."""


class Waves:
    """The waves of one run. What it gives holds trials of any state: the running ones are to be carried out."""

    def __init__(self, strategy: SearchStrategy, study: Study, proposer: Proposer, spent: Spent) -> None:
        self._strategy, self._study, self._proposer, self._spent = strategy, study, proposer, spent

    def left(self) -> Iterator[list[Trial]]:
        """What an earlier run, or another one at this moment, has begun and not ended."""
        for wave in sorted({trial.wave for trial in self._study.trials() if trial.state == "running"}):
            with self._study.lock():
                self._complete(wave)
            members = self._members(wave)
            self._spent.trials += sum(trial.state == "running" for trial in members)
            yield members

    def again(self, failed: Sequence[Trial]) -> Iterator[list[Trial]]:
        """The waves of failed trials with new ones that try them again, as far as `max_iter` lets.

        A new one belongs to the wave of the one that it repeats: it is judged as that would have been. Those that
        another run tries again are left to it.
        """
        limit = self._strategy.max_iter
        numbers = {
            trial.number for trial in (failed if limit is None else failed[: max(0, limit - self._spent.trials)])
        }
        if not numbers:
            return
        with self._study.lock():
            new = [
                self._study.add(self._proposer.again(trial), wave=trial.wave, retry_of=trial.number)
                for trial in worth_another_try(self._study.trials())
                if trial.number in numbers
            ]
        self._spent.trials += len(new)
        for wave in sorted({trial.wave for trial in new}):
            yield self._members(wave)

    def next(self) -> list[Trial]:
        """The next wave: one that another run has begun, else a new one; empty: every combination has been tried."""
        with self._study.lock():
            trials = self._study.trials()
            open_ = [trial for trial in trials if trial.state == "running"]
            if not open_:
                wave = max((trial.wave for trial in trials), default=-1) + 1
                open_ = self._propose(trials, self._indices(_proposed(trials)), wave)
            wave = min((trial.wave for trial in open_), default=-1)
        self._spent.trials += sum(trial.wave == wave for trial in open_)
        return self._members(wave)

    def done(self) -> str:
        """Why the search has come to its end; empty: it has not."""
        strategy, trials = self._strategy, self._study.trials()
        if strategy.stop_when_goals_met and any(trial.met for trial in trials if trial.state == "complete"):
            return "the goals are met"
        ended = all(trial.state != "running" for trial in trials)  # else another run is at work on the last wave
        if strategy.max_samples is not None and _proposed(trials) >= strategy.max_samples and ended:
            return f"max_samples: {strategy.max_samples}"
        return ""

    def limited(self) -> str:
        """Why this run begins no further wave, though a later one may; empty: it does."""
        strategy = self._strategy
        if strategy.max_iter is not None and self._spent.trials >= strategy.max_iter:
            return f"max_iter: {strategy.max_iter}"
        if strategy.max_time is not None and time.monotonic() - self._spent.since >= strategy.max_time:
            return f"max_time: {strategy.max_time:g} s"
        return ""

    # --- the parts ------------------------------------------------------------------------------------------------

    def _complete(self, wave: int) -> None:
        """Add the trials that a run which was killed while it proposed a wave did not come to."""
        trials = self._study.trials()
        members = [trial for trial in trials if trial.wave == wave]
        newest = max(trial.wave for trial in trials) == wave
        if newest and all(trial.state == "running" for trial in members):
            first = min(trial.index for trial in members)
            self._propose(trials, [index for index in self._indices(first) if index > members[-1].index], wave)

    def _members(self, wave: int) -> list[Trial]:
        return [trial for trial in self._study.trials() if trial.wave == wave]

    def _propose(self, trials: Sequence[Trial], indices: Sequence[int], wave: int) -> list[Trial]:
        proposals = self._proposer.propose(trials, indices) if indices else []
        return [self._study.add(proposal, wave=wave) for proposal in proposals]

    def _indices(self, first: int) -> list[int]:
        """The proposals of the wave that begins with `first`."""
        size = wave_size(self._strategy)
        end = (first // size + 1) * size
        if self._strategy.max_samples is not None:
            end = min(end, self._strategy.max_samples)
        if self._strategy.max_iter is not None:
            end = min(end, first + self._strategy.max_iter - self._spent.trials)
        return list(range(first, end))


def worth_another_try(trials: Sequence[Trial]) -> list[Trial]:
    """The trials that failed for reasons that may be gone, each proposal by its last attempt."""
    return [trial for trial in last_attempts(trials) if trial.state == "failed" and not trial.hopeless]


def last_attempts(trials: Iterable[Trial]) -> list[Trial]:
    """Each proposal's last trial, in the order of the proposals."""
    last = {trial.index: trial for trial in sorted(trials, key=lambda trial: trial.number)}
    return [last[index] for index in sorted(last)]


def _proposed(trials: Sequence[Trial]) -> int:
    """How many proposals there have been."""
    return max((trial.index for trial in trials), default=-1) + 1
