"""olive-engine: a declarative pass-graph workflow engine for fine-tuning and optimizing small language models."""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from olive_engine.api import RunResult, StepResult, load_workflow, plan, run, why
    from olive_engine.config.workflow import Workflow

_HOMES = {
    "RunResult": "olive_engine.api",
    "StepResult": "olive_engine.api",
    "Workflow": "olive_engine.config.workflow",
    "load_workflow": "olive_engine.api",
    "plan": "olive_engine.api",
    "run": "olive_engine.api",
    "why": "olive_engine.api",
}

__all__ = ["RunResult", "StepResult", "Workflow", "__version__", "load_workflow", "plan", "run", "why"]


def __getattr__(name: str) -> object:
    """Import what is exported when it is first used: a worker or `olive --help` needs none of it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
