"""What a trial chooses, put into the workflow: a plain workflow, which searches nothing. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import JsonValue, ValidationError

from olive_engine.config.search.values import Case, Conditional, SearchValue
from olive_engine.config.workflow import PassEntry, Workflow
from olive_engine.errors import InvalidWorkflow, Problem
from olive_engine.options import Options
from olive_engine.registry import find_pass
from olive_engine.search.trials import Assignment


def applied(workflow: Workflow, assignment: Assignment) -> Workflow:
    """The workflow of one trial: every searched option at its value, every slot with the pass that was taken.

    Raises:
        InvalidWorkflow: the values do not go together.
    """
    passes: dict[str, tuple[PassEntry, ...]] = {}
    for slot, entries in workflow.passes.items():
        index = int(str(assignment.get(slot, 0)))
        prefix = f"{slot}." if len(entries) == 1 else f"{slot}[{index}]."
        values = {name.removeprefix(prefix): value for name, value in assignment.items() if name.startswith(prefix)}
        entry = entries[index]
        passes[slot] = (_with(entry, values, slot) if values else entry,)
    return workflow.model_copy(
        update={
            "passes": passes,
            "search_strategy": None,
            "search_space": {},
        }
    )


def with_each_pass(workflow: Workflow) -> Iterator[Workflow]:
    """Plain workflows in which together every alternative is taken once; of a workflow without any, one."""
    most = max(map(len, workflow.alternatives.values()), default=1)
    for index in range(most):
        yield applied(workflow, {slot: min(index, len(kinds) - 1) for slot, kinds in workflow.alternatives.items()})


def settled(workflow: Workflow, assignment: Assignment, slots: Collection[str]) -> Workflow:
    """The workflow in which some slots are as a trial chose, and the others are still to be searched.

    Raises:
        InvalidWorkflow: the values do not go together.
    """
    chosen = applied(workflow, assignment).passes
    passes = {slot: chosen[slot] if slot in slots else entries for slot, entries in workflow.passes.items()}
    done = {name for name in workflow.search_space if workflow.slot_of(name) in slots}
    left = {name: _left(value, assignment, done) for name, value in workflow.search_space.items() if name not in done}
    space = {name: value for name, value in left.items() if value is not None}
    return workflow.model_copy(update={"passes": passes, "search_space": space})


def shown(workflow: Workflow, assignment: Assignment) -> dict[str, JsonValue]:
    """What a trial chooses as a user would write it: values as they are, a slot's pass by its type."""
    kinds = workflow.alternatives
    return {
        name: kinds[name][int(str(value))] if name in kinds else list(value) if isinstance(value, tuple) else value
        for name, value in assignment.items()
    }


def _left(value: SearchValue, assignment: Assignment, done: Collection[str]) -> SearchValue | None:
    """What an option may be once the options `done` are settled; none: what it is in its pass."""
    if not isinstance(value, Conditional):
        return value
    cases: list[Case] = []
    otherwise = value.otherwise
    for case in value.cases:
        if any(name in done and assignment.get(name) not in held for name, held in case.when.items()):
            continue
        asked = {name: held for name, held in case.when.items() if name not in done}
        if not asked:
            otherwise = case.search
            break
        cases.append(case.model_copy(update={"when": asked}))
    return value.model_copy(update={"cases": tuple(cases), "otherwise": otherwise}) if cases else otherwise


def _with(entry: PassEntry, values: Mapping[str, object], slot: str) -> PassEntry:
    """The pass with options set; groups of options are made anew, so that everything is checked again."""
    cls = find_pass(entry.type)
    if cls is None:
        raise InvalidWorkflow((Problem(("passes", slot, "type"), f"there is no pass of type `{entry.type}`"),))
    options = _given(entry.options)
    for name, value in values.items():
        *groups, last = name.split(".")
        inner = options
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[last] = list(value) if isinstance(value, tuple) else value
    try:
        return entry.model_copy(update={"options": cls.config_type.model_validate(options)})
    except ValidationError as error:
        problems = tuple(
            Problem(("passes", slot, *detail["loc"]), detail["msg"].removeprefix("Value error, "))
            for detail in error.errors(include_url=False)
        )
        raise InvalidWorkflow(problems) from None


def _given(options: Options) -> dict[str, Any]:
    """The options that were written, groups as mappings."""
    return {
        name: _given(value) if isinstance(value := getattr(options, name), Options) else value
        for name in options.model_fields_set
    }
