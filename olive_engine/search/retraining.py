"""A trial trained again, alone: the plain workflow that does it, and the command that runs that."""

from __future__ import annotations

import shlex
from pathlib import PurePath

from olive_engine.config.workflow import Workflow
from olive_engine.search.assignment import applied
from olive_engine.search.trials import Assignment

RETRAIN_CACHE = ".olive-retrained"
"""A cache for who wants a model trained again, which does not know it."""
VARIABLES = "environment_variables"
RETRAINED = "retrained"
"""The folder in an output folder where a model goes that is trained again."""


def retraining(workflow: Workflow, assignment: Assignment, folder: str) -> Workflow:
    """The workflow that trains a trial's model again, as it may be written to a file.

    Args:
        workflow: the one that searches; with its hub names pinned, it is these commits again.
        assignment: all that the trial chose, and the stages of the search before it.
        folder: where the trial's own model goes.

    Returns:
        A workflow without the values of `environment_variables`, which may be secret: `left_out` names these.
    """
    own = applied(workflow, assignment).model_copy(update={"output_dir": str(PurePath(folder) / RETRAINED)})
    return _without_values(own)


def retrain_command(file: PurePath) -> str:
    """What trains a model again. The sweep's cache holds it, so that another one is named."""
    return f"olive run {shlex.quote(file.as_posix())} --cache-dir {RETRAIN_CACHE}"


def left_out(workflow: Workflow) -> tuple[str, ...]:
    """The systems of a workflow whose environment variables are not written with it."""
    return tuple(name for name, entry in workflow.systems.items() if getattr(entry.options, VARIABLES, None))


def _without_values(workflow: Workflow) -> Workflow:
    systems = dict(workflow.systems)
    for name in left_out(workflow):
        given = systems[name].options
        # By construction, so that the file does not say that there are none.
        options = type(given)(**{field: getattr(given, field) for field in given.model_fields_set - {VARIABLES}})
        systems[name] = systems[name].model_copy(update={"options": options})
    return workflow.model_copy(update={"systems": systems})
