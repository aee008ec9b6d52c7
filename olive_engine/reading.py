"""Reading workflow files and judging them with all that needs no machine: schema, references, graph, local files.

Apart from `olive_engine.api`, so that a command that only judges a file imports nothing that plans or runs it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from weakref import WeakValueDictionary

from olive_engine import graph
from olive_engine.config.draft import Draft, parse_tree, read
from olive_engine.config.local_models import beside_file, local_path
from olive_engine.config.workflow import PassEntry, Workflow
from olive_engine.contracts import Yardstick
from olive_engine.data.check import check as check_data
from olive_engine.errors import InvalidWorkflow, Problem
from olive_engine.judging import judge
from olive_engine.registry import find_pass
from olive_engine.writing import not_held, tree

_TOLD: WeakValueDictionary[int, Workflow] = WeakValueDictionary()
"""Workflows whose draft somebody has, by their identity: all that there is to say of them is said."""


def read_workflow(paths: Sequence[str | Path], overrides: Sequence[str] = ()) -> Draft:
    """Read and judge workflow files.

    The draft holds every problem found, with its place; `Draft.workflow` is set when there is no error.
    """
    draft = _judged(read([Path(path) for path in paths], overrides))
    if draft.workflow is not None:
        _TOLD[id(draft.workflow)] = draft.workflow
    return draft


def load_workflow(*paths: str | Path, overrides: Sequence[str] = ()) -> Workflow:
    """Read one or more workflow files (later ones over earlier ones) into a `Workflow`.

    Args:
        paths: JSON or YAML files. Relative paths in them are relative to the working directory.
        overrides: ``path=value`` settings such as ``passes.lora.r=8``, applied last.

    Raises:
        InvalidWorkflow: with every problem found, each with its place in the file.
    """
    return read_workflow(paths, overrides).raise_if_wrong().model_copy()  # a copy: what is doubtful is not told yet


def reread(workflow: Workflow) -> Draft:
    """Judge a workflow that was built in Python as the file that says the same; one that was just read is left alone.

    Its problems have the paths that they would have in that file.
    """
    if _TOLD.get(id(workflow)) is workflow or not_held(workflow):
        return Draft(workflow, ())
    return _judged(parse_tree(tree(workflow), workflow.base_dir))


def _judged(draft: Draft) -> Draft:
    """With what local files and the graph say."""
    found: list[Problem] = []
    rows: dict[str, int] = {}
    for index, config in draft.data_configs.items():
        place = ("data_configs", index)
        checked = check_data(config, draft.base_dir, draft.locate((*place, "load_dataset_config", "data_files")))
        found += [replace(problem, path=(*place, *problem.path)) for problem in checked.problems]
        if checked.rows is not None and config.pre_process_data_config.strategy != "join":
            rows[config.name] = checked.rows  # joined rows become blocks: how many, only their tokens tell
    if draft.workflow is None:
        return draft.adding(found)
    try:
        graph.build(draft.workflow)
    except InvalidWorkflow as error:
        found += error.problems
    judgement = judge(draft.workflow, rows)
    # Where the graph is wrong it cannot be told what a search has an effect on.
    workflow, notices = (draft.workflow, ()) if found else _with_something_to_judge_by(draft.workflow)
    draft = replace(draft, workflow=workflow)
    problems = (_with_place(problem, draft) for problem in judgement.problems)
    return draft.adding((*found, *problems), (*judgement.notices, *notices))


def _with_place(problem: Problem, draft: Draft) -> Problem:
    """With a hint, where a system names a file that is not here and one of that name is beside the workflow."""
    section, *option = problem.path or ("",)
    if section != "systems" or draft.workflow is None or problem.hint:
        return problem
    entry = draft.workflow.systems[str(option[0])]
    value: object = entry.options
    for name in option[1:]:
        value = getattr(value, str(name), None)
    if not isinstance(value, str | Path) or os.path.exists(local_path(str(value), draft.base_dir)):  # noqa: PTH110 - unlike Path.exists it takes any text
        return problem
    return replace(problem, hint=beside_file(str(value), draft.locate(problem.path)))


def _with_something_to_judge_by(workflow: Workflow) -> tuple[Workflow, tuple[Problem, ...]]:
    """A search of which nothing says what trials are judged by, with a last pass that measures its own result."""
    searches = workflow.search_strategy is not None and (workflow.search_space or workflow.alternatives)
    entries = [entry for slot in workflow.passes.values() for entry in slot]
    if not searches or workflow.evaluator is not None or any(entry.evaluator for entry in entries):
        return workflow, ()
    on_the_way = [slot for slot in workflow.passes if slot in graph.touched(workflow)]
    if any(_yardstick(entry) for slot in on_the_way for entry in workflow.passes[slot]):
        return workflow, ()
    for slot in reversed(on_the_way):
        now = tuple(_measured(entry) for entry in workflow.passes[slot])
        if all(_yardstick(entry) for entry in now):
            passes = {**workflow.passes, slot: now}
            hint = "name an evaluator, or say on which rows the pass is to measure its result"
            what = "nothing says what trials are judged by, so training rows are held out, and the loss on them counts"
            return workflow.model_copy(update={"passes": passes}), (Problem(("passes", slot), what, hint),)
    return workflow, ()


def _yardstick(entry: PassEntry) -> Yardstick | None:
    cls = find_pass(entry.type)
    return cls.yardstick(entry.options) if cls else None


def _measured(entry: PassEntry) -> PassEntry:
    cls = find_pass(entry.type)
    return entry.model_copy(update={"options": cls.measured(entry.options)}) if cls else entry
