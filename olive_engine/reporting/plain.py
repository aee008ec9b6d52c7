"""A run as plain lines, for logs and pipes: no colour, no cursor movement, nothing wrapped or cut."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TextIO

from olive_engine.reporting import phrases
from olive_engine.reporting.events import (
    PlanMade,
    RunEvent,
    RunFinished,
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
    SweepEnded,
    SweepEvent,
    SystemSaid,
    TrialBegan,
    TrialEnded,
    TrialJudged,
    Warned,
)
from olive_engine.reporting.levels import DEBUG, INFO
from olive_engine.reporting.plan import MOST_LINES, plan_heading, plan_table
from olive_engine.reporting.progress import RunningStep
from olive_engine.reporting.reporter import Reporter
from olive_engine.reporting.summary import summary
from olive_engine.reporting.sweep import Sweep
from olive_engine.reporting.sweep_table import sweep_table
from olive_engine.reporting.sweep_words import (
    rung_line,
    standing,
    stopped_line,
    sweep_details,
    sweep_heading,
    sweep_summary,
    trial_line,
)
from olive_engine.reporting.tables import lines
from olive_engine.reporting.visibility import shows, shows_in_sweep

SHORTEST_GAP = 10.0
"""Seconds between two progress lines of a step, in its first minutes; later a tenth of the time it has run."""


class PlainLines(Reporter):
    """Writes a line for everything that happens, and progress at growing intervals.

    In a plan of more than `MOST_LINES` steps only failures have lines of their own; how many steps are done is told at
    the same intervals as progress.
    """

    def __init__(self, stream: TextIO, level: int, now: Callable[[], float]) -> None:
        self._stream = stream
        self._level = level
        self._now = now
        self._started = now()
        self._pace = _Pace(self._started)
        self._paces: dict[str, _Pace] = {}
        self._running: dict[str, RunningStep] = {}
        self._total = self._ended = self._skipped = self._failed = 0
        self._sweep: Sweep | None = None

    def on_event(self, event: RunEvent) -> None:
        """Write what the event is worth at this level."""
        before = self._ended
        if isinstance(event, SweepBegan):
            self._sweep = Sweep(event, self._now())
            self._pace = _Pace(self._now())
        if self._sweep is None:
            self._count(event)
            shown = shows(self._level, event)
        else:
            self._sweep.follow(event, self._now())
            shown = shows_in_sweep(self._level, event, self._sweep)
        if shown:
            self._write(self._lines(event))
        if isinstance(event, SweepEnded):
            self._sweep = None
        if self._level > INFO:
            return
        if self._sweep is not None:
            if self._pace.due(self._now()):
                self._write([", ".join(standing(self._sweep, self._now()))])
        elif self._many and self._ended > before and self._pace.due(self._now()):
            self._write([f"{self._ended:,} of {self._total:,} steps"])

    def close(self) -> None:
        """Of a search that was cut short, write how far its trials came."""
        sweep, self._sweep = self._sweep, None
        if sweep is not None and sweep.rows and self._level <= INFO:
            self._write([*self._trials(sweep, None), stopped_line(sweep, self._now())])

    def _write(self, told: Iterable[str]) -> None:
        for line in told:
            self._stream.write(line + "\n")
        self._stream.flush()

    @property
    def _many(self) -> bool:
        return self._total > MOST_LINES

    def _count(self, event: RunEvent) -> None:
        match event:
            case PlanMade(steps):
                self._total, self._ended, self._skipped, self._failed = len(steps), 0, 0, 0
            case StepStarted(step) | StepWaiting(step):
                now = self._now()
                self._running[step] = RunningStep(step, now)
                self._paces[step] = _Pace(now)
            case StepFinished() | StepFailed() | StepSkipped():
                self._ended += 1
                self._skipped += isinstance(event, StepSkipped)
                self._failed += isinstance(event, StepFailed)
            case Warned() | SystemSaid() | StepStage() | StepProgress() | StepLog() | RunFinished():
                pass
            case SweepBegan() | TrialBegan() | RungBegan() | TrialJudged() | TrialEnded() | SweepEnded():
                pass

    def _lines(self, event: RunEvent) -> Iterable[str]:
        match event:
            case PlanMade(steps):
                return self._plan(event) if steps else []
            case Warned(message):
                return [f"warning: {message}"]
            case SystemSaid(system, message):
                return [f"{system}: {message}"]
            case StepStarted(step):
                return [] if self._many else [f"{step}: started"]
            case StepWaiting(step):
                return [] if self._many else [f"{step}: waiting for another run that is computing it"]
            case StepStage(step, stage):
                return [] if self._many else [f"{step}: {stage}"]
            case StepProgress():
                return self._progress(event)
            case StepLog(step, level, message):
                return [f"{step}: {message}" if level == "info" else f"{step}: {level}: {message}"]
            case StepFinished():
                self._running.pop(event.step, None)
                return [] if self._many else [self._finished(event)]
            case StepFailed():
                return self._failure(event)
            case StepSkipped(step, because):
                return [] if self._many else [f"{step}: skipped, because {because} failed"]
            case RunFinished():
                return [summary(event, self._skipped)]
            case SweepBegan() | TrialBegan() | RungBegan() | TrialJudged() | TrialEnded() | SweepEnded():
                return [] if self._sweep is None else self._of_sweep(event, self._sweep)

    def _of_sweep(self, event: SweepEvent, sweep: Sweep) -> list[str]:
        match event:
            case SweepBegan():
                return [sweep_heading(event), *(f"  {line}" for line in sweep_details(event))]
            case RungBegan():
                return [rung_line(sweep, event)]
            case TrialEnded():
                return [trial_line(sweep, event)]
            case SweepEnded(best):
                summed = sweep_summary(sweep.began, sweep.rows, event)
                return [*self._trials(sweep, best), summed] if self._level <= INFO else [summed]
            case TrialBegan() | TrialJudged():
                return []

    def _trials(self, sweep: Sweep, best: Collection[int] | None) -> list[str]:
        return lines(sweep_table(sweep.halted(), sweep.scheme, best=best))

    def _plan(self, event: PlanMade) -> list[str]:
        heading = plan_heading(event.steps)
        some_run = any(step.action == "run" for step in event.steps)
        return [heading, *lines(plan_table(event.steps))] if some_run else [heading]

    def _progress(self, event: StepProgress) -> list[str]:
        now = self._now()
        running = self._running.setdefault(event.step, RunningStep(event.step, now))
        running.take(event, now)
        if not self._paces.setdefault(event.step, _Pace(now)).due(now):
            return []
        return [f"{event.step}: {', '.join([running.position, *running.phrases(now)])}"]

    def _finished(self, event: StepFinished) -> str:
        how = "reused" if event.reused else f"done in {phrases.duration(event.seconds)}"
        size = [phrases.size(event.size)] if event.size else []
        source = [f"from {event.source}"] if event.source else []
        return f"{event.step}: {', '.join([how, *phrases.values(event.metrics), *size, *source])}"

    def _failure(self, event: StepFailed) -> list[str]:
        self._running.pop(event.step, None)
        if self._failed > MOST_LINES:
            return []
        told = [f"{event.step}: FAILED: {event.cause}"]
        if self._level == DEBUG:
            told += [f"  | {line}" for text in (*event.log, event.traceback) for line in text.splitlines()]
        return told


@dataclass(slots=True)
class _Pace:
    """When the next line about something that goes on is due: soon at first, seldom after hours."""

    started: float
    _last: float | None = None

    def due(self, now: float) -> bool:
        last = self.started if self._last is None else self._last
        if now - last < max(SHORTEST_GAP, (last - self.started) / 10):
            return False
        self._last = now
        return True
