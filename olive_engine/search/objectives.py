"""What trials are compared by, and the goals they should reach. Pure: a workflow in, names of metrics out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from olive_engine.config.workflow import INPUT_MODEL, Goal, MetricEntry, PassEntry, SubMetric, Workflow
from olive_engine.contracts import Yardstick
from olive_engine.errors import InvalidWorkflow, Problem
from olive_engine.evaluation.goals import GoalResult, judge
from olive_engine.graph import sources, touched
from olive_engine.registry import find_metric, find_pass

StepMetrics = Mapping[str, Mapping[str, float]]
"""Step -> its metrics: ``{"merge:accuracy": {"accuracy_score": 0.9}, "tune": {"eval_loss": 0.7}}``."""


@dataclass(frozen=True, slots=True)
class Objective:
    """One value by which trials are compared."""

    name: str
    """As it is shown: ``accuracy``, or ``accuracy.accuracy_score`` where the metric reports several values."""
    step: str
    """The step among whose metrics it is: ``merge:accuracy`` for an evaluation, ``tune`` for a pass's own yardstick."""
    metric: str
    """Its name there."""
    higher_is_better: bool
    goal: Goal | None = None


@dataclass(frozen=True, slots=True)
class Objectives:
    """All that decides which trial is best."""

    parts: tuple[Objective, ...]
    """At least one; the first counts first."""
    mode: Literal["priority", "pareto"] = "priority"
    goals: tuple[Objective, ...] = ()
    """The values of the same evaluator that have a goal, whether trials are compared by them or not."""


def objectives_of(workflow: Workflow) -> Objectives:
    """What the trials of a workflow's search are compared by.

    The values that have a priority, of the evaluator that judges the final model. If there are none: what the last
    pass that measures itself says of its result. Else the evaluator's first value.

    Raises:
        InvalidWorkflow: there is nothing of that kind; alternatives of a pass are judged by different evaluators; or a
            goal could never be reached.
    """
    strategy = workflow.search_strategy
    judged = _judged(workflow)
    measured = list(_measured(workflow, *judged)) if judged else []
    ranked = sorted((pair for pair in measured if pair[1] > 0), key=lambda pair: pair[1])
    parts = tuple(objective for objective, _ in ranked)
    if not parts:
        own = _own_yardstick(workflow)
        parts = (own,) if own else tuple(objective for objective, _ in measured[:1])
    if not parts:
        raise InvalidWorkflow((_nothing(workflow),))
    goals = tuple(objective for objective, _ in measured if objective.goal)
    problems = tuple(_unreachable(workflow, goals))
    if problems:
        raise InvalidWorkflow(problems)
    return Objectives(parts, strategy.objectives if strategy else "priority", goals)


def values_of(objectives: Objectives, metrics_of: StepMetrics) -> tuple[float, ...] | None:
    """What a trial came to, an entry for each objective.

    None: a value is missing, is no number, or is infinitely good, which no model is; such a trial has failed.
    """
    values = []
    for part in objectives.parts:
        value = metrics_of.get(part.step, {}).get(part.metric, math.nan)
        if math.isnan(value) or value == (math.inf if part.higher_is_better else -math.inf):
            return None
        values.append(float(value))
    return tuple(values)


def goal_results(objectives: Objectives, metrics_of: StepMetrics) -> list[GoalResult]:
    """Every goal held against what a trial came to.

    Args:
        objectives: name the goals.
        metrics_of: the trial's metrics by step, and those of the input model (``input_model:accuracy``), with which
            relative goals compare.
    """
    values: dict[str, float] = {}
    baseline: dict[str, float] = {}
    goals: dict[str, Goal] = {}
    ways: dict[str, bool] = {}
    for each in objectives.goals:
        _, _, metric = each.step.partition(":")
        name = f"{metric}.{each.metric}"
        values |= _found(name, metrics_of.get(each.step, {}), each.metric)
        baseline |= _found(name, metrics_of.get(f"{INPUT_MODEL}:{metric}", {}), each.metric)
        goals |= {name: each.goal} if each.goal else {}
        ways[name] = each.higher_is_better
    return judge(values, baseline, goals, ways)


def meets_goals(objectives: Objectives, metrics_of: StepMetrics) -> bool:
    """Whether a trial reaches all goals; a value that was not measured reaches none."""
    return all(result.met for result in goal_results(objectives, metrics_of))


