"""From a workflow to the graph of its steps. Pure: reads no disk; refuses what cannot work before any work.

Steps are named as users see them: a pass by its name, data preparation ``data:<data config>``, an evaluation
``<pass or input_model>:<metric>``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush
from typing import Literal

from olive_engine.config.workflow import INPUT_MODEL, HfModelConfig, MetricEntry, PassEntry, Workflow
from olive_engine.contracts import AnyPass
from olive_engine.data.files import portable
from olive_engine.errors import ConfigPath, InvalidWorkflow, Problem
from olive_engine.models import HfAdapterModel, HfModel, Model, OnnxModel
from olive_engine.options import DataRef, Options, marked
from olive_engine.registry import find_metric, find_pass
from olive_engine.sharing import private_steps

LOCAL = "local"
"""The name of the system that a workflow without `systems` runs on: this machine."""

StepKind = Literal["data", "pass", "evaluate"]


@dataclass(frozen=True, slots=True)
class Node:
    """One step: what it does, from which models, on which data, where."""

    name: str
    kind: StepKind
    type: str
    config: Options
    system: str
    inputs: tuple[str, ...] = ()
    """The steps whose models it takes; `input_model` for the model that the workflow starts from."""
    data: Mapping[str, str] = field(default_factory=dict)
    """Option name -> data step."""
    path: ConfigPath = ()
    """Where it stands in the workflow."""
    until: float = 1.0
    """Where in its own budget a training halts, as a fraction; 1: it is the whole, and gives the model."""
    after: str | None = None
    """The step in whose `TrialState` the same training halted before; none: it begins at the beginning."""

    private: str = ""
    """Why its result is of no use to other machines, and theirs not to this one; empty: it may be shared."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The steps that must be done before it."""
        before = () if self.after is None else (self.after,)
        return tuple(name for name in (*self.inputs, *self.data.values(), *before) if name != INPUT_MODEL)


@dataclass(frozen=True, slots=True)
class PassGraph:
    """The steps in an order in which they can run, and which passes give the final models."""

    nodes: Mapping[str, Node]
    finals: tuple[str, ...]


def build(workflow: Workflow) -> PassGraph:
    """Make the graph of a workflow.

    Raises:
        InvalidWorkflow: names that don't exist, a cycle, models of a kind that a pass does not take, alternatives
            without a search, or nothing to do.
    """
    problems = list(_alternatives(workflow))
    inputs = sources(workflow)
    problems += _unknown_inputs(inputs)
    if not problems:
        problems += _cycle(inputs)
    if not problems:
        problems += _misfits(workflow, inputs)
    if problems:
        raise InvalidWorkflow(tuple(problems))

    taken = {name for names in inputs.values() for name in names}
    finals = tuple(name for name in workflow.passes if name not in taken)
    nodes: dict[str, Node] = {}
    for node in _steps(workflow, inputs, _judged(workflow, finals)):
        twin = nodes.setdefault(node.name, node)
        if (twin.type, twin.config, twin.data) != (node.type, node.config, node.data):
            subject, _, metric = node.name.partition(":")
            problems.append(Problem(node.path, f"`{metric}` is measured on {subject} twice, with other options"))
    used = {step for node in nodes.values() for step in node.data.values()}
    nodes = {node.name: node for node in _data_nodes(workflow) if node.name in used} | nodes
    if not nodes and not workflow.unavailable:
        problems.append(
            Problem(("passes",), "there is nothing to do", "add a pass, or an evaluator for the input model")
        )
    if problems:
        raise InvalidWorkflow(tuple(problems))
    return _with_private(workflow, PassGraph(_ordered(nodes), finals))


def _with_private(workflow: Workflow, graph: PassGraph) -> PassGraph:
    """The graph with the steps marked that the shared cache, if there is one, has nothing to do with."""
    if workflow.shared_cache is None:
        return graph
    private = private_steps(workflow, graph)
    return replace(
        graph, nodes={name: replace(node, private=private.get(name, "")) for name, node in graph.nodes.items()}
    )


def input_kind(workflow: Workflow) -> type[Model]:
    """The kind of model that the workflow starts from."""
    model = workflow.input_model
    if not isinstance(model, HfModelConfig):
        return OnnxModel
    return HfAdapterModel if model.adapter_path else HfModel


