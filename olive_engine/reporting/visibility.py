"""Which events are shown at which level."""

from __future__ import annotations

from olive_engine.reporting.events import (
    PlanMade,
    RunEvent,
    RunFinished,
    StepFailed,
    StepFinished,
    StepLog,
    StepProgress,
    StepSkipped,
    StepStarted,
    StepWaiting,
    Warned,
)
from olive_engine.reporting.levels import CRITICAL, ERROR, INFO, LEVELS, WARNING


def shows(level: int, event: RunEvent) -> bool:
    """Whether an event is shown at that level."""
    match event:
        case PlanMade() | StepStarted() | StepProgress() | StepWaiting() | StepFinished():
            return level <= INFO
        case Warned() | StepSkipped() | RunFinished():
            return level <= WARNING
        case StepLog():
            return level < CRITICAL and level <= LEVELS.get(event.level, INFO)
        case StepFailed():
            return level <= ERROR