# --- evaluators ---------------------------------------------------------------------------------------------------


def _judged(workflow: Workflow) -> tuple[str, str] | None:
    """The pass whose model is compared, and the evaluator that judges it: a final model, else the last judged one."""
    taken = {name for names in sources(workflow).values() for name in names}
    finals = [name for name in workflow.passes if name not in taken]
    others = [name for name in reversed(workflow.passes) if name in taken]
    for name in (*finals, *others):
        own = {entry.evaluator or (workflow.evaluator if name in finals else None) for entry in workflow.passes[name]}
        if len(own) > 1:
            named = " and ".join(sorted(evaluator or "none" for evaluator in own))
            what = f"its alternatives are judged by different evaluators ({named}), so trials could not be compared"
            raise InvalidWorkflow((Problem(("passes", name), what, "let them name the same one"),))
        (evaluator,) = own
        if evaluator is not None:
            return name, evaluator
    return None


def _measured(workflow: Workflow, subject: str, evaluator: str) -> Iterator[tuple[Objective, int]]:
    """Every value that an evaluator reports on a model, with its priority."""
    for index, entry in enumerate(workflow.evaluators[evaluator].metrics):
        ways = _directions(entry, index, evaluator)
        subs = entry.sub_types or (SubMetric(name=next(iter(ways))),)
        for sub in subs:
            if sub.name not in ways:
                path = ("evaluators", evaluator, "metrics", index, "sub_types")
                what = f"the metric {entry.type} has no value {sub.name!r}; it has {', '.join(ways)}"
                raise InvalidWorkflow((Problem(path, what),))
            name = entry.name if len(subs) == 1 else f"{entry.name}.{sub.name}"
            higher = ways[sub.name] if sub.higher_is_better is None else sub.higher_is_better
            yield Objective(name, f"{subject}:{entry.name}", sub.name, higher, sub.goal), sub.priority


def _directions(entry: MetricEntry, index: int, evaluator: str) -> Mapping[str, bool]:
    cls = find_metric(entry.type)
    if cls is None:
        path = ("evaluators", evaluator, "metrics", index, "type")
        raise InvalidWorkflow((Problem(path, f"there is no metric of type `{entry.type}`"),))
    return cls.sub_types


def _unreachable(workflow: Workflow, goals: Sequence[Objective]) -> Iterator[Problem]:
    if workflow.search_strategy is not None and workflow.search_strategy.stop_when_goals_met and not goals:
        what = "there are no goals to be met"
        yield Problem(("search_strategy", "stop_when_goals_met"), what, "give a value of the evaluator a `goal`")
    relative = [goal.name for goal in goals if goal.goal and goal.goal.type != "threshold"]
    if relative and not workflow.evaluate_input_model:
        what = f"the goal of {relative[0]} compares with the input model, which is not evaluated"
        yield Problem(("evaluate_input_model",), what, "set it to true, or give a goal of type threshold")


# --- yardsticks ---------------------------------------------------------------------------------------------------


def _own_yardstick(workflow: Workflow) -> Objective | None:
    """What the last pass that measures itself, in all its alternatives alike, says of its result.

    Where something is searched, only of a pass on which that has an effect: for others all trials would be equal.
    """
    on_the_way = touched(workflow)
    for name, entries in reversed(workflow.passes.items()):
        if name not in on_the_way:
            continue
        first, *others = map(_yardstick, entries)
        if first is not None and all(other == first for other in others):
            return Objective(first.metric, name, first.metric, first.higher_is_better)
    return None


def _yardstick(entry: PassEntry) -> Yardstick | None:
    cls = find_pass(entry.type)
    return cls.yardstick(entry.options) if cls else None


def _nothing(workflow: Workflow) -> Problem:
    what = (
        "there is nothing to judge trials by: no evaluator judges the final model, and no pass on which the search has "
        "an effect measures its result"
    )
    fields = ("eval_dataset_size", "eval_data_config")
    for name, entries in workflow.passes.items():
        for entry in entries:
            known = [field for field in fields if field in type(entry.options).model_fields]
            if known:
                return Problem(("search_strategy",), what, f"give `{name}` {' or '.join(known)}, or name an evaluator")
    return Problem(("search_strategy",), what, "name an evaluator")


def _found(name: str, metrics: Mapping[str, float], metric: str) -> dict[str, float]:
    return {name: metrics[metric]} if metric in metrics else {}
