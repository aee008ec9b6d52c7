"""Trials of one wave carried to a rung: their workflows planned as one, executed, and what was measured there."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from olive_engine import facts, graph
from olive_engine.config.workflow import INPUT_MODEL, Workflow
from olive_engine.contracts import Yardstick
from olive_engine.errors import Failure, InvalidWorkflow, StoreCorrupt
from olive_engine.executor import Outcome, execute
from olive_engine.graph import Node, PassGraph
from olive_engine.ground import Ground
from olive_engine.left_jobs import purpose_of
from olive_engine.planner import Facts, Plan, Step, flavours
from olive_engine.registry import find_pass
from olive_engine.reporting import events
from olive_engine.search.assignment import applied
from olive_engine.search.merging import Merged, cut, merged, stretch_name, towards, trial_of
from olive_engine.search.objectives import Objectives
from olive_engine.search.trials import Trial
from olive_engine.staging import CachedResults
from olive_engine.step_packages import requires_of
from olive_engine.store.shared_contents import SharedCorrupt

ATTEMPTS = 3
"""How many plans of a rung damaged files of this machine's cache may spoil before it is given up."""
DIVERGED = (FloatingPointError.__name__, OverflowError.__name__)
"""Errors that a trial's own values cause, which would come again."""


@dataclass(frozen=True, slots=True)
class Training:
    """The step that is judged on the way: the last one on the way to the objectives that measures its own result."""

    step: str
    yardstick: Yardstick


