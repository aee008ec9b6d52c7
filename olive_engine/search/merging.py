"""The plans of many trials as one: what has the same key is the same step. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from olive_engine.config.workflow import INPUT_MODEL
from olive_engine.graph import Node, PassGraph
from olive_engine.planner import Facts, PastResults, Plan, Step, plan


@dataclass(frozen=True, slots=True)
class Merged:
    """One plan for several trials."""

    plan: Plan
    names: Mapping[int, Mapping[str, str]]
    """Trial -> the name of each of its steps in its own graph -> in the plan."""


def towards(graph: PassGraph, targets: Sequence[str]) -> PassGraph:
    """The part of a graph that its steps `targets` need, these included."""
    wanted, todo = set[str](), list(targets)
    while todo:
        name = todo.pop()
        if name not in wanted:
            wanted.add(name)
            todo += graph.nodes[name].needs
    nodes = {name: node for name, node in graph.nodes.items() if name in wanted}
    return PassGraph(nodes, tuple(targets))


def stretch_name(training: str, until: float) -> str:
    """The name of the stretch of a training that ends at a fraction of its budget; the last one has the pass's."""
    return training if until == 1 else f"{training}@{until:g}"


def cut(graph: PassGraph, training: str, fractions: Sequence[float]) -> PassGraph:
    """The graph with a training as a chain of stretches.

    Args:
        graph: of one trial; what comes after the training must not be in it, if the training does not come to its end.
        training: the step to cut.
        fractions: where its stretches end, rising.
    """
    nodes: dict[str, Node] = {}
    for name, node in graph.nodes.items():
        if name != training:
            nodes[name] = node
            continue
        before: str | None = None
        for until in fractions:
            own = stretch_name(training, until)
            nodes[own] = replace(node, name=own, until=until, after=before)
            before = own
    last = stretch_name(training, fractions[-1])
    return PassGraph(nodes, tuple(last if name == training else name for name in graph.finals))


def merged(graphs: Mapping[int, PassGraph], facts: Facts, past: PastResults) -> Merged:
    """Plan the graphs of several trials as one.

    A step that several trials have bears the name of the first one's; one whose key no other trial has is named after
    its trial, as ``tune#3``. Steps of data and of the input model keep their names.
    """
    steps: dict[str, Step] = {}
    names: dict[int, dict[str, str]] = {}
    by_key: dict[str, str] = {}
    for trial, graph in graphs.items():
        own = names[trial] = {}
        for name, step in plan(graph, facts, past).steps.items():
            if step.key is not None and step.key in by_key:
                own[name] = by_key[step.key]
                continue
            # A result that is there needs no state that it once came from.
            after = step.node.after if step.reasons else None
            node = replace(
                step.node,
                name=_name(step.node, trial),
                inputs=tuple(own.get(source, source) for source in step.node.inputs),
                data={option: own[source] for option, source in step.node.data.items()},
                after=own[after] if after else None,
            )
            own[name] = node.name
            steps[node.name] = replace(step, node=node)
            if step.key is not None:
                by_key[step.key] = node.name
    finals = tuple(dict.fromkeys(names[trial][final] for trial, graph in graphs.items() for final in graph.finals))
    needed = set(_needed(steps, finals))
    kept = {name: step for name, step in steps.items() if name in needed}
    return Merged(Plan(kept, PassGraph({name: step.node for name, step in kept.items()}, finals), facts), names)


def trial_of(name: str) -> int | None:
    """The trial after which a step of a merged plan is named; none: it is everybody's."""
    found = re.search(r"#(\d+)", name)
    return int(found[1]) if found else None


def _needed(steps: Mapping[str, Step], finals: Sequence[str]) -> Iterator[str]:
    """The steps without which `finals` cannot be had."""
    seen, todo = set[str](), list(finals)
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            yield name
            todo += steps[name].node.needs


def _name(node: Node, trial: int) -> str:
    if node.kind == "data" or (node.inputs == (INPUT_MODEL,) and node.kind == "evaluate"):
        return node.name
    pass_name, colon, rest = node.name.partition(":")
    if colon:
        return f"{pass_name}#{trial}:{rest}"
    training, at, fraction = node.name.partition("@")
    return f"{training}#{trial}{at}{fraction}"
