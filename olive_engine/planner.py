"""From the graph and what is known of the world to steps that run or are reused. Pure: facts and records are given.

A step's key is the sha256 of its *ingredients*: all that its result depends on, and nothing else. Not in it: names,
paths, output folders, log levels, parallelism, threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

from pydantic import JsonValue

from olive_engine.config.workflow import INPUT_MODEL
from olive_engine.contracts import Device, Environment
from olive_engine.digests import digest
from olive_engine.errors import dotted
from olive_engine.graph import Node, PassGraph
from olive_engine.models import Manifest, OnnxModel, Tree
from olive_engine.options import DataRef, Options, marked
from olive_engine.registry import find_metric, find_pass
from olive_engine.store import Record

NOT_RESOLVED = "not resolved yet: it is asked for when the run starts"
NOT_PROBED = "environment not probed yet"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the planner knows of the world; `olive_engine.facts` gathers it."""

    input_model: Manifest | None
    """None: a hub model that is not on this machine."""
    input_identity: JsonValue
    """What stands for the input model in keys: its content digest, or a hub name and commit."""
    tokenizer: str
    """Digest of the input model's tokenizer files."""
    data: Mapping[str, Mapping[str, Path]]
    """Data step -> the local files it reads, by their names in the step; none where rows come from the hub."""
    data_identity: Mapping[str, JsonValue]
    """Data step -> what stands for its source in keys; None: not resolved yet."""
    implementations: Mapping[tuple[str, str], str]
    """(step kind, type) -> digest of the sources that do it."""
    environments: Mapping[str, Environment | None]
    """System -> versions and device there; None: not probed yet."""
    requires: Mapping[tuple[str, str], tuple[str, ...]]
    """(step kind, type) -> distributions whose versions count."""
    seed: int = 0
    remote_data: Mapping[str, Tree] = field(default_factory=dict)
    """Data step -> the files that it reads where they are, by their names in the step; none where they are here."""
    execution_providers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """System -> what ONNX models are run with there; none: as each model says."""


def flavours(requirement: str) -> tuple[str, ...]:
    """The distributions of which a requirement wants one: ``onnxruntime|onnxruntime-gpu``."""
    return tuple(requirement.split("|"))


def installed(requirement: str, environment: Environment) -> str:
    """The version that meets a requirement in an environment, with the flavour if it has several; empty: none."""
    found = [name for name in flavours(requirement) if name in environment.packages]
    if not found:
        return ""
    version = environment.packages[found[0]]
    return version if len(flavours(requirement)) == 1 else f"{found[0]} {version}"


class PastResults(Protocol):
    """What the planner asks of a store."""

    def find(self, key: str, node: Node) -> Record | None:
        """The record of that key, which is the key of a step."""

    def last(self, node: Node) -> Record | None:
        """The record that the step of that name used last."""

    def missing(self, record: Record) -> str:
        """Why the record cannot be used: which file of its output is no longer there; empty: none."""

    def source(self, record: Record) -> str:
        """The URL of the shared cache that the record, or its output, is taken from now; empty: all is here."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the plan."""

    node: Node
    key: str | None
    """None: not known before the run starts (see `reasons`)."""
    ingredients: Mapping[str, JsonValue]
    reasons: tuple[str, ...]
    """Why it must run; empty: its result is reused."""
    record: Record | None = None
    """The result that is reused."""
    source: str = ""
    """The URL of the shared cache that the result is taken from; empty: it is in the cache of this machine."""

    @property
    def action(self) -> Literal["run", "reuse"]:
        """What the plan does with it."""
        return "run" if self.reasons else "reuse"


@dataclass(frozen=True, slots=True)
class Plan:
    """All steps in an order in which they can run."""

    steps: Mapping[str, Step]
    graph: PassGraph
    facts: Facts = field(repr=False)

    @property
    def to_run(self) -> tuple[str, ...]:
        """The steps that have no result yet."""
        return tuple(name for name, step in self.steps.items() if step.reasons)


def plan(graph: PassGraph, facts: Facts, past: PastResults) -> Plan:
    """Decide for every step whether it runs, and why, or whose result is reused."""
    steps: dict[str, Step] = {}
    for name, node in graph.nodes.items():
        steps[name] = _step(node, facts, past, steps)
    return Plan(steps, graph, facts)


def without_unread(made: Plan, past: PastResults) -> Plan:
    """The plan without the steps that would run only because files are gone which nothing reads any more.

    A result is known by its record: of a chain whose end is there, what lies between need not be.
    """
    steps = dict(made.steps)
    read = set(made.graph.finals)
    for name, step in reversed(list(made.steps.items())):
        unread = step.key is not None and name not in read and step.node.kind != "evaluate"
        if step.reasons and unread and (record := past.find(step.key or "", step.node)) is not None:
            steps[name] = replace(step, reasons=(), record=record)
        elif step.reasons:
            read.update(step.node.needs)
    return replace(made, steps=steps)


def runs_onnx(node: Node, steps: Mapping[str, Step], facts: Facts) -> bool:
    """Whether a step runs an ONNX model on its system's providers. A pass that only builds one for them does not."""
    if node.kind == "evaluate":
        runtime = any(name.startswith("onnxruntime") for name in facts.requires[node.kind, node.type])
        return runtime and any(_gives_onnx(source, steps, facts) for source in node.inputs)
    cls = find_pass(node.type) if node.kind == "pass" else None
    return cls is not None and cls.runs_on == "target" and OnnxModel in cls.accepts


def _gives_onnx(source: str, steps: Mapping[str, Step], facts: Facts) -> bool:
    if source not in steps:  # the input model
        return facts.input_model is not None and facts.input_model.kind == OnnxModel.__name__
    cls = find_pass(steps[source].node.type)
    return cls is not None and OnnxModel in cls.produces


