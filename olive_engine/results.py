"""What a run gives to the program that called it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from olive_engine.evaluation.verdicts import Verdict
from olive_engine.models import HfAdapterModel, HfModel, OnnxModel
from olive_engine.search.trials import Trial

FinalModel = HfModel | HfAdapterModel | OnnxModel
"""What a workflow ends with. A pass of another package may give a kind of its own, which has a `model_path` too."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What became of one step."""

    name: str
    """``lora``; ``data:train`` of a data preparation; ``lora:accuracy`` of a metric."""
    kind: str
    """``pass``, ``data`` or ``evaluate``."""
    type: str
    """The pass or the metric; empty for a data preparation."""
    key: str
    """The sha256 of all that its result depends on."""
    reused: bool
    reasons: tuple[str, ...]
    """Why it ran; empty if its result was reused."""
    seconds: float
    """The time it took when it was computed."""
    metrics: Mapping[str, float]
    """What it measured itself: a training its losses, a metric its values."""
    size: int
    """Bytes of its output."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a finished run has made."""

    output_dir: Path
    models: Mapping[str, FinalModel]
    """Final pass -> its model, with paths in the output folder."""
    steps: Mapping[str, StepResult]
    metrics: Mapping[str, Mapping[str, float]]
    """Pass or `input_model` -> ``metric.value``, as in ``accuracy.accuracy_score`` -> the number."""
    predictions: Mapping[str, Path]
    """Evaluation step -> the file of its answers, row by row (`olive_engine.evaluation.comparison` reads it)."""
    goals: tuple[Verdict, ...]
    seconds: float
    """The time that the run took."""
    sweep: SweepResult | None = None
    """What the search came to, if the workflow searches; the rest is then about the very best trial's model."""

    @property
    def executed(self) -> tuple[str, ...]:
        """The steps that were computed in this run."""
        return tuple(name for name, step in self.steps.items() if not step.reused)

    @property
    def reused(self) -> tuple[str, ...]:
        """The steps whose earlier results were taken."""
        return tuple(name for name, step in self.steps.items() if step.reused)


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What a search came to."""

    study: str
    """The name of the study; of a search pass by pass, of the last one."""
    storage: str
    """Where it is recorded, without a password: what `optuna-dashboard` opens."""
    trials: tuple[Trial, ...]
    """All trials of that study, those of earlier runs too."""
    objectives: tuple[tuple[str, bool], ...]
    """Name of each value in `Trial.values`, the first counting first, and whether higher is better."""
    best: Mapping[int, RunResult]
    """The trials whose models were wanted, the very best first -> its models, metrics and steps."""
    options: Mapping[int, Mapping[str, JsonValue]]
    """Each of them -> all that was chosen for it, pass by pass by the searches before too, as in a file."""
    retrain: Mapping[int, Path]
    """Each of them -> the workflow file that trains it again, alone."""
    report: Path | None
    """The page with the charts; none: plotly is not installed."""
    why: str
    """Why the search is over for this run."""