def sources(workflow: Workflow) -> dict[str, tuple[str, ...]]:
    """Each pass's inputs as written, else the pass before it."""
    inputs: dict[str, tuple[str, ...]] = {}
    before = INPUT_MODEL
    for name, entries in workflow.passes.items():
        entry = entries[0]
        inputs[name] = entry.inputs or (before if entry.input is None else entry.input,)
        before = name
    return inputs


def touched(workflow: Workflow) -> set[str]:
    """The searched passes and those after them; all passes where nothing is searched. Not for passes in a circle."""
    found = workflow.searched
    if not found:
        return set(workflow.passes)
    inputs = sources(workflow)
    for name in TopologicalSorter(inputs).static_order():
        if found.intersection(inputs.get(name, ())):
            found.add(name)
    return found


# --- checks -------------------------------------------------------------------------------------------------------


def _alternatives(workflow: Workflow) -> Iterator[Problem]:
    if workflow.search_strategy is not None:
        return
    for name, entries in workflow.passes.items():
        if len(entries) > 1:
            types = ", ".join(entry.type for entry in entries)
            yield Problem(
                ("passes", name),
                f"has {len(entries)} alternatives ({types}), and only a search can choose among them",
                "keep one of them",
            )


def _unknown_inputs(inputs: Mapping[str, tuple[str, ...]]) -> Iterator[Problem]:
    for name, sources in inputs.items():
        for source in sources:
            if source not in inputs and source != INPUT_MODEL:
                known = ", ".join([INPUT_MODEL, *inputs])
                yield Problem(("passes", name, "input"), f"there is no pass `{source}`", f"it can be one of {known}")


def _cycle(inputs: Mapping[str, tuple[str, ...]]) -> Iterator[Problem]:
    try:
        TopologicalSorter(inputs).prepare()
    except CycleError as error:
        passes: list[str] = error.args[1]  # the first is the last again
        path = " -> ".join(passes)
        yield Problem(("passes", passes[0], "input"), f"the passes wait for each other in a circle: {path}")


def _misfits(workflow: Workflow, inputs: Mapping[str, tuple[str, ...]]) -> Iterator[Problem]:
    """Edges whose kinds don't fit, for every alternative on either side."""
    gives: dict[str, set[type[Model]]] = {INPUT_MODEL: {input_kind(workflow)}}
    for name, entries in workflow.passes.items():
        gives[name] = {kind for entry in entries for kind in _class(entry).produces}
    for name, entries in workflow.passes.items():
        for entry in entries:
            cls = _class(entry)
            if len(inputs[name]) > 1 and not cls.takes_many:
                yield Problem(("passes", name, "inputs"), f"{cls.type} takes one model, not {len(inputs[name])}")
                continue
            for source in inputs[name]:
                wrong = [kind for kind in gives[source] if not issubclass(kind, cls.accepts)]
                if wrong:
                    given = " or ".join(sorted(kind.__name__ for kind in wrong))
                    wanted = " or ".join(kind.__name__ for kind in cls.accepts)
                    yield Problem(
                        ("passes", name),
                        f"{cls.type} takes {_article(wanted)}, but `{source}` gives {_article(given)}",
                        _remedy(cls, wrong[0]),
                    )


def _remedy(cls: type[AnyPass], given: type[Model]) -> str:
    if given is OnnxModel:
        return "an ONNX model cannot become another kind again; put this pass before the one that makes it"
    if HfAdapterModel in cls.accepts:
        return "put a pass that trains an adapter before it"
    if given is HfAdapterModel:
        return "put a pass that merges the adapter before it"
    return ""


def _article(kinds: str) -> str:
    return f"{'an' if kinds[0] in 'AEIOUH' else 'a'} {kinds}"


# --- nodes --------------------------------------------------------------------------------------------------------


def _class(entry: PassEntry) -> type[AnyPass]:
    cls = find_pass(entry.type)
    if cls is None:
        raise InvalidWorkflow((Problem(("passes",), f"there is no pass of type `{entry.type}`"),))
    return cls


