"""What a run tells its reporter, in order. Plain frozen values: tests compare whole lists of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from olive_engine.reporting.planned import PlannedStep as PlannedStep  # part of what a run tells


@dataclass(frozen=True, slots=True)
class PlanMade:
    """The plan is known; nothing has run yet."""

    steps: tuple[PlannedStep, ...]


@dataclass(frozen=True, slots=True)
class Warned:
    """Something speaks against the run, and does not forbid it; `message` begins with the place in the workflow."""

    message: str


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A step was handed to its system."""

    step: str
    system: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StepProgress:
    """A running step says how far it is, and what it measures on the way."""

    step: str
    done: int
    total: int
    unit: str = "steps"
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StepLog:
    """A running step says something."""

    step: str
    level: str
    message: str


@dataclass(frozen=True, slots=True)
class StepWaiting:
    """Another run on the same cache is computing this very step; we wait for its result."""

    step: str


@dataclass(frozen=True, slots=True)
class StepFinished:
    """A step has its result. `seconds` is the time it took when it was computed."""

    step: str
    reused: bool
    seconds: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)
    size: int = 0


@dataclass(frozen=True, slots=True)
class StepFailed:
    """A step has no result, and why."""

    step: str
    cause: str
    traceback: str = ""
    log: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StepSkipped:
    """A step was not run because one that it needs failed."""

    step: str
    because: str


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The run is over. `output_dir` is None where nothing was written."""

    executed: int
    reused: int
    failed: int
    seconds: float
    output_dir: Path | None = None


RunEvent = (
    PlanMade
    | Warned
    | StepStarted
    | StepProgress
    | StepLog
    | StepWaiting
    | StepFinished
    | StepFailed
    | StepSkipped
    | RunFinished
)
