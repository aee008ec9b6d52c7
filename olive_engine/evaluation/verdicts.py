"""Every goal of a workflow held against what a run measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from olive_engine.config.workflow import INPUT_MODEL, Goal, Workflow
from olive_engine.evaluation.goals import GoalResult, judge
from olive_engine.registry import find_metric


@dataclass(frozen=True, slots=True)
class Verdict:
    """One goal, for one model."""

    subject: str
    """The pass whose model was measured."""
    result: GoalResult

    def as_json(self) -> dict[str, JsonValue]:
        """The verdict as ``run.json`` holds it."""
        return {
            "model": self.subject,
            "value": self.result.name,
            "goal": self.result.goal.model_dump(mode="json"),
            "measured": self.result.value,
            "required": self.result.required,
            "met": self.result.met,
            "why": self.result.why,
        }


def directions(workflow: Workflow) -> dict[str, bool]:
    """``metric.sub_type`` -> whether higher is better, for every value that the workflow's evaluators can give."""
    found: dict[str, bool] = {}
    for evaluator in workflow.evaluators.values():
        for entry in evaluator.metrics:
            cls = find_metric(entry.type)
            own = {sub.name: sub.higher_is_better for sub in entry.sub_types if sub.higher_is_better is not None}
            for name, higher in (cls.sub_types if cls else {}).items():
                found[f"{entry.name}.{name}"] = own.get(name, higher)
    return found


def judge_all(workflow: Workflow, metrics: Mapping[str, Mapping[str, float]]) -> tuple[Verdict, ...]:
    """Judge every model that was measured, except the input model, by the goals of the evaluators."""
    goals, ways = dict(_goals(workflow)), directions(workflow)
    baseline = metrics.get(INPUT_MODEL, {})
    verdicts: list[Verdict] = []
    for subject, values in metrics.items():
        if subject == INPUT_MODEL:
            continue
        measured = {name.split(".")[0] for name in values}
        own = {name: goal for name, goal in goals.items() if name.split(".")[0] in measured}
        verdicts += [Verdict(subject, result) for result in judge(values, baseline, own, ways)]
    return tuple(verdicts)


def _goals(workflow: Workflow) -> Iterator[tuple[str, Goal]]:
    for evaluator in workflow.evaluators.values():
        for entry in evaluator.metrics:
            for sub in entry.sub_types:
                if sub.goal:
                    yield f"{entry.name}.{sub.name}", sub.goal
