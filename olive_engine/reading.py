"""Reading workflow files and judging them with all that needs no machine: schema, references, graph, local files.

Apart from `olive_engine.api`, so that a command that only judges a file imports nothing that plans or runs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from olive_engine import graph
from olive_engine.config.draft import Draft, read
from olive_engine.config.workflow import Workflow
from olive_engine.data.check import check as check_data
from olive_engine.errors import InvalidWorkflow, Problem
from olive_engine.judging import judge


def read_workflow(paths: Sequence[str | Path], overrides: Sequence[str] = ()) -> Draft:
    """Read and judge workflow files.

    The draft holds every problem found, with its place; `Draft.workflow` is set when there is no error.
    """
    draft = read([Path(path) for path in paths], overrides)
    found: list[Problem] = []
    rows: dict[str, int] = {}
    for index, config in draft.data_configs.items():
        place = ("data_configs", index)
        checked = check_data(config, draft.base_dir, draft.locate((*place, "load_dataset_config", "data_files")))
        found += [replace(problem, path=(*place, *problem.path)) for problem in checked.problems]
        if checked.rows is not None:
            rows[config.name] = checked.rows
    if draft.workflow is None:
        return draft.adding(found)
    try:
        graph.build(draft.workflow)
    except InvalidWorkflow as error:
        found += error.problems
    judgement = judge(draft.workflow, rows)
    return draft.adding((*found, *judgement.problems), judgement.notices)


def load_workflow(*paths: str | Path, overrides: Sequence[str] = ()) -> Workflow:
    """Read one or more workflow files (later ones over earlier ones) into a `Workflow`.

    Args:
        paths: JSON or YAML files.
        overrides: ``path=value`` settings such as ``passes.lora.r=8``, applied last.

    Raises:
        InvalidWorkflow: with every problem found.
    """
    return read_workflow(paths, overrides).raise_if_wrong()