def _step(node: Node, facts: Facts, past: PastResults, before: Mapping[str, Step]) -> Step:
    unknown = _unknown(node, facts, before)
    ingredients = _ingredients(node, facts, before)
    if unknown:
        return Step(node, None, ingredients, (unknown,))
    key = digest(dict(ingredients))
    record = past.find(key, node)
    if record is None:
        return Step(node, key, ingredients, tuple(_changes(node, ingredients, past.last(node))))
    if why := past.missing(record):
        return Step(node, key, ingredients, (why,))
    return Step(node, key, ingredients, (), record, past.source(record))


def _unknown(node: Node, facts: Facts, before: Mapping[str, Step]) -> str:
    """Why the step has no key yet; empty: it has one."""
    if facts.environments.get(node.system) is None:
        return NOT_PROBED
    if INPUT_MODEL in node.inputs and facts.input_identity is None:
        return NOT_RESOLVED
    if node.kind == "data" and facts.data_identity[node.name] is None:
        return NOT_RESOLVED
    return next((f"{name} comes first" for name in node.needs if before[name].key is None), "")


def _ingredients(node: Node, facts: Facts, before: Mapping[str, Step]) -> dict[str, JsonValue]:
    """All that the step's result depends on."""
    kind_type = (node.kind, node.type)
    environment = facts.environments.get(node.system)
    providers = facts.execution_providers.get(node.system, ()) if runs_onnx(node, before, facts) else ()
    device = Device(environment.device, environment.bf16, providers) if environment else Device()
    ingredients: dict[str, JsonValue] = {
        "kind": node.kind,
        "type": node.type,
        "implementation": facts.implementations[kind_type],
        "versions": {
            name: (environment and installed(name, environment)) or "not installed"
            for name in facts.requires[kind_type]
        },
    }
    if environment and environment.variables:
        ingredients["variables"] = environment.variables
    if node.kind == "data":
        ingredients["config"] = node.config.model_dump(mode="json")
        ingredients["source"] = facts.data_identity[node.name]
        ingredients["tokenizer"] = facts.tokenizer
        return ingredients
    ingredients["config"] = _own_options(node.config)
    # By position: names are not part of what a result depends on.
    ingredients["inputs"] = [facts.input_identity if name == INPUT_MODEL else before[name].key for name in node.inputs]
    ingredients["data"] = {option: before[step].key for option, step in node.data.items()}
    if _draws(node):
        ingredients["seed"] = facts.seed
    ingredients["device"] = _device_facts(node, device)
    if node.until < 1:  # where it halted before does not matter: a training goes on bit for bit
        ingredients["until"] = node.until
    if node.kind == "evaluate" and _is_timing(node) and environment:
        ingredients["machine"] = environment.machine
    return ingredients


def _own_options(config: Options) -> dict[str, JsonValue]:
    references = {name for name, _ in marked(type(config), DataRef)}
    return config.model_dump(mode="json", exclude=references)


def _device_facts(node: Node, device: Device) -> dict[str, JsonValue]:
    if node.kind == "evaluate":
        providers: JsonValue = list(device.execution_providers)
        return {"device": device.kind, **({"execution_providers": providers} if providers else {})}
    cls = find_pass(node.type)
    return dict(cls.device_facts(node.config, device)) if cls else {}


def _draws(node: Node) -> bool:
    """Whether the seed counts: for a metric that draws nothing it does not."""
    cls = find_metric(node.type) if node.kind == "evaluate" else None
    return cls is None or cls.draws


def _is_timing(node: Node) -> bool:
    cls = find_metric(node.type)
    return cls is not None and cls.timing


# --- reasons ------------------------------------------------------------------------------------------------------


def _changes(node: Node, ingredients: Mapping[str, JsonValue], last: Record | None) -> Iterator[str]:
    """Say why there is no result, by comparing with what the step of that name last depended on."""
    if last is None:
        yield "no result yet"
        return
    old, new = dict(_flat(dict(last.ingredients))), dict(_flat(dict(ingredients)))
    differing = [path for path in sorted(old.keys() | new.keys()) if old.get(path) != new.get(path)]
    for path in differing:
        if path == ("inputs",):
            yield from _changed_inputs(node, old.get(path), new[path])
        else:
            yield _sentence(path, old.get(path), new.get(path))
    if not differing:
        yield "its last result is no longer in the cache"


def _changed_inputs(node: Node, was: JsonValue, now: JsonValue) -> Iterator[str]:
    if not (isinstance(was, list) and isinstance(now, list) and len(was) == len(now)):
        yield "it takes other inputs"
        return
    for name, before, after in zip(node.inputs, was, now, strict=True):
        if before != after:
            yield f"{name} changed"


def _sentence(path: tuple[str, ...], was: JsonValue, now: JsonValue) -> str:
    head = path[0]
    if head == "config":
        return f"{dotted(path[1:])}: {_show(was)} -> {_show(now)}"
    if head == "data" and len(path) > 1:
        return f"{path[1]} changed"
    if head == "source":
        return "its source files changed"
    if head == "implementation":
        return "the engine's code for it changed"
    if head == "variables":  # digests: the values may be secret
        return "the environment variables of its system changed"
    if head == "versions":
        return f"{path[1]} {_show(was)} -> {_show(now)}"
    return f"{dotted(path)}: {_show(was)} -> {_show(now)}"


def _show(value: JsonValue) -> str:
    return "nothing" if value is None else str(value) if value != "" else "''"


def _flat(value: JsonValue, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], JsonValue]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(inner, (*path, name))
    else:
        yield path, value
