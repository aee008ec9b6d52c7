"""A trial trained again, alone: the plain workflow that does it, and the command that runs that."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import PurePath

from olive_engine.config.workflow import SystemEntry, Workflow
from olive_engine.search.assignment import applied
from olive_engine.search.trials import Assignment

RETRAIN_CACHE = ".olive-retrained"
"""A cache for who wants a model trained again, which does not know it."""
RETRAINED = "retrained"
"""The folder in an output folder where a model goes that is trained again."""


def retraining(workflow: Workflow, assignment: Assignment, folder: str) -> Workflow:
    """The workflow that trains a trial's model again, as it may be written to a file.

    Args:
        workflow: the one that searches; with its hub names pinned, it is these commits again.
        assignment: all that the trial chose, and the stages of the search before it.
        folder: where the trial's own model goes.
    """
    own = applied(workflow, assignment).model_copy(update={"output_dir": str(PurePath(folder) / RETRAINED)})
    return _without_values(own)


def retrain_command(file: PurePath) -> str:
    """What trains a model again. The sweep's cache holds it, so that another one is named."""
    return f"olive run {shlex.quote(file.as_posix())} --cache-dir {RETRAIN_CACHE}"


def _without_values(workflow: Workflow) -> Workflow:
    """The workflow with references in the place of environment variables' values, which may be secret."""
    systems: dict[str, SystemEntry] = {}
    for name, entry in workflow.systems.items():
        variables = getattr(entry.options, "environment_variables", None)
        if isinstance(variables, Mapping):
            references = {key: f"${{env:{key}}}" for key in variables}
            options = entry.options.model_copy(update={"environment_variables": references})
            systems[name] = entry.model_copy(update={"options": options})
        else:
            systems[name] = entry
    return workflow.model_copy(update={"systems": systems})