def _pass_node(workflow: Workflow, name: str, entry: PassEntry, inputs: tuple[str, ...]) -> Node:
    cls = _class(entry)
    host = workflow.host or LOCAL
    default = host if cls.runs_on == "host" else (entry.target or workflow.target or host)
    return Node(
        name=name,
        kind="pass",
        type=cls.type,
        config=entry.options,
        system=entry.host or default,
        inputs=inputs,
        data=_data_steps(entry.options),
        path=("passes", name),
    )


def _data_steps(options: Options) -> dict[str, str]:
    named = ((name, getattr(options, name)) for name, _ in marked(type(options), DataRef))
    return {name: f"data:{value}" for name, value in named if value}


def _steps(
    workflow: Workflow, inputs: Mapping[str, tuple[str, ...]], judged: Mapping[str, tuple[str, ...]]
) -> Iterator[Node]:
    """Each pass, and after it the evaluations of its model."""
    for subject in (INPUT_MODEL, *workflow.passes):
        if subject in workflow.passes:
            yield _pass_node(workflow, subject, workflow.passes[subject][0], inputs[subject])
        for evaluator in judged.get(subject, ()):
            for index, metric in enumerate(workflow.evaluators[evaluator].metrics):
                path = ("evaluators", evaluator, "metrics", index)
                yield _metric_node(workflow, subject, metric, path, _target(workflow, subject, evaluator))


def _judged(workflow: Workflow, finals: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Which models are evaluated, by which evaluators: passes that name one, the finals, the input model by all."""
    judged = {name: entries[0].evaluator for name, entries in workflow.passes.items()}
    judged |= {name: judged[name] or workflow.evaluator for name in finals}
    used = [evaluator for evaluator in (workflow.evaluator, *judged.values()) if evaluator]
    found = {name: (evaluator,) for name, evaluator in judged.items() if evaluator}
    return found | ({INPUT_MODEL: tuple(dict.fromkeys(used))} if workflow.evaluate_input_model else {})


def _target(workflow: Workflow, subject: str, evaluator: str) -> str:
    """The system that measures a model: its pass says it, else its evaluator, else the workflow."""
    own = workflow.passes[subject][0].target if subject in workflow.passes else None
    return own or workflow.evaluators[evaluator].target or workflow.target or workflow.host or LOCAL


def _metric_node(workflow: Workflow, subject: str, metric: MetricEntry, path: ConfigPath, system: str) -> Node:
    cls = find_metric(metric.type)
    if cls is None:
        raise InvalidWorkflow((Problem((*path, "type"), f"there is no metric of type `{metric.type}`"),))
    return Node(
        name=f"{subject}:{metric.name}",
        kind="evaluate",
        type=cls.type,
        config=_with_batch_size(workflow, metric),
        system=system,
        inputs=(subject,),
        data={"data_config": f"data:{metric.data_config}"} if metric.data_config else {},
        path=path,
    )


def _with_batch_size(workflow: Workflow, metric: MetricEntry) -> Options:
    """The metric's options; its batch size, where it has one and none is written, is its data config's."""
    options = metric.metric_config
    if metric.data_config is None or getattr(options, "batch_size", 0) is not None:
        return options
    batch_size = workflow.data_config(metric.data_config).dataloader_config.batch_size
    return options.model_copy(update={"batch_size": batch_size})


def _data_nodes(workflow: Workflow) -> Iterator[Node]:
    for index, config in enumerate(workflow.data_configs):
        yield Node(
            name=f"data:{config.name}",
            kind="data",
            type="",
            config=portable(config),
            system=workflow.host or LOCAL,
            inputs=(INPUT_MODEL,),
            path=("data_configs", index),
        )


def _ordered(nodes: Mapping[str, Node]) -> dict[str, Node]:
    """In an order in which they can run; among those that could, as they were made."""
    names = list(nodes)
    rank = {name: index for index, name in enumerate(names)}
    sorter = TopologicalSorter({name: node.needs for name, node in nodes.items()})
    sorter.prepare()
    ready: list[int] = []
    ordered: dict[str, Node] = {}
    while sorter.is_active():
        for name in sorter.get_ready():
            heappush(ready, rank[name])
        name = names[heappop(ready)]
        ordered[name] = nodes[name]
        sorter.done(name)
    return ordered
