"""A trial trained again, alone: the plain workflow that does it, and the command that runs that."""

from __future__ import annotations

import shlex
from pathlib import PurePath

from olive_engine.config.masking import VARIABLES
from olive_engine.config.workflow import Workflow
from olive_engine.errors import dotted
from olive_engine.search.assignment import applied
from olive_engine.search.trials import Assignment
from olive_engine.secrecy import shown

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

    Returns:
        A workflow without secrets that the file holds as they are: `left_out` names these.
    """
    own = applied(workflow, assignment).model_copy(update={"output_dir": str(PurePath(folder) / RETRAINED)})
    return _without_values(own)


def retrain_command(file: PurePath) -> str:
    """What trains a model again. The sweep's cache holds it, so that another one is named."""
    return f"olive run {shlex.quote(file.as_posix())} --cache-dir {RETRAIN_CACHE}"


def left_out(workflow: Workflow) -> tuple[str, ...]:
    """Where a workflow sets environment variables to secrets themselves, not to references: these are not written."""
    return tuple(
        dotted(("systems", system, VARIABLES, name))
        for system, entry in workflow.systems.items()
        for name in sorted(_secret(entry.options))
    )


def _secret(options: object) -> set[str]:
    given: dict[str, str] = getattr(options, VARIABLES, {})
    seen = shown(given)
    return {name for name, text in given.items() if seen[name] != text}


def _without_values(workflow: Workflow) -> Workflow:
    systems = dict(workflow.systems)
    for name, entry in workflow.systems.items():
        given = entry.options
        if secret := _secret(given):
            variables = {key: text for key, text in getattr(given, VARIABLES).items() if key not in secret}
            kept = {field: getattr(given, field) for field in given.model_fields_set - {VARIABLES}}
            # By construction, so that the file does not say that there are none.
            options = type(given)(**kept, **({VARIABLES: variables} if variables else {}))
            systems[name] = entry.model_copy(update={"options": options})
    return workflow.model_copy(update={"systems": systems})
