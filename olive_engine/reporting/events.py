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
class SystemSaid:
    """A system does something that may take minutes before it can run anything: it makes an environment."""

    system: str
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
class StepStage:
    """A step's job is elsewhere and has not begun to work: ``queued on gpu-cluster``."""

    step: str
    stage: str


@dataclass(frozen=True, slots=True)
class StepFinished:
    """A step has its result. `seconds` is the time it took when it was computed."""

    step: str
    reused: bool
    seconds: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)
    size: int = 0
    source: str = ""
    """The URL of the shared cache that this run took a reused result from; empty: it was in the cache here."""


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


# --- searches -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SweepBegan:
    """A search begins, or goes on. A search pass by pass has one of these for each pass."""

    study: str
    """The name of the study in its storage."""
    storage: str
    """Where it is recorded, without a password."""
    wanted: int | None
    """Trials in all, with those of earlier runs; none: until it is stopped."""
    known: int
    """Trials that earlier runs have ended."""
    searched: tuple[str, ...]
    """The searched options and slots by name."""
    objectives: tuple[tuple[str, bool], ...]
    """Name of each objective, the first counting first, and whether higher is better."""
    rungs: tuple[float, ...]
    """The fractions of its own budget at which a trial is judged; the last is 1."""
    yardstick: tuple[str, bool] | None = None
    """The metric by which a trial is judged on the way, and whether higher is better; none: nobody is pruned."""


@dataclass(frozen=True, slots=True)
class TrialBegan:
    """A trial was proposed, or is taken up again; its options with the values it chose, shown as in a file."""

    trial: int
    options: Mapping[str, object]
    again: int | None = None
    """The failed trial that it tries again."""


@dataclass(frozen=True, slots=True)
class RungBegan:
    """Trials are trained on to a fraction of their own budgets."""

    until: float
    steps: Mapping[int, str]
    """Trial -> the step that trains it there, under whose name its progress is told."""


@dataclass(frozen=True, slots=True)
class TrialJudged:
    """A trial has been measured at a rung."""

    trial: int
    until: float
    value: float


@dataclass(frozen=True, slots=True)
class TrialEnded:
    """A trial is over: complete, pruned or failed."""

    trial: int
    state: str
    values: tuple[float, ...] = ()
    """What it came to, for each objective; empty unless it is complete."""
    spent: float = 1.0
    """The fraction of its own budget that was spent on it."""
    cause: str = ""
    """Why it failed."""
    earlier: bool = False
    """It ended in an earlier run, and is told so that the whole search can be shown."""


@dataclass(frozen=True, slots=True)
class SweepEnded:
    """A search is over for this run. What `best` holds is the best of all trials so far, the first the very best."""

    best: tuple[int, ...]
    complete: int
    pruned: int
    failed: int
    seconds: float
    why: str = ""
    """Why it ended: ``20 trials``, ``the goals are met``, ``max_time``."""


SweepEvent = SweepBegan | TrialBegan | RungBegan | TrialJudged | TrialEnded | SweepEnded

RunEvent = (
    PlanMade
    | Warned
    | SystemSaid
    | StepStarted
    | StepProgress
    | StepLog
    | StepWaiting
    | StepStage
    | StepFinished
    | StepFailed
    | StepSkipped
    | RunFinished
    | SweepEvent
)
