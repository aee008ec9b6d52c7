"""A running search, as far as its events have told: its trials, what each is doing, and how long it should take."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from olive_engine.reporting import phrases
from olive_engine.reporting.events import (
    RunEvent,
    RungBegan,
    StepFailed,
    StepFinished,
    StepLog,
    StepProgress,
    StepSkipped,
    StepStage,
    StepStarted,
    StepWaiting,
    SweepBegan,
    TrialBegan,
    TrialEnded,
    TrialJudged,
)
from olive_engine.reporting.progress import RunningStep
from olive_engine.reporting.sweep_work import survival, to_come, waves_to_come
from olive_engine.reporting.trials import Scheme, TrialRow, TrialState, leader

_OF_TRIAL = re.compile(r"#(\d+)(?=[@:]|$)")
"""Where the name of a step says whose it is: ``merge#3:accuracy``."""
_HALT = "@"
"""In the name of a step that trains to a rung below 1: ``tune#3@0.25``. One without it trains to the end."""
_ENDED = ("complete", "pruned", "failed")
_ENOUGH = 0.03
"""The share of the work after which time left can be told from it."""


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A step that trains trials from one rung to the next."""

    trials: tuple[int, ...]
    since: float
    until: float


class Sweep:
    """Follows the events of one search. It may be read in another thread than the one that tells it."""

    def __init__(self, began: SweepBegan, now: float) -> None:
        self.began = began
        self.scheme = Scheme(began.searched, began.objectives, began.yardstick)
        self.started = now
        self.until: float | None = None
        """The rung to which trials are being trained."""
        self.rows: dict[int, TrialRow] = {}
        self._running: dict[str, RunningStep] = {}
        self._stretches: dict[str, _Stretch] = {}
        self._done: set[str] = set()
        self._aims: dict[int, float] = {}
        self._shares = self._survival()
        self._wave = 0
        self._work = 0.0
        self._working_since: float | None = None
        self._ended_here = 0
        self._told: dict[str, int] = {}

    # --- following ------------------------------------------------------------------------------------------------

    def follow(self, event: RunEvent, now: float) -> None:
        """Take an event in."""
        match event:
            case TrialBegan(trial, options, again):
                self.rows[trial] = TrialRow(trial, options, again=again)
            case RungBegan():
                self._begin_rung(event)
            case TrialJudged(trial, until, value):
                row = self.rows[trial]
                self.rows[trial] = replace(row, curve={**row.curve, until: value}, spent=max(row.spent, until))
            case TrialEnded():
                self._end(event)
            case StepStarted(step) | StepWaiting(step):
                self._running[step] = RunningStep(step, now, waiting=isinstance(event, StepWaiting))
                self._mark(step, "running")
                if self._working_since is None and self.trials_of(step):
                    self._working_since = now
            case StepStage(step, stage):
                self._running.setdefault(step, RunningStep(step, now)).stage = stage
            case StepProgress(step):
                self._running.setdefault(step, RunningStep(step, now)).take(event, now)
            case StepFinished(step):
                self._finish(event)
            case StepFailed(step) | StepSkipped(step):
                self._running.pop(step, None)
                self._done.add(step)
                self._mark(step, "waiting")
            case _:
                pass

    def trials_of(self, step: str) -> tuple[int, ...]:
        """The trials for which a step is run; none: it is shared by all."""
        if step in self._stretches:
            return self._stretches[step].trials
        found = _OF_TRIAL.search(step)
        return (int(found[1]),) if found and int(found[1]) in self.rows else ()

    def _begin_rung(self, event: RungBegan) -> None:
        before = max((rung for rung in self.began.rungs if rung < event.until), default=0.0)
        for step in dict.fromkeys(event.steps.values()):
            since, until = (before, event.until) if _HALT in step else (0.0 if event.until < 1 else before, 1.0)
            trials = tuple(trial for trial, its in event.steps.items() if its == step)
            self._aims |= dict.fromkeys(trials, until)  # first: whoever reads the stretches looks it up
            self._stretches.setdefault(step, _Stretch(trials, since, until))
        self.until = event.until
        self._wave = max(self._wave, len(event.steps))
        self._shares = self._survival()

    def _finish(self, event: StepFinished) -> None:
        self._running.pop(event.step, None)
        self._mark(event.step, "waiting")
        stretch = self._stretches.get(event.step)
        if stretch is None or event.step in self._done:
            return
        self._done.add(event.step)
        self._work += 0.0 if event.reused else stretch.until - stretch.since
        for trial in stretch.trials:  # not yet judged, for the others are still at work; how far it came is known
            self.rows[trial] = replace(self.rows[trial], spent=max(self.rows[trial].spent, stretch.until))

    def _end(self, event: TrialEnded) -> None:
        state: TrialState = (
            "complete" if event.state == "complete" else "pruned" if event.state == "pruned" else "failed"
        )
        self.rows[event.trial] = replace(
            self.rows[event.trial], state=state, values=event.values, spent=event.spent, cause=event.cause
        )
        if event.earlier:
            self._shares = self._survival()
        else:
            self._ended_here += 1

    def _mark(self, step: str, state: TrialState) -> None:
        for trial in self.trials_of(step):
            if self.rows[trial].state not in _ENDED:
                self.rows[trial] = replace(self.rows[trial], state=state)

    def _survival(self) -> list[float]:
        began = self.began
        return survival(self.rows.values(), self._aims, began.rungs, pruned=began.yardstick is not None)

    # --- asking ---------------------------------------------------------------------------------------------------

    def told_before(self, event: StepLog | TrialEnded) -> int | None:
        """Another trial of which the same was told: of many trials with one trouble, the first speaks for all."""
        if isinstance(event, TrialEnded):
            trial, message = event.trial, event.cause
        else:
            trial, message = min(self.trials_of(event.step), default=-1), event.message
        first = self._told.setdefault(message, trial) if trial >= 0 else trial
        return None if first == trial else first

    @property
    def best(self) -> int | None:
        """The best trial so far."""
        return leader(list(self.rows.values()), self.scheme)

    @property
    def ended(self) -> int:
        """How many trials are over, those of earlier runs too."""
        return sum(row.state in _ENDED for row in list(self.rows.values()))

    def current(self) -> list[TrialRow]:
        """All trials, what they have been trained by now too."""
        rows = dict(self.rows)
        for step, stretch in list(self._stretches.items()):
            if step in self._running:
                reached = self._reached(step, stretch)
                rows |= {trial: replace(rows[trial], spent=reached) for trial in stretch.trials}
        return list(rows.values())

    def halted(self) -> list[TrialRow]:
        """All trials as they stand when nothing runs any more."""
        return [replace(row, state="waiting") if row.state == "running" else row for row in self.current()]

    def doing(self, now: float) -> Mapping[int, list[str]]:
        """Trial -> what it is doing, in phrases, the most interesting first."""
        return {
            trial: self._phrases(step, now)
            for step in list(self._running.values())
            for trial in self.trials_of(step.step)
        }

    def shared(self) -> list[RunningStep]:
        """The running steps that are shared by all trials, such as the preparation of data."""
        return [step for step in list(self._running.values()) if not self.trials_of(step.step)]

    def seconds_left(self, now: float) -> float | None:
        """How long the search should still take; none: too early to say, or it has no end."""
        done, left = self._done_here(), self._left()
        if self._working_since is None or not left or done < _ENOUGH * (done + left):
            return None
        return left * (now - self._working_since) / done

    def _done_here(self) -> float:
        if not self._stretches:
            return float(self._ended_here)
        return self._work + sum(
            self._reached(step, stretch) - stretch.since
            for step, stretch in list(self._stretches.items())
            if step in self._running
        )

    def _left(self) -> float | None:
        """Budgets still to be spent, or trials where nothing is trained."""
        if self.began.wanted is None:
            return None
        rows = dict(self.rows)
        unborn = max(0, self.began.wanted - len(rows))
        live = [row for row in rows.values() if row.state not in _ENDED]
        if not self._stretches:
            return float(unborn + len(live))
        rungs, shares = self.began.rungs, self._shares
        left = waves_to_come(unborn, self._wave, rungs, shares)
        left += to_come(sum(row.trial not in self._aims for row in live), 0.0, rungs, shares)
        alive = {row.trial for row in live}
        going_on: dict[float, int] = {}
        for step, stretch in list(self._stretches.items()):
            if alive.isdisjoint(trial for trial in stretch.trials if self._aims[trial] == stretch.until):
                continue
            going_on[stretch.until] = going_on.get(stretch.until, 0) + 1
            left += 0.0 if step in self._done else stretch.until - self._reached(step, stretch)
        return left + sum(self._beyond(count, until) for until, count in going_on.items())

    def _beyond(self, trials: int, until: float) -> float:
        return to_come(trials, until, self.began.rungs, self._shares) if until < 1 else 0.0

    def _reached(self, step: str, stretch: _Stretch) -> float:
        """The fraction of its budget to which a step has trained."""
        running = self._running.get(step)
        share = running.done / running.total if running is not None and running.total > 0 else 0.0
        return min(stretch.until, max(stretch.since, share))

    def _phrases(self, step: RunningStep, now: float) -> list[str]:
        if step.waiting:
            return ["in another run"]
        clock = phrases.clock(now - step.started)
        if step.step in self._stretches:
            return phrases.values(step.values) or [f"training {clock}"]
        what, _, metric = step.step.partition("#")
        return [f"{metric.partition(':')[2] or what} {step.position if step.total > 0 else clock}"]
