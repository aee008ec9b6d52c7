"""Whether a workflow searches. Light: it is asked of every workflow that is run."""

from __future__ import annotations

from importlib.util import find_spec

from olive_engine.config.workflow import Workflow
from olive_engine.errors import SystemUnavailable


def searches(workflow: Workflow) -> bool:
    """Whether there is anything to search."""
    return workflow.search_strategy is not None and bool(workflow.alternatives or workflow.search_space)


def check_installed() -> None:
    """See that a search can be carried out here, or looked at.

    Raises:
        SystemUnavailable: Optuna is not installed.
    """
    if find_spec("optuna") is None:
        raise SystemUnavailable("a search needs optuna, which is not installed: pip install 'olive-engine[search]'")