@dataclass(frozen=True, slots=True)
class Arrival:
    """A trial at a rung."""

    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Step of its own graph -> what was measured there."""
    value: float | None = None
    """By the yardstick of the training."""
    group: Hashable = None
    """Equal for trials that have the training in common."""
    tokens: int = 0
    seconds: float = 0.0
    cause: str = ""
    """Why it failed; empty: it did not."""
    hopeless: bool = False


@dataclass(frozen=True, slots=True)
class Runner:
    """A trial made ready to be carried out."""

    number: int
    graph: PassGraph
    """What its objectives need."""
    whole: bool
    """Its training cannot be cut into stretches, or there is none to cut."""


def training_of(workflow: Workflow, targets: Iterable[str]) -> Training | None:
    """Where the trials of a search can be judged on the way; none: nowhere.

    Args:
        workflow: the one that searches.
        targets: the steps that a trial is to come to.
    """
    built = graph.build(workflow)
    on_the_way = towards(built, [name for name in targets if name in built.nodes])
    touched = graph.touched(workflow)
    for name in reversed(list(on_the_way.nodes)):
        if on_the_way.nodes[name].kind != "pass" or name not in touched:  # what all share tells none from another
            continue
        yardsticks = []
        for entry in workflow.passes[name]:
            cls = find_pass(entry.type)
            cuttable = cls is not None and not cls.whole_because(entry.options)
            yardsticks.append(cls.yardstick(entry.options) if cls is not None and cuttable else None)
        if yardsticks[0] is not None and all(each == yardsticks[0] for each in yardsticks):
            return Training(name, yardsticks[0])
    return None


def targets_of(objectives: Objectives) -> tuple[str, ...]:
    """The steps at which it is known what a trial has come to."""
    steps = [part.step for part in (*objectives.parts, *objectives.goals)]
    baselines = [f"{INPUT_MODEL}:{goal.step.partition(':')[2]}" for goal in objectives.goals]
    return tuple(dict.fromkeys([*steps, *baselines]))


class Carrier:
    """Carries trials of one search from rung to rung."""

    def __init__(
        self,
        workflow: Workflow,
        ground: Ground,
        objectives: Objectives,
        training: Training | None,
        should_stop: Callable[[], bool],
    ) -> None:
        self._workflow = workflow
        self._ground = ground
        self._targets = targets_of(objectives)
        self._training = training
        self._should_stop = should_stop
        self._past = CachedResults(ground.store, ground.systems, online=True)
        self._facts: dict[frozenset[tuple[str, ...]], Facts] = {}

    def ready(self, trial: Trial) -> Runner | Arrival:
        """The trial's graph; an arrival that says why there is none."""
        try:
            built = graph.build(applied(self._workflow, trial.assignment))
        except InvalidWorkflow as error:
            return Arrival(cause="; ".join(str(problem) for problem in error.problems), hopeless=True)
        on_the_way = towards(built, [name for name in self._targets if name in built.nodes])
        node = on_the_way.nodes.get(self._training.step) if self._training else None
        cls = find_pass(node.type) if node else None
        whole = node is None or cls is None or bool(cls.whole_because(node.config))
        return Runner(trial.number, on_the_way, whole)

    def carry(self, runners: Sequence[Runner], fractions: Sequence[float]) -> dict[int, Arrival]:
        """Bring trials to the last of `fractions` of their own budgets, and say by number what came of each.

        Raises:
            Interrupted: the search is to stop.
            SystemUnavailable: a system cannot work at all.
        """
        graphs = {runner.number: self._graph(runner, fractions) for runner in runners}
        known = self._known(graphs.values())
        damaged, announced = 0, False
        while damaged < ATTEMPTS:
            plan = merged(graphs, known, self._past)
            if self._training and not announced:
                announced = True
                self._announce(plan, fractions[-1], runners)
            self._warm_up(plan.plan)
            try:
                outcome = execute(
                    plan.plan,
                    self._ground,
                    purpose=purpose_of(self._workflow),
                    sharers=max(1, self._ground.store.runs()),
                    should_stop=self._should_stop,
                )
            except SharedCorrupt:  # how often that can happen in a run is the shared cache's to limit
                pass
            except StoreCorrupt:
                damaged += 1
                if damaged == ATTEMPTS:
                    raise
            else:
                return {runner.number: self._arrival(runner, plan, outcome, fractions) for runner in runners}
        raise AssertionError("unreachable: the last attempt returns or raises")

    def forget(self, runner: Runner, fractions: Sequence[float]) -> None:
        """Remove the states between the stretches of a trial that has ended."""
        if runner.whole or self._training is None:
            return
        for fraction in fractions:
            record = self._stretch(runner, self._training.step, fraction).record if fraction < 1 else None
            if record is not None:
                self._ground.store.drop(record)

    def group(self, runner: Runner, fraction: float) -> Hashable:
        """What `Arrival.group` of a trial that has ended was at a rung."""
        if runner.whole or self._training is None:
            return runner.number
        return self._stretch(runner, self._training.step, fraction).key

    # --- the parts ------------------------------------------------------------------------------------------------

    def _graph(self, runner: Runner, fractions: Sequence[float]) -> PassGraph:
        """What is to be carried out for a trial: its training up to the rung; at the last one all that it needs."""
        if runner.whole or self._training is None:
            return runner.graph
        if fractions[-1] < 1:
            return cut(towards(runner.graph, [self._training.step]), self._training.step, fractions)
        return cut(runner.graph, self._training.step, fractions)

    def _stretch(self, runner: Runner, training: str, fraction: float) -> Step:
        """The step that brings a trial's training to a fraction of its budget."""
        alone = cut(towards(runner.graph, [training]), training, [fraction])
        made = merged({runner.number: alone}, self._known([alone]), self._past)
        return made.plan.steps[made.names[runner.number][stretch_name(training, fraction)]]

    def _known(self, graphs: Iterable[PassGraph]) -> Facts:
        """The facts about all steps of some graphs; gathered once for each collection of kinds of steps."""
        nodes: dict[str, Node] = {}
        for each in graphs:
            for node in each.nodes.values():
                nodes[node.name if node.kind == "data" else f"{node.kind} {node.type} {node.system}"] = node
        kinds = frozenset((name, node.system) for name, node in nodes.items())
        if kinds not in self._facts:
            union = PassGraph(nodes, ())
            self._facts[kinds] = facts.gather(
                self._workflow, union, self._ground.systems, self._ground.store, online=True
            )
        return self._facts[kinds]

    def _warm_up(self, plan: Plan) -> None:
        """Have systems get ready for the passes that come, so that no worker begins to import when its turn comes."""
        wanted: dict[str, dict[str, None]] = {}
        for name in plan.to_run:
            node = plan.steps[name].node
            if node.kind == "pass":
                packages = (flavour for each in requires_of(node.kind, node.type) for flavour in flavours(each))
                wanted.setdefault(node.system, {}).update(dict.fromkeys(packages))
        for system, names in wanted.items():
            self._ground.systems[system].warm_up(list(names))

    def _announce(self, plan: Merged, until: float, runners: Sequence[Runner]) -> None:
        training = self._training
        if training is None:
            return
        steps = {
            runner.number: plan.names[runner.number][
                training.step if runner.whole else stretch_name(training.step, until)
            ]
            for runner in runners
        }
        self._ground.listener.on_event(events.RungBegan(until, steps))

    def _arrival(self, runner: Runner, plan: Merged, outcome: Outcome, fractions: Sequence[float]) -> Arrival:
        names = plan.names[runner.number]
        failed = {failure.step: failure for failure in outcome.failures}
        failure = next((failed[name] for name in names.values() if name in failed), None)
        if failure is not None:
            return Arrival(cause=self._cause(failure, names), hopeless=failure.error in DIVERGED)
        records = {own: outcome.records[name] for own, name in names.items() if name in outcome.records}
        metrics = {own: record.metrics for own, record in records.items()}
        own_steps = [own for own in records if trial_of(names[own]) == runner.number]
        seconds = sum(records[own].provenance.seconds for own in own_steps)
        if self._training is None:
            return Arrival(metrics, seconds=seconds)
        stretch = self._training.step if runner.whole else stretch_name(self._training.step, fractions[-1])
        record = records[stretch]
        return Arrival(
            metrics=metrics,
            value=record.metrics.get(self._training.yardstick.metric),
            group=record.key,
            tokens=int(record.metrics.get("tokens", 0)),
            seconds=seconds,
        )

    def _cause(self, failure: Failure, names: Mapping[str, str]) -> str:
        own = next(own for own, name in names.items() if name == failure.step)
        is_training = self._training is not None and own.partition("@")[0] == self._training.step
        return failure.cause if is_training else f"{own}: {failure.cause}"
