"""olive-engine: a declarative pass-graph workflow engine for fine-tuning and optimizing small language models.

`Workflow` and the values in it say what to do, `load_workflow` reads them from a file; `check`, `plan`, `why` and `run`
do what the commands of those names do. The options of passes, metrics and systems come from where these do, for
instance ``from olive_passes.finetune import LoRAConfig``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from olive_engine.config.data import DataConfig, DataLoaderConfig, LoadDatasetConfig, PreProcessConfig
    from olive_engine.config.search.strategy import SearchStrategy
    from olive_engine.config.search.values import Case, Choice, Conditional, FloatRange, IntRange
    from olive_engine.config.workflow import (
        EvaluatorConfig,
        Goal,
        HfModelConfig,
        MetricEntry,
        OnnxModelConfig,
        PassEntry,
        SubMetric,
        SystemEntry,
        Workflow,
    )
    from olive_engine.errors import (
        Interrupted,
        InvalidWorkflow,
        PassFailed,
        Problem,
        StoreCorrupt,
        SystemUnavailable,
        WorkflowError,
    )
    from olive_engine.models import HfAdapterModel, HfModel, OnnxModel
    from olive_engine.planner import Plan
    from olive_engine.planning import check, plan, why
    from olive_engine.reading import load_workflow
    from olive_engine.reporting.console import console
    from olive_engine.reporting.events import (
        PlanMade,
        PlannedStep,
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
        TrialBegan,
        TrialEnded,
        TrialJudged,
        Warned,
    )
    from olive_engine.reporting.reporter import Reporter
    from olive_engine.results import FinalModel, RunResult, StepResult, SweepResult
    from olive_engine.running import run
    from olive_engine.search.trials import Trial
    from olive_engine.writing import save_workflow

_HOMES = {
    "olive_engine.planning": ("check", "plan", "why"),
    "olive_engine.results": ("FinalModel", "RunResult", "StepResult", "SweepResult"),
    "olive_engine.running": ("run",),
    "olive_engine.search.trials": ("Trial",),
    "olive_engine.config.data": ("DataConfig", "DataLoaderConfig", "LoadDatasetConfig", "PreProcessConfig"),
    "olive_engine.config.search.strategy": ("SearchStrategy",),
    "olive_engine.config.search.values": ("Case", "Choice", "Conditional", "FloatRange", "IntRange"),
    "olive_engine.config.workflow": (
        *("EvaluatorConfig", "Goal", "HfModelConfig", "MetricEntry", "OnnxModelConfig", "PassEntry"),
        *("SubMetric", "SystemEntry", "Workflow"),
    ),
    "olive_engine.errors": (
        *("Interrupted", "InvalidWorkflow", "PassFailed", "Problem", "StoreCorrupt", "SystemUnavailable"),
        "WorkflowError",
    ),
    "olive_engine.models": ("HfAdapterModel", "HfModel", "OnnxModel"),
    "olive_engine.planner": ("Plan",),
    "olive_engine.reading": ("load_workflow",),
    "olive_engine.reporting.console": ("console",),
    "olive_engine.reporting.events": (
        *("PlanMade", "PlannedStep", "RungBegan", "RunEvent", "RunFinished", "StepFailed", "StepFinished", "StepLog"),
        *("StepProgress", "StepSkipped", "StepStage", "StepStarted", "StepWaiting", "SweepBegan"),
        *("SweepEnded", "TrialBegan", "TrialEnded", "TrialJudged", "Warned"),
    ),
    "olive_engine.reporting.reporter": ("Reporter",),
    "olive_engine.writing": ("save_workflow",),
}

__all__ = [
    "Case",
    "Choice",
    "Conditional",
    "DataConfig",
    "DataLoaderConfig",
    "EvaluatorConfig",
    "FinalModel",
    "FloatRange",
    "Goal",
    "HfAdapterModel",
    "HfModel",
    "HfModelConfig",
    "IntRange",
    "Interrupted",
    "InvalidWorkflow",
    "LoadDatasetConfig",
    "MetricEntry",
    "OnnxModel",
    "OnnxModelConfig",
    "PassEntry",
    "PassFailed",
    "Plan",
    "PlanMade",
    "PlannedStep",
    "PreProcessConfig",
    "Problem",
    "Reporter",
    "RunEvent",
    "RunFinished",
    "RunResult",
    "RungBegan",
    "SearchStrategy",
    "StepFailed",
    "StepFinished",
    "StepLog",
    "StepProgress",
    "StepResult",
    "StepSkipped",
    "StepStage",
    "StepStarted",
    "StepWaiting",
    "StoreCorrupt",
    "SubMetric",
    "SweepBegan",
    "SweepEnded",
    "SweepResult",
    "SystemEntry",
    "SystemUnavailable",
    "Trial",
    "TrialBegan",
    "TrialEnded",
    "TrialJudged",
    "Warned",
    "Workflow",
    "WorkflowError",
    "__version__",
    "check",
    "console",
    "load_workflow",
    "plan",
    "run",
    "save_workflow",
    "why",
]


def __getattr__(name: str) -> object:
    """Import what is exported when it is first used: a worker or `olive --help` needs none of it."""
    for home, names in _HOMES.items():
        if name in names:
            from importlib import import_module

            return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """What is exported, for completion in editors and notebooks."""
    return sorted(__all__)
