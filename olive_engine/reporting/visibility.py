"""Which events are shown at which level."""

from __future__ import annotations

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
    SystemSaid,
    TrialBegan,
    TrialEnded,
    TrialJudged,
    Warned,
)
from olive_engine.reporting.levels import CRITICAL, DEBUG, ERROR, INFO, LEVELS, WARNING
from olive_engine.reporting.sweep import Sweep


def shows(level: int, event: RunEvent) -> bool:
    """Whether an event is shown at that level."""
    match event:
        case PlanMade() | SystemSaid() | StepStarted() | StepStage() | StepProgress() | StepWaiting() | StepFinished():
            return level <= INFO
        case SweepBegan() | TrialBegan() | RungBegan() | TrialJudged():
            return level <= INFO
        case TrialEnded(state=state, earlier=earlier):
            return not earlier and level <= (ERROR if state == "failed" else INFO)
        case Warned() | StepSkipped() | RunFinished() | SweepEnded():
            return level <= WARNING
        case StepLog():
            return level < CRITICAL and level <= LEVELS.get(event.level, INFO)
        case StepFailed():
            return level <= ERROR


def shows_in_sweep(level: int, event: RunEvent, sweep: Sweep) -> bool:
    """Whether an event is shown while a search runs, in which the trials stand for their steps.

    Of steps only what went wrong is shown, and what many trials have in common once. Failures of a trial's own steps
    are told with the trial.
    """
    if level == DEBUG:
        return shows(level, event)
    match event:
        case StepStarted() | StepStage() | StepProgress() | StepWaiting() | StepFinished():
            return False
        case StepFailed(step) | StepSkipped(step):
            return shows(level, event) and not sweep.trials_of(step)
        case StepLog():
            return shows(max(level, WARNING), event) and sweep.told_before(event) is None
        case _:
            return shows(level, event)
