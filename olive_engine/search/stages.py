"""The searches that a workflow's search consists of: one for all passes together, or one for each in turn. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import TopologicalSorter

from olive_engine import graph
from olive_engine.config.search.strategy import SearchStrategy
from olive_engine.config.workflow import Workflow


def strategy_of(workflow: Workflow) -> SearchStrategy:
    """The strategy of a workflow that searches."""
    if workflow.search_strategy is None:
        raise ValueError("the workflow does not search")
    return workflow.search_strategy


def parts(workflow: Workflow) -> Iterator[tuple[Workflow, str]]:
    """The workflows to search one after another, each with the slot that it is about; empty: all slots."""
    if strategy_of(workflow).execution_order == "joint":
        yield workflow, ""
        return
    searched = workflow.searched
    inputs = graph.sources(workflow)
    for slot in TopologicalSorter(inputs).static_order():
        if slot not in searched:
            continue
        wanted = {slot, *before(workflow, slot)}
        passes = {name: entries for name, entries in workflow.passes.items() if name in wanted}
        space = {name: value for name, value in workflow.search_space.items() if workflow.slot_of(name) in wanted}
        yield workflow.model_copy(update={"passes": passes, "search_space": space}), slot


def before(workflow: Workflow, slot: str) -> set[str]:
    """The passes whose results go into that of a pass, without itself."""
    inputs = graph.sources(workflow)
    found, todo = set[str](), list(inputs[slot])
    while todo:
        name = todo.pop()
        if name in inputs and name not in found:
            found.add(name)
            todo += inputs[name]
    return found
