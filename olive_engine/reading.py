"""Reading workflow files and judging them with everything that needs no machine: schema, references, graph, local data.

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


def read_workflow(paths: Sequence[str | Path], overrides: Sequence[str] = ()) -> Draft:
    """Read and judge workflow files.

    The draft holds every problem found, with its place; `Draft.workflow` is set when there is no error.
    """
    draft = read([Path(path) for path in paths], overrides)
    found: list[Problem] = []
    for index, config in draft.data_configs.items():
        problems = check_data(config, draft.base_dir)
        found += [replace(problem, path=("data_configs", index, *problem.path)) for problem in problems]
    if draft.workflow is not None:
        try:
            graph.build(draft.workflow)
        except InvalidWorkflow as error:
            found += error.problems
    return draft.adding(found)


def load_workflow(*paths: str | Path, overrides: Sequence[str] = ()) -> Workflow:
    """Read one or more workflow files (later ones over earlier ones) into a `Workflow`.

    Args:
        paths: JSON or YAML files.
        overrides: ``path=value`` settings such as ``passes.lora.r=8``, applied last.

    Raises:
        InvalidWorkflow: with every problem found.
    """
    return read_workflow(paths, overrides).raise_if_wrong()
