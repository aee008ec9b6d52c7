"""A search carried out: waves of trials, each rung by rung, until it is over; or until a later run goes on with it."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from olive_engine.config.search.describe import combinations
from olive_engine.config.search.strategy import SearchStrategy
from olive_engine.config.workflow import Workflow
from olive_engine.errors import Failure, Interrupted, PassFailed
from olive_engine.ground import Ground
from olive_engine.reporting import events
from olive_engine.search.assignment import shown
from olive_engine.search.carrying import Arrival, Carrier, Runner, targets_of, training_of
from olive_engine.search.objectives import Objectives, meets_goals, objectives_of, values_of
from olive_engine.search.proposals import Proposer
from olive_engine.search.ranking import best_of
from olive_engine.search.rungs import Rungs, Standing, rungs_of
from olive_engine.search.samplers import Direction
from olive_engine.search.stages import before
from olive_engine.search.study import Study
from olive_engine.search.trials import State, Trial
from olive_engine.search.waves import Spent, Waves, last_attempts, worth_another_try

EVERYTHING = "every combination has been tried"


@dataclass(frozen=True, slots=True)
class Swept:
    """What a search has come to."""

    study: str
    """The study's name."""
    storage: str
    """Where it is recorded, without a password."""
    trials: tuple[Trial, ...]
    """All trials of the study, those of earlier runs too."""
    best: tuple[Trial, ...]
    """Those whose models are wanted, the very best first."""
    objectives: Objectives
    rungs: Rungs
    yardstick: tuple[str, bool] | None
    """What trials are judged by on the way, and whether higher is better."""
    seconds: float
    """The time that this run took for it."""
    why: str
    """Why it is over for this run."""
    finished: bool = True
    """Whether the search has come to its end; else one run's limits ended this run."""


class Sweep:
    """One search, or one pass's part of a search pass by pass."""

    def __init__(
        self,
        workflow: Workflow,
        strategy: SearchStrategy,
        study: Study,
        seed: int,
        ground: Ground,
        spent: Spent | None = None,
    ) -> None:
        """Prepare to carry trials out.

        Args:
            workflow: what is searched.
            strategy: how.
            study: where trials are recorded.
            seed: of the study.
            ground: store, systems, reporter.
            spent: what this run has spent of its limits before; it is kept up.

        Raises:
            InvalidWorkflow: there is nothing to judge trials by, or the sampler cannot be used like this.
            SystemUnavailable: a library that the sampler needs is not installed.
        """
        self._workflow = workflow
        self._strategy = strategy
        self._study = study
        self._ground = ground
        self._objectives = objectives_of(workflow)
        self._training = training_of(workflow, targets_of(self._objectives))
        yardstick = self._training.yardstick if self._training else None
        self._rungs = rungs_of(strategy, yardstick)
        self._yardstick = (yardstick.metric, yardstick.higher_is_better) if yardstick else None
        self._carrier = Carrier(workflow, ground, self._objectives, self._training, self._is_to_stop)
        proposer = Proposer(
            strategy,
            workflow.search_space,
            workflow.alternatives,
            directions_of(self._objectives),
            seed,
            "maximize" if yardstick and yardstick.higher_is_better else "minimize",
        )
        self._spent = spent or Spent()
        self._waves = Waves(strategy, study, proposer, self._spent)
        self._started = time.monotonic()
        self._shares = self._training is not None and not workflow.searched <= {
            self._training.step,
            *before(workflow, self._training.step),
        }

    def run(self) -> Swept:
        """Go on with the search until it is over.

        Raises:
            PassFailed: every trial of a wave failed, and not for the sake of its own values.
            Interrupted: Ctrl-C, or somebody asked the search to stop.
        """
        earlier = self._study.trials()
        self._tell_beginning(earlier)
        self._tidy(trial for trial in earlier if trial.wave == earlier[-1].wave)
        for wave in self._waves.left():
            self._carry_out(wave)
        for wave in self._waves.again(worth_another_try(earlier)):
            self._carry_out(wave, again=True)
        while not (why := self._waves.done() or self._waves.limited()):
            if wave := self._waves.next():
                self._carry_out(wave)
            else:  # another run may have ended the last wave since we asked
                why = self._waves.done() or EVERYTHING
                break
        swept = self._swept(why)
        if self._spent.trials:
            self._tidy(swept.trials, is_over=swept.finished)
        return swept

    # --- rungs ----------------------------------------------------------------------------------------------------

    def _carry_out(self, wave: Sequence[Trial], *, again: bool = False) -> None:
        """Carry a wave's running trials from rung to rung; what is poor stops on the way."""
        runners = self._begin(wave)
        seconds = dict.fromkeys(runners, 0.0)
        fractions = self._rungs.fractions
        for rung, fraction in enumerate(fractions):
            if self._is_to_stop():
                raise Interrupted("stopped as asked; finished steps are kept")
            now = {trial.number: trial for trial in self._study.trials() if trial.number in runners}
            alive = [runners[number] for number, trial in now.items() if trial.state == "running"]
            if not alive:
                break
            came: dict[int, Arrival] = {}
            for number, arrival in self._carrier.carry(alive, fractions[: rung + 1]).items():
                seconds[number] += arrival.seconds
                came[number] = replace(arrival, seconds=seconds[number])
            for number, arrival in came.items():
                if arrival.cause:
                    self._finish(number, "failed", arrival)
                else:
                    self._judge(number, 1.0 if runners[number].whole else fraction, arrival)
            arrived = {number: arrival for number, arrival in came.items() if not arrival.cause}
            for number in [number for number in arrived if runners[number].whole or fraction == 1]:
                self._complete(number, arrived.pop(number))
            if arrived:
                self._prune(rung, now, arrived, runners)
        self._tidy(wave)
        self._see_that_some_live({trial.number for trial in wave if trial.state == "running"}, again=again)

    def _begin(self, wave: Sequence[Trial]) -> dict[int, Runner]:
        """Make a wave's trials ready, those too that have ended: whoever is left is judged against them."""
        runners: dict[int, Runner] = {}
        for trial in last_attempts(wave):
            running = trial.state == "running"
            if running:
                self._tell_begun(trial)
            ready = self._carrier.ready(trial)
            if isinstance(ready, Runner):
                runners[trial.number] = ready
            elif running:
                self._finish(trial.number, "failed", ready)
        return runners

    def _judge(self, number: int, fraction: float, arrival: Arrival) -> None:
        """Record what was measured; a value that is no number is told as the cause of the trial's failure."""
        if arrival.value is not None and math.isfinite(arrival.value):
            self._study.report(number, fraction, arrival.value)
            self._ground.listener.on_event(events.TrialJudged(number, fraction, arrival.value))

    def _prune(
        self, rung: int, now: Mapping[int, Trial], arrived: Mapping[int, Arrival], runners: Mapping[int, Runner]
    ) -> None:
        """Stop the trials that do not go on from a rung."""
        fraction = self._rungs.fractions[rung]
        standings = [
            Standing(number, arrival.group, {**now[number].curve, fraction: _number(arrival.value)})
            for number, arrival in arrived.items()
        ]
        # Those that ended at this rung before this run, or in another one, were judged with them.
        standings += [
            Standing(number, self._carrier.group(runners[number], fraction), trial.curve)
            for number, trial in now.items()
            if trial.state != "running" and fraction in trial.curve
        ]
        wave = min(trial.wave for trial in now.values())
        earlier = [trial for trial in last_attempts(self._study.trials()) if trial.wave < wave]
        kept = self._rungs.survivors(rung, standings, earlier)
        for number, arrival in arrived.items():
            if number in kept:
                continue
            if math.isfinite(_number(arrival.value)):
                self._finish(number, "pruned", arrival)
            else:
                metric = self._yardstick[0] if self._yardstick else ""
                cause = f"it gave no {metric}" if arrival.value is None else f"its {metric} was {arrival.value}"
                self._finish(number, "failed", replace(arrival, cause=cause, hopeless=True))

    def _see_that_some_live(self, numbers: Collection[int], *, again: bool) -> None:
        """Go no further where a whole wave failed for something that would make the next one fail too.

        Raises:
            PassFailed: it did.
        """
        trials = self._study.trials()
        wave = [trial for trial in trials if trial.number in numbers]
        blameless = [trial for trial in wave if not trial.hopeless]
        if not blameless or any(trial.state != "failed" for trial in wave):
            return
        if (again or len(wave) == 1) and any(trial.state == "complete" for trial in trials):
            return  # that they fail once more, or that a single one fails, says nothing of the others
        raise PassFailed((Failure(f"trial {blameless[0].number}", blameless[0].cause),))

    def _tidy(self, wave: Iterable[Trial], *, is_over: bool = False) -> None:
        """Remove the states between the stretches of trials that have ended, unless somebody may need them.

        That is another run, a further try of a failed trial, or, before the search is over, a later trial that has the
        training in common.
        """
        if self._ground.store.runs() > 1 or (self._shares and not is_over):
            return
        trials = self._study.trials()
        kept = {trial.number for trial in (*worth_another_try(trials), *(t for t in trials if t.state == "running"))}
        for trial in wave:
            ready = self._carrier.ready(trial) if trial.number not in kept else None
            if isinstance(ready, Runner):
                self._carrier.forget(ready, self._rungs.fractions)

    def _complete(self, number: int, arrival: Arrival) -> None:
        values = values_of(self._objectives, arrival.metrics)
        if values is None:
            wanted = ", ".join(part.name for part in self._objectives.parts)
            self._finish(number, "failed", replace(arrival, cause=f"it has no number for {wanted}", hopeless=True))
            return
        met = meets_goals(self._objectives, arrival.metrics) if self._objectives.goals else None
        self._finish(number, "complete", arrival, values, met=met)

    def _finish(
        self,
        number: int,
        state: State,
        arrival: Arrival,
        values: tuple[float, ...] = (),
        *,
        met: bool | None = None,
    ) -> None:
        self._study.finish(
            number,
            state,
            values,
            cause=arrival.cause,
            hopeless=arrival.hopeless,
            met=met,
            tokens=arrival.tokens,
            seconds=arrival.seconds,
        )
        ended = next(trial for trial in self._study.trials() if trial.number == number)
        self._tell_end(ended)

    def _is_to_stop(self) -> bool:
        """Whether somebody has asked the search to stop since this run began."""
        asked = self._study.stop_requested_at()
        return asked is not None and asked > self._spent.clock

    # --- telling --------------------------------------------------------------------------------------------------

    def _tell_beginning(self, earlier: Sequence[Trial]) -> None:
        ended = [trial for trial in earlier if trial.state != "running"]
        self._ground.listener.on_event(
            events.SweepBegan(
                study=self._study.name,
                storage=self._study.shown,
                wanted=self._wanted(),
                known=len(ended),
                searched=(*self._workflow.alternatives, *self._workflow.search_space),
                objectives=tuple((part.name, part.higher_is_better) for part in self._objectives.parts),
                rungs=self._rungs.fractions,
                yardstick=self._yardstick,
            )
        )
        for trial in ended:
            self._tell_begun(trial)
            for until, value in trial.curve.items():
                self._ground.listener.on_event(events.TrialJudged(trial.number, until, value))
            self._tell_end(trial, earlier=True)

    def _wanted(self) -> int | None:
        """Trials in all; none: as many as there is time for."""
        there_are = combinations(self._workflow.search_space, self._workflow.alternatives)
        limits = [limit for limit in (there_are, self._strategy.max_samples) if limit is not None]
        return min(limits, default=None)

    def _tell_begun(self, trial: Trial) -> None:
        options = shown(self._workflow, trial.assignment)
        self._ground.listener.on_event(events.TrialBegan(trial.number, options, trial.retry_of))

    def _tell_end(self, trial: Trial, *, earlier: bool = False) -> None:
        self._ground.listener.on_event(
            events.TrialEnded(trial.number, trial.state, trial.values, trial.spent, trial.cause, earlier)
        )

    def _swept(self, why: str) -> Swept:
        trials = self._study.trials()
        meets = {trial.number: bool(trial.met) for trial in trials} if self._objectives.goals else None
        best = tuple(best_of(trials, self._objectives, self._strategy.output_model_num, meets))
        seconds = time.monotonic() - self._started
        states = [trial.state for trial in trials]
        counts = {state: states.count(state) for state in ("complete", "pruned", "failed")}
        self._ground.listener.on_event(
            events.SweepEnded(tuple(trial.number for trial in best), **counts, seconds=seconds, why=why)
        )
        return Swept(
            self._study.name,
            self._study.shown,
            trials,
            best,
            self._objectives,
            self._rungs,
            self._yardstick,
            seconds,
            why,
            finished=why == EVERYTHING or bool(self._waves.done()),
        )


def directions_of(objectives: Objectives) -> tuple[Direction, ...]:
    """How Optuna is to go: for each objective, or for the first where that decides."""
    parts = objectives.parts if objectives.mode == "pareto" else objectives.parts[:1]
    return tuple("maximize" if part.higher_is_better else "minimize" for part in parts)


def _number(value: float | None) -> float:
    return math.nan if value is None else value
